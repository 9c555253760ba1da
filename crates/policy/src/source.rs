//! Reading typed values out of a bundle's tree, with every problem told at its place.
//!
//! Promises: each problem carries file, line, column, the offending line, the key path and, where one is near enough, a
//! suggestion; reading goes on after a problem, so that one `check` shows them all. An unknown key is an error.
//! Held by: the table of bad bundles in `set/tests.rs`.

use crate::SourceFile;
use crate::yaml::{Entry, Node, Place, Value};
use portcullis_model::{Problem, Severity};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One file being read.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a SourceFile,
    pub(crate) problems: Vec<Problem>,
    /// The OPA bundles that were read for this file, by name; `None` where a problem was reported.
    pub(crate) rego: BTreeMap<Box<str>, Option<crate::rego::Loaded>>,
    opa: &'a OpaBundles<'a>,
}

/// How the files of an OPA bundle are read: by the name of the policy file and the directory named in it.
pub type OpaBundles<'a> = dyn Fn(&SourceFile, &str) -> Result<Vec<SourceFile>, String> + 'a;

/// A text and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'n> {
    pub(crate) text: &'n str,
    pub(crate) at: Place,
}

/// The keys of one mapping, all of them known.
pub(crate) struct Fields<'n> {
    pub(crate) at: Place,
    pub(crate) path: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// The entry of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The path of this key.
    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// `path.key`, or the key alone at the top.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(file: &'a SourceFile, opa: &'a OpaBundles<'a>) -> Self {
        Self { file, problems: Vec::new(), rego: BTreeMap::new(), opa }
    }

    /// The files of the OPA bundle of this name.
    pub(crate) fn opa(&self, bundle: &str) -> Result<Vec<SourceFile>, String> {
        (self.opa)(self.file, bundle)
    }

    /// Whether an error was met.
    pub(crate) fn failed(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Reports this problem at this place.
    pub(crate) fn report(&mut self, at: Place, problem: Problem) {
        self.problems.push(problem.at(&self.file.path, &self.file.text, at.line, at.column));
    }

    /// Reports an error.
    pub(crate) fn error(&mut self, at: Place, path: &str, message: impl Into<String>) {
        self.report(at, Problem::error(path, message.into()));
    }

    /// Reports an error with what to write instead, where that is known.
    pub(crate) fn error_with(&mut self, at: Place, path: &str, message: impl Into<String>, help: Option<String>) {
        let problem = Problem::error(path, message.into());
        self.report(at, help.map_or(problem.clone(), |help| problem.suggest(help)));
    }

    /// The mapping's fields; a key that is not in `known` is an error.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            self.error(node.at, path, format!("expected a mapping with {}, found {}", list(known), node.value.kind()));
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let help = match (nearest(&entry.key, known.iter().copied()), home(&entry.key)) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, Some(home)) => format!("`{}` belongs under {home}", entry.key),
                (None, None) => format!("the keys here are {}", list(known)),
            };
            self.error_with(entry.key_at, path, format!("unknown key `{}`", entry.key), Some(help));
        }
        Some(Fields { at: node.at, path: path.to_owned(), entries })
    }

    /// A text that is not empty.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, path: &str) -> Option<Text<'n>> {
        match &node.value {
            Value::Scalar { text, .. } if !node.value.is_null() && !text.trim().is_empty() => {
                Some(Text { text: text.trim(), at: node.at })
            }
            Value::Scalar { .. } => {
                self.error(node.at, path, "a value is missing here");
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.error(node.at, path, format!("expected text, found {}", node.value.kind()));
                None
            }
        }
    }

    /// A list that is not empty.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) if !items.is_empty() => items,
            Value::List(_) => {
                let help = Some("leave the key out if it is not meant to limit anything".to_owned());
                self.error_with(node.at, path, "the list is empty", help);
                &[]
            }
            Value::Scalar { text, .. } if !node.value.is_null() => {
                self.error_with(
                    node.at,
                    path,
                    "expected a list, found a single value",
                    Some(format!("write `[{}]`", text.trim())),
                );
                &[]
            }
            Value::Scalar { .. } => {
                self.error(node.at, path, "a list is missing here");
                &[]
            }
            Value::Map(_) => {
                self.error(node.at, path, "expected a list, found a mapping");
                &[]
            }
        }
    }

    /// A list of texts that is not empty.
    pub(crate) fn texts<'n>(&mut self, node: &'n Node, path: &str) -> Vec<Text<'n>> {
        let items = self.items(node, path);
        items.iter().enumerate().filter_map(|(nth, item)| self.text(item, &format!("{path}[{nth}]"))).collect()
    }

    /// A text of this key, which must be there.
    pub(crate) fn required<'n>(&mut self, fields: &Fields<'n>, key: &str) -> Option<Text<'n>> {
        match fields.get(key) {
            Some(entry) => self.text(&entry.value, &fields.path_of(key)),
            None => {
                self.error(fields.at, &fields.path, format!("`{key}` is missing"));
                None
            }
        }
    }

    /// One of these words.
    pub(crate) fn word<'n>(&mut self, text: Text<'n>, path: &str, words: &[&str]) -> Option<&'n str> {
        if words.contains(&text.text) {
            return Some(text.text);
        }
        let help = nearest(text.text, words.iter().copied())
            .map_or_else(|| format!("write one of {}", list(words)), |near| format!("did you mean `{near}`?"));
        self.error_with(text.at, path, format!("`{}` is not known here", text.text), Some(help));
        None
    }

    /// A bundle's name or a rule's id: letters, digits, `-`, `_` and `.`, so that `BUNDLE/RULE` reads one way.
    pub(crate) fn identifier(&mut self, text: Text<'_>, path: &str) -> Option<Arc<str>> {
        let fine = text.text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if fine && text.text.len() <= 100 {
            return Some(text.text.into());
        }
        let message = format!("`{}` is not a name: use letters, digits, `-`, `_` and `.`, at most 100", text.text);
        self.error(text.at, path, message);
        None
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        let text = self.text(node, path)?;
        self.word(text, path, &["true", "false"]).map(|word| word == "true")
    }

    /// A length of time above zero, at most 30 days: `90s`, `10m`, `1h 30m`.
    pub(crate) fn duration(&mut self, node: &Node, path: &str) -> Option<Duration> {
        let text = self.text(node, path)?;
        let most = Duration::from_secs(30 * 24 * 60 * 60);
        let read = text.text.parse::<jiff::SignedDuration>().ok().and_then(|read| Duration::try_from(read).ok());
        match read {
            Some(read) if !read.is_zero() && read <= most => Some(read),
            Some(_) | None => {
                let message = format!("`{}` is not a length of time between 1s and 30 days", text.text);
                self.error_with(text.at, path, message, Some("write it like `10m`, `90s` or `1h`".to_owned()));
                None
            }
        }
    }
}

/// The nearest of these words, where one is near enough to be meant.
pub(crate) fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    words
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).clamp(1, 3))
        .map(|(_, candidate)| candidate)
}

/// Where a key that stands in the wrong place belongs.
fn home(key: &str) -> Option<&'static str> {
    match key {
        "connections" | "principals" => Some("`applies_to` of the bundle: a rule binds whom its bundle binds"),
        "users" | "claims" => Some("`applies_to.principals`, or `as` of a test"),
        "actions" | "objects" | "marks" | "fields" => Some("`allow`, `hold` or `deny` of a rule"),
        "query" => Some("`rego` of a rule"),
        "columns" | "detect" | "json" | "functions" | "with" | "predicates" | "unproven" | "unless" => Some("`mask`"),
        _ => None,
    }
}

/// The words as a person would list them.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
