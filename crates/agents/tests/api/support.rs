//! What the tests share: a fake, an agent that asks it, and a try with everything it told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use wheelhouse_agents::api::{Api, Config, Http, Key, Patience, Source, provider};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Ended, Inbox, Input, Order, Sink};
use wheelhouse_core::ids::{AgentName, RunId, TaskId, TaskKey};
use wheelhouse_testkit::model_api::{ModelApi, Script};

/// How long anything may take before a test says that it does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A key that is recognised wherever it should not be.
pub(crate) const SECRET: &str = "sk-never-to-be-seen-42";
/// The four wire formats, by the names of the settings.
pub(crate) const APIS: [&str; 4] = ["anthropic", "openai", "openai-chat", "gemini"];

/// A fake with a directory.
pub(crate) struct Rig {
    pub(crate) fake: ModelApi,
    pub(crate) directory: TempDir,
}

pub(crate) fn rig() -> Rig {
    Rig {
        fake: ModelApi::start(Script::default()).unwrap(),
        directory: tempfile::tempdir().unwrap(),
    }
}

impl Rig {
    /// An agent that asks the fake in this format, with timers that a stalled answer meets soon.
    pub(crate) fn config(&self, api: &str) -> Config {
        let base_url = match api {
            "openai" | "openai-chat" => self.fake.openai_url(),
            _ => self.fake.base_url(),
        };
        Config {
            base_url: Some(base_url),
            model: Some("model-1".to_owned()),
            key: Source::Env {
                name: "THE_KEY".to_owned(),
                key: Key::new(SECRET),
            },
            patience: Patience {
                first_byte: Duration::from_secs(2),
                stall: Duration::from_secs(2),
            },
            ..Config::new(provider(api).unwrap())
        }
    }

    pub(crate) fn assignment(&self, prompt: &str) -> Assignment {
        Assignment {
            run: RunId(1),
            task: TaskId(1),
            key: TaskKey::from("task"),
            attempt: 1,
            agent: AgentName::from("model"),
            input: Input::Prompt(prompt.to_owned()),
            model: None,
            role: None,
            cwd: self.directory.path().to_owned(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            stdin: None,
            tools: None,
            schema: None,
            session: None,
            log: Some(self.directory.path().join("log")),
            output_max: 64 << 10,
            grace_ms: 300,
            mcp_servers: BTreeMap::new(),
        }
    }

    /// Asks once, to the end.
    pub(crate) async fn ask(&self, config: Config, prompt: &str) -> Tried {
        begin(config, self.assignment(prompt)).end().await
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn no_violations(&self) {
        assert_eq!(self.fake.violations(), [], "{:#?}", self.fake.timeline());
    }
}

/// A try under way.
pub(crate) struct Trying {
    work: BoxFuture<'static, Ended>,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    told: Arc<Told>,
}

/// A try at its end.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) ended: Ended,
    pub(crate) events: Vec<AgentEvent>,
}

pub(crate) fn begin(config: Config, assignment: Assignment) -> Trying {
    begin_with(&Api::new(Arc::new(Http::default()), config), assignment)
}

pub(crate) fn begin_with(agent: &Api, assignment: Assignment) -> Trying {
    let (orders, inbox) = mpsc::unbounded_channel();
    let told = Arc::new(Told::default());
    let work = agent.attempt(assignment, Box::new(Queue(inbox)), Arc::clone(&told) as Arc<dyn Sink>);
    Trying { work, orders, told }
}

impl Trying {
    /// Waits for the end while `meanwhile` runs beside.
    pub(crate) async fn beside(mut self, meanwhile: impl Future<Output = ()>) -> Tried {
        tokio::pin!(meanwhile);
        let mut runs = true;
        let ended = loop {
            tokio::select! {
                ended = tokio::time::timeout(PATIENCE, &mut self.work) => break ended.expect("the try ends"),
                () = &mut meanwhile, if runs => runs = false,
            }
        };
        let events = std::mem::take(&mut *self.told.0.lock().unwrap_or_else(PoisonError::into_inner));
        Tried { ended, events }
    }

    pub(crate) async fn end(self) -> Tried {
        self.beside(std::future::pending()).await
    }
}

impl Tried {
    pub(crate) fn output(&self) -> String {
        let first = self.ended.outputs.first().cloned().unwrap_or_default();
        String::from_utf8(first).unwrap()
    }

    pub(crate) fn notices(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Notice(words) => Some(words.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        let pieces = self.events.iter().filter_map(|event| match event {
            AgentEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        pieces.collect()
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<AgentEvent>>);

impl Sink for Told {
    fn event(&self, event: AgentEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

struct Queue(mpsc::UnboundedReceiver<Order>);

impl Inbox for Queue {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(self.0.recv())
    }
}
