//! Cases: wishes under a key of their caller's.

use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Refused, Reply};

use super::build::{run, task};
use super::trial::Trial;

fn once(key: &str, digest: &str, command: Command) -> Command {
    Command::Once {
        key: key.to_owned(),
        digest: digest.to_owned(),
        command: Box::new(command),
    }
}

fn submission(name: &str, tasks: &[&str]) -> Command {
    Command::SubmitRun {
        run: run(name),
        tasks: tasks.iter().map(|key| task(key)).collect(),
    }
}

pub(super) fn a_wish_under_a_key_is_granted_once_and_answered_again(t: &mut Trial) {
    let wish = once("k", "d", submission("p", &["a", "b"]));
    let first = t.apply(wish.clone());
    assert!(
        matches!(&first, Reply::Submitted { tasks, .. } if tasks.len() == 2),
        "{first:?}"
    );
    // Again in the same transaction, in a later one, and after a crash.
    assert_eq!(
        t.batch(&[wish.clone(), wish.clone()]),
        [Ok(first.clone()), Ok(first.clone())]
    );
    t.reopen();
    assert_eq!(t.apply(wish), first);
    assert_eq!(t.reader().runs(10).unwrap().len(), 1);
    let both = once("two", "d", submission("p", &["a"]));
    let answers = t.batch(&[both.clone(), both]);
    assert_eq!(answers[0], answers[1], "twice in one transaction");
    assert_eq!(t.reader().runs(10).unwrap().len(), 2);
}

pub(super) fn a_key_is_for_one_wish_and_a_refused_one_leaves_it_free(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let a = t.id(r, "a");
    let steer = |words: &str| Command::Steer {
        task: a,
        words: words.to_owned(),
    };
    t.illegal(once("k", "d", steer("too early")));
    let lease = t.claim_one("a").lease;
    assert_eq!(t.apply(once("k", "d", steer("now"))), Reply::Done);
    assert_eq!(t.apply(once("k", "d", steer("now"))), Reply::Done);
    assert_eq!(
        t.refused(once("k", "e", steer("other"))),
        Refused::KeyReused("k".to_owned())
    );
    assert_eq!(t.mail(&[lease]).len(), 1, "the words were said once");
    t.end(lease, Outcome::Succeeded);
    // The answer stands although the wish could not be granted any more.
    assert_eq!(t.apply(once("k", "d", steer("now"))), Reply::Done);
}

pub(super) fn keys_are_forgotten_with_the_runs_of_their_time(t: &mut Trial) {
    let wish = once("k", "d", submission("p", &[]));
    t.apply(wish.clone());
    t.advance_ms(10);
    let later = once("l", "d", submission("q", &[]));
    let kept = t.apply(later.clone());
    let before = t.reader().runs(1).unwrap()[0].submitted_at;
    t.apply(Command::Prune { before });
    assert_eq!(t.apply(later), kept);
    t.apply(wish);
    assert_eq!(
        t.reader().runs(10).unwrap().len(),
        2,
        "the forgotten wish was granted anew"
    );
}
