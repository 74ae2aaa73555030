//! Members and elements of a JSON document, put in and taken out with every other byte of it kept.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstObject, CstRootNode};
use serde_json::Value;

use super::edit::{Op, OpKind};

pub(crate) fn put_in(text: &str, ops: &[Op]) -> Result<String, String> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root = parse(text)?;
    let object = root.object_value().ok_or("it is no JSON object")?;
    for op in ops {
        let (name, above) = op.path.split_last().ok_or("an empty path")?;
        let mut at = object.clone();
        for part in above {
            at = at
                .object_value_or_create(part)
                .ok_or_else(|| format!("`{part}` is no object"))?;
        }
        match op.kind {
            OpKind::Member => match at.get(name) {
                Some(known) if known.to_serde_value() == Some(op.value.clone()) => {}
                Some(known) => known.set_value(input(&op.value)),
                None => {
                    at.append(name, input(&op.value));
                }
            },
            OpKind::Element => {
                let array = at
                    .array_value_or_create(name)
                    .ok_or_else(|| format!("`{name}` is no array"))?;
                if place(&array, &op.value).is_none() {
                    array.append(input(&op.value));
                }
            }
        }
    }
    Ok(root.to_string())
}

pub(crate) fn take_out(text: &str, ops: &[Op]) -> Result<String, String> {
    let root = parse(text)?;
    let Some(object) = root.object_value() else {
        return Ok(text.to_owned());
    };
    for op in ops {
        let Some((name, above)) = op.path.split_last() else {
            continue;
        };
        let mut chain: Vec<(CstObject, &str)> = Vec::new();
        let mut at = Some(object.clone());
        for part in above {
            let Some(here) = at else { break };
            at = here.object_value(part);
            chain.push((here, part));
        }
        let Some(here) = at else { continue };
        let removed = match op.kind {
            OpKind::Member => here.get(name).map(|known| known.remove()).is_some(),
            OpKind::Element => {
                let array = here.array_value(name);
                let found = array.as_ref().and_then(|array| place(array, &op.value));
                let element = array
                    .as_ref()
                    .zip(found)
                    .and_then(|(array, place)| array.elements().into_iter().nth(place));
                let removed = element.map(|element| element.remove()).is_some();
                if removed
                    && array.is_some_and(|array| array.elements().is_empty())
                    && let Some(known) = here.get(name)
                {
                    known.remove();
                }
                removed
            }
        };
        // What is empty now was made for it.
        let mut inner = here;
        while removed && inner.properties().is_empty() {
            let Some((outer, part)) = chain.pop() else { break };
            if let Some(known) = outer.get(part) {
                known.remove();
            }
            inner = outer;
        }
    }
    Ok(root.to_string())
}

fn parse(text: &str) -> Result<CstRootNode, String> {
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| format!("it is no JSON: {error}"))
}

fn place(array: &CstArray, value: &Value) -> Option<usize> {
    array
        .elements()
        .iter()
        .position(|element| element.to_serde_value().as_ref() == Some(value))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(yes) => CstInputValue::Bool(*yes),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(list) => CstInputValue::Array(list.iter().map(input).collect()),
        Value::Object(members) => CstInputValue::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), input(value)))
                .collect(),
        ),
    }
}
