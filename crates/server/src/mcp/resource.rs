//! Resources: runs and tasks by URI, and who wants to hear when they change.
//!
//! `run://r7`, `task://r7/draft`, `task://r7/draft/result`, `task://r7/draft/logs`, `instance://i3`; and those of
//! [`compat`](super::compat). Clients up to 2025-11-25 subscribe in
//! a session; later ones listen with a request that stays open. Both are told through [`Watchers`].

use std::collections::BTreeMap;

use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParam};
use rmcp::service::{Peer, RoleServer};
use serde_json::json;
use tokio::sync::{Mutex, Notify};
use wheelhouse_core::ids::Cursor;
use wheelhouse_core::store::Reader;

use super::compat::{self, Seen};
use super::tool::Toolset;
use crate::api::{Faces, logs};
use crate::face::document::{self, page, task_name};
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::feed::Feed;
use crate::face::moment::now;
use crate::face::{crew, gather, name};

/// How many runs and tasks a list names, newest runs first.
const LISTED_MAX: usize = 100;
/// How much of a log a resource holds: its end, in bytes.
const LOG_MAX: u64 = 64 << 10;
/// How many subscriptions there may be; a further one is refused.
const WATCHED_MAX: usize = 4_096;

/// What a URI names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Named {
    /// A run.
    Run(String),
    /// A task.
    Task(String),
    /// What a task produced.
    Result(String),
    /// The end of a task's log.
    Logs(String),
    /// An instance with what it was told, did and said.
    Instance(String),
    /// One of those that clients of systemprompt's orchestrator know.
    Compat(Seen),
}

impl Named {
    /// Reads a URI.
    pub(crate) fn parse(uri: &str) -> Result<Named, Failure> {
        if let Some(seen) = Seen::parse(uri) {
            return Ok(Named::Compat(seen));
        }
        let found = if let Some(run) = uri.strip_prefix("run://") {
            (!run.is_empty() && !run.contains('/')).then(|| Named::Run(run.to_owned()))
        } else if let Some(rest) = uri.strip_prefix("task://") {
            match rest.split('/').collect::<Vec<_>>().as_slice() {
                [run, task] => Some(Named::Task(format!("{run}/{task}"))),
                [run, task, "result"] => Some(Named::Result(format!("{run}/{task}"))),
                [run, task, "logs"] => Some(Named::Logs(format!("{run}/{task}"))),
                _ => None,
            }
        } else if let Some(instance) = uri.strip_prefix("instance://") {
            (!instance.is_empty() && !instance.contains('/')).then(|| Named::Instance(instance.to_owned()))
        } else {
            None
        };
        found.ok_or_else(|| {
            Failure::new(
                exit::NOT_FOUND,
                format!("`{uri}` names nothing here; there is `run://r7`, `task://r7/draft`, `…/result`, `…/logs`, `instance://i3`"),
            )
        })
    }
}

/// The URIs that stand for many.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = |uri: &str, name: &str, about: &str, kind: &str| {
        ResourceTemplate::new(uri, name)
            .with_description(about)
            .with_mime_type(kind)
    };
    vec![
        template(
            "instance://{instance}",
            "instance",
            "An instance with what it was told, did and said last",
            "application/json",
        ),
        template("run://{run}", "run", "A run with its tasks", "application/json"),
        template(
            "task://{run}/{task}",
            "task",
            "A task and its tries",
            "application/json",
        ),
        template(
            "task://{run}/{task}/result",
            "result",
            "What a task produced",
            "application/json",
        ),
        template(
            "task://{run}/{task}/logs",
            "logs",
            "The end of a task's raw output",
            "text/plain",
        ),
    ]
}

/// The newest runs and their tasks.
pub(crate) async fn list(faces: &Faces, set: Toolset) -> Result<Vec<Resource>, Failure> {
    if set == Toolset::Tasks {
        let theirs = compat::resources(faces).await?;
        let resource = |(uri, name, about): (String, String, String)| {
            Resource::new(uri, name)
                .with_description(about)
                .with_mime_type("application/json")
        };
        return Ok(theirs.into_iter().map(resource).collect());
    }
    let found = faces.desk.read(|reader| {
        let mut resources = Vec::new();
        for run in reader.runs(LISTED_MAX as u32)? {
            if resources.len() >= LISTED_MAX {
                break;
            }
            let about = format!("{}, {}", run.name, document::run_state(run.state));
            resources.push(
                Resource::new(format!("run://{}", run.id), run.id.to_string())
                    .with_description(about)
                    .with_mime_type("application/json"),
            );
            let room = LISTED_MAX.saturating_sub(resources.len()).min(20);
            for task in reader.tasks(run.id, 0, room as u32)? {
                let named = task_name(task.run, &task.key);
                resources.push(
                    Resource::new(format!("task://{named}"), named)
                        .with_description(task.state.name())
                        .with_mime_type("application/json"),
                );
            }
        }
        let room = LISTED_MAX.saturating_sub(resources.len());
        for view in reader.instances(Default::default(), None, room as u32)? {
            resources.push(
                Resource::new(format!("instance://{}", view.id), view.spec.name.clone())
                    .with_description(view.state.name())
                    .with_mime_type("application/json"),
            );
        }
        Ok(resources)
    });
    found.await
}

/// What a resource holds.
pub(crate) async fn read(faces: &Faces, uri: &str) -> Result<ReadResourceResult, Failure> {
    let named = Named::parse(uri)?;
    let contents = match named {
        Named::Logs(task) => {
            let bytes = logs::tail(faces, task, LOG_MAX).await?;
            ResourceContents::text(String::from_utf8_lossy(&bytes), uri).with_mime_type("text/plain")
        }
        Named::Compat(seen) => {
            let document = seen.read(faces).await?;
            ResourceContents::text(document.to_string(), uri).with_mime_type("application/json")
        }
        Named::Run(_) | Named::Task(_) | Named::Result(_) | Named::Instance(_) => {
            let document = faces.desk.read(move |reader| document_of(reader, &named)).await?;
            ResourceContents::text(document.to_string(), uri).with_mime_type("application/json")
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

fn document_of(reader: &mut dyn Reader, named: &Named) -> Result<serde_json::Value, Failure> {
    match named {
        Named::Run(run) => {
            let run = name::run(reader, run)?;
            let report = gather::report(reader, run, now())?;
            page::run(reader, &report)
        }
        Named::Instance(name) => {
            let view = crew::instance(reader, name)?;
            let from = last_page(reader)?;
            let (said, cursor) = crew::output(reader, &view, from)?;
            let lines: Vec<_> = said.iter().map(document::crew::said).collect();
            Ok(json!({ "instance": document::crew::instance(&view), "output": lines, "cursor": cursor.0 }))
        }
        Named::Compat(_) => Err(Failure::usage("this resource is read elsewhere")),
        Named::Task(task) | Named::Logs(task) => {
            let task = name::task(reader, task)?;
            Ok(page::task(&gather::detail(reader, task)?))
        }
        Named::Result(task) => {
            let task = name::task(reader, task)?;
            page::result(reader, &task)
        }
    }
}

/// How many instances a list is watched over.
const INSTANCES_MAX: u32 = 10_000;
/// How much of the history an instance is shown with, in events.
const EVENTS_SHOWN: u64 = 500;

/// Where the last stretch of the history begins.
fn last_page(reader: &mut dyn Reader) -> Result<Cursor, Failure> {
    let mut feed = Feed::new(Cursor::default(), None);
    feed.skip_to_end(reader)?;
    Ok(Cursor(feed.cursor.0.saturating_sub(EVENTS_SHOWN)))
}

fn instance_mark(reader: &mut dyn Reader, name: &str) -> Result<String, Failure> {
    let view = crew::instance(reader, name)?;
    Ok(format!(
        "{:?} {} {} {}",
        view.state, view.turns, view.queued, view.notes
    ))
}

/// What changes when the resource does.
fn mark(reader: &mut dyn Reader, named: &Named) -> Result<String, Failure> {
    Ok(match named {
        Named::Run(run) => {
            let run = name::run(reader, run)?;
            format!("{:?} {:?}", run.state, run.counts)
        }
        Named::Instance(name) => instance_mark(reader, name)?,
        Named::Compat(seen) => match seen.id() {
            Some(id) => instance_mark(reader, id)?,
            None => {
                let all = reader.instances(Default::default(), None, INSTANCES_MAX)?;
                let marks: Vec<String> = all.iter().map(|view| format!("{} {:?}", view.id, view.state)).collect();
                marks.join(",")
            }
        },
        Named::Task(task) | Named::Result(task) | Named::Logs(task) => {
            let task = name::task(reader, task)?;
            format!("{:?} {} {}", task.state, task.attempt, task.fence)
        }
    })
}

/// What has changed since it was last looked at.
pub(crate) struct Watched {
    uris: Vec<(String, Named)>,
    marks: BTreeMap<String, Option<String>>,
}

impl Watched {
    /// Watches these from now on.
    pub(crate) async fn begin(faces: &Faces, uris: &[String]) -> Result<Watched, Failure> {
        let uris = uris
            .iter()
            .map(|uri| Ok((uri.clone(), Named::parse(uri)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let mut watched = Watched {
            uris,
            marks: BTreeMap::new(),
        };
        watched.changed(faces).await?;
        Ok(watched)
    }

    /// Those that changed.
    pub(crate) async fn changed(&mut self, faces: &Faces) -> Result<Vec<String>, Failure> {
        let uris = self.uris.clone();
        let fresh = faces
            .desk
            .read(move |reader| {
                Ok(uris
                    .into_iter()
                    .map(|(uri, named)| (uri, mark(reader, &named).ok()))
                    .collect())
            })
            .await?;
        let before = std::mem::replace(&mut self.marks, fresh);
        let changed = self
            .marks
            .iter()
            .filter(|(uri, mark)| before.get(*uri).is_some_and(|before| before != *mark))
            .map(|(uri, _)| uri.clone());
        Ok(changed.collect())
    }
}

/// A subscription of a session.
struct Watcher {
    peer: Peer<RoleServer>,
    watched: Watched,
}

/// Everything that sessions have subscribed to. Locked while changes are looked for, so that nobody is told of what it has
/// given up before.
#[derive(Default)]
pub(crate) struct Watchers {
    all: Mutex<Vec<Watcher>>,
    added: Notify,
}

impl Watchers {
    /// One more.
    pub(crate) async fn add(&self, faces: &Faces, peer: Peer<RoleServer>, uri: String) -> Result<(), Failure> {
        let watched = Watched::begin(faces, &[uri]).await?;
        let mut all = self.all.lock().await;
        all.retain(|watcher| !watcher.peer.is_transport_closed());
        if all.len() >= WATCHED_MAX {
            return Err(Failure::new(
                exit::REFUSED,
                format!("{WATCHED_MAX} subscriptions are open; no more at a time"),
            ));
        }
        all.push(Watcher { peer, watched });
        self.added.notify_one();
        Ok(())
    }

    /// This URI no more, for whoever subscribed through a session that is gone or is this one.
    pub(crate) async fn remove(&self, uri: &str, is_theirs: impl Fn(&Peer<RoleServer>) -> bool) {
        let mut all = self.all.lock().await;
        all.retain(|watcher| {
            let is_it = watcher.watched.uris.iter().any(|(watched, _)| watched == uri);
            !(watcher.peer.is_transport_closed() || is_it && is_theirs(&watcher.peer))
        });
    }

    /// Tells everybody what changed, for ever. While nobody has subscribed it listens to nothing.
    pub(crate) async fn carry(&self, faces: &Faces) {
        loop {
            self.added.notified().await;
            let mut ears = faces.desk.news();
            while self.tell(faces).await && ears.changed().await.is_ok() {}
        }
    }

    /// Tells everybody what changed; whether anybody is there.
    async fn tell(&self, faces: &Faces) -> bool {
        let mut all = self.all.lock().await;
        all.retain(|watcher| !watcher.peer.is_transport_closed());
        for watcher in all.iter_mut() {
            // A store that cannot be read now is looked at again with the next news.
            for uri in watcher.watched.changed(faces).await.unwrap_or_default() {
                let update = ResourceUpdatedNotificationParam::new(uri);
                let _ = watcher.peer.notify_resource_updated(update).await;
            }
        }
        !all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_one_thing_each() {
        assert_eq!(Named::parse("run://r7").unwrap(), Named::Run("r7".into()));
        assert_eq!(Named::parse("task://r7/a").unwrap(), Named::Task("r7/a".into()));
        assert_eq!(Named::parse("task://r7/a/logs").unwrap(), Named::Logs("r7/a".into()));
        assert_eq!(
            Named::parse("task://r7/a/result").unwrap(),
            Named::Result("r7/a".into())
        );
        for bad in [
            "",
            "run://",
            "run://r7/a",
            "task://r7",
            "task://r7/a/b",
            "task://r7/a/logs/x",
            "file:///etc/passwd",
        ] {
            assert!(Named::parse(bad).is_err(), "{bad}");
        }
    }
}
