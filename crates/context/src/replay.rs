//! A recorded session played again with layers on and off: what every call would have sent, read from the cache and
//! cost, and what a layer would have hidden that was needed later.
//!
//! The session's own words stay as they are: an agent that had been given less might have said something else, so this
//! tells what a layer does to the bill of the same work, not what it does to the work. [`regret`] is the other half:
//! how much of what was really used later would not have been in sight.

pub mod read;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wheelhouse_core::circle::Detector;
use wheelhouse_core::price::Price;

use crate::account::{Difference, Measured, Pair, compare, shapley};
use crate::cache::{Bill, Cache, Segment, Simulator};
use crate::{count, encode, reduce};

/// Who says a part of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Instructions before everything else.
    System,
    /// The person.
    User,
    /// The model; each of these is one call.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One part of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// Its words; for the model its tool calls too.
    pub text: String,
    /// Its tool calls.
    pub calls: Vec<Call>,
}

/// A tool call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// What it was given, as text.
    pub arguments: String,
}

/// A recorded session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Session {
    /// Its parts, in order.
    pub messages: Vec<Message>,
    /// Whether it came out right, where the record says so.
    pub succeeded: Option<bool>,
}

/// Layers that a session can be played with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// A tool result that is JSON is appended in its smallest form ([`encode`]).
    Encoding,
    /// A tool result above so many tokens is reduced when it is appended ([`reduce`]).
    Reduction(u64),
    /// All tool results but the last so many are masked in each call: what a rolling window does.
    Rolling(usize),
    /// The same, but only when so many tokens can go at once, so that the prefix changes seldom.
    Batch(usize, u64),
}

impl Step {
    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Step::Encoding => "encoding".to_owned(),
            Step::Reduction(cap) => format!("reduction at {cap}"),
            Step::Rolling(keep) => format!("rolling window of {keep}"),
            Step::Batch(keep, tokens) => format!("batches of {tokens}, keeping {keep}"),
        }
    }
}

/// What stands in place of a masked result; as short as such notes are.
const MASKED: &str = "[earlier result left out; ask for it again if it is needed]";
/// Tokens around each message: its role and separators.
const FRAME_TOKENS: u64 = 4;
/// Seconds between calls: far less than any cache lives.
const CALL_S: u64 = 10;

/// A session as it is sent with some steps on.
struct Sent {
    /// Each message's token count and identity when it is shown, and when it is masked.
    shown: Vec<Segment>,
    texts: Vec<String>,
}

/// Plays a session; `steps` are applied in their order. Counts are of `o200k_base`, scaled by `permille`.
pub fn play(session: &Session, steps: &[Step], price: &Price, cache: Cache, permille: u32) -> Bill {
    let sent = appended(session, steps);
    let mut simulator = Simulator::new(price.clone(), cache);
    let mut bill = Bill::default();
    let mut masks = Masks::default();
    for (at, message) in session.messages.iter().enumerate() {
        if message.role != Role::Assistant {
            continue;
        }
        masks.advance(session, &sent, steps, at);
        let prompt: Vec<Segment> = (0..at)
            .map(|part| scaled(masks.segment(&sent, part), permille))
            .collect();
        let output = count::tokens(&message.text) * u64::from(permille) / 1_000;
        bill = bill.plus(simulator.call(bill.calls * CALL_S, &prompt, output));
    }
    bill
}

fn scaled(segment: Segment, permille: u32) -> Segment {
    Segment {
        id: segment.id,
        tokens: segment.tokens * u64::from(permille) / 1_000,
    }
}

/// The messages as they are appended.
fn appended(session: &Session, steps: &[Step]) -> Sent {
    let mut sent = Sent {
        shown: Vec::new(),
        texts: Vec::new(),
    };
    for message in &session.messages {
        let mut text = message.text.clone();
        if message.role == Role::Tool {
            for step in steps {
                match step {
                    Step::Encoding => text = smallest(&text),
                    Step::Reduction(cap) => text = reduce::reduce("tool", &text, "result_1", *cap).text,
                    Step::Rolling(_) | Step::Batch(..) => {}
                }
            }
        }
        sent.shown.push(segment(&text));
        sent.texts.push(text);
    }
    sent
}

fn smallest(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => encode::encode(&value).text,
        _ => text.to_owned(),
    }
}

fn segment(text: &str) -> Segment {
    let hash = blake3::hash(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    Segment {
        id: u64::from_le_bytes(first),
        tokens: count::tokens(text) + FRAME_TOKENS,
    }
}

/// Which messages are masked at the moment.
#[derive(Default)]
struct Masks {
    masked: BTreeSet<usize>,
}

impl Masks {
    /// What is masked when the call at `at` is made.
    fn advance(&mut self, session: &Session, sent: &Sent, steps: &[Step], at: usize) {
        let results = || (0..at).filter(|part| session.messages[*part].role == Role::Tool);
        for step in steps {
            let (keep, tokens_min) = match step {
                Step::Rolling(keep) => (*keep, 0),
                Step::Batch(keep, tokens) => (*keep, *tokens),
                Step::Encoding | Step::Reduction(_) => continue,
            };
            let old = results().count().saturating_sub(keep);
            let due: Vec<usize> = results().take(old).filter(|part| !self.masked.contains(part)).collect();
            let tokens: u64 = due.iter().map(|part| sent.shown[*part].tokens).sum();
            if tokens > tokens_min {
                self.masked.extend(due);
            }
        }
    }

    fn segment(&self, sent: &Sent, part: usize) -> Segment {
        if self.masked.contains(&part) {
            segment(MASKED)
        } else {
            sent.shown[part]
        }
    }
}

/// Of the identifiers that tool calls used and that only tool results had told, how many would not have been in sight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Regret {
    /// Identifiers that came from tool results alone.
    pub used: u64,
    /// Those that would have been hidden.
    pub hidden: u64,
}

impl Regret {
    /// Hidden of used, as a share.
    pub fn share(self) -> f64 {
        if self.used == 0 {
            return 0.0;
        }
        self.hidden as f64 / self.used as f64
    }

    /// Two as one.
    #[must_use]
    pub fn plus(self, other: Regret) -> Regret {
        Regret {
            used: self.used + other.used,
            hidden: self.hidden + other.hidden,
        }
    }
}

/// What the steps would have hidden of what was used later.
pub fn regret(session: &Session, steps: &[Step]) -> Regret {
    let sent = appended(session, steps);
    let mut masks = Masks::default();
    let mut regret = Regret::default();
    for (at, message) in session.messages.iter().enumerate() {
        if message.role != Role::Assistant {
            continue;
        }
        masks.advance(session, &sent, steps, at);
        let given = message.calls.iter().map(|call| call.arguments.as_str());
        let wanted: BTreeSet<&str> = given.flat_map(reduce::identifiers).collect();
        for word in wanted {
            let says = |part: &usize, text: &str| *part < at && text.contains(word);
            let parts = || session.messages.iter().enumerate();
            let told_otherwise = parts().any(|(part, own)| own.role != Role::Tool && says(&part, &own.text));
            let told = parts().any(|(part, own)| own.role == Role::Tool && says(&part, &own.text));
            if told_otherwise || !told {
                continue;
            }
            regret.used += 1;
            let seen = (0..at).any(|part| !masks.masked.contains(&part) && sent.texts[part].contains(word));
            regret.hidden += u64::from(!seen);
        }
    }
    regret
}

/// The messages at which a session that goes round in circles is told so, by the watch of the engine ([`Detector`]): the
/// agent at the first of them; at the second its try ends.
pub fn circles(session: &Session, repeats: u32) -> Vec<usize> {
    let mut watch = Detector::new(repeats);
    let calls = session
        .messages
        .iter()
        .enumerate()
        .flat_map(|(at, message)| message.calls.iter().map(move |call| (at, call)));
    let told = calls.filter(|(_, call)| watch.came_back(&call.tool, &call.arguments).is_some());
    told.map(|(at, _)| at).collect()
}

/// What steps make of sessions: each alone against none, and what each adds to all of them together.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// Without any step.
    pub baseline: Bill,
    /// Each step alone, by name.
    pub alone: Vec<Effect>,
    /// What all of them together change, and each one's share of the money by Shapley.
    pub together: Option<(Difference, Vec<f64>)>,
}

/// One step's effect.
#[derive(Clone, PartialEq, Debug)]
pub struct Effect {
    /// The step.
    pub name: String,
    /// Treatment minus baseline.
    pub difference: Difference,
    /// What it would have hidden.
    pub regret: Regret,
}

/// Accounts for steps over sessions. The same work on both sides, so the outcome is the same on both sides too.
pub fn account(sessions: &[Session], steps: &[Step], price: &Price, cache: Cache, permille: u32) -> Account {
    let bills = |steps: &[Step]| -> Vec<Bill> {
        sessions
            .iter()
            .map(|session| play(session, steps, price, cache, permille))
            .collect()
    };
    let none = bills(&[]);
    let against = |treated: &[Bill]| {
        let measured = |bill: &Bill, session: &Session| Measured {
            bill: *bill,
            wall_ms: 0,
            succeeded: session.succeeded.unwrap_or(false),
        };
        let pairs: Vec<Pair> = none
            .iter()
            .zip(treated)
            .zip(sessions)
            .map(|((baseline, treatment), session)| Pair {
                baseline: measured(baseline, session),
                treatment: measured(treatment, session),
            })
            .collect();
        compare(&pairs)
    };
    let alone = steps
        .iter()
        .map(|step| Effect {
            name: step.name(),
            difference: against(&bills(&[*step])),
            regret: sessions
                .iter()
                .map(|session| regret(session, &[*step]))
                .fold(Regret::default(), Regret::plus),
        })
        .collect();
    let some = |mask: u32| -> Vec<Step> {
        let on = steps.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0);
        on.map(|(_, step)| *step).collect()
    };
    let mut costs: BTreeMap<u32, f64> = BTreeMap::new();
    if steps.len() <= crate::account::SHARED_MAX && steps.len() > 1 {
        for mask in 0..1_u32 << steps.len() {
            let cost: u64 = bills(&some(mask)).iter().map(|bill| bill.cost_nano).sum();
            costs.insert(mask, cost as f64);
        }
    }
    let shares = (!costs.is_empty())
        .then(|| shapley(steps.len(), |mask| costs.get(&mask).copied().unwrap_or_default()))
        .flatten();
    Account {
        baseline: none.iter().fold(Bill::default(), |sum, bill| sum.plus(*bill)),
        alone,
        together: shares.map(|shares| (against(&bills(steps)), shares)),
    }
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::price::Rates;

    use super::*;

    fn price() -> Price {
        Price {
            model: "m".to_owned(),
            provider: "p".to_owned(),
            from: None,
            to: None,
            rates: Rates {
                input: 2_000_000_000,
                output: 10_000_000_000,
                cache_read: Some(100_000_000),
                cache_write: Some(2_500_000_000),
                cache_write_long: None,
            },
            cliffs: Vec::new(),
            window: None,
            retires: None,
            source: "test".to_owned(),
        }
    }

    /// A long session of tool calls; each uses an id that the result three steps before told.
    fn session() -> Session {
        let message = |role, text: String, arguments: &str| Message {
            role,
            text,
            calls: Vec::from_iter((!arguments.is_empty()).then(|| Call {
                tool: "look".to_owned(),
                arguments: arguments.to_owned(),
            })),
        };
        let mut messages = vec![
            message(Role::System, "You are an agent. ".repeat(400), ""),
            message(Role::User, "Do it.".to_owned(), ""),
        ];
        for step in 0..20_u32 {
            let asked = format!("order_{}", 7_000 + step.saturating_sub(3));
            messages.push(message(Role::Assistant, format!("look at {asked}"), &asked));
            let result = format!(
                "{}order_{}\n{}",
                "words of a result\n".repeat(150),
                7_000 + step,
                "and more\n".repeat(400)
            );
            messages.push(message(Role::Tool, result, ""));
        }
        messages.push(message(Role::Assistant, "done".to_owned(), ""));
        Session {
            messages,
            succeeded: Some(true),
        }
    }

    #[test]
    fn a_rolling_window_saves_tokens_and_costs_money_under_a_warm_cache() {
        let sessions = [session()];
        let steps = [Step::Rolling(5), Step::Reduction(500)];
        let warm = account(&sessions, &steps, &price(), Cache::default(), 1_000);
        let prompt = |difference: &Difference| difference.input + difference.read + difference.write;
        let [rolling, reduced] = warm.alone.as_slice() else {
            panic!("two steps")
        };
        assert!(
            prompt(&rolling.difference) < 0 && rolling.difference.cost_nano > 0,
            "{rolling:?}"
        );
        assert!(
            prompt(&reduced.difference) < 0 && reduced.difference.cost_nano < 0,
            "{reduced:?}"
        );
        let off = Cache {
            on: false,
            ..Cache::default()
        };
        let cold = account(&sessions, &steps, &price(), off, 1_000);
        assert!(cold.alone[0].difference.cost_nano < 0);
        let (together, shares) = warm.together.unwrap();
        let sum: f64 = shares.iter().sum();
        assert!((sum - together.cost_nano as f64).abs() < 1.0, "{sum} {together:?}");
    }

    #[test]
    fn what_was_needed_and_hidden_is_counted() {
        let session = session();
        let none = regret(&session, &[]);
        assert!(none.used >= 16 && none.hidden == 0, "{none:?}");
        assert_eq!(regret(&session, &[Step::Rolling(2)]).hidden, none.used);
        assert_eq!(regret(&session, &[Step::Rolling(5)]).hidden, 0);
        // The identifier in the middle is cut out, and listed.
        assert_eq!(regret(&session, &[Step::Reduction(500)]).hidden, 0);
    }

    #[test]
    fn the_same_calls_again_and_again_are_told_where_they_repeat() {
        let mut session = session();
        assert!(circles(&session, 5).is_empty(), "each looks at something else");
        for message in &mut session.messages {
            for call in &mut message.calls {
                call.arguments = "order_1".to_owned();
            }
        }
        // Two messages before the first call, and a result after each.
        assert_eq!(circles(&session, 5), [10_usize, 20, 30, 40]);
    }
}
