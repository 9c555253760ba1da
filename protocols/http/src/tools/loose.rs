//! JSON as readers that forgive take it.
//!
//! Promises: of a text that is not strict JSON (several documents, a name twice, a comma too many, half of a surrogate, a
//! byte order mark, comments) the strings are found under their names, and of what belongs together; nothing recurses, and
//! of a text with more than is read that is said. Does not promise to find names and strings without double quotes, nor
//! what a reader makes of numbers: it is looked through for code, and passes or fails by that alone.
//! Held by: the tests below and `fixtures/http/tools.tsv`.

use crate::json::{DEPTH, Node, Value};

/// Strings of one text.
const STRINGS: usize = 131_072;

/// What is open.
enum Open {
    Object { members: Vec<(String, Node)>, name: Option<String> },
    List(Vec<Node>),
}

struct Loose<'t> {
    text: &'t str,
    at: usize,
    open: Vec<(usize, Open)>,
    found: Vec<Node>,
    strings: usize,
}

/// What is in a text; `None` where it holds more than is read.
pub(super) fn read(text: &str) -> Option<Vec<Node>> {
    let mut loose = Loose { text, at: 0, open: Vec::new(), found: Vec::new(), strings: 0 };
    while let Some(next) = loose.rest().chars().next() {
        let at = loose.at;
        loose.at += next.len_utf8();
        match next {
            '{' => loose.begin(at, Open::Object { members: Vec::new(), name: None })?,
            '[' => loose.begin(at, Open::List(Vec::new()))?,
            '}' | ']' => loose.end(),
            '"' => loose.string(at)?,
            '/' => loose.comment(),
            _ => {}
        }
    }
    while !loose.open.is_empty() {
        loose.end();
    }
    Some(loose.found)
}

impl<'t> Loose<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn begin(&mut self, at: usize, open: Open) -> Option<()> {
        if self.open.len() >= DEPTH {
            return None;
        }
        self.open.push((at, open));
        Some(())
    }

    fn end(&mut self) {
        let Some((at, open)) = self.open.pop() else { return };
        let value = match open {
            Open::Object { members, .. } => Value::Object(members),
            Open::List(elements) => Value::Array(elements),
        };
        self.put(Node { value, span: at..self.at });
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.found.push(node),
            Some((_, Open::List(elements))) => elements.push(node),
            Some((_, Open::Object { members, name })) => members.push((name.take().unwrap_or_default(), node)),
        }
    }

    /// Behind the opening quote.
    fn string(&mut self, start: usize) -> Option<()> {
        self.strings += 1;
        if self.strings > STRINGS {
            return None;
        }
        let text = self.unescaped();
        if let Some((_, Open::Object { name, .. })) = self.open.last_mut()
            && is_colon(self.text.get(self.at..).unwrap_or_default())
        {
            *name = Some(text);
        } else {
            self.put(Node { value: Value::String(text), span: start..self.at });
        }
        Some(())
    }

    /// Up to the closing quote, or the end of the text.
    fn unescaped(&mut self) -> String {
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return out;
                }
                '\\' => match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('u') => out.push(unit(&mut chars)),
                    Some(other) => out.push(other),
                    None => {}
                },
                other => out.push(other),
            }
        }
        self.at = self.text.len();
        out
    }

    /// What may be a comment, behind its first slash.
    fn comment(&mut self) {
        let rest = self.rest();
        let length = if rest.starts_with('/') {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if let Some(inside) = rest.strip_prefix('*') {
            inside.find("*/").map_or(rest.len(), |end| end + 3)
        } else {
            return;
        };
        self.at += length;
    }
}

/// A character by its number; what is half of one is some other that is no code.
fn unit(chars: &mut std::str::CharIndices<'_>) -> char {
    let mut four = || {
        let ahead = chars.as_str();
        let unit = u32::from_str_radix(ahead.get(..4)?, 16).ok()?;
        chars.nth(3)?;
        Some(unit)
    };
    let Some(high) = four() else { return char::REPLACEMENT_CHARACTER };
    if (0xd800..0xdc00).contains(&high) && chars.as_str().starts_with("\\u") {
        let low = chars.as_str().get(2..6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        if let Some(low) = low.filter(|low| (0xdc00..0xe000).contains(low)) {
            chars.nth(5);
            return char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                .unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Whether a colon is next, behind blanks and comments.
fn is_colon(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let behind = if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, behind)| behind)
        } else if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once(['\n', '\r']).map(|(_, behind)| behind)
        } else {
            return rest.starts_with(':');
        };
        let Some(behind) = behind else { return false };
        rest = behind.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As JSON, without blanks.
    fn shown(nodes: &[Node]) -> String {
        nodes.iter().map(|node| super::super::shown::input(node, &<_>::default())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn strings_are_found_under_their_names() {
        for (text, expected) in [
            ("{\"a\":\"b\",}", r#"{"a":"b"}"#),
            ("{\"a\":\"b\"}\n{\"c\":1}", r#"{"a":"b"} {}"#),
            ("{\"a\":\"b\",\"a\":\"c\"}", r#"{"a":"b","a":"c"}"#),
            (
                "{\"a\\u0062\":\"\\ud83d\",\"c\":\"\\ud83d\\ude00\\n\\\"\"}",
                "{\"ab\":\"\u{fffd}\",\"c\":\"\u{1f600}\\n\\\"\"}",
            ),
            (
                "{\"a\" /* \" */ : [\"b\", {\"c\": \"d\"}], // it's \"\n \"e\":\"f\"}",
                r#"{"a":["b",{"c":"d"}],"e":"f"}"#,
            ),
            ("{\"a\":{\"b\":\"c\"", r#"{"a":{"b":"c"}}"#),
            ("]}{\"a\":\"b", r#"{"a":"b"}"#),
            ("{a: 1}", "{}"),
            ("", ""),
        ] {
            assert_eq!(shown(&read(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_said() {
        assert!(read(&"[".repeat(DEPTH)).is_some());
        assert!(read(&"[".repeat(DEPTH + 1)).is_none());
        assert!(read(&"\"\"".repeat(STRINGS)).is_some());
        assert!(read(&"\"\"".repeat(STRINGS + 1)).is_none());
    }
}
