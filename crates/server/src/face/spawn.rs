//! What somebody wishes for when they spawn an instance, made into a spec: defaults applied, names resolved.

use std::collections::BTreeMap;

use wheelhouse_core::agent::McpServer;
use wheelhouse_core::crew::CrewPolicy;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::instance::InstanceSpec;
use wheelhouse_core::spec::Isolation;

use super::failure::Failure;
use super::role::Roles;
use super::{exit, nearest};

/// What a wish leaves open is taken from here.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Every agent there is, with its backend.
    pub agents: Vec<(AgentName, String)>,
    /// Who does it when nobody is named.
    pub agent: AgentName,
    /// The wall timer of a turn, in milliseconds.
    pub timeout_ms: u64,
    /// The idle timer of a turn, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How often a failed turn may be tried again.
    pub retry_max: u32,
    /// The roles that can be named.
    pub roles: Roles,
}

/// A wish for an instance. Only the name must be there.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What it is called.
    pub name: String,
    /// The agent.
    pub agent: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The name of a role.
    pub role: Option<String>,
    /// More to be told before everything else, after the role.
    pub system_prompt: Option<String>,
    /// Where it works.
    pub cwd: Option<String>,
    /// Whether it gets a worktree of its own.
    pub worktree: bool,
    /// MCP servers for its agent.
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// Additional environment.
    pub env: BTreeMap<String, String>,
    /// Money that its turns may spend, in nano-dollars.
    pub budget_nano: Option<u64>,
    /// A session to begin in.
    pub session: Option<String>,
}

/// Makes a wish a spec.
pub fn spec(wish: Wish, policy: &CrewPolicy, defaults: &Defaults) -> Result<InstanceSpec, Failure> {
    let agent = agent(wish.agent.as_deref(), policy, defaults)?;
    let backend = defaults
        .agents
        .iter()
        .find(|(name, _)| *name == agent)
        .map(|(_, backend)| backend.as_str());
    // Who names an agent means its model; a template's model is for an agent of its vendor.
    let fits = |model: &String| wish.agent.is_some() || vendor_of(model).is_none_or(|vendor| Some(vendor) == backend);
    let model = wish
        .model
        .filter(fits)
        .or_else(|| model_for(backend.unwrap_or_default(), policy));
    let role_text = wish.role.as_deref().map(|role| defaults.roles.text(role)).transpose()?;
    let system_prompt = match (role_text, wish.system_prompt) {
        (Some(role), Some(more)) => Some(format!("{}\n\n{more}", role.trim_end())),
        (one, other) => one.or(other),
    };
    Ok(InstanceSpec {
        name: wish.name,
        agent,
        model,
        role: wish.role,
        system_prompt,
        cwd: wish.cwd,
        isolation: if wish.worktree {
            Isolation::Worktree
        } else {
            Isolation::None
        },
        mcp_servers: wish.mcp_servers,
        env: wish.env,
        timeout_ms: defaults.timeout_ms,
        idle_timeout_ms: defaults.idle_timeout_ms,
        retry_max: defaults.retry_max,
        budget_nano: wish.budget_nano,
        ephemeral: false,
        session: wish.session,
    })
}

/// The agent that was named; else the first of the policy's chain that is there; else the default.
fn agent(named: Option<&str>, policy: &CrewPolicy, defaults: &Defaults) -> Result<AgentName, Failure> {
    let is_there = |name: &str| defaults.agents.iter().any(|(agent, _)| agent.as_str() == name);
    match named {
        Some(name) if is_there(name) => Ok(AgentName::from(name)),
        Some(name) => {
            let names: Vec<String> = defaults.agents.iter().map(|(agent, _)| agent.to_string()).collect();
            let near = match nearest::name(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", nearest::list(&names, 20)),
            };
            Err(Failure::new(
                exit::NOT_FOUND,
                format!("there is no agent `{name}`; {near}"),
            ))
        }
        None => {
            let first = policy.default_chain.iter().find(|name| is_there(name));
            Ok(first.map_or_else(|| defaults.agent.clone(), |name| AgentName::from(name.as_str())))
        }
    }
}

/// The policy's model for an agent of this backend: the first preferred one of the same vendor, else the default one.
fn model_for(backend: &str, policy: &CrewPolicy) -> Option<String> {
    let wanted = policy.preferred_models.iter().chain(&policy.default_model);
    wanted
        .into_iter()
        .find(|model| vendor_of(model) == Some(backend))
        .cloned()
}

/// Whose model that is, by its name, as the backend is called that runs it.
fn vendor_of(model: &str) -> Option<&'static str> {
    const MARKS: &[(&str, &str)] = &[
        ("opus", "claude"),
        ("sonnet", "claude"),
        ("haiku", "claude"),
        ("claude", "claude"),
        ("codex", "codex"),
        ("gpt", "codex"),
        ("gemini", "gemini"),
    ];
    let model = model.to_ascii_lowercase();
    MARKS
        .iter()
        .find(|(mark, _)| model.contains(mark))
        .map(|(_, vendor)| *vendor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        let agents = [("claude", "claude"), ("review", "codex"), ("rehearsal", "rehearsal")];
        Defaults {
            agents: agents
                .map(|(name, backend)| (AgentName::from(name), backend.to_owned()))
                .to_vec(),
            agent: AgentName::from("rehearsal"),
            timeout_ms: 1,
            idle_timeout_ms: 1,
            retry_max: 0,
            roles: Roles::of(std::path::Path::new("/nowhere")),
        }
    }

    fn wish(agent: Option<&str>) -> Wish {
        Wish {
            name: "a".to_owned(),
            agent: agent.map(str::to_owned),
            ..Wish::default()
        }
    }

    #[test]
    fn a_preferred_model_only_goes_to_an_agent_of_its_vendor() {
        let policy = CrewPolicy {
            preferred_models: vec!["gpt-5".into(), "sonnet-4".into()],
            default_model: Some("haiku".into()),
            default_chain: vec!["absent".into(), "claude".into()],
            ..CrewPolicy::default()
        };
        let made = |agent| spec(wish(agent), &policy, &defaults()).unwrap();
        assert_eq!(
            (made(None).agent.as_str(), made(None).model.as_deref()),
            ("claude", Some("sonnet-4"))
        );
        assert_eq!(made(Some("review")).model.as_deref(), Some("gpt-5"));
        assert_eq!(made(Some("rehearsal")).model, None);
        let failure = spec(wish(Some("claud")), &policy, &defaults()).unwrap_err();
        assert!(
            failure.message.contains("did you mean `claude`?"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_role_comes_before_more_words() {
        let wish = Wish {
            role: Some("architect".into()),
            system_prompt: Some("Use Rust.".into()),
            ..wish(None)
        };
        let made = spec(wish, &CrewPolicy::default(), &defaults()).unwrap();
        let prompt = made.system_prompt.unwrap();
        assert!(
            prompt.starts_with("You design.") && prompt.ends_with("\n\nUse Rust."),
            "{prompt}"
        );
    }
}
