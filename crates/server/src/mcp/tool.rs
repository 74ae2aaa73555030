//! What a tool is, and which tools there are.
//!
//! A toolset is what `tools/list` names. Every tool can be called whatever set is listed; `find_tools` finds the others.
//! Schemas are made from the argument types and then stripped of what costs tokens and helps nobody.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use rmcp::model::{JsonObject, Tool as Listed, ToolAnnotations};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::{compat, crew, lead, lean, more, project};
use crate::api::problem::Problem;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::nearest;
use crate::guard::Caller;
use crate::madrox;
use crate::token::Scope;

/// A set of tools that can be listed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Toolset {
    /// About a dozen verbs that cost a model few tokens to know.
    #[default]
    Lean,
    /// Everything of ours.
    Full,
    /// The names that clients of madrox know.
    Madrox,
    /// The names that clients of systemprompt's orchestrator know.
    Tasks,
}

impl Toolset {
    /// All of them.
    pub(crate) const ALL: [Toolset; 4] = [Toolset::Lean, Toolset::Full, Toolset::Madrox, Toolset::Tasks];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Toolset::Lean => "lean",
            Toolset::Full => "full",
            Toolset::Madrox => "madrox",
            Toolset::Tasks => "tasks",
        }
    }

    /// Whether this set lists a tool that belongs to another.
    fn lists(self, of: Toolset) -> bool {
        self == of || (self == Toolset::Full && of == Toolset::Lean)
    }

    /// The set of that name.
    pub(crate) fn named(name: &str) -> Result<Toolset, Failure> {
        if let Some(found) = Toolset::ALL.into_iter().find(|set| set.name() == name) {
            return Ok(found);
        }
        let exist = Toolset::ALL.map(|set| set.name().to_owned());
        let mut failure = Failure::not_found("toolset", name, &exist);
        failure.exit = exit::USAGE;
        Err(failure)
    }
}

/// What a tool does to the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// Looks.
    Reads,
    /// Starts or adds.
    Adds,
    /// Stops or discards.
    Ends,
}

/// Who may use a tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum User {
    /// People, and whoever acts for them.
    Person,
    /// Instances too, within their rights: it is about instances, and the store knows who may do what to whom.
    Crew,
}

type Working<'c> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'c>>;

/// One tool.
pub(crate) struct Tool {
    /// Its name, unique in its set and among ours.
    pub(crate) name: &'static str,
    /// What it does; the first sentence stands alone.
    pub(crate) about: &'static str,
    /// What it does to the world.
    pub(crate) effect: Effect,
    /// The set that it belongs to.
    pub(crate) set: Toolset,
    /// Who may use it.
    pub(crate) user: User,
    /// Further words that people use for it.
    pub(crate) also: &'static str,
    /// What it takes.
    pub(crate) input: fn() -> Schema,
    /// What it answers.
    pub(crate) output: fn() -> Schema,
    /// Does it.
    pub(crate) work: for<'c> fn(&'c Call<'c>) -> Working<'c>,
}

/// Whether the caller may use what does that to the world. What an instance may do to others is the store's to say;
/// everything else is a person's.
pub(crate) fn allowed(caller: Caller, user: User, effect: Effect) -> Result<(), Problem> {
    if user == User::Crew && !caller.is_person() {
        return Ok(());
    }
    caller.may(match effect {
        Effect::Reads => Scope::Read,
        Effect::Adds | Effect::Ends => Scope::Operate,
    })
}

/// A verb of madrox as a tool.
fn of_madrox(verb: &madrox::Verb) -> Tool {
    Tool {
        name: verb.name,
        about: verb.about,
        effect: verb.effect,
        set: Toolset::Madrox,
        user: verb.user,
        also: verb.also,
        input: verb.input,
        output: answers::<AnyDocument>,
        work: |call| Box::pin(call_madrox(call)),
    }
}

async fn call_madrox(call: &Call<'_>) -> Result<Answer, Failure> {
    let verb = madrox::named(call.tool)?;
    let asked = madrox::Asked {
        faces: call.faces,
        caller: call.caller(),
        verb: verb.name,
        arguments: Value::Object(call.arguments.clone()),
        key: call.once().map(|once| once.key),
        gone: call.context.ct.clone(),
    };
    Ok(Answer::Document((verb.work)(&asked).await?))
}

impl Tool {
    fn listed(&self) -> Listed {
        let read_only = self.effect == Effect::Reads;
        // What a hint says by default is not said.
        let annotations = match self.effect {
            Effect::Reads => ToolAnnotations::new().read_only(read_only),
            Effect::Adds => ToolAnnotations::new().destructive(false),
            Effect::Ends => ToolAnnotations::new(),
        };
        let tool = Listed::new_with_raw(self.name, Some(self.about.into()), stripped((self.input)()))
            .with_raw_output_schema(outline((self.output)()));
        match self.effect {
            Effect::Ends => tool,
            Effect::Reads | Effect::Adds => tool.with_annotations(annotations),
        }
    }
}

/// A tool: its set, who may use it, what it does to the world, its name, what it takes and answers, who does it, what it
/// is for, and further words that people use for it.
macro_rules! tool {
    ($set:ident $user:ident $effect:ident $name:literal, $takes:ty => $answers:ty, $work:path, $about:expr, $also:literal) => {
        $crate::mcp::tool::Tool {
            name: $name,
            about: $about,
            effect: $crate::mcp::tool::Effect::$effect,
            set: $crate::mcp::tool::Toolset::$set,
            user: $crate::mcp::tool::User::$user,
            also: $also,
            input: $crate::mcp::tool::schema::<$takes>,
            output: $crate::mcp::tool::answers::<$answers>,
            work: |call| Box::pin($work(call)),
        }
    };
}
pub(crate) use tool;

/// A document that docs/mcp.md describes.
#[derive(serde::Serialize, JsonSchema)]
pub(crate) struct AnyDocument {}

/// Every tool, in the order in which they are listed.
pub(crate) static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    let mut tools = lean::tools();
    tools.extend(crew::tools());
    tools.extend(more::tools());
    tools.extend(lead::tools());
    tools.extend(project::tools());
    tools.extend(madrox::verbs().iter().map(of_madrox));
    tools.extend(compat::tools());
    tools
});

/// By name. Where another system has a name of ours (`report`), it means ours to all but those who list that system's set.
static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Tool>> =
    LazyLock::new(|| TOOLS.iter().rev().map(|tool| (tool.name, tool)).collect());

static LISTED: LazyLock<BTreeMap<(Toolset, &'static str), Listed>> = LazyLock::new(|| {
    TOOLS
        .iter()
        .map(|tool| ((tool.set, tool.name), tool.listed()))
        .collect()
});

/// The tools of a set, as they are listed.
pub(crate) fn listed(set: Toolset) -> Vec<Listed> {
    TOOLS
        .iter()
        .filter(|tool| set.lists(tool.set))
        .filter_map(|tool| LISTED.get(&(tool.set, tool.name)).cloned())
        .collect()
}

/// The tools that an instance may use, whatever set is asked for: a child pays for no others.
pub(crate) fn for_instances() -> Vec<Listed> {
    TOOLS
        .iter()
        .filter(|tool| match tool.set {
            Toolset::Lean => tool.user == User::Crew || tool.effect == Effect::Reads,
            Toolset::Full => tool.user == User::Crew,
            Toolset::Madrox | Toolset::Tasks => false,
        })
        .filter_map(|tool| LISTED.get(&(tool.set, tool.name)).cloned())
        .collect()
}

/// Each of them as it stands in a prompt.
pub(crate) fn texts_for_instances() -> BTreeMap<String, String> {
    let text = |tool: Listed| (tool.name.to_string(), serde_json::to_string(&tool).unwrap_or_default());
    for_instances().into_iter().map(text).collect()
}

/// How a tool of any set is listed.
pub(crate) fn as_listed(name: &str) -> Option<Listed> {
    let tool = BY_NAME.get(name)?;
    LISTED.get(&(tool.set, tool.name)).cloned()
}

/// The tool of that name: of this set when it has one, else of whatever set.
pub(crate) fn named(name: &str, set: Toolset) -> Result<&'static Tool, Failure> {
    let of_set = TOOLS.iter().find(|tool| tool.set == set && tool.name == name);
    if let Some(tool) = of_set.or_else(|| BY_NAME.get(name).copied()) {
        return Ok(tool);
    }
    let exist: Vec<String> = TOOLS.iter().map(|tool| tool.name.to_owned()).collect();
    let near = match nearest::name(name, &exist) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`find_tools` finds one by what it should do".to_owned(),
    };
    Err(Failure::new(
        exit::NOT_FOUND,
        format!("there is no tool `{name}`; {near}"),
    ))
}

/// The schema of arguments.
pub(crate) fn schema<T: JsonSchema>() -> Schema {
    schemars::schema_for!(T)
}

/// The schema of an answer: what may be left out of it is not required.
pub(crate) fn answers<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The members of an answer and their types. What is inside them a model sees when it gets there; told beforehand it
/// would cost more than all the rest of the list.
fn outline(schema: Schema) -> Arc<JsonObject> {
    let whole = stripped(schema);
    let mut outline = JsonObject::new();
    outline.insert("type".to_owned(), "object".into());
    if let Some(Value::Object(members)) = whole.get("properties") {
        let types = members.iter().map(|(name, schema)| {
            let kind = schema
                .get("type")
                .map_or_else(|| json!({}), |kind| json!({ "type": kind }));
            (name.clone(), kind)
        });
        outline.insert("properties".to_owned(), Value::Object(types.collect()));
    }
    if let Some(required) = whole.get("required") {
        outline.insert("required".to_owned(), required.clone());
    }
    Arc::new(outline)
}

/// A schema without what a model has no use for; numbers lose their formats, and what may be absent its null.
fn stripped(schema: Schema) -> Arc<JsonObject> {
    let mut value = wheelhouse_context::schema::prune(&schema.to_value());
    strip(&mut value);
    match value {
        Value::Object(mut members) => {
            // What the whole is for is said beside it.
            members.remove("description");
            Arc::new(members)
        }
        _ => Arc::new(JsonObject::new()),
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["format", "minimum", "maximum", "default"] {
                // A property may be called so too, and then it is a schema.
                if !members.get(name).is_some_and(Value::is_object) {
                    members.remove(name);
                }
            }
            if let Some(Value::Array(types)) = members.get("type")
                && let [one, null] = types.as_slice()
                && null == "null"
            {
                let one = one.clone();
                members.insert("type".to_owned(), one);
            }
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads the arguments of a call; what is wrong with them is said to the model, so that it can mend it.
pub(crate) fn arguments<T: DeserializeOwned>(call: &Call<'_>) -> Result<T, Failure> {
    T::deserialize(Value::Object(call.arguments.clone())).map_err(|error| {
        Failure::usage(format!(
            "the arguments of `{}` are not what it takes: {error}",
            call.tool
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_means_one_tool_to_each_client() {
        for set in Toolset::ALL {
            let names: Vec<String> = listed(set).into_iter().map(|tool| tool.name.to_string()).collect();
            let each: BTreeSet<&String> = names.iter().collect();
            assert_eq!(each.len(), names.len(), "{set:?}: {names:?}");
            for name in &names {
                assert!(
                    set.lists(named(name, set).unwrap().set),
                    "{set:?} lists its own `{name}`"
                );
            }
        }
        assert_eq!(named("report", Toolset::Lean).unwrap().set, Toolset::Full);
        assert_eq!(named("report", Toolset::Tasks).unwrap().set, Toolset::Tasks);
        assert_eq!(named("report_task", Toolset::Lean).unwrap().set, Toolset::Tasks);
    }
}
