//! Cases: what reports are made of.

use wheelhouse_core::day::{DAY_MS, Day};
use wheelhouse_core::ids::{AgentName, RunId, TaskId};
use wheelhouse_core::ledger::{Line, Spending, Tally};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::report::{Crew, Parallel, Spans, parallel};
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{Claimed, Command, Next, Reply, Settlement, SpansOf};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::build;
use super::trial::{Trial, claim_by, ended};

fn prompt(key: &str, agent: &str, needs: &[&str]) -> TaskSpec {
    TaskSpec {
        work: Work::Prompt("do it".to_owned()),
        agent: agent.into(),
        needs: needs.iter().map(|need| (*need).into()).collect(),
        ..build::task(key)
    }
}

fn submit(t: &mut Trial, tasks: Vec<TaskSpec>) -> RunId {
    let run = build::run("r");
    match t.apply(Command::SubmitRun { run, tasks }) {
        Reply::Submitted { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

fn claim(t: &mut Trial) -> Vec<Claimed> {
    match t.apply(Command::Claim(claim_by("e1", 9))) {
        Reply::Claimed { tasks, .. } => tasks,
        other => panic!("{other:?}"),
    }
}

fn spent(model: &str, input: u64, cost: Cost) -> Settlement {
    let usage = Usage {
        input,
        source: UsageSource::Reported,
        ..Usage::default()
    };
    Settlement {
        usage,
        cost,
        spending: Spending {
            account: None,
            kind: "review".to_owned(),
            lines: vec![Line {
                model: Some(model.to_owned()),
                usage,
                cost,
                ..Line::default()
            }],
        },
        ..ended(Outcome::Succeeded)
    }
}

fn sum<'s>(tallies: impl IntoIterator<Item = &'s Tally>) -> Tally {
    let mut sum = Tally::default();
    for tally in tallies {
        sum.add(tally);
    }
    sum
}

/// Entry by entry, by day, by run, and as the runs themselves count: one number.
pub(super) fn a_ledger_summed_every_way_gives_one_number(t: &mut Trial) {
    let mut runs = Vec::new();
    for number in 0..3u64 {
        let run = submit(t, vec![prompt("a", "smith", &[]), prompt("b", "jones", &[])]);
        runs.push(run);
        for (place, claimed) in claim(t).into_iter().enumerate() {
            let cost = match (number + place as u64) % 4 {
                0 => Cost::Actual(7),
                1 => Cost::Priced(11),
                2 => Cost::Unknown,
                _ => Cost::Included,
            };
            t.settle(
                claimed.lease,
                spent(if place == 0 { "m" } else { "n" }, 10 + number, cost),
            );
        }
        t.advance_ms(DAY_MS);
    }
    let today = Day::of(t.clock.now());
    let mut reader = t.reader();
    let mut entries = Tally::default();
    for entry in reader.ledger(0, 99).unwrap() {
        entries.book(&Line {
            usage: entry.usage,
            cost: entry.cost,
            assumed_nano: entry.assumed_nano,
            ..Line::default()
        });
    }
    let days = sum(reader.tallies(Day(0), today).unwrap().iter().map(|(_, tally)| tally));
    let mut by_run = Tally::default();
    let (mut known, mut unknown, mut usage) = (0, 0, None);
    for run in runs {
        let sums = reader.ledger_of(run).unwrap();
        by_run.add(&sum(sums.iter().map(|sum| &sum.tally)));
        let view = reader.run(run).unwrap().unwrap();
        known += view.cost_nano;
        unknown += view.cost_unknown;
        usage = Some(usage.map_or(view.usage, |sum: Usage| sum.plus(view.usage)));
    }
    let facts = |tally: &Tally| {
        (
            tally.entries,
            tally.usage,
            tally.known_nano(),
            tally.unknown,
            tally.included,
        )
    };
    assert_eq!(facts(&entries), (6, usage.unwrap(), known, unknown, 1));
    assert_eq!(facts(&days), facts(&entries));
    assert_eq!(facts(&by_run), facts(&entries));
    assert!(unknown > 0 && known > 0);
}

pub(super) fn the_ledger_of_a_run_knows_its_tasks_and_models(t: &mut Trial) {
    let run = submit(t, vec![prompt("a", "smith", &[]), prompt("b", "smith", &[])]);
    submit(t, vec![prompt("c", "smith", &[])]);
    let claimed = claim(t);
    let again = Settlement {
        next: Next::AwaitBudget,
        outcome: Outcome::BudgetExhausted,
        ..spent("m", 1, Cost::Priced(1))
    };
    t.settle(claimed[1].lease, spent("n", 4, Cost::Priced(4)));
    t.settle(claimed[0].lease, again);
    t.settle(claimed[2].lease, spent("m", 64, Cost::Priced(64)));
    let sums = t.reader().ledger_of(run).unwrap();
    let told: Vec<(TaskId, Option<&str>, &str, u64)> = sums
        .iter()
        .map(|sum| {
            let (model, kind) = (sum.key.model.as_deref(), sum.key.kind.as_str());
            (sum.task, model, kind, sum.tally.priced_nano)
        })
        .collect();
    let (a, b) = (t.task(run, "a").id, t.task(run, "b").id);
    assert_eq!(told, [(b, Some("n"), "review", 4), (a, Some("m"), "review", 1)]);
    assert_eq!(t.reader().ledger_of(RunId(99)).unwrap(), []);
}

pub(super) fn who_worked_together_is_told_by_run(t: &mut Trial) {
    for agents in [&["smith", "jones"][..], &["smith"], &["jones", "smith"]] {
        let tasks = agents.iter().map(|agent| prompt(agent, agent, &[])).collect();
        submit(t, tasks);
        for claimed in claim(t) {
            t.settle(claimed.lease, spent("m", 1, Cost::Included));
        }
    }
    let today = Day::of(t.clock.now());
    let crew = |agents: &[&str], runs| Crew {
        agents: agents.iter().map(|agent| AgentName::from(*agent)).collect(),
        runs,
    };
    let mut crews = t.reader().crews(today, today).unwrap();
    crews.sort_by_key(|crew| crew.runs);
    assert_eq!(crews, [crew(&["smith"], 1), crew(&["jones", "smith"], 2)]);
    assert_eq!(t.reader().crews(Day(today.0 + 1), Day(today.0 + 9)).unwrap(), []);
}

pub(super) fn tries_are_told_with_what_needs_what(t: &mut Trial) {
    let (smith, today) = ("smith", Day::of(t.clock.now()));
    let run = submit(
        t,
        vec![
            prompt("a", smith, &[]),
            prompt("b", smith, &[]),
            prompt("c", smith, &["a", "b"]),
        ],
    );
    let claimed = claim(t);
    t.advance_ms(10);
    t.settle(claimed[0].lease, spent("m", 1, Cost::Included));
    t.advance_ms(20);
    t.settle(claimed[1].lease, spent("m", 1, Cost::Included));
    let claimed = claim(t);
    t.advance_ms(5);
    t.settle(claimed[0].lease, spent("m", 1, Cost::Included));
    let expected = Parallel {
        runs: 1,
        runs_left_out: 0,
        sum_ms: 45,
        critical_ms: 35,
        elapsed_ms: 35,
        saved_ms: 10,
    };
    for which in [SpansOf::Run(run), SpansOf::Days(today, today)] {
        let spans = t.reader().spans(which, 99).unwrap();
        assert_eq!(parallel(spans), Some(expected));
    }
    assert_eq!(t.reader().spans(SpansOf::Run(run), 2).unwrap().left_out, 1);
    let later = SpansOf::Days(Day(today.0 + 1), Day(today.0 + 1));
    assert_eq!(t.reader().spans(later, 99).unwrap(), Spans::default());
}
