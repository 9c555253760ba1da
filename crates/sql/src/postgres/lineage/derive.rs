//! What flows into the columns of views, materialised views and generated columns, from the texts that the server keeps
//! of them.
//!
//! The texts are read as `pg_get_viewdef` and `pg_get_expr` write them under an empty search path: what is not
//! qualified is in `pg_catalog`. A view that reads a view refers to that one's columns. Promises: a text that cannot be
//! followed leaves its columns unknown. Does not promise that a view's conditions are told: they decide which rows it
//! has, the same for everybody who reads it.
//! Held by: `tests/it/lineage.rs`.

use super::Tracer;
use super::flow::{Columns, Flow, Rows, Value};
use super::range::Item;
use crate::postgres::{names, names::Standing, parse, stack_needed};
use crate::scope::{Scope, SearchPath};
use pg_query::protobuf::ParseResult;
use portcullis_model::Catalogue;
use portcullis_model::catalogue::{Contents, Derived, RelKind, Relation};
use std::sync::Arc;

/// Fills in [`portcullis_model::catalogue::Column::derived`] of every column that the server computes from others.
pub(crate) fn derive(contents: &mut Contents) {
    let catalogue = Arc::new(Catalogue::new(0, contents.clone()));
    let scope = Scope {
        catalogue: Arc::clone(&catalogue),
        search_path: SearchPath::Known(Arc::new([])),
        uncertain: false,
        ..Scope::unknown()
    };
    let standing = Standing::new(&scope);
    for relation in contents.relations.iter_mut().filter(|relation| is_of_users(relation)) {
        if matches!(relation.kind, RelKind::View | RelKind::MaterializedView) {
            view(relation, &standing);
        }
        if relation.columns.iter().any(|column| column.generated.is_some())
            && let Some(whole) = catalogue.relation(relation.oid)
        {
            generated(relation, whole, &standing);
        }
    }
}

/// Those of the server's own are told by its list instead.
fn is_of_users(relation: &Relation) -> bool {
    !matches!(relation.schema.as_str(), names::CATALOGUE | "information_schema")
}

fn view(relation: &mut Relation, standing: &Standing<'_>) {
    let definition = relation.definition.clone();
    let columns = definition.and_then(|text| {
        followed(&text, standing, |tracer, tree| {
            let node = tree.stmts.first()?.stmt.as_ref()?.node.as_ref()?;
            Some(tracer.query(node.to_ref()))
        })
    });
    let columns = columns.unwrap_or_else(|| Columns::open(Flow::unknown()));
    let fits = columns.rest.is_none() && columns.list.len() == relation.columns.len();
    if fits {
        for (column, found) in relation.columns.iter_mut().zip(columns.list) {
            column.derived = Some(derived(found.value));
        }
    } else {
        let all = Value::of(columns.all().with(&Flow::unknown()));
        for column in &mut relation.columns {
            column.derived = Some(derived(all.clone()));
        }
    }
}

fn generated(relation: &mut Relation, whole: &Arc<Relation>, standing: &Standing<'_>) {
    for column in &mut relation.columns {
        let Some(expression) = &column.generated else { continue };
        let value = followed(&format!("SELECT {expression}"), standing, |tracer, tree| {
            let select = match tree.stmts.first()?.stmt.as_ref()?.node.as_ref()? {
                pg_query::NodeEnum::SelectStmt(select) => select,
                _ => return None,
            };
            tracer.enter();
            let nature = tracer.nature(whole);
            tracer.push(Item::new(whole.name.as_str(), Rows::Relation(Arc::clone(whole), nature)));
            let outputs = tracer.outputs(&select.target_list);
            Some(Value::of(outputs.all()))
        });
        column.derived = Some(derived(value.unwrap_or_else(|| Value::of(Flow::unknown()))));
    }
}

fn derived(value: Value) -> Derived {
    let exact = value.exact && value.flow.only().is_some();
    Derived { sources: value.flow.sources(), exact }
}

/// Parses a text and follows it.
fn followed<R>(
    text: &str,
    standing: &Standing<'_>,
    follow: impl for<'t> FnOnce(&mut Tracer<'_, 't>, &'t ParseResult) -> Option<R>,
) -> Option<R> {
    stacker::maybe_grow(stack_needed(text), parse::STACK_BYTES, || {
        let tree = parse::parse(text).ok()?;
        follow(&mut Tracer::new(standing, text), &tree)
    })
}
