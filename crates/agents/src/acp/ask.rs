//! A request for permission, and the answer to it: an option is chosen by what it means, never by its place or name.

use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::agent::Reply;

use crate::decode::jsonl::Field;

/// How many options of one request are looked at.
const OPTIONS_MAX: usize = 32;

/// An open request for permission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The tool call it is about.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// What exactly.
    pub detail: String,
    options: Vec<Choice>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Choice {
    id: String,
    kind: String,
}

#[derive(Deserialize)]
struct ChoiceLine<'a> {
    #[serde(borrow, default, rename = "optionId")]
    id: Field<'a>,
    #[serde(borrow, default)]
    kind: Field<'a>,
}

impl Ask {
    pub(super) fn new(call: String, tool: String, detail: String, options: Field<'_>) -> Ask {
        let options = options.items().into_iter().take(OPTIONS_MAX).filter_map(|option| {
            let option = option.read::<ChoiceLine<'_>>()?;
            Some(Choice {
                id: option.id.string()?,
                kind: option.kind.string().unwrap_or_default(),
            })
        });
        Ask {
            options: options.collect(),
            call,
            tool,
            detail,
        }
    }

    /// The `result` that answers it. Leave is given once and never for longer: where that is not offered, it is
    /// withheld.
    pub fn answer(&self, reply: &Reply) -> Value {
        let wanted: &[&str] = match reply {
            Reply::Allow => &["allow_once"],
            // Only `Allow` allows.
            Reply::Deny(_) | Reply::Words(_) => &["reject_once", "reject_always"],
        };
        let chosen = wanted
            .iter()
            .find_map(|kind| self.options.iter().find(|option| option.kind == *kind));
        match chosen {
            Some(option) => json!({"outcome": {"outcome": "selected", "optionId": option.id}}),
            None => cancelled(),
        }
    }

    /// Whether leave can be given once.
    pub fn can_be_allowed(&self) -> bool {
        self.options.iter().any(|option| option.kind == "allow_once")
    }
}

/// The `result` for a request whose turn is over.
pub(super) fn cancelled() -> Value {
    json!({"outcome": {"outcome": "cancelled"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(options: &str) -> Ask {
        let options: Field<'_> = serde_json::from_str(options).unwrap();
        Ask::new("c".into(), "edit".into(), "a.txt".into(), options)
    }

    #[test]
    fn options_are_chosen_by_kind() {
        // Gemini's order: the widest leave stands first.
        let gemini = r#"[{"optionId":"proceed_always","kind":"allow_always"},{"optionId":"proceed_once","kind":"allow_once"},{"optionId":"cancel","kind":"reject_once"}]"#;
        for (options, reply, expected) in [
            (gemini, Reply::Allow, Some("proceed_once")),
            (gemini, Reply::Deny("no".into()), Some("cancel")),
            (gemini, Reply::Words("yes please".into()), Some("cancel")),
            (r#"[{"optionId":"always","kind":"allow_always"}]"#, Reply::Allow, None),
            (
                r#"[{"optionId":"never","kind":"reject_always"}]"#,
                Reply::Deny(String::new()),
                Some("never"),
            ),
            (
                r#"[{"optionId":"allow_once"},{"optionId":7,"kind":"allow_once"},3]"#,
                Reply::Allow,
                None,
            ),
            (r#"{"not":"a list"}"#, Reply::Allow, None),
        ] {
            let answer = ask(options).answer(&reply);
            assert_eq!(answer["outcome"]["optionId"].as_str(), expected, "{options} {reply:?}");
            let word = if expected.is_some() { "selected" } else { "cancelled" };
            assert_eq!(answer["outcome"]["outcome"], word);
        }
    }
}
