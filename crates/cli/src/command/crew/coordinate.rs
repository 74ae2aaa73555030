//! `coordinate`: one piece of work for several.

use std::time::Duration;

use wheelhouse_core::coordinate::{Answer, Outcome as Weighed};
use wheelhouse_core::workflow::consensus::Decision;
use wheelhouse_server::face::crew::{self, Coordinated};
use wheelhouse_server::face::crew_verb::{self, Given, Meeting, Together};
use wheelhouse_server::face::document::crew as document;

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::Outcome;
use crate::state;
use crate::terminal::plain;

/// Gives work to several, or shows how it stands.
pub(crate) fn coordinate(app: &App, args: &args::Coordinate) -> Outcome {
    if let Some(id) = &args.show {
        let mut reader = state::expect(&app.place)?;
        let standing = crew::coordination(reader.as_mut(), id)?;
        return tell(app, &standing);
    }
    let (mut state, caller) = super::open(app)?;
    let text = super::text(args.text.as_deref().unwrap_or_default())?;
    let settings = app.settings(None)?;
    let defaults = super::defaults(app, &settings);
    let meeting = Meeting {
        by: caller.0,
        with: args.with.clone(),
        together: match args.mode {
            args::Mode::Parallel => Together::Parallel,
            args::Mode::Sequential => Together::Sequential,
            args::Mode::Consensus => Together::Consensus,
        },
        quorum: args.quorum,
        text,
    };
    let Given { id, messages } = crew_verb::coordinate(&mut state.truth(), &defaults, meeting)?;
    super::engine(app, caller)?;
    if args.wait {
        super::wait_for(app, state.reader.as_mut(), &messages, Duration::from_secs(args.timeout))?;
    } else if !app.terminal.json {
        app.terminal.print(&format!("{id}\n"))?;
        app.terminal
            .say(&format!("`wheelhouse coordinate --show {id}` shows the answers"));
        return Ok(exit::OK);
    }
    let standing = crew::coordination(state.reader.as_mut(), &id.to_string())?;
    tell(app, &standing)
}

fn tell(app: &App, standing: &Coordinated) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&document::coordination(standing))?;
        return Ok(exit_of(&standing.outcome));
    }
    let paint = app.terminal.out.paint;
    let mut text = String::new();
    for (seat, answer) in standing.record.seats.iter().zip(&standing.answers) {
        let (head, body) = match answer {
            Answer::Expected => ("still expected".to_owned(), ""),
            Answer::Missing => ("no answer".to_owned(), ""),
            Answer::Given(outcome, body) => (outcome.to_string().replace('_', " "), body.as_str()),
        };
        text.push_str(&format!(
            "{} ({}): {head}\n",
            paint.strong(&seat.instance.to_string()),
            seat.vendor
        ));
        for line in plain(body).trim_end().lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&format!("{}: {}\n", standing.record.id, weighed(&standing.outcome)));
    app.terminal.print(&text)?;
    Ok(exit_of(&standing.outcome))
}

fn weighed(outcome: &Weighed) -> String {
    match outcome {
        Weighed::Open { expected } => format!("{expected} answers are still expected"),
        Weighed::Answered { given, missing: 0 } => format!("all {given} have answered"),
        Weighed::Answered { given, missing } => format!("{given} have answered, {missing} will not"),
        Weighed::Decided(tally) => match &tally.decision {
            Decision::Agreed => format!("agreed: {} approve", tally.approving.join(", ")),
            Decision::Vetoed { seat, finding } => format!("vetoed by {seat}: {finding}"),
            Decision::Rejected => format!("rejected by {}", tally.rejecting.join(", ")),
            Decision::AnotherRound => "undecided".to_owned(),
            Decision::Undecided { why } => format!("undecided: {why}"),
        },
    }
}

fn exit_of(outcome: &Weighed) -> exit::Exit {
    match outcome {
        Weighed::Open { .. } => exit::HELD,
        Weighed::Answered { missing: 0, .. } => exit::OK,
        Weighed::Decided(tally) if tally.decision == Decision::Agreed => exit::OK,
        Weighed::Answered { .. } | Weighed::Decided(_) => exit::TASKS_FAILED,
    }
}
