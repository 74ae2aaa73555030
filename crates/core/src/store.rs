//! The store port: every change the durable truth can undergo, and every question that can be asked of it.
//!
//! Implemented by the `store` crate on SQLite (later PostgreSQL) and by a memory model in `testkit`; all pass one
//! conformance suite. A store applies [`Command`]s, it decides nothing that [`crate::task`] does not say.
//!
//! Contracts every implementation keeps:
//! - [`Store::commit`] applies a batch in one durable transaction. A refused command changes nothing and does not
//!   hurt its neighbours; a [`Failure`] means that nothing of the batch was applied.
//! - Each change of state and its [`Event`] commit together.
//! - A write under a [`Lease`] counts only while the task is running, the fence is the task's current one and
//!   `lease_until > now` by the store's own clock. Otherwise [`Refused::LostLease`].
//! - Times come from the store's clock, never from a caller.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::Kind;
use crate::breaker::{Bearing, Breaker, Subject, bearing};
use crate::budget::{Budget, Experience, Scope, Terms};
use crate::chain;
use crate::crew;
use crate::day::Day;
use crate::event::Event;
use crate::ids::{
    AgentName, ArtifactHash, AttemptNumber, Cursor, Fence, Lease, OwnerId, QuestionId, RunId, TaskId, TaskKey,
};
use crate::ledger::{Entry, Reading, Spending, Tally, TallyKey};
use crate::outcome::Outcome;
use crate::question::{QuestionKind, Resolution};
use crate::quota::Allowance;
use crate::report::{Crew, Spans, TaskSum};
use crate::route::features::Features;
use crate::route::past::{PastTask, Sketch};
use crate::spec::{RunSpec, TaskSpec};
use crate::task::TaskState;
use crate::time::Millis;
use crate::trail::Trail;
use crate::usage::{Cost, Usage};

/// One change to the durable truth.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Accept a run with its tasks. `needs` must name tasks of the same submission (checked by `plan`; a store
    /// refuses what is dangling). → [`Reply::Submitted`]
    SubmitRun {
        /// The run.
        run: RunSpec,
        /// Its tasks, in the order of the plan.
        tasks: Vec<TaskSpec>,
    },
    /// Add tasks to a run; a finished run is opened again. `needs` may name tasks already there.
    /// → [`Reply::Submitted`]
    AddTasks {
        /// The run.
        run: RunId,
        /// The new tasks.
        tasks: Vec<TaskSpec>,
    },
    /// Take ready tasks, highest priority first, then oldest. First wakes held tasks whose `until` has come.
    /// → [`Reply::Claimed`]
    Claim(ClaimRequest),
    /// The try is about to start or has started: keep what identifies it. → [`Reply::Done`]
    Start {
        /// The right to say so.
        lease: Lease,
        /// What to keep.
        start: AttemptStart,
    },
    /// Keep a bounded report of a running try. → [`Reply::Done`]
    Report {
        /// The right to say so.
        lease: Lease,
        /// What kind of report.
        kind: String,
        /// Bounded by the caller (see `REPORT_MAX` in the engine).
        text: String,
    },
    /// A running try asks a person: the task stays running, the question is open until it is answered or the task
    /// leaves running in any way. → [`Reply::Asked`]
    Ask {
        /// The right to ask.
        lease: Lease,
        /// What kind of question.
        kind: QuestionKind,
        /// The backend's id of the request, handed back with the answer.
        request: String,
        /// The words; bounded by the caller.
        text: String,
    },
    /// Words for a running task, to be taken into its turn. Refused when it does not run. → [`Reply::Done`]
    Steer {
        /// The task.
        task: TaskId,
        /// The words.
        words: String,
    },
    /// Prolong leases, and fetch what the tries are to be told: each letter is handed out once and ends with its try.
    /// → [`Reply::Beat`]
    Heartbeat {
        /// The leases held.
        leases: Vec<Lease>,
        /// How long from now they shall last.
        lease_ms: u64,
    },
    /// End a try, in one piece: outcome, usage, artifacts, next state, dependants, new tasks, events.
    /// A settlement of a task whose cancellation was requested is refused with [`Refused::CancelRequested`] unless
    /// its outcome is `cancelled`. → [`Reply::Done`]
    Settle {
        /// The right to say so.
        lease: Lease,
        /// Everything about the end.
        settlement: Box<Settlement>,
    },
    /// A workflow goes on: add these children to its run and let it wait until no more than `open_max` of its children
    /// are open; then it is ready again, under the same try. Refused like a settlement when its cancellation was
    /// requested. → [`Reply::Done`]
    Await {
        /// The right to say so.
        lease: Lease,
        /// The new children; each names the task as its parent.
        children: Vec<TaskSpec>,
        /// How many may still be open when it looks again.
        open_max: u32,
    },
    /// Give a task back without an end: it is ready again and the try will be repeated under the same number.
    /// → [`Reply::Done`]
    Return {
        /// The right to say so.
        lease: Lease,
        /// Why, for the history.
        why: String,
        /// What it has consumed; when it says nothing, the last reading counts.
        spending: Spending,
    },
    /// Keep what a running try has consumed so far, and reserve more for it where there is more. → [`Reply::Metered`]
    Meter {
        /// The right to say so.
        lease: Lease,
        /// So far.
        reading: Box<Reading>,
    },
    /// A provider's limit on an account came into sight or was reached; `seen_at` is the store's. → [`Reply::Done`]
    NoteAllowance(Allowance),
    /// Set a person's own limit, or with none go back to the configured one. What waits for it looks again.
    /// → [`Reply::Done`]
    SetBudget {
        /// What it limits.
        scope: Scope,
        /// The limit.
        limit_nano: Option<u64>,
    },
    /// Raise a budget in its present window. What waits for it looks again. Refused when there is none.
    /// → [`Reply::Done`]
    RaiseBudget {
        /// What it limits.
        scope: Scope,
        /// By how much.
        by_nano: u64,
    },
    /// Keep what a person thinks of a done task's work; a later rating takes the place of an earlier one.
    /// → [`Reply::Done`]
    Rate {
        /// The task.
        task: TaskId,
        /// From 1 to 5.
        stars: u8,
        /// Their words.
        words: String,
    },
    /// Return every running task whose lease ran out. → [`Reply::Returned`]
    ExpireLeases,
    /// Return every running task of owners other than `me`, leases notwithstanding. Only for the holder of the
    /// exclusive lock of a state directory, which thereby knows that the others are gone. Runs that were open get
    /// paused with `interrupted` unless `go_on`. → [`Reply::Returned`]
    Recover {
        /// Who lives.
        me: OwnerId,
        /// Whether open runs go on at once or wait for `resume`.
        go_on: bool,
    },
    /// Nothing of the run starts until it is resumed; what runs goes on. Ready tasks become held(paused).
    /// → [`Reply::Done`]
    PauseRun {
        /// The run.
        run: RunId,
    },
    /// Let a paused run go on. → [`Reply::Done`]
    ResumeRun {
        /// The run.
        run: RunId,
    },
    /// Let every run go on that was paused because its engine went away. → [`Reply::Runs`]
    ResumeInterrupted,
    /// Stop a run: what has not started is cancelled, what runs is asked to stop. → [`Reply::Done`]
    CancelRun {
        /// The run.
        run: RunId,
    },
    /// Stop a task: cancelled at once when it is not running, else its cancellation is requested and the worker
    /// learns of it with its next heartbeat. → [`Reply::Done`]
    CancelTask {
        /// The task.
        task: TaskId,
    },
    /// Try a task again that is done without success; dependants that were skipped because of it wait again.
    /// → [`Reply::Done`]
    RetryTask {
        /// The task.
        task: TaskId,
    },
    /// Try again everything in a run that is done without success. → [`Reply::Done`]
    RetryRun {
        /// The run.
        run: RunId,
    },
    /// Answer an open question. When its task is running, the answer becomes mail, whatever `resolution` says.
    /// → [`Reply::Done`]
    Answer {
        /// The question.
        question: QuestionId,
        /// The words given.
        answer: String,
        /// What they mean (see [`QuestionKind::resolve`]).
        resolution: Resolution,
    },
    /// Apply a command once under its caller's key: the same key again changes nothing and gets the first answer. Takes
    /// commands that answer [`Reply::Submitted`] or [`Reply::Done`]; a refused one leaves its key free. → its answer
    Once {
        /// The caller's name for the wish.
        key: String,
        /// What the wish was; the same key with another one is [`Refused::KeyReused`].
        digest: String,
        /// The wish.
        command: Box<Command>,
    },
    /// Remove finished runs that ended before then, with all that hangs on them, and keys of [`Command::Once`] used
    /// before then. The runs' events go too; cursors are never used again. → [`Reply::Pruned`]
    Prune {
        /// The end of what is kept.
        before: Millis,
    },
    /// Something about instances, their messages or their policy. → [`Reply::Crew`]
    Crew(crew::Command),
}

/// Who claims, and within which limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimRequest {
    /// The claiming engine or worker.
    pub owner: OwnerId,
    /// How many tasks at the most.
    pub limit: u32,
    /// How long the leases shall last from now.
    pub lease_ms: u64,
    /// How many tasks the owner has running beyond its own limit, on places lent to it. Turns that wait for others
    /// below them lend theirs: so many more than `limit` may be taken, less these.
    pub borrowed: u32,
    /// Limits over sets of agents, counted over all owners. An agent that no cap names is only bound by `limit`.
    pub caps: Vec<Cap>,
    /// What there is to know about money: limits, estimates, who pays.
    pub terms: Arc<Terms>,
}

/// At most so many running tasks over these agents together (one agent, or all that share an account).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cap {
    /// The agents that share the limit.
    pub agents: Vec<AgentName>,
    /// How many of their tasks may run at a time.
    pub running_max: u32,
}

/// What identifies a try that is about to start or has started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttemptStart {
    /// The backend's session, once it is known.
    pub session: Option<String>,
    /// The process that keeps the agent, with its start time (clock ticks since boot): a pid alone proves nothing.
    pub process: Option<ProcessMark>,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The number.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// The end of a try.
#[derive(Clone, PartialEq, Debug)]
pub struct Settlement {
    /// How it ended.
    pub outcome: Outcome,
    /// What happens to the task.
    pub next: Next,
    /// What it produced.
    pub result: TaskResult,
    /// What it consumed.
    pub usage: Usage,
    /// What it cost.
    pub cost: Cost,
    /// The bytes behind [`TaskResult::artifacts`] that the store does not hold yet.
    pub artifacts: Vec<ArtifactBytes>,
    /// Tasks that a planner returned.
    pub new_tasks: Vec<TaskSpec>,
    /// What is booked for it.
    pub spending: Spending,
    /// What routing is to remember of the task, when it ends with this.
    pub learned: Option<Learned>,
    /// Whose doing it was.
    pub by: EndedBy,
}

/// Whose doing the end of a try was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// The agent's, or its provider's.
    Agent,
    /// Ours: no tree could be made, a disk is full, a merge could not be tried. It says nothing about the agent.
    House,
}

impl Settlement {
    /// What it says about the one that was asked.
    pub fn bearing(&self, now: Millis) -> Bearing {
        match self.by {
            EndedBy::Agent => bearing(&self.outcome, now),
            EndedBy::House => Bearing::Silent,
        }
    }
}

/// What routing remembers of a task beside how it came out and what it cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
    /// What sort of work it was.
    pub kind: Kind,
    /// What it was about.
    pub sketch: Sketch,
    /// Its shape and words.
    pub features: Features,
    /// The model that was asked for; none for the agent's own choice.
    pub model: Option<String>,
}

/// What happens to a task whose try ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// It is over.
    Done {
        /// Whether dependants run although it did not succeed.
        continues: bool,
    },
    /// Tried again then, on that agent. `counts` is false when the try was not the task's fault (quota): the next
    /// one has the same number.
    TryAt {
        /// When.
        at: Millis,
        /// At which link of its chain; its own agent is 0.
        link: u32,
        /// On whom.
        agent: AgentName,
        /// Held as quota (true) or as retry (false) until then.
        quota: bool,
    },
    /// Its budget is used up: it waits until there is more, and goes on with the same try.
    AwaitBudget,
    /// A person is asked.
    Ask {
        /// What kind of question.
        kind: QuestionKind,
        /// The words.
        text: String,
    },
}

/// What a try produced, by reference.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TaskResult {
    /// What to say about it in short; bounded (see `SUMMARY_MAX` in the engine).
    pub summary: String,
    /// The verdict it gave, when it gave one.
    pub verdict: Option<String>,
    /// The files it changed.
    pub files: Vec<String>,
    /// Its durable outputs: `output` first.
    pub artifacts: Vec<ArtifactRef>,
    /// The exit code of its process, where there was one.
    pub exit_code: Option<i32>,
    /// The checks that the engine ran.
    pub checks: Vec<Check>,
    /// Whether it comes from the rehearsal stand-in.
    pub rehearsed: bool,
    /// The model that gave it, as far as anybody knows.
    pub model: Option<String>,
    /// Who says so; none when nobody does.
    pub model_source: Option<ModelSource>,
    /// The link of its chain that gave it.
    pub link: u32,
    /// How sure it says it is, 0 to 100, when it says so.
    pub confidence: Option<u8>,
    /// What its tries did, by their tool calls.
    pub trail: Trail,
}

/// How it is known which model gave an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// The agent, its provider or its own record of the session said so.
    Reported,
    /// It was asked with that one, and did not say.
    Asked,
}

impl ModelSource {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            ModelSource::Reported => "reported",
            ModelSource::Asked => "asked",
        }
    }
}

/// A named output of a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// `output`, `errors`, or a name the backend gave.
    pub name: String,
    /// Where the bytes are.
    pub hash: ArtifactHash,
    /// How many bytes are kept.
    pub bytes: u64,
    /// How many bytes the task really wrote; more than `bytes` when the middle was dropped.
    pub bytes_written: u64,
}

/// Content by hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactBytes {
    /// BLAKE3 of the bytes.
    pub hash: ArtifactHash,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A check that the engine ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The command.
    pub command: String,
    /// Its exit code; absent when it had to be stopped.
    pub exit_code: Option<i32>,
    /// BLAKE3 of its output.
    pub log: ArtifactHash,
    /// The end of its output, bounded.
    pub tail: String,
    /// How long it took.
    pub took_ms: u64,
}

impl Check {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0)
    }
}

/// The answer to a command that was applied.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// It is done; there is nothing to say.
    Done,
    /// The run and its new tasks, in the order given.
    Submitted {
        /// The run.
        run: RunId,
        /// The new tasks.
        tasks: Vec<TaskId>,
    },
    /// What was claimed, and when to ask again.
    Claimed {
        /// The tasks.
        tasks: Vec<Claimed>,
        /// The earliest moment at which a held task wakes by itself.
        wake_at: Option<Millis>,
        /// The moment of the claim by the store's clock.
        now: Millis,
        /// The earliest moment at which an instance is put aside or ends by itself.
        expire_at: Option<Millis>,
    },
    /// What became of the leases.
    Beat {
        /// Leases that are no longer valid: stop and discard.
        lost: Vec<Lease>,
        /// Tasks that somebody wants stopped.
        cancel: Vec<TaskId>,
        /// Turns that somebody wants to stop, with their sessions kept.
        interrupt: Vec<TaskId>,
        /// What their tries are to be told, in the order in which it was said.
        mail: Vec<Mail>,
    },
    /// How much a running try may consume.
    Metered {
        /// Which.
        lease: Lease,
        /// In all; none when no budget concerns it.
        granted_nano: Option<u64>,
    },
    /// The question that was opened.
    Asked {
        /// Its id.
        question: QuestionId,
    },
    /// Tasks that are ready again.
    Returned {
        /// Which, with what identified their last try.
        tasks: Vec<ReturnedTask>,
    },
    /// Runs that were changed.
    Runs {
        /// Which.
        runs: Vec<RunId>,
    },
    /// What was removed.
    Pruned {
        /// Runs.
        runs: u64,
        /// Artifacts that nothing refers to any more.
        artifacts: u64,
    },
    /// The crew's answer.
    Crew(crew::Reply),
}

/// Something a running try is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// The task.
    pub task: TaskId,
    /// What.
    pub letter: Letter,
}

/// What a running try is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    /// Words for its turn.
    Words(String),
    /// The answer to a question of its own.
    Answer {
        /// What kind of question it was.
        kind: QuestionKind,
        /// The backend's id of the request.
        request: String,
        /// The words given.
        answer: String,
    },
}

/// A task whose worker went away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReturnedTask {
    /// The task.
    pub task: TaskId,
    /// The process that kept its agent, if that was recorded.
    pub process: Option<ProcessMark>,
}

/// A task under a fresh lease.
#[derive(Clone, PartialEq, Debug)]
pub struct Claimed {
    /// The right to write about it.
    pub lease: Lease,
    /// Its run.
    pub run: RunId,
    /// The number of this try.
    pub attempt: AttemptNumber,
    /// At which link of its chain it is; its own agent is 0.
    pub link: u32,
    /// How many tries `agent` has had there, this one included.
    pub on_agent: u32,
    /// When the first of the tries began that its deadline is counted from, by the store's clock. Time in which it is
    /// held for anything but a retry, or has no engine, is not counted.
    pub since: Millis,
    /// Who is to do it.
    pub agent: AgentName,
    /// The session of an earlier try on that agent, to go on in.
    pub session: Option<String>,
    /// Everything about it.
    pub spec: TaskSpec,
    /// When it was claimed, by the store's clock.
    pub at: Millis,
    /// How much it may consume; none when no budget concerns it.
    pub granted_nano: Option<u64>,
}

/// A command that was not applied; the others of its batch were.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refused {
    /// The lease ran out or the task was claimed by somebody else: stop and discard.
    #[error("the lease on {0:?} is lost")]
    LostLease(Lease),
    /// Somebody wants the task stopped; settle it as cancelled.
    #[error("{0} was cancelled in the meantime")]
    CancelRequested(TaskId),
    /// The key was used for another wish.
    #[error("the key `{0}` was used for another request")]
    KeyReused(String),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(RunId),
    /// There is no such task.
    #[error("there is no task {0}")]
    NoSuchTask(TaskId),
    /// There is no such question, or it was answered before.
    #[error("there is no open question {0}")]
    NoSuchQuestion(QuestionId),
    /// A task of that name is in the run already.
    #[error("the run already has a task `{0}`")]
    DuplicateKey(TaskKey),
    /// A task needs one that is not there.
    #[error("task `{task}` needs `{needs}`, which is not in the run")]
    DanglingNeed {
        /// The task.
        task: TaskKey,
        /// What it needs.
        needs: TaskKey,
    },
    /// The crew refuses it.
    #[error(transparent)]
    Crew(crew::Refusal),
    /// The state does not allow it.
    #[error("{0}")]
    Illegal(String),
}

impl From<crew::Refusal> for Refused {
    fn from(refusal: crew::Refusal) -> Self {
        Refused::Crew(refusal)
    }
}

/// The store itself failed; nothing of the batch was applied.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The disk or the quota on it is full. Work may go on once there is room.
    #[error("the disk that holds the state is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process held the store for too long.
    #[error("the store is busy")]
    Busy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file is damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was written by a version of Wheelhouse that is newer than this one.
    #[error("the store has schema {found}, this program knows schemas up to {known}")]
    TooNew {
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Reading or writing failed.
    #[error("the store could not be read or written")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The durable truth, for writing. One thread at a time; the engine groups commands into batches.
pub trait Store: Send {
    /// Applies the batch in one durable transaction; one answer a command, in order.
    fn commit(&mut self, batch: &[Command]) -> Result<Vec<Result<Reply, Refused>>, Failure>;

    /// A view for reading that does not disturb the writer.
    fn reader(&self) -> Result<Box<dyn Reader>, Failure>;
}

/// The durable truth, for reading. Every call sees one consistent moment.
pub trait Reader: crew::CrewReader + Send {
    /// All runs, newest first, at most `limit`.
    fn runs(&mut self, limit: u32) -> Result<Vec<RunView>, Failure>;
    /// One run.
    fn run(&mut self, run: RunId) -> Result<Option<RunView>, Failure>;
    /// Tasks of a run in the order they were added, from `offset`, at most `limit`.
    fn tasks(&mut self, run: RunId, offset: u64, limit: u32) -> Result<Vec<TaskView>, Failure>;
    /// Tasks of a run in one of these states (names as in [`TaskState::name`]), oldest first, at most `limit`.
    fn tasks_in(&mut self, run: RunId, state: &str, limit: u32) -> Result<Vec<TaskView>, Failure>;
    /// One task.
    fn task(&mut self, task: TaskId) -> Result<Option<TaskView>, Failure>;
    /// The task of that name in the run.
    fn task_by_key(&mut self, run: RunId, key: &TaskKey) -> Result<Option<TaskView>, Failure>;
    /// The children of a task that is a workflow, oldest first.
    fn children(&mut self, task: TaskId) -> Result<Vec<TaskView>, Failure>;
    /// What the task was told to do.
    fn spec(&mut self, task: TaskId) -> Result<Option<TaskSpec>, Failure>;
    /// What the run was told.
    fn run_spec(&mut self, run: RunId) -> Result<Option<RunSpec>, Failure>;
    /// Every try of a task, oldest first.
    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptView>, Failure>;
    /// Every try that ended, oldest first, with what it came to.
    fn results(&mut self, task: TaskId) -> Result<Vec<Answered>, Failure>;
    /// The try that gave the task's answer: see [`chain::answer`].
    fn answered(&mut self, task: TaskId) -> Result<Option<Answered>, Failure> {
        let mut results = self.results(task)?;
        let place = chain::answer(results.iter().map(|one| (&one.outcome, &one.result)));
        Ok(place.map(|place| results.swap_remove(place)))
    }
    /// The task's result: that of [`Reader::answered`].
    fn result(&mut self, task: TaskId) -> Result<Option<TaskResult>, Failure> {
        Ok(self.answered(task)?.map(|answered| answered.result))
    }
    /// The breakers of every provider, model and credential that was asked of late.
    fn breakers(&mut self) -> Result<Vec<(Subject, Breaker)>, Failure>;
    /// The bytes of an artifact.
    fn artifact(&mut self, hash: &ArtifactHash) -> Result<Option<Vec<u8>>, Failure>;
    /// Events after `after`, oldest first, at most `limit`; of one run or of all.
    fn events(&mut self, after: Cursor, run: Option<RunId>, limit: u32) -> Result<Vec<Event>, Failure>;
    /// Questions nobody has answered, oldest first.
    fn open_questions(&mut self) -> Result<Vec<QuestionView>, Failure>;
    /// One question, open or not.
    fn question(&mut self, question: QuestionId) -> Result<Option<QuestionView>, Failure>;
    /// What became of tasks that agents were given, newest first, at most `limit`. It outlives its runs.
    fn past(&mut self, limit: u32) -> Result<Vec<PastTask>, Failure>;
    /// How many tasks each agent has under way or ready before it; agents without any are left out.
    fn busy(&mut self) -> Result<Vec<(AgentName, u32)>, Failure>;
    /// Entries of the ledger after this one, oldest first, at most `limit`.
    fn ledger(&mut self, after: u64, limit: u32) -> Result<Vec<Entry>, Failure>;
    /// The sums of these days, both included.
    fn tallies(&mut self, first: Day, last: Day) -> Result<Vec<(TallyKey, Tally)>, Failure>;
    /// What the ledger holds of each task of a run, under the keys it is booked by, in the order of the last entries.
    fn ledger_of(&mut self, run: RunId) -> Result<Vec<TaskSum>, Failure>;
    /// How many stars people gave the tasks of a run, by task.
    fn ratings(&mut self, run: RunId) -> Result<Vec<(TaskId, u8)>, Failure>;
    /// Which agents the ledger knows together in one run, over the entries of these days.
    fn crews(&mut self, first: Day, last: Day) -> Result<Vec<Crew>, Failure>;
    /// When tasks were tried, of one run or of the newest runs with submissions up to and ends from these days on; at most
    /// so many tries, a run whole or not at all.
    fn spans(&mut self, which: SpansOf, tries_max: u32) -> Result<Spans, Failure>;
    /// Every budget with a limit, by scope, in the window of `now`.
    fn budgets(&mut self, now: Millis) -> Result<Vec<Budget>, Failure>;
    /// What is known of the allowances of accounts.
    fn allowances(&mut self) -> Result<Vec<Allowance>, Failure>;
    /// What past tries of an agent cost, by model (all together when none is named) and kind of work.
    fn experience(&mut self, agent: &AgentName, model: Option<&str>, kind: &str) -> Result<Experience, Failure>;
    /// The unique name of this store, made at its birth.
    fn store_id(&mut self) -> Result<String, Failure>;
}

/// The runs whose tries are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpansOf {
    /// One.
    Run(RunId),
    /// Those that were under way on any of these days.
    Days(Day, Day),
}

/// A run as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Its name.
    pub name: String,
    /// Where the plan came from.
    pub source: String,
    /// A run that never finishes by itself.
    pub standing: bool,
    /// Whether it goes on.
    pub state: RunState,
    /// When it was submitted.
    pub submitted_at: Millis,
    /// When its last task was done.
    pub finished_at: Option<Millis>,
    /// How many of its tasks are where.
    pub counts: Counts,
    /// How many of those that failed or were cancelled are steps of workflows: what became of them is the workflow's
    /// affair, which is counted itself.
    pub steps_failed: u64,
    /// What its tries consumed.
    pub usage: Usage,
    /// What they cost, in nano-dollars, without those nobody knows.
    pub cost_nano: u64,
    /// How many tries have a cost nobody knows.
    pub cost_unknown: u64,
}

impl RunView {
    /// Whether nothing of it failed or was cancelled, steps of workflows aside. What was skipped because of a failure is
    /// behind one that counts; what is skipped beside that was not needed.
    pub fn all_succeeded(&self) -> bool {
        self.counts.failed + self.counts.cancelled <= self.steps_failed
    }
}

/// Whether a run goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its tasks are done as they become ready.
    Active,
    /// A person paused it.
    Paused,
    /// Its engine went away; `resume` goes on.
    Interrupted,
    /// Every task is done.
    Finished,
}

/// How many tasks are in which state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Waiting for others.
    pub waiting: u64,
    /// Claimable.
    pub ready: u64,
    /// Under way.
    pub running: u64,
    /// Cannot go on now.
    pub held: u64,
    /// Done with success.
    pub succeeded: u64,
    /// Done without success, skipped and cancelled ones excluded.
    pub failed: u64,
    /// Done as skipped.
    pub skipped: u64,
    /// Done as cancelled.
    pub cancelled: u64,
}

impl Counts {
    /// All tasks.
    pub fn total(&self) -> u64 {
        self.open() + self.succeeded + self.failed + self.skipped + self.cancelled
    }

    /// Tasks that are not done.
    pub fn open(&self) -> u64 {
        self.waiting + self.ready + self.running + self.held
    }
}

/// A task as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TaskView {
    /// Its number.
    pub id: TaskId,
    /// Its run.
    pub run: RunId,
    /// Its name.
    pub key: TaskKey,
    /// Where it stands.
    pub state: TaskState,
    /// Who is to do it.
    pub agent: AgentName,
    /// Its priority.
    pub priority: i32,
    /// The number of the current or last try; zero before the first.
    pub attempt: AttemptNumber,
    /// The task's fence counter.
    pub fence: Fence,
    /// Whether somebody wants it stopped.
    pub cancel_requested: bool,
    /// The tasks it needs.
    pub needs: Vec<TaskKey>,
    /// Those of them that are not done; of a workflow that has begun, its open children.
    pub waits_for: Vec<TaskKey>,
    /// The workflow it is a step of.
    pub parent: Option<TaskKey>,
    /// When its current or last try began.
    pub started_at: Option<Millis>,
    /// When it was done.
    pub done_at: Option<Millis>,
}

/// A try as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its number.
    pub number: AttemptNumber,
    /// How often it was begun: more than once when an engine died under it.
    pub begun: u32,
    /// Who did it.
    pub agent: AgentName,
    /// The backend's session.
    pub session: Option<String>,
    /// When it was (last) claimed.
    pub started_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
    /// How.
    pub outcome: Option<Outcome>,
    /// What it consumed.
    pub usage: Usage,
    /// What it cost; absent until it ended.
    pub cost: Option<Cost>,
}

/// A try that ended, with what it came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    /// Its number.
    pub number: AttemptNumber,
    /// How it ended.
    pub outcome: Outcome,
    /// What it produced.
    pub result: TaskResult,
}

/// A question as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QuestionView {
    /// Its id.
    pub id: QuestionId,
    /// Its run.
    pub run: RunId,
    /// Its task.
    pub task: TaskId,
    /// The task's name.
    pub key: TaskKey,
    /// What kind.
    pub kind: QuestionKind,
    /// The words.
    pub text: String,
    /// When it was asked.
    pub asked_at: Millis,
    /// The answer, once given.
    pub answer: Option<String>,
}

/// The history and the tables, checked against each other by `fsck`: what is wrong, in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The rule that is broken.
    pub rule: String,
    /// Where and how.
    pub detail: String,
}
