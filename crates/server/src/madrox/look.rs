//! What instances are, did and said: statuses, outputs, the tree, summaries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::ids::{Cursor, InstanceId};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::store::Reader;
use wheelhouse_core::time::Millis;

use super::shape::{self, names, record, relative, views};
use super::{Asked, Verb, verb};
use crate::face::crew::{self, Said, What};
use crate::face::document::moment;
use crate::face::failure::Failure;
use crate::face::moment::now;

/// How many entries of an output are given when nobody says.
const LIMIT: usize = 100;
/// How many entries of an output are given at the most.
const LIMIT_MAX: usize = 10_000;
/// How much of a text a summary holds, in characters.
const SUMMARY_MAX: usize = 600;

#[rustfmt::skip]
pub(super) fn verbs() -> Vec<Verb> {
    vec![
        verb!(Person Reads "get_instance_output", OutputArgs, output,
            "Get what an instance was told and what it answered.", "messages history transcript"),
        verb!(Person Reads "get_multiple_instance_outputs", OutputsArgs, outputs,
            "Get what several instances were told and answered.", "messages history several"),
        verb!(Person Reads "get_tmux_pane_content", PaneArgs, pane,
            "Get what an instance did and said as text, the last lines of it.", "terminal screen log transcript"),
        verb!(Person Reads "get_instance_status", StatusArgs, status,
            "Get the status of one instance, or of all with what they used and cost.", "state cost tokens overview"),
        verb!(Person Reads "get_live_instance_status", OneArgs, live,
            "Get what an instance does just now: since when, with which tools, its last words.", "progress running tools current"),
        verb!(Person Reads "get_children", ChildrenArgs, children,
            "Get the children of an instance.", "below team members"),
        verb!(Person Reads "get_peers", OneArgs, peers,
            "Get the instances that have the same parent.", "siblings team"),
        verb!(Person Reads "get_instance_tree", NoArgs, tree,
            "Get the tree of instances as text.", "hierarchy overview network"),
        verb!(Person Reads "get_main_instance_id", NoArgs, main_instance,
            "Get the oldest instance that has no parent.", "root main"),
        verb!(Person Reads "get_agent_summary", OneArgs, summary,
            "Get in short what an instance has done, from what is recorded.", "activity digest what happened"),
        verb!(Person Reads "get_all_agent_summaries", SummariesArgs, summaries,
            "Get in short what all instances have done.", "activity digest team"),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct NoArgs {}

#[derive(Deserialize, JsonSchema)]
struct OneArgs {
    instance_id: String,
}

#[derive(Deserialize, JsonSchema)]
struct ChildrenArgs {
    #[serde(alias = "instance_id")]
    parent_id: String,
}

#[derive(Deserialize, JsonSchema)]
struct StatusArgs {
    #[serde(default)]
    instance_id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct OutputArgs {
    instance_id: String,
    #[serde(default)]
    limit: Option<usize>,
    /// A moment, such as `2026-11-27T10:00:00Z`.
    #[serde(default)]
    since: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct OutputsArgs {
    #[serde(alias = "requests", deserialize_with = "names")]
    instance_ids: Vec<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    since: Option<String>,
}

/// Everything an instance was told, did and said.
pub(super) fn all_said(reader: &mut dyn Reader, view: &InstanceView) -> Result<Vec<Said>, Failure> {
    let (mut all, mut cursor) = (Vec::new(), Cursor(0));
    loop {
        let (said, next) = crew::output(reader, view, cursor)?;
        all.extend(said);
        if next == cursor {
            return Ok(all);
        }
        cursor = next;
    }
}

/// A moment as clients write it, with or without a zone; without one it is in UTC.
pub(super) fn since(text: Option<&str>) -> Result<Millis, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Millis(0));
    };
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let civil = || {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    zoned
        .or_else(civil)
        .and_then(|at| u64::try_from(at.as_millisecond()).ok())
        .map(Millis)
        .ok_or_else(|| Failure::usage(format!("`since` is {text}, not a moment such as 2026-11-27T10:00:00Z")))
}

fn messages(
    reader: &mut dyn Reader,
    name: &str,
    limit: Option<usize>,
    after: Millis,
) -> Result<(InstanceId, Vec<Value>), Failure> {
    let view = crew::instance(reader, name)?;
    let id = view.id.to_string();
    let mut lines = Vec::new();
    for said in all_said(reader, &view)? {
        let (kind, content) = match &said.what {
            What::Message(message) if message.to.instance() == Some(view.id) => ("user", &message.text),
            What::Answer { answer, .. } => ("response", &answer.text),
            What::Message(_) | What::Report { .. } => continue,
        };
        let index = lines.len();
        if said.at >= after {
            lines.push(json!({
                "instance_id": id,
                "timestamp": moment(said.at),
                "type": kind,
                "content": content,
                "message_index": index,
            }));
        }
    }
    let limit = limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let from = lines.len().saturating_sub(limit);
    Ok((view.id, lines.split_off(from)))
}

async fn output(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: OutputArgs = asked.takes()?;
    let after = since(wish.since.as_deref())?;
    let read = asked.faces.desk.read(move |reader| {
        let (id, lines) = messages(reader, &wish.instance_id, wish.limit, after)?;
        Ok(json!({ "instance_id": id.to_string(), "output": lines }))
    });
    read.await
}

async fn outputs(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: OutputsArgs = asked.takes()?;
    let after = since(wish.since.as_deref())?;
    let read = asked.faces.desk.read(move |reader| {
        let (mut outputs, mut errors) = (Vec::new(), Vec::new());
        for name in &wish.instance_ids {
            match messages(reader, name, wish.limit, after) {
                Ok((id, lines)) => outputs.push(json!({ "instance_id": id.to_string(), "output": lines })),
                Err(failure) => errors.push(json!({ "instance_id": name, "error": failure.message })),
            }
        }
        Ok(json!({ "outputs": outputs, "errors": errors }))
    });
    read.await
}

#[derive(Deserialize, JsonSchema)]
struct PaneArgs {
    instance_id: String,
    /// -1 for all.
    #[serde(default)]
    lines: Option<i64>,
}

/// What an instance did and said, as lines of text.
pub(super) fn transcript(reader: &mut dyn Reader, name: &str, most: Option<usize>) -> Result<String, Failure> {
    let view = crew::instance(reader, name)?;
    let mut lines = Vec::new();
    for said in all_said(reader, &view)? {
        let text = match &said.what {
            What::Message(message) => format!("> {} → {}: {}", message.from, message.to, message.text),
            What::Report { kind, text } => format!("  {kind}: {text}"),
            What::Answer { answer, .. } => match answer.outcome.as_ref().filter(|outcome| !outcome.is_success()) {
                Some(outcome) => format!("{}\n({outcome})", answer.text),
                None => answer.text.clone(),
            },
        };
        lines.extend(text.lines().map(str::to_owned));
    }
    let from = most.map_or(0, |most| lines.len().saturating_sub(most));
    Ok(lines[from..].join("\n"))
}

async fn pane(asked: &Asked<'_>) -> Result<Value, Failure> {
    let PaneArgs { instance_id, lines } = asked.takes()?;
    let most = usize::try_from(lines.unwrap_or(100)).ok();
    let read = asked
        .faces
        .desk
        .read(move |reader| transcript(reader, &instance_id, most));
    Ok(Value::String(read.await?))
}

async fn status(asked: &Asked<'_>) -> Result<Value, Failure> {
    let StatusArgs { instance_id } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| match instance_id {
        Some(name) => Ok(record(&crew::instance(reader, &name)?)),
        None => Ok(shape::all(&views(reader, true)?)),
    });
    read.await
}

async fn live(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    asked.faces.desk.read(move |reader| live_of(reader, &instance_id)).await
}

/// What an instance does just now.
pub(super) fn live_of(reader: &mut dyn Reader, name: &str) -> Result<Value, Failure> {
    let view = crew::instance(reader, name)?;
    let started = match view.turn {
        Some(task) => reader.task(task)?.and_then(|task| task.started_at),
        None => None,
    };
    let said = all_said(reader, &view)?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut tool, mut last) = (None, None);
    for line in &said {
        let (kind, text) = match &line.what {
            What::Report { kind, text } => (kind.as_str(), text),
            What::Message(message) => ("message", &message.text),
            What::Answer { answer, .. } => ("answer", &answer.text),
        };
        *counts.entry(kind).or_default() += 1;
        match kind {
            "tool" => tool = Some(text.clone()),
            "message" => {}
            _ => last = Some(text.clone()),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    let seconds = started.map(|at| now().0.saturating_sub(at.0) as f64 / 1_000.0);
    let busy = view.turn.is_some();
    Ok(json!({
        "instance_id": view.id.to_string(),
        "state": shape::state(&view.state),
        "execution_time": seconds,
        "last_output": last,
        "event_counts": counts,
        "current_tool": tool.filter(|_| busy),
        "tools_executed": counts.get("tool").copied().unwrap_or(0),
        "last_activity": moment(view.active_at),
    }))
}

async fn children(asked: &Asked<'_>) -> Result<Value, Failure> {
    let ChildrenArgs { parent_id } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let parent = crew::instance(reader, &parent_id)?.id;
        let all = views(reader, false)?;
        let below = all.iter().filter(|view| view.parent == Some(parent));
        Ok(below.map(relative).collect())
    });
    read.await
}

async fn peers(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let own = crew::instance(reader, &instance_id)?;
        let all = views(reader, false)?;
        let beside = all.iter().filter(|view| view.parent == own.parent && view.id != own.id);
        Ok(beside.map(relative).collect())
    });
    read.await
}

async fn tree(asked: &Asked<'_>) -> Result<Value, Failure> {
    let NoArgs {} = asked.takes()?;
    let views = asked.faces.desk.read(|reader| views(reader, false)).await?;
    Ok(Value::String(drawn(&views)))
}

/// The tree as text, children below their parents.
fn drawn(views: &[InstanceView]) -> String {
    let mut text = String::new();
    let is_root = |view: &&InstanceView| !views.iter().any(|other| Some(other.id) == view.parent);
    let mut open: Vec<(&InstanceView, usize)> = views.iter().filter(is_root).rev().map(|view| (view, 0)).collect();
    while let Some((view, depth)) = open.pop() {
        text.push_str(&format!(
            "{}{} ({}) [{}] {}, {}\n",
            match depth {
                0 => String::new(),
                depth => format!("{}└─ ", "   ".repeat(depth - 1)),
            },
            view.spec.name,
            view.id,
            shape::state(&view.state),
            view.spec.agent,
            view.spec.role.as_deref().unwrap_or("general"),
        ));
        let below = views.iter().filter(|child| child.parent == Some(view.id)).rev();
        open.extend(below.map(|child| (child, depth + 1)));
    }
    match text.is_empty() {
        true => "no instances".to_owned(),
        false => text,
    }
}

async fn main_instance(asked: &Asked<'_>) -> Result<Value, Failure> {
    let NoArgs {} = asked.takes()?;
    let views = asked.faces.desk.read(|reader| views(reader, false)).await?;
    let root = views.iter().find(|view| view.parent.is_none());
    Ok(json!(root.map(|view| view.id.to_string())))
}

/// What an instance has done, from what is recorded: no model is asked for it.
pub(super) fn digest(reader: &mut dyn Reader, view: &InstanceView) -> Result<Value, Failure> {
    let said = all_said(reader, view)?;
    let asked = said.iter().rev().find_map(|line| match &line.what {
        What::Message(message) if message.to.instance() == Some(view.id) => Some(message.text.as_str()),
        _ => None,
    });
    let answer = said.iter().rev().find_map(|line| match &line.what {
        What::Answer { answer, .. } => Some(answer.text.as_str()),
        _ => None,
    });
    let tools = said
        .iter()
        .filter(|line| matches!(&line.what, What::Report { kind, .. } if kind == "tool"))
        .count();
    let doing = match &view.state {
        InstanceState::Waiting { question } => format!("waits for the answer to {question}"),
        other => shape::state(other).to_owned(),
    };
    let cut = |text: &str| crate::mcp::cut(text, SUMMARY_MAX);
    Ok(json!({
        "instance_id": view.id.to_string(),
        "instance_name": view.spec.name,
        "status": shape::state(&view.state),
        "summary": format!("{} is {doing}; {} turns, {tools} tool calls", view.spec.name, view.turns),
        "last_task": asked.map(cut),
        "last_answer": answer.map(cut),
        "updated_at": moment(view.active_at),
    }))
}

async fn summary(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let view = crew::instance(reader, &instance_id)?;
        digest(reader, &view)
    });
    read.await
}

#[derive(Deserialize, JsonSchema)]
struct SummariesArgs {
    #[serde(default)]
    status_filter: Option<Vec<String>>,
}

async fn summaries(asked: &Asked<'_>) -> Result<Value, Failure> {
    let SummariesArgs { status_filter } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let mut all = views(reader, status_filter.is_some())?;
        if let Some(wanted) = &status_filter {
            all.retain(|view| wanted.iter().any(|name| name == shape::state(&view.state)));
        }
        let digests = all.iter().map(|view| digest(reader, view));
        let digests = digests.collect::<Result<Vec<_>, Failure>>()?;
        Ok(json!({ "summaries": digests, "total": digests.len() }))
    });
    read.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_and_without_a_zone() {
        let at = since(Some("2026-11-27T10:00:00Z")).unwrap();
        assert_eq!(since(Some("2026-11-27T10:00:00")).unwrap(), at);
        assert_eq!(since(Some("2026-11-27T11:00:00+01:00")).unwrap(), at);
        assert_eq!(since(None).unwrap(), Millis(0));
        assert!(since(Some("yesterday")).is_err());
    }
}
