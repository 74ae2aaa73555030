//! How tasks move: held, released, ended, and what that means for their dependants and their run.
//!
//! Every command goes through these doors; none of them refuses. Each steps core's machine, writes the events in their
//! order, and leaves the rest to [`World::follow_up`].

use std::collections::VecDeque;

use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{QuestionId, RunId, TaskId};
use wheelhouse_core::question::{QuestionKind, approval_text};
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::RunState;
use wheelhouse_core::task::{Held, TaskEvent, TaskState};

use super::world::{Question, World};

impl World {
    /// A ready task becomes held, and the history says so.
    pub(super) fn hold(&mut self, id: TaskId, held: Held) {
        if !matches!(held, Held::Retry { .. } | Held::Conflict { .. }) {
            self.task_mut(id).since = None;
        }
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
            let text = match task.spec.work {
                Work::Turn(turn) => crew::approval_text(self, turn.instance).unwrap_or_default(),
                Work::Exec(_) | Work::Prompt(_) => approval_text(&task.spec.key),
            };
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
        let question = self.new_question_id();
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
                request: None,
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
            self.child_ended(id);
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
        if let TaskState::Held(held) = &self.task(id).state
            && let Some(question) = held.question()
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
        self.note_turn(id);
    }

    /// However a step of a workflow ended, the workflow has one less to wait for.
    fn child_ended(&mut self, id: TaskId) {
        let Some(parent) = self.parent_of(id) else { return };
        let task = self.task(parent);
        if !task.awaits || !matches!(task.state, TaskState::Waiting { .. }) {
            return;
        }
        self.step(parent, &TaskEvent::DependencySatisfied);
        if self.task(parent).state == TaskState::Ready {
            self.admit(parent);
        }
    }

    /// The workflow that a task is a step of.
    pub(super) fn parent_of(&self, id: TaskId) -> Option<TaskId> {
        let task = self.task(id);
        let parent = task.spec.flow.parent.as_ref()?;
        self.runs[&task.run].keys.get(parent).copied()
    }

    /// The steps of a workflow, oldest first.
    pub(super) fn children_of(&self, id: TaskId) -> Vec<TaskId> {
        let task = self.task(id);
        let mine = |child: &TaskId| self.task(*child).spec.flow.parent.as_ref() == Some(&task.spec.key);
        self.runs[&task.run].tasks.iter().copied().filter(mine).collect()
    }

    /// Those of them that are not over.
    pub(super) fn open_children(&self, id: TaskId) -> Vec<TaskId> {
        let open = |child: &TaskId| !self.task(*child).state.is_done();
        self.children_of(id).into_iter().filter(open).collect()
    }

    pub(super) fn waiting_dependants(&self, id: TaskId) -> Vec<TaskId> {
        // A workflow that has begun does not look at what it needs any more.
        let waits = |child: &TaskId| {
            let child = self.task(*child);
            matches!(child.state, TaskState::Waiting { .. }) && !child.awaits
        };
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
        // What follows from the end of a turn can end further ones.
        loop {
            for left in std::mem::take(&mut self.left_running) {
                let waiters = self.conflicts.get(&left).cloned().unwrap_or_default();
                for waiter in waiters {
                    self.release(waiter);
                }
            }
            self.close_turns();
            if self.left_running.is_empty() {
                break;
            }
        }
        self.follow_money();
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
}
