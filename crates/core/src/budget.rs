//! Budgets: our own limits on money, and the decisions about them. The store keeps them, the engine meters against them.
//!
//! A budget has a [`Scope`]. All that concern a task hold at once, so the narrowest decides. Money is reserved before a
//! try begins ([`admit`]), metered while it runs, and settled when it ends; reserved and spent together never exceed a
//! limit. What nobody can price is counted by an assumption ([`Assumption`]), never as nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::breaker::{self, Subject};
use crate::day::DAY_MS;
use crate::ids::{AgentName, NotAnId, RunId, TaskId};
use crate::ledger::Line;
use crate::price::Billing;
use crate::quota;
use crate::soft;
use crate::spec::TaskSpec;
use crate::time::Millis;
use crate::usage::{Cost, Usage};

/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;
/// How much of a limit is spent or reserved when somebody is warned, in percent.
pub const WARN_PERCENT: u64 = 80;
/// A turn of an instance reserves at most one part in so many of what is left in the narrowest of its budgets.
pub const TURN_PART: u64 = 4;
/// How the model is called that an agent chooses for itself.
pub const OWN_MODEL: &str = "default";
/// How many past tries it takes until their mean is believed.
pub const EXPERIENCE_MIN: u64 = 3;

/// What a budget limits. Written `day`, `hour`, `session`, `r7`, `t12`, `instance:3`, `crew`, `crew:hour`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// Everything of a UTC day.
    Day,
    /// Everything of a clock hour.
    Hour,
    /// Everything of one life of an engine.
    Session,
    /// A run.
    Run(RunId),
    /// A task.
    Task(TaskId),
    /// An instance and everything below it.
    Instance(u64),
    /// All instances together, since the limit was set.
    Crew,
    /// All instances together, in a clock hour.
    CrewHour,
}

impl Scope {
    /// How long its windows are; a budget without windows counts for ever.
    pub fn window_ms(&self) -> Option<u64> {
        match self {
            Scope::Day => Some(DAY_MS),
            Scope::Hour | Scope::CrewHour => Some(HOUR_MS),
            Scope::Session | Scope::Run(_) | Scope::Task(_) | Scope::Instance(_) | Scope::Crew => None,
        }
    }

    /// The number of the window that this moment lies in.
    pub fn window(&self, at: Millis) -> u64 {
        self.window_ms().map_or(0, |length| at.0 / length)
    }

    /// When the window of this moment ends; never for a budget without windows.
    pub fn ends(&self, at: Millis) -> Option<Millis> {
        self.window_ms().map(|length| Millis((at.0 / length + 1) * length))
    }

    /// Whether it limits everything, and not something that has a name.
    pub fn is_global(&self) -> bool {
        match self {
            Scope::Day | Scope::Hour | Scope::Session | Scope::Crew | Scope::CrewHour => true,
            Scope::Run(_) | Scope::Task(_) | Scope::Instance(_) => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Day => f.write_str("day"),
            Scope::Hour => f.write_str("hour"),
            Scope::Session => f.write_str("session"),
            Scope::Run(run) => write!(f, "{run}"),
            Scope::Task(task) => write!(f, "{task}"),
            Scope::Instance(instance) => write!(f, "instance:{instance}"),
            Scope::Crew => f.write_str("crew"),
            Scope::CrewHour => f.write_str("crew:hour"),
        }
    }
}

impl FromStr for Scope {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Scope, NotAnId> {
        let number = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
        Ok(match text {
            "day" => Scope::Day,
            "hour" => Scope::Hour,
            "session" => Scope::Session,
            "crew" => Scope::Crew,
            "crew:hour" => Scope::CrewHour,
            _ => match (number("r"), number("t"), number("instance:")) {
                (Some(run), ..) => Scope::Run(RunId(run)),
                (_, Some(task), _) => Scope::Task(TaskId(task)),
                (.., Some(instance)) => Scope::Instance(instance),
                _ => {
                    return Err(NotAnId {
                        found: text.to_owned(),
                        expected: "a budget: `day`, `hour`, `session`, `crew`, `crew:hour`, a run such as `r7`, or a task",
                    });
                }
            },
        })
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Who pays for an agent's work, and at which model's price where the agent does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payer {
    /// The model it is configured with.
    pub model: Option<String>,
    /// The account it works on.
    pub account: Option<String>,
    /// Who serves the model it asks; none when it asks none.
    pub provider: Option<String>,
    /// The login or key it asks with, by its configured name where the account does not say; never the secret.
    pub credential: Option<String>,
    /// How it is billed.
    pub billing: Billing,
}

/// What a claim needs to know about money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Limits that the configuration sets.
    pub limits: Vec<(Scope, u64)>,
    /// What a try is taken to cost while fewer than [`EXPERIENCE_MIN`] of its kind are known.
    pub default_nano: u64,
    /// How much more than the estimate is reserved, in percent of it.
    pub safety_percent: u64,
    /// What happens where a task without a limit of its own takes more than its like.
    pub soft: soft::Policy,
    /// Who pays, by agent; an agent that is not here reports for itself.
    pub payers: BTreeMap<AgentName, Payer>,
    /// When providers are left alone that fail.
    pub breaker: breaker::Policy,
    /// What happens to a task whose account is used up.
    pub quota: quota::Policy,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            limits: Vec::new(),
            default_nano: 500_000_000,
            safety_percent: 30,
            soft: soft::Policy::default(),
            payers: BTreeMap::new(),
            breaker: breaker::Policy::default(),
            quota: quota::Policy::default(),
        }
    }
}

impl Terms {
    /// Who pays for this agent.
    pub fn payer(&self, agent: &AgentName) -> Payer {
        self.payers.get(agent).cloned().unwrap_or_default()
    }

    /// The account of an agent: the configured one, else one of its own.
    pub fn account(&self, agent: &AgentName) -> String {
        let payer = self.payers.get(agent).and_then(|payer| payer.account.clone());
        payer.unwrap_or_else(|| agent.to_string())
    }

    /// What a breaker stands for when that agent is asked with that model (its own when none is named); nothing when it
    /// asks nobody.
    pub fn subject(&self, agent: &AgentName, model: Option<&str>) -> Option<Subject> {
        let payer = self.payers.get(agent)?;
        Some(Subject {
            provider: payer.provider.clone()?,
            model: model.or(payer.model.as_deref()).unwrap_or(OWN_MODEL).to_owned(),
            credential: match (&payer.account, &payer.credential) {
                (Some(named), _) | (None, Some(named)) => named.clone(),
                (None, None) => agent.to_string(),
            },
        })
    }

    /// What to reserve for a try of that task, of whose kind this much is known: the more above the mean, the dearer a
    /// failure would be.
    pub fn estimate_of(&self, spec: &TaskSpec, experience: Experience) -> Estimate {
        self.estimate(
            experience,
            soft::headroom_percent(self.safety_percent, soft::risk(spec)),
        )
    }

    fn estimate(&self, experience: Experience, more_percent: u64) -> Estimate {
        let (nano, measured) = match experience.mean_nano() {
            Some(mean) => (mean, true),
            None => (self.default_nano, false),
        };
        let reserve = nano.saturating_add(
            (nano / 100)
                .saturating_mul(more_percent)
                .saturating_add(nano % 100 * more_percent / 100),
        );
        Estimate {
            reserve_nano: reserve.max(1),
            measured,
        }
    }
}

/// What past tries of one agent, model and kind cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Experience {
    /// How many ended.
    pub tries: u64,
    /// What they came to, assumptions included.
    pub nano: u64,
    /// Their tokens.
    pub tokens: u64,
}

impl Experience {
    /// The mean, once there are enough.
    pub fn mean_nano(self) -> Option<u64> {
        (self.tries >= EXPERIENCE_MIN).then(|| self.nano / self.tries)
    }

    /// The mean of tokens, once there are enough.
    pub fn mean_tokens(self) -> Option<u64> {
        (self.tries >= EXPERIENCE_MIN).then(|| self.tokens / self.tries)
    }
}

/// What a try is expected to need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// The money to reserve.
    pub reserve_nano: u64,
    /// Whether it is the mean of past tries, and not a guess.
    pub measured: bool,
}

/// A budget as it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// What it limits.
    pub scope: Scope,
    /// The limit of this window, raises included.
    pub limit_nano: u64,
    /// Held for tries that run.
    pub reserved_nano: u64,
    /// Spent, as far as it is known.
    pub spent_nano: u64,
    /// Counted for what nobody could price.
    pub assumed_nano: u64,
    /// Whether somebody was warned in this window.
    pub warned: bool,
}

impl Budget {
    /// What was spent, assumptions included.
    pub fn used_nano(&self) -> u64 {
        self.spent_nano.saturating_add(self.assumed_nano)
    }

    /// What can still be reserved.
    pub fn room_nano(&self) -> u64 {
        self.limit_nano
            .saturating_sub(self.used_nano())
            .saturating_sub(self.reserved_nano)
    }

    /// Whether it is time to warn: most of it is spent.
    pub fn is_nearly_used(&self) -> bool {
        u128::from(self.used_nano()) * 100 >= u128::from(self.limit_nano) * u128::from(WARN_PERCENT)
    }
}

/// A budget with everything that a store keeps of it. What it shows is a [`Budget`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What it limits.
    pub scope: Scope,
    /// The limit by configuration or plan.
    pub configured_nano: Option<u64>,
    /// The limit a person set; it wins.
    pub own_nano: Option<u64>,
    /// What a person added for this window.
    pub raised_nano: u64,
    /// The number of the window; for a session the owner's.
    pub window: u64,
    /// Held for tries that run, whatever the window.
    pub reserved_nano: u64,
    /// Spent in this window.
    pub spent_nano: u64,
    /// Assumed in this window.
    pub assumed_nano: u64,
    /// Whether somebody was warned in this window.
    pub warned: bool,
}

impl Kept {
    /// A budget nobody has used yet, in the window of this moment.
    pub fn new(scope: Scope, at: Millis) -> Kept {
        Kept {
            window: scope.window(at),
            scope,
            configured_nano: None,
            own_nano: None,
            raised_nano: 0,
            reserved_nano: 0,
            spent_nano: 0,
            assumed_nano: 0,
            warned: false,
        }
    }

    /// What it shows; nothing while it has no limit.
    pub fn view(&self) -> Option<Budget> {
        let limit = self.own_nano.or(self.configured_nano)?;
        Some(Budget {
            scope: self.scope.clone(),
            limit_nano: limit.saturating_add(self.raised_nano),
            reserved_nano: self.reserved_nano,
            spent_nano: self.spent_nano,
            assumed_nano: self.assumed_nano,
            warned: self.warned,
        })
    }

    /// Begins the window of this moment when it is another one. What runs goes on to hold what it holds.
    pub fn roll(&mut self, at: Millis) {
        if self.scope.window_ms().is_some() {
            self.enter(self.scope.window(at));
        }
    }

    /// Begins that window when it is another one; a session's is its owner.
    pub fn enter(&mut self, window: u64) {
        if self.window != window {
            self.window = window;
            (self.raised_nano, self.spent_nano, self.assumed_nano) = (0, 0, 0);
            self.warned = false;
        }
    }

    /// Takes the limit of an instance or of the crew. The crew's begins anew with it: setting it again is how people say
    /// that another session begins.
    pub fn limit_crew(&mut self, at: Millis, nano: Option<u64>) {
        self.roll(at);
        self.configured_nano = nano;
        if self.scope == Scope::Crew {
            self.enter(self.window + 1);
        }
    }

    /// Counts a line. True: it is time to warn, once.
    pub fn spend(&mut self, line: &Line) -> bool {
        let known = match line.cost {
            Cost::Actual(nano) | Cost::Priced(nano) => nano,
            Cost::Included | Cost::Free | Cost::Unknown => 0,
        };
        self.spent_nano = self.spent_nano.saturating_add(known);
        self.assumed_nano = self.assumed_nano.saturating_add(line.assumed_nano);
        let warns = !self.warned && self.view().is_some_and(|budget| budget.is_nearly_used());
        self.warned |= warns;
        warns
    }
}

/// Whether a try may begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// With this much reserved.
    Granted(u64),
    /// When tries that run give back what they hold in this budget.
    Waits(Scope),
    /// Not before this budget is raised or its window ends.
    Exhausted(Scope),
}

/// Decides over all budgets that concern a try; none at all grants without a line.
///
/// A measured estimate must fit whole: a try that is known to need more than is left is not begun. A guess may begin with
/// what is left, because the line stops it; but not while others hold reservations that they may give back, and not with
/// the dregs of a budget: a tenth of the guess must be left of one that something was spent of.
pub fn admit(budgets: &[Budget], estimate: Estimate) -> Admission {
    let need = estimate.reserve_nano;
    let Some(narrowest) = budgets.iter().min_by_key(|budget| budget.room_nano()) else {
        return Admission::Granted(need);
    };
    let room = narrowest.room_nano();
    if room >= need {
        return Admission::Granted(need);
    }
    let left = |budget: &&Budget| budget.limit_nano.saturating_sub(budget.used_nano());
    let least = |budget: &Budget| match (estimate.measured, budget.used_nano()) {
        (true, _) => need,
        (false, 0) => 1,
        (false, _) => (need / 10).max(1),
    };
    if let Some(empty) = budgets
        .iter()
        .filter(|budget| left(budget) < least(budget))
        .min_by_key(left)
    {
        return Admission::Exhausted(empty.scope.clone());
    }
    let waits = budgets
        .iter()
        .find(|budget| budget.room_nano() < need && budget.reserved_nano > 0);
    match waits {
        Some(budget) => Admission::Waits(budget.scope.clone()),
        None => Admission::Granted(room),
    }
}

/// The same for a turn of an instance, which may lead others that need money from the same budgets before it can go on: it
/// never reserves more than a part of what is left, so that those below it find some, and asks for more as it goes.
pub fn admit_turn(budgets: &[Budget], estimate: Estimate) -> Admission {
    let left = |budget: &Budget| budget.limit_nano.saturating_sub(budget.used_nano());
    let least = |budget: &Budget| match (estimate.measured, budget.used_nano()) {
        (true, _) => estimate.reserve_nano,
        (false, 0) => 1,
        (false, _) => (estimate.reserve_nano / 10).max(1),
    };
    let empty = budgets.iter().filter(|budget| left(budget) < least(budget));
    if let Some(empty) = empty.min_by_key(|budget| left(budget)) {
        return Admission::Exhausted(empty.scope.clone());
    }
    match budgets.iter().min_by_key(|budget| budget.room_nano()) {
        Some(narrowest) if narrowest.room_nano() == 0 => Admission::Waits(narrowest.scope.clone()),
        Some(narrowest) => {
            let part = (narrowest.room_nano() / TURN_PART).max(1);
            Admission::Granted(estimate.reserve_nano.min(part))
        }
        None => Admission::Granted(estimate.reserve_nano),
    }
}

/// How much of a wish fits into every budget: what a running try may still take on top of what it holds.
pub fn extend(budgets: &[Budget], wish_nano: u64) -> u64 {
    budgets.iter().map(Budget::room_nano).fold(wish_nano, u64::min)
}

/// What budgets count for consumption that nobody can price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assumption {
    /// For a million tokens of any class, when there are tokens without a price.
    pub million_tokens_nano: u64,
    /// For a minute of work, when not even tokens are reported.
    pub minute_nano: u64,
}

impl Default for Assumption {
    fn default() -> Self {
        Assumption {
            million_tokens_nano: 10_000_000_000,
            minute_nano: 250_000_000,
        }
    }
}

impl Assumption {
    /// The proxy: by tokens where there are some, else by time.
    pub fn nano(self, usage: &Usage, elapsed_ms: u64) -> u64 {
        let of = |amount: u64, rate: u64, unit: u128| {
            u64::try_from(u128::from(amount) * u128::from(rate) / unit).unwrap_or(u64::MAX)
        };
        match usage.total() {
            0 => of(elapsed_ms, self.minute_nano, 60_000),
            tokens => of(tokens, self.million_tokens_nano, 1_000_000),
        }
    }
}

/// The first moment of the window that a budget's ledger entries lie in; the beginning of time for one without.
pub fn window_start(scope: &Scope, at: Millis) -> Millis {
    scope
        .window_ms()
        .map_or(Millis(0), |length| Millis(at.0 / length * length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(scope: Scope, limit: u64, reserved: u64, spent: u64) -> Budget {
        Budget {
            scope,
            limit_nano: limit,
            reserved_nano: reserved,
            spent_nano: spent,
            assumed_nano: 0,
            warned: false,
        }
    }

    fn guess(nano: u64) -> Estimate {
        Estimate {
            reserve_nano: nano,
            measured: false,
        }
    }

    fn measured(nano: u64) -> Estimate {
        Estimate {
            reserve_nano: nano,
            measured: true,
        }
    }

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in [
            Scope::Day,
            Scope::Hour,
            Scope::Session,
            Scope::Run(RunId(7)),
            Scope::Task(TaskId(12)),
            Scope::Instance(3),
            Scope::Crew,
            Scope::CrewHour,
        ] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for text in ["", "r", "week", "instance:", "rx"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_compose_by_the_narrowest() {
        let day = budget(Scope::Day, 100, 0, 10);
        let run = budget(Scope::Run(RunId(1)), 50, 0, 20);
        assert_eq!(admit(&[day.clone(), run.clone()], measured(30)), Admission::Granted(30));
        assert_eq!(
            admit(&[day.clone(), run.clone()], measured(31)),
            Admission::Exhausted(Scope::Run(RunId(1)))
        );
        assert_eq!(
            admit(&[day, run], guess(31)),
            Admission::Granted(30),
            "a guess begins with what is left"
        );
        assert_eq!(admit(&[], guess(5)), Admission::Granted(5));
    }

    #[test]
    fn what_others_may_give_back_is_waited_for() {
        let run = budget(Scope::Run(RunId(1)), 50, 40, 0);
        assert_eq!(
            admit(std::slice::from_ref(&run), measured(20)),
            Admission::Waits(Scope::Run(RunId(1)))
        );
        assert_eq!(
            admit(std::slice::from_ref(&run), guess(20)),
            Admission::Waits(Scope::Run(RunId(1)))
        );
        assert_eq!(admit(&[run], measured(60)), Admission::Exhausted(Scope::Run(RunId(1))));
        let dregs = budget(Scope::Day, 50, 0, 49);
        assert_eq!(admit(&[dregs], guess(20)), Admission::Exhausted(Scope::Day));
        let used_up = budget(Scope::Day, 50, 0, 50);
        assert_eq!(admit(&[used_up], guess(20)), Admission::Exhausted(Scope::Day));
    }

    #[test]
    fn a_turn_leaves_room_for_those_below_it() {
        let tree = |reserved, spent| [budget(Scope::Instance(1), 1_000, reserved, spent)];
        let mut reserved = 0;
        let mut granted = Vec::new();
        for _depth in 0..4 {
            let Admission::Granted(nano) = admit_turn(&tree(reserved, 0), guess(650)) else {
                panic!("each level finds some")
            };
            reserved += nano;
            granted.push(nano);
        }
        assert_eq!(granted, [250, 187, 140, 105]);
        assert_eq!(admit_turn(&tree(0, 0), guess(20)), Admission::Granted(20));
        assert_eq!(
            admit_turn(&tree(0, 0), measured(1_001)),
            Admission::Exhausted(Scope::Instance(1))
        );
        assert_eq!(
            admit_turn(&tree(0, 990), guess(650)),
            Admission::Exhausted(Scope::Instance(1)),
            "dregs"
        );
        assert_eq!(
            admit_turn(&tree(1_000, 0), guess(20)),
            Admission::Waits(Scope::Instance(1))
        );
    }

    #[test]
    fn a_mean_needs_three() {
        let terms = Terms::default();
        let experience = |tries, nano| Experience { tries, nano, tokens: 0 };
        assert_eq!(terms.estimate(experience(2, 2), 30), guess(650_000_000));
        assert_eq!(terms.estimate(experience(3, 300), 30), measured(130));
        assert_eq!(
            terms.estimate(experience(4, 0), 30),
            measured(1),
            "a reservation is never nothing"
        );
    }

    #[test]
    fn unknown_is_never_zero() {
        let assumption = Assumption::default();
        let tokens = Usage {
            output: 1_000,
            ..Usage::default()
        };
        assert_eq!(assumption.nano(&tokens, 0), 10_000_000);
        assert_eq!(assumption.nano(&Usage::default(), 60_000), 250_000_000);
        assert_eq!(assumption.nano(&Usage::default(), 1_000), 4_166_666);
    }

    #[test]
    fn windows_begin_and_end_with_the_clock() {
        let at = Millis(20_784 * DAY_MS + 5 * HOUR_MS + 17);
        assert_eq!(Scope::Hour.ends(at), Some(Millis(20_784 * DAY_MS + 6 * HOUR_MS)));
        assert_eq!(window_start(&Scope::Day, at), Millis(20_784 * DAY_MS));
        assert_eq!(Scope::Run(RunId(1)).ends(at), None);
    }

    #[test]
    fn a_new_window_forgets_what_was_spent_and_not_what_is_held() {
        let day = 20_784 * DAY_MS;
        let mut kept = Kept::new(Scope::Day, Millis(day));
        assert_eq!(kept.view(), None, "no limit, nothing to show");
        kept.configured_nano = Some(100);
        kept.raised_nano = 20;
        kept.reserved_nano = 30;
        let line = |nano| Line {
            cost: Cost::Priced(nano),
            ..Line::default()
        };
        assert!(!kept.spend(&line(95)), "79 percent");
        assert!(kept.spend(&line(1)) && !kept.spend(&line(1)), "once");
        kept.roll(Millis(day + DAY_MS - 1));
        assert_eq!(kept.spent_nano, 97);
        kept.roll(Millis(day + DAY_MS));
        let view = kept.view().unwrap();
        assert_eq!(
            (view.limit_nano, view.spent_nano, view.reserved_nano, view.warned),
            (100, 0, 30, false)
        );
        // A day whose clock was set back is not begun twice by the store, whose time never runs backwards.
        kept.own_nano = Some(50);
        assert_eq!(kept.view().map(|view| view.limit_nano), Some(50));
    }

    proptest! {
        /// Whatever is granted fits into every budget.
        #[test]
        fn a_grant_never_exceeds_any_budget(
            rows in prop::collection::vec((1u64..1000, 0u64..500, 0u64..500), 0..5),
            need in 1u64..1000, is_measured: bool,
        ) {
            let budgets: Vec<Budget> = rows.iter().map(|(limit, reserved, spent)| budget(Scope::Day, *limit, *reserved, *spent)).collect();
            let estimate = Estimate { reserve_nano: need, measured: is_measured };
            if let Admission::Granted(nano) = admit(&budgets, estimate) {
                prop_assert!(nano >= 1 && nano <= need);
                prop_assert!(budgets.iter().all(|budget| nano <= budget.room_nano()));
            }
            prop_assert!(budgets.iter().all(|budget| extend(&budgets, need) <= budget.room_nano()));
        }
    }
}
