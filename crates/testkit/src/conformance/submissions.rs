//! Cases: how runs and tasks come in.

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Refused, Reply, RunState};

use super::build::{needing, run, standing, task};
use super::trial::{Trial, names};

pub(super) fn a_run_begins_with_what_needs_nothing(t: &mut Trial) {
    let submitted_at = t.clock.now();
    let r = t.submit(vec![task("a"), needing("b", &["a"]), needing("c", &["a", "b"])]);
    assert_eq!(t.states(r), "a:ready b:waiting(1) c:waiting(2)");
    assert_eq!(t.run_story(r), "run_submitted");
    assert_eq!(t.story(r, "a"), "task_ready");
    assert_eq!(t.story(r, "b"), "");
    let view = t.run(r);
    assert_eq!((view.state, view.submitted_at), (RunState::Active, submitted_at));
    let c = t.task(r, "c");
    assert_eq!((c.attempt, c.fence, c.started_at, c.done_at), (0, 0, None, None));
    assert_eq!(c.waits_for, [TaskKey::from("a"), TaskKey::from("b")]);
    assert_eq!(t.reader().run_spec(r).unwrap(), Some(run("r")));
    let id = t.id(r, "c");
    assert_eq!(t.reader().spec(id).unwrap(), Some(needing("c", &["a", "b"])));
}

pub(super) fn a_refused_submission_leaves_nothing(t: &mut Trial) {
    let submit = |tasks| Command::SubmitRun { run: run("r"), tasks };
    let refused = t.refused(submit(vec![task("a"), task("b"), task("a")]));
    assert_eq!(refused, Refused::DuplicateKey("a".into()));
    let refused = t.refused(submit(vec![task("a"), needing("b", &["a", "nobody"])]));
    let dangling = Refused::DanglingNeed {
        task: "b".into(),
        needs: "nobody".into(),
    };
    assert_eq!(refused, dangling);
    assert_eq!(t.reader().runs(9).unwrap(), []);
    assert_eq!(t.reader().events(Default::default(), None, 9).unwrap(), []);
    assert_eq!(t.claim(9), []);
}

pub(super) fn needs_may_point_forward_and_be_said_twice(t: &mut Trial) {
    let r = t.submit(vec![needing("b", &["a", "a"]), needing("c", &["b", "a"]), task("a")]);
    assert_eq!(t.states(r), "b:waiting(1) c:waiting(2) a:ready");
    assert_eq!(t.task(r, "b").needs, [TaskKey::from("a")]);
    t.run_dry();
    assert_eq!(t.states(r), "b:succeeded c:succeeded a:succeeded");
}

pub(super) fn names_are_unique_within_a_run_and_free_across_runs(t: &mut Trial) {
    let first = t.submit(vec![task("a")]);
    let second = t.submit(vec![task("a")]);
    assert_ne!(t.id(first, "a"), t.id(second, "a"));
    let again = Command::AddTasks {
        run: first,
        tasks: vec![task("b"), task("a")],
    };
    assert_eq!(t.refused(again), Refused::DuplicateKey("a".into()));
    assert_eq!(t.states(first), "a:ready");
    // A need reaches into its own run only.
    let foreign = Command::AddTasks {
        run: first,
        tasks: vec![needing("c", &["b"])],
    };
    assert!(matches!(t.refused(foreign), Refused::DanglingNeed { .. }));
}

pub(super) fn circles_are_refused(t: &mut Trial) {
    for tasks in [
        vec![needing("a", &["a"])],
        vec![
            needing("a", &["c"]),
            needing("b", &["a"]),
            needing("c", &["b"]),
            task("d"),
        ],
    ] {
        t.illegal(Command::SubmitRun { run: run("r"), tasks });
    }
    assert_eq!(t.reader().runs(9).unwrap(), []);
    let r = t.submit(vec![task("a")]);
    let tasks = vec![needing("x", &["a", "y"]), needing("y", &["x"])];
    t.illegal(Command::AddTasks { run: r, tasks });
    assert_eq!(t.states(r), "a:ready");
}

pub(super) fn an_empty_run_is_finished_at_once(t: &mut Trial) {
    let r = t.submit(vec![]);
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(t.run(r).finished_at, Some(t.clock.now()));
    assert_eq!(t.run_story(r), "run_submitted run_finished");
}

pub(super) fn a_standing_run_never_finishes(t: &mut Trial) {
    let queue = t.submit_run(standing("queue"), vec![]);
    assert_eq!(t.run(queue).state, RunState::Active);
    for key in ["a", "b"] {
        let tasks = vec![task(key)];
        t.apply(Command::AddTasks { run: queue, tasks });
        t.run_dry();
        assert_eq!(t.run(queue).state, RunState::Active);
    }
    assert_eq!(t.states(queue), "a:succeeded b:succeeded");
    assert_eq!(t.run_story(queue), "run_submitted tasks_added tasks_added");
    assert!(t.run(queue).standing);
}

pub(super) fn tasks_join_a_run_where_its_tasks_stand(t: &mut Trial) {
    let r = t.submit(vec![
        task("good"),
        task("bad"),
        task("open"),
        needing("behind", &["bad"]),
    ]);
    for claimed in t.claim(2) {
        let outcome = if claimed.spec.key.as_str() == "good" {
            Outcome::Succeeded
        } else {
            Outcome::Crashed
        };
        t.end(claimed.lease, outcome);
    }
    let reply = t.apply(Command::AddTasks {
        run: r,
        tasks: vec![
            needing("a", &["good"]),
            needing("b", &["good", "open"]),
            needing("c", &["open", "bad"]),
            needing("d", &["c", "e"]),
            task("e"),
            needing("f", &["behind"]),
        ],
    });
    assert!(matches!(reply, Reply::Submitted { run, tasks } if run == r && tasks.len() == 6));
    assert_eq!(
        t.states(r),
        "good:succeeded bad:crashed open:ready behind:skipped(bad) \
         a:ready b:waiting(1) c:skipped(bad) d:skipped(bad) e:ready f:skipped(bad)"
    );
    assert_eq!(t.run_story(r), "run_submitted tasks_added");
}

pub(super) fn adding_nothing_changes_nothing(t: &mut Trial) {
    let r = t.submit(vec![]);
    let reply = t.apply(Command::AddTasks { run: r, tasks: vec![] });
    assert_eq!(reply, Reply::Submitted { run: r, tasks: vec![] });
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(t.run_story(r), "run_submitted run_finished");
}

pub(super) fn added_tasks_open_a_finished_run_again(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
    let tasks = vec![needing("b", &["a"])];
    t.apply(Command::AddTasks { run: r, tasks });
    let view = t.run(r);
    assert_eq!((view.state, view.finished_at), (RunState::Active, None));
    assert_eq!(t.states(r), "a:succeeded b:ready");
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(
        t.run_story(r),
        "run_submitted run_finished run_reopened tasks_added run_finished"
    );
}

pub(super) fn submitted_work_survives_a_crash_before_anybody_heard_of_it(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    t.reopen();
    assert_eq!(t.states(r), "a:ready b:waiting(1)");
    assert_eq!(names(&t.claim(9)), "a");
}

pub(super) fn a_refused_command_hurts_no_neighbour(t: &mut Trial) {
    let missing = RunId(77);
    let answers = t.batch(&[
        Command::SubmitRun {
            run: run("one"),
            tasks: vec![task("a")],
        },
        Command::PauseRun { run: missing },
        Command::SubmitRun {
            run: run("broken"),
            tasks: vec![task("x"), needing("y", &["z"])],
        },
        Command::SubmitRun {
            run: run("two"),
            tasks: vec![task("b")],
        },
    ]);
    assert!(answers[0].is_ok() && answers[3].is_ok());
    assert_eq!(answers[1], Err(Refused::NoSuchRun(missing)));
    assert!(matches!(answers[2], Err(Refused::DanglingNeed { .. })));
    t.reopen();
    let runs = t.reader().runs(9).unwrap();
    let found: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(found, ["two", "one"]);
    assert_eq!(names(&t.claim(9)), "a b");
}
