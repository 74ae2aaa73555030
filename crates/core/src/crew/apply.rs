//! One command of the crew: to the function that carries it out, and then to whoever may start because of it.

use crate::crew::{Command, Refusal, Reply, Rows, control, mail, spawn, turns};
use crate::ids::InstanceId;
use crate::instance::InstanceEvent;
use crate::message::Party;

use super::InstanceRow;

/// How much the audit log tells of the use of a tool, in bytes.
const DETAIL_MAX: usize = 400;

/// Carries out a command inside the store's transaction. Everything is checked before anything is changed, so that a
/// refusal leaves nothing behind.
pub fn apply<R: Rows>(rows: &mut R, command: &Command) -> Result<Reply, R::Error> {
    let reply = match command {
        Command::Spawn(spawn) => spawn::spawn(rows, spawn),
        Command::Send(send) => mail::send(rows, send),
        Command::Read { by, messages } => mail::read(rows, *by, messages),
        Command::Interrupt { by, instance, clear } => control::interrupt(rows, *by, *instance, *clear),
        Command::Terminate { by, instance } => control::terminate(rows, *by, *instance),
        Command::Suspend { by, instance } => control::put_aside(rows, *by, *instance, InstanceEvent::Suspended),
        Command::Resume { by, instance } => control::put_aside(rows, *by, *instance, InstanceEvent::Resumed),
        Command::SetPolicy { by, changes } => control::set_policy(rows, *by, changes),
        Command::Stop { by, what } => control::stop(rows, *by, *what),
        Command::Coordinate(coordinate) => spawn::coordinate(rows, coordinate),
        Command::Used { by, detail } => {
            let detail = detail[..detail.floor_char_boundary(DETAIL_MAX)].to_owned();
            return rows.audit(*by, by.instance(), "use_tool", detail).map(|()| Reply::Done);
        }
    }?;
    turns::fill(rows)?;
    Ok(reply)
}

/// An instance that a caller named.
pub(super) fn named<R: Rows>(rows: &mut R, id: InstanceId) -> Result<InstanceRow, R::Error> {
    match rows.find_instance(id)? {
        Some(row) => Ok(row),
        None => Err(Refusal::NoSuchInstance(id).into()),
    }
}

/// The same, when it has not ended.
pub(super) fn alive<R: Rows>(rows: &mut R, id: InstanceId) -> Result<InstanceRow, R::Error> {
    let row = named(rows, id)?;
    match row.stage.is_ended() {
        true => Err(Refusal::Ended { instance: id }.into()),
        false => Ok(row),
    }
}

/// Whether `id` is below `above` in the tree.
pub(super) fn is_below<R: Rows>(rows: &mut R, row: &InstanceRow, above: InstanceId) -> Result<bool, R::Error> {
    let mut parent = row.parent;
    while let Some(id) = parent {
        if id == above {
            return Ok(true);
        }
        parent = rows.find_instance(id)?.and_then(|row| row.parent);
    }
    Ok(false)
}

/// A person may touch every instance, an instance those below it.
pub(super) fn may_touch<R: Rows>(rows: &mut R, by: Party, row: &InstanceRow) -> Result<(), R::Error> {
    let Some(caller) = by.instance() else { return Ok(()) };
    alive(rows, caller)?;
    match is_below(rows, row, caller)? {
        true => Ok(()),
        false => Err(Refusal::NotBelow { by, instance: row.id }.into()),
    }
}

/// Changes an instance, and the counts of those above it with it. The only way in which an instance changes.
pub(super) fn change<R: Rows>(
    rows: &mut R,
    id: InstanceId,
    with: impl FnOnce(&mut InstanceRow),
) -> Result<InstanceRow, R::Error> {
    let mut row = named(rows, id)?;
    let before = row.is_active();
    with(&mut row);
    row.active_at = rows.now();
    rows.put_instance(&row)?;
    if before != row.is_active() {
        count_above(rows, row.parent, row.is_active())?;
    }
    Ok(row)
}

/// One more, or one fewer, is active below all of these.
pub(super) fn count_above<R: Rows>(rows: &mut R, mut parent: Option<InstanceId>, more: bool) -> Result<(), R::Error> {
    while let Some(id) = parent {
        let mut row = named(rows, id)?;
        row.active_below = match more {
            true => row.active_below.saturating_add(1),
            false => row.active_below.saturating_sub(1),
        };
        rows.put_instance(&row)?;
        parent = row.parent;
    }
    Ok(())
}

/// Takes a step of the machine that was checked before; one that is illegal all the same changes nothing.
pub(super) fn step(row: &mut InstanceRow, event: InstanceEvent) {
    if let Ok(stage) = row.stage.next(event) {
        row.stage = stage;
    }
}
