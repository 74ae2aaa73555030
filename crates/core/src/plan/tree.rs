//! A YAML or JSON text as a tree in which every value knows its place.
//!
//! The readers of the formats walk it by hand, so that one wrong value does not hide the next. Parsing never recurses:
//! depth is limited ([`DEPTH_MAX`]), aliases are shared nodes whose expansion is weighed ([`EXPANDED_MAX`]), and a key
//! given twice is reported here once for everybody.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span};
use serde_json::Value;

use super::problem::{Place, Reporter, shortened};

/// How deep brackets and indentation may nest. Plans need five.
pub const DEPTH_MAX: usize = 64;
/// What a plan may come to with its aliases written out, in bytes and values.
pub const EXPANDED_MAX: u64 = 256 << 20;

/// A place in [`Tree::nodes`].
pub(crate) type NodeId = usize;

/// A parsed text.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

/// A value and its place.
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) kind: Kind,
    weight: u64,
}

/// A value.
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    Text(String),
    List(Vec<NodeId>),
    Map(Vec<Entry>),
}

/// A key of a map.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) value: NodeId,
}

impl Kind {
    /// The type, in words for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a yes-or-no value",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value as one line for messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Kind::Null => "null".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(text) | Kind::Text(text) => shortened(text),
            Kind::List(items) => format!("[{} items]", items.len()),
            Kind::Map(entries) => format!("{{{} keys}}", entries.len()),
        }
    }
}

impl Tree {
    pub(crate) fn root(&self) -> &Node {
        &self.nodes[self.root]
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The value as JSON; none when it is heavier than that. Nesting is limited ([`DEPTH_MAX`] a value, aliases weighed).
    pub(crate) fn json(&self, node: &Node, weight_max: u64) -> Option<Value> {
        (node.weight <= weight_max).then(|| self.to_json(node))
    }

    fn to_json(&self, node: &Node) -> Value {
        match &node.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            // What YAML takes for a number and JSON does not (`+1`, `.5`) is a number all the same.
            Kind::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| {
                let number = text.parse().ok().and_then(serde_json::Number::from_f64);
                number.map_or_else(|| Value::String(text.clone()), Value::Number)
            }),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(|id| self.to_json(self.node(*id))).collect(),
            Kind::Map(entries) => {
                let pairs = entries.iter();
                Value::Object(
                    pairs
                        .map(|entry| (entry.key.clone(), self.to_json(self.node(entry.value))))
                        .collect(),
                )
            }
        }
    }

    /// Where a value stands below a node: its key, or itself in a list; as far as the path leads.
    pub(crate) fn spot(&self, node: &Node, path: &[String]) -> Place {
        let (mut node, mut at) = (node, node.at);
        for name in path {
            let next = match &node.kind {
                Kind::Map(entries) => {
                    let entry = entries.iter().find(|entry| entry.key == *name);
                    entry.map(|entry| (entry.value, entry.at))
                }
                Kind::List(items) => {
                    let item = name.parse::<usize>().ok().and_then(|place| items.get(place));
                    item.map(|id| (*id, self.node(*id).at))
                }
                Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
            };
            let Some((id, place)) = next else { break };
            (node, at) = (self.node(id), place);
        }
        at
    }
}

/// Builds a tree from the events of a parser, YAML's or JSON's.
pub(crate) struct Builder<'r, 'n> {
    nodes: Vec<Node>,
    open: Vec<Open>,
    root: Option<NodeId>,
    reporter: &'r mut Reporter<'n>,
}

struct Open {
    at: Place,
    weight: u64,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<NodeId>),
    Map {
        entries: Vec<Entry>,
        known: HashSet<String>,
        /// The key whose value comes next; none inside when the key cannot be used.
        key: Option<Option<(String, Place)>>,
    },
}

impl<'r, 'n> Builder<'r, 'n> {
    pub(crate) fn new(reporter: &'r mut Reporter<'n>) -> Builder<'r, 'n> {
        Builder {
            nodes: Vec::new(),
            open: Vec::new(),
            root: None,
            reporter,
        }
    }

    /// Adds a scalar and gives its node, or none when it was a key.
    pub(crate) fn scalar(&mut self, at: Place, kind: Kind) -> Option<NodeId> {
        if self.wants_key() {
            let key = match kind {
                Kind::Text(text) | Kind::Number(text) => Some(text),
                Kind::Bool(value) => Some(value.to_string()),
                Kind::Null | Kind::List(_) | Kind::Map(_) => None,
            };
            self.key(at, key);
            return None;
        }
        let weight = match &kind {
            Kind::Text(text) | Kind::Number(text) => 8 + text.len() as u64,
            Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => 8,
        };
        Some(self.value(Node { at, kind, weight }))
    }

    /// Opens a list or map; false when that is too deep.
    pub(crate) fn open(&mut self, at: Place, map: bool, anchor: usize) -> bool {
        if self.wants_key() {
            self.key(at, None);
            // The key itself is dropped, but its parts must go somewhere: a list nobody reads.
            self.open.push(Open {
                at,
                weight: 0,
                anchor: usize::MAX,
                content: content(map),
            });
            return self.open.len() <= DEPTH_MAX;
        }
        self.open.push(Open {
            at,
            weight: 8,
            anchor,
            content: content(map),
        });
        self.open.len() <= DEPTH_MAX
    }

    /// Closes the innermost list or map and gives its node and anchor.
    pub(crate) fn close(&mut self) -> Option<(NodeId, usize)> {
        let Open {
            at,
            weight,
            anchor,
            content,
        } = self.open.pop()?;
        if anchor == usize::MAX {
            return None;
        }
        let kind = match content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        Some((self.value(Node { at, kind, weight }), anchor))
    }

    /// Uses a node a second time.
    pub(crate) fn alias(&mut self, at: Place, target: Option<NodeId>) {
        let Some(target) = target else {
            let message = "an alias cannot stand inside the value it names".to_owned();
            self.reporter.error("syntax", at, "", message, "write the value out");
            self.scalar(at, Kind::Null);
            return;
        };
        if self.wants_key() {
            let key = match &self.nodes[target].kind {
                Kind::Text(text) | Kind::Number(text) => Some(text.clone()),
                Kind::Bool(_) | Kind::Null | Kind::List(_) | Kind::Map(_) => None,
            };
            self.key(at, key);
            return;
        }
        let weight = self.nodes[target].weight;
        self.attach(target, weight);
    }

    /// The finished tree; none for a text without a value.
    pub(crate) fn finish(self) -> Option<Tree> {
        let root = self.root?;
        if self.nodes[root].weight > EXPANDED_MAX {
            let message = format!("with its aliases written out the plan is larger than {EXPANDED_MAX} bytes");
            let at = self.nodes[root].at;
            self.reporter.error("too-large", at, "", message, "use fewer aliases");
            return None;
        }
        Some(Tree {
            nodes: self.nodes,
            root,
        })
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Map { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, at: Place, text: Option<String>) {
        let Some(Open {
            content: Content::Map { known, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        let Some(text) = text else {
            *key = Some(None);
            let message = "a key must be text".to_owned();
            self.reporter.error("wrong-type", at, "", message, "write `key: value`");
            return;
        };
        if known.insert(text.clone()) {
            *key = Some(Some((text, at)));
            return;
        }
        *key = Some(None);
        let message = format!("the key `{}` is given twice", shortened(&text));
        self.reporter
            .error("duplicate-key", at, &text, message, "keep one of them");
    }

    fn value(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len();
        let weight = node.weight;
        self.nodes.push(node);
        self.attach(id, weight);
        id
    }

    fn attach(&mut self, id: NodeId, weight: u64) {
        let Some(parent) = self.open.last_mut() else {
            self.root.get_or_insert(id);
            return;
        };
        parent.weight = parent.weight.saturating_add(weight);
        match &mut parent.content {
            Content::List(items) => items.push(id),
            Content::Map { entries, key, .. } => {
                if let Some(Some((key, at))) = key.take() {
                    parent.weight = parent.weight.saturating_add(key.len() as u64);
                    entries.push(Entry { key, at, value: id });
                }
            }
        }
    }
}

fn content(map: bool) -> Content {
    if map {
        Content::Map {
            entries: Vec::new(),
            known: HashSet::new(),
            key: None,
        }
    } else {
        Content::List(Vec::new())
    }
}

/// Parses YAML. Without a tree the reasons are with the reporter.
pub(crate) fn yaml(text: &str, reporter: &mut Reporter) -> Option<Tree> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = DEPTH_MAX;
    options.flow_nesting_limit = DEPTH_MAX;
    let mut anchors: HashMap<usize, NodeId> = HashMap::new();
    let mut builder = Builder::new(reporter);
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match event {
            Ok(parsed) => parsed,
            Err(error) => {
                syntax(builder.reporter, &error);
                return None;
            }
        };
        let at = place(&span);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    let message = "a second document begins here; a plan is one document".to_owned();
                    builder
                        .reporter
                        .error("syntax", at, "---", message, "put each plan into a file of its own");
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let as_text = tag.as_deref().is_some_and(|tag| tag.suffix() == "str");
                let kind = match style {
                    ScalarStyle::Plain if !as_text => plain(&text),
                    _ => Kind::Text(text.into_owned()),
                };
                if let (Some(id), true) = (builder.scalar(at, kind), anchor > 0) {
                    anchors.insert(anchor, id);
                }
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                let map = matches!(event, Event::MappingStart(..));
                if !builder.open(at, map, anchor) {
                    too_deep(builder.reporter, at);
                    return None;
                }
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((id, anchor)) = builder.close()
                    && anchor > 0
                {
                    anchors.insert(anchor, id);
                }
            }
            Event::Alias(anchor) => {
                let target = anchors.get(&anchor).copied();
                builder.alias(at, target);
            }
            // Ends, and kinds of events that were not asked for.
            _ => {}
        }
    }
    builder.finish()
}

/// Reports nesting beyond the limit.
pub(crate) fn too_deep(reporter: &mut Reporter, at: Place) {
    let message = format!("nested deeper than {DEPTH_MAX} levels");
    reporter.error(
        "too-deep",
        at,
        "",
        message,
        "a plan is a list of tasks; it needs five levels",
    );
}

fn syntax(reporter: &mut Reporter, error: &ScanError) {
    let mark = error.marker();
    let at = Place {
        line: number(mark.line()),
        column: number(mark.col() + 1),
        ..Place::default()
    };
    let info = error.info();
    let help = if info.contains("nesting") || info.contains("limit") {
        "a plan is a list of tasks; it needs five levels"
    } else if info.contains("bracket") {
        "close each `[` by `]` and each `{` by `}`; text with brackets goes into quotes"
    } else {
        "text with `: `, ` #`, or a leading `{`, `[`, `*`, `&`, `!`, `%`, `@` or quote goes into quotes or below `|`; \
         indent with spaces"
    };
    reporter.error("syntax", at, "", format!("this is not YAML: {info}"), help);
}

fn place(span: &Span) -> Place {
    let byte = |mark: &granit_parser::Marker| number(mark.byte_offset().unwrap_or_default());
    Place {
        line: number(span.start.line()),
        column: number(span.start.col() + 1),
        start: byte(&span.start),
        end: byte(&span.end),
    }
}

/// A number of the parser as one of ours; sources are limited far below the edge.
pub(crate) fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A plain scalar by the YAML 1.2 core schema.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_number(text) => Kind::Number(text.to_owned()),
        _ => Kind::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|part| !part.is_empty() && digits(part))
}
