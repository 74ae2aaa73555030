//! The scripted agent does what it is told. (That this file exists also has cargo build the program whenever the
//! workspace is tested.)
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn scripted(steps: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scripted-agent"))
        .args(steps)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // Scripts that do not read may be gone already.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

#[test]
fn steps_run_in_order() {
    let output = scripted(&["say", "a", "complain", "b", "say", "c", "exit", "3"], b"");
    assert_eq!(output.stdout, b"a\nc\n");
    assert_eq!(output.stderr, b"b\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn input_comes_back() {
    let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(scripted(&["echo"], &input).stdout, input);
    assert_eq!(scripted(&["digest"], b"a").stdout, b"1 af63dc4c8601ec8c\n");
}

#[test]
fn floods_have_the_length_asked_for() {
    assert_eq!(scripted(&["flood", "1000001"], b"").stdout.len(), 1_000_001);
    assert_eq!(scripted(&["flood-errors", "70000"], b"").stderr.len(), 70_000);
    let garbage = scripted(&["garbage", "1000"], b"").stdout;
    assert_eq!(garbage.len(), 1000);
    assert!(String::from_utf8(garbage).is_err());
}

#[test]
fn it_can_end_by_a_signal() {
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(scripted(&["signal", "9"], b"").status.signal(), Some(9));
}

#[test]
fn what_is_no_step_is_an_error() {
    for steps in [&["dance"][..], &["exit"], &["flood", "much"]] {
        assert_eq!(scripted(steps, b"").status.code(), Some(64), "{steps:?}");
    }
}
