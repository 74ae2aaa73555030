//! A fake of the model APIs on loopback: Anthropic Messages, OpenAI Responses and Chat, Gemini, with streams, tools,
//! usage, and every way in which the real ones fail.
//!
//! Tests start one with [`ModelApi::start`] and point a client or a real agent at its [`base_url`](ModelApi::base_url);
//! `fake-model-api` is the same as a program. What it says is ruled by a [`Script`], by markers in the prompt
//! (`[[edit:a.txt:hello]]`) and by the model's name (`fault-429x2`). Every request is checked against the protocol and
//! entered in a time line. It never listens on anything but loopback and never calls out.

mod ask;
mod check;
mod choose;
mod control;
mod embed;
mod fault;
mod http;
mod marker;
mod play;
mod script;
mod serve;
mod state;
mod timeline;
mod toolbox;
mod trouble;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

pub use check::VIOLATIONS;
pub use fault::{FAULT_COUNT_MAX, FAULT_NAMES, Fault, FaultKind, UnknownFault};
pub use http::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, request_body};
pub use marker::{LONG_BYTES_MAX, MARKERS};
pub use script::{
    Act, Attempts, Checks, Counted, DEFAULT_TEXT, NotAScript, Reply, Rule, SCRIPT_BYTES_MAX, Script, Text, Tokens,
    UsageSaid,
};
pub use serve::CONNECTIONS_MAX;
pub use timeline::{ATTEMPTS_MAX, Attempt, AttemptKind, Finished, PROMPT_BYTES_KEPT, Vendor, Violation};

use state::State;

/// A running fake. Dropping it closes every connection and gives the port back.
///
/// It runs on a thread and a clock of its own: tests may be synchronous, or pause theirs.
pub struct ModelApi {
    address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The attempts did not become as wanted in time.
#[derive(Debug, thiserror::Error)]
#[error("after {patience:?} the time line is still not as wanted: {attempts:#?}")]
pub struct NotSeen {
    /// How long was waited.
    pub patience: Duration,
    /// How it was at the end.
    pub attempts: Vec<Attempt>,
}

impl ModelApi {
    /// Starts on a free port.
    pub fn start(script: Script) -> io::Result<ModelApi> {
        ModelApi::start_on(0, script)
    }

    /// Starts on this port of loopback; 0 takes a free one.
    pub fn start_on(port: u16, script: Script) -> io::Result<ModelApi> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Arc::new(State::new(script));
        let (stop, stopped) = watch::channel(false);
        let served = state.clone();
        let thread = std::thread::Builder::new()
            .name("fake-model-api".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                        serve::serve(listener, served, stopped).await;
                    }
                });
            })?;
        Ok(ModelApi {
            address,
            state,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`: what Anthropic and Gemini clients take as their base.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/v1`: what OpenAI clients take as their base.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.base_url())
    }

    /// The attempts since the start or the last reset, in order of arrival.
    pub fn timeline(&self) -> Vec<Attempt> {
        self.state.attempts()
    }

    /// The attempts that are model calls of the work itself.
    pub fn turns(&self) -> Vec<Attempt> {
        let mut attempts = self.timeline();
        attempts.retain(|attempt| attempt.kind == AttemptKind::Turn);
        attempts
    }

    /// Each broken rule with the number of the attempt that broke it.
    pub fn violations(&self) -> Vec<(u64, Violation)> {
        self.state.violations()
    }

    /// Forgets the time line, the places in the script and the released gates. The script stays.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Follows another script from its beginning. The time line stays.
    pub fn set_script(&self, script: Script) {
        self.state.set_script(script);
    }

    /// Lets every reply go on that holds at this gate, now and later.
    pub fn release(&self, gate: &str) {
        self.state.release(gate);
    }

    /// Waits, blocking, until the time line is as wanted. Not for tests on a runtime of one thread that also runs
    /// the client: those take [`until`](ModelApi::until).
    pub fn wait_until(&self, patience: Duration, wanted: impl Fn(&[Attempt]) -> bool) -> Result<Vec<Attempt>, NotSeen> {
        let seen = self.state.wait_until(patience, wanted);
        seen.map_err(|attempts| NotSeen { patience, attempts })
    }

    /// Waits, as a task, until the time line is as wanted.
    pub async fn until(
        &self,
        patience: Duration,
        wanted: impl Fn(&[Attempt]) -> bool,
    ) -> Result<Vec<Attempt>, NotSeen> {
        let seen = self.state.until(patience, wanted).await;
        seen.map_err(|attempts| NotSeen { patience, attempts })
    }
}

impl Drop for ModelApi {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}
