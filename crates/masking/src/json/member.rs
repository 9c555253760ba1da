//! Names of members in a text that is JSON only in part, or escaped once more.
//!
//! Promises: a quote and a colon behind it are found however JSON, programs, logs, HTML and queries escape them and the
//! blanks between them, with any number of zeros and backslashes up to a few, also twice over; what stands before the quote
//! is not looked at, so every name counts. Linear: what is looked at from one place is bounded, but for blanks, which no
//! two quotes share. Does not promise to find names without double quotes, nor other signs than a colon.
//! Held by: the test below.

/// Backslashes, zeros and layers of one escape, at most.
const MOST: usize = 16;

/// Whether a name and its colon are in a text, as JSON writes them, escaped or not, whatever else the text is.
#[must_use]
pub fn has_member(text: &str) -> bool {
    text.match_indices(['"', '\\', '%', '&']).any(|(at, _)| {
        let behind = text.get(at..).and_then(one).filter(|(c, _)| *c == '"');
        behind.is_some_and(|(_, behind)| is_colon(behind))
    })
}

/// Whether a colon is next, behind blanks; some readers take a comment there.
fn is_colon(text: &str) -> bool {
    let mut rest = text;
    while let Some((c, behind)) = one(rest) {
        match c {
            ':' => return true,
            '/' => return one(behind).is_some_and(|(c, _)| c == '*'),
            c if c.is_whitespace() => rest = behind,
            _ => return false,
        }
    }
    false
}

/// The first character of a text, whoever escaped it, and what follows.
fn one(text: &str) -> Option<(char, &str)> {
    let first = text.chars().next()?;
    let behind = text.get(first.len_utf8()..)?;
    let escaped = match first {
        '\\' => backslashed(behind),
        '%' => {
            // `%2522` is `%22` escaped once more.
            let (high, low) = repeated(behind, "25").split_at_checked(1)?;
            let (low, behind) = low.split_at_checked(1)?;
            byte(&[high, low].concat(), 16).map(|c| (c, behind))
        }
        '&' => entity(behind),
        _ => None,
    };
    Some(escaped.unwrap_or((first, behind)))
}

/// What follows as many of these as are looked at.
fn repeated<'t>(text: &'t str, what: &str) -> &'t str {
    (0..MOST).fold(text, |text, _| text.strip_prefix(what).unwrap_or(text))
}

/// An escape of JSON's or a program's, behind its first backslash.
fn backslashed(text: &str) -> Option<(char, &str)> {
    let text = repeated(text, "\\");
    let kind = text.chars().next()?;
    let behind = text.get(kind.len_utf8()..)?;
    let digits = |text: &str, count: usize, radix: u32| {
        let (digits, _) = text.split_at_checked(count)?;
        byte(digits, radix)
    };
    match kind {
        'n' | 'r' | 't' => Some((' ', behind)),
        'u' => Some((digits(behind, 4, 16)?, behind.get(4..)?)),
        'x' => Some((digits(behind, 2, 16)?, behind.get(2..)?)),
        '0'..='7' => Some((digits(text, 3, 8)?, text.get(3..)?)),
        other => Some((other, behind)),
    }
}

/// An entity of HTML's, behind its ampersand; the semicolon may be missing.
fn entity(text: &str) -> Option<(char, &str)> {
    let text = repeated(text, "amp;");
    let (c, behind) = match text.strip_prefix('#') {
        Some(number) => {
            let (radix, number) = match number.strip_prefix(['x', 'X']) {
                Some(number) => (16, number),
                None => (10, number),
            };
            let number = repeated(number, "0");
            let length = number.bytes().take(4).take_while(|byte| char::from(*byte).is_digit(radix)).count();
            let (digits, behind) = number.split_at_checked(length)?;
            (byte(digits, radix)?, behind)
        }
        None => {
            const NAMED: [(&str, char); 8] = [
                ("quot", '"'),
                ("QUOT", '"'),
                ("nbsp", ' '),
                ("Tab", ' '),
                ("NewLine", ' '),
                ("colon", ':'),
                ("sol", '/'),
                ("ast", '*'),
            ];
            NAMED.iter().find_map(|(name, c)| Some((*c, text.strip_prefix(name)?)))?
        }
    };
    Some((c, behind.strip_prefix(';').unwrap_or(behind)))
}

/// A character of the first two hundred by its number: others are none that is looked for.
fn byte(digits: &str, radix: u32) -> Option<char> {
    u8::from_str_radix(digits, radix).ok().map(char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_seen_however_it_is_escaped() {
        for text in [
            r#"{"ssn":"1"}"#,
            r#""ssn"  :"#,
            "\"ssn\"\n\n:",
            r#""ssn"/* */:"#,
            r#"{\"ssn\":\"1\"}"#,
            r#"{\\\"ssn\\\" : 1}"#,
            r"{\u0022ssn\u0022:1}",
            r"{\x22ssn\x22:\x22123-45-6789\x22}",
            r"{\042ssn\042:1}",
            r#"{\"ssn\"\n:1}"#,
            r#"{\"ssn\"\t\u0020:1}"#,
            r#"{\"ssn\"\u003a1}"#,
            "{&quot;ssn&quot;:1}",
            "{&QUOT;ssn&QUOT; :1}",
            "{&quot ssn&quot :1}",
            "{&#34;ssn&#34;:1}",
            "{&#034;ssn&#034;:1}",
            "{&#00034ssn&#00034:1}",
            "{&#x22;ssn&#x22;:1}",
            "{&#X0022;ssn&#x0022;&nbsp;&colon;1}",
            "{&amp;quot;ssn&amp;quot;:1}",
            "%7B%22ssn%22%3A1%7D",
            "%22ssn%22%20%3a",
            "%2522ssn%2522%253A1",
            "%22ssn%22%0A:",
        ] {
            assert!(has_member(text), "{text}");
        }
        for text in [
            "",
            "\"",
            "\\",
            "%",
            "%2",
            "%é9",
            "&",
            "&#",
            "&#x",
            "&#34",
            r#"he said "yes" and left: then"#,
            r#"["a","b"]"#,
            r"C:\new\dir: x",
            "100%: yes",
            "Q&A: no",
            r#"a "b"/c"#,
            "&#340;:",
            r"\u1234:",
            "time: 12:30",
        ] {
            assert!(!has_member(text), "{text}");
        }
    }

    /// In the time that one pass takes.
    #[test]
    fn what_repeats_itself_is_looked_at_once() {
        for text in ["\\", "\"", "%25", "%22%20", "&amp;", "&#0", "\" ", "\\n"] {
            assert!(!has_member(&text.repeat((2 << 20) / text.len())), "{text}");
        }
        assert!(!has_member(&format!("\"{}", " ".repeat(2 << 20))));
    }
}
