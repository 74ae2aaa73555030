//! What a plan is expected to cost before it starts, and whether budgets and allowances suffice.
//!
//! The figures are those that a reservation goes by (`budget::Terms::estimate`): the mean of past tries of the
//! same agent, model and kind of work once there are enough. Where there are not, the cost is unknown, and what budgets
//! hold in its place is shown apart as what is assumed. One try a task is counted; of a workflow its least and most.

use serde::Serialize;

use crate::budget::{Budget, Experience, Scope, Terms};
use crate::ids::{AgentName, TaskKey};
use crate::ledger;
use crate::plan::Checked;
use crate::price::Billing;
use crate::quota::{self, Allowance};
use crate::route::past::{Past, Sketch};
use crate::soft::{self, Policy, SoftLine};
use crate::spec::{TaskSpec, Work};
use crate::time::Millis;
use crate::workflow::crew::Crew;

/// What an expectation rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// No model is asked.
    Free,
    /// A subscription: no marginal cost.
    Included,
    /// The mean of past tries.
    PastTries,
    /// Its parts, each by similar tasks or list prices.
    Crew,
    /// Nobody knows.
    Unknown,
}

/// What one task is expected to cost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OfTask {
    /// The task.
    pub task: TaskKey,
    /// Who does it; of a workflow the name of those who do.
    pub agent: AgentName,
    /// With which model, where that is known.
    pub model: Option<String>,
    /// What kind of work it is.
    pub kind: String,
    /// What the figures rest on.
    pub basis: Basis,
    /// Past tries that spoke.
    pub past_tries: u64,
    /// At least; absent when nobody knows.
    pub least_nano: Option<u64>,
    /// At most, retries left out; absent when nobody knows.
    pub most_nano: Option<u64>,
    /// What is assumed in place of a cost that nobody knows; zero otherwise.
    pub assumed_nano: u64,
    /// What is reserved before a try begins; zero when nobody pays by the token.
    pub reserved_nano: u64,
    /// Where somebody is told that it takes more than its like; absent where nobody pays by the token, where the task has
    /// a limit of its own, or where too little is known.
    pub soft_line: Option<SoftLine>,
    /// The task's own limit.
    pub budget_nano: Option<u64>,
    /// The accounts it works on.
    pub accounts: Vec<String>,
}

/// Sums over tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Sums {
    /// Tasks.
    pub tasks: u64,
    /// What is known, at least.
    pub least_nano: u64,
    /// What is known, at most.
    pub most_nano: u64,
    /// Tasks whose cost nobody knows.
    pub unknown_tasks: u64,
    /// What is assumed for those.
    pub assumed_nano: u64,
}

/// Whether something suffices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does, even for the most.
    Suffices,
    /// For the least, or with what is assumed; nobody can promise it.
    Perhaps,
    /// It does not.
    FallsShort,
}

/// A budget that the plan meets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OfBudget {
    /// `day`, `hour`, `session`, `run`, or `task KEY`.
    pub budget: String,
    /// The limit.
    pub limit_nano: u64,
    /// What can still be spent of it.
    pub room_nano: u64,
    /// What the tasks under it are expected to need at most, assumptions included.
    pub needed_nano: u64,
    /// Whether that is there.
    pub verdict: Verdict,
}

/// How an account stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its provider says that the end is in sight.
    InSight,
    /// Used up for now.
    UsedUp,
    /// Its provider said nothing of it: nobody knows how much is left.
    Unheard,
}

/// An account that the plan works on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OfAccount {
    /// The account, or the agent where none is configured.
    pub account: String,
    /// Tasks that begin on it.
    pub tasks: u64,
    /// How it stands.
    pub standing: Standing,
    /// When it returns, or is filled again.
    pub resets_at: Option<Millis>,
    /// The provider's words.
    pub what: Option<String>,
    /// What happens to tasks of an account that is used up.
    pub policy: &'static str,
}

/// What a plan is expected to cost, and what it meets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Forecast {
    /// The plan's name.
    pub name: String,
    /// Its tasks.
    pub tasks: Vec<OfTask>,
    /// Together.
    pub total: Sums,
    /// The budgets it meets, the widest first.
    pub budgets: Vec<OfBudget>,
    /// The accounts it works on.
    pub accounts: Vec<OfAccount>,
    /// Whether all budgets and accounts suffice: the worst of them.
    pub verdict: Verdict,
}

/// What is known when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Known<'k> {
    /// Limits, guesses, who pays.
    pub terms: &'k Terms,
    /// The budgets as they stand.
    pub budgets: &'k [Budget],
    /// The accounts as they stand.
    pub allowances: &'k [Allowance],
    /// What past tasks took.
    pub past: &'k Past,
    /// Whether an engine runs: without one the next begins a session of its own.
    pub engine_runs: bool,
    /// Now.
    pub now: Millis,
}

/// Looks ahead; what past tries cost is asked of `experience`.
pub fn forecast<E>(
    checked: &Checked,
    known: &Known<'_>,
    mut experience: impl FnMut(&AgentName, Option<&str>, &str) -> Result<Experience, E>,
) -> Result<Forecast, E> {
    let mut tasks = Vec::with_capacity(checked.tasks.len());
    for spec in &checked.tasks {
        let crew = checked.crews.iter().find(|crew| crew.task == spec.key);
        tasks.push(match crew {
            Some(crew) => of_crew(spec, crew, known.terms),
            None => of_one(spec, (known.terms, known.past), &mut experience)?,
        });
    }
    let total = sums(&tasks);
    let budgets = budgets(checked, &tasks, known);
    let accounts = accounts(&tasks, known);
    let of_accounts = accounts.iter().map(|account| match account.standing {
        Standing::UsedUp => Verdict::FallsShort,
        Standing::InSight => Verdict::Perhaps,
        // Most providers say nothing until the end is near; an account is taken to be open until then.
        Standing::Unheard => Verdict::Suffices,
    });
    let verdicts: Vec<Verdict> = budgets.iter().map(|one| one.verdict).chain(of_accounts).collect();
    Ok(Forecast {
        name: checked.run.name.clone(),
        tasks,
        total,
        budgets,
        accounts,
        verdict: worst(&verdicts),
    })
}

fn worst(verdicts: &[Verdict]) -> Verdict {
    [Verdict::FallsShort, Verdict::Perhaps]
        .into_iter()
        .find(|bad| verdicts.contains(bad))
        .unwrap_or(Verdict::Suffices)
}

fn of_one<E>(
    spec: &TaskSpec,
    (terms, past_tasks): (&Terms, &Past),
    experience: &mut impl FnMut(&AgentName, Option<&str>, &str) -> Result<Experience, E>,
) -> Result<OfTask, E> {
    let payer = terms.payer(&spec.agent);
    let model = spec.model.clone().or(payer.model);
    let kind = ledger::kind(spec);
    let mut task = OfTask {
        task: spec.key.clone(),
        agent: spec.agent.clone(),
        model,
        kind: kind.to_owned(),
        basis: Basis::Unknown,
        past_tries: 0,
        least_nano: Some(0),
        most_nano: Some(0),
        assumed_nano: 0,
        reserved_nano: 0,
        soft_line: None,
        budget_nano: spec.budget.map(|budget| budget.cost_nano),
        accounts: Vec::new(),
    };
    match payer.billing {
        Billing::Free => task.basis = Basis::Free,
        Billing::Subscription => {
            task.basis = Basis::Included;
            task.accounts.push(terms.account(&spec.agent));
        }
        Billing::Reported | Billing::Api => {
            let past = experience(&spec.agent, task.model.as_deref(), kind)?;
            let mean = past.mean_nano();
            task.basis = mean.map_or(Basis::Unknown, |_| Basis::PastTries);
            task.past_tries = past.tries;
            (task.least_nano, task.most_nano) = (mean, mean);
            task.assumed_nano = mean.map_or(terms.default_nano, |_| 0);
            task.reserved_nano = terms.estimate_of(spec, past).reserve_nano;
            if let (Work::Prompt(text), None, true) = (&spec.work, spec.budget, terms.soft != Policy::Off) {
                let similar = past_tasks.costs(&Sketch::of(text), spec.agent.as_str(), spec.model.as_deref());
                task.soft_line = soft::line(terms.safety_percent, soft::risk(spec), &similar, past);
            }
            task.accounts.push(terms.account(&spec.agent));
        }
    }
    Ok(task)
}

/// A workflow: its parts were looked at when the plan was read.
fn of_crew(spec: &TaskSpec, crew: &Crew, terms: &Terms) -> OfTask {
    let billing = |agent: &AgentName| terms.payer(agent).billing;
    let cost = crew.cost_nano();
    let pays = |agent: &AgentName| matches!(billing(agent), Billing::Reported | Billing::Api);
    let mut accounts: Vec<String> = crew
        .shares
        .iter()
        .filter(|share| billing(&share.hand.agent) != Billing::Free)
        .map(|share| terms.account(&share.hand.agent))
        .collect();
    accounts.sort_unstable();
    accounts.dedup();
    // Each try of a part that nobody can price is taken for what a try is taken for anywhere.
    let assumed = || {
        let of_part = |share: &crate::workflow::crew::Share| {
            let tries = u64::from(share.tries_max.unwrap_or(share.tries_min).max(1));
            let each = match share.try_nano {
                Some(nano) => nano,
                None if pays(&share.hand.agent) => terms.default_nano,
                None => 0,
            };
            each.saturating_mul(tries)
        };
        crew.shares.iter().map(of_part).fold(0, u64::saturating_add)
    };
    let basis = match cost {
        _ if accounts.is_empty() => Basis::Free,
        _ if crew.shares.iter().all(|share| !pays(&share.hand.agent)) => Basis::Included,
        Some(_) => Basis::Crew,
        None => Basis::Unknown,
    };
    let none = matches!(basis, Basis::Free | Basis::Included).then_some((0, 0));
    let range = none.or(cost);
    OfTask {
        task: spec.key.clone(),
        agent: spec.agent.clone(),
        model: None,
        kind: crew.workflow.to_owned(),
        basis,
        past_tries: 0,
        least_nano: range.map(|(least, _)| least),
        most_nano: range.map(|(_, most)| most),
        assumed_nano: range.map_or_else(assumed, |_| 0),
        // Its steps reserve for themselves.
        reserved_nano: 0,
        soft_line: None,
        budget_nano: spec.budget.map(|budget| budget.cost_nano),
        accounts,
    }
}

fn sums<'t>(tasks: impl IntoIterator<Item = &'t OfTask>) -> Sums {
    let mut sums = Sums::default();
    for task in tasks {
        sums.tasks += 1;
        sums.assumed_nano = sums.assumed_nano.saturating_add(task.assumed_nano);
        match task.least_nano.zip(task.most_nano) {
            Some((least, most)) => {
                sums.least_nano = sums.least_nano.saturating_add(least);
                sums.most_nano = sums.most_nano.saturating_add(most);
            }
            None => sums.unknown_tasks += 1,
        }
    }
    sums
}

/// Every budget that concerns a task: the global ones as they stand or as they are configured, the run's, the tasks'.
fn budgets(checked: &Checked, tasks: &[OfTask], known: &Known<'_>) -> Vec<OfBudget> {
    let mut met = Vec::new();
    for scope in [Scope::Day, Scope::Hour, Scope::Session] {
        let configured = known.terms.limits.iter().find(|(limited, _)| *limited == scope);
        let standing = known.budgets.iter().find(|budget| budget.scope == scope);
        let (limit, room) = match (standing, configured) {
            (Some(budget), _) if scope == Scope::Session && !known.engine_runs => {
                (budget.limit_nano, budget.limit_nano)
            }
            (Some(budget), _) => (budget.limit_nano, budget.room_nano()),
            (None, Some((_, limit))) => (*limit, *limit),
            (None, None) => continue,
        };
        met.push(of_budget(scope.to_string(), limit, room, tasks));
    }
    if let Some(limit) = checked.run.budget {
        met.push(of_budget("run".to_owned(), limit.cost_nano, limit.cost_nano, tasks));
    }
    for task in tasks {
        if let Some(limit) = task.budget_nano {
            met.push(of_budget(
                format!("task {}", task.task),
                limit,
                limit,
                std::slice::from_ref(task),
            ));
        }
    }
    met
}

fn of_budget(budget: String, limit_nano: u64, room_nano: u64, tasks: &[OfTask]) -> OfBudget {
    let sums = sums(tasks);
    let needed_nano = sums.most_nano.saturating_add(sums.assumed_nano);
    // A try that is known to need more than is left is not begun, whatever the sum.
    let known_too_large = tasks
        .iter()
        .any(|task| task.basis == Basis::PastTries && task.reserved_nano > room_nano);
    let nothing_left = room_nano == 0 && needed_nano > 0;
    let verdict = if sums.least_nano > room_nano || known_too_large || nothing_left {
        Verdict::FallsShort
    } else if sums.unknown_tasks > 0 || needed_nano > room_nano {
        Verdict::Perhaps
    } else {
        Verdict::Suffices
    };
    OfBudget {
        budget,
        limit_nano,
        room_nano,
        needed_nano,
        verdict,
    }
}

fn accounts(tasks: &[OfTask], known: &Known<'_>) -> Vec<OfAccount> {
    let mut names: Vec<&String> = tasks.iter().flat_map(|task| &task.accounts).collect();
    names.sort_unstable();
    names.dedup();
    let policy = match known.terms.quota {
        quota::Policy::Wait => "wait",
        quota::Policy::Reroute => "reroute",
    };
    names
        .into_iter()
        .map(|name| {
            let of_it = || known.allowances.iter().filter(|said| said.account == *name);
            let used_up = of_it().filter(|said| said.holds_until(known.now).is_some());
            let used_up = used_up.max_by_key(|said| said.resets_at);
            // What was said of a window that has ended says nothing of the one of now.
            let in_sight = of_it()
                .filter(|said| !said.exhausted && said.resets_at.is_none_or(|at| at > known.now))
                .max_by_key(|said| said.seen_at);
            let (standing, said) = match (used_up, in_sight) {
                (Some(said), _) => (Standing::UsedUp, Some(said)),
                (None, Some(said)) => (Standing::InSight, Some(said)),
                (None, None) => (Standing::Unheard, None),
            };
            OfAccount {
                account: name.clone(),
                tasks: tasks.iter().filter(|task| task.accounts.contains(name)).count() as u64,
                standing,
                resets_at: said.and_then(|said| said.resets_at),
                what: said.map(|said| said.what.clone()),
                policy,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(basis: Basis, cost: Option<u64>, reserved_nano: u64) -> OfTask {
        OfTask {
            task: TaskKey("a".to_owned()),
            agent: "sonnet".into(),
            model: None,
            kind: "review".to_owned(),
            basis,
            past_tries: 3,
            least_nano: cost,
            most_nano: cost,
            assumed_nano: cost.map_or(50, |_| 0),
            reserved_nano,
            soft_line: None,
            budget_nano: None,
            accounts: Vec::new(),
        }
    }

    #[test]
    fn a_budget_suffices_only_when_everything_is_known_and_fits() {
        let verdict = |room: u64, tasks: &[OfTask]| of_budget("day".to_owned(), 1_000, room, tasks).verdict;
        let measured = task(Basis::PastTries, Some(100), 130);
        let unknown = task(Basis::Unknown, None, 65);
        let free = task(Basis::Free, Some(0), 0);
        let two = [measured.clone(), measured.clone()];
        assert_eq!(verdict(200, &two), Verdict::Suffices);
        assert_eq!(verdict(199, &two), Verdict::FallsShort);
        assert_eq!(
            verdict(129, std::slice::from_ref(&measured)),
            Verdict::FallsShort,
            "the try is not begun"
        );
        assert_eq!(verdict(1_000, &[measured.clone(), unknown.clone()]), Verdict::Perhaps);
        assert_eq!(verdict(1, std::slice::from_ref(&unknown)), Verdict::Perhaps);
        assert_eq!(verdict(0, &[unknown]), Verdict::FallsShort);
        assert_eq!(verdict(0, &[free]), Verdict::Suffices);
        let crew = OfTask {
            most_nano: Some(400),
            ..task(Basis::Crew, Some(100), 0)
        };
        assert_eq!(verdict(399, std::slice::from_ref(&crew)), Verdict::Perhaps);
        assert_eq!(verdict(400, &[crew]), Verdict::Suffices);
    }
}
