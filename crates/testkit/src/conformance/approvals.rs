//! Approvals deep in a tree: whoever waits for whom, and in whatever order things happen, nobody waits for ever.

use std::collections::BTreeMap;

use wheelhouse_core::crew::{self, InstanceFilter, PolicyChange};
use wheelhouse_core::ids::{InstanceId, Lease, QuestionId, TaskId};
use wheelhouse_core::instance::InstanceState;
use wheelhouse_core::message::Party;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, Resolution};
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{ClaimRequest, Claimed, Command, Refused};

use super::crew::{PERSON, spawn_of, spec};
use super::dice::Dice;
use super::trial::{Trial, cap, claim_by, ended, settle};

/// How many interleavings a store is put through as a case of the suite; the memory model sees many more.
const INTERLEAVINGS: u64 = 40;
/// How deep the one is that asks: its parents wait for it all the way up.
const DEPTH: u32 = 3;
/// So many steps are taken before turns end as soon as they can.
const EARLY: u32 = 80;
/// After so many steps somebody is blocked.
const STEPS_MAX: u32 = 2_000;

pub(super) fn approvals_in_the_deep_never_block(t: &mut Trial) {
    for seed in 0..INTERLEAVINGS {
        play_deep_approval(t, seed);
    }
}

/// A chain of four on one place, each waiting for the one below: spawns wait for approval where dice say so, the deepest
/// asks leave in the middle of its turn, two clients answer everything, and turns are interrupted now and then. Each
/// question takes one answer; in the end everything has one. Gives back whether it came to the question in the deep.
///
/// # Panics
/// When somebody is blocked, or a second answer is taken.
pub fn play_deep_approval(t: &mut Trial, seed: u64) -> bool {
    let mut dice = Dice::new(seed);
    t.policy(PolicyChange::MaxInstances(1));
    t.policy(PolicyChange::RequireApproval(dice.percent(50)));
    let mut chain = vec![t.spawn(PERSON, "root", Some("lead"))];
    let mut running: BTreeMap<TaskId, (Lease, InstanceId)> = BTreeMap::new();
    let mut asked: Option<QuestionId> = None;
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < STEPS_MAX, "seed {seed}: blocked: {}", standing(t, &chain));
        match dice.below(8) {
            0 | 1 => claim(t, &mut running),
            2 => grow(t, &mut dice, &running, &mut chain),
            3 => ask(t, &running, &chain, &mut asked),
            4 | 5 => answer(t, &mut dice, seed),
            6 if dice.percent(10) => {
                let instance = *dice.pick(&chain).expect("there is a root");
                // It may have ended: denied, or with its parent.
                let _ = t.ask(Command::Crew(crew::Command::Interrupt {
                    by: PERSON,
                    instance,
                    clear: false,
                }));
            }
            // At first seldom, so that most trees get deep before anybody is done.
            _ if steps < EARLY && dice.percent(95) => {}
            _ => end(t, &mut running, asked),
        }
        if steps > EARLY && running.is_empty() && is_quiet(t) {
            break;
        }
    }
    assert_eq!(t.open_questions(), [], "seed {seed}: a question outlived its turn");
    let _ = t.ask(Command::Crew(crew::Command::Terminate {
        by: PERSON,
        instance: chain[0],
    }));
    t.policy(PolicyChange::RequireApproval(false));
    asked.is_some()
}

fn claim(t: &mut Trial, running: &mut BTreeMap<TaskId, (Lease, InstanceId)>) {
    let places = u32::try_from(running.len()).unwrap_or(u32::MAX);
    let turns = t.claim_as_many(ClaimRequest {
        limit: 1_u32.saturating_sub(places),
        borrowed: places.saturating_sub(1),
        caps: vec![cap("rehearsal", 1)],
        ..claim_by("e1", 1)
    });
    for Claimed { lease, spec, .. } in turns {
        if let Work::Turn(turn) = spec.work {
            running.insert(lease.task, (lease, turn.instance));
        }
    }
}

/// The last of the chain spawns the next and waits for it.
fn grow(t: &mut Trial, dice: &mut Dice, running: &BTreeMap<TaskId, (Lease, InstanceId)>, chain: &mut Vec<InstanceId>) {
    let Some(last) = chain.last().copied() else { return };
    let is_at_work = running.values().any(|(_, instance)| *instance == last);
    if !is_at_work || chain.len() > DEPTH as usize || dice.percent(30) {
        return;
    }
    let command = spawn_of(Party::Instance(last), spec("child"), Some("go"));
    if let Ok(wheelhouse_core::store::Reply::Crew(crew::Reply::Spawned { instance, .. })) = t.ask(command) {
        chain.push(instance);
    }
}

/// The deepest asks leave, once.
fn ask(
    t: &mut Trial,
    running: &BTreeMap<TaskId, (Lease, InstanceId)>,
    chain: &[InstanceId],
    asked: &mut Option<QuestionId>,
) {
    let deepest = chain.get(DEPTH as usize);
    let lease = running.values().find(|(_, instance)| Some(instance) == deepest);
    let (None, Some((lease, _))) = (&asked, lease) else {
        return;
    };
    let command = Command::Ask {
        lease: *lease,
        kind: QuestionKind::Permission,
        request: "r1".to_owned(),
        text: "May I?".to_owned(),
    };
    if let Ok(wheelhouse_core::store::Reply::Asked { question }) = t.ask(command) {
        *asked = Some(question);
    }
}

/// Two clients answer the same question: one is heard.
fn answer(t: &mut Trial, dice: &mut Dice, seed: u64) {
    let open = t.open_questions();
    let Some(question) = dice.pick(&open).copied() else {
        return;
    };
    let mut heard = 0;
    for resolution in [Resolution::Proceed, Resolution::GiveUp] {
        let answer = if resolution == Resolution::Proceed {
            "approve"
        } else {
            "deny"
        };
        let resolution = if dice.percent(80) {
            Resolution::Proceed
        } else {
            resolution
        };
        let command = Command::Answer {
            question,
            answer: answer.to_owned(),
            resolution,
        };
        heard += u32::from(t.ask(command).is_ok());
    }
    assert_eq!(heard, 1, "seed {seed}: {question} was answered {heard} times");
}

/// Whoever waits for nobody ends its turn: nothing below it is to be done, and what it asked is answered.
fn end(t: &mut Trial, running: &mut BTreeMap<TaskId, (Lease, InstanceId)>, asked: Option<QuestionId>) {
    let open = t.open_questions();
    let free: Vec<Lease> = running
        .values()
        .filter(|(_, instance)| !waits(t, *instance))
        .map(|(lease, _)| *lease)
        .collect();
    for lease in free {
        let waits_for_answer = asked.is_some_and(|question| open.contains(&question))
            && t.reader()
                .open_questions()
                .expect("read")
                .iter()
                .any(|question| question.task == lease.task);
        if waits_for_answer {
            continue;
        }
        running.remove(&lease.task);
        if let Err(Refused::CancelRequested(_)) = t.ask(settle(lease, ended(Outcome::Succeeded))) {
            t.end(lease, Outcome::Cancelled);
        }
    }
}

/// Whether anybody below has something to do.
fn waits(t: &mut Trial, top: InstanceId) -> bool {
    let below = InstanceFilter {
        below: Some(top),
        ended: false,
    };
    let ended = matches!(t.instance(top).state, InstanceState::Ended { .. });
    let tree = t.reader().instances(below, None, 100).expect("read");
    !ended
        && tree
            .iter()
            .any(|view| view.id != top && (view.turn.is_some() || view.queued > 0))
}

fn is_quiet(t: &mut Trial) -> bool {
    let all = t
        .reader()
        .instances(InstanceFilter::default(), None, 100)
        .expect("read");
    all.iter().all(|view| view.turn.is_none() && view.queued == 0)
}

fn standing(t: &mut Trial, chain: &[InstanceId]) -> String {
    let all: Vec<String> = chain
        .iter()
        .map(|id| format!("{id} {}", t.instance(*id).state))
        .collect();
    all.join(", ")
}
