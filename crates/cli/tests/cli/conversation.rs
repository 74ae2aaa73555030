//! An instance whose agent remembers nothing, as the model's API sees it: each turn is told what was said before.

use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::House;

fn house(fake: &ModelApi, config: &str) -> House {
    let house = House::new().with_env("A_KEY", "sk-x");
    let base = fake.base_url();
    house.write(
        "wheelhouse.toml",
        &format!("{config}\n[agents.model]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{base}\"\nmodel = \"claude-x\"\nkey_env = \"A_KEY\"\n"),
    );
    house
}

/// Says these to an instance, one after the other; what the model was sent, prompt by prompt.
fn said(house: &House, fake: &ModelApi, words: &[&str]) -> Vec<String> {
    house.ok(&["spawn", "adviser", words[0], "--agent", "model", "--wait"]);
    for words in &words[1..] {
        house.ok(&["send", "adviser", words, "--wait", "--timeout", "60"]);
    }
    assert_eq!(fake.violations(), []);
    let mut turns = fake.turns();
    turns.sort_by_key(|turn| turn.number);
    turns.into_iter().map(|turn| turn.prompt).collect()
}

#[test]
fn a_model_without_a_memory_is_told_what_was_said() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake, "");
    let sent = said(
        &house,
        &fake,
        &["Choose a parser. It must be fast.", "Why that one?", "And for dates?"],
    );
    assert!(!sent[0].contains("What was said so far"), "{}", sent[0]);
    assert!(
        sent[1].contains("Turn 1:\nChoose a parser.") && sent[1].contains("You answered:"),
        "{}",
        sent[1]
    );
    assert!(sent[1].trim_end().ends_with("Why that one?"), "{}", sent[1]);
    assert!(
        sent[2].contains("Turn 1:\nChoose a parser.") && sent[2].contains("Turn 2:\nWhy that one?"),
        "{}",
        sent[2]
    );
    // What was sent before stands in the next as it was: a prompt cache keeps it.
    let first = sent[1].split("\nEnd of what was said").next().unwrap();
    assert!(sent[2].starts_with(first), "{}\n---\n{}", sent[1], sent[2]);
}

#[test]
fn older_turns_become_a_summary_with_a_receipt_and_the_layer_can_be_switched_off() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let short = house(&fake, "context.conversation_tokens = 500");
    let long = format!("The parser must never panic. {}", "It reads dates. ".repeat(120));
    let sent = said(&short, &fake, &[&long, "And then?", "And now?"]);
    assert!(sent[2].contains("Summary of the first 1 turns."), "{}", sent[2]);
    assert!(
        sent[2].contains("- The parser must never panic. (turn 1)") && sent[2].contains("Turn 2:"),
        "{}",
        sent[2]
    );
    let text = short.ok(&["economy", "r1", "--receipts"]).out;
    assert!(
        text.contains("compaction of i1") && text.contains("longer than its limit"),
        "{text}"
    );
    let fake = ModelApi::start(Script::default()).unwrap();
    let off = house(&fake, "context.off = [\"compaction\"]");
    let sent = said(&off, &fake, &["One", "Two"]);
    assert!(!sent[1].contains("One") && sent[1].contains("Two"), "{}", sent[1]);
}

/// An instance of an agent that speaks ACP and repeats the words it is told; its environment, and its own settings.
fn repeats(settings: &str) -> House {
    let house = House::new();
    let agent = wheelhouse_testkit::script::acp_agent();
    house.write("AGENTS.md", "House rule: never-touch-the-bell\n");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.echo]\nbackend = \"acp\"\ncommand = \"{}\"\n{settings}\n",
            agent.display()
        ),
    );
    house
}

fn answer(house: &House, words: &str) -> String {
    let document = house.json(&["send", "a", words, "--wait", "--timeout", "60"]);
    document["messages"][0]["answer"]
        .as_str()
        .unwrap_or_else(|| panic!("{document:#}"))
        .to_owned()
}

#[test]
fn a_session_that_its_vendor_lost_is_begun_anew_with_the_conversation() {
    let house = repeats("env.ACP_FAULT = \"lost\"");
    house.ok(&["spawn", "a", "the-first-words", "--agent", "echo", "--wait"]);
    let second = answer(&house, "the-second-words");
    assert!(second.contains("the-second-words"), "{second}");
    assert!(
        second.contains("which your session does not remember") && second.contains("the-first-words"),
        "{second}"
    );
    assert_eq!(
        house.json(&["instances", "a"])["instances"][0]["last_outcome"]["class"],
        "succeeded"
    );
}

#[test]
fn the_first_turn_of_a_session_has_what_its_agents_tasks_are_given() {
    let house = repeats("context.instructions = [\"AGENTS.md\"]");
    house.ok(&["spawn", "a", "--agent", "echo"]);
    assert!(answer(&house, "one").contains("never-touch-the-bell"));
    let second = answer(&house, "two");
    assert!(
        second.contains("two") && !second.contains("never-touch-the-bell"),
        "the session has it: {second}"
    );
}
