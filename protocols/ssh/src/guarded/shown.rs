//! Characters as they are shown, and how many columns they take.
//!
//! Promises: nothing is shown as nothing. What has no width, turns text round, or is not known to be printable is shown as
//! `<U+200B>`, and so are control characters; every other character takes one column, or two where it is wide.
//! Does not promise the width that a terminal gives to a character it knows better: the line is drawn anew often.
//! Held by: the tests below and `fixtures/guarded/screens.tsv`.

use portcullis_model::is_unseen;

/// Characters of two columns: East Asian Width W and F of Unicode 14 (EastAsianWidth.txt), ranges joined over what is
/// not assigned.
const WIDE: [(u32, u32); 58] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x2329, 0x232a),
    (0x23e9, 0x23ec),
    (0x23f0, 0x23f0),
    (0x23f3, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x267f, 0x267f),
    (0x2693, 0x2693),
    (0x26a1, 0x26a1),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x26ce, 0x26ce),
    (0x26d4, 0x26d4),
    (0x26ea, 0x26ea),
    (0x26f2, 0x26f3),
    (0x26f5, 0x26f5),
    (0x26fa, 0x26fa),
    (0x26fd, 0x26fd),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x274e, 0x274e),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2795, 0x2797),
    (0x27b0, 0x27b0),
    (0x27bf, 0x27bf),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b50),
    (0x2b55, 0x2b55),
    (0x2e80, 0x303e),
    (0x3041, 0x3247),
    (0x3250, 0x4dbf),
    (0x4e00, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7af),
    (0xf900, 0xfaff),
    (0xfe10, 0xfe19),
    (0xfe30, 0xfe6f),
    (0xff01, 0xff60),
    (0xffe0, 0xffe6),
    (0x16fe0, 0x1b2ff),
    (0x1f004, 0x1f004),
    (0x1f0cf, 0x1f0cf),
    (0x1f18e, 0x1f18e),
    (0x1f191, 0x1f19a),
    (0x1f200, 0x1f320),
    (0x1f32d, 0x1f393),
    (0x1f3a0, 0x1f3f0),
    (0x1f3f4, 0x1f53d),
    (0x1f54b, 0x1f64f),
    (0x1f680, 0x1f9ff),
    (0x20000, 0x3fffd),
];

/// Whether a character is shown as itself.
pub(super) fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{fffc}' => false,
        c if is_unseen(c) || c.is_whitespace() || c.is_control() => false,
        // What is escaped to be debugged has no width, or is not known to print.
        c => c.escape_debug().len() == 1,
    }
}

/// Adds what is shown of a character, as characters with their columns.
pub(super) fn show(c: char, cells: &mut Vec<(char, usize)>) {
    if is_plain(c) {
        cells.push((c, if is_wide(c) { 2 } else { 1 }));
    } else {
        cells.extend(format!("<U+{:04X}>", u32::from(c)).chars().map(|c| (c, 1)));
    }
}

/// A text as it is shown.
pub(super) fn shown(text: &str) -> String {
    let mut cells = Vec::new();
    text.chars().for_each(|c| show(c, &mut cells));
    cells.into_iter().map(|(c, _)| c).collect()
}

fn is_wide(c: char) -> bool {
    let code = u32::from(c);
    code >= 0x1100
        && WIDE
            .binary_search_by(|(first, last)| match () {
                () if code < *first => std::cmp::Ordering::Greater,
                () if code > *last => std::cmp::Ordering::Less,
                () => std::cmp::Ordering::Equal,
            })
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_shown_as_nothing() {
        assert!(WIDE.is_sorted_by(|left, right| left.1 < right.0));
        for c in ['a', '~', 'é', 'ß', 'я', '世', '🙂', '한', '\'', '"', '\\'] {
            assert_eq!(shown(&c.to_string()), c.to_string());
        }
        assert!(is_wide('世') && is_wide('🙂') && !is_wide('é'));
        for c in "\0\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{ad}\u{301}\u{200b}\u{200e}\u{202e}\u{2028}\u{2066}\u{2800}\u{3000}\u{e000}\u{feff}\u{e0041}\u{1d159}\u{17b4}\u{fe0f}\u{fffc}".chars() {
            assert_eq!(shown(&c.to_string()), format!("<U+{:04X}>", u32::from(c)));
        }
    }
}
