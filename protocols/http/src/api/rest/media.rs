//! Media types (RFC 9110 §8.3.1), as far as masking has to tell them apart.
//!
//! Promises: two readers cannot take one for different types: one type, known characters, a charset named at most once,
//! and nothing in quotes that could be one.
//! Held by: the tests below.

use portcullis_model::MediaKind;
use std::fmt;

/// A media type without its parameters, but for the charset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    /// In lower case: `type/subtype`.
    essence: String,
    charset: Option<String>,
}

impl Media {
    /// Reads a `content-type`.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut parts = parts(text)?.into_iter();
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (kind, sub) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(sub) {
            return None;
        }
        let mut charset = None;
        for parameter in parts {
            let parameter = parameter.trim();
            // RFC 9110 §5.6.6 lets any be empty.
            if parameter.is_empty() {
                continue;
            }
            let (name, value) = parameter.split_once('=')?;
            if !is_token(name) || !is_value(value) {
                return None;
            }
            if name.eq_ignore_ascii_case("charset") {
                let value = value.trim_matches('"').to_ascii_lowercase();
                if charset.replace(value).is_some() {
                    return None;
                }
            }
        }
        Some(Self { essence, charset })
    }

    /// Whether its text is in UTF-8, or may be taken for it.
    pub(crate) fn is_utf8(&self) -> bool {
        self.charset.as_deref().is_none_or(|charset| matches!(charset, "utf-8" | "utf8" | "us-ascii"))
    }

    /// What its body is read as; `None` for what only the type describes.
    pub(crate) fn kind(&self) -> Option<MediaKind> {
        MediaKind::of(&self.essence)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.kind() == Some(MediaKind::Json)
    }

    /// Whether it says that the body is a JSON Patch (RFC 6902 §6, and types made after it).
    pub(crate) fn is_json_patch(&self) -> bool {
        self.is_json() && self.essence.contains("json-patch")
    }

    pub(crate) fn is_json_lines(&self) -> bool {
        self.kind() == Some(MediaKind::JsonLines)
    }

    pub(crate) fn is_events(&self) -> bool {
        self.kind() == Some(MediaKind::Events)
    }

    pub(crate) fn is_form(&self) -> bool {
        self.kind() == Some(MediaKind::Form)
    }

    /// Whether it is text that detectors can look through.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind(), Some(MediaKind::Text | MediaKind::Form))
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.essence)
    }
}

/// What lies between semicolons, of which those in quotes are none; `None` where a quote does not end, or where there
/// is a backslash in one, which some read and some do not.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut in_quotes) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\\' if in_quotes => return None,
            b';' if !in_quotes => {
                parts.push(text.get(from..at)?);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..)?);
    (!in_quotes).then_some(parts)
}

/// Whether a value is in quotes from end to end or has none, and says no charset to who cuts at any semicolon.
fn is_value(text: &str) -> bool {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => {
            let names_one = quoted.contains(';') && quoted.to_ascii_lowercase().contains("charset");
            !quoted.contains('"') && !names_one
        }
        // Behind a comma some read another type.
        None => !text.contains(['"', ',']),
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(known)
}

/// The media types of a connection that pass unread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opaque(Vec<(String, Option<String>)>);

impl Opaque {
    /// Those of `image/*` or `application/pdf`; what is neither names nothing.
    pub fn new<'a>(types: impl IntoIterator<Item = &'a str>) -> Self {
        let split = |text: &str| {
            let (kind, sub) = text.split_once('/')?;
            Some((kind.to_ascii_lowercase(), (sub != "*").then(|| sub.to_ascii_lowercase())))
        };
        Self(types.into_iter().filter_map(split).collect())
    }

    /// Whether it names bytes of which nothing is said.
    pub(crate) fn covers_any_bytes(&self) -> bool {
        Media::of("application/octet-stream").is_some_and(|media| self.covers(&media))
    }

    /// Whether it names this one. All of a kind are those that the gateway does not read: a picture, and not one in XML.
    pub(crate) fn covers(&self, media: &Media) -> bool {
        let Some((kind, sub)) = media.essence.split_once('/') else { return false };
        let is_read = media.kind().is_some();
        self.0.iter().any(|(named, of)| named == kind && of.as_deref().map_or(!is_read, |of| of == sub))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_read_two_ways_is_none() {
        let json = Media::of("Application/JSON; charset=\"UTF-8\"").unwrap();
        assert!(json.is_json() && json.is_utf8());
        assert!(Media::of("application/problem+json").unwrap().is_json());
        assert!(!Media::of("application/json; charset=utf-16").unwrap().is_utf8());
        assert!(Media::of("text/event-stream").unwrap().is_events());
        let is_patch = |text| Media::of(text).unwrap().is_json_patch();
        assert!(
            is_patch("application/JSON-Patch+json; charset=utf-8") && is_patch("application/json-patch-query+json")
        );
        assert!(!is_patch("application/merge-patch+json") && !is_patch("application/json"));
        for text in [
            "application/json;",
            "application/json; charset=utf-8;",
            "application/json;; ;charset=utf-8",
            "application/json; profile=\"http://x/;y\"",
            "application/json; profile=\"\"; charset=\"utf-8\"",
            "application/json; profile=http://x/y",
        ] {
            assert!(Media::of(text).is_some_and(|media| media.is_json() && media.is_utf8()), "{text}");
        }
        for text in [
            "",
            "json",
            "application/",
            "/json",
            "a b/c",
            "application/json, text/html",
            "a/b; charset=x; charset=y",
            "a/b; x",
            ";a/b",
            "a/b; =x",
            "a/b; charset=utf-8;; charset=utf-16",
            "a/b; charset=\"utf-8",
            "a/b; x=\"y; charset=utf-8",
            "a/b; x=\"y;Charset=utf-16\"",
            "a/b; x=\"y\\\";charset=utf-16;z=\"",
            "a/b; x=y\"z;\"",
            "a/b; x=\"y\" \"z\"",
            "a/b; x=\"",
            "a/b; x=y, c/d",
            "a/b; x=\"y\", c/d",
        ] {
            assert_eq!(Media::of(text), None, "{text}");
        }
    }

    #[test]
    fn opaque_types_are_those_named() {
        let opaque = Opaque::new(["image/*", "application/pdf"]);
        let covers = |text| opaque.covers(&Media::of(text).unwrap());
        assert!(covers("image/png") && covers("application/PDF; x=y"));
        assert!(!opaque.covers_any_bytes() && Opaque::new(["application/octet-stream"]).covers_any_bytes());
        assert!(!covers("application/json") && !covers("text/plain") && !covers("image/svg+xml"));
    }
}
