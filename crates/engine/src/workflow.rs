//! Tasks that are workflows, and tasks that may not be needed: what core decides about them is fetched and carried out.
//!
//! A step of a workflow is no try of an agent: it reads what the children came to, asks the controller what follows,
//! and is over. What follows is one command to the store: either the new children and the wait for them, or the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use wheelhouse_context::receipt::Layer;
use wheelhouse_core::agent::Ended;
use wheelhouse_core::ids::{ArtifactHash, RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{Isolation, Merge, TaskSpec};
use wheelhouse_core::store::{ArtifactRef, Claimed, Failure, Next, Reader, TaskResult, TaskView};
use wheelhouse_core::workflow::condition::{self, AUDIT_KIND, Facts};
use wheelhouse_core::workflow::map::{self, Over};
use wheelhouse_core::workflow::{self, Child, Delivery, Output, Scene, Step, Workflow, report};

use crate::SUMMARY_MAX;
use crate::attempt::{failed, report};
use crate::dispatch::Input;
use crate::isolate;
use crate::prepare::{World, bounded};
use crate::{reviewing, shortcut};

/// How much of a child's answer a controller reads, in bytes, from its end: judgements stand there.
const TEXT_MAX: usize = 256 << 10;
/// The name of the output among the artifacts of a result.
const OUTPUT: &str = "output";

/// What a step of a workflow comes to.
pub(crate) enum Stepped {
    /// It goes on with these children.
    Awaits {
        /// The new ones.
        children: Vec<TaskSpec>,
        /// How many may be open when it looks again.
        open_max: u32,
    },
    /// It is over.
    Over {
        /// How.
        ended: Box<Ended>,
        /// What becomes of the task.
        next: Next,
    },
}

/// Whether the task is a workflow.
pub(crate) fn is_workflow(claimed: &Claimed) -> bool {
    claimed.spec.flow.workflow.is_some()
}

/// Looks at the children and says what follows.
pub(crate) async fn step(world: Arc<World>, claimed: Arc<Claimed>, inputs: mpsc::Sender<Input>) -> Stepped {
    match stepped(&world, &claimed, &inputs).await {
        Ok(stepped) => stepped,
        Err(ended) => Stepped::Over {
            ended,
            next: Next::Done { continues: false },
        },
    }
}

async fn stepped(world: &World, claimed: &Claimed, reports: &mpsc::Sender<Input>) -> Result<Stepped, Box<Ended>> {
    let (id, run, spec) = (claimed.lease.task, claimed.run, claimed.spec.clone());
    let (children, inputs) = world
        .read(move |reader| {
            let views = reader.children(id)?;
            let mut children = Vec::with_capacity(views.len());
            // A map reads the answers only when all are there: looking at each of a thousand a thousand times is too often.
            let skims = matches!(spec.flow.workflow.as_deref(), Some(Workflow::Map(_)))
                && views.iter().any(|view| !view.state.is_done());
            for view in views {
                children.push(child(reader, &view, !skims)?);
            }
            Ok((children, inputs(reader, run, &spec)?))
        })
        .await?;
    if children.is_empty()
        && let Some(ended) = not_needed(world, claimed, reports).await?
    {
        shortcut::say_skipped(claimed, reports).await;
        let next = Next::Done { continues: true };
        return Ok(Stepped::Over { ended, next });
    }
    if children.is_empty() {
        can_deliver(world, claimed).await?;
    }
    let bench = reviewing::bench(world, claimed).await?;
    if children.is_empty() {
        reviewing::say_left_out(world, claimed, &bench, reports).await;
    }
    let scene = Scene {
        task: &claimed.spec,
        attempt: claimed.attempt,
        children: &children,
        inputs: &inputs,
        bench: &bench,
        elapsed_ms: claimed
            .at
            .since(claimed.since)
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX),
    };
    match workflow::next(scene) {
        Some(Step::Await { new, open_max }) => {
            reviewing::say_called(claimed, &new, reports).await;
            Ok(Stepped::Awaits {
                children: new,
                open_max,
            })
        }
        Some(Step::Done(delivery)) => {
            reviewing::say_merged(claimed, &delivery.report, reports).await;
            over(world, claimed, &children, *delivery).await
        }
        None => Err(failed(Outcome::Crashed, "it is no workflow".to_owned())),
    }
}

/// What a task came to, as the controllers take it.
fn child(reader: &mut dyn Reader, view: &TaskView, with_text: bool) -> Result<Child, Failure> {
    let outcome = match &view.state {
        wheelhouse_core::task::TaskState::Done { outcome } => Some(outcome.clone()),
        _ => None,
    };
    let result = match outcome {
        Some(_) => reader.result(view.id)?.unwrap_or_default(),
        None => TaskResult::default(),
    };
    let output = result.artifacts.iter().find(|artifact| artifact.name == OUTPUT);
    let text = match output.filter(|_| with_text) {
        Some(output) => reader.artifact(&output.hash)?.map(|bytes| end_of(&bytes)),
        None => None,
    };
    Ok(Child {
        key: view.key.clone(),
        agent: view.agent.clone(),
        outcome,
        text: text.unwrap_or_else(|| result.summary.clone()),
        result,
    })
}

fn end_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TEXT_MAX)..]).into_owned()
}

/// The inputs of a map that are the output of another task.
fn inputs(reader: &mut dyn Reader, run: RunId, spec: &TaskSpec) -> Result<Vec<String>, Failure> {
    let Some(Workflow::Map(map::Map {
        over: Over::Output(task),
        ..
    })) = spec.flow.workflow.as_deref()
    else {
        return Ok(Vec::new());
    };
    let Some(view) = reader.task_by_key(run, task)? else {
        return Ok(Vec::new());
    };
    Ok(map::inputs(&child(reader, &view, true)?.text))
}

/// Ends a task that is not needed, when that is so: what it could be needed for is known now.
/// A few of them are done all the same where that is wanted, which is said.
pub(crate) async fn not_needed(
    world: &World,
    claimed: &Claimed,
    reports: &mpsc::Sender<Input>,
) -> Result<Option<Box<Ended>>, Box<Ended>> {
    let conditions = claimed.spec.flow.skip_if.clone();
    let is_on = world.settings.context.of(&claimed.agent).is_on(Layer::Skip);
    if conditions.is_empty() || !is_on {
        return Ok(None);
    }
    let run = claimed.run;
    let decided = world
        .read(move |reader| {
            let mut facts: BTreeMap<TaskKey, Facts> = BTreeMap::new();
            for task in conditions.iter().filter_map(|condition| condition.task.as_ref()) {
                if let Some(view) = reader.task_by_key(run, task)? {
                    facts.insert(task.clone(), Facts::of(&child(reader, &view, true)?));
                }
            }
            Ok(condition::not_needed(&conditions, |task| facts.get(task).copied()))
        })
        .await?;
    let lot = reviewing::lot(run, &claimed.spec.key);
    if let (Some((_, why)), true) = (&decided, condition::is_audited(claimed.spec.flow.skip_audit, lot)) {
        if claimed.attempt == 1 {
            let said = format!("{why}; done all the same, to see what skipping it would cost");
            report(reports, claimed.lease, AUDIT_KIND, said).await;
        }
        return Ok(None);
    }
    Ok(decided.map(|(cause, why)| {
        let mut ended = failed(Outcome::Skipped { cause }, String::new());
        ended.result.summary = format!("not needed: {why}");
        ended
    }))
}

/// Copies come back file by file from one tree, and a loop's work may lie in several: said before anything is spent.
async fn can_deliver(world: &World, claimed: &Claimed) -> Result<(), Box<Ended>> {
    let spec = &claimed.spec;
    let merges = spec.isolation == Isolation::Worktree && spec.merge != Merge::None;
    let is_qc = matches!(spec.flow.workflow.as_deref(), Some(Workflow::Qc(_)));
    if !merges || !is_qc || !isolate::is_outside_git(world).await? {
        return Ok(());
    }
    let why = "a `qc` merges what it approved only in a git repository: put the project under git (`git init`), or take \
               `merge` out";
    Err(failed(Outcome::Unavailable, why.to_owned()))
}

/// The tasks whose trees a task begins with: in the place of a workflow, which has none, the steps that it delivered.
pub(crate) async fn trees(world: &World, claimed: &Claimed) -> Result<Vec<TaskKey>, Box<Ended>> {
    let (run, needs) = (claimed.run, claimed.spec.needs.clone());
    world
        .read(move |reader| {
            let mut trees = Vec::with_capacity(needs.len());
            for need in needs {
                match delivered(reader, run, &need)? {
                    Some(steps) => trees.extend(steps),
                    None => trees.push(need),
                }
            }
            Ok(trees)
        })
        .await
}

fn delivered(reader: &mut dyn Reader, run: RunId, task: &TaskKey) -> Result<Option<Vec<TaskKey>>, Failure> {
    let Some(view) = reader.task_by_key(run, task)? else {
        return Ok(None);
    };
    let spec = reader.spec(view.id)?;
    if spec.is_none_or(|spec| spec.flow.workflow.is_none()) {
        return Ok(None);
    }
    let result = reader.result(view.id)?.unwrap_or_default();
    let trail = result
        .artifacts
        .iter()
        .find(|artifact| artifact.name == report::ARTIFACT);
    let bytes = match trail {
        Some(trail) => reader.artifact(&trail.hash)?,
        None => None,
    };
    let trail: Option<serde_json::Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let steps = trail.and_then(|mut trail| serde_json::from_value(trail["delivered"].take()).ok());
    Ok(Some(steps.unwrap_or_default()))
}

async fn over(world: &World, claimed: &Claimed, children: &[Child], delivery: Delivery) -> Result<Stepped, Box<Ended>> {
    let next = workflow::dispose(&claimed.spec, &delivery);
    let Delivery {
        outcome,
        attention: _,
        output,
        summary,
        verdict,
        mut report,
    } = delivery;
    report.delivered = match (&output, claimed.spec.flow.workflow.as_deref()) {
        (_, Some(Workflow::Map(_))) => children
            .iter()
            .filter(|one| one.succeeded())
            .map(|one| one.key.clone())
            .collect(),
        (Output::Of(key), _) => vec![key.clone()],
        (Output::Text(_) | Output::Nothing, _) => Vec::new(),
    };
    let mut result = TaskResult {
        summary: bounded(&summary, SUMMARY_MAX),
        verdict,
        rehearsed: children.iter().any(|child| child.result.rehearsed),
        ..TaskResult::default()
    };
    let mut outputs = Vec::new();
    match output {
        Output::Of(key) => {
            if let Some(child) = children.iter().find(|child| child.key == key) {
                result.files.clone_from(&child.result.files);
                result.checks.clone_from(&child.result.checks);
                result.exit_code = child.result.exit_code;
                // Whose words they are stays with them.
                result.model = child.result.model.clone().or_else(|| Some(child.agent.to_string()));
                result.model_source = child.result.model_source;
                result.confidence = child.result.confidence;
                if let Some(kept) = child.result.artifacts.iter().find(|one| one.name == OUTPUT) {
                    let hash = kept.hash.clone();
                    let bytes = world.read(move |reader| reader.artifact(&hash)).await?;
                    outputs.push(bytes.unwrap_or_default());
                    result.artifacts.push(kept.clone());
                }
            }
        }
        Output::Text(text) => keep(&mut result, &mut outputs, OUTPUT, text.into_bytes()),
        Output::Nothing => {}
    }
    result.link = report.fallback_depth;
    let trail = serde_json::to_vec_pretty(&report).unwrap_or_default();
    keep(&mut result, &mut outputs, report::ARTIFACT, trail);
    let mut ended = failed(outcome, String::new());
    ended.result = result;
    ended.outputs = outputs;
    Ok(Stepped::Over { ended, next })
}

fn keep(result: &mut TaskResult, outputs: &mut Vec<Vec<u8>>, name: &str, bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    result.artifacts.push(ArtifactRef {
        name: name.to_owned(),
        hash: ArtifactHash(blake3::hash(&bytes).to_hex().to_string()),
        bytes: len,
        bytes_written: len,
    });
    outputs.push(bytes);
}
