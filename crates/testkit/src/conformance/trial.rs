//! A store on the bench, with short ways to do and to see: what the cases are written in.

use std::sync::Arc;

use std::time::Duration;

use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{AgentName, Cursor, Lease, OwnerId, QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, Resolution};
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{
    AttemptView, Cap, ClaimRequest, Claimed, Command, EndedBy, Mail, Next, Reader, Refused, Reply, ReturnedTask,
    RunView, Settlement, TaskResult, TaskView,
};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

use super::{Bench, Factory, build};
use crate::memory::TestClock;

/// How long leases last when a case does not care.
pub const LEASE_MS: u64 = 30_000;

/// A store under trial.
pub struct Trial {
    /// The clock the store goes by.
    pub clock: TestClock,
    bench: Box<dyn Bench>,
}

/// A settlement with this outcome and nothing else to say; the task is over.
pub fn ended(outcome: Outcome) -> Settlement {
    Settlement {
        outcome,
        next: Next::Done { continues: false },
        result: TaskResult::default(),
        usage: Usage::default(),
        cost: Cost::Free,
        artifacts: Vec::new(),
        new_tasks: Vec::new(),
        learned: None,
        spending: Spending::default(),
        by: EndedBy::Agent,
    }
}

/// A limit on one agent.
pub fn cap(agent: &str, running_max: u32) -> Cap {
    Cap {
        agents: vec![AgentName::from(agent)],
        running_max,
    }
}

/// A claim by `owner` without caps.
pub fn claim_by(owner: &str, limit: u32) -> ClaimRequest {
    ClaimRequest {
        owner: OwnerId(owner.to_owned()),
        limit,
        lease_ms: LEASE_MS,
        borrowed: 0,
        caps: Vec::new(),
        terms: Arc::default(),
    }
}

impl Trial {
    /// A fresh store.
    pub fn new(factory: &dyn Factory) -> Self {
        let clock = TestClock::new();
        Trial {
            bench: factory.open(clock.clone()),
            clock,
        }
    }

    /// The process that held the store dies; the next one opens it.
    pub fn reopen(&mut self) {
        self.bench.reopen();
    }

    /// A view for reading.
    pub fn reader(&mut self) -> Box<dyn Reader> {
        self.bench.store().reader().expect("the store can be read")
    }

    /// Lets time pass.
    pub fn advance_ms(&self, span_ms: u64) {
        self.clock.advance(Duration::from_millis(span_ms));
    }

    // ---- to do -----------------------------------------------------------------------------------------------------

    /// One transaction.
    pub fn batch(&mut self, batch: &[Command]) -> Vec<Result<Reply, Refused>> {
        let answers = self.bench.store().commit(batch).expect("the store works");
        assert_eq!(answers.len(), batch.len(), "one answer a command");
        answers
    }

    /// One command.
    pub fn ask(&mut self, command: Command) -> Result<Reply, Refused> {
        self.batch(&[command]).remove(0)
    }

    /// A command that must be applied.
    #[track_caller]
    pub fn apply(&mut self, command: Command) -> Reply {
        match self.ask(command.clone()) {
            Ok(reply) => reply,
            Err(refused) => panic!("{command:?} was refused: {refused}"),
        }
    }

    /// A command that must be refused.
    #[track_caller]
    pub fn refused(&mut self, command: Command) -> Refused {
        match self.ask(command.clone()) {
            Err(refused) => refused,
            Ok(reply) => panic!("{command:?} was applied: {reply:?}"),
        }
    }

    /// A command that must be refused because the state does not allow it.
    #[track_caller]
    pub fn illegal(&mut self, command: Command) {
        let refused = self.refused(command.clone());
        assert!(matches!(refused, Refused::Illegal(_)), "{command:?}: {refused:?}");
    }

    /// A new run.
    #[track_caller]
    pub fn submit_run(&mut self, run: RunSpec, tasks: Vec<TaskSpec>) -> RunId {
        let count = tasks.len();
        match self.apply(Command::SubmitRun { run, tasks }) {
            Reply::Submitted { run, tasks } => {
                assert_eq!(tasks.len(), count);
                run
            }
            other => panic!("{other:?}"),
        }
    }

    /// A new run called `r`.
    #[track_caller]
    pub fn submit(&mut self, tasks: Vec<TaskSpec>) -> RunId {
        self.submit_run(build::run("r"), tasks)
    }

    /// Takes up to `limit` tasks for the engine `e1`.
    #[track_caller]
    pub fn claim(&mut self, limit: u32) -> Vec<Claimed> {
        self.claim_as(claim_by("e1", limit)).0
    }

    /// Takes tasks, and says when to ask again.
    #[track_caller]
    pub fn claim_as(&mut self, request: ClaimRequest) -> (Vec<Claimed>, Option<Millis>) {
        let limit = request.limit as usize;
        match self.apply(Command::Claim(request)) {
            Reply::Claimed {
                tasks, wake_at, now, ..
            } => {
                assert!(now >= self.clock.now(), "the moment of the claim");
                assert!(tasks.len() <= limit, "more than asked for: {tasks:?}");
                (tasks, wake_at)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Takes tasks, on lent places too.
    #[track_caller]
    pub fn claim_as_many(&mut self, request: ClaimRequest) -> Vec<Claimed> {
        match self.apply(Command::Claim(request)) {
            Reply::Claimed { tasks, .. } => tasks,
            other => panic!("{other:?}"),
        }
    }

    /// Takes exactly one task, this one.
    #[track_caller]
    pub fn claim_one(&mut self, key: &str) -> Claimed {
        let mut claimed = self.claim(1);
        assert_eq!(names(&claimed), key);
        claimed.remove(0)
    }

    /// Ends a try.
    #[track_caller]
    pub fn settle(&mut self, lease: Lease, settlement: Settlement) {
        let reply = self.apply(settle(lease, settlement));
        assert_eq!(reply, Reply::Done);
    }

    /// Ends a try; the task is over.
    #[track_caller]
    pub fn end(&mut self, lease: Lease, outcome: Outcome) {
        self.settle(lease, ended(outcome));
    }

    /// Ends a try; the task is tried again then, on the same agent.
    #[track_caller]
    pub fn retry_at(&mut self, claimed: &Claimed, outcome: Outcome, at: Millis, quota: bool) {
        let next = Next::TryAt {
            at,
            link: 0,
            agent: claimed.agent.clone(),
            quota,
        };
        self.settle(claimed.lease, Settlement { next, ..ended(outcome) });
    }

    /// Ends a try with a question about the failure, and says which one it is.
    #[track_caller]
    pub fn ask_about(&mut self, lease: Lease, outcome: Outcome) -> QuestionId {
        let next = Next::Ask {
            kind: QuestionKind::Failure,
            text: "What now?".to_owned(),
        };
        self.settle(lease, Settlement { next, ..ended(outcome) });
        self.last_question()
    }

    /// Takes tasks and ends them with success, until nothing can be taken.
    #[track_caller]
    pub fn run_dry(&mut self) {
        loop {
            let claimed = self.claim(16);
            if claimed.is_empty() {
                break;
            }
            for task in claimed {
                self.end(task.lease, Outcome::Succeeded);
            }
        }
    }

    /// Answers a question.
    #[track_caller]
    pub fn answer(&mut self, question: QuestionId, answer: &str, resolution: Resolution) {
        let answer = answer.to_owned();
        let reply = self.apply(Command::Answer {
            question,
            answer,
            resolution,
        });
        assert_eq!(reply, Reply::Done);
    }

    /// Returns what has no owner any more.
    #[track_caller]
    pub fn returned(&mut self, command: Command) -> Vec<ReturnedTask> {
        match self.apply(command) {
            Reply::Returned { tasks } => tasks,
            other => panic!("{other:?}"),
        }
    }

    /// A heartbeat: what is lost, and what is to be stopped.
    #[track_caller]
    /// What the tries of these leases are to be told.
    pub fn mail(&mut self, leases: &[Lease]) -> Vec<Mail> {
        let leases = leases.to_vec();
        match self.apply(Command::Heartbeat {
            leases,
            lease_ms: LEASE_MS,
        }) {
            Reply::Beat { mail, .. } => mail,
            other => panic!("a heartbeat was answered with {other:?}"),
        }
    }

    /// A running try asks; the request is named like the text.
    pub fn ask_running(&mut self, lease: Lease, kind: QuestionKind, text: &str) -> QuestionId {
        let (request, text) = (text.to_owned(), text.to_owned());
        match self.apply(Command::Ask {
            lease,
            kind,
            request,
            text,
        }) {
            Reply::Asked { question } => question,
            other => panic!("a question was answered with {other:?}"),
        }
    }

    /// The leases that are lost and the tasks that somebody wants stopped.
    pub fn beat(&mut self, leases: &[Lease], lease_ms: u64) -> (Vec<Lease>, Vec<TaskId>) {
        let leases = leases.to_vec();
        match self.apply(Command::Heartbeat { leases, lease_ms }) {
            Reply::Beat { lost, cancel, .. } => (lost, cancel),
            other => panic!("{other:?}"),
        }
    }

    // ---- to see ----------------------------------------------------------------------------------------------------

    /// The task of that name.
    #[track_caller]
    pub fn task(&mut self, run: RunId, key: &str) -> TaskView {
        let found = self.reader().task_by_key(run, &TaskKey::from(key)).expect("read");
        found.unwrap_or_else(|| panic!("{run} has no task `{key}`"))
    }

    /// Its id.
    #[track_caller]
    pub fn id(&mut self, run: RunId, key: &str) -> TaskId {
        self.task(run, key).id
    }

    /// The run.
    #[track_caller]
    pub fn run(&mut self, run: RunId) -> RunView {
        self.reader().run(run).expect("read").expect("the run is there")
    }

    /// All tasks of a run in one line, in the order of the plan: `a:ready b:waiting(1) c:held(paused) d:skipped(a)`.
    #[track_caller]
    pub fn states(&mut self, run: RunId) -> String {
        let tasks = self.reader().tasks(run, 0, u32::MAX).expect("read");
        let one = |task: &TaskView| format!("{}:{}", task.key, state_word(&task.state));
        tasks.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The tries of a task.
    #[track_caller]
    pub fn attempts(&mut self, task: TaskId) -> Vec<AttemptView> {
        self.reader().attempts(task).expect("read")
    }

    /// The history of a run.
    #[track_caller]
    pub fn events(&mut self, run: RunId) -> Vec<Event> {
        let events = self.reader().events(Cursor(0), Some(run), u32::MAX);
        events.expect("read")
    }

    /// The history of one task in one line: the names of its events.
    #[track_caller]
    pub fn story(&mut self, run: RunId, key: &str) -> String {
        let id = self.id(run, key);
        let events = self.events(run);
        let of_task = events.iter().filter(|event| event.task == Some(id));
        let names: Vec<&str> = of_task.map(|event| event.happened.name()).collect();
        names.join(" ")
    }

    /// The history of the run itself in one line, its tasks' events left out.
    #[track_caller]
    pub fn run_story(&mut self, run: RunId) -> String {
        let events = self.events(run);
        let of_run = events.iter().filter(|event| event.task.is_none());
        let names: Vec<&str> = of_run.map(|event| event.happened.name()).collect();
        names.join(" ")
    }

    /// How often this happened in a run.
    #[track_caller]
    pub fn count(&mut self, run: RunId, name: &str) -> usize {
        let events = self.events(run);
        events.iter().filter(|event| event.happened.name() == name).count()
    }

    /// The question asked last, by the history.
    #[track_caller]
    pub fn last_question(&mut self) -> QuestionId {
        let events = self.reader().events(Cursor(0), None, u32::MAX).expect("read");
        let asked = events.iter().rev().find_map(|event| match &event.happened {
            Happened::QuestionAsked { question, .. } => Some(*question),
            _ => None,
        });
        asked.expect("a question was asked")
    }

    /// The questions that are open.
    #[track_caller]
    pub fn open_questions(&mut self) -> Vec<QuestionId> {
        let open = self.reader().open_questions().expect("read");
        open.iter().map(|question| question.id).collect()
    }
}

/// The command for an end.
pub fn settle(lease: Lease, settlement: Settlement) -> Command {
    Command::Settle {
        lease,
        settlement: Box::new(settlement),
    }
}

/// The names of what was claimed, in order.
pub fn names(claimed: &[Claimed]) -> String {
    let names: Vec<&str> = claimed.iter().map(|task| task.spec.key.as_str()).collect();
    names.join(" ")
}

/// A state as one word.
pub fn state_word(state: &TaskState) -> String {
    match state {
        TaskState::Waiting { pending } => format!("waiting({pending})"),
        TaskState::Ready => "ready".to_owned(),
        TaskState::Running => "running".to_owned(),
        TaskState::Held(held) => format!("held({})", held.name()),
        TaskState::Done {
            outcome: Outcome::Skipped { cause },
        } => format!("skipped({cause})"),
        TaskState::Done { outcome } => outcome.class().to_owned(),
    }
}
