//! `workflow` and `skip_if` as they are written: the wire type, its schema, and how it is read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::problem::Place;
use super::tree::{Kind, Node};
use super::walk::{Fields, Walk};
use super::wire::{At, Duration};
use crate::analysis::{KINDS, Kind as Sort};
use crate::workflow::qc::Stakes;
use crate::workflow::{HANDFUL, OPEN_MAX, cascade, consensus, map};

/// Which workflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    Qc,
    Consensus,
    Cascade,
    Map,
    /// A map over agents: the same content to several validators.
    ParallelValidate,
}

const WHICH: [(&str, Which); 5] = [
    ("qc", Which::Qc),
    ("consensus", Which::Consensus),
    ("cascade", Which::Cascade),
    ("map", Which::Map),
    ("parallel_validate", Which::ParallelValidate),
];

const STAKES: [(&str, Stakes); 3] = [("low", Stakes::Low), ("normal", Stakes::Normal), ("high", Stakes::High)];

impl Which {
    pub(crate) fn name(self) -> &'static str {
        WHICH
            .iter()
            .find(|(_, which)| *which == self)
            .map_or("", |(name, _)| name)
    }

    /// The keys that mean something for it.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Which::Qc => &["reviewer", "reserve", "editor", "stakes", "deadline", "type", "enough"],
            Which::Consensus => &["seats", "reserve", "quorum", "veto", "rounds"],
            Which::Cascade => &["rungs", "strikes", "confidence"],
            Which::Map => &[
                "over",
                "agents",
                "reserve",
                "in_flight",
                "failures",
                "reduce",
                "reducer",
            ],
            Which::ParallelValidate => &[
                "agents",
                "reserve",
                "over",
                "in_flight",
                "failures",
                "reduce",
                "reducer",
            ],
        }
    }
}

/// What a task's `workflow` wishes for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) which: At<Which>,
    /// Every other key that was given.
    pub(crate) given: Vec<(&'static str, Place)>,
    pub(crate) reviewer: Option<At<String>>,
    pub(crate) editor: Option<At<String>>,
    pub(crate) stakes: Option<At<Stakes>>,
    pub(crate) deadline: Option<At<Duration>>,
    pub(crate) sort: Option<At<Sort>>,
    pub(crate) enough: Option<At<u32>>,
    pub(crate) seats: Vec<At<String>>,
    pub(crate) reserve: Vec<At<String>>,
    pub(crate) quorum: Option<At<u32>>,
    pub(crate) veto: Option<At<bool>>,
    pub(crate) rounds: Option<At<u32>>,
    pub(crate) rungs: Vec<At<String>>,
    pub(crate) strikes: Option<At<u32>>,
    pub(crate) confidence: Option<At<u32>>,
    pub(crate) over: Option<Over>,
    pub(crate) agents: Vec<At<String>>,
    pub(crate) in_flight: Option<At<u32>>,
    pub(crate) failures: Option<At<u32>>,
    pub(crate) reduce: Option<At<String>>,
    pub(crate) reducer: Option<At<String>>,
}

/// What a map is over: inputs that are written out, or the id of a task.
#[derive(Debug)]
pub(crate) enum Over {
    Items(Vec<At<String>>),
    Task(At<String>),
}

impl<'a> Walk<'a, '_, '_> {
    pub(super) fn workflow(&mut self, node: &'a Node) -> Option<Wish> {
        let mut fields = match &node.kind {
            Kind::Text(_) => {
                let which = self.choice(node, "workflow", &WHICH)?;
                return Some(Wish::plain(which));
            }
            Kind::Map(_) => Fields::of(self.tree, node)?,
            _ => {
                self.wrong(node, "workflow", "a word such as `qc`, or a map such as `{kind: qc}`");
                return None;
            }
        };
        let about = format!("{}: `workflow`", self.about);
        let outer = std::mem::replace(&mut self.about, about);
        let which = match fields.take("kind") {
            Some(kind) => self.choice(kind, "kind", &WHICH),
            None => {
                let message = format!("{} has no `kind`", self.about);
                let help = "write `workflow: qc`, or `workflow: {kind: qc, …}`";
                self.reporter.error("missing-key", node.at, "kind", message, help);
                None
            }
        };
        let wish = self.wishes(&mut fields, which);
        self.finish(fields);
        self.about = outer;
        wish
    }

    fn wishes(&mut self, fields: &mut Fields<'a>, which: Option<At<Which>>) -> Option<Wish> {
        let mut given = Vec::new();
        let mut take = |key: &'static str| {
            let node = fields.take(key)?;
            given.push((key, node.at));
            Some(node)
        };
        let number = |walk: &mut Self, node: Option<&'a Node>, key: &str, min: u32, max: u32| {
            let node = node?;
            let value = walk.integer(node, key, i64::from(min), i64::from(max))?;
            Some(At {
                value: u32::try_from(value).ok()?,
                at: node.at,
            })
        };
        let small = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        let reviewer = take("reviewer").and_then(|node| self.text(node, "reviewer"));
        let editor = take("editor").and_then(|node| self.text(node, "editor"));
        let stakes = take("stakes").and_then(|node| self.choice(node, "stakes", &STAKES));
        let deadline = take("deadline").and_then(|node| self.duration(node, "deadline"));
        let sorts = KINDS.map(|kind| (kind.name(), kind));
        let sort = take("type").and_then(|node| self.choice(node, "type", &sorts));
        let enough = number(self, take("enough"), "enough", 1, 10);
        let seats = take("seats").map(|node| self.texts(node, "seats")).unwrap_or_default();
        let reserve = take("reserve")
            .map(|node| self.texts(node, "reserve"))
            .unwrap_or_default();
        let quorum = number(self, take("quorum"), "quorum", 1, small(consensus::SEATS_MAX));
        let veto = take("veto").and_then(|node| self.boolean(node, "veto"));
        let rounds = number(self, take("rounds"), "rounds", 1, consensus::ROUNDS_MAX);
        let rungs = take("rungs").map(|node| self.texts(node, "rungs")).unwrap_or_default();
        let strikes = number(self, take("strikes"), "strikes", 1, cascade::STRIKES);
        let confidence = number(self, take("confidence"), "confidence", 0, 100);
        let over = take("over").and_then(|node| self.over(node));
        let agents = take("agents")
            .map(|node| self.texts(node, "agents"))
            .unwrap_or_default();
        let in_flight = number(self, take("in_flight"), "in_flight", 1, OPEN_MAX);
        let failures = number(self, take("failures"), "failures", 0, small(map::INPUTS_MAX));
        let reduce = take("reduce").and_then(|node| self.text(node, "reduce"));
        let reducer = take("reducer").and_then(|node| self.text(node, "reducer"));
        Some(Wish {
            which: which?,
            given,
            reviewer,
            editor,
            stakes,
            deadline,
            sort,
            enough,
            seats,
            reserve,
            quorum,
            veto,
            rounds,
            rungs,
            strikes,
            confidence,
            over,
            agents,
            in_flight,
            failures,
            reduce,
            reducer,
        })
    }

    fn over(&mut self, node: &'a Node) -> Option<Over> {
        match &node.kind {
            Kind::Text(text) => Some(Over::Task(At {
                value: text.clone(),
                at: node.at,
            })),
            Kind::List(items) => {
                let tree = self.tree;
                let items = items.iter().filter_map(|id| self.name(tree.node(*id), "over"));
                Some(Over::Items(items.collect()))
            }
            _ => {
                self.wrong(
                    node,
                    "over",
                    "a list of inputs, or the id of a task whose output lists them",
                );
                None
            }
        }
    }
}

impl Wish {
    fn plain(which: At<Which>) -> Wish {
        Wish {
            which,
            given: Vec::new(),
            reviewer: None,
            editor: None,
            stakes: None,
            deadline: None,
            sort: None,
            enough: None,
            seats: Vec::new(),
            reserve: Vec::new(),
            quorum: None,
            veto: None,
            rounds: None,
            rungs: Vec::new(),
            strikes: None,
            confidence: None,
            over: None,
            agents: Vec::new(),
            in_flight: None,
            failures: None,
            reduce: None,
            reducer: None,
        }
    }
}

impl JsonSchema for Wish {
    fn schema_name() -> Cow<'static, str> {
        "Workflow".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<&str> = WHICH.iter().map(|(word, _)| *word).collect();
        let sorts: Vec<&str> = KINDS.iter().map(|kind| kind.name()).collect();
        let duration = generator.subschema_for::<Duration>();
        let agents = json_schema!({"anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}},
        ]});
        json_schema!({
            "description": "The task is done by several: it is a small controller of child tasks.",
            "anyOf": [
                {"type": "string", "enum": kinds},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["kind"],
                    "properties": {
                        "kind": {"type": "string", "enum": kinds},
                        "reviewer": {"type": "string", "description": "qc: who cross-checks; another vendor than the author."},
                        "editor": {"type": "string", "description": "qc: who incorporates what was found."},
                        "stakes": {"type": "string", "enum": ["low", "normal", "high"], "description": "qc: what hangs on it."},
                        "deadline": {"allOf": [duration], "description": "qc: the time there is; below 30s nobody reviews."},
                        "type": {"type": "string", "enum": sorts, "description": "qc: what sort of work it is."},
                        "enough": {
                            "type": "integer", "minimum": 1, "maximum": 10,
                            "description": "qc: approved with such a score its remarks are not worked in.",
                        },
                        "seats": {"allOf": [agents], "description": "consensus: who votes."},
                        "reserve": {
                            "allOf": [agents],
                            "description": "qc, consensus, map: who is called in only when a grave finding is in its domain, or the others do not agree.",
                        },
                        "quorum": {
                            "type": "integer", "minimum": 1, "maximum": consensus::SEATS_MAX,
                            "description": "consensus: how many distinct vendors must approve.",
                        },
                        "veto": {"type": "boolean", "description": "consensus: whether one critical finding stops it."},
                        "rounds": {"type": "integer", "minimum": 1, "maximum": consensus::ROUNDS_MAX},
                        "rungs": {"allOf": [agents], "description": "cascade: who tries, the cheapest first."},
                        "strikes": {"type": "integer", "minimum": 1, "maximum": cascade::STRIKES},
                        "confidence": {
                            "type": "integer", "minimum": 0, "maximum": 100,
                            "description": "cascade: how sure a rung must be.",
                        },
                        "over": {
                            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}],
                            "description": "map: the inputs, or the id of a task whose output lists them.",
                        },
                        "agents": {"allOf": [agents], "description": "map: who does each input."},
                        "in_flight": {"type": "integer", "minimum": 1, "maximum": OPEN_MAX},
                        "failures": {"type": "integer", "minimum": 0, "description": "map: how many inputs may fail."},
                        "reduce": {"type": "string", "description": "map: words for who makes one of all; `{{ results }}`."},
                        "reducer": {"type": "string", "description": "map: who does that."},
                    },
                },
            ],
        })
    }
}

/// The most agents of a workflow that is not asked about.
pub(crate) const CREW_MAX: usize = HANDFUL;
