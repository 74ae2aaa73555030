//! Wishes under a key of their caller's: applied once, answered as often as they are repeated.

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::store::{Command, Refused, Reply};

use crate::encode::int;
use crate::failure::Answer;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    pub(crate) fn once(&mut self, key: &str, digest: &str, command: &Command) -> Answer<Reply> {
        let first = self
            .connection
            .prepare_cached(sql::ONCE)?
            .query_row([key], |row| {
                let digest: String = row.get(0)?;
                let run: Option<u64> = row.get(1)?;
                let tasks: Option<String> = row.get(2)?;
                Ok((digest, run, tasks))
            })
            .optional()?;
        if let Some((used_for, run, tasks)) = first {
            if used_for != digest {
                return Err(Refused::KeyReused(key.to_owned()).into());
            }
            return Ok(answer(run, tasks.as_deref()));
        }
        let reply = self.apply(command)?;
        let (run, tasks) = match &reply {
            Reply::Submitted { run, tasks } => {
                let tasks: Vec<String> = tasks.iter().map(|task| task.0.to_string()).collect();
                (Some(int(run.0)), Some(tasks.join(" ")))
            }
            Reply::Done => (None, None),
            // No caller with a key asks for what is answered otherwise.
            _ => return Ok(reply),
        };
        let now = int(self.now.0);
        self.execute(sql::ONCE_SET, params![key, digest, now, run, tasks])?;
        Ok(reply)
    }
}

fn answer(run: Option<u64>, tasks: Option<&str>) -> Reply {
    match run {
        None => Reply::Done,
        Some(run) => Reply::Submitted {
            run: RunId(run),
            tasks: tasks
                .unwrap_or_default()
                .split(' ')
                .filter_map(|task| task.parse().ok())
                .map(TaskId)
                .collect(),
        },
    }
}
