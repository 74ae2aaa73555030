//! What makes a tree an environment: untracked files lent to it, ports and database names leased for it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::spec::EnvTemplate;

use super::error::Error;
use super::git::Call;
use super::record::Desk;
use super::{lossy, names, ports};

/// How many untracked files are lent to a tree at the most.
pub const COPIED_FILES_MAX: usize = 2_000;
/// How large they may be together, in bytes.
pub const COPIED_BYTES_MAX: u64 = 256 << 20;
/// The longest name that every database takes.
const DATABASE_NAME_MAX: usize = 63;

/// What is to be done in a tree before it is taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Teardown {
    /// Where.
    pub project: PathBuf,
    /// Its ports and database names, as environment.
    pub env: BTreeMap<String, String>,
    /// The commands, in order.
    pub commands: Vec<String>,
}

impl Teardown {
    pub(super) fn of(
        desk: &Desk,
        store: &str,
        run: RunId,
        key: &TaskKey,
        template: &EnvTemplate,
        project: PathBuf,
    ) -> Result<Option<Teardown>, Error> {
        if template.teardown.is_empty() {
            return Ok(None);
        }
        Ok(Some(Teardown {
            project,
            env: leases(desk, store, run, key, template)?,
            commands: template.teardown.clone(),
        }))
    }
}

/// Copies the template's files into a tree. Only files git does not track: the others are there already.
///
/// Gives back what was copied, relative to the project; it is never committed.
pub(super) fn copy_in(
    git: Call<'_>,
    project: &Path,
    into: &Path,
    template: &EnvTemplate,
) -> Result<Vec<String>, Error> {
    if template.copy.is_empty() {
        return Ok(Vec::new());
    }
    // Git looks itself: quickly, and ignored files too.
    let globs = template
        .copy
        .iter()
        .map(|glob| format!(":(glob){}", glob.trim_start_matches("./")));
    let answer = git.args(["ls-files", "--others", "-z", "--"]).args(globs).run()?;
    let paths: Vec<&[u8]> = answer.records().filter(|path| !path.ends_with(b"/")).collect();
    lend(project, into, &paths)
}

/// Copies these files, within the limits.
pub(super) fn lend(project: &Path, into: &Path, paths: &[&[u8]]) -> Result<Vec<String>, Error> {
    let hint = "name fewer files under `copy`; what can be made again belongs to `setup`".to_owned();
    let too_large = |found: String, limit: String| Error::TooLarge {
        path: project.to_owned(),
        found,
        limit,
        hint: hint.clone(),
    };
    if paths.len() > COPIED_FILES_MAX {
        return Err(too_large(
            format!("{} files", paths.len()),
            format!("{COPIED_FILES_MAX} (COPIED_FILES_MAX)"),
        ));
    }
    let mut bytes = 0;
    let mut copied = Vec::with_capacity(paths.len());
    for path in paths {
        let relative = Path::new(std::ffi::OsStr::from_bytes(path));
        let (from, to) = (project.join(relative), into.join(relative));
        let found = from
            .symlink_metadata()
            .map_err(|source| Error::io("read", &from, source))?;
        if to.symlink_metadata().is_ok() || !(found.is_file() || found.is_symlink()) {
            continue;
        }
        bytes += found.len();
        if bytes > COPIED_BYTES_MAX {
            return Err(too_large(
                format!("over {bytes} bytes"),
                format!("{COPIED_BYTES_MAX} (COPIED_BYTES_MAX)"),
            ));
        }
        copy_file(&from, &to)?;
        copied.push(lossy(path));
    }
    Ok(copied)
}

/// Copies one file or link, with the directories above it.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::io("copy", from, source);
    if let Some(above) = to.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    if from.is_symlink() {
        let target = fs::read_link(from).map_err(failed)?;
        return std::os::unix::fs::symlink(target, to).map_err(failed);
    }
    fs::copy(from, to).map(drop).map_err(failed)
}

/// The ports and database names of a task, as environment. The same ones every time while the tree is there.
pub(super) fn leases(
    desk: &Desk,
    store: &str,
    run: RunId,
    key: &TaskKey,
    template: &EnvTemplate,
) -> Result<BTreeMap<String, String>, Error> {
    let mut env = BTreeMap::new();
    let mut add = |one: &str, all: &str, values: Vec<String>| {
        if !values.is_empty() {
            env.insert(all.to_owned(), values.join(","));
        }
        env.extend(
            values
                .into_iter()
                .enumerate()
                .map(|(number, value)| (format!("{one}_{number}"), value)),
        );
    };
    let ports = ports::lease(desk, store, run, key, usize::from(template.ports))?;
    add("PORT", "WHEELHOUSE_PORTS", ports.iter().map(u16::to_string).collect());
    let databases = (0..template.databases)
        .map(|number| database(store, run, key, number))
        .collect();
    add("DATABASE", "WHEELHOUSE_DATABASES", databases);
    Ok(env)
}

/// A database name no other task has: `wh_STORE_r7_draft_0`, in letters every database takes without quotes.
fn database(store: &str, run: RunId, key: &TaskKey, number: u8) -> String {
    let tag = &names::tag(store)[..6];
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let mut name: String = key.as_str().chars().map(letter).collect();
    let room = DATABASE_NAME_MAX - format!("wh_{tag}_{run}__{number}").len();
    if name != key.as_str() || name.len() > room {
        // Told apart from keys that look the same in these letters.
        let hash = &names::tag(key.as_str())[..6];
        name.truncate(room - hash.len() - 1);
        name = format!("{name}_{hash}");
    }
    format!("wh_{tag}_{run}_{name}_{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_are_plain_and_apart() {
        let name = |key: &str| database("store", RunId(7), &TaskKey::from(key), 0);
        assert!(
            name("draft").starts_with("wh_") && name("draft").ends_with("_r7_draft_0"),
            "{}",
            name("draft")
        );
        assert_ne!(name("a-b"), name("a.b"));
        assert_ne!(name("a-b"), name("a_b"));
        assert_ne!(name("A"), name("a"));
        let long = name(&"x".repeat(64));
        assert_eq!(long.len(), DATABASE_NAME_MAX);
        assert_ne!(long, name(&"x".repeat(63)));
        assert!(
            long.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
        assert_ne!(database("other", RunId(7), &"draft".into(), 0), name("draft"));
    }
}
