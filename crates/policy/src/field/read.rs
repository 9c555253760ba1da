//! Reading `fields:` out of a rule, and the `body:` of a test.
//!
//! Promises: a path that is none, a pattern that cannot be read, a limit that is no number, an empty range and a list
//! without values are errors at their place. What is written without quotes and looks like a number, `true`, `false` or
//! `null` is that; in quotes it is text. Held by: the table of bad bundles in `set/tests.rs`, `field/tests.rs`.

use super::{Field, FieldRule, Values, Wanted};
use crate::SourceFile;
use crate::decimal::Decimal;
use crate::glob::{Glob, Quoting, Segment, alternatives};
use crate::path;
use crate::source::{Reader, join};
use crate::yaml::{self, Node, Value};
use portcullis_model::{Fields, Leaf, Problem, Scalar, Step};
use std::collections::BTreeSet;

impl FieldRule {
    /// Reads the mapping of paths to values at `path`.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, path: &str) -> Self {
        let mut rule = Self { fields: Vec::new(), written: BTreeSet::new() };
        let Value::Map(entries) = &node.value else {
            let help = Some("write `{ \"$.status\": [open, paid], \"$.amount\": { max: 1000 } }`".to_owned());
            reader.error_with(node.at, path, format!("expected a mapping, found {}", node.value.kind()), help);
            return rule;
        };
        if entries.is_empty() {
            reader.error(node.at, path, "no field is listed: leave the key out if it is not meant to limit anything");
        }
        for entry in entries {
            let at = join(path, &entry.key);
            let steps = match path::parse(&entry.key) {
                Ok(steps) => steps,
                Err((message, help)) => {
                    let whole = (entry.key == "$").then(|| "name a value in it, as in `$.status`".to_owned());
                    reader.error_with(entry.key_at, &at, message, whole.or(help));
                    continue;
                }
            };
            let mut words = Vec::new();
            let values = match &entry.value.value {
                Value::Map(_) => range(reader, &entry.value, &at, &mut words),
                Value::List(_) | Value::Scalar { .. } => listed(reader, &entry.value, &at, &mut words),
            };
            rule.written.extend(words.into_iter().map(|word| format!("{}: {word}", entry.key).into()));
            rule.fields.extend(values.map(|values| Field { path: entry.key.as_str().into(), steps, values }));
        }
        rule
    }
}

fn listed(reader: &mut Reader<'_>, node: &Node, path: &str, words: &mut Vec<String>) -> Option<Values> {
    let items = reader.items(node, path);
    let wanted = items.iter().enumerate().filter_map(|(nth, item)| {
        let path = format!("{path}[{nth}]");
        let wanted = wanted(reader, item, &path)?;
        if let Value::Scalar { text, plain } = &item.value {
            words.push(if *plain { text.clone() } else { format!("{text:?}") });
        }
        Some(wanted)
    });
    let wanted: Vec<_> = wanted.collect();
    (!wanted.is_empty()).then_some(Values::OneOf(wanted))
}

fn wanted(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Wanted> {
    let Value::Scalar { text, plain } = &node.value else {
        reader.error(node.at, path, format!("expected a single value, found {}", node.value.kind()));
        return None;
    };
    match scalar(text, *plain) {
        Scalar::Null if text.is_empty() => {
            reader.error(node.at, path, "a value is missing here");
            None
        }
        Scalar::Null => Some(Wanted::Null),
        Scalar::Bool(value) => Some(Wanted::Bool(value)),
        Scalar::Number(written) => {
            Some(Wanted::Number { value: Decimal::parse(&written)?, written: written.as_ref().into() })
        }
        Scalar::Text(text) if matches!(&*text, "*" | "**") => Some(Wanted::Any),
        Scalar::Text(text) if text.is_empty() => Some(Wanted::Text(vec![Glob::of(&[])])),
        Scalar::Text(text) => {
            let globs = alternatives(&text, Quoting::Backslash).and_then(|all| {
                all.iter().map(|tokens| Ok(Segment::of(tokens)?.into_glob())).collect::<Result<Vec<_>, _>>()
            });
            match globs {
                Ok(globs) => Some(Wanted::Text(globs)),
                Err(message) => {
                    let help = Some("a `\\` before a character makes it itself".to_owned());
                    reader.error_with(node.at, path, format!("`{text}` is not a pattern: {message}"), help);
                    None
                }
            }
        }
        Scalar::Empty => None,
    }
}

fn range(reader: &mut Reader<'_>, node: &Node, path: &str, words: &mut Vec<String>) -> Option<Values> {
    let fields = reader.fields(node, path, &["min", "max"])?;
    if fields.get("min").is_none() && fields.get("max").is_none() {
        reader.error(node.at, path, "a range has a `min`, a `max` or both");
        return None;
    }
    let mut limit = |key: &str| -> Option<Option<Decimal>> {
        let Some(entry) = fields.get(key) else { return Some(None) };
        let path = fields.path_of(key);
        let text = reader.text(&entry.value, &path)?;
        let value = Decimal::parse(text.text);
        match &value {
            Some(_) => words.push(format!("{key} {}", text.text)),
            None => reader.error(text.at, &path, format!("`{}` is not a number", text.text)),
        }
        value.map(Some)
    };
    let (least, most) = (limit("min"), limit("max"));
    // As one, since each limit alone says something else.
    let both = words.join(" ");
    *words = vec![both];
    let (least, most) = (least?, most?);
    if let (Some(least), Some(most)) = (&least, &most)
        && least > most
    {
        reader.error(node.at, path, "the range is empty: `min` is above `max`");
        return None;
    }
    Some(Values::Within { least, most })
}

/// What stands there.
fn scalar(text: &str, plain: bool) -> Scalar {
    match text {
        "" | "null" | "~" if plain => Scalar::Null,
        "true" if plain => Scalar::Bool(true),
        "false" if plain => Scalar::Bool(false),
        _ if plain && Decimal::parse(text).is_some() => Scalar::Number(text.into()),
        _ => Scalar::Text(text.into()),
    }
}

/// The values of a body written as YAML, of which JSON is a part.
///
/// # Errors
/// Why it cannot be read.
pub fn read_body(text: &str) -> Result<Fields, Vec<Problem>> {
    let mut problems = Vec::new();
    let root = yaml::parse(&SourceFile::new("body", text), &mut problems);
    match root {
        Some(root) if problems.is_empty() => Ok(body(&root)),
        Some(_) | None => Err(problems),
    }
}

/// The values of this node.
pub(crate) fn body(node: &Node) -> Fields {
    let mut leaves = Vec::new();
    collect(node, &mut Vec::new(), &mut leaves);
    Fields::of(leaves)
}

/// The tree is no deeper than the YAML reader lets it be.
fn collect(node: &Node, path: &mut Vec<Step>, leaves: &mut Vec<Leaf>) {
    let mut inside = |step: Step, node: &Node, leaves: &mut Vec<Leaf>| {
        path.push(step);
        collect(node, path, leaves);
        path.pop();
    };
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                inside(Step::Member(entry.key.as_str().into()), &entry.value, leaves);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (nth, item) in items.iter().enumerate() {
                inside(Step::Element(u32::try_from(nth).unwrap_or(u32::MAX)), item, leaves);
            }
        }
        Value::Map(_) | Value::List(_) => leaves.push(Leaf { path: path.clone(), value: Scalar::Empty }),
        Value::Scalar { text, plain } => leaves.push(Leaf { path: path.clone(), value: scalar(text, *plain) }),
    }
}
