//! `instances` and `audit`: who is there, and what was done.

use std::collections::BTreeMap;

use serde_json::json;
use wheelhouse_core::crew::InstanceFilter;
use wheelhouse_core::ids::{InstanceId, MessageId};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::{Millis, human};
use wheelhouse_server::face::document::{crew as document, moment};
use wheelhouse_server::face::{crew, crew_verb};

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::Outcome;
use crate::moment::now;
use crate::show::words;
use crate::state;
use crate::terminal::{Paint, fit, one_line};

/// How many instances are shown.
const INSTANCES_MAX: u32 = 10_000;
/// How many lines are read at a time.
const PAGE: u32 = 1_000;

/// Shows the tree.
pub(crate) fn instances(app: &App, args: &args::List) -> Outcome {
    let Some(mut reader) = state::look(&app.place)? else {
        return none(app);
    };
    let below = match &args.below {
        Some(name) => Some(crew::instance(reader.as_mut(), name)?.id),
        None => None,
    };
    let filter = InstanceFilter { below, ended: args.all };
    let views = reader.instances(filter, None, INSTANCES_MAX)?;
    if app.terminal.json {
        app.terminal.print_json(&document::instances(&views))?;
        return Ok(exit::OK);
    }
    if views.is_empty() {
        return none(app);
    }
    let mut held = BTreeMap::new();
    for view in &views {
        // A question is in the state already.
        if let (InstanceState::Starting | InstanceState::Busy, Some(turn)) = (&view.state, view.turn)
            && let Some(TaskState::Held(why)) = reader.task(turn)?.map(|task| task.state)
        {
            held.insert(view.id, why);
        }
    }
    let (width, paint) = (app.terminal.out.width, app.terminal.out.paint);
    let mut text: String = tree(&views, &held, now(), width, paint)
        .into_iter()
        .map(|line| line + "\n")
        .collect();
    let known = views.iter().map(|view| view.cost_nano).sum();
    let unknown = views.iter().map(|view| view.cost_unknown).sum();
    let cost = words::run_cost(known, unknown);
    text.push_str(&paint.dim(&format!("{}, {cost}", words::count(views.len() as u64, "instance"))));
    app.terminal.print(&(text + "\n"))?;
    Ok(exit::OK)
}

fn none(app: &App) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&json!({ "instances": [] }))?;
    } else {
        app.terminal
            .print("there are no instances; `wheelhouse spawn NAME \"what to do\"` makes one\n")?;
    }
    Ok(exit::OK)
}

/// The tree as lines of at most so many columns, children below their parents.
fn tree(
    views: &[InstanceView],
    held: &BTreeMap<InstanceId, Held>,
    now: Millis,
    width: usize,
    paint: Paint,
) -> Vec<String> {
    let shown: BTreeMap<InstanceId, &InstanceView> = views.iter().map(|view| (view.id, view)).collect();
    let mut children: BTreeMap<Option<InstanceId>, Vec<&InstanceView>> = BTreeMap::new();
    for view in views {
        // A parent that is not shown has its children at the top.
        let parent = view.parent.filter(|parent| shown.contains_key(parent));
        children.entry(parent).or_default().push(view);
    }
    let mut lines = Vec::new();
    let mut open: Vec<(&InstanceView, String, String)> = Vec::new();
    let push = |open: &mut Vec<_>, of: Option<InstanceId>, indent: &str| {
        let all = children.get(&of).map(Vec::as_slice).unwrap_or_default();
        for (place, view) in all.iter().enumerate().rev() {
            let last = place + 1 == all.len();
            let (mark, more) = match (of, last) {
                (None, _) => ("", ""),
                (Some(_), true) => ("└─ ", "   "),
                (Some(_), false) => ("├─ ", "│  "),
            };
            open.push((*view, format!("{indent}{mark}"), format!("{indent}{more}")));
        }
    };
    push(&mut open, None, "");
    while let Some((view, mark, indent)) = open.pop() {
        let plain = line(view, held.get(&view.id), now);
        let start = format!("{} {}", view.id, view.spec.name);
        let shown = fit(&format!("{mark}{start}  {plain}"), width);
        // Painted after it was cut: only the name, when it is whole.
        lines.push(match shown.strip_prefix(&format!("{mark}{start}")) {
            Some(rest) => format!("{mark}{}{}", paint.strong(&start), tone(view, paint, rest)),
            None => shown,
        });
        push(&mut open, Some(view.id), &indent);
    }
    lines
}

fn tone(view: &InstanceView, paint: Paint, text: &str) -> String {
    match view.state {
        InstanceState::Busy => paint.live(text),
        InstanceState::Waiting { .. } => paint.warm(text),
        InstanceState::Starting | InstanceState::Idle => text.to_owned(),
        InstanceState::Suspended | InstanceState::Ended { .. } => paint.dim(text),
    }
}

fn line(view: &InstanceView, held: Option<&Held>, now: Millis) -> String {
    let mut parts = vec![view.state.to_string()];
    let model = view
        .spec
        .model
        .as_deref()
        .map(|model| format!(" {model}"))
        .unwrap_or_default();
    parts.extend(held.map(|held| words::held_note(held, view.run, now)));
    parts.push(format!("{}{model}", view.spec.agent));
    parts.extend(view.spec.role.clone());
    if view.queued > 0 {
        parts.push(format!("{} queued", view.queued));
    }
    if view.notes > 0 {
        parts.push(words::count(u64::from(view.notes), "unread note"));
    }
    if view.turns > 0 {
        parts.push(words::count(u64::from(view.turns), "turn"));
        parts.push(words::run_cost(view.cost_nano, view.cost_unknown));
    }
    if let Some(outcome) = view.last_outcome.as_ref().filter(|outcome| !outcome.is_success()) {
        parts.push(format!("last {}", outcome.to_string().replace('_', " ")));
    }
    let ago = std::time::Duration::from_millis(now.0.saturating_sub(view.active_at.0));
    parts.push(format!("active {} ago", human(ago)));
    parts.join(", ")
}

/// Prints the audit log, or who wrote whom.
pub(crate) fn audit(app: &App, args: &args::Audit) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let instance = match &args.instance {
        Some(name) => Some(crew::instance(reader.as_mut(), name)?.id),
        None => None,
    };
    let day = args.day.as_deref().map(crew_verb::day).transpose()?;
    if args.messages {
        return messages(app, reader.as_mut(), instance, day);
    }
    let mut after = Some(0);
    while let Some(from) = after {
        let (lines, next) = crew_verb::audit(reader.as_mut(), from, instance, day, PAGE)?;
        after = next;
        for line in &lines {
            if app.terminal.json {
                app.terminal.print_json_line(&document::audit(line))?;
            } else {
                let to = line.instance.map(|id| format!(" {id}")).unwrap_or_default();
                let text = format!(
                    "{} {} {}{to} {}",
                    moment(line.at),
                    line.by,
                    line.verb,
                    one_line(&line.detail)
                );
                app.terminal.print(&(text.trim_end().to_owned() + "\n"))?;
            }
        }
    }
    Ok(exit::OK)
}

/// The communication log: who wrote whom, when, and what became of it. The words are left to `output`.
fn messages(
    app: &App,
    reader: &mut dyn wheelhouse_core::store::Reader,
    instance: Option<InstanceId>,
    day: Option<&str>,
) -> Outcome {
    let mut after = Some(MessageId::default());
    while let Some(from) = after {
        let (page, next) = crew_verb::messages(reader, from, instance, day, PAGE)?;
        after = next;
        for message in &page {
            if app.terminal.json {
                app.terminal.print_json_line(&document::letter(message))?;
            } else {
                let state = document::became(&message.state);
                app.terminal.print(&format!(
                    "{} {} {} → {} {} bytes, {state}\n",
                    moment(message.sent_at),
                    message.id,
                    message.from,
                    message.to,
                    message.text.len()
                ))?;
            }
        }
    }
    Ok(exit::OK)
}
