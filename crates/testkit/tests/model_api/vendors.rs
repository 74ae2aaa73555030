//! Requests and answers of the four protocols.

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{Attempt, ModelApi, Script, Tokens, Vendor};

use crate::client::{Answer, Ask};

pub(crate) const VENDORS: [Vendor; 4] = [Vendor::Anthropic, Vendor::Responses, Vendor::Chat, Vendor::Gemini];
pub(crate) const HELLO: &str = "Hello from the fake model.";

pub(crate) fn ask(vendor: Vendor, model: &str, prompt: &str, stream: bool) -> Ask {
    let json_type = ("content-type", "application/json".to_owned());
    let bearer = ("authorization", "Bearer test-key".to_owned());
    match vendor {
        Vendor::Anthropic => Ask {
            path: "/v1/messages?beta=true".to_owned(),
            headers: vec![
                json_type,
                ("x-api-key", "test-key".to_owned()),
                ("anthropic-version", "2023-06-01".to_owned()),
            ],
            body: json!({"model": model, "max_tokens": 1000, "stream": stream,
                "messages": [{"role": "user", "content": prompt}]}),
        },
        Vendor::Responses => Ask {
            path: "/v1/responses".to_owned(),
            headers: vec![json_type, bearer],
            body: json!({"model": model, "stream": stream, "input": [{"role": "user", "content": prompt}]}),
        },
        Vendor::Chat => {
            let mut body = json!({"model": model, "stream": stream,
                "messages": [{"role": "user", "content": prompt}]});
            if stream {
                body["stream_options"] = json!({"include_usage": true});
            }
            Ask {
                path: "/v1/chat/completions".to_owned(),
                headers: vec![json_type, bearer],
                body,
            }
        }
        Vendor::Gemini => {
            let method = if stream {
                "streamGenerateContent?alt=sse"
            } else {
                "generateContent"
            };
            Ask {
                path: format!("/v1beta/models/{model}:{method}"),
                headers: vec![json_type, ("x-goog-api-key", "test-key".to_owned())],
                body: json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
            }
        }
    }
}

/// Offers the tool with which this vendor's agent writes files.
pub(crate) fn with_tools(mut ask: Ask, vendor: Vendor) -> Ask {
    let schema = |path: &str| {
        let properties = json!({path: {"type": "string"}, "content": {"type": "string"}});
        json!({"type": "object", "properties": properties, "required": [path, "content"]})
    };
    ask.body["tools"] = match vendor {
        Vendor::Anthropic => json!([{"name": "Write", "input_schema": schema("file_path")}]),
        Vendor::Responses => json!([{"type": "custom", "name": "apply_patch"}]),
        Vendor::Chat => {
            json!([{"type": "function", "function": {"name": "write", "parameters": schema("filePath")}}])
        }
        Vendor::Gemini => {
            json!([{"functionDeclarations": [{"name": "write_file", "parametersJsonSchema": schema("file_path")}]}])
        }
    };
    ask
}

/// The text of an answer.
pub(crate) fn text(vendor: Vendor, stream: bool, answer: &Answer) -> String {
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !stream {
        let body = answer.json();
        return match vendor {
            Vendor::Anthropic => said(&body["content"][0]["text"]),
            Vendor::Responses => said(&body["output"][0]["content"][0]["text"]),
            Vendor::Chat => said(&body["choices"][0]["message"]["content"]),
            Vendor::Gemini => said(&body["candidates"][0]["content"]["parts"][0]["text"]),
        };
    }
    let piece = |event: &Value| match vendor {
        Vendor::Anthropic => said(&event["delta"]["text"]),
        Vendor::Responses if event["type"] == "response.output_text.delta" => said(&event["delta"]),
        Vendor::Responses => String::new(),
        Vendor::Chat => said(&event["choices"][0]["delta"]["content"]),
        Vendor::Gemini => said(&event["candidates"][0]["content"]["parts"][0]["text"]),
    };
    answer.events().iter().map(piece).collect()
}

/// input, cache read, cache write, output, reasoning, as the vendor's shape says them.
pub(crate) fn usage(vendor: Vendor, stream: bool, answer: &Answer) -> Option<Tokens> {
    let body = if stream { None } else { Some(answer.json()) };
    let events = if stream { answer.events() } else { Vec::new() };
    let last = |key: &str| {
        let found = events
            .iter()
            .rev()
            .find_map(|event| event.get(key).filter(|usage| usage.is_object()).cloned());
        found.or(body
            .as_ref()
            .and_then(|body| body.get(key))
            .filter(|usage| usage.is_object())
            .cloned())
    };
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    match vendor {
        Vendor::Anthropic => last("usage").map(|usage| Tokens {
            input: number(&usage["input_tokens"]),
            cache_read: number(&usage["cache_read_input_tokens"]),
            cache_write: number(&usage["cache_creation_input_tokens"]),
            output: number(&usage["output_tokens"]),
            reasoning: 0,
        }),
        Vendor::Responses => {
            let response = if stream { last("response") } else { body };
            response
                .map(|response| response["usage"].clone())
                .filter(Value::is_object)
                .map(|usage| {
                    let details = &usage["input_tokens_details"];
                    let (read, write) = (
                        number(&details["cached_tokens"]),
                        number(&details["cache_write_tokens"]),
                    );
                    let reasoning = number(&usage["output_tokens_details"]["reasoning_tokens"]);
                    Tokens {
                        input: number(&usage["input_tokens"]) - read - write,
                        cache_read: read,
                        cache_write: write,
                        output: number(&usage["output_tokens"]) - reasoning,
                        reasoning,
                    }
                })
        }
        Vendor::Chat => last("usage").map(|usage| {
            let details = &usage["prompt_tokens_details"];
            let (read, write) = (
                number(&details["cached_tokens"]),
                number(&details["cache_write_tokens"]),
            );
            let reasoning = number(&usage["completion_tokens_details"]["reasoning_tokens"]);
            Tokens {
                input: number(&usage["prompt_tokens"]) - read - write,
                cache_read: read,
                cache_write: write,
                output: number(&usage["completion_tokens"]) - reasoning,
                reasoning,
            }
        }),
        Vendor::Gemini => last("usageMetadata").map(|usage| {
            let read = number(&usage["cachedContentTokenCount"]);
            Tokens {
                input: number(&usage["promptTokenCount"]) - read,
                cache_read: read,
                cache_write: 0,
                output: number(&usage["candidatesTokenCount"]),
                reasoning: number(&usage["thoughtsTokenCount"]),
            }
        }),
    }
}

pub(crate) fn start(script: Script) -> ModelApi {
    ModelApi::start(script).unwrap()
}

pub(crate) fn only(attempts: &[Attempt]) -> &Attempt {
    assert_eq!(attempts.len(), 1, "{attempts:#?}");
    &attempts[0]
}
