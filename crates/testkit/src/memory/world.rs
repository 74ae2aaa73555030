//! What the model holds, and the few doors through which a task's state changes.
//!
//! Every index (ready, running, wakes, conflicts, counts) is kept in [`World::set_state`] alone, so none can go
//! stale. Commands live in the neighbouring files; they check everything first and change only then, which is how
//! a refused command changes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{
    AgentName, ArtifactHash, AttemptNumber, Cursor, Fence, Lease, OwnerId, QuestionId, RunId, TaskId, TaskKey,
};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{Counts, Fault, ProcessMark, Refused, RunState, TaskResult};
use wheelhouse_core::task::{Held, TaskEvent, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

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
    conflicts: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Tasks that left running within this command.
    left_running: BTreeSet<TaskId>,
    /// Runs that may be finished after this command.
    touched: BTreeSet<RunId>,
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
    pub(super) fence: Fence,
    pub(super) owner: Option<OwnerId>,
    pub(super) lease_until: Millis,
    pub(super) cancel_requested: bool,
    pub(super) approved: bool,
    pub(super) continues: bool,
    /// The running task behind a held(conflict).
    pub(super) conflict_with: Option<TaskId>,
    pub(super) result: Option<TaskResult>,
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
                self.left_running.insert(id);
            }
            TaskState::Held(held) => {
                if let Some(until) = held.until() {
                    self.wakes.remove(&(until, id));
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

    /// A ready task becomes held, and the history says so.
    pub(super) fn hold(&mut self, id: TaskId, held: Held) {
        self.step(id, &TaskEvent::Held(held.clone()));
        self.emit_task(id, Happened::TaskHeld { held });
    }

    pub(super) fn hold_conflict(&mut self, id: TaskId, with: TaskId) {
        let key = self.task(with).spec.key.clone();
        self.hold(id, Held::Conflict { with: key });
        self.task_mut(id).conflict_with = Some(with);
        self.conflicts.entry(with).or_default().insert(id);
    }

    /// The one door for all ways to become ready: the task is ready by the machine; whether it may be claimed is
    /// decided here.
    pub(super) fn admit(&mut self, id: TaskId) {
        let task = self.task(id);
        let paused = match self.runs[&task.run].state {
            RunState::Paused | RunState::Interrupted => true,
            RunState::Active | RunState::Finished => false,
        };
        if paused {
            self.hold(id, Held::Paused);
        } else if task.spec.approval && !task.approved {
            let text = wheelhouse_core::question::approval_text(&task.spec.key);
            let question = self.ask(id, QuestionKind::Approval, text);
            self.hold(id, Held::Approval { question });
        } else {
            self.emit_task(id, Happened::TaskReady);
        }
    }

    /// A held task goes on.
    pub(super) fn release(&mut self, id: TaskId) {
        self.step(id, &TaskEvent::Released);
        self.emit_task(id, Happened::TaskReleased);
        self.admit(id);
    }

    pub(super) fn ask(&mut self, id: TaskId, kind: QuestionKind, text: String) -> QuestionId {
        self.last_question += 1;
        let question = QuestionId(self.last_question);
        let (run, asked_at) = (self.task(id).run, self.now);
        self.questions.insert(
            question,
            Question {
                run,
                task: id,
                kind,
                text: text.clone(),
                asked_at,
                answer: None,
                open: true,
            },
        );
        self.emit_task(id, Happened::QuestionAsked { question, kind, text });
        question
    }

    /// A task is over by `event`; its dependants that wait are promoted or skipped, and theirs with them.
    pub(super) fn end(&mut self, id: TaskId, event: TaskEvent, continues: bool) {
        let mut ends = VecDeque::from([(id, event, continues)]);
        while let Some((id, event, continues)) = ends.pop_front() {
            // Two skipped parents of one task: the first one decides.
            if matches!(event, TaskEvent::DependencyFailed { .. }) && self.task(id).state.is_done() {
                continue;
            }
            self.end_one(id, &event, continues);
            let blocks_as = self.task(id).blocks_as();
            let waiting: Vec<TaskId> = self.waiting_dependants(id);
            for child in waiting {
                match &blocks_as {
                    Some(cause) => {
                        let event = TaskEvent::DependencyFailed { cause: cause.clone() };
                        ends.push_back((child, event, false));
                    }
                    None => {
                        self.step(child, &TaskEvent::DependencySatisfied);
                        if self.task(child).state == TaskState::Ready {
                            self.admit(child);
                        }
                    }
                }
            }
        }
    }

    fn end_one(&mut self, id: TaskId, event: &TaskEvent, continues: bool) {
        if let TaskState::Held(Held::Approval { question } | Held::Question { question }) = self.task(id).state
            && let Some(question) = self.questions.get_mut(&question)
        {
            question.open = false;
        }
        self.step(id, event);
        let now = self.now;
        let task = self.task_mut(id);
        task.done_at = Some(now);
        task.continues = continues;
        task.cancel_requested = false;
        if let TaskState::Done { outcome } = &task.state {
            let outcome = outcome.clone();
            self.emit_task(id, Happened::TaskDone { outcome, continues });
        }
    }

    pub(super) fn waiting_dependants(&self, id: TaskId) -> Vec<TaskId> {
        let waits = |child: &TaskId| matches!(self.task(*child).state, TaskState::Waiting { .. });
        self.task(id).dependants.iter().copied().filter(waits).collect()
    }

    /// What earlier ends mean for tasks that were just made or un-skipped: skipped, ready, or waiting on.
    pub(super) fn place(&mut self, ids: &[TaskId]) {
        for id in ids.iter().copied() {
            let TaskState::Waiting { pending } = self.task(id).state else {
                continue;
            };
            let cause = self.task(id).needs.iter().find_map(|need| self.task(*need).blocks_as());
            if let Some(cause) = cause {
                self.end(id, TaskEvent::DependencyFailed { cause }, false);
            } else if pending == 0 {
                self.set_state(id, TaskState::Ready);
                self.admit(id);
            }
        }
    }

    /// A finished run goes on.
    pub(super) fn reopen(&mut self, id: RunId) {
        let run = self.run_mut(id);
        if run.state == RunState::Finished {
            run.state = RunState::Active;
            run.finished_at = None;
            self.emit(id, None, Happened::RunReopened);
        }
    }

    /// The end of every command: those who waited for a running task go on, and runs with nothing left finish.
    pub(super) fn follow_up(&mut self) {
        for left in std::mem::take(&mut self.left_running) {
            let waiters = self.conflicts.get(&left).cloned().unwrap_or_default();
            for waiter in waiters {
                self.release(waiter);
            }
        }
        for id in std::mem::take(&mut self.touched) {
            let now = self.now;
            let run = self.run_mut(id);
            if run.spec.standing || run.state == RunState::Finished || run.counts.open() > 0 {
                continue;
            }
            run.state = RunState::Finished;
            run.finished_at = Some(now);
            let succeeded = run.counts.succeeded;
            let failed = run.counts.total() - succeeded;
            self.emit(id, None, Happened::RunFinished { succeeded, failed });
        }
    }

    /// Counts everything again. The rules are those that a task's state alone must obey; [`super::MemoryStore::check`].
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |rule: &str, detail: String| {
            faults.push(Fault {
                rule: rule.to_owned(),
                detail,
            });
        };
        for (id, run) in &self.runs {
            let mut counts = Counts::default();
            for task in &run.tasks {
                *counter(&mut counts, &self.task(*task).state) += 1;
            }
            if counts != run.counts {
                fault("counts equal a recount", format!("{id}: {:?}, {counts:?}", run.counts));
            }
            let finished = run.state == RunState::Finished;
            if finished != run.finished_at.is_some() || (!run.spec.standing && finished != (counts.open() == 0)) {
                fault("a run is finished when all is done", format!("{id}: {counts:?}"));
            }
        }
        for (id, task) in &self.tasks {
            let paused = self.runs[&task.run].state != RunState::Active;
            let wrong = match &task.state {
                TaskState::Waiting { pending } => {
                    *pending == 0
                        || *pending != self.missing(*id)
                        || task.needs.iter().any(|need| self.task(*need).blocks_as().is_some())
                }
                TaskState::Ready => paused || (task.spec.approval && !task.approved),
                TaskState::Running => !self.running.contains(id),
                TaskState::Held(Held::Paused) => !paused,
                TaskState::Held(Held::Approval { question }) => !self.questions.contains_key(question),
                TaskState::Held(Held::Conflict { .. }) => {
                    task.conflict_with.is_none_or(|with| !self.running.contains(&with))
                }
                TaskState::Held(held) => held.until().is_some_and(|until| !self.wakes.contains(&(until, *id))),
                TaskState::Done { .. } => task.done_at.is_none() || task.cancel_requested,
            };
            if wrong {
                fault("a state has what it needs", format!("{id} {:?}", task.state));
            }
        }
        faults
    }
}

/// Where a state is counted.
fn counter<'c>(counts: &'c mut Counts, state: &TaskState) -> &'c mut u64 {
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
