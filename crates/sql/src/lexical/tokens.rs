//! PostgreSQL's scanner, as far as it decides where tokens begin and end.
//!
//! The rules are those of `src/backend/parser/scan.l` of PostgreSQL 18: a carriage return ends a line comment, comments
//! nest, a literal goes on behind a line break with the rules of its first part, `$` may stand inside an identifier, and
//! an operator ends before a comment in it. Operators are given back one character at a time: where they divide further
//! does not move any other border. Junk behind a number is left to the grammar, which refuses it.

/// What a backslash in a plain `'…'` literal does: `standard_conforming_strings` on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backslash {
    /// A character like any other.
    Plain,
    /// Takes the next character with it.
    Escapes,
    /// The same, but for the literal `'\'` right behind the word ESCAPE: there it is a character.
    EscapesElsewhere,
}

/// What kind of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or keyword.
    Word,
    /// `"…"` or `U&"…"`.
    QuotedWord,
    /// Starts with a digit, or with a point before one.
    Number,
    /// `$1`.
    Parameter,
    /// `'…'` or the part of `N'…'` behind the N.
    Plain,
    /// `E'…'`.
    Escape,
    /// `B'…'`, `X'…'`.
    Bits,
    /// `U&'…'`.
    Unicode,
    /// `$tag$…$tag$`.
    Dollar,
    /// One character of an operator.
    Operator,
    /// A semicolon.
    Semicolon,
    /// Any other single byte, or two points.
    Other,
}

/// A token and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether a backslash stands in it; told for plain literals only.
    pub(super) backslash: bool,
    /// Whether its closing quote is missing.
    pub(super) open: bool,
}

impl Token {
    /// What must agree between two readings.
    pub(super) const fn border(self) -> (Kind, usize, usize, bool) {
        (self.kind, self.start, self.end, self.open)
    }
}

/// The tokens of a text, comments and white space left out.
pub(super) struct Tokens<'t> {
    bytes: &'t [u8],
    at: usize,
    backslash: Backslash,
    /// The token before `at` is the word ESCAPE.
    behind_escape: bool,
    nested_openers: usize,
    /// The end of the run of operator characters that `at` was last seen in.
    run_end: usize,
    rescanned: usize,
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

const fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_tag(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit()
}

const fn is_word(byte: u8) -> bool {
    is_tag(byte) || byte == b'$'
}

impl<'t> Tokens<'t> {
    pub(super) const fn new(text: &'t str, backslash: Backslash) -> Self {
        let bytes = text.as_bytes();
        Self { bytes, at: 0, backslash, behind_escape: false, nested_openers: 0, run_end: 0, rescanned: 0 }
    }

    /// How many comments were opened inside comments so far.
    pub(super) const fn nested_openers(&self) -> usize {
        self.nested_openers
    }

    /// How many bytes of operator runs a scanner has looked at so far.
    pub(super) const fn rescanned(&self) -> usize {
        self.rescanned
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn pair(&self, at: usize, first: u8, second: u8) -> bool {
        self.byte(at) == Some(first) && self.byte(at + 1) == Some(second)
    }

    /// The first position from `at` on whose byte is not of the class.
    fn past(&self, mut at: usize, class: impl Fn(u8) -> bool) -> usize {
        while self.byte(at).is_some_and(&class) {
            at += 1;
        }
        at
    }

    /// Counts that a scanner matches the rest of the operator run that starts at `at`.
    fn rescan(&mut self, at: usize) {
        if at >= self.run_end {
            self.run_end = self.past(at, is_operator);
        }
        self.rescanned = self.rescanned.saturating_add(self.run_end.saturating_sub(at));
    }

    /// Behind white space and comments.
    fn skip_blank(&mut self) {
        loop {
            self.at = self.past(self.at, is_space);
            if self.pair(self.at, b'-', b'-') {
                self.at = self.past(self.at, |byte| !is_newline(byte));
            } else if self.pair(self.at, b'/', b'*') {
                self.skip_comment();
            } else {
                return;
            }
        }
    }

    /// Behind a comment that starts here, and those inside it.
    fn skip_comment(&mut self) {
        self.rescan(self.at);
        self.at += 2;
        let mut depth = 1_usize;
        while depth > 0 && self.at < self.bytes.len() {
            if self.pair(self.at, b'/', b'*') {
                self.rescan(self.at);
                self.nested_openers += 1;
                depth += 1;
                self.at += 2;
            } else if self.pair(self.at, b'*', b'/') {
                depth -= 1;
                self.at += 2;
            } else {
                self.at += 1;
            }
        }
    }

    /// The end of a literal whose opening quote is before `at`, whether it has a backslash, and whether it is open.
    fn literal(&self, mut at: usize, escapes: bool, doubles: bool) -> (usize, bool, bool) {
        let mut backslash = false;
        loop {
            match self.byte(at) {
                None => return (self.bytes.len(), backslash, true),
                Some(b'\\') => {
                    backslash = true;
                    at += if escapes { 2 } else { 1 };
                }
                Some(b'\'') if doubles && self.byte(at + 1) == Some(b'\'') => at += 2,
                Some(b'\'') => match self.continued(at + 1) {
                    Some(next) => at = next,
                    None => return (at + 1, backslash, false),
                },
                Some(_) => at += 1,
            }
        }
    }

    /// Where a literal that was closed before `at` goes on: behind a quote that follows white space with a line break.
    fn continued(&self, mut at: usize) -> Option<usize> {
        let mut newline = false;
        loop {
            match self.byte(at)? {
                b'\'' => return newline.then_some(at + 1),
                b'-' if self.byte(at + 1) == Some(b'-') => at = self.past(at, |byte| !is_newline(byte)),
                byte if is_space(byte) => {
                    newline |= is_newline(byte);
                    at += 1;
                }
                _ => return None,
            }
        }
    }

    /// The end of a quoted identifier whose opening quote is before `at`, and whether it is open.
    fn quoted_word(&self, mut at: usize) -> (usize, bool) {
        loop {
            match self.byte(at) {
                None => return (self.bytes.len(), true),
                Some(b'"') if self.byte(at + 1) == Some(b'"') => at += 2,
                Some(b'"') => return (at + 1, false),
                Some(_) => at += 1,
            }
        }
    }

    /// The end of a dollar-quoted literal that starts here, if one does, and whether it is open.
    fn dollar(&self, start: usize) -> Option<(usize, bool)> {
        let tag = match self.byte(start + 1)? {
            byte if starts_word(byte) => self.past(start + 1, is_tag),
            _ => start + 1,
        };
        if self.byte(tag) != Some(b'$') {
            return None;
        }
        let delimiter = self.bytes.get(start..=tag)?;
        let mut at = tag + 1;
        loop {
            at = self.past(at, |byte| byte != b'$');
            match self.bytes.get(at..at + delimiter.len()) {
                Some(found) if found == delimiter => return Some((at + delimiter.len(), false)),
                Some(_) => at += 1,
                None => return Some((self.bytes.len(), true)),
            }
        }
    }

    /// Whether a backslash escapes in the plain literal that starts here.
    fn escapes_at(&self, start: usize) -> bool {
        match self.backslash {
            Backslash::Plain => false,
            Backslash::Escapes => true,
            Backslash::EscapesElsewhere => !(self.behind_escape && self.is_lone_backslash(start)),
        }
    }

    /// Whether the plain literal that starts here is `'\'` and nothing more: no quote is doubled in it, and it does not
    /// go on behind a line break.
    fn is_lone_backslash(&self, start: usize) -> bool {
        self.bytes.get(start..start + 3) == Some(br"'\'".as_slice())
            && self.literal(start + 1, false, true) == (start + 3, true, false)
    }

    fn string(&self, kind: Kind, start: usize, body: usize) -> Token {
        let escapes = kind == Kind::Escape || (kind == Kind::Plain && self.escapes_at(start));
        let (end, backslash, open) = self.literal(body, escapes, kind != Kind::Bits);
        Token { kind, start, end, backslash, open }
    }

    /// The token that starts with a letter.
    fn word(&self, start: usize, first: u8) -> Token {
        let quote = self.byte(start + 1) == Some(b'\'');
        let ampersand = self.byte(start + 1) == Some(b'&');
        match first {
            b'e' | b'E' if quote => self.string(Kind::Escape, start, start + 2),
            b'b' | b'B' | b'x' | b'X' if quote => self.string(Kind::Bits, start, start + 2),
            // the N is a token of its own, the rest a plain literal
            b'n' | b'N' if quote => simple(Kind::Word, start, start + 1),
            b'u' | b'U' if ampersand && self.byte(start + 2) == Some(b'\'') => {
                self.string(Kind::Unicode, start, start + 3)
            }
            b'u' | b'U' if ampersand && self.byte(start + 2) == Some(b'"') => {
                let (end, open) = self.quoted_word(start + 3);
                Token { kind: Kind::QuotedWord, start, end, backslash: false, open }
            }
            _ => simple(Kind::Word, start, self.past(start, is_word)),
        }
    }

    fn token(&mut self, start: usize, first: u8) -> Token {
        match first {
            b'\'' => self.string(Kind::Plain, start, start + 1),
            b'"' => {
                let (end, open) = self.quoted_word(start + 1);
                Token { kind: Kind::QuotedWord, start, end, backslash: false, open }
            }
            b'$' => match self.dollar(start) {
                Some((end, open)) => Token { kind: Kind::Dollar, start, end, backslash: false, open },
                None => {
                    let end = self.past(start + 1, |byte| byte.is_ascii_digit());
                    simple(if end > start + 1 { Kind::Parameter } else { Kind::Other }, start, end)
                }
            },
            b';' => simple(Kind::Semicolon, start, start + 1),
            byte if byte.is_ascii_digit() => simple(Kind::Number, start, self.number(start)),
            b'.' if self.byte(start + 1) == Some(b'.') => simple(Kind::Other, start, start + 2),
            b'.' if self.byte(start + 1).is_some_and(|byte| byte.is_ascii_digit()) => {
                simple(Kind::Number, start, self.number(start))
            }
            byte if starts_word(byte) => self.word(start, byte),
            byte if is_operator(byte) => {
                self.rescan(start);
                simple(Kind::Operator, start, start + 1)
            }
            _ => simple(Kind::Other, start, start + 1),
        }
    }
}

impl Tokens<'_> {
    /// The end of digits of a class, with an underscore between any two; `at` where there are none.
    fn digits(&self, mut at: usize, class: impl Fn(u8) -> bool) -> usize {
        let digit = |at: usize| self.byte(at).is_some_and(&class);
        while digit(at) {
            at += 1;
            if self.byte(at) == Some(b'_') && digit(at + 1) {
                at += 1;
            }
        }
        at
    }

    /// The end of an integer with a base that starts here, if one does: `0x`, `0o` or `0b` and digits of that base.
    fn based(&self, start: usize) -> Option<usize> {
        let (body, class): (usize, fn(u8) -> bool) = match (self.byte(start), self.byte(start + 1)?) {
            (Some(b'0'), b'x' | b'X') => (start + 2, |byte| byte.is_ascii_hexdigit()),
            (Some(b'0'), b'o' | b'O') => (start + 2, |byte| matches!(byte, b'0'..=b'7')),
            (Some(b'0'), b'b' | b'B') => (start + 2, |byte| matches!(byte, b'0' | b'1')),
            _ => return None,
        };
        let first = body + usize::from(self.byte(body) == Some(b'_'));
        Some(self.digits(first, class)).filter(|end| *end > first)
    }

    /// The end of a number: the longest of `scan.l`'s integer, numeric and real. An `e` without digits behind it is not
    /// part of one, and neither is the first of two points.
    fn number(&self, start: usize) -> usize {
        if let Some(end) = self.based(start) {
            return end;
        }
        let decimal = |at| self.digits(at, |byte| byte.is_ascii_digit());
        let whole = decimal(start);
        let mantissa = match (self.byte(whole), self.byte(whole + 1)) {
            (Some(b'.'), Some(b'.')) => return whole,
            (Some(b'.'), _) => decimal(whole + 1),
            _ => whole,
        };
        if !matches!(self.byte(mantissa), Some(b'e' | b'E')) {
            return mantissa;
        }
        let sign = usize::from(matches!(self.byte(mantissa + 1), Some(b'+' | b'-')));
        let exponent = decimal(mantissa + 1 + sign);
        if exponent > mantissa + 1 + sign { exponent } else { mantissa }
    }
}

const fn simple(kind: Kind, start: usize, end: usize) -> Token {
    Token { kind, start, end, backslash: false, open: false }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let start = self.at;
        let token = self.token(start, self.byte(start)?);
        self.at = token.end;
        // The name "escape" in quotes is another kind of token, as is any word that is longer.
        let written = self.bytes.get(token.start..token.end).unwrap_or_default();
        self.behind_escape = token.kind == Kind::Word && written.eq_ignore_ascii_case(b"escape");
        Some(token)
    }
}
