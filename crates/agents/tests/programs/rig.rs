//! What tests of a backend need: an assignment, a sink that remembers and can be waited for, orders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use wheelhouse_agents::keep::Keeper;
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Ended, Inbox, Input, Order, Sink};
use wheelhouse_core::ids::{RunId, TaskId};

/// Far longer than anything here takes; what this is about is a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A keeper of this test's own.
pub(crate) fn keeper() -> Arc<Keeper> {
    Arc::new(Keeper::start(PathBuf::from(env!("CARGO_BIN_EXE_keep-for-tests"))).expect("a keeper"))
}

/// A try in that directory, with that prompt.
pub(crate) fn assignment(cwd: &Path, prompt: &str) -> Assignment {
    Assignment {
        run: RunId(1),
        task: TaskId(1),
        key: "task".into(),
        attempt: 1,
        agent: "agent".into(),
        input: Input::Prompt(prompt.to_owned()),
        model: None,
        role: None,
        cwd: cwd.to_owned(),
        env: BTreeMap::new(),
        stdin: None,
        tools: None,
        schema: None,
        session: None,
        mcp_servers: BTreeMap::new(),
        log: None,
        output_max: 1 << 20,
        grace_ms: 500,
    }
}

/// A try that runs, seen from the engine.
pub(crate) struct Try {
    sink: Arc<Heard>,
    orders: mpsc::UnboundedSender<Order>,
    running: tokio::task::JoinHandle<Ended>,
}

/// What a sink heard.
#[derive(Default)]
pub(crate) struct Heard {
    events: Mutex<Vec<AgentEvent>>,
    news: Notify,
}

impl Sink for Heard {
    fn event(&self, event: AgentEvent) {
        self.events.lock().expect("no panic").push(event);
        self.news.notify_waiters();
    }
}

struct Orders(mpsc::UnboundedReceiver<Order>);

impl Inbox for Orders {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(self.0.recv())
    }
}

impl Try {
    /// Begins it.
    pub(crate) fn begin(agent: &dyn Agent, assignment: Assignment) -> Try {
        let (orders, inbox) = mpsc::unbounded_channel();
        let sink = Arc::new(Heard::default());
        let attempt = agent.attempt(assignment, Box::new(Orders(inbox)), Arc::<Heard>::clone(&sink));
        Try {
            sink,
            orders,
            running: tokio::spawn(attempt),
        }
    }

    /// Gives an order.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// What was heard so far.
    pub(crate) fn events(&self) -> Vec<AgentEvent> {
        self.sink.events.lock().expect("no panic").clone()
    }

    /// Waits until something was heard, and returns what was asked about it.
    pub(crate) async fn until<T>(&self, what: &str, find: impl Fn(&AgentEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let news = self.sink.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = self.events().iter().find_map(&find) {
                    return found;
                }
                news.await;
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("never heard of {what}; heard {:?}", self.events()),
        }
    }

    /// Drops it while it runs.
    pub(crate) async fn abandon(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// Waits for its end.
    pub(crate) async fn end(self) -> (Ended, Vec<AgentEvent>) {
        let Try { sink, orders, running } = self;
        let ended = tokio::time::timeout(PATIENCE, running).await;
        drop(orders);
        let events = sink.events.lock().expect("no panic").clone();
        match ended {
            Ok(ended) => (ended.expect("no panic"), events),
            Err(_) => panic!("it does not end; heard {events:?}"),
        }
    }
}

/// All text that was told.
pub(crate) fn text(events: &[AgentEvent]) -> String {
    let pieces = events.iter().filter_map(|event| match event {
        AgentEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    pieces.collect()
}

/// Whether a notice was told with these words in it.
pub(crate) fn noticed(events: &[AgentEvent], words: &str) -> bool {
    events
        .iter()
        .any(|event| matches!(event, AgentEvent::Notice(notice) if notice.contains(words)))
}
