//! Child tasks as specs, and the words they share.

use super::{Flow, Hand, Past, Step};
use crate::spec::{Edits, Inputs, Isolation, Merge, TaskSpec, Work};
use crate::verdict::{Finding, Severity, Stance, Verdict};

/// What an agent that does the work is told about doubts. A doubt that is said can be settled by somebody who may.
const DOUBTS: &str = "\
End your answer with a line `CONFIDENCE: N`, from 0 to 100. Where something that matters is not yours to decide, or you \
would have to guess, do not guess: write a line `UNCERTAIN: what it is` for each.";

/// A prompt for whoever does the work, with what is asked about doubts. An answer by a schema has no room for that: it is one
/// JSON value.
pub(super) fn producing(task: &TaskSpec, prompt: String) -> String {
    match task.schema {
        Some(_) => prompt,
        None => format!("{prompt}\n\n{DOUBTS}"),
    }
}

/// The words of the task itself: a template.
pub(super) fn words(task: &TaskSpec) -> &str {
    match &task.work {
        Work::Exec(text) | Work::Prompt(text) => text,
        Work::Turn(_) => "",
    }
}

/// A child that only reads and says something.
pub(super) fn reader(task: &TaskSpec, past: &Past<'_>, step: &str, hand: &Hand, prompt: String) -> TaskSpec {
    TaskSpec {
        key: past.key(step),
        work: Work::Prompt(prompt),
        agent: hand.agent.clone(),
        fallback: Vec::new(),
        model: hand.model.clone(),
        role: None,
        needs: Vec::new(),
        priority: task.priority,
        files: Vec::new(),
        verify: Vec::new(),
        isolation: Isolation::None,
        merge: Merge::None,
        edits: Edits::Own,
        schema: None,
        protect: Vec::new(),
        timeout_ms: task.timeout_ms,
        idle_timeout_ms: task.idle_timeout_ms,
        retry_max: task.retry_max,
        deadline_ms: None,
        window_tokens: None,
        // What a doubt leads to is the workflow's to say.
        confidence_min: Some(0),
        on_failure: None,
        planner: false,
        approval: false,
        env: task.env.clone(),
        cwd: task.cwd.clone(),
        budget: None,
        routed: None,
        flow: Flow {
            parent: Some(task.key.clone()),
            ..Flow::default()
        },
        inputs: Inputs {
            documents: task.inputs.documents.clone(),
            stdin: None,
        },
    }
}

/// A child that does the work: in a tree of its own, under the checks and by the schema of the task, when the task says so.
pub(super) fn worker(task: &TaskSpec, past: &Past<'_>, step: &str, hand: &Hand, prompt: String) -> TaskSpec {
    TaskSpec {
        role: task.role.clone(),
        files: task.files.clone(),
        verify: task.verify.clone(),
        isolation: task.isolation,
        edits: task.edits,
        protect: task.protect.clone(),
        schema: task.schema.clone(),
        flow: Flow {
            parent: Some(task.key.clone()),
            shortcut: task.flow.shortcut,
            ..Flow::default()
        },
        ..reader(task, past, step, hand, prompt)
    }
}

/// One child, and a wait for its end.
pub(super) fn one(child: TaskSpec) -> Step {
    Step::Await {
        new: vec![child],
        open_max: 0,
    }
}

/// Nothing new until all are over.
pub(super) fn wait() -> Step {
    Step::Await {
        new: Vec::new(),
        open_max: 0,
    }
}

/// An approval that comes with a serious finding contradicts itself, and is none. Without anybody's verdict (time was
/// short) there is nothing that speaks against it.
pub(super) fn approves(judged: Option<&Verdict>) -> bool {
    judged.is_none_or(|judged| {
        let serious = |finding: &Finding| matches!(finding.severity, Severity::P0 | Severity::P1);
        judged.stance == Stance::Approve && !judged.findings.iter().any(serious)
    })
}

/// The doubts that an answer flags.
pub fn doubts(text: &str) -> Vec<String> {
    /// How many are kept.
    const DOUBTS_MAX: usize = 10;
    let doubt = |line: &str| {
        let line = line.trim_start_matches([' ', '\t', '-', '*', '>']);
        let (word, rest) = line.split_once(':')?;
        let flagged = word.trim_end_matches('*').eq_ignore_ascii_case("UNCERTAIN");
        let rest = rest.trim_start_matches('*').trim();
        let says = !["", "none", "none.", "nothing"].contains(&rest.to_ascii_lowercase().as_str());
        (flagged && says).then(|| rest.to_owned())
    };
    text.lines().filter_map(doubt).take(DOUBTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_lines_that_say_so() {
        let text = "I did it.\n- **UNCERTAIN:** which clock is meant\nUNCERTAIN: none\nI am uncertain: maybe\nUncertain: who pays";
        assert_eq!(doubts(text), ["which clock is meant", "who pays"]);
    }
}
