//! What stands in FROM: relations, WITH entries, queries, functions, tables of JSON and XML.
//!
//! Promises: arguments of functions are conditions, since they decide how many rows come; a function whose columns are
//! not known has open ones, into each of which everything about it flows. Held by: `fixtures/sql/lineage.tsv`.

use super::flow::{Column, Columns, Flow, Nature, Rows, Value};
use super::range::{Item, listed};
use super::{Tracer, kind};
use crate::builtins::{self, CatalogueRelation, RowShape};
use crate::postgres::names::{self, CATALOGUE, Place};
use crate::postgres::query::{function_name, last};
use pg_query::protobuf::{self, Alias, FuncCall, Node, RangeVar};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::catalogue::{RelKind, Relation};
use portcullis_model::{Name, Part};
use std::sync::Arc;

/// The first item in sight where none is.
const NOTHING: usize = usize::MAX;

fn alias_names(alias: Option<&Alias>) -> Vec<Name> {
    let parts = alias.and_then(|alias| names::strings(&alias.colnames)).unwrap_or_default();
    parts.into_iter().map(Name::canonical).collect()
}

fn alias_name(alias: Option<&Alias>) -> &str {
    alias.map_or("", |alias| alias.aliasname.as_str())
}

impl<'t> Tracer<'_, 't> {
    /// Follows an item of FROM into the range table.
    pub(super) fn source_item(&mut self, node: &'t Node) {
        match &node.node {
            Some(NodeEnum::RangeVar(range)) => self.relation_item(range),
            Some(NodeEnum::RangeSubselect(sub)) => {
                let from = if sub.lateral { 0 } else { NOTHING };
                let columns = self.seeing(from, |tracer| tracer.query_node(sub.subquery.as_deref()));
                let alias = sub.alias.as_ref();
                self.push(Item { renamed: alias_names(alias), ..Item::columns(alias_name(alias), columns) });
            }
            Some(NodeEnum::RangeFunction(function)) => self.function_item(function),
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            Some(NodeEnum::RangeTableSample(sample)) => {
                self.decide_all(&sample.args);
                self.decides(sample.repeatable.as_deref());
                self.unknown |= !matches!(
                    names::strings(&sample.method).as_deref(),
                    Some(["bernoulli" | "system"] | [CATALOGUE, "bernoulli" | "system"])
                );
                if let Some(relation) = sample.relation.as_deref() {
                    self.source_item(relation);
                }
            }
            Some(NodeEnum::RangeTableFunc(table)) => {
                let flow = self.below(NodeRef::RangeTableFunc(table));
                let names = table.columns.iter().filter_map(|column| match &column.node {
                    Some(NodeEnum::RangeTableFuncCol(column)) => Some(Name::canonical(column.colname.as_str())),
                    _ => None,
                });
                self.computed_item(table.alias.as_ref(), "xmltable", names, &flow);
            }
            Some(NodeEnum::JsonTable(table)) => {
                let flow = self.below(NodeRef::JsonTable(table));
                let mut names = Vec::new();
                json_columns(&table.columns, &mut names);
                self.computed_item(table.alias.as_ref(), "json_table", names, &flow);
            }
            Some(_) => {
                self.unknown = true;
                let flow = self.value(Some(node)).flow.with(&Flow::unknown());
                self.push(Item::columns("", Columns::open(flow)));
            }
            None => {}
        }
    }

    /// Rows made of one document.
    fn computed_item(
        &mut self,
        alias: Option<&Alias>,
        otherwise: &str,
        names: impl IntoIterator<Item = Name>,
        flow: &Flow,
    ) {
        self.risk(flow);
        let name = alias.map_or(otherwise, |alias| alias.aliasname.as_str());
        let columns = Columns { list: listed(names, flow), rest: None };
        self.standing.steps.take(columns.weight());
        self.push(Item { renamed: alias_names(alias), ..Item::columns(name, columns) });
    }

    /// A relation or WITH entry.
    fn relation_item(&mut self, range: &'t RangeVar) {
        let alias = range.alias.as_ref();
        let columns = if range.schemaname.is_empty() { self.cte(&range.relname) } else { None };
        match columns {
            Some(columns) => {
                let name = alias.map_or(range.relname.as_str(), |alias| alias.aliasname.as_str());
                self.push(Item { renamed: alias_names(alias), ..Item::new(name, Rows::Columns(columns)) });
            }
            None => {
                let item = self.relation(range).0;
                self.push(item);
            }
        }
    }

    /// A relation that is no WITH entry, as it stands in a range table, and what the catalogue has of it.
    pub(super) fn relation(&mut self, range: &RangeVar) -> (Item, Option<Arc<Relation>>) {
        let place = self.standing.range(range);
        let alias = range.alias.as_ref();
        let name = alias.map_or(range.relname.as_str(), |alias| alias.aliasname.as_str());
        let schema = match (alias, &place) {
            (Some(_), _) => None,
            (None, Some(Place { name, .. })) => match &name.schema {
                Part::Known(schema) => Some(Some(schema.clone())),
                Part::Unknown => Some(None),
            },
            (None, None) => Some(None),
        };
        let relation = place.as_ref().and_then(|place| place.relation.clone());
        let rows = self.rows(place, &range.relname);
        (Item { schema, renamed: alias_names(alias), ..Item::new(name, rows) }, relation)
    }

    /// The rows of what a name means.
    fn rows(&mut self, place: Option<Place>, name: &str) -> Rows {
        let open = |flow| Rows::Columns(Columns::open(flow).into());
        let Some(place) = place else {
            self.unknown = true;
            return open(Flow::unknown());
        };
        if let Some(relation) = place.relation {
            let nature = self.nature(&relation);
            return Rows::Relation(relation, nature);
        }
        if crate::postgres::reader::describes(&place) {
            return open(Flow::none());
        }
        let any: Vec<_> = place
            .candidates
            .into_iter()
            .map(|relation| {
                let nature = self.nature(&relation);
                (relation, nature)
            })
            .collect();
        // The path is not known, but nothing has been made or changed: it is one of these.
        let standing = self.standing;
        let certain = standing.scope.catalogue.is_known()
            && !standing.uncertain
            && !standing.forgotten
            && !standing.touched.contains(name)
            && !standing.temporary.contains(name);
        if certain && !any.is_empty() {
            return match any.as_slice() {
                [(relation, nature)] => Rows::Relation(Arc::clone(relation), *nature),
                _ => Rows::AnyOf(any),
            };
        }
        self.unknown = true;
        open(Rows::AnyOf(any).all().with(&Flow::unknown()))
    }

    /// What reading the relation gives; it is noted as named.
    pub(super) fn nature(&mut self, relation: &Relation) -> Nature {
        self.relations.insert(relation.oid);
        let schema = relation.schema.as_str();
        let nature = match schema {
            CATALOGUE | "information_schema" => match builtins::catalogue_relation(schema, relation.name.as_str()) {
                // Reading what the server counts needs a rule, and tells no value of a column.
                CatalogueRelation::Describes | CatalogueRelation::Counts => Nature::Clean,
                CatalogueRelation::Sensitive | CatalogueRelation::Unknown => Nature::Unknown,
            },
            _ if schema.starts_with("pg_toast") || relation.kind == RelKind::Toast => Nature::Unknown,
            _ => Nature::Stored,
        };
        self.unknown |= nature == Nature::Unknown;
        nature
    }

    /// Functions in FROM, one or several side by side.
    fn function_item(&mut self, item: &'t protobuf::RangeFunction) {
        let alias = item.alias.as_ref();
        let single = item.functions.len() == 1 && !item.is_rowsfrom;
        let mut columns = Columns::default();
        for function in &item.functions {
            let Some(NodeEnum::List(parts)) = &function.node else {
                columns = Columns::open(Flow::unknown());
                continue;
            };
            let own = parts.items.get(1).and_then(|list| match &list.node {
                Some(NodeEnum::List(list)) => Some(list.items.as_slice()),
                _ => None,
            });
            let defined = own.filter(|list| !list.is_empty()).unwrap_or(&item.coldeflist);
            let more = self.function_columns(parts.items.first(), defined, alias.filter(|_| single));
            let open = columns.rest.is_some() || more.rest.is_some();
            if open {
                columns = Columns::open(columns.all().with(&more.all()));
            } else {
                columns.list.extend(more.list);
            }
        }
        if item.ordinality && columns.rest.is_none() {
            columns.list.push(Column { name: Name::canonical("ordinality"), value: kind::ordinal() });
        }
        self.standing.steps.take(columns.weight());
        let name = alias.map_or_else(|| function_name(&item.functions), |alias| alias.aliasname.as_str());
        self.push(Item { renamed: alias_names(alias), ..Item::columns(name, columns) });
    }

    /// The columns that one function in FROM gives.
    fn function_columns(&mut self, node: Option<&'t Node>, defined: &'t [Node], alias: Option<&Alias>) -> Columns {
        let Some(NodeEnum::FuncCall(call)) = node.and_then(|node| node.node.as_ref()) else {
            let flow = self.value(node).flow;
            self.condition(&flow);
            return Columns::open(flow);
        };
        let (value, arguments) = self.called(call);
        self.condition(&arguments);
        let Value { flow, type_oid, tame, collation, size, .. } = value;
        if !defined.is_empty() {
            let types = self.all_values(defined);
            let names = defined.iter().filter_map(|node| match &node.node {
                Some(NodeEnum::ColumnDef(column)) => Some(Name::canonical(column.colname.as_str())),
                _ => None,
            });
            return Columns { list: listed(names, &flow.with(&types)), rest: None };
        }
        let own = last(&call.funcname);
        let scalar = alias.map_or(own, |alias| alias.aliasname.as_str());
        match self.row_shape(call) {
            Some(RowShape::Single) => {
                let value = Value { type_oid, tame, collation, size, ..Value::of(flow) };
                Columns { list: vec![Column { name: Name::canonical(scalar), value }], rest: None }
            }
            Some(RowShape::Named(names)) => {
                Columns { list: listed(names.split(',').map(Name::canonical), &flow), rest: None }
            }
            Some(RowShape::Open) | None => Columns::open(flow),
        }
    }

    /// A column of a built-in type, which is an array where it can be unnested.
    fn is_builtin_array(&mut self, node: &'t Node) -> bool {
        matches!(node.node, Some(NodeEnum::ColumnRef(_))) && {
            let value = self.value(Some(node));
            super::operator::is_builtin_column(&value) && value.type_oid != RECORDS
        }
    }

    /// What rows a built-in function gives, where that is told by its name.
    fn row_shape(&mut self, call: &'t FuncCall) -> Option<RowShape> {
        let parts = names::strings(&call.funcname)?;
        let (schema, name) = names::split(&parts)?;
        let callee = self.standing.function(schema, name);
        if !callee.user.is_empty() || callee.builtin_schema != CATALOGUE {
            return None;
        }
        // An array of rows is unnested into their fields.
        if name == "unnest" {
            let [array] = call.args.as_slice() else { return None };
            return (is_plain_array(array) || self.is_builtin_array(array)).then_some(RowShape::Single);
        }
        builtins::flows(name).rows
    }
}

/// `record[]`.
const RECORDS: u32 = 2287;

/// An array of a built-in type, as it is written.
fn is_plain_array(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AArrayExpr(array)) => {
            array.elements.iter().all(|item| matches!(item.node, Some(NodeEnum::AConst(_))))
        }
        Some(NodeEnum::TypeCast(cast)) => cast.type_name.as_ref().is_some_and(|name| {
            let parts = names::strings(&name.names).unwrap_or_default();
            !name.array_bounds.is_empty()
                && matches!(parts.as_slice(), [CATALOGUE, _] | ["text" | "uuid" | "date" | "jsonb"])
        }),
        _ => false,
    }
}

/// The columns of JSON_TABLE, nested ones behind those around them.
fn json_columns(nodes: &[Node], names: &mut Vec<Name>) {
    for node in nodes {
        if let Some(NodeEnum::JsonTableColumn(column)) = &node.node {
            if column.columns.is_empty() {
                names.push(Name::canonical(column.name.as_str()));
            }
            json_columns(&column.columns, names);
        }
    }
}
