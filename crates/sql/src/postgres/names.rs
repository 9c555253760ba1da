//! What a name means: relations, functions, operators and types under the search path in force.
//!
//! Follows the server's order: `pg_temp` first for relations, then `pg_catalog`, then the path, unless the path itself
//! lists them elsewhere; never `pg_temp` for functions. Promises: a name that cannot be told for certain has schema `?`,
//! and brings every relation it could be as a candidate, so that what hangs on those counts too.
//! Does not promise to choose between overloads: all functions of a name that the path reaches are the callee.
//! Held by: `fixtures/sql/query.tsv` and the scopes in `tests/it/scopes.rs`.

use super::steps::Steps;
use crate::builtins::{self, CatalogueRelation, FunctionClass};
use crate::scope::{Scope, SearchPath};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, RangeVar};
use portcullis_model::catalogue::{Oid, RelKind, Relation, Type};
use portcullis_model::{Name, Object, Part, QualifiedName, RelationKind};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The schema of temporary objects, and the one of the server's own.
pub(super) const TEMPORARY: &str = "pg_temp";
pub(super) const CATALOGUE: &str = "pg_catalog";

/// What a relation's name means.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The name as rules see it.
    pub(super) name: QualifiedName,
    /// What the catalogue knows about it.
    pub(super) relation: Option<Arc<Relation>>,
    /// Where the schema is not known: every relation that it could be.
    pub(super) candidates: Vec<Arc<Relation>>,
}

impl Place {
    fn found(relation: &Arc<Relation>) -> Self {
        Self { name: name_of(relation), relation: Some(Arc::clone(relation)), candidates: Vec::new() }
    }

    fn named(name: QualifiedName) -> Self {
        Self { name, relation: None, candidates: Vec::new() }
    }

    /// The object that rules speak of.
    pub(super) fn object(&self) -> Object {
        self.relation
            .as_ref()
            .map_or_else(|| Object::relation(self.name.clone(), RelationKind::Table), |relation| object_of(relation))
    }
}

/// The schema and name of a relation.
pub(super) fn name_of(relation: &Relation) -> QualifiedName {
    QualifiedName { schema: Part::Known(relation.schema.clone()), name: Part::Known(relation.name.clone()) }
}

/// The object of a relation, by its kind.
pub(super) fn object_of(relation: &Relation) -> Object {
    use portcullis_model::ItemKind;
    let name = name_of(relation);
    match relation.kind {
        RelKind::Table | RelKind::PartitionedTable | RelKind::ForeignTable | RelKind::Toast => {
            Object::relation(name, RelationKind::Table)
        }
        RelKind::View => Object::relation(name, RelationKind::View),
        RelKind::MaterializedView => Object::relation(name, RelationKind::MaterializedView),
        RelKind::Sequence => Object::Item { kind: ItemKind::Sequence, name },
        RelKind::Index => Object::Item { kind: ItemKind::Index, name },
        RelKind::CompositeType => Object::Item { kind: ItemKind::Type, name },
    }
}

/// Who answers a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Callee {
    /// User functions of that name that the path reaches, each name once.
    pub(super) user: Vec<QualifiedName>,
    /// The built-in of that name.
    pub(super) builtin: Option<FunctionClass>,
    /// The schema that the built-in is in.
    pub(super) builtin_schema: &'static str,
}

/// What names mean, as it changes along a text.
#[derive(Clone, Debug)]
pub(super) struct Standing<'s> {
    pub(super) scope: &'s Scope,
    pub(super) path: SearchPath,
    pub(super) uncertain: bool,
    pub(super) temporary: Arc<BTreeSet<Name>>,
    /// The path was set in this text.
    pub(super) path_changed: bool,
    /// It was set to something that is not known, or types were made that hide the server's: a later one says too little.
    pub(super) path_doubted: bool,
    /// Bare names of relations that DDL of this text touched.
    pub(super) touched: BTreeSet<Name>,
    /// Plain tables made in this text.
    pub(super) made: BTreeSet<QualifiedName>,
    /// DDL of this text may have touched any relation.
    pub(super) forgotten: bool,
    /// Names that stand for a value where no column has them: the variables of the code block that the text is in.
    pub(super) variables: Arc<BTreeSet<Name>>,
    /// What is left of the work that the text may be.
    pub(super) steps: Steps,
}

/// The strings of a list of name parts; `None` where a part is no plain string.
pub(super) fn strings(nodes: &[Node]) -> Option<Vec<&str>> {
    nodes
        .iter()
        .map(|node| match &node.node {
            Some(NodeEnum::String(part)) => Some(part.sval.as_str()),
            _ => None,
        })
        .collect()
}

/// The schema and name of a function or operator; parts as in the text.
pub(super) fn split<'p>(parts: &[&'p str]) -> Option<(Option<&'p str>, &'p str)> {
    match parts {
        [] => None,
        [name] => Some((None, name)),
        [.., schema, name] => Some((Some(schema), name)),
    }
}

impl<'s> Standing<'s> {
    pub(super) fn new(scope: &'s Scope) -> Self {
        Self {
            scope,
            path: scope.search_path.clone(),
            uncertain: scope.uncertain,
            temporary: Arc::clone(&scope.temporary),
            path_changed: false,
            path_doubted: false,
            touched: BTreeSet::new(),
            made: BTreeSet::new(),
            forgotten: false,
            variables: Arc::default(),
            steps: Steps::endless(),
        }
    }

    /// What a copy of it is made of.
    pub(super) fn weight(&self) -> usize {
        self.touched.len() + self.made.len() + self.temporary.len()
    }

    /// Takes a step for every few of the path's schemas.
    fn searches(&self) -> bool {
        let schemas = if let SearchPath::Known(path) = &self.path { path.len() } else { 0 };
        self.steps.take(1 + schemas / 4)
    }

    /// Whether the name is one of a code block's variables or labels.
    pub(super) fn is_variable(&self, name: &str) -> bool {
        self.variables.contains(name)
    }

    /// Nothing that may have changed along the way is known any more.
    pub(super) fn unsettle(&mut self) {
        self.path = SearchPath::Unknown;
        self.path_changed = true;
        self.uncertain = true;
        self.forget();
    }

    /// Whether it was unsettled already.
    pub(super) fn is_unsettled(&self) -> bool {
        self.forgotten && self.uncertain && self.path == SearchPath::Unknown
    }

    /// DDL may have touched any relation: no name is what the catalogue says.
    pub(super) fn forget(&mut self) {
        self.forgotten = true;
        self.made.clear();
    }

    /// DDL touched relations of this name.
    pub(super) fn touch(&mut self, name: Name) {
        self.made.retain(|made| made.name.as_str() != Some(name.as_str()));
        self.touched.insert(name);
    }

    /// The relation that a reference means; `None` where the catalogue is known, fresh, and has none.
    pub(super) fn range(&self, range: &RangeVar) -> Option<Place> {
        self.relation(Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty()), &range.relname)
    }

    /// The relation of this name; `None` as in [`Self::range`].
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> Option<Place> {
        if schema != Some(TEMPORARY) && (self.forgotten || self.touched.contains(name)) {
            return Some(self.stale(schema, name));
        }
        match schema {
            Some(TEMPORARY) => Some(Place::named(QualifiedName::new(TEMPORARY, name))),
            Some(schema) => self.qualified(schema, name),
            None => self.unqualified(name),
        }
    }

    /// A name that DDL touched: it could be what it was, or anything.
    fn stale(&self, schema: Option<&str>, name: &str) -> Place {
        let relations = self.scope.catalogue.relations();
        if !self.steps.take(relations.size_hint().0 / 8) {
            return Place::named(QualifiedName::unresolved(name));
        }
        let meant = |relation: &&Arc<Relation>| {
            relation.name.as_str() == name && schema.is_none_or(|schema| relation.schema.as_str() == schema)
        };
        let mut candidates: Vec<_> = relations.filter(meant).map(Arc::clone).collect();
        candidates.sort_by_key(|relation| relation.oid);
        Place { name: QualifiedName::unresolved(name), relation: None, candidates }
    }

    fn qualified(&self, schema: &str, name: &str) -> Option<Place> {
        let catalogue = &self.scope.catalogue;
        let full = QualifiedName::new(schema, name);
        match catalogue.relation_named(&Name::canonical(schema), &Name::canonical(name)) {
            Some(relation) => Some(Place::found(relation)),
            None if !catalogue.is_known() || self.made.contains(&full) => Some(Place::named(full)),
            // Made by DDL that is not in the catalogue yet: a view, for all that is known.
            None => self.uncertain.then(|| Place::named(QualifiedName::unresolved(name))),
        }
    }

    fn unqualified(&self, text: &str) -> Option<Place> {
        let catalogue = &self.scope.catalogue;
        let name = Name::canonical(text);
        let SearchPath::Known(path) = &self.path else { return self.anywhere(&name) };
        if !self.searches() {
            return Some(Place::named(QualifiedName::unresolved(text)));
        }
        let listed = |schema: &str| path.iter().any(|entry| entry.as_str() == schema);
        let implicit = [TEMPORARY, CATALOGUE].into_iter().filter(|schema| !listed(schema)).map(Name::canonical);
        let schemas: Vec<Name> = implicit.chain(path.iter().cloned()).collect();
        // Under uncertain DDL a schema searched before the one that is found may have the name as well.
        let mut shadowed = false;
        for (at, schema) in schemas.iter().enumerate() {
            if schema.as_str() == TEMPORARY {
                if self.temporary.contains(&name) {
                    return Some(Place::named(QualifiedName::new(TEMPORARY, text)));
                }
                continue;
            }
            let full = QualifiedName { schema: Part::Known(schema.clone()), name: Part::Known(name.clone()) };
            if let Some(relation) = catalogue.relation_named(schema, &name) {
                // Nor may the one that is found be there any more: then the name means what it hid.
                let mut behind = schemas.iter().skip(at + 1);
                let hides = self.uncertain && behind.any(|later| catalogue.relation_named(later, &name).is_some());
                return Some(if shadowed || hides { self.stale(None, text) } else { Place::found(relation) });
            }
            let described = !catalogue.is_known()
                && schema.as_str() == CATALOGUE
                && builtins::catalogue_relation(CATALOGUE, text) != CatalogueRelation::Unknown;
            if described || self.made.contains(&full) {
                return Some(Place::named(full));
            }
            shadowed |= self.uncertain && catalogue.is_known() && schema.as_str() != CATALOGUE;
        }
        if let Some(schema) = &self.scope.assume {
            let schema = Part::Known(schema.clone());
            return Some(Place::named(QualifiedName { schema, name: Part::Known(name) }));
        }
        let absent = catalogue.is_known() && !self.uncertain;
        (!absent).then(|| Place::named(QualifiedName::unresolved(text)))
    }

    /// The path is not known: the name may be in any schema that has it.
    fn anywhere(&self, name: &Name) -> Option<Place> {
        let place = self.stale(None, name.as_str());
        let absent = place.candidates.is_empty()
            && self.scope.catalogue.is_known()
            && !self.uncertain
            && !self.temporary.contains(name);
        (!absent).then_some(place)
    }

    /// The schema that a new object without one is made in.
    pub(super) fn creation_schema(&self) -> Part {
        match (&self.path, &self.scope.assume) {
            (SearchPath::Known(path), _) => path.first().map_or(Part::Unknown, |schema| Part::Known(schema.clone())),
            (SearchPath::Unknown, Some(schema)) => Part::Known(schema.clone()),
            (SearchPath::Unknown, None) => Part::Unknown,
        }
    }

    /// The full name of a new object; parts as in the text.
    pub(super) fn creation(&self, parts: &[&str]) -> QualifiedName {
        match parts {
            [.., schema, name] => QualifiedName::new(*schema, *name),
            [name] => QualifiedName { schema: self.creation_schema(), name: Part::known(*name) },
            [] => QualifiedName::unknown(),
        }
    }

    /// The full name of an object that is no relation and should exist.
    pub(super) fn existing(&self, parts: &[&str]) -> QualifiedName {
        match (parts, &self.path) {
            ([_], SearchPath::Known(path)) if path.len() == 1 => self.creation(parts),
            ([name], _) => QualifiedName::unresolved(*name),
            _ => self.creation(parts),
        }
    }

    /// Whether unqualified names are looked up in this schema.
    fn reaches(&self, schema: &Name) -> bool {
        match &self.path {
            SearchPath::Known(path) => path.contains(schema),
            SearchPath::Unknown => true,
        }
    }

    /// Who answers a call of this name.
    pub(super) fn function(&self, schema: Option<&str>, name: &str) -> Callee {
        match schema {
            Some(CATALOGUE) => Self::builtin(CATALOGUE, name),
            Some("information_schema") => Self::builtin("information_schema", name),
            Some(schema) => Callee { user: vec![QualifiedName::new(schema, name)], ..Callee::default() },
            None => {
                let mut callee = Callee {
                    builtin: builtins::function_in(CATALOGUE, name),
                    builtin_schema: CATALOGUE,
                    ..Callee::default()
                };
                for function in self.scope.catalogue.functions_named(name) {
                    if !self.searches() {
                        break;
                    }
                    let full = QualifiedName::new(function.schema.as_str(), function.name.as_str());
                    if self.reaches(&function.schema) && !callee.user.contains(&full) {
                        callee.user.push(full);
                    }
                }
                if callee.user.is_empty() && callee.builtin.is_none() {
                    callee.user.push(QualifiedName::unresolved(name));
                }
                callee
            }
        }
    }

    fn builtin(schema: &'static str, name: &str) -> Callee {
        let builtin = builtins::function_in(schema, name);
        let user = if builtin.is_none() { vec![QualifiedName::new(schema, name)] } else { Vec::new() };
        Callee { user, builtin, builtin_schema: schema }
    }

    /// The functions that a use of the operator runs.
    pub(super) fn operator(&self, schema: Option<&str>, symbol: &str) -> Vec<QualifiedName> {
        let catalogue = &self.scope.catalogue;
        if schema == Some(CATALOGUE) {
            return Vec::new();
        }
        let operators = catalogue.operators_named(symbol);
        let meant = operators.iter().filter(|operator| match schema {
            Some(schema) => operator.schema.as_str() == schema,
            None => self.reaches(&operator.schema),
        });
        let mut names: Vec<_> = meant.map(|operator| self.function_name(operator.function)).collect();
        // An operator that neither the server nor the catalogue has runs whatever it was made of.
        if names.is_empty() && (schema.is_some() || !builtins::is_builtin_operator(symbol)) {
            names.push(QualifiedName::unknown());
        }
        names
    }

    /// The full name of a user function.
    pub(super) fn function_name(&self, oid: Oid) -> QualifiedName {
        self.scope.catalogue.function(oid).map_or_else(QualifiedName::unknown, |function| {
            QualifiedName::new(function.schema.as_str(), function.name.as_str())
        })
    }

    /// The user types that a type's name can mean.
    pub(super) fn types(&self, parts: &[&str]) -> Vec<Arc<Type>> {
        let catalogue = &self.scope.catalogue;
        let tried = match (parts, &self.path) {
            ([_], SearchPath::Known(path)) => path.len(),
            ([_], SearchPath::Unknown) => catalogue.relations().size_hint().0,
            _ => 0,
        };
        if !self.steps.take(1 + tried) {
            return Vec::new();
        }
        let at = |schema: &Name, name: &str| catalogue.type_named(schema, &Name::canonical(name)).map(Arc::clone);
        match (parts, &self.path) {
            // The grammar itself writes the schema of `json`; servers before 17 look the name up.
            ([CATALOGUE, "json"], _) => {
                let mut found = self.types(&["json"]);
                found.extend(at(&Name::canonical(CATALOGUE), "json"));
                found
            }
            ([.., schema, name], _) => at(&Name::canonical(*schema), name).into_iter().collect(),
            ([name], SearchPath::Known(path)) => path.iter().filter_map(|schema| at(schema, name)).collect(),
            // Types cannot be listed by bare name: every schema that has a relation or function is tried.
            ([name], SearchPath::Unknown) => {
                let schemas: BTreeSet<_> = catalogue
                    .relations()
                    .map(|relation| relation.schema.clone())
                    .chain(catalogue.functions().map(|function| function.schema.clone()))
                    .collect();
                schemas.iter().filter_map(|schema| at(schema, name)).collect()
            }
            ([], _) => Vec::new(),
        }
    }
}
