//! What a Claude turn has consumed so far, counted while it runs, for budgets and for turns that never tell their end.
//!
//! Each request to the model opens with its input and ends with its output; a request is counted once, by message id,
//! since the CLI repeats the usage of its first moment on every line.

use wheelhouse_core::usage::{Usage, UsageSource};

use super::wire::{Details, ModelTokens, Tokens};
use crate::decode::estimated_tokens;
use crate::decode::jsonl::Field;

/// Running count of one turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    settled: Usage,
    open: Option<(String, Usage)>,
    /// Bytes of text and thought in the open request, for when nobody counts them.
    open_bytes: usize,
    child: Option<String>,
}

impl Meter {
    /// A request's first numbers. True when it was not known yet.
    pub(super) fn opened(&mut self, id: &str, tokens: Field<'_>) -> bool {
        if self.open.as_ref().is_some_and(|(open, _)| open == id) {
            return false;
        }
        self.close();
        self.open = Some((id.to_owned(), usage(tokens)));
        true
    }

    /// The request's output, as the provider counted it.
    pub(super) fn output(&mut self, tokens: Field<'_>) {
        let Some((_, open)) = &mut self.open else { return };
        let said = usage(tokens);
        open.output = said.output;
        open.reasoning = said.reasoning;
        self.open_bytes = 0;
    }

    /// Text or thought came in.
    pub(super) fn piece(&mut self, bytes: usize) {
        self.open_bytes = self.open_bytes.saturating_add(bytes);
    }

    /// A request of a child of the agent's own.
    pub(super) fn child(&mut self, id: &str, tokens: Field<'_>) {
        if self.child.as_deref() != Some(id) {
            self.child = Some(id.to_owned());
            self.settled = self.settled.plus(reported(usage(tokens)));
        }
    }

    /// Everything so far.
    pub(super) fn so_far(&self) -> Usage {
        let mut copy = self.clone();
        copy.close();
        Usage {
            source: UsageSource::Estimated,
            ..copy.settled
        }
    }

    fn close(&mut self) {
        let Some((_, mut open)) = self.open.take() else { return };
        open.output = open.output.max(estimated_tokens(self.open_bytes));
        self.open_bytes = 0;
        self.settled = reported(self.settled).plus(reported(open));
    }
}

fn reported(usage: Usage) -> Usage {
    Usage {
        source: UsageSource::Reported,
        ..usage
    }
}

/// Anthropic's numbers as ours: their input has no cached tokens in it, their output has the reasoning in it.
pub(super) fn usage(tokens: Field<'_>) -> Usage {
    let Some(tokens) = tokens.read::<Tokens<'_>>() else {
        return Usage::default();
    };
    let reasoning = tokens
        .output_tokens_details
        .read::<Details<'_>>()
        .and_then(|details| details.thinking_tokens.number())
        .unwrap_or(0);
    Usage {
        input: tokens.input_tokens.number().unwrap_or(0),
        cache_read: tokens.cache_read_input_tokens.number().unwrap_or(0),
        cache_write: tokens.cache_creation_input_tokens.number().unwrap_or(0),
        output: tokens.output_tokens.number().unwrap_or(0).saturating_sub(reasoning),
        reasoning,
        source: UsageSource::Reported,
    }
}

/// The same of an entry of `modelUsage`.
pub(super) fn model_usage(tokens: &ModelTokens<'_>) -> Usage {
    let reasoning = tokens.thinking.number().unwrap_or(0);
    Usage {
        input: tokens.input.number().unwrap_or(0),
        cache_read: tokens.cache_read.number().unwrap_or(0),
        cache_write: tokens.cache_write.number().unwrap_or(0),
        output: tokens.output.number().unwrap_or(0).saturating_sub(reasoning),
        reasoning,
        source: UsageSource::Reported,
    }
}
