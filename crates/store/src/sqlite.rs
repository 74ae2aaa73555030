//! The store itself: its connection, how it is opened, and one transaction a batch.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use wheelhouse_core::store::{Command, Failure, Reader, Refused, Reply, Store};

use crate::clock::Clock;
use crate::failure::{Answer, Stop, failure, io_failure};
use crate::migrate;
use crate::read::SqliteReader;
use crate::rows::Names;
use crate::statements as sql;
use crate::work::{Skews, Work};

/// How long a commit waits for another process that is writing before it fails as busy. Longer than any commit of ours
/// takes, shorter than anybody's patience.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store on SQLite, for writing.
pub struct SqliteStore {
    path: PathBuf,
    connection: Connection,
    clock: Arc<dyn Clock>,
    skews: Skews,
    names: Names,
}

impl SqliteStore {
    /// Opens the store in this file, makes it when it is not there (only the owner may read it), and brings it up to
    /// this program's schema (after a backup).
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteStore, Failure> {
        SqliteStore::open_patient(path, clock, BUSY_TIMEOUT)
    }

    /// The same, for callers that wait longer or shorter for other writers.
    pub fn open_patient(path: &Path, clock: Arc<dyn Clock>, patience: Duration) -> Result<SqliteStore, Failure> {
        create_private(path).map_err(io_failure)?;
        let mut connection = connect(path, patience).map_err(|error| failure(path, error))?;
        migrate::migrate(&mut connection, path, migrate::MIGRATIONS, clock.now())?;
        let mut store = SqliteStore {
            path: path.to_owned(),
            connection,
            clock,
            skews: Skews::default(),
            names: Names::default(),
        };
        store.note_boot().map_err(|error| failure(path, error))?;
        Ok(store)
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leases are measured by a clock that starts again with the machine; whoever held one before is gone.
    fn note_boot(&mut self) -> rusqlite::Result<()> {
        let Some(boot) = self.clock.boot() else { return Ok(()) };
        let known = |connection: &Connection| {
            connection
                .prepare_cached(sql::BOOT)?
                .query_row([], |row| row.get::<_, Option<String>>(0))
        };
        if known(&self.connection)?.as_ref() == Some(&boot) {
            return Ok(());
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if known(&transaction)?.as_ref() != Some(&boot) {
            transaction.execute(sql::BOOT_SET, [boot])?;
            transaction.execute(sql::BOOT_LEASES_VOID, [])?;
        }
        transaction.commit()
    }

    fn apply(&mut self, batch: &[Command]) -> Answer<Vec<Result<Reply, Refused>>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut work = Work::begin(&transaction, &mut self.names, &*self.clock, &mut self.skews)?;
        let mut answers = Vec::with_capacity(batch.len());
        for command in batch {
            answers.push(match work.apply(command) {
                Ok(reply) => Ok(reply),
                Err(Stop::Refused(refused)) => Err(refused),
                Err(stop @ (Stop::Sqlite(_) | Stop::Damaged(_))) => return Err(stop),
            });
        }
        if work.finish()? {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        Ok(answers)
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, batch: &[Command]) -> Result<Vec<Result<Reply, Refused>>, Failure> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.apply(batch).map_err(|stop| {
            self.names.forget();
            stop.into_failure(&self.path)
        })
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Failure> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }
}

/// A store holds prompts, answers and environments: nobody else's business.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

fn connect(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    // More than there are statements: none is ever prepared twice.
    connection.set_prepared_statement_cache_capacity(256);
    // Without this, SQLite plans a statement anew whenever the numbers bound to it differ: a fifth of all time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    enter_wal(&connection, patience)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Declared for fsck, not enforced; see the schema.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    Ok(connection)
}

/// Many may open a new file at once. SQLite does not wait for the others where a lock is turned into a greater one, as
/// this does, so the waiting is done here.
fn enter_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && waited < patience => {
                std::thread::sleep(WAL_PAUSE);
                waited += WAL_PAUSE;
            }
            entered => return entered.map(drop),
        }
    }
}

/// Between two tries to begin the log of a new file.
const WAL_PAUSE: Duration = Duration::from_millis(2);
/// Pages kept in memory, at the most; negative: in KiB.
const CACHE_KIB: i64 = -16 * 1024;
/// How long the log grows before its pages are written to the file proper: rare enough to be cheap on average, often
/// enough that the commit that does it is not late.
const CHECKPOINT_PAGES: i64 = 2_000;
/// The log shrinks to this when it had to grow (behind a long reader).
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wheelhouse_core::ids::RunId;
    use wheelhouse_core::spec::RunSpec;

    use super::*;
    use crate::SystemClock;

    fn submission(name: &str) -> Command {
        let run = RunSpec {
            name: name.to_owned(),
            vars: BTreeMap::from([("text".to_owned(), "x".repeat(20_000))]),
            budget: None,
            source: String::new(),
            standing: true,
        };
        Command::SubmitRun { run, tasks: Vec::new() }
    }

    fn limit_pages(store: &SqliteStore, pages: i64) {
        let limit = format!("PRAGMA max_page_count = {pages}");
        store.connection.query_row(&limit, [], |_| Ok(())).unwrap();
    }

    #[test]
    fn many_open_a_new_file_at_once() {
        for _ in 0..10 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("wheelhouse.db");
            let together = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        together.wait();
                        SqliteStore::open(&path, Arc::new(SystemClock::new()))
                            .map(drop)
                            .unwrap();
                    });
                }
            });
        }
    }

    #[test]
    fn a_full_disk_loses_the_batch_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        let mut store = SqliteStore::open(&path, Arc::new(SystemClock::new())).unwrap();
        store.commit(&[submission("first")]).unwrap();
        let pages: i64 = store
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();

        limit_pages(&store, pages + 2);
        let failed = store.commit(&[submission("second"), submission("third")]);
        assert!(matches!(failed, Err(Failure::Full(_))), "{failed:?}");
        assert_eq!(
            store.reader().unwrap().runs(9).unwrap().len(),
            1,
            "nothing of it is there"
        );

        limit_pages(&store, pages + 1_000);
        let answers = store.commit(&[submission("second")]).unwrap();
        assert!(
            matches!(answers[0], Ok(Reply::Submitted { run: RunId(2), .. })),
            "{answers:?}"
        );
        assert_eq!(crate::fsck(&path).unwrap(), []);
    }
}
