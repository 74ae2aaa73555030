//! From a tree to the wire types: every key read by hand, every problem reported, nothing lost on the way.
//!
//! Used for plans and, with lenient manners, for the queue and the flat task list. A value that cannot be used is
//! reported and left out; the rest of the task is still read.

use super::answer;
use super::problem::{Place, Reporter, shortened};
use super::tree::{Entry, Kind, Node, NodeId, Tree};
use super::wire::{
    Answer, At, Budget, Defaults, Duration, Given, NEEDS_ALIASES, Plan, Retry, Reusable, Task, Usd, WORKS,
};
use super::{TASKS_MAX, TIMEOUT_MAX, USD_MAX};
use crate::spec::{Edits, Isolation, Merge, OnFailure, RETRY_MAX};
use crate::time::parse_duration;
use crate::workflow::Shortcut;

/// Reads values of one tree.
pub(crate) struct Walk<'a, 'r, 'n> {
    pub(crate) tree: &'a Tree,
    pub(crate) reporter: &'r mut Reporter<'n>,
    /// Unknown keys are noted, not refused.
    pub(crate) lenient: bool,
    /// What is being read, for messages: ``task `draft` ``.
    pub(crate) about: String,
}

/// The keys of a map, ticked off as they are read.
pub(crate) struct Fields<'a> {
    tree: &'a Tree,
    entries: &'a [Entry],
    taken: Vec<bool>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(tree: &'a Tree, node: &'a Node) -> Option<Fields<'a>> {
        let Kind::Map(entries) = &node.kind else {
            return None;
        };
        Some(Fields {
            tree,
            entries,
            taken: vec![false; entries.len()],
            known: Vec::new(),
        })
    }

    /// Whether a key is there with a value.
    fn has(&self, key: &str) -> bool {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.is_some_and(|entry| !matches!(self.tree.node(entry.value).kind, Kind::Null))
    }

    /// The value of a key, unless it is null.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        let place = self.entries.iter().position(|entry| entry.key == key)?;
        self.taken[place] = true;
        let node = self.tree.node(self.entries[place].value);
        (!matches!(node.kind, Kind::Null)).then_some(node)
    }
}

impl<'a> Walk<'a, '_, '_> {
    /// A whole plan, or a list of tasks.
    pub(crate) fn plan(&mut self) -> Option<Plan> {
        let root = self.tree.root();
        if let Kind::List(items) = &root.kind {
            return Some(Plan {
                tasks: self.tasks(items),
                at: root.at,
                ..Plan::default()
            });
        }
        self.about = "the plan".to_owned();
        let Some(mut fields) = Fields::of(self.tree, root) else {
            let message = format!("a plan is a map with `tasks`, not {}", root.kind.describe());
            let help = "begin with `tasks:` and a list below it";
            self.reporter
                .error("wrong-type", root.at, &root.kind.shown(), message, help);
            return None;
        };
        let name = fields.take("name").and_then(|node| self.text(node, "name"));
        let defaults = fields.take("defaults").and_then(|node| self.defaults(node));
        self.about = "the plan".to_owned();
        let vars = fields
            .take("vars")
            .map(|node| self.pairs(node, "vars"))
            .unwrap_or_default();
        let templates = fields
            .take("templates")
            .map(|node| self.reusables(node))
            .unwrap_or_default();
        let budget = fields.take("budget").and_then(|node| self.budget(node));
        let tasks = match fields.take("tasks") {
            Some(node) => match &node.kind {
                Kind::List(items) => self.tasks(items),
                _ => {
                    self.wrong(node, "tasks", "a list");
                    return None;
                }
            },
            None => {
                let help = "add `tasks:` with at least one task";
                self.reporter
                    .error("empty-plan", root.at, "", "the plan has no `tasks`".to_owned(), help);
                return None;
            }
        };
        self.about = "the plan".to_owned();
        self.finish(fields);
        Some(Plan {
            name,
            defaults,
            vars,
            templates,
            budget,
            tasks,
            at: root.at,
        })
    }

    fn tasks(&mut self, items: &[NodeId]) -> Vec<Task> {
        if let Some(first_over) = items.get(TASKS_MAX) {
            let message = format!("the plan has {} tasks; the limit is {TASKS_MAX}", items.len());
            let at = self.tree.node(*first_over).at;
            self.reporter
                .error("too-many-tasks", at, "", message, "split it into several plans");
        }
        let within = &items[..items.len().min(TASKS_MAX)];
        within.iter().filter_map(|id| self.task(*id)).collect()
    }

    fn task(&mut self, id: NodeId) -> Option<Task> {
        let node = self.tree.node(id);
        self.about = format!("the task on line {}", node.at.line);
        let Some(mut fields) = Fields::of(self.tree, node) else {
            let message = format!("a task is {}, not a map", node.kind.describe());
            let help = "write `- id: NAME` and the other keys below it";
            self.reporter
                .error("wrong-type", node.at, &node.kind.shown(), message, help);
            return None;
        };
        let id = fields.take("id").and_then(|node| self.name(node, "id"));
        if let Some(id) = &id {
            self.about = format!("task `{}`", shortened(&id.value));
        }
        let given = Given {
            id: fields.has("id"),
            work: WORKS.into_iter().any(|key| fields.has(key)),
        };
        let mut task = Task {
            id,
            exec: fields.take("exec").and_then(|node| self.text(node, "exec")),
            prompt: fields.take("prompt").and_then(|node| self.text(node, "prompt")),
            prompt_file: fields
                .take("prompt_file")
                .and_then(|node| self.text(node, "prompt_file")),
            template: fields.take("template").and_then(|node| self.text(node, "template")),
            with: fields
                .take("with")
                .map(|node| self.pairs(node, "with"))
                .unwrap_or_default(),
            documents: self.texts_of(&mut fields, "documents"),
            stdin: fields.take("stdin").and_then(|node| self.name(node, "stdin")),
            agent: fields.take("agent").and_then(|node| self.text(node, "agent")),
            fallback: self.texts_of(&mut fields, "fallback"),
            chain: fields.take("chain").and_then(|node| self.text(node, "chain")),
            model: fields.take("model").and_then(|node| self.text(node, "model")),
            role: fields.take("role").and_then(|node| self.text(node, "role")),
            needs: self.needs(&mut fields),
            priority: fields.take("priority").and_then(|node| self.priority(node)),
            files: self.texts_of(&mut fields, "files"),
            verify: self.texts_of(&mut fields, "verify"),
            isolation: fields.take("isolation").and_then(|node| self.isolation(node)),
            merge: fields.take("merge").and_then(|node| self.merge(node)),
            protect: fields.take("protect").map(|node| self.texts(node, "protect")),
            edits: fields.take("edits").and_then(|node| self.edits(node)),
            schema: fields.take("schema").and_then(|node| self.answer(node)),
            timeout: fields.take("timeout").and_then(|node| self.duration(node, "timeout")),
            idle_timeout: fields
                .take("idle_timeout")
                .and_then(|node| self.duration(node, "idle_timeout")),
            retry: fields.take("retry").and_then(|node| self.retry(node)),
            deadline: fields.take("deadline").and_then(|node| self.duration(node, "deadline")),
            confidence: fields
                .take("confidence")
                .and_then(|node| self.percent(node, "confidence")),
            gate: fields.take("gate").and_then(|node| self.gate(node)),
            on_failure: fields.take("on_failure").and_then(|node| self.on_failure(node)),
            plan: fields.take("plan").and_then(|node| self.boolean(node, "plan")),
            approval: fields.take("approval").and_then(|node| self.boolean(node, "approval")),
            env: fields
                .take("env")
                .map(|node| self.pairs(node, "env"))
                .unwrap_or_default(),
            cwd: fields.take("cwd").and_then(|node| self.text(node, "cwd")),
            budget: fields.take("budget").and_then(|node| self.budget(node)),
            workflow: fields.take("workflow").and_then(|node| self.workflow(node)),
            skip_if: self.texts_of(&mut fields, "skip_if"),
            shortcut: fields
                .take("shortcut")
                .and_then(|node| self.choice(node, "shortcut", &[("auto", Shortcut::Auto), ("off", Shortcut::Off)])),
            skip_audit: fields
                .take("skip_audit")
                .and_then(|node| self.percent(node, "skip_audit")),
            given,
            at: node.at,
        };
        let texts = [&task.exec, &task.prompt, &task.prompt_file, &task.template];
        if self.lenient && texts.into_iter().all(Option::is_none) {
            // Other tools' words for the prompt, the fullest first.
            let words = ["description", "task", "title"];
            task.prompt = words
                .into_iter()
                .find_map(|key| fields.take(key).and_then(|node| self.text(node, key)));
        }
        self.finish(fields);
        Some(task)
    }

    fn defaults(&mut self, node: &'a Node) -> Option<Defaults> {
        self.about = "`defaults`".to_owned();
        let Some(mut fields) = Fields::of(self.tree, node) else {
            self.wrong(node, "defaults", "a map");
            return None;
        };
        let defaults = Defaults {
            agent: fields.take("agent").and_then(|node| self.text(node, "agent")),
            model: fields.take("model").and_then(|node| self.text(node, "model")),
            isolation: fields.take("isolation").and_then(|node| self.isolation(node)),
            merge: fields.take("merge").and_then(|node| self.merge(node)),
            protect: fields.take("protect").map(|node| self.texts(node, "protect")),
            edits: fields.take("edits").and_then(|node| self.edits(node)),
            timeout: fields.take("timeout").and_then(|node| self.duration(node, "timeout")),
            idle_timeout: fields
                .take("idle_timeout")
                .and_then(|node| self.duration(node, "idle_timeout")),
            retry: fields.take("retry").and_then(|node| self.retry(node)),
            on_failure: fields.take("on_failure").and_then(|node| self.on_failure(node)),
            env: fields
                .take("env")
                .map(|node| self.pairs(node, "env"))
                .unwrap_or_default(),
        };
        self.finish(fields);
        Some(defaults)
    }

    /// Reports every key that nobody read.
    pub(crate) fn finish(&mut self, fields: Fields<'a>) {
        let Fields {
            entries, taken, known, ..
        } = fields;
        let left = entries.iter().zip(taken).filter(|(_, taken)| !taken);
        for (entry, _) in left {
            let key = shortened(&entry.key);
            if self.lenient {
                let message = format!("the key `{key}` has no meaning here and is ignored");
                self.reporter
                    .warning_once("ignored-key", entry.at, &entry.key, message, "");
                continue;
            }
            let help = match entry.key.as_str() {
                "<<" => "merge keys are not read; put what holds for all tasks under `defaults:`".to_owned(),
                _ => format!("the keys are {}", listed(known.iter().copied())),
            };
            let message = format!("{} has no key `{key}`", self.about);
            let known = known.iter().copied();
            self.reporter
                .unknown("unknown-key", entry.at, &entry.key, message, known, help);
        }
    }

    fn needs(&mut self, fields: &mut Fields<'a>) -> Vec<At<String>> {
        let mut found: Option<(&'static str, Vec<At<String>>)> = None;
        for key in std::iter::once("needs").chain(NEEDS_ALIASES) {
            let Some(node) = fields.take(key) else { continue };
            if let Some((first, _)) = &found {
                let message = format!("{} has both `{first}` and `{key}`, which mean the same", self.about);
                self.reporter
                    .error("duplicate-key", node.at, key, message, "keep one of them");
                continue;
            }
            found = Some((key, self.ids(node, key)));
        }
        found.map(|(_, needs)| needs).unwrap_or_default()
    }

    /// A list of ids, one id, or several separated by commas.
    pub(crate) fn ids(&mut self, node: &'a Node, key: &str) -> Vec<At<String>> {
        match &node.kind {
            Kind::List(items) => {
                let tree = self.tree;
                items.iter().filter_map(|id| self.name(tree.node(*id), key)).collect()
            }
            Kind::Text(text) | Kind::Number(text) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| At {
                    value: part.to_owned(),
                    at: node.at,
                })
                .collect(),
            _ => {
                self.wrong(node, key, "a list of task ids");
                Vec::new()
            }
        }
    }

    /// Text, or a number as it was written: `id: 1` is as good as `id: "1"`.
    pub(crate) fn name(&mut self, node: &'a Node, key: &str) -> Option<At<String>> {
        match &node.kind {
            Kind::Text(text) | Kind::Number(text) => Some(At {
                value: text.clone(),
                at: node.at,
            }),
            _ => {
                self.wrong(node, key, "text");
                None
            }
        }
    }

    pub(crate) fn text(&mut self, node: &'a Node, key: &str) -> Option<At<String>> {
        match &node.kind {
            Kind::Text(text) => Some(At {
                value: text.clone(),
                at: node.at,
            }),
            _ => {
                self.wrong(node, key, "text");
                None
            }
        }
    }

    /// A list of texts, or one text.
    pub(crate) fn texts(&mut self, node: &'a Node, key: &str) -> Vec<At<String>> {
        match &node.kind {
            Kind::List(items) => {
                let tree = self.tree;
                items.iter().filter_map(|id| self.text(tree.node(*id), key)).collect()
            }
            Kind::Text(_) => self.text(node, key).into_iter().collect(),
            _ => {
                self.wrong(node, key, "a list of texts");
                Vec::new()
            }
        }
    }

    /// The list of texts under a key; none where it is not given.
    fn texts_of(&mut self, fields: &mut Fields<'a>, key: &'static str) -> Vec<At<String>> {
        let node = fields.take(key);
        node.map(|node| self.texts(node, key)).unwrap_or_default()
    }

    fn pairs(&mut self, node: &'a Node, key: &str) -> Vec<(At<String>, At<String>)> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong(node, key, "a map of names and values");
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = self.tree.node(entry.value);
            let text = match &value.kind {
                Kind::Text(text) | Kind::Number(text) => text.clone(),
                Kind::Bool(flag) => flag.to_string(),
                Kind::Null | Kind::List(_) | Kind::Map(_) => {
                    let inner = format!("{key}.{}", shortened(&entry.key));
                    self.wrong(value, &inner, "text, a number, or true or false");
                    continue;
                }
            };
            let name = At {
                value: entry.key.clone(),
                at: entry.at,
            };
            pairs.push((
                name,
                At {
                    value: text,
                    at: value.at,
                },
            ));
        }
        pairs
    }

    /// Reusable texts by name: a text, or a map of the text and of the defaults of its parameters.
    fn reusables(&mut self, node: &'a Node) -> Vec<(At<String>, Reusable)> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong(node, "templates", "a map of names and texts");
            return Vec::new();
        };
        let outer = self.about.clone();
        let mut reusables = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = self.tree.node(entry.value);
            let key = format!("templates.{}", shortened(&entry.key));
            let reusable = match Fields::of(self.tree, value) {
                None => self.name(value, &key).map(|text| Reusable {
                    text,
                    defaults: Vec::new(),
                }),
                Some(mut fields) => {
                    self.about = format!("the template `{}`", shortened(&entry.key));
                    let text = fields.take("text");
                    let defaults = fields.take("with").map(|node| self.template_defaults(node));
                    self.finish(fields);
                    if text.is_none() {
                        let message = format!("{} has no `text`", self.about);
                        let help = "write `NAME: {text: \"…\", with: {PARAMETER: {default: …}}}`";
                        self.reporter.error("missing-key", value.at, "text", message, help);
                    }
                    text.and_then(|text| self.name(text, "text")).map(|text| Reusable {
                        text,
                        defaults: defaults.unwrap_or_default(),
                    })
                }
            };
            let name = At {
                value: entry.key.clone(),
                at: entry.at,
            };
            reusables.extend(reusable.map(|reusable| (name, reusable)));
        }
        self.about = outer;
        reusables
    }

    /// `{NAME: {default: VALUE}}`.
    fn template_defaults(&mut self, node: &'a Node) -> Vec<(At<String>, At<String>)> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong(node, "with", "a map of parameters, each with its `{default: …}`");
            return Vec::new();
        };
        let mut defaults = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = self.tree.node(entry.value);
            let Kind::Map(inner) = &value.kind else {
                let key = format!("with.{}", shortened(&entry.key));
                self.wrong(value, &key, "`{default: …}`");
                continue;
            };
            for (key, text) in self.pairs(value, "with") {
                if key.value != "default" {
                    let message = format!("{}: a parameter has no key `{}`", self.about, shortened(&key.value));
                    let help = "a parameter takes `default` and nothing else";
                    self.reporter.unknown(
                        "unknown-key",
                        key.at,
                        &key.value,
                        message,
                        ["default"].into_iter(),
                        help.to_owned(),
                    );
                    continue;
                }
                let name = At {
                    value: entry.key.clone(),
                    at: entry.at,
                };
                defaults.push((name, text));
            }
            if inner.is_empty() {
                let key = format!("with.{}", shortened(&entry.key));
                self.wrong(value, &key, "`{default: …}`");
            }
        }
        defaults
    }

    pub(super) fn boolean(&mut self, node: &'a Node, key: &str) -> Option<At<bool>> {
        match &node.kind {
            Kind::Bool(value) => Some(At {
                value: *value,
                at: node.at,
            }),
            _ => {
                self.wrong(node, key, "`true` or `false`");
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, node: &'a Node, key: &str) -> Option<At<Duration>> {
        let (Kind::Text(text) | Kind::Number(text)) = &node.kind else {
            self.wrong(node, key, "a duration");
            return None;
        };
        let help = "write a number and a unit, such as `90s`, `20m`, `2h30m` or `500ms`";
        let refusal = match parse_duration(text) {
            Ok(span) if span.is_zero() => format!("`{}` is no time at all", shortened(text)),
            Ok(span) if span > TIMEOUT_MAX => {
                let days = TIMEOUT_MAX.as_secs() / 86_400;
                format!("`{}` is longer than the limit of {days} days", shortened(text))
            }
            Ok(span) => {
                let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                return Some(At {
                    value: Duration { ms },
                    at: node.at,
                });
            }
            Err(_) if matches!(node.kind, Kind::Number(_)) => format!("`{}` has no unit", shortened(text)),
            Err(_) => format!("`{}` is not a duration", shortened(text)),
        };
        let message = format!("{}: `{key}`: {refusal}", self.about);
        self.reporter.error("bad-duration", node.at, text, message, help);
        None
    }

    fn priority(&mut self, node: &'a Node) -> Option<At<i32>> {
        if let (true, Kind::Text(word)) = (self.lenient, &node.kind) {
            // The words of other tools' queues.
            let value = match word.to_ascii_lowercase().as_str() {
                "critical" | "urgent" => Some(20),
                "high" => Some(10),
                "medium" | "normal" => Some(0),
                "low" => Some(-10),
                _ => None,
            };
            if let Some(value) = value {
                return Some(At { value, at: node.at });
            }
        }
        self.integer(node, "priority", i64::from(i32::MIN), i64::from(i32::MAX))
            .and_then(|value| {
                Some(At {
                    value: i32::try_from(value).ok()?,
                    at: node.at,
                })
            })
    }

    pub(crate) fn integer(&mut self, node: &'a Node, key: &str, min: i64, max: i64) -> Option<i64> {
        let Kind::Number(text) = &node.kind else {
            self.wrong(node, key, "a whole number");
            return None;
        };
        let digits = text.strip_prefix('+').unwrap_or(text);
        match digits.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => Some(value),
            _ => {
                let message = format!(
                    "{}: `{key}`: `{}` is not a whole number it takes",
                    self.about,
                    shortened(text)
                );
                let help = format!("write a whole number from {min} to {max}");
                self.reporter.error("bad-number", node.at, text, message, help);
                None
            }
        }
    }

    fn percent(&mut self, node: &'a Node, key: &str) -> Option<At<u8>> {
        let value = self.integer(node, key, 0, 100)?;
        Some(At {
            value: u8::try_from(value).ok()?,
            at: node.at,
        })
    }

    fn retry(&mut self, node: &'a Node) -> Option<At<Retry>> {
        let number = match &node.kind {
            Kind::Map(_) => {
                let mut fields = Fields::of(self.tree, node)?;
                let number = fields.take("max");
                self.finish_within("retry", fields);
                number?
            }
            Kind::Number(_) => node,
            _ => {
                self.wrong(node, "retry", "a number or `{max: N}`");
                return None;
            }
        };
        let max = self.integer(number, "retry", 0, i64::MAX)?;
        match u32::try_from(max) {
            Ok(max) if max <= RETRY_MAX => Some(At {
                value: Retry { max },
                at: node.at,
            }),
            _ => {
                let message = format!(
                    "{}: `retry` is {max}; a try is repeated {RETRY_MAX} times at the most",
                    self.about
                );
                let help = "never more than 3 tries of one thing: add `fallback: [AGENT]` or `on_failure: ask` for what \
                            comes after";
                self.reporter
                    .error("too-many-retries", number.at, &max.to_string(), message, help);
                None
            }
        }
    }

    fn budget(&mut self, node: &'a Node) -> Option<Budget> {
        let Some(mut fields) = Fields::of(self.tree, node) else {
            self.wrong(node, "budget", "a map such as `{usd: 2.00}`");
            return None;
        };
        let usd = fields.take("usd");
        self.finish_within("budget", fields);
        let Some(usd) = usd else {
            let message = format!("{}: `budget` has no `usd`", self.about);
            self.reporter
                .error("missing-key", node.at, "", message, "write `budget: {usd: 2.00}`");
            return None;
        };
        let (Kind::Number(text) | Kind::Text(text)) = &usd.kind else {
            self.wrong(usd, "budget.usd", "an amount");
            return None;
        };
        let Some(cost_nano) = nano_dollars(text) else {
            let message = format!("{}: `{}` is not an amount in US dollars", self.about, shortened(text));
            let help = format!("write digits with at most nine after the point, such as `2.00`, up to {USD_MAX}");
            self.reporter.error("bad-money", usd.at, text, message, help);
            return None;
        };
        Some(Budget {
            usd: At {
                value: Usd { cost_nano },
                at: usd.at,
            },
        })
    }

    fn isolation(&mut self, node: &'a Node) -> Option<At<Isolation>> {
        let words = [("none", Isolation::None), ("worktree", Isolation::Worktree)];
        self.choice(node, "isolation", &words)
    }

    fn edits(&mut self, node: &'a Node) -> Option<At<Edits>> {
        self.choice(node, "edits", &[("own", Edits::Own), ("patch", Edits::Patch)])
    }

    fn answer(&mut self, node: &'a Node) -> Option<At<Answer>> {
        let value = match &node.kind {
            Kind::Text(path) => Answer::File(path.clone()),
            Kind::Map(_) => Answer::Inline(answer::schema(self.tree, node, &self.about, self.reporter)),
            _ => {
                self.wrong(node, "schema", "a JSON schema, or the path of a file with one");
                return None;
            }
        };
        Some(At { value, at: node.at })
    }

    fn merge(&mut self, node: &'a Node) -> Option<At<Merge>> {
        let words = [
            ("none", Merge::None),
            ("branch", Merge::Branch),
            ("queue", Merge::Queue),
        ];
        self.choice(node, "merge", &words)
    }

    fn on_failure(&mut self, node: &'a Node) -> Option<At<OnFailure>> {
        let words = [
            ("retry", OnFailure::Retry),
            ("fallback", OnFailure::Fallback),
            ("ask", OnFailure::Ask),
            ("continue", OnFailure::Continue),
            ("fail", OnFailure::Fail),
        ];
        self.choice(node, "on_failure", &words)
    }

    pub(crate) fn choice<T: Copy>(&mut self, node: &'a Node, key: &str, words: &[(&str, T)]) -> Option<At<T>> {
        let Kind::Text(text) = &node.kind else {
            self.wrong(
                node,
                key,
                &format!("one of {}", listed(words.iter().map(|(word, _)| *word))),
            );
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Some(At {
                value: *value,
                at: node.at,
            });
        }
        let exist = words.iter().map(|(word, _)| *word);
        let message = format!("{}: `{key}` cannot be `{}`", self.about, shortened(text));
        let help = format!("it takes {}", listed(exist.clone()));
        self.reporter.unknown("bad-value", node.at, text, message, exist, help);
        None
    }

    fn finish_within(&mut self, key: &str, fields: Fields<'a>) {
        let outer = std::mem::replace(&mut self.about, format!("`{key}`"));
        self.finish(fields);
        self.about = outer;
    }

    pub(crate) fn wrong(&mut self, node: &'a Node, key: &str, wanted: &str) {
        let message = format!("{}: `{key}` is {}, not {wanted}", self.about, node.kind.describe());
        let help = match (&node.kind, wanted) {
            (Kind::Number(text), "text") => format!("put it into quotes: `\"{text}\"`"),
            (Kind::Bool(value), "text") => format!("put it into quotes: `\"{value}\"`"),
            (Kind::Text(text), "`true` or `false`") if is_yes_or_no(text) => {
                "YAML 1.2 knows only `true` and `false`".to_owned()
            }
            _ => format!("write {wanted}"),
        };
        self.reporter
            .error("wrong-type", node.at, &node.kind.shown(), message, help);
    }
}

/// A place on its own.
pub(crate) fn nowhere() -> Place {
    Place::default()
}

/// `` `a`, `b`, `c` ``
pub(crate) fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn is_yes_or_no(text: &str) -> bool {
    ["yes", "no", "on", "off", "true", "false"].contains(&text.to_ascii_lowercase().as_str())
}

/// Decimal digits to nano-dollars, exactly.
fn nano_dollars(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    (whole < USD_MAX || (whole == USD_MAX && nanos == 0)).then_some(whole * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        for (text, nano) in [
            ("2.00", 2_000_000_000),
            ("0.1", 100_000_000),
            ("0.000000001", 1),
            ("0", 0),
            ("1000000", 1_000_000_000_000_000),
            ("007.5", 7_500_000_000),
        ] {
            assert_eq!(nano_dollars(text), Some(nano), "{text}");
        }
        for text in [
            "",
            ".5",
            "-1",
            "1e3",
            "1.0000000001",
            "1000000.000000001",
            "$2",
            "99999999999999999999",
            "1 000",
        ] {
            assert_eq!(nano_dollars(text), None, "{text}");
        }
    }
}
