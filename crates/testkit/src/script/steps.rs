//! The steps of the scripted agent. Single-threaded; a child is the same program with other steps.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// Why a script stopped before its end.
enum Stop {
    /// It was told to.
    Exit(u8),
    /// It makes no sense.
    Wrong(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Wrong(error.to_string())
    }
}

/// Runs the steps given as arguments.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut steps = arguments.iter().map(String::as_str);
    loop {
        let Some(step) = steps.next() else {
            return ExitCode::SUCCESS;
        };
        match run(step, &mut steps) {
            Ok(()) => {}
            Err(Stop::Exit(code)) => return ExitCode::from(code),
            Err(Stop::Wrong(words)) => {
                eprintln!("scripted-agent: {step}: {words}");
                return ExitCode::from(64);
            }
        }
    }
}

fn run<'a>(step: &str, rest: &mut impl Iterator<Item = &'a str>) -> Result<(), Stop> {
    match step {
        "say" => writeln!(io::stdout(), "{}", word(rest)?)?,
        "complain" => writeln!(io::stderr(), "{}", word(rest)?)?,
        "flood" => flood(&mut io::stdout().lock(), number(rest)?)?,
        "flood-errors" => flood(&mut io::stderr().lock(), number(rest)?)?,
        "garbage" => garbage(number(rest)?)?,
        "echo" => io::stdout().write_all(&input()?)?,
        "digest" => {
            let input = input()?;
            println!("{} {:016x}", input.len(), fnv(&input));
        }
        "env" => env()?,
        "mark" => mark(Path::new(word(rest)?))?,
        "await" => {
            let file = Path::new(word(rest)?);
            while !file.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        "ignore-term" => ignore_term()?,
        "background" => {
            itself(["mark", word(rest)?, "hang"]).spawn()?;
        }
        "daemon" => daemon(&["fork-away", "ignore-term", "mark", word(rest)?, "hang"])?,
        "hidden-daemon" => daemon(&["fork-away", "ignore-term", "hide", "mark", word(rest)?, "hang"])?,
        // The two steps of a daemon between its forks; the first takes the rest for the second.
        "fork-away" => {
            let steps: Vec<&str> = rest.collect();
            let mut command = quiet(itself(steps.iter().copied()));
            if steps.contains(&"hide") {
                command.env_clear();
            }
            command.spawn()?;
            return Err(Stop::Exit(0));
        }
        "hide" => {
            nix::unistd::setsid().map_err(io::Error::from)?;
        }
        "fork-bomb" => {
            let count = number(rest)?;
            fork_bomb(count, word(rest)?)?;
        }
        "sleep" => std::thread::sleep(Duration::from_millis(number(rest)?)),
        "hang" => hang(),
        "signal" => {
            let number = i32::try_from(number(rest)?).map_err(|error| Stop::Wrong(error.to_string()))?;
            let signal = Signal::try_from(number).map_err(io::Error::from)?;
            // Twice: the first SIGSEGV or SIGBUS only takes away the handler that Rust puts there.
            for _ in 0..2 {
                nix::sys::signal::raise(signal).map_err(io::Error::from)?;
            }
        }
        "exit" => return Err(Stop::Exit(u8::try_from(number(rest)?).unwrap_or(u8::MAX))),
        _ => return Err(Stop::Wrong("is no step".to_owned())),
    }
    Ok(())
}

fn word<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Result<&'a str, Stop> {
    rest.next().ok_or_else(|| Stop::Wrong("needs another word".to_owned()))
}

fn number<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Result<u64, Stop> {
    let word = word(rest)?;
    word.parse().map_err(|_| Stop::Wrong(format!("`{word}` is no number")))
}

fn hang() {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn input() -> io::Result<Vec<u8>> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    Ok(input)
}

/// Lines of 64 bytes; the last one may be cut.
fn flood(to: &mut impl Write, bytes: u64) -> io::Result<()> {
    let block = "What is said three times a second, all day, is still not news. \n".repeat(1024);
    let mut left = bytes;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        to.write_all(&block.as_bytes()[..count])?;
        left -= count as u64;
    }
    to.flush()
}

/// The same bytes every time, no UTF-8, with zero bytes and escapes among them.
fn garbage(bytes: u64) -> io::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = io::stdout().lock();
    for _ in 0..bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes()[3..4])?;
    }
    out.flush()
}

/// FNV-1a, for comparing what arrived.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn env() -> io::Result<()> {
    let mut pairs: Vec<_> = std::env::vars_os().collect();
    pairs.sort();
    for (name, value) in pairs {
        writeln!(io::stdout(), "{}={}", name.display(), value.display())?;
    }
    Ok(())
}

/// Complete at once for whoever waits for the file.
fn mark(file: &Path) -> io::Result<()> {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, std::process::id().to_string())?;
    std::fs::rename(draft, file)
}

/// Blocked is as good as ignored.
fn ignore_term() -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    Ok(signals.thread_block()?)
}

fn itself<'a>(steps: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("scripted-agent");
    // The standard library unblocks every signal in a child, so what is to be inherited is said again.
    if SigSet::thread_get_mask().is_ok_and(|mask| mask.contains(Signal::SIGTERM)) {
        command.arg("ignore-term");
    }
    command.args(steps);
    command
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Forks twice: the process in the middle ends at once, and the other one has no parent of ours any more.
fn daemon(steps: &[&str]) -> io::Result<()> {
    let mut middle = quiet(itself(steps.iter().copied())).spawn()?;
    middle.wait()?;
    Ok(())
}

/// A tree of `count` processes below this one, each with two children; all of them hang.
fn fork_bomb(count: u64, directory: &str) -> Result<(), Stop> {
    for share in [count / 2, count - count / 2] {
        if share == 0 {
            continue;
        }
        let below = (share - 1).to_string();
        itself(["fork-bomb", &below, directory, "hang"]).spawn()?;
    }
    mark(&Path::new(directory).join(std::process::id().to_string()))?;
    Ok(())
}
