//! JSON written anew without a change to any of its values: numbers and texts stay as they are written, to the letter.
//! And CSV as JSON, with every value as the text it is.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The value of a text that is JSON, when no object has a key twice: of two values one would be lost.
pub(super) fn checked(text: &str) -> Result<Value, String> {
    let value: Strict = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(value.0)
}

/// The value, when no number of it would be written differently: `1.10` is not `1.1` to everybody.
pub(super) fn same_numbers(text: &str) -> Result<Value, String> {
    let value = checked(text)?;
    let is_number = |token: &&str| token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let changes = |token: &&str| {
        serde_json::from_str::<Value>(token)
            .ok()
            .map(|value| value.to_string())
            .as_deref()
            != Some(*token)
    };
    match tokens(text).filter(is_number).find(changes) {
        Some(number) => Err(format!("the number {number} would be written differently")),
        None => Ok(value),
    }
}

pub(super) fn formatted(text: &str) -> Result<String, String> {
    checked(text)?;
    let mut made = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let line = |made: &mut String, depth: usize| {
        made.push('\n');
        made.push_str(&"  ".repeat(depth));
    };
    let tokens: Vec<&str> = tokens(text).collect();
    for (place, token) in tokens.iter().enumerate() {
        let next_closes = tokens.get(place + 1).is_some_and(|next| ["}", "]"].contains(next));
        let closes_empty = place > 0 && ["{", "["].contains(&tokens[place - 1]);
        match *token {
            "{" | "[" => {
                made.push_str(token);
                depth += 1;
                if !next_closes {
                    line(&mut made, depth);
                }
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                if !closes_empty {
                    line(&mut made, depth);
                }
                made.push_str(token);
            }
            "," => {
                made.push(',');
                line(&mut made, depth);
            }
            ":" => made.push_str(": "),
            value => made.push_str(value),
        }
    }
    made.push('\n');
    Ok(made)
}

pub(super) fn minified(text: &str) -> Result<String, String> {
    checked(text)?;
    let mut made: String = tokens(text).collect();
    made.push('\n');
    Ok(made)
}

/// The tokens of a text that is JSON.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = match first {
            '"' => string_end(rest),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest
                .find(|c: char| c.is_whitespace() || "{}[],:\"".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(token)
    })
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A table with a header as a list of objects; RFC 4180.
pub(super) fn from_csv(text: &str) -> Result<String, String> {
    let rows = rows(text)?;
    let (header, rows) = rows.split_first().ok_or("there is no header")?;
    let mut list = Vec::with_capacity(rows.len());
    for row in rows {
        if row.len() != header.len() {
            return Err(format!(
                "a row has {} fields and the header {}",
                row.len(),
                header.len()
            ));
        }
        let mut object = Map::new();
        for (key, value) in header.iter().zip(row) {
            if object.insert(key.clone(), Value::String(value.clone())).is_some() {
                return Err(format!("the header has `{key}` twice"));
            }
        }
        list.push(Value::Object(object));
    }
    let json = serde_json::to_string_pretty(&Value::Array(list)).map_err(|error| error.to_string())?;
    Ok(format!("{json}\n"))
}

fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut rows = Vec::new();
    let mut rest = text.trim_end_matches(['\n', '\r']);
    let mut row = Vec::new();
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted(inner)?,
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                let field = rest[..end].trim_end_matches('\r');
                if field.contains('"') {
                    return Err("a quote stands inside a plain field".to_owned());
                }
                (field.to_owned(), &rest[end..])
            }
        };
        row.push(field);
        match after.trim_start_matches('\r').split_at_checked(1) {
            Some((",", after)) => rest = after,
            Some(("\n", after)) => {
                rows.push(std::mem::take(&mut row));
                rest = after;
            }
            None => break,
            Some(_) => return Err("something stands behind a quoted field".to_owned()),
        }
    }
    rows.push(row);
    Ok(rows)
}

fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}

/// A value in which every key stands once.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(Once).map(Strict)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("`{key}` stands there twice")));
            }
        }
        Ok(Value::Object(object))
    }
}
