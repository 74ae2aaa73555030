//! `qc`: produce, self-review, cross-check, incorporate, deliver.
//!
//! Hard evidence first: the engine runs the task's `verify` on what was produced, and only what passes is read by
//! anybody. Then opinions: the author reviews its own work (which decides nothing), an agent of another vendor checks it
//! without being told who wrote it, and a third one incorporates what was found. What is rejected is mended at most
//! [`ROUNDS_MAX`] times, by somebody other than its author where there is somebody, and checked again by the one who
//! rejected it. An answer without a verdict is never an approval: then a person must look.

mod called;

use serde::{Deserialize, Serialize};

use super::report::{Report, Skipped, block};
use super::review::{self, Bench, LeftOut, Review, Said, merge, record};
use super::steps::{approves, doubts, one, producing, reader, wait, words, worker};
use super::{Child, Delivery, Flow, Hand, Output, Past, Step};
use crate::analysis::{Kind, Risk};
use crate::outcome::Outcome;
use crate::plan::template;
use crate::spec::{Isolation, Merge, TaskSpec, Work};
use crate::verdict::{self, ASKED_FOR, Stance, Verdict};
use called::Heard;

/// How often rejected work is mended.
pub const ROUNDS_MAX: u32 = 2;
/// Below this deadline there is no time for anybody's opinion.
pub const DEADLINE_TIGHT_MS: u64 = 30_000;

/// A branch without a commit of its own brings nothing into a merge, whatever it began with; this one is approved work.
const APPROVED: &str = "git -c user.name=Wheelhouse -c user.email=wheelhouse@localhost -c commit.gpgsign=false \
                        -c core.hooksPath=/dev/null commit -q --allow-empty -m 'approved'";

/// What hangs on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stakes {
    /// For ourselves: self-review is enough.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// For others: the whole loop, every time.
    High,
}

/// Who does which step, and which steps there are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Qc {
    /// Who produces, and reviews its own work.
    pub author: Hand,
    /// Who cross-checks; none when that is left out.
    pub reviewer: Option<Hand>,
    /// Who is called in to check as well, only when what was found is theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserve: Vec<Hand>,
    /// Who incorporates and mends; none: the author, under the reviewer's eyes.
    pub editor: Option<Hand>,
    /// Whether the author reviews its own work.
    pub self_review: bool,
    /// When remarks are incorporated into what was approved.
    pub incorporate: Incorporate,
    /// Approved with such a score its remarks are not worked in, and stay as findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<u8>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// When remarks are incorporated into what was approved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Incorporate {
    /// Never.
    Never,
    /// When there are any.
    Remarks,
    /// Every time.
    Always,
}

/// Which steps a task gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steps {
    /// Self-review.
    pub self_review: bool,
    /// Cross-check.
    pub cross_check: bool,
    /// Incorporation.
    pub incorporate: Incorporate,
    /// What is left out, and why.
    pub skipped: Vec<Skipped>,
}

/// The skip table. What is at stake comes first: nothing is left out of what goes to others.
pub fn steps(stakes: Stakes, risk: Risk, deadline_ms: Option<u64>, has_tests: bool, kind: Kind) -> Steps {
    let mut steps = Steps {
        self_review: true,
        cross_check: true,
        incorporate: Incorporate::Remarks,
        skipped: Vec::new(),
    };
    let high = stakes == Stakes::High || (stakes == Stakes::Normal && risk == Risk::Critical);
    if high {
        steps.incorporate = Incorporate::Always;
        return steps;
    }
    let mut skip = |names: &[&str], why: &str| {
        for name in names {
            steps.skipped.push(Skipped {
                step: (*name).to_owned(),
                why: why.to_owned(),
            });
        }
    };
    let is_code = matches!(kind, Kind::Implementation | Kind::Debug | Kind::Testing | Kind::General);
    if deadline_ms.is_some_and(|deadline_ms| deadline_ms < DEADLINE_TIGHT_MS) {
        skip(
            &["self-review", "cross-check", "incorporate"],
            "time is short: one model, the risk is accepted",
        );
        (steps.self_review, steps.cross_check, steps.incorporate) = (false, false, Incorporate::Never);
    } else if stakes == Stakes::Low {
        skip(
            &["cross-check", "incorporate"],
            "little is at stake: self-review is enough",
        );
        (steps.cross_check, steps.incorporate) = (false, Incorporate::Never);
    } else if has_tests && is_code {
        skip(&["cross-check"], "its tests are the cross-check");
        steps.cross_check = false;
    } else if kind == Kind::Social {
        skip(&["cross-check"], "it is a matter of taste: a cross-check adds noise");
        steps.cross_check = false;
    }
    steps
}

impl Qc {
    pub(super) fn hands(&self) -> Vec<&Hand> {
        let others = self.reviewer.iter().chain(&self.editor).chain(&self.reserve);
        std::iter::once(&self.author).chain(others).collect()
    }

    pub(super) fn hands_mut(&mut self) -> Vec<&mut Hand> {
        let others = self.reviewer.iter_mut().chain(&mut self.editor);
        let others = others.chain(&mut self.reserve);
        std::iter::once(&mut self.author).chain(others).collect()
    }

    /// Whether what the author finds in its own work is found by the reviewer anyway. Nothing is left out of what goes to
    /// others.
    pub(super) fn without_self_review(&self, bench: &Bench) -> Option<LeftOut> {
        let reviewer = self.reviewer.as_ref()?;
        let agent = &self.author.agent;
        let stays =
            bench.guards.contains(agent) || bench.stay.contains(agent) || bench.lot.is_multiple_of(record::LOTS);
        if !self.self_review || self.incorporate == Incorporate::Always || stays {
            return None;
        }
        let own = bench
            .record
            .own(&review::as_author(&self.author), &[reviewer.agent.as_str()]);
        own.is_redundant().then(|| LeftOut {
            place: 0,
            step: "self-review".to_owned(),
            hand: self.author.clone(),
            why: record::why(own),
        })
    }
}

/// The state of the loop while it is told from the children.
struct Loop<'a> {
    task: &'a TaskSpec,
    qc: &'a Qc,
    past: &'a Past<'a>,
    bench: &'a Bench,
    report: Report,
    /// What the author thinks of its own work.
    own: Option<Verdict>,
    /// Those who are called in, and then those of them who still object.
    called: Vec<&'a Hand>,
}

/// What follows.
pub(super) fn next(task: &TaskSpec, qc: &Qc, bench: &Bench, past: &Past<'_>) -> Step {
    let mut of = Loop {
        task,
        qc,
        past,
        bench,
        report: Report {
            workflow: "qc",
            skipped: qc.skipped.clone(),
            ..Report::default()
        },
        own: None,
        called: Vec::new(),
    };
    of.produce().unwrap_or_else(|step| *step)
}

/// Either what follows, or (as an error, to leave early) a step that must come first.
type Way<T> = Result<T, Box<Step>>;

impl<'a> Loop<'a> {
    /// The child of a step that is over; else the step is what follows.
    fn done(&mut self, step: &str, make: impl FnOnce(&Self) -> TaskSpec) -> Way<(&'a Child, &'a Outcome)> {
        match self.past.get(step) {
            None => Err(Box::new(one(make(self)))),
            Some(child) => match &child.outcome {
                None => Err(Box::new(wait())),
                Some(outcome) => Ok((child, outcome)),
            },
        }
    }

    fn produce(&mut self) -> Way<Step> {
        let (work, outcome) = self.done("produce", |of| {
            let prompt = producing(of.task, words(of.task).to_owned());
            worker(of.task, of.past, "produce", &of.qc.author, prompt)
        })?;
        self.report.note("produce", work, None);
        self.report.part("producer", work);
        if !outcome.is_success() {
            return Ok(self.over(outcome.clone(), None, None, format!("producing it ended as {outcome}")));
        }
        let without = self.qc.without_self_review(self.bench);
        let without = without.filter(|_| self.past.get("self-review").is_none());
        self.report.without(without.as_slice());
        if self.qc.self_review && without.is_none() {
            let (review, _) = self.done("self-review", |of| {
                let prompt = format!(
                    "Review this output of yours for errors, omissions and quality, as if somebody else had written it. Score \
                     accuracy, completeness and clarity from 1 to 10, and list what is to be fixed.\n\n{}\n\n{ASKED_FOR}",
                    of.material(work)
                );
                of.reviewer_of(work, "self-review", &of.qc.author, prompt)
            })?;
            self.own = review.succeeded().then(|| verdict::read(&review.text)).flatten();
            self.report.note("self-review", review, self.own.as_ref());
            self.report.part("reviewer", review);
            if self.own.is_none() && self.qc.reviewer.is_none() {
                let why = "the only review of it holds no verdict".to_owned();
                return Ok(self.attention(work, why));
            }
        }
        self.judge(work)
    }

    /// Cross-checks and mends until it is approved, or the rounds are used up.
    fn judge(&mut self, produced: &'a Child) -> Way<Step> {
        let mut work = produced;
        let mut judged: Option<Verdict> = None;
        for round in 1..=ROUNDS_MAX + 1 {
            let mut heard = Vec::new();
            if let Some(reviewer) = &self.qc.reviewer {
                match self.checked(work, reviewer, round)? {
                    Ok(cross) => heard.push(cross),
                    Err(why) => return Ok(self.attention(work, why)),
                }
            }
            let others = self.others(work, round, heard.first())?;
            heard.extend(others);
            judged = called::together(&heard, self.bench);
            if round == 1 {
                self.weigh(&heard);
            }
            if approves(judged.as_ref().or(self.own.as_ref())) {
                let mended = round > 1;
                if mended {
                    self.was_right();
                }
                return self.incorporate(work, judged, mended);
            }
            if judged.is_none() {
                // Its author must not be the one who mends what only its author judges.
                return Ok(self.attention(
                    work,
                    "its author does not think it is good, and nobody else looked".to_owned(),
                ));
            }
            if round > ROUNDS_MAX {
                break;
            }
            let step = numbered("incorporate", round);
            let (mended, outcome) = self.done(&step, |of| of.mend(work, &step, round, judged.as_ref()))?;
            self.report.note(&step, mended, None);
            self.report.part("synthesizer", mended);
            if !outcome.is_success() {
                let why = format!("what was rejected could not be mended: it ended as {outcome}");
                self.take(judged.as_ref());
                return Ok(self.over(outcome.clone(), Some(work), judged.as_ref(), why));
            }
            merge::judge(&mut self.report.reviews, &mended.text);
            work = mended;
        }
        self.take(judged.as_ref());
        let why = format!("still not approved after {ROUNDS_MAX} rounds of mending");
        Ok(self.over(Outcome::GateFailed, Some(work), judged.as_ref(), why))
    }

    /// What the cross-check says, or why it decides nothing.
    fn checked(&mut self, work: &'a Child, reviewer: &'a Hand, round: u32) -> Way<Result<Heard<'a>, String>> {
        let step = numbered("cross-check", round);
        let (child, outcome) = self.done(&step, |of| {
            let before = round.checked_sub(1).filter(|last| *last > 0);
            let before = before.map(|last| numbered("cross-check", last));
            let own = of.past.get("self-review").filter(|own| own.succeeded() && round == 1);
            let prompt = of.cross_check(work, before.as_deref(), own);
            of.reviewer_of(work, &step, reviewer, prompt)
        })?;
        let verdict = outcome.is_success().then(|| verdict::read(&child.text)).flatten();
        self.report.note(&step, child, verdict.as_ref());
        self.report.part("cross_checker", child);
        Ok(match (verdict, outcome.is_success()) {
            (_, false) => Err(format!("the cross-check ended as {outcome}")),
            (None, true) => Err("the cross-check holds no verdict".to_owned()),
            (Some(verdict), true) if verdict.stance == Stance::Undecided => {
                Err(format!("the cross-check could not tell: {}", verdict.summary))
            }
            (Some(verdict), true) => Ok(Heard {
                hand: reviewer,
                child,
                verdict,
            }),
        })
    }

    /// What the author and those who judged said of the first draft, as one review.
    fn weigh(&mut self, heard: &[Heard<'_>]) {
        let author = review::as_author(&self.qc.author);
        let own = self.own.as_ref().zip(self.past.get("self-review"));
        let own = own.map(|(verdict, child)| Said {
            name: &author,
            vendor: &self.qc.author.vendor,
            task: &child.key,
            verdict,
        });
        let said: Vec<Said<'_>> = heard.iter().map(Heard::said).chain(own).collect();
        if said.len() < 2 {
            return;
        }
        let review = review::review(&said, self.bench);
        if self.is_given_merged(&review) && self.past.get("incorporate").is_some() {
            let list = merge::list(std::slice::from_ref(&review));
            let own = self.past.get("self-review").into_iter();
            let texts: String = own
                .chain(heard.iter().map(|one| one.child))
                .map(|child| child.text.as_str())
                .collect();
            self.report.triaged = Some((texts, list));
        }
        self.report.reviews.push(review);
    }

    /// Whether two of them found something, and nobody objects in other words than findings: then who mends it is given
    /// one list.
    fn is_given_merged(&self, review: &Review) -> bool {
        let found = |name: &str| {
            let mut findings = review.findings.iter();
            findings.any(|merged| merged.by.iter().any(|by| by == name))
        };
        let finders = review.heard.iter().filter(|one| found(&one.name)).count();
        let in_words = review.heard.iter().any(|one| one.stance.objects() && !found(&one.name));
        self.bench.triage && finders >= 2 && !in_words
    }

    /// What was mended and then approved was rightly found, unless who mended it said otherwise.
    fn was_right(&mut self) {
        for merged in self.report.reviews.iter_mut().flat_map(|review| &mut review.findings) {
            merged.confirmed = merged.confirmed.or(Some(true));
        }
    }

    /// What was approved gets the remarks that came with the approval.
    fn incorporate(&mut self, work: &'a Child, judged: Option<Verdict>, mended: bool) -> Way<Step> {
        let remarks = |verdict: &Option<Verdict>| {
            let verdict = verdict.as_ref();
            verdict.is_some_and(|verdict| !verdict.findings.is_empty() || !verdict.unresolved.is_empty())
        };
        let has_remarks = remarks(&judged) || remarks(&self.own);
        let score = judged.as_ref().or(self.own.as_ref()).and_then(|judge| judge.score);
        let enough = self.qc.enough.zip(score).filter(|(enough, score)| score >= enough);
        let due = match self.qc.incorporate {
            Incorporate::Never => false,
            Incorporate::Remarks => has_remarks && !mended && enough.is_none(),
            Incorporate::Always => !mended,
        };
        let mut last = work;
        if due {
            let (edited, outcome) = self.done("incorporate", |of| of.mend(work, "incorporate", 1, judged.as_ref()))?;
            self.report.note("incorporate", edited, None);
            self.report.part("synthesizer", edited);
            if outcome.is_success() {
                merge::judge(&mut self.report.reviews, &edited.text);
                last = edited;
            } else {
                let why = format!(
                    "incorporating the remarks ended as {outcome}; what was approved is delivered without them"
                );
                self.report.unresolved.push(why);
                self.take(judged.as_ref());
            }
        } else {
            if !mended && self.qc.incorporate == Incorporate::Remarks {
                self.report.skipped.push(Skipped {
                    step: "incorporate".to_owned(),
                    why: match enough.filter(|_| has_remarks) {
                        Some((enough, score)) => format!("the score is {score}, and {enough} is enough"),
                        None => "nobody had a remark".to_owned(),
                    },
                });
            }
            let judge = judged.clone().or_else(|| self.own.clone());
            self.take(judge.as_ref());
        }
        self.deliver(last, judged.as_ref())
    }

    /// The work is merged only now that it has passed.
    fn deliver(&mut self, work: &'a Child, judged: Option<&Verdict>) -> Way<Step> {
        if self.task.isolation == Isolation::Worktree && self.task.merge != Merge::None {
            let (merged, outcome) = self.done("deliver", |of| of.merging(work))?;
            if !outcome.is_success() {
                self.report.note("deliver", merged, None);
                let why = format!("it was approved and could not be merged: it ended as {outcome}");
                return Ok(self.over(outcome.clone(), Some(work), judged, why));
            }
        }
        // What whoever touched it last says of it.
        self.report.unresolved.extend(doubts(&work.text));
        let open = unresolved(&work.text);
        self.report.unresolved.extend(open);
        self.report.unresolved.dedup();
        Ok(self.over(Outcome::Succeeded, Some(work), judged, String::new()))
    }

    /// Remarks that stay.
    fn take(&mut self, judged: Option<&Verdict>) {
        if let Some(judged) = judged {
            self.report.findings.extend(judged.findings.iter().cloned());
            self.report.unresolved.extend(judged.unresolved.iter().cloned());
        }
    }

    fn attention(&mut self, work: &Child, why: String) -> Step {
        let Step::Done(mut delivery) = self.over(Outcome::LowConfidence, Some(work), None, why.clone()) else {
            return wait();
        };
        delivery.attention = Some(why);
        Step::Done(delivery)
    }

    fn over(&mut self, outcome: Outcome, work: Option<&Child>, judged: Option<&Verdict>, why: String) -> Step {
        let mut report = std::mem::take(&mut self.report);
        let succeeded = outcome.is_success();
        (report.confidence, report.rests_on) = match work {
            Some(work) if succeeded => {
                let (confidence, rests_on) = self.confidence(work, judged, report.unresolved.len());
                (Some(confidence), rests_on)
            }
            Some(_) | None => (None, Vec::new()),
        };
        let judge = judged.or(self.own.as_ref());
        report.score = judge.and_then(|judge| judge.score);
        report.findings.sort_by_key(|finding| finding.severity);
        let steps = report.steps_completed;
        let headline = match report.confidence {
            Some(confidence) => {
                format!(
                    "delivered after {steps} steps, confidence {confidence} ({})",
                    report.rests_on.join(", ")
                )
            }
            None => why,
        };
        let status = match (succeeded, report.unresolved.is_empty()) {
            (true, true) => "pass",
            (true, false) => "warn",
            (false, _) => "fail",
        };
        let verdict = block(status, report.confidence, report.score, &report.findings, &headline);
        let mut summary = headline;
        for finding in &report.findings {
            summary.push_str(&format!("\nFINDING: {finding}"));
        }
        for concern in &report.unresolved {
            summary.push_str(&format!("\nUNRESOLVED: {concern}"));
        }
        if let Some(work) = work {
            summary.push_str(&format!("\n\n{}", work.result.summary));
        }
        Step::Done(Box::new(Delivery {
            outcome,
            attention: None,
            output: work.map_or(Output::Nothing, |work| Output::Of(work.key.clone())),
            summary,
            verdict: Some(verdict),
            report,
        }))
    }

    /// How sure one may be: checks that passed weigh more than any opinion, and what nobody checked is never sure.
    fn confidence(&self, work: &Child, judged: Option<&Verdict>, concerns: usize) -> (u8, Vec<String>) {
        let checks = work.result.checks.iter().filter(|check| check.passed()).count();
        let stated = verdict::confidence(&work.text);
        let mut rests_on = Vec::new();
        let mut parts: Vec<(u32, u32)> = Vec::new();
        if checks > 0 {
            rests_on.push(format!("{checks} checks passed"));
            parts.push((50, 100));
        }
        if let Some(judged) = judged {
            rests_on.push("cross-checked by another vendor".to_owned());
            parts.push((30, u32::from(judged.confidence.unwrap_or(70))));
        }
        if let Some(stated) = stated {
            rests_on.push(format!("it says {stated} of itself"));
            parts.push((15, u32::from(stated)));
        }
        if let Some(own) = &self.own {
            rests_on.push("reviewed by its author".to_owned());
            parts.push((5, u32::from(own.confidence.unwrap_or(60))));
        }
        let weights: u32 = parts.iter().map(|(weight, _)| weight).sum();
        let sum: u32 = parts.iter().map(|(weight, value)| weight * value).sum();
        let mean = sum.checked_div(weights).unwrap_or(50);
        let cap = match (checks > 0, judged.is_some()) {
            (true, true) => 100,
            (true, false) | (false, true) => 90,
            (false, false) => 60,
        };
        let less = 5 * u32::try_from(concerns).unwrap_or(u32::MAX).min(5);
        if rests_on.is_empty() {
            rests_on.push("nobody looked at it".to_owned());
        }
        if concerns > 0 {
            rests_on.push(format!("{concerns} open concerns"));
        }
        let confidence = mean.min(cap).saturating_sub(less);
        (u8::try_from(confidence).unwrap_or(0), rests_on)
    }
}

/// The children.
impl Loop<'_> {
    /// The task and what was made of it, as data.
    fn material(&self, work: &Child) -> String {
        let mut text = format!(
            "THE TASK:\n{}\n\nTHE OUTPUT:\n{{{{ tasks.{}.result }}}}",
            words(self.task),
            work.key
        );
        if !work.result.files.is_empty() {
            text.push_str(&format!(
                "\n\nTHE FILES IT CHANGED:\n{{{{ tasks.{}.files }}}}",
                work.key
            ));
        }
        if self.task.isolation == Isolation::Worktree {
            text.push_str("\n\nYou are in a checkout of the result: look at the files themselves. Change nothing.");
        }
        for check in &work.result.checks {
            let command = template::literal(&check.command);
            let said = if check.passed() { "passed" } else { "failed" };
            text.push_str(&format!("\n\nThe engine ran `{command}` on it: it {said}."));
        }
        text
    }

    /// What somebody is told who judges; `before`: the step in which it judged the work before it was mended.
    fn cross_check(&self, work: &Child, before: Option<&str>, own: Option<&Child>) -> String {
        let mut prompt = format!(
            "Independent review. You are not told who wrote this. Do NOT assume that it is correct. Identify factual errors, \
             logical gaps, missing context and biases; say for each problem where it is, how bad, and what shows it.\n\n{}",
            self.material(work)
        );
        if let Some(own) = own {
            prompt.push_str(&format!(
                "\n\nA SELF-REVIEW OF IT:\n{{{{ tasks.{}.summary }}}}",
                own.key
            ));
        }
        if let Some(before) = before.and_then(|step| self.past.get(step)) {
            prompt.push_str(&format!(
                "\n\nWHAT WAS WRONG WITH IT BEFORE IT WAS MENDED:\n{{{{ tasks.{}.result }}}}",
                before.key
            ));
        }
        format!("{prompt}\n\n{ASKED_FOR}")
    }

    /// A reviewer reads; in a tree it begins with the work it judges.
    fn reviewer_of(&self, work: &Child, step: &str, hand: &Hand, prompt: String) -> TaskSpec {
        let spec = reader(self.task, self.past, step, hand, prompt);
        match self.task.isolation {
            Isolation::None => spec,
            Isolation::Worktree => TaskSpec {
                isolation: Isolation::Worktree,
                // What a reviewer changes all the same is not declared by anybody, and is refused.
                protect: vec!["**".to_owned()],
                needs: vec![work.key.clone()],
                ..spec
            },
        }
    }

    fn mend(&self, work: &Child, step: &str, round: u32, judged: Option<&Verdict>) -> TaskSpec {
        let hand = self.qc.editor.as_ref().unwrap_or(&self.qc.author);
        let mut prompt = format!(
            "Produce the best possible final output for this task from a draft and what was found wrong with it. Resolve conflicts \
             between the remarks by your own judgement; ignore those that are mistaken. Give the whole output, not a list of \
             changes.{}\n\n{}",
            match self.task.schema {
                Some(_) => "",
                None => " For what nobody could settle write a line `UNRESOLVED: what it is`.",
            },
            self.material(work)
        );
        prompt.push_str(&self.remarks(round, judged));
        let spec = worker(self.task, self.past, step, hand, producing(self.task, prompt));
        match self.task.isolation {
            Isolation::None => spec,
            Isolation::Worktree => TaskSpec {
                needs: vec![work.key.clone()],
                ..spec
            },
        }
    }

    /// What was found: as one list where both found something, else what each said.
    fn remarks(&self, round: u32, judged: Option<&Verdict>) -> String {
        let of_it = |name: &str| self.past.get(name).filter(|review| review.succeeded());
        if let (1, Some(review)) = (
            round,
            self.report.reviews.first().filter(|one| self.is_given_merged(one)),
        ) {
            let judged = judged.into_iter().chain(&self.own);
            let open: Vec<String> = judged.flat_map(|one| one.unresolved.iter().cloned()).collect();
            return format!("\n{}", super::map::given(std::slice::from_ref(review), &open));
        }
        let mut said = String::new();
        if let (1, Some(own)) = (round, of_it("self-review")) {
            said.push_str(&format!("\n\nTHE SELF-REVIEW:\n{{{{ tasks.{}.result }}}}", own.key));
        }
        if let Some(review) = of_it(&numbered("cross-check", round)) {
            said.push_str(&format!("\n\nTHE CROSS-CHECK:\n{{{{ tasks.{}.result }}}}", review.key));
        }
        said.push_str(&self.said_by_others(round));
        said
    }

    /// Nobody works any more: the tree of this step begins with the approved work, and is merged under its checks.
    fn merging(&self, work: &Child) -> TaskSpec {
        let nobody = Hand {
            agent: "exec".into(),
            model: None,
            vendor: String::new(),
        };
        TaskSpec {
            work: Work::Exec(APPROVED.to_owned()),
            verify: self.task.verify.clone(),
            isolation: Isolation::Worktree,
            merge: self.task.merge,
            needs: vec![work.key.clone()],
            on_failure: self.task.on_failure,
            flow: Flow {
                parent: Some(self.task.key.clone()),
                ..Flow::default()
            },
            ..reader(self.task, self.past, "deliver", &nobody, String::new())
        }
    }
}

fn numbered(step: &str, round: u32) -> String {
    match round {
        1 => step.to_owned(),
        _ => format!("{step}-{round}"),
    }
}

/// The concerns that an answer without a verdict states.
fn unresolved(text: &str) -> Vec<String> {
    let judged = verdict::read(&format!("{text}\nVERDICT: approve"));
    judged.map(|judged| judged.unresolved).unwrap_or_default()
}
