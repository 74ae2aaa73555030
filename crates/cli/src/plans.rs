//! Reads plan files with the names and defaults of the configuration, and prints what is wrong with them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use wheelhouse_core::ids::AgentName;
use wheelhouse_core::money::show_usd;
use wheelhouse_core::plan::{self, Advice, Checked, Context, Defaults, PLAN_BYTES_MAX, Problems, Source};
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::workflow;

use crate::app::App;
use crate::config::Settings;
use crate::exit;
use crate::failure::Failure;
use crate::roster::{self, BACKENDS};
use crate::routing;
use crate::show::words;

/// The name that stands for stdin.
const STDIN: &str = "-";

pub(crate) use wheelhouse_server::ports::Cast;

/// A plan's text and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// For messages.
    pub(crate) name: String,
    /// The words.
    pub(crate) text: String,
    /// What prompt files are relative to.
    pub(crate) dir: PathBuf,
}

/// Reads `path`; `-` is stdin.
pub(crate) fn load(app: &App, path: &Path) -> Result<Text, Failure> {
    if path == Path::new(STDIN) {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(PLAN_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::new(exit::IO, format!("cannot read the plan from stdin: {error}")))?;
        return Ok(Text {
            name: "stdin".to_owned(),
            text: text_of("stdin", bytes)?,
            dir: app.here.clone(),
        });
    }
    let file = app.here.join(path);
    let name = path.display().to_string();
    let bytes = std::fs::read(&file).map_err(|error| {
        let failure = Failure::io("read the plan", path, &error);
        if error.kind() == std::io::ErrorKind::NotFound {
            similar(failure, &file)
        } else {
            failure
        }
    })?;
    let dir = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    Ok(Text {
        text: text_of(&name, bytes)?,
        name,
        dir,
    })
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::usage(format!("{name}:{line}: the plan is not UTF-8 text")).hint("save it as UTF-8")
    })
}

/// The plans beside a file that is not there.
fn similar(failure: Failure, file: &Path) -> Failure {
    let Some(dir) = file.parent() else { return failure };
    let Ok(entries) = std::fs::read_dir(dir) else {
        return failure;
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let asked = file.file_name().unwrap_or_default().to_string_lossy();
    match crate::nearest::name(&asked, &names) {
        Some(near) => failure.hint(format!("did you mean {}?", dir.join(near).display())),
        None => failure,
    }
}

/// Checks a plan to run it. Warnings are part of what comes back.
pub(crate) fn check(
    app: &App,
    settings: &Settings,
    text: &Text,
    vars: &[String],
    cast: Cast,
) -> Result<Checked, CheckFailure> {
    examine(app, settings, text, vars, cast, Advice::Kept)
}

/// Checks a plan; with advice for whoever wants to know how good it is.
pub(crate) fn examine(
    app: &App,
    settings: &Settings,
    text: &Text,
    vars: &[String],
    cast: Cast,
    advice: Advice,
) -> Result<Checked, CheckFailure> {
    let vars = variables(vars).map_err(CheckFailure::Other)?;
    let source = Source {
        name: &text.name,
        text: &text.text,
        format: None,
    };
    let mut checked = with_context(app, settings, &text.dir, &vars, cast, |context| {
        let context = Context { advice, ..*context };
        plan::read(&source, &context)
    })
    .map_err(CheckFailure::Other)?
    .map_err(CheckFailure::Problems)?;
    if cast == Cast::Rehearsal {
        checked.tasks.iter_mut().for_each(rehearse);
        for share in checked.crews.iter_mut().flat_map(|crew| &mut crew.shares) {
            share.hand.agent = AgentName(roster::REHEARSAL.to_owned());
            share.try_nano = Some(0);
        }
    }
    Ok(checked)
}

/// Why a plan cannot be had.
#[derive(Debug)]
pub(crate) enum CheckFailure {
    /// It has problems.
    Problems(Problems),
    /// It never came to that.
    Other(Failure),
}

/// Calls `read` with everything plans are read against.
pub(crate) fn with_context<T>(
    app: &App,
    settings: &Settings,
    dir: &Path,
    vars: &BTreeMap<String, String>,
    cast: Cast,
    read: impl FnOnce(&Context<'_>) -> T,
) -> Result<T, Failure> {
    let mut agents = roster::agent_names(settings);
    if cast == Cast::Rehearsal {
        let known = BACKENDS.iter().map(|backend| AgentName(backend.name.to_owned()));
        agents.extend(known.filter(|name| !agents.contains(name)).collect::<Vec<_>>());
    }
    let (default_agent, router) = match cast {
        Cast::AsWritten => (
            AgentName(settings.default_agent.clone()),
            Some(routing::shared(app, settings)?),
        ),
        Cast::Rehearsal => (AgentName(roster::REHEARSAL.to_owned()), None),
    };
    let read_file = |path: &str| {
        let file = dir.join(path);
        std::fs::read_to_string(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no file {}", file.display()),
            _ => format!("{} cannot be read: {error}", file.display()),
        })
    };
    let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Ok(read(&Context {
        agents: &agents,
        default_agent: &default_agent,
        router: router.as_ref(),
        vars,
        read_file: &read_file,
        defaults: Defaults {
            timeout_ms: ms(settings.timeout),
            idle_timeout_ms: ms(settings.idle_timeout),
            retry_max: settings.retry,
        },
        advice: Advice::Kept,
    }))
}

pub(crate) fn rehearse(task: &mut TaskSpec) {
    match task.work {
        Work::Exec(_) | Work::Turn(_) => {}
        Work::Prompt(_) => {
            task.agent = AgentName(roster::REHEARSAL.to_owned());
            task.model = None;
        }
    }
    task.fallback.clear();
    if let Some(workflow) = task.flow.workflow.as_deref_mut() {
        task.agent = AgentName(workflow::AGENT.to_owned());
        for hand in workflow.hands_mut() {
            hand.agent = AgentName(roster::REHEARSAL.to_owned());
            hand.model = None;
        }
    }
}

/// Reads `KEY=VALUE`s.
fn variables(vars: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    vars.iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Failure::usage(format!(
                "`--var {text}` is not KEY=VALUE; write for example `--var area=src/auth`"
            ))),
        })
        .collect()
}

/// Who takes part in the workflows of a plan, and what that is expected to take: said before it starts.
pub(crate) fn crews(checked: &Checked) -> Vec<String> {
    let part = |share: &wheelhouse_core::workflow::crew::Share| format!("{} {}", share.part, share.hand.agent);
    checked
        .crews
        .iter()
        .map(|crew| {
            let parts: Vec<String> = crew.shares.iter().map(part).collect();
            let tries = match crew.tries() {
                (min, Some(max)) if min == max => words::tries(u64::from(min)),
                (min, Some(max)) => format!("{min} to {}", words::tries(u64::from(max))),
                (_, None) => "tries as its inputs come".to_owned(),
            };
            let cost = match crew.cost_nano() {
                Some((0, 0)) => "no charge".to_owned(),
                Some((least, most)) if least == most => format!("about {}", show_usd(least)),
                Some((least, most)) => format!("about {} to {}", show_usd(least), show_usd(most)),
                None => "cost not known before".to_owned(),
            };
            format!(
                "{}: {} by {}; {tries}, {cost}",
                crew.task,
                crew.workflow,
                parts.join(", ")
            )
        })
        .collect()
}

/// The plan to work with: warnings are said, problems are a failure.
pub(crate) fn accept(app: &App, name: &str, checked: Result<Checked, CheckFailure>) -> Result<Checked, Failure> {
    match checked {
        Ok(checked) => {
            for warning in &checked.warnings {
                app.terminal.say(&warning.to_string());
            }
            Ok(checked)
        }
        Err(CheckFailure::Problems(problems)) => Err(refusal(name, &problems)),
        Err(CheckFailure::Other(failure)) => Err(failure),
    }
}

/// All problems of a plan as one failure.
pub(crate) fn refusal(name: &str, problems: &Problems) -> Failure {
    let count = match problems.errors() {
        1 => "a problem".to_owned(),
        more => format!("{more} problems"),
    };
    let mut failure = Failure::usage(format!("{name} has {count}; nothing was started\n\n{problems}"));
    failure.problems = serde_json::to_value(problems).ok().map(Box::new);
    failure
}
