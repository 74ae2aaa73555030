//! Plans from outside: what is read, what is refused and in which words, and that nothing hostile gets through.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why"
)]

mod support;

mod accepted;
mod compat;
mod examples;
mod hostile;
mod planned;
mod properties;
mod published;
mod refused;
mod show;
mod templates;
mod workflows;
