//! What was saved against two other ways of doing the same, and what of that is measured.

use wheelhouse_core::compare::Basis;
use wheelhouse_core::report::{Baseline, LeadIs, Savings};

use super::{percent, tokens};
use crate::show::doc::{Cell, Table, Tone};
use crate::show::words::{self, dollars};

pub(super) const HEADING: &str = "Beside two other ways";

pub(super) fn table(savings: &Savings) -> Table {
    let mut table = Table::new(&["", "cost", "saved", ""]);
    table.row([
        Cell::toned("as it was", Tone::Strong),
        Cell::toned(dollars(savings.paid_nano), Tone::Strong),
        "".into(),
        basis(savings.tokens_basis),
    ]);
    let ways = [
        ("the lead does everything", savings.lead.as_ref()),
        ("the dearest model does", savings.dearest.as_ref()),
    ];
    for (name, baseline) in ways {
        let Some(Baseline {
            model,
            cost_nano,
            saved_nano,
            basis: of,
        }) = baseline
        else {
            table.row([name.into(), "unknown".into(), "unknown".into(), "".into()]);
            continue;
        };
        table.row([
            format!("{name} ({model})").into(),
            cost_nano.map_or_else(|| "unknown".to_owned(), dollars).into(),
            saved(*saved_nano, *cost_nano).into(),
            basis(*of),
        ]);
    }
    table
}

/// What belongs to the numbers.
pub(super) fn notes(savings: &Savings) -> Vec<String> {
    let mut notes = vec![format!(
        "Assumed: another model takes the same {} tokens. Fees are paid in any case and are in none of these.",
        tokens(savings.tokens)
    )];
    match savings.lead_is {
        None => notes
            .push("Nobody planned, and the default agent names no model; `--lead MODEL` says who leads.".to_owned()),
        Some(LeadIs::Planner) => notes.push("The lead is the model that planned.".to_owned()),
        Some(LeadIs::Default) => notes.push("Nobody planned; the lead is the default agent's model.".to_owned()),
        Some(LeadIs::Named) => {}
    }
    if savings.left_out_entries > 0 {
        notes.push(format!(
            "On neither side, because a cost or its tokens are unknown: {}.",
            entries(savings.left_out_entries)
        ));
    }
    if savings.covered_entries > 0 {
        let list = savings
            .covered_list_nano
            .map_or_else(|| "an unknown amount".to_owned(), dollars);
        notes.push(format!(
            "On neither side, because subscriptions covered them: {}; by API, on the same models, {list}.",
            entries(savings.covered_entries)
        ));
    }
    if !savings.unpriced_models.is_empty() {
        notes.push(format!(
            "Perhaps dearer, their price is unknown: {}.",
            savings.unpriced_models.join(", ")
        ));
    }
    notes
}

fn entries(number: u64) -> String {
    words::count(number, "entry").replace("entrys", "entries")
}

fn basis(basis: Basis) -> Cell {
    match basis {
        Basis::Measured => Cell::toned("measured", Tone::Good),
        Basis::Assumed => Cell::toned("assumed", Tone::Dim),
    }
}

fn saved(saved: Option<i64>, of: Option<u64>) -> String {
    let (Some(saved), Some(of)) = (saved, of) else {
        return "unknown".to_owned();
    };
    let amount = dollars(saved.unsigned_abs());
    match saved {
        0.. => format!("{amount} ({})", percent(saved.unsigned_abs(), of)),
        _ => format!("-{amount}"),
    }
}
