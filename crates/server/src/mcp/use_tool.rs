//! `use_tool`: one of another server's tools, called for whoever may, and its answer handed over within bounds.

use std::fs;
use std::io;

use rmcp::model::Tool as Listed;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use wheelhouse_context::receipt::{Layer, REPORT_KIND, Receipt};
use wheelhouse_context::settings::Limits;
use wheelhouse_core::ids::Lease;
use wheelhouse_core::instance::InstanceView;
use wheelhouse_core::message::Party;
use wheelhouse_core::store::{Command, Reader};
use wheelhouse_core::tool_server::BETWEEN;

use super::call::{Answer, Call};
use super::rights::{self, May};
use super::{scope, tool};
use crate::api::Faces;
use crate::desk::off_thread;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::tool_use::{self, Handing, Ready};

/// What stands between a server and its tool where tools are listed as they are.
const LISTED_BETWEEN: &str = "__";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UseArgs {
    /// `SERVER/TOOL`
    #[serde(alias = "name")]
    tool: String,
    #[serde(default, alias = "args", deserialize_with = "object")]
    #[schemars(with = "Map<String, Value>")]
    arguments: Map<String, Value>,
    /// Only these fields of its answer: `a.b,c`.
    #[serde(default)]
    fields: Option<String>,
}

/// An object, or the text of one: some models write arguments twice.
fn object<'de, D: Deserializer<'de>>(given: D) -> Result<Map<String, Value>, D::Error> {
    let read = match Value::deserialize(given)? {
        Value::Null => return Ok(Map::new()),
        Value::String(text) => serde_json::from_str(&text).map_err(serde::de::Error::custom)?,
        value => value,
    };
    match read {
        Value::Object(members) => Ok(members),
        _ => Err(serde::de::Error::custom("`arguments` is an object")),
    }
}

/// Uses a tool.
pub(crate) async fn use_tool(call: &Call<'_>) -> Result<Answer, Failure> {
    let UseArgs {
        tool,
        arguments,
        fields,
    } = tool::arguments(call)?;
    used(call, &tool, arguments, fields.as_deref()).await
}

async fn used(
    call: &Call<'_>,
    name: &str,
    arguments: Map<String, Value>,
    fields: Option<&str>,
) -> Result<Answer, Failure> {
    let faces = call.faces;
    let seen = scope::of(faces, call.party()).await?;
    scope::allows_theirs(&seen, name)?;
    let ready = tool_use::ready(&faces.servers, name).await?;
    ready.check(&arguments)?;
    let caller = rights::who(call).await?;
    match rights::may(call, &caller, &ready, &arguments).await? {
        May::Yes => {}
        May::Answer(answer) => return Ok(*answer),
    }
    begin_once(call, &ready)?;
    let called = tool_use::call(&faces.servers, &ready, arguments).await;
    let used = tool_use::used(call.party(), name, &called);
    faces.desk.change(move |truth| truth.change(used)).await?;
    let answer = called?;
    if !answer.is_error {
        faces.servers.was_used(&call.party().to_string(), name);
    }
    let is_error = answer.is_error;
    let handed = {
        let limits = limits_of(faces, caller.instance.as_ref()).clone();
        let usual = faces.tool_rules.fields.get(name).cloned();
        let cap_tokens = faces.tool_rules.result_tokens;
        let (name, fields) = (name.to_owned(), fields.map(str::to_owned));
        let results = tool_use::results(faces.desk.state_dir());
        // Counting and keeping a long answer takes a while.
        off_thread(move || {
            let how = Handing {
                results: &results,
                fields: fields.as_deref(),
                usual_fields: usual.as_deref(),
                cap_tokens,
                limits: &limits,
            };
            Ok(tool_use::hand_over(&name, &answer, &how))
        })
        .await?
    };
    report(faces, call.party(), handed.receipts).await;
    let document = Value::Object(handed.document);
    Ok(match is_error {
        true => Answer::Refused(document),
        false => Answer::Document(document),
    })
}

/// The limits of whoever calls.
pub(super) fn limits_of<'f>(faces: &'f Faces, instance: Option<&InstanceView>) -> &'f Limits {
    let context = &faces.tool_rules.context;
    instance.map_or(&context.all, |instance| context.of(&instance.spec.agent))
}

/// The right to speak for the turn that an instance is in: whoever shows its token is within it.
pub(super) fn turn(reader: &mut dyn Reader, instance: &InstanceView) -> Result<Option<Lease>, Failure> {
    let Some(task) = instance.turn else { return Ok(None) };
    Ok(reader.task(task)?.map(|view| Lease {
        task,
        fence: view.fence,
    }))
}

/// Puts receipts into the history of the turn that the caller is in. A turn that is over has no use for them.
pub(super) async fn report(faces: &Faces, party: Party, receipts: Vec<Receipt>) {
    let Party::Instance(id) = party else { return };
    if receipts.is_empty() {
        return;
    }
    let told = faces.desk.change(move |truth| {
        let Some(instance) = truth.reader.instance(id)? else {
            return Ok(());
        };
        let Some(lease) = turn(truth.reader, &instance)? else {
            return Ok(());
        };
        for receipt in receipts {
            truth.change(Command::Report {
                lease,
                kind: REPORT_KIND.to_owned(),
                text: receipt.line(),
            })?;
        }
        Ok(())
    });
    // What was done is done, whether or not its account could be kept.
    let _ = told.await;
}

/// Refuses a call that is sent again because the server died under it: what it asked for may have been done.
fn begin_once(call: &Call<'_>, ready: &Ready) -> Result<(), Failure> {
    let Some(once) = call.once().filter(|_| !ready.tool().read_only) else {
        return Ok(());
    };
    let dir = call.faces.desk.state_dir().join("tools").join("begun");
    let path = dir.join(blake3::hash(once.key.as_bytes()).to_hex().as_str());
    let marked = fs::create_dir_all(&dir)
        .and_then(|()| tool_use::make_room(&dir))
        .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).open(&path));
    match marked {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::new(
            exit::REFUSED,
            format!(
                "this very call of `{}` was begun before and cut off; whether it was done is not known, so it is not done again: \
                 look before you call anew",
                ready.name()
            ),
        )),
        Err(error) => Err(Failure::io("remember the call in", &path, &error)),
    }
}

/// Every tool of other servers as it is listed to who has [`Layer::ToolDiscovery`] switched off; none to others.
pub(super) async fn listed(faces: &Faces, party: Party) -> Result<Vec<Listed>, Failure> {
    let instance = match party {
        Party::Person => None,
        Party::Instance(id) => faces.desk.read(move |reader| Ok(reader.instance(id)?)).await?,
    };
    let limits = limits_of(faces, instance.as_ref());
    if limits.is_on(Layer::ToolDiscovery) || !faces.servers.any() {
        return Ok(Vec::new());
    }
    let seen = scope::of(faces, party).await?;
    let (manifests, _) = faces.servers.manifests(None).await?;
    let mut all = Vec::new();
    for manifest in &manifests {
        for tool in manifest
            .tools
            .iter()
            .filter(|tool| seen.has_theirs(&manifest.server, &tool.name))
        {
            let Value::Object(schema) = tool.schema.clone() else {
                continue;
            };
            let name = format!("{}{LISTED_BETWEEN}{}", manifest.server, tool.name);
            let about = Some(tool.description.clone().into());
            all.push(Listed::new_with_raw(name, about, std::sync::Arc::new(schema)));
        }
    }
    Ok(all)
}

/// The tool of another server that is listed under this name, as `SERVER/TOOL`.
pub(super) fn by_listed_name(faces: &Faces, name: &str) -> Option<String> {
    let (server, tool) = name.split_once(LISTED_BETWEEN)?;
    let is_one = faces.servers.servers().names().iter().any(|known| known == server);
    is_one.then(|| format!("{server}{BETWEEN}{tool}"))
}

/// Uses a tool by the name under which it is listed; the arguments of the call are the tool's.
pub(super) async fn use_listed(call: &Call<'_>, name: &str) -> Result<Answer, Failure> {
    used(call, name, call.arguments.clone(), None).await
}
