//! Words to values: durations, sizes, counts, addresses, choices.
//!
//! Promises: a number without its unit, a unit that could be read two ways and a value out of range are problems, never
//! rounded or clamped. Held by: the tests below and the golden files.

use crate::document::Value;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = word.to_lowercase().replace('-', "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&folded, &known.replace('-', "_"));
    let close = known.iter().map(|known| (distance(known), *known)).filter(|(far, known)| *far <= known.len() / 3);
    close.min().map(|(_, known)| known)
}

/// `1h30m`, `500ms`, `400d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_ends = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_ends)?;
        let millis = match unit {
            "ms" => 1,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            _ => return None,
        };
        // Each unit once, from the largest down: `1m1m` and `1m1h` are slips.
        if millis >= last {
            return None;
        }
        last = millis;
        total = total.checked_add(number.checked_mul(millis)?)?;
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// `512B`, `64KiB`, `1MiB`, `2GiB`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let ends = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(ends)?;
    Some((digits.parse().ok()?, rest))
}

/// A duration as it is written.
fn shown_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let unit = units.iter().find(|(length, _)| millis >= *length && millis.is_multiple_of(*length));
    unit.map_or_else(|| format!("{millis}ms"), |(length, name)| format!("{}{name}", millis / length))
}

/// A size as it is written.
fn shown_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(length, _)| bytes >= *length && bytes.is_multiple_of(*length));
    unit.map_or_else(|| format!("{bytes}B"), |(length, name)| format!("{}{name}", bytes / length))
}

impl Value<'_> {
    /// A duration within the range.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text()?;
        let Some(duration) = parse_duration(text) else {
            self.problem_with(
                format!("`{text}` is not a duration"),
                "write a number with ms, s, m, h or d, as in `10m`",
            );
            return None;
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (shown_duration(*range.start()), shown_duration(*range.end()));
        self.problem(format!("`{text}` is out of range: {least} to {most}"));
        None
    }

    /// A number of bytes within the range.
    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text()?;
        let Some(size) = parse_size(text) else {
            self.problem_with(
                format!("`{text}` is not a size"),
                "write a number with B, KiB, MiB or GiB, as in `1MiB`",
            );
            return None;
        };
        if range.contains(&size) {
            return Some(size);
        }
        self.problem(format!(
            "`{text}` is out of range: {} to {}",
            shown_size(*range.start()),
            shown_size(*range.end())
        ));
        None
    }

    /// A whole number within the range.
    pub(crate) fn count(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let text = self.text()?;
        let count = text.parse().ok().filter(|count| range.contains(count) && text.bytes().all(|b| b.is_ascii_digit()));
        if count.is_none() {
            self.problem(format!("`{text}` is not a whole number from {} to {}", range.start(), range.end()));
        }
        count
    }

    /// One of these words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            let help = nearest(text, &words).map(|near| format!("did you mean `{near}`?"));
            let help = help.unwrap_or_else(|| format!("write one of {}", words.join(", ")));
            self.problem_with(format!("`{text}` is not known here"), help);
        }
        found
    }

    /// An address to listen on.
    pub(crate) fn socket_address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
        let port = port.unwrap_or("6442");
        let everywhere = text.starts_with(':') || text.starts_with('*');
        let host = if everywhere { "0.0.0.0" } else { "127.0.0.1" };
        self.problem_with(
            format!("`{text}` is not an address to listen on"),
            format!("write an IP address and a port, as in `{host}:{port}`"),
        );
        None
    }

    /// A name without control characters, of 1 to 128 characters.
    pub(crate) fn name(&self) -> Option<&str> {
        let text = self.text()?;
        if text.is_empty() || text.chars().count() > 128 || text.chars().any(char::is_control) {
            self.problem("a name has 1 to 128 characters and no control characters");
            return None;
        }
        Some(text)
    }

    /// A list of names, each once.
    pub(crate) fn names<C: FromIterator<std::sync::Arc<str>>>(&self) -> Option<C> {
        let items = self.list()?;
        let mut seen = std::collections::BTreeSet::new();
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            match item.name() {
                Some(name) if seen.insert(name.to_owned()) => names.push(name.into()),
                Some(name) => item.problem(format!("`{name}` is listed twice")),
                None => {}
            }
        }
        Some(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_strictly() {
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        let durations =
            [("10m", minutes(10)), ("1h30m", minutes(90)), ("400d", minutes(400 * 24 * 60)), ("0s", minutes(0))];
        for (text, expected) in durations {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for text in
            ["", "10", "m", "-1m", "1.5h", "1 h", "10M", "1m1h", "1m1m", "1w", "1h30", "99999999999999999999d", "1é"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_size("1MiB"), Some(1 << 20));
        assert_eq!(parse_size("512B"), Some(512));
        for text in ["", "1", "1MB", "1M", "1 MiB", "-1B", "1.5KiB", "MiB", "18446744073709551615GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_shown_as_they_are_written() {
        for text in ["250ms", "15s", "10m", "1h", "400d"] {
            assert_eq!(parse_duration(text).map(shown_duration).as_deref(), Some(text));
        }
        for text in ["1B", "64KiB", "1MiB", "3GiB"] {
            assert_eq!(parse_size(text).map(shown_size).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["password", "address", "tls_ca", "tls"];
        assert_eq!(nearest("pasword", &known), Some("password"));
        assert_eq!(nearest("tls-ca", &known), Some("tls_ca"));
        assert_eq!(nearest("Address", &known), Some("address"));
        assert_eq!(nearest("colour", &known), None);
    }
}
