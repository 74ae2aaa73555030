//! Gathers from the store what a page shows, within limits, so that a page about a huge run stays a page.
//!
//! Called by commands; the pages of the command line and the documents of the other faces take what is gathered and read nothing.

use std::collections::BTreeSet;
use std::path::Path;

use wheelhouse_core::breaker::{Breaker, Subject};
use wheelhouse_core::ids::{RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::report::TaskSum;
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{AttemptView, QuestionView, Reader, RunState, RunView, TaskResult, TaskView};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_engine::worktree::{Overlap, overlaps_seen};

use super::document::answer::Answer;
use super::failure::Failure;
use super::moment::now;

/// How many runs the screen shows that are not finished.
const OPEN_RUNS_MAX: usize = 8;
/// How many finished runs the screen shows.
const FINISHED_RUNS_MAX: usize = 5;
/// How many runs are looked at.
const RUNS_MAX: u32 = 1_000;
/// How many tasks the screen shows of a run in each state, in this order.
const SCREEN_ROWS: [(&str, u32); 4] = [("running", 12), ("held", 8), ("ready", 3), ("waiting", 5)];
/// How many failed tasks the screen shows of a run.
const FAILED_ROWS_MAX: usize = 5;
/// In a run of more tasks than this the screen does not look for the failed ones; `status RUN` does.
const FAILED_SCAN_MAX: u64 = 2_000;
/// How many files that several tasks change the screen shows of a run.
const OVERLAPS_MAX: usize = 5;
/// How many tasks are read at a time.
const PAGE: u32 = 1_000;
/// How many tasks a report tells of in detail.
pub const REPORT_TASKS_MAX: usize = 300;

/// How long an output may be to stand in a report in place of its summary, in bytes.
const OUTPUT_MAX: u64 = 16 << 10;

/// What the status screen shows.
#[derive(Debug, Default)]
pub struct Screen {
    /// The runs that are not finished, newest first, or the one asked for.
    pub open: Vec<RunRows>,
    /// How many more of them there are.
    pub open_more: usize,
    /// The newest finished runs.
    pub finished: Vec<RunView>,
    /// How many more of them there are.
    pub finished_more: usize,
    /// Everything that waits for a person.
    pub questions: Vec<QuestionView>,
    /// Files that running tasks of one run change at the same time.
    pub overlaps: Vec<(RunId, Overlap)>,
    /// Whom nobody is to ask for a while, and until when.
    pub breakers: Vec<(Subject, Millis)>,
}

/// A run with the tasks worth a row.
#[derive(Debug)]
pub struct RunRows {
    /// The run.
    pub run: RunView,
    /// Its tasks: running, held, ready, waiting, failed.
    pub rows: Vec<TaskView>,
}

/// The screen over all runs. `state_dir` is where the engine notes what running tasks touch.
pub fn screen(reader: &mut dyn Reader, state_dir: &Path) -> Result<Screen, Failure> {
    let runs = reader.runs(RUNS_MAX)?;
    // A standing queue without anything to do is no news.
    let is_open = |run: &RunView| run.state != RunState::Finished && !(run.standing && run.counts.total() == 0);
    let (open, finished): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_open);
    let (open_total, finished_total) = (open.len(), finished.len());
    let open = open
        .into_iter()
        .take(OPEN_RUNS_MAX)
        .map(|run| run_rows(reader, run))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(Screen {
        overlaps: open.iter().flat_map(|rows| overlaps(rows, state_dir)).collect(),
        open_more: open_total - open.len(),
        open,
        finished: finished.into_iter().take(FINISHED_RUNS_MAX).collect(),
        finished_more: finished_total.saturating_sub(FINISHED_RUNS_MAX),
        questions: reader.open_questions()?,
        breakers: barred(reader, now())?,
    })
}

/// Whom nobody is to ask at that moment, and until when.
pub fn barred(reader: &mut dyn Reader, now: Millis) -> Result<Vec<(Subject, Millis)>, Failure> {
    let open = |(subject, breaker): (Subject, Breaker)| Some((subject, breaker.open_until(now)?));
    Ok(reader.breakers()?.into_iter().filter_map(open).collect())
}

/// The screen of one run.
pub fn screen_of(reader: &mut dyn Reader, run: RunView, state_dir: &Path) -> Result<Screen, Failure> {
    let questions = reader.open_questions()?;
    let rows = run_rows(reader, run)?;
    Ok(Screen {
        overlaps: overlaps(&rows, state_dir),
        questions: questions
            .into_iter()
            .filter(|question| question.run == rows.run.id)
            .collect(),
        open: vec![rows],
        open_more: 0,
        finished: Vec::new(),
        finished_more: 0,
        breakers: barred(reader, now())?,
    })
}

/// What the running tasks among these touch in common.
fn overlaps(rows: &RunRows, state_dir: &Path) -> Vec<(RunId, Overlap)> {
    let running = rows.rows.iter().filter(|task| task.state == TaskState::Running);
    let running: Vec<TaskKey> = running.map(|task| task.key.clone()).collect();
    let found = overlaps_seen(state_dir, rows.run.id, &running);
    let shown = found.into_iter().take(OVERLAPS_MAX);
    shown.map(|overlap| (rows.run.id, overlap)).collect()
}

fn run_rows(reader: &mut dyn Reader, run: RunView) -> Result<RunRows, Failure> {
    let mut rows = Vec::new();
    for (state, most) in SCREEN_ROWS {
        rows.extend(reader.tasks_in(run.id, state, most)?);
    }
    if run.counts.failed > 0 && run.counts.total() <= FAILED_SCAN_MAX {
        let done = reader.tasks_in(run.id, "done", u32::try_from(FAILED_SCAN_MAX).unwrap_or(u32::MAX))?;
        rows.extend(done.into_iter().filter(failed).take(FAILED_ROWS_MAX));
    }
    Ok(RunRows { run, rows })
}

/// Whether the task is done and its own work is what failed.
pub fn failed(task: &TaskView) -> bool {
    match &task.state {
        TaskState::Done { outcome } => {
            !outcome.is_success() && !matches!(outcome, Outcome::Skipped { .. } | Outcome::Cancelled)
        }
        TaskState::Waiting { .. } | TaskState::Ready | TaskState::Running | TaskState::Held(_) => false,
    }
}

/// Every task of a run, in the order of the plan.
pub fn tasks(reader: &mut dyn Reader, run: RunId) -> Result<Vec<TaskView>, Failure> {
    let mut all = Vec::new();
    loop {
        let page = reader.tasks(run, all.len() as u64, PAGE)?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// Everything about one run.
#[derive(Debug)]
pub struct Report {
    /// The run.
    pub run: RunView,
    /// All its tasks, without detail.
    pub tasks: Vec<TaskView>,
    /// The first of them ([`REPORT_TASKS_MAX`]), then the failed ones among the rest, with detail.
    pub details: Vec<Detail>,
    /// What the ledger holds of it; nothing in a [`Glance`].
    pub sums: Vec<TaskSum>,
    /// What waits for a person.
    pub questions: Vec<QuestionView>,
    /// When it was gathered.
    pub now: Millis,
}

/// Everything about one task.
#[derive(Debug)]
pub struct Detail {
    /// The task.
    pub task: TaskView,
    /// What it was told to do, in one line.
    pub work: String,
    /// Whether it is a command.
    pub is_command: bool,
    /// Why its agent was chosen, when that was not the plan's doing.
    pub routed: Option<String>,
    /// Its tries.
    pub attempts: Vec<AttemptView>,
    /// What it produced.
    pub result: Option<TaskResult>,
    /// Where that comes from.
    pub answer: Option<Answer>,
    /// Its whole output, when it ended well and is short enough for a report.
    pub output: Option<String>,
    /// The steps of a workflow, each with what it consumed.
    pub steps: Vec<(TaskView, Consumed)>,
    /// What its tries consumed, those of its steps included.
    pub consumed: Consumed,
}

/// What tries consumed together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consumed {
    /// Tokens.
    pub usage: Usage,
    /// Nano-dollars, without those nobody knows.
    pub known_nano: u64,
    /// How many tries have a cost nobody knows.
    pub unknown_attempts: u64,
}

impl Consumed {
    /// What these tries consumed.
    pub fn of(attempts: &[AttemptView]) -> Consumed {
        attempts.iter().fold(Consumed::default(), |sum, attempt| {
            let (known_nano, unknown_attempts) = match attempt.cost {
                Some(Cost::Actual(nano) | Cost::Priced(nano)) => (nano, 0),
                Some(Cost::Unknown) => (0, 1),
                Some(Cost::Included | Cost::Free) | None => (0, 0),
            };
            sum.plus(Consumed {
                usage: attempt.usage,
                known_nano,
                unknown_attempts,
            })
        })
    }

    fn plus(self, other: Consumed) -> Consumed {
        Consumed {
            usage: match self == Consumed::default() {
                true => other.usage,
                false => self.usage.plus(other.usage),
            },
            known_nano: self.known_nano.saturating_add(other.known_nano),
            unknown_attempts: self.unknown_attempts + other.unknown_attempts,
        }
    }
}

/// Gathers the report of a run.
pub fn report(reader: &mut dyn Reader, run: RunView, now: Millis) -> Result<Report, Failure> {
    let tasks = tasks(reader, run.id)?;
    let (first, rest) = tasks.split_at(tasks.len().min(REPORT_TASKS_MAX));
    let chosen = first
        .iter()
        .chain(rest.iter().filter(|task| failed(task)).take(REPORT_TASKS_MAX));
    let details = chosen
        .map(|task| detail(reader, task.clone()))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(Report {
        questions: questions_of(reader, run.id)?,
        sums: reader.ledger_of(run.id)?,
        run,
        tasks,
        details,
        now,
    })
}

/// A run as far as a screen shows it.
#[derive(Debug)]
pub struct Glance {
    /// The run, its first tasks (all of them where failed or skipped ones stand further down), and the detail of failed ones.
    pub report: Report,
    /// Those of the first whose result is rehearsed.
    pub rehearsed: BTreeSet<TaskId>,
}

/// Gathers what a screen with room for so many tasks shows of a run. The rest of a long run is not read where there is
/// nothing in it that wants attention.
pub fn glance(reader: &mut dyn Reader, run: RunView, rows: u32, now: Millis) -> Result<Glance, Failure> {
    let mut shown = reader.tasks(run.id, 0, rows)?;
    let mut rehearsed = BTreeSet::new();
    for task in &shown {
        let is_done = matches!(task.state, TaskState::Done { .. });
        if is_done && reader.result(task.id)?.is_some_and(|result| result.rehearsed) {
            rehearsed.insert(task.id);
        }
    }
    let wants_attention = |task: &&TaskView| {
        let is_skipped = matches!(
            &task.state,
            TaskState::Done {
                outcome: Outcome::Skipped { .. }
            }
        );
        is_skipped || failed(task)
    };
    if (shown.iter().filter(wants_attention).count() as u64) < run.counts.failed + run.counts.skipped {
        shown = tasks(reader, run.id)?;
    }
    let details = shown
        .iter()
        .filter(|task| failed(task))
        .take(REPORT_TASKS_MAX)
        .map(|task| detail(reader, task.clone()))
        .collect::<Result<Vec<_>, Failure>>()?;
    let report = Report {
        questions: questions_of(reader, run.id)?,
        // The screen has the sum of the run itself.
        sums: Vec::new(),
        run,
        tasks: shown,
        details,
        now,
    };
    Ok(Glance { report, rehearsed })
}

fn questions_of(reader: &mut dyn Reader, run: RunId) -> Result<Vec<QuestionView>, Failure> {
    let open = reader.open_questions()?;
    Ok(open.into_iter().filter(|question| question.run == run).collect())
}

/// Gathers everything about one task.
pub fn detail(reader: &mut dyn Reader, task: TaskView) -> Result<Detail, Failure> {
    let spec: Option<TaskSpec> = reader.spec(task.id)?;
    let routed = spec.as_ref().and_then(|spec| spec.routed.clone());
    let is_workflow = spec.as_ref().is_some_and(|spec| spec.flow.workflow.is_some());
    let (work, is_command) = match spec.map(|spec| spec.work) {
        Some(Work::Exec(command)) => (command, true),
        Some(Work::Prompt(prompt)) => (prompt, false),
        Some(Work::Turn(turn)) => (format!("message {} to {}", turn.message, turn.instance), false),
        None => (String::new(), false),
    };
    let result = reader.result(task.id)?;
    let output = match &result {
        Some(result) if !failed(&task) => short_output(reader, result)?,
        Some(_) | None => None,
    };
    let attempts = reader.attempts(task.id)?;
    let mut consumed = Consumed::of(&attempts);
    let mut steps = Vec::new();
    if is_workflow {
        for step in reader.children(task.id)? {
            let of_step = Consumed::of(&reader.attempts(step.id)?);
            consumed = consumed.plus(of_step);
            steps.push((step, of_step));
        }
    }
    Ok(Detail {
        answer: Answer::read(reader, &task)?,
        steps,
        consumed,
        attempts,
        result,
        output,
        task,
        work,
        is_command,
        routed,
    })
}

/// The output as text, when all of it was kept and it fits [`OUTPUT_MAX`].
fn short_output(reader: &mut dyn Reader, result: &TaskResult) -> Result<Option<String>, Failure> {
    let Some(output) = result.artifacts.iter().find(|artifact| artifact.name == "output") else {
        return Ok(None);
    };
    if output.bytes > OUTPUT_MAX || output.bytes_written > output.bytes {
        return Ok(None);
    }
    let bytes = reader.artifact(&output.hash)?;
    Ok(bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| !text.trim().is_empty()))
}
