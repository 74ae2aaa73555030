//! Tokens of instances: made from a secret of the state directory, so that no store, log or backup holds one.
//!
//! A token is `whi_NUMBER_PROOF`; the proof is the keyed BLAKE3 hash of the store's name and the instance's number. It
//! is given to the instance's processes in their environment and to nobody else, and is worth nothing once the
//! instance has ended. Removing the file `token.key` makes every token void.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use wheelhouse_core::caller::{self, Caller, NotAToken};
use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::message::Party;

/// The file in the state directory.
pub const KEY_FILE: &str = "token.key";

/// The secret that tokens are made with. Never shown.
pub struct Key([u8; blake3::KEY_LEN]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads the secret of a state directory, and makes one when there is none; only its owner may read it.
    pub fn open(state_dir: &Path) -> io::Result<Key> {
        let path = state_dir.join(KEY_FILE);
        loop {
            match File::open(&path) {
                Ok(mut file) => {
                    let mut secret = [0; blake3::KEY_LEN];
                    file.read_exact(&mut secret)?;
                    return Ok(Key(secret));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The token of an instance of that store.
    pub fn token(&self, store_id: &str, instance: InstanceId) -> String {
        caller::token(instance, self.proof(store_id, instance).to_hex().as_str())
    }

    /// Who holds this token; without one, a person. Whether the instance has ended is for the store to say.
    pub fn caller(&self, store_id: &str, token: Option<&str>) -> Result<Caller, NotAToken> {
        let Some(token) = token else {
            return Ok(Caller(Party::Person));
        };
        let claim = caller::claim(token)?;
        let given = blake3::Hash::from_hex(claim.proof).map_err(|_| NotAToken)?;
        // Hashes are compared in constant time.
        match self.proof(store_id, claim.instance) == given {
            true => Ok(Caller(Party::Instance(claim.instance))),
            false => Err(NotAToken),
        }
    }

    /// Proves later that a text is ours which somebody else keeps in the meantime. What is sealed for one purpose is not for
    /// another.
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        let sealed = format!("wheelhouse seal\0{purpose}\0{text}");
        blake3::keyed_hash(&self.0, sealed.as_bytes()).to_hex().to_string()
    }

    /// Whether that text was sealed so.
    pub fn is_sealed(&self, purpose: &str, text: &str, seal: &str) -> bool {
        let ours = blake3::Hash::from_hex(self.seal(purpose, text));
        // Hashes are compared in constant time.
        matches!((ours, blake3::Hash::from_hex(seal)), (Ok(ours), Ok(given)) if ours == given)
    }

    fn proof(&self, store_id: &str, instance: InstanceId) -> blake3::Hash {
        blake3::keyed_hash(
            &self.0,
            format!("wheelhouse instance token\0{store_id}\0{}", instance.0).as_bytes(),
        )
    }
}

/// Written beside and linked into place: of two that make one at the same time, one wins and both read that one.
fn make(path: &Path) -> io::Result<()> {
    let mut secret = [0; blake3::KEY_LEN];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    let linked = match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(&beside)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_seal_holds_for_its_text_and_purpose_alone() {
        let directory = tempfile::tempdir().unwrap();
        let key = Key::open(directory.path()).unwrap();
        let seal = key.seal("a", "text");
        assert!(Key::open(directory.path()).unwrap().is_sealed("a", "text", &seal));
        let no_hash = format!("{seal}x");
        for (purpose, text, seal) in [
            ("b", "text", &seal),
            ("a", "text.", &seal),
            ("a", "text", &no_hash),
            ("a", "text", &String::new()),
        ] {
            assert!(!key.is_sealed(purpose, text, seal), "{purpose} {text} {seal}");
        }
    }

    #[test]
    fn a_token_speaks_for_its_instance_in_its_store_alone() {
        let directory = tempfile::tempdir().unwrap();
        let key = Key::open(directory.path()).unwrap();
        let token = key.token("s", InstanceId(7));
        let again = Key::open(directory.path()).unwrap();
        assert_eq!(
            again.caller("s", Some(&token)),
            Ok(Caller(Party::Instance(InstanceId(7))))
        );
        assert_eq!(again.caller("s", None), Ok(Caller(Party::Person)));
        for forged in [
            token.replace("whi_7_", "whi_8_"),
            token.replace("whi_", ""),
            format!("{token}0"),
            token[..token.len() - 2].to_owned(),
            "whi_7_".to_owned(),
        ] {
            assert_eq!(again.caller("s", Some(&forged)), Err(NotAToken), "{forged}");
        }
        assert_eq!(again.caller("other", Some(&token)), Err(NotAToken));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(
            Key::open(elsewhere.path()).unwrap().caller("s", Some(&token)),
            Err(NotAToken)
        );
        let mode = fs::metadata(directory.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
