//! What every agent is put through. The prompts tell the fake model what to say, so each does the same work.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use wheelhouse_core::agent::{AgentEvent, Assignment, Ended, Order, Reply, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::ProcessMark;
use wheelhouse_core::usage::{Cost, UsageSource};

use crate::cast::{Cast, Covers, Driven, Keeps, Leave, Setup, TakesWords};
use crate::real::Place;
use crate::rig::{PATIENCE, Try, noticed, text};

/// What is held back in the middle of it until the test lets go.
const HELD: &str = "[[hold:gate]] [[say:This is said up to the middle and not further.]]";

/// A try in which nothing more is heard for this long has stalled as far as these tests are concerned.
const SILENCE: Duration = Duration::from_secs(3);

/// How many requests an agent may make of a provider that refuses all of them.
const REQUESTS_MAX: usize = 6;

pub(crate) fn start(cast: &Cast, place: &Place, leave: Leave) -> Driven {
    let is_deserted = false;
    (cast.start)(place, &Setup { leave, is_deserted })
}

pub(crate) async fn run(driven: &Driven, assignment: Assignment) -> (Ended, Vec<AgentEvent>) {
    Try::begin(driven.agent(), assignment).end().await
}

pub(crate) fn in_session(place: &Place, session: Option<&str>, prompt: &str) -> Assignment {
    let mut assignment = place.assignment(prompt);
    assignment.session = session.map(str::to_owned);
    assignment
}

pub(crate) async fn first_text(running: &Try) {
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
}

/// The request for leave that comes, the tool it is about, and what exactly.
pub(crate) async fn permission(running: &Try) -> (String, String, String) {
    running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, tool, detail } => Some((request.clone(), tool.clone(), detail.clone())),
            _ => None,
        })
        .await
}

async fn warden(running: &Try) -> ProcessMark {
    running
        .until("a process", |event| match event {
            AgentEvent::Started { process, .. } => *process,
            _ => None,
        })
        .await
}

/// A session with a finished turn, for an agent that keeps nothing of what comes to less.
async fn begun(cast: &Cast, driven: &Driven, place: &Place, needed: Keeps) -> Option<String> {
    if cast.keeps >= needed {
        return None;
    }
    let (ended, _) = run(driven, place.assignment("[[say:Begun.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    ended.session
}

/// One more turn in that session, which counts for itself alone.
async fn goes_on(cast: &Cast, driven: &Driven, place: &Place, session: Option<String>) {
    let session = session.expect("a session");
    // What was cut is asked for once more by some, before the new words.
    place.api.release("gate");
    let (ended, events) = run(driven, in_session(place, Some(&session), "[[say:Going on.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Going on.", "and no history");
    assert_eq!(ended.session.as_deref(), Some(session.as_str()));
    assert_eq!(
        (ended.usage.output, ended.usage.source),
        (cast.counts[3], UsageSource::Reported),
        "one turn's, not the session's"
    );
    if cast.is_tidy {
        place.assert_protocol_kept();
    }
}

pub(crate) async fn simple_turn(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let (ended, events) = run(&driven, place.assignment("[[say:Hello there.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Hello there.");
    assert_eq!(ended.outputs[0], b"Hello there.");
    let usage = ended.usage;
    let counted = [usage.input, usage.cache_read, usage.cache_write, usage.output];
    assert_eq!((counted, usage.source), (cast.counts, UsageSource::Reported));
    match ended.cost {
        Cost::Actual(cost) => assert!(cast.tells_cost && cost > 0, "{cost}"),
        other => assert!(!cast.tells_cost && other == Cost::Unknown, "{other:?}"),
    }
    assert!(ended.session.is_some());
    assert!(!noticed(&events, "outside the versions"), "{events:?}");
    assert!(!noticed(&events, "were not understood"), "{events:?}");
    place.assert_protocol_kept();
}

/// Servers that a repository brings along are somebody else's programs: no agent starts them unasked.
pub(crate) async fn servers_of_the_repository_stay_unstarted(cast: &Cast) {
    let place = Place::new();
    let started = place.work().join("started");
    let touch = json!({"theirs": {"command": "touch", "args": [&started]}});
    let servers = json!({"mcpServers": touch}).to_string();
    let codex = format!("[mcp_servers.theirs]\ncommand = \"touch\"\nargs = [{started:?}]\n");
    let local = json!({"type": "local", "command": ["touch", &started], "enabled": true});
    for (file, text) in [
        (".mcp.json", servers.clone()),
        (".codex/config.toml", codex),
        (".gemini/settings.json", servers.clone()),
        (".qwen/settings.json", servers),
        ("opencode.json", json!({"mcp": {"theirs": local}}).to_string()),
    ] {
        let file = place.work().join(file);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("created");
        std::fs::write(file, text).expect("written");
    }
    let driven = start(cast, &place, Leave::Edits);
    let (ended, events) = run(&driven, place.assignment("[[edit:a.txt:x]] [[say:Done.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{} {events:?}", ended.detail);
    assert!(!started.exists(), "a server of the repository was started");
}

pub(crate) async fn version(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let (number, untested) = driven.version(place.assignment("").env).await;
    assert!(number.is_some());
    assert_eq!(untested, None);
}

pub(crate) async fn file_edit(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let prompt = "[[edit:hello.txt:hi\\n]] [[say:Written.]]";
    let (ended, events) = run(&driven, place.assignment(prompt)).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{} {events:?}", ended.detail);
    assert_eq!(ended.outputs[0], b"Written.");
    assert_eq!(place.read("hello.txt").as_deref(), Some("hi\n"));
    if cast.tells_files {
        assert_eq!(ended.result.files, ["hello.txt"]);
    }
    let usage = ended.usage;
    let counted = [usage.input, usage.cache_read, usage.cache_write, usage.output];
    let expected = match cast.covers {
        Covers::Turn => (cast.counts.map(|count| 2 * count), UsageSource::Reported),
        Covers::LastCall => (cast.counts, UsageSource::Estimated),
    };
    assert_eq!((counted, usage.source), expected);
    place.assert_protocol_kept();
}

pub(crate) async fn permission_both_ways(cast: &Cast) {
    for (answer, file) in [(Reply::Allow, Some("hi\n")), (Reply::Deny("not now".into()), None)] {
        let place = Place::new();
        let driven = start(cast, &place, Leave::Asks);
        let prompt = "[[edit:hello.txt:hi\\n]] [[say:Answered.]]";
        let running = Try::begin(driven.agent(), place.assignment(prompt));
        let (request, tool, detail) = permission(&running).await;
        assert_eq!(tool, cast.edit_tool);
        assert!(detail.contains("hello.txt"), "{detail}");
        let is_denied = answer != Reply::Allow;
        running.order(Order::Answer { request, answer });
        let (ended, events) = running.end().await;
        assert_eq!(place.read("hello.txt").as_deref(), file);
        let last = events.iter().rev().find_map(|event| match event {
            AgentEvent::Tool { status, .. } => Some(*status),
            _ => None,
        });
        if is_denied {
            assert_eq!(last, Some(ToolStatus::Denied), "{events:?}");
            assert_eq!(ended.outcome.class(), cast.after_a_no, "{}", ended.detail);
            assert!(ended.detail.contains("was denied"), "{}", ended.detail);
            assert!(ended.result.files.is_empty());
        } else {
            assert_eq!(last, Some(ToolStatus::Succeeded), "{events:?}");
            assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
            assert_eq!(
                (ended.outputs[0].as_slice(), ended.detail.as_str()),
                (&b"Answered."[..], "")
            );
        }
        place.assert_protocol_kept();
    }
}

pub(crate) async fn interrupt_and_go_on(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let session = begun(cast, &driven, &place, Keeps::Interrupted).await;
    let running = Try::begin(driven.agent(), in_session(&place, session.as_deref(), HELD));
    first_text(&running).await;
    running.order(Order::Interrupt);
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert!(!noticed(&events, "ended by signals"), "it was asked, and obeyed");
    assert_eq!(ended.usage.source, UsageSource::Estimated);
    assert!(ended.usage.total() > 0, "what was begun is billed");
    assert!(!ended.outputs.is_empty(), "what was said is kept");
    goes_on(cast, &driven, &place, ended.session).await;
}

pub(crate) async fn words_in_the_middle(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let running = Try::begin(driven.agent(), place.assignment(HELD));
    first_text(&running).await;
    running.order(Order::Steer("[[say:Something else.]]".into()));
    if cast.takes_words == TakesWords::Between {
        running
            .until("a sign", |event| matches!(event, AgentEvent::Alive).then_some(()))
            .await;
        place.api.release("gate");
    }
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Something else.");
    assert!(
        ended.usage.output > cast.counts[3],
        "both were paid for: {:?}",
        ended.usage
    );
}

pub(crate) async fn resume_after_kill(cast: &Cast) {
    killed(cast, |warden| {
        let children = format!("/proc/{0}/task/{0}/children", warden.pid);
        let children = std::fs::read_to_string(children).expect("children");
        let children = children.split_whitespace();
        children.map(|child| child.parse().expect("a number")).collect()
    })
    .await;
}

pub(crate) async fn resume_after_its_keeper_was_killed(cast: &Cast) {
    killed(cast, |warden| vec![warden.pid.cast_signed()]).await;
}

async fn killed(cast: &Cast, victims: impl FnOnce(ProcessMark) -> Vec<i32>) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let session = begun(cast, &driven, &place, Keeps::Killed).await;
    let running = Try::begin(driven.agent(), in_session(&place, session.as_deref(), HELD));
    let warden = warden(&running).await;
    first_text(&running).await;
    for victim in victims(warden) {
        kill(Pid::from_raw(victim), Signal::SIGKILL).expect("killed");
    }
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    assert!(ended.usage.total() > 0, "what was sent was paid for");
    nothing_is_left_in(&place.work()).await;
    goes_on(cast, &driven, &place, ended.session).await;
}

/// Waits until the last process of a directory is gone.
pub(crate) async fn nothing_is_left_in(directory: &Path) {
    let gone = async {
        while !processes_in(directory).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    assert!(gone.is_ok(), "{:?}", processes_in(directory));
}

/// Processes that work in a directory.
fn processes_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == directory))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .collect()
}

pub(crate) async fn unknown_session(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let (ended, _) = run(&driven, in_session(&place, Some(cast.no_session), "[[say:x]]")).await;
    assert_eq!(
        (&ended.outcome, &ended.session),
        (&Outcome::Crashed, &None),
        "{}",
        ended.detail
    );
    let says = [
        "No conversation found",
        "no rollout found",
        "does not go on in the session",
    ];
    assert!(says.iter().any(|says| ended.detail.contains(says)), "{}", ended.detail);
}

pub(crate) async fn rate_limit(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let (ended, events) = run(&driven, place.assignment("[[fault:429-retry-after-1]] [[say:x]]")).await;
    assert!(
        matches!(ended.outcome, Outcome::RateLimited { .. }),
        "{:?} {} {events:?}",
        ended.outcome,
        ended.detail
    );
    assert_eq!(ended.cost, Cost::Actual(0), "nothing came of it");
    let requests = place.api.turns().len();
    assert!(
        requests <= REQUESTS_MAX,
        "the vendor's own tries are bounded: {requests}"
    );
    if cast.tells_retries {
        let limited = |event: &AgentEvent| matches!(event, AgentEvent::Limit { .. });
        let told = noticed(&events, "tries again") || events.iter().any(limited);
        assert!(told, "{events:?}");
    }
    place.assert_protocol_kept();
}

pub(crate) async fn stalled_stream(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let session = begun(cast, &driven, &place, Keeps::Interrupted).await;
    let prompt = "[[fault:stall]] [[say:This begins and stops in the middle of it.]]";
    let running = Try::begin(driven.agent(), in_session(&place, session.as_deref(), prompt));
    first_text(&running).await;
    // The engine's idle timer acts when nothing is heard.
    let before = running.events().len();
    let more = running.until("more", |_| (running.events().len() > before + 4).then_some(()));
    assert!(
        tokio::time::timeout(SILENCE, more).await.is_err(),
        "a stall is told as one"
    );
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    goes_on(cast, &driven, &place, ended.session).await;
}

pub(crate) async fn truncated_stream(cast: &Cast) {
    let place = Place::new();
    let driven = start(cast, &place, Leave::Edits);
    let prompt = "[[fault:cut]] [[say:Never whole, again and again.]]";
    let (ended, events) = run(&driven, place.assignment(prompt)).await;
    assert!(
        cast.cut.contains(&ended.outcome.class()),
        "{:?} {} {events:?}",
        ended.outcome,
        ended.detail
    );
    assert!(
        ended.usage.total() > 0 || ended.cost == Cost::Unknown,
        "broken requests are not for nothing: {ended:?}"
    );
}

pub(crate) async fn failures_have_their_class(cast: &Cast) {
    let mut wrong = Vec::new();
    for (fault, expected) in cast.faults {
        let place = Place::new();
        let driven = start(cast, &place, Leave::Edits);
        let prompt = format!("[[fault:{fault}]] [[say:x]]");
        let (ended, _) = run(&driven, place.assignment(&prompt)).await;
        if ended.outcome.class() != *expected || ended.detail.is_empty() {
            wrong.push(format!("{fault}: {:?} {}", ended.outcome, ended.detail));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) async fn a_refused_connection(cast: &Cast) {
    let place = Place::new();
    let setup = Setup {
        leave: Leave::Edits,
        is_deserted: true,
    };
    let driven = (cast.start)(&place, &setup);
    let (ended, events) = run(&driven, place.assignment("x")).await;
    assert_eq!(ended.outcome, Outcome::Overloaded, "{} {events:?}", ended.detail);
    assert_eq!(ended.cost, Cost::Actual(0));
}
