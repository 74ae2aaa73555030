//! Formats of other tools, by the samples and rules they are known by.

use wheelhouse_core::plan::{Checked, Format};
use wheelhouse_core::spec::{Isolation, Work};

use crate::support::{Project, accept_as, places, refuse_as, task};

fn prompt<'c>(checked: &'c Checked, id: &str) -> &'c str {
    match &task(checked, id).work {
        Work::Prompt(text) | Work::Exec(text) => text,
        Work::Turn(_) => "",
    }
}

fn codes(checked: &Checked) -> Vec<&str> {
    checked.warnings.iter().map(|warning| warning.code).collect()
}

/// The plan of the architecture note, as an orchestrator returns it.
const QUEUE: &str = r#"{
     "tasks": [
       {"id": "1", "agent": "Explore", "prompt": "...", "deps": []},
       {"id": "2", "agent": "frontend-developer", "prompt": "...", "deps": ["1"]}
     ]
   }"#;

#[test]
fn the_queue_is_read_as_it_is() {
    for name in [
        "orchestrator-queue.json",
        ".claude/orchestrator-queue.json",
        "anything.json",
        "stdin",
    ] {
        let checked = accept_as(name, QUEUE);
        let second = task(&checked, "2");
        assert_eq!(second.needs, ["1".into()], "{name}");
        assert_eq!(second.agent.as_str(), "rehearsal");
        assert_eq!(second.role.as_deref(), Some("frontend-developer"));
        assert_eq!(codes(&checked), ["agent-as-role", "agent-as-role"]);
    }
}

#[test]
fn a_configured_agent_of_the_queue_keeps_its_name() {
    let checked = accept_as(
        "orchestrator-queue.json",
        r#"{"tasks": [{"id": 7, "agent": "claude", "prompt": "x"}]}"#,
    );
    let seventh = task(&checked, "7");
    assert_eq!((seventh.agent.as_str(), seventh.role.as_deref()), ("claude", None));
    assert_eq!(checked.warnings, []);
}

#[test]
fn the_queue_may_say_more_and_may_be_empty() {
    let checked = accept_as(
        ".claude/orchestrator-queue.json",
        r#"{"version": 2, "updated": "2025-12-17", "tasks": [
            {"id": "a", "prompt": "x {{ this }}", "status": "pending", "priority": "high"},
            {"id": "b", "description": "y", "status": "pending", "deps": "a", "timeout": "5m", "verify": ["true"]}
        ]}"#,
    );
    assert_eq!(task(&checked, "a").priority, 10);
    assert_eq!(
        (task(&checked, "b").timeout_ms, task(&checked, "b").verify.len()),
        (300_000, 1)
    );
    assert_eq!(codes(&checked), ["ignored-key"; 3]);
    assert!(
        checked.warnings[2].message.ends_with("(in 2 places)"),
        "{:?}",
        checked.warnings[2]
    );
    assert_eq!(accept_as("orchestrator-queue.json", r#"{"tasks": []}"#).tasks, []);
}

#[test]
fn results_reach_those_that_waited_for_them() {
    let checked = accept_as("orchestrator-queue.json", QUEUE);
    assert_eq!(prompt(&checked, "1"), "...");
    assert_eq!(
        prompt(&checked, "2"),
        "...\n\nResults of the tasks this one waited for:\n{{ tasks[\"1\"].summary }}"
    );
    // A prompt that names a result itself gets what it names and nothing more.
    let own = QUEUE.replace(
        r#""...", "deps": ["1"]"#,
        r#""Use {{ tasks.1.result }}", "deps": ["1"]"#,
    );
    assert_eq!(prompt(&accept_as("q.json", &own), "2"), "Use {{ tasks.1.result }}");
}

#[test]
fn braces_of_others_are_plain_text() {
    let checked = accept_as("tasks.json", r#"[{"id": "a", "prompt": "a {{ mustache }} {{#each}}"}]"#);
    assert_eq!(prompt(&checked, "a"), "a {{ \"{{\" }} mustache }} {{ \"{{\" }}#each}}");
}

#[test]
fn the_flat_list_is_read() {
    let checked = accept_as(
        "tasks.json",
        r#"[{"id": 1, "agent": "codex", "prompt": "x"}, {"id": 2, "agent": "tester", "task": "y", "depends_on": [1]},
            {"id": 3, "exec": "true", "needs": "2", "color": "red"}]"#,
    );
    assert_eq!(task(&checked, "1").agent.as_str(), "codex");
    assert_eq!(task(&checked, "2").role.as_deref(), Some("tester"));
    assert_eq!(prompt(&checked, "2"), "y");
    assert_eq!(task(&checked, "3").needs, ["2".into()]);
    assert_eq!(codes(&checked), ["agent-as-role", "ignored-key"]);
}

#[test]
fn a_plan_is_not_taken_for_a_queue() {
    for text in [
        r#"{"name": "n", "tasks": [{"id": "a", "agent": "Explore", "prompt": "x", "deps": []}]}"#,
        r#"{"tasks": [{"id": "a", "agent": "Explore", "prompt": "x"}]}"#,
        r#"{"tasks": [{"id": "a", "agent": "Explore", "prompt": "x", "deps": [], "verify": []}]}"#,
    ] {
        assert_eq!(
            places(&refuse_as("p.json", text))[0].split(' ').next(),
            Some("unknown-agent"),
            "{text}"
        );
    }
    let forced = Project::default()
        .read_as("p.json", Some(Format::Plan), QUEUE)
        .unwrap_err();
    assert!(
        forced.0.iter().all(|problem| problem.code == "unknown-agent"),
        "{forced}"
    );
}

/// The sample of the format, with the tasks it depends on.
const TEXT: &str = "\
---TASK---
id: schema
---CONTENT---
Design the schema.

---TASK---
id: seed
backend: gemini
a line without a colon
unknown: ignored
---CONTENT---
Seed it: {{ braces }} stay.
---TASK---
id: build_api
workdir: .
backend: codex
agent: develop
model: gpt
dependencies: schema, seed
skills: rust-best-practices
reasoning_effort: high
skip_permissions
session_id: abc
worktree
---CONTENT---
free text: with colons
---CONTENT---
and the separator again
";

#[test]
fn the_task_text_is_read() {
    let checked = accept_as("tasks.txt", TEXT);
    let api = task(&checked, "build_api");
    assert_eq!(api.agent.as_str(), "codex");
    assert_eq!(api.role.as_deref(), Some("develop"));
    assert_eq!(api.model.as_deref(), Some("gpt"));
    assert_eq!(api.needs, ["schema".into(), "seed".into()]);
    assert_eq!(api.isolation, Isolation::Worktree);
    assert_eq!(api.cwd, None);
    assert_eq!(
        prompt(&checked, "build_api"),
        "free text: with colons\n---CONTENT---\nand the separator again"
    );
    assert_eq!(prompt(&checked, "seed"), "Seed it: {{ \"{{\" }} braces }} stay.");
    assert_eq!(task(&checked, "seed").role.as_deref(), Some("gemini"));
    assert_eq!(
        codes(&checked),
        [
            "agent-as-role",
            "ignored-key",
            "ignored-key",
            "ignored-key",
            "ignored-key"
        ]
    );
    // From stdin the format shows itself.
    assert_eq!(accept_as("stdin", TEXT).tasks, checked.tasks);
}

#[test]
fn the_task_text_keeps_its_error_texts() {
    let block = |meta: &str, content: &str| format!("---TASK---\n{meta}\n---CONTENT---\n{content}\n");
    for (text, expected, place) in [
        (" \n".to_owned(), "parallel config is empty", "empty-plan 1:1"),
        (
            "---TASK---\n\n---TASK---\n".to_owned(),
            "no tasks found",
            "empty-plan 1:1",
        ),
        (
            "---TASK---\nid: a\nx\n".to_owned(),
            "task block #1 missing ---CONTENT--- separator",
            "syntax 2:1",
        ),
        (
            block("workdir: .", "x"),
            "task block #1 missing id field",
            "missing-key 2:1",
        ),
        (block("id: a", " "), "task block #1 missing content", "empty-text 2:1"),
        (
            block("id: a\nsession_id:", "x"),
            "task block #1 has empty session_id",
            "empty-text 3:1",
        ),
        (
            block("id: a\nworkdir: -", "x"),
            "task block #1 has invalid workdir: -",
            "bad-path 3:1",
        ),
        (
            block("id: a", "x") + &block("id: a", "y"),
            "duplicate id: a (first on line 2)",
            "duplicate-id 6:1",
        ),
        (
            block("id: a\ndependencies: b", "x"),
            "dependency \"b\" not found for task \"a\"",
            "unknown-task 3:1",
        ),
        (
            block("id: b\ndependencies: a", "x") + &block("id: a\ndependencies: b", "y"),
            "cycle detected involving tasks: a,b",
            "cycle 2:1",
        ),
    ] {
        let problems = Project::default()
            .read_as("t.txt", Some(Format::TaskText), &text)
            .unwrap_err();
        assert_eq!(problems.0[0].message, expected, "{text}");
        assert_eq!(places(&problems), [place], "{text}");
    }
}

#[test]
fn all_problems_of_a_task_text_are_told_at_once() {
    let text = "---TASK---\nid: a\n---TASK---\n---CONTENT---\nx\n---TASK---\nid: c\ndependencies: z\n---CONTENT---\n";
    let problems = refuse_as("t.txt", text);
    assert_eq!(
        places(&problems),
        ["syntax 2:1", "missing-key 4:1", "empty-text 7:1", "unknown-task 8:1"]
    );
}

const MANIFEST: &str = "\
version: 1
mode: dependency-driven
tier: deep
max_parallel: 1
timeout_per_task: 600
stages:
  - name: Projection
    tasks:
      - id: task-1
        title: Add the projection
        files: [../Other/app.go, internal/app.go]
        depends: []
  - name: Consumers
    tasks:
      - {id: task-2, title: Wire it, depends: [task-1], prompt_hint: Mind the hooks.}
      - {id: task-3, title: Feed it, tier: fast}
  - name: Release
    tasks:
      - id: task-4
        title: Publish
        depends: [task-2, task-3]
";

#[test]
fn the_manifest_is_read() {
    let checked = accept_as("docs/x.exec.yaml", MANIFEST);
    let needs = |id: &str| -> Vec<String> { task(&checked, id).needs.iter().map(ToString::to_string).collect() };
    assert_eq!(needs("task-1"), [""; 0]);
    assert_eq!(needs("task-2"), ["task-1"]);
    assert_eq!(needs("task-3"), ["task-1"]);
    assert_eq!(needs("task-4"), ["task-2", "task-3"]);
    assert_eq!(prompt(&checked, "task-2"), "Wire it\n\nMind the hooks.");
    let first = task(&checked, "task-1");
    assert_eq!(first.files, ["internal/app.go"]);
    assert_eq!(first.timeout_ms, 600_000);
    assert_eq!(codes(&checked), ["ignored-key", "ignored-key", "ignored-key"]);
    assert!(checked.warnings[1].help.contains("--max-parallel 1"));
    // The content shows the format where the name does not.
    assert_eq!(accept_as("plan.yaml", MANIFEST).tasks, checked.tasks);
}

#[test]
fn modes_and_stages_of_a_manifest_become_edges() {
    let tasks =
        "tasks:\n- {id: task-1, title: a}\n- {id: task-2, title: b}\n- {id: task-3, title: c, depends: [task-1]}\n";
    let needs = |mode: &str, stages: &str| -> Vec<usize> {
        let checked = accept_as("m.exec.yaml", &format!("version: 1\nmode: {mode}\n{tasks}{stages}"));
        checked.tasks.iter().map(|task| task.needs.len()).collect()
    };
    assert_eq!(needs("all-parallel", ""), [0, 0, 1]);
    assert_eq!(needs("dependency-driven", ""), [0, 0, 1]);
    assert_eq!(needs("all-sequential", ""), [0, 1, 2]);
    let stages = "stages:\n- {name: x, tasks: [task-1, task-2]}\n- {name: y, tasks: [task-3]}\n";
    assert_eq!(needs("manual-batching", stages), [0, 0, 2]);
}

#[test]
fn a_manifest_is_held_to_its_schema() {
    let problems = refuse_as(
        "m.exec.yaml",
        "version: 2\nmode: parallel\ntier: slow\nmax_parallel: 11\ntimeout_per_task: 10\nextra: 1\nstages:\n\
         - {name: x, tasks: []}\n- {tasks: [task-9]}\n- {name: z, tasks: [{id: a, title: t, colour: red}]}\n",
    );
    assert_eq!(
        places(&problems),
        [
            "bad-number 1:10",
            "bad-value 2:7",
            "bad-value 3:7",
            "bad-number 4:15",
            "bad-number 5:19",
            "unknown-key 6:1",
            "wrong-type 8:20",
            "unknown-task 9:12",
            "bad-id 10:26",
            "unknown-key 10:39",
        ]
    );
}

#[test]
fn stages_cannot_blow_up() {
    let stage = |n: usize| {
        let tasks: String = (0..3_000)
            .map(|m| format!("  - {{id: task-{}, title: t}}\n", n * 3_000 + m))
            .collect();
        format!("- name: s\n  tasks:\n{tasks}")
    };
    let text = format!("version: 1\nmode: all-parallel\nstages:\n{}{}", stage(0), stage(1));
    let problems = refuse_as("m.exec.yaml", &text);
    assert!(
        problems.0.iter().any(|problem| problem.code == "too-many-edges"),
        "{problems}"
    );
}
