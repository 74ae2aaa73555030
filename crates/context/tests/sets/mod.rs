//! The public sets that have one right answer a case: how each is read and scored. Used by the tests, which want every
//! case, and by `cargo xtask bench`, which says how many.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use wheelhouse_context::patch::envelope::{self, Failing};
use wheelhouse_context::patch::json;

/// What a set came to.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// Cases that came out as they should.
    pub(crate) passed: usize,
    /// Those that did not, by name.
    pub(crate) failed: Vec<String>,
    /// Those that do not count, each by name.
    pub(crate) apart: Vec<String>,
}

impl Score {
    fn case(&mut self, name: &str, right: bool) {
        if right {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }
}

pub(crate) fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tree(top: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The original's scenarios of `apply_patch`: the tree afterwards is the one expected.
pub(crate) fn apply_patch(data: &Path) -> Score {
    let mut score = Score::default();
    let scenarios = std::fs::read_dir(data.join("apply_patch/scenarios")).unwrap();
    for scenario in scenarios
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        let name = scenario.file_name().unwrap().to_str().unwrap().to_owned();
        let patch = std::fs::read_to_string(scenario.join("patch.txt")).unwrap();
        let before = tree(&scenario.join("input"));
        // The one scenario that is about what the original leaves behind.
        let failing = match name.starts_with("015") {
            true => Failing::Leaves,
            false => Failing::Nothing,
        };
        let mut after = before.clone();
        if let Ok(applied) = envelope::apply(&before, &patch, failing) {
            for (path, content) in applied.changes {
                match content {
                    Some(content) => after.insert(path, content.into_bytes()),
                    None => after.remove(&path),
                };
            }
        }
        let whole = failing == Failing::Nothing || envelope::apply(&before, &patch, Failing::Nothing).is_err();
        score.case(&name, whole && after == tree(&scenario.join("expected")));
    }
    score
}

/// The suite of RFC 6902.
pub(crate) fn json_patch(data: &Path) -> Score {
    let mut score = Score::default();
    for file in ["tests.json", "spec_tests.json"] {
        for (at, case) in read(&data.join("json_patch").join(file))
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
        {
            let about = case["comment"].as_str().or(case["error"].as_str()).unwrap_or_default();
            let name = format!("{file} {at} {about}");
            let (Some(document), Some(patch)) = (case.get("doc"), case.get("patch")) else {
                continue;
            };
            if case["disabled"] == true {
                score.apart.push(name);
                continue;
            }
            let result = json::apply(document.clone(), patch);
            let right = match case.get("expected") {
                Some(expected) => result.as_ref().ok() == Some(expected),
                None => case.get("error").is_some() == result.is_err(),
            };
            score.case(&name, right);
        }
    }
    score
}

/// Cases that a later version of the format made errors.
const TOON_CHANGED: &str = "literal key (non-strict)";

/// The fixtures of TOON 4.0, by the encoder and decoder that the product uses.
pub(crate) fn toon(data: &Path) -> Score {
    let mut score = Score::default();
    for kind in ["encode", "decode"] {
        let files = std::fs::read_dir(data.join("toon/spec_fixtures_v4.0/tests/fixtures").join(kind)).unwrap();
        for file in files.map(|entry| entry.unwrap().path()) {
            for case in read(&file)["tests"].as_array().unwrap() {
                let name = case["name"].as_str().unwrap();
                if name.ends_with(TOON_CHANGED) {
                    score.apart.push(name.to_owned());
                    continue;
                }
                let right = if kind == "encode" { encodes(case) } else { decodes(case) };
                score.case(name, right);
            }
        }
    }
    score
}

fn encodes(case: &Value) -> bool {
    use toon_format::{EncodeOptions, types::Delimiter};
    let options = &case["options"];
    let spaces = options["indentSize"].as_u64().unwrap_or(2) as usize;
    let delimiter = match options["delimiter"].as_str() {
        Some("\t") => Delimiter::Tab,
        Some("|") => Delimiter::Pipe,
        _ => Delimiter::Comma,
    };
    let options = EncodeOptions::new().with_delimiter(delimiter).with_spaces(spaces);
    toon_format::encode(&case["input"], &options).ok().as_deref() == case["expected"].as_str()
}

fn decodes(case: &Value) -> bool {
    use toon_format::DecodeOptions;
    let options = &case["options"];
    let spaces = options["indentSize"].as_u64().unwrap_or(2) as usize;
    let strict = options["strict"].as_bool().unwrap_or(true);
    let options = DecodeOptions::new()
        .with_strict(strict)
        .with_indent(toon_format::types::Indent::Spaces(spaces));
    let decoded: Result<Value, _> = toon_format::decode(case["input"].as_str().unwrap(), &options);
    match case["shouldError"] == true {
        true => decoded.is_err(),
        false => decoded.ok().as_ref() == Some(&case["expected"]),
    }
}

/// Query and tool of each row of a CSV file with quoted cells.
pub(crate) fn rows(text: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cells.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            '\n' if !quoted => {
                if let [need, tool, ..] = cells.as_slice() {
                    rows.push((need.clone(), tool.trim().to_owned()));
                }
                cells = vec![String::new()];
            }
            '\r' if !quoted => {}
            other => cells.last_mut().unwrap().push(other),
        }
    }
    rows
}
