//! What a prompt is given besides its own words: other tasks' results made short, skills, instruction files; and the
//! file by which a very long prompt goes. How much and what, `context` decides; this fetches and writes.

use std::path::{Path, PathBuf};

use wheelhouse_context::instructions;
use wheelhouse_context::port::Files;
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_context::settings::Limits;
use wheelhouse_context::skills::{self, Skill};
use wheelhouse_context::{count, facts, hand_over, indirect};
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::plan::template::Mode;
use wheelhouse_core::store::{Failure, Reader, TaskResult};

use crate::codebase::Tree;
use crate::prepare::{RESULT_MAX, SUMMARY_MAX, bounded, materialise};
use crate::private;

/// The largest skill or instruction file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Where long prompts lie, below the state directory.
pub(crate) const PROMPTS: &str = "prompts";

/// One field of another task's result, as this agent may have it. What was left out is put on `receipts`.
pub(crate) fn field(
    reader: &mut dyn Reader,
    state_dir: &Path,
    (run, task, field): (RunId, &str, &str),
    (mode, limits): (Mode, &Limits),
    receipts: &mut Vec<Receipt>,
) -> Result<Option<String>, Failure> {
    let Some(view) = reader.task_by_key(run, &TaskKey(task.to_owned()))? else {
        return Ok(None);
    };
    let Some(result) = reader.result(view.id)? else {
        return Ok(None);
    };
    // A command gets what is there: a shell is no model.
    let for_model = mode == Mode::Prompt;
    let output = result.artifacts.first().map(|artifact| artifact.hash.clone());
    let whole = |reader: &mut dyn Reader| match &output {
        Some(hash) => materialise(reader, state_dir, hash),
        None => Ok(None),
    };
    let text = match field {
        "files" => Some(result.files.join("\n")),
        "artifact" => whole(reader)?,
        "verdict" => match &result.verdict {
            Some(block) if for_model && limits.is_on(Layer::VerdictFilter) => {
                let place = whole(reader)?;
                let (text, receipt) = facts::filter(task, block, place.as_deref());
                receipts.extend(receipt);
                Some(text)
            }
            Some(block) => Some(block.clone()),
            None if for_model && limits.is_on(Layer::VerdictFilter) => Some(facts::NO_VERDICT.to_owned()),
            None => None,
        },
        "result" => match &output {
            Some(hash) => match reader.artifact(hash)? {
                Some(bytes) if for_model => {
                    let text = String::from_utf8_lossy(&bytes);
                    let mut failure = None;
                    let handed = hand_over::result(task, &text, limits, || {
                        whole(reader).unwrap_or_else(|error| {
                            failure = Some(error);
                            None
                        })
                    });
                    if let Some(failure) = failure {
                        return Err(failure);
                    }
                    receipts.extend(handed.receipts);
                    match limits.is_on(Layer::HandOver) {
                        true => Some(handed.text),
                        false => Some(bounded(&handed.text, RESULT_MAX)),
                    }
                }
                Some(bytes) => Some(bounded(&String::from_utf8_lossy(&bytes), RESULT_MAX)),
                None => None,
            },
            None => Some(bounded(&result.summary, SUMMARY_MAX)),
        },
        _ if for_model && limits.is_on(Layer::Summary) => {
            let long = !count::fits(&result.summary, limits.summary_tokens);
            let place = if long { whole(reader)? } else { None };
            let (text, receipt) = facts::summary(task, &result, limits, place.as_deref());
            receipts.extend(receipt);
            Some(bounded(&text, SUMMARY_MAX))
        }
        _ => Some(bounded(&result.summary, SUMMARY_MAX)),
    };
    Ok(text.map(|text| said_by(&result, field, text)))
}

fn said_by(result: &TaskResult, field: &str, text: String) -> String {
    let words = matches!(field, "summary" | "result") && !text.starts_with("[rehearsed]");
    if result.rehearsed && words {
        format!("[rehearsed] {text}")
    } else {
        text
    }
}

/// What stands before the agent's own prompt: instruction files and skills, where the configuration names some.
pub(crate) fn before(project: &Path, below: &str, limits: &Limits, receipts: &mut Vec<Receipt>) -> String {
    let tree = Tree::up_to(project, FILE_MAX);
    let mut text = String::new();
    if limits.is_on(Layer::Instructions) && !limits.instructions.is_empty() {
        let (chain, receipt) = instructions::chain(&tree, below, &limits.instructions, instructions::BYTES_MAX);
        text.push_str(&chain);
        receipts.extend(receipt);
    }
    if !limits.skills.is_empty() {
        let skill = |path: &String| Skill {
            name: path.clone(),
            text: tree
                .read(path)
                .ok()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        };
        let all: Vec<Skill> = limits.skills.iter().map(skill).collect();
        let chars_max = match limits.is_on(Layer::Skills) {
            true => limits.skills_chars,
            false => usize::MAX,
        };
        let (packed, receipt) = skills::pack(&all, chars_max);
        text.push_str(&packed);
        // Without a budget nothing is left out.
        receipts.extend(receipt.filter(|_| limits.is_on(Layer::Skills)));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The prompt, or the reference in its place when it is very long and the agent can open files.
pub(crate) fn or_reference(
    state_dir: &Path,
    (run, key): (RunId, &TaskKey),
    prompt: String,
    limits: &Limits,
    receipts: &mut Vec<Receipt>,
) -> std::io::Result<String> {
    if !goes_by_file(&prompt, limits) {
        return Ok(prompt);
    }
    let (path, hash) = kept(state_dir, run, &prompt)?;
    let referred = indirect::refer(&key.to_string(), &prompt, &path.display().to_string(), &hash);
    receipts.push(referred.receipt);
    Ok(referred.reference)
}

/// Whether a prompt is so long that it goes by a file.
pub(crate) fn goes_by_file(prompt: &str, limits: &Limits) -> bool {
    let by_file = limits.is_on(Layer::FileIndirection) && limits.opens_files;
    by_file && !count::fits(prompt, limits.prompt_tokens)
}

/// Puts a prompt into a file of its owner alone, named by its hash; the place and the hash.
pub(crate) fn kept(state_dir: &Path, run: RunId, prompt: &str) -> std::io::Result<(PathBuf, String)> {
    let hash = blake3::hash(prompt.as_bytes()).to_hex().to_string();
    let directory = state_dir.join(PROMPTS).join(run.to_string());
    let path = directory.join(format!("{hash}.md"));
    std::fs::create_dir_all(&directory)?;
    private::write(&path, prompt.as_bytes())?;
    Ok((path, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_very_long_prompt_goes_by_a_file_of_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            prompt_tokens: 100,
            ..Limits::default()
        };
        let prompt = "Do this.\n".repeat(200);
        let mut receipts = Vec::new();
        let key = TaskKey("t".to_owned());
        let told = or_reference(dir.path(), (RunId(1), &key), prompt.clone(), &limits, &mut receipts).unwrap();
        let path = told.split_whitespace().find(|word| word.ends_with(".md")).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), prompt);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(receipts[0].layer, Layer::FileIndirection);
        let off = Limits {
            off: [Layer::FileIndirection].into(),
            ..limits
        };
        assert_eq!(
            or_reference(dir.path(), (RunId(1), &key), prompt.clone(), &off, &mut receipts).unwrap(),
            prompt
        );
    }
}
