//! The map from every statement of the grammar to what it does. There is no catch-all: a node that no text has at its
//! top is named at the end, and is `unknown`.
//!
//! Held by: the compiler (every node is named), and the ledger test, which wants a row of `fixtures/sql/` for each
//! statement of `ledger/nodes.tsv`.

use super::alter::role_object;
use super::names;
use super::objects::item;
use super::reader::Reader;
use pg_query::NodeRef;
use pg_query::protobuf::{Node, ObjectType};
use portcullis_model::{Action, ItemKind, Mark, Marks, Name, Object, Part};

impl<'t> Reader<'_, 't> {
    /// Reads one statement.
    #[expect(clippy::too_many_lines, reason = "one arm for each statement of the grammar, and no other place")]
    pub(super) fn statement(&mut self, node: NodeRef<'t>) {
        match node {
            // Queries and writes.
            NodeRef::SelectStmt(_)
            | NodeRef::InsertStmt(_)
            | NodeRef::UpdateStmt(_)
            | NodeRef::DeleteStmt(_)
            | NodeRef::MergeStmt(_) => {
                self.query(node);
            }
            NodeRef::ExplainStmt(s) => self.explain(s),
            NodeRef::CopyStmt(s) => self.copy(s),
            NodeRef::CallStmt(s) => self.call_procedure(s),
            NodeRef::DoStmt(s) => self.code_block(s),
            NodeRef::TruncateStmt(s) => self.truncate(s),
            // The session.
            NodeRef::VariableSetStmt(s) => self.set(s),
            NodeRef::VariableShowStmt(s) => self.show(&s.name),
            NodeRef::ConstraintsSetStmt(_) | NodeRef::UnlistenStmt(_) => {}
            NodeRef::TransactionStmt(s) => self.transaction(s),
            NodeRef::DiscardStmt(s) => self.discard(s),
            NodeRef::PrepareStmt(s) => self.prepare(s),
            NodeRef::ExecuteStmt(s) => self.execute(s),
            NodeRef::DeallocateStmt(s) => self.deallocate(s),
            NodeRef::DeclareCursorStmt(s) => self.declare_cursor(s),
            NodeRef::ClosePortalStmt(s) => self.close_cursor(s),
            NodeRef::FetchStmt(s) => self.fetch(s),
            NodeRef::ListenStmt(s) => self.channel(Action::Read, &s.conditionname),
            NodeRef::NotifyStmt(s) => self.channel(Action::Call, &s.conditionname),
            // The server.
            NodeRef::VacuumStmt(s) => self.vacuum(s),
            NodeRef::ClusterStmt(s) => self.cluster(s),
            NodeRef::ReindexStmt(s) => self.reindex(s),
            NodeRef::RefreshMatViewStmt(s) => self.refresh(s),
            NodeRef::LockStmt(s) => self.lock(s),
            NodeRef::LoadStmt(s) => self.load(&s.filename),
            NodeRef::CheckPointStmt(_) => self.checkpoint(),
            NodeRef::AlterSystemStmt(s) => self.lasting_setting(s.setstmt.as_ref(), &[], Mark::Privileged.into()),
            // Relations.
            NodeRef::CreateStmt(s) => self.create_table(s),
            NodeRef::CreateTableAsStmt(s) => self.create_table_as(s),
            NodeRef::CreateForeignTableStmt(s) => self.create_foreign_table(s),
            NodeRef::ViewStmt(s) => self.create_view(s),
            NodeRef::IndexStmt(s) => self.create_index(s),
            NodeRef::CreateSeqStmt(s) => self.create_sequence(s),
            NodeRef::AlterSeqStmt(s) => self.alter_sequence(s),
            NodeRef::CreateStatsStmt(s) => self.create_statistics(s),
            NodeRef::AlterStatsStmt(s) => self.alter_named(ObjectType::ObjectStatisticExt, &s.defnames),
            NodeRef::CreateTrigStmt(s) => self.create_trigger(s),
            NodeRef::RuleStmt(s) => self.create_rule(s),
            NodeRef::CreatePolicyStmt(s) => self.policy(
                Action::Create,
                &s.policy_name,
                s.table.as_ref(),
                [s.qual.as_deref(), s.with_check.as_deref()],
            ),
            NodeRef::AlterPolicyStmt(s) => self.policy(
                Action::Alter,
                &s.policy_name,
                s.table.as_ref(),
                [s.qual.as_deref(), s.with_check.as_deref()],
            ),
            NodeRef::AlterTableStmt(s) => self.alter_table(s),
            NodeRef::AlterTableMoveAllStmt(s) => self.move_all(s),
            NodeRef::DropStmt(s) => self.drop_statement(s),
            NodeRef::RenameStmt(s) => self.rename(s),
            NodeRef::AlterObjectSchemaStmt(s) => self.set_schema(s),
            NodeRef::AlterOwnerStmt(s) => self.set_owner(s),
            NodeRef::AlterObjectDependsStmt(s) => self.depends(s),
            NodeRef::CommentStmt(s) => self.annotate(s.objtype(), s.object.as_deref(), Marks::NONE),
            NodeRef::SecLabelStmt(s) => self.annotate(s.objtype(), s.object.as_deref(), Mark::Privileged.into()),
            // Schemas and databases.
            NodeRef::CreateSchemaStmt(s) => self.create_schema(s),
            NodeRef::CreatedbStmt(s) => self.creates(database(&s.dbname)),
            NodeRef::AlterDatabaseStmt(s) => self.alters(database(&s.dbname)),
            NodeRef::AlterDatabaseRefreshCollStmt(s) => self.alters(database(&s.dbname)),
            NodeRef::AlterDatabaseSetStmt(s) => {
                self.lasting_setting(s.setstmt.as_ref(), &[database(&s.dbname)], Marks::NONE);
            }
            NodeRef::DropdbStmt(s) => self.drops(database(&s.dbname), Mark::Irreversible.into()),
            NodeRef::CreateTableSpaceStmt(s) => self.create_tablespace(s),
            NodeRef::AlterTableSpaceOptionsStmt(s) => self.alters(item(ItemKind::Tablespace, &s.tablespacename)),
            NodeRef::DropTableSpaceStmt(s) => {
                self.drops(item(ItemKind::Tablespace, &s.tablespacename), Mark::Irreversible.into());
            }
            // Functions, types, operators.
            NodeRef::CreateFunctionStmt(s) => self.create_function(s),
            NodeRef::AlterFunctionStmt(s) => self.alter_function(s),
            NodeRef::DefineStmt(s) => self.define(s),
            NodeRef::CompositeTypeStmt(s) => {
                let range = s.typevar.as_ref();
                let parts: Vec<&str> = range
                    .map(|range| [range.schemaname.as_str(), range.relname.as_str()])
                    .into_iter()
                    .flatten()
                    .filter(|part| !part.is_empty())
                    .collect();
                self.creates(Object::Item { kind: ItemKind::Type, name: self.standing.creation(&parts) });
                self.table_elements(&s.coldeflist);
            }
            NodeRef::CreateEnumStmt(s) => self.creates_item(ItemKind::Type, &s.type_name),
            NodeRef::CreateRangeStmt(s) => {
                self.creates_item(ItemKind::Type, &s.type_name);
                self.range_options(&s.params);
            }
            NodeRef::AlterEnumStmt(s) => self.alter_named(ObjectType::ObjectType, &s.type_name),
            NodeRef::AlterTypeStmt(s) => {
                self.alter_named(ObjectType::ObjectType, &s.type_name);
                self.add(Action::Alter, Object::Unknown, Mark::Privileged);
            }
            NodeRef::CreateDomainStmt(s) => {
                self.creates_item(ItemKind::Domain, &s.domainname);
                if let Some(name) = &s.type_name {
                    self.type_use(name);
                }
                self.table_elements(&s.constraints);
            }
            NodeRef::AlterDomainStmt(s) => self.alter_domain(s),
            NodeRef::AlterOperatorStmt(s) => {
                self.alter_named(ObjectType::ObjectOperator, signature(s.opername.as_ref()));
            }
            NodeRef::CreateCastStmt(s) => {
                let target = s.targettype.as_ref().and_then(|name| names::strings(&name.names)).unwrap_or_default();
                let object = item(ItemKind::Cast, target.last().copied().unwrap_or_default());
                self.creates_calling(object, &[signature(s.func.as_ref())]);
            }
            NodeRef::CreateTransformStmt(s) => {
                let object = item(ItemKind::Transform, &s.lang);
                self.creates_calling(object, &[signature(s.fromsql.as_ref()), signature(s.tosql.as_ref())]);
            }
            NodeRef::CreateConversionStmt(s) => {
                let object = self.made(ItemKind::Conversion, &s.conversion_name);
                self.creates_calling(object, &[&s.func_name]);
            }
            NodeRef::CreatePlangStmt(s) => {
                let object = item(ItemKind::Language, &s.plname);
                self.creates_calling(object, &[&s.plhandler, &s.plinline, &s.plvalidator]);
            }
            NodeRef::CreateAmStmt(s) => {
                self.creates_calling(item(ItemKind::AccessMethod, &s.amname), &[&s.handler_name]);
            }
            NodeRef::CreateOpClassStmt(s) => {
                let object = self.made(ItemKind::OperatorClass, &s.opclassname);
                self.creates_calling(object, &[]);
            }
            NodeRef::CreateOpFamilyStmt(s) => {
                let object = self.made(ItemKind::OperatorFamily, &s.opfamilyname);
                self.creates_calling(object, &[]);
            }
            NodeRef::AlterOpFamilyStmt(s) => {
                let parts = names::strings(&s.opfamilyname).unwrap_or_default();
                let object = self.schema_item(ItemKind::OperatorFamily, &parts);
                self.changes_catalogue();
                self.add(Action::Alter, object, Mark::Privileged);
            }
            NodeRef::AlterCollationStmt(s) => self.alter_named(ObjectType::ObjectCollation, &s.collname),
            NodeRef::AlterTsdictionaryStmt(s) => self.alter_named(ObjectType::ObjectTsdictionary, &s.dictname),
            NodeRef::AlterTsconfigurationStmt(s) => self.alter_named(ObjectType::ObjectTsconfiguration, &s.cfgname),
            // Extensions, foreign data, replication, events.
            NodeRef::CreateExtensionStmt(s) => self.extension(Action::Create, &s.extname, true),
            NodeRef::AlterExtensionStmt(s) => self.extension(Action::Alter, &s.extname, true),
            NodeRef::AlterExtensionContentsStmt(s) => self.extension_contents(s),
            NodeRef::CreateFdwStmt(s) => self.foreign_wrapper(Action::Create, &s.fdwname),
            NodeRef::AlterFdwStmt(s) => self.foreign_wrapper(Action::Alter, &s.fdwname),
            NodeRef::CreateForeignServerStmt(s) => self.reaches_out(Action::Create, ItemKind::Server, &s.servername),
            NodeRef::AlterForeignServerStmt(s) => self.reaches_out(Action::Alter, ItemKind::Server, &s.servername),
            NodeRef::CreateUserMappingStmt(s) => {
                self.reaches_out(Action::Create, ItemKind::UserMapping, &s.servername);
            }
            NodeRef::AlterUserMappingStmt(s) => self.reaches_out(Action::Alter, ItemKind::UserMapping, &s.servername),
            NodeRef::DropUserMappingStmt(s) => self.drops(item(ItemKind::UserMapping, &s.servername), Marks::NONE),
            NodeRef::ImportForeignSchemaStmt(s) => self.import_foreign_schema(s),
            NodeRef::CreatePublicationStmt(s) => {
                self.publication(Action::Create, &s.pubname, s.for_all_tables, &s.pubobjects);
            }
            NodeRef::AlterPublicationStmt(s) => {
                self.publication(Action::Alter, &s.pubname, s.for_all_tables, &s.pubobjects);
            }
            NodeRef::CreateSubscriptionStmt(s) => {
                self.reaches_out(Action::Create, ItemKind::Subscription, &s.subname);
            }
            NodeRef::AlterSubscriptionStmt(s) => self.reaches_out(Action::Alter, ItemKind::Subscription, &s.subname),
            NodeRef::DropSubscriptionStmt(s) => self.reaches_out(Action::Drop, ItemKind::Subscription, &s.subname),
            NodeRef::CreateEventTrigStmt(s) => self.create_event_trigger(s),
            NodeRef::AlterEventTrigStmt(s) => self.alters(item(ItemKind::EventTrigger, &s.trigname)),
            // Who may do what.
            NodeRef::GrantStmt(s) => self.grant(s),
            NodeRef::GrantRoleStmt(s) => self.grant_role(s),
            NodeRef::AlterDefaultPrivilegesStmt(s) => self.default_privileges(s),
            NodeRef::CreateRoleStmt(s) => self.create_role(s),
            NodeRef::AlterRoleStmt(s) => self.alter_role(s),
            NodeRef::AlterRoleSetStmt(s) => {
                let of = if s.role.is_some() { role_object(s.role.as_ref()) } else { Object::Role(Part::Unknown) };
                self.lasting_setting(s.setstmt.as_ref(), &[of], Marks::NONE);
            }
            NodeRef::DropRoleStmt(s) => self.drop_roles(&s.roles),
            NodeRef::DropOwnedStmt(s) => self.drop_owned(&s.roles),
            NodeRef::ReassignOwnedStmt(s) => self.reassign_owned(s),
            // Parts of statements, and what no text has at its top.
            NodeRef::Alias(_)
            | NodeRef::RangeVar(_)
            | NodeRef::TableFunc(_)
            | NodeRef::Var(_)
            | NodeRef::Param(_)
            | NodeRef::Aggref(_)
            | NodeRef::GroupingFunc(_)
            | NodeRef::WindowFunc(_)
            | NodeRef::SubscriptingRef(_)
            | NodeRef::FuncExpr(_)
            | NodeRef::NamedArgExpr(_)
            | NodeRef::OpExpr(_)
            | NodeRef::DistinctExpr(_)
            | NodeRef::NullIfExpr(_)
            | NodeRef::ScalarArrayOpExpr(_)
            | NodeRef::BoolExpr(_)
            | NodeRef::SubLink(_)
            | NodeRef::SubPlan(_)
            | NodeRef::AlternativeSubPlan(_)
            | NodeRef::FieldSelect(_)
            | NodeRef::FieldStore(_)
            | NodeRef::RelabelType(_)
            | NodeRef::CoerceViaIo(_)
            | NodeRef::ArrayCoerceExpr(_)
            | NodeRef::ConvertRowtypeExpr(_)
            | NodeRef::CollateExpr(_)
            | NodeRef::CaseExpr(_)
            | NodeRef::CaseWhen(_)
            | NodeRef::CaseTestExpr(_)
            | NodeRef::ArrayExpr(_)
            | NodeRef::RowExpr(_)
            | NodeRef::RowCompareExpr(_)
            | NodeRef::CoalesceExpr(_)
            | NodeRef::MinMaxExpr(_)
            | NodeRef::SqlvalueFunction(_)
            | NodeRef::XmlExpr(_)
            | NodeRef::NullTest(_)
            | NodeRef::BooleanTest(_)
            | NodeRef::CoerceToDomain(_)
            | NodeRef::CoerceToDomainValue(_)
            | NodeRef::SetToDefault(_)
            | NodeRef::CurrentOfExpr(_)
            | NodeRef::NextValueExpr(_)
            | NodeRef::InferenceElem(_)
            | NodeRef::TargetEntry(_)
            | NodeRef::RangeTblRef(_)
            | NodeRef::JoinExpr(_)
            | NodeRef::FromExpr(_)
            | NodeRef::OnConflictExpr(_)
            | NodeRef::IntoClause(_)
            | NodeRef::RawStmt(_)
            | NodeRef::Query(_)
            | NodeRef::AlterTableCmd(_)
            | NodeRef::SetOperationStmt(_)
            | NodeRef::AtalterConstraint(_)
            | NodeRef::ReplicaIdentityStmt(_)
            | NodeRef::AExpr(_)
            | NodeRef::ColumnRef(_)
            | NodeRef::ParamRef(_)
            | NodeRef::AConst(_)
            | NodeRef::FuncCall(_)
            | NodeRef::AStar(_)
            | NodeRef::AIndices(_)
            | NodeRef::AIndirection(_)
            | NodeRef::AArrayExpr(_)
            | NodeRef::ResTarget(_)
            | NodeRef::MultiAssignRef(_)
            | NodeRef::TypeCast(_)
            | NodeRef::CollateClause(_)
            | NodeRef::SortBy(_)
            | NodeRef::WindowDef(_)
            | NodeRef::RangeSubselect(_)
            | NodeRef::RangeFunction(_)
            | NodeRef::RangeTableSample(_)
            | NodeRef::RangeTableFunc(_)
            | NodeRef::RangeTableFuncCol(_)
            | NodeRef::TypeName(_)
            | NodeRef::ColumnDef(_)
            | NodeRef::IndexElem(_)
            | NodeRef::Constraint(_)
            | NodeRef::DefElem(_)
            | NodeRef::RangeTblEntry(_)
            | NodeRef::RangeTblFunction(_)
            | NodeRef::TableSampleClause(_)
            | NodeRef::WithCheckOption(_)
            | NodeRef::SortGroupClause(_)
            | NodeRef::GroupingSet(_)
            | NodeRef::WindowClause(_)
            | NodeRef::ObjectWithArgs(_)
            | NodeRef::AccessPriv(_)
            | NodeRef::CreateOpClassItem(_)
            | NodeRef::TableLikeClause(_)
            | NodeRef::FunctionParameter(_)
            | NodeRef::LockingClause(_)
            | NodeRef::RowMarkClause(_)
            | NodeRef::XmlSerialize(_)
            | NodeRef::WithClause(_)
            | NodeRef::InferClause(_)
            | NodeRef::OnConflictClause(_)
            | NodeRef::CommonTableExpr(_)
            | NodeRef::RoleSpec(_)
            | NodeRef::TriggerTransition(_)
            | NodeRef::PartitionElem(_)
            | NodeRef::PartitionSpec(_)
            | NodeRef::PartitionBoundSpec(_)
            | NodeRef::PartitionRangeDatum(_)
            | NodeRef::PartitionCmd(_)
            | NodeRef::VacuumRelation(_)
            | NodeRef::InlineCodeBlock(_)
            | NodeRef::CallContext(_)
            | NodeRef::Integer(_)
            | NodeRef::Float(_)
            | NodeRef::Boolean(_)
            | NodeRef::String(_)
            | NodeRef::BitString(_)
            | NodeRef::List(_)
            | NodeRef::IntList(_)
            | NodeRef::OidList(_)
            | NodeRef::MergeAction(_)
            | NodeRef::ReturnStmt(_)
            | NodeRef::ReturningClause(_)
            | NodeRef::ReturningExpr(_)
            | NodeRef::ReturningOption(_)
            | NodeRef::PlassignStmt(_)
            | NodeRef::StatsElem(_)
            | NodeRef::CtesearchClause(_)
            | NodeRef::CtecycleClause(_)
            | NodeRef::MergeWhenClause(_)
            | NodeRef::PublicationObjSpec(_)
            | NodeRef::PublicationTable(_)
            | NodeRef::JsonFormat(_)
            | NodeRef::JsonReturning(_)
            | NodeRef::JsonValueExpr(_)
            | NodeRef::JsonConstructorExpr(_)
            | NodeRef::JsonIsPredicate(_)
            | NodeRef::JsonOutput(_)
            | NodeRef::JsonKeyValue(_)
            | NodeRef::JsonObjectConstructor(_)
            | NodeRef::JsonArrayConstructor(_)
            | NodeRef::JsonArrayQueryConstructor(_)
            | NodeRef::JsonAggConstructor(_)
            | NodeRef::JsonObjectAgg(_)
            | NodeRef::JsonArrayAgg(_)
            | NodeRef::RtepermissionInfo(_)
            | NodeRef::WindowFuncRunCondition(_)
            | NodeRef::MergeSupportFunc(_)
            | NodeRef::JsonBehavior(_)
            | NodeRef::JsonExpr(_)
            | NodeRef::JsonTablePath(_)
            | NodeRef::JsonTablePathScan(_)
            | NodeRef::JsonTableSiblingJoin(_)
            | NodeRef::JsonArgument(_)
            | NodeRef::JsonFuncExpr(_)
            | NodeRef::JsonTablePathSpec(_)
            | NodeRef::JsonTable(_)
            | NodeRef::JsonTableColumn(_)
            | NodeRef::JsonParseExpr(_)
            | NodeRef::JsonScalarExpr(_)
            | NodeRef::JsonSerializeExpr(_) => self.unknown(Marks::NONE),
        }
    }

    /// Something goes.
    fn drops(&mut self, object: Object, marks: Marks) {
        self.changes_catalogue();
        self.add(Action::Drop, object, marks);
    }

    fn made(&self, kind: ItemKind, parts: &[Node]) -> Object {
        let parts = names::strings(parts).unwrap_or_default();
        Object::Item { kind, name: self.standing.creation(&parts) }
    }

    fn creates_item(&mut self, kind: ItemKind, parts: &[Node]) {
        let object = self.made(kind, parts);
        self.creates(object);
    }

    fn foreign_wrapper(&mut self, action: Action, name: &str) {
        self.changes_catalogue();
        self.add(action, item(ItemKind::ForeignDataWrapper, name), Mark::Privileged);
    }
}

fn database(name: &str) -> Object {
    Object::Database(Part::Known(Name::canonical(name)))
}

fn signature(signature: Option<&pg_query::protobuf::ObjectWithArgs>) -> &[Node] {
    signature.map(|signature| signature.objname.as_slice()).unwrap_or_default()
}
