//! The fake model API, driven from outside by a client that sees single bytes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod answers;
mod checks;
mod client;
mod faults;
mod server;
mod vendors;
