//! The columns of an item of the range table: which names it owns, and what a restriction of one says about its rows.
//!
//! A column of a query restricts the query's rows only where it is a column of the rows below, unchanged, and all rows
//! below are restricted with it: `1 AS one` says nothing. Promises: a name that is not certainly the item's is doubted.
//! Held by: `fixtures/sql/bounds.tsv`.

use crate::builtins::{self, FunctionClass, RowShape};
use crate::postgres::names;
use crate::postgres::query::{function_name, last, output_name};
use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, Node, RangeFunction};
use portcullis_model::catalogue::{Column, Oid, Relation};
use std::borrow::Cow;
use std::sync::Arc;

const SYSTEM: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

/// Element types whose arrays `unnest` makes into one column.
const SCALARS: [&str; 12] = [
    "int2",
    "int4",
    "int8",
    "numeric",
    "float8",
    "bool",
    "text",
    "varchar",
    "uuid",
    "date",
    "timestamp",
    "timestamptz",
];

/// One column that a query gives.
#[derive(Clone, Debug)]
pub(super) struct Output<'t> {
    pub(super) name: Cow<'t, str>,
    /// A restriction of it restricts the rows of the query.
    pub(super) narrows: bool,
    /// Made anew in each round of a recursion: it may have any number of values.
    pub(super) made: bool,
    /// One value may hold more than its row has: it is gathered from rows that no condition restricts.
    pub(super) heaped: bool,
    pub(super) type_oid: Option<Oid>,
}

/// What an item may have beside the columns that are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Nothing,
    /// Columns of a table that no catalogue tells.
    Table {
        narrows: bool,
    },
    Anything,
}

/// What is known of an item's columns.
#[derive(Clone, Debug)]
pub(super) enum Columns<'t> {
    /// Those of a relation that the catalogue describes, the first ones under other names.
    Relation(Arc<Relation>, Vec<&'t str>),
    Listed(Vec<Output<'t>>, More),
    /// Those of a table that no catalogue tells.
    Untold,
    /// Only qualified names mean them.
    Qualified,
}

impl<'t> Columns<'t> {
    pub(super) fn unknown() -> Self {
        Self::Listed(Vec::new(), More::Anything)
    }

    /// How many columns it is known to have.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Relation(relation, _) => relation.columns.len(),
            Self::Listed(outputs, _) => outputs.len(),
            Self::Untold | Self::Qualified => 0,
        }
    }

    /// What a copy of it is made of.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Listed(outputs, _) => 1 + 4 * outputs.len(),
            Self::Relation(_, renamed) => 1 + renamed.len() / 2,
            Self::Untold | Self::Qualified => 1,
        }
    }

    /// Whether there is a column of this name; `None` where that is not certain.
    pub(super) fn knows(&self, name: &str) -> Option<bool> {
        match self {
            Self::Relation(relation, renamed) => {
                Some(SYSTEM.contains(&name) || shown(relation, renamed).any(|(shown, _)| shown == name))
            }
            Self::Listed(outputs, more) => match (outputs.iter().any(|output| output.name == name), more) {
                (true, _) => Some(true),
                (false, More::Nothing) => Some(false),
                (false, More::Table { .. } | More::Anything) => None,
            },
            Self::Untold => None,
            Self::Qualified => Some(false),
        }
    }

    /// Whether nothing at all is told of what else there may be.
    pub(super) fn is_opaque(&self) -> bool {
        matches!(self, Self::Listed(_, More::Anything))
    }

    /// Whether a restriction of the column restricts the item's rows.
    pub(super) fn narrows(&self, name: &str) -> bool {
        match self {
            Self::Relation(relation, renamed) => !column(relation, renamed, name).is_some_and(is_fixed),
            Self::Untold | Self::Qualified => true,
            Self::Listed(outputs, more) => {
                let mut named = outputs.iter().filter(|output| output.name == name).peekable();
                match named.peek() {
                    Some(_) => named.all(|output| output.narrows),
                    None => matches!(more, More::Table { narrows: true }),
                }
            }
        }
    }

    /// Whether the column, or with no name any of them, is made anew in each round of a recursion.
    pub(super) fn made(&self, name: Option<&str>) -> bool {
        match self {
            Self::Relation(..) | Self::Untold | Self::Qualified => false,
            Self::Listed(outputs, _) => {
                outputs.iter().any(|output| output.made && name.is_none_or(|name| output.name == name))
            }
        }
    }

    /// Whether a value of the column, or with no name one of any, may hold more than its row has.
    pub(super) fn heaped(&self, name: Option<&str>) -> bool {
        match self {
            Self::Relation(..) | Self::Untold | Self::Qualified => false,
            Self::Listed(outputs, more) => {
                let mut named = outputs.iter().filter(|output| name.is_none_or(|name| output.name == name)).peekable();
                let untold = *more == More::Anything && (name.is_none() || named.peek().is_none());
                untold || named.any(|output| output.heaped)
            }
        }
    }

    pub(super) fn type_oid(&self, name: &str) -> Option<Oid> {
        match self {
            Self::Relation(relation, renamed) => {
                shown(relation, renamed).find(|(shown, _)| *shown == name).map(|(_, type_oid)| type_oid)
            }
            Self::Listed(outputs, _) => outputs.iter().find(|output| output.name == name)?.type_oid,
            Self::Untold | Self::Qualified => None,
        }
    }

    /// The columns under the names that an alias gives them.
    pub(super) fn renamed(self, colnames: &'t [Node]) -> Self {
        let Some(names) = names::strings(colnames) else { return Self::unknown() };
        if names.is_empty() {
            return self;
        }
        let named = |narrows: bool| {
            let output = |name: &&'t str| Output {
                name: Cow::Borrowed(*name),
                narrows,
                made: false,
                heaped: false,
                type_oid: None,
            };
            names.iter().map(output).collect::<Vec<_>>()
        };
        match self {
            Self::Relation(relation, _) => Self::Relation(relation, names),
            Self::Listed(mut outputs, More::Nothing) => {
                for (output, name) in outputs.iter_mut().zip(&names) {
                    output.name = Cow::Borrowed(*name);
                }
                Self::Listed(outputs, More::Nothing)
            }
            // Which column is which is not known.
            Self::Listed(outputs, _) => {
                let made = outputs.iter().any(|output| output.made);
                let mut renamed = named(false);
                renamed.iter_mut().for_each(|output| (output.made, output.heaped) = (made, true));
                Self::Listed(renamed, More::Anything)
            }
            Self::Untold => Self::Listed(named(true), More::Table { narrows: true }),
            Self::Qualified => Self::Qualified,
        }
    }

    /// What `*` gives of the item, where a restriction of it restricts the rows of the query or not.
    pub(super) fn star(&self, restricts: bool) -> (Vec<Output<'t>>, More) {
        match self {
            Self::Relation(relation, renamed) => {
                let output = |((name, type_oid), column): ((&str, Oid), &Column)| Output {
                    name: Cow::Owned(name.to_owned()),
                    narrows: restricts && !is_fixed(column),
                    made: false,
                    heaped: false,
                    type_oid: Some(type_oid),
                };
                (shown(relation, renamed).zip(&relation.columns).map(output).collect(), More::Nothing)
            }
            Self::Listed(outputs, more) => {
                let mut outputs = outputs.clone();
                outputs.iter_mut().for_each(|output| output.narrows &= restricts);
                let more = match more {
                    More::Table { narrows } => More::Table { narrows: *narrows && restricts },
                    More::Nothing | More::Anything => *more,
                };
                (outputs, more)
            }
            Self::Untold => (Vec::new(), More::Table { narrows: restricts }),
            Self::Qualified => (Vec::new(), More::Anything),
        }
    }

    /// The columns of two queries one below the other.
    pub(super) fn both(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Listed(mut outputs, More::Nothing), Self::Listed(others, More::Nothing)) => {
                for (output, other) in outputs.iter_mut().zip(others) {
                    output.narrows &= other.narrows;
                    output.made |= other.made;
                    output.heaped |= other.heaped;
                }
                Self::Listed(outputs, More::Nothing)
            }
            (Self::Listed(mut outputs, _), other) => {
                let made = other.made(None);
                for output in &mut outputs {
                    output.narrows = false;
                    output.made |= made;
                    output.heaped = true;
                }
                Self::Listed(outputs, More::Table { narrows: false })
            }
            (columns, _) => columns,
        }
    }
}

fn shown<'r>(relation: &'r Relation, renamed: &'r [&'r str]) -> impl Iterator<Item = (&'r str, Oid)> {
    relation
        .columns
        .iter()
        .enumerate()
        .map(move |(at, column)| (renamed.get(at).copied().unwrap_or_else(|| column.name.as_str()), column.type_oid))
}

/// The column of a relation that is called so here.
fn column<'r>(relation: &'r Relation, renamed: &[&str], name: &str) -> Option<&'r Column> {
    let at = shown(relation, renamed).position(|(shown, _)| shown == name)?;
    relation.columns.get(at)
}

/// Whether every row has the same in the column, since it is generated from no other.
fn is_fixed(column: &Column) -> bool {
    column.generated.is_some() && column.derived.as_ref().is_none_or(|derived| derived.sources.columns().is_empty())
}

/// The name of an output column, where the server's choice of it is certain.
pub(super) fn certain_name(value: Option<&NodeEnum>) -> Option<&str> {
    match value? {
        NodeEnum::TypeCast(cast) => {
            certain_name(cast.arg.as_deref()?.node.as_ref())?;
        }
        NodeEnum::CollateClause(collate) => return certain_name(collate.arg.as_deref()?.node.as_ref()),
        NodeEnum::AExpr(operation) if operation.kind() == AExprKind::AexprNullif => return None,
        NodeEnum::ColumnRef(_)
        | NodeEnum::FuncCall(_)
        | NodeEnum::CoalesceExpr(_)
        | NodeEnum::AConst(_)
        | NodeEnum::ParamRef(_)
        | NodeEnum::BoolExpr(_)
        | NodeEnum::NullTest(_)
        | NodeEnum::AArrayExpr(_)
        | NodeEnum::AExpr(_) => {}
        _ => return None,
    }
    Some(output_name(value))
}

/// What a function in FROM is called, and its columns. None of them restricts the rows.
pub(super) fn of_function<'t>(function: &'t RangeFunction, user: impl Fn(&str) -> bool) -> (&'t str, Columns<'t>) {
    let given = function.alias.as_ref().map(|alias| alias.aliasname.as_str());
    let called = given.unwrap_or_else(|| function_name(&function.functions));
    let output = |name: &'t str| Output {
        name: Cow::Borrowed(name),
        narrows: false,
        made: false,
        heaped: false,
        type_oid: None,
    };
    let defined = function.coldeflist.iter().filter_map(|column| match &column.node {
        Some(NodeEnum::ColumnDef(column)) => Some(output(&column.colname)),
        _ => None,
    });
    let mut outputs: Vec<_> = defined.collect();
    let mut more = More::Nothing;
    if outputs.is_empty() {
        match alone(&function.functions).and_then(|call| shape(call, &user)) {
            Some(RowShape::Single) => outputs.push(output(called)),
            Some(RowShape::Named(names)) => outputs.extend(names.split(',').map(output)),
            Some(RowShape::Open) | None => more = More::Anything,
        }
    }
    if function.ordinality {
        outputs.push(output("ordinality"));
    }
    let colnames = function.alias.as_ref().map(|alias| alias.colnames.as_slice()).unwrap_or_default();
    (called, Columns::Listed(outputs, more).renamed(colnames))
}

/// The only call of a function in FROM.
fn alone(functions: &[Node]) -> Option<&pg_query::protobuf::FuncCall> {
    let [only] = functions else { return None };
    let Some(NodeEnum::List(list)) = &only.node else { return None };
    match list.items.first()?.node.as_ref()? {
        NodeEnum::FuncCall(call) => Some(call),
        _ => None,
    }
}

fn shape(call: &pg_query::protobuf::FuncCall, user: &impl Fn(&str) -> bool) -> Option<RowShape> {
    let name = last(&call.funcname);
    if user(name) || builtins::function(name) != Some(FunctionClass::Pure) {
        return None;
    }
    match (builtins::flows(name).rows, call.args.as_slice()) {
        (Some(RowShape::Open), [arg]) if name == "unnest" => match arg.node.as_ref()? {
            NodeEnum::TypeCast(cast) => {
                SCALARS.contains(&last(&cast.type_name.as_ref()?.names)).then_some(RowShape::Single)
            }
            _ => None,
        },
        (Some(shape), _) => Some(shape),
        // What is no set is one value, unless it is a record.
        (None, _) => (!name.contains("record") && !name.starts_with("pg_")).then_some(RowShape::Single),
    }
}
