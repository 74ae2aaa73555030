//! Installing Wheelhouse into the user's own agents, and taking it out again: which files, what goes into each.
//!
//! [`client`] knows where each agent keeps its things; [`edit`] puts ours into a text and takes it out, whatever else is
//! in it; [`record`] remembers what a file was before. `command::install` shows, asks, writes and looks afterwards.

pub(crate) mod client;
pub(crate) mod edit;
mod json;
pub(crate) mod record;
mod toml;
