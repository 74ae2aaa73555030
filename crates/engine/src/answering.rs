//! Tasks with a `schema`, and tasks that must answer with a verdict: the agent is told what to answer, and its answer is held
//! to it, whoever it is.

use wheelhouse_core::agent::{Assignment, Capabilities, Ended, Input};
use wheelhouse_core::ids::ArtifactHash;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::verdict::{self, ASKED_FOR, Stance};

use crate::prepare::{SUMMARY_MAX, bounded};

/// How the form is explained to an agent whose backend does not hold it to a schema by itself.
const FORM: &str = "

Answer with one JSON value and nothing else: no words before or after it. It must be valid against this JSON schema:
";

/// Tells the agent how to answer, unless its backend asks for the schema itself.
pub(crate) fn brief(spec: &TaskSpec, capabilities: Capabilities, assignment: &mut Assignment) {
    if let (true, Input::Prompt(prompt)) = (spec.flow.states_verdict, &mut assignment.input) {
        prompt.push_str(&format!("\n\n{ASKED_FOR}"));
    }
    if let (Some(schema), false, Input::Prompt(prompt)) =
        (&spec.schema, capabilities.structured_output, &mut assignment.input)
    {
        prompt.push_str(&format!("{FORM}{}", schema.value()));
    }
}

/// Holds an answer that claims success to the task's schema. What does not fit is the try's detail, which the next try
/// is told. A rehearsed answer stands for one that fits.
pub(crate) fn check(spec: &TaskSpec, ended: &mut Ended) {
    if spec.flow.states_verdict && ended.outcome.is_success() && !ended.result.rehearsed {
        states_verdict(ended);
    }
    let Some(schema) = spec
        .schema
        .as_ref()
        .filter(|_| ended.outcome.is_success() && !ended.result.rehearsed)
    else {
        return;
    };
    let output = ended.outputs.first().map(|bytes| String::from_utf8_lossy(bytes));
    let output = output.unwrap_or_default().into_owned();
    match schema.check(&output) {
        Ok(json) if json == output => {}
        Ok(json) => bare(ended, json),
        Err(why) => {
            ended.outcome = Outcome::Malformed;
            ended.detail = why.to_string();
        }
    }
}

/// The gate of a verdict: who was to judge and did not, or could not tell, is no help to anybody.
fn states_verdict(ended: &mut Ended) {
    let output = ended.outputs.first().map(|bytes| String::from_utf8_lossy(bytes));
    let why = match output.as_deref().and_then(verdict::read) {
        None => "it holds no verdict, and the task's gate asks for one",
        Some(judged) if judged.stance == Stance::Undecided => "its verdict is that it could not tell",
        Some(_) => return,
    };
    ended.outcome = Outcome::LowConfidence;
    ended.detail = why.to_owned();
}

/// Leaves only the JSON of an answer, for whoever reads it: a fence around it is none of theirs.
fn bare(ended: &mut Ended, json: &str) {
    ended.result.summary = bounded(json, SUMMARY_MAX);
    if let (Some(artifact), Some(bytes)) = (ended.result.artifacts.first_mut(), ended.outputs.first_mut()) {
        json.as_bytes().clone_into(bytes);
        artifact.hash = ArtifactHash(blake3::hash(bytes).to_hex().to_string());
        artifact.bytes = bytes.len() as u64;
        artifact.bytes_written = artifact.bytes;
    }
}
