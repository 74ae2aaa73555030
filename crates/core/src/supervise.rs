//! When a turn seems to hang, and what is done about it, in order: nudge, interrupt, tell a person.
//!
//! A hang is seen by lack of progress, never by a process that lives. Pure: the moments come in as milliseconds since the
//! turn began. The engine's own timers (`timeout`, `idle_timeout`) stand behind this and end what nothing helped.

use crate::agent::Capabilities;
use crate::circle;
use crate::crew::CrewPolicy;

/// What a silent agent is told.
pub const NUDGE: &str = "You have shown no sign of progress for a while. Say in one line where you stand; if you are stuck, say on \
                         what, and stop.";
/// What an agent is told that meets the same error again and again.
pub const LOOP: &str = "The same error has come back several times in a row. Do not try the same again: say what it means, and take \
                        another way or stop.";

/// What is to be done about a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Say these words into the turn.
    Nudge(&'static str),
    /// End the turn and keep the session.
    Interrupt,
    /// Tell a person; nothing more is done by itself.
    Escalate,
}

/// The watch over one turn.
#[derive(Clone, Debug)]
pub struct Watch {
    stuck_after_ms: u64,
    cooldown_ms: u64,
    error_loop: u32,
    interventions_max: u32,
    can: Capabilities,
    interventions: u32,
    last_ms: Option<u64>,
    escalated: bool,
    failure: Option<(String, u32)>,
}

impl Watch {
    /// A watch with the policy's limits, over an agent that can do this.
    pub fn new(policy: &CrewPolicy, can: Capabilities) -> Watch {
        Watch {
            stuck_after_ms: policy.stuck_after_ms,
            cooldown_ms: policy.cooldown_ms,
            error_loop: policy.error_loop,
            interventions_max: policy.interventions_max,
            can,
            interventions: 0,
            last_ms: None,
            escalated: false,
            failure: None,
        }
    }

    /// When [`Watch::look`] has something to say, if nothing is heard until then; none when it has said everything.
    pub fn due_ms(&self, heard_ms: u64) -> Option<u64> {
        let stuck = heard_ms.saturating_add(self.stuck_after_ms);
        let cool = self.last_ms.map_or(0, |last| last.saturating_add(self.cooldown_ms));
        (!self.escalated).then_some(stuck.max(cool))
    }

    /// What to do now about an agent that was last heard at `heard_ms`.
    pub fn look(&mut self, heard_ms: u64, now_ms: u64) -> Option<Move> {
        self.due_ms(heard_ms).filter(|due| *due <= now_ms)?;
        Some(self.intervene(now_ms, NUDGE))
    }

    /// A tool call came back with this error. The same one so many times in a row is a loop.
    pub fn failed(&mut self, what: &str, now_ms: u64) -> Option<Move> {
        let times = match &mut self.failure {
            Some((last, times)) if last == what => {
                *times = times.saturating_add(1);
                *times
            }
            _ => {
                self.failure = Some((what.to_owned(), 1));
                1
            }
        };
        if self.error_loop == 0 || times < self.error_loop || self.escalated {
            return None;
        }
        self.failure = None;
        Some(self.intervene(now_ms, LOOP))
    }

    /// The turn goes round in circles.
    pub fn circled(&mut self, now_ms: u64) -> Option<Move> {
        (!self.escalated).then(|| self.intervene(now_ms, circle::NUDGE))
    }

    /// A tool call came back well: whatever loop there was is left.
    pub fn succeeded(&mut self) {
        self.failure = None;
    }

    fn intervene(&mut self, now_ms: u64, words: &'static str) -> Move {
        self.last_ms = Some(now_ms);
        self.interventions += 1;
        let last = self.interventions >= self.interventions_max;
        match self.interventions {
            _ if last => {
                self.escalated = true;
                Move::Escalate
            }
            1 if self.can.steer => Move::Nudge(words),
            _ if self.can.interrupt => Move::Interrupt,
            _ => {
                self.escalated = true;
                Move::Escalate
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(steer: bool, interrupt: bool) -> Watch {
        let policy = CrewPolicy {
            stuck_after_ms: 300,
            cooldown_ms: 60,
            ..CrewPolicy::default()
        };
        let can = Capabilities {
            steer,
            interrupt,
            ..Capabilities::default()
        };
        Watch::new(&policy, can)
    }

    #[test]
    fn silence_is_met_in_order_and_each_step_once() {
        let mut watch = watch(true, true);
        assert_eq!(watch.due_ms(0), Some(300));
        assert_eq!(watch.look(0, 299), None);
        assert_eq!(watch.look(0, 300), Some(Move::Nudge(NUDGE)));
        assert_eq!(watch.look(0, 359), None, "it has time to answer");
        assert_eq!(watch.look(0, 360), Some(Move::Interrupt));
        assert_eq!(watch.look(0, 420), Some(Move::Escalate));
        assert_eq!((watch.look(0, 9_999), watch.due_ms(0)), (None, None));
    }

    #[test]
    fn who_speaks_again_is_left_alone_until_it_is_silent_again() {
        let mut watch = watch(true, true);
        assert_eq!(watch.look(0, 300), Some(Move::Nudge(NUDGE)));
        assert_eq!(watch.look(310, 609), None);
        assert_eq!(watch.look(310, 610), Some(Move::Interrupt));
    }

    #[test]
    fn what_an_agent_cannot_do_is_not_asked_of_it() {
        assert_eq!(watch(false, true).look(0, 300), Some(Move::Interrupt));
        assert_eq!(watch(false, false).look(0, 300), Some(Move::Escalate));
    }

    #[test]
    fn the_same_error_again_and_again_is_a_loop() {
        let mut watch = watch(true, true);
        let mut failed = |what: &str| watch.failed(what, 10);
        assert_eq!(
            (failed("a"), failed("a"), failed("b"), failed("a"), failed("a")),
            (None, None, None, None, None)
        );
        assert_eq!(failed("a"), Some(Move::Nudge(LOOP)));
        watch.succeeded();
        assert_eq!(watch.failed("a", 20), None);
    }
}
