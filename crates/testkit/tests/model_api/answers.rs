//! What is said: by default, by rules, by markers, by tools.

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{Act, Finished, Reply, Rule, Script, Tokens, UsageSaid, Vendor};

use crate::client::{Ended, get};
use crate::vendors::{HELLO, VENDORS, ask, only, start, text, usage, with_tools};

#[test]
fn every_vendor_answers_with_its_own_usage_in_a_stream_and_in_one_piece() {
    for vendor in VENDORS {
        for stream in [true, false] {
            let api = start(Script::new());
            let answer = ask(vendor, "any", "hi", stream).answer(&api);
            assert_eq!((answer.status, answer.ended), (200, Ended::Whole), "{vendor:?}");
            assert_eq!(text(vendor, stream, &answer), HELLO, "{vendor:?} stream {stream}");
            let expected = match vendor {
                Vendor::Gemini => Tokens {
                    cache_write: 0,
                    ..Tokens::default()
                },
                _ => Tokens::default(),
            };
            assert_eq!(
                usage(vendor, stream, &answer),
                Some(expected),
                "{vendor:?} stream {stream}"
            );
            assert_eq!(api.violations(), [], "{vendor:?}");
            let attempts = api.timeline();
            let attempt = only(&attempts);
            assert_eq!(attempt.finished, Some(Finished::Completed));
            assert_eq!((attempt.vendor, attempt.stream), (Some(vendor), stream));
            assert_eq!((attempt.model.as_str(), attempt.prompt.as_str()), ("any", "hi"));
        }
    }
}

#[test]
fn usage_is_scripted_or_left_out() {
    let told = Tokens {
        input: 5,
        cache_read: 4,
        cache_write: 0,
        output: 3,
        reasoning: 2,
    };
    let script = Script::new().usage(told).rule(Rule::any().says("quiet").reply(Reply {
        usage: Some(UsageSaid::Omitted),
        ..Reply::text("x")
    }));
    for vendor in VENDORS {
        for stream in [true, false] {
            let api = start(script.clone());
            let told = match vendor {
                // Anthropic counts thought as output and does not tell them apart.
                Vendor::Anthropic => Tokens {
                    output: 5,
                    reasoning: 0,
                    ..told
                },
                _ => told,
            };
            let seen = usage(vendor, stream, &ask(vendor, "m", "hi", stream).answer(&api));
            assert_eq!(seen, Some(told), "{vendor:?} stream {stream}");
            let seen = usage(vendor, stream, &ask(vendor, "m", "quiet", stream).answer(&api));
            assert_eq!(seen, None, "{vendor:?} stream {stream}");
        }
    }
}

#[test]
fn an_edit_becomes_the_vendors_tool_call_and_closes_when_its_result_is_there() {
    const PROMPT: &str = "[[say:Writing.]][[edit:a.txt:one\\ntwo\\n]] thanks [[say:Closed.]]";
    for vendor in VENDORS {
        let api = start(Script::new().strict());
        let first = with_tools(ask(vendor, "m", PROMPT, false), vendor);
        let body = first.answer(&api).json();
        let streamed = with_tools(ask(vendor, "m", PROMPT, true), vendor).answer(&api);
        assert_eq!(text(vendor, true, &streamed), "Writing.", "{vendor:?}");
        let mut second = first.clone();
        let conversation = match vendor {
            Vendor::Anthropic => {
                let call = &body["content"][1];
                assert_eq!(body["stop_reason"], "tool_use");
                assert_eq!(call["input"], json!({"file_path": "a.txt", "content": "one\ntwo\n"}));
                let pieces = streamed.events();
                let pieces = pieces
                    .iter()
                    .filter_map(|event| event["delta"]["partial_json"].as_str());
                let input: Value = serde_json::from_str(&pieces.collect::<String>()).unwrap();
                assert_eq!(input, call["input"]);
                let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": "ok"});
                let list = second.body["messages"].as_array_mut().unwrap();
                list.push(json!({"role": "assistant", "content": body["content"]}));
                list.push(json!({"role": "user", "content": [result]}));
                list.clone()
            }
            Vendor::Responses => {
                let call = &body["output"][1];
                assert_eq!(call["type"], "custom_tool_call");
                let patch = "*** Begin Patch\n*** Add File: a.txt\n+one\n+two\n*** End Patch";
                assert_eq!(call["input"], patch);
                let list = second.body["input"].as_array_mut().unwrap();
                list.extend(body["output"].as_array().unwrap().iter().cloned());
                list.push(json!({"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "ok"}));
                list.clone()
            }
            Vendor::Chat => {
                let message = &body["choices"][0]["message"];
                let call = &message["tool_calls"][0];
                assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
                let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
                assert_eq!(arguments, json!({"filePath": "a.txt", "content": "one\ntwo\n"}));
                let list = second.body["messages"].as_array_mut().unwrap();
                list.push(message.clone());
                list.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "ok"}));
                list.clone()
            }
            Vendor::Gemini => {
                let content = &body["candidates"][0]["content"];
                let call = &content["parts"][1]["functionCall"];
                assert_eq!(call["args"], json!({"file_path": "a.txt", "content": "one\ntwo\n"}));
                let response = json!({"name": "write_file", "response": {"output": "ok"}});
                let list = second.body["contents"].as_array_mut().unwrap();
                list.push(content.clone());
                list.push(json!({"role": "user", "parts": [{"functionResponse": response}]}));
                list.clone()
            }
        };
        assert_eq!(conversation.len(), if vendor == Vendor::Responses { 4 } else { 3 });
        let closing = second.answer(&api);
        assert_eq!(text(vendor, false, &closing), "Closed.", "{vendor:?}");
        assert_eq!(api.violations(), [], "{vendor:?}");
        let attempts = api.timeline();
        let last = attempts.last().unwrap();
        assert_eq!((last.tool_rounds, &*last.brought), (1, "ok"), "{vendor:?}");
        assert_eq!(last.told.len(), 1, "{vendor:?}: {:?}", last.told);
    }
}

#[test]
fn an_unread_file_is_read_before_the_edit_is_tried_again() {
    let api = start(Script::new());
    let mut ask = with_tools(
        ask(Vendor::Anthropic, "m", "[[edit:a:x]] [[say:ok]]", false),
        Vendor::Anthropic,
    );
    let schema = json!({"type": "object", "properties": {"file_path": {"type": "string"}}});
    ask.body["tools"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "Read", "input_schema": schema}));
    let results = ["File has not been read yet. Read it first.", "1 old", "written"];
    let mut called = Vec::new();
    for result in results {
        let body = ask.answer(&api).json();
        let call = body["content"].as_array().unwrap().last().unwrap().clone();
        called.push(call["name"].as_str().unwrap().to_owned());
        let failed = result.starts_with("File");
        let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": result, "is_error": failed});
        let list = ask.body["messages"].as_array_mut().unwrap();
        list.push(json!({"role": "assistant", "content": body["content"]}));
        list.push(json!({"role": "user", "content": [result]}));
    }
    assert_eq!(called, ["Write", "Read", "Write"]);
    assert_eq!(text(Vendor::Anthropic, false, &ask.answer(&api)), "ok");
    assert_eq!(api.violations(), []);
}

#[test]
fn rules_are_tried_in_order_and_their_replies_used_in_order() {
    let script = Script::new()
        .rule(
            Rule::any()
                .model("gpt-*")
                .says("deploy")
                .attempts(1, 1)
                .reply(Reply::text("first")),
        )
        .rule(
            Rule::any()
                .vendor(Vendor::Chat)
                .says("deploy")
                .reply(Reply::text("a").fault("500x2").unwrap())
                .reply(Reply::act(Act::Run("ls".to_owned())).then("closed"))
                .reply(Reply::text("b")),
        )
        .rule(
            Rule::any()
                .says("turns")
                .counted_together()
                .reply(Reply::text("1"))
                .reply(Reply::text("2")),
        )
        .otherwise(Reply::text("otherwise"));
    let api = start(script);
    let say = |model: &str, prompt: &str| {
        let answer = ask(Vendor::Chat, model, prompt, false).answer(&api);
        let said = text(Vendor::Chat, false, &answer);
        if answer.status == 200 {
            said
        } else {
            answer.status.to_string()
        }
    };
    let said: Vec<String> = (0..8).map(|_| say("gpt-x", "deploy it")).collect();
    let no_tool = "No offered tool can run `ls`.";
    assert_eq!(said, ["first", "500", "500", "a", no_tool, "closed", "b", "b"]);
    assert_eq!(
        say("other", "deploy it"),
        "500",
        "another model starts from the beginning"
    );
    assert_eq!(
        [say("m", "turns x"), say("m", "turns y"), say("m", "turns x")],
        ["1", "2", "2"]
    );
    assert_eq!(say("m", "nothing"), "otherwise");
}

#[test]
fn side_questions_are_answered_well_whatever_the_prompt_orders() {
    let api = start(Script::new());
    let mut title = ask(Vendor::Chat, "fault-500", "[[fault:500]] [[say:loud]]", true);
    let system = json!({"role": "system", "content": "You are a title generator. You output ONLY a thread title."});
    title.body["messages"].as_array_mut().unwrap().insert(0, system);
    let answer = title.answer(&api);
    assert_eq!(answer.status, 200);
    assert_eq!(text(Vendor::Chat, true, &answer), "A scripted title");
    assert_eq!(api.turns(), []);

    let mut router = ask(Vendor::Gemini, "m", "hi", false);
    router.body["generationConfig"] = json!({"responseJsonSchema": {"type": "OBJECT",
        "properties": {"score": {"type": "INTEGER"}}, "required": ["score"]}});
    let said: Value = serde_json::from_str(&text(Vendor::Gemini, false, &router.answer(&api))).unwrap();
    assert_eq!(said, json!({"score": 1}));
}

#[test]
fn counting_and_listing_answer_in_each_shape() {
    let api = start(Script::new());
    let mut count = ask(Vendor::Anthropic, "m", "hi", false);
    count.path = "/v1/messages/count_tokens".to_owned();
    assert!(count.answer(&api).json()["input_tokens"].as_u64().unwrap() > 0);
    let mut count = ask(Vendor::Gemini, "m", "hi", false);
    count.path = "/v1beta/models/m:countTokens".to_owned();
    assert!(count.answer(&api).json()["totalTokens"].as_u64().unwrap() > 0);
    assert_eq!(get(&api, "GET", "/v1/models", "").json()["object"], "list");
    assert!(get(&api, "GET", "/v1beta/models", "").json()["models"][0]["name"].is_string());
    assert_eq!(get(&api, "GET", "/v1/nothing", "").status, 404);
    let (_, violation) = api.violations().pop().unwrap();
    assert_eq!(violation.code, "unknown_path");
}

#[test]
fn deferred_tools_are_searched_for_and_then_called() {
    const PROMPT: &str =
        "[[tool:tool_search {\"query\":\"spawn\"}]][[tool:mcp__crew__spawn {\"name\":\"a\"}]][[say:Closed.]]";
    let vendor = Vendor::Responses;
    let api = start(Script::new().strict());
    let mut asked = ask(vendor, "m", PROMPT, false);
    let parameters = json!({"type": "object", "properties": {"query": {"type": "string"}}});
    asked.body["tools"] =
        json!([{"type": "tool_search", "execution": "client", "description": "d", "parameters": parameters}]);
    let search = asked.answer(&api).json()["output"][0].clone();
    assert_eq!(search["type"], "tool_search_call");
    assert_eq!(
        (&search["execution"], &search["arguments"]),
        (&json!("client"), &json!({"query": "spawn"}))
    );
    let streamed = ask(vendor, "m", PROMPT, true).answer(&api).events();
    let done = streamed
        .iter()
        .find(|event| event["type"] == "response.output_item.done");
    assert_eq!(done.unwrap()["item"]["type"], "tool_search_call");
    let found = json!([{"type": "namespace", "name": "mcp__crew", "description": "d", "tools": [
        {"type": "function", "name": "spawn", "defer_loading": true, "parameters": {"type": "object"}}]}]);
    let add = |asked: &mut crate::client::Ask, items: &[Value]| {
        asked.body["input"]
            .as_array_mut()
            .unwrap()
            .extend(items.iter().cloned());
    };
    let output = json!({"type": "tool_search_output", "call_id": search["call_id"], "status": "completed",
        "execution": "client", "tools": found});
    add(&mut asked, &[search, output]);
    let called = asked.answer(&api).json()["output"][0].clone();
    assert_eq!(
        (&called["namespace"], &called["name"]),
        (&json!("mcp__crew"), &json!("spawn"))
    );
    let result = json!({"type": "function_call_output", "call_id": called["call_id"], "output": "ok"});
    add(&mut asked, &[called, result]);
    assert_eq!(text(vendor, false, &asked.answer(&api)), "Closed.");
    assert_eq!(api.violations(), []);
    // A search that nothing answers is as wrong as any other call.
    let list = asked.body["input"].as_array_mut().unwrap();
    list.retain(|item| item["type"] != "tool_search_output");
    assert_eq!(asked.answer(&api).status, 400);
}
