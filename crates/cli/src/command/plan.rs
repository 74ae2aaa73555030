//! `plan check`, `plan show`, `plan cost`, `plan schema`: plans looked at without running them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wheelhouse_core::plan::{self, Advice, Checked};
use wheelhouse_core::spec::{TaskSpec, Work};

use super::plan_cost;
use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::plans::{self, Cast, CheckFailure};
use crate::show::words;

/// Looks at plans.
pub(crate) fn plan(app: &App, args: &args::Plan) -> Outcome {
    match args {
        args::Plan::Check { plans, vars } => check(app, plans, vars),
        args::Plan::Show { plan, vars, dot } => show(app, plan, vars, *dot),
        args::Plan::Cost { plan, vars } => cost(app, plan, vars),
        args::Plan::Schema => schema(app),
    }
}

fn check(app: &App, paths: &[PathBuf], vars: &[String]) -> Outcome {
    let settings = app.settings(None)?;
    let mut worst = exit::OK;
    let mut documents = Vec::new();
    for path in paths {
        let (document, is_sound) = check_one(app, &settings, path, vars)?;
        documents.push(document);
        if !is_sound {
            worst = exit::USAGE;
        }
    }
    if app.terminal.json {
        app.terminal.print_json(&json!({ "plans": documents }))?;
    }
    Ok(worst)
}

fn check_one(app: &App, settings: &Settings, path: &Path, vars: &[String]) -> Result<(Value, bool), Failure> {
    let text = plans::load(app, path)?;
    match plans::examine(app, settings, &text, vars, Cast::AsWritten, Advice::Given) {
        Ok(checked) => {
            if !app.terminal.json {
                for warning in &checked.warnings {
                    app.terminal.print(&format!("{warning}\n"))?;
                }
                let count = words::count(checked.tasks.len() as u64, "task");
                app.terminal.print(&format!("{}: sound, {count}\n", text.name))?;
                for crew in plans::crews(&checked) {
                    app.terminal.print(&format!("  {crew}\n"))?;
                }
            }
            Ok((
                json!({
                    "file": text.name,
                    "sound": true,
                    "name": checked.run.name,
                    "tasks": checked.tasks.len(),
                    "problems": checked.warnings,
                    "crews": crews(&checked),
                }),
                true,
            ))
        }
        Err(CheckFailure::Problems(problems)) => {
            if !app.terminal.json {
                app.terminal.print(&format!("{problems}\n"))?;
            }
            Ok((
                json!({ "file": text.name, "sound": false, "name": null, "tasks": null, "problems": problems }),
                false,
            ))
        }
        Err(CheckFailure::Other(failure)) => Err(failure),
    }
}

fn show(app: &App, path: &Path, vars: &[String], dot: bool) -> Outcome {
    let settings = app.settings(None)?;
    let text = plans::load(app, path)?;
    let checked = plans::check(app, &settings, &text, vars, Cast::AsWritten);
    let checked = plans::accept(app, &text.name, checked)?;
    if dot {
        app.terminal
            .print(&plan::show::dot(&checked.run.name, &checked.tasks))?;
    } else if app.terminal.json {
        app.terminal.print_json(&document(&checked))?;
    } else {
        let paint = app.terminal.out.paint;
        app.terminal.print(&format!("{}: ", paint.strong(&checked.run.name)))?;
        app.terminal.print(&plan::show::text(&checked.tasks))?;
        let crews = plans::crews(&checked);
        if !crews.is_empty() {
            app.terminal.print("\n")?;
        }
        for crew in crews {
            app.terminal.print(&format!("{crew}\n"))?;
        }
    }
    Ok(exit::OK)
}

/// Who takes part in its workflows, and what that is expected to take.
pub(crate) fn crews(checked: &Checked) -> Vec<Value> {
    let crew = |crew: &wheelhouse_core::workflow::crew::Crew| {
        let (tries_min, tries_max) = crew.tries();
        let cost = crew.cost_nano();
        json!({
            "task": crew.task,
            "workflow": crew.workflow,
            "shares": crew.shares,
            "tries_min": tries_min,
            "tries_max": tries_max,
            "cost_min_nano": cost.map(|(least, _)| least),
            "cost_max_nano": cost.map(|(_, most)| most),
        })
    };
    checked.crews.iter().map(crew).collect()
}

/// The plan with every default applied, as the engine gets it.
fn document(checked: &Checked) -> Value {
    let layers: Vec<Vec<&str>> = plan::show::layers(&checked.tasks)
        .iter()
        .map(|layer| layer.iter().map(|place| checked.tasks[*place].key.as_str()).collect())
        .collect();
    let chain: Vec<&str> = plan::show::critical_path(&checked.tasks, &|_| 1)
        .iter()
        .map(|key| key.as_str())
        .collect();
    json!({
        "name": checked.run.name,
        "source": checked.run.source,
        "vars": checked.run.vars,
        "budget_nano": checked.run.budget.map(|budget| budget.cost_nano),
        "layers": layers,
        "longest_chain": chain,
        "crews": crews(checked),
        "tasks": checked.tasks.iter().map(task_document).collect::<Vec<_>>(),
    })
}

fn task_document(task: &TaskSpec) -> Value {
    let TaskSpec {
        key,
        work,
        agent,
        fallback,
        model,
        role,
        needs,
        priority,
        files,
        verify,
        isolation,
        merge,
        protect,
        edits,
        schema,
        timeout_ms,
        idle_timeout_ms,
        retry_max,
        deadline_ms,
        window_tokens,
        confidence_min,
        on_failure,
        planner,
        approval,
        env,
        cwd,
        budget,
        routed,
        flow,
        inputs,
    } = task;
    let (kind, text) = match work {
        Work::Exec(command) => ("exec", command),
        Work::Prompt(prompt) => ("prompt", prompt),
        // No plan holds one.
        Work::Turn(_) => ("turn", &key.0),
    };
    json!({
        "id": key.as_str(),
        "work": { "kind": kind, "text": text },
        "agent": agent.as_str(),
        "fallback": fallback.iter().map(|link| link.agent.as_str()).collect::<Vec<_>>(),
        "chain": fallback,
        "model": model,
        "role": role,
        "needs": needs.iter().map(|key| key.as_str()).collect::<Vec<_>>(),
        "priority": priority,
        "files": files,
        "verify": verify,
        "isolation": isolation,
        "merge": merge,
        "protect": protect,
        "edits": edits,
        "schema": schema,
        "timeout_ms": timeout_ms,
        "idle_timeout_ms": idle_timeout_ms,
        "retry_max": retry_max,
        "deadline_ms": deadline_ms,
        "window_tokens": window_tokens,
        "confidence_min": confidence_min,
        "on_failure": on_failure,
        "plan": planner,
        "approval": approval,
        "env": env,
        "cwd": cwd,
        "budget_nano": budget.map(|budget| budget.cost_nano),
        "routed": routed,
        "workflow": flow.workflow,
        "skip_if": flow.skip_if.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "skip_audit": flow.skip_audit,
        "documents": inputs.documents,
        "stdin": inputs.stdin,
    })
}

fn cost(app: &App, path: &Path, vars: &[String]) -> Outcome {
    let settings = app.settings(None)?;
    let text = plans::load(app, path)?;
    let checked = plans::check(app, &settings, &text, vars, Cast::AsWritten);
    let checked = plans::accept(app, &text.name, checked)?;
    let forecast = plan_cost::forecast(app, &settings, &checked)?;
    if app.terminal.json {
        app.terminal.print_json(&json!(forecast))?;
        return Ok(exit::OK);
    }
    let out = &app.terminal.out;
    app.terminal
        .print(&plan_cost::page(&forecast).text_of(out.width, out.paint))?;
    Ok(exit::OK)
}

/// The schema is a page of its own and looks the same for people and programs.
fn schema(app: &App) -> Outcome {
    let text = serde_json::to_string_pretty(&plan::schema())
        .map_err(|error| Failure::new(exit::IO, format!("cannot write JSON: {error}")))?;
    app.terminal.print(&format!("{text}\n"))?;
    Ok(exit::OK)
}
