//! fsck
use std::path::Path;
use wheelhouse_core::store::{Failure, Fault};
/// x
pub fn fsck(_path: &Path) -> Result<Vec<Fault>, Failure> { Ok(Vec::new()) }
