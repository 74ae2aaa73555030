//! What the tool calls of one try tell: its trail, and whether it goes round in circles.

use std::collections::BTreeMap;

use wheelhouse_context::settings::{EarlyStop, Limits};
use wheelhouse_core::agent::{Capabilities, Order, ToolStatus};
use wheelhouse_core::circle::{Circle, Detector, NUDGE};
use wheelhouse_core::trail::Trail;

/// Calls under way that are remembered; an agent has a few.
const OPEN_MAX: usize = 1_000;

/// The calls of one try.
pub(crate) struct Steps {
    open: BTreeMap<String, String>,
    trail: Trail,
    detector: Option<Detector>,
    early_stop: EarlyStop,
    can: Capabilities,
    was_told: bool,
    stopped: Option<String>,
}

/// What is done about a circle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Circled {
    /// These words go into the turn.
    Nudge(&'static str),
    /// It stands in the history.
    Seen,
    /// The try ends.
    Stop(Order),
}

impl Steps {
    pub(crate) fn new(limits: &Limits, can: Capabilities) -> Steps {
        Steps {
            open: BTreeMap::new(),
            trail: Trail::default(),
            detector: (limits.early_stop != EarlyStop::Off).then(|| Detector::new(limits.repeats)),
            early_stop: limits.early_stop,
            can,
            was_told: false,
            stopped: None,
        }
    }

    /// A call began; many agents say only now what it is about.
    pub(crate) fn called(&mut self, id: String, about: String) {
        if self.open.len() < OPEN_MAX {
            self.open.insert(id, about);
        }
    }

    /// A call came back. What it was about, and the circle it closes.
    pub(crate) fn came_back(
        &mut self,
        id: &str,
        tool: &str,
        status: ToolStatus,
        detail: &str,
    ) -> (String, Option<Circle>) {
        let about = self.open.remove(id).filter(|about| !about.is_empty());
        let about = about.unwrap_or_else(|| detail.to_owned());
        let said = if about == detail { "" } else { detail };
        self.trail.came_back(tool, &about, status, said);
        let circle = self
            .detector
            .as_mut()
            .and_then(|detector| detector.came_back(tool, &about));
        (about, circle)
    }

    /// What is done about a circle in a task: a word first where it can be said, and the end when it goes on.
    pub(crate) fn circled(&mut self, why: &str) -> Circled {
        match (self.was_told, self.early_stop) {
            (false, _) => {
                self.was_told = true;
                if self.can.steer {
                    Circled::Nudge(NUDGE)
                } else {
                    Circled::Seen
                }
            }
            (true, EarlyStop::Stop) => {
                self.stopped = Some(why.to_owned());
                Circled::Stop(if self.can.interrupt {
                    Order::Interrupt
                } else {
                    Order::Stop
                })
            }
            (true, EarlyStop::Nudge | EarlyStop::Off) => Circled::Seen,
        }
    }

    /// Why it was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// What it did.
    pub(crate) fn trail(&self) -> &Trail {
        &self.trail
    }
}
