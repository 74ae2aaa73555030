//! `doctor`: what this machine has and lacks for the work. It says yes only to what it has looked at, and names the
//! next command for each gap.

use std::path::Path;

use serde_json::json;
use wheelhouse_core::breaker::Subject;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::time::Millis;

use super::doctor_probe::{self, Probed};
use crate::app::App;
use crate::args;
use crate::config;
use crate::exit;
use crate::failure::Outcome;
use crate::gather;
use crate::host;
use crate::moment::now;
use crate::probe::{self, Answer};
use crate::roster::{self, BACKENDS};
use crate::show::doc::{Cell, Table, Tone};
use crate::show::status::Engine;
use crate::show::words;
use crate::state;

/// Less free space than this is worth a word.
const SPACE_LOW: u64 = 1 << 30;
/// Less free space than this stops work.
const SPACE_NONE: u64 = 64 << 20;
/// The oldest git whose worktrees are good enough.
const GIT_MIN: (u32, u32) = (2, 40);

/// How a thing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    /// Looked at, and fine.
    Good,
    /// Missing or poor; work is possible without it.
    Gap,
    /// Nothing can be done before this is mended.
    Broken,
}

/// One thing that was looked at.
struct Finding {
    area: &'static str,
    name: String,
    health: Health,
    found: String,
    next: Option<String>,
}

impl Finding {
    fn new(area: &'static str, name: &str, health: Health, found: impl Into<String>) -> Finding {
        Finding {
            area,
            name: name.to_owned(),
            health,
            found: found.into(),
            next: None,
        }
    }

    fn next(mut self, next: impl Into<String>) -> Finding {
        self.next = Some(next.into());
        self
    }
}

/// Looks.
pub(crate) fn doctor(app: &App, args: &args::Doctor) -> Outcome {
    let mut findings = vec![system(), processes(), shell(), git(app), configuration(app)];
    findings.extend(stored(app));
    findings.extend(left_alone(app));
    let probed = match &args.probe {
        Some(names) => doctor_probe::probe(app, names, args.yes)?,
        None => Vec::new(),
    };
    findings.extend(agents(app, &probed));
    findings.extend(tool_servers(app));
    findings.extend(probed.iter().map(probed_finding));
    let auto = auto(app);
    let broken = findings.iter().any(|finding| finding.health == Health::Broken);
    if app.terminal.json {
        let documents: Vec<_> = findings.iter().map(document).collect();
        let auto = auto.as_ref().map(AgentName::as_str);
        app.terminal
            .print_json(&json!({ "ready": !broken, "auto": auto, "findings": documents }))?;
    } else {
        print(app, &findings, auto)?;
    }
    Ok(if broken { exit::TASKS_FAILED } else { exit::OK })
}

fn document(finding: &Finding) -> serde_json::Value {
    let health = match finding.health {
        Health::Good => "good",
        Health::Gap => "gap",
        Health::Broken => "broken",
    };
    json!({
        "area": finding.area,
        "name": finding.name,
        "health": health,
        "found": finding.found,
        "next": finding.next,
    })
}

fn print(app: &App, findings: &[Finding], auto: Option<AgentName>) -> Result<(), crate::failure::Failure> {
    let surface = app.terminal.out;
    let mut text = String::new();
    let mut area = "";
    let mut table = Table::default();
    let flush = |area: &str, table: &Table, text: &mut String| {
        if table.rows.is_empty() {
            return;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}\n", surface.paint.strong(area)));
        for line in table.text_wrapped(surface.width, surface.paint) {
            text.push_str(&format!("{line}\n"));
        }
    };
    for finding in findings {
        if finding.area != area {
            flush(area, &table, &mut text);
            area = finding.area;
            table = Table::new(&["", "", ""]);
        }
        let mark = match finding.health {
            Health::Good => Cell::toned("✓", Tone::Good),
            Health::Gap => Cell::toned("–", Tone::Warm),
            Health::Broken => Cell::toned("✗", Tone::Bad),
        };
        table.row([mark, finding.name.as_str().into(), finding.found.as_str().into()]);
    }
    flush(area, &table, &mut text);
    if let Some(auto) = auto {
        text.push_str(&format!("\n`auto` is {auto} here.\n"));
    }
    let mut next = Table::new(&["", ""]);
    for finding in findings {
        if let Some(command) = &finding.next {
            next.row([finding.name.as_str().into(), command.as_str().into()]);
        }
    }
    flush("next", &next, &mut text);
    app.terminal.print(&text)
}

const MACHINE: &str = "machine";

fn system() -> Finding {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = format!(
        "{} {} on {}",
        std::env::consts::OS,
        kernel.trim(),
        std::env::consts::ARCH
    );
    if std::env::consts::OS == "linux" {
        Finding::new(MACHINE, "system", Health::Good, found)
    } else {
        Finding::new(MACHINE, "system", Health::Gap, found).next(
            "only Linux lets the keeper end processes that leave their group; elsewhere such a process can outlive its task",
        )
    }
}

/// What a turn showed.
fn probed_finding(probed: &Probed) -> Finding {
    let health = if probed.works { Health::Good } else { Health::Gap };
    let finding = Finding::new("one turn each", &probed.agent, health, probed.found.clone());
    match &probed.next {
        Some(next) => finding.next(next.clone()),
        None => finding,
    }
}

/// What the keeper of processes needs from the kernel. Asked by doing it: this process becomes the one that orphaned
/// descendants fall to, which changes nothing for a process without children.
fn processes() -> Finding {
    let adopts = probe::adopts_orphans();
    let sees = Path::new("/proc/self/stat").exists();
    match (adopts, sees) {
        (true, true) => Finding::new(
            MACHINE,
            "processes",
            Health::Good,
            "whole process trees can be ended (subreaper, /proc)",
        ),
        (adopts, sees) => {
            let missing = match (adopts, sees) {
                (false, true) => "the kernel offers no child subreaper",
                (true, false) => "/proc is not mounted",
                _ => "neither a child subreaper nor /proc",
            };
            Finding::new(MACHINE, "processes", Health::Gap, missing)
                .next("processes that leave their group may outlive their task; mount /proc or use a newer kernel")
        }
    }
}

fn shell() -> Finding {
    let shell = Path::new("/bin/sh");
    if shell.exists() {
        Finding::new(MACHINE, "shell", Health::Good, "/bin/sh")
    } else {
        Finding::new(MACHINE, "shell", Health::Broken, "there is no /bin/sh")
            .next("install a POSIX shell; `exec` tasks and checks run in it")
    }
}

fn git(app: &App) -> Finding {
    let advice = format!(
        "install git {}.{} or newer; plans about repositories need it",
        GIT_MIN.0, GIT_MIN.1
    );
    let Some(path) = app.program("git") else {
        return Finding::new(MACHINE, "git", Health::Gap, "not on PATH").next(advice);
    };
    let answers = probe::versions(app, &[path]);
    match answers.into_iter().next() {
        Some(Answer::Said(line)) => match git_version(&line) {
            Some(version) if version >= GIT_MIN => Finding::new(MACHINE, "git", Health::Good, line),
            Some(_) => Finding::new(MACHINE, "git", Health::Gap, format!("{line}, which is old")).next(advice),
            None => Finding::new(MACHINE, "git", Health::Gap, format!("said `{line}`")).next(advice),
        },
        Some(answer) => Finding::new(MACHINE, "git", Health::Gap, answer.words()).next(advice),
        None => Finding::new(MACHINE, "git", Health::Gap, "could not be asked").next(advice),
    }
}

fn git_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

const PROJECT: &str = "project";
/// The area of those that failed.
const BREAKERS: &str = "breakers";

fn configuration(app: &App) -> Finding {
    match app.settings(None) {
        Ok(_) => Finding::new(PROJECT, "settings", Health::Good, "read without problems"),
        Err(failure) => {
            let count = failure.message.lines().count().saturating_sub(1).max(1);
            Finding::new(
                PROJECT,
                "settings",
                Health::Broken,
                words::count(count as u64, "problem"),
            )
            .next("`wheelhouse config show` says which")
        }
    }
}

/// The state directory, without making one.
/// Whom nobody asks for a while because it failed too often.
fn left_alone(app: &App) -> Vec<Finding> {
    let now = now();
    let breakers = state::look(&app.place)
        .ok()
        .flatten()
        .and_then(|mut reader| gather::barred(reader.as_mut(), now).ok());
    let finding = |(subject, until): (Subject, Millis)| {
        let found = format!(
            "{} failed too often and is left alone {}",
            subject.provider,
            words::until(until, now)
        );
        Finding::new(BREAKERS, &subject.model, Health::Gap, found).next(format!(
            "its tasks go to the next of their chain or wait; then one of them tries it. `{}` is what it asks with",
            subject.credential
        ))
    };
    breakers.into_iter().flatten().map(finding).collect()
}

fn stored(app: &App) -> Vec<Finding> {
    let place = &app.place;
    let dir = &place.state_dir;
    let mut findings = Vec::new();
    if !dir.is_dir() {
        findings.push(
            Finding::new(
                PROJECT,
                "state",
                Health::Gap,
                format!("none yet in {}", place.project.display()),
            )
            .next("`wheelhouse init` prepares the project; `wheelhouse run PLAN` does it by itself"),
        );
        findings.push(space(&place.project));
        return findings;
    }
    findings.push(match probe::is_writable(dir) {
        Ok(()) => match probe::others_may_read(dir) {
            false => Finding::new(
                PROJECT,
                "state",
                Health::Good,
                format!("{}, for its owner alone", dir.display()),
            ),
            true => Finding::new(
                PROJECT,
                "state",
                Health::Gap,
                format!("others may read {}", dir.display()),
            )
            .next(format!("chmod 700 {}", dir.display())),
        },
        Err(error) => Finding::new(
            PROJECT,
            "state",
            Health::Broken,
            format!("cannot write to {}: {error}", dir.display()),
        )
        .next("give this user write access, or choose another `--state-dir`"),
    });
    findings.push(database(app));
    findings.push(space(dir));
    let engine = match host::engine(dir) {
        Engine::Running(pid) => format!(
            "running{}",
            pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
        ),
        Engine::Absent => "not running; `run` and `resume` bring their own".to_owned(),
    };
    findings.push(Finding::new(PROJECT, "engine", Health::Good, engine));
    findings
}

fn database(app: &App) -> Finding {
    let found = state::look(&app.place).and_then(|reader| match reader {
        Some(mut reader) => Ok(Some(reader.runs(u32::MAX)?.len())),
        None => Ok(None),
    });
    match found {
        Ok(Some(runs)) => Finding::new(
            PROJECT,
            "store",
            Health::Good,
            format!("opens; {}", words::count(runs as u64, "run")),
        ),
        Ok(None) => Finding::new(PROJECT, "store", Health::Good, "none yet; the first run makes it"),
        Err(failure) => Finding::new(PROJECT, "store", Health::Broken, failure.message).next("`wheelhouse fsck`"),
    }
}

fn space(dir: &Path) -> Finding {
    let Some(free) = probe::free_space(dir) else {
        return Finding::new(PROJECT, "disk", Health::Gap, "the free space could not be asked");
    };
    let found = format!("{} MiB free", words::thousands(free >> 20));
    match free {
        0..SPACE_NONE => {
            Finding::new(PROJECT, "disk", Health::Broken, found).next("make room; `wheelhouse gc` removes old runs")
        }
        SPACE_NONE..SPACE_LOW => {
            Finding::new(PROJECT, "disk", Health::Gap, found).next("`wheelhouse gc` removes old runs")
        }
        _ => Finding::new(PROJECT, "disk", Health::Good, found),
    }
}

const AGENTS: &str = "agents";

/// Which agents there are, by asking each program for its version. A login is never looked at, and never claimed.
fn agents(app: &App, probed: &[Probed]) -> Vec<Finding> {
    let with_program: Vec<_> = BACKENDS
        .iter()
        .filter_map(|backend| Some((backend, backend.program?)))
        .map(|(backend, program)| (backend, program, app.program(program)))
        .collect();
    let found: Vec<_> = with_program.iter().filter_map(|(_, _, path)| path.clone()).collect();
    let mut answers = probe::versions(app, &found).into_iter();
    let mut findings = Vec::new();
    for (backend, program, path) in with_program {
        let Some(path) = path else {
            let finding = Finding::new(AGENTS, backend.name, Health::Gap, format!("no `{program}` on PATH"));
            findings.push(finding.next(format!("install `{program}` and log in")));
            continue;
        };
        let said = answers
            .next()
            .map_or_else(|| "not asked".to_owned(), |answer| answer.words());
        let at = path.display();
        let login = if probed.iter().any(|probed| probed.agent == backend.name) {
            "its turn is below"
        } else {
            "its login was not looked at: `wheelhouse doctor --probe`"
        };
        let found = format!("{said} ({at}); {login}");
        findings.push(match backend.untested(&said) {
            None => Finding::new(AGENTS, backend.name, Health::Good, found),
            Some(why) => Finding::new(AGENTS, backend.name, Health::Gap, format!("{found}; {why}"))
                .next("it may work; a run says so too, and what it does not know it keeps and counts"),
        });
    }
    for backend in BACKENDS.iter().filter(|backend| backend.program.is_none()) {
        let about = match backend.name {
            roster::REHEARSAL => "built in; makes things up at no cost, and says so",
            roster::EXEC => "built in; runs commands",
            config::API => {
                "built in; asks any model behind an API: `[agents.NAME]` with `backend = \"api\"`, `api` and `model`"
            }
            _ => "built in; drives any agent that speaks ACP: `[agents.NAME]` with `command = \"…\"`",
        };
        findings.push(Finding::new(AGENTS, backend.name, Health::Good, about));
    }
    findings.extend(models(app));
    findings
}

/// The configured models behind APIs: whether there is a key, never what it is or whether it works.
fn models(app: &App) -> Vec<Finding> {
    // What is wrong with the settings was said already.
    let Ok(settings) = app.settings(None) else {
        return Vec::new();
    };
    let agents = settings.agents.iter().filter(|(_, agent)| agent.backend == config::API);
    agents
        .map(
            |(name, agent)| match roster::keyed(&app.place.project, &app.env, agent) {
                Ok(found) => Finding::new(AGENTS, name, Health::Good, found),
                Err(lack) => Finding::new(AGENTS, name, Health::Gap, lack.found).next(lack.next),
            },
        )
        .collect()
}

const TOOL_SERVERS: &str = "mcp servers";

/// Whether other MCP servers could be started or asked. None is: that is for whoever uses one.
fn tool_servers(app: &App) -> Vec<Finding> {
    let Ok(settings) = app.settings(None) else {
        return Vec::new();
    };
    let servers = settings.tool_servers.servers.iter();
    servers.map(|(name, server)| tool_server(app, name, server)).collect()
}

fn tool_server(app: &App, name: &str, server: &config::ToolServer) -> Finding {
    let gap = |found: String, next: &str| Finding::new(TOOL_SERVERS, name, Health::Gap, found).next(next);
    if server.off {
        return Finding::new(TOOL_SERVERS, name, Health::Good, "switched off");
    }
    let named = server.env_pass.iter().flatten().chain(&server.key_env);
    let unset: Vec<&str> = named
        .filter(|name| !app.env.contains_key(*name))
        .map(String::as_str)
        .collect();
    if !unset.is_empty() {
        let found = format!("not in the environment here: {}", unset.join(", "));
        return gap(found, "`export NAME=…` where the engine is started");
    }
    match (&server.command, &server.url) {
        (Some(command), _) => match app.program(command) {
            Some(path) => {
                let found = format!("{}; not started: `wheelhouse tools --server {name}`", path.display());
                Finding::new(TOOL_SERVERS, name, Health::Good, found)
            }
            None => gap(format!("no `{command}` on PATH"), "install it, or name its path"),
        },
        (None, Some(url)) => {
            let found = format!("{url}; not asked: `wheelhouse tools --server {name}`");
            Finding::new(TOOL_SERVERS, name, Health::Good, found)
        }
        (None, None) => gap("neither a command nor a url".to_owned(), "add one of them"),
    }
}

fn auto(app: &App) -> Option<AgentName> {
    let settings = app.settings(None).ok()?;
    Some(match settings.default_agent.as_str() {
        roster::AUTO => app.default_agent(&settings),
        _ => roster::auto(|program| app.program(program).is_some()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_says_its_version_in_several_ways() {
        assert_eq!(git_version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(git_version("git version 2.50.1 (Apple Git-155)"), Some((2, 50)));
        assert_eq!(git_version("something else"), None);
    }
}
