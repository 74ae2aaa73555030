//! Random crews on one place: nobody may wait for ever.

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::crew::{self, InstanceFilter, PolicyChange};
use wheelhouse_core::ids::{InstanceId, Lease, MessageId, TaskId};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::message::{MessageKind, Party};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{ClaimRequest, Claimed, Refused, Reply};

use super::crew::{PERSON, send_of, spawn_of, spec};
use super::dice::Dice;
use super::trial::{Trial, cap, claim_by, ended};

/// How many random crews a store is put through; each is a tree that grows while it works.
const RANDOM_CREWS: u64 = 60;

/// Trees whose members only finish a turn when nobody below them has anything to do, on one place and one cap: if a
/// waiting parent kept its place, or a mailbox lost its order, some message would never be answered.
pub(super) fn random_crews_never_block(t: &mut Trial) {
    for seed in 0..RANDOM_CREWS {
        let mut dice = Dice::new(seed);
        let mut crew = RandomCrew::new(t, seed);
        for _ in 0..30 {
            crew.step(t, &mut dice);
        }
        crew.drain(t, &mut dice);
    }
}

struct RandomCrew {
    seed: u64,
    living: Vec<InstanceId>,
    parents: BTreeMap<InstanceId, InstanceId>,
    messages: Vec<(MessageId, InstanceId)>,
    running: BTreeMap<TaskId, (Lease, InstanceId)>,
    answered: BTreeSet<TaskId>,
}

impl RandomCrew {
    fn new(t: &mut Trial, seed: u64) -> RandomCrew {
        t.policy(PolicyChange::MaxInstances(1));
        let root = t.spawn(PERSON, "root", Some("lead"));
        RandomCrew {
            seed,
            living: vec![root],
            parents: BTreeMap::new(),
            messages: Vec::new(),
            running: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }

    fn step(&mut self, t: &mut Trial, dice: &mut Dice) {
        let who = *dice.pick(&self.living).expect("somebody lives");
        let text = format!("message of seed {}", self.seed);
        match dice.below(10) {
            0..=2 => {
                let command = spawn_of(Party::Instance(who), spec("child"), Some(&text));
                if let Ok(Reply::Crew(crew::Reply::Spawned { instance, .. })) = t.ask(command) {
                    self.living.push(instance);
                    self.parents.insert(instance, who);
                }
            }
            3..=5 => {
                let mut send = send_of(PERSON, Party::Instance(who), MessageKind::Request, &text);
                // After one of its own or of those below: one above it would be waiting for this very message.
                let below = |to: &InstanceId| *to == who || self.is_below(*to, who);
                let earlier: Vec<MessageId> = self
                    .messages
                    .iter()
                    .filter(|(_, to)| below(to))
                    .map(|(message, _)| *message)
                    .collect();
                if dice.percent(30) {
                    send.after.extend(dice.pick(&earlier).copied());
                }
                self.messages.push((t.send_it(send), who));
            }
            6 if self.living.len() > 1 => {
                let gone = t.terminate(PERSON, self.living[self.living.len() - 1]);
                self.living.retain(|id| !gone.contains(id));
            }
            7 => {
                t.crew(crew::Command::Interrupt {
                    by: PERSON,
                    instance: who,
                    clear: dice.percent(20),
                });
            }
            _ => self.work(t, dice),
        }
    }

    /// Claims what can be claimed on one place, and ends what has nobody to wait for.
    fn work(&mut self, t: &mut Trial, dice: &mut Dice) {
        let running = u32::try_from(self.running.len()).expect("few");
        let turns = t.claim_as_many(ClaimRequest {
            limit: 1_u32.saturating_sub(running),
            borrowed: running.saturating_sub(1),
            caps: vec![cap("rehearsal", 1)],
            ..claim_by("e1", 1)
        });
        for Claimed { lease, spec, .. } in turns {
            let wheelhouse_core::spec::Work::Turn(turn) = spec.work else {
                panic!("only turns are here")
            };
            self.running.insert(lease.task, (lease, turn.instance));
        }
        let ready: Vec<Lease> = self
            .running
            .values()
            .filter(|(_, instance)| !self.waits(t, *instance))
            .map(|(lease, _)| *lease)
            .collect();
        for lease in ready {
            if dice.percent(70) {
                self.running.remove(&lease.task);
                let outcome = if dice.percent(80) {
                    Outcome::Succeeded
                } else {
                    Outcome::Cancelled
                };
                let settled = t.ask(super::trial::settle(lease, ended(outcome)));
                if let Err(Refused::CancelRequested(_)) = settled {
                    t.end(lease, Outcome::Cancelled);
                }
                assert!(self.answered.insert(lease.task), "settled twice");
            }
        }
    }

    fn is_below(&self, mut id: InstanceId, top: InstanceId) -> bool {
        while let Some(parent) = self.parents.get(&id) {
            if *parent == top {
                return true;
            }
            id = *parent;
        }
        false
    }

    /// Whether anybody below it has something to do: then it waits for them.
    fn waits(&self, t: &mut Trial, top: InstanceId) -> bool {
        let below = InstanceFilter {
            below: Some(top),
            ended: false,
        };
        let tree = t.reader().instances(below, None, u32::MAX).expect("read");
        let busy = |view: &InstanceView| view.turn.is_some() || view.queued > 0;
        let top = t.instance(top);
        !matches!(top.state, InstanceState::Ended { .. }) && tree.iter().any(|view| view.id != top.id && busy(view))
    }

    /// Works until nothing is left, which must come.
    fn drain(&mut self, t: &mut Trial, dice: &mut Dice) {
        let mut rounds = 0;
        loop {
            self.work(t, dice);
            let all = t
                .reader()
                .instances(InstanceFilter::default(), None, u32::MAX)
                .expect("read");
            let open: Vec<String> = all
                .iter()
                .filter(|view| view.turn.is_some() || view.queued > 0)
                .map(|view| format!("{} {}", view.id, view.state))
                .collect();
            if open.is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 5_000, "seed {}: these are blocked: {open:?}", self.seed);
        }
        for (message, _) in std::mem::take(&mut self.messages) {
            assert!(
                t.message(message).state.is_over(),
                "seed {}: {message} is lost",
                self.seed
            );
        }
        for id in self.living.clone() {
            if !matches!(t.instance(id).state, InstanceState::Ended { .. }) {
                t.terminate(PERSON, id);
            }
        }
    }
}
