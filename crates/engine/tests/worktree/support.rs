//! A repository of its own for each test: no configuration but what the test writes, no home but an empty one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::time::Millis;
use wheelhouse_engine::worktree::{Changed, Error, Landing, Options, Tree, Trees, Verify};

pub(crate) const RUN: RunId = RunId(7);
pub(crate) const NOW: Millis = Millis(1_760_000_000_000);
pub(crate) const DAY_MS: u64 = 86_400_000;

/// A project in a repository, with the state directory in it.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) project: PathBuf,
}

pub(crate) fn key(name: &str) -> TaskKey {
    TaskKey::from(name)
}

pub(crate) fn keys(names: &[&str]) -> Vec<TaskKey> {
    names.iter().map(|name| key(name)).collect()
}

pub(crate) fn write(path: impl AsRef<Path>, text: &str) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| unreachable!("{}: {error}", path.as_ref().display()))
}

/// The environment of every git, ours and the tests' own.
pub(crate) fn env(home: &Path) -> BTreeMap<String, String> {
    let path = std::env::var("PATH").unwrap();
    let pairs = [
        ("PATH", path.as_str()),
        ("HOME", home.to_str().unwrap()),
        ("LANG", "C.UTF-8"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Runs git as a person with a name would.
pub(crate) fn git(at: &Path, args: &[&str]) -> String {
    let (ok, said) = try_git(at, args);
    assert!(ok, "git {args:?} in {}: {said}", at.display());
    said
}

pub(crate) fn try_git(at: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    command.current_dir(at).env_clear().envs(env(Path::new("/nonexistent")));
    command.args([
        "-c",
        "user.name=User",
        "-c",
        "user.email=user@example.com",
        "-c",
        "advice.detachedHead=false",
    ]);
    let done = command.args(args).output().unwrap();
    let said = if done.status.success() {
        &done.stdout
    } else {
        &done.stderr
    };
    (
        done.status.success(),
        String::from_utf8_lossy(said).trim_end().to_owned(),
    )
}

/// Merges one task's branch into the run's.
pub(crate) fn land(trees: &Trees, run: RunId, key: &TaskKey, verify: Verify<'_>) -> Result<Landing, Error> {
    let landings = trees.merge_batch(run, std::slice::from_ref(key), verify)?;
    Ok(landings.into_iter().next().unwrap())
}

impl House {
    /// A repository with one commit: `a.txt`, `src/lib.rs`, `.gitignore` for `*.log` and `.env`.
    pub(crate) fn new() -> House {
        House::named("project")
    }

    pub(crate) fn named(name: &str) -> House {
        let house = House::without_git(name);
        git(&house.project, &["init", "-q", "-b", "main"]);
        write(house.project.join("a.txt"), "one\ntwo\nthree\n");
        write(
            house.project.join("src/lib.rs"),
            "pub fn answer() -> u32 {\n    42\n}\n",
        );
        write(house.project.join(".gitignore"), "*.log\n.env\n");
        house.commit("start");
        house
    }

    pub(crate) fn without_git(name: &str) -> House {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(project.join(".wheelhouse")).unwrap();
        fs::write(project.join(".wheelhouse/.gitignore"), "*\n").unwrap();
        fs::create_dir_all(dir.path().join("home")).unwrap();
        House { dir, project }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.project.join(".wheelhouse")
    }

    pub(crate) fn options(&self) -> Options {
        Options::new("store-one", env(&self.dir.path().join("home")))
    }

    pub(crate) fn trees(&self) -> Trees {
        self.trees_with(self.options())
    }

    pub(crate) fn trees_with(&self, options: Options) -> Trees {
        Trees::open(&self.project, &self.state(), options)
            .unwrap()
            .expect("the project is in a repository")
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.project, args)
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn file(&self, path: &str) -> String {
        read(self.project.join(path))
    }

    /// A task that writes these files and finishes.
    pub(crate) fn task(&self, trees: &Trees, name: &str, needs: &[&str], files: &[(&str, &str)]) -> (Tree, Changed) {
        let tree = trees.create(RUN, &key(name), 1, &keys(needs)).unwrap();
        for (path, text) in files {
            write(tree.path.join(path), text);
        }
        let changed = trees.finish(RUN, &key(name), &format!("{name}: work")).unwrap();
        (tree, changed)
    }

    /// What a branch has at a path.
    pub(crate) fn at(&self, revision: &str, path: &str) -> Option<String> {
        let (ok, said) = try_git(&self.project, &["show", &format!("{revision}:{path}")]);
        ok.then_some(said)
    }
}
