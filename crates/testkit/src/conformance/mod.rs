//! One suite of cases that every store must pass.

pub mod build;
