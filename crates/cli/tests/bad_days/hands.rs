//! People and other programs change a run while it goes: nothing they do between two breaths breaks it.

use serde_json::json;

use crate::stage::{Stage, wait_for};

fn until_up(stage: &Stage) {
    wait_for("the engine to be up", || {
        stage.json(&["status"])["engine"]["running"] == true
    });
}

#[test]
fn a_run_is_paused_changed_and_finished_from_other_processes() {
    let stage = Stage::new();
    stage.write(
        "plan.yaml",
        "\
name: handled
defaults: {retry: {max: 0}}
tasks:
  - {id: slow, exec: 'while [ ! -e go ]; do sleep 0.02; done; echo slow'}
  - {id: never, exec: 'sleep 600'}
  - {id: flaky, exec: 'test -e mended'}
  - {id: asks, exec: 'test -e mended', on_failure: ask}
  - {id: gated, exec: 'echo gated', approval: true}
  - {id: last, exec: 'echo last', needs: [slow, flaky, asks, gated]}
",
    );
    let engine = stage.start(&["run", "plan.yaml", "--max-parallel", "6"]);
    wait_for("the questions", || {
        let document = stage.json(&["answer"]);
        let questions = document["questions"].as_array().unwrap_or_else(|| panic!("{document}"));
        questions.len() == 2
    });
    wait_for("the failure", || stage.task_state("flaky") == "done");
    assert_eq!(stage.run(&["pause", "r1"]).code, Some(0));
    stage.write("mended", "");
    assert_eq!(stage.run(&["retry", "flaky"]).code, Some(0));
    assert_eq!(stage.run(&["answer", "asks", "retry"]).code, Some(0));
    assert_eq!(stage.run(&["approve", "gated"]).code, Some(0));
    assert_eq!(stage.run(&["cancel", "never"]).code, Some(0));
    wait_for("the cancelled one to end", || stage.task_state("never") == "done");
    stage.write("go", "");
    wait_for("what was under way to end", || stage.task_state("slow") == "done");
    for key in ["flaky", "asks", "gated"] {
        assert_eq!(
            stage.json(&["status", key])["task"]["held"]["reason"],
            "paused",
            "{key}"
        );
    }
    let ran = engine.done();
    assert_eq!(ran.code, Some(3), "a paused run waits for a person: {ran:#?}");
    let ran = stage.run(&["resume", "r1"]);
    assert_eq!(ran.code, Some(1), "one was cancelled: {ran:#?}");
    for key in ["slow", "flaky", "asks", "gated", "last"] {
        assert_eq!(stage.outcome(key), "succeeded", "{key}");
    }
    assert_eq!(stage.outcome("never"), "cancelled");
    stage.assert_clean();
}

#[test]
fn a_question_outlives_the_engine_and_is_answered_by_its_number() {
    let stage = Stage::new();
    stage.write(
        "plan.yaml",
        "tasks: [{id: fragile, exec: 'test -e mended', on_failure: ask, retry: {max: 0}}, {id: next, exec: 'true', needs: [fragile]}]",
    );
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert_eq!(stage.run(&["resume"]).code, Some(3), "it still waits for a person");
    let wrong = stage.run(&["answer", "q7", "retry"]);
    assert_eq!(wrong.code, Some(5), "{wrong:#?}");
    assert!(wrong.stderr.contains("q1"), "{wrong:#?}");
    stage.write("mended", "");
    assert_eq!(stage.run(&["answer", "q1", "retry"]).code, Some(0));
    assert_eq!(stage.run(&["resume"]).code, Some(0));
    stage.assert_clean();
}

#[test]
fn many_hands_at_once_change_one_run_and_every_change_holds() {
    const HANDS: usize = 8;
    let stage = Stage::new();
    let engine = stage.start(&["serve", "--max-parallel", "4"]);
    until_up(&stage);
    let first = stage.json(&["task", "add", "echo 0 >> order", "--agent", "exec", "--id", "t0"]);
    assert_eq!(first["task"], "r1/t0");
    let adders: Vec<_> = (1..=HANDS)
        .map(|n| {
            let command = format!("echo {n} >> order");
            stage.start(&[
                "task",
                "add",
                &command,
                "--agent",
                "exec",
                "--id",
                &format!("t{n}"),
                "--after",
                "t0",
            ])
        })
        .collect();
    for adder in adders {
        let ran = adder.done();
        assert_eq!(ran.code, Some(0), "{ran:#?}");
    }
    wait_for("all of them", || {
        stage.json(&["status", "queue"])["run"]["tasks"]["succeeded"] == HANDS + 1
    });
    let mut order: Vec<String> = stage.read("order").lines().map(str::to_owned).collect();
    assert_eq!(order.remove(0), "0", "what they came after was first");
    order.sort();
    assert_eq!(order, (1..=HANDS).map(|n| n.to_string()).collect::<Vec<_>>());
    engine.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(engine.done().code, Some(0));
    stage.assert_clean();
}

#[test]
fn a_queue_file_that_is_written_badly_while_it_is_read_loses_no_task() {
    const QUEUE: &str = ".claude/orchestrator-queue.json";
    let stage = Stage::new();
    let task =
        |id: &str, prompt: &str, deps: &[&str]| json!({ "id": id, "agent": "Explore", "prompt": prompt, "deps": deps });
    let mut tasks = vec![task("first", "hold\nrehearse: sleep 2s", &[])];
    stage.write(QUEUE, json!({ "tasks": tasks }).to_string());
    let engine = stage.start(&["run", "--compat-dir", ".claude"]);
    wait_for("the first one", || {
        stage.state_dir().join("wheelhouse.db").exists() && stage.task_state("first") == "running"
    });
    for n in 0..5 {
        tasks.push(task(&format!("more-{n}"), "go on", &["first"]));
        let whole = json!({ "tasks": tasks }).to_string();
        // Nothing, a half, rubbish, then the whole: as an editor, a crash and a merge conflict would leave it.
        stage.write(QUEUE, "");
        stage.write(QUEUE, &whole[..whole.len() / 2]);
        stage.write(QUEUE, "<<<<<<< HEAD\n");
        stage.write(QUEUE, &whole);
    }
    let ran = engine.done();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let keys: Vec<String> = stage.tasks().iter().map(|task| task.key.to_string()).collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let status: serde_json::Value = serde_json::from_str(&stage.read(".claude/orchestrator-status.json")).unwrap();
    assert_eq!(status["state"], "complete");
    for key in &keys {
        let result = stage.read(&format!(".claude/orchestrator/results/{key}.md"));
        assert!(result.starts_with(&format!("# {key}\n")), "{key}: {result}");
    }
    stage.assert_clean();
}

#[test]
fn what_is_old_goes_and_what_is_needed_stays() {
    let stage = Stage::new();
    stage.write("old.yaml", "tasks: [{id: old, exec: 'echo old'}]");
    assert_eq!(stage.run(&["run", "old.yaml"]).code, Some(0));
    stage.write("open.yaml", "tasks: [{id: open, exec: 'echo open', approval: true}]");
    assert_eq!(stage.run(&["run", "open.yaml"]).code, Some(3));
    assert_eq!(stage.run(&["gc", "--set", "retention.days=1"]).code, Some(0));
    assert_eq!(stage.run(&["result", "old"]).stdout, "old\n", "a day is not over");
    assert_eq!(stage.run(&["gc", "--set", "retention.days=0"]).code, Some(0));
    assert_eq!(stage.run(&["result", "old"]).code, Some(5));
    assert_eq!(stage.json(&["fsck"])["orphans"], json!([]));
    assert_eq!(stage.run(&["approve", "open"]).code, Some(0));
    assert_eq!(stage.run(&["resume"]).code, Some(0));
    assert_eq!(stage.run(&["result", "open"]).stdout, "open\n");
    stage.assert_sound();
}

#[test]
fn a_planted_fault_is_found_by_its_rule() {
    let stage = Stage::new();
    stage.write("plan.yaml", "tasks: [{id: one, exec: 'printf %s-%s good bytes'}]");
    assert_eq!(stage.run(&["run", "plan.yaml"]).code, Some(0));
    stage.assert_clean();
    stage.write_log_back();
    // Somebody changes what a task said, behind the store's back: its hash is no longer true.
    let path = stage.state_dir().join("wheelhouse.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let mut planted = 0;
    for at in 0..bytes.len() - 10 {
        if bytes[at..].starts_with(b"good-bytes") {
            bytes[at..at + 10].copy_from_slice(b"evil-bytes");
            planted += 1;
        }
    }
    assert!(planted > 0);
    std::fs::write(&path, bytes).unwrap();
    let ran = stage.run(&["fsck"]);
    assert_eq!(ran.code, Some(4), "{ran:#?}");
    assert!(ran.stdout.contains("fault") && ran.stdout.contains("hash"), "{ran:#?}");
    let document = stage.json(&["fsck"]);
    assert_eq!(document["sound"], false, "{document}");
    assert_eq!(document["faults"].as_array().unwrap().len(), 1, "{document}");
}
