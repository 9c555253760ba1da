//! A raw word, cut into what is literal and what is expanded.
//!
//! The parser gives each word as it was written; this cuts it by bash's quoting rules into bare characters (which may
//! still be braces, globs or a tilde), quoted text, and expansions with their own raw text. Nothing is expanded here.
//!
//! Promises: a word that this does not understand to its last character is `None`, never half a word; the end of a
//! `$(…)` is where the parser ends it, not where a count of brackets would. Linear except for that search, which is
//! bounded. Held by: `fixtures/shell/quoting.tsv`, and the agreement with bash in `tests/it/agreement.rs`.

mod dialect;
mod escapes;

pub(crate) use dialect::is_bash_only;
pub(crate) use escapes::decode_escapes;

use escapes::ansi;
use rable::{Node, NodeKind};
use std::iter::Peekable;
use std::vec::IntoIter;

/// More closing brackets than this are not tried as the end of one substitution.
const CANDIDATES: usize = 64;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An unquoted character.
    Bare(char),
    /// Text that stands for itself; may be empty, which still makes a word.
    Quoted(String),
    /// Something that is expanded.
    Expand {
        /// What.
        what: Expansion,
        /// Inside double quotes: not split, not globbed.
        quoted: bool,
    },
}

/// An expansion, with its raw text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expansion {
    /// `$name`, `$1`, `$?`.
    Name(String),
    /// `${…}`: what stands between the braces.
    Braced(String),
    /// `$(…)`, backticks with their escapes undone, `${ …; }`.
    Command(String),
    /// `$((…))`, `$[…]`.
    Arithmetic(String),
    /// `<(…)`, `>(…)`.
    Process(String),
}

impl Expansion {
    /// Whether it can be several words, or none, even in double quotes.
    pub(crate) fn is_many(&self) -> bool {
        match self {
            Self::Name(name) => name == "@",
            // What a value names may be an array.
            Self::Braced(body) => body.starts_with(['@', '!']) || holds_many(body),
            Self::Command(_) | Self::Arithmetic(_) | Self::Process(_) => false,
        }
    }
}

/// Whether a text holds an expansion of any number of words: `$@`, `${@…}`, `${x[@]}`, `${!x@}`.
pub(crate) fn holds_many(raw: &str) -> bool {
    ["$@", "{@", "[@]", "@}", "{!"].iter().any(|text| raw.contains(text))
}

type Chars = Peekable<IntoIter<char>>;

/// Cuts a raw word; `None` where it is not understood.
pub(crate) fn pieces(raw: &str) -> Option<Vec<Piece>> {
    let mut chars = raw.chars().collect::<Vec<_>>().into_iter().peekable();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            '\'' => out.push(Piece::Quoted(until(&mut chars, '\'')?)),
            '"' => double(&mut chars, &mut out)?,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next) => out.push(Piece::Quoted(next.to_string())),
                None => out.push(Piece::Quoted("\\".to_owned())),
            },
            '$' => dollar(&mut chars, false, &mut out)?,
            '`' => out.push(Piece::Expand { what: Expansion::Command(backticks(&mut chars, false)?), quoted: false }),
            '<' | '>' if chars.peek() == Some(&'(') => {
                chars.next();
                out.push(Piece::Expand { what: Expansion::Process(substitution(&mut chars)?), quoted: false });
            }
            other => out.push(Piece::Bare(other)),
        }
    }
    Some(out)
}

/// Text as in double quotes without the quotes: a here-document whose delimiter is not quoted, a prompt.
pub(crate) fn unquoted_text(raw: &str) -> Option<Vec<Piece>> {
    let mut chars = raw.chars().collect::<Vec<_>>().into_iter().peekable();
    let mut out = vec![Piece::Quoted(String::new())];
    while let Some(c) = chars.next() {
        in_double(c, &mut chars, &mut out, false)?;
    }
    Some(out)
}

fn until(chars: &mut Chars, end: char) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            c if c == end => return Some(text),
            c => text.push(c),
        }
    }
}

fn double(chars: &mut Chars, out: &mut Vec<Piece>) -> Option<()> {
    out.push(Piece::Quoted(String::new()));
    loop {
        match chars.next()? {
            '"' => return Some(()),
            c => in_double(c, chars, out, true)?,
        }
    }
}

fn in_double(c: char, chars: &mut Chars, out: &mut Vec<Piece>, quotes: bool) -> Option<()> {
    match c {
        '\\' => match chars.peek().copied() {
            Some('\n') => {
                chars.next();
            }
            Some(next) if matches!(next, '$' | '`' | '\\') || (quotes && next == '"') => {
                chars.next();
                literal(next, out);
            }
            Some(_) | None => literal('\\', out),
        },
        '$' => {
            if matches!(chars.peek(), Some('\'' | '"')) {
                literal('$', out);
            } else {
                dollar(chars, true, out)?;
            }
        }
        '`' => out.push(Piece::Expand { what: Expansion::Command(backticks(chars, quotes)?), quoted: true }),
        other => literal(other, out),
    }
    Some(())
}

fn literal(c: char, out: &mut Vec<Piece>) {
    if let Some(Piece::Quoted(text)) = out.last_mut() {
        text.push(c);
    } else {
        out.push(Piece::Quoted(c.to_string()));
    }
}

fn dollar(chars: &mut Chars, quoted: bool, out: &mut Vec<Piece>) -> Option<()> {
    let what = match chars.peek().copied() {
        Some('(') => {
            chars.next();
            if chars.peek() == Some(&'(') { arithmetic(chars)? } else { Expansion::Command(substitution(chars)?) }
        }
        Some('{') => {
            chars.next();
            braced(chars, quoted)?
        }
        Some('[') => {
            chars.next();
            Expansion::Arithmetic(balanced(chars, '[', ']').filter(|text| !text.contains('\n'))?)
        }
        Some('\'') if !quoted => {
            chars.next();
            out.push(Piece::Quoted(ansi(chars)?));
            return Some(());
        }
        Some('"') if !quoted => {
            chars.next();
            return double(chars, out);
        }
        Some(c) if c.is_ascii_alphabetic() || c == '_' => {
            let mut name = String::new();
            while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(c);
            }
            Expansion::Name(name)
        }
        Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
            chars.next();
            Expansion::Name(c.to_string())
        }
        Some(_) | None => {
            out.push(if quoted { Piece::Quoted("$".to_owned()) } else { Piece::Bare('$') });
            return Some(());
        }
    };
    out.push(Piece::Expand { what, quoted });
    Some(())
}

/// Up to the brace that closes `${`. Quotes and expansions inside are kept raw. A single quote inside double quotes is
/// literal to bash for some operators and a quote for others, so such a word is not understood; neither is one with a
/// bare brace or a process substitution inside.
fn braced(chars: &mut Chars, quoted: bool) -> Option<Expansion> {
    let runs = matches!(chars.peek(), Some(' ' | '\t' | '\n' | '|'));
    let body = balanced(chars, '{', '}')?;
    if quoted && body.contains('\'') {
        return None;
    }
    Some(if runs { Expansion::Command(body.trim_start_matches('|').to_owned()) } else { Expansion::Braced(body) })
}

/// Raw text up to the closing bracket; quotes and escapes hide brackets.
fn balanced(chars: &mut Chars, open: char, close: char) -> Option<String> {
    let mut text = String::new();
    let mut depth = 1_usize;
    loop {
        let c = chars.next()?;
        match c {
            '\\' => {
                text.push(c);
                text.push(chars.next()?);
                continue;
            }
            '\'' => {
                text.push(c);
                text.push_str(&until(chars, '\'')?);
            }
            '"' => {
                text.push(c);
                quoted_raw(chars, &mut text)?;
                continue;
            }
            '`' => {
                text.push(c);
                text.push_str(&raw_backticks(chars)?);
            }
            '$' if chars.peek() == Some(&'(') => {
                chars.next();
                text.push_str("$(");
                text.push_str(&substitution(chars)?);
                text.push(')');
                continue;
            }
            // bash counts a brace only behind a `$`, and not every reader of a bare one.
            '{' if open == '{' && (!text.ends_with('$') || text.ends_with("$$") || text.ends_with("\\$")) => {
                return None;
            }
            // In a pattern this runs even inside double quotes; elsewhere there it is text.
            '<' | '>' if open == '{' && chars.peek() == Some(&'(') => return None,
            c if c == open => depth += 1,
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(text);
                }
            }
            _ => {}
        }
        text.push(c);
    }
}

fn quoted_raw(chars: &mut Chars, text: &mut String) -> Option<()> {
    loop {
        let c = chars.next()?;
        text.push(c);
        match c {
            '"' => return Some(()),
            '\\' => text.push(chars.next()?),
            '$' if chars.peek() == Some(&'(') => {
                chars.next();
                text.push('(');
                text.push_str(&substitution(chars)?);
                text.push(')');
            }
            _ => {}
        }
    }
}

fn raw_backticks(chars: &mut Chars) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '`' => return Some(text),
            '\\' => {
                text.push('\\');
                text.push(chars.next()?);
            }
            c => text.push(c),
        }
    }
}

/// The text between backticks with the escapes undone that the backticks take.
fn backticks(chars: &mut Chars, quoted: bool) -> Option<String> {
    let mut text = String::new();
    let raw = raw_backticks(chars)?;
    let mut raw = raw.chars().peekable();
    while let Some(c) = raw.next() {
        match (c, raw.peek().copied()) {
            ('\\', Some(next)) if matches!(next, '$' | '`' | '\\') || (quoted && next == '"') => {
                raw.next();
                text.push(next);
            }
            _ => text.push(c),
        }
    }
    Some(text)
}

/// `$((…))`, told from `$( (…) )`. What closes like arithmetic but does not look like it is not understood.
fn arithmetic(chars: &mut Chars) -> Option<Expansion> {
    let mut ahead = chars.clone();
    ahead.next();
    if let Some(inner) = balanced(&mut ahead, '(', ')')
        && ahead.next() == Some(')')
    {
        if !looks_arithmetic(&inner) {
            return None;
        }
        *chars = ahead;
        return Some(Expansion::Arithmetic(inner));
    }
    None
}

/// Whether the text between `((` and `))` could be arithmetic that the parser and bash end at the same place: the parser
/// counts brackets in quotes, too.
pub(crate) fn looks_counted(text: &str) -> bool {
    !text.contains(['"', '\'', '`']) && looks_arithmetic(text)
}

/// Whether each brace in a text opens or closes `${…}`, with no bracket, brace, quote or blank inside.
fn has_plain_braces(text: &str) -> bool {
    let mut parts = text.split("${");
    let outside = |text: &str| !text.contains(['{', '}']);
    parts.next().is_some_and(outside)
        && parts.all(|part| {
            part.split_once('}').is_some_and(|(inside, rest)| {
                outside(rest) && !inside.contains(|c: char| c.is_whitespace() || "(){\"'`".contains(c))
            })
        })
}

/// Whether a text could be an arithmetic expression: no two operands without an operator between them, and on one line. A
/// `#` behind a blank begins a comment to the parser alone, up to the end of the line, and it drops that.
pub(crate) fn looks_arithmetic(text: &str) -> bool {
    if text.contains('\n') || !has_plain_braces(text) {
        return false;
    }
    let mut operand = false;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        let word = c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | '$' | '{' | '}' | '@');
        if word && operand && gap {
            return false;
        }
        if !word && !"+-*/%<>=!&|^~?:,()[].\"'`".contains(c) {
            return false;
        }
        operand = word;
        gap = false;
    }
    true
}

/// The text of `$(…)` behind its opening: the shortest that the parser reads as one whole substitution.
fn substitution(chars: &mut Chars) -> Option<String> {
    let mut body = String::new();
    let mut ahead = chars.clone();
    let mut tried = 0;
    loop {
        let c = ahead.next()?;
        if c == ')' {
            tried += 1;
            if tried > CANDIDATES {
                return None;
            }
            if is_whole(&format!("$({body})")) {
                *chars = ahead;
                return Some(body);
            }
        }
        body.push(c);
    }
}

fn is_whole(text: &str) -> bool {
    let Ok(nodes) = rable::parse(text, false) else { return false };
    let [Node { kind: NodeKind::Command { assignments, words, redirects }, .. }] = nodes.as_slice() else {
        return false;
    };
    let [Node { kind: NodeKind::Word { value, .. }, .. }] = words.as_slice() else { return false };
    assignments.is_empty() && redirects.is_empty() && value == text
}
