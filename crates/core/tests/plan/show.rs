//! The graph for people.

use wheelhouse_core::plan::show;

use crate::support::accept;

const PLAN: &str = "
tasks:
  - {id: facts, exec: 'git log --oneline | head -n 20'}
  - {id: marks, exec: \"grep -rn TODO .\"}
  - id: draft
    agent: claude
    needs: [facts, marks]
    prompt: |

      Review it.
    verify: ['true', 'true']
    on_failure: ask
    approval: true
  - {id: more, plan: true, needs: [facts], prompt: plan it}
  - {id: report, agent: codex, needs: [draft, more], prompt: write it, on_failure: continue}
";

#[test]
fn the_text_is_this() {
    let expected = "\
5 tasks, 5 edges, 3 layers, at most 2 at once

1  facts   exec       git log --oneline | head -n 20
   marks   exec       grep -rn TODO .

2  draft   claude     <- facts, marks  [approval, 2 checks, asks]
   more    rehearsal  <- facts  [plans]

3  report  codex      <- draft, more  [may fail]

longest chain: facts -> draft -> report
";
    assert_eq!(show::text(&accept(PLAN).tasks), expected);
}

#[test]
fn the_text_stays_within_eighty_columns() {
    let many: String = (0..300)
        .map(|n| {
            let needs: Vec<String> = (n / 2..n)
                .map(|m| format!("a-rather-long-name-of-a-task-number-{m}"))
                .collect();
            format!(
                "- id: a-rather-long-name-of-a-task-number-{n}\n  exec: \"{}\"\n  needs: [{}]\n  verify: ['x']\n",
                "é".repeat(200),
                needs.join(", ")
            )
        })
        .collect();
    let checked = accept(&format!("tasks:\n{many}"));
    let text = show::text(&checked.tasks);
    for line in text.lines() {
        assert!(line.chars().count() <= show::WIDTH, "{line}");
    }
    assert_eq!(text, show::text(&checked.tasks));
}

#[test]
fn the_critical_path_follows_the_weights() {
    let checked = accept(PLAN);
    let path = |weight: &dyn Fn(&str) -> u64| -> Vec<String> {
        let path = show::critical_path(&checked.tasks, &|task| weight(task.key.as_str()));
        path.iter().map(ToString::to_string).collect()
    };
    assert_eq!(path(&|_| 1), ["facts", "draft", "report"]);
    assert_eq!(
        path(&|key| if key == "more" { 9 } else { 1 }),
        ["facts", "more", "report"]
    );
    assert_eq!(
        path(&|key| if key == "marks" { 99 } else { 1 }),
        ["marks", "draft", "report"]
    );
    assert_eq!(show::critical_path(&[], &|_| 1), Vec::<&_>::new());
}

#[test]
fn dot_is_quoted() {
    let dot = show::dot("a \"plan\"", &accept(PLAN).tasks);
    assert!(dot.starts_with("digraph \"a \\\"plan\\\"\" {\n"), "{dot}");
    assert!(dot.contains("  \"facts\" -> \"draft\";\n"), "{dot}");
    assert!(
        dot.contains("  \"draft\" [label=\"draft\\nclaude\", style=rounded];\n"),
        "{dot}"
    );
}
