//! The same random trace to two stores: everything they answer and show must be equal.
//!
//! Equal means: the same replies, the same views, the same artifacts, and for every task and every run the same
//! events in the same order. Left out are the words of refusals and of reasons that stores give by themselves, the
//! numbers of cursors, the order of events of different tasks within a commit, and `cancel_requested` of a task that
//! does not run.

use std::collections::BTreeMap;
use std::fmt::Debug;

use wheelhouse_core::day::Day;
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{Cursor, RunId, TaskId};
use wheelhouse_core::store::{Command, Reader, Refused, Reply, TaskView};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;

use super::Bench;
use super::history;
use super::traffic::random_commands;
use crate::memory::TestClock;

/// How often everything that can be read is compared; the answers are compared at every step.
const LOOK_EVERY: u64 = 15;
/// How much of the trace is told with a difference: everything since the last look, and a little before it.
const TRACE_TOLD: usize = 18;

/// Plays `steps` random steps to both stores, which must be fresh and tell the time by `clock`. `b` is lost and
/// opened again now and then. An error says where they part and what led there; the seed reproduces it.
///
/// # Errors
/// The first difference, or a breach of the rules of [`history`].
///
/// # Panics
/// When a store fails.
pub fn compare(a: &mut dyn Bench, b: &mut dyn Bench, clock: &TestClock, seed: u64, steps: u64) -> Result<(), String> {
    let mut traffic = random_commands(seed);
    let mut trace: Vec<String> = Vec::new();
    for number in 1..=steps {
        let step = traffic.step(clock.now());
        clock.advance_ms(step.clock_ms);
        trace.push(format!("{number}: +{} ms {:?}", step.clock_ms, step.batch));
        let answers = a.store().commit(&step.batch).expect("store a works");
        let others = b.store().commit(&step.batch).expect("store b works");
        compare_answers(&step.batch, &answers, &others).map_err(|diff| explain(seed, &diff, &trace))?;
        let open = a.store().reader().and_then(|mut reader| reader.open_questions());
        let open = open.expect("store a can be read");
        let open = open.into_iter().map(|question| question.id).collect();
        traffic.learn(&step.batch, &answers, open);
        if step.restart {
            trace.push(format!("{number}: b is opened again"));
            b.reopen();
        }
        if number % LOOK_EVERY == 0 || number == steps {
            look(a, b).map_err(|diff| explain(seed, &diff, &trace))?;
        }
    }
    Ok(())
}

/// Says what went wrong with the part of the trace that led there.
fn explain(seed: u64, diff: &str, trace: &[String]) -> String {
    let from = trace.len().saturating_sub(TRACE_TOLD);
    format!("seed {seed}: {diff}\nafter\n{}", trace[from..].join("\n"))
}

fn compare_answers(
    batch: &[Command],
    answers: &[Result<Reply, Refused>],
    others: &[Result<Reply, Refused>],
) -> Result<(), String> {
    same("the number of answers", &answers.len(), &others.len())?;
    for ((command, a), b) in batch.iter().zip(answers).zip(others) {
        if plain(a) != plain(b) {
            return Err(format!("{command:?} is answered\na: {a:?}\nb: {b:?}"));
        }
    }
    Ok(())
}

/// An answer without the words of a refusal.
fn plain(answer: &Result<Reply, Refused>) -> Result<Reply, Refused> {
    match answer {
        Err(Refused::Illegal(_)) => Err(Refused::Illegal(String::new())),
        other => other.clone(),
    }
}

fn same<T: PartialEq + Debug>(what: &str, a: &T, b: &T) -> Result<(), String> {
    if a == b {
        return Ok(());
    }
    Err(format!("{what} differ\na: {a:?}\nb: {b:?}"))
}

/// Compares everything that can be read.
fn look(a: &mut dyn Bench, b: &mut dyn Bench) -> Result<(), String> {
    let mut a = a.store().reader().expect("store a can be read");
    let mut b = b.store().reader().expect("store b can be read");
    for (name, reader) in [("a", &mut a), ("b", &mut b)] {
        let faults = history::audit(reader.as_mut());
        if !faults.is_empty() {
            return Err(format!("store {name} is wrong:\n{}", faults.join("\n")));
        }
    }
    let runs = a.runs(u32::MAX).expect("read");
    same("runs", &runs, &b.runs(u32::MAX).expect("read"))?;
    same(
        "open questions",
        &a.open_questions().expect("read"),
        &b.open_questions().expect("read"),
    )?;
    same(
        "the ledger",
        &a.ledger(0, u32::MAX).expect("read"),
        &b.ledger(0, u32::MAX).expect("read"),
    )?;
    let tallies = |reader: &mut dyn Reader| {
        let all = reader.tallies(Day(0), Day(u32::MAX)).expect("read");
        all.into_iter()
            .filter(|(_, tally)| !tally.is_empty())
            .collect::<BTreeMap<_, _>>()
    };
    same("the tallies", &tallies(a.as_mut()), &tallies(b.as_mut()))?;
    let (budgets, others) = (a.budgets(Millis(0)), b.budgets(Millis(0)));
    same("the budgets", &budgets.expect("read"), &others.expect("read"))?;
    let allowances = |reader: &mut dyn Reader| {
        let mut all = reader.allowances().expect("read");
        all.sort_by(|one, other| (&one.account, one.window).cmp(&(&other.account, other.window)));
        all
    };
    same("the allowances", &allowances(a.as_mut()), &allowances(b.as_mut()))?;
    for run in &runs {
        same("run", &a.run(run.id).expect("read"), &b.run(run.id).expect("read"))?;
        same(
            "run specs",
            &a.run_spec(run.id).expect("read"),
            &b.run_spec(run.id).expect("read"),
        )?;
        let tasks = a.tasks(run.id, 0, u32::MAX).expect("read");
        let others = b.tasks(run.id, 0, u32::MAX).expect("read");
        same("the number of tasks", &tasks.len(), &others.len())?;
        for (task, other) in tasks.into_iter().zip(others) {
            look_at_task(a.as_mut(), b.as_mut(), task, other)?;
        }
    }
    look_at_events(a.as_mut(), b.as_mut())
}

fn look_at_task(a: &mut dyn Reader, b: &mut dyn Reader, task: TaskView, other: TaskView) -> Result<(), String> {
    let id = task.id;
    let by_key = b.task_by_key(task.run, &task.key).expect("read");
    same("task by key", &Some(id), &by_key.map(|task| task.id))?;
    same("task", &only_while_running(task), &only_while_running(other))?;
    same("spec", &a.spec(id).expect("read"), &b.spec(id).expect("read"))?;
    let what = format!("the tries of {id}");
    same(&what, &a.attempts(id).expect("read"), &b.attempts(id).expect("read"))?;
    let result = a.result(id).expect("read");
    same("result", &result, &b.result(id).expect("read"))?;
    for artifact in result.iter().flat_map(|result| &result.artifacts) {
        let bytes = a.artifact(&artifact.hash).expect("read");
        same("artifact", &bytes, &b.artifact(&artifact.hash).expect("read"))?;
    }
    Ok(())
}

/// A request to stop means something while the task runs; stores may keep or clear it afterwards.
fn only_while_running(mut task: TaskView) -> TaskView {
    task.cancel_requested &= task.state == TaskState::Running;
    task
}

fn look_at_events(a: &mut dyn Reader, b: &mut dyn Reader) -> Result<(), String> {
    let events = a.events(Cursor(0), None, u32::MAX).expect("read");
    let others = b.events(Cursor(0), None, u32::MAX).expect("read");
    // Questions first: their events carry what the views of answered ones show.
    for event in &events {
        if let Happened::QuestionAsked { question, .. } = &event.happened {
            let question = *question;
            same(
                "question",
                &a.question(question).expect("read"),
                &b.question(question).expect("read"),
            )?;
        }
    }
    let (streams, other_streams) = (streams(events), streams(others));
    for (of, stream) in &streams {
        let what = format!("the events of {of:?}");
        same(&what, &Some(stream), &other_streams.get(of))?;
    }
    same("the number of histories", &streams.len(), &other_streams.len())
}

type Streams = BTreeMap<(RunId, Option<TaskId>), Vec<(Millis, Happened)>>;

/// The history, apart for each task and each run.
fn streams(events: Vec<Event>) -> Streams {
    let mut streams = Streams::new();
    for event in events {
        let happened = match event.happened {
            Happened::TaskReturned { fence, why } => Happened::TaskReturned {
                fence,
                why: if why.starts_with(super::traffic::WHY) {
                    why
                } else {
                    String::new()
                },
            },
            other => other,
        };
        let stream = streams.entry((event.run, event.task)).or_default();
        stream.push((event.at, happened));
    }
    streams
}
