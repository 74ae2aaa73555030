//! What concerns the project rather than the work: its code, who should do what, what it may cost, what isolated tasks
//! changed.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::brief::cut;
use super::call::{Answer, Call};
use super::lean::WhatArgs;
use super::more::NoArgs;
use super::tool::{AnyDocument, Tool, arguments, tool};
use crate::face::budget;
use crate::face::crew::person_only;
use crate::face::document::task_name;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::find::Ask;
use crate::face::moment::now;
use crate::face::verb;
use crate::ports::{ReportWish, RouteWish, TreeVerb};
use crate::token::Scope;

/// How many places an answer names when nobody says.
const PLACES: usize = 8;
/// How many places an answer names at the most.
const PLACES_MAX: usize = 50;
/// How much of a line is shown, in characters.
const LINE_MAX: usize = 100;
/// How much of a patch an answer holds, in bytes.
const PATCH_MAX: usize = 8 << 10;

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool!(Full Person Reads "find_code", FindArgs => AnyDocument, find_code,
            "Find the places in the project's code that a question is about, with line numbers.",
            "search grep symbol definition function class defined where is locate file retrieval semantic"),
        tool!(Full Person Reads "route", RouteWish => AnyDocument, route,
            "Say who would do a task and why: which agent, at what cost, or that you should do it yourself.",
            "choose agent model recommend which best cheap"),
        tool!(Full Person Reads "budgets", NoArgs => AnyDocument, budgets,
            "Show what may be spent, what is held and spent, and what accounts may still use.", "cost money total so far quota"),
        tool!(Full Person Ends "set_budget", BudgetArgs => AnyDocument, set_budget,
            "Change what may be spent: of the day, the hour, the session, a run or a task.", "limit money raise cost dollars"),
        tool!(Full Person Reads "report", ReportWish => AnyDocument, report,
            "Say what a month, a period or a run cost, by model, and what came of it.",
            "spent spending money tokens statistics success rate analytics monthly"),
        tool!(Full Person Adds "rate", RateArgs => AnyDocument, rate,
            "Keep what your person thinks of a done task's work: 1 to 5 stars.", "stars feedback satisfaction quality"),
        tool!(Full Person Reads "diff", WhatArgs => AnyDocument, diff,
            "Show what an isolated task changed.", "patch changes worktree files"),
        tool!(Full Person Ends "merge", WhatArgs => AnyDocument, merge,
            "Bring the work of an isolated task, or all that a run has merged, into the branch that is checked out.",
            "deliver apply integrate branch"),
        tool!(Full Person Ends "discard", WhatArgs => AnyDocument, discard,
            "Take the tree of an isolated task away; its work is kept for a while.", "throw away drop worktree"),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FindArgs {
    /// Words, names, paths, a stack trace.
    #[serde(alias = "question", alias = "text")]
    query: String,
    #[serde(default)]
    count: Option<usize>,
    /// Only below this path.
    #[serde(default, alias = "path")]
    below: Option<String>,
    /// Only code, no prose or data.
    #[serde(default)]
    code: bool,
    #[serde(default)]
    no_tests: bool,
    /// Lines to show of each place.
    #[serde(default)]
    lines: usize,
}

async fn find_code(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: FindArgs = arguments(call)?;
    let ask = Ask {
        count: asked.count.unwrap_or(PLACES).min(PLACES_MAX),
        below: asked.below,
        code: asked.code,
        no_tests: asked.no_tests,
        lines: asked.lines,
        ..Ask::new(asked.query)
    };
    let code = Arc::clone(&call.faces.code);
    let found = call.faces.desk.read(move |_| code.find(&ask)).await?;
    let places: Vec<Value> = found
        .hits
        .iter()
        .map(|hit| {
            let mut place = json!({ "at": format!("{}:{}-{}", hit.path, hit.start, hit.end) });
            if hit.changed {
                place["changed"] = true.into();
            } else {
                place["line"] = format!("{}: {}", hit.line, cut(&hit.text, LINE_MAX)).into();
            }
            if let Some(within) = &hit.within {
                place["within"] = cut(within, LINE_MAX).into();
            }
            if let Some(excerpt) = &hit.excerpt {
                place["excerpt"] = excerpt.as_str().into();
            }
            place
        })
        .collect();
    let mut answer = json!({ "places": places, "files": found.index.files });
    if found.index.beyond_limit {
        answer["beyond_limit"] = true.into();
    }
    if !found.notices.is_empty() {
        answer["notices"] = found.notices.into();
    }
    Ok(Answer::Document(answer))
}

async fn route(call: &Call<'_>) -> Result<Answer, Failure> {
    let mut wish: RouteWish = arguments(call)?;
    // Whoever asks through MCP is an agent, which could do it itself.
    wish.for_agent = true;
    let plans = Arc::clone(&call.faces.plans);
    let whole = call.faces.desk.read(move |_| plans.route(&wish)).await?;
    let kept = [
        "choice",
        "reason",
        "do_it_yourself",
        "fallback",
        "consult",
        "would_change",
    ];
    let short: serde_json::Map<String, Value> = kept
        .iter()
        .filter(|key| !whole[**key].is_null())
        .map(|key| ((*key).to_owned(), whole[*key].clone()))
        .collect();
    Ok(Answer::Document(Value::Object(short)))
}

async fn budgets(call: &Call<'_>) -> Result<Answer, Failure> {
    let NoArgs {} = arguments(call)?;
    let (budgets, allowances) = call
        .faces
        .desk
        .read(|reader| Ok((reader.budgets(now())?, reader.allowances()?)))
        .await?;
    Ok(Answer::Document(
        json!({ "budgets": budgets, "allowances": allowances }),
    ))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BudgetArgs {
    /// `day`, `hour`, `session`, `r7` or `r7/draft`.
    scope: String,
    /// `{"raise": "2.50"}` or `{"set": "10"}`, in dollars.
    change: budget::Change,
}

async fn set_budget(call: &Call<'_>) -> Result<Answer, Failure> {
    let BudgetArgs { scope, change } = arguments(call)?;
    person_only(wheelhouse_core::caller::Caller(call.party()), "change budgets")?;
    call.caller()
        .may(Scope::Admin)
        .map_err(|problem| Failure::new(exit::REFUSED, problem.detail().to_owned()))?;
    let said = call
        .faces
        .desk
        .change(move |truth| budget::change(truth, &scope, &change));
    Ok(Answer::Document(json!({ "done": said.await? })))
}

async fn report(call: &Call<'_>) -> Result<Answer, Failure> {
    let wish: ReportWish = arguments(call)?;
    let plans = Arc::clone(&call.faces.plans);
    let mut document = call.faces.desk.read(move |_| plans.report(&wish)).await?;
    // Days are for plots; the sums are in the rest.
    if let Some(document) = document.as_object_mut() {
        document.remove("days");
    }
    Ok(Answer::Document(document))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RateArgs {
    /// `r7/draft`
    task: String,
    /// From 1 to 5.
    stars: u8,
    /// Why.
    #[serde(default)]
    words: String,
}

async fn rate(call: &Call<'_>) -> Result<Answer, Failure> {
    let RateArgs { task, stars, words } = arguments(call)?;
    person_only(wheelhouse_core::caller::Caller(call.party()), "rate work")?;
    let rated = call
        .faces
        .desk
        .change(move |truth| verb::rate(truth, &task, stars, &words));
    let task = rated.await?;
    Ok(Answer::Document(
        json!({ "rated": task_name(task.run, &task.key), "stars": stars }),
    ))
}

async fn tree(call: &Call<'_>, verb: TreeVerb) -> Result<Value, Failure> {
    let WhatArgs { what } = arguments(call)?;
    let plans = Arc::clone(&call.faces.plans);
    call.faces.desk.read(move |_| plans.tree(verb, &what)).await
}

async fn diff(call: &Call<'_>) -> Result<Answer, Failure> {
    let mut document = tree(call, TreeVerb::Diff).await?;
    if let Some(Value::String(patch)) = document.get_mut("patch")
        && patch.len() > PATCH_MAX
    {
        patch.truncate(patch.floor_char_boundary(PATCH_MAX));
        document["cut"] = true.into();
    }
    Ok(Answer::Document(document))
}

async fn merge(call: &Call<'_>) -> Result<Answer, Failure> {
    tree(call, TreeVerb::Merge).await.map(Answer::Document)
}

async fn discard(call: &Call<'_>) -> Result<Answer, Failure> {
    tree(call, TreeVerb::Discard).await.map(Answer::Document)
}
