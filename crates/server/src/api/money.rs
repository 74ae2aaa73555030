//! Routes about money: budgets, prices, and what was left out of prompts.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::{Asked, Wish};
use super::route::{Answer, Route, Shape};
use super::{Documented, Faces};
use crate::face::crew::person_only;
use crate::face::moment::now;
use crate::face::{budget, economy, name};
use crate::guard::Caller;
use crate::ports::ReportWish;
use crate::token::Scope;

/// A change of a budget.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct BudgetWish {
    /// `day`, `hour`, `session`, a run (`r7`) or a task (`r7/draft`).
    scope: String,
    /// `{"raise": "2.50"}` or `{"set": "10"}`, in dollars; `{"set": "none"}` takes your own limit away.
    change: budget::Change,
}

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let budgets = Answer::Document(&[("budgets", Shape::Any), ("allowances", Shape::Any)]);
    let done = Answer::Document(&[("done", Shape::Plain("string"))]);
    let prices = Answer::Document(&[("as_of", Shape::Any), ("unit", Shape::Any), ("prices", Shape::Any)]);
    let anew = Answer::Document(&[("period", Shape::Any), ("rows", Shape::Any), ("total", Shape::Any)]);
    let anew_what =
        "A month of the ledger priced anew by the table, each entry by its own day, beside what was booked.";
    let account = Answer::Document(&[
        ("run", Shape::Plain("string")),
        ("layers", Shape::Any),
        ("receipts", Shape::Any),
        ("soft_lines", Shape::Any),
        ("skip_audits", Shape::Any),
    ]);
    let left_out = "What was left out of a run's prompts, and why: the receipts of the layers.";
    vec![
        read(
            "/budgets",
            "listBudgets",
            "What may be spent, is held and spent, and what accounts may still use.",
            budgets,
            get(show),
        )
        .like(&["budget"]),
        Route {
            // Whose money it is decides; who only steers does not.
            scope: Scope::Admin,
            ..change("/budgets", "changeBudget", "Change a limit.", done, post(set))
                .takes::<BudgetWish>()
                .like(&["budget raise", "budget set"])
        },
        read("/prices", "listPrices", "What models cost today.", prices, get(list))
            .query(&[("model", "string", "Only models whose name contains this.")])
            .like(&["prices"]),
        read("/prices/reprice", "repriceMonth", anew_what, anew, get(reprice))
            .query(&[(
                "month",
                "string",
                "This month, such as `2026-11`; the present one when absent.",
            )])
            .like(&["prices reprice"]),
        read(
            "/report",
            "getReport",
            "What a month, a period or a run cost, and what came of it.",
            Answer::Document(&[("period", Shape::Any), ("variable", Shape::Any), ("work", Shape::Any)]),
            get(report),
        )
        .query(&[
            ("since", "string", "From this UTC day on, such as `2026-11-01`."),
            ("until", "string", "Up to this day; today when absent."),
            (
                "month",
                "string",
                "This month, such as `2026-11`; the present one when nothing is said.",
            ),
            ("run", "string", "This run in place of a period."),
        ])
        .like(&["report"]),
        read("/runs/{run}/economy", "getEconomy", left_out, account, get(receipts)).like(&["economy"]),
    ]
}

async fn show(State(faces): State<Faces>) -> Documented {
    let (budgets, allowances) = faces
        .desk
        .read(|reader| Ok((reader.budgets(now())?, reader.allowances()?)))
        .await?;
    Ok(Json(json!({ "budgets": budgets, "allowances": allowances })))
}

async fn set(State(faces): State<Faces>, Extension(caller): Extension<Caller>, wish: Wish<BudgetWish>) -> Documented {
    person_only(wheelhouse_core::caller::Caller(caller.party), "change budgets")?;
    let BudgetWish { scope, change } = wish.wish;
    let said = faces.desk.change(move |truth| budget::change(truth, &scope, &change));
    Ok(Json(json!({ "done": said.await? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    model: Option<String>,
}

async fn list(State(faces): State<Faces>, Asked(asked): Asked<Model>) -> Documented {
    let plans = std::sync::Arc::clone(&faces.plans);
    let prices = faces.desk.read(move |_| plans.prices(asked.model.as_deref()));
    Ok(Json(prices.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Month {
    month: Option<String>,
}

async fn reprice(State(faces): State<Faces>, Asked(asked): Asked<Month>) -> Documented {
    let plans = std::sync::Arc::clone(&faces.plans);
    let anew = faces.desk.read(move |_| plans.reprice(asked.month.as_deref()));
    Ok(Json(anew.await?))
}

async fn report(State(faces): State<Faces>, Asked(wish): Asked<ReportWish>) -> Documented {
    let plans = std::sync::Arc::clone(&faces.plans);
    Ok(Json(faces.desk.read(move |_| plans.report(&wish)).await?))
}

async fn receipts(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    let account = faces.desk.read(move |reader| {
        let run = name::run(reader, &run)?;
        economy::account(reader, run)
    });
    Ok(Json(account.await?.document()))
}
