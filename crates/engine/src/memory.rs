//! Notes that outlive a run, kept as files: one a note, named by it, below the state directory. What a note is, who
//! is given it and what it may replace, `context::memory` decides; this keeps and fetches.
//!
//! A file is written beside its place and renamed, and a lock orders those who change something, so notes may be added
//! by any number of processes at once and a kill at any moment leaves each note whole or absent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wheelhouse_context::memory::learn::{self, Lesson};
use wheelhouse_context::memory::{self, Admission, Note, Problem, recall};
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_context::settings::Limits;
use wheelhouse_core::agent::Ended;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::Claimed;
use wheelhouse_core::time::Millis;

use crate::prepare::World;
use crate::supervise;

/// The directory of the notes in the state directory.
const DIRECTORY: &str = "memory";
/// A larger file is no note.
const FILE_MAX: u64 = 16 * 1_024;
/// Files that are looked at; more than there may be notes.
const FILES_MAX: usize = 2 * memory::NOTES_MAX;

/// The notes of one state directory.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

/// What lies there.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The notes, the oldest first.
    pub notes: Vec<Note>,
    /// Files that are no notes, with what is wrong.
    pub damaged: Vec<String>,
}

/// A note could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is none, or there is no room.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The disk said no.
    #[error("the notes in {} cannot be changed: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Shelf {
    /// The notes below a state directory; made with the first note.
    pub fn new(state_dir: &Path) -> Shelf {
        Shelf {
            directory: state_dir.join(DIRECTORY),
        }
    }

    /// Everything that is kept, notes whose time is over too.
    pub fn all(&self) -> Kept {
        let mut kept = Kept::default();
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return kept;
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        for path in paths.into_iter().take(FILES_MAX) {
            match read(&path) {
                Ok(note) => kept.notes.push(note),
                Err(why) => kept.damaged.push(format!("{}: {why}", path.display())),
            }
        }
        kept.notes
            .sort_by(|a, b| a.created_at.cmp(&b.created_at).then(a.id.cmp(&b.id)));
        kept
    }

    /// Takes a note in, or says why not.
    pub fn add(&self, note: Note, now: Millis) -> Result<Admission, Error> {
        let _lock = self.lock().map_err(|source| self.failed(source))?;
        let (admission, going) = memory::admit(&self.all().notes, note, now)?;
        let write = |note: &Note| self.write(note).map_err(|source| self.failed(source));
        match &admission {
            Admission::Added(note) | Admission::Confirmed(note) => write(note)?,
            Admission::Replaced { old, new } => {
                write(new)?;
                self.remove(&old.id).map_err(|source| self.failed(source))?;
            }
            Admission::Known(_) => {}
        }
        for note in going {
            self.remove(&note.id).map_err(|source| self.failed(source))?;
        }
        Ok(admission)
    }

    /// Writes a note anew that was changed, such as one that a person keeps.
    pub fn put(&self, note: &Note) -> Result<(), Error> {
        let _lock = self.lock().map_err(|source| self.failed(source))?;
        self.write(note).map_err(|source| self.failed(source))
    }

    /// Takes a note away; one that is not there is away already.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        let _lock = self.lock().map_err(|source| self.failed(source))?;
        self.remove(id).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io {
            path: self.directory.clone(),
            source,
        }
    }

    fn lock(&self) -> io::Result<File> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.directory.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    fn write(&self, note: &Note) -> io::Result<()> {
        let half = self.directory.join(format!(".{}.{}.part", note.id, std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(&serde_json::to_vec_pretty(note)?)?;
        file.sync_all()?;
        fs::rename(&half, self.path(&note.id))?;
        File::open(&self.directory)?.sync_all()
    }

    fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<Note, String> {
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    if about.len() > FILE_MAX {
        return Err(format!("{} bytes, which is too long for a note", about.len()));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let note: Note = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    // The name is the note's own: a file that was copied or edited by hand is not taken for another note.
    match path.file_stem().is_some_and(|stem| stem.to_string_lossy() == note.id) {
        true => Ok(note),
        false => Err(format!("it says that it is {}", note.id)),
    }
}

/// Puts the notes under a prompt that are about it. The receipt; none where there are none for this agent.
pub(crate) async fn inject(world: &World, claimed: &Claimed, prompt: &mut String) -> Option<Receipt> {
    let limits = world.settings.context.of(&claimed.agent).clone();
    if !limits.is_on(Layer::Memory) {
        return None;
    }
    let shelf = Shelf::new(&world.settings.state_dir);
    let (agent, now, asked) = (claimed.agent.clone(), claimed.at, prompt.clone());
    let given = supervise::blocking(move || {
        let notes = shelf.all().notes;
        recall::give(&notes, &namespaces(&limits, &agent), &asked, limits.memory_tokens, now)
    });
    // Notes that cannot be looked at are not worth a try.
    let (text, receipt) = given.await.ok()?;
    prompt.push_str(&text);
    receipt
}

/// The namespaces whose notes an agent is given: those it is told of, and its own.
fn namespaces(limits: &Limits, agent: &AgentName) -> Vec<String> {
    let own = format!("{}{agent}", memory::AGENT_PREFIX);
    limits.memory.iter().cloned().chain([own]).collect()
}

/// Keeps what a task taught that came out well, for people and later tasks. What was kept, in a line each.
pub(crate) async fn learn(world: &World, claimed: &Claimed, ended: &Ended) -> Vec<String> {
    let limits = world.settings.context.of(&claimed.agent);
    if !ended.outcome.is_success() || !matches!(claimed.spec.work, Work::Prompt(_)) || !limits.is_on(Layer::Memory) {
        return Vec::new();
    }
    let by = format!("{}/{}", claimed.run, claimed.spec.key);
    let output = ended
        .outputs
        .first()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .unwrap_or_default();
    let lesson = Lesson {
        by: &by,
        result: &ended.result,
        output: &output,
        attempts: claimed.attempt,
    };
    let now = claimed.at;
    let notes = learn::learned(&lesson, now);
    if notes.is_empty() {
        return Vec::new();
    }
    let shelf = Shelf::new(&world.settings.state_dir);
    let kept = supervise::blocking(move || {
        let one = |note: Note| match shelf.add(note, now) {
            Ok(Admission::Added(note) | Admission::Replaced { new: note, .. }) => Some(note.to_string()),
            Ok(Admission::Confirmed(_) | Admission::Known(_)) => None,
            Err(error) => Some(format!("not kept: {error}")),
        };
        notes.into_iter().filter_map(one).collect()
    });
    kept.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use wheelhouse_context::memory::{PROJECT, Trust};

    use super::*;

    const NOW: Millis = Millis(7);

    fn note(text: &str) -> Note {
        Note::new(PROJECT, text, Trust::Person, "a person", NOW).unwrap()
    }

    #[test]
    fn notes_survive_and_damage_is_named_and_passed_over() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        assert!(shelf.all().notes.is_empty());
        let kept = note("The staging queue is called q2");
        assert!(matches!(shelf.add(kept.clone(), NOW).unwrap(), Admission::Added(_)));
        let path = shelf.path(&kept.id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(shelf.directory.join("mbroken.json"), "{").unwrap();
        fs::copy(&path, shelf.directory.join("mother.json")).unwrap();
        let all = shelf.all();
        assert_eq!((all.notes, all.damaged.len()), (vec![kept.clone()], 2));
        shelf.forget(&kept.id).unwrap();
        shelf.forget(&kept.id).unwrap();
        assert!(shelf.all().notes.is_empty());
    }

    #[test]
    fn several_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        std::thread::scope(|scope| {
            for n in 0..8 {
                let shelf = shelf.clone();
                scope.spawn(move || shelf.add(note(&format!("number {n}")), NOW).unwrap());
            }
        });
        assert_eq!(shelf.all().notes.len(), 8);
    }
}
