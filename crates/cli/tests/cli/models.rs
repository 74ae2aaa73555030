//! Models behind APIs, from outside: the binary, its settings, and the fake model API.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::{House, processes_with};

/// A key that is recognised wherever it should not be.
const SECRET: &str = "sk-not-to-be-seen-outside-4711";

/// Four agents, one a wire format, each with its key from another place.
fn settings(fake: &ModelApi) -> String {
    let (base, openai) = (fake.base_url(), fake.openai_url());
    format!(
        r#"
[agents.sonnet]
backend = "api"
api = "anthropic"
base_url = "{base}"
model = "claude-x"
key_env = "A_KEY"
effort = "low"

[agents.gpt]
backend = "api"
api = "openai"
base_url = "{openai}"
model = "gpt-x"
key_file = "secrets/key"
output_tokens_max = 500

[agents.grok]
backend = "api"
api = "xai"
base_url = "{openai}"
model = "grok-x"
key_command = "cat secrets/key"
schema = "triage.json"

[agents.flash]
backend = "api"
api = "gemini"
base_url = "{base}"
model = "gemini-x"
key_env = "A_KEY"
stall_timeout = "1s"
"#
    )
}

const PLAN: &str = r#"
name: four
tasks:
  - {id: a, agent: sonnet, prompt: "[[say:From Anthropic.]][[usage:1,2,3,4,0]]"}
  - {id: b, agent: gpt, prompt: "[[say:From OpenAI.]]"}
  - {id: c, agent: grok, prompt: "Which kind is it?"}
  - {id: d, agent: flash, prompt: "[[say:From Gemini.]]"}
  - {id: e, agent: gpt, prompt: "Sum up: {{ tasks.a.summary }} {{ tasks.c.result }}", needs: [a, b, c, d]}
"#;

fn house(fake: &ModelApi) -> House {
    keyed(fake, "sk-some-other-key")
}

fn keyed(fake: &ModelApi, key: &str) -> House {
    let house = House::new().with_env("A_KEY", key);
    house.write("wheelhouse.toml", &settings(fake));
    house.write("triage.json", r#"{"type":"object","properties":{"kind":{"enum":["bug","wish"]}},"required":["kind"],"additionalProperties":false}"#);
    let key = house.write("secrets/key", key);
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    house.write("plan.yaml", PLAN);
    house
}

fn fake() -> ModelApi {
    ModelApi::start(Script::default()).unwrap()
}

#[test]
fn a_plan_over_four_apis_runs_and_says_what_each_used() {
    let fake = fake();
    let house = house(&fake);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 5, "{run:#}");
    assert_eq!(fake.violations(), []);
    assert_eq!(fake.turns().len(), 5);
    for (task, words) in [
        ("a", "From Anthropic."),
        ("b", "From OpenAI."),
        ("c", r#"{"kind":"bug"}"#),
        ("d", "From Gemini."),
    ] {
        let result = house.json(&["result", task]);
        assert_eq!(result["result"]["summary"], words, "{result:#}");
    }
    let task = house.json(&["status", "a"]);
    let usage = &task["attempts"][0]["usage"];
    let five: Vec<&Value> = ["input", "cache_read", "cache_write", "output", "reasoning"]
        .map(|name| &usage[name])
        .into();
    assert_eq!(five, [1, 2, 3, 4, 0], "{task:#}");
    let last = fake.turns().into_iter().max_by_key(|turn| turn.number).unwrap();
    assert!(
        last.prompt.contains("From Anthropic.") && last.prompt.contains(r#"{"kind":"bug"}"#),
        "{}",
        last.prompt
    );
}

/// The key is in no file below the project and the home (but the one it was put in), in no output, and no process that
/// the run left carries it.
#[test]
fn a_key_stays_where_it_was_put() {
    let fake = fake();
    let house = keyed(&fake, SECRET);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: a, agent: sonnet, prompt: \"[[say:one two three]][[hold:gate]]\"}\n\
         \x20 - {id: b, agent: gpt, prompt: \"[[fault:401]]hi\", on_failure: continue}\n\
         \x20 - {id: c, agent: grok, prompt: \"hi\"}\n",
    );
    let running = house.start(&["run", "plan.yaml"]);
    fake.wait_until(crate::DEADLINE, |turns| turns.len() >= 3).unwrap();
    let command_lines = || {
        let read = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
        let all: Vec<Vec<u8>> = fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect();
        all.concat()
    };
    assert!(!contains(&command_lines(), SECRET), "in a command line");
    fake.release("gate");
    let done = running.done();
    let mut said = format!("{}{}", done.out, done.err);
    for words in [
        &["status", "--json"][..],
        &["events", "--json"],
        &["logs", "a"],
        &["logs", "b"],
        &["result", "b", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["config", "show"],
    ] {
        let done = house.run(words);
        said.push_str(&done.out);
        said.push_str(&done.err);
    }
    assert!(!said.contains(SECRET), "{said}");
    assert!(said.contains("HTTP 401"), "{said}");
    let mut searched = 0;
    for top in [house.project(), house.home()] {
        search(&top, &mut |path, bytes| {
            searched += 1;
            assert!(
                path.ends_with("secrets/key") || !contains(bytes, SECRET),
                "in {}",
                path.display()
            );
        });
    }
    assert!(searched > 5, "the state directory was searched");
    house.until_no_engine();
    let left = processes_with(SECRET);
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

pub(crate) fn search(dir: &Path, found: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found(&path, &bytes);
        }
    }
}

#[test]
fn doctor_says_keyed_or_not_and_what_to_do() {
    let fake = fake();
    let house = house(&fake);
    fs::set_permissions(house.project().join("secrets/key"), fs::Permissions::from_mode(0o644)).unwrap();
    house.write(
        "wheelhouse.toml",
        &format!(
            "{}\n[agents.opus]\nbackend = \"api\"\napi = \"anthropic\"\nmodel = \"m\"\n",
            settings(&fake)
        ),
    );
    let document = house.json(&["doctor"]);
    let finding = |name: &str| {
        let all = document["findings"].as_array().unwrap();
        all.iter().find(|finding| finding["name"] == name).unwrap().clone()
    };
    let sonnet = finding("sonnet");
    assert_eq!(sonnet["health"], "good");
    assert!(
        sonnet["found"]
            .as_str()
            .unwrap()
            .contains("A_KEY is set, and was not looked at")
    );
    let gpt = finding("gpt");
    assert_eq!(gpt["health"], "gap");
    assert!(gpt["next"].as_str().unwrap().contains("chmod 600"));
    assert!(finding("grok")["found"].as_str().unwrap().contains("which was not run"));
    let opus = finding("opus");
    assert_eq!(
        (opus["health"].as_str(), opus["next"].as_str()),
        (Some("gap"), Some("`export ANTHROPIC_API_KEY=…`"))
    );
}

#[test]
fn what_is_missing_is_said_with_the_next_command() {
    let fake = fake();
    let house = house(&fake);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: bare, agent: api, prompt: hi}\n  - {id: keyless, agent: opus, prompt: hi}\n  - {id: gone, agent: old, prompt: hi}\n",
    );
    house.write(
        "wheelhouse.toml",
        &format!(
            "retry = 0\n[agents.opus]\nbackend = \"api\"\napi = \"anthropic\"\nmodel = \"m\"\n\
             [agents.old]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nkey_env = \"A_KEY\"\nmodel = \"fault-404-retired\"\n",
            fake.base_url()
        ),
    );
    house.run(&["run", "plan.yaml"]);
    for (task, words) in [
        ("bare", "add `[agents.NAME]` with `backend = \"api\"`"),
        ("keyless", "export ANTHROPIC_API_KEY"),
        ("gone", "HTTP 404"),
    ] {
        let document = house.json(&["status", task]);
        assert_eq!(document["task"]["outcome"]["class"], "unavailable", "{document:#}");
        assert!(
            document.to_string().contains(&words.replace('"', "\\\"")),
            "{words}: {document:#}"
        );
    }
    assert_eq!(fake.turns().len(), 1, "only the retired model was asked, once");
}
