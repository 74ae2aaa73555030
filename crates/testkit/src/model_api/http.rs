//! HTTP/1.1 on one connection, written by hand because faults are made of single bytes: a reader of requests with
//! limits, and a writer that can stop, break off or reset wherever it is told to.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest request line and headers.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest body of a request.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// More headers than this are refused.
pub const HEADERS_MAX: usize = 100;
/// A connection on which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_secs(600);
/// What a client may send while its answer is still being written.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// A client that takes no byte for so long has gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(120);

/// A request, whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Method and path for people; a key in the query is not repeated.
    pub(crate) fn line(&self) -> String {
        let shown: Vec<&str> = self
            .query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("key="))
            .collect();
        let mark = if shown.is_empty() { "" } else { "?" };
        format!("{} {}{mark}{}", self.method, self.path, shown.join("&"))
    }
}

/// Why no request could be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The client closed, or the connection broke.
    Gone,
    /// Not HTTP, or past a limit: answer with this status and close. What was understood comes along.
    Refuse {
        status: u16,
        why: String,
        request: Box<Request>,
    },
}

/// One accepted connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that were read and not used yet.
    ahead: Vec<u8>,
}

/// The client closed the connection.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<io::Error> for Unread {
    fn from(_: io::Error) -> Unread {
        Unread::Gone
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Reads until a request is whole.
    pub(crate) async fn request(&mut self) -> Result<Request, Unread> {
        let Head { mut request, framing } = loop {
            if let Some((head, used)) = parse_head(&self.ahead)? {
                self.ahead.drain(..used);
                break head;
            }
            self.read_more().await?;
        };
        if request
            .header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match framing {
            Framing::Length(bytes) => self.sized_body(bytes).await,
            Framing::Chunked => self.chunked_body().await,
        };
        match body {
            Ok(body) => request.body = body,
            Err(Unread::Refuse { status, why, .. }) => {
                let request = Box::new(request);
                return Err(Unread::Refuse { status, why, request });
            }
            Err(Unread::Gone) => return Err(Unread::Gone),
        }
        Ok(request)
    }

    async fn read_more(&mut self) -> Result<(), Unread> {
        let read = tokio::time::timeout(IDLE, self.stream.read_buf(&mut self.ahead)).await;
        match read {
            Ok(Ok(1..)) => Ok(()),
            Ok(Ok(0) | Err(_)) | Err(_) => Err(Unread::Gone),
        }
    }

    async fn sized_body(&mut self, bytes: usize) -> Result<Vec<u8>, Unread> {
        if bytes > BODY_BYTES_MAX {
            return Err(too_large());
        }
        while self.ahead.len() < bytes {
            self.read_more().await?;
        }
        let rest = self.ahead.split_off(bytes);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    async fn chunked_body(&mut self) -> Result<Vec<u8>, Unread> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(digits, 16) else {
                return Err(refuse(400, "a chunk has no size"));
            };
            if body.len().saturating_add(size) > BODY_BYTES_MAX {
                return Err(too_large());
            }
            if size == 0 {
                // Trailers, then an empty line.
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.sized_body(size).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> Result<String, Unread> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 2);
                return Ok(line);
            }
            if self.ahead.len() > HEAD_BYTES_MAX {
                return Err(refuse(400, "a line of a chunked body is too long"));
            }
            self.read_more().await?;
        }
    }

    /// Writes bytes, noticing a client that has gone.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        match tokio::time::timeout(WRITE_PATIENCE, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Ends when the client has closed; keeps what it sends meanwhile.
    pub(crate) async fn gone(&mut self) {
        while self.ahead.len() < AHEAD_BYTES_MAX {
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Whether the client has already closed, asked without waiting.
    pub(crate) fn is_gone(&mut self) -> bool {
        match self.stream.try_read_buf(&mut self.ahead) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Closes in order, after what was written has been sent.
    pub(crate) async fn close(mut self) {
        // The client may be gone already; then there is nothing to close.
        let _ = self.stream.shutdown().await;
    }

    /// Resets the connection: the client sees an error, not an end.
    pub(crate) fn reset(self) {
        // Without the option the connection is closed in order, which the client notices as well.
        let _ = self.stream.set_zero_linger();
    }
}

/// A request whose body is still to come.
struct Head {
    request: Request,
    framing: Framing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

/// Parses the head once it is whole, and says how many bytes it had.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Unread> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => {
            return Err(refuse(431, "the head of the request is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(refuse(431, "too many headers")),
        Err(error) => return Err(refuse(400, &format!("not HTTP: {error}"))),
    };
    if used > HEAD_BYTES_MAX {
        return Err(refuse(431, "the head of the request is too long"));
    }
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: parsed
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).trim().to_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect(),
        body: Vec::new(),
    };
    let chunked = request
        .header("transfer-encoding")
        .is_some_and(|coding| coding.contains("chunked"));
    let framing = match request.header("content-length").map(str::parse) {
        _ if chunked => Framing::Chunked,
        Some(Ok(bytes)) => Framing::Length(bytes),
        Some(Err(_)) => return Err(refuse(400, "content-length is no number")),
        None => Framing::Length(0),
    };
    let coding = request.header("content-encoding").unwrap_or("identity");
    if coding != "identity" {
        let why = format!("content-encoding `{coding}` is not read here");
        let request = Box::new(request);
        return Err(Unread::Refuse {
            status: 415,
            why,
            request,
        });
    }
    Ok(Some((Head { request, framing }, used)))
}

fn refuse(status: u16, why: &str) -> Unread {
    Unread::Refuse {
        status,
        why: why.to_owned(),
        request: Box::default(),
    }
}

fn too_large() -> Unread {
    refuse(413, &format!("the body has more than {BODY_BYTES_MAX} bytes"))
}

/// The body of a request that says how long it is, for tests whose server says what this one never would; none at the end of
/// the connection.
pub fn request_body(reader: &mut impl io::BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

/// How the body of an answer is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sizing {
    Length(usize),
    Chunked,
}

/// Status line and headers.
pub(crate) fn head(status: u16, content_type: &str, headers: &[(&'static str, String)], sizing: Sizing) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\n",
        reason(status)
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match sizing {
        Sizing::Length(bytes) => head.push_str(&format!("content-length: {bytes}\r\n")),
        Sizing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Bytes as one chunk of a chunked body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        529 => "Overloaded",
        _ => "Unnamed",
    }
}
