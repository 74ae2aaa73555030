//! Runs the real `git`: one process per call, with a deadline, a cleared environment and nothing that could ask.
//!
//! Used by every other module here; knows nothing of runs and tasks. Answers are read in the formats made for
//! programs (`-z`, porcelain). Git's words are kept only to be shown to people; the few decisions taken by them are
//! collected in [`Refusal`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::error::Error;

/// The oldest git with everything that is used here (`merge-tree --write-tree`, `worktree add --lock --reason`).
pub const GIT_VERSION_MIN: (u32, u32) = (2, 40);
/// The first git that reads attributes from a commit when merging without a work tree.
const GIT_VERSION_ATTR_SOURCE: (u32, u32) = (2, 41);
/// How much a call may print before it is refused (or cut, where that is asked for), in bytes.
const STDOUT_MAX: usize = 64 << 20;
/// How much of git's words is kept, in bytes.
const WORDS_MAX: usize = 8_000;
/// What git may see of the environment; everything else could change what it does.
const ENV_ALLOWED: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];
/// Who makes our commits. Set for every call, so that a repository without `user.name` is as good as any.
const IDENTITY: (&str, &str) = ("Wheelhouse", "wheelhouse@localhost");

/// Whether the repository's hooks run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Hooks {
    /// No hook runs.
    #[default]
    Off,
    /// `pre-commit`, `commit-msg`, `post-checkout` and their like run as for anybody else.
    Honour,
}

/// The program, and what every call of it has in common.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: PathBuf,
    env: Vec<(String, String)>,
    hooks: Hooks,
    timeout: Duration,
    version: (u32, u32),
}

impl Git {
    /// Finds git on the given `PATH` and makes sure that it is young enough.
    pub(crate) fn find(env: &BTreeMap<String, String>, hooks: Hooks, timeout: Duration) -> Result<Git, Error> {
        let path = env.get("PATH").map(String::as_str).unwrap_or_default();
        // An absolute program spares the slow way of starting processes that a changed PATH brings.
        let program = std::env::split_paths(path)
            .map(|directory| directory.join("git"))
            .find(|program| program.is_file())
            .ok_or(Error::NoGit)?;
        let env = env.iter().filter(|(name, _)| ENV_ALLOWED.contains(&name.as_str()));
        let mut git = Git {
            program,
            env: env.map(|(name, value)| (name.clone(), value.clone())).collect(),
            hooks,
            timeout,
            version: (0, 0),
        };
        let said = git.at(Path::new("/")).args(["version"]).run()?.line()?;
        git.version = version(&said)
            .filter(|found| *found >= GIT_VERSION_MIN)
            .ok_or(Error::GitTooOld { found: said })?;
        Ok(git)
    }

    /// Begins a call in a directory.
    pub(crate) fn at<'a>(&'a self, directory: &'a Path) -> Call<'a> {
        Call {
            git: self,
            directory,
            global: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            allowed: &[0],
            hooks: self.hooks,
            stdout_max: STDOUT_MAX,
            cut: Cut::Refuse,
        }
    }

    /// Whether hooks run where a call does not say otherwise.
    pub(crate) fn runs_hooks(&self) -> bool {
        self.hooks == Hooks::Honour
    }

    /// Whether attributes can be read from a commit.
    pub(crate) fn has_attr_source(&self) -> bool {
        self.version >= GIT_VERSION_ATTR_SOURCE
    }
}

fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What becomes of output beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Refuse,
    Take,
}

/// One call of git, being put together.
pub(crate) struct Call<'a> {
    git: &'a Git,
    directory: &'a Path,
    global: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    stdin: Option<File>,
    allowed: &'static [i32],
    hooks: Hooks,
    stdout_max: usize,
    cut: Cut,
}

impl Call<'_> {
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// An option of git itself, before the command.
    pub(crate) fn global(mut self, option: impl Into<OsString>) -> Self {
        self.global.push(option.into());
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Exit codes that are answers, not failures.
    pub(crate) fn allow(mut self, codes: &'static [i32]) -> Self {
        self.allowed = codes;
        self
    }

    /// No hook runs in this call, whatever the setting says.
    pub(crate) fn without_hooks(mut self) -> Self {
        self.hooks = Hooks::Off;
        self
    }

    /// Takes the first so many bytes of the output and ends the call there.
    pub(crate) fn first_bytes(mut self, bytes: usize) -> Self {
        self.stdout_max = bytes;
        self.cut = Cut::Take;
        self
    }

    /// Gives git an open, empty lock file as its standard input: whoever waits for the lock then also waits for a
    /// git that outlives a killed engine.
    pub(crate) fn holding(mut self, lock: &File) -> Result<Self, Error> {
        let file = lock
            .try_clone()
            .map_err(|source| Error::io("share the lock of", self.directory, source))?;
        self.stdin = Some(file);
        Ok(self)
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Result<Answer, Error> {
        let command = self.shown();
        let Call {
            git,
            directory,
            stdout_max,
            cut,
            allowed,
            ..
        } = self;
        let failed = |source| Error::io("run git in", directory, source);
        let mut child = self.command().spawn().map_err(failed)?;
        let deadline = Instant::now() + git.timeout;
        let mut said = Said {
            stdout_max,
            ..Said::default()
        };
        let drained = drain(&mut child, deadline, &mut said);
        let stop = matches!(&drained, Ok(Drained::Late | Drained::Full) | Err(_));
        if stop {
            kill(&mut child);
        }
        let code = match (drained, wait(&mut child, deadline)) {
            (Err(source), _) | (Ok(_), Err(source)) => {
                kill(&mut child);
                return Err(failed(source));
            }
            (Ok(Drained::Late), _) | (Ok(_), Ok(None)) => {
                kill(&mut child);
                return Err(Error::GitTimedOut {
                    command,
                    after: git.timeout,
                });
            }
            (Ok(Drained::Full), _) if cut == Cut::Take => 0,
            (Ok(Drained::Full), _) => {
                return Err(Error::GitSaidTooMuch {
                    command,
                    bytes_max: stdout_max,
                });
            }
            (Ok(Drained::Whole), Ok(Some(code))) => code,
        };
        let words = words(&said.stderr);
        if !allowed.contains(&code) {
            return Err(Error::refused(command, code, words));
        }
        Ok(Answer {
            code,
            stdout: said.stdout,
            words,
            cut: said.full,
        })
    }

    fn command(self) -> Command {
        let mut command = Command::new(&self.git.program);
        command
            .current_dir(self.directory)
            .env_clear()
            .envs(self.git.env.iter().map(|(name, value)| (name, value)))
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_EDITOR", "false")
            .env("GIT_PAGER", "cat")
            .env("GIT_AUTHOR_NAME", IDENTITY.0)
            .env("GIT_AUTHOR_EMAIL", IDENTITY.1)
            .env("GIT_COMMITTER_NAME", IDENTITY.0)
            .env("GIT_COMMITTER_EMAIL", IDENTITY.1)
            .envs(self.env)
            .args(CONFIG.iter().flat_map(|setting| ["-c", setting]))
            .args(self.global)
            .stdin(self.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a deadline ends filters and hooks too.
            .process_group(0);
        if self.hooks == Hooks::Off {
            command.args(["-c", "core.hooksPath=/dev/null"]);
        }
        command.args(self.args);
        command
    }

    fn shown(&self) -> String {
        let mut shown = "git".to_owned();
        for arg in &self.args {
            shown.push(' ');
            shown.push_str(&arg.to_string_lossy());
        }
        crate::prepare::bounded(&shown, 300)
    }
}

/// Settings of a repository or a person that would start programs, ask, or make the same call mean something else.
const CONFIG: [&str; 8] = [
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.safecrlf=false",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
];

/// What a call brought.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// What it said on its standard error.
    pub(crate) words: String,
    /// There was more than the limit.
    pub(crate) cut: bool,
}

impl Answer {
    /// The whole answer as text without the last line break.
    pub(crate) fn line(&self) -> Result<String, Error> {
        let text = String::from_utf8_lossy(&self.stdout);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// The records of a `-z` answer.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.stdout.strip_suffix(&[0]).unwrap_or(&self.stdout);
        let nothing = self.stdout.is_empty();
        whole.split(|byte| *byte == 0).filter(move |_| !nothing)
    }

    /// The lines of the answer.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// Why git said no, as far as it matters to what comes next. Git has no other way of telling than words; they are
/// in English because every call says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    NotARepository,
    NotAWorkTree,
    BranchExists,
    Other,
}

impl Refusal {
    pub(crate) fn of(words: &str) -> Refusal {
        let says = |what: &str| words.contains(what);
        if says("not a git repository (or any") {
            Refusal::NotARepository
        } else if says("is not a working tree") {
            Refusal::NotAWorkTree
        } else if says("a branch named") && says("already exists") {
            Refusal::BranchExists
        } else {
            Refusal::Other
        }
    }
}

#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stdout_max: usize,
    full: bool,
}

enum Drained {
    Whole,
    Full,
    Late,
}

/// Reads both streams until they end, so that neither can fill up and block.
fn drain(child: &mut Child, deadline: Instant, said: &mut Said) -> io::Result<Drained> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0_u8; 64 << 10];
    while out.is_some() || err.is_some() {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            return Ok(Drained::Late);
        };
        let (out_ready, err_ready) = ready(out.as_ref(), err.as_ref(), left)?;
        if out_ready && let Some(stream) = &mut out {
            match read(stream, &mut buffer)? {
                0 => out = None,
                bytes => said.stdout.extend_from_slice(&buffer[..bytes]),
            }
            if said.stdout.len() > said.stdout_max {
                said.stdout.truncate(said.stdout_max);
                said.full = true;
                return Ok(Drained::Full);
            }
        }
        if err_ready && let Some(stream) = &mut err {
            match read(stream, &mut buffer)? {
                0 => err = None,
                bytes => said.stderr.extend_from_slice(&buffer[..bytes]),
            }
            // The first and the last words matter; a flood between them does not.
            if said.stderr.len() > 4 * WORDS_MAX {
                said.stderr.drain(WORDS_MAX..said.stderr.len() - WORDS_MAX);
            }
        }
    }
    Ok(Drained::Whole)
}

fn ready(out: Option<&impl AsFd>, err: Option<&impl AsFd>, left: Duration) -> io::Result<(bool, bool)> {
    let mut fds = Vec::with_capacity(2);
    fds.extend(out.map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN)));
    fds.extend(err.map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN)));
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) => {}
        Err(nix::Error::EINTR) => return Ok((false, false)),
        Err(error) => return Err(error.into()),
    }
    let mut answers = fds.iter().map(|fd| fd.any().unwrap_or(true));
    let out_ready = out.is_some() && answers.next().unwrap_or(false);
    Ok((out_ready, answers.next().unwrap_or(false)))
}

fn read(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Its exit code once it has one. Its streams are closed, so the end is a matter of microseconds; a process that
/// lives on without them runs into the deadline.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<i32>> {
    let mut pause = Duration::from_micros(10);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(
                status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            ));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn kill(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn words(stderr: &[u8]) -> String {
    crate::prepare::bounded(String::from_utf8_lossy(stderr).trim(), WORDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_kinds() {
        assert_eq!(version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version("git version 3.0-rc1"), Some((3, 0)));
        assert_eq!(version("hub version 2"), None);
    }
}
