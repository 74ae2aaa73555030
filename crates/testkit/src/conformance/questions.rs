//! Cases: approvals and questions.

use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::QuestionId;
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{NOT_STEERED, QuestionKind, Resolution, approval_text};
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Command, Letter, Mail, Next, Refused, RunState, Settlement};
use wheelhouse_core::task::{Held, TaskState};

use super::build::{needing, task};
use super::trial::{LEASE_MS, Trial, ended, names};

fn approved(key: &str, needs: &[&str]) -> TaskSpec {
    TaskSpec {
        approval: true,
        ..needing(key, needs)
    }
}

pub(super) fn an_approval_is_asked_before_the_first_start(t: &mut Trial) {
    let asked_at = t.clock.now();
    let r = t.submit(vec![approved("a", &[]), task("b")]);
    let question = t.last_question();
    assert_eq!(t.task(r, "a").state, TaskState::Held(Held::Approval { question }));
    assert_eq!(t.story(r, "a"), "question_asked task_held");
    assert_eq!(names(&t.claim(9)), "b");
    t.reopen();
    let view = t.reader().open_questions().unwrap().remove(0);
    assert_eq!((view.id, view.kind), (question, QuestionKind::Approval));
    assert_eq!((view.run, view.task, view.key.as_str()), (r, t.id(r, "a"), "a"));
    assert_eq!((view.asked_at, view.answer), (asked_at, None));
    assert_eq!(view.text, approval_text(&"a".into()));
    t.answer(question, "approve", Resolution::Proceed);
    assert_eq!(t.open_questions(), []);
    let view = t.reader().question(question).unwrap().unwrap();
    assert_eq!(view.answer.as_deref(), Some("approve"));
    assert_eq!(
        t.story(r, "a"),
        "question_asked task_held question_answered task_released task_ready"
    );
    let claimed = t.claim_one("a");
    assert_eq!(claimed.attempt, 1);
}

pub(super) fn an_approved_task_is_not_asked_for_again(t: &mut Trial) {
    let r = t.submit(vec![approved("a", &[])]);
    let question = t.last_question();
    t.answer(question, "approve", Resolution::Proceed);
    let lease = t.claim_one("a").lease;
    let why = "again".to_owned();
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    let claimed = t.claim_one("a");
    t.retry_at(&claimed, Outcome::Crashed, t.clock.now(), false);
    let lease = t.claim_one("a").lease;
    t.end(lease, Outcome::Crashed);
    let id = t.id(r, "a");
    t.apply(Command::RetryTask { task: id });
    assert_eq!(names(&t.claim(9)), "a");
    assert_eq!(t.count(r, "question_asked"), 1);
}

pub(super) fn a_denied_approval_cancels_and_skips(t: &mut Trial) {
    let r = t.submit(vec![approved("a", &[]), needing("b", &["a"])]);
    let question = t.last_question();
    t.answer(question, "deny", Resolution::GiveUp);
    assert_eq!(t.states(r), "a:cancelled b:skipped(a)");
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(t.story(r, "a"), "question_asked task_held question_answered task_done");
}

pub(super) fn a_denied_task_that_is_retried_is_asked_for_again(t: &mut Trial) {
    let r = t.submit(vec![approved("a", &[]), approved("b", &[])]);
    let questions = t.open_questions();
    t.answer(questions[0], "deny", Resolution::GiveUp);
    // Nobody ever answered for b.
    t.apply(Command::CancelRun { run: r });
    t.apply(Command::RetryRun { run: r });
    assert_eq!(t.states(r), "a:held(approval) b:held(approval)");
    assert_eq!(t.claim(9), [], "no task starts that nobody approved");
    let again = t.open_questions();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|question| !questions.contains(question)));
    for question in again {
        t.answer(question, "approve", Resolution::Proceed);
    }
    assert_eq!(names(&t.claim(9)), "a b");
}

pub(super) fn an_approval_waits_for_the_needs_and_the_pause(t: &mut Trial) {
    let r = t.submit(vec![task("a"), approved("b", &["a"]), approved("c", &[])]);
    let first = t.last_question();
    assert_eq!(t.states(r), "a:ready b:waiting(1) c:held(approval)");
    let lease = t.claim_one("a").lease;
    t.apply(Command::PauseRun { run: r });
    t.end(lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:succeeded b:held(paused) c:held(approval)");
    t.answer(first, "approve", Resolution::Proceed);
    assert_eq!(t.states(r), "a:succeeded b:held(paused) c:held(paused)");
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(t.states(r), "a:succeeded b:held(approval) c:ready");
    assert_eq!(t.count(r, "question_asked"), 2);
}

pub(super) fn a_failure_can_be_asked_about_and_retried(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let first = t.claim_one("a");
    t.retry_at(&first, Outcome::Crashed, t.clock.now(), false);
    let second = t.claim_one("a");
    assert_eq!((second.attempt, second.on_agent), (2, 2));
    let question = t.ask_about(second.lease, Outcome::GateFailed);
    assert_eq!(t.task(r, "a").state, TaskState::Held(Held::Question { question }));
    assert_eq!(t.states(r), "a:held(question) b:waiting(1)");
    let a = t.id(r, "a");
    assert_eq!(t.attempts(a)[1].outcome, Some(Outcome::GateFailed));
    t.advance_ms(LEASE_MS * 100);
    t.returned(Command::ExpireLeases);
    t.answer(question, "retry", Resolution::Proceed);
    let third = t.claim_one("a");
    assert_eq!((third.attempt, third.on_agent), (3, 1), "a person grants fresh tries");
    t.end(third.lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:succeeded b:ready");
}

pub(super) fn a_failure_can_be_given_up(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let lease = t.claim_one("a").lease;
    let question = t.ask_about(lease, Outcome::Auth);
    t.answer(question, "fail", Resolution::GiveUp);
    assert_eq!(t.states(r), "a:auth b:skipped(a)");
    let done = t
        .events(r)
        .into_iter()
        .find(|event| event.happened.name() == "task_done");
    let wanted = Happened::TaskDone {
        outcome: Outcome::Auth,
        continues: false,
    };
    assert_eq!(done.unwrap().happened, wanted);
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn a_failure_can_be_gone_on_without(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        needing("b", &["a"]),
        approved("c", &[]),
        needing("d", &["c"]),
    ]);
    let approval = t.last_question();
    let lease = t.claim_one("a").lease;
    let question = t.ask_about(lease, Outcome::Auth);
    t.answer(question, "continue", Resolution::ContinueWithout);
    t.answer(approval, "continue", Resolution::ContinueWithout);
    assert_eq!(t.states(r), "a:auth b:ready c:cancelled d:ready");
    assert_eq!(names(&t.claim(9)), "b d");
}

pub(super) fn a_delivered_answer_is_recorded(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let next = Next::Ask {
        kind: QuestionKind::Words,
        text: "Which colour?".to_owned(),
    };
    let outcome = Outcome::Malformed;
    t.settle(lease, Settlement { next, ..ended(outcome) });
    let question = t.last_question();
    let view = t.reader().question(question).unwrap().unwrap();
    assert_eq!((view.kind, view.text.as_str()), (QuestionKind::Words, "Which colour?"));
    t.answer(question, "blue, \"dark\"", Resolution::Deliver);
    let view = t.reader().question(question).unwrap().unwrap();
    assert_eq!(view.answer.as_deref(), Some("blue, \"dark\""));
    assert_eq!(t.open_questions(), []);
    let last = t.events(r).pop().unwrap().happened;
    let answer = "blue, \"dark\"".to_owned();
    assert_eq!(last, Happened::QuestionAnswered { question, answer });
    assert_eq!(t.states(r), "a:held(question)", "recorded, and nothing else");
}

pub(super) fn a_question_is_answered_once(t: &mut Trial) {
    let r = t.submit(vec![approved("a", &[])]);
    let question = t.last_question();
    let answer = |question, resolution| Command::Answer {
        question,
        answer: "deny".to_owned(),
        resolution,
    };
    let answers = t.batch(&[
        answer(question, Resolution::Proceed),
        answer(question, Resolution::GiveUp),
    ]);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(Refused::NoSuchQuestion(question)));
    assert_eq!(t.states(r), "a:ready");
    let nobody = QuestionId(99);
    assert_eq!(
        t.refused(answer(nobody, Resolution::Deliver)),
        Refused::NoSuchQuestion(nobody)
    );
}

pub(super) fn a_question_ends_with_its_task(t: &mut Trial) {
    let r = t.submit(vec![approved("a", &[]), task("b")]);
    let lease = t.claim_one("b").lease;
    t.ask_about(lease, Outcome::Crashed);
    let questions = t.open_questions();
    assert_eq!(questions.len(), 2);
    t.apply(Command::CancelRun { run: r });
    assert_eq!(t.states(r), "a:cancelled b:cancelled");
    assert_eq!(t.open_questions(), []);
    for question in questions {
        let view = t.reader().question(question).unwrap().unwrap();
        assert_eq!(view.answer, None);
        let late = Command::Answer {
            question,
            answer: "approve".to_owned(),
            resolution: Resolution::Proceed,
        };
        assert_eq!(t.refused(late), Refused::NoSuchQuestion(question));
    }
    assert_eq!(t.states(r), "a:cancelled b:cancelled");
}

pub(super) fn a_running_try_asks_and_is_told_once(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let (a, b) = (t.claim_one("a").lease, t.claim_one("b").lease);
    let question = t.ask_running(a, QuestionKind::Permission, "write?");
    assert_eq!(t.task(r, "a").state, TaskState::Running);
    assert_eq!(t.mail(&[a, b]), []);
    t.answer(question, "approve", Resolution::Deliver);
    assert_eq!(t.open_questions(), []);
    let letter = Letter::Answer {
        kind: QuestionKind::Permission,
        request: "write?".to_owned(),
        answer: "approve".to_owned(),
    };
    assert_eq!(t.mail(&[b]), [], "another task's mail");
    t.reopen();
    assert_eq!(t.mail(&[a, b]), [Mail { task: a.task, letter }]);
    assert_eq!(t.mail(&[a, b]), [], "told once");
    assert_eq!(t.task(r, "a").state, TaskState::Running, "an answer moves nothing");
}

pub(super) fn words_for_a_running_try_keep_their_order(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let (a, b) = (t.id(r, "a"), t.id(r, "b"));
    let steer = |task, words: &str| Command::Steer {
        task,
        words: words.to_owned(),
    };
    let refused = Refused::Illegal(NOT_STEERED.to_owned());
    assert_eq!(t.refused(steer(a, "too early")), refused);
    let lease = t.claim_one("a").lease;
    t.apply(steer(a, "left"));
    t.apply(steer(a, "no, right"));
    assert_eq!(t.refused(steer(b, "wrong one")), refused);
    let words = |words: &str| Mail {
        task: a,
        letter: Letter::Words(words.to_owned()),
    };
    assert_eq!(t.mail(&[lease]), [words("left"), words("no, right")]);
    assert_eq!(t.count(r, "task_steered"), 2);
}

pub(super) fn what_a_try_asked_ends_with_it(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let question = t.ask_running(lease, QuestionKind::Words, "which?");
    let late = t.ask_running(lease, QuestionKind::Words, "and which?");
    t.answer(question, "this one", Resolution::Deliver);
    let why = "again".to_owned();
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    assert_eq!(t.open_questions(), []);
    let answer = Command::Answer {
        question: late,
        answer: "too late".to_owned(),
        resolution: Resolution::Deliver,
    };
    assert_eq!(t.refused(answer), Refused::NoSuchQuestion(late));
    let again = t.claim_one("a").lease;
    assert_eq!(t.mail(&[again]), [], "the next try asked nothing");
    let stale = Command::Ask {
        lease,
        kind: QuestionKind::Words,
        request: "r".to_owned(),
        text: "?".to_owned(),
    };
    assert_eq!(t.refused(stale), Refused::LostLease(lease));
    t.end(again, Outcome::Succeeded);
    assert!(t.task(r, "a").state.is_done());
}
