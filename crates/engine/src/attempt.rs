//! One try of a task, from the claim to its end: prepare, do, time, check. Reports to the dispatcher, decides nothing
//! about what follows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wheelhouse_context::count::SAMPLE_KIND;
use wheelhouse_context::receipt::REPORT_KIND;
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Ended, Inbox, Order, Reply, Sink, ToolStatus};
use wheelhouse_core::caller::MCP_NAME;
use wheelhouse_core::chain::CONFIDENCE_MIN;
use wheelhouse_core::ids::{AgentName, Lease, TaskKey};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan;
use wheelhouse_core::policy::{self, Decision, Rule};
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::quota::{self, Allowance};
use wheelhouse_core::route::{Obstacles, Router};
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{AttemptStart, Check, Claimed, TaskResult};
use wheelhouse_core::supervise::{Move, Watch};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_core::verdict;

use crate::dispatch::Input;
use crate::meter::{Meter, Standing};
use crate::prepare::{self, World, bounded};
use crate::steps::{Circled, Steps};
use crate::touching::Watched;
use crate::{
    PLANNED_MAX, REPORT_MAX, REPORTS_MAX, answering, counting, earlier, fault, isolate, memory, packet, patching, turn,
    verify, workflow,
};

/// How many events of an agent may wait to be looked at; texts beyond it are in the log only.
const EVENTS_MAX: usize = 1_024;
/// What is said of a turn that was to be interrupted and had to be ended.
const NOT_OBEYED: &str = "it did not end its turn when told to and was stopped; its session may lack the end of it";
/// What an agent is told when its request ran into the deadline.
const NOBODY: &str = "nobody answered in time: do without it, or decide yourself and say what you assumed";
/// How long an agent that was told to interrupt its turn has to say so before it is told to stop.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(10);
/// How often a try with a budget is looked at although it says nothing.
const METER_TICK: Duration = Duration::from_secs(1);
/// How long beyond its grace an agent that was told to stop may take before its future is dropped, which kills it.
const STOP_EXTRA: Duration = Duration::from_secs(10);

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

/// What a try came to.
pub(crate) struct Tried {
    pub(crate) ended: Box<Ended>,
    /// The tasks a planner returned.
    pub(crate) new_tasks: Vec<TaskSpec>,
    /// What is booked for it.
    pub(crate) spending: Spending,
}

/// Does the try. Every way out is an [`Ended`].
pub(crate) async fn attempt(
    world: Arc<World>,
    claimed: Arc<Claimed>,
    orders: mpsc::Receiver<Word>,
    inputs: mpsc::Sender<Input>,
) -> Tried {
    let mut spending = Spending::default();
    let claimed = match earlier::begins_anew(&world, &claimed).await {
        Ok(true) => Arc::new(Claimed {
            session: None,
            ..(*claimed).clone()
        }),
        Ok(false) => claimed,
        Err(ended) => {
            return Tried {
                ended,
                new_tasks: Vec::new(),
                spending,
            };
        }
    };
    let work = match workflow::not_needed(&world, &claimed).await {
        Ok(None) => attempt_inner(&world, &claimed, orders, &inputs, &mut spending).await,
        Ok(Some(ended)) => Ok((ended, Vec::new())),
        Err(ended) => Err(ended),
    };
    let (ended, new_tasks) = match work {
        Ok(work) => work,
        Err(ended) => (ended, Vec::new()),
    };
    Tried {
        ended,
        new_tasks,
        spending,
    }
}

async fn attempt_inner(
    world: &Arc<World>,
    claimed: &Arc<Claimed>,
    orders: mpsc::Receiver<Word>,
    inputs: &mpsc::Sender<Input>,
    spending: &mut Spending,
) -> Result<(Box<Ended>, Vec<TaskSpec>), Box<Ended>> {
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
        return Ok((ended, Vec::new()));
    }
    let packet = packet::inject(world, claimed, tree.as_ref(), &mut assignment).await;
    let shown = patching::brief(world, claimed, tree.as_ref(), &mut assignment).await?;
    let agent = agent(world, claimed)?;
    answering::brief(spec, agent.capabilities(), &mut assignment);
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
        steps: Steps::new(world.settings.context.of(&claimed.agent), agent.capabilities()),
        is_stuck: false,
        interrupt_end: None,
        meter: Meter::new(&world.settings.money, claimed),
        account: world.settings.money.terms.account(&claimed.agent),
        birth: Instant::now(),
    };
    if let Some(why) = spec.routed.as_ref().filter(|_| claimed.attempt == 1) {
        line.report("route", why.clone()).await;
    }
    for notice in tree.iter().flat_map(|tree| &tree.notices) {
        line.report("notice", notice.clone()).await;
    }
    for receipt in receipts.into_iter().chain(packet) {
        line.report(REPORT_KIND, receipt.line()).await;
    }
    let work = watch(agent.as_ref(), assignment.clone(), limits, orders, &mut line);
    let watched = match &tree {
        Some(_) => Some(isolate::watched(world, claimed, inputs).await?),
        None => None,
    };
    let mut ended = match &watched {
        Some(watched) => watched.beside(work).await,
        None => work.await,
    };
    *spending = line.meter.close(&mut ended, line.elapsed_ms());
    if let Some(sample) = counting::sample(agent.capabilities(), &assignment, &ended, spending).await {
        line.report(SAMPLE_KIND, sample.line()).await;
    }
    origin(world, claimed, &line, &mut ended).await;
    fault::pass(fault, "before-settle");
    if let (Some(shown), Some(tree)) = (&shown, &tree)
        && ended.outcome.is_success()
    {
        patching::apply(claimed, (&tree.project, shown), &mut ended, inputs).await;
    }
    answering::check(spec, &mut ended);
    let new_tasks = match conclude(world, claimed, &assignment, &mut ended, watched.as_ref()).await {
        Ok(new_tasks) => new_tasks,
        Err(failure) => {
            // What the agent consumed and produced stays on record.
            (ended.outcome, ended.detail) = (failure.outcome, failure.detail);
            Vec::new()
        }
    };
    for kept in memory::learn(world, claimed, &ended).await {
        line.report("memory", kept).await;
    }
    let new_tasks = if ended.outcome.is_success() {
        new_tasks
    } else {
        Vec::new()
    };
    Ok((Box::new(ended), new_tasks))
}

/// Who gave the result stays with it, and what the tries of its task did, this one included.
async fn origin(world: &World, claimed: &Claimed, line: &Line, ended: &mut Ended) {
    ended.result.link = claimed.link;
    ended.result.model = line.meter.model_used();
    let before = earlier::earlier(world, claimed).await.ok().flatten();
    let before = before.and_then(|earlier| earlier.trail().cloned()).unwrap_or_default();
    ended.result.trail = before.then(line.steps.trail());
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

#[derive(Clone, Copy)]
struct Limits {
    idle: Duration,
    wall: Duration,
    grace: Duration,
}

/// Has the agent do it while the timers run. Idle and wall are ours: no vendor's timer is trusted.
async fn watch(
    agent: &dyn wheelhouse_core::agent::Agent,
    assignment: Assignment,
    limits: Limits,
    mut orders: mpsc::Receiver<Word>,
    line: &mut Line,
) -> Ended {
    let birth = Instant::now();
    let can_interrupt = agent.capabilities().interrupt;
    let (events, mut reports) = mpsc::channel(EVENTS_MAX);
    let pulse = Arc::new(Pulse {
        birth,
        last_ms: AtomicU64::new(0),
        events,
    });
    let (to_agent, inbox) = mpsc::unbounded_channel();
    let sink: Arc<dyn Sink> = Arc::clone(&pulse) as Arc<dyn Sink>;
    let mut work = agent.attempt(assignment, Box::new(Queue(inbox)), sink);
    // What ended it before its own end, and when our patience with that is over.
    let mut cut: Option<(Outcome, Instant)> = None;
    let mut ordered = true;
    loop {
        let wall_end = birth + limits.wall;
        let deadline = match &cut {
            Some((_, end)) => *end,
            None => line.patience_end(birth, pulse.last(), limits),
        };
        let tick = if line.meter.has_line() && cut.is_none() {
            Instant::now() + METER_TICK
        } else {
            deadline
        };
        tokio::select! {
            biased;
            ended = &mut work => {
                // What a short try reported before its end is still in the queue.
                while let Ok(event) = reports.try_recv() {
                    line.tell(event, birth.elapsed()).await;
                }
                let why = line.meter.why_over(line.elapsed_ms());
                let interrupted = line.interrupt_end.is_some();
                let ended = classify(ended, cut.map(|(outcome, _)| outcome), limits, interrupted, why);
                return line.stalled(ended);
            }
            order = orders.recv(), if ordered => match order {
                Some(Word::Granted(granted_nano)) => {
                    if line.granted(granted_nano) && cut.is_none() {
                        let order = if can_interrupt { Order::Interrupt } else { Order::Stop };
                        let _ = to_agent.send(order);
                        cut = Some((Outcome::BudgetExhausted, Instant::now() + limits.grace + STOP_EXTRA));
                    }
                }
                Some(Word::Order(order)) => {
                    line.heed(&order, can_interrupt);
                    if matches!(order, Order::Stop | Order::Kill) && cut.is_none() {
                        cut = Some((Outcome::Killed, Instant::now() + limits.grace + STOP_EXTRA));
                    }
                    if matches!(order, Order::Answer { .. }) {
                        pulse.touch();
                    }
                    // The agent may be at its end already.
                    let _ = to_agent.send(order);
                }
                None => ordered = false,
            },
            Some(event) = reports.recv() => {
                if let Some(order) = line.tell(event, birth.elapsed()).await {
                    let _ = to_agent.send(order);
                }
            }
            () = tokio::time::sleep_until(deadline.min(tick)) => {
                if tick < deadline && Instant::now() < deadline {
                    line.look_at_line().await;
                    continue;
                }
                if let Some((outcome, _)) = cut {
                    // It was told to stop and did not: dropping the future kills what it started.
                    drop(work);
                    return line.stalled(*disobeyed(outcome));
                }
                let now = Instant::now();
                if let Some(order) = line.look(pulse.last(), birth.elapsed()).await {
                    let _ = to_agent.send(order);
                    continue;
                }
                if let Some(answer) = line.overdue(now).await {
                    pulse.touch();
                    let _ = to_agent.send(answer);
                    continue;
                }
                let idle_end = birth + pulse.last() + limits.idle;
                let Some(outcome) = line.overran(now, wall_end, idle_end) else {
                    continue;
                };
                let _ = to_agent.send(Order::Stop);
                cut = Some((outcome, now + limits.grace + STOP_EXTRA));
            }
        }
    }
}

fn disobeyed(outcome: Outcome) -> Box<Ended> {
    let mut ended = failed(outcome, "it ignored the order to stop and was killed".to_owned());
    // It was at work: what it cost is not nothing because it told nobody.
    ended.cost = Cost::Unknown;
    ended
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What we cut short did not end by itself; whatever else it says about its end, the reason is ours.
fn classify(mut ended: Ended, cut: Option<Outcome>, limits: Limits, interrupted: bool, why_over: String) -> Ended {
    match cut {
        Some(Outcome::BudgetExhausted) if !ended.outcome.is_success() => {
            ended.outcome = Outcome::BudgetExhausted;
            ended.detail = why_over;
            ended
        }
        Some(outcome @ (Outcome::TimedOut | Outcome::Stalled)) if !ended.outcome.is_success() => {
            let (what, limit) = match outcome {
                Outcome::TimedOut => ("was not done", limits.wall),
                _ => ("gave no sign of life", limits.idle),
            };
            ended.detail = format!(
                "it {what} within {} and was stopped",
                wheelhouse_core::time::human(limit)
            );
            ended.outcome = outcome;
            ended
        }
        // Only an interrupt that was not obeyed cuts a try that is still ours as killed.
        Some(Outcome::Killed) if !ended.outcome.is_success() && interrupted => {
            ended.outcome = Outcome::Killed;
            ended.detail = NOT_OBEYED.to_owned();
            ended
        }
        Some(_) | None => ended,
    }
}

/// Where the agent's events go: the time of the last one is a number, the rest waits in a bounded queue.
struct Pulse {
    birth: Instant,
    last_ms: AtomicU64,
    events: mpsc::Sender<AgentEvent>,
}

impl Pulse {
    fn last(&self) -> Duration {
        Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    fn touch(&self) {
        let since = u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(since, Ordering::Relaxed);
    }
}

impl Sink for Pulse {
    fn event(&self, event: AgentEvent) {
        self.touch();
        match event {
            AgentEvent::Alive | AgentEvent::Text(_) | AgentEvent::Thought(_) => {}
            // Beyond the limit an event is lost to the history; the raw log has it.
            event => drop(self.events.try_send(event)),
        }
    }
}

struct Queue(mpsc::UnboundedReceiver<Order>);

impl Inbox for Queue {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(self.0.recv())
    }
}

/// The line from a try to the dispatcher.
struct Line {
    lease: Lease,
    inputs: mpsc::Sender<Input>,
    reports: u32,
    /// Requests that a person has been asked about, and until when they may answer.
    open: BTreeMap<String, (Instant, QuestionKind)>,
    agent: AgentName,
    policy: Vec<Rule>,
    /// Whether it was given Wheelhouse as an MCP server.
    has_ours: bool,
    patience: Duration,
    fault: Option<fault::Fault>,
    /// The watch over a turn of an instance.
    watch: Option<Watch>,
    /// What its tool calls tell.
    steps: Steps,
    /// The supervisor interrupted it.
    is_stuck: bool,
    /// When an agent that was told to interrupt its turn is out of time.
    interrupt_end: Option<Instant>,
    meter: Meter,
    /// The account the agent works on.
    account: String,
    birth: Instant,
}

impl Line {
    /// Passes on what the history wants; gives back what the agent must be told.
    async fn tell(&mut self, event: AgentEvent, now: Duration) -> Option<Order> {
        let mut order = None;
        let report = match event {
            AgentEvent::Started { session, process } => {
                let start = AttemptStart { session, process };
                let lease = self.lease;
                let _ = self.inputs.send(Input::AttemptStarted { lease, start }).await;
                fault::pass(self.fault.as_ref(), "after-start");
                None
            }
            AgentEvent::Tool {
                id,
                status: ToolStatus::Started,
                detail,
                ..
            } => {
                self.steps.called(id, detail);
                None
            }
            AgentEvent::Tool {
                id,
                name,
                status,
                detail,
            } => {
                let (about, circle) = self.steps.came_back(&id, &name, status, &detail);
                order = self.returned(&name, status, &detail, now).await;
                if let (None, Some(circle)) = (&order, circle) {
                    order = self.circled(&circle.to_string(), now).await;
                }
                let said = if about.is_empty() || about == detail {
                    &detail
                } else {
                    &about
                };
                Some((
                    "tool",
                    match status {
                        ToolStatus::Started | ToolStatus::Succeeded => format!("{name} {said}"),
                        ToolStatus::Failed if *said == detail => format!("{name} (failed) {said}"),
                        ToolStatus::Failed => format!("{name} (failed) {said}: {detail}"),
                        ToolStatus::Denied => format!("{name} (denied) {said}"),
                    },
                ))
            }
            AgentEvent::Permission { request, tool, detail } => return self.permission(request, &tool, &detail).await,
            AgentEvent::Question { request, text } => {
                self.ask(QuestionKind::Words, request, text).await;
                None
            }
            AgentEvent::Notice(text) => Some(("notice", text)),
            AgentEvent::Child { id, detail } => Some(("child", format!("{id} {detail}"))),
            AgentEvent::Limit { what, resets_at } => {
                self.limited(&what, resets_at).await;
                Some(("limit", what))
            }
            AgentEvent::Model(model) => {
                self.meter.model(model);
                None
            }
            AgentEvent::Usage(usage) => {
                self.meter.usage(usage);
                self.look_at_line().await;
                None
            }
            AgentEvent::Plan(items) => Some(("plan", items.join("\n"))),
            AgentEvent::Raw(text) => Some(("unknown", text)),
            AgentEvent::Alive | AgentEvent::Text(_) | AgentEvent::Thought(_) => None,
        };
        if let Some((kind, text)) = report {
            self.report(kind, text).await;
        }
        order
    }

    /// When the supervisor looks next, counted from the start of the turn. Who waits for a person is not stuck.
    fn next_look(&self, heard: Duration) -> Option<Duration> {
        let watch = self.watch.as_ref().filter(|_| self.open.is_empty() && !self.is_stuck)?;
        watch.due_ms(millis(heard)).map(Duration::from_millis)
    }

    /// What the supervisor makes of the silence.
    async fn look(&mut self, heard: Duration, now: Duration) -> Option<Order> {
        if !self.open.is_empty() || self.is_stuck {
            return None;
        }
        let step = self.watch.as_mut()?.look(millis(heard), millis(now))?;
        self.intervene(
            step,
            &format!(
                "no sign of life for {}",
                wheelhouse_core::time::human(now.saturating_sub(heard))
            ),
        )
        .await
    }

    /// A tool call came back.
    async fn returned(&mut self, name: &str, status: ToolStatus, detail: &str, now: Duration) -> Option<Order> {
        let watch = self.watch.as_mut()?;
        match status {
            ToolStatus::Failed => {
                let step = watch.failed(&format!("{name} {detail}"), millis(now))?;
                self.intervene(step, &format!("{name} fails in the same way again and again"))
                    .await
            }
            ToolStatus::Succeeded => {
                watch.succeeded();
                None
            }
            ToolStatus::Started | ToolStatus::Denied => None,
        }
    }

    /// Its tool calls go round in circles. A turn of an instance is met as any other that makes no progress; a task is told
    /// once, and stopped when it goes on.
    async fn circled(&mut self, why: &str, now: Duration) -> Option<Order> {
        if self.is_stuck {
            return None;
        }
        if let Some(watch) = &mut self.watch {
            let step = watch.circled(millis(now))?;
            return self.intervene(step, why).await;
        }
        let (said, order) = match self.steps.circled(why) {
            Circled::Nudge(words) => ("nudged", Some(Order::Steer(words.to_owned()))),
            Circled::Seen => ("seen", None),
            Circled::Stop(order) => {
                self.is_stuck = true;
                self.interrupt_end.get_or_insert(Instant::now() + INTERRUPT_PATIENCE);
                ("stopped", Some(order))
            }
        };
        self.report("supervisor", format!("{said}: {why}")).await;
        order
    }

    async fn intervene(&mut self, step: Move, why: &str) -> Option<Order> {
        let (kind, said, order) = match step {
            Move::Nudge(words) => ("supervisor", "nudged", Some(Order::Steer(words.to_owned()))),
            Move::Interrupt => {
                self.is_stuck = true;
                self.interrupt_end.get_or_insert(Instant::now() + INTERRUPT_PATIENCE);
                ("supervisor", "interrupted", Some(Order::Interrupt))
            }
            Move::Escalate => ("needs_attention", "a person must look", None),
        };
        self.report(kind, format!("{said}: {why}")).await;
        order
    }

    /// A turn that obeyed the supervisor's interrupt was not cancelled by anybody.
    fn stalled(&self, mut ended: Ended) -> Ended {
        if self.is_stuck && !ended.outcome.is_success() {
            ended.outcome = Outcome::Stalled;
            ended.detail = match self.steps.stopped() {
                Some(why) => format!("it went round in circles and was stopped: {why}"),
                None => "it made no progress, and its turn was interrupted".to_owned(),
            };
        }
        ended
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the store what was consumed, and asks for more, when it is time.
    async fn look_at_line(&mut self) {
        if let Standing::Asks(reading) = self.meter.standing(self.elapsed_ms()) {
            let lease = self.lease;
            let _ = self.inputs.send(Input::AttemptMetered { lease, reading }).await;
        }
    }

    /// Takes the store's answer. True: there is no more, and it is at its line.
    fn granted(&mut self, granted_nano: Option<u64>) -> bool {
        self.meter.granted(granted_nano);
        self.meter.standing_after_answer(self.elapsed_ms()) == Standing::Over
    }

    async fn limited(&self, what: &str, resets_at: Option<Millis>) {
        let allowance = Allowance {
            account: self.account.clone(),
            window: quota::window(what),
            what: bounded(what, REPORT_MAX),
            exhausted: false,
            resets_at,
            seen_at: Millis(0),
        };
        let _ = self.inputs.send(Input::Limited(allowance)).await;
    }

    /// Policy first, then a person.
    async fn permission(&mut self, request: String, tool: &str, detail: &str) -> Option<Order> {
        let ruled = policy::ruled(&self.policy, self.agent.as_str(), tool, detail);
        let (answer, word) = match ruled {
            Some(Decision::Allow) => (Reply::Allow, "allowed by a rule"),
            Some(Decision::Deny) => (Reply::Deny("a rule forbids it".to_owned()), "denied by a rule"),
            None if self.has_ours && turn::is_ours(tool) => (Reply::Allow, "allowed within its rights"),
            Some(Decision::Ask) | None => {
                self.ask(QuestionKind::Permission, request, format!("{tool} {detail}"))
                    .await;
                return None;
            }
        };
        self.report("permission", format!("{word}: {tool} {detail}")).await;
        Some(Order::Answer { request, answer })
    }

    async fn ask(&mut self, kind: QuestionKind, request: String, text: String) {
        self.open
            .insert(request.clone(), (Instant::now() + self.patience, kind));
        let asked = Input::AttemptAsked {
            lease: self.lease,
            kind,
            request,
            text: bounded(&text, REPORT_MAX),
        };
        let _ = self.inputs.send(asked).await;
    }

    /// Notes what an order on its way to the agent changes here.
    fn heed(&mut self, order: &Order, can_interrupt: bool) {
        match order {
            Order::Interrupt => {
                let patience = if can_interrupt {
                    INTERRUPT_PATIENCE
                } else {
                    Duration::ZERO
                };
                self.interrupt_end.get_or_insert(Instant::now() + patience);
            }
            Order::Answer { request, .. } => drop(self.open.remove(request)),
            Order::Steer(_) | Order::Stop | Order::Kill => {}
        }
    }

    /// Why it is to be stopped now, if it is.
    fn overran(&self, now: Instant, wall_end: Instant, idle_end: Instant) -> Option<Outcome> {
        if self.interrupt_end.is_some_and(|end| end <= now) {
            Some(Outcome::Killed)
        } else if wall_end <= now {
            Some(Outcome::TimedOut)
        } else if idle_end <= now && self.open.is_empty() {
            Some(Outcome::Stalled)
        } else {
            None
        }
    }

    /// When something is due although nothing comes, unless it was cut short already.
    fn patience_end(&self, birth: Instant, heard: Duration, limits: Limits) -> Instant {
        let wall_end = birth + limits.wall;
        // Who waits for a person is not idle.
        let pause_end = self.next_deadline().unwrap_or(birth + heard + limits.idle);
        let look_end = self.next_look(heard).map_or(wall_end, |look| birth + look);
        let interrupt_end = self.interrupt_end.unwrap_or(wall_end);
        pause_end.min(wall_end).min(interrupt_end).min(look_end)
    }

    /// When the first open request gets its safe answer.
    fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|(until, _)| *until).min()
    }

    /// The safe answer to a request that nobody answered in time.
    async fn overdue(&mut self, now: Instant) -> Option<Order> {
        let request = self.open.iter().find(|(_, (until, _))| *until <= now)?.0.clone();
        let (_, kind) = self.open.remove(&request)?;
        let defaulted = Input::AttemptDefaulted {
            lease: self.lease,
            request: request.clone(),
            answer: NOBODY.to_owned(),
        };
        let _ = self.inputs.send(defaulted).await;
        let answer = match kind {
            QuestionKind::Words => Reply::Words(NOBODY.to_owned()),
            QuestionKind::Approval | QuestionKind::Failure | QuestionKind::Permission | QuestionKind::Conflict => {
                Reply::Deny(NOBODY.to_owned())
            }
        };
        Some(Order::Answer { request, answer })
    }

    async fn report(&mut self, kind: &str, text: String) {
        if self.reports >= REPORTS_MAX {
            return;
        }
        self.reports += 1;
        report(&self.inputs, self.lease, kind, text).await;
    }
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
