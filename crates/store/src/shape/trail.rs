//! The trail of a try as it lies in a result.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wheelhouse_core::trail::{Ran, Trail};

use super::{is_default, is_empty};

/// What the tries did.
#[derive(Serialize, Deserialize, Default, PartialEq)]
pub(super) struct TrailShape<'a> {
    #[serde(default, skip_serializing_if = "is_empty")]
    read: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "is_empty")]
    changed: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<RanShape<'a>>,
    #[serde(default, skip_serializing_if = "is_default")]
    dropped: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    calls: u32,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct RanShape<'a> {
    command: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_default")]
    failed: bool,
    times: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    said: Cow<'a, str>,
}

/// As it lies there.
pub(super) fn shape(trail: &Trail) -> TrailShape<'_> {
    let Trail {
        read,
        changed,
        commands,
        dropped,
        calls,
    } = trail;
    fn ran(ran: &Ran) -> RanShape<'_> {
        let Ran {
            command,
            failed,
            times,
            said,
        } = ran;
        RanShape {
            command: Cow::from(command),
            failed: *failed,
            times: *times,
            said: Cow::from(said),
        }
    }
    TrailShape {
        read: Cow::from(read),
        changed: Cow::from(changed),
        commands: commands.iter().map(ran).collect(),
        dropped: *dropped,
        calls: *calls,
    }
}

/// As it is in the program.
pub(super) fn live(shape: TrailShape<'_>) -> Trail {
    let TrailShape {
        read,
        changed,
        commands,
        dropped,
        calls,
    } = shape;
    let ran = |shape: RanShape<'_>| {
        let RanShape {
            command,
            failed,
            times,
            said,
        } = shape;
        Ran {
            command: command.into_owned(),
            failed,
            times,
            said: said.into_owned(),
        }
    };
    Trail {
        read: read.into_owned(),
        changed: changed.into_owned(),
        commands: commands.into_iter().map(ran).collect(),
        dropped,
        calls,
    }
}
