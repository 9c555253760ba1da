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

/// What a constant container is to the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The column is to hold it: everything holds what is empty.
    Inside,
    /// It is to hold the column or meet it: what is everything does.
    Around,
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
    // `"` behind the escape parts what is kept from the rest, and matches nothing.
    !pattern.contains(['|', '*', '+', '?', '{', '}', '(', ')', '[', ']', '"']) && like_restricts(pattern)
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
    let unit = unit.trim().to_ascii_lowercase();
    matches!(
        unit.strip_suffix('s').unwrap_or(&unit),
        "year" | "quarter" | "month" | "week" | "day" | "hour" | "minute" | "second" | "millisecond" | "microsecond"
    )
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
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let endless = words(&bare).any(|word| matches!(word, "inf" | "infinity"));
    // A network of no bits holds every address.
    let network = bare.rsplit_once('/').is_some_and(|(_, bits)| !bits.is_empty() && bits.chars().all(|c| c == '0'));
    if endless || network || is_empty_range(&bare) || !has_words(&bare) {
        return false;
    }
    let first = bare.trim_start_matches('{').split(|c: char| !c.is_alphanumeric()).next();
    first != Some("empty")
        && !bare.contains("(,")
        && !bare.contains("[,")
        && !bare.contains(",)")
        && !bare.contains(",]")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Whether a container has anything in it but NULLs.
pub(super) fn has_words(text: &str) -> bool {
    words(text).any(|word| !word.eq_ignore_ascii_case("null"))
}

/// Whether a number or time is none without an end.
pub(super) fn is_finite(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    !text.contains("inf") && !words(&text).any(|word| word == "nan")
}

/// Whether a text that may be a range, or several, leaves anything out.
pub(super) fn range_restricts(text: &str, held: Held) -> bool {
    let text = text.trim();
    let several = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).map(str::trim);
    let Some(several) = several.filter(|text| text.starts_with(['[', '('])) else {
        return !text.starts_with(['[', '(']) || one_range_restricts(text, held);
    };
    let ranges: Vec<&str> = several
        .split_inclusive([']', ')'])
        .map(|range| range.trim_start_matches(|c: char| c == ',' || c.is_whitespace()))
        .filter(|range| !range.is_empty())
        .collect();
    match (held, ranges.as_slice()) {
        (Held::Inside, ranges) => ranges.iter().any(|range| one_range_restricts(range, held)),
        (Held::Around, [range]) => one_range_restricts(range, held),
        // Several that are open on different sides are everything together.
        (Held::Around, ranges) => ranges.iter().all(|range| ends_of(range).map(is_shut) == Some((true, true))),
    }
}

fn one_range_restricts(range: &str, held: Held) -> bool {
    let closed = (range.starts_with('['), range.trim_end().ends_with(']'));
    match (held, ends_of(range)) {
        // `[1,0]` is none, and `[1,1]` is not empty.
        (Held::Inside, _) if closed == (true, true) => true,
        (Held::Inside, Some((low, high))) => (closed.0 || closed.1) && are_ascending(low, high),
        (Held::Inside, None) => false,
        (Held::Around, Some(ends)) => is_shut(ends) != (false, false),
        // JSON, and what is no range.
        (Held::Around, None) => true,
    }
}

/// The ends of a range: what stands around its only comma.
fn ends_of(range: &str) -> Option<(&str, &str)> {
    let inner = range.trim().strip_prefix(['[', '('])?.strip_suffix([']', ')'])?;
    let (low, high) = inner.split_once(',')?;
    (!high.contains(',')).then(|| (low.trim().trim_matches('"'), high.trim().trim_matches('"')))
}

/// Whether each end leaves something out beyond it.
fn is_shut((low, high): (&str, &str)) -> (bool, bool) {
    let shut = |side: Side, end: &str| match number_of(end) {
        Some(value) => number_restricts(side, value, None),
        None => text_restricts(side, end),
    };
    (shut(Side::Above, low), shut(Side::Below, high))
}

/// Whether the one is certainly before the other: as numbers, or as days. The same time can be written in many ways.
pub(super) fn are_ascending(low: &str, high: &str) -> bool {
    let is_day = |text: &str| {
        text.len() == 10
            && text.char_indices().all(|(at, c)| if matches!(at, 4 | 7) { c == '-' } else { c.is_ascii_digit() })
    };
    let (low, high) = (low.trim(), high.trim());
    match (number_of(low), number_of(high)) {
        (Some(low), Some(high)) => low < high,
        _ => is_day(low) && is_day(high) && low < high,
    }
}

/// Whether a range holds nothing since both its ends are the same and one is not in it.
fn is_empty_range(text: &str) -> bool {
    let inner = text.strip_prefix(['[', '(']).and_then(|text| text.strip_suffix([']', ')']));
    let ends = inner.and_then(|inner| inner.split_once(','));
    ends.is_some_and(|(low, high)| low.trim_matches('"') == high.trim_matches('"'))
        && !(text.starts_with('[') && text.ends_with(']'))
}

/// A number as the server reads it, in words or figures: `1_000`, `-0x10`.
pub(super) fn number_of(text: &str) -> Option<f64> {
    let text = text.trim().replace('_', "").to_ascii_lowercase();
    let (sign, figures) = text.strip_prefix('-').map_or((1.0, text.as_str()), |figures| (-1.0, figures));
    let whole = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(|(mark, radix)| {
        let figures = figures.strip_prefix(mark)?;
        // As many figures as a float has digits for: of more the size is what counts.
        figures.chars().try_fold(0.0, |value: f64, c| Some(value * f64::from(radix) + f64::from(c.to_digit(radix)?)))
    });
    whole.map(|whole| sign * whole).or_else(|| text.parse().ok())
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
            let zeros = text.trim_start_matches("\\x").chars().all(|c| c == '0' || !c.is_alphanumeric());
            let least = matches!(text.as_str(), "-infinity" | "-inf" | "null" | "f" | "false" | "empty");
            // A range without a lower end is before all others.
            !zeros && !least && !text.starts_with("(,") && !text.starts_with("[,") && !is_first_day(&text)
        }
        Side::Below => {
            let bare = text.trim_matches(|c: char| matches!(c, '{' | '}'));
            let bare = bare.strip_suffix("/128").unwrap_or(bare);
            let last = bare.len() > 8 && bare.chars().all(|c| "f-:.".contains(c));
            let most = matches!(bare, "infinity" | "inf" | "+infinity" | "nan" | "t" | "true");
            let marks = !text.is_empty() && !text.chars().any(char::is_alphanumeric);
            !last && !most && !marks && !bare.starts_with("24:00") && !is_far_year(bare)
        }
    }
}

/// Whether a day before Christ, or one by the number of days since 4714 BC.
fn is_first_day(text: &str) -> bool {
    let counted = ["julian", "jd", "j"].into_iter().find_map(|mark| text.strip_prefix(mark));
    let days = counted.is_some_and(|days| !days.is_empty() && days.trim().chars().all(|c| c.is_ascii_digit()));
    let before = text.split(|c: char| !c.is_alphabetic()).any(|word| word == "bc");
    days || (before && text.chars().any(|c| c.is_ascii_digit()))
}

/// Whether a year of more than four digits, as the last days have.
fn is_far_year(text: &str) -> bool {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    (5..=7).contains(&digits) && text.chars().nth(digits) == Some('-')
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
        for pattern in ["%", "_%", "__*", "a|%", "a?%", "(a|_)%", "[a-z]*", "%#\"%#\"%"] {
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
        for container in ["EMPTY", "{empty}", "{{}}", "{NULL}", "0.0.0.0/0", "::/00", "((-inf,-inf),(inf,inf))"] {
            assert!(!container_restricts(container), "{container}");
        }
        assert!(container_restricts("10.0.0.0/8") && container_restricts("{\"state\": \"empty\"}"));
    }

    #[test]
    fn a_range_that_may_be_empty_is_in_everything() {
        for range in
            ["(1,2)", "[01,1)", "[2024-01-01,2024-1-1)", "[\"Jan 1, 2024\",\"January 1, 2024\")", "{[1,1)}", "(1,2)"]
        {
            assert!(!range_restricts(range, Held::Inside), "{range}");
        }
        for range in ["[1,1]", "[1,5)", "(1,5]", "[2024-01-01,2024-02-01)", "{(1,2),[3,4)}", "[\"x\"]", "{\"a\": 1}"] {
            assert!(range_restricts(range, Held::Inside), "{range}");
        }
    }

    #[test]
    fn a_range_of_everything_has_everything_in_it() {
        for range in [
            "[-2147483648,2147483647]",
            "[-2_147_483_648,0x7fffffff]",
            "[4714-11-24 BC,294276-12-31]",
            "{[-2147483648,5],[3,2147483647]}",
        ] {
            assert!(!range_restricts(range, Held::Around), "{range}");
        }
        for range in ["[1,2147483647]", "(1,2)", "[2024-01-01,2024-02-01)", "{[1,2],[5,6]}", "[\"a\",\"b\",\"c\"]"] {
            assert!(range_restricts(range, Held::Around), "{range}");
        }
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
        for unit in ["mil", "c", "dec", "decades", "century", ""] {
            assert!(!fine_unit(unit), "{unit}");
        }
        assert!(fine_unit("Month") && fine_unit("days") && fine_unit("milliseconds"));
    }

    #[test]
    fn the_ends_of_a_range_restrict_nothing() {
        for zeros in ["00000000-0000-0000-0000-000000000000", "00:00", "false", "null", "{}", "\\x", "0.0.0.0/0"] {
            assert!(!text_restricts(Side::Above, zeros), "{zeros}");
        }
        assert!(!text_restricts(Side::Below, "ffffffff-ffff-ffff-ffff-ffffffffffff"));
        for first in ["4714-11-24BC", "4714-11-24 BC 00:00", "J0", "empty", "!", "(,5)"] {
            assert!(!text_restricts(Side::Above, first), "{first}");
        }
        for last in ["{ffffffff-ffff-ffff-ffff-ffffffffffff}", "ffff.ffff.ffff", "294276-12-31", "24:00", "~~"] {
            assert!(!text_restricts(Side::Below, last), "{last}");
        }
        assert_eq!(number_of("-0x10"), Some(-16.0));
        assert_eq!(number_of("1_000"), Some(1000.0));
        assert_eq!(number_of("x"), None);
        assert!(text_restricts(Side::Above, "abc") && text_restricts(Side::Above, "january"));
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
