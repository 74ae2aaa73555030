//! The table of agents: how each is set up to talk to nobody but the fake, and where it departs from the others.

use std::collections::BTreeMap;
use std::path::Path;

use wheelhouse_agents::acp::{Acp, Recipe, recipe};
use wheelhouse_agents::claude::{self, Claude};
use wheelhouse_agents::codex::{self, Codex, Mode};
use wheelhouse_core::agent::Agent;

use crate::real::{INSTALLED, Place};
use crate::rig::keeper;

/// An agent and what is special about it.
pub(crate) struct Cast {
    /// The program.
    pub(crate) program: &'static str,
    /// Whether it must be there; the others are played where they are installed.
    pub(crate) is_required: bool,
    /// How it is set up.
    pub(crate) start: fn(&Place, &Setup) -> Driven,
    /// What one request to the model counts for: input, cache read, cache write, output.
    pub(crate) counts: [u64; 4],
    /// What it counts in a turn of several requests.
    pub(crate) covers: Covers,
    /// Whether it says what a turn cost.
    pub(crate) tells_cost: bool,
    /// Whether it names the files it changed.
    pub(crate) tells_files: bool,
    /// How it calls the tool that edits.
    pub(crate) edit_tool: &'static str,
    /// How a turn ends in which a call was refused.
    pub(crate) after_a_no: &'static str,
    /// What it keeps of a session whose first turn did not end well.
    pub(crate) keeps: Keeps,
    /// How words get into a running turn.
    pub(crate) takes_words: TakesWords,
    /// Whether what it sends after a broken turn is still good protocol.
    pub(crate) is_tidy: bool,
    /// Whether it says that it tries again.
    pub(crate) tells_retries: bool,
    /// What a stream that is always cut comes to.
    pub(crate) cut: &'static [&'static str],
    /// Further failures and their classes.
    pub(crate) faults: &'static [(&'static str, &'static str)],
    /// A session that is not there.
    pub(crate) no_session: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covers {
    /// All of them.
    Turn,
    /// The last one.
    LastCall,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Keeps {
    /// Only what has a finished turn behind it.
    Finished,
    /// An interrupted one as well.
    Interrupted,
    /// A killed one as well.
    Killed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakesWords {
    /// The turn is interrupted for them.
    Interrupted,
    /// They go in when the request under way is over.
    Between,
}

/// How an agent is set up for a scenario.
pub(crate) struct Setup {
    /// What it may do with files unasked.
    pub(crate) leave: Leave,
    /// Whether its model is where nobody listens.
    pub(crate) is_deserted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Edit them.
    Edits,
    /// Nothing: it asks.
    Asks,
    /// Nothing, and it is not to ask either.
    Never,
}

/// An agent, ready.
pub(crate) enum Driven {
    Claude(Claude),
    Codex(Codex),
    Acp(Acp),
}

impl Driven {
    pub(crate) fn agent(&self) -> &dyn Agent {
        match self {
            Driven::Claude(agent) => agent,
            Driven::Codex(agent) => agent,
            Driven::Acp(agent) => agent,
        }
    }

    /// Its version, and what there is to say about it.
    pub(crate) async fn version(&self, env: BTreeMap<String, String>) -> (Option<String>, Option<String>) {
        let version = match self {
            Driven::Claude(agent) => agent.version(env).await,
            Driven::Codex(agent) => agent.version(env).await,
            Driven::Acp(agent) => agent.version(env).await,
        };
        let version = version.expect("a version");
        (version.number, version.untested)
    }
}

/// Whether an agent is installed; those that must be there are.
pub(crate) fn is_here(cast: &Cast) -> bool {
    let installed = std::env::var_os(INSTALLED).unwrap_or_default();
    let program = Path::new(&installed).join("node_modules/.bin").join(cast.program);
    let is_here = cast.is_required || program.exists();
    if !is_here {
        eprintln!("{} is not installed: it is not played", cast.program);
    }
    is_here
}

pub(crate) const CLAUDE: Cast = Cast {
    program: "claude",
    is_required: true,
    start: claude,
    counts: [100, 2_000, 300, 7],
    covers: Covers::Turn,
    tells_cost: true,
    tells_files: true,
    edit_tool: "Write",
    after_a_no: "succeeded",
    // One that is killed within a moment of its first word may not be on disk yet.
    keeps: Keeps::Interrupted,
    takes_words: TakesWords::Interrupted,
    is_tidy: true,
    tells_retries: true,
    // The program asks again, in the end without a stream, and is cut there too.
    cut: &["truncated", "overloaded"],
    faults: &[
        ("401", "auth"),
        ("500", "overloaded"),
        ("529", "overloaded"),
        ("oversize", "context_too_long"),
        ("404-retired", "unavailable"),
        ("empty", "empty"),
    ],
    no_session: "99999999-2222-4333-8444-555555555555",
};

pub(crate) const CODEX: Cast = Cast {
    program: "codex",
    start: |place, setup| codex(place, setup, Mode::AppServer),
    tells_cost: false,
    edit_tool: "edit",
    keeps: Keeps::Killed,
    takes_words: TakesWords::Between,
    faults: &[
        ("401", "auth"),
        ("500", "overloaded"),
        ("oversize", "context_too_long"),
        ("404-retired", "unavailable"),
        ("empty", "empty"),
    ],
    no_session: "01a1f8b8-1e87-7630-98f6-ea434055a4cb",
    ..CLAUDE
};

pub(crate) const CODEX_EXEC: Cast = Cast {
    start: |place, setup| codex(place, setup, Mode::Exec),
    ..CODEX
};

const AGENTS_OVER_ACP: Cast = Cast {
    edit_tool: "edit",
    tells_cost: false,
    faults: &[
        ("401", "auth"),
        ("oversize", "context_too_long"),
        ("404-retired", "unavailable"),
    ],
    ..CLAUDE
};

pub(crate) const GEMINI: Cast = Cast {
    program: "gemini",
    start: gemini,
    // The cache is in the input, and cache writes have no number.
    counts: [2_100, 0, 0, 7],
    keeps: Keeps::Finished,
    no_session: "11111111-2222-4333-8444-000000000000",
    ..AGENTS_OVER_ACP
};

pub(crate) const OPENCODE: Cast = Cast {
    program: "opencode",
    start: opencode,
    // Cache writes have no number of their own in that API: they are in the input.
    counts: [400, 2_000, 0, 7],
    covers: Covers::LastCall,
    tells_cost: true,
    // It sends an empty message of the model's in its history.
    is_tidy: false,
    after_a_no: "empty",
    no_session: "ses_e0748babbffezRZc0ca4xR7Qjf",
    ..AGENTS_OVER_ACP
};

pub(crate) const CLAUDE_ADAPTER: Cast = Cast {
    program: "claude-agent-acp",
    is_required: false,
    start: claude_adapter,
    tells_cost: true,
    edit_tool: "Write",
    tells_retries: false,
    ..AGENTS_OVER_ACP
};

pub(crate) const CODEX_ADAPTER: Cast = Cast {
    program: "codex-acp",
    is_required: false,
    start: codex_adapter,
    // Its way of taking a no is to end the turn.
    after_a_no: "empty",
    no_session: CODEX.no_session,
    ..AGENTS_OVER_ACP
};

pub(crate) const COPILOT: Cast = Cast {
    program: "copilot",
    is_required: false,
    start: copilot,
    edit_tool: "shell",
    tells_files: false,
    after_a_no: "empty",
    // It says a failure as a part of its answer, after tries of its own that it says there too.
    tells_retries: false,
    ..AGENTS_OVER_ACP
};

pub(crate) const QWEN: Cast = Cast {
    program: "qwen",
    is_required: false,
    start: qwen,
    counts: [400, 2_000, 0, 7],
    after_a_no: "empty",
    // It has the model go on from where it was cut.
    cut: &["succeeded"],
    ..AGENTS_OVER_ACP
};

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

fn url(place: &Place, setup: &Setup) -> String {
    match setup.is_deserted {
        true => NOBODY.to_owned(),
        false => place.api.base_url(),
    }
}

fn claude(place: &Place, setup: &Setup) -> Driven {
    let mut config = claude::Config::new("claude");
    config.permission_mode = match setup.leave {
        Leave::Edits => Some("acceptEdits".to_owned()),
        Leave::Asks => None,
        Leave::Never => Some("dontAsk".to_owned()),
    };
    config.state_dir = Some(place.state());
    config.env = anthropic(&url(place, setup));
    Driven::Claude(Claude::new(keeper(), config))
}

fn anthropic(url: &str) -> BTreeMap<String, String> {
    environment(&[
        ("ANTHROPIC_BASE_URL", url),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ])
}

fn codex(place: &Place, setup: &Setup, mode: Mode) -> Driven {
    let mut config = codex::Config::new("codex");
    config.mode = mode;
    config.sandbox = codex_sandbox(setup.leave).to_owned();
    config.model = Some("gpt-5.5".to_owned());
    config.state_dir = Some(place.state());
    config.env = environment(&[("OPENAI_API_KEY", "test-key")]);
    for setting in [
        "model_provider=\"fake\"".to_owned(),
        "check_for_update_on_startup=false".to_owned(),
        "analytics.enabled=false".to_owned(),
        "model_providers.fake.name=\"fake\"".to_owned(),
        format!("model_providers.fake.base_url=\"{}/v1\"", url(place, setup)),
        "model_providers.fake.env_key=\"OPENAI_API_KEY\"".to_owned(),
        "model_providers.fake.wire_api=\"responses\"".to_owned(),
    ] {
        config.extra_args.extend(["-c".to_owned(), setting]);
    }
    Driven::Codex(Codex::new(keeper(), config))
}

fn codex_sandbox(leave: Leave) -> &'static str {
    match leave {
        Leave::Edits => "workspace-write",
        Leave::Asks | Leave::Never => "read-only",
    }
}

fn gemini(place: &Place, setup: &Setup) -> Driven {
    let settings = r#"{"security":{"auth":{"selectedType":"gemini-api-key"},"folderTrust":{"enabled":false}},
        "general":{"enableAutoUpdate":false,"sessionRetention":{"enabled":false}},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}"#;
    place.write_home(".gemini/settings.json", settings);
    let mut gemini = set_up("gemini", place);
    gemini.env.extend(environment(&[
        ("GEMINI_API_KEY", "test-key"),
        ("GOOGLE_GEMINI_BASE_URL", &url(place, setup)),
    ]));
    gemini.model = Some("gemini-2.5-pro".to_owned());
    gemini.mode = (setup.leave == Leave::Edits).then(|| "autoEdit".to_owned());
    Driven::Acp(Acp::new(keeper(), gemini))
}

pub(crate) fn opencode(place: &Place, setup: &Setup) -> Driven {
    let edit = if setup.leave == Leave::Edits { "allow" } else { "ask" };
    let config = serde_json::json!({
        "$schema": "https://opencode.ai/config.json", "autoupdate": false, "share": "disabled",
        "model": "fake/fake-model", "small_model": "fake/fake-model", "permission": {"edit": edit},
        "provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "Fake",
            "options": {"baseURL": format!("{}/v1", url(place, setup)), "apiKey": "test-key"},
            "models": {
                "fake-model": {"name": "Fake", "limit": {"context": 200_000, "output": 8_000},
                    "cost": {"input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25}},
                "other-model": {"name": "Other", "limit": {"context": 200_000, "output": 8_000}},
            }}},
    });
    let mut opencode = set_up("opencode", place);
    opencode.env.extend(environment(&[
        ("OPENCODE_CONFIG_CONTENT", &config.to_string()),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
    ]));
    Driven::Acp(Acp::new(keeper(), opencode))
}

fn claude_adapter(place: &Place, setup: &Setup) -> Driven {
    let mut adapter = set_up("claude-acp", place);
    adapter.env.extend(anthropic(&url(place, setup)));
    if setup.leave == Leave::Edits {
        adapter.mode = Some("acceptEdits".to_owned());
    }
    Driven::Acp(Acp::new(keeper(), adapter))
}

fn codex_adapter(place: &Place, setup: &Setup) -> Driven {
    let settings = format!(
        "model = \"gpt-5.5\"\nmodel_provider = \"fake\"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n\
         [features]\nplugins = false\n[model_providers.fake]\nname = \"fake\"\nbase_url = \"{}/v1\"\n\
         env_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n",
        url(place, setup)
    );
    place.write_home(".codex/config.toml", &settings);
    let mut adapter = set_up("codex-acp", place);
    adapter.env.extend(environment(&[("OPENAI_API_KEY", "test-key")]));
    adapter.mode = Some(codex_sandbox(setup.leave).to_owned());
    Driven::Acp(Acp::new(keeper(), adapter))
}

fn copilot(place: &Place, setup: &Setup) -> Driven {
    let mut copilot = set_up("copilot", place);
    copilot.env.extend(environment(&[
        ("COPILOT_PROVIDER_BASE_URL", &format!("{}/v1", url(place, setup))),
        ("COPILOT_PROVIDER_API_KEY", "test-key"),
        ("COPILOT_MODEL", "fake-model"),
        ("COPILOT_OFFLINE", "true"),
    ]));
    if setup.leave == Leave::Edits {
        copilot.command.push("--allow-all-tools".to_owned());
    }
    Driven::Acp(Acp::new(keeper(), copilot))
}

fn qwen(place: &Place, setup: &Setup) -> Driven {
    let mut qwen = set_up("qwen", place);
    qwen.env.extend(environment(&[
        ("OPENAI_BASE_URL", &format!("{}/v1", url(place, setup))),
        ("OPENAI_API_KEY", "test-key"),
        ("OPENAI_MODEL", "fake-model"),
    ]));
    if setup.leave == Leave::Edits {
        qwen.mode = Some("auto-edit".to_owned());
    }
    Driven::Acp(Acp::new(keeper(), qwen))
}

fn set_up(name: &str, place: &Place) -> Recipe {
    let mut recipe = recipe(name).expect("a recipe");
    recipe.state_dir = Some(place.state());
    recipe
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    pairs.iter().map(own).collect()
}
