//! The table itself: its file, and how a model's name finds its row.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{Cliff, Price, Rates};
use crate::day::Day;
use crate::usage::Usage;

/// Prices with the day as of which they were looked up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// When its newest source was read.
    pub as_of: Option<Day>,
    rows: Vec<Price>,
    by_model: BTreeMap<String, Vec<usize>>,
}

/// What a name led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match<'t> {
    /// The row of that day.
    Found(&'t Price),
    /// The model is known, and has no price on that day.
    NotOnThatDay,
    /// Nobody knows the model.
    Unknown,
}

impl<'t> Match<'t> {
    /// The row, when there is one.
    pub fn price(self) -> Option<&'t Price> {
        match self {
            Match::Found(price) => Some(price),
            Match::NotOnThatDay | Match::Unknown => None,
        }
    }
}

/// The text is not a price table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is not a table of prices: {0}")]
pub struct BadTable(pub String);

static SHIPPED: LazyLock<Table> = LazyLock::new(|| {
    // A test reads it too: a bad row never leaves the house.
    Table::parse(include_str!("prices.json")).unwrap_or_default()
});

impl Table {
    /// The table that comes with the program.
    pub fn shipped() -> &'static Table {
        &SHIPPED
    }

    /// A table of these rows.
    pub fn new(as_of: Option<Day>, rows: Vec<Price>) -> Table {
        let mut by_model: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            by_model.entry(plain(&row.model)).or_default().push(place);
        }
        Table { as_of, rows, by_model }
    }

    /// Reads the file form; see `docs/money.md`.
    pub fn parse(text: &str) -> Result<Table, BadTable> {
        let file: File = serde_json::from_str(text).map_err(|error| BadTable(error.to_string()))?;
        let rows: Result<Vec<Price>, BadTable> = file.prices.into_iter().map(Price::try_from).collect();
        Ok(Table::new(Some(file.as_of), rows?))
    }

    /// The file form, one row a line.
    pub fn write(&self) -> String {
        let lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| serde_json::to_string(&Row::from(row)).unwrap_or_default())
            .collect();
        let as_of = self.as_of.unwrap_or_default();
        format!("{{\"as_of\": \"{as_of}\", \"prices\": [\n{}\n]}}\n", lines.join(",\n"))
    }

    /// All rows, in the order of the file.
    pub fn rows(&self) -> &[Price] {
        &self.rows
    }

    /// Both tables as one. Where two rows of a model begin on the same day, the one of `later` is the true one.
    #[must_use]
    pub fn with(&self, later: &Table) -> Table {
        let rows = self.rows.iter().chain(&later.rows).cloned().collect();
        Table::new(self.as_of.max(later.as_of), rows)
    }

    /// The price of a model on a day. The name may carry a provider (`anthropic/…`), a date (`…-20251001`), `-latest`
    /// or a suffix such as `[1m]`; the name as it is comes first.
    pub fn find(&self, model: &str, day: Day) -> Match<'_> {
        let name = plain(model);
        let mut known = false;
        for candidate in [Some(name.clone()), undated(&name), unsuffixed(&name)]
            .into_iter()
            .flatten()
        {
            let Some(places) = self.by_model.get(&candidate) else {
                continue;
            };
            known = true;
            let rows = places
                .iter()
                .map(|place| &self.rows[*place])
                .filter(|row| row.is_of(day));
            // The latest beginning wins, and of equal ones the last.
            if let Some(row) = rows.max_by_key(|row| row.from) {
                return Match::Found(row);
            }
        }
        if known { Match::NotOnThatDay } else { Match::Unknown }
    }

    /// The same usage at that day's price; none when nobody knows it.
    pub fn cost_nano(&self, model: &str, day: Day, usage: &Usage, requests: super::Requests) -> Option<u64> {
        Some(self.find(model, day).price()?.cost_nano(usage, requests))
    }
}

/// Lower case, without the provider in front.
fn plain(model: &str) -> String {
    let name = model.trim().to_ascii_lowercase();
    match name.rsplit_once('/') {
        Some((_, last)) if !last.is_empty() => last.to_owned(),
        _ => name,
    }
}

fn undated(name: &str) -> Option<String> {
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((stem, last)) = name.rsplit_once('-') {
        if digits(last, 8) {
            return Some(stem.to_owned());
        }
        let mut parts = name.rsplitn(4, '-');
        if let (Some(day), Some(month), Some(year), Some(stem)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
            && digits(day, 2)
            && digits(month, 2)
            && digits(year, 4)
        {
            return Some(stem.to_owned());
        }
    }
    Some(name.to_owned())
}

/// Without what stands behind `[`, `:` or `@`: a window, a tag, a date of another cloud.
fn unsuffixed(name: &str) -> Option<String> {
    let stem = name.split(['[', ':', '@']).next()?;
    (stem != name && !stem.is_empty()).then(|| undated(stem)).flatten()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: Day,
    #[serde(default)]
    #[expect(dead_code, reason = "for people who open the file")]
    about: Option<String>,
    prices: Vec<Row>,
}

/// A row of the file: dollars per million tokens as decimal text, so that no digit is lost.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    model: String,
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Day>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Day>,
    usd: Usd,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cliffs: Vec<CliffRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retires: Option<Day>,
    source: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Usd {
    input: String,
    output: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_read: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write_long: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CliffRow {
    above_tokens: u64,
    usd: Usd,
}

impl TryFrom<Row> for Price {
    type Error = BadTable;

    fn try_from(row: Row) -> Result<Price, BadTable> {
        let Row {
            model,
            provider,
            from,
            to,
            usd,
            cliffs,
            window,
            retires,
            source,
        } = row;
        let wrong = |why: String| BadTable(format!("`{model}`: {why}"));
        let rates = rates(&usd).map_err(wrong)?;
        let mut steep = Vec::with_capacity(cliffs.len());
        for cliff in &cliffs {
            steep.push(Cliff {
                above_tokens: cliff.above_tokens,
                rates: self::rates(&cliff.usd).map_err(wrong)?,
            });
        }
        steep.sort_by_key(|cliff| cliff.above_tokens);
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(wrong("it ends before it begins".to_owned()));
        }
        Ok(Price {
            model,
            provider,
            from,
            to,
            rates,
            cliffs: steep,
            window,
            retires,
            source,
        })
    }
}

fn rates(usd: &Usd) -> Result<Rates, String> {
    let optional = |text: &Option<String>| text.as_deref().map(nano).transpose();
    Ok(Rates {
        input: nano(&usd.input)?,
        output: nano(&usd.output)?,
        cache_read: optional(&usd.cache_read)?,
        cache_write: optional(&usd.cache_write)?,
        cache_write_long: optional(&usd.cache_write_long)?,
    })
}

impl From<&Price> for Row {
    fn from(price: &Price) -> Row {
        let usd = |rates: &Rates| Usd {
            input: usd_text(rates.input),
            output: usd_text(rates.output),
            cache_read: rates.cache_read.map(usd_text),
            cache_write: rates.cache_write.map(usd_text),
            cache_write_long: rates.cache_write_long.map(usd_text),
        };
        Row {
            model: price.model.clone(),
            provider: price.provider.clone(),
            from: price.from,
            to: price.to,
            usd: usd(&price.rates),
            cliffs: price
                .cliffs
                .iter()
                .map(|cliff| CliffRow {
                    above_tokens: cliff.above_tokens,
                    usd: usd(&cliff.rates),
                })
                .collect(),
            window: price.window,
            retires: price.retires,
            source: price.source.clone(),
        }
    }
}

fn nano(text: &str) -> Result<u64, String> {
    crate::money::parse_usd(text).map_err(|error| error.to_string())
}

/// Nano-dollars as the shortest decimal of dollars.
fn usd_text(nano: u64) -> String {
    let (whole, rest) = (nano / super::NANO_PER_USD, nano % super::NANO_PER_USD);
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!("{rest:09}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn the_shipped_table_is_sound() {
        let table = Table::parse(include_str!("prices.json")).unwrap();
        assert!(table.rows().len() > 60);
        for row in table.rows() {
            assert!(row.rates.input > 0 && row.rates.output > 0, "{}", row.model);
            assert!(!row.source.is_empty() && !row.provider.is_empty(), "{}", row.model);
        }
        // The models that the first documents of this product and its agents name.
        for model in [
            "claude-opus-4-6",
            "claude-sonnet-4-6",
            "claude-haiku-4-5",
            "gpt-4o",
            "gemini-2.5-pro",
            "grok-4.7",
            "gpt-5.3-codex",
        ] {
            assert!(table.find(model, day("2026-11-20")).price().is_some(), "{model}");
        }
        assert_eq!(Table::parse(&table.write()), Ok(table));
    }

    #[test]
    fn names_find_their_row_in_every_dress() {
        let table = Table::shipped();
        for (name, row) in [
            ("claude-haiku-4-5", "claude-haiku-4-5"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("anthropic/claude-haiku-4-5", "claude-haiku-4-5"),
            ("Claude-Opus-4-6[1m]", "claude-opus-4-6"),
            ("gpt-5.5-2026-04-23", "gpt-5.5"),
            ("openrouter/xai/grok-4.7-latest", "grok-4.7"),
            ("gemini/gemini-4-argon", "gemini-4-argon"),
        ] {
            let found = table
                .find(name, day("2026-11-20"))
                .price()
                .map(|price| price.model.as_str());
            assert_eq!(found, Some(row), "{name}");
        }
        assert_eq!(table.find("grok-3", day("2026-11-20")), Match::Unknown);
        assert_eq!(table.find("", day("2026-11-20")), Match::Unknown);
    }

    #[test]
    fn retired_models_keep_their_price_and_are_known_as_retired() {
        let price = Table::shipped().find("gpt-5-codex", day("2026-11-20")).price().unwrap();
        assert!(price.is_retired(day("2026-11-20")) && !price.is_retired(day("2026-07-22")));
    }

    #[test]
    fn a_later_table_wins_from_its_day_on_and_the_past_stays() {
        let newer = r#"{"as_of": "2027-03-01", "prices": [
            {"model": "gpt-4o", "provider": "openai", "from": "2027-03-01", "usd": {"input": "1", "output": "2"}, "source": "me"}]}"#;
        let table = Table::shipped().with(&Table::parse(newer).unwrap());
        let input = |at: &str| table.find("gpt-4o", day(at)).price().unwrap().rates.input;
        assert_eq!(
            (input("2027-02-28"), input("2027-03-01")),
            (2_500_000_000, 1_000_000_000)
        );
        assert_eq!(table.as_of, Some(day("2027-03-01")));
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        let bad = |usd: &str| {
            let text = format!(
                r#"{{"as_of": "2026-01-01", "prices": [{{"model": "m", "provider": "p", "usd": {usd}, "source": "s"}}]}}"#
            );
            Table::parse(&text).unwrap_err().to_string()
        };
        assert!(bad(r#"{"input": "x", "output": "1"}"#).contains("`m`"));
        assert!(bad(r#"{"input": "1"}"#).contains("output"));
        assert!(bad(r#"{"input": "1", "output": "1", "cache": "1"}"#).contains("cache_read"));
    }
}
