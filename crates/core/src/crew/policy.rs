//! The running policy of the crew: durable in the store, changed in conversation.

use serde::{Deserialize, Serialize};

/// What people are told about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// An instance was spawned.
    Spawn,
    /// An instance ended.
    Terminate,
    /// A turn failed.
    Error,
    /// A limit of cost came near or was reached.
    CostThreshold,
    /// Somebody waits for a person.
    NeedsAttention,
}

impl Notify {
    /// All of them.
    pub const ALL: [Notify; 5] = [
        Notify::Spawn,
        Notify::Terminate,
        Notify::Error,
        Notify::CostThreshold,
        Notify::NeedsAttention,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Notify::Spawn => "spawn",
            Notify::Terminate => "terminate",
            Notify::Error => "error",
            Notify::CostThreshold => "cost_threshold",
            Notify::NeedsAttention => "needs_attention",
        }
    }
}

/// What the crew works within. Changed while it runs; every change holds for what comes after it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CrewPolicy {
    /// Whether anything may be spawned at all.
    pub orchestration: bool,
    /// Whether a person must approve each instance before its first turn.
    pub require_approval: bool,
    /// The models that instances may use: each fits a model that contains it. All when empty.
    pub allowed_models: Vec<String>,
    /// The models to take when none is named, the best first.
    pub preferred_models: Vec<String>,
    /// The model to take when none is named and no preferred one fits.
    pub default_model: Option<String>,
    /// The agents to try in order when an agent is not there.
    pub default_chain: Vec<String>,
    /// How many instances are at work at a time; further ones wait.
    pub max_instances: u32,
    /// How many children of one instance are at work at a time; further ones wait.
    pub children_max: u32,
    /// How deep the tree may become; a root is at depth 0.
    pub depth_max: u32,
    /// How many instances there may be that have not ended.
    pub live_max: u32,
    /// How many messages may wait in one mailbox.
    pub mailbox_max: u32,
    /// How long a message may be, in bytes.
    pub message_bytes_max: u64,
    /// What all instances together may cost from the moment at which this is set, in nano-dollars.
    pub max_session_cost_nano: Option<u64>,
    /// What all instances together may cost in each clock hour, in nano-dollars.
    pub max_cost_per_hour_nano: Option<u64>,
    /// Idle for so long, an instance is suspended; in milliseconds.
    pub suspend_after_ms: Option<u64>,
    /// Idle or suspended for so long, an instance ends; in milliseconds.
    pub auto_terminate_after_ms: Option<u64>,
    /// What people are told about.
    pub notify_on: Vec<Notify>,
    /// A turn with no sign of life for so long is nudged; in milliseconds.
    pub stuck_after_ms: u64,
    /// The same error so many times in a row is a loop.
    pub error_loop: u32,
    /// So many interventions into one turn, then a person is told.
    pub interventions_max: u32,
    /// At least so long between two of them; in milliseconds.
    pub cooldown_ms: u64,
}

impl Default for CrewPolicy {
    fn default() -> Self {
        CrewPolicy {
            orchestration: true,
            require_approval: false,
            allowed_models: Vec::new(),
            preferred_models: Vec::new(),
            default_model: None,
            default_chain: Vec::new(),
            max_instances: 10,
            children_max: 20,
            depth_max: 5,
            live_max: 1_000,
            mailbox_max: 1_000,
            message_bytes_max: 256 << 10,
            max_session_cost_nano: None,
            max_cost_per_hour_nano: None,
            suspend_after_ms: Some(30 * 60 * 1_000),
            auto_terminate_after_ms: None,
            notify_on: Notify::ALL.to_vec(),
            stuck_after_ms: 300_000,
            error_loop: 3,
            interventions_max: 3,
            cooldown_ms: 60_000,
        }
    }
}

/// One change of the policy.
#[derive(Clone, PartialEq, Debug)]
pub enum PolicyChange {
    /// See [`CrewPolicy::orchestration`].
    Orchestration(bool),
    /// See [`CrewPolicy::require_approval`].
    RequireApproval(bool),
    /// See [`CrewPolicy::allowed_models`].
    AllowedModels(Vec<String>),
    /// See [`CrewPolicy::preferred_models`].
    PreferredModels(Vec<String>),
    /// See [`CrewPolicy::default_model`].
    DefaultModel(Option<String>),
    /// See [`CrewPolicy::default_chain`].
    DefaultChain(Vec<String>),
    /// See [`CrewPolicy::max_instances`].
    MaxInstances(u32),
    /// See [`CrewPolicy::children_max`].
    ChildrenMax(u32),
    /// See [`CrewPolicy::depth_max`].
    DepthMax(u32),
    /// See [`CrewPolicy::live_max`].
    LiveMax(u32),
    /// See [`CrewPolicy::mailbox_max`].
    MailboxMax(u32),
    /// See [`CrewPolicy::message_bytes_max`].
    MessageBytesMax(u64),
    /// See [`CrewPolicy::max_session_cost_nano`].
    MaxSessionCost(Option<u64>),
    /// See [`CrewPolicy::max_cost_per_hour_nano`].
    MaxCostPerHour(Option<u64>),
    /// See [`CrewPolicy::suspend_after_ms`].
    SuspendAfter(Option<u64>),
    /// See [`CrewPolicy::auto_terminate_after_ms`].
    AutoTerminateAfter(Option<u64>),
    /// See [`CrewPolicy::notify_on`].
    NotifyOn(Vec<Notify>),
    /// See [`CrewPolicy::stuck_after_ms`].
    StuckAfter(u64),
    /// See [`CrewPolicy::error_loop`].
    ErrorLoop(u32),
    /// See [`CrewPolicy::interventions_max`].
    InterventionsMax(u32),
    /// See [`CrewPolicy::cooldown_ms`].
    Cooldown(u64),
}

impl CrewPolicy {
    /// Takes a change.
    pub fn change(&mut self, change: &PolicyChange) {
        match change.clone() {
            PolicyChange::Orchestration(on) => self.orchestration = on,
            PolicyChange::RequireApproval(on) => self.require_approval = on,
            PolicyChange::AllowedModels(models) => self.allowed_models = models,
            PolicyChange::PreferredModels(models) => self.preferred_models = models,
            PolicyChange::DefaultModel(model) => self.default_model = model,
            PolicyChange::DefaultChain(agents) => self.default_chain = agents,
            PolicyChange::MaxInstances(most) => self.max_instances = most,
            PolicyChange::ChildrenMax(most) => self.children_max = most,
            PolicyChange::DepthMax(most) => self.depth_max = most,
            PolicyChange::LiveMax(most) => self.live_max = most,
            PolicyChange::MailboxMax(most) => self.mailbox_max = most,
            PolicyChange::MessageBytesMax(most) => self.message_bytes_max = most,
            PolicyChange::MaxSessionCost(nano) => self.max_session_cost_nano = nano,
            PolicyChange::MaxCostPerHour(nano) => self.max_cost_per_hour_nano = nano,
            PolicyChange::SuspendAfter(ms) => self.suspend_after_ms = ms,
            PolicyChange::AutoTerminateAfter(ms) => self.auto_terminate_after_ms = ms,
            PolicyChange::NotifyOn(what) => self.notify_on = what,
            PolicyChange::StuckAfter(ms) => self.stuck_after_ms = ms,
            PolicyChange::ErrorLoop(most) => self.error_loop = most,
            PolicyChange::InterventionsMax(most) => self.interventions_max = most,
            PolicyChange::Cooldown(ms) => self.cooldown_ms = ms,
        }
    }

    /// Whether instances may use this model.
    pub fn allows(&self, model: &str) -> bool {
        self.allowed_models.is_empty() || self.allowed_models.iter().any(|allowed| model_fits(allowed, model))
    }
}

/// Whether `allowed` (`haiku`, `sonnet-4`) stands for `model` (`claude-haiku-4-5`): it is a part of its name, whatever
/// the case, and ends at the end of a word.
pub fn model_fits(allowed: &str, model: &str) -> bool {
    let (allowed, model) = (allowed.to_ascii_lowercase(), model.to_ascii_lowercase());
    let word = |c: char| c.is_ascii_alphanumeric();
    !allowed.is_empty()
        && model.match_indices(&allowed).any(|(at, part)| {
            let before = model[..at].chars().next_back();
            let after = model[at + part.len()..].chars().next();
            !before.is_some_and(word) && !after.is_some_and(word)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_stands_for_its_models() {
        for (allowed, model, fits) in [
            ("haiku", "claude-haiku-4-5", true),
            ("Sonnet-4", "claude-sonnet-4-20250514", true),
            ("sonnet-4", "claude-sonnet-45", false),
            ("opus", "claude-haiku-4-5", false),
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5.4", true),
            ("", "anything", false),
        ] {
            assert_eq!(model_fits(allowed, model), fits, "{allowed} {model}");
        }
        let mut policy = CrewPolicy::default();
        assert!(policy.allows("anything"));
        policy.change(&PolicyChange::AllowedModels(vec!["haiku".into()]));
        assert!(!policy.allows("claude-opus-4") && policy.allows("haiku"));
    }
}
