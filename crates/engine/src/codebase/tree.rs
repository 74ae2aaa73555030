//! The files of a tree behind `context`'s port: bounded, and nothing outside of the tree.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use wheelhouse_context::port::{Files, Unreadable};
use wheelhouse_context::retrieval::anatomy::FILE_BYTES_MAX;

/// A tree to read from.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    bytes_max: u64,
}

impl Tree {
    /// The tree below a directory.
    pub fn new(root: &Path) -> Tree {
        Tree::up_to(root, FILE_BYTES_MAX)
    }

    /// The same, with another limit on the size of a file.
    pub fn up_to(root: &Path, bytes_max: u64) -> Tree {
        Tree {
            root: root.to_owned(),
            bytes_max,
        }
    }
}

impl Files for Tree {
    fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable> {
        bounded(&self.root, path, self.bytes_max)
    }
}

/// One file of the tree, when it is one and no larger than is indexed.
pub(crate) fn read(root: &Path, path: &str) -> Result<Vec<u8>, Unreadable> {
    bounded(root, path, FILE_BYTES_MAX)
}

fn bounded(root: &Path, path: &str, bytes_max: u64) -> Result<Vec<u8>, Unreadable> {
    let below = Path::new(path);
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !below.components().all(stays) {
        return Err(Unreadable::Outside(path.to_owned()));
    }
    let whole = root.join(below);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unreadable::Missing(path.to_owned()),
        _ => Unreadable::Failed {
            path: path.to_owned(),
            why: error.to_string(),
        },
    };
    // A link anywhere on the way may lead out. Whoever can put one there between this and the opening can read the
    // same file by himself.
    let inside = whole.canonicalize().map_err(failed)?;
    let top = root.canonicalize().map_err(failed)?;
    if !inside.starts_with(&top) {
        return Err(Unreadable::Outside(path.to_owned()));
    }
    // Opening a pipe would wait for its writer for ever.
    let file = std::fs::File::options()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(&inside)
        .map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(Unreadable::Failed {
            path: path.to_owned(),
            why: "it is no file".to_owned(),
        });
    }
    let too_large = |bytes| Unreadable::TooLarge {
        path: path.to_owned(),
        bytes,
        limit: bytes_max,
    };
    if meta.len() > bytes_max {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize + 1);
    // One that grows while it is read ends at the limit.
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        length if length > bytes_max => Err(too_large(length)),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_tree_is_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("out")).unwrap();
        let tree = Tree::new(root.path());
        assert_eq!(tree.read("a"), Ok(b"x".to_vec()));
        assert_eq!(tree.read("./a"), Ok(b"x".to_vec()));
        for path in ["../a", "/etc/passwd", "out/passwd"] {
            assert_eq!(tree.read(path), Err(Unreadable::Outside(path.to_owned())), "{path}");
        }
        assert_eq!(tree.read("b"), Err(Unreadable::Missing("b".to_owned())));
    }
}
