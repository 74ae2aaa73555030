//! What can only be driven below the port: other writers, other clocks, damage, kills, and the check that finds it all.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use wheelhouse_core::ids::{Cursor, Lease, OwnerId, RunId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{
    ClaimRequest, Claimed, Command, Failure, Next, Refused, Reply, RunState, Settlement, Store,
};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;
use wheelhouse_store::{BUSY_TIMEOUT, Clock, ManualClock, SqliteReader, SqliteStore, SystemClock, backup, fsck};
use wheelhouse_testkit::conformance::build::{needing, run, task};
use wheelhouse_testkit::conformance::trial::{ended, settle};

const START: Millis = Millis(1_767_225_600_000);
const HOUR_MS: u64 = 3_600_000;
const LEASE_MS: u64 = 30_000;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Place {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state/wheelhouse.db")
    }

    fn open(&self, clock: Arc<dyn Clock>) -> SqliteStore {
        SqliteStore::open(&self.path(), clock).unwrap()
    }

    /// Somebody with a SQL shell.
    fn raw(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection
    }
}

fn apply(store: &mut dyn Store, command: Command) -> Reply {
    store.commit(&[command]).unwrap().remove(0).unwrap()
}

fn refused(store: &mut dyn Store, command: Command) -> Refused {
    store.commit(&[command]).unwrap().remove(0).unwrap_err()
}

fn claim(store: &mut dyn Store, limit: u32) -> Vec<Claimed> {
    let request = ClaimRequest {
        owner: OwnerId("e1".to_owned()),
        limit,
        lease_ms: LEASE_MS,
        borrowed: 0,
        caps: Vec::new(),
        terms: Default::default(),
    };
    match apply(store, Command::Claim(request)) {
        Reply::Claimed { tasks, .. } => tasks,
        other => panic!("{other:?}"),
    }
}

fn submit(store: &mut dyn Store, keys: &[&str]) {
    let tasks = keys.iter().map(|key| task(key)).collect();
    apply(store, Command::SubmitRun { run: run("r"), tasks });
}

fn succeeded(lease: Lease) -> Command {
    settle(lease, ended(Outcome::Succeeded))
}

// ---- opening ---------------------------------------------------------------------------------------------------------

#[test]
fn only_the_owner_can_read_the_store() {
    let place = Place::new();
    drop(place.open(Arc::new(SystemClock::new())));
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_newer_store_is_refused_by_writers_and_readers() {
    let place = Place::new();
    drop(place.open(Arc::new(SystemClock::new())));
    place.raw().pragma_update(None, "user_version", 77).unwrap();
    let refused = SqliteStore::open(&place.path(), Arc::new(SystemClock::new()));
    assert!(matches!(refused, Err(Failure::TooNew { found: 77, .. })));
    assert!(matches!(SqliteReader::open(&place.path()), Err(Failure::TooNew { .. })));
}

#[test]
fn a_file_that_is_no_database_is_called_damaged() {
    let place = Place::new();
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    fs::write(place.path(), "these are not the bytes you are looking for ".repeat(100)).unwrap();
    match SqliteStore::open(&place.path(), Arc::new(SystemClock::new())) {
        Err(Failure::Damaged(what)) => assert!(what.contains("is not a database"), "{what}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    }
    assert_eq!(fsck(&place.path()).unwrap().len(), 1);
    let kept = fs::read(place.path()).unwrap();
    assert!(kept.starts_with(b"these are not"), "what was there is left as it was");
}

#[test]
fn a_page_of_rubbish_is_found() {
    let place = Place::new();
    let mut store = place.open(Arc::new(SystemClock::new()));
    let keys: Vec<String> = (0..2_000).map(|number| format!("task-{number}")).collect();
    submit(&mut store, &keys.iter().map(String::as_str).collect::<Vec<_>>());
    drop(store);
    let raw = place.raw();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let root: u64 = raw
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'task'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(raw);
    let mut file = OpenOptions::new().write(true).open(place.path()).unwrap();
    file.seek(SeekFrom::Start((root - 1) * 4_096)).unwrap();
    file.write_all(&[0xAB; 4_096]).unwrap();
    drop(file);

    assert!(!fsck(&place.path()).unwrap().is_empty());
    let mut store = place.open(Arc::new(SystemClock::new()));
    let failed = store.commit(&[Command::PauseRun { run: RunId(1) }]);
    assert!(matches!(failed, Err(Failure::Damaged(_))), "{failed:?}");
    let read = store.reader().unwrap().task(TaskId(1));
    assert!(matches!(read, Err(Failure::Damaged(_))), "{read:?}");
}

// ---- two processes ---------------------------------------------------------------------------------------------------

#[test]
fn another_writer_is_waited_for_and_then_the_store_is_busy() {
    let place = Place::new();
    drop(place.open(Arc::new(SystemClock::new())));
    let patience = Duration::from_millis(50);
    let mut store = SqliteStore::open_patient(&place.path(), Arc::new(SystemClock::new()), patience).unwrap();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = store.commit(&[Command::ExpireLeases]);
    assert!(matches!(failed, Err(Failure::Busy(_))), "{failed:?}");
    assert!(store.reader().unwrap().runs(1).is_ok(), "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    submit(&mut store, &["a"]);
}

#[test]
fn two_writers_do_not_step_on_each_other() {
    let place = Place::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut one = place.open(clock.clone());
    let mut other = place.open(clock);
    submit(&mut one, &["a", "b"]);
    let a = claim(&mut other, 1).remove(0);
    let b = claim(&mut one, 2).remove(0);
    assert_eq!((a.spec.key.as_str(), b.spec.key.as_str()), ("a", "b"));
    apply(&mut other, succeeded(a.lease));
    assert_eq!(refused(&mut one, succeeded(a.lease)), Refused::LostLease(a.lease));
    submit(&mut other, &["c"]);
    apply(&mut one, succeeded(b.lease));
    assert_eq!(fsck(&place.path()).unwrap(), []);
}

#[test]
fn a_claim_that_finds_nothing_writes_nothing() {
    let place = Place::new();
    let mut store = place.open(Arc::new(SystemClock::new()));
    assert!(claim(&mut store, 8).is_empty(), "the owner gets its number");
    let log = place.path().with_file_name("wheelhouse.db-wal");
    let before = fs::read(&log).unwrap();
    assert!(claim(&mut store, 8).is_empty());
    assert_eq!(
        apply(&mut store, Command::ExpireLeases),
        Reply::Returned { tasks: Vec::new() }
    );
    assert_eq!(fs::read(&log).unwrap(), before);
}

#[test]
fn a_backup_is_one_moment_of_a_store_in_use() {
    let place = Place::new();
    let mut store = place.open(Arc::new(SystemClock::new()));
    submit(&mut store, &["a"]);
    let copy = place.directory.path().join("copy.db");
    backup(&place.path(), &copy).unwrap();
    submit(&mut store, &["b"]);
    assert_eq!(SqliteReader::open(&copy).map(|_| ()).ok(), Some(()));
    assert_eq!(fsck(&copy).unwrap(), []);
    let mut reader = SqliteStore::open(&copy, Arc::new(SystemClock::new()))
        .unwrap()
        .reader()
        .unwrap();
    assert_eq!(reader.runs(9).unwrap().len(), 1);
}

// ---- clocks ----------------------------------------------------------------------------------------------------------

fn events_at(store: &SqliteStore) -> Vec<Millis> {
    let events = store.reader().unwrap().events(Cursor(0), None, 1_000).unwrap();
    events.iter().map(|event| event.at).collect()
}

#[test]
fn a_wall_clock_that_jumps_ends_no_lease_and_stops_no_retry() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new(START));
    let mut store = place.open(clock.clone());
    submit(&mut store, &["a", "b", "c"]);
    let tasks = claim(&mut store, 3);

    clock.set_wall(Millis(START.0 + 24 * HOUR_MS));
    assert_eq!(
        apply(&mut store, Command::ExpireLeases),
        Reply::Returned { tasks: Vec::new() }
    );
    apply(&mut store, succeeded(tasks[0].lease));

    clock.set_wall(Millis(START.0 - 24 * HOUR_MS));
    apply(&mut store, succeeded(tasks[1].lease));
    // Time goes on from the latest moment stored: a wait of a second ends after a second.
    let now = events_at(&store).pop().unwrap();
    let again = Next::TryAt {
        at: now.after(Duration::from_secs(1)),
        link: 0,
        agent: "exec".into(),
        quota: false,
    };
    let failed = Settlement {
        next: again,
        ..ended(Outcome::Crashed)
    };
    apply(&mut store, settle(tasks[2].lease, failed));
    clock.advance_ms(999);
    assert!(claim(&mut store, 1).is_empty());
    clock.advance_ms(1);
    let last = claim(&mut store, 1).remove(0);

    // And a lease still ends when its time has passed.
    clock.advance_ms(LEASE_MS);
    assert_eq!(
        refused(&mut store, succeeded(last.lease)),
        Refused::LostLease(last.lease)
    );
    assert!(events_at(&store).is_sorted());
}

#[test]
fn a_process_with_a_clock_of_its_own_does_no_harm() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new(START));
    let mut engine = place.open(clock.clone());
    submit(&mut engine, &["a"]);
    let task = claim(&mut engine, 1).remove(0);

    // It was started after the wall clock had been set ahead; the steady clock is the same for both.
    let ahead = Arc::new(ManualClock::new(START));
    ahead.set_wall(Millis(START.0 + HOUR_MS));
    let mut other = place.open(ahead);
    apply(&mut other, Command::PauseRun { run: RunId(1) });
    apply(&mut other, Command::ResumeRun { run: RunId(1) });

    clock.advance_ms(LEASE_MS - 1);
    apply(&mut engine, succeeded(task.lease));
    let at = events_at(&engine);
    assert!(at.is_sorted(), "{at:?}");
    assert_eq!(
        *at.last().unwrap(),
        Millis(START.0 + HOUR_MS),
        "it goes on from what the other one stored"
    );
}

struct BootClock(&'static str);

impl Clock for BootClock {
    fn now(&self) -> Millis {
        START
    }

    fn steady(&self) -> u64 {
        5_000
    }

    fn boot(&self) -> Option<String> {
        Some(self.0.to_owned())
    }
}

#[test]
fn leases_do_not_outlive_the_boot_they_were_given_in() {
    let place = Place::new();
    let mut store = place.open(Arc::new(BootClock("first")));
    submit(&mut store, &["a"]);
    let task = claim(&mut store, 1).remove(0);
    drop(store);
    let mut store = place.open(Arc::new(BootClock("first")));
    assert_eq!(
        apply(&mut store, Command::ExpireLeases),
        Reply::Returned { tasks: Vec::new() }
    );
    drop(store);
    let mut store = place.open(Arc::new(BootClock("second")));
    assert_eq!(
        refused(&mut store, succeeded(task.lease)),
        Refused::LostLease(task.lease)
    );
    let Reply::Returned { tasks } = apply(&mut store, Command::ExpireLeases) else {
        panic!()
    };
    assert_eq!(tasks.len(), 1);
    assert_eq!(claim(&mut store, 1).len(), 1, "and it can be claimed again at once");
}

// ---- damage within a row ---------------------------------------------------------------------------------------------

#[test]
fn one_unreadable_task_in_a_batch_fails_alone() {
    let place = Place::new();
    let mut store = place.open(Arc::new(SystemClock::new()));
    let tasks = vec![task("a"), task("bad"), needing("behind", &["bad"]), task("c")];
    apply(&mut store, Command::SubmitRun { run: run("r"), tasks });
    place
        .raw()
        .execute("UPDATE spec SET body = '{\"exec\": tru' WHERE key = 'bad'", [])
        .unwrap();

    let claimed = claim(&mut store, 8);
    let keys: Vec<&str> = claimed.iter().map(|task| task.spec.key.as_str()).collect();
    assert_eq!(keys, ["a", "c"]);
    let mut reader = store.reader().unwrap();
    let states: Vec<TaskState> = reader
        .tasks(RunId(1), 0, 9)
        .unwrap()
        .into_iter()
        .map(|task| task.state)
        .collect();
    let done = |outcome| TaskState::Done { outcome };
    assert_eq!(states[1], done(Outcome::Malformed));
    assert_eq!(states[2], done(Outcome::Skipped { cause: "bad".into() }));
    let result = reader.result(TaskId(2)).unwrap().unwrap();
    assert!(result.summary.contains("unreadable"), "{}", result.summary);
    assert!(matches!(reader.spec(TaskId(2)), Err(Failure::Damaged(_))));
    for task in claimed {
        apply(&mut store, succeeded(task.lease));
    }
    assert_eq!(reader.run(RunId(1)).unwrap().unwrap().state, RunState::Finished);
    let rules: Vec<String> = fsck(&place.path())
        .unwrap()
        .into_iter()
        .map(|fault| fault.rule)
        .collect();
    assert_eq!(rules, ["what is kept as text can be read"]);
}

// ---- kills -----------------------------------------------------------------------------------------------------------

/// Not a test by itself: the process that [`a_killed_writer_loses_nothing_it_acknowledged`] kills. Settles tasks, two a
/// commit, and says after each commit which.
#[test]
fn writer_to_be_killed() {
    let Some(path) = std::env::var_os("WHEELHOUSE_TEST_STORE") else {
        return;
    };
    let mut store = SqliteStore::open(Path::new(&path), Arc::new(SystemClock::new())).unwrap();
    let me = OwnerId(format!("writer {}", std::process::id()));
    apply(
        &mut store,
        Command::Recover {
            me: me.clone(),
            go_on: true,
        },
    );
    loop {
        let request = ClaimRequest {
            owner: me.clone(),
            limit: 2,
            lease_ms: LEASE_MS,
            borrowed: 0,
            caps: Vec::new(),
            terms: Default::default(),
        };
        let Reply::Claimed { tasks, .. } = apply(&mut store, Command::Claim(request)) else {
            panic!()
        };
        if tasks.is_empty() {
            println!("acknowledged all");
            return;
        }
        let batch: Vec<Command> = tasks.iter().map(|task| succeeded(task.lease)).collect();
        for answer in store.commit(&batch).unwrap() {
            answer.unwrap();
        }
        for task in tasks {
            println!("acknowledged {}", task.lease.task.0);
        }
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    const TASKS: usize = 300;
    let place = Place::new();
    let mut store = place.open(Arc::new(SystemClock::new()));
    let keys: Vec<String> = (0..TASKS).map(|number| format!("task-{number}")).collect();
    let tasks = (0..TASKS).map(|number| match number.checked_sub(10) {
        Some(parent) => needing(&keys[number], &[&keys[parent]]),
        None => task(&keys[number]),
    });
    let tasks = tasks.collect();
    apply(&mut store, Command::SubmitRun { run: run("r"), tasks });
    drop(store);

    for life in 1.. {
        let mut writer = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_to_be_killed", "--nocapture"])
            .env("WHEELHOUSE_TEST_STORE", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut acknowledged: Vec<u64> = Vec::new();
        let mut all = false;
        // Each life gets further into its work before it is killed in the middle of it.
        for line in lines.by_ref() {
            let Some(what) = line.strip_prefix("acknowledged ") else {
                continue;
            };
            all = what == "all";
            acknowledged.extend(what.parse::<u64>());
            if all || acknowledged.len() == 7 * life {
                break;
            }
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        for line in lines {
            acknowledged.extend(line.strip_prefix("acknowledged ").and_then(|id| id.parse::<u64>().ok()));
        }
        assert_eq!(fsck(&place.path()).unwrap(), [], "after life {life}");
        let mut reader = SqliteReader::open(&place.path()).unwrap();
        for id in acknowledged {
            let task = wheelhouse_core::store::Reader::task(&mut reader, TaskId(id))
                .unwrap()
                .unwrap();
            let state = TaskState::Done {
                outcome: Outcome::Succeeded,
            };
            assert_eq!(task.state, state, "{id} after life {life}");
        }
        if all {
            let view = wheelhouse_core::store::Reader::run(&mut reader, RunId(1))
                .unwrap()
                .unwrap();
            assert_eq!((view.state, view.counts.succeeded), (RunState::Finished, TASKS as u64));
            assert!(life > 3, "it was killed at least three times");
            return;
        }
    }
}

#[test]
fn readers_see_whole_commits_while_a_writer_works() {
    let place = Place::new();
    let mut store = place.open(Arc::new(SystemClock::new()));
    submit(&mut store, &["a"]);
    let mut reader = store.reader().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) || looks < 10 {
                let run = reader.run(RunId(1)).unwrap().unwrap();
                assert_eq!(run.counts.total() % 2, 1, "tasks come in pairs after the first");
                looks += 1;
            }
            looks
        })
    };
    let begun = Instant::now();
    let mut pairs = 0;
    while begun.elapsed() < BUSY_TIMEOUT / 10 || pairs < 20 {
        pairs += 1;
        let pair = [format!("x{pairs}"), format!("y{pairs}")];
        let batch: Vec<Command> = pair
            .iter()
            .map(|key| Command::AddTasks {
                run: RunId(1),
                tasks: vec![task(key)],
            })
            .collect();
        store.commit(&batch).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(watching.join().unwrap() >= 10);
}

#[test]
fn a_task_that_changes_hands_within_a_commit_is_listed_once() {
    let place = Place::new();
    let mut store = place.open(Arc::new(ManualClock::new(START)));
    submit(&mut store, &["a"]);
    let next = Next::TryAt {
        at: START,
        link: 0,
        agent: "other".into(),
        quota: false,
    };
    let failed = Settlement {
        next,
        ..ended(Outcome::Crashed)
    };
    let request = ClaimRequest {
        owner: OwnerId("e1".to_owned()),
        limit: 1,
        lease_ms: LEASE_MS,
        borrowed: 0,
        caps: Vec::new(),
        terms: Default::default(),
    };
    let lease = Lease {
        task: TaskId(1),
        fence: 1,
    };
    let batch = [Command::Claim(request), settle(lease, failed)];
    assert!(store.commit(&batch).unwrap().iter().all(Result::is_ok));
    assert_eq!(fsck(&place.path()).unwrap(), []);
    assert_eq!(claim(&mut store, 1)[0].agent.as_str(), "other");
    assert_eq!(fsck(&place.path()).unwrap(), []);
}
