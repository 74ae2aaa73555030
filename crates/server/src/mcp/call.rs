//! One call of a tool: what it was given, and what comes of it.

use rmcp::model::{CreateTaskResult, InputRequiredResult, InputResponses, JsonObject};
use rmcp::service::{RequestContext, RoleServer};
use serde::Serialize;
use serde_json::Value;

use crate::api::Faces;
use crate::face::exit;
use crate::face::failure::Failure;

/// A call under way.
pub(crate) struct Call<'c> {
    /// The name it was called by.
    pub(crate) tool: &'c str,
    /// What it was given.
    pub(crate) arguments: JsonObject,
    /// What every request has at hand.
    pub(crate) faces: &'c Faces,
    /// The request: who asks, over which protocol, and whether it was cancelled.
    pub(crate) context: &'c RequestContext<RoleServer>,
    /// What a person said to what the call before this one asked.
    pub(crate) inputs: Option<InputResponses>,
    /// What the call before this one left with the client; it may have been changed there.
    pub(crate) state: Option<String>,
}

/// What comes of a call.
pub(crate) enum Answer {
    /// A document.
    Document(Value),
    /// A document that says why the wish was not granted.
    Refused(Value),
    /// A person must be asked first, through the client.
    Ask(InputRequiredResult),
    /// It goes on; the client comes back for the result.
    Task(CreateTaskResult),
}

impl Answer {
    /// A document.
    pub(crate) fn of(document: &impl Serialize) -> Result<Answer, Failure> {
        serde_json::to_value(document)
            .map(Answer::Document)
            .map_err(|error| Failure::new(exit::STATE_FAILED, format!("the answer cannot be written: {error}")))
    }
}
