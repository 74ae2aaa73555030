//! Structured values for a model, in the form that takes the fewest tokens: compact JSON, TOON or CSV, chosen by
//! counting.
//!
//! TOON wins on tables and loses on nested data, so it is only tried where a value is a table, and only taken when it
//! is at least a tenth smaller. It is for models to read: what a program reads stays JSON, and no model is asked to
//! write TOON.

use serde::Serialize;
use serde_json::Value;

use crate::count;
use crate::receipt::{Layer, Receipt};

/// A form of writing a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON without white space.
    Json,
    /// TOON, <https://github.com/toon-format/spec>.
    Toon,
    /// A header line and rows, for flat tables alone.
    Csv,
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Toon => "toon",
            Format::Csv => "csv",
        }
    }
}

/// A value in its form.
#[derive(Clone, PartialEq, Debug)]
pub struct Encoded {
    /// The form.
    pub format: Format,
    /// The text.
    pub text: String,
    /// How many tokens it has.
    pub tokens: u64,
    /// How many compact JSON would have.
    pub json_tokens: u64,
}

/// A table has at least so many rows.
const ROWS_MIN: usize = 3;
/// Another form than JSON must be smaller by this, in hundredths: a familiar form is worth something.
const GAIN_MIN: u64 = 10;
/// Values longer than this as JSON, in bytes, are not tried in other forms.
const TRIED_MAX: usize = 32 << 20;

/// The value in its smallest form.
pub fn encode(value: &Value) -> Encoded {
    let json = value.to_string();
    let json_tokens = count::tokens(&json);
    let mut best = Encoded {
        format: Format::Json,
        text: json,
        tokens: json_tokens,
        json_tokens,
    };
    if best.text.len() > TRIED_MAX || !has_table(value, 0) {
        return best;
    }
    let bar = json_tokens * (100 - GAIN_MIN) / 100;
    let toon = toon(value).map(|text| (Format::Toon, text));
    let csv = csv(value).map(|text| (Format::Csv, text));
    for (format, text) in toon.into_iter().chain(csv) {
        let tokens = count::tokens(&text);
        if tokens <= bar && tokens < best.tokens {
            best = Encoded {
                format,
                text,
                tokens,
                json_tokens,
            };
        }
    }
    best
}

/// A text that is JSON as a whole, in its smallest form, with one line that says which. None when it is no JSON, when
/// it is a single plain value, or when nothing is gained over the text as it stands.
pub fn reencode(subject: &str, text: &str) -> Option<(String, Receipt)> {
    let trimmed = text.trim();
    if !trimmed.starts_with(['{', '[']) {
        return None;
    }
    let value: Value = serde_json::from_str(trimmed).ok()?;
    let encoded = encode(&value);
    let said = match encoded.format {
        Format::Json => encoded.text,
        format => format!("(the same data as {})\n{}", format.name().to_uppercase(), encoded.text),
    };
    let would = count::tokens(text);
    let sent = count::tokens(&said);
    let receipt = Receipt::new(Layer::Encoding, subject, would, sent).noted(encoded.format.name());
    (sent < would).then_some((said, receipt))
}

/// The value as TOON, if the encoder takes it.
pub fn toon(value: &Value) -> Option<String> {
    toon_format::encode_default(value).ok()
}

/// The value as CSV, if it is a list of flat objects that all have the same keys.
pub fn csv(value: &Value) -> Option<String> {
    let rows = value.as_array().filter(|rows| rows.len() >= ROWS_MIN)?;
    let keys: Vec<&String> = rows.first()?.as_object()?.keys().collect();
    let mut text = keys.iter().map(|key| cell(key)).collect::<Vec<_>>().join(",");
    for row in rows {
        let row = row.as_object().filter(|row| row.len() == keys.len())?;
        text.push('\n');
        for (place, key) in keys.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            match row.get(*key)? {
                Value::Null => {}
                // An empty text and a text like a number must not be mistaken for what they look like.
                Value::String(text) if text.is_empty() || serde_json::from_str::<Value>(text).is_ok() => return None,
                Value::String(value) => text.push_str(&cell(value)),
                value @ (Value::Bool(_) | Value::Number(_)) => text.push_str(&value.to_string()),
                Value::Array(_) | Value::Object(_) => return None,
            }
        }
    }
    Some(text)
}

fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Whether somewhere in it is a list of objects with the same keys, or an object of such objects.
fn has_table(value: &Value, depth: usize) -> bool {
    if depth > 8 {
        return false;
    }
    let same = |rows: Vec<&Value>| {
        let keys = rows
            .first()
            .and_then(|row| row.as_object())
            .map(|row| row.keys().collect::<Vec<_>>());
        keys.is_some_and(|keys| {
            let alike = |row: &&Value| row.as_object().is_some_and(|row| row.keys().eq(keys.iter().copied()));
            rows.len() >= ROWS_MIN && !keys.is_empty() && rows.iter().all(alike)
        })
    };
    match value {
        Value::Array(rows) => same(rows.iter().collect()) || rows.iter().any(|row| has_table(row, depth + 1)),
        Value::Object(fields) => {
            same(fields.values().collect()) || fields.values().any(|field| has_table(field, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flat_table_is_a_table_and_nested_data_stays_json() {
        let rows: Vec<Value> = (0..50)
            .map(|n| json!({"id": n, "name": format!("item {n}"), "open": n % 2 == 0}))
            .collect();
        let flat = encode(&json!(rows));
        assert_ne!(flat.format, Format::Json);
        assert!(
            flat.tokens < flat.json_tokens * 7 / 10,
            "{} {}",
            flat.tokens,
            flat.json_tokens
        );
        let keyed: serde_json::Map<String, Value> = (0..20)
            .map(|n| {
                (
                    format!("flag_{n}"),
                    json!({"on": n % 3 == 0, "owner": "team", "since": 2020 + n}),
                )
            })
            .collect();
        assert_eq!(encode(&json!({"flags": keyed})).format, Format::Toon);
        let nested = json!({"a": {"b": [1, {"c": "d"}], "e": null}, "f": [{"g": 1}, {"h": [2]}]});
        assert_eq!(encode(&nested).format, Format::Json);
    }

    #[test]
    fn csv_only_where_nothing_is_lost() {
        let table = json!([{"a": 1, "b": "x,y"}, {"a": null, "b": "say \"hi\""}, {"a": true, "b": "plain"}]);
        assert_eq!(csv(&table).unwrap(), "a,b\n1,\"x,y\"\n,\"say \"\"hi\"\"\"\ntrue,plain");
        for odd in [
            json!([{"a": "1"}, {"a": "2"}, {"a": "3"}]),
            json!([{"a": ""}, {"a": "b"}, {"a": "c"}]),
            json!([{"a": [1]}, {"a": [2]}, {"a": [3]}]),
            json!([{"a": 1}, {"b": 2}, {"a": 3}]),
        ] {
            assert_eq!(csv(&odd), None, "{odd}");
        }
    }

    #[test]
    fn pretty_json_is_sent_compact() {
        let pretty = serde_json::to_string_pretty(&json!({"a": {"b": [1, 2, 3], "c": "text"}})).unwrap();
        let (text, receipt) = reencode("x", &pretty).unwrap();
        assert_eq!(text, r#"{"a":{"b":[1,2,3],"c":"text"}}"#);
        assert!(receipt.sent_tokens < receipt.would_tokens && receipt.note.as_deref() == Some("json"));
        assert_eq!(reencode("x", "no json"), None);
        assert_eq!(reencode("x", "{\"a\":1}"), None);
        assert_eq!(reencode("x", "[1, 2"), None);
    }
}
