//! Decisions: floors before rules before scores, what was learned within its bounds, and the guide's own configuration.

use super::features::Features;
use super::past::{PastTask, Sketch};
use super::read::routing;
use super::*;
use crate::analysis::{Kind, Risk};
use crate::outcome::Outcome;
use crate::price::{Billing, Table};

/// The orchestration guide, "Task Routing Rules", "Chain Configuration" and `codex.yaml`, word for word.
const GUIDE: &str = include_str!("../../tests/route/guide.yaml");

fn today() -> Day {
    "2026-03-01".parse().unwrap()
}

fn candidate(agent: &str, model: Option<&str>) -> Candidate {
    let roster = Roster::shipped();
    let name = model.unwrap_or(agent);
    Candidate {
        agent: agent.into(),
        model: model.map(str::to_owned),
        price: Table::shipped().find(name, today()).price().cloned(),
        entry: roster.find(name).cloned().unwrap_or_else(|| Entry::unknown(name)),
        standing: Standing {
            busy_max: 4,
            may_plan: true,
            ..Standing::default()
        },
    }
}

/// An agent for each model of the guide.
fn crew() -> Vec<Candidate> {
    [
        "claude-opus-4-6",
        "claude-sonnet-4-6",
        "gpt-4o",
        "grok-3",
        "gemini-2.5-pro",
        "claude-haiku-4-5",
    ]
    .into_iter()
    .map(|model| candidate(&format!("api-{model}"), Some(model)))
    .collect()
}

fn router(text: &str, candidates: Vec<Candidate>, past: Vec<PastTask>) -> Router {
    let routing = match text {
        "" => Routing::default(),
        text => {
            routing("routing.yaml", text)
                .unwrap_or_else(|problems| panic!("{problems}"))
                .0
        }
    };
    Router::new(routing, Roster::shipped(), candidates, Past::of(past), today())
}

fn ask(text: &str) -> Question<'_> {
    Question {
        facts: Facts {
            text,
            ..Facts::default()
        },
        ..Question::default()
    }
}

fn chosen(router: &Router, question: &Question<'_>) -> String {
    let choice = router.decide(question);
    let chosen = choice.chosen().unwrap_or_else(|| panic!("nobody: {choice:#?}"));
    chosen.model.clone().unwrap_or_else(|| chosen.agent.to_string())
}

#[test]
fn the_rules_of_the_guide_send_every_trigger_to_its_models() {
    let router = router(GUIDE, crew(), Vec::new());
    let rules = router.routing().rules.clone();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "strategy",
            "production",
            "coding_and_scoring",
            "social",
            "research",
            "classification"
        ]
    );
    for rule in &rules {
        assert_eq!(rule.triggers.len(), 4);
        for trigger in &rule.triggers {
            assert_eq!(chosen(&router, &ask(trigger)), rule.models[0], "{trigger}");
        }
    }
    for (text, model) in [
        (
            "Please classify these support items into categories",
            "claude-haiku-4-5",
        ),
        ("Write code to the specification in SPEC.md", "claude-sonnet-4-6"),
        (
            "Make a recommendation for the storage engine, with its tradeoffs",
            "claude-opus-4-6",
        ),
        ("Generate social media content for the launch", "grok-3"),
    ] {
        assert_eq!(chosen(&router, &ask(text)), model, "{text}");
    }
    let read = Question {
        facts: Facts {
            text: "What do these say?",
            material_tokens: Some(120_000),
            ..Facts::default()
        },
        ..Question::default()
    };
    assert_eq!(
        chosen(&router, &read),
        "gemini-2.5-pro",
        "documents of more than 100K tokens"
    );
}

#[test]
fn the_chains_and_agents_of_the_guide_are_read_unchanged() {
    let (routing, warnings) = routing("routing.yaml", GUIDE).unwrap();
    assert_eq!(warnings, []);
    let chain = |name: &str| routing.chains.iter().find(|chain| chain.name == name).unwrap();
    let told = |name| -> Vec<(&str, Option<u64>, u32)> {
        let links = chain(name).links.iter();
        links
            .map(|link| (link.name.as_str(), link.timeout_ms, link.retry))
            .collect()
    };
    assert_eq!(
        told("reasoning"),
        [
            ("claude-opus-4-6", Some(60_000), 1),
            ("gpt-4o", Some(45_000), 1),
            ("claude-sonnet-4-6", Some(30_000), 2),
            ("gemini-2.5-pro", Some(45_000), 1),
        ]
    );
    assert_eq!(
        told("production"),
        [
            ("claude-sonnet-4-6", Some(30_000), 2),
            ("gpt-4o", Some(30_000), 1),
            ("grok-3", Some(20_000), 1),
        ]
    );
    assert_eq!(
        told("classification"),
        [
            ("claude-haiku-4-5", Some(10_000), 3),
            ("claude-sonnet-4-6", Some(15_000), 1)
        ]
    );
    let agents: Vec<(&str, &str, bool)> = routing
        .agents
        .iter()
        .map(|agent| (agent.name.as_str(), agent.model.as_str(), agent.may_plan()))
        .collect();
    assert_eq!(
        agents,
        [
            ("orchestrator", "claude-opus-4-6", true),
            ("grinder", "claude-sonnet-4-6", false),
            ("validator", "gpt-4o", false),
        ]
    );
    assert_eq!(routing.agents[1].role.as_deref(), Some("Execute implementation tasks"));
}

#[test]
fn the_chain_of_a_rules_name_says_who_follows() {
    let router = router(GUIDE, crew(), Vec::new());
    let choice = router.decide(&ask("generate content from template"));
    let follow: Vec<&str> = choice.fallback.iter().map(|link| link.agent.as_str()).collect();
    assert_eq!(follow, ["api-gpt-4o", "api-grok-3"]);
}

#[test]
fn everything_wrong_with_a_routing_file_is_said_with_its_place() {
    let text = "routing_rules:\n  quick:\n    model: [a]\n    triggers: []\nfallback_chain: {}\nfallback_chains:\n  x:\n    - model: a\n      timeout: soon\n      retry: 9\n  y: []\nroster:\n  - vendor: x\n    strengths: {coding: 3}\n    cost_tier: 8\nmode: shadowy\n";
    let problems = routing("routing.yaml", text).unwrap_err();
    let told: Vec<String> = problems
        .0
        .iter()
        .map(|problem| {
            format!(
                "{} {} {}",
                problem.line,
                problem.code,
                problem.nearest.clone().unwrap_or_default()
            )
        })
        .collect();
    for expected in [
        "3 unknown-key models",
        "5 unknown-key fallback_chains",
        "9 bad-duration ",
        "14 unknown-key ",
        "16 bad-value shadow",
    ] {
        assert!(
            told.iter().any(|line| line.starts_with(expected)),
            "{expected} in {told:#?}"
        );
    }
    assert!(told.len() >= 9, "{told:#?}");
    for empty in ["", "\n", "# nothing\n"] {
        assert_eq!(routing("routing.yaml", empty).unwrap().0, Routing::default());
    }
}

#[test]
fn a_scored_choice_fits_the_work() {
    let router = router("", crew(), Vec::new());
    for (text, model) in [
        ("Classify these tickets", "claude-haiku-4-5"),
        ("Fix the bug in the parser", "claude-sonnet-4-6"),
        (
            "Design the architecture of the billing system and recommend a strategy",
            "claude-opus-4-6",
        ),
        ("do the thing", "claude-sonnet-4-6"),
        ("日本語だけの依頼", "claude-sonnet-4-6"),
    ] {
        assert_eq!(
            chosen(&router, &ask(text)),
            model,
            "{text}: {:#?}",
            router.decide(&ask(text)).candidates
        );
    }
}

#[test]
fn no_rule_overrides_a_floor() {
    let rule = |more: &str| {
        format!("routing_rules:\n  all:\n    models: [claude-haiku-4-5]\n    triggers: [\"change passwords\"]\n{more}")
    };
    let text = "Change the passwords in the authentication module";
    let guarded = router(&rule(""), crew(), Vec::new());
    let choice = guarded.decide(&ask(text));
    assert_eq!(choice.analysis.risk.value, Risk::Critical);
    assert!(!choice.rule.as_ref().unwrap().obeyed);
    let excluded = choice
        .excluded
        .iter()
        .find(|one| one.model.as_deref() == Some("claude-haiku-4-5"));
    assert_eq!(excluded.unwrap().floor, Floor::Risk);
    assert!(
        choice
            .would_change
            .iter()
            .any(|line| line.contains("if the risk were low: `api-claude-haiku-4-5"))
    );
    for (more, allowed) in [("deny: [claude-sonnet-4-6]\n", false), ("allow: [anthropic]\n", true)] {
        let router = router(&rule(more), crew(), Vec::new());
        let choice = router.decide(&ask("do the thing"));
        assert_eq!(
            choice.chosen().unwrap().model.as_deref() == Some("claude-sonnet-4-6"),
            allowed,
            "{more}"
        );
        assert!(choice.excluded.iter().any(|one| one.floor == Floor::Allowed));
    }
}

#[test]
fn each_floor_bites_and_says_why() {
    let alter = |change: fn(&mut Candidate)| {
        let mut candidate = candidate("it", Some("claude-sonnet-4-6"));
        change(&mut candidate);
        let question = Question {
            facts: Facts {
                text: "Add a page",
                material_tokens: Some(300_000),
                ..Facts::default()
            },
            plans: true,
            budget_nano: Some(2_000_000_000),
            ..Question::default()
        };
        let choice = router("", vec![candidate, crew().remove(0)], Vec::new()).decide(&question);
        let floors: Vec<Floor> = choice
            .excluded
            .iter()
            .filter(|one| one.agent.as_str() == "it")
            .map(|one| one.floor)
            .collect();
        floors.first().copied()
    };
    assert_eq!(alter(|_| {}), None);
    assert_eq!(
        alter(|one| one.standing.missing = Some("gone".to_owned())),
        Some(Floor::Availability)
    );
    assert_eq!(alter(|one| one.standing.stand_in = true), Some(Floor::Availability));
    assert_eq!(
        alter(|one| one.entry.retired_on = Some(today())),
        Some(Floor::Availability)
    );
    assert_eq!(alter(|one| one.entry.window_tokens = 200_000), Some(Floor::Window));
    assert_eq!(alter(|one| one.standing.may_plan = false), Some(Floor::Capability));
    assert_eq!(
        alter(|one| one.standing.quota_until = Some(Millis(90_000))),
        Some(Floor::Quota)
    );
    assert_eq!(
        alter(|one| one.standing.barred_until = Some(Millis(90_000))),
        Some(Floor::Quota)
    );
    assert_eq!(
        alter(|one| one.price.as_mut().unwrap().rates.input = 90_000_000_000),
        Some(Floor::Budget)
    );
}

#[test]
fn the_author_and_its_vendor_can_be_kept_away_from_a_review() {
    let router = router("", crew(), Vec::new());
    let question = Question {
        not_agents: &["api-gpt-4o".into()],
        not_vendors: &["anthropic".to_owned()],
        ..ask("Review this change")
    };
    let choice = router.decide(&question);
    let vendor = &choice.chosen().unwrap().vendor;
    assert!(vendor != "anthropic" && vendor != "openai", "{vendor}");
}

#[test]
fn an_agent_that_asks_is_told_to_do_simple_things_itself() {
    let router = router("", crew(), Vec::new());
    let from_agent = |text| Question {
        caller: Caller::Agent,
        ..ask(text)
    };
    // The architecture comparison: "IF simple: I work alone".
    let own = router
        .decide(&from_agent("Add logging to function"))
        .do_it_yourself
        .unwrap();
    assert!(own.saved_tokens >= COLD_START_TOKENS, "{own:?}");
    assert_eq!(
        router.decide(&ask("Add logging to function")).do_it_yourself,
        None,
        "a person cannot"
    );
    for text in [
        "Refactor authentication system",
        "Add OAuth2 authentication",
        "Map the entire codebase",
    ] {
        assert_eq!(router.decide(&from_agent(text)).do_it_yourself, None, "{text}");
    }
}

#[test]
fn who_else_is_worth_asking_follows_the_decision_tree_of_the_comparison() {
    let router = router("", crew(), Vec::new());
    let consulted = |text| -> Vec<String> {
        let choice = router.decide(&ask(text));
        choice.consult.iter().map(|one| one.what_for.clone()).collect()
    };
    assert_eq!(consulted("Add logging to function"), [""; 0]);
    assert_eq!(consulted("What is in this repository?"), ["reader"]);
    assert_eq!(consulted("Refactor authentication system"), ["reviewer"]);
    assert_eq!(consulted("Add OAuth2 authentication"), ["reader", "reviewer"]);
    let choice = router.decide(&ask("Add OAuth2 authentication"));
    let vendor = &choice.chosen().unwrap().vendor;
    for other in &choice.consult {
        assert!(
            router
                .candidates()
                .iter()
                .any(|one| one.agent == other.agent && one.entry.vendor != *vendor)
        );
    }
}

fn past(agent: &str, text: &str, tasks: usize, succeeded: usize) -> Vec<PastTask> {
    let task = |number| PastTask {
        task: crate::ids::TaskId(0),
        sketch: Sketch::of(text),
        features: Some(Features::of(text)),
        kind: Kind::Debug,
        agent: agent.to_owned(),
        model: Some(agent.trim_start_matches("api-").to_owned()),
        outcome: if number < succeeded {
            Outcome::Succeeded
        } else {
            Outcome::GateFailed
        },
        cost_nano: Some(1_000_000),
        at: Millis(0),
    };
    (0..tasks).map(task).collect()
}

#[test]
fn what_was_learned_turns_a_choice_only_with_enough_evidence() {
    let text = "Fix the bug in the tokenizer of the parser module";
    let with = |tasks: usize, more: &str| {
        let mut history = past("api-claude-sonnet-4-6", text, tasks, 0);
        history.extend(past("api-gpt-4o", text, tasks, tasks));
        let router = router(more, crew(), history);
        (chosen(&router, &ask(text)), router.decide(&ask(text)).shadow)
    };
    assert_eq!(with(0, ""), ("claude-sonnet-4-6".to_owned(), None));
    assert_eq!(with(4, "").0, "claude-sonnet-4-6", "four are too few");
    assert_eq!(with(12, "").0, "gpt-4o");
    let (acts, shadow) = with(12, "mode: shadow\nsamples_min: 5\n");
    // History speaks in the score as always; the correction is only written down.
    assert!(shadow.is_none() || acts != "gpt-4o", "{acts} {shadow:?}");
}

#[test]
fn similar_tasks_tell_what_it_will_cost() {
    let text = "Fix the bug in the tokenizer of the parser module";
    let router = router("", crew(), past("api-gpt-4o", text, 20, 20));
    let choice = router.decide(&ask(text));
    let measured = choice
        .candidates
        .iter()
        .find(|one| one.agent.as_str() == "api-gpt-4o")
        .unwrap();
    assert_eq!(
        (measured.expected.cost_nano, measured.expected.measured),
        (Some(1_000_000), true)
    );
    let listed = choice
        .candidates
        .iter()
        .find(|one| one.agent.as_str() == "api-claude-sonnet-4-6")
        .unwrap();
    assert!(!listed.expected.measured && listed.expected.cost_nano.unwrap() > 0);
    let unknown = router_of_unknown().decide(&ask(text));
    assert_eq!(
        unknown.chosen().unwrap().expected.cost_nano,
        None,
        "unknown is never zero"
    );
}

fn router_of_unknown() -> Router {
    router("", vec![candidate("mine", Some("some-model"))], Vec::new())
}

#[test]
fn exploration_is_rare_bounded_and_never_risky() {
    let text = "Fix the bug in the tokenizer of the parser module";
    let router = router("", crew(), past("api-claude-sonnet-4-6", text, 20, 20));
    let with = |text, seed| {
        router.decide(&Question {
            seed: Some(seed),
            ..ask(text)
        })
    };
    let mut tried: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..2_000 {
        let choice = with(text, seed);
        if choice.explored {
            *tried.entry(choice.chosen().unwrap().agent.to_string()).or_default() += 1;
            assert_ne!(choice.chosen, Some(0));
            assert_eq!(with(text, seed), choice, "the same task is always decided alike");
        }
        assert!(!with("Fix the authentication bug", seed).explored, "high risk");
    }
    let all: u32 = tried.values().sum();
    assert!((60..140).contains(&all), "5 of 100: {tried:?}");
    assert!(
        tried.len() >= 2 && tried.values().all(|times| *times > all / 10),
        "{tried:?}"
    );
    assert!(!router.decide(&ask(text)).explored, "nothing is tried without a number");
}

#[test]
fn one_plan_spreads_over_who_is_there() {
    let mut router = router(
        "",
        vec![candidate("claude", None), candidate("codex", None)],
        Vec::new(),
    );
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..8 {
        let choice = router.assign(&ask("Fix the bug in the parser"));
        *counts.entry(choice.chosen().unwrap().agent.to_string()).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count >= 3), "{counts:?}");
}

#[test]
fn nobody_left_is_said_with_every_reason() {
    let mut missing = candidate("claude", None);
    missing.standing.missing = Some("there is no program `claude`".to_owned());
    let choice = router("", vec![missing], Vec::new()).decide(&ask("x"));
    assert_eq!((choice.chosen, choice.reason.as_str()), (None, "nobody here can do it"));
    assert_eq!(choice.would_change, ["`claude` is out: there is no program `claude`"]);
}

/// Seed 001, "$0 Marginal Cost Routing", over a crew with a subscription and four models behind APIs.
#[test]
fn work_is_paid_for_as_the_guides_tree_says() {
    let text = "Do the usual thing with the files";
    let flat = Candidate {
        entry: Entry {
            billing: Billing::Subscription,
            ..candidate("flat", Some("claude-opus-4-6")).entry
        },
        ..candidate("flat", Some("claude-opus-4-6"))
    };
    let with_flat = |standing: Standing| {
        let mut all = crew();
        all.push(Candidate {
            standing,
            ..flat.clone()
        });
        all
    };
    let fresh = || with_flat(flat.standing.clone());
    let used_up = with_flat(Standing {
        quota_until: Some(Millis(u64::MAX)),
        ..flat.standing.clone()
    });
    let asked = |interactive, batch, calls_per_day| Question {
        demand: Demand {
            interactive,
            batch,
            calls_per_day,
        },
        ..ask(text)
    };
    let paid = |router: &Router, question: &Question<'_>| {
        let choice = router.decide(question);
        let chosen = choice.chosen().unwrap();
        let pays = choice.pays.clone().unwrap();
        assert!(pays.obeyed && choice.reason.contains(&pays.why), "{choice:#?}");
        (pays.way, chosen.agent.to_string())
    };
    use billing::Way;
    let open = router("", fresh(), Vec::new());
    assert_eq!(
        paid(&open, &asked(true, false, 0)),
        (Way::Subscription, "flat".to_owned())
    );
    let (way, cheapest) = paid(&open, &asked(false, true, 0));
    let choice = open.decide(&asked(false, true, 0));
    let costs: Vec<Option<u64>> = choice.candidates.iter().map(|one| one.expected.cost_nano).collect();
    assert_eq!(way, Way::CheapestApi);
    assert!(cheapest != "flat" && costs[0] <= costs[1], "{choice:#?}");
    assert_eq!(
        paid(&open, &asked(false, false, 1_001)),
        (Way::ClassifierApi, "api-claude-haiku-4-5".to_owned())
    );
    assert_eq!(paid(&open, &asked(false, false, 1_000)).0, Way::StandardApi);
    let barred = router("", used_up, Vec::new());
    let (way, agent) = paid(&barred, &asked(true, false, 0));
    assert!(way == Way::StandardApi && agent != "flat", "{agent}");
    // The file says it for all, a question for itself, and a rule comes first.
    let batch = router("work: batch\n", fresh(), Vec::new());
    assert_eq!(paid(&batch, &ask(text)).0, Way::CheapestApi);
    assert_eq!(paid(&batch, &asked(true, false, 0)).0, Way::Subscription);
    let ruled = router(&format!("{GUIDE}\nwork: batch\n"), fresh(), Vec::new());
    assert_eq!(chosen(&ruled, &ask("analyze X/Twitter trends")), "grok-3");
    // Where nobody is paid so, the score decides, and it is said.
    let only_flat = router("", vec![flat.clone()], Vec::new());
    let choice = only_flat.decide(&asked(false, true, 0));
    assert_eq!(choice.chosen().unwrap().agent.as_str(), "flat");
    assert!(!choice.pays.unwrap().obeyed);
    assert!(open.decide(&ask(text)).pays.is_none(), "nothing said, nothing changed");
}
