//! Numbers in the form of JSON, compared exactly.
//!
//! Promises: takes exactly the grammar of RFC 8259, section 6; two numbers compare as the decimals that they are, however
//! many digits or which exponent they are written with, in time linear in their text: no rounding, so `0.1` is not
//! `0.1000000000000000055` and a limit of 1000 is not passed by `1000.0000000000000001`. What does not fit (an exponent
//! beyond 64 bits) is no number here. Held by: the tests below.

use std::cmp::Ordering;

/// A decimal: its sign and 0.DIGITS times ten to a power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty is zero.
    digits: Box<[u8]>,
    power: i64,
}

impl Decimal {
    /// The number that this text is.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !number(whole) || (whole.len() > 1 && whole.starts_with('0')) || !fraction.is_none_or(number) {
            return None;
        }
        let exponent = exponent.map_or(Some(0), |text| {
            number(text.strip_prefix(['+', '-']).unwrap_or(text)).then(|| text.parse::<i64>().ok()).flatten()
        })?;
        let digits = [whole, fraction.unwrap_or_default()].concat();
        let leading = digits.bytes().take_while(|digit| *digit == b'0').count();
        let digits = digits.trim_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: Box::default(), power: 0 });
        }
        let shift = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(leading).ok()?)?;
        Some(Self { negative, digits: digits.as_bytes().into(), power: exponent.checked_add(shift)? })
    }

    /// -1, 0 or 1.
    const fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = || self.power.cmp(&other.power).then_with(|| self.digits.cmp(&other.digits));
        self.sign().cmp(&other.sign()).then_with(|| if self.negative { size().reverse() } else { size() })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_those_of_json_and_nothing_else() {
        for text in ["0", "-0", "0.0", "1e400", "-1.5E-7", "1e+2", "123456789012345678901234567890"] {
            assert!(Decimal::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "1_000",
            " 1",
            "1 ",
            "NaN",
            "Infinity",
            "1e99999999999999999999",
            "\u{661}",
            "--1",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn they_compare_as_what_they_are() {
        let ordered = [
            "-1e400",
            "-1000.0000000000000001",
            "-1000",
            "-0.1",
            "0",
            "1e-400",
            "0.1",
            "0.1000000000000000055",
            "0.5",
            "1",
            "9.99",
            "10",
            "1000",
            "1000.0000000000000001",
            "9007199254740992",
            "9007199254740993",
            "1e400",
        ];
        for (nth, one) in ordered.iter().enumerate() {
            for (other, text) in ordered.iter().enumerate() {
                let compared = Decimal::parse(one).unwrap().cmp(&Decimal::parse(text).unwrap());
                assert_eq!(compared, nth.cmp(&other), "{one} and {text}");
            }
        }
        for (one, other) in
            [("1000", "1e3"), ("1000", "1000.00"), ("-0", "0.0e5"), ("0.001", "1E-3"), ("1200", "0.12e4")]
        {
            assert_eq!(Decimal::parse(one), Decimal::parse(other), "{one} and {other}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_integers_do(one: i64, other: i64, zeros in 0_usize..5) {
            let spelled = format!("{other}.{}", "0".repeat(zeros + 1));
            let (left, right) = (Decimal::parse(&one.to_string()).unwrap(), Decimal::parse(&spelled).unwrap());
            prop_assert_eq!(left.cmp(&right), one.cmp(&other));
        }
    }
}
