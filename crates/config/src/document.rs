//! A walk over the YAML that knows where it is and collects problems instead of stopping at the first.
//!
//! Promises: a key that no reader asked for is a problem, with the nearest known key as the suggestion; a problem points at
//! the value or key it is about; excerpts pass [`redact`](crate::redact). Text that would make the YAML reader recurse
//! deeply is refused before it is read. Held by: the golden files, and the property in `tests.rs`.

use crate::redact::without_secrets;
use crate::vault::Known;
use marked_yaml::types::{MarkedMappingNode, MarkedScalarNode};
use marked_yaml::{LoadError, LoaderOptions, Marker, Node};
use portcullis_model::Problem;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Levels of nesting that a configuration may have; the schema has four.
const DEEPEST: usize = 64;

/// The text being read, and what was found wrong with it.
pub(crate) struct Document<'t> {
    file: String,
    base: PathBuf,
    text: &'t str,
    on_disk: bool,
    problems: RefCell<Vec<Problem>>,
    vaults: Cell<Known>,
}

impl<'t> Document<'t> {
    /// `shown` is how problems name the file, `file` where it is; files are looked for only if `on_disk`.
    pub(crate) fn new(text: &'t str, shown: &Path, file: &Path, on_disk: bool) -> Self {
        Self {
            file: shown.display().to_string(),
            base: file.parent().map(Path::to_path_buf).unwrap_or_default(),
            text,
            on_disk,
            problems: RefCell::default(),
            vaults: Cell::default(),
        }
    }

    /// The YAML tree; `None` with a problem.
    pub(crate) fn tree(&self) -> Option<Node> {
        if let Some((line, why)) = unreadable(self.text) {
            self.report(Problem::error("", why), Some((line, 1)));
            return None;
        }
        let options = LoaderOptions::default().error_on_duplicate_keys(true).prevent_coercion(true);
        match marked_yaml::parse_yaml_with_options(0, self.text, options) {
            Ok(node) => Some(node),
            Err(error) => {
                self.report_load_error(&error);
                None
            }
        }
    }

    fn report_load_error(&self, error: &LoadError) {
        let (message, at, help) = match error {
            LoadError::TopLevelMustBeMapping(at) | LoadError::TopLevelMustBeSequence(at) => {
                ("a configuration is a mapping of keys to values".to_owned(), place(at), None)
            }
            LoadError::UnexpectedAnchor(at) => {
                ("anchors and aliases are not read here".to_owned(), place(at), Some("write the value out"))
            }
            LoadError::MappingKeyMustBeScalar(at) => ("a key is one word".to_owned(), place(at), None),
            LoadError::UnexpectedTag(at) => ("tags are not read here".to_owned(), place(at), Some("leave the tag out")),
            LoadError::ScanError(at, scan) => (format!("this is not YAML: {}", scan.info()), place(at), None),
            LoadError::DuplicateKey(twice) => {
                let at = twice.key.span().start().and_then(place);
                (format!("key `{}` is given twice", twice.key.as_str()), at, None)
            }
        };
        let problem = Problem::error("", message);
        self.report(help.map_or(problem.clone(), |help| problem.suggest(help)), at);
    }

    /// The problem at a place in the text.
    fn located(&self, mut problem: Problem, at: Option<(usize, usize)>) -> Problem {
        if let Some((line, column)) = at {
            problem = problem.at(&self.file, self.text, line, column);
        }
        problem.excerpt = problem.excerpt.map(|line| printable(&without_secrets(&line)));
        problem.message = printable(&without_secrets(&problem.message));
        problem.path = printable(&problem.path);
        problem.suggestion = problem.suggestion.map(|help| printable(&without_secrets(&help)));
        problem
    }

    /// Adds a problem at a place in the text.
    pub(crate) fn report(&self, problem: Problem, at: Option<(usize, usize)>) {
        let problem = self.located(problem, at);
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// A path of the file, made relative to it.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        let path = path.strip_prefix("./").unwrap_or(path);
        self.base.join(path)
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Which vaults references may mean.
    pub(crate) const fn vaults(&self) -> Known {
        self.vaults.get()
    }

    pub(crate) fn know_vaults(&self, known: Known) {
        self.vaults.set(known);
    }

    pub(crate) const fn on_disk(&self) -> bool {
        self.on_disk
    }
}

/// Control characters escaped, so that a problem cannot steer the terminal that shows it.
fn printable(text: &str) -> Arc<str> {
    let escape = |c: char| if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect::<String>().into()
}

fn place(marker: &Marker) -> Option<(usize, usize)> {
    Some((marker.line(), marker.column()))
}

/// The first line that must not reach the YAML reader, and why: it would recurse deeply (open brackets, or dashes and
/// question marks that each open a level within one line), or begins a second document, which would not be read.
fn unreadable(text: &str) -> Option<(usize, &'static str)> {
    const TOO_DEEP: &str = "this is nested too deeply for a configuration";
    let mut open = 0_usize;
    let mut begun = false;
    for (at, line) in text.lines().enumerate() {
        let refused = |why| Some((at + 1, why));
        let marker = line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if marker && begun {
            return refused("a configuration is one document");
        }
        let content = line.trim_start();
        begun |= !content.is_empty() && !content.starts_with('#');
        let compact = content.split_whitespace().take_while(|word| matches!(*word, "-" | "?" | ":")).count();
        if compact > DEEPEST || line.len() - content.len() > 16 * DEEPEST {
            return refused(TOO_DEEP);
        }
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > DEEPEST {
                return refused(TOO_DEEP);
            }
        }
    }
    None
}

/// A value, where it stands, and its path of keys.
#[derive(Clone)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    node: &'d Node,
    path: Arc<str>,
    /// Where its key stands.
    key_at: Option<(usize, usize)>,
    /// Whether its line must not be shown: it may hold a secret whatever its key is called.
    unseen: bool,
}

impl<'d> Value<'d> {
    pub(crate) fn root(document: &'d Document<'d>, node: &'d Node) -> Self {
        Self { document, node, path: "".into(), key_at: Some((1, 1)), unseen: false }
    }

    pub(crate) const fn document(&self) -> &'d Document<'d> {
        self.document
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The same, and everything in it: no problem shows a line of it.
    pub(crate) fn unseen(mut self) -> Self {
        self.unseen = true;
        self
    }

    fn report(&self, problem: Problem, at: Option<(usize, usize)>) {
        let mut problem = self.document.located(problem, at);
        if self.unseen {
            problem.excerpt = None;
        }
        self.document.problems.borrow_mut().push(problem);
    }

    fn at(&self) -> Option<(usize, usize)> {
        self.node.span().start().and_then(place).or(self.key_at)
    }

    /// This problem at this value, for later.
    pub(crate) fn located(&self, problem: Problem) -> Problem {
        self.document.located(problem, self.at())
    }

    /// A problem with this value.
    pub(crate) fn problem(&self, message: impl Into<Arc<str>>) {
        self.report(Problem::error(Arc::clone(&self.path), message), self.at());
    }

    /// A problem with this value, and what to write instead.
    pub(crate) fn problem_with(&self, message: impl Into<Arc<str>>, help: impl Into<Arc<str>>) {
        self.report(Problem::error(Arc::clone(&self.path), message).suggest(help), self.at());
    }

    /// A problem told at the key, for values that must not be shown.
    pub(crate) fn problem_at_key(&self, message: impl Into<Arc<str>>, help: impl Into<Arc<str>>) {
        self.report(Problem::error(Arc::clone(&self.path), message).suggest(help), self.key_at);
    }

    /// A warning about this value.
    pub(crate) fn warning(&self, message: impl Into<Arc<str>>, help: impl Into<Arc<str>>) {
        self.report(Problem::warning(Arc::clone(&self.path), message).suggest(help), self.at());
    }

    /// Whether it is written out as text; nothing is reported.
    pub(crate) fn is_scalar(&self) -> bool {
        self.node.as_scalar().is_some()
    }

    /// Whether it is a mapping; nothing is reported.
    pub(crate) fn is_mapping(&self) -> bool {
        self.node.as_mapping().is_some()
    }

    /// Whether there is a key and nothing behind it.
    fn is_nothing(&self) -> bool {
        self.node.as_scalar().is_some_and(|scalar| scalar.may_coerce() && matches!(scalar.as_str(), "" | "~" | "null"))
    }

    /// Text, as written; a problem where there is none.
    pub(crate) fn text(&self) -> Option<&'d str> {
        if self.is_nothing() {
            self.problem_at_key("there is no value here", "give one, or leave the key out");
            return None;
        }
        let text = self.node.as_scalar().map(MarkedScalarNode::as_str);
        if text.is_none() {
            self.problem("this must be one value, not a list or a mapping");
        }
        text
    }

    /// The mapping where it is one; nothing is reported.
    pub(crate) fn peek(&self) -> Option<Section<'d>> {
        self.node.as_mapping().map(|map| Section { value: self.clone(), map, known: Vec::new() })
    }

    /// The mapping; a problem where there is none.
    pub(crate) fn section(&self) -> Option<Section<'d>> {
        if self.is_nothing() {
            self.problem_at_key("there is nothing in here", "fill it, or leave the key out");
            return None;
        }
        let Some(map) = self.node.as_mapping() else {
            self.problem("this must be a mapping: `key: value`, one a line, or `{ key: value }`");
            return None;
        };
        Some(Section { value: self.clone(), map, known: Vec::new() })
    }

    /// The items of a list; a problem where there is none.
    pub(crate) fn list(&self) -> Option<Vec<Self>> {
        if self.is_nothing() {
            self.problem_at_key("there is nothing in here", "fill it, or leave the key out");
            return None;
        }
        let Some(items) = self.node.as_sequence() else {
            let shown = self.node.as_scalar().filter(|_| !self.unseen);
            let help = shown.map(|scalar| format!("write [{}]", scalar.as_str()));
            match help {
                Some(help) => self.problem_with("this must be a list", help),
                None => self.problem("this must be a list"),
            }
            return None;
        };
        let item = |(at, node)| Self {
            document: self.document,
            node,
            path: format!("{}[{at}]", self.path).into(),
            key_at: self.at(),
            unseen: self.unseen,
        };
        Some(items.iter().enumerate().map(item).collect())
    }
}

/// A mapping whose keys are asked for one by one.
pub(crate) struct Section<'d> {
    value: Value<'d>,
    map: &'d MarkedMappingNode,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// The value itself, for problems about the whole.
    pub(crate) const fn value(&self) -> &Value<'d> {
        &self.value
    }

    /// The value of this key, which is known from now on.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        self.entries().find(|(word, _)| *word == key).map(|(_, value)| value)
    }

    /// The value of this key; a problem where it is missing.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) -> Option<Value<'d>> {
        let value = self.take(key);
        if value.is_none() {
            let problem = Problem::error(Arc::clone(&self.value.path), format!("`{key}` is missing"));
            self.value.report(problem.suggest(format!("add `{key}: {example}`")), self.value.key_at);
        }
        value
    }

    /// Every key with its value, in the order of the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'d str, Value<'d>)> + use<'d> {
        let (document, path, unseen) = (self.value.document, Arc::clone(&self.value.path), self.value.unseen);
        self.map.iter().map(move |(key, node)| {
            let word = key.as_str();
            let path = if path.is_empty() { word.into() } else { format!("{path}.{word}").into() };
            (word, Value { document, node, path, key_at: key.span().start().and_then(place), unseen })
        })
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (word, value) in self.entries().filter(|(word, _)| !self.known.contains(word)) {
            let help = crate::values::nearest(word, &self.known).map_or_else(
                || format!("the keys here are {}", self.known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            value.problem_at_key(format!("unknown key `{word}`"), help);
        }
    }
}
