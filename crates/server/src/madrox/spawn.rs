//! `spawn_claude`, `spawn_codex`, `spawn_grok`, `spawn_multiple_instances`, `spawn_team_from_template`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use wheelhouse_core::agent::McpServer;
use wheelhouse_core::ids::{InstanceId, MessageId};
use wheelhouse_core::store::Reader;

use super::{Asked, Verb, verb};
use crate::desk::Over;
use crate::face::crew;
use crate::face::crew_verb::{self, Below, Wanted};
use crate::face::failure::Failure;
use crate::face::spawn::Wish;
use crate::face::team::Teams;

#[rustfmt::skip]
pub(super) fn verbs() -> Vec<Verb> {
    vec![
        verb!(Crew Adds "spawn_claude", Spawning, claude,
            "Spawn a Claude Code instance that stays and can be talked to.", "create new agent claude"),
        verb!(Crew Adds "spawn_codex", Spawning, codex,
            "Spawn a Codex instance that stays and can be talked to.", "create new agent codex openai"),
        verb!(Crew Adds "spawn_grok", Spawning, grok,
            "Spawn an instance of the agent `grok`, where one is configured.", "create new agent grok xai"),
        verb!(Crew Adds "spawn_multiple_instances", Many, many,
            "Spawn several instances at once, of any agents.", "create several agents batch"),
        verb!(Crew Adds "spawn_team_from_template", FromTemplate, team,
            "Spawn a team: a supervisor who is told the task, and the others below it.", "create team template"),
    ]
}

/// An instance to be spawned.
#[derive(Deserialize, JsonSchema, Clone, Default)]
struct Spawning {
    #[serde(default)]
    name: Option<String>,
    /// In a list of several: `claude`, `codex`, or another agent.
    #[serde(default, alias = "instance_type", rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    system_prompt: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    #[schemars(with = "bool")]
    bypass_isolation: Option<bool>,
    #[serde(default, alias = "parent_id")]
    parent_instance_id: Option<String>,
    /// It is always ready: an instance is no process.
    #[serde(default)]
    #[schemars(with = "bool")]
    #[expect(dead_code, reason = "a name that clients send; there is nothing to wait for")]
    wait_for_ready: Option<bool>,
    #[serde(default)]
    initial_prompt: Option<String>,
    /// A JSON object, or one as text.
    #[serde(default, deserialize_with = "servers")]
    #[schemars(with = "String")]
    mcp_servers: BTreeMap<String, McpServer>,
    #[serde(default)]
    use_worktree: bool,
    #[serde(default)]
    git_repo: Option<String>,
    #[serde(default)]
    workspace_dir: Option<String>,
    #[serde(default)]
    wait_for_response: bool,
    #[serde(default)]
    timeout_seconds: Option<u64>,
    #[serde(default)]
    sandbox_mode: Option<String>,
    #[serde(default)]
    profile: Option<String>,
}

/// MCP servers as an object or as the text of one; both shapes are in use.
fn servers<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, McpServer>, D::Error> {
    let wrong = |why: &dyn std::fmt::Display| serde::de::Error::custom(format!("`mcp_servers`: {why}"));
    let mut given = match Value::deserialize(input)? {
        Value::Null => return Ok(BTreeMap::new()),
        Value::String(text) if text.trim().is_empty() => return Ok(BTreeMap::new()),
        Value::String(text) => serde_json::from_str(&text).map_err(|error| wrong(&error))?,
        other => other,
    };
    if let Some(inner) = given.get_mut("mcpServers") {
        given = inner.take();
    }
    let Value::Object(entries) = given else {
        return Err(wrong(&"an object of servers by name is expected"));
    };
    let mut servers = BTreeMap::new();
    for (name, mut server) in entries {
        if let Value::Object(members) = &mut server {
            members.remove("transport");
            members.remove("type");
        }
        let server =
            McpServer::deserialize(server).map_err(|_| wrong(&format!("`{name}` has neither `command` nor `url`")))?;
        servers.insert(name, server);
    }
    Ok(servers)
}

impl Spawning {
    /// The wish for it, of that agent unless it names one itself; and what is not this caller's to decide.
    fn wish(self, agent: Option<&str>, project: &str) -> Result<(Wanted, Vec<String>), Failure> {
        let agent = self.kind.as_deref().or(agent);
        let mut notes = Vec::new();
        if self.bypass_isolation == Some(true) {
            notes.push("bypass_isolation: whether it acts without asking is in the agent's configuration".to_owned());
        }
        if self.sandbox_mode.is_some() || self.profile.is_some() {
            notes.push("sandbox_mode, profile: they are in the agent's configuration".to_owned());
        }
        if let Some(repo) = &self.git_repo
            && repo != project
        {
            return Err(Failure::usage(format!(
                "`git_repo` is {repo}, and this server works in {project}; one server works in one project"
            )));
        }
        let wish = Wish {
            name: self.name.unwrap_or_else(|| agent.unwrap_or("instance").to_owned()),
            agent: agent.map(str::to_owned),
            model: self.model,
            role: self.role,
            system_prompt: self.system_prompt,
            cwd: self.workspace_dir,
            worktree: self.use_worktree,
            mcp_servers: self.mcp_servers,
            ..Wish::default()
        };
        Ok(((wish, self.initial_prompt), notes))
    }
}

async fn claude(asked: &Asked<'_>) -> Result<Value, Failure> {
    one(asked, "claude").await
}

async fn codex(asked: &Asked<'_>) -> Result<Value, Failure> {
    one(asked, "codex").await
}

async fn grok(asked: &Asked<'_>) -> Result<Value, Failure> {
    one(asked, "grok").await
}

async fn one(asked: &Asked<'_>, agent: &'static str) -> Result<Value, Failure> {
    let spawning: Spawning = asked.takes()?;
    let wait = match spawning.wait_for_response {
        true => spawning.timeout_seconds.unwrap_or(180),
        false => 0,
    };
    let parent = spawning.parent_instance_id.clone();
    let project = asked.faces.code.project().display().to_string();
    let (wanted, notes) = spawning.wish(Some(agent), &project)?;
    let (by, key) = (asked.by(), asked.key.clone());
    let defaults = asked.faces.plans.crew();
    let made = asked.faces.desk.change(move |truth| {
        let below = Below {
            parent: parent.as_deref(),
            key: key.as_deref(),
            ..Below::caller(by)
        };
        let spawned = crew_verb::spawn_all(truth, &defaults, &below, vec![wanted])?;
        let Some((id, message)) = spawned.into_iter().next() else {
            return Err(Failure::usage("nothing was spawned"));
        };
        Ok((spawned_record(truth.reader, id)?, message))
    });
    let (mut record, message) = made.await?;
    if let (Some(message), true) = (message, wait > 0) {
        answered(asked, &mut record, message, wait).await?;
    }
    if !notes.is_empty() {
        record["notes"] = json!(notes);
    }
    Ok(record)
}

fn spawned_record(reader: &mut dyn Reader, id: InstanceId) -> Result<Value, Failure> {
    let view = crew::instance(reader, &id.to_string())?;
    Ok(json!({
        "instance_id": id.to_string(),
        "status": "spawned",
        "name": view.spec.name,
        "instance_type": view.spec.agent.as_str(),
        "model": view.spec.model,
    }))
}

/// Adds the answer to its first message, or that there is none yet.
async fn answered(asked: &Asked<'_>, record: &mut Value, message: MessageId, seconds: u64) -> Result<(), Failure> {
    let look = move |reader: &mut dyn Reader| {
        let view = crew::message(reader, &message.to_string())?;
        let answer = crew::answer(reader, &view)?;
        Ok((Over::from(answer.is_some()), answer))
    };
    match asked.until(seconds, look).await? {
        None => record["error_message"] = "it is still at work; get_instance_output shows what comes".into(),
        Some(answer) => {
            let failed = answer.outcome.as_ref().filter(|outcome| !outcome.is_success());
            record["status"] = if failed.is_none() { "completed" } else { "failed" }.into();
            record["response"] = answer.text.into();
            if let Some(outcome) = failed {
                record["error_message"] = outcome.to_string().into();
            }
        }
    }
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct Many {
    instances: Vec<Spawning>,
}

async fn many(asked: &Asked<'_>) -> Result<Value, Failure> {
    let Many { instances } = asked.takes()?;
    let project = asked.faces.code.project().display().to_string();
    let mut wanted = Vec::with_capacity(instances.len());
    for spawning in instances {
        let parent = spawning.parent_instance_id.clone();
        wanted.push((parent, spawning.wish(None, &project)?.0));
    }
    let (by, key) = (asked.by(), asked.key.clone());
    let defaults = asked.faces.plans.crew();
    let made = asked.faces.desk.change(move |truth| {
        let (mut spawned, mut errors) = (Vec::new(), Vec::new());
        for (number, (parent, one)) in wanted.into_iter().enumerate() {
            let name = one.0.name.clone();
            let key = key.as_ref().map(|key| format!("{key}-{}", number + 1));
            let below = Below {
                parent: parent.as_deref(),
                key: key.as_deref(),
                ..Below::caller(by)
            };
            match crew_verb::spawn_all(truth, &defaults, &below, vec![one]) {
                Ok(made) => {
                    for (id, _) in made {
                        spawned.push(spawned_record(truth.reader, id)?);
                    }
                }
                Err(failure) => errors.push(json!({ "name": name, "error": failure.message })),
            }
        }
        Ok(json!({ "spawned": spawned, "errors": errors }))
    });
    made.await
}

#[derive(Deserialize, JsonSchema)]
struct FromTemplate {
    template_name: String,
    task_description: String,
    #[serde(default)]
    supervisor_role: Option<String>,
    #[serde(default, alias = "parent_id")]
    parent_instance_id: Option<String>,
}

async fn team(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: FromTemplate = asked.takes()?;
    let (by, key) = (asked.by(), asked.key.clone());
    let teams = Teams::of(asked.faces.desk.state_dir());
    let defaults = asked.faces.plans.crew();
    let made = asked.faces.desk.change(move |truth| {
        let team = teams.team(&wish.template_name)?;
        let others: Vec<String> = team.members.iter().skip(1).map(|member| member.name.clone()).collect();
        let task = format!(
            "{}\n\nYou lead these instances, which are there and idle: {}. Write to them by name.",
            wish.task_description,
            others.join(", ")
        );
        let mut wanted = crew_verb::members(team, Some(task), None);
        let mut rest = wanted.split_off(1.min(wanted.len()));
        if let (Some(role), Some((lead, _))) = (wish.supervisor_role, wanted.first_mut()) {
            lead.role = Some(role);
        }
        // Those it is told of come first; its turn begins when all are there.
        let lead_prompt = wanted.first_mut().and_then(|(_, prompt)| prompt.take());
        let below = Below {
            parent: wish.parent_instance_id.as_deref(),
            key: key.as_deref(),
            ..Below::caller(by)
        };
        let lead = crew_verb::spawn_all(truth, &defaults, &below, wanted)?;
        let Some((lead, _)) = lead.first().copied() else {
            return Err(Failure::usage("the team has nobody in it"));
        };
        let lead_name = lead.to_string();
        for (_, prompt) in &mut rest {
            // They are there for the supervisor to lead.
            prompt.take();
        }
        let rest_key = key.as_ref().map(|key| format!("{key}-below"));
        let below = Below {
            parent: Some(&lead_name),
            key: rest_key.as_deref(),
            ..Below::caller(by)
        };
        let mut all = vec![lead];
        all.extend(
            crew_verb::spawn_all(truth, &defaults, &below, rest)?
                .iter()
                .map(|(id, _)| *id),
        );
        let letter = crew_verb::Letter {
            from: by,
            to: vec![lead_name],
            kind: wheelhouse_core::message::MessageKind::Request,
            text: lead_prompt.unwrap_or_default(),
            reply_to: None,
            after: Vec::new(),
            key: key.as_ref().map(|key| format!("{key}-task")),
        };
        for sent in crew_verb::send(truth, &letter)? {
            sent?;
        }
        let mut lines = vec![format!("Team `{}` is started, led by {lead}:", wish.template_name)];
        for id in all {
            let view = crew::instance(truth.reader, &id.to_string())?;
            lines.push(format!(
                "{id} {} ({})",
                view.spec.name,
                view.spec.role.as_deref().unwrap_or("general")
            ));
        }
        Ok(Value::String(lines.join("\n")))
    });
    made.await
}
