//! Halves of characters in JSON.
//!
//! Many programs count a string in UTF-16, and one that they cut may end in half of a character (`"ab\ud83d"`), which no
//! strict reader takes and no reader needs. Promises: each such half becomes U+FFFD, the sign for a character that is lost;
//! every other byte stays in its place, so a text that is read strictly stays as it is. What is no escape of JSON stays, too.
//! Held by: the tests below.

/// A text of JSON in which no half of a character is left alone.
pub(crate) fn whole_characters(text: String) -> String {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let taken = match half(behind) {
            // What is escaped begins no other escape.
            None => behind.chars().next().map_or(0, char::len_utf8),
            Some((true, after)) if is_second(after) => r"ud83d\ude00".len(),
            Some((_, after)) => {
                out.push_str(r"\ufffd");
                rest = after;
                continue;
            }
        };
        let (kept, after) = behind.split_at_checked(taken).unwrap_or((behind, ""));
        out.push('\\');
        out.push_str(kept);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_second(text: &str) -> bool {
    text.strip_prefix('\\').and_then(half).is_some_and(|(first, _)| !first)
}

/// Where half of a character is escaped behind a backslash: whether it is the first one, and what follows.
fn half(escape: &str) -> Option<(bool, &str)> {
    let (digits, behind) = escape.strip_prefix('u')?.split_at_checked(4)?;
    let code = u16::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    (0xD800..0xE000).contains(&code).then_some((code < 0xDC00, behind))
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_of_a_character_becomes_the_sign_for_one_that_is_lost() {
        for (text, whole) in [
            (r#""ab\ud83d""#, r#""ab\ufffd""#),
            (r#""\uDE00x\ud83d\ude00""#, r#""\ufffdx\ud83d\ude00""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\n\\ud83d""#, r#""\ufffd\n\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud7ff\ue000\ud8""#, r#""\ud7ff\ue000\ud8""#),
            ("\"é\\ud83dé", "\"é\\ufffdé"),
            ("\\ud83d\\", "\\ufffd\\"),
        ] {
            assert_eq!(whole_characters(text.to_owned()), whole);
        }
    }

    proptest! {
        #[test]
        fn with_whole_characters_only_halves_are_another_text(
            pieces in prop::collection::vec("(\\\\u(d83d|DE00|0041|dbff)|\\\\\\\\|\\\\n|a|é){1,3}", 0..8),
        ) {
            let text = format!("[\"{}\"]", pieces.concat());
            let whole = whole_characters(text.clone());
            prop_assert!(read(whole.as_bytes()).is_ok(), "{}", whole);
            prop_assert_eq!(whole.len(), text.len());
            if read(text.as_bytes()).is_ok() {
                prop_assert_eq!(whole, text);
            }
        }
    }
}
