//! Pure decisions of Wheelhouse.
//!
//! This room holds the words of the product as types: ids, plans, the state machines of tasks and runs, outcomes
//! and what each of them leads to, and the ports ([`store`], [`agent`]) through which the engine meets the world.
//! Everything else depends on it. It never reads a clock, a file, the environment or a random source: those come
//! in as values, so every decision made here can be tested by a table and replayed by a seed.

pub mod agent;
pub mod analysis;
pub mod ask;
pub mod breaker;
pub mod budget;
pub mod caller;
pub mod chain;
pub mod circle;
pub mod compare;
pub mod coordinate;
pub mod crew;
pub mod day;
pub mod disposition;
pub mod event;
pub mod forecast;
pub mod ids;
pub mod instance;
pub mod ledger;
pub mod message;
pub mod money;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod price;
pub mod question;
pub mod quota;
pub mod report;
pub mod roster;
pub mod route;
pub mod schema;
pub mod soft;
pub mod spec;
pub mod store;
pub mod supervise;
pub mod task;
pub mod time;
pub mod tool_scope;
pub mod tool_server;
pub mod trail;
pub mod usage;
pub mod verdict;
pub mod workflow;
pub mod write_set;
