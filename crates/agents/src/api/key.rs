//! Keys: where they come from, and how they stay out of everything that is written down.
//!
//! A key is read when a request needs it and kept in a type that prints as `[REDACTED]`. What a server says is searched
//! for it before it reaches a message or a log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::keep::{self, Command, Keeper, Status, Stdin, Stream};
use crate::output::Clipped;

/// How long a helper has to print a key.
const HELPER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a helper's key is used before the helper is asked again.
const HELPER_FRESH: Duration = Duration::from_secs(5 * 60);
/// The longest key, in bytes; some are signed tokens.
const KEY_BYTES_MAX: u64 = 16 << 10;
/// A key shorter than this is not searched for in texts: it would hide ordinary words.
const REDACT_BYTES_MIN: usize = 8;
/// What stands in place of a key.
const REDACTED: &str = "[key]";

/// A key. It has no `Display`, and `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Key(SecretString);

impl Key {
    /// The key in this text, without the white space around it; none when nothing is left or it cannot be sent.
    pub fn new(text: &str) -> Option<Key> {
        let text = text.trim();
        let sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        sendable.then(|| Key(SecretString::from(text)))
    }

    /// The header with the key after `prefix`, marked so that no HTTP code prints it.
    pub(crate) fn header(&self, prefix: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The text without the key.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let key = self.0.expose_secret();
        if key.len() < REDACT_BYTES_MIN || !text.contains(key) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.replace(key, REDACTED))
    }
}

/// Where a key comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// There is none: a server on this machine, mostly.
    None,
    /// An environment variable, with what it held when the program began.
    Env {
        /// Its name.
        name: String,
        /// Its value.
        key: Option<Key>,
    },
    /// A file that its owner alone may read. Read for each request, so that a new key is used at once.
    File(PathBuf),
    /// A command that prints it.
    Helper(Helper),
}

/// A command that prints a key, and what it printed last.
#[derive(Clone)]
pub struct Helper {
    keeper: Arc<Keeper>,
    command: String,
    cwd: PathBuf,
    last: Arc<Mutex<Option<(Instant, Key)>>>,
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl Helper {
    /// The command, to be run with `sh -c` in that directory under this keeper.
    pub fn new(keeper: Arc<Keeper>, command: String, cwd: PathBuf) -> Helper {
        Helper {
            keeper,
            command,
            cwd,
            last: Arc::default(),
        }
    }

    fn known(&self) -> Option<Key> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, key) = last.as_ref()?;
        (at.elapsed() < HELPER_FRESH).then(|| key.clone())
    }

    async fn ask(&self, env: BTreeMap<String, String>) -> Result<Key, NoKey> {
        let failed = |why: String| NoKey(format!("the key helper `{}` {why}", self.command));
        let grace = Duration::from_secs(1);
        let argv = ["/bin/sh", "-c", self.command.as_str()].map(OsString::from);
        let kept = self
            .keeper
            .spawn(Command {
                argv: argv.to_vec(),
                env,
                cwd: self.cwd.clone(),
                stdin: Stdin::Null,
                grace,
            })
            .await
            .map_err(|error| failed(format!("could not be started: {error}")))?;
        let mut output = Clipped::new(KEY_BYTES_MAX);
        let followed = keep::follow(kept, Box::new(crate::probe::NoOrders), grace, |stream, bytes| {
            if stream == Stream::Output {
                output.push(bytes);
            }
        });
        let followed = tokio::time::timeout(HELPER_DEADLINE, followed)
            .await
            .map_err(|_| failed(format!("printed no key within {HELPER_DEADLINE:?}")))?;
        match followed.end.map(|end| end.status) {
            Some(Status::Exited(0)) => {}
            Some(Status::Exited(code)) => return Err(failed(format!("ended with exit {code}"))),
            Some(Status::Signalled(_)) | None => return Err(failed("was killed".to_owned())),
        }
        let printed = output.finish().bytes;
        let printed = String::from_utf8_lossy(&printed);
        let key = Key::new(printed.lines().next().unwrap_or_default())
            .ok_or_else(|| failed("printed nothing that could be a key in its first line".to_owned()))?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), key.clone()));
        Ok(key)
    }
}

/// There is no key, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoKey(String);

impl Source {
    /// The key; none where none is needed. `env` is what a helper gets.
    pub(crate) async fn read(&self, env: BTreeMap<String, String>) -> Result<Option<Key>, NoKey> {
        match self {
            Source::None => Ok(None),
            Source::Env { name, key } => match key {
                Some(key) => Ok(Some(key.clone())),
                None => Err(NoKey(format!(
                    "there is no key in the environment variable {name}; `export {name}=…` before the engine \
                     starts, or name a `key_file` or `key_command` for this agent"
                ))),
            },
            Source::File(path) => from_file(path).map(Some),
            Source::Helper(helper) => match helper.known() {
                Some(key) => Ok(Some(key)),
                None => helper.ask(env).await.map(Some),
            },
        }
    }

    /// The key was refused: a helper is asked anew next time.
    pub(crate) fn forget(&self) {
        if let Source::Helper(helper) = self {
            *helper.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Where the key is from, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Source::None => "no key is set for this agent".to_owned(),
            Source::Env { name, .. } => format!("the key is the one in {name}"),
            Source::File(path) => format!("the key is the one in {}", path.display()),
            Source::Helper(helper) => format!("the key is the one that `{}` prints", helper.command),
        }
    }
}

fn from_file(path: &Path) -> Result<Key, NoKey> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        NoKey(format!(
            "the key file {shown} cannot be read: {error}; put the key there and `chmod 600 {shown}`"
        ))
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(NoKey(format!(
            "others may read the key file {shown} (mode {mode:03o}), so it is not used; `chmod 600 {shown}`"
        )));
    }
    if metadata.len() > KEY_BYTES_MAX {
        return Err(NoKey(format!(
            "the key file {shown} has {} bytes; a key has {KEY_BYTES_MAX} at the most",
            metadata.len()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Key::new(&text).ok_or_else(|| NoKey(format!("the key file {shown} holds no key: one line, nothing else")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_in_no_debug_and_is_taken_out_of_texts() {
        let key = Key::new(" sk-live-0123456789\n").unwrap();
        let source = Source::Env {
            name: "X".to_owned(),
            key: Some(key.clone()),
        };
        assert!(!format!("{source:?} {key:?}").contains("0123456789"));
        assert_eq!(key.redact("bad key sk-live-0123456789!"), "bad key [key]!");
        let header = key.header("Bearer ").unwrap();
        assert!(!format!("{header:?}").contains("0123456789"));
        assert_eq!(header.as_bytes(), b"Bearer sk-live-0123456789");
    }

    #[test]
    fn what_cannot_be_sent_is_no_key() {
        for text in ["", " \n", "a b", "a\r\nx-evil: 1", "schlüssel"] {
            assert!(Key::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "sk-0123456789\n").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = from_file(&path);
            assert_eq!(read.is_ok(), fine, "{mode:o}");
            if let Err(NoKey(words)) = read {
                assert!(words.contains("chmod 600"), "{words}");
            }
        }
        assert!(from_file(&directory.path().join("absent")).is_err());
    }
}
