//! The history against the tables: reads everything a store shows and finds what does not agree.

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AttemptNumber, Cursor, TaskId, TaskKey};
use wheelhouse_core::ledger::{Entry, Line, Tally, TallyKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Counts, Reader, RunState, RunView, TaskView};
use wheelhouse_core::task::TaskState;

use super::history::{Pause, Phase, Rules, Tale, Witness, witness};

/// Reads everything a store shows, checks its history, and compares the history with the tables. Empty when all is
/// well.
///
/// # Panics
/// When the store cannot be read.
pub fn audit(reader: &mut dyn Reader) -> Vec<String> {
    let runs = reader.runs(u32::MAX).expect("runs can be read");
    let mut tasks: BTreeMap<TaskId, TaskView> = BTreeMap::new();
    let mut rules = Rules::default();
    for run in &runs {
        let of_run = reader.tasks(run.id, 0, u32::MAX).expect("tasks can be read");
        let ids: BTreeMap<_, _> = of_run.iter().map(|task| (task.key.clone(), task.id)).collect();
        for task in of_run {
            let needs = task.needs.iter().filter_map(|key| ids.get(key).copied()).collect();
            rules.needs.insert(task.id, needs);
            tasks.insert(task.id, task);
        }
    }
    let events = reader.events(Cursor(0), None, u32::MAX).expect("events can be read");
    let witness = witness(&events, &rules);
    let mut faults = witness.breaches.clone();
    let ledger = reader.ledger(0, u32::MAX).expect("the ledger can be read");
    for run in &runs {
        let sums = sum(ledger.iter().filter(|entry| entry.run == run.id));
        faults.extend(compare_run(run, &tasks, &witness, &sums));
    }
    faults.extend(compare_ledger(&ledger, reader));
    for task in tasks.values() {
        faults.extend(compare_task(task, &witness));
        faults.extend(compare_waits(task, &tasks, &rules, &witness, reader));
        faults.extend(check_attempts(task, reader));
    }
    for question in reader.open_questions().expect("questions can be read") {
        let held_on_it = tasks.get(&question.task).is_some_and(|task| {
            let asks = task.state == TaskState::Running;
            asks || matches!(&task.state, TaskState::Held(held) if held.question() == Some(question.id))
        });
        if !held_on_it {
            faults.push(format!(
                "{} is open and {} is not held on it",
                question.id, question.task
            ));
        }
    }
    faults
}

fn sum<'e>(entries: impl Iterator<Item = &'e Entry>) -> Tally {
    let mut sum = Tally::default();
    for entry in entries {
        sum.book(&Line {
            turn: entry.turn.clone(),
            model: entry.model.clone(),
            usage: entry.usage,
            cost: entry.cost,
            assumed_nano: entry.assumed_nano,
        });
    }
    sum
}

/// However the ledger is summed, it is one number; and no budget holds more than its limit.
fn compare_ledger(ledger: &[Entry], reader: &mut dyn Reader) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_day: BTreeMap<TallyKey, Tally> = BTreeMap::new();
    for (key, tally) in reader.tallies(Day(0), Day(u32::MAX)).expect("the tallies can be read") {
        by_day.entry(key).or_default().add(&tally);
    }
    let mut keys: BTreeMap<TallyKey, Vec<&Entry>> = BTreeMap::new();
    for entry in ledger {
        let key = TallyKey {
            day: Day::of(entry.at),
            agent: entry.agent.clone(),
            model: entry.model.clone(),
            account: entry.account.clone(),
            kind: entry.kind.clone(),
        };
        keys.entry(key).or_default().push(entry);
    }
    for (key, entries) in &keys {
        let (one, other) = (
            sum(entries.iter().copied()),
            by_day.get(key).copied().unwrap_or_default(),
        );
        let money = |tally: &Tally| {
            let Tally {
                entries,
                usage,
                included,
                unknown,
                assumed_nano,
                ..
            } = *tally;
            (
                entries,
                usage.total(),
                tally.known_nano(),
                included,
                unknown,
                assumed_nano,
            )
        };
        if money(&one) != money(&other) {
            faults.push(format!(
                "{key:?}: the ledger says {:?}, its sum by day {:?}",
                money(&one),
                money(&other)
            ));
        }
    }
    let booked: u64 = by_day.values().map(|tally| tally.entries).sum();
    if booked != ledger.len() as u64 {
        faults.push(format!(
            "the sums by day hold {booked} entries, the ledger {}",
            ledger.len()
        ));
    }
    faults
}

fn compare_run(run: &RunView, tasks: &BTreeMap<TaskId, TaskView>, witness: &Witness, sums: &Tally) -> Vec<String> {
    let mut faults = Vec::new();
    let mut counts = Counts::default();
    for task in tasks.values().filter(|task| task.run == run.id) {
        *match &task.state {
            TaskState::Waiting { .. } => &mut counts.waiting,
            TaskState::Ready => &mut counts.ready,
            TaskState::Running => &mut counts.running,
            TaskState::Held(_) => &mut counts.held,
            TaskState::Done { outcome } => match outcome {
                Outcome::Succeeded => &mut counts.succeeded,
                Outcome::Skipped { .. } => &mut counts.skipped,
                Outcome::Cancelled => &mut counts.cancelled,
                _ => &mut counts.failed,
            },
        } += 1;
    }
    if counts != run.counts {
        faults.push(format!("{}: counts {:?}, recount {counts:?}", run.id, run.counts));
    }
    let Some(tale) = witness.runs.get(&run.id) else {
        faults.push(format!("{} has no history", run.id));
        return faults;
    };
    let told = (tale.finished, tale.paused);
    let shown = match run.state {
        RunState::Active => (false, Pause::No),
        RunState::Paused => (false, Pause::ByPerson),
        RunState::Interrupted => (false, Pause::Interrupted),
        RunState::Finished => (true, Pause::No),
    };
    if told != shown || run.finished_at.is_some() != tale.finished || tale.told != counts.total() {
        faults.push(format!("{} is {:?}, its history says otherwise", run.id, run.state));
    }
    if !run.standing && tale.finished != (counts.open() == 0) {
        faults.push(format!(
            "{} is {:?} with {} open tasks",
            run.id,
            run.state,
            counts.open()
        ));
    }
    let totals = (run.usage.total(), run.cost_nano, run.cost_unknown);
    let booked = (sums.usage.total(), sums.known_nano(), sums.unknown);
    if booked != totals {
        faults.push(format!(
            "{}: consumed {totals:?}, its ledger adds up to {booked:?}",
            run.id
        ));
    }
    // Of what is reported twice the ledger holds less than was told, never more.
    if totals.0 > tale.usage_total {
        let told = tale.usage_total;
        faults.push(format!(
            "{}: consumed {totals:?}, the history tells of {told} tokens",
            run.id
        ));
    }
    faults
}

fn compare_task(task: &TaskView, witness: &Witness) -> Vec<String> {
    let mut faults = Vec::new();
    let id = task.id;
    let unheard = Tale::default();
    let tale = witness.tasks.get(&id).unwrap_or(&unheard);
    let phase = match &task.state {
        TaskState::Waiting { .. } => Phase::Waiting,
        TaskState::Ready => Phase::Ready,
        TaskState::Running => Phase::Running,
        TaskState::Held(_) => Phase::Held,
        TaskState::Done { .. } => Phase::Done,
    };
    if tale.phase != phase {
        faults.push(format!("{id} is {:?}, its history says {:?}", task.state, tale.phase));
    }
    if let TaskState::Done { outcome } = &task.state
        && tale.done.as_ref() != Some(outcome)
    {
        faults.push(format!("{id} is done {outcome:?}, its history says {:?}", tale.done));
    }
    if (task.fence, task.attempt) != (tale.fence, tale.attempt) {
        let told = (tale.fence, tale.attempt);
        faults.push(format!(
            "{id}: fence and try {:?}, told {told:?}",
            (task.fence, task.attempt)
        ));
    }
    if task.done_at.is_some() != task.state.is_done() {
        faults.push(format!("{id}: done at {:?} and {:?}", task.done_at, task.state));
    }
    faults
}

/// What a task waits for is what it says it waits for.
fn compare_waits(
    task: &TaskView,
    tasks: &BTreeMap<TaskId, TaskView>,
    rules: &Rules,
    witness: &Witness,
    reader: &mut dyn Reader,
) -> Vec<String> {
    let mut faults = Vec::new();
    let id = task.id;
    let children = reader.children(id).expect("children can be read");
    let steps: Vec<TaskKey> = children
        .into_iter()
        .filter(|one| !one.state.is_done())
        .map(|one| one.key)
        .collect();
    if let (TaskState::Waiting { pending }, false) = (&task.state, steps.is_empty()) {
        // A workflow that has begun waits for what it began.
        if task.waits_for != steps || *pending == 0 || *pending as usize > steps.len() {
            faults.push(format!(
                "{id} waits for {pending} of {:?}, open are {steps:?}",
                task.waits_for
            ));
        }
        return faults;
    }
    let needs = rules.needs.get(&id).map_or(&[][..], |needs| needs);
    let open: BTreeSet<_> = needs
        .iter()
        .filter_map(|need| tasks.get(need))
        .filter(|need| !need.state.is_done())
        .map(|need| &need.key)
        .collect();
    if open != task.waits_for.iter().collect() {
        faults.push(format!("{id} waits for {:?}, open are {open:?}", task.waits_for));
    }
    if let TaskState::Waiting { pending } = &task.state {
        let met = |need: &&TaskId| witness.tasks.get(*need).is_some_and(|need| need.satisfies);
        let missing = needs.len() - needs.iter().filter(met).count();
        if *pending as usize != missing || open.len() != missing || missing == 0 {
            faults.push(format!(
                "{id} waits for {pending}, missing are {missing}, open are {open:?}"
            ));
        }
    }
    faults
}

fn check_attempts(task: &TaskView, reader: &mut dyn Reader) -> Vec<String> {
    let attempts = reader.attempts(task.id).expect("attempts can be read");
    let mut faults = Vec::new();
    let numbers: Vec<AttemptNumber> = attempts.iter().map(|attempt| attempt.number).collect();
    if numbers != (1..=task.attempt).collect::<Vec<_>>() {
        faults.push(format!(
            "{} is at try {} and has tries {numbers:?}",
            task.id, task.attempt
        ));
    }
    for attempt in &attempts {
        let ended = attempt.ended_at.is_some();
        if attempt.outcome.is_some() != ended || attempt.cost.is_some() != ended || attempt.begun == 0 {
            faults.push(format!("{}: half an end in {attempt:?}", task.id));
        }
        if ended && task.state == TaskState::Running && attempt.number == task.attempt {
            faults.push(format!("{} runs and its try has ended", task.id));
        }
    }
    faults
}
