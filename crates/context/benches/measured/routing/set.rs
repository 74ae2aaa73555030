//! A set of prompts with what two models' answers were worth: JSON lines, as RouteLLM's evaluations are kept.
//!
//! A row has its words in `prompt`, `question`, `text` or `turns` (with `choices` or `options`), what the answers were
//! worth in `weak` and `strong`, in `scores` by model, or by the names of RouteLLM's two models; and may have a domain
//! (`domain`, `category`, `subject`), the answers (`weak_response`, `strong_response`) and `contaminated`. Rows that lack
//! what is needed are passed over, and told.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

const WEAK: &str = "mistralai/Mixtral-8x7B-Instruct-v0.1";
const STRONG: &str = "gpt-4-1106-preview";
/// How many rows that were passed over are named.
const NAMED_MAX: usize = 3;

/// A prompt with what each model's answer was worth, 0 to 1.
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) domain: Option<String>,
    pub(super) weak: f64,
    pub(super) strong: f64,
    /// What the two answered, where that is kept.
    pub(super) answers: Option<(String, String)>,
}

/// What could be read of a file.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) prompts: Vec<Prompt>,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
}

/// Reads a file of JSON lines, packed with gzip or not.
pub(super) fn read(path: &Path) -> Result<Set, String> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = file.split('.').next().unwrap_or_default().to_owned();
    let bytes = std::fs::read(path).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let mut text = String::new();
    let read = match path.extension().and_then(|kind| kind.to_str()) {
        Some("gz") => flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text),
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
            .map_err(|error| format!("{file} is no zstd: {error}"))?
            .read_to_string(&mut text),
        _ => bytes.as_slice().read_to_string(&mut text),
    };
    read.map_err(|error| format!("{file} is no text: {error}"))?;
    let (mut prompts, mut wrong, mut contaminated) = (Vec::new(), Vec::new(), 0);
    for (line, row) in text.lines().enumerate().filter(|(_, row)| !row.trim().is_empty()) {
        match serde_json::from_str::<Value>(row) {
            Ok(Value::Object(row)) if row.get("contaminated") == Some(&Value::Bool(true)) => contaminated += 1,
            Ok(Value::Object(row)) => match prompt(&row) {
                Ok(prompt) => prompts.push(prompt),
                Err(why) => wrong.push(format!("line {}: {why}", line + 1)),
            },
            Ok(_) => wrong.push(format!("line {}: it is no object", line + 1)),
            Err(error) => wrong.push(format!("line {}: {error}", line + 1)),
        }
    }
    scale(&mut prompts);
    let mut notes = Vec::new();
    if contaminated > 0 {
        notes.push(format!("routing, {name}: {contaminated} contaminated rows left out"));
    }
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(NAMED_MAX);
        let named = wrong
            .iter()
            .take(NAMED_MAX)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ");
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        notes.push(format!(
            "routing, {name}: {} rows passed over: {named}{more}",
            wrong.len()
        ));
    }
    if prompts.is_empty() {
        let why = wrong.first().map_or("it has no rows", String::as_str);
        return Err(format!(
            "{file} has no row that can be used ({why}); a row needs `prompt` (or `turns`), and `weak` and `strong` (or `scores`)"
        ));
    }
    Ok(Set { name, prompts, notes })
}

fn prompt(row: &Map<String, Value>) -> Result<Prompt, String> {
    let mut text = ["prompt", "question", "text", "turns"]
        .into_iter()
        .find_map(|key| words(row.get(key)?))
        .ok_or("no `prompt`, `question`, `text` or `turns`")?;
    for choices in ["choices", "options"]
        .into_iter()
        .filter_map(|key| words(row.get(key)?))
    {
        text.push('\n');
        text.push_str(&choices);
    }
    let scores = row.get("scores").and_then(Value::as_object).unwrap_or(row);
    let worth = |key: &str, model: &str| {
        let value = row.get(key).or_else(|| scores.get(model));
        let value = value.ok_or_else(|| format!("neither `{key}` nor `{model}`"))?;
        worth(value).ok_or_else(|| format!("`{key}` is {value}, not true, false or a number"))
    };
    let domain = ["domain", "category", "subject"]
        .into_iter()
        .find_map(|key| words(row.get(key)?));
    let answers = words(row.get("weak_response").unwrap_or(&Value::Null))
        .zip(words(row.get("strong_response").unwrap_or(&Value::Null)));
    Ok(Prompt {
        text,
        domain,
        weak: worth("weak", WEAK)?,
        strong: worth("strong", STRONG)?,
        answers,
    })
}

/// A text, or texts one a line; none where there are none.
fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}

fn worth(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(right) => Some(f64::from(u8::from(*right))),
        Value::Number(number) => number.as_f64().filter(|number| *number >= 0.0),
        Value::Array(scores) if !scores.is_empty() => {
            let scores: Option<Vec<f64>> = scores.iter().map(worth).collect();
            scores.map(|scores| scores.iter().sum::<f64>() / scores.len() as f64)
        }
        _ => None,
    }
}

/// A judge's points, mostly of ten, as shares.
fn scale(prompts: &mut [Prompt]) {
    let most = prompts.iter().map(|one| one.weak.max(one.strong)).fold(0.0, f64::max);
    let whole = if most <= 1.0 { 1.0 } else { most.max(10.0) };
    for one in prompts {
        one.weak /= whole;
        one.strong /= whole;
    }
}
