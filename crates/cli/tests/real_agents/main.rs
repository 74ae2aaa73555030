//! The whole program with the real agents against the fake model: several vendors in one plan, kills in the middle of one,
//! bad days, and what `doctor --probe` says. Run by hand: `WHEELHOUSE_REAL_AGENTS=DIR cargo test -- --ignored
//! real_agents`, where `DIR/node_modules/.bin` has the programs (see docs/fake-model-api.md).
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::store::{Reader, Store, TaskView};
use wheelhouse_store::{SqliteStore, SystemClock};

mod bad_days;
mod kills;
mod plans;
mod probe;
#[path = "../real/mod.rs"]
mod real;

use real::{Engine, House, wait_for};

/// What these tests look at.
impl House {
    pub(crate) fn reader(&self) -> Box<dyn Reader> {
        let path = self.project().join(".wheelhouse/wheelhouse.db");
        let store = SqliteStore::open(&path, std::sync::Arc::new(SystemClock::new())).unwrap();
        store.reader().unwrap()
    }

    pub(crate) fn tasks(&self) -> Vec<TaskView> {
        self.reader().tasks(RunId(1), 0, 100).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.reader().events(Cursor(0), None, 1_000_000).unwrap()
    }

    /// The sessions that the tries of a task began or went on in, in order.
    pub(crate) fn starts(&self, key: &str) -> Vec<Option<String>> {
        let tasks = self.tasks();
        let task = tasks.iter().find(|task| task.key.as_str() == key).unwrap().id;
        let events = self.events().into_iter().filter(|event| event.task == Some(task));
        events
            .filter_map(|event| match event.happened {
                Happened::AttemptStarted { session, .. } => Some(session),
                _ => None,
            })
            .collect()
    }
}

impl House {
    /// Puts settings before the others.
    pub(crate) fn set_first(&self, settings: &str) {
        let place = self.project().join("wheelhouse.toml");
        let others = fs::read_to_string(&place).unwrap();
        fs::write(place, format!("{settings}{others}")).unwrap();
    }
}

impl Engine {
    pub(crate) fn strike(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self, told: &str) -> std::process::ExitStatus {
        let mut status = None;
        wait_for(
            || format!("{told}: the engine's end"),
            || {
                status = self.0.try_wait().unwrap();
                status.is_some()
            },
        );
        status.unwrap()
    }

    /// Kills all below it that are meant.
    pub(crate) fn kill_below(&self, is_meant: impl Fn(&str) -> bool) {
        let meant: Vec<u32> = below(self.0.id())
            .into_iter()
            .filter_map(|(pid, line)| is_meant(&line).then_some(pid))
            .collect();
        assert!(!meant.is_empty(), "nobody to kill: {:#?}", below(self.0.id()));
        for pid in meant {
            // The death of one may have been the end of the other.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// The processes below one, with their command lines.
fn below(pid: u32) -> Vec<(u32, String)> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut found = Vec::new();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        found.push((child, String::from_utf8_lossy(&line).replace('\0', " ")));
        found.extend(below(child));
    }
    found
}
