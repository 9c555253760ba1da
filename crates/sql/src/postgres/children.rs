//! Every node of the grammar and what hangs below it.
//!
//! The table names each field of each node, so a field or node that a newer grammar adds does not compile until it has
//! been looked at. [`children`] is the generic step of every walk: whatever a walk does not treat itself is walked
//! through here, and nothing can hide. Nodes that only the server's own analysis makes are listed at the end: meeting
//! one in a text is `unknown`.
//!
//! Does not promise an order across lists and single nodes. Held by: `tests::a_walk_meets_every_node_of_the_tree`,
//! which counts against serde's view of the tree, and by the ledger test over `ledger/nodes.tsv`.

use pg_query::NodeRef;
use pg_query::protobuf::{self, Node};

fn list<'a>(nodes: &'a [Node], visit: &mut dyn FnMut(NodeRef<'a>)) {
    nodes.iter().filter_map(|node| node.node.as_ref()).for_each(|node| visit(node.to_ref()));
}

fn one<'a>(node: Option<&'a Node>, visit: &mut dyn FnMut(NodeRef<'a>)) {
    if let Some(node) = node.and_then(|node| node.node.as_ref()) {
        visit(node.to_ref());
    }
}

macro_rules! nodes {
    (
        written: $($variant:ident = $kind:ident {
            lists $($list:ident)*; nodes $($node:ident)*; parts $($part:ident : $as:ident)*; plain $($plain:ident)*
        })*;
        analysed: $($analysed:ident)*
    ) => {
        /// Visits what hangs directly below the node. False for a node that no text has.
        pub(super) fn children<'a>(node: NodeRef<'a>, visit: &mut dyn FnMut(NodeRef<'a>)) -> bool {
            match node {
                $(NodeRef::$variant(protobuf::$kind { $($list,)* $($node,)* $($part,)* $($plain: _,)* }) => {
                    $(list($list, visit);)*
                    $(one($node.as_deref(), visit);)*
                    $(if let Some(part) = $part { visit(NodeRef::$as(part)); })*
                    true
                })*
                $(NodeRef::$analysed(_))|* => false,
            }
        }

        /// The grammar's name of the node.
        pub(super) const fn tag(node: NodeRef<'_>) -> &'static str {
            match node {
                $(NodeRef::$variant(_) => stringify!($kind),)*
                $(NodeRef::$analysed(_) => stringify!($analysed),)*
            }
        }

        /// Every node: its name, and whether a text can have it.
        #[cfg(test)]
        pub(super) const NODES: &[(&str, bool)] = &[
            $((stringify!($kind), true),)*
            $((stringify!($analysed), false),)*
        ];
    };
}

#[rustfmt::skip]
nodes! {
    written:
    Alias = Alias { lists colnames; nodes; parts; plain aliasname }
    RangeVar = RangeVar {
        lists;
        nodes;
        parts alias:Alias;
        plain catalogname schemaname relname inh relpersistence location
    }
    GroupingFunc = GroupingFunc { lists args refs; nodes xpr; parts; plain agglevelsup location }
    NamedArgExpr = NamedArgExpr { lists; nodes xpr arg; parts; plain name argnumber location }
    BoolExpr = BoolExpr { lists args; nodes xpr; parts; plain boolop location }
    SubLink = SubLink { lists oper_name; nodes xpr testexpr subselect; parts; plain sub_link_type sub_link_id location }
    CaseExpr = CaseExpr { lists args; nodes xpr arg defresult; parts; plain casetype casecollid location }
    CaseWhen = CaseWhen { lists; nodes xpr expr result; parts; plain location }
    RowExpr = RowExpr { lists args colnames; nodes xpr; parts; plain row_typeid row_format location }
    CoalesceExpr = CoalesceExpr { lists args; nodes xpr; parts; plain coalescetype coalescecollid location }
    MinMaxExpr = MinMaxExpr { lists args; nodes xpr; parts; plain minmaxtype minmaxcollid inputcollid op location }
    SqlvalueFunction = SqlValueFunction { lists; nodes xpr; parts; plain op r#type typmod location }
    XmlExpr = XmlExpr {
        lists named_args arg_names args;
        nodes xpr;
        parts;
        plain op name xmloption indent r#type typmod location
    }
    NullTest = NullTest { lists; nodes xpr arg; parts; plain nulltesttype argisrow location }
    BooleanTest = BooleanTest { lists; nodes xpr arg; parts; plain booltesttype location }
    SetToDefault = SetToDefault { lists; nodes xpr; parts; plain type_id type_mod collation location }
    CurrentOfExpr = CurrentOfExpr { lists; nodes xpr; parts; plain cvarno cursor_name cursor_param }
    JoinExpr = JoinExpr {
        lists using_clause;
        nodes larg rarg quals;
        parts join_using_alias:Alias alias:Alias;
        plain jointype is_natural rtindex
    }
    IntoClause = IntoClause {
        lists col_names options;
        nodes;
        parts rel:RangeVar view_query:Query;
        plain access_method on_commit table_space_name skip_data
    }
    RawStmt = RawStmt { lists; nodes stmt; parts; plain stmt_location stmt_len }
    InsertStmt = InsertStmt {
        lists cols;
        nodes select_stmt;
        parts relation:RangeVar on_conflict_clause:OnConflictClause returning_clause:ReturningClause
            with_clause:WithClause;
        plain r#override
    }
    DeleteStmt = DeleteStmt {
        lists using_clause;
        nodes where_clause;
        parts relation:RangeVar returning_clause:ReturningClause with_clause:WithClause;
        plain
    }
    UpdateStmt = UpdateStmt {
        lists target_list from_clause;
        nodes where_clause;
        parts relation:RangeVar returning_clause:ReturningClause with_clause:WithClause;
        plain
    }
    SelectStmt = SelectStmt {
        lists distinct_clause target_list from_clause group_clause window_clause values_lists sort_clause
            locking_clause;
        nodes where_clause having_clause limit_offset limit_count;
        parts into_clause:IntoClause with_clause:WithClause larg:SelectStmt rarg:SelectStmt;
        plain group_distinct limit_option op all
    }
    AlterTableStmt = AlterTableStmt { lists cmds; nodes; parts relation:RangeVar; plain objtype missing_ok }
    AlterTableCmd = AlterTableCmd {
        lists;
        nodes def;
        parts newowner:RoleSpec;
        plain subtype name num behavior missing_ok recurse
    }
    AlterDomainStmt = AlterDomainStmt { lists type_name; nodes def; parts; plain subtype name behavior missing_ok }
    GrantStmt = GrantStmt {
        lists objects privileges grantees;
        nodes;
        parts grantor:RoleSpec;
        plain is_grant targtype objtype grant_option behavior
    }
    GrantRoleStmt = GrantRoleStmt {
        lists granted_roles grantee_roles opt;
        nodes;
        parts grantor:RoleSpec;
        plain is_grant behavior
    }
    AlterDefaultPrivilegesStmt = AlterDefaultPrivilegesStmt { lists options; nodes; parts action:GrantStmt; plain }
    ClosePortalStmt = ClosePortalStmt { lists; nodes; parts; plain portalname }
    ClusterStmt = ClusterStmt { lists params; nodes; parts relation:RangeVar; plain indexname }
    CopyStmt = CopyStmt {
        lists attlist options;
        nodes query where_clause;
        parts relation:RangeVar;
        plain is_from is_program filename
    }
    CreateStmt = CreateStmt {
        lists table_elts inh_relations constraints nnconstraints options;
        nodes;
        parts relation:RangeVar partbound:PartitionBoundSpec partspec:PartitionSpec of_typename:TypeName;
        plain oncommit tablespacename access_method if_not_exists
    }
    DefineStmt = DefineStmt { lists defnames args definition; nodes; parts; plain kind oldstyle if_not_exists replace }
    DropStmt = DropStmt { lists objects; nodes; parts; plain remove_type behavior missing_ok concurrent }
    TruncateStmt = TruncateStmt { lists relations; nodes; parts; plain restart_seqs behavior }
    CommentStmt = CommentStmt { lists; nodes object; parts; plain objtype comment }
    FetchStmt = FetchStmt { lists; nodes; parts; plain direction how_many portalname ismove }
    IndexStmt = IndexStmt {
        lists index_params index_including_params options exclude_op_names;
        nodes where_clause;
        parts relation:RangeVar;
        plain idxname access_method table_space idxcomment index_oid old_number old_create_subid
            old_first_relfilelocator_subid unique nulls_not_distinct primary isconstraint iswithoutoverlaps
            deferrable initdeferred transformed concurrent if_not_exists reset_default_tblspc
    }
    CreateFunctionStmt = CreateFunctionStmt {
        lists funcname parameters options;
        nodes sql_body;
        parts return_type:TypeName;
        plain is_procedure replace
    }
    AlterFunctionStmt = AlterFunctionStmt { lists actions; nodes; parts func:ObjectWithArgs; plain objtype }
    DoStmt = DoStmt { lists args; nodes; parts; plain }
    RenameStmt = RenameStmt {
        lists;
        nodes object;
        parts relation:RangeVar;
        plain rename_type relation_type subname newname behavior missing_ok
    }
    RuleStmt = RuleStmt {
        lists actions;
        nodes where_clause;
        parts relation:RangeVar;
        plain rulename event instead replace
    }
    NotifyStmt = NotifyStmt { lists; nodes; parts; plain conditionname payload payload_location }
    ListenStmt = ListenStmt { lists; nodes; parts; plain conditionname }
    UnlistenStmt = UnlistenStmt { lists; nodes; parts; plain conditionname }
    TransactionStmt = TransactionStmt { lists options; nodes; parts; plain kind savepoint_name gid chain location }
    ViewStmt = ViewStmt { lists aliases options; nodes query; parts view:RangeVar; plain replace with_check_option }
    LoadStmt = LoadStmt { lists; nodes; parts; plain filename }
    CreateDomainStmt = CreateDomainStmt {
        lists domainname constraints;
        nodes;
        parts type_name:TypeName coll_clause:CollateClause;
        plain
    }
    CreatedbStmt = CreatedbStmt { lists options; nodes; parts; plain dbname }
    DropdbStmt = DropdbStmt { lists options; nodes; parts; plain dbname missing_ok }
    VacuumStmt = VacuumStmt { lists options rels; nodes; parts; plain is_vacuumcmd }
    ExplainStmt = ExplainStmt { lists options; nodes query; parts; plain }
    CreateTableAsStmt = CreateTableAsStmt {
        lists;
        nodes query;
        parts into:IntoClause;
        plain objtype is_select_into if_not_exists
    }
    CreateSeqStmt = CreateSeqStmt {
        lists options;
        nodes;
        parts sequence:RangeVar;
        plain owner_id for_identity if_not_exists
    }
    AlterSeqStmt = AlterSeqStmt { lists options; nodes; parts sequence:RangeVar; plain for_identity missing_ok }
    VariableSetStmt = VariableSetStmt { lists args; nodes; parts; plain kind name jumble_args is_local location }
    VariableShowStmt = VariableShowStmt { lists; nodes; parts; plain name }
    DiscardStmt = DiscardStmt { lists; nodes; parts; plain target }
    CreateTrigStmt = CreateTrigStmt {
        lists funcname args columns transition_rels;
        nodes when_clause;
        parts relation:RangeVar constrrel:RangeVar;
        plain replace isconstraint trigname row timing events deferrable initdeferred
    }
    CreatePlangStmt = CreatePLangStmt {
        lists plhandler plinline plvalidator;
        nodes;
        parts;
        plain replace plname pltrusted
    }
    CreateRoleStmt = CreateRoleStmt { lists options; nodes; parts; plain stmt_type role }
    AlterRoleStmt = AlterRoleStmt { lists options; nodes; parts role:RoleSpec; plain action }
    DropRoleStmt = DropRoleStmt { lists roles; nodes; parts; plain missing_ok }
    LockStmt = LockStmt { lists relations; nodes; parts; plain mode nowait }
    ConstraintsSetStmt = ConstraintsSetStmt { lists constraints; nodes; parts; plain deferred }
    ReindexStmt = ReindexStmt { lists params; nodes; parts relation:RangeVar; plain kind name }
    CheckPointStmt = CheckPointStmt { lists; nodes; parts; plain }
    CreateSchemaStmt = CreateSchemaStmt {
        lists schema_elts;
        nodes;
        parts authrole:RoleSpec;
        plain schemaname if_not_exists
    }
    AlterDatabaseStmt = AlterDatabaseStmt { lists options; nodes; parts; plain dbname }
    AlterDatabaseSetStmt = AlterDatabaseSetStmt { lists; nodes; parts setstmt:VariableSetStmt; plain dbname }
    AlterRoleSetStmt = AlterRoleSetStmt { lists; nodes; parts role:RoleSpec setstmt:VariableSetStmt; plain database }
    CreateConversionStmt = CreateConversionStmt {
        lists conversion_name func_name;
        nodes;
        parts;
        plain for_encoding_name to_encoding_name def
    }
    CreateCastStmt = CreateCastStmt {
        lists;
        nodes;
        parts sourcetype:TypeName targettype:TypeName func:ObjectWithArgs;
        plain context inout
    }
    CreateOpClassStmt = CreateOpClassStmt {
        lists opclassname opfamilyname items;
        nodes;
        parts datatype:TypeName;
        plain amname is_default
    }
    CreateOpFamilyStmt = CreateOpFamilyStmt { lists opfamilyname; nodes; parts; plain amname }
    AlterOpFamilyStmt = AlterOpFamilyStmt { lists opfamilyname items; nodes; parts; plain amname is_drop }
    PrepareStmt = PrepareStmt { lists argtypes; nodes query; parts; plain name }
    ExecuteStmt = ExecuteStmt { lists params; nodes; parts; plain name }
    DeallocateStmt = DeallocateStmt { lists; nodes; parts; plain name isall location }
    DeclareCursorStmt = DeclareCursorStmt { lists; nodes query; parts; plain portalname options }
    CreateTableSpaceStmt = CreateTableSpaceStmt {
        lists options;
        nodes;
        parts owner:RoleSpec;
        plain tablespacename location
    }
    DropTableSpaceStmt = DropTableSpaceStmt { lists; nodes; parts; plain tablespacename missing_ok }
    AlterObjectDependsStmt = AlterObjectDependsStmt {
        lists;
        nodes object;
        parts relation:RangeVar;
        plain object_type extname remove
    }
    AlterObjectSchemaStmt = AlterObjectSchemaStmt {
        lists;
        nodes object;
        parts relation:RangeVar;
        plain object_type newschema missing_ok
    }
    AlterOwnerStmt = AlterOwnerStmt {
        lists;
        nodes object;
        parts relation:RangeVar newowner:RoleSpec;
        plain object_type
    }
    AlterOperatorStmt = AlterOperatorStmt { lists options; nodes; parts opername:ObjectWithArgs; plain }
    AlterTypeStmt = AlterTypeStmt { lists type_name options; nodes; parts; plain }
    AtalterConstraint = AtAlterConstraint {
        lists;
        nodes;
        parts;
        plain conname alter_enforceability is_enforced alter_deferrability deferrable initdeferred
            alter_inheritability noinherit
    }
    DropOwnedStmt = DropOwnedStmt { lists roles; nodes; parts; plain behavior }
    ReassignOwnedStmt = ReassignOwnedStmt { lists roles; nodes; parts newrole:RoleSpec; plain }
    CompositeTypeStmt = CompositeTypeStmt { lists coldeflist; nodes; parts typevar:RangeVar; plain }
    CreateEnumStmt = CreateEnumStmt { lists type_name vals; nodes; parts; plain }
    CreateRangeStmt = CreateRangeStmt { lists type_name params; nodes; parts; plain }
    AlterEnumStmt = AlterEnumStmt {
        lists type_name;
        nodes;
        parts;
        plain old_val new_val new_val_neighbor new_val_is_after skip_if_new_val_exists
    }
    AlterTsdictionaryStmt = AlterTsDictionaryStmt { lists dictname options; nodes; parts; plain }
    AlterTsconfigurationStmt = AlterTsConfigurationStmt {
        lists cfgname tokentype dicts;
        nodes;
        parts;
        plain kind r#override replace missing_ok
    }
    CreateFdwStmt = CreateFdwStmt { lists func_options options; nodes; parts; plain fdwname }
    AlterFdwStmt = AlterFdwStmt { lists func_options options; nodes; parts; plain fdwname }
    CreateForeignServerStmt = CreateForeignServerStmt {
        lists options;
        nodes;
        parts;
        plain servername servertype version fdwname if_not_exists
    }
    AlterForeignServerStmt = AlterForeignServerStmt {
        lists options;
        nodes;
        parts;
        plain servername version has_version
    }
    CreateUserMappingStmt = CreateUserMappingStmt {
        lists options;
        nodes;
        parts user:RoleSpec;
        plain servername if_not_exists
    }
    AlterUserMappingStmt = AlterUserMappingStmt { lists options; nodes; parts user:RoleSpec; plain servername }
    DropUserMappingStmt = DropUserMappingStmt { lists; nodes; parts user:RoleSpec; plain servername missing_ok }
    AlterTableSpaceOptionsStmt = AlterTableSpaceOptionsStmt {
        lists options;
        nodes;
        parts;
        plain tablespacename is_reset
    }
    AlterTableMoveAllStmt = AlterTableMoveAllStmt {
        lists roles;
        nodes;
        parts;
        plain orig_tablespacename objtype new_tablespacename nowait
    }
    SecLabelStmt = SecLabelStmt { lists; nodes object; parts; plain objtype provider label }
    CreateForeignTableStmt = CreateForeignTableStmt {
        lists options;
        nodes;
        parts base_stmt:CreateStmt;
        plain servername
    }
    ImportForeignSchemaStmt = ImportForeignSchemaStmt {
        lists table_list options;
        nodes;
        parts;
        plain server_name remote_schema local_schema list_type
    }
    CreateExtensionStmt = CreateExtensionStmt { lists options; nodes; parts; plain extname if_not_exists }
    AlterExtensionStmt = AlterExtensionStmt { lists options; nodes; parts; plain extname }
    AlterExtensionContentsStmt = AlterExtensionContentsStmt { lists; nodes object; parts; plain extname action objtype }
    CreateEventTrigStmt = CreateEventTrigStmt { lists whenclause funcname; nodes; parts; plain trigname eventname }
    AlterEventTrigStmt = AlterEventTrigStmt { lists; nodes; parts; plain trigname tgenabled }
    RefreshMatViewStmt = RefreshMatViewStmt { lists; nodes; parts relation:RangeVar; plain concurrent skip_data }
    ReplicaIdentityStmt = ReplicaIdentityStmt { lists; nodes; parts; plain identity_type name }
    AlterSystemStmt = AlterSystemStmt { lists; nodes; parts setstmt:VariableSetStmt; plain }
    CreatePolicyStmt = CreatePolicyStmt {
        lists roles;
        nodes qual with_check;
        parts table:RangeVar;
        plain policy_name cmd_name permissive
    }
    AlterPolicyStmt = AlterPolicyStmt { lists roles; nodes qual with_check; parts table:RangeVar; plain policy_name }
    CreateTransformStmt = CreateTransformStmt {
        lists;
        nodes;
        parts type_name:TypeName fromsql:ObjectWithArgs tosql:ObjectWithArgs;
        plain replace lang
    }
    CreateAmStmt = CreateAmStmt { lists handler_name; nodes; parts; plain amname amtype }
    CreatePublicationStmt = CreatePublicationStmt {
        lists options pubobjects;
        nodes;
        parts;
        plain pubname for_all_tables
    }
    AlterPublicationStmt = AlterPublicationStmt {
        lists options pubobjects;
        nodes;
        parts;
        plain pubname for_all_tables action
    }
    CreateSubscriptionStmt = CreateSubscriptionStmt {
        lists publication options;
        nodes;
        parts;
        plain subname conninfo conninfo_location
    }
    AlterSubscriptionStmt = AlterSubscriptionStmt {
        lists publication options;
        nodes;
        parts;
        plain kind subname conninfo conninfo_location
    }
    DropSubscriptionStmt = DropSubscriptionStmt { lists; nodes; parts; plain subname missing_ok behavior }
    CreateStatsStmt = CreateStatsStmt {
        lists defnames stat_types exprs relations;
        nodes;
        parts;
        plain stxcomment transformed if_not_exists
    }
    AlterCollationStmt = AlterCollationStmt { lists collname; nodes; parts; plain }
    CallStmt = CallStmt { lists outargs; nodes; parts funccall:FuncCall funcexpr:FuncExpr; plain }
    AlterStatsStmt = AlterStatsStmt { lists defnames; nodes stxstattarget; parts; plain missing_ok }
    AExpr = AExpr { lists name; nodes lexpr rexpr; parts; plain kind rexpr_list_start rexpr_list_end location }
    ColumnRef = ColumnRef { lists fields; nodes; parts; plain location }
    ParamRef = ParamRef { lists; nodes; parts; plain number location }
    AConst = AConst { lists; nodes; parts; plain isnull location val }
    FuncCall = FuncCall {
        lists funcname args agg_order;
        nodes agg_filter;
        parts over:WindowDef;
        plain agg_within_group agg_star agg_distinct func_variadic funcformat location
    }
    AStar = AStar { lists; nodes; parts; plain }
    AIndices = AIndices { lists; nodes lidx uidx; parts; plain is_slice }
    AIndirection = AIndirection { lists indirection; nodes arg; parts; plain }
    AArrayExpr = AArrayExpr { lists elements; nodes; parts; plain list_start list_end location }
    ResTarget = ResTarget { lists indirection; nodes val; parts; plain name location }
    MultiAssignRef = MultiAssignRef { lists; nodes source; parts; plain colno ncolumns }
    TypeCast = TypeCast { lists; nodes arg; parts type_name:TypeName; plain location }
    CollateClause = CollateClause { lists collname; nodes arg; parts; plain location }
    SortBy = SortBy { lists use_op; nodes node; parts; plain sortby_dir sortby_nulls location }
    WindowDef = WindowDef {
        lists partition_clause order_clause;
        nodes start_offset end_offset;
        parts;
        plain name refname frame_options location
    }
    RangeSubselect = RangeSubselect { lists; nodes subquery; parts alias:Alias; plain lateral }
    RangeFunction = RangeFunction {
        lists functions coldeflist;
        nodes;
        parts alias:Alias;
        plain lateral ordinality is_rowsfrom
    }
    RangeTableSample = RangeTableSample { lists method args; nodes relation repeatable; parts; plain location }
    RangeTableFunc = RangeTableFunc {
        lists namespaces columns;
        nodes docexpr rowexpr;
        parts alias:Alias;
        plain lateral location
    }
    RangeTableFuncCol = RangeTableFuncCol {
        lists;
        nodes colexpr coldefexpr;
        parts type_name:TypeName;
        plain colname for_ordinality is_not_null location
    }
    TypeName = TypeName {
        lists names typmods array_bounds;
        nodes;
        parts;
        plain type_oid setof pct_type typemod location
    }
    ColumnDef = ColumnDef {
        lists constraints fdwoptions;
        nodes raw_default cooked_default;
        parts type_name:TypeName identity_sequence:RangeVar coll_clause:CollateClause;
        plain colname compression inhcount is_local is_not_null is_from_type storage storage_name identity generated
            coll_oid location
    }
    IndexElem = IndexElem {
        lists collation opclass opclassopts;
        nodes expr;
        parts;
        plain name indexcolname ordering nulls_ordering
    }
    Constraint = Constraint {
        lists keys including exclusions options fk_attrs pk_attrs fk_del_set_cols old_conpfeqop;
        nodes raw_expr where_clause;
        parts pktable:RangeVar;
        plain contype conname deferrable initdeferred is_enforced skip_validation initially_valid is_no_inherit
            cooked_expr generated_when generated_kind nulls_not_distinct without_overlaps indexname indexspace
            reset_default_tblspc access_method fk_with_period pk_with_period fk_matchtype fk_upd_action fk_del_action
            old_pktable_oid location
    }
    DefElem = DefElem { lists; nodes arg; parts; plain defnamespace defname defaction location arg_location }
    GroupingSet = GroupingSet { lists content; nodes; parts; plain kind location }
    ObjectWithArgs = ObjectWithArgs { lists objname objargs objfuncargs; nodes; parts; plain args_unspecified }
    AccessPriv = AccessPriv { lists cols; nodes; parts; plain priv_name }
    CreateOpClassItem = CreateOpClassItem {
        lists order_family class_args;
        nodes;
        parts name:ObjectWithArgs storedtype:TypeName;
        plain itemtype number
    }
    TableLikeClause = TableLikeClause { lists; nodes; parts relation:RangeVar; plain options relation_oid }
    FunctionParameter = FunctionParameter { lists; nodes defexpr; parts arg_type:TypeName; plain name mode location }
    LockingClause = LockingClause { lists locked_rels; nodes; parts; plain strength wait_policy }
    XmlSerialize = XmlSerialize { lists; nodes expr; parts type_name:TypeName; plain xmloption indent location }
    WithClause = WithClause { lists ctes; nodes; parts; plain recursive location }
    InferClause = InferClause { lists index_elems; nodes where_clause; parts; plain conname location }
    OnConflictClause = OnConflictClause {
        lists target_list;
        nodes where_clause;
        parts infer:InferClause;
        plain action location
    }
    CommonTableExpr = CommonTableExpr {
        lists aliascolnames ctecolnames ctecoltypes ctecoltypmods ctecolcollations;
        nodes ctequery;
        parts search_clause:CtesearchClause cycle_clause:CtecycleClause;
        plain ctename ctematerialized location cterecursive cterefcount
    }
    RoleSpec = RoleSpec { lists; nodes; parts; plain roletype rolename location }
    TriggerTransition = TriggerTransition { lists; nodes; parts; plain name is_new is_table }
    PartitionElem = PartitionElem { lists collation opclass; nodes expr; parts; plain name location }
    PartitionSpec = PartitionSpec { lists part_params; nodes; parts; plain strategy location }
    PartitionBoundSpec = PartitionBoundSpec {
        lists listdatums lowerdatums upperdatums;
        nodes;
        parts;
        plain strategy is_default modulus remainder location
    }
    PartitionRangeDatum = PartitionRangeDatum { lists; nodes value; parts; plain kind location }
    PartitionCmd = PartitionCmd { lists; nodes; parts name:RangeVar bound:PartitionBoundSpec; plain concurrent }
    VacuumRelation = VacuumRelation { lists va_cols; nodes; parts relation:RangeVar; plain oid }
    Integer = Integer { lists; nodes; parts; plain ival }
    Float = Float { lists; nodes; parts; plain fval }
    Boolean = Boolean { lists; nodes; parts; plain boolval }
    String = String { lists; nodes; parts; plain sval }
    BitString = BitString { lists; nodes; parts; plain bsval }
    List = List { lists items; nodes; parts; plain }
    MergeStmt = MergeStmt {
        lists merge_when_clauses;
        nodes source_relation join_condition;
        parts relation:RangeVar returning_clause:ReturningClause with_clause:WithClause;
        plain
    }
    AlterDatabaseRefreshCollStmt = AlterDatabaseRefreshCollStmt { lists; nodes; parts; plain dbname }
    ReturnStmt = ReturnStmt { lists; nodes returnval; parts; plain }
    ReturningClause = ReturningClause { lists options exprs; nodes; parts; plain }
    ReturningOption = ReturningOption { lists; nodes; parts; plain option value location }
    PlassignStmt = PlAssignStmt { lists indirection; nodes; parts val:SelectStmt; plain name nnames location }
    StatsElem = StatsElem { lists; nodes expr; parts; plain name }
    CtesearchClause = CteSearchClause {
        lists search_col_list;
        nodes;
        parts;
        plain search_breadth_first search_seq_column location
    }
    CtecycleClause = CteCycleClause {
        lists cycle_col_list;
        nodes cycle_mark_value cycle_mark_default;
        parts;
        plain cycle_mark_column cycle_path_column location cycle_mark_type cycle_mark_typmod cycle_mark_collation
            cycle_mark_neop
    }
    MergeWhenClause = MergeWhenClause {
        lists target_list values;
        nodes condition;
        parts;
        plain match_kind command_type r#override
    }
    PublicationObjSpec = PublicationObjSpec {
        lists;
        nodes;
        parts pubtable:PublicationTable;
        plain pubobjtype name location
    }
    PublicationTable = PublicationTable { lists columns; nodes where_clause; parts relation:RangeVar; plain }
    JsonFormat = JsonFormat { lists; nodes; parts; plain format_type encoding location }
    JsonReturning = JsonReturning { lists; nodes; parts format:JsonFormat; plain typid typmod }
    JsonValueExpr = JsonValueExpr { lists; nodes raw_expr formatted_expr; parts format:JsonFormat; plain }
    JsonIsPredicate = JsonIsPredicate {
        lists;
        nodes expr;
        parts format:JsonFormat;
        plain item_type unique_keys location
    }
    JsonOutput = JsonOutput { lists; nodes; parts type_name:TypeName returning:JsonReturning; plain }
    JsonKeyValue = JsonKeyValue { lists; nodes key; parts value:JsonValueExpr; plain }
    JsonObjectConstructor = JsonObjectConstructor {
        lists exprs;
        nodes;
        parts output:JsonOutput;
        plain absent_on_null unique location
    }
    JsonArrayConstructor = JsonArrayConstructor {
        lists exprs;
        nodes;
        parts output:JsonOutput;
        plain absent_on_null location
    }
    JsonArrayQueryConstructor = JsonArrayQueryConstructor {
        lists;
        nodes query;
        parts output:JsonOutput format:JsonFormat;
        plain absent_on_null location
    }
    JsonAggConstructor = JsonAggConstructor {
        lists agg_order;
        nodes agg_filter;
        parts output:JsonOutput over:WindowDef;
        plain location
    }
    JsonObjectAgg = JsonObjectAgg {
        lists;
        nodes;
        parts constructor:JsonAggConstructor arg:JsonKeyValue;
        plain absent_on_null unique
    }
    JsonArrayAgg = JsonArrayAgg {
        lists;
        nodes;
        parts constructor:JsonAggConstructor arg:JsonValueExpr;
        plain absent_on_null
    }
    MergeSupportFunc = MergeSupportFunc { lists; nodes xpr; parts; plain msftype msfcollid location }
    JsonBehavior = JsonBehavior { lists; nodes expr; parts; plain btype coerce location }
    JsonArgument = JsonArgument { lists; nodes; parts val:JsonValueExpr; plain name }
    JsonFuncExpr = JsonFuncExpr {
        lists passing;
        nodes pathspec;
        parts context_item:JsonValueExpr output:JsonOutput on_empty:JsonBehavior on_error:JsonBehavior;
        plain op column_name wrapper quotes location
    }
    JsonTablePathSpec = JsonTablePathSpec { lists; nodes string; parts; plain name name_location location }
    JsonTable = JsonTable {
        lists passing columns;
        nodes;
        parts context_item:JsonValueExpr pathspec:JsonTablePathSpec on_error:JsonBehavior alias:Alias;
        plain lateral location
    }
    JsonTableColumn = JsonTableColumn {
        lists columns;
        nodes;
        parts type_name:TypeName pathspec:JsonTablePathSpec format:JsonFormat on_empty:JsonBehavior
            on_error:JsonBehavior;
        plain coltype name wrapper quotes location
    }
    JsonParseExpr = JsonParseExpr {
        lists;
        nodes;
        parts expr:JsonValueExpr output:JsonOutput;
        plain unique_keys location
    }
    JsonScalarExpr = JsonScalarExpr { lists; nodes expr; parts output:JsonOutput; plain location }
    JsonSerializeExpr = JsonSerializeExpr { lists; nodes; parts expr:JsonValueExpr output:JsonOutput; plain location };
    analysed:
        TableFunc Var Param Aggref WindowFunc SubscriptingRef FuncExpr OpExpr DistinctExpr NullIfExpr
        ScalarArrayOpExpr SubPlan AlternativeSubPlan FieldSelect FieldStore RelabelType CoerceViaIo ArrayCoerceExpr
        ConvertRowtypeExpr CollateExpr CaseTestExpr ArrayExpr RowCompareExpr CoerceToDomain CoerceToDomainValue
        NextValueExpr InferenceElem TargetEntry RangeTblRef FromExpr OnConflictExpr Query RangeTblEntry
        RangeTblFunction TableSampleClause WithCheckOption SortGroupClause WindowClause RowMarkClause
        InlineCodeBlock CallContext IntList OidList MergeAction ReturningExpr RtepermissionInfo
        WindowFuncRunCondition JsonConstructorExpr JsonExpr JsonTablePath JsonTablePathScan JsonTableSiblingJoin
        SetOperationStmt
}
