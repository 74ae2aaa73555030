//! Every rule of fsck bites: the store is changed behind its back, one place a time, and the rule that this breaks must
//! be among those that speak up.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use wheelhouse_core::ids::{ArtifactHash, OwnerId, QuestionId, RunId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, Resolution};
use wheelhouse_core::store::{
    ArtifactBytes, ArtifactRef, ClaimRequest, Command, Next, Reply, Settlement, Store, TaskResult,
};
use wheelhouse_core::time::Millis;
use wheelhouse_store::{ManualClock, SqliteStore, backup, fsck};
use wheelhouse_testkit::conformance::build::{needing, run, task};
use wheelhouse_testkit::conformance::trial::{ended, settle};

/// A store with a task in every state: t1 done, t2 done with an artifact, t3 failed, t4 skipped, t5 running with a write
/// set, t6 in conflict with it, t7 waiting for t5, t8 to be approved, t9 to be tried again, t10 to be asked about,
/// t11 ready, t12 in a paused run, t13 done in a finished run.
fn furnish(path: &Path) {
    let clock = Arc::new(ManualClock::new(Millis(1_767_225_600_000)));
    let mut store = SqliteStore::open(path, clock).unwrap();
    let mut apply = |command| store.commit(&[command]).unwrap().remove(0).unwrap();
    let mut five = task("t5");
    five.files = vec!["src/**".into()];
    let mut six = five.clone();
    six.key = "t6".into();
    let mut eight = task("t8");
    eight.approval = true;
    let tasks = vec![
        task("t1"),
        task("t2"),
        task("t3"),
        needing("t4", &["t3"]),
        five,
        six,
        needing("t7", &["t5", "t1"]),
        eight,
        task("t9"),
        task("t10"),
    ];
    apply(Command::SubmitRun {
        run: run("main"),
        tasks,
    });
    let claim = |limit| {
        Command::Claim(ClaimRequest {
            owner: OwnerId("e1".to_owned()),
            limit,
            lease_ms: 30_000,
            borrowed: 0,
            caps: Vec::new(),
            terms: Default::default(),
        })
    };
    let Reply::Claimed { tasks: claimed, .. } = apply(claim(99)) else {
        panic!()
    };
    let lease = |key: &str| claimed.iter().find(|task| task.spec.key.as_str() == key).unwrap().lease;
    apply(settle(lease("t1"), ended(Outcome::Succeeded)));
    let bytes = b"what it wrote".to_vec();
    let hash = ArtifactHash(blake3::hash(&bytes).to_hex().to_string());
    let output = ArtifactRef {
        name: "output".to_owned(),
        hash: hash.clone(),
        bytes: 13,
        bytes_written: 13,
    };
    let with_output = Settlement {
        result: TaskResult {
            artifacts: vec![output],
            ..TaskResult::default()
        },
        artifacts: vec![ArtifactBytes { hash, bytes }],
        ..ended(Outcome::Succeeded)
    };
    apply(settle(lease("t2"), with_output));
    apply(settle(lease("t3"), ended(Outcome::Crashed)));
    let again = Next::TryAt {
        at: Millis(u64::MAX),
        link: 0,
        agent: "exec".into(),
        quota: false,
    };
    apply(settle(
        lease("t9"),
        Settlement {
            next: again,
            ..ended(Outcome::Crashed)
        },
    ));
    let ask = Next::Ask {
        kind: QuestionKind::Failure,
        text: "?".to_owned(),
    };
    apply(settle(
        lease("t10"),
        Settlement {
            next: ask,
            ..ended(Outcome::Crashed)
        },
    ));
    apply(Command::AddTasks {
        run: RunId(1),
        tasks: vec![task("t11")],
    });
    apply(Command::SubmitRun {
        run: run("paused"),
        tasks: vec![task("t12")],
    });
    apply(Command::PauseRun { run: RunId(2) });
    let mut thirteen = task("t13");
    thirteen.approval = true;
    apply(Command::SubmitRun {
        run: run("finished"),
        tasks: vec![thirteen],
    });
    let denied = Command::Answer {
        question: QuestionId(3),
        answer: "deny".to_owned(),
        resolution: Resolution::GiveUp,
    };
    apply(denied);
}

const DAMAGE: &[(&str, &str)] = &[
    ("what is referred to is there", "DELETE FROM task WHERE id = 1"),
    (
        "a waiting task counts the needs that are missing",
        "UPDATE task SET pending = 2 WHERE id = 7",
    ),
    (
        "a waiting task counts the needs that are missing",
        "DELETE FROM dep WHERE child = 7",
    ),
    (
        "a waiting task waits for what can still come",
        "UPDATE task SET outcome = 16 WHERE id = 1",
    ),
    (
        "only waiting tasks count missing needs",
        "UPDATE task SET pending = 1 WHERE id = 11",
    ),
    ("a run counts its tasks", "UPDATE run SET waiting = 2 WHERE id = 1"),
    ("a run counts its tasks", "UPDATE task SET outcome = 1 WHERE id = 3"),
    (
        "a run is finished when all its tasks are done",
        "UPDATE run SET state = 0 WHERE id = 3",
    ),
    (
        "a run is finished when all its tasks are done",
        "UPDATE run SET state = 3, finished_at = 1 WHERE id = 1",
    ),
    (
        "a run knows where its tasks and events lie",
        "UPDATE run SET task_last = 2 WHERE id = 1",
    ),
    (
        "a run knows where its tasks and events lie",
        "UPDATE run SET event_first = event_first + 1 WHERE id = 2",
    ),
    (
        "the ready list holds what is ready",
        "DELETE FROM ready WHERE task = 11",
    ),
    (
        "the ready list holds what is ready",
        "INSERT INTO ready SELECT agent, rank, id FROM task WHERE id = 7",
    ),
    (
        "the ready list holds what is ready",
        "UPDATE task SET rank = -5 WHERE id = 11",
    ),
    (
        "nothing is ready in a paused run or without its approval",
        "UPDATE run SET state = 1 WHERE id = 1",
    ),
    (
        "nothing is ready in a paused run or without its approval",
        "UPDATE task SET flags = 4 WHERE id = 11",
    ),
    (
        "a running task has a lease of its fence and try",
        "DELETE FROM lease WHERE task = 5",
    ),
    (
        "a running task has a lease of its fence and try",
        "UPDATE lease SET fence = 9 WHERE task = 5",
    ),
    ("a held task has its reason", "UPDATE task SET held = NULL WHERE id = 9"),
    ("a held task has its reason", "DELETE FROM hold WHERE task = 9"),
    (
        "a held task has its reason",
        "INSERT INTO hold (task, until) VALUES (11, 5)",
    ),
    (
        "a task is held as paused only in a paused run",
        "UPDATE run SET state = 0 WHERE id = 2",
    ),
    (
        "a conflict names a running task",
        "UPDATE hold SET blocker = 1 WHERE task = 6",
    ),
    (
        "a conflict names a running task",
        "UPDATE lease SET blocks = 0 WHERE task = 5",
    ),
    (
        "an open question has its task held on it",
        "DELETE FROM hold WHERE task = 10",
    ),
    (
        "an open question has its task held on it",
        "UPDATE question SET open = 1 WHERE id = 3",
    ),
    (
        "an open question has its task held on it",
        "UPDATE hold SET question = 1 WHERE task = 10",
    ),
    (
        "a task that is done has an outcome, and no other has",
        "UPDATE task SET done_at = NULL WHERE id = 1",
    ),
    (
        "a task that is done has an outcome, and no other has",
        "UPDATE task SET outcome = 1 WHERE id = 11",
    ),
    (
        "the tries of a task are numbered from one without gaps",
        "DELETE FROM attempt WHERE task = 3",
    ),
    ("an artifact counts its uses", "UPDATE artifact SET uses = 2"),
    ("numbers are given out in order", "UPDATE counter SET event = 3"),
    ("numbers are given out in order", "UPDATE counter SET at = 3"),
    (
        "what is kept as text can be read",
        "UPDATE spec SET body = '{}' WHERE task = 5",
    ),
    (
        "what is kept as text can be read",
        "UPDATE attempt SET result = '[' WHERE task = 2",
    ),
    (
        "what is kept as text can be read",
        "UPDATE event SET kind = 99 WHERE cursor = 4",
    ),
    (
        "a task's needs are its edges",
        "UPDATE dep SET parent = 2 WHERE parent = 1 AND child = 7",
    ),
    ("the outputs of a task are there", "UPDATE artifact SET bytes = NULL"),
    ("the outputs of a task are there", "DELETE FROM artifact_use"),
    (
        "an artifact's bytes are what its hash says",
        "UPDATE artifact SET bytes = x'00'",
    ),
    (
        "time does not run backwards in the history",
        "UPDATE event SET at = at - 1 WHERE cursor = 5",
    ),
    (
        "a task is claimed when it is neither running nor done",
        "INSERT INTO event SELECT 900, at, run, task, kind, a, b + 1, c, body FROM event WHERE kind = 9 AND task = 5",
    ),
    (
        "fences only grow",
        "INSERT INTO event SELECT 900, at, run, task, kind, a, b, c, body FROM event WHERE kind = 9 AND task = 9",
    ),
    (
        "a try ends once, after its claim",
        "INSERT INTO event SELECT 900, at, run, task, kind, a, b, c, body FROM event WHERE kind = 12 AND task = 1",
    ),
    (
        "a task is settled once",
        "INSERT INTO event SELECT 900, at, run, task, kind, a, b, c, body FROM event WHERE kind = 16 AND task = 1",
    ),
    (
        "only what is done is tried again",
        "INSERT INTO event (cursor, at, run, task, kind) SELECT 900, max(at), 1, 11, 17 FROM event",
    ),
    (
        "the history ends where the tables stand",
        "DELETE FROM event WHERE kind = 16 AND task = 1",
    ),
    (
        "the history ends where the tables stand",
        "UPDATE task SET fence = 7 WHERE id = 3",
    ),
];

#[test]
fn every_rule_bites() {
    let directory = tempfile::tempdir().unwrap();
    let sound = directory.path().join("sound.db");
    furnish(&sound);
    assert_eq!(fsck(&sound).unwrap(), []);

    for (rule, damage) in DAMAGE {
        let path = directory.path().join("damaged.db");
        backup(&sound, &path).unwrap();
        let raw = Connection::open(&path).unwrap();
        raw.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(raw.execute(damage, []).unwrap() > 0, "{damage} changes nothing");
        drop(raw);
        let faults = fsck(&path).unwrap();
        let heard = faults.iter().any(|fault| fault.rule == *rule);
        assert!(heard, "{damage}\nshould break: {rule}\nfound: {faults:#?}");
    }
}

#[test]
fn a_sea_of_faults_is_cut_short() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wheelhouse.db");
    furnish(&path);
    let raw = Connection::open(&path).unwrap();
    let many = "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 500) \
                INSERT INTO event (cursor, at, run, task, kind) SELECT i, 1, 1, 1, 16 FROM n";
    raw.execute(many, []).unwrap();
    drop(raw);
    let faults = fsck(&path).unwrap();
    let of_one_rule = faults.iter().filter(|fault| fault.rule == "a task is settled once");
    assert_eq!(of_one_rule.count(), 20);
}
