//! Bad days that no kill is to blame for: a login that runs out in the middle of a run, a disk that is full under one
//! worktree. Who is not concerned goes on; who is keeps what was made, and is told what helps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use wheelhouse_testkit::model_api::{Act, Attempt, Reply, Rule, Script, Vendor};

use crate::real::{Engine, House, PATIENCE, wait_for};

/// How often a vendor's program may ask with a login that is over before it gives up.
const ASKED_MAX: usize = 3;

/// An agent whose login runs out, the protocol of its model, and who stands in for it.
struct Case {
    agent: &'static str,
    vendor: Vendor,
    other: &'static str,
}

const CLAUDE: Case = Case {
    agent: "claude",
    vendor: Vendor::Anthropic,
    other: "codex",
};
const CODEX: Case = Case {
    agent: "codex",
    vendor: Vendor::Responses,
    other: "claude",
};
const GEMINI: Case = Case {
    agent: "gemini",
    vendor: Vendor::Gemini,
    other: "claude",
};
const OPENCODE: Case = Case {
    agent: "opencode",
    vendor: Vendor::Chat,
    other: "claude",
};

/// One test for each agent and bad day.
macro_rules! bad_days {
    ($($name:ident: $bad_day:ident $agent:expr;)*) => {$(
        #[test]
        #[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
        fn $name() {
            $bad_day(&$agent);
        }
    )*};
}

bad_days! {
    real_agents_claude_login_runs_out: a_login_runs_out CLAUDE;
    real_agents_codex_login_runs_out: a_login_runs_out CODEX;
    real_agents_gemini_login_runs_out: a_login_runs_out GEMINI;
    real_agents_opencode_login_runs_out: a_login_runs_out OPENCODE;
    real_agents_claude_disk_is_full: a_disk_is_full CLAUDE;
    real_agents_codex_disk_is_full: a_disk_is_full CODEX;
    real_agents_gemini_disk_is_full: a_disk_is_full GEMINI;
    real_agents_opencode_disk_is_full: a_disk_is_full OPENCODE;
}

/// One that is done before, one that has somebody to fall back on, one that has nobody, one of another vendor.
fn four_tasks(case: &Case) -> String {
    let Case { agent, other, .. } = case;
    format!(
        r#"
name: login
defaults: {{agent: {agent}, isolation: worktree, merge: queue, retry: {{max: 2}}, timeout: 10m}}
tasks:
  - {{id: before, prompt: "[[edit:first.txt:first]]", verify: ["grep -q first first.txt"]}}
  - {{id: chained, needs: [before], fallback: [{other}], prompt: "[[edit:second.txt:second]]", verify: ["grep -q second second.txt"]}}
  - {{id: alone, needs: [chained], prompt: "[[edit:third.txt:third]]", verify: ["grep -q third third.txt"]}}
  - {{id: elsewhere, agent: {other}, needs: [chained], prompt: "[[edit:fourth.txt:fourth]]", verify: ["grep -q fourth fourth.txt"]}}
"#
    )
}

/// The model does what it is asked to do, and with the next request the login is over.
fn runs_out(vendor: Vendor, file: &str) -> Rule {
    let path = format!("{file}.txt");
    let edit = Act::Edit {
        path: path.clone(),
        content: file.to_owned(),
    };
    Rule::any()
        .vendor(vendor)
        .says(&path)
        .reply(Reply::act(edit))
        .reply(Reply::text("unheard").fault("expired").unwrap())
}

fn a_login_runs_out(case: &Case) {
    let Case { agent, vendor, .. } = *case;
    let script = ["second", "third"].map(|file| runs_out(vendor, file));
    let house = House::new(script.into_iter().fold(Script::new(), Script::rule));
    // So that the one that is left alone is asked again soon.
    house.set_first("breaker.open = \"1s\"\n");
    fs::write(house.project().join("plan.yaml"), four_tasks(case)).unwrap();
    let done = house.ours(&["run", "plan.yaml"]).output().unwrap();
    assert_eq!(done.status.code(), Some(3), "a person is waited for: {done:#?}");

    assert_eq!(classes(&house, "before"), ["succeeded"]);
    assert_eq!(
        classes(&house, "chained"),
        ["auth", "succeeded"],
        "no second try in vain"
    );
    assert_eq!(classes(&house, "elsewhere"), ["succeeded"]);
    assert_eq!(classes(&house, "alone"), ["auth"]);
    let refused = |file: &str| {
        let turns = house.api.turns();
        let of_it = |attempt: &&Attempt| attempt.prompt.contains(file) && attempt.fault.as_deref() == Some("expired");
        turns.iter().filter(of_it).count()
    };
    for file in ["second.txt", "third.txt"] {
        let count = refused(file);
        assert!((1..=ASKED_MAX).contains(&count), "{file}: asked {count} times in vain");
    }
    // The vendor's words, and what helps.
    let task = document(&house, "alone");
    assert_eq!(task["task"]["held"]["reason"], "question", "{task:#}");
    let asked: Value = serde_json::from_str(&house.ok(&["answer", "--json"])).unwrap();
    let asked = asked["questions"][0]["text"].as_str().unwrap();
    for words in ["expired", &format!("log in with `{agent}` itself"), "retry"] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    house.until_all_processes_are_gone(agent);

    // Somebody logs in again.
    let session = document(&house, "alone")["attempts"][0]["session"].clone();
    house.api.set_script(Script::new());
    house.ok(&["answer", "alone", "retry"]);
    house.ok(&["resume"]);
    assert_eq!(classes(&house, "alone"), ["auth", "succeeded"]);
    assert!(session.is_string(), "{session}");
    let task = document(&house, "alone");
    assert_eq!(
        task["attempts"][1]["session"], session,
        "it goes on where it was: {task:#}"
    );
    house.ok(&["merge", "r1"]);
    for name in ["first", "second", "third", "fourth"] {
        let made = fs::read_to_string(house.project().join(format!("{name}.txt"))).unwrap();
        assert_eq!(made.trim_end(), name);
    }
    house.until_all_processes_are_gone(agent);
    house.ok(&["fsck"]);
}

/// The classes in which the tries of a task ended.
fn classes(house: &House, key: &str) -> Vec<String> {
    let task = document(house, key);
    let attempts = task["attempts"].as_array().unwrap().iter();
    let class = |attempt: &Value| attempt["outcome"]["class"].as_str().unwrap_or("none").to_owned();
    attempts.map(class).collect()
}

fn document(house: &House, key: &str) -> Value {
    serde_json::from_str(&house.ok(&["status", key, "--json"])).unwrap()
}

/// A small disk of its own under a directory, with what is in it; taken away at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount: said, because then the test says nothing.
    fn under(directory: &Path, size: &str, aside: &Path) -> Option<SmallDisk> {
        let copy = |from: &Path, to: &Path| {
            let from = from.join(".");
            let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
            assert!(copied.success());
        };
        fs::create_dir(aside).unwrap();
        copy(directory, aside);
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "wheelhouse-test"])
            .arg(directory)
            .output();
        match mounted {
            Ok(output) if output.status.success() => {
                let disk = SmallDisk(directory.to_owned());
                copy(aside, directory);
                Some(disk)
            }
            other => {
                eprintln!("SKIPPED: a small disk cannot be mounted here: {other:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that the test failed to end must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// One that fills its disk, one beside it, and one of the same agent after it.
fn three_tasks(agent: &str) -> String {
    format!(
        r#"
name: full
defaults: {{agent: {agent}, isolation: worktree, merge: queue, retry: {{max: 1}}, timeout: 10m}}
tasks:
  - {{id: full, verify: ["grep -q lost lost.txt"],
     prompt: "[[say:I begin with this.]][[hold:gate]][[edit:kept.txt:kept]][[run:head -c 9000000 /dev/zero > big.bin]][[edit:lost.txt:lost]]"}}
  - {{id: beside, approval: true, prompt: "[[edit:beside.txt:beside]]", verify: ["grep -q beside beside.txt"]}}
  - {{id: after, approval: true, prompt: "[[edit:after.txt:after]]", verify: ["grep -q after after.txt"]}}
"#
    )
}

/// The tree of the first task is put on a disk of a megabyte, between its making and the start of its agent.
fn on_a_small_disk(house: &House, agent: &str) -> Option<(Engine, SmallDisk)> {
    fs::write(house.project().join("plan.yaml"), three_tasks(agent)).unwrap();
    let engine = Engine::start(house, &["run", "plan.yaml"], Some("before-start:1:stop"));
    wait_for(|| format!("{agent}: the engine to stand still"), || engine.is_stopped());
    let tree = house.project().join(".wheelhouse/worktrees/r1-full");
    let disk = SmallDisk::under(&tree, "1m", &house.root.path().join("aside"));
    engine.strike(Signal::SIGCONT);
    Some((engine, disk?))
}

fn a_disk_is_full(case: &Case) {
    let agent = case.agent;
    let house = House::new(Script::new());
    // Whoever is left alone for a fault of ours stays so for longer than this test takes.
    house.set_first("breaker.open = \"14m\"\n");
    let Some((mut engine, disk)) = on_a_small_disk(&house, agent) else {
        return;
    };
    let is_held = |attempt: &Attempt| attempt.prompt.contains("big.bin") && attempt.status == Some(200);
    house.api.wait_until(PATIENCE, |all| all.iter().any(is_held)).unwrap();

    // Beside it another tree of the same agent comes to its end.
    house.ok(&["approve", "beside"]);
    wait_for(
        || format!("{agent}: the one beside it: {:#}", document(&house, "beside")),
        || document(&house, "beside")["task"]["state"] == "done",
    );
    house.api.release("gate");
    assert!(!engine.end(agent).success(), "one has failed, and one waits");
    assert_eq!(classes(&house, "beside"), ["succeeded"]);

    // It is said why, nobody was sent there again, and what was made is on its branch and in its tree.
    assert_eq!(classes(&house, "full"), ["gate_failed", "unavailable"]);
    let result = house.ours(&["result", "full"]).output().unwrap();
    let told = String::from_utf8_lossy(&result.stdout);
    for words in ["the disk is full", "nothing is lost", "wheelhouse retry"] {
        assert!(told.contains(words), "{words}: {result:#?}");
    }
    assert_eq!(house.git(&["show", "wheelhouse/r1/full:kept.txt"]).trim_end(), "kept");
    assert_eq!(fs::read_to_string(disk.0.join("kept.txt")).unwrap().trim_end(), "kept");

    // The same agent goes on elsewhere: the disk was not its fault.
    house.ok(&["approve", "after"]);
    house.ours(&["resume"]).output().unwrap();
    assert_eq!(classes(&house, "after"), ["succeeded"]);

    // Somebody makes room.
    fs::remove_file(disk.0.join("big.bin")).unwrap();
    let write = Act::Run("echo lost > lost.txt".to_owned());
    let rule = Rule::any()
        .says("lost.txt")
        .reply(Reply::act(write))
        .reply(Reply::text("Done."));
    house.api.set_script(Script::new().rule(rule));
    house.ok(&["retry", "full"]);
    house.ok(&["resume"]);
    house.ok(&["merge", "r1"]);
    for name in ["kept", "lost", "beside", "after"] {
        let made = fs::read_to_string(house.project().join(format!("{name}.txt"))).unwrap();
        assert_eq!(made.trim_end(), name);
    }
    house.until_all_processes_are_gone(agent);
    house.ok(&["fsck"]);
}
