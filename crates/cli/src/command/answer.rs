//! `answer`, `approve`, `deny`: what a person says to a question.

use serde_json::json;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_server::face::verb::{self, how_to_answer};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::host;
use crate::json::{self as wire, task_name};
use crate::moment::now;
use crate::show::words;
use crate::state::{self, State};
use crate::terminal::{fit, one_line, plain, wrap};

/// Answers a question, or lists the open ones.
pub(crate) fn answer(app: &App, args: &args::Answer) -> Outcome {
    let Some(id) = &args.id else { return list(app) };
    if args.answer.is_empty() {
        let mut reader = state::expect(&app.place)?;
        let question = state::question(reader.as_mut(), id)?;
        return Err(Failure::usage(format!("there is no answer to {}", question.id)).hint(how_to_answer(&question)));
    }
    give(app, id, &args.answer.join(" "))
}

/// Says `approve` or `deny`.
pub(crate) fn decide(app: &App, id: &str, word: &str) -> Outcome {
    give(app, id, word)
}

fn give(app: &App, id: &str, answer: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let question = verb::answer(&mut state.truth(), id, answer)?;
    host::tell_engine(app);
    let task = task_name(question.run, &question.key);
    if app.terminal.json {
        app.terminal
            .print_json(&json!({ "question": wire::Question::from(&question) }))?;
    } else {
        app.terminal.print(&format!(
            "{} of {task} is answered: {}\n",
            question.id,
            one_line(answer)
        ))?;
    }
    Ok(exit::OK)
}

fn list(app: &App) -> Outcome {
    let questions = match state::look(&app.place)? {
        Some(mut reader) => reader.open_questions()?,
        None => Vec::new(),
    };
    if app.terminal.json {
        let documents: Vec<wire::Question> = questions.iter().map(wire::Question::from).collect();
        app.terminal.print_json(&json!({ "questions": documents }))?;
        return Ok(exit::OK);
    }
    let paint = app.terminal.out.paint;
    let mut text = String::new();
    for question in &questions {
        text.push_str(&format!(
            "{} {} {}\n",
            paint.warm(&question.id.to_string()),
            paint.strong(&task_name(question.run, &question.key)),
            paint.dim(&format!("asked at {}", words::clock(question.asked_at, now())))
        ));
        let width = app.terminal.out.width.saturating_sub(2);
        let lines = match question.kind {
            // Hunks are read line by line.
            QuestionKind::Conflict => question.text.lines().map(|line| fit(&plain(line), width)).collect(),
            QuestionKind::Approval | QuestionKind::Failure | QuestionKind::Permission | QuestionKind::Words => {
                wrap(&one_line(&question.text), width)
            }
        };
        for line in lines {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&format!("  {}\n", how_to_answer(question)));
    }
    if questions.is_empty() {
        text.push_str("nobody asks anything\n");
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}
