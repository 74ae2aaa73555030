//! `doctor --probe`: one tiny turn of each agent, where the user agrees, and what it showed. Nothing else is claimed:
//! a capability that the turn did not use is not named.

use std::collections::BTreeMap;
use std::time::Duration;

use wheelhouse_core::agent::{Ended, Input};
use wheelhouse_core::ids::{AgentName, RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::human;
use wheelhouse_core::usage::UsageSource;

use crate::app::App;
use crate::config::Settings;
use crate::failure::Failure;
use crate::roster::{self, BACKENDS};
use crate::show::words;
use crate::solo::{Done, Job, Solo};
use crate::terminal::one_line;

/// What is asked: nothing that needs a tool, and an answer that shows that the words arrived.
const PROMPT: &str = "Answer with the one word `ready` and nothing else. Use no tools.";
/// What the answer must hold.
const WORD: &str = "ready";
/// How long one turn may take: a cold start of a slow program and its vendor's own retries.
const WALL: Duration = Duration::from_secs(120);
/// How much of an answer is shown, in characters.
const SHOWN_MAX: usize = 60;

/// What a turn showed.
#[derive(Debug)]
pub(crate) struct Probed {
    /// The agent.
    pub(crate) agent: String,
    /// Whether it answered as asked.
    pub(crate) works: bool,
    /// What was seen, in words.
    pub(crate) found: String,
    /// What to do, when it did not work.
    pub(crate) next: Option<String>,
}

/// Has each of the agents do one turn, one after the other. Without names: all whose program is here.
pub(crate) fn probe(app: &App, names: &[String], agreed: bool) -> Result<Vec<Probed>, Failure> {
    let settings = app.settings(None)?;
    let agents = chosen(app, &settings, names)?;
    if agents.is_empty() {
        app.terminal.say("no agent is here that could do a turn");
        return Ok(Vec::new());
    }
    if !agreed && !agrees(app, &agents)? {
        app.terminal.say("no turn was made");
        return Ok(Vec::new());
    }
    // A directory of its own: an agent at its turn sees no project, and what it notes about its session goes with it.
    let place = Place::new(app)?;
    let solo = Solo::new(app, &settings, place.0.join("state"))?;
    let turn = |agent: &AgentName| {
        app.terminal.say(&format!("{agent}: one turn …"));
        let done = solo.run(Job {
            agent,
            input: Input::Prompt(PROMPT.to_owned()),
            cwd: place.0.join("project"),
            run: RunId(0),
            key: TaskKey::from("probe"),
            env: BTreeMap::new(),
            wall: WALL,
        });
        seen(agent, &done)
    };
    Ok(agents.iter().map(turn).collect())
}

/// The agents to ask: those named, or every one that is configured or known and whose program is here.
fn chosen(app: &App, settings: &Settings, names: &[String]) -> Result<Vec<AgentName>, Failure> {
    let known = roster::agent_names(settings);
    let unknown: Vec<&str> = names
        .iter()
        .filter(|name| !known.iter().any(|known| known.as_str() == name.as_str()))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        let all: Vec<&str> = known.iter().map(AgentName::as_str).collect();
        return Err(Failure::usage(format!(
            "there is no agent {}; there are: {}",
            unknown.join(", "),
            all.join(", ")
        )));
    }
    if !names.is_empty() {
        return Ok(names.iter().map(|name| AgentName::from(name.as_str())).collect());
    }
    let is_here = |name: &AgentName| {
        let own = settings.agents.get(name.as_str());
        let kind = own.map(|own| own.backend.as_str()).filter(|kind| !kind.is_empty());
        let backend = BACKENDS
            .iter()
            .find(|backend| backend.name == kind.unwrap_or(name.as_str()));
        let program = backend.and_then(|backend| backend.program);
        match (own.and_then(|own| own.command.as_deref()), program) {
            // An ACP agent of the user's own.
            (Some(_), None) => kind == Some("acp"),
            (Some(command), Some(_)) => app.program(command).is_some() || std::path::Path::new(command).is_file(),
            (None, Some(program)) => app.program(program).is_some(),
            (None, None) => false,
        }
    };
    Ok(known.into_iter().filter(is_here).collect())
}

/// Asks the person. Whoever cannot be asked has not agreed.
fn agrees(app: &App, agents: &[AgentName]) -> Result<bool, Failure> {
    let names: Vec<&str> = agents.iter().map(AgentName::as_str).collect();
    let names = names.join(", ");
    let question =
        format!("One small turn with each of {names}, with your logins; it costs a few hundred tokens. Go on?");
    app.terminal.agrees(&question).ok_or_else(|| {
        Failure::usage(format!(
            "`--probe` makes one small paid turn with each of {names}, and nobody is here to agree"
        ))
        .hint("`wheelhouse doctor --probe --yes`")
    })
}

fn seen(agent: &AgentName, done: &Done) -> Probed {
    let Some(ended) = &done.ended else {
        return Probed {
            agent: agent.to_string(),
            works: false,
            found: "is not an agent that can be driven".to_owned(),
            next: None,
        };
    };
    let answer = ended
        .outputs
        .first()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let answer = one_line(&answer.unwrap_or_default());
    let works = ended.outcome.is_success() && answer.to_lowercase().contains(WORD);
    let mut facts = vec![match (ended.outcome.is_success(), works) {
        (true, true) => format!("answered in {}", human(done.took)),
        (true, false) => format!(
            "ended well in {} and did not say `{WORD}`: {}",
            human(done.took),
            answer.chars().take(SHOWN_MAX).collect::<String>()
        ),
        (false, _) if ended.detail.is_empty() => ended.outcome.to_string(),
        (false, _) => format!("{}: {}", ended.outcome, one_line(&ended.detail)),
    }];
    if ended.outcome.is_success() {
        facts.push(usage(ended));
        facts.push(match &ended.session {
            Some(_) => "named a session".to_owned(),
            None => "named no session".to_owned(),
        });
    }
    if done.asked {
        facts.push("asked for leave, which it did not get".to_owned());
    }
    if ended.result.rehearsed {
        facts.push("rehearsed: no agent answered".to_owned());
    }
    Probed {
        agent: agent.to_string(),
        works,
        found: facts.join("; "),
        next: next(agent, &ended.outcome),
    }
}

fn usage(ended: &Ended) -> String {
    match (words::tokens(&ended.usage), ended.usage.source) {
        (Some(tokens), UsageSource::Reported) => format!("reported {tokens}"),
        (Some(tokens), UsageSource::Estimated) => tokens,
        (None, _) => "reported no usage".to_owned(),
    }
}

/// What mends it, by the class of the outcome.
fn next(agent: &AgentName, outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::Succeeded => return None,
        Outcome::Auth => return outcome.remedy(agent),
        Outcome::Unavailable => format!("install it, or name its program: `agents.{agent}.command`"),
        Outcome::Quota { .. } | Outcome::RateLimited { .. } | Outcome::Overloaded => {
            "the provider wants you to wait; try again later".to_owned()
        }
        _ => format!("try it by hand: `{agent}`; what it needs of the environment is passed on by `env.pass`"),
    })
}

/// A directory that is gone when this is.
struct Place(std::path::PathBuf);

impl Place {
    fn new(app: &App) -> Result<Place, Failure> {
        let above = app
            .env
            .get("TMPDIR")
            .map_or_else(std::env::temp_dir, std::path::PathBuf::from);
        let place = Place(above.join(format!("wheelhouse-probe-{}", std::process::id())));
        for name in ["project", "state"] {
            let directory = place.0.join(name);
            std::fs::create_dir_all(&directory)
                .map_err(|error| Failure::io("make a directory for the turn", &directory, &error))?;
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be deleted is small, and in a directory for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
