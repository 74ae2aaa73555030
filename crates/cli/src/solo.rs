//! One try of an agent by a command itself, without an engine and without a trace in the store: a turn to see whether an
//! agent works (`doctor --probe`), the commands that a tree wants before it is taken away.
//!
//! Nobody is at hand to answer: what an agent asks leave for is refused. Its processes are kept like all others and
//! end with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wheelhouse_agents::keep::Keeper;
use wheelhouse_core::agent::{AgentEvent, Assignment, BoxFuture, Ended, Inbox, Input, Order, Reply, Roster, Sink};
use wheelhouse_core::ids::{AgentName, RunId, TaskId, TaskKey};

use crate::app::App;
use crate::config::Settings;
use crate::exit;
use crate::failure::Failure;
use crate::roster::{self, Crew, Hands};

/// How much of an output is kept, in bytes.
const OUTPUT_MAX: u64 = 64 << 10;
/// How long beyond its grace an agent that was told to stop has before it is killed.
const STOP_EXTRA: Duration = Duration::from_secs(5);

/// What a command needs to have agents do something.
pub(crate) struct Solo {
    crew: Crew,
    runtime: tokio::runtime::Runtime,
    env: BTreeMap<String, String>,
    grace: Duration,
}

/// What is to be done, by whom, where.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) agent: &'a AgentName,
    pub(crate) input: Input,
    pub(crate) cwd: PathBuf,
    /// What it is for, as a task is named.
    pub(crate) run: RunId,
    pub(crate) key: TaskKey,
    /// On top of what every agent is given.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) wall: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    /// None: there is no such agent.
    pub(crate) ended: Option<Ended>,
    pub(crate) took: Duration,
    /// Whether it asked for leave, which it was not given.
    pub(crate) asked: bool,
}

impl Solo {
    /// `state_dir` is where the agents note what they must remember about sessions.
    pub(crate) fn new(app: &App, settings: &Settings, state_dir: PathBuf) -> Result<Solo, Failure> {
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(exit::STATE_FAILED, format!("{what} cannot be started: {error}"))
        };
        let keeper = Keeper::start(app.exe.clone()).map_err(|error| failed("the keeper of processes", error))?;
        let hands = Hands {
            keeper: Arc::new(keeper),
            exe: app.exe.clone(),
            state_dir,
            project: app.place.project.clone(),
            env: app.env.clone(),
            http: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| failed("what waits for agents", error))?;
        // The keeper's streams belong to the runtime they are first used in.
        Ok(Solo {
            crew: Crew::new(settings, &hands),
            runtime,
            env: roster::passed_env(settings, &app.env),
            grace: settings.grace,
        })
    }

    /// Has it done, within its time.
    pub(crate) fn run(&self, job: Job<'_>) -> Done {
        let began = Instant::now();
        let Some(agent) = self.crew.agent(job.agent) else {
            return Done {
                ended: None,
                took: Duration::ZERO,
                asked: false,
            };
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        let asked = Arc::new(Mutex::new(false));
        let ear = Arc::new(Ear {
            orders: orders.clone(),
            asked: Arc::clone(&asked),
        });
        let (wall, grace) = (job.wall, self.grace);
        let assignment = self.assignment(job);
        let ended = self.runtime.block_on(async {
            let mut work = agent.attempt(assignment, Box::new(Orders(inbox)), ear);
            if let Ok(ended) = tokio::time::timeout(wall, &mut work).await {
                return ended;
            }
            let _ = orders.send(Order::Stop);
            match tokio::time::timeout(grace * 2 + STOP_EXTRA, &mut work).await {
                Ok(ended) => timed_out(ended, wall),
                Err(_) => {
                    // Dropping the future kills what it started.
                    drop(work);
                    timed_out(nothing(), wall)
                }
            }
        });
        Done {
            ended: Some(ended),
            took: began.elapsed(),
            asked: *asked.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn assignment(&self, job: Job<'_>) -> Assignment {
        let mut env = self.env.clone();
        env.extend(job.env);
        Assignment {
            run: job.run,
            task: TaskId(0),
            key: job.key,
            attempt: 1,
            agent: job.agent.clone(),
            input: job.input,
            model: None,
            role: None,
            cwd: job.cwd,
            env,
            stdin: None,
            tools: None,
            schema: None,
            session: None,
            mcp_servers: BTreeMap::new(),
            log: None,
            output_max: OUTPUT_MAX,
            grace_ms: u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn nothing() -> Ended {
    Ended {
        outcome: wheelhouse_core::outcome::Outcome::Killed,
        detail: String::new(),
        result: wheelhouse_core::store::TaskResult::default(),
        outputs: Vec::new(),
        usage: wheelhouse_core::usage::Usage::default(),
        cost: wheelhouse_core::usage::Cost::Unknown,
        session: None,
    }
}

fn timed_out(ended: Ended, wall: Duration) -> Ended {
    Ended {
        outcome: wheelhouse_core::outcome::Outcome::TimedOut,
        detail: format!("it was not done within {} s", wall.as_secs()),
        ..ended
    }
}

struct Ear {
    orders: mpsc::UnboundedSender<Order>,
    asked: Arc<Mutex<bool>>,
}

impl Sink for Ear {
    fn event(&self, event: AgentEvent) {
        let (AgentEvent::Permission { request, .. } | AgentEvent::Question { request, .. }) = event else {
            return;
        };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let answer = Reply::Deny("nobody is here to allow it".to_owned());
        // An agent at its end needs no answer.
        let _ = self.orders.send(Order::Answer { request, answer });
    }
}

struct Orders(mpsc::UnboundedReceiver<Order>);

impl Inbox for Orders {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(self.0.recv())
    }
}
