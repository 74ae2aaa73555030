//! Routes that look at the project rather than at the state: who would do a task, where its code is, what isolated
//! tasks changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::Wish;
use super::route::{Answer, Route, Shape};
use super::{Documented, Faces};
use crate::face::find::{Ask, COUNT};
use crate::ports::{RouteWish, TreeVerb};
use crate::token::Scope;

/// How many places an answer names at the most.
const PLACES_MAX: usize = 200;

/// A question about the code.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Words, names, paths, a stack trace.
    text: String,
    /// So many answers.
    #[serde(default)]
    count: Option<usize>,
    /// Only below this path of the project.
    #[serde(default)]
    below: Option<String>,
    /// Each file once, by its best place.
    #[serde(default)]
    files: bool,
    /// Only code.
    #[serde(default)]
    code: bool,
    /// No tests.
    #[serde(default)]
    no_tests: bool,
    /// So many lines of each place.
    #[serde(default)]
    lines: usize,
}

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let choice = Answer::Document(&[
        ("choice", Shape::Any),
        ("analysis", Shape::Any),
        ("candidates", Shape::Any),
    ]);
    let places = Answer::Document(&[("query", Shape::Any), ("hits", Shape::Any), ("index", Shape::Any)]);
    let diff = Answer::Document(&[
        ("task", Shape::Plain("string")),
        ("files", Shape::Any),
        ("patch", Shape::Any),
    ]);
    let merged = Answer::Document(&[("merged", Shape::Plain("boolean"))]);
    let kept = Answer::Document(&[("task", Shape::Plain("string")), ("kept_at", Shape::Any)]);
    let place = Answer::Document(&[("task", Shape::Plain("string")), ("path", Shape::Plain("string"))]);
    vec![
        Route {
            scope: Scope::Read,
            ..change("/route", "route", "Who would do a task, and why.", choice, post(route))
                .takes::<RouteWish>()
                .like(&["route"])
        },
        Route {
            scope: Scope::Read,
            ..change(
                "/find",
                "find",
                "The places in the project that a question is about.",
                places,
                post(find),
            )
            .takes::<Question>()
            .like(&["find"])
        },
        read(
            "/tasks/{run}/{task}/diff",
            "getDiff",
            "What an isolated task changed.",
            diff,
            get(changed),
        )
        .like(&["diff"]),
        read(
            "/tasks/{run}/{task}/place",
            "getPlace",
            "Where an isolated task works.",
            place,
            get(open),
        )
        .like(&["open"]),
        change(
            "/tasks/{run}/{task}/merge",
            "mergeTask",
            "Bring its work into the branch that is checked out.",
            merged,
            post(merge),
        )
        .like(&["merge"]),
        change(
            "/runs/{run}/merge",
            "mergeRun",
            "Bring all that a run has merged into the branch that is checked out.",
            merged,
            post(merge_run),
        ),
        change(
            "/tasks/{run}/{task}/discard",
            "discardTask",
            "Take its tree away; its work is kept for a while.",
            kept,
            post(discard),
        )
        .like(&["discard"]),
    ]
}

async fn route(State(faces): State<Faces>, wish: Wish<RouteWish>) -> Documented {
    let plans = Arc::clone(&faces.plans);
    Ok(Json(faces.desk.read(move |_| plans.route(&wish.wish)).await?))
}

async fn find(State(faces): State<Faces>, wish: Wish<Question>) -> Documented {
    let Question {
        text,
        count,
        below,
        files,
        code,
        no_tests,
        lines,
    } = wish.wish;
    let ask = Ask {
        text,
        count: count.unwrap_or(COUNT).min(PLACES_MAX),
        below,
        files,
        code,
        no_tests,
        lines,
    };
    let code = Arc::clone(&faces.code);
    Ok(Json(json!(faces.desk.read(move |_| code.find(&ask)).await?)))
}

/// What a verb on a tree comes to; it may take git a while, off the async threads.
async fn tree(faces: &Faces, verb: TreeVerb, what: String) -> Documented {
    let plans = Arc::clone(&faces.plans);
    Ok(Json(faces.desk.read(move |_| plans.tree(verb, &what)).await?))
}

async fn changed(State(faces): State<Faces>, Path((run, task)): Path<(String, String)>) -> Documented {
    tree(&faces, TreeVerb::Diff, format!("{run}/{task}")).await
}

async fn open(State(faces): State<Faces>, Path((run, task)): Path<(String, String)>) -> Documented {
    tree(&faces, TreeVerb::Open, format!("{run}/{task}")).await
}

async fn merge(State(faces): State<Faces>, Path((run, task)): Path<(String, String)>) -> Documented {
    tree(&faces, TreeVerb::Merge, format!("{run}/{task}")).await
}

async fn merge_run(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    tree(&faces, TreeVerb::Merge, run).await
}

async fn discard(State(faces): State<Faces>, Path((run, task)): Path<(String, String)>) -> Documented {
    tree(&faces, TreeVerb::Discard, format!("{run}/{task}")).await
}
