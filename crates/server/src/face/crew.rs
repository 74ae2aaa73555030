//! The verbs on instances: who asks, which instance is meant, what became of a message, what was said since.
//!
//! A face resolves its caller once ([`caller`]) and passes the [`Party`] on; nothing here believes what a caller says
//! about itself.

use std::path::Path;

use wheelhouse_core::caller::Caller;
use wheelhouse_core::coordinate::{self, Coordination};
use wheelhouse_core::crew::{self, InstanceFilter, MessageFilter};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{CoordinationId, Cursor, InstanceId, MessageId, TaskId};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::message::{MessageState, MessageView, Party};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Reader, Reply};
use wheelhouse_core::time::Millis;
use wheelhouse_engine::answer_text;
use wheelhouse_engine::token::Key;

use super::exit;
use super::failure::Failure;
use super::verb::Truth;

/// How many instances are looked through for one of that name.
const INSTANCES_MAX: u32 = 10_000;
/// How many events of a tree are looked through in one reading of an output.
const EVENTS_MAX: u32 = 1_000;

/// Who asks: the instance whose token this is, or a person when there is none. The token of an instance that has ended
/// is worth nothing.
pub fn caller(state_dir: &Path, reader: &mut dyn Reader, token: Option<&str>) -> Result<Caller, Failure> {
    if token.is_none() {
        return Ok(Caller(Party::Person));
    }
    let key = Key::open(state_dir).map_err(|error| Failure::io("read the key of tokens in", state_dir, &error))?;
    let store_id = reader.store_id()?;
    let refused = |why: String| Failure::new(exit::REFUSED, why).hint("unset WHEELHOUSE_TOKEN to act as a person");
    let caller = key
        .caller(&store_id, token)
        .map_err(|error| refused(error.to_string()))?;
    if let Some(id) = caller.0.instance() {
        match reader.instance(id)? {
            Some(view) if !matches!(view.state, InstanceState::Ended { .. }) => {}
            Some(_) | None => return Err(refused(format!("instance {id}, whose token this is, has ended"))),
        }
    }
    Ok(caller)
}

/// What only a person may do.
pub fn person_only(caller: Caller, what: &str) -> Result<(), Failure> {
    match caller.is_person() {
        true => Ok(()),
        false => Err(Failure::new(
            exit::REFUSED,
            format!("{} may not {what}: only a person may", caller.0),
        )),
    }
}

/// The instance of that id or name. Of several with one name, the only one that has not ended.
pub fn instance(reader: &mut dyn Reader, text: &str) -> Result<InstanceView, Failure> {
    if let Ok(id) = text.parse::<InstanceId>()
        && let Some(view) = reader.instance(id)?
    {
        return Ok(view);
    }
    let mut living = reader.instances(InstanceFilter::default(), None, INSTANCES_MAX)?;
    living.retain(|view| !matches!(view.state, InstanceState::Ended { .. }));
    let mut named: Vec<&InstanceView> = living.iter().filter(|view| view.spec.name == text).collect();
    match (named.pop(), named.as_slice()) {
        (Some(only), []) => Ok(only.clone()),
        (Some(last), others) => {
            let ids: Vec<String> = others.iter().chain([&last]).map(|view| view.id.to_string()).collect();
            Err(Failure::new(
                exit::USAGE,
                format!("several instances are called `{text}`: {}", ids.join(", ")),
            )
            .hint("name one by its id"))
        }
        (None, _) => {
            let mut exist: Vec<String> = living.iter().map(|view| view.spec.name.clone()).collect();
            exist.extend(living.iter().map(|view| view.id.to_string()));
            Err(Failure::not_found("instance", text, &exist).hint("`wheelhouse instances` lists them"))
        }
    }
}

/// The message of that id.
pub fn message(reader: &mut dyn Reader, text: &str) -> Result<MessageView, Failure> {
    let found = match text.parse::<MessageId>() {
        Ok(id) => reader.message(id)?,
        Err(_) => None,
    };
    found.ok_or_else(|| Failure::not_found("message", text, &[]).hint("messages are written `m17`"))
}

/// Several things asked of the crew at once: all in one commit, each with its own answer.
pub fn ask_all(
    truth: &mut Truth<'_>,
    commands: Vec<crew::Command>,
) -> Result<Vec<Result<crew::Reply, Failure>>, Failure> {
    let commands: Vec<Command> = commands.into_iter().map(Command::Crew).collect();
    let answers = truth.store.commit(&commands)?;
    Ok(answers
        .into_iter()
        .map(|answer| match answer {
            Ok(Reply::Crew(reply)) => Ok(reply),
            Ok(other) => Err(unexpected(&other)),
            Err(refused) => Err(refused.into()),
        })
        .collect())
}

/// One thing asked of the crew.
pub fn ask(truth: &mut Truth<'_>, command: crew::Command) -> Result<crew::Reply, Failure> {
    match ask_all(truth, vec![command])?.pop() {
        Some(answer) => answer,
        None => Err(Failure::new(exit::STATE_FAILED, "the store did not answer")),
    }
}

/// An answer that does not fit the question.
pub fn unexpected(reply: &impl std::fmt::Debug) -> Failure {
    Failure::new(exit::STATE_FAILED, format!("the store answered with {reply:?}"))
}

/// The answer to a message that is over.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// How its turn came out; none when it was dropped or read.
    pub outcome: Option<Outcome>,
    /// The turn's task.
    pub task: Option<TaskId>,
    /// The words; empty when there are none.
    pub text: String,
}

/// The answer to a message; none while it is still expected.
pub fn answer(reader: &mut dyn Reader, message: &MessageView) -> Result<Option<Answer>, Failure> {
    if !message.state.is_over() {
        return Ok(None);
    }
    let outcome = match &message.state {
        MessageState::Done { outcome, .. } => Some(outcome.clone()),
        MessageState::Queued | MessageState::Open { .. } | MessageState::Read | MessageState::Dropped => None,
    };
    Ok(Some(Answer {
        outcome,
        task: message.state.task(),
        text: answer_text(reader, message)?.unwrap_or_default(),
    }))
}

/// One line of an instance's output.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    /// Its place in the history.
    pub cursor: Cursor,
    /// When.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// What an instance was told, did, or said.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A message came or went.
    Message(MessageView),
    /// It reported something of its work.
    Report {
        /// What kind of report: `tool`, `notice`, …
        kind: String,
        /// The words.
        text: String,
    },
    /// A turn is over.
    Answer {
        /// Which message it answers.
        message: MessageId,
        /// The answer.
        answer: Answer,
    },
}

/// What an instance was told, did and said after `since`, oldest first, and where to read on. Looks through a bounded
/// stretch of the history; when the cursor moved there may be more.
pub fn output(reader: &mut dyn Reader, view: &InstanceView, since: Cursor) -> Result<(Vec<Said>, Cursor), Failure> {
    let mut said = Vec::new();
    let mut cursor = since;
    let me = Party::Instance(view.id);
    let prefix = format!("{}.", view.id);
    let mut ours: std::collections::HashMap<TaskId, Option<MessageId>> = std::collections::HashMap::new();
    for event in reader.events(since, Some(view.run), EVENTS_MAX)? {
        cursor = event.cursor;
        let of_turn = match event.task {
            Some(task) => match ours.get(&task) {
                Some(known) => *known,
                None => {
                    let key = reader.task(task)?.map(|task| task.key.0).unwrap_or_default();
                    let message = key.strip_prefix(&prefix).and_then(|message| message.parse().ok());
                    ours.insert(task, message);
                    message
                }
            },
            None => None,
        };
        let what = match (&event.happened, of_turn) {
            (Happened::MessageSent { message, from, to, .. }, _) if *from == me || *to == me => {
                reader.message(*message)?.map(What::Message)
            }
            (Happened::AttemptReported { kind, text, .. }, Some(_)) => Some(What::Report {
                kind: kind.clone(),
                text: text.clone(),
            }),
            (Happened::TaskDone { .. }, Some(id)) => match reader.message(id)? {
                Some(message) => answer(reader, &message)?.map(|answer| What::Answer { message: id, answer }),
                None => None,
            },
            _ => None,
        };
        let (cursor, at) = (event.cursor, event.at);
        said.extend(what.map(|what| Said { cursor, at, what }));
    }
    Ok((said, cursor))
}

/// Notes that somebody has not read.
pub fn unread(reader: &mut dyn Reader, of: Party, limit: u32) -> Result<Vec<MessageView>, Failure> {
    let filter = MessageFilter {
        to: Some(of),
        unread: true,
        ..MessageFilter::default()
    };
    Ok(reader.messages(filter, limit)?)
}

/// A piece of work given to several, and what came of it so far.
pub struct Coordinated {
    /// What was asked, of whom.
    pub record: Coordination,
    /// The answers, in the order of the seats.
    pub answers: Vec<coordinate::Answer>,
    /// What they come to.
    pub outcome: coordinate::Outcome,
}

impl Coordinated {
    /// Whether all have answered, or will not.
    pub fn is_over(&self) -> bool {
        self.answers
            .iter()
            .all(|answer| *answer != coordinate::Answer::Expected)
    }
}

/// How a coordination stands. Computed from the answers each time.
pub fn coordination(reader: &mut dyn Reader, text: &str) -> Result<Coordinated, Failure> {
    let found = match text.parse::<CoordinationId>() {
        Ok(id) => reader.coordination(id)?,
        Err(_) => None,
    };
    let Some(record) = found else {
        return Err(Failure::not_found("coordination", text, &[]).hint("coordinations are written `c2`"));
    };
    let mut answers = Vec::with_capacity(record.seats.len());
    let mut names = std::collections::BTreeMap::new();
    for seat in &record.seats {
        let said = match reader.message(seat.message)? {
            Some(message) => match answer(reader, &message)? {
                None => coordinate::Answer::Expected,
                Some(Answer {
                    outcome: Some(outcome),
                    text,
                    ..
                }) => coordinate::Answer::Given(outcome, text),
                Some(Answer { outcome: None, .. }) => coordinate::Answer::Missing,
            },
            None => coordinate::Answer::Missing,
        };
        answers.push(said);
        if let Some(view) = reader.instance(seat.instance)? {
            names.insert(seat.instance, view.spec.name);
        }
    }
    let outcome = coordinate::outcome(&record, &answers, |id| match names.get(&id) {
        Some(name) => format!("{id} {name}"),
        None => id.to_string(),
    });
    Ok(Coordinated {
        record,
        answers,
        outcome,
    })
}

/// The name of the task that is an instance's open turn.
pub fn turn_name(reader: &mut dyn Reader, view: &InstanceView) -> Result<Option<String>, Failure> {
    let task = match view.turn {
        Some(task) => reader.task(task)?,
        None => None,
    };
    Ok(task.map(|task| super::document::task_name(task.run, &task.key)))
}
