//! `config show`: every key with its value, and where it comes from.

use serde_json::json;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::Outcome;
use crate::show::doc::{Cell, Table, Tone};

/// Shows the configuration.
pub(crate) fn config(app: &App, args: &args::Config) -> Outcome {
    let args::Config::Show { origin } = args;
    // Reading the settings first reports what does not fit together.
    app.settings(None)?;
    let merged = app.merged(&[])?;
    if app.terminal.json {
        let keys: serde_json::Map<String, serde_json::Value> = merged
            .values
            .iter()
            .map(|(path, (value, origin))| {
                let document = json!({ "value": value.json(), "origin": origin.to_string() });
                (path.join("."), document)
            })
            .collect();
        app.terminal.print_json(&keys)?;
        return Ok(exit::OK);
    }
    let mut table = Table::new(&["", ""]);
    for (path, (value, from)) in &merged.values {
        let setting = format!("{} = {}", path.join("."), value.toml());
        let from = if *origin {
            Cell::toned(from.to_string(), Tone::Dim)
        } else {
            Cell::default()
        };
        table.row([setting.into(), from]);
    }
    // Values are never cut: whoever asks wants to copy them.
    let lines = table.text_of(usize::MAX, app.terminal.out.paint);
    app.terminal.print(&format!("{}\n", lines.join("\n")))?;
    Ok(exit::OK)
}
