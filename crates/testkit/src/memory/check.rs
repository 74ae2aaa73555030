//! The model counts itself again, from its tasks alone; tests ask for it after random traces.

use wheelhouse_core::store::{Counts, Fault, RunState};
use wheelhouse_core::task::{Held, TaskState};

use super::world::{World, counter};

impl World {
    /// Counts everything again. The rules are those that a task's state alone must obey; [`super::MemoryStore::check`].
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |rule: &str, detail: String| {
            faults.push(Fault {
                rule: rule.to_owned(),
                detail,
            });
        };
        for (id, run) in &self.runs {
            let mut counts = Counts::default();
            for task in &run.tasks {
                *counter(&mut counts, &self.task(*task).state) += 1;
            }
            if counts != run.counts {
                fault("counts equal a recount", format!("{id}: {:?}, {counts:?}", run.counts));
            }
            let finished = run.state == RunState::Finished;
            if finished != run.finished_at.is_some() || (!run.spec.standing && finished != (counts.open() == 0)) {
                fault("a run is finished when all is done", format!("{id}: {counts:?}"));
            }
        }
        for (id, task) in &self.tasks {
            let paused = self.runs[&task.run].state != RunState::Active;
            let wrong = match &task.state {
                TaskState::Waiting { pending } if task.awaits => {
                    *pending == 0 || *pending as usize > self.open_children(*id).len()
                }
                TaskState::Waiting { pending } => {
                    *pending == 0
                        || *pending != self.missing(*id)
                        || task.needs.iter().any(|need| self.task(*need).blocks_as().is_some())
                }
                TaskState::Ready => paused || (task.spec.approval && !task.approved),
                TaskState::Running => !self.running.contains(id),
                TaskState::Held(Held::Paused) => !paused,
                TaskState::Held(Held::Approval { question }) => !self.questions.contains_key(question),
                TaskState::Held(Held::Conflict { .. }) => {
                    task.conflict_with.is_none_or(|with| !self.running.contains(&with))
                }
                TaskState::Held(held) => held.until().is_some_and(|until| !self.wakes.contains(&(until, *id))),
                TaskState::Done { .. } => task.done_at.is_none() || task.cancel_requested,
            };
            if wrong {
                fault("a state has what it needs", format!("{id} {:?}", task.state));
            }
        }
        faults
    }
}
