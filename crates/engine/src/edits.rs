//! Patches on a real tree: read through [`Tree`](crate::codebase::Tree), written all or not at all.
//!
//! Called when a task's answer is a patch, and by `wheelhouse patch`. What a patch wants, `context::patch` decides; this
//! writes it: every new content goes to a file beside its place first, then all of them take their places, and when one
//! cannot, those before it are put back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wheelhouse_context::patch::Changes;

/// The largest file that a patch may change, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Directories at the top of a tree that no patch reaches: the state of the project.
const STATE_DIR: &str = ".wheelhouse";

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place is not one to write to.
    #[error("{path}: {why}")]
    Place {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
    /// Writing failed; what had been written before is put back.
    #[error("{path} could not be written: {source}; nothing was changed")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Writing failed, and putting back did too.
    #[error("{path} could not be written, and {left} could not be put back: {source}")]
    Half {
        /// The file.
        path: String,
        /// The files that are in their new state.
        left: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One change on its way.
struct Step {
    path: String,
    place: PathBuf,
    /// The new content, beside its place; none when the file goes.
    staged: Option<PathBuf>,
    /// The old one, while it is not certain that all succeed.
    kept: Option<PathBuf>,
    /// Whether the change has taken place.
    done: bool,
}

/// Checks that every place can be written to, without writing.
pub fn check(top: &Path, changes: &Changes) -> Result<(), Error> {
    changes.keys().try_for_each(|path| place(top, path).map(drop))
}

/// Writes all of the changes or none. `moved` says which old file's mode a new one takes over.
pub fn write(top: &Path, changes: &Changes, moved: &BTreeMap<String, String>) -> Result<(), Error> {
    let mut made = Vec::new();
    let mut steps = Vec::new();
    let staged = stage(top, (changes, moved), &mut steps, &mut made);
    let done = staged.and_then(|()| take_places(&mut steps));
    for step in &steps {
        // What is left beside its place is of no use any more; what cannot be removed is harmless.
        for path in step.staged.iter().chain(&step.kept) {
            let _ = std::fs::remove_file(path);
        }
    }
    if done.is_err() {
        for directory in made.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
    done
}

fn stage(
    top: &Path,
    (changes, moved): (&Changes, &BTreeMap<String, String>),
    steps: &mut Vec<Step>,
    made: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    for (number, (path, content)) in changes.iter().enumerate() {
        let whole = place(top, path)?;
        let failed = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let mut step = Step {
            path: path.clone(),
            place: whole.clone(),
            staged: None,
            kept: None,
            done: false,
        };
        if let Some(content) = content {
            directories(whole.parent().unwrap_or(top), made).map_err(failed)?;
            let beside = beside(&whole, "new", number);
            let like = moved.get(path).map_or(whole.clone(), |from| top.join(from));
            step.staged = Some(beside.clone());
            steps.push(step);
            std::fs::write(&beside, content).map_err(failed)?;
            if let Ok(meta) = std::fs::metadata(&like) {
                std::fs::set_permissions(&beside, meta.permissions()).map_err(failed)?;
            }
        } else if whole.exists() {
            steps.push(step);
        }
    }
    Ok(())
}

fn take_places(steps: &mut [Step]) -> Result<(), Error> {
    for at in 0..steps.len() {
        let Err(source) = take_place(&mut steps[at], at) else {
            continue;
        };
        let path = steps[at].path.clone();
        let mut left = Vec::new();
        for step in steps[..=at].iter_mut().rev() {
            let back = match step.kept.take() {
                Some(kept) => std::fs::rename(kept, &step.place),
                None if step.done => std::fs::remove_file(&step.place),
                None => Ok(()),
            };
            if back.is_err() {
                left.push(step.path.clone());
            }
        }
        return Err(match left.is_empty() {
            true => Error::Write { path, source },
            false => Error::Half {
                path,
                left: left.join(", "),
                source,
            },
        });
    }
    Ok(())
}

fn take_place(step: &mut Step, number: usize) -> std::io::Result<()> {
    if step.place.exists() {
        let kept = beside(&step.place, "old", number);
        match &step.staged {
            // The old content stays until the new one takes its place, so there is always one of them.
            Some(_) => {
                std::fs::hard_link(&step.place, &kept).or_else(|_| std::fs::copy(&step.place, &kept).map(drop))?
            }
            None => std::fs::rename(&step.place, &kept)?,
        }
        step.kept = Some(kept);
    }
    if let Some(staged) = &step.staged {
        std::fs::rename(staged, &step.place)?;
        step.staged = None;
    }
    step.done = true;
    Ok(())
}

/// Where a path leads, when it is a place for a file inside the tree: no link leads out, nothing but a file is replaced,
/// and the repository's and the project's own state are out of reach.
fn place(top: &Path, path: &str) -> Result<PathBuf, Error> {
    let no = |why: &str| {
        Err(Error::Place {
            path: path.to_owned(),
            why: why.to_owned(),
        })
    };
    let whole = top.join(path);
    let Ok(real_top) = top.canonicalize() else {
        return no("its tree is not there");
    };
    // The deepest directory that is there decides; below it nothing can be a link.
    let there = whole.ancestors().skip(1).find(|one| one.symlink_metadata().is_ok());
    let real = match there.map(Path::canonicalize) {
        Some(Ok(real)) => real,
        _ => return no("a directory on its way cannot be looked at"),
    };
    if !real.is_dir() {
        return no("a file stands where it needs a directory");
    }
    let Ok(below) = real.strip_prefix(&real_top) else {
        return no("a link on its way leads out of the tree");
    };
    let rest = there
        .and_then(|there| whole.strip_prefix(there).ok())
        .unwrap_or(Path::new(""));
    let below = below.join(rest);
    let mut parts = below.components().map(|part| part.as_os_str());
    let of_state = parts.clone().next().is_some_and(|first| first == STATE_DIR);
    if of_state || parts.any(|part| part.eq_ignore_ascii_case(".git")) {
        return no("it belongs to the repository's or the project's own state");
    }
    match whole.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => no("it is a link; a patch changes files alone"),
        Ok(meta) if !meta.is_file() => no("it is no file"),
        _ => Ok(real_top.join(below)),
    }
}

/// Makes what is missing of a directory, and notes what was made.
fn directories(directory: &Path, made: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let missing: Vec<&Path> = directory.ancestors().take_while(|one| !one.exists()).collect();
    for one in missing.into_iter().rev() {
        std::fs::create_dir(one)?;
        made.push(one.to_owned());
    }
    Ok(())
}

fn beside(place: &Path, kind: &str, number: usize) -> PathBuf {
    place.with_file_name(format!(".wheelhouse-patch.{}.{number}.{kind}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("p");
        std::fs::create_dir_all(top.join("d")).unwrap();
        std::fs::write(top.join("a"), "old\n").unwrap();
        std::fs::write(top.join("d/run.sh"), "x\n").unwrap();
        std::fs::set_permissions(top.join("d/run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(dir.path().join("outside"), "safe\n").unwrap();
        dir
    }

    fn changes(list: &[(&str, Option<&str>)]) -> Changes {
        let change = |(path, text): &(&str, Option<&str>)| ((*path).to_owned(), text.map(str::to_owned));
        list.iter().map(change).collect()
    }

    fn names(top: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(top)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_written_moved_and_deleted_with_their_modes() {
        let dir = tree();
        let top = dir.path().join("p");
        let wanted = changes(&[("a", None), ("d/run.sh", None), ("n/m/go.sh", Some("y\n"))]);
        let moved = BTreeMap::from([("n/m/go.sh".to_owned(), "d/run.sh".to_owned())]);
        write(&top, &wanted, &moved).unwrap();
        assert_eq!(names(&top), ["d", "n"]);
        assert_eq!(names(&top.join("n/m")), ["go.sh"]);
        let mode = std::fs::metadata(top.join("n/m/go.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn when_one_cannot_be_written_all_are_as_they_were() {
        let dir = tree();
        let top = dir.path().join("p");
        // `z` as a file and as a directory: the last step fails, after the others have taken their places.
        let wanted = changes(&[
            ("a", Some("new\n")),
            ("d/run.sh", None),
            ("m", Some("1")),
            ("z", Some("1")),
            ("z/in", Some("2")),
        ]);
        let error = write(&top, &wanted, &BTreeMap::new()).unwrap_err();
        assert!(
            matches!(&error, Error::Write { path, .. } if path.starts_with('z')),
            "{error}"
        );
        assert_eq!(names(&top), ["a", "d"]);
        assert_eq!(std::fs::read_to_string(top.join("a")).unwrap(), "old\n");
        assert_eq!(names(&top.join("d")), ["run.sh"]);
    }

    #[test]
    fn no_way_leads_out_and_only_files_are_replaced() {
        let dir = tree();
        let top = dir.path().join("p");
        symlink("../outside", top.join("link")).unwrap();
        symlink("..", top.join("up")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        std::fs::create_dir_all(top.join("sub/.git")).unwrap();
        symlink("sub/.git", top.join("hidden")).unwrap();
        for (path, why) in [
            ("link", "it is a link"),
            ("up/outside", "leads out"),
            ("loop/x", "cannot be looked at"),
            ("d", "no file"),
            ("a/x", "needs a directory"),
            ("hidden/hooks", "own state"),
            (".wheelhouse/store.db", "own state"),
        ] {
            for content in [Some("x"), None] {
                let error = write(
                    &top,
                    &changes(&[("a", Some("new\n")), (path, content)]),
                    &BTreeMap::new(),
                )
                .unwrap_err()
                .to_string();
                assert!(error.contains(why), "{path}: {error}");
            }
        }
        assert_eq!(std::fs::read_to_string(top.join("a")).unwrap(), "old\n");
        assert_eq!(std::fs::read_to_string(dir.path().join("outside")).unwrap(), "safe\n");
        assert_eq!(names(&top), ["a", "d", "hidden", "link", "loop", "sub", "up"]);
    }
}
