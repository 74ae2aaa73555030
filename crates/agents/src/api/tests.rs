//! Addresses and what is sent where. Exchanges with a server are in `tests/api`.

use super::*;

fn config(api: &str, base_url: Option<&str>) -> Config {
    Config {
        base_url: base_url.map(str::to_owned),
        ..Config::new(provider(api).unwrap())
    }
}

fn ask() -> wire::Ask<'static> {
    wire::Ask {
        model: "m",
        role: None,
        prompt: "p",
        effort: None,
        output_tokens_max: None,
        schema: None,
        cache: Cache::Role,
        dialect: Dialect::Vendor,
    }
}

#[test]
fn addresses_are_taken_as_each_vendors_own_clients_take_them() {
    for (api, base_url, expected) in [
        ("anthropic", None, "https://api.anthropic.com/v1/messages"),
        (
            "anthropic",
            Some("https://gw.example.com/anthropic"),
            "https://gw.example.com/anthropic/v1/messages",
        ),
        (
            "anthropic",
            Some("https://gw.example.com/v1/"),
            "https://gw.example.com/v1/messages",
        ),
        ("openai", None, "https://api.openai.com/v1/responses"),
        ("openai", Some("http://127.0.0.1:9"), "http://127.0.0.1:9/v1/responses"),
        (
            "openai-chat",
            Some("https://x.example.com/api/v3"),
            "https://x.example.com/api/v3/chat/completions",
        ),
        ("xai", None, "https://api.x.ai/v1/chat/completions"),
        ("ollama", None, "http://127.0.0.1:11434/v1/chat/completions"),
        (
            "gemini",
            None,
            "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse",
        ),
        (
            "gemini",
            Some("http://localhost:1/v1beta"),
            "http://localhost:1/v1beta/models/m:streamGenerateContent?alt=sse",
        ),
    ] {
        let request = config(api, base_url).request(&ask(), None).unwrap();
        assert_eq!(request.uri().to_string(), expected, "{api} {base_url:?}");
    }
}

#[test]
fn addresses_that_would_not_do_are_refused_with_what_to_do() {
    let key = Key::new("sk-0123456789").unwrap();
    for (base_url, words) in [
        ("ftp://x.example.com", "is not an address"),
        ("x.example.com/v1", "is not an address"),
        ("not a url", "is not an address"),
        ("https://user:secret@x.example.com", "takes no query and no user"),
        ("https://x.example.com/v1?key=1", "takes no query and no user"),
        ("http://x.example.com/v1", "unencrypted"),
    ] {
        let refused = config("openai", Some(base_url))
            .request(&ask(), Some(&key))
            .unwrap_err();
        assert!(refused.contains(words), "{base_url}: {refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
    assert!(
        config("openai", Some("http://x.example.com/v1"))
            .request(&ask(), None)
            .is_ok()
    );
    assert!(
        config("openai", Some("http://127.0.0.1:1/v1"))
            .request(&ask(), Some(&key))
            .is_ok()
    );
}

#[test]
fn a_request_carries_its_key_where_the_vendor_wants_it_and_shows_it_nowhere() {
    let key = Key::new("sk-0123456789").unwrap();
    for (api, header, value) in [
        ("anthropic", "x-api-key", "sk-0123456789"),
        ("openai", "authorization", "Bearer sk-0123456789"),
        ("openai-chat", "authorization", "Bearer sk-0123456789"),
        ("gemini", "x-goog-api-key", "sk-0123456789"),
    ] {
        let request = config(api, None).request(&ask(), Some(&key)).unwrap();
        assert_eq!(request.headers()[header], value);
        assert!(!format!("{request:?}").contains("0123456789"), "{request:?}");
    }
}
