//! From the wire types to specs: defaults applied, names resolved, files read, templates and edges checked.
//!
//! The last stage of every format. Goes on after each problem; what comes out is used only when there was none.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::graph::{EDGES_MAX, Graph};
use super::problem::{Place, Reporter, counted, shortened};
use super::template::{self, ErrorKind, Field, Name};
use super::walk::{listed, nowhere};
use super::wire::{At, Budget, Defaults, Duration, Plan, Retry, Task};
use super::{Context, ID_LETTERS_MAX, Manners, NAME_LETTERS_MAX, Prompts, TEXT_BYTES_MAX, Words};
use crate::ids::{AgentName, TaskKey};
use crate::spec::{BudgetLimit, Isolation, OnFailure, TaskSpec, Work};

/// The agent that runs commands.
const EXEC: &str = "exec";
/// The agent that the configuration names.
const AUTO: &str = "auto";

/// What becomes of a plan.
pub(crate) struct Resolved {
    pub(crate) name: Option<String>,
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) budget: Option<BudgetLimit>,
    pub(crate) tasks: Vec<TaskSpec>,
}

/// Resolves one plan.
pub(crate) struct Resolve<'a, 'n> {
    /// The text the plan was read from, for places inside texts.
    pub(crate) source: &'a str,
    pub(crate) manners: Manners,
    pub(crate) context: &'a Context<'a>,
    /// Tasks the run has already.
    pub(crate) existing: &'a [TaskKey],
    existing_set: HashSet<&'a str>,
    pub(crate) reporter: &'a mut Reporter<'n>,
    vars: BTreeMap<String, String>,
    prompt_files: HashMap<String, Result<String, String>>,
    /// Each `{{ tasks.… }}` that was found: the task it is in, what it names, where.
    uses: Vec<TaskUse>,
}

struct TaskUse {
    task: usize,
    name: String,
    explicit: bool,
    at: Place,
    file: Option<String>,
}

impl<'a, 'n> Resolve<'a, 'n> {
    pub(crate) fn new(
        source: &'a str,
        manners: Manners,
        context: &'a Context<'a>,
        existing: &'a [TaskKey],
        reporter: &'a mut Reporter<'n>,
    ) -> Resolve<'a, 'n> {
        Resolve {
            source,
            manners,
            context,
            existing,
            existing_set: existing.iter().map(TaskKey::as_str).collect(),
            reporter,
            vars: BTreeMap::new(),
            prompt_files: HashMap::new(),
            uses: Vec::new(),
        }
    }

    pub(crate) fn plan(mut self, plan: Plan) -> Resolved {
        let Plan {
            name,
            defaults,
            vars,
            budget,
            tasks,
            at,
        } = plan;
        let name = name.and_then(|name| self.plan_name(name));
        self.variables(vars);
        let defaults = self.defaults(defaults.unwrap_or_default());
        if tasks.is_empty() && self.manners.tasks_required {
            let message = "the plan has no tasks".to_owned();
            let help = "add at least one: `- id: hello`, and below it `exec: echo hello`";
            self.reporter.error("empty-plan", at, "", message, help);
        }
        let index = self.ids(&tasks);
        let needs = self.edges(&tasks, &index);
        let specs = tasks
            .into_iter()
            .enumerate()
            .filter_map(|(place, task)| self.task(place, task, &defaults, &needs.keys[place]))
            .collect();
        self.graph(&index, needs);
        Resolved {
            name,
            vars: self.vars,
            budget: limit(budget),
            tasks: specs,
        }
    }

    fn plan_name(&mut self, name: At<String>) -> Option<String> {
        let text = name.value.trim();
        if text.is_empty() || text.chars().count() > NAME_LETTERS_MAX || text.chars().any(char::is_control) {
            let message = format!("`{}` cannot be a plan's name", shortened(&name.value));
            let help = format!("write 1 to {NAME_LETTERS_MAX} characters on one line");
            self.reporter.error("bad-name", name.at, &name.value, message, help);
            return None;
        }
        Some(text.to_owned())
    }

    fn variables(&mut self, vars: Vec<(At<String>, At<String>)>) {
        for (name, value) in vars {
            if !is_id(&name.value, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
            }) {
                let message = format!("`{}` cannot be a variable's name", shortened(&name.value));
                let help = "use letters, digits, `_` and `-`, 64 at the most";
                self.reporter.error("bad-name", name.at, &name.value, message, help);
            }
            self.vars.insert(name.value, value.value);
        }
        for (name, value) in self.context.vars {
            if self.manners.vars_given || self.vars.contains_key(name) {
                self.vars.insert(name.clone(), value.clone());
                continue;
            }
            let message = format!("`--var {}`: the plan has no variable of that name", shortened(name));
            let help = match self.vars.len() {
                0 => "it has none; define it under `vars:`".to_owned(),
                _ => format!("it has {}", listed(self.vars.keys().map(String::as_str).take(20))),
            };
            let exist = self.vars.keys().map(String::as_str);
            self.reporter
                .unknown("unknown-var", nowhere(), name, message, exist, help);
        }
    }

    /// The place of each id. Of two tasks with one id the first has it.
    fn ids(&mut self, tasks: &[Task]) -> HashMap<String, usize> {
        let mut index: HashMap<String, usize> = HashMap::with_capacity(tasks.len());
        for (place, task) in tasks.iter().enumerate() {
            let Some(id) = &task.id else {
                let message = format!("task {} has no `id`", place + 1);
                self.reporter
                    .error("missing-key", task.at, "", message, "give it a name: `id: NAME`");
                continue;
            };
            let name = shortened(&id.value);
            if !is_id(&id.value, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
            }) {
                let message = format!("`{name}` cannot be a task's id");
                let help = format!(
                    "use letters, digits, `_`, `.` and `-`, {ID_LETTERS_MAX} at the most, not `-` or `.` first"
                );
                self.reporter.error("bad-id", id.at, &id.value, message, help);
            }
            if self.existing_set.contains(id.value.as_str()) {
                let message = format!("the run has a task `{name}` already");
                self.reporter.error(
                    "duplicate-id",
                    id.at,
                    &id.value,
                    message,
                    "give the new task another id",
                );
            }
            if let Some(first) = index.get(&id.value) {
                let line = tasks[*first].id.as_ref().map_or(0, |first| first.at.line);
                let message = match self.manners.words {
                    Words::Plan => format!("the id `{name}` is taken by the task on line {line}"),
                    Words::TaskText => format!("duplicate id: {name} (first on line {line})"),
                };
                self.reporter
                    .error("duplicate-id", id.at, &id.value, message, "give one of them another id");
                continue;
            }
            index.insert(id.value.clone(), place);
        }
        index
    }

    fn edges(&mut self, tasks: &[Task], index: &HashMap<String, usize>) -> Edges {
        let mut edges = Edges::default();
        let mut count = 0_usize;
        for (place, task) in tasks.iter().enumerate() {
            let own = task.id.as_ref().map_or("", |id| id.value.as_str());
            let mut keys: Vec<TaskKey> = Vec::with_capacity(task.needs.len());
            let mut inside = Vec::with_capacity(task.needs.len());
            let mut seen: HashSet<&str> = HashSet::with_capacity(task.needs.len());
            for need in &task.needs {
                if !seen.insert(&need.value) {
                    continue;
                }
                match index.get(&need.value) {
                    Some(found) if *found == place => self.needs_itself(own, need),
                    Some(found) => {
                        inside.push(*found);
                        keys.push(TaskKey(need.value.clone()));
                    }
                    None if self.existing_set.contains(need.value.as_str()) => keys.push(TaskKey(need.value.clone())),
                    None => self.unknown_need(own, need, tasks),
                }
            }
            count += inside.len();
            edges.keys.push(keys);
            edges.inside.push(inside);
            edges.at.push(task.id.as_ref().map_or(task.at, |id| id.at));
        }
        if count > EDGES_MAX {
            let message = format!("the plan has {}; the limit is {EDGES_MAX}", counted(count, "edge"));
            let help = "put a task between two large groups that waits for the one and is needed by the other";
            self.reporter.error("too-many-edges", nowhere(), "", message, help);
            edges.inside.iter_mut().for_each(Vec::clear);
        }
        edges
    }

    fn needs_itself(&mut self, own: &str, need: &At<String>) {
        let message = format!("task `{}` needs itself", shortened(own));
        self.reporter.error(
            "self-reference",
            need.at,
            &need.value,
            message,
            "take it out of its own `needs`",
        );
    }

    fn unknown_need(&mut self, own: &str, need: &At<String>, tasks: &[Task]) {
        let (own, name) = (shortened(own), shortened(&need.value));
        let message = match self.manners.words {
            Words::Plan => format!("task `{own}` needs `{name}`, which does not exist"),
            Words::TaskText => format!("dependency \"{name}\" not found for task \"{own}\""),
        };
        let ids = tasks
            .iter()
            .filter_map(|task| task.id.as_ref())
            .map(|id| id.value.as_str());
        let exist = ids.chain(self.existing.iter().map(TaskKey::as_str));
        let help = "`needs` takes the ids of tasks of this plan";
        self.reporter
            .unknown("unknown-task", need.at, &need.value, message, exist, help);
    }

    fn defaults(&mut self, defaults: Defaults) -> Settled {
        let Defaults {
            agent,
            model,
            isolation,
            timeout,
            idle_timeout,
            retry,
            on_failure,
            env,
        } = defaults;
        let role = None;
        let (agent, _) = self.agent(agent.as_ref(), role);
        Settled {
            agent: agent.unwrap_or_else(|| self.context.default_agent.clone()),
            model: model.map(|model| model.value),
            isolation: isolation.map(|one| one.value).unwrap_or_default(),
            timeout_ms: timeout.map_or(
                self.context.defaults.timeout_ms,
                |At {
                     value: Duration { ms }, ..
                 }| ms,
            ),
            idle_timeout_ms: idle_timeout.map_or(
                self.context.defaults.idle_timeout_ms,
                |At {
                     value: Duration { ms }, ..
                 }| ms,
            ),
            retry_max: retry.map(
                |At {
                     value: Retry { max }, ..
                 }| max,
            ),
            on_failure: on_failure.map(|one| one.value),
            env: self.environment(env),
        }
    }

    fn task(&mut self, place: usize, task: Task, defaults: &Settled, needs: &[TaskKey]) -> Option<TaskSpec> {
        let Task {
            id,
            exec,
            prompt,
            prompt_file,
            agent,
            fallback,
            model,
            role,
            needs: _,
            priority,
            files,
            verify,
            isolation,
            timeout,
            idle_timeout,
            retry,
            on_failure,
            plan,
            approval,
            env,
            cwd,
            budget,
            at,
        } = task;
        let own = id.as_ref().map_or_else(
            || format!("task {}", place + 1),
            |id| format!("task `{}`", shortened(&id.value)),
        );
        let is_exec = exec.is_some();
        if is_exec {
            self.exec_only(&own, agent.as_ref(), &fallback, model.as_ref(), role.as_ref());
        }
        self.fallback_given(&own, on_failure.as_ref(), &fallback);
        let work = self.work(place, &own, at, exec, prompt, prompt_file, needs);
        let role = role.map(|role| self.with_vars(&role, &own, "role"));
        let (agent, role) = if is_exec {
            (AgentName(EXEC.to_owned()), role)
        } else {
            let (agent, role) = self.agent(agent.as_ref(), role);
            (agent.unwrap_or_else(|| defaults.agent.clone()), role)
        };
        let fallback = if is_exec {
            Vec::new()
        } else {
            self.chain(&agent, &fallback)
        };
        let mut environment = defaults.env.clone();
        environment.extend(self.environment(env));
        let retry_default = if is_exec { 0 } else { self.context.defaults.retry_max };
        let files = self.globs(&own, files);
        let verify = self.commands(&own, verify);
        let cwd = cwd.and_then(|cwd| self.directory(&own, &cwd));
        Some(TaskSpec {
            key: TaskKey(id?.value),
            work: work?,
            agent,
            fallback,
            model: model
                .map(|model| model.value)
                .or_else(|| defaults.model.clone())
                .filter(|_| !is_exec),
            role,
            needs: needs.to_vec(),
            priority: priority.map_or(0, |one| one.value),
            files,
            verify,
            isolation: isolation.map_or(defaults.isolation, |one| one.value),
            timeout_ms: timeout.map_or(
                defaults.timeout_ms,
                |At {
                     value: Duration { ms }, ..
                 }| ms,
            ),
            idle_timeout_ms: idle_timeout.map_or(
                defaults.idle_timeout_ms,
                |At {
                     value: Duration { ms }, ..
                 }| ms,
            ),
            retry_max: retry
                .map(|one| one.value.max)
                .or(defaults.retry_max)
                .unwrap_or(retry_default),
            on_failure: on_failure.map(|one| one.value).or(defaults.on_failure),
            planner: plan.is_some_and(|one| one.value),
            approval: approval.is_some_and(|one| one.value),
            env: environment,
            cwd,
            budget: limit(budget),
        })
    }

    /// What has no meaning for a command.
    fn exec_only(
        &mut self,
        own: &str,
        agent: Option<&At<String>>,
        fallback: &[At<String>],
        model: Option<&At<String>>,
        role: Option<&At<String>>,
    ) {
        let agent = agent.filter(|agent| ![EXEC, AUTO].contains(&agent.value.as_str()));
        let given = [
            ("agent", agent),
            ("fallback", fallback.first()),
            ("model", model),
            ("role", role),
        ];
        for (key, value) in given {
            let Some(value) = value else { continue };
            let message = format!(
                "{own} is a command; `{key}: {}` has no meaning for it",
                shortened(&value.value)
            );
            let help = format!("take `{key}` out, or write `prompt` in place of `exec`");
            self.reporter.error("exec-agent", value.at, &value.value, message, help);
        }
    }

    fn fallback_given(&mut self, own: &str, on_failure: Option<&At<OnFailure>>, fallback: &[At<String>]) {
        if let Some(on_failure) = on_failure
            && on_failure.value == OnFailure::Fallback
            && fallback.is_empty()
        {
            let message = format!("{own} has `on_failure: fallback` and no `fallback`");
            let help = "name the next agents: `fallback: [AGENT]`";
            self.reporter
                .error("missing-fallback", on_failure.at, "fallback", message, help);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the three sources of one text and whom it belongs to"
    )]
    fn work(
        &mut self,
        place: usize,
        own: &str,
        at: Place,
        exec: Option<At<String>>,
        prompt: Option<At<String>>,
        prompt_file: Option<At<String>>,
        needs: &[TaskKey],
    ) -> Option<Work> {
        let given = [("exec", &exec), ("prompt", &prompt), ("prompt_file", &prompt_file)];
        let given: Vec<(&str, Place)> = given
            .into_iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| (key, value.at)))
            .collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let message = format!("{own} has nothing to do");
                let help = "add one of `exec`, `prompt` and `prompt_file`";
                self.reporter.error("one-work", at, "", message, help);
            }
            [.., (_, last)] => {
                let keys = listed(given.iter().map(|(key, _)| *key));
                let message = format!("{own} has {keys}; it can have only one of them");
                self.reporter
                    .error("one-work", *last, "", message, "make two tasks of it, or take one out");
            }
        }
        // Each one is checked all the same: everything is reported at once.
        let exec = exec.and_then(|text| self.command_text(place, own, text));
        let prompt = prompt.and_then(|text| self.prompt_text(place, own, text, needs));
        let file = prompt_file.and_then(|path| self.prompt_from_file(place, own, &path));
        exec.map(Work::Exec).or(prompt.or(file).map(Work::Prompt))
    }

    fn command_text(&mut self, place: usize, own: &str, text: At<String>) -> Option<String> {
        self.says_something(own, "exec", &text)?;
        if text.value.contains('\0') {
            let message = format!("{own}: `exec` holds a NUL character");
            self.reporter.error(
                "bad-value",
                text.at,
                "",
                message,
                "a command cannot hold one; take it out",
            );
            return None;
        }
        let spots = Spots::inline(self.source, &text);
        self.template(place, own, &text.value, &spots, None);
        for error in template::check_shell(&text.value, &self.vars) {
            self.template_error(own, &error, &spots, &text.value, None);
        }
        Some(text.value)
    }

    fn prompt_text(&mut self, place: usize, own: &str, text: At<String>, needs: &[TaskKey]) -> Option<String> {
        self.says_something(own, "prompt", &text)?;
        if self.manners.prompts == Prompts::Literal
            || (self.manners.prompts == Prompts::TemplatesIfSound && template::check(&text.value).is_err())
        {
            return Some(self.with_results(template::literal(&text.value), needs));
        }
        let spots = Spots::inline(self.source, &text);
        let before = self.uses.len();
        self.template(place, own, &text.value, &spots, None);
        if self.uses.len() > before {
            return Some(text.value);
        }
        Some(self.with_results(text.value, needs))
    }

    /// The queue promises the results of the tasks a task waited for, without a word for it in the prompt.
    fn with_results(&self, mut prompt: String, needs: &[TaskKey]) -> String {
        if !self.manners.results_appended || needs.is_empty() {
            return prompt;
        }
        prompt.push_str("\n\nResults of the tasks this one waited for:");
        for need in needs {
            prompt.push_str(&format!("\n{{{{ tasks[\"{need}\"].summary }}}}"));
        }
        prompt
    }

    fn prompt_from_file(&mut self, place: usize, own: &str, path: &At<String>) -> Option<String> {
        self.says_something(own, "prompt_file", path)?;
        self.stays_inside(own, "prompt_file", path)?;
        if !self.prompt_files.contains_key(&path.value) {
            let read = (self.context.read_file)(&path.value);
            self.prompt_files.insert(path.value.clone(), read);
        }
        let text = match self.prompt_files.get(&path.value)? {
            Ok(text) => text.clone(),
            Err(why) => {
                let message = format!(
                    "{own}: the prompt file `{}` cannot be read: {why}",
                    shortened(&path.value)
                );
                let help = "the path is relative to the directory of the plan";
                self.reporter.error("prompt-file", path.at, &path.value, message, help);
                return None;
            }
        };
        let as_value = At {
            value: text,
            at: path.at,
        };
        self.says_something(own, &format!("prompt_file` `{}", shortened(&path.value)), &as_value)?;
        let text = as_value.value;
        let spots = Spots::of_file(&text);
        self.template(place, own, &text, &spots, Some(&path.value));
        Some(text)
    }

    fn says_something(&mut self, own: &str, key: &str, text: &At<String>) -> Option<()> {
        if text.value.trim().is_empty() {
            let message = format!("{own}: `{key}` is empty");
            self.reporter
                .error("empty-text", text.at, "", message, "write what is to be done");
            return None;
        }
        if text.value.len() > TEXT_BYTES_MAX {
            let message = format!(
                "{own}: `{key}` has {} bytes; the limit is {TEXT_BYTES_MAX}",
                text.value.len()
            );
            let help = "put it into a file and name the file in the prompt";
            self.reporter.error("too-large", text.at, "", message, help);
            return None;
        }
        Some(())
    }

    /// Checks a template and notes the tasks it names.
    fn template(&mut self, task: usize, own: &str, text: &str, spots: &Spots, file: Option<&str>) {
        match template::check(text) {
            Err(errors) => {
                for error in errors {
                    self.template_error(own, &error, spots, text, file);
                }
            }
            Ok(uses) => {
                for one in uses {
                    let at = spots.at(one.start);
                    match one.name {
                        Name::Literal(_) => {}
                        Name::Var(name) => self.known_var(own, &name, at, file),
                        Name::Task {
                            task: name, explicit, ..
                        } => self.uses.push(TaskUse {
                            task,
                            name,
                            explicit,
                            at,
                            file: file.map(str::to_owned),
                        }),
                    }
                }
            }
        }
        if template::statement(text).is_some() {
            let message = format!("{own}: `{{% … %}}` is plain text here");
            let help = "templates know `{{ … }}` only";
            self.reporter
                .warning("template-statement", spots.whole, "{%", message, help);
            if let Some(file) = file {
                self.reporter.in_file(file);
            }
        }
    }

    fn template_error(&mut self, own: &str, error: &template::Error, spots: &Spots, text: &str, file: Option<&str>) {
        let code = match &error.kind {
            ErrorKind::Unclosed | ErrorKind::Empty | ErrorKind::NotAName { .. } => "template-syntax",
            ErrorKind::UnknownRoot { .. } => "template-name",
            ErrorKind::UnknownField { .. } => "unknown-field",
            ErrorKind::UnknownVar { .. } => "unknown-var",
            ErrorKind::Shell { .. } => "template-shell",
            ErrorKind::TooLong => "too-large",
        };
        let at = spots.at(error.at);
        let found: String = text[error.at..].chars().take(60).collect();
        self.reporter
            .error(code, at, &found, format!("{own}: {error}"), error.kind.help());
        if let Some(file) = file {
            self.reporter.in_file(file);
        }
    }

    fn known_var(&mut self, own: &str, name: &str, at: Place, file: Option<&str>) {
        if self.vars.contains_key(name) {
            return;
        }
        let message = format!("{own}: no variable is called `{}`", shortened(name));
        let help = match self.vars.len() {
            0 => "the plan has none; define it under `vars:`".to_owned(),
            _ => format!("there are {}", listed(self.vars.keys().map(String::as_str).take(20))),
        };
        let exist = self.vars.keys().map(String::as_str);
        self.reporter.unknown("unknown-var", at, name, message, exist, help);
        if let Some(file) = file {
            self.reporter.in_file(file);
        }
    }

    /// Fills in the variables of a text that no result can flow into.
    fn with_vars(&mut self, text: &At<String>, own: &str, key: &str) -> String {
        if self.manners.prompts != Prompts::Templates || !text.value.contains("{{") {
            return text.value.clone();
        }
        let spots = Spots::inline(self.source, text);
        let uses = match template::check(&text.value) {
            Ok(uses) => uses,
            Err(errors) => {
                for error in errors {
                    self.template_error(own, &error, &spots, &text.value, None);
                }
                return text.value.clone();
            }
        };
        let mut sound = true;
        for one in uses {
            let at = spots.at(one.start);
            match one.name {
                Name::Literal(_) => {}
                Name::Var(name) => {
                    sound &= self.vars.contains_key(&name);
                    self.known_var(own, &name, at, None);
                }
                Name::Task { task, .. } => {
                    sound = false;
                    let message = format!("{own}: `{key}` cannot name task `{}`", shortened(&task));
                    let help = "results flow into `prompt`, `prompt_file` and `exec`; variables flow everywhere";
                    self.reporter.error("template-name", at, &task, message, help);
                }
            }
        }
        if !sound {
            return text.value.clone();
        }
        let none = |_: &str, _: &str| None;
        template::render(&text.value, &self.vars, &none, template::Mode::Prompt).unwrap_or_else(|_| text.value.clone())
    }

    /// The agent of that name, and the role. In compatible formats a name that is not configured becomes the role.
    fn agent(&mut self, name: Option<&At<String>>, role: Option<String>) -> (Option<AgentName>, Option<String>) {
        let Some(name) = name else {
            return (None, role);
        };
        if name.value == AUTO {
            return (Some(self.context.default_agent.clone()), role);
        }
        if name.value == EXEC {
            let message = "the agent `exec` runs commands; it cannot take a prompt".to_owned();
            let help = "write the command as `exec: …`, or name another agent";
            self.reporter.error("exec-agent", name.at, &name.value, message, help);
            return (None, role);
        }
        if let Some(known) = self.context.agents.iter().find(|agent| agent.as_str() == name.value) {
            return (Some(known.clone()), role);
        }
        if self.manners.lenient && !name.value.trim().is_empty() {
            let default = self.context.default_agent;
            let message = format!(
                "no agent is called `{}`; `{default}` does it in that role",
                shortened(&name.value)
            );
            let help = "configure an agent of that name to have its own";
            self.reporter
                .warning_once("agent-as-role", name.at, &name.value, message, help);
            return (Some(default.clone()), role.or_else(|| Some(name.value.clone())));
        }
        self.unknown_agent(name);
        (None, role)
    }

    fn unknown_agent(&mut self, name: &At<String>) {
        let message = format!("no agent is called `{}`", shortened(&name.value));
        let usable = || {
            let names = self
                .context
                .agents
                .iter()
                .map(AgentName::as_str)
                .filter(|name| *name != EXEC);
            std::iter::once(AUTO).chain(names)
        };
        let help = format!("there are {}", listed(usable().take(40)));
        self.reporter
            .unknown("unknown-agent", name.at, &name.value, message, usable(), help);
    }

    /// The fallback chain: known agents, each once, without the first.
    fn chain(&mut self, first: &AgentName, fallback: &[At<String>]) -> Vec<AgentName> {
        let mut chain: Vec<AgentName> = Vec::new();
        for name in fallback {
            let agent = match name.value.as_str() {
                AUTO => Some(self.context.default_agent.clone()),
                EXEC => None,
                text => self.context.agents.iter().find(|agent| agent.as_str() == text).cloned(),
            };
            let Some(agent) = agent else {
                self.unknown_agent(name);
                continue;
            };
            if agent != *first && !chain.contains(&agent) {
                chain.push(agent);
                continue;
            }
            // `auto` may well be an agent that is named besides; that depends on the machine, not on the plan.
            if name.value != AUTO {
                let message = format!("`{agent}` stands twice in the chain; the second is left out");
                self.reporter
                    .warning("repeated-agent", name.at, &name.value, message, "");
            }
        }
        chain
    }

    fn environment(&mut self, pairs: Vec<(At<String>, At<String>)>) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for (name, value) in pairs {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let why = if !is_id(&name.value, letters) || name.value.starts_with(|first: char| first.is_ascii_digit()) {
                "is not a name an environment can hold"
            } else if name.value.starts_with("WHEELHOUSE_") {
                "belongs to the engine"
            } else if value.value.contains('\0') {
                "has a value with a NUL character"
            } else {
                let value = self.with_vars(&value, "`env`", "env");
                environment.insert(name.value, value);
                continue;
            };
            let message = format!("`env`: `{}` {why}", shortened(&name.value));
            let help = "use letters, digits and `_`, no digit first, and not the prefix `WHEELHOUSE_`";
            self.reporter.error("bad-env", name.at, &name.value, message, help);
        }
        environment
    }

    fn globs(&mut self, own: &str, globs: Vec<At<String>>) -> Vec<String> {
        let mut kept = Vec::with_capacity(globs.len());
        for glob in globs {
            if glob.value.trim().is_empty() {
                let message = format!("{own}: `files` has an empty entry");
                self.reporter
                    .error("empty-text", glob.at, "", message, "write a glob such as `src/**`");
            } else if self.manners.lenient && leaves(&glob.value) {
                let message = "`files` outside the project are not watched for overlap".to_owned();
                self.reporter
                    .warning_once("ignored-key", glob.at, &glob.value, message, "");
            } else if self.stays_inside(own, "files", &glob).is_some() {
                kept.push(self.with_vars(&glob, own, "files"));
            }
        }
        kept
    }

    fn commands(&mut self, own: &str, commands: Vec<At<String>>) -> Vec<String> {
        let mut kept = Vec::with_capacity(commands.len());
        for command in commands {
            if self.says_something(own, "verify", &command).is_some() {
                kept.push(self.with_vars(&command, own, "verify"));
            }
        }
        kept
    }

    fn directory(&mut self, own: &str, cwd: &At<String>) -> Option<String> {
        let text = At {
            value: self.with_vars(cwd, own, "cwd"),
            at: cwd.at,
        };
        self.says_something(own, "cwd", &text)?;
        self.stays_inside(own, "cwd", &text)?;
        let path = text.value.trim_end_matches('/');
        (path != ".").then(|| path.to_owned())
    }

    fn stays_inside(&mut self, own: &str, key: &str, path: &At<String>) -> Option<()> {
        if !leaves(&path.value) {
            return Some(());
        }
        let message = format!("{own}: `{key}`: `{}` leaves the project", shortened(&path.value));
        let help = "write a path below the project's directory, without `..`";
        self.reporter.error("bad-path", path.at, &path.value, message, help);
        None
    }

    /// Circles, and templates that name what is not needed.
    fn graph(&mut self, index: &HashMap<String, usize>, edges: Edges) {
        let graph = Graph { needs: edges.inside };
        let groups = graph.groups();
        let mut ids: Vec<&str> = vec![""; graph.needs.len()];
        for (id, place) in index {
            ids[*place] = id;
        }
        for group in groups.iter().filter(|group| group.len() > 1) {
            let circle = graph.circle(group);
            let Some(&first) = circle.first() else { continue };
            let found = path(&circle, &ids);
            let message = match self.manners.words {
                Words::Plan => format!("tasks need each other in a circle: {found}"),
                Words::TaskText => {
                    let mut names: Vec<&str> = circle.iter().map(|place| ids[*place]).collect();
                    names.sort_unstable();
                    format!("cycle detected involving tasks: {}", names.join(","))
                }
            };
            let help = "take one of these out of the `needs` of the one before it";
            self.reporter.error("cycle", edges.at[first], &found, message, help);
        }
        self.uses_needed(index, &ids, &edges.keys, &graph, &groups);
    }

    fn uses_needed(
        &mut self,
        index: &HashMap<String, usize>,
        ids: &[&str],
        keys: &[Vec<TaskKey>],
        graph: &Graph,
        groups: &[Vec<usize>],
    ) {
        let mut questions = Vec::new();
        let mut asked = Vec::new();
        for one in std::mem::take(&mut self.uses) {
            let directly = keys[one.task].iter().any(|need| need.as_str() == one.name);
            match index.get(&one.name) {
                _ if directly => {}
                Some(wanted) => {
                    questions.push((one.task, *wanted));
                    asked.push(one);
                }
                None if self.existing_set.contains(one.name.as_str()) => self.not_needed(&one, ids),
                None => self.unknown_use(&one, index, ids),
            }
        }
        let answers = graph.reaches(groups, &questions);
        for (one, reached) in asked.iter().zip(answers) {
            if !reached {
                self.not_needed(one, ids);
            }
        }
    }

    fn not_needed(&mut self, one: &TaskUse, ids: &[&str]) {
        let (own, name) = (shortened(ids[one.task]), &one.name);
        if ids[one.task] == name {
            let message = format!("task `{own}` names its own result");
            let help = "a task's result is there only when it is done; name another task";
            self.reporter.error("self-reference", one.at, name, message, help);
        } else {
            let message = format!("task `{own}` names `{name}` in its text and does not need it");
            let help = format!("add `{name}` to its `needs`, so that the result is there");
            self.reporter.error("not-needed", one.at, name, message, help);
        }
        if let Some(file) = &one.file {
            self.reporter.in_file(file);
        }
    }

    fn unknown_use(&mut self, one: &TaskUse, index: &HashMap<String, usize>, ids: &[&str]) {
        let own = shortened(ids[one.task]);
        let known = |name: &str| index.contains_key(name) || self.existing_set.contains(name);
        // `facts.sumary`: the task is known, so the last part was meant as a field.
        let field = one
            .name
            .rsplit_once('.')
            .filter(|(task, _)| !one.explicit && known(task));
        if let Some((task, field)) = field {
            let message = format!("task `{own}`: the result of `{task}` has no `{field}`");
            let help = format!("it has {}", template::field_list());
            let exist = Field::ALL.into_iter().map(Field::as_str);
            self.reporter
                .unknown("unknown-field", one.at, field, message, exist, help);
        } else {
            let message = format!("task `{own}` names `{}`, which does not exist", shortened(&one.name));
            let exist = ids.iter().copied().chain(self.existing.iter().map(TaskKey::as_str));
            let help = "write `{{ tasks.ID.summary }}` with the id of a task of this plan";
            self.reporter
                .unknown("unknown-task", one.at, &one.name, message, exist, help);
        }
        if let Some(file) = &one.file {
            self.reporter.in_file(file);
        }
    }
}

/// Defaults of the plan over those of the configuration.
struct Settled {
    agent: AgentName,
    model: Option<String>,
    isolation: Isolation,
    timeout_ms: u64,
    idle_timeout_ms: u64,
    retry_max: Option<u32>,
    on_failure: Option<OnFailure>,
    env: BTreeMap<String, String>,
}

/// What each task needs, in the order of the plan.
#[derive(Default)]
struct Edges {
    /// As keys, those of the run included.
    keys: Vec<Vec<TaskKey>>,
    /// As places in the plan.
    inside: Vec<Vec<usize>>,
    /// Where each task is.
    at: Vec<Place>,
}

/// Where each `{{` of a text stands in its file.
struct Spots {
    /// The offset of each `{{` in the text, in order.
    offsets: Vec<usize>,
    /// Where each stands; empty when the text does not stand in the file as it is.
    places: Vec<Place>,
    whole: Place,
}

impl Spots {
    fn inline(source: &str, text: &At<String>) -> Spots {
        let raw = source.get(text.at.start as usize..text.at.end as usize).unwrap_or("");
        Spots::new(&text.value, raw, text.at)
    }

    fn of_file(text: &str) -> Spots {
        let whole = Place {
            line: 1,
            column: 1,
            ..Place::default()
        };
        Spots::new(text, text, whole)
    }

    fn new(text: &str, raw: &str, whole: Place) -> Spots {
        let offsets: Vec<usize> = text.match_indices("{{").map(|(at, _)| at).collect();
        let mut places = if offsets.is_empty() {
            Vec::new()
        } else {
            braces(raw, whole)
        };
        // Escapes can hide or add braces; then only the place of the whole is sure.
        if places.len() != offsets.len() {
            places.clear();
        }
        Spots { offsets, places, whole }
    }

    /// The place of the `{{` at an offset of the text.
    fn at(&self, offset: usize) -> Place {
        let before = self.offsets.partition_point(|start| *start <= offset);
        before
            .checked_sub(1)
            .and_then(|index| self.places.get(index))
            .copied()
            .unwrap_or(self.whole)
    }
}

fn braces(raw: &str, start: Place) -> Vec<Place> {
    let (mut line, mut column, mut from) = (start.line, start.column, 0);
    let mut places = Vec::new();
    for (offset, _) in raw.match_indices("{{") {
        for letter in raw[from..offset].chars() {
            if letter == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        from = offset;
        places.push(Place { line, column, ..start });
    }
    places
}

fn path(circle: &[usize], ids: &[&str]) -> String {
    /// How many names of a circle are printed.
    const NAMES_MAX: usize = 24;
    let mut names: Vec<&str> = circle.iter().map(|place| ids[*place]).collect();
    let left_out = names.len().saturating_sub(NAMES_MAX);
    let between = format!("({left_out} more)");
    if left_out > 0 {
        names.truncate(NAMES_MAX);
        names.push(&between);
    }
    names.push(ids[circle[0]]);
    names.join(" -> ")
}

fn limit(budget: Option<Budget>) -> Option<BudgetLimit> {
    budget.map(|Budget { usd }| BudgetLimit {
        cost_nano: usd.value.cost_nano,
    })
}

fn is_id(text: &str, letter: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= ID_LETTERS_MAX && !text.starts_with(['-', '.']) && text.bytes().all(letter)
}

/// Whether a path is absolute or climbs by `..`.
fn leaves(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    path.starts_with(['/', '\\', '~']) || drive || path.split(['/', '\\']).any(|part| part == "..")
}
