//! The line from a try to the dispatcher: what the agent says is sorted into reports, questions, usage and orders back.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wheelhouse_core::agent::{AgentEvent, Ended, Order, Reply, ToolStatus};
use wheelhouse_core::ids::{AgentName, Lease};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::policy::{self, Decision, Rule};
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::quota::{self, Allowance};
use wheelhouse_core::soft::{EXPECTED_KIND, PASSED_KIND};
use wheelhouse_core::store::AttemptStart;
use wheelhouse_core::supervise::{Move, Watch};
use wheelhouse_core::time::Millis;

use super::report;
use super::watch::{Limits, millis};
use crate::dispatch::Input;
use crate::handshake::Handshake;
use crate::meter::{Meter, Standing};
use crate::prepare::bounded;
use crate::steps::{Circled, Steps};
use crate::{REPORT_MAX, REPORTS_MAX, fault, soft, turn};

/// How long an agent that was told to interrupt its turn has to say so before it is told to stop.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(10);
/// What an agent is told when its request ran into the deadline.
const NOBODY: &str = "nobody answered in time: do without it, or decide yourself and say what you assumed";

/// The line from a try to the dispatcher.
pub(super) struct Line {
    pub(super) lease: Lease,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) reports: u32,
    /// Requests that a person has been asked about, and until when they may answer.
    pub(super) open: BTreeMap<String, (Instant, QuestionKind)>,
    pub(super) agent: AgentName,
    pub(super) policy: Vec<Rule>,
    /// Whether it was given Wheelhouse as an MCP server.
    pub(super) has_ours: bool,
    pub(super) patience: Duration,
    pub(super) fault: Option<fault::Fault>,
    /// The watch over a turn of an instance.
    pub(super) watch: Option<Watch>,
    /// What its tool calls tell.
    pub(super) steps: Steps,
    /// What it has to say about the files it is told of.
    pub(super) handshake: Handshake,
    /// The supervisor interrupted it.
    pub(super) is_stuck: bool,
    /// When an agent that was told to interrupt its turn is out of time.
    pub(super) interrupt_end: Option<Instant>,
    pub(super) meter: Meter,
    /// Where somebody is told that it takes more than its like.
    pub(super) soft: Option<soft::Standing>,
    /// The account the agent works on.
    pub(super) account: String,
    pub(super) birth: Instant,
}

impl Line {
    /// Passes on what the history wants; gives back what the agent must be told.
    pub(super) async fn tell(&mut self, event: AgentEvent, now: Duration) -> Option<Order> {
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
            AgentEvent::Text(text) => {
                self.handshake.heard(&text);
                None
            }
            AgentEvent::Alive | AgentEvent::Thought(_) => None,
        };
        if let Some((kind, text)) = report {
            self.report(kind, text).await;
        }
        order
    }

    /// When the supervisor looks next, counted from the start of the turn. Who waits for a person is not stuck.
    pub(super) fn next_look(&self, heard: Duration) -> Option<Duration> {
        let watch = self.watch.as_ref().filter(|_| self.open.is_empty() && !self.is_stuck)?;
        watch.due_ms(millis(heard)).map(Duration::from_millis)
    }

    /// What the supervisor makes of the silence.
    pub(super) async fn look(&mut self, heard: Duration, now: Duration) -> Option<Order> {
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
    pub(super) async fn returned(
        &mut self,
        name: &str,
        status: ToolStatus,
        detail: &str,
        now: Duration,
    ) -> Option<Order> {
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
    pub(super) async fn circled(&mut self, why: &str, now: Duration) -> Option<Order> {
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

    pub(super) async fn intervene(&mut self, step: Move, why: &str) -> Option<Order> {
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
    pub(super) fn stalled(&self, mut ended: Ended) -> Ended {
        if self.is_stuck && !ended.outcome.is_success() {
            ended.outcome = Outcome::Stalled;
            ended.detail = match self.steps.stopped() {
                Some(why) => format!("it went round in circles and was stopped: {why}"),
                None => "it made no progress, and its turn was interrupted".to_owned(),
            };
        }
        ended
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the store what was consumed, and asks for more, when it is time.
    pub(super) async fn look_at_line(&mut self) {
        self.look_at_soft_line(self.meter.counted_nano(self.elapsed_ms())).await;
        if let Standing::Asks(reading) = self.meter.standing(self.elapsed_ms()) {
            let lease = self.lease;
            let _ = self.inputs.send(Input::AttemptMetered { lease, reading }).await;
        }
    }

    /// Says once that it took more than its like.
    pub(super) async fn look_at_soft_line(&mut self, counted_nano: u64) {
        if let Some(passed) = self.soft.as_mut().and_then(|soft| soft.passed(counted_nano)) {
            self.report(PASSED_KIND, passed).await;
        }
    }

    /// What is said before it begins: why it has this agent, and what it is expected to take.
    pub(super) async fn say_first(&mut self, routed: Option<&String>) {
        if let Some(why) = routed {
            self.report("route", why.clone()).await;
        }
        if let Some(soft) = self.soft {
            self.report(EXPECTED_KIND, soft.expectation()).await;
        }
    }

    /// Takes the store's answer. True: there is no more, and it is at its line.
    pub(super) fn granted(&mut self, granted_nano: Option<u64>) -> bool {
        self.meter.granted(granted_nano);
        self.meter.standing_after_answer(self.elapsed_ms()) == Standing::Over
    }

    pub(super) async fn limited(&self, what: &str, resets_at: Option<Millis>) {
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
    pub(super) async fn permission(&mut self, request: String, tool: &str, detail: &str) -> Option<Order> {
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

    pub(super) async fn ask(&mut self, kind: QuestionKind, request: String, text: String) {
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
    pub(super) fn heed(&mut self, order: &Order, can_interrupt: bool) {
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
    pub(super) fn overran(&self, now: Instant, wall_end: Instant, idle_end: Instant) -> Option<Outcome> {
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
    pub(super) fn patience_end(&self, birth: Instant, heard: Duration, limits: Limits) -> Instant {
        let wall_end = birth + limits.wall;
        // Who waits for a person is not idle.
        let pause_end = self.next_deadline().unwrap_or(birth + heard + limits.idle);
        let look_end = self.next_look(heard).map_or(wall_end, |look| birth + look);
        let interrupt_end = self.interrupt_end.unwrap_or(wall_end);
        pause_end.min(wall_end).min(interrupt_end).min(look_end)
    }

    /// When the first open request gets its safe answer.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|(until, _)| *until).min()
    }

    /// The safe answer to a request that nobody answered in time.
    pub(super) async fn overdue(&mut self, now: Instant) -> Option<Order> {
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

    pub(super) async fn report(&mut self, kind: &str, text: String) {
        if self.reports >= REPORTS_MAX {
            return;
        }
        self.reports += 1;
        report(&self.inputs, self.lease, kind, text).await;
    }
}
