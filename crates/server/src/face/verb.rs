//! What can be asked for, each verb once: checked against how things stand, applied to the store, answered with how
//! they stand afterwards.
//!
//! Every face calls these. None of them nudges an engine or prints: that is the caller's, who knows how to reach one.

use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan::Checked;
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{
    ArtifactRef, Command, QuestionView, Reader, Reply, RunState, RunView, Store, TaskResult, TaskView,
};
use wheelhouse_core::task::TaskState;

use super::document::task_name;
use super::exit;
use super::failure::Failure;
use super::name::{self, Named};

/// The store for changes and for questions.
pub struct Truth<'a> {
    /// For changes.
    pub store: &'a mut dyn Store,
    /// For questions.
    pub reader: &'a mut dyn Reader,
}

/// A caller's own name for a wish, so that it can be repeated without being granted twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Once {
    /// The name.
    pub key: String,
    /// What the wish was.
    pub digest: String,
}

/// What a verb changed, as it stands afterwards.
#[derive(Debug)]
pub enum Changed {
    /// A whole run.
    Run(RunView),
    /// One task.
    Task(TaskView),
}

impl Truth<'_> {
    /// Applies one change.
    pub fn change(&mut self, command: Command) -> Result<Reply, Failure> {
        match self.store.commit(&[command])?.pop() {
            Some(reply) => Ok(reply?),
            None => Err(Failure::new(exit::STATE_FAILED, "the store did not answer")),
        }
    }

    /// Applies one change, and the same wish once.
    fn change_once(&mut self, command: Command, once: Option<Once>) -> Result<Reply, Failure> {
        self.change(match once {
            None => command,
            Some(Once { key, digest }) => Command::Once {
                key,
                digest,
                command: Box::new(command),
            },
        })
    }

    fn run_now(&mut self, before: RunView) -> Result<RunView, Failure> {
        Ok(self.reader.run(before.id)?.unwrap_or(before))
    }

    fn task_now(&mut self, before: TaskView) -> Result<TaskView, Failure> {
        Ok(self.reader.task(before.id)?.unwrap_or(before))
    }
}

/// Hands a checked plan to the store.
pub fn submit(truth: &mut Truth<'_>, checked: Checked, once: Option<Once>) -> Result<RunId, Failure> {
    let command = Command::SubmitRun {
        run: checked.run,
        tasks: checked.tasks,
    };
    submitted(truth.change_once(command, once)?).map(|(run, _)| run)
}

/// Adds a checked task to the standing queue, which is made when there is none.
pub fn enqueue(truth: &mut Truth<'_>, task: TaskSpec, source: &str, once: Option<Once>) -> Result<TaskView, Failure> {
    let command = match name::queue(truth.reader)? {
        Some(queue) => Command::AddTasks {
            run: queue.id,
            tasks: vec![task],
        },
        None => Command::SubmitRun {
            run: RunSpec {
                name: name::QUEUE.to_owned(),
                vars: std::collections::BTreeMap::new(),
                budget: None,
                source: source.to_owned(),
                standing: true,
            },
            tasks: vec![task],
        },
    };
    let (run, tasks) = submitted(truth.change_once(command, once)?)?;
    let added = match tasks.first() {
        Some(task) => truth.reader.task(*task)?,
        None => None,
    };
    added.ok_or_else(|| {
        Failure::new(
            exit::STATE_FAILED,
            format!("the task that was added to {run} is not there"),
        )
    })
}

fn submitted(reply: Reply) -> Result<(RunId, Vec<TaskId>), Failure> {
    match reply {
        Reply::Submitted { run, tasks } => Ok((run, tasks)),
        other => Err(Failure::new(
            exit::STATE_FAILED,
            format!("the store answered a submission with {other:?}"),
        )),
    }
}

/// Lets nothing more of a run start.
pub fn pause(truth: &mut Truth<'_>, what: &str) -> Result<RunView, Failure> {
    let run = match name::named(truth.reader, what)? {
        Named::Run(run) => run,
        Named::Task(task) => {
            return Err(Failure::new(
                exit::REFUSED,
                format!("`{what}` is a task; only whole runs can be paused"),
            )
            .hint(format!(
                "`wheelhouse pause {}` pauses its run, `wheelhouse cancel {}` stops the task",
                task.run,
                task_name(task.run, &task.key)
            )));
        }
    };
    match run.state {
        RunState::Finished => {
            return Err(Failure::new(
                exit::REFUSED,
                format!("run {} is finished; there is nothing to pause", run.id),
            ));
        }
        RunState::Paused => {}
        RunState::Active | RunState::Interrupted => {
            truth.change(Command::PauseRun { run: run.id })?;
        }
    }
    truth.run_now(run)
}

/// Lets a run go on that was paused or lost its engine; of a task, its run.
pub fn resume(truth: &mut Truth<'_>, what: &str) -> Result<RunView, Failure> {
    let run = match name::named(truth.reader, what)? {
        Named::Run(run) => run,
        Named::Task(task) => name::run(truth.reader, &task.run.to_string())?,
    };
    match run.state {
        RunState::Finished => {
            return Err(Failure::new(exit::REFUSED, format!("run {} is finished", run.id))
                .hint(format!("`wheelhouse retry {}` tries its failed tasks again", run.id)));
        }
        RunState::Active => {}
        RunState::Paused | RunState::Interrupted => {
            truth.change(Command::ResumeRun { run: run.id })?;
        }
    }
    truth.run_now(run)
}

/// Stops a run or a task.
pub fn cancel(truth: &mut Truth<'_>, what: &str) -> Result<Changed, Failure> {
    match name::named(truth.reader, what)? {
        Named::Run(run) => {
            if run.state == RunState::Finished {
                return Err(Failure::new(
                    exit::REFUSED,
                    format!("run {} is finished; there is nothing to stop", run.id),
                ));
            }
            truth.change(Command::CancelRun { run: run.id })?;
            truth.run_now(run).map(Changed::Run)
        }
        Named::Task(task) => {
            if let TaskState::Done { outcome } = &task.state {
                return Err(done_already(&task, outcome));
            }
            truth.change(Command::CancelTask { task: task.id })?;
            truth.task_now(task).map(Changed::Task)
        }
    }
}

/// Tries a task again, or everything in a run that did not succeed.
pub fn retry(truth: &mut Truth<'_>, what: &str) -> Result<Changed, Failure> {
    match name::named(truth.reader, what)? {
        Named::Run(run) => {
            let counts = &run.counts;
            if counts.failed + counts.skipped + counts.cancelled == 0 {
                return Err(Failure::new(
                    exit::REFUSED,
                    format!("nothing of run {} failed, was skipped or was cancelled", run.id),
                ));
            }
            truth.change(Command::RetryRun { run: run.id })?;
            truth.run_now(run).map(Changed::Run)
        }
        Named::Task(task) => {
            match &task.state {
                TaskState::Done { outcome } if !outcome.is_success() => {}
                TaskState::Done { outcome } => return Err(done_already(&task, outcome)),
                state @ (TaskState::Waiting { .. } | TaskState::Ready | TaskState::Running | TaskState::Held(_)) => {
                    let name = task_name(task.run, &task.key);
                    return Err(Failure::new(
                        exit::REFUSED,
                        format!(
                            "{name} is {}; only a task that is done without success can be tried again",
                            state.name()
                        ),
                    )
                    .hint(format!("`wheelhouse status {name}` says what it waits on")));
                }
            }
            truth.change(Command::RetryTask { task: task.id })?;
            truth.task_now(task).map(Changed::Task)
        }
    }
}

/// Puts words into the turn of a running task.
pub fn steer(truth: &mut Truth<'_>, what: &str, words: &str, once: Option<Once>) -> Result<TaskView, Failure> {
    let task = match name::named(truth.reader, what)? {
        Named::Task(task) => task,
        Named::Run(run) => {
            return Err(
                Failure::new(exit::REFUSED, format!("`{what}` is a run; words go to one task"))
                    .hint(format!("`wheelhouse status {}` names its tasks", run.id)),
            );
        }
    };
    if words.trim().is_empty() {
        return Err(Failure::usage("there are no words to say"));
    }
    if task.state != TaskState::Running {
        let name = task_name(task.run, &task.key);
        return Err(Failure::new(
            exit::REFUSED,
            format!("{name} is {}; only a running task can be steered", task.state.name()),
        )
        .hint(format!("`wheelhouse status {name}` says what it waits for")));
    }
    let command = Command::Steer {
        task: task.id,
        words: words.to_owned(),
    };
    truth.change_once(command, once)?;
    truth.task_now(task)
}

/// Keeps what a person thinks of a task's work: one to five stars, and words. A later rating takes the place of an earlier.
pub fn rate(truth: &mut Truth<'_>, what: &str, stars: u8, words: &str) -> Result<TaskView, Failure> {
    let task = match name::named(truth.reader, what)? {
        Named::Task(task) => task,
        Named::Run(run) => {
            return Err(
                Failure::new(exit::REFUSED, format!("`{what}` is a run; stars go to one task"))
                    .hint(format!("`wheelhouse status {}` names its tasks", run.id)),
            );
        }
    };
    if !(1..=5).contains(&stars) {
        return Err(Failure::usage(format!(
            "{stars} is not a number of stars; there are 1 to 5"
        )));
    }
    if !task.state.is_done() {
        let name = task_name(task.run, &task.key);
        return Err(Failure::new(
            exit::REFUSED,
            format!("{name} is {}; only a task that is done can be rated", task.state.name()),
        )
        .hint(format!("`wheelhouse status {name}` says what it waits for")));
    }
    truth.change(Command::Rate {
        task: task.id,
        stars,
        words: words.to_owned(),
    })?;
    truth.task_now(task)
}

/// Answers a question, named by its id or by the task that asks.
pub fn answer(truth: &mut Truth<'_>, id: &str, answer: &str) -> Result<QuestionView, Failure> {
    let question = name::question(truth.reader, id)?;
    if let Some(given) = &question.answer {
        let given: String = given.split_whitespace().collect::<Vec<_>>().join(" ");
        return Err(Failure::new(
            exit::REFUSED,
            format!("{} was answered before: {given}", question.id),
        ));
    }
    let resolution = question
        .kind
        .resolve(answer)
        .map_err(|error| Failure::usage(format!("{}: {error}", question.id)).hint(how_to_answer(&question)))?;
    truth.change(Command::Answer {
        question: question.id,
        answer: answer.to_owned(),
        resolution,
    })?;
    Ok(truth.reader.question(question.id)?.unwrap_or(question))
}

/// The command that answers a question.
pub fn how_to_answer(question: &QuestionView) -> String {
    match question.kind.choices() {
        [] => format!("`wheelhouse answer {} \"your words\"`", question.id),
        ["approve", "deny"] => format!("`wheelhouse approve {0}` or `wheelhouse deny {0}`", question.id),
        choices => {
            let commands: Vec<String> = choices
                .iter()
                .map(|choice| format!("`wheelhouse answer {} {choice}`", question.id))
                .collect();
            commands.join(" or ")
        }
    }
}

fn done_already(task: &TaskView, outcome: &Outcome) -> Failure {
    let name = task_name(task.run, &task.key);
    let failure = Failure::new(exit::REFUSED, format!("{name} is done: {}", outcome_words(outcome)));
    if outcome.is_success() {
        failure.hint(format!("`wheelhouse result {name}` prints what it produced"))
    } else {
        failure.hint(format!("`wheelhouse retry {name}` tries it again"))
    }
}

/// How something ended, in words.
pub fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Skipped { cause } => format!("skipped because of {cause}"),
        other => other.class().replace('_', " "),
    }
}

/// What a task produced, or why there is nothing.
pub fn result(reader: &mut dyn Reader, task: &TaskView) -> Result<TaskResult, Failure> {
    if let Some(result) = reader.result(task.id)? {
        return Ok(result);
    }
    let name = task_name(task.run, &task.key);
    let message = match &task.state {
        TaskState::Done { outcome } => format!("{name} produced nothing: {}", outcome_words(outcome)),
        state @ (TaskState::Waiting { .. } | TaskState::Ready | TaskState::Running | TaskState::Held(_)) => {
            format!("{name} has no result yet: it is {}", state.name())
        }
    };
    Err(Failure::new(exit::NOT_FOUND, message).hint(format!("`wheelhouse status {name}` says how it stands")))
}

/// The bytes of an artifact of a result.
pub fn artifact(reader: &mut dyn Reader, result: &TaskResult, name: &str) -> Result<(ArtifactRef, Vec<u8>), Failure> {
    let Some(artifact) = result.artifacts.iter().find(|artifact| artifact.name == name) else {
        let exist: Vec<String> = result.artifacts.iter().map(|artifact| artifact.name.clone()).collect();
        return Err(Failure::not_found("artifact", name, &exist));
    };
    let Some(bytes) = reader.artifact(&artifact.hash)? else {
        return Err(Failure::new(
            exit::STATE_FAILED,
            format!("the bytes of `{name}` ({}) are not in the store", artifact.hash),
        )
        .hint("`wheelhouse fsck` checks the stored state"));
    };
    Ok((artifact.clone(), bytes))
}
