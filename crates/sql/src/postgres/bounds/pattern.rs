//! Constants that look like a restriction and are none: patterns that match everything, containers that everything
//! contains, ends of a type's range. Held by: `fixtures/sql/bounds.tsv` and `tests`.

use portcullis_model::catalogue::Oid;

/// A comparison that leaves one side open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Everything above the constant.
    Above,
    /// Everything below the constant.
    Below,
}

/// Whether a LIKE pattern asks for at least one certain character.
pub(super) fn like_restricts(pattern: &str) -> bool {
    pattern.chars().any(|c| !matches!(c, '%' | '_' | '\\'))
}

/// Whether a regular expression certainly asks for a certain character at a certain place: it starts with one (behind
/// `^`), which nothing behind makes optional.
pub(super) fn regex_restricts(pattern: &str) -> bool {
    if pattern.contains(['|', '(']) {
        return false;
    }
    let mut characters = pattern.strip_prefix('^').unwrap_or(pattern).chars();
    characters.next().is_some_and(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '@' | '/' | ':' | ','))
        && !matches!(characters.next(), Some('*' | '?' | '{'))
}

/// Whether a pattern of SIMILAR TO asks for at least one certain character. Of one with alternatives or repetitions nothing
/// is said.
pub(super) fn similar_restricts(pattern: &str) -> bool {
    !pattern.contains(['|', '*', '+', '?', '{', '}', '(', ')', '[', ']']) && like_restricts(pattern)
}

/// Whether a text search asks for a word: one that is not negated, and has no alternative.
pub(super) fn search_restricts(query: &str) -> bool {
    query.chars().any(char::is_alphanumeric) && !query.contains(['!', '|', '$', '=', '?', '@'])
}

/// Whether a search as people type it asks for a word.
pub(super) fn web_search_restricts(query: &str) -> bool {
    let words = query.to_lowercase();
    search_restricts(query) && !query.contains('-') && !words.split_whitespace().any(|word| word == "or")
}

/// Whether a period of this unit is short enough to tell rows apart.
pub(super) fn fine_unit(unit: &str) -> bool {
    !matches!(unit.trim().to_ascii_lowercase().as_str(), "decade" | "century" | "millennium")
}

/// How many values this part of a time has, `usize::MAX` where they have no end; `None` where it may be the same for all.
pub(super) fn values_of_unit(unit: &str, of_a_date: bool) -> Option<usize> {
    match unit.trim().to_ascii_lowercase().as_str() {
        "year" | "isoyear" | "epoch" | "julian" => Some(usize::MAX),
        "quarter" => Some(4),
        "month" => Some(12),
        "week" => Some(52),
        "day" => Some(28),
        "doy" => Some(365),
        "dow" | "isodow" => Some(7),
        "hour" if !of_a_date => Some(24),
        "minute" | "second" if !of_a_date => Some(60),
        "milliseconds" | "microseconds" if !of_a_date => Some(1000),
        _ => None,
    }
}

/// What a format shows of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Its year, so that values have no end.
    Year,
    /// A part that comes again.
    Part,
}

/// What `to_char` shows of a time by this format; `None` where it may show the same for all.
pub(super) fn date_format(format: &str, of_a_date: bool) -> Option<Format> {
    let bare = outside_quotes(format).to_ascii_uppercase();
    let has = |patterns: &[&str]| patterns.iter().any(|pattern| bare.contains(pattern));
    if has(&["YYYY"]) {
        Some(Format::Year)
    } else if has(&["YY", "MM", "MON", "DD", "WW", "IW", "DAY", "DY"]) || (!of_a_date && has(&["HH", "MI", "SS"])) {
        Some(Format::Part)
    } else {
        None
    }
}

/// What of a format is no text that is copied.
fn outside_quotes(format: &str) -> String {
    let mut quoted = false;
    let mut characters = format.chars();
    let mut out = String::new();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            '"' => quoted = !quoted,
            _ if !quoted => out.push(c),
            _ => {}
        }
    }
    out
}

/// Whether a container constant (array, JSON, range) leaves anything out.
pub(super) fn container_restricts(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if bare.to_ascii_lowercase().contains("infinity") || is_empty_range(&bare) {
        return false;
    }
    !matches!(
        bare.as_str(),
        "" | "{}" | "[]" | "{[]}" | "[{}]" | "null" | "(,)" | "[,]" | "[,)" | "(,]" | "empty" | "{(,)}"
    ) && !bare.contains("(,")
        && !bare.contains("[,")
        && !bare.contains(",)")
        && !bare.contains(",]")
}

/// Whether a range holds nothing since both its ends are the same and one is not in it.
fn is_empty_range(text: &str) -> bool {
    let inner = text.strip_prefix(['[', '(']).and_then(|text| text.strip_suffix([']', ')']));
    let ends = inner.and_then(|inner| inner.split_once(','));
    ends.is_some_and(|(low, high)| low.trim_matches('"') == high.trim_matches('"'))
        && !(text.starts_with('[') && text.ends_with(']'))
}

/// Whether a number leaves out something of a type's range on the other side of it.
pub(super) fn number_restricts(side: Side, value: f64, type_oid: Option<Oid>) -> bool {
    let (low, high) = match type_oid {
        Some(21) => (f64::from(i16::MIN), f64::from(i16::MAX)),
        // 2^63 itself, since no float is nearer; what is beyond it is no restriction either way.
        Some(20) => (-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_000.0),
        Some(700 | 701 | 1700) => (-1e15, 1e15),
        // Dates and the like are compared with strings; an unknown type is taken for the smallest usual one.
        _ => (f64::from(i32::MIN), f64::from(i32::MAX)),
    };
    match side {
        Side::Above => value > low,
        Side::Below => value < high,
    }
}

/// Whether a text constant leaves out something on the other side of it.
pub(super) fn text_restricts(side: Side, text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    match side {
        Side::Above => {
            let zeros = text.trim_start_matches("\\x").chars().all(|c| "0-:./{}[] ".contains(c));
            !zeros && !matches!(text.as_str(), "-infinity" | "-inf" | "null" | "f" | "false") && !text.ends_with(" bc")
        }
        Side::Below => {
            let last = text.len() > 8 && text.chars().all(|c| "f-:".contains(c));
            !last && !matches!(text.as_str(), "infinity" | "inf" | "+infinity" | "nan" | "t" | "true")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_match_everything_restrict_nothing() {
        for pattern in ["", "%", "%%", "_%", "%_%", "\\%"] {
            assert!(!like_restricts(pattern), "{pattern}");
        }
        assert!(like_restricts("a%") && like_restricts("%@example.com"));
        for pattern in ["", ".*", "^", "$", "a*", "^a?", "a|.*", "(a|)", "[a-z]*", "a{0,}"] {
            assert!(!regex_restricts(pattern), "{pattern}");
        }
        assert!(regex_restricts("^abc") && regex_restricts("abc.*"));
        for pattern in ["%", "_%", "__*", "a|%", "a?%", "(a|_)%", "[a-z]*"] {
            assert!(!similar_restricts(pattern), "{pattern}");
        }
        assert!(similar_restricts("a%"));
        for query in ["", "!zz", "a | b", "1 == 1", "$.a"] {
            assert!(!search_restricts(query), "{query}");
        }
        assert!(search_restricts("fat & rat") && !web_search_restricts("a or b") && !web_search_restricts("-zz"));
        for container in [
            "[2020-01-01,2020-01-01)",
            "[1,1)",
            "(1,1)",
            "[-infinity,infinity]",
            "{}",
            " [ ] ",
            "(,)",
            "[,)",
            "",
            "(,5)",
        ] {
            assert!(!container_restricts(container), "{container}");
        }
        assert!(container_restricts("{\"a\": 1}") && container_restricts("[2024-01-01,2024-02-01)"));
    }

    #[test]
    fn what_is_the_same_of_every_time_says_nothing() {
        for format in ["", "\"x\"", "x", "\"YYYY\"", "AM"] {
            assert_eq!(date_format(format, false), None, "{format}");
        }
        assert_eq!(date_format("yyyy-mm", false), Some(Format::Year));
        assert_eq!(date_format("HH24", false), Some(Format::Part));
        assert_eq!(date_format("HH24", true), None);
        assert_eq!(values_of_unit("century", false), None);
        assert_eq!(values_of_unit("hour", true), None);
        assert_eq!(values_of_unit("MONTH", true), Some(12));
    }

    #[test]
    fn the_ends_of_a_range_restrict_nothing() {
        for zeros in ["00000000-0000-0000-0000-000000000000", "00:00", "false", "null", "{}", "\\x", "0.0.0.0/0"] {
            assert!(!text_restricts(Side::Above, zeros), "{zeros}");
        }
        assert!(!text_restricts(Side::Below, "ffffffff-ffff-ffff-ffff-ffffffffffff"));
        assert!(text_restricts(Side::Above, "2024-01-01") && text_restricts(Side::Below, "true love"));
        assert!(!number_restricts(Side::Above, -2_147_483_648.0, Some(23)));
        assert!(!number_restricts(Side::Below, 2_147_483_647.0, Some(23)));
        assert!(!number_restricts(Side::Below, 1e18, Some(23)));
        assert!(number_restricts(Side::Below, 1e12, Some(20)));
        assert!(!number_restricts(Side::Below, 9_223_372_036_854_775_807.0, Some(20)));
        assert!(number_restricts(Side::Above, 0.0, None));
        assert!(!text_restricts(Side::Below, "Infinity") && text_restricts(Side::Below, "2024-01-01"));
    }
}
