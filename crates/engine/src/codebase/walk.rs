//! Which files of the tree are looked at: what git would see, without what is hidden, without links, up to a limit.

use std::path::Path;
use std::time::SystemTime;

use ignore::WalkBuilder;
use wheelhouse_context::retrieval::catalogue::{Found, Stamp};

use super::Error;

/// So many files of one tree are looked at, in the order of their paths; that there are more is said.
pub const FILES_MAX: usize = 250_000;
/// Directories that hold what others wrote or programs made, even where no `.gitignore` says so.
const NEVER: &[&str] = &["node_modules", "__pycache__", "site-packages"];
/// Hidden directories that are looked at all the same.
const SHOWN: &[&str] = &[".github", ".cargo", ".config"];

/// Every file, and whether there are more than [`FILES_MAX`].
pub(crate) fn walk(root: &Path) -> Result<(Vec<Found>, bool), Error> {
    up_to(root, FILES_MAX, Above::Counts)
}

/// The files of a task's own tree, which lies in the state directory, where everything is ignored.
pub(crate) fn walk_apart(root: &Path) -> Result<(Vec<Found>, bool), Error> {
    up_to(root, FILES_MAX, Above::Nothing)
}

/// Whether ignore files above the tree are kept to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Above {
    Counts,
    Nothing,
}

fn up_to(root: &Path, files_max: usize, above: Above) -> Result<(Vec<Found>, bool), Error> {
    let failed = |why: String| Error::Root {
        root: root.to_owned(),
        why,
    };
    // What lies below an unreadable directory is not there for us; the root must be.
    std::fs::read_dir(root).map_err(|error| failed(error.to_string()))?;
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(false)
        .parents(above == Above::Counts)
        .follow_links(false)
        .require_git(false)
        // The engine reads no configuration of the machine.
        .git_global(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(|entry| {
            let Some(name) = entry.file_name().to_str() else {
                return false;
            };
            let hidden = name.starts_with('.') && !SHOWN.contains(&name);
            entry.depth() == 0 || !(hidden || NEVER.contains(&name))
        });
    let mut found = Vec::new();
    for entry in builder.build() {
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let Some(path) = entry.path().strip_prefix(root).ok().and_then(Path::to_str) else {
            continue;
        };
        let Ok(meta) = entry.metadata() else { continue };
        if found.len() == files_max {
            return Ok((found, true));
        }
        let changed = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        found.push(Found {
            path: path.to_owned(),
            stamp: Stamp {
                changed_ns: nanoseconds(changed),
                bytes: meta.len(),
            },
        });
    }
    Ok((found, false))
}

fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |before| -before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        root
    }

    fn paths(root: &Path, files_max: usize) -> (Vec<String>, bool) {
        let (found, beyond) = up_to(root, files_max, Above::Counts).unwrap();
        (found.into_iter().map(|one| one.path).collect(), beyond)
    }

    #[test]
    fn what_git_would_not_see_is_not_looked_at() {
        let root = tree(&[
            "src/a.rs",
            "target/b.rs",
            ".git/c",
            ".env",
            ".github/d.yml",
            "node_modules/e.js",
            "z/target/f",
        ]);
        std::fs::write(root.path().join(".gitignore"), "/target\n").unwrap();
        assert_eq!(
            paths(root.path(), 9),
            (
                vec![
                    ".github/d.yml".to_owned(),
                    "src/a.rs".to_owned(),
                    "z/target/f".to_owned()
                ],
                false
            )
        );
    }

    #[test]
    fn links_are_not_followed_so_that_none_leads_round() {
        let root = tree(&["a/x.rs"]);
        std::os::unix::fs::symlink("..", root.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("a/out")).unwrap();
        assert_eq!(paths(root.path(), 9), (vec!["a/x.rs".to_owned()], false));
    }

    #[test]
    fn beyond_the_limit_is_said() {
        let root = tree(&["a", "b", "c"]);
        assert_eq!(paths(root.path(), 2), (vec!["a".to_owned(), "b".to_owned()], true));
        assert!(!paths(root.path(), 3).1);
    }

    #[test]
    fn no_tree_is_an_error_that_names_it() {
        let error = walk(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
