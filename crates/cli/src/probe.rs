//! Looks at the machine: programs, disk, kernel. Each look has an end, whatever the machine does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::app::App;
use crate::roster;
use crate::terminal::one_line;

/// How long a program has to say its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked whether it did.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much of what it says is read.
const SAID_MAX: u64 = 4 << 10;
/// How much of other output is read.
const OUTPUT_MAX: u64 = 256 << 10;

/// What a program answered to `--version`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Its first line.
    Said(String),
    /// It ended with an error.
    Failed(String),
    /// It did not answer in time and was ended.
    Silent,
    /// It could not be started.
    NotStarted(String),
}

impl Answer {
    /// The answer as part of a sentence.
    pub(crate) fn words(&self) -> String {
        match self {
            Answer::Said(line) if line.is_empty() => "says no version".to_owned(),
            Answer::Said(line) => line.clone(),
            Answer::Failed(how) => format!("`--version` failed ({how})"),
            Answer::Silent => format!("`--version` did not answer within {} s", VERSION_DEADLINE.as_secs()),
            Answer::NotStarted(why) => format!("cannot be started: {why}"),
        }
    }
}

/// Asks programs for their versions, all at the same time. They get the environment that agents get by default.
pub(crate) fn versions(app: &App, programs: &[PathBuf]) -> Vec<Answer> {
    let env = match app.settings(None) {
        Ok(settings) => roster::passed_env(&settings, &app.env),
        Err(_) => app
            .env
            .iter()
            .filter(|(name, _)| *name == "PATH")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    };
    let asked: Vec<_> = programs
        .iter()
        .map(|program| {
            let words = File::from(memfd_create(c"version", MFdFlags::MFD_CLOEXEC)?);
            let child = Command::new(program)
                .arg("--version")
                .env_clear()
                .envs(&env)
                .stdin(Stdio::null())
                .stdout(words.try_clone()?)
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()?;
            Ok::<_, std::io::Error>((child, words))
        })
        .collect();
    let deadline = Instant::now() + VERSION_DEADLINE;
    asked
        .into_iter()
        .map(|asked| match asked {
            Ok((child, words)) => answer(child, words, deadline),
            Err(error) => Answer::NotStarted(error.to_string()),
        })
        .collect()
}

/// What a program prints, on both streams, within so long; how it ended otherwise.
pub(crate) fn output(
    program: &Path,
    arguments: &[&str],
    env: &BTreeMap<String, String>,
    directory: &Path,
    patience: Duration,
) -> Result<String, String> {
    let started = (|| {
        let words = File::from(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?);
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(env)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(words.try_clone()?)
            .stderr(words.try_clone()?)
            .process_group(0)
            .spawn()?;
        Ok::<_, std::io::Error>((child, words))
    })();
    let (child, words) = started.map_err(|error| format!("it cannot be started: {error}"))?;
    match said(child, words, Instant::now() + patience, OUTPUT_MAX) {
        Ok(text) => Ok(text),
        Err(Answer::Silent) => Err(format!("it did not end within {} s", patience.as_secs())),
        Err(Answer::Failed(how)) => Err(format!("it failed ({how})")),
        Err(Answer::NotStarted(why) | Answer::Said(why)) => Err(why),
    }
}

/// What a shell command prints that is given this to read, within so long; how it ended otherwise. Its complaints go where ours
/// go.
pub(crate) fn filtered(command: &str, input: &[u8], patience: Duration) -> Result<String, String> {
    let started = (|| {
        let mut given = File::from(memfd_create(c"input", MFdFlags::MFD_CLOEXEC)?);
        given.write_all(input)?;
        given.rewind()?;
        let words = File::from(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?);
        let child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(given)
            .stdout(words.try_clone()?)
            .process_group(0)
            .spawn()?;
        Ok::<_, std::io::Error>((child, words))
    })();
    let (child, words) = started.map_err(|error| format!("it could not be started: {error}"))?;
    match said(child, words, Instant::now() + patience, OUTPUT_MAX) {
        Ok(text) => Ok(text),
        Err(Answer::Silent) => Err(format!("it did not end within {} s", patience.as_secs())),
        Err(Answer::Failed(how)) => Err(format!("it ended with {how}")),
        Err(Answer::NotStarted(why) | Answer::Said(why)) => Err(why),
    }
}

fn answer(child: Child, words: File, deadline: Instant) -> Answer {
    match said(child, words, deadline, SAID_MAX) {
        Ok(text) => Answer::Said(one_line(text.lines().next().unwrap_or_default())),
        Err(answer) => answer,
    }
}

/// Waits for the end of a program and reads what it said.
fn said(mut child: Child, mut words: File, deadline: Instant, bytes_max: u64) -> Result<String, Answer> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(Answer::Failed(status.to_string())),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => {
                // The group was made for it, so nothing else is in it.
                let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
                let _ = child.wait();
                return Err(Answer::Silent);
            }
        }
    }
    let mut said = Vec::new();
    let read = words
        .rewind()
        .and_then(|()| words.take(bytes_max).read_to_end(&mut said));
    match read {
        Ok(_) => Ok(String::from_utf8_lossy(&said).into_owned()),
        Err(error) => Err(Answer::Failed(error.to_string())),
    }
}

/// Whether the kernel lets a process adopt its orphaned descendants. Tried on this process, which has none.
pub(crate) fn adopts_orphans() -> bool {
    #[cfg(target_os = "linux")]
    return nix::sys::prctl::set_child_subreaper(true).is_ok()
        && nix::sys::prctl::get_child_subreaper().is_ok_and(|adopts| adopts)
        && nix::sys::prctl::set_child_subreaper(false).is_ok();
    #[cfg(not(target_os = "linux"))]
    false
}

/// How many bytes this user may still write where `path` is.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(path).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Tries to write a file there; it is gone afterwards.
pub(crate) fn is_writable(dir: &Path) -> std::io::Result<()> {
    let file = dir.join(format!(".probe.{}.tmp", std::process::id()));
    std::fs::write(&file, b"probe")?;
    std::fs::remove_file(&file)
}

/// Whether anybody but the owner may look into the directory.
pub(crate) fn others_may_read(dir: &Path) -> bool {
    std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}
