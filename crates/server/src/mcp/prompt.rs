//! Prompts: the common ways to use a crew, as words for the model that leads it.

use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};

use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::nearest;

/// One prompt.
struct Way {
    name: &'static str,
    about: &'static str,
    /// The one thing it is about; `{}` in the words.
    subject: Option<(&'static str, &'static str)>,
    words: &'static str,
}

const WAYS: &[Way] = &[
    Way {
        name: "orchestrate",
        about: "Split a goal into tasks for several agents, run them and bring the results together",
        subject: Some(("goal", "What is to be achieved")),
        words: "Achieve this with a crew: {}\n\nIf you can do it well alone in a few steps, do so and say that. Otherwise \
                write a plan: independent tasks without `needs`, each with all its agent has to know, a `verify` command \
                where a check exists, and a last task or your own work to bring it together. Start it with `run`, \
                follow it with `wait`, and read with `result` only what you need. Tell the user what was checked and \
                what was only claimed.",
    },
    Way {
        name: "review",
        about: "Have changes reviewed by another agent, and judge what it finds",
        subject: Some(("area", "What to review: a path, a branch, a diff")),
        words: "Have another agent review {} with `ask`: it gets the goal of the change and where to look, not your \
                opinion. It is to name each finding with file, line, severity and evidence. Check every finding yourself \
                before you act on it; say which you reject and why.",
    },
    Way {
        name: "second_opinion",
        about: "Ask agents of different vendors the same question without letting them see each other's answers",
        subject: Some(("question", "The question")),
        words: "Get independent answers to: {}\n\nSee `agents` (through `find_tools`) for who there is. `delegate` the \
                question, word for word, to two or three agents of different vendors, `wait` for them, and compare. Where \
                they agree for different reasons, say so; where they differ, say what would decide it. Do not count \
                votes of the same model twice.",
    },
    Way {
        name: "attend",
        about: "See what waits for a decision and put it to the user",
        subject: None,
        words: "Look at `status`. For each open question tell the user in one sentence what wants to happen, what it would \
                touch and what you would do; then `answer` as they decide. Never approve on your own what deletes, pays, \
                publishes or leaves this machine.",
    },
];

/// All of them.
pub(crate) fn list() -> Vec<Prompt> {
    WAYS.iter()
        .map(|way| {
            let takes = way
                .subject
                .map(|(name, about)| vec![PromptArgument::new(name).with_description(about).with_required(true)]);
            Prompt::new(way.name, Some(way.about), takes)
        })
        .collect()
}

/// One of them, about its subject.
pub(crate) fn get(name: &str, given: Option<&JsonObject>) -> Result<GetPromptResult, Failure> {
    let Some(way) = WAYS.iter().find(|way| way.name == name) else {
        let exist: Vec<String> = WAYS.iter().map(|way| way.name.to_owned()).collect();
        return Err(match nearest::name(name, &exist) {
            Some(_) => Failure::not_found("prompt", name, &exist),
            None => Failure::new(exit::NOT_FOUND, format!("there is no prompt `{name}`")),
        });
    };
    let words = match way.subject {
        None => way.words.to_owned(),
        Some((subject, _)) => {
            let value = given
                .and_then(|given| given.get(subject))
                .and_then(|value| value.as_str());
            let Some(value) = value.filter(|value| !value.trim().is_empty()) else {
                return Err(Failure::usage(format!("the prompt `{name}` needs `{subject}`")));
            };
            way.words.replacen("{}", value, 1)
        }
    };
    let message = PromptMessage::new_text(Role::User, words);
    Ok(GetPromptResult::new(vec![message]).with_description(way.about))
}
