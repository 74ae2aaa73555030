//! Accepts connections, tells requests apart, enters them in the time line and has them answered.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::ask::Ask;
use super::check::{self, Findings};
use super::choose::{Play, digest};
use super::control;
use super::embed;
use super::fault::FaultKind;
use super::http::{Connection, Gone, Request, Unread};
use super::play::{After, Sender};
use super::script::Checks;
use super::state::State;
use super::timeline::{Attempt, AttemptKind, Finished, PROMPT_BYTES_KEPT, Vendor};
use super::trouble::Trouble;
use super::wire::{self, gemini};

/// Connections served at once; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 400;
/// This many bytes of what was said are kept in the time line.
const SAID_BYTES_KEPT: usize = 200;

/// Serves until told to stop; then every connection is dropped at once.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (accepted, place) = accept => match accepted {
                Ok((stream, _)) => {
                    let state = state.clone();
                    connections.spawn(async move {
                        serve_connection(stream, &state).await;
                        drop(place);
                    });
                }
                // Out of descriptors, or a client that left while it waited: the next one may do better.
                Err(_) => tokio::task::yield_now().await,
            },
        }
    }
}

async fn serve_connection(stream: TcpStream, state: &State) {
    // Small frames go out as they are written; without the option they only go out later.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream);
    loop {
        let (after, asked_to_close) = match connection.request().await {
            Ok(request) => {
                let closes = request
                    .header("connection")
                    .is_some_and(|value| value.eq_ignore_ascii_case("close"));
                (answer(&mut connection, state, &request).await, closes)
            }
            Err(Unread::Refuse { status, why, request }) => {
                refuse_unread(&mut connection, state, status, &why, &request).await;
                (After::Close, true)
            }
            Err(Unread::Gone) => return,
        };
        match after {
            After::KeepOpen if !asked_to_close => {}
            After::KeepOpen | After::Close => return connection.close().await,
            After::Reset => return connection.reset(),
        }
    }
}

async fn refuse_unread(connection: &mut Connection, state: &State, status: u16, why: &str, request: &Request) {
    let mut attempt = Attempt::bare(request.line());
    let mut findings = Findings::default();
    findings.add("http", why);
    attempt.violations = findings.into_violations();
    let attempt = state.enter(attempt);
    let vendor = vendor(request).unwrap_or(Vendor::Chat);
    let trouble = match status {
        413 => Trouble::BodyTooLarge,
        _ => Trouble::BadRequest {
            message: why.to_owned(),
        },
    };
    let body = trouble.body(vendor);
    let mut sender = Sender {
        state,
        connection,
        attempt,
    };
    if let Err(Gone) = sender.json(status, &[("connection", "close".to_owned())], &body).await {
        state.finish(attempt, Finished::ClientGone);
    }
}

/// The protocol a model call speaks, by its path.
fn vendor(request: &Request) -> Option<Vendor> {
    match request.path.as_str() {
        "/v1/messages" | "/v1/messages/count_tokens" => Some(Vendor::Anthropic),
        "/v1/responses" => Some(Vendor::Responses),
        "/v1/chat/completions" => Some(Vendor::Chat),
        path => gemini::model_and_method(path).map(|_| Vendor::Gemini),
    }
}

/// What a request is for.
enum Purpose {
    Answer(Vendor),
    Count(Vendor),
    Models,
    Vectors,
    Alive,
    Unknown,
}

fn purpose(request: &Request) -> Purpose {
    let vendor = vendor(request);
    match (request.method.as_str(), vendor) {
        ("POST", Some(Vendor::Anthropic)) if request.path.ends_with("/count_tokens") => {
            Purpose::Count(Vendor::Anthropic)
        }
        ("POST", Some(Vendor::Gemini)) => match gemini::model_and_method(&request.path) {
            Some((_, "generateContent" | "streamGenerateContent")) => Purpose::Answer(Vendor::Gemini),
            Some((_, "countTokens")) => Purpose::Count(Vendor::Gemini),
            _ => Purpose::Unknown,
        },
        ("POST", Some(vendor)) => Purpose::Answer(vendor),
        ("POST", None) if request.path == "/v1/embeddings" => Purpose::Vectors,
        ("GET", None) if request.path == "/v1/models" || request.path == "/v1beta/models" => Purpose::Models,
        ("GET" | "HEAD", None) if request.path == "/" => Purpose::Alive,
        _ => Purpose::Unknown,
    }
}

async fn answer(connection: &mut Connection, state: &State, request: &Request) -> After {
    if let Some(path) = request.path.strip_prefix("/_/") {
        return control::answer(connection, state, request, path).await;
    }
    match purpose(request) {
        Purpose::Answer(vendor) => model_call(connection, state, request, vendor).await,
        Purpose::Count(vendor) => {
            // Four bytes a token is what the vendors themselves give as a rule of thumb.
            let tokens = request.body.len() / 4;
            let body = match vendor {
                Vendor::Gemini => json!({"totalTokens": tokens}),
                Vendor::Anthropic | Vendor::Responses | Vendor::Chat => json!({"input_tokens": tokens}),
            };
            plain(connection, state, request, Some(vendor), 200, &body, None).await
        }
        Purpose::Models => plain(connection, state, request, None, 200, &models(request), None).await,
        Purpose::Vectors => {
            let (status, body) = embed::answer(request);
            plain(connection, state, request, None, status, &body, None).await
        }
        Purpose::Alive => plain(connection, state, request, None, 200, &json!({}), None).await,
        Purpose::Unknown => {
            let vendor = vendor(request).unwrap_or(Vendor::Chat);
            let body = Trouble::UnknownPath.body(vendor);
            let found = format!("no such path: {}", request.line());
            plain(connection, state, request, None, 404, &body, Some(found)).await
        }
    }
}

/// Everything that is no model call.
async fn plain(
    connection: &mut Connection,
    state: &State,
    request: &Request,
    vendor: Option<Vendor>,
    status: u16,
    body: &Value,
    unknown_path: Option<String>,
) -> After {
    let mut attempt = entry(request);
    attempt.vendor = vendor;
    let mut findings = Findings::default();
    if let Some(found) = unknown_path {
        findings.add("unknown_path", found);
    }
    attempt.violations = findings.into_violations();
    let attempt = state.enter(attempt);
    let mut sender = Sender {
        state,
        connection,
        attempt,
    };
    sender.json(status, &[], body).await.unwrap_or_else(|Gone| {
        state.finish(attempt, Finished::ClientGone);
        After::Close
    })
}

fn entry(request: &Request) -> Attempt {
    Attempt {
        body_bytes: request.body.len(),
        user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
        auth: check::auth_header(request),
        ..Attempt::bare(request.line())
    }
}

async fn model_call(connection: &mut Connection, state: &State, request: &Request, vendor: Vendor) -> After {
    let mut findings = Findings::default();
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body @ Value::Object(_)) => body,
        Ok(_) => {
            findings.add("body_json", "the body is not a JSON object");
            json!({})
        }
        Err(error) => {
            findings.add("body_json", format!("the body is not JSON: {error}"));
            json!({})
        }
    };
    let unreadable = body.as_object().is_some_and(serde_json::Map::is_empty);
    let ask = Ask::understand(wire::read(vendor, request, &body));
    check::head(request, vendor, ask.stream, &mut findings);
    if !unreadable {
        wire::check(vendor, request, &body, &mut findings);
    }
    let play = state.choose(&ask);
    for problem in &play.problems {
        findings.add("order", problem);
    }
    let violations = findings.into_violations();
    let refused = match (state.checks(), violations.first(), play.problems.first()) {
        _ if unreadable => Some("the body is not a JSON object".to_owned()),
        (_, _, Some(problem)) => Some(problem.clone()),
        (Checks::Strict, Some(_), None) => {
            let all: Vec<String> = violations
                .iter()
                .map(|found| format!("{}: {}", found.code, found.detail))
                .collect();
            Some(all.join("; "))
        }
        (Checks::Strict | Checks::Record, _, None) => None,
    };
    let hit = play.fault.filter(|_| refused.is_none());
    let attempt = state.enter(Attempt {
        kind: if ask.side { AttemptKind::Side } else { AttemptKind::Turn },
        vendor: Some(vendor),
        model: ask.model.clone(),
        stream: ask.stream,
        prompt: head_of(&ask.text, PROMPT_BYTES_KEPT),
        prompt_digest: digest(&[&ask.text]),
        try_number: play.try_number,
        tool_rounds: ask.rounds.len(),
        brought: head_of(&ask.brought(), PROMPT_BYTES_KEPT),
        told: ask.told.clone(),
        tools: ask.offered.iter().map(|tool| tool.name.clone()).collect(),
        fault: hit.map(|fault| fault.to_string()),
        said: if refused.is_some() {
            String::new()
        } else {
            said(&play, &ask.model)
        },
        violations,
        ..entry(request)
    });
    let mut sender = Sender {
        state,
        connection,
        attempt,
    };
    let Some(message) = refused else {
        return sender.play(&ask, &play).await;
    };
    let refusal = sender
        .refuse(&Trouble::BadRequest { message }, vendor, &play.seed)
        .await;
    refusal.unwrap_or_else(|Gone| {
        state.finish(attempt, Finished::ClientGone);
        After::Close
    })
}

/// What the client hears, for people.
fn said(play: &Play, model: &str) -> String {
    if let Some(fault) = play.fault {
        let nothing = matches!(fault.kind, FaultKind::Hang | FaultKind::Garbage | FaultKind::ErrorIn200);
        if nothing || Trouble::of_fault(&fault, model).is_some() {
            return String::new();
        }
    }
    if play.calls.is_empty() {
        return head_of(&play.text(), SAID_BYTES_KEPT);
    }
    let names: Vec<&str> = play.calls.iter().map(|call| call.name.as_str()).collect();
    names.join(", ")
}

/// At most `bytes_max` bytes of the beginning, whole characters.
fn head_of(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    text[..end.unwrap_or(0)].to_owned()
}

/// Models that clients may want to see listed; any other name works as well.
const MODELS: [&str; 4] = ["claude-opus-5-5", "claude-haiku-4-5", "gpt-5.5", "fake-model"];
const GEMINI_MODELS: [&str; 2] = ["gemini-2.5-pro", "gemini-2.5-flash"];

fn models(request: &Request) -> Value {
    if request.path == "/v1beta/models" {
        let one = |name| {
            json!({"name": format!("models/{name}"), "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens"]})
        };
        return json!({"models": GEMINI_MODELS.map(one)});
    }
    if request.header("anthropic-version").is_some() {
        let one = |id| json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"});
        return json!({"data": MODELS.map(one), "has_more": false, "first_id": MODELS[0], "last_id": MODELS[3]});
    }
    let one = |id| json!({"id": id, "object": "model", "created": wire::CREATED_S, "owned_by": "fake"});
    json!({"object": "list", "data": MODELS.map(one)})
}
