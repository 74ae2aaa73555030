//! The lines of a report: sums of sums under a narrower key, in the order in which people want them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{AgentLine, COMMAND, Crew, DayLine, Fee, FixedLine, KindLine, ModelLine, Money, Period, Work};
use crate::day::Day;
use crate::ids::AgentName;
use crate::ledger::{Tally, TallyKey};

type Row = (TallyKey, Tally);

/// Tallies that share a key.
fn by<'r, K: Ord>(rows: impl IntoIterator<Item = &'r Row>, key: impl Fn(&'r TallyKey) -> K) -> BTreeMap<K, Tally> {
    let mut sums: BTreeMap<K, Tally> = BTreeMap::new();
    for (of, tally) in rows {
        sums.entry(key(of)).or_default().add(tally);
    }
    sums
}

pub(super) fn work(tally: &Tally) -> Work {
    Work {
        completed: tally.succeeded(),
        first_try: tally.first_try,
        second_try: tally.second_try,
        reworked: tally.reworked,
        verified: tally.verified,
        failed: tally.failed,
        tries: tally.tries,
        wall_ms: tally.wall_ms,
        rated: tally.rated,
        stars: tally.stars,
    }
}

/// What fees come to. A month that lies in the period whole costs what a month costs; of others the days are counted.
pub(super) fn fixed(fees: &[Fee], period: Period) -> Vec<FixedLine> {
    let line = |fee: &Fee| {
        let first = fee.from.map_or(period.first, |from| from.max(period.first));
        let last = fee.until.map_or(period.last, |until| until.min(period.last));
        let (mut day, mut nano) = (first, 0u64);
        while day <= last {
            let (month, next) = day.month();
            let end = next.min(Day(last.0.saturating_add(1)));
            let (days, of) = (u128::from(end.0 - day.0), u128::from(next.0 - month.0));
            let part = u128::from(fee.month_nano) * days / of.max(1);
            nano = nano.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
            day = end;
        }
        FixedLine {
            name: fee.name.clone(),
            nano,
        }
    };
    fees.iter().map(line).filter(|line| line.nano > 0).collect()
}

pub(super) fn models(rows: &[Row]) -> Vec<ModelLine> {
    let sums = by(rows, |key| key.model.clone());
    let mut lines: Vec<ModelLine> = sums
        .into_iter()
        .filter(|(_, tally)| tally.entries > 0)
        .map(|(model, tally)| ModelLine {
            model,
            entries: tally.entries,
            usage: tally.usage,
            cost: Money::of(&tally),
        })
        .collect();
    lines.sort_by_key(|line| (Reverse(line.cost.known_nano), Reverse(line.usage.total())));
    lines
}

pub(super) fn agents(real: &[Row], rehearsed: &[Row]) -> Vec<AgentLine> {
    let lines_of = |rows, is_rehearsed: bool| {
        by(rows, |key| key.agent.clone())
            .into_iter()
            .map(move |(agent, tally): (AgentName, Tally)| AgentLine {
                agent,
                rehearsed: is_rehearsed,
                work: work(&tally),
                usage: tally.usage,
                cost: Money::of(&tally),
            })
    };
    let mut lines: Vec<AgentLine> = lines_of(real, false).chain(lines_of(rehearsed, true)).collect();
    lines.sort_by_key(|line| (line.rehearsed, Reverse(line.work.ended()), Reverse(line.usage.total())));
    lines
}

pub(super) fn crews(crews: Vec<Crew>, stand_ins: &BTreeSet<AgentName>) -> Vec<Crew> {
    let mut sums: BTreeMap<Vec<AgentName>, u64> = BTreeMap::new();
    for Crew { mut agents, runs } in crews {
        agents.retain(|agent| !stand_ins.contains(agent));
        agents.sort_unstable();
        if !agents.is_empty() {
            *sums.entry(agents).or_default() += runs;
        }
    }
    let mut crews: Vec<Crew> = sums.into_iter().map(|(agents, runs)| Crew { agents, runs }).collect();
    crews.sort_by_key(|crew| Reverse(crew.runs));
    crews
}

pub(super) fn kinds(rows: &[Row]) -> Vec<KindLine> {
    let prompts = rows.iter().filter(|(key, _)| key.kind != COMMAND);
    let sums = by(prompts, |key| (key.model.clone(), key.kind.clone()));
    let mut lines: Vec<KindLine> = sums
        .into_iter()
        .filter(|(_, tally)| !tally.is_empty())
        .map(|((model, kind), tally)| {
            let cost = Money::of(&tally);
            KindLine {
                model,
                kind,
                work: work(&tally),
                cost,
                per_verified_nano: cost.known_nano.checked_div(tally.verified),
            }
        })
        .collect();
    lines.sort_by_key(|line| (Reverse(line.work.verified), Reverse(line.work.completed)));
    lines
}

pub(super) fn days(rows: &[Row], period: Period) -> Vec<DayLine> {
    let sums = by(rows, |key| key.day);
    // The first and last day that have anything: a report since ever does not begin in 1970.
    let (Some(first), Some(last)) = (sums.keys().next(), sums.keys().next_back()) else {
        return Vec::new();
    };
    let first = period.first.max(Day(first.0));
    (first.0..=last.0)
        .map(|day| {
            let tally = sums.get(&Day(day)).copied().unwrap_or_default();
            DayLine {
                day: Day(day),
                tokens: tally.usage.total(),
                cost: Money::of(&tally),
                completed: tally.succeeded(),
                failed: tally.failed,
            }
        })
        .collect()
}
