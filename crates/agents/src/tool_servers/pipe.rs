//! A server that is a program: lines of JSON-RPC into its stdin and out of its stdout, under the keeper.
//!
//! [`talk`] is the one that holds the pipes; whoever asks ([`Pipe::ask`]) leaves a line with it and waits for the answer of its
//! number. A program that hangs, floods or lies costs those who asked it their time limit, and nobody anything else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::message::{self, Received, Refusal, words};
use crate::decode::jsonl::{Line, Lines};
use crate::keep::{Kept, Report, Status, Strength, signal_name};
use crate::output::Clipped;

/// The longest message of a server, in bytes; a longer one is no answer.
pub(super) const MESSAGE_MAX: usize = 16 << 20;
/// How many calls of one server may wait for their turn to be written.
pub(super) const WAITING_MAX: usize = 64;
/// How long a server may be without a call before it is ended; it is started again when it is needed.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(10 * 60);
/// How long a server has between the end of its stdin and TERM.
const EOF_PATIENCE: Duration = Duration::from_millis(300);
/// How much of what a server complains about is kept, in bytes.
const ERRORS_MAX: u64 = 8 << 10;
/// How much is read at a time.
const CHUNK: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// The server refused it.
    Refused(Refusal),
    /// It ended first; how.
    Gone(String),
    /// The answer was longer than [`MESSAGE_MAX`].
    TooLong(u64),
    /// It did not come in time; what came instead.
    Late(String),
    /// Too many wait.
    Busy,
}

struct Ask {
    line: String,
    answer: Option<(u64, oneshot::Sender<Result<Value, Trouble>>)>,
}

/// What a conversation tells those who ask.
#[derive(Debug, Default)]
struct Told {
    /// Its tools are others now.
    changed: AtomicBool,
    /// Lines that were no messages, and the last of them.
    noise: Mutex<(u64, String)>,
    /// What it complained about last.
    complaint: Mutex<String>,
}

/// The near end of a conversation. When the last one is dropped, the program is ended.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    asks: mpsc::Sender<Ask>,
    told: Arc<Told>,
    next: Arc<AtomicU64>,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments may hold anything.
        f.debug_struct("Ask").finish_non_exhaustive()
    }
}

/// A conversation with a program that runs: its near end, and what must be polled for it to go on.
pub(super) fn open(kept: Kept, grace: Duration) -> (Pipe, impl Future<Output = ()> + Send + use<>) {
    let (asks, inbox) = mpsc::channel(WAITING_MAX);
    let told = Arc::new(Told::default());
    let pipe = Pipe {
        asks,
        told: Arc::clone(&told),
        next: Arc::new(AtomicU64::new(1)),
    };
    (pipe, talk(kept, inbox, told, grace))
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    /// Whether its program still runs.
    pub(super) fn is_open(&self) -> bool {
        !self.asks.is_closed()
    }

    /// Whether the server said that its tools are others now.
    pub(super) fn news(&self) -> &AtomicBool {
        &self.told.changed
    }

    /// Asks and waits so long.
    pub(super) async fn ask(&self, method: &str, params: &Value, limit: Duration) -> Result<Value, Trouble> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, waiting) = oneshot::channel();
        let ask = Ask {
            line: message::request(id, method, params),
            answer: Some((id, answer)),
        };
        match self.asks.try_send(ask) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Trouble::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Trouble::Gone(self.complaint())),
        }
        match tokio::time::timeout(limit, waiting).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Trouble::Gone(self.complaint())),
            // The other end sees that nobody waits any more, and tells the server.
            Err(_) => Err(Trouble::Late(self.noise())),
        }
    }

    /// Tells the server something that has no answer.
    pub(super) fn tell(&self, method: &str, params: &Value) {
        let ask = Ask {
            line: message::notification(method, params),
            answer: None,
        };
        // One that is gone needs to be told nothing.
        let _ = self.asks.try_send(ask);
    }

    /// What it said on its way out.
    pub(super) fn complaint(&self) -> String {
        let complaint = held(&self.told.complaint);
        match complaint.is_empty() {
            true => "it said nothing".to_owned(),
            false => complaint.clone(),
        }
    }

    fn noise(&self) -> String {
        match &*held(&self.told.noise) {
            (0, _) => String::new(),
            (lines, last) => format!("; it wrote {lines} lines that are no messages, the last of them `{last}`"),
        }
    }
}

/// The pipes of a program and who waits for what.
struct Talk {
    stdin: Option<pipe::Sender>,
    to_write: VecDeque<u8>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Value, Trouble>>>,
    told: Arc<Told>,
    errors: Clipped,
}

async fn talk(kept: Kept, mut inbox: mpsc::Receiver<Ask>, told: Arc<Told>, grace: Duration) {
    let Kept {
        stdin,
        mut stdout,
        mut stderr,
        mut control,
        ..
    } = kept;
    let mut talk = Talk {
        stdin,
        to_write: VecDeque::new(),
        waiting: BTreeMap::new(),
        told,
        errors: Clipped::new(ERRORS_MAX),
    };
    let mut lines = Lines::with_limit(MESSAGE_MAX);
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK / 8]);
    let (mut out_open, mut err_open, mut listening) = (true, true, true);
    let mut idle_at = Instant::now() + IDLE_MAX;
    let first = loop {
        talk.forget_those_gone();
        let may_write = talk.stdin.is_some() && !talk.to_write.is_empty();
        tokio::select! {
            report = control.next() => break Some(report),
            read = stdout.read(&mut out), if out_open => match read {
                Ok(0) | Err(_) => out_open = false,
                Ok(count) => lines.feed(&out[..count], |line| talk.line(line)),
            },
            read = stderr.read(&mut err), if err_open => match read {
                Ok(0) | Err(_) => err_open = false,
                Ok(count) => talk.errors.push(&err[..count]),
            },
            writable = async { match &talk.stdin { Some(stdin) => stdin.writable().await, None => Ok(()) } }, if may_write => {
                talk.write(writable);
            }
            ask = inbox.recv(), if listening => match ask {
                Some(ask) => {
                    idle_at = Instant::now() + IDLE_MAX;
                    talk.take(ask);
                }
                None => listening = false,
            },
            () = tokio::time::sleep_until(idle_at), if talk.waiting.is_empty() => listening = false,
        }
        // One that closes its stdout ends, mostly; how is told below.
        if !listening || !out_open {
            break None;
        }
        // A program that never stops talking must not keep the thread from others.
        tokio::task::coop::consume_budget().await;
    };
    // Nobody can leave a request any more; what it says while it ends tells why it does.
    inbox.close();
    talk.stdin = None;
    let mut how = ended_how(first);
    let ending = async {
        let mut asked = false;
        let patience = tokio::time::sleep(EOF_PATIENCE);
        tokio::pin!(patience);
        let mut gone = matches!(first, Some(Report::Gone { .. } | Report::Lost));
        while !gone {
            tokio::select! {
                report = control.next() => match report {
                    Report::Gone { .. } | Report::Lost => gone = true,
                    Report::Ended(_) => how = ended_how(Some(report)),
                },
                read = stderr.read(&mut err), if err_open => match read {
                    Ok(0) | Err(_) => err_open = false,
                    Ok(count) => talk.errors.push(&err[..count]),
                },
                () = &mut patience, if !asked => {
                    asked = true;
                    control.order(Strength::Stop);
                }
            }
        }
    };
    // Whatever is left when this is over, `control` kills as it is dropped.
    let _ = tokio::time::timeout(EOF_PATIENCE + grace * 2, ending).await;
    let how = how.unwrap_or_else(|| "it was ended".to_owned());
    talk.close(&how);
    while let Ok(ask) = inbox.try_recv() {
        if let Some((_, answer)) = ask.answer {
            let _ = answer.send(Err(Trouble::Gone(how.clone())));
        }
    }
}

/// How a program ended, when a report says so.
fn ended_how(report: Option<Report>) -> Option<String> {
    let Some(Report::Ended(end)) = report else { return None };
    Some(match end.status {
        _ if end.asked => "it was ended".to_owned(),
        Status::Exited(code) => format!("it ended with exit {code}"),
        Status::Signalled(signal) => format!("{} ended it", signal_name(signal)),
    })
}

impl Talk {
    fn take(&mut self, ask: Ask) {
        if let Some((id, answer)) = ask.answer {
            self.waiting.insert(id, answer);
        }
        self.say(&ask.line);
    }

    fn say(&mut self, line: &str) {
        self.to_write.extend(line.as_bytes());
        self.to_write.push_back(b'\n');
    }

    /// Those who waited and gave up: the server is told, so that it can stop.
    fn forget_those_gone(&mut self) {
        let gone: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, answer)| answer.is_closed())
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.waiting.remove(&id);
            self.say(&message::notification(
                "notifications/cancelled",
                &json!({ "requestId": id, "reason": "nobody waits for it any more" }),
            ));
        }
    }

    fn write(&mut self, writable: std::io::Result<()>) {
        let Some(stdin) = &self.stdin else { return };
        let (head, _) = self.to_write.as_slices();
        match writable.and_then(|()| stdin.try_write(head)) {
            Ok(count) => drop(self.to_write.drain(..count)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // It does not read; its end says the rest.
            Err(_) => self.stdin = None,
        }
    }

    fn line(&mut self, line: Line<'_>) {
        match line {
            Line::Whole(bytes) => match message::received(bytes) {
                Received::Answer(id, answer) => {
                    // An answer to nothing, or a second one, is nobody's.
                    if let Some(waiting) = self.waiting.remove(&id) {
                        let _ = waiting.send(answer.map_err(Trouble::Refused));
                    }
                }
                Received::Request(reply) => self.say(&reply),
                Received::ToolsChanged => self.told.changed.store(true, Ordering::Relaxed),
                Received::Other => {}
                Received::Noise => self.noise(&String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)])),
            },
            Line::Cut { head, bytes, .. } => {
                // Whose it was stands in its head or nowhere.
                let of = |id: &u64| has_id(head, *id);
                let ids: Vec<u64> = match self.waiting.keys().find(|id| of(id)) {
                    Some(id) => vec![*id],
                    None => self.waiting.keys().copied().collect(),
                };
                for id in ids {
                    if let Some(waiting) = self.waiting.remove(&id) {
                        let _ = waiting.send(Err(Trouble::TooLong(bytes)));
                    }
                }
            }
        }
    }

    fn noise(&self, line: &str) {
        let mut noise = held(&self.told.noise);
        noise.0 += 1;
        noise.1 = words(line);
    }

    fn close(&mut self, how: &str) {
        let said = self.errors.clone().finish().bytes;
        let said = String::from_utf8_lossy(&said);
        // The last line of a traceback says what it was.
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let why = match last {
            Some(last) => format!("{how}; it said `{}`", words(last)),
            None => how.to_owned(),
        };
        held(&self.told.complaint).clone_from(&why);
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let _ = waiting.send(Err(Trouble::Gone(why.clone())));
        }
    }
}

/// Whether the beginning of a message names this id.
fn has_id(head: &[u8], id: u64) -> bool {
    let head = String::from_utf8_lossy(&head[..head.len().min(256)]).replace(' ', "");
    let mark = format!("\"id\":{id}");
    head.split_once(&mark)
        .is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_long_message_says_whose_it_is() {
        assert!(has_id(br#"{"jsonrpc":"2.0", "id": 12, "result":{"#, 12));
        assert!(!has_id(br#"{"jsonrpc":"2.0","id":123,"result":{"#, 12));
        assert!(!has_id(br#"{"result":{"#, 1));
    }
}
