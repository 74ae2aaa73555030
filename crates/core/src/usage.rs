//! What an attempt consumed: five token numbers with their source, and money that is never guessed to be zero.

use serde::{Deserialize, Serialize};

/// Where token numbers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The vendor said so.
    Reported,
    /// Counted or estimated by us.
    #[default]
    Estimated,
}

/// Tokens of one attempt. The five parts do not overlap: `input` is what no cache served, `reasoning` is not in
/// `output`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that no cache served.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Answer tokens, reasoning excluded.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
    /// Who counted.
    pub source: UsageSource,
}

impl Usage {
    /// All five numbers together; saturates.
    pub fn total(&self) -> u64 {
        [
            self.input,
            self.cache_read,
            self.cache_write,
            self.output,
            self.reasoning,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// The sum of two usages. It is reported only when both parts are.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        let source = match (self.source, other.source) {
            (UsageSource::Reported, UsageSource::Reported) => UsageSource::Reported,
            (UsageSource::Estimated, _) | (_, UsageSource::Estimated) => UsageSource::Estimated,
        };
        Usage {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            source,
        }
    }

    /// What came on top of an earlier state of the same count. A count that went down says nothing: it is zero there.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            input: self.input.saturating_sub(earlier.input),
            cache_read: self.cache_read.saturating_sub(earlier.cache_read),
            cache_write: self.cache_write.saturating_sub(earlier.cache_write),
            output: self.output.saturating_sub(earlier.output),
            reasoning: self.reasoning.saturating_sub(earlier.reasoning),
            source: self.source,
        }
    }
}

/// Money in integer nano-dollars (1 USD = 1,000,000,000), with its provenance. Unknown is a value of its own and is
/// never added up as zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "provenance", content = "cost_nano", rename_all = "snake_case")]
pub enum Cost {
    /// The vendor's own figure.
    Actual(u64),
    /// Tokens times the price table.
    Priced(u64),
    /// Covered by a subscription: no marginal cost.
    Included,
    /// No model was asked (`exec`, `rehearsal`).
    Free,
    /// Something was consumed and nobody can say what it cost.
    #[default]
    Unknown,
}

impl Cost {
    /// The money, where somebody knows it.
    pub fn nano(self) -> Option<u64> {
        match self {
            Cost::Actual(nano) | Cost::Priced(nano) => Some(nano),
            Cost::Included | Cost::Free => Some(0),
            Cost::Unknown => None,
        }
    }
}
