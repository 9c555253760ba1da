//! Characters that people do not see.
//!
//! Promises: one list of them for everything that is shown to whoever decides, or that is refused because it would be shown
//! wrongly: what has no width, steers how others are drawn, or is a blank and no space. Does not promise that what is seen is
//! not taken for something else, nor to know control characters and spaces, which `char` knows.
//! Held by: the tests below, and those of whoever asks.

/// From and to: Unicode 16's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt), format characters
/// (DerivedGeneralCategory.txt, Cf) but for the signs of PropList.txt's `Prepended_Concatenation_Mark`, which are drawn, and
/// two blanks of NamesList.txt: U+2800 BRAILLE PATTERN BLANK and U+1D159 MUSICAL SYMBOL NULL NOTEHEAD.
const UNSEEN: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d159}', '\u{1d159}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character shows nothing, or only changes what others show. Neither a space nor a control character is one.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    let beside = |(first, last): &(char, char)| {
        if *last < c {
            std::cmp::Ordering::Less
        } else if *first > c {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    };
    UNSEEN.binary_search_by(beside).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_is_unseen_and_nothing_beside_it() {
        assert!(
            UNSEEN.is_sorted_by(|left, right| left.1 < right.0) && UNSEEN.iter().all(|(first, last)| first <= last)
        );
        let one_of_each = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{180e}\u{200b}\u{200d}\u{200e}\u{202e}\
                           \u{2060}\u{2066}\u{206f}\u{2800}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fff9}\u{fffb}\
                           \u{13430}\u{1bca0}\u{1d159}\u{1d173}\u{e0001}\u{e0041}\u{e0100}\u{e01ef}\u{e0fff}";
        for c in one_of_each.chars() {
            assert!(is_unseen(c), "U+{:04X}", u32::from(c));
        }
        for c in "\0\u{1b}\n\t ~aé\u{ac}\u{ae}\u{a0}я한\u{1161}世\u{301}\u{605}\u{2010}\u{2028}\u{2029}\u{3000}\u{fffc}\u{fffd}🙂\u{e1000}"
            .chars()
        {
            assert!(!is_unseen(c), "U+{:04X}", u32::from(c));
        }
    }
}
