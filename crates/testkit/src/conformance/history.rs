//! A checker over what happened: the rules that every history obeys, whatever was killed and whenever.
//!
//! Used after every conformance case, by the simulation and by the tests that kill the engine. It knows nothing of
//! how a store works; it reads events as a witness would. [`check`] takes a complete history (all events from the
//! first, of one run or of all); [`audit`] compares it with what else a store shows.

use std::collections::BTreeMap;

use wheelhouse_core::chain;
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{AttemptNumber, Cursor, Fence, RunId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::task::Held;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::Usage;

pub use super::audit::audit;

/// What the events alone do not say.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What each task needs. A task that is not listed is not checked for it.
    pub needs: BTreeMap<TaskId, Vec<TaskId>>,
    /// How many tasks may run at once over all runs of the history.
    pub running_max: Option<usize>,
}

/// Every breach of the rules, in words; empty for a good history.
pub fn check(events: &[Event], rules: &Rules) -> Vec<String> {
    witness(events, rules).breaches
}

/// Where a task stands by what was told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Phase {
    #[default]
    Waiting,
    Ready,
    Running,
    /// Between two events of one commit: a try ended.
    Ended,
    /// Between two events of one commit: a try was returned, or a hold was released.
    Loose,
    Held,
    Done,
}

#[derive(Default)]
pub(super) struct Tale {
    pub(super) run: Option<RunId>,
    pub(super) phase: Phase,
    pub(super) fence: Fence,
    pub(super) attempt: AttemptNumber,
    /// The next claim repeats the try.
    pub(super) repeats: bool,
    pub(super) last_outcome: Option<Outcome>,
    pub(super) done: Option<Outcome>,
    pub(super) satisfies: bool,
    pub(super) stopping: bool,
}

impl Tale {
    /// Whether this try is the one under way.
    fn is_running(&self, attempt: AttemptNumber) -> bool {
        self.phase == Phase::Running && attempt == self.attempt
    }

    /// Whether it is said what stands in the way of a ready task, before anybody is asked.
    fn is_barred(&self, happened: &Happened) -> bool {
        let of_chain = |kind: &str, attempt| kind == chain::REPORT_KIND && attempt == self.attempt;
        self.phase == Phase::Ready
            && matches!(happened, Happened::AttemptReported { attempt, kind, .. } if of_chain(kind, *attempt))
    }
}

#[derive(Default)]
pub(super) struct RunTale {
    pub(super) submitted: bool,
    pub(super) told: u64,
    pub(super) paused: Pause,
    pub(super) finished: bool,
    pub(super) done: u64,
    pub(super) succeeded: u64,
    pub(super) usage_total: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pause {
    #[default]
    No,
    Interrupted,
    ByPerson,
}

#[derive(Default)]
pub(super) struct Witness {
    pub(super) breaches: Vec<String>,
    pub(super) runs: BTreeMap<RunId, RunTale>,
    pub(super) tasks: BTreeMap<TaskId, Tale>,
    pub(super) running: usize,
}

pub(super) fn witness(events: &[Event], rules: &Rules) -> Witness {
    let mut witness = Witness::default();
    let (mut last, mut at) = (Cursor(0), Millis(0));
    for event in events {
        let breaches = witness.breaches.len();
        if event.cursor <= last {
            witness.breach("cursors ascend");
        }
        if event.at < at {
            witness.breach("time does not run backwards");
        }
        (last, at) = (event.cursor, event.at);
        match event.task {
            None => witness.of_run(event),
            Some(task) => witness.of_task(task, event, rules),
        }
        for breach in &mut witness.breaches[breaches..] {
            *breach = format!("{breach}: broken by {event:?}");
        }
    }
    let mut loose = Vec::new();
    for (id, tale) in &witness.tasks {
        if matches!(tale.phase, Phase::Loose | Phase::Ended) {
            loose.push(format!(
                "what ends a try says what comes next: {id} is left between two states"
            ));
        }
    }
    witness.breaches.extend(loose);
    witness
}

impl Witness {
    fn breach(&mut self, rule: &str) {
        self.breaches.push(rule.to_owned());
    }

    fn rule(&mut self, rule: &str, holds: bool) {
        if !holds {
            self.breach(rule);
        }
    }

    fn of_run(&mut self, event: &Event) {
        let tale = self.runs.entry(event.run).or_default();
        let (rule, holds) = match &event.happened {
            Happened::RunSubmitted { tasks, .. } => {
                tale.told = *tasks;
                let first = !std::mem::replace(&mut tale.submitted, true);
                ("a run is submitted once", first)
            }
            Happened::TasksAdded { tasks } => {
                tale.told += tasks;
                ("tasks join an open run", !tale.finished)
            }
            Happened::RunPaused { interrupted } => {
                let now = if *interrupted {
                    Pause::Interrupted
                } else {
                    Pause::ByPerson
                };
                let before = std::mem::replace(&mut tale.paused, now);
                let changes = before == Pause::No || (before == Pause::Interrupted && now == Pause::ByPerson);
                ("an open run is paused once", changes && !tale.finished)
            }
            Happened::RunResumed => {
                let before = std::mem::take(&mut tale.paused);
                ("a paused run is resumed", before != Pause::No)
            }
            Happened::RunCancelled => ("an open run is cancelled", !tale.finished),
            Happened::RunFinished { succeeded, failed } => {
                let all = tale.done == tale.told && *succeeded == tale.succeeded;
                let again = std::mem::replace(&mut tale.finished, true);
                tale.paused = Pause::No;
                let rule = "a run finishes once, when all its tasks are done, and counts them right";
                (rule, all && !again && succeeded + failed == tale.told)
            }
            Happened::RunReopened => {
                let finished = std::mem::replace(&mut tale.finished, false);
                ("a finished run is opened again", finished)
            }
            Happened::InstanceSpawned { .. }
            | Happened::InstanceSuspended { .. }
            | Happened::InstanceResumed { .. }
            | Happened::InstanceEnded { .. }
            | Happened::MessageSent { .. } => ("instances live in an open run", !tale.finished),
            _ => ("what happens to a task names it", false),
        };
        let submitted = tale.submitted;
        self.rule(rule, holds);
        self.rule("a run begins by being submitted", submitted);
    }

    fn of_task(&mut self, id: TaskId, event: &Event, rules: &Rules) {
        if matches!(event.happened, Happened::TaskRated { .. }) {
            let over = self.tasks.get(&id).is_some_and(|tale| tale.phase == Phase::Done);
            self.rule("only what is over is rated", over);
            return;
        }
        let (submitted, finished, paused) = match self.runs.get(&event.run) {
            Some(run) => (run.submitted, run.finished, run.paused != Pause::No),
            None => (false, false, false),
        };
        self.rule("a task's run was submitted and is open", submitted && !finished);
        let mut tale = self.tasks.remove(&id).unwrap_or_default();
        let run = *tale.run.get_or_insert(event.run);
        self.rule("a task stays in its run", run == event.run);
        if tale.phase == Phase::Done {
            let retried = event.happened == Happened::TaskRetried;
            self.rule(
                "what is over stays over unless it is retried; nothing is settled twice",
                retried,
            );
        }
        let waited = tale.phase == Phase::Waiting;
        self.tell(&mut tale, event, paused);
        if let (true, Phase::Ready | Phase::Held, Some(needs)) = (waited, tale.phase, rules.needs.get(&id)) {
            // Judged when it leaves waiting: a need that is retried later does not call it back.
            let met = |need: &TaskId| self.tasks.get(need).is_some_and(|need| need.satisfies);
            let met = needs.iter().all(met);
            self.rule("a task is ready only after all it needs", met);
        }
        if let (Happened::TaskDone { outcome, .. }, Some(needs)) = (&event.happened, rules.needs.get(&id)) {
            let blocks = |need: &TaskId| {
                let need = self.tasks.get(need);
                need.is_some_and(|need| need.phase == Phase::Done && !need.satisfies)
            };
            let skipped = matches!(outcome, Outcome::Skipped { .. });
            let caused = !skipped || needs.iter().any(blocks);
            self.rule("a skip has a cause among the needs", caused);
        }
        self.tasks.insert(id, tale);
        if let Some(max) = rules.running_max {
            let within = self.running <= max;
            self.rule("no more run at once than may", within);
        }
    }

    fn count(&mut self, run: RunId, usage: Usage) {
        self.runs.entry(run).or_default().usage_total += usage.total();
    }

    /// What one event makes of a task, and whether it could happen there.
    fn tell(&mut self, tale: &mut Tale, event: &Event, paused: bool) {
        use Phase as P;
        let from = tale.phase;
        match &event.happened {
            Happened::TaskReady => {
                self.rule("nothing of a paused run is ready", !paused);
                self.rule("a task becomes ready once", matches!(from, P::Waiting | P::Loose));
                tale.phase = P::Ready;
            }
            Happened::TaskClaimed { attempt, fence, .. } => {
                self.rule("nothing of a paused run starts", !paused);
                self.rule("only a ready task is claimed", from == P::Ready);
                self.rule("fences grow", *fence > tale.fence);
                let expected = if tale.repeats { tale.attempt } else { tale.attempt + 1 };
                self.rule(
                    "tries are numbered without gaps, repeated ones keep theirs",
                    *attempt == expected,
                );
                (tale.fence, tale.attempt, tale.repeats) = (*fence, *attempt, false);
                self.enter_running(tale);
            }
            Happened::AttemptStarted { attempt, .. } | Happened::AttemptReported { attempt, .. } => {
                let speaks = tale.is_running(*attempt) || tale.is_barred(&event.happened);
                self.rule("only a running try says something", speaks);
            }
            Happened::AttemptEnded {
                attempt,
                outcome,
                usage,
                cost: _,
            } => {
                self.rule("claims and ends alternate", tale.is_running(*attempt));
                let stopped = !tale.stopping || *outcome == Outcome::Cancelled;
                self.rule("who was asked to stop ends as cancelled", stopped);
                self.leave_running(tale, P::Ended);
                tale.last_outcome = Some(outcome.clone());
                self.count(event.run, *usage);
            }
            Happened::TaskReturned { fence, .. } => {
                let current = from == P::Running && *fence == tale.fence;
                self.rule("claims and returns alternate", current);
                tale.repeats = true;
                self.leave_running(tale, P::Loose);
            }
            Happened::TaskAwaits { pending, .. } => self.tell_awaits(tale, *pending),
            Happened::TaskHeld { held } => {
                self.rule("a hold fits what came before it", hold_fits(held, from, paused));
                // Out of money the try goes on under its number; before a first try there is none to repeat.
                tale.repeats |= from == P::Ended && matches!(held, Held::Quota { .. } | Held::Budget { .. });
                tale.phase = P::Held;
            }
            Happened::SpendingBooked { usage, .. } => {
                self.rule("only a running try is booked", from == P::Running);
                self.count(event.run, *usage);
            }
            Happened::BudgetWarned { .. } | Happened::TaskRated { .. } => {}
            Happened::TaskReleased => {
                self.rule("only a held task is released", from == P::Held);
                tale.phase = P::Loose;
            }
            Happened::TaskDone { outcome, continues } => self.tell_done(tale, event.run, outcome, *continues),
            Happened::TaskRetried => {
                let without_success = tale.done.as_ref().is_some_and(|outcome| !outcome.is_success());
                self.rule("only what is done without success is retried", without_success);
                let run = self.runs.entry(event.run).or_default();
                run.done = run.done.saturating_sub(1);
                (tale.phase, tale.done, tale.satisfies) = (P::Waiting, None, false);
            }
            Happened::CancelRequested => {
                let first = from == P::Running && !tale.stopping;
                self.rule("what runs is asked to stop once", first);
                tale.stopping = true;
            }
            Happened::QuestionAsked { .. } => {
                let open = matches!(from, P::Waiting | P::Ready | P::Loose | P::Ended | P::Running);
                self.rule(
                    "a question is asked by a running try, or before the task is held on it",
                    open,
                );
            }
            Happened::QuestionAnswered { .. } => {
                let open = matches!(from, P::Held | P::Running);
                self.rule("a question ends with what it is about", open);
            }
            Happened::TaskSteered { .. } => self.rule("only what runs is steered", from == P::Running),
            Happened::InterruptRequested => {}
            Happened::InstanceSpawned { .. }
            | Happened::InstanceSuspended { .. }
            | Happened::InstanceResumed { .. }
            | Happened::InstanceEnded { .. }
            | Happened::MessageSent { .. } => self.breach("what happens to an instance names no task"),
            Happened::RunSubmitted { .. }
            | Happened::TasksAdded { .. }
            | Happened::RunPaused { .. }
            | Happened::RunResumed
            | Happened::RunCancelled
            | Happened::RunFinished { .. }
            | Happened::RunReopened => self.breach("what happens to a run names no task"),
        }
    }

    /// The try goes on under its number, at once or when so many children are over.
    fn tell_awaits(&mut self, tale: &mut Tale, pending: u32) {
        self.rule(
            "only a running workflow waits for its children",
            tale.phase == Phase::Running,
        );
        tale.repeats = true;
        let to = if pending == 0 { Phase::Loose } else { Phase::Waiting };
        self.leave_running(tale, to);
    }

    fn tell_done(&mut self, tale: &mut Tale, run: RunId, outcome: &Outcome, continues: bool) {
        self.rule("a running task ends with its try", tale.phase != Phase::Running);
        let stopped = !tale.stopping || *outcome == Outcome::Cancelled;
        self.rule("what was asked to stop is cancelled", stopped);
        let done = !outcome.is_success() || tale.last_outcome == Some(Outcome::Succeeded);
        self.rule("only a try that succeeded makes a task succeed", done);
        let skipped = matches!(outcome, Outcome::Skipped { .. });
        // Or what was found not to be needed when its turn had come.
        let found = tale.last_outcome.as_ref() == Some(outcome);
        self.rule(
            "only what waits is skipped",
            !skipped || tale.phase == Phase::Waiting || found,
        );
        let run = self.runs.entry(run).or_default();
        run.done += 1;
        run.succeeded += u64::from(outcome.is_success());
        tale.phase = Phase::Done;
        tale.stopping = false;
        tale.satisfies = outcome.is_success() || continues;
        tale.done = Some(outcome.clone());
    }

    fn enter_running(&mut self, tale: &mut Tale) {
        tale.phase = Phase::Running;
        self.running += 1;
    }

    fn leave_running(&mut self, tale: &mut Tale, to: Phase) {
        if tale.phase == Phase::Running {
            self.running -= 1;
        }
        tale.phase = to;
    }
}

/// Whether a task can become held for this reason after what came before.
fn hold_fits(held: &Held, from: Phase, paused: bool) -> bool {
    use Phase as P;
    match held {
        Held::Paused => paused && matches!(from, P::Waiting | P::Ready | P::Loose),
        Held::Approval { .. } => matches!(from, P::Waiting | P::Loose),
        Held::Conflict { .. } => from == P::Ready,
        Held::Question { .. } | Held::MergeConflict { .. } => from == P::Ended,
        // Before a try, when nobody of a chain can be asked.
        Held::Budget { .. } | Held::Quota { .. } | Held::Retry { .. } => matches!(from, P::Ready | P::Ended),
    }
}
