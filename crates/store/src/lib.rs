//! Wheelhouse store.
