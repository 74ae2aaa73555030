//! What can be asked of the crew, each verb once: names looked up, applied to the store, answered with what there is
//! to say afterwards.
//!
//! Every face calls these with the [`Party`] that it has resolved. Rights and limits are the store's; waiting for what
//! comes of it is each face's own, because it knows how.

use wheelhouse_core::coordinate::Mode;
use wheelhouse_core::crew::{
    AuditView, Command, Coordinate, MessageFilter, NewSeat, PolicyChange, Reply, Send, Spawn, StopWhat, Who,
};
use wheelhouse_core::ids::{AgentName, CoordinationId, InstanceId, MessageId};
use wheelhouse_core::instance::Rights;
use wheelhouse_core::message::{MessageKind, MessageView, Party};
use wheelhouse_core::store::Reader;

use super::crew::{self, ask, ask_all, unexpected};
use super::document::moment;
use super::exit;
use super::failure::Failure;
use super::spawn::{self, Defaults, Wish};
use super::team::{Member, Team};
use super::verb::Truth;

/// The name by which a person is written to.
pub const PERSON: &str = "person";
/// How many notes are read at a time.
const NOTES_MAX: u32 = 1_000;

/// Someone to be made, and what to tell them first.
pub type Wanted = (Wish, Option<String>);

/// Someone who was made, and their first message.
pub type Spawned = (InstanceId, Option<MessageId>);

/// Whose instances are to be made, and how.
#[derive(Clone, Debug)]
pub struct Below<'a> {
    /// Who wants them.
    pub by: Party,
    /// Below this instance in place of the caller.
    pub parent: Option<&'a str>,
    /// What they may do with others.
    pub rights: Rights,
    /// The caller's own id for it; of several, each gets its number behind it.
    pub key: Option<&'a str>,
}

impl<'a> Below<'a> {
    /// Directly below the caller, with all rights that it has.
    pub fn caller(by: Party) -> Below<'a> {
        Below {
            by,
            parent: None,
            rights: Rights::default(),
            key: None,
        }
    }
}

/// Makes all of them in one commit, each with its own answer.
pub fn spawn(
    truth: &mut Truth<'_>,
    defaults: &Defaults,
    below: &Below<'_>,
    wanted: Vec<Wanted>,
) -> Result<Vec<Result<Spawned, Failure>>, Failure> {
    let parent = match below.parent {
        Some(name) => Some(crew::instance(truth.reader, name)?.id),
        None => None,
    };
    let policy = truth.reader.crew_policy()?;
    let many = wanted.len() > 1;
    let mut commands = Vec::with_capacity(wanted.len());
    for (number, (wish, prompt)) in wanted.into_iter().enumerate() {
        commands.push(Command::Spawn(Box::new(Spawn {
            by: below.by,
            parent,
            spec: spawn::spec(wish, &policy, defaults)?,
            rights: below.rights.clone(),
            prompt,
            key: below.key.map(|key| match many {
                true => format!("{key}-{}", number + 1),
                false => key.to_owned(),
            }),
        })));
    }
    ask_all(truth, commands)?
        .into_iter()
        .map(|answer| match answer {
            Ok(Reply::Spawned { instance, message, .. }) => Ok(Ok((instance, message))),
            Ok(other) => Err(unexpected(&other)),
            Err(failure) => Ok(Err(failure)),
        })
        .collect()
}

/// The same, and a failure when one of them was refused; it tells who was made all the same.
pub fn spawn_all(
    truth: &mut Truth<'_>,
    defaults: &Defaults,
    below: &Below<'_>,
    wanted: Vec<Wanted>,
) -> Result<Vec<Spawned>, Failure> {
    let (mut spawned, mut problems) = (Vec::new(), Vec::new());
    for answer in spawn(truth, defaults, below, wanted)? {
        match answer {
            Ok(one) => spawned.push(one),
            Err(failure) => problems.push(failure),
        }
    }
    let refused = problems.len();
    match problems.into_iter().next() {
        None => Ok(spawned),
        Some(first) if spawned.is_empty() => Err(first),
        Some(first) => {
            let ids: Vec<String> = spawned.iter().map(|(id, _)| id.to_string()).collect();
            let message = format!(
                "{refused} were refused, the first: {}; spawned: {}",
                first.message,
                ids.join(", ")
            );
            Err(Failure::new(first.exit, message))
        }
    }
}

/// Who starts as a team: its members, the first of them told the task, those that name no agent done by `agent`.
pub fn members(mut team: Team, task: Option<String>, agent: Option<&str>) -> Vec<Wanted> {
    if let (Some(task), Some(first)) = (task, team.members.first_mut()) {
        first.prompt = Some(task);
    }
    for member in &mut team.members {
        if member.agent.is_none()
            && let Some(agent) = agent
        {
            member.agent = Some(agent.to_owned());
            // The template's models are one vendor's; an agent that was asked for has its own.
            member.model = None;
        }
    }
    team.members.into_iter().map(Member::wish).collect()
}

/// Words for one or several.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sends them.
    pub from: Party,
    /// Whom they are for: names, ids, or [`PERSON`].
    pub to: Vec<String>,
    /// What they want.
    pub kind: MessageKind,
    /// The words.
    pub text: String,
    /// The message they reply to.
    pub reply_to: Option<String>,
    /// Messages that must be over before.
    pub after: Vec<String>,
    /// The sender's own id for it.
    pub key: Option<String>,
}

/// Sends words, all in one commit, each with its own answer.
pub fn send(truth: &mut Truth<'_>, letter: &Letter) -> Result<Vec<Result<MessageId, Failure>>, Failure> {
    let correlation = match &letter.reply_to {
        Some(text) => Some(crew::message(truth.reader, text)?.id),
        None => None,
    };
    let mut after = Vec::with_capacity(letter.after.len());
    for text in &letter.after {
        after.push(crew::message(truth.reader, text)?.id);
    }
    let mut commands = Vec::with_capacity(letter.to.len());
    for name in &letter.to {
        let to = party(truth.reader, name)?;
        commands.push(Command::Send(Box::new(Send {
            from: letter.from,
            to,
            kind: letter.kind,
            text: letter.text.clone(),
            correlation,
            after: after.clone(),
            // One key for several would be the same message to all of them.
            key: letter.key.as_ref().map(|key| match letter.to.len() {
                1 => key.clone(),
                _ => format!("{key}-{to}"),
            }),
        })));
    }
    ask_all(truth, commands)?
        .into_iter()
        .map(|answer| match answer {
            Ok(Reply::Sent { message, .. }) => Ok(Ok(message)),
            Ok(other) => Err(unexpected(&other)),
            Err(failure) => Ok(Err(failure)),
        })
        .collect()
}

/// Who is meant: a person, or an instance.
pub fn party(reader: &mut dyn Reader, name: &str) -> Result<Party, Failure> {
    match name {
        PERSON => Ok(Party::Person),
        name => Ok(Party::Instance(crew::instance(reader, name)?.id)),
    }
}

fn ids(reader: &mut dyn Reader, names: &[String]) -> Result<Vec<InstanceId>, Failure> {
    names
        .iter()
        .map(|name| crew::instance(reader, name).map(|view| view.id))
        .collect()
}

/// Stops the turns of instances. Of each the message whose turn it was, when there was one.
pub fn interrupt(truth: &mut Truth<'_>, by: Party, names: &[String], clear: bool) -> Result<Vec<Spawned>, Failure> {
    let ids = ids(truth.reader, names)?;
    let commands = ids.iter().map(|instance| Command::Interrupt {
        by,
        instance: *instance,
        clear,
    });
    let answers = ask_all(truth, commands.collect())?;
    ids.into_iter()
        .zip(answers)
        .map(|(id, answer)| match answer? {
            Reply::Interrupted { message, .. } => Ok((id, message)),
            other => Err(unexpected(&other)),
        })
        .collect()
}

/// Ends instances and everything below them, the deepest first. Gives all that ended.
pub fn terminate(truth: &mut Truth<'_>, by: Party, names: &[String]) -> Result<Vec<InstanceId>, Failure> {
    let mut ended: Vec<InstanceId> = Vec::new();
    for instance in ids(truth.reader, names)? {
        // One may have gone with another that was named before it.
        if ended.contains(&instance) {
            continue;
        }
        match ask(truth, Command::Terminate { by, instance })? {
            Reply::Ended { instances } => ended.extend(instances),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(ended)
}

/// Puts instances aside.
pub fn suspend(truth: &mut Truth<'_>, by: Party, names: &[String]) -> Result<Vec<InstanceId>, Failure> {
    each(truth, names, |instance| Command::Suspend { by, instance })
}

/// Takes instances up again that were put aside.
pub fn wake(truth: &mut Truth<'_>, by: Party, names: &[String]) -> Result<Vec<InstanceId>, Failure> {
    each(truth, names, |instance| Command::Resume { by, instance })
}

fn each(
    truth: &mut Truth<'_>,
    names: &[String],
    command: impl Fn(InstanceId) -> Command,
) -> Result<Vec<InstanceId>, Failure> {
    let ids = ids(truth.reader, names)?;
    for answer in ask_all(truth, ids.iter().map(|id| command(*id)).collect())? {
        answer?;
    }
    Ok(ids)
}

/// What a stop stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// Instances that ended.
    Ended(Vec<InstanceId>),
    /// Messages whose turns were asked to stop.
    Turns(Vec<MessageId>),
}

/// Stops every turn, or everything.
pub fn stop(truth: &mut Truth<'_>, by: Party, what: StopWhat) -> Result<Stopped, Failure> {
    match ask(truth, Command::Stop { by, what })? {
        Reply::Ended { instances } => Ok(Stopped::Ended(instances)),
        Reply::Stopped { messages } => Ok(Stopped::Turns(messages)),
        other => Err(unexpected(&other)),
    }
}

/// Whose mailbox is meant, and what lies unread in it. Only a person looks into those of others.
pub fn inbox(reader: &mut dyn Reader, by: Party, whose: Option<&str>) -> Result<(Party, Vec<MessageView>), Failure> {
    let whose = match whose {
        Some(name) => party(reader, name)?,
        None => by,
    };
    if whose != by && by != Party::Person {
        return Err(Failure::new(
            exit::REFUSED,
            format!("{by} may not read the mailbox of {whose}"),
        ));
    }
    Ok((whose, crew::unread(reader, whose, NOTES_MAX)?))
}

/// Marks notes of the caller as read.
pub fn read_notes(truth: &mut Truth<'_>, by: Party, notes: &[MessageView]) -> Result<(), Failure> {
    if notes.is_empty() {
        return Ok(());
    }
    let messages = notes.iter().map(|note| note.id).collect();
    ask(truth, Command::Read { by, messages }).map(drop)
}

/// Changes the running policy.
pub fn set_policy(truth: &mut Truth<'_>, by: Party, changes: Vec<PolicyChange>) -> Result<(), Failure> {
    ask(truth, Command::SetPolicy { by, changes }).map(drop)
}

/// The problems of a policy that somebody wrote, as a failure.
pub fn policy_problems(problems: &[String]) -> Failure {
    Failure::usage(problems.join("\n")).hint("`wheelhouse policy show` lists the keys")
}

/// How several are to work together, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Together {
    /// All at the same time.
    #[default]
    Parallel,
    /// One after the other, each sees the answer before.
    Sequential,
    /// A blind vote.
    Consensus,
}

/// One piece of work for several.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// Who wants it.
    pub by: Party,
    /// Instances that are there, or agents, for each of which one is made.
    pub with: Vec<String>,
    /// How they work together.
    pub together: Together,
    /// How many distinct vendors must approve; when absent two, or one when there is one.
    pub quorum: Option<u32>,
    /// What it is about.
    pub text: String,
}

/// A piece of work that was given to several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// Its id.
    pub id: CoordinationId,
    /// What they were sent, in the order of the seats.
    pub messages: Vec<MessageId>,
}

/// Gives one piece of work to several.
pub fn coordinate(truth: &mut Truth<'_>, defaults: &Defaults, meeting: Meeting) -> Result<Given, Failure> {
    let mut seats = Vec::with_capacity(meeting.with.len());
    for name in &meeting.with {
        seats.push(seat(truth.reader, defaults, name.trim())?);
    }
    let mode = match meeting.together {
        Together::Parallel => Mode::Parallel,
        Together::Sequential => Mode::Sequential,
        Together::Consensus => {
            let mut vendors: Vec<&str> = seats.iter().map(|seat| seat.vendor.as_str()).collect();
            vendors.sort_unstable();
            vendors.dedup();
            let usual = u32::try_from(vendors.len().min(2)).unwrap_or(2);
            Mode::Consensus {
                quorum: meeting.quorum.unwrap_or(usual),
            }
        }
    };
    let command = Command::Coordinate(Box::new(Coordinate {
        by: meeting.by,
        mode,
        seats,
        text: meeting.text,
    }));
    match ask(truth, command)? {
        Reply::Coordinated {
            coordination, messages, ..
        } => Ok(Given {
            id: coordination,
            messages,
        }),
        other => Err(unexpected(&other)),
    }
}

/// An instance that is there, or an agent for which one is made.
fn seat(reader: &mut dyn Reader, defaults: &Defaults, name: &str) -> Result<NewSeat, Failure> {
    let backend = |agent: &AgentName| {
        let found = defaults.agents.iter().find(|(known, _)| known == agent);
        found.map_or_else(|| agent.to_string(), |(_, backend)| backend.clone())
    };
    let failure = match crew::instance(reader, name) {
        Ok(view) => {
            return Ok(NewSeat {
                vendor: backend(&view.spec.agent),
                who: Who::There(view.id),
            });
        }
        Err(failure) => failure,
    };
    if !defaults.agents.iter().any(|(agent, _)| agent.as_str() == name) {
        let mut names: Vec<String> = defaults.agents.iter().map(|(agent, _)| agent.to_string()).collect();
        names.sort();
        return Err(failure.hint(format!("or name an agent: {}", names.join(", "))));
    }
    let policy = reader.crew_policy()?;
    let wish = Wish {
        name: name.to_owned(),
        agent: Some(name.to_owned()),
        ..Wish::default()
    };
    let spec = spawn::spec(wish, &policy, defaults)?;
    Ok(NewSeat {
        vendor: backend(&spec.agent),
        who: Who::New(Box::new(spec)),
    })
}

/// A day as people write it, or why it is none.
pub fn day(text: &str) -> Result<&str, Failure> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match text.len() == 10 && digits {
        true => Ok(text),
        false => Err(Failure::usage(format!("`{text}` is not a day such as `2026-11-27`"))),
    }
}

/// Lines of the audit log after the `after`th, of one instance and one day; and where to go on, until there is no more.
pub fn audit(
    reader: &mut dyn Reader,
    after: u64,
    of: Option<InstanceId>,
    day: Option<&str>,
    limit: u32,
) -> Result<(Vec<AuditView>, Option<u64>), Failure> {
    let mut lines = reader.audit(after, of, limit)?;
    let next = lines.last().map(|last| last.id);
    lines.retain(|line| day.is_none_or(|day| moment(line.at).starts_with(day)));
    Ok((lines, next))
}

/// Messages after one, with one party and of one day; and where to go on, until there is no more.
pub fn messages(
    reader: &mut dyn Reader,
    after: MessageId,
    with: Option<InstanceId>,
    day: Option<&str>,
    limit: u32,
) -> Result<(Vec<MessageView>, Option<MessageId>), Failure> {
    let filter = MessageFilter {
        with: with.map(Party::Instance),
        after,
        ..MessageFilter::default()
    };
    let mut page = reader.messages(filter, limit)?;
    let next = page.last().map(|last| last.id);
    page.retain(|message| day.is_none_or(|day| moment(message.sent_at).starts_with(day)));
    Ok((page, next))
}
