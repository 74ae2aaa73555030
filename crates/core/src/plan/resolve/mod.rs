//! From the wire types to specs: defaults applied, names resolved, files read, templates and edges checked.
//!
//! The last stage of every format. Goes on after each problem; what comes out is used only when there was none.

mod advice;
mod answer;
mod chosen;
mod edges;
mod flow;
mod gate;
mod inputs;
mod texts;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::flow::{Which, Wish};
use super::problem::{Place, Reporter, shortened};
use super::walk::{listed, nowhere};
use super::wire::{At, Budget, Defaults, Duration, Plan, Retry, Reusable, Task};
use super::{Advice, Context, ID_LETTERS_MAX, Manners, NAME_LETTERS_MAX};
use crate::chain::Link;
use crate::ids::{AgentName, TaskKey};
use crate::schema::Schema;
use crate::spec::{BudgetLimit, Edits, Isolation, Merge, OnFailure, TaskSpec};
use crate::workflow::crew::Crew;
use edges::TaskUse;

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
    pub(crate) crews: Vec<Crew>,
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
    /// The plan's own reusable texts, and where each stands.
    templates: BTreeMap<String, Reusable>,
    /// What the reusable text that is being read is given, by name; nothing outside of one.
    parameters: Option<BTreeMap<String, String>>,
    /// Each schema file that was read; none for one with problems.
    schema_files: HashMap<String, Option<Schema>>,
    /// Each `{{ tasks.… }}` that was found: the task it is in, what it names, where.
    uses: Vec<TaskUse>,
    /// What the text that is being read may name besides.
    inside: Inside,
}

/// What a text belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inside {
    /// An ordinary task.
    Task,
    /// The work of a map: `{{ item }}` has a meaning.
    Map,
    /// Its reduce: `{{ results }}` has one.
    Reduce,
}

impl Inside {
    /// The work of a task that wishes so.
    fn of(wish: Option<&Wish>) -> Inside {
        match wish.map(|wish| wish.which.value) {
            Some(Which::Map | Which::ParallelValidate) => Inside::Map,
            Some(Which::Qc | Which::Consensus | Which::Cascade) | None => Inside::Task,
        }
    }
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
            templates: BTreeMap::new(),
            parameters: None,
            schema_files: HashMap::new(),
            uses: Vec::new(),
            inside: Inside::Task,
        }
    }

    pub(crate) fn plan(mut self, plan: Plan) -> Resolved {
        let Plan {
            name,
            defaults,
            vars,
            templates,
            budget,
            tasks,
            at,
        } = plan;
        let name = name.and_then(|name| self.plan_name(name));
        self.variables(vars);
        self.reusable(templates);
        let defaults = self.defaults(defaults.unwrap_or_default());
        if tasks.is_empty() && self.manners.tasks_required && !self.reporter.has_errors() {
            let message = "the plan has no tasks".to_owned();
            let help = "add at least one: `- id: hello`, and below it `exec: echo hello`";
            self.reporter.error("empty-plan", at, "", message, help);
        }
        let index = self.ids(&tasks);
        let needs = self.edges(&tasks, &index);
        let names: Vec<String> = tasks
            .iter()
            .map(|task| task.id.as_ref().map_or_else(String::new, |id| id.value.clone()))
            .collect();
        let specs: Vec<(TaskSpec, Place)> = tasks
            .into_iter()
            .enumerate()
            .filter_map(|(place, task)| {
                let at = task.at;
                Some((self.task(place, task, &defaults, &needs.keys[place])?, at))
            })
            .collect();
        self.step_names(&specs);
        let crews = self.crews(&specs);
        if self.context.advice == Advice::Given && !self.reporter.has_errors() {
            self.advise(&specs);
        }
        let specs = specs.into_iter().map(|(spec, _)| spec).collect();
        self.graph(&index, &names, needs);
        Resolved {
            name,
            vars: self.vars,
            budget: limit(budget),
            tasks: specs,
            crews,
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

    fn defaults(&mut self, defaults: Defaults) -> Settled {
        let Defaults {
            agent,
            model,
            isolation,
            merge,
            protect,
            edits,
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
            merge: merge.map(|one| one.value).unwrap_or_default(),
            protect: self.globs("`defaults`", "protect", protect.unwrap_or_default()),
            edits: edits.map(|one| one.value).unwrap_or_default(),
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

    fn task(&mut self, place: usize, mut task: Task, defaults: &Settled, needs: &[TaskKey]) -> Option<TaskSpec> {
        let own = called(task.id.as_ref(), task.at);
        let chained = self.doers_fit(&own, &task);
        let is_exec = task.exec.is_some();
        let inputs = self.inputs(&own, &mut task);
        let work = self.work(place, &own, &mut task, needs);
        let Task {
            id,
            exec: _,
            prompt: _,
            prompt_file: _,
            template: _,
            with: _,
            documents: _,
            stdin: _,
            agent,
            fallback,
            chain: _,
            model,
            role,
            needs: _,
            priority,
            files,
            verify,
            isolation,
            merge,
            protect,
            edits,
            schema,
            timeout,
            idle_timeout,
            retry,
            deadline,
            confidence,
            gate,
            on_failure,
            plan,
            approval,
            env,
            cwd,
            budget,
            workflow,
            skip_if,
            skip_audit,
            shortcut,
            given: _,
            at,
        } = task;
        let flow = self.unless(&own, (skip_if, skip_audit), (is_exec, shortcut), needs);
        let role = role.map(|role| self.with_vars(&role, &own, "role"));
        let (first, fallback, role) = match is_exec {
            true => (Link::of(AgentName(EXEC.to_owned())), Vec::new(), role),
            false => self.doers(agent.as_ref(), model, role, &fallback, defaults),
        };
        let env = self.environment_over(&defaults.env, env);
        let files = self.globs(&own, "files", files);
        let isolation = isolation.map_or(defaults.isolation, |one| one.value);
        let edits_default = if is_exec { Edits::Own } else { defaults.edits };
        let edits = self.edits(&own, isolation, edits.as_ref(), edits_default);
        let (merge, protect) = self.guarded(&own, isolation, merge, protect, defaults);
        let planner = plan.is_some_and(|one| one.value);
        let otherwise = [is_exec, planner, edits == Edits::Patch, votes(workflow.as_ref())];
        let schema = self.answer(&own, schema, otherwise);
        let verify = self.commands(&own, verify);
        let spec = TaskSpec {
            key: TaskKey(id?.value),
            work: work?,
            agent: first.agent,
            fallback,
            model: first.model,
            role,
            needs: needs.to_vec(),
            priority: priority.map_or(0, |one| one.value),
            files,
            verify,
            isolation,
            merge,
            protect,
            edits,
            schema,
            timeout_ms: timeout.map_or(defaults.timeout_ms, |one| one.value.ms),
            idle_timeout_ms: idle_timeout.map_or(defaults.idle_timeout_ms, |one| one.value.ms),
            retry_max: self.retries(is_exec, retry.as_ref(), defaults),
            deadline_ms: deadline.map(|one| one.value.ms),
            window_tokens: None,
            confidence_min: confidence.map(|one| one.value),
            on_failure: on_failure.map(|one| one.value).or(defaults.on_failure),
            planner,
            approval: approval.is_some_and(|one| one.value),
            env,
            cwd: cwd.and_then(|cwd| self.directory(&own, &cwd)),
            budget: limit(budget),
            routed: None,
            flow,
            inputs,
        };
        let spec = self.choose(&own, followed(spec, chained)?, at)?;
        let spec = self.gated(&own, spec, gate, workflow.is_some())?;
        self.flow(place, &own, spec, workflow.as_ref())
    }

    /// How often a task may be tried again: a command that says nothing is not.
    fn retries(&self, is_exec: bool, retry: Option<&At<Retry>>, defaults: &Settled) -> u32 {
        let usual = if is_exec { 0 } else { self.context.defaults.retry_max };
        retry.map_or(defaults.retry_max.unwrap_or(usual), |one| one.value.max)
    }

    /// Whether what is said of who does the task goes together; and its chain, when it names one.
    fn doers_fit(&mut self, own: &str, task: &Task) -> Option<Option<Vec<Link>>> {
        let [agent, chain, model, role] = [&task.agent, &task.chain, &task.model, &task.role].map(Option::as_ref);
        if task.exec.is_some() {
            self.exec_only(own, agent, &task.fallback, chain, model, role);
        }
        self.fallback_given(own, task.on_failure.as_ref(), &task.fallback, chain.is_some());
        if let (Some(At { value: true, .. }), Some(name)) = (&task.plan, agent) {
            self.may_decide(own, name, "return tasks for others");
        }
        self.chained(own, task.chain.clone(), agent, &task.fallback, model)
    }

    /// Who does a prompt first, with which model, who comes next, and in which role.
    fn doers(
        &mut self,
        agent: Option<&At<String>>,
        model: Option<At<String>>,
        role: Option<String>,
        fallback: &[At<String>],
        defaults: &Settled,
    ) -> (Link, Vec<Link>, Option<String>) {
        let (agent, role) = self.agent(agent, role);
        let first = Link {
            model: model.map(|model| model.value).or_else(|| defaults.model.clone()),
            ..Link::of(agent.unwrap_or_else(|| defaults.agent.clone()))
        };
        let fallback = self.chain(&first.agent, first.model.as_deref(), fallback);
        (first, fallback, role)
    }

    /// What holds only for isolated tasks: without isolation there is no branch, and nobody can tell whose a change is.
    fn guarded(
        &mut self,
        own: &str,
        isolation: Isolation,
        merge: Option<At<Merge>>,
        protect: Option<Vec<At<String>>>,
        defaults: &Settled,
    ) -> (Merge, Vec<String>) {
        let first = protect.as_ref().and_then(|globs| globs.first()).map(|glob| glob.at);
        let own_protect = protect.map(|globs| self.globs(own, "protect", globs));
        if isolation == Isolation::Worktree {
            let protect = own_protect.unwrap_or_else(|| defaults.protect.clone());
            return (merge.map_or(defaults.merge, |one| one.value), protect);
        }
        let merge = merge.filter(|one| one.value != Merge::None).map(|one| one.at);
        for (key, at) in [("merge", merge), ("protect", first)] {
            let Some(at) = at else { continue };
            let message = format!("{own} has `{key}` and is not isolated");
            let help = format!("add `isolation: worktree`, or take `{key}` out");
            self.reporter.error("not-isolated", at, key, message, help);
        }
        (Merge::None, Vec::new())
    }

    /// A patch is applied in a tree of the task's own, where it can be taken back and told apart.
    fn edits(&mut self, own: &str, isolation: Isolation, edits: Option<&At<Edits>>, default: Edits) -> Edits {
        if isolation == Isolation::Worktree {
            return edits.map_or(default, |one| one.value);
        }
        if let Some(edits) = edits.filter(|one| one.value == Edits::Patch) {
            let message = format!("{own} has `edits: patch` and is not isolated");
            let help = "add `isolation: worktree`, or take `edits` out";
            self.reporter.error("not-isolated", edits.at, "edits", message, help);
        }
        Edits::Own
    }

    /// What has no meaning for a command.
    fn exec_only(
        &mut self,
        own: &str,
        agent: Option<&At<String>>,
        fallback: &[At<String>],
        chain: Option<&At<String>>,
        model: Option<&At<String>>,
        role: Option<&At<String>>,
    ) {
        let agent = agent.filter(|agent| ![EXEC, AUTO].contains(&agent.value.as_str()));
        let given = [
            ("agent", agent),
            ("fallback", fallback.first()),
            ("chain", chain),
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

    /// The named chain of a task, which says who does it first and who follows: nobody else may. None inside: there was
    /// something wrong with it.
    fn chained(
        &mut self,
        own: &str,
        chain: Option<At<String>>,
        agent: Option<&At<String>>,
        fallback: &[At<String>],
        model: Option<&At<String>>,
    ) -> Option<Option<Vec<Link>>> {
        let chain = chain?;
        let agent = agent.filter(|agent| agent.value != AUTO);
        let given = [("agent", agent), ("fallback", fallback.first()), ("model", model)];
        let mut clashes = false;
        for (key, value) in given {
            let Some(value) = value else { continue };
            let message = format!("{own} has both `chain` and `{key}`");
            let help = "the chain says who does it and who follows; keep one of them";
            self.reporter
                .error("duplicate-key", value.at, &value.value, message, help);
            clashes = true;
        }
        let links = self.named_chain(own, &chain);
        Some(links.filter(|_| !clashes))
    }

    fn fallback_given(
        &mut self,
        own: &str,
        on_failure: Option<&At<OnFailure>>,
        fallback: &[At<String>],
        chained: bool,
    ) {
        if let Some(on_failure) = on_failure
            && on_failure.value == OnFailure::Fallback
            && fallback.is_empty()
            && !chained
        {
            let message = format!("{own} has `on_failure: fallback` and no `fallback`");
            let help = "name the next agents: `fallback: [AGENT]`";
            self.reporter
                .error("missing-fallback", on_failure.at, "fallback", message, help);
        }
    }
}

/// Defaults of the plan over those of the configuration.
struct Settled {
    agent: AgentName,
    model: Option<String>,
    isolation: Isolation,
    merge: Merge,
    protect: Vec<String>,
    edits: Edits,
    timeout_ms: u64,
    idle_timeout_ms: u64,
    retry_max: Option<u32>,
    on_failure: Option<OnFailure>,
    env: BTreeMap<String, String>,
}

/// The task with its chain, when it has one; none when there was something wrong with that.
fn followed(spec: TaskSpec, chained: Option<Option<Vec<Link>>>) -> Option<TaskSpec> {
    match chained {
        Some(links) => Some(follow(spec, links?)),
        None => Some(spec),
    }
}

/// Whether the answers of its steps are verdicts.
fn votes(wish: Option<&Wish>) -> bool {
    wish.is_some_and(|wish| wish.which.value == Which::Consensus)
}

/// Puts a chain into a task: its first option in the place of the task's own agent.
fn follow(mut spec: TaskSpec, mut links: Vec<Link>) -> TaskSpec {
    let first = links.remove(0);
    spec.agent = first.agent;
    spec.model = first.model;
    spec.window_tokens = first.window_tokens;
    spec.timeout_ms = first.timeout_ms.unwrap_or(spec.timeout_ms);
    spec.retry_max = first.retry_max.unwrap_or(spec.retry_max);
    spec.fallback = links;
    spec
}

/// How messages call a task: by its name, else by where it begins.
fn called(id: Option<&At<String>>, at: Place) -> String {
    match id {
        Some(id) => format!("task `{}`", shortened(&id.value)),
        None => format!("the task on line {}", at.line),
    }
}

fn limit(budget: Option<Budget>) -> Option<BudgetLimit> {
    budget.map(|Budget { usd }| BudgetLimit {
        cost_nano: usd.value.cost_nano,
    })
}

fn is_id(text: &str, letter: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= ID_LETTERS_MAX && !text.starts_with(['-', '.']) && text.bytes().all(letter)
}
