//! Paths and queries that are read in one way only (RFC 3986 §3.3, §3.4).
//!
//! Promises: a text that two readers could take for different paths is rejected, never repaired: empty segments, `.` and
//! `..` in any spelling, encoded slashes, backslashes, `%25`, NUL, encodings of characters that need none, lower-case
//! escapes, `;` and `#`, anything outside ASCII. What is accepted is written exactly as it was read, so two texts that are
//! accepted are the same path only where they are the same text. A query is a list of names and values, decoded for
//! whoever looks at them and written anew.
//! Held by: the tests below and `fixtures/http/paths.tsv`.

use portcullis_model::is_unseen;
use std::fmt;

/// Bytes of a path or a query.
const LONGEST: usize = 8 * 1024;
/// Parameters of a query.
const PARAMETERS: usize = 256;

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

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
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
                if matches!(escaped, b'/' | b'\\' | b'%' | b';' | 0..=0x1f | 0x7f) {
                    return Err(Ambiguous("the path encodes a character that would change its meaning"));
                }
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {}
            byte if is_unreserved(byte) => {}
            _ => return Err(Ambiguous("the path has a character that no path has unencoded")),
        }
    }
    // Encoded dots are encodings of a character that needs none: they are gone by now.
    if segment == "." || segment == ".." {
        return Err(Ambiguous("the path has a `.` or `..` segment"));
    }
    check_text(&decode(segment)?)
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

/// The parameters of a query, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, Option<String>)>);

impl Query {
    /// Reads one, without its `?`. `+` is a space only in forms, and readers differ: it is rejected.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub(crate) fn read(text: &str) -> Result<Self, Ambiguous> {
        if text.len() > LONGEST {
            return Err(Ambiguous("the query is too long"));
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut parameters = Vec::new();
        for part in text.split('&') {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            };
            if name.is_empty() {
                return Err(Ambiguous("a parameter of the query has no name"));
            }
            if !text_of_query(name) || !value.is_none_or(text_of_query) {
                return Err(Ambiguous("the query has a character that readers take differently; write it as `%XX`"));
            }
            let name = decode_parameter(name)?;
            let value = value.map(decode_parameter).transpose()?;
            parameters.push((name, value));
        }
        if parameters.len() > PARAMETERS {
            return Err(Ambiguous("the query has too many parameters"));
        }
        Ok(Self(parameters))
    }

    /// The parameters in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether it has none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn text_of_query(text: &str) -> bool {
    let known = |byte: u8| {
        is_unreserved(byte)
            || matches!(
                byte,
                b'%' | b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b',' | b':' | b'@' | b'/' | b'?' | b'[' | b']'
            )
    };
    text.bytes().all(|byte| known(byte) || byte == b'=')
}

fn decode_parameter(text: &str) -> Result<String, Ambiguous> {
    let mut upper = String::with_capacity(text.len());
    let mut chars = text.chars();
    // Escapes of a query are written in either case by clients; they mean the same and are written anew.
    while let Some(c) = chars.next() {
        upper.push(c);
        if c == '%' {
            upper.extend(chars.by_ref().take(2).map(|digit| digit.to_ascii_uppercase()));
        }
    }
    let decoded = decode(&upper)?;
    if decoded.chars().any(|c| c == '\0') {
        return Err(Ambiguous("the query has a NUL in it"));
    }
    Ok(decoded)
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str("&")?;
            }
            write_parameter(f, name)?;
            if let Some(value) = value {
                f.write_str("=")?;
                write_parameter(f, value)?;
            }
        }
        Ok(())
    }
}

fn write_parameter(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        if is_unreserved(byte) || matches!(byte, b':' | b'@' | b'/' | b',') {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
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

    #[test]
    fn a_query_is_read_and_written_anew() {
        for (text, written) in [
            ("", ""),
            ("beta=true", "beta=true"),
            ("limit=1000&after_id", "limit=1000&after_id"),
            ("q=a%20b&q=%c3%a9", "q=a%20b&q=%C3%A9"),
            ("filter[name]=x", "filter%5Bname%5D=x"),
            ("a=b=c", "a=b%3Dc"),
        ] {
            let query = Query::read(text).unwrap();
            assert_eq!(query.to_string(), written);
            assert_eq!(Query::read(written).unwrap(), query, "{text}");
        }
        for text in [
            "a=b+c", "a&&b", "=x", "&", "a=%", "a=%zz", "a=%00", "a=%ff", "a=b#c", "a=b;c=d", "a=\u{e9}", "a=\"", "a=<",
        ] {
            assert!(Query::read(text).is_err(), "{text}");
        }
    }
}
