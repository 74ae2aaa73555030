//! Prices from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wheelhouse_core::budget::Terms;
use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AgentName, OwnerId};
use wheelhouse_core::ledger::{Line, Spending};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan::{self, Context, Defaults, Source};
use wheelhouse_core::store::{ClaimRequest, Command, EndedBy, Next, Reply, Settlement, Store, TaskResult};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};
use wheelhouse_store::{ManualClock, SqliteStore};

use crate::House;

#[test]
fn prices_are_shown_by_day_and_fit_a_narrow_screen() {
    let house = House::new().with_env("COLUMNS", "80");
    let before = house.ok(&["prices", "gemini-4-argon", "--on", "2026-11-30"]).out;
    let after = house.ok(&["prices", "gemini-4-argon", "--on", "2026-12-01"]).out;
    insta::assert_snapshot!("prices", format!("{before}\n{after}"));
    assert!(
        before
            .lines()
            .chain(after.lines())
            .all(|line| line.chars().count() <= 80)
    );
    let retired = house.json(&["prices", "gpt-5-codex", "--on", "2026-11-27"]);
    assert_eq!(retired["prices"][0]["retired"], true);
}

#[test]
fn a_newer_table_is_true_from_its_day_on() {
    let house = House::new();
    let file = house.write(
        "newer.json",
        r#"{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            "drawing": {"litellm_provider": "openai", "input_cost_per_image": 1.0}}"#,
    );
    let file = file.display().to_string();
    let input = |day: &str| house.json(&["prices", "gpt-4o", "--on", day])["prices"][0]["rates"]["input"].clone();
    let read = house.json(&["prices", "update", &file, "--from", "2026-12-24"]);
    assert_eq!((read["rows"].as_u64(), read["left_out"].as_u64()), (Some(1), Some(1)));
    assert_eq!(
        (input("2026-12-23").as_u64(), input("2026-12-24").as_u64()),
        (Some(2_500_000_000), Some(1_000_000_000))
    );
    // Said twice, it is said once.
    house.ok(&["prices", "update", &file, "--from", "2026-12-24"]);
    let rows = house.json(&["prices", "gpt-4o", "--all"]);
    let of_it = rows["prices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["model"] == "gpt-4o")
        .count();
    assert_eq!(of_it, 2);
}

#[test]
fn what_is_no_table_changes_nothing() {
    let house = House::new();
    let file = house.write("bad.json", "[]").display().to_string();
    let refused = house.run(&["prices", "update", &file]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("LiteLLM") && refused.err.contains("models.dev"),
        "{}",
        refused.err
    );
    assert_eq!(house.run(&["prices", "nonesuch"]).code, Some(5));
    assert!(!house.project().join(".wheelhouse").exists());
}

/// The whole public table as it was in November 2026, where it is at hand.
#[test]
fn a_whole_public_table_can_be_read() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/data/prices/prices_litellm_1.109.1.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("passed over: {} is not there", path.display());
        return;
    };
    // The fixture is an extract; this is the form it was extracted from.
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut map = serde_json::Map::new();
    for row in &rows {
        let usd = |key: &str| row["usd_per_mtok"][key].as_f64().map(|usd| usd / 1e6);
        map.insert(
            row["id"].as_str().unwrap().to_owned(),
            serde_json::json!({
                "litellm_provider": row["provider"], "input_cost_per_token": usd("input"),
                "output_cost_per_token": usd("output"), "cache_read_input_token_cost": usd("cache_read"),
            }),
        );
    }
    let house = House::new();
    let file = house.write("all.json", &serde_json::Value::Object(map).to_string());
    let read = house.json(&["prices", "update", &file.display().to_string()]);
    assert_eq!(read["rows"].as_u64(), Some(rows.len() as u64));
    let shown = house.json(&["prices", "claude-opus-4-6"]);
    assert_eq!(shown["prices"][0]["rates"]["output"].as_u64(), Some(25_000_000_000));
}

/// A million tokens read from the cache of Sonnet 5.5 on each of these days, booked at what it cost before its price
/// fell on the seventh; the store's own clock shows those days.
fn october(house: &House) {
    let mut days =
        ["2026-10-06", "2026-10-07", "2026-10-31", "2026-11-01"].map(|day| day.parse::<Day>().unwrap().start());
    let clock = Arc::new(ManualClock::new(days[0]));
    std::fs::create_dir_all(house.project().join(".wheelhouse")).unwrap();
    let mut store = SqliteStore::open(&house.project().join(".wheelhouse/wheelhouse.db"), clock.clone()).unwrap();
    let mut apply = |command: Command| store.commit(&[command]).unwrap().remove(0).unwrap();
    for at in &mut days {
        clock.set_wall(*at);
        apply(submission());
        let claim = ClaimRequest {
            owner: OwnerId("e1".to_owned()),
            limit: 1,
            lease_ms: 60_000,
            borrowed: 0,
            caps: Vec::new(),
            terms: Arc::new(Terms::default()),
        };
        let Reply::Claimed { tasks, .. } = apply(Command::Claim(claim)) else {
            panic!("nothing was claimed")
        };
        let line = Line {
            model: Some("claude-sonnet-5-5".to_owned()),
            usage: Usage {
                cache_read: 1_000_000,
                source: UsageSource::Reported,
                ..Usage::default()
            },
            cost: Cost::Priced(200_000_000),
            ..Line::default()
        };
        let settlement = Settlement {
            outcome: Outcome::Succeeded,
            next: Next::Done { continues: false },
            result: TaskResult::default(),
            usage: line.usage,
            cost: line.cost,
            artifacts: Vec::new(),
            new_tasks: Vec::new(),
            learned: None,
            spending: Spending {
                account: None,
                kind: "review".to_owned(),
                lines: vec![line],
            },
            by: EndedBy::Agent,
        };
        apply(Command::Settle {
            lease: tasks[0].lease,
            settlement: Box::new(settlement),
        });
    }
}

fn submission() -> Command {
    let agents = [AgentName::from("exec")];
    let context = Context {
        router: None,
        agents: &agents,
        default_agent: &agents[0],
        vars: &BTreeMap::new(),
        read_file: &|path| Err(format!("there is no file {path}")),
        advice: plan::Advice::default(),
        defaults: Defaults {
            timeout_ms: 60_000,
            idle_timeout_ms: 60_000,
            retry_max: 0,
        },
    };
    let source = Source {
        name: "p.yaml",
        text: "name: p\ntasks:\n  - {id: a, exec: \"true\"}\n",
        format: None,
    };
    let checked = plan::read(&source, &context).unwrap();
    Command::SubmitRun {
        run: checked.run,
        tasks: checked.tasks,
    }
}

#[test]
fn a_price_that_changes_in_mid_month_prices_each_entry_by_its_own_day() {
    let house = House::new().with_env("COLUMNS", "80");
    october(&house);
    let ledger = || house.json(&["report", "--month", "2026-10"])["variable"].clone();
    let booked = ledger();
    let again = house.json(&["prices", "reprice", "--month", "2026-10"]);
    let rows = again["rows"].as_array().unwrap();
    let of_row = |row: &serde_json::Value| {
        let number = |key: &str| row[key].as_i64().unwrap();
        (
            row["first"].as_str().unwrap().to_owned(),
            number("entries"),
            number("booked_nano"),
            number("again_nano"),
            number("difference_nano"),
        )
    };
    assert_eq!(rows.len(), 2, "{again:#}");
    assert_eq!(
        of_row(&rows[0]),
        ("2026-10-06".to_owned(), 1, 200_000_000, 200_000_000, 0),
        "{again:#}"
    );
    assert_eq!(
        of_row(&rows[1]),
        ("2026-10-07".to_owned(), 2, 400_000_000, 200_000_000, -200_000_000),
        "{again:#}"
    );
    assert_eq!(rows[1]["price_from"], "2026-10-07", "{again:#}");
    assert_eq!(again["total"]["difference_nano"], -200_000_000, "{again:#}");
    // A newer table that is true from a day of the past on: only entries of that day and later are priced by it.
    let file = house.write(
        "newer.json",
        r#"{"claude-sonnet-5-5": {"litellm_provider": "anthropic", "input_cost_per_token": 2e-06,
            "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1e-06}}"#,
    );
    house.ok(&["prices", "update", &file.display().to_string(), "--from", "2026-10-30"]);
    let anew = house.json(&["prices", "reprice", "--month", "2026-10"]);
    let sums: Vec<i64> = anew["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["again_nano"].as_i64().unwrap())
        .collect();
    assert_eq!(sums, [200_000_000, 100_000_000, 1_000_000_000], "{anew:#}");
    let said = house.ok(&["prices", "reprice", "--month", "2026-10"]).out;
    insta::assert_snapshot!("reprice", said);
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert_eq!(ledger(), booked, "entries keep what was booked");
    house.ok(&["fsck"]);
    assert_eq!(house.run(&["prices", "reprice", "--month", "October"]).code, Some(2));
}
