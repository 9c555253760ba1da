//! Where a JSON document ends that begins a text, and what a document that breaks off lacks.
//!
//! Promises: one pass, whatever comes; what is whole here is JSON by its grammar (RFC 8259), and what breaks off is that with
//! what it lacks behind it. Names twice, lone surrogates and depth are for whoever reads it then.
//! Held by: `tests.rs`, against another parser.

/// What begins a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// A document of so many bytes.
    Whole(usize),
    /// A document that breaks off with the text: what it lacks.
    Cut(String),
    /// No document, from this byte on.
    Wrong(usize),
}

/// What may come next.
#[derive(Clone, Copy)]
enum Wants {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
}

impl Wants {
    /// The least that may come.
    const fn least(self) -> &'static str {
        match self {
            Self::Value => "null",
            Self::Name => "\"\":null",
            Self::Colon => ":null",
            Self::ValueOrEnd | Self::NameOrEnd | Self::CommaOrEnd => "",
        }
    }
}

/// Looks at a text that begins with an object or a list.
pub(super) fn scan(text: &str) -> Scan {
    let bytes = text.as_bytes();
    // The ends of what is open.
    let mut open: Vec<u8> = Vec::new();
    let (mut wants, mut at) = (Wants::Value, 0);
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let mut length = 1;
        wants = match (wants, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => wants,
            (Wants::Value | Wants::ValueOrEnd, b'{') => {
                open.push(b'}');
                Wants::NameOrEnd
            }
            (Wants::Value | Wants::ValueOrEnd, b'[') => {
                open.push(b']');
                Wants::ValueOrEnd
            }
            (Wants::ValueOrEnd, b']') | (Wants::NameOrEnd, b'}') | (Wants::CommaOrEnd, b']' | b'}') => {
                if open.pop() != Some(byte) {
                    return Scan::Wrong(at);
                }
                if open.is_empty() {
                    return Scan::Whole(at + 1);
                }
                Wants::CommaOrEnd
            }
            (Wants::CommaOrEnd, b',') if open.last() == Some(&b'}') => Wants::Name,
            (Wants::CommaOrEnd, b',') => Wants::Value,
            (Wants::Colon, b':') => Wants::Value,
            (Wants::Value | Wants::ValueOrEnd | Wants::Name | Wants::NameOrEnd, _) => {
                let named = matches!(wants, Wants::Name | Wants::NameOrEnd);
                let next = if named { Wants::Colon } else { Wants::CommaOrEnd };
                let scan = match byte {
                    b'"' => string(rest),
                    _ if named => Scan::Wrong(0),
                    _ => token(rest),
                };
                match scan {
                    Scan::Whole(bytes) => length = bytes,
                    Scan::Cut(lacks) => return cut(lacks, next, &open),
                    Scan::Wrong(bytes) => return Scan::Wrong(at + bytes),
                }
                next
            }
            (Wants::Colon | Wants::CommaOrEnd, _) => return Scan::Wrong(at),
        };
        at += length;
    }
    cut(String::new(), wants, &open)
}

fn cut(mut lacks: String, wants: Wants, open: &[u8]) -> Scan {
    lacks.push_str(wants.least());
    lacks.extend(open.iter().rev().map(|end| char::from(*end)));
    Scan::Cut(lacks)
}

/// A string with its quotes.
fn string(text: &[u8]) -> Scan {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        at += match byte {
            b'"' => return Scan::Whole(at + 1),
            b'\\' => match text.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') => {
                    let digits = text.get(at + 2..).unwrap_or_default();
                    let hex = digits.iter().take(4).take_while(|digit| digit.is_ascii_hexdigit()).count();
                    if hex == digits.len() && hex < 4 {
                        return Scan::Cut("0".repeat(4 - hex) + "\"");
                    } else if hex < 4 {
                        return Scan::Wrong(at);
                    }
                    6
                }
                Some(_) => return Scan::Wrong(at),
                None => return Scan::Cut("\\\"".to_owned()),
            },
            0..0x20 => return Scan::Wrong(at),
            _ => 1,
        };
    }
    Scan::Cut("\"".to_owned())
}

/// A number, or one of three words.
fn token(text: &[u8]) -> Scan {
    for word in ["true", "false", "null"] {
        if text.starts_with(word.as_bytes()) {
            return Scan::Whole(word.len());
        }
        if word.as_bytes().starts_with(text) {
            return Scan::Cut(word.get(text.len()..).unwrap_or_default().to_owned());
        }
    }
    let digits = |from: usize| text.iter().skip(from).take_while(|digit| digit.is_ascii_digit()).count();
    // Where digits must stand and none do.
    let none = |at: usize| if at == text.len() { Scan::Cut("0".to_owned()) } else { Scan::Wrong(at) };
    let mut at = usize::from(text.first() == Some(&b'-'));
    match digits(at) {
        0 => return none(at),
        // A number begins with one zero at most.
        _ if text.get(at) == Some(&b'0') => at += 1,
        whole => at += whole,
    }
    if text.get(at) == Some(&b'.') {
        match digits(at + 1) {
            0 => return none(at + 1),
            part => at += 1 + part,
        }
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        match digits(at + 1 + sign) {
            0 => return none(at + 1 + sign),
            power => at += 1 + sign + power,
        }
    }
    Scan::Whole(at)
}
