//! Quoting for a shell, and undoing what bash quotes.
//!
//! Promises: [`single`] is one word of POSIX sh whatever the text holds but NUL; [`unquote`] takes what `printf %q` of bash
//! gives and nothing else, to one value or none, and never takes a blank that is not quoted.
//! Held by: the tests below, which ask bash.

/// Adds a text in single quotes.
pub(super) fn single(text: &str, out: &mut String) {
    out.push('\'');
    for (index, part) in text.split('\'').enumerate() {
        if index > 0 {
            out.push_str("'\\''");
        }
        out.push_str(part);
    }
    out.push('\'');
}

/// The value of a word that `printf %q` gave, and what follows it: nothing, or a blank and more.
pub(super) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (value, rest) = if let Some(rest) = text.strip_prefix(b"$'") {
        ansi(rest)?
    } else if let Some(rest) = text.strip_prefix(b"''") {
        (Vec::new(), rest)
    } else {
        bare(text)?
    };
    matches!(rest.first(), None | Some(b' ')).then_some((value, rest))
}

fn bare(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] | [b' ', ..] => return Some((value, rest)),
            [b'\\', byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [b'\\' | b'\'' | b'"', ..] => return None,
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}

fn ansi(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [b'\'', after @ ..] => return Some((value, after)),
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                value.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            [b'\\', letter, after @ ..] => {
                value.push(match letter {
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b'e' | b'E' => 0x1b,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'\\' | b'\'' | b'"' | b'?' => *letter,
                    _ => return None,
                });
                rest = after;
            }
            [] => return None,
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    #[test]
    fn what_is_not_from_bash_is_nothing() {
        for text in ["'a'", "\"a\"", "$'a", "$'\\x41'", "$'\\400'", "a\\", "$'a'b", "''a", "a'b"] {
            assert_eq!(unquote(text.as_bytes()), None, "{text}");
        }
        assert_eq!(unquote(b"a\\ b c"), Some((b"a b".to_vec(), b" c".as_slice())));
        assert_eq!(unquote(b""), Some((Vec::new(), b"".as_slice())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bash_and_sh_agree(bytes in prop::collection::vec(prop_oneof![1u8..=255, prop::sample::select(b"'\\\" $\n\r\x1b~#a".to_vec())], 0..40)) {
            for locale in ["C", "C.UTF-8"] {
                let Ok(output) = Command::new("bash")
                    .args(["-c", "printf %q \"$1\"", "bash"])
                    .arg(std::ffi::OsStr::from_bytes(&bytes))
                    .env("LC_ALL", locale)
                    .output() else { return Ok(()) };
                prop_assert_eq!(unquote(&output.stdout), Some((bytes.clone(), b"".as_slice())));
                prop_assert!(output.stdout.iter().all(|byte| *byte >= b' ' && *byte != 0x7f));
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut word = String::new();
            single(&text, &mut word);
            for shell in ["sh", "bash"] {
                let Ok(output) = Command::new(shell).args(["-c", &format!("printf %s {word}")]).output() else { continue };
                prop_assert_eq!(&String::from_utf8_lossy(&output.stdout), &text);
            }
        }
    }
}
