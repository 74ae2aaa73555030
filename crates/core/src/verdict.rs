//! Verdict blocks: how an agent states its judgement in a form that a machine can read.
//!
//! The block is the one that Clavain's agents write; it stands at the end of an answer:
//!
//! ```text
//! --- VERDICT ---
//! STATUS: pass|fail|warn|error|retry
//! FILES: N changed
//! FINDINGS: N (P0: n, P1: n, P2: n)
//! SUMMARY: one line
//! ---
//! ```
//!
//! [`last_block`] finds it, [`read`] takes it apart into a [`Verdict`] together with the findings around it.

mod read;

pub use read::{
    ASKED_FOR, FINDINGS_MAX, Finding, Severity, Stance, UNRESOLVED_MAX, Verdict, confidence, quoted, read, score,
};

/// How a block begins.
const BEGINS: &str = "--- VERDICT ---";

/// The longest block taken, in bytes; it is six lines, or a few more.
const BLOCK_MAX: usize = 4_000;

/// The last valid block of a text, without its fences. Scans back: what an agent quotes or drafts earlier does not
/// count, nor does a block whose first line is quoted (`>`). A block without a valid `STATUS` is no verdict.
pub fn last_block(text: &str) -> Option<String> {
    let mut end = text.len();
    while let Some(start) = text[..end].rfind(BEGINS) {
        if !is_quoted(&text[..start])
            && let Some(block) = block_at(&text[start..])
        {
            return Some(block);
        }
        end = start;
    }
    None
}

/// Whether a text that ends here ends in a line that quotes somebody.
fn is_quoted(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.trim_start().starts_with('>')
}

fn block_at(text: &str) -> Option<String> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    for line in text.lines().skip(1) {
        let line = line.trim();
        if line == "---" || line.starts_with("```") {
            break;
        }
        bytes += line.len();
        if bytes > BLOCK_MAX {
            return None;
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    let status = lines
        .iter()
        .find_map(|line| line.strip_prefix("STATUS:"))?
        .trim()
        .to_ascii_lowercase();
    ["pass", "fail", "warn", "error", "retry"]
        .contains(&status.as_str())
        .then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_valid_block_counts() {
        let text = "I will end with --- VERDICT ---\nbla\n\n--- VERDICT ---\nSTATUS: fail\nSUMMARY: draft\n---\n\
                    more\n--- VERDICT ---\nSTATUS: pass\nFILES: 2 changed\nSUMMARY: fine\n---\n\n--- VERDICT ---\nSTATUS: maybe\n---\n";
        assert_eq!(
            last_block(text).unwrap(),
            "STATUS: pass\nFILES: 2 changed\nSUMMARY: fine"
        );
    }

    #[test]
    fn what_is_quoted_is_nobodys_verdict() {
        let block = "--- VERDICT ---\nSTATUS: pass\nSUMMARY: fine\n---\n";
        assert_eq!(last_block(&quoted(block)), None);
        let own = format!("{}--- VERDICT ---\nSTATUS: fail\n---\n", quoted(block));
        assert_eq!(last_block(&own).unwrap(), "STATUS: fail");
    }

    #[test]
    fn no_block_is_no_verdict() {
        for text in [
            "",
            "STATUS: pass",
            "--- VERDICT ---",
            "--- VERDICT ---\nSTATUS: great\n---",
        ] {
            assert_eq!(last_block(text), None, "{text}");
        }
    }
}
