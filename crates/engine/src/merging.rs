//! The merge queue of a running engine. Tasks whose work is done wait here for their turn; what waits together is merged
//! and checked together, and halved when the check fails, so that twenty tasks cost one check when all is well.
//!
//! Called by [`crate::isolate`] at the end of a try. The merging itself is [`crate::worktree`]'s. One thread works off
//! the line of a run while there is one; it is started by whoever finds the line unattended.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wheelhouse_core::agent::{Assignment, Ended};
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Merge;
use wheelhouse_core::store::Claimed;

use crate::attempt::failed;
use crate::prepare::World;
use crate::worktree::{Landing, Workplace};
use crate::{supervise, verify};

/// How many tasks one batch takes: enough that a queue drains, few enough that halving a failed one stays short.
const BATCH_MAX: usize = 32;

/// The lines of all runs.
#[derive(Default)]
pub(crate) struct Queue {
    lines: Mutex<HashMap<RunId, Vec<Waiting>>>,
}

/// A task that waits for its turn.
struct Waiting {
    claimed: Arc<Claimed>,
    at: Assignment,
    answer: oneshot::Sender<Result<Landing, Box<Ended>>>,
}

impl Queue {
    /// Puts a task in the line of its run. Says whether nobody works that line off.
    fn join(&self, run: RunId, waiting: Waiting) -> bool {
        let mut lines = self.lines();
        let unattended = !lines.contains_key(&run);
        lines.entry(run).or_default().push(waiting);
        unattended
    }

    /// The next batch. An empty one: the line is at its end and unattended again.
    fn next(&self, run: RunId) -> Vec<Waiting> {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&run) else {
            return Vec::new();
        };
        let batch: Vec<Waiting> = line.drain(..line.len().min(BATCH_MAX)).collect();
        if batch.is_empty() {
            lines.remove(&run);
        }
        batch
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<RunId, Vec<Waiting>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a task's branch merged in its turn, and says what became of it.
pub(crate) async fn merge(
    world: &Arc<World>,
    workplace: Arc<Workplace>,
    claimed: &Arc<Claimed>,
    at: &Assignment,
) -> Result<Landing, Box<Ended>> {
    let run = claimed.run;
    let (answer, landed) = oneshot::channel();
    let waiting = Waiting {
        claimed: Arc::clone(claimed),
        at: at.clone(),
        answer,
    };
    if world.merging.join(run, waiting) {
        let (world, runtime) = (Arc::clone(world), Handle::current());
        supervise::merger(move || work_off(&world, &workplace, run, &runtime));
    }
    let fell = || Err(failed(Outcome::Crashed, "the merge queue failed inside".to_owned()));
    landed.await.unwrap_or_else(|_| fell())
}

fn work_off(world: &World, workplace: &Workplace, run: RunId, runtime: &Handle) {
    let _attended = Attended { world, run };
    loop {
        let batch = world.merging.next(run);
        if batch.is_empty() {
            return;
        }
        let keys: Vec<TaskKey> = batch.iter().map(|one| one.claimed.spec.key.clone()).collect();
        let verify = |path: &Path, new: &[TaskKey]| check(world, &batch, runtime, path, new);
        let landings = match workplace.merge_batch(run, &keys, &verify) {
            Ok(landings) => landings.into_iter().map(Ok).collect(),
            Err(error) if batch.len() == 1 => vec![Err(error)],
            // One that cannot be looked at must not hold up the others.
            Err(_) => keys.iter().map(|key| alone(workplace, run, key, &verify)).collect(),
        };
        for (one, landing) in batch.into_iter().zip(landings) {
            // Nobody waits any more when the engine is at its end.
            let _ = one
                .answer
                .send(landing.map_err(|error| failed(Outcome::Unavailable, error.to_string())));
        }
    }
}

fn alone(
    workplace: &Workplace,
    run: RunId,
    key: &TaskKey,
    verify: crate::worktree::Verify<'_>,
) -> Result<Landing, crate::worktree::Error> {
    let landings = workplace.merge_batch(run, std::slice::from_ref(key), verify)?;
    Ok(landings.into_iter().next().unwrap_or(Landing::NothingToMerge))
}

/// Runs the checks of the tasks that came in, each command once, up to the first that fails.
fn check(world: &World, batch: &[Waiting], runtime: &Handle, path: &Path, new: &[TaskKey]) -> Result<(), String> {
    let mut done = Vec::new();
    for Waiting { claimed, at, .. } in batch {
        let spec = &claimed.spec;
        if spec.merge != Merge::Queue || !new.contains(&spec.key) {
            continue;
        }
        let at = Assignment {
            cwd: path.to_owned(),
            ..at.clone()
        };
        let wall = Duration::from_millis(spec.timeout_ms);
        for command in &spec.verify {
            let known = (command, &spec.env);
            if done.contains(&known) {
                continue;
            }
            done.push(known);
            let checks = runtime.block_on(verify::checks(world, &at, std::slice::from_ref(command), wall))?;
            if let Some(check) = checks.iter().find(|check| !check.passed()) {
                return Err(format!("`{}` failed: {}", check.command, check.tail));
            }
        }
    }
    Ok(())
}

/// Leaves the line unattended and its tasks answered, also when the thread that worked it off fell.
struct Attended<'a> {
    world: &'a World,
    run: RunId,
}

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.world.merging.lines().remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_attended_until_it_is_empty() {
        let queue = Queue::default();
        assert!(queue.next(RunId(1)).is_empty());
        assert!(!queue.lines().contains_key(&RunId(1)), "asking attends to nothing");
    }
}
