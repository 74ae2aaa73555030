//! The stored state of the project as commands use it: opened once; things in it are looked up by the names people type.

use std::sync::Arc;

use wheelhouse_core::store::{self, Command, Reader, Reply, Store};
pub(crate) use wheelhouse_server::face::name::{Named, QUEUE, named, question, queue, run, task};
use wheelhouse_server::face::verb::Truth;
use wheelhouse_store::{SqliteReader, SqliteStore, SystemClock};

use crate::exit;
use crate::failure::Failure;
use crate::place::Place;

/// The opened store with its place.
pub(crate) struct State {
    /// For changes.
    pub(crate) store: Box<dyn Store>,
    /// For questions.
    pub(crate) reader: Box<dyn Reader>,
}

impl State {
    /// Opens the state, making it when there is none.
    pub(crate) fn open(place: &Place) -> Result<State, Failure> {
        place.create()?;
        let store = SqliteStore::open(&place.database(), Arc::new(SystemClock::new()))?;
        let reader = store.reader()?;
        Ok(State {
            store: Box::new(store),
            reader,
        })
    }

    /// Opens the state for changes, or says that there is none.
    pub(crate) fn expect(place: &Place) -> Result<State, Failure> {
        if place.database().exists() {
            State::open(place)
        } else {
            Err(nothing_here(place))
        }
    }

    /// Both halves, as the verbs take them.
    pub(crate) fn truth(&mut self) -> Truth<'_> {
        Truth {
            store: self.store.as_mut(),
            reader: self.reader.as_mut(),
        }
    }

    /// Applies one change.
    pub(crate) fn change(&mut self, command: Command) -> Result<Reply, Failure> {
        self.truth().change(command)
    }
}

/// Opens the state for questions alone, if there is any. Makes nothing and waits for nobody.
pub(crate) fn look(place: &Place) -> Result<Option<Box<dyn Reader>>, Failure> {
    let database = place.database();
    if !database.exists() {
        return Ok(None);
    }
    match SqliteReader::open(&database) {
        Ok(reader) => Ok(Some(Box::new(reader))),
        // A store of an earlier version is brought up to date by opening it for changes.
        Err(store::Failure::Io(_)) => Ok(Some(State::open(place)?.reader)),
        Err(failure) => Err(failure.into()),
    }
}

/// Opens the state for questions, or says that there is none.
pub(crate) fn expect(place: &Place) -> Result<Box<dyn Reader>, Failure> {
    look(place)?.ok_or_else(|| nothing_here(place))
}

fn nothing_here(place: &Place) -> Failure {
    Failure::new(
        exit::NOT_FOUND,
        format!(
            "nothing has run here yet: there is no state in {}",
            place.state_dir.display()
        ),
    )
    .hint("`wheelhouse run PLAN` makes it; `-C DIR` works in another project")
}
