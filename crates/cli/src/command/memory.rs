//! `memory`: notes that outlive a run. People add, keep and forget; what an agent adds waits for a person.

use serde_json::{Value, json};
use wheelhouse_context::memory::{Admission, Note, Trust, recall};
use wheelhouse_core::message::Party;
use wheelhouse_engine::memory::{Error, Shelf};

use crate::app::App;
use crate::args::memory::{Add, Find, List, Memory, Names};
use crate::command::access::{Who, who};
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::json::moment;
use crate::moment::now;
use crate::show::words;
use crate::state;
use crate::terminal::{one_line, wrap};

/// Does what was asked with the notes.
pub(crate) fn memory(app: &App, command: &Memory) -> Outcome {
    match command {
        Memory::Add(args) => add(app, args),
        Memory::List(args) => list(app, args),
        Memory::Find(args) => find(app, args),
        Memory::Keep(names) => keep(app, names),
        Memory::Forget(names) => forget(app, names),
    }
}

fn shelf(app: &App) -> Shelf {
    Shelf::new(&app.place.state_dir)
}

/// All notes, with a word about files that are none.
fn all(app: &App) -> Vec<Note> {
    let kept = shelf(app).all();
    for damaged in &kept.damaged {
        app.terminal.warn(&format!("not a note, passed over: {damaged}"));
    }
    kept.notes
}

fn add(app: &App, args: &Add) -> Outcome {
    app.place.create()?;
    let text = super::crew::text(&args.text)?;
    let (trust, by) = author(app)?;
    let mut note =
        Note::new(&args.namespace, &text, trust, &by, now()).map_err(|problem| Failure::usage(problem.to_string()))?;
    if let Some(life) = args.life {
        let end = now().after(life);
        // Nobody's words outlive by their own wish what their trust allows.
        note.expires_at = Some(note.expires_at.map_or(end, |own| own.min(end)));
    }
    let admission = shelf(app).add(note, now()).map_err(refused)?;
    let (note, said) = match &admission {
        Admission::Added(note) => (note, "added".to_owned()),
        Admission::Confirmed(note) => (note, format!("was there, said {} times now", note.times)),
        Admission::Replaced { old, new } => (new, format!("takes the place of {}: {}", old.id, old.text)),
        Admission::Known(note) => (note, format!("stays as it is, with trust `{}`", note.trust.name())),
    };
    if app.terminal.json {
        app.terminal
            .print_json(&json!({"note": document(note), "said": said}))?;
    } else {
        app.terminal.print(&format!("{} {}\n", note.id, one_line(&said)))?;
    }
    if note.trust == Trust::Claimed {
        app.terminal
            .say(&format!("it waits for a person: `wheelhouse memory keep {}`", note.id));
    }
    Ok(exit::OK)
}

/// Who adds, and how far that may be believed: only a person's words are a person's.
fn author(app: &App) -> Result<(Trust, String), Failure> {
    if let Who::Task(task) = who(app) {
        return Ok((Trust::Claimed, task));
    }
    let Some(mut reader) = state::look(&app.place)? else {
        return Ok((Trust::Person, "a person".to_owned()));
    };
    Ok(match super::crew::caller(app, reader.as_mut())?.0 {
        Party::Person => (Trust::Person, "a person".to_owned()),
        other => (Trust::Claimed, other.to_string()),
    })
}

fn list(app: &App, args: &List) -> Outcome {
    let mut notes = all(app);
    notes.retain(|note| {
        let mine = args
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == note.namespace);
        let waits = !args.waiting || note.trust == Trust::Claimed;
        mine && waits && (args.all || !note.is_over(now()))
    });
    if app.terminal.json {
        app.terminal
            .print_json(&json!({ "notes": notes.iter().map(document).collect::<Vec<Value>>() }))?;
        return Ok(exit::OK);
    }
    if notes.is_empty() {
        app.terminal.say("no notes; `wheelhouse memory add \"…\"` makes one");
        return Ok(exit::OK);
    }
    let text: Vec<String> = notes.iter().map(|note| lines(app, note, "")).collect();
    app.terminal.print(&text.concat())?;
    let waiting = notes.iter().filter(|note| note.trust == Trust::Claimed).count() as u64;
    if waiting > 0 {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        app.terminal.say(&format!(
            "{} of agents {verb} for you: `wheelhouse memory keep ID` or `forget ID`",
            words::count(waiting, "note")
        ));
    }
    Ok(exit::OK)
}

fn find(app: &App, args: &Find) -> Outcome {
    let notes = all(app);
    let mine = |note: &&Note| {
        let inside = args
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == note.namespace);
        inside && !note.is_over(now())
    };
    let live: Vec<&Note> = notes.iter().filter(mine).collect();
    let found = recall::find(&live, &args.question.join(" "), args.count as usize);
    if app.terminal.json {
        let notes: Vec<Value> = found
            .iter()
            .map(|found| json!({"note": document(found.note), "score": found.score, "linked": found.is_linked}))
            .collect();
        app.terminal.print_json(&json!({ "notes": notes }))?;
    } else {
        let how = |linked: bool| if linked { ", linked" } else { "" };
        let text: Vec<String> = found
            .iter()
            .map(|found| lines(app, found.note, how(found.is_linked)))
            .collect();
        app.terminal.print(&text.concat())?;
    }
    if found.is_empty() {
        app.terminal.say(&format!(
            "nothing found among {}; a note is about a question when two of its words stand there",
            words::count(live.len() as u64, "note")
        ));
        return Ok(exit::NOT_FOUND);
    }
    Ok(exit::OK)
}

fn keep(app: &App, names: &Names) -> Outcome {
    let notes = chosen(app, names)?;
    for note in notes {
        let note = note.kept();
        shelf(app).put(&note).map_err(refused)?;
        done(app, &note, "kept")?;
    }
    Ok(exit::OK)
}

fn forget(app: &App, names: &Names) -> Outcome {
    for note in chosen(app, names)? {
        shelf(app).forget(&note.id).map_err(refused)?;
        done(app, &note, "forgotten")?;
    }
    Ok(exit::OK)
}

fn done(app: &App, note: &Note, what: &str) -> Result<(), Failure> {
    if app.terminal.json {
        return app.terminal.print_json(&json!({"note": document(note), "said": what}));
    }
    app.terminal
        .print(&format!("{} {what}: {}\n", note.id, one_line(&note.text)))
}

/// The notes of these names, all of them or an error.
fn chosen(app: &App, names: &Names) -> Result<Vec<Note>, Failure> {
    let notes = all(app);
    let exist: Vec<String> = notes.iter().map(|note| note.id.clone()).collect();
    let one = |id: &String| {
        let mut fits = notes.iter().filter(|note| note.id.starts_with(id.as_str()));
        match (fits.next(), fits.next()) {
            (Some(note), None) => Ok(note.clone()),
            (Some(_), Some(_)) => Err(Failure::usage(format!(
                "`{id}` is the beginning of several notes; write more of it"
            ))),
            (None, _) => Err(Failure::not_found("note", id, &exist).hint("`wheelhouse memory list --all` lists them")),
        }
    };
    names.ids.iter().map(one).collect()
}

fn refused(error: Error) -> Failure {
    match error {
        Error::Problem(problem) => Failure::new(exit::REFUSED, problem.to_string()),
        Error::Io { .. } => Failure::new(exit::IO, error.to_string()),
    }
}

/// A note as programs read it.
fn document(note: &Note) -> Value {
    let Note {
        id,
        namespace,
        text,
        trust,
        by,
        created_at,
        expires_at,
        times,
    } = note;
    json!({"id": id, "namespace": namespace, "text": text, "trust": trust.name(), "by": by,
           "created_at": moment(*created_at), "expires_at": expires_at.map(moment), "times": times})
}

fn lines(app: &App, note: &Note, how: &str) -> String {
    let surface = app.terminal.out;
    let paint = surface.paint;
    let end = match note.expires_at {
        Some(at) if note.is_over(now()) => format!(", over since {}", words::clock(at, now())),
        Some(at) => format!(", until {}", words::clock(at, now())),
        None => String::new(),
    };
    let times = match note.times {
        0 | 1 => String::new(),
        more => format!(", said {more} times"),
    };
    let about = format!(
        "{} in {}, by {}{times}{end}{how}",
        note.trust.name(),
        note.namespace,
        note.by
    );
    let head = format!("{}  {}", paint.strong(&note.id), paint.dim(&one_line(&about)));
    let mut text = format!("{head}\n");
    for line in wrap(&one_line(&note.text), surface.width.saturating_sub(2)) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}
