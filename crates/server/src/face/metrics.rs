//! How the work stands as Prometheus reads it: text, made anew from the store at each look, so that a server that was
//! started again counts on.
//!
//! Sums are those of the tallies by day. Costs come in three families, so that no sum over them takes an unknown cost for
//! none: dollars that are known, entries without a price, and dollars that budgets assume for those.

use std::collections::BTreeMap;
use std::fmt::Write;

use wheelhouse_core::budget::Budget;
use wheelhouse_core::day::Day;
use wheelhouse_core::ledger::Tally;
use wheelhouse_core::quota::Allowance;
use wheelhouse_core::store::{Counts, Reader};
use wheelhouse_core::time::Millis;

use super::failure::Failure;

/// What the text is, for `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How many runs are looked through for open tasks.
const RUNS_MAX: u32 = 10_000;

/// A sum's value, as it is written.
type Told = fn(&Tally) -> String;
/// Agent, model, account, kind of work.
type Who = [String; 4];

/// The text.
pub fn metrics(reader: &mut dyn Reader, engine: bool, now: Millis) -> Result<String, Failure> {
    let mut sums: BTreeMap<Who, Tally> = BTreeMap::new();
    for (key, tally) in reader.tallies(Day(0), Day(u32::MAX))? {
        let or_none = |name: Option<String>| name.unwrap_or_default();
        let who = [
            key.agent.to_string(),
            or_none(key.model),
            or_none(key.account),
            key.kind,
        ];
        sums.entry(who).or_default().add(&tally);
    }
    let mut text = Text::default();
    text.head("wheelhouse_engine", "gauge", "Whether an engine works on the state.");
    text.line("wheelhouse_engine", &[], &u64::from(engine).to_string());
    tokens(&mut text, &sums);
    costs(&mut text, &sums);
    work(&mut text, &sums);
    let mut open = Counts::default();
    for run in reader.runs(RUNS_MAX)? {
        open.waiting += run.counts.waiting;
        open.ready += run.counts.ready;
        open.running += run.counts.running;
        open.held += run.counts.held;
    }
    text.head("wheelhouse_tasks_open", "gauge", "Tasks that are not done, by state.");
    for (state, number) in [
        ("waiting", open.waiting),
        ("ready", open.ready),
        ("running", open.running),
        ("held", open.held),
    ] {
        text.line("wheelhouse_tasks_open", &[("state", state)], &number.to_string());
    }
    let questions = reader.open_questions()?.len();
    text.head(
        "wheelhouse_questions_open",
        "gauge",
        "Questions that wait for a person.",
    );
    text.line("wheelhouse_questions_open", &[], &questions.to_string());
    limits(&mut text, &reader.budgets(now)?, &reader.allowances()?, now);
    Ok(text.0)
}

fn tokens(text: &mut Text, sums: &BTreeMap<Who, Tally>) {
    let name = "wheelhouse_tokens_total";
    text.head(name, "counter", "Tokens, by class; the classes do not overlap.");
    for (who, tally) in sums {
        let usage = &tally.usage;
        for (class, number) in [
            ("input", usage.input),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("output", usage.output),
            ("reasoning", usage.reasoning),
        ] {
            if number > 0 {
                text.of(name, who, &[("class", class)], &number.to_string());
            }
        }
    }
}

fn costs(text: &mut Text, sums: &BTreeMap<Who, Tally>) {
    let name = "wheelhouse_cost_known_usd_total";
    text.head(
        name,
        "counter",
        "Dollars that are known, by the vendor's figure or the price table.",
    );
    for (who, tally) in sums {
        for (provenance, nano) in [("actual", tally.actual_nano), ("priced", tally.priced_nano)] {
            if nano > 0 {
                text.of(name, who, &[("provenance", provenance)], &usd(nano));
            }
        }
    }
    let name = "wheelhouse_ledger_entries_total";
    text.head(
        name,
        "counter",
        "Entries of the ledger, by whether their cost is known.",
    );
    for (who, tally) in sums {
        let known = tally.entries.saturating_sub(tally.included + tally.unknown);
        for (cost, number) in [
            ("known", known),
            ("included", tally.included),
            ("unknown", tally.unknown),
        ] {
            if number > 0 {
                text.of(name, who, &[("cost", cost)], &number.to_string());
            }
        }
    }
    let name = "wheelhouse_cost_assumed_usd_total";
    text.head(name, "counter", "Dollars that budgets count where the cost is unknown.");
    for (who, tally) in sums.iter().filter(|(_, tally)| tally.assumed_nano > 0) {
        text.of(name, who, &[], &usd(tally.assumed_nano));
    }
}

fn work(text: &mut Text, sums: &BTreeMap<Who, Tally>) {
    let name = "wheelhouse_tasks_done_total";
    text.head(
        name,
        "counter",
        "Tasks that ended, by how; skipped and cancelled ones left out.",
    );
    for (who, tally) in sums {
        for (outcome, number) in [
            ("first_try", tally.first_try),
            ("second_try", tally.second_try),
            ("reworked", tally.reworked),
            ("failed", tally.failed),
        ] {
            if number > 0 {
                text.of(name, who, &[("outcome", outcome)], &number.to_string());
            }
        }
    }
    let counters: [(&str, &str, Told); 3] = [
        (
            "wheelhouse_tasks_verified_total",
            "Succeeded tasks whose checks the engine ran, and they passed.",
            |tally| tally.verified.to_string(),
        ),
        ("wheelhouse_tries_total", "Tries that ended.", |tally| {
            tally.tries.to_string()
        }),
        (
            "wheelhouse_try_seconds_total",
            "How long they took together.",
            |tally| format!("{}.{:03}", tally.wall_ms / 1_000, tally.wall_ms % 1_000),
        ),
    ];
    for (name, about, value) in counters {
        text.head(name, "counter", about);
        for (who, tally) in sums.iter().filter(|(_, tally)| tally.tries > 0) {
            text.of(name, who, &[], &value(tally));
        }
    }
}

fn limits(text: &mut Text, budgets: &[Budget], allowances: &[Allowance], now: Millis) {
    let name = "wheelhouse_budget_usd";
    text.head(name, "gauge", "Budgets in their present window, in dollars.");
    for budget in budgets {
        let scope = budget.scope.to_string();
        for (part, nano) in [
            ("limit", budget.limit_nano),
            ("spent", budget.spent_nano),
            ("assumed", budget.assumed_nano),
            ("reserved", budget.reserved_nano),
        ] {
            text.line(name, &[("scope", &scope), ("part", part)], &usd(nano));
        }
    }
    let name = "wheelhouse_account_used_up";
    text.head(
        name,
        "gauge",
        "Whether a provider's allowance for an account is used up.",
    );
    for allowance in allowances {
        let labels = [
            ("account", allowance.account.as_str()),
            ("window", allowance.window.name()),
        ];
        let used_up = allowance.holds_until(now).is_some();
        text.line(name, &labels, &u64::from(used_up).to_string());
    }
}

fn usd(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, about: &str) {
        let _ = write!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}\n");
    }

    fn of(&mut self, name: &str, [agent, model, account, kind]: &Who, more: &[(&str, &str)], value: &str) {
        let mut labels = vec![
            ("agent", agent.as_str()),
            ("model", model.as_str()),
            ("account", account.as_str()),
            ("kind", kind.as_str()),
        ];
        labels.extend(more);
        self.line(name, &labels, value);
    }

    /// A label without a value is the same as none, and is left out.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        let labels: Vec<String> = labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(label, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{label}=\"{value}\"")
            })
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}
