//! `wheelhouse`: the one binary, and the only place that reads the environment, wires the crates together, and prints.
//!
//! Two of its commands are programs of their own that the engine starts: `keep` owns the processes of agents, and
//! `rehearse` is the stand-in for an agent. They are taken out first; everything else goes through [`command`].

mod app;
mod args;
mod command;
mod compat;
mod config;
mod faces;
mod follow;
mod host;
mod install;
mod notify;
mod orphans;
mod otel;
mod place;
mod plans;
mod pricelist;
mod probe;
mod proxy;
mod region;
mod roster;
mod routing;
mod second;
mod show;
mod solo;
mod state;
mod terminal;
mod tool_servers;
mod trees;
mod work;

use std::process::ExitCode;

use clap::Parser;
use wheelhouse_server::face::{document as json, exit, failure, feed, gather, moment, nearest};

use crate::app::App;
use crate::args::Cli;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    // These two are started by ourselves with exactly these words, in environments that are not ours to judge.
    let first = std::env::args_os().nth(1);
    match first.as_ref().and_then(|word| word.to_str()) {
        Some("keep") => return wheelhouse_agents::keep::main(),
        Some("rehearse") => return wheelhouse_agents::rehearsal::main(),
        _ => {}
    }
    let cli = Cli::parse();
    let outcome = App::new(&cli.global).and_then(|app| command::dispatch(&app, &cli.command));
    let exit = match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            let terminal = Terminal::new(&cli.global, &app::environment());
            terminal.failure(&failure);
            if cli.global.json && !failure.message.is_empty() {
                // stderr has it already; a stdout that fails as well leaves nothing to do.
                let _ = terminal.print_json(&json::failure(&failure));
            }
            failure.exit
        }
    };
    ExitCode::from(exit.code)
}
