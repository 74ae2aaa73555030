//! Tasks that need no model: a mechanical transform is done by code in place of the agent, where the plan or the settings
//! let it and the result is certain. Which those are, `context::shortcut` says; this fetches, writes and says so.
//!
//! What is around a try stays: the tree, the checks, the merge. Only the first try is code's; when its checks fail, the
//! agent is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use wheelhouse_context::count::{fits, tokens};
use wheelhouse_context::receipt::{Layer, REPORT_KIND, Receipt};
use wheelhouse_context::shortcut::{self, Done, From, Wish};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Sink};
use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{ArtifactHash, TaskKey};
use wheelhouse_core::ledger;
use wheelhouse_core::money::show_usd;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan::template::{self, Mode};
use wheelhouse_core::price::Requests;
use wheelhouse_core::spec::{Edits, Work};
use wheelhouse_core::store::{ArtifactRef, Claimed, EndedBy, TaskResult};
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_core::workflow::Shortcut;
use wheelhouse_core::write_set::overlap;

use crate::attempt::{failed, report};
use crate::codebase::Tree;
use crate::dispatch::Input;
use crate::meter::asked_model;
use crate::prepare::{World, bounded};
use crate::{edits, supervise, worktree};

/// How what code did is called where a model is named.
pub(crate) const MODEL: &str = "code";
/// How its summaries begin.
const LABEL: &str = "[by code]";
/// How much of an answer its summary has, in bytes.
const GIST_MAX: usize = 400;

/// Code in the place of the agent, with its receipt alone (nothing else was sent to anybody); or the agent, with its own.
pub(crate) async fn instead(
    world: &World,
    claimed: &Claimed,
    tree: Option<&worktree::Tree>,
    (agent, mut receipts): (Arc<dyn Agent>, Vec<Receipt>),
) -> (Arc<dyn Agent>, Vec<Receipt>) {
    let Some(wish) = wish(world, claimed) else {
        return (agent, receipts);
    };
    let top = tree.map_or(&world.settings.project, |tree| &tree.project).clone();
    let subject = claimed.spec.key.as_str();
    match certain(world, claimed, &wish, top.clone()).await {
        Ok(done) => {
            let receipt = receipt(world, claimed, &wish, &done).await;
            (Arc::new(Code { wish, done, top }), vec![receipt])
        }
        Err(why) => {
            let note = format!("{}: left to the model: {why}", wish.name());
            receipts.push(Receipt::new(Layer::Shortcut, subject, 0, 0).noted(&note));
            (agent, receipts)
        }
    }
}

/// What code did is not the agent's: nothing is learned about it.
pub(crate) fn by(ended: &Ended, by: EndedBy) -> EndedBy {
    match ended.result.model.as_deref() {
        Some(MODEL) => EndedBy::House,
        _ => by,
    }
}

/// The wish that a task is, if code may do it.
fn wish(world: &World, claimed: &Claimed) -> Option<Wish> {
    let spec = &claimed.spec;
    let limits = world.settings.context.of(&claimed.agent);
    let may = match spec.flow.shortcut {
        Some(Shortcut::Auto) => true,
        Some(Shortcut::Off) => false,
        None => limits.shortcuts,
    };
    let (Work::Prompt(text), true) = (&spec.work, may && limits.is_on(Layer::Shortcut)) else {
        return None;
    };
    let plain = spec.inputs.is_empty() && spec.cwd.is_none() && spec.edits == Edits::Own;
    if claimed.attempt > 1 || spec.planner || !plain {
        return None;
    }
    let text = match &spec.flow.item {
        Some(item) if item.from.is_some() => return None,
        Some(item) => template::with_item(text, &item.text, None, Mode::Prompt),
        None => text.clone(),
    };
    // What goes by a file is answered with a word about that file.
    fits(&text, limits.prompt_tokens).then(|| shortcut::read(&text))?
}

/// What it comes to, or why that is not certain.
async fn certain(world: &World, claimed: &Claimed, wish: &Wish, top: PathBuf) -> Result<Done, String> {
    let given = match wish {
        Wish::Text {
            from: From::Task(task), ..
        } => Some(output(world, claimed, task).await?),
        _ => None,
    };
    let (wish, declared) = (wish.clone(), claimed.spec.files.clone());
    let done = supervise::blocking(move || {
        let done = wish.apply(&Tree::new(&top), given.as_deref())?;
        let undeclared = done.changes.keys().find(|path| !overlap(&[(*path).clone()], &declared));
        if let Some(path) = undeclared.filter(|_| !declared.is_empty()) {
            return Err(format!("{path} is not among its declared `files`"));
        }
        edits::check(&top, &done.changes).map_err(|error| error.to_string())?;
        Ok(done)
    });
    done.await?
}

/// The whole output of another task.
async fn output(world: &World, claimed: &Claimed, task: &str) -> Result<String, String> {
    let (run, key) = (claimed.run, TaskKey(task.to_owned()));
    let bytes = world
        .read(move |reader| {
            let Some(view) = reader.task_by_key(run, &key)? else {
                return Ok(None);
            };
            let result = reader.result(view.id)?.unwrap_or_default();
            match result.artifacts.first() {
                // Of a longer one the middle was dropped.
                Some(kept) if kept.bytes == kept.bytes_written => reader.artifact(&kept.hash),
                Some(_) | None => Ok(None),
            }
        })
        .await
        .map_err(|ended| ended.detail)?;
    let bytes = bytes.ok_or_else(|| format!("`{task}` left no whole output"))?;
    String::from_utf8(bytes).map_err(|_| format!("the output of `{task}` is no text"))
}

/// What a model would have been sent and would have written, and about what that would have cost.
async fn receipt(world: &World, claimed: &Claimed, wish: &Wish, done: &Done) -> Receipt {
    let spec = &claimed.spec;
    let text = match &spec.work {
        Work::Prompt(text) => text.as_str(),
        Work::Exec(_) | Work::Turn(_) => "",
    };
    let changed = done.changes.values().flatten().map(|text| tokens(text)).sum::<u64>();
    let usage = Usage {
        input: tokens(text),
        output: tokens(&done.answer) + changed,
        ..Usage::default()
    };
    let money = &world.settings.money;
    let model = asked_model(claimed).or(money.terms.payer(&claimed.agent).model);
    let (agent, kind, of) = (claimed.agent.clone(), ledger::kind(spec), model.clone());
    let past = world
        .read(move |reader| reader.experience(&agent, of.as_deref(), kind))
        .await;
    let past = past.ok().and_then(|past| past.mean_nano());
    let listed = || {
        money
            .prices
            .cost_nano(model.as_deref()?, Day::of(claimed.at), &usage, Requests::One)
    };
    let cost = match (past, listed()) {
        (Some(nano), _) => format!("such a try of {} costs about {}", claimed.agent, show_usd(nano)),
        (None, Some(nano)) => format!("{} would have cost at least {}", claimed.agent, show_usd(nano)),
        (None, None) => format!("what {} would have cost is not known", claimed.agent),
    };
    Receipt::new(Layer::Shortcut, spec.key.as_str(), usage.input + usage.output, 0)
        .noted(&format!("{} by code; {cost}", wish.name()))
}

/// The receipt of a task that was not needed.
pub(crate) async fn say_skipped(claimed: &Claimed, inputs: &mpsc::Sender<Input>) {
    if let Work::Prompt(text) = &claimed.spec.work {
        let conditions: Vec<String> = claimed.spec.flow.skip_if.iter().map(ToString::to_string).collect();
        let would = tokens(text);
        let receipt = Receipt::new(Layer::Skip, claimed.spec.key.as_str(), would, 0)
            .noted(&format!("not needed: {}", conditions.join(", ")));
        report(inputs, claimed.lease, REPORT_KIND, receipt.line()).await;
    }
}

/// Code in an agent's place.
struct Code {
    wish: Wish,
    done: Done,
    top: PathBuf,
}

impl Agent for Code {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn attempt(&self, _: Assignment, _: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        sink.event(AgentEvent::Started {
            session: None,
            process: None,
        });
        sink.event(AgentEvent::Model(MODEL.to_owned()));
        let (name, done, top) = (self.wish.name(), self.done.clone(), self.top.clone());
        sink.event(AgentEvent::Notice(format!("{LABEL} {name}: no model is asked")));
        Box::pin(async move {
            let written = supervise::blocking(move || write(name, done, &top)).await;
            written.unwrap_or_else(|panic| *failed(Outcome::Crashed, panic))
        })
    }
}

fn write(name: &str, done: Done, top: &Path) -> Ended {
    if let Err(error) = edits::write(top, &done.changes, &std::collections::BTreeMap::new()) {
        return *failed(Outcome::Crashed, error.to_string());
    }
    let bytes = done.answer.into_bytes();
    let len = bytes.len() as u64;
    let gist = bounded(&String::from_utf8_lossy(&bytes), GIST_MAX);
    Ended {
        outcome: Outcome::Succeeded,
        detail: String::new(),
        result: TaskResult {
            summary: format!("{LABEL} {name}: {gist}"),
            files: done.changes.into_keys().collect(),
            artifacts: vec![ArtifactRef {
                name: "output".to_owned(),
                hash: ArtifactHash(blake3::hash(&bytes).to_hex().to_string()),
                bytes: len,
                bytes_written: len,
            }],
            ..TaskResult::default()
        },
        outputs: vec![bytes],
        usage: Usage::default(),
        cost: Cost::Free,
        session: None,
    }
}
