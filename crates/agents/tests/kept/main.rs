//! The keeper and the backends on it, driven from outside with real processes: every guard is seen to bite.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod exec;
mod many;
mod owners;
mod rehearsal;
mod starts;
mod support;
mod trees;
