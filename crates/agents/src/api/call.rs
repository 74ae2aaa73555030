//! One request and its answer, to one of the ways in which that can end. Time, bytes and orders are here; what they
//! mean is in `fold` and `ending`.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::time::timeout;
use wheelhouse_core::agent::{AgentEvent, Inbox, Order, Sink};

use super::fold::Folded;
use super::http::{Body, Http, NoAnswer, chain};
use super::key::Key;
use super::sse::Events;
use super::trouble::{Trouble, first_words, request_id};
use crate::output::{Pulse, RawLog};

/// How much of a body that is no stream is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// How long the end of a body is waited for when the answer is complete, so that the connection can be used again.
const LAST_CHUNK_PATIENCE: Duration = Duration::from_millis(50);

/// How long what may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// From the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub stall: Duration,
}

/// How it ended.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum How {
    /// No answer began.
    NoAnswer(NoAnswer),
    /// No answer began within the time for that.
    Silent,
    /// The provider refused.
    Refused(Trouble),
    /// The answer is no stream of events, but this.
    NotAStream(String),
    /// The body came to its end, or the answer said that it is complete.
    Ended,
    /// The connection broke in the middle of the body.
    Broken(String),
    /// Nothing came for so long as to take it for stalled.
    Stalled,
    /// The engine wanted the end.
    Stopped,
    /// The engine wanted the end of the turn.
    Interrupted,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) how: How,
    pub(super) folded: Folded,
    pub(super) request_id: Option<String>,
}

/// What a request goes by.
pub(super) struct Call<'a> {
    pub(super) http: &'a Http,
    pub(super) patience: Patience,
    pub(super) key: Option<&'a Key>,
    pub(super) log: Option<&'a Path>,
    pub(super) sink: &'a Arc<dyn Sink>,
}

impl Call<'_> {
    /// Asks, and takes in what comes. Dropping the future closes the connection.
    pub(super) async fn make(self, request: Request<Body>, inbox: Box<dyn Inbox>, folded: Folded) -> Called {
        let mut called = Called {
            how: How::Ended,
            folded,
            request_id: None,
        };
        let mut end = pin!(ordered_end(inbox, Arc::clone(self.sink)));
        let answer = tokio::select! {
            biased;
            how = &mut end => Err(how),
            answer = timeout(self.patience.first_byte, self.http.send(request)) => match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(no_answer)) => Err(How::NoAnswer(no_answer)),
                Err(_) => Err(How::Silent),
            },
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(how) => {
                called.how = how;
                return called;
            }
        };
        called.request_id = request_id(answer.headers());
        // A sign of life: the request is being worked on.
        self.sink.event(AgentEvent::Alive);
        called.how = tokio::select! {
            biased;
            how = &mut end => how,
            how = self.answer(answer, &mut called.folded) => how,
        };
        called
    }

    async fn answer(&self, answer: Response<Incoming>, folded: &mut Folded) -> How {
        let is_stream = answer
            .headers()
            .get("content-type")
            .is_none_or(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if answer.status().is_success() && is_stream {
            return self.stream(answer.into_body(), folded).await;
        }
        let (head, body) = answer.into_parts();
        let body = match self.head_of(body).await {
            Ok(body) => body,
            Err(how) => return how,
        };
        let body = self.redacted(&body);
        RawLog::open(self.log).append(body.as_bytes());
        if !head.status.is_success() {
            let trouble = Trouble::of_response(head.status.as_u16(), &head.headers, body.as_bytes(), SystemTime::now());
            return How::Refused(trouble);
        }
        let error = serde_json::from_str(&body)
            .ok()
            .and_then(|body| Trouble::in_body(&body));
        match error {
            Some(trouble) => How::Refused(trouble),
            None => How::NotAStream(first_words(body.as_bytes())),
        }
    }

    /// The beginning of a body; all of it where it is as small as refusals are.
    async fn head_of(&self, mut body: Incoming) -> Result<Vec<u8>, How> {
        let mut bytes = Vec::new();
        while bytes.len() < REFUSAL_BYTES_MAX {
            match self.next(&mut body).await? {
                Some(piece) => bytes.extend_from_slice(&piece),
                None => break,
            }
        }
        bytes.truncate(REFUSAL_BYTES_MAX);
        Ok(bytes)
    }

    /// The next piece of a body, none at its end.
    async fn next(&self, body: &mut Incoming) -> Result<Option<Bytes>, How> {
        loop {
            let frame = match timeout(self.patience.stall, body.frame()).await {
                Err(_) => return Err(How::Stalled),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(How::Broken(chain(&error))),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    async fn stream(&self, mut body: Incoming, folded: &mut Folded) -> How {
        let mut events = Events::default();
        let mut log = RawLog::open(self.log);
        let mut pulse = Pulse::default();
        let mut head = Vec::new();
        let how = loop {
            let piece = match self.next(&mut body).await {
                Ok(piece) => piece,
                Err(how) => break how,
            };
            let mut lines = Vec::new();
            let take = |data: &[u8]| {
                folded.event(data);
                lines.extend_from_slice(data);
                lines.push(b'\n');
            };
            let is_end = piece.is_none();
            let fed = match &piece {
                Some(piece) => {
                    if head.len() < REFUSAL_BYTES_MAX / 16 {
                        head.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES_MAX / 16)]);
                    }
                    events.feed(piece, take)
                }
                None => events.finish(take),
            };
            if !lines.is_empty() {
                log.append(self.redacted(&lines).as_bytes());
            }
            for event in folded.told.drain(..) {
                self.sink.event(event);
            }
            if pulse.is_due(Instant::now()) {
                self.sink.event(AgentEvent::Alive);
            }
            if fed.is_err() {
                break How::NotAStream("an event without an end".to_owned());
            }
            if is_end {
                break How::Ended;
            }
            if folded.is_over {
                // What is left is the end of the body; without it the connection cannot be used again.
                let _ = timeout(LAST_CHUNK_PATIENCE, async {
                    while let Ok(Some(_)) = self.next(&mut body).await {}
                })
                .await;
                break How::Ended;
            }
        };
        if let Some(trouble) = log.trouble() {
            let words = format!("the log could not be written: {trouble}");
            self.sink.event(AgentEvent::Notice(words));
        }
        match how {
            How::Ended if folded.known == 0 && !head.is_empty() => {
                let head = self.redacted(&head);
                RawLog::open(self.log).append(head.as_bytes());
                match serde_json::from_str(&head)
                    .ok()
                    .and_then(|body| Trouble::in_body(&body))
                {
                    Some(trouble) => How::Refused(trouble),
                    None => How::NotAStream(first_words(head.as_bytes())),
                }
            }
            how => how,
        }
    }

    /// Text from the wire, without the key.
    fn redacted(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        match self.key {
            Some(key) => key.redact(&text).into_owned(),
            None => text.into_owned(),
        }
    }
}

/// Waits for the order that ends the request. It takes no words in the middle, and has nothing to ask.
async fn ordered_end(mut inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> How {
    loop {
        match inbox.next().await {
            Some(Order::Stop | Order::Kill) => return How::Stopped,
            Some(Order::Interrupt) => return How::Interrupted,
            Some(Order::Steer(_)) => {
                let words = "a model API takes no words in the middle of an answer; they were not passed on";
                sink.event(AgentEvent::Notice(words.to_owned()));
            }
            Some(Order::Answer { .. }) => {}
            None => std::future::pending::<()>().await,
        }
    }
}
