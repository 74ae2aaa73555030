//! Numbers that stand for the crew's words in rows. Part of the file format: never change one, only add.

use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::instance::{End, Stage};
use wheelhouse_core::message::{MessageKind, Party, Trust};

use crate::encode::{damaged, int};
use crate::failure::Answer;

pub(crate) fn party_code(party: Party) -> i64 {
    match party {
        Party::Person => 0,
        Party::Instance(id) => int(id.0),
    }
}

pub(crate) fn party(code: u64) -> Party {
    match code {
        0 => Party::Person,
        id => Party::Instance(InstanceId(id)),
    }
}

pub(crate) fn end_code(end: End) -> i64 {
    match end {
        End::Terminated => 1,
        End::WithParent => 2,
        End::Denied => 3,
        End::Finished => 4,
        End::Expired => 5,
        End::Stopped => 6,
    }
}

pub(crate) fn end(code: i64) -> Answer<End> {
    Ok(match code {
        1 => End::Terminated,
        2 => End::WithParent,
        3 => End::Denied,
        4 => End::Finished,
        5 => End::Expired,
        6 => End::Stopped,
        other => return damaged("the end of an instance", other),
    })
}

/// The stage, and how it ended.
pub(crate) fn stage_codes(stage: Stage) -> (i64, Option<i64>) {
    match stage {
        Stage::Idle => (0, None),
        Stage::Busy => (1, None),
        Stage::Suspended => (2, None),
        Stage::Ended { end } => (3, Some(end_code(end))),
    }
}

pub(crate) fn stage(code: i64, ended_as: Option<i64>) -> Answer<Stage> {
    Ok(match (code, ended_as) {
        (0, _) => Stage::Idle,
        (1, _) => Stage::Busy,
        (2, _) => Stage::Suspended,
        (3, Some(code)) => Stage::Ended { end: end(code)? },
        (other, _) => return damaged("the stage of an instance", other),
    })
}

pub(crate) fn trust_code(trust: Trust) -> i64 {
    match trust {
        Trust::Person => 0,
        Trust::Above => 1,
        Trust::Below => 2,
    }
}

pub(crate) fn trust(code: i64) -> Answer<Trust> {
    Ok(match code {
        0 => Trust::Person,
        1 => Trust::Above,
        2 => Trust::Below,
        other => return damaged("the trust of a message", other),
    })
}

pub(crate) fn kind_code(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::Request => 0,
        MessageKind::Note => 1,
    }
}

pub(crate) fn kind(code: i64) -> Answer<MessageKind> {
    Ok(match code {
        0 => MessageKind::Request,
        1 => MessageKind::Note,
        other => return damaged("the kind of a message", other),
    })
}
