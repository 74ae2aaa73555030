//! What is refused: every code, its place, and the words of a whole report.

use wheelhouse_core::plan::{CODES, Severity};

use crate::support::{Project, places, refuse, refuse_as};

#[test]
fn a_report_reads_well() {
    let problems = refuse(
        r#"nmae: oops
defaults: {agent: cluade, timeout: 20}
tasks:
  - id: facts
    exec: git log
  - id: draft
    promt: Review
    retry: {max: 5}
  - id: report
    prompt: |
      Sum up {{ tasks.facts.sumary }}
      and {{ tasks.draft }}.
    needs: [fact]
"#,
    );
    let expected = r#"plan.yaml:1:1: error[unknown-key]: the plan has no key `nmae`
  help: did you mean `name`? Else take it out; `wheelhouse plan schema` has all keys
plan.yaml:2:19: error[unknown-agent]: no agent is called `cluade`
  help: did you mean `claude`? there are `auto`, `claude`, `codex`, `rehearsal`
plan.yaml:2:36: error[bad-duration]: `defaults`: `timeout`: `20` has no unit
  help: write a number and a unit, such as `90s`, `20m`, `2h30m` or `500ms`
plan.yaml:6:5: error[one-work]: task `draft` has nothing to do
  help: add one of `exec`, `prompt`, `prompt_file`, `template`
plan.yaml:7:5: error[unknown-key]: task `draft` has no key `promt`
  help: did you mean `prompt`? Else take it out; `wheelhouse plan schema` has all keys
plan.yaml:8:18: error[too-many-retries]: task `draft`: `retry` is 5; a try is repeated 2 times at the most
  help: never more than 3 tries of one thing: add `fallback: [AGENT]` or `on_failure: ask` for what comes after
plan.yaml:11:14: error[unknown-field]: task `report`: the result of `facts` has no `sumary`
  help: did you mean `summary`? it has `summary`, `result`, `verdict`, `files`, `artifact`
plan.yaml:12:11: error[not-needed]: task `report` names `draft` in its text and does not need it
  help: add `draft` to its `needs`, so that the result is there
plan.yaml:13:13: error[unknown-task]: task `report` needs `fact`, which does not exist
  help: did you mean `facts`? `needs` takes the ids of tasks of this plan

9 problems"#;
    assert_eq!(problems.to_string(), expected);
}

/// Bodies of a plan (below `tasks:`, from line 2), and what they are refused for.
const TASKS: &[(&str, &[&str])] = &[
    ("- {id: a, exec: x}\n- {id: a, exec: y}", &["duplicate-id 3:8"]),
    ("- {id: a, exec: x, needs: [a]}", &["self-reference 2:28"]),
    (
        "- {id: a, exec: x, needs: [b]}\n- {id: b, exec: x, needs: [a]}",
        &["cycle 2:8"],
    ),
    ("- {id: a, exec: x, timeout: 0s}", &["bad-duration 2:29"]),
    ("- {id: a, exec: x, timeout: 31d}", &["bad-duration 2:29"]),
    ("- {id: a, exec: x, idle_timeout: soon}", &["bad-duration 2:34"]),
    ("- {id: a, exec: x, timeout: [1s]}", &["wrong-type 2:29"]),
    ("- {id: a, exec: x, priority: high}", &["wrong-type 2:30"]),
    ("- {id: a, exec: x, priority: 3000000000}", &["bad-number 2:30"]),
    ("- {id: a, exec: x, retry: -1}", &["bad-number 2:27"]),
    ("- {id: a, exec: x, retry: 3}", &["too-many-retries 2:27"]),
    ("- {id: a, exec: x, retry: {maks: 1}}", &["unknown-key 2:28"]),
    ("- {id: a, exec: x, skip_if: score}", &["bad-condition 2:29"]),
    ("- {id: a, exec: x, skip_if: score > 8}", &["bad-condition 2:29"]),
    ("- {id: a, exec: x, workflow: qc}", &["bad-workflow 2:30"]),
    ("- {id: a, exec: x, gate: review}", &["bad-gate 2:26"]),
    ("- {id: a, prompt: x, gate: strict}", &["bad-value 2:28"]),
    (
        "- {id: a, prompt: x, gate: {reviewer: codex, score: 0}}",
        &["bad-number 2:53"],
    ),
    ("- {id: a, prompt: x, workflow: {kind: map}}", &["missing-key 2:39"]),
    ("- {id: a, prompt: x, workflow: {kind: qx}}", &["bad-value 2:39"]),
    (
        "- {id: a, prompt: x, workflow: {seats: [claude]}}",
        &["missing-key 2:32"],
    ),
    (
        "- {id: a, prompt: x, workflow: {kind: qc, reviewer: codex, seats: [claude]}}",
        &["bad-workflow 2:67"],
    ),
    (
        "- {id: a, agent: claude, prompt: x, workflow: {kind: qc, reviewer: claude}}",
        &["self-review 2:68"],
    ),
    (
        "- {id: a, prompt: x, workflow: {kind: consensus, seats: [claude, codex], quorum: 3}}",
        &["no-quorum 2:82"],
    ),
    (
        "- {id: a, prompt: x, workflow: {kind: consensus, seats: [claude, codex]}}\n- {id: a.seat-1, exec: x}",
        &["step-name 2:3"],
    ),
    ("- {id: a, prompt: '{{ item }}'}", &["template-name 2:20"]),
    ("- {id: a, exec: x, isolation: tree}", &["bad-value 2:31"]),
    ("- {id: a, exec: x, merge: now}", &["bad-value 2:27"]),
    ("- {id: a, exec: x, merge: queue}", &["not-isolated 2:27"]),
    ("- {id: a, exec: x, protect: [tests]}", &["not-isolated 2:30"]),
    (
        "- {id: a, exec: x, isolation: worktree, protect: ['', ../x]}",
        &["empty-text 2:51", "bad-path 2:55"],
    ),
    ("- {id: a, exec: x, on_failure: retyr}", &["bad-value 2:32"]),
    ("- {id: a, exec: x, on_failure: fallback}", &["missing-fallback 2:32"]),
    ("- {id: a, exec: x, budget: {usd: 1.0000000001}}", &["bad-money 2:34"]),
    (
        "- {id: a, exec: x, budget: {eur: 1}}",
        &["missing-key 2:28", "unknown-key 2:29"],
    ),
    ("- {id: a, exec: x, budget: 2}", &["wrong-type 2:28"]),
    ("- {id: a, exec: x, env: {'a b': x}}", &["bad-env 2:26"]),
    ("- {id: a, exec: x, env: {WHEELHOUSE_RUN: x}}", &["bad-env 2:26"]),
    ("- {id: a, exec: x, env: [x]}", &["wrong-type 2:25"]),
    ("- {id: a, exec: x, files: ['']}", &["empty-text 2:28"]),
    ("- {id: a, exec: x, files: [/etc/x]}", &["bad-path 2:28"]),
    ("- {id: a, exec: x, verify: [' ']}", &["empty-text 2:29"]),
    ("- {id: a, exec: x, cwd: a/../../b}", &["bad-path 2:25"]),
    ("- {id: a, exec: x, cwd: ~/b}", &["bad-path 2:25"]),
    ("- {id: a, exec: x, agent: claude}", &["exec-agent 2:27"]),
    (
        "- {id: a, exec: x, model: m, role: r, fallback: [codex]}",
        &["exec-agent 2:27", "exec-agent 2:36", "exec-agent 2:50"],
    ),
    ("- {id: a, prompt: x, agent: exec}", &["exec-agent 2:29"]),
    ("- {id: a, prompt: x, agent: nobody}", &["unknown-agent 2:29"]),
    (
        "- {id: a, prompt: x, fallback: [nobody, exec]}",
        &["unknown-agent 2:33", "unknown-agent 2:41"],
    ),
    ("- {id: a, prompt: x, chain: none}", &["unknown-chain 2:29"]),
    ("- {id: a, exec: x, prompt: y}", &["one-work 2:28"]),
    ("- {id: a}", &["one-work 2:3"]),
    ("- {exec: x}", &["missing-key 2:3"]),
    ("- {id: a b, exec: x}", &["bad-id 2:8"]),
    ("- {id: .a, exec: x}", &["bad-id 2:8"]),
    ("- {id: '', exec: x}", &["bad-id 2:8"]),
    ("- {id: [a], exec: x}", &["wrong-type 2:8"]),
    ("- {id: a, exec: ''}", &["empty-text 2:17"]),
    ("- {id: a, exec: \"x\\0\"}", &["bad-value 2:17"]),
    ("- {id: a, prompt: 5}", &["wrong-type 2:19"]),
    ("- {id: a, exec: x, approval: yes}", &["wrong-type 2:30"]),
    ("- {id: a, exec: x, exec: y}", &["duplicate-key 2:20"]),
    ("- {id: a, exec: x, needs: [], deps: []}", &["duplicate-key 2:37"]),
    ("- {id: a, exec: x, needs: {b: 1}}", &["wrong-type 2:27"]),
    ("- {id: a, exec: x, ? [k] : v}", &["wrong-type 2:22"]),
    ("- {id: a, exec: x, <<: {}}", &["unknown-key 2:20"]),
    ("- {id: a, prompt_file: nope.md}", &["prompt-file 2:24"]),
    ("- {id: a, template: nope.md}", &["template-file 2:21"]),
    ("- {id: a, template: ../x.md}", &["bad-path 2:21"]),
    ("- {id: a, prompt: x, with: {b: c}}", &["bad-input 2:29"]),
    ("- {id: a, exec: x, documents: [a.md]}", &["bad-input 2:32"]),
    (
        "- {id: a, template: t, with: {b: c}}\ntemplates: {t: 'x {{ with.d }}'}",
        &["template-parameter 2:31", "template-parameter 3:19"],
    ),
    (
        "- {id: a, template: t}\ntemplates: {t: {text: 'x {{ with.d }}', with: {e: {default: 1}}}}",
        &["template-parameter 3:26", "template-parameter 3:48"],
    ),
    (
        "- {id: a, template: t}\ntemplates: {t: {with: {e: {default: 1}}}}",
        &["template-file 2:21", "missing-key 3:16"],
    ),
    (
        "- {id: a, template: t}\ntemplates: {t: {text: 'x {{ with.d }}', with: {d: 1}}}",
        &["template-parameter 3:26", "wrong-type 3:51"],
    ),
    (
        "- {id: a, template: t}\ntemplates: {t: {text: 'x {{ with.d }}', with: {d: {default: '{{ vars.n }}'}}}}",
        &["unknown-var 3:62"],
    ),
    ("- {id: a, exec: x, skip_audit: 5}", &["bad-condition 2:32"]),
    ("- {id: a, prompt_file: ../x.md}", &["bad-path 2:24"]),
    ("- {id: a, prompt: '{{ tasks.b }}'}", &["unknown-task 2:20"]),
    ("- {id: a, prompt: '{{ tasks.a }}'}", &["self-reference 2:20"]),
    ("- {id: a, prompt: 'x {{ vars.b }}'}", &["unknown-var 2:22"]),
    ("- {id: a, prompt: 'x {{ b }}'}", &["template-name 2:22"]),
    ("- {id: a, prompt: 'x {{ vars.b'}", &["template-syntax 2:22"]),
    ("- {id: a, prompt: 'x {{ }}'}", &["template-syntax 2:22"]),
    (
        "- {id: b, exec: x}\n- {id: a, needs: b, prompt: '{{ tasks[\"b\"].sumary }}'}",
        &["unknown-field 3:30"],
    ),
    (
        "- {id: b, exec: x}\n- {id: a, needs: b, verify: '{{ tasks.b }}', exec: y}",
        &["template-name 3:30"],
    ),
    (
        "- {id: b, exec: x}\n- {id: a, needs: b, exec: 'echo \"{{ tasks.b }}\"'}",
        &["template-shell 3:34"],
    ),
    (
        "- {id: b, exec: x}\n- {id: a, prompt: '{{ tasks.b.result }}'}",
        &["not-needed 3:20"],
    ),
    ("- {id: a, prompt: x, schema: none.json}", &["schema-file 2:30"]),
    ("- {id: a, prompt: x, schema: ../x.json}", &["bad-path 2:30"]),
    ("- {id: a, prompt: x, schema: [x]}", &["wrong-type 2:30"]),
    (
        "- {id: a, prompt: x, schema: {properties: {b: {type: x}, c: {format: y, wrong: z}}}}",
        &["bad-schema 2:48", "bad-schema 2:73"],
    ),
    ("- {id: a, exec: x, schema: {type: object}}", &["bad-schema 2:28"]),
    (
        "- {id: a, prompt: x, plan: true, schema: {type: object}}",
        &["bad-schema 2:42"],
    ),
    (
        "- {id: a, prompt: x, isolation: worktree, edits: patch, schema: {type: object}}",
        &["bad-schema 2:65"],
    ),
    (
        "- {id: a, prompt: x, workflow: {kind: consensus, seats: [claude, codex]}, schema: {type: object}}",
        &["bad-schema 2:83"],
    ),
    ("- just text", &["wrong-type 2:3"]),
];

#[test]
fn each_problem_has_its_code_and_place() {
    for (body, expected) in TASKS {
        let problems = refuse(&format!("tasks:\n{body}\n"));
        assert_eq!(places(&problems), *expected, "{body}\n{problems}");
        for problem in &problems.0 {
            assert_eq!(problem.severity, Severity::Error);
            assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{problem:?}");
        }
    }
}

/// Whole texts by file name, and what they are refused for.
const WHOLE: &[(&str, &str, &[&str])] = &[
    ("p.yaml", "", &["empty-plan 0:0"]),
    ("p.yaml", "# nothing\n", &["empty-plan 0:0"]),
    ("p.yaml", "tasks: []", &["empty-plan 1:1"]),
    ("p.yaml", "name: x", &["empty-plan 1:1"]),
    ("p.yaml", "tasks: {}", &["wrong-type 1:8"]),
    ("p.yaml", "tasks", &["wrong-type 1:1"]),
    ("p.yaml", "name: ''\ntasks: [{id: a, exec: x}]", &["bad-name 1:7"]),
    (
        "p.yaml",
        "vars: {'a b': 1}\ntasks: [{id: a, exec: x}]",
        &["bad-name 1:8"],
    ),
    ("p.yaml", "tasks: [{id: a, exec: x}", &["syntax 1:8"]),
    ("p.yaml", "a: 1\n---\nb: 2\n", &["syntax 2:1"]),
    ("p.yaml", "tasks: *nope", &["syntax 1:8"]),
    ("p.yaml", "tasks: &t [*t]", &["syntax 1:12", "wrong-type 1:12"]),
    ("p.json", "{\"tasks\": [\n {\"id\": \"a\",}]}", &["syntax 2:13"]),
    (
        "p.json",
        "{\"tasks\": [{\"id\": \"é\", \"exec\": \"x\", \"b\": 1}]}",
        &["bad-id 1:19", "unknown-key 1:37"],
    ),
    ("p.json", "", &["syntax 1:1"]),
];

#[test]
fn whole_texts_are_refused_with_a_place() {
    for (name, text, expected) in WHOLE {
        let problems = refuse_as(name, text);
        assert_eq!(places(&problems), *expected, "{text}\n{problems}");
    }
}

#[test]
fn limits_are_named_when_they_are_met() {
    let deep = "[".repeat(100);
    let many = format!("{{\"tasks\": [{}1]}}", "1,".repeat(100_000));
    let bomb = format!(
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n{}tasks: *j\n",
        ('b'..='j')
            .map(|name| {
                let before = char::from_u32(name as u32 - 1).unwrap();
                format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "))
            })
            .collect::<String>()
    );
    for (text, code) in [
        (deep, "syntax"),
        (bomb, "too-large"),
        (many, "too-many-tasks"),
        (
            format!("tasks: [{{id: a, exec: {}}}]", "x".repeat(17 << 20)),
            "too-large",
        ),
        (
            format!("tasks: [{{id: a, exec: x, needs: {}}}]", "[".repeat(70)),
            "syntax",
        ),
    ] {
        let problems = refuse(&text);
        assert!(
            problems.0.iter().any(|problem| problem.code == code),
            "{code}: {problems}"
        );
    }
    let json = format!("{{\"tasks\": {}1{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(places(&refuse_as("p.json", &json)), ["too-deep 1:74"]);
    let whole = " ".repeat((64 << 20) + 1);
    assert_eq!(places(&refuse(&whole)), ["too-large 0:0"]);
}

#[test]
fn a_circle_is_printed_as_a_path_once() {
    let plan = "tasks:\n- {id: a, exec: x, needs: [b]}\n- {id: b, exec: x, needs: [c]}\n- {id: c, exec: x, needs: [a]}\n\
        - {id: d, exec: x, needs: [e, a]}\n- {id: e, exec: x, needs: [d]}\n- {id: f, exec: x, needs: [e]}\n";
    let problems = refuse(plan);
    let found: Vec<&str> = problems.0.iter().map(|problem| problem.found.as_str()).collect();
    assert_eq!(found, ["a -> b -> c -> a", "d -> e -> d"]);
}

#[test]
fn both_lines_of_a_repeated_id_are_told() {
    let problems = refuse("tasks:\n- id: one\n  exec: x\n- id: one\n  exec: x\n");
    assert_eq!(problems.0[0].line, 4);
    assert!(problems.0[0].message.ends_with("on line 2"), "{problems}");
}

#[test]
fn a_variable_of_the_command_line_must_exist() {
    let project = Project::default().var("aera", "x");
    let problems = project
        .read("p.yaml", "vars: {area: 1}\ntasks: [{id: a, exec: x}]")
        .unwrap_err();
    assert_eq!(problems.0[0].nearest.as_deref(), Some("area"));
    assert!(
        problems
            .to_string()
            .starts_with("p.yaml: error[unknown-var]: `--var aera`"),
        "{problems}"
    );
}

#[test]
fn a_problem_in_a_prompt_file_names_that_file() {
    let project = Project::default().file("p.md", "one\ntwo {{ tasks.nope }}\n");
    let problems = project
        .read("plan.yaml", "tasks: [{id: a, prompt_file: p.md}]")
        .unwrap_err();
    let problem = &problems.0[0];
    assert_eq!((problem.file.as_str(), problem.line, problem.column), ("p.md", 2, 5));
}

#[test]
fn places_inside_texts_are_those_of_the_file() {
    for (plan, place) in [
        ("tasks:\n- id: a\n  prompt: |\n    é {{ vars.x }}\n", (4, 7)),
        (
            "tasks:\n- id: a\n  prompt: >-\n    one\n    two\n      {{ vars.x }}\n",
            (6, 7),
        ),
        ("tasks:\n- id: a\n  prompt: one\n    two {{ vars.x }}\n", (4, 9)),
        ("tasks:\n- id: a\n  prompt: \"\\t{{ vars.x }}\"\n", (3, 14)),
        // Escaped braces cannot be found in the file; the text's own place is said.
        ("tasks:\n- id: a\n  prompt: \"one \\x7b{ vars.x }}\"\n", (3, 11)),
    ] {
        let problems = refuse(plan);
        let problem = &problems.0[0];
        assert_eq!((problem.line, problem.column), place, "{plan}");
    }
}

#[test]
fn json_output_has_every_problem() {
    let body: String = (0..10_000).map(|n| format!("- {{id: t{n}, exe: x}}\n")).collect();
    let problems = refuse(&format!("tasks:\n{body}"));
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 20_000);
    let first = &json[0];
    for key in [
        "code", "severity", "file", "line", "column", "found", "message", "nearest", "help",
    ] {
        assert!(first.get(key).is_some(), "{key}");
    }
    let printed = problems.to_string();
    assert!(
        printed.contains("and 19,900 more: one-work 9,950, unknown-key 9,950"),
        "{printed}"
    );
}

#[test]
fn every_code_has_a_test() {
    // Warnings and codes of other readers are driven in their own files.
    let elsewhere = [
        "agent-as-role",
        "grinder-decides",
        "exec-shortcut",
        "ignored-key",
        "large-crew",
        "many-tries",
        "may-not-decide",
        "no-reviewer",
        "orchestrator-grinds",
        "own-review",
        "trivial-crew",
        "ungated-pipeline",
        "no-tasks",
        "nobody",
        "nobody-serves",
        "repeated-agent",
        "template-statement",
        "cycle",
        "unknown-var",
        "too-large",
        "too-deep",
        "too-many-edges",
        "too-many-tasks",
        "empty-plan",
        "syntax",
        "bad-name",
    ];
    let driven: Vec<&str> = TASKS
        .iter()
        .flat_map(|(_, expected)| expected.iter())
        .filter_map(|place| place.split(' ').next())
        .chain(elsewhere)
        .collect();
    for (code, _) in CODES {
        assert!(driven.contains(code), "{code} is never driven");
    }
}
