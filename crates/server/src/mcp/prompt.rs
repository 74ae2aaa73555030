//! Prompts: the common ways to use a crew, as words for the model that leads it.

use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};

use super::tool::Toolset;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::nearest;

/// One prompt.
struct Way {
    name: &'static str,
    about: &'static str,
    /// What it is about, with a word on each; `{name}` in the words. The first is needed, the others have a default.
    takes: &'static [(&'static str, &'static str, Option<&'static str>)],
    words: &'static str,
}

const WAYS: &[Way] = &[
    Way {
        name: "orchestrate",
        about: "Split a goal into tasks for several agents, run them and bring the results together",
        takes: &[("goal", "What is to be achieved", None)],
        words: "Achieve this with a crew: {goal}\n\nIf you can do it well alone in a few steps, do so and say that. Otherwise \
                write a plan: independent tasks without `needs`, each with all its agent has to know, a `verify` command \
                where a check exists, and a last task or your own work to bring it together. Start it with `run`, \
                follow it with `wait`, and read with `result` only what you need. Tell the user what was checked and \
                what was only claimed.",
    },
    Way {
        name: "review",
        about: "Have changes reviewed by another agent, and judge what it finds",
        takes: &[("area", "What to review: a path, a branch, a diff", None)],
        words: "Have another agent review {area} with `ask`: it gets the goal of the change and where to look, not your \
                opinion. It is to name each finding with file, line, severity and evidence. Check every finding yourself \
                before you act on it; say which you reject and why.",
    },
    Way {
        name: "second_opinion",
        about: "Ask agents of different vendors the same question without letting them see each other's answers",
        takes: &[("question", "The question", None)],
        words: "Get independent answers to: {question}\n\nSee `agents` (through `find_tools`) for who there is. `delegate` the \
                question, word for word, to two or three agents of different vendors, `wait` for them, and compare. Where \
                they agree for different reasons, say so; where they differ, say what would decide it. Do not count \
                votes of the same model twice.",
    },
    Way {
        name: "attend",
        about: "See what waits for a decision and put it to the user",
        takes: &[],
        words: "Look at `status`. For each open question tell the user in one sentence what wants to happen, what it would \
                touch and what you would do; then `answer` as they decide. Never approve on your own what deletes, pays, \
                publishes or leaves this machine.",
    },
];

/// The prompts that clients of systemprompt's orchestrator know.
const THEIRS: &[Way] = &[
    test(
        "create_unit_tests",
        "Write unit tests for a file",
        "Write unit tests for {file_path} with {test_framework}, to at least {coverage_target} % coverage. \
        Test behaviour and edge cases; run them, and report what they found.",
    ),
    test(
        "add_missing_tests",
        "Find what is not tested, and test it",
        "Find what {file_path} does that no test holds, and add the missing tests \
        ({test_framework}, goal {coverage_target} %). Say which cases matter most and why.",
    ),
    test(
        "fix_failing_tests",
        "Make failing tests pass by mending the cause",
        "The tests of {file_path} ({test_framework}) fail. Find the cause before you change anything; \
        mend the code or, where the test is wrong, the test, and say which it was. Coverage stays at {coverage_target} % or more.",
    ),
    test(
        "improve_test_coverage",
        "Raise test coverage where it counts",
        "Raise the coverage of {file_path} to {coverage_target} % with {test_framework}, the riskiest paths first. \
        No test without a claim that could fail.",
    ),
    react(
        "create_react_component",
        "Create a React component",
        "Create the React component {component}: {details}. Types, accessible markup, tests, and no state it does not need.",
    ),
    react(
        "update_react_component",
        "Change a React component",
        "Change the React component {component}: {details}. Keep its contract with its callers, and its tests green.",
    ),
    react(
        "convert_to_hooks",
        "Turn a class component into one with hooks",
        "Turn the class component {component} into a function with hooks, behaviour unchanged: {details}.",
    ),
    react(
        "create_custom_hook",
        "Create a hook",
        "Create the hook {component}: {details}. Handle cleanup and changing inputs; test it.",
    ),
    react(
        "optimize_react_performance",
        "Make a React component render less",
        "Measure what makes {component} slow, then mend the biggest cause: {details}. Report before and after.",
    ),
    bug(
        "fix_bug",
        "Find a bug's cause and mend it",
        "Mend this bug: {problem}. Where: {where}. Reproduce it first, name the cause, mend it with a test that fails without the mend.",
    ),
    bug(
        "debug_async_issue",
        "Find a race or a lost wait",
        "Something asynchronous goes wrong: {problem}. Where: {where}. Find the order of events that leads there, prove it, mend it, and test that order.",
    ),
    bug(
        "fix_memory_leak",
        "Find what keeps memory",
        "Memory grows: {problem}. Where: {where}. Measure, find what holds on to what, mend it, measure again.",
    ),
    bug(
        "debug_production_issue",
        "Find the cause of trouble in production",
        "In production: {problem}. Where: {where}. Gather facts before theories; say what is known, what is guessed, and the safest next step.",
    ),
    bug(
        "fix_performance_issue",
        "Find what is slow and mend it",
        "It is slow: {problem}. Where: {where}. Profile, mend the biggest cost, and report numbers before and after.",
    ),
    tidy(
        "refactor_code",
        "Make code easier to change, behaviour unchanged",
        "Refactor {target}: {goal}. Small steps, tests green after each, behaviour unchanged.",
    ),
    tidy(
        "extract_common_code",
        "Bring repeated code into one place",
        "Find what is repeated in {target} and bring it into one place: {goal}. Leave apart what only looks alike.",
    ),
    tidy(
        "simplify_complex_function",
        "Make a function plain",
        "Make {target} plain: {goal}. Fewer branches, named steps, the same results; prove it with tests.",
    ),
    tidy(
        "modernize_legacy_code",
        "Bring old code up to date",
        "Bring {target} up to date: {goal}. Keep what callers rely on, and say what you would remove next.",
    ),
    tidy(
        "improve_architecture",
        "Draw better lines between parts",
        "Look at how {target} is cut into parts: {goal}. Propose the smallest change that mends the worst line, then make it.",
    ),
    Way {
        name: "create_reddit_post",
        about: "Write a post about what was made",
        takes: &[
            ("topic", "What it is about", None),
            ("audience", "Who reads it", Some("developers")),
        ],
        words: "Write a post about {topic} for {audience}: what it does, why it may matter to them, its limits. No claims that \
                were not checked.",
    },
];

const fn test(name: &'static str, about: &'static str, words: &'static str) -> Way {
    let takes = &[
        ("file_path", "The file", None),
        (
            "test_framework",
            "The test framework",
            Some("the project's test framework"),
        ),
        ("coverage_target", "Percent", Some("80")),
    ];
    Way {
        name,
        about,
        takes,
        words,
    }
}

const fn react(name: &'static str, about: &'static str, words: &'static str) -> Way {
    let takes = &[
        ("component", "Its name", None),
        ("details", "What it is to do", Some("as its callers need it")),
    ];
    Way {
        name,
        about,
        takes,
        words,
    }
}

const fn bug(name: &'static str, about: &'static str, words: &'static str) -> Way {
    let takes = &[
        ("problem", "What goes wrong", None),
        ("where", "Where it is seen", Some("not known yet")),
    ];
    Way {
        name,
        about,
        takes,
        words,
    }
}

const fn tidy(name: &'static str, about: &'static str, words: &'static str) -> Way {
    let takes = &[
        ("target", "A file or an area", None),
        ("goal", "What is to be better", Some("easier to read and to change")),
    ];
    Way {
        name,
        about,
        takes,
        words,
    }
}

/// Those that a set lists. Every one can be got whatever is listed.
pub(crate) fn list(set: Toolset) -> Vec<Prompt> {
    let ways = match set {
        Toolset::Tasks => THEIRS,
        Toolset::Lean | Toolset::Full | Toolset::Madrox => WAYS,
    };
    ways.iter().map(prompt).collect()
}

/// All of them.
pub(crate) fn all() -> Vec<Prompt> {
    WAYS.iter().chain(THEIRS).map(prompt).collect()
}

fn prompt(way: &Way) -> Prompt {
    let takes: Vec<PromptArgument> = way
        .takes
        .iter()
        .map(|(name, about, usual)| {
            PromptArgument::new(*name)
                .with_description(*about)
                .with_required(usual.is_none())
        })
        .collect();
    Prompt::new(way.name, Some(way.about), (!takes.is_empty()).then_some(takes))
}

/// One of them, about what it is given.
pub(crate) fn get(name: &str, given: Option<&JsonObject>) -> Result<GetPromptResult, Failure> {
    let Some(way) = WAYS.iter().chain(THEIRS).find(|way| way.name == name) else {
        let exist: Vec<String> = all().into_iter().map(|prompt| prompt.name).collect();
        let near = nearest::name(name, &exist).map(|near| format!("; did you mean `{near}`?"));
        return Err(Failure::new(
            exit::NOT_FOUND,
            format!("Prompt not found: there is no `{name}`{}", near.unwrap_or_default()),
        ));
    };
    let mut words = way.words.to_owned();
    for (subject, _, usual) in way.takes {
        let value = given
            .and_then(|given| given.get(*subject))
            .and_then(|value| value.as_str())
            .filter(|value| !value.trim().is_empty())
            .or(*usual);
        let Some(value) = value else {
            return Err(Failure::usage(format!("the prompt `{name}` needs `{subject}`")));
        };
        words = words.replacen(&format!("{{{subject}}}"), value, 1);
    }
    let message = PromptMessage::new_text(Role::User, words);
    Ok(GetPromptResult::new(vec![message]).with_description(way.about))
}
