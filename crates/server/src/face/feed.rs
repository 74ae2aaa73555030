//! The history as it grows: reads what is new since the last time, with the names that events leave out.

use std::collections::HashMap;

use wheelhouse_core::event::Event;
use wheelhouse_core::ids::{Cursor, RunId, TaskId, TaskKey};
use wheelhouse_core::store::Reader;

use super::failure::Failure;

/// How many events are read at a time.
const PAGE: u32 = 1_000;
/// How many names are remembered; a feed over a huge run forgets and asks again.
const NAMES_MAX: usize = 100_000;

/// Where a reader of the history stands.
pub struct Feed {
    /// The last event seen.
    pub cursor: Cursor,
    /// The run it is about; all when absent.
    pub run: Option<RunId>,
    names: HashMap<TaskId, TaskKey>,
}

/// An event with the name of its task.
#[derive(Debug)]
pub struct News {
    /// What happened.
    pub event: Event,
    /// To which task, if to one.
    pub key: Option<TaskKey>,
}

impl Feed {
    /// A feed of what comes after `cursor`.
    pub fn new(cursor: Cursor, run: Option<RunId>) -> Feed {
        Feed {
            cursor,
            run,
            names: HashMap::new(),
        }
    }

    /// Moves to the end of the history without reading it out: doubles the step until nothing is left, then halves it.
    pub fn skip_to_end(&mut self, reader: &mut dyn Reader) -> Result<(), Failure> {
        let mut after = |cursor: u64| {
            reader
                .events(Cursor(cursor), self.run, 1)
                .map(|events| events.into_iter().next())
        };
        let mut low = self.cursor.0;
        let mut step = 1u64;
        while let Some(event) = after(low.saturating_add(step))? {
            low = event.cursor.0;
            step = step.saturating_mul(2);
        }
        let mut high = low.saturating_add(step);
        // There is nothing after `high`; the end is the smallest such place that is not before `low`.
        while low < high {
            let middle = low + (high - low) / 2;
            match after(middle)? {
                Some(event) => low = event.cursor.0.max(middle + 1),
                None => high = middle,
            }
        }
        self.cursor = Cursor(high);
        Ok(())
    }

    /// The next events, at most `PAGE`; empty when there is nothing new.
    pub fn next(&mut self, reader: &mut dyn Reader) -> Result<Vec<News>, Failure> {
        let events = reader.events(self.cursor, self.run, PAGE)?;
        if self.names.len() > NAMES_MAX {
            self.names.clear();
        }
        let mut news = Vec::with_capacity(events.len());
        for event in events {
            self.cursor = event.cursor;
            let key = match event.task {
                Some(task) => self.name(reader, task)?,
                None => None,
            };
            news.push(News { event, key });
        }
        Ok(news)
    }

    fn name(&mut self, reader: &mut dyn Reader, task: TaskId) -> Result<Option<TaskKey>, Failure> {
        if let Some(key) = self.names.get(&task) {
            return Ok(Some(key.clone()));
        }
        let Some(view) = reader.task(task)? else {
            return Ok(None);
        };
        self.names.insert(task, view.key.clone());
        Ok(Some(view.key))
    }
}
