//! The records of madrox, made from ours.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::store::Reader;

use crate::face::document::moment;
use crate::face::failure::Failure;

const NANO: f64 = 1e9;

/// How madrox calls a state.
pub(super) fn state(state: &InstanceState) -> &'static str {
    match state {
        InstanceState::Starting => "initializing",
        InstanceState::Idle => "idle",
        // Whoever waits for a person's answer is in the middle of a turn.
        InstanceState::Busy | InstanceState::Waiting { .. } => "busy",
        InstanceState::Suspended => "suspended",
        InstanceState::Ended { .. } => "terminated",
    }
}

/// Whether it counts as active.
pub(super) fn is_active(view: &InstanceView) -> bool {
    !matches!(view.state, InstanceState::Ended { .. })
}

#[expect(clippy::cast_precision_loss, reason = "for people; the exact number is stored")]
pub(super) fn dollars(nano: u64) -> f64 {
    nano as f64 / NANO
}

/// One instance. Its system prompt, environment and MCP servers are left out: they may hold what is nobody's business.
pub(super) fn record(view: &InstanceView) -> Value {
    let question = match &view.state {
        InstanceState::Waiting { question } => Some(question.to_string()),
        _ => None,
    };
    json!({
        "id": view.id.to_string(),
        "instance_id": view.id.to_string(),
        "name": view.spec.name,
        "instance_type": view.spec.agent.as_str(),
        "role": view.spec.role.as_deref().unwrap_or("general"),
        "model": view.spec.model,
        "state": state(&view.state),
        "waiting_for_question": question,
        "parent_instance_id": view.parent.map(|parent| parent.to_string()),
        "created_at": moment(view.spawned_at),
        "last_activity": moment(view.active_at),
        "terminated_at": view.ended_at.map(moment),
        "request_count": view.turns,
        "queued_messages": view.queued,
        "total_tokens_used": view.usage.total(),
        "total_cost": dollars(view.cost_nano),
        "unpriced_attempts": view.cost_unknown,
        "session_id": view.session,
        "error_message": view.last_outcome.as_ref().filter(|outcome| !outcome.is_success()).map(ToString::to_string),
    })
}

/// All of them, with the sums that madrox gives.
pub(super) fn all(views: &[InstanceView]) -> Value {
    let records: serde_json::Map<String, Value> =
        views.iter().map(|view| (view.id.to_string(), record(view))).collect();
    json!({
        "instances": records,
        "total_instances": views.len(),
        "active_instances": views.iter().filter(|view| is_active(view)).count(),
        "total_tokens_used": views.iter().map(|view| view.usage.total()).sum::<u64>(),
        "total_cost": dollars(views.iter().map(|view| view.cost_nano).sum()),
    })
}

/// As the dashboard of madrox wants it.
pub(super) fn tile(view: &InstanceView) -> Value {
    json!({
        "id": view.id.to_string(),
        "name": view.spec.name,
        "type": view.spec.agent.as_str(),
        "status": state(&view.state),
        "role": view.spec.role.as_deref().unwrap_or("general"),
        "parentId": view.parent.map(|parent| parent.to_string()),
        "createdAt": moment(view.spawned_at),
        "lastActivity": moment(view.active_at),
        "totalTokens": view.usage.total(),
        "totalCost": dollars(view.cost_nano),
    })
}

/// In a list of children or peers.
pub(super) fn relative(view: &InstanceView) -> Value {
    json!({
        "id": view.id.to_string(),
        "name": view.spec.name,
        "role": view.spec.role.as_deref().unwrap_or("general"),
        "state": state(&view.state),
        "instance_type": view.spec.agent.as_str(),
        "parent_instance_id": view.parent.map(|parent| parent.to_string()),
        "last_activity": moment(view.active_at),
    })
}

/// How many instances are looked through.
const INSTANCES_MAX: u32 = 10_000;

/// Every instance that has not ended, or every one.
pub(super) fn views(reader: &mut dyn Reader, ended: bool) -> Result<Vec<InstanceView>, Failure> {
    let filter = wheelhouse_core::crew::InstanceFilter { below: None, ended };
    Ok(reader.instances(filter, None, INSTANCES_MAX)?)
}

/// A list that may also be one thing, or a list of things with an `instance_id`: madrox's transports differ.
pub(super) fn names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let name = |value: &Value| match value {
        Value::String(name) => Ok(name.clone()),
        Value::Object(members) => match members.get("instance_id") {
            Some(Value::String(name)) => Ok(name.clone()),
            _ => Err(serde::de::Error::custom("an entry has no `instance_id`")),
        },
        _ => Err(serde::de::Error::custom("ids of instances are expected")),
    };
    match Value::deserialize(input)? {
        Value::Array(all) => all.iter().map(name).collect(),
        one => Ok(vec![name(&one)?]),
    }
}
