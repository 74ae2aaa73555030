//! Parts of a text that an agent was given by one line each, and asks to see in full.
//!
//! One that can open files is told where the whole is. One that cannot writes `Request full section: NAME`; then its try
//! ends as `malformed`, and the next one is given those parts. Where no further try is left its answer counts as it is.

use wheelhouse_context::receipt::Layer;
use wheelhouse_context::settings::Limits;
use wheelhouse_context::slice;
use wheelhouse_core::agent::{Assignment, Ended, Input};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Answered, Claimed, Failure, Reader};

/// The limits of this try: its reader also gets what the try before asked for.
pub(crate) fn with_requests(reader: &mut dyn Reader, claimed: &Claimed, limits: &mut Limits) -> Result<(), Failure> {
    if claimed.attempt <= 1 || !is_heard(limits) {
        return Ok(());
    }
    // All tries count: what the second asks for is not in place of what the first did.
    for Answered { result, .. } in reader.results(claimed.lease.task)? {
        let output = match result.artifacts.first() {
            Some(output) => reader.artifact(&output.hash)?.unwrap_or_default(),
            None => result.summary.into_bytes(),
        };
        if let Some(reads) = &mut limits.reader {
            reads
                .asked_for
                .extend(slice::requests(&String::from_utf8_lossy(&output)));
        }
    }
    Ok(())
}

/// Ends a try that asks for parts it was not given, when a further one can be given them.
pub(crate) fn check(claimed: &Claimed, limits: &Limits, assignment: &Assignment, ended: &mut Ended) {
    let Input::Prompt(prompt) = &assignment.input else {
        return;
    };
    if !ended.outcome.is_success() || !is_heard(limits) || claimed.on_agent > claimed.spec.retry_max {
        return;
    }
    let output = ended
        .outputs
        .first()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .unwrap_or_default();
    // What it was shown as a line, by the forms of `Unit::line`: nothing else can be given.
    let was_cut = |name: &String| {
        let starts = [format!("- **{name}**: "), format!("[context] {name}: ")];
        prompt
            .lines()
            .any(|line| starts.iter().any(|start| line.starts_with(start)))
    };
    let mut asked: Vec<String> = slice::requests(&output).into_iter().filter(was_cut).collect();
    asked.dedup();
    if !asked.is_empty() {
        ended.outcome = Outcome::Malformed;
        ended.detail = format!(
            "it asks to see in full: {}; its next try is given that. `context.reads` of `{}` may miss it",
            asked.join(", "),
            claimed.agent
        );
    }
}

fn is_heard(limits: &Limits) -> bool {
    limits.reader.is_some() && !limits.opens_files && limits.is_on(Layer::Slicing)
}
