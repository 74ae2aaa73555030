//! Whether there is room where a tree is. What an agent does on a full disk is paid for and cannot be kept, so nobody is
//! sent to work there, and a try that failed there is told why.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use wheelhouse_core::ids::{RunId, TaskKey};

use super::{Error, Workplace};

/// Less than this is no room: the smallest answer of an agent and the commit of it need more.
const ROOM_MIN_BYTES: u64 = 64 << 10;

impl Workplace {
    /// [`Error::DiskFull`] when the tree of a task is on a full disk. A tree that is not there is on none.
    pub fn room(&self, run: RunId, key: &TaskKey) -> Result<(), Error> {
        let desk = match self {
            Workplace::Git(trees) => &trees.desk,
            Workplace::Copies(copies) => &copies.desk,
        };
        let path = desk.tree_path(run, key);
        match room_bytes(&path) {
            Some(bytes) if bytes < ROOM_MIN_BYTES => Err(Error::DiskFull {
                words: format!("{bytes} bytes are left for {}", path.display()),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

#[expect(
    clippy::useless_conversion,
    reason = "the width of these numbers differs between systems"
)]
fn room_bytes(path: &Path) -> Option<u64> {
    let disk = statvfs(path).ok()?;
    Some(u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size())))
}
