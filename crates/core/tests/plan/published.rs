//! What is published: the JSON Schema in docs/schema/plan.json and the reference in docs/plans.md are those of the
//! code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wheelhouse_core::plan::{self, CODES};

use crate::support::{accept, refuse};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// `WHEELHOUSE_BLESS=1 cargo test -p wheelhouse-core --test plan published` writes the schema.
#[test]
fn the_schema_is_the_published_one() {
    let path = docs("schema/plan.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&plan::schema()).unwrap());
    if std::env::var_os("WHEELHOUSE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "docs/schema/plan.json is not the schema of the types; run with WHEELHOUSE_BLESS=1"
    );
}

fn properties(pointer: &str) -> BTreeSet<String> {
    let schema = plan::schema();
    let found = schema
        .pointer(pointer)
        .and_then(Value::as_object)
        .expect("the schema has it");
    found.keys().cloned().collect()
}

/// The reader's own list of keys, as its refusal of an unknown key gives it.
fn read_keys(plan: &str) -> BTreeSet<String> {
    let problems = refuse(plan);
    let unknown = problems
        .0
        .iter()
        .find(|problem| problem.code == "unknown-key")
        .expect("a key is unknown");
    let list = unknown
        .help
        .strip_prefix("the keys are ")
        .expect("the help lists the keys");
    list.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_reader_and_the_schema_know_the_same_keys() {
    let far = "xxxxxxxxxxxxxxxxxxxxx: 1";
    assert_eq!(
        read_keys(&format!("{far}\ntasks: [{{id: a, exec: x}}]")),
        properties("/properties")
    );
    assert_eq!(
        read_keys(&format!("tasks: [{{id: a, exec: x, {far}}}]")),
        properties("/$defs/Task/properties")
    );
    assert_eq!(
        read_keys(&format!("defaults: {{{far}}}\ntasks: [{{id: a, exec: x}}]")),
        properties("/$defs/Defaults/properties")
    );
    assert_eq!(
        read_keys(&format!("budget: {{usd: 1, {far}}}\ntasks: [{{id: a, exec: x}}]")),
        properties("/$defs/Budget/properties")
    );
}

#[test]
fn the_reference_has_every_key_and_every_code() {
    let text = std::fs::read_to_string(docs("plans.md")).unwrap();
    for pointer in ["/properties", "/$defs/Task/properties", "/$defs/Defaults/properties"] {
        for key in properties(pointer) {
            assert!(
                text.contains(&format!("| `{key}` |")) || text.contains(&format!("`{key}`")),
                "{key}"
            );
        }
    }
    for (code, meaning) in CODES {
        let row = format!("| `{code}` | {meaning} |");
        assert!(text.contains(&row), "docs/plans.md lacks the row\n{row}");
    }
}

#[test]
fn the_examples_of_the_reference_are_plans() {
    let text = std::fs::read_to_string(docs("plans.md")).unwrap();
    let mut seen = 0;
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or("");
        if block.starts_with("# a plan") {
            accept(block);
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}
