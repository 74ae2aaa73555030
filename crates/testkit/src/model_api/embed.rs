//! `/v1/embeddings`: vectors of the beginnings of words, so that texts are near whose words begin alike.

use serde_json::{Value, json};

use super::http::Request;

/// How many dimensions a vector has.
const DIMENSIONS: usize = 64;
/// So many letters of a word count.
const LETTERS: usize = 3;

/// The answer, with its status.
pub(crate) fn answer(request: &Request) -> (u16, Value) {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return (400, json!({"error": {"message": "the body is no JSON"}}));
    };
    let texts: Vec<&str> = match &body["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let Some(model) = body["model"].as_str().filter(|_| !texts.is_empty()) else {
        return (400, json!({"error": {"message": "`model` and `input` are needed"}}));
    };
    if model.contains("fault-500") {
        return (500, json!({"error": {"message": "it broke"}}));
    }
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
        .collect();
    let tokens = texts.iter().map(|text| text.len().div_ceil(4)).sum::<usize>();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    (
        200,
        json!({"object": "list", "model": model, "data": data, "usage": usage}),
    )
}

fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSIONS];
    for word in text
        .split(|char: char| !char.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let start: String = word.to_lowercase().chars().take(LETTERS).collect();
        let place = start.bytes().fold(7_usize, |sum, byte| sum * 31 + usize::from(byte)) % DIMENSIONS;
        vector[place] += 1.0;
    }
    vector
}
