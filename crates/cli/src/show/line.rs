//! Events as lines for people.

use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::time::{Millis, human};

use super::words;
use crate::json::task_name;
use crate::terminal::{Paint, one_line};

/// One event on one line: when, about what, what happened.
pub(crate) fn event(event: &Event, key: Option<&TaskKey>, now: Millis, paint: Paint) -> String {
    let subject = match key {
        Some(key) => task_name(event.run, key),
        None => event.run.to_string(),
    };
    format!(
        "{} {} {}  {}",
        paint.dim(&format!("{:>6}", event.cursor.0)),
        paint.dim(&words::clock(event.at, now)),
        paint.strong(&subject),
        happened(&event.happened, event)
    )
}

/// What happened, in the past tense.
pub(crate) fn happened(happened: &Happened, event: &Event) -> String {
    match happened {
        Happened::RunSubmitted { name, tasks } => {
            format!("submitted as {} with {}", one_line(name), words::count(*tasks, "task"))
        }
        Happened::TasksAdded { tasks } => format!("got {} more", words::count(*tasks, "task")),
        Happened::RunPaused { interrupted: true } => "interrupted: its engine went away".to_owned(),
        Happened::RunPaused { interrupted: false } => "paused".to_owned(),
        Happened::RunResumed => "resumed".to_owned(),
        Happened::RunCancelled => "cancelled".to_owned(),
        Happened::RunFinished { succeeded, failed: 0 } => {
            format!("finished: {} succeeded", words::count(*succeeded, "task"))
        }
        Happened::RunFinished { succeeded, failed } => {
            format!(
                "finished: {} succeeded, {failed} did not",
                words::count(*succeeded, "task")
            )
        }
        Happened::RunReopened => "opened again".to_owned(),
        Happened::TaskReady => "ready".to_owned(),
        Happened::TaskClaimed { attempt, fence, agent } => {
            format!("claimed for {agent}, try {attempt} (fence {fence})")
        }
        Happened::AttemptStarted { attempt, session, pid } => {
            let mut text = format!("try {attempt} started");
            if let Some(pid) = pid {
                text.push_str(&format!(", process {pid}"));
            }
            if let Some(session) = session {
                text.push_str(&format!(", session {}", one_line(session)));
            }
            text
        }
        Happened::AttemptReported { kind, text, .. } => format!("{}: {}", one_line(kind), one_line(text)),
        Happened::AttemptEnded {
            attempt,
            outcome,
            usage,
            cost,
        } => {
            let mut text = format!("try {attempt} ended: {}", words::outcome(outcome).text);
            if let Some(tokens) = words::tokens(usage) {
                text.push_str(&format!(", {tokens}"));
            }
            text.push_str(&format!(", {}", words::cost(cost)));
            text
        }
        Happened::SpendingBooked { attempt, usage, cost } => {
            let tokens = words::tokens(usage).unwrap_or_else(|| "no tokens".to_owned());
            format!("try {attempt} had consumed {tokens}, {}", words::cost(cost))
        }
        Happened::BudgetWarned { .. } => budget_warned(&event.happened).unwrap_or_default(),
        Happened::TaskRated { stars, words } => format!("rated {stars} of 5: {}", one_line(words)),
        Happened::TaskHeld { held } => format!("held: {}", words::held_note(held, event.run, event.at)),
        Happened::TaskReleased => "released".to_owned(),
        Happened::TaskAwaits { added, pending } => format!("goes on with {added} new steps; waits for {pending}"),
        Happened::TaskReturned { fence, why } => format!("returned (fence {fence} is void): {}", one_line(why)),
        Happened::TaskDone { outcome, continues } => {
            let goes_on = if *continues {
                "; its dependants run all the same"
            } else {
                ""
            };
            format!("done: {}{goes_on}", words::outcome(outcome).text)
        }
        Happened::TaskRetried => "to be tried again".to_owned(),
        Happened::CancelRequested => "asked to stop".to_owned(),
        Happened::InterruptRequested => "asked to end its turn".to_owned(),
        Happened::InstanceSpawned {
            instance,
            parent,
            name,
            agent,
        } => {
            let by = parent.map(|parent| format!(" by {parent}")).unwrap_or_default();
            format!("{instance} {name} spawned{by} on {agent}")
        }
        Happened::InstanceSuspended { instance } => format!("{instance} suspended"),
        Happened::InstanceResumed { instance } => format!("{instance} resumed"),
        Happened::InstanceEnded { instance, end } => format!("{instance} ended: {}", end.name().replace('_', " ")),
        Happened::MessageSent {
            message,
            from,
            to,
            kind: _,
        } => format!("{message} from {from} to {to}"),
        Happened::QuestionAsked { question, text, .. } => format!("asked {question}: {}", one_line(text)),
        Happened::TaskSteered { words } => format!("told: {}", one_line(words)),
        Happened::QuestionAnswered { question, answer } => format!("{question} answered: {}", one_line(answer)),
    }
}

/// A line of progress on stderr, for the events that are worth one; `done` and `total` say how far the run is.
pub(crate) fn progress(
    event: &Event,
    key: Option<&TaskKey>,
    took: Option<std::time::Duration>,
    (done, total): (u64, u64),
    paint: Paint,
) -> Option<String> {
    let key = key.map(TaskKey::as_str).unwrap_or_default();
    match &event.happened {
        Happened::TaskDone { outcome, .. } => {
            let cell = words::outcome(outcome);
            let mark = match outcome {
                wheelhouse_core::outcome::Outcome::Succeeded => paint.good("✓"),
                wheelhouse_core::outcome::Outcome::Skipped { .. } | wheelhouse_core::outcome::Outcome::Cancelled => {
                    paint.dim("○")
                }
                _ => paint.bad("✗"),
            };
            let took = took.map(|took| format!(" in {}", human(took))).unwrap_or_default();
            let far = paint.dim(&format!("({done} of {total})"));
            Some(format!(
                "{mark} {key} {}{took} {far}",
                cell.tone.paint(paint, &cell.text)
            ))
        }
        Happened::AttemptEnded { attempt, outcome, .. } if !outcome.is_success() => {
            let text = words::outcome(outcome).text;
            Some(format!("{} {key} try {attempt}: {text}", paint.warm("!")))
        }
        Happened::BudgetWarned { .. } => {
            let note = budget_warned(&event.happened)?;
            Some(format!("{} {note}", paint.warm("!")))
        }
        Happened::TaskHeld { held } if worth_a_line(held) => {
            let note = words::held_note(held, event.run, event.at);
            Some(format!("{} {key} {note}", paint.warm("?")))
        }
        // Worth a line while it can still be prevented.
        Happened::AttemptReported { kind, text, .. } if kind == "overlap" => {
            Some(format!("{} {key} overlap: {}", paint.warm("!"), one_line(text)))
        }
        Happened::TaskReturned { why, .. } => Some(format!("{} {key} returned: {}", paint.warm("!"), one_line(why))),
        Happened::TasksAdded { tasks } => Some(format!("{} {} added", paint.live("+"), words::count(*tasks, "task"))),
        Happened::RunPaused { interrupted: false } => Some(format!("{} {} paused", paint.warm("?"), event.run)),
        Happened::RunResumed => Some(format!("{} {} resumed", paint.live("▸"), event.run)),
        Happened::InstanceSpawned {
            instance, name, agent, ..
        } => Some(format!("{} {instance} {name} spawned on {agent}", paint.live("+"))),
        Happened::InstanceEnded { instance, end } => {
            let how = end.name().replace('_', " ");
            Some(format!("{} {instance} ended: {how}", paint.dim("○")))
        }
        Happened::AttemptReported { kind, text, .. } if kind == "needs_attention" => {
            Some(format!("{} {key} {}", paint.warm("?"), one_line(text)))
        }
        Happened::RunCancelled => Some(format!("{} {} cancelled", paint.dim("○"), event.run)),
        Happened::RunSubmitted { .. }
        | Happened::RunPaused { interrupted: true }
        | Happened::RunFinished { .. }
        | Happened::RunReopened
        | Happened::TaskReady
        | Happened::TaskClaimed { .. }
        | Happened::AttemptStarted { .. }
        | Happened::AttemptReported { .. }
        | Happened::AttemptEnded { .. }
        | Happened::SpendingBooked { .. }
        | Happened::TaskRated { .. }
        | Happened::TaskHeld { .. }
        | Happened::TaskAwaits { .. }
        | Happened::TaskReleased
        | Happened::TaskRetried
        | Happened::CancelRequested
        | Happened::InterruptRequested
        | Happened::InstanceSuspended { .. }
        | Happened::InstanceResumed { .. }
        | Happened::MessageSent { .. }
        | Happened::QuestionAsked { .. }
        | Happened::TaskSteered { .. }
        | Happened::QuestionAnswered { .. } => None,
    }
}

/// How much of a budget is used, when that was said.
fn budget_warned(happened: &Happened) -> Option<String> {
    let Happened::BudgetWarned {
        scope,
        used_nano,
        limit_nano,
    } = happened
    else {
        return None;
    };
    let percent = u128::from(*used_nano) * 100 / u128::from((*limit_nano).max(1));
    Some(format!(
        "{percent} % of the budget of {} is used: {} of {}",
        words::scope_name(scope),
        words::dollars(*used_nano),
        words::dollars(*limit_nano)
    ))
}

fn worth_a_line(held: &wheelhouse_core::task::Held) -> bool {
    use wheelhouse_core::task::Held;
    match held {
        Held::Approval { .. }
        | Held::Question { .. }
        | Held::MergeConflict { .. }
        | Held::Budget { .. }
        | Held::Quota { .. }
        | Held::Retry { .. } => true,
        // A paused run says so once, and conflicts come and go by themselves.
        Held::Paused | Held::Conflict { .. } => false,
    }
}
