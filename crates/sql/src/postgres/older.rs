//! What the grammar of PostgreSQL 18 reads as syntax of its own, and older servers as something that a user made.
//!
//! Servers before 16 or 17 take `json_array(5)` for a call of whatever function the path has by that name, `system_user` for a
//! column, and `json` for a type that is looked up. Promises: such a use counts as the call, the column and the type too,
//! where the catalogue has one; on newer servers only a quoted name reaches those, so nothing ordinary is lost. What older
//! servers reject in either reading is not looked at, nor are keywords that every supported server knows.
//! Held by: `fixtures/sql/functions.tsv`, `fixtures/sql/lineage.tsv`, and `crates/portcullis/tests/it/raw_names.rs` against
//! a real server of such a version.

use super::names::{CATALOGUE, Standing};
use pg_query::NodeRef;
use pg_query::protobuf::{FuncCall, JsonExprOp};
use portcullis_model::{Part, QualifiedName};

/// The column that older servers may take a key word of newer ones for.
pub(super) const SYSTEM_USER: &str = "system_user";

/// The function that older servers call by this name, where newer ones have syntax.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other node is read alike by all")]
pub(super) fn called(node: NodeRef<'_>) -> Option<&'static str> {
    match node {
        NodeRef::JsonFuncExpr(call) => match call.op() {
            JsonExprOp::JsonExistsOp => Some("json_exists"),
            JsonExprOp::JsonQueryOp => Some("json_query"),
            JsonExprOp::JsonValueOp => Some("json_value"),
            // It has clauses that no call has.
            JsonExprOp::JsonTableOp | JsonExprOp::Undefined => None,
        },
        NodeRef::JsonScalarExpr(_) => Some("json_scalar"),
        NodeRef::JsonSerializeExpr(_) => Some("json_serialize"),
        NodeRef::JsonParseExpr(_) => Some("json"),
        NodeRef::JsonArrayConstructor(_) | NodeRef::JsonArrayQueryConstructor(_) => Some("json_array"),
        NodeRef::JsonObjectConstructor(_) => Some("json_object"),
        NodeRef::JsonArrayAgg(_) => Some("json_arrayagg"),
        NodeRef::JsonObjectAgg(_) => Some("json_objectagg"),
        NodeRef::MergeSupportFunc(_) => Some("merge_action"),
        _ => None,
    }
}

/// The schema of a call as older servers see it: the grammar itself writes `pg_catalog` before `json_object`.
pub(super) fn written_schema<'n>(schema: Option<&'n str>, name: &str) -> Option<&'n str> {
    schema.filter(|schema| *schema != CATALOGUE || name != "json_object")
}

/// Whether it is `SYSTEM_USER`, which the grammar makes a call.
pub(super) fn is_system_user(call: &FuncCall, schema: Option<&str>, name: &str) -> bool {
    name == SYSTEM_USER && call.args.is_empty() && schema == Some(CATALOGUE)
}

impl Standing<'_> {
    /// The functions that a node may call on older servers: users' functions of that name which the path reaches.
    pub(super) fn called_on_older(&self, node: NodeRef<'_>) -> Vec<QualifiedName> {
        let Some(name) = called(node) else { return Vec::new() };
        let mut users = self.function(None, name).user;
        users.retain(|function| function.schema != Part::Unknown);
        users
    }
}
