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

/// What stands before the line that a reader repeats.
pub const WRITE_THIS: &str = "write this line:";
/// How an answer says that it lies in a file.
pub const ANSWER_IN: &str = "ANSWER IN ";
/// How every reference begins.
const TASK_IN: &str = "Your task is in the file ";
/// How the line of a reader begins.
const READ: &str = "PROMPT READ ";
/// How many characters of the hash a reader repeats.
const MARK: usize = 12;
/// The longest first line that is repeated in the reference, in bytes.
const GIST_MAX: usize = 200;

/// The reference to a prompt that lies at `path` under this hash.
pub fn refer(task: &str, prompt: &str, path: &str, hash: &str) -> Indirect {
    let mark = hash.get(..MARK).unwrap_or(hash);
    let handshake = format!("{READ}{mark}");
    let gist = prompt
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let gist = &gist[..gist.floor_char_boundary(GIST_MAX)];
    let tokens = count::tokens(prompt);
    let reference = format!(
        "{TASK_IN}{path} ({} bytes, {} lines). It begins: {gist}\n\
         Read the whole file before you do anything else, then do what it says. If you cannot read it, say so and stop.\n\
         Once you have read it, {WRITE_THIS} {handshake}\n",
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

/// The line that whoever is given this prompt has to write; none where the prompt does not go by a file. Only the beginning
/// counts, which is ours: what is quoted further down asks for nothing.
pub fn expected(prompt: &str) -> Option<&str> {
    let about = prompt.strip_prefix(TASK_IN)?;
    let from = about.find(WRITE_THIS)? + WRITE_THIS.len();
    let line = about.get(from..)?.lines().next()?.trim();
    let mark = line.strip_prefix(READ)?;
    let is_mark = mark.len() == MARK && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_mark.then_some(line)
}

/// What an agent is told that writes its answer into a file.
pub fn ask_for_file(path: &str) -> String {
    format!(
        "\n\nWrite your whole answer into the file {path} (make it). Then end with this line, and do not repeat the answer: \
         {ANSWER_IN}{path}\n"
    )
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
        assert_eq!(expected(&indirect.reference), Some("PROMPT READ 0123456789ab"));
        assert_eq!(
            expected(&format!("{}\nmore below", indirect.reference)),
            Some(indirect.handshake.as_str())
        );
        // A text that is quoted in a prompt asks for nothing.
        assert_eq!(expected(&format!("Look: {}", indirect.reference)), None);
        assert_eq!(
            expected("Your task is in the file x. write this line: PROMPT READ no"),
            None
        );
    }
}
