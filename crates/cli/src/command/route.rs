//! `route`: who would do a task, and everything that led there.

use std::io::Read;

use serde_json::{Value, json};
use wheelhouse_core::analysis::{Analysis, Facts, Judged, Signal};
use wheelhouse_core::money::{show_usd, thousands};
use wheelhouse_core::plan::TEXT_BYTES_MAX;
use wheelhouse_core::price::Billing;
use wheelhouse_core::route::billing::Demand;
use wheelhouse_core::route::{Caller, Choice, Expected, Question, Scored};
use wheelhouse_server::ports::RouteWish;

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now;
use crate::routing;
use crate::show::doc::{Block, Cell, Page, Table, Tone};
use crate::show::words;
use crate::terminal::Paint;

/// Explains.
pub(crate) fn route(app: &App, args: &args::Route) -> Outcome {
    let settings = app.settings(None)?;
    let text = words_of(&args.text)?;
    let router = routing::router(app, &settings)?;
    let budget_nano = args.budget.as_deref().map(budget).transpose()?;
    let choice = router.decide(&Question {
        facts: Facts {
            text: &text,
            files: &args.files,
            ..Facts::default()
        },
        caller: if args.for_agent { Caller::Agent } else { Caller::Person },
        plans: args.plans,
        budget_nano,
        demand: Demand {
            interactive: args.interactive,
            batch: args.batch,
            calls_per_day: args.calls_per_day,
        },
        now: now(),
        ..Question::default()
    });
    let exit = if choice.chosen.is_some() {
        exit::OK
    } else {
        exit::NOT_FOUND
    };
    if app.terminal.json {
        app.terminal.print_json(&document(&choice, router.past_tasks()))?;
        return Ok(exit);
    }
    let page = page(
        &choice,
        router.past_tasks(),
        app.terminal.out.width,
        app.terminal.out.paint,
    );
    app.terminal
        .print(&page.text_of(app.terminal.out.width, app.terminal.out.paint))?;
    Ok(exit)
}

/// The choice as a document.
fn document(choice: &Choice, past_tasks: usize) -> Value {
    let chosen = choice
        .chosen()
        .map(|one| json!({ "agent": one.agent, "model": one.model }));
    let mut document = json!({ "choice": chosen, "past_tasks": past_tasks });
    if let (Some(document), Ok(Value::Object(more))) = (document.as_object_mut(), serde_json::to_value(choice)) {
        document.extend(more);
    }
    document
}

/// Who would do a task, for programs.
pub(crate) fn asked(app: &App, settings: &Settings, wish: &RouteWish) -> Result<Value, Failure> {
    let router = routing::router(app, settings)?;
    let choice = router.decide(&Question {
        facts: Facts {
            text: &wish.text,
            files: &wish.files,
            ..Facts::default()
        },
        caller: if wish.for_agent { Caller::Agent } else { Caller::Person },
        plans: wish.plans,
        budget_nano: wish.budget.as_deref().map(budget).transpose()?,
        demand: Demand {
            interactive: wish.interactive,
            batch: wish.batch,
            calls_per_day: wish.calls_per_day,
        },
        now: now(),
        ..Question::default()
    });
    Ok(document(&choice, router.past_tasks()))
}

/// The words of a task from the command line, or from stdin for `-`.
pub(crate) fn words_of(text: &str) -> Result<String, Failure> {
    let mut text = text.to_owned();
    if text == "-" {
        text.clear();
        std::io::stdin()
            .lock()
            .take(TEXT_BYTES_MAX as u64)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(exit::IO, format!("cannot read the task from stdin: {error}")))?;
    }
    if text.trim().is_empty() {
        return Err(Failure::usage("the task is empty").hint("`wheelhouse route \"what to do\"`"));
    }
    Ok(text)
}

/// An amount of dollars that somebody typed.
pub(crate) fn budget(text: &str) -> Result<u64, Failure> {
    wheelhouse_core::money::parse_usd(text).map_err(|error| Failure::usage(format!("`--budget`: {error}")))
}

fn page(choice: &Choice, past_tasks: usize, width: usize, paint: Paint) -> Page {
    let mut page = Page::default();
    if let Some(own) = &choice.do_it_yourself {
        page.heading(1, "Do it yourself");
        page.text(format!(
            "{}. It saves about {} tokens.",
            own.reason,
            thousands(own.saved_tokens)
        ));
        page.heading(2, "If it is given away all the same");
        page.text(choice.reason.clone());
    } else {
        page.heading(1, choice.reason.clone());
    }
    if let Some(chosen) = choice.chosen() {
        page.text(expected(&chosen.expected));
    }
    analysis(&mut page, &choice.analysis, width, paint);
    if let Some(pays) = &choice.pays {
        let obeyed = if pays.obeyed {
            ""
        } else {
            "; nobody who passed the floors is paid so, so the score decides"
        };
        page.heading(2, "How it is paid for");
        page.text(format!("{}{obeyed}", pays.why));
    }
    if let Some(rule) = &choice.rule {
        let share = format!("{:.0} % of its words", rule.share * 100.0);
        let obeyed = if rule.obeyed {
            ""
        } else {
            "; nobody it names passed the floors"
        };
        page.heading(2, "Rule");
        page.text(format!("`{}` by \"{}\" ({share}){obeyed}", rule.rule, rule.trigger));
    }
    candidates(&mut page, choice, past_tasks);
    if !choice.excluded.is_empty() {
        page.heading(2, "Left out");
        let line = |one: &wheelhouse_core::route::Excluded| {
            let model = one
                .model
                .as_ref()
                .map(|model| format!(" with {model}"))
                .unwrap_or_default();
            format!("`{}`{model}: {}", one.agent, one.why)
        };
        page.push(Block::List(choice.excluded.iter().map(line).collect()));
    }
    if !choice.consult.is_empty() {
        page.heading(2, "Worth asking besides");
        let line = |one: &wheelhouse_core::route::Consult| format!("`{}` as {}: {}", one.agent, one.what_for, one.why);
        page.push(Block::List(choice.consult.iter().map(line).collect()));
    }
    if let Some(shadow) = &choice.shadow {
        page.heading(2, "Shadow");
        page.text(format!(
            "what was learned would choose `{shadow}`; `mode: shadow` only writes it down"
        ));
    }
    if !choice.would_change.is_empty() {
        page.heading(2, "What would change it");
        page.push(Block::List(choice.would_change.clone()));
    }
    page
}

/// `about 12,040 tokens in, 3,000 out; $0.05`
pub(crate) fn expected(expected: &Expected) -> String {
    let cost = match (expected.billing, expected.cost_nano) {
        (Billing::Subscription, _) => "included in a subscription".to_owned(),
        (Billing::Free, _) => "free".to_owned(),
        (Billing::Api | Billing::Reported, Some(nano)) if expected.measured => {
            format!("{}, as similar tasks did", show_usd(nano))
        }
        (Billing::Api | Billing::Reported, Some(nano)) => format!("{} at list prices", show_usd(nano)),
        (Billing::Api | Billing::Reported, None) => "at a cost nobody knows".to_owned(),
    };
    format!(
        "about {} tokens in and {} out, {cost}",
        thousands(expected.input_tokens),
        thousands(expected.output_tokens)
    )
}

fn analysis(page: &mut Page, analysis: &Analysis, width: usize, paint: Paint) {
    page.heading(2, "The task");
    let mut table = Table::new(&["", "", ""]);
    let mut row = |name: &'static str, value: &str, signals: &[Signal]| {
        let because: Vec<String> = signals.iter().map(sentence).collect();
        table.row([
            Cell::from(name),
            Cell::toned(value, Tone::Strong),
            Cell::toned(because.join(", "), Tone::Dim),
        ]);
    };
    fn signals<T>(judged: &Judged<T>) -> &[Signal] {
        &judged.signals
    }
    row(
        "complexity",
        analysis.complexity.value.name(),
        signals(&analysis.complexity),
    );
    row("context", analysis.context.value.name(), signals(&analysis.context));
    row("risk", analysis.risk.value.name(), signals(&analysis.risk));
    row("type", analysis.kind.value.name(), signals(&analysis.kind));
    page.push(Block::Lines(table.text_wrapped(width, paint)));
}

fn sentence(signal: &Signal) -> String {
    match signal.points {
        0 => signal.what.clone(),
        points => format!("{} ({points:+})", signal.what),
    }
}

fn candidates(page: &mut Page, choice: &Choice, past_tasks: usize) {
    if choice.candidates.is_empty() {
        return;
    }
    page.heading(2, "Candidates");
    let mut table = Table::new(&[
        "agent", "score", "fit", "history", "load", "health", "there", "learned", "cost",
    ]);
    for (place, one) in choice.candidates.iter().enumerate() {
        let tone = if choice.chosen == Some(place) {
            Tone::Strong
        } else {
            Tone::Even
        };
        let part = |value: f64| Cell::from(format!("{value:.2}"));
        table.row([
            Cell::toned(name(one), tone),
            Cell::toned(format!("{:.2}", one.score), tone),
            part(one.parts.capability),
            history(one),
            part(one.parts.load),
            part(one.parts.health),
            part(one.parts.availability),
            Cell::from(format!("{:+.2}", one.learned)),
            Cell::from(cost(&one.expected)),
        ]);
    }
    page.push(Block::Table(table));
    let spoke: Vec<String> = choice.candidates.iter().filter_map(learned).collect();
    page.text(match (past_tasks, spoke.is_empty()) {
        (0, _) => "Nothing is known of past tasks yet.".to_owned(),
        (many, false) => format!("{} spoke:", words::count(many as u64, "past task")),
        (many, true) => format!(
            "Of {} none of them has had enough to speak.",
            words::count(many as u64, "past task")
        ),
    });
    if !spoke.is_empty() {
        page.push(Block::List(spoke));
    }
}

/// ``claude`: 84 % of 312 tasks, the last ones weighing most; here 71 %: `invoice` (-0.05)`
fn learned(one: &Scored) -> Option<String> {
    let evidence = one.evidence.as_ref()?;
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let reasons = evidence.reasons.iter();
    let reasons: Vec<String> = reasons
        .map(|reason| format!("{} ({:+.2})", reason.what, reason.adds))
        .collect();
    let why = match reasons.as_slice() {
        [] => String::new(),
        some => format!(": {}", some.join(", ")),
    };
    let (alike, succeeded) = one.similar;
    let alike = match alike {
        0 => String::new(),
        _ => format!("; {succeeded} of {alike} much like it"),
    };
    Some(format!(
        "`{}`: {} over {}, the last ones weighing most{alike}; here {}{why}",
        name(one),
        percent(evidence.level),
        words::count(u64::from(evidence.tasks), "task"),
        percent(evidence.success)
    ))
}

fn name(one: &Scored) -> String {
    match &one.model {
        Some(model) => format!("{} ({model})", one.agent),
        None => one.agent.to_string(),
    }
}

fn history(one: &Scored) -> Cell {
    match &one.evidence {
        None => Cell::toned(format!("{:.2}", one.parts.history), Tone::Dim),
        Some(evidence) => Cell::from(format!("{:.2} ({})", one.parts.history, evidence.tasks)),
    }
}

fn cost(expected: &Expected) -> String {
    match (expected.billing, expected.cost_nano) {
        (Billing::Subscription, _) => "included".to_owned(),
        (Billing::Free, _) => "free".to_owned(),
        (Billing::Api | Billing::Reported, Some(nano)) => show_usd(nano),
        (Billing::Api | Billing::Reported, None) => "unknown".to_owned(),
    }
}
