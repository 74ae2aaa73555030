//! Routes about teams: sets of instances that start together.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Wish;
use super::crew::spawned_documents;
use super::problem::Problem;
use super::route::{Answer, Route, Shape};
use super::{Documented, Faces};
use crate::face::crew_verb::{self, Below};
use crate::face::team::{self, Teams};
use crate::face::{crew, failure::Failure};
use crate::guard::Caller;

/// How to start a team.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Starting {
    /// What to tell the first member.
    #[serde(default)]
    task: Option<String>,
    /// Who does the turns of members that name no agent.
    #[serde(default)]
    agent: Option<String>,
    /// Below this instance.
    #[serde(default)]
    parent: Option<String>,
}

/// Who is to be in a team.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Saving {
    /// The instances.
    instances: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let many = Answer::Document(&[("teams", Shape::Any)]);
    let one = Answer::Document(&[("team", Shape::Any)]);
    let spawned = Answer::Document(&[("spawned", Shape::Any)]);
    let save_what = "Save living instances as a team, with their sessions; one of that name is replaced.";
    vec![
        read(
            "/teams",
            "listTeams",
            "The teams of this project, and the templates.",
            many,
            get(list),
        )
        .like(&["team list"]),
        read(
            "/teams/{team}",
            "getTeam",
            "A team, to look at or to edit.",
            one,
            get(show),
        )
        .like(&["team show"]),
        change("/teams/{team}", "saveTeam", save_what, one, post(save))
            .takes::<Saving>()
            .like(&["team save"]),
        change(
            "/teams/{team}/start",
            "startTeam",
            "Spawn the members of a team.",
            spawned,
            post(start),
        )
        .takes::<Starting>()
        .creates()
        .for_crew()
        .like(&["team start"]),
    ]
}

/// The teams of the project; files are read off the async threads.
async fn of_project<T: Send + 'static>(
    faces: &Faces,
    work: impl FnOnce(&Teams) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let teams = Teams::of(faces.desk.state_dir());
    faces.desk.read(move |_| work(&teams)).await
}

async fn list(State(faces): State<Faces>) -> Documented {
    let teams = of_project(&faces, |teams| Ok(team::list(teams))).await?;
    Ok(Json(json!({ "teams": teams })))
}

async fn show(State(faces): State<Faces>, Path(name): Path<String>) -> Documented {
    let team = of_project(&faces, move |teams| teams.team(&name)).await?;
    Ok(Json(json!({ "team": team })))
}

async fn save(State(faces): State<Faces>, Path(name): Path<String>, wish: Wish<Saving>) -> Documented {
    let teams = Teams::of(faces.desk.state_dir());
    let team = faces.desk.read(move |reader| {
        let views = wish.wish.instances.iter().map(|name| crew::instance(reader, name));
        let team = team::of_instances(&name, &views.collect::<Result<Vec<_>, Failure>>()?);
        teams.save(&team)?;
        Ok(team)
    });
    Ok(Json(json!({ "team": team.await? })))
}

async fn start(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    wish: Wish<Starting>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Starting { task, agent, parent } = wish.wish;
    let key = wish.once.map(|once| once.key);
    let teams = Teams::of(faces.desk.state_dir());
    let defaults = faces.plans.crew();
    let spawned = faces.desk.change(move |truth| {
        let wanted = crew_verb::members(teams.team(&name)?, task, agent.as_deref());
        let below = Below {
            parent: parent.as_deref(),
            key: key.as_deref(),
            ..Below::caller(caller.party)
        };
        let spawned = crew_verb::spawn_all(truth, &defaults, &below, wanted)?;
        spawned_documents(truth.reader, &spawned)
    });
    Ok((StatusCode::CREATED, Json(json!({ "spawned": spawned.await? }))))
}
