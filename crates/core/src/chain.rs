//! Chains of fallbacks: who does a task next when the one before did not, and which answer counts in the end.
//!
//! A task's chain is its own agent and what its `fallback` or `chain` names, in order. What an end of a try leads to
//! is decided in [`crate::disposition`]; here stands what stores need when they hand a task out ([`way`]) and what
//! readers need when several tries gave answers ([`answer`]). All of it is computed from what is stored, so a chain
//! goes on where it was after any crash, and nothing that was paid for is asked again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::AgentName;
use crate::outcome::Outcome;
use crate::spec::{RETRY_MAX, TaskSpec};
use crate::store::TaskResult;
use crate::time::{Millis, human};

/// The kind of report that decisions about a chain are written down as.
pub const REPORT_KIND: &str = "chain";
/// The most retries that a chain of a file may ask for; [`RETRY_MAX`] of them are done.
pub const RETRIES_READ_MAX: u32 = 3;
/// The most links of one chain.
pub const LINKS_MAX: usize = 32;
/// The confidence (0 to 100) below which an answer is weak, where a task does not say.
pub const CONFIDENCE_MIN: u8 = 30;
/// How long a link is taken to need, in milliseconds: who is asked to wait longer than that, and has somebody to go
/// to, goes.
pub const EXPECTED_MS: u64 = 10_000;

/// Who can be asked again within so long is waited for, though somebody else could be asked at once.
pub const SOON: Duration = Duration::from_millis(500);

/// A chain as a routing file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// The options, first choice first.
    pub links: Vec<Named>,
}

/// An option of a [`Chain`]: a model or agent that is yet to be found here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The model or agent.
    pub name: String,
    /// How long one try may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often a failed try is repeated here, as written.
    pub retry: u32,
}

/// One option of a task's chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Who.
    pub agent: AgentName,
    /// With which model; the agent's own when absent.
    pub model: Option<String>,
    /// How long one try may take, in milliseconds; as long as the task's own when absent.
    pub timeout_ms: Option<u64>,
    /// How often a failed try is repeated here; as often as the task's own when absent.
    pub retry_max: Option<u32>,
    /// How many tokens of context it takes, when known.
    pub window_tokens: Option<u64>,
}

impl Link {
    /// That agent, and nothing else said.
    pub fn of(agent: AgentName) -> Link {
        Link {
            agent,
            model: None,
            timeout_ms: None,
            retry_max: None,
            window_tokens: None,
        }
    }

    /// For people: `codex`, `claude with claude-opus-4-6`.
    pub fn shown(&self) -> String {
        match &self.model {
            Some(model) => format!("{} with {model}", self.agent),
            None => self.agent.to_string(),
        }
    }
}

impl TaskSpec {
    /// The option at that place of the chain, with the task's own limits where it has none; the first is 0.
    pub fn link(&self, place: u32) -> Option<Link> {
        let link = match place.checked_sub(1) {
            None => Link {
                model: self.model.clone(),
                window_tokens: self.window_tokens,
                ..Link::of(self.agent.clone())
            },
            Some(after) => self.fallback.get(after as usize)?.clone(),
        };
        Some(Link {
            timeout_ms: link.timeout_ms.or(Some(self.timeout_ms)),
            retry_max: Some(link.retry_max.unwrap_or(self.retry_max).min(RETRY_MAX)),
            ..link
        })
    }

    /// How many options the chain has.
    pub fn links(&self) -> u32 {
        u32::try_from(self.fallback.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// How long all tries together may take, waits included, in milliseconds: what the plan says, else the sum of what
    /// all tries may take, which bounds the waits.
    pub fn deadline_or_sum_ms(&self) -> u64 {
        let sum = || {
            let links = (0..self.links()).filter_map(|place| self.link(place));
            let spans = links.map(|link| {
                let tries = u64::from(link.retry_max.unwrap_or(0)) + 1;
                link.timeout_ms.unwrap_or(self.timeout_ms).saturating_mul(tries)
            });
            spans.fold(0, u64::saturating_add)
        };
        self.deadline_ms.unwrap_or_else(sum)
    }
}

impl From<&str> for Link {
    fn from(agent: &str) -> Link {
        Link::of(agent.into())
    }
}

/// What keeps an option from being asked now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Obstacle {
    /// Until when.
    pub until: Millis,
    /// What.
    pub what: Barrier,
}

/// What kind of obstacle it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barrier {
    /// It failed too often of late.
    Breaker,
    /// Its account is used up.
    Allowance,
}

/// What becomes of a task that is about to be handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// It goes on as it stands.
    Free,
    /// It goes to that place of its chain.
    On(u32),
    /// Nobody of the rest can be asked: it waits for the first who can.
    Waits(Obstacle),
}

/// Whether a task at that place of its chain can be handed out, must move on, or waits, which is never longer than its
/// deadline.
///
/// # Errors
/// What `obstacle` fails with.
pub fn way<E>(
    spec: &TaskSpec,
    place: u32,
    (since, now): (Option<Millis>, Millis),
    mut obstacle: impl FnMut(u32, &Link) -> Result<Option<Obstacle>, E>,
) -> Result<Way, E> {
    let deadline = since.map(|since| Millis(since.0.saturating_add(spec.deadline_or_sum_ms())));
    // Its time is over: whoever takes it ends it without asking anybody.
    if deadline.is_some_and(|deadline| deadline <= now) {
        return Ok(Way::Free);
    }
    let mut first: Option<Obstacle> = None;
    for at in place..spec.links() {
        let Some(link) = spec.link(at) else { break };
        match obstacle(at, &link)? {
            None if at == place => return Ok(Way::Free),
            None => return Ok(Way::On(at)),
            // A retry that comes a moment before the time its provider asked for.
            Some(found) if at == place && found.until.since(now) <= SOON => {
                first = Some(found);
                break;
            }
            Some(found) if first.is_none_or(|first| found.until < first.until) => first = Some(found),
            Some(_) => {}
        }
    }
    Ok(first.map_or(Way::Free, |Obstacle { until, what }| {
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        Way::Waits(Obstacle { until, what })
    }))
}

/// How it is written down that a task moves on although nobody was asked.
pub fn moved_on(spec: &TaskSpec, from: u32, to: u32) -> String {
    let shown = |place| spec.link(place).map_or_else(String::new, |link| link.shown());
    format!(
        "{} cannot be asked now: on to {} ({} of {})",
        shown(from),
        shown(to),
        to + 1,
        spec.links()
    )
}

/// How it is written down that a task goes on along its chain after a try; nothing when it stays where it is.
pub fn went_on(spec: &TaskSpec, from: u32, to: u32, outcome: &Outcome, unwaited_ms: Option<u64>) -> Option<String> {
    let shown = |place| spec.link(place).map_or_else(String::new, |link| link.shown());
    let unwaited = unwaited_ms.map(Duration::from_millis);
    let unwaited = unwaited.map_or_else(String::new, |wait| format!(", which asked to wait {}", human(wait)));
    (from != to).then(|| {
        format!(
            "{outcome} on {}{unwaited}: on to {} ({} of {})",
            shown(from),
            shown(to),
            to + 1,
            spec.links()
        )
    })
}

/// How it is written down that nobody of a chain can be asked.
pub fn barred(spec: &TaskSpec, place: u32, obstacle: Obstacle, now: Millis) -> String {
    let shown = spec.link(place).map_or_else(String::new, |link| link.shown());
    let rest = match spec.links().saturating_sub(place + 1) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    let why = match obstacle.what {
        Barrier::Breaker => "failed too often of late and is left alone",
        Barrier::Allowance => "has used its allowance up",
    };
    format!("{shown}{rest} {why} for {}", human(obstacle.until.since(now)))
}

/// Whether there is an answer that is only not good enough.
pub fn is_weak(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::LowConfidence | Outcome::GateFailed | Outcome::Malformed
    )
}

/// Which of these ended tries, oldest first, gave the task's answer: the last one when it was good; else the best of the
/// weak ones, because what was paid for is not thrown away; else the last.
pub fn answer<'r>(
    tries: impl DoubleEndedIterator<Item = (&'r Outcome, &'r TaskResult)> + ExactSizeIterator,
) -> Option<usize> {
    let count = tries.len();
    let mut best: Option<(usize, (u8, u8))> = None;
    for (place, (outcome, result)) in tries.enumerate() {
        let last = place + 1 == count;
        if last && outcome.is_success() {
            return Some(place);
        }
        if !is_weak(outcome) || result.artifacts.is_empty() {
            continue;
        }
        // A failed gate says more about an answer than the answer says about itself.
        let rank = match outcome {
            Outcome::LowConfidence => (1, result.confidence.unwrap_or(0)),
            _ => (0, result.confidence.unwrap_or(0)),
        };
        if best.is_none_or(|(_, so_far)| so_far <= rank) {
            best = Some((place, rank));
        }
    }
    best.map(|(place, _)| place).or_else(|| count.checked_sub(1))
}
