//! `compare`: what a workload takes when the lead orchestrates and when a separate orchestrator does, from a file or from
//! what the ledger knows.

use wheelhouse_core::compare::{Basis, Comparison, Measured, Way, Workload, compare as compute};
use wheelhouse_core::report::{Report, report as made_of};
use wheelhouse_server::ports::ReportWish;

use super::report;
use crate::app::App;
use crate::args::report::Compare;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::pricelist::{self, today};
use crate::show::account::{percent, tokens};
use crate::show::doc::{Block, Cell, Page, Table, Tone};
use crate::show::words::{dollars, thousands};

/// The workload that comes with the program.
const SHIPPED: &str = include_str!("../../../../examples/workloads/hundred-a-day.yaml");
/// How long the file of a workload may be.
const FILE_MAX: usize = 1 << 20;

/// Compares.
pub(crate) fn compare(app: &App, args: &Compare) -> Outcome {
    if args.print {
        app.terminal.print(SHIPPED)?;
        return Ok(exit::OK);
    }
    let workload = workload(app, args)?;
    let table = pricelist::table(&app.place)?;
    let price = match &args.model {
        None => None,
        Some(model) => Some(table.find(model, today()).price().ok_or_else(|| {
            Failure::new(exit::NOT_FOUND, format!("there is no price for `{model}` today"))
                .hint("`wheelhouse prices` lists the models that have one")
        })?),
    };
    let real = match args.ledger {
        false => None,
        true => {
            let wish = ReportWish {
                since: args.since.clone(),
                until: args.until.clone(),
                month: args.month.clone(),
                ..ReportWish::default()
            };
            Some(made_of(report::rows(app, &app.settings(None)?, &wish)?))
        }
    };
    let measured = real.as_ref().map(measured);
    let known = measured.as_ref().zip(real.as_ref());
    let comparison = compute(
        &workload,
        known.map(|(measured, report)| (measured, report.period.days())),
        price,
    )
    .map_err(|error| Failure::usage(error.to_string()))?;
    if app.terminal.json {
        let mut document = serde_json::to_value(&comparison)
            .map_err(|error| Failure::new(exit::STATE_FAILED, format!("the comparison cannot be written: {error}")))?;
        document["model"] = serde_json::json!(args.model);
        document["real"] = serde_json::json!(real.as_ref().map(|report| {
            serde_json::json!({"tokens": report.usage.total(), "cost": report.variable, "tasks": report.work.completed})
        }));
        app.terminal.print_json(&document)?;
        return Ok(exit::OK);
    }
    let out = &app.terminal.out;
    let page = page(&comparison, real.as_ref(), args);
    app.terminal.print(&page.text_of(out.width, out.paint))?;
    Ok(exit::OK)
}

fn workload(app: &App, args: &Compare) -> Result<Workload, Failure> {
    let (name, text) = match &args.workload {
        None => ("the shipped workload".to_owned(), SHIPPED.to_owned()),
        Some(file) => {
            let path = app.here.join(file);
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
            (file.display().to_string(), text)
        }
    };
    if text.len() > FILE_MAX {
        return Err(Failure::usage(format!(
            "{name} is larger than {FILE_MAX} bytes and surely no workload"
        )));
    }
    serde_saphyr::from_str(&text).map_err(|error| {
        Failure::usage(format!("{name} is no workload: {error}"))
            .hint("`wheelhouse compare --print` prints the one that comes with the program, to start from")
    })
}

/// What the ledger can say in place of assumptions.
fn measured(report: &Report) -> Measured {
    let written = report.usage.output.saturating_add(report.usage.reasoning);
    Measured {
        runs: report
            .crews
            .iter()
            .map(|crew| (crew.agents.len() as u64, crew.runs))
            .collect(),
        output_tokens: written.checked_div(report.work.completed),
    }
}

fn basis(basis: Basis) -> Cell {
    match basis {
        Basis::Measured => Cell::toned("measured", Tone::Good),
        Basis::Assumed => Cell::toned("assumed", Tone::Dim),
    }
}

fn times(ratio: Option<u64>) -> String {
    ratio.map_or("–".to_owned(), |hundredths| {
        format!("{}.{:02}x", hundredths / 100, hundredths % 100)
    })
}

fn page(comparison: &Comparison, real: Option<&Report>, args: &Compare) -> Page {
    let mut page = Page::default();
    page.heading(1, format!("{}, {} days", comparison.name, comparison.days));
    if args.steps {
        for class in &comparison.classes {
            let example = match class.example.as_str() {
                "" => String::new(),
                example => format!(" (\"{example}\")"),
            };
            for (title, way) in [
                ("lead as orchestrator", &class.lead),
                ("separate orchestrator", &class.separate),
            ] {
                page.heading(2, format!("{}{example}: {title}", class.name));
                page.push(Block::Table(steps(way)));
            }
        }
    }
    page.heading(2, "A task of each class");
    let mut table = Table::new(&["class", "tasks", "", "lead", "separate", "ratio"]);
    for class in &comparison.classes {
        table.row([
            class.name.as_str().into(),
            thousands(class.tasks).into(),
            basis(class.tasks_basis),
            thousands(class.lead.tokens).into(),
            thousands(class.separate.tokens).into(),
            times(class.ratio_hundredths).into(),
        ]);
    }
    page.push(Block::Table(table));
    page.heading(2, "The whole period");
    let (lead, separate) = (&comparison.lead, &comparison.separate);
    let mut table = Table::new(&["", "lead", "separate", "ratio"]);
    table.row([
        "tokens".into(),
        tokens(lead.tokens).into(),
        tokens(separate.tokens).into(),
        times(comparison.ratio_hundredths).into(),
    ]);
    if let Some(rounded) = &comparison.rounded {
        table.row([
            "as the document rounds".into(),
            tokens(rounded.lead).into(),
            tokens(rounded.separate).into(),
            "".into(),
        ]);
    }
    if let (Some(model), Some(one), Some(other)) = (&args.model, lead.cost_nano, separate.cost_nano) {
        let name = format!("cost on {model}");
        table.row([name.into(), dollars(one).into(), dollars(other).into(), "".into()]);
    }
    page.push(Block::Table(table));
    if separate.helper_tokens > lead.helper_tokens {
        let uncounted = separate.helper_tokens - lead.helper_tokens;
        let difference = separate.tokens.saturating_sub(lead.tokens);
        page.text(format!(
            "Of the difference, {} tokens ({}) are what helpers read and write, which is counted in one way only.",
            tokens(uncounted),
            percent(uncounted, difference)
        ));
    }
    if let Some(report) = real {
        page.text(format!(
            "Really used: {} tokens for {} completed tasks, {}; the engine itself orchestrates without any.",
            tokens(report.usage.total()),
            thousands(report.work.completed),
            crate::show::account::money(&report.variable)
        ));
    } else {
        page.text("Every size is assumed. `--ledger` puts what was measured in place of what can be measured.");
    }
    page
}

fn steps(way: &Way) -> Table {
    let mut table = Table::new(&["", "tokens", ""]);
    for line in &way.lines {
        table.row([
            line.what.as_str().into(),
            thousands(line.tokens).into(),
            basis(line.basis),
        ]);
    }
    table.row([
        Cell::toned("TOTAL", Tone::Strong),
        Cell::toned(thousands(way.tokens), Tone::Strong),
        "".into(),
    ]);
    table
}
