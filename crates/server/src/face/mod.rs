//! What all faces share: the verbs, the names people type, the documents, and how a failure is said.
//!
//! A face is a way in: the command line, HTTP, MCP. They differ in how a wish arrives and how its answer leaves; what
//! a wish means, when it is refused and what is said then is here, once. Everything works on the ports of core, so a
//! face needs no engine of its own: it changes the store and nudges whoever has the engine.

pub mod budget;
pub mod crew;
pub mod crew_verb;
pub mod document;
pub mod economy;
pub mod exit;
pub mod failure;
pub mod feed;
pub mod find;
pub mod gather;
mod lessons;
pub mod metrics;
pub mod moment;
pub mod name;
pub mod nearest;
pub mod policy;
pub mod report;
pub mod role;
pub mod spawn;
pub mod team;
pub mod tool_search;
pub mod tool_use;
pub mod verb;
