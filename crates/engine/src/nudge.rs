//! Hints between the engine and the commands that change the store beside it: "look again", both ways.
//!
//! A Unix socket in the state directory. A byte sent to the engine makes it look at the store at once; a byte from
//! the engine tells a follower that there is news. Nothing is said over it that is not in the store, so a lost hint
//! costs time, never truth.

use std::io::Write;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

/// How many followers an engine serves at a time; a further one is turned away and polls.
pub const FOLLOWERS_MAX: usize = 64;

fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("engine.sock")
}

/// The path to bind or connect, short enough for `sockaddr_un` (108 bytes) however deep the directory lies: a long
/// one is reached through the descriptor of its directory.
struct Reach {
    path: PathBuf,
    // Keeps `/proc/self/fd/N` valid while the path is in use.
    _directory: Option<std::fs::File>,
}

fn reach(state_dir: &Path) -> std::io::Result<Reach> {
    use std::os::fd::AsRawFd;
    let path = socket(state_dir);
    if path.as_os_str().len() < 100 {
        return Ok(Reach { path, _directory: None });
    }
    let directory = std::fs::File::open(state_dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/engine.sock", directory.as_raw_fd()));
    Ok(Reach {
        path,
        _directory: Some(directory),
    })
}

/// Tells a running engine that the store changed. False when none listens.
pub fn notify(state_dir: &Path) -> bool {
    let Ok(reach) = reach(state_dir) else { return false };
    let Ok(mut stream) = BlockingStream::connect(&reach.path) else {
        return false;
    };
    let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
    stream.write_all(b"n").is_ok()
}

/// Takes the place of a socket that a dead engine left. Only the holder of the lock may.
pub(crate) fn listen(state_dir: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(socket(state_dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(reach(state_dir)?.path)
}

/// A follower's ear.
#[derive(Debug)]
pub struct Subscription {
    stream: UnixStream,
}

/// Follows the engine of that state directory; none when no engine listens.
pub async fn subscribe(state_dir: &Path) -> Option<Subscription> {
    let reach = reach(state_dir).ok()?;
    let stream = UnixStream::connect(&reach.path).await.ok()?;
    Some(Subscription { stream })
}

impl Subscription {
    /// Waits for news. Several pieces may come as one. False when the engine is gone.
    pub async fn changed(&mut self) -> bool {
        let mut hints = [0; 64];
        matches!(self.stream.read(&mut hints).await, Ok(1..))
    }
}
