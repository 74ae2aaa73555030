//! New runs and new tasks: checked as a whole, then inserted in the state they start in.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::budget::Scope;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{RunId, TaskId, TaskKey};
use wheelhouse_core::spec::{self, RunSpec, TaskSpec};
use wheelhouse_core::store::{Refused, Reply, RunState};

use crate::encode::{State, int};
use crate::failure::Answer;
use crate::money::Past;
use crate::rows::{CHILD, TURN, UNAPPROVED, WORKFLOW, WRITES};
use crate::shape;
use crate::statements as sql;
use crate::work::Work;

/// A need of a new task, found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Need {
    /// The so-manieth of the new tasks.
    New(usize),
    /// A task that was there before.
    There(u64),
}

/// New tasks that were found good: what each of them needs.
pub(crate) struct Checked {
    needs: Vec<Vec<Need>>,
}

impl Work<'_> {
    pub(crate) fn submit_run(&mut self, spec: &RunSpec, tasks: &[TaskSpec]) -> Answer<Reply> {
        let checked = self.check_new_tasks(None, tasks)?;
        let body = shape::run_text(spec)?;
        self.last.run += 1;
        let run = self.last.run;
        let (task_first, event_first) = (self.last.task + 1, self.last.event + 1);
        let now = int(self.now.0);
        self.execute(
            sql::RUN_ADD,
            params![
                int(run),
                spec.name,
                spec.source,
                spec.standing,
                now,
                int(task_first),
                int(event_first)
            ],
        )?;
        self.execute(sql::RUN_SPEC_ADD, params![int(run), body])?;
        let submitted = Happened::RunSubmitted {
            name: spec.name.clone(),
            tasks: tasks.len() as u64,
        };
        self.emit(run, None, &submitted)?;
        if let Some(limit) = spec.budget {
            self.limit(Scope::Run(RunId(run)), limit.cost_nano, Past::None)?;
        }
        let tasks = self.insert_tasks(run, tasks, &checked)?;
        self.touch(run);
        Ok(Reply::Submitted { run: RunId(run), tasks })
    }

    pub(crate) fn add_tasks(&mut self, run: RunId, tasks: &[TaskSpec]) -> Answer<Reply> {
        self.run_state(run)?;
        let checked = self.check_new_tasks(Some(run.0), tasks)?;
        let tasks = self.add_checked(run.0, tasks, &checked)?;
        Ok(Reply::Submitted { run, tasks })
    }

    /// Names used once, needs that exist, no circles. Changes nothing. `run` is absent for a run yet to be made.
    pub(crate) fn check_new_tasks(&mut self, run: Option<u64>, tasks: &[TaskSpec]) -> Answer<Checked> {
        let mut new: HashMap<&str, usize> = HashMap::with_capacity(tasks.len());
        for (place, task) in tasks.iter().enumerate() {
            let key = task.key.as_str();
            if self.task_of_key(run, key)?.is_some() || new.insert(key, place).is_some() {
                return Err(Refused::DuplicateKey(task.key.clone()).into());
            }
        }
        let mut needs = Vec::with_capacity(tasks.len());
        for task in tasks {
            let mut found = Vec::with_capacity(task.needs.len());
            let mut seen = HashSet::new();
            for key in &task.needs {
                let need = match new.get(key.as_str()) {
                    Some(place) => Need::New(*place),
                    None => match self.task_of_key(run, key.as_str())? {
                        Some(id) => Need::There(id),
                        None => {
                            return Err(Refused::DanglingNeed {
                                task: task.key.clone(),
                                needs: key.clone(),
                            }
                            .into());
                        }
                    },
                };
                if seen.insert(need) {
                    found.push(need);
                }
            }
            needs.push(found);
        }
        match in_a_circle(tasks, &needs) {
            None => Ok(Checked { needs }),
            Some(key) => Err(Refused::Illegal(format!("task `{key}` needs itself in a circle")).into()),
        }
    }

    fn task_of_key(&self, run: Option<u64>, key: &str) -> Answer<Option<u64>> {
        let Some(run) = run else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(sql::TASK_OF_KEY)?;
        Ok(statement
            .query_row(params![int(run), key], |row| row.get(0))
            .optional()?)
    }

    /// Adds tasks that [`Work::check_new_tasks`] found good.
    pub(crate) fn add_checked(&mut self, run: u64, tasks: &[TaskSpec], checked: &Checked) -> Answer<Vec<TaskId>> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        self.reopen(run)?;
        let added = tasks.len() as u64;
        self.emit(run, None, &Happened::TasksAdded { tasks: added })?;
        self.insert_tasks(run, tasks, checked)
    }

    /// Most new tasks either wait or are ready at once, and are inserted as such; what cannot be said of a task alone
    /// (a need that failed, a pause, an approval) is decided by [`Work::place`] afterwards.
    fn insert_tasks(&mut self, run: u64, specs: &[TaskSpec], checked: &Checked) -> Answer<Vec<TaskId>> {
        let first = self.last.task + 1;
        let id_of = |need: &Need| match need {
            Need::New(place) => first + *place as u64,
            Need::There(id) => *id,
        };
        self.last.task += specs.len() as u64;
        let active = self.run(run)?.state == RunState::Active;
        let mut blocked = false;
        let mut pending = vec![0_u32; specs.len()];
        let starts_ready = |spec: &TaskSpec, pending: u32| pending == 0 && active && !spec.approval;
        for (place, spec) in specs.iter().enumerate() {
            for need in &checked.needs[place] {
                let satisfied = match need {
                    Need::New(_) => false,
                    Need::There(id) => {
                        let parent = self.task(*id)?;
                        blocked |= parent.state == State::Done && !parent.satisfies();
                        parent.satisfies()
                    }
                };
                pending[place] += u32::from(!satisfied);
            }
            let ready = starts_ready(spec, pending[place]);
            let state = if ready { State::Ready } else { State::Waiting };
            let id = first + place as u64;
            self.insert_task(run, id, spec, state, pending[place])?;
            for need in &checked.needs[place] {
                self.execute(sql::DEP_ADD, [int(id_of(need)), int(id)])?;
            }
            self.run_mut(run)?.counts[state as usize] += 1;
        }
        self.run_mut(run)?.task_last = self.last.task;
        for (place, spec) in specs.iter().enumerate() {
            let id = first + place as u64;
            if starts_ready(spec, pending[place]) {
                self.emit(run, Some(id), &Happened::TaskReady)?;
            } else if blocked || pending[place] == 0 {
                let needs = checked.needs[place].iter().map(id_of).collect();
                self.place(&[(id, needs)])?;
            }
        }
        Ok((first..=self.last.task).map(TaskId).collect())
    }

    fn insert_task(&mut self, run: u64, id: u64, spec: &TaskSpec, state: State, pending: u32) -> Answer<()> {
        let agent = self.names.id(self.connection, spec.agent.as_str())?;
        let rank = -i64::from(spec.priority);
        let mut flags = 0;
        // A workflow writes nothing itself: its steps do.
        if !spec.files.is_empty() && spec.flow.workflow.is_none() {
            flags |= WRITES;
        }
        if spec.approval {
            flags |= UNAPPROVED;
        }
        if matches!(spec.work, spec::Work::Turn(_)) {
            flags |= TURN;
        }
        if spec.flow.parent.is_some() {
            flags |= CHILD;
        }
        if spec.flow.workflow.is_some() {
            flags |= WORKFLOW;
        }
        let body = shape::task_text(spec)?;
        self.execute(
            sql::TASK_ADD,
            params![int(id), int(run), state as i64, pending, rank, agent, flags],
        )?;
        self.execute(sql::SPEC_ADD, params![int(id), int(run), spec.key.as_str(), body])?;
        if state == State::Ready {
            self.execute(sql::READY_ADD, params![agent, rank, int(id)])?;
        }
        Ok(())
    }
}

/// Takes away what needs nothing until nothing is left; what stays is a circle, or behind one. The first key of it, by
/// name.
fn in_a_circle<'t>(tasks: &'t [TaskSpec], needs: &[Vec<Need>]) -> Option<&'t TaskKey> {
    let ordered = needs.iter().enumerate().all(|(place, needs)| {
        needs.iter().all(|need| match need {
            Need::New(other) => *other < place,
            Need::There(_) => true,
        })
    });
    if ordered {
        return None;
    }
    let mut missing = vec![0_usize; tasks.len()];
    let mut dependants = vec![Vec::new(); tasks.len()];
    for (place, needs) in needs.iter().enumerate() {
        for need in needs {
            if let Need::New(other) = need {
                missing[place] += 1;
                dependants[*other].push(place);
            }
        }
    }
    let mut free: Vec<usize> = (0..tasks.len()).filter(|place| missing[*place] == 0).collect();
    let mut left = tasks.len();
    while let Some(place) = free.pop() {
        left -= 1;
        for child in std::mem::take(&mut dependants[place]) {
            missing[child] -= 1;
            if missing[child] == 0 {
                free.push(child);
            }
        }
    }
    if left == 0 {
        return None;
    }
    let stuck = (0..tasks.len()).filter(|place| missing[*place] > 0);
    stuck.map(|place| &tasks[place].key).min()
}
