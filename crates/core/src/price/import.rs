//! The public tables of prices, read into ours: LiteLLM's map, genai-prices' list of providers, models.dev's map of
//! providers, and our own form. Which one a text is, is seen from its shape.
//!
//! Rows that give no input and output price per token (images, audio by the second) are left out and counted.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::table::{BadTable, Table};
use super::{Cliff, Price, Rates};
use crate::day::Day;

/// The public form that was recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `model_prices_and_context_window.json` of LiteLLM.
    LiteLlm,
    /// `data.json` of genai-prices.
    GenaiPrices,
    /// `api.json` of models.dev.
    ModelsDev,
    /// What `wheelhouse prices --json` and `prices update` write.
    Own,
}

impl Form {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Form::LiteLlm => "LiteLLM",
            Form::GenaiPrices => "genai-prices",
            Form::ModelsDev => "models.dev",
            Form::Own => "wheelhouse",
        }
    }
}

/// What a text held.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// What it was.
    pub form: Form,
    /// The rows that could be read.
    pub table: Table,
    /// Entries without a price per token.
    pub left_out: usize,
}

/// Reads a public table. Rows without a date of their own are true from `from` on: nobody says since when they are.
pub fn read(text: &str, from: Day) -> Result<Imported, BadTable> {
    let value: Value = serde_json::from_str(text).map_err(|error| BadTable(error.to_string()))?;
    let form = form(&value).ok_or_else(|| {
        BadTable(
            "its shape is none of LiteLLM's map, genai-prices' list of providers, models.dev's map of providers, and \
             our own"
                .to_owned(),
        )
    })?;
    let (rows, left_out) = match form {
        Form::LiteLlm => litellm(&value, from),
        Form::GenaiPrices => genai(&value, from),
        Form::ModelsDev => models_dev(&value, from),
        Form::Own => {
            let table = Table::parse(text)?;
            return Ok(Imported {
                form,
                table,
                left_out: 0,
            });
        }
    };
    if rows.is_empty() {
        return Err(BadTable(format!(
            "it looks like the table of {} and holds no price per token",
            form.name()
        )));
    }
    Ok(Imported {
        form,
        table: Table::new(Some(from), rows),
        left_out,
    })
}

fn form(value: &Value) -> Option<Form> {
    let holds = |value: &Value, keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
    match value {
        Value::Array(providers) => providers
            .first()
            .and_then(|first| first.get("models"))
            .map(|_| Form::GenaiPrices),
        Value::Object(map) if map.contains_key("prices") && map.contains_key("as_of") => Some(Form::Own),
        Value::Object(map)
            if map
                .values()
                .any(|entry| entry.get("models").is_some_and(Value::is_object)) =>
        {
            Some(Form::ModelsDev)
        }
        Value::Object(map) => map
            .values()
            .any(|entry| holds(entry, &["input_cost_per_token", "litellm_provider"]))
            .then_some(Form::LiteLlm),
        _ => None,
    }
}

/// Dollars per token of a float as nano-dollars per million tokens.
fn per_token(value: Option<&Value>) -> Option<u64> {
    crate::money::from_float(value?.as_f64()? * 1e6)
}

/// Dollars per million tokens as nano-dollars.
fn per_million(value: Option<&Value>) -> Option<u64> {
    crate::money::from_float(value?.as_f64()?)
}

fn day(value: Option<&Value>) -> Option<Day> {
    value?.as_str()?.get(..10)?.parse().ok()
}

fn litellm(value: &Value, from: Day) -> (Vec<Price>, usize) {
    let empty = Map::new();
    let map = value.as_object().unwrap_or(&empty);
    let (mut rows, mut left_out) = (Vec::new(), 0);
    for (model, entry) in map.iter().filter(|(model, _)| *model != "sample_spec") {
        let get = |key: &str| per_token(entry.get(key));
        let (Some(input), Some(output)) = (get("input_cost_per_token"), get("output_cost_per_token")) else {
            left_out += 1;
            continue;
        };
        let provider = entry
            .get("litellm_provider")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        rows.push(Price {
            model: model.clone(),
            provider: provider.to_owned(),
            from: Some(from),
            to: None,
            rates: Rates {
                input,
                output,
                cache_read: get("cache_read_input_token_cost"),
                cache_write: get("cache_creation_input_token_cost"),
                cache_write_long: get("cache_creation_input_token_cost_above_1hr"),
            },
            cliffs: litellm_cliffs(entry, input, output),
            window: entry.get("max_input_tokens").and_then(Value::as_u64),
            retires: day(entry.get("deprecation_date")),
            source: format!("LiteLLM, imported {from}"),
        });
    }
    (rows, left_out)
}

/// `input_cost_per_token_above_200k_tokens` and its like, for every threshold there is.
fn litellm_cliffs(entry: &Value, input: u64, output: u64) -> Vec<Cliff> {
    let mut above: BTreeMap<u64, &str> = BTreeMap::new();
    for key in entry.as_object().into_iter().flat_map(Map::keys) {
        let Some(threshold) = key.strip_prefix("input_cost_per_token_above_") else {
            continue;
        };
        let number = threshold
            .strip_suffix("k_tokens")
            .and_then(|number| number.parse::<u64>().ok());
        if let Some(thousands) = number {
            above.insert(thousands * 1_000, threshold);
        }
    }
    let cliff = |(above_tokens, threshold): (u64, &str)| {
        let get = |key: &str| per_token(entry.get(format!("{key}_above_{threshold}")));
        Cliff {
            above_tokens,
            rates: Rates {
                input: get("input_cost_per_token").unwrap_or(input),
                output: get("output_cost_per_token").unwrap_or(output),
                cache_read: get("cache_read_input_token_cost"),
                cache_write: get("cache_creation_input_token_cost"),
                cache_write_long: None,
            },
        }
    };
    above.into_iter().map(cliff).collect()
}

fn genai(value: &Value, from: Day) -> (Vec<Price>, usize) {
    let (mut rows, mut left_out) = (Vec::new(), 0);
    for provider in value.as_array().into_iter().flatten() {
        let name = provider.get("id").and_then(Value::as_str).unwrap_or("unknown");
        for model in provider.get("models").and_then(Value::as_array).into_iter().flatten() {
            let Some(id) = model.get("id").and_then(Value::as_str) else {
                continue;
            };
            let before = rows.len();
            let window = model.get("context_window").and_then(Value::as_u64);
            for (begins, prices) in genai_dated(model.get("prices"), from) {
                rows.extend(genai_rates(prices).map(|(rates, cliffs)| Price {
                    model: id.to_owned(),
                    provider: name.to_owned(),
                    from: Some(begins),
                    to: None,
                    rates,
                    cliffs,
                    window,
                    retires: None,
                    source: format!("genai-prices, imported {from}"),
                }));
            }
            left_out += usize::from(rows.len() == before);
        }
    }
    (rows, left_out)
}

/// One set of prices, or several of which each is true from a day on. Those by the hour of the day are left out.
fn genai_dated(prices: Option<&Value>, from: Day) -> Vec<(Day, &Value)> {
    match prices {
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(|dated| {
                let begins = match dated.get("constraint") {
                    None | Some(Value::Null) => from,
                    Some(constraint) => day(constraint.get("start_date"))?,
                };
                Some((begins, dated.get("prices")?))
            })
            .collect(),
        Some(one) => vec![(from, one)],
        None => Vec::new(),
    }
}

fn genai_rates(prices: &Value) -> Option<(Rates, Vec<Cliff>)> {
    // A rate is a number, or a base with tiers that each begin at a number of tokens.
    let base = |key: &str| {
        let value = prices.get(key)?;
        per_million(Some(value.get("base").unwrap_or(value)))
    };
    let tiers = |key: &str| -> BTreeMap<u64, u64> {
        let tiers = prices
            .get(key)
            .and_then(|value| value.get("tiers"))
            .and_then(Value::as_array);
        let tier = |tier: &Value| Some((tier.get("start")?.as_u64()?, per_million(tier.get("price"))?));
        tiers.into_iter().flatten().filter_map(tier).collect()
    };
    let rates = Rates {
        input: base("input_mtok")?,
        output: base("output_mtok")?,
        cache_read: base("cache_read_mtok"),
        cache_write: base("cache_write_mtok"),
        cache_write_long: None,
    };
    let (input, output) = (tiers("input_mtok"), tiers("output_mtok"));
    let (read, write) = (tiers("cache_read_mtok"), tiers("cache_write_mtok"));
    let mut starts: Vec<u64> = input
        .keys()
        .chain(output.keys())
        .chain(read.keys())
        .chain(write.keys())
        .copied()
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let cliff = |start: u64| Cliff {
        above_tokens: start,
        rates: Rates {
            input: input.get(&start).copied().unwrap_or(rates.input),
            output: output.get(&start).copied().unwrap_or(rates.output),
            cache_read: read.get(&start).copied().or(rates.cache_read),
            cache_write: write.get(&start).copied().or(rates.cache_write),
            cache_write_long: None,
        },
    };
    Some((rates, starts.into_iter().map(cliff).collect()))
}

fn models_dev(value: &Value, from: Day) -> (Vec<Price>, usize) {
    let (mut rows, mut left_out) = (Vec::new(), 0);
    for (provider, entry) in value.as_object().into_iter().flatten() {
        for (model, entry) in entry.get("models").and_then(Value::as_object).into_iter().flatten() {
            let cost = entry.get("cost");
            let rates = |cost: Option<&Value>| {
                let get = |key: &str| per_million(cost?.get(key));
                Some(Rates {
                    input: get("input")?,
                    output: get("output")?,
                    cache_read: get("cache_read"),
                    cache_write: get("cache_write"),
                    cache_write_long: None,
                })
            };
            let Some(base) = rates(cost) else {
                left_out += 1;
                continue;
            };
            let above = rates(cost.and_then(|cost| cost.get("context_over_200k"))).map(|rates| Cliff {
                above_tokens: 200_000,
                rates,
            });
            rows.push(Price {
                model: model.clone(),
                provider: provider.clone(),
                from: Some(from),
                to: None,
                rates: base,
                cliffs: above.into_iter().collect(),
                window: entry.pointer("/limit/context").and_then(Value::as_u64),
                retires: None,
                source: format!("models.dev, imported {from}"),
            });
        }
    }
    (rows, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> Day {
        "2026-11-27".parse().unwrap()
    }

    #[test]
    fn litellms_map_is_read_with_cliffs_and_ends() {
        let text = r#"{
            "sample_spec": {"input_cost_per_token": 0.0},
            "gemini/gemini-2.5-pro": {"litellm_provider": "gemini", "input_cost_per_token": 1.25e-06,
                "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-07,
                "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
                "max_input_tokens": 1048576, "deprecation_date": "2027-06-17"},
            "claude-x": {"litellm_provider": "anthropic", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
                "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06},
            "dall-e": {"litellm_provider": "openai", "input_cost_per_image": 0.04}}"#;
        let read = read(text, today()).unwrap();
        assert_eq!(
            (read.form, read.left_out, read.table.rows().len()),
            (Form::LiteLlm, 1, 2)
        );
        let price = read.table.find("gemini-2.5-pro", today()).price().unwrap();
        assert_eq!(
            (price.rates.input, price.rates.cache_read),
            (1_250_000_000, Some(125_000_000))
        );
        assert_eq!(price.rates_at(200_001).output, 15_000_000_000);
        assert_eq!(price.retires, Some("2027-06-17".parse().unwrap()));
        let price = read.table.find("claude-x", today()).price().unwrap();
        assert_eq!(
            (price.rates.cache_write, price.rates.cache_write_long),
            (Some(3_750_000_000), Some(6_000_000_000))
        );
    }

    #[test]
    fn genai_prices_are_read_with_tiers_and_dates() {
        let text = r#"[{"id": "google", "models": [
            {"id": "g-pro", "context_window": 1000000, "prices": {"input_mtok": {"base": 2, "tiers": [{"start": 200000, "price": 4}]},
                "output_mtok": {"base": 12, "tiers": [{"start": 200000, "price": 18}]}, "cache_read_mtok": 0.2}},
            {"id": "g-dated", "prices": [{"prices": {"input_mtok": 1, "output_mtok": 2}},
                {"constraint": {"start_date": "2026-12-01"}, "prices": {"input_mtok": 3, "output_mtok": 4}}]},
            {"id": "g-image", "prices": {"requests_kcount": 2}}]}]"#;
        let read = read(text, today()).unwrap();
        assert_eq!((read.form, read.left_out), (Form::GenaiPrices, 1));
        let pro = read.table.find("g-pro", today()).price().unwrap();
        assert_eq!(
            (pro.rates_at(200_000).input, pro.rates_at(200_001).input),
            (2_000_000_000, 4_000_000_000)
        );
        let dated = |at: &str| {
            read.table
                .find("g-dated", at.parse().unwrap())
                .price()
                .unwrap()
                .rates
                .input
        };
        assert_eq!(
            (dated("2026-11-30"), dated("2026-12-01")),
            (1_000_000_000, 3_000_000_000)
        );
    }

    #[test]
    fn models_dev_is_read() {
        let text = r#"{"xai": {"id": "xai", "models": {
            "grok-9": {"cost": {"input": 2, "output": 6, "cache_read": 0.5, "context_over_200k": {"input": 4, "output": 12}},
                "limit": {"context": 500000}},
            "free": {"name": "no cost given"}}}}"#;
        let read = read(text, today()).unwrap();
        assert_eq!((read.form, read.left_out), (Form::ModelsDev, 1));
        let price = read.table.find("xai/grok-9", today()).price().unwrap();
        assert_eq!(
            (price.provider.as_str(), price.window, price.rates_at(250_000).input),
            ("xai", Some(500_000), 4_000_000_000)
        );
    }

    #[test]
    fn our_own_form_comes_back_and_nonsense_is_refused() {
        let own = Table::shipped().write();
        assert_eq!(read(&own, today()).unwrap().table, *Table::shipped());
        for text in ["", "[]", "{}", "3", r#"{"a": {"b": 1}}"#, r#"[{"models": []}]"#] {
            assert!(read(text, today()).is_err(), "{text}");
        }
    }
}
