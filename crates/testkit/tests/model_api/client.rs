//! A client that sees single bytes and how they end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use wheelhouse_testkit::model_api::ModelApi;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How the bytes of an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Whole,
    BrokenOff,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) ended: Ended,
    pub(crate) raw: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The data of each event.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = String::from_utf8(self.body.clone()).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let parsed = data.filter_map(|data| serde_json::from_str(data).ok());
        parsed.collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
}

impl Ask {
    pub(crate) fn send(&self, api: &ModelApi) -> TcpStream {
        let body = self.body.to_string();
        let mut head = format!("POST {} HTTP/1.1\r\nhost: fake\r\nconnection: close\r\n", self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        send(api, head.as_bytes())
    }

    pub(crate) fn answer(&self, api: &ModelApi) -> Answer {
        read(self.send(api))
    }
}

pub(crate) fn send(api: &ModelApi, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(api.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

pub(crate) fn read(mut stream: TcpStream) -> Answer {
    let mut raw = Vec::new();
    let broken = match stream.read_to_end(&mut raw) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&raw)),
    };
    let mut answer = parse(raw);
    if broken {
        answer.ended = Ended::Reset;
    }
    answer
}

pub(crate) fn parse(raw: Vec<u8>) -> Answer {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(raw[..end].to_vec()).unwrap().to_lowercase();
    let rest = &raw[end..];
    let (body, whole) = if head.contains("transfer-encoding: chunked") {
        dechunk(rest)
    } else {
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        (rest.to_vec(), rest.len() == length.parse::<usize>().unwrap())
    };
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body,
        ended: if whole { Ended::Whole } else { Ended::BrokenOff },
        raw,
    }
}

pub(crate) fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return (body, rest == b"\r\n");
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(rest);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

pub(crate) fn get(api: &ModelApi, method: &str, path: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: fake\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    read(send(api, request.as_bytes()))
}
