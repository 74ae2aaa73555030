//! What a worker says about its task under a lease, what becomes of a task whose worker is gone, and answers.

use std::time::Duration;

use wheelhouse_core::breaker::Bearing;
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Lease, OwnerId, QuestionId, RunId, TaskId};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{NOT_STEERED, QuestionKind, Resolution};
use wheelhouse_core::quota;
use wheelhouse_core::route::past::PastTask;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{
    AttemptStart, Learned, Letter, Mail, Next, Refused, Reply, ReturnedTask, RunState, Settlement,
};
use wheelhouse_core::task::{Held, TaskEvent, TaskState};
use wheelhouse_core::usage::Cost;

use super::world::{AttemptEnd, World};

impl World {
    pub(super) fn start(&mut self, lease: Lease, start: &AttemptStart) -> Result<Reply, Refused> {
        self.leased(lease)?;
        let Some(attempt) = self.task_mut(lease.task).attempts.last_mut() else {
            unreachable!("a running task has a try")
        };
        if start.session.is_some() {
            attempt.session.clone_from(&start.session);
        }
        if start.process.is_some() {
            attempt.process = start.process;
        }
        let happened = Happened::AttemptStarted {
            attempt: attempt.number,
            session: start.session.clone(),
            pid: start.process.map(|process| process.pid),
        };
        self.emit_task(lease.task, happened);
        if let Some(session) = &start.session {
            crew::session_known(self, lease.task, session)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn report(&mut self, lease: Lease, kind: &str, text: &str) -> Result<Reply, Refused> {
        let attempt = self.leased(lease)?.attempts.last().map_or(0, |attempt| attempt.number);
        let happened = Happened::AttemptReported {
            attempt,
            kind: kind.to_owned(),
            text: text.to_owned(),
        };
        self.emit_task(lease.task, happened);
        Ok(Reply::Done)
    }

    pub(super) fn heartbeat(&mut self, leases: &[Lease], lease_ms: u64) -> Reply {
        let until = self.now.after(Duration::from_millis(lease_ms));
        let (mut lost, mut cancel, mut interrupt, mut mail) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for lease in leases {
            match self.leased(*lease) {
                Err(_) => lost.push(*lease),
                Ok(task) => {
                    if task.cancel_requested {
                        cancel.push(lease.task);
                    } else if task.interrupt_requested {
                        interrupt.push(lease.task);
                    }
                    let task = self.task_mut(lease.task);
                    task.lease_until = until;
                    let letters = std::mem::take(&mut task.mail);
                    mail.extend(letters.into_iter().map(|letter| Mail {
                        task: lease.task,
                        letter,
                    }));
                }
            }
        }
        Reply::Beat {
            lost,
            cancel,
            interrupt,
            mail,
        }
    }

    pub(super) fn ask_running(
        &mut self,
        lease: Lease,
        kind: QuestionKind,
        request: &str,
        text: &str,
    ) -> Result<Reply, Refused> {
        self.leased(lease)?;
        let question = self.ask(lease.task, kind, text.to_owned());
        if let Some(asked) = self.questions.get_mut(&question) {
            asked.request = Some(request.to_owned());
        }
        Ok(Reply::Asked { question })
    }

    pub(super) fn steer(&mut self, id: TaskId, words: &str) -> Result<Reply, Refused> {
        let task = self.tasks.get_mut(&id).ok_or(Refused::NoSuchTask(id))?;
        if task.state != TaskState::Running {
            return Err(Refused::Illegal(NOT_STEERED.to_owned()));
        }
        task.mail.push(Letter::Words(words.to_owned()));
        let words = words.to_owned();
        self.emit_task(id, Happened::TaskSteered { words });
        Ok(Reply::Done)
    }

    pub(super) fn settle(&mut self, lease: Lease, settlement: &Settlement) -> Result<Reply, Refused> {
        let task = self.leased(lease)?;
        let (run, id, stop) = (task.run, lease.task, task.cancel_requested);
        let interrupt = task.interrupt_requested;
        if stop && settlement.outcome != Outcome::Cancelled {
            return Err(Refused::CancelRequested(id));
        }
        self.check_new_tasks(run, &settlement.new_tasks)?;

        self.record_end(id, settlement);
        let Settlement {
            outcome,
            usage,
            cost,
            result,
            spending,
            ..
        } = settlement;
        // A workflow is no try of anybody: its children are booked and counted.
        let workflow = self.task(id).spec.flow.workflow.is_some();
        if !workflow {
            self.book_end(id, spending, *usage, *cost);
        }
        if let (Outcome::Quota { resets_at }, Next::TryAt { at, .. }) = (outcome, &settlement.next) {
            self.exhaust_account(id, spending, quota::returns(*resets_at, *at, self.now));
        }
        self.heard(id, settlement.bearing(self.now));
        match &settlement.next {
            Next::Done { continues } => {
                if let Some(learned) = settlement.learned.clone() {
                    self.remember(id, &settlement.outcome, learned);
                }
                if !workflow {
                    self.tally_outcome(id, spending, outcome, result);
                }
                self.end_settled(id, &settlement.outcome, *continues);
            }
            // Somebody wants it stopped, and it is: nothing more is tried or asked.
            Next::TryAt { .. } | Next::Ask { .. } | Next::AwaitBudget if stop || interrupt => {
                self.end_settled(id, &settlement.outcome, false);
            }
            Next::AwaitBudget => {
                self.await_budget(id);
                self.task_mut(id).next_is_new = false;
            }
            Next::TryAt { at, link, agent, quota } => {
                let held = if *quota {
                    Held::Quota { until: *at }
                } else {
                    Held::Retry { until: *at }
                };
                self.hold(id, held);
                let task = self.task_mut(id);
                task.next_is_new = !*quota;
                if (&task.agent, task.link) != (agent, *link) {
                    (task.agent, task.link, task.on_agent) = (agent.clone(), *link, 0);
                }
            }
            Next::Ask { kind, text } => {
                let question = self.ask(id, *kind, text.clone());
                self.hold(id, kind.held(question));
            }
        }
        self.add_checked(run, &settlement.new_tasks);
        if workflow && self.task(id).state.is_done() {
            self.cancel_children(id);
        }
        Ok(Reply::Done)
    }

    /// A workflow goes on: its children are there and it waits for them, or neither.
    pub(super) fn await_children(
        &mut self,
        lease: Lease,
        children: &[TaskSpec],
        open_max: u32,
    ) -> Result<Reply, Refused> {
        let task = self.leased(lease)?;
        let (run, id) = (task.run, lease.task);
        if task.cancel_requested {
            return Err(Refused::CancelRequested(id));
        }
        self.check_new_tasks(run, children)?;
        self.add_checked(run, children);
        let open = u32::try_from(self.open_children(id).len()).unwrap_or(u32::MAX);
        let pending = open.saturating_sub(open_max);
        self.step(id, &TaskEvent::Awaits { pending });
        self.task_mut(id).awaits = true;
        let added = u32::try_from(children.len()).unwrap_or(u32::MAX);
        self.emit_task(id, Happened::TaskAwaits { added, pending });
        if pending == 0 {
            self.admit(id);
        }
        Ok(Reply::Done)
    }

    fn remember(&mut self, id: TaskId, outcome: &Outcome, learned: Learned) {
        let task = self.task(id);
        let costs = task.attempts.iter().map(|attempt| match attempt.end.as_ref()?.cost {
            Cost::Actual(nano) | Cost::Priced(nano) => Some(nano),
            Cost::Included | Cost::Free => Some(0),
            Cost::Unknown => None,
        });
        let past = PastTask {
            task: id,
            sketch: learned.sketch,
            features: Some(learned.features),
            kind: learned.kind,
            model: learned.model,
            agent: task.agent.to_string(),
            outcome: outcome.clone(),
            cost_nano: costs.sum(),
            at: self.now,
        };
        self.past.insert(id, past);
    }

    fn end_settled(&mut self, id: TaskId, outcome: &Outcome, continues: bool) {
        let outcome = outcome.clone();
        self.end(id, TaskEvent::Settled { outcome }, continues);
    }

    fn record_end(&mut self, id: TaskId, settlement: &Settlement) {
        let now = self.now;
        let (outcome, usage, cost) = (settlement.outcome.clone(), settlement.usage, settlement.cost);
        for artifact in &settlement.artifacts {
            self.artifacts
                .entry(artifact.hash.clone())
                .or_insert_with(|| artifact.bytes.clone());
        }
        let task = self.task_mut(id);
        task.next_is_new = true;
        let outputs = settlement.result.artifacts.iter().map(|artifact| &artifact.hash);
        let logs = settlement.result.checks.iter().map(|check| &check.log);
        task.refers_to.extend(outputs.chain(logs).cloned());
        let Some(attempt) = task.attempts.last_mut() else {
            unreachable!("a running task has a try")
        };
        attempt.end = Some(AttemptEnd {
            at: now,
            outcome: outcome.clone(),
            usage,
            cost,
        });
        attempt.came_to = Some((outcome.clone(), settlement.result.clone()));
        let attempt = attempt.number;
        if let Err(refused) = crew::spent(self, id, usage, cost) {
            unreachable!("nobody is asked about what was consumed: {refused}")
        }
        let happened = Happened::AttemptEnded {
            attempt,
            outcome,
            usage,
            cost,
        };
        self.emit_task(id, happened);
    }

    pub(super) fn give_back_leased(&mut self, lease: Lease, why: &str, spending: &Spending) -> Result<Reply, Refused> {
        self.leased(lease)?;
        self.give_back(lease.task, why, spending);
        Ok(Reply::Done)
    }

    /// A running task loses its worker; the try will be repeated, unless somebody wanted it stopped anyway.
    fn give_back(&mut self, id: TaskId, why: &str, spending: &Spending) -> ReturnedTask {
        self.book_return(id, spending);
        let task = self.task(id);
        let (fence, stop) = (task.fence, task.cancel_requested || task.interrupt_requested);
        self.heard(id, Bearing::Silent);
        self.step(id, &TaskEvent::Returned);
        self.task_mut(id).since = None;
        let task = self.task(id);
        let process = task.attempts.last().and_then(|attempt| attempt.process);
        let why = why.to_owned();
        self.emit_task(id, Happened::TaskReturned { fence, why });
        if stop {
            self.end(id, TaskEvent::Cancelled, false);
        } else {
            self.admit(id);
        }
        ReturnedTask { task: id, process }
    }

    pub(super) fn expire_leases(&mut self) -> Reply {
        let expired = |id: &TaskId| self.task(*id).lease_until <= self.now;
        let expired: Vec<TaskId> = self.running.iter().copied().filter(expired).collect();
        let give_back = |id| self.give_back(id, "its lease ran out", &Spending::default());
        Reply::Returned {
            tasks: expired.into_iter().map(give_back).collect(),
        }
    }

    pub(super) fn recover(&mut self, me: &OwnerId, go_on: bool) -> Reply {
        if !go_on {
            let open = |run: &super::world::Run| run.state == RunState::Active && run.counts.open() > 0;
            let open: Vec<RunId> = self
                .runs
                .iter()
                .filter(|(_, run)| open(run))
                .map(|(id, _)| *id)
                .collect();
            for run in open {
                self.stop_run(run, RunState::Interrupted);
            }
        }
        let of_others = |id: &TaskId| self.task(*id).owner.as_ref() != Some(me);
        let of_others: Vec<TaskId> = self.running.iter().copied().filter(of_others).collect();
        let give_back = |id| self.give_back(id, "its engine went away", &Spending::default());
        Reply::Returned {
            tasks: of_others.into_iter().map(give_back).collect(),
        }
    }

    pub(super) fn answer(&mut self, id: QuestionId, answer: &str, resolution: Resolution) -> Result<Reply, Refused> {
        let Some(question) = self.questions.get_mut(&id).filter(|question| question.open) else {
            return Err(Refused::NoSuchQuestion(id));
        };
        question.open = false;
        question.answer = Some(answer.to_owned());
        let task = question.task;
        let (kind, request) = (question.kind, question.request.clone());
        let answer = answer.to_owned();
        let letter = request.map(|request| Letter::Answer {
            kind,
            request,
            answer: answer.clone(),
        });
        self.emit_task(task, Happened::QuestionAnswered { question: id, answer });
        // Only running tries ask with a request, and their questions end with them.
        if let Some(letter) = letter {
            self.task_mut(task).mail.push(letter);
            return Ok(Reply::Done);
        }
        match resolution {
            Resolution::Deliver => {}
            Resolution::Proceed => self.proceed(task),
            Resolution::GiveUp => self.give_up(task, false),
            Resolution::ContinueWithout => self.give_up(task, true),
        }
        Ok(Reply::Done)
    }

    /// An open question always has its task held on it, see [`World::end`].
    fn proceed(&mut self, id: TaskId) {
        let task = self.task_mut(id);
        match &task.state {
            TaskState::Held(Held::Approval { .. }) => task.approved = true,
            _ => {
                task.on_agent = 0;
                task.next_is_new = true;
            }
        }
        self.release(id);
    }

    fn give_up(&mut self, id: TaskId, continues: bool) {
        let task = self.task(id);
        let last = task.attempts.last().and_then(|attempt| attempt.end.as_ref());
        let outcome = match (&task.state, last) {
            (TaskState::Held(Held::Question { .. } | Held::MergeConflict { .. }), Some(end)) => end.outcome.clone(),
            _ => Outcome::Cancelled,
        };
        self.end(id, TaskEvent::Settled { outcome }, continues);
    }
}
