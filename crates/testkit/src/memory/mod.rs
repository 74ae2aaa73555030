//! The store as a plain data structure: the model that real stores are compared with.
