//! Where the real vendors' programs are, and a home for them that is nobody's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;
use wheelhouse_core::agent::Assignment;
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::rig;

/// The variable that names the directory in which the programs are installed by npm.
pub(crate) const INSTALLED: &str = "WHEELHOUSE_REAL_AGENTS";

/// A fake model, a home and a directory to work in.
pub(crate) struct Place {
    /// The model.
    pub(crate) api: ModelApi,
    directory: TempDir,
}

impl Place {
    /// A new one; the fake says what its markers tell it.
    pub(crate) fn new() -> Place {
        let place = Place {
            api: ModelApi::start(Script::new()).expect("a fake model"),
            directory: tempfile::tempdir().expect("a directory"),
        };
        for name in ["home", "project"] {
            std::fs::create_dir(place.directory.path().join(name)).expect("created");
        }
        place
    }

    /// Where the agent works.
    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// Where backends keep what they must remember.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Writes a file of the agent's own settings.
    pub(crate) fn write_home(&self, name: &str, text: &str) {
        let path = self.directory.path().join("home").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        std::fs::write(path, text).expect("written");
    }

    /// What a file in the working directory holds.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.work().join(name)).ok()
    }

    /// A try with that prompt and nothing of this machine's user in its environment.
    pub(crate) fn assignment(&self, prompt: &str) -> Assignment {
        let mut assignment = rig::assignment(&self.work(), prompt);
        assignment.env = environment(&self.directory.path().join("home"));
        assignment.grace_ms = 5_000;
        assignment
    }

    /// Panics when a request broke the vendor's protocol.
    pub(crate) fn assert_protocol_kept(&self) {
        assert_eq!(self.api.violations(), []);
    }
}

fn environment(home: &std::path::Path) -> BTreeMap<String, String> {
    let installed = std::env::var(INSTALLED)
        .unwrap_or_else(|_| panic!("set {INSTALLED} to the directory where npm installed the agents"));
    let path = format!("{installed}/node_modules/.bin:/usr/local/bin:/usr/bin:/bin");
    BTreeMap::from([
        ("PATH".to_owned(), path),
        ("HOME".to_owned(), home.display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TERM".to_owned(), "dumb".to_owned()),
    ])
}
