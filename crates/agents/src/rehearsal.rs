//! The `rehearsal` backend.
