//! What an instance did and said, as updates of the protocol; how a turn ended, as its stop reason; a question of its,
//! as a request for permission.

use serde_json::{Value, json};
use wheelhouse_core::ids::MessageId;
use wheelhouse_core::message::{MessageState, MessageView, Party};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::store::QuestionView;

use super::message::Refusal;
use crate::face::crew::{Said, What};
use crate::face::verb::outcome_words;

/// The reports that somebody who waits wants to know of. The others are receipts, and what this version does not know.
const NEWS: &[&str] = &[
    "child",
    "limit",
    "needs_attention",
    "notice",
    "overlap",
    "permission",
    "supervisor",
];

/// How a turn ended that the editor asked to stop or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// To its end.
    Whole,
    /// The editor cancelled it.
    Cancelled,
}

/// The updates for one line of the output. `own` is the message of the prompt under way: the editor shows that itself.
pub(super) fn updates(said: &Said, own: Option<MessageId>) -> Vec<Value> {
    match &said.what {
        What::Message(message) if Some(message.id) == own => Vec::new(),
        What::Message(message) if message.from == Party::Person => vec![chunk("user_message_chunk", &message.text)],
        What::Message(message) => {
            let MessageView { from, to, text, .. } = message;
            vec![chunk("agent_thought_chunk", &format!("{from} to {to}: {text}\n"))]
        }
        What::Report { kind, text } if kind == "tool" => vec![tool(&format!("e{}", said.cursor.0), text)],
        What::Report { kind, text } if kind == "plan" => vec![plan(text)],
        What::Report { kind, text } if NEWS.contains(&kind.as_str()) => {
            vec![chunk("agent_thought_chunk", &format!("{kind}: {text}\n"))]
        }
        What::Report { .. } => Vec::new(),
        What::Answer { answer, .. } if answer.text.is_empty() => Vec::new(),
        What::Answer { answer, .. } => vec![chunk("agent_message_chunk", &answer.text)],
    }
}

/// A piece of somebody's words.
pub(super) fn chunk(kind: &str, text: &str) -> Value {
    json!({ "sessionUpdate": kind, "content": { "type": "text", "text": text } })
}

/// A tool call that came back: `Read src/a.rs`, `Bash (failed) make: …`.
fn tool(id: &str, text: &str) -> Value {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let failed = ["(failed)", "(denied)"].iter().any(|mark| rest.starts_with(mark));
    json!({
        "sessionUpdate": "tool_call",
        "toolCallId": id,
        "title": text,
        "kind": kind(name),
        "status": if failed { "failed" } else { "completed" },
    })
}

/// What a tool does, by its name, in the protocol's words.
fn kind(name: &str) -> &'static str {
    const KINDS: &[(&[&str], &str)] = &[
        (&["edit", "write", "patch", "replace"], "edit"),
        (&["read", "cat", "view"], "read"),
        (&["grep", "glob", "search", "find"], "search"),
        (&["fetch"], "fetch"),
        (&["bash", "shell", "exec", "command", "terminal"], "execute"),
    ];
    let name = name.to_ascii_lowercase();
    let known = KINDS
        .iter()
        .find(|(marks, _)| marks.iter().any(|mark| name.contains(mark)));
    known.map_or("other", |(_, kind)| kind)
}

/// The agent's own list, an item a line: `[in_progress] Write the test`.
fn plan(text: &str) -> Value {
    let entries: Vec<Value> = text
        .lines()
        .map(|line| {
            let marked = line.strip_prefix('[').and_then(|line| line.split_once("] "));
            let (mark, content) = marked.unwrap_or(("", line));
            let status = match mark {
                "completed" | "x" | "done" => "completed",
                "in_progress" | "inProgress" => "in_progress",
                _ => "pending",
            };
            json!({ "content": content, "priority": "medium", "status": status })
        })
        .collect();
    json!({ "sessionUpdate": "plan", "entries": entries })
}

/// What a prompt is answered with; none while its message waits for its answer.
pub(super) fn stopped(message: &MessageView, wanted: Wanted) -> Option<Result<Value, Refusal>> {
    let reason = |reason: &str| Some(Ok(json!({ "stopReason": reason })));
    match (&message.state, wanted) {
        (MessageState::Queued | MessageState::Open { .. }, _) => None,
        (_, Wanted::Cancelled) => reason("cancelled"),
        (MessageState::Read, Wanted::Whole) => reason("end_turn"),
        (MessageState::Dropped, Wanted::Whole) => Some(Err(Refusal::failed(format!(
            "{} will not be answered: its mailbox was cleared or its instance ended; `wheelhouse audit` says by whom",
            message.id
        )))),
        (MessageState::Done { outcome, .. }, Wanted::Whole) => match outcome {
            Outcome::Succeeded => reason("end_turn"),
            Outcome::Cancelled => reason("cancelled"),
            Outcome::Refused => reason("refusal"),
            Outcome::Truncated => reason("max_tokens"),
            other => Some(Err(Refusal::failed(format!(
                "the turn failed: {}; `wheelhouse output {}` has what is known of it",
                outcome_words(other),
                message.to
            )))),
        },
    }
}

/// The request that asks the editor's user. None for a question that wants words: no option can hold them.
pub(super) fn question(session: &str, question: &QuestionView) -> Option<Value> {
    let choices = question.kind.choices();
    if choices.is_empty() {
        return None;
    }
    let options: Vec<Value> = choices
        .iter()
        .map(|choice| {
            let (name, kind) = option(choice);
            json!({ "optionId": choice, "name": name, "kind": kind })
        })
        .collect();
    let kind = match question.kind {
        QuestionKind::Permission => "execute",
        QuestionKind::Approval | QuestionKind::Failure | QuestionKind::Conflict | QuestionKind::Words => "other",
    };
    Some(json!({
        "sessionId": session,
        "toolCall": {
            "toolCallId": question.id.to_string(),
            "title": question.text,
            "kind": kind,
            "status": "pending",
        },
        "options": options,
    }))
}

fn option(choice: &str) -> (&'static str, &'static str) {
    match choice {
        "approve" => ("Allow", "allow_once"),
        "deny" => ("Deny", "reject_once"),
        "retry" => ("Try again", "allow_once"),
        "continue" => ("Go on without it", "allow_once"),
        _ => ("Give it up", "reject_once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_calls_and_plans_are_read_from_what_is_kept() {
        let failed = tool("e1", "Bash (failed) make: no rule");
        assert_eq!(
            (failed["kind"].as_str(), failed["status"].as_str()),
            (Some("execute"), Some("failed"))
        );
        let read = tool("e2", "Read src/a (failed) b");
        assert_eq!(
            (read["kind"].as_str(), read["status"].as_str()),
            (Some("read"), Some("completed"))
        );
        let plan = plan("[completed] Look\n[in_progress] Write; then test\nlater");
        let entries: Vec<(&str, &str)> = plan["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (entry["content"].as_str().unwrap(), entry["status"].as_str().unwrap()))
            .collect();
        assert_eq!(
            entries,
            [
                ("Look", "completed"),
                ("Write; then test", "in_progress"),
                ("later", "pending")
            ]
        );
    }
}
