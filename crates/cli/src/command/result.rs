//! `result`: what a task produced: its summary, or its output byte for byte.

use serde_json::json;
use wheelhouse_core::store::{Reader, TaskResult, TaskView};
use wheelhouse_server::face::verb;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::Outcome;
use crate::json::{page, task_name};
use crate::show::{task, words};
use crate::state;
use crate::terminal::plain;

/// The artifact that `--full` prints.
const OUTPUT: &str = "output";

/// Prints the result.
pub(crate) fn result(app: &App, args: &args::ResultOf) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let found = state::task(reader.as_mut(), &args.task)?;
    let result = verb::result(reader.as_mut(), &found)?;
    if let Some(note) = task::rehearsed_note(&result) {
        app.terminal.say(note);
    }
    if args.full {
        return full(
            app,
            reader.as_mut(),
            &found,
            &result,
            args.artifact.as_deref().unwrap_or(OUTPUT),
        );
    }
    if app.terminal.json {
        app.terminal.print_json(&page::result(reader.as_mut(), &found)?)?;
        return Ok(exit::OK);
    }
    let summary = result.summary.trim_end();
    if summary.is_empty() {
        app.terminal.say("it said nothing");
    } else if app.terminal.out.tty {
        app.terminal.print(&format!("{}\n", plain(summary)))?;
    } else {
        app.terminal.print(&format!("{summary}\n"))?;
    }
    if result
        .artifacts
        .iter()
        .any(|artifact| artifact.bytes as usize > summary.len() + 1)
    {
        app.terminal.say(&format!(
            "more: `wheelhouse result {} --full`",
            task_name(found.run, &found.key)
        ));
    }
    Ok(exit::OK)
}

fn full(app: &App, reader: &mut dyn Reader, task: &TaskView, result: &TaskResult, name: &str) -> Outcome {
    if result.artifacts.is_empty() && name == OUTPUT {
        // It ended well and wrote nothing: the whole output is no bytes.
        return Ok(exit::OK);
    }
    let (artifact, bytes) = verb::artifact(reader, result, name)?;
    if artifact.bytes_written > artifact.bytes {
        app.terminal.warn(&format!(
            "the middle is missing: {} of {} bytes were kept (`output_max`)",
            words::thousands(artifact.bytes),
            words::thousands(artifact.bytes_written)
        ));
    }
    if app.terminal.json {
        let text = String::from_utf8(bytes);
        app.terminal.print_json(&match text {
            Ok(text) => json!({ "task": task_name(task.run, &task.key), "artifact": name, "text": text }),
            Err(error) => {
                let bytes = error.as_bytes().len();
                json!({ "task": task_name(task.run, &task.key), "artifact": name, "text": null, "bytes": bytes })
            }
        })?;
    } else if app.terminal.out.tty {
        app.terminal.print(&plain(&String::from_utf8_lossy(&bytes)))?;
    } else {
        app.terminal.print_bytes(&bytes)?;
    }
    Ok(exit::OK)
}
