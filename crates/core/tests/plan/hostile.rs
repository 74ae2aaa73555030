//! Input that means harm: never a panic, never a wait, always an answer.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wheelhouse_core::plan::{Format, tasks_from_output};

use crate::support::{Project, refuse};

/// Starting points for mutation: every format, every construct.
const SEEDS: &[&str] = &[
    "name: n\ndefaults: {agent: auto, timeout: 20m}\nvars: {a: b}\nbudget: {usd: 2.00}\ntasks:\n  - id: x\n    exec: \"echo ${#x} {{ vars.a }}\"\n  - id: y\n    needs: [x]\n    prompt: |\n      {{ tasks.x.summary }} é\n    retry: {max: 2}\n",
    "tasks: &t\n- &a {id: a, exec: !!str x, ? b : c}\n- *a\n- <<: *a\n",
    "{\"tasks\": [{\"id\": \"1\", \"agent\": \"Explore\", \"prompt\": \"\\ud83d\\ude00\", \"deps\": [\"2\", 3]}]}",
    "[{\"id\": 1, \"task\": \"x\"}, null, [], {\"id\": 1e9}]",
    "---TASK---\nid: a\nworkdir: .\ndependencies: b, c\nworktree\n---CONTENT---\nx\n---TASK---\nid: b\n---CONTENT---\n",
    "version: 1\nmode: all-sequential\nstages:\n- name: s\n  tasks:\n  - {id: task-1, title: t, files: [../x]}\n  - task-1\n",
    "prose\n```json\n{\"tasks\": [{\"id\": \"a\", \"exec\": \"x\"}]}\n```\n",
    "%YAML 1.2\n--- !<tag:x> \"a\\x00b\"\n...\n",
];

/// Pieces that are put into them.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    ":",
    "- ",
    "\n",
    "  ",
    "\t",
    "*a",
    "&a ",
    "!!",
    "|",
    ">",
    "#",
    "---",
    "...",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "é",
    "😀",
    "---TASK---",
    "---CONTENT---",
    "```",
    "tasks",
    "tasks.a",
    "vars.",
    "id: ",
    "needs: ",
    "99999999999999999999",
    "-1",
    "1e999",
    "null",
    "~",
    "? ",
    "\\",
    "\\u0000",
    "\r",
    "%",
    "@",
    "`",
    "$(",
    "<<",
];

fn read_everywhere(text: &str) {
    let project = Project::default();
    for (name, format) in [
        ("p.yaml", None),
        ("p.json", None),
        ("t.txt", Some(Format::TaskText)),
        ("q", Some(Format::Queue)),
        ("m.exec.yaml", None),
    ] {
        if let Err(problems) = project.read_as(name, format, text) {
            assert!(problems.errors() > 0, "refused for nothing: {text:?}");
            let _ = problems.to_string();
        }
    }
    let _ = project.with(|context| tasks_from_output(text, &["a".into()], context));
}

/// Mutates samples for two seconds. `WHEELHOUSE_FUZZ_SECONDS` and `WHEELHOUSE_FUZZ_SEED` make it longer and other.
#[test]
fn mutated_plans_never_panic() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = setting("WHEELHOUSE_FUZZ_SECONDS").unwrap_or(2);
    let seed = setting("WHEELHOUSE_FUZZ_SEED").unwrap_or(0);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    while rounds < 300 || Instant::now() < until {
        let mut text = SEEDS[(rng.next_u32() as usize) % SEEDS.len()].to_owned();
        for _ in 0..1 + rng.next_u32() % 8 {
            mutate(&mut text, &mut rng);
        }
        let read = std::panic::catch_unwind(|| read_everywhere(&text));
        assert!(read.is_ok(), "seed {seed}, round {rounds}: {text:?}");
        rounds += 1;
    }
}

fn mutate(text: &mut String, rng: &mut TestRng) {
    let at = text.floor_char_boundary((rng.next_u32() as usize) % (text.len() + 1));
    let piece = PIECES[(rng.next_u32() as usize) % PIECES.len()];
    match rng.next_u32() % 5 {
        0 | 1 => text.insert_str(at, piece),
        2 => {
            let end = text.floor_char_boundary((at + 1 + (rng.next_u32() as usize) % 12).min(text.len()));
            text.replace_range(at..end.max(at), "");
        }
        3 => {
            let end = text.floor_char_boundary((at + 20).min(text.len()));
            let part = text[at..end.max(at)].to_owned();
            text.insert_str(at, &part);
        }
        _ => {
            let other = SEEDS[(rng.next_u32() as usize) % SEEDS.len()];
            let from = other.floor_char_boundary((rng.next_u32() as usize) % other.len());
            text.truncate(at);
            text.push_str(&other[from..]);
        }
    }
}

#[test]
fn any_text_is_answered() {
    let mut runner = TestRunner::new(Config::with_cases(300));
    let text = prop_oneof![
        "\\PC{0,60}",
        "[-\\[\\]{}:,#&*!|>'\"%@`~ \n\ta-d0-9.]{0,80}",
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    let run = runner.run(&text, |text| {
        read_everywhere(&text);
        Ok(())
    });
    run.unwrap();
}

/// What is refused at once, however large, and the code it is refused with.
#[test]
fn floods_and_bombs_are_answered_at_once() {
    let bomb: String = (1..30)
        .map(|n| format!("k{n}: &k{n} [{}]\n", vec![format!("*k{}", n - 1); 9].join(",")))
        .collect();
    let texts = [
        ("brackets", "[".repeat(2_000_000), "syntax"),
        ("braces", "{a: ".repeat(100_000), "syntax"),
        ("dashes", "- ".repeat(100_000), "syntax"),
        ("aliases", format!("k0: &k0 [x]\n{bomb}tasks: *k29\n"), "too-large"),
        ("long key", format!("{}: 1", "k".repeat(2_000_000)), "syntax"),
        ("quote", format!("tasks: \"{}", "x".repeat(2_000_000)), "syntax"),
        (
            "braces in text",
            format!("tasks: [{{id: a, prompt: '{}'}}]", "{{ ".repeat(100_000)),
            "template-syntax",
        ),
        ("comments", "# x\n".repeat(200_000), "empty-plan"),
    ];
    for (what, text, code) in texts {
        let started = Instant::now();
        let problems = refuse(&text);
        assert!(
            problems.0.iter().any(|problem| problem.code == code),
            "{what}: {}",
            problems.0[0]
        );
        // Generous: this is about minutes and hours, not about milliseconds.
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{what}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn ten_thousand_problems_are_all_reported() {
    let body: String = (0..2_500)
        .map(|n| format!("- id: task-{n:05}\n  promt: x\n  exec: 'echo {{{{ tasks.tsk-{n:05} }}}}'\n  needs: [tak-{n:05}]\n  timeout: 5\n"))
        .collect();
    let problems = refuse(&format!("tasks:\n{body}"));
    assert_eq!(problems.0.len(), 10_000);
    assert!(problems.0.iter().filter(|problem| problem.nearest.is_some()).count() > 2_500);
    let text = problems.to_string();
    assert!(
        text.contains("and 9,900 more: ") && text.ends_with("10,000 problems"),
        "{text}"
    );
}
