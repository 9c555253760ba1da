//! Queries that are read in one way only (RFC 3986 §3.4).
//!
//! Promises: a query is a list of names and values, decoded for whoever looks at them and written anew; a plus in a value
//! stays one, since services differ about it and no rule asks, and in a name there is none; what two readers could take for
//! different lists is rejected. Does not promise what a service makes of a name that stands twice.
//! Held by: the tests below.

use super::{Ambiguous, LONGEST, decode, is_unreserved, with_upper_escapes};
use std::fmt;

/// Parameters of a query.
const PARAMETERS: usize = 256;

/// The parameters of a query, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, Option<Given>)>);

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    /// Decoded, but for a plus.
    text: String,
    /// As it goes on.
    written: String,
}

impl Given {
    /// A plus goes on as a plus, and an encoded one encoded: whether it is a space is the service's matter.
    fn read(text: &str) -> Result<Self, Ambiguous> {
        let pieces = text.split('+').map(decode_parameter).collect::<Result<Vec<_>, _>>()?;
        let written: Vec<String> = pieces.iter().map(|piece| encoded(piece)).collect();
        Ok(Self { text: pieces.join("+"), written: written.join("+") })
    }
}

impl Query {
    /// Reads one, without its `?`. `+` is a space only in forms, and readers differ: in a name it is rejected.
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
            if part.contains(';') {
                return Err(Ambiguous("the query has a `;`, which some services take for a `&`; write it as `%3B`"));
            }
            if !text_of_query(name, b"") || !value.is_none_or(|value| text_of_query(value, IN_VALUES)) {
                return Err(Ambiguous("the query has a character that readers take differently; write it as `%XX`"));
            }
            let name = decode_parameter(name)?;
            let value = value.map(Given::read).transpose()?;
            parameters.push((name, value));
        }
        if parameters.len() > PARAMETERS {
            return Err(Ambiguous("the query has too many parameters"));
        }
        Ok(Self(parameters))
    }

    /// The parameters in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref().map(|value| value.text.as_str())))
    }

    /// Whether it has none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What values have besides, since libraries write it so (WHATWG URL §1.3, the query percent-encode set): no reader takes
/// any of these for the end of a value, nor for the same character encoded and not.
const IN_VALUES: &[u8] = b"+|{}^`";

fn text_of_query(text: &str, besides: &[u8]) -> bool {
    let known = |byte: u8| {
        is_unreserved(byte)
            || matches!(
                byte,
                b'%' | b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b',' | b':' | b'@' | b'/' | b'?' | b'[' | b']'
            )
    };
    text.bytes().all(|byte| known(byte) || byte == b'=' || besides.contains(&byte))
}

fn decode_parameter(text: &str) -> Result<String, Ambiguous> {
    // Escapes of a query are written in either case by clients; they mean the same and are written anew.
    let decoded = decode(&with_upper_escapes(text))?;
    if decoded.chars().any(|c| c == '\0') {
        return Err(Ambiguous("the query has a NUL in it"));
    }
    Ok(decoded)
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("&")?;
            }
            f.write_str(&encoded(name))?;
            if let Some(value) = value {
                f.write_str("=")?;
                f.write_str(&value.written)?;
            }
        }
        Ok(())
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) || matches!(byte, b':' | b'@' | b'/' | b',') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_written_anew() {
        for (text, written) in [
            ("", ""),
            ("beta=true", "beta=true"),
            ("limit=1000&after_id", "limit=1000&after_id"),
            ("q=a%20b&q=%c3%a9", "q=a%20b&q=%C3%A9"),
            ("filter[name]=x", "filter%5Bname%5D=x"),
            ("a=b=c", "a=b%3Dc"),
            ("q=is%3Aopen+label%3Abug", "q=is:open+label:bug"),
            ("q=a%2bb+c%20d", "q=a%2Bb+c%20d"),
            ("q=+", "q=+"),
            ("q=a|b&f={x}^`", "q=a%7Cb&f=%7Bx%7D%5E%60"),
        ] {
            let query = Query::read(text).unwrap();
            assert_eq!(query.to_string(), written);
            assert_eq!(Query::read(written).unwrap(), query, "{text}");
        }
        for text in [
            "a=b#c",
            "a&&b",
            "=x",
            "&",
            "a=%",
            "a=%zz",
            "a=%00",
            "a=%ff",
            "a=b;c=d",
            "a;b",
            "a=\u{e9}",
            "a=\"",
            "a=<",
            "a+b=c",
            "a+b",
            "+_method=x",
            "a|b=c",
            "{a}=b",
            "a=b+%",
            "a=%C3+%A9",
            "a=%+41",
            "a=b\\c",
        ] {
            assert!(Query::read(text).is_err(), "{text}");
        }
        // What looks at a value sees its plus, written or encoded.
        let query = Query::read("a=b+c&d=b%2Bc").unwrap();
        assert_eq!(query.iter().map(|(_, value)| value).collect::<Vec<_>>(), [Some("b+c"), Some("b+c")]);
        assert_ne!(Query::read("a=b+c"), Query::read("a=b%2Bc"));
        assert_ne!(Query::read("a=b+c"), Query::read("a=b%20c"));
    }
}
