//! Tool schemas: pruned for the model, whole for the check.
//!
//! A pruned schema drops what a model does not need in order to call (titles, examples, long prose, bookkeeping) and
//! keeps what decides whether a call is right: names, types, enums, what is required. Arguments are checked against
//! the whole schema ([`check`]), so pruning can never let a wrong call pass, and nothing that was valid becomes
//! impossible to say.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The longest description of a parameter that is kept, in bytes; it ends with a sentence where it can.
pub const DESCRIPTION_MAX: usize = 160;
/// How deep schemas and arguments are followed.
const DEPTH_MAX: usize = 64;
/// How many problems of one call are named.
const PROBLEMS_MAX: usize = 20;
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

/// Checks arguments against the whole schema: types, what is required, enums, bounds, nested, with local references.
/// Keywords that it does not know it does not hold against a call; the tool itself has the last word. Gives every
/// problem with its place.
pub fn check(schema: &Value, arguments: &Value) -> Result<(), Vec<String>> {
    let mut checker = Checker {
        root: schema,
        problems: Vec::new(),
    };
    checker.value(schema, arguments, "", 0);
    if checker.problems.is_empty() {
        Ok(())
    } else {
        Err(checker.problems)
    }
}

struct Checker<'a> {
    root: &'a Value,
    problems: Vec<String>,
}

impl Checker<'_> {
    fn value(&mut self, schema: &Value, value: &Value, place: &str, depth: usize) {
        if depth >= DEPTH_MAX || self.problems.len() >= PROBLEMS_MAX {
            return;
        }
        let object = match schema {
            Value::Bool(false) => return self.say(place, "nothing is allowed here"),
            Value::Object(object) => object,
            _ => return,
        };
        if let Some(pointer) = object
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.strip_prefix('#'))
        {
            let root = self.root;
            match root.pointer(pointer) {
                Some(target) => self.value(target, value, place, depth + 1),
                None => self.say(
                    place,
                    &format!("the schema refers to #{pointer}, which it does not have"),
                ),
            }
        }
        self.kind(object, value, place);
        self.combined(object, value, place, depth);
        match value {
            Value::Object(fields) => self.fields(object, fields, place, depth),
            Value::Array(items) => self.items(object, items, place, depth),
            Value::String(text) => {
                let length = text.chars().count() as f64;
                self.bounds(object, length, "minLength", "maxLength", "characters", place);
            }
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                self.bounds(object, number, "minimum", "maximum", "", place);
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn kind(&mut self, schema: &Map<String, Value>, value: &Value, place: &str) {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|kind| is_a(value, kind)) {
            self.say(
                place,
                &format!("{} is wanted, found {}", types.join(" or "), kind_of(value)),
            );
        }
        if let Some(Value::Array(allowed)) = schema.get("enum")
            && !allowed.contains(value)
        {
            let list: Vec<String> = allowed.iter().take(20).map(Value::to_string).collect();
            self.say(
                place,
                &format!("one of {} is wanted, found {}", list.join(", "), shortened(value)),
            );
        }
        if let Some(only) = schema.get("const")
            && only != value
        {
            self.say(place, &format!("{only} is wanted, found {}", shortened(value)));
        }
    }

    fn combined(&mut self, schema: &Map<String, Value>, value: &Value, place: &str, depth: usize) {
        let list = |key: &str| schema.get(key).and_then(Value::as_array).cloned();
        for part in list("allOf").into_iter().flatten() {
            self.value(&part, value, place, depth + 1);
        }
        for key in ["anyOf", "oneOf"] {
            let Some(parts) = list(key) else { continue };
            let mut fits = 0;
            let mut first = Vec::new();
            for part in &parts {
                let mut inner = Checker {
                    root: self.root,
                    problems: Vec::new(),
                };
                inner.value(part, value, place, depth + 1);
                if inner.problems.is_empty() {
                    fits += 1;
                } else if first.is_empty() {
                    first = inner.problems;
                }
            }
            match fits {
                0 => self.say(
                    place,
                    &format!("fits none of {} forms; of the first: {}", parts.len(), first.join("; ")),
                ),
                2.. if key == "oneOf" => self.say(place, &format!("fits {fits} forms of which it may fit one only")),
                _ => {}
            }
        }
    }

    fn fields(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>, place: &str, depth: usize) {
        let properties = schema.get("properties").and_then(Value::as_object);
        for name in required(&Value::Object(schema.clone())) {
            if !fields.contains_key(&name) {
                self.say(place, &format!("`{name}` is missing"));
            }
        }
        for (name, value) in fields {
            let inner = format!("{place}/{name}");
            match properties.and_then(|all| all.get(name)) {
                Some(property) => self.value(property, value, &inner, depth + 1),
                None if schema.contains_key("patternProperties") => {}
                None => match schema.get("additionalProperties") {
                    Some(Value::Bool(false)) => {
                        let known: Vec<&str> = properties
                            .into_iter()
                            .flatten()
                            .map(|(name, _)| name.as_str())
                            .collect();
                        self.say(
                            &inner,
                            &format!("there is no such argument; there are: {}", known.join(", ")),
                        );
                    }
                    Some(rest) => self.value(rest, value, &inner, depth + 1),
                    None => {}
                },
            }
        }
    }

    fn items(&mut self, schema: &Map<String, Value>, items: &[Value], place: &str, depth: usize) {
        self.bounds(schema, items.len() as f64, "minItems", "maxItems", "items", place);
        if let Some(item) = schema.get("items") {
            for (at, value) in items.iter().enumerate() {
                self.value(item, value, &format!("{place}/{at}"), depth + 1);
            }
        }
    }

    fn bounds(&mut self, schema: &Map<String, Value>, found: f64, least: &str, most: &str, unit: &str, place: &str) {
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!(" {unit}")
        };
        if let Some(least) = bound(least).filter(|least| found < *least) {
            self.say(place, &format!("at least {least}{unit} is wanted, found {found}"));
        }
        if let Some(most) = bound(most).filter(|most| found > *most) {
            self.say(place, &format!("at most {most}{unit} is allowed, found {found}"));
        }
    }

    fn say(&mut self, place: &str, what: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            let place = if place.is_empty() { "/" } else { place };
            self.problems.push(format!("{place}: {what}"));
        }
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        other => kind_of(value) == other,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    text[..text.floor_char_boundary(80)].to_owned()
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
        assert!(check(&tree, &json!({"children": [{"children": []}]})).is_ok());
        assert!(check(&tree, &json!({"children": [{"children": 1}]})).is_err());
    }

    #[test]
    fn properties_may_be_called_like_keywords() {
        let odd = json!({"type": "object", "properties": {"title": {"type": "string", "title": "T"}, "examples": {}}});
        let kept = json!({"type": "object", "properties": {"title": {"type": "string"}, "examples": {}}});
        assert_eq!(prune(&odd), kept);
    }

    #[test]
    fn every_problem_of_a_call_is_named_with_its_place() {
        let call = json!({"id": 0, "kind": "c", "to": {}, "lines": [{"n": "x"}], "extra": 1});
        assert_eq!(
            check(&schema(), &call).unwrap_err(),
            [
                "/id: at least 1 is wanted, found 0",
                "/kind: one of \"a\", \"b\" is wanted, found \"c\"",
                "/to: `city` is missing",
                "/lines/0/n: number is wanted, found string",
                "/extra: there is no such argument; there are: id, kind, to, lines",
            ]
        );
        assert!(check(&schema(), &json!({"id": 3, "to": {"city": "x"}, "kind": "a"})).is_ok());
        assert_eq!(
            check(&schema(), &json!([])).unwrap_err(),
            ["/: object is wanted, found array"]
        );
    }

    #[test]
    fn alternatives_are_tried() {
        let either = json!({"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]});
        assert!(check(&either, &json!("x")).is_ok());
        assert!(check(&either, &json!(1)).unwrap_err()[0].contains("fits 2 forms"));
        assert!(check(&either, &json!(null)).unwrap_err()[0].contains("fits none of 3 forms"));
    }

    #[test]
    fn sentences_are_cut_at_words() {
        assert_eq!(first_sentence("One.  Two.", 100), "One.");
        assert_eq!(first_sentence("a bb ccc dddd", 8), "a bb…");
        assert_eq!(first_sentence("", 8), "");
    }
}
