//! `run` and its report.

use crate::{House, snapshot};

const MIXED: &str = "\
name: mixed
tasks:
  - id: facts
    exec: \"echo one; echo two\"
  - id: draft
    prompt: \"Say something about {{ tasks.facts.summary }}\"
    needs: [facts]
  - id: broken
    exec: \"echo the disk is on fire >&2; exit 3\"
    needs: [draft]
  - id: after
    exec: \"true\"
    needs: [broken]
  - id: checked
    exec: \"echo done > out.txt\"
    verify: [\"test -s out.txt\"]
    needs: [broken]
    on_failure: continue
  - id: report
    exec: \"echo {{ tasks.draft.summary }} | head -n 1\"
    needs: [draft]
";

#[test]
fn a_run_with_failures_says_everything() {
    let house = House::new();
    house.write("mixed.yaml", MIXED);
    let done = house.run(&["run", "mixed.yaml", "--max-parallel", "1"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    snapshot!(house, format!("{}\n--- stderr\n{}", done.out, done.err));
}

#[test]
fn the_report_file_says_the_same_and_more() {
    let house = House::new();
    house.write("mixed.yaml", MIXED);
    house.run(&["run", "mixed.yaml", "--max-parallel", "1", "--quiet"]);
    snapshot!(house, house.read(".wheelhouse/reports/r1.md"));
}

#[test]
fn a_run_that_succeeds_is_short_and_ends_with_zero() {
    let house = House::new();
    house.write("one.yaml", "tasks: [{id: one, exec: 'echo hello'}]");
    let done = house.ok(&["run", "one.yaml"]);
    snapshot!(house, format!("{}\n--- stderr\n{}", done.out, done.err));
}

#[test]
fn sixty_columns_are_enough() {
    let house = House::new().with_env("COLUMNS", "60");
    house.write("mixed.yaml", MIXED);
    let run = house.run(&["run", "mixed.yaml"]);
    for words in [
        vec!["status"],
        vec!["status", "r1"],
        vec!["status", "draft"],
        vec!["doctor"],
    ] {
        let done = house.run(&words);
        for line in done.out.lines() {
            assert!(line.chars().count() <= 60, "{words:?}: {line}");
        }
    }
    for line in run.out.lines() {
        assert!(line.chars().count() <= 60, "run: {line}");
    }
}

#[test]
fn the_document_of_a_run_holds_everything() {
    let house = House::new();
    house.write("mixed.yaml", MIXED);
    let done = house.run(&["run", "mixed.yaml", "--max-parallel", "1", "--json", "--quiet"]);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.err, "");
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document["run"]["tasks"]["failed"], 1);
    snapshot!(
        house,
        serde_json::to_string_pretty(&document).unwrap().replace(": ", ":")
    );
}

#[test]
fn variables_reach_the_tasks() {
    let house = House::new();
    house.write(
        "vars.yaml",
        "vars: {who: world}\ntasks: [{id: hi, exec: 'echo hello {{ vars.who }}'}]",
    );
    house.ok(&["run", "vars.yaml", "--var", "who=there"]);
    assert_eq!(house.ok(&["result", "hi"]).out, "hello there\n");
    let done = house.run(&["run", "vars.yaml", "--var", "whom=there"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("whom"), "{done:#?}");
}

#[test]
fn rehearsal_stands_in_for_agents_that_cannot_be_driven_and_says_so() {
    let house = House::new();
    house.write(
        "agents.yaml",
        "tasks: [{id: draft, agent: claude, prompt: 'Think'}, {id: fact, exec: 'echo fact'}]",
    );
    let refused = house.run(&["run", "agents.yaml"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.out.contains("unavailable") && refused.out.contains("install"),
        "{refused:#?}"
    );
    let done = house.ok(&["run", "agents.yaml", "--rehearse"]);
    assert!(
        done.out.contains("Rehearsed: the result of draft is made up"),
        "{done:#?}"
    );
    assert_eq!(house.ok(&["result", "fact"]).out, "fact\n");
    let document = house.json(&["result", "draft"]);
    assert_eq!(document["result"]["rehearsed"], true);
    let told = house.ok(&["result", "draft"]);
    assert!(told.err.contains("rehearsed"), "{told:#?}");
}

#[test]
fn detached_it_returns_at_once_and_the_work_is_done() {
    let house = House::new();
    house.write(
        "slow.yaml",
        "tasks: [{id: slow, exec: 'while [ ! -e go ]; do sleep 0.05; done; echo went'}]",
    );
    let done = house.ok(&["run", "slow.yaml", "--detach"]);
    assert_eq!(done.out, "r1\n");
    house.until_task("slow", "running");
    // A second one joins the engine that is there.
    house.write("quick.yaml", "tasks: [{id: quick, exec: 'echo quick'}]");
    let handle = house.json(&["run", "quick.yaml", "--detach"]);
    assert_eq!(handle, serde_json::json!({ "run": "r2", "engine": "running" }));
    house.until_run("r2", "finished");
    house.write("go", "");
    house.until_run("r1", "finished");
    house.until_no_engine();
    assert_eq!(house.ok(&["result", "slow"]).out, "went\n");
    assert!(house.read(".wheelhouse/engine.log").contains("slow succeeded"));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let house = House::new();
    house.write("many.yaml", "tasks: [{id: many, exec: 'seq 100000'}]");
    house.ok(&["run", "many.yaml"]);
    let words = format!("{} result many --full | head -n 1", env!("CARGO_BIN_EXE_wheelhouse"));
    let output = std::process::Command::new("bash")
        .args(["-o", "pipefail", "-c", &words])
        .current_dir(house.project())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"1\n");
    // How a run came out is said by its exit code, whoever reads its report.
    house.write("bad.yaml", "tasks: [{id: bad, exec: 'exit 1'}]");
    let words = format!("{} run bad.yaml | true", env!("CARGO_BIN_EXE_wheelhouse"));
    let output = std::process::Command::new("bash")
        .args(["-o", "pipefail", "-c", &words])
        .current_dir(house.project())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let house = House::new();
    house.write("many.yaml", "tasks: [{id: many, exec: 'seq 1000'}]");
    house.ok(&["run", "many.yaml"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = house.command(&["result", "many", "--full"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
}

#[test]
fn a_megabyte_comes_back_byte_for_byte() {
    let house = House::new();
    house.write(
        "big.yaml",
        "tasks: [{id: big, exec: 'head -c 1000000 /dev/zero | tr \"\\\\0\" x; printf \"\\\\377end\"'}]",
    );
    house.ok(&["run", "big.yaml", "--quiet"]);
    let output = house.command(&["result", "big", "--full"]).output().unwrap();
    assert_eq!(output.stdout.len(), 1_000_004);
    assert_eq!(&output.stdout[1_000_000..], b"\xffend");
}

#[test]
fn logs_hold_both_streams_and_follow_to_the_end() {
    let house = House::new();
    house.write(
        "talk.yaml",
        "tasks: [{id: talk, exec: 'echo out; echo err >&2; while [ ! -e go ]; do sleep 0.05; done; echo last'}]",
    );
    let running = house.start(&["run", "talk.yaml"]);
    house.until_task("talk", "running");
    let follower = house.start(&["logs", "-f", "talk"]);
    house.write("go", "");
    let told = follower.done();
    assert_eq!(told.code, Some(0), "{told:#?}");
    let mut lines: Vec<&str> = told.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "last", "out"]);
    assert_eq!(running.done().code, Some(0));
    assert_eq!(house.ok(&["logs", "talk"]).out, told.out);
}

#[test]
fn of_a_long_run_the_beginning_is_shown_and_what_wants_attention_further_down() {
    let house = House::new();
    let quick = |number: usize| format!("  - {{id: t{number}, exec: 'true'}}\n");
    let many: String = (1..=201).map(quick).collect();
    let end = "  - {id: broken, exec: 'exit 3'}\n  - {id: after, exec: 'true', needs: [broken]}\n";
    house.write("long.yaml", &format!("tasks:\n{many}{end}"));
    let run = house.run(&["run", "long.yaml", "--quiet", "--max-parallel", "8"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let shown = house.ok(&["status", "r1"]).out;
    assert!(shown.contains(" t200 ") && !shown.contains(" t201 "), "{shown}");
    assert!(shown.contains("… and 3 more: `--json` lists them all"), "{shown}");
    assert!(
        shown.contains("wheelhouse retry") && shown.contains("broken"),
        "{shown}"
    );
    assert!(shown.contains("after was skipped because of `broken`"), "{shown}");
    let all = house.json(&["status", "r1"]);
    assert_eq!(all["tasks"].as_array().unwrap().len(), 203);
}
