//! The files that instances changed: listed from what was recorded, and fetched from where they work.
//!
//! Files are only fetched to places within the project: a caller of this server writes nowhere else by it.

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::instance::InstanceView;
use wheelhouse_core::spec::Isolation;
use wheelhouse_core::store::Reader;

use super::look::all_said;
use super::shape::{names, views};
use super::{Asked, Verb, verb};
use crate::face::crew::{self, What};
use crate::face::document::task_name;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::ports::{Plans, TreeVerb};

#[rustfmt::skip]
pub(super) fn verbs() -> Vec<Verb> {
    vec![
        verb!(Person Reads "list_instance_files", OneArgs, list,
            "List the files that an instance has changed.", "workspace artifacts output files"),
        verb!(Person Reads "list_multiple_instance_files", ManyArgs, list_many,
            "List the files that several instances have changed.", "workspace artifacts output files several"),
        verb!(Person Adds "retrieve_instance_file", FetchArgs, fetch,
            "Copy a file from where an instance works to a place in the project.", "get download copy artifact"),
        verb!(Person Adds "retrieve_multiple_instance_files", FetchManyArgs, fetch_many,
            "Copy several files from where instances work to places in the project.", "get download copy artifacts several"),
        verb!(Person Reads "collect_team_artifacts", OneArgs, collect,
            "List the files that an instance and everything below it have changed.", "team deliverables files"),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct OneArgs {
    #[serde(alias = "team_supervisor_id")]
    instance_id: String,
}

#[derive(Deserialize, JsonSchema)]
struct ManyArgs {
    #[serde(alias = "requests", deserialize_with = "names")]
    instance_ids: Vec<String>,
}

/// The files that an instance's turns changed, each once.
fn changed(reader: &mut dyn Reader, view: &InstanceView) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    for said in all_said(reader, view)? {
        if let What::Answer { answer, .. } = &said.what
            && let Some(task) = answer.task
            && let Some(result) = reader.result(task)?
        {
            files.extend(result.files);
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

async fn list(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let view = crew::instance(reader, &instance_id)?;
        Ok(json!(changed(reader, &view)?))
    });
    read.await
}

async fn list_many(asked: &Asked<'_>) -> Result<Value, Failure> {
    let ManyArgs { instance_ids } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let mut all = serde_json::Map::new();
        for name in instance_ids {
            let listed = crew::instance(reader, &name).and_then(|view| changed(reader, &view));
            let listed = match listed {
                Ok(files) => json!(files),
                Err(failure) => json!({ "error": failure.message }),
            };
            all.insert(name, listed);
        }
        Ok(Value::Object(all))
    });
    read.await
}

async fn collect(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    let read = asked.faces.desk.read(move |reader| {
        let top = crew::instance(reader, &instance_id)?;
        let mut below = vec![top.id];
        let all = views(reader, true)?;
        // Parents stand before their children.
        below.extend(all.iter().filter(|view| view.parent.is_some()).map(|view| view.id));
        let mut team = vec![top.id];
        for view in &all {
            if view.parent.is_some_and(|parent| team.contains(&parent)) {
                team.push(view.id);
            }
        }
        let mut artifacts = serde_json::Map::new();
        for view in all.iter().filter(|view| team.contains(&view.id)) {
            artifacts.insert(view.id.to_string(), json!(changed(reader, view)?));
        }
        Ok(json!({ "instance_id": top.id.to_string(), "artifacts": artifacts }))
    });
    read.await
}

#[derive(Deserialize, JsonSchema, Clone)]
struct FetchArgs {
    instance_id: String,
    filename: String,
    destination_path: String,
}

#[derive(Deserialize, JsonSchema)]
struct FetchManyArgs {
    #[serde(alias = "requests")]
    retrievals: Vec<FetchArgs>,
}

/// A path that goes nowhere but down.
fn inside(path: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(path);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    match is_plain && path.components().next().is_some() {
        true => Ok(path.to_owned()),
        false => Err(Failure::usage(format!(
            "`{}` leads out of where the instance works",
            path.display()
        ))),
    }
}

/// Where an instance works.
fn place(reader: &mut dyn Reader, plans: &dyn Plans, project: &Path, view: &InstanceView) -> Result<PathBuf, Failure> {
    if view.spec.isolation == Isolation::Worktree {
        let last = all_said(reader, view)?.iter().rev().find_map(|said| match &said.what {
            What::Answer { answer, .. } => answer.task,
            _ => None,
        });
        let task = match view.turn.or(last) {
            Some(task) => reader.task(task)?,
            None => None,
        };
        let Some(task) = task else {
            return Err(Failure::new(
                exit::NOT_FOUND,
                format!("{} has not worked yet, so there are no files of its own", view.id),
            ));
        };
        let told = plans.tree(TreeVerb::Open, &task_name(task.run, &task.key))?;
        return Ok(PathBuf::from(told["path"].as_str().unwrap_or_default()));
    }
    Ok(match &view.spec.cwd {
        Some(cwd) => project.join(cwd),
        None => project.to_owned(),
    })
}

fn copy(reader: &mut dyn Reader, plans: &dyn Plans, project: &Path, wish: &FetchArgs) -> Result<String, Failure> {
    let view = crew::instance(reader, &wish.instance_id)?;
    let place = place(reader, plans, project, &view)?;
    let from = place.join(inside(&wish.filename)?);
    let real = from
        .canonicalize()
        .map_err(|error| Failure::io("fetch", &from, &error))?;
    let top = place
        .canonicalize()
        .map_err(|error| Failure::io("look in", &place, &error))?;
    if !real.starts_with(&top) {
        return Err(Failure::usage(format!(
            "`{}` leads out of where the instance works",
            wish.filename
        )));
    }
    let wanted = Path::new(&wish.destination_path);
    let wanted = wanted.strip_prefix(project).unwrap_or(wanted);
    let mut to = project.join(inside(&wanted.display().to_string()).map_err(|_| {
        Failure::usage(format!(
            "`{}` is not in the project; files are only put there",
            wish.destination_path
        ))
    })?);
    if to.is_dir() {
        to = to.join(real.file_name().unwrap_or_default());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("make", parent, &error))?;
        let (parent, project) = (parent.canonicalize(), project.canonicalize());
        let within = matches!((&parent, &project), (Ok(parent), Ok(project)) if parent.starts_with(project));
        if !within {
            return Err(Failure::usage(format!(
                "`{}` is not in the project; files are only put there",
                wish.destination_path
            )));
        }
    }
    if to.is_symlink() {
        return Err(Failure::usage(format!(
            "`{}` is a link; it is not written through",
            to.display()
        )));
    }
    std::fs::copy(&real, &to).map_err(|error| Failure::io("write", &to, &error))?;
    Ok(to.display().to_string())
}

async fn fetch(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: FetchArgs = asked.takes()?;
    let plans = std::sync::Arc::clone(&asked.faces.plans);
    let project = asked.faces.code.project().to_owned();
    let copied = asked
        .faces
        .desk
        .read(move |reader| copy(reader, plans.as_ref(), &project, &wish));
    Ok(Value::String(copied.await?))
}

async fn fetch_many(asked: &Asked<'_>) -> Result<Value, Failure> {
    let FetchManyArgs { retrievals } = asked.takes()?;
    let plans = std::sync::Arc::clone(&asked.faces.plans);
    let project = asked.faces.code.project().to_owned();
    let copied = asked.faces.desk.read(move |reader| {
        let (mut retrieved, mut errors) = (Vec::new(), Vec::new());
        for wish in &retrievals {
            match copy(reader, plans.as_ref(), &project, wish) {
                Ok(path) => retrieved.push(json!({
                    "instance_id": wish.instance_id, "filename": wish.filename, "path": path,
                })),
                Err(failure) => errors.push(json!({
                    "instance_id": wish.instance_id, "filename": wish.filename, "error": failure.message,
                })),
            }
        }
        Ok(json!({ "retrieved": retrieved, "errors": errors }))
    });
    copied.await
}
