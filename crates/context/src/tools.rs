//! Lazy tools: a model sees a search in place of every schema, and is given the schemas it asks for.
//!
//! [`Catalogue`] holds the tools of any number of servers, also of those that are not started (their manifest is
//! enough). [`Catalogue::find`] answers one need with a few tools: an exact name first, then BM25 over names,
//! descriptions, servers and parameters, fused with what earlier needs led to ([`Catalogue::learn`]). What is found is
//! appended to a conversation, never put into its tools prefix, so a prompt cache stays whole. Search for each step,
//! not once for a task: the need decides more than the index does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::receipt::{Layer, Receipt};
use crate::{count, schema, words};

/// A tool as its server describes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// The server it belongs to.
    #[serde(default)]
    pub server: String,
    /// Its name there.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments, whole.
    #[serde(default, alias = "inputSchema", alias = "input_schema")]
    pub schema: Value,
}

/// What somebody needs a tool for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Need<'a> {
    /// In words, or a tool's name.
    pub text: &'a str,
    /// Only tools of this server.
    pub server: Option<&'a str>,
    /// How many at the most.
    pub limit: usize,
}

/// A tool that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Found<'a> {
    /// The tool.
    pub tool: &'a Tool,
    /// How well it fits; only good for comparing within one search.
    pub score: f64,
    /// What it was found by.
    pub by: By,
}

/// What a tool was found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its name stands in the need.
    Name,
    /// Words of its description, parameters or server.
    Words,
    /// Earlier needs like this one led to it.
    Use,
}

/// How much of a tool is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// `server/name`.
    Name,
    /// One line: name, parameters, first sentence.
    Signature,
    /// Name, description and pruned schema.
    Full,
}

/// Whether a set of tools is shown whole or searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// All of them at once: few, or cheap for the window.
    All,
    /// A search in their place.
    Search,
}

/// So many tools are shown whole however long their schemas are.
pub const FEW_TOOLS: usize = 20;
/// Schemas that take no more than this share of the window, in hundredths, are shown whole.
pub const WINDOW_SHARE: u64 = 10;
/// How many tools one search gives at the most.
pub const FOUND_MAX: usize = 20;
/// The longest need that is looked at, in bytes; a pasted document is no need.
const NEED_MAX: usize = 4_000;
/// Needs kept for learning, over all tools; the oldest weights fade.
const LEARNED_MAX: u32 = 100_000;

/// How often a word counts by where it stands.
const NAME_WEIGHT: f64 = 3.0;
const SERVER_WEIGHT: f64 = 1.0;
const TEXT_WEIGHT: f64 = 1.0;
const PARAMETER_WEIGHT: f64 = 0.5;
/// BM25, the customary constants.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Reciprocal rank fusion. Ten rather than the customary sixty: the first places matter most, and measurements on code
/// retrieval agree.
const FUSION_K: f64 = 10.0;
/// How much more earlier use may count than words.
const USE_WEIGHT_MAX: f64 = 4.0;

/// Tools that can be searched.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    tools: Vec<Tool>,
    /// For each word the tools that have it, with its weighted count.
    postings: HashMap<String, Vec<(usize, f64)>>,
    lengths: Vec<f64>,
    average: f64,
    /// For each word of earlier needs, how often a tool came of it.
    learned: HashMap<String, BTreeMap<usize, f64>>,
    /// How many words of earlier needs led to each tool, and to all of them.
    learned_of: Vec<f64>,
    learned_words: f64,
    lessons: u32,
}

impl Catalogue {
    /// A catalogue of these tools, in this order.
    pub fn new(tools: Vec<Tool>) -> Catalogue {
        let mut catalogue = Catalogue {
            learned_of: vec![0.0; tools.len()],
            ..Catalogue::default()
        };
        for (place, tool) in tools.iter().enumerate() {
            let mut weights: HashMap<String, f64> = HashMap::new();
            let mut add = |text: &str, weight: f64| {
                for word in words::of(text) {
                    *weights.entry(word).or_default() += weight;
                }
            };
            add(&tool.name, NAME_WEIGHT);
            add(&tool.server, SERVER_WEIGHT);
            add(&tool.description, TEXT_WEIGHT);
            for (name, about) in parameters(&tool.schema) {
                add(&name, PARAMETER_WEIGHT * 2.0);
                add(&about, PARAMETER_WEIGHT);
            }
            catalogue.lengths.push(weights.values().sum());
            for (word, weight) in weights {
                catalogue.postings.entry(word).or_default().push((place, weight));
            }
        }
        catalogue.average = catalogue.lengths.iter().sum::<f64>() / (tools.len().max(1) as f64);
        catalogue.tools = tools;
        catalogue
    }

    /// All tools, in order.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// The tool of that name: `name`, `server.name`, `server__name` or `mcp__server__name`.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        let name = name.strip_prefix("mcp__").unwrap_or(name);
        self.tools
            .iter()
            .find(|tool| tool.name == name)
            .or_else(|| self.tools.iter().find(|tool| is_called(tool, name)))
    }

    /// The tools that fit a need, best first.
    pub fn find(&self, need: &Need<'_>) -> Vec<Found<'_>> {
        let text = &need.text[..need.text.floor_char_boundary(NEED_MAX)];
        let limit = need.limit.clamp(1, FOUND_MAX);
        let allowed = |place: &usize| need.server.is_none_or(|server| self.tools[*place].server == server);
        let names: BTreeSet<&str> = text
            .split(|c: char| c.is_whitespace() || ",;()`\"'".contains(c))
            .filter(|word| !word.is_empty())
            .collect();
        let called = |place: &usize| {
            let tool = &self.tools[*place];
            // A name of one common word in a sentence is a word; alone it is a name.
            let telling = tool.name.contains(['_', '-', '.']) || names.len() <= 2;
            names.iter().any(|name| {
                let name = name.strip_prefix("mcp__").unwrap_or(name);
                (telling && name == tool.name) || is_called(tool, name)
            })
        };
        let query = words::of(text);
        let by_words = ranked(self.by_words(&query));
        let by_use = ranked(self.by_use(&query));
        let mut fused: BTreeMap<usize, (f64, By)> = BTreeMap::new();
        for (list, by, weight) in [(&by_words, By::Words, 1.0), (&by_use, By::Use, self.use_weight())] {
            for (rank, (place, _)) in list.iter().enumerate() {
                let entry = fused.entry(*place).or_insert((0.0, by));
                entry.0 += weight / (FUSION_K + rank as f64 + 1.0);
            }
        }
        for place in (0..self.tools.len()).filter(called) {
            let entry = fused.entry(place).or_insert((0.0, By::Name));
            *entry = (entry.0 + 1.0, By::Name);
        }
        let mut found: Vec<(usize, (f64, By))> = fused.into_iter().filter(|(place, _)| allowed(place)).collect();
        found.sort_by(|(a, (x, _)), (b, (y, _))| y.total_cmp(x).then(a.cmp(b)));
        found.truncate(limit);
        let found = found.into_iter().map(|(place, (score, by))| Found {
            tool: &self.tools[place],
            score,
            by,
        });
        found.collect()
    }

    /// Remembers that this need was met by that tool, so that needs like it find it. Says whether there is such a tool.
    pub fn learn(&mut self, need: &str, tool: &str) -> bool {
        let Some(place) = self
            .tools
            .iter()
            .position(|own| own.name == tool || is_called(own, tool))
        else {
            return false;
        };
        if self.lessons >= LEARNED_MAX {
            return true;
        }
        self.lessons += 1;
        let words: BTreeSet<String> = words::of(&need[..need.floor_char_boundary(NEED_MAX)])
            .into_iter()
            .collect();
        self.learned_of[place] += words.len() as f64;
        self.learned_words += words.len() as f64;
        for word in words {
            *self.learned.entry(word).or_default().entry(place).or_default() += 1.0;
        }
        true
    }

    /// What it costs to show all schemas whole, in tokens.
    pub fn schema_tokens(&self) -> u64 {
        self.tools.iter().map(|tool| count::tokens(&whole(tool))).sum()
    }

    /// Whether to show them all or a search in their place, for a window of so many tokens.
    pub fn shown(&self, window: u64) -> Shown {
        let few = self.tools.len() <= FEW_TOOLS;
        if few || self.schema_tokens().saturating_mul(100) <= window.saturating_mul(WINDOW_SHARE) {
            Shown::All
        } else {
            Shown::Search
        }
    }

    /// The receipt of one search: what showing every tool would have cost, and what the answer does.
    pub fn receipt(&self, need: &Need<'_>, found: &[Found<'_>], detail: Detail) -> Receipt {
        let sent = found.iter().map(|one| count::tokens(&show(one.tool, detail))).sum();
        let would = self.schema_tokens();
        let others = self.tools.len() - found.len();
        Receipt::new(Layer::ToolDiscovery, need.text, would, sent).without(
            &format!("{others} tools"),
            "not asked for; found by another search",
            would.saturating_sub(sent),
        )
    }

    fn by_words(&self, query: &[String]) -> BTreeMap<usize, f64> {
        let total = self.tools.len() as f64;
        let mut scores = BTreeMap::new();
        for word in query.iter().collect::<BTreeSet<_>>() {
            let Some(postings) = self.postings.get(word) else {
                continue;
            };
            let known = postings.len() as f64;
            let idf = ((total - known + 0.5) / (known + 0.5)).ln_1p();
            for (place, weight) in postings {
                let length = self.lengths[*place] / self.average.max(1.0);
                let score = idf * weight * (K1 + 1.0) / (weight + K1 * (1.0 - B + B * length));
                *scores.entry(*place).or_default() += score;
            }
        }
        scores
    }

    /// How likely the need's words are among the needs that led to a tool: a language model of each tool's needs, mixed
    /// half and half with that of all (Jelinek and Mercer's smoothing; Zhai and Lafferty 2004).
    fn by_use(&self, query: &[String]) -> BTreeMap<usize, f64> {
        let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
        for word in query.iter().collect::<BTreeSet<_>>() {
            let Some(used) = self.learned.get(word) else { continue };
            let of_all = used.values().sum::<f64>() / self.learned_words;
            for (place, times) in used {
                let of_tool = times / self.learned_of[*place];
                *scores.entry(*place).or_default() += (of_tool / of_all).ln_1p();
            }
        }
        scores
    }

    /// How much earlier use counts beside words: the same at first, and more with what has been seen of each tool, for a
    /// description says less than a hundred needs do.
    fn use_weight(&self) -> f64 {
        let each = f64::from(self.lessons) / (self.tools.len().max(1) as f64);
        (1.0 + each.ln_1p()).min(USE_WEIGHT_MAX)
    }
}

/// A tool as a model is shown it.
pub fn show(tool: &Tool, detail: Detail) -> String {
    let name = full_name(tool);
    match detail {
        Detail::Name => name,
        Detail::Signature => {
            let required = schema::required(&tool.schema);
            let parameters: Vec<String> = parameters(&tool.schema)
                .into_iter()
                .map(|(name, _)| {
                    if required.contains(&name) {
                        name
                    } else {
                        format!("{name}?")
                    }
                })
                .collect();
            let about = schema::first_sentence(&tool.description, 160);
            format!("{name}({}) - {about}", parameters.join(", "))
        }
        Detail::Full => {
            let pruned = schema::prune(&tool.schema).to_string();
            format!("{name}: {}\n{pruned}", schema::first_sentence(&tool.description, 400))
        }
    }
}

fn full_name(tool: &Tool) -> String {
    if tool.server.is_empty() {
        tool.name.clone()
    } else {
        format!("{}/{}", tool.server, tool.name)
    }
}

fn whole(tool: &Tool) -> String {
    format!("{} {} {}", tool.name, tool.description, tool.schema)
}

fn is_called(tool: &Tool, name: &str) -> bool {
    ["__", ".", "/"].iter().any(|between| {
        name.strip_prefix(tool.server.as_str())
            .and_then(|rest| rest.strip_prefix(between))
            .is_some_and(|rest| rest == tool.name)
    })
}

fn parameters(schema: &Value) -> Vec<(String, String)> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let about = |value: &Value| {
        value
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    properties
        .iter()
        .map(|(name, value)| (name.clone(), about(value)))
        .collect()
}

fn ranked(scores: BTreeMap<usize, f64>) -> Vec<(usize, f64)> {
    let mut list: Vec<(usize, f64)> = scores.into_iter().collect();
    list.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    list.truncate(FOUND_MAX * 3);
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalogue() -> Catalogue {
        let tool = |server: &str, name: &str, description: &str| Tool {
            server: server.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            schema: json!({"type": "object", "properties": {"path": {"type": "string", "description": "the file"}},
                           "required": ["path"]}),
        };
        Catalogue::new(vec![
            tool(
                "fs",
                "read_file",
                "Reads a file and returns its text. More words follow here.",
            ),
            tool("fs", "write_file", "Writes text to a file"),
            tool("web", "search", "Searches the web for pages"),
            tool("git", "createPullRequest", "Opens a pull request on the forge"),
        ])
    }

    fn names(found: &[Found<'_>]) -> Vec<String> {
        found.iter().map(|one| one.tool.name.clone()).collect()
    }

    #[test]
    fn an_exact_name_comes_first_then_words() {
        let catalogue = catalogue();
        let find = |text| {
            let found = catalogue.find(&Need {
                text,
                server: None,
                limit: 2,
            });
            names(&found)
        };
        assert_eq!(find("write_file")[0], "write_file");
        assert_eq!(find("mcp__fs__read_file")[0], "read_file");
        assert_eq!(find("open pull requests")[0], "createPullRequest");
        assert_eq!(find("look something up: web page searching")[0], "search");
        assert!(find("entirely unrelated quux").is_empty());
    }

    #[test]
    fn a_server_can_be_asked_for() {
        let catalogue = catalogue();
        let found = catalogue.find(&Need {
            text: "search files",
            server: Some("fs"),
            limit: 9,
        });
        assert!(found.iter().all(|one| one.tool.server == "fs") && !found.is_empty());
    }

    #[test]
    fn what_was_used_before_is_found() {
        let mut catalogue = catalogue();
        assert!(catalogue.learn("ship my branch", "git.createPullRequest"));
        assert!(!catalogue.learn("ship my branch", "nothing"));
        let found = catalogue.find(&Need {
            text: "ship the branch",
            server: None,
            limit: 1,
        });
        assert_eq!((names(&found)[0].as_str(), found[0].by), ("createPullRequest", By::Use));
    }

    #[test]
    fn details_grow_and_the_receipt_says_so() {
        let catalogue = catalogue();
        let tool = catalogue.get("fs.read_file").unwrap();
        assert_eq!(show(tool, Detail::Name), "fs/read_file");
        assert_eq!(
            show(tool, Detail::Signature),
            "fs/read_file(path) - Reads a file and returns its text."
        );
        assert!(show(tool, Detail::Full).contains("\"required\":[\"path\"]"));
        let need = Need {
            text: "read a file",
            server: None,
            limit: 1,
        };
        let receipt = catalogue.receipt(&need, &catalogue.find(&need), Detail::Signature);
        assert!(receipt.sent_tokens < receipt.would_tokens / 3, "{receipt:?}");
        assert_eq!(catalogue.shown(200_000), Shown::All);
    }

    #[test]
    fn hostile_needs_are_bounded() {
        let catalogue = catalogue();
        let text = "🎉".repeat(1_000_000);
        assert!(
            catalogue
                .find(&Need {
                    text: &text,
                    server: None,
                    limit: usize::MAX
                })
                .is_empty()
        );
    }
}
