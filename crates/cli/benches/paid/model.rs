//! A model on loopback that answers at once: OpenAI's chat format, in one piece or as a stream. Threads, no runtime, so
//! that it takes as little as it can of what is measured.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use wheelhouse_testkit::model_api;

/// What happened at a model whose name is said: a request was read, an answer was written.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) model: String,
    pub(crate) read: Instant,
    pub(crate) answered: Instant,
}

/// The model; it lives as long as the benchmark.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

/// Models of this name have broken down.
pub(crate) const BROKEN: &str = "model-broken";

impl Model {
    /// `notes`: whether each request is kept in `seen`.
    pub(crate) fn start(notes: bool) -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let model = Model {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&model.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || drop(serve(&stream, notes.then_some(&seen))));
            }
        });
        model
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}

fn serve(stream: &TcpStream, seen: Option<&Arc<Mutex<Vec<Seen>>>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let Some(body) = model_api::request_body(&mut reader)? else {
            return Ok(());
        };
        let read = Instant::now();
        let body = String::from_utf8_lossy(&body);
        let answer = answer(&body);
        let mut stream = stream;
        stream.write_all(&answer)?;
        if let Some(seen) = seen {
            let name = body.split_once("\"model\"").map_or("", |(_, rest)| rest);
            let model = name.split('"').nth(1).unwrap_or_default().to_owned();
            let answered = Instant::now();
            seen.lock().unwrap().push(Seen { model, read, answered });
        }
    }
}

fn answer(body: &str) -> Vec<u8> {
    const USAGE: &str = r#""usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105}"#;
    let head = r#""id":"c1","created":1700000000,"model":"model-1""#;
    let (status, kind, text) = if body.contains(BROKEN) {
        let text = r#"{"error":{"message":"broken","type":"server_error"}}"#.to_owned();
        ("500 Internal Server Error", "application/json", text)
    } else if body.contains("\"stream\":true") || body.contains("\"stream\": true") {
        let chunk = |choices: &str, more: &str| {
            format!("data: {{{head},\"object\":\"chat.completion.chunk\",\"choices\":[{choices}]{more}}}\n\n")
        };
        let text = [
            chunk(
                r#"{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}"#,
                "",
            ),
            chunk(r#"{"index":0,"delta":{"content":" there."},"finish_reason":null}"#, ""),
            chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, ""),
            chunk("", &format!(",{USAGE}")),
            "data: [DONE]\n\n".to_owned(),
        ];
        ("200 OK", "text/event-stream", text.concat())
    } else {
        let choice = r#"{"index":0,"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}"#;
        let text = format!("{{{head},\"object\":\"chat.completion\",\"choices\":[{choice}],{USAGE}}}");
        ("200 OK", "application/json", text)
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}
