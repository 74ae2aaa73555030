//! Turns: a message becomes a task when there is a place for it, and the task's end is the turn's.

use crate::crew::apply::{change, step};
use crate::crew::{CrewPolicy, InstanceRow, Rows, control, mail};
use crate::event::Happened;
use crate::ids::{AgentName, InstanceId, MessageId, TaskId, TaskKey};
use crate::instance::{End, InstanceEvent, Stage};
use crate::message::{MessageState, Party};
use crate::outcome::Outcome;
use crate::spec::{Edits, Merge, TaskSpec, Turn, Work};
use crate::time::Millis;
use crate::usage::{Cost, Usage};

/// How many that want a turn are looked at a time.
const PAGE: u32 = 64;
/// How many idle instances are put aside or ended in one commit.
const EXPIRE_MAX: u32 = 256;

/// Opens turns while there are places.
pub(super) fn fill<R: Rows>(rows: &mut R) -> Result<(), R::Error> {
    let mut skip = 0;
    let first = rows.wanting(0, PAGE)?;
    if first.is_empty() {
        return Ok(());
    }
    let policy = rows.policy()?;
    if !policy.orchestration {
        return Ok(());
    }
    let mut page = first;
    while !page.is_empty() {
        for id in page {
            if rows.at_work()? >= policy.max_instances {
                return Ok(());
            }
            let Some(row) = rows.find_instance(id)? else { continue };
            let full = match row.parent {
                Some(parent) => rows.children_at_work(parent)? >= policy.children_max,
                None => false,
            };
            match row.wants {
                Some(message) if !full => open(rows, &policy, &row, message)?,
                Some(_) | None => skip += 1,
            }
        }
        page = rows.wanting(skip, PAGE)?;
    }
    Ok(())
}

fn open<R: Rows>(rows: &mut R, policy: &CrewPolicy, row: &InstanceRow, message: MessageId) -> Result<(), R::Error> {
    // An instance that was spawned before approvals were demanded has none, and needs none.
    let approval = row.unapproved && policy.require_approval;
    let task = rows.open_turn(row.run, &task(row, message, approval))?;
    if let Some(mut view) = rows.find_message(message)? {
        view.state = MessageState::Open { task };
        rows.put_message(&view)?;
    }
    change(rows, row.id, |row| {
        step(row, InstanceEvent::TurnOpened);
        row.turn = Some(task);
        row.message = Some(message);
        row.queued = row.queued.saturating_sub(1);
        row.wants = None;
        row.interrupted = false;
    })?;
    mail::refresh(rows, row.id)
}

/// The task of a turn. Deeper ones come first, so that those above get their answers.
fn task(row: &InstanceRow, message: MessageId, approval: bool) -> TaskSpec {
    let spec = &row.spec;
    TaskSpec {
        key: TaskKey(format!("{}.{message}", row.id)),
        work: Work::Turn(Turn {
            instance: row.id,
            message,
        }),
        agent: spec.agent.clone(),
        fallback: Vec::new(),
        deadline_ms: None,
        window_tokens: None,
        confidence_min: Some(0),
        model: spec.model.clone(),
        role: spec.system_prompt.clone(),
        needs: Vec::new(),
        priority: i32::try_from(row.depth).unwrap_or(i32::MAX),
        files: Vec::new(),
        verify: Vec::new(),
        isolation: spec.isolation,
        merge: Merge::None,
        protect: Vec::new(),
        edits: Edits::Own,
        schema: None,
        timeout_ms: spec.timeout_ms,
        idle_timeout_ms: spec.idle_timeout_ms,
        retry_max: spec.retry_max,
        on_failure: None,
        planner: false,
        approval,
        env: spec.env.clone(),
        cwd: spec.cwd.clone(),
        // What it may spend is the instance's, and counts for everybody below it too.
        budget: None,
        routed: None,
        flow: Default::default(),
        inputs: Default::default(),
    }
}

/// The task of a turn is done. Called by the store for every task that is a turn, after everything else that its end
/// brings.
pub fn turn_closed<R: Rows>(rows: &mut R, task: TaskId, outcome: &Outcome) -> Result<(), R::Error> {
    let Some(id) = rows.instance_of_turn(task)? else {
        return Ok(());
    };
    let approved = rows.is_approved(task)?;
    let message = rows.find_instance(id)?.and_then(|row| row.message);
    let mut denied = false;
    let row = change(rows, id, |row| {
        denied = !approved && !row.interrupted && !row.stage.is_ended();
        step(row, InstanceEvent::TurnClosed);
        (row.turn, row.message) = (None, None);
        row.turns += 1;
        row.unapproved &= !approved;
        row.interrupted = false;
        row.last_outcome = Some(outcome.clone());
    })?;
    if let Some(message) = message {
        let outcome = outcome.clone();
        mail::over(rows, message, MessageState::Done { task, outcome })?;
    }
    if denied {
        control::end(rows, &row, End::Denied, Party::Person, &mut Vec::new())?;
    } else if row.spec.ephemeral && row.stage == Stage::Idle && row.queued == 0 {
        control::end(rows, &row, End::Finished, Party::Instance(id), &mut Vec::new())?;
    }
    fill(rows)
}

/// What a person is asked before an instance's first turn.
pub fn approval_text<R: Rows>(rows: &mut R, instance: InstanceId) -> Result<String, R::Error> {
    let Some(row) = rows.find_instance(instance)? else {
        return Ok(format!("May {instance} start?"));
    };
    let model = row
        .spec
        .model
        .as_deref()
        .map(|model| format!(", model {model}"))
        .unwrap_or_default();
    let by = row.parent.map_or("a person".to_owned(), |parent| parent.to_string());
    let (name, agent) = (&row.spec.name, &row.spec.agent);
    Ok(format!(
        "May {instance} `{name}` (agent {agent}{model}) start? {by} spawned it."
    ))
}

/// What a try of a turn consumed.
pub fn spent<R: Rows>(rows: &mut R, task: TaskId, usage: Usage, cost: Cost) -> Result<(), R::Error> {
    let Some(id) = rows.instance_of_turn(task)? else {
        return Ok(());
    };
    change(rows, id, |row| {
        row.usage = match row.usage == Usage::default() {
            true => usage,
            false => row.usage.plus(usage),
        };
        match cost {
            Cost::Actual(nano) | Cost::Priced(nano) => row.cost_nano = row.cost_nano.saturating_add(nano),
            Cost::Included | Cost::Free => {}
            Cost::Unknown => row.cost_unknown += 1,
        }
    })?;
    Ok(())
}

/// The session of a turn is known: the instance goes on in it from now on.
pub fn session_known<R: Rows>(rows: &mut R, task: TaskId, session: &str) -> Result<(), R::Error> {
    let Some(id) = rows.instance_of_turn(task)? else {
        return Ok(());
    };
    change(rows, id, |row| row.session = Some(session.to_owned()))?;
    Ok(())
}

/// The session in which a turn goes on; none for one that moved to another agent.
pub fn claimed_session<R: Rows>(rows: &mut R, task: TaskId, agent: &AgentName) -> Result<Option<String>, R::Error> {
    let Some(id) = rows.instance_of_turn(task)? else {
        return Ok(None);
    };
    let row = rows.find_instance(id)?;
    Ok(row.filter(|row| row.spec.agent == *agent).and_then(|row| row.session))
}

/// Puts aside what was idle for too long, and ends what had nothing to do for longer than the policy allows. Gives
/// back the moment at which this is to be looked at again.
pub fn expire<R: Rows>(rows: &mut R) -> Result<(), R::Error> {
    let policy = rows.policy()?;
    let now = rows.now().0;
    let due = |since: Millis, after: Option<u64>| after.is_some_and(|after| since.0.saturating_add(after) <= now);
    if policy.auto_terminate_after_ms.is_some() {
        for suspended in [false, true] {
            for (id, since) in rows.idle(suspended, EXPIRE_MAX)? {
                if !due(since, policy.auto_terminate_after_ms) {
                    break;
                }
                // One whose children live is not done, however idle it is.
                if rows.children(id)?.is_empty()
                    && let Some(row) = rows.find_instance(id)?
                {
                    control::end(rows, &row, End::Expired, Party::Person, &mut Vec::new())?;
                }
            }
        }
    }
    for (id, since) in rows.idle(false, EXPIRE_MAX)? {
        if !due(since, policy.suspend_after_ms) {
            break;
        }
        if let Some(mut row) = rows.find_instance(id)? {
            // Not through `change`: being put aside is no activity, and the time to its end goes on.
            step(&mut row, InstanceEvent::Suspended);
            rows.put_instance(&row)?;
            rows.happened(row.run, None, Happened::InstanceSuspended { instance: id })?;
        }
    }
    Ok(())
}

/// When [`expire`] has something to do.
pub fn next_expiry<R: Rows>(rows: &mut R) -> Result<Option<Millis>, R::Error> {
    let mut next: Option<u64> = None;
    let mut first = |since: Option<&(InstanceId, Millis)>, after: Option<u64>| {
        if let (Some((_, since)), Some(after)) = (since, after) {
            let at = since.0.saturating_add(after);
            next = Some(next.map_or(at, |other| other.min(at)));
        }
    };
    let idle = rows.idle(false, 1)?;
    let suspended = rows.idle(true, 1)?;
    if idle.is_empty() && suspended.is_empty() {
        return Ok(None);
    }
    let policy = rows.policy()?;
    first(idle.first(), policy.suspend_after_ms);
    first(idle.first(), policy.auto_terminate_after_ms);
    first(suspended.first(), policy.auto_terminate_after_ms);
    Ok(next.map(Millis))
}
