//! YAML text to a tree of nodes that know their places.
//!
//! Promises: every problem of the text is reported, not only the first (a syntax error ends the reading, duplicate keys,
//! anchors and tags do not); a key that occurs twice is an error; nothing is coerced, so `no`, `1e3` and `2026-01-05`
//! stay the text that was written. Size and depth are bounded.
//!
//! Does not promise: all of YAML. Anchors, aliases, merge keys, tags, keys that are not plain text and a second document
//! are refused: a bundle reads from top to bottom as it stands, and nothing in it acts at a distance.
//! Held by: the tests below and the property in `set/tests.rs` that no text makes loading panic.

use crate::SourceFile;
use portcullis_model::Problem;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// A bundle larger than this is refused unread.
const MAX_BYTES: usize = 1 << 20;

/// Lists and mappings nested deeper than this are refused.
const MAX_DEPTH: usize = 24;

/// A place in the text; line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// The start of the text.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl From<&Marker> for Place {
    fn from(mark: &Marker) -> Self {
        Self { line: mark.line().max(1), column: mark.col().saturating_add(1) }
    }
}

/// One node and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Text as written, and whether it was written without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text, without repeated keys.
    Map(Vec<Entry>),
}

impl Value {
    /// What a person calls it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// Whether nothing was written: no text, `~` or `null` without quotes.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }
}

/// One key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Place,
    pub(crate) value: Node,
}

/// Reads the one document of a file. `None` where there is nothing to read; every problem is appended.
pub(crate) fn parse(file: &SourceFile, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut builder = Builder { file, problems, open: Vec::new(), root: None, documents: 0 };
    if file.text.len() > MAX_BYTES {
        builder.problem(Place::START, "the file is larger than 1 MiB");
        return None;
    }
    for event in Parser::new_from_str(&file.text) {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let at = Place::from(error.marker());
                builder.problem(at, &format!("this is not YAML: {}", error.info()));
                Err(Stop)
            }
        };
        if step.is_err() {
            return None;
        }
    }
    if builder.root.is_none() {
        builder.problem(Place::START, "the file is empty");
    }
    builder.root
}

/// The text cannot be read further.
struct Stop;

/// A list or mapping that is not closed yet.
struct Open {
    at: Place,
    value: Value,
    /// The key whose value comes next.
    key: Option<(String, Place)>,
}

struct Builder<'a> {
    file: &'a SourceFile,
    problems: &'a mut Vec<Problem>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn problem(&mut self, at: Place, message: &str) {
        self.problems.push(Problem::error("", message).at(&self.file.path, &self.file.text, at.line, at.column));
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let at = Place::from(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plainly(at, anchor, tag.is_some());
                let plain = matches!(style, ScalarStyle::Plain);
                self.add(Node { at, value: Value::Scalar { text: text.into_owned(), plain } });
            }
            Event::Alias(_) => {
                self.problem(at, "aliases are not used in bundles: write it out");
                self.add(Node { at, value: Value::Scalar { text: String::new(), plain: true } });
            }
            Event::SequenceStart(anchor, tag) => {
                self.plainly(at, anchor, tag.is_some());
                self.begin(at, Value::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.plainly(at, anchor, tag.is_some());
                self.begin(at, Value::Map(Vec::new()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { at, value, .. }) = self.open.pop() {
                    self.add(Node { at, value });
                }
            }
            Event::DocumentStart(_) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    self.problem(at, "a second document: write one bundle per file");
                    return Err(Stop);
                }
            }
            Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
        Ok(())
    }

    fn plainly(&mut self, at: Place, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.problem(at, "anchors are not used in bundles: write it out");
        }
        if tagged {
            self.problem(at, "tags are not used in bundles");
        }
    }

    fn begin(&mut self, at: Place, value: Value) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            self.problem(at, "nested too deeply");
            return Err(Stop);
        }
        self.open.push(Open { at, value, key: None });
        Ok(())
    }

    /// Puts a finished node where it belongs: into the list or mapping that is open, or at the root.
    fn add(&mut self, node: Node) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        let problem = match &mut parent.value {
            Value::List(items) => {
                items.push(node);
                None
            }
            Value::Map(entries) => match parent.key.take() {
                Some((key, key_at)) if entries.iter().any(|entry| entry.key == key) => {
                    Some((key_at, format!("`{key}` is written twice in this mapping")))
                }
                Some((key, key_at)) => {
                    entries.push(Entry { key, key_at, value: node });
                    None
                }
                None => match node.value {
                    Value::Scalar { text, .. } => {
                        parent.key = Some((text, node.at));
                        None
                    }
                    Value::List(_) | Value::Map(_) => {
                        parent.key = Some((String::new(), node.at));
                        Some((node.at, "a key must be plain text".to_owned()))
                    }
                },
            },
            Value::Scalar { .. } => None,
        };
        if let Some((at, message)) = problem {
            self.problem(at, &message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut problems = Vec::new();
        let node = parse(&SourceFile::new("t.yaml", text), &mut problems);
        let lines = problems
            .iter()
            .map(|problem| {
                let at = problem.location.as_ref().expect("a place");
                format!("{}:{} {}", at.line, at.column, problem.message)
            })
            .collect();
        (node, lines)
    }

    #[test]
    fn every_duplicate_anchor_alias_and_tag_is_reported_with_its_place() {
        let (_, problems) = read("a: 1\nb: &x 2\na: 3\nc: *x\nd: !!str y\ne:\n  f: 1\n  f: 2\n");
        assert_eq!(
            problems,
            [
                "2:4 anchors are not used in bundles: write it out",
                "3:1 `a` is written twice in this mapping",
                "4:4 aliases are not used in bundles: write it out",
                "5:4 tags are not used in bundles",
                "8:3 `f` is written twice in this mapping",
            ]
        );
    }

    #[test]
    fn a_second_document_and_an_empty_file_are_refused() {
        assert_eq!(read("a: 1\n---\nb: 2\n").1, ["2:1 a second document: write one bundle per file"]);
        assert_eq!(read("# nothing\n").1, ["1:1 the file is empty"]);
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let (node, problems) = read(&"[".repeat(5000));
        assert!(node.is_none());
        assert_eq!(problems.len(), 1, "{problems:?}");
        let (node, problems) = read(&format!("a: {}", "x".repeat(MAX_BYTES)));
        assert!(node.is_none());
        assert_eq!(problems, ["1:1 the file is larger than 1 MiB"]);
    }

    #[test]
    fn nothing_is_coerced() {
        let (node, problems) = read("a: no\nb: 010\nc: 2026-01-05T10:00:00Z\nd: \"null\"\ne:\n");
        assert!(problems.is_empty());
        let Some(Node { value: Value::Map(entries), .. }) = node else { panic!("a mapping") };
        let texts: Vec<_> = entries
            .iter()
            .map(|entry| match &entry.value.value {
                Value::Scalar { text, .. } => text.as_str(),
                Value::List(_) | Value::Map(_) => panic!("a scalar"),
            })
            .collect();
        assert_eq!(texts, ["no", "010", "2026-01-05T10:00:00Z", "null", ""]);
        assert!(!entries[3].value.value.is_null());
        assert!(entries[4].value.value.is_null());
    }
}
