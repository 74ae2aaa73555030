//! New instances, one by one or several for one piece of work.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::Scope;
use crate::caller::MCP_NAME;
use crate::coordinate::{self, Coordination, Mode, Seat};
use crate::crew::apply::{alive, count_above, is_below, may_touch};
use crate::crew::mail::{self, Letter};
use crate::crew::{Coordinate, CrewPolicy, InstanceRow, Refusal, Reply, Rows, Spawn, Who, model_fits};
use crate::event::Happened;
use crate::ids::InstanceId;
use crate::instance::{self, InstanceSpec, Rights, Stage};
use crate::message::{MessageKind, Party};
use crate::spec::RunSpec;
use crate::usage::Usage;

/// The longest key of a caller, in bytes.
pub(super) const KEY_MAX: usize = 200;

pub(super) fn spawn<R: Rows>(rows: &mut R, spawn: &Spawn) -> Result<Reply, R::Error> {
    let parent = parent(rows, spawn)?;
    if let Some(key) = &spawn.key {
        check_key(key)?;
        if let Some(there) = rows.instance_by_key(parent.as_ref().map(|row| row.id), key)? {
            return repeated(rows, there, spawn, key);
        }
    }
    let policy = rows.policy()?;
    let spec = admitted(rows, &policy, parent.as_ref(), spawn.by, &spawn.spec)?;
    if let Some(prompt) = &spawn.prompt {
        mail::check_text(&policy, prompt)?;
    }
    let rights = match &parent {
        Some(parent) => parent.rights.narrow(&spawn.rights),
        None => spawn.rights.clone(),
    };
    let row = add(rows, &policy, parent, spawn.by, spec, rights, spawn.key.clone())?;
    let message = match &spawn.prompt {
        Some(prompt) => {
            let letter = Letter::request(spawn.by, row.id, prompt.clone());
            Some(mail::post(rows, &letter)?)
        }
        None => None,
    };
    Ok(Reply::Spawned {
        instance: row.id,
        message,
        repeated: false,
    })
}

/// The caller is the parent, or the parent is below the caller.
fn parent<R: Rows>(rows: &mut R, spawn: &Spawn) -> Result<Option<InstanceRow>, R::Error> {
    let caller = match spawn.by.instance() {
        Some(id) => Some(alive(rows, id)?),
        None => None,
    };
    let Some(wanted) = spawn.parent else { return Ok(caller) };
    let parent = alive(rows, wanted)?;
    match caller {
        Some(caller) if caller.id != wanted => {
            may_touch(rows, spawn.by, &parent)?;
            Ok(Some(parent))
        }
        Some(_) | None => Ok(Some(parent)),
    }
}

fn repeated<R: Rows>(rows: &mut R, there: InstanceId, spawn: &Spawn, key: &str) -> Result<Reply, R::Error> {
    let row = rows.find_instance(there)?;
    let same = row.is_some_and(|row| row.spec.name == spawn.spec.name && row.spec.agent == spawn.spec.agent);
    if !same {
        return Err(Refusal::KeyReused {
            key: key.to_owned(),
            was: there.to_string(),
        }
        .into());
    }
    Ok(Reply::Spawned {
        instance: there,
        message: None,
        repeated: true,
    })
}

pub(super) fn check_key(key: &str) -> Result<(), Refusal> {
    match key.is_empty() || key.len() > KEY_MAX {
        true => Err(Refusal::Illegal(format!(
            "a key has 1 to {KEY_MAX} bytes; this one has {}",
            key.len()
        ))),
        false => Ok(()),
    }
}

/// The spec as the policy and the parent's rights let it be.
fn admitted<R: Rows>(
    rows: &mut R,
    policy: &CrewPolicy,
    parent: Option<&InstanceRow>,
    by: Party,
    spec: &InstanceSpec,
) -> Result<InstanceSpec, R::Error> {
    if !policy.orchestration {
        return Err(Refusal::OrchestrationOff.into());
    }
    if !instance::is_name(&spec.name) {
        let what = "is no name for an instance: letters, digits, `-`, `_` and `.`, and no id";
        return Err(Refusal::Illegal(format!("`{}` {what}", spec.name)).into());
    }
    let depth = parent.map_or(0, |parent| parent.depth + 1);
    if depth > policy.depth_max {
        let max = policy.depth_max;
        return Err(Refusal::TooDeep { depth, max }.into());
    }
    check_extras(rows, by, spec)?;
    let mut spec = spec.clone();
    if let Some(parent) = parent {
        if !parent.rights.spawn {
            let by = if by == Party::Person {
                Party::Instance(parent.id)
            } else {
                by
            };
            let what = "spawn: it was not given the right".to_owned();
            return Err(Refusal::NotAllowed { by, what }.into());
        }
        let agents = &parent.rights.agents;
        if !agents.is_empty() && !agents.contains(&spec.agent) {
            return Err(Refusal::AgentNotAllowed {
                agent: spec.agent,
                allowed: agents.iter().map(ToString::to_string).collect(),
            }
            .into());
        }
        spec.model = model(spec.model, &parent.rights.models, &[])?;
    }
    spec.model = model(spec.model, &policy.allowed_models, &policy.preferred_models)?;
    if rows.live()? >= policy.live_max {
        return Err(Refusal::TooMany { max: policy.live_max }.into());
    }
    Ok(spec)
}

/// Programs and environments are a person's to choose: an instance that must ask before it starts something would get
/// around that by a child. It passes on what it was given itself.
fn check_extras<R: Rows>(rows: &mut R, by: Party, spec: &InstanceSpec) -> Result<(), R::Error> {
    if spec.mcp_servers.contains_key(MCP_NAME) {
        let why = format!("`{MCP_NAME}` is what Wheelhouse itself is called among MCP servers; name yours otherwise");
        return Err(Refusal::Illegal(why).into());
    }
    let Some(caller) = by.instance() else { return Ok(()) };
    let own = alive(rows, caller)?.spec;
    let server = spec
        .mcp_servers
        .iter()
        .find(|(name, server)| own.mcp_servers.get(*name) != Some(server))
        .map(|(name, _)| format!("the MCP server `{name}`"));
    let variable = spec
        .env
        .iter()
        .find(|(name, value)| own.env.get(*name) != Some(value))
        .map(|(name, _)| format!("the variable `{name}`"));
    match server.or(variable) {
        Some(extra) => {
            let what = format!("give a child {extra}: it was not given that itself");
            Err(Refusal::NotAllowed { by, what }.into())
        }
        None => Ok(()),
    }
}

/// The model, when these are the only ones allowed; the first of those preferred, or else allowed, when none was named.
fn model(asked: Option<String>, allowed: &[String], preferred: &[String]) -> Result<Option<String>, Refusal> {
    if allowed.is_empty() {
        return Ok(asked);
    }
    let fits = |model: &str| allowed.iter().any(|allowed| model_fits(allowed, model));
    match asked {
        Some(model) if fits(&model) => Ok(Some(model)),
        Some(model) => Err(Refusal::ModelNotAllowed {
            model,
            allowed: allowed.to_vec(),
        }),
        None => Ok(preferred.iter().find(|model| fits(model)).or(allowed.first()).cloned()),
    }
}

fn add<R: Rows>(
    rows: &mut R,
    policy: &CrewPolicy,
    parent: Option<InstanceRow>,
    by: Party,
    spec: InstanceSpec,
    rights: Rights,
    key: Option<String>,
) -> Result<InstanceRow, R::Error> {
    let run = match &parent {
        Some(parent) => parent.run,
        None => rows.new_run(&RunSpec {
            name: spec.name.clone(),
            vars: BTreeMap::new(),
            budget: None,
            source: "instances".to_owned(),
            standing: true,
        })?,
    };
    let id = rows.new_instance()?;
    let now = rows.now();
    let row = InstanceRow {
        id,
        run,
        parent: parent.as_ref().map(|parent| parent.id),
        depth: parent.as_ref().map_or(0, |parent| parent.depth + 1),
        session: spec.session.clone(),
        spec: Arc::new(spec),
        rights: Arc::new(rights),
        key,
        stage: Stage::Idle,
        turn: None,
        message: None,
        unapproved: policy.require_approval,
        interrupted: false,
        turns: 0,
        queued: 0,
        notes: 0,
        wants: None,
        active_below: 0,
        last_outcome: None,
        usage: Usage::default(),
        cost_nano: 0,
        cost_unknown: 0,
        spawned_at: now,
        active_at: now,
        ended_at: None,
    };
    rows.add_instance(&row)?;
    if let Some(nano) = row.spec.budget_nano {
        rows.limit_money(Scope::Instance(id.0), Some(nano))?;
    }
    if row.is_active() {
        count_above(rows, row.parent, true)?;
    }
    let happened = Happened::InstanceSpawned {
        instance: id,
        parent: row.parent,
        name: row.spec.name.clone(),
        agent: row.spec.agent.clone(),
    };
    rows.happened(run, None, happened)?;
    let model = row
        .spec
        .model
        .as_deref()
        .map(|model| format!(", model {model}"))
        .unwrap_or_default();
    let detail = format!(
        "`{}` on agent {}{model}, depth {}",
        row.spec.name, row.spec.agent, row.depth
    );
    rows.audit(by, Some(id), "spawn", detail)?;
    Ok(row)
}

/// Gives one piece of work to several: instances that are there, or new ones that end with their answer.
pub(super) fn coordinate<R: Rows>(rows: &mut R, coordinate: &Coordinate) -> Result<Reply, R::Error> {
    let Coordinate { by, mode, seats, text } = coordinate;
    let policy = rows.policy()?;
    mail::check_text(&policy, text)?;
    coordinate::check(*mode, seats.iter().map(|seat| seat.vendor.as_str())).map_err(Refusal::Illegal)?;
    let caller = match by.instance() {
        Some(id) => Some(alive(rows, id)?),
        None => None,
    };
    // Everything is checked before the first instance is made.
    let mut specs = Vec::with_capacity(seats.len());
    for seat in seats {
        specs.push(match &seat.who {
            Who::There(id) => {
                let row = alive(rows, *id)?;
                if let Some(caller) = &caller
                    && !is_below(rows, &row, caller.id)?
                {
                    return Err(Refusal::NotBelow { by: *by, instance: *id }.into());
                }
                mail::check_room(&policy, &row)?;
                None
            }
            Who::New(spec) => {
                let spec = InstanceSpec {
                    ephemeral: true,
                    ..(**spec).clone()
                };
                Some(admitted(rows, &policy, caller.as_ref(), *by, &spec)?)
            }
        });
    }
    let new = u32::try_from(specs.iter().flatten().count()).unwrap_or(u32::MAX);
    if rows.live()?.saturating_add(new) > policy.live_max {
        return Err(Refusal::TooMany { max: policy.live_max }.into());
    }
    let id = rows.new_coordination()?;
    let mut instances = Vec::with_capacity(seats.len());
    for (seat, spec) in seats.iter().zip(specs) {
        instances.push(match (&seat.who, spec) {
            (_, Some(spec)) => {
                let rights = Rights {
                    spawn: false,
                    ..Rights::default()
                };
                add(rows, &policy, caller.clone(), *by, spec, rights, None)?.id
            }
            (Who::There(id), None) => *id,
            (Who::New(_), None) => return Err(Refusal::Illegal("a seat has nobody on it".to_owned()).into()),
        });
    }
    let mut messages = Vec::new();
    for instance in &instances {
        let after = match mode {
            Mode::Parallel | Mode::Consensus { .. } => Vec::new(),
            Mode::Sequential => messages.last().copied().into_iter().collect(),
        };
        let letter = Letter {
            coordination: Some(id),
            after,
            ..Letter::request(*by, *instance, coordinate::prompt(*mode, text))
        };
        messages.push(mail::post(rows, &letter)?);
    }
    let record = Coordination {
        id,
        by: *by,
        mode: *mode,
        text: text.clone(),
        seats: seats
            .iter()
            .zip(instances.iter().zip(&messages))
            .map(|(seat, (instance, message))| Seat {
                instance: *instance,
                message: *message,
                vendor: seat.vendor.clone(),
            })
            .collect(),
        at: rows.now(),
    };
    rows.add_coordination(&record)?;
    let detail = format!("{id}: {} over {} instances", mode.name(), instances.len());
    rows.audit(*by, None, "coordinate", detail)?;
    Ok(Reply::Coordinated {
        coordination: id,
        instances,
        messages,
    })
}

impl Letter {
    /// A request without more to it.
    pub(super) fn request(from: Party, to: InstanceId, text: String) -> Letter {
        Letter {
            from,
            to: Party::Instance(to),
            kind: MessageKind::Request,
            text,
            correlation: None,
            coordination: None,
            after: Vec::new(),
            key: None,
        }
    }
}
