//! Agents that name the file of a session by the minute: one that is loaded in the minute it was begun in is overwritten
//! instead of loaded (Gemini CLI 0.61.0), so what was said in it is lost. The try waits for the next minute.
//!
//! Nothing of the agent's is changed here; its file is looked for by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;
use wheelhouse_core::agent::{AgentEvent, Inbox, Order, Sink};

/// How far into the next minute it is safe: clocks are read twice.
const MARGIN: Duration = Duration::from_millis(500);

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waited {
    /// It is safe.
    Over,
    /// The engine ordered an end.
    Stopped,
    /// The engine ordered an interrupt.
    Interrupted,
}

/// Waits until the session can be loaded. Words that come meanwhile go after the prompt.
pub(super) async fn wait(
    session: &str,
    env: &BTreeMap<String, String>,
    inbox: &mut Box<dyn Inbox>,
    prompt: &mut String,
    sink: &dyn Sink,
) -> Waited {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if !env
        .get("HOME")
        .is_some_and(|home| is_of_this_minute(Path::new(home), session, now))
    {
        return Waited::Over;
    }
    let left = Duration::from_secs(60 - now.as_secs() % 60) + MARGIN;
    sink.event(AgentEvent::Notice(format!(
        "the agent would lose a session that it loads in the minute it was begun in; waiting {} s",
        left.as_secs()
    )));
    let over = sleep(left);
    tokio::pin!(over);
    let mut is_listening = true;
    loop {
        tokio::select! {
            () = &mut over => return Waited::Over,
            order = inbox.next(), if is_listening => match order {
                Some(Order::Stop | Order::Kill) => return Waited::Stopped,
                Some(Order::Interrupt) => return Waited::Interrupted,
                Some(Order::Steer(words)) => {
                    prompt.push_str("\n\n");
                    prompt.push_str(&words);
                }
                Some(Order::Answer { .. }) => {}
                None => is_listening = false,
            },
        }
    }
}

/// Whether the session's only file is of this minute. The file is
/// `HOME/.gemini/tmp/PROJECT/chats/session-2026-11-21T03-55-c47749be.jsonl`, in universal time; each loading leaves one
/// more, and overwriting those does no harm.
fn is_of_this_minute(home: &Path, session: &str, now: Duration) -> bool {
    let Some(short) = session.get(..8) else { return false };
    let ending = format!("-{short}.jsonl");
    let name = format!("session-{}{ending}", minute(now.as_secs()));
    let Ok(projects) = std::fs::read_dir(home.join(".gemini/tmp")) else {
        return false;
    };
    projects.flatten().any(|project| {
        let Ok(files) = std::fs::read_dir(project.path().join("chats")) else {
            return false;
        };
        let names = files
            .flatten()
            .map(|file| file.file_name().to_string_lossy().into_owned());
        let of_session: Vec<String> = names.filter(|name| name.ends_with(&ending)).collect();
        of_session == [name.clone()]
    })
}

/// `2026-11-21T03-55` of seconds since 1970.
fn minute(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let is_leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    while days >= if is_leap(year) { 366 } else { 365 } {
        days -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (of_day / 3_600, of_day / 60 % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}-{minute:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_written_as_the_agent_writes_it() {
        for (seconds, expected) in [
            (0, "1970-01-01T00-00"),
            (951_782_399, "2000-02-28T23-59"),
            (951_782_400, "2000-02-29T00-00"),
            (1_795_233_336, "2026-11-21T03-55"),
        ] {
            assert_eq!(minute(seconds), expected);
        }
    }

    #[test]
    fn only_a_session_of_this_minute_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let chats = home.path().join(".gemini/tmp/project/chats");
        std::fs::create_dir_all(&chats).unwrap();
        std::fs::write(chats.join("session-2026-11-21T03-55-c47749be.jsonl"), "").unwrap();
        let session = "c47749be-0b65-475b-bbfc-0e9bb81d50ef";
        let at = |seconds| is_of_this_minute(home.path(), session, Duration::from_secs(seconds));
        assert!(at(1_795_233_336));
        assert!(!at(1_795_233_336 + 60));
        assert!(!is_of_this_minute(
            home.path(),
            "other",
            Duration::from_secs(1_795_233_336)
        ));
    }
}
