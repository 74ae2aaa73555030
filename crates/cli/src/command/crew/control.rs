//! `interrupt`, `terminate`, `suspend`, `wake`, `stop`: what is done to instances that are there.

use std::time::Duration;

use serde_json::json;
use wheelhouse_core::crew::StopWhat;
use wheelhouse_core::ids::{InstanceId, MessageId};
use wheelhouse_server::face::crew_verb::{self, Stopped};
use wheelhouse_server::face::document::crew as document;

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::Outcome;
use crate::host;
use crate::state::State;

/// How long it is waited to see whether an agent obeys an interrupt: its ten seconds, its grace, and some.
const OBEY: Duration = Duration::from_secs(40);

/// Stops turns, and says whether the agents obeyed.
pub(crate) fn interrupt(app: &App, args: &args::Interrupt) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let interrupted = crew_verb::interrupt(&mut state.truth(), caller.0, &args.instances, args.clear)?;
    host::quietly_tell_engine(app);
    let messages: Vec<MessageId> = interrupted.iter().filter_map(|(_, message)| *message).collect();
    let most = if args.no_wait { Duration::ZERO } else { OBEY };
    super::wait_for(app, state.reader.as_mut(), &messages, most)?;
    tell(app, &mut state, &interrupted)
}

fn tell(app: &App, state: &mut State, interrupted: &[(InstanceId, Option<MessageId>)]) -> Outcome {
    let mut documents = Vec::new();
    let mut text = String::new();
    let mut disobeyed = false;
    for (id, message) in interrupted {
        let view = match message {
            Some(message) => state.reader.message(*message)?,
            None => None,
        };
        let document = document::interrupted(*id, view.as_ref());
        disobeyed |= document["confirmed"] == false;
        text.push_str(&format!("{id} {}\n", document["said"].as_str().unwrap_or_default()));
        documents.push(document);
    }
    if app.terminal.json {
        app.terminal.print_json(&json!({ "interrupted": documents }))?;
    } else {
        app.terminal.print(&text)?;
    }
    Ok(if disobeyed { exit::TASKS_FAILED } else { exit::OK })
}

/// Ends instances and what is below them.
pub(crate) fn terminate(app: &App, args: &args::Instances) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let ended = crew_verb::terminate(&mut state.truth(), caller.0, &args.instances)?;
    host::quietly_tell_engine(app);
    tell_ended(app, &ended)
}

fn tell_ended(app: &App, ended: &[InstanceId]) -> Outcome {
    let ids: Vec<String> = ended.iter().map(ToString::to_string).collect();
    if app.terminal.json {
        app.terminal.print_json(&json!({ "ended": ids }))?;
    } else if ids.is_empty() {
        app.terminal.print("there was nothing to end\n")?;
    } else {
        app.terminal.print(&format!("ended: {}\n", ids.join(", ")))?;
    }
    Ok(exit::OK)
}

/// Puts instances aside.
pub(crate) fn suspend(app: &App, args: &args::Instances) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let ids = crew_verb::suspend(&mut state.truth(), caller.0, &args.instances)?;
    tell_each(app, &ids, "suspended")
}

/// Takes instances up again.
pub(crate) fn wake(app: &App, args: &args::Instances) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let ids = crew_verb::wake(&mut state.truth(), caller.0, &args.instances)?;
    tell_each(app, &ids, "awake")
}

fn tell_each(app: &App, ids: &[InstanceId], done: &str) -> Outcome {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if app.terminal.json {
        app.terminal.print_json(&json!({ "instances": ids, "state": done }))?;
    } else {
        app.terminal.print(&format!("{done}: {}\n", ids.join(", ")))?;
    }
    Ok(exit::OK)
}

/// Stops everything.
pub(crate) fn stop(app: &App, args: &args::Stop) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let what = if args.all {
        StopWhat::Orchestration
    } else {
        StopWhat::Turns
    };
    let stopped = crew_verb::stop(&mut state.truth(), caller.0, what)?;
    host::quietly_tell_engine(app);
    match stopped {
        Stopped::Ended(instances) => tell_ended(app, &instances),
        Stopped::Turns(messages) => {
            let views = super::wait_for(app, state.reader.as_mut(), &messages, OBEY)?;
            let stopped: Vec<(InstanceId, Option<MessageId>)> = views
                .iter()
                .filter_map(|view| view.to.instance().map(|to| (to, Some(view.id))))
                .collect();
            if stopped.is_empty() && !app.terminal.json {
                app.terminal.print("nothing was under way\n")?;
                return Ok(exit::OK);
            }
            tell(app, &mut state, &stopped)
        }
    }
}
