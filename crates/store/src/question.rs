//! Questions of running tries, answers, and what they do to the task that waits for them; words for running tries.

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Lease, QuestionId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{NOT_STEERED, QuestionKind, Resolution};
use wheelhouse_core::store::{Letter, Mail, Refused, Reply};
use wheelhouse_core::task::TaskEvent;

use crate::encode::{self, Reason, State, int};
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
        let letter = answer.clone();
        self.emit_task(task, &Happened::QuestionAnswered { question, answer })?;
        let of_a_running_try: bool = self
            .connection
            .prepare_cached(sql::QUESTION_HAS_REQUEST)?
            .query_row([int(question.0)], |row| row.get(0))?;
        if of_a_running_try {
            self.execute(sql::MAIL_ADD, params![int(task), int(question.0), letter])?;
            return Ok(Reply::Done);
        }
        match resolution {
            Resolution::Deliver => {}
            Resolution::Proceed => self.proceed(task)?,
            Resolution::GiveUp => self.give_up(task, false)?,
            Resolution::ContinueWithout => self.give_up(task, true)?,
        }
        Ok(Reply::Done)
    }

    pub(crate) fn ask_running(&mut self, lease: Lease, kind: QuestionKind, request: &str, text: &str) -> Answer<Reply> {
        let row = self.leased(lease)?;
        let question = self.ask(row.task, kind, text.to_owned())?;
        self.execute(sql::QUESTION_REQUEST, params![int(question.0), request])?;
        self.execute(sql::LEASE_MAIL, [int(row.task)])?;
        Ok(Reply::Asked { question })
    }

    pub(crate) fn steer(&mut self, task: TaskId, words: &str) -> Answer<Reply> {
        let row = self.find_named(task)?;
        let (id, state) = (row.id, row.state);
        if state != State::Running {
            return Err(Refused::Illegal(NOT_STEERED.to_owned()).into());
        }
        let nobody: Option<i64> = None;
        self.execute(sql::MAIL_ADD, params![int(id), nobody, words])?;
        self.execute(sql::LEASE_MAIL, [int(id)])?;
        let words = words.to_owned();
        self.emit_task(id, &Happened::TaskSteered { words })?;
        Ok(Reply::Done)
    }

    /// Hands out what a running try is to be told, once.
    pub(crate) fn fetch_mail(&mut self, task: TaskId, mail: &mut Vec<Mail>) -> Answer<()> {
        let mut statement = self.connection.prepare_cached(sql::MAIL)?;
        let mut rows = statement.query([int(task.0)])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            let kind: Option<i64> = row.get(1)?;
            let request: Option<String> = row.get(2)?;
            let letter = match kind.zip(request) {
                Some((kind, request)) => Letter::Answer {
                    kind: encode::question_kind(kind)?,
                    request,
                    answer: text,
                },
                None => Letter::Words(text),
            };
            mail.push(Mail { task, letter });
        }
        drop(rows);
        drop(statement);
        self.execute(sql::MAIL_REMOVE, [int(task.0)])?;
        Ok(())
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
        let asked = matches!(row.held, Some(Reason::Question | Reason::MergeConflict));
        let number = row.attempt;
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
