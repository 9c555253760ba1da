//! Values in text form, for the record: what came as text as it is, what came in binary form of the common types as the
//! server would write it, anything else in hexadecimal behind `\x`.
//!
//! Promises: total, never panics, and says hexadecimal rather than something wrong. Does not promise to honour
//! DateStyle or the like: times are ISO 8601 in UTC.
//! Held by: the tests below; `tests/it/record.rs` compares every type here with the server's own text.

use std::fmt::Write as _;
use std::sync::Arc;

/// Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH: i64 = 946_684_800_000_000;

/// The base of the digits of numeric in binary form.
const BASE: u16 = 10_000;

/// The most digits behind the point that numeric can have.
const GREATEST_SCALE: usize = 0x3fff;

/// The built-in types by OID (`pg_type.dat`) that drivers send in binary form or that people read in records.
const TYPES: [(u32, &str); 40] = [
    (16, "bool"),
    (17, "bytea"),
    (18, "char"),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (24, "regproc"),
    (25, "text"),
    (26, "oid"),
    (28, "xid"),
    (114, "json"),
    (142, "xml"),
    (600, "point"),
    (650, "cidr"),
    (700, "float4"),
    (701, "float8"),
    (790, "money"),
    (869, "inet"),
    (1000, "bool[]"),
    (1005, "int2[]"),
    (1007, "int4[]"),
    (1009, "text[]"),
    (1015, "varchar[]"),
    (1016, "int8[]"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1186, "interval"),
    (1266, "timetz"),
    (1560, "bit"),
    (1562, "varbit"),
    (1700, "numeric"),
    (2205, "regclass"),
    (2950, "uuid"),
    (3802, "jsonb"),
    (2249, "record"),
];

/// The type's name, or its number; `unknown` for none.
pub(crate) fn type_name(oid: u32) -> Arc<str> {
    match TYPES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => (*name).into(),
        None if oid == 0 => "unknown".into(),
        None => oid.to_string().into(),
    }
}

/// The types that have a name here.
pub(crate) fn type_oids() -> impl Iterator<Item = u32> {
    TYPES.iter().map(|(oid, _)| *oid)
}

/// A value in text form.
pub(crate) fn text_of(bytes: &[u8], type_oid: u32, binary: bool) -> String {
    if !binary {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    decoded(bytes, type_oid).unwrap_or_else(|| hexadecimal(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // Writing into a String cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

fn decoded(bytes: &[u8], type_oid: u32) -> Option<String> {
    Some(match type_oid {
        16 => match bytes {
            [0] => "f".to_owned(),
            [1] => "t".to_owned(),
            _ => return None,
        },
        18 | 19 | 25 | 114 | 142 | 1042 | 1043 => std::str::from_utf8(bytes).ok()?.to_owned(),
        20 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        21 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        23 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        24 | 26 | 28 | 2205 => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        700 => float(f32::from_be_bytes(bytes.try_into().ok()?).to_string()),
        701 => float(f64::from_be_bytes(bytes.try_into().ok()?).to_string()),
        1082 => date(i32::from_be_bytes(bytes.try_into().ok()?))?,
        1114 => moment(i64::from_be_bytes(bytes.try_into().ok()?), "")?,
        1184 => moment(i64::from_be_bytes(bytes.try_into().ok()?), "+00")?,
        1700 => numeric(bytes)?,
        2950 => uuid(bytes)?,
        3802 => match bytes.split_first()? {
            (1, json) => std::str::from_utf8(json).ok()?.to_owned(),
            _ => return None,
        },
        _ => return None,
    })
}

/// Where the server has another word than we.
fn float(text: String) -> String {
    match text.as_str() {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        _ => text,
    }
}

fn date(days: i32) -> Option<String> {
    let at =
        jiff::Timestamp::from_microsecond(EPOCH.checked_add(i64::from(days).checked_mul(86_400_000_000)?)?).ok()?;
    Some(at.strftime("%Y-%m-%d").to_string())
}

fn moment(micros: i64, zone: &str) -> Option<String> {
    let at = jiff::Timestamp::from_microsecond(EPOCH.checked_add(micros)?).ok()?;
    let seconds = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let fraction = micros.rem_euclid(1_000_000);
    let fraction =
        if fraction == 0 { String::new() } else { format!(".{fraction:06}").trim_end_matches('0').to_owned() };
    Some(format!("{seconds}{fraction}{zone}"))
}

fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.len() != 16 {
        return None;
    }
    let digits = hexadecimal(bytes);
    let digits = digits.get(2..)?;
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    Some(parts.join("-"))
}

/// numeric in binary form: counts and weight, then digits of base 10,000.
fn numeric(bytes: &[u8]) -> Option<String> {
    let (words, rest) = bytes.as_chunks::<2>();
    let [digits, weight, sign, scale, values @ ..] = words else { return None };
    let (weight, scale) = (i32::from(i16::from_be_bytes(*weight)), usize::from(u16::from_be_bytes(*scale)));
    // A server writes no digit beyond its base and no scale beyond its own limit; what does is not a number to show.
    let digit = |word: &[u8; 2]| u16::from_be_bytes(*word) < BASE;
    if !rest.is_empty() || values.len() != usize::from(u16::from_be_bytes(*digits)) || !values.iter().all(digit) {
        return None;
    }
    if scale > GREATEST_SCALE {
        return None;
    }
    let mut text = match u16::from_be_bytes(*sign) {
        0x0000 => String::new(),
        0x4000 => "-".to_owned(),
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let value = |place: i32| {
        let index = usize::try_from(weight - place).ok()?;
        values.get(index).map(|digits| u16::from_be_bytes(*digits))
    };
    if weight < 0 {
        text.push('0');
    }
    for place in (0..=weight).rev() {
        let digits = value(place).unwrap_or(0);
        let _written = if place == weight { write!(text, "{digits}") } else { write!(text, "{digits:04}") };
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < scale {
            let _written = write!(fraction, "{:04}", value(place).unwrap_or(0));
            place -= 1;
        }
        text.push('.');
        text.push_str(fraction.get(..scale)?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_read_as_the_server_writes_them() {
        for (given, expected) in [
            (words(&[2, 0, 0, 2, 12, 5000]), "12.50"),
            (words(&[1, 1, 0x4000, 0, 3]), "-30000"),
            (words(&[1, u16::MAX, 0, 4, 7]), "0.0007"),
            (words(&[0, 0, 0, 0]), "0"),
            (words(&[0, 0, 0xc000, 0]), "NaN"),
        ] {
            assert_eq!(text_of(&given, 1700, true), expected);
        }
        assert_eq!(text_of(&words(&[9, 0, 0, 0]), 1700, true), "\\x0009000000000000");
    }

    /// Found by fuzzing: a digit of 10,000 or more was written as if it were several.
    #[test]
    fn digits_beyond_their_base_are_no_number() {
        assert_eq!(text_of(&words(&[1, 0, 0, 0, 9999]), 1700, true), "9999");
        for wrong in [[1, 0, 0, 0, 10_000], [1, 0, 0, 0, u16::MAX], [1, 0, 0, 0x4000, 1]] {
            assert!(text_of(&words(&wrong), 1700, true).starts_with("\\x"), "{wrong:?}");
        }
    }

    #[test]
    fn infinities_are_the_servers_words() {
        assert_eq!(text_of(&f64::NEG_INFINITY.to_be_bytes(), 701, true), "-Infinity");
        assert_eq!(text_of(&f32::INFINITY.to_be_bytes(), 700, true), "Infinity");
        assert_eq!(text_of(&f64::NAN.to_be_bytes(), 701, true), "NaN");
        assert_eq!(text_of(&1.5_f64.to_be_bytes(), 701, true), "1.5");
    }

    #[test]
    fn times_and_ids_read_as_iso() {
        assert_eq!(text_of(&1_500_000_i64.to_be_bytes(), 1114, true), "2000-01-01 00:00:01.5");
        assert_eq!(text_of(&(-1_i64).to_be_bytes(), 1184, true), "1999-12-31 23:59:59.999999+00");
        assert_eq!(text_of(&366_i32.to_be_bytes(), 1082, true), "2001-01-01");
        assert_eq!(text_of(&i64::MAX.to_be_bytes(), 1114, true), "\\x7fffffffffffffff");
        assert_eq!(text_of(&[0x11; 16], 2950, true), "11111111-1111-1111-1111-111111111111");
    }

    #[test]
    fn what_is_not_known_is_hexadecimal() {
        assert_eq!(text_of(&[1, 2], 600, true), "\\x0102");
        assert_eq!(text_of(&[0], 23, true), "\\x00");
        assert_eq!(&*type_name(0), "unknown");
        assert_eq!(&*type_name(4_000_000), "4000000");
    }
}
