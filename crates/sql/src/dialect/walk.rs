//! The walk over a statement's tree: every relation read, every function called and every statement nested anywhere.
//!
//! The tree's own visitor reaches every node; what the head of a statement does is `heads`' matter. A name that a WITH
//! in force defines is no relation; in a WITH without RECURSIVE a query sees the names before it only.

use super::facts::Facts;
use super::{heads, names};
use crate::Dialect;
use portcullis_model::{Action, Columns, Mark, Name, Object, Operation, Part, QualifiedName};
use sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Statement, TableFactor, TableWithJoins, Visit, Visitor,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// What a statement amounts to.
pub(super) struct Walked {
    pub(super) operations: Vec<Operation>,
    /// Statements met, those inside others too.
    pub(super) statements: usize,
    /// COMMIT.
    pub(super) writes: bool,
}

/// The names that a query's WITH defines, and how far they are in force.
struct Frame {
    /// The queries of the WITH, by address in the tree, and their names.
    ctes: Vec<(*const Query, Name)>,
    visible: HashSet<Name>,
    /// FOR UPDATE and its like.
    locks: bool,
}

/// The state of the walk.
pub(super) struct Walk<'f> {
    pub(super) facts: &'f Facts,
    pub(super) writes: bool,
    operations: Vec<Operation>,
    seen: HashSet<Operation>,
    frames: Vec<Frame>,
    /// Tables that a head already counted as its target, by address in the tree.
    targets: HashSet<*const TableFactor>,
    statements: usize,
}

/// Walks one statement.
pub(super) fn walk(statement: &Statement, facts: &Facts) -> Walked {
    let mut walk = Walk {
        facts,
        writes: false,
        operations: Vec::new(),
        seen: HashSet::new(),
        frames: Vec::new(),
        targets: HashSet::new(),
        statements: 0,
    };
    // the walk never breaks off
    let _: ControlFlow<()> = statement.visit(&mut walk);
    Walked { operations: walk.operations, statements: walk.statements, writes: walk.writes }
}

impl Walk<'_> {
    /// Adds an operation, once.
    pub(super) fn push(&mut self, operation: Operation) {
        if self.seen.insert(operation.clone()) {
            self.operations.push(operation);
        }
    }

    /// An action on an object.
    pub(super) fn act(&mut self, action: Action, object: Object) {
        self.push(Operation::new(action, object));
    }

    /// An action on the relation of this name.
    pub(super) fn on_table(&mut self, action: Action, name: &ObjectName) {
        self.act(action, names::table(name, self.facts));
    }

    /// Something that is not read.
    pub(super) fn unknown(&mut self) {
        self.push(Operation::unknown());
    }

    /// A read of the relation of this name, unless a WITH in force defines it.
    pub(super) fn read(&mut self, name: &ObjectName) {
        if self.defined(name) || self.is_pseudo(name) {
            return;
        }
        let locks = self.frames.iter().any(|frame| frame.locks);
        let mut read = Operation::new(Action::Read, names::table(name, self.facts)).naming(Columns::Unknown);
        if locks {
            read = read.marked(Mark::Locks);
        }
        self.push(read);
    }

    /// A call of the function of this name, unless it is a pure built-in one.
    pub(super) fn call(&mut self, name: &ObjectName) {
        let qualified = names::qualified(name, self.facts);
        if let QualifiedName { schema: Part::Unknown, name: Part::Known(bare) } = &qualified
            && name.0.len() == 1
            && self.facts.is_pure(bare.as_str())
        {
            return;
        }
        self.act(Action::Execute, Object::Function(qualified));
    }

    /// Marks a table as a target that needs no read of its own.
    pub(super) fn is_target(&mut self, table: &TableFactor) {
        self.targets.insert(std::ptr::from_ref(table));
    }

    /// Whether a WITH in force defines the name.
    pub(super) fn defined(&self, name: &ObjectName) -> bool {
        names::bare(name, self.facts)
            .is_some_and(|name| self.frames.iter().any(|frame| frame.visible.contains(name.as_str())))
    }

    /// Names that stand for no relation of the database.
    fn is_pseudo(&mut self, name: &ObjectName) -> bool {
        let Some(name) = names::bare(name, self.facts) else { return false };
        match self.facts.dialect {
            Dialect::MySql => name.as_str() == "dual",
            Dialect::MsSql => name.as_str().starts_with('@'),
            Dialect::Snowflake if name.as_str().starts_with('@') => {
                // a stage: files, not rows
                self.act(Action::Transfer, Object::File(Part::Unknown));
                true
            }
            Dialect::Postgres
            | Dialect::Sqlite
            | Dialect::ClickHouse
            | Dialect::Snowflake
            | Dialect::BigQuery
            | Dialect::Generic => false,
        }
    }

    /// `TABLE t`, which the visitor has no hook for, wherever it stands in a chain of set operations.
    fn bare_tables(&mut self, body: &SetExpr) {
        let mut open = vec![body];
        while let Some(part) = open.pop() {
            match part {
                SetExpr::SetOperation { left, right, .. } => open.extend([&**left, &**right]),
                SetExpr::Table(table) => {
                    let part = |name: &Option<String>| {
                        name.as_ref().map_or(Part::Unknown, |name| Part::known(self.facts.unquoted.apply(name)))
                    };
                    let name = QualifiedName { schema: part(&table.schema_name), name: part(&table.table_name) };
                    let object = Object::relation(name, portcullis_model::RelationKind::Table);
                    self.push(Operation::new(Action::Read, object).naming(Columns::Unknown));
                }
                SetExpr::Select(_)
                | SetExpr::Query(_)
                | SetExpr::Values(_)
                | SetExpr::Insert(_)
                | SetExpr::Update(_)
                | SetExpr::Delete(_)
                | SetExpr::Merge(_) => {}
            }
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        self.statements += 1;
        heads::head(self, statement);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut frame = Frame { ctes: Vec::new(), visible: HashSet::new(), locks: !query.locks.is_empty() };
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                frame.ctes.push((std::ptr::from_ref(&*cte.query), names::name(&cte.alias.name, self.facts)));
            }
            if with.recursive {
                frame.visible = frame.ctes.iter().map(|(_, name)| name.clone()).collect();
            }
        }
        self.frames.push(frame);
        self.bare_tables(&query.body);
        for setting in query.settings.iter().flatten() {
            self.act(Action::Configure, Object::Setting(Part::Known(names::name(&setting.key, self.facts))));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.frames.pop();
        let done = std::ptr::from_ref(query);
        if let Some(outer) = self.frames.last_mut() {
            let names = outer.ctes.iter().filter(|(cte, _)| std::ptr::eq(*cte, done)).map(|(_, name)| name.clone());
            outer.visible.extend(names.collect::<Vec<_>>());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for target in select.into.iter().flat_map(|into| &into.targets) {
            heads::select_into(self, target);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        match table {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.call(name),
            TableFactor::Table { .. } if self.targets.contains(&std::ptr::from_ref(table)) => {}
            TableFactor::Table { name, .. } | TableFactor::SemanticView { name, .. } => self.read(name),
            TableFactor::Derived { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. } => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.call(&function.name);
        }
        ControlFlow::Continue(())
    }
}

/// A table in a FROM list: how it is called there, and what it is.
pub(super) struct Source<'t> {
    pub(super) factor: &'t TableFactor,
    pub(super) name: Option<&'t ObjectName>,
    pub(super) alias: Option<&'t str>,
}

/// The tables of a FROM list, those in parentheses too; a derived table has no name.
pub(super) fn sources<'t>(tables: impl IntoIterator<Item = &'t TableWithJoins>) -> Vec<Source<'t>> {
    let mut out = Vec::new();
    let mut open: Vec<&TableFactor> = Vec::new();
    for table in tables {
        open.push(&table.relation);
        open.extend(table.joins.iter().map(|join| &join.relation));
    }
    open.reverse();
    while let Some(factor) = open.pop() {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => {
                open.push(&table_with_joins.relation);
                open.extend(table_with_joins.joins.iter().map(|join| &join.relation));
            }
            TableFactor::Table { name, alias, .. } => out.push(Source {
                factor,
                name: Some(name),
                alias: alias.as_ref().map(|alias| alias.name.value.as_str()),
            }),
            TableFactor::Derived { alias, .. } => {
                out.push(Source { factor, name: None, alias: alias.as_ref().map(|alias| alias.name.value.as_str()) })
            }
            TableFactor::TableFunction { .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => out.push(Source { factor, name: None, alias: None }),
        }
    }
    out
}
