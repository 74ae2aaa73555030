//! Others who are called in to a `qc`: when what was found in the draft is in the domain of somebody in reserve, or those
//! who looked first do not agree. Who is called, [`call::calls`] says; this hears them and puts their judgement beside the
//! cross-check's.
//!
//! They are as blind as the cross-check. Whoever rejects is asked again when it is mended, so an objection stands until
//! the one who made it takes it back. One that is called and has nothing to say is named, and decides nothing.

use super::{Loop, Way, numbered};
use crate::verdict::{self, Finding, Stance, Verdict};
use crate::workflow::review::call::{self, CALLED};
use crate::workflow::review::{self, Bench, Said};
use crate::workflow::steps::{approves, wait, words};
use crate::workflow::{Child, Hand, Step};

/// What somebody said of the work in one round.
pub(super) struct Heard<'a> {
    pub(super) hand: &'a Hand,
    pub(super) child: &'a Child,
    pub(super) verdict: Verdict,
}

impl Heard<'_> {
    pub(super) fn said(&self) -> Said<'_> {
        Said {
            name: self.hand.agent.as_str(),
            vendor: &self.hand.vendor,
            task: &self.child.key,
            verdict: &self.verdict,
        }
    }
}

/// The step of somebody who was called in: `cross-check.grok.called`, and `cross-check-2.grok` when it looks again.
fn step(hand: &Hand, round: u32) -> String {
    let end = if round == 1 { CALLED } else { "" };
    format!("{}.{}{end}", numbered("cross-check", round), hand.agent)
}

impl<'a> Loop<'a> {
    /// The judgements of those who were called in; in the first round it is settled who they are.
    pub(super) fn others(&mut self, work: &'a Child, round: u32, cross: Option<&Heard<'a>>) -> Way<Vec<Heard<'a>>> {
        if round == 1 {
            self.called = self.who_is_called(cross);
        }
        let (mut new, mut children, mut open) = (Vec::new(), Vec::new(), false);
        for &hand in &self.called {
            let step = step(hand, round);
            match self.past.get(&step) {
                Some(child) => {
                    open |= child.outcome.is_none();
                    children.push((hand, step, child));
                }
                None => {
                    let before = round.checked_sub(1).filter(|last| *last > 0);
                    let before = before.map(|last| self::step(hand, last));
                    let prompt = self.cross_check(work, before.as_deref(), None);
                    new.push(self.reviewer_of(work, &step, hand, prompt));
                }
            }
        }
        if !new.is_empty() {
            return Err(Box::new(Step::Await { new, open_max: 0 }));
        }
        if open {
            return Err(Box::new(wait()));
        }
        let mut heard = Vec::new();
        for (hand, step, child) in children {
            let verdict = verdict::read(&child.text).filter(|_| child.succeeded());
            self.report.note(&step, child, verdict.as_ref());
            self.report.part(&step, child);
            match verdict.filter(|verdict| verdict.stance != Stance::Undecided) {
                Some(verdict) => heard.push(Heard { hand, child, verdict }),
                None if round == 1 => {
                    let why = format!("`{}` was called in and did not judge", hand.agent);
                    self.report.unresolved.push(why);
                }
                None => {
                    let why = format!("`{}` objected, and does not judge what was mended", hand.agent);
                    return Err(Box::new(self.attention(work, why)));
                }
            }
        }
        self.called = heard
            .iter()
            .filter(|one| !approves(Some(&one.verdict)))
            .map(|one| one.hand)
            .collect();
        Ok(heard)
    }

    /// Who is called in by what was said of the draft. Somebody who has come is not sent away.
    fn who_is_called(&self, cross: Option<&Heard<'a>>) -> Vec<&'a Hand> {
        let author = review::as_author(&self.qc.author);
        let self_review = self.past.get("self-review");
        let own = self_review.zip(self.own.as_ref()).map(|(child, verdict)| Said {
            name: &author,
            vendor: &self.qc.author.vendor,
            task: &child.key,
            verdict,
        });
        let first: Vec<Said<'_>> = cross.map(Heard::said).into_iter().chain(own).collect();
        if first.is_empty() {
            return Vec::new();
        }
        let silent = self_review.is_some() && self.own.is_none();
        let waiting = self.qc.reserve.iter().enumerate();
        let calls = call::calls(self.bench, words(self.task), waiting.clone(), &first, silent);
        let is_called = |(place, hand): &(usize, &Hand)| {
            let calls = calls.iter().any(|call| call.place == *place);
            calls || self.past.get(&step(hand, 1)).is_some()
        };
        waiting.filter(is_called).map(|(_, hand)| hand).collect()
    }

    /// What those who were called in said of it in that round, for who mends it.
    pub(super) fn said_by_others(&self, round: u32) -> String {
        let mut said = String::new();
        for hand in &self.qc.reserve {
            let of_it = self.past.get(&step(hand, round)).filter(|review| review.succeeded());
            if let Some(review) = of_it {
                said.push_str(&format!("\n\nANOTHER CHECK:\n{{{{ tasks.{}.result }}}}", review.key));
            }
        }
        said
    }
}

/// The judgements of one round as one: the strictest of them, with everything that was found.
pub(super) fn together(heard: &[Heard<'_>], bench: &Bench) -> Option<Verdict> {
    let strictness = |one: &&Heard<'_>| match one.verdict.stance {
        Stance::Reject => 0,
        Stance::Revise => 1,
        Stance::Undecided => 2,
        Stance::Approve => 3,
    };
    let strictest = heard.iter().min_by_key(strictness)?;
    if heard.len() == 1 {
        return Some(strictest.verdict.clone());
    }
    let said: Vec<Said<'_>> = heard.iter().map(Heard::said).collect();
    let findings: Vec<Finding> = match bench.triage {
        true => review::merge::merge(&said, bench)
            .into_iter()
            .map(|one| one.finding)
            .collect(),
        false => said.iter().flat_map(|said| said.verdict.findings.clone()).collect(),
    };
    let unresolved = said.iter().flat_map(|said| said.verdict.unresolved.clone());
    Some(Verdict {
        findings,
        unresolved: unresolved.collect(),
        score: said.iter().filter_map(|said| said.verdict.score).min(),
        confidence: said.iter().filter_map(|said| said.verdict.confidence).min(),
        ..strictest.verdict.clone()
    })
}
