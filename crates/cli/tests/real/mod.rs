//! What the tests with real agents stand on: a repository, an empty home with settings for the agents, and the fake model
//! that they all talk to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wheelhouse_testkit::model_api::{ModelApi, Script};

/// What the agents must be told to talk to nobody but the fake; the names that the configuration lets through.
pub(crate) fn environment(api: &ModelApi) -> Vec<(&'static str, String)> {
    let on = || "1".to_owned();
    vec![
        ("ANTHROPIC_BASE_URL", api.base_url()),
        ("ANTHROPIC_API_KEY", "test-key".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", on()),
        ("DISABLE_TELEMETRY", on()),
        ("DISABLE_ERROR_REPORTING", on()),
        ("DISABLE_AUTOUPDATER", on()),
        ("OPENAI_API_KEY", "test-key".to_owned()),
        ("GEMINI_API_KEY", "test-key".to_owned()),
        ("GOOGLE_GEMINI_BASE_URL", api.base_url()),
        ("OPENCODE_DISABLE_AUTOUPDATE", on()),
        ("OPENCODE_DISABLE_MODELS_FETCH", on()),
    ]
}

pub(crate) fn settings_of_the_agents(home: &Path, api: &ModelApi) {
    let write = |name: &str, text: String| {
        let path = home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let url = api.openai_url();
    write(
        ".codex/config.toml",
        format!(
            "model = \"gpt-5.5\"\nmodel_provider = \"fake\"\ncheck_for_update_on_startup = false\n[analytics]\n\
             enabled = false\n[features]\nplugins = false\n[model_providers.fake]\nname = \"fake\"\n\
             base_url = \"{url}\"\nenv_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n"
        ),
    );
    let gemini = serde_json::json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "general": {"enableAutoUpdate": false}, "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
    });
    write(".gemini/settings.json", gemini.to_string());
    let opencode = serde_json::json!({
        "autoupdate": false, "share": "disabled", "model": "fake/fake-model", "small_model": "fake/fake-model",
        "provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "Fake",
            "options": {"baseURL": url, "apiKey": "test-key"},
            "models": {"fake-model": {"name": "Fake", "limit": {"context": 200_000, "output": 8_000}}}}},
    });
    write(".config/opencode/opencode.json", opencode.to_string());
}

/// How long anything may take before a test gives up: these programs are slow to start, and machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A repository, an empty home with settings for the agents, and the fake model that they all talk to.
pub(crate) struct House {
    pub(crate) root: tempfile::TempDir,
    pub(crate) api: ModelApi,
    pub(crate) path: String,
}

impl House {
    pub(crate) fn new(script: Script) -> House {
        let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(PathBuf::from);
        let tools = tools.unwrap_or_else(|| "WHEELHOUSE_REAL_AGENTS is not set".into());
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            tools.join("node_modules/.bin").display()
        );
        let api = ModelApi::start(script).unwrap();
        let root = tempfile::tempdir().unwrap();
        let house = House { root, api, path };
        fs::create_dir_all(house.project()).unwrap();
        fs::create_dir_all(house.root.path().join("tmp")).unwrap();
        settings_of_the_agents(&house.home(), &house.api);
        house.git(&["init", "-q", "-b", "main"]);
        fs::write(house.project().join("README.md"), "a project\n").unwrap();
        house.git(&["add", "README.md"]);
        house.git(&["commit", "-q", "-m", "start"]);
        let names: Vec<&str> = environment(&house.api).iter().map(|(name, _)| *name).collect();
        let pass = [&["PATH", "HOME", "LANG", "TMPDIR"], &names[..]].concat();
        fs::write(
            house.project().join("wheelhouse.toml"),
            format!("permissions.allow = [\"*\"]\nenv.pass = {pass:?}\n[agents.gemini]\nmodel = \"gemini-2.5-pro\"\n"),
        )
        .unwrap();
        house
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.project())
            .env_clear()
            .envs(environment(&self.api))
            .envs([("PATH", self.path.as_str()), ("LANG", "C.UTF-8")])
            .envs([("HOME", self.home()), ("TMPDIR", self.root.path().join("tmp"))])
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn ours(&self, words: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_wheelhouse"), words)
    }

    /// Runs it; it must go well.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let done = self.ours(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {done:#?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    pub(crate) fn git(&self, words: &[&str]) -> String {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
        let done = self.command("git", &[&identity[..], words].concat()).output().unwrap();
        assert!(done.status.success(), "{words:?}: {done:#?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// The processes of this house: all that were started for it carry its home.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = format!("HOME={}", self.home().display());
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let is_ours = |path: &Path| {
            let environ = fs::read(path.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
                || fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.root.path()))
        };
        let ours = entries.map(|entry| entry.path()).filter(|path| is_ours(path));
        ours.map(|path| String::from_utf8_lossy(&fs::read(path.join("cmdline")).unwrap_or_default()).into_owned())
            .collect()
    }

    pub(crate) fn until_all_processes_are_gone(&self, told: &str) {
        wait_for(
            || format!("{told}: the processes to be gone: {:#?}", self.processes()),
            || self.processes().is_empty(),
        );
    }
}

pub(crate) fn wait_for(what: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An engine under way; killed when the test ends before it.
pub(crate) struct Engine(pub(crate) Child);

impl Engine {
    pub(crate) fn start(house: &House, words: &[&str], fault: Option<&str>) -> Engine {
        let said = fs::File::create(house.root.path().join("said")).unwrap();
        let mut command = house.ours(words);
        command.envs(fault.map(|fault| ("WHEELHOUSE_FAULT", fault)));
        Engine(command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
