//! For tests alone, never shipped: the sub-commands that the keeper and the stand-in need of a binary, and two that
//! play an engine: `own`, to be killed from outside, and `sweep`.
//!
//! `own GRACE_MS PROGRAM ARGUMENTS…` keeps one program, prints the numbers of keeper, warden and agent in one line,
//! and waits to be killed. `sweep STORE GRACE_MS` sweeps and prints how many it found and how many are left.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wheelhouse_agents::keep::{self, Command, Keeper, STORE_VARIABLE, Stdin};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("keep") => return keep::main(),
        Some("rehearse") => return wheelhouse_agents::rehearsal::main(),
        Some("own") => own(&arguments.collect::<Vec<_>>()),
        Some("sweep") => sweep(&arguments.collect::<Vec<_>>()),
        other => Err(format!("there is no sub-command {other:?}").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn own(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [grace_ms, argv @ ..] = arguments else {
        return Err("own GRACE_MS PROGRAM ARGUMENTS…".into());
    };
    let inherited = ["PATH", STORE_VARIABLE];
    let env: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| inherited.contains(&name.as_str()))
        .collect();
    let command = Command {
        argv: argv.iter().map(OsString::from).collect(),
        env,
        cwd: std::env::current_dir()?,
        stdin: Stdin::Null,
        grace: Duration::from_millis(grace_ms.parse()?),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let keeper = Keeper::start(PathBuf::from("/proc/self/exe"))?;
        let mut kept = keeper.spawn(command).await?;
        let parent = std::fs::read_to_string(format!("/proc/{}/stat", kept.warden.pid))?;
        let parent = parent.split(' ').nth(3).unwrap_or_default();
        println!("{parent} {} {}", kept.warden.pid, kept.agent.pid);
        while !matches!(
            kept.control.next().await,
            keep::Report::Gone { .. } | keep::Report::Lost
        ) {}
        std::future::pending().await
    })
}

fn sweep(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [store, grace_ms] = arguments else {
        return Err("sweep STORE GRACE_MS".into());
    };
    let swept = keep::sweep(store, Duration::from_millis(grace_ms.parse()?));
    println!("{} {}", swept.found, swept.left);
    Ok(())
}
