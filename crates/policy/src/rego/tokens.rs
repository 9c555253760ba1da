//! The words of a module, and how much they may ask of whoever reads them.
//!
//! Promises: what the evaluator's parser costs is bounded before it sees a text. It reads what stands in `[…]` and `{…}` up
//! to three times over, each level anew, so a word counts three times for each such bracket it stands in, and all words of a
//! bundle together cost [`READS`] at most. Brackets inside each other are at most [`NESTED`], [`LITERALS`] of them `[` and
//! `{`; operators, dots and brackets of one expression at most [`DEEPEST_EXPRESSION`] one below the other, so that the parser,
//! whoever walks its tree, and whoever drops it on a thread of 2 MiB, recurse no deeper than that. What is too much is told
//! at the word that was it. Words are read by the evaluator's own lexer, and a text that it cannot read goes no further.
//! Held by: `rego/tests/bounds.rs`.

use super::read::told;
use crate::SourceFile;
use regorus::Source;
use regorus::unstable::{Lexer, TokenKind};

/// Words that the modules of a bundle come to, one in brackets counted once for each time it is read.
pub(super) const READS: u64 = 4_000_000;

/// Bytes, blanks and comments among them, that are read in the time of a word.
const BYTES: usize = 16;

/// Words of a module.
const WORDS: usize = 200_000;

/// `[` and `{` inside each other.
const LITERALS: usize = 12;

/// Brackets of any kind inside each other.
const NESTED: usize = 64;

/// Operators, dots and brackets one below the other, since the last border of an expression.
pub(super) const DEEPEST_EXPRESSION: usize = 500;

/// `set(` in a row: the lexer looks behind each for what follows.
const SETS: usize = 8;

/// A word of a module.
pub(super) struct Token {
    kind: TokenKind,
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) end: usize,
    line: usize,
    column: usize,
}

/// Why a module is not read, and where.
pub(super) struct Refused {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

impl Token {
    pub(super) fn is_name(&self) -> bool {
        self.kind == TokenKind::Ident
    }

    pub(super) fn is_symbol(&self, text: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == text
    }

    /// `set()` comes as a name `set(` and a symbol.
    fn opens(&self) -> bool {
        matches!(self.kind, TokenKind::Symbol) && matches!(self.text.as_str(), "(" | "[" | "{") || self.text == "set("
    }

    fn closes(&self) -> bool {
        self.kind == TokenKind::Symbol && matches!(self.text.as_str(), ")" | "]" | "}")
    }

    fn literal(&self) -> bool {
        self.is_symbol("[") || self.is_symbol("{")
    }

    /// A word behind which an expression may be over.
    fn ends(&self) -> bool {
        self.closes() || (self.kind != TokenKind::Symbol && !self.is_in())
    }

    /// A word that goes on with no expression before it. A number with a sign may: `a -1` is a difference.
    fn begins(&self) -> bool {
        match self.kind {
            TokenKind::Ident => !self.is_in(),
            TokenKind::String | TokenKind::RawString => true,
            TokenKind::Number => !self.text.starts_with('-'),
            TokenKind::Symbol | TokenKind::Eof => false,
        }
    }

    /// The one operator that is a name.
    fn is_in(&self) -> bool {
        self.is_name() && self.text == "in"
    }

    fn parts(&self) -> bool {
        self.kind == TokenKind::Symbol && matches!(self.text.as_str(), "," | ";" | ":" | ":=" | "=")
    }

    pub(super) fn refused(&self, message: String) -> Refused {
        Refused { line: self.line, column: self.column, message }
    }
}

/// The words of a module, where they are not too much; takes what they cost from `left`.
pub(super) fn tokens(file: &SourceFile, left: &mut u64) -> Result<Vec<Token>, Refused> {
    let complaint = |why: String| {
        let (line, column, message) = told(&why);
        Refused { line, column, message }
    };
    if let Some(byte) = sets_in_a_row(&file.text) {
        let (line, column) = place(&file.text, byte);
        return Err(Refused { line, column, message: format!("more than {SETS} `set(` in a row") });
    }
    let source = Source::from_contents(file.path.to_string(), file.text.to_string());
    let source = source.map_err(|why| complaint(why.to_string()))?;
    let mut lexer = Lexer::new(&source);
    let mut tokens: Vec<Token> = Vec::new();
    let mut depth = Depth::default();
    loop {
        let token = lexer.next_token().map_err(|why| complaint(why.to_string()))?;
        if token.0 == TokenKind::Eof {
            return Ok(tokens);
        }
        let at = &token.1;
        let token = Token {
            kind: token.0,
            text: at.text().to_owned(),
            start: at.start as usize,
            end: at.end as usize,
            line: at.line as usize,
            column: at.col as usize,
        };
        depth.read(tokens.last(), &token, left).map_err(|message| token.refused(message))?;
        tokens.push(token);
        if tokens.len() > WORDS {
            return Err(Refused {
                line: at.line as usize,
                column: at.col as usize,
                message: format!("the module has more than {WORDS} words"),
            });
        }
    }
}

/// How deep the reading is.
#[derive(Default)]
struct Depth {
    open: Vec<Bracket>,
    literals: usize,
    /// Of the expression that is read.
    now: usize,
}

/// An open bracket.
struct Bracket {
    literal: bool,
    /// How deep it stands itself.
    base: usize,
    /// The deepest expression in it so far.
    deepest: usize,
}

impl Depth {
    fn read(&mut self, before: Option<&Token>, token: &Token, left: &mut u64) -> Result<(), String> {
        let within = self.literals;
        if token.closes() {
            if let Some(bracket) = self.open.pop() {
                self.literals -= usize::from(bracket.literal);
                // What follows may take all of it as its left side.
                self.now = self.now.max(bracket.deepest);
            }
        } else if token.parts() || (token.begins() && before.is_some_and(Token::ends)) {
            self.border();
        }
        if token.opens() {
            self.now += 1;
            self.open.push(Bracket { literal: token.literal(), base: self.now, deepest: self.now });
            self.literals += usize::from(token.literal());
        } else if (token.kind == TokenKind::Symbol && !token.closes() && !token.parts())
            || token.is_in()
            || (token.kind == TokenKind::Number && token.text.starts_with('-'))
        {
            self.now += 1;
        }
        let words = 1 + (token.end.saturating_sub(before.map_or(0, |before| before.end)) / BYTES) as u64;
        let cost =
            words.saturating_mul(3_u64.saturating_pow(u32::try_from(within.max(self.literals)).unwrap_or(u32::MAX)));
        *left = left.checked_sub(cost).ok_or("the bundle takes too long to read: too much of it is inside brackets")?;
        if self.literals > LITERALS {
            return Err(format!("more than {LITERALS} of `[` and `{{` inside each other"));
        }
        if self.open.len() > NESTED {
            return Err(format!("more than {NESTED} brackets inside each other"));
        }
        if self.now > DEEPEST_EXPRESSION {
            return Err(format!("an expression of more than {DEEPEST_EXPRESSION} operators, dots and brackets"));
        }
        Ok(())
    }

    /// An expression is over, and the next stands beside it.
    fn border(&mut self) {
        match self.open.last_mut() {
            Some(bracket) => {
                bracket.deepest = bracket.deepest.max(self.now);
                self.now = bracket.base;
            }
            None => self.now = 0,
        }
    }
}

/// The byte of a `set(` behind [`SETS`] others with nothing but blanks and comments between them.
fn sets_in_a_row(text: &str) -> Option<usize> {
    let mut row = 0;
    let mut behind = 0;
    for (at, found) in text.match_indices("set(") {
        let between = text.get(behind..at).unwrap_or_default();
        let blank = between.lines().all(|line| line.split('#').next().unwrap_or_default().trim().is_empty());
        row = if blank { row + 1 } else { 1 };
        if row > SETS {
            return Some(at);
        }
        behind = at + found.len();
    }
    None
}

/// Line and column, in characters, of a byte of the text.
pub(super) fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
