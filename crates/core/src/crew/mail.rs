//! Mailboxes: what may be put into one, in which order it is taken out, and what becomes of it.

use crate::crew::apply::{alive, change, is_below};
use crate::crew::spawn::check_key;
use crate::crew::{CrewPolicy, InstanceRow, Refusal, Reply, Rows, Send};
use crate::event::Happened;
use crate::ids::{CoordinationId, InstanceId, MessageId, RunId};
use crate::message::{MessageKind, MessageState, MessageView, Party, Trust};

/// How many messages one may come after.
const AFTER_MAX: usize = 100;

/// A message that was checked.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) kind: MessageKind,
    pub(super) text: String,
    pub(super) correlation: Option<MessageId>,
    pub(super) coordination: Option<CoordinationId>,
    pub(super) after: Vec<MessageId>,
    pub(super) key: Option<String>,
}

pub(super) fn send<R: Rows>(rows: &mut R, send: &Send) -> Result<Reply, R::Error> {
    let Send {
        from,
        to,
        kind,
        text,
        correlation,
        after,
        key,
    } = send;
    let policy = rows.policy()?;
    check_text(&policy, text)?;
    if let Some(key) = key {
        check_key(key)?;
        if let Some(id) = rows.message_by_key(*from, key)? {
            let there = rows.find_message(id)?;
            return match there.filter(|there| there.to == *to && there.text == *text) {
                Some(_) => Ok(Reply::Sent {
                    message: id,
                    repeated: true,
                }),
                None => Err(Refusal::KeyReused {
                    key: key.clone(),
                    was: id.to_string(),
                }
                .into()),
            };
        }
    }
    let kind = match to {
        Party::Person => {
            let Some(caller) = from.instance() else {
                return Err(Refusal::Illegal("a person needs no mailbox to talk to a person".to_owned()).into());
            };
            alive(rows, caller)?;
            if rows.notes_to_person()? >= policy.mailbox_max {
                let max = policy.mailbox_max;
                return Err(Refusal::MailboxFull { to: *to, max }.into());
            }
            // Nobody can open a turn of a person.
            MessageKind::Note
        }
        Party::Instance(id) => {
            let row = alive(rows, *id)?;
            may_write_to(rows, *from, &row)?;
            check_room(&policy, &row)?;
            *kind
        }
    };
    if after.len() > AFTER_MAX {
        return Err(Refusal::Illegal(format!("a message comes after {AFTER_MAX} others at the most")).into());
    }
    for id in after.iter().chain(correlation) {
        if rows.find_message(*id)?.is_none() {
            return Err(Refusal::NoSuchMessage(*id).into());
        }
    }
    let letter = Letter {
        from: *from,
        to: *to,
        kind,
        text: text.clone(),
        correlation: *correlation,
        coordination: None,
        after: after.clone(),
        key: key.clone(),
    };
    let message = post(rows, &letter)?;
    rows.audit(
        *from,
        to.instance(),
        "send",
        format!("{message} to {to}, {} bytes", text.len()),
    )?;
    Ok(Reply::Sent {
        message,
        repeated: false,
    })
}

/// An instance writes to those below it and to its parent.
fn may_write_to<R: Rows>(rows: &mut R, from: Party, to: &InstanceRow) -> Result<(), R::Error> {
    let Some(caller) = from.instance() else { return Ok(()) };
    let caller = alive(rows, caller)?;
    if caller.parent == Some(to.id) || is_below(rows, to, caller.id)? {
        return Ok(());
    }
    Err(Refusal::NotBelow {
        by: from,
        instance: to.id,
    }
    .into())
}

pub(super) fn check_text(policy: &CrewPolicy, text: &str) -> Result<(), Refusal> {
    let (bytes, max) = (text.len() as u64, policy.message_bytes_max);
    if bytes > max {
        return Err(Refusal::TooLong { bytes, max });
    }
    match text.trim().is_empty() {
        true => Err(Refusal::Illegal("the message is empty".to_owned())),
        false => Ok(()),
    }
}

pub(super) fn check_room(policy: &CrewPolicy, row: &InstanceRow) -> Result<(), Refusal> {
    match row.queued.saturating_add(row.notes) >= policy.mailbox_max {
        true => Err(Refusal::MailboxFull {
            to: Party::Instance(row.id),
            max: policy.mailbox_max,
        }),
        false => Ok(()),
    }
}

/// Puts a checked message into its mailbox. The trust is the tree's word, not the sender's.
pub(super) fn post<R: Rows>(rows: &mut R, letter: &Letter) -> Result<MessageId, R::Error> {
    let id = rows.new_message()?;
    let to = match letter.to.instance() {
        Some(id) => rows.find_instance(id)?,
        None => None,
    };
    let trust = match (letter.from, &to) {
        (Party::Person, _) => Trust::Person,
        (Party::Instance(from), Some(to)) if is_below(rows, to, from)? => Trust::Above,
        (Party::Instance(_), _) => Trust::Below,
    };
    let message = MessageView {
        id,
        from: letter.from,
        to: letter.to,
        trust,
        kind: letter.kind,
        correlation: letter.correlation,
        coordination: letter.coordination,
        after: letter.after.clone(),
        text: letter.text.clone(),
        key: letter.key.clone(),
        sent_at: rows.now(),
        over_at: None,
        state: MessageState::Queued,
    };
    rows.add_message(&message)?;
    if let Some(run) = run_of(rows, &message)? {
        let happened = Happened::MessageSent {
            message: id,
            from: message.from,
            to: message.to,
            kind: message.kind,
        };
        rows.happened(run, None, happened)?;
    }
    if let Some(to) = to {
        change(rows, to.id, |row| match message.kind {
            MessageKind::Request => row.queued += 1,
            MessageKind::Note => row.notes += 1,
        })?;
        refresh(rows, to.id)?;
    }
    Ok(id)
}

/// The run in whose history a message is told.
fn run_of<R: Rows>(rows: &mut R, message: &MessageView) -> Result<Option<RunId>, R::Error> {
    let who = message.to.instance().or(message.from.instance());
    match who {
        Some(id) => Ok(rows.find_instance(id)?.map(|row| row.run)),
        None => Ok(None),
    }
}

/// Says anew which request an instance wants to begin with, if any.
pub(super) fn refresh<R: Rows>(rows: &mut R, id: InstanceId) -> Result<(), R::Error> {
    let head = rows.head(id)?;
    let wants = match head {
        Some(head) if is_open_to(rows, head)? => Some(head),
        Some(_) | None => None,
    };
    let Some(mut row) = rows.find_instance(id)? else {
        return Ok(());
    };
    if row.wants != wants && !row.stage.is_ended() {
        row.wants = wants;
        rows.put_instance(&row)?;
    }
    Ok(())
}

/// Whether everything that a message comes after is over.
fn is_open_to<R: Rows>(rows: &mut R, id: MessageId) -> Result<bool, R::Error> {
    let after = rows.find_message(id)?.map(|message| message.after).unwrap_or_default();
    for earlier in after {
        if rows
            .find_message(earlier)?
            .is_some_and(|message| !message.state.is_over())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A message is over; those that come after it may go on.
pub(super) fn over<R: Rows>(rows: &mut R, id: MessageId, state: MessageState) -> Result<(), R::Error> {
    let Some(mut message) = rows.find_message(id)? else {
        return Ok(());
    };
    message.state = state;
    message.over_at = Some(rows.now());
    rows.put_message(&message)?;
    for waiter in rows.waiting_for(id)? {
        refresh(rows, waiter)?;
    }
    Ok(())
}

/// Empties a mailbox: nothing in it will be answered.
pub(super) fn clear<R: Rows>(rows: &mut R, id: InstanceId) -> Result<(), R::Error> {
    for message in rows.waiting(id)? {
        over(rows, message, MessageState::Dropped)?;
    }
    change(rows, id, |row| {
        row.queued = 0;
        row.notes = 0;
        row.wants = None;
    })?;
    Ok(())
}

/// Notes were read by the one they are for.
pub(super) fn read<R: Rows>(rows: &mut R, by: Party, messages: &[MessageId]) -> Result<Reply, R::Error> {
    for id in messages {
        let Some(message) = rows.find_message(*id)? else {
            return Err(Refusal::NoSuchMessage(*id).into());
        };
        let unread = message.kind == MessageKind::Note && message.state == MessageState::Queued;
        if !unread || message.to != by {
            continue;
        }
        over(rows, *id, MessageState::Read)?;
        if let Some(instance) = by.instance() {
            change(rows, instance, |row| row.notes = row.notes.saturating_sub(1))?;
        }
    }
    Ok(Reply::Done)
}
