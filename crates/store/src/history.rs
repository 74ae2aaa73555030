//! Events as rows: a number for the kind, up to three numbers, and text where there is some.
//!
//! The kinds are part of the file format: never change one, only add.

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use wheelhouse_core::budget::Scope;
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{AgentName, Cursor, InstanceId, MessageId, QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::message::MessageKind;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::task::Held;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

use crate::crew::codes;
use crate::encode::{self, Detail, Reason, bits, damaged, from_bits, int};
use crate::failure::{Answer, Stop};

/// What the columns of an event hold, without its place and time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) run: u64,
    pub(crate) task: Option<u64>,
    pub(crate) kind: i64,
    pub(crate) a: Option<i64>,
    pub(crate) b: Option<i64>,
    pub(crate) c: Option<i64>,
    pub(crate) body: Option<String>,
}

/// Kinds that fsck reads by number.
pub(crate) const TASK_CLAIMED: i64 = 9;
pub(crate) const ATTEMPT_ENDED: i64 = 12;
pub(crate) const TASK_RETURNED: i64 = 15;
pub(crate) const TASK_DONE: i64 = 16;
pub(crate) const TASK_RETRIED: i64 = 17;
pub(crate) const TASK_AWAITS: i64 = 22;

/// Kinds about money; numbers from forty on, so that others can go on counting.
const SPENDING_BOOKED: i64 = 40;
const BUDGET_WARNED: i64 = 41;
const TASK_RATED: i64 = 42;

/// What a try consumed that was given back.
#[derive(Serialize, Deserialize)]
struct BookedShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
}

/// What does not fit three numbers about the end of a try. Left out when it used nothing, cost nothing and its outcome
/// is no more than its class.
#[derive(Serialize, Deserialize)]
struct EndShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_nano: Option<i64>,
}

impl Entry {
    /// `name` turns a name into its number.
    pub(crate) fn encode(
        run: u64,
        task: Option<u64>,
        happened: &Happened,
        name: &mut dyn FnMut(&str) -> Answer<i64>,
    ) -> Answer<Entry> {
        let (kind, [a, b, c], body) = columns(happened, name)?;
        Ok(Entry {
            run,
            task,
            kind,
            a,
            b,
            c,
            body,
        })
    }
}

type Columns = (i64, [Option<i64>; 3], Option<String>);

fn columns(happened: &Happened, name: &mut dyn FnMut(&str) -> Answer<i64>) -> Answer<Columns> {
    let none = [None; 3];
    let one = |a| [Some(a), None, None];
    let two = |a, b| [Some(a), Some(b), None];
    Ok(match happened {
        Happened::RunSubmitted { name, tasks } => (1, one(int(*tasks)), Some(name.clone())),
        Happened::TasksAdded { tasks } => (2, one(int(*tasks)), None),
        Happened::RunPaused { interrupted } => (3, one(i64::from(*interrupted)), None),
        Happened::RunResumed => (4, none, None),
        Happened::RunCancelled => (5, none, None),
        Happened::RunFinished { succeeded, failed } => (6, two(int(*succeeded), int(*failed)), None),
        Happened::RunReopened => (7, none, None),
        Happened::TaskReady => (8, none, None),
        Happened::TaskClaimed { attempt, fence, agent } => {
            let agent = name(agent.as_str())?;
            (
                TASK_CLAIMED,
                [Some((*attempt).into()), Some(int(*fence)), Some(agent)],
                None,
            )
        }
        Happened::AttemptStarted { attempt, session, pid } => {
            (10, [Some((*attempt).into()), pid.map(i64::from), None], session.clone())
        }
        Happened::AttemptReported { attempt, kind, text } => {
            let kind = name(kind)?;
            (11, [Some((*attempt).into()), None, Some(kind)], Some(text.clone()))
        }
        Happened::AttemptEnded {
            attempt,
            outcome,
            usage,
            cost,
        } => {
            let (code, cost, more) = end_columns(outcome, *usage, *cost)?;
            (ATTEMPT_ENDED, [Some((*attempt).into()), Some(code), Some(cost)], more)
        }
        Happened::TaskHeld { held } => {
            let (a, b, body) = held_columns(held);
            (13, [Some(a), b, None], body)
        }
        Happened::TaskReleased => (14, none, None),
        Happened::TaskReturned { fence, why } => (TASK_RETURNED, one(int(*fence)), Some(why.clone())),
        Happened::TaskDone { outcome, continues } => {
            let (c, body) = detail_columns(outcome);
            let code = encode::outcome_code(outcome);
            (TASK_DONE, [Some(code), Some(i64::from(*continues)), c], body)
        }
        Happened::TaskAwaits { added, pending } => (TASK_AWAITS, two((*added).into(), (*pending).into()), None),
        Happened::TaskRetried => (TASK_RETRIED, none, None),
        Happened::CancelRequested => (18, none, None),
        Happened::QuestionAsked { question, kind, text } => {
            let kind = encode::question_kind_code(*kind);
            (19, two(int(question.0), kind), Some(text.clone()))
        }
        Happened::TaskSteered { words } => (21, none, Some(words.clone())),
        // 23 to 29 are left to others.
        Happened::InstanceSpawned {
            instance,
            parent,
            name: called,
            agent,
        } => {
            let agent = name(agent.as_str())?;
            let parent = parent.map(|parent| int(parent.0));
            (30, [Some(int(instance.0)), parent, Some(agent)], Some(called.clone()))
        }
        Happened::InstanceSuspended { instance } => (31, one(int(instance.0)), None),
        Happened::InstanceResumed { instance } => (32, one(int(instance.0)), None),
        Happened::InstanceEnded { instance, end } => (33, two(int(instance.0), codes::end_code(*end)), None),
        Happened::MessageSent {
            message,
            from,
            to,
            kind,
        } => {
            let (from, to) = (codes::party_code(*from), codes::party_code(*to));
            (message_code(*kind), [Some(int(message.0)), Some(from), Some(to)], None)
        }
        Happened::InterruptRequested => (36, none, None),
        Happened::SpendingBooked { attempt, usage, cost } => {
            let (cost, cost_nano) = encode::cost_codes(*cost);
            let columns = [Some((*attempt).into()), Some(cost), cost_nano];
            (SPENDING_BOOKED, columns, booked_text(*usage))
        }
        Happened::BudgetWarned {
            scope,
            used_nano,
            limit_nano,
        } => (
            BUDGET_WARNED,
            two(bits(*used_nano), bits(*limit_nano)),
            Some(scope.to_string()),
        ),
        Happened::TaskRated { stars, words } => (TASK_RATED, one((*stars).into()), Some(words.clone())),
        Happened::QuestionAnswered { question, answer } => (20, one(int(question.0)), Some(answer.clone())),
    })
}

fn message_code(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::Request => 34,
        MessageKind::Note => 35,
    }
}

fn booked_text(usage: Usage) -> Option<String> {
    let booked = BookedShape {
        usage: encode::usage_text(usage),
    };
    serde_json::to_string(&booked).ok()
}

fn detail_columns(outcome: &Outcome) -> (Option<i64>, Option<String>) {
    match encode::outcome_detail(outcome) {
        Detail::None => (None, None),
        Detail::Number(number) => (Some(bits(number)), None),
        Detail::Text(text) => (None, Some(text)),
    }
}

/// The outcome, the provenance of the cost, and the rest.
fn end_columns(outcome: &Outcome, usage: Usage, cost: Cost) -> Answer<(i64, i64, Option<String>)> {
    let (cost, cost_nano) = encode::cost_codes(cost);
    let (number, text) = match encode::outcome_detail(outcome) {
        Detail::None => (None, None),
        Detail::Number(number) => (Some(number), None),
        Detail::Text(text) => (None, Some(text)),
    };
    let more = EndShape {
        number,
        text,
        usage: encode::usage_text(usage),
        cost_nano,
    };
    Ok((encode::outcome_code(outcome), cost, end_text(&more)?))
}

fn end_text(more: &EndShape) -> Answer<Option<String>> {
    let EndShape {
        number,
        text,
        usage,
        cost_nano,
    } = more;
    if number.is_none() && text.is_none() && usage.is_none() && cost_nano.is_none() {
        return Ok(None);
    }
    match serde_json::to_string(more) {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(Stop::Damaged(format!("cannot be written as JSON: {error}"))),
    }
}

fn held_columns(held: &Held) -> (i64, Option<i64>, Option<String>) {
    match held {
        Held::Paused => (Reason::Paused as i64, None, None),
        Held::Approval { question } => (Reason::Approval as i64, Some(int(question.0)), None),
        Held::Question { question } => (Reason::Question as i64, Some(int(question.0)), None),
        Held::Budget { scope, until } => (
            Reason::Budget as i64,
            until.map(|until| bits(until.0)),
            Some(scope.to_string()),
        ),
        Held::Quota { until } => (Reason::Quota as i64, Some(bits(until.0)), None),
        Held::Retry { until } => (Reason::Retry as i64, Some(bits(until.0)), None),
        Held::Conflict { with } => (Reason::Conflict as i64, None, Some(with.0.clone())),
        Held::MergeConflict { question } => (Reason::MergeConflict as i64, Some(int(question.0)), None),
    }
}

/// Reads a row of the event queries. `name` turns the number of a name into the name.
pub(crate) fn event(row: &Row<'_>, name: &mut dyn FnMut(i64) -> Answer<String>) -> Answer<Event> {
    let columns = Read {
        a: row.get(5)?,
        b: row.get(6)?,
        c: row.get(7)?,
        body: row.get(8)?,
    };
    Ok(Event {
        cursor: Cursor(row.get(0)?),
        at: Millis(row.get(1)?),
        run: RunId(row.get(2)?),
        task: row.get::<_, Option<u64>>(3)?.map(TaskId),
        happened: columns.happened(row.get(4)?, name)?,
    })
}

struct Read {
    a: Option<i64>,
    b: Option<i64>,
    c: Option<i64>,
    body: Option<String>,
}

impl Read {
    fn happened(self, kind: i64, name: &mut dyn FnMut(i64) -> Answer<String>) -> Answer<Happened> {
        Ok(match kind {
            1 => Happened::RunSubmitted {
                name: self.text()?,
                tasks: self.number(self.a)?,
            },
            2 => Happened::TasksAdded {
                tasks: self.number(self.a)?,
            },
            3 => Happened::RunPaused {
                interrupted: self.a == Some(1),
            },
            4 => Happened::RunResumed,
            5 => Happened::RunCancelled,
            6 => Happened::RunFinished {
                succeeded: self.number(self.a)?,
                failed: self.number(self.b)?,
            },
            7 => Happened::RunReopened,
            8 => Happened::TaskReady,
            TASK_CLAIMED => Happened::TaskClaimed {
                attempt: self.small(self.a)?,
                fence: self.number(self.b)?,
                agent: AgentName(name(self.signed(self.c)?)?),
            },
            10 => Happened::AttemptStarted {
                attempt: self.small(self.a)?,
                pid: self.b.map(|pid| self.small(Some(pid))).transpose()?,
                session: self.body,
            },
            11 => Happened::AttemptReported {
                attempt: self.small(self.a)?,
                kind: name(self.signed(self.c)?)?,
                text: self.text()?,
            },
            ATTEMPT_ENDED => self.attempt_ended()?,
            13 => Happened::TaskHeld { held: self.held()? },
            14 => Happened::TaskReleased,
            TASK_RETURNED => Happened::TaskReturned {
                fence: self.number(self.a)?,
                why: self.text()?,
            },
            TASK_DONE => Happened::TaskDone {
                continues: self.b == Some(1),
                outcome: encode::outcome(self.signed(self.a)?, self.detail())?,
            },
            TASK_RETRIED => Happened::TaskRetried,
            18 => Happened::CancelRequested,
            19 => Happened::QuestionAsked {
                question: QuestionId(self.number(self.a)?),
                kind: encode::question_kind(self.signed(self.b)?)?,
                text: self.text()?,
            },
            20 => Happened::QuestionAnswered {
                question: QuestionId(self.number(self.a)?),
                answer: self.text()?,
            },
            21 => Happened::TaskSteered { words: self.text()? },
            TASK_AWAITS => Happened::TaskAwaits {
                added: self.small(self.a)?,
                pending: self.small(self.b)?,
            },
            30 => Happened::InstanceSpawned {
                instance: InstanceId(self.number(self.a)?),
                parent: self
                    .b
                    .map(|parent| self.number(Some(parent)))
                    .transpose()?
                    .map(InstanceId),
                agent: AgentName(name(self.signed(self.c)?)?),
                name: self.text()?,
            },
            31 => Happened::InstanceSuspended {
                instance: InstanceId(self.number(self.a)?),
            },
            32 => Happened::InstanceResumed {
                instance: InstanceId(self.number(self.a)?),
            },
            33 => Happened::InstanceEnded {
                instance: InstanceId(self.number(self.a)?),
                end: codes::end(self.signed(self.b)?)?,
            },
            34 => self.message_sent(MessageKind::Request)?,
            35 => self.message_sent(MessageKind::Note)?,
            36 => Happened::InterruptRequested,
            SPENDING_BOOKED => self.spending_booked()?,
            BUDGET_WARNED => Happened::BudgetWarned {
                scope: self.scope()?,
                used_nano: from_bits(self.signed(self.a)?),
                limit_nano: from_bits(self.signed(self.b)?),
            },
            TASK_RATED => Happened::TaskRated {
                stars: u8::try_from(self.small(self.a)?).or_else(|_| damaged("a number of stars", "a large number"))?,
                words: self.body.unwrap_or_default(),
            },
            other => return damaged("the kind of an event", other),
        })
    }

    fn message_sent(self, kind: MessageKind) -> Answer<Happened> {
        Ok(Happened::MessageSent {
            message: MessageId(self.number(self.a)?),
            from: codes::party(self.number(self.b)?),
            to: codes::party(self.number(self.c)?),
            kind,
        })
    }

    fn spending_booked(self) -> Answer<Happened> {
        let booked: BookedShape = match serde_json::from_str(self.body.as_deref().unwrap_or("{}")) {
            Ok(booked) => booked,
            Err(error) => return damaged("what was booked", error),
        };
        Ok(Happened::SpendingBooked {
            attempt: self.small(self.a)?,
            usage: encode::usage(booked.usage.as_deref())?,
            cost: encode::cost(self.signed(self.b)?, self.c)?,
        })
    }

    fn attempt_ended(self) -> Answer<Happened> {
        let more: EndShape = match serde_json::from_str(self.body.as_deref().unwrap_or("{}")) {
            Ok(more) => more,
            Err(error) => return damaged("the end of a try", error),
        };
        let detail = match (more.number, more.text) {
            (Some(number), _) => Detail::Number(number),
            (None, Some(text)) => Detail::Text(text),
            (None, None) => Detail::None,
        };
        Ok(Happened::AttemptEnded {
            attempt: self.small(self.a)?,
            outcome: encode::outcome(self.signed(self.b)?, detail)?,
            usage: encode::usage(more.usage.as_deref())?,
            cost: encode::cost(self.signed(self.c)?, more.cost_nano)?,
        })
    }

    fn held(self) -> Answer<Held> {
        let question = || self.number(self.b).map(QuestionId);
        let until = || self.signed(self.b).map(from_bits).map(Millis);
        Ok(match Reason::decode(self.signed(self.a)?)? {
            Reason::Paused => Held::Paused,
            Reason::Approval => Held::Approval { question: question()? },
            Reason::Question => Held::Question { question: question()? },
            Reason::Budget => Held::Budget {
                scope: self.scope()?,
                until: self.b.map(from_bits).map(Millis),
            },
            Reason::Quota => Held::Quota { until: until()? },
            Reason::Retry => Held::Retry { until: until()? },
            Reason::Conflict => Held::Conflict {
                with: TaskKey(self.text()?),
            },
            Reason::MergeConflict => Held::MergeConflict { question: question()? },
        })
    }

    fn scope(&self) -> Answer<Scope> {
        let text = self.text()?;
        text.parse().or_else(|_| damaged("the scope of a budget", text))
    }

    fn detail(&self) -> Detail {
        match (self.c, &self.body) {
            (Some(number), _) => Detail::Number(from_bits(number)),
            (None, Some(text)) => Detail::Text(text.clone()),
            (None, None) => Detail::None,
        }
    }

    fn signed(&self, column: Option<i64>) -> Answer<i64> {
        column.map_or_else(|| damaged("a number of an event", "nothing"), Ok)
    }

    fn number(&self, column: Option<i64>) -> Answer<u64> {
        let number = self.signed(column)?;
        u64::try_from(number).or_else(|_| damaged("a count", number))
    }

    fn small(&self, column: Option<i64>) -> Answer<u32> {
        let number = self.signed(column)?;
        u32::try_from(number).or_else(|_| damaged("a small number", number))
    }

    fn text(&self) -> Answer<String> {
        self.body
            .clone()
            .map_or_else(|| damaged("the text of an event", "nothing"), Ok)
    }
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::instance::End;
    use wheelhouse_core::message::Party;
    use wheelhouse_core::question::QuestionKind;

    use super::*;

    fn all() -> Vec<Happened> {
        let usage = Usage {
            input: 5,
            ..Usage::default()
        };
        let ended = |outcome, usage, cost| Happened::AttemptEnded {
            attempt: 2,
            outcome,
            usage,
            cost,
        };
        let held = |held| Happened::TaskHeld { held };
        let question = QuestionId(4);
        vec![
            Happened::InstanceSpawned {
                instance: InstanceId(1),
                parent: None,
                name: "root".to_owned(),
                agent: "codex".into(),
            },
            Happened::InstanceSpawned {
                instance: InstanceId(2),
                parent: Some(InstanceId(1)),
                name: "child".to_owned(),
                agent: "codex".into(),
            },
            Happened::InstanceSuspended {
                instance: InstanceId(1),
            },
            Happened::InstanceResumed {
                instance: InstanceId(1),
            },
            Happened::InstanceEnded {
                instance: InstanceId(1),
                end: End::WithParent,
            },
            Happened::MessageSent {
                message: MessageId(1),
                from: Party::Person,
                to: Party::Instance(InstanceId(1)),
                kind: MessageKind::Request,
            },
            Happened::MessageSent {
                message: MessageId(2),
                from: Party::Instance(InstanceId(1)),
                to: Party::Person,
                kind: MessageKind::Note,
            },
            Happened::InterruptRequested,
            Happened::RunSubmitted {
                name: "n".into(),
                tasks: 3,
            },
            Happened::TasksAdded { tasks: 2 },
            Happened::RunPaused { interrupted: true },
            Happened::RunPaused { interrupted: false },
            Happened::RunResumed,
            Happened::RunCancelled,
            Happened::RunFinished {
                succeeded: 1,
                failed: 2,
            },
            Happened::RunReopened,
            Happened::TaskReady,
            Happened::TaskClaimed {
                attempt: 1,
                fence: 9,
                agent: "exec".into(),
            },
            Happened::AttemptStarted {
                attempt: 1,
                session: Some("s".into()),
                pid: Some(u32::MAX),
            },
            Happened::AttemptStarted {
                attempt: 1,
                session: None,
                pid: None,
            },
            Happened::AttemptReported {
                attempt: 1,
                kind: "tool".into(),
                text: "ls".into(),
            },
            ended(Outcome::Succeeded, Usage::default(), Cost::Free),
            ended(
                Outcome::Quota {
                    resets_at: Some(Millis(8)),
                },
                usage,
                Cost::Actual(u64::MAX),
            ),
            ended(Outcome::Skipped { cause: "c".into() }, usage, Cost::Unknown),
            held(Held::Paused),
            held(Held::Approval { question }),
            held(Held::Question { question }),
            held(Held::Budget {
                scope: Scope::Run(RunId(3)),
                until: Some(Millis(9)),
            }),
            held(Held::Quota {
                until: Millis(u64::MAX),
            }),
            held(Held::Retry { until: Millis(8) }),
            held(Held::Conflict { with: "k".into() }),
            held(Held::MergeConflict { question }),
            Happened::TaskReleased,
            Happened::TaskAwaits { added: 2, pending: 1 },
            Happened::TaskReturned {
                fence: 3,
                why: "why".into(),
            },
            Happened::TaskDone {
                outcome: Outcome::Succeeded,
                continues: false,
            },
            Happened::TaskDone {
                outcome: Outcome::RateLimited {
                    retry_after_ms: Some(3),
                },
                continues: true,
            },
            Happened::TaskDone {
                outcome: Outcome::Skipped { cause: "c".into() },
                continues: false,
            },
            Happened::TaskRetried,
            Happened::CancelRequested,
            Happened::QuestionAsked {
                question,
                kind: QuestionKind::Words,
                text: "?".into(),
            },
            Happened::QuestionAnswered {
                question,
                answer: "!".into(),
            },
        ]
    }

    #[test]
    fn events_survive() {
        let mut names: Vec<String> = Vec::new();
        for before in all() {
            let mut known = |text: &str| {
                names.push(text.to_owned());
                Ok(i64::try_from(names.len() - 1).unwrap())
            };
            let entry = Entry::encode(1, None, &before, &mut known).unwrap();
            let read = Read {
                a: entry.a,
                b: entry.b,
                c: entry.c,
                body: entry.body,
            };
            let mut name = |id: i64| Ok(names[usize::try_from(id).unwrap()].clone());
            assert_eq!(read.happened(entry.kind, &mut name).unwrap(), before);
        }
    }

    #[test]
    fn a_plain_success_needs_no_text() {
        let happened = Happened::AttemptEnded {
            attempt: 1,
            outcome: Outcome::Succeeded,
            usage: Usage::default(),
            cost: Cost::Free,
        };
        let entry = Entry::encode(1, Some(1), &happened, &mut |_| Ok(0)).unwrap();
        assert_eq!(entry.body, None);
    }

    #[test]
    fn unknown_kinds_are_damage() {
        let read = Read {
            a: None,
            b: None,
            c: None,
            body: None,
        };
        assert!(matches!(
            read.happened(99, &mut |_| Ok(String::new())),
            Err(Stop::Damaged(_))
        ));
    }
}
