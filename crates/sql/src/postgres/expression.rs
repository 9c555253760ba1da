//! Expressions: which columns they read, which functions, operators, casts and queries they run.
//!
//! A generic walk: what has no arm of its own is walked through [`children`], so nothing inside can hide; a node that
//! only the server's analysis makes is `unknown`. Promises: every call of something that is not a pure built-in is
//! `execute function`, however it is written: as a call, an operator, a cast, as a column (`c.f`, `(e).f`), or as what only
//! newer servers have syntax for.
//!
//! Does not promise to choose overloads. Held by: `fixtures/sql/functions.tsv` and `fixtures/sql/query.tsv`.

use super::children::{children, tag};
use super::names::{self, CATALOGUE, Callee};
use super::older;
use super::reader::Reader;
use crate::builtins::{self, FunctionClass};
use pg_query::protobuf::{self, AExprKind, FuncCall, Node, a_const};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Action, Mark, Marks, Name, Object, Part, QualifiedName};

/// The reference of a node, where there is one.
pub(super) fn inner(node: Option<&Node>) -> Option<NodeRef<'_>> {
    node.and_then(|node| node.node.as_ref()).map(NodeEnum::to_ref)
}

/// The text of a string constant, casts around it aside.
pub(super) fn constant(node: Option<&Node>) -> Option<&str> {
    match node?.node.as_ref()? {
        NodeEnum::AConst(value) => match &value.val {
            Some(a_const::Val::Sval(text)) => Some(&text.sval),
            _ => None,
        },
        NodeEnum::TypeCast(cast) => constant(cast.arg.as_deref()),
        NodeEnum::String(text) => Some(&text.sval),
        _ => None,
    }
}

/// Whether a value is written as one of a type that has no fields.
fn has_no_fields(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_) | NodeEnum::AArrayExpr(_) | NodeEnum::SqlvalueFunction(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => {
            let parts = cast.type_name.as_ref().and_then(|name| names::strings(&name.names)).unwrap_or_default();
            parts.last().is_some_and(|name| super::types::oid(name).is_some())
        }
        Some(_) | None => false,
    }
}

impl<'t> Reader<'_, 't> {
    /// Walks a list of expressions.
    pub(super) fn walk_all(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            self.walk_node(Some(node));
        }
    }

    /// Walks an expression, where there is one.
    pub(super) fn walk_node(&mut self, node: Option<&'t Node>) {
        if let Some(node) = inner(node) {
            self.walk(node);
        }
    }

    fn walk_children(&mut self, node: NodeRef<'t>) {
        let mut below = Vec::new();
        if !children(node, &mut |child| below.push(child)) {
            self.unknown(Marks::NONE);
        }
        for child in below {
            self.walk(child);
        }
    }

    /// Walks an expression.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the generic walk is what every other node gets")]
    pub(super) fn walk(&mut self, node: NodeRef<'t>) {
        match node {
            NodeRef::ColumnRef(column) => self.column(&column.fields),
            NodeRef::FuncCall(call) => {
                self.call(call);
                self.walk_children(node);
            }
            NodeRef::AExpr(expression) => {
                self.operation(expression);
                self.walk_children(node);
            }
            NodeRef::SubLink(link) => {
                self.operator_use(&link.oper_name);
                self.walk_node(link.testexpr.as_deref());
                self.query_node(link.subselect.as_deref());
            }
            NodeRef::SortBy(sort) => {
                self.operator_use(&sort.use_op);
                self.walk_node(sort.node.as_deref());
            }
            NodeRef::TypeName(name) => {
                self.type_use(name);
                self.walk_all(&name.typmods);
            }
            NodeRef::AIndirection(indirection) => self.indirection(indirection),
            NodeRef::CurrentOfExpr(current) => {
                if !current.cursor_name.is_empty() {
                    self.gathered.fetches.push(Name::canonical(current.cursor_name.as_str()));
                }
            }
            NodeRef::SelectStmt(_)
            | NodeRef::InsertStmt(_)
            | NodeRef::UpdateStmt(_)
            | NodeRef::DeleteStmt(_)
            | NodeRef::MergeStmt(_) => {
                self.query(node);
            }
            // A relation outside a range table is at least looked at.
            NodeRef::RangeVar(range) => {
                self.enter();
                self.relation_item(range);
                self.leave();
            }
            _ if tag(node).ends_with("Stmt") && !matches!(node, NodeRef::ReturnStmt(_)) => self.statement(node),
            _ => {
                for function in self.standing.called_on_older(node) {
                    self.add(Action::Execute, Object::Function(function), Marks::NONE);
                }
                self.walk_children(node);
            }
        }
    }

    /// Walks an expression of ORDER BY, where a bare name means an output column first.
    pub(super) fn walk_order(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            let Some(NodeEnum::SortBy(sort)) = &node.node else {
                self.walk_node(Some(node));
                continue;
            };
            self.operator_use(&sort.use_op);
            if !self.is_output(sort.node.as_deref()) {
                self.walk_node(sort.node.as_deref());
            }
        }
    }

    /// Walks an expression of GROUP BY or DISTINCT ON, where a bare name means an output column if no input has it.
    pub(super) fn walk_group(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            match &node.node {
                Some(NodeEnum::ColumnRef(column)) if self.is_output(Some(node)) => {
                    if let Some([name]) = names::strings(&column.fields).as_deref() {
                        self.touch_column(name);
                    }
                }
                _ => self.walk_node(Some(node)),
            }
        }
    }

    fn is_output(&self, node: Option<&Node>) -> bool {
        let Some(NodeEnum::ColumnRef(column)) = node.and_then(|node| node.node.as_ref()) else { return false };
        match names::strings(&column.fields).as_deref() {
            Some([name]) => self.levels.last().is_some_and(|level| level.outputs.iter().any(|o| o.as_str() == *name)),
            _ => false,
        }
    }

    fn column(&mut self, fields: &'t [Node]) {
        if matches!(fields.last().and_then(|field| field.node.as_ref()), Some(NodeEnum::AStar(_))) {
            let qualifier = fields.split_last().and_then(|(_, rest)| names::strings(rest));
            self.star(qualifier.as_deref().unwrap_or_default());
            return;
        }
        let Some(parts) = names::strings(fields) else { return self.unknown(Marks::NONE) };
        match parts.as_slice() {
            [name] => {
                let found = self.touch_column(name) || self.is_given(name) || self.touch_row(None, name).is_some();
                if !found && !self.standing.is_variable(name) {
                    self.touch_unknown();
                }
            }
            [qualifier, name] => self.qualified(None, qualifier, name),
            [.., schema, relation, name] => self.qualified(Some(schema), relation, name),
            [] => {}
        }
    }

    fn qualified(&mut self, schema: Option<&str>, qualifier: &str, name: &str) {
        if schema.is_none() && self.is_given(qualifier) && !self.has_alias(qualifier) {
            return;
        }
        match self.touch_qualified(schema, qualifier, name) {
            Some(true) => self.attribute(name, true),
            Some(false) => {
                // Not a column: a function of the whole row, written as one.
                self.touch_row(schema, qualifier);
                self.attribute(name, false);
            }
            // A composite column and its field, or nothing that is in sight.
            None if schema.is_none() && self.touch_column(qualifier) => self.attribute(name, false),
            None if schema.is_none() && self.standing.is_variable(qualifier) => self.attribute(name, false),
            None if schema.is_some_and(|label| self.standing.is_variable(label)) => self.attribute(name, false),
            None => self.touch_unknown(),
        }
    }

    /// Whether the name stands for the row that a rule's action runs for.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.is_some() && matches!(name, "old" | "new")
    }

    /// Reads every column of what the qualifier names, or of everything; the columns where they are known.
    pub(super) fn star(&mut self, qualifier: &[&str]) -> Option<Vec<Name>> {
        let found = match qualifier {
            [] => return self.touch_star(),
            [alias] if self.is_given(alias) => return None,
            [alias] if !self.has_alias(alias) && self.standing.is_variable(alias) => return None,
            [alias] => self.touch_row(None, alias),
            [.., schema, relation] => self.touch_row(Some(schema), relation),
        };
        if found.is_none() {
            self.touch_unknown();
        }
        found.flatten()
    }

    /// A name behind a dot: a column, or a function of one argument written like one.
    fn attribute(&mut self, name: &str, is_column: bool) {
        if is_column && !self.levels_uncertain() {
            return;
        }
        if let Some(callee) = self.standing.behind_dot(name) {
            self.callee(&callee, name, Marks::NONE);
        }
    }

    /// Whether a relation in sight has columns that are not known, so that a column may be a function after all.
    fn levels_uncertain(&self) -> bool {
        self.standing.scope.catalogue.is_known()
            && self.levels.iter().flat_map(|level| &level.entries).any(|entry| match &entry.source {
                super::reader::Source::Relation(reference) => reference.place.relation.is_none(),
                super::reader::Source::Derived(columns) => columns.is_none(),
                super::reader::Source::Join(_) => false,
            })
    }

    fn indirection(&mut self, node: &'t protobuf::AIndirection) {
        self.walk_node(node.arg.as_deref());
        // Without a catalogue a name that no function is known by is one where it can be no field.
        let called = !self.standing.scope.catalogue.is_known() && node.arg.as_deref().is_some_and(has_no_fields);
        for (at, step) in node.indirection.iter().enumerate() {
            match &step.node {
                Some(NodeEnum::String(field)) if called && at == 0 => {
                    let callee = self.standing.function(None, &field.sval);
                    self.callee(&callee, &field.sval, Marks::NONE);
                }
                Some(NodeEnum::String(field)) => self.attribute(&field.sval, false),
                Some(NodeEnum::AStar(_)) | None => {}
                Some(_) => self.walk_node(Some(step)),
            }
        }
    }

    /// What a use of this operator runs; the name's parts as written.
    pub(super) fn operator_use(&mut self, parts: &[Node]) {
        match names::strings(parts).as_deref() {
            None | Some([]) => {}
            Some([symbol]) => self.operator_named(None, symbol),
            Some([.., schema, symbol]) => self.operator_named(Some(schema), symbol),
        }
    }

    fn operator_named(&mut self, schema: Option<&str>, symbol: &str) {
        for function in self.standing.operator(schema, symbol) {
            self.add(Action::Execute, Object::Function(function), Marks::NONE);
        }
    }

    fn operation(&mut self, expression: &protobuf::AExpr) {
        match expression.kind() {
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                for symbol in ["<", "<=", ">", ">="] {
                    self.operator_named(None, symbol);
                }
            }
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct | AExprKind::AexprNullif => {
                self.operator_named(None, "=");
            }
            AExprKind::Undefined
            | AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprIn
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => self.operator_use(&expression.name),
        }
    }

    /// What a use of this type runs: the functions of a user's type, and of casts to it.
    pub(super) fn type_use(&mut self, name: &protobuf::TypeName) {
        let Some(parts) = names::strings(&name.names) else { return self.unknown(Marks::NONE) };
        for user_type in self.standing.types(&parts) {
            let casts = self.standing.scope.catalogue.casts_to(user_type.oid).to_vec();
            for function in user_type.functions.iter().chain(&casts) {
                let name = self.standing.function_name(*function);
                self.add(Action::Execute, Object::Function(name), Marks::NONE);
            }
        }
        let builtin = match parts.as_slice() {
            [name] | [CATALOGUE, name] => super::types::oid(name),
            _ => None,
        };
        if let Some(oid) = builtin {
            for function in self.standing.scope.catalogue.casts_to(oid).to_vec() {
                let name = self.standing.function_name(function);
                self.add(Action::Execute, Object::Function(name), Marks::NONE);
            }
        }
    }

    fn call(&mut self, call: &'t FuncCall) {
        let Some(parts) = names::strings(&call.funcname) else { return self.unknown(Marks::NONE) };
        let (schema, name) = match parts.as_slice() {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return self.unknown(Marks::NONE),
        };
        if older::is_system_user(call, schema, name) {
            self.touch_column(name);
        }
        let callee = self.standing.function(older::written_schema(schema, name), name);
        if callee.user.is_empty() && self.special(name, callee.builtin, &call.args) {
            return;
        }
        self.callee(&callee, name, Marks::NONE);
    }

    /// Adds what a call of these functions is.
    pub(super) fn callee(&mut self, callee: &Callee, name: &str, marks: Marks) {
        for function in &callee.user {
            self.add(Action::Execute, Object::Function(function.clone()), marks);
        }
        let builtin = |marks| (Object::Function(QualifiedName::new(callee.builtin_schema, name)), marks);
        let (object, marks) = match callee.builtin {
            None | Some(FunctionClass::Pure) => return,
            Some(FunctionClass::RunsSql) => builtin(marks.with(Mark::Dynamic)),
            Some(
                FunctionClass::ReadsByName
                | FunctionClass::ServerFiles
                | FunctionClass::ChangesState
                | FunctionClass::Sensitive,
            ) => builtin(marks),
        };
        self.add(Action::Execute, object, marks);
    }

    /// SHOW: of a setting that may hold a secret it is the function that reads it.
    pub(super) fn show(&mut self, name: &str) {
        if !builtins::may_be_shown(name) {
            let callee = self.standing.function(Some(CATALOGUE), "current_setting");
            self.callee(&callee, "current_setting", Marks::NONE);
        }
    }

    /// Built-ins that are another way to write a statement, and those that drivers reset a session with. True where
    /// the call needs no more.
    fn special(&mut self, name: &str, class: Option<FunctionClass>, args: &'t [Node]) -> bool {
        match name {
            "set_config" => {
                self.set_config(args);
                true
            }
            "pg_notify" => {
                // Drivers bind the channel. One that is not known is no code: only a rule for every channel allows it.
                let channel = constant(args.first()).map_or(Part::Unknown, Part::known);
                self.add(Action::Call, Object::Channel(channel), Marks::NONE);
                true
            }
            // SHOW by another name.
            "current_setting" => constant(args.first()).is_some_and(builtins::may_be_shown),
            "pg_advisory_unlock_all" => true,
            _ => {
                if class == Some(FunctionClass::ServerFiles) {
                    for path in args.iter().filter_map(|arg| constant(Some(arg))).filter(|path| path.contains('/')) {
                        self.add(Action::Transfer, Object::File(Part::known(path)), Marks::NONE);
                    }
                }
                false
            }
        }
    }
}
