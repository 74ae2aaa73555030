//! Quotas: a provider's limits on us, as typed windows with the moment they return. They belong to an account, not to an
//! agent: what one agent of an account runs into holds them all, and other accounts go on.

use serde::{Deserialize, Serialize};

use crate::disposition::QUOTA_HOLD;
use crate::time::Millis;

/// The window that a limit is counted in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A minute or so: a rate.
    Minute,
    /// Rolling five hours, as subscriptions have it.
    FiveHours,
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
    /// The provider did not say.
    Unstated,
}

impl Window {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Window::Minute => "minute",
            Window::FiveHours => "five_hours",
            Window::Day => "day",
            Window::Week => "week",
            Window::Month => "month",
            Window::Unstated => "unstated",
        }
    }

    /// By that name.
    pub fn named(name: &str) -> Option<Window> {
        ALL.into_iter().find(|window| window.name() == name)
    }
}

const ALL: [Window; 6] = [
    Window::Minute,
    Window::FiveHours,
    Window::Day,
    Window::Week,
    Window::Month,
    Window::Unstated,
];

/// The window that a provider's words name.
pub fn window(words: &str) -> Window {
    let words = words.to_lowercase().replace(['_', '-'], " ");
    let says = |names: &[&str]| names.iter().any(|name| words.contains(name));
    if says(&["five hour", "5 hour", "5h", "session limit", "primary"]) {
        Window::FiveHours
    } else if says(&["seven day", "7 day", "week", "7d", "secondary"]) {
        Window::Week
    } else if says(&["month", "30 day"]) {
        Window::Month
    } else if says(&["daily", "per day", "a day", "24 hour"]) {
        Window::Day
    } else if says(&["minute", "requests", "rate"]) {
        Window::Minute
    } else {
        Window::Unstated
    }
}

/// What is known of an account's allowance in one window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Allowance {
    /// The account, or the agent where none is configured.
    pub account: String,
    /// The window.
    pub window: Window,
    /// The provider's words.
    pub what: String,
    /// Whether it is used up; else it only came into sight.
    pub exhausted: bool,
    /// When it returns.
    pub resets_at: Option<Millis>,
    /// When this was heard.
    pub seen_at: Millis,
}

impl Allowance {
    /// Until when nothing of the account begins; none when something may.
    pub fn holds_until(&self, now: Millis) -> Option<Millis> {
        self.resets_at.filter(|at| self.exhausted && *at > now)
    }
}

/// When an account that just turned out to be used up is taken to return: the stated moment, else that of the task's
/// next try when it waits, else after the usual hold.
pub fn returns(stated: Option<Millis>, next_try: Millis, now: Millis) -> Millis {
    let waits = || (next_try > now).then_some(next_try);
    stated.or_else(waits).unwrap_or_else(|| now.after(QUOTA_HOLD))
}

/// What happens to a task whose account is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// It is parked and goes on in its session when the allowance returns.
    Wait,
    /// It goes to the next agent of its chain that can be asked; where there is none, it is parked.
    #[default]
    Reroute,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_words_become_windows() {
        for (words, expected) in [
            ("five_hour", Window::FiveHours),
            ("seven_day", Window::Week),
            ("seven_day_opus", Window::Week),
            ("5-hour limit reached", Window::FiveHours),
            ("weekly limit", Window::Week),
            ("requests to the model", Window::Minute),
            ("monthly spend", Window::Month),
            ("daily quota", Window::Day),
            ("something new", Window::Unstated),
        ] {
            assert_eq!(window(words), expected, "{words}");
            assert_eq!(Window::named(expected.name()), Some(expected));
        }
    }

    #[test]
    fn only_what_is_used_up_holds_and_only_until_it_returns() {
        let allowance = |exhausted, resets_at| Allowance {
            account: "a".to_owned(),
            window: Window::Week,
            what: String::new(),
            exhausted,
            resets_at,
            seen_at: Millis(0),
        };
        assert_eq!(allowance(true, Some(Millis(5))).holds_until(Millis(4)), Some(Millis(5)));
        assert_eq!(allowance(true, Some(Millis(5))).holds_until(Millis(5)), None);
        assert_eq!(allowance(false, Some(Millis(5))).holds_until(Millis(4)), None);
    }
}
