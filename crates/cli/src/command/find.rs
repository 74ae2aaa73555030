//! `find`: the places of the project that a question is about.

use std::io::Read;
use std::time::Duration;

use wheelhouse_engine::codebase::{Codebase, FILES_MAX};
use wheelhouse_server::face::find::{Answer, Ask, Place, find as search};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::second;
use crate::show::words;
use crate::terminal::{fit, one_line};

/// The longest question read from stdin, in bytes.
const QUESTION_MAX: u64 = 256 * 1_024;

/// Looks.
pub(crate) fn find(app: &App, args: &args::Find) -> Outcome {
    let text = match args.question.as_slice() {
        [one] if one == "-" => from_stdin()?,
        words => words.join(" "),
    };
    let below = args.below.as_ref().map(|below| inside(app, below)).transpose()?;
    let ask = Ask {
        text,
        count: args.count as usize,
        below,
        files: args.files,
        code: args.code,
        no_tests: args.no_tests,
        lines: args.lines.unwrap_or(0) as usize,
    };
    // Without a state directory or a repository this may be any directory: nothing is left behind in it.
    let project = &app.place.project;
    let kept = app.place.state_dir.is_dir() || project.join(".git").exists();
    if kept {
        app.place.create()?;
    }
    let keep = app.place.index();
    if kept && !keep.is_dir() {
        app.terminal
            .say("building the index of this project; later questions only read what has changed");
    }
    let mut codebase = Codebase::open(project, kept.then_some(keep.as_path()));
    let stages = second::stages(app, &app.settings(None)?, args.rerank.as_deref())?;
    let answer = search(&mut codebase, &ask, Duration::ZERO, &stages)?;
    show(app, &answer)?;
    Ok(if answer.hits.is_empty() {
        exit::NOT_FOUND
    } else {
        exit::OK
    })
}

fn from_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(QUESTION_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(exit::IO, format!("cannot read the question from stdin: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The path as seen from the project.
fn inside(app: &App, below: &std::path::Path) -> Result<String, Failure> {
    let whole = app.here.join(below);
    let found = whole
        .canonicalize()
        .map_err(|error| Failure::io("search in", &whole, &error))?;
    let top = app
        .place
        .project
        .canonicalize()
        .unwrap_or_else(|_| app.place.project.clone());
    let rest = found.strip_prefix(&top).map_err(|_| {
        Failure::new(
            exit::USAGE,
            format!("{} is not in the project {}", found.display(), top.display()),
        )
        .hint("`-C DIR` works in another project")
    })?;
    Ok(rest.display().to_string())
}

fn show(app: &App, answer: &Answer) -> Result<(), Failure> {
    for notice in &answer.notices {
        app.terminal.warn(notice);
    }
    if app.terminal.json {
        app.terminal.print_json(answer)?;
    } else {
        let text: Vec<String> = answer.hits.iter().map(|place| lines(app, place)).collect();
        app.terminal.print(&text.concat())?;
    }
    let index = &answer.index;
    let left_out: Vec<String> = index
        .skipped
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let mut said = format!("{} files searched", index.files);
    if !left_out.is_empty() {
        said.push_str(&format!(", left out: {}", left_out.join(", ")));
    }
    if index.beyond_limit {
        said.push_str(&format!(
            "; the project has more than {FILES_MAX} files, the rest was not looked at"
        ));
    }
    if let Some(vectors) = index.vectors {
        said.push_str(&format!(
            "; {} pieces looked at by meaning",
            words::thousands(vectors as u64)
        ));
    }
    if let Some(second) = &answer.second_stage {
        said.push_str(&format!("; {second}"));
    }
    if answer.hits.is_empty() {
        said = format!("nothing found; {said}");
    }
    app.terminal.say(&said);
    Ok(())
}

fn lines(app: &App, place: &Place) -> String {
    let surface = app.terminal.out;
    let paint = surface.paint;
    let head = format!("{}:{}-{}", one_line(&place.path), place.start, place.end);
    let within = place
        .within
        .as_ref()
        .map(|within| format!("  {}", one_line(within)))
        .unwrap_or_default();
    let mut text = format!("{}{}\n", paint.strong(&head), paint.dim(&within));
    match &place.excerpt {
        None if place.changed => text.push_str("  (changed while it was looked at)\n"),
        None => {
            let number = format!("  {}: ", place.line);
            let room = surface.width.saturating_sub(number.len());
            text.push_str(&format!("{number}{}\n", fit(&one_line(&place.text), room)));
        }
        Some(excerpt) => {
            for line in excerpt.lines() {
                text.push_str(&format!("  {}\n", crate::terminal::plain(line)));
            }
        }
    }
    let why = &place.why;
    let mut reasons = Vec::new();
    if !why.defines.is_empty() {
        reasons.push(format!("defines {}", why.defines.join(", ")));
    }
    if why.ranks.contains_key("paths") {
        reasons.push("named by its path".to_owned());
    }
    if !why.words.is_empty() {
        reasons.push(format!("words {}", why.words.join(", ")));
    }
    if why.ranks.contains_key("neighbours") {
        reasons.push("imports or imported by one of the best".to_owned());
    }
    if why.ranks.contains_key("meaning") {
        reasons.push("near in meaning".to_owned());
    }
    if reasons.is_empty() {
        reasons.push("alike".to_owned());
    }
    let reasons = fit(&one_line(&reasons.join("; ")), surface.width.saturating_sub(2));
    text.push_str(&format!("  {}\n", paint.dim(&reasons)));
    text
}
