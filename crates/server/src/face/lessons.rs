//! What searches for tools led to, kept on disk: the need in the caller's words, and the tool that was used.
//!
//! A file of its owner alone, a line a lesson, the newest [`LESSONS_MAX`]. Losing it costs the order of some search, so nothing here
//! is a failure.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How many lessons are kept.
const LESSONS_MAX: usize = 2_000;
/// How much of a need is kept, in bytes.
const NEED_MAX: usize = 300;
/// How many callers' last searches are remembered.
const CALLERS_MAX: usize = 256;

#[derive(Serialize, Deserialize)]
struct Lesson {
    need: String,
    tool: String,
}

/// The lessons of a project.
pub(super) struct Lessons {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Read when they are needed first.
    all: Option<Vec<Lesson>>,
    /// What each caller was last shown, and for what.
    shown: BTreeMap<String, (String, Vec<String>)>,
}

impl Lessons {
    pub(super) fn new(path: PathBuf) -> Lessons {
        Lessons {
            path,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.all.is_none() {
            let text = fs::read_to_string(&self.path).unwrap_or_default();
            let mut all: Vec<Lesson> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let surplus = all.len().saturating_sub(LESSONS_MAX);
            all.drain(..surplus);
            held.all = Some(all);
        }
        held
    }

    /// Every lesson, oldest first.
    pub(super) fn each(&self, mut take: impl FnMut(&str, &str)) {
        for lesson in self.held().all.iter().flatten() {
            take(&lesson.need, &lesson.tool);
        }
    }

    /// A caller was shown these for that need.
    pub(super) fn shown(&self, who: &str, need: &str, names: Vec<String>) {
        let mut held = self.held();
        if held.shown.len() >= CALLERS_MAX {
            held.shown.clear();
        }
        let need = need[..need.floor_char_boundary(NEED_MAX)].to_owned();
        held.shown.insert(who.to_owned(), (need, names));
    }

    /// A caller used that tool; the need, when it was shown it for one.
    pub(super) fn used(&self, who: &str, name: &str) -> Option<String> {
        let mut held = self.held();
        let (need, names) = held.shown.get(who)?;
        if !names.iter().any(|shown| shown == name) {
            return None;
        }
        let need = need.clone();
        // One search teaches once.
        held.shown.remove(who);
        let lesson = Lesson {
            need: need.clone(),
            tool: name.to_owned(),
        };
        let all = held.all.get_or_insert_default();
        all.push(lesson);
        // Twice the limit before it is written anew, so that it is not written anew each time.
        let anew = all.len() >= LESSONS_MAX * 2;
        if anew {
            all.drain(..LESSONS_MAX);
        }
        let lines = if anew { &all[..] } else { &all[all.len() - 1..] };
        let text: String = lines
            .iter()
            .filter_map(|lesson| Some(format!("{}\n", serde_json::to_string(lesson).ok()?)))
            .collect();
        if let Some(dir) = self.path.parent() {
            let _ = fs::create_dir_all(dir);
        }
        let file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .append(!anew)
            .truncate(anew)
            .mode(0o600)
            .open(&self.path);
        let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
        Some(need)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_search_led_to_outlives_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tools/lessons.jsonl");
        let lessons = Lessons::new(path.clone());
        assert_eq!(lessons.used("i1", "db/query"), None);
        lessons.shown("i1", "how many orders", vec!["db/query".to_owned()]);
        assert_eq!(lessons.used("i2", "db/query"), None, "another one searched");
        assert_eq!(lessons.used("i1", "db/drop"), None, "it was not shown that");
        assert_eq!(lessons.used("i1", "db/query").as_deref(), Some("how many orders"));
        assert_eq!(lessons.used("i1", "db/query"), None, "one search teaches once");
        let mut read = Vec::new();
        Lessons::new(path).each(|need, tool| read.push(format!("{need}: {tool}")));
        assert_eq!(read, ["how many orders: db/query"]);
    }
}
