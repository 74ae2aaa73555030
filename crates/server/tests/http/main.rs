//! The HTTP API from outside: over a socket, with the store behind it and no engine.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod bad_days;
mod crew;
mod madrox;
mod mcp;
mod orchestrator;
mod rig;
mod stream;
mod talks;
mod verbs;
