//! Asking the person behind the client: one question for both ages of the protocol.
//!
//! Up to 2025-11-25 the server asks while the call is held (`elicitation/create`). From 2026-07-28 on it answers that
//! input is required, and the client calls again with what the person said. What it was left with carries a seal, so that a
//! call with one that was changed, or that another caller or tool was given, is refused; and an answer is only taken for a
//! question that is still open, which the caller may answer anyway.

use std::collections::{BTreeMap, BTreeSet};

use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, EnumSchema, InputRequest,
    InputRequiredResult, ProtocolVersion,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use wheelhouse_core::store::QuestionView;
use wheelhouse_engine::token::Key;

use super::brief;
use super::call::{Answer, Call};
use crate::face::document::task_name;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::verb;
use crate::token::Scope;

/// The one thing that is asked.
const ANSWER: &str = "answer";
/// How much of a question is shown.
const TEXT_MAX: usize = 1_500;

/// What came of asking.
pub(crate) enum Said {
    /// The question of that id was answered, or somebody was faster.
    Answered(String),
    /// The client asks and calls again.
    ComesBack(Box<Answer>),
    /// Nobody can be asked, or they would not say.
    Nothing,
}

/// What a call leaves with the client until it comes back.
#[derive(Serialize, Deserialize, Default)]
struct Left {
    /// What is waited for.
    what: String,
    /// Which questions were put.
    asked: BTreeSet<String>,
}

fn left(call: &Call<'_>) -> Option<Left> {
    let (_, text) = call.state.as_deref()?.split_once(SEAL_END)?;
    serde_json::from_str(text).ok()
}

/// What stands between the seal and what is sealed.
const SEAL_END: char = '.';

/// For whom and what something is sealed.
fn purpose(call: &Call<'_>) -> String {
    format!("mcp {} {}", call.tool, call.party())
}

fn key(call: &Call<'_>) -> Result<Key, Failure> {
    let state_dir = call.faces.desk.state_dir();
    Key::open(state_dir).map_err(|error| Failure::io("read the key of tokens in", state_dir, &error))
}

/// Refuses a call that comes back with something that it was not left with.
pub(crate) fn check(call: &Call<'_>) -> Result<(), Failure> {
    let Some(state) = &call.state else { return Ok(()) };
    let key = key(call)?;
    let is_ours = state
        .split_once(SEAL_END)
        .is_some_and(|(seal, text)| key.is_sealed(&purpose(call), text, seal));
    match is_ours {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "the `requestState` is none that you were given for `{}`; call again without it",
            call.tool
        ))),
    }
}

/// The task that the call before this one began.
pub(crate) fn begun(call: &Call<'_>) -> Option<String> {
    left(call).map(|left| left.what)
}

impl Call<'_> {
    /// Whether the client's person can be asked with a form.
    fn has_person(&self) -> bool {
        self.context
            .client_capabilities()
            .and_then(|able| able.elicitation)
            .is_some_and(|able| able.form.is_some() || able.url.is_none())
    }

    fn is_modern(&self) -> bool {
        self.context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
    }

    /// Whether the caller may answer at all.
    fn may_answer(&self) -> bool {
        self.caller().may(Scope::Operate).is_ok()
    }
}

/// Takes what came back with this call. Gives which questions were put already.
pub(crate) async fn taken(call: &Call<'_>, what: &str) -> Result<BTreeSet<String>, Failure> {
    let Some(left) = left(call).filter(|left| left.what == what) else {
        return Ok(BTreeSet::new());
    };
    if call.may_answer() {
        for (id, said) in call.inputs.iter().flatten() {
            if let Ok(said) = serde_json::from_value::<ElicitResult>(said.clone()) {
                give(call, id, &said).await?;
            }
        }
    }
    Ok(left.asked)
}

/// Has the client's person decide the first of these questions.
pub(crate) async fn ask(
    call: &Call<'_>,
    what: &str,
    questions: &[&QuestionView],
    asked: &BTreeSet<String>,
    deadline: Instant,
) -> Result<Said, Failure> {
    let Some(question) = questions.first() else {
        return Ok(Said::Nothing);
    };
    if !call.has_person() || !call.may_answer() {
        return Ok(Said::Nothing);
    }
    if call.is_modern() {
        let requests = questions
            .iter()
            .map(|question| {
                Ok((
                    question.id.to_string(),
                    InputRequest::Elicitation(ElicitRequest::new(form(question)?)),
                ))
            })
            .collect::<Result<BTreeMap<_, _>, Failure>>()?;
        let left = Left {
            what: what.to_owned(),
            asked: asked.iter().chain(requests.keys()).cloned().collect(),
        };
        let text = json!(left).to_string();
        let seal = key(call)?.seal(&purpose(call), &text);
        let answer = Answer::Ask(InputRequiredResult::new(
            Some(requests),
            Some(format!("{seal}{SEAL_END}{text}")),
        ));
        return Ok(Said::ComesBack(Box::new(answer)));
    }
    let rest = deadline.saturating_duration_since(Instant::now());
    let said = tokio::select! {
        said = call.context.peer.create_elicitation_with_timeout(form(question)?, Some(rest)) => said,
        () = call.context.ct.cancelled() => return Ok(Said::Nothing),
    };
    match said {
        Ok(said) if give(call, &question.id.to_string(), &said).await? => Ok(Said::Answered(question.id.to_string())),
        // They would not say, or the client could not ask after all: the question is told instead.
        Ok(_) | Err(_) => Ok(Said::Nothing),
    }
}

/// What came of asking for leave.
pub(crate) enum Confirmed {
    /// The person allows it.
    Yes,
    /// They do not.
    No,
    /// The client asks and calls again.
    ComesBack(Box<Answer>),
    /// Nobody can be asked.
    Nobody,
}

/// What leave is called in what a client is asked.
const LEAVE: &str = "leave";

/// Has the client's person allow a call, in these words. Nothing is stored: it holds for this one call.
pub(crate) async fn confirm(call: &Call<'_>, words: &str, deadline: Instant) -> Result<Confirmed, Failure> {
    let read = |said: &ElicitResult| {
        let answer = said.content.as_ref().and_then(|content| content[ANSWER].as_str());
        match (&said.action, answer) {
            (ElicitationAction::Accept, Some("approve")) => Confirmed::Yes,
            _ => Confirmed::No,
        }
    };
    let what = blake3::hash(words.as_bytes()).to_hex().to_string();
    if left(call).is_some_and(|left| left.what == what) {
        let said = call.inputs.as_ref().and_then(|inputs| inputs.get(LEAVE)).cloned();
        let said = said.and_then(|said| serde_json::from_value::<ElicitResult>(said).ok());
        return Ok(said.map_or(Confirmed::No, |said| read(&said)));
    }
    if !call.has_person() {
        return Ok(Confirmed::Nobody);
    }
    let message = format!("May your agent call {}?", brief::cut(words, TEXT_MAX));
    let choices: Vec<String> = ["approve", "deny"].map(str::to_owned).to_vec();
    let form = asked_with(message, choices)?;
    if call.is_modern() {
        let left = Left {
            what,
            asked: BTreeSet::from([LEAVE.to_owned()]),
        };
        let text = json!(left).to_string();
        let seal = key(call)?.seal(&purpose(call), &text);
        let requests = BTreeMap::from([(LEAVE.to_owned(), InputRequest::Elicitation(ElicitRequest::new(form)))]);
        let state = Some(format!("{seal}{SEAL_END}{text}"));
        return Ok(Confirmed::ComesBack(Box::new(Answer::Ask(InputRequiredResult::new(
            Some(requests),
            state,
        )))));
    }
    let rest = deadline.saturating_duration_since(Instant::now());
    let said = tokio::select! {
        said = call.context.peer.create_elicitation_with_timeout(form, Some(rest)) => said,
        () = call.context.ct.cancelled() => return Ok(Confirmed::Nobody),
    };
    Ok(said.map_or(Confirmed::Nobody, |said| read(&said)))
}

/// A form with one question.
fn asked_with(message: String, choices: Vec<String>) -> Result<ElicitRequestParams, Failure> {
    let schema = match choices.is_empty() {
        true => ElicitationSchema::builder().required_string(ANSWER),
        false => ElicitationSchema::builder().required_enum_schema(ANSWER, EnumSchema::builder(choices).build()),
    };
    let requested_schema = schema
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("the question has no form: {error}")))?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message,
        requested_schema,
    })
}

/// What is shown.
pub(crate) fn form(question: &QuestionView) -> Result<ElicitRequestParams, Failure> {
    let choices: Vec<String> = question
        .kind
        .choices()
        .iter()
        .map(|choice| (*choice).to_owned())
        .collect();
    let message = format!(
        "{} asks ({}): {}",
        task_name(question.run, &question.key),
        question.id,
        brief::cut(&question.text, TEXT_MAX)
    );
    asked_with(message, choices)
}

/// Gives the person's answer; false when they gave none. That somebody was faster is no failure.
pub(crate) async fn give(call: &Call<'_>, id: &str, said: &ElicitResult) -> Result<bool, Failure> {
    let answer = said.content.as_ref().and_then(|content| content[ANSWER].as_str());
    let (ElicitationAction::Accept, Some(answer)) = (&said.action, answer) else {
        return Ok(false);
    };
    let (id, answer) = (id.to_owned(), answer.to_owned());
    let given = call
        .faces
        .desk
        .change(move |truth| verb::answer(truth, &id, &answer))
        .await;
    match given {
        Ok(_) => Ok(true),
        Err(failure) if failure.exit == exit::REFUSED || failure.exit == exit::NOT_FOUND => Ok(true),
        Err(failure) => Err(failure),
    }
}
