//! Which layers are on and within which limits, for all agents or for one.

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::circle;
use wheelhouse_core::ids::AgentName;

use crate::blueprint;
use crate::conversation;
use crate::memory;
use crate::receipt::Layer;
use crate::slice::Reader;

/// What of another task's result flows into a prompt, in tokens, where nothing else is set. Four thousand tokens are
/// about 250 lines: a verdict with its evidence, or a long answer, but no log.
pub const HAND_OVER_TOKENS: u64 = 4_000;
/// What a summary may take, in tokens.
pub const SUMMARY_TOKENS: u64 = 400;
/// A prompt longer than this goes by a file, in tokens.
pub const PROMPT_TOKENS: u64 = 60_000;
/// All skills of one agent together, in characters.
pub const SKILLS_CHARS: usize = 16_000;

/// What is done about an agent that goes round in circles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EarlyStop {
    /// Nothing.
    Off,
    /// It is told, and people see it in the history.
    Nudge,
    /// It is told; when it goes on, its try ends as `stalled`.
    #[default]
    Stop,
}

impl EarlyStop {
    /// Their names in settings.
    pub const NAMES: [(&'static str, EarlyStop); 3] = [
        ("off", EarlyStop::Off),
        ("nudge", EarlyStop::Nudge),
        ("stop", EarlyStop::Stop),
    ];
}

/// The settings of one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Layers that are switched off.
    pub off: BTreeSet<Layer>,
    /// See [`HAND_OVER_TOKENS`].
    pub hand_over_tokens: u64,
    /// See [`SUMMARY_TOKENS`].
    pub summary_tokens: u64,
    /// See [`PROMPT_TOKENS`].
    pub prompt_tokens: u64,
    /// What one document may take that a task is given; a longer one is distilled. See [`blueprint::DOCUMENT_TOKENS`].
    pub document_tokens: u64,
    /// What a prompt may take that is sent once ([`crate::compress`]), in tokens; nothing: it is sent as it is.
    pub compress_to: Option<u64>,
    /// See [`SKILLS_CHARS`].
    pub skills_chars: usize,
    /// Files with skills that this agent is given before its task.
    pub skills: Vec<String>,
    /// Names of instruction files that this agent is given; for agents that do not look for them by themselves.
    pub instructions: Vec<String>,
    /// What notes may take, in tokens.
    pub memory_tokens: u64,
    /// The namespaces whose notes this agent is given, beside its own.
    pub memory: Vec<String>,
    /// What the last turns of a conversation may take word for word that a session does not remember, in tokens.
    pub conversation_tokens: u64,
    /// What is done when it goes round in circles.
    pub early_stop: EarlyStop,
    /// How often the same call in a row is a circle.
    pub repeats: u32,
    /// What the agent reads for, when it does not read everything.
    pub reader: Option<Reader>,
    /// Whether code does its tasks where that is certain ([`crate::shortcut`]), when the plan does not say.
    pub shortcuts: bool,
    /// Whether it looks after safety: no review goes without it, and its findings are never weighed down.
    pub safety: bool,
    /// Whether it can open a file that it is told of. One that cannot is given texts whole, within
    /// [`BLIND_FACTOR`] times the limits.
    pub opens_files: bool,
    /// Whether it writes its answer into a file that it is told of.
    pub answers_by_file: bool,
}

/// How much more an agent is given that cannot open files: a reference is worth nothing to it.
pub const BLIND_FACTOR: u64 = 4;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            off: BTreeSet::new(),
            hand_over_tokens: HAND_OVER_TOKENS,
            summary_tokens: SUMMARY_TOKENS,
            prompt_tokens: PROMPT_TOKENS,
            document_tokens: blueprint::DOCUMENT_TOKENS,
            compress_to: None,
            skills_chars: SKILLS_CHARS,
            skills: Vec::new(),
            instructions: Vec::new(),
            memory_tokens: memory::recall::GIVEN_TOKENS,
            memory: vec![memory::PROJECT.to_owned()],
            conversation_tokens: conversation::WORDS_TOKENS,
            early_stop: EarlyStop::default(),
            repeats: circle::REPEATS,
            reader: None,
            shortcuts: false,
            safety: false,
            opens_files: true,
            answers_by_file: false,
        }
    }
}

impl Limits {
    /// Whether a layer is on.
    pub fn is_on(&self, layer: Layer) -> bool {
        !self.off.contains(&layer)
    }
}

/// The settings of all agents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// For agents that have none of their own.
    pub all: Limits,
    /// By agent; each is complete.
    pub agents: BTreeMap<AgentName, Limits>,
}

impl Settings {
    /// The settings of that agent.
    pub fn of(&self, agent: &AgentName) -> &Limits {
        self.agents.get(agent).unwrap_or(&self.all)
    }
}
