//! The text of a module, before the evaluator reads it: which functions it calls, and by which names.
//!
//! Promises: a module that would take too much to read is refused (`tokens.rs`); a call of a built-in function that is not
//! offered is found at its place, in comments and texts none is; a call through an import (`lib.f(x)` behind `import
//! data.a.lib`) is written out in full (`data.a.lib.f(x)`), since the evaluator resolves imports in values only. Nothing else
//! of a text changes.
//! Does not promise to see a call whose name is written in brackets: the evaluator has no such function, or has an error in
//! its place (`builtins.rs`), so the call fails when it is evaluated, and so denies.
//! Held by: `rego/tests.rs`.

use super::tokens::{Refused, Token, place, tokens};
use crate::SourceFile;
use regorus::unstable::BUILTINS;
use std::collections::BTreeMap;

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

/// Those that the evaluator has and that are not offered: two answer otherwise each time, one has as many answers as there
/// are ways through a graph, one puts a text of any length before each line.
pub(super) const NOT_OFFERED: &[&str] =
    &["rand.intn", "uuid.rfc4122", "graph.reachable_paths", "json.marshal_with_options"];

/// Bytes of a module that the evaluator reads.
const LONGEST: usize = 1 << 20;

/// Imports of a module: the evaluator's parser compares each with all before it.
const IMPORTS: usize = 1000;

/// What a module may call.
pub(super) enum Calls {
    /// Its text, with calls through imports written out.
    Good(String),
    /// It cannot be read, or would take too much.
    Refused(Refused),
    /// A built-in function that is not offered, at this line and column.
    NotOffered { name: String, line: usize, column: usize },
}

/// Reads the calls of a module, whose words may cost what is `left`.
pub(super) fn calls(file: &SourceFile, left: &mut u64) -> Calls {
    let tokens = match tokens(file, left) {
        Ok(tokens) => tokens,
        Err(refused) => return Calls::Refused(refused),
    };
    let imports = match imports(&tokens) {
        Ok(imports) => imports,
        Err(refused) => return Calls::Refused(refused),
    };
    let mut text = String::new();
    let mut done = 0;
    for (nth, token) in tokens.iter().enumerate() {
        let Some(name) = called(&tokens, nth) else { continue };
        if let Some(path) = imports.get(token.text.as_str()) {
            text.push_str(file.text.get(done..token.start).unwrap_or_default());
            text.push_str(path);
            done = token.end;
            if text.len() > LONGEST {
                let (line, column) = place(&file.text, token.start);
                let message = "the module is longer than 1 MiB with its imports written out".to_owned();
                return Calls::Refused(Refused { line, column, message });
            }
        } else if is_builtin(&name) && (!BUILTINS.contains_key(name.as_str()) || NOT_OFFERED.contains(&name.as_str())) {
            let (line, column) = place(&file.text, token.start);
            return Calls::NotOffered { name, line, column };
        }
    }
    text.push_str(file.text.get(done..).unwrap_or_default());
    Calls::Good(text)
}

/// The dotted name that starts here, and the token behind it; `None` in the middle of one.
fn dotted(tokens: &[Token], nth: usize) -> Option<(String, usize)> {
    let before = nth.checked_sub(1).and_then(|before| tokens.get(before));
    let dot = |token: Option<&Token>| token.is_some_and(|token| token.is_symbol("."));
    let first = tokens.get(nth).filter(|token| token.is_name() && !dot(before))?;
    let (mut name, mut next) = (first.text.clone(), nth + 1);
    while dot(tokens.get(next)) {
        let Some(part) = tokens.get(next + 1).filter(|token| token.is_name()) else { break };
        name.push('.');
        name.push_str(&part.text);
        next += 2;
    }
    Some((name, next))
}

/// The name that is called here.
fn called(tokens: &[Token], nth: usize) -> Option<String> {
    let (name, next) = dotted(tokens, nth)?;
    tokens.get(next).is_some_and(|token| token.is_symbol("(")).then_some(name)
}

/// The names that this module gives to parts of `data`, with what they stand for.
fn imports(tokens: &[Token]) -> Result<BTreeMap<String, String>, Refused> {
    let mut found = BTreeMap::new();
    let import = |token: &Token| token.is_name() && token.text == "import";
    for (times, (nth, token)) in tokens.iter().enumerate().filter(|(_, token)| import(token)).enumerate() {
        if times >= IMPORTS {
            return Err(token.refused(format!("more than {IMPORTS} imports")));
        }
        let Some((path, next)) = dotted(tokens, nth + 1).filter(|(path, _)| path.starts_with("data.")) else {
            continue;
        };
        let renamed = tokens.get(next).filter(|token| token.is_name() && token.text == "as");
        let alias = match renamed.and_then(|_| tokens.get(next + 1)) {
            Some(alias) => alias.text.clone(),
            None => path.rsplit('.').next().unwrap_or_default().to_owned(),
        };
        found.entry(alias).or_insert(path);
    }
    Ok(found)
}

fn is_builtin(name: &str) -> bool {
    name.split_once('.').is_some_and(|(family, _)| FAMILIES.contains(&family))
}
