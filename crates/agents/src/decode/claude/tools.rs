//! Claude Code's own tools: which of them change things, and what a call is about.

use super::wire::Block;
use crate::decode::jsonl::Field;
use crate::decode::{DETAIL_MAX, NAMED_MAX, cut};

/// Whether a tool may change files or the world.
pub(super) fn changes_things(tool: &str) -> bool {
    is_edit(tool) || tool == "Bash" || tool.starts_with("mcp__")
}

pub(super) fn is_edit(tool: &str) -> bool {
    matches!(tool, "Write" | "Edit" | "MultiEdit" | "NotebookEdit")
}

pub(super) fn file_of(input: Field<'_>) -> Option<String> {
    let members = input.members();
    ["file_path", "notebook_path", "path"]
        .iter()
        .find_map(|name| members.get(*name)?.string())
}

/// The one member of a tool's input that says what it is about.
pub(super) fn input_detail(input: Field<'_>) -> String {
    let members = input.members();
    let told = [
        "file_path",
        "notebook_path",
        "path",
        "command",
        "url",
        "pattern",
        "query",
        "description",
        "prompt",
    ]
    .iter()
    .find_map(|name| members.get(*name)?.text());
    match told {
        Some(text) => cut(&text, DETAIL_MAX),
        None => cut(input.json().unwrap_or_default(), 300),
    }
}

pub(super) fn todo(input: Field<'_>) -> Vec<String> {
    let todos = input.members().get("todos").copied().unwrap_or_default().items();
    todos
        .into_iter()
        .take(NAMED_MAX)
        .filter_map(|todo| {
            let todo = todo.members();
            let mark = todo.get("status").and_then(|status| status.text()).unwrap_or_default();
            Some(format!("[{mark}] {}", cut(&todo.get("content")?.text()?, 300)))
        })
        .collect()
}

/// The text of a tool's result: a string or a list of blocks.
pub(super) fn content_text(content: Field<'_>) -> String {
    if let Some(text) = content.text() {
        return text.into_owned();
    }
    content
        .items()
        .into_iter()
        .filter_map(|block| block.read::<Block<'_>>()?.text.string())
        .collect::<Vec<_>>()
        .join("\n")
}
