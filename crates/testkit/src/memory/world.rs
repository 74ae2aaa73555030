//! What the model holds, and the one place where a task's state is written.
//!
//! Every index (ready, running, wakes, conflicts, counts) is kept in [`World::set_state`] alone, so none can go
//! stale. How tasks move is told in `flow`. Commands live in the other neighbouring files; they check everything first
//! and change only then, which is how a refused command changes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use wheelhouse_core::breaker::{Subject, Ticket};
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{
    AgentName, ArtifactHash, AttemptNumber, Cursor, Fence, Lease, OwnerId, QuestionId, RunId, TaskId, TaskKey,
};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::route::past::PastTask;
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{Counts, Letter, ProcessMark, Refused, Reply, RunState, TaskResult};
use wheelhouse_core::task::{Held, TaskEvent, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

use super::chain::Kept;
use super::crew::Crew;
use super::money::Purse;

#[derive(Default)]
pub(super) struct World {
    pub(super) store_id: String,
    /// The moment of the command being applied.
    pub(super) now: Millis,
    /// How far the clock is behind the time of the store, because somebody set it back.
    late_ms: u64,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) questions: BTreeMap<QuestionId, Question>,
    /// What routing remembers; outlives the runs.
    pub(super) past: BTreeMap<TaskId, PastTask>,
    pub(super) artifacts: BTreeMap<ArtifactHash, Vec<u8>>,
    /// Ascending by cursor.
    pub(super) events: Vec<Event>,
    last_run: u64,
    last_task: u64,
    last_question: u64,
    last_cursor: u64,
    /// Claimable tasks, in the order of claiming, apart for each agent so that a capped one costs nothing.
    pub(super) ready: BTreeMap<AgentName, BTreeSet<(Reverse<i32>, TaskId)>>,
    pub(super) running: BTreeSet<TaskId>,
    pub(super) running_on: BTreeMap<AgentName, u32>,
    /// Held tasks that wake by themselves.
    pub(super) wakes: BTreeSet<(Millis, TaskId)>,
    /// Running task → tasks held because of its write set.
    pub(super) conflicts: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Tasks that left running within this command.
    pub(super) left_running: BTreeSet<TaskId>,
    /// Runs that may be finished after this command.
    pub(super) touched: BTreeSet<RunId>,
    /// Keys of wishes, with when, what for, and the answer.
    pub(super) once: BTreeMap<String, (Millis, String, Reply)>,
    pub(super) crew: Crew,
    pub(super) purse: Purse,
    pub(super) breakers: BTreeMap<Subject, Kept>,
    /// The owners that ever claimed.
    pub(super) owners: Vec<OwnerId>,
}

pub(super) struct Run {
    pub(super) spec: RunSpec,
    pub(super) state: RunState,
    pub(super) submitted_at: Millis,
    pub(super) finished_at: Option<Millis>,
    pub(super) counts: Counts,
    pub(super) tasks: Vec<TaskId>,
    pub(super) keys: HashMap<TaskKey, TaskId>,
    /// Absent until a first try ended: the sum of no usages is nobody's estimate.
    pub(super) usage: Option<Usage>,
    pub(super) cost_nano: u64,
    pub(super) cost_unknown: u64,
}

pub(super) struct Task {
    pub(super) run: RunId,
    pub(super) spec: TaskSpec,
    pub(super) state: TaskState,
    pub(super) agent: AgentName,
    pub(super) needs: Vec<TaskId>,
    pub(super) dependants: BTreeSet<TaskId>,
    pub(super) attempts: Vec<Attempt>,
    /// Whether the next claim begins a new try rather than repeating the last one.
    pub(super) next_is_new: bool,
    /// Tries on the current agent; zero when the agent is new or a person granted a fresh start.
    pub(super) on_agent: u32,
    /// Where it stands in its chain.
    pub(super) link: u32,
    /// Since when its deadline runs.
    pub(super) since: Option<Millis>,
    /// Whom its running try asks, and with which leave.
    pub(super) asks: Option<(Subject, Ticket)>,
    /// The breaker that it is held because of.
    pub(super) barred_by: Option<Subject>,
    pub(super) fence: Fence,
    pub(super) owner: Option<OwnerId>,
    pub(super) lease_until: Millis,
    pub(super) cancel_requested: bool,
    /// Somebody wants the turn to stop, with its session kept.
    pub(super) interrupt_requested: bool,
    /// What the running try is to be told.
    pub(super) mail: Vec<Letter>,
    pub(super) approved: bool,
    pub(super) continues: bool,
    /// A workflow that has begun: while it waits, it waits for its children.
    pub(super) awaits: bool,
    /// The running task behind a held(conflict).
    pub(super) conflict_with: Option<TaskId>,
    /// Everything its settlements ever referred to.
    pub(super) refers_to: BTreeSet<ArtifactHash>,
    pub(super) started_at: Option<Millis>,
    pub(super) done_at: Option<Millis>,
}

pub(super) struct Attempt {
    pub(super) number: AttemptNumber,
    pub(super) begun: u32,
    pub(super) agent: AgentName,
    pub(super) session: Option<String>,
    pub(super) process: Option<ProcessMark>,
    pub(super) started_at: Millis,
    pub(super) end: Option<AttemptEnd>,
    /// What its last end was; kept when it is begun again.
    pub(super) came_to: Option<(Outcome, TaskResult)>,
}

pub(super) struct AttemptEnd {
    pub(super) at: Millis,
    pub(super) outcome: Outcome,
    pub(super) usage: Usage,
    pub(super) cost: Cost,
}

pub(super) struct Question {
    pub(super) run: RunId,
    pub(super) task: TaskId,
    pub(super) kind: QuestionKind,
    pub(super) text: String,
    pub(super) asked_at: Millis,
    pub(super) answer: Option<String>,
    /// The backend's id of the request, when a running try asked.
    pub(super) request: Option<String>,
    /// False once answered, or once its task is over.
    pub(super) open: bool,
}

impl Task {
    /// Whether its dependants may run.
    pub(super) fn satisfies(&self) -> bool {
        match &self.state {
            TaskState::Done { outcome } => outcome.is_success() || self.continues,
            TaskState::Waiting { .. } | TaskState::Ready | TaskState::Running | TaskState::Held(_) => false,
        }
    }

    /// The task to name when this one, being done, lets nothing run: the root of a chain of skips.
    pub(super) fn blocks_as(&self) -> Option<TaskKey> {
        match &self.state {
            TaskState::Done { .. } if self.satisfies() => None,
            TaskState::Done {
                outcome: Outcome::Skipped { cause },
            } => Some(cause.clone()),
            TaskState::Done { .. } => Some(self.spec.key.clone()),
            TaskState::Waiting { .. } | TaskState::Ready | TaskState::Running | TaskState::Held(_) => None,
        }
    }
}

impl World {
    pub(super) fn new(store_id: String) -> Self {
        World {
            store_id,
            ..World::default()
        }
    }

    /// The moment of a commit: what the clock shows, but never before the commit that came before.
    pub(super) fn time(&mut self, reading: Millis) -> Millis {
        let corrected = reading.0.saturating_add(self.late_ms);
        if corrected < self.now.0 {
            self.late_ms = self.now.0 - reading.0;
        }
        Millis(corrected.max(self.now.0))
    }

    pub(super) fn task(&self, id: TaskId) -> &Task {
        &self.tasks[&id]
    }

    pub(super) fn task_mut(&mut self, id: TaskId) -> &mut Task {
        match self.tasks.get_mut(&id) {
            Some(task) => task,
            None => unreachable!("ids inside the model come from the model"),
        }
    }

    pub(super) fn run_mut(&mut self, id: RunId) -> &mut Run {
        match self.runs.get_mut(&id) {
            Some(run) => run,
            None => unreachable!("a task's run is there as long as the task"),
        }
    }

    pub(super) fn new_run_id(&mut self) -> RunId {
        self.last_run += 1;
        RunId(self.last_run)
    }

    pub(super) fn new_question_id(&mut self) -> QuestionId {
        self.last_question += 1;
        QuestionId(self.last_question)
    }

    pub(super) fn new_task_id(&mut self) -> TaskId {
        self.last_task += 1;
        TaskId(self.last_task)
    }

    pub(super) fn emit(&mut self, run: RunId, task: Option<TaskId>, happened: Happened) {
        self.last_cursor += 1;
        self.events.push(Event {
            cursor: Cursor(self.last_cursor),
            at: self.now,
            run,
            task,
            happened,
        });
    }

    pub(super) fn emit_task(&mut self, task: TaskId, happened: Happened) {
        let run = self.task(task).run;
        self.emit(run, Some(task), happened);
    }

    /// The running task under this lease, or a refusal.
    pub(super) fn leased(&self, lease: Lease) -> Result<&Task, Refused> {
        self.tasks
            .get(&lease.task)
            .filter(|task| task.state == TaskState::Running && task.fence == lease.fence && task.lease_until > self.now)
            .ok_or(Refused::LostLease(lease))
    }

    /// How many of a task's needs are not done in a way that lets it run.
    pub(super) fn missing(&self, id: TaskId) -> u32 {
        let missing = self.task(id).needs.iter().filter(|need| !self.task(**need).satisfies());
        u32::try_from(missing.count()).unwrap_or(u32::MAX)
    }

    /// Takes one step of core's machine.
    pub(super) fn step(&mut self, id: TaskId, event: &TaskEvent) {
        match self.task(id).state.next(event) {
            Ok(state) => self.set_state(id, state),
            Err(illegal) => unreachable!("the commands ask before they step: {illegal}"),
        }
    }

    /// The only place where a state is written.
    pub(super) fn set_state(&mut self, id: TaskId, state: TaskState) {
        self.leave_state(id);
        self.task_mut(id).state = state;
        self.enter_state(id);
    }

    fn leave_state(&mut self, id: TaskId) {
        let mut short = false;
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if let Some(run) = self.runs.get_mut(&task.run) {
            *counter(&mut run.counts, &task.state) -= 1;
        }
        match &task.state {
            TaskState::Ready => {
                let place = (Reverse(task.spec.priority), id);
                if let Some(ready) = self.ready.get_mut(&task.agent) {
                    ready.remove(&place);
                    if ready.is_empty() {
                        self.ready.remove(&task.agent);
                    }
                }
            }
            TaskState::Running => {
                self.running.remove(&id);
                if let Some(count) = self.running_on.get_mut(&task.agent) {
                    *count -= 1;
                }
                let task = self.task_mut(id);
                task.mail.clear();
                task.interrupt_requested = false;
                // Those that its try asked; the one that its end may ask stays.
                let of_its_try = |question: &&mut Question| question.task == id && question.request.is_some();
                for question in self.questions.values_mut().filter(of_its_try) {
                    question.open = false;
                }
                self.left_running.insert(id);
            }
            TaskState::Held(held) => {
                task.barred_by = None;
                if let Some(until) = held.until() {
                    self.wakes.remove(&(until, id));
                }
                if matches!(held, Held::Budget { .. }) {
                    short = true;
                }
                if let Some(with) = task.conflict_with.take()
                    && let Some(waiters) = self.conflicts.get_mut(&with)
                {
                    waiters.remove(&id);
                    if waiters.is_empty() {
                        self.conflicts.remove(&with);
                    }
                }
            }
            TaskState::Waiting { .. } | TaskState::Done { .. } => {}
        }
        if short {
            self.stop_waiting_for_money(id);
        }
    }

    /// Also the way in for a task that was just made.
    pub(super) fn enter_state(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if let Some(run) = self.runs.get_mut(&task.run) {
            *counter(&mut run.counts, &task.state) += 1;
        }
        match &task.state {
            TaskState::Ready => {
                let place = (Reverse(task.spec.priority), id);
                self.ready.entry(task.agent.clone()).or_default().insert(place);
            }
            TaskState::Running => {
                self.running.insert(id);
                *self.running_on.entry(task.agent.clone()).or_default() += 1;
            }
            TaskState::Held(held) => {
                if let Some(until) = held.until() {
                    self.wakes.insert((until, id));
                }
            }
            TaskState::Done { .. } => {
                self.touched.insert(task.run);
            }
            TaskState::Waiting { .. } => {}
        }
    }

    /// A run that may have nothing left to do although no task of it was just done.
    pub(super) fn touch(&mut self, run: RunId) {
        self.touched.insert(run);
    }
}

/// Where a state is counted.
pub(super) fn counter<'c>(counts: &'c mut Counts, state: &TaskState) -> &'c mut u64 {
    match state {
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
    }
}
