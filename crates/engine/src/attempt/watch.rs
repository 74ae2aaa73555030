//! An agent at work, and the timers that run beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wheelhouse_core::agent::{AgentEvent, Assignment, BoxFuture, Ended, Inbox, Order, Sink};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::Cost;

use super::line::Line;
use super::{Word, failed};

/// How many events of an agent may wait to be looked at; texts beyond it are in the log only.
const EVENTS_MAX: usize = 1_024;
/// How long beyond its grace an agent that was told to stop may take before its future is dropped, which kills it.
const STOP_EXTRA: Duration = Duration::from_secs(10);
/// How often a try with a budget is looked at although it says nothing.
const METER_TICK: Duration = Duration::from_secs(1);
/// What is said of a turn that was to be interrupted and had to be ended.
const NOT_OBEYED: &str = "it did not end its turn when told to and was stopped; its session may lack the end of it";

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: Duration,
    pub(super) wall: Duration,
    pub(super) grace: Duration,
}

/// Has the agent do it while the timers run. Idle and wall are ours: no vendor's timer is trusted.
pub(super) async fn watch(
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

pub(super) fn millis(span: Duration) -> u64 {
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
