//! Tells people what they asked to be told (`notify_on` of the policy): a webhook, a command. Beside the engine. A
//! collector of OpenTelemetry is told the same way of what ended ([`crate::otel`]).
//!
//! Each way out has a cursor of its own in the state directory, moved on when a notice was delivered or given up; so a
//! notice is delivered at least once, also when the engine dies between, and whoever receives it knows a repetition by
//! its id. A way that fails is tried a few times and then passed over, told of here and by `/health`; it never holds up
//! the work, which knows nothing of it. What a collector that is away was to be told is not passed over: it is in the
//! history as long as the run is, and nobody waits for it.

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
use crate::otel;
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
/// How often it is looked for news while no engine gives hints.
const LOOK: Duration = Duration::from_secs(2);
/// The same while one does: a hint may be lost.
const SAFETY_LOOK: Duration = Duration::from_secs(30);
/// How long a collector is left alone that is away.
const AWAY: Duration = Duration::from_secs(10);
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
    Collector(String),
}

/// What is told at once.
struct Parcel {
    /// The last event it is about.
    id: u64,
    /// What people are told; none: spans.
    kind: Option<Notify>,
    body: Value,
}

/// Why something was not told.
struct Fault {
    why: String,
    /// To say it again would help nobody.
    lasting: bool,
}

impl From<String> for Fault {
    fn from(why: String) -> Fault {
        Fault { why, lasting: false }
    }
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

fn ways(settings: &Settings) -> impl Iterator<Item = Way> {
    let webhook = settings.notify_webhook.clone().map(Kind::Webhook);
    let command = settings.notify_command.clone().map(Kind::Command);
    let collector = settings.otel_endpoint.as_deref().map(otel::address);
    [
        ("webhook", webhook),
        ("command", command),
        ("collector", collector.map(Kind::Collector)),
    ]
    .into_iter()
    .filter_map(|(name, kind)| Some(Way { name, kind: kind? }))
}

/// Whether somebody is to be told at all.
pub(crate) fn is_wanted(settings: &Settings) -> bool {
    ways(settings).next().is_some()
}

/// Remembers where to begin, for each way that is told for the first time: with what comes.
pub(crate) fn begin(app: &App, settings: &Settings) -> Result<(), Failure> {
    for way in ways(settings) {
        let mut reader = state::expect(&app.place)?;
        begin_at(&file(&app.place.state_dir, way.name), reader.as_mut())?;
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
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            app.terminal.warn(&format!("nobody is notified: {error}"));
            return;
        }
    };
    let env: Vec<(String, String)> = roster::passed_env(settings, &app.env).into_iter().collect();
    runtime.block_on(async {
        let all = ways(settings).map(|way| {
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
            let mut away = false;
            for some in news.chunks(self.way.at_once()) {
                let Some(parcel) = self.parcel(reader.as_mut(), some)? else {
                    continue;
                };
                away = !self.settle(&parcel, &mut kept, over).await;
                keep(&self.file, &kept)?;
                if away {
                    break;
                }
            }
            if away && over {
                return Ok(());
            }
            if away {
                tokio::select! {
                    () = tokio::time::sleep(AWAY) => {}
                    () = ended.cancelled() => {}
                }
                continue;
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

    /// What there is to be said about some news.
    fn parcel(&self, reader: &mut dyn Reader, news: &[News]) -> Result<Option<Parcel>, Failure> {
        let Some(last) = news.last() else {
            return Ok(None);
        };
        let id = last.event.cursor.0;
        if let Kind::Collector(_) = self.way.kind {
            let request = otel::request(reader, news)?;
            return Ok(request.map(|body| Parcel { id, kind: None, body }));
        }
        let notify_on = reader.crew_policy()?.notify_on;
        let wanted = worth(last).filter(|(kind, _)| notify_on.contains(kind));
        Ok(wanted.map(|(kind, text)| Parcel {
            id,
            kind: Some(kind),
            body: notice(kind, &text, last),
        }))
    }

    /// Delivers or passes over, and says in `kept` which. No: neither, because a collector is away.
    async fn settle(&self, parcel: &Parcel, kept: &mut Kept, over: bool) -> bool {
        let stays = matches!(self.way.kind, Kind::Collector(_));
        let tries_max = if stays && over { 1 } else { TRIES_MAX };
        match self.deliver(parcel, tries_max).await {
            Ok(()) => (kept.given_up, kept.why) = (0, None),
            Err(fault) => {
                let away = stays && !fault.lasting;
                // Of one that is away it is said once.
                if !away || kept.given_up == 0 {
                    let said = format!("the {} was not told of {}: {}", self.way.name, parcel.id, fault.why);
                    self.app.terminal.warn(&said);
                }
                (kept.given_up, kept.why) = (kept.given_up + 1, Some(fault.why));
                if away {
                    return false;
                }
            }
        }
        kept.cursor = parcel.id;
        true
    }

    /// Tries a few times; why not, when it does not succeed.
    async fn deliver(&self, parcel: &Parcel, tries_max: u32) -> Result<(), Fault> {
        let mut why = String::new();
        for attempt in 0..tries_max {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
            }
            let late = || Err(format!("no answer within {} s", DEADLINE.as_secs()).into());
            let sent = tokio::time::timeout(DEADLINE, self.once(parcel)).await;
            match sent.unwrap_or_else(|_| late()) {
                Ok(()) => return Ok(()),
                Err(fault) if fault.lasting => return Err(fault),
                Err(fault) => why = fault.why,
            }
        }
        Err(format!("{why} ({tries_max} tries)").into())
    }

    async fn once(&self, parcel: &Parcel) -> Result<(), Fault> {
        let kind = parcel.kind.map(Notify::name).unwrap_or_default();
        match &self.way.kind {
            Kind::Collector(url) => match self.http.post_json(url, &[], parcel.body.to_string()).await? {
                200..=299 => Ok(()),
                status => Err(Fault {
                    why: format!("it answered {status}"),
                    // OTLP's own rule: too slow, too many, and what is wrong with the server may be said again.
                    lasting: (400..500).contains(&status) && status != 408 && status != 429,
                }),
            },
            Kind::Webhook(url) => {
                let headers = [
                    ("idempotency-key", parcel.id.to_string()),
                    ("x-wheelhouse-notice", kind.to_owned()),
                ];
                match self.http.post_json(url, &headers, parcel.body.to_string()).await? {
                    200..=299 => Ok(()),
                    status => Err(format!("it answered {status}").into()),
                }
            }
            Kind::Command(line) => {
                let mut child = tokio::process::Command::new("sh")
                    .arg("-c")
                    .arg(line)
                    .current_dir(&self.app.place.project)
                    .env_clear()
                    .envs(self.env.iter().cloned())
                    .env("WHEELHOUSE_NOTICE", kind)
                    .env(
                        "WHEELHOUSE_NOTICE_TEXT",
                        parcel.body["text"].as_str().unwrap_or_default(),
                    )
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(|error| error.to_string())?;
                if let Some(mut stdin) = child.stdin.take() {
                    // One that reads nothing is none the worse for it.
                    let _ = stdin.write_all(format!("{}\n", parcel.body).as_bytes()).await;
                }
                let status = child.wait().await.map_err(|error| error.to_string())?;
                match status.success() {
                    true => Ok(()),
                    false => Err(format!("it ended with {status}").into()),
                }
            }
        }
    }
}

impl Way {
    /// Of how many events it is told at once.
    fn at_once(&self) -> usize {
        match self.kind {
            Kind::Webhook(_) | Kind::Command(_) => 1,
            Kind::Collector(_) => usize::MAX,
        }
    }
}

/// Waits for news, or for the engine's end.
async fn wait(state_dir: &Path, ear: &mut Option<nudge::Subscription>, ended: &CancellationToken) {
    if ear.is_none() {
        *ear = nudge::subscribe(state_dir).await;
    }
    let pause = if ear.is_some() { SAFETY_LOOK } else { LOOK };
    let heard = async {
        match ear {
            Some(ear) => ear.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        heard = heard => if !heard { *ear = None },
        () = tokio::time::sleep(pause) => {}
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
