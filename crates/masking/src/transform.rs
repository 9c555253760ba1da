//! What stands in a value's place.
//!
//! Promises: no transform shows more than two fifths of a value's characters, whatever its rule says; a value too short
//! to show any of is redacted; the result is made in one allocation. Characters are Unicode scalar values, so no
//! character is cut. Does not promise to hide how long a value is: what is kept stands among as many stars as were there.
//!
//! Held by: the tests below, and `no_transform_shows_more_than_two_fifths`.

use crate::key::Key;
use portcullis_model::Transform;

/// The constant that stands in a redacted value's place.
pub const REDACTED: &str = "[redacted]";

/// What stands in the place of `value`; `None` is NULL.
#[must_use]
pub fn apply(transform: &Transform, value: &str, key: &Key) -> Option<String> {
    let mut out = String::new();
    apply_into(transform, value, key, &mut out).then_some(out)
}

/// Appends what stands in the place of `value`; false, with nothing appended, is NULL.
#[must_use]
pub fn apply_into(transform: &Transform, value: &str, key: &Key, out: &mut String) -> bool {
    match transform {
        Transform::Null => return false,
        Transform::Redact => out.push_str(REDACTED),
        Transform::Fixed(text) => out.push_str(text),
        Transform::Hash => out.push_str(&key.digest(value.as_bytes())),
        Transform::KeepFirst(count) => keep(value, *count, End::First, out),
        Transform::KeepLast(count) => keep(value, *count, End::Last, out),
    }
    true
}

/// What stands in the place of a part of a text, where there is no NULL to put.
#[must_use]
pub(crate) fn apply_within(transform: &Transform, part: &str, key: &Key) -> String {
    apply(transform, part, key).unwrap_or_else(|| REDACTED.to_owned())
}

/// What stands in the place of something of which nothing may be shown, not even a digest of it: a block whose end was
/// not seen yet.
#[must_use]
pub(crate) fn constant(transform: &Transform) -> &str {
    match transform {
        Transform::Fixed(text) => text,
        Transform::Null | Transform::Redact | Transform::Hash | Transform::KeepFirst(_) | Transform::KeepLast(_) => {
            REDACTED
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

fn keep(value: &str, count: u8, end: End, out: &mut String) {
    let length = if value.is_ascii() { value.len() } else { value.chars().count() };
    let shown = usize::from(count).min(length / 5 * 2 + length % 5 * 2 / 5);
    if shown == 0 {
        out.push_str(REDACTED);
        return;
    }
    let hidden = length - shown;
    out.reserve(value.len());
    match end {
        End::First => {
            out.push_str(value.get(..place(value, shown)).unwrap_or_default());
            out.extend(std::iter::repeat_n('*', hidden));
        }
        End::Last => {
            out.extend(std::iter::repeat_n('*', hidden));
            out.push_str(value.get(place(value, hidden)..).unwrap_or_default());
        }
    }
}

/// Where so many characters end.
fn place(value: &str, characters: usize) -> usize {
    if value.is_ascii() {
        return characters;
    }
    value.char_indices().nth(characters).map_or(value.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(transform: &Transform, value: &str) -> Option<String> {
        apply(transform, value, &Key::new([3; 32]))
    }

    #[test]
    fn each_transform_does_what_its_word_says() {
        let card = "4111111111111111";
        let cases = [
            (Transform::Null, card, None),
            (Transform::Redact, card, Some("[redacted]")),
            (Transform::Fixed("gone".into()), card, Some("gone")),
            (Transform::KeepLast(4), card, Some("************1111")),
            (Transform::KeepFirst(2), card, Some("41**************")),
            (Transform::KeepLast(200), card, Some("**********111111")),
            (Transform::KeepLast(4), "ab", Some("[redacted]")),
            (Transform::KeepLast(4), "abc", Some("**c")),
            (Transform::KeepLast(4), "", Some("[redacted]")),
            (Transform::KeepLast(0), card, Some("[redacted]")),
            (Transform::KeepFirst(9), "żółw—żółw!", Some("żółw******")),
        ];
        for (transform, value, expected) in cases {
            assert_eq!(made(&transform, value).as_deref(), expected, "{transform:?} of {value}");
        }
        assert_eq!(made(&Transform::Hash, card), Some(Key::new([3; 32]).digest(card.as_bytes())));
    }

    #[test]
    fn a_part_of_a_text_is_never_nothing() {
        assert_eq!(apply_within(&Transform::Null, "x", &Key::new([0; 32])), "[redacted]");
        assert_eq!(constant(&Transform::Fixed("gone".into())), "gone");
        assert_eq!(constant(&Transform::KeepLast(4)), "[redacted]");
    }

    proptest! {
        #[test]
        fn no_transform_shows_more_than_two_fifths(value in "[a-zä😀]{0,40}", count in any::<u8>(), first in any::<bool>()) {
            let transform = if first { Transform::KeepFirst(count) } else { Transform::KeepLast(count) };
            let result = made(&transform, &value).unwrap();
            if result != REDACTED {
                prop_assert_eq!(result.chars().count(), value.chars().count());
                let shown = result.chars().filter(|c| *c != '*').count();
                prop_assert!(shown * 5 <= value.chars().count() * 2 && shown <= usize::from(count) && shown > 0);
                let kept: String = result.chars().filter(|c| *c != '*').collect();
                let there = if first { value.starts_with(&kept) } else { value.ends_with(&kept) };
                prop_assert!(there);
            }
        }
    }
}
