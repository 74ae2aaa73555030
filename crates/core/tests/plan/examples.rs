//! The examples: all are read without an error, and the commands of those that need no agent really run, in a git
//! repository and in a plain directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wheelhouse_core::plan::show::layers;
use wheelhouse_core::plan::template::{self, Mode};
use wheelhouse_core::plan::{Checked, Source};
use wheelhouse_core::spec::Work;

use crate::support::Project;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn example(name: &str) -> Checked {
    let text = std::fs::read_to_string(directory().join(name)).expect("the example is there");
    let name = format!("examples/{name}");
    let source = Source {
        name: &name,
        text: &text,
        format: None,
    };
    let mut project = Project::default();
    // What the market report names: an agent a model.
    project
        .agents
        .extend(["gemini", "sonnet", "opus", "haiku", "gpt"].map(Into::into));
    let read = project.with(|context| wheelhouse_core::plan::read(&source, context));
    read.unwrap_or_else(|problems| unreachable!("{problems}"))
}

#[test]
fn every_example_is_read() {
    let mut seen = 0;
    for entry in std::fs::read_dir(directory()).expect("there are examples") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if name.starts_with("README") || !name.contains('.') {
            continue;
        }
        let checked = example(&name);
        assert!(!checked.tasks.is_empty(), "{name}");
        let of_ours = name.ends_with(".yaml") && !name.ends_with(".exec.yaml");
        assert!(
            !of_ours || checked.warnings.is_empty(),
            "{name}: {:?}",
            checked.warnings
        );
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
}

fn sh(command: &str, directory: &Path) -> (bool, String) {
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .env(
            "GIT_CEILING_DIRECTORIES",
            directory.parent().expect("a temporary directory has a parent"),
        )
        .stdin(Stdio::null())
        .output()
        .expect("sh starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
}

/// Runs the commands of a plan in order, with their checks, and gives what each said.
fn run(checked: &Checked, directory: &Path) -> BTreeMap<String, String> {
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for place in layers(&checked.tasks).concat() {
        let task = &checked.tasks[place];
        let Work::Exec(command) = &task.work else { continue };
        let result = |task: &str, _: &str| said.get(task).map(|text| text.trim_end().to_owned());
        let command = template::render(command, &checked.run.vars, &result, Mode::Shell).expect("it is filled in");
        let (succeeded, text) = sh(&command, directory);
        assert!(succeeded, "{}: {text}\n{command}", task.key);
        for check in &task.verify {
            let (passed, told) = sh(check, directory);
            assert!(passed, "{}: {check}: {told}", task.key);
        }
        said.insert(task.key.to_string(), text);
    }
    said
}

fn some_files(directory: &Path) {
    let files = [
        ("README.md", "# A thing\n"),
        ("src/main.rs", "fn main() {\n    // TODO: everything\n}\n"),
        ("src/a name with spaces.rs", "// FIXME\n"),
        ("Makefile", "all:\n"),
        ("docs/é.md", "x\n"),
    ];
    for (path, text) in files {
        let file = directory.join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(file, text).expect("a file");
    }
}

fn facts_are_right(said: &BTreeMap<String, String>, what: &str) {
    let has = |task: &str, text: &str| assert!(said[task].contains(text), "{what}: {task}: {}", said[task]);
    has("inventory", "5 files");
    has("inventory", "2 src");
    has("languages", "4 lines      2 files  rs");
    has("languages", "(no ending)");
    has("marks", "2 lines with a mark");
    has("marks", "src/main.rs:2:");
    has("packages", "has Makefile");
    assert!(
        said.values().all(|text| !text.contains("not found")),
        "{what}: {said:?}"
    );
}

#[test]
fn the_facts_of_the_quickstart_are_gathered_in_a_plain_directory() {
    let directory = tempfile::tempdir().unwrap();
    some_files(directory.path());
    let said = run(&example("quickstart.yaml"), directory.path());
    facts_are_right(&said, "plain");
    assert!(said["history"].contains("no git history"), "{}", said["history"]);
}

#[test]
fn the_facts_of_the_quickstart_are_gathered_in_a_git_repository() {
    let directory = tempfile::tempdir().unwrap();
    some_files(directory.path());
    std::fs::write(directory.path().join(".gitignore"), "ignored\n.gitignore\n").unwrap();
    std::fs::write(directory.path().join("ignored"), "TODO\n").unwrap();
    let commit =
        "git init -q . && git add -A && git -c user.name=n -c user.email=e@example.org commit -q -m 'First words'";
    let (succeeded, text) = sh(commit, directory.path());
    assert!(succeeded, "{text}");
    let said = run(&example("quickstart.yaml"), directory.path());
    facts_are_right(&said, "git");
    assert!(said["history"].contains("1 commits by 1 people"), "{}", said["history"]);
    assert!(said["history"].contains("First words"), "{}", said["history"]);
}

#[test]
fn the_facts_of_the_quickstart_are_gathered_where_there_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let said = run(&example("quickstart.yaml"), directory.path());
    assert!(said["inventory"].starts_with("0 files"), "{}", said["inventory"]);
    assert!(said["marks"].starts_with("0 lines"), "{}", said["marks"]);
}

#[test]
fn the_fan_out_really_counts() {
    let directory = tempfile::tempdir().unwrap();
    let said = run(&example("fan-out.yaml"), directory.path());
    assert!(
        said["together"].starts_with("different words in the parts: 97 97 97"),
        "{}",
        said["together"]
    );
}
