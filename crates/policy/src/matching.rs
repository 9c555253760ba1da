//! Whether a pattern matches an operation's object.
//!
//! Promises: exhaustive over `Object`, allocates nothing for names (a path is cut in place on the stack up to sixteen
//! segments). Where the object is not wholly known, [`Certainty`] says which way to lean: an allow needs the match to
//! hold whatever the unknown part is, a deny or hold only that it may (DESIGN 3, patterns). What a service may read as the
//! same, as a path with and without a slash at its end, is such a case.
//!
//! A `table` pattern covers every column of what it matches; `column` patterns are asked column by column, since several
//! rules may each cover some (`decide.rs`). Held by: `pattern/tests.rs`, `decide/tests.rs`.

use crate::glob::{Certainty, Segments};
use crate::pattern::{Pattern, Single};
use portcullis_model::{Columns, Name, Object, Operation, Part, QualifiedName, RelationKind, SessionKind};
use smallvec::SmallVec;

/// What a pattern takes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing.
    Nothing,
    /// The whole operation.
    Whole,
    /// Some of the columns that it names: ask [`Pattern::takes_column`] for each.
    SomeColumns,
}

/// Whether a session of this kind opens without being named in a rule (DESIGN 2): the others never do.
pub(crate) const fn opens_unnamed(kind: SessionKind) -> bool {
    match kind {
        SessionKind::Sql | SessionKind::Http | SessionKind::Exec => true,
        SessionKind::Guarded | SessionKind::Shell | SessionKind::Sftp => false,
    }
}

impl Pattern {
    /// What this pattern takes of the operation. `home` is what `~` stands for, where that is known.
    pub(crate) fn takes(&self, operation: &Operation, certainty: Certainty, home: Option<&str>) -> Taken {
        let object = &operation.object;
        if matches!(object, Object::Unknown) {
            let surely = matches!(self, Self::Everything | Self::Unknown);
            return whole(surely || certainty == Certainty::Possibly);
        }
        if let (Self::Column(column), Object::Relation { name, .. }) = (self, object) {
            return takes_columns(column, name, &operation.columns, certainty);
        }
        whole(self.takes_object(object, certainty, home))
    }

    /// Whether a `column` pattern takes this column of this relation; other patterns never do.
    pub(crate) fn takes_column(&self, object: &Object, column: &Name, certainty: Certainty) -> bool {
        let (Self::Column(pattern), Object::Relation { name, .. }) = (self, object) else { return false };
        pattern.takes(&[name.schema.as_str(), name.name.as_str(), Some(column.as_str())], certainty)
    }

    fn takes_object(&self, object: &Object, certainty: Certainty, home: Option<&str>) -> bool {
        match self {
            // A kind of session that must be named is not named by `*`, except where refusing it is the point.
            Self::Everything => {
                !matches!(object, Object::Session(kind) if certainty == Certainty::Surely && !opens_unnamed(*kind))
            }
            Self::Unknown | Self::Column(_) => false,
            Self::Relation { kind, name: pattern } => {
                let Object::Relation { name, kind: found } = object else { return false };
                let kinds = kind.is_none_or(|kind| kind == *found || may_be(kind, *found, name, certainty));
                kinds && two(pattern, name, certainty)
            }
            Self::Function(pattern) => matches!(object, Object::Function(name) if two(pattern, name, certainty)),
            Self::Item { kind, name: pattern } => {
                let Object::Item { kind: found, name } = object else { return false };
                let alone = pattern.shape().0 == 1;
                let taken =
                    if alone { pattern.takes(&[name.name.as_str()], certainty) } else { two(pattern, name, certainty) };
                kind == found && taken
            }
            Self::Single { noun, name } => {
                single(object).is_some_and(|(found, part)| found == *noun && name.takes(part.as_str(), certainty))
            }
            Self::Program { name, subcommand } => {
                let Object::Program { name: found, subcommand: word } = object else { return false };
                let words = takes_subcommand(subcommand.as_ref(), found, word.as_ref(), certainty);
                words && name.takes(found.as_str(), certainty)
            }
            Self::File(pattern) => {
                let Object::File(path) = object else { return false };
                let unknown = certainty == Certainty::Possibly || pattern.is_deep();
                path.as_str().map_or(unknown, |path| takes_file(pattern, path, home))
            }
            Self::Host { host, port } => {
                let Object::Host(found) = object else { return false };
                let (name, number) = host_and_port(found);
                host.takes(name, certainty) && port.takes(number, certainty)
            }
            Self::Listener { address, port } => {
                let Object::Listener(found) = object else { return false };
                let (name, number) = host_and_port(found);
                address.takes(name, certainty) && port.takes(number, certainty)
            }
            Self::Endpoint { method, path } => {
                let Object::Endpoint { method: found, path: at } = object else { return false };
                method.matches(found.as_str()) && takes_endpoint(path, at.as_str(), certainty)
            }
            Self::Session(kind) => matches!(object, Object::Session(found) if kind.matches(found.word())),
        }
    }
}

const fn whole(taken: bool) -> Taken {
    if taken { Taken::Whole } else { Taken::Nothing }
}

/// A relation whose schema is unknown was not looked up, so its kind is not known either.
fn may_be(kind: RelationKind, found: RelationKind, name: &QualifiedName, certainty: Certainty) -> bool {
    let looked_up = matches!(name.schema, Part::Known(_));
    kind != RelationKind::Table && found == RelationKind::Table && !looked_up && certainty == Certainty::Possibly
}

fn two(pattern: &Segments, name: &QualifiedName, certainty: Certainty) -> bool {
    pattern.takes(&[name.schema.as_str(), name.name.as_str()], certainty)
}

fn takes_columns(pattern: &Segments, name: &QualifiedName, columns: &Columns, certainty: Certainty) -> Taken {
    let (schema, table) = (name.schema.as_str(), name.name.as_str());
    if !pattern.may_start_with(&[schema, table], certainty) {
        return Taken::Nothing;
    }
    let takes = |column| pattern.takes(&[schema, table, column], certainty);
    match columns {
        Columns::None => Taken::Nothing,
        Columns::Unknown => whole(takes(None)),
        Columns::Named(names) if names.iter().any(|column| takes(Some(column.as_str()))) => Taken::SomeColumns,
        Columns::Named(_) => Taken::Nothing,
    }
}

const fn single(object: &Object) -> Option<(Single, &Part)> {
    match object {
        Object::Schema(part) => Some((Single::Schema, part)),
        Object::Role(part) => Some((Single::Role, part)),
        Object::Setting(part) => Some((Single::Setting, part)),
        Object::Database(part) => Some((Single::Database, part)),
        Object::Channel(part) => Some((Single::Channel, part)),
        Object::Model(part) => Some((Single::Model, part)),
        Object::Tool(part) => Some((Single::Tool, part)),
        Object::Subsystem(part) => Some((Single::Subsystem, part)),
        Object::Relation { .. }
        | Object::Function(_)
        | Object::Program { .. }
        | Object::File(_)
        | Object::Host(_)
        | Object::Listener(_)
        | Object::Endpoint { .. }
        | Object::Session(_)
        | Object::Item { .. }
        | Object::Unknown => None,
    }
}

/// A pattern without a subcommand takes every one. Of a program that is not known, the subcommand is not either.
fn takes_subcommand(pattern: Option<&Segments>, name: &Part, word: Option<&Name>, certainty: Certainty) -> bool {
    let Some(pattern) = pattern else { return true };
    match (word, name) {
        (Some(word), _) => {
            let words: SmallVec<[Option<&str>; 4]> = word.as_str().split(' ').map(Some).collect();
            pattern.takes(&words, certainty)
        }
        (None, Part::Unknown) => certainty == Certainty::Possibly,
        (None, Part::Known(_)) => false,
    }
}

fn takes_path(pattern: &Segments, path: &str) -> bool {
    takes_segments(pattern, path.split('/'))
}

/// `/a` and `/a/` are two paths to the gateway and one to many services: what refuses or holds one does so with the other,
/// what allows one allows nothing else.
fn takes_endpoint(pattern: &Segments, path: &str, certainty: Certainty) -> bool {
    let other = || match path.strip_suffix('/') {
        Some("") => false,
        Some(without) => takes_path(pattern, without),
        None => takes_segments(pattern, path.split('/').chain(std::iter::once(""))),
    };
    takes_path(pattern, path) || (certainty == Certainty::Possibly && other())
}

fn takes_segments<'p>(pattern: &Segments, segments: impl Iterator<Item = &'p str>) -> bool {
    let segments: SmallVec<[Option<&str>; 16]> = segments.map(Some).collect();
    pattern.takes(&segments, Certainty::Surely)
}

/// A path below the home is the same written from `~` and from the root: a rule may say either.
fn takes_file(pattern: &Segments, path: &str, home: Option<&str>) -> bool {
    if takes_path(pattern, path) {
        return true;
    }
    let Some(home) = home.map(|home| home.trim_end_matches('/')) else { return false };
    let below = |from: &str| path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/')).is_some();
    let rest = |from: &str| path.get(from.len()..).unwrap_or_default().split('/').skip(1);
    if below("~") {
        return takes_segments(pattern, home.split('/').chain(rest("~")));
    }
    below(home) && takes_segments(pattern, std::iter::once("~").chain(rest(home)))
}

/// Host and port; either is `None` where it is not known.
fn host_and_port(part: &Part) -> (Option<&str>, Option<&str>) {
    let Some(text) = part.as_str() else { return (None, None) };
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (Some(host), Some(port)),
        Some(_) | None => (Some(text), None),
    }
}
