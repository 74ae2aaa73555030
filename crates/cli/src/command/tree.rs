//! `diff`, `merge`, `discard`, `open`: what isolated tasks did, and what becomes of it.
//!
//! They work on the project's trees directly, beside a running engine; the trees' own locks keep them apart.

use serde_json::{Value, json};
use wheelhouse_core::ids::{InstanceId, QuestionId, RunId, TaskKey};
use wheelhouse_core::instance::InstanceView;
use wheelhouse_core::question::Resolution;
use wheelhouse_core::store::{Command, RunView, TaskView};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_engine::worktree::{Delivery, FileChange, Stat, What, Workplace};
use wheelhouse_server::face::crew;
use wheelhouse_server::ports::TreeVerb;

use crate::app::App;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::host;
use crate::json::task_name;
use crate::show::words;
use crate::state::{self, Named, State};
use crate::trees::{self, refused};

/// How much of a diff is printed, in bytes; the whole is in the tree.
const DIFF_BYTES_MAX: usize = 8 << 20;

/// What a verb on a tree came to.
struct Told {
    /// For people, on stdout.
    text: String,
    /// For programs.
    doc: Value,
    /// What to say before it.
    before: Option<String>,
    /// What to say after it.
    after: Option<String>,
}

impl Told {
    fn new(text: String, doc: Value) -> Told {
        Told {
            text,
            doc,
            before: None,
            after: None,
        }
    }
}

/// Does something to a tree, or looks at it, and prints what came of it.
pub(crate) fn tree(app: &App, verb: TreeVerb, what: &str) -> Outcome {
    let told = told(app, verb, what)?;
    if let (Some(before), false) = (&told.before, app.terminal.json) {
        app.terminal.say(before);
    }
    if app.terminal.json {
        app.terminal.print_json(&told.doc)?;
    } else {
        app.terminal.print(&told.text)?;
    }
    if let Some(after) = &told.after {
        app.terminal.say(after);
    }
    Ok(exit::OK)
}

/// The same for programs.
pub(crate) fn asked(app: &App, verb: TreeVerb, what: &str) -> Result<Value, Failure> {
    told(app, verb, what).map(|told| told.doc)
}

fn told(app: &App, verb: TreeVerb, what: &str) -> Result<Told, Failure> {
    match verb {
        TreeVerb::Diff => diff(app, what),
        TreeVerb::Merge => merge(app, what),
        TreeVerb::Discard => discard(app, what),
        TreeVerb::Open => open(app, what),
    }
}

/// What a task changed since its start, committed or not.
fn diff(app: &App, what: &str) -> Result<Told, Failure> {
    let (workplace, task) = tree_of(app, what)?;
    let diff = workplace.diff(task.run, &task.key, DIFF_BYTES_MAX).map_err(refused)?;
    let doc = json!({
        "task": task.name,
        "start": diff.start,
        "files": files_doc(&diff.files),
        "patch": diff.patch,
        "cut": diff.cut,
    });
    let after = match diff.cut {
        true => {
            let tree = workplace.path(task.run, &task.key).map_err(refused)?;
            Some(format!("cut; the whole is in {}", tree.display()))
        }
        false => None,
    };
    Ok(Told {
        before: Some(counted(&diff.stat)),
        after: after.filter(|_| !app.terminal.json),
        ..Told::new(diff.patch, doc)
    })
}

/// Brings a task's work, or all that a run has merged, into the branch that is checked out.
fn merge(app: &App, what: &str) -> Result<Told, Failure> {
    let (workplace, named) = named(app, what)?;
    let delivery = match &named {
        Owner::Run(run) => workplace.deliver(run.id, What::Merged),
        Owner::Tree(task) => workplace.deliver(task.run, What::Task(&task.key)),
    };
    let (text, doc) = match delivery.map_err(refused)? {
        Delivery::Done {
            branch,
            from,
            to,
            files,
            stat,
        } => (
            format!("{what} is in {branch}: {}", counted(&stat)),
            json!({ "merged": true, "branch": branch, "from": from, "to": to, "files": files_doc(&files) }),
        ),
        Delivery::NothingNew { branch } => (
            format!("{branch} has all of {what} already"),
            json!({ "merged": false, "branch": branch }),
        ),
        Delivery::Refused { words, files } => {
            let mut failure = Failure::new(
                exit::REFUSED,
                format!("{what} is not merged; nothing was changed\n{words}"),
            );
            if !files.is_empty() {
                failure = failure.hint(format!("in the way: {}; commit or move them first", files.join(", ")));
            }
            return Err(failure);
        }
        Delivery::Conflict(conflict) => {
            return Err(Failure::new(
                exit::REFUSED,
                format!("{what} does not go together with what is checked out; nothing was changed\n{conflict}"),
            )
            .hint(format!("`wheelhouse open {what}` says where its work is")));
        }
    };
    let question = match &named {
        Owner::Tree(task) => task.conflict,
        Owner::Run(_) => None,
    };
    Ok(Told {
        after: question.map(|question| {
            format!(
                "{what} is still held: `wheelhouse answer {question} continue` lets go on what needs it, `fail` gives it up"
            )
        }),
        ..Told::new(format!("{text}\n"), doc)
    })
}

/// Takes a task's tree away; its work is kept for the trash period.
fn discard(app: &App, what: &str) -> Result<Told, Failure> {
    let (workplace, task) = tree_of(app, what)?;
    let name = &task.name;
    if let Some((state, stop)) = &task.at_work {
        return Err(Failure::new(
            exit::REFUSED,
            format!("{name} is {state}; only what is done or does not merge can be discarded"),
        )
        .hint(format!("`{stop}` stops it first")));
    }
    if let Some(question) = task.conflict {
        let mut state = State::expect(&app.place)?;
        state.change(Command::Answer {
            question,
            answer: "fail".to_owned(),
            resolution: Resolution::GiveUp,
        })?;
        host::quietly_tell_engine(app);
    }
    trees::tear_down(app, &app.settings(None)?, &workplace, task.run, &task.key)?;
    let kept = workplace.discard(task.run, &task.key, now()).map_err(refused)?;
    let doc = json!({ "task": name, "kept_at": kept });
    let text = match kept {
        Some(kept) => format!("{name} is discarded; its work is kept for now at {kept}\n"),
        None => format!("{name} is discarded; it had changed nothing\n"),
    };
    Ok(Told::new(text, doc))
}

/// The question that a task is held on because its work does not merge.
fn conflict_of(task: &TaskView) -> Option<QuestionId> {
    match &task.state {
        TaskState::Held(Held::MergeConflict { question }) => Some(*question),
        TaskState::Held(_)
        | TaskState::Waiting { .. }
        | TaskState::Ready
        | TaskState::Running
        | TaskState::Done { .. } => None,
    }
}

/// Where a task works.
fn open(app: &App, what: &str) -> Result<Told, Failure> {
    let (workplace, task) = tree_of(app, what)?;
    let path = workplace.path(task.run, &task.key).map_err(refused)?;
    let doc = json!({ "task": task.name, "path": path.display().to_string() });
    Ok(Told::new(format!("{}\n", path.display()), doc))
}

/// Whose tree a name means.
struct Owned {
    run: RunId,
    key: TaskKey,
    /// How people call it.
    name: String,
    /// The question that its work is held on because it does not merge.
    conflict: Option<QuestionId>,
    /// What it is, when it is at work or about to be, and how it is stopped.
    at_work: Option<(&'static str, String)>,
}

impl Owned {
    fn task(task: &TaskView) -> Owned {
        let name = task_name(task.run, &task.key);
        // A turn works in the tree of its instance.
        let of_instance = task.key.as_str().split_once(".m").and_then(|(id, message)| {
            let is_turn = message.bytes().all(|byte| byte.is_ascii_digit());
            id.parse::<InstanceId>().ok().filter(|_| is_turn)
        });
        let conflict = conflict_of(task);
        let is_over = task.state.is_done() || conflict.is_some();
        Owned {
            run: task.run,
            key: of_instance.map_or_else(|| task.key.clone(), InstanceId::tree_key),
            conflict,
            at_work: (!is_over).then(|| (task.state.name(), format!("wheelhouse cancel {name}"))),
            name,
        }
    }

    fn instance(view: &InstanceView) -> Owned {
        let name = view.id.to_string();
        let stop = format!("wheelhouse interrupt {name}");
        Owned {
            run: view.run,
            key: view.id.tree_key(),
            conflict: None,
            at_work: view.turn.map(|_| (view.state.name(), stop)),
            name,
        }
    }
}

enum Owner {
    Run(RunView),
    Tree(Owned),
}

fn tree_of(app: &App, what: &str) -> Result<(Workplace, Owned), Failure> {
    match named(app, what)? {
        (workplace, Owner::Tree(owned)) => Ok((workplace, owned)),
        (_, Owner::Run(run)) => Err(whole_run(what, &run)),
    }
}

fn whole_run(what: &str, run: &RunView) -> Failure {
    Failure::new(exit::REFUSED, format!("`{what}` is a run; this takes one task"))
        .hint(format!("`wheelhouse status {}` names its tasks", run.id))
}

/// A run, a task, or an instance with a tree of its own.
fn named(app: &App, what: &str) -> Result<(Workplace, Owner), Failure> {
    let mut state = State::expect(&app.place)?;
    let owner = match state::named(state.reader.as_mut(), what) {
        Ok(Named::Run(run)) => Owner::Run(run),
        Ok(Named::Task(task)) => Owner::Tree(Owned::task(&task)),
        Err(unknown) => match crew::instance(state.reader.as_mut(), what) {
            Ok(view) => Owner::Tree(Owned::instance(&view)),
            Err(_) => return Err(unknown),
        },
    };
    let workplace = trees::open(app, &app.settings(None)?, state.reader.as_mut())?;
    Ok((workplace, owner))
}

fn counted(stat: &Stat) -> String {
    format!(
        "{}, +{} -{} lines",
        words::count(u64::try_from(stat.files).unwrap_or(u64::MAX), "file"),
        stat.insertions,
        stat.deletions
    )
}

fn files_doc(files: &[FileChange]) -> Value {
    let file = |file: &FileChange| json!({ "path": file.path, "change": format!("{:?}", file.change).to_lowercase() });
    files.iter().map(file).collect()
}

fn now() -> Millis {
    Millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}
