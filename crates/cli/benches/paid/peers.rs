//! Gateways of other people, started for the time of a measurement.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a gateway may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the plain client says, whoever is asked.
pub(crate) fn body() -> String {
    let words = "Summarise what the parser of this project does and where it is tested. ".repeat(5);
    format!(
        r#"{{"model":"model-1","stream":true,"stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":"{words}"}}]}}"#
    )
}

/// A client that does nothing but write a request and read its answer to the end.
pub(crate) struct Plain {
    reader: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Plain {
    pub(crate) fn new(port: u16, headers: &str) -> Option<Plain> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let body = body();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
             authorization: Bearer sk-bench\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Some(Plain {
            reader: BufReader::new(stream),
            request: request.into_bytes(),
        })
    }

    /// One call; none when it was no answer.
    pub(crate) fn call(&mut self) -> Option<Duration> {
        let begun = Instant::now();
        self.reader.get_mut().write_all(&self.request).ok()?;
        let mut status = String::new();
        self.reader.read_line(&mut status).ok()?;
        let mut length = None;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).ok()? <= 2 {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        match length {
            Some(length) => {
                let mut body = vec![0; length];
                self.reader.read_exact(&mut body).ok()?;
            }
            None => loop {
                let mut size = String::new();
                self.reader.read_line(&mut size).ok()?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                self.reader.read_exact(&mut chunk).ok()?;
                if size == 0 {
                    break;
                }
            },
        }
        status.contains(" 200 ").then(|| begun.elapsed())
    }
}

/// A gateway under way.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// What it must be told with each request.
    pub(crate) headers: String,
    child: Child,
    _home: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Those that are named, once they answer.
pub(crate) fn all(upstream: &str) -> Vec<Peer> {
    [litellm(upstream), portkey(upstream)].into_iter().flatten().collect()
}

fn litellm(upstream: &str) -> Option<Peer> {
    let program = std::env::var("WHEELHOUSE_BENCH_LITELLM").ok()?;
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.yaml");
    std::fs::write(
        &config,
        format!(
            "model_list:\n  - model_name: model-1\n    litellm_params: {{model: openai/model-1, api_base: \"{upstream}\", api_key: sk-bench}}\n\
             litellm_settings: {{telemetry: false}}\n"
        ),
    )
    .unwrap();
    let port = free_port();
    let mut command = Command::new(program);
    command
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--config"])
        .arg(&config);
    up("LiteLLM", port, String::new(), command, home)
}

fn portkey(upstream: &str) -> Option<Peer> {
    let script = std::env::var("WHEELHOUSE_BENCH_PORTKEY").ok()?;
    let port = free_port();
    let mut command = Command::new("node");
    command.arg(script).args([&format!("--port={port}"), "--headless"]);
    let headers = format!("x-portkey-provider: openai\r\nx-portkey-custom-host: {upstream}\r\n");
    up("Portkey", port, headers, command, tempfile::tempdir().unwrap())
}

fn up(name: &'static str, port: u16, headers: String, mut command: Command, home: tempfile::TempDir) -> Option<Peer> {
    let said = std::fs::File::create(home.path().join("said")).unwrap();
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        // Loopback alone is asked, and nothing is fetched; a proxy without keys of its own is what is compared.
        .env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true")
        .env("LITELLM_LOG", "ERROR")
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said);
    let peer = Peer {
        name,
        port,
        headers,
        child: command.spawn().ok()?,
        _home: home,
    };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if Plain::new(port, &peer.headers).is_some_and(|mut client| client.call().is_some()) {
            return Some(peer);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = std::fs::read_to_string(peer._home.path().join("said")).unwrap_or_default();
    println!("{name} does not answer: {}", said.lines().last().unwrap_or_default());
    None
}
