//! `blueprint`: what tasks are told of a long document, for people; and the one way to have a model read it too.

use std::io::Read;
use std::path::Path;

use serde_json::json;
use wheelhouse_context::blueprint::checked::{self, Dropped};
use wheelhouse_context::count;
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::plan::template;
use wheelhouse_engine::blueprints;

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::Since;
use crate::plans::{self, Cast, Text};
use crate::show::words;
use crate::state::{self, State};
use crate::terminal::plain;
use crate::work;

/// The largest document, in bytes; that of tasks.
const FILE_MAX: u64 = 16 << 20;
/// The longest document that a model is asked to read at once, in tokens.
const MODEL_TOKENS_MAX: u64 = 200_000;
/// The task that reads.
const DISTIL: &str = "distil";
/// How many dropped items are shown to people.
const SHOWN_MAX: usize = 10;

/// Prints the blueprint of a document.
pub(crate) fn blueprint(app: &App, args: &args::Blueprint) -> Outcome {
    let settings = app.settings(None)?;
    let document = read(app, &args.file)?;
    let asked = match &args.agent {
        Some(agent) => Some(ask(app, &settings, &document, agent, &args.file)?),
        None => None,
    };
    let blueprint = blueprints::of(&app.place.state_dir, &document);
    let path = args.file.display().to_string();
    let tokens_max = args.tokens.unwrap_or(settings.context.all.document_tokens);
    let (text, receipt) = blueprint.text(&path, tokens_max);
    let dropped = asked.unwrap_or_default();
    if app.terminal.json {
        app.terminal.print_json(&json!({
            "blueprint": blueprint,
            "text": text,
            "receipt": receipt,
            "dropped": dropped
                .iter()
                .map(|one| json!({ "text": one.text, "why": one.why }))
                .collect::<Vec<_>>(),
        }))?;
        return Ok(exit::OK);
    }
    app.terminal.print(
        &text
            .lines()
            .map(|line| app.terminal.out.broken(&plain(line)))
            .collect::<String>(),
    )?;
    for one in dropped.iter().take(SHOWN_MAX) {
        app.terminal
            .say(&format!("dropped: {} ({})", plain(&one.text), one.why));
    }
    if dropped.len() > SHOWN_MAX {
        app.terminal
            .say(&format!("dropped: {} more", dropped.len() - SHOWN_MAX));
    }
    app.terminal.say(&format!(
        "{} tokens of {}",
        words::thousands(receipt.sent_tokens),
        words::thousands(receipt.would_tokens)
    ));
    Ok(exit::OK)
}

fn read(app: &App, file: &Path) -> Result<String, Failure> {
    let path = app.here.join(file);
    let mut bytes = Vec::new();
    // What has no size beforehand, a pipe or a device, ends at the limit too.
    std::fs::File::open(&path)
        .and_then(|opened| opened.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::io("read the document", file, &error))?;
    if bytes.len() as u64 > FILE_MAX {
        let message = format!(
            "{} has more than {FILE_MAX} bytes, the limit for a document",
            file.display()
        );
        return Err(Failure::usage(message).hint("split it, or name the part that matters"));
    }
    if let Some(why) = blueprints::no_text(&bytes) {
        return Err(Failure::usage(format!("{} cannot be read: {why}", file.display())));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Has an agent read the document in a run of its own, and keeps what the document bears out. What it does not.
fn ask(app: &App, settings: &Settings, document: &str, agent: &str, file: &Path) -> Result<Vec<Dropped>, Failure> {
    let tokens = count::tokens(document);
    if tokens > MODEL_TOKENS_MAX {
        let message = format!(
            "{} has {} tokens; a model is asked to read {} at the most",
            file.display(),
            words::thousands(tokens),
            words::thousands(MODEL_TOKENS_MAX)
        );
        return Err(Failure::usage(message).hint("without `--agent` it is distilled by its structure"));
    }
    let numbered = template::untrusted("project", "document", &checked::numbered(document));
    let prompt = format!("{}\n{}", checked::CONTRACT, template::literal(&numbered));
    let source = Text {
        name: "blueprint".to_owned(),
        text: json!({ "name": "blueprint", "tasks": [{ "id": DISTIL, "agent": agent, "prompt": prompt }] }).to_string(),
        dir: app.place.project.clone(),
    };
    let checked = plans::accept(
        app,
        "the reading",
        plans::check(app, settings, &source, &[], Cast::AsWritten),
    )?;
    let mut state = State::open(&app.place)?;
    let seat = work::take_seat(app, settings, &mut state, false)?;
    let run = super::run::submit(app, &mut state, checked)?;
    work::nudge_other(app, &seat);
    drop(state);
    work::follow_to_end(app, settings, &[run], seat, Since::Beginning, None)?;
    let mut reader = state::expect(&app.place)?;
    let task = reader.task_by_key(run, &TaskKey(DISTIL.to_owned()))?;
    let unread = |why: String| {
        Failure::new(exit::TASKS_FAILED, format!("{agent} did not read the document: {why}"))
            .hint(format!("`wheelhouse status {run}` has the whole; nothing was kept"))
    };
    let task = task.ok_or_else(|| unread("its task is gone".to_owned()))?;
    let output = reader
        .result(task.id)?
        .and_then(|result| result.artifacts.into_iter().next());
    let answer = match output {
        Some(output) => reader.artifact(&output.hash)?,
        None => None,
    };
    let answer = answer.ok_or_else(|| unread("it gave no answer".to_owned()))?;
    let answer = String::from_utf8_lossy(&answer);
    let (kept, dropped) =
        blueprints::keep(&app.place.state_dir, document, &answer).map_err(|error| unread(error.to_string()))?;
    app.terminal.say(&format!(
        "{agent} found {} that the document bears out, and {} that it does not",
        words::count(kept as u64, "item"),
        dropped.len()
    ));
    Ok(dropped)
}
