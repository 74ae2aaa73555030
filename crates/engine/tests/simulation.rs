//! The dispatcher on the memory store, with seeded faults on a simulated clock.
//!
//! Each seed draws a DAG, agents that succeed, fail, dawdle and ignore orders, people that pause, cancel, retry and
//! answer at bad moments, commits that fail before or after they happened, and engines that die at any of these
//! points and are started again. In the end everything must be done, exactly once, in order, within the caps.
//!
//! `WHEELHOUSE_SIMULATION_SEED=N` replays one seed; `WHEELHOUSE_SIMULATION_SEEDS=N` sets how many are drawn.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use wheelhouse_core::agent::{Ended, Order};
use wheelhouse_core::ids::{Cursor, Lease, OwnerId, RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::spec::{Edits, Isolation, Merge, OnFailure, RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{AttemptStart, Cap, Command, EndedBy, Reader, Reply, RunState, Store, TaskResult};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_engine::dispatch::{Dispatcher, Effect, Ending, Input, Limits, StopSignal, Tried, Until};
use wheelhouse_testkit::conformance::history;
use wheelhouse_testkit::memory::{FailAs, FailWhen, MemoryStore, TestClock};

const SEEDS: u64 = 10_000;
/// A seed that takes more steps than this is stuck.
const STEPS_MAX: u32 = 20_000;
const PARALLEL: u32 = 4;
const CAP: u32 = 2;

#[test]
fn ten_thousand_seeds() {
    if let Some(seed) = number("WHEELHOUSE_SIMULATION_SEED") {
        simulate(seed);
        return;
    }
    let seeds = number("WHEELHOUSE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || (thread..seeds).step_by(threads as usize).for_each(simulate));
        }
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn simulate(seed: u64) {
    let told = std::panic::catch_unwind(|| World::new(seed).live());
    if let Err(panic) = told {
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        panic!(
            "seed {seed}: {words}\nreplay: WHEELHOUSE_SIMULATION_SEED={seed} cargo test -p wheelhouse-engine --test simulation"
        );
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// What is going to happen, at a moment of simulated time.
#[derive(Debug)]
enum Coming {
    Commit(Vec<Command>),
    Started(Lease),
    Asked(Lease),
    Ended(Lease, Outcome),
    Person,
    Crash,
    Stop(StopSignal),
}

/// A try under way.
struct Agent {
    /// Orders do not hasten its end.
    deaf: bool,
    capped: bool,
}

struct World {
    random: Random,
    clock: TestClock,
    store: MemoryStore,
    run: RunId,
    needs: BTreeMap<TaskId, Vec<TaskId>>,
    /// People and faults stop interfering after this many lives, so that every seed ends.
    lives: u32,
    steps: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let clock = TestClock::new();
        let mut store = MemoryStore::new(clock.clone());
        let tasks = dag(&mut random);
        let keys: Vec<(TaskKey, Vec<TaskKey>)> = tasks.iter().map(|t| (t.key.clone(), t.needs.clone())).collect();
        let submit = Command::SubmitRun {
            run: RunSpec {
                name: "simulated".to_owned(),
                vars: BTreeMap::new(),
                budget: None,
                source: format!("seed {seed}"),
                standing: false,
            },
            tasks,
        };
        let Ok(Reply::Submitted { run, tasks: ids }) = store.commit(&[submit]).unwrap().remove(0) else {
            panic!("the run was not taken");
        };
        let by_key: BTreeMap<&TaskKey, TaskId> = keys.iter().map(|(key, _)| key).zip(ids.iter().copied()).collect();
        let needs = keys
            .iter()
            .map(|(key, needs)| (by_key[key], needs.iter().map(|need| by_key[need]).collect()))
            .collect();
        World {
            random,
            clock,
            store,
            run,
            needs,
            lives: 0,
            steps: 0,
        }
    }

    fn live(mut self) {
        loop {
            self.lives += 1;
            assert!(self.lives < 60, "it takes too many lives");
            let ended = self.one_life();
            self.check();
            let view = self.reader().run(self.run).unwrap().unwrap();
            match view.state {
                RunState::Finished => break,
                RunState::Active | RunState::Interrupted if ended.is_none() => {}
                _ => self.help_out(),
            }
        }
        let view = self.reader().run(self.run).unwrap().unwrap();
        assert_eq!(view.counts.open(), 0, "finished with open tasks");
    }

    /// An engine from its start to its end (`Some`) or its crash (`None`).
    fn one_life(&mut self) -> Option<Ending> {
        let birth = self.clock.now();
        let calm = self.lives > 6;
        let limits = Limits {
            owner: OwnerId(format!("life-{}", self.lives)),
            parallel_max: PARALLEL,
            caps: vec![Cap {
                agents: vec!["capped".into()],
                running_max: CAP,
            }],
            go_on: true,
            until: Until::NothingLeft,
            terms: Default::default(),
        };
        let mut dispatcher = Dispatcher::new(limits, self.random.next());
        let mut coming: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
        let mut things: BTreeMap<u64, Coming> = BTreeMap::new();
        let mut order = 0;
        let mut alive: BTreeMap<Lease, Agent> = BTreeMap::new();
        let mut schedule = |coming: &mut BinaryHeap<_>, things: &mut BTreeMap<u64, Coming>, at: u64, thing| {
            order += 1;
            coming.push(Reverse((at, order)));
            things.insert(order, thing);
        };
        if !calm {
            for _ in 0..self.random.below(4) {
                let at = self.random.below(400_000);
                schedule(&mut coming, &mut things, at, Coming::Person);
            }
            if self.random.percent(50) {
                let at = self.random.below(100_000);
                schedule(&mut coming, &mut things, at, Coming::Crash);
            }
            if self.random.percent(15) {
                let at = self.random.below(100_000);
                schedule(&mut coming, &mut things, at, Coming::Stop(StopSignal::Ask));
                if self.random.percent(40) {
                    schedule(&mut coming, &mut things, at + 500, Coming::Stop(StopSignal::Kill));
                }
            }
        }
        loop {
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "it does not come to an end");
            let now = self.clock.now().0 - birth.0;
            for effect in dispatcher.poll(Millis(now)) {
                match effect {
                    Effect::Commit(batch) => {
                        let at = now + 1 + self.random.below(4);
                        schedule(&mut coming, &mut things, at, Coming::Commit(batch));
                    }
                    Effect::Begin(claimed) => {
                        let (took, outcome) = self.fate(&claimed.spec, claimed.attempt);
                        let deaf = self.random.percent(20);
                        let capped = claimed.agent.as_str() == "capped";
                        alive.insert(claimed.lease, Agent { deaf, capped });
                        schedule(&mut coming, &mut things, now + 1, Coming::Started(claimed.lease));
                        if self.random.percent(15) {
                            schedule(&mut coming, &mut things, now + 2, Coming::Asked(claimed.lease));
                        }
                        schedule(
                            &mut coming,
                            &mut things,
                            now + took,
                            Coming::Ended(claimed.lease, outcome),
                        );
                        assert!(alive.len() <= PARALLEL as usize, "more tries than allowed");
                        let capped = alive.values().filter(|agent| agent.capped).count();
                        assert!(capped <= CAP as usize, "more tries on one agent than allowed");
                    }
                    Effect::Order(lease, what) => {
                        if matches!(what, Order::Answer { .. } | Order::Steer(_)) {
                            assert!(alive.contains_key(&lease), "mail for nobody");
                            continue;
                        }
                        let deaf = alive.get(&lease).is_none_or(|agent| agent.deaf);
                        if !deaf || what == Order::Kill {
                            schedule(
                                &mut coming,
                                &mut things,
                                now + 20,
                                Coming::Ended(lease, Outcome::Killed),
                            );
                        }
                    }
                    // No try of this world has a budget: nothing is granted.
                    Effect::News | Effect::Notice(_) | Effect::Grant(..) => {}
                    Effect::End(ending) => {
                        assert!(alive.is_empty(), "it ended with tries under way");
                        return Some(ending);
                    }
                }
            }
            let wake = dispatcher.next_wake().map(|at| at.0);
            let next = coming.peek().map(|Reverse((at, _))| *at);
            let Some(at) = [wake, next].into_iter().flatten().min() else {
                panic!("it neither ends nor waits for anything");
            };
            let at = at.max(now);
            self.clock.set(Millis(birth.0 + at));
            if next.is_none_or(|next| next > at) {
                continue;
            }
            let Some(Reverse((_, number))) = coming.pop() else {
                continue;
            };
            let Some(thing) = things.remove(&number) else { continue };
            let now = Millis(at);
            match thing {
                Coming::Commit(batch) => {
                    // Dying before, and dying between the commit and the news of it.
                    if !calm && self.random.percent(1) {
                        return None;
                    }
                    if !calm && self.random.percent(2) {
                        // A full disk and a busy store are told before anything is made.
                        let (when, kind) = self.random.pick(&[
                            (FailWhen::BeforeCommit, FailAs::Full),
                            (FailWhen::BeforeCommit, FailAs::Busy),
                            (FailWhen::BeforeCommit, FailAs::Io),
                            (FailWhen::AfterCommit, FailAs::Io),
                            (FailWhen::AfterCommit, FailAs::Io),
                        ]);
                        self.store.fail_next(when, kind);
                    }
                    let answers = self.store.commit(&batch);
                    if !calm && self.random.percent(1) {
                        return None;
                    }
                    dispatcher.handle(Input::Committed { batch, answers }, now);
                }
                Coming::Started(lease) => {
                    if alive.contains_key(&lease) {
                        let start = AttemptStart {
                            session: Some(format!("s-{}", lease.task.0)),
                            process: None,
                        };
                        dispatcher.handle(Input::AttemptStarted { lease, start }, now);
                    }
                }
                Coming::Asked(lease) => {
                    if alive.contains_key(&lease) {
                        let input = Input::AttemptAsked {
                            lease,
                            kind: QuestionKind::Permission,
                            request: format!("{lease:?}"),
                            text: "write".to_owned(),
                        };
                        dispatcher.handle(input, now);
                    }
                }
                Coming::Ended(lease, outcome) => {
                    if alive.remove(&lease).is_some() {
                        let input = Input::AttemptEnded {
                            lease,
                            tried: Tried {
                                ended: Box::new(ended(outcome)),
                                new_tasks: Vec::new(),
                                spending: Default::default(),
                                by: EndedBy::Agent,
                            },
                        };
                        dispatcher.handle(input, now);
                    }
                }
                Coming::Person => {
                    self.meddle();
                    dispatcher.handle(Input::Nudged, now);
                }
                Coming::Crash => return None,
                Coming::Stop(signal) => dispatcher.handle(Input::Stop(signal), now),
            }
        }
    }

    /// How long a try takes and how it ends: the same whenever the same try is repeated in the same life.
    fn fate(&mut self, spec: &TaskSpec, attempt: u32) -> (u64, Outcome) {
        let took = match self.random.below(10) {
            0..6 => 1 + self.random.below(50),
            6..9 => 1_000 + self.random.below(60_000),
            _ => 100_000 + self.random.below(400_000),
        };
        let dice = Random(spec.key.0.len() as u64 ^ u64::from(attempt) << 8 ^ self.random.next()).below(100);
        let outcome = match dice {
            0..70 => Outcome::Succeeded,
            70..80 => Outcome::Crashed,
            80..85 => Outcome::RateLimited {
                retry_after_ms: Some(self.random.below(30_000)),
            },
            85..88 => Outcome::Quota {
                resets_at: Some(
                    self.clock
                        .now()
                        .after(std::time::Duration::from_secs(self.random.below(7_200))),
                ),
            },
            88..92 => Outcome::Unavailable,
            92..95 => Outcome::Auth,
            _ => Outcome::GateFailed,
        };
        (took, outcome)
    }

    /// A person does something at a bad moment, beside the engine.
    fn meddle(&mut self) {
        let tasks = self.reader().tasks(self.run, 0, 1_000).unwrap();
        let task = self.random.pick(&tasks).id;
        let command = match self.random.below(8) {
            5 => Command::Steer {
                task,
                words: "rather".to_owned(),
            },
            0 => Command::PauseRun { run: self.run },
            1 => Command::ResumeRun { run: self.run },
            2 => Command::CancelTask { task },
            3 => Command::RetryTask { task },
            4 => Command::RetryRun { run: self.run },
            _ => return self.answer(),
        };
        // Refusals are fine: people ask for impossible things.
        let _ = self.store.commit(&[command]).map(|mut answers| answers.remove(0));
    }

    fn answer(&mut self) {
        let open = self.reader().open_questions().unwrap();
        for question in open {
            let choices = question.kind.choices();
            let answer = if self.lives > 12 {
                choices[1]
            } else {
                self.random.pick(choices)
            };
            let resolution = question.kind.resolve(answer).unwrap();
            let command = Command::Answer {
                question: question.id,
                answer: answer.to_owned(),
                resolution,
            };
            self.store.commit(&[command]).unwrap().remove(0).unwrap();
        }
    }

    /// The engine ended because only people can go on: they do.
    fn help_out(&mut self) {
        let _ = self.store.commit(&[Command::ResumeRun { run: self.run }]).unwrap();
        self.answer();
        self.clock.advance_ms(1_000);
    }

    fn reader(&self) -> Box<dyn Reader> {
        self.store.reader().unwrap()
    }

    fn check(&self) {
        let faults = self.store.check();
        assert!(faults.is_empty(), "the store does not add up: {faults:#?}");
        let events = self.reader().events(Cursor(0), None, 1_000_000).unwrap();
        let rules = history::Rules {
            needs: self.needs.clone(),
            // A claim whose answer was lost counts as running in the history, and nothing runs: the real number is
            // asserted where tries begin.
            running_max: None,
        };
        let wrong = history::check(&events, &rules);
        assert!(wrong.is_empty(), "the history breaks its rules: {wrong:#?}");
    }
}

fn ended(outcome: Outcome) -> Ended {
    Ended {
        outcome,
        detail: String::new(),
        result: TaskResult::default(),
        outputs: Vec::new(),
        usage: Usage::default(),
        cost: Cost::Free,
        session: None,
    }
}

fn dag(random: &mut Random) -> Vec<TaskSpec> {
    let count = 1 + random.below(20);
    (0..count)
        .map(|n| {
            let needs = (0..n)
                .filter(|_| random.percent(if count > 10 { 12 } else { 35 }))
                .map(key)
                .collect();
            let conflicts = random.percent(20);
            TaskSpec {
                key: key(n),
                work: Work::Exec("true".to_owned()),
                agent: random.pick(&["plain", "capped", "other"]).into(),
                fallback: if random.percent(30) {
                    vec!["other".into(), "plain".into()]
                } else {
                    Vec::new()
                },
                model: None,
                role: None,
                needs,
                priority: random.below(3) as i32,
                files: if conflicts {
                    vec![format!("src/{}/**", random.below(2))]
                } else {
                    Vec::new()
                },
                verify: Vec::new(),
                isolation: Isolation::None,
                merge: Merge::None,
                protect: Vec::new(),
                edits: Edits::Own,
                schema: None,
                timeout_ms: 60_000,
                idle_timeout_ms: 60_000,
                retry_max: random.below(3) as u32,
                deadline_ms: None,
                window_tokens: None,
                confidence_min: None,
                on_failure: random.pick(&[
                    None,
                    None,
                    Some(OnFailure::Retry),
                    Some(OnFailure::Fallback),
                    Some(OnFailure::Ask),
                    Some(OnFailure::Continue),
                    Some(OnFailure::Fail),
                ]),
                planner: false,
                approval: random.percent(5),
                env: BTreeMap::new(),
                cwd: None,
                budget: None,
                routed: None,
                flow: Default::default(),
                inputs: Default::default(),
            }
        })
        .collect()
}

fn key(n: u64) -> TaskKey {
    TaskKey(format!("t{n}"))
}

// The dispatcher is handed to a thread of its own in the product.
const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Dispatcher>();
};
