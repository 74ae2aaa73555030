//! Edits of TOML: a table, or a word in a list, put in and taken out with everything else kept as it is.

use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

fn document(text: &str) -> Result<DocumentMut, String> {
    text.parse::<DocumentMut>().map_err(|error| error.message().to_owned())
}

/// The text with a table in it.
pub(super) fn with_table(text: &str, above: &str, name: &str, value: &Value) -> Result<String, String> {
    let mut document = document(text)?;
    let mut table = Table::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        table.insert(key, toml_edit::value(toml_value(value)));
    }
    let shown = |table: &Table| table.to_string().trim().to_owned();
    let known = document
        .get(above)
        .and_then(|above| above.get(name))
        .and_then(|known| known.as_table());
    if known.is_some_and(|known| shown(known) == shown(&table)) {
        return Ok(text.to_owned());
    }
    let parent = document.entry(above).or_insert_with(|| implicit(Table::new()));
    let Some(parent) = parent.as_table_like_mut() else {
        return Err(format!("`{above}` is no table"));
    };
    parent.insert(name, Item::Table(table));
    Ok(document.to_string())
}

/// The text without that table.
pub(super) fn without_table(text: &str, above: &str, name: &str) -> Result<String, String> {
    let mut document = document(text)?;
    let Some(parent) = document.get_mut(above).and_then(|above| above.as_table_like_mut()) else {
        return Ok(text.to_owned());
    };
    if parent.remove(name).is_none() {
        return Ok(text.to_owned());
    }
    if parent.is_empty() {
        document.remove(above);
    }
    Ok(document.to_string())
}

/// The text with a word in the list at a path of tables and the list's name.
pub(super) fn with_word(text: &str, path: &[String], word: &str) -> Result<String, String> {
    let mut document = document(text)?;
    let Some((name, above)) = path.split_last() else {
        return Ok(text.to_owned());
    };
    let list = list_in(document.as_table_mut(), false, above, name)?;
    if list.iter().any(|known| known.as_str() == Some(word)) {
        return Ok(text.to_owned());
    }
    list.push(word);
    Ok(document.to_string())
}

/// The list, made with the tables above it where they are not there. An inline table holds values alone.
fn list_in<'t>(
    table: &'t mut dyn TableLike,
    inline: bool,
    above: &[String],
    name: &str,
) -> Result<&'t mut Array, String> {
    let Some((first, rest)) = above.split_first() else {
        let list = table.entry(name).or_insert_with(|| toml_edit::value(Array::new()));
        return list.as_array_mut().ok_or_else(|| format!("`{name}` is no list"));
    };
    let item = table.entry(first).or_insert_with(|| match (inline, rest.is_empty()) {
        (true, _) => toml_edit::value(InlineTable::new()),
        (false, true) => Item::Table(Table::new()),
        (false, false) => implicit(Table::new()),
    });
    // Where a switch may stand in place of a table, as with features, it stays as it is set.
    if let Some(on) = item.as_bool() {
        let mut switched = InlineTable::new();
        switched.insert("enabled", on.into());
        *item = toml_edit::value(switched);
    }
    let inline = item.is_inline_table();
    let below = item.as_table_like_mut();
    list_in(
        below.ok_or_else(|| format!("`{first}` is no table"))?,
        inline,
        rest,
        name,
    )
}

/// The text without that word; lists and tables that were there for it alone go too.
pub(super) fn without_word(text: &str, path: &[String], word: &str) -> Result<String, String> {
    let mut document = document(text)?;
    match take_word(document.as_table_mut(), path, word) {
        true => Ok(document.to_string()),
        false => Ok(text.to_owned()),
    }
}

/// Whether the word was there.
fn take_word(table: &mut dyn TableLike, path: &[String], word: &str) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    let Some(item) = table.get_mut(first) else { return false };
    let (taken, empty) = match (rest.is_empty(), item.as_array_mut()) {
        (true, Some(list)) => {
            let before = list.len();
            let was_first = list.get(0).and_then(|first| first.as_str()) == Some(word);
            list.retain(|known| known.as_str() != Some(word));
            if was_first && let Some(first) = list.get_mut(0) {
                // It stood behind a space.
                first.decor_mut().set_prefix("");
            }
            (list.len() < before, list.is_empty())
        }
        (true, None) => (false, false),
        (false, _) => match item.as_table_like_mut() {
            Some(below) => (take_word(below, rest, word), below.is_empty()),
            None => (false, false),
        },
    };
    if taken && empty {
        table.remove(first);
    }
    taken
}

/// A table that is there for those below it and has no line of its own.
fn implicit(mut table: Table) -> Item {
    table.set_implicit(true);
    Item::Table(table)
}

fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::Array(list) => toml_edit::Value::Array(list.iter().map(toml_value).collect()),
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}
