//! `gate`: a chain whose answers somebody else judges before they count.
//!
//! The first child has the whole chain: breakers, retries and the deadline are those of every other task. What it answers is
//! read by a judge of another vendor than its author's, who is not told who wrote it. What does not pass moves on without
//! another try there: the next child has what is left of the chain, and is told what was wrong. When nobody passes, the
//! answer with the best score is kept and called weak. A judge that crashes, cannot tell, or gives no verdict approves of
//! nothing and rejects nothing: a person is asked, in place of paying for the rest of the chain because a judge is broken.

use serde::{Deserialize, Serialize};

use super::report::{Report, Skipped, block};
use super::steps::{approves, one, reader, wait, words, worker};
use super::{Child, Delivery, Hand, Output, Past, Step};
use crate::chain::{Link, is_weak};
use crate::outcome::Outcome;
use crate::spec::{OnFailure, TaskSpec};
use crate::verdict::{self, ASKED_FOR, Stance, Verdict};

/// The best score there is.
pub const SCORE_MAX: u8 = 10;

/// A chain and who judges it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// The chain, first choice first.
    pub links: Vec<Judged>,
    /// Who may judge: of each answer the first who is of another vendor than its author.
    pub judges: Vec<Hand>,
    /// The least score that passes, 1 to [`SCORE_MAX`]; none: an approval is enough.
    pub score_min: Option<u8>,
}

/// A link of the chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// Who.
    pub hand: Hand,
    /// How long one try may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often a failed try is repeated there.
    pub retry_max: Option<u32>,
    /// How many tokens of context it takes, when known.
    pub window_tokens: Option<u64>,
}

impl Judged {
    /// A link of a task's chain, by whoever knows the vendors.
    pub fn of(link: Link, vendor: String) -> Judged {
        let Link {
            agent,
            model,
            timeout_ms,
            retry_max,
            window_tokens,
        } = link;
        Judged {
            hand: Hand { agent, model, vendor },
            timeout_ms,
            retry_max,
            window_tokens,
        }
    }

    fn link(&self) -> Link {
        Link {
            agent: self.hand.agent.clone(),
            model: self.hand.model.clone(),
            timeout_ms: self.timeout_ms,
            retry_max: self.retry_max,
            window_tokens: self.window_tokens,
        }
    }
}

impl Gate {
    /// Who judges what that vendor's agent wrote; none when nobody may.
    pub fn judge_of(&self, vendor: &str) -> Option<&Hand> {
        self.judges.iter().find(|judge| judge.vendor != vendor)
    }
}

/// What a judge's words come to.
enum Ruling {
    Passed(Verdict),
    Missed(Verdict, String),
    /// It says nothing either way.
    Unclear(String),
}

/// An answer that did not pass.
struct Weak<'a> {
    child: &'a Child,
    judge: &'a Child,
    verdict: Verdict,
    place: usize,
}

/// What follows, so long after the first try began.
pub(super) fn next(task: &TaskSpec, gate: &Gate, past: &Past<'_>, elapsed_ms: u64) -> Step {
    let mut report = Report {
        workflow: "gate",
        ..Report::default()
    };
    let left_ms = task.deadline_ms.map(|deadline| deadline.saturating_sub(elapsed_ms));
    let mut weak: Vec<Weak<'_>> = Vec::new();
    let mut place = 0;
    while place < gate.links.len() {
        let round = weak.len() + 1;
        let step = format!("answer-{round}");
        let Some(child) = past.get(&step) else {
            match left_ms {
                Some(0) => break,
                _ => return one(answering(task, gate, past, (&step, place), &weak, left_ms)),
            }
        };
        let Some(outcome) = &child.outcome else { return wait() };
        report.note(&step, child, None);
        if !outcome.is_success() {
            return Step::Done(Box::new(failed(child, outcome, place, &weak, report)));
        }
        place += child.result.link as usize;
        let author = gate.links.get(place).map_or("", |link| link.hand.vendor.as_str());
        let Some(hand) = gate.judge_of(author) else {
            return unclear(child, place, "nobody here may judge it".to_owned(), report);
        };
        let step = format!("judge-{round}");
        let Some(judge) = past.get(&step) else {
            let mut judge = reader(task, past, &step, hand, question(task, child));
            judge.deadline_ms = left_ms.filter(|left_ms| *left_ms > 0);
            return one(judge);
        };
        let Some(outcome) = &judge.outcome else { return wait() };
        if *outcome == Outcome::Cancelled {
            return Step::Done(Box::new(failed(judge, outcome, place, &weak, report)));
        }
        let verdict = outcome.is_success().then(|| verdict::read(&judge.text)).flatten();
        report.note(&step, judge, verdict.as_ref());
        report.part("judge", judge);
        match ruling(gate, outcome, verdict) {
            Ruling::Passed(verdict) => return passed(gate, child, place, verdict, report),
            Ruling::Unclear(why) => return unclear(child, place, why, report),
            Ruling::Missed(verdict, why) => {
                report.unresolved.push(format!("{}: {why}", child.agent));
                weak.push(Weak {
                    child,
                    judge,
                    verdict,
                    place,
                });
            }
        }
        place += 1;
    }
    Step::Done(Box::new(nobody_passed(&weak, report)))
}

fn ruling(gate: &Gate, outcome: &Outcome, verdict: Option<Verdict>) -> Ruling {
    let verdict = match verdict {
        _ if !outcome.is_success() => return Ruling::Unclear(format!("its judge ended as {outcome}")),
        None => return Ruling::Unclear("what its judge said holds no verdict".to_owned()),
        Some(verdict) if verdict.stance == Stance::Undecided => {
            return Ruling::Unclear(format!("its judge could not tell: {}", verdict.summary));
        }
        Some(verdict) => verdict,
    };
    if !approves(Some(&verdict)) {
        let why = format!("its judge says {}: {}", verdict.stance.name(), verdict.summary);
        return Ruling::Missed(verdict, why);
    }
    match (gate.score_min, verdict.score) {
        (Some(least), None) => Ruling::Unclear(format!("its judge gave no score, and {least} is asked for")),
        (Some(least), Some(score)) if score < least => {
            let why = format!("its judge gave it {score} of 10, and {least} is asked for");
            Ruling::Missed(verdict, why)
        }
        (Some(_), Some(_)) | (None, _) => Ruling::Passed(verdict),
    }
}

/// The child that has what is left of the chain.
fn answering(
    task: &TaskSpec,
    gate: &Gate,
    past: &Past<'_>,
    (step, place): (&str, usize),
    weak: &[Weak<'_>],
    left_ms: Option<u64>,
) -> TaskSpec {
    let first = &gate.links[place];
    let mut prompt = words(task).to_owned();
    for one in weak {
        prompt.push_str(&format!(
            "\n\nAn earlier answer did not pass its review. What it said:\n{{{{ tasks.{}.summary }}}}\nWhat its reviewer \
             said:\n{{{{ tasks.{}.result }}}}",
            one.child.key, one.judge.key
        ));
    }
    TaskSpec {
        fallback: gate.links[place + 1..].iter().map(Judged::link).collect(),
        timeout_ms: first.timeout_ms.unwrap_or(task.timeout_ms),
        retry_max: first.retry_max.unwrap_or(task.retry_max),
        window_tokens: first.window_tokens,
        deadline_ms: left_ms,
        confidence_min: task.confidence_min,
        // Questions and the rest of the run are the workflow's.
        on_failure: task
            .on_failure
            .filter(|on_failure| matches!(on_failure, OnFailure::Retry | OnFailure::Fallback | OnFailure::Fail)),
        ..worker(task, past, step, &first.hand, prompt)
    }
}

fn question(task: &TaskSpec, child: &Child) -> String {
    let mut prompt = format!(
        "Judge whether this answer does what the task asks for. You are not told who wrote it. Do NOT assume that it is correct. \
         Name what is wrong, missing or made up, how bad it is, and what shows it; score accuracy, completeness and clarity \
         from 1 to 10.\n\nTHE TASK:\n{}\n\nTHE ANSWER:\n{{{{ tasks.{}.result }}}}",
        words(task),
        child.key
    );
    for check in &child.result.checks {
        let command = crate::plan::template::literal(&check.command);
        let said = if check.passed() { "passed" } else { "failed" };
        prompt.push_str(&format!("\n\nThe engine ran `{command}` on it: it {said}."));
    }
    format!("{prompt}\n\n{ASKED_FOR}")
}

fn passed(gate: &Gate, child: &Child, place: usize, verdict: Verdict, mut report: Report) -> Step {
    (report.confidence, report.score) = (verdict.confidence, verdict.score);
    report.findings = verdict.findings;
    report.unresolved.extend(verdict.unresolved);
    report.part("producer", child);
    report.fallback_depth = depth(place);
    for (at, link) in gate.links.iter().enumerate().skip(place + 1) {
        report.skipped.push(Skipped {
            step: format!("link {} ({})", at + 1, link.hand.agent),
            why: "one before it passed".to_owned(),
        });
    }
    let headline = format!(
        "passed its gate on link {} of {} ({})",
        place + 1,
        gate.links.len(),
        child.agent
    );
    Step::Done(Box::new(Delivery::passed(child, &headline, report)))
}

/// All are weak: the one with the best score is kept; of several the last, which was told what was wrong with those
/// before.
fn nobody_passed(weak: &[Weak<'_>], mut report: Report) -> Delivery {
    let best = weak.iter().max_by_key(|one| {
        let mends = u8::from(one.verdict.stance != Stance::Reject);
        (one.verdict.score.unwrap_or(0), mends)
    });
    let (output, headline) = match best {
        Some(best) => {
            (report.confidence, report.score) = (best.verdict.confidence, best.verdict.score);
            report.findings.clone_from(&best.verdict.findings);
            report.fallback_depth = depth(best.place);
            report.part("producer", best.child);
            let scored = best
                .verdict
                .score
                .map_or_else(String::new, |score| format!(", {score} of 10"));
            let headline = format!(
                "nobody passed the gate; kept is the best answer ({}{scored})",
                best.child.agent
            );
            (Output::Of(best.child.key.clone()), headline)
        }
        None => (
            Output::Nothing,
            "the time for all tries was over (`deadline`)".to_owned(),
        ),
    };
    let outcome = match best {
        Some(_) => Outcome::LowConfidence,
        None => Outcome::TimedOut,
    };
    let summary = best.map_or_else(
        || headline.clone(),
        |best| format!("{headline}\n\n{}", best.child.result.summary),
    );
    Delivery {
        outcome,
        attention: None,
        output,
        summary,
        verdict: Some(block(
            "fail",
            report.confidence,
            report.score,
            &report.findings,
            &headline,
        )),
        report,
    }
}

/// What was left of the chain has failed: what was judged before is better than nothing.
fn failed(child: &Child, outcome: &Outcome, place: usize, weak: &[Weak<'_>], mut report: Report) -> Delivery {
    let why = format!("`{}` ended as {outcome}", child.key);
    report.unresolved.push(why.clone());
    if !weak.is_empty() && *outcome != Outcome::Cancelled {
        return nobody_passed(weak, report);
    }
    let keeps = is_weak(outcome) && !child.result.artifacts.is_empty();
    report.fallback_depth = depth(place) + child.result.link;
    Delivery {
        outcome: outcome.clone(),
        attention: None,
        output: if keeps {
            Output::Of(child.key.clone())
        } else {
            Output::Nothing
        },
        summary: why,
        verdict: None,
        report,
    }
}

fn unclear(child: &Child, place: usize, why: String, mut report: Report) -> Step {
    report.fallback_depth = depth(place);
    report.part("producer", child);
    report.unresolved.push(why.clone());
    Step::Done(Box::new(Delivery {
        outcome: Outcome::LowConfidence,
        summary: format!("{why}\n\n{}", child.result.summary),
        attention: Some(why),
        output: Output::Of(child.key.clone()),
        verdict: None,
        report,
    }))
}

fn depth(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
