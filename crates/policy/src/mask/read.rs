//! Reading a mask out of its bundle.
//!
//! Promises: unknown keys, detectors and transforms, names of too few parts and paths that are none are errors with what
//! to write instead; a key that would say nothing where it stands is refused, so that nobody relies on it.
//! Does not promise that a user's regular expression compiles: the assembly of the gateway does that, and refuses the
//! set where one does not. Held by: the tables of bundles in `set/tests.rs`.

use super::{Mask, Named};
use crate::path;
use crate::pattern::{self, Pattern};
use crate::scope::Who;
use crate::source::{Fields, Reader, list};
use crate::yaml::{Node, Value};
use portcullis_model::{Detector, Predicates, Problem, RuleId, Transform, Unproven};
use std::sync::Arc;

const KEYS: &[&str] = &["id", "columns", "detect", "json", "functions", "with", "unless", "predicates", "unproven"];

/// The transforms that take no argument.
const PLAIN: &[&str] = &["redact", "null", "hash"];

/// The transforms that take one.
const WITH_ARGUMENT: &[&str] = &["keep_last", "keep_first", "fixed"];

/// A regular expression, or a fixed text, of more bytes is refused.
const MAX_TEXT: usize = 1024;

/// PostgreSQL cuts names to this many bytes (`NAMEDATALEN` - 1).
const MAX_NAME: usize = 63;

impl Mask {
    /// Reads the mask at `path`. `None` where it has no id; every problem is reported.
    pub(crate) fn read(reader: &mut Reader<'_>, bundle: &Arc<str>, node: &Node, path: &str) -> Option<Self> {
        let fields = reader.fields(node, path, KEYS)?;
        let id = reader.required(&fields, "id").and_then(|text| reader.identifier(text, &fields.path_of("id")));
        let columns = fields
            .get("columns")
            .map(|entry| named(reader, &entry.value, &fields.path_of("columns"), "column"))
            .unwrap_or_default();
        let detect = detectors(reader, &fields);
        let json = json(reader, &fields);
        let clean = clean(reader, &fields);
        let with = transform(reader, &fields);
        let unless = fields.get("unless").map(|entry| Who::read(reader, &entry.value, &fields.path_of("unless")));
        let predicates = word(reader, &fields, "predicates", PREDICATES, predicates_word);
        let unproven = word(reader, &fields, "unproven", UNPROVEN, unproven_word);
        sense(reader, &fields);
        warn_guessed(reader, &fields, with.as_ref());
        Some(Self {
            id: RuleId { bundle: bundle.clone(), rule: id? },
            with,
            predicates,
            unproven,
            detect,
            json,
            line: node.at.line,
            at: node.at,
            columns,
            clean,
            unless,
        })
    }
}

const PREDICATES: &[Predicates] = &[Predicates::Deny, Predicates::Equality, Predicates::Allow];

const UNPROVEN: &[Unproven] = &[Unproven::Mask, Unproven::Deny];

/// The word for it in rules.
pub(crate) const fn predicates_word(predicates: Predicates) -> &'static str {
    match predicates {
        Predicates::Deny => "deny",
        Predicates::Equality => "equality",
        Predicates::Allow => "allow",
    }
}

/// The word for it in rules.
pub(crate) const fn unproven_word(unproven: Unproven) -> &'static str {
    match unproven {
        Unproven::Mask => "mask",
        Unproven::Deny => "deny",
    }
}

/// The meaning of the word under this key; its default where there is none.
fn word<T: Copy + Default>(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
    all: &[T],
    word: fn(T) -> &'static str,
) -> T {
    let Some(entry) = fields.get(key) else { return T::default() };
    let path = fields.path_of(key);
    let known: Vec<_> = all.iter().map(|one| word(*one)).collect();
    let found = reader.text(&entry.value, &path).and_then(|text| reader.word(text, &path, &known));
    all.iter().copied().find(|one| Some(word(*one)) == found).unwrap_or_default()
}

/// Patterns of names whose noun is understood.
fn named(reader: &mut Reader<'_>, node: &Node, path: &str, noun: &str) -> Named {
    let mut out = Named::default();
    for (nth, text) in reader.texts(node, path).into_iter().enumerate() {
        let path = format!("{path}[{nth}]");
        if let Some(name) = text.text.strip_prefix(noun).filter(|rest| rest.starts_with(char::is_whitespace)) {
            let help = Some(format!("write `{}`", name.trim()));
            reader.error_with(text.at, &path, format!("the word `{noun}` is left out here"), help);
            continue;
        }
        match pattern::parse(&format!("{noun} {}", text.text)) {
            Ok(patterns) => {
                let names = patterns.into_iter().filter_map(|pattern| match pattern {
                    Pattern::Column(name) | Pattern::Function(name) => Some(name),
                    Pattern::Everything
                    | Pattern::Unknown
                    | Pattern::Relation { .. }
                    | Pattern::Item { .. }
                    | Pattern::Single { .. }
                    | Pattern::Program { .. }
                    | Pattern::File(_)
                    | Pattern::Host { .. }
                    | Pattern::Listener { .. }
                    | Pattern::Endpoint { .. }
                    | Pattern::Session(_) => None,
                });
                let before = out.patterns.len();
                out.patterns.extend(names);
                let new = out.patterns.get(before..).unwrap_or_default();
                if new.iter().any(|name| name.longest_part() > MAX_NAME) {
                    let message = format!("PostgreSQL cuts names to {MAX_NAME} bytes: this matches nothing");
                    reader.error(text.at, &path, message);
                }
                out.written.push(text.text.into());
            }
            Err(refused) => {
                // The noun is understood here, and would be refused if it were written.
                let bare = |said: String| said.replace(&format!("`{noun} "), "`");
                reader.error_with(text.at, &path, bare(refused.message), refused.help.map(bare));
            }
        }
    }
    out
}

fn detectors(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Detector> {
    let Some(entry) = fields.get("detect") else { return Vec::new() };
    let path = fields.path_of("detect");
    let words: Vec<_> = Detector::NAMED.iter().map(|(word, _)| *word).collect();
    let mut out = Vec::new();
    for (nth, item) in reader.items(&entry.value, &path).iter().enumerate() {
        let path = format!("{path}[{nth}]");
        if let Value::Map(_) = &item.value {
            out.extend(expression(reader, item, &path).map(Detector::Pattern));
            continue;
        }
        let Some(text) = reader.text(item, &path) else { continue };
        let found = reader.word(text, &path, &words);
        out.extend(Detector::NAMED.iter().filter(|(word, _)| Some(*word) == found).map(|(_, known)| known.clone()));
    }
    out
}

/// `{ regex: "…" }`.
fn expression(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Arc<str>> {
    let fields = reader.fields(node, path, &["regex"])?;
    let Some(entry) = fields.get("regex") else {
        reader.error(node.at, path, "`regex` is missing");
        return None;
    };
    verbatim(reader, &entry.value, &fields.path_of("regex"))
}

/// A text as it stands, blanks at its ends included.
fn verbatim(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Arc<str>> {
    reader.text(node, path)?;
    let Value::Scalar { text, .. } = &node.value else { return None };
    if text.len() > MAX_TEXT {
        reader.error(node.at, path, format!("more than {MAX_TEXT} bytes"));
        return None;
    }
    if text.chars().any(char::is_control) {
        reader.error(node.at, path, "control characters, line ends among them, are not taken here");
        return None;
    }
    Some(text.as_str().into())
}

fn json(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Arc<str>> {
    let Some(entry) = fields.get("json") else { return Vec::new() };
    let key = fields.path_of("json");
    let mut out = Vec::new();
    for (nth, text) in reader.texts(&entry.value, &key).into_iter().enumerate() {
        match path::parse(text.text) {
            Ok(_) => out.push(text.text.into()),
            Err((message, help)) => reader.error_with(text.at, &format!("{key}[{nth}]"), message, help),
        }
    }
    out
}

fn clean(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Named {
    let Some(entry) = fields.get("functions") else { return Named::default() };
    let path = fields.path_of("functions");
    let Some(inner) = reader.fields(&entry.value, &path, &["clean"]) else { return Named::default() };
    let Some(entry) = inner.get("clean") else {
        reader.error(inner.at, &path, "`clean` is missing");
        return Named::default();
    };
    let path = inner.path_of("clean");
    let named = named(reader, &entry.value, &path, "function");
    if named.patterns.iter().any(|name| !name.is_exact()) {
        let message = "every function that this matches counts as clean, and so will each that is created later";
        reader.report(entry.value.at, Problem::warning(path, message).suggest("name the functions one by one"));
    }
    named
}

fn transform(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Transform> {
    let entry = fields.get("with")?;
    let path = fields.path_of("with");
    match &entry.value.value {
        Value::Scalar { text, plain: true } if text == "null" => Some(Transform::Null),
        Value::Scalar { .. } => {
            let text = reader.text(&entry.value, &path)?;
            match reader.word(text, &path, PLAIN)? {
                "redact" => Some(Transform::Redact),
                "hash" => Some(Transform::Hash),
                _ => Some(Transform::Null),
            }
        }
        Value::Map(_) => argument(reader, &entry.value, &path),
        Value::List(_) => {
            reader.error(entry.value.at, &path, "expected one transform, found a list");
            None
        }
    }
}

fn argument(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Transform> {
    let fields = reader.fields(node, path, WITH_ARGUMENT)?;
    let given: Vec<_> = WITH_ARGUMENT.iter().filter_map(|key| fields.get(key)).collect();
    let [entry] = given.as_slice() else {
        reader.error(node.at, path, format!("expected exactly one of {}", list(WITH_ARGUMENT)));
        return None;
    };
    let path = fields.path_of(&entry.key);
    if entry.key == "fixed" {
        return verbatim(reader, &entry.value, &path).map(Transform::Fixed);
    }
    let text = reader.text(&entry.value, &path)?;
    let Some(count) = text.text.parse::<u8>().ok().filter(|count| (1..=64).contains(count)) else {
        reader.error(text.at, &path, format!("`{}` is not a number from 1 to 64", text.text));
        return None;
    };
    Some(if entry.key == "keep_first" { Transform::KeepFirst(count) } else { Transform::KeepLast(count) })
}

/// What is wrong with a mask as a whole: it hides nothing, or says something that means nothing where it stands.
fn sense(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let has = |key| fields.get(key).is_some();
    let hides = has("columns") || has("detect") || has("json");
    if !hides && !has("functions") {
        reader.error(fields.at, &fields.path, "a mask names `columns`, `detect`, `json` or `functions`");
    }
    if hides && !has("with") {
        reader.error(fields.at, &fields.path, "`with` is missing: say what to put in the value's place");
    }
    let alone = has("functions") && !hides;
    for key in ["with", "predicates", "unproven"].into_iter().filter(|_| alone) {
        if let Some(entry) = fields.get(key) {
            let message = format!("`{key}` says nothing of functions, and this mask names nothing else");
            reader.error(entry.key_at, &fields.path_of(key), message);
        }
    }
    if let Some(entry) = fields.get("unless").filter(|_| has("functions")) {
        let help = Some("write `functions` in a mask of its own, without `unless`".to_owned());
        let message = "a function is clean for everybody or for nobody";
        reader.error_with(entry.key_at, &fields.path_of("unless"), message, help);
    }
    for key in ["predicates", "unproven"].into_iter().filter(|_| has("detect") && !has("columns") && !has("json")) {
        if let Some(entry) = fields.get(key) {
            let warning = Problem::warning(fields.path_of(key), format!("`{key}` says nothing of detectors"));
            reader.report(entry.key_at, warning.suggest("it is about `columns`: name them here, or leave it out"));
        }
    }
    if let Some(entry) = fields.get("detect").filter(|_| has("columns")) {
        let message = "the detectors look in every text of the connection, not only in these columns";
        let help = "the columns are hidden anyway; write two masks if that is what is meant";
        reader.report(entry.key_at, Problem::warning(fields.path_of("detect"), message).suggest(help));
    }
}

/// A hash of what is found in any text is one that a client can have made of any text.
fn warn_guessed(reader: &mut Reader<'_>, fields: &Fields<'_>, with: Option<&Transform>) {
    let anywhere = fields.get("detect").is_some() || fields.get("columns").is_none();
    if let Some(entry) = fields.get("with").filter(|_| anywhere && with == Some(&Transform::Hash)) {
        let message = "who may select a constant could have guesses hashed, and compare";
        let help = "`hash` is for columns: write `redact` or `keep_last` where values are looked for everywhere";
        reader.report(entry.value.at, Problem::warning(fields.path_of("with"), message).suggest(help));
    }
}
