//! What a peer may say before and besides messages: both sides of the login, and values of rows in binary form.
//!
//! Promises: [`fuzz_login`] fails where a challenge is taken that does not continue our nonce or asks for more rounds
//! than allowed, and where an arbitrary proof is believed; [`fuzz_sasl`] where a client's message is taken for another
//! exchange's, or what is no token for one; [`fuzz_values`] fails where the text of a value is longer
//! than the record can have use for or is not what the type's text can be. Neither may panic.
//! Held by: the tests below, and the fuzz targets `postgres_login`, `postgres_sasl` and `postgres_values`.

use crate::answer::{text_of, type_oids};

pub use crate::login::{fuzz_login, fuzz_sasl};

/// Writes arbitrary bytes as a value of a type that the first byte chooses, in both formats.
pub fn fuzz_values(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    let type_oid = type_oids().nth(usize::from(which) % type_oids().count()).unwrap_or(0);
    text_of(bytes, type_oid, false);
    let text = text_of(bytes, type_oid, true);
    if text.starts_with("\\x") {
        return;
    }
    match type_oid {
        20 | 21 | 23 | 24 | 26 | 28 | 2205 => {
            assert!(text.parse::<i128>().is_ok(), "{text} is no whole number");
        }
        1700 => {
            let words: Vec<_> = bytes.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word)).collect();
            let special = matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
            let digits = text.trim_start_matches('-');
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            assert!(special || (!whole.is_empty() && plain(whole) && plain(fraction)), "{text} is no number");
            let scale = words.get(3).copied().map_or(0, usize::from);
            assert!(special || fraction.len() == scale, "{text} has another scale than {scale}");
            let most = words.get(1).map_or(0, |weight| usize::from(*weight) + 1) * 4;
            assert!(special || whole.len() <= most.max(1) || whole == "0", "{text} has too many digits");
        }
        700 | 701 => assert!(text.parse::<f64>().is_ok() && !text.ends_with("inf"), "{text} is no number"),
        1082 | 1114 | 1184 => assert!(text.len() <= 40, "{text} is no time"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_value_and_any_login(data in prop::collection::vec(any::<u8>(), 0..80)) {
            fuzz_values(&data);
            fuzz_login(&data);
            fuzz_sasl(&data);
        }
    }
}
