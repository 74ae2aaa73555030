//! New runs and new tasks.

use std::collections::{BTreeMap, HashMap, HashSet};

use wheelhouse_core::budget::Scope;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{RunId, TaskId, TaskKey};
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{Counts, Refused, Reply, RunState};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;

use super::world::{Run, Task, World};

impl World {
    pub(super) fn submit_run(&mut self, spec: &RunSpec, tasks: &[TaskSpec]) -> Result<Reply, Refused> {
        check_tasks(&HashMap::new(), tasks)?;
        let run = self.new_run_id();
        let submitted_at = self.now;
        self.runs.insert(
            run,
            Run {
                spec: spec.clone(),
                state: RunState::Active,
                submitted_at,
                finished_at: None,
                counts: Counts::default(),
                tasks: Vec::new(),
                keys: HashMap::new(),
                usage: None,
                cost_nano: 0,
                cost_unknown: 0,
            },
        );
        let submitted = Happened::RunSubmitted {
            name: spec.name.clone(),
            tasks: tasks.len() as u64,
        };
        self.emit(run, None, submitted);
        if let Some(limit) = spec.budget {
            self.limit(Scope::Run(run), limit.cost_nano);
        }
        let tasks = self.insert_tasks(run, tasks);
        self.touch(run);
        Ok(Reply::Submitted { run, tasks })
    }

    pub(super) fn add_tasks(&mut self, run: RunId, tasks: &[TaskSpec]) -> Result<Reply, Refused> {
        self.check_new_tasks(run, tasks)?;
        Ok(Reply::Submitted {
            run,
            tasks: self.add_checked(run, tasks),
        })
    }

    pub(super) fn check_new_tasks(&self, run: RunId, tasks: &[TaskSpec]) -> Result<(), Refused> {
        let known = &self.runs.get(&run).ok_or(Refused::NoSuchRun(run))?.keys;
        check_tasks(known, tasks)
    }

    /// Adds tasks that [`World::check_new_tasks`] found good.
    pub(super) fn add_checked(&mut self, run: RunId, tasks: &[TaskSpec]) -> Vec<TaskId> {
        if tasks.is_empty() {
            return Vec::new();
        }
        self.reopen(run);
        let added = tasks.len() as u64;
        self.emit(run, None, Happened::TasksAdded { tasks: added });
        self.insert_tasks(run, tasks)
    }

    fn insert_tasks(&mut self, run: RunId, specs: &[TaskSpec]) -> Vec<TaskId> {
        let ids: Vec<TaskId> = specs.iter().map(|_| self.new_task_id()).collect();
        let entry = self.run_mut(run);
        entry.tasks.extend(&ids);
        for (id, spec) in ids.iter().zip(specs) {
            entry.keys.insert(spec.key.clone(), *id);
        }
        for (id, spec) in ids.iter().zip(specs) {
            let mut needs: Vec<TaskId> = Vec::with_capacity(spec.needs.len());
            for need in &spec.needs {
                let need = self.runs[&run].keys[need];
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
            self.tasks.insert(*id, new_task(run, spec, needs));
        }
        for id in &ids {
            for need in self.task(*id).needs.clone() {
                self.task_mut(need).dependants.insert(*id);
            }
            let pending = self.missing(*id);
            self.task_mut(*id).state = TaskState::Waiting { pending };
            self.enter_state(*id);
        }
        self.place(&ids);
        ids
    }
}

fn new_task(run: RunId, spec: &TaskSpec, needs: Vec<TaskId>) -> Task {
    Task {
        run,
        spec: spec.clone(),
        state: TaskState::Waiting { pending: 0 },
        agent: spec.agent.clone(),
        needs,
        dependants: Default::default(),
        attempts: Vec::new(),
        next_is_new: true,
        on_agent: 0,
        link: 0,
        since: None,
        asks: None,
        barred_by: None,
        fence: 0,
        owner: None,
        lease_until: Millis(0),
        cancel_requested: false,
        interrupt_requested: false,
        mail: Vec::new(),
        approved: false,
        continues: false,
        awaits: false,
        conflict_with: None,
        refers_to: Default::default(),
        started_at: None,
        done_at: None,
    }
}

/// Names used once, needs that exist, no circles.
fn check_tasks(known: &HashMap<TaskKey, TaskId>, tasks: &[TaskSpec]) -> Result<(), Refused> {
    let mut new = HashSet::new();
    for task in tasks {
        if known.contains_key(&task.key) || !new.insert(&task.key) {
            return Err(Refused::DuplicateKey(task.key.clone()));
        }
    }
    for task in tasks {
        for need in &task.needs {
            if !known.contains_key(need) && !new.contains(need) {
                return Err(Refused::DanglingNeed {
                    task: task.key.clone(),
                    needs: need.clone(),
                });
            }
        }
    }
    check_circles(&new, tasks)
}

/// Takes away what needs nothing until nothing is left; what stays is a circle, or behind one.
fn check_circles(new: &HashSet<&TaskKey>, tasks: &[TaskSpec]) -> Result<(), Refused> {
    let mut missing: BTreeMap<&TaskKey, usize> = BTreeMap::new();
    let mut dependants: HashMap<&TaskKey, Vec<&TaskKey>> = HashMap::new();
    for task in tasks {
        let needs: HashSet<&TaskKey> = task.needs.iter().filter(|need| new.contains(need)).collect();
        missing.insert(&task.key, needs.len());
        for need in needs {
            dependants.entry(need).or_default().push(&task.key);
        }
    }
    let mut free: Vec<&TaskKey> = missing.iter().filter(|(_, n)| **n == 0).map(|(key, _)| *key).collect();
    while let Some(key) = free.pop() {
        missing.remove(key);
        for child in dependants.remove(key).unwrap_or_default() {
            if let Some(count) = missing.get_mut(child) {
                *count -= 1;
                if *count == 0 {
                    free.push(child);
                }
            }
        }
    }
    match missing.keys().next() {
        None => Ok(()),
        Some(key) => Err(Refused::Illegal(format!("task `{key}` needs itself in a circle"))),
    }
}
