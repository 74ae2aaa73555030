//! What planner tasks return.

use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::plan::{Problems, Source, read_more, tasks_from_output};
use wheelhouse_core::spec::{TaskSpec, Work};

use crate::support::{Project, places};

fn planned(text: &str) -> Result<Vec<TaskSpec>, Problems> {
    let existing: [TaskKey; 2] = ["look".into(), "survey".into()];
    let project = Project::default().var("area", "src").file("p.md", "from a file");
    project.with(|context| tasks_from_output(text, &existing, context))
}

fn ids(text: &str) -> Vec<String> {
    let tasks = planned(text).unwrap_or_else(|problems| unreachable!("{problems}\n{text}"));
    tasks.iter().map(|task| task.key.to_string()).collect()
}

#[test]
fn json_is_found_alone_and_in_fences() {
    let list = r#"[{"id": "a", "exec": "ls"}, {"id": "b", "prompt": "x", "needs": ["a", "look"]}]"#;
    let map = format!("{{\"tasks\": {list}}}");
    for text in [
        list.to_owned(),
        map.clone(),
        format!("\n  {map}\n"),
        format!("Here is the plan:\n```json\n{map}\n```\nGood luck."),
        format!("```\n{list}\n```"),
        format!("````json\n{list}\n````"),
        format!(
            "```json\n{{\"tasks\": [{{\"id\": \"old\", \"exec\": \"x\"}}]}}\n```\nNo, better:\n```json\n{map}\n```\n"
        ),
        format!("```json\n{map}\n```\n```sh\n[ -f x ]\n```\n```json\n{{\"tasks\": [{{\"id\": \"broken\"\n```"),
        format!("```json\n{map}"),
        format!("\u{feff}{map}"),
    ] {
        assert_eq!(ids(&text), ["a", "b"], "{text}");
    }
    assert_eq!(ids(r#"{"tasks": []}"#), [""; 0]);
    assert_eq!(ids("[]"), [""; 0]);
}

#[test]
fn tasks_are_checked_against_the_run() {
    for (text, expected) in [
        (r#"[{"id": "look", "exec": "x"}]"#, "duplicate-id 1:9"),
        (r#"[{"id": "a", "exec": "x", "needs": ["lok"]}]"#, "unknown-task 1:37"),
        (r#"[{"id": "a", "prompt": "{{ tasks.survey }}"}]"#, "not-needed 1:25"),
        (r#"[{"id": "a", "prompt": "{{ tasks.gone }}"}]"#, "unknown-task 1:25"),
        (r#"[{"id": "a", "prompt": "{{ vars.aera }}"}]"#, "unknown-var 1:25"),
        (
            r#"[{"id": "a", "exec": "x", "needs": ["b"]}, {"id": "b", "exec": "x", "needs": ["a"]}]"#,
            "cycle 1:9",
        ),
        (
            r#"[{"id": "a", "agent": "nobody", "prompt": "x"}]"#,
            "unknown-agent 1:23",
        ),
        (r#"[{"id": "a", "prompt_file": "/etc/passwd"}]"#, "bad-path 1:29"),
        ("no plan at all", "no-tasks 1:1"),
        ("", "no-tasks 1:1"),
        ("\"text\"", "no-tasks 1:1"),
        ("```json\n[{\"id\": \"a\",}]\n```", "syntax 2:13"),
        ("one\n\n```json\n{\n\"tasks\": [{\"id\": \"a\"}]}\n```", "one-work 5:11"),
        (r#"{"plan": []}"#, "empty-plan 1:1"),
    ] {
        let problems = planned(text).unwrap_err();
        assert_eq!(places(&problems)[0], expected, "{text}\n{problems}");
        assert_eq!(problems.0[0].file, "output");
    }
    let sound = planned(r#"[{"id": "a", "prompt": "{{ tasks.look }} {{ vars.area }}", "needs": "look"}]"#).unwrap();
    assert_eq!(sound[0].needs, ["look".into()]);
    let file = planned(r#"[{"id": "a", "prompt_file": "p.md"}]"#).unwrap();
    assert_eq!(file[0].work, Work::Prompt("from a file".to_owned()));
}

#[test]
fn a_planner_may_answer_in_the_words_of_the_queue() {
    let tasks = planned(
        r#"{"tasks": [{"id": "1", "agent": "Explore", "prompt": "a", "deps": []},
                      {"id": "2", "agent": "codex", "prompt": "b", "deps": ["1"]}]}"#,
    )
    .unwrap();
    assert_eq!(
        (tasks[0].agent.as_str(), tasks[0].role.as_deref()),
        ("rehearsal", Some("Explore"))
    );
    assert_eq!(tasks[1].agent.as_str(), "codex");
}

#[test]
fn tasks_that_join_a_run_may_need_what_it_has() {
    let existing: [TaskKey; 1] = ["old".into()];
    let read = |text: &str| {
        let source = Source {
            name: "queue.yaml",
            text,
            format: None,
        };
        Project::default().with(|context| read_more(&source, &existing, context))
    };
    let checked = read("tasks: [{id: new, needs: [old], prompt: '{{ tasks.old }}'}]").unwrap();
    assert_eq!(checked.tasks[0].needs, ["old".into()]);
    let problems = read("tasks: [{id: old, exec: x}, {id: new, prompt: '{{ tasks.old }}'}]").unwrap_err();
    assert_eq!(places(&problems), ["duplicate-id 1:14", "not-needed 1:48"]);
}
