//! The tokens of a body, and the texts between them.
//!
//! PL/pgSQL uses the SQL scanner. A stop is found outside parentheses and brackets only, and a semicolon inside them,
//! which old and new servers see differently, is not read. Promises: an identifier in quotes is never a keyword.
//! Does not read identifiers with Unicode escapes, nor those longer than a name: the server would change them.
//! Held by: `plpgsql/tests.rs`.

use pg_query::NodeEnum;
use pg_query::protobuf::{KeywordKind, ParseResult, ScanToken, Token, a_const};
use std::ops::Range;

/// The longest name (`NAMEDATALEN` - 1); the server cuts longer ones.
const NAME_BYTES: usize = 63;

/// Words that are never the name of a variable in PL/pgSQL.
const RESERVED: [&str; 24] = [
    "all", "begin", "by", "case", "declare", "else", "end", "execute", "for", "foreach", "from", "if", "in", "into",
    "loop", "not", "null", "or", "strict", "then", "to", "using", "when", "while",
];

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A word without quotes, folded.
    Word(String),
    /// An identifier in quotes, its own text.
    Quoted(String),
    /// A string constant.
    Constant,
    /// A whole number.
    Number,
    /// Anything else: operators, punctuation, other constants.
    Other,
}

#[derive(Debug)]
struct Lexeme {
    kind: Kind,
    range: Range<usize>,
}

/// Where the reading of a body is.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    body: &'t str,
    tokens: Vec<Lexeme>,
    at: usize,
}

fn lexeme(body: &str, token: &ScanToken) -> Option<Lexeme> {
    let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
    let source = body.get(range.clone())?;
    let kind = match token.token() {
        Token::Ident if source.starts_with('"') => {
            let inner = source.strip_prefix('"')?.strip_suffix('"')?;
            Kind::Quoted(inner.replace("\"\"", "\""))
        }
        Token::Ident => Kind::Word(source.to_ascii_lowercase()),
        Token::Uident => return None,
        Token::Sconst | Token::Usconst => Kind::Constant,
        Token::Iconst => Kind::Number,
        _ if token.keyword_kind() != KeywordKind::NoKeyword => Kind::Word(source.to_ascii_lowercase()),
        _ => Kind::Other,
    };
    match &kind {
        Kind::Word(name) | Kind::Quoted(name) if name.len() > NAME_BYTES => None,
        Kind::Word(_) | Kind::Quoted(_) | Kind::Constant | Kind::Number | Kind::Other => Some(Lexeme { kind, range }),
    }
}

impl<'t> Cursor<'t> {
    pub(super) fn new(body: &'t str) -> Option<Self> {
        let scanned = pg_query::scan(body).ok()?.tokens;
        let told = scanned.iter().filter(|token| !matches!(token.token(), Token::SqlComment | Token::CComment));
        let tokens = told.map(|token| lexeme(body, token)).collect::<Option<Vec<_>>>()?;
        Some(Self { body, tokens, at: 0 })
    }

    fn source(&self, at: usize) -> Option<&'t str> {
        self.body.get(self.tokens.get(at)?.range.clone())
    }

    pub(super) fn is_over(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Whether the token at `at` is this word or symbol.
    fn is(&self, at: usize, what: &str) -> bool {
        match self.tokens.get(at).map(|token| &token.kind) {
            Some(Kind::Word(word)) => word == what,
            Some(Kind::Other) => self.source(at) == Some(what),
            Some(Kind::Quoted(_) | Kind::Constant | Kind::Number) | None => false,
        }
    }

    /// Whether this word or symbol is next.
    pub(super) fn sees(&self, what: &str) -> bool {
        self.is(self.at, what)
    }

    /// Whether the one behind the next is this word or symbol.
    pub(super) fn sees_second(&self, what: &str) -> bool {
        self.is(self.at + 1, what)
    }

    /// Takes this word or symbol where it is next.
    pub(super) fn take(&mut self, what: &str) -> bool {
        let found = self.sees(what);
        self.at += usize::from(found);
        found
    }

    /// Takes this word or symbol, which must be next.
    pub(super) fn need(&mut self, what: &str) -> Option<()> {
        self.take(what).then_some(())
    }

    /// Takes one of these words or symbols, one of which must be next.
    pub(super) fn need_any(&mut self, all: &[&str]) -> Option<()> {
        all.iter().any(|what| self.take(what)).then_some(())
    }

    /// The next token as a word.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.tokens.get(self.at)?.kind {
            Kind::Word(word) => Some(word),
            Kind::Quoted(_) | Kind::Constant | Kind::Number | Kind::Other => None,
        }
    }

    /// Takes an identifier that may be a variable's, label's or option's.
    pub(super) fn identifier(&mut self) -> Option<String> {
        let name = match &self.tokens.get(self.at)?.kind {
            Kind::Word(word) if !RESERVED.contains(&word.as_str()) => word.clone(),
            Kind::Quoted(name) => name.clone(),
            Kind::Word(_) | Kind::Constant | Kind::Number | Kind::Other => return None,
        };
        self.at += 1;
        Some(name)
    }

    /// Takes an identifier with any fields behind it; gives the first.
    pub(super) fn dotted(&mut self) -> Option<String> {
        let first = self.identifier()?;
        while self.take(".") {
            self.identifier()?;
        }
        Some(first)
    }

    /// Takes a string constant.
    pub(super) fn text(&mut self) -> Option<()> {
        let found = self.tokens.get(self.at)?.kind == Kind::Constant;
        self.at += usize::from(found);
        found.then_some(())
    }

    /// Takes a whole number.
    pub(super) fn number(&mut self) -> Option<()> {
        let found = self.tokens.get(self.at)?.kind == Kind::Number;
        self.at += usize::from(found);
        found.then_some(())
    }

    /// Whether what is next is assigned to: an identifier with `:=`, `=`, a field or a subscript behind.
    pub(super) fn is_assignment(&self) -> bool {
        let name = match self.tokens.get(self.at).map(|token| &token.kind) {
            Some(Kind::Word(word)) => !RESERVED.contains(&word.as_str()),
            Some(Kind::Quoted(_)) => true,
            Some(Kind::Constant | Kind::Number | Kind::Other) | None => false,
        };
        name && [":=", "=", ".", "["].iter().any(|symbol| self.sees_second(symbol))
    }

    /// Moves to the first of these outside parentheses; gives the tokens before it, at least one.
    fn range_until(&mut self, stops: &[&str]) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            if depth == 0 && stops.iter().any(|stop| self.sees(stop)) {
                return (self.at > start).then_some(start..self.at);
            }
            if self.sees("(") || self.sees("[") {
                depth += 1;
            } else if self.sees(")") || self.sees("]") {
                depth = depth.checked_sub(1)?;
            } else if self.sees(";") {
                return None;
            }
            self.at += 1;
        }
        None
    }

    fn slice(&self, range: Range<usize>) -> Option<&'t str> {
        let start = self.tokens.get(range.start)?.range.start;
        let end = self.tokens.get(range.end.checked_sub(1)?)?.range.end;
        self.body.get(start..end)
    }

    /// The text up to the first of these outside parentheses, which is next behind it.
    pub(super) fn until(&mut self, stops: &[&str]) -> Option<&'t str> {
        let range = self.range_until(stops)?;
        self.slice(range)
    }

    /// Whether one of these is met before the other outside parentheses; nothing is taken.
    pub(super) fn meets(&self, first: &str, then: &str) -> Option<bool> {
        let mut depth = 0_usize;
        for at in self.at..self.tokens.len() {
            let is = |what| self.is(at, what);
            if depth == 0 && (is(first) || is(then)) {
                return Some(is(first));
            }
            if is("(") || is("[") {
                depth += 1;
            } else if is(")") || is("]") {
                depth = depth.checked_sub(1)?;
            } else if is(";") {
                return None;
            }
        }
        None
    }

    /// A statement up to its semicolon, which is taken, without the INTO that names variables.
    pub(super) fn statement(&mut self) -> Option<String> {
        let imports = self.sees("import");
        let creates = self.sees("create");
        let range = self.range_until(&[";"])?;
        // BEGIN ATOMIC has semicolons of its own, which servers count differently.
        if creates && range.clone().any(|at| self.is(at, "begin")) {
            return None;
        }
        let inserts = |at: usize| at > range.start && (self.is(at - 1, "insert") || self.is(at - 1, "merge"));
        let into: Vec<usize> = range.clone().filter(|at| !imports && self.is(*at, "into") && !inserts(*at)).collect();
        let text = match into.as_slice() {
            [] => self.slice(range)?.to_owned(),
            [at] => self.without_into(range, *at)?,
            [_, _, ..] => return None,
        };
        self.need(";")?;
        Some(text)
    }

    fn without_into(&mut self, range: Range<usize>, into: usize) -> Option<String> {
        self.at = into + 1;
        self.targets()?;
        let behind = self.at;
        self.at = range.end;
        let front = if into > range.start { self.slice(range.start..into)? } else { "" };
        let back = if behind < range.end { self.slice(behind..range.end)? } else { "" };
        (behind <= range.end).then(|| format!("{front}\n{back}"))
    }

    /// Takes the variables behind INTO.
    pub(super) fn targets(&mut self) -> Option<()> {
        self.take("strict");
        loop {
            self.dotted()?;
            if !self.take(",") {
                return Some(());
            }
        }
    }
}

/// The text of the only value of a SELECT, where that is one string constant.
pub(super) fn only_constant(tree: &ParseResult) -> Option<String> {
    let [raw] = tree.stmts.as_slice() else { return None };
    let Some(NodeEnum::SelectStmt(select)) = raw.stmt.as_ref()?.node.as_ref() else { return None };
    let [target] = select.target_list.as_slice() else { return None };
    let Some(NodeEnum::ResTarget(target)) = &target.node else { return None };
    let Some(NodeEnum::AConst(constant)) = target.val.as_ref()?.node.as_ref() else { return None };
    let Some(a_const::Val::Sval(text)) = &constant.val else { return None };
    Some(text.sval.clone())
}
