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

/// Whether a container constant (array, JSON, range) leaves anything out.
pub(super) fn container_restricts(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    !matches!(
        bare.as_str(),
        "" | "{}" | "[]" | "{[]}" | "[{}]" | "null" | "(,)" | "[,]" | "[,)" | "(,]" | "empty" | "{(,)}"
    ) && !bare.contains("(,")
        && !bare.contains("[,")
        && !bare.contains(",)")
        && !bare.contains(",]")
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
        Side::Above => !matches!(text.as_str(), "" | "-infinity" | "-inf") && !text.ends_with(" bc"),
        Side::Below => !matches!(text.as_str(), "infinity" | "inf" | "+infinity" | "nan"),
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
        for container in ["{}", " [ ] ", "(,)", "[,)", "", "(,5)"] {
            assert!(!container_restricts(container), "{container}");
        }
        assert!(container_restricts("{\"a\": 1}") && container_restricts("[2024-01-01,2024-02-01)"));
    }

    #[test]
    fn the_ends_of_a_range_restrict_nothing() {
        assert!(!number_restricts(Side::Above, -2_147_483_648.0, Some(23)));
        assert!(!number_restricts(Side::Below, 2_147_483_647.0, Some(23)));
        assert!(!number_restricts(Side::Below, 1e18, Some(23)));
        assert!(number_restricts(Side::Below, 1e12, Some(20)));
        assert!(!number_restricts(Side::Below, 9_223_372_036_854_775_807.0, Some(20)));
        assert!(number_restricts(Side::Above, 0.0, None));
        assert!(!text_restricts(Side::Below, "Infinity") && text_restricts(Side::Below, "2024-01-01"));
    }
}
