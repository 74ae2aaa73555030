//! The tasks extension: a held call becomes a task that the client polls.
//!
//! A task's id is the name of what is waited for (`r7`, `r7/draft`), so it outlives this server and needs no table: the
//! store knows how it stands.

use std::collections::BTreeMap;

use rmcp::ErrorData;
use rmcp::model::{
    CreateTaskResult, DetailedTask, ElicitRequest, GetTaskResult, InputRequest, JsonObject, Task, TaskPayload,
    TaskStatus,
};
use serde_json::{Value, json};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::Reader;
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;

use super::call::{Answer, Call};
use super::handler::answered;
use super::{person, wait};
use crate::api::Faces;
use crate::face::document::moment;
use crate::face::failure::Failure;
use crate::face::moment::now;
use crate::face::name::{self, Named};

/// How often a client may come back.
const POLL_MS: u64 = 1_000;

impl Call<'_> {
    /// Whether the client polls tasks in place of holding a call.
    pub(crate) fn knows_tasks(&self) -> bool {
        self.context
            .client_capabilities()
            .is_some_and(|able| able.supports_tasks())
    }
}

/// A task in place of a held call.
pub(crate) async fn begin(call: &Call<'_>, what: String) -> Result<Answer, Failure> {
    let task = call.faces.desk.read(move |reader| base(reader, &what)).await?;
    Ok(Answer::Task(CreateTaskResult::new(task)))
}

fn base(reader: &mut dyn Reader, what: &str) -> Result<Task, Failure> {
    let (id, begun, ended): (String, Millis, Option<Millis>) = match name::named(reader, what)? {
        Named::Run(run) => (run.id.to_string(), run.submitted_at, run.finished_at),
        Named::Task(task) => (
            format!("{}/{}", task.run, task.key),
            task.started_at.unwrap_or_else(now),
            task.done_at,
        ),
    };
    let seen = ended.unwrap_or_else(now);
    Ok(Task::new(id, TaskStatus::Working, moment(begun), moment(seen)).with_poll_interval_ms(POLL_MS))
}

/// How a task stands, with its result when it is over.
pub(crate) async fn get(faces: &Faces, id: String) -> Result<GetTaskResult, Failure> {
    let state_dir = faces.desk.state_dir().to_owned();
    faces
        .desk
        .read(move |reader| {
            let task = base(reader, &id)?;
            let standing = wait::look(reader, &state_dir, &id)?;
            let cancelled = matches!(
                name::named(reader, &id)?,
                Named::Task(view) if matches!(view.state, TaskState::Done { outcome: Outcome::Cancelled })
            );
            let payload = if cancelled {
                TaskPayload::Cancelled
            } else if standing.waited.over {
                TaskPayload::Completed {
                    result: result(&json!(standing.waited)),
                }
            } else if standing.open.is_empty() {
                TaskPayload::Working
            } else {
                let input_requests = standing
                    .open
                    .iter()
                    .map(|open| {
                        let request = InputRequest::Elicitation(ElicitRequest::new(person::form(open)?));
                        Ok((open.id.to_string(), request))
                    })
                    .collect::<Result<BTreeMap<_, _>, Failure>>()?;
                TaskPayload::InputRequired { input_requests }
            };
            Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
        })
        .await
}

fn result(document: &Value) -> JsonObject {
    match serde_json::to_value(answered(document.clone())) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => JsonObject::new(),
    }
}

/// What went wrong, for a client that asked about a task.
pub(crate) fn error(failure: &Failure) -> ErrorData {
    ErrorData::invalid_params(failure.message.clone(), None)
}
