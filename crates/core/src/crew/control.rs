//! What is done to instances that are there: interrupting, ending, putting aside; and the policy they all live under.

use crate::budget::Scope;
use crate::crew::apply::{alive, change, may_touch, named, step};
use crate::crew::{InstanceRow, PolicyChange, Refusal, Reply, Rows, StopWhat, mail};
use crate::event::Happened;
use crate::ids::{InstanceId, MessageId};
use crate::instance::{End, InstanceEvent};
use crate::message::Party;

/// How much of a change of the policy the audit log tells, in bytes.
const DETAIL_MAX: usize = 500;

pub(super) fn interrupt<R: Rows>(rows: &mut R, by: Party, id: InstanceId, clear: bool) -> Result<Reply, R::Error> {
    let row = alive(rows, id)?;
    may_touch(rows, by, &row)?;
    let (message, asked) = interrupt_one(rows, by, &row, clear)?;
    Ok(Reply::Interrupted { message, asked })
}

fn interrupt_one<R: Rows>(
    rows: &mut R,
    by: Party,
    row: &InstanceRow,
    clear: bool,
) -> Result<(Option<MessageId>, bool), R::Error> {
    if clear {
        mail::clear(rows, row.id)?;
    }
    let Some(task) = row.turn else {
        return Ok((None, false));
    };
    change(rows, row.id, |row| row.interrupted = true)?;
    rows.happened(row.run, Some(task), Happened::InterruptRequested)?;
    let asked = rows.interrupt_turn(task)?;
    let detail = row.message.map(|message| message.to_string()).unwrap_or_default();
    rows.audit(by, Some(row.id), "interrupt", detail)?;
    Ok((row.message, asked))
}

pub(super) fn terminate<R: Rows>(rows: &mut R, by: Party, id: InstanceId) -> Result<Reply, R::Error> {
    let row = alive(rows, id)?;
    // An instance may end itself.
    if by.instance() != Some(id) {
        may_touch(rows, by, &row)?;
    }
    let mut instances = Vec::new();
    end(rows, &row, End::Terminated, by, &mut instances)?;
    Ok(Reply::Ended { instances })
}

/// Ends an instance and everything below it, the deepest first; `ended` gets them in that order.
pub(super) fn end<R: Rows>(
    rows: &mut R,
    top: &InstanceRow,
    end: End,
    by: Party,
    ended: &mut Vec<InstanceId>,
) -> Result<(), R::Error> {
    // Parents before children; walked backwards, children come first.
    let mut tree = vec![top.id];
    let mut at = 0;
    while at < tree.len() {
        let children = rows.children(tree[at])?;
        tree.extend(children);
        at += 1;
    }
    for id in tree.into_iter().rev() {
        let why = if id == top.id || end == End::Stopped {
            end
        } else {
            End::WithParent
        };
        mail::clear(rows, id)?;
        let turn = named(rows, id)?.turn;
        let row = change(rows, id, |row| {
            step(row, InstanceEvent::Ended(why));
            row.wants = None;
        })?;
        let mut row = row;
        row.ended_at = Some(rows.now());
        rows.put_instance(&row)?;
        rows.happened(row.run, None, Happened::InstanceEnded { instance: id, end: why })?;
        rows.audit(by, Some(id), "end", why.name().to_owned())?;
        if let Some(task) = turn {
            rows.stop_turn(task)?;
        }
        if row.parent.is_none() {
            rows.close_run(row.run)?;
        }
        ended.push(id);
    }
    Ok(())
}

pub(super) fn put_aside<R: Rows>(
    rows: &mut R,
    by: Party,
    id: InstanceId,
    event: InstanceEvent,
) -> Result<Reply, R::Error> {
    let row = alive(rows, id)?;
    may_touch(rows, by, &row)?;
    row.stage
        .next(event)
        .map_err(|illegal| Refusal::Illegal(illegal.to_string()))?;
    let row = change(rows, id, |row| step(row, event))?;
    let (happened, verb) = match event {
        InstanceEvent::Suspended => (Happened::InstanceSuspended { instance: id }, "suspend"),
        InstanceEvent::Resumed | InstanceEvent::TurnOpened | InstanceEvent::TurnClosed | InstanceEvent::Ended(_) => {
            (Happened::InstanceResumed { instance: id }, "resume")
        }
    };
    rows.happened(row.run, None, happened)?;
    rows.audit(by, Some(id), verb, String::new())?;
    Ok(Reply::Done)
}

pub(super) fn set_policy<R: Rows>(rows: &mut R, by: Party, changes: &[PolicyChange]) -> Result<Reply, R::Error> {
    person_only(by, "change the policy")?;
    let mut policy = rows.policy()?;
    for change in changes {
        policy.change(change);
        match change {
            PolicyChange::MaxSessionCost(nano) => rows.limit_money(Scope::Crew, *nano)?,
            PolicyChange::MaxCostPerHour(nano) => rows.limit_money(Scope::CrewHour, *nano)?,
            _ => {}
        }
        let mut detail = format!("{change:?}");
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
        rows.audit(by, None, "policy", detail)?;
    }
    rows.put_policy(&policy)?;
    Ok(Reply::Done)
}

fn person_only(by: Party, what: &str) -> Result<(), Refusal> {
    match by {
        Party::Person => Ok(()),
        Party::Instance(_) => Err(Refusal::NotAllowed {
            by,
            what: format!("{what}: only a person may"),
        }),
    }
}

pub(super) fn stop<R: Rows>(rows: &mut R, by: Party, what: StopWhat) -> Result<Reply, R::Error> {
    let tops = match by.instance() {
        None => rows.roots()?,
        Some(caller) => {
            alive(rows, caller)?;
            rows.children(caller)?
        }
    };
    match what {
        StopWhat::Turns => {
            let mut messages = Vec::new();
            let mut tree = tops;
            let mut at = 0;
            while at < tree.len() {
                let children = rows.children(tree[at])?;
                tree.extend(children);
                at += 1;
            }
            for id in tree {
                let row = named(rows, id)?;
                messages.extend(interrupt_one(rows, by, &row, true)?.0);
            }
            Ok(Reply::Stopped { messages })
        }
        StopWhat::Orchestration => {
            if by == Party::Person {
                let mut policy = rows.policy()?;
                policy.change(&PolicyChange::Orchestration(false));
                rows.put_policy(&policy)?;
                rows.audit(by, None, "stop", "all orchestration".to_owned())?;
            }
            let mut instances = Vec::new();
            for id in tops {
                let row = named(rows, id)?;
                end(rows, &row, End::Stopped, by, &mut instances)?;
            }
            Ok(Reply::Ended { instances })
        }
    }
}
