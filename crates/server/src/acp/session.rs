//! One session of an editor: the instance it is, the prompt under way, and how far its history was told.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wheelhouse_core::ids::{Cursor, InstanceId, MessageId, QuestionId};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::message::{MessageKind, MessageState, Party};
use wheelhouse_core::store::{QuestionView, Reader};

use super::message::{self, Refusal};
use super::tell::{self, Wanted};
use super::{Ports, truth};
use crate::face::crew;
use crate::face::crew_verb::{self, Below, Letter};
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::spawn::Wish;
use crate::face::verb::{self, Truth};

/// How often an engine is started again under one prompt.
const ENGINES_MAX: u32 = 5;

/// A session.
pub(super) struct Session {
    /// What the editor calls it: the name of its instance, or its id.
    pub(super) name: String,
    /// What its instance is to be.
    wish: Wish,
    /// Its instance, from the first prompt on.
    instance: Option<InstanceId>,
    /// How far its history was told.
    cursor: Cursor,
    turn: Option<Turn>,
    /// Questions that the editor was told of.
    told: BTreeSet<QuestionId>,
    /// A question in words, which the next prompt answers, and the message in whose turn it was asked.
    asked: Option<(QuestionId, MessageId)>,
}

/// The prompt under way.
struct Turn {
    request: Value,
    message: MessageId,
    wanted: Wanted,
    /// How often an engine was missed.
    missed: u32,
    /// Whether a question is open: then it is right that nothing goes on.
    is_held: bool,
}

/// What came since the last look.
#[derive(Default)]
pub(super) struct News {
    /// To be told.
    pub(super) told: Vec<Value>,
    /// To be asked.
    pub(super) questions: Vec<QuestionView>,
    /// What the prompt is answered with.
    pub(super) end: Option<Result<Value, Refusal>>,
}

/// What is to be done about an engine that is not there.
pub(super) enum Missed {
    /// Nothing waits for it.
    Nothing,
    /// Another is to be started.
    Engine,
    /// Enough were.
    Patience(Refusal),
}

/// An update of a session, as it goes over the line.
pub(super) fn update(session: &str, update: &Value) -> Value {
    message::notification("session/update", &json!({ "sessionId": session, "update": update }))
}

impl Session {
    /// One that has no instance yet.
    pub(super) fn new(wish: Wish) -> Session {
        Session {
            name: wish.name.clone(),
            wish,
            instance: None,
            cursor: Cursor::default(),
            turn: None,
            told: BTreeSet::new(),
            asked: None,
        }
    }

    /// One of another time, with everything that was said in it.
    pub(super) fn load(reader: &mut dyn Reader, name: &str) -> Result<(Session, Vec<Value>), Refusal> {
        let view = crew::instance(reader, name)?;
        if let InstanceState::Ended { .. } = view.state {
            let failure = Failure::new(exit::REFUSED, format!("`{name}` is {}", view.state));
            return Err(failure.hint("session/new begins another").into());
        }
        let mut session = Session::new(Wish {
            name: name.to_owned(),
            ..Wish::default()
        });
        session.instance = Some(view.id);
        let told = session.history(reader, &view)?;
        for question in open_questions(reader, &view)? {
            if question.kind.choices().is_empty()
                && let Some(message) = view.message
            {
                session.asked = Some((question.id, message));
            }
        }
        Ok((session, told))
    }

    /// Whether it has an instance.
    pub(super) fn has_begun(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether a prompt is under way.
    pub(super) fn is_prompted(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the prompt was cancelled, or there is none.
    pub(super) fn is_cancelled(&self) -> bool {
        self.turn.as_ref().is_none_or(|turn| turn.wanted == Wanted::Cancelled)
    }

    /// The request that is the prompt under way.
    pub(super) fn request(&self) -> Option<&Value> {
        self.turn.as_ref().map(|turn| &turn.request)
    }

    /// Begins a prompt; gives what the editor is told at once.
    pub(super) fn begin(&mut self, ports: &mut Ports, request: &Value, words: &str) -> Result<Vec<Value>, Refusal> {
        if self.is_prompted() {
            return Err(Refusal::now(format!(
                "a prompt of `{}` is under way; session/cancel stops it",
                self.name
            )));
        }
        let mut told = Vec::new();
        let message = match (self.replied(ports, words)?, self.instance) {
            (Some(message), _) => message,
            (None, Some(instance)) => sent(ports, instance, words)?,
            (None, None) => self.spawned(ports, words, &mut told)?,
        };
        self.turn = Some(Turn {
            request: request.clone(),
            message,
            wanted: Wanted::Whole,
            missed: 0,
            is_held: false,
        });
        Ok(told)
    }

    /// Answers the question that the last prompt ended with, if it did and nobody else has.
    fn replied(&mut self, ports: &mut Ports, words: &str) -> Result<Option<MessageId>, Refusal> {
        let Some((question, message)) = self.asked.take() else {
            return Ok(None);
        };
        let reader = ports.reader.as_mut();
        let is_open = reader
            .question(question)
            .map_err(Failure::from)?
            .is_some_and(|view| view.answer.is_none());
        // A turn that was interrupted meanwhile takes no answer.
        let goes_on = reader
            .message(message)
            .map_err(Failure::from)?
            .is_some_and(|view| !view.state.is_over());
        if !(is_open && goes_on) {
            return Ok(None);
        }
        verb::answer(&mut truth(ports), &question.to_string(), words)?;
        Ok(Some(message))
    }

    fn spawned(&mut self, ports: &mut Ports, words: &str, told: &mut Vec<Value>) -> Result<MessageId, Refusal> {
        let mut wish = self.wish.clone();
        let policy = ports.reader.crew_policy().map_err(Failure::from)?;
        if wish.agent.is_none()
            && policy.default_chain.is_empty()
            && let Some(chosen) = (ports.choose)(words)?
        {
            let text = format!("{}\n", chosen.why);
            told.push(update(&self.name, &tell::chunk("agent_thought_chunk", &text)));
            wish.agent = Some(chosen.agent);
            wish.model = chosen.model;
        }
        let defaults = ports.defaults.clone();
        let below = Below::caller(Party::Person);
        let wanted = vec![(wish, Some(words.to_owned()))];
        let made = crew_verb::spawn_all(&mut truth(ports), &defaults, &below, wanted)?;
        let Some((instance, Some(message))) = made.first().copied() else {
            return Err(Refusal::failed("the instance was made without its first message"));
        };
        self.instance = Some(instance);
        Ok(message)
    }

    /// Stops what is under way.
    pub(super) fn cancel(&mut self, truth: &mut Truth<'_>) -> Result<(), Failure> {
        let Some(instance) = self.instance else { return Ok(()) };
        let mut clear = false;
        self.asked = None;
        if let Some(turn) = &mut self.turn {
            turn.wanted = Wanted::Cancelled;
            let message = truth.reader.message(turn.message)?;
            // What has not begun is taken back.
            clear = message.is_some_and(|message| message.state == MessageState::Queued);
        }
        crew_verb::interrupt(truth, Party::Person, &[instance.to_string()], clear).map(drop)
    }

    /// Answers the prompt under way, if one is.
    pub(super) fn end(&mut self, end: Result<Value, Refusal>) -> Option<Value> {
        let turn = self.turn.take()?;
        Some(match end {
            Ok(result) => message::result(&turn.request, &result),
            Err(refusal) => refusal.answer(&turn.request),
        })
    }

    /// What came since the last look.
    pub(super) fn look(&mut self, reader: &mut dyn Reader) -> Result<News, Failure> {
        let (Some(turn), Some(instance)) = (&self.turn, self.instance) else {
            return Ok(News::default());
        };
        let (id, wanted) = (turn.message, turn.wanted);
        // Looked at first: what its turn did is then told before it is over.
        let (Some(message), Some(view)) = (reader.message(id)?, reader.instance(instance)?) else {
            return Err(Failure::new(exit::STATE_FAILED, format!("{id} is not there any more")));
        };
        let mut news = News {
            told: self.history(reader, &view)?,
            end: tell::stopped(&message, wanted),
            ..News::default()
        };
        if news.end.is_some() {
            return Ok(news);
        }
        let open = open_questions(reader, &view)?;
        if let Some(turn) = &mut self.turn {
            turn.is_held = !open.is_empty();
        }
        for question in open {
            if wanted == Wanted::Cancelled || !self.told.insert(question.id) {
                continue;
            }
            if question.kind.choices().is_empty() {
                // No option can hold words: the turn is the user's, and the next prompt is the answer.
                let text = format!("{}\n\n({}: your next message answers it.)", question.text, question.id);
                news.told
                    .push(update(&self.name, &tell::chunk("agent_message_chunk", &text)));
                news.end = Some(Ok(json!({ "stopReason": "end_turn" })));
                self.asked = Some((question.id, id));
                return Ok(news);
            }
            news.questions.push(question);
        }
        Ok(news)
    }

    /// No engine listens.
    pub(super) fn miss_engine(&mut self) -> Missed {
        match &mut self.turn {
            Some(turn) if !turn.is_held && turn.missed < ENGINES_MAX => {
                turn.missed += 1;
                Missed::Engine
            }
            Some(turn) if !turn.is_held => Missed::Patience(Refusal::failed(format!(
                "{} is kept, and no engine stays to do it; `wheelhouse status` says what it waits for",
                turn.message
            ))),
            Some(_) | None => Missed::Nothing,
        }
    }

    /// What was not told yet.
    fn history(&mut self, reader: &mut dyn Reader, view: &InstanceView) -> Result<Vec<Value>, Failure> {
        let own = self.turn.as_ref().map(|turn| turn.message);
        let mut told = Vec::new();
        loop {
            let (said, next) = crew::output(reader, view, self.cursor)?;
            let updates = said.iter().flat_map(|said| tell::updates(said, own));
            told.extend(updates.map(|one| update(&self.name, &one)));
            if next == self.cursor {
                return Ok(told);
            }
            self.cursor = next;
        }
    }
}

/// What the instance and everybody below it ask, oldest first.
fn open_questions(reader: &mut dyn Reader, view: &InstanceView) -> Result<Vec<QuestionView>, Failure> {
    let mut open = reader.open_questions()?;
    open.retain(|question| question.run == view.run);
    Ok(open)
}

fn sent(ports: &mut Ports, instance: InstanceId, words: &str) -> Result<MessageId, Refusal> {
    let letter = Letter {
        from: Party::Person,
        to: vec![instance.to_string()],
        kind: MessageKind::Request,
        text: words.to_owned(),
        reply_to: None,
        after: Vec::new(),
        key: None,
    };
    let mut sent = crew_verb::send(&mut truth(ports), &letter)?;
    match sent.pop() {
        Some(message) => Ok(message?),
        None => Err(Refusal::failed("the message was not taken")),
    }
}
