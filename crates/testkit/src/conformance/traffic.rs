//! Random commands, plausible and hostile: everything that engines, workers and people can send a store, in any
//! order, with leases that are stale, names that are taken and ids that were never given out.
//!
//! The generator learns from the answers of one store and is deterministic by its seed, so the same trace can be
//! played to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use wheelhouse_core::breaker;
use wheelhouse_core::budget::{Payer, Scope, Terms};
use wheelhouse_core::chain::Link;
use wheelhouse_core::ids::{Lease, OwnerId, QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::ledger::{Line, Reading, Spending};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::question::{QuestionKind, Resolution};
use wheelhouse_core::quota;
use wheelhouse_core::quota::{Allowance, Window};
use wheelhouse_core::spec::{BudgetLimit, RunSpec, TaskSpec};
use wheelhouse_core::store::{
    AttemptStart, Cap, ClaimRequest, Claimed, Command, Next, ProcessMark, Refused, Reply, Settlement, TaskResult,
};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::build;
use super::dice::Dice;

/// Every `why` of a return that this generator makes begins so; what stores say by themselves does not.
pub const WHY: &str = "given back: ";

const AGENTS: [&str; 3] = ["exec", "claude", "codex"];
/// Leases and questions that were forgotten are still tried now and then, but the memory is bounded.
const REMEMBERED_MAX: usize = 40;

/// A source of random commands that fit what it has seen.
pub struct Traffic {
    dice: Dice,
    runs: Vec<RunId>,
    keys: BTreeMap<RunId, Vec<TaskKey>>,
    tasks: Vec<TaskId>,
    /// Tasks that are running as far as it knows, with their runs.
    live: Vec<Claimed>,
    stale: Vec<Lease>,
    open_questions: Vec<QuestionId>,
    next_key: u64,
}

/// One step of a trace.
#[derive(Clone, Debug)]
pub struct Step {
    /// How far the clock moves first.
    pub clock_ms: u64,
    /// The batch to commit.
    pub batch: Vec<Command>,
    /// Whether the store is lost and opened again after it.
    pub restart: bool,
}

/// A source of commands for this seed. Call [`Traffic::step`], commit it, and tell it the answers with
/// [`Traffic::learn`].
pub fn random_commands(seed: u64) -> Traffic {
    Traffic {
        dice: Dice::new(seed),
        runs: Vec::new(),
        keys: BTreeMap::new(),
        tasks: Vec::new(),
        live: Vec::new(),
        stale: Vec::new(),
        open_questions: Vec::new(),
        next_key: 0,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Submit,
    Add,
    Claim,
    Start,
    Report,
    Ask,
    Steer,
    Heartbeat,
    Settle,
    Return,
    Expire,
    Recover,
    Pause,
    Resume,
    ResumeInterrupted,
    CancelRun,
    CancelTask,
    RetryTask,
    RetryRun,
    Answer,
    Prune,
    Meter,
    Allowance,
    Budget,
    Rate,
}

const WEIGHTS: [(u64, Kind); 25] = [
    (5, Kind::Submit),
    (4, Kind::Add),
    (26, Kind::Claim),
    (6, Kind::Start),
    (2, Kind::Report),
    (4, Kind::Ask),
    (3, Kind::Steer),
    (6, Kind::Heartbeat),
    (32, Kind::Settle),
    (3, Kind::Return),
    (4, Kind::Expire),
    (1, Kind::Recover),
    (2, Kind::Pause),
    (3, Kind::Resume),
    (1, Kind::ResumeInterrupted),
    (1, Kind::CancelRun),
    (3, Kind::CancelTask),
    (5, Kind::RetryTask),
    (1, Kind::RetryRun),
    (8, Kind::Answer),
    (1, Kind::Prune),
    (6, Kind::Meter),
    (1, Kind::Allowance),
    (3, Kind::Budget),
    (3, Kind::Rate),
];

impl Traffic {
    /// The next step.
    pub fn step(&mut self, now: Millis) -> Step {
        let clock_ms = match self.dice.below(20) {
            0 => 6_000,
            1..10 => 0,
            _ => self.dice.below(300),
        };
        let count = 1 + self.dice.below(4);
        Step {
            clock_ms,
            batch: (0..count).map(|_| self.command(now)).collect(),
            restart: self.dice.percent(4),
        }
    }

    /// Learns what came of a step, and which questions are open now.
    pub fn learn(&mut self, batch: &[Command], answers: &[Result<Reply, Refused>], open_questions: Vec<QuestionId>) {
        self.open_questions = open_questions;
        for (command, answer) in batch.iter().zip(answers) {
            match (command, answer) {
                (Command::SubmitRun { tasks, .. } | Command::AddTasks { tasks, .. }, Ok(reply)) => {
                    if let Reply::Submitted { run, tasks: ids } = reply {
                        if !self.runs.contains(run) {
                            self.runs.push(*run);
                        }
                        self.tasks.extend(ids);
                        let keys = self.keys.entry(*run).or_default();
                        keys.extend(tasks.iter().map(|task| task.key.clone()));
                    }
                }
                (_, Ok(Reply::Claimed { tasks, .. })) => self.live.extend(tasks.iter().cloned()),
                (Command::Settle { lease, settlement }, Ok(_)) => {
                    let run = self.live.iter().find(|it| it.lease == *lease).map(|it| it.run);
                    if let Some(run) = run {
                        let keys = self.keys.entry(run).or_default();
                        keys.extend(settlement.new_tasks.iter().map(|task| task.key.clone()));
                    }
                    self.forget(*lease);
                }
                (Command::Return { lease, .. }, Ok(_)) => self.forget(*lease),
                (_, Ok(Reply::Returned { tasks })) => {
                    for returned in tasks {
                        let lost = self.live.iter().find(|it| it.lease.task == returned.task);
                        if let Some(lease) = lost.map(|it| it.lease) {
                            self.forget(lease);
                        }
                    }
                }
                (_, Err(Refused::LostLease(lease))) => self.forget(*lease),
                _ => {}
            }
        }
        let too_many = self.stale.len().saturating_sub(REMEMBERED_MAX);
        self.stale.drain(..too_many);
        let too_many = self.tasks.len().saturating_sub(4 * REMEMBERED_MAX);
        self.tasks.drain(..too_many);
        let too_many = self.runs.len().saturating_sub(6);
        self.runs.drain(..too_many);
    }

    fn forget(&mut self, lease: Lease) {
        self.live.retain(|it| it.lease != lease);
        self.stale.push(lease);
    }

    fn command(&mut self, now: Millis) -> Command {
        match self.dice.weighted(&WEIGHTS) {
            Kind::Submit => self.submit(),
            Kind::Add => {
                let run = self.run();
                let count = self.dice.below(4);
                let tasks = self.specs(Some(run), count);
                Command::AddTasks { run, tasks }
            }
            Kind::Claim => Command::Claim(self.claim()),
            Kind::Start => Command::Start {
                lease: self.lease(),
                start: self.start(),
            },
            Kind::Report => Command::Report {
                lease: self.lease(),
                kind: "tool".to_owned(),
                text: format!("call {}", self.dice.below(100)),
            },
            Kind::Ask => Command::Ask {
                lease: self.lease(),
                kind: if self.dice.percent(50) {
                    QuestionKind::Permission
                } else {
                    QuestionKind::Words
                },
                request: format!("q{}", self.dice.below(100)),
                text: "may I?".to_owned(),
            },
            Kind::Steer => Command::Steer {
                task: self.task(),
                words: format!("rather {}", self.dice.below(100)),
            },
            Kind::Heartbeat => {
                let count = self.dice.below(4);
                Command::Heartbeat {
                    leases: (0..count).map(|_| self.lease()).collect(),
                    lease_ms: 1 + self.dice.below(3_000),
                }
            }
            Kind::Settle => self.settle(now),
            Kind::Return => Command::Return {
                lease: self.lease(),
                why: format!("{WHY}{}", self.dice.below(9)),
                spending: self.spending(),
            },
            Kind::Expire => Command::ExpireLeases,
            Kind::Recover => Command::Recover {
                me: self.owner(),
                go_on: self.dice.percent(50),
            },
            Kind::Pause => Command::PauseRun { run: self.run() },
            Kind::Resume => Command::ResumeRun { run: self.run() },
            Kind::ResumeInterrupted => Command::ResumeInterrupted,
            Kind::CancelRun => Command::CancelRun { run: self.run() },
            Kind::CancelTask => Command::CancelTask { task: self.task() },
            Kind::RetryTask => Command::RetryTask { task: self.task() },
            Kind::RetryRun => Command::RetryRun { run: self.run() },
            Kind::Answer => self.answer(),
            Kind::Prune => Command::Prune {
                before: Millis(now.0.saturating_sub(self.dice.below(5_000))),
            },
            Kind::Meter => Command::Meter {
                lease: self.lease(),
                reading: Box::new(self.reading()),
            },
            Kind::Allowance => Command::NoteAllowance(self.allowance(now)),
            Kind::Budget => self.budget(),
            Kind::Rate => Command::Rate {
                task: self.task(),
                stars: u8::try_from(self.dice.below(7)).unwrap_or(0),
                words: "so so".to_owned(),
            },
        }
    }

    fn run(&mut self) -> RunId {
        if self.dice.percent(3) {
            return RunId(1_000_000 + self.dice.below(3));
        }
        self.dice.pick(&self.runs).copied().unwrap_or(RunId(1))
    }

    fn task(&mut self) -> TaskId {
        if self.dice.percent(3) {
            return TaskId(1_000_000 + self.dice.below(3));
        }
        self.dice.pick(&self.tasks).copied().unwrap_or(TaskId(1))
    }

    fn owner(&mut self) -> OwnerId {
        OwnerId(format!("e{}", self.dice.below(3)))
    }

    fn lease(&mut self) -> Lease {
        let chance = self.dice.below(100);
        let mut lease = match self.dice.pick(&self.live) {
            Some(claimed) if chance < 93 => claimed.lease,
            _ => self.dice.pick(&self.stale).copied().unwrap_or(Lease {
                task: TaskId(1),
                fence: 1,
            }),
        };
        if chance == 99 {
            lease.fence = lease.fence.wrapping_add(1);
        }
        lease
    }

    fn submit(&mut self) -> Command {
        let count = self.dice.below(8);
        let run = RunSpec {
            standing: self.dice.percent(15),
            budget: self.limit(),
            ..build::run(&format!("run {}", self.dice.below(100)))
        };
        Command::SubmitRun {
            run,
            tasks: self.specs(None, count),
        }
    }

    /// Tasks for a run, new or known: mostly a proper DAG, now and then with a name twice, a need that is not
    /// there, or a circle.
    fn specs(&mut self, run: Option<RunId>, count: u64) -> Vec<TaskSpec> {
        let known = run.and_then(|run| self.keys.get(&run)).cloned().unwrap_or_default();
        let mut keys = known;
        let mut specs = Vec::new();
        for _ in 0..count {
            self.next_key += 1;
            let mut spec = self.spec();
            for _ in 0..self.dice.below(4) {
                if let Some(need) = self.dice.pick(&keys) {
                    spec.needs.push(need.clone());
                }
            }
            keys.push(spec.key.clone());
            specs.push(spec);
        }
        // A plan need not be written in the order of its edges.
        if self.dice.percent(30) {
            specs.reverse();
        }
        match (self.dice.below(40), specs.first_mut()) {
            (0, Some(first)) => first.needs.push(TaskKey::from("nobody")),
            (1, Some(first)) => first.needs.push(first.key.clone()),
            (2, Some(first)) => {
                let again = first.clone();
                specs.push(again);
            }
            _ => {}
        }
        specs
    }

    fn spec(&mut self) -> TaskSpec {
        let agent = *self.dice.pick(&AGENTS).unwrap_or(&"exec");
        let mut files = Vec::new();
        if self.dice.percent(30) {
            for _ in 0..1 + self.dice.below(2) {
                files.push(format!("src/{}/**", self.dice.below(4)));
            }
        }
        let mut fallback = Vec::new();
        for _ in 0..self.dice.below(3) {
            let agent = *self.dice.pick(&AGENTS).unwrap_or(&"exec");
            fallback.push(Link {
                model: self.model(),
                ..Link::of(agent.into())
            });
        }
        TaskSpec {
            agent: agent.into(),
            fallback,
            priority: i32::try_from(self.dice.below(4)).unwrap_or(0) - 1,
            files,
            approval: self.dice.percent(12),
            budget: self.limit(),
            ..build::task(&format!("k{}", self.next_key))
        }
    }

    fn claim(&mut self) -> ClaimRequest {
        let mut caps = Vec::new();
        for _ in 0..self.dice.below(3) {
            let count = 1 + self.dice.below(2);
            let agent = |dice: &mut Dice| (*dice.pick(&AGENTS).unwrap_or(&"exec")).into();
            caps.push(Cap {
                agents: (0..count).map(|_| agent(&mut self.dice)).collect(),
                running_max: u32::try_from(self.dice.below(4)).unwrap_or(0),
            });
        }
        ClaimRequest {
            owner: self.owner(),
            limit: u32::try_from(self.dice.below(5)).unwrap_or(0),
            lease_ms: if self.dice.percent(3) {
                0
            } else {
                500 + self.dice.below(5_000)
            },
            borrowed: u32::try_from(self.dice.below(3)).unwrap_or(0),
            caps,
            terms: Arc::new(self.terms()),
        }
    }

    fn limit(&mut self) -> Option<BudgetLimit> {
        let cost_nano = self.dice.below(4_000_000);
        self.dice.percent(30).then_some(BudgetLimit { cost_nano })
    }

    fn terms(&mut self) -> Terms {
        let mut limits = Vec::new();
        for scope in [Scope::Day, Scope::Hour, Scope::Session] {
            if self.dice.percent(15) {
                limits.push((scope, self.dice.below(20_000_000)));
            }
        }
        let mut payers = BTreeMap::new();
        for agent in AGENTS {
            let billing = self
                .dice
                .weighted(&[(4, Billing::Reported), (1, Billing::Free), (1, Billing::Subscription)]);
            let payer = Payer {
                model: self.model(),
                account: self.account(),
                billing,
                provider: self.dice.percent(60).then(|| "acme".to_owned()),
                credential: None,
            };
            payers.insert(agent.into(), payer);
        }
        Terms {
            limits,
            default_nano: 500_000,
            safety_percent: 30,
            soft: wheelhouse_core::soft::Policy::default(),
            payers,
            breaker: breaker::Policy {
                streak_max: 2,
                open_ms: 500,
                open_max_ms: 4_000,
                probe_ms: 2_000,
                ..breaker::Policy::default()
            },
            quota: self
                .dice
                .weighted(&[(1, quota::Policy::Wait), (1, quota::Policy::Reroute)]),
        }
    }

    fn model(&mut self) -> Option<String> {
        self.dice.percent(60).then(|| format!("m{}", self.dice.below(2)))
    }

    fn account(&mut self) -> Option<String> {
        self.dice.percent(40).then(|| format!("account {}", self.dice.below(2)))
    }

    fn line(&mut self) -> Line {
        let cost = self.cost();
        let assumed = self.dice.below(100_000);
        Line {
            // Few, so that some are said twice.
            turn: self.dice.percent(40).then(|| format!("turn {}", self.dice.below(30))),
            model: self.model(),
            usage: self.usage(),
            cost,
            assumed_nano: if cost == Cost::Unknown { assumed } else { 0 },
        }
    }

    fn spending(&mut self) -> Spending {
        let lines = self.dice.below(3);
        Spending {
            account: self.account(),
            kind: "prompt".to_owned(),
            lines: (0..lines).map(|_| self.line()).collect(),
        }
    }

    fn reading(&mut self) -> Reading {
        Reading {
            account: self.account(),
            kind: "prompt".to_owned(),
            line: self.line(),
            want_nano: self.dice.below(3_000_000),
        }
    }

    fn allowance(&mut self, now: Millis) -> Allowance {
        let resets = self.dice.percent(80);
        Allowance {
            account: self.account().unwrap_or_else(|| "exec".to_owned()),
            window: if self.dice.percent(50) {
                Window::Week
            } else {
                Window::FiveHours
            },
            what: "a limit".to_owned(),
            exhausted: self.dice.percent(50),
            resets_at: resets.then(|| Millis(now.0 + self.dice.below(800))),
            seen_at: Millis(0),
        }
    }

    fn budget(&mut self) -> Command {
        let scope = match self.dice.below(5) {
            0 => Scope::Day,
            1 => Scope::Session,
            2 => Scope::Task(self.task()),
            _ => Scope::Run(self.run()),
        };
        let nano = self.dice.below(5_000_000);
        if self.dice.percent(60) {
            return Command::RaiseBudget { scope, by_nano: nano };
        }
        let limit_nano = self.dice.percent(60).then_some(nano);
        Command::SetBudget { scope, limit_nano }
    }

    fn start(&mut self) -> AttemptStart {
        AttemptStart {
            session: self.dice.percent(60).then(|| format!("s{}", self.dice.below(1_000))),
            process: self.dice.percent(60).then(|| ProcessMark {
                pid: 2 + u32::try_from(self.dice.below(30_000)).unwrap_or(0),
                start_ticks: self.dice.below(1 << 40),
            }),
        }
    }

    fn settle(&mut self, now: Millis) -> Command {
        let lease = self.lease();
        let claimed = self.live.iter().find(|it| it.lease == lease).cloned();
        let outcome = self.dice.weighted(&[
            (50, &Outcome::Succeeded),
            (15, &Outcome::Crashed),
            (4, &Outcome::GateFailed),
            (1, &Outcome::Conflict),
            (5, &Outcome::Auth),
            (5, &Outcome::Quota { resets_at: None }),
            (20, &Outcome::Cancelled),
        ]);
        // A cancellation is mostly the end of it, and success too.
        let ends = if outcome.is_success() { 95 } else { 50 };
        let next = if self.dice.percent(ends) {
            let continues = self.dice.percent(20);
            Next::Done { continues }
        } else {
            self.next_step(now, claimed.as_ref())
        };
        let new_tasks = match &claimed {
            Some(claimed) if self.dice.percent(8) => {
                let count = 1 + self.dice.below(3);
                self.specs(Some(claimed.run), count)
            }
            _ => Vec::new(),
        };
        let spending = self.spending();
        let usages = spending.lines.iter().map(|line| line.usage);
        let settlement = Settlement {
            outcome: outcome.clone(),
            next,
            usage: usages.reduce(Usage::plus).unwrap_or_else(|| self.usage()),
            cost: self.cost(),
            new_tasks,
            spending,
            ..self.output()
        };
        Command::Settle {
            lease,
            settlement: Box::new(settlement),
        }
    }

    fn next_step(&mut self, now: Millis, claimed: Option<&Claimed>) -> Next {
        if self.dice.percent(15) {
            return Next::AwaitBudget;
        }
        if self.dice.percent(35) {
            let kinds = [
                QuestionKind::Failure,
                QuestionKind::Words,
                QuestionKind::Permission,
                QuestionKind::Conflict,
            ];
            return Next::Ask {
                kind: *self.dice.pick(&kinds).unwrap_or(&QuestionKind::Failure),
                text: format!("What about {}?", self.dice.below(9)),
            };
        }
        let agent = match claimed {
            Some(claimed) if self.dice.percent(60) => claimed.agent.clone(),
            _ => (*self.dice.pick(&AGENTS).unwrap_or(&"exec")).into(),
        };
        let links = claimed.map_or(1, |claimed| u64::from(claimed.spec.links()));
        Next::TryAt {
            at: Millis(now.0 + self.dice.below(1_000)),
            link: u32::try_from(self.dice.below(links)).unwrap_or(0),
            agent,
            quota: self.dice.percent(30),
        }
    }

    fn usage(&mut self) -> Usage {
        let source = if self.dice.percent(80) {
            UsageSource::Reported
        } else {
            UsageSource::Estimated
        };
        Usage {
            input: self.dice.below(1_000),
            cache_read: self.dice.below(1_000),
            cache_write: self.dice.below(10),
            output: self.dice.below(100),
            reasoning: self.dice.below(100),
            source,
        }
    }

    fn cost(&mut self) -> Cost {
        let nano = self.dice.below(1_000_000);
        self.dice.weighted(&[
            (1, Cost::Actual(nano)),
            (1, Cost::Priced(nano)),
            (1, Cost::Included),
            (1, Cost::Free),
            (1, Cost::Unknown),
        ])
    }

    /// A settlement with output from a small set, so that tasks share artifacts.
    fn output(&mut self) -> Settlement {
        let digit = self.dice.below(10);
        let given = self.dice.percent(60);
        let (artifact, bytes) = build::output(format!("output {digit}").as_bytes());
        Settlement {
            result: TaskResult {
                summary: format!("summary {digit}"),
                artifacts: if given { vec![artifact] } else { Vec::new() },
                exit_code: Some(i32::try_from(digit).unwrap_or(0)),
                ..TaskResult::default()
            },
            artifacts: if given { vec![bytes] } else { Vec::new() },
            ..super::trial::ended(Outcome::Succeeded)
        }
    }

    fn answer(&mut self) -> Command {
        let open = self.dice.percent(90);
        let question = match self.dice.pick(&self.open_questions) {
            Some(question) if open => *question,
            _ => QuestionId(1 + self.dice.below(40)),
        };
        let resolution = self.dice.weighted(&[
            (6, Resolution::Proceed),
            (2, Resolution::GiveUp),
            (2, Resolution::ContinueWithout),
            (1, Resolution::Deliver),
        ]);
        Command::Answer {
            question,
            answer: format!("{resolution:?}"),
            resolution,
        }
    }
}
