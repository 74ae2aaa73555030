//! The fake's own paths, `/_/…`, for tests in other processes. They are not entered in the time line.

use serde_json::{Value, json};

use super::http::{self, Connection, Gone, Request, Sizing};
use super::play::After;
use super::script::Script;
use super::state::State;

/// Answers `/_/PATH`.
pub(crate) async fn answer(connection: &mut Connection, state: &State, request: &Request, path: &str) -> After {
    let (status, body) = obey(state, request, path);
    let body = body.to_string();
    let mut bytes = http::head(status, "application/json", &[], Sizing::Length(body.len()));
    bytes.extend_from_slice(body.as_bytes());
    match connection.write(&bytes).await {
        Ok(()) => After::KeepOpen,
        Err(Gone) => After::Close,
    }
}

fn obey(state: &State, request: &Request, path: &str) -> (u16, Value) {
    match (request.method.as_str(), path) {
        ("GET", "timeline") => (200, json!(state.attempts())),
        ("GET", "violations") => {
            let one = |(number, found)| json!({"attempt": number, "violation": found});
            (200, state.violations().into_iter().map(one).collect())
        }
        ("POST", "reset") => {
            state.reset();
            (200, json!({"reset": true}))
        }
        ("POST", "script") => {
            let script = std::str::from_utf8(&request.body)
                .map_err(|error| error.to_string())
                .and_then(|text| Script::parse(text).map_err(|error| error.to_string()));
            match script {
                Ok(script) => {
                    let rules = script.rules.len();
                    state.set_script(script);
                    (200, json!({"rules": rules}))
                }
                Err(error) => (400, json!({"error": error})),
            }
        }
        ("POST", other) if other.starts_with("release/") => {
            let gate = other.trim_start_matches("release/");
            state.release(gate);
            (200, json!({"released": gate}))
        }
        (_, "timeline" | "violations" | "reset" | "script") => (405, json!({"error": "wrong method"})),
        _ => {
            let known = "GET timeline, GET violations, POST reset, POST script, POST release/GATE";
            (
                404,
                json!({"error": format!("no such path under /_/; there are {known}")}),
            )
        }
    }
}
