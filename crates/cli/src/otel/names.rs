//! What OpenTelemetry calls things, in one place: the GenAI attributes move with its versions, and nothing else here does.
//!
//! They are those of version 1.41 of the semantic conventions, in which tokens of caches are part of the input and tokens of
//! reasoning part of the output. What it has no name for is under `wheelhouse.`.

use serde_json::{Value, json};
use wheelhouse_core::roster::vendor_of;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

/// The resource: who sends.
pub(super) const SERVICE: &str = "service.name";
pub(super) const SERVICE_VERSION: &str = "service.version";
pub(super) const SERVICE_INSTANCE: &str = "service.instance.id";

pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const WORKFLOW: &str = "gen_ai.workflow.name";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const AGENT: &str = "gen_ai.agent.name";
pub(super) const CONVERSATION: &str = "gen_ai.conversation.id";
pub(super) const MODEL: &str = "gen_ai.response.model";
pub(super) const ERROR: &str = "error.type";

pub(super) const RUN: &str = "wheelhouse.run";
pub(super) const TASK: &str = "wheelhouse.task";
pub(super) const TRY: &str = "wheelhouse.try";
pub(super) const OUTCOME: &str = "wheelhouse.outcome";

const INPUT: &str = "gen_ai.usage.input_tokens";
const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
const CACHE_WRITE: &str = "gen_ai.usage.cache_creation.input_tokens";
const OUTPUT: &str = "gen_ai.usage.output_tokens";
const REASONING: &str = "gen_ai.usage.reasoning.output_tokens";
const SOURCE: &str = "wheelhouse.usage.source";
const COST: &str = "wheelhouse.cost_nano";
const PROVENANCE: &str = "wheelhouse.cost.provenance";

/// Of [`OPERATION`]: an agent does something.
pub(super) const INVOKE_AGENT: &str = "invoke_agent";
/// Of [`OPERATION`]: several do.
pub(super) const INVOKE_WORKFLOW: &str = "invoke_workflow";

/// Attributes in OTLP's JSON, which has whole numbers as text.
#[derive(Default)]
pub(super) struct Attributes(Vec<Value>);

impl Attributes {
    pub(super) fn text(mut self, key: &str, value: impl Into<String>) -> Attributes {
        self.0
            .push(json!({ "key": key, "value": { "stringValue": value.into() } }));
        self
    }

    pub(super) fn number(mut self, key: &str, value: u64) -> Attributes {
        self.0
            .push(json!({ "key": key, "value": { "intValue": value.to_string() } }));
        self
    }

    /// Nothing, where nothing is known.
    pub(super) fn known(self, key: &str, value: Option<impl Into<String>>) -> Attributes {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    pub(super) fn usage(self, usage: &Usage) -> Attributes {
        let sum = |parts: &[u64]| parts.iter().copied().fold(0, u64::saturating_add);
        let source = match usage.source {
            UsageSource::Reported => "reported",
            UsageSource::Estimated => "estimated",
        };
        self.number(INPUT, sum(&[usage.input, usage.cache_read, usage.cache_write]))
            .number(CACHE_READ, usage.cache_read)
            .number(CACHE_WRITE, usage.cache_write)
            .number(OUTPUT, sum(&[usage.output, usage.reasoning]))
            .number(REASONING, usage.reasoning)
            .text(SOURCE, source)
    }

    /// A cost that nobody knows has no number.
    pub(super) fn cost(self, cost: Cost) -> Attributes {
        let (provenance, nano) = match cost {
            Cost::Actual(nano) => ("actual", Some(nano)),
            Cost::Priced(nano) => ("priced", Some(nano)),
            Cost::Included => ("included", Some(0)),
            Cost::Free => ("free", Some(0)),
            Cost::Unknown => ("unknown", None),
        };
        let said = self.text(PROVENANCE, provenance);
        match nano {
            Some(nano) => said.number(COST, nano),
            None => said,
        }
    }

    pub(super) fn done(self) -> Vec<Value> {
        self.0
    }
}

/// What the conventions call a vendor, by the name of a model; none when the name does not tell.
pub(super) fn provider(model: &str) -> Option<&'static str> {
    match vendor_of(model) {
        "any" => None,
        "google" => Some("gcp.gemini"),
        "xai" => Some("x_ai"),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(all: &'a [Value], key: &str) -> Option<&'a Value> {
        all.iter().find(|one| one["key"] == key).map(|one| &one["value"])
    }

    #[test]
    fn caches_are_input_reasoning_is_output_and_unknown_is_no_number() {
        let usage = Usage {
            input: 1,
            cache_read: 20,
            cache_write: 300,
            output: 4,
            reasoning: 50,
            source: UsageSource::Reported,
        };
        let said = Attributes::default().usage(&usage).cost(Cost::Unknown).done();
        assert_eq!(value(&said, INPUT), Some(&json!({ "intValue": "321" })));
        assert_eq!(value(&said, OUTPUT), Some(&json!({ "intValue": "54" })));
        assert_eq!(value(&said, COST), None);
        assert_eq!(value(&said, PROVENANCE), Some(&json!({ "stringValue": "unknown" })));
        assert_eq!(provider("gemini-2.5-pro"), Some("gcp.gemini"));
        assert_eq!(provider("claude-opus-4-6"), Some("anthropic"));
    }
}
