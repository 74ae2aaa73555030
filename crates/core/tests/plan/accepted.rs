//! What a plan means: every key reaches the spec.

use wheelhouse_core::plan::Severity;
use wheelhouse_core::spec::{BudgetLimit, Isolation, Merge, OnFailure, Work};

use crate::support::{Project, accept, accept_as, task};

const REVIEW: &str = r#"
name: auth-review
defaults: {agent: auto, isolation: worktree, timeout: 20m, idle_timeout: 3m}
vars: {area: src/auth}
budget: {usd: 2.00}
tasks:
  - id: facts
    exec: "cargo metadata --format-version 1 --no-deps"
  - id: draft
    agent: claude
    prompt: "Review {{ vars.area }}. Facts: {{ tasks.facts.summary }}"
    needs: [facts]
    priority: 5
    files: ["src/auth/**"]
    verify: ["cargo test -q auth"]
    retry: {max: 2}
    on_failure: ask
  - id: report
    agent: codex
    prompt_file: prompts/report.md
    needs: [draft]
"#;

#[test]
fn the_plan_of_the_reference_is_read_whole() {
    let project = Project::default().file(
        "prompts/report.md",
        "Write it up: {{ tasks.draft.result }} {{ tasks.facts }}\n",
    );
    let checked = project.read("plans/review.yaml", REVIEW).unwrap();
    assert_eq!(checked.run.name, "auth-review");
    assert_eq!(checked.run.source, "plans/review.yaml");
    assert_eq!(checked.run.vars["area"], "src/auth");
    assert_eq!(
        checked.run.budget,
        Some(BudgetLimit {
            cost_nano: 2_000_000_000
        })
    );
    assert!(!checked.run.standing);
    assert_eq!(checked.warnings, []);

    let facts = task(&checked, "facts");
    assert_eq!(facts.agent.as_str(), "exec");
    assert_eq!(
        (facts.timeout_ms, facts.idle_timeout_ms, facts.retry_max),
        (1_200_000, 180_000, 0)
    );
    assert_eq!(facts.isolation, Isolation::Worktree);

    let draft = task(&checked, "draft");
    assert_eq!(draft.agent.as_str(), "claude");
    assert_eq!(draft.needs, ["facts".into()]);
    assert_eq!((draft.priority, draft.retry_max), (5, 2));
    assert_eq!(draft.files, ["src/auth/**"]);
    assert_eq!(draft.verify, ["cargo test -q auth"]);
    assert_eq!(draft.on_failure, Some(OnFailure::Ask));

    let report = task(&checked, "report");
    assert_eq!(report.work, Work::Prompt(project.files["prompts/report.md"].clone()));
    assert_eq!(report.retry_max, 1);
}

#[test]
fn every_other_key_has_its_effect() {
    let checked = accept(
        r#"
defaults: {model: base, retry: 0, on_failure: continue, env: {A: 1, B: two}, agent: codex}
vars: {dir: crates, deep: true, n: 007}
tasks:
  - id: plain
    prompt: p
  - id: full
    prompt: go
    agent: claude
    fallback: [codex, auto]
    model: big
    role: "a reviewer of {{ vars.dir }}"
    needs: plain
    isolation: none
    timeout: 1h
    idle_timeout: 90s
    plan: true
    approval: true
    env: {B: "{{ vars.n }}"}
    cwd: "{{ vars.dir }}/core/"
    budget: {usd: "0.5"}
    files: "{{ vars.dir }}/**"
    verify: "test -d {{ vars.dir }}"
    retry: 1
    on_failure: fallback
"#,
    );
    let plain = task(&checked, "plain");
    assert_eq!(plain.agent.as_str(), "codex");
    assert_eq!(plain.model.as_deref(), Some("base"));
    assert_eq!((plain.retry_max, plain.on_failure), (0, Some(OnFailure::Continue)));
    assert_eq!(plain.env["A"], "1");
    assert_eq!(plain.isolation, Isolation::None);

    let full = task(&checked, "full");
    assert_eq!(full.fallback, ["codex".into(), "rehearsal".into()]);
    assert_eq!(full.model.as_deref(), Some("big"));
    assert_eq!(full.role.as_deref(), Some("a reviewer of crates"));
    assert_eq!((full.timeout_ms, full.idle_timeout_ms), (3_600_000, 90_000));
    assert!(full.planner && full.approval);
    assert_eq!((full.env["A"].as_str(), full.env["B"].as_str()), ("1", "007"));
    assert_eq!(full.cwd.as_deref(), Some("crates/core"));
    assert_eq!(full.budget, Some(BudgetLimit { cost_nano: 500_000_000 }));
    assert_eq!(full.files, ["crates/**"]);
    assert_eq!(full.verify, ["test -d crates"]);
    assert_eq!((full.retry_max, full.on_failure), (1, Some(OnFailure::Fallback)));
    assert_eq!(checked.run.vars["deep"], "true");
}

#[test]
fn what_becomes_of_branches_and_what_is_protected() {
    let checked = accept(
        r#"
defaults: {isolation: worktree, merge: queue, protect: [tests, ci]}
vars: {dir: migrations}
tasks:
  - {id: plain, exec: x}
  - {id: own, exec: x, merge: branch, protect: "{{ vars.dir }}/**"}
  - {id: free, exec: x, merge: none, protect: []}
  - {id: here, exec: x, isolation: none}
"#,
    );
    let of = |id: &str| (task(&checked, id).merge, task(&checked, id).protect.join(" "));
    assert_eq!(of("plain"), (Merge::Queue, "tests ci".to_owned()));
    assert_eq!(of("own"), (Merge::Branch, "migrations/**".to_owned()));
    assert_eq!(of("free"), (Merge::None, String::new()));
    assert_eq!(of("here"), (Merge::None, String::new()), "there is no branch");
}

#[test]
fn needs_has_four_names_and_three_shapes() {
    for needs in [
        "needs: [a, b]",
        "deps: [a, b]",
        "depends_on: a, b",
        "dependencies: 'a,b'",
        "needs: [a, b, a]",
    ] {
        let checked = accept(&format!(
            "tasks:\n- {{id: a, exec: x}}\n- {{id: b, exec: x}}\n- id: c\n  exec: x\n  {needs}\n"
        ));
        assert_eq!(task(&checked, "c").needs, ["a".into(), "b".into()], "{needs}");
    }
    let checked = accept("tasks:\n  - {id: 1, exec: x}\n  - id: 2\n    exec: x\n    needs: 1\n");
    assert_eq!(task(&checked, "2").needs, ["1".into()]);
}

#[test]
fn json_is_read_as_yaml_is() {
    let yaml = accept("name: n\ntasks:\n  - id: a\n    exec: echo\n  - id: b\n    prompt: \"x 😀\"\n    needs: [a]\n");
    let json = accept_as(
        "plan.yaml",
        "{\"name\": \"n\",\t\"tasks\": [{\"id\": \"a\", \"exec\": \"echo\"},\n {\"id\": \"b\", \"prompt\": \"x \\ud83d\\ude00\", \"needs\": [\"a\"]}]}",
    );
    assert_eq!(yaml, json);
}

#[test]
fn null_counts_as_not_given_and_anchors_work() {
    let checked = accept(
        "tasks:\n  - &a {id: a, exec: x, agent: null, needs: ~}\n  - id: b\n    needs: [a]\n    prompt: &p hello\n  - {id: c, prompt: *p}\n",
    );
    assert_eq!(task(&checked, "c").work, Work::Prompt("hello".to_owned()));
}

#[test]
fn variables_of_the_command_line_win() {
    let project = Project::default().var("area", "lib");
    let checked = project
        .read(
            "p.yaml",
            "vars: {area: src}\ntasks: [{id: a, exec: 'ls {{ vars.area }}'}]",
        )
        .unwrap();
    assert_eq!(checked.run.vars["area"], "lib");
}

#[test]
fn the_name_comes_from_the_file() {
    assert_eq!(
        accept_as("plans/nightly.audit.yaml", "tasks: [{id: a, exec: x}]")
            .run
            .name,
        "nightly"
    );
    assert_eq!(accept_as("-", "tasks: [{id: a, exec: x}]").run.name, "plan");
}

#[test]
fn what_is_only_worth_knowing_is_a_warning() {
    let checked =
        accept("tasks:\n- id: a\n  prompt: '{% if x %}'\n  agent: codex\n  fallback: [claude, codex, claude]\n");
    let codes: Vec<&str> = checked.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["template-statement", "repeated-agent", "repeated-agent"]);
    assert!(
        checked
            .warnings
            .iter()
            .all(|warning| warning.severity == Severity::Warning)
    );
    assert_eq!(checked.tasks[0].fallback, ["claude".into()]);
}

#[test]
fn a_prompt_of_a_megabyte_arrives_byte_for_byte() {
    let mut prompt: String = ('\u{20}'..='\u{2fff}')
        .filter(|c| !c.is_control())
        .cycle()
        .take(600_000)
        .collect();
    prompt.push_str("\r\n\ttrailing  \n\n");
    let json = serde_json::json!({"tasks": [{"id": "a", "prompt": prompt}]}).to_string();
    let checked = accept_as("p.json", &json);
    assert_eq!(task(&checked, "a").work, Work::Prompt(prompt));
}

#[test]
fn a_parameter_that_is_not_given_is_its_default() {
    let checked = accept(
        "vars: {n: three}\ntemplates:\n  t:\n    text: 'Look at {{ with.area }} for {{ with.focus }}, {{ with.times }} times.'\n    \
         with: {focus: {default: speed}, times: {default: '{{ vars.n }}'}}\n  plain: 'Only {{ with.a }}.'\ntasks:\n- {id: a, agent: claude, template: t, with: {area: src}}\n\
         - {id: b, agent: claude, template: t, with: {area: src, focus: size, times: 2}}\n- {id: c, agent: claude, template: plain, with: {a: this}}\n",
    );
    let prompt = |id: &str| match &task(&checked, id).work {
        Work::Prompt(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert!(prompt("a").starts_with("Look at src for speed, "), "{}", prompt("a"));
    assert!(!prompt("a").contains("with."), "{}", prompt("a"));
    assert_eq!(prompt("b"), "Look at src for size, 2 times.");
    assert_eq!(prompt("c"), "Only this.");
}

#[test]
fn a_shortcut_of_a_command_is_warned_of_and_let_go() {
    let checked = accept("tasks:\n- {id: a, exec: ls, shortcut: auto}\n");
    let codes: Vec<&str> = checked.warnings.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["exec-shortcut"]);
    assert_eq!(task(&checked, "a").flow.shortcut, None);
}
