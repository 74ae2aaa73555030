//! Tells people what they asked to be told (`notify_on` of the policy): a webhook, a command. Beside the engine.
//!
//! Each way out has a cursor of its own in the state directory, moved on when a notice was delivered or given up; so a
//! notice is delivered at least once, also when the engine dies between, and whoever receives it knows a repetition by
//! its id. A way that fails is tried a few times and then passed over, told of here and by `/health`; it never holds up
//! the work, which knows nothing of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use wheelhouse_agents::api::Http;
use wheelhouse_core::crew::Notify;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::Cursor;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::Reader;
use wheelhouse_core::task::Held;
use wheelhouse_engine::nudge;
use wheelhouse_server::face::document;
use wheelhouse_server::face::feed::{Feed, News};

use crate::app::App;
use crate::config::Settings;
use crate::failure::Failure;
use crate::place;
use crate::roster;
use crate::show::line;
use crate::state;
use crate::terminal::plain;

/// How often one notice is tried.
const TRIES_MAX: u32 = 4;
/// Between two tries; it grows with each.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one try may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked for news, hints or not.
const LOOK: Duration = Duration::from_secs(2);
/// How long what is left may take when the engine has ended; the rest comes with the next engine.
const GRACE: Duration = Duration::from_secs(10);

/// A way out.
struct Way {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    Webhook(String),
    Command(String),
}

/// How far a way has come, as kept in the state directory.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    cursor: u64,
    /// How many notices in a row were given up.
    given_up: u64,
    /// Why the last one was.
    why: Option<String>,
}

/// Whether somebody is to be told at all.
pub(crate) fn is_wanted(settings: &Settings) -> bool {
    settings.notify_webhook.is_some() || settings.notify_command.is_some()
}

/// Remembers where to begin, for each way that is told for the first time: with what comes.
pub(crate) fn begin(app: &App, settings: &Settings) -> Result<(), Failure> {
    let wanted = [
        ("webhook", settings.notify_webhook.is_some()),
        ("command", settings.notify_command.is_some()),
    ];
    for (name, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        let mut reader = state::expect(&app.place)?;
        begin_at(&file(&app.place.state_dir, name), reader.as_mut())?;
    }
    Ok(())
}

fn begin_at(file: &Path, reader: &mut dyn Reader) -> Result<(), Failure> {
    if file.exists() {
        return Ok(());
    }
    let mut feed = Feed::new(Cursor::default(), None);
    feed.skip_to_end(reader)?;
    keep(
        file,
        &Kept {
            cursor: feed.cursor.0,
            ..Kept::default()
        },
    )
}

fn keep(file: &Path, kept: &Kept) -> Result<(), Failure> {
    let text = serde_json::to_vec(kept).unwrap_or_default();
    place::write_private(file, &text).map_err(|error| Failure::io("remember who was told in", file, &error))
}

/// Tells until the engine has ended, and then what is left.
pub(crate) fn run(app: &App, settings: &Settings, ended: &CancellationToken) {
    let ways = [
        settings.notify_webhook.clone().map(|url| Way {
            name: "webhook",
            kind: Kind::Webhook(url),
        }),
        settings.notify_command.clone().map(|line| Way {
            name: "command",
            kind: Kind::Command(line),
        }),
    ];
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            app.terminal.warn(&format!("nobody is notified: {error}"));
            return;
        }
    };
    let env: Vec<(String, String)> = roster::passed_env(settings, &app.env).into_iter().collect();
    runtime.block_on(async {
        let all = ways.into_iter().flatten().map(|way| {
            let teller = Teller {
                app,
                http: Http::default(),
                env: &env,
                file: file(&app.place.state_dir, way.name),
                way,
            };
            teller.tell(ended)
        });
        let told = futures_util::future::join_all(all);
        let late = async {
            ended.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            _ = told => {}
            () = late => {}
        }
    });
}

fn file(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join(format!("notify-{name}.json"))
}

/// One way, and what it needs.
struct Teller<'a> {
    app: &'a App,
    http: Http,
    env: &'a [(String, String)],
    file: PathBuf,
    way: Way,
}

impl Teller<'_> {
    async fn tell(self, ended: &CancellationToken) {
        if let Err(failure) = self.tell_all(ended).await {
            self.app
                .terminal
                .warn(&format!("the {} is told nothing more: {failure}", self.way.name));
        }
    }

    async fn tell_all(&self, ended: &CancellationToken) -> Result<(), Failure> {
        let mut reader = state::expect(&self.app.place)?;
        begin_at(&self.file, reader.as_mut())?;
        let mut kept: Kept = std::fs::read(&self.file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let mut ear = None;
        loop {
            let over = ended.is_cancelled();
            let mut feed = Feed::new(Cursor(kept.cursor), None);
            let news = feed.next(reader.as_mut())?;
            for one in &news {
                let notify_on = reader.crew_policy()?.notify_on;
                let Some((kind, text)) = worth(one).filter(|(kind, _)| notify_on.contains(kind)) else {
                    continue;
                };
                let notice = notice(kind, &text, one);
                match self.deliver(one.event.cursor.0, kind, &notice).await {
                    Ok(()) => (kept.given_up, kept.why) = (0, None),
                    Err(why) => {
                        let said = format!("the {} was not told of {}: {why}", self.way.name, one.event.cursor.0);
                        self.app.terminal.warn(&said);
                        (kept.given_up, kept.why) = (kept.given_up + 1, Some(why));
                    }
                }
                kept.cursor = one.event.cursor.0;
                keep(&self.file, &kept)?;
            }
            if feed.cursor.0 != kept.cursor {
                kept.cursor = feed.cursor.0;
                keep(&self.file, &kept)?;
                continue;
            }
            if over {
                return Ok(());
            }
            wait(&self.app.place.state_dir, &mut ear, ended).await;
        }
    }

    /// Tries a few times; why not, when it does not succeed.
    async fn deliver(&self, id: u64, kind: Notify, notice: &Value) -> Result<(), String> {
        let mut why = String::new();
        for attempt in 0..TRIES_MAX {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
            }
            let sent = tokio::time::timeout(DEADLINE, self.once(id, kind, notice)).await;
            match sent.unwrap_or_else(|_| Err(format!("no answer within {} s", DEADLINE.as_secs()))) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(format!("{why} ({TRIES_MAX} tries)"))
    }

    async fn once(&self, id: u64, kind: Notify, notice: &Value) -> Result<(), String> {
        match &self.way.kind {
            Kind::Webhook(url) => {
                let headers = [
                    ("idempotency-key", id.to_string()),
                    ("x-wheelhouse-notice", kind.name().to_owned()),
                ];
                match self.http.post_json(url, &headers, notice.to_string()).await? {
                    200..=299 => Ok(()),
                    status => Err(format!("it answered {status}")),
                }
            }
            Kind::Command(line) => {
                let mut child = tokio::process::Command::new("sh")
                    .arg("-c")
                    .arg(line)
                    .current_dir(&self.app.place.project)
                    .env_clear()
                    .envs(self.env.iter().cloned())
                    .env("WHEELHOUSE_NOTICE", kind.name())
                    .env("WHEELHOUSE_NOTICE_TEXT", notice["text"].as_str().unwrap_or_default())
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(|error| error.to_string())?;
                if let Some(mut stdin) = child.stdin.take() {
                    // One that reads nothing is none the worse for it.
                    let _ = stdin.write_all(format!("{notice}\n").as_bytes()).await;
                }
                let status = child.wait().await.map_err(|error| error.to_string())?;
                match status.success() {
                    true => Ok(()),
                    false => Err(format!("it ended with {status}")),
                }
            }
        }
    }
}

/// Waits for news, or for the engine's end.
async fn wait(state_dir: &Path, ear: &mut Option<nudge::Subscription>, ended: &CancellationToken) {
    if ear.is_none() {
        *ear = nudge::subscribe(state_dir).await;
    }
    let heard = async {
        match ear {
            Some(ear) => ear.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        heard = heard => if !heard { *ear = None },
        () = tokio::time::sleep(LOOK) => {}
        () = ended.cancelled() => {}
    }
}

/// What of the history somebody may want to be told, and how it is said.
fn worth(news: &News) -> Option<(Notify, String)> {
    let about = match &news.key {
        Some(key) => document::task_name(news.event.run, key),
        None => news.event.run.to_string(),
    };
    let said = |kind| {
        Some((
            kind,
            format!("{about} {}", plain(&line::happened(&news.event.happened, &news.event))),
        ))
    };
    match &news.event.happened {
        Happened::InstanceSpawned { .. } => said(Notify::Spawn),
        Happened::InstanceEnded { .. } => said(Notify::Terminate),
        Happened::BudgetWarned { .. }
        | Happened::TaskHeld {
            held: Held::Budget { .. },
        } => said(Notify::CostThreshold),
        Happened::QuestionAsked { .. } => said(Notify::NeedsAttention),
        Happened::AttemptReported { kind, .. } if kind == "needs_attention" => said(Notify::NeedsAttention),
        Happened::TaskDone { outcome, .. } => match outcome {
            // What a person or an earlier failure ended is no news to anybody.
            Outcome::Succeeded | Outcome::Cancelled | Outcome::Skipped { .. } => None,
            _ => said(Notify::Error),
        },
        _ => None,
    }
}

fn notice(kind: Notify, text: &str, news: &News) -> Value {
    json!({
        "id": news.event.cursor.0,
        "notify": kind.name(),
        "text": text,
        "event": document::event(&news.event, news.key.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::event::Event;
    use wheelhouse_core::ids::{InstanceId, RunId};
    use wheelhouse_core::instance::End;
    use wheelhouse_core::time::Millis;

    use super::*;

    fn news(happened: Happened) -> News {
        News {
            event: Event {
                cursor: Cursor(7),
                at: Millis(1),
                run: RunId(2),
                task: None,
                happened,
            },
            key: None,
        }
    }

    #[test]
    fn failures_are_errors_and_what_was_wished_is_not() {
        let done = |outcome| {
            worth(&news(Happened::TaskDone {
                outcome,
                continues: false,
            }))
            .map(|(kind, _)| kind)
        };
        assert_eq!(done(Outcome::Crashed), Some(Notify::Error));
        assert_eq!(done(Outcome::Succeeded), None);
        assert_eq!(done(Outcome::Cancelled), None);
        let ended = Happened::InstanceEnded {
            instance: InstanceId(3),
            end: End::Terminated,
        };
        let (kind, text) = worth(&news(ended)).unwrap();
        assert_eq!((kind, text.as_str()), (Notify::Terminate, "r2 i3 ended: terminated"));
    }
}
