//! `gate` as it is written: the wire type, its schema, and how it is read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::problem::Place;
use super::tree::{Kind, Node};
use super::walk::{Fields, Walk};
use super::wire::At;
use crate::workflow::gate::SCORE_MAX;

/// What decides about an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// Somebody else reads it and gives a verdict.
    Review,
    /// It is a verdict itself.
    Verdict,
}

const BY: [(&str, By); 2] = [("review", By::Review), ("verdict", By::Verdict)];

/// What a task's `gate` wishes for.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) by: By,
    /// Who may judge; chosen when nobody is named.
    pub(crate) reviewers: Vec<At<String>>,
    /// The least score that passes.
    pub(crate) score: Option<u8>,
    pub(crate) at: Place,
}

impl<'a> Walk<'a, '_, '_> {
    pub(super) fn gate(&mut self, node: &'a Node) -> Option<Gated> {
        let mut fields = match &node.kind {
            Kind::Text(_) => {
                let by = self.choice(node, "gate", &BY)?.value;
                return Some(Gated {
                    by,
                    reviewers: Vec::new(),
                    score: None,
                    at: node.at,
                });
            }
            Kind::Map(_) => Fields::of(self.tree, node)?,
            _ => {
                self.wrong(
                    node,
                    "gate",
                    "`review`, `verdict`, or a map such as `{reviewer: AGENT, score: 7}`",
                );
                return None;
            }
        };
        let about = format!("{}: `gate`", self.about);
        let outer = std::mem::replace(&mut self.about, about);
        let reviewers = fields.take("reviewer").map(|node| self.texts(node, "reviewer"));
        let score = fields.take("score");
        let score = score.and_then(|node| self.integer(node, "score", 1, i64::from(SCORE_MAX)));
        self.finish(fields);
        self.about = outer;
        Some(Gated {
            by: By::Review,
            reviewers: reviewers.unwrap_or_default(),
            score: score.and_then(|score| u8::try_from(score).ok()),
            at: node.at,
        })
    }
}

impl JsonSchema for Gated {
    fn schema_name() -> Cow<'static, str> {
        "Gate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = BY.iter().map(|(word, _)| *word).collect();
        json_schema!({
            "description": "What an answer must pass to count.",
            "anyOf": [
                {"type": "string", "enum": words},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "reviewer": {
                            "description": "Who judges: of each answer the first who is of another vendor than its author.",
                            "anyOf": [
                                {"type": "string", "minLength": 1},
                                {"type": "array", "items": {"type": "string", "minLength": 1}},
                            ],
                        },
                        "score": {
                            "type": "integer", "minimum": 1, "maximum": SCORE_MAX,
                            "description": "The least score of the judge that passes.",
                        },
                    },
                },
            ],
        })
    }
}
