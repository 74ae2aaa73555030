//! The compatibility mode: a directory such as `.claude` with the files of the orchestrator convention.
//!
//! | file | who writes it |
//! |---|---|
//! | `orchestrator-queue.json` | others; tasks may be appended at any time, also while it runs |
//! | `orchestrator-status.json` | we: `state` is `active`, `paused` or `complete` |
//! | `orchestrator/results/ID.md` | we, one for each task that is done |
//!
//! What we write appears whole or not at all. A queue that is half-written is read again a moment later. Tasks whose
//! ids the run has already are skipped, so starting again with the same queue repeats nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use wheelhouse_core::ids::{RunId, TaskId, TaskKey};
use wheelhouse_core::plan::{self, Checked, Format, Source};
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Command, Reader, RunState, RunView, TaskView};
use wheelhouse_core::task::TaskState;
use wheelhouse_engine::nudge;

use crate::app::App;
use crate::command::run::submit;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{Since, Watcher, needs_person};
use crate::gather;
use crate::json as wire;
use crate::moment::now;
use crate::place::write_atomic;
use crate::plans::{self, Cast, Text};
use crate::show::report;
use crate::state::{self, State};
use crate::work;

/// How often the queue is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How long a queue may stay unreadable before that is a problem and not somebody's writing.
const HALF_WRITTEN_MAX: Duration = Duration::from_secs(5);
/// How many runs are looked through for the one of this queue.
const RUNS_MAX: u32 = 1_000;

/// The files.
#[derive(Clone, Debug)]
struct Files {
    queue: PathBuf,
    status: PathBuf,
    results: PathBuf,
}

/// Works on the queue of that directory until nothing of it is left.
pub(crate) fn run(app: &App, settings: &Settings, dir: &Path, vars: &[String], cast: Cast) -> Outcome {
    if !vars.is_empty() {
        return Err(Failure::usage("a queue has no variables").hint("leave `--var` out, or give a plan"));
    }
    let files = Files {
        queue: dir.join("orchestrator-queue.json"),
        status: dir.join("orchestrator-status.json"),
        results: dir.join("orchestrator/results"),
    };
    let queue = Queue::new(app, settings, files.queue.clone(), cast);
    let seen = modified(&files.queue);
    let text = queue.load_patiently()?;
    let mut state = State::open(&app.place)?;
    let known = known_run(state.reader.as_mut(), &queue.name)?;
    // Everything is checked before the seat is taken and anything begins.
    let checked = queue.check(&text, &existing(state.reader.as_mut(), known.as_ref())?)?;
    let seat = work::take_seat(app, settings, &mut state, false)?;
    let (run, since) = match &known {
        Some(view) => (go_on(app, &mut state, view, checked)?, Since::Now),
        None => (submit(app, &mut state, checked)?, Since::Beginning),
    };
    work::nudge_other(app, &seat);
    let mut keeper = Keeper {
        queue,
        files,
        run,
        store: state,
        state_dir: app.place.state_dir.clone(),
        seen,
        unreadable_since: None,
        told: None,
        written: BTreeMap::new(),
        stopped: false,
    };
    let finish = work::follow_to_end(app, settings, &[run], seat, since, Some(&mut keeper))?;
    // However it ended, the files say so.
    keeper.stopped = !matches!(finish, work::Finish::Left);
    let mut reader = state::expect(&app.place)?;
    keeper.write(reader.as_mut())?;
    work::conclude(app, &[run], finish)
}

/// The newest run of this queue.
fn known_run(reader: &mut dyn Reader, name: &str) -> Result<Option<RunView>, Failure> {
    Ok(reader.runs(RUNS_MAX)?.into_iter().find(|run| run.source == name))
}

fn existing(reader: &mut dyn Reader, run: Option<&RunView>) -> Result<BTreeSet<String>, Failure> {
    match run {
        Some(run) => Ok(gather::tasks(reader, run.id)?
            .into_iter()
            .map(|task| task.key.0)
            .collect()),
        None => Ok(BTreeSet::new()),
    }
}

/// Goes on with the run of this queue: what it does not have yet is added, what was interrupted continues.
fn go_on(app: &App, state: &mut State, view: &RunView, checked: Checked) -> Result<RunId, Failure> {
    let added = add(state, view.id, checked.tasks)?;
    if matches!(view.state, RunState::Interrupted | RunState::Paused)
        || state
            .reader
            .run(view.id)?
            .is_some_and(|run| run.state == RunState::Interrupted)
    {
        state.change(Command::ResumeRun { run: view.id })?;
    }
    app.terminal.say(&match added {
        0 => format!(
            "{}: nothing new in the queue; `wheelhouse retry {}` tries failed tasks again",
            view.id, view.id
        ),
        number => format!("{}: {number} new in the queue", view.id),
    });
    Ok(view.id)
}

/// Adds those tasks that the run does not have.
fn add(state: &mut State, run: RunId, tasks: Vec<TaskSpec>) -> Result<usize, Failure> {
    let mut new = Vec::new();
    for task in tasks {
        if state.reader.task_by_key(run, &task.key)?.is_none() {
            new.push(task);
        }
    }
    let count = new.len();
    if count > 0 {
        state.change(Command::AddTasks { run, tasks: new })?;
    }
    Ok(count)
}

/// The queue's file and how to read it.
struct Queue<'a> {
    app: &'a App,
    settings: &'a Settings,
    path: PathBuf,
    /// Its name in messages, and what its run is known by.
    name: String,
    cast: Cast,
}

impl<'a> Queue<'a> {
    fn new(app: &'a App, settings: &'a Settings, path: PathBuf, cast: Cast) -> Self {
        Queue {
            name: app.place.short(&path),
            app,
            settings,
            path,
            cast,
        }
    }

    /// The text, when it is whole JSON now.
    fn load(&self) -> Result<Option<String>, Failure> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| {
            Failure::io("read the queue", &self.path, &error).hint(format!(
                "write `{{\"tasks\": [{{\"id\": \"1\", \"agent\": \"…\", \"prompt\": \"…\", \"deps\": []}}]}}` to {}",
                self.name
            ))
        })?;
        Ok(serde_json::from_str::<Value>(&text).is_ok().then_some(text))
    }

    /// Waits for whoever is writing it. What stays broken is returned as it is: the reader says what is wrong.
    fn load_patiently(&self) -> Result<String, Failure> {
        let deadline = Instant::now() + HALF_WRITTEN_MAX;
        loop {
            if let Some(text) = self.load()? {
                return Ok(text);
            }
            if Instant::now() > deadline {
                return std::fs::read_to_string(&self.path)
                    .map_err(|error| Failure::io("read the queue", &self.path, &error));
            }
            std::thread::sleep(POLL / 10);
        }
    }

    /// Reads the tasks. `existing` are those the run has; the ones that the queue still lists are its own affair.
    fn check(&self, text: &str, existing: &BTreeSet<String>) -> Result<Checked, Failure> {
        let listed = ids(text);
        let gone: Vec<TaskKey> = existing
            .iter()
            .filter(|key| !listed.contains(*key))
            .map(|key| TaskKey(key.clone()))
            .collect();
        let source = Source {
            name: &self.name,
            text,
            format: Some(Format::Queue),
        };
        let text = Text {
            name: self.name.clone(),
            text: String::new(),
            dir: self.path.parent().unwrap_or(Path::new("/")).to_path_buf(),
        };
        let vars = BTreeMap::new();
        let read = plans::with_context(self.app, self.settings, &text.dir, &vars, self.cast, |context| {
            plan::read_more(&source, &gone, context)
        })?;
        let mut checked = plans::accept(self.app, &self.name, read.map_err(plans::CheckFailure::Problems))?;
        if self.cast == Cast::Rehearsal {
            checked.tasks.iter_mut().for_each(plans::rehearse);
        }
        Ok(checked)
    }
}

/// The ids that a queue lists.
fn ids(text: &str) -> BTreeSet<String> {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return BTreeSet::new();
    };
    let tasks = document
        .get("tasks")
        .unwrap_or(&document)
        .as_array()
        .cloned()
        .unwrap_or_default();
    let id = |task: &Value| match task.get("id") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    tasks.iter().filter_map(id).collect()
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Keeps the files true while the run goes on.
struct Keeper<'a> {
    queue: Queue<'a>,
    files: Files,
    run: RunId,
    store: State,
    state_dir: PathBuf,
    /// The queue's modification that was read last.
    seen: Option<SystemTime>,
    unreadable_since: Option<Instant>,
    /// The status as written last, without its moment.
    told: Option<Value>,
    /// The tasks whose results are written, by the try that made them.
    written: BTreeMap<TaskId, u32>,
    /// Whether no engine of ours works on it any more.
    stopped: bool,
}

impl Watcher for Keeper<'_> {
    fn look(&mut self, reader: &mut dyn Reader) -> Result<(), Failure> {
        self.take_up()?;
        self.write(reader)
    }

    fn is_content(&mut self) -> bool {
        self.unreadable_since.is_none() && modified(&self.queue.path) == self.seen
    }

    fn interval(&self) -> Duration {
        POLL
    }
}

impl Keeper<'_> {
    /// Takes up what was appended to the queue.
    fn take_up(&mut self) -> Result<(), Failure> {
        let modified = modified(&self.queue.path);
        if modified == self.seen && self.unreadable_since.is_none() {
            return Ok(());
        }
        let text = match self.queue.load() {
            Ok(Some(text)) => text,
            Ok(None) => {
                let since = *self.unreadable_since.get_or_insert_with(Instant::now);
                if since.elapsed() > HALF_WRITTEN_MAX {
                    self.complain(
                        modified,
                        &format!("{} is not whole JSON; its changes wait", self.queue.name),
                    );
                }
                return Ok(());
            }
            // A queue that was taken away has nothing new to say.
            Err(_) => {
                self.seen = modified;
                self.unreadable_since = None;
                return Ok(());
            }
        };
        let existing = self.existing()?;
        match self.queue.check(&text, &existing) {
            Ok(checked) => {
                self.seen = modified;
                self.unreadable_since = None;
                if add(&mut self.store, self.run, checked.tasks)? > 0 {
                    nudge::notify(&self.state_dir);
                }
            }
            // Somebody may be at work on it; what is wrong is said once for each version of the file.
            Err(failure) => self.complain(modified, &failure.message),
        }
        Ok(())
    }

    fn existing(&mut self) -> Result<BTreeSet<String>, Failure> {
        let reader = self.store.reader.as_mut();
        let run = reader.run(self.run)?;
        existing(reader, run.as_ref())
    }

    fn complain(&mut self, modified: Option<SystemTime>, message: &str) {
        self.queue.app.terminal.warn(message);
        self.seen = modified;
        self.unreadable_since = None;
    }

    /// Writes the status and the results that are new.
    fn write(&mut self, reader: &mut dyn Reader) -> Result<(), Failure> {
        let Some(run) = reader.run(self.run)? else {
            return Ok(());
        };
        let tasks = gather::tasks(reader, run.id)?;
        for task in &tasks {
            let fresh = task.state.is_done() && self.written.get(&task.id) != Some(&task.attempt);
            if fresh {
                self.write_result(reader, task)?;
                self.written.insert(task.id, task.attempt);
            }
        }
        let status = self.status(reader, &run, &tasks)?;
        if self.told.as_ref() != Some(&status) {
            let mut document = status.clone();
            document["updated"] = wire::moment(now()).into();
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            put(&self.files.status, &format!("{text}\n"))?;
            self.told = Some(status);
        }
        Ok(())
    }

    fn status(&self, reader: &mut dyn Reader, run: &RunView, tasks: &[TaskView]) -> Result<Value, Failure> {
        let state = match run.state {
            RunState::Finished => "complete",
            RunState::Paused | RunState::Interrupted => "paused",
            RunState::Active if self.stopped || needs_person(reader, run)? => "paused",
            RunState::Active => "active",
        };
        let tasks: Vec<Value> = tasks
            .iter()
            .map(|task| {
                let mut document = json!(wire::Task::from(task));
                document["id"] = task.key.as_str().into();
                document["status"] = status_word(task).into();
                if task.state.is_done() {
                    document["result"] = format!("orchestrator/results/{}", result_name(&task.key)).into();
                }
                document
            })
            .collect();
        Ok(json!({
            "state": state,
            "mode": "background",
            "updated": "",
            "run": run.id.to_string(),
            "counts": json!(wire::Run::from(run))["tasks"],
            "tasks": tasks,
        }))
    }

    /// One task's result for people and agents: what came out, and everything it said.
    fn write_result(&self, reader: &mut dyn Reader, task: &TaskView) -> Result<(), Failure> {
        let detail = gather::detail(reader, task.clone())?;
        let mut text = format!("# {}\n", task.key);
        match &detail.result {
            None => text.push_str(&format!("\n{}\n", crate::show::words::task_state(task).text)),
            Some(result) => {
                text.push_str(&format!("\n{}\n", report::provenance(&detail, result)));
                let output = match result.artifacts.iter().find(|artifact| artifact.name == "output") {
                    Some(artifact) => reader.artifact(&artifact.hash)?,
                    None => None,
                };
                let output = output
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                    .unwrap_or_default();
                // The cause of a failure is in the summary; the output alone would hide it.
                if !matches!(&task.state, TaskState::Done { outcome } if outcome.is_success()) || output.is_empty() {
                    text.push_str(&format!("\n{}\n", result.summary.trim_end()));
                }
                if !output.is_empty() {
                    text.push_str(&format!("\n{}\n", output.trim_end()));
                }
            }
        }
        put(&self.files.results.join(result_name(&task.key)), &text)
    }
}

/// The state of a task in the words that orchestrators use.
fn status_word(task: &TaskView) -> &'static str {
    match &task.state {
        TaskState::Waiting { .. } | TaskState::Ready => "pending",
        TaskState::Running => "running",
        TaskState::Held(_) => "blocked",
        TaskState::Done { outcome } => match outcome.class() {
            "succeeded" => "completed",
            "skipped" => "skipped",
            "cancelled" => "cancelled",
            _ => "failed",
        },
    }
}

/// The file of a task's result. Ids are checked when a plan is read; this keeps a strange one inside the directory.
fn result_name(key: &TaskKey) -> String {
    let safe: String = key
        .as_str()
        .chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .collect();
    format!("{safe}.md")
}

/// Writes a file whole, making its directory.
fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| write_atomic(path, text.as_bytes(), 0o644))
        .map_err(|error| Failure::new(exit::IO, format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_both_forms() {
        let expected: BTreeSet<String> = ["1", "b"].map(str::to_owned).into();
        assert_eq!(ids(r#"{"tasks": [{"id": 1}, {"id": "b"}, {}]}"#), expected);
        assert_eq!(ids(r#"[{"id": "1"}, {"id": "b"}]"#), expected);
        assert_eq!(ids(r#"{"tasks": [{"id": "#), BTreeSet::new());
    }

    #[test]
    fn result_files_stay_in_their_directory() {
        assert_eq!(result_name(&"../../x".into()), ".._.._x.md");
    }
}
