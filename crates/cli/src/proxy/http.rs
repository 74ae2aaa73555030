//! The proxy's requests: one connection each, over loopback, read to its end.
//!
//! HTTP/1.0 on purpose: the answer ends with its connection, so an event stream needs no decoder and a server that dies
//! is seen at once. A connection costs a tenth of a millisecond here.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use serde_json::{Value, json};

use super::message::Message;
use super::{Line, Session};

/// The longest line of an answer's head, in bytes.
const HEAD_LINE_MAX: u64 = 16 << 10;
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// The beginning of an answer.
struct Head {
    status: u16,
    kind: String,
    session: Option<String>,
}

type Opened = (Head, BufReader<TcpStream>);

/// Sends a request and reads the head of its answer.
async fn open(line: &Line, method: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<Opened> {
    let address = line.base.strip_prefix("http://").unwrap_or(&line.base);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut request = format!(
        "{method} {} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n",
        line.path,
        line.token,
        body.len()
    );
    for (name, value) in headers {
        let value: String = value.chars().filter(|letter| !letter.is_control()).collect();
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).await?;
    let mut head = Head {
        status: 0,
        kind: String::new(),
        session: None,
    };
    loop {
        let mut text = String::new();
        let read = (&mut stream).take(HEAD_LINE_MAX).read_line(&mut text).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = text.trim_end();
        if text.is_empty() {
            return Ok((head, stream));
        }
        if head.status == 0 {
            head.status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(500);
        } else if let Some((name, value)) = text.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-type" => head.kind = value.trim().to_owned(),
                "mcp-session-id" => head.session = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
}

fn headers<'a>(session: &'a Session, message: Option<&'a Message>, accept: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut headers = vec![("Accept", accept)];
    if let Some(id) = &session.id {
        headers.push(("Mcp-Session-Id", id));
    }
    let stateless = message.and_then(|message| message.version.as_deref());
    if let Some(version) = stateless.or(session.version.as_deref()) {
        headers.push(("MCP-Protocol-Version", version));
    }
    if let (Some(_), Some(message)) = (stateless, message) {
        if let Some(method) = &message.method {
            headers.push(("Mcp-Method", method));
        }
        if let Some(name) = &message.name {
            headers.push(("Mcp-Name", name));
        }
    }
    headers
}

/// Sends a message; what comes of it goes to the outbox. Gives the session that began. An error: send it again.
pub(super) async fn post(
    line: &Line,
    session: &Session,
    message: &Message,
    once: &str,
    outbox: &mpsc::Sender<String>,
) -> Result<Option<Session>, String> {
    let begins = message.method.as_deref() == Some("initialize");
    // A client that begins anew has no session yet.
    let none = Session::default();
    let session = if begins { &none } else { session };
    let mut headers = headers(session, Some(message), "application/json, text/event-stream");
    headers.push(("Idempotency-Key", once));
    let said = |error: std::io::Error| error.to_string();
    let (head, mut stream) = open(line, "POST", &headers, &message.text()).await.map_err(said)?;
    let answers = message.id.is_some() && message.method.is_some();
    let mut version = None;
    if head.status >= 400 {
        let mut text = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut text).await.map_err(said)?;
        // Ours knows the token: another project's server may have the port of one that died.
        if head.status == 401 {
            return Err(format!("what listens there answered 401: {}", text.trim()));
        }
        if answers {
            let _ = outbox.send(refusal(message, &head, &text)).await;
        }
    } else if head.kind.starts_with("text/event-stream") {
        let answered = events(&mut stream, outbox, message.id.as_ref(), &mut version)
            .await
            .map_err(said)?;
        if answers && !answered {
            return Err("it went away before it answered".to_owned());
        }
    } else {
        let mut text = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut text).await.map_err(said)?;
        if answers && text.trim().is_empty() {
            return Err("it went away before it answered".to_owned());
        }
        if !text.trim().is_empty() {
            let _ = outbox.send(format!("{}\n", text.trim())).await;
        }
    }
    Ok(head
        .session
        .filter(|_| begins)
        .map(|id| Session { id: Some(id), version }))
}

/// An HTTP failure as the answer to a request; what is JSON-RPC already stays what it is.
fn refusal(message: &Message, head: &Head, text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    if value.get("jsonrpc").is_some() {
        return format!("{value}\n");
    }
    let detail = value["detail"].as_str().unwrap_or(text.trim());
    let words = format!("the server answered {}: {detail}", head.status);
    let answer = json!({ "jsonrpc": "2.0", "id": message.id, "error": { "code": -32603, "message": words } });
    format!("{answer}\n")
}

/// Passes the messages of a stream on; says whether the answer to `id` was among them.
async fn events(
    stream: &mut BufReader<TcpStream>,
    outbox: &mpsc::Sender<String>,
    id: Option<&Value>,
    version: &mut Option<String>,
) -> std::io::Result<bool> {
    let mut data = String::new();
    let mut answered = false;
    loop {
        let mut text = String::new();
        if (&mut *stream).take(ANSWER_MAX).read_line(&mut text).await? == 0 {
            return Ok(answered);
        }
        if let Some(part) = text.strip_prefix("data:") {
            data.push_str(part.trim());
        } else if text.trim().is_empty() && !data.is_empty() {
            let message: Value = serde_json::from_str(&data).unwrap_or(Value::Null);
            answered |= message.get("method").is_none() && id.is_some() && message.get("id") == id;
            if let Some(agreed) = message["result"]["protocolVersion"].as_str() {
                *version = Some(agreed.to_owned());
            }
            let _ = outbox.send(format!("{data}\n")).await;
            data.clear();
            if answered {
                return Ok(true);
            }
        }
    }
}

/// Brings what the server says by itself, until the connection ends.
pub(super) async fn listen(line: &Line, session: &Session, outbox: &mpsc::Sender<String>) -> std::io::Result<()> {
    let (head, mut stream) = open(line, "GET", &headers(session, None, "text/event-stream"), "").await?;
    if head.status == 200 {
        events(&mut stream, outbox, None, &mut None).await?;
    }
    Ok(())
}

/// Says that the session is over.
pub(super) async fn end(line: &Line, session: &Session) -> std::io::Result<()> {
    open(line, "DELETE", &headers(session, None, "application/json"), "")
        .await
        .map(|_| ())
}
