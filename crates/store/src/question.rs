//! Answers, and what they do to the task that waits for them.

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::QuestionId;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::Resolution;
use wheelhouse_core::store::{Refused, Reply};
use wheelhouse_core::task::TaskEvent;

use crate::encode::{self, Reason, int};
use crate::failure::Answer;
use crate::rows::{REPEATS, UNAPPROVED};
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    pub(crate) fn answer(&mut self, question: QuestionId, answer: &str, resolution: Resolution) -> Answer<Reply> {
        let task: Option<u64> = self
            .connection
            .prepare_cached(sql::QUESTION_OPEN)?
            .query_row([int(question.0)], |row| row.get(0))
            .optional()?;
        let Some(task) = task else {
            return Err(Refused::NoSuchQuestion(question).into());
        };
        self.execute(sql::QUESTION_ANSWERED, params![int(question.0), answer])?;
        let answer = answer.to_owned();
        self.emit_task(task, &Happened::QuestionAnswered { question, answer })?;
        match resolution {
            Resolution::Deliver => {}
            Resolution::Proceed => self.proceed(task)?,
            Resolution::GiveUp => self.give_up(task, false)?,
            Resolution::ContinueWithout => self.give_up(task, true)?,
        }
        Ok(Reply::Done)
    }

    /// An open question always has its task held on it: it ends with its task.
    fn proceed(&mut self, id: u64) -> Answer<()> {
        let row = self.task_mut(id)?;
        if row.held == Some(Reason::Approval) {
            row.put(UNAPPROVED, false);
        } else {
            row.on_agent = 0;
            row.put(REPEATS, false);
        }
        self.release(id)
    }

    fn give_up(&mut self, id: u64, continues: bool) -> Answer<()> {
        let row = self.task(id)?;
        let (asked, number) = (row.held == Some(Reason::Question), row.attempt);
        let last = if asked { self.last_outcome(id, number)? } else { None };
        let outcome = last.unwrap_or(Outcome::Cancelled);
        self.end(id, TaskEvent::Settled { outcome }, continues)
    }

    fn last_outcome(&self, id: u64, number: u32) -> Answer<Option<Outcome>> {
        let mut statement = self.connection.prepare_cached(sql::ATTEMPT_OUTCOME)?;
        let mut rows = statement.query(params![int(id), number])?;
        match rows.next()? {
            Some(row) => Ok(Some(encode::outcome(row.get(0)?, row.get(1)?)?)),
            None => Ok(None),
        }
    }
}
