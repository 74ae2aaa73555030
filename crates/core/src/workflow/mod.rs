//! Workflows as pure controllers: outcomes of child tasks in, new child tasks or a result out.
//!
//! A controller holds nothing between two calls. It is given what its children came to, by name, and says what
//! follows, so a workflow that was interrupted anywhere goes on from what the store knows. Called by the engine for
//! tasks that are workflows, and by teams for `coordinate` ([`consensus`]).

pub mod consensus;
