//! `subscriptions.*`: what is paid whether or not anything is done.

use std::collections::BTreeMap;

use wheelhouse_core::day::Day;
use wheelhouse_core::money::parse_usd;
use wheelhouse_core::report::Fee;

use super::keys::Value;
use super::{Merged, Problem};

/// The fee of a month, its first and its last day, as far as they are said.
type Named = (Option<u64>, Option<Day>, Option<Day>);

impl Merged {
    /// The fees, or what is wrong with them.
    pub(super) fn fees(&self, problems: &mut Vec<Problem>) -> Vec<Fee> {
        let mut named: BTreeMap<&str, Named> = BTreeMap::new();
        for (path, (value, _)) in &self.values {
            let [group, name, field] = path.as_slice() else {
                continue;
            };
            let (true, Value::Text(text)) = (group == "subscriptions", value) else {
                continue;
            };
            let of = named.entry(name).or_default();
            let mut day = || match text.parse::<Day>() {
                Ok(day) => Some(day),
                Err(error) => {
                    problems.push(Problem {
                        origin: self.origin(&["subscriptions", name, field]),
                        message: format!("`subscriptions.{name}.{field}`: {error}"),
                    });
                    None
                }
            };
            match field.as_str() {
                "from" => of.1 = day(),
                "until" => of.2 = day(),
                _ => of.0 = parse_usd(text).ok(),
            }
        }
        let mut fees = Vec::new();
        for (name, (month_nano, from, until)) in named {
            match month_nano {
                Some(month_nano) => fees.push(Fee {
                    name: name.to_owned(),
                    month_nano,
                    from,
                    until,
                }),
                None => problems.push(Problem {
                    origin: self.origin(&["subscriptions", name]),
                    message: format!("subscription `{name}` has no fee; add `month = \"20\"`"),
                }),
            }
        }
        fees
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;

    #[test]
    fn a_subscription_needs_its_fee_and_days_are_days() {
        let text =
            "[subscriptions.\"Claude Max\"]\nmonth = 200\nfrom = \"2026-11-01\"\n[subscriptions.x]\nuntil = \"soon\"\n";
        let problems = settings(text).unwrap_err();
        let lines: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        `subscriptions.x.until`: `soon` is not a day; write it as `2026-11-27`
        subscription `x` has no fee; add `month = "20"`
        "#);
        let fees = settings("subscriptions.max.month = \"200\"\n").unwrap().fees;
        assert_eq!((fees[0].name.as_str(), fees[0].month_nano), ("max", 200_000_000_000));
    }
}
