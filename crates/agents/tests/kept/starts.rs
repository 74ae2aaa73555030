//! What a program starts with: its input byte for byte, its environment and nothing more, no inherited habits; and
//! why it did not start, typed.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wheelhouse_agents::keep::{Command, Kept, NotStarted, Report, Stdin};

use crate::support::{EXE, Rig, rig};

/// All that a program wrote to stdout, once its tree is gone.
async fn said(rig: &Rig, command: Command) -> Vec<u8> {
    let kept = rig.keeper.spawn(command).await.unwrap();
    let Kept {
        stdin: _stdin,
        mut stdout,
        mut control,
        ..
    } = kept;
    let mut bytes = Vec::new();
    stdout.read_to_end(&mut bytes).await.unwrap();
    while !matches!(control.next().await, Report::Gone { left: 0 }) {}
    bytes
}

fn scripted(rig: &Rig, steps: &[&str]) -> Command {
    let program = wheelhouse_testkit::script::program();
    let mut argv = vec![program.to_str().unwrap()];
    argv.extend(steps);
    rig.command(&argv)
}

fn megabyte() -> Vec<u8> {
    (0..1_048_579_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[tokio::test]
async fn a_prompt_of_a_megabyte_arrives_byte_for_byte() {
    let rig = rig();
    let mut command = scripted(&rig, &["echo"]);
    command.stdin = Stdin::Bytes(megabyte());
    assert!(said(&rig, command).await == megabyte());
}

#[tokio::test]
async fn a_program_that_does_not_read_its_prompt_does_not_hang() {
    let rig = rig();
    let mut command = scripted(&rig, &["say", "done"]);
    command.stdin = Stdin::Bytes(megabyte());
    assert_eq!(said(&rig, command).await, b"done\n");
}

#[tokio::test]
async fn a_pipe_can_be_talked_into() {
    let rig = rig();
    let mut command = scripted(&rig, &["echo"]);
    command.stdin = Stdin::Piped;
    let mut kept = rig.keeper.spawn(command).await.unwrap();
    let mut stdin = kept.stdin.take().unwrap();
    let feed = async {
        stdin.write_all(&megabyte()).await.unwrap();
        drop(stdin);
    };
    let mut bytes = Vec::new();
    let (_, read) = tokio::join!(feed, kept.stdout.read_to_end(&mut bytes));
    read.unwrap();
    assert!(bytes == megabyte());
}

#[tokio::test]
async fn the_environment_is_the_allowlist_and_nothing_more() {
    let rig = rig();
    let mut command = scripted(&rig, &["env"]);
    command.env.insert("WORDS".to_owned(), "a = b\nc".to_owned());
    assert_eq!(
        String::from_utf8(said(&rig, command).await).unwrap(),
        "PATH=/usr/local/bin:/usr/bin:/bin\nWORDS=a = b\nc\n"
    );
    let mut command = scripted(&rig, &["env"]);
    command.env.clear();
    assert_eq!(said(&rig, command).await, b"");
}

#[tokio::test]
async fn no_habits_are_inherited() {
    let rig = rig();
    let signals = rig.command(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    let signals = String::from_utf8(said(&rig, signals).await).unwrap();
    let numbers: Vec<u64> = signals
        .split_whitespace()
        .filter_map(|word| u64::from_str_radix(word, 16).ok())
        // Signals 32 and 33 are the C library's own and out of everybody's reach.
        .map(|mask| mask & !0x1_8000_0000)
        .collect();
    assert_eq!(numbers, [0, 0], "{signals}");
    // Three streams; the fourth is the directory that `ls` reads.
    let files = rig.command(&["ls", "/proc/self/fd"]);
    assert_eq!(said(&rig, files).await, b"0\n1\n2\n3\n");
    // Leader of its session and its group, and without a terminal.
    let session = rig.command(&[
        "sh",
        "-c",
        "read -r stat < /proc/$$/stat; set -- $stat; echo $(($1 - $5)) $(($1 - $6)) $7",
    ]);
    assert_eq!(said(&rig, session).await, b"0 0 0\n");
    let directory = rig.command(&["pwd", "-P"]);
    let expected = rig.directory.path().canonicalize().unwrap();
    assert_eq!(
        String::from_utf8(said(&rig, directory).await).unwrap().trim(),
        expected.to_str().unwrap()
    );
}

#[tokio::test]
async fn agents_get_the_limit_of_open_files_that_the_engine_began_with() {
    let directory = tempfile::tempdir().unwrap();
    let limit = directory.path().join("limit");
    let script = "ulimit -S -n 200; exec \"$0\" own 300 sh -c 'ulimit -S -n > draft; mv draft limit; sleep 1000'";
    let mut owner = tokio::process::Command::new("sh")
        .args(["-c", script, EXE])
        .current_dir(directory.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    crate::support::until("the limit is told", || limit.exists()).await;
    assert_eq!(std::fs::read_to_string(limit).unwrap(), "200\n");
    owner.kill().await.unwrap();
}

async fn refused(rig: &Rig, command: Command) -> NotStarted {
    rig.keeper.spawn(command).await.expect_err("it started")
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let rig = rig();
    let missing = refused(&rig, rig.command(&["no-such-program"])).await;
    assert!(
        matches!(&missing, NotStarted::Missing { program } if program == "no-such-program"),
        "{missing:?}"
    );

    let plain = rig.path("plain");
    std::fs::write(&plain, "words").unwrap();
    let not_executable = refused(&rig, rig.command(&[&plain])).await;
    assert!(
        matches!(not_executable, NotStarted::NotExecutable { .. }),
        "{not_executable:?}"
    );
    std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o755)).unwrap();
    let no_format = refused(&rig, rig.command(&[&plain])).await;
    assert!(matches!(no_format, NotStarted::NotExecutable { .. }), "{no_format:?}");
    std::fs::write(&plain, "#!/no/such/interpreter\n").unwrap();
    let no_interpreter = refused(&rig, rig.command(&[&plain])).await;
    assert!(
        matches!(no_interpreter, NotStarted::Missing { .. }),
        "{no_interpreter:?}"
    );

    let mut elsewhere = rig.command(&["true"]);
    elsewhere.cwd = PathBuf::from("/no/such/directory");
    let elsewhere = refused(&rig, elsewhere).await;
    assert!(matches!(elsewhere, NotStarted::Directory { .. }), "{elsewhere:?}");
    assert_eq!(
        elsewhere.to_string(),
        "the working directory `/no/such/directory` cannot be entered"
    );

    let long = refused(&rig, rig.command(&["true", &"x".repeat(200_000)])).await;
    assert!(
        matches!(long, NotStarted::TooLong { bytes, .. } if bytes > 200_000),
        "{long:?}"
    );
    let huge = refused(&rig, rig.command(&["true", &"x".repeat(9 << 20)])).await;
    assert!(matches!(huge, NotStarted::TooLong { .. }), "{huge:?}");

    for argv in [&[][..], &[""], &["true", "a\0b"]] {
        let wrong = refused(&rig, rig.command(argv)).await;
        assert!(matches!(wrong, NotStarted::NotACommandLine), "{wrong:?}");
    }
    // None of that harmed the keeper.
    assert_eq!(said(&rig, rig.command(&["echo", "fine"])).await, b"fine\n");
}

#[tokio::test]
async fn the_path_of_the_agent_is_searched_not_ours() {
    let rig = rig();
    let mut command = rig.command(&["sh", "-c", "true"]);
    command.env.insert("PATH".to_owned(), "/no/such/directory".to_owned());
    let missing = refused(&rig, command).await;
    assert!(matches!(missing, NotStarted::Missing { .. }), "{missing:?}");
}

#[tokio::test]
async fn a_keeper_that_cannot_start_is_an_error_at_once() {
    let error = wheelhouse_agents::keep::Keeper::start(PathBuf::from("/no/such/binary")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
