//! The ACP backend with the real Gemini CLI and OpenCode against the fake model. Run by hand:
//! `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-agents -- --ignored real_agents`.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wheelhouse_agents::acp::{Acp, Recipe, recipe};
use wheelhouse_core::agent::{AgentEvent, Assignment, Ended, Order, Reply, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

#[path = "programs/real.rs"]
mod real;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "programs/rig.rs"]
mod rig;

use real::Place;
use rig::{Try, keeper, noticed, text};

/// A try in which nothing more is heard for this long has stalled as far as these tests are concerned.
const SILENCE: Duration = Duration::from_secs(3);

fn gemini(place: &Place) -> Acp {
    let home = place.work().with_file_name("home");
    std::fs::create_dir_all(home.join(".gemini")).expect("created");
    let settings = r#"{"security":{"auth":{"selectedType":"gemini-api-key"},"folderTrust":{"enabled":false}},
        "general":{"enableAutoUpdate":false,"sessionRetention":{"enabled":false}},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}"#;
    std::fs::write(home.join(".gemini/settings.json"), settings).expect("written");
    let mut gemini = set_up("gemini", place);
    set(&mut gemini, "GEMINI_API_KEY", "test-key");
    set(&mut gemini, "GOOGLE_GEMINI_BASE_URL", &place.api.base_url());
    gemini.model = Some("gemini-2.5-pro".to_owned());
    Acp::new(keeper(), gemini)
}

fn opencode(place: &Place) -> Acp {
    let config = serde_json::json!({
        "$schema": "https://opencode.ai/config.json", "autoupdate": false, "share": "disabled",
        "model": "fake/fake-model", "small_model": "fake/fake-model", "permission": {"edit": "ask"},
        "provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "Fake",
            "options": {"baseURL": place.api.openai_url(), "apiKey": "test-key"},
            "models": {
                "fake-model": {"name": "Fake", "limit": {"context": 200_000, "output": 8_000},
                    "cost": {"input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25}},
                "other-model": {"name": "Other", "limit": {"context": 200_000, "output": 8_000}},
            }}},
    });
    let mut opencode = set_up("opencode", place);
    set(&mut opencode, "OPENCODE_CONFIG_CONTENT", &config.to_string());
    set(&mut opencode, "OPENCODE_DISABLE_MODELS_FETCH", "1");
    Acp::new(keeper(), opencode)
}

fn claude_adapter(place: &Place) -> Acp {
    let mut adapter = set_up("claude-acp", place);
    set(&mut adapter, "ANTHROPIC_BASE_URL", &place.api.base_url());
    set(&mut adapter, "ANTHROPIC_API_KEY", "test-key");
    for name in [
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
        "DISABLE_AUTOUPDATER",
    ] {
        set(&mut adapter, name, "1");
    }
    Acp::new(keeper(), adapter)
}

fn codex_adapter(place: &Place) -> Acp {
    let home = place.work().with_file_name("home");
    std::fs::create_dir_all(home.join(".codex")).expect("created");
    let settings = format!(
        "model = \"gpt-5.5\"\nmodel_provider = \"fake\"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n\
         [features]\nplugins = false\n[model_providers.fake]\nname = \"fake\"\nbase_url = \"{}\"\n\
         env_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n",
        place.api.openai_url()
    );
    std::fs::write(home.join(".codex/config.toml"), settings).expect("written");
    let mut adapter = set_up("codex-acp", place);
    set(&mut adapter, "OPENAI_API_KEY", "test-key");
    Acp::new(keeper(), adapter)
}

fn set_up(name: &str, place: &Place) -> Recipe {
    let mut recipe = recipe(name).expect("a recipe");
    recipe.state_dir = Some(place.state());
    recipe
}

fn set(recipe: &mut Recipe, name: &str, value: &str) {
    recipe.env.insert(name.to_owned(), value.to_owned());
}

async fn run(agent: &Acp, assignment: Assignment) -> (Ended, Vec<AgentEvent>) {
    Try::begin(agent, assignment).end().await
}

fn resumed(place: &Place, session: &str, prompt: &str) -> Assignment {
    let mut assignment = place.assignment(prompt);
    assignment.session = Some(session.to_owned());
    assignment
}

async fn first_text(running: &Try) {
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
}

async fn permission(running: &Try) -> (String, String, String) {
    running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, tool, detail } => Some((request.clone(), tool.clone(), detail.clone())),
            _ => None,
        })
        .await
}

/// A session with one finished turn, for the agent that keeps nothing of one that has none.
async fn begun(agent: &Acp, place: &Place, is_forgetful: bool) -> Option<String> {
    if !is_forgetful {
        return None;
    }
    let (ended, _) = run(agent, place.assignment("[[say:Begun.]]")).await;
    near_the_next_minute().await;
    ended.session
}

/// The backend waits for the agent's next minute, which is longer than a test has patience.
async fn near_the_next_minute() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let left = 60 - now.expect("a clock").as_secs() % 60;
    tokio::time::sleep(Duration::from_secs(left.saturating_sub(25))).await;
}

fn in_session(place: &Place, session: Option<&str>, prompt: &str) -> Assignment {
    let mut assignment = place.assignment(prompt);
    assignment.session = session.map(str::to_owned);
    assignment
}

/// An edit to which the answer is yes, and one to which it is no.
async fn permission_both_ways(agent: fn(&Place) -> Acp) {
    for (answer, file) in [(Reply::Allow, Some("hi\n")), (Reply::Deny("not now".into()), None)] {
        let place = Place::new();
        let running = Try::begin(
            &agent(&place),
            place.assignment("[[edit:hello.txt:hi\\n]] [[say:Answered.]]"),
        );
        let (request, tool, detail) = permission(&running).await;
        assert_eq!(tool, "edit");
        assert!(detail.contains("hello.txt"), "{detail}");
        let is_denied = answer != Reply::Allow;
        running.order(Order::Answer { request, answer });
        let (ended, events) = running.end().await;
        assert_eq!(place.read("hello.txt").as_deref(), file);
        let last = events.iter().rev().find_map(|event| match event {
            AgentEvent::Tool { status, .. } => Some(*status),
            _ => None,
        });
        let expected = if is_denied {
            ToolStatus::Denied
        } else {
            ToolStatus::Succeeded
        };
        assert_eq!(last, Some(expected), "{events:?}");
        if is_denied {
            assert!(ended.result.files.is_empty());
        } else {
            assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
            assert_eq!(ended.outputs[0], b"Answered.");
            assert_eq!(ended.result.files, ["hello.txt"]);
        }
        place.assert_protocol_kept();
    }
}

async fn interrupted_and_gone_on(agent: fn(&Place) -> Acp, is_forgetful: bool) {
    let place = Place::new();
    let agent = agent(&place);
    let session = begun(&agent, &place, is_forgetful).await;
    let running = Try::begin(
        &agent,
        in_session(
            &place,
            session.as_deref(),
            "[[hold:gate]] [[say:This is said up to the middle and not further.]]",
        ),
    );
    first_text(&running).await;
    running.order(Order::Interrupt);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert_eq!(ended.usage.source, UsageSource::Estimated);
    assert_eq!(ended.cost, Cost::Unknown, "what was begun is billed");
    let session = ended.session.expect("a session");
    let (ended, events) = run(&agent, resumed(&place, &session, "[[say:Going on.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Going on.", "history is not told again");
    assert_eq!(ended.session.as_deref(), Some(session.as_str()));
}

async fn redirected(agent: fn(&Place) -> Acp) {
    let place = Place::new();
    let running = Try::begin(
        &agent(&place),
        place.assignment("[[hold:gate]] [[say:This is said up to the middle and not further.]]"),
    );
    first_text(&running).await;
    running.order(Order::Steer("[[say:Somewhere else.]]".to_owned()));
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Somewhere else.");
    assert_eq!(
        ended.usage.source,
        UsageSource::Estimated,
        "one of two turns was not counted"
    );
}

async fn resumed_after_kill(agent: fn(&Place) -> Acp, is_forgetful: bool) {
    let place = Place::new();
    let agent = agent(&place);
    let (ended, _) = run(&agent, place.assignment("[[say:Remembered.]]")).await;
    let session = ended.session.expect("a session");
    if is_forgetful {
        near_the_next_minute().await;
    }
    let running = Try::begin(
        &agent,
        resumed(
            &place,
            &session,
            "[[hold:gate]] [[say:This is killed in the middle of it.]]",
        ),
    );
    let keeper = running
        .until("a process", |event| match event {
            AgentEvent::Started {
                process: Some(process), ..
            } => Some(*process),
            _ => None,
        })
        .await;
    first_text(&running).await;
    kill(Pid::from_raw(keeper.pid.cast_signed()), Signal::SIGKILL).expect("killed");
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    let session = ended.session.expect("a session");
    // Gemini CLI sends the prompt that was cut once more, before the new one.
    place.api.release("gate");
    let (ended, events) = run(&agent, resumed(&place, &session, "[[say:Back again.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    // OpenCode then sends an empty message of the model's in its history; what it says is right.
    assert_eq!(text(&events), "Back again.");
}

async fn stalled(agent: fn(&Place) -> Acp, is_forgetful: bool) {
    let place = Place::new();
    let agent = agent(&place);
    let session = begun(&agent, &place, is_forgetful).await;
    let running = Try::begin(
        &agent,
        in_session(
            &place,
            session.as_deref(),
            "[[fault:stall]] [[say:This begins and stops in the middle of it.]]",
        ),
    );
    first_text(&running).await;
    let before = running.events().len();
    let more = running.until("more", |_| (running.events().len() > before + 4).then_some(()));
    assert!(
        tokio::time::timeout(SILENCE, more).await.is_err(),
        "a stall is told as one"
    );
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    let session = ended.session.expect("a session");
    let (ended, _) = run(&agent, resumed(&place, &session, "[[say:Fine now.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
}

async fn unknown_session(agent: fn(&Place) -> Acp, id: &str) {
    let place = Place::new();
    let (ended, _) = run(&agent(&place), resumed(&place, id, "[[say:x]]")).await;
    assert_eq!(
        (ended.outcome, ended.session),
        (Outcome::Crashed, None),
        "{}",
        ended.detail
    );
    assert!(
        ended.detail.contains("does not go on in the session"),
        "{}",
        ended.detail
    );
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_simple_turn() {
    let place = Place::new();
    let (ended, events) = run(&gemini(&place), place.assignment("[[say:Hello there.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Hello there.");
    let usage = ended.usage;
    assert_eq!(
        (usage.input, usage.output, usage.source),
        (2_100, 7, UsageSource::Reported)
    );
    assert_eq!(ended.cost, Cost::Unknown);
    assert_eq!(ended.result.exit_code, None, "how it was ended is no news");
    assert!(!noticed(&events, "outside the versions"), "{events:?}");
    assert!(!noticed(&events, "were not understood"), "{events:?}");
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_version() {
    let place = Place::new();
    let version = gemini(&place)
        .version(place.assignment("").env)
        .await
        .expect("a version");
    assert!(version.number.is_some());
    assert_eq!(version.untested, None);
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_file_edit_and_permission_both_ways() {
    permission_both_ways(gemini).await;
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_interrupt_and_go_on() {
    interrupted_and_gone_on(gemini, true).await;
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_redirect() {
    redirected(gemini).await;
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_resume_after_kill() {
    resumed_after_kill(gemini, true).await;
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_rate_limit() {
    let place = Place::new();
    let agent = gemini(&place);
    let (ended, _) = run(&agent, place.assignment("[[fault:429x1]] [[say:Recovered.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    // It waits and tries again without a word until it is ended; then it tells what it was busy with.
    let running = Try::begin(&agent, place.assignment("[[fault:429]] [[say:x]]"));
    let tried = |attempts: &[wheelhouse_testkit::model_api::Attempt]| attempts.len() >= 5;
    place.api.until(rig::PATIENCE, tried).await.expect("further attempts");
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_stalled_stream() {
    stalled(gemini, true).await;
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_truncated_stream() {
    let place = Place::new();
    let prompt = "[[fault:cut]] [[say:Never whole, again and again.]]";
    let (ended, _) = run(&gemini(&place), place.assignment(prompt)).await;
    assert_eq!(ended.outcome, Outcome::Truncated, "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_unknown_session() {
    unknown_session(gemini, "11111111-2222-4333-8444-000000000000").await;
}

#[tokio::test]
#[ignore = "needs the real Gemini CLI"]
async fn real_agents_gemini_failures_have_their_class() {
    failures(
        gemini,
        &[
            ("401", Outcome::Auth),
            ("oversize", Outcome::ContextTooLong),
            ("404-retired", Outcome::Unavailable),
        ],
    )
    .await;
}

async fn failures(agent: fn(&Place) -> Acp, expected: &[(&str, Outcome)]) {
    let mut wrong = Vec::new();
    for (fault, expected) in expected {
        let place = Place::new();
        let prompt = format!("[[fault:{fault}]] [[say:x]]");
        let (ended, _) = run(&agent(&place), place.assignment(&prompt)).await;
        if ended.outcome != *expected {
            wrong.push(format!("{fault}: {:?} {}", ended.outcome, ended.detail));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_simple_turn() {
    let place = Place::new();
    let (ended, events) = run(&opencode(&place), place.assignment("[[say:Hello there.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Hello there.");
    let usage = ended.usage;
    // Cache writes have no number of their own in that API: they are in the input.
    assert_eq!(
        (usage.input, usage.cache_read, usage.output, usage.source),
        (400, 2_000, 7, UsageSource::Reported)
    );
    assert_eq!(ended.cost, Cost::Actual(635_000));
    assert!(!noticed(&events, "outside the versions"), "{events:?}");
    assert!(!noticed(&events, "were not understood"), "{events:?}");
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_version() {
    let place = Place::new();
    let version = opencode(&place)
        .version(place.assignment("").env)
        .await
        .expect("a version");
    assert!(version.number.is_some());
    assert_eq!(version.untested, None);
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_file_edit_and_permission_both_ways() {
    permission_both_ways(opencode).await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_interrupt_and_go_on() {
    interrupted_and_gone_on(opencode, false).await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_redirect() {
    redirected(opencode).await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_resume_after_kill() {
    resumed_after_kill(opencode, false).await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_rate_limit() {
    let place = Place::new();
    let (ended, events) = run(&opencode(&place), place.assignment("[[fault:429]] [[say:x]]")).await;
    assert!(noticed(&events, "tries again"), "{events:?}");
    assert!(
        matches!(ended.outcome, Outcome::RateLimited { .. }),
        "{:?} {}",
        ended.outcome,
        ended.detail
    );
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_stalled_stream() {
    stalled(opencode, false).await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_truncated_stream() {
    let place = Place::new();
    let prompt = "[[fault:cut]] [[say:Never whole, again and again.]]";
    let (ended, _) = run(&opencode(&place), place.assignment(prompt)).await;
    assert_eq!(ended.outcome, Outcome::Truncated, "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_unknown_session() {
    unknown_session(opencode, "ses_e0748babbffezRZc0ca4xR7Qjf").await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_failures_have_their_class() {
    failures(
        opencode,
        &[
            ("401", Outcome::Auth),
            ("oversize", Outcome::ContextTooLong),
            ("404-retired", Outcome::Unavailable),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs the real OpenCode"]
async fn real_agents_opencode_takes_a_model_and_says_which_there_are() {
    let place = Place::new();
    let agent = opencode(&place);
    let mut assignment = place.assignment("[[say:Other.]]");
    assignment.model = Some("fake/other-model".to_owned());
    let (ended, _) = run(&agent, assignment).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(place.api.turns().iter().any(|attempt| attempt.model == "other-model"));
    let mut assignment = place.assignment("[[say:x]]");
    assignment.model = Some("fake/nowhere".to_owned());
    let (ended, _) = run(&agent, assignment).await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(
        ended.detail.contains("the agent has no model fake/nowhere"),
        "{}",
        ended.detail
    );
}

/// A turn of an adapter. The Claude adapter may put a notice of its vendor's behind the answer, as text.
async fn adapter_turn(agent: fn(&Place) -> Acp) {
    let place = Place::new();
    let (ended, _) = run(&agent(&place), place.assignment("[[say:Hello there.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(ended.outputs[0].starts_with(b"Hello there."), "{:?}", ended.outputs);
    assert!(ended.session.is_some());
}

#[tokio::test]
#[ignore = "needs the real Claude adapter"]
async fn real_agents_claude_adapter_simple_turn() {
    adapter_turn(claude_adapter).await;
}

#[tokio::test]
#[ignore = "needs the real Codex adapter"]
async fn real_agents_codex_adapter_simple_turn() {
    adapter_turn(codex_adapter).await;
}
