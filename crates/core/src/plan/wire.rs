//! Plans as they are written: the types every format is read into, and from which the JSON Schema is made.
//!
//! Values keep their place ([`At`]), because what is wrong with them is often seen only later. Filled by the readers
//! of the formats, taken apart by `resolve`. A key that is given as `null` counts as not given.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::flow::Wish;
use super::gate::Gated;
use super::problem::Place;
use crate::spec::{Edits, Isolation, Merge, OnFailure, RETRY_MAX};
use crate::workflow::Shortcut;

/// A value and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: Place,
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A plan: tasks, and what holds for all of them.
#[derive(Debug, Default, JsonSchema)]
#[schemars(title = "Wheelhouse plan", deny_unknown_fields)]
pub(crate) struct Plan {
    /// The plan's name. Default: the name of the file.
    pub(crate) name: Option<At<String>>,
    /// What holds for every task that does not say otherwise.
    pub(crate) defaults: Option<Defaults>,
    /// Variables for `{{ vars.NAME }}`; `--var NAME=VALUE` overrides them.
    #[schemars(with = "Option<Pairs>")]
    pub(crate) vars: Vec<(At<String>, At<String>)>,
    /// Texts of prompts with parameters, by name; a task takes one with `template` and `with`.
    #[schemars(with = "Option<Reusables>")]
    pub(crate) templates: Vec<(At<String>, Reusable)>,
    /// Money the whole run may spend.
    pub(crate) budget: Option<Budget>,
    /// The tasks. Their order means nothing except between equals.
    pub(crate) tasks: Vec<Task>,
    /// Where the plan begins.
    #[schemars(skip)]
    pub(crate) at: Place,
}

/// What holds for every task that does not say otherwise.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// The agent for prompts; `auto` is the one the configuration names.
    pub(crate) agent: Option<At<String>>,
    /// The model for prompts.
    pub(crate) model: Option<At<String>>,
    /// Where tasks work.
    pub(crate) isolation: Option<At<Isolation>>,
    /// What becomes of the branches of isolated tasks.
    pub(crate) merge: Option<At<Merge>>,
    /// What isolated tasks must not change.
    #[schemars(with = "Option<Words>")]
    pub(crate) protect: Option<Vec<At<String>>>,
    /// How isolated tasks with a prompt change files.
    pub(crate) edits: Option<At<Edits>>,
    /// The wall timer.
    pub(crate) timeout: Option<At<Duration>>,
    /// The idle timer: no sign of life for so long.
    pub(crate) idle_timeout: Option<At<Duration>>,
    /// How often a try may be repeated.
    pub(crate) retry: Option<At<Retry>>,
    /// What a failure leads to.
    pub(crate) on_failure: Option<At<OnFailure>>,
    /// Environment for every task.
    #[schemars(with = "Option<Pairs>")]
    pub(crate) env: Vec<(At<String>, At<String>)>,
}

/// One task. It has exactly one of `exec`, `prompt`, `prompt_file` and `template`.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = [
    {"required": ["exec"]}, {"required": ["prompt"]}, {"required": ["prompt_file"]},
    {"required": ["template"]}
]))]
pub(crate) struct Task {
    /// The task's name, unique in the plan.
    #[schemars(with = "Id")]
    pub(crate) id: Option<At<String>>,
    /// A command for `sh -c`. A template.
    pub(crate) exec: Option<At<String>>,
    /// A prompt for an agent. A template.
    pub(crate) prompt: Option<At<String>>,
    /// A file that holds the prompt, relative to the plan's directory. Its text is a template.
    pub(crate) prompt_file: Option<At<String>>,
    /// The prompt is made of this: one of the plan's `templates`, or the path of a file, relative to the plan's directory.
    pub(crate) template: Option<At<String>>,
    /// The template's parameters: what `{{ with.NAME }}` stands for in it. Each value is a template.
    #[schemars(with = "Option<Pairs>")]
    pub(crate) with: Vec<(At<String>, At<String>)>,
    /// Files of the project that the prompt is about, given with it: long ones as a blueprint with line numbers.
    #[schemars(with = "Option<Words>")]
    pub(crate) documents: Vec<At<String>>,
    /// The task whose whole output this one reads: a command on its standard input, an agent below its prompt. It needs
    /// that task.
    #[schemars(with = "Option<Id>")]
    pub(crate) stdin: Option<At<String>>,
    /// Who does it: a configured agent, or `auto`.
    pub(crate) agent: Option<At<String>>,
    /// Who does it next, in order, when the failure says to move on: agents, or models that somebody here serves.
    #[schemars(with = "Option<Words>")]
    pub(crate) fallback: Vec<At<String>>,
    /// A chain of the routing file in place of `agent`, `model` and `fallback`: who does it, who follows, each with its
    /// own timeout and retries.
    pub(crate) chain: Option<At<String>>,
    /// A model for the agent.
    pub(crate) model: Option<At<String>>,
    /// A role or system prompt for the agent.
    pub(crate) role: Option<At<String>>,
    /// The tasks that must be done first. Also read as `deps`, `depends_on` and `dependencies`.
    #[schemars(with = "Option<Ids>")]
    pub(crate) needs: Vec<At<String>>,
    /// Higher runs sooner among those that are ready.
    pub(crate) priority: Option<At<i32>>,
    /// The declared write set, as globs; tasks whose sets overlap do not run at the same time.
    #[schemars(with = "Option<Words>")]
    pub(crate) files: Vec<At<String>>,
    /// Commands that the engine runs after the agent claims success.
    #[schemars(with = "Option<Words>")]
    pub(crate) verify: Vec<At<String>>,
    /// Where it works.
    pub(crate) isolation: Option<At<Isolation>>,
    /// What becomes of its branch when it is done.
    pub(crate) merge: Option<At<Merge>>,
    /// What it must not change: globs, and the words `tests`, `ci` and `checks`. In place of those of `defaults`.
    #[schemars(with = "Option<Words>")]
    pub(crate) protect: Option<Vec<At<String>>>,
    /// How it changes files: by itself, or by a patch in its answer that the engine applies.
    pub(crate) edits: Option<At<Edits>>,
    /// What its answer must be valid against: a JSON schema, or the path of a file with one, relative to the plan's
    /// directory.
    #[schemars(with = "Option<Answer>")]
    pub(crate) schema: Option<At<Answer>>,
    /// The wall timer.
    pub(crate) timeout: Option<At<Duration>>,
    /// The idle timer: no sign of life for so long.
    pub(crate) idle_timeout: Option<At<Duration>>,
    /// How often it may be tried again on one agent.
    pub(crate) retry: Option<At<Retry>>,
    /// How long all tries together may take, over all agents and waits for retries; else the sum of what all may take.
    pub(crate) deadline: Option<At<Duration>>,
    /// An answer that states less confidence than this, 0 to 100, is weak: the next agent is asked, and the best answer
    /// kept. 30 where nothing is said; an answer that states none passes.
    #[schemars(with = "Option<u8>", range(min = 0, max = 100))]
    pub(crate) confidence: Option<At<u8>>,
    /// What an answer must pass, or the next agent of the chain is asked: a judge of another vendor, or being a verdict itself.
    #[schemars(with = "Option<Gated>")]
    pub(crate) gate: Option<Gated>,
    /// What a failure leads to, in place of the table of outcomes.
    pub(crate) on_failure: Option<At<OnFailure>>,
    /// Its output is a list of tasks that are added to the run.
    pub(crate) plan: Option<At<bool>>,
    /// A person must approve it before it starts.
    pub(crate) approval: Option<At<bool>>,
    /// Additional environment.
    #[schemars(with = "Option<Pairs>")]
    pub(crate) env: Vec<(At<String>, At<String>)>,
    /// Working directory, relative to the project.
    pub(crate) cwd: Option<At<String>>,
    /// Money it may spend.
    pub(crate) budget: Option<Budget>,
    /// It is done by several: `qc`, `consensus`, `cascade` or `map`.
    #[schemars(with = "Option<Wish>")]
    pub(crate) workflow: Option<Wish>,
    /// It is not needed when this holds of what another task left: `score >= 8`.
    #[schemars(with = "Option<Words>")]
    pub(crate) skip_if: Vec<At<String>>,
    /// Whether code does it in place of its agent, where its prompt is a mechanical transform and nothing else: `auto`, or
    /// `off`. What the settings say when absent.
    pub(crate) shortcut: Option<At<Shortcut>>,
    /// In so many of 100 cases in which it is not needed by `skip_if` it is done all the same, to see what skipping costs.
    #[schemars(with = "Option<u8>", range(min = 0, max = 100))]
    pub(crate) skip_audit: Option<At<u8>>,
    /// What was there and could not be read, so that it is not called missing.
    #[schemars(skip)]
    pub(crate) given: Given,
    /// Where the task begins.
    #[schemars(skip)]
    pub(crate) at: Place,
}

/// The keys that say what a task does.
pub(crate) const WORKS: [&str; 4] = ["exec", "prompt", "prompt_file", "template"];

/// Keys that were there, readable or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given {
    /// `id`.
    pub(crate) id: bool,
    /// One of `exec`, `prompt`, `prompt_file` and `template`.
    pub(crate) work: bool,
}

/// A limit on money.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Budget {
    /// US dollars.
    pub(crate) usd: At<Usd>,
}

/// An amount in nano-dollars.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Usd {
    pub(crate) cost_nano: u64,
}

impl JsonSchema for Usd {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": super::USD_MAX,
            "pattern": "^[0-9]+(\\.[0-9]{1,9})?$",
            "examples": [2, 0.5, "2.00"],
        })
    }
}

/// A span in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Duration {
    pub(crate) ms: u64,
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number and a unit, `ms`, `s`, `m`, `h` or `d`, as often as wanted.",
            "type": "string",
            "pattern": "^\\s*([0-9]+(ms|s|m|h|d)\\s*)+$",
            "examples": ["90s", "20m", "2h30m"],
        })
    }
}

/// How often a try may be repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retry {
    pub(crate) max: u32,
}

impl JsonSchema for Retry {
    fn schema_name() -> Cow<'static, str> {
        "Retry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let max = json_schema!({"type": "integer", "minimum": 0, "maximum": RETRY_MAX});
        json_schema!({
            "description": "How often a try may be repeated: never more than three tries of one thing.",
            "anyOf": [
                max,
                {
                    "type": "object",
                    "properties": {"max": max},
                    "required": ["max"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// What an answer must be valid against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// What the file says.
    File(String),
    /// This; none when it was no schema, which was said.
    Inline(Option<crate::schema::Schema>),
}

impl JsonSchema for Answer {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Answer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}]})
    }
}

/// Schema of a task id.
struct Id;

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A task's name.",
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$",
        })
    }
}

/// Schema of one or several task ids.
struct Ids;

impl JsonSchema for Ids {
    fn schema_name() -> Cow<'static, str> {
        "Ids".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let id = generator.subschema_for::<Id>();
        json_schema!({
            "description": "Task ids: a list, one id, or several separated by commas.",
            "anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "array", "items": id}],
        })
    }
}

/// Schema of one or several texts.
struct Words;

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list of texts, or one text.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}},
            ],
        })
    }
}

/// A text of the plan that tasks share.
#[derive(Clone, Debug)]
pub(crate) struct Reusable {
    /// The text.
    pub(crate) text: At<String>,
    /// What its parameters are where a task does not say.
    pub(crate) defaults: Vec<(At<String>, At<String>)>,
}

/// Schema of the texts that tasks share.
struct Reusables;

impl JsonSchema for Reusables {
    fn schema_name() -> Cow<'static, str> {
        "Templates".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let default = json_schema!({
            "type": "object", "additionalProperties": false, "required": ["default"],
            "properties": {"default": {"type": ["string", "number", "boolean"]}},
        });
        json_schema!({
            "description": "Texts by name; one whose parameters have defaults is a map.",
            "type": "object",
            "additionalProperties": {"anyOf": [
                {"type": "string"},
                {
                    "type": "object", "additionalProperties": false, "required": ["text"],
                    "properties": {
                        "text": {"type": "string"},
                        "with": {"type": "object", "additionalProperties": default},
                    },
                },
            ]},
        })
    }
}

/// Schema of a map of plain values.
struct Pairs;

impl JsonSchema for Pairs {
    fn schema_name() -> Cow<'static, str> {
        "Pairs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names and values; numbers and booleans are taken as they are written.",
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        })
    }
}

/// The words that are read as `needs`.
pub(crate) const NEEDS_ALIASES: [&str; 3] = ["deps", "depends_on", "dependencies"];

/// The JSON Schema of plans, made from the types above.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Plan>();
    let mut schema = schema.to_value();
    if let Some(properties) = schema
        .pointer_mut("/$defs/Task/properties")
        .and_then(Value::as_object_mut)
        && let Some(needs) = properties.get("needs").cloned()
    {
        for alias in NEEDS_ALIASES {
            let mut also = needs.clone();
            also["description"] = Value::from("Another word for `needs`.");
            properties.insert(alias.to_owned(), also);
        }
    }
    schema
}
