//! `send_to_instance`, `send_to_multiple_instances`, `broadcast_to_children`, `reply_to_caller`, `get_pending_replies`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::ids::MessageId;
use wheelhouse_core::message::{MessageKind, MessageView, Party};
use wheelhouse_core::store::Reader;

use super::shape::{names, views};
use super::{Asked, Verb, verb};
use crate::desk::Over;
use crate::face::crew;
use crate::face::crew_verb::{self, Letter, PERSON};
use crate::face::document::moment;
use crate::face::exit;
use crate::face::failure::Failure;

/// How long a send waits when nobody says, in seconds.
const TIMEOUT: u64 = 180;

#[rustfmt::skip]
pub(super) fn verbs() -> Vec<Verb> {
    vec![
        verb!(Crew Adds "send_to_instance", SendArgs, send,
            "Send a message to an instance; with `wait_for_response` its answer comes back.", "message talk ask tell"),
        verb!(Crew Adds "send_to_multiple_instances", ManyArgs, send_many,
            "Send the same message to several instances.", "message talk broadcast"),
        verb!(Crew Adds "broadcast_to_children", BroadcastArgs, broadcast,
            "Send a message to all children of an instance.", "message all everyone team"),
        verb!(Crew Adds "reply_to_caller", ReplyArgs, reply,
            "Reply to whoever leads you; for instances, with their own token.", "answer report back parent"),
        verb!(Crew Reads "get_pending_replies", PendingArgs, pending,
            "Get the replies that wait for you.", "inbox messages answers poll"),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct SendArgs {
    instance_id: String,
    message: String,
    #[serde(default)]
    wait_for_response: bool,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

async fn send(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: SendArgs = asked.takes()?;
    let wait = match wish.wait_for_response {
        true => wish.timeout_seconds.unwrap_or(TIMEOUT),
        false => 0,
    };
    let sent = to_all(asked, vec![wish.instance_id], wish.message).await?;
    match sent.into_iter().next() {
        Some((_, Ok(message))) => answer_of(asked, message, wait).await,
        Some((_, Err(failure))) => Err(failure),
        None => Err(Failure::usage("nobody is written to")),
    }
}

/// Sends the same words to several; each with its own answer.
async fn to_all(
    asked: &Asked<'_>,
    to: Vec<String>,
    text: String,
) -> Result<Vec<(String, Result<MessageId, Failure>)>, Failure> {
    let (by, key) = (asked.by(), asked.key.clone());
    let sent = asked.faces.desk.change(move |truth| {
        let mut all = Vec::with_capacity(to.len());
        let several = to.len() > 1;
        for name in to {
            let letter = Letter {
                from: by,
                to: vec![name.clone()],
                kind: MessageKind::Request,
                text: text.clone(),
                reply_to: None,
                after: Vec::new(),
                key: key.as_ref().map(|key| match several {
                    true => format!("{key}-{name}"),
                    false => key.clone(),
                }),
            };
            let sent = crew_verb::send(truth, &letter).and_then(|mut sent| {
                sent.pop()
                    .unwrap_or_else(|| Err(Failure::usage("nobody is written to")))
            });
            all.push((name, sent));
        }
        Ok(all)
    });
    sent.await
}

/// A message and its answer, waited for that long.
async fn answer_of(asked: &Asked<'_>, id: MessageId, seconds: u64) -> Result<Value, Failure> {
    let waited = seconds > 0;
    let look = move |reader: &mut dyn Reader| {
        let view = crew::message(reader, &id.to_string())?;
        let answer = crew::answer(reader, &view)?;
        let over = Over::from(answer.is_some());
        Ok((over, told(reader, &view, answer, waited)?))
    };
    asked.until(seconds, look).await
}

fn told(
    reader: &mut dyn Reader,
    view: &MessageView,
    answer: Option<crew::Answer>,
    waited: bool,
) -> Result<Value, Failure> {
    let instance = view.to.to_string();
    let Some(answer) = answer else {
        let status = match view.state.name() {
            "open" => "sent",
            _ => "queued",
        };
        let mut told = json!({
            "instance_id": instance,
            "status": status,
            "message_id": view.id.to_string(),
            "timestamp": moment(view.sent_at),
        });
        if waited {
            told["status"] = "timeout".into();
            told["response"] = Value::Null;
            told["error"] = "it is still at work; get_instance_output shows what comes".into();
        }
        return Ok(told);
    };
    let tokens = match answer.task {
        Some(task) => reader.attempts(task)?.iter().map(|attempt| attempt.usage.total()).sum(),
        None => 0,
    };
    let over_at = view.over_at.unwrap_or(view.sent_at);
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    let seconds = over_at.0.saturating_sub(view.sent_at.0) as f64 / 1_000.0;
    Ok(json!({
        "instance_id": instance,
        "status": "completed",
        "message_id": view.id.to_string(),
        "response": answer.text,
        "error": answer.outcome.as_ref().filter(|outcome| !outcome.is_success()).map(ToString::to_string),
        "timestamp": moment(over_at),
        "tokens_used": tokens,
        "response_time": seconds,
        "estimated_tokens": tokens,
        "protocol": "bidirectional",
    }))
}

#[derive(Deserialize, JsonSchema)]
struct ManyArgs {
    #[serde(alias = "requests", deserialize_with = "names")]
    instance_ids: Vec<String>,
    message: String,
    #[serde(default)]
    wait_for_responses: bool,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

async fn send_many(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: ManyArgs = asked.takes()?;
    let wait = match wish.wait_for_responses {
        true => wish.timeout_seconds.unwrap_or(TIMEOUT),
        false => 0,
    };
    let sent = to_all(asked, wish.instance_ids, wish.message).await?;
    let (answers, errors) = collected(asked, sent, wait).await?;
    let sent: Vec<Value> = answers
        .into_iter()
        .map(|(name, answer)| json!({ "instance_id": name, "response": answer }))
        .collect();
    let errors: Vec<Value> = errors
        .into_iter()
        .map(|(name, failure)| json!({ "instance_id": name, "error": failure.message }))
        .collect();
    Ok(json!({ "sent": sent, "errors": errors }))
}

type Parted = (Vec<(String, Value)>, Vec<(String, Failure)>);

/// What came of several messages, within one time for all.
async fn collected(
    asked: &Asked<'_>,
    sent: Vec<(String, Result<MessageId, Failure>)>,
    seconds: u64,
) -> Result<Parted, Failure> {
    let began = tokio::time::Instant::now();
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for (name, message) in sent {
        match message {
            Ok(id) => {
                let left = seconds.saturating_sub(began.elapsed().as_secs());
                answers.push((name, answer_of(asked, id, left).await?));
            }
            Err(failure) => errors.push((name, failure)),
        }
    }
    Ok((answers, errors))
}

#[derive(Deserialize, JsonSchema)]
struct BroadcastArgs {
    parent_id: String,
    message: String,
    #[serde(default)]
    wait_for_responses: bool,
}

async fn broadcast(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: BroadcastArgs = asked.takes()?;
    let parent = wish.parent_id;
    let children = asked.faces.desk.read(move |reader| {
        let parent = crew::instance(reader, &parent)?.id;
        let mut children = views(reader, false)?;
        children.retain(|view| view.parent == Some(parent));
        Ok(children)
    });
    let children = children.await?;
    let to = children.iter().map(|view| view.id.to_string()).collect();
    let sent = to_all(asked, to, wish.message).await?;
    let (answers, errors) = collected(asked, sent, if wish.wait_for_responses { TIMEOUT } else { 0 }).await?;
    let result = |view: &wheelhouse_core::instance::InstanceView| {
        let id = view.id.to_string();
        let mut result = json!({ "child_id": id, "child_name": view.spec.name });
        if let Some((_, answer)) = answers.iter().find(|(name, _)| *name == id) {
            result["status"] = answer["status"].clone();
            result["response"] = if wish.wait_for_responses {
                answer.clone()
            } else {
                Value::Null
            };
        }
        if let Some((_, failure)) = errors.iter().find(|(name, _)| *name == id) {
            result["status"] = "error".into();
            result["error"] = failure.message.clone().into();
        }
        result
    };
    let results: Vec<Value> = children.iter().map(result).collect();
    Ok(json!({ "children_count": children.len(), "results": results }))
}

#[derive(Deserialize, JsonSchema)]
struct ReplyArgs {
    instance_id: String,
    reply_message: String,
    #[serde(default)]
    correlation_id: Option<String>,
}

async fn reply(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: ReplyArgs = asked.takes()?;
    let by = asked.by();
    let Party::Instance(me) = by else {
        return Err(Failure::new(
            exit::REFUSED,
            "a reply is an instance's own: it is sent with the instance's token, never in its name",
        )
        .hint("`send_to_instance` writes to an instance"));
    };
    let delivered = asked.faces.desk.change(move |truth| {
        let named = crew::instance(truth.reader, &wish.instance_id)?;
        if named.id != me {
            return Err(Failure::new(
                exit::REFUSED,
                format!("this is the token of {me}, and not of {}", named.id),
            ));
        }
        // Whoever asked is answered; without a question, whoever leads.
        let to = match &wish.correlation_id {
            Some(id) => crew::message(truth.reader, id)?.from,
            None => named.parent.map_or(Party::Person, Party::Instance),
        };
        let letter = Letter {
            from: by,
            to: vec![to.to_string()],
            kind: MessageKind::Note,
            text: wish.reply_message,
            reply_to: wish.correlation_id.clone(),
            after: Vec::new(),
            key: None,
        };
        for sent in crew_verb::send(truth, &letter)? {
            sent?;
        }
        Ok((to, wish.correlation_id))
    });
    let (to, correlation) = delivered.await?;
    Ok(json!({
        "success": true,
        "delivered_to": to.to_string(),
        "correlation_id": correlation,
        "timestamp": moment(crate::face::moment::now()),
    }))
}

#[derive(Deserialize, JsonSchema)]
struct PendingArgs {
    /// Your own id; `coordinator` for whoever is no instance.
    instance_id: String,
    #[serde(default)]
    wait_timeout: u64,
}

async fn pending(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: PendingArgs = asked.takes()?;
    let by = asked.by();
    let whose = match wish.instance_id.as_str() {
        "coordinator" | "main" | "" => PERSON.to_owned(),
        name => name.to_owned(),
    };
    let look = move |reader: &mut dyn Reader| {
        let (whose, notes) = crew_verb::inbox(reader, by, Some(&whose))?;
        Ok((Over::from(!notes.is_empty()), (whose, notes)))
    };
    let (whose, notes) = asked.until(wish.wait_timeout, look).await?;
    if whose == by {
        let read = notes.clone();
        asked
            .faces
            .desk
            .change(move |truth| crew_verb::read_notes(truth, by, &read))
            .await?;
    }
    let replies: Vec<Value> = notes
        .iter()
        .map(|note| {
            json!({
                "sender_id": note.from.to_string(),
                "reply_message": note.text,
                "correlation_id": note.correlation.map(|id| id.to_string()),
                "timestamp": moment(note.sent_at),
            })
        })
        .collect();
    Ok(Value::Array(replies))
}
