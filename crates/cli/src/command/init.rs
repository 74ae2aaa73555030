//! `init`: a state directory and a commented configuration, in a project that has none.

use serde_json::json;

use crate::app::App;
use crate::config::KEYS;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::place::{CONFIG_FILE, Created, Place, STATE_DIR, write_atomic};
use crate::state::State;

/// Prepares the project. Doing it again changes nothing.
pub(crate) fn init(app: &App) -> Outcome {
    // A new project begins here, unless one was found that has state already or a repository around us.
    let place: &Place = &app.place;
    let created = place.create()?;
    State::open(place)?;
    let config = place.project.join(CONFIG_FILE);
    let wrote = if config.exists() {
        Created::Before
    } else {
        write_atomic(&config, template().as_bytes(), 0o644)
            .map_err(|error| Failure::io("write the configuration", &config, &error))?;
        Created::Now
    };
    if app.terminal.json {
        app.terminal.print_json(&json!({
            "project": place.project.display().to_string(),
            "state_dir": place.state_dir.display().to_string(),
            "config": config.display().to_string(),
            "created": { "state_dir": created == Created::Now, "config": wrote == Created::Now },
        }))?;
        return Ok(exit::OK);
    }
    let said = |created: Created| match created {
        Created::Now => "made",
        Created::Before => "there already",
    };
    app.terminal.print(&format!(
        "{}/: {} (state; git ignores it)\n{CONFIG_FILE}: {} (settings)\n",
        if place.state_dir.ends_with(STATE_DIR) {
            STATE_DIR.to_owned()
        } else {
            place.state_dir.display().to_string()
        },
        said(created),
        said(wrote)
    ))?;
    app.terminal
        .say("next: `wheelhouse doctor`, then `wheelhouse run PLAN`");
    Ok(exit::OK)
}

/// Every key with its default, all of it commented out, so that the file changes nothing by being there.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# Settings of Wheelhouse for this project. Every line is a default, commented out.\n\
         # `wheelhouse config show --origin` says what is in force and where it comes from.\n",
    );
    for key in KEYS.iter().filter(|key| !key.pattern.contains('.')) {
        let default = key.default.unwrap_or_default();
        text.push_str(&format!("\n# {}\n# {} = {default}\n", key.about, key.pattern));
    }
    let mut open = "";
    for key in KEYS
        .iter()
        .filter(|key| key.pattern.contains('.') && !key.pattern.contains('*'))
    {
        if let (Some((table, name)), Some(default)) = (key.pattern.rsplit_once('.'), key.default) {
            // A table may be opened once only.
            let header = if open == table {
                String::new()
            } else {
                format!("# [{table}]\n")
            };
            open = table;
            text.push_str(&format!("\n# {}\n{header}# {name} = {default}\n", key.about));
        }
    }
    text.push_str(
        "\n# A named agent: a backend with settings of its own.\n# [agents.careful]\n# backend = \"rehearsal\"\n\
         # parallel_max = 1\n# account = \"main\"\n#\n# Agents of one account share its limit.\n# [accounts.main]\n\
         # parallel_max = 2\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problem, layer};

    /// The file is valid as it is and when every comment sign is taken away.
    #[test]
    fn the_template_is_sound_both_ways() {
        let mut problems: Vec<Problem> = Vec::new();
        assert_eq!(layer::file("x".as_ref(), &template(), &mut problems), []);
        let is_setting = |line: &&str| {
            let line = line.trim_start_matches("# ");
            line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        };
        let active: Vec<&str> = template()
            .lines()
            .map(|line| &*line.to_owned().leak())
            .filter(is_setting)
            .map(|line: &str| line.trim_start_matches("# "))
            .collect();
        let leaves = layer::file("x".as_ref(), &active.join("\n"), &mut problems);
        assert_eq!(problems, []);
        assert!(leaves.len() > 10, "{leaves:?}");
        for leaf in leaves {
            assert!(crate::config::keys::find(&leaf.path).is_some(), "{leaf:?}");
        }
    }
}
