//! The score of a candidate, part by part, and what it is expected to take.

use super::heard::{Heard, Told};
use super::{COLD_START_TOKENS, Candidate, Evidence, Expected, Parts, Reason, Router, Scored};
use crate::analysis::{Analysis, Complexity, Context, Kind, Risk};
use crate::price::{Billing, Requests};
use crate::usage::Usage;

const CAPABILITY: f64 = 0.30;
const HISTORY: f64 = 0.25;
const LOAD: f64 = 0.20;
const HEALTH: f64 = 0.15;
const AVAILABILITY: f64 = 0.10;

/// How much what was learned may add or take.
const LEARNED_MAX: f64 = 0.10;
/// What history is where nobody knows better.
pub(super) const HISTORY_UNKNOWN: f64 = 0.5;
/// By how many of its standard errors a level must differ from that of the others to count: 95 of 100.
const CHANCE: f64 = 1.96;
/// How many tasks an agent does at a time where nobody says, for the share that is free.
const BUSY_MAX: u32 = 4;

/// The tier that a task of this complexity asks for. The unknown is medium, and so goes to the middle.
pub(super) fn tier_wanted(analysis: &Analysis) -> u8 {
    let by_complexity: u8 = match (analysis.complexity.value, analysis.kind.value) {
        (Complexity::Simple | Complexity::Medium, Kind::Classification) => 1,
        (Complexity::Simple, _) => 2,
        (Complexity::Medium, _) => 3,
        (Complexity::Complex, Kind::Strategy) => 5,
        (Complexity::Complex, _) => 4,
    };
    by_complexity.max(tier_floor(analysis.risk.value))
}

/// The smallest tier that may touch something of this risk: what small models overlook is not worth what they save.
pub(super) fn tier_floor(risk: Risk) -> u8 {
    match risk {
        Risk::Low | Risk::Medium => 1,
        Risk::High => 2,
        Risk::Critical => 3,
    }
}

pub(super) fn score(
    router: &Router,
    candidate: &Candidate,
    analysis: &Analysis,
    heard: &Heard,
    expected: Expected,
) -> Scored {
    let (agent, model) = (candidate.agent.as_str(), candidate.model.as_deref());
    let told = heard.of(agent, model);
    let similar = told.map(|told| told.similar.count).unwrap_or_default();
    let spoke = told.filter(|told| told.speaks());
    let given = router.given.get(&candidate.agent).copied().unwrap_or(0);
    let parts = Parts {
        capability: capability(candidate, analysis),
        history: spoke.map_or(HISTORY_UNKNOWN, Told::success),
        load: load(candidate, given),
        health: router.past().health(agent, model).0,
        availability: match candidate.entry.billing {
            Billing::Subscription | Billing::Free => 1.0,
            Billing::Api | Billing::Reported => 0.8,
        },
    };
    let learned = spoke.map_or(0.0, |told| learned(told, heard));
    Scored {
        agent: candidate.agent.clone(),
        model: candidate.model.clone(),
        vendor: candidate.entry.vendor.clone(),
        role: candidate.entry.role,
        cost_tier: candidate.entry.cost_tier,
        parts,
        learned,
        score: unlearned(&parts) + HISTORY * (parts.history - HISTORY_UNKNOWN) + learned,
        similar: (similar.tasks, similar.succeeded),
        evidence: spoke.map(evidence),
        expected,
    }
}

/// The score of somebody of whom nothing was learned.
pub(super) fn unlearned(parts: &Parts) -> f64 {
    CAPABILITY * parts.capability
        + HISTORY * HISTORY_UNKNOWN
        + LOAD * parts.load
        + HEALTH * parts.health
        + AVAILABILITY * parts.availability
}

/// How good it is at such work, and whether it is of the size that the work asks for: too small fails, too large wastes.
fn capability(candidate: &Candidate, analysis: &Analysis) -> f64 {
    let entry = &candidate.entry;
    let strength = f64::from(entry.strength(analysis.kind.value)) / 100.0;
    let (wanted, tier) = (i32::from(tier_wanted(analysis)), i32::from(entry.cost_tier));
    let size = match tier - wanted {
        more @ 0.. => 1.0 - 0.12 * f64::from(more),
        less => 1.0 - 0.30 * f64::from(-less),
    };
    let room = match analysis.context.value {
        Context::Small | Context::Medium => 1.0,
        Context::Large | Context::Massive => {
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let ratio = entry.window_tokens as f64 / (2 * analysis.context.value.tokens()) as f64;
            ratio.clamp(0.5, 1.0)
        }
    };
    (strength * size * room).clamp(0.0, 1.0)
}

fn load(candidate: &Candidate, given: u32) -> f64 {
    let most = match candidate.standing.busy_max {
        0 => BUSY_MAX,
        most => most,
    };
    let busy = candidate.standing.busy.saturating_add(given).min(most);
    1.0 - f64::from(busy) / f64::from(most)
}

/// How much better or worse than the others who speak it is expected to do: by what the task says of it in particular,
/// and by its level where that differs by more than chance.
fn learned(told: &Told, heard: &Heard) -> f64 {
    let others = heard.speaking().filter(|other| other.who != told.who);
    let (mut count, mut own, mut level) = (0.0, 0.0, 0.0);
    for other in others {
        count += 1.0;
        own += other.expectation.own;
        level += other.expectation.level.0;
    }
    if count == 0.0 {
        return 0.0;
    }
    let (mean, error) = told.expectation.level;
    let ahead = mean - level / count;
    let ahead = if ahead.abs() > CHANCE * error { ahead } else { 0.0 };
    // Half: the others are as much behind as it is ahead.
    ((told.expectation.own - own / count + ahead) / 2.0).clamp(-LEARNED_MAX, LEARNED_MAX)
}

fn evidence(told: &Told) -> Evidence {
    let reasons = told.expectation.reasons.iter();
    Evidence {
        tasks: told.expectation.tasks,
        level: told.expectation.level.0.clamp(0.0, 1.0),
        success: told.expectation.success,
        reasons: reasons
            .map(|(what, adds)| Reason {
                what: what.clone(),
                adds: *adds,
            })
            .collect(),
    }
}

/// From similar past tasks where enough of them say what they cost; else from list prices; else unknown.
pub(super) fn expected(candidate: &Candidate, analysis: &Analysis, heard: &Heard, samples_min: u32) -> Expected {
    let entry = &candidate.entry;
    let output_tokens = match analysis.complexity.value {
        Complexity::Simple => 1_000,
        Complexity::Medium => 3_000,
        Complexity::Complex => 8_000,
    };
    let input_tokens = analysis.tokens.saturating_add(COLD_START_TOKENS);
    let told = heard.of(candidate.agent.as_str(), candidate.model.as_deref());
    let measured = told
        .map(|told| told.similar)
        .filter(|similar| similar.count.tasks >= samples_min)
        .and_then(|similar| similar.cost_nano);
    let usage = Usage {
        input: input_tokens,
        output: output_tokens,
        ..Usage::default()
    };
    // A coding agent asks many times; what it takes in all is above no cliff in any one request.
    let listed = candidate
        .price
        .as_ref()
        .map(|price| price.cost_nano(&usage, Requests::Many));
    let cost_nano = match entry.billing {
        // A subscription costs nothing at the margin; what it uses of its window is another account.
        Billing::Free | Billing::Subscription => Some(0),
        Billing::Api | Billing::Reported => measured.or(listed),
    };
    Expected {
        input_tokens,
        output_tokens,
        cost_nano,
        billing: entry.billing,
        measured: measured.is_some() && matches!(entry.billing, Billing::Api | Billing::Reported),
    }
}
