//! Paths that are read in one way only (RFC 3986 §3.3), and queries (`path/query.rs`).
//!
//! Promises: a text that two readers could take for different paths is rejected, never repaired: empty segments, `.` and
//! `..` in any spelling, encoded slashes, backslashes, `%25`, NUL, encodings of characters that need none, lower-case
//! escapes, `;` and `#`, anything outside ASCII. What is accepted is sent on exactly as it was read; of what a client sends,
//! escapes in lower case alone are written anew, before it is read ([`Path::received`]). Characters that a path
//! may have as they are and that clients escape all the same (`@`, `:`, `$`) are one path to most services, however they are
//! written: rules see one spelling of them ([`Path::judged`]), so two accepted texts are one path to a rule only where they
//! are one but for that. Does not promise that a service takes `%3A` and `:` for one: to one that does not, both are what a
//! rule says of either.
//! Held by: the tests below and `fixtures/http/paths.tsv`.

mod query;

use portcullis_model::is_unseen;
pub(crate) use query::Query;

/// Bytes of a path or a query.
const LONGEST: usize = 8 * 1024;

/// Why a text is no path or query for us, in words the client may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ambiguous(pub(crate) &'static str);

/// A canonical path: begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path(Box<str>);

impl Path {
    /// Reads one.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub(crate) fn read(text: &str) -> Result<Self, Ambiguous> {
        if text.len() > LONGEST {
            return Err(Ambiguous("the path is too long"));
        }
        let rest = text.strip_prefix('/').ok_or(Ambiguous("the path does not begin with `/`"))?;
        // A slash at the end is part of the path, since some backends tell `/a` from `/a/`; what a rule refuses or holds of
        // one it does of the other too, since some do not.
        let segments = rest.strip_suffix('/').unwrap_or(rest);
        if !rest.is_empty() {
            for segment in segments.split('/') {
                check_segment(segment)?;
            }
        }
        Ok(Self(text.into()))
    }

    /// Reads one as clients write it: an escape in lower case is the same (RFC 3986 §6.2.2.1), and goes on in upper case.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub(crate) fn received(text: &str) -> Result<Self, Ambiguous> {
        Self::read(&with_upper_escapes(text))
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As rules see it: what a path may have as it is stands as it is (RFC 3986 §3.3), every other escape stays.
    pub(crate) fn judged(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        let mut rest = &*self.0;
        while let Some((before, behind)) = rest.split_once('%') {
            out.push_str(before);
            let (digits, behind) = behind.split_at_checked(2).unwrap_or((behind, ""));
            match u8::from_str_radix(digits, 16) {
                Ok(byte) if is_plain(byte) => out.push(char::from(byte)),
                Ok(_) | Err(_) => out.extend(["%", digits]),
            }
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    /// Its first segment, and the path below it; `None` for `/` alone.
    pub(crate) fn split_first(&self) -> Option<(&str, Self)> {
        let rest = self.0.strip_prefix('/')?;
        let (first, below) = match rest.split_once('/') {
            Some((first, below)) => (first, format!("/{below}")),
            None => (rest, "/".to_owned()),
        };
        (!first.is_empty()).then(|| (first, Self(below.into())))
    }

    /// This path below another; the root is the other itself, since a slash at its end would make it another one.
    pub(crate) fn below(&self, prefix: &Self) -> Self {
        if &*self.0 == "/" {
            return prefix.clone();
        }
        let prefix = prefix.0.strip_suffix('/').unwrap_or(&prefix.0);
        Self(format!("{prefix}{}", self.0).into())
    }
}

fn check_segment(segment: &str) -> Result<(), Ambiguous> {
    if segment.is_empty() {
        return Err(Ambiguous("the path has an empty segment"));
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = escape(&mut bytes)?;
                if is_unreserved(escaped) {
                    return Err(Ambiguous("the path encodes a character that needs no encoding"));
                }
                if let Some(why) = changes_the_meaning(escaped) {
                    return Err(Ambiguous(why));
                }
            }
            byte if is_plain(byte) || is_unreserved(byte) => {}
            b';' => return Err(Ambiguous("the path has a `;`: services differ about what stands behind it")),
            _ => return Err(Ambiguous("the path has a character that no path has unencoded; write it as `%XX`")),
        }
    }
    // Encoded dots are encodings of a character that needs none: they are gone by now.
    if segment == "." || segment == ".." {
        return Err(Ambiguous("the path has a `.` or `..` segment"));
    }
    check_text(&decode(segment)?)
}

/// Why a character may not be encoded in a path: decoded, it is no part of a name any more.
const fn changes_the_meaning(byte: u8) -> Option<&'static str> {
    match byte {
        b'/' => Some(
            "the path encodes a `/` (`%2F`), which some readers take for one that parts names; use a numeric id if the \
             service has one",
        ),
        b'\\' => Some("the path encodes a backslash (`%5C`), which some readers take for a `/`"),
        b'%' => Some("the path encodes a `%` (`%25`), and some readers decode twice"),
        b';' => Some("the path encodes a `;` (`%3B`): services differ about what stands behind it"),
        0..=0x1f | 0x7f => Some("the path encodes a control character"),
        _ => None,
    }
}

/// The same text with the digits of its escapes in upper case.
fn with_upper_escapes(text: &str) -> String {
    let mut upper = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        upper.push(c);
        if c == '%' {
            upper.extend(chars.by_ref().take(2).map(|digit| digit.to_ascii_uppercase()));
        }
    }
    upper
}

/// What an escape of two upper-case digits stands for.
fn escape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, Ambiguous> {
    let mut digit = || match bytes.next() {
        Some(byte @ b'0'..=b'9') => Ok(byte - b'0'),
        Some(byte @ b'A'..=b'F') => Ok(byte - b'A' + 10),
        Some(b'a'..=b'f') => Err(Ambiguous("an escape is written in lower case; write `%2C`, not `%2c`")),
        Some(_) | None => Err(Ambiguous("a `%` is not followed by two hexadecimal digits")),
    };
    Ok(digit()? << 4 | digit()?)
}

/// What a segment may have beside what is unreserved (RFC 3986 §3.3), but for `;`, behind which some readers cut.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn decode(text: &str) -> Result<String, Ambiguous> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' { escape(&mut bytes)? } else { byte });
    }
    String::from_utf8(out).map_err(|_| Ambiguous("an escape is not UTF-8"))
}

/// What no decoded part may hold: two writings of one character would be two paths to us and one to a backend.
fn check_text(text: &str) -> Result<(), Ambiguous> {
    let strange = |c: char| {
        c.is_control()
            || is_unseen(c)
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{ff0e}' | '\u{ff0f}' | '\u{ff3c}' | '\u{2215}' | '\u{2044}')
    };
    if text.chars().any(strange) {
        return Err(Ambiguous("it has a character that readers take for another"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_can_be_read_two_ways_is_rejected() {
        let table = include_str!("../../../fixtures/http/paths.tsv");
        let mut rows = 0;
        for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (verdict, path) = line.split_once('\t').unwrap();
            // A fixture is text: what cannot be written in it is written as `\xNN` or `\u{N}`.
            let path = path.replace("\\x00", "\0").replace("\\u{e9}", "\u{e9}").replace("\\t", "\t");
            match Path::read(&path) {
                Ok(read) => assert_eq!((verdict, read.as_str()), ("accepted", path.as_str())),
                Err(why) => assert_eq!(verdict, "rejected", "{path}: {why}"),
            }
            rows += 1;
        }
        assert!(rows > 40, "{rows}");
    }

    #[test]
    fn what_needs_no_escape_is_judged_alike_with_and_without() {
        for (path, judged) in [
            ("/", "/"),
            ("/%24batch", "/$batch"),
            ("/$batch", "/$batch"),
            ("/v1/users%3Adelete", "/v1/users:delete"),
            ("/users/a%40b.c/", "/users/a@b.c/"),
            ("/%40org%2Cx/%21%24%26%27%28%29%2A%2B%2C%3D%3A%40", "/@org,x/!$&'()*+,=:@"),
            // What has no other spelling.
            ("/a%20b/%C3%A9/%22/%7Bid%7D/%5B1%5D", "/a%20b/%C3%A9/%22/%7Bid%7D/%5B1%5D"),
        ] {
            let path = Path::read(path).unwrap();
            assert_eq!(path.judged(), judged);
            // It is a path, and judged as itself.
            assert_eq!(Path::read(judged).unwrap().judged(), judged);
        }
        // Sent as it was written.
        assert_eq!(Path::read("/a%40b").unwrap().as_str(), "/a%40b");
    }

    #[test]
    fn a_client_may_write_escapes_in_lower_case_and_nothing_else_differs() {
        for (sent, read) in [
            ("/files/%c3%a9.txt", Some("/files/%C3%A9.txt")),
            ("/files/%C3%a9.txt", Some("/files/%C3%A9.txt")),
            ("/a%2cb/Orders", Some("/a%2Cb/Orders")),
            ("/orders/7", Some("/orders/7")),
            ("/a%2fb", None),
            ("/%2e%2e/a", None),
            ("/a%5cb", None),
            ("/a%3bb", None),
            ("/%6dessages", None),
            ("/a%c3", None),
            ("/a%zz", None),
            ("/a%%2c", None),
            ("/a%2", None),
        ] {
            assert_eq!(Path::received(sent).ok().as_ref().map(Path::as_str), read, "{sent}");
            assert!(read.is_none_or(|read| Path::read(read).is_ok()), "{sent}");
        }
    }

    #[test]
    fn a_path_is_split_where_its_first_segment_ends() {
        let split = |path: &str| {
            Path::read(path).unwrap().split_first().map(|(first, below)| (first.to_owned(), below.0.into_string()))
        };
        assert_eq!(split("/crm/orders/7"), Some(("crm".into(), "/orders/7".into())));
        assert_eq!(split("/crm/"), Some(("crm".into(), "/".into())));
        assert_eq!(split("/crm"), Some(("crm".into(), "/".into())));
        assert_eq!(split("/"), None);
        let below = Path::read("/orders").unwrap().below(&Path::read("/api/v2/").unwrap());
        assert_eq!(below.as_str(), "/api/v2/orders");
        let root = Path::read("/").unwrap();
        assert_eq!(root.below(&Path::read("/mcp").unwrap()).as_str(), "/mcp");
        assert_eq!(root.below(&root).as_str(), "/");
    }
}
