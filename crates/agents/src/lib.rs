//! The agent port on real programs: one module per backend, the keeper that owns their processes, and the decoders
//! of their streams. Everything outside this crate sees [`wheelhouse_core::agent`] alone.

pub mod acp;
pub mod api;
pub mod claude;
pub mod codex;
mod converse;
pub mod decode;
pub mod exec;
pub mod keep;
mod mcp;
pub mod output;
mod probe;
pub mod rehearsal;
mod report;
mod sessions;
pub mod tool_servers;

pub use probe::Version;
