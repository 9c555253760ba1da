//! Every part of a statement that is to be asked about: what it calls by name, and whether it could tell a preview from
//! itself.
//!
//! Promises: no type that users defined passes, no `=` of theirs in sight, no sample of a table, and nothing that is
//! different for another session of the same role ([`Sight::Session`]); every bare or qualified name that may mean a
//! function, an operator or a type is told to whoever asks the database, names behind a dot included.
//! Does not promise to see a time of the transaction that is made of text as the statement runs (`'n' || 'ow'`).
//! Held by: `tests/it/preview.rs`.

use super::super::children::children;
use super::super::names::{Standing, strings};
use super::Untold;
use crate::builtins::{self, Sight};
use pg_query::protobuf::{Node, SqlValueFunctionOp, TypeName, a_const};
use pg_query::{NodeEnum, NodeRef};
use std::collections::BTreeSet;

/// Operators that the grammar stands for without naming them: IN, BETWEEN, USING, CASE, DISTINCT, ORDER BY.
const IMPLIED: [&str; 6] = ["<", "<=", "<>", "=", ">", ">="];

/// Words that are the time of the transaction where they become one.
const TIMES: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// What a statement names, without schemas: what the database may have got of these since the catalogue was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Functions, and what may be one: a name behind a dot.
    pub functions: BTreeSet<String>,
    /// Operators.
    pub operators: BTreeSet<String>,
    /// Types.
    pub types: BTreeSet<String>,
}

/// What was found in the parts of a statement.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) mentioned: Mentioned,
    /// It reads the time at which its transaction began.
    pub(super) clock: bool,
    /// It draws random numbers.
    pub(super) chance: bool,
}

impl Parts {
    /// Those of a statement, where it may be asked about.
    pub(super) fn of(node: NodeRef<'_>, standing: &Standing<'_>) -> Result<Self, Untold> {
        if !standing.operator(None, "=").is_empty() {
            return Err("an operator = that users defined is in sight".into());
        }
        let mut parts = Self::default();
        parts.mentioned.operators.extend(IMPLIED.map(ToOwned::to_owned));
        let mut below = vec![node];
        while let Some(node) = below.pop() {
            parts.take(node, standing)?;
            if !children(node, &mut |child| below.push(child)) {
                return Err("it could not be read".into());
            }
        }
        Ok(parts)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what hangs below every other node is walked by the caller")]
    fn take(&mut self, node: NodeRef<'_>, standing: &Standing<'_>) -> Result<(), Untold> {
        match node {
            NodeRef::TypeName(name) if !is_builtin(name, standing) => {
                return Err("it names a type that users defined".into());
            }
            NodeRef::TypeName(name) => self.mentioned.types.extend(last(&name.names)),
            NodeRef::FuncCall(call) => self.function(last(&call.funcname))?,
            // Behind a dot, a name may be a function of one argument.
            NodeRef::ColumnRef(column) if column.fields.len() > 1 => self.function(last(&column.fields))?,
            NodeRef::AIndirection(behind) => {
                for step in &behind.indirection {
                    self.function(last(std::slice::from_ref(step)))?;
                }
            }
            NodeRef::AExpr(expression) => self.mentioned.operators.extend(last(&expression.name)),
            NodeRef::SubLink(link) => self.mentioned.operators.extend(last(&link.oper_name)),
            NodeRef::SortBy(sort) => self.mentioned.operators.extend(last(&sort.use_op)),
            NodeRef::SqlvalueFunction(value) => self.value(value.op())?,
            NodeRef::AConst(value) => {
                if let Some(a_const::Val::Sval(text)) = &value.val {
                    let text = text.sval.to_lowercase();
                    self.clock |= TIMES.iter().any(|time| text.contains(time));
                }
            }
            NodeRef::RangeTableSample(_) => return Err("it takes a sample of a table".into()),
            _ => {}
        }
        Ok(())
    }

    fn function(&mut self, name: Option<String>) -> Result<(), Untold> {
        let Some(name) = name else { return Ok(()) };
        match builtins::sight(&name) {
            Some(Sight::Session) => return Err(own_session()),
            Some(Sight::Clock) => self.clock = true,
            Some(Sight::Chance) => self.chance = true,
            None => {}
        }
        self.mentioned.functions.insert(name);
        Ok(())
    }

    /// A value that the grammar has a word for.
    fn value(&mut self, word: SqlValueFunctionOp) -> Result<(), Untold> {
        match word {
            SqlValueFunctionOp::SvfopSessionUser | SqlValueFunctionOp::SqlvalueFunctionOpUndefined => {
                Err(own_session())
            }
            SqlValueFunctionOp::SvfopCurrentDate
            | SqlValueFunctionOp::SvfopCurrentTime
            | SqlValueFunctionOp::SvfopCurrentTimeN
            | SqlValueFunctionOp::SvfopCurrentTimestamp
            | SqlValueFunctionOp::SvfopCurrentTimestampN
            | SqlValueFunctionOp::SvfopLocaltime
            | SqlValueFunctionOp::SvfopLocaltimeN
            | SqlValueFunctionOp::SvfopLocaltimestamp
            | SqlValueFunctionOp::SvfopLocaltimestampN => {
                self.clock = true;
                Ok(())
            }
            // Those of the preview are the same.
            SqlValueFunctionOp::SvfopCurrentRole
            | SqlValueFunctionOp::SvfopCurrentUser
            | SqlValueFunctionOp::SvfopUser
            | SqlValueFunctionOp::SvfopCurrentCatalog
            | SqlValueFunctionOp::SvfopCurrentSchema => Ok(()),
        }
    }
}

fn own_session() -> Untold {
    "it asks about its own session".into()
}

/// The last part of a name, where that is a text.
fn last(parts: &[Node]) -> Option<String> {
    match &parts.last()?.node {
        Some(NodeEnum::String(text)) => Some(text.sval.clone()),
        Some(_) | None => None,
    }
}

fn is_builtin(name: &TypeName, standing: &Standing<'_>) -> bool {
    let Some(parts) = strings(&name.names) else { return false };
    let builtin = match parts.as_slice() {
        [name] => builtins::is_builtin_type(name),
        ["pg_catalog", name] => return builtins::is_builtin_type(name),
        _ => false,
    };
    builtin && standing.types(&parts).is_empty()
}
