//! What goes into one file, and how it comes out again. Everything else in the file stays as it is: comments, order,
//! indents.

use std::path::PathBuf;

use serde_json::Value;

use super::{json, toml};

const BEGIN: &str = "<!-- wheelhouse:begin (this part is kept by `wheelhouse install`) -->";
const END: &str = "<!-- wheelhouse:end -->";

/// One file and what belongs into it.
pub(crate) struct Edit {
    pub(crate) path: PathBuf,
    pub(crate) what: What,
}

/// What belongs into a file.
pub(crate) enum What {
    /// The whole file is ours.
    File(String),
    /// A part between marks.
    Section(String),
    /// Members and elements of JSON, with or without comments.
    Json(Vec<Op>),
    /// Tables and words of TOML, comments kept.
    Toml(Vec<TomlOp>),
}

/// One thing in a TOML document.
pub(crate) enum TomlOp {
    /// A table: the table above, its name, what is in it.
    Table(String, String, Value),
    /// A word in the list at this path.
    Word(Vec<String>, String),
}

/// One thing in a JSON document.
pub(crate) struct Op {
    pub(crate) path: Vec<String>,
    pub(crate) value: Value,
    pub(crate) kind: OpKind,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// A member of an object; the last part of the path is its name.
    Member,
    /// An element of the array at the path.
    Element,
}

impl Op {
    pub(crate) fn member(path: &[&str], value: Value) -> Op {
        Op::new(path, value, OpKind::Member)
    }

    pub(crate) fn element(path: &[&str], value: Value) -> Op {
        Op::new(path, value, OpKind::Element)
    }

    fn new(path: &[&str], value: Value, kind: OpKind) -> Op {
        Op {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            value,
            kind,
        }
    }
}

impl Edit {
    pub(crate) fn new(path: PathBuf, what: What) -> Edit {
        Edit { path, what }
    }

    /// The text with ours in it; the same text when it is there already.
    pub(crate) fn put_in(&self, text: Option<&str>) -> Result<String, String> {
        match &self.what {
            What::File(ours) => Ok(ours.clone()),
            What::Section(ours) => Ok(with_section(text.unwrap_or_default(), ours)),
            What::Json(ops) => json::put_in(text.unwrap_or_default(), ops),
            What::Toml(ops) => ops
                .iter()
                .try_fold(text.unwrap_or_default().to_owned(), |text, op| match op {
                    TomlOp::Table(above, name, value) => toml::with_table(&text, above, name, value),
                    TomlOp::Word(path, word) => toml::with_word(&text, path, word),
                }),
        }
    }

    /// The text without ours; none when nothing else is in it. A file of ours that somebody changed is theirs now.
    pub(crate) fn take_out(&self, text: &str) -> Result<Option<String>, String> {
        let rest = match &self.what {
            What::File(ours) if ours == text => return Ok(None),
            What::File(_) => return Ok(Some(text.to_owned())),
            What::Section(_) => without_section(text),
            What::Json(ops) => json::take_out(text, ops)?,
            What::Toml(ops) => ops.iter().rev().try_fold(text.to_owned(), |text, op| match op {
                TomlOp::Table(above, name, _) => toml::without_table(&text, above, name),
                TomlOp::Word(path, word) => toml::without_word(&text, path, word),
            })?,
        };
        let empty = matches!(rest.trim(), "" | "{}") && !matches!(text.trim(), "" | "{}");
        Ok((!empty).then_some(rest))
    }
}

fn with_section(text: &str, ours: &str) -> String {
    let section = format!("{BEGIN}\n{}\n{END}\n", ours.trim_end());
    match span(text) {
        Some((from, to)) => format!("{}{section}{}", &text[..from], &text[to..]),
        None if text.is_empty() => section,
        None if text.ends_with('\n') => format!("{text}\n{section}"),
        None => format!("{text}\n\n{section}"),
    }
}

fn without_section(text: &str) -> String {
    match span(text) {
        // The empty line before it was ours too.
        Some((from, to)) => {
            let before = &text[..from];
            let before = before
                .strip_suffix('\n')
                .filter(|rest| rest.ends_with('\n'))
                .unwrap_or(before);
            format!("{before}{}", &text[to..])
        }
        None => text.to_owned(),
    }
}

/// From the first byte of the mark to the first of the line after its end. A begin without an end is left alone.
fn span(text: &str) -> Option<(usize, usize)> {
    let from = text.find(BEGIN)?;
    let end = from + text[from..].find(END)? + END.len();
    let to = if text[end..].starts_with('\n') { end + 1 } else { end };
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn round(what: What, before: &str) -> String {
        let edit = Edit::new(PathBuf::from("x"), what);
        let after = edit.put_in(Some(before)).unwrap();
        assert_ne!(after, before);
        assert_eq!(
            edit.put_in(Some(&after)).unwrap(),
            after,
            "putting in twice is putting in once"
        );
        assert_eq!(edit.take_out(&after).unwrap().unwrap_or_default(), before);
        after
    }

    #[test]
    fn a_section_comes_and_goes() {
        let section = || What::Section("## Ours\n\ntext\n".to_owned());
        for before in ["", "# Theirs\n", "# Theirs\n\nmore\n\n"] {
            round(section(), before);
        }
        let edit = Edit::new(PathBuf::from("x"), What::Section("new".to_owned()));
        let old = format!("a\n\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(
            edit.put_in(Some(&old)).unwrap(),
            format!("a\n\n{BEGIN}\nnew\n{END}\nb\n")
        );
        let open = format!("a\n{BEGIN}\nno end\n");
        assert_eq!(edit.take_out(&open).unwrap().as_deref(), Some(open.as_str()));
    }

    #[test]
    fn a_table_comes_and_goes_with_comments_kept() {
        let table = || {
            What::Toml(vec![TomlOp::Table(
                "mcp_servers".to_owned(),
                "wheelhouse".to_owned(),
                json!({"command": "w", "args": ["mcp"]}),
            )])
        };
        let before = "# mine\nmodel = \"x\" # why\n\n[mcp_servers.other]\ncommand = \"y\"\n";
        let after = round(table(), before);
        assert!(
            after.contains("[mcp_servers.wheelhouse]\ncommand = \"w\"\nargs = [\"mcp\"]\n"),
            "{after}"
        );
        round(table(), "");
        round(table(), "model = \"x\"\n");
        let edit = Edit::new(PathBuf::from("x"), table());
        assert!(edit.put_in(Some("mcp_servers = 3\n")).unwrap_err().contains("no table"));
        assert!(edit.put_in(Some("= broken")).is_err());
    }

    #[test]
    fn a_word_comes_into_a_list_and_goes() {
        let path = ["features", "code_mode", "names"].map(str::to_owned).to_vec();
        let word = || What::Toml(vec![TomlOp::Word(path.clone(), "mcp__w".to_owned())]);
        for (before, after) in [
            ("", "[features.code_mode]\nnames = [\"mcp__w\"]\n"),
            (
                "# mine\nmodel = \"x\"\n",
                "\n[features.code_mode]\nnames = [\"mcp__w\"]\n",
            ),
            (
                "[features]\nplugins = false # no\n",
                "plugins = false # no\n\n[features.code_mode]\n",
            ),
            (
                "[features.code_mode]\nnames = [\"a\"]\n",
                "names = [\"a\", \"mcp__w\"]\n",
            ),
            (
                "[features.code_mode]\nenabled = true\n",
                "enabled = true\nnames = [\"mcp__w\"]\n",
            ),
            (
                "features = { plugins = false }\n",
                "code_mode = { names = [\"mcp__w\"] } }\n",
            ),
        ] {
            let made = round(word(), before);
            assert!(made.contains(after), "{before:?}: {made}");
        }
        let edit = Edit::new(PathBuf::from("x"), word());
        // Codex takes a switch there too: it stays on.
        let switched = edit.put_in(Some("[features]\ncode_mode = true\n")).unwrap();
        assert_eq!(
            switched,
            "[features]\ncode_mode = { enabled = true, names = [\"mcp__w\"] }\n"
        );
        assert!(
            edit.put_in(Some("features = 3\n"))
                .unwrap_err()
                .contains("`features` is no table")
        );
        let list = "[features.code_mode]\nnames = \"a\"\n";
        assert!(edit.put_in(Some(list)).unwrap_err().contains("no list"));
    }

    #[test]
    fn members_and_elements_come_and_go_with_comments_and_order_kept() {
        let ops = || {
            What::Json(vec![
                Op::member(&["mcpServers", "wheelhouse"], json!({"command": "w", "args": ["mcp"]})),
                Op::element(&["hooks", "SessionStart"], json!({"hooks": [{"command": "w status"}]})),
            ])
        };
        for before in [
            "{\n  // theirs\n  \"z\": 1,\n  \"a\": [1, 2],\n  \"mcpServers\": {\n    \"other\": {}\n  }\n}\n",
            "{\n  \"hooks\": {\n    \"SessionStart\": [\n      {\"hooks\": []}\n    ]\n  }\n}",
            "{\n\t\"b\": {}\n}\n",
        ] {
            round(ops(), before);
        }
        let edit = Edit::new(PathBuf::from("x"), ops());
        let fresh = edit.put_in(None).unwrap();
        assert_eq!(edit.take_out(&fresh), Ok(None));
        assert!(
            edit.put_in(Some("{\"mcpServers\": []}"))
                .unwrap_err()
                .contains("mcpServers")
        );
        assert!(edit.put_in(Some("[]")).is_err());
        assert!(edit.put_in(Some("{\"a\": ")).is_err());
    }

    #[test]
    fn a_file_of_ours_that_was_changed_is_theirs() {
        let edit = Edit::new(PathBuf::from("x"), What::File("ours".to_owned()));
        assert_eq!(edit.take_out("ours"), Ok(None));
        assert_eq!(edit.take_out("theirs").unwrap().as_deref(), Some("theirs"));
    }
}
