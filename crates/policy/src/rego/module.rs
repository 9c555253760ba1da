//! The text of a module, before the evaluator reads it: which functions it calls, and by which names.
//!
//! Promises: a call of a built-in function that is not offered is found at its place, in comments and texts none is; a call
//! through an import (`lib.f(x)` behind `import data.a.lib`) is written out in full (`data.a.lib.f(x)`), since the evaluator
//! resolves imports in values only. Nothing else of a text changes.
//! Does not promise to see a call whose name is written in brackets: it fails when it is evaluated, and so denies.
//! Held by: `rego/tests.rs`.

use super::recursion;
use crate::SourceFile;
use regorus::Source;
use regorus::unstable::{BUILTINS, Lexer, TokenKind};

/// Families of built-in functions of OPA. One that the evaluator was built without is refused when it loads.
/// Source: the OPA documentation, "Built-in Functions".
const FAMILIES: &[&str] = &[
    "base64",
    "base64url",
    "bits",
    "crypto",
    "glob",
    "graph",
    "graphql",
    "hex",
    "http",
    "internal",
    "io",
    "json",
    "net",
    "numbers",
    "object",
    "opa",
    "providers",
    "rand",
    "regex",
    "rego",
    "semver",
    "strings",
    "time",
    "units",
    "urlquery",
    "uuid",
    "yaml",
];

/// Those that the evaluator has and that answer otherwise each time.
const CHANCE: &[&str] = &["rand.intn", "uuid.rfc4122"];

/// What a module may call.
pub(super) enum Calls {
    /// Its text, with calls through imports written out.
    Good(String),
    /// A built-in function that is not offered, at this line and column.
    NotOffered { name: String, line: usize, column: usize },
}

/// A word of a module.
pub(super) struct Token {
    kind: TokenKind,
    text: String,
    start: usize,
    end: usize,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Token {
    pub(super) fn is_name(&self, text: &str) -> bool {
        is_name(self) && self.text == text
    }

    pub(super) fn is_symbol(&self, texts: &[&str]) -> bool {
        self.kind == TokenKind::Symbol && texts.contains(&self.text.as_str())
    }
}

/// Reads the calls of a module, and adds to `among` which of its functions makes them. A text that is no module is given
/// back as it is, for the evaluator to say what is wrong.
pub(super) fn calls(file: &SourceFile, among: &mut recursion::Calls) -> Calls {
    let Some(tokens) = tokens(&file.path, &file.text) else { return Calls::Good(file.text.to_string()) };
    let imports = imports(&tokens);
    let mut text = String::new();
    let mut done = 0;
    for (nth, token) in tokens.iter().enumerate() {
        let Some(name) = called(&tokens, nth) else { continue };
        if let Some((_, path)) = imports.iter().find(|(alias, _)| *alias == token.text) {
            text.push_str(file.text.get(done..token.start).unwrap_or_default());
            text.push_str(path);
            done = token.end;
        } else if is_builtin(&name) && (!BUILTINS.contains_key(name.as_str()) || CHANCE.contains(&name.as_str())) {
            let (line, column) = place(&file.text, token.start);
            return Calls::NotOffered { name, line, column };
        }
    }
    text.push_str(file.text.get(done..).unwrap_or_default());
    // With calls through imports written out.
    among.read(&tokens_of(&file.path, &text));
    Calls::Good(text)
}

fn tokens_of(path: &str, text: &str) -> Vec<Token> {
    tokens(path, text).unwrap_or_default()
}

fn tokens(path: &str, text: &str) -> Option<Vec<Token>> {
    let source = Source::from_contents(path.to_owned(), text.to_owned()).ok()?;
    let mut lexer = Lexer::new(&source);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token().ok()?;
        if token.0 == TokenKind::Eof {
            return Some(tokens);
        }
        let (start, end) = (token.1.start as usize, token.1.end as usize);
        let (line, column) = (token.1.line, token.1.col);
        tokens.push(Token { kind: token.0, text: token.1.text().to_owned(), start, end, line, column });
    }
}

fn is_name(token: &Token) -> bool {
    token.kind == TokenKind::Ident
}

fn is_symbol(token: Option<&Token>, text: &str) -> bool {
    token.is_some_and(|token| token.kind == TokenKind::Symbol && token.text == text)
}

/// The dotted name that starts here, and the token behind it; `None` in the middle of one.
pub(super) fn dotted(tokens: &[Token], nth: usize) -> Option<(String, usize)> {
    let before = nth.checked_sub(1).and_then(|before| tokens.get(before));
    let first = tokens.get(nth).filter(|token| is_name(token) && !is_symbol(before, "."))?;
    let (mut name, mut next) = (first.text.clone(), nth + 1);
    while is_symbol(tokens.get(next), ".") {
        let Some(part) = tokens.get(next + 1).filter(|token| is_name(token)) else { break };
        name.push('.');
        name.push_str(&part.text);
        next += 2;
    }
    Some((name, next))
}

/// The name that is called here.
pub(super) fn called(tokens: &[Token], nth: usize) -> Option<String> {
    let (name, next) = dotted(tokens, nth)?;
    is_symbol(tokens.get(next), "(").then_some(name)
}

/// The names that this module gives to parts of `data`, with what they stand for.
fn imports(tokens: &[Token]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let import = |token: &Token| is_name(token) && token.text == "import";
    for (nth, _) in tokens.iter().enumerate().filter(|(_, token)| import(token)) {
        let Some((path, next)) = dotted(tokens, nth + 1).filter(|(path, _)| path.starts_with("data.")) else {
            continue;
        };
        let renamed = tokens.get(next).filter(|token| is_name(token) && token.text == "as");
        let alias = match renamed.and_then(|_| tokens.get(next + 1)) {
            Some(alias) => alias.text.clone(),
            None => path.rsplit('.').next().unwrap_or_default().to_owned(),
        };
        found.push((alias, path));
    }
    found
}

fn is_builtin(name: &str) -> bool {
    name.split_once('.').is_some_and(|(family, _)| FAMILIES.contains(&family))
}

/// Line and column, in characters, of a byte of the text.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
