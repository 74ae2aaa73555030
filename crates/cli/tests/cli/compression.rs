//! Long prompts that are sent once, as the model saw them: what is left out, what never is, and who is told the whole.

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::House;
use crate::double;

const LUNCH: &str = "The weather was mild that week and everybody went out for lunch. ";

fn letter() -> String {
    let lunch = LUNCH.repeat(60);
    format!(
        "Find out why the parser loses commas.\n\n{lunch}\n\nThe parser loses commas when it looks ahead. You must never touch \
         the lexer. Call `parse_list` first.\n\n```\nlet x = 1;\n```\n\n{lunch}\n\nAnswer in one line.\n"
    )
}

/// A project with `once`, a model of an API with these keys, and `double`, an agent with sessions and tools.
fn house(fake: &ModelApi, keys: &str, own: &str) -> House {
    let config = format!(
        "{keys}\n[agents.once]\nbackend = \"api\"\napi = \"openai\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey_env = \"A_KEY\"\n{own}\n",
        fake.openai_url()
    );
    double::house(&config, "say done").with_env("A_KEY", "sk-x")
}

fn fake() -> ModelApi {
    ModelApi::start(Script::new().rule(Rule::any().reply(Reply::text("Done.")))).unwrap()
}

fn receipts(house: &House) -> Vec<Value> {
    let all = double::reports(house, "receipt").into_iter();
    let all = all.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    all.filter(|receipt| receipt["layer"] == "compression").collect()
}

fn run(house: &House, tasks: Value) {
    house.write("plan.json", &json!({"name": "p", "tasks": tasks}).to_string());
    let run = house.json(&["run", "plan.json"]);
    assert_eq!(run["run"]["tasks"]["failed"].as_u64().unwrap_or(0), 0, "{run:#}");
}

#[test]
fn a_model_that_is_asked_once_is_sent_less_and_loses_nothing_that_binds() {
    let fake = fake();
    let house = house(&fake, "context.compress_to = 150", "");
    let role = format!("You are patient. {}", LUNCH.repeat(50));
    run(
        &house,
        json!([{"id": "ask", "agent": "once", "prompt": letter(), "role": role}]),
    );
    let turns = fake.turns();
    let sent = &turns[0].prompt;
    for kept in [
        "Find out why the parser loses commas.\n",
        "The parser loses commas when it looks ahead. You must never touch the lexer. Call `parse_list` first.",
        "```\nlet x = 1;\n```",
        "[… ",
        "Answer in one line.",
    ] {
        assert!(sent.contains(kept), "{kept}: {sent}");
    }
    assert!(sent.matches(LUNCH.trim()).count() < 10, "{sent}");
    let receipt = &receipts(&house)[0];
    assert!(receipt["would_tokens"].as_u64().unwrap() > 1_400, "{receipt}");
    assert!(receipt["sent_tokens"].as_u64().unwrap() <= 150, "{receipt}");
    // What says who it is stays as it is.
    assert!(turns[0].body_bytes > sent.len() + role.len(), "{:#?}", turns[0]);
}

#[test]
fn of_what_is_filled_in_the_sentences_go_that_say_nothing_about_the_task() {
    let fake = fake();
    let house = house(&fake, "", "context.compress_to = 120");
    let trip = format!("{lunch}It rained on a Monday. {lunch}\n", lunch = LUNCH.repeat(40));
    house.write("docs/trip.md", &trip);
    let own = "Say when it rained. Be kind. Use few words.";
    run(
        &house,
        json!([{"id": "ask", "agent": "once", "prompt": own, "documents": ["docs/trip.md"]}]),
    );
    let sent = &fake.turns()[0].prompt;
    assert!(
        sent.starts_with(own) && sent.contains("It rained on a Monday."),
        "{sent}"
    );
    assert!(sent.contains("</output>"), "where it comes from is still said: {sent}");
    assert!(sent.matches(LUNCH.trim()).count() < 20, "{sent}");
}

#[test]
fn prompts_that_a_cache_may_hold_again_are_sent_whole_and_the_receipt_says_why() {
    let fake = fake();
    let house = house(&fake, "context.compress_to = 150", "");
    let map = json!({"kind": "map", "over": ["one", "two"]});
    run(
        &house,
        json!([
            {"id": "each", "agent": "once", "prompt": format!("{}\n\nBegin with {{{{ item }}}}.", letter()), "workflow": map},
            {"id": "walk", "agent": "double", "prompt": letter()},
        ]),
    );
    assert_eq!(fake.turns().len(), 2);
    for turn in fake.turns() {
        assert!(
            turn.body_bytes > letter().len() && !turn.prompt.contains("[… "),
            "{turn:#?}"
        );
    }
    assert!(double::told(&house)[0].contains(letter().trim()));
    let notes: Vec<String> = receipts(&house)
        .iter()
        .map(|receipt| receipt["note"].as_str().unwrap().to_owned())
        .collect();
    for why in ["a step of `each`", "`double` sends its prompt with each of its calls"] {
        assert!(notes.iter().any(|note| note.contains(why)), "{why}: {notes:?}");
    }
}

#[test]
fn nothing_is_compressed_unasked_or_switched_off() {
    let (asked, off) = ("context.compress_to = 150", "context.off = [\"compression\"]");
    for (keys, own) in [
        (String::new(), ""),
        (format!("{asked}\n{off}"), ""),
        (asked.to_owned(), off),
    ] {
        let fake = fake();
        let house = house(&fake, &keys, own);
        run(&house, json!([{"id": "ask", "agent": "once", "prompt": letter()}]));
        let turn = &fake.turns()[0];
        assert!(
            turn.body_bytes > letter().len() && !turn.prompt.contains("[… "),
            "{keys} {own}: {turn:#?}"
        );
        assert!(receipts(&house).is_empty(), "{keys} {own}");
    }
}
