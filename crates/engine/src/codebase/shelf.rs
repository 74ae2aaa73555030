//! Where the index lies on disk: segments in files named by the hash of their bytes, never changed; one catalogue,
//! replaced as a whole. Two processes may keep at the same time: the later catalogue wins, and each is complete.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_context::retrieval::catalogue::Catalogue;
use wheelhouse_context::retrieval::segment::Segment;

use super::Volume;
use crate::private;

/// The file of the catalogue.
const CATALOGUE: &str = "catalogue";
/// Segments that no catalogue names are kept so long: another process may be about to name them.
const ORPHAN_AGE: Duration = Duration::from_secs(600);

/// A directory for an index.
pub(crate) struct Shelf {
    directory: PathBuf,
}

impl Shelf {
    pub(crate) fn new(directory: &Path) -> Shelf {
        Shelf {
            directory: directory.to_owned(),
        }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What was kept; nothing at all is an empty index. Otherwise why it cannot be used.
    pub(crate) fn load(&self) -> Result<(Catalogue, Vec<Volume>), String> {
        let bytes = match fs::read(self.directory.join(CATALOGUE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(format!("not readable ({error})")),
        };
        let catalogue = Catalogue::decode(&bytes).map_err(|_| "damaged or of another version".to_owned())?;
        let mut volumes = Vec::with_capacity(catalogue.segments.len());
        for name in &catalogue.segments {
            let bytes = fs::read(self.directory.join(name)).map_err(|_| "incomplete".to_owned())?;
            let segment = match blake3::hash(&bytes).to_hex().as_str() == name {
                true => Segment::decode(&bytes).map_err(|_| "of another version".to_owned())?,
                false => return Err("damaged".to_owned()),
            };
            volumes.push(Volume {
                segment: Arc::new(segment),
                name: Some(name.clone()),
            });
        }
        Ok((catalogue, volumes))
    }

    /// Keeps the index: segments that are not there, then the catalogue that names them.
    pub(crate) fn keep(&self, catalogue: &mut Catalogue, volumes: &mut [Volume]) -> io::Result<()> {
        self.make_directory()?;
        let mut names = Vec::with_capacity(volumes.len());
        for Volume { segment, name } in volumes {
            let there = name.take().filter(|name| self.directory.join(name).exists());
            let kept = match there {
                Some(name) => name,
                None => {
                    let bytes = segment.encode();
                    let name = blake3::hash(&bytes).to_hex().to_string();
                    self.write(&name, &bytes)?;
                    name
                }
            };
            names.push(kept.clone());
            *name = Some(kept);
        }
        catalogue.segments = names;
        self.write(CATALOGUE, &catalogue.encode())?;
        self.sweep(catalogue);
        Ok(())
    }

    /// The directory itself. A file in its place is no index, and goes.
    fn make_directory(&self) -> io::Result<()> {
        let make = || {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.directory)
        };
        match make() {
            Err(_) if self.directory.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) => {
                fs::remove_file(&self.directory)?;
                make()
            }
            made => made,
        }
    }

    /// A directory in the place of a file of the index is damage as any other, and goes: everything here is made anew.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let place = self.directory.join(name);
        if place.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            fs::remove_dir_all(&place)?;
        }
        private::write(&place, bytes)
    }

    /// Removes what no catalogue names any more. What cannot be removed is tried again next time.
    fn sweep(&self, catalogue: &Catalogue) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let used = name == CATALOGUE || name == super::whole::KEPT || catalogue.segments.contains(&name);
            let age = entry.metadata().and_then(|meta| meta.modified()).ok();
            let old = age
                .and_then(|age| age.elapsed().ok())
                .is_some_and(|age| age > ORPHAN_AGE);
            if !used && old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
