//! The packet as it reaches a model: the real Claude Code and Codex against the fake model, which says whether it saw the
//! excerpt. Run by hand: `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-cli --test real_packet -- --ignored`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_send_the_packet_to_their_model() {
    let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| PathBuf::from("WHEELHOUSE_REAL_AGENTS is not set"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        tools.join("node_modules/.bin").display()
    );
    let script = Script::new()
        .rule(
            Rule::any()
                .says("src/lease.rs, lines 1 to 4")
                .reply(Reply::text("the excerpt was there")),
        )
        .otherwise(Reply::text("there was no excerpt"));
    let api = ModelApi::start(script).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (home, project) = (root.path().join("home"), root.path().join("project"));
    fs::create_dir_all(project.join("src")).unwrap();
    fs::create_dir_all(home.join(".codex")).unwrap();
    fs::write(
        home.join(".codex/config.toml"),
        format!(
            "model = \"gpt-5.5\"\nmodel_provider = \"fake\"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n\
             [features]\nplugins = false\n[model_providers.fake]\nname = \"fake\"\nbase_url = \"{}\"\n\
             env_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n",
            api.openai_url()
        ),
    )
    .unwrap();
    fs::write(
        project.join("src/lease.rs"),
        "/// Renews.\npub fn renew(lease: u32) -> u32 {\n    lease + 1\n}\n",
    )
    .unwrap();
    let plan = "name: p\ntasks:\n  - {id: claude, agent: claude, prompt: \"Make src/lease.rs renew twice\"}\n  \
                - {id: codex, agent: codex, prompt: \"Make src/lease.rs renew twice\"}\n  \
                - {id: without, agent: plain, prompt: \"Make src/lease.rs renew twice\"}\n";
    fs::write(project.join("plan.yaml"), plan).unwrap();
    let env = [
        ("PATH", path.as_str()),
        ("HOME", home.to_str().unwrap()),
        ("LANG", "C.UTF-8"),
        ("ANTHROPIC_BASE_URL", &api.base_url()),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("OPENAI_API_KEY", "test-key"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ];
    let pass = env.map(|(name, _)| name);
    let config = format!("env.pass = {pass:?}\n[agents.plain]\nbackend = \"claude\"\npacket = \"off\"\n");
    fs::write(project.join("wheelhouse.toml"), config).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse"));
        command
            .args(args)
            .current_dir(&project)
            .env_clear()
            .envs(env)
            .output()
            .unwrap()
    };
    let ran = run(&["run", "plan.yaml"]);
    let result = |task: &str| String::from_utf8_lossy(&run(&["result", task]).stdout).into_owned();
    assert!(
        result("claude").contains("the excerpt was there"),
        "{}\n{ran:#?}",
        result("claude")
    );
    assert!(
        result("codex").contains("the excerpt was there"),
        "{}\n{ran:#?}",
        result("codex")
    );
    assert!(
        result("without").contains("there was no excerpt"),
        "{}\n{ran:#?}",
        result("without")
    );
}
