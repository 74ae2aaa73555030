//! The `exec` backend.
