//! What a model is given, and what is taken from its answers.
//!
//! Text in, text out, the same every time. This room counts tokens, cuts and packs what goes into a prompt, and reads
//! summaries, verdicts and patches out of what comes back. It asks no model (vectors by
//! meaning are computed from weights that it is given, [`embedding`]) and touches no file: what it needs to read it asks
//! for through a [`port`]. Each layer can be switched off by itself, and each use leaves a receipt ([`receipt`]): what it
//! would have sent, what it sent, what it left out and why.
//!
//! Called by the engine (prompts, results) and by the command line (`wheelhouse economy`).

pub mod account;
pub mod blueprint;
pub mod cache;
pub mod compress;
pub mod conversation;
pub mod count;
pub mod embedding;
pub mod encode;
pub mod facts;
mod fence;
pub mod hand_over;
pub mod indirect;
pub mod instructions;
pub mod memory;
pub mod patch;
pub mod port;
pub mod project;
pub mod receipt;
pub mod reduce;
pub mod replay;
pub mod retrieval;
pub mod schema;
pub mod settings;
pub mod shortcut;
pub mod skills;
pub mod slice;
pub mod tools;
mod words;
