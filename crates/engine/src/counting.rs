//! What a try teaches about how its model counts: our count of what it was sent beside what its provider reported.

use wheelhouse_context::count::{self, Sample};
use wheelhouse_core::agent::{Assignment, Capabilities, Ended, Input};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::usage::UsageSource;

use crate::supervise;

/// The sample, when the agent sends exactly what it is given: one with sessions and tools of its own adds to it.
pub(crate) async fn sample(
    capabilities: Capabilities,
    assignment: &Assignment,
    ended: &Ended,
    spending: &Spending,
) -> Option<Sample> {
    let Capabilities {
        resume,
        steer,
        usage,
        children,
        mcp_servers,
        interrupt: _,
        permission: _,
        structured_output: _,
        own_tools: _,
    } = capabilities;
    let adds = resume || steer || children || mcp_servers;
    let Input::Prompt(prompt) = &assignment.input else {
        return None;
    };
    if adds || !usage || ended.usage.source != UsageSource::Reported || !ended.outcome.is_success() {
        return None;
    }
    let model = spending.lines.first()?.model.clone()?;
    let text = format!("{}\n{prompt}", assignment.role.as_deref().unwrap_or_default());
    let counted = supervise::blocking(move || count::tokens(&text)).await.ok()?;
    let reported = ended.usage.input + ended.usage.cache_read + ended.usage.cache_write;
    Some(Sample {
        model,
        counted,
        reported,
    })
}
