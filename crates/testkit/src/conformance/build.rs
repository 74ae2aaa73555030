//! Specs for tests: the smallest that works, to be changed where a test cares.

use std::collections::BTreeMap;

use wheelhouse_core::ids::{ArtifactHash, TaskKey};
use wheelhouse_core::spec::{Edits, Isolation, Merge, RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{ArtifactBytes, ArtifactRef};

/// A run of that name.
pub fn run(name: &str) -> RunSpec {
    RunSpec {
        name: name.to_owned(),
        vars: BTreeMap::new(),
        budget: None,
        source: format!("plans/{name}.yaml"),
        standing: false,
    }
}

/// A standing run of that name.
pub fn standing(name: &str) -> RunSpec {
    RunSpec {
        standing: true,
        ..run(name)
    }
}

/// A command that needs nothing.
pub fn task(key: &str) -> TaskSpec {
    TaskSpec {
        key: TaskKey::from(key),
        work: Work::Exec("true".to_owned()),
        agent: "exec".into(),
        fallback: Vec::new(),
        deadline_ms: None,
        window_tokens: None,
        confidence_min: None,
        model: None,
        role: None,
        needs: Vec::new(),
        priority: 0,
        files: Vec::new(),
        verify: Vec::new(),
        isolation: Isolation::None,
        merge: Merge::None,
        protect: Vec::new(),
        edits: Edits::Own,
        schema: None,
        timeout_ms: 60_000,
        idle_timeout_ms: 10_000,
        retry_max: 0,
        on_failure: None,
        planner: false,
        approval: false,
        env: BTreeMap::new(),
        cwd: None,
        budget: None,
        routed: None,
        flow: Default::default(),
        inputs: Default::default(),
    }
}

/// A command that needs these tasks.
pub fn needing(key: &str, needs: &[&str]) -> TaskSpec {
    TaskSpec {
        needs: needs.iter().map(|need| TaskKey::from(*need)).collect(),
        ..task(key)
    }
}

/// The name of these bytes.
pub fn hash(bytes: &[u8]) -> ArtifactHash {
    ArtifactHash(blake3::hash(bytes).to_hex().to_string())
}

/// An artifact called `output`: what a result says of it, and the bytes.
pub fn output(bytes: &[u8]) -> (ArtifactRef, ArtifactBytes) {
    let len = bytes.len() as u64;
    let reference = ArtifactRef {
        name: "output".to_owned(),
        hash: hash(bytes),
        bytes: len,
        bytes_written: len,
    };
    let stored = ArtifactBytes {
        hash: hash(bytes),
        bytes: bytes.to_vec(),
    };
    (reference, stored)
}
