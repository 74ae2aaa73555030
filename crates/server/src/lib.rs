//! The faces of Wheelhouse for programs, and what all faces share.
//!
//! [`face`] holds the verbs, names, documents and failures that the command line uses too. Translation only: what a
//! wish means is there, what is true is in the store, and what happens next is the engine's.

pub mod face;
