//! The public sets that have one right answer a case: how each is read and scored. Used by the tests, which want every
//! case, and by `cargo xtask bench`, which says how many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// A JSON file, or the file, the line and what is wrong with it.
pub(crate) fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}:{}: {error}", path.display(), error.line()))
}

/// The list that a file is, or that it has under `key`.
fn list(path: &Path, key: Option<&str>) -> Result<Vec<Value>, String> {
    let mut value = read(path)?;
    let list = match key {
        Some(key) => value.get_mut(key).map(Value::take),
        None => Some(value),
    };
    match list {
        Some(Value::Array(list)) => Ok(list),
        _ => Err(format!(
            "{}:1: there is no list{}",
            path.display(),
            key.map(|key| format!(" `{key}`")).unwrap_or_default()
        )),
    }
}

/// What lies in a directory, in order.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let found = std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<PathBuf> = found.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// The name of a file or directory.
fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn tree(top: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        for path in entries(&directory).unwrap_or_default() {
            if path.is_dir() {
                open.push(path);
            } else if let (Ok(name), Ok(bytes)) = (path.strip_prefix(top), std::fs::read(&path)) {
                files.insert(name.to_string_lossy().into_owned(), bytes);
            }
        }
    }
    files
}

/// The original's scenarios of `apply_patch`: the tree afterwards is the one expected.
pub(crate) fn apply_patch(data: &Path) -> Result<Score, String> {
    let mut score = Score::default();
    let scenarios = entries(&data.join("apply_patch/scenarios"))?;
    for scenario in scenarios.into_iter().filter(|path| path.is_dir()) {
        let name = name_of(&scenario);
        let Ok(patch) = std::fs::read_to_string(scenario.join("patch.txt")) else {
            score.apart.push(format!("{name}: has no patch.txt"));
            continue;
        };
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
    Ok(score)
}

/// The suite of RFC 6902: every list of cases that lies there.
pub(crate) fn json_patch(data: &Path) -> Result<Score, String> {
    let mut score = Score::default();
    let files = entries(&data.join("json_patch"))?;
    for file in files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
    {
        for (at, case) in list(&file, None)?.iter().enumerate() {
            let about = case["comment"].as_str().or(case["error"].as_str()).unwrap_or_default();
            let name = format!("{} {at} {about}", name_of(&file));
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
    Ok(score)
}

/// Cases of TOON 4.0 that a later version of the format made errors.
const TOON_CHANGED: &str = "literal key (non-strict)";
/// The options of cases that the format has.
const TOON_OPTIONS: [&str; 4] = ["delimiter", "indentSize", "indent", "strict"];

/// The directories of TOON fixtures, each with the name of its version.
pub(crate) fn toon_fixtures(data: &Path) -> Vec<(String, PathBuf)> {
    let mut open = vec![(String::new(), data.join("toon"))];
    let mut found = Vec::new();
    while let Some((version, directory)) = open.pop() {
        if directory.join("encode").is_dir() || directory.join("decode").is_dir() {
            found.push((version, directory));
            continue;
        }
        let below = entries(&directory)
            .unwrap_or_default()
            .into_iter()
            .filter(|path| path.is_dir());
        open.extend(below.map(|path| match version.is_empty() {
            true => (name_of(&path), path),
            false => (version.clone(), path),
        }));
    }
    found.sort();
    found
}

/// Fixtures of TOON, by the encoder and decoder that the product uses.
pub(crate) fn toon(fixtures: &Path) -> Result<Score, String> {
    let mut score = Score::default();
    for kind in ["encode", "decode"]
        .into_iter()
        .filter(|kind| fixtures.join(kind).is_dir())
    {
        let files = entries(&fixtures.join(kind))?;
        for file in files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        {
            for (at, case) in list(&file, Some("tests"))?.iter().enumerate() {
                let name = case["name"]
                    .as_str()
                    .map_or_else(|| format!("{} {at}", name_of(&file)), str::to_owned);
                let options = case["options"].as_object().into_iter().flatten();
                if let Some((other, _)) = options
                    .into_iter()
                    .find(|(option, _)| !TOON_OPTIONS.contains(&option.as_str()))
                {
                    score.apart.push(format!("{name} (the format has no option `{other}`)"));
                    continue;
                }
                let right = if kind == "encode" { encodes(case) } else { decodes(case) };
                match !right && name.ends_with(TOON_CHANGED) {
                    true => score.apart.push(name),
                    false => score.case(&name, right),
                }
            }
        }
    }
    Ok(score)
}

/// The spaces of a level; versions before 4 call it `indent`.
fn spaces(options: &Value) -> usize {
    let spaces = options["indentSize"].as_u64().or(options["indent"].as_u64());
    usize::try_from(spaces.unwrap_or(2)).unwrap_or(2)
}

fn encodes(case: &Value) -> bool {
    use toon_format::{EncodeOptions, types::Delimiter};
    let options = &case["options"];
    let delimiter = match options["delimiter"].as_str() {
        Some("\t") => Delimiter::Tab,
        Some("|") => Delimiter::Pipe,
        _ => Delimiter::Comma,
    };
    let encoding = EncodeOptions::new()
        .with_delimiter(delimiter)
        .with_spaces(spaces(options));
    toon_format::encode(&case["input"], &encoding).ok().as_deref() == case["expected"].as_str()
}

fn decodes(case: &Value) -> bool {
    use toon_format::DecodeOptions;
    let options = &case["options"];
    let strict = options["strict"].as_bool().unwrap_or(true);
    let decoding = DecodeOptions::new()
        .with_strict(strict)
        .with_indent(toon_format::types::Indent::Spaces(spaces(options)));
    let decoded: Result<Value, _> = toon_format::decode(case["input"].as_str().unwrap_or_default(), &decoding);
    match case["shouldError"] == true {
        true => decoded.is_err(),
        false => decoded.ok().as_ref() == Some(&case["expected"]),
    }
}

/// Query and tool of each row of a CSV file with quoted cells: by the names of its columns, else the first two.
pub(crate) fn rows(text: &str) -> Vec<(String, String)> {
    let mut rows: Vec<Vec<String>> = vec![vec![String::new()]];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let Some(cells) = rows.last_mut() else { break };
        match (char, cells.last_mut()) {
            ('"', Some(cell)) if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => cells.push(String::new()),
            ('\n', _) if !quoted => rows.push(vec![String::new()]),
            ('\r', _) if !quoted => {}
            (other, Some(cell)) => cell.push(other),
            (_, None) => {}
        }
    }
    let heads = rows.first().cloned().unwrap_or_default();
    let column = |name: &str, other: usize| {
        let named = heads.iter().position(|head| head.trim().eq_ignore_ascii_case(name));
        named.unwrap_or(other)
    };
    let (need, tool) = (column("query", 0), column("tool", 1));
    let row = |cells: Vec<String>| Some((cells.get(need)?.clone(), cells.get(tool)?.trim().to_owned()));
    rows.into_iter().filter_map(row).collect()
}
