//! `config show`: every key with its value, and where it comes from.

use serde_json::json;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::Outcome;

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
    // Lines of TOML, never cut: whoever asks wants to copy them.
    let mut text = String::new();
    for (path, (value, from)) in &merged.values {
        text.push_str(&format!("{} = {}", path.join("."), value.toml()));
        if *origin {
            text.push_str(&app.terminal.out.paint.dim(&format!("  # {from}")));
        }
        text.push('\n');
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}
