//! The engine's side: starting the keeper process, asking it for agents, and starting it anew when it died.
//!
//! Requests leave through one thread with a blocking socket: a request must never be cut off in the middle, whatever
//! becomes of the future that asked for it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, sendmsg};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use wheelhouse_core::store::ProcessMark;

use super::control::{Control, QUIETLY, process_mark};
use super::wire::{Failed, Record, Request, Stage};
use super::{OPEN_FILES_MAX, START_DEADLINE};

/// How often a request is handed in again when the keeper died before a warden took it.
const HAND_IN_MAX: usize = 3;

/// The engine's hold on its keeper process. Dropping it lets the keeper end; agents that are still owned by a
/// [`Control`] go on until that is dropped too.
#[derive(Debug)]
pub struct Keeper {
    jobs: Mutex<mpsc::Sender<Job>>,
    /// The soft limit of open files before [`Keeper::start`] raised it, for agents.
    open_files: u64,
}

/// A program to be kept.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program (looked for in the `PATH` of `env`) and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it works.
    pub cwd: PathBuf,
    /// What it reads.
    pub stdin: Stdin,
    /// Between TERM and KILL.
    pub grace: Duration,
}

/// What a kept program reads.
#[derive(Clone, Debug)]
pub enum Stdin {
    /// Nothing: `/dev/null`.
    Null,
    /// These bytes, then the end. They wait in a file of memory, so nobody has to feed a pipe.
    Bytes(Vec<u8>),
    /// What this file holds. The program reads it itself: nothing of it passes through us.
    File(PathBuf),
    /// Whatever is written to [`Kept::stdin`].
    Piped,
}

/// A program that runs.
#[derive(Debug)]
pub struct Kept {
    /// For [`Stdin::Piped`].
    pub stdin: Option<pipe::Sender>,
    /// What it says.
    pub stdout: pipe::Receiver,
    /// What it complains about.
    pub stderr: pipe::Receiver,
    /// Orders and reports.
    pub control: Control,
    /// Its warden: while that lives, something of the tree may live.
    pub warden: ProcessMark,
    /// Its main process.
    pub agent: ProcessMark,
}

/// Why a program was not started. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// There is no such program, or the interpreter that its first line names is missing.
    #[error("`{program}` was not found, or the interpreter it names was not")]
    Missing {
        /// The program.
        program: String,
    },
    /// It is there and is not a program, or not one for us.
    #[error("`{program}` may not be executed")]
    NotExecutable {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot work there.
    #[error("the working directory `{}` cannot be entered", cwd.display())]
    Directory {
        /// The directory.
        cwd: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its arguments and environment are longer than the system takes.
    #[error(
        "the command line of `{program}` is {bytes} bytes, more than the system takes (131,071 bytes for one argument, about 2 MiB for all)"
    )]
    TooLong {
        /// The program.
        program: String,
        /// The length of arguments and environment.
        bytes: usize,
    },
    /// The command names no program, or holds a zero byte.
    #[error("a command line needs a program, and neither it nor its environment may hold a zero byte")]
    NotACommandLine,
    /// The system refused it; mostly a limit on processes, files or memory.
    #[error("the system did not start `{program}`")]
    System {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The keeper could not be started or did not answer in time.
    #[error("the keeper does not answer")]
    Keeper(#[source] io::Error),
    /// The warden was killed before the program ran.
    #[error("the process that was to keep the program was killed")]
    Lost,
}

impl Keeper {
    /// Starts the keeper process: `exe keep`, where `exe` answers that with [`super::main`]. On Linux,
    /// `/proc/self/exe` stays right when the binary is replaced meanwhile.
    ///
    /// Raises this process's soft limit of open files (see [`OPEN_FILES_MAX`]).
    pub fn start(exe: PathBuf) -> io::Result<Keeper> {
        let open_files = raise_open_files();
        let mut line = Line {
            exe,
            keeper: None,
            retired: Vec::new(),
        };
        line.connect()?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("keeper-line".to_owned())
            .stack_size(128 << 10)
            .spawn(move || line.serve(queue))?;
        Ok(Keeper {
            jobs: Mutex::new(jobs),
            open_files,
        })
    }

    /// Starts a program under a warden of its own. Called within a tokio runtime.
    ///
    /// When the future is dropped before the program runs, the program is not started or killed at once.
    pub async fn spawn(&self, command: Command) -> Result<Kept, NotStarted> {
        let request = self.request(&command)?;
        let size = request.argv.iter().chain(&request.env).map(Vec::len).sum();
        let frame = request.encode().ok_or_else(|| NotStarted::TooLong {
            program: command.program(),
            bytes: size,
        })?;
        for _ in 0..HAND_IN_MAX {
            if let Some(kept) = self.hand_in(&command, &frame, size).await? {
                return Ok(kept);
            }
        }
        Err(NotStarted::Keeper(io::Error::from(io::ErrorKind::BrokenPipe)))
    }

    fn request(&self, command: &Command) -> Result<Request, NotStarted> {
        let pair = |(name, value): (&String, &String)| format!("{name}={value}").into_bytes();
        let request = Request {
            grace_ms: u64::try_from(command.grace.as_millis()).unwrap_or(u64::MAX),
            open_files: self.open_files,
            cwd: command.cwd.as_os_str().as_bytes().to_vec(),
            argv: command.argv.iter().map(|text| text.as_bytes().to_vec()).collect(),
            env: command.env.iter().map(pair).collect(),
        };
        let texts = request.argv.iter().chain(&request.env).chain([&request.cwd]);
        let no_program = request.argv.first().is_none_or(Vec::is_empty);
        if no_program || texts.into_iter().any(|text| text.contains(&0)) {
            return Err(NotStarted::NotACommandLine);
        }
        Ok(request)
    }

    /// Hands a request in once. None: the keeper died before a warden took it, and nothing was started.
    async fn hand_in(&self, command: &Command, frame: &[u8], size: usize) -> Result<Option<Kept>, NotStarted> {
        let system = |source| NotStarted::System {
            program: command.program(),
            source,
        };
        let (ours, theirs) = Ends::make(&command.stdin).map_err(system)?;
        let (answer, sent) = oneshot::channel();
        let job = Job {
            frame: frame.to_vec(),
            descriptors: theirs,
            answer,
        };
        let queued = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
        let gone = || NotStarted::Keeper(io::Error::from(io::ErrorKind::BrokenPipe));
        queued.map_err(|_| gone())?;
        let late = |_| NotStarted::Keeper(io::Error::from(io::ErrorKind::TimedOut));
        tokio::time::timeout(START_DEADLINE, async {
            sent.await.map_err(|_| gone())?.map_err(NotStarted::Keeper)?;
            ours.started(command, size).await
        })
        .await
        .map_err(late)?
    }
}

impl Command {
    fn program(&self) -> String {
        self.argv
            .first()
            .map_or(OsStr::new(""), OsString::as_os_str)
            .to_string_lossy()
            .into_owned()
    }

    /// What a failed step means for the caller.
    fn not_started(&self, failure: Failed, size: usize) -> NotStarted {
        let source = io::Error::from_raw_os_error(failure.errno);
        let program = self.program();
        match (failure.stage, Errno::from_raw(failure.errno)) {
            (Stage::Directory, _) => NotStarted::Directory {
                cwd: self.cwd.clone(),
                source,
            },
            (Stage::Exec, Errno::ENOENT | Errno::ENOTDIR) => NotStarted::Missing { program },
            (Stage::Exec, Errno::EACCES | Errno::EPERM | Errno::ENOEXEC) => {
                NotStarted::NotExecutable { program, source }
            }
            (Stage::Exec, Errno::E2BIG) => NotStarted::TooLong { program, bytes: size },
            (Stage::Exec | Stage::Fork | Stage::Prepare, _) => NotStarted::System { program, source },
        }
    }
}

/// Our ends of what connects us to an agent.
struct Ends {
    stdin: Option<pipe::Sender>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    control: Control,
}

impl Ends {
    /// Ours and theirs; theirs in the order that a warden expects.
    fn make(stdin: &Stdin) -> io::Result<(Ends, Vec<OwnedFd>)> {
        let (stdin, their_stdin) = match stdin {
            Stdin::Null => (None, File::open("/dev/null")?.into()),
            Stdin::Bytes(bytes) => (None, file_of_memory(bytes)?),
            Stdin::File(path) => (None, File::open(path)?.into()),
            Stdin::Piped => {
                let (reader, writer) = io::pipe()?;
                (Some(pipe::Sender::from_owned_fd(writer.into())?), reader.into())
            }
        };
        let (stdout, their_stdout) = io::pipe()?;
        let (stderr, their_stderr) = io::pipe()?;
        let (control, their_control) = UnixStream::pair()?;
        let ours = Ends {
            stdin,
            stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
            stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
            control: Control::new(control)?,
        };
        let theirs = vec![
            their_stdin,
            their_stdout.into(),
            their_stderr.into(),
            their_control.into(),
        ];
        Ok((ours, theirs))
    }

    /// Waits until the program runs. None: nobody took the request.
    async fn started(mut self, command: &Command, size: usize) -> Result<Option<Kept>, NotStarted> {
        let warden = match self.control.record().await {
            Some(Record::Kept { pid, start_ticks }) => process_mark(pid, start_ticks),
            Some(Record::NotStarted(failure)) => return Err(command.not_started(failure, size)),
            Some(_) => return Err(NotStarted::Lost),
            None => return Ok(None),
        };
        match self.control.record().await {
            Some(Record::Started { pid, start_ticks }) => Ok(Some(Kept {
                stdin: self.stdin,
                stdout: self.stdout,
                stderr: self.stderr,
                control: self.control,
                warden,
                agent: process_mark(pid, start_ticks),
            })),
            Some(Record::NotStarted(failure)) => Err(command.not_started(failure, size)),
            Some(_) | None => Err(NotStarted::Lost),
        }
    }
}

/// An open file that holds these bytes, is nowhere on a disk's tree, and goes when its last reader goes.
fn file_of_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let mut file = {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        File::from(memfd_create(c"wheelhouse-stdin", MFdFlags::MFD_CLOEXEC)?)
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let mut file = {
        let (descriptor, path) = nix::unistd::mkstemp(&std::env::temp_dir().join("wheelhouse-XXXXXX"))?;
        std::fs::remove_file(path)?;
        File::from(descriptor)
    };
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Raises the soft limit of open files and returns what it was; zero when that is unknown.
fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let wanted = hard.min(OPEN_FILES_MAX);
    if soft < wanted {
        // Refused only to those who may not; then the limit stays and many agents meet it as a typed error.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
    }
    soft
}

/// A request on its way.
#[derive(Debug)]
struct Job {
    frame: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    answer: oneshot::Sender<io::Result<()>>,
}

/// The connection to the keeper process; lives in a thread of its own.
struct Line {
    exe: PathBuf,
    keeper: Option<(Child, UnixStream)>,
    /// Keepers that closed their line and may still look after their last wardens.
    retired: Vec<Child>,
}

impl Line {
    /// Until the [`Keeper`] is dropped; then sees the keeper process to its end.
    fn serve(mut self, queue: mpsc::Receiver<Job>) {
        for job in queue {
            // Whoever asked may have gone: then there is nothing to start.
            if !job.answer.is_closed() {
                let sent = self.send(&job);
                // Our copies must be closed before the answer, or the asker could not see the other end close.
                drop(job.descriptors);
                let _ = job.answer.send(sent);
            }
        }
        if let Some((mut child, stream)) = self.keeper.take() {
            drop(stream);
            let _ = child.wait();
        }
    }

    fn send(&mut self, job: &Job) -> io::Result<()> {
        let dead = match &mut self.keeper {
            Some((child, _)) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        };
        if dead {
            self.connect()?;
        }
        match self.write(job) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.connect()?;
                self.write(job)
            }
            written => written,
        }
    }

    fn write(&self, job: &Job) -> io::Result<()> {
        let Some((_, stream)) = &self.keeper else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let numbers: Vec<_> = job.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let mut beside = vec![ControlMessage::ScmRights(&numbers)];
        let mut rest = job.frame.as_slice();
        while !rest.is_empty() {
            match sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(rest)], &beside, QUIETLY, None) {
                Ok(count) => {
                    rest = &rest[count..];
                    // The descriptors went with the first bytes.
                    beside.clear();
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Starts a keeper process and forgets the one before; its wardens go on.
    fn connect(&mut self) -> io::Result<()> {
        self.retired.extend(self.keeper.take().map(|(child, _)| child));
        self.retired.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let (ours, theirs) = UnixStream::pair()?;
        let child = std::process::Command::new(&self.exe)
            .arg0("wheelhouse")
            .arg("keep")
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()?;
        self.keeper = Some((child, ours));
        Ok(())
    }
}
