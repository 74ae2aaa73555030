//! Tokens: who may do what over HTTP.
//!
//! One secret of 256 bits lies in the state directory, readable by its owner alone. It is the admin token; the tokens of
//! the narrower scopes are derived from it, so there is nothing else to keep, and a new secret voids them all.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// The file, within the state directory.
pub const FILE: &str = "token";
/// How much chance a secret holds, in bytes.
const SECRET_BYTES: usize = 32;
/// What every token begins with, so that it is recognised where it should not be.
const PREFIX: &str = "whl";
/// Names what the derived tokens are for; never changes.
const DERIVATION: &str = "wheelhouse 2026-11-27 scoped token";

/// What a caller may do. Each scope may do what the narrower ones may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// Look.
    Read,
    /// Start, stop, answer, steer.
    Operate,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them, narrowest first.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Operate, Scope::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Operate => "operate",
            Scope::Admin => "admin",
        }
    }
}

/// The secret that all tokens come from. Says nothing of itself.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or made.
    #[error("cannot use the token file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds no token.
    #[error("{} holds no token; remove it, and the next start makes a new one", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// The secret of a state directory; made when there is none.
    pub fn open(state_dir: &Path) -> Result<Secret, Error> {
        match Secret::read(state_dir)? {
            Some(secret) => Ok(secret),
            None => match Secret::make(state_dir) {
                // Somebody was faster.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    let path = state_dir.join(FILE);
                    Secret::read(state_dir)?.ok_or(Error::Unreadable { path })
                }
                made => made,
            },
        }
    }

    /// The secret of a state directory, if there is one.
    pub fn read(state_dir: &Path) -> Result<Option<Secret>, Error> {
        let path = state_dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Secret::parse(text.trim()).map(Some).ok_or(Error::Unreadable { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Makes a new secret; tokens of the one before are void from the server's next start on.
    pub fn renew(state_dir: &Path) -> Result<Secret, Error> {
        let path = state_dir.join(FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { path, source }),
            Ok(()) | Err(_) => Secret::make(state_dir),
        }
    }

    fn make(state_dir: &Path) -> Result<Secret, Error> {
        let path = state_dir.join(FILE);
        let made = (|| {
            let mut bytes = [0; SECRET_BYTES];
            fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            let secret = Secret(bytes);
            let beside = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            writeln!(file, "{}", secret.token(Scope::Admin))?;
            file.sync_all()?;
            // A link and not a rename: whoever comes second must not void what the first has handed out.
            let linked = fs::hard_link(&beside, &path);
            fs::remove_file(&beside)?;
            linked.map(|()| secret)
        })();
        made.map_err(|source| Error::Io { path, source })
    }

    fn parse(text: &str) -> Option<Secret> {
        let digits = text.strip_prefix(PREFIX)?.strip_prefix("_admin_")?;
        let hash = blake3::Hash::from_hex(digits).ok()?;
        Some(Secret(*hash.as_bytes()))
    }

    /// The token of that scope.
    pub fn token(&self, scope: Scope) -> String {
        let bytes = match scope {
            Scope::Admin => self.0,
            Scope::Operate | Scope::Read => {
                let mut derivation = blake3::Hasher::new_derive_key(DERIVATION);
                derivation.update(&self.0);
                derivation.update(scope.name().as_bytes());
                *derivation.finalize().as_bytes()
            }
        };
        format!("{PREFIX}_{}_{}", scope.name(), blake3::Hash::from_bytes(bytes).to_hex())
    }

    /// What a token allows; nothing when it is none of ours. Takes the same time whichever letter is wrong.
    pub fn scope(&self, token: &str) -> Option<Scope> {
        let mut found = None;
        for scope in Scope::ALL {
            if bool::from(self.token(scope).as_bytes().ct_eq(token.as_bytes())) {
                found = Some(scope);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_for_its_owner_alone_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secret::open(dir.path()).unwrap();
        let again = Secret::open(dir.path()).unwrap();
        assert_eq!(first.token(Scope::Admin), again.token(Scope::Admin));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        assert_eq!(format!("{first:?}"), "Secret(…)");
    }

    #[test]
    fn a_token_allows_its_scope_and_no_other_text_allows_anything() {
        let dir = tempfile::tempdir().unwrap();
        let secret = Secret::open(dir.path()).unwrap();
        for scope in Scope::ALL {
            let token = secret.token(scope);
            assert_eq!(secret.scope(&token), Some(scope));
            assert_eq!(secret.scope(&token[..token.len() - 1]), None);
            assert_eq!(secret.scope(&format!("{token} ")), None);
            assert_eq!(secret.scope(&token.to_uppercase()), None);
        }
        assert_eq!(secret.scope(""), None);
        let swapped = secret.token(Scope::Read).replace("_read_", "_admin_");
        assert_eq!(secret.scope(&swapped), None);
        let renewed = Secret::renew(dir.path()).unwrap();
        assert_eq!(renewed.scope(&secret.token(Scope::Admin)), None);
    }

    #[test]
    fn a_file_that_is_no_token_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "hunter2\n").unwrap();
        assert!(matches!(Secret::open(dir.path()), Err(Error::Unreadable { .. })));
    }
}
