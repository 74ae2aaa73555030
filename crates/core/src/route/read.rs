//! Reads a routing file: rules, chains, agents with roles and tools, and additions to the roster.
//!
//! `routing_rules`, `fallback_chains` and `agents` are read as the orchestration guide writes them. Every problem is
//! reported with its place, unknown keys with the nearest known one. What the file *means* is decided elsewhere.

use super::billing::Demand;
use crate::analysis::Kind;
use crate::chain::{Chain, LINKS_MAX, Named, RETRIES_READ_MAX};
use crate::day::Day;
use crate::plan::problem::{Problem, Problems, Reporter, shortened};
use crate::plan::tree::{self, Kind as Node, Node as TreeNode, Tree};
use crate::plan::walk::{Fields, Walk, listed};
use crate::price::Billing;
use crate::roster::{Entry, Role, Speed};

/// How large a routing file may be, in bytes.
pub const BYTES_MAX: usize = 1 << 20;
/// How often in a hundred an adequate but little tried candidate is chosen, where a file does not say.
pub const EXPLORE_PERCENT: u8 = 5;
/// How many past tasks must speak before they are heard, where a file does not say.
pub const SAMPLES_MIN: u32 = 5;

/// A rule of the user's: tasks like these go to those models.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Models or agents, first choice first.
    pub models: Vec<String>,
    /// What tasks it is for, in words.
    pub triggers: Vec<String>,
}

/// An agent of the file: a model in a role, with the tools it may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleAgent {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Its role, in words for the model.
    pub role: Option<String>,
    /// What it may do. Absent: nothing is said about it.
    pub tools: Option<Vec<String>>,
}

impl RoleAgent {
    /// Whether it may decide what others do: the tool is there, or no tools are listed.
    pub fn may_plan(&self) -> bool {
        let tools = self.tools.as_ref();
        tools.is_none_or(|tools| tools.iter().any(|tool| tool == "spawn_agent"))
    }
}

/// Whether what was learned is acted on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is only written down what it would have chosen.
    Shadow,
}

/// What a routing file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routing {
    /// The day of its data.
    pub as_of: Option<Day>,
    /// Additions to the roster.
    pub roster: Vec<Entry>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The chains.
    pub chains: Vec<Chain>,
    /// The agents.
    pub agents: Vec<RoleAgent>,
    /// Only these models and agents may be chosen; empty: any.
    pub allow: Vec<String>,
    /// These may not.
    pub deny: Vec<String>,
    /// What is said of how tasks are used, for how they are paid for.
    pub demand: Demand,
    /// Whether what was learned is acted on.
    pub mode: Mode,
    /// How often in a hundred a little tried candidate is chosen.
    pub explore_percent: Option<u8>,
    /// How many past tasks must speak.
    pub samples_min: Option<u32>,
}

/// Reads a file: what it says and what is worth knowing about it, or all that is wrong with it.
pub fn routing(name: &str, text: &str) -> Result<(Routing, Vec<Problem>), Problems> {
    let mut reporter = Reporter::new(name);
    let routing = read(text, &mut reporter);
    let refused = reporter.has_errors();
    let problems = reporter.finish();
    match routing {
        Some(routing) if !refused => Ok((routing, problems)),
        Some(_) | None if refused => Err(Problems(problems)),
        Some(_) | None => Ok((Routing::default(), problems)),
    }
}

fn read(text: &str, reporter: &mut Reporter<'_>) -> Option<Routing> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes; the limit is {BYTES_MAX}", text.len());
        let nowhere = crate::plan::walk::nowhere();
        reporter.error("too-large", nowhere, "", message, "keep rules and roster only");
        return None;
    }
    if text.trim().is_empty() {
        return None;
    }
    let tree = tree::yaml(text, reporter)?;
    let mut reading = Reading {
        walk: Walk {
            tree: &tree,
            reporter,
            lenient: false,
            about: "the routing file".to_owned(),
        },
        tree: &tree,
    };
    reading.file()
}

struct Reading<'a, 'r, 'n> {
    walk: Walk<'a, 'r, 'n>,
    tree: &'a Tree,
}

impl<'a> Reading<'a, '_, '_> {
    fn file(&mut self) -> Option<Routing> {
        let root = self.tree.root();
        let Some(mut fields) = Fields::of(self.tree, root) else {
            self.walk.wrong(root, "the file", "a map such as `routing_rules:`");
            return None;
        };
        let mut routing = Routing::default();
        if let Some(node) = fields.take("as_of") {
            routing.as_of = self.day(node, "as_of");
        }
        if let Some(node) = fields.take("routing_rules") {
            routing.rules = self.named(node, "routing_rules", Self::rule);
        }
        if let Some(node) = fields.take("fallback_chains") {
            routing.chains = self.named(node, "fallback_chains", Self::chain);
        }
        if let Some(node) = fields.take("agents") {
            routing.agents = self.named(node, "agents", Self::agent);
        }
        if let Some(node) = fields.take("roster") {
            routing.roster = self.list(node, "roster", Self::entry);
        }
        if let Some(node) = fields.take("allow") {
            routing.allow = self.words(node, "allow");
        }
        if let Some(node) = fields.take("deny") {
            routing.deny = self.words(node, "deny");
        }
        if let Some(node) = fields.take("work") {
            let uses = [("interactive", true), ("batch", false)];
            let interactive = self.one_of(node, "work", &uses);
            routing.demand.interactive = interactive == Some(true);
            routing.demand.batch = interactive == Some(false);
        }
        if let Some(node) = fields.take("calls_per_day") {
            routing.demand.calls_per_day = self.count(node, "calls_per_day", 1, 1_000_000_000).unwrap_or_default();
        }
        if let Some(node) = fields.take("mode") {
            let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
            routing.mode = self.one_of(node, "mode", &modes).unwrap_or_default();
        }
        if let Some(node) = fields.take("explore_percent") {
            routing.explore_percent = self.count(node, "explore_percent", 0, 50);
        }
        if let Some(node) = fields.take("samples_min") {
            routing.samples_min = self.count(node, "samples_min", 1, 10_000);
        }
        self.walk.about = "the routing file".to_owned();
        self.walk.finish(fields);
        Some(routing)
    }

    /// A map from names to things.
    fn named<T>(
        &mut self,
        node: &'a TreeNode,
        key: &str,
        read: fn(&mut Self, &str, &'a TreeNode) -> Option<T>,
    ) -> Vec<T> {
        let Node::Map(entries) = &node.kind else {
            self.walk.wrong(node, key, "a map of names");
            return Vec::new();
        };
        let mut things = Vec::with_capacity(entries.len());
        for entry in entries {
            self.walk.about = format!("`{key}.{}`", shortened(&entry.key));
            things.extend(read(self, &entry.key, self.tree.node(entry.value)));
        }
        things
    }

    fn list<T>(&mut self, node: &'a TreeNode, key: &str, read: fn(&mut Self, &'a TreeNode) -> Option<T>) -> Vec<T> {
        let Node::List(items) = &node.kind else {
            self.walk.wrong(node, key, "a list");
            return Vec::new();
        };
        let mut things = Vec::with_capacity(items.len());
        for item in items {
            things.extend(read(self, self.tree.node(*item)));
        }
        things
    }

    fn rule(&mut self, name: &str, node: &'a TreeNode) -> Option<Rule> {
        let mut fields = self.fields(node)?;
        let models = fields.take("models");
        let models = self.some_words(node, models, "models");
        let triggers = fields.take("triggers");
        let triggers = self.some_words(node, triggers, "triggers");
        self.walk.finish(fields);
        Some(Rule {
            name: name.to_owned(),
            models: models?,
            triggers: triggers?,
        })
    }

    fn chain(&mut self, name: &str, node: &'a TreeNode) -> Option<Chain> {
        let about = self.walk.about.clone();
        let entries = self.list(node, name, Self::chain_entry);
        self.walk.about = about;
        if entries.len() > LINKS_MAX {
            let message = format!(
                "{} has {} entries; the limit is {LINKS_MAX}",
                self.walk.about,
                entries.len()
            );
            let help = "a chain this long hides a decision; make two of it";
            self.walk.reporter.error("too-large", node.at, name, message, help);
            return None;
        }
        if entries.is_empty() {
            let message = format!("{} has no entries", self.walk.about);
            let help = "write `- model: NAME`, and `timeout` and `retry` if you like";
            self.walk.reporter.error("empty-text", node.at, name, message, help);
            return None;
        }
        Some(Chain {
            name: name.to_owned(),
            links: entries,
        })
    }

    fn chain_entry(&mut self, node: &'a TreeNode) -> Option<Named> {
        let mut fields = self.fields(node)?;
        let name = fields.take("model").or_else(|| fields.take("agent"));
        let Some(name) = name else {
            let message = format!("{}: an entry names no model", self.walk.about);
            let help = "write `model: NAME`, or `agent: NAME`";
            self.walk.reporter.error("missing-key", node.at, "model", message, help);
            return None;
        };
        let name = self.walk.text(name, "model")?.value;
        let timeout = fields
            .take("timeout")
            .and_then(|node| self.walk.duration(node, "timeout"));
        let retry = fields
            .take("retry")
            .and_then(|node| self.count(node, "retry", 0, u64::from(RETRIES_READ_MAX)));
        self.walk.finish(fields);
        Some(Named {
            name,
            timeout_ms: timeout.map(|timeout| timeout.value.ms),
            retry: retry.unwrap_or(0),
        })
    }

    fn agent(&mut self, name: &str, node: &'a TreeNode) -> Option<RoleAgent> {
        let mut fields = self.fields(node)?;
        let model = fields.take("model").and_then(|node| self.walk.text(node, "model"));
        let role = fields.take("role").and_then(|node| self.walk.text(node, "role"));
        let tools = fields.take("tools").map(|node| self.words(node, "tools"));
        self.walk.finish(fields);
        let Some(model) = model else {
            let message = format!("{} names no model", self.walk.about);
            self.walk
                .reporter
                .error("missing-key", node.at, "model", message, "write `model: NAME`");
            return None;
        };
        Some(RoleAgent {
            name: name.to_owned(),
            model: model.value,
            role: role.map(|role| role.value),
            tools,
        })
    }

    fn entry(&mut self, node: &'a TreeNode) -> Option<Entry> {
        self.walk.about = format!("the roster entry on line {}", node.at.line);
        let mut fields = self.fields(node)?;
        let text = |reading: &mut Self, fields: &mut Fields<'a>, key: &'static str| {
            let node = fields.take(key)?;
            reading.walk.text(node, key).map(|text| text.value)
        };
        let name = text(self, &mut fields, "name");
        let mut entry = Entry::unknown(name.as_deref().unwrap_or_default());
        entry.model = text(self, &mut fields, "model");
        entry.effort = text(self, &mut fields, "effort");
        if let Some(vendor) = text(self, &mut fields, "vendor") {
            entry.vendor = vendor;
        }
        if let Some(node) = fields.take("role") {
            let roles = Role::ALL.map(|role| (role.name(), role));
            entry.role = self.one_of(node, "role", &roles).unwrap_or(entry.role);
        }
        if let Some(node) = fields.take("strengths") {
            entry.strengths = self.strengths(node);
        }
        if let Some(node) = fields.take("cost_tier") {
            entry.cost_tier = self.count(node, "cost_tier", 1, 5).unwrap_or(entry.cost_tier);
        }
        if let Some(node) = fields.take("speed") {
            entry.speed = self.one_of(node, "speed", &Speed::NAMED).unwrap_or(entry.speed);
        }
        if let Some(node) = fields.take("window") {
            let window = self.count(node, "window", 1_000, 100_000_000);
            entry.window_tokens = window.unwrap_or(entry.window_tokens);
        }
        if let Some(node) = fields.take("billing") {
            let all = [Billing::Reported, Billing::Api, Billing::Subscription, Billing::Free];
            let billings = all.map(|billing| (billing.name(), billing));
            entry.billing = self.one_of(node, "billing", &billings).unwrap_or(entry.billing);
        }
        if let Some(node) = fields.take("retired_on") {
            entry.retired_on = self.day(node, "retired_on");
        }
        self.walk.finish(fields);
        if name.is_none() {
            let message = format!("{} has no name", self.walk.about);
            self.walk
                .reporter
                .error("missing-key", node.at, "name", message, "write `name: NAME`");
            return None;
        }
        Some(entry)
    }

    fn strengths(&mut self, node: &'a TreeNode) -> Vec<(Kind, u8)> {
        let Node::Map(entries) = &node.kind else {
            self.walk
                .wrong(node, "strengths", "a map such as `{implementation: 90}`");
            return Vec::new();
        };
        let mut strengths = Vec::new();
        for entry in entries {
            let Some(kind) = Kind::named(&entry.key) else {
                let names = crate::analysis::KINDS.map(Kind::name);
                let message = format!("`strengths` has no type of work `{}`", shortened(&entry.key));
                let help = format!("there are {}", listed(names.into_iter()));
                let known = names.into_iter();
                self.walk
                    .reporter
                    .unknown("unknown-key", entry.at, &entry.key, message, known, help);
                continue;
            };
            let strength = self.count(self.tree.node(entry.value), "strengths", 0, 100);
            strengths.extend(strength.map(|strength| (kind, strength)));
        }
        strengths
    }

    fn fields(&mut self, node: &'a TreeNode) -> Option<Fields<'a>> {
        let fields = Fields::of(self.tree, node);
        if fields.is_none() {
            let about = self.walk.about.clone();
            self.walk.wrong(node, &about, "a map");
        }
        fields
    }

    fn day(&mut self, node: &'a TreeNode, key: &str) -> Option<Day> {
        let day = match &node.kind {
            Node::Text(text) | Node::Number(text) => text.parse().ok(),
            _ => None,
        };
        if day.is_none() {
            self.walk.wrong(node, key, "a day such as `2026-11-20`");
        }
        day
    }

    fn words(&mut self, node: &'a TreeNode, key: &str) -> Vec<String> {
        let words = self.walk.texts(node, key).into_iter();
        words
            .map(|word| word.value)
            .filter(|word| !word.trim().is_empty())
            .collect()
    }

    fn some_words(&mut self, whole: &'a TreeNode, node: Option<&'a TreeNode>, key: &str) -> Option<Vec<String>> {
        let words = node.map(|node| self.words(node, key)).unwrap_or_default();
        if !words.is_empty() {
            return Some(words);
        }
        let at = node.map_or(whole.at, |node| node.at);
        let message = format!("{} has no `{key}`", self.walk.about);
        let help = format!("write `{key}:` and at least one below it");
        self.walk.reporter.error("missing-key", at, key, message, help);
        None
    }

    fn count<T: TryFrom<u64>>(&mut self, node: &'a TreeNode, key: &str, min: u64, max: u64) -> Option<T> {
        let number = match &node.kind {
            Node::Number(text) => text.replace('_', "").parse::<u64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.walk
                .wrong(node, key, &format!("a whole number from {min} to {max}"));
        }
        number.and_then(|number| T::try_from(number).ok())
    }

    fn one_of<T: Copy>(&mut self, node: &'a TreeNode, key: &str, known: &[(&'static str, T)]) -> Option<T> {
        let text = self.walk.text(node, key)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text.value) {
            return Some(*value);
        }
        let names = || known.iter().map(|(name, _)| *name);
        let message = format!("{}: `{key}` cannot be `{}`", self.walk.about, shortened(&text.value));
        let help = format!("it is one of {}", listed(names()));
        self.walk
            .reporter
            .unknown("bad-value", text.at, &text.value, message, names(), help);
        None
    }
}
