//! The history over HTTP: a page of it, or a stream that resumes where the reader broke off.
//!
//! A stream holds nothing in memory but a page of events: it reads on when its reader has taken what it got, so a slow
//! reader costs nobody anything, and one that stalls loses its connection. What it missed is in the store.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use wheelhouse_core::ids::Cursor;

use super::body::Asked;
use super::problem::{Code, Problem};
use super::route::{Answer, Query, Route, Shape};
use super::{Documented, Faces, STREAMS_MAX};
use crate::face::document;
use crate::face::failure::Failure;
use crate::face::feed::{Feed, News};
use crate::face::name;

/// How often a stream without news says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const FROM: &[Query] = &[
    ("since", "integer", "Only what came after this cursor."),
    ("run", "string", "Only of this run."),
];

pub(super) fn routes() -> Vec<Route> {
    let part = "A page of the history, oldest first; `cursor` is where to go on.";
    let whole = "The history as it grows, as server-sent events: from `Last-Event-ID`, else from `since`, else from now \
                 on.";
    let events = Answer::Document(&[("events", Shape::Any), ("cursor", Shape::Plain("integer"))]);
    vec![
        Route::get("/events", "listEvents", part, events, get(page))
            .query(FROM)
            .like(&["events"]),
        Route::get("/events/stream", "streamEvents", whole, Answer::Stream, get(stream)).query(FROM),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    since: Option<u64>,
    run: Option<String>,
}

async fn page(State(faces): State<Faces>, Asked(from): Asked<From>) -> Documented {
    let (events, cursor) = faces
        .desk
        .read(move |reader| {
            let run = match &from.run {
                Some(run) => Some(name::run(reader, run)?.id),
                None => None,
            };
            let mut feed = Feed::new(Cursor(from.since.unwrap_or(0)), run);
            let news = feed.next(reader)?;
            Ok((news, feed.cursor))
        })
        .await?;
    let events: Vec<_> = events
        .iter()
        .map(|news| document::event(&news.event, news.key.as_ref()))
        .collect();
    Ok(Json(json!({ "events": events, "cursor": cursor.0 })))
}

/// What a stream needs to go on.
struct Tail {
    faces: Faces,
    feed: Feed,
    ears: watch::Receiver<()>,
    ready: VecDeque<News>,
    _place: OwnedSemaphorePermit,
}

async fn stream(State(faces): State<Faces>, Asked(from): Asked<From>, headers: HeaderMap) -> Result<Response, Problem> {
    let Ok(place) = Arc::clone(&faces.streams).try_acquire_owned() else {
        return Err(Problem::new(
            Code::TooMany,
            format!("{STREAMS_MAX} event streams are open; no more at a time"),
        )
        .hint("`events?since=CURSOR` pages through the history without a stream"));
    };
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => Some(id.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(|| {
            Problem::new(
                Code::Usage,
                "`Last-Event-ID` is the id of an event of this stream: a number",
            )
        })?),
    };
    // The ears first: what happens while the beginning is looked for is news.
    let ears = faces.desk.news();
    let since = last.or(from.since);
    let feed = faces
        .desk
        .read(move |reader| {
            let run = match &from.run {
                Some(run) => Some(name::run(reader, run)?.id),
                None => None,
            };
            let mut feed = Feed::new(Cursor(since.unwrap_or(0)), run);
            if since.is_none() {
                feed.skip_to_end(reader)?;
            }
            Ok(feed)
        })
        .await?;
    let tail = Tail {
        faces,
        feed,
        ears,
        ready: VecDeque::new(),
        _place: place,
    };
    let events = futures_util::stream::unfold(tail, next);
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here"))
        .into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The next event; waits for it. The stream ends with the server, or when the store fails: its reader comes back.
async fn next(mut tail: Tail) -> Option<(Result<Event, Infallible>, Tail)> {
    loop {
        if let Some(news) = tail.ready.pop_front() {
            let document = document::event(&news.event, news.key.as_ref());
            let event = Event::default()
                .id(news.event.cursor.0.to_string())
                .event(news.event.happened.name())
                .data(document.to_string());
            return Some((Ok(event), tail));
        }
        tail.ears.mark_unchanged();
        let Tail {
            faces,
            feed,
            ears,
            ready: _,
            _place,
        } = tail;
        let read = move |reader: &mut dyn wheelhouse_core::store::Reader| -> Result<(Feed, Vec<News>), Failure> {
            let mut feed = feed;
            let news = feed.next(reader)?;
            Ok((feed, news))
        };
        let (feed, news) = faces.desk.read(read).await.ok()?;
        tail = Tail {
            faces,
            feed,
            ears,
            ready: news.into(),
            _place,
        };
        if tail.ready.is_empty() {
            let stop = tail.faces.stop.clone();
            tokio::select! {
                heard = tail.ears.changed() => heard.ok()?,
                () = stop.cancelled() => return None,
            }
        }
    }
}
