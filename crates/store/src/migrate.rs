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
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("schema/0001_initial.sql")];

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
    let found = version(connection).map_err(sqlite)?;
    if found > known {
        return Err(Failure::TooNew { found, known });
    }
    if found == 0 && !is_empty(connection).map_err(sqlite)? {
        return Err(Failure::Damaged(format!("{} is a database of another program", path.display())));
    }
    check_applied(connection, path, &migrations[..found as usize])?;
    if found > 0 && found < known {
        back_up(path, found, now)?;
    }
    for target in found + 1..=known {
        step(connection, target, migrations[target as usize - 1], now).map_err(sqlite)?;
    }
    Ok(())
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
            return Err(damaged(format!("schema {version} was made by a program unlike this one")));
        }
    }
    Ok(())
}

fn checksum(sql: &str) -> String {
    blake3::hash(sql.as_bytes()).to_hex().to_string()
}

fn step(connection: &mut Connection, target: u32, sql: &str, now: Millis) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been here while we waited for the lock.
    if version(&transaction)? >= target {
        return Ok(());
    }
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
    transaction.pragma_update(None, "user_version", target)?;
    transaction.commit()
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
