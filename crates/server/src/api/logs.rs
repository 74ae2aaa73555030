//! The raw output of a try, from an offset on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;
use serde::Deserialize;

use super::Faces;
use super::body::Asked;
use super::problem::Problem;
use super::route::{Answer, Route};
use crate::face::document::task_name;
use crate::face::failure::Failure;
use crate::face::{exit, name};

/// How much of a log one request gets, in bytes.
const CHUNK_MAX: u64 = 1 << 20;

pub(super) fn routes() -> Vec<Route> {
    let what = "The raw output of a try, also while it runs. `Next-Offset` says where to go on.";
    vec![
        Route::get("/tasks/{run}/{task}/logs", "getLogs", what, Answer::Bytes, get(logs))
            .query(&[
                ("attempt", "integer", "Of this try; the last one when absent."),
                ("offset", "integer", "From this byte on."),
                ("limit", "integer", "How many bytes at the most; never more than 1 MiB."),
            ])
            .like(&["logs"]),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    attempt: Option<u32>,
    offset: Option<u64>,
    limit: Option<u64>,
}

async fn logs(
    State(faces): State<Faces>,
    Path((run, task)): Path<(String, String)>,
    Asked(part): Asked<Part>,
) -> Result<Response, Problem> {
    let offset = part.offset.unwrap_or(0);
    let limit = part.limit.unwrap_or(CHUNK_MAX).min(CHUNK_MAX);
    let bytes = read(&faces, format!("{run}/{task}"), part.attempt, offset, limit).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (
            header::HeaderName::from_static("next-offset"),
            (offset + bytes.len() as u64).to_string(),
        ),
    ];
    Ok((headers, bytes).into_response())
}

/// The end of the last try's log.
pub(crate) async fn tail(faces: &Faces, task: String, most: u64) -> Result<Vec<u8>, Failure> {
    let (state_dir, named) = (faces.desk.state_dir().to_owned(), task.clone());
    let length = faces.desk.read(move |reader| {
        let task = name::task(reader, &named)?;
        let path = wheelhouse_engine::log_path(&state_dir, task.run, &task.key, task.attempt);
        Ok(std::fs::metadata(path).map_or(0, |about| about.len()))
    });
    let offset = length.await?.saturating_sub(most);
    read(faces, task, None, offset, most).await
}

/// Part of a log.
pub(crate) async fn read(
    faces: &Faces,
    task: String,
    attempt: Option<u32>,
    offset: u64,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let state_dir = faces.desk.state_dir().to_owned();
    faces
        .desk
        .read(move |reader| {
            let task = name::task(reader, &task)?;
            let named = task_name(task.run, &task.key);
            let attempt = attempt.unwrap_or(task.attempt);
            if attempt == 0 {
                return Err(Failure::new(
                    exit::NOT_FOUND,
                    format!("{named} was not tried yet: it is {}", task.state.name()),
                ));
            }
            let path = wheelhouse_engine::log_path(&state_dir, task.run, &task.key, attempt);
            let mut bytes = Vec::new();
            let copied = File::open(&path).and_then(|mut file| {
                file.seek(SeekFrom::Start(offset))?;
                file.take(limit).read_to_end(&mut bytes)
            });
            match copied {
                Ok(_) => Ok(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Err(
                        Failure::new(exit::NOT_FOUND, format!("try {attempt} of {named} left no log")).hint(format!(
                            "`wheelhouse result {named} --full` prints the output that was kept"
                        )),
                    )
                }
                Err(error) => Err(Failure::io("read the log", &path, &error)),
            }
        })
        .await
}
