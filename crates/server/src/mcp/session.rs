//! Sessions of clients up to 2025-11-25, kept in small files so that a restart of the server is not their business.
//!
//! All a session is, is what its client said of itself. An id that nobody knows is taken up with a client that can do
//! nothing special: better than a client that is told to go away until a person restarts it. One that its client has ended
//! stays over.

use std::fs;
use std::path::{Path, PathBuf};

use rmcp::model::{ClientCapabilities, Implementation, InitializeRequestParams, ProtocolVersion};
use rmcp::transport::streamable_http_server::session::{SessionState, SessionStore, SessionStoreError};

/// The directory, within the state directory.
const DIRECTORY: &str = "sessions";
/// How many sessions are remembered; the oldest are forgotten, and then taken up as strangers.
const SESSIONS_MAX: usize = 1_000;
/// How long an id may be. Ours have 36 letters.
const ID_MAX: usize = 64;

/// The files.
pub(crate) struct Sessions(PathBuf);

impl Sessions {
    /// The sessions of a state directory.
    pub(crate) fn new(state_dir: &Path) -> Sessions {
        Sessions(state_dir.join(DIRECTORY))
    }

    /// The file of a session; none for what is no id of ours and might be a path.
    fn file(&self, id: &str) -> Option<PathBuf> {
        let is_ours = !id.is_empty()
            && id.len() <= ID_MAX
            && id
                .bytes()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
        is_ours.then(|| self.0.join(format!("{id}.json")))
    }

    /// The file that says that the session of this file is over.
    fn over(file: &Path) -> PathBuf {
        file.with_extension("over")
    }

    fn forget_oldest(&self) -> std::io::Result<()> {
        let mut files: Vec<_> = fs::read_dir(&self.0)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        if files.len() <= SESSIONS_MAX {
            return Ok(());
        }
        files.sort();
        let more = files.len() - SESSIONS_MAX;
        for (_, path) in files.into_iter().take(more) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn stranger() -> SessionState {
    let nobody = Implementation::new("unknown", "0");
    let params = InitializeRequestParams::new(ClientCapabilities::default(), nobody)
        .with_protocol_version(ProtocolVersion::V_2025_06_18);
    SessionState::new(params)
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    async fn load(&self, session_id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let Some(path) = self.file(session_id) else {
            return Ok(None);
        };
        if Sessions::over(&path).exists() {
            return Ok(None);
        }
        let known = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Some(known.unwrap_or_else(stranger)))
    }

    async fn store(&self, session_id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let Some(path) = self.file(session_id) else {
            return Ok(());
        };
        fs::create_dir_all(&self.0)?;
        let half = path.with_extension("part");
        fs::write(&half, serde_json::to_vec(state)?)?;
        fs::rename(&half, &path)?;
        self.forget_oldest()?;
        Ok(())
    }

    async fn delete(&self, session_id: &str) -> Result<(), SessionStoreError> {
        let Some(path) = self.file(session_id) else {
            return Ok(());
        };
        fs::create_dir_all(&self.0)?;
        fs::write(Sessions::over(&path), "")?;
        let _ = fs::remove_file(path);
        self.forget_oldest()?;
        Ok(())
    }
}
