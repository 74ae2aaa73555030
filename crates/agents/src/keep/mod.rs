//! The keeper: owns every agent process and its whole tree.
