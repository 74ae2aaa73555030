//! The record that Codex keeps of a thread, as far as it tells the model: `codex exec` names none in what it prints.
//!
//! `CODEX_HOME/sessions/YYYY/MM/DD/rollout-…-THREAD.jsonl`, by the day on which the thread began, in local time. A thread's id
//! is a UUID of version 7, which has that moment in it, so nobody walks through a user's sessions. Each turn writes a
//! `turn_context` with the model it asks. Nothing is changed here, and what cannot be found is not known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wheelhouse_core::day::Day;
use wheelhouse_core::time::Millis;

/// How much of a record is read, from its end, in bytes: the last turn stands there.
const READ_MAX: u64 = 16 << 20;
const DAY_MS: u64 = 86_400_000;

/// The model of the thread's last turn, when its record tells it. `env` is what Codex was given.
pub(super) fn model(thread: &str, env: &BTreeMap<String, String>) -> Option<String> {
    let own = env.get("CODEX_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = own.or_else(|| Some(Path::new(env.get("HOME")?).join(".codex")))?;
    last_model(&find(&home.join("sessions"), thread)?)
}

/// The thread's file. Local time may be a day before or after.
fn find(sessions: &Path, thread: &str) -> Option<PathBuf> {
    let began = began_ms(thread)?;
    let ending = format!("-{thread}.jsonl");
    [began, began.saturating_sub(DAY_MS), began.saturating_add(DAY_MS)]
        .into_iter()
        .find_map(|at| {
            let (year, month, day) = Day::of(Millis(at)).civil();
            let directory = sessions.join(format!("{year:04}/{month:02}/{day:02}"));
            let mut files = std::fs::read_dir(directory).ok()?.flatten().map(|file| file.path());
            files.find(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("rollout-") && name.ends_with(&ending))
            })
        })
}

/// The moment in a UUID of version 7.
fn began_ms(thread: &str) -> Option<u64> {
    let id = uuid::Uuid::parse_str(thread).ok()?;
    let (seconds, nanos) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    seconds.checked_mul(1_000)?.checked_add(u64::from(nanos) / 1_000_000)
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    model: Option<String>,
}

fn last_model(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let bytes = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(READ_MAX))).ok()?;
    let mut found = None;
    // A line that is being written while it is read is no line yet.
    for line in BufReader::new(file.take(READ_MAX)).split(b'\n') {
        let Ok(line) = line else { break };
        if memchr::memmem::find(&line, br#""turn_context""#).is_none() {
            continue;
        }
        let read = serde_json::from_slice::<Line>(&line).ok();
        found = read
            .filter(|line| line.kind == "turn_context")
            .and_then(|line| line.payload.model)
            .or(found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREAD: &str = "01a1f8b7-ec08-7232-a737-22002e100157";

    fn env(home: &Path) -> BTreeMap<String, String> {
        BTreeMap::from([("HOME".to_owned(), home.display().to_string())])
    }

    fn record(home: &Path, day: &str, text: &str) {
        let directory = home.join(".codex/sessions").join(day);
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("rollout-2026-11-20T08-29-01-{THREAD}.jsonl"));
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn the_last_turn_tells_the_model() {
        let text = concat!(
            r#"{"type":"turn_context","payload":{"turn_id":"1","model":"gpt-5.5","collaboration_mode":{"settings":{"model":"x"}}}}"#,
            "\nnot json \"turn_context\"\n",
            r#"{"type":"response_item","payload":{"text":"say \"turn_context\"","model":"made-up"}}"#,
            "\n",
            r#"{"type":"turn_context","payload":{"turn_id":"2","model":"gpt-6.2-sol"}}"#,
            "\n",
            r#"{"type":"turn_context","payl"#,
        );
        // The thread began on that day in universal time; here its user is a day ahead, or behind.
        for day in ["2026/11/20", "2026/11/21", "2026/11/19"] {
            let home = tempfile::tempdir().unwrap();
            record(home.path(), day, text);
            assert_eq!(
                model(THREAD, &env(home.path())).as_deref(),
                Some("gpt-6.2-sol"),
                "{day}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(model(THREAD, &env(home.path())), None);
        record(home.path(), "2026/11/20", "{}\n");
        assert_eq!(model(THREAD, &env(home.path())), None);
        for thread in ["", "T", "../../etc/passwd", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"] {
            assert_eq!(model(thread, &env(home.path())), None, "{thread}");
        }
        assert_eq!(model(THREAD, &BTreeMap::new()), None);
    }
}
