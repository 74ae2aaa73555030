//! The engine from outside: a store, a roster of agents in this process, and what comes out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use wheelhouse_core::agent::{
    Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Order, Roster, Sink,
};
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, ArtifactHash, Cursor, InstanceId, RunId, TaskKey};
use wheelhouse_core::instance::InstanceSpec;
use wheelhouse_core::message::Party;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{Edits, Isolation, Merge, RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{ArtifactRef, Command, Failure, Reader, Refused, Reply, Store, TaskResult, TaskView};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};
use wheelhouse_engine::lock::StateLock;
use wheelhouse_engine::{Ending, Ports, Settings, StopSignal, Until, nudge, run};
use wheelhouse_testkit::memory::{MemoryStore, TestClock};

type Script = dyn Fn(Assignment, Box<dyn Inbox>, Arc<dyn Sink>) -> BoxFuture<'static, Ended> + Send + Sync;

/// An agent that is a function.
struct Scripted(Arc<Script>);

impl Agent for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            interrupt: true,
            steer: true,
            ..Capabilities::default()
        }
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        (self.0)(assignment, inbox, sink)
    }
}

struct Crew(BTreeMap<AgentName, Arc<Script>>);

impl Roster for Crew {
    fn agent(&self, name: &AgentName) -> Option<Arc<dyn Agent>> {
        let script = Arc::clone(self.0.get(name)?);
        Some(Arc::new(Scripted(script)))
    }

    fn names(&self) -> Vec<AgentName> {
        self.0.keys().cloned().collect()
    }
}

fn ended(outcome: Outcome, output: &str) -> Ended {
    let hash = ArtifactHash(blake3::hash(output.as_bytes()).to_hex().to_string());
    let bytes = output.len() as u64;
    let artifact = ArtifactRef {
        name: "output".to_owned(),
        hash,
        bytes,
        bytes_written: bytes,
    };
    Ended {
        outcome,
        detail: String::new(),
        result: TaskResult {
            summary: output.to_owned(),
            artifacts: vec![artifact],
            exit_code: Some(0),
            ..TaskResult::default()
        },
        outputs: vec![output.as_bytes().to_vec()],
        usage: Usage::default(),
        cost: Cost::Free,
        session: None,
    }
}

/// Says what it was told.
fn echo() -> Arc<Script> {
    Arc::new(|assignment, _, _| {
        Box::pin(async move {
            let (Input::Command(text) | Input::Prompt(text)) = assignment.input;
            ended(Outcome::Succeeded, &text)
        })
    })
}

/// Runs checks: `pass` passes.
fn checker() -> Arc<Script> {
    Arc::new(|assignment, _, _| {
        Box::pin(async move {
            let mut end = ended(Outcome::Succeeded, "checked");
            end.result.exit_code = Some(i32::from(assignment.input != Input::Command("pass".to_owned())));
            end
        })
    })
}

/// Works until it is told to stop.
fn endless() -> Arc<Script> {
    Arc::new(|_, mut inbox, _| {
        Box::pin(async move {
            while let Some(order) = inbox.next().await {
                if matches!(order, Order::Stop | Order::Kill) {
                    break;
                }
            }
            ended(Outcome::Killed, "cut short")
        })
    })
}

fn task(key: &str, agent: &str, text: &str) -> TaskSpec {
    TaskSpec {
        key: key.into(),
        work: Work::Prompt(text.to_owned()),
        agent: agent.into(),
        fallback: Vec::new(),
        model: None,
        role: None,
        needs: Vec::new(),
        priority: 0,
        files: Vec::new(),
        verify: Vec::new(),
        isolation: Isolation::None,
        merge: Merge::None,
        protect: Vec::new(),
        edits: Edits::Own,
        schema: None,
        timeout_ms: 60_000,
        idle_timeout_ms: 60_000,
        retry_max: 0,
        deadline_ms: None,
        window_tokens: None,
        confidence_min: None,
        on_failure: None,
        planner: false,
        approval: false,
        env: BTreeMap::new(),
        cwd: None,
        budget: None,
        routed: None,
        flow: Default::default(),
        inputs: Default::default(),
    }
}

/// The store's clock moves as ours does.
async fn time_passes(clock: &TestClock) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        clock.advance_ms(5);
    }
}

struct Stage {
    clock: TestClock,
    directory: tempfile::TempDir,
    store: MemoryStore,
    crew: Arc<Crew>,
    run: RunId,
}

impl Stage {
    fn new(crew: Vec<(&str, Arc<Script>)>, tasks: Vec<TaskSpec>) -> Stage {
        let clock = TestClock::new();
        let mut store = MemoryStore::new(clock.clone());
        let run = RunSpec {
            name: "test".to_owned(),
            vars: BTreeMap::from([("who".to_owned(), "you".to_owned())]),
            budget: None,
            source: "test".to_owned(),
            standing: false,
        };
        let Ok(Reply::Submitted { run, .. }) = store.commit(&[Command::SubmitRun { run, tasks }]).unwrap().remove(0)
        else {
            panic!("not taken");
        };
        Stage {
            clock,
            directory: tempfile::tempdir().unwrap(),
            store,
            crew: Arc::new(Crew(
                crew.into_iter().map(|(name, script)| (name.into(), script)).collect(),
            )),
            run,
        }
    }

    fn state_dir(&self) -> &Path {
        self.directory.path()
    }

    fn settings(&self) -> Settings {
        Settings {
            project: self.state_dir().to_owned(),
            state_dir: self.state_dir().to_owned(),
            parallel_max: 4,
            caps: Vec::new(),
            env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
            router: None,
            default_agent: "echo".into(),
            output_max: 1_000_000,
            grace_ms: 100,
            go_on: true,
            until: Until::NothingLeft,
            policy: Vec::new(),
            isolation: Default::default(),
            question_timeout_ms: 60_000,
            packet_agents: Default::default(),
            tools: Default::default(),
            context: Default::default(),
            money: wheelhouse_engine::Money::default(),
            fault: None,
        }
    }

    async fn run(&self) -> Ending {
        let (_stop, signals) = mpsc::channel(1);
        self.run_until(signals).await
    }

    async fn run_until(&self, signals: mpsc::Receiver<StopSignal>) -> Ending {
        self.run_with(self.settings(), signals).await
    }

    async fn run_with(&self, settings: Settings, signals: mpsc::Receiver<StopSignal>) -> Ending {
        let ports = Ports {
            store: Box::new(self.store.clone()),
            roster: Arc::clone(&self.crew) as Arc<dyn Roster>,
            seed: 7,
            notice: Arc::new(|line| panic!("unexpected notice: {line}")),
            instance_mcp: None,
        };
        let lock = StateLock::acquire(self.state_dir()).unwrap();
        run(settings, ports, lock, signals).await.unwrap()
    }

    fn reader(&self) -> Box<dyn Reader> {
        self.store.reader().unwrap()
    }

    fn task(&self, key: &str) -> TaskView {
        self.reader()
            .task_by_key(self.run, &TaskKey::from(key))
            .unwrap()
            .unwrap()
    }

    fn outcome(&self, key: &str) -> String {
        match self.task(key).state {
            wheelhouse_core::task::TaskState::Done { outcome } => outcome.to_string(),
            other => other.name().to_owned(),
        }
    }

    fn result(&self, key: &str) -> TaskResult {
        let id = self.task(key).id;
        self.reader().result(id).unwrap().unwrap()
    }
}

#[tokio::test]
async fn results_flow_downstream_marked_as_what_they_are() {
    let mut second = task("second", "echo", "For {{ vars.who }}: {{ tasks.first.summary }}");
    second.needs = vec!["first".into()];
    let stage = Stage::new(vec![("echo", echo())], vec![task("first", "echo", "hello"), second]);
    assert_eq!(stage.run().await, Ending::NothingLeft);
    let summary = stage.result("second").summary;
    assert!(summary.starts_with("For you: "), "{summary}");
    assert!(summary.contains("untrusted") && summary.contains("hello"), "{summary}");
}

#[tokio::test]
async fn the_artifact_of_another_task_is_a_file_to_read() {
    let mut second = task("second", "echo", "{{ tasks.first.artifact }}");
    second.needs = vec!["first".into()];
    let stage = Stage::new(vec![("echo", echo())], vec![task("first", "echo", "the bytes"), second]);
    stage.run().await;
    let summary = stage.result("second").summary;
    let path = summary
        .lines()
        .find(|line| line.contains("/artifacts/"))
        .unwrap()
        .trim();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "the bytes");
}

#[tokio::test]
async fn a_claim_that_no_check_bears_out_is_told_why_and_fails() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&told);
    let liar: Arc<Script> = Arc::new(move |assignment, _, _| {
        let Input::Prompt(text) = assignment.input else {
            panic!()
        };
        ears.lock().unwrap().push(text);
        Box::pin(async { ended(Outcome::Succeeded, "all done!") })
    });
    let mut lie = task("lie", "liar", "do it");
    lie.verify = vec!["pass".to_owned(), "fail".to_owned(), "never reached".to_owned()];
    lie.retry_max = 1;
    let stage = Stage::new(vec![("liar", liar), ("exec", checker())], vec![lie]);
    tokio::select! {
        _ = stage.run() => {}
        () = time_passes(&stage.clock) => {}
    }
    assert_eq!(stage.outcome("lie"), "gate_failed");
    let checks = stage.result("lie").checks;
    assert_eq!(
        checks.iter().map(|check| check.passed()).collect::<Vec<_>>(),
        [true, false]
    );
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2);
    assert!(told[1].contains("The check `fail` failed (exit 1)"), "{}", told[1]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_sign_of_life_is_stalled() {
    let mut hang = task("hang", "endless", "x");
    hang.idle_timeout_ms = 5_000;
    let stage = Stage::new(vec![("endless", endless())], vec![hang]);
    stage.run().await;
    assert_eq!(stage.outcome("hang"), "stalled");
    assert!(stage.result("hang").summary.contains("no sign of life within 5.0s"));
}

/// Spawns an instance beside the stage's run, with something to do.
fn spawn(stage: &Stage, agent: &str) {
    let spec = InstanceSpec {
        name: "one".to_owned(),
        agent: agent.into(),
        timeout_ms: 9_000_000,
        idle_timeout_ms: 9_000_000,
        ..InstanceSpec::default()
    };
    let spawn = Command::Crew(crew::Command::Spawn(Box::new(crew::Spawn {
        by: Party::Person,
        parent: None,
        spec,
        rights: Default::default(),
        prompt: Some("go".to_owned()),
        key: None,
    })));
    stage.store.clone().commit(&[spawn]).unwrap().remove(0).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_turn_is_nudged_then_interrupted_and_its_instance_goes_on() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let silent: Arc<Script> = Arc::new(move |assignment, mut inbox, _| {
        let ears = Arc::clone(&ears);
        Box::pin(async move {
            assert!(assignment.env["WHEELHOUSE_TOKEN"].starts_with("whi_1_"));
            loop {
                match inbox.next().await {
                    Some(Order::Interrupt) => return ended(Outcome::Cancelled, ""),
                    Some(order) => ears.lock().unwrap().push(order),
                    None => std::future::pending().await,
                }
            }
        })
    });
    let stage = Stage::new(vec![("silent", silent)], Vec::new());
    spawn(&stage, "silent");
    let start = tokio::time::Instant::now();
    stage.run().await;
    // 300 s until it is nudged, 60 s until it is interrupted.
    assert_eq!(start.elapsed().as_secs(), 360);
    let heard = heard.lock().unwrap();
    assert!(
        matches!(heard.as_slice(), [Order::Steer(words)] if words.contains("no sign of progress")),
        "{heard:?}"
    );
    let view = stage.reader().instance(InstanceId(1)).unwrap().unwrap();
    assert_eq!((view.state.name(), view.last_outcome), ("idle", Some(Outcome::Stalled)));
    let events = stage.reader().events(Cursor(0), Some(view.run), 99).unwrap();
    let told = events.iter().filter_map(|event| match &event.happened {
        Happened::AttemptReported { kind, text, .. } if kind == "supervisor" => Some(text.as_str()),
        _ => None,
    });
    let told: Vec<&str> = told.collect();
    assert_eq!(
        told,
        [
            "nudged: no sign of life for 5m 00s",
            "interrupted: no sign of life for 6m 00s"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_is_not_stalled_but_timed_out() {
    let busy: Arc<Script> = Arc::new(|_, mut inbox, sink| {
        Box::pin(async move {
            loop {
                tokio::select! {
                    _ = inbox.next() => return ended(Outcome::Killed, ""),
                    () = tokio::time::sleep(Duration::from_secs(1)) => sink.event(AgentEvent::Alive),
                }
            }
        })
    });
    let mut spec = task("busy", "busy", "x");
    spec.idle_timeout_ms = 3_000;
    spec.timeout_ms = 30_000;
    let stage = Stage::new(vec![("busy", busy)], vec![spec]);
    stage.run().await;
    assert_eq!(stage.outcome("busy"), "timed_out");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ignores_the_order_to_stop_is_dropped() {
    let dropped = Arc::new(AtomicU32::new(0));
    struct Flag(Arc<AtomicU32>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let seen = Arc::clone(&dropped);
    let deaf: Arc<Script> = Arc::new(move |_, _, _| {
        let flag = Flag(Arc::clone(&seen));
        Box::pin(async move {
            let _flag = flag;
            std::future::pending().await
        })
    });
    let mut spec = task("deaf", "deaf", "x");
    spec.idle_timeout_ms = 1_000;
    let stage = Stage::new(vec![("deaf", deaf)], vec![spec]);
    stage.run().await;
    assert_eq!(stage.outcome("deaf"), "stalled");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_panic_in_a_backend_is_a_crashed_try_and_no_more() {
    let bomb: Arc<Script> = Arc::new(|_, _, _| Box::pin(async { panic!("boom") }));
    let stage = Stage::new(
        vec![("bomb", bomb), ("echo", echo())],
        vec![task("bad", "bomb", "x"), task("good", "echo", "y")],
    );
    stage.run().await;
    assert_eq!(stage.outcome("bad"), "crashed");
    assert_eq!(stage.outcome("good"), "succeeded");
}

#[tokio::test]
async fn an_unknown_agent_is_said_with_what_exists() {
    let stage = Stage::new(vec![("echo", echo())], vec![task("lost", "gone", "x")]);
    stage.run().await;
    assert_eq!(stage.outcome("lost"), "unavailable");
    let summary = stage.result("lost").summary;
    assert!(
        summary.contains("no agent `gone`") && summary.contains("echo"),
        "{summary}"
    );
}

#[tokio::test]
async fn stopping_returns_what_runs_and_the_next_engine_takes_it_up() {
    let first = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&first);
    let once: Arc<Script> = Arc::new(
        move |assignment, inbox, sink| match count.fetch_add(1, Ordering::SeqCst) {
            0 => {
                sink.event(AgentEvent::Started {
                    session: Some("s1".to_owned()),
                    process: None,
                });
                endless()(assignment, inbox, sink)
            }
            _ => Box::pin(async move {
                let key = &assignment.env["WHEELHOUSE_IDEMPOTENCY_KEY"];
                ended(Outcome::Succeeded, &format!("{:?} {key}", assignment.session))
            }),
        },
    );
    let stage = Stage::new(vec![("once", once)], vec![task("work", "once", "x")]);
    let (stop, signals) = mpsc::channel(1);
    let news = async {
        // The first news is of the recovery and the claim; stop once the try is on record.
        let mut ear = loop {
            match nudge::subscribe(stage.state_dir()).await {
                Some(ear) => break ear,
                None => tokio::task::yield_now().await,
            }
        };
        while stage
            .reader()
            .attempts(stage.task("work").id)
            .unwrap()
            .iter()
            .all(|a| a.session.is_none())
        {
            ear.changed().await;
        }
        stop.send(StopSignal::Ask).await.unwrap();
    };
    let (ending, ()) = tokio::join!(stage.run_until(signals), news);
    assert_eq!(ending, Ending::Stopped { returned: 1 });
    assert_eq!(stage.task("work").state.name(), "ready");
    stage.run().await;
    let summary = stage.result("work").summary;
    assert!(
        summary.starts_with("Some(\"s1\")"),
        "it goes on in its session: {summary}"
    );
    assert!(summary.ends_with("/r1/work/1"), "and under the same key: {summary}");
}

#[tokio::test]
async fn a_nudge_makes_a_running_engine_see_a_cancellation() {
    let stage = Stage::new(vec![("endless", endless())], vec![task("work", "endless", "x")]);
    let cancel = async {
        while stage.task("work").state.name() != "running" {
            tokio::task::yield_now().await;
        }
        let id = stage.task("work").id;
        stage.store.clone().commit(&[Command::CancelTask { task: id }]).unwrap();
        assert!(nudge::notify(stage.state_dir()));
    };
    let (ending, ()) = tokio::join!(stage.run(), cancel);
    assert_eq!(ending, Ending::NothingLeft);
    assert_eq!(stage.outcome("work"), "cancelled");
}

#[tokio::test]
async fn a_planner_adds_tasks_to_its_run() {
    let plan = r#"{"tasks":[{"id":"a","prompt":"say a","agent":"echo"},{"id":"b","prompt":"{{ tasks.a }}","needs":["a"],"agent":"echo"}]}"#;
    let mut planner = task("planner", "echo", &wheelhouse_core::plan::template::literal(plan));
    planner.planner = true;
    let stage = Stage::new(vec![("echo", echo())], vec![planner]);
    stage.run().await;
    assert_eq!(
        stage.outcome("planner"),
        "succeeded",
        "{}",
        stage.result("planner").summary
    );
    assert!(stage.result("b").summary.contains("say a"));
}

#[tokio::test]
async fn a_planner_that_returns_nonsense_is_malformed() {
    let mut planner = task("planner", "echo", "I would rather not");
    planner.planner = true;
    let stage = Stage::new(vec![("echo", echo())], vec![planner]);
    stage.run().await;
    assert_eq!(stage.outcome("planner"), "malformed");
}

/// Asks leave to write and says what it was told.
fn asker() -> Arc<Script> {
    Arc::new(|_, mut inbox, sink| {
        Box::pin(async move {
            sink.event(AgentEvent::Permission {
                request: "r1".to_owned(),
                tool: "Write".to_owned(),
                detail: "src/a.rs".to_owned(),
            });
            match inbox.next().await {
                Some(order) => ended(Outcome::Succeeded, &format!("{order:?}")),
                None => ended(Outcome::Crashed, "no answer"),
            }
        })
    })
}

#[tokio::test]
async fn a_person_answers_the_request_of_a_running_try() {
    let stage = Stage::new(vec![("asker", asker())], vec![task("work", "asker", "x")]);
    let person = async {
        let question = loop {
            if let Some(question) = stage.reader().open_questions().unwrap().pop() {
                break question;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(
            (question.text.as_str(), stage.task("work").state.name()),
            ("Write src/a.rs", "running")
        );
        let answer = Command::Answer {
            question: question.id,
            answer: "approve".to_owned(),
            resolution: question.kind.resolve("approve").unwrap(),
        };
        stage.store.clone().commit(&[answer]).unwrap().remove(0).unwrap();
        assert!(nudge::notify(stage.state_dir()));
    };
    tokio::join!(stage.run(), person);
    assert!(
        stage.result("work").summary.contains("Allow"),
        "{}",
        stage.result("work").summary
    );
    assert!(stage.reader().open_questions().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_answers_is_denied_at_its_deadline() {
    let mut spec = task("work", "asker", "x");
    spec.idle_timeout_ms = 5_000;
    spec.timeout_ms = 600_000;
    let stage = Stage::new(vec![("asker", asker())], vec![spec]);
    stage.run().await;
    let summary = stage.result("work").summary;
    assert!(
        summary.contains("Deny") && summary.contains("nobody answered"),
        "waiting is not idling: {summary}"
    );
    assert!(stage.reader().open_questions().unwrap().is_empty());
}

#[tokio::test]
async fn a_rule_answers_before_a_person_is_asked() {
    let stage = Stage::new(vec![("asker", asker())], vec![task("work", "asker", "x")]);
    let mut settings = stage.settings();
    let rules = r#"[{"tool":"Write","detail":"src/*","decide":"allow"}]"#;
    settings.policy = serde_json::from_str(rules).unwrap();
    stage.run_with(settings, mpsc::channel(1).1).await;
    assert!(stage.result("work").summary.contains("Allow"));
    let asked = stage.reader().events(Default::default(), None, 1_000).unwrap();
    assert!(asked.iter().all(|event| event.happened.name() != "question_asked"));
}

#[tokio::test]
async fn words_reach_a_running_try() {
    let listener: Arc<Script> = Arc::new(|_, mut inbox, _| {
        Box::pin(async move {
            match inbox.next().await {
                Some(Order::Steer(words)) => ended(Outcome::Succeeded, &words),
                other => ended(Outcome::Crashed, &format!("{other:?}")),
            }
        })
    });
    let stage = Stage::new(vec![("listener", listener)], vec![task("work", "listener", "x")]);
    let person = async {
        while stage.task("work").state.name() != "running" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let steer = Command::Steer {
            task: stage.task("work").id,
            words: "the other way".to_owned(),
        };
        stage.store.clone().commit(&[steer]).unwrap().remove(0).unwrap();
        nudge::notify(stage.state_dir());
    };
    tokio::join!(stage.run(), person);
    assert_eq!(stage.result("work").summary, "the other way");
}

/// A store whose disk takes nothing while it is shut.
struct Stuck {
    inner: MemoryStore,
    shut: Arc<(Mutex<bool>, Condvar)>,
}

impl Store for Stuck {
    fn commit(&mut self, batch: &[Command]) -> Result<Vec<Result<Reply, Refused>>, Failure> {
        let (shut, changed) = &*self.shut;
        drop(changed.wait_while(shut.lock().unwrap(), |shut| *shut).unwrap());
        self.inner.commit(batch)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Failure> {
        self.inner.reader()
    }
}

#[tokio::test]
async fn a_turn_goes_on_while_nothing_can_be_written() {
    /// More than the engine's queue of inputs holds.
    const EVENTS: u64 = 20_000;
    let shut = Arc::new((Mutex::new(false), Condvar::new()));
    let set = |shut: &(Mutex<bool>, Condvar), to: bool| {
        *shut.0.lock().unwrap() = to;
        shut.1.notify_all();
    };
    let disk = Arc::clone(&shut);
    // It opens the disk again only when all it had to say has been taken from it.
    let busy: Arc<Script> = Arc::new(move |_, _, sink| {
        let disk = Arc::clone(&disk);
        Box::pin(async move {
            set(&disk, true);
            let mut usage = Usage {
                source: UsageSource::Reported,
                ..Usage::default()
            };
            for said in 1..=EVENTS {
                usage.output = said;
                sink.event(AgentEvent::Usage(usage));
                sink.event(AgentEvent::Notice("going on".to_owned()));
                tokio::task::yield_now().await;
            }
            set(&disk, false);
            let mut end = ended(Outcome::Succeeded, "all said");
            (end.usage, end.cost) = (usage, Cost::Actual(7));
            end
        })
    });
    let stage = Stage::new(vec![("busy", busy)], vec![task("t", "busy", "go")]);
    let ports = Ports {
        store: Box::new(Stuck {
            inner: stage.store.clone(),
            shut,
        }),
        roster: Arc::clone(&stage.crew) as Arc<dyn Roster>,
        seed: 7,
        notice: Arc::new(|line| panic!("unexpected notice: {line}")),
        instance_mcp: None,
    };
    let lock = StateLock::acquire(stage.state_dir()).unwrap();
    let (_stop, signals) = mpsc::channel(1);
    let ending = tokio::time::timeout(Duration::from_secs(60), run(stage.settings(), ports, lock, signals)).await;
    assert_eq!(
        ending.expect("the turn waited for the disk").unwrap(),
        Ending::NothingLeft
    );
    let booked = stage.reader().ledger(0, 10).unwrap();
    let outputs: Vec<u64> = booked.iter().map(|entry| entry.usage.output).collect();
    assert_eq!(outputs, [EVENTS], "it is all in the ledger, once");
}
