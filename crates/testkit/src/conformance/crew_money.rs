//! Cases: what budgets of instances hold, over the whole tree, and the limits that the policy sets for all of them.

use wheelhouse_core::budget::Scope;
use wheelhouse_core::crew::PolicyChange;
use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::instance::InstanceSpec;
use wheelhouse_core::message::Party;
use wheelhouse_core::store::{Claimed, Command, Next};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::usage::Cost;

use super::crew::{PERSON, spawn_of, spec};
use super::money::{GUESS, budget, claim, line, meter, spent, terms};
use super::trial::Trial;

/// A new instance that has something to do.
fn child(t: &mut Trial, by: Party, name: &str, budget_nano: Option<u64>) -> InstanceId {
    let spec = InstanceSpec {
        budget_nano,
        ..spec(name)
    };
    let before = t.reader().instances(Default::default(), None, 1_000).unwrap().len() as u64;
    t.apply(spawn_of(by, spec, Some("do it")));
    InstanceId(before + 1)
}

fn granted(claimed: &[Claimed]) -> Vec<Option<u64>> {
    claimed.iter().map(|claimed| claimed.granted_nano).collect()
}

/// Why the turn of an instance is held.
fn held(t: &mut Trial, id: InstanceId) -> Option<Held> {
    let turn = t.instance(id).turn?;
    match t.reader().task(turn).unwrap()?.state {
        TaskState::Held(held) => Some(held),
        _ => None,
    }
}

pub(super) fn an_instances_budget_holds_everybody_below_it(t: &mut Trial) {
    let top = child(t, PERSON, "top", Some(1_000));
    let middle = child(t, Party::Instance(top), "middle", None);
    let low = child(t, Party::Instance(middle), "low", Some(400));
    let other = child(t, PERSON, "other", None);
    let first = claim(t, 9, terms());
    // The deepest first: each has a part of what is left of the narrowest budget above it; who has none is not held.
    assert_eq!(granted(&first), [Some(100), Some(GUESS), Some(GUESS), None]);
    let scope = |id: InstanceId| Scope::Instance(id.0);
    assert_eq!(budget(t, &scope(top)).reserved_nano, 100 + 2 * GUESS);
    assert_eq!(budget(t, &scope(low)).reserved_nano, 100);
    // At the line: no more than the narrowest has.
    assert_eq!(meter(t, first[0].lease, 90, 1_000), Some(400));
    t.settle(first[0].lease, spent(line(1, Cost::Priced(400))));
    assert_eq!(
        (budget(t, &scope(low)).spent_nano, budget(t, &scope(top)).spent_nano),
        (400, 400)
    );
    for lease in [first[1].lease, first[2].lease] {
        t.settle(lease, spent(line(1, Cost::Priced(250))));
    }
    assert_eq!(budget(t, &scope(top)).spent_nano, 900, "what all three spent");
    // The tree's is all but used up: nobody in it begins; the other tree does.
    t.reopen();
    for id in [low, middle, top] {
        t.settle_nothing(id);
    }
    let deep = child(t, Party::Instance(low), "deep", None);
    t.end(first[3].lease, wheelhouse_core::outcome::Outcome::Succeeded);
    child(t, Party::Instance(other), "free", None);
    let second = claim(t, 9, terms());
    assert_eq!(granted(&second), [None]);
    let why = Held::Budget {
        scope: scope(low),
        until: None,
    };
    assert_eq!(held(t, deep), Some(why));
    t.apply(Command::RaiseBudget {
        scope: scope(low),
        by_nano: 1_000,
    });
    assert_eq!(
        granted(&claim(t, 9, terms())),
        [Some(25)],
        "the tree's own has 100 left"
    );
}

pub(super) fn a_turn_leaves_money_for_those_below_it(t: &mut Trial) {
    let top = child(t, PERSON, "top", Some(100));
    let first = claim(t, 9, terms());
    assert_eq!(granted(&first), [Some(25)], "a guess of 130 takes a part of the 100");
    let mut above = top;
    for name in ["a", "b", "c"] {
        above = child(t, Party::Instance(above), name, None);
        assert_eq!(claim(t, 9, terms()).len(), 1, "{name} begins while those above it wait");
    }
    assert!(budget(t, &Scope::Instance(top.0)).room_nano() > 0);
}

pub(super) fn the_crews_limits_hold_all_instances_and_begin_anew_when_they_are_set(t: &mut Trial) {
    t.policy(PolicyChange::MaxCostPerHour(Some(1_000)));
    t.policy(PolicyChange::MaxSessionCost(Some(500)));
    child(t, PERSON, "a", None);
    let second = child(t, PERSON, "b", None);
    let first = claim(t, 1, terms());
    assert_eq!(granted(&first), [Some(125)]);
    t.settle(first[0].lease, spent(line(1, Cost::Priced(500))));
    assert_eq!(claim(t, 9, terms()), []);
    let session = Held::Budget {
        scope: Scope::Crew,
        until: None,
    };
    assert_eq!(held(t, second), Some(session));
    assert_eq!(budget(t, &Scope::CrewHour).spent_nano, 500);
    // Setting the limit again begins another session; the hour goes on.
    t.policy(PolicyChange::MaxSessionCost(Some(600)));
    assert_eq!(budget(t, &Scope::Crew).spent_nano, 0);
    let next = claim(t, 9, terms());
    assert_eq!(granted(&next), [Some(125)], "a part of the hour's 500");
    t.settle(
        next[0].lease,
        wheelhouse_core::store::Settlement {
            next: Next::AwaitBudget,
            ..spent(line(1, Cost::Priced(500)))
        },
    );
    match held(t, second) {
        Some(Held::Budget {
            scope: Scope::CrewHour,
            until: Some(_),
        }) => {}
        other => panic!("{other:?}"),
    }
    t.policy(PolicyChange::MaxCostPerHour(None));
    assert_eq!(claim(t, 9, terms()).len(), 1, "without a limit it goes on");
}

/// Short ways for these cases.
impl Trial {
    /// An instance's turn is over.
    #[track_caller]
    fn settle_nothing(&mut self, id: InstanceId) {
        assert_eq!(self.instance(id).turn, None, "{id} is idle");
    }
}
