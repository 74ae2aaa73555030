//! What engine, keeper and warden say to each other, as bytes. No IO.
//!
//! A request goes from the engine to the keeper: a header of eight bytes, then length-prefixed byte strings (paths
//! and arguments need not be UTF-8, which is why this is not JSON). Records of sixteen bytes come back from the
//! warden; orders of one byte go to it. Both ends are always the same build of the same binary, or the magic differs.

use super::REQUEST_BYTES_MAX;

/// Begins every request; counted up when the layout changes.
const MAGIC: u32 = u32::from_le_bytes(*b"WHK1");

/// The bytes before the body of a request.
pub(super) const HEADER_BYTES: usize = 8;

/// Every record of a warden has this size.
pub(super) const RECORD_BYTES: usize = 16;

/// The order to end the tree with grace.
pub(super) const ORDER_STOP: u8 = b'S';
/// The order to kill the tree.
pub(super) const ORDER_KILL: u8 = b'K';

/// One agent to be started. The descriptors (stdin, stdout, stderr, control) travel beside it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Request {
    /// Between TERM and KILL.
    pub(super) grace_ms: u64,
    /// The soft limit of open files that the agent gets; zero leaves it.
    pub(super) open_files: u64,
    /// Where the agent works.
    pub(super) cwd: Vec<u8>,
    /// Program and arguments.
    pub(super) argv: Vec<Vec<u8>>,
    /// The whole environment as `NAME=value`.
    pub(super) env: Vec<Vec<u8>>,
}

impl Request {
    /// Header and body; none when it is larger than [`REQUEST_BYTES_MAX`].
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        body.extend(self.grace_ms.to_le_bytes());
        body.extend(self.open_files.to_le_bytes());
        put_bytes(&mut body, &self.cwd)?;
        put_list(&mut body, &self.argv)?;
        put_list(&mut body, &self.env)?;
        if body.len() > REQUEST_BYTES_MAX {
            return None;
        }
        let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
        frame.extend(MAGIC.to_le_bytes());
        frame.extend(u32::try_from(body.len()).ok()?.to_le_bytes());
        frame.append(&mut body);
        Some(frame)
    }

    /// The length of the body that follows this header; none when it is not one of ours.
    pub(super) fn body_bytes(header: [u8; HEADER_BYTES]) -> Option<usize> {
        let mut rest = &header[..];
        if take_u32(&mut rest)? != MAGIC {
            return None;
        }
        let length = take_u32(&mut rest)? as usize;
        (length <= REQUEST_BYTES_MAX).then_some(length)
    }

    /// Reads a body; none when it is not one of ours.
    pub(super) fn decode(mut body: &[u8]) -> Option<Request> {
        let rest = &mut body;
        let request = Request {
            grace_ms: take_u64(rest)?,
            open_files: take_u64(rest)?,
            cwd: take_bytes(rest)?,
            argv: take_list(rest)?,
            env: take_list(rest)?,
        };
        rest.is_empty().then_some(request)
    }
}

/// At which step the start of an agent failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Making a process.
    Fork,
    /// Its signals, descriptors and limits.
    Prepare,
    /// Going to its directory.
    Directory,
    /// Becoming the program.
    Exec,
}

const STAGES: [Stage; 4] = [Stage::Fork, Stage::Prepare, Stage::Directory, Stage::Exec];

/// A step of the start that failed, with the system's error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub(super) stage: Stage,
    pub(super) errno: i32,
}

impl Failed {
    /// As the agent's process says it to its warden.
    pub(super) fn encode(self) -> [u8; RECORD_BYTES] {
        Record::NotStarted(self).encode()
    }
}

/// What a warden reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// The warden lives; nothing has been started yet.
    Kept { pid: i32, start_ticks: u64 },
    /// The agent runs.
    Started { pid: i32, start_ticks: u64 },
    /// The agent could not be started. The last record.
    NotStarted(Failed),
    /// The main process exited. `asked`: the warden was already ending the tree.
    Exited { code: i32, asked: bool },
    /// The main process was ended by a signal.
    Signalled { signal: i32, asked: bool },
    /// The tree is gone but for `left` processes that would not die. The last record.
    Gone { left: u64 },
}

impl Record {
    pub(super) fn encode(self) -> [u8; RECORD_BYTES] {
        let (kind, first, second): (u32, i32, u64) = match self {
            Record::Kept { pid, start_ticks } => (1, pid, start_ticks),
            Record::Started { pid, start_ticks } => (2, pid, start_ticks),
            Record::NotStarted(Failed { stage, errno }) => (3, errno, stage as u64),
            Record::Exited { code, asked } => (4, code, u64::from(asked)),
            Record::Signalled { signal, asked } => (5, signal, u64::from(asked)),
            Record::Gone { left } => (6, 0, left),
        };
        let mut bytes = [0; RECORD_BYTES];
        bytes[0..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&second.to_le_bytes());
        bytes
    }

    /// None when it is not one of ours.
    pub(super) fn decode(bytes: [u8; RECORD_BYTES]) -> Option<Record> {
        let mut rest = &bytes[..];
        let kind = take_u32(&mut rest)?;
        let first = take_u32(&mut rest)?.cast_signed();
        let second = take_u64(&mut rest)?;
        Some(match kind {
            1 => Record::Kept {
                pid: first,
                start_ticks: second,
            },
            2 => Record::Started {
                pid: first,
                start_ticks: second,
            },
            3 => Record::NotStarted(Failed {
                stage: *STAGES.get(usize::try_from(second).ok()?)?,
                errno: first,
            }),
            4 => Record::Exited {
                code: first,
                asked: second != 0,
            },
            5 => Record::Signalled {
                signal: first,
                asked: second != 0,
            },
            6 => Record::Gone { left: second },
            _ => return None,
        })
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    to.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
    to.extend(bytes);
    Some(())
}

fn put_list(to: &mut Vec<u8>, list: &[Vec<u8>]) -> Option<()> {
    to.extend(u32::try_from(list.len()).ok()?.to_le_bytes());
    list.iter().try_for_each(|bytes| put_bytes(to, bytes))
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn take_u32(from: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(from, 4)?.try_into().ok()?))
}

fn take_u64(from: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(from, 8)?.try_into().ok()?))
}

fn take_bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = take_u32(from)? as usize;
    Some(take(from, length)?.to_vec())
}

fn take_list(from: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = take_u32(from)?;
    (0..count).map(|_| take_bytes(from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_way() {
        let request = Request {
            grace_ms: 5_000,
            open_files: 1024,
            cwd: b"/tmp/\xff odd".to_vec(),
            argv: vec![b"sh".to_vec(), b"-c".to_vec(), b"".to_vec(), vec![0xfe; 70_000]],
            env: vec![b"A=1".to_vec()],
        };
        let frame = request.encode().unwrap();
        let header = frame[..HEADER_BYTES].try_into().unwrap();
        assert_eq!(Request::body_bytes(header), Some(frame.len() - HEADER_BYTES));
        assert_eq!(Request::decode(&frame[HEADER_BYTES..]), Some(request));
    }

    #[test]
    fn damaged_requests_are_refused() {
        let request = Request {
            argv: vec![b"sh".to_vec()],
            ..Request::default()
        };
        let frame = request.encode().unwrap();
        let body = &frame[HEADER_BYTES..];
        for cut in 0..body.len() {
            assert_eq!(Request::decode(&body[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Request::decode(&[body, b"x"].concat()), None);
        assert_eq!(Request::body_bytes(*b"WHK0\0\0\0\0"), None);
        let too_big = Request {
            argv: vec![vec![b'a'; REQUEST_BYTES_MAX]],
            ..Request::default()
        };
        assert_eq!(too_big.encode(), None);
    }

    #[test]
    fn records_survive_the_way() {
        let mut records = vec![
            Record::Kept {
                pid: i32::MAX,
                start_ticks: u64::MAX,
            },
            Record::Started { pid: 7, start_ticks: 8 },
            Record::Exited {
                code: 255,
                asked: false,
            },
            Record::Signalled { signal: 9, asked: true },
            Record::Gone { left: 3 },
        ];
        for stage in STAGES {
            records.push(Record::NotStarted(Failed { stage, errno: 2 }));
        }
        for record in records {
            assert_eq!(Record::decode(record.encode()), Some(record));
        }
        assert_eq!(Record::decode([9; RECORD_BYTES]), None);
    }
}
