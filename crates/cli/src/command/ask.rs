//! `ask`: one question in words, analysed, given to who fits, checked as it deserves, answered; and what it took.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wheelhouse_core::analysis::Facts;
use wheelhouse_core::ask::{self, ANSWER};
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::plan::Checked;
use wheelhouse_core::route::{Caller, Choice, DoItYourself, Question};
use wheelhouse_core::store::Reader;
use wheelhouse_core::time::human;
use wheelhouse_core::verdict;
use wheelhouse_core::workflow::report::ARTIFACT;

use super::route::{budget, words_of};
use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::Since;
use crate::gather::{self, Consumed};
use crate::json::task_name;
use crate::moment::now;
use crate::plans::{self, Cast, Text};
use crate::routing;
use crate::show::words;
use crate::state::{self, State};
use crate::work::{self, Finish};

/// Asks.
pub(crate) fn ask(app: &App, args: &args::Ask) -> Outcome {
    let settings = app.settings(None)?;
    let text = words_of(&args.text)?;
    let budget_nano = args.budget.as_deref().map(budget).transpose()?;
    let caller = if args.for_agent { Caller::Agent } else { Caller::Person };
    let choice = routing::router(app, &settings)?.decide(&question(&text, caller, budget_nano));
    if let Some(own) = &choice.do_it_yourself {
        return yourself(app, own);
    }
    let asked = ask::compose(&text, &choice, args.budget.as_deref());
    let source = Text {
        name: "ask".to_owned(),
        text: asked.plan.to_string(),
        dir: app.place.project.clone(),
    };
    let checked = plans::check(app, &settings, &source, &[], Cast::AsWritten);
    let checked = plans::accept(app, "the question", checked)?;
    app.terminal.say(&asked.why);
    if args.dry_run {
        return dry(app, &checked, &choice);
    }
    let mut state = State::open(&app.place)?;
    let seat = work::take_seat(app, &settings, &mut state, false)?;
    let run = super::run::submit(app, &mut state, checked)?;
    work::nudge_other(app, &seat);
    drop(state);
    let finish = work::follow_to_end(app, &settings, &[run], seat, Since::Beginning, None)?;
    answer(app, run, finish, &choice)
}

/// What is asked of the router.
pub(crate) fn question(text: &str, caller: Caller, budget_nano: Option<u64>) -> Question<'_> {
    Question {
        facts: Facts {
            text,
            ..Facts::default()
        },
        caller,
        budget_nano,
        now: now(),
        ..Question::default()
    }
}

fn yourself(app: &App, own: &DoItYourself) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&json!({ "do_it_yourself": own }))?;
    } else {
        app.terminal.print(&format!(
            "Do it yourself: {}. It saves about {} tokens.\n",
            own.reason,
            words::thousands(own.saved_tokens)
        ))?;
    }
    Ok(exit::OK)
}

fn dry(app: &App, checked: &Checked, choice: &Choice) -> Outcome {
    if app.terminal.json {
        let agents: BTreeSet<String> = asked_of(checked);
        app.terminal.print_json(&json!({
            "agents": agents,
            "crews": super::plan::crews(checked),
            "reason": choice.reason,
            "tasks": checked.tasks.iter().map(|task| task.key.as_str()).collect::<Vec<_>>(),
        }))?;
        return Ok(exit::OK);
    }
    let crews = plans::crews(checked);
    if crews.is_empty() {
        app.terminal.print(&format!("{}\n", choice.sentence()))?;
    }
    for crew in crews {
        app.terminal.print(&format!("{crew}\n"))?;
    }
    Ok(exit::OK)
}

fn asked_of(checked: &Checked) -> BTreeSet<String> {
    let mut agents = BTreeSet::new();
    for task in &checked.tasks {
        match task.flow.workflow.as_deref() {
            Some(workflow) => agents.extend(workflow.hands().iter().map(|hand| hand.agent.to_string())),
            None => drop(agents.insert(task.agent.to_string())),
        }
    }
    agents
}

/// One who was consulted.
struct Consulted {
    task: TaskKey,
    agent: String,
    outcome: Option<String>,
    consumed: Consumed,
}

/// Prints the answer and what it took.
fn answer(app: &App, run: RunId, finish: Finish, choice: &Choice) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let reader = reader.as_mut();
    let view = reader.run(run)?.ok_or_else(|| gone(run))?;
    let all_well = view.all_succeeded();
    let took = words::run_took(&view, now());
    let consulted = consulted(reader, run)?;
    let key = TaskKey(ANSWER.to_owned());
    let task = reader.task_by_key(run, &key)?.ok_or_else(|| gone(run))?;
    let result = reader.result(task.id)?.unwrap_or_default();
    let output = result.artifacts.iter().find(|artifact| artifact.name == "output");
    let text = match output {
        Some(output) => reader.artifact(&output.hash)?,
        None => None,
    };
    let text = text.map_or_else(
        || result.summary.clone(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    let trail = result.artifacts.iter().find(|artifact| artifact.name == ARTIFACT);
    let trail: Value = match trail {
        Some(trail) => reader
            .artifact(&trail.hash)?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or(Value::Null),
        None => Value::Null,
    };
    let confidence = result.verdict.as_deref().and_then(verdict::confidence);
    if app.terminal.json {
        let cost = |one: &Consumed| json!({ "known_nano": one.known_nano, "unknown_attempts": one.unknown_attempts });
        let consulted: Vec<Value> = consulted
            .iter()
            .map(|one| {
                json!({
                    "task": task_name(run, &one.task),
                    "agent": one.agent,
                    "outcome": one.outcome,
                    "tokens": one.consumed.usage.total(),
                    "cost": cost(&one.consumed),
                })
            })
            .collect();
        app.terminal.print_json(&json!({
            "answer": text,
            "succeeded": task.state.is_done() && all_well,
            "confidence": confidence,
            "unresolved": trail.get("unresolved"),
            "consulted": consulted,
            "cost": { "known_nano": view.cost_nano, "unknown_attempts": view.cost_unknown },
            "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "reason": choice.reason,
            "run": run.to_string(),
            "provenance": trail,
            "rehearsed": result.rehearsed,
        }))?;
        return Ok(work::closing(app, &[run], finish, all_well));
    }
    app.terminal.print(&format!("{}\n", text.trim_end()))?;
    let names: Vec<String> = consulted
        .iter()
        .map(|one| format!("{} ({})", one.agent, one.task))
        .collect();
    let sure = confidence.map_or_else(String::new, |sure| format!("confidence {sure}; "));
    app.terminal.say(&format!(
        "{sure}consulted: {}; {}, {}; `wheelhouse status {run}` has it all",
        names.join(", "),
        words::run_cost(view.cost_nano, view.cost_unknown),
        human(took)
    ));
    Ok(work::closing(app, &[run], finish, all_well))
}

fn gone(run: RunId) -> Failure {
    Failure::new(exit::NOT_FOUND, format!("the run {run} of the question is gone"))
}

fn consulted(reader: &mut dyn Reader, run: RunId) -> Result<Vec<Consulted>, Failure> {
    let mut all = Vec::new();
    for task in gather::tasks(reader, run)? {
        let attempts = reader.attempts(task.id)?;
        let is_workflow = reader.spec(task.id)?.is_some_and(|spec| spec.flow.workflow.is_some());
        if attempts.is_empty() || is_workflow {
            continue;
        }
        all.push(Consulted {
            agent: task.agent.to_string(),
            outcome: attempts
                .last()
                .and_then(|last| last.outcome.as_ref())
                .map(|outcome| outcome.class().to_owned()),
            consumed: Consumed::of(&attempts),
            task: task.key,
        });
    }
    Ok(all)
}
