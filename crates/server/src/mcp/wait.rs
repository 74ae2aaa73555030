//! Waiting, bounded: until a run or task is done, until a person is needed, or until the time is up.
//!
//! No call is held longer than [`SECONDS_MAX`], because clients give up on calls that take longer; what goes on goes on
//! without them, and the next call finds it. A client that knows tasks gets one in place of a held call.

use std::collections::BTreeSet;
use std::time::Duration;

use rmcp::model::ProgressNotificationParam;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use wheelhouse_core::store::{QuestionView, Reader, RunState};

use super::brief::{self, QuestionBrief, RunBrief, TaskBrief};
use super::call::{Answer, Call};
use super::lean::{AskArgs, NO_ENGINE, WaitArgs};
use super::tool::arguments;
use super::{person, task};
use crate::api::work::enqueue;
use crate::face::document::task_name;
use crate::face::failure::Failure;
use crate::face::name::{self, Named};
use crate::ports::NewTask;

/// How long a call is held when nobody says.
const SECONDS: u64 = 50;
/// How long a call is held at the most.
pub(crate) const SECONDS_MAX: u64 = 100;

/// What a waiter is told.
#[derive(Serialize, JsonSchema, Debug, Default)]
pub(crate) struct Waited {
    /// It is over.
    pub(crate) over: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunBrief>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskBrief>,
    /// What a person must decide before it goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<QuestionBrief>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// How what is waited for stands.
pub(crate) struct Standing {
    /// What to tell.
    pub(crate) waited: Waited,
    /// What a person must decide.
    pub(crate) open: Vec<QuestionView>,
    /// How much of it is done, and of how much.
    progress: (u64, u64),
}

/// How it stands now.
pub(crate) fn look(reader: &mut dyn Reader, state_dir: &std::path::Path, what: &str) -> Result<Standing, Failure> {
    let questions = reader.open_questions()?;
    Ok(match name::named(reader, what)? {
        Named::Run(run) => {
            let open: Vec<QuestionView> = questions.into_iter().filter(|open| open.run == run.id).collect();
            let total = run.counts.total();
            let progress = (total - run.counts.open(), total);
            let over = run.state == RunState::Finished || (run.standing && run.counts.open() == 0);
            Standing {
                waited: Waited {
                    over,
                    run: Some(brief::run(reader, run)?),
                    ..Waited::default()
                },
                open,
                progress,
            }
        }
        Named::Task(view) => {
            let open: Vec<QuestionView> = questions.into_iter().filter(|open| open.task == view.id).collect();
            let over = view.state.is_done();
            Standing {
                waited: Waited {
                    over,
                    task: Some(brief::task(reader, state_dir, &view)?),
                    questions: open.iter().map(QuestionBrief::from).collect(),
                    ..Waited::default()
                },
                open,
                progress: (u64::from(over), 1),
            }
        }
    })
}

/// Waits for a run or task.
pub(crate) async fn wait(call: &Call<'_>) -> Result<Answer, Failure> {
    let WaitArgs { what, seconds } = arguments(call)?;
    hold(call, what, seconds).await
}

/// Gives a task to an agent and waits for what it says.
pub(crate) async fn ask(call: &Call<'_>) -> Result<Answer, Failure> {
    let AskArgs { prompt, agent, seconds } = arguments(call)?;
    // A call that comes back from a person goes on with the task it began.
    let task = match person::begun(call) {
        Some(task) => task,
        None => {
            let wanted = NewTask {
                text: prompt,
                agent,
                ..NewTask::default()
            };
            let task = enqueue(call.faces, wanted, "MCP", call.once()).await?;
            task_name(task.run, &task.key)
        }
    };
    hold(call, task, seconds).await
}

async fn hold(call: &Call<'_>, what: String, seconds: Option<u64>) -> Result<Answer, Failure> {
    if call.knows_tasks() {
        return task::begin(call, what).await;
    }
    let mut deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS).min(SECONDS_MAX));
    let mut ears = call.faces.desk.news();
    let mut asked: BTreeSet<String> = person::taken(call, &what).await?;
    let mut told = None;
    loop {
        ears.mark_unchanged();
        let standing = stands(call, &what).await?;
        if standing.waited.over {
            return Answer::of(&standing.waited);
        }
        report(call, &mut told, standing.progress).await;
        let unasked: Vec<&QuestionView> = standing
            .open
            .iter()
            .filter(|open| !asked.contains(&open.id.to_string()))
            .collect();
        if !standing.open.is_empty() {
            match person::ask(call, &what, &unasked, &asked, deadline).await? {
                person::Said::Answered(id) => {
                    asked.insert(id);
                    continue;
                }
                person::Said::ComesBack(answer) => return Ok(*answer),
                // Nobody to ask here, or they would not say: it is the caller's to decide.
                person::Said::Nothing => return Answer::of(&standing.waited),
            }
        }
        if call.nothing_goes_on().is_some() {
            let note = Some(NO_ENGINE);
            return Answer::of(&Waited {
                note,
                ..standing.waited
            });
        }
        tokio::select! {
            heard = ears.changed() => if heard.is_err() { deadline = Instant::now() },
            () = tokio::time::sleep_until(deadline) => {}
            () = call.faces.stop.cancelled() => deadline = Instant::now(),
            () = call.context.ct.cancelled() => deadline = Instant::now(),
        }
        if Instant::now() >= deadline {
            return Answer::of(&stands(call, &what).await?.waited);
        }
    }
}

async fn stands(call: &Call<'_>, what: &str) -> Result<Standing, Failure> {
    let state_dir = call.faces.desk.state_dir().to_owned();
    let what = what.to_owned();
    call.faces
        .desk
        .read(move |reader| look(reader, &state_dir, &what))
        .await
}

/// Tells a client that asked for it how far it is; each number once, because progress must grow.
async fn report(call: &Call<'_>, told: &mut Option<u64>, (done, total): (u64, u64)) {
    let Some(token) = call.context.meta.get_progress_token() else {
        return;
    };
    if told.is_some_and(|told| told >= done) {
        return;
    }
    *told = Some(done);
    let progress = ProgressNotificationParam::new(token, done as f64)
        .with_total(total as f64)
        .with_message(format!("{done} of {total} done"));
    // A client that is gone needs no progress.
    let _ = call.context.peer.notify_progress(progress).await;
}
