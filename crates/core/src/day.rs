//! Days as plain numbers, for prices, budgets and the ledger. A day is a UTC day: one that does not depend on who looks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Millis;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// A UTC day, counted from 1970-01-01. Written `2026-11-27`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Day(pub u32);

/// The text is not a day.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{found}` is not a day; write it as `2026-11-27`")]
pub struct NotADay {
    /// What was given.
    pub found: String,
}

impl Day {
    /// The day that this moment lies in.
    pub fn of(at: Millis) -> Day {
        Day(u32::try_from(at.0 / DAY_MS).unwrap_or(u32::MAX))
    }

    /// Its first moment.
    pub fn start(self) -> Millis {
        Millis(u64::from(self.0) * DAY_MS)
    }

    /// The first moment of the day after.
    pub fn end(self) -> Millis {
        Millis((u64::from(self.0) + 1) * DAY_MS)
    }

    /// Year, month and day of the month. (Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013.)
    pub fn civil(self) -> (u32, u32, u32) {
        let z = u64::from(self.0) + 719_468;
        let (era, of_era) = (z / 146_097, z % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        (narrow(year), narrow(month), narrow(day))
    }

    /// The day of that date; none when there is no such date or it lies before 1970.
    pub fn from_civil(year: u32, month: u32, day: u32) -> Option<Day> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > month_length(year, month) {
            return None;
        }
        let y = u64::from(year) - u64::from(month <= 2);
        let (era, year_of_era) = (y / 400, y % 400);
        let shifted = u64::from(if month > 2 { month - 3 } else { month + 9 });
        let of_year = (153 * shifted + 2) / 5 + u64::from(day) - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        u32::try_from(era * 146_097 + of_era - 719_468).ok().map(Day)
    }

    /// The first day of its month and the first of the next.
    pub fn month(self) -> (Day, Day) {
        let (year, month, _) = self.civil();
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = Day::from_civil(year, month, 1).unwrap_or(self);
        (
            first,
            Day::from_civil(next_year, next_month, 1).unwrap_or(Day(u32::MAX)),
        )
    }
}

fn month_length(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Day, NotADay> {
        let refuse = || NotADay { found: text.to_owned() };
        let mut parts = text.trim().splitn(3, '-');
        let mut next = |length: usize| {
            let part = parts.next()?;
            let digits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| digits)
        };
        let (year, month, day) = (next(4), next(2), next(2));
        let (Some(year), Some(month), Some(day)) = (year, month, day) else {
            return Err(refuse());
        };
        Day::from_civil(year, month, day).ok_or_else(refuse)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for (text, number) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("2026-11-27", 20_784),
            ("2026-12-31", 20_818),
            ("2027-01-01", 20_819),
        ] {
            assert_eq!(text.parse(), Ok(Day(number)), "{text}");
            assert_eq!(Day(number).to_string(), text);
        }
        for text in [
            "",
            "2026-13-01",
            "2026-02-29",
            "2026-1-1",
            "1969-12-31",
            "26-11-27",
            "2026-11-27-1",
            "a-b-c",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for number in 0..146_097 {
            let (year, month, day) = Day(number).civil();
            assert_eq!(Day::from_civil(year, month, day), Some(Day(number)));
        }
    }

    #[test]
    fn months_and_moments_lie_where_they_should() {
        let day: Day = "2026-12-15".parse().unwrap();
        let (first, next) = day.month();
        assert_eq!(
            (first.to_string(), next.to_string()),
            ("2026-12-01".to_owned(), "2027-01-01".to_owned())
        );
        assert_eq!(Day::of(day.start()), day);
        assert_eq!(Day::of(Millis(day.end().0 - 1)), day);
    }
}
