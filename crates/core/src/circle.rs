//! Whether a session goes round in circles, seen in its tool calls: the same call again and again, a few calls in turn, or
//! a long stretch of calls that were all made before.
//!
//! What counts is that nothing new comes in: a call that changes a file breaks every circle, since the same command after a
//! change is another question. Calls that fail and calls that go well count alike; where agents report only what a call is
//! about, and not what came back, nothing more can be told. Pure: the engine says the first time, stops the second.

use std::collections::{BTreeSet, VecDeque};

use crate::trail::Kind;

/// How often the same call in a row is a circle, where nothing else is set.
pub const REPEATS: u32 = 5;
/// Calls in turn that count as one round, at the most.
const PERIOD_MAX: usize = 3;
/// A stretch of so many times `repeats` calls without a new one is a circle.
const STALE_FACTOR: u32 = 4;
/// Calls that are remembered for good; beyond it the oldest knowledge is dropped as a whole.
const SEEN_MAX: usize = 10_000;

/// What an agent is told that goes round in circles.
pub const NUDGE: &str = "You are going round in circles: your last tool calls repeat earlier ones and nothing has changed in between. \
                         Do not make the same call again. Say what you know and what is missing, then take another way or stop.";

/// A circle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Circle {
    /// The same call so many times in a row.
    Same {
        /// The call.
        call: String,
        /// How often.
        times: u32,
    },
    /// So many calls in turn, round after round.
    InTurn {
        /// The calls.
        calls: Vec<String>,
        /// How many rounds.
        rounds: u32,
    },
    /// So many calls in a row, all of which were made before.
    NothingNew {
        /// How many.
        calls: u32,
    },
}

impl std::fmt::Display for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Circle::Same { call, times } => write!(f, "the same call {times} times in a row (`{call}`)"),
            Circle::InTurn { calls, rounds } => {
                write!(f, "the same calls in turn, {rounds} rounds (`{}`)", calls.join("`, `"))
            }
            Circle::NothingNew { calls } => write!(f, "{calls} calls in a row that were all made before"),
        }
    }
}

/// The watch over the calls of one session.
#[derive(Clone, Debug)]
pub struct Detector {
    repeats: u32,
    recent: VecDeque<String>,
    seen: BTreeSet<String>,
    stale: u32,
}

impl Detector {
    /// A watch that takes `repeats` calls in a row for a circle; two is the least that can be one.
    pub fn new(repeats: u32) -> Detector {
        Detector {
            repeats: repeats.max(2),
            recent: VecDeque::new(),
            seen: BTreeSet::new(),
            stale: 0,
        }
    }

    /// A call came back. A circle is told once; then counting begins anew.
    pub fn came_back(&mut self, tool: &str, about: &str) -> Option<Circle> {
        if Kind::of(tool) == Kind::Change {
            self.recent.clear();
            self.stale = 0;
            return None;
        }
        let call = match about.is_empty() {
            // Nothing is known of it, so it may be another one each time.
            true => return None,
            false => format!("{tool} {about}"),
        };
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        let is_new = self.seen.insert(call.clone());
        self.stale = if is_new { 0 } else { self.stale.saturating_add(1) };
        self.recent.push_back(call);
        if self.recent.len() > self.repeats as usize * PERIOD_MAX {
            self.recent.pop_front();
        }
        let circle = self.same().or_else(|| self.in_turn()).or_else(|| self.nothing_new());
        if circle.is_some() {
            self.recent.clear();
            self.stale = 0;
        }
        circle
    }

    fn same(&self) -> Option<Circle> {
        let last = self.recent.back()?;
        let times = self.recent.iter().rev().take_while(|call| *call == last).count();
        (times >= self.repeats as usize).then(|| Circle::Same {
            call: last.clone(),
            times: self.repeats,
        })
    }

    fn in_turn(&self) -> Option<Circle> {
        let length = self.recent.len();
        let period = (2..=PERIOD_MAX).find(|period| {
            let span = period * self.repeats as usize;
            span <= length && (length - span + period..length).all(|at| self.recent[at] == self.recent[at - period])
        })?;
        Some(Circle::InTurn {
            calls: self.recent.range(length - period..).cloned().collect(),
            rounds: self.repeats,
        })
    }

    fn nothing_new(&self) -> Option<Circle> {
        (self.stale >= self.repeats * STALE_FACTOR).then_some(Circle::NothingNew { calls: self.stale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places at which a circle is told.
    fn told(calls: &[&str]) -> Vec<(usize, String)> {
        let mut detector = Detector::new(3);
        let mut told = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            let (tool, about) = call.split_once(' ').unwrap_or((call, ""));
            told.extend(
                detector
                    .came_back(tool, about)
                    .map(|circle| (place, circle.to_string())),
            );
        }
        told
    }

    #[test]
    fn the_same_call_in_a_row_is_told_once_and_again_when_it_goes_on() {
        let calls = ["Bash ls"; 6];
        let said = "the same call 3 times in a row (`Bash ls`)".to_owned();
        assert_eq!(told(&calls), [(2, said.clone()), (5, said)]);
    }

    #[test]
    fn calls_in_turn_are_a_circle_of_two_or_three() {
        let two = told(&["Bash a", "Read b", "Bash a", "Read b", "Bash a", "Read b"]);
        assert_eq!(
            two,
            [(5, "the same calls in turn, 3 rounds (`Bash a`, `Read b`)".to_owned())]
        );
        let three: Vec<&str> = ["Bash a", "Read b", "Grep c"].repeat(3);
        assert_eq!(told(&three)[0].0, 8);
    }

    #[test]
    fn a_long_stretch_of_known_calls_is_a_circle_whatever_their_order() {
        let known = ["Read a", "Read b", "Read c", "Read d", "Read e"];
        let shuffled = [
            "Read c", "Read a", "Read e", "Read b", "Read d", "Read b", "Read e", "Read a", "Read d", "Read c",
            "Read e", "Read c",
        ];
        let calls = [&known[..], &shuffled[..]].concat();
        assert_eq!(
            told(&calls),
            [(16, "12 calls in a row that were all made before".to_owned())]
        );
    }

    #[test]
    fn work_is_no_circle() {
        // Tests after each change, many changes of one file, reading one thing after the other.
        let cycle = ["Bash cargo test", "Edit src/a.rs", "Edit src/a.rs"].repeat(20);
        assert_eq!(told(&cycle), []);
        let reading: Vec<String> = (0..100).map(|n| format!("Read file{n}")).collect();
        let reading: Vec<&str> = reading.iter().map(String::as_str).collect();
        assert_eq!(told(&reading), []);
        assert_eq!(told(&["tool"; 50]), [], "calls that nothing is known of");
    }
}
