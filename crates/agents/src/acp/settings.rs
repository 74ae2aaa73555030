//! Choosing a model or a mode in a session that offers some: which request does it, or what is offered instead.

use serde_json::{Value, json};

use crate::decode::cut;

/// How many choices a message names.
const NAMED: usize = 12;

/// What is to be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// The model.
    Model,
    /// How much is asked for permission.
    Mode,
}

/// A request that makes a choice.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Setting {
    pub(super) method: &'static str,
    pub(super) params: Value,
}

/// The request for what is wanted; none when it is so already; the words for people when it cannot be had.
pub(super) fn choose(what: What, wanted: &str, offers: &Value, session: &str) -> Result<Option<Setting>, String> {
    let (name, plain, all, id, current, method, field) = match what {
        What::Model => (
            "model",
            "models",
            "availableModels",
            "modelId",
            "currentModelId",
            "session/set_model",
            "modelId",
        ),
        What::Mode => (
            "mode",
            "modes",
            "availableModes",
            "id",
            "currentModeId",
            "session/set_mode",
            "modeId",
        ),
    };
    let list = &offers[plain];
    let choices: Vec<&str> = list[all]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one[id].as_str())
        .collect();
    let option = option(name, offers);
    // Modes have a request of their own everywhere; models where no option stands for them.
    if !choices.is_empty() && (what == What::Mode || option.is_none()) {
        let current = list[current].as_str();
        let chosen = find(wanted, &choices, current).ok_or_else(|| missing(name, wanted, &choices))?;
        let params = json!({"sessionId": session, field: chosen});
        return Ok((current != Some(chosen)).then_some(Setting { method, params }));
    }
    let Some(option) = option else {
        return Err(format!(
            "the agent offers no choice of {name}; leave it out, or set it in the agent itself"
        ));
    };
    let choices = values(&option["options"]);
    let current = option["currentValue"].as_str();
    let chosen = find(wanted, &choices, current).ok_or_else(|| missing(name, wanted, &choices))?;
    let params = json!({"sessionId": session, "configId": option["id"], "value": chosen});
    Ok((current != Some(chosen)).then_some(Setting {
        method: "session/set_config_option",
        params,
    }))
}

/// The model that a session will work with: the one that is wanted, where it is offered, else the one that is set.
pub(super) fn chosen(wanted: Option<&str>, offers: &Value) -> Option<String> {
    let option = option("model", offers);
    let list = &offers["models"];
    let current = match option {
        Some(option) => option["currentValue"].as_str(),
        None => list["currentModelId"].as_str(),
    };
    let choices = match option {
        Some(option) => values(&option["options"]),
        None => {
            let all = list["availableModels"].as_array().into_iter().flatten();
            all.filter_map(|one| one["modelId"].as_str()).collect()
        }
    };
    let wanted = wanted.and_then(|wanted| find(wanted, &choices, current));
    wanted.or(current).map(str::to_owned)
}

fn option<'a>(name: &str, offers: &'a Value) -> Option<&'a Value> {
    let options = offers["configOptions"].as_array()?;
    let by = |field: &str| options.iter().find(|option| option[field] == name);
    by("category").or_else(|| by("id"))
}

/// The values of a list of options, which may stand in groups.
fn values(options: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for option in options.as_array().into_iter().flatten() {
        match option["value"].as_str() {
            Some(value) => found.push(value),
            None => found.extend(values(&option["options"])),
        }
    }
    found
}

/// The choice of that name; `gpt-5.5` stands for the `gpt-5.5[medium]` that is set or offered.
fn find<'a>(wanted: &str, choices: &[&'a str], current: Option<&str>) -> Option<&'a str> {
    let variant = |choice: &str| {
        choice
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
    };
    let exact = choices.iter().find(|choice| **choice == wanted);
    let as_set = || {
        choices
            .iter()
            .find(|choice| variant(choice) && current == Some(**choice))
    };
    let medium = || {
        choices
            .iter()
            .find(|choice| variant(choice) && choice.ends_with("[medium]"))
    };
    let any = || choices.iter().find(|choice| variant(choice));
    exact.or_else(as_set).or_else(medium).or_else(any).copied()
}

fn missing(name: &str, wanted: &str, choices: &[&str]) -> String {
    let wanted = cut(wanted, 100);
    let more = choices.len().saturating_sub(NAMED);
    let mut named = choices.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        named.push_str(&format!(" and {more} more"));
    }
    format!("the agent has no {name} {wanted}; it has {named}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codex() -> Value {
        json!({
            "models": {"availableModels": [{"modelId": "gpt-6[low]"}, {"modelId": "gpt-6[medium]"}], "currentModelId": "gpt-5.5[high]"},
            "modes": {"availableModes": [{"id": "agent"}, {"id": "workspace-write"}], "currentModeId": "agent"},
        })
    }

    fn opencode() -> Value {
        json!({"configOptions": [{"id": "model", "category": "model", "currentValue": "a/x", "options": [
            {"name": "group", "options": [{"value": "a/x"}]}, {"value": "b/y"},
        ]}]})
    }

    #[test]
    fn the_request_is_the_one_that_the_session_offers() {
        let set = |what, wanted, offers: &Value| choose(what, wanted, offers, "S").unwrap();
        assert_eq!(
            set(What::Model, "gpt-6", &codex()),
            Some(Setting {
                method: "session/set_model",
                params: json!({"sessionId": "S", "modelId": "gpt-6[medium]"}),
            })
        );
        assert_eq!(
            set(What::Mode, "workspace-write", &codex()).unwrap().params,
            json!({"sessionId": "S", "modeId": "workspace-write"})
        );
        assert_eq!(set(What::Mode, "agent", &codex()), None);
        assert_eq!(set(What::Model, "a/x", &opencode()), None);
        assert_eq!(
            set(What::Model, "b/y", &opencode()),
            Some(Setting {
                method: "session/set_config_option",
                params: json!({"sessionId": "S", "configId": "model", "value": "b/y"}),
            })
        );
    }

    #[test]
    fn what_is_not_offered_is_said_with_what_is() {
        assert_eq!(chosen(None, &codex()).as_deref(), Some("gpt-5.5[high]"));
        assert_eq!(chosen(Some("gpt-6"), &codex()).as_deref(), Some("gpt-6[medium]"));
        assert_eq!(chosen(None, &opencode()).as_deref(), Some("a/x"));
        assert_eq!(chosen(None, &json!({})), None);
        let words = choose(What::Model, "gpt-7", &codex(), "S").unwrap_err();
        assert_eq!(words, "the agent has no model gpt-7; it has gpt-6[low], gpt-6[medium]");
        assert!(
            choose(What::Mode, "plan", &opencode(), "S")
                .unwrap_err()
                .contains("no choice of mode")
        );
    }
}
