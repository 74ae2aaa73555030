//! `send`, `output`, `inbox`: words to instances and from them.

use std::time::Duration;

use serde_json::{Value, json};
use wheelhouse_core::ids::{Cursor, MessageId};
use wheelhouse_core::message::{MessageKind, MessageState, MessageView};
use wheelhouse_core::store::Reader;
use wheelhouse_server::face::crew::{self, Said, What};
use wheelhouse_server::face::crew_verb::{self, Letter};
use wheelhouse_server::face::document::crew as document;

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now;
use crate::show::words;
use crate::state::{self, State};
use crate::terminal::{one_line, plain};

/// Sends a message.
pub(crate) fn send(app: &App, args: &args::Send) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let words = super::text(&args.words.join(" "))?;
    let letter = Letter {
        from: caller.0,
        to: args
            .to
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        kind: if args.note {
            MessageKind::Note
        } else {
            MessageKind::Request
        },
        text: words,
        reply_to: args.reply_to.clone(),
        after: args.after.clone(),
        key: args.key.clone(),
    };
    let sent = crew_verb::send(&mut state.truth(), &letter)?;
    let ids = sent.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    if !args.note {
        super::engine(app, caller)?;
    }
    if args.wait && !args.note {
        let views = super::wait_for(app, state.reader.as_mut(), &ids, Duration::from_secs(args.timeout))?;
        if !app.terminal.json {
            return tell_answers(app, &mut state, &views);
        }
        let mut documents = Vec::with_capacity(ids.len());
        for id in &ids {
            documents.push(message_document(state.reader.as_mut(), *id)?);
        }
        app.terminal.print_json(&json!({ "messages": documents }))?;
        return exit_of(&views);
    }
    if app.terminal.json {
        let mut documents = Vec::with_capacity(ids.len());
        for id in &ids {
            documents.push(message_document(state.reader.as_mut(), *id)?);
        }
        app.terminal.print_json(&json!({ "messages": documents }))?;
    } else {
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        app.terminal.print(&lines)?;
    }
    Ok(exit::OK)
}

/// A message as a document, with its answer when it is over.
pub(super) fn message_document(reader: &mut dyn Reader, id: MessageId) -> Result<Value, Failure> {
    let Some(view) = reader.message(id)? else {
        return Ok(Value::Null);
    };
    let answer = crew::answer(reader, &view)?;
    Ok(document::message(&view, answer.as_ref()))
}

/// Prints the answers of messages that were waited for.
pub(super) fn tell_answers(app: &App, state: &mut State, views: &[MessageView]) -> Outcome {
    for view in views {
        match crew::answer(state.reader.as_mut(), view)? {
            Some(answer) if !answer.text.is_empty() => {
                let newline = if answer.text.ends_with('\n') { "" } else { "\n" };
                app.terminal.print(&format!("{}{newline}", plain(&answer.text)))?;
            }
            Some(_) => app
                .terminal
                .say(&format!("{} has no answer: {}", view.id, document::became(&view.state))),
            None => app.terminal.say(&format!(
                "{} is {} still; `wheelhouse output {}` shows what comes",
                view.id,
                view.state.name(),
                view.to
            )),
        }
    }
    exit_of(views)
}

/// All answered well, some badly, or some not yet.
pub(super) fn exit_of(views: &[MessageView]) -> Outcome {
    let still_open = views.iter().any(|view| !view.state.is_over());
    let failed = views.iter().any(|view| match &view.state {
        MessageState::Done { outcome, .. } => !outcome.is_success(),
        MessageState::Dropped => true,
        MessageState::Queued | MessageState::Open { .. } | MessageState::Read => false,
    });
    Ok(match (failed, still_open) {
        (true, _) => exit::TASKS_FAILED,
        (false, true) => exit::HELD,
        (false, false) => exit::OK,
    })
}

/// Prints what an instance was told, did and said.
pub(crate) fn output(app: &App, args: &args::Output) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let view = crew::instance(reader.as_mut(), &args.instance)?;
    let mut cursor = Cursor(args.since.unwrap_or(0));
    let mut said = Vec::new();
    loop {
        let (more, next) = crew::output(reader.as_mut(), &view, cursor)?;
        said.extend(more);
        if next == cursor {
            break;
        }
        cursor = next;
    }
    if app.terminal.json {
        let lines: Vec<Value> = said.iter().map(document::said).collect();
        app.terminal.print_json(&json!({
            "instance": document::instance(&view),
            "output": lines,
            "cursor": cursor.0,
        }))?;
        return Ok(exit::OK);
    }
    let mut text = String::new();
    for line in &said {
        text.push_str(&said_line(app, line));
    }
    app.terminal.print(&text)?;
    app.terminal
        .say(&format!("{} is {}; the cursor is {}", view.id, view.state, cursor.0));
    Ok(exit::OK)
}

fn said_line(app: &App, said: &Said) -> String {
    let paint = app.terminal.out.paint;
    let clock = paint.dim(&words::clock(said.at, now()));
    let body = |text: &str| {
        let text = plain(text);
        text.trim_end()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    };
    match &said.what {
        What::Message(message) => {
            let head = format!("{} {} → {}", message.id, message.from, message.to);
            format!("{clock} {}\n{}", paint.strong(&head), body(&message.text))
        }
        What::Report { kind, text } => format!("{clock} {}\n", paint.dim(&format!("{kind}: {}", one_line(text)))),
        What::Answer { message, answer } => {
            let how = match &answer.outcome {
                Some(outcome) if !outcome.is_success() => format!(" ({})", outcome.to_string().replace('_', " ")),
                Some(_) | None => String::new(),
            };
            format!(
                "{clock} {}\n{}",
                paint.good(&format!("answer to {message}{how}")),
                body(&answer.text)
            )
        }
    }
}

/// Reads notes.
pub(crate) fn inbox(app: &App, args: &args::Inbox) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let (whose, notes) = crew_verb::inbox(state.reader.as_mut(), caller.0, args.instance.as_deref())?;
    // Looking into somebody else's mailbox reads nothing for them.
    if !args.keep && whose == caller.0 {
        crew_verb::read_notes(&mut state.truth(), whose, &notes)?;
    }
    if app.terminal.json {
        let documents: Vec<Value> = notes.iter().map(|note| document::message(note, None)).collect();
        app.terminal.print_json(&json!({ "messages": documents }))?;
        return Ok(exit::OK);
    }
    let mut text = String::new();
    for note in &notes {
        let reply = note
            .correlation
            .map(|id| format!(" (reply to {id})"))
            .unwrap_or_default();
        text.push_str(&format!("{} from {}{reply}\n", note.id, note.from));
        for line in plain(&note.text).trim_end().lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if notes.is_empty() {
        text.push_str("nothing to read\n");
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}
