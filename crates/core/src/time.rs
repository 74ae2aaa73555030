//! Moments and spans as plain numbers. Core never asks what time it is; callers say.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01 UTC, by the clock of the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The moment `span` later; saturates instead of wrapping.
    #[must_use]
    pub fn after(self, span: Duration) -> Millis {
        Millis(
            self.0
                .saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long from `earlier` until this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Millis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The text is not a duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{found}` is not a duration; write a number and a unit, such as `90s`, `20m`, `2h30m` or `500ms`")]
pub struct NotADuration {
    /// What was given.
    pub found: String,
}

/// Reads `90s`, `20m`, `2h30m`, `1d`, `500ms`. A number without a unit is refused: seconds or minutes is a guess.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let refuse = || NotADuration { found: text.to_owned() };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(refuse()),
        };
        rest = rest[letters..].trim_start();
        let part_ms = number.checked_mul(unit_ms).ok_or_else(refuse)?;
        total = total.checked_add(Duration::from_millis(part_ms)).ok_or_else(refuse)?;
    }
    Ok(total)
}

/// Writes a duration for people: `870ms`, `4.2s`, `3m 05s`, `2h 10m`.
pub fn human(span: Duration) -> impl fmt::Display {
    struct Human(Duration);
    impl fmt::Display for Human {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let ms = self.0.as_millis();
            let s = self.0.as_secs();
            match s {
                0 => write!(f, "{ms}ms"),
                1..60 => write!(f, "{}.{}s", s, (ms % 1000) / 100),
                60..3600 => write!(f, "{}m {:02}s", s / 60, s % 60),
                _ => write!(f, "{}h {:02}m", s / 3600, s % 3600 / 60),
            }
        }
    }
    Human(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_refused() {
        for (text, ms) in [
            ("90s", 90_000),
            ("20m", 1_200_000),
            ("2h30m", 9_000_000),
            ("500ms", 500),
            ("1h 5s", 3_605_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "20",
            "m",
            "20x",
            "-3s",
            "1.5h",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (870, "870ms"),
            (4_250, "4.2s"),
            (185_000, "3m 05s"),
            (7_800_000, "2h 10m"),
        ] {
            assert_eq!(human(Duration::from_millis(ms)).to_string(), text);
        }
    }
}
