//! `ask`: one question in words becomes a plan: how many agents it deserves, and who they are.
//!
//! A simple question is one agent's. What needs much reading is read by whoever reads best, with the question; what is
//! hard or grave is produced, cross-checked by another vendor and incorporated. Pure; called by the command line and by
//! the servers, which read the plan like any other and run it.

use serde_json::{Value, json};

use crate::plan::template;
use crate::route::Choice;
use crate::workflow::crew;

/// The task that answers.
pub const ANSWER: &str = "answer";
/// The task that reads for it.
pub const READ: &str = "read";
/// From this crew on an answer is cross-checked.
const CHECKED_FROM: usize = 3;

/// How it is asked, in words for whoever wants to know before it starts.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// The plan, as JSON.
    pub plan: Value,
    /// Why it is asked so.
    pub why: String,
}

/// The plan for a question.
pub fn compose(text: &str, choice: &Choice, budget_usd: Option<&str>) -> Asked {
    let analysis = &choice.analysis;
    let chosen = choice.chosen().map(|chosen| chosen.vendor.as_str());
    let other_vendor = choice.candidates.iter().any(|one| Some(one.vendor.as_str()) != chosen);
    let size = crew::size(analysis);
    let mut why = vec![format!(
        "{} and of {} risk",
        analysis.complexity.value.name(),
        analysis.risk.value.name()
    )];
    let words = template::literal(text);
    let mut tasks = Vec::new();
    let mut prompt = words.clone();
    let reader = choice.consult.iter().find(|consult| consult.what_for == "reader");
    if let Some(reader) = reader {
        why.push(format!("`{}` reads for it: {}", reader.agent, reader.why));
        tasks.push(json!({
            "id": READ,
            "agent": reader.agent,
            "model": reader.model,
            "prompt": format!(
                "Somebody else will answer the question below. Read what it takes, and say in at most 500 words what matters for \
                 the answer, with the places (file and line).\n\n{words}"
            ),
        }));
        prompt.push_str(&format!(
            "\n\nWhat was found by reading:\n{{{{ tasks.{READ}.result }}}}"
        ));
    }
    let mut answer = json!({ "id": ANSWER, "agent": "auto", "prompt": prompt });
    if reader.is_some() {
        answer["needs"] = json!([READ]);
    }
    match (size >= CHECKED_FROM, other_vendor) {
        (true, true) => {
            why.push("an agent of another vendor checks the answer".to_owned());
            answer["workflow"] = json!({ "kind": "qc" });
        }
        (true, false) => why.push("nobody of another vendor is here to check the answer".to_owned()),
        (false, _) => why.push("one agent is enough".to_owned()),
    }
    tasks.push(answer);
    let mut plan = json!({ "name": "ask", "tasks": tasks });
    if let Some(usd) = budget_usd {
        plan["budget"] = json!({ "usd": usd });
    }
    Asked {
        plan,
        why: why.join("; "),
    }
}
