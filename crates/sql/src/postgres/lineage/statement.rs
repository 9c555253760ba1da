//! Statements that are no query: what they return, and where they put what they read.
//!
//! Promises: a statement that has no arm of its own is looked through for relations; where it has expressions or code
//! that are not followed, the rows of every relation that it names count as put away, and it is unknown. Does not
//! promise more precision than asked for definitions: an index on one column counts as one on the row.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::Tracer;
use super::flow::{Column, Columns, Flow, Nature, Value};
use super::write::copied;
use crate::builtins;
use crate::postgres::children::{children, tag};
use crate::postgres::expression::inner;
use pg_query::NodeRef;
use pg_query::protobuf::{self, CopyStmt, Node, ObjectType, TransactionStmtKind};
use portcullis_model::{ColumnId, Lineage, Name, Output, Outputs};

/// What a statement is made of, when it is looked through.
#[derive(Debug, Default)]
struct Mentioned {
    /// The rows of the relations that it names.
    rows: Flow,
    /// Whether it has expressions or queries.
    computes: bool,
}

/// Whether the statement makes a transaction's changes lasting.
const fn ends_well(kind: TransactionStmtKind) -> bool {
    match kind {
        TransactionStmtKind::TransStmtCommit
        | TransactionStmtKind::TransStmtPrepare
        | TransactionStmtKind::TransStmtCommitPrepared => true,
        TransactionStmtKind::Undefined
        | TransactionStmtKind::TransStmtBegin
        | TransactionStmtKind::TransStmtStart
        | TransactionStmtKind::TransStmtRollback
        | TransactionStmtKind::TransStmtSavepoint
        | TransactionStmtKind::TransStmtRelease
        | TransactionStmtKind::TransStmtRollbackTo
        | TransactionStmtKind::TransStmtRollbackPrepared => false,
    }
}

impl<'t> Tracer<'_, 't> {
    /// Follows a statement to what it returns.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other statement is looked through")]
    pub(super) fn statement(&mut self, node: NodeRef<'t>) -> Outputs {
        match node {
            NodeRef::SelectStmt(select) if into(select) => {
                self.kept_query(node);
                Outputs::None
            }
            NodeRef::SelectStmt(_) => outputs(self.query(node)),
            NodeRef::InsertStmt(insert) => self.write_statement(node, insert.returning_clause.is_some()),
            NodeRef::UpdateStmt(update) => self.write_statement(node, update.returning_clause.is_some()),
            NodeRef::DeleteStmt(delete) => self.write_statement(node, delete.returning_clause.is_some()),
            NodeRef::MergeStmt(merge) => self.write_statement(node, merge.returning_clause.is_some()),
            NodeRef::CopyStmt(copy) => self.copy(copy),
            NodeRef::ExplainStmt(explain) => self.explain(explain),
            NodeRef::PrepareStmt(prepare) => {
                if let Some(query) = inner(prepare.query.as_deref()) {
                    self.statement(query);
                }
                Outputs::None
            }
            NodeRef::DeclareCursorStmt(declare) => match inner(declare.query.as_deref()) {
                Some(query) => self.statement(query),
                None => Outputs::Unknown(Flow::unknown().sources()),
            },
            NodeRef::ExecuteStmt(execute) => {
                self.arguments(&execute.params);
                let flow = self.all_values(&execute.params);
                self.written(None, flow);
                Outputs::None
            }
            // Deferred constraints and triggers run here, for whatever the transaction did before.
            NodeRef::TransactionStmt(transaction) if ends_well(transaction.kind()) => {
                self.unknown = true;
                Outputs::None
            }
            NodeRef::ConstraintsSetStmt(_) => {
                self.unknown = true;
                Outputs::None
            }
            NodeRef::CreateTableAsStmt(create) => {
                if let Some(query) = inner(create.query.as_deref()) {
                    self.kept_query(query);
                }
                Outputs::None
            }
            NodeRef::ViewStmt(view) => {
                if let Some(query) = inner(view.query.as_deref()) {
                    self.kept_query(query);
                }
                Outputs::None
            }
            NodeRef::DoStmt(_) | NodeRef::CallStmt(_) => {
                self.unknown = true;
                if let NodeRef::CallStmt(protobuf::CallStmt { funccall: Some(call), .. }) = node {
                    let flow = self.all_values(&call.args);
                    self.condition(&flow);
                    self.written(None, flow);
                }
                Outputs::Unknown(Flow::unknown().sources())
            }
            NodeRef::VariableShowStmt(show) => shown(&show.name),
            NodeRef::CreateStmt(create) => self.create_table(create),
            NodeRef::CreateForeignTableStmt(create) => match &create.base_stmt {
                Some(base) => self.create_table(base),
                None => Outputs::None,
            },
            NodeRef::AlterTableStmt(alter) => self.alter_table(alter),
            NodeRef::IndexStmt(_)
            | NodeRef::CreateStatsStmt(_)
            | NodeRef::CreatePolicyStmt(_)
            | NodeRef::AlterPolicyStmt(_) => self.defined(node, false),
            NodeRef::RuleStmt(_)
            | NodeRef::CreateTrigStmt(_)
            | NodeRef::CreateFunctionStmt(_)
            | NodeRef::AlterFunctionStmt(_)
            | NodeRef::CreateEventTrigStmt(_)
            | NodeRef::CreateExtensionStmt(_)
            | NodeRef::AlterExtensionStmt(_)
            | NodeRef::CreateSchemaStmt(_)
            | NodeRef::CreatePublicationStmt(_)
            | NodeRef::AlterPublicationStmt(_) => self.defined(node, true),
            _ => {
                let computes = self.mentions(node).computes;
                if computes { self.defined(node, true) } else { Outputs::None }
            }
        }
    }

    fn write_statement(&mut self, node: NodeRef<'t>, returns: bool) -> Outputs {
        let columns = self.query(node);
        if returns { outputs(columns) } else { Outputs::None }
    }

    /// A query whose rows go into something new.
    fn kept_query(&mut self, node: NodeRef<'t>) {
        let all = match node {
            NodeRef::ExecuteStmt(execute) => {
                self.unknown = true;
                self.arguments(&execute.params);
                self.all_values(&execute.params).with(&Flow::unknown())
            }
            node => self.query(node).all(),
        };
        self.written(None, all);
    }

    /// What EXECUTE hands over, for whoever knows what the prepared statement compares it with.
    fn arguments(&mut self, nodes: &'t [Node]) {
        for (node, number) in nodes.iter().zip(1_i16..) {
            self.bind(&[ColumnId::argument(number)], Some(node));
        }
    }

    fn copy(&mut self, copy: &'t CopyStmt) -> Outputs {
        let columns = match (&copy.query, &copy.relation) {
            (Some(query), _) => self.query_node(Some(query)),
            (None, Some(range)) => {
                self.enter();
                let (item, _) = self.relation(range);
                self.push(item.clone());
                self.filter(copy.where_clause.as_deref());
                self.leave();
                copied(&item, &copy.attlist)
            }
            (None, None) => Columns::open(Flow::unknown()),
        };
        if copy.is_from {
            return Outputs::None;
        }
        if copy.filename.is_empty() && !copy.is_program {
            return outputs(columns);
        }
        let all = columns.all();
        self.written(None, all);
        Outputs::None
    }

    /// EXPLAIN shows conditions, and estimates that are made from any column of what is read.
    fn explain(&mut self, explain: &'t protobuf::ExplainStmt) -> Outputs {
        let mut flow = Flow::none();
        match inner(explain.query.as_deref()) {
            Some(node @ NodeRef::ExecuteStmt(_)) => {
                self.statement(node);
                self.unknown = true;
            }
            Some(node) => {
                // Functions may be called while it is planned, and their results shown.
                flow.add_untold(&Lineage { outputs: self.statement(node), ..Lineage::default() }.all_outputs());
                self.uses.iter().for_each(|used| flow.add(&used.flow));
                flow.add(&self.conditions);
                flow.add(&self.kept);
            }
            None => self.unknown = true,
        }
        let catalogue = std::sync::Arc::clone(&self.standing.scope.catalogue);
        for oid in self.relations.clone() {
            let nature = catalogue.relation(oid).map(|relation| self.nature(relation));
            match nature {
                Some(Nature::Stored) | None => flow.add(&Flow::column(ColumnId::row(oid))),
                Some(Nature::Clean) => {}
                Some(Nature::Unknown) => flow.add(&Flow::unknown()),
            }
        }
        if self.unknown {
            flow.add(&Flow::unknown());
        }
        let name = Some(Name::canonical("QUERY PLAN"));
        Outputs::Known(vec![Output { name, sources: flow.sources(), exact: false }])
    }

    /// A definition over relations: what it is told of their rows, it may keep.
    fn defined(&mut self, node: NodeRef<'t>, code: bool) -> Outputs {
        let rows = self.mentions(node).rows;
        self.written(None, rows);
        self.unknown |= code;
        Outputs::None
    }

    /// Looks a statement through for relations.
    fn mentions(&mut self, node: NodeRef<'t>) -> Mentioned {
        let mut found = Mentioned::default();
        let mut next = vec![node];
        while let Some(node) = next.pop() {
            if let NodeRef::RangeVar(range) = node {
                found.rows.add(&self.relation(range).0.rows.all());
            }
            found.computes |=
                matches!(node, NodeRef::ColumnRef(_) | NodeRef::FuncCall(_) | NodeRef::AExpr(_) | NodeRef::SubLink(_))
                    || tag(node) == "SelectStmt";
            if !children(node, &mut |child| next.push(child)) {
                self.unknown = true;
            }
        }
        found
    }

    /// CREATE TABLE: defaults, checks and generated columns are over the new table alone.
    fn create_table(&mut self, create: &'t protobuf::CreateStmt) -> Outputs {
        self.enter();
        if let Some(range) = &create.relation {
            self.push(super::range::Item::columns(&range.relname, Columns::open(Flow::none())));
        }
        for node in create.inh_relations.iter().chain(&create.table_elts).chain(&create.constraints) {
            self.definition(node);
        }
        self.leave();
        Outputs::None
    }

    /// ALTER TABLE: USING, checks and generated columns put what they read elsewhere.
    fn alter_table(&mut self, alter: &'t protobuf::AlterTableStmt) -> Outputs {
        self.enter();
        if let Some(range) = &alter.relation {
            if alter.objtype() == ObjectType::ObjectType {
                self.push(super::range::Item::columns(&range.relname, Columns::open(Flow::none())));
            } else {
                let (item, _) = self.relation(range);
                self.push(item);
            }
        }
        for node in &alter.cmds {
            self.definition(node);
        }
        self.leave();
        Outputs::None
    }

    /// A part of a table's definition: its expressions may be kept, the relations in it are named.
    fn definition(&mut self, node: &'t Node) {
        let Some(node) = inner(Some(node)) else { return };
        match node {
            NodeRef::RangeVar(range) => {
                self.relation(range);
            }
            NodeRef::AlterTableCmd(protobuf::AlterTableCmd { def: Some(def), .. }) => self.definition(def),
            NodeRef::ColumnDef(column) => {
                let mut flow = self.value(column.raw_default.as_deref()).flow;
                if let Some(name) = &column.type_name {
                    flow.add(&self.type_use(name, &Value::none()));
                }
                self.put_away(flow);
                column.constraints.iter().for_each(|node| self.definition(node));
            }
            NodeRef::Constraint(constraint) => {
                let mut flow = self.value(constraint.raw_expr.as_deref()).flow;
                flow.add(&self.value(constraint.where_clause.as_deref()).flow);
                flow.add(&self.all_values(&constraint.exclusions));
                self.put_away(flow);
                if let Some(range) = &constraint.pktable {
                    self.relation(range);
                }
            }
            node if tag(node).ends_with("Stmt") => {
                self.defined(node, true);
            }
            node => {
                // SET DEFAULT and SET EXPRESSION are an expression and nothing else.
                if self.mentions(node).computes {
                    let flow = self.evaluate(node).flow;
                    self.put_away(flow);
                }
            }
        }
    }

    /// What a table's definition computes: kept, and an error where it does not hold.
    fn put_away(&mut self, flow: Flow) {
        self.condition(&flow);
        self.written(None, flow);
    }
}

fn into(select: &protobuf::SelectStmt) -> bool {
    select.into_clause.is_some() || select.larg.as_deref().is_some_and(into)
}

/// SHOW: some settings hold secrets, and a custom one may hold anything.
fn shown(name: &str) -> Outputs {
    let secret = !builtins::may_be_shown(name) || name.eq_ignore_ascii_case("all");
    let sources = if secret { Flow::unknown().sources() } else { Flow::none().sources() };
    if name.eq_ignore_ascii_case("all") {
        return Outputs::Unknown(sources);
    }
    Outputs::Known(vec![Output { name: Some(Name::canonical(name)), sources, exact: false }])
}

/// Columns as those who judge them see them.
pub(super) fn outputs(columns: Columns) -> Outputs {
    if columns.rest.is_some() {
        return Outputs::Unknown(columns.all().sources());
    }
    let output = |column: Column| Output {
        name: Some(column.name),
        exact: column.value.exact && column.value.flow.only().is_some(),
        sources: column.value.flow.sources(),
    };
    Outputs::Known(columns.list.into_iter().map(output).collect())
}
