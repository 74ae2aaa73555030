//! A long prompt goes by a file: the agent is told where it is, reads it, and says that it did.
//!
//! This saves what an orchestrating model would write and re-read, and keeps prompts off command lines; the agent that
//! does the work reads the same tokens, and the receipt counts them. Whoever stands outside writes the file: readable by
//! its owner alone, named by the hash of its content, gone with the run.

use crate::count;
use crate::receipt::{Layer, Receipt};

/// A prompt that goes by a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Indirect {
    /// What the agent is told in its place.
    pub reference: String,
    /// The line by which it says that it has read the file.
    pub handshake: String,
    /// What it saves, with what the agent reads counted.
    pub receipt: Receipt,
}

/// How many characters of the hash a reader repeats.
const MARK: usize = 12;
/// The longest first line that is repeated in the reference, in bytes.
const GIST_MAX: usize = 200;

/// The reference to a prompt that lies at `path` under this hash.
pub fn refer(task: &str, prompt: &str, path: &str, hash: &str) -> Indirect {
    let mark = hash.get(..MARK).unwrap_or(hash);
    let handshake = format!("PROMPT READ {mark}");
    let gist = prompt
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let gist = &gist[..gist.floor_char_boundary(GIST_MAX)];
    let tokens = count::tokens(prompt);
    let reference = format!(
        "Your task is in the file {path} ({} bytes, {} lines). It begins: {gist}\n\
         Read the whole file before you do anything else, then do what it says. If you cannot read it, say so and stop.\n\
         Once you have read it, write this line: {handshake}\n",
        prompt.len(),
        prompt.lines().count(),
    );
    let receipt = Receipt::new(Layer::FileIndirection, task, tokens, count::tokens(&reference) + tokens)
        .noted("the agent's own reading of the file is counted");
    Indirect {
        reference,
        handshake,
        receipt,
    }
}

/// Whether an answer says that the file was read.
pub fn is_confirmed(answer: &str, hash: &str) -> bool {
    let mark = hash.get(..MARK).unwrap_or(hash);
    answer.contains(&format!("PROMPT READ {mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_short_and_the_reading_is_counted() {
        let prompt = format!("# Do the thing\n{}", "with care\n".repeat(5_000));
        let indirect = refer("t", &prompt, "/s/prompts/abc.md", "0123456789abcdef");
        assert!(indirect.reference.len() < 700 && indirect.reference.contains("It begins: # Do the thing"));
        assert!(indirect.receipt.sent_tokens > indirect.receipt.would_tokens);
        assert!(is_confirmed("Well.\nPROMPT READ 0123456789ab\n", "0123456789abcdef"));
        assert!(!is_confirmed("PROMPT READ 0000", "0123456789abcdef"));
    }
}
