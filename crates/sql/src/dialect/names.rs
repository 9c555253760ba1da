//! Names as the dialect's system compares them.

use super::facts::{Facts, Fold};
use crate::Dialect;
use portcullis_model::{Columns, Name, Object, Part, QualifiedName, RelationKind};
use sqlparser::ast::{AssignmentTarget, Ident, ObjectName, ObjectNamePart};

/// One name, folded.
pub(super) fn name(ident: &Ident, facts: &Facts) -> Name {
    let fold = if ident.quote_style.is_some() { facts.quoted } else { facts.unquoted };
    Name::canonical(fold.apply(&ident.value))
}

/// The identifiers of a name; `None` where a part is computed.
fn parts(name: &ObjectName, facts: &Facts) -> Option<Vec<Name>> {
    let mut out = Vec::with_capacity(name.0.len());
    for part in &name.0 {
        let ident = match part {
            ObjectNamePart::Identifier(ident) => ident,
            ObjectNamePart::Function(_) => return None,
        };
        // one pair of backticks may hold a whole path
        if facts.dialect == Dialect::BigQuery && ident.quote_style == Some('`') && ident.value.contains('.') {
            out.extend(ident.value.split('.').map(|part| Name::canonical(facts.quoted.apply(part))));
        } else {
            out.push(self::name(ident, facts));
        }
    }
    Some(out)
}

/// A schema and a name. More parts than two name another database, which no schema stands for: `?`.
pub(super) fn qualified(object: &ObjectName, facts: &Facts) -> QualifiedName {
    let Some(parts) = parts(object, facts) else { return QualifiedName::unknown() };
    match parts.as_slice() {
        [] => QualifiedName::unknown(),
        // a word of another system's grammar, not a relation
        [only] if facts.dialect == Dialect::Generic && only.as_str() == "only" => QualifiedName::unknown(),
        [name] => QualifiedName { schema: Part::Unknown, name: Part::Known(name.clone()) },
        [schema, name] if !schema.as_str().is_empty() => {
            QualifiedName { schema: Part::Known(schema.clone()), name: Part::Known(name.clone()) }
        }
        [.., name] => QualifiedName { schema: Part::Unknown, name: Part::Known(name.clone()) },
    }
}

/// The last part alone, for objects that live in no schema.
pub(super) fn last(object: &ObjectName, facts: &Facts) -> Part {
    parts(object, facts).and_then(|parts| parts.last().cloned()).map_or(Part::Unknown, Part::Known)
}

/// The relation of this name.
pub(super) fn table(object: &ObjectName, facts: &Facts) -> Object {
    Object::relation(qualified(object, facts), RelationKind::Table)
}

/// The name as it would shadow a relation: unqualified and folded.
pub(super) fn bare(object: &ObjectName, facts: &Facts) -> Option<Name> {
    match parts(object, facts)?.as_slice() {
        [name] => Some(name.clone()),
        _ => None,
    }
}

/// The last parts of these column names, sorted; unknown where one is computed.
pub(super) fn columns<'a>(names: impl Iterator<Item = &'a ObjectName>, facts: &Facts) -> Columns {
    let mut out = Vec::new();
    for name in names {
        match last(name, facts) {
            // a column's name is compared without regard to case wherever a table's is folded
            Part::Known(name) => out.push(name),
            Part::Unknown => return Columns::Unknown,
        }
    }
    out.sort();
    out.dedup();
    if out.is_empty() { Columns::Unknown } else { Columns::Named(out.into()) }
}

/// The columns that a list of assignments writes.
pub(super) fn assigned<'a>(targets: impl Iterator<Item = &'a AssignmentTarget>, facts: &Facts) -> Columns {
    let names = targets.flat_map(|target| match target {
        AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
        AssignmentTarget::Tuple(names) => names.as_slice(),
    });
    columns(names, facts)
}

/// A word in lower case, as settings and functions are named.
pub(super) fn lower(text: &str) -> String {
    Fold::Lower.apply(text)
}
