//! Isolated tasks: a tree before the try, the list of what really changed and the merge after it.
//!
//! Called by [`crate::attempt`]. The work itself is done by [`crate::worktree`] on blocking threads; here it becomes
//! part of a try, and what it finds becomes the try's outcome.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use wheelhouse_core::agent::{Assignment, Ended};
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{Isolation, Merge, Work};
use wheelhouse_core::store::Claimed;
use wheelhouse_core::time::Millis;

use crate::attempt::{failed, judge};
use crate::dispatch::Input;
use crate::prepare::{World, bounded};
use crate::touching::Watched;
use crate::worktree::{self, Conflict, Landing, Options, Origin, Rules, Tree, Workplace, violations};
use crate::{fault, merging, supervise, verify, workflow};

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// How the words about a conflict begin.
const DOES_NOT_MERGE: &str = "its work does not merge";
/// How much of a conflict is told with the outcome, in bytes; both sides are on their branches.
const CONFLICT_TOLD_MAX: usize = 4_000;

/// Whether the task works in a tree of its own.
pub(crate) fn is_isolated(claimed: &Claimed) -> bool {
    match claimed.spec.isolation {
        Isolation::None => false,
        Isolation::Worktree => true,
    }
}

/// Whose tree it is: a task has its own, an instance one for all its turns.
pub(crate) fn tree_key(claimed: &Claimed) -> TaskKey {
    match &claimed.spec.work {
        Work::Turn(turn) => turn.instance.tree_key(),
        Work::Exec(_) | Work::Prompt(_) => claimed.spec.key.clone(),
    }
}

/// Whether trees are copies here, because the project is in no repository.
pub(crate) async fn is_outside_git(world: &World) -> Result<bool, Box<Ended>> {
    let workplace = workplace(world).await?;
    Ok(matches!(*workplace, Workplace::Copies(_)))
}

/// The task's tree, made or found again, and set up.
pub(crate) async fn enter(world: &World, claimed: &Claimed) -> Result<Tree, Box<Ended>> {
    let workplace = workplace(world).await?;
    let (run, key, attempt) = (claimed.run, tree_key(claimed), claimed.attempt);
    let needs = workflow::trees(world, claimed).await?;
    blocking(move || {
        let tree = workplace.create(run, &key, attempt, &needs)?;
        workplace.room(run, &key)?;
        Ok(tree)
    })
    .await
}

/// Says of a failure that the disk under its tree is full: no agent's words say it as plainly, if they say it at all.
pub(crate) async fn tell_of_a_full_disk(world: &World, claimed: &Claimed, ended: &mut Ended) {
    if ended.outcome.is_success() || !is_isolated(claimed) {
        return;
    }
    let Ok(workplace) = workplace(world).await else { return };
    let (run, key) = (claimed.run, tree_key(claimed));
    if let Err(full) = blocking(move || workplace.room(run, &key)).await
        && ended.detail != full.detail
    {
        ended.detail = match ended.detail.as_str() {
            "" => full.detail,
            detail => format!("{detail}; {}", full.detail),
        };
    }
}

/// Runs the set-up commands of a new tree, in it.
pub(crate) async fn set_up(world: &World, claimed: &Claimed, tree: &Tree, at: &Assignment) -> Result<(), Box<Ended>> {
    if tree.setup.is_empty() {
        return Ok(());
    }
    let wall = Duration::from_millis(claimed.spec.timeout_ms);
    let unavailable = |why: String| failed(Outcome::Unavailable, format!("the tree could not be set up: {why}"));
    let checks = verify::checks(world, at, &tree.setup, wall)
        .await
        .map_err(unavailable)?;
    if let Some(check) = checks.iter().find(|check| !check.passed()) {
        return Err(unavailable(format!("`{}` failed: {}", check.command, check.tail)));
    }
    let workplace = workplace(world).await?;
    let (run, key) = (claimed.run, tree_key(claimed));
    blocking(move || workplace.mark_set_up(run, &key)).await
}

/// Commits what the try left, whatever its outcome, and says what changed. A success that broke its rules is none.
pub(crate) async fn leave(world: &World, claimed: &Claimed, ended: &mut Ended) -> Result<(), Box<Ended>> {
    let workplace = workplace(world).await?;
    let (run, key) = (claimed.run, tree_key(claimed));
    let message = format!("{key}: try {} ended as {}", claimed.attempt, ended.outcome);
    let changed = blocking(move || workplace.finish(run, &key, &message)).await?;
    ended.result.files = changed.paths();
    if !ended.outcome.is_success() {
        return Ok(());
    }
    let rules = Rules {
        files: &claimed.spec.files,
        protect: &claimed.spec.protect,
        verify: &claimed.spec.verify,
    };
    let broken = match violations(&changed.files, rules) {
        Ok(broken) => broken.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    };
    let mut why: Vec<String> = changed.problems.iter().map(ToString::to_string).collect();
    why.extend(broken);
    if !why.is_empty() {
        ended.outcome = Outcome::GateFailed;
        ended.detail = why.join("; ");
    }
    Ok(())
}

/// Looks at what the task touches for as long as it works.
pub(crate) async fn watched(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    inputs: &mpsc::Sender<Input>,
) -> Result<Watched, Box<Ended>> {
    let workplace = workplace(world).await?;
    Ok(Watched::begin(world, workplace, claimed, inputs))
}

/// A try after a conflict begins with the work that is there: a person may have brought the two sides together. Then it
/// is checked and merged as it is, and no agent is needed.
pub(crate) async fn take_up(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    tree: &Tree,
    at: &Assignment,
) -> Result<Option<Box<Ended>>, Box<Ended>> {
    if tree.origin == Origin::New || claimed.attempt < 2 {
        return Ok(None);
    }
    let task = claimed.lease.task;
    let last = world.read(move |reader| Ok(reader.results(task)?.pop())).await?;
    let Some(last) = last.filter(|last| last.outcome == Outcome::Conflict) else {
        return Ok(None);
    };
    let mut ended = failed(Outcome::Succeeded, String::new());
    ended.result = last.result;
    let summary = ended.result.summary.split_once("\n\n");
    if let Some((_, own)) = summary.filter(|(told, _)| told.starts_with(DOES_NOT_MERGE)) {
        ended.result.summary = own.to_owned();
    }
    leave(world, claimed, &mut ended).await?;
    land(world, claimed, at, &mut ended, None).await?;
    Ok(ended.outcome.is_success().then_some(ended))
}

/// Checks what a try claims to have done, and merges it when the plan says so.
pub(crate) async fn land(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    at: &Assignment,
    ended: &mut Ended,
    watched: Option<&Watched>,
) -> Result<(), Box<Ended>> {
    let fault = world.settings.fault.as_ref();
    if ended.outcome.is_success() && !claimed.spec.verify.is_empty() {
        fault::pass(fault, "before-verify");
        judge(ended, check(world, claimed, at).await?);
    }
    if ended.outcome.is_success() && claimed.spec.merge != Merge::None {
        if let Some(watched) = watched {
            watched.before_the_merge().await;
        }
        fault::pass(fault, "before-merge");
        merge(world, claimed, at, ended).await?;
        fault::pass(fault, "after-merge");
    }
    Ok(())
}

/// Runs the task's checks on what it finished, in a clean checkout.
async fn check(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    at: &Assignment,
) -> Result<Vec<wheelhouse_core::store::Check>, Box<Ended>> {
    let workplace = workplace(world).await?;
    let (world, claimed, at) = (Arc::clone(world), Arc::clone(claimed), at.clone());
    let runtime = tokio::runtime::Handle::current();
    let wall = Duration::from_millis(claimed.spec.timeout_ms);
    blocking(move || {
        let checkout = workplace.checkout_clean(claimed.run, &tree_key(&claimed))?;
        let at = Assignment {
            cwd: checkout.project().to_owned(),
            ..at
        };
        Ok(runtime.block_on(verify::checks(&world, &at, &claimed.spec.verify, wall)))
    })
    .await?
    .map_err(|why| failed(Outcome::Unavailable, why))
}

/// Merges a task that is done into its run. What does not go together is kept on both branches, for a person to decide.
async fn merge(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    at: &Assignment,
    ended: &mut Ended,
) -> Result<(), Box<Ended>> {
    let landing = merging::merge(world, workplace(world).await?, claimed, at).await?;
    match landing {
        Landing::Merged { .. } | Landing::AlreadyMerged | Landing::NothingToMerge => {}
        Landing::Conflict(conflict) => {
            ended.outcome = Outcome::Conflict;
            ended.detail = told(&conflict);
        }
        Landing::CheckFailed { why, .. } => {
            ended.outcome = Outcome::GateFailed;
            ended.detail = bounded(
                &format!("its work passes alone and fails merged: {why}"),
                CONFLICT_TOLD_MAX,
            );
        }
    }
    Ok(())
}

/// A conflict in words: the files, how to resolve it, the hunks. One paragraph, for a summary may follow.
fn told(conflict: &Conflict) -> String {
    let text = format!("{DOES_NOT_MERGE}: {conflict}");
    bounded(&text.replace("\n\n", "\n"), CONFLICT_TOLD_MAX)
}

/// Opened with the first isolated task: asking git costs time that other tasks need not spend.
async fn workplace(world: &World) -> Result<Arc<Workplace>, Box<Ended>> {
    let open = || async {
        let options = Options {
            template: world.settings.isolation.clone(),
            ..Options::new(world.store_id.clone(), world.settings.env.clone())
        };
        let (project, state_dir) = (world.settings.project.clone(), world.settings.state_dir.clone());
        blocking(move || {
            let trash_days = options.template.trash_days;
            let workplace = Workplace::open(&project, &state_dir, options)?;
            workplace.recover()?;
            if let Some(days) = trash_days {
                // What cannot be deleted now is deleted at the next start, or by `gc`, which says why it cannot.
                let _ = workplace.empty_trash(now(), Duration::from_secs(u64::from(days) * DAY_S));
            }
            Ok(Arc::new(workplace))
        })
        .await
    };
    world.workplace.get_or_try_init(open).await.cloned()
}

fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, worktree::Error> + Send + 'static,
) -> Result<T, Box<Ended>> {
    match supervise::blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(worktree::Error::Conflict(conflict))) => Err(failed(Outcome::Conflict, told(&conflict))),
        Ok(Err(error)) => Err(failed(Outcome::Unavailable, error.to_string())),
        Err(panic) => Err(failed(Outcome::Crashed, panic)),
    }
}
