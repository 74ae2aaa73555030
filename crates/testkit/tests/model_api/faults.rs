//! Every fault as a client sees it.

use std::io::{ErrorKind, Read};

use serde_json::json;
use wheelhouse_testkit::model_api::{Attempt, FAULT_NAMES, FaultKind, Finished, Script, Vendor};

use crate::client::{Ended, PATIENCE, parse};
use crate::vendors::{HELLO, VENDORS, ask, only, start, text};

/// What a client sees of a fault: status, how the body ended, whether it is JSON, the text heard.
fn expected(kind: FaultKind, vendor: Vendor, stream: bool) -> (u16, Ended, &'static str) {
    let overloaded = if vendor == Vendor::Anthropic { 529 } else { 503 };
    let half = if stream { "Hello from the f" } else { "" };
    match kind {
        FaultKind::RateLimited | FaultKind::Quota => (429, Ended::Whole, ""),
        FaultKind::ServerError => (500, Ended::Whole, ""),
        FaultKind::Overloaded => (overloaded, Ended::Whole, ""),
        FaultKind::Oversize => (400, Ended::Whole, ""),
        FaultKind::Unauthorized => (401, Ended::Whole, ""),
        FaultKind::Expired => (if vendor == Vendor::Gemini { 400 } else { 401 }, Ended::Whole, ""),
        FaultKind::Retired => (404, Ended::Whole, ""),
        FaultKind::Cut => (200, Ended::BrokenOff, half),
        FaultKind::CutClean => (200, if stream { Ended::Whole } else { Ended::BrokenOff }, half),
        FaultKind::Reset => (200, Ended::Reset, half),
        FaultKind::ErrorEvent => (if stream { 200 } else { overloaded }, Ended::Whole, half),
        FaultKind::Garbage | FaultKind::Empty | FaultKind::ErrorIn200 => (200, Ended::Whole, ""),
        FaultKind::Noise | FaultKind::MaxTokens => (200, Ended::Whole, HELLO),
        FaultKind::Refusal => (200, Ended::Whole, "I can't help with that."),
        FaultKind::Hang | FaultKind::Stall => unreachable!("never ends"),
    }
}

#[test]
fn every_fault_that_ends_looks_the_same_from_outside_for_every_vendor() {
    for (name, kind) in FAULT_NAMES {
        if matches!(kind, FaultKind::Hang | FaultKind::Stall) {
            continue;
        }
        for vendor in VENDORS {
            for stream in [true, false] {
                let what = format!("{name} {vendor:?} stream {stream}");
                let api = start(Script::new());
                let answer = ask(vendor, &format!("m-fault-{name}"), "hi", stream).answer(&api);
                let (status, ended, heard) = expected(kind, vendor, stream);
                assert_eq!((answer.status, answer.ended), (status, ended), "{what}");
                let refusal = kind == FaultKind::Refusal && matches!(vendor, Vendor::Responses | Vendor::Chat);
                let cut = !stream && ended != Ended::Whole;
                if !refusal && !cut && kind != FaultKind::Garbage {
                    assert_eq!(text(vendor, stream, &answer), heard, "{what}");
                }
                let attempts = api.timeline();
                let attempt = only(&attempts);
                assert_eq!(
                    (attempt.fault.as_deref(), attempt.status),
                    (Some(name), Some(status)),
                    "{what}"
                );
                let broke_off = matches!(kind, FaultKind::Cut | FaultKind::CutClean | FaultKind::Reset);
                let finished = if broke_off { Finished::Cut } else { Finished::Completed };
                assert_eq!(attempt.finished, Some(finished), "{what}");
                assert_eq!(api.violations(), [], "{what}");
            }
        }
    }
}

#[test]
fn refusals_speak_each_vendors_language() {
    let api = start(Script::new());
    let refusal = |vendor, fault: &str| ask(vendor, "m", &format!("[[fault:{fault}]]"), true).answer(&api);
    for (vendor, fault, pointer, value) in [
        (Vendor::Anthropic, "429", "/error/type", json!("rate_limit_error")),
        (Vendor::Anthropic, "529", "/error/type", json!("overloaded_error")),
        (Vendor::Anthropic, "401", "/error/type", json!("authentication_error")),
        (
            Vendor::Anthropic,
            "404-retired",
            "/error/type",
            json!("not_found_error"),
        ),
        (
            Vendor::Anthropic,
            "oversize",
            "/error/message",
            json!("prompt is too long: 250000 tokens > 200000 maximum"),
        ),
        (Vendor::Responses, "429", "/error/code", json!("rate_limit_exceeded")),
        (
            Vendor::Responses,
            "oversize",
            "/error/code",
            json!("context_length_exceeded"),
        ),
        (Vendor::Chat, "quota", "/error/code", json!("insufficient_quota")),
        (Vendor::Chat, "401", "/error/code", json!("invalid_api_key")),
        (Vendor::Chat, "expired", "/error/code", json!("token_expired")),
        (
            Vendor::Gemini,
            "expired",
            "/error/details/0/reason",
            json!("API_KEY_INVALID"),
        ),
        (Vendor::Gemini, "429", "/error/status", json!("RESOURCE_EXHAUSTED")),
        (Vendor::Gemini, "500", "/error/code", json!(500)),
        (Vendor::Gemini, "401", "/error/status", json!("UNAUTHENTICATED")),
        (Vendor::Chat, "200-error", "/error/message", json!("Overloaded")),
    ] {
        let body = refusal(vendor, fault).json();
        assert_eq!(body.pointer(pointer), Some(&value), "{vendor:?} {fault}: {body}");
    }
    let hinted = refusal(Vendor::Anthropic, "429-retry-after-7");
    assert!(hinted.head.contains("retry-after: 7\r\n"), "{}", hinted.head);
    assert!(!refusal(Vendor::Anthropic, "429").head.contains("retry-after"));
    let hinted = refusal(Vendor::Gemini, "429-retry-after-7").json();
    assert_eq!(hinted["error"]["details"][0]["retryDelay"], "7s");
    let event = refusal(Vendor::Anthropic, "error-event").events().pop().unwrap();
    assert_eq!(event["error"]["type"], "overloaded_error");
    let event = refusal(Vendor::Responses, "error-event").events().pop().unwrap();
    assert_eq!(event["type"], "response.failed");
}

#[test]
fn complete_answers_say_why_they_stopped() {
    let api = start(Script::new());
    let whole = |vendor, fault: &str| ask(vendor, &format!("fault-{fault}"), "hi", false).answer(&api).json();
    for (vendor, fault, pointer, value) in [
        (Vendor::Anthropic, "refusal", "/stop_reason", "refusal"),
        (Vendor::Anthropic, "max-tokens", "/stop_reason", "max_tokens"),
        (Vendor::Responses, "refusal", "/output/0/content/0/type", "refusal"),
        (
            Vendor::Responses,
            "max-tokens",
            "/incomplete_details/reason",
            "max_output_tokens",
        ),
        (
            Vendor::Chat,
            "refusal",
            "/choices/0/message/refusal",
            "I can't help with that.",
        ),
        (Vendor::Chat, "max-tokens", "/choices/0/finish_reason", "length"),
        (Vendor::Gemini, "refusal", "/candidates/0/finishReason", "SAFETY"),
        (Vendor::Gemini, "max-tokens", "/candidates/0/finishReason", "MAX_TOKENS"),
    ] {
        let body = whole(vendor, fault);
        assert_eq!(body.pointer(pointer), Some(&json!(value)), "{vendor:?} {fault}: {body}");
    }
}

#[test]
fn a_hang_sends_nothing_and_a_stall_stops_in_mid_text() {
    for vendor in VENDORS {
        let api = start(Script::new());
        let mut hanging = ask(vendor, "fault-hang", "hi", true).send(&api);
        api.wait_until(PATIENCE, |attempts| attempts.len() == 1).unwrap();
        hanging.set_nonblocking(true).unwrap();
        let nothing = hanging.read(&mut [0; 16]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        drop(hanging);
        let gone = |attempts: &[Attempt]| {
            attempts
                .iter()
                .all(|attempt| attempt.finished == Some(Finished::ClientGone))
        };
        assert_eq!(only(&api.wait_until(PATIENCE, gone).unwrap()).status, None);

        api.reset();
        let mut stalled = ask(vendor, "m", "[[fault:stall]]", true).send(&api);
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("Hello from the f") {
            let mut some = [0; 4096];
            let read = stalled.read(&mut some).unwrap();
            assert_ne!(read, 0, "{vendor:?}: the stream ended");
            heard.extend_from_slice(&some[..read]);
        }
        assert!(!String::from_utf8_lossy(&heard).contains("ake model"), "{vendor:?}");
        drop(stalled);
        assert_eq!(only(&api.wait_until(PATIENCE, gone).unwrap()).status, Some(200));
    }
}

#[test]
fn counted_faults_end_and_a_reset_begins_them_anew() {
    let api = start(Script::new());
    let status = |model: &str, prompt: &str| ask(Vendor::Anthropic, model, prompt, false).answer(&api).status;
    for _ in 0..2 {
        assert_eq!([(); 3].map(|()| status("fault-429x2", "hi")), [429, 429, 200]);
        assert_eq!([(); 3].map(|()| status("m", "[[fault:500x1]]")), [500, 200, 200]);
        assert_eq!(
            status("fault-429x2", "another prompt"),
            429,
            "each prompt is counted by itself"
        );
        let tries: Vec<u32> = api.timeline().iter().map(|attempt| attempt.try_number).collect();
        assert_eq!(tries, [1, 2, 3, 1, 2, 3, 1]);
        api.reset();
        assert_eq!(api.timeline(), []);
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused_and_recorded() {
    let api = start(Script::new());
    for (model, prompt) in [
        ("fault-nonsense", "hi"),
        ("m", "[[fault:430]]"),
        ("m", "[[edit:no content]]"),
    ] {
        let answer = ask(Vendor::Chat, model, prompt, true).answer(&api);
        assert_eq!(answer.status, 400, "{model} {prompt}");
    }
    let codes: Vec<String> = api.violations().into_iter().map(|(_, found)| found.code).collect();
    assert_eq!(codes, ["order"; 3]);
}

#[test]
fn a_reply_holds_in_mid_text_until_its_gate_is_released() {
    for vendor in VENDORS {
        let api = start(Script::new());
        let mut held = ask(vendor, "m", "[[hold:gate]]", true).send(&api);
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("Hello from the f") {
            let mut some = [0; 4096];
            let read = held.read(&mut some).unwrap();
            heard.extend_from_slice(&some[..read]);
        }
        assert_eq!(only(&api.timeline()).finished, None);
        api.release("gate");
        held.read_to_end(&mut heard).unwrap();
        assert_eq!(text(vendor, true, &parse(heard)), HELLO, "{vendor:?}");
    }
}
