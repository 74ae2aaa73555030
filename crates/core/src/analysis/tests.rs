//! What is made of the words of tasks, those of the architecture comparison first.

use super::*;

fn of(text: &str) -> Analysis {
    analyse(&Facts {
        text,
        ..Facts::default()
    })
}

fn levels(text: &str) -> (Complexity, Context, Risk, Kind) {
    let analysis = of(text);
    (
        analysis.complexity.value,
        analysis.context.value,
        analysis.risk.value,
        analysis.kind.value,
    )
}

#[test]
fn the_three_scenarios_of_the_architecture_comparison() {
    // Scenario 1 .
    let simple = of("Add logging to function");
    assert_eq!(simple.complexity.value, Complexity::Simple, "{:?}", simple.complexity);
    assert_eq!(simple.risk.value, Risk::Medium);
    // Scenario 2.
    let complex = of("Refactor authentication system");
    assert_eq!(
        complex.complexity.value,
        Complexity::Complex,
        "{:?}",
        complex.complexity
    );
    assert_eq!(complex.risk.value, Risk::High);
    // Scenario 3: security-critical.
    let critical = of("Add OAuth2 authentication");
    assert_eq!(critical.risk.value, Risk::Critical, "{:?}", critical.risk);
    assert_eq!(critical.kind.value, Kind::Implementation);
}

#[test]
fn levels_of_ordinary_tasks() {
    use Complexity::{Complex, Medium, Simple};
    for (text, complexity, risk, kind) in [
        ("Fix the typo in the README", Simple, Risk::Low, Kind::Debug),
        ("Rename `foo` to `bar`", Simple, Risk::Medium, Kind::Implementation),
        ("Review this pull request", Medium, Risk::Medium, Kind::Review),
        ("Why does the build hang on Mondays?", Medium, Risk::Medium, Kind::Debug),
        ("Write unit tests for the parser", Medium, Risk::Medium, Kind::Testing),
        (
            "Redesign the architecture of the payments system and recommend a strategy with tradeoffs",
            Complex,
            Risk::High,
            Kind::Strategy,
        ),
        (
            "Delete old rows from the production database",
            Medium,
            Risk::Critical,
            Kind::General,
        ),
        (
            "Find the race condition in the scheduler",
            Medium,
            Risk::High,
            Kind::Debug,
        ),
        (
            "Classify these tickets into categories",
            Simple,
            Risk::Medium,
            Kind::Classification,
        ),
        ("Analyze X/Twitter trends", Medium, Risk::Medium, Kind::Social),
    ] {
        let found = levels(text);
        assert_eq!(
            (found.0, found.2, found.3),
            (complexity, risk, kind),
            "{text}: {:#?}",
            of(text)
        );
    }
}

#[test]
fn nothing_said_means_the_middle() {
    for text in ["", "Bitte erledige das.", "日本語だけの依頼", "do the thing"] {
        assert_eq!(
            levels(text),
            (Complexity::Medium, Context::Small, Risk::Medium, Kind::General),
            "{text}"
        );
        assert!(of(text).complexity.signals[0].what.contains("the middle"));
    }
}

#[test]
fn a_long_paste_is_context_and_not_difficulty() {
    let paste = format!(
        "Fix the typo in this file:\n```\n{}\n```",
        "let system = architecture;\n".repeat(20_000)
    );
    let analysis = of(&paste);
    assert_eq!(analysis.complexity.value, Complexity::Simple);
    assert_eq!(analysis.context.value, Context::Large);
    assert!(analysis.tokens > 100_000);
}

#[test]
fn context_comes_from_what_is_said_known_and_declared() {
    assert_eq!(of("analyze documents >100K tokens").context.value, Context::Large);
    assert_eq!(of("read the 2M tokens of logs").context.value, Context::Massive);
    assert_eq!(of("Map the entire codebase").context.value, Context::Massive);
    let facts = |files: &'static [String], material_tokens| {
        analyse(&Facts {
            text: "Tidy up",
            files,
            checks: 0,
            material_tokens,
        })
    };
    assert_eq!(facts(&[], Some(50_000)).context.value, Context::Large);
    assert_eq!(facts(&[], None).context.value, Context::Small);
}

#[test]
fn declared_files_raise_the_risk() {
    let files = ["src/auth/session.rs".to_owned()];
    let facts = Facts {
        text: "Tidy up",
        files: &files,
        ..Facts::default()
    };
    let risk = analyse(&facts).risk;
    assert_eq!(risk.value, Risk::High);
    assert!(risk.signals[0].what.contains("src/auth/session.rs"));
}

#[test]
fn names_go_both_ways() {
    for kind in KINDS {
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(Risk::named("critical"), Some(Risk::Critical));
    assert_eq!(Complexity::named("nonsense"), None);
}

#[test]
fn longer_is_never_easier_and_words_move_it_by_a_doubling_at_most() {
    let difficulty = |text: &str| of(text).difficulty;
    assert!(difficulty("Add logging to function") < difficulty("Do this thing and that!"));
    assert!(difficulty("Do this thing and that!") < difficulty("Refactor authentication"));
    let mut before = difficulty("");
    for length in 1..READ_MAX + 100 {
        let now = length_grade(&"x".repeat(length));
        assert!(now >= before, "{length}");
        before = now;
    }
    // All the words of effort at once count no more than twice the length, and a thing half as long with them no more.
    let words = "redesign architecture refactor rewrite optimise algorithm protocol strategy tradeoffs system";
    let plain = "x".repeat(words.len());
    assert_eq!(difficulty(words) - difficulty(&plain), 1_000);
    assert_eq!(difficulty("typo") - difficulty("abcd"), -1_000);
    let files = |many: usize| vec!["src/a.rs".to_owned(); many];
    let with = |many: usize| {
        analyse(&Facts {
            text: "Tidy up",
            files: &files(many),
            ..Facts::default()
        })
        .difficulty
    };
    assert_eq!((with(4) - with(3), with(10) - with(3)), (500, 1_000));
}
