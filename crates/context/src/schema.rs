//! Tool schemas, pruned for the model.
//!
//! A pruned schema drops what a model does not need in order to call (titles, examples, long prose, bookkeeping) and
//! keeps what decides whether a call is right: names, types, enums, what is required. Whoever serves the tool reads its
//! arguments by the whole, so pruning lets no wrong call pass, and nothing that was valid becomes impossible to say.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The longest description of a parameter that is kept, in bytes; it ends with a sentence where it can.
pub const DESCRIPTION_MAX: usize = 160;
/// How deep schemas and arguments are followed.
const DEPTH_MAX: usize = 64;
/// Keywords that tell a model nothing.
const DROPPED: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "examples",
    "example",
    "deprecated",
    "readOnly",
];

/// The schema without what a model does not need.
pub fn prune(schema: &Value) -> Value {
    let definitions = schema.get("$defs").or_else(|| schema.get("definitions"));
    prune_at(schema, definitions, &mut Vec::new(), 0)
}

fn prune_at(schema: &Value, definitions: Option<&Value>, open: &mut Vec<String>, depth: usize) -> Value {
    let Some(object) = schema.as_object().filter(|_| depth < DEPTH_MAX) else {
        return schema.clone();
    };
    // A reference is replaced by what it stands for, but for one that leads back to itself.
    if let Some(name) = reference(object).filter(|name| !open.iter().any(|other| other == name))
        && let Some(target) = definitions.and_then(|all| all.get(name))
    {
        open.push(name.to_owned());
        let pruned = prune_at(target, definitions, open, depth + 1);
        open.pop();
        return pruned;
    }
    let mut kept = Map::new();
    for (key, value) in object {
        match key.as_str() {
            key if DROPPED.contains(&key) => {}
            "$defs" | "definitions" => {
                if is_recursive(schema) {
                    kept.insert(key.clone(), value.clone());
                }
            }
            "default" if value.is_null() => {}
            "additionalProperties" if value.is_boolean() => {}
            "description" => {
                if let Some(text) = value.as_str().map(|text| first_sentence(text, DESCRIPTION_MAX))
                    && !text.is_empty()
                {
                    kept.insert(key.clone(), Value::String(text));
                }
            }
            "properties" | "patternProperties" => {
                let each = value.as_object().into_iter().flatten();
                let each = each.map(|(name, value)| (name.clone(), prune_at(value, definitions, open, depth + 1)));
                kept.insert(key.clone(), Value::Object(each.collect()));
            }
            "items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains" | "propertyNames" => {
                kept.insert(key.clone(), prune_at(value, definitions, open, depth + 1));
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                let each = value.as_array().into_iter().flatten();
                let each = each.map(|value| prune_at(value, definitions, open, depth + 1));
                kept.insert(key.clone(), Value::Array(each.collect()));
            }
            _ => {
                kept.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(kept)
}

fn reference(object: &Map<String, Value>) -> Option<&str> {
    let path = object.get("$ref")?.as_str()?;
    path.strip_prefix("#/$defs/")
        .or_else(|| path.strip_prefix("#/definitions/"))
}

/// Whether some definition leads back to itself, so that references cannot all be replaced.
fn is_recursive(schema: &Value) -> bool {
    let Some(all) = schema
        .get("$defs")
        .or_else(|| schema.get("definitions"))
        .and_then(Value::as_object)
    else {
        return false;
    };
    all.keys().any(|name| {
        let mut seen = BTreeSet::new();
        let mut open = vec![name.as_str()];
        while let Some(next) = open.pop() {
            let Some(value) = all.get(next) else { continue };
            let mut found = Vec::new();
            references(value, &mut found, 0);
            for target in found {
                if target == name {
                    return true;
                }
                if seen.insert(target) {
                    open.push(target);
                }
            }
        }
        false
    })
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>, depth: usize) {
    if depth >= DEPTH_MAX {
        return;
    }
    match value {
        Value::Object(object) => {
            found.extend(reference(object));
            object.values().for_each(|value| references(value, found, depth + 1));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names of the required properties.
pub fn required(schema: &Value) -> BTreeSet<String> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The first sentence of a text, in one line, of so many bytes at the most.
pub fn first_sentence(text: &str, bytes_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = [". ", "! ", "? "].iter().filter_map(|end| line.find(end)).min();
    let sentence = end.map_or(line.as_str(), |end| &line[..=end]);
    if sentence.len() <= bytes_max {
        return sentence.to_owned();
    }
    let cut = &sentence[..sentence.floor_char_boundary(bytes_max)];
    let cut = cut.rsplit_once(' ').map_or(cut, |(whole, _)| whole);
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "$schema": "x", "title": "Order", "type": "object", "additionalProperties": false,
            "properties": {
                "id": {"type": "integer", "minimum": 1, "title": "Id", "description": "The id. Never mind the rest of it."},
                "kind": {"enum": ["a", "b"], "default": null},
                "to": {"$ref": "#/$defs/address"},
                "lines": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["n"],
                          "properties": {"n": {"type": "number"}}}},
            },
            "required": ["id"],
            "$defs": {"address": {"type": "object", "title": "Address", "properties": {"city": {"type": "string"}},
                                  "required": ["city"]}},
        })
    }

    #[test]
    fn pruning_keeps_what_decides() {
        let pruned = prune(&schema());
        assert_eq!(
            pruned,
            json!({
                "type": "object",
                "properties": {
                    "id": {"type": "integer", "minimum": 1, "description": "The id."},
                    "kind": {"enum": ["a", "b"]},
                    "to": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
                    "lines": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["n"],
                              "properties": {"n": {"type": "number"}}}},
                },
                "required": ["id"],
            })
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_keeps_its_definitions() {
        let tree = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}});
        let pruned = prune(&tree);
        assert!(pruned.to_string().contains("$ref"), "{pruned}");
    }

    #[test]
    fn properties_may_be_called_like_keywords() {
        let odd = json!({"type": "object", "properties": {"title": {"type": "string", "title": "T"}, "examples": {}}});
        let kept = json!({"type": "object", "properties": {"title": {"type": "string"}, "examples": {}}});
        assert_eq!(prune(&odd), kept);
    }

    #[test]
    fn sentences_are_cut_at_words() {
        assert_eq!(first_sentence("One.  Two.", 100), "One.");
        assert_eq!(first_sentence("a bb ccc dddd", 8), "a bb…");
        assert_eq!(first_sentence("", 8), "");
    }
}
