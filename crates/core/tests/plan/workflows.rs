//! Workflows in plans: who gets which part, what is refused, what is warned of, and what it is said to take.

use std::cell::RefCell;

use wheelhouse_core::plan::{self, Advice, Checked, Context, Problems, Source};
use wheelhouse_core::price::Table;
use wheelhouse_core::roster::{Entry, Roster};
use wheelhouse_core::route::past::Past;
use wheelhouse_core::route::read::Routing;
use wheelhouse_core::route::{Candidate, Router, Standing};
use wheelhouse_core::workflow::Workflow;
use wheelhouse_core::workflow::qc::Qc;

use crate::support::{Project, accept, places, refuse, task};

/// Agents of four vendors: their models, and whether their tools let them decide.
const CREW: [(&str, &str, bool); 6] = [
    ("haiku", "claude-haiku-4-5", false),
    ("sonnet", "claude-sonnet-4-6", true),
    ("opus", "claude-opus-4-6", true),
    ("gpt", "gpt-4o", true),
    ("grok", "grok-3", true),
    ("flash", "gemini-2.5-pro", true),
];

fn router(crew: &[(&str, &str, bool)]) -> RefCell<Router> {
    let today = "2026-03-01".parse().unwrap();
    let roster = Roster::shipped();
    let candidate = |(agent, model, may_plan): &(&str, &str, bool)| Candidate {
        agent: (*agent).into(),
        model: None,
        price: Table::shipped().find(model, today).price().cloned(),
        entry: roster.find(model).cloned().unwrap_or_else(|| Entry::unknown(model)),
        standing: Standing {
            busy_max: 4,
            may_plan: *may_plan,
            ..Standing::default()
        },
    };
    let candidates = crew.iter().map(candidate).collect();
    RefCell::new(Router::new(
        Routing::default(),
        roster.clone(),
        candidates,
        Past::default(),
        today,
    ))
}

fn read_with(crew: &[(&str, &str, bool)], advice: Advice, text: &str) -> Result<Checked, Problems> {
    let router = router(crew);
    let mut agents = vec!["exec".into()];
    agents.extend(crew.iter().map(|(agent, _, _)| (*agent).into()));
    let auto = "auto".into();
    let project = Project::default();
    project.with(|context| {
        let context = Context {
            agents: &agents,
            default_agent: &auto,
            router: Some(&router),
            advice,
            ..*context
        };
        let source = Source {
            name: "plan.yaml",
            text,
            format: None,
        };
        plan::read(&source, &context)
    })
}

fn read(text: &str) -> Result<Checked, Problems> {
    read_with(&CREW, Advice::Kept, text)
}

fn codes(result: Result<Checked, Problems>) -> Vec<String> {
    match result {
        Ok(checked) => checked.warnings.iter().map(|one| one.code.to_owned()).collect(),
        Err(problems) => problems.0.iter().map(|one| one.code.to_owned()).collect(),
    }
}

/// The advice about these tasks.
fn advised(tasks: &str) -> Vec<String> {
    codes(read_with(&CREW, Advice::Given, &format!("tasks:\n{tasks}\n")))
}

fn qc(checked: &Checked, id: &str) -> Qc {
    match task(checked, id).flow.workflow.as_deref() {
        Some(Workflow::Qc(qc)) => qc.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_word_is_enough_and_every_part_is_given_to_somebody_who_may_have_it() {
    let checked =
        read("tasks:\n- {id: a, agent: sonnet, prompt: Write the release notes for the parser, workflow: qc}\n")
            .unwrap();
    let qc = qc(&checked, "a");
    assert_eq!(
        (qc.author.agent.as_str(), qc.author.vendor.as_str()),
        ("sonnet", "anthropic")
    );
    let reviewer = qc.reviewer.unwrap();
    assert_ne!(reviewer.vendor, "anthropic", "a judge is of another vendor");
    assert_ne!(qc.editor.unwrap().agent.as_str(), "sonnet", "and somebody else mends");
    assert_eq!(task(&checked, "a").agent.as_str(), "workflow");
    let crew = &checked.crews[0];
    assert_eq!(crew.workflow, "qc");
    let (least, most) = crew.cost_nano().expect("all of these have a price");
    assert!(0 < least && least < most, "{least} {most}");
}

#[test]
fn the_skip_table_holds() {
    for (keys, self_review, cross_check) in [
        ("", true, true),
        (", stakes: low", true, false),
        (", deadline: 20s", false, false),
        (", deadline: 20s, stakes: high", true, true),
        (", type: social", true, false),
        (", type: social, reviewer: gpt", true, true),
    ] {
        let checked = read(&format!(
            "tasks:\n- {{id: a, agent: sonnet, prompt: Write it up, workflow: {{kind: qc{keys}}}}}\n"
        ))
        .unwrap();
        let qc = qc(&checked, "a");
        assert_eq!(
            (qc.self_review, qc.reviewer.is_some()),
            (self_review, cross_check),
            "{keys}"
        );
        assert_eq!(
            qc.skipped.is_empty(),
            self_review && cross_check,
            "{keys}: {:?}",
            qc.skipped
        );
    }
    let tested =
        read("tasks:\n- {id: a, agent: sonnet, prompt: Implement the parser, verify: [make test], workflow: qc}\n")
            .unwrap();
    let qc = qc(&tested, "a");
    assert!(qc.reviewer.is_none(), "tests are the cross-check");
    assert_eq!(qc.skipped[0].why, "its tests are the cross-check");
}

#[test]
fn nobody_judges_their_own_work_or_that_of_their_vendor() {
    for reviewer in ["sonnet", "opus"] {
        let refused = read(&format!(
            "tasks:\n- {{id: a, agent: sonnet, prompt: x, workflow: {{kind: qc, reviewer: {reviewer}}}}}\n"
        ));
        assert_eq!(codes(refused), ["self-review"], "{reviewer}");
    }
    let alone = &CREW[..3];
    let refused = read_with(
        alone,
        Advice::Kept,
        "tasks:\n- {id: a, agent: sonnet, prompt: Write it up, workflow: qc}\n",
    );
    assert_eq!(codes(refused), ["no-reviewer"]);
    let low = "tasks:\n- {id: a, agent: sonnet, prompt: Write it up, workflow: {kind: qc, stakes: low}}\n";
    assert!(
        read_with(alone, Advice::Kept, low).is_ok(),
        "without a cross-check nobody is needed"
    );
}

#[test]
fn the_reserve_of_a_qc_is_held_to_what_every_judge_is() {
    let with = |keys: &str| {
        read(&format!(
            "tasks:\n- {{id: a, agent: sonnet, prompt: Write it up, workflow: {{kind: qc, {keys}}}}}\n"
        ))
    };
    let named = with("reviewer: gpt, reserve: [grok, flash]").unwrap();
    let qc = qc(&named, "a");
    let reserve: Vec<&str> = qc.reserve.iter().map(|hand| hand.agent.as_str()).collect();
    assert_eq!(reserve, ["grok", "flash"]);
    let editor = qc.editor.unwrap();
    assert!(
        !reserve.contains(&editor.agent.as_str()),
        "nobody judges what they mended: {editor:?}"
    );
    assert_eq!(
        named.crews[0].tries().0,
        with("reviewer: gpt").unwrap().crews[0].tries().0
    );
    assert!(named.crews[0].tries().1 > with("reviewer: gpt").unwrap().crews[0].tries().1);
    let chosen = with("reserve: grok").unwrap();
    assert_ne!(self::qc(&chosen, "a").reviewer.unwrap().agent.as_str(), "grok");
    for (keys, code) in [
        ("reviewer: gpt, reserve: [opus]", "self-review"),
        ("reviewer: gpt, reserve: [sonnet]", "self-review"),
        ("reviewer: gpt, reserve: [gpt]", "bad-workflow"),
        ("reviewer: gpt, editor: grok, reserve: [grok]", "bad-workflow"),
        ("deadline: 20s, reserve: [grok]", "bad-workflow"),
        ("reviewer: gpt, reserve: [nobody]", "unknown-agent"),
    ] {
        assert_eq!(codes(with(keys)), [code], "{keys}");
    }
}

#[test]
fn a_grinder_makes_no_strategic_call() {
    let editor =
        read("tasks:\n- {id: a, agent: sonnet, prompt: x, workflow: {kind: qc, reviewer: gpt, editor: haiku}}\n");
    assert_eq!(codes(editor), ["may-not-decide"]);
    let planner = read("tasks:\n- {id: a, agent: haiku, prompt: Plan it, plan: true}\n");
    assert_eq!(codes(planner), ["may-not-decide"]);
    assert!(read("tasks:\n- {id: a, agent: opus, prompt: Plan it, plan: true}\n").is_ok());
}

#[test]
fn a_consensus_sits_with_as_many_vendors_as_the_task_deserves() {
    let seats = |text: &str| match read(text).unwrap().tasks[0].flow.workflow.as_deref() {
        Some(Workflow::Consensus(panel)) => panel.clone(),
        other => panic!("{other:?}"),
    };
    let small = seats("tasks:\n- {id: a, prompt: Fix the typo, workflow: consensus}\n");
    assert_eq!(small.seats.len(), 2);
    let grave = seats(
        "tasks:\n- {id: a, prompt: Migrate all passwords and payments in production and redesign the authentication, workflow: consensus}\n",
    );
    assert!(
        grave.seats.len() > small.seats.len() && grave.seats.len() <= 5,
        "{grave:?}"
    );
    let mut vendors: Vec<&str> = grave.seats.iter().map(|seat| seat.vendor.as_str()).collect();
    vendors.sort_unstable();
    vendors.dedup();
    assert_eq!(vendors.len(), grave.seats.len());
    let short = read("tasks:\n- {id: a, prompt: x, workflow: {kind: consensus, seats: [sonnet, opus], quorum: 2}}\n");
    assert_eq!(codes(short), ["no-quorum"]);
    let crowd = read(
        "tasks:\n- {id: a, prompt: x, workflow: {kind: consensus, seats: [haiku, sonnet, opus, gpt, grok, flash]}}\n",
    );
    assert_eq!(codes(crowd), ["large-crew"]);
}

#[test]
fn a_cascade_that_names_nobody_begins_with_the_cheapest() {
    let checked = read("tasks:\n- {id: a, prompt: Summarise the article, workflow: cascade}\n").unwrap();
    let Some(Workflow::Cascade(cascade)) = checked.tasks[0].flow.workflow.as_deref() else {
        panic!("{checked:?}")
    };
    let rungs: Vec<&str> = cascade.rungs.iter().map(|rung| rung.agent.as_str()).collect();
    assert_eq!(
        (rungs.first(), rungs.last()),
        (Some(&"haiku"), Some(&"opus")),
        "{rungs:?}"
    );
    assert_eq!(rungs.len(), 3);
    let one = refuse("tasks:\n- {id: a, prompt: x, workflow: {kind: cascade, rungs: [claude]}}\n");
    assert_eq!(places(&one), ["bad-workflow 2:39"]);
}

#[test]
fn a_map_is_over_a_list_or_what_it_needs() {
    let checked = accept(
        "tasks:\n- {id: list, exec: ls}\n- {id: m, needs: list, agent: claude, prompt: 'Look at {{ item }}', workflow: {kind: map, over: list, reduce: 'Join {{ results }}'}}\n",
    );
    assert!(matches!(
        task(&checked, "m").flow.workflow.as_deref(),
        Some(Workflow::Map(_))
    ));
    let same = read("tasks:\n- {id: v, prompt: 'Review for accuracy: x', workflow: {kind: parallel_validate, agents: [sonnet, gpt, flash]}}\n").unwrap();
    let (least, most) = same.crews[0].tries();
    assert_eq!((least, most), (3, Some(3)), "the same content to three validators");
}

/// One place of an anti-pattern each, and beside it the same without it.
#[test]
fn the_anti_patterns_are_seen() {
    let good_pipeline = "- {id: a, agent: sonnet, prompt: Research the market for bikes}\n\
                         - {id: b, agent: sonnet, needs: a, prompt: Draft the report on it, verify: [test -f r.md]}\n\
                         - {id: c, agent: sonnet, needs: b, prompt: Translate the report into French}";
    let bad_pipeline = good_pipeline.replace(", verify: [test -f r.md]", "");
    for (code, bad, good) in [
        (
            "grinder-decides",
            "- {id: a, agent: haiku, prompt: Make a recommendation with tradeoffs between competing priorities}\n- {id: b, exec: x}",
            "- {id: a, agent: opus, prompt: Make a recommendation with tradeoffs between competing priorities}\n- {id: b, exec: x}",
        ),
        (
            "orchestrator-grinds",
            "- {id: a, agent: opus, prompt: Fix the typo in the test}\n- {id: b, exec: x}",
            "- {id: a, agent: sonnet, prompt: Fix the typo in the test}\n- {id: b, exec: x}",
        ),
        ("ungated-pipeline", bad_pipeline.as_str(), good_pipeline),
        (
            "own-review",
            "- {id: a, agent: sonnet, prompt: Implement the rate limiter}\n- {id: b, agent: opus, needs: a, prompt: 'Review the implementation: {{ tasks.a }}'}",
            "- {id: a, agent: sonnet, prompt: Implement the rate limiter}\n- {id: b, agent: gpt, needs: a, prompt: 'Review the implementation: {{ tasks.a }}'}",
        ),
        (
            "trivial-crew",
            "- {id: a, prompt: Fix the typo in the comment, workflow: {kind: consensus, seats: [sonnet, gpt]}}\n- {id: b, exec: x}",
            "- {id: a, agent: sonnet, prompt: Fix the typo in the comment}\n- {id: b, exec: x}",
        ),
        (
            "many-tries",
            "- {id: a, agent: sonnet, prompt: Implement the rate limiter, retry: 2, fallback: [gpt, opus]}\n- {id: b, exec: x}",
            "- {id: a, agent: sonnet, prompt: Implement the rate limiter, retry: 1, fallback: [gpt]}\n- {id: b, exec: x}",
        ),
    ] {
        assert!(
            advised(bad).iter().any(|found| found == code),
            "{code}: {:?}",
            advised(bad)
        );
        assert!(
            !advised(good).iter().any(|found| found == code),
            "{code}: {:?}",
            advised(good)
        );
        let kept = read(&format!("tasks:\n{bad}\n")).unwrap();
        assert!(
            !kept.warnings.iter().any(|one| one.code == code),
            "who runs a plan has decided: {:?}",
            kept.warnings
        );
    }
    // The sixth: retry without an end is refused outright.
    assert_eq!(
        codes(read("tasks:\n- {id: a, prompt: x, retry: 9}\n")),
        ["too-many-retries"]
    );
}
