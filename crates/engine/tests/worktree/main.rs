//! Trees, branches and merges, driven from outside over real git in fresh repositories.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests say what they expect by failing"
)]

mod bad_days;
mod claims;
mod delivery;
mod environment;
mod life;
mod merging;
mod outside_git;
mod support;
mod unusual;
