//! Cases: what readers see.

use std::collections::BTreeMap;

use wheelhouse_core::chain::Link;
use wheelhouse_core::ids::{Cursor, QuestionId, RunId, TaskId};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::schema::Schema;
use wheelhouse_core::spec::{BudgetLimit, Edits, Isolation, Merge, OnFailure, RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{Command, RunState};

use super::build::{self, needing, run, task};
use super::trial::Trial;

pub(super) fn pages_of_tasks(t: &mut Trial) {
    let r = t.submit((0..25).map(|n| task(&format!("t{n}"))).collect());
    let mut seen = Vec::new();
    for page in 0..4 {
        let tasks = t.reader().tasks(r, page * 10, 10).unwrap();
        seen.extend(tasks.iter().map(|task| task.key.as_str().to_owned()));
    }
    let all: Vec<String> = (0..25).map(|n| format!("t{n}")).collect();
    assert_eq!(seen, all, "in the order they were added");
    assert_eq!(t.reader().tasks(r, 25, 10).unwrap(), []);
    assert_eq!(t.reader().tasks(r, u64::MAX, 10).unwrap(), []);
    assert_eq!(t.reader().tasks(r, 0, 0).unwrap(), []);
}

pub(super) fn tasks_by_state_oldest_first(t: &mut Trial) {
    let urgent = TaskSpec {
        priority: 9,
        ..task("c")
    };
    let r = t.submit(vec![task("a"), task("b"), urgent, needing("d", &["a"])]);
    t.submit(vec![task("other")]);
    let keys = |t: &mut Trial, state: &str, limit| {
        let tasks = t.reader().tasks_in(r, state, limit).unwrap();
        let keys: Vec<String> = tasks.iter().map(|task| task.key.to_string()).collect();
        keys.join(" ")
    };
    assert_eq!(keys(t, "ready", 9), "a b c");
    assert_eq!(keys(t, "ready", 2), "a b");
    assert_eq!(keys(t, "waiting", 9), "d");
    assert_eq!(keys(t, "running", 9), "");
    assert_eq!(keys(t, "nonsense", 9), "");
    t.run_dry();
    assert_eq!(keys(t, "done", 9), "a b c d");
}

pub(super) fn newest_runs_first(t: &mut Trial) {
    for name in ["one", "two", "three"] {
        t.submit_run(run(name), vec![task("a")]);
    }
    let names = |t: &mut Trial, limit| {
        let runs = t.reader().runs(limit).unwrap();
        let names: Vec<String> = runs.into_iter().map(|run| run.name).collect();
        names.join(" ")
    };
    assert_eq!(names(t, 9), "three two one");
    assert_eq!(names(t, 2), "three two");
    assert_eq!(t.reader().runs(1).unwrap()[0].source, "plans/three.yaml");
}

pub(super) fn events_page_by_cursor(t: &mut Trial) {
    let r = t.submit((0..10).map(|n| task(&format!("t{n}"))).collect());
    t.run_dry();
    let all = t.events(r);
    assert!(all.len() > 40);
    assert!(all.windows(2).all(|pair| pair[0].cursor < pair[1].cursor));
    let (mut after, mut paged) = (Cursor(0), Vec::new());
    loop {
        let page = t.reader().events(after, None, 7).unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = last.cursor;
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(t.reader().events(after, None, 7).unwrap(), []);
    t.submit(vec![]);
    let news = t.reader().events(after, None, 7).unwrap();
    assert_eq!(news.len(), 2, "the events after a cursor are the news");
}

pub(super) fn events_of_one_run_or_all(t: &mut Trial) {
    let one = t.submit(vec![task("a")]);
    let two = t.submit(vec![task("a")]);
    t.run_dry();
    let all = t.reader().events(Cursor(0), None, 99).unwrap();
    for run in [one, two] {
        let of_run = t.reader().events(Cursor(0), Some(run), 99).unwrap();
        let wanted: Vec<_> = all.iter().filter(|event| event.run == run).cloned().collect();
        assert_eq!(of_run, wanted);
        let first_two = t.reader().events(Cursor(0), Some(run), 2).unwrap();
        assert_eq!(first_two, wanted[..2]);
    }
}

pub(super) fn a_reader_sees_each_commit_at_once(t: &mut Trial) {
    let mut early = t.reader();
    let r = t.submit(vec![task("a")]);
    assert_eq!(early.run(r).unwrap().map(|run| run.state), Some(RunState::Active));
    let lease = t.claim_one("a").lease;
    let seen = early.task(lease.task).unwrap().unwrap();
    assert_eq!((seen.fence, seen.state.name()), (lease.fence, "running"));
    t.end(lease, Outcome::Succeeded);
    assert_eq!(early.run(r).unwrap().map(|run| run.state), Some(RunState::Finished));
    // The view and its events commit together.
    let last = early.events(Cursor(0), Some(r), 99).unwrap().pop();
    assert_eq!(last.map(|event| event.happened.name()), Some("run_finished"));
}

pub(super) fn what_is_not_there_is_none(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let mut reader = t.reader();
    let nobody = TaskId(99);
    assert_eq!(reader.run(RunId(99)).unwrap(), None);
    assert_eq!(reader.run_spec(RunId(99)).unwrap(), None);
    assert_eq!(reader.tasks(RunId(99), 0, 9).unwrap(), []);
    assert_eq!(reader.tasks_in(RunId(99), "ready", 9).unwrap(), []);
    assert_eq!(reader.task(nobody).unwrap(), None);
    assert_eq!(reader.task_by_key(r, &"b".into()).unwrap(), None);
    assert_eq!(reader.task_by_key(RunId(99), &"a".into()).unwrap(), None);
    assert_eq!(reader.spec(nobody).unwrap(), None);
    assert_eq!(reader.attempts(nobody).unwrap(), []);
    assert_eq!(reader.result(nobody).unwrap(), None);
    assert_eq!(reader.artifact(&build::hash(b"never")).unwrap(), None);
    assert_eq!(reader.events(Cursor(0), Some(RunId(99)), 9).unwrap(), []);
    assert_eq!(reader.events(Cursor(u64::MAX >> 1), None, 9).unwrap(), []);
    assert_eq!(reader.question(QuestionId(99)).unwrap(), None);
    assert_eq!(reader.open_questions().unwrap(), []);
}

pub(super) fn text_comes_back_byte_for_byte(t: &mut Trial) {
    let odd = "'; DROP TABLE task; -- \u{1f980} \r\n\t\0 {{ x }} %s \u{202e}";
    let map = |text: &str| BTreeMap::from([(text.to_owned(), text.to_owned())]);
    let run = RunSpec {
        name: odd.to_owned(),
        vars: map(odd),
        budget: Some(BudgetLimit {
            cost_nano: i64::MAX as u64,
        }),
        source: odd.to_owned(),
        standing: false,
    };
    let spec = TaskSpec {
        key: odd.into(),
        work: Work::Prompt(format!("{odd}{}", "long ".repeat(200_000))),
        agent: odd.into(),
        fallback: vec![
            Link::of("b".into()),
            Link {
                agent: odd.into(),
                model: Some(odd.to_owned()),
                timeout_ms: Some(u64::MAX),
                retry_max: Some(0),
                window_tokens: Some(1),
            },
        ],
        model: Some(odd.to_owned()),
        role: Some(String::new()),
        needs: vec![],
        priority: i32::MIN,
        files: vec![odd.to_owned()],
        verify: vec![odd.to_owned(), String::new()],
        isolation: Isolation::Worktree,
        merge: Merge::Branch,
        protect: vec!["ci".to_owned(), "tests/**".to_owned()],
        edits: Edits::Patch,
        schema: Some(Schema::parse(r#"{"type":"object"}"#).unwrap()),
        timeout_ms: u64::MAX,
        idle_timeout_ms: 0,
        retry_max: u32::MAX,
        deadline_ms: Some(u64::MAX),
        window_tokens: Some(7),
        confidence_min: Some(100),
        on_failure: Some(OnFailure::Ask),
        planner: true,
        approval: false,
        env: map(odd),
        cwd: Some(odd.to_owned()),
        budget: Some(BudgetLimit { cost_nano: 1 }),
        routed: Some("by a rule".to_owned()),
        flow: Default::default(),
        inputs: Default::default(),
    };
    let r = t.submit_run(run.clone(), vec![spec.clone()]);
    t.reopen();
    assert_eq!(t.run(r).name, odd);
    assert_eq!(t.reader().run_spec(r).unwrap(), Some(run));
    let id = t.id(r, odd);
    assert_eq!(t.reader().spec(id).unwrap(), Some(spec.clone()));
    let claimed = t.claim(1).remove(0);
    assert!(claimed.spec == spec, "the claim has it too");
    let why = odd.to_owned();
    let lease = claimed.lease;
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
}

pub(super) fn the_store_keeps_its_name(t: &mut Trial) {
    let name = t.reader().store_id().unwrap();
    assert!(!name.is_empty());
    t.submit(vec![task("a")]);
    t.reopen();
    assert_eq!(t.reader().store_id().unwrap(), name);
}
