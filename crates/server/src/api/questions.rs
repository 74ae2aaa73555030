//! Routes about what waits for a person.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::Wish;
use super::route::{Answer, Route, Shape};
use super::{Documented, Faces};
use crate::face::document::{self, page};
use crate::face::{name, verb};

/// An answer.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Given {
    /// One of the question's choices, or any words when it has none.
    answer: String,
}

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let one_answer = Answer::Document(&[("question", Shape::One("Question"))]);
    let many = Answer::Document(&[("questions", Shape::Many("Question"))]);
    let open = "Everything that waits for a person, oldest first.";
    vec![
        read("/questions", "listQuestions", open, many, get(list)),
        read(
            "/questions/{question}",
            "getQuestion",
            "One question, open or answered.",
            one_answer,
            get(one),
        ),
        change(
            "/questions/{question}/answer",
            "answerQuestion",
            "Answer a question.",
            one_answer,
            post(answer),
        )
        .takes::<Given>()
        .like(&["answer"]),
        change(
            "/questions/{question}/approve",
            "approve",
            "Approve what waits.",
            one_answer,
            post(approve),
        )
        .like(&["approve"]),
        change(
            "/questions/{question}/deny",
            "deny",
            "Deny what waits.",
            one_answer,
            post(deny),
        )
        .like(&["deny"]),
    ]
}

async fn list(State(faces): State<Faces>) -> Documented {
    let questions = faces.desk.read(|reader| Ok(reader.open_questions()?)).await?;
    Ok(Json(json!({ "questions": page::questions(&questions) })))
}

async fn one(State(faces): State<Faces>, Path(id): Path<String>) -> Documented {
    let question = faces.desk.read(move |reader| name::question(reader, &id)).await?;
    Ok(Json(json!({ "question": document::Question::from(&question) })))
}

async fn give(faces: Faces, id: String, words: String) -> Documented {
    let question = faces.desk.change(move |truth| verb::answer(truth, &id, &words)).await?;
    Ok(Json(json!({ "question": document::Question::from(&question) })))
}

async fn answer(State(faces): State<Faces>, Path(id): Path<String>, wish: Wish<Given>) -> Documented {
    give(faces, id, wish.wish.answer).await
}

async fn approve(State(faces): State<Faces>, Path(id): Path<String>) -> Documented {
    give(faces, id, "approve".to_owned()).await
}

async fn deny(State(faces): State<Faces>, Path(id): Path<String>) -> Documented {
    give(faces, id, "deny".to_owned()).await
}
