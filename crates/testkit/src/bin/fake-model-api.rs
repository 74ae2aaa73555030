//! The fake model API as a program, for a contributor's own hands: `fake-model-api --port 8787 --script FILE`.
//!
//! It prints its address on stdout, one line per finished attempt on stderr, and runs until it is ended.

use std::collections::HashSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use wheelhouse_testkit::model_api::{Attempt, Checks, ModelApi, Script};

const USAGE: &str = "\
usage: fake-model-api [--port N] [--script FILE] [--strict] [--quiet]

  --port N       listen on this port of 127.0.0.1 (default: a free one)
  --script FILE  YAML or JSON; without it prompts and model names alone say what happens
  --strict       answer 400 to requests that break the protocol
  --quiet        print nothing but the address

Paths of its own: GET /_/timeline, GET /_/violations, POST /_/reset, POST /_/script, POST /_/release/GATE
";

struct Options {
    port: u16,
    script: Script,
    quiet: bool,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("fake-model-api: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let api = match ModelApi::start_on(options.port, options.script) {
        Ok(api) => api,
        Err(error) => {
            eprintln!("fake-model-api: cannot listen on 127.0.0.1:{}: {error}", options.port);
            return ExitCode::FAILURE;
        }
    };
    println!("{}", api.base_url());
    if std::io::stdout().flush().is_err() {
        return ExitCode::FAILURE;
    }
    report(&api, options.quiet)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        port: 0,
        script: Script::new(),
        quiet: false,
    };
    let mut strict = false;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--port" => {
                let text = value()?;
                options.port = text.parse().map_err(|_| format!("`{text}` is no port"))?;
            }
            "--script" => {
                let path = value()?;
                let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
                options.script = Script::parse(&text).map_err(|error| format!("{path}: {error}"))?;
            }
            "--strict" => strict = true,
            "--quiet" => options.quiet = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    if strict {
        options.script.checks = Checks::Strict;
    }
    Ok(Some(options))
}

/// Prints attempts as they finish. Ends only with the process.
fn report(api: &ModelApi, quiet: bool) -> ExitCode {
    const CHECK: Duration = Duration::from_secs(3600);
    // Numbers begin anew after a reset; number and moments together do not repeat.
    let key = |attempt: &Attempt| (attempt.number, attempt.at_ms, attempt.ended_ms);
    let mut printed = HashSet::new();
    loop {
        let fresh = |attempt: &&Attempt| attempt.finished.is_some() && !printed.contains(&key(attempt));
        // Without news in that time it just waits again.
        let Ok(attempts) = api.wait_until(CHECK, |attempts| !quiet && attempts.iter().any(|one| fresh(&one))) else {
            continue;
        };
        for attempt in attempts.iter().filter(fresh) {
            eprintln!("{}", line(attempt));
        }
        printed = attempts
            .iter()
            .filter(|attempt| attempt.finished.is_some())
            .map(key)
            .collect();
    }
}

fn line(attempt: &Attempt) -> String {
    let status = attempt
        .status
        .map_or_else(|| "-".to_owned(), |status| status.to_string());
    let fault = attempt.fault.as_deref().unwrap_or("-");
    let finished = attempt
        .finished
        .map_or_else(String::new, |finished| format!("{finished:?}"));
    let codes: Vec<&str> = attempt.violations.iter().map(|found| found.code.as_str()).collect();
    let violations = if codes.is_empty() {
        String::new()
    } else {
        format!(" violations: {}", codes.join(" "))
    };
    format!(
        "{:>8} ms #{} {} {} try {} fault {fault} status {status} {finished} said {:?}{violations}",
        attempt.at_ms, attempt.number, attempt.request, attempt.model, attempt.try_number, attempt.said
    )
}
