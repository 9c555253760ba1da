//! The SELECT that counts what a statement would write, made of the statement's own FROM and WHERE.
//!
//! Promises: a row that several rows join is counted once; every name in the SELECT means what it means in the statement,
//! and where one would not (a write never goes to a WITH query, whatever its name), there is no such text; nor where what
//! was made into text reads back as anything else.
//! Does not promise that what it makes only reads: whoever gives it out reads it again.
//! Held by: `tests/it/preview.rs`.

use super::super::parse;
use pg_query::protobuf::{InsertStmt, Node, ParseResult, RangeVar, SelectStmt, WithClause};
use pg_query::{DeparseOptions, NodeEnum};

/// The text that counts what this would write.
pub(super) fn count_of(node: &NodeEnum) -> Option<String> {
    let (parts, joined, target) = match node {
        NodeEnum::DeleteStmt(delete) => {
            let parts = (&delete.using_clause, &delete.where_clause, &delete.with_clause);
            (parts, !delete.using_clause.is_empty(), delete.relation.as_ref()?)
        }
        NodeEnum::UpdateStmt(update) => {
            let parts = (&update.from_clause, &update.where_clause, &update.with_clause);
            (parts, !update.from_clause.is_empty(), update.relation.as_ref()?)
        }
        NodeEnum::InsertStmt(insert) => return count_of_insert(insert),
        // A MERGE does one thing or another with each pair of rows.
        _ => return None,
    };
    let (from, condition, with) = parts;
    if hides(with.as_ref(), target) {
        return None;
    }
    // A row that several rows join is written once.
    let what = if joined { format!("DISTINCT ({0}.tableoid, {0}.ctid)", quoted(target)) } else { "*".to_owned() };
    let mut tree = parse::parse(&format!("SELECT pg_catalog.count({what})")).ok()?;
    let select = select_of(&mut tree)?;
    select.from_clause.push(Node { node: Some(NodeEnum::RangeVar(target.clone())) });
    select.from_clause.extend(from.iter().cloned());
    select.where_clause.clone_from(condition);
    select.with_clause.clone_from(with);
    deparsed(&tree)
}

/// Whether a SELECT would find a query of WITH under the name of the table that is written to.
fn hides(with: Option<&WithClause>, target: &RangeVar) -> bool {
    let named = |query: &Node| match &query.node {
        Some(NodeEnum::CommonTableExpr(query)) => query.ctename == target.relname,
        Some(_) | None => true,
    };
    target.schemaname.is_empty() && with.is_some_and(|with| with.ctes.iter().any(named))
}

fn count_of_insert(insert: &InsertStmt) -> Option<String> {
    if insert.on_conflict_clause.is_some() {
        return None;
    }
    let mut tree = parse::parse("SELECT pg_catalog.count(*) FROM (SELECT 1) rows").ok()?;
    let select = select_of(&mut tree)?;
    select.with_clause.clone_from(&insert.with_clause);
    match &mut select.from_clause.first_mut()?.node {
        Some(NodeEnum::RangeSubselect(source)) => source.subquery.clone_from(&insert.select_stmt),
        _ => return None,
    }
    deparsed(&tree)
}

fn select_of(tree: &mut ParseResult) -> Option<&mut SelectStmt> {
    match tree.stmts.first_mut()?.stmt.as_mut()?.node.as_mut()? {
        NodeEnum::SelectStmt(select) => Some(select),
        _ => None,
    }
}

/// The name by which the rest of the statement knows its target.
fn quoted(target: &RangeVar) -> String {
    let name = target.alias.as_ref().map_or(&target.relname, |alias| &alias.aliasname);
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text that reads back as this tree: the deparser's word is not taken for what it prints.
fn deparsed(tree: &ParseResult) -> Option<String> {
    let text = pg_query::deparse(tree, DeparseOptions::default()).ok()?;
    let again = parse::parse(&text).ok()?;
    (unplaced(tree) == unplaced(&again)).then_some(text)
}

/// Everything that a tree says but where in its text it stands.
fn unplaced(tree: &ParseResult) -> String {
    const PLACES: [&str; 4] = ["location: ", "stmt_len: ", "list_start: ", "list_end: "];
    let mut kept = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in format!("{:?}", tree.stmts).chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            quoted = true;
        } else if (c.is_ascii_digit() || c == '-') && PLACES.iter().any(|place| kept.ends_with(place)) {
            continue;
        }
        kept.push(c);
    }
    kept
}
