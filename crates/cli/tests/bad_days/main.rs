//! Bad days, from outside: the binary is started, something goes wrong, and afterwards nothing is lost, nothing was
//! settled twice, the store is sound and no process is left.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod commands;
mod damage;
mod disk;
mod engines;
mod hands;
mod kill;
mod lies;
mod plans;
mod prompts;
mod stage;
mod victims;
