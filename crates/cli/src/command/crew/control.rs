//! `interrupt`, `terminate`, `suspend`, `wake`, `stop`: what is done to instances that are there.

use std::time::Duration;

use serde_json::json;
use wheelhouse_core::caller::Caller;
use wheelhouse_core::crew::{self as core, Reply, StopWhat};
use wheelhouse_core::ids::{InstanceId, MessageId};
use wheelhouse_core::message::{MessageState, Party};
use wheelhouse_core::outcome::Outcome as How;
use wheelhouse_server::face::crew;

use super::talk::how;
use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::host;
use crate::state::State;

/// How long it is waited to see whether an agent obeys an interrupt: its ten seconds, its grace, and some.
const OBEY: Duration = Duration::from_secs(40);

/// Stops turns, and says whether the agents obeyed.
pub(crate) fn interrupt(app: &App, args: &args::Interrupt) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let ids = named(&mut state, &args.instances)?;
    let by = caller.0;
    let clear = args.clear;
    let commands = ids.iter().map(|instance| core::Command::Interrupt {
        by,
        instance: *instance,
        clear,
    });
    let answers = crew::ask_all(&mut state.truth(), commands.collect())?;
    host::quietly_tell_engine(app);
    let mut interrupted = Vec::with_capacity(ids.len());
    for (id, answer) in ids.into_iter().zip(answers) {
        match answer? {
            Reply::Interrupted { message, .. } => interrupted.push((id, message)),
            other => return Err(crew::unexpected(&other)),
        }
    }
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
        let confirmed = view.as_ref().and_then(|view| match &view.state {
            MessageState::Done { outcome, .. } => Some(*outcome != How::Killed),
            MessageState::Queued | MessageState::Open { .. } | MessageState::Read | MessageState::Dropped => None,
        });
        disobeyed |= confirmed == Some(false);
        let said = match (&view, confirmed) {
            (None, _) => "nothing was under way".to_owned(),
            (Some(_), None) => "asked to stop; not confirmed yet".to_owned(),
            (Some(view), Some(_)) => how(&view.state),
        };
        text.push_str(&format!("{id} {said}\n"));
        documents.push(json!({
            "instance": id.to_string(),
            "message": message.map(|id| id.to_string()),
            "confirmed": confirmed,
            "said": said,
        }));
    }
    if app.terminal.json {
        app.terminal.print_json(&json!({ "interrupted": documents }))?;
    } else {
        app.terminal.print(&text)?;
    }
    Ok(if disobeyed { exit::TASKS_FAILED } else { exit::OK })
}

fn named(state: &mut State, names: &[String]) -> Result<Vec<InstanceId>, Failure> {
    names
        .iter()
        .map(|name| crew::instance(state.reader.as_mut(), name).map(|view| view.id))
        .collect()
}

/// Ends instances and what is below them.
pub(crate) fn terminate(app: &App, args: &args::Instances) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let ids = named(&mut state, &args.instances)?;
    let by = caller.0;
    let mut ended = Vec::new();
    for instance in ids {
        // One may have gone with another that was named before it.
        if ended.contains(&instance) {
            continue;
        }
        match crew::ask(&mut state.truth(), core::Command::Terminate { by, instance })? {
            Reply::Ended { instances } => ended.extend(instances),
            other => return Err(crew::unexpected(&other)),
        }
    }
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
    each(app, args, "suspended", |by, instance| core::Command::Suspend {
        by,
        instance,
    })
}

/// Takes instances up again.
pub(crate) fn wake(app: &App, args: &args::Instances) -> Outcome {
    each(app, args, "awake", |by, instance| core::Command::Resume {
        by,
        instance,
    })
}

fn each(
    app: &App,
    args: &args::Instances,
    done: &str,
    command: impl Fn(Party, InstanceId) -> core::Command,
) -> Outcome {
    let (mut state, caller) = super::open(app)?;
    let ids = named(&mut state, &args.instances)?;
    let commands = ids.iter().map(|id| command(caller.0, *id)).collect();
    for answer in crew::ask_all(&mut state.truth(), commands)? {
        answer?;
    }
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
    let Caller(by) = caller;
    let what = if args.all {
        StopWhat::Orchestration
    } else {
        StopWhat::Turns
    };
    let reply = crew::ask(&mut state.truth(), core::Command::Stop { by, what })?;
    host::quietly_tell_engine(app);
    match reply {
        Reply::Ended { instances } => tell_ended(app, &instances),
        Reply::Stopped { messages } => {
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
        other => Err(crew::unexpected(&other)),
    }
}
