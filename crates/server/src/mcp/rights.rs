//! Who may use a tool of another server: the scope of the token, the rules of `permissions`, and where they say so, a person.
//!
//! A person's agent (a token of scope `operate`) may what no rule forbids or asks about; a token of scope `read` what only reads,
//! by the word of its server (`readOnlyHint`). An instance is held to the rules as its agent is: what none names is asked, but for
//! what only reads. The servers are the user's choice, so their word on that is taken; a rule for `SERVER/*` does not take it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use wheelhouse_core::ids::QuestionId;
use wheelhouse_core::instance::InstanceView;
use wheelhouse_core::message::Party;
use wheelhouse_core::policy::{self, Decision};
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::store::{Command, QuestionView, Reader, Reply};

use super::call::{Answer, Call};
use super::person::{self, Confirmed};
use super::use_tool::turn;
use crate::desk::Over;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::tool_use::Ready;
use crate::token::Scope;

/// How long a call waits for a person; then it is answered, and the caller asks again.
const ASK_WAIT: Duration = Duration::from_secs(50);
/// How much of the arguments a person is shown, in bytes.
const SHOWN_MAX: usize = 1_000;
/// How many open wishes for leave are remembered.
const LEAVE_MAX: usize = 1_000;

/// What people were asked about calls, by what was to be called.
#[derive(Debug, Default)]
pub(crate) struct Leave(Mutex<BTreeMap<String, QuestionId>>);

impl Leave {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, QuestionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who calls, and with which instance.
pub(super) struct Who {
    /// The instance, when it is one.
    pub(super) instance: Option<InstanceView>,
}

/// Whether a call may be made now.
pub(super) enum May {
    /// It may.
    Yes,
    /// Not yet; this is answered.
    Answer(Box<Answer>),
}

/// Who calls.
pub(super) async fn who(call: &Call<'_>) -> Result<Who, Failure> {
    let instance = match call.party() {
        Party::Person => None,
        Party::Instance(id) => call.faces.desk.read(move |reader| Ok(reader.instance(id)?)).await?,
    };
    Ok(Who { instance })
}

/// The arguments as rules see them: compact JSON, members in the order of the alphabet.
pub(crate) fn detail(arguments: &Map<String, Value>) -> String {
    let sorted: BTreeMap<&String, &Value> = arguments.iter().collect();
    json!(sorted).to_string()
}

/// Whether this call may be made.
pub(super) async fn may(
    call: &Call<'_>,
    who: &Who,
    ready: &Ready,
    arguments: &Map<String, Value>,
) -> Result<May, Failure> {
    let (name, detail) = (ready.name(), detail(arguments));
    let agent = who
        .instance
        .as_ref()
        .map_or("", |instance| instance.spec.agent.as_str());
    let ruled = policy::ruled(&call.faces.tool_rules.policy, agent, &name, &detail);
    let reads = ready.tool().read_only;
    match (ruled, &who.instance) {
        (Some(Decision::Deny), _) => Err(Failure::new(
            exit::REFUSED,
            format!("a rule of `permissions.deny` forbids `{name}` with these arguments"),
        )),
        (Some(Decision::Allow), Some(_)) => Ok(May::Yes),
        (None, Some(_)) if reads => Ok(May::Yes),
        (Some(Decision::Ask) | None, Some(instance)) => ask_for(call, instance, &name, &detail).await,
        (Some(Decision::Allow) | None, None) if reads => Ok(May::Yes),
        (Some(Decision::Allow) | None, None) => operates(call, &name).map(|()| May::Yes),
        (Some(Decision::Ask), None) if call.caller().may(Scope::Operate).is_err() => Err(Failure::new(
            exit::REFUSED,
            format!("a person is to be asked about `{name}`, and nobody answers for a token of scope `read`"),
        )),
        (Some(Decision::Ask), None) => ask_user(call, &name, &detail).await,
    }
}

/// A token that may only look uses what only looks.
fn operates(call: &Call<'_>, name: &str) -> Result<(), Failure> {
    call.caller().may(Scope::Operate).map_err(|_| {
        Failure::new(
            exit::REFUSED,
            format!(
                "a token of scope `read` uses what only reads, and the server of `{name}` does not say that it does; it needs \
                 `operate`"
            ),
        )
    })
}

fn shown(name: &str, detail: &str) -> String {
    format!("{name} {}", &detail[..detail.floor_char_boundary(SHOWN_MAX)])
}

fn not_allowed(name: &str) -> Failure {
    Failure::new(
        exit::REFUSED,
        format!("a person was asked, and does not allow `{name}` with these arguments"),
    )
}

/// Asks the person before the client whose token it is.
async fn ask_user(call: &Call<'_>, name: &str, detail: &str) -> Result<May, Failure> {
    let deadline = Instant::now() + ASK_WAIT;
    match person::confirm(call, &shown(name, detail), deadline).await? {
        Confirmed::Yes => Ok(May::Yes),
        Confirmed::No => Err(not_allowed(name)),
        Confirmed::ComesBack(answer) => Ok(May::Answer(answer)),
        Confirmed::Nobody => Err(Failure::new(
            exit::REFUSED,
            format!("`permissions.ask` wants a person to be asked about `{name}`, and nobody before this client said anything"),
        )
        .hint("the user can call it with `wheelhouse tools call`, or put a rule into `permissions.allow`")),
    }
}

/// Asks a person for an instance: a question of its turn, as its agent's own are.
async fn ask_for(call: &Call<'_>, instance: &InstanceView, name: &str, detail: &str) -> Result<May, Failure> {
    let about = format!("{} {name} {detail}", instance.id);
    let key = blake3::hash(about.as_bytes()).to_hex().to_string();
    let known = call.faces.leave.held().get(&key).copied();
    let question = match known {
        Some(question) => question,
        None => {
            let question = put(call, instance, &key, shown(name, detail)).await?;
            let mut leave = call.faces.leave.held();
            if leave.len() >= LEAVE_MAX {
                leave.clear();
            }
            leave.insert(key.clone(), question);
            question
        }
    };
    let gone = call.context.ct.cancelled();
    let deadline = Instant::now() + ASK_WAIT;
    let look = move |reader: &mut dyn Reader| {
        let view = reader.question(question)?;
        let is_open = reader.open_questions()?.iter().any(|open| open.id == question);
        Ok((Over::from(!is_open), (is_open, view)))
    };
    let (is_open, view): (bool, Option<QuestionView>) = call.faces.desk.until(deadline, gone, look).await?;
    if is_open {
        let document = json!({
            "waits_for": question.to_string(),
            "note": "a person is asked whether it may be called; call again with the same arguments",
        });
        return Ok(May::Answer(Box::new(Answer::Refused(document))));
    }
    // An answer is for one call.
    call.faces.leave.held().remove(&key);
    let said = view.and_then(|view| view.answer).unwrap_or_default();
    match said.trim().eq_ignore_ascii_case("approve") {
        true => Ok(May::Yes),
        false => Err(not_allowed(name)),
    }
}

async fn put(call: &Call<'_>, instance: &InstanceView, key: &str, text: String) -> Result<QuestionId, Failure> {
    let (id, request) = (instance.id, format!("use_tool-{}", &key[..16]));
    let no_turn = || {
        let words = "a person would have to be asked, and your turn is over";
        Failure::new(exit::REFUSED, words)
    };
    let asked = call.faces.desk.change(move |truth| {
        let instance = truth.reader.instance(id)?.ok_or_else(no_turn)?;
        let lease = turn(truth.reader, &instance)?.ok_or_else(no_turn)?;
        truth.change(Command::Ask {
            lease,
            kind: QuestionKind::Permission,
            request,
            text,
        })
    });
    match asked.await? {
        Reply::Asked { question } => Ok(question),
        _ => Err(no_turn()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_see_arguments_in_one_order() {
        let of = |text: &str| detail(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap());
        assert_eq!(of(r#"{"b": 1, "a": "x"}"#), r#"{"a":"x","b":1}"#);
        assert_eq!(of(r#"{"a": "x", "b": 1}"#), of(r#"{"b": 1, "a": "x"}"#));
    }
}
