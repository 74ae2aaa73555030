//! Recorded sessions with layers on and off: tokens, dollars with a prompt cache and without, and what would have been
//! hidden. The peer's numbers are those of an independent replay of the same sessions at the same prices.

use std::path::Path;

use wheelhouse_context::account::Difference;
use wheelhouse_context::cache::Cache;
use wheelhouse_context::replay::{Effect, Session, Step, account, read};
use wheelhouse_core::price::Table as Prices;

use crate::circles;
use crate::source;
use crate::table::{Table, percent};

const MODEL: &str = "claude-sonnet-5-5";

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let directory = data.join("trajectories");
    let files = [".jsonl", ".json"]
        .map(|ending| source::files(&directory, ending))
        .concat();
    if files.is_empty() {
        println!(
            "trajectories: passed over, no .jsonl or .json is in {}",
            directory.display()
        );
    }
    for path in files {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = name.split(".json").next().unwrap_or_default();
        let found = read::read(&source::text(&path));
        if found.sessions.is_empty() {
            source::stop(
                &path,
                Some(1),
                "no line has a session: messages with `role` and `content`, one of them the model's",
            );
        }
        if found.passed_over > 0 {
            table.note(&format!(
                "{name}: {} lines say nothing of a conversation",
                found.passed_over
            ));
        }
        sessions(table, name, &found.sessions);
    }
}

/// The set whose replay by others is known.
const KNOWN: &str = "tau_airline_gpt4o";

fn sessions(table: &mut Table, name: &str, sessions: &[Session]) {
    let day = "2026-11-20".parse().unwrap();
    let price = Prices::shipped().find(MODEL, day).price().unwrap().clone();
    let off = Cache {
        on: false,
        ..Cache::default()
    };
    let steps = [
        (Step::Rolling(10), "-3.0 / -2.7 / +22.1 %", "6.6 %"),
        (Step::Rolling(5), "-11.1 / -9.9 / +36.1 %", "24.1 %"),
        (Step::Rolling(3), "–", "42.6 %"),
        (Step::Batch(5, 4_000), "-0.7 / -0.6 / +0.4 %", "–"),
        (
            Step::Reduction(1_000),
            "-1.9 / -1.7 / -1.4 % (cut, no list)",
            "0.0 % (cut, no list)",
        ),
        (Step::Reduction(500), "–", "0.2 % (cut, no list)"),
        (Step::Reduction(250), "–", "30.3 % (cut, no list)"),
        (Step::Encoding, "–", "–"),
    ];
    let all: Vec<Step> = steps.iter().map(|(step, ..)| *step).collect();
    let warm = account(sessions, &all, &price, Cache::default(), 1_000);
    let cold = account(sessions, &all, &price, off, 1_000);
    // The peer's replay finds a prefix however far back it is; providers look back twenty blocks.
    let far = Cache {
        lookback: usize::MAX,
        ..Cache::default()
    };
    let unlimited = account(sessions, &all[..2], &price, far, 1_000);
    for effect in &unlimited.alone {
        let share = effect.difference.cost_nano as f64 / unlimited.baseline.cost_nano as f64;
        table.note(&format!(
            "{}, with a cache that looks back without limit: {} USD",
            effect.name,
            percent(share)
        ));
    }
    let calls = warm.baseline.calls as f64 / sessions.len() as f64;
    let mean = |number: u64| number as f64 / sessions.len() as f64;
    table.row(
        format!(
            "{} recorded sessions ({name}), {calls:.1} calls: tokens sent, USD cached, USD not",
            sessions.len()
        ),
        format!(
            "{:.0}, {:.4}, {:.4}",
            mean(warm.baseline.prompt()),
            mean(warm.baseline.cost_nano) / 1e9,
            mean(cold.baseline.cost_nano) / 1e9
        ),
        if name == KNOWN { "34,200 tokens" } else { "–" },
        "–",
    );
    for ((effect, without), (_, bill, hidden)) in warm.alone.iter().zip(&cold.alone).zip(steps) {
        let changes = [
            sent(&effect.difference) as f64 / warm.baseline.prompt() as f64,
            without.difference.cost_nano as f64 / cold.baseline.cost_nano as f64,
            effect.difference.cost_nano as f64 / warm.baseline.cost_nano as f64,
        ];
        table.row(
            format!("{}: tokens / USD not cached / USD cached; hidden", effect.name),
            format!(
                "{}; {:.1} %",
                changes.map(percent).join(" / "),
                effect.regret.share() * 100.0
            ),
            if name == KNOWN {
                format!("{bill}; {hidden}")
            } else {
                "–".to_owned()
            },
            "0 / 0 / 0; 0 %",
        );
    }
    hidden_of(table, sessions, &warm.alone);
    circles::measure(table, name, sessions, &price);
}

fn sent(difference: &Difference) -> i64 {
    difference.input + difference.read + difference.write
}

/// How many identifiers the hidden shares are of.
fn hidden_of(table: &mut Table, sessions: &[Session], effects: &[Effect]) {
    let used = effects.first().map_or(0, |effect| effect.regret.used);
    table.note(&format!(
        "hidden: of {used} identifiers in {} sessions that tool calls took from tool results alone",
        sessions.len()
    ));
}
