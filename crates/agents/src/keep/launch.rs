//! From a request to a running program: one fork, then everything an agent's process needs before it becomes the
//! program. Called by the warden alone; says which step failed and why.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, execve, getpid, getppid, setsid};

use super::sys;
use super::wire::{Failed, RECORD_BYTES, Record, Request, Stage};

/// Where programs are looked for when the environment has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What an agent reads from and writes to.
pub(super) struct Streams {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts the agent and hands its streams over to it. Returns once it has become its program, or says why not.
pub(super) fn launch(request: &Request, streams: Streams) -> Result<Pid, Failed> {
    let failed = |stage| move |errno: Errno| failed(stage, errno);
    let program = Program::of(request).ok_or(Errno::EINVAL).map_err(failed(Stage::Exec))?;
    let (mut told, mut tell) = std::io::pipe().map_err(|error| failed(Stage::Fork)(errno_of(&error)))?;
    let warden = getpid();
    let pid = sys::fork(|| {
        let Err(failure) = become_agent(request, &streams, &program, warden);
        // Nobody may be left to hear it.
        let _ = tell.write_all(&failure.encode());
        127
    })
    .map_err(failed(Stage::Fork))?;
    drop(tell);
    // The other end closes by itself when the agent becomes its program.
    let mut record = [0; RECORD_BYTES];
    match told.read_exact(&mut record).ok().and_then(|()| Record::decode(record)) {
        Some(Record::NotStarted(failure)) => {
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(failure)
        }
        _ => Ok(pid),
    }
}

/// Everything between fork and exec. The order matters: signals before anything that could wait, the directory and
/// the limits last, so that their failure is told with its stage.
fn become_agent(request: &Request, streams: &Streams, program: &Program, warden: Pid) -> Result<Infallible, Failed> {
    let prepare = |errno| failed(Stage::Prepare, errno);
    // A session of its own: no terminal, and signals to its group reach nobody else.
    setsid().map_err(prepare)?;
    sys::reset_signals().map_err(prepare)?;
    sys::die_with_parent().map_err(prepare)?;
    if getppid() != warden {
        // The warden died before the line above could take effect.
        return Err(prepare(Errno::ESRCH));
    }
    nix::unistd::dup2_stdin(&streams.stdin).map_err(prepare)?;
    nix::unistd::dup2_stdout(&streams.stdout).map_err(prepare)?;
    nix::unistd::dup2_stderr(&streams.stderr).map_err(prepare)?;
    if request.open_files > 0 {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(prepare)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(request.open_files), hard).map_err(prepare)?;
    }
    nix::unistd::chdir(request.cwd.as_slice()).map_err(|errno| failed(Stage::Directory, errno))?;
    Err(failed(Stage::Exec, program.exec()))
}

/// A program with its arguments and environment, as the kernel wants them.
struct Program {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// None when there is no program, or a text holds a zero byte (the engine refuses both before).
    fn of(request: &Request) -> Option<Program> {
        let name = request.argv.first().filter(|name| !name.is_empty())?;
        let candidates = if name.contains(&b'/') {
            vec![name.clone()]
        } else {
            let path = request.env.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
            path.unwrap_or(PATH_DEFAULT)
                .split(|byte| *byte == b':')
                // An empty entry would mean the working directory, where an agent writes.
                .filter(|directory| !directory.is_empty())
                .map(|directory| [directory, b"/", name].concat())
                .collect()
        };
        let strings = |list: Vec<Vec<u8>>| -> Option<Vec<CString>> {
            list.into_iter().map(|text| CString::new(text).ok()).collect()
        };
        Some(Program {
            candidates: strings(candidates)?,
            argv: strings(request.argv.clone())?,
            env: strings(request.env.clone())?,
        })
    }

    /// Tries every candidate as a shell would: one that may not be executed is only named when no other was found.
    fn exec(&self) -> Errno {
        let mut answer = Errno::ENOENT;
        for candidate in &self.candidates {
            let candidate: &CStr = candidate;
            let Err(errno) = execve(candidate, &self.argv, &self.env);
            match errno {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => answer = errno,
                _ => return errno,
            }
        }
        answer
    }
}

fn failed(stage: Stage, errno: Errno) -> Failed {
    Failed {
        stage,
        errno: errno as i32,
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(program: &str, env: &[&str]) -> Vec<String> {
        let request = Request {
            argv: vec![program.into()],
            env: env.iter().map(|pair| (*pair).into()).collect(),
            ..Request::default()
        };
        let program = Program::of(&request).unwrap();
        program
            .candidates
            .into_iter()
            .map(|path| path.into_string().unwrap())
            .collect()
    }

    #[test]
    fn programs_are_looked_for_in_the_given_path_alone() {
        assert_eq!(candidates("sh", &["A=1", "PATH=/a::/b"]), ["/a/sh", "/b/sh"]);
        assert_eq!(candidates("./sh", &["PATH=/a"]), ["./sh"]);
        assert_eq!(candidates("sh", &[]), ["/usr/local/bin/sh", "/usr/bin/sh", "/bin/sh"]);
    }

    #[test]
    fn what_is_no_command_line_is_no_program() {
        for argv in [vec![], vec![b"".to_vec()], vec![b"a\0b".to_vec()]] {
            let request = Request {
                argv,
                ..Request::default()
            };
            assert!(Program::of(&request).is_none());
        }
    }
}
