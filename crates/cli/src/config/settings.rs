//! Settings: the merged values as the program uses them, one field a key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use wheelhouse_core::breaker;
use wheelhouse_core::budget::Scope;
use wheelhouse_core::money::parse_usd;
use wheelhouse_core::policy::{Decision, Rule};
use wheelhouse_core::price::Billing;
use wheelhouse_core::quota;
use wheelhouse_core::report::Fee;
use wheelhouse_core::soft;
use wheelhouse_core::spec::EnvTemplate;

use super::api::ApiSettings;
use super::keys::Value;
use super::layer::Origin;
use super::tool_servers::ToolServers;
use super::{Merged, Problem};
use crate::nearest;

/// Everything configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `parallel_max`
    pub(crate) parallel_max: u32,
    /// `default_agent`
    pub(crate) default_agent: String,
    /// `timeout`
    pub(crate) timeout: Duration,
    /// `idle_timeout`
    pub(crate) idle_timeout: Duration,
    /// `retry`
    pub(crate) retry: u32,
    /// `output_max`, in bytes
    pub(crate) output_max: u64,
    /// `grace`
    pub(crate) grace: Duration,
    /// `question_timeout`
    pub(crate) question_timeout: Duration,
    /// `permissions.deny`, `.ask` and `.allow`, in the order in which they decide
    pub(crate) policy: Vec<Rule>,
    /// `env.pass`
    pub(crate) env_pass: Vec<String>,
    /// `isolation.*`
    pub(crate) isolation: EnvTemplate,
    /// `serve.listen`
    pub(crate) serve_listen: SocketAddr,
    /// `serve.toolset`
    pub(crate) serve_toolset: String,
    /// `notify.webhook`
    pub(crate) notify_webhook: Option<String>,
    /// `notify.command`
    pub(crate) notify_command: Option<String>,
    /// `otel.endpoint`
    pub(crate) otel_endpoint: Option<String>,
    /// `isolation.tree_days`
    pub(crate) tree_retention: Duration,
    /// `routing.file`
    pub(crate) routing_file: String,
    /// `retention.days`
    pub(crate) retention: Duration,
    /// `context.*` and `agents.*.context.*`
    pub(crate) context: wheelhouse_context::settings::Settings,
    /// `find.*`
    pub(crate) find: FindSettings,
    /// `budget.*`, in nano-dollars
    pub(crate) budgets: Vec<(Scope, u64)>,
    /// What happens to a task whose account is used up.
    pub(crate) quota: quota::Policy,
    pub(crate) soft: soft::Policy,
    /// When providers are left alone that fail.
    pub(crate) breaker: breaker::Policy,
    /// `agents.*`
    pub(crate) agents: BTreeMap<String, AgentSettings>,
    /// `roles.*.tools`
    pub(crate) roles: BTreeMap<String, Vec<String>>,
    /// `accounts.*.parallel_max`
    pub(crate) accounts: BTreeMap<String, u32>,
    /// `subscriptions.*`
    pub(crate) fees: Vec<Fee>,
    /// `mcp.*`
    pub(crate) tool_servers: ToolServers,
}

/// How the places that a question finds are ordered anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FindSettings {
    /// `find.embeddings.directory`
    pub(crate) directory: String,
    /// `find.embeddings.url`
    pub(crate) url: String,
    /// `find.embeddings.model`
    pub(crate) model: String,
    /// `find.embeddings.key_env`
    pub(crate) key_env: String,
    /// `find.rerank`
    pub(crate) rerank: String,
}

/// One named agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentSettings {
    /// `backend`
    pub(crate) backend: String,
    /// `command`
    pub(crate) command: Option<String>,
    /// `model`
    pub(crate) model: Option<String>,
    /// `roster`
    pub(crate) roster: Option<String>,
    /// `mode`
    pub(crate) mode: Option<String>,
    /// `tools`
    pub(crate) tools: Option<Vec<String>>,
    /// `packet`
    pub(crate) packet: Option<bool>,
    /// `one_shot`
    pub(crate) one_shot: Option<bool>,
    /// `parallel_max`
    pub(crate) parallel_max: Option<u32>,
    /// `billing`
    pub(crate) billing: Option<Billing>,
    /// `account`
    pub(crate) account: Option<String>,
    /// `env`
    pub(crate) env: BTreeMap<String, String>,
    /// What is for the backend `api` alone.
    pub(crate) api: ApiSettings,
}

impl Merged {
    /// The settings, or what does not fit together. `backends` are those an agent may have; agents of these names
    /// exist without being configured.
    pub(crate) fn settings(&self, backends: &[String]) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let agents = self.agents(backends, &mut problems);
        let policy = self.policy(&mut problems);
        let serve_listen = self.address("serve.listen", &mut problems);
        let context = self.context(&mut problems);
        let fees = self.fees(&mut problems);
        let tool_servers = self.tool_servers(&mut problems);
        let settings = Settings {
            parallel_max: narrow(self.count("parallel_max")),
            default_agent: self.text("default_agent"),
            timeout: self.span("timeout"),
            idle_timeout: self.span("idle_timeout"),
            retry: narrow(self.count("retry")),
            output_max: self.count("output_max"),
            grace: self.span("grace"),
            question_timeout: self.span("question_timeout"),
            policy,
            env_pass: self.names("env.pass"),
            isolation: EnvTemplate {
                copy: self.names("isolation.copy"),
                setup: self.names("isolation.setup"),
                teardown: self.names("isolation.teardown"),
                hooks: self.text("isolation.hooks") == "run",
                trash_days: Some(narrow(self.count("isolation.trash_days"))),
                ports: u8::try_from(self.count("isolation.ports")).unwrap_or(u8::MAX),
                databases: u8::try_from(self.count("isolation.databases")).unwrap_or(u8::MAX),
            },
            serve_listen,
            serve_toolset: self.text("serve.toolset"),
            notify_webhook: Some(self.text("notify.webhook")).filter(|url| !url.is_empty()),
            notify_command: Some(self.text("notify.command")).filter(|line| !line.is_empty()),
            otel_endpoint: self.collector(&mut problems),
            tree_retention: Duration::from_secs(self.count("isolation.tree_days").saturating_mul(86_400)),
            routing_file: self.text("routing.file"),
            retention: Duration::from_secs(self.count("retention.days").saturating_mul(86_400)),
            find: self.find(&mut problems),
            budgets: self.budgets(),
            quota: self.quota(),
            soft: self.soft(),
            breaker: self.breaker(),
            roles: self.roles(),
            accounts: self.accounts(),
            context,
            fees,
            tool_servers,
            agents,
        };
        self.check(&settings, &mut problems);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    /// An address; one that is none is a problem, and stands for any.
    fn address(&self, key: &str, problems: &mut Vec<Problem>) -> SocketAddr {
        let text = self.text(key);
        text.parse().unwrap_or_else(|_| {
            problems.push(Problem {
                origin: self.origin(&key.split('.').collect::<Vec<_>>()),
                message: format!("`{key}`: `{text}` is no address with a port, such as `127.0.0.1:7416`"),
            });
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    /// Where spans go.
    fn collector(&self, problems: &mut Vec<Problem>) -> Option<String> {
        let key = "otel.endpoint";
        let url = Some(self.text(key)).filter(|url| !url.is_empty())?;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            problems.push(Problem {
                origin: self.origin(&["otel", "endpoint"]),
                message: format!(
                    "`{key}`: `{url}` does not begin with `http://` or `https://`; did you mean `http://{url}`?"
                ),
            });
        }
        Some(url)
    }

    fn agents(&self, backends: &[String], problems: &mut Vec<Problem>) -> BTreeMap<String, AgentSettings> {
        let mut agents: BTreeMap<String, AgentSettings> = BTreeMap::new();
        let mut first: BTreeMap<&str, &Origin> = BTreeMap::new();
        for (path, (value, origin)) in &self.values {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let ["agents", name, rest @ ..] = path.as_slice() else {
                continue;
            };
            first.entry(name).or_insert(origin);
            let agent = agents.entry((*name).to_owned()).or_default();
            match (rest, value) {
                (["backend"], Value::Text(backend)) => {
                    if !backends.contains(backend) {
                        problems.push(Problem {
                            origin: origin.clone(),
                            message: no_backend(backend, backends),
                        });
                    }
                    agent.backend.clone_from(backend);
                }
                (["command"], Value::Text(command)) => agent.command = Some(command.clone()),
                (["model"], Value::Text(model)) => agent.model = Some(model.clone()),
                (["roster"], Value::Text(roster)) => agent.roster = Some(roster.clone()),
                (["mode"], Value::Text(mode)) => agent.mode = Some(mode.clone()),
                (["tools"], Value::Names(tools)) => agent.tools = Some(tools.clone()),
                ([key @ ("packet" | "one_shot")], Value::Text(word)) => {
                    let flag = [("on", true), ("off", false)]
                        .into_iter()
                        .find(|(name, _)| name == word);
                    let place = if *key == "packet" {
                        &mut agent.packet
                    } else {
                        &mut agent.one_shot
                    };
                    *place = flag.map(|(_, flag)| flag);
                    if flag.is_none() {
                        problems.push(Problem {
                            origin: origin.clone(),
                            message: format!("`{key}` of agent `{name}` is `on` or `off`, not `{word}`"),
                        });
                    }
                }
                (["parallel_max"], Value::Count(number)) => agent.parallel_max = Some(narrow(*number)),
                (["billing"], Value::Text(billing)) => {
                    agent.billing = Billing::named(billing);
                    if agent.billing.is_none() {
                        problems.push(Problem {
                            origin: origin.clone(),
                            message: format!(
                                "`{billing}` is not a way of billing; there is `api`, `subscription`, `free`, `reported`"
                            ),
                        });
                    }
                }
                (["account"], Value::Text(account)) => agent.account = Some(account.clone()),
                (["env", variable], Value::Text(text)) => {
                    agent.env.insert((*variable).to_owned(), text.clone());
                }
                ([key], value) => agent.api.take(key, value),
                _ => {}
            }
        }
        for (name, agent) in &mut agents {
            if !agent.backend.is_empty() {
                continue;
            }
            // `[agents.exec]` may limit the built-in agent of that name without repeating what it is.
            if backends.contains(name) {
                agent.backend.clone_from(name);
            } else if let Some(origin) = first.get(name.as_str()) {
                problems.push(Problem {
                    origin: (*origin).clone(),
                    message: format!(
                        "agent `{name}` has no backend; add `backend = \"…\"`, one of {}",
                        nearest::list(backends, usize::MAX)
                    ),
                });
            }
        }
        agents
    }

    /// A refusal wins over a question, a question over leave.
    fn policy(&self, problems: &mut Vec<Problem>) -> Vec<Rule> {
        let mut rules = Vec::new();
        let order = [
            ("deny", Decision::Deny),
            ("ask", Decision::Ask),
            ("allow", Decision::Allow),
        ];
        for (key, decide) in order {
            let path = ["permissions".to_owned(), key.to_owned()];
            let Some((Value::Names(texts), origin)) = self.values.get(&path[..]) else {
                continue;
            };
            for text in texts {
                match Rule::parse(text, decide) {
                    Ok(rule) => rules.push(rule),
                    Err(error) => problems.push(Problem {
                        origin: origin.clone(),
                        message: format!("`permissions.{key}`: {error}"),
                    }),
                }
            }
        }
        rules
    }

    fn budgets(&self) -> Vec<(Scope, u64)> {
        let limit = |(name, scope): (&str, Scope)| match self.value(name) {
            Some(Value::Text(usd)) => Some((scope, parse_usd(usd).ok()?)),
            _ => None,
        };
        [
            ("budget.day", Scope::Day),
            ("budget.hour", Scope::Hour),
            ("budget.session", Scope::Session),
        ]
        .into_iter()
        .filter_map(limit)
        .collect()
    }

    fn soft(&self) -> soft::Policy {
        match self.text("budget.soft").as_str() {
            "off" => soft::Policy::Off,
            "ask" => soft::Policy::Ask,
            _ => soft::Policy::Warn,
        }
    }

    fn quota(&self) -> quota::Policy {
        match self.text("quota").as_str() {
            "wait" => quota::Policy::Wait,
            _ => quota::Policy::Reroute,
        }
    }

    fn breaker(&self) -> breaker::Policy {
        let open_ms = u64::try_from(self.span("breaker.open").as_millis()).unwrap_or(u64::MAX);
        let usual = breaker::Policy::default();
        breaker::Policy {
            streak_max: narrow(self.count("breaker.failures")),
            failed_percent: narrow(self.count("breaker.failed_percent")),
            open_ms,
            open_max_ms: usual.open_max_ms.max(open_ms),
            ..usual
        }
    }

    fn find(&self, problems: &mut Vec<Problem>) -> FindSettings {
        let find = FindSettings {
            directory: self.text("find.embeddings.directory"),
            url: self.text("find.embeddings.url"),
            model: self.text("find.embeddings.model"),
            key_env: self.text("find.embeddings.key_env"),
            rerank: self.text("find.rerank"),
        };
        let url = &find.url;
        let mut refuse = |key: &str, message: String| {
            problems.push(Problem {
                origin: self.origin(&["find", "embeddings", key]),
                message,
            });
        };
        if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
            refuse(
                "url",
                format!(
                    "`find.embeddings.url`: `{url}` is no address; a directory of weights is named by \
                     `find.embeddings.directory`"
                ),
            );
        }
        if !url.is_empty() && !find.directory.is_empty() {
            refuse(
                "directory",
                "`find.embeddings` has a `directory` and a `url`; vectors come from one of them".to_owned(),
            );
        }
        if !url.is_empty() && find.model.is_empty() {
            refuse(
                "url",
                "`find.embeddings.url` needs a model: `find.embeddings.model = \"…\"`".to_owned(),
            );
        }
        find
    }

    fn roles(&self) -> BTreeMap<String, Vec<String>> {
        let role = |(path, (value, _)): (&Vec<String>, &(Value, Origin))| match (path.as_slice(), value) {
            ([roles, name, _], Value::Names(tools)) if roles == "roles" => Some((name.clone(), tools.clone())),
            _ => None,
        };
        self.values.iter().filter_map(role).collect()
    }

    fn accounts(&self) -> BTreeMap<String, u32> {
        let account = |(path, (value, _)): (&Vec<String>, &(Value, Origin))| match (path.as_slice(), value) {
            ([accounts, name, _], Value::Count(number)) if accounts == "accounts" => {
                Some((name.clone(), narrow(*number)))
            }
            _ => None,
        };
        self.values.iter().filter_map(account).collect()
    }

    fn check(&self, settings: &Settings, problems: &mut Vec<Problem>) {
        for (name, agent) in &settings.agents {
            self.check_api(name, agent, problems);
            let backend = &agent.backend;
            if agent.one_shot == Some(true) && backend != "codex" {
                problems.push(Problem {
                    origin: self.origin(&["agents", name, "one_shot"]),
                    message: format!("agent `{name}` is of the backend `{backend}`; `one_shot` is for `codex` alone"),
                });
            }
            let Some(account) = &agent.account else { continue };
            if !settings.accounts.contains_key(account) {
                let exist: Vec<String> = settings.accounts.keys().cloned().collect();
                let near = nearest::name(account, &exist).map(|near| format!(" (or did you mean `{near}`?)"));
                problems.push(Problem {
                    origin: self.origin(&["agents", name, "account"]),
                    message: format!(
                        "agent `{name}` works on account `{account}`, which has no limit; add `[accounts.{account}]` \
                         with `parallel_max = …`{}",
                        near.unwrap_or_default()
                    ),
                });
            }
        }
        for variable in &settings.env_pass {
            if variable.is_empty() || variable.contains(['=', '\0']) {
                problems.push(Problem {
                    origin: self.origin(&["env", "pass"]),
                    message: format!("`env.pass`: `{variable}` is not the name of an environment variable"),
                });
            }
        }
    }

    /// Where the value at that path comes from.
    pub(crate) fn origin(&self, path: &[&str]) -> Origin {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.values
            .get(&path)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        self.values.get(&path).map(|(value, _)| value)
    }

    // Every key read below has a default of its kind (a test of `keys` holds that), so the fallbacks are never met.

    pub(super) fn count(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::Count(number) | Value::Bytes(number)) => *number,
            _ => 0,
        }
    }

    pub(super) fn span(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Span(span)) => *span,
            _ => Duration::ZERO,
        }
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn names(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::Names(names)) => names.clone(),
            _ => Vec::new(),
        }
    }
}

fn no_backend(asked: &str, backends: &[String]) -> String {
    let near = nearest::name(asked, backends).map(|near| format!("; did you mean `{near}`?"));
    format!(
        "there is no backend `{asked}`{}",
        near.unwrap_or_else(|| format!("; there is {}", nearest::list(backends, usize::MAX)))
    )
}

/// Counts are bounded by their keys far below this.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{keys, layer, merge};
    use super::*;

    pub(in crate::config) fn settings(text: &str) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let leaves = layer::file("wheelhouse.toml".as_ref(), text, &mut problems);
        let merged = merge(leaves, &mut problems);
        assert_eq!(problems, []);
        merged.settings(&["api".to_owned(), "exec".to_owned(), "rehearsal".to_owned()])
    }

    /// Every key arrives in a field: setting it to something else than its default changes the settings.
    #[test]
    fn every_key_has_a_reader() {
        let base = "agents.a.backend = \"exec\"\nagents.m.backend = \"api\"\nagents.m.api = \"gemini\"\naccounts.x.parallel_max = 9\n\
                    subscriptions.x.month = 9\nmcp.servers.p.command = \"x\"\nmcp.servers.u.url = \"http://127.0.0.1:1\"\n";
        let before = settings(base).unwrap();
        for key in keys::KEYS {
            let line = match key.pattern {
                "parallel_max" => "parallel_max = 7",
                "default_agent" => "default_agent = \"exec\"",
                "timeout" => "timeout = \"7s\"",
                "idle_timeout" => "idle_timeout = \"7s\"",
                "retry" => "retry = 2",
                "output_max" => "output_max = 7",
                "grace" => "grace = \"7s\"",
                "question_timeout" => "question_timeout = \"7s\"",
                "permissions.deny" => "permissions.deny = [\"Bash(rm *)\"]",
                "permissions.ask" => "permissions.ask = [\"Write\"]",
                "permissions.allow" => "permissions.allow = [\"claude:Read\"]",
                "agents.*.model" => "agents.exec.model = \"m\"",
                "agents.*.mode" => "agents.exec.mode = \"m\"",
                "env.pass" => "env.pass = []",
                "isolation.copy" => "isolation.copy = [\".env\"]",
                "isolation.setup" => "isolation.setup = [\"npm ci\"]",
                "isolation.teardown" => "isolation.teardown = [\"make clean\"]",
                "isolation.hooks" => "isolation.hooks = \"run\"",
                "isolation.tree_days" => "isolation.tree_days = 70",
                "isolation.trash_days" => "isolation.trash_days = 70",
                "isolation.ports" => "isolation.ports = 7",
                "isolation.databases" => "isolation.databases = 7",
                "routing.file" => "routing.file = \"r.yaml\"",
                "agents.*.roster" => "agents.exec.roster = \"m\"",
                "retention.days" => "retention.days = 7",
                "budget.soft" => "budget.soft = \"ask\"",
                "quota" => "quota = \"wait\"",
                "breaker.failures" => "breaker.failures = 7",
                "breaker.failed_percent" => "breaker.failed_percent = 7",
                "breaker.open" => "breaker.open = \"7s\"",
                "find.embeddings.directory" => "find.embeddings.directory = \"weights\"",
                "find.embeddings.url" => {
                    "find.embeddings.url = \"http://127.0.0.1:1/v1\"\nfind.embeddings.model = \"m\""
                }
                "find.embeddings.model" => "find.embeddings.model = \"m\"",
                "find.embeddings.key_env" => "find.embeddings.key_env = \"KEY\"",
                "find.rerank" => "find.rerank = \"cat\"",
                "budget.day" => "budget.day = \"7\"",
                "budget.hour" => "budget.hour = 7",
                "budget.session" => "budget.session = 0.5",
                "agents.*.billing" => "agents.exec.billing = \"api\"",
                "agents.*.backend" => "agents.b.backend = \"exec\"",
                "agents.*.command" => "agents.exec.command = \"/bin/dash\"",
                "serve.toolset" => "serve.toolset = \"full\"",
                "notify.webhook" => "notify.webhook = \"http://127.0.0.1:1/hook\"",
                "notify.command" => "notify.command = \"true\"",
                "otel.endpoint" => "otel.endpoint = \"http://127.0.0.1:4318\"",
                "serve.listen" => "serve.listen = \"127.0.0.1:7\"",
                "context.off" => "context.off = [\"encoding\"]",
                "context.hand_over_tokens" => "context.hand_over_tokens = 700",
                "context.summary_tokens" => "context.summary_tokens = 700",
                "context.prompt_tokens" => "context.prompt_tokens = 7000",
                "context.document_tokens" => "context.document_tokens = 700",
                "agents.*.context.document_tokens" => "agents.exec.context.document_tokens = 700",
                "agents.*.context.answers" => "agents.exec.context.answers = \"file\"",
                "context.compress_to" => "context.compress_to = 700",
                "agents.*.context.compress_to" => "agents.exec.context.compress_to = 700",
                "context.memory_tokens" => "context.memory_tokens = 700",
                "context.conversation_tokens" => "context.conversation_tokens = 700",
                "context.early_stop" => "context.early_stop = \"off\"",
                "context.repeats" => "context.repeats = 7",
                "agents.*.context.conversation_tokens" => "agents.exec.context.conversation_tokens = 700",
                "agents.*.context.early_stop" => "agents.exec.context.early_stop = \"off\"",
                "agents.*.context.repeats" => "agents.exec.context.repeats = 7",
                "agents.*.context.off" => "agents.exec.context.off = [\"summary\"]",
                "agents.*.context.hand_over_tokens" => "agents.exec.context.hand_over_tokens = 700",
                "agents.*.context.skills" => "agents.exec.context.skills = [\"s.md\"]",
                "agents.*.context.instructions" => "agents.exec.context.instructions = [\"AGENTS.md\"]",
                "agents.*.context.reads" => "agents.exec.context.reads = [\"sql\"]",
                "agents.*.context.memory" => "agents.exec.context.memory = [\"db\"]",
                "context.shortcuts" => "context.shortcuts = \"auto\"",
                "agents.*.context.shortcuts" => "agents.exec.context.shortcuts = \"auto\"",
                "agents.*.context.safety" => "agents.exec.context.safety = \"on\"",
                "agents.*.context.files" => "agents.exec.context.files = \"off\"",
                "agents.*.tools" => "agents.exec.tools = [\"Read\"]",
                "roles.*.tools" => "roles.tester.tools = [\"Read\"]",
                "agents.*.packet" => "agents.exec.packet = \"on\"",
                "agents.*.one_shot" => "agents.exec.one_shot = \"off\"",
                "agents.*.parallel_max" => "agents.exec.parallel_max = 7",
                "agents.*.account" => "agents.exec.account = \"x\"",
                "agents.*.api" => "agents.n.api = \"openai\"\nagents.n.backend = \"api\"",
                "agents.*.base_url" => "agents.m.base_url = \"http://127.0.0.1:1\"",
                "agents.*.effort" => "agents.m.effort = \"low\"",
                "agents.*.key_env" => "agents.m.key_env = \"KEY\"",
                "agents.*.key_file" => "agents.m.key_file = \"key\"",
                "agents.*.key_command" => "agents.m.key_command = \"pass key\"",
                "agents.*.output_tokens_max" => "agents.m.output_tokens_max = 7",
                "agents.*.schema" => "agents.m.schema = \"a.json\"",
                "agents.*.cache" => "agents.m.cache = \"off\"",
                "agents.*.first_byte_timeout" => "agents.m.first_byte_timeout = \"7s\"",
                "agents.*.stall_timeout" => "agents.m.stall_timeout = \"7s\"",
                "agents.*.env.*" => "agents.exec.env.X = \"7\"",
                "accounts.*.parallel_max" => "accounts.y.parallel_max = 7",
                "subscriptions.*.month" => "subscriptions.y.month = 20",
                "subscriptions.*.from" => "subscriptions.x.from = \"2026-11-01\"",
                "subscriptions.*.until" => "subscriptions.x.until = \"2026-11-01\"",
                "mcp.start_timeout" => "mcp.start_timeout = \"7s\"",
                "mcp.list_timeout" => "mcp.list_timeout = \"7s\"",
                "mcp.call_timeout" => "mcp.call_timeout = \"7s\"",
                "mcp.result_tokens" => "mcp.result_tokens = 700",
                "mcp.servers.*.fields.*" => "mcp.servers.p.fields.query = \"rows\"",
                "mcp.servers.*.enabled" => "mcp.servers.p.enabled = \"off\"",
                "mcp.servers.*.command" => "mcp.servers.q.command = \"y\"",
                "mcp.servers.*.args" => "mcp.servers.p.args = [\"y\"]",
                "mcp.servers.*.env.*" => "mcp.servers.p.env.X = \"7\"",
                "mcp.servers.*.env_pass" => "mcp.servers.p.env_pass = [\"X\"]",
                "mcp.servers.*.url" => "mcp.servers.q.url = \"http://127.0.0.1:2\"",
                "mcp.servers.*.key_env" => "mcp.servers.u.key_env = \"KEY\"",
                "mcp.servers.*.key_file" => "mcp.servers.u.key_file = \"key\"",
                "mcp.servers.*.key_command" => "mcp.servers.u.key_command = \"pass key\"",
                "mcp.servers.*.tools" => "mcp.servers.p.tools = [\"y\"]",
                other => panic!("no line for {other}"),
            };
            let after = settings(&format!("{line}\n{base}")).unwrap();
            assert_ne!(before, after, "{}", key.pattern);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let text = "[agents.a]\nparallel_max = 2\n[agents.b]\nbackend = \"exce\"\naccount = \"z\"\n";
        let problems = settings(text).unwrap_err();
        let lines: Vec<String> = problems
            .iter()
            .map(|p| format!("{}: {}", p.origin, p.message))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        wheelhouse.toml:4: there is no backend `exce`; did you mean `exec`?
        wheelhouse.toml:2: agent `a` has no backend; add `backend = "…"`, one of `api`, `exec` and `rehearsal`
        wheelhouse.toml:5: agent `b` works on account `z`, which has no limit; add `[accounts.z]` with `parallel_max = …`
        "#);
    }
}
