//! The faults an attempt can be given, and how they are named.
//!
//! A name is `KIND[-retry-after-SECONDS][xCOUNT]`, the same in a model name (`claude-fault-429x2`), in a prompt
//! marker (`[[fault:429-retry-after-2]]`) and in a script. `xCOUNT` means: the first COUNT attempts at one point of
//! the conversation, then well. What each fault looks like on the wire is in [`super::play`] and [`super::trouble`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest `xCOUNT`: a script that repeats longer than this means "always".
pub const FAULT_COUNT_MAX: u32 = 100;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// 429: too many requests just now.
    RateLimited,
    /// 429 that waiting a little does not cure: the account's quota is used up.
    Quota,
    /// 500.
    ServerError,
    /// 529 from Anthropic, 503 from the others.
    Overloaded,
    /// The request is read and nothing is ever answered.
    Hang,
    /// The answer begins, then no further byte comes; the connection stays open.
    Stall,
    /// The connection is closed in the middle of a frame.
    Cut,
    /// The body ends properly, but before its terminal event.
    CutClean,
    /// The connection is reset in the middle of a frame.
    Reset,
    /// An error event follows after some text, in a stream that began with 200.
    ErrorEvent,
    /// 400: the prompt is longer than the model's window.
    Oversize,
    /// 401: wrong key.
    Unauthorized,
    /// The login or key was good and has run out: 401, from Gemini 400.
    Expired,
    /// 200 and a body that is not of the protocol at all.
    Garbage,
    /// Comments, unknown events and unknown fields between good frames; a good client ignores them.
    Noise,
    /// 200 and a complete answer without any content.
    Empty,
    /// 200 and an error object instead of an answer.
    ErrorIn200,
    /// 404: the model was retired.
    Retired,
    /// A complete answer in which the model declines.
    Refusal,
    /// A complete answer that ended at the output limit.
    MaxTokens,
}

/// Every kind with its name. Longer names stand before their own prefixes.
pub const FAULT_NAMES: [(&str, FaultKind); 20] = [
    ("200-error", FaultKind::ErrorIn200),
    ("401", FaultKind::Unauthorized),
    ("404-retired", FaultKind::Retired),
    ("429", FaultKind::RateLimited),
    ("500", FaultKind::ServerError),
    ("529", FaultKind::Overloaded),
    ("cut-clean", FaultKind::CutClean),
    ("cut", FaultKind::Cut),
    ("empty", FaultKind::Empty),
    ("error-event", FaultKind::ErrorEvent),
    ("expired", FaultKind::Expired),
    ("garbage", FaultKind::Garbage),
    ("hang", FaultKind::Hang),
    ("max-tokens", FaultKind::MaxTokens),
    ("noise", FaultKind::Noise),
    ("oversize", FaultKind::Oversize),
    ("quota", FaultKind::Quota),
    ("refusal", FaultKind::Refusal),
    ("reset", FaultKind::Reset),
    ("stall", FaultKind::Stall),
];

/// One fault with its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Seconds in the `retry-after` hint; no hint without it.
    pub retry_after_s: Option<u32>,
    /// How many attempts are hit before it is well again; always without it.
    pub count: Option<u32>,
}

impl Fault {
    /// This fault on every attempt, without a hint.
    pub fn always(kind: FaultKind) -> Fault {
        Fault {
            kind,
            retry_after_s: None,
            count: None,
        }
    }

    /// Whether the `attempt`th attempt (from 1) is hit.
    pub fn hits(&self, attempt: u32) -> bool {
        self.count.is_none_or(|count| attempt <= count)
    }

    /// The fault a model name asks for: what follows its last `fault-`. `None` when it names none.
    pub fn of_model(model: &str) -> Option<Result<Fault, UnknownFault>> {
        let at = model.rfind("fault-")?;
        let name = &model[at + "fault-".len()..];
        // Some clients add a suffix in brackets to say which variant they want.
        let name = name.split('[').next().unwrap_or(name);
        Some(name.parse())
    }
}

/// The name is not of a known fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{found}` names no fault; write KIND[-retry-after-SECONDS][xCOUNT] with COUNT from 1 to {FAULT_COUNT_MAX} and KIND one of {}",
    known_names()
)]
pub struct UnknownFault {
    /// What was given.
    pub found: String,
}

fn known_names() -> String {
    FAULT_NAMES.map(|(name, _)| name).join(", ")
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Fault, UnknownFault> {
        let unknown = || UnknownFault { found: text.to_owned() };
        let (kind, mut rest) = FAULT_NAMES
            .into_iter()
            .find_map(|(name, kind)| Some((kind, text.strip_prefix(name)?)))
            .ok_or_else(unknown)?;
        let mut fault = Fault::always(kind);
        if let Some(after) = rest.strip_prefix("-retry-after-") {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            fault.retry_after_s = Some(after[..digits].parse().map_err(|_| unknown())?);
            rest = &after[digits..];
        }
        if let Some(count) = rest.strip_prefix('x') {
            let count = count.parse().map_err(|_| unknown())?;
            if !(1..=FAULT_COUNT_MAX).contains(&count) {
                return Err(unknown());
            }
            fault.count = Some(count);
            rest = "";
        }
        if rest.is_empty() { Ok(fault) } else { Err(unknown()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAULT_NAMES
            .into_iter()
            .find_map(|(name, kind)| (kind == self.kind).then_some(name))
            .unwrap_or("unnamed");
        f.write_str(name)?;
        if let Some(seconds) = self.retry_after_s {
            write!(f, "-retry-after-{seconds}")?;
        }
        if let Some(count) = self.count {
            write!(f, "x{count}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Fault {
    type Error = UnknownFault;

    fn try_from(text: String) -> Result<Fault, UnknownFault> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_with_and_without_parameters() {
        for (name, kind) in FAULT_NAMES {
            for suffix in ["", "-retry-after-7", "x3", "-retry-after-7x3"] {
                let text = format!("{name}{suffix}");
                let fault: Fault = text.parse().unwrap();
                assert_eq!(fault.kind, kind, "{text}");
                assert_eq!(fault.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_the_names() {
        for text in [
            "",
            "430",
            "429x",
            "429x0",
            "429x101",
            "429-retry-after-",
            "cutx2y",
            "429-retry-after-2-x2",
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.to_string().contains("cut-clean"), "{error}");
        }
    }

    #[test]
    fn a_model_name_may_carry_a_fault() {
        let fault = |model| Fault::of_model(model).map(|fault| fault.map(|fault| fault.to_string()));
        assert_eq!(fault("gpt-5.5"), None);
        assert_eq!(fault("fault-hang"), Some(Ok("hang".to_owned())));
        assert_eq!(
            fault("claude-fault-429-retry-after-2x2[1m]"),
            Some(Ok("429-retry-after-2x2".to_owned()))
        );
        assert!(matches!(fault("fault-nonsense"), Some(Err(_))));
    }

    #[test]
    fn a_count_ends_the_fault() {
        let fault: Fault = "500x2".parse().unwrap();
        assert_eq!([1, 2, 3].map(|attempt| fault.hits(attempt)), [true, true, false]);
        assert!(Fault::always(FaultKind::Cut).hits(1_000));
    }
}
