//! The dispatcher: every decision of a running engine, as a pure machine.
//!
//! Inputs come in ([`Input`]), effects go out ([`Effect`]); between them nothing awaits, reads a clock or touches a
//! store. `supervise` drives it in the product, `tests/simulation.rs` drives it with seeded faults on a
//! simulated clock.
//!
//! One commit is in flight at a time. What piles up meanwhile goes into the next one, so batches grow with the load
//! and a single task waits for nobody: the settlement of a task and the claim of its dependants are one commit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::agent::{Ended, Order};
use wheelhouse_core::analysis::{Facts, analyse};
use wheelhouse_core::budget::Terms;
use wheelhouse_core::chain;
use wheelhouse_core::disposition::{Disposition, Moment, Tries, dispose};
use wheelhouse_core::ids::{Lease, OwnerId, QuestionId, TaskId};
use wheelhouse_core::ledger::{Reading, Spending};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, Resolution};
use wheelhouse_core::quota::Allowance;
use wheelhouse_core::route::past::Sketch;
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{
    ArtifactBytes, AttemptStart, Cap, ClaimRequest, Claimed, Command, Failure, Learned, Letter, Mail, Next, Refused,
    Reply, Settlement,
};
use wheelhouse_core::time::Millis;

use crate::workflow::Stepped;

/// How many commands one commit takes at the most: enough to make a disk flush cheap, few enough that a reader or a
/// second writer never waits long.
pub const BATCH_MAX: usize = 512;
/// Time between two heartbeats of a running task.
pub const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long a lease lasts: three heartbeats.
pub const LEASE: Duration = Duration::from_secs(180);
/// The first wait after a failed commit; it doubles up to [`COMMIT_RETRY_MAX`].
pub const COMMIT_RETRY_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between two tries of a commit.
pub const COMMIT_RETRY_MAX: Duration = Duration::from_secs(5);

/// What a dispatcher works within.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Whose leases these are.
    pub owner: OwnerId,
    /// How many tries run at a time.
    pub parallel_max: u32,
    /// Limits over agents and accounts.
    pub caps: Vec<Cap>,
    /// Whether open runs of an engine that is gone go on at once, or wait for `resume`.
    pub go_on: bool,
    /// When to end.
    pub until: Until,
    /// What claims need to know about money.
    pub terms: Arc<Terms>,
}

/// When an engine ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// When no task can go on without a person: nothing runs, nothing is ready, no wait ends by itself.
    NothingLeft,
    /// Never; it waits for new work.
    Stopped,
}

/// What an engine is told from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopSignal {
    /// Start nothing more, ask the agents to end, return their tasks.
    Ask,
    /// The same, but kill the agents at once.
    Kill,
}

/// What happened outside.
#[derive(Debug)]
pub enum Input {
    /// The commit in flight ended; the batch comes back with its answers, or with what went wrong.
    Committed {
        /// The commands, unchanged.
        batch: Vec<Command>,
        /// Their answers in order, or a failure that applied none of them.
        answers: Result<Vec<Result<Reply, Refused>>, Failure>,
    },
    /// A try is under way.
    AttemptStarted {
        /// Its lease.
        lease: Lease,
        /// What identifies it.
        start: AttemptStart,
    },
    /// A try reported something worth keeping.
    AttemptReported {
        /// Its lease.
        lease: Lease,
        /// What kind of report.
        kind: String,
        /// Bounded text.
        text: String,
    },
    /// A try asks a person.
    AttemptAsked {
        /// Its lease.
        lease: Lease,
        /// What kind of question.
        kind: QuestionKind,
        /// The backend's id of the request.
        request: String,
        /// Bounded words.
        text: String,
    },
    /// Nobody answered a request in time; the try gave itself the safe answer.
    AttemptDefaulted {
        /// Its lease.
        lease: Lease,
        /// The backend's id of the request.
        request: String,
        /// The answer it gave itself.
        answer: String,
    },
    /// A try ended.
    AttemptEnded {
        /// Its lease.
        lease: Lease,
        /// How.
        ended: Box<Ended>,
        /// The tasks a planner returned.
        new_tasks: Vec<TaskSpec>,
        /// What is booked for it.
        spending: Spending,
    },
    /// A workflow goes on with new children, or waits for those it has.
    WorkflowAwaits {
        /// Its lease.
        lease: Lease,
        /// The new children.
        children: Vec<TaskSpec>,
        /// How many may be open when it looks again.
        open_max: u32,
    },
    /// A workflow is over.
    WorkflowEnded {
        /// Its lease.
        lease: Lease,
        /// How.
        ended: Box<Ended>,
        /// What becomes of its task: the rounds were its own.
        next: Next,
    },
    /// What a try has consumed so far, and how much it would like to have.
    AttemptMetered {
        /// Its lease.
        lease: Lease,
        /// So far.
        reading: Box<Reading>,
    },
    /// A provider's limit came into sight.
    Limited(Allowance),
    /// Somebody else changed the store.
    Nudged,
    /// Somebody wants the engine to end.
    Stop(StopSignal),
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Commit these; answer with [`Input::Committed`]. At most one is in flight.
    Commit(Vec<Command>),
    /// Begin a try; it ends with [`Input::AttemptEnded`], whatever happens.
    Begin(Arc<Claimed>),
    /// Tell the try of that lease.
    Order(Lease, Order),
    /// Tell the try of that lease how much it may consume; nothing when no budget concerns it.
    Grant(Lease, Option<u64>),
    /// Something worth a line for people.
    Notice(String),
    /// The store changed: wake those who follow.
    News,
    /// The engine is at its end; nothing runs any more.
    End(Ending),
}

/// How an engine ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Nothing is left that could go on without a person.
    NothingLeft,
    /// It was told to stop; so many tries were cut short and their tasks returned.
    Stopped {
        /// How many.
        returned: usize,
    },
    /// The store failed in a way that no repetition mends.
    Broken(String),
}

/// Why a running try was told to end; a later one in this order overrules an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Cut {
    /// The engine is stopping: the task is returned.
    Stopping,
    /// Somebody wants the turn of an instance to end and the session to stay.
    Interrupted,
    /// Somebody cancelled the task.
    Cancelled,
    /// The lease is lost: whatever it brings is discarded.
    Lost,
}

#[derive(Debug)]
struct Active {
    claimed: Arc<Claimed>,
    cut: Option<Cut>,
    /// Its open questions, by the backend's id of the request.
    asked: BTreeMap<String, QuestionId>,
}

impl Input {
    /// What a step of a workflow came to.
    pub(crate) fn stepped(lease: Lease, stepped: Stepped) -> Input {
        match stepped {
            Stepped::Awaits { children, open_max } => Input::WorkflowAwaits {
                lease,
                children,
                open_max,
            },
            Stepped::Over { ended, next } => Input::WorkflowEnded { lease, ended, next },
        }
    }
}

impl Active {
    /// Whether it is a turn of an instance.
    fn is_turn(&self) -> bool {
        matches!(self.claimed.spec.work, Work::Turn(_))
    }
}

/// The decisions of one engine. See the module.
#[derive(Debug)]
pub struct Dispatcher {
    limits: Limits,
    queue: VecDeque<Command>,
    in_flight: bool,
    running: BTreeMap<TaskId, Active>,
    claim_wanted: bool,
    /// Somebody changed the store: ask about cancellations with the next commit. Not before the one in flight is
    /// back, because it may have claimed what they are about.
    nudged: bool,
    /// When a held task wakes, by our clock.
    wake_at: Option<Millis>,
    /// When an instance has been idle for long enough, by our clock. No reason to stay.
    tend_at: Option<Millis>,
    beat_at: Option<Millis>,
    /// When tasks are returned that a commit claimed whose answer never came.
    expire_at: Option<Millis>,
    commit_at: Option<Millis>,
    commit_wait: Duration,
    stopping: Option<StopSignal>,
    returned: usize,
    ended: bool,
    /// Store clock minus our clock, as of the last claim.
    store_ahead_ms: i128,
    random: u64,
    effects: Vec<Effect>,
}

impl Dispatcher {
    /// A dispatcher that begins by recovering what an earlier engine left. `seed` feeds the retry jitter.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let recover = Command::Recover {
            me: limits.owner.clone(),
            go_on: limits.go_on,
        };
        Dispatcher {
            limits,
            queue: VecDeque::from([recover]),
            in_flight: false,
            running: BTreeMap::new(),
            claim_wanted: true,
            nudged: false,
            wake_at: None,
            tend_at: None,
            beat_at: None,
            expire_at: None,
            commit_at: None,
            commit_wait: COMMIT_RETRY_FIRST,
            stopping: None,
            returned: 0,
            ended: false,
            store_ahead_ms: 0,
            random: seed,
            effects: Vec::new(),
        }
    }

    /// How many tries are under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Takes one input. Call [`Dispatcher::poll`] after all that are at hand.
    pub fn handle(&mut self, input: Input, now: Millis) {
        match input {
            Input::Committed { batch, answers } => self.committed(batch, answers, now),
            Input::AttemptStarted { lease, start } => self.queue.push_back(Command::Start { lease, start }),
            Input::AttemptReported { lease, kind, text } => self.queue.push_back(Command::Report { lease, kind, text }),
            Input::AttemptAsked {
                lease,
                kind,
                request,
                text,
            } => self.queue.push_back(Command::Ask {
                lease,
                kind,
                request,
                text,
            }),
            Input::AttemptDefaulted { lease, request, answer } => self.answer_itself(lease, &request, answer),
            Input::AttemptEnded {
                lease,
                ended,
                new_tasks,
                spending,
            } => self.attempt_ended(lease, *ended, new_tasks, spending, now),
            Input::WorkflowAwaits {
                lease,
                children,
                open_max,
            } => self.workflow_awaits(lease, children, open_max),
            Input::WorkflowEnded { lease, ended, next } => self.workflow_ended(lease, *ended, next),
            Input::AttemptMetered { lease, reading } => self.queue.push_back(Command::Meter { lease, reading }),
            Input::Limited(allowance) => self.queue.push_back(Command::NoteAllowance(allowance)),
            Input::Nudged => {
                self.claim_wanted = true;
                self.nudged = true;
            }
            Input::Stop(signal) => self.stop(signal),
        }
    }

    /// Everything to be done now, in order.
    pub fn poll(&mut self, now: Millis) -> Vec<Effect> {
        if self.ended {
            return Vec::new();
        }
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.claim_wanted = true;
        }
        if self.tend_at.is_some_and(|at| at <= now) {
            self.tend_at = None;
            self.claim_wanted = true;
        }
        self.flush(now);
        self.end_if_over();
        std::mem::take(&mut self.effects)
    }

    /// When [`Dispatcher::poll`] has something to do although no input came.
    pub fn next_wake(&self) -> Option<Millis> {
        // Whatever is due goes into the next commit: nothing is to be done before that one can be made.
        if self.in_flight {
            return None;
        }
        if self.commit_at.is_some() {
            return self.commit_at;
        }
        let wake = self.wake_at.filter(|_| self.stopping.is_none());
        let tend = self.tend_at.filter(|_| self.stopping.is_none());
        [wake, tend, self.beat_at, self.expire_at].into_iter().flatten().min()
    }

    fn flush(&mut self, now: Millis) {
        if self.in_flight || self.commit_at.is_some_and(|at| at > now) {
            return;
        }
        self.commit_at = None;
        if std::mem::take(&mut self.nudged) || self.beat_at.is_some_and(|at| at <= now) {
            self.beat(now);
        }
        if self.expire_at.is_some_and(|at| at <= now) {
            self.expire_at = None;
            self.queue.push_back(Command::ExpireLeases);
        }
        let slots = (self.limits.parallel_max as usize).saturating_sub(self.running.len());
        // A turn that waits for others below it has lent its place: only the store knows which do.
        let may_be_lent = self.running.values().any(Active::is_turn);
        let claim = self.claim_wanted && (slots > 0 || may_be_lent) && self.stopping.is_none();
        if self.queue.is_empty() && !claim {
            return;
        }
        let count = self.queue.len().min(BATCH_MAX);
        let mut batch: Vec<Command> = self.queue.drain(..count).collect();
        // The claim comes last, so that it sees what the settlements before it made ready.
        if claim && self.queue.is_empty() {
            batch.push(Command::Claim(ClaimRequest {
                owner: self.limits.owner.clone(),
                limit: u32::try_from(slots).unwrap_or(u32::MAX),
                lease_ms: u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX),
                borrowed: u32::try_from(self.running.len())
                    .unwrap_or(u32::MAX)
                    .saturating_sub(self.limits.parallel_max),
                caps: self.limits.caps.clone(),
                terms: Arc::clone(&self.limits.terms),
            }));
            self.claim_wanted = false;
        }
        self.in_flight = true;
        self.effects.push(Effect::Commit(batch));
    }

    fn beat(&mut self, now: Millis) {
        self.beat_at = None;
        if self.running.is_empty() {
            return;
        }
        self.queue.push_back(Command::Heartbeat {
            leases: self.running.values().map(|active| active.claimed.lease).collect(),
            lease_ms: u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX),
        });
        self.queue.push_back(Command::ExpireLeases);
        self.beat_at = Some(now.after(HEARTBEAT));
    }

    fn committed(&mut self, batch: Vec<Command>, answers: Result<Vec<Result<Reply, Refused>>, Failure>, now: Millis) {
        self.in_flight = false;
        match answers {
            Ok(answers) => {
                self.commit_wait = COMMIT_RETRY_FIRST;
                for (command, answer) in batch.into_iter().zip(answers) {
                    match answer {
                        Ok(Reply::Asked { question }) => self.asked(command, question),
                        Ok(reply) => self.applied(reply, now),
                        Err(refused) => self.refused(command, refused),
                    }
                }
                self.effects.push(Effect::News);
            }
            Err(failure @ (Failure::Damaged(_) | Failure::TooNew { .. })) => {
                let why = failure.to_string();
                self.kill_all();
                self.ended = true;
                self.effects.push(Effect::End(Ending::Broken(why)));
            }
            Err(failure @ (Failure::Full(_) | Failure::Busy(_) | Failure::Io(_))) => {
                if self.commit_wait == COMMIT_RETRY_FIRST {
                    self.effects
                        .push(Effect::Notice(format!("{failure}; trying again until it works")));
                }
                // A full disk and a busy store have changed nothing; of any other failure it is not known whether the
                // commit was made before it, with tasks claimed that we have never heard of.
                let maybe_made = matches!(failure, Failure::Io(_));
                for command in batch.into_iter().rev() {
                    match command {
                        Command::Claim(_) => {
                            self.claim_wanted = true;
                            if maybe_made {
                                self.expire_at = Some(now.after(LEASE));
                            }
                        }
                        other => self.queue.push_front(other),
                    }
                }
                self.commit_at = Some(now.after(self.commit_wait));
                self.commit_wait = (self.commit_wait * 2).min(COMMIT_RETRY_MAX);
            }
        }
    }

    fn applied(&mut self, reply: Reply, now: Millis) {
        match reply {
            Reply::Claimed {
                tasks,
                wake_at,
                now: store_now,
                expire_at,
            } => {
                self.store_ahead_ms = i128::from(store_now.0) - i128::from(now.0);
                self.wake_at = wake_at.map(|at| self.our_time(at));
                self.tend_at = expire_at.map(|at| self.our_time(at));
                for claimed in tasks {
                    self.begin(claimed, now);
                }
            }
            Reply::Beat {
                lost,
                cancel,
                interrupt,
                mail,
            } => {
                for Mail { task, letter } in mail {
                    self.deliver(task, letter);
                }
                for lease in lost {
                    self.cut(lease.task, Cut::Lost, Order::Kill);
                }
                for task in cancel {
                    self.cut(task, Cut::Cancelled, Order::Stop);
                }
                for task in interrupt {
                    self.cut(task, Cut::Interrupted, Order::Interrupt);
                }
            }
            Reply::Metered { lease, granted_nano } => self.effects.push(Effect::Grant(lease, granted_nano)),
            Reply::Returned { tasks } => self.claim_wanted |= !tasks.is_empty(),
            Reply::Done
            | Reply::Asked { .. }
            | Reply::Submitted { .. }
            | Reply::Runs { .. }
            | Reply::Pruned { .. }
            | Reply::Crew(_) => {}
        }
    }

    fn begin(&mut self, claimed: Claimed, now: Millis) {
        if self.stopping.is_some() {
            self.give_back(claimed.lease, Spending::default());
            return;
        }
        let claimed = Arc::new(claimed);
        self.running.insert(
            claimed.lease.task,
            Active {
                claimed: Arc::clone(&claimed),
                cut: None,
                asked: BTreeMap::new(),
            },
        );
        self.beat_at.get_or_insert(now.after(HEARTBEAT));
        self.effects.push(Effect::Begin(claimed));
    }

    fn asked(&mut self, command: Command, question: QuestionId) {
        if let Command::Ask { lease, request, .. } = command
            && let Some(active) = self.running.get_mut(&lease.task)
        {
            active.asked.insert(request, question);
        }
    }

    /// A try can have ended while its mail was under way; then nobody is there to read it.
    fn deliver(&mut self, task: TaskId, letter: Letter) {
        let Some(active) = self.running.get_mut(&task) else {
            return;
        };
        let order = match letter {
            Letter::Words(words) => Order::Steer(words),
            Letter::Answer { kind, request, answer } => {
                active.asked.remove(&request);
                let answer = kind.reply(&answer);
                Order::Answer { request, answer }
            }
        };
        self.effects.push(Effect::Order(active.claimed.lease, order));
    }

    /// Closes the question of a request whose try went on without a person.
    fn answer_itself(&mut self, lease: Lease, request: &str, answer: String) {
        let asked = self
            .running
            .get_mut(&lease.task)
            .and_then(|active| active.asked.remove(request));
        if let Some(question) = asked {
            self.queue.push_back(Command::Answer {
                question,
                answer,
                resolution: Resolution::Deliver,
            });
        }
    }

    /// A try can have ended between our question and the answer; then there is nothing to cut.
    fn cut(&mut self, task: TaskId, cut: Cut, order: Order) {
        if let Some(active) = self.running.get_mut(&task)
            && active.cut.is_none_or(|before| before < cut)
        {
            active.cut = Some(cut);
            self.effects.push(Effect::Order(active.claimed.lease, order));
        }
    }

    fn refused(&mut self, command: Command, refused: Refused) {
        match (command, refused) {
            (Command::Settle { lease, settlement }, Refused::CancelRequested(_)) => {
                let mut settlement = settlement;
                settlement.outcome = Outcome::Cancelled;
                settlement.next = Next::Done { continues: false };
                settlement.new_tasks.clear();
                self.queue.push_back(Command::Settle { lease, settlement });
            }
            (Command::Await { lease, .. }, Refused::CancelRequested(_)) => self.settle_cancelled(lease),
            // Its steps are called like tasks that are there already: no try changes that.
            (Command::Await { lease, .. }, refused) if !matches!(refused, Refused::LostLease(_)) => {
                let mut ended = *crate::attempt::failed(Outcome::Malformed, String::new());
                ended.result.summary = format!("its steps were not taken: {refused}");
                let next = Next::Done { continues: false };
                self.settle(lease, ended, next, Vec::new(), None, Spending::default());
            }
            // A planner's tasks that do not fit the run as it is by now: the answer was not usable.
            (Command::Settle { lease, settlement }, refused) if !settlement.new_tasks.is_empty() => {
                if !matches!(refused, Refused::LostLease(_)) {
                    let mut settlement = settlement;
                    settlement.outcome = Outcome::Malformed;
                    settlement.next = Next::Done { continues: false };
                    settlement.new_tasks.clear();
                    settlement.result.summary = format!("its tasks were not taken: {refused}");
                    self.queue.push_back(Command::Settle { lease, settlement });
                }
            }
            // Anything else under a lease is refused because the task is not ours any more: discard.
            (command, Refused::LostLease(lease)) => {
                if matches!(command, Command::Start { .. } | Command::Report { .. }) {
                    self.cut(lease.task, Cut::Lost, Order::Kill);
                }
                self.claim_wanted = true;
            }
            // A person was faster than the deadline: their answer is on its way.
            (Command::Answer { .. }, Refused::NoSuchQuestion(_)) => {}
            (_, refused) => self.effects.push(Effect::Notice(refused.to_string())),
        }
    }

    fn attempt_ended(&mut self, lease: Lease, ended: Ended, new_tasks: Vec<TaskSpec>, spending: Spending, now: Millis) {
        let Some(active) = self.running.remove(&lease.task) else {
            return;
        };
        self.claim_wanted = true;
        if self.running.is_empty() {
            self.beat_at = None;
        }
        match active.cut {
            Some(Cut::Lost) => {}
            Some(Cut::Stopping) if !ended.outcome.is_success() => self.give_back(lease, spending),
            Some(Cut::Cancelled) => self.settle(
                lease,
                Ended {
                    outcome: Outcome::Cancelled,
                    ..ended
                },
                Next::Done { continues: false },
                Vec::new(),
                None,
                spending,
            ),
            // How it obeyed is its outcome: `cancelled` when it said so, `killed` when it had to be ended.
            Some(Cut::Interrupted) => {
                self.settle(
                    lease,
                    ended,
                    Next::Done { continues: false },
                    Vec::new(),
                    None,
                    spending,
                );
            }
            Some(Cut::Stopping) | None => {
                let next = self.decide(&active.claimed, &ended, now);
                let learned = learned(&active.claimed, &next);
                self.settle(lease, ended, next, new_tasks, learned, spending);
            }
        }
    }

    /// Nothing of a workflow runs while it decides, so a stopping engine lets it write down what it decided.
    fn workflow_awaits(&mut self, lease: Lease, children: Vec<TaskSpec>, open_max: u32) {
        match self.left(lease) {
            None | Some(Some(Cut::Lost)) => {}
            Some(Some(Cut::Cancelled | Cut::Interrupted)) => self.settle_cancelled(lease),
            Some(Some(Cut::Stopping) | None) => self.queue.push_back(Command::Await {
                lease,
                children,
                open_max,
            }),
        }
    }

    fn workflow_ended(&mut self, lease: Lease, ended: Ended, next: Next) {
        match self.left(lease) {
            None | Some(Some(Cut::Lost)) => {}
            Some(Some(Cut::Cancelled | Cut::Interrupted)) => self.settle_cancelled(lease),
            Some(Some(Cut::Stopping) | None) => {
                self.settle(lease, ended, next, Vec::new(), None, Spending::default());
            }
        }
    }

    /// A try is not running any more; with what cut it short, if anything did. None: it was not ours.
    fn left(&mut self, lease: Lease) -> Option<Option<Cut>> {
        let active = self.running.remove(&lease.task)?;
        self.claim_wanted = true;
        if self.running.is_empty() {
            self.beat_at = None;
        }
        Some(active.cut)
    }

    fn settle_cancelled(&mut self, lease: Lease) {
        let ended = *crate::attempt::failed(Outcome::Cancelled, String::new());
        let next = Next::Done { continues: false };
        self.settle(lease, ended, next, Vec::new(), None, Spending::default());
    }

    fn decide(&mut self, claimed: &Claimed, ended: &Ended, now: Millis) -> Next {
        let tries = Tries {
            link: claimed.link,
            on_link: claimed.on_agent,
            since: claimed.since,
        };
        let moment = Moment {
            now: self.store_time(now),
            jitter: self.draw(),
            quota: self.limits.terms.quota,
        };
        let spec = &claimed.spec;
        let try_at = |at, link, quota| Next::TryAt {
            at,
            link,
            agent: spec.link(link).map_or_else(|| claimed.agent.clone(), |link| link.agent),
            quota,
        };
        match dispose(spec, &ended.outcome, &tries, moment) {
            Disposition::Done => Next::Done { continues: false },
            Disposition::DoneAndContinue => Next::Done { continues: true },
            Disposition::TryAt { at, link, unwaited_ms } => {
                if let Some(text) = chain::went_on(spec, claimed.link, link, &ended.outcome, unwaited_ms) {
                    self.queue.push_back(Command::Report {
                        lease: claimed.lease,
                        kind: chain::REPORT_KIND.to_owned(),
                        text,
                    });
                }
                try_at(at, link, false)
            }
            Disposition::HoldUntil { at, link } => try_at(at, link, true),
            // Not a person's judgement is missing, but money: it goes on when there is some.
            Disposition::Ask if ended.outcome == Outcome::BudgetExhausted => Next::AwaitBudget,
            Disposition::Ask => Next::Ask {
                kind: match ended.outcome {
                    Outcome::Conflict => QuestionKind::Conflict,
                    _ => QuestionKind::Failure,
                },
                text: question(claimed, ended),
            },
        }
    }

    fn settle(
        &mut self,
        lease: Lease,
        ended: Ended,
        next: Next,
        new_tasks: Vec<TaskSpec>,
        learned: Option<Learned>,
        spending: Spending,
    ) {
        let Ended {
            outcome,
            detail,
            mut result,
            outputs,
            usage,
            cost,
            session: _,
        } = ended;
        // What a summary says already (a command's own `exit 3` and its last line) is not told twice.
        let told = detail.split(": ").all(|part| result.summary.contains(part));
        let adds = !told || result.summary.len() <= detail.len();
        if adds && !outcome.is_success() {
            result.summary = if told || result.summary.is_empty() {
                detail
            } else {
                format!("{detail}\n\n{}", result.summary)
            };
        }
        let artifacts = result
            .artifacts
            .iter()
            .zip(outputs)
            .map(|(artifact, bytes)| ArtifactBytes {
                hash: artifact.hash.clone(),
                bytes,
            })
            .collect();
        let settlement = Box::new(Settlement {
            outcome,
            next,
            result,
            usage,
            cost,
            artifacts,
            new_tasks,
            learned,
            spending,
        });
        self.queue.push_back(Command::Settle { lease, settlement });
    }

    fn give_back(&mut self, lease: Lease, spending: Spending) {
        self.returned += 1;
        self.queue.push_back(Command::Return {
            lease,
            why: "the engine was stopped".to_owned(),
            spending,
        });
    }

    fn stop(&mut self, signal: StopSignal) {
        let order = match signal {
            StopSignal::Ask => Order::Stop,
            StopSignal::Kill => Order::Kill,
        };
        self.stopping = Some(signal);
        for active in self.running.values_mut() {
            active.cut.get_or_insert(Cut::Stopping);
            self.effects.push(Effect::Order(active.claimed.lease, order.clone()));
        }
    }

    fn kill_all(&mut self) {
        for active in self.running.values() {
            self.effects.push(Effect::Order(active.claimed.lease, Order::Kill));
        }
    }

    fn end_if_over(&mut self) {
        if self.ended || !self.running.is_empty() {
            return;
        }
        let settled = self.queue.is_empty() && !self.in_flight;
        let ending = match self.stopping {
            // Told twice, and nothing runs: what could not be written is found by the next recovery.
            Some(StopSignal::Kill) if !self.in_flight && self.commit_at.is_some() => Ending::Stopped {
                returned: self.returned,
            },
            Some(_) if settled => Ending::Stopped {
                returned: self.returned,
            },
            None if settled
                && !self.claim_wanted
                && self.wake_at.is_none()
                && self.expire_at.is_none()
                && self.limits.until == Until::NothingLeft =>
            {
                Ending::NothingLeft
            }
            Some(_) | None => return,
        };
        self.ended = true;
        self.effects.push(Effect::End(ending));
    }

    fn our_time(&self, at: Millis) -> Millis {
        let ours = i128::from(at.0) - self.store_ahead_ms;
        Millis(u64::try_from(ours).unwrap_or(0))
    }

    fn store_time(&self, at: Millis) -> Millis {
        let theirs = i128::from(at.0) + self.store_ahead_ms;
        Millis(u64::try_from(theirs).unwrap_or(0))
    }

    /// A number in 0..1 by splitmix64 (Steele, Lea, Flood 2014): jitter needs no better source, and a seed replays it.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let fraction = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        fraction
    }
}

/// What routing is to remember of a prompt that is over. Commands teach nothing about agents.
fn learned(claimed: &Claimed, next: &Next) -> Option<Learned> {
    let (Work::Prompt(text), Next::Done { .. }) = (&claimed.spec.work, next) else {
        return None;
    };
    let facts = Facts {
        text,
        files: &claimed.spec.files,
        checks: claimed.spec.verify.len(),
        material_tokens: None,
    };
    Some(Learned {
        kind: analyse(&facts).kind.value,
        sketch: Sketch::of(text),
    })
}

fn question(claimed: &Claimed, ended: &Ended) -> String {
    let detail = match (ended.detail.as_str(), ended.result.summary.as_str()) {
        ("", "") => String::new(),
        ("", summary) => format!(": {summary}"),
        (detail, _) => format!(": {detail}"),
    };
    format!(
        "`{}` ended as {} on {} (try {}){detail}",
        claimed.spec.key, ended.outcome, claimed.agent, claimed.attempt
    )
}
