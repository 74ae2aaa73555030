//! What one task's prompt says of another task's result.
//!
//! The result is what another agent wrote, so it is data: the caller wraps and marks it. Here it is made short: JSON in
//! its smallest form, a long document or diff cut for its reader, the rest reduced to both ends with a path to the
//! whole. A result that fits is passed on as it is.

use crate::count;
use crate::receipt::{Layer, Receipt};
use crate::settings::{BLIND_FACTOR, Limits};
use crate::slice::{self, Given};
use crate::{encode, reduce};

/// What is handed over, and the receipts of the layers that shortened it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handed {
    /// The text.
    pub text: String,
    /// What was done to it, in order.
    pub receipts: Vec<Receipt>,
}

/// The result of `task` as a prompt may have it. `whole` is asked where the whole is, when it is needed: a path.
pub fn result(task: &str, text: &str, limits: &Limits, whole: impl FnOnce() -> Option<String>) -> Handed {
    let mut receipts = Vec::new();
    let mut text = text.to_owned();
    let cap = match limits.opens_files {
        true => limits.hand_over_tokens,
        false => limits.hand_over_tokens.saturating_mul(BLIND_FACTOR),
    };
    if limits.is_on(Layer::Encoding)
        && let Some((encoded, receipt)) = encode::reencode(task, &text)
    {
        text = encoded;
        receipts.push(receipt);
    }
    let mut sliced = false;
    if limits.is_on(Layer::Slicing)
        && let Some(reader) = &limits.reader
        && let Some(slice) = slice::slice(task, &text, std::slice::from_ref(reader)).pop()
        && slice.given != Given::Whole
    {
        sliced = slice.given == Given::Slice;
        text = match slice.given {
            Given::Nothing => "(nothing in it is what you read for)".to_owned(),
            Given::Slice | Given::Whole => slice.text,
        };
        receipts.push(slice.receipt);
    }
    if limits.is_on(Layer::HandOver) && !count::fits(&text, cap) {
        let handle = whole().unwrap_or_else(|| format!("the result of task {task}"));
        let reduced = reduce::reduce(task, &text, &handle, cap);
        text = reduced.text;
        receipts.extend(reduced.receipt.map(|receipt| Receipt {
            layer: Layer::HandOver,
            ..receipt
        }));
    } else if sliced
        && limits.opens_files
        && let Some(whole) = whole()
    {
        text.push_str(&format!("\n[the whole is at {whole}]\n"));
    }
    if sliced && !limits.opens_files {
        text.push_str(&format!("\n[{}]\n", slice::ASK));
    }
    Handed { text, receipts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::{Breadth, Reader};

    #[test]
    fn what_fits_is_passed_on_as_it_is() {
        let text = "line\n".repeat(100);
        let handed = result("t", &text, &Limits::default(), || unreachable!());
        assert_eq!(
            handed,
            Handed {
                text,
                receipts: Vec::new()
            }
        );
    }

    #[test]
    fn what_is_long_has_a_path() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let handed = result("t", &text, &Limits::default(), || Some("/x/artifacts/abc".to_owned()));
        assert!(count::tokens(&handed.text) <= 4_000 && handed.text.contains("/x/artifacts/abc"));
        assert_eq!(handed.receipts[0].layer, Layer::HandOver);
        // Who cannot open files is given more.
        let blind = Limits {
            opens_files: false,
            ..Limits::default()
        };
        let more = result("t", &text, &blind, || None);
        assert!(more.text.len() > handed.text.len() * 3);
        let off = Limits {
            off: [Layer::HandOver].into(),
            ..Limits::default()
        };
        assert_eq!(result("t", &text, &off, || None).text, text);
    }

    #[test]
    fn layers_follow_each_other() {
        let rows: Vec<String> = (0..400)
            .map(|n| format!("  {{\"id\": {n}, \"name\": \"item {n}\"}}"))
            .collect();
        let text = format!("[\n{}\n]", rows.join(",\n"));
        let handed = result(
            "t",
            &text,
            &Limits {
                hand_over_tokens: 1_000,
                ..Limits::default()
            },
            || None,
        );
        let layers: Vec<Layer> = handed.receipts.iter().map(|receipt| receipt.layer).collect();
        assert_eq!(layers, [Layer::Encoding, Layer::HandOver]);
        assert!(handed.text.starts_with("(the same data as CSV)\nid,name\n0,item 0"));
    }

    #[test]
    fn a_reader_is_given_its_part() {
        let reader = Reader {
            name: "db".to_owned(),
            keywords: vec!["sql".to_owned()],
            breadth: Breadth::Mandatory,
            ..Reader::default()
        };
        let limits = Limits {
            reader: Some(reader),
            ..Limits::default()
        };
        let text = format!("## A\nsql\n{}## B\nother\n{}", "x\n".repeat(100), "y\n".repeat(900));
        let handed = result("t", &text, &limits, || Some("/p".to_owned()));
        assert_eq!(handed.receipts[0].layer, Layer::Slicing);
        assert!(handed.text.contains("- **B**: other") && !handed.text.contains("y\ny") && handed.text.contains("/p"));
    }
}
