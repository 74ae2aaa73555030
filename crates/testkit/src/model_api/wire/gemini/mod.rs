//! Gemini: `POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent?alt=sse`.

mod answer;
mod rules;

pub(crate) use answer::{stream, whole};
pub(crate) use rules::check;

use serde_json::Value;

use super::super::ask::{Body, Entry, Offered};
use super::super::http::Request;
use super::super::timeline::Vendor;
use super::{content_blocks, content_text, text_at};

/// Splits `/v1beta/models/MODEL:METHOD`.
pub(crate) fn model_and_method(path: &str) -> Option<(&str, &str)> {
    let rest = path
        .strip_prefix("/v1beta/models/")
        .or_else(|| path.strip_prefix("/v1/models/"))?;
    rest.rsplit_once(':')
}

pub(crate) fn read(request: &Request, body: &Value) -> Body {
    let (model, method) = model_and_method(&request.path).unwrap_or_default();
    let system = body.get("systemInstruction").or_else(|| body.get("system_instruction"));
    let mut entries = vec![Entry::System(
        system.map(|system| content_text(&system["parts"])).unwrap_or_default(),
    )];
    for (turn, content) in body["contents"].as_array().into_iter().flatten().enumerate() {
        read_content(turn, content, &mut entries);
    }
    let config = &body["generationConfig"];
    let schema = config
        .get("responseJsonSchema")
        .or_else(|| config.get("responseSchema"));
    Body {
        vendor: Vendor::Gemini,
        model: model.to_owned(),
        stream: method == "streamGenerateContent",
        include_usage: true,
        entries,
        offered: functions(body).map(offered).collect(),
        schema: schema.cloned(),
    }
}

/// Calls may lack ids: then they are known by turn and place, and results find them by name.
fn read_content(turn: usize, content: &Value, entries: &mut Vec<Entry>) {
    let parts = content["parts"].as_array().map_or(&[][..], Vec::as_slice);
    if content["role"] == "model" {
        entries.push(Entry::Said);
        for (place, part) in parts.iter().enumerate() {
            if let Some(call) = part.get("functionCall") {
                let id = call["id"]
                    .as_str()
                    .map_or_else(|| format!("{turn}.{place}"), str::to_owned);
                let name = text_at(call, "name");
                entries.push(Entry::Call { id, name });
            }
        }
        return;
    }
    for part in parts {
        if let Some(answer) = part.get("functionResponse") {
            let response = &answer["response"];
            let failed = response.get("error").is_some();
            let said = response
                .get("error")
                .or_else(|| response.get("output"))
                .unwrap_or(response);
            entries.push(Entry::Result {
                id: answer["id"]
                    .as_str()
                    .map_or_else(|| unanswered(entries, answer), str::to_owned),
                text: content_text(said),
                failed,
            });
        }
    }
    let blocks = content_blocks(&content["parts"]);
    if !blocks.is_empty() {
        entries.push(Entry::User(blocks));
    }
}

/// The first call of this name that no result answers yet.
fn unanswered(entries: &[Entry], answer: &Value) -> String {
    let is_answered = |id: &str| {
        let answers = |entry: &Entry| matches!(entry, Entry::Result { id: known, .. } if known == id);
        entries.iter().any(answers)
    };
    let open = entries.iter().find_map(|entry| match entry {
        Entry::Call { id, name } if answer["name"] == name.as_str() && !is_answered(id) => Some(id.clone()),
        _ => None,
    });
    open.unwrap_or_default()
}

pub(crate) fn functions(body: &Value) -> impl Iterator<Item = &Value> {
    let groups = body["tools"].as_array().into_iter().flatten();
    groups.flat_map(|group| {
        let named = group
            .get("functionDeclarations")
            .or_else(|| group.get("function_declarations"));
        named.and_then(Value::as_array).into_iter().flatten()
    })
}

fn offered(function: &Value) -> Offered {
    let schema = function
        .get("parametersJsonSchema")
        .or_else(|| function.get("parameters"));
    Offered {
        name: text_at(function, "name"),
        inside: None,
        schema: Some(schema.cloned().unwrap_or_default()),
    }
}
