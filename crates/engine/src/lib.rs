//! Wheelhouse engine.
