//! Patterns over names: `*` stays within one part, `**` crosses parts, `{a,b}` is either.
//!
//! A pattern is cut into parts at its separator (`.` in SQL names, `/` in paths, a blank between words). A part is text
//! with any number of `*` in it, each standing for any text within the part, or `**` alone, which stands for any number
//! of whole parts, none included: `file /etc/**` is `/etc` and all that lies in it. `**` beside other text is refused.
//! Braces are written out when the bundle loads, at most [`MAX_ALTERNATIVES`] of them, so matching never backtracks
//! over them; matching allocates nothing.
//!
//! Quoting: in SQL names `"…"` with `""` inside, as the system does it; elsewhere a backslash before the character. A
//! quoted character is always itself.
//!
//! A part of the subject may be unknown. What [`Certainty::Surely`] matches holds whatever it is: only a literal `*` or
//! `**` takes it. What [`Certainty::Possibly`] matches holds for some value: any part takes it.
//! Held by: `glob/tests.rs`, with the property that a sure match implies a possible one.

mod shape;

/// More alternatives than this in one pattern are refused.
pub(crate) const MAX_ALTERNATIVES: usize = 256;

/// Braces nested deeper than this are refused.
const MAX_NESTING: usize = 4;

/// How sure a match has to be where the subject is not wholly known (DESIGN 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// For every value of the unknown: what an allow needs.
    Surely,
    /// For some value of it: enough for deny and hold.
    Possibly,
}

/// How special characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// `"…"`.
    Sql,
    /// `\`.
    Backslash,
}

/// One character of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Itself; a separator, where it is one.
    Bare(char),
    /// Itself, even where it would be a separator.
    Quoted(char),
    /// `*`.
    Star,
    Open,
    Close,
    Comma,
}

/// The pattern's alternatives, each without braces.
pub(crate) fn alternatives(text: &str, quoting: Quoting) -> Result<Vec<Vec<Token>>, String> {
    let tokens = lex(text, quoting)?;
    let mut braces = Braces { tokens: tokens.iter().peekable(), depth: 0 };
    braces.branch()
}

fn lex(text: &str, quoting: Quoting) -> Result<Vec<Token>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        let token = match (next, quoting) {
            ('"', Quoting::Sql) => {
                quoted(&mut chars, &mut out)?;
                continue;
            }
            ('\\', Quoting::Backslash) => Token::Quoted(chars.next().ok_or("a lone `\\` at the end")?),
            ('*', _) => Token::Star,
            ('{', _) => Token::Open,
            ('}', _) => Token::Close,
            (',', _) => Token::Comma,
            (other, _) => Token::Bare(other),
        };
        out.push(token);
    }
    Ok(out)
}

/// The rest of a name in double quotes, a doubled quote being one.
fn quoted(chars: &mut std::str::Chars<'_>, out: &mut Vec<Token>) -> Result<(), String> {
    let before = out.len();
    loop {
        match chars.next() {
            Some('"') if chars.as_str().starts_with('"') => {
                chars.next();
                out.push(Token::Quoted('"'));
            }
            Some('"') if out.len() == before => return Err("`\"\"` is an empty name".to_owned()),
            Some('"') => return Ok(()),
            Some(other) => out.push(Token::Quoted(other)),
            None => return Err("a `\"` is never closed".to_owned()),
        }
    }
}

struct Braces<'t> {
    tokens: std::iter::Peekable<std::slice::Iter<'t, Token>>,
    depth: usize,
}

impl Braces<'_> {
    /// Up to the `,` or `}` that ends this branch, or the end.
    fn branch(&mut self) -> Result<Vec<Vec<Token>>, String> {
        let mut out = vec![Vec::new()];
        while let Some(token) = self.tokens.peek().copied().copied() {
            match token {
                Token::Comma | Token::Close if self.depth > 0 => break,
                Token::Close => return Err("a `}` without its `{`".to_owned()),
                Token::Open => {
                    self.tokens.next();
                    let choices = self.choices()?;
                    if out.len().saturating_mul(choices.len()) > MAX_ALTERNATIVES {
                        return Err(format!("more than {MAX_ALTERNATIVES} alternatives"));
                    }
                    out = out
                        .iter()
                        .flat_map(|head| choices.iter().map(|tail| [head.as_slice(), tail.as_slice()].concat()))
                        .collect();
                }
                Token::Comma | Token::Bare(_) | Token::Quoted(_) | Token::Star => {
                    self.tokens.next();
                    let token = if token == Token::Comma { Token::Bare(',') } else { token };
                    out.iter_mut().for_each(|branch| branch.push(token));
                }
            }
        }
        Ok(out)
    }

    /// Behind a `{`, up to its `}`.
    fn choices(&mut self) -> Result<Vec<Vec<Token>>, String> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err("braces nested too deeply".to_owned());
        }
        let mut out = Vec::new();
        loop {
            let branch = self.branch()?;
            if branch.iter().any(Vec::is_empty) {
                return Err("an empty choice in `{}`".to_owned());
            }
            out.extend(branch);
            match self.tokens.next() {
                Some(Token::Comma) if out.len() <= MAX_ALTERNATIVES => {}
                Some(Token::Close) if out.len() <= MAX_ALTERNATIVES => {
                    self.depth -= 1;
                    return Ok(out);
                }
                Some(_) => return Err(format!("more than {MAX_ALTERNATIVES} alternatives")),
                None => return Err("a `{` is never closed".to_owned()),
            }
        }
    }
}

/// Text with any number of `*` in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Glob {
    shape: Shape,
    /// Whether ASCII case is ignored; the text of the shape is then in lower case.
    fold: bool,
}

/// The common globs have a shape of their own, so that matching them is one comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    /// `*`.
    Any,
    /// No star.
    Exact(Box<str>),
    /// `head*tail`; what stands between the stars of `head*a*b*tail` is found from left to right.
    Between { head: Box<str>, middle: Box<[Box<str>]>, tail: Box<str> },
}

impl Glob {
    /// Any text.
    pub(crate) const fn any() -> Self {
        Self { shape: Shape::Any, fold: false }
    }

    /// The text of these tokens, in which each star stands for any.
    pub(crate) fn of(tokens: &[Token]) -> Self {
        let mut pieces = vec![String::new()];
        for token in tokens {
            match token {
                Token::Bare(c) | Token::Quoted(c) => pieces.iter_mut().rev().take(1).for_each(|piece| piece.push(*c)),
                Token::Star | Token::Open | Token::Close | Token::Comma => pieces.push(String::new()),
            }
        }
        let shape = match pieces.as_slice() {
            [] => Shape::Exact("".into()),
            [only] => Shape::Exact(only.as_str().into()),
            [head, middle @ .., tail] if [head, tail].iter().all(|end| end.is_empty()) && middle.is_empty() => {
                Shape::Any
            }
            [head, middle @ .., tail] => Shape::Between {
                head: head.as_str().into(),
                middle: middle.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.as_str().into()).collect(),
                tail: tail.as_str().into(),
            },
        };
        Self { shape, fold: false }
    }

    /// The same with ASCII case ignored.
    pub(crate) fn folded(mut self) -> Self {
        let lower = |text: &str| -> Box<str> { text.to_ascii_lowercase().into() };
        self.shape = match &self.shape {
            Shape::Any => Shape::Any,
            Shape::Exact(text) => Shape::Exact(lower(text)),
            Shape::Between { head, middle, tail } => Shape::Between {
                head: lower(head),
                middle: middle.iter().map(|piece| lower(piece)).collect(),
                tail: lower(tail),
            },
        };
        self.fold = true;
        self
    }

    /// Whether it is `*`: it takes everything.
    pub(crate) const fn is_any(&self) -> bool {
        matches!(self.shape, Shape::Any)
    }

    /// Whether the text matches. An empty text is matched only by an empty pattern: `/orders/*` is not `/orders/`.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Any => !text.is_empty(),
            Shape::Exact(exact) => self.equal(text.as_bytes(), exact.as_bytes()),
            Shape::Between { head, middle, tail } => {
                !text.is_empty() && self.between(text.as_bytes(), head.as_bytes(), middle, tail.as_bytes())
            }
        }
    }

    fn between(&self, text: &[u8], head: &[u8], middle: &[Box<str>], tail: &[u8]) -> bool {
        let Some((start, rest)) = text.split_at_checked(head.len()) else { return false };
        let Some(end) = rest.len().checked_sub(tail.len()) else { return false };
        let Some((mut rest, end)) = rest.split_at_checked(end) else { return false };
        if !self.equal(start, head) || !self.equal(end, tail) {
            return false;
        }
        for piece in middle {
            let found = rest.windows(piece.len()).position(|window| self.equal(window, piece.as_bytes()));
            match found.and_then(|at| rest.get(at + piece.len()..)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        true
    }

    /// Whether this possibly unknown text matches.
    pub(crate) fn takes(&self, text: Option<&str>, certainty: Certainty) -> bool {
        match text {
            Some(text) => self.matches(text),
            None => certainty == Certainty::Possibly || self.is_any(),
        }
    }

    fn equal(&self, text: &[u8], piece: &[u8]) -> bool {
        if self.fold { text.eq_ignore_ascii_case(piece) } else { text == piece }
    }
}

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// Exactly one part that matches.
    One(Glob),
    /// `**`: any number of parts.
    Deep,
}

impl Segment {
    /// The part written by these tokens.
    pub(crate) fn of(tokens: &[Token]) -> Result<Self, String> {
        if tokens.is_empty() {
            return Err("an empty part".to_owned());
        }
        if *tokens == [Token::Star, Token::Star] {
            return Ok(Self::Deep);
        }
        if tokens.windows(2).any(|pair| *pair == [Token::Star, Token::Star]) {
            return Err("`**` stands alone between separators; use `*` within a part".to_owned());
        }
        Ok(Self::One(Glob::of(tokens)))
    }

    /// As a pattern of a subject with only one part, where `**` says no more than `*`.
    pub(crate) fn into_glob(self) -> Glob {
        match self {
            Self::One(glob) => glob,
            Self::Deep => Glob::any(),
        }
    }
}

/// A pattern of several parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Segments {
    segments: Box<[Segment]>,
    deep: bool,
}

impl Segments {
    /// The parts between the separators.
    pub(crate) fn split(tokens: &[Token], separator: char) -> Result<Self, String> {
        let segments =
            tokens.split(|token| *token == Token::Bare(separator)).map(Segment::of).collect::<Result<Box<[_]>, _>>()?;
        Ok(Self { deep: segments.contains(&Segment::Deep), segments })
    }

    /// The segments of a path. What stands before the first `/` is a segment of its own (empty, `~` or `**`); a final
    /// `/` ends in an empty one.
    pub(crate) fn split_path(tokens: &[Token]) -> Result<Self, String> {
        let parts: Vec<_> = tokens.split(|token| *token == Token::Bare('/')).collect();
        let last = parts.len().saturating_sub(1);
        let segments = parts
            .iter()
            .enumerate()
            .map(|(nth, part)| match part {
                [] if nth == 0 || nth == last => Ok(Segment::One(Glob::of(&[]))),
                part => Segment::of(part),
            })
            .collect::<Result<Box<[_]>, _>>()?;
        Ok(Self { deep: segments.contains(&Segment::Deep), segments })
    }

    /// How many parts it has, and whether one of them is `**`.
    pub(crate) const fn shape(&self) -> (usize, bool) {
        (self.segments.len(), self.deep)
    }

    /// Whether it is `**` alone.
    pub(crate) fn is_deep(&self) -> bool {
        *self.segments == [Segment::Deep]
    }

    /// Whether the parts in front of the last one can match, where no part is `**`: what several subjects share that
    /// differ only in their last part. True where it cannot be told.
    pub(crate) fn may_start_with(&self, parts: &[Option<&str>], certainty: Certainty) -> bool {
        self.deep || self.segments.iter().zip(parts).all(|(segment, part)| takes_one(segment, *part, certainty))
    }

    /// Whether these parts match; an unknown part is `None`.
    pub(crate) fn takes(&self, parts: &[Option<&str>], certainty: Certainty) -> bool {
        if !self.deep {
            return self.segments.len() == parts.len()
                && self.segments.iter().zip(parts).all(|(segment, part)| takes_one(segment, *part, certainty));
        }
        self.takes_deep(parts, certainty)
    }

    /// Wildcard matching that remembers only the last `**`: enough, since `**` takes any run of parts.
    fn takes_deep(&self, parts: &[Option<&str>], certainty: Certainty) -> bool {
        let (mut at, mut part, mut retry) = (0, 0, None);
        while let Some(subject) = parts.get(part) {
            match self.segments.get(at) {
                Some(Segment::Deep) => {
                    at += 1;
                    retry = Some((at, part));
                }
                Some(one @ Segment::One(_)) if takes_one(one, *subject, certainty) => {
                    at += 1;
                    part += 1;
                }
                Some(Segment::One(_)) | None => {
                    let Some((behind, from)) = retry else { return false };
                    at = behind;
                    part = from + 1;
                    retry = Some((behind, part));
                }
            }
        }
        self.segments.iter().skip(at).all(|segment| *segment == Segment::Deep)
    }
}

fn takes_one(segment: &Segment, part: Option<&str>, certainty: Certainty) -> bool {
    match segment {
        Segment::One(glob) => glob.takes(part, certainty),
        Segment::Deep => true,
    }
}

#[cfg(test)]
mod tests;
