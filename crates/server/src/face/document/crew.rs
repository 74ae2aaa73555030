//! The documents of instances, messages, coordinations and the policy.

use serde_json::{Value, json};
use wheelhouse_core::coordinate::{self, Mode};
use wheelhouse_core::crew::{AuditView, CrewPolicy};
use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::message::{MessageState, MessageView};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Isolation;

use super::{UsageDoc, moment, outcome_doc};
use crate::face::crew::{Answer, Coordinated, Said, What};

/// An instance. Its system prompt, environment and MCP servers are left out: they may hold what is nobody's business.
pub fn instance(view: &InstanceView) -> Value {
    let InstanceView {
        id,
        run,
        parent,
        depth,
        spec,
        rights,
        state,
        turn,
        message,
        turns,
        queued,
        notes,
        session,
        last_outcome,
        usage,
        cost_nano,
        cost_unknown,
        spawned_at,
        active_at,
        ended_at,
    } = view;
    let (question, end) = match state {
        InstanceState::Waiting { question } => (Some(question.to_string()), None),
        InstanceState::Ended { end } => (None, Some(end.name())),
        InstanceState::Starting | InstanceState::Idle | InstanceState::Busy | InstanceState::Suspended => (None, None),
    };
    json!({
        "id": id.to_string(),
        "name": spec.name,
        "agent": spec.agent.as_str(),
        "model": spec.model,
        "role": spec.role,
        "state": state.name(),
        "question": question,
        "end": end,
        "parent": parent.map(|parent| parent.to_string()),
        "depth": depth,
        "run": run.to_string(),
        "message": message.map(|message| message.to_string()),
        "turn": message.filter(|_| turn.is_some()).map(|message| format!("{run}/{id}.{message}")),
        "turns": turns,
        "queued": queued,
        "notes": notes,
        "session": session,
        "last_outcome": last_outcome.as_ref().map(outcome_doc),
        "isolated": spec.isolation == Isolation::Worktree,
        "rights": { "spawn": rights.spawn, "agents": rights.agents, "models": rights.models },
        "usage": UsageDoc::from(usage),
        "cost": { "known_nano": cost_nano, "unknown_attempts": cost_unknown },
        "spawned_at": moment(*spawned_at),
        "active_at": moment(*active_at),
        "ended_at": ended_at.map(moment),
    })
}

/// Instances, and what they have cost together.
pub fn instances(views: &[InstanceView]) -> Value {
    let known: u64 = views.iter().map(|view| view.cost_nano).sum();
    let unknown: u64 = views.iter().map(|view| view.cost_unknown).sum();
    json!({
        "instances": views.iter().map(instance).collect::<Vec<_>>(),
        "cost": { "known_nano": known, "unknown_attempts": unknown },
    })
}

/// What became of an interrupted turn: the message whose turn it was, if any was under way.
pub fn interrupted(id: InstanceId, message: Option<&MessageView>) -> Value {
    json!({
        "instance": id.to_string(),
        "message": message.map(|view| view.id.to_string()),
        "confirmed": message.and_then(|view| view.state.obeyed()),
        "said": match message {
            None => "nothing was under way".to_owned(),
            Some(view) if view.state.is_over() => became(&view.state),
            Some(_) => "asked to stop; not confirmed yet".to_owned(),
        },
    })
}

/// What became of a message, in words.
pub fn became(state: &MessageState) -> String {
    match state {
        MessageState::Done {
            outcome: Outcome::Cancelled,
            ..
        } => "interrupted".to_owned(),
        MessageState::Done {
            outcome: Outcome::Killed,
            ..
        } => "interrupted, but it did not obey and was ended".to_owned(),
        MessageState::Done { outcome, .. } => outcome.to_string().replace('_', " "),
        other => other.name().to_owned(),
    }
}

/// A message, with its answer when there is one.
pub fn message(view: &MessageView, answer: Option<&Answer>) -> Value {
    let MessageView {
        id,
        from,
        to,
        trust,
        kind,
        correlation,
        coordination,
        after,
        text,
        key,
        sent_at,
        over_at,
        state,
    } = view;
    let outcome = match state {
        MessageState::Done { outcome, .. } => Some(outcome_doc(outcome)),
        MessageState::Queued | MessageState::Open { .. } | MessageState::Read | MessageState::Dropped => None,
    };
    json!({
        "id": id.to_string(),
        "from": from.to_string(),
        "to": to.to_string(),
        "trust": trust,
        "kind": kind,
        "state": state.name(),
        "outcome": outcome,
        "correlation": correlation.map(|id| id.to_string()),
        "coordination": coordination.map(|id| id.to_string()),
        "after": after.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "text": text,
        "answer": answer.map(|answer| answer.text.as_str()),
        "key": key,
        "sent_at": moment(*sent_at),
        "over_at": over_at.map(moment),
    })
}

/// A message in the log of who wrote whom: without its words.
pub fn letter(view: &MessageView) -> Value {
    json!({
        "at": moment(view.sent_at),
        "message": view.id.to_string(),
        "from": view.from.to_string(),
        "to": view.to.to_string(),
        "kind": view.kind,
        "trust": view.trust,
        "correlation": view.correlation.map(|id| id.to_string()),
        "bytes": view.text.len(),
        "state": view.state.name(),
        "over_at": view.over_at.map(moment),
    })
}

/// A line of an instance's output.
pub fn said(said: &Said) -> Value {
    let (kind, body) = match &said.what {
        What::Message(view) => ("message", message(view, None)),
        What::Report { kind, text } => ("report", json!({ "kind": kind, "text": text })),
        What::Answer { message, answer } => (
            "answer",
            json!({
                "message": message.to_string(),
                "outcome": answer.outcome.as_ref().map(outcome_doc),
                "text": answer.text,
            }),
        ),
    };
    json!({ "cursor": said.cursor.0, "at": moment(said.at), "type": kind, kind: body })
}

/// A coordination with its answers and what they come to.
pub fn coordination(of: &Coordinated) -> Value {
    let record = &of.record;
    let seats: Vec<Value> = record
        .seats
        .iter()
        .zip(&of.answers)
        .map(|(seat, answer)| {
            let (outcome, text) = match answer {
                coordinate::Answer::Given(outcome, text) => (Some(outcome_doc(outcome)), Some(text)),
                coordinate::Answer::Expected | coordinate::Answer::Missing => (None, None),
            };
            json!({
                "instance": seat.instance.to_string(),
                "vendor": seat.vendor,
                "message": seat.message.to_string(),
                "expected": *answer == coordinate::Answer::Expected,
                "outcome": outcome,
                "answer": text,
            })
        })
        .collect();
    let quorum = match record.mode {
        Mode::Consensus { quorum } => Some(quorum),
        Mode::Parallel | Mode::Sequential => None,
    };
    json!({
        "id": record.id.to_string(),
        "mode": record.mode.name(),
        "quorum": quorum,
        "by": record.by.to_string(),
        "text": record.text,
        "at": moment(record.at),
        "seats": seats,
        "result": of.outcome,
    })
}

/// The policy, by the names with which it is changed.
pub fn policy(policy: &CrewPolicy) -> Value {
    let pairs = crate::face::policy::KEYS
        .iter()
        .map(|key| (key.name.to_owned(), (key.show)(policy)));
    Value::Object(pairs.collect())
}

/// A line of the audit log.
pub fn audit(line: &AuditView) -> Value {
    let AuditView {
        id,
        at,
        by,
        instance,
        verb,
        detail,
    } = line;
    json!({
        "id": id,
        "at": moment(*at),
        "by": by.to_string(),
        "instance": instance.map(|id| id.to_string()),
        "verb": verb,
        "detail": detail,
    })
}
