//! RFC 6902: JSON changed by operations. `test` operations make a patch safe against what changed in between.

use json_patch::{AddOperation, PatchOperation, TestOperation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rejected;
use crate::count;

/// The document after the patch. It is changed where it lies, without a copy; one that only a part of the operations
/// fitted is nobody's any more, so nothing is applied half.
pub fn apply(mut document: Value, patch: &Value) -> Result<Value, Rejected> {
    let malformed = |why: String| Rejected::Malformed { line: 1, why };
    // A missing `value` is not a null.
    let complete = |operation: &Value| {
        let needs = matches!(
            operation.get("op").and_then(Value::as_str),
            Some("add" | "replace" | "test")
        );
        !needs || operation.get("value").is_some()
    };
    if let Some(list) = patch.as_array()
        && let Some(at) = list.iter().position(|operation| !complete(operation))
    {
        return Err(malformed(format!("operation {at} has no `value`")));
    }
    let operations = Vec::<PatchOperation>::deserialize(patch).map_err(|error| malformed(error.to_string()))?;
    // "Unsafe" in that it undoes nothing when it fails.
    json_patch::patch_unsafe(&mut document, &operations).map_err(|error| Rejected::DoesNotFit {
        path: error.path.to_string(),
        why: error.to_string(),
    })?;
    Ok(document)
}

/// The text of a JSON file after the patch, indented as it was.
pub fn apply_text(path: &str, text: &str, patch: &Value) -> Result<String, Rejected> {
    let fails = |why: String| Rejected::DoesNotFit {
        path: path.to_owned(),
        why,
    };
    let document: Value = serde_json::from_str(text).map_err(|error| fails(format!("it is no JSON: {error}")))?;
    let changed = apply(document, patch).map_err(|problem| match problem {
        Rejected::DoesNotFit { why, .. } => fails(why),
        other => other,
    })?;
    let unit = text
        .lines()
        .nth(1)
        .map(|line| &line[..line.len() - line.trim_start().len()]);
    let mut bytes = Vec::with_capacity(text.len());
    let written = match unit.filter(|unit| !unit.is_empty()) {
        Some(unit) => {
            let pretty = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
            changed.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, pretty))
        }
        None => serde_json::to_writer(&mut bytes, &changed),
    };
    written.map_err(|error| fails(error.to_string()))?;
    if text.ends_with('\n') {
        bytes.push(b'\n');
    }
    String::from_utf8(bytes).map_err(|error| fails(error.to_string()))
}

/// What is shorter to send: the operations, or the whole new document.
#[derive(Clone, PartialEq, Debug)]
pub enum Sent {
    /// Operations, each change of a value after a test of the old one.
    Patch(Value),
    /// The document.
    Whole(Value),
}

/// The change from one document to another in its shorter form.
pub fn difference(old: &Value, new: &Value) -> Sent {
    let mut guarded = Vec::new();
    for operation in json_patch::diff(old, new).0 {
        if let PatchOperation::Replace(replace) = &operation
            && let Ok(before) = replace.path.resolve(old)
        {
            guarded.push(PatchOperation::Test(TestOperation {
                path: replace.path.clone(),
                value: before.clone(),
            }));
        }
        guarded.push(operation);
    }
    let whole = || Sent::Whole(new.clone());
    let Ok(patch) = serde_json::to_value(&guarded) else {
        return whole();
    };
    // Old values in tests are where they were only as long as no array moved; a patch that does not lead there is none.
    let leads_there = apply(old.clone(), &patch).is_ok_and(|result| result == *new);
    if leads_there && count::tokens(&patch.to_string()) < count::tokens(&new.to_string()) {
        Sent::Patch(patch)
    } else {
        whole()
    }
}

/// An operation that adds, for callers that build patches.
pub fn add(path: &str, value: Value) -> Option<PatchOperation> {
    let path = path.to_owned().try_into().ok()?;
    Some(PatchOperation::Add(AddOperation { path, value }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_applied_half() {
        let document = json!({"a": 1, "b": [1, 2]});
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/b/0", "value": 9}]);
        assert!(matches!(
            apply(document.clone(), &patch),
            Err(Rejected::DoesNotFit { .. })
        ));
        assert!(matches!(
            apply(document.clone(), &json!([{"op": "add", "path": "/c"}])),
            Err(Rejected::Malformed { .. })
        ));
        assert!(apply(document.clone(), &json!({"op": "add"})).is_err());
        assert!(apply_text("a.json", &document.to_string(), &patch).is_err());
        let done = apply(document, &json!([{"op": "add", "path": "/b/-", "value": 3}])).unwrap();
        assert_eq!(done, json!({"a": 1, "b": [1, 2, 3]}));
    }

    #[test]
    fn the_shorter_form_is_sent() {
        let old = json!({"items": (0..50).map(|n| json!({"id": n, "name": format!("item {n}")})).collect::<Vec<_>>()});
        let mut new = old.clone();
        new["items"][7]["name"] = json!("changed");
        let Sent::Patch(patch) = difference(&old, &new) else {
            panic!("the patch is shorter")
        };
        assert_eq!(patch[0]["op"], "test");
        assert_eq!(apply(old, &patch).unwrap(), new);
        assert!(apply(new, &patch).is_err(), "it was for another document");
        assert_eq!(difference(&json!(1), &json!(2)), Sent::Whole(json!(2)));
    }
}
