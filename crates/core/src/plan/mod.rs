//! Plans: what people write, checked and turned into specs.
//!
//! The way in is [`read`] (a plan, in any of the [`Format`]s) and [`tasks_from_output`] (what a planner task
//! returns); the way out is [`RunSpec`] and [`TaskSpec`]s, or every [`Problem`] at once. [`template`] fills results
//! into texts when a task starts, [`schema`] publishes the format, [`show`] draws the graph. Called by the command
//! line, the servers and the engine. Reads no file and asks nobody: prompt files come in by a function.
//!
//! Inside, a text becomes a tree with places (`tree`, `json`), the tree the wire types (`walk`, `compat`), and those
//! the specs (`resolve`, `graph`). Hostile input is expected at every step: nothing recurses over it, every size has
//! a limit below, and work that could grow faster than the input has a budget.

mod answer;
mod compat;
mod flow;
mod gate;
mod graph;
mod json;
mod nearest;
mod planned;
pub(crate) mod problem;
mod resolve;
pub mod show;
pub mod template;
pub(crate) mod tree;
pub(crate) mod walk;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use graph::EDGES_MAX;
pub use planned::tasks_from_output;
pub use problem::{CODES, PRINTED_MAX, Problem, Problems, Severity};
pub use tree::{DEPTH_MAX, EXPANDED_MAX};
pub use wire::schema;

use crate::ids::{AgentName, TaskKey};
use crate::route::Router;
use crate::spec::{RunSpec, TaskSpec};
use crate::workflow::crew::Crew;
use compat::task_text;
use problem::Reporter;
use resolve::{Resolve, Resolved};
use tree::{Kind, Tree};
use walk::{Walk, nowhere};

/// How large a plan may be, in bytes.
pub const PLAN_BYTES_MAX: usize = 64 << 20;
/// How many tasks a plan may have.
pub const TASKS_MAX: usize = 100_000;
/// How large one prompt or command may be, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// How long a task id or variable name may be.
pub const ID_LETTERS_MAX: usize = 64;
/// How long a plan's name may be.
pub const NAME_LETTERS_MAX: usize = 200;
/// The longest timer.
pub const TIMEOUT_MAX: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// The largest budget, in US dollars.
pub const USD_MAX: u64 = 1_000_000;

/// A plan as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's name, for messages and to tell the format by.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The format, when it is known; else it is told by name and content.
    pub format: Option<Format>,
}

/// The formats plans come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A plan, YAML or JSON.
    Plan,
    /// The queue `{"tasks": [{"id", "agent", "prompt", "deps"}]}`.
    Queue,
    /// A bare list of tasks.
    Tasks,
    /// The `---TASK---` text.
    TaskText,
    /// The `.exec.yaml` manifest.
    Manifest,
}

/// What a plan is read against.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The configured agents.
    pub agents: &'a [AgentName],
    /// Who does a prompt that names nobody; `auto` to have somebody chosen.
    pub default_agent: &'a AgentName,
    /// Chooses for `auto`; without it `auto` is the default agent.
    pub router: Option<&'a RefCell<Router>>,
    /// Variables of the command line; each must be defined by the plan.
    pub vars: &'a BTreeMap<String, String>,
    /// Reads a prompt file, by its path as the plan has it (relative, without `..`).
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
    /// What holds where neither plan nor task says anything.
    pub defaults: Defaults,
    /// Whether what the plan will regret is said.
    pub advice: Advice,
}

/// Whether advice is given: warnings about what is allowed and seldom wise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Advice {
    /// To whoever has a plan checked.
    Given,
    /// To whoever has it run: they have decided.
    #[default]
    Kept,
}

impl Default for Context<'_> {
    /// Nothing configured: only `exec` tasks can be read against it.
    fn default() -> Self {
        static NOBODY: AgentName = AgentName(String::new());
        static NO_VARS: BTreeMap<String, String> = BTreeMap::new();
        Context {
            agents: &[],
            default_agent: &NOBODY,
            router: None,
            vars: &NO_VARS,
            read_file: &|_| Err("prompt files cannot be read here".to_owned()),
            defaults: Defaults::default(),
            advice: Advice::default(),
        }
    }
}

/// What holds where neither plan nor task says anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Defaults {
    /// The wall timer, in milliseconds.
    pub timeout_ms: u64,
    /// The idle timer, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How often a prompt may be tried again on one agent. A command is not tried again unless the plan says so: it
    /// fails the same way twice.
    pub retry_max: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults {
            timeout_ms: 30 * 60_000,
            idle_timeout_ms: 5 * 60_000,
            retry_max: 1,
        }
    }
}

/// A plan without errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The run it describes.
    pub run: RunSpec,
    /// Its tasks, in the order of the plan.
    pub tasks: Vec<TaskSpec>,
    /// What is worth knowing.
    pub warnings: Vec<Problem>,
    /// Who takes part in its workflows, and what that is expected to take.
    pub crews: Vec<Crew>,
}

/// Reads and checks a plan. Every problem is reported, in the order of the file.
pub fn read(source: &Source<'_>, context: &Context<'_>) -> Result<Checked, Problems> {
    read_more(source, &[], context)
}

/// [`read`] for tasks that join a run: `needs` may also name `existing` tasks of it, and ids must not repeat them.
pub fn read_more(source: &Source<'_>, existing: &[TaskKey], context: &Context<'_>) -> Result<Checked, Problems> {
    let mut reporter = Reporter::new(source.name);
    let resolved = resolved(source, existing, context, &mut reporter);
    let refused = reporter.has_errors();
    let problems = reporter.finish();
    match resolved {
        Some(resolved) if !refused => {
            let Resolved {
                name,
                vars,
                budget,
                tasks,
                crews,
            } = resolved;
            let run = RunSpec {
                name: name.unwrap_or_else(|| stem(source.name)),
                vars,
                budget,
                source: source.name.to_owned(),
                standing: false,
            };
            Ok(Checked {
                run,
                tasks,
                warnings: problems,
                crews,
            })
        }
        Some(_) | None => Err(Problems(problems)),
    }
}

fn resolved(
    source: &Source<'_>,
    existing: &[TaskKey],
    context: &Context<'_>,
    reporter: &mut Reporter,
) -> Option<Resolved> {
    if source.text.len() > PLAN_BYTES_MAX {
        let message = format!(
            "the plan has {} bytes; the limit is {PLAN_BYTES_MAX}",
            source.text.len()
        );
        reporter.error(
            "too-large",
            nowhere(),
            "",
            message,
            "put long prompts into files: `prompt_file`",
        );
        return None;
    }
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
    let (format, plan) = if is_task_text(source, text) {
        (Format::TaskText, task_text::read(text, reporter)?)
    } else {
        let tree = tree(source.name, text, reporter)?;
        let format = source.format.unwrap_or_else(|| detect(source.name, &tree));
        let mut walk = Walk {
            tree: &tree,
            reporter,
            // A manifest's unknown keys are errors by its own schema.
            lenient: format.manners().lenient && format != Format::Manifest,
            about: String::new(),
        };
        let plan = match format {
            Format::Manifest => compat::manifest::read(&mut walk),
            Format::Plan | Format::Queue | Format::Tasks | Format::TaskText => walk.plan(),
        };
        (format, plan?)
    };
    Some(Resolve::new(text, format.manners(), context, existing, reporter).plan(plan))
}

fn is_task_text(source: &Source<'_>, text: &str) -> bool {
    match source.format {
        Some(format) => format == Format::TaskText,
        None => {
            text.trim_start().starts_with(task_text::TASK)
                || (source.name.ends_with(".txt") && text.contains(task_text::TASK))
        }
    }
}

fn tree(name: &str, text: &str, reporter: &mut Reporter) -> Option<Tree> {
    let bracket = text.trim_start().starts_with(['{', '[']);
    if name.ends_with(".json") || (bracket && json::is_json(text)) {
        return json::json(text, reporter);
    }
    if text.trim().is_empty() {
        let help = "write `tasks:` and a list below it";
        reporter.error("empty-plan", nowhere(), "", "the plan is empty".to_owned(), help);
        return None;
    }
    let tree = tree::yaml(text, reporter);
    if tree.is_none() && !reporter.has_errors() {
        let help = "write `tasks:` and a list below it";
        reporter.error("empty-plan", nowhere(), "", "the plan holds nothing".to_owned(), help);
    }
    tree
}

fn detect(name: &str, tree: &Tree) -> Format {
    let file = name.rsplit('/').next().unwrap_or(name);
    if file.ends_with(".exec.yaml") || file.ends_with(".exec.yml") {
        return Format::Manifest;
    }
    if file == "orchestrator-queue.json" {
        return Format::Queue;
    }
    detect_tree(tree)
}

/// Tells the format by the keys. A queue is an object with nothing but tasks that have nothing but the keys of a
/// queue, `deps` among them; everything else with `tasks` is a plan.
fn detect_tree(tree: &Tree) -> Format {
    const QUEUE_KEYS: [&str; 12] = [
        "id",
        "agent",
        "prompt",
        "deps",
        "status",
        "state",
        "priority",
        "title",
        "description",
        "created",
        "updated",
        "result",
    ];
    let entries = match &tree.root().kind {
        Kind::List(_) => return Format::Tasks,
        Kind::Map(entries) => entries,
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => return Format::Plan,
    };
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    if has("stages") || (has("version") && has("mode")) {
        return Format::Manifest;
    }
    if ["name", "defaults", "vars", "budget"].into_iter().any(has) {
        return Format::Plan;
    }
    let tasks = entries.iter().find(|entry| entry.key == "tasks");
    let Some(Kind::List(tasks)) = tasks.map(|entry| &tree.node(entry.value).kind) else {
        return Format::Plan;
    };
    let mut with_deps = false;
    for task in tasks {
        let Kind::Map(keys) = &tree.node(*task).kind else {
            return Format::Plan;
        };
        if keys.iter().any(|entry| !QUEUE_KEYS.contains(&entry.key.as_str())) {
            return Format::Plan;
        }
        with_deps |= keys.iter().any(|entry| entry.key == "deps");
    }
    if with_deps { Format::Queue } else { Format::Plan }
}

fn stem(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file
        .split('.')
        .find(|part| !part.is_empty() && *part != "-")
        .unwrap_or("plan");
    stem.chars()
        .filter(|letter| !letter.is_control())
        .take(NAME_LETTERS_MAX)
        .collect()
}

/// How a format wants to be treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Manners {
    /// Unknown keys and agents are noted, not refused.
    lenient: bool,
    prompts: Prompts,
    /// Results of the tasks a task waited for are put below its prompt.
    results_appended: bool,
    words: Words,
    tasks_required: bool,
    /// The variables of the context are the defined ones.
    vars_given: bool,
}

/// Whether prompts are templates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Prompts {
    Templates,
    /// Only when every `{{ … }}` is one of ours; else braces mean nothing.
    TemplatesIfSound,
    Literal,
}

/// Whose error texts are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Words {
    Plan,
    TaskText,
}

impl Format {
    fn manners(self) -> Manners {
        let plan = Manners {
            lenient: false,
            prompts: Prompts::Templates,
            results_appended: false,
            words: Words::Plan,
            tasks_required: true,
            vars_given: false,
        };
        match self {
            Format::Plan => plan,
            Format::Queue => Manners {
                lenient: true,
                prompts: Prompts::TemplatesIfSound,
                results_appended: true,
                tasks_required: false,
                ..plan
            },
            Format::Tasks => Manners {
                lenient: true,
                prompts: Prompts::TemplatesIfSound,
                ..plan
            },
            Format::TaskText => Manners {
                lenient: true,
                prompts: Prompts::Literal,
                words: Words::TaskText,
                ..plan
            },
            Format::Manifest => Manners {
                lenient: true,
                prompts: Prompts::Literal,
                ..plan
            },
        }
    }
}
