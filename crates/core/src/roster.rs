//! The roster: what is known about models and agents, as data with a date.
//!
//! An [`Entry`] says what somebody is good at, what it costs and how much it can hold; effort levels of one model are
//! entries of their own, because they differ in all three. What ships with the product stands in `shipped.yaml`; a
//! routing file adds to it and replaces entries by name. Who is really there is another matter ([`crate::route`]).

use serde::{Deserialize, Serialize};

use crate::analysis::Kind;
use crate::day::Day;
use crate::price::Billing;
use crate::route::read::{self, Routing};

/// The text of the roster that ships.
pub const SHIPPED: &str = include_str!("roster/shipped.yaml");

/// What somebody is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides what is to be done, judges, resolves conflicts.
    Orchestrator,
    /// Does what was decided, reports its confidence, flags what it cannot decide.
    Grinder,
    /// Judges what others did.
    Reviewer,
    /// Reads much.
    Researcher,
    /// Sorts, extracts, answers yes or no.
    Classifier,
    /// Knows what goes on right now.
    Social,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 6] = [
        Role::Orchestrator,
        Role::Grinder,
        Role::Reviewer,
        Role::Researcher,
        Role::Classifier,
        Role::Social,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Orchestrator => "orchestrator",
            Role::Grinder => "grinder",
            Role::Reviewer => "reviewer",
            Role::Researcher => "researcher",
            Role::Classifier => "classifier",
            Role::Social => "social",
        }
    }

    /// Whether it may decide what others do: return tasks, spawn, merge.
    pub fn may_plan(self) -> bool {
        match self {
            Role::Orchestrator => true,
            Role::Grinder | Role::Reviewer | Role::Researcher | Role::Classifier | Role::Social => false,
        }
    }
}

/// How fast it answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// It takes its time.
    Slow,
    /// Neither.
    Medium,
    /// Quick.
    Fast,
    /// At once.
    VeryFast,
}

impl Speed {
    /// All of them, with their words.
    pub const NAMED: [(&str, Speed); 4] = [
        ("slow", Speed::Slow),
        ("medium", Speed::Medium),
        ("fast", Speed::Fast),
        ("very fast", Speed::VeryFast),
    ];
}

/// What is known about a model or agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the roster: a model, a model with an effort (`gpt-5.5@high`), or an agent.
    pub name: String,
    /// What the vendor calls the model, when that is not its name.
    pub model: Option<String>,
    /// The effort level, where the entry is about one.
    pub effort: Option<String>,
    /// Whose it is. Judges must be of another vendor than the judged.
    pub vendor: String,
    /// What it is there for.
    pub role: Role,
    /// How good it is at what, 0 to 100.
    pub strengths: Vec<(Kind, u8)>,
    /// 1 (cheapest) to 5.
    pub cost_tier: u8,
    /// How fast it answers.
    pub speed: Speed,
    /// How many tokens of context it takes.
    pub window_tokens: u64,
    /// Who pays.
    pub billing: Billing,
    /// Since when it is not served any more.
    pub retired_on: Option<Day>,
}

impl Entry {
    /// How good it is at that, 0 to 100: what is listed, else what holds in general, else the middle.
    pub fn strength(&self, kind: Kind) -> u8 {
        let of = |wanted| self.strengths.iter().find(|(kind, _)| *kind == wanted);
        of(kind)
            .or_else(|| of(Kind::General))
            .map_or(50, |(_, strength)| *strength)
    }

    /// Whether it is served on that day.
    pub fn is_served(&self, today: Day) -> bool {
        self.retired_on.is_none_or(|retired| today < retired)
    }

    /// What the vendor calls the model.
    pub fn model_name(&self) -> &str {
        self.model.as_deref().unwrap_or(&self.name)
    }

    /// An entry for a model that the roster does not know: the middle in everything, the vendor told by the name.
    pub fn unknown(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            model: None,
            effort: None,
            vendor: vendor_of(name).to_owned(),
            role: Role::Grinder,
            strengths: Vec::new(),
            cost_tier: 3,
            speed: Speed::Medium,
            window_tokens: 128_000,
            billing: Billing::Api,
            retired_on: None,
        }
    }
}

/// Whose a model is, by its name; `any` when the name does not tell.
pub fn vendor_of(model: &str) -> &'static str {
    let model = model.rsplit('/').next().unwrap_or(model);
    let begins = |words: &[&str]| words.iter().any(|word| model.starts_with(word));
    if begins(&["claude", "opus", "sonnet", "haiku"]) {
        "anthropic"
    } else if begins(&["gpt", "o1", "o3", "o4", "codex", "chatgpt"]) {
        "openai"
    } else if begins(&["gemini", "gemma"]) {
        "google"
    } else if begins(&["grok"]) {
        "xai"
    } else {
        "any"
    }
}

/// Everything known, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Roster {
    /// The day of the data that ships.
    pub as_of: Option<Day>,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Roster {
    /// What ships with this version.
    pub fn shipped() -> Roster {
        let routing = read::routing("shipped.yaml", SHIPPED).map(|(routing, _)| routing);
        // A test reads the text; a product whose own data cannot be read has none.
        let Routing { as_of, roster, .. } = routing.unwrap_or_default();
        Roster { as_of, entries: roster }
    }

    /// With these entries added; one of the same name replaces the older.
    #[must_use]
    pub fn with(mut self, more: &[Entry]) -> Roster {
        for entry in more {
            match self.entries.iter_mut().find(|known| known.name == entry.name) {
                Some(known) => *known = entry.clone(),
                None => self.entries.push(entry.clone()),
            }
        }
        self
    }

    /// The entry of that name, or of that model.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        let by_name = self.entries.iter().find(|entry| entry.name == name);
        by_name.or_else(|| self.entries.iter().find(|entry| entry.model.as_deref() == Some(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_can_be_read_and_makes_sense() {
        let (routing, warnings) = read::routing("shipped.yaml", SHIPPED).unwrap();
        assert_eq!(warnings, []);
        let roster = Roster::shipped();
        assert_eq!(roster.entries.len(), routing.roster.len());
        assert!(roster.as_of.is_some());
        for entry in &roster.entries {
            assert!((1..=5).contains(&entry.cost_tier), "{}", entry.name);
            assert!(entry.window_tokens >= 100_000, "{}", entry.name);
            assert_eq!(
                roster.entries.iter().filter(|other| other.name == entry.name).count(),
                1
            );
        }
    }

    /// The orchestration guide, "The Model Roster": who is strong where, and what costs how much more.
    #[test]
    fn the_model_roster_of_the_guide_is_in_it() {
        let roster = Roster::shipped();
        let entry = |name: &str| roster.find(name).unwrap_or_else(|| panic!("{name}"));
        let tiers = [
            ("claude-opus-4-6", 5, Speed::Slow),
            ("claude-sonnet-4-6", 3, Speed::Fast),
            ("gpt-4o", 4, Speed::Medium),
            ("grok-3", 2, Speed::Fast),
            ("gemini-2.5-pro", 3, Speed::Medium),
            ("claude-haiku-4-5", 1, Speed::VeryFast),
        ];
        for (name, tier, speed) in tiers {
            assert_eq!((entry(name).cost_tier, entry(name).speed), (tier, speed), "{name}");
        }
        let strongest = |kind: Kind| {
            let names = tiers.iter().map(|(name, _, _)| *name);
            names.max_by_key(|name| entry(name).strength(kind)).unwrap()
        };
        assert_eq!(strongest(Kind::Strategy), "claude-opus-4-6");
        assert_eq!(strongest(Kind::Implementation), "claude-sonnet-4-6");
        assert_eq!(strongest(Kind::Social), "grok-3");
        assert_eq!(strongest(Kind::Research), "gemini-2.5-pro");
        assert_eq!(strongest(Kind::Classification), "claude-haiku-4-5");
    }

    #[test]
    fn retirement_is_a_date() {
        let roster = Roster::shipped();
        let old = roster.find("gpt-5.1-codex").unwrap();
        assert!(old.is_served("2026-07-22".parse().unwrap()));
        assert!(!old.is_served("2026-07-23".parse().unwrap()));
    }

    #[test]
    fn effort_levels_are_entries_of_their_own() {
        let roster = Roster::shipped();
        let (low, high) = (
            roster.find("gpt-5.5@low").unwrap(),
            roster.find("gpt-5.5@high").unwrap(),
        );
        assert_eq!(low.model_name(), high.model_name());
        assert!(low.cost_tier < high.cost_tier && low.strength(Kind::Review) < high.strength(Kind::Review));
    }
}
