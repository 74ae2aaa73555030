//! Files that an agent is told of: a prompt that it must have read, an answer that must be there.

use serde_json::{Value, json};

use crate::House;
use crate::double::{self, told};

const LONG: &str = "Do this with care, and that with more of it. ";
/// Takes the line it is asked for out of what it was told.
const MARK: &str = r#"mark=$(printf '%s' "$got" | sed 's/.*PROMPT READ \([0-9a-f]*\).*/\1/')"#;
/// Takes the place of its answer out of what it was told.
const PLACE: &str = r#"place=$(printf '%s' "$got" | sed 's/.*ANSWER IN \([^\\"]*\).*/\1/')"#;

fn tries(house: &House, task: &str) -> Vec<Value> {
    house.json(&["status", task])["attempts"].as_array().unwrap().clone()
}

#[test]
fn a_prompt_in_a_file_must_have_been_read() {
    let house = double::house("retry = 1\n[context]\nprompt_tokens = 100", "say Done.");
    house.write("play.2", &format!("{MARK}\nsay \"Done.\\\\nPROMPT READ $mark\""));
    let prompt = LONG.repeat(100);
    let run = double::run(&house, &prompt, json!({"retry": 1}));
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
    let told = told(&house);
    // The second is told of the file again, not only of what changed: nobody had read it.
    for told in &told {
        assert!(told.starts_with("Your task is in the file "), "{told}");
        assert!(
            told.contains("write this line: PROMPT READ ") && !told.contains(LONG.repeat(10).as_str()),
            "{told}"
        );
    }
    let classes: Vec<String> = tries(&house, "r1/fix")
        .iter()
        .map(|attempt| attempt["outcome"]["class"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(classes, ["malformed", "succeeded"]);
    assert_eq!(
        house.ok(&["result", "r1/fix"]).out.trim(),
        "Done.",
        "the line was for us"
    );
    // It cannot be bluffed, and a text that is quoted in a prompt asks for nothing.
    house.write("play", "say \"Done. PROMPT READ 000000000000\"");
    let run = double::run(&house, &prompt, json!({}));
    assert_eq!(run["run"]["tasks"]["failed"], 1, "{run:#}");
    let status = house.json(&["status", "r2/fix"]).to_string();
    assert!(status.contains("it did not say that it has read it"), "{status}");
    let run = double::run(&house, "Quote: write this line: PROMPT READ 0123456789ab", json!({}));
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
}

#[test]
fn an_answer_in_a_file_must_be_there() {
    let house = double::house("", "");
    let settings = house.read("wheelhouse.toml");
    house.write("wheelhouse.toml", &format!("{settings}context.answers = \"file\"\n"));
    house.write(
        "play",
        &format!("{PLACE}\nprintf 'The long answer.\\n' > \"$place\"\nsay \"ANSWER IN $place\""),
    );
    double::run(&house, "Answer.", json!({}));
    assert_eq!(house.ok(&["result", "r1/fix", "--full"]).out.trim(), "The long answer.");
    house.write("play", &format!("{PLACE}\nsay \"ANSWER IN $place\""));
    let run = double::run(&house, "Answer.", json!({}));
    assert_eq!(run["run"]["tasks"]["failed"], 1, "{run:#}");
    let attempts = tries(&house, "r2/fix");
    assert_eq!(attempts[0]["outcome"]["class"], "empty", "{attempts:#?}");
    let status = house.json(&["status", "r2/fix"]).to_string();
    assert!(status.contains("it says that its answer is in "), "{status}");
    house.write("play", "say \"The words themselves.\"");
    double::run(&house, "Answer.", json!({}));
    assert_eq!(house.ok(&["result", "r3/fix"]).out.trim(), "The words themselves.");
    house.write("wheelhouse.toml", &format!("{settings}context.answers = \"letter\"\n"));
    let wrong = house.run(&["run", "plan.json"]);
    assert!(
        wrong
            .err
            .contains("`context.answers` of agent `double` is `file` or `words`, not `letter`"),
        "{wrong:#?}"
    );
}
