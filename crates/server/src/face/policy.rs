//! The crew's policy as people write it: `key=value`, the seed file `orchestrator_config.yaml`, and the variables that
//! MCP entries set.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelhouse_core::crew::{CrewPolicy, Notify, PolicyChange};

use super::nearest;

const NANO: f64 = 1e9;

/// A key of the policy.
pub struct PolicyKey {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Its value, for documents.
    pub show: fn(&CrewPolicy) -> Value,
    read: fn(&str) -> Result<PolicyChange, String>,
}

/// Every key there is.
pub const KEYS: &[PolicyKey] = &[
    PolicyKey {
        name: "orchestration",
        about: "whether anything may be spawned at all",
        show: |policy| json!(policy.orchestration),
        read: |text| yes(text).map(PolicyChange::Orchestration),
    },
    PolicyKey {
        name: "require_approval",
        about: "whether a person must approve each instance before its first turn",
        show: |policy| json!(policy.require_approval),
        read: |text| yes(text).map(PolicyChange::RequireApproval),
    },
    PolicyKey {
        name: "allowed_models",
        about: "the models that instances may use; `haiku` stands for all of that family; all when empty",
        show: |policy| json!(policy.allowed_models),
        read: |text| Ok(PolicyChange::AllowedModels(list(text))),
    },
    PolicyKey {
        name: "preferred_models",
        about: "the models to take when none is named, the best first",
        show: |policy| json!(policy.preferred_models),
        read: |text| Ok(PolicyChange::PreferredModels(list(text))),
    },
    PolicyKey {
        name: "default_model",
        about: "the model to take when none is named; `none`: the agent's own",
        show: |policy| json!(policy.default_model),
        read: |text| Ok(PolicyChange::DefaultModel(unless_none(text).map(str::to_owned))),
    },
    PolicyKey {
        name: "default_chain",
        about: "the agents to try in order when one is not there",
        show: |policy| json!(policy.default_chain),
        read: |text| Ok(PolicyChange::DefaultChain(list(text))),
    },
    PolicyKey {
        name: "max_instances",
        about: "how many instances are at work at a time; further ones wait",
        show: |policy| json!(policy.max_instances),
        read: |text| number(text).map(PolicyChange::MaxInstances),
    },
    PolicyKey {
        name: "children_max",
        about: "how many children of one instance are at work at a time; further ones wait",
        show: |policy| json!(policy.children_max),
        read: |text| number(text).map(PolicyChange::ChildrenMax),
    },
    PolicyKey {
        name: "depth_max",
        about: "how deep the tree may become; a root is at depth 0",
        show: |policy| json!(policy.depth_max),
        read: |text| number(text).map(PolicyChange::DepthMax),
    },
    PolicyKey {
        name: "live_max",
        about: "how many instances there may be that have not ended",
        show: |policy| json!(policy.live_max),
        read: |text| number(text).map(PolicyChange::LiveMax),
    },
    PolicyKey {
        name: "mailbox_max",
        about: "how many messages may wait in one mailbox",
        show: |policy| json!(policy.mailbox_max),
        read: |text| number(text).map(PolicyChange::MailboxMax),
    },
    PolicyKey {
        name: "message_bytes_max",
        about: "how long a message may be, in bytes",
        show: |policy| json!(policy.message_bytes_max),
        read: |text| number(text).map(PolicyChange::MessageBytesMax),
    },
    PolicyKey {
        name: "max_session_cost",
        about: "what all instances may cost from the moment that this is set, in dollars; `none`: no limit",
        show: |policy| dollars_of(policy.max_session_cost_nano),
        read: |text| dollars(text).map(PolicyChange::MaxSessionCost),
    },
    PolicyKey {
        name: "max_cost_per_hour",
        about: "what all instances may cost in each clock hour, in dollars; `none`: no limit",
        show: |policy| dollars_of(policy.max_cost_per_hour_nano),
        read: |text| dollars(text).map(PolicyChange::MaxCostPerHour),
    },
    PolicyKey {
        name: "suspend_after",
        about: "idle for so long, an instance is suspended (`30m`; a number alone is seconds); `none`: never",
        show: |policy| span_of(policy.suspend_after_ms),
        read: |text| optional_span(text).map(PolicyChange::SuspendAfter),
    },
    PolicyKey {
        name: "auto_terminate_after",
        about: "idle or suspended for so long, an instance ends; `none`: never",
        show: |policy| span_of(policy.auto_terminate_after_ms),
        read: |text| optional_span(text).map(PolicyChange::AutoTerminateAfter),
    },
    PolicyKey {
        name: "notify_on",
        about: "what people are told about: spawn, terminate, error, cost_threshold, needs_attention",
        show: |policy| json!(policy.notify_on.iter().map(|what| what.name()).collect::<Vec<_>>()),
        read: |text| notify(text).map(PolicyChange::NotifyOn),
    },
    PolicyKey {
        name: "stuck_after",
        about: "a turn without a sign of life for so long is nudged",
        show: |policy| span_of(Some(policy.stuck_after_ms)),
        read: |text| span(text).map(PolicyChange::StuckAfter),
    },
    PolicyKey {
        name: "error_loop",
        about: "the same error so many times in a row is a loop",
        show: |policy| json!(policy.error_loop),
        read: |text| number(text).map(PolicyChange::ErrorLoop),
    },
    PolicyKey {
        name: "interventions_max",
        about: "so many interventions into one turn, then a person is told",
        show: |policy| json!(policy.interventions_max),
        read: |text| number(text).map(PolicyChange::InterventionsMax),
    },
    PolicyKey {
        name: "cooldown",
        about: "at least so long between two interventions",
        show: |policy| span_of(Some(policy.cooldown_ms)),
        read: |text| span(text).map(PolicyChange::Cooldown),
    },
];

/// Reads one key.
pub fn change(key: &str, text: &str) -> Result<PolicyChange, String> {
    let Some(known) = KEYS.iter().find(|known| known.name == key) else {
        let names: Vec<String> = KEYS.iter().map(|known| known.name.to_owned()).collect();
        let near = match nearest::name(key, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is {}", nearest::list(&names, 30)),
        };
        return Err(format!("the policy has no key `{key}`; {near}"));
    };
    (known.read)(text.trim()).map_err(|why| format!("`{key}`: {why}"))
}

/// Reads `key=value`s; every problem at once.
pub fn changes<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<PolicyChange>, Vec<String>> {
    collect(texts.into_iter().map(|text| match text.split_once('=') {
        Some((key, value)) => change(key.trim(), value),
        None => Err(format!("`{text}` is not of the form `key=value`")),
    }))
}

/// Reads a configuration document: the keys themselves, or under `orchestration` as `orchestrator_config.yaml` has them.
pub fn from_document(document: &Value) -> Result<Vec<PolicyChange>, Vec<String>> {
    let top = match document.get("orchestration") {
        Some(inner @ Value::Object(_)) => inner,
        Some(_) | None => document,
    };
    let Value::Object(keys) = top else {
        return Err(vec!["the document is not a mapping of keys to values".to_owned()]);
    };
    collect(keys.iter().map(|(key, value)| match text_of(value) {
        Some(text) => change(key, &text),
        None => Err(format!("`{key}`: a list of words, a number or yes and no is expected")),
    }))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("none".to_owned()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text_of).collect();
            items.map(|items| items.join(","))
        }
        Value::Object(_) => None,
    }
}

/// Reads the variables that MCP entries set. Of two limits on how many are at work, the smaller one counts.
pub fn from_env(env: &BTreeMap<String, String>) -> Result<Vec<PolicyChange>, Vec<String>> {
    let named = [
        ("DEFAULT_MODEL", "default_model"),
        ("MAX_COST_PER_HOUR", "max_cost_per_hour"),
        ("PREFERRED_MODELS", "preferred_models"),
        ("DEFAULT_CHAIN", "default_chain"),
    ];
    let given = named
        .iter()
        .filter_map(|(variable, key)| env.get(*variable).map(|text| (*variable, *key, text)));
    let mut read: Vec<Result<PolicyChange, String>> = given
        .map(|(variable, key, text)| change(key, text).map_err(|why| format!("{variable}: {why}")))
        .collect();
    let mut least: Option<u32> = None;
    for variable in ["MAX_INSTANCES", "MAX_CONCURRENT_AGENTS"] {
        match env.get(variable).map(|text| number::<u32>(text.trim())) {
            Some(Ok(most)) => least = Some(least.map_or(most, |other| other.min(most))),
            Some(Err(why)) => read.push(Err(format!("{variable}: {why}"))),
            None => {}
        }
    }
    read.extend(least.map(|most| Ok(PolicyChange::MaxInstances(most))));
    collect(read.into_iter())
}

fn collect(read: impl Iterator<Item = Result<PolicyChange, String>>) -> Result<Vec<PolicyChange>, Vec<String>> {
    let (mut changes, mut problems) = (Vec::new(), Vec::new());
    for one in read {
        match one {
            Ok(change) => changes.push(change),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(changes)
    } else {
        Err(problems)
    }
}

fn yes(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Ok(true),
        "off" | "no" | "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither on nor off")),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a whole number that fits"))
}

fn unless_none(text: &str) -> Option<&str> {
    let none = text.is_empty()
        || ["none", "off", "null"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
    (!none).then_some(text)
}

fn list(text: &str) -> Vec<String> {
    let words = text
        .trim_matches(['[', ']'])
        .split(',')
        .map(|word| word.trim().trim_matches(['"', '\'']));
    words.filter_map(unless_none).map(str::to_owned).collect()
}

fn notify(text: &str) -> Result<Vec<Notify>, String> {
    list(text)
        .iter()
        .map(|word| {
            let found = Notify::ALL
                .into_iter()
                .find(|what| what.name() == word.replace('-', "_"));
            found.ok_or_else(|| {
                let names: Vec<&str> = Notify::ALL.iter().map(|what| what.name()).collect();
                format!("`{word}` is nothing to be told about; there is {}", names.join(", "))
            })
        })
        .collect()
}

fn dollars(text: &str) -> Result<Option<u64>, String> {
    let Some(text) = unless_none(text) else { return Ok(None) };
    let amount: f64 = text
        .trim_start_matches('$')
        .parse()
        .ok()
        .filter(|amount: &f64| amount.is_finite() && (0.0..=1e9).contains(amount))
        .ok_or_else(|| format!("`{text}` is not an amount of dollars"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0 and 1e18"
    )]
    let nano = (amount * NANO).round() as u64;
    Ok(Some(nano))
}

fn dollars_of(nano: Option<u64>) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "for people; the exact number is stored")]
    let amount = nano.map(|nano| nano as f64 / NANO);
    json!(amount)
}

/// `90s`, `30m`, `2h`, `1d`; a number alone is seconds.
fn span(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a time such as `30m`; a number alone is seconds");
    let (digits, unit_ms) = match text.char_indices().last() {
        Some((at, 's')) if !text.ends_with("ms") => (&text[..at], 1_000),
        Some((at, 'm')) => (&text[..at], 60_000),
        Some((at, 'h')) => (&text[..at], 3_600_000),
        Some((at, 'd')) => (&text[..at], 86_400_000),
        _ => (text, 1_000),
    };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(unit_ms).ok_or_else(wrong)
}

fn optional_span(text: &str) -> Result<Option<u64>, String> {
    unless_none(text).map(span).transpose()
}

fn span_of(ms: Option<u64>) -> Value {
    json!(ms.map(|ms| wheelhouse_core::time::human(std::time::Duration::from_millis(ms)).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(changes: &[PolicyChange]) -> CrewPolicy {
        let mut policy = CrewPolicy::default();
        for change in changes {
            policy.change(change);
        }
        policy
    }

    #[test]
    fn every_key_is_read_and_shown() {
        let values = [
            ("orchestration", "off"),
            ("require_approval", "yes"),
            ("allowed_models", "haiku, sonnet-4"),
            ("preferred_models", "[sonnet-4,haiku]"),
            ("default_model", "sonnet"),
            ("default_chain", "claude,codex"),
            ("max_instances", "3"),
            ("children_max", "4"),
            ("depth_max", "2"),
            ("live_max", "9"),
            ("mailbox_max", "7"),
            ("message_bytes_max", "100"),
            ("max_session_cost", "$50.00"),
            ("max_cost_per_hour", "10"),
            ("suspend_after", "90s"),
            ("auto_terminate_after", "3600"),
            ("notify_on", "spawn,needs-attention"),
            ("stuck_after", "2m"),
            ("error_loop", "5"),
            ("interventions_max", "6"),
            ("cooldown", "1h"),
        ];
        assert_eq!(
            values.map(|(key, _)| key).to_vec(),
            KEYS.iter().map(|key| key.name).collect::<Vec<_>>()
        );
        let plain = CrewPolicy::default();
        for (key, value) in values {
            let changed = after(&[change(key, value).unwrap()]);
            assert_ne!(changed, plain, "{key} has an effect");
            let known = KEYS.iter().find(|known| known.name == key).unwrap();
            assert_ne!((known.show)(&changed), (known.show)(&plain), "{key} is shown");
        }
    }

    #[test]
    fn every_problem_is_said_at_once() {
        let problems = changes([
            "max_instance=3",
            "depth_max=x",
            "orchestration",
            "cooldown=none",
            "notify_on=all",
        ]);
        let problems = problems.unwrap_err().join("\n");
        for part in [
            "did you mean `max_instances`",
            "`depth_max`: `x`",
            "key=value",
            "`cooldown`",
            "`all`",
        ] {
            assert!(problems.contains(part), "{part}:\n{problems}");
        }
        assert!(changes(["max_session_cost=-1", "max_session_cost=NaN"]).is_err());
    }

    #[test]
    fn the_file_of_old_is_taken_as_it_is() {
        let document = json!({ "orchestration": {
            "require_approval": true,
            "max_instances": 10,
            "max_session_cost": 50.00,
            "allowed_models": ["sonnet-4", "haiku"],
            "auto_terminate_after": 3600,
            "notify_on": ["spawn", "terminate", "error", "cost_threshold"],
        }});
        let policy = after(&from_document(&document).unwrap());
        assert!(policy.require_approval && policy.orchestration);
        assert_eq!(policy.max_session_cost_nano, Some(50_000_000_000));
        assert_eq!(policy.auto_terminate_after_ms, Some(3_600_000));
        assert_eq!(policy.allowed_models, ["sonnet-4", "haiku"]);
        assert_eq!(policy.notify_on.len(), 4);
    }

    #[test]
    fn variables_of_mcp_entries_are_heard() {
        let env = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let all: BTreeMap<String, String> = env(&[
            ("MAX_INSTANCES", "10"),
            ("MAX_CONCURRENT_AGENTS", "4"),
            ("DEFAULT_MODEL", "sonnet-4"),
            ("MAX_COST_PER_HOUR", "10"),
            ("PREFERRED_MODELS", "sonnet-4,haiku"),
            ("DEFAULT_CHAIN", "claude,codex"),
        ]);
        let policy = after(&from_env(&all).unwrap());
        assert_eq!(policy.max_instances, 4);
        assert_eq!(policy.default_model.as_deref(), Some("sonnet-4"));
        assert_eq!(policy.max_cost_per_hour_nano, Some(10_000_000_000));
        assert_eq!(policy.default_chain, ["claude", "codex"]);
        let bad: BTreeMap<String, String> = env(&[("MAX_INSTANCES", "many")]);
        assert!(from_env(&bad).unwrap_err()[0].starts_with("MAX_INSTANCES"));
        assert_eq!(from_env(&BTreeMap::new()).unwrap(), []);
    }
}
