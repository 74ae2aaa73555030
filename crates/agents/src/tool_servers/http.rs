//! A server at an address: streamable HTTP, each request a POST of its own, answered with a document or a stream of events.
//!
//! A key goes into the header `Authorization` and nowhere else, and never in clear over a network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Response, StatusCode, Uri};
use serde_json::Value;

use super::message::{self, Received, words};
use super::pipe::{MESSAGE_MAX, Trouble};
use crate::api::http::{Http, is_loopback};
use crate::api::key::Source;
use crate::api::sse::Events;

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

/// The near end of a session at an address.
#[derive(Clone, Debug)]
pub(super) struct Line {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Arc<Http>,
    url: String,
    key: Source,
    /// What a command that prints the key is given.
    env: BTreeMap<String, String>,
    session: Mutex<Session>,
    changed: AtomicBool,
    over: AtomicBool,
    next: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Session {
    id: Option<String>,
    version: Option<String>,
}

impl Line {
    /// A line to that address; nothing is asked yet.
    pub(super) fn new(http: Arc<Http>, url: &str, key: Source, env: BTreeMap<String, String>) -> Line {
        Line {
            shared: Arc::new(Shared {
                http,
                url: url.to_owned(),
                key,
                env,
                session: Mutex::default(),
                changed: AtomicBool::new(false),
                over: AtomicBool::new(false),
                next: AtomicU64::new(1),
            }),
        }
    }

    /// Whether its session goes on, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.shared.over.load(Ordering::Relaxed)
    }

    /// Whether the server said that its tools are others now.
    pub(super) fn news(&self) -> &AtomicBool {
        &self.shared.changed
    }

    /// Asks and waits so long.
    pub(super) async fn ask(&self, method: &str, params: &Value, limit: Duration) -> Result<Value, Trouble> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let text = message::request(id, method, params);
        let work = async {
            let response = self.post(text).await?;
            self.keep_session(method, &response);
            let answer = self.answer(id, response).await?;
            if let ("initialize", Some(version)) = (method, answer["protocolVersion"].as_str()) {
                self.session(|session| session.version = Some(version.to_owned()));
            }
            Ok(answer)
        };
        let late = || Trouble::Late(String::new());
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Tells the server something that has no answer.
    pub(super) async fn tell(&self, method: &str, params: &Value, limit: Duration) {
        // One that cannot be told is found out with the next request.
        let _ = tokio::time::timeout(limit, self.post(message::notification(method, params))).await;
    }

    fn session<T>(&self, with: impl FnOnce(&mut Session) -> T) -> T {
        with(&mut self.shared.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep_session(&self, method: &str, response: &Response<hyper::body::Incoming>) {
        let id = response.headers().get(SESSION).and_then(|id| id.to_str().ok());
        if let ("initialize", Some(id)) = (method, id) {
            self.session(|session| session.id = Some(id.to_owned()));
        }
    }

    async fn post(&self, text: String) -> Result<Response<hyper::body::Incoming>, Trouble> {
        let shared = &self.shared;
        let gone = Trouble::Gone;
        let uri: Uri = shared
            .url
            .parse()
            .map_err(|_| gone(format!("`{}` is no address", shared.url)))?;
        let mut request = Request::post(&uri)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        let key = shared
            .key
            .read(shared.env.clone())
            .await
            .map_err(|none| gone(none.to_string()))?;
        if let Some(key) = &key {
            if uri.scheme_str() != Some("https") && !is_loopback(&uri) {
                let words = format!(
                    "`{}` would carry the key in clear over a network; use https",
                    shared.url
                );
                return Err(gone(words));
            }
            let header = key
                .header("Bearer ")
                .ok_or_else(|| gone("its key cannot be sent".to_owned()))?;
            request = request.header(AUTHORIZATION, header);
        }
        let session = self.session(|session| session.clone());
        if let Some(id) = &session.id {
            request = request.header(SESSION, id);
        }
        if let Some(version) = &session.version {
            request = request.header(VERSION, version);
        }
        let request = request
            .body(Full::new(Bytes::from(text)))
            .map_err(|error| gone(format!("`{}` cannot be asked: {error}", shared.url)))?;
        let response = shared.http.send(request).await.map_err(|none| gone(none.words))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // A session that the server does not know (any more) is begun anew with the next request.
        if status == StatusCode::NOT_FOUND || session.id.is_some() {
            shared.over.store(true, Ordering::Relaxed);
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            shared.key.forget();
        }
        let body = Limited::new(response.into_body(), 64 << 10).collect().await;
        let said = body.map(|body| body.to_bytes()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let said = key.as_ref().map_or(said.clone(), |key| key.redact(&said).into_owned());
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!("; {}", shared.key.describe()),
            _ => String::new(),
        };
        Err(gone(format!("it answered {}: {}{hint}", status.as_u16(), words(&said))))
    }

    /// The message with that id, out of a document or a stream.
    async fn answer(&self, id: u64, response: Response<hyper::body::Incoming>) -> Result<Value, Trouble> {
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut body = response.into_body();
        let (mut whole, mut events, mut found) = (Vec::new(), Events::default(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Trouble::Gone(format!("it broke off: {error}")))?;
            let Ok(bytes) = frame.into_data() else { continue };
            if is_stream {
                let take = |data: &[u8]| found = found.take().or_else(|| self.taken(id, data));
                events.feed(&bytes, take).map_err(|_| too_long())?;
                if let Some(found) = found.take() {
                    return found;
                }
            } else {
                whole.extend_from_slice(&bytes);
                if whole.len() > MESSAGE_MAX {
                    return Err(too_long());
                }
            }
        }
        if is_stream {
            let take = |data: &[u8]| found = found.take().or_else(|| self.taken(id, data));
            events.finish(take).map_err(|_| too_long())?;
        } else {
            found = self.taken(id, &whole);
        }
        let none = || {
            Trouble::Gone(format!(
                "its answer is no message: `{}`",
                words(&String::from_utf8_lossy(&whole))
            ))
        };
        found.unwrap_or_else(|| Err(none()))
    }

    fn taken(&self, id: u64, data: &[u8]) -> Option<Result<Value, Trouble>> {
        match message::received(data) {
            Received::Answer(number, answer) if number == id => Some(answer.map_err(Trouble::Refused)),
            Received::ToolsChanged => {
                self.shared.changed.store(true, Ordering::Relaxed);
                None
            }
            // What a server asks for in the stream of an answer is not given; it can go on without it.
            Received::Answer(..) | Received::Request(_) | Received::Other | Received::Noise => None,
        }
    }
}

fn too_long() -> Trouble {
    Trouble::TooLong(u64::try_from(MESSAGE_MAX).unwrap_or(u64::MAX))
}
