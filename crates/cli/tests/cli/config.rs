//! Every configuration key, seen in what it does.

use std::fs;

use crate::{House, snapshot};

fn configured(text: &str) -> House {
    let house = House::new();
    house.write("wheelhouse.toml", text);
    house
}

/// How many tasks were running at the same moment at most, by the history.
fn most_at_once(house: &House, agent: Option<&str>) -> usize {
    let (mut now, mut most) = (0usize, 0);
    let mut counted = std::collections::BTreeSet::new();
    for line in house.ok(&["events", "--json"]).out.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let task = event["task"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap() {
            "task_claimed" if agent.is_none_or(|agent| event["agent"] == agent) => {
                counted.insert(task);
                now += 1;
                most = most.max(now);
            }
            "attempt_ended" if counted.remove(&task) => now -= 1,
            _ => {}
        }
    }
    most
}

fn naps(agent: &str, count: usize) -> String {
    let mut plan = String::from("tasks:\n");
    for number in 0..count {
        plan.push_str(&format!(
            "  - {{id: {agent}{number}, agent: {agent}, prompt: \"nap\\nrehearse: sleep 200ms\"}}\n"
        ));
    }
    plan
}

#[test]
fn everything_set_is_shown_with_its_origin() {
    let house = configured("retry = 2\n[agents.careful]\nbackend = \"rehearsal\"\nparallel_max = 1\n")
        .with_env("WHEELHOUSE__TIMEOUT", "1h");
    fs::create_dir_all(house.home().join(".config/wheelhouse")).unwrap();
    fs::write(house.home().join(".config/wheelhouse/config.toml"), "grace = \"2s\"\n").unwrap();
    let shown = house
        .ok(&["config", "show", "--origin", "--set", "output_max=1KiB"])
        .out;
    snapshot!(house, shown);
    let document = house.json(&["config", "show", "--set", "output_max=1KiB"]);
    assert_eq!(document["output_max"]["value"], 1024);
    assert_eq!(document["output_max"]["origin"], "command line");
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    let house = configured("paralel_max = 2\n");
    house.write("p.yaml", "tasks: [{id: a, exec: 'true'}]");
    let done = house.run(&["run", "p.yaml"]);
    assert_eq!(done.code, Some(2));
    assert!(
        done.err
            .contains("wheelhouse.toml:1: there is no key `paralel_max`; did you mean `parallel_max`?")
    );
    assert!(!house.project().join(".wheelhouse").exists());
}

#[test]
fn parallel_max_bounds_what_runs_at_once() {
    for (number, expected) in [("1", 1), ("3", 3)] {
        let house = configured(&format!("parallel_max = {number}\n"));
        house.write("p.yaml", &naps("rehearsal", 4));
        house.ok(&["run", "p.yaml"]);
        assert_eq!(most_at_once(&house, None), expected);
    }
    // The option stands for the key and is stronger.
    let house = configured("parallel_max = 4\n");
    house.write("p.yaml", &naps("rehearsal", 3));
    house.ok(&["run", "p.yaml", "--max-parallel", "1"]);
    assert_eq!(most_at_once(&house, None), 1);
}

#[test]
fn agents_and_accounts_have_limits_of_their_own() {
    let agents = "\
parallel_max = 8
[agents.careful]
backend = \"rehearsal\"
parallel_max = 1
[agents.left]
backend = \"rehearsal\"
account = \"main\"
[agents.right]
backend = \"rehearsal\"
account = \"main\"
[accounts.main]
parallel_max = 2
";
    let house = configured(agents);
    house.write("p.yaml", &naps("careful", 3));
    house.ok(&["run", "p.yaml"]);
    assert_eq!(most_at_once(&house, Some("careful")), 1);
    let house = configured(agents);
    house.write(
        "p.yaml",
        &format!("{}{}", naps("left", 2), naps("right", 2).replace("tasks:\n", "")),
    );
    house.ok(&["run", "p.yaml"]);
    assert_eq!(most_at_once(&house, None), 2);
}

#[test]
fn default_agent_does_what_names_nobody() {
    let house = configured("default_agent = \"mine\"\n[agents.mine]\nbackend = \"rehearsal\"\n");
    house.write("p.yaml", "tasks: [{id: a, prompt: 'hello'}]");
    house.ok(&["run", "p.yaml"]);
    assert_eq!(house.json(&["status", "a"])["task"]["agent"], "mine");
    let wrong = house.run(&["run", "p.yaml", "--set", "default_agent=nobody"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .err
            .contains("command line: `default_agent`: there is no agent `nobody`"),
        "{wrong:#?}"
    );
}

#[test]
fn timers_and_retries_hold_where_the_plan_is_silent() {
    let house = configured("timeout = \"300ms\"\nretry = 0\n");
    house.write("p.yaml", "tasks: [{id: slow, prompt: \"x\\nrehearse: sleep 600s\"}]");
    assert_eq!(house.run(&["run", "p.yaml"]).code, Some(1));
    let task = house.json(&["status", "slow"]);
    assert_eq!(task["task"]["outcome"]["class"], "timed_out");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);

    let house = configured("idle_timeout = \"300ms\"\nretry = 1\n");
    house.write("p.yaml", "tasks: [{id: silent, prompt: \"x\\nrehearse: hang\"}]");
    assert_eq!(house.run(&["run", "p.yaml"]).code, Some(1));
    let task = house.json(&["status", "silent"]);
    assert_eq!(task["task"]["outcome"]["class"], "stalled");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn output_max_bounds_what_is_kept() {
    let house = configured("output_max = \"1KiB\"\n");
    house.write("p.yaml", "tasks: [{id: flood, exec: 'seq 100000'}]");
    house.ok(&["run", "p.yaml"]);
    let artifact = &house.json(&["result", "flood"])["result"]["artifacts"][0];
    assert!(artifact["bytes"].as_u64().unwrap() < 2_000, "{artifact}");
    assert_eq!(artifact["bytes_written"], 588_895);
    let full = house.ok(&["result", "flood", "--full"]);
    assert!(full.err.contains("the middle is missing"), "{full:#?}");
}

#[test]
fn grace_is_the_time_between_asking_and_killing() {
    let house = configured("grace = \"100ms\"\n");
    house.write(
        "p.yaml",
        "tasks: [{id: deaf, timeout: 300ms, exec: 'trap \"\" TERM; while :; do sleep 0.05; done'}]",
    );
    let begun = std::time::Instant::now();
    assert_eq!(house.run(&["run", "p.yaml"]).code, Some(1));
    // With the default of five seconds it would take longer than that.
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn only_what_env_pass_names_reaches_the_tasks() {
    let house = configured("[env]\npass = [\"PATH\", \"PASSED\"]\n")
        .with_env("PASSED", "yes")
        .with_env("SECRET", "no");
    house.write("p.yaml", "tasks: [{id: env, exec: 'echo $PASSED-$SECRET-$HOME'}]");
    house.ok(&["run", "p.yaml"]);
    assert_eq!(house.ok(&["result", "env"]).out, "yes--\n");
}

#[test]
fn agents_have_backends_commands_and_environments_of_their_own() {
    let house = House::new();
    let shell = house.write(
        "shell.sh",
        "#!/bin/sh\necho \"own shell, $MARK\"\nexec /bin/sh \"$@\"\n",
    );
    fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.exec]\ncommand = \"{}\"\nenv.MARK = \"marked\"\n",
            shell.display()
        ),
    );
    house.write("p.yaml", "tasks: [{id: a, exec: 'echo done'}]");
    house.ok(&["run", "p.yaml"]);
    assert_eq!(house.ok(&["result", "a"]).out, "own shell, marked\ndone\n");
}

#[test]
fn retention_days_decides_what_gc_removes() {
    let house = House::new();
    house.write("p.yaml", "tasks: [{id: a, exec: 'echo a'}]");
    house.ok(&["run", "p.yaml"]);
    let kept = house.json(&["gc"]);
    assert_eq!((&kept["runs"], &kept["retention_days"]), (&0.into(), &30.into()));
    let dry = house.json(&["gc", "--dry-run", "--set", "retention.days=0"]);
    assert_eq!(dry["runs"], 1);
    assert_eq!(dry["files"].as_array().unwrap().len(), 2, "{dry}");
    assert!(house.project().join(".wheelhouse/reports/r1.md").exists());
    let gone = house.json(&["gc", "--set", "retention.days=0"]);
    assert_eq!(gone["runs"], 1);
    assert!(!house.project().join(".wheelhouse/reports/r1.md").exists());
    assert!(!house.project().join(".wheelhouse/logs/r1").exists());
    assert_eq!(house.run(&["status", "r1"]).code, Some(5));
}

#[test]
fn one_shots_are_for_codex_alone() {
    let house = House::new();
    house.write("wheelhouse.toml", "[agents.claude]\none_shot = \"on\"\n");
    let refused = house.run(&["config", "show"]);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(
        refused.code != Some(0) && said.contains("`one_shot` is for `codex` alone"),
        "{refused:?}"
    );
    house.write("wheelhouse.toml", "[agents.codex]\none_shot = \"on\"\n");
    assert_eq!(house.run(&["config", "show"]).code, Some(0));
    house.write("wheelhouse.toml", "[agents.codex]\none_shot = \"yes\"\n");
    assert!(
        house
            .run(&["config", "show"])
            .err
            .contains("is `on` or `off`, not `yes`")
    );
}
