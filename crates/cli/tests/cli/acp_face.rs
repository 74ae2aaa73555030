//! `wheelhouse acp` from outside: an editor that follows a script, on the real binary.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::mcp::Server;
use crate::{DEADLINE, House, double, until};

/// An editor.
struct Editor {
    agent: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<Value>,
    number: u64,
}

/// What came of a request.
#[derive(Debug)]
struct Came {
    /// The updates and requests before the answer.
    before: Vec<Value>,
    answer: Value,
}

impl Came {
    /// The words of updates of that kind.
    fn words(&self, kind: &str) -> Vec<&str> {
        let updates = self.before.iter().map(|message| &message["params"]["update"]);
        updates
            .filter(|update| update["sessionUpdate"] == kind)
            .map(|update| update["content"]["text"].as_str().unwrap())
            .collect()
    }

    fn stopped(&self) -> &str {
        self.answer["result"]["stopReason"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:#?}"))
    }

    fn refused(&self) -> (i64, &str) {
        let error = &self.answer["error"];
        let code = error["code"].as_i64().unwrap_or_else(|| panic!("{self:#?}"));
        (code, error["message"].as_str().unwrap())
    }
}

impl Editor {
    fn new(house: &House, words: &[&str]) -> Editor {
        let mut command = vec!["acp"];
        command.extend(words);
        let mut agent = house
            .command(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(agent.stdout.take().unwrap());
        let (heard, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                let line = line.unwrap();
                let message = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if heard.send(message).is_err() {
                    break;
                }
            }
        });
        let mut editor = Editor {
            input: agent.stdin.take().unwrap(),
            agent,
            lines,
            number: 0,
        };
        let able = json!({ "protocolVersion": 1, "clientCapabilities": {} });
        let about = editor.ask("initialize", able).answer;
        assert_eq!(about["result"]["protocolVersion"], 1, "{about}");
        let able = &about["result"]["agentCapabilities"];
        assert_eq!(able["loadSession"], true);
        assert_eq!(
            able["sessionCapabilities"],
            json!({ "list": {}, "resume": {}, "close": {} })
        );
        editor
    }

    fn write(&mut self, line: &[u8]) {
        self.input.write_all(line).unwrap();
        self.input.write_all(b"\n").unwrap();
    }

    fn say(&mut self, message: &Value) {
        self.write(message.to_string().as_bytes());
    }

    fn hear(&mut self) -> Value {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }

    fn request(&mut self, method: &str, params: Value) -> u64 {
        self.number += 1;
        let id = self.number;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// Everything until the answer.
    fn until_answer(&mut self, id: u64) -> Came {
        let mut before = Vec::new();
        loop {
            let message = self.hear();
            if message["id"] == id && message["method"].is_null() {
                return Came {
                    before,
                    answer: message,
                };
            }
            before.push(message);
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Came {
        let id = self.request(method, params);
        self.until_answer(id)
    }

    fn session(&mut self, house: &House) -> String {
        let params = json!({ "cwd": house.project(), "mcpServers": [] });
        let made = self.ask("session/new", params);
        made.answer["result"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{made:#?}"))
            .to_owned()
    }

    fn begin_prompt(&mut self, session: &str, words: &str) -> u64 {
        let prompt = json!([{ "type": "text", "text": words }]);
        self.request("session/prompt", json!({ "sessionId": session, "prompt": prompt }))
    }

    fn prompt(&mut self, session: &str, words: &str) -> Came {
        let id = self.begin_prompt(session, words);
        self.until_answer(id)
    }

    /// Waits for a message with that method.
    fn until_method(&mut self, method: &str) -> Value {
        loop {
            let message = self.hear();
            if message["method"] == method {
                return message;
            }
            assert!(message["method"].is_string(), "no {method} before {message}");
        }
    }

    fn choose(&mut self, asked: &Value, option: &str) {
        let outcome = json!({ "outcome": "selected", "optionId": option });
        self.say(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "outcome": outcome } }));
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

fn state(house: &House, instance: &str) -> String {
    let shown = house.json(&["instances", instance])["instances"][0].clone();
    shown["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_prompt_is_answered_and_the_session_is_there_for_the_next_editor() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = House::new().with_env("A_KEY", "sk-x");
    let base = fake.base_url();
    house.write(
        "wheelhouse.toml",
        &format!("[agents.model]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{base}\"\nmodel = \"claude-x\"\nkey_env = \"A_KEY\"\n"),
    );
    let mut editor = Editor::new(&house, &["--agent", "model"]);
    let session = editor.session(&house);
    let first = editor.prompt(&session, "[[say:Nom is fast.]]");
    assert_eq!(first.stopped(), "end_turn");
    assert_eq!(first.words("agent_message_chunk").concat().trim(), "Nom is fast.");
    assert_eq!(
        first.words("user_message_chunk"),
        [""; 0],
        "the editor shows its own words"
    );
    drop(editor);
    // Another process knows nothing of it but its name.
    let mut editor = Editor::new(&house, &[]);
    let unknown = editor.prompt(&session, "x");
    assert!(
        matches!(unknown.refused(), (-32002, words) if words.contains("session/load")),
        "{unknown:#?}"
    );
    let params = json!({ "sessionId": session, "cwd": house.project(), "mcpServers": [] });
    let loaded = editor.ask("session/load", params);
    assert!(loaded.answer["result"].is_object(), "{loaded:#?}");
    assert_eq!(loaded.words("user_message_chunk"), ["[[say:Nom is fast.]]"]);
    assert_eq!(loaded.words("agent_message_chunk").concat().trim(), "Nom is fast.");
    let second = editor.prompt(&session, "[[say:It is.]]");
    assert_eq!(second.words("agent_message_chunk").concat().trim(), "It is.");
    assert_eq!(fake.violations(), []);
    let last = fake.turns().into_iter().max_by_key(|turn| turn.number).unwrap();
    assert!(
        last.prompt.contains("Turn 1:"),
        "it is one conversation: {}",
        last.prompt
    );
    assert_eq!(house.json(&["instances", &session])["instances"][0]["turns"], 2);
}

/// As `acpx` does it: one process makes the session, another opens it for each prompt.
#[test]
fn a_session_that_nothing_was_said_in_is_opened_by_the_next_editor() {
    let house = House::new();
    let mut editor = Editor::new(&house, &["--agent", "exec"]);
    let session = editor.session(&house);
    drop(editor);
    for (words, answer) in [("echo one", "one\n"), ("echo two", "two\n")] {
        let mut editor = Editor::new(&house, &["--agent", "exec"]);
        let params = json!({ "sessionId": session, "cwd": house.project(), "mcpServers": [] });
        let loaded = editor.ask("session/load", params);
        assert!(loaded.answer["result"].is_object(), "{loaded:#?}");
        let came = editor.prompt(&session, words);
        assert_eq!(came.words("agent_message_chunk"), [answer], "{came:#?}");
    }
    let shown = house.json(&["instances", "--all"]);
    let all = shown["instances"].as_array().unwrap();
    assert_eq!((all.len(), &all[0]["turns"]), (1, &json!(2)), "{shown:#}");
    // One that has ended is no new one, and neither is a name of another form.
    house.ok(&["terminate", &session]);
    let mut editor = Editor::new(&house, &[]);
    for (name, code) in [
        (session.as_str(), -32002),
        ("editor-x-1", -32002),
        ("editor-0123abcd-", -32002),
    ] {
        let params = json!({ "sessionId": name, "cwd": house.project(), "mcpServers": [] });
        let refused = editor.ask("session/load", params);
        assert_eq!(refused.refused().0, code, "{refused:#?}");
    }
    let unplaced = editor.ask("session/load", json!({ "sessionId": "editor-0123abcd-1" }));
    assert_eq!(unplaced.refused().0, -32602, "{unplaced:#?}");
}

#[test]
fn sessions_are_listed_resumed_and_closed() {
    let house = House::new();
    let mut editor = Editor::new(&house, &["--agent", "exec"]);
    let first = editor.session(&house);
    editor.prompt(&first, "echo one");
    let second = editor.session(&house);
    editor.prompt(&second, "echo two");
    house.ok(&["spawn", "mine", "--agent", "exec"]);
    house.ok(&["terminate", "mine"]);
    drop(editor);
    let mut editor = Editor::new(&house, &["--agent", "exec"]);
    let listed = editor.ask("session/list", json!({})).answer["result"]["sessions"].clone();
    let listed: Vec<(&str, &str)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["sessionId"].as_str().unwrap(), one["title"].as_str().unwrap()))
        .collect();
    assert_eq!(listed, [(second.as_str(), "echo two"), (first.as_str(), "echo one")]);
    let elsewhere = editor.ask("session/list", json!({ "cwd": house.home() }));
    assert_eq!(elsewhere.answer["result"]["sessions"], json!([]));
    let params = json!({ "sessionId": first, "cwd": house.project() });
    let resumed = editor.ask("session/resume", params);
    assert_eq!(
        (&resumed.answer["result"], resumed.before.len()),
        (&json!({}), 0),
        "{resumed:#?}"
    );
    let id = editor.begin_prompt(&first, "touch begun; while :; do sleep 0.05; done");
    until("it is at work", || house.project().join("begun").exists());
    let closed = editor.ask("session/close", json!({ "sessionId": first }));
    assert_eq!(closed.answer["result"], json!({}), "{closed:#?}");
    let ended = closed.before.iter().find(|message| message["id"] == id);
    assert_eq!(ended.unwrap()["result"]["stopReason"], "cancelled", "{closed:#?}");
    assert_eq!(
        editor.prompt(&first, "echo more").refused().0,
        -32002,
        "it is closed here"
    );
    until("the turn is over", || state(&house, &first) == "idle");
}

/// Asks for leave, keeps the answer, works as far as it may.
const PLAY: &str = r#"
line '{"type":"control_request","request_id":"p1","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"make"},"tool_use_id":"t1"}}'
read -r reply; printf '%s\n' "$reply" >> $here/replies.txt
tool t1 Bash command make
case "$reply" in *'"allow"'*) came t1 made ;; *) failed t1 no ;; esac
say "That was it."
"#;

#[test]
fn leave_is_asked_through_the_editor_and_what_was_done_is_told() {
    let house = double::house("", PLAY);
    let _server = Server(&house);
    let mut editor = Editor::new(&house, &["--agent", "double"]);
    let session = editor.session(&house);
    for (choice, replied, status) in [("approve", "allow", "completed"), ("deny", "deny", "failed")] {
        let id = editor.begin_prompt(&session, "build it");
        let asked = editor.until_method("session/request_permission");
        assert_eq!(asked["params"]["sessionId"], session);
        let options = asked["params"]["options"].as_array().unwrap();
        let kinds: Vec<&str> = options.iter().map(|option| option["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["allow_once", "reject_once"]);
        let title = asked["params"]["toolCall"]["title"].as_str().unwrap();
        assert!(title.contains("Bash") && title.contains("make"), "{title}");
        editor.choose(&asked, choice);
        let came = editor.until_answer(id);
        assert_eq!(came.stopped(), "end_turn", "{came:#?}");
        let replies = house.read("replies.txt");
        assert!(replies.lines().last().unwrap().contains(replied), "{replies}");
        let tools: Vec<&Value> = came
            .before
            .iter()
            .map(|message| &message["params"]["update"])
            .filter(|update| update["sessionUpdate"] == "tool_call")
            .collect();
        assert_eq!(tools.len(), 1, "{came:#?}");
        assert_eq!(
            (tools[0]["kind"].as_str(), tools[0]["status"].as_str()),
            (Some("execute"), Some(status))
        );
        assert_eq!(came.words("agent_message_chunk"), ["That was it."]);
    }
}

#[test]
fn a_question_in_words_ends_the_prompt_and_the_next_answers_it() {
    let play = r#"
line '{"type":"control_request","request_id":"p1","request":{"subtype":"can_use_tool","tool_name":"AskUserQuestion","input":{"questions":[{"question":"Which port?","header":"Port","options":[{"label":"80","description":""},{"label":"81","description":""}],"multiSelect":false}]},"tool_use_id":"t1"}}'
read -r reply; printf '%s\n' "$reply" > $here/replies.txt
tool t2 TodoWrite todos x
line '{"type":"assistant","session_id":"s","parent_tool_use_id":null,"message":{"id":"m9","type":"message","role":"assistant","model":"claude-x","content":[{"type":"tool_use","id":"t9","name":"TodoWrite","input":{"todos":[{"content":"Open it","status":"completed","activeForm":"x"},{"content":"Test; then close","status":"pending","activeForm":"x"}]}}],"usage":{"input_tokens":1,"output_tokens":1}}}'
came t9 ok
say "Done."
"#;
    let house = double::house("", play);
    let _server = Server(&house);
    let mut editor = Editor::new(&house, &["--agent", "double"]);
    let session = editor.session(&house);
    let asked = editor.prompt(&session, "open a port");
    assert_eq!(asked.stopped(), "end_turn");
    let words = asked.words("agent_message_chunk").concat();
    assert!(
        words.contains("Which port?") && words.contains("your next message answers it"),
        "{words}"
    );
    let answered = editor.prompt(&session, "8080");
    assert_eq!(answered.stopped(), "end_turn");
    assert_eq!(answered.words("agent_message_chunk"), ["Done."]);
    assert!(house.read("replies.txt").contains("8080"));
    let plans: Vec<&Value> = answered
        .before
        .iter()
        .map(|message| &message["params"]["update"])
        .filter(|update| update["sessionUpdate"] == "plan" && update["entries"][1].is_object())
        .collect();
    assert_eq!(plans.len(), 1, "{answered:#?}");
    assert_eq!(plans[0]["entries"][0]["status"], "completed");
    assert_eq!(plans[0]["entries"][1]["content"], "Test; then close");
    assert_eq!(
        house.json(&["instances", &session])["instances"][0]["turns"],
        1,
        "one turn, two prompts"
    );
}

#[test]
fn a_question_that_was_cancelled_takes_no_answer() {
    let ask = r#"
line '{"type":"control_request","request_id":"p1","request":{"subtype":"can_use_tool","tool_name":"AskUserQuestion","input":{"questions":[{"question":"Which port?","header":"Port","options":[],"multiSelect":false}]},"tool_use_id":"t1"}}'
"#;
    let house = double::house("", "say \"Begun anew.\"");
    house.write("play.1", ask);
    let _server = Server(&house);
    let mut editor = Editor::new(&house, &["--agent", "double"]);
    let session = editor.session(&house);
    assert_eq!(editor.prompt(&session, "open a port").stopped(), "end_turn");
    editor.say(&json!({ "jsonrpc": "2.0", "method": "session/cancel", "params": { "sessionId": session } }));
    let next = editor.prompt(&session, "something else");
    assert_eq!(next.stopped(), "end_turn", "{next:#?}");
    assert_eq!(next.words("agent_message_chunk"), ["Begun anew."]);
    assert_eq!(double::told(&house).len(), 2, "the words were a prompt of their own");
}

#[test]
fn what_is_answered_elsewhere_is_not_asked_any_more() {
    let house = House::new();
    house.ok(&["policy", "set", "require_approval=true"]);
    let mut editor = Editor::new(&house, &["--agent", "exec"]);
    let session = editor.session(&house);
    let id = editor.begin_prompt(&session, "echo hello");
    let asked = editor.until_method("session/request_permission");
    house.ok(&["approve", asked["params"]["toolCall"]["toolCallId"].as_str().unwrap()]);
    let withdrawn = editor.until_method("$/cancel_request");
    assert_eq!(withdrawn["params"]["requestId"], asked["id"]);
    // Too late, and it changes nothing.
    editor.choose(&asked, "deny");
    let came = editor.until_answer(id);
    assert_eq!(
        (came.stopped(), came.words("agent_message_chunk")),
        ("end_turn", vec!["hello\n"])
    );
}

#[test]
fn a_cancelled_turn_is_over_and_its_session_is_not() {
    let house = House::new().with_env("WHEELHOUSE_GRACE", "200ms");
    let mut editor = Editor::new(&house, &["--agent", "exec"]);
    let session = editor.session(&house);
    let id = editor.begin_prompt(&session, "touch begun; while :; do sleep 0.05; done");
    until("it is at work", || house.project().join("begun").exists());
    let second = editor.prompt(&session, "echo too early");
    assert!(
        matches!(second.refused(), (-32600, words) if words.contains("session/cancel")),
        "{second:#?}"
    );
    editor.say(&json!({ "jsonrpc": "2.0", "method": "session/cancel", "params": { "sessionId": session } }));
    assert_eq!(editor.until_answer(id).stopped(), "cancelled");
    assert_eq!(state(&house, &session), "idle");
    let again = editor.prompt(&session, "echo again");
    assert_eq!(
        (again.stopped(), again.words("agent_message_chunk")),
        ("end_turn", vec!["again\n"])
    );
    let failed = editor.prompt(&session, "echo half; exit 3");
    assert!(
        matches!(failed.refused(), (-32603, words) if words.contains("crashed")),
        "{failed:#?}"
    );
}

#[test]
fn a_killed_engine_is_a_pause() {
    let house = House::new();
    let mut editor = Editor::new(&house, &["--agent", "exec"]);
    let session = editor.session(&house);
    let wait = "touch begun; while [ ! -e go ]; do sleep 0.05; done; echo went";
    let id = editor.begin_prompt(&session, wait);
    until("it is at work", || house.project().join("begun").exists());
    let engine = house.json(&["status"])["engine"]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(engine).unwrap()), Signal::SIGKILL).unwrap();
    house.write("go", "");
    let came = editor.until_answer(id);
    assert_eq!(
        (came.stopped(), came.words("agent_message_chunk")),
        ("end_turn", vec!["went\n"]),
        "{came:#?}"
    );
}

#[test]
fn what_is_wrong_is_said_and_ends_nothing() {
    let house = House::new();
    let mut editor = Editor::new(&house, &[]);
    for (line, code) in [
        (&b"{"[..], -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"{\"id\":9}", -32600),
    ] {
        editor.write(line);
        let answer = editor.hear();
        assert_eq!(
            (answer["id"].clone(), answer["error"]["code"].as_i64()),
            (Value::Null, Some(code))
        );
    }
    let here = house.project();
    let elsewhere = house.home();
    for (method, params, code, words) in [
        ("session/fork", json!({}), -32601, "session/prompt"),
        ("initialize", json!({}), -32602, "protocolVersion"),
        ("session/new", json!({ "cwd": "src" }), -32602, "not absolute"),
        ("session/new", json!({ "cwd": elsewhere }), -32602, "acp` works there"),
        (
            "session/new",
            json!({ "cwd": here, "mcpServers": [{ "name": "x" }] }),
            -32602,
            "`x`",
        ),
        ("session/new", json!([]), -32602, "parameters of session/new"),
        (
            "session/load",
            json!({ "sessionId": "nobody" }),
            -32002,
            "there is no instance `nobody`",
        ),
        (
            "session/prompt",
            json!({ "sessionId": "nobody", "prompt": [] }),
            -32602,
            "no words",
        ),
        (
            "session/prompt",
            json!({ "sessionId": "nobody", "prompt": [{ "type": "image", "data": "", "mimeType": "image/png" }] }),
            -32602,
            "not image",
        ),
    ] {
        let came = editor.ask(method, params.clone());
        let (found, said) = came.refused();
        assert!(
            found == code && said.contains(words),
            "{method} {params}: {found} {said}"
        );
    }
    // What cannot be answered is passed over, and so is an answer that nobody asked for.
    editor.say(&json!({ "jsonrpc": "2.0", "method": "session/cancel", "params": { "sessionId": "nobody" } }));
    editor.say(&json!({ "jsonrpc": "2.0", "method": "$/unheard", "params": {} }));
    editor.say(&json!({ "jsonrpc": "2.0", "id": 77, "result": {} }));
    editor.session(&house);
    let mut wrong = Editor::new(&house, &["--agent", "claud"]);
    let refused = wrong.ask("session/new", json!({ "cwd": house.project() }));
    assert!(refused.refused().1.contains("did you mean `claude`?"), "{refused:#?}");
}

#[test]
fn nobody_named_the_router_chooses_by_the_first_prompt() {
    let house = double::house("", "say \"Chosen.\"");
    let _server = Server(&house);
    let mut editor = Editor::new(&house, &["--agent", "auto"]);
    let session = editor.session(&house);
    let came = editor.prompt(&session, "Explain what a parser is.");
    assert_eq!(came.stopped(), "end_turn");
    let thought = came.words("agent_thought_chunk").concat();
    assert!(thought.contains("double"), "who and why: {thought}");
    assert_eq!(came.words("agent_message_chunk"), ["Chosen."]);
}
