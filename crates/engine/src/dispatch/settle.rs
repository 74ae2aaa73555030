//! What becomes of a try that ended: settled, tried again, returned, or handed to a person.

use wheelhouse_core::agent::Ended;
use wheelhouse_core::analysis::{Facts, analyse};
use wheelhouse_core::chain;
use wheelhouse_core::disposition::{Disposition, Moment, Tries, dispose};
use wheelhouse_core::ids::Lease;
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::route::features::Features;
use wheelhouse_core::route::past::Sketch;
use wheelhouse_core::soft;
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{ArtifactBytes, Claimed, Command, EndedBy, Learned, Next, Settlement};
use wheelhouse_core::time::Millis;

use super::{Active, Cut, Dispatcher, Tried};
use crate::meter::asked_model;

impl Dispatcher {
    pub(super) fn attempt_ended(&mut self, lease: Lease, mut tried: Tried, now: Millis) {
        let Some(active) = self.running.remove(&lease.task) else {
            return;
        };
        self.claim_wanted = true;
        if self.running.is_empty() {
            self.beat_at = None;
        }
        let over = Next::Done { continues: false };
        match active.cut {
            Some(Cut::Lost) => {}
            Some(Cut::Stopping) if !tried.ended.outcome.is_success() => self.give_back(lease, tried.spending),
            Some(Cut::Cancelled) => {
                tried.ended.outcome = Outcome::Cancelled;
                tried.new_tasks = Vec::new();
                self.settle(lease, tried, over, None);
            }
            // How it obeyed is its outcome: `cancelled` when it said so, `killed` when it had to be ended.
            Some(Cut::Interrupted) => {
                tried.new_tasks = Vec::new();
                self.settle(lease, tried, over, None);
            }
            Some(Cut::Stopping) | None => {
                let next = self.decide(&active.claimed, &tried.ended, now);
                let next = self.asked_first(&active, next, &tried.ended);
                let learned = match tried.by {
                    EndedBy::Agent => learned(&active.claimed, &next),
                    EndedBy::House => None,
                };
                self.settle(lease, tried, next, learned);
            }
        }
    }

    /// Nothing of a workflow runs while it decides, so a stopping engine lets it write down what it decided.
    pub(super) fn workflow_awaits(&mut self, lease: Lease, children: Vec<TaskSpec>, open_max: u32) {
        match self.left(lease) {
            None | Some(Some(Cut::Lost)) => {}
            Some(Some(Cut::Cancelled | Cut::Interrupted)) => self.settle_cancelled(lease),
            Some(Some(Cut::Stopping) | None) => self.queue.push_back(Command::Await {
                lease,
                children,
                open_max,
            }),
        }
    }

    pub(super) fn workflow_ended(&mut self, lease: Lease, ended: Ended, next: Next) {
        match self.left(lease) {
            None | Some(Some(Cut::Lost)) => {}
            Some(Some(Cut::Cancelled | Cut::Interrupted)) => self.settle_cancelled(lease),
            Some(Some(Cut::Stopping) | None) => {
                self.settle(lease, Tried::by_the_house(Box::new(ended)), next, None);
            }
        }
    }

    /// A try is not running any more; with what cut it short, if anything did. None: it was not ours.
    pub(super) fn left(&mut self, lease: Lease) -> Option<Option<Cut>> {
        let active = self.running.remove(&lease.task)?;
        self.claim_wanted = true;
        if self.running.is_empty() {
            self.beat_at = None;
        }
        Some(active.cut)
    }

    pub(super) fn settle_cancelled(&mut self, lease: Lease) {
        let ended = crate::attempt::failed(Outcome::Cancelled, String::new());
        let next = Next::Done { continues: false };
        self.settle(lease, Tried::by_the_house(ended), next, None);
    }

    pub(super) fn decide(&mut self, claimed: &Claimed, ended: &Ended, now: Millis) -> Next {
        let tries = Tries {
            link: claimed.link,
            on_link: claimed.on_agent,
            since: claimed.since,
        };
        let moment = Moment {
            now: self.store_time(now),
            jitter: self.draw(),
            quota: self.limits.terms.quota,
        };
        let spec = &claimed.spec;
        let try_at = |at, link, quota| Next::TryAt {
            at,
            link,
            agent: spec.link(link).map_or_else(|| claimed.agent.clone(), |link| link.agent),
            quota,
        };
        match dispose(spec, &ended.outcome, &tries, moment) {
            Disposition::Done => Next::Done { continues: false },
            Disposition::DoneAndContinue => Next::Done { continues: true },
            Disposition::TryAt { at, link, unwaited_ms } => {
                if let Some(text) = chain::went_on(spec, claimed.link, link, &ended.outcome, unwaited_ms) {
                    self.queue.push_back(Command::Report {
                        lease: claimed.lease,
                        kind: chain::REPORT_KIND.to_owned(),
                        text,
                    });
                }
                try_at(at, link, false)
            }
            Disposition::HoldUntil { at, link } => try_at(at, link, true),
            // Not a person's judgement is missing, but money: it goes on when there is some.
            Disposition::Ask if ended.outcome == Outcome::BudgetExhausted => Next::AwaitBudget,
            Disposition::Ask => Next::Ask {
                kind: match ended.outcome {
                    Outcome::Conflict => QuestionKind::Conflict,
                    _ => QuestionKind::Failure,
                },
                text: question(claimed, ended),
            },
        }
    }

    pub(super) fn settle(&mut self, lease: Lease, tried: Tried, next: Next, learned: Option<Learned>) {
        let Tried {
            ended,
            new_tasks,
            spending,
            by,
        } = tried;
        let Ended {
            outcome,
            detail,
            mut result,
            outputs,
            usage,
            cost,
            session: _,
        } = *ended;
        // What a summary says already (a command's own `exit 3` and its last line) is not told twice.
        let told = detail.split(": ").all(|part| result.summary.contains(part));
        let adds = !told || result.summary.len() <= detail.len();
        if adds && !outcome.is_success() {
            result.summary = if told || result.summary.is_empty() {
                detail
            } else {
                format!("{detail}\n\n{}", result.summary)
            };
        }
        let artifacts = result
            .artifacts
            .iter()
            .zip(outputs)
            .map(|(artifact, bytes)| ArtifactBytes {
                hash: artifact.hash.clone(),
                bytes,
            })
            .collect();
        let settlement = Box::new(Settlement {
            outcome,
            next,
            result,
            usage,
            cost,
            artifacts,
            new_tasks,
            learned,
            spending,
            by,
        });
        self.queue.push_back(Command::Settle { lease, settlement });
    }

    /// Keeps in mind what is decided by when a try ends.
    pub(super) fn reported(&mut self, lease: Lease, kind: String, text: String) {
        if kind == soft::PASSED_KIND
            && let Some(active) = self.running.get_mut(&lease.task)
        {
            active.passed = Some(text.clone());
        }
        self.queue.push_back(Command::Report { lease, kind, text });
    }

    /// A try that failed beyond the soft line is not repeated unasked, where that is wanted.
    fn asked_first(&self, active: &Active, next: Next, ended: &Ended) -> Next {
        match (next, &active.passed, self.limits.terms.soft) {
            (Next::TryAt { quota: false, .. }, Some(passed), soft::Policy::Ask) => Next::Ask {
                kind: QuestionKind::Failure,
                text: format!("{}\n\nbefore another try: {passed}", question(&active.claimed, ended)),
            },
            (next, _, _) => next,
        }
    }

    pub(super) fn give_back(&mut self, lease: Lease, spending: Spending) {
        self.returned += 1;
        self.queue.push_back(Command::Return {
            lease,
            why: "the engine was stopped".to_owned(),
            spending,
        });
    }
}

/// What routing is to remember of a prompt that is over. Commands teach nothing about agents.
fn learned(claimed: &Claimed, next: &Next) -> Option<Learned> {
    let (Work::Prompt(text), Next::Done { .. }) = (&claimed.spec.work, next) else {
        return None;
    };
    let facts = Facts {
        text,
        files: &claimed.spec.files,
        checks: claimed.spec.verify.len(),
        material_tokens: None,
    };
    Some(Learned {
        kind: analyse(&facts).kind.value,
        sketch: Sketch::of(text),
        features: Features::of(text),
        model: asked_model(claimed),
    })
}

fn question(claimed: &Claimed, ended: &Ended) -> String {
    let detail = match (ended.detail.as_str(), ended.result.summary.as_str()) {
        ("", "") => String::new(),
        ("", summary) => format!(": {summary}"),
        (detail, _) => format!(": {detail}"),
    };
    let remedy = ended.outcome.remedy(&claimed.agent);
    let remedy = remedy
        .map(|remedy| format!(" ({remedy}, then answer `retry`)"))
        .unwrap_or_default();
    format!(
        "`{}` ended as {} on {} (try {}){detail}{remedy}",
        claimed.spec.key, ended.outcome, claimed.agent, claimed.attempt
    )
}
