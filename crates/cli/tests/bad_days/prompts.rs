//! Prompts of a megabyte arrive byte for byte, and what comes back is what was said.

use std::os::unix::fs::PermissionsExt;

use wheelhouse_testkit::script;

use crate::stage::Stage;

/// A megabyte with everything in it that somebody could trip over: no template, quotes, controls, long lines, lines
/// ends of both kinds, text of four bytes a letter.
fn megabyte() -> String {
    let mut text = String::from("Read this.\r\n");
    let mut seed = 0x2545_f491_u32;
    while text.len() < 1 << 20 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match seed >> 28 {
            0 => text.push('\n'),
            1 => text.push_str("\r\n"),
            2 => text.push_str("$HOME `id` \\ \"'"),
            3 => text.push_str("\u{1f6a2}\u{202e}ß\u{0}\u{1b}[2J"),
            4 => text.push_str(&"long".repeat(200)),
            _ => text.push_str(&format!("{seed:x} ")),
        }
    }
    text.push_str(" without a line end");
    text
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn a_megabyte_reaches_the_agent_byte_for_byte() {
    let stage = Stage::new();
    // An agent that measures what it was given, then answers as the stand-in does.
    let measure = format!(
        "#!/bin/sh\ncat > got\n{} digest < got > measured\nexec {} rehearse < got\n",
        script::program().display(),
        env!("CARGO_BIN_EXE_wheelhouse")
    );
    let path = stage.write("measuring-agent", measure);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    stage.write(
        "wheelhouse.toml",
        format!(
            "[agents.measure]\nbackend = \"rehearsal\"\ncommand = \"{}\"\ncontext.files = \"off\"\n",
            path.display()
        ),
    );
    let prompt = megabyte();
    stage.write("prompts/long.md", &prompt);
    stage.write(
        "plan.yaml",
        "tasks: [{id: long, agent: measure, prompt_file: prompts/long.md}]",
    );
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let got = std::fs::read(stage.project().join("got")).unwrap();
    assert!(
        got == prompt.as_bytes(),
        "{} bytes of {} arrived",
        got.len(),
        prompt.len()
    );
    let measured = format!("{} {:016x}\n", prompt.len(), fnv(prompt.as_bytes()));
    assert_eq!(stage.read("measured"), measured);
    stage.assert_clean();
}

#[test]
fn a_command_of_a_megabyte_is_run_or_refused_with_a_reason_never_cut() {
    let stage = Stage::new();
    let long = format!(
        "tasks: [{{id: long, exec: \"echo {} | wc -c\", retry: {{max: 0}}}}]",
        "x".repeat(1 << 20)
    );
    stage.write("plan.yaml", long);
    let ran = stage.run(&["run", "plan.yaml"]);
    match ran.code {
        Some(0) => assert_eq!(stage.run(&["result", "long", "--full"]).stdout.trim(), "1048577"),
        Some(1) => {
            let status = stage.json(&["status", "long"]);
            let told = status["result"]["summary"].to_string();
            assert!(told.contains("more than the system takes"), "{told}");
        }
        _ => assert!(ran.stderr.contains("too long"), "{ran:#?}"),
    }
}

#[test]
fn a_result_of_a_megabyte_comes_to_the_next_task_by_reference_and_bounded() {
    let stage = Stage::new();
    let big = format!("{} flood 1048576", script::program().display());
    stage.write(
        "plan.yaml",
        format!(
            "tasks:\n  - {{id: big, exec: '{big}'}}\n  - {{id: small, prompt: 'Read {{{{ tasks.big.summary }}}}', \
             needs: [big], agent: rehearsal}}\n"
        ),
    );
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let answer = stage.run(&["result", "small", "--full"]).stdout;
    let bytes = answer.lines().find_map(|line| line.strip_prefix("- `big`: ")).unwrap();
    let bytes: usize = bytes
        .split(", ")
        .nth(1)
        .unwrap()
        .trim_end_matches(" bytes")
        .replace(',', "")
        .parse()
        .unwrap();
    assert!(bytes > 20 && bytes < 20_000, "{answer}");
    stage.assert_clean();
}
