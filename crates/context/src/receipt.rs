//! Receipts: what a layer would have sent, what it sent, what it left out and why.
//!
//! A receipt is about text that this room handled, in `o200k_base` tokens: a *payload reduction*, not a saving. What
//! a layer saves in money depends on the prompt cache and on what the agent does next, and is only known by running
//! with and without it. Receipts of different layers are never added.

use serde::{Deserialize, Serialize};

/// The layers that can be switched, one by one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What one task's prompt says of another task's result.
    HandOver,
    /// The short account of a result, from facts.
    Summary,
    /// Verdicts that are clean become one line.
    VerdictFilter,
    /// A long text goes by a file and a short reference.
    FileIndirection,
    /// The chain of instruction files.
    Instructions,
    /// Skills within their budget.
    Skills,
    /// Tool schemas without what a model does not need.
    SchemaPruning,
    /// Tools found when they are needed.
    ToolDiscovery,
    /// Answers of tools cut to the fields asked for.
    Projection,
    /// A document or a diff cut for its reader.
    Slicing,
    /// Code found and put before the first turn.
    Retrieval,
    /// JSON or TOON, whichever is smaller.
    Encoding,
    /// Patches instead of whole files.
    Patches,
    /// Tool results reduced when they are appended.
    Reduction,
    /// Old turns summarised or left out.
    Compaction,
    /// Notes kept over tasks.
    Memory,
    /// Agents whose work others have covered.
    Dropout,
    /// Findings of several as one list.
    Triage,
    /// Tasks that code did in place of a model.
    Shortcut,
    /// Tasks and steps that were not needed.
    Skip,
    /// What changed in place of what a session knows.
    Delta,
    /// What earlier tries did, from their tool calls.
    Trail,
    /// A long document by what it requires, with line numbers.
    Blueprint,
    /// What another task wrote, handed on whole.
    Stream,
    /// Tools that an agent does without.
    ToolScope,
    /// A prompt that is sent once, without the sentences that say least about its instruction.
    Compression,
}

impl Layer {
    /// All of them, in the order of the pages.
    pub const ALL: [Layer; 26] = [
        Layer::HandOver,
        Layer::Summary,
        Layer::VerdictFilter,
        Layer::FileIndirection,
        Layer::Instructions,
        Layer::Skills,
        Layer::SchemaPruning,
        Layer::ToolDiscovery,
        Layer::Projection,
        Layer::Slicing,
        Layer::Retrieval,
        Layer::Encoding,
        Layer::Patches,
        Layer::Reduction,
        Layer::Compaction,
        Layer::Memory,
        Layer::Dropout,
        Layer::Triage,
        Layer::Shortcut,
        Layer::Skip,
        Layer::Delta,
        Layer::Trail,
        Layer::Blueprint,
        Layer::Stream,
        Layer::ToolScope,
        Layer::Compression,
    ];

    /// Its name in settings, receipts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Layer::HandOver => "hand_over",
            Layer::Summary => "summary",
            Layer::VerdictFilter => "verdict_filter",
            Layer::FileIndirection => "file_indirection",
            Layer::Instructions => "instructions",
            Layer::Skills => "skills",
            Layer::SchemaPruning => "schema_pruning",
            Layer::ToolDiscovery => "tool_discovery",
            Layer::Projection => "projection",
            Layer::Slicing => "slicing",
            Layer::Retrieval => "retrieval",
            Layer::Encoding => "encoding",
            Layer::Patches => "patches",
            Layer::Reduction => "reduction",
            Layer::Compaction => "compaction",
            Layer::Memory => "memory",
            Layer::Dropout => "dropout",
            Layer::Triage => "triage",
            Layer::Shortcut => "shortcut",
            Layer::Skip => "skip",
            Layer::Delta => "delta",
            Layer::Trail => "trail",
            Layer::Blueprint => "blueprint",
            Layer::Stream => "stream",
            Layer::ToolScope => "tool_scope",
            Layer::Compression => "compression",
        }
    }
}

impl Layer {
    /// What decides about a layer that `context.off` cannot switch; none for those that it can.
    pub fn switched_elsewhere(self) -> Option<&'static str> {
        (self == Layer::Patches).then_some("`edits` of a task says whether it answers with a patch")
    }
}

/// One use of one layer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// The layer.
    pub layer: Layer,
    /// What it was used on: a task, a file, a tool.
    pub subject: String,
    /// Tokens that would have been sent without the layer.
    pub would_tokens: u64,
    /// Tokens that were sent.
    pub sent_tokens: u64,
    /// What was left out and why, the largest first; at most [`LEFT_OUT_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// How many more were left out than are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out_more: u64,
    /// Anything else to know: a confidence, a choice of format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One thing that was left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// How many tokens it would have been.
    pub tokens: u64,
}

/// How many left-out things a receipt names.
pub const LEFT_OUT_MAX: usize = 6;
/// The longest name or reason in a receipt, in bytes: a receipt is a line of the history, not a second copy.
pub const WORDS_MAX: usize = 120;
/// The longest line of a receipt in the history, in bytes: below what the history takes of one report.
pub const LINE_MAX: usize = 1_900;
/// The kind of report under which receipts stand in the history.
pub const REPORT_KIND: &str = "receipt";

impl Receipt {
    /// A receipt over what would have been sent and what was.
    pub fn new(layer: Layer, subject: &str, would_tokens: u64, sent_tokens: u64) -> Receipt {
        Receipt {
            layer,
            subject: words(subject),
            would_tokens,
            sent_tokens,
            left_out: Vec::new(),
            left_out_more: 0,
            note: None,
        }
    }

    /// With one more thing that was left out.
    #[must_use]
    pub fn without(mut self, what: &str, why: &str, tokens: u64) -> Receipt {
        let entry = LeftOut {
            what: words(what),
            why: words(why),
            tokens,
        };
        let place = self.left_out.partition_point(|other| other.tokens >= tokens);
        self.left_out.insert(place, entry);
        if self.left_out.len() > LEFT_OUT_MAX {
            self.left_out.truncate(LEFT_OUT_MAX);
            self.left_out_more += 1;
        }
        self
    }

    /// With a note.
    #[must_use]
    pub fn noted(mut self, note: &str) -> Receipt {
        self.note = Some(words(note));
        self
    }

    /// What it left out, in tokens; negative when the layer made things longer.
    pub fn left_out_tokens(&self) -> i64 {
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        signed(self.would_tokens) - signed(self.sent_tokens)
    }

    /// The line for the history, at most [`LINE_MAX`] bytes; [`Receipt::parse`] reads it back.
    pub fn line(&self) -> String {
        let mut receipt = self.clone();
        loop {
            let line = serde_json::to_string(&receipt).unwrap_or_default();
            if line.len() <= LINE_MAX || receipt.left_out.pop().is_none() {
                return line;
            }
            receipt.left_out_more += 1;
        }
    }

    /// A receipt from its line in the history.
    pub fn parse(line: &str) -> Option<Receipt> {
        serde_json::from_str(line).ok()
    }
}

fn words(text: &str) -> String {
    let text = text.trim();
    let cut = &text[..text.floor_char_boundary(WORDS_MAX)];
    cut.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_survives_its_line_and_stays_short() {
        let mut receipt = Receipt::new(Layer::Slicing, &"long name ".repeat(100), 90_000, 12_000).noted("80 % rule");
        for n in 0..40u64 {
            receipt = receipt.without(
                &format!("\u{1F389} section {n} {}", "x".repeat(300)),
                "not of this reader",
                n,
            );
        }
        let line = receipt.line();
        assert!(line.len() <= LINE_MAX, "{}", line.len());
        assert_eq!(Receipt::parse(&line).unwrap(), receipt);
        assert_eq!(receipt.left_out[0].tokens, 39);
        assert_eq!(receipt.left_out_more, 34);
        assert_eq!(receipt.left_out_tokens(), 78_000);
        assert_eq!(Receipt::parse("nonsense"), None);
    }

    #[test]
    fn what_needs_escapes_is_cut_rather_than_torn() {
        let mut receipt = Receipt::new(Layer::Slicing, &"\"".repeat(200), 9, 1);
        for _ in 0..9 {
            receipt = receipt.without(&"\"".repeat(200), &"\\".repeat(200), 1);
        }
        let line = receipt.line();
        let read = Receipt::parse(&line).unwrap();
        assert!(line.len() <= LINE_MAX && read.left_out_more > receipt.left_out_more);
    }

    #[test]
    fn the_names_are_those_of_the_json() {
        for layer in Layer::ALL {
            assert_eq!(serde_json::to_string(&layer).unwrap(), format!("\"{}\"", layer.name()));
        }
    }
}
