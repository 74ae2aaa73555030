//! Money as whole nano-dollars: how people write it and how it is read. One dollar is 1,000,000,000.

/// The text is not an amount of money.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{found}` is not an amount in dollars; write it as `5`, `0.25` or `$2.50`")]
pub struct NotMoney {
    /// What was given.
    pub found: String,
}

/// Reads `5`, `0.25`, `$2.50` to the nano-dollar. More than nine places, a sign or an exponent are refused: what is not
/// exact is a guess.
pub fn parse_usd(text: &str) -> Result<u64, NotMoney> {
    let refuse = || NotMoney { found: text.to_owned() };
    let digits = text.trim().trim_start_matches('$');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return Err(refuse());
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| refuse())?
    };
    let places = u32::try_from(fraction.len()).unwrap_or(9);
    let part: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| refuse())?
    };
    whole
        .checked_mul(crate::price::NANO_PER_USD)
        .and_then(|nano| nano.checked_add(part * 10u64.pow(9 - places)))
        .ok_or_else(refuse)
}

/// Dollars of a float, as other programs write them; none when it is negative or no number.
pub fn from_float(usd: f64) -> Option<u64> {
    if !usd.is_finite() || usd < 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above; what is too large saturates"
    )]
    let nano = (usd * 1e9).round() as u64;
    Some(nano)
}

/// Nano-dollars for people: cents from a dollar on, four places below.
pub fn show_usd(nano: u64) -> String {
    let places = if nano >= crate::price::NANO_PER_USD { 2 } else { 4 };
    let unit = 10u64.pow(9 - places);
    let rounded = nano.saturating_add(unit / 2) / unit;
    let whole = 10u64.pow(places);
    let width = places as usize;
    format!("${}.{:0width$}", thousands(rounded / whole), rounded % whole)
}

/// `12,345`
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        for (text, nano) in [
            ("5", 5_000_000_000),
            ("0.25", 250_000_000),
            ("$2.50", 2_500_000_000),
            (".5", 500_000_000),
            ("0.000000001", 1),
            ("0", 0),
        ] {
            assert_eq!(parse_usd(text), Ok(nano), "{text}");
        }
        for text in ["", ".", "-1", "1e3", "1.0000000001", "x", "1,5", "99999999999999999999"] {
            assert!(parse_usd(text).is_err(), "{text}");
        }
    }

    #[test]
    fn floats_come_in_and_nonsense_does_not() {
        assert_eq!(from_float(0.1), Some(100_000_000));
        assert_eq!(from_float(-0.1), None);
        assert_eq!(from_float(f64::NAN), None);
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(show_usd(12_340_000), "$0.0123");
        assert_eq!(show_usd(1_234_567_890), "$1.23");
        assert_eq!(show_usd(0), "$0.0000");
        assert_eq!(show_usd(1_234_567_000_000_000), "$1,234,567.00");
        assert_eq!(thousands(999), "999");
    }
}
