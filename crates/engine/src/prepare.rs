//! Turns a claimed task into an assignment: templates filled in, results of other tasks fetched, directories and
//! environment made ready. Reads the store; changes nothing in it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use wheelhouse_context::receipt::Receipt;
use wheelhouse_core::agent::{Assignment, Ended, Input, Roster};
use wheelhouse_core::caller::{INSTANCE_VARIABLE, TOKEN_VARIABLE};
use wheelhouse_core::ids::ArtifactHash;
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan::template::{self, Mode};
use wheelhouse_core::spec::{RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{Claimed, Failure, Reader};

use crate::attempt::failed;
use crate::meter::asked_model;
use crate::token::Key;
use crate::worktree::{Tree, Workplace};
use crate::{
    InstanceMcp, Settings, asking, compressing, earlier, given, inputs, memory, merging, packet, reviewing, scoping,
    soft, supervise, touching, turn,
};

/// The longest summary that flows into another task, in bytes.
pub const SUMMARY_MAX: usize = 4_000;
/// The longest full result that flows into another task, in bytes; the rest is behind its artifact.
pub const RESULT_MAX: usize = 64_000;

/// What all tries of an engine share.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) roster: Arc<dyn Roster>,
    reader: Arc<Mutex<Box<dyn Reader>>>,
    runs: Mutex<HashMap<RunId, Arc<RunSpec>>>,
    pub(crate) store_id: String,
    /// What tokens of instances are made with.
    pub(crate) key: Key,
    pub(crate) instance_mcp: Option<InstanceMcp>,
    pub(crate) workplace: OnceCell<Arc<Workplace>>,
    pub(crate) merging: merging::Queue,
    pub(crate) touching: touching::Touching,
    pub(crate) codebase: packet::Shared,
    pub(crate) reviews: reviewing::Shared,
    pub(crate) past: soft::Shared,
}

impl World {
    pub(crate) fn new(
        settings: Settings,
        roster: Arc<dyn Roster>,
        reader: Box<dyn Reader>,
        store_id: String,
        key: Key,
        instance_mcp: Option<InstanceMcp>,
    ) -> World {
        World {
            settings,
            roster,
            reader: Arc::new(Mutex::new(reader)),
            runs: Mutex::new(HashMap::new()),
            store_id,
            key,
            instance_mcp,
            workplace: OnceCell::new(),
            merging: merging::Queue::default(),
            touching: touching::Touching::default(),
            codebase: packet::Shared::default(),
            reviews: reviewing::Shared::default(),
            past: soft::Shared::default(),
        }
    }

    /// Asks the store, away from the async threads. A store that cannot be read fails the try as a crash of ours.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Reader) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Box<Ended>> {
        let reader = Arc::clone(&self.reader);
        let answer = supervise::blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            ask(&mut **reader)
        })
        .await;
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(failed(
                Outcome::Crashed,
                format!("the store could not be read: {failure}"),
            )),
            Err(panic) => Err(failed(Outcome::Crashed, panic)),
        }
    }

    pub(crate) async fn run_spec(&self, run: RunId) -> Result<Arc<RunSpec>, Box<Ended>> {
        let known = self
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&run)
            .cloned();
        if let Some(spec) = known {
            return Ok(spec);
        }
        let spec = self.read(move |reader| reader.run_spec(run)).await?;
        let spec = spec
            .map(Arc::new)
            .ok_or_else(|| failed(Outcome::Crashed, format!("run {run} is gone")))?;
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run, Arc::clone(&spec));
        Ok(spec)
    }
}

/// Everything the agent is given with the receipts of what was left out, or why the try ends before it began.
pub(crate) async fn assignment(
    world: &World,
    claimed: &Claimed,
    tree: Option<&Tree>,
) -> Result<(Assignment, Vec<Receipt>), Box<Ended>> {
    let spec = &claimed.spec;
    let settings = &world.settings;
    let mut receipts = Vec::new();
    let project = tree.map_or(&settings.project, |tree| &tree.project);
    let input = input(world, claimed, project, &mut receipts).await?;
    let stdin = inputs::stdin(world, claimed).await?;
    let log = log_path(&settings.state_dir, claimed.run, &spec.key, claimed.attempt);
    if let Some(directory) = log.parent() {
        // Without it the backend notices that it cannot write the log, and says so; the try goes on.
        let _ = std::fs::create_dir_all(directory);
    }
    let mut assignment = Assignment {
        run: claimed.run,
        task: claimed.lease.task,
        key: spec.key.clone(),
        attempt: claimed.attempt,
        agent: claimed.agent.clone(),
        input,
        stdin,
        model: asked_model(claimed),
        role: spec.role.clone(),
        schema: spec.schema.clone(),
        cwd: directory(project, spec)?,
        env: environment(world, claimed, tree),
        session: claimed.session.clone(),
        tools: None,
        mcp_servers: turn::mcp_servers(world, claimed).await?,
        log: Some(log),
        output_max: settings.output_max,
        grace_ms: settings.grace_ms,
    };
    scoping::bound(world, claimed, &mut assignment, &mut receipts).await?;
    Ok((assignment, receipts))
}

/// Where the raw output of a try goes: `logs/r7/draft.1.log` in the state directory.
pub fn log_path(state_dir: &Path, run: RunId, key: &TaskKey, attempt: u32) -> PathBuf {
    state_dir
        .join("logs")
        .join(run.to_string())
        .join(format!("{key}.{attempt}.log"))
}

fn directory(top: &Path, spec: &TaskSpec) -> Result<PathBuf, Box<Ended>> {
    let directory = match &spec.cwd {
        Some(below) => top.join(below),
        None => top.to_owned(),
    };
    if directory.is_dir() {
        return Ok(directory);
    }
    let missing = format!("the working directory {} is not there", directory.display());
    Err(failed(Outcome::Unavailable, missing))
}

/// The allowlisted base, the task's own, and ours, which win. The idempotency key stays the same when a try is
/// repeated because the engine died, so that an effect outside can be recognised as done.
fn environment(world: &World, claimed: &Claimed, tree: Option<&Tree>) -> BTreeMap<String, String> {
    let Claimed { run, attempt, spec, .. } = claimed;
    let mut env = world.settings.env.clone();
    env.extend(spec.env.clone());
    env.extend(tree.map(|tree| tree.env.clone()).unwrap_or_default());
    let ours = [
        ("WHEELHOUSE_STORE", world.store_id.clone()),
        ("WHEELHOUSE_RUN", run.to_string()),
        ("WHEELHOUSE_TASK", spec.key.to_string()),
        ("WHEELHOUSE_ATTEMPT", attempt.to_string()),
        (
            "WHEELHOUSE_IDEMPOTENCY_KEY",
            format!("{}/{run}/{}/{attempt}", world.store_id, spec.key),
        ),
    ];
    env.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    // Nobody but an instance's own turn speaks for it, whatever the engine was started with.
    env.remove(TOKEN_VARIABLE);
    env.remove(INSTANCE_VARIABLE);
    if let Work::Turn(turn) = spec.work {
        env.extend(turn::environment(world, turn));
    }
    env
}

async fn input(
    world: &World,
    claimed: &Claimed,
    project: &Path,
    receipts: &mut Vec<Receipt>,
) -> Result<Input, Box<Ended>> {
    let (text, mode) = match &claimed.spec.work {
        Work::Turn(turn) => {
            return match turn::input(world, claimed, *turn, receipts).await? {
                Input::Prompt(mut words) => {
                    compressing::shorten(world, claimed, &mut words, receipts).await?;
                    told(world, claimed, project, words, receipts).await
                }
                command => Ok(command),
            };
        }
        Work::Exec(text) => (text, Mode::Shell),
        Work::Prompt(text) => (text, Mode::Prompt),
    };
    let text = match &claimed.spec.flow.item {
        Some(item) => &template::with_item(text, &item.text, item.from.as_ref().map(TaskKey::as_str), mode),
        None => text,
    };
    let mut filled = if text.contains("{{") {
        let (filled, left_out) = fill(world, claimed, text.clone(), mode).await?;
        receipts.extend(left_out);
        filled
    } else {
        text.clone()
    };
    match mode {
        Mode::Shell => Ok(Input::Command(filled)),
        Mode::Prompt => {
            inputs::add(world, claimed, project, &mut filled, receipts).await?;
            compressing::shorten(world, claimed, &mut filled, receipts).await?;
            told(world, claimed, project, filled, receipts).await
        }
    }
}

/// A prompt with everything that goes with it by the settings of its agent: instruction files and skills, the tries before,
/// notes; by a file when it is very long. The same for tasks and for turns of instances.
async fn told(
    world: &World,
    claimed: &Claimed,
    project: &Path,
    mut words: String,
    receipts: &mut Vec<Receipt>,
) -> Result<Input, Box<Ended>> {
    let limits = world.settings.context.of(&claimed.agent);
    // An instance's session that goes on has been given them.
    if claimed.session.is_none() || !matches!(claimed.spec.work, Work::Turn(_)) {
        let below = claimed.spec.cwd.as_deref().unwrap_or_default();
        words.insert_str(0, &given::before(project, below, limits, receipts));
    }
    if let Some(earlier) = earlier::earlier(world, claimed).await? {
        let state_dir = &world.settings.state_dir;
        let keep = |prompt: &str| {
            // One that goes by a file is short as it is, and its reader has to say that it read it.
            if given::goes_by_file(prompt, limits) {
                return None;
            }
            let (path, _) = given::kept(state_dir, claimed.run, prompt).ok()?;
            Some(path.display().to_string())
        };
        words = earlier.tell(claimed.spec.key.as_str(), words, limits, keep, receipts);
    }
    if claimed.session.is_none() {
        receipts.extend(memory::inject(world, claimed, &mut words).await);
    }
    let place = (claimed.run, &claimed.spec.key);
    let told = given::or_reference(&world.settings.state_dir, place, words, limits, receipts);
    told.map(Input::Prompt).map_err(|error| {
        failed(
            Outcome::Crashed,
            format!("its prompt could not be put into a file: {error}"),
        )
    })
}

async fn fill(
    world: &World,
    claimed: &Claimed,
    text: String,
    mode: Mode,
) -> Result<(String, Vec<Receipt>), Box<Ended>> {
    let run = world.run_spec(claimed.run).await?;
    let run_id = claimed.run;
    let state_dir = world.settings.state_dir.clone();
    let mut limits = world.settings.context.of(&claimed.agent).clone();
    let own = claimed.clone();
    let filled = world
        .read(move |reader| {
            asking::with_requests(reader, &own, &mut limits)?;
            // The first failure of the store ends the rendering; the template sees a missing value until then.
            let failure = std::cell::RefCell::new(None);
            let reader = std::cell::RefCell::new(reader);
            let receipts = std::cell::RefCell::new(Vec::new());
            let lookup = |task: &str, field: &str| {
                let (mut reader, mut receipts) = (reader.borrow_mut(), receipts.borrow_mut());
                let wanted = (run_id, task, field);
                let fetched = given::field(&mut **reader, &state_dir, wanted, (mode, &limits), &mut receipts);
                fetched.unwrap_or_else(|error| {
                    failure.borrow_mut().get_or_insert(error);
                    None
                })
            };
            let rendered = template::render(&text, &run.vars, &lookup, mode);
            match failure.into_inner() {
                Some(error) => Err(error),
                None => Ok(rendered.map(|text| (text, receipts.into_inner()))),
            }
        })
        .await?;
    filled.map_err(|error| failed(Outcome::Malformed, format!("its text cannot be filled in: {error}")))
}

/// Puts an artifact where an agent can read it, and says where. Content-addressed, so a file that is there is right.
pub fn materialise(reader: &mut dyn Reader, state_dir: &Path, hash: &ArtifactHash) -> Result<Option<String>, Failure> {
    let failure = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => Failure::Full(Box::new(error)),
        _ => Failure::Io(Box::new(error)),
    };
    let directory = state_dir.join("artifacts");
    let path = directory.join(&hash.0);
    if !path.exists() {
        let Some(bytes) = reader.artifact(hash)? else {
            return Ok(None);
        };
        std::fs::create_dir_all(&directory).map_err(failure)?;
        let half = directory.join(format!("{}.{}.part", hash.0, std::process::id()));
        std::fs::write(&half, bytes)
            .and_then(|()| std::fs::rename(&half, &path))
            .map_err(failure)?;
    }
    Ok(Some(path.display().to_string()))
}

/// The text up to so many bytes, cut at a character, with a word about the cut.
pub(crate) fn bounded(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{}\n[… {} more bytes]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_said_and_keeps_characters_whole() {
        assert_eq!(bounded("short", 10), "short");
        assert_eq!(bounded("aé", 2), "a\n[… 2 more bytes]");
    }
}
