//! The sessions that an editor can open again: instances that have not ended, whoever made them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::crew::InstanceFilter;
use wheelhouse_core::ids::Cursor;
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::store::Reader;

use crate::face::crew::{self, What};
use crate::face::document::moment;
use crate::face::failure::Failure;
use crate::mcp::cut;

/// How many are listed, those that did something last first. As many as may live by default are looked through.
const LISTED_MAX: usize = 100;
const LOOKED_THROUGH_MAX: u32 = 1_000;
/// How much of its first words is a session's title, in characters.
const TITLE_MAX: usize = 80;

#[derive(Deserialize)]
pub(super) struct List {
    /// Only those that work there.
    #[serde(default)]
    cwd: Option<PathBuf>,
}

/// Whether there was an instance of that name, which then has ended: names are found among the living.
pub(super) fn has_been(reader: &mut dyn Reader, name: &str) -> Result<bool, Failure> {
    let filter = InstanceFilter {
        below: None,
        ended: true,
    };
    let all = reader.instances(filter, None, u32::MAX)?;
    Ok(all.iter().any(|view| view.spec.name == name))
}

/// Those at the top of a tree: what is below one is its own business.
pub(super) fn sessions(reader: &mut dyn Reader, project: &Path, wanted: &List) -> Result<Value, Failure> {
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let place = |view: &InstanceView| match &view.spec.cwd {
        Some(cwd) => real(project.join(cwd)),
        None => real(project.to_owned()),
    };
    let cwd = wanted.cwd.clone().map(real);
    let mut all = reader.instances(InstanceFilter::default(), None, LOOKED_THROUGH_MAX)?;
    all.retain(|view| {
        let is_open = view.parent.is_none() && !matches!(view.state, InstanceState::Ended { .. });
        is_open && cwd.as_ref().is_none_or(|cwd| *cwd == place(view))
    });
    all.sort_by_key(|view| std::cmp::Reverse(view.active_at));
    let listed = all.iter().take(LISTED_MAX).map(|view| {
        let (said, _) = crew::output(reader, view, Cursor::default())?;
        let title = said.iter().find_map(|said| match &said.what {
            What::Message(message) => Some(cut(&message.text, TITLE_MAX)),
            What::Report { .. } | What::Answer { .. } => None,
        });
        Ok(json!({
            "sessionId": view.spec.name,
            "cwd": place(view),
            "title": title,
            "updatedAt": moment(view.active_at),
        }))
    });
    let listed: Vec<Value> = listed.collect::<Result<_, Failure>>()?;
    Ok(json!({ "sessions": listed }))
}
