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

use wheelhouse_core::agent::Order;
use wheelhouse_core::ids::{Lease, QuestionId, TaskId};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::Resolution;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{ClaimRequest, Claimed, Command, Failure, Letter, Mail, Next, Refused, Reply};
use wheelhouse_core::time::Millis;

mod settle;
mod words;

pub use words::{Effect, Ending, Input, Limits, StopSignal, Tried, Until};

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
    /// It took more than its like: what was said of that.
    passed: Option<String>,
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
            Input::AttemptReported { lease, kind, text } => self.reported(lease, kind, text),
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
            Input::AttemptEnded { lease, tried } => self.attempt_ended(lease, tried, now),
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
                passed: None,
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
                let mut ended = crate::attempt::failed(Outcome::Malformed, String::new());
                ended.result.summary = format!("its steps were not taken: {refused}");
                let next = Next::Done { continues: false };
                self.settle(lease, Tried::by_the_house(ended), next, None);
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
