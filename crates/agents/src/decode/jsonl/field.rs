//! A field of a vendor's line, looked at only when somebody asks, and never the reason to lose the rest of the line.
//!
//! A number that became a string, an object that became a list: the field is then simply not there. Nothing is copied
//! and nothing is parsed before it is wanted, which is most of why decoding is fast.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One field of a JSON object, or its absence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Field<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Field((raw.get() != "null").then_some(raw)))
    }
}

impl<'a> Field<'a> {
    /// Whether it is there and not null.
    pub fn is_some(self) -> bool {
        self.0.is_some()
    }

    /// Its JSON.
    pub fn json(self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }

    /// A string.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let json = self.json()?;
        let inner = json.strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str(json).ok().map(Cow::Owned)
    }

    /// A string of its own.
    pub fn string(self) -> Option<String> {
        self.text().map(Cow::into_owned)
    }

    /// Whether it is exactly that string.
    pub fn is(self, expected: &str) -> bool {
        self.text().is_some_and(|text| text == expected)
    }

    /// A whole number, also when written as `3.0`.
    pub fn number(self) -> Option<u64> {
        let json = self.json()?;
        json.parse().ok().or_else(|| {
            let value: f64 = json.parse().ok()?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float cast saturates, and negative numbers are refused"
            )]
            (value.is_finite() && value >= 0.0).then_some(value as u64)
        })
    }

    /// A number.
    pub fn float(self) -> Option<f64> {
        self.json()?.parse().ok()
    }

    /// Whether it is `true`.
    pub fn truth(self) -> bool {
        self.json() == Some("true")
    }

    /// An object or list of a known shape.
    pub fn read<T: serde::Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.json()?).ok()
    }

    /// The elements of a list.
    pub fn items(self) -> Vec<Field<'a>> {
        self.read().unwrap_or_default()
    }

    /// The members of an object, by name.
    pub fn members(self) -> BTreeMap<String, Field<'a>> {
        self.read().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Two<'a> {
        #[serde(borrow, default)]
        a: Field<'a>,
        #[serde(borrow, default)]
        b: Field<'a>,
    }

    #[test]
    fn a_field_of_the_wrong_shape_is_absent_and_the_others_stay() {
        for (json, text, number) in [
            (r#"{"a":"x","b":3}"#, Some("x"), Some(3)),
            (r#"{"a":5,"b":"3"}"#, None, None),
            (r#"{"a":null,"b":3.0}"#, None, Some(3)),
            (r#"{"a":"q\"\u00e9","b":-1}"#, Some("q\"é"), None),
            (r#"{"a":{"deep":[1]},"b":1e3}"#, None, Some(1000)),
            (r#"{"c":1}"#, None, None),
        ] {
            let two: Two<'_> = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(two.a.text().as_deref(), text, "{json}");
            assert_eq!(two.b.number(), number, "{json}");
        }
    }

    #[test]
    fn members_of_what_is_no_object_are_none() {
        let two: Two<'_> = serde_json::from_str(r#"{"a":{"z":1,"b":"two"},"b":[1]}"#).expect("valid");
        let members = two.a.members();
        assert!(members.len() == 2 && members["b"].is("two"));
        assert!(two.b.members().is_empty());
    }
}
