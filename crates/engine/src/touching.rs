//! What the isolated tasks that run now have touched, seen while they run: two that change the same files are told of,
//! in the history and in `status`, before the second is merged and conflicts.
//!
//! Called by [`crate::attempt`] around the work of an agent. Looking is git's own `status` in the tree, which an agent
//! does not notice; it never takes more than a twentieth of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::store::Claimed;

use crate::attempt::report;
use crate::dispatch::Input;
use crate::isolate::tree_key;
use crate::prepare::World;
use crate::supervise;
use crate::worktree::Workplace;

/// The kind of report in the history.
const OVERLAP: &str = "overlap";
/// When a tree is looked at first; the time between looks doubles from it.
const LOOK_FIRST: Duration = Duration::from_secs(1);
/// The longest time between two looks, unless looking itself takes long.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// A look is followed by so many times its own duration without one.
const LOOK_SHARE: u32 = 20;
/// How many files are named in one report.
const NAMED_MAX: usize = 10;

/// What is known of the tasks that run, and of those that ended while another ran.
#[derive(Default)]
pub(crate) struct Touching {
    runs: Mutex<BTreeMap<RunId, BTreeMap<TaskKey, Touched>>>,
}

struct Touched {
    paths: BTreeSet<String>,
    began: Instant,
    ended: Option<Instant>,
    /// The files and tasks that were told of.
    told: BTreeSet<(String, TaskKey)>,
}

impl Touching {
    fn begin(&self, run: RunId, key: &TaskKey) {
        let touched = Touched {
            paths: BTreeSet::new(),
            began: Instant::now(),
            ended: None,
            told: BTreeSet::new(),
        };
        self.runs().entry(run).or_default().insert(key.clone(), touched);
    }

    /// Takes what a task has touched up to now; gives back what of it others touch too and nobody was told yet.
    fn see(&self, run: RunId, key: &TaskKey, paths: &BTreeSet<String>) -> BTreeMap<TaskKey, Vec<String>> {
        let mut runs = self.runs();
        let Some(tasks) = runs.get_mut(&run) else {
            return BTreeMap::new();
        };
        let Some(began) = tasks.get(key).map(|own| own.began) else {
            return BTreeMap::new();
        };
        let mut shared: BTreeSet<(String, TaskKey)> = BTreeSet::new();
        for (other, theirs) in tasks.iter() {
            // What had ended before this one began is a part of what it started from, or never will be.
            if other != key && theirs.ended.is_none_or(|ended| ended > began) {
                shared.extend(
                    theirs
                        .paths
                        .intersection(paths)
                        .map(|path| (path.clone(), other.clone())),
                );
            }
        }
        let mut news: BTreeMap<TaskKey, Vec<String>> = BTreeMap::new();
        if let Some(own) = tasks.get_mut(key) {
            own.paths.clone_from(paths);
            for (path, other) in shared {
                if own.told.insert((path.clone(), other.clone())) {
                    news.entry(other).or_default().push(path);
                }
            }
        }
        news
    }

    /// The tasks that are still at work on files of this one.
    fn at_work_on(&self, run: RunId, key: &TaskKey) -> BTreeMap<TaskKey, Vec<String>> {
        let runs = self.runs();
        let Some((tasks, own)) = runs.get(&run).and_then(|tasks| Some((tasks, tasks.get(key)?))) else {
            return BTreeMap::new();
        };
        let others = tasks
            .iter()
            .filter(|(other, theirs)| *other != key && theirs.ended.is_none());
        let shared = others.map(|(other, theirs)| {
            let paths = theirs.paths.intersection(&own.paths).cloned().collect::<Vec<_>>();
            (other.clone(), paths)
        });
        shared.filter(|(_, paths)| !paths.is_empty()).collect()
    }

    fn end(&self, run: RunId, key: &TaskKey) {
        let mut runs = self.runs();
        let Some(tasks) = runs.get_mut(&run) else { return };
        if let Some(own) = tasks.get_mut(key) {
            own.ended = Some(Instant::now());
        }
        if tasks.values().all(|task| task.ended.is_some()) {
            runs.remove(&run);
        }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, BTreeMap<TaskKey, Touched>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that is looked at until this is dropped.
pub(crate) struct Watched {
    world: Arc<World>,
    workplace: Arc<Workplace>,
    claimed: Arc<Claimed>,
    inputs: mpsc::Sender<Input>,
}

impl Watched {
    pub(crate) fn begin(
        world: &Arc<World>,
        workplace: Arc<Workplace>,
        claimed: &Arc<Claimed>,
        inputs: &mpsc::Sender<Input>,
    ) -> Watched {
        world.touching.begin(claimed.run, &tree_key(claimed));
        Watched {
            world: Arc::clone(world),
            workplace,
            claimed: Arc::clone(claimed),
            inputs: inputs.clone(),
        }
    }

    /// Does the work and looks at its tree beside it.
    pub(crate) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.keep_looking() => match never {},
        }
    }

    async fn keep_looking(&self) -> std::convert::Infallible {
        let mut pause = LOOK_FIRST;
        loop {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            self.look().await;
            pause = (pause * 2).min(LOOK_MAX).max(began.elapsed() * LOOK_SHARE);
        }
    }

    /// Looks once, and tells what is new. A tree that cannot be looked at now is looked at later.
    pub(crate) async fn look(&self) {
        let (workplace, run, key) = (Arc::clone(&self.workplace), self.claimed.run, tree_key(&self.claimed));
        let seen = supervise::blocking(move || {
            let touched = workplace.touched(run, &key)?;
            workplace.note_touched(run, &key, &touched)?;
            Ok::<_, crate::worktree::Error>(touched)
        })
        .await;
        let Ok(Ok(touched)) = seen else { return };
        for (other, paths) in self.world.touching.see(run, &tree_key(&self.claimed), &touched) {
            let text = format!("{} changed by `{other}` too: {}", are(&paths), named(&paths));
            report(&self.inputs, self.claimed.lease, OVERLAP, text).await;
        }
    }

    /// The last look, before the work is merged: who is still at work on the same files will have to take it in.
    pub(crate) async fn before_the_merge(&self) {
        self.look().await;
        for (other, paths) in self
            .world
            .touching
            .at_work_on(self.claimed.run, &tree_key(&self.claimed))
        {
            let text = format!(
                "it is merged while `{other}` is at work on the same files: {}",
                named(&paths)
            );
            report(&self.inputs, self.claimed.lease, OVERLAP, text).await;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.world.touching.end(self.claimed.run, &tree_key(&self.claimed));
    }
}

fn are(paths: &[String]) -> &'static str {
    match paths {
        [_] => "is",
        _ => "are",
    }
}

fn named(paths: &[String]) -> String {
    let mut text = paths.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", paths.len() - NAMED_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(1);

    fn paths(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_overlap_is_told_once_to_each_and_not_of_what_came_before() {
        let touching = Touching::default();
        let (a, b, c) = (TaskKey::from("a"), TaskKey::from("b"), TaskKey::from("c"));
        touching.begin(RUN, &a);
        touching.begin(RUN, &b);
        assert!(touching.see(RUN, &a, &paths(&["x", "y"])).is_empty());
        let news = touching.see(RUN, &b, &paths(&["y", "z"]));
        assert_eq!(news, BTreeMap::from([(a.clone(), vec!["y".to_owned()])]));
        assert!(touching.see(RUN, &b, &paths(&["y", "z"])).is_empty(), "told once");
        assert_eq!(touching.see(RUN, &a, &paths(&["x", "y"])).len(), 1, "and to the other");
        assert_eq!(touching.at_work_on(RUN, &a).len(), 1);

        tokio::time::advance(Duration::from_secs(1)).await;
        touching.end(RUN, &a);
        assert!(touching.at_work_on(RUN, &b).is_empty(), "`a` is not at work any more");
        tokio::time::advance(Duration::from_secs(1)).await;
        touching.begin(RUN, &c);
        let news = touching.see(RUN, &c, &paths(&["x", "z"]));
        assert!(news.into_keys().eq([b.clone()]), "`a` had ended before");
        touching.end(RUN, &b);
        touching.end(RUN, &c);
        assert!(
            touching.runs().is_empty(),
            "nothing is kept of a run without tasks at work"
        );
    }
}
