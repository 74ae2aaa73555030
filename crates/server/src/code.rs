//! The code of the project, for questions: one index for all callers, opened when somebody first asks.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wheelhouse_engine::codebase::{Codebase, Stages, index_in};

use crate::face::failure::Failure;
use crate::face::find::{self, Answer, Ask};

/// A look at the tree is good for so long: an agent asks several questions in a row.
const FRESH: Duration = Duration::from_secs(2);

/// The code that can be searched.
pub(crate) struct Code {
    project: PathBuf,
    index: PathBuf,
    opened: Mutex<Option<Codebase>>,
    stages: Stages,
}

impl Code {
    /// The code of a project whose state lies there.
    pub(crate) fn new(project: PathBuf, state_dir: &Path, stages: Stages) -> Code {
        Code {
            project,
            index: index_in(state_dir),
            opened: Mutex::new(None),
            stages,
        }
    }

    /// Where it is.
    pub(crate) fn project(&self) -> &Path {
        &self.project
    }

    /// Answers a question. One at a time; it looks at the tree, so call it off the async threads.
    pub(crate) fn find(&self, ask: &Ask) -> Result<Answer, Failure> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let codebase = opened.get_or_insert_with(|| Codebase::open(&self.project, Some(&self.index)));
        find::find(codebase, ask, FRESH, &self.stages)
    }
}
