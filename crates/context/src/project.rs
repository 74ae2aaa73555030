//! Answers cut to the fields that were asked for: dotted paths, `[]` for every element of a list, `a,b` for several.
//!
//! The shape stays: what is kept lies where it lay. A path that leads nowhere is told with the keys there are, because
//! silence would look like an empty answer.

use serde_json::{Map, Value};

/// The longest list of fields, in bytes.
pub const FIELDS_MAX: usize = 1_024;

/// A path that leads nowhere.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Miss {
    /// The list is too long.
    #[error("the list of fields has {0} bytes; {FIELDS_MAX} are read")]
    Long(usize),
    /// There is no such field.
    #[error("there is no field `{path}`; there is {}", known.join(", "))]
    Unknown {
        /// The path up to where it fails.
        path: String,
        /// What is there instead.
        known: Vec<String>,
    },
    /// It goes on where nothing lies below.
    #[error("`{path}` is {found}, which has no fields")]
    Leaf {
        /// The path up to where it fails.
        path: String,
        /// What is there.
        found: &'static str,
    },
}

/// The value with the named fields alone. Lists are passed through: `tasks.key` and `tasks[].key` mean the same.
pub fn project(value: &Value, fields: &str) -> Result<Value, Miss> {
    if fields.len() > FIELDS_MAX {
        return Err(Miss::Long(fields.len()));
    }
    let mut kept = Value::Null;
    for path in fields.split(',').map(str::trim).filter(|path| !path.is_empty()) {
        let plain = path.replace("[]", "");
        let parts: Vec<&str> = plain.split('.').filter(|part| !part.is_empty()).collect();
        let one = pick(value, &parts, "")?;
        merge(&mut kept, one);
    }
    Ok(kept)
}

fn pick(value: &Value, path: &[&str], above: &str) -> Result<Value, Miss> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(value.clone());
    };
    match value {
        Value::Array(items) => {
            let picked: Vec<Result<Value, Miss>> = items.iter().map(|item| pick(item, path, above)).collect();
            // Elements may differ; a field that none of them has is a miss.
            match picked.iter().all(Result::is_err) {
                true if !items.is_empty() => picked
                    .into_iter()
                    .collect::<Result<Vec<Value>, Miss>>()
                    .map(Value::Array),
                _ => Ok(Value::Array(
                    picked
                        .into_iter()
                        .map(|one| one.unwrap_or(Value::Object(Map::new())))
                        .collect(),
                )),
            }
        }
        Value::Object(object) => match object.get(*first) {
            Some(inner) => {
                let inner = pick(inner, rest, &format!("{above}{first}."))?;
                Ok(Value::Object(Map::from_iter([((*first).to_owned(), inner)])))
            }
            None => Err(Miss::Unknown {
                path: format!("{above}{first}"),
                known: object.keys().take(40).cloned().collect(),
            }),
        },
        // What is not there has no fields, and that is no mistake.
        Value::Null => Ok(Value::Null),
        Value::Bool(_) => Err(leaf(above, "true or false")),
        Value::Number(_) => Err(leaf(above, "a number")),
        Value::String(_) => Err(leaf(above, "a text")),
    }
}

fn leaf(above: &str, found: &'static str) -> Miss {
    Miss::Leaf {
        path: above.trim_end_matches('.').to_owned(),
        found,
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(&key) {
                    Some(old) => merge(old, value),
                    None => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(from)) if into.len() == from.len() => {
            for (old, new) in into.iter_mut().zip(from) {
                merge(old, new);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_kept_where_they_lie() {
        let value = json!({"run": {"id": "r1", "tasks": [{"key": "a", "n": 1, "d": {"x": 1}}, {"key": "b", "n": 2}]}, "more": 3});
        for (fields, kept) in [
            ("more", json!({"more": 3})),
            (
                "run.id, run.tasks[].key",
                json!({"run": {"id": "r1", "tasks": [{"key": "a"}, {"key": "b"}]}}),
            ),
            ("run.tasks.d.x", json!({"run": {"tasks": [{"d": {"x": 1}}, {}]}})),
            (
                "run.tasks.key,run.tasks.n",
                json!({"run": {"tasks": [{"key": "a", "n": 1}, {"key": "b", "n": 2}]}}),
            ),
        ] {
            assert_eq!(project(&value, fields).unwrap(), kept, "{fields}");
        }
        let miss = project(&value, "run.keys").unwrap_err().to_string();
        assert_eq!(miss, "there is no field `run.keys`; there is id, tasks");
        assert_eq!(
            project(&value, "more.x").unwrap_err().to_string(),
            "`more` is a number, which has no fields"
        );
        assert!(matches!(project(&value, &"a,".repeat(1_000)), Err(Miss::Long(_))));
        assert_eq!(
            project(&json!({"a": null, "l": []}), "a.b,l.x").unwrap(),
            json!({"a": null, "l": []})
        );
    }
}
