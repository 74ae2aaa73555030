//! One try of a task, from the claim to its end: prepare, do, time, check. Reports to the dispatcher, decides nothing
//! about what follows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wheelhouse_context::count::SAMPLE_KIND;
use wheelhouse_context::receipt::{REPORT_KIND, Receipt};
use wheelhouse_core::agent::{Agent, Assignment, Capabilities, Ended, Order};
use wheelhouse_core::caller::MCP_NAME;
use wheelhouse_core::chain::CONFIDENCE_MIN;
use wheelhouse_core::ids::{AgentName, Lease, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan;
use wheelhouse_core::route::{Obstacles, Router};
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{Check, Claimed, EndedBy, TaskResult};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_core::verdict;

use self::line::Line;
use self::watch::{Limits, watch};
use crate::dispatch::{Input, Tried};
use crate::handshake::Handshake;
use crate::meter::Meter;
use crate::prepare::{self, World, bounded};
use crate::steps::Steps;
use crate::touching::Watched;
use crate::worktree::Tree;
use crate::{
    PLANNED_MAX, REPORT_MAX, answering, asking, counting, earlier, fault, isolate, memory, packet, patching, shortcut,
    soft, turn, verify, workflow,
};

mod line;
mod watch;

/// What is said of a try that has no time left.
const DEADLINE_OVER: &str = "the time for all its tries together is over (`deadline`)";

/// A try that ended without an agent's word.
pub(crate) fn failed(outcome: Outcome, detail: String) -> Box<Ended> {
    Box::new(Ended {
        outcome,
        detail,
        result: TaskResult::default(),
        outputs: Vec::new(),
        usage: Usage::default(),
        cost: Cost::Free,
        session: None,
    })
}

/// What a running try is told.
#[derive(Debug)]
pub(crate) enum Word {
    /// Something for the agent.
    Order(Order),
    /// How much it may consume.
    Granted(Option<u64>),
}

/// Does the try. Every way out is an [`Ended`].
pub(crate) async fn attempt(
    world: Arc<World>,
    claimed: Arc<Claimed>,
    orders: mpsc::Receiver<Word>,
    inputs: mpsc::Sender<Input>,
) -> Tried {
    let claimed = match earlier::begins_anew(&world, &claimed).await {
        Ok(true) => Arc::new(Claimed {
            session: None,
            ..(*claimed).clone()
        }),
        Ok(false) => claimed,
        Err(ended) => return Tried::by_the_house(ended),
    };
    let work = match workflow::not_needed(&world, &claimed, &inputs).await {
        Ok(None) => attempt_inner(&world, &claimed, orders, &inputs).await,
        Ok(Some(ended)) => {
            shortcut::say_skipped(&claimed, &inputs).await;
            Err(ended)
        }
        Err(ended) => Err(ended),
    };
    let mut tried = work.unwrap_or_else(Tried::by_the_house);
    isolate::tell_of_a_full_disk(&world, &claimed, &mut tried.ended).await;
    tried
}

async fn attempt_inner(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    orders: mpsc::Receiver<Word>,
    inputs: &mpsc::Sender<Input>,
) -> Result<Tried, Box<Ended>> {
    let fault = world.settings.fault.as_ref();
    let spec = &claimed.spec;
    let tree = match isolate::is_isolated(claimed) {
        true => Some(isolate::enter(world, claimed).await?),
        false => None,
    };
    let (mut assignment, receipts) = prepare::assignment(world, claimed, tree.as_ref()).await?;
    if let Some(tree) = &tree {
        isolate::set_up(world, claimed, tree, &assignment).await?;
    }
    if let Some(tree) = &tree
        && let Some(ended) = isolate::take_up(world, claimed, tree, &assignment).await?
    {
        return Ok(Tried::by_the_house(ended));
    }
    let packet = packet::inject(world, claimed, tree.as_ref(), &mut assignment).await;
    let shown = patching::brief(world, claimed, tree.as_ref(), &mut assignment).await?;
    let receipts = receipts.into_iter().chain(packet).collect();
    let (agent, receipts) = shortcut::instead(world, claimed, tree.as_ref(), (agent(world, claimed)?, receipts)).await;
    let handshake = brief(world, claimed, agent.capabilities(), &mut assignment);
    fault::pass(fault, "before-start");
    let limits = Limits {
        idle: Duration::from_millis(spec.idle_timeout_ms),
        wall: wall(claimed)?,
        grace: Duration::from_millis(assignment.grace_ms),
    };
    let mut line = Line {
        lease: claimed.lease,
        inputs: inputs.clone(),
        reports: 0,
        open: BTreeMap::new(),
        agent: claimed.agent.clone(),
        policy: world.settings.policy.clone(),
        has_ours: assignment.mcp_servers.contains_key(MCP_NAME),
        patience: Duration::from_millis(world.settings.question_timeout_ms),
        fault: world.settings.fault.clone(),
        watch: turn::watch(world, claimed, agent.capabilities()).await?,
        handshake,
        steps: Steps::new(world.settings.context.of(&claimed.agent), agent.capabilities()),
        is_stuck: false,
        interrupt_end: None,
        meter: Meter::new(&world.settings.money, claimed),
        soft: soft::standing(world, claimed).await,
        account: world.settings.money.terms.account(&claimed.agent),
        birth: Instant::now(),
    };
    line.say_first(spec.routed.as_ref().filter(|_| claimed.attempt == 1))
        .await;
    say_given(&mut line, tree.as_ref(), &receipts).await;
    let work = watch(agent.as_ref(), assignment.clone(), limits, orders, &mut line);
    let watched = match &tree {
        Some(_) => Some(isolate::watched(world, claimed, inputs).await?),
        None => None,
    };
    let mut ended = match &watched {
        Some(watched) => watched.beside(work).await,
        None => work.await,
    };
    let spending = line.meter.close(&mut ended, line.elapsed_ms());
    if let Some(sample) = counting::sample(agent.capabilities(), &assignment, &ended, &spending).await {
        line.report(SAMPLE_KIND, sample.line()).await;
    }
    origin(world, claimed, &mut line, &mut ended).await;
    line.handshake.check(&mut ended);
    asking::check(
        claimed,
        world.settings.context.of(&claimed.agent),
        &assignment,
        &mut ended,
    );
    fault::pass(fault, "before-settle");
    if let (Some(shown), Some(tree)) = (&shown, &tree)
        && ended.outcome.is_success()
    {
        patching::apply(claimed, (&tree.project, shown), &mut ended, inputs).await;
    }
    answering::check(spec, &mut ended);
    let (new_tasks, by) = concluded(world, claimed, &assignment, &mut ended, watched.as_ref()).await;
    let by = shortcut::by(&ended, by);
    for kept in memory::learn(world, claimed, &ended).await {
        line.report("memory", kept).await;
    }
    let new_tasks = if ended.outcome.is_success() {
        new_tasks
    } else {
        Vec::new()
    };
    Ok(Tried {
        ended: Box::new(ended),
        new_tasks,
        spending,
        by,
    })
}

/// Says what was noticed about its tree, and what was left out of what it is given.
async fn say_given(line: &mut Line, tree: Option<&Tree>, receipts: &[Receipt]) {
    for notice in tree.iter().flat_map(|tree| &tree.notices) {
        line.report("notice", notice.clone()).await;
    }
    for receipt in receipts {
        line.report(REPORT_KIND, receipt.line()).await;
    }
}

/// Tells the agent the form of its answer, and what it has to say about files it is told of.
fn brief(world: &World, claimed: &Claimed, can: Capabilities, assignment: &mut Assignment) -> Handshake {
    answering::brief(&claimed.spec, can, assignment);
    let limits = world.settings.context.of(&claimed.agent);
    Handshake::of(&world.settings.state_dir, claimed, limits, assignment)
}

/// Who gave the result stays with it, and what the tries of its task did, this one included.
async fn origin(world: &World, claimed: &Claimed, line: &mut Line, ended: &mut Ended) {
    line.look_at_soft_line(ended.cost.nano().unwrap_or(0)).await;
    ended.result.link = claimed.link;
    (ended.result.model, ended.result.model_source) = line.meter.model_used();
    let before = earlier::earlier(world, claimed).await.ok().flatten();
    let before = before.and_then(|earlier| earlier.trail().cloned()).unwrap_or_default();
    ended.result.trail = before.then(line.steps.trail());
}

/// The tasks it planned, and whose doing the end is. Of a failure of ours the agent is not to blame, and what it consumed
/// and produced stays on record.
async fn concluded(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    assignment: &Assignment,
    ended: &mut Ended,
    watched: Option<&Watched>,
) -> (Vec<TaskSpec>, EndedBy) {
    match conclude(world, claimed, assignment, ended, watched).await {
        Ok(new_tasks) => (new_tasks, EndedBy::Agent),
        Err(failure) => {
            (ended.outcome, ended.detail) = (failure.outcome, failure.detail);
            (Vec::new(), EndedBy::House)
        }
    }
}

/// Everything between the agent's word and ours: what it changed, the tasks it planned, the checks, the merge.
async fn conclude(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    assignment: &Assignment,
    ended: &mut Ended,
    watched: Option<&Watched>,
) -> Result<Vec<TaskSpec>, Box<Ended>> {
    let spec = &claimed.spec;
    let isolated = isolate::is_isolated(claimed);
    let output = ended
        .outputs
        .first()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .unwrap_or_default();
    if ended.result.verdict.is_none() {
        ended.result.verdict = verdict::last_block(&output);
    }
    if matches!(spec.work, Work::Prompt(_)) {
        weigh(spec, ended, &output);
    }
    if isolated {
        isolate::leave(world, claimed, ended).await?;
    }
    if !ended.outcome.is_success() {
        return Ok(Vec::new());
    }
    let new_tasks = if spec.planner {
        planned(world, claimed, &output).await?
    } else {
        Vec::new()
    };
    if isolated {
        isolate::land(world, claimed, assignment, ended, watched).await?;
    } else if !spec.verify.is_empty() {
        fault::pass(world.settings.fault.as_ref(), "before-verify");
        let wall = Duration::from_millis(spec.timeout_ms);
        let checks = verify::checks(world, assignment, &spec.verify, wall)
            .await
            .map_err(|why| failed(Outcome::Unavailable, why))?;
        judge(ended, checks);
    }
    Ok(new_tasks)
}

/// How long the try may take: what its link of the chain is given, or what is left of the deadline for all of them.
fn wall(claimed: &Claimed) -> Result<Duration, Box<Ended>> {
    let spec = &claimed.spec;
    let own_ms = spec.link(claimed.link).and_then(|link| link.timeout_ms);
    let deadline = claimed.since.0.saturating_add(spec.deadline_or_sum_ms());
    match deadline.saturating_sub(claimed.at.0) {
        0 => Err(failed(Outcome::TimedOut, DEADLINE_OVER.to_owned())),
        left_ms => Ok(Duration::from_millis(own_ms.unwrap_or(spec.timeout_ms).min(left_ms))),
    }
}

/// The gate of confidence: an answer that says of itself that it is not to be relied on is not good enough, whoever
/// gave it. One that says nothing passes.
fn weigh(spec: &TaskSpec, ended: &mut Ended, output: &str) {
    ended.result.confidence = verdict::confidence(output);
    let least = spec.confidence_min.unwrap_or(CONFIDENCE_MIN);
    if let Some(sure) = ended.result.confidence.filter(|sure| *sure < least)
        && ended.outcome.is_success()
    {
        ended.outcome = Outcome::LowConfidence;
        ended.detail = format!("it is {sure} % sure of its answer, and {least} % are asked for");
    }
}

/// The agent whose try it is.
fn agent(world: &World, claimed: &Claimed) -> Result<Arc<dyn Agent>, Box<Ended>> {
    let agent = world.roster.agent(&claimed.agent);
    agent.ok_or_else(|| missing_agent(world, claimed))
}

fn missing_agent(world: &World, claimed: &Claimed) -> Box<Ended> {
    let names: Vec<String> = world.roster.names().iter().map(ToString::to_string).collect();
    let detail = format!(
        "there is no agent `{}` here; there are: {}. `wheelhouse doctor` says what is missing",
        claimed.agent,
        names.join(", ")
    );
    failed(Outcome::Unavailable, detail)
}

/// Takes the results of our checks into an agent's claim.
pub(crate) fn judge(ended: &mut Ended, checks: Vec<Check>) {
    if let Some(check) = checks.iter().find(|check| !check.passed()) {
        ended.outcome = Outcome::GateFailed;
        ended.detail = match check.exit_code {
            Some(code) => format!("the check `{}` failed with exit {code}", check.command),
            None => format!("the check `{}` had to be stopped", check.command),
        };
    }
    ended.result.checks = checks;
}

async fn planned(world: &World, claimed: &Claimed, output: &str) -> Result<Vec<TaskSpec>, Box<Ended>> {
    let run = claimed.run;
    let existing = world
        .read(move |reader| {
            let mut keys: Vec<TaskKey> = Vec::new();
            loop {
                let page = reader.tasks(run, keys.len() as u64, 1_000)?;
                if page.is_empty() {
                    return Ok(keys);
                }
                keys.extend(page.into_iter().map(|task| task.key));
            }
        })
        .await?;
    let names = world.roster.names();
    let spec = world.run_spec(run).await?;
    let router = router(world, claimed.at).await?.map(RefCell::new);
    let auto = AgentName("auto".to_owned());
    let context = plan::Context {
        agents: &names,
        default_agent: if router.is_some() {
            &auto
        } else {
            &world.settings.default_agent
        },
        router: router.as_ref(),
        vars: &spec.vars,
        ..plan::Context::default()
    };
    let malformed = |why: String| failed(Outcome::Malformed, why);
    let tasks = plan::tasks_from_output(output, &existing, &context)
        .map_err(|problems| malformed(format!("the tasks it returned are not usable:\n{problems}")))?;
    if tasks.len() > PLANNED_MAX {
        return Err(malformed(format!(
            "it returned {} tasks; a planner may add {PLANNED_MAX} at the most",
            tasks.len()
        )));
    }
    Ok(tasks)
}

/// The router with the loads and obstacles of this moment.
pub(crate) async fn router(world: &World, now: Millis) -> Result<Option<Router>, Box<Ended>> {
    let Some(router) = &world.settings.router else {
        return Ok(None);
    };
    let terms = Arc::clone(&world.settings.money.terms);
    let (busy, obstacles) = world
        .read(move |reader| Ok((reader.busy()?, Obstacles::read(reader, &terms, now)?)))
        .await?;
    let mut router = (**router).clone();
    router.refresh(None, &busy.into_iter().collect(), &obstacles);
    Ok(Some(router))
}

/// Tells the history something about a try.
pub(crate) async fn report(inputs: &mpsc::Sender<Input>, lease: Lease, kind: &str, text: String) {
    let report = Input::AttemptReported {
        lease,
        kind: kind.to_owned(),
        text: bounded(&text, REPORT_MAX),
    };
    let _ = inputs.send(report).await;
}
