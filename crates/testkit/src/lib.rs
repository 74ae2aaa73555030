//! For tests only: the store as a memory model, one conformance suite for every store, agents that follow a script
//! or misbehave, and a fake model API on loopback. Nothing here is linked into the product.

pub mod conformance;
pub mod memory;
pub mod model_api;
pub mod script;
pub mod tool_server;
