//! What an agent said it did with the files it was told of: that it read its prompt, and where its answer lies.
//!
//! A prompt that goes by a file is done by nobody who did not open it, and an answer that is announced and not there is no
//! answer. Both are looked at here when a try claims success; what is missing is the try's outcome.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use wheelhouse_context::indirect;
use wheelhouse_context::settings::Limits;
use wheelhouse_core::agent::{Assignment, Ended, Input};
use wheelhouse_core::ids::ArtifactHash;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::Claimed;

use crate::prepare::{SUMMARY_MAX, bounded};

/// Where answers are written, below the state directory.
pub(crate) const ANSWERS: &str = "answers";

/// What a try has to say or to leave.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    /// The line by which it says that it has read its prompt.
    mark: Option<String>,
    /// The end of what it said so far: the line may come in pieces, and long before the answer.
    tail: String,
    /// Whether it said so.
    heard: bool,
    /// The file that it was told to write its answer into.
    answer: Option<PathBuf>,
    /// How much of that is kept, in bytes.
    output_max: u64,
}

impl Handshake {
    /// What the assignment asks for. Tells the agent where its answer goes, where the configuration wants it in a file.
    pub(crate) fn of(state_dir: &Path, claimed: &Claimed, limits: &Limits, assignment: &mut Assignment) -> Handshake {
        let Input::Prompt(prompt) = &mut assignment.input else {
            return Handshake::default();
        };
        let mark = indirect::expected(prompt).map(str::to_owned);
        let mut answer = None;
        // A form of its own (a schema, a list of tasks, a patch) is read from the answer itself.
        let spec = &claimed.spec;
        let free = spec.schema.is_none() && !spec.planner && matches!(spec.work, Work::Prompt(_));
        if limits.answers_by_file && limits.opens_files && free && spec.edits == wheelhouse_core::spec::Edits::Own {
            let directory = state_dir.join(ANSWERS).join(claimed.run.to_string());
            let path = directory.join(format!("{}.{}.md", spec.key, claimed.attempt));
            // What an engine that died left there is not this try's answer.
            let _ = std::fs::remove_file(&path);
            if std::fs::create_dir_all(&directory).is_ok() {
                prompt.push_str(&indirect::ask_for_file(&path.display().to_string()));
                answer = Some(path);
            }
        }
        Handshake {
            mark,
            answer,
            output_max: assignment.output_max,
            ..Handshake::default()
        }
    }

    /// Takes a piece of what the agent says.
    pub(crate) fn heard(&mut self, text: &str) {
        let Some(mark) = self.mark.as_deref().filter(|_| !self.heard) else {
            return;
        };
        self.tail.push_str(text);
        self.heard = self.tail.contains(mark);
        let keep = self.tail.ceil_char_boundary(self.tail.len().saturating_sub(mark.len()));
        self.tail.drain(..keep);
    }

    /// Holds an answer that claims success to what was asked for.
    pub(crate) fn check(&mut self, ended: &mut Ended) {
        if !ended.outcome.is_success() || ended.result.rehearsed {
            return;
        }
        let output = ended
            .outputs
            .first()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let output = output.unwrap_or_default();
        if let Some(mark) = &self.mark {
            if !self.heard && !output.contains(mark.as_str()) {
                ended.outcome = Outcome::Malformed;
                ended.detail = format!(
                    "its task is in a file, and it did not say that it has read it; {} {mark}",
                    indirect::WRITE_THIS
                );
                return;
            }
            // The line was for us; whoever reads the answer has no use for it.
            if let Some(rest) = without_line(&output, mark) {
                replace(ended, rest.into_bytes());
            }
        }
        if let Some(path) = &self.answer {
            let announced = output.lines().any(|line| line.trim().starts_with(indirect::ANSWER_IN));
            match read(path, self.output_max) {
                Ok(bytes) if !bytes.iter().all(u8::is_ascii_whitespace) => replace(ended, bytes),
                // Nothing was announced, and the words are the answer.
                _ if !announced && !output.trim().is_empty() => {}
                found => {
                    ended.outcome = Outcome::Empty;
                    ended.detail = match found {
                        Ok(_) => format!(
                            "it says that its answer is in {}, and that file is empty",
                            path.display()
                        ),
                        Err(error) => format!("it says that its answer is in {}: {error}", path.display()),
                    };
                }
            }
        }
    }
}

fn read(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    // A link could lead to anything that we may read and the agent may not, and a pipe would be waited for.
    let mut file = std::fs::File::options()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(std::io::Error::other("that is no ordinary file"));
    }
    if about.len() > bytes_max {
        let why = format!("it has {} bytes, more than `output_max`", about.len());
        return Err(std::io::Error::other(why));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text without the lines that are nothing but the mark; none where there is no such line, or nothing else.
fn without_line(text: &str, mark: &str) -> Option<String> {
    let is_mark = |line: &&str| line.trim().trim_matches(['`', '*']) == mark;
    if !text.lines().any(|line| is_mark(&line)) {
        return None;
    }
    let rest: Vec<&str> = text.lines().filter(|line| !is_mark(line)).collect();
    let rest = rest.join("\n").trim().to_owned();
    (!rest.is_empty()).then_some(rest)
}

/// Puts other bytes in the place of the answer.
fn replace(ended: &mut Ended, bytes: Vec<u8>) {
    ended.result.summary = bounded(&String::from_utf8_lossy(&bytes), SUMMARY_MAX);
    let Some(artifact) = ended.result.artifacts.first_mut() else {
        let part = wheelhouse_core::store::ArtifactRef {
            name: "output".to_owned(),
            hash: ArtifactHash(blake3::hash(&bytes).to_hex().to_string()),
            bytes: bytes.len() as u64,
            bytes_written: bytes.len() as u64,
        };
        ended.result.artifacts.push(part);
        ended.outputs.push(bytes);
        return;
    };
    artifact.hash = ArtifactHash(blake3::hash(&bytes).to_hex().to_string());
    artifact.bytes = bytes.len() as u64;
    artifact.bytes_written = artifact.bytes;
    if let Some(output) = ended.outputs.first_mut() {
        *output = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::failed;

    fn said(text: &str) -> Ended {
        let mut ended = *failed(Outcome::Succeeded, String::new());
        replace(&mut ended, text.as_bytes().to_vec());
        ended
    }

    fn asks() -> Handshake {
        Handshake {
            mark: Some("PROMPT READ 0123456789ab".to_owned()),
            output_max: 100,
            ..Handshake::default()
        }
    }

    #[test]
    fn the_line_may_come_in_pieces_and_early() {
        let mut early = asks();
        for piece in [
            "I begin. PROMPT RE",
            "AD 01234",
            "56789ab\nNow I work",
            &" and work".repeat(100),
        ] {
            early.heard(piece);
        }
        let mut ended = said("Done.");
        early.check(&mut ended);
        assert_eq!(ended.outcome, Outcome::Succeeded);
        let mut ended = said("Done.\nPROMPT READ 0123456789ab\n");
        asks().check(&mut ended);
        assert_eq!(
            (ended.outcome, ended.outputs[0].as_slice()),
            (Outcome::Succeeded, b"Done.".as_slice())
        );
        let mut ended = said("Done.\nPROMPT READ ffffffffffff");
        asks().check(&mut ended);
        assert_eq!(ended.outcome, Outcome::Malformed);
        assert!(
            ended.detail.ends_with("write this line: PROMPT READ 0123456789ab"),
            "{}",
            ended.detail
        );
    }

    #[test]
    fn an_answer_that_is_announced_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        let outcome = |text: &str| {
            let mut ended = said(text);
            let mut asks = Handshake {
                answer: Some(path.clone()),
                mark: None,
                ..asks()
            };
            asks.check(&mut ended);
            (
                ended.outcome.class(),
                String::from_utf8_lossy(&ended.outputs[0]).into_owned(),
            )
        };
        assert_eq!(outcome("ANSWER IN x").0, "empty");
        assert_eq!(
            outcome("The words themselves."),
            ("succeeded", "The words themselves.".to_owned())
        );
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(outcome("ANSWER IN x").0, "empty");
        std::fs::write(&path, "Long.").unwrap();
        assert_eq!(outcome("ANSWER IN x"), ("succeeded", "Long.".to_owned()));
        assert_eq!(outcome("I forgot to say so."), ("succeeded", "Long.".to_owned()));
        std::fs::write(&path, "x".repeat(101)).unwrap();
        assert_eq!(outcome("ANSWER IN x").0, "empty");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(outcome("ANSWER IN x").0, "empty");
    }
}
