//! From the schema a file has to the schema this program knows: ordered steps, each in a transaction of its own, with a
//! backup of the file before the first one touches an existing store.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior, params};
use wheelhouse_core::store::Failure;
use wheelhouse_core::time::Millis;

use crate::backup::backup;
use crate::encode::int;
use crate::failure::{failure, io_failure};

/// Step `n` leads from schema `n` to schema `n + 1`. Never change one that was released; add another.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_initial.sql"),
    include_str!("schema/0002_once.sql"),
    include_str!("schema/0003_crew.sql"),
    include_str!("schema/0004_past.sql"),
    include_str!("schema/0005_money.sql"),
    include_str!("schema/0006_chains.sql"),
    include_str!("schema/0007_past_features.sql"),
];

/// Marks a file as one of ours ("Whee" in ASCII), so that `open` does not build its tables in somebody else's database.
const APPLICATION_ID: i32 = 0x5768_6565;

/// Backups before a migration that are kept, the youngest ones.
const BACKUPS_KEPT: usize = 3;

pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
    now: Millis,
) -> Result<(), Failure> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let sqlite = |error| failure(path, error);
    // Looked at first: whoever else opens a new file at this moment fills it and gives it its version in one commit.
    let empty = is_empty(connection).map_err(sqlite)?;
    let found = version(connection).map_err(sqlite)?;
    if found > known {
        return Err(Failure::TooNew { found, known });
    }
    if found == 0 && !empty {
        return Err(Failure::Damaged(format!(
            "{} is a database of another program",
            path.display()
        )));
    }
    check_applied(connection, path, &migrations[..found as usize])?;
    if found > 0 && found < known {
        back_up(path, found, now)?;
    }
    if found < known {
        apply(connection, migrations, now).map_err(sqlite)?;
    }
    Ok(())
}

/// All steps in one commit: nobody sees a file between two of them.
fn apply(connection: &mut Connection, migrations: &[&str], now: Millis) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been here while we waited for the lock.
    let found = version(&transaction)?;
    for (target, sql) in (1..).zip(migrations).skip(found as usize) {
        step(&transaction, target, sql, now)?;
    }
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// The steps that made this file must be the ones we know, or we would misread it.
fn check_applied(connection: &Connection, path: &Path, applied: &[&str]) -> Result<(), Failure> {
    if applied.is_empty() {
        return Ok(());
    }
    let damaged = |what: String| Failure::Damaged(format!("{}: {what}", path.display()));
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| failure(path, error))?;
    if id != APPLICATION_ID {
        return Err(damaged("is a database of another program".to_owned()));
    }
    for (place, sql) in applied.iter().enumerate() {
        let version = place + 1;
        let stored: String = connection
            .query_row(
                "SELECT checksum FROM schema_migration WHERE version = ?1",
                [int(version as u64)],
                |row| row.get(0),
            )
            .map_err(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => damaged(format!("schema {version} was never recorded")),
                error => failure(path, error),
            })?;
        if stored != checksum(sql) {
            return Err(damaged(format!(
                "schema {version} was made by a program unlike this one"
            )));
        }
    }
    Ok(())
}

fn checksum(sql: &str) -> String {
    blake3::hash(sql.as_bytes()).to_hex().to_string()
}

fn step(transaction: &Connection, target: u32, sql: &str, now: Millis) -> rusqlite::Result<()> {
    if target == 1 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.execute_batch(
            "CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL, \
             applied_at INTEGER NOT NULL) STRICT",
        )?;
    }
    transaction.execute_batch(sql)?;
    transaction.execute(
        "INSERT INTO schema_migration (version, checksum, applied_at) VALUES (?1, ?2, ?3)",
        params![target, checksum(sql), int(now.0)],
    )?;
    transaction.pragma_update(None, "user_version", target)
}

fn back_up(path: &Path, found: u32, now: Millis) -> Result<(), Failure> {
    let directory = path.with_file_name("backups");
    fs::create_dir_all(&directory).map_err(io_failure)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    // Digits of equal length, so that names sort by age.
    let copy = directory.join(format!("{name}-{:016}-schema-{found}.db", now.0));
    backup(path, &copy)?;
    let mut copies: Vec<PathBuf> = fs::read_dir(&directory)
        .map_err(io_failure)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| is_backup_of(path, &name))
        .collect();
    copies.sort();
    let surplus = copies.len().saturating_sub(BACKUPS_KEPT);
    for old in &copies[..surplus] {
        fs::remove_file(old).map_err(io_failure)?;
    }
    Ok(())
}

fn is_backup_of(path: &Path, name: &str) -> bool {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| rest.contains("-schema-") && rest.ends_with(".db"))
}

/// Whether a file can be read by this program as it is.
pub(crate) fn check_readable(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found = version(connection).map_err(|error| failure(path, error))?;
    if found > known {
        return Err(Failure::TooNew { found, known });
    }
    if found < known {
        let what = format!("has schema {found} and is not brought up to {known} yet");
        return Err(Failure::Io(format!("{} {what}", path.display()).into()));
    }
    check_applied(connection, path, MIGRATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1;";

    fn bring_up(path: &Path, migrations: &[&str], now: u64) -> Result<(), Failure> {
        migrate(&mut Connection::open(path).unwrap(), path, migrations, Millis(now))
    }

    fn number(path: &Path, sql: &str) -> i64 {
        let connection = Connection::open(path).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn backups(path: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(path.with_file_name("backups")) else {
            return Vec::new();
        };
        let mut copies: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        copies.sort();
        copies
    }

    #[test]
    fn a_new_store_needs_no_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        bring_up(&path, &[FIRST, SECOND], 1).unwrap();
        assert_eq!(number(&path, "SELECT y FROM a"), 2);
        assert_eq!(number(&path, "PRAGMA user_version"), 2);
        assert_eq!(backups(&path), Vec::<PathBuf>::new());
        bring_up(&path, &[FIRST, SECOND], 2).unwrap();
        assert_eq!(
            backups(&path),
            Vec::<PathBuf>::new(),
            "nothing to do, nothing to back up"
        );
    }

    #[test]
    fn a_backup_of_what_was_there_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        bring_up(&path, &[FIRST], 1).unwrap();
        bring_up(&path, &[FIRST, SECOND], 2).unwrap();
        assert_eq!(number(&path, "SELECT y FROM a"), 2);
        let copies = backups(&path);
        assert_eq!(copies.len(), 1);
        assert_eq!(number(&copies[0], "PRAGMA user_version"), 1);
        assert_eq!(number(&copies[0], "SELECT x FROM a"), 1);
    }

    #[test]
    fn the_last_three_backups_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        let steps = [FIRST, SECOND, "SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4"];
        for known in 1..=steps.len() {
            bring_up(&path, &steps[..known], 10 * known as u64).unwrap();
        }
        let schemas: Vec<i64> = backups(&path)
            .iter()
            .map(|copy| number(copy, "PRAGMA user_version"))
            .collect();
        assert_eq!(schemas, [3, 4, 5]);
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        bring_up(&path, &[FIRST, SECOND], 1).unwrap();
        let refused = bring_up(&path, &[FIRST], 2);
        assert!(
            matches!(refused, Err(Failure::TooNew { found: 2, known: 1 })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        bring_up(&path, &[FIRST], 1).unwrap();
        let half = "UPDATE a SET x = 99; INSERT INTO nowhere VALUES (1);";
        assert!(matches!(bring_up(&path, &[FIRST, half], 2), Err(Failure::Io(_))));
        assert_eq!(number(&path, "PRAGMA user_version"), 1);
        assert_eq!(number(&path, "SELECT x FROM a"), 1);
    }

    #[test]
    fn a_file_made_by_other_steps_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wheelhouse.db");
        bring_up(&path, &[FIRST], 1).unwrap();
        let refused = bring_up(&path, &["CREATE TABLE b (z INTEGER)", SECOND], 2);
        assert!(
            matches!(&refused, Err(Failure::Damaged(what)) if what.contains("unlike this one")),
            "{refused:?}"
        );

        let foreign = directory.path().join("foreign.db");
        Connection::open(&foreign)
            .unwrap()
            .execute_batch("CREATE TABLE theirs (x)")
            .unwrap();
        let refused = bring_up(&foreign, &[FIRST], 1);
        assert!(
            matches!(&refused, Err(Failure::Damaged(what)) if what.contains("another program")),
            "{refused:?}"
        );
    }
}
