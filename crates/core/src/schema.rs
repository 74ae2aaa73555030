//! Whether an answer is the JSON that was asked for: the part of JSON Schema (draft 2020-12) that model APIs take for
//! structured output, checked by us whatever the API promised.
//!
//! A schema with a keyword that would not be checked is refused when it is read, not half-checked later. The whole of
//! JSON Schema is in the `jsonschema` crate, which brings forty others; what it has beyond this no model API takes.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How deep references and values may nest before a check gives up; serde reads no deeper either.
const DEPTH_MAX: usize = 128;
/// How many steps a check by somebody else's schema takes: choices within choices multiply, and nobody vouches for it.
const STEPS_MAX: u32 = 200_000;
/// How many problems of one answer are named.
const PROBLEMS_MAX: usize = 5;

/// Keywords that say something to people and models and nothing about validity.
const ANNOTATIONS: [&str; 10] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "format",
];

/// Keywords that are checked.
const CHECKED: [&str; 22] = [
    "$ref",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minProperties",
    "maxProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
];

/// The types that a value can have.
const TYPES: [&str; 7] = ["object", "array", "string", "boolean", "null", "number", "integer"];

/// A schema that can be checked. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Schema {
    value: Arc<Value>,
}

/// The text is not a schema, or not one that can be checked: every reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotASchema(pub Vec<Fault>);

/// What is wrong with a schema, and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The keys and places in lists that lead there, from the top.
    pub path: Vec<String>,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("#")?;
        for name in &self.path {
            write!(f, "/{name}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl fmt::Display for NotASchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&told.join("; "))
    }
}

impl std::error::Error for NotASchema {}

/// An answer is not what the schema asks for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer is not what its schema asks for: {0}")]
pub struct NotValid(String);

impl TryFrom<Value> for Schema {
    type Error = NotASchema;

    fn try_from(value: Value) -> Result<Schema, NotASchema> {
        let schema = Schema { value: Arc::new(value) };
        let mut faults = Vec::new();
        let steps = Cell::new(0);
        let root = Place::root(&steps);
        if schema.value.is_object() {
            schema.understand(&schema.value, &root, &mut faults);
        } else {
            faults.push(root.fault("it is not a JSON object"));
        }
        if faults.is_empty() {
            return Ok(schema);
        }
        Err(NotASchema(faults))
    }
}

impl From<Schema> for Value {
    fn from(schema: Schema) -> Value {
        Arc::unwrap_or_clone(schema.value)
    }
}

impl Schema {
    /// Reads a schema from JSON.
    pub fn parse(text: &str) -> Result<Schema, NotASchema> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let why = format!("it is not JSON: {error}");
            NotASchema(vec![Fault { path: Vec::new(), why }])
        })?;
        Schema::try_from(value)
    }

    /// The schema as JSON, for a request.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// A schema that somebody else made and checks by: what of it is known here is checked here, and the rest is left to them.
    pub fn of_others(value: &Value) -> Schema {
        Schema {
            value: Arc::new(value.clone()),
        }
    }

    /// What is wrong with a value, each with its place. A schema that is too involved to be checked here finds nothing more
    /// than what was found until then.
    pub fn problems(&self, value: &Value) -> Vec<String> {
        let steps = Cell::new(STEPS_MAX);
        let mut problems = Vec::new();
        self.valid(&self.value, value, &Place::root(&steps), 0, &mut problems);
        if steps.get() == 0 {
            // What was taken for wrong may only not have been looked at.
            problems.clear();
        }
        problems
    }

    /// The JSON in an answer, when it is valid. A fence of Markdown around it is taken off: many models put one there.
    pub fn check<'a>(&self, answer: &'a str) -> Result<&'a str, NotValid> {
        let json = without_fence(answer);
        let value: Value = serde_json::from_str(json).map_err(|error| NotValid(format!("it is not JSON: {error}")))?;
        let mut problems = Vec::new();
        let steps = Cell::new(u32::MAX);
        self.valid(&self.value, &value, &Place::root(&steps), 0, &mut problems);
        if problems.is_empty() {
            return Ok(json);
        }
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        let mut said = problems.join("; ");
        if more > 0 {
            said.push_str(&format!("; and {more} more"));
        }
        Err(NotValid(said))
    }

    /// Finds what would not be checked, or could not be.
    fn understand(&self, schema: &Value, at: &Place<'_>, faults: &mut Vec<Fault>) {
        let Value::Object(schema) = schema else {
            if !schema.is_boolean() {
                faults.push(at.fault("a schema is an object, `true` or `false`"));
            }
            return;
        };
        for (keyword, value) in schema {
            let name = keyword.as_str();
            let inside = at.then(name);
            if !CHECKED.contains(&name) && !ANNOTATIONS.contains(&name) {
                let why = "this keyword is not checked by this version, and no model API holds to it; leave it out";
                faults.push(inside.fault(why));
                continue;
            }
            match (name, value) {
                ("properties" | "$defs" | "definitions", Value::Object(map)) => {
                    for (name, child) in map {
                        self.understand(child, &inside.then(name), faults);
                    }
                }
                ("anyOf" | "oneOf" | "allOf", Value::Array(list)) => {
                    for (index, child) in list.iter().enumerate() {
                        self.understand(child, &inside.then(&index.to_string()), faults);
                    }
                }
                ("items" | "additionalProperties" | "not", child) => self.understand(child, &inside, faults),
                ("$ref", Value::String(reference)) if self.resolve(reference).is_some() => {}
                ("$ref", reference) => faults.push(inside.fault(&format!("there is no {reference} in this schema"))),
                _ => faults.extend(unfit(name, value).map(|wanted| inside.fault(&format!("{wanted} is wanted here")))),
            }
        }
    }

    fn resolve(&self, reference: &str) -> Option<&Value> {
        self.value.pointer(reference.strip_prefix('#')?)
    }

    fn valid(&self, schema: &Value, value: &Value, at: &Place<'_>, depth: usize, problems: &mut Vec<String>) {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return problems.push(format!("{at}: nothing may stand here")),
            _ => return,
        };
        if depth > DEPTH_MAX {
            return problems.push(format!("{at}: nested too deeply to be checked"));
        }
        if !at.step() {
            return;
        }
        if let Some(found) = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|name| self.resolve(name))
        {
            self.valid(found, value, at, depth + 1, problems);
        }
        let fits = |kind: &Value| kind.as_str().is_some_and(|kind| is_of(value, kind));
        match schema.get("type") {
            Some(Value::Array(kinds)) if !kinds.iter().any(fits) => {
                let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
                return problems.push(format!("{at}: {} is not {}", brief(value), kinds.join(" or ")));
            }
            Some(kind @ Value::String(name)) if !fits(kind) => {
                return problems.push(format!("{at}: {} is not {name}", brief(value)));
            }
            _ => {}
        }
        if let Some(Value::Array(choices)) = schema.get("enum")
            && !choices.contains(value)
        {
            problems.push(format!(
                "{at}: {} is none of {}",
                brief(value),
                brief(&choices.clone().into())
            ));
        }
        if let Some(only) = schema.get("const")
            && only != value
        {
            problems.push(format!("{at}: {} is not {}", brief(value), brief(only)));
        }
        limits(schema, value, at, problems);
        self.combined(schema, value, at, depth, problems);
        match value {
            Value::Object(map) => self.object(schema, map, at, depth, problems),
            Value::Array(list) => {
                if let Some(items) = schema.get("items") {
                    for (index, item) in list.iter().enumerate() {
                        self.valid(items, item, &at.then(&index.to_string()), depth + 1, problems);
                    }
                }
            }
            _ => {}
        }
    }

    fn object(
        &self,
        schema: &Map<String, Value>,
        map: &Map<String, Value>,
        at: &Place<'_>,
        depth: usize,
        problems: &mut Vec<String>,
    ) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            if !map.contains_key(name) {
                problems.push(format!("{at}: `{name}` is missing"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, value) in map {
            let known = properties.and_then(|properties| properties.get(name));
            match (known, schema.get("additionalProperties")) {
                (Some(child), _) => self.valid(child, value, &at.then(name), depth + 1, problems),
                (None, Some(Value::Bool(false))) => problems.push(format!("{at}: `{name}` does not belong there")),
                (None, Some(child)) => self.valid(child, value, &at.then(name), depth + 1, problems),
                (None, None) => {}
            }
        }
    }

    fn combined(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        at: &Place<'_>,
        depth: usize,
        problems: &mut Vec<String>,
    ) {
        let choices = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
        let fits = |choice: &Value| {
            let mut found = Vec::new();
            self.valid(choice, value, at, depth + 1, &mut found);
            found.is_empty()
        };
        for choice in choices("allOf").into_iter().flatten() {
            self.valid(choice, value, at, depth + 1, problems);
        }
        if let Some(list) = choices("anyOf")
            && !list.iter().any(fits)
        {
            problems.push(format!("{at}: {} fits no choice of `anyOf`", brief(value)));
        }
        if let Some(list) = choices("oneOf") {
            let fitting = list.iter().filter(|choice| fits(choice)).count();
            if fitting != 1 {
                problems.push(format!(
                    "{at}: {} fits {fitting} choices of `oneOf`, not one",
                    brief(value)
                ));
            }
        }
        if let Some(not) = schema.get("not")
            && fits(not)
        {
            problems.push(format!("{at}: {} is what `not` excludes", brief(value)));
        }
    }
}

/// What a keyword wants, when its value is something else: it would hold of no answer, or of every one.
fn unfit(keyword: &str, value: &Value) -> Option<&'static str> {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let (fits, wanted) = match keyword {
        "properties" | "$defs" | "definitions" => (false, "a map of names to schemas"),
        "anyOf" | "oneOf" | "allOf" => (false, "a list of schemas"),
        "type" => (
            is_type(value)
                || value
                    .as_array()
                    .is_some_and(|list| !list.is_empty() && list.iter().all(is_type)),
            "`object`, `array`, `string`, `boolean`, `null`, `number`, `integer` or a list of them",
        ),
        "enum" => (
            value.as_array().is_some_and(|list| !list.is_empty()),
            "a list with at least one value",
        ),
        "required" => (
            value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            "a list of names",
        ),
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => (value.is_number(), "a number"),
        "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
            (value.is_u64(), "a whole number from 0")
        }
        _ => (true, ""),
    };
    (!fits).then_some(wanted)
}

/// The limits on numbers, lengths and counts.
fn limits(schema: &Map<String, Value>, value: &Value, at: &Place<'_>, problems: &mut Vec<String>) {
    let size = match value {
        Value::String(text) => Some(("Length", text.chars().count())),
        Value::Array(list) => Some(("Items", list.len())),
        Value::Object(map) => Some(("Properties", map.len())),
        _ => None,
    };
    if let Some((what, size)) = size {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let limit = |side: &str| schema.get(&format!("{side}{what}")).and_then(Value::as_u64);
        if limit("min").is_some_and(|min| size < min) || limit("max").is_some_and(|max| size > max) {
            problems.push(format!("{at}: {size} breaks its limits on {}", what.to_lowercase()));
        }
    }
    let Some(number) = value.as_f64().filter(|_| value.is_number()) else {
        return;
    };
    type Breaks = fn(f64, f64) -> bool;
    let bounds: [(&str, Breaks); 4] = [
        ("minimum", |number, bound| number < bound),
        ("maximum", |number, bound| number > bound),
        ("exclusiveMinimum", |number, bound| number <= bound),
        ("exclusiveMaximum", |number, bound| number >= bound),
    ];
    for (keyword, breaks) in bounds {
        if let Some(bound) = schema.get(keyword).and_then(Value::as_f64)
            && breaks(number, bound)
        {
            problems.push(format!("{at}: {value} breaks `{keyword}: {bound}`"));
        }
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        // 3.0 is an integer as well (JSON Schema core §4.2.3).
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

/// A value in a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let inside = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
        .and_then(|rest| rest.split_once('\n'));
    match inside {
        Some((language, inside)) if !language.trim().contains(char::is_whitespace) => inside.trim(),
        _ => text,
    }
}

/// A place in a schema or value, as a JSON pointer.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    name: &'a str,
    /// How many more steps the whole check may take.
    steps: &'a Cell<u32>,
}

impl<'a> Place<'a> {
    fn root(steps: &'a Cell<u32>) -> Place<'a> {
        Place {
            parent: None,
            name: "",
            steps,
        }
    }

    fn then(&'a self, name: &'a str) -> Place<'a> {
        Place {
            parent: Some(self),
            name,
            steps: self.steps,
        }
    }

    /// Takes a step, when one is left.
    fn step(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    fn path(&self) -> Vec<String> {
        let Some(parent) = self.parent else { return Vec::new() };
        let mut path = parent.path();
        path.push(self.name.to_owned());
        path
    }

    fn fault(&self, why: &str) -> Fault {
        Fault {
            path: self.path(),
            why: why.to_owned(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            None => f.write_str("#"),
            Some(parent) => write!(f, "{parent}/{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAGE: &str = r##"{
        "type": "object", "additionalProperties": false, "required": ["kind", "score"],
        "properties": {
            "kind": {"enum": ["bug", "wish"]},
            "score": {"type": "integer", "minimum": 0, "maximum": 100},
            "notes": {"type": ["string", "null"], "maxLength": 5},
            "parts": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/part"}}
        },
        "$defs": {"part": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["parts"],
            "properties": {"parts": {"type": "array", "items": {"$ref": "#/$defs/part"}}}}]}}
    }"##;

    #[test]
    fn a_schema_of_others_is_checked_as_far_as_it_is_known() {
        let schema = serde_json::json!({
            "type": "object", "required": ["path"], "additionalProperties": false, "unevaluatedProperties": false,
            "properties": { "path": { "type": "string", "pattern": "^/", "minLength": 1 }, "count": { "type": "integer", "maximum": 10 } },
        });
        let schema = Schema::of_others(&schema);
        let problems = |value: &str| schema.problems(&serde_json::from_str(value).unwrap());
        assert_eq!(
            problems(r#"{"path": "relative"}"#),
            Vec::<String>::new(),
            "the pattern is its maker's to check"
        );
        assert_eq!(
            problems(r#"{"count": 11, "cout": 1}"#),
            [
                "#: `path` is missing",
                "#/count: 11 breaks `maximum: 10`",
                "#: `cout` does not belong there"
            ]
        );
        for nothing in ["null", "true", "\"text\"", "{\"type\": 7}", "{\"$ref\": \"#/nowhere\"}"] {
            let schema = Schema::of_others(&serde_json::from_str(nothing).unwrap());
            assert_eq!(
                schema.problems(&serde_json::json!({ "a": 1 })),
                Vec::<String>::new(),
                "{nothing}"
            );
        }
        // Two choices that lead back to both of them: 2 to the power of 128 ways.
        let bomb =
            r##"{"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}"##;
        let bomb = Schema::of_others(&serde_json::from_str(bomb).unwrap());
        assert_eq!(bomb.problems(&serde_json::json!({})), Vec::<String>::new());
    }

    #[test]
    fn answers_are_checked_at_every_depth() {
        let schema = Schema::parse(TRIAGE).unwrap();
        for (answer, expected) in [
            (r#"{"kind":"bug","score":3}"#, Ok(())),
            (
                r#"{"kind":"bug","score":3.0,"notes":null,"parts":["a",{"parts":["b"]}]}"#,
                Ok(()),
            ),
            ("```json\n{\"kind\":\"wish\",\"score\":100}\n```", Ok(())),
            ("Here you are: {}", Err("not JSON")),
            (r#"{"kind":"bug"}"#, Err("#: `score` is missing")),
            (r#"{"kind":"x","score":3}"#, Err("#/kind: `\"x\"` is none of")),
            (
                r#"{"kind":"bug","score":101}"#,
                Err("#/score: 101 breaks `maximum: 100`"),
            ),
            (r#"{"kind":"bug","score":3.5}"#, Err("#/score: `3.5` is not integer")),
            (
                r#"{"kind":"bug","score":3,"notes":"sechs!"}"#,
                Err("#/notes: 6 breaks its limits on length"),
            ),
            (
                r#"{"kind":"bug","score":3,"notes":7}"#,
                Err("#/notes: `7` is not string or null"),
            ),
            (
                r#"{"kind":"bug","score":3,"parts":[]}"#,
                Err("#/parts: 0 breaks its limits on items"),
            ),
            (
                r#"{"kind":"bug","score":3,"parts":[{"parts":[1]}]}"#,
                Err("#/parts/0: "),
            ),
            (
                r#"{"kind":"bug","score":3,"other":1}"#,
                Err("#: `other` does not belong there"),
            ),
            ("[]", Err("#: `[]` is not object")),
        ] {
            match (schema.check(answer), expected) {
                (Ok(_), Ok(())) => {}
                (Err(why), Err(words)) => assert!(why.to_string().contains(words), "{answer}: {why}"),
                (got, expected) => panic!("{answer}: {got:?}, not {expected:?}"),
            }
        }
        assert_eq!(
            schema.check("```\n{\"kind\":\"bug\",\"score\":1}\n```"),
            Ok(r#"{"kind":"bug","score":1}"#)
        );
    }

    #[test]
    fn combinations_are_checked() {
        for (schema, fits, not) in [
            (r#"{"oneOf":[{"type":"number"},{"minimum":5}]}"#, "3", "7"),
            (r#"{"allOf":[{"minimum":1},{"maximum":3}]}"#, "2", "4"),
            (r#"{"not":{"const":1}}"#, "2", "1"),
            (
                r#"{"additionalProperties":{"type":"string"}}"#,
                r#"{"a":"b"}"#,
                r#"{"a":1}"#,
            ),
            (r#"{"exclusiveMinimum":0,"exclusiveMaximum":1}"#, "0.5", "1"),
        ] {
            let read = Schema::parse(schema).unwrap();
            assert!(read.check(fits).is_ok(), "{schema} {fits}");
            assert!(read.check(not).is_err(), "{schema} {not}");
        }
    }

    #[test]
    fn what_would_not_be_checked_is_refused_when_it_is_read() {
        for (schema, words) in [
            ("[]", "not a JSON object"),
            ("{", "not JSON"),
            (
                r#"{"properties":{"a":{"pattern":"x"}}}"#,
                "#/properties/a/pattern: this keyword is not checked",
            ),
            (r##"{"$ref":"#/$defs/no"}"##, "there is no \"#/$defs/no\""),
            (r#"{"items":7}"#, "#/items: a schema is"),
            (r#"{"type":"strnig"}"#, "#/type: `object`, `array`"),
            (r#"{"type":[]}"#, "#/type: `object`, `array`"),
            (r#"{"enum":[]}"#, "#/enum: a list with at least one value"),
            (r#"{"required":["a",1]}"#, "#/required: a list of names"),
            (r#"{"anyOf":{}}"#, "#/anyOf: a list of schemas"),
            (r#"{"properties":[]}"#, "#/properties: a map of names"),
            (r#"{"minimum":"1"}"#, "#/minimum: a number"),
            (r#"{"maxItems":-1}"#, "#/maxItems: a whole number"),
        ] {
            let refused = Schema::parse(schema).unwrap_err().to_string();
            assert!(refused.contains(words), "{schema}: {refused}");
        }
    }

    #[test]
    fn a_reference_to_itself_ends() {
        let schema = Schema::parse(r##"{"$ref":"#"}"##).unwrap();
        assert!(schema.check("1").unwrap_err().to_string().contains("too deeply"));
    }
}
