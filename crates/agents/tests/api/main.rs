//! The `api` backend against the fake model API: four wire formats, every fault, keys, orders. The fake checks each
//! request against the protocol of its vendor, whatever a test is about.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the lint spares functions marked as tests, and not those they call"
)]

mod faults;
mod keys;
mod orders;
mod support;
mod turns;
