//! What a statement does to its own session: settings, role, transactions, prepared statements, cursors, channels.
//!
//! Promises: a setting that is not presentation is `configure setting`; one that text is read by is also `dynamic` when
//! it would leave the value the gateway reads by; a change of the search path or role is an effect, so later text is
//! judged under it. PREPARE is what it contains. Held by: `fixtures/sql/session.tsv`.

use super::expression::constant;
use super::lists::{Unquoted, listed_names};
use super::names;
use super::reader::Reader;
use crate::builtins::{self, SettingClass};
use crate::reading::{Effect, SearchPathValue};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    self, DiscardMode, Node, Token, TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt, a_const,
};
use portcullis_model::{Action, Mark, Marks, Name, Object, Part};

/// The value of one argument of SET, as text.
fn value(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::AConst(constant) => Some(match constant.val.as_ref()? {
            a_const::Val::Ival(value) => value.ival.to_string(),
            a_const::Val::Fval(value) => value.fval.clone(),
            a_const::Val::Boolval(value) => value.boolval.to_string(),
            a_const::Val::Sval(value) => value.sval.clone(),
            a_const::Val::Bsval(value) => value.bsval.clone(),
        }),
        NodeEnum::TypeCast(cast) => value(cast.arg.as_deref()?),
        NodeEnum::String(text) => Some(text.sval.clone()),
        _ => None,
    }
}

/// A search path of these names; one that the server would shorten is not guessed at.
fn path(names: Vec<String>) -> SearchPathValue {
    /// `NAMEDATALEN` less the closing NUL.
    const LONGEST: usize = 63;
    if names.iter().any(|name| name.len() > LONGEST) {
        return SearchPathValue::Unknown;
    }
    SearchPathValue::List(names.into_iter().map(Name::canonical).collect())
}

impl<'t> Reader<'_, 't> {
    pub(super) fn set(&mut self, statement: &'t VariableSetStmt) {
        let values: Option<Vec<String>> = statement.args.iter().map(value).collect();
        let local = statement.is_local;
        match statement.kind() {
            VariableSetKind::VarResetAll => self.gathered.effects.push(Effect::ResetAll),
            VariableSetKind::VarSetMulti => self.set_transaction(statement),
            VariableSetKind::VarSetDefault | VariableSetKind::VarReset => {
                self.setting(&statement.name, None, local, true)
            }
            VariableSetKind::VarSetValue => self.setting(&statement.name, values, local, false),
            VariableSetKind::VarSetCurrent | VariableSetKind::Undefined => {
                let name = Part::known(statement.name.to_ascii_lowercase());
                self.add(Action::Configure, Object::Setting(name), Mark::Dynamic);
            }
        }
        self.walk_all(&statement.args);
    }

    /// SET TRANSACTION and SET SESSION CHARACTERISTICS: isolation and read-only of the session's own transactions.
    fn set_transaction(&mut self, statement: &'t VariableSetStmt) {
        if statement.name == "TRANSACTION SNAPSHOT" {
            let name = Part::known("transaction_snapshot");
            self.add(Action::Configure, Object::Setting(name), Marks::NONE);
        }
        let local = statement.name != "SESSION CHARACTERISTICS";
        self.isolation(&statement.args, local);
    }

    /// What these modes make of the isolation: of the transaction, or of those to come. The usual one is none to speak of.
    fn isolation(&mut self, modes: &[Node], local: bool) {
        let isolates = modes.iter().any(|mode| match &mode.node {
            Some(NodeEnum::DefElem(mode)) => {
                mode.defname == "transaction_isolation" && constant(mode.arg.as_deref()) != Some("read committed")
            }
            Some(_) | None => false,
        });
        if isolates {
            let name = if local { "transaction_isolation" } else { "default_transaction_isolation" };
            self.gathered.effects.push(Effect::Setting { name: Name::canonical(name), local });
        }
    }

    /// One setting gets a value (`None`: not told), or its default.
    fn setting(&mut self, name: &str, values: Option<Vec<String>>, local: bool, default: bool) {
        let name = name.to_ascii_lowercase();
        if matches!(name.as_str(), "role" | "session_authorization") {
            // Back to what the login began with, as DISCARD ALL does and pools send it. `SET ROLE NONE` has a value.
            if default {
                return self.gathered.effects.push(Effect::Role);
            }
            return self.becomes(values.as_deref());
        }
        let canonical = Name::canonical(name.as_str());
        match builtins::setting_class(&name) {
            SettingClass::Presentation => {}
            SettingClass::SearchPath => {
                let value = match values {
                    _ if default => SearchPathValue::Default,
                    Some(values) => path(values),
                    None => SearchPathValue::Unknown,
                };
                self.gathered.effects.push(Effect::SearchPath { value, local });
            }
            SettingClass::Pinned => {
                let kept = values
                    .as_deref()
                    .is_some_and(|values| matches!(values, [value] if builtins::pinned_value_ok(&name, value)));
                if !kept {
                    self.add(Action::Configure, Object::Setting(Part::Known(canonical.clone())), Mark::Dynamic);
                }
            }
            SettingClass::Other => {
                self.add(Action::Configure, Object::Setting(Part::Known(canonical.clone())), Marks::NONE);
            }
        }
        self.gathered.effects.push(Effect::Setting { name: canonical, local });
    }

    fn becomes(&mut self, values: Option<&[String]>) {
        let role = match values {
            Some([role]) => Part::known(role.as_str()),
            Some(_) | None => Part::Unknown,
        };
        self.add(Action::Become, Object::Role(role), Marks::NONE);
        self.gathered.effects.push(Effect::Role);
    }

    /// `set_config(name, value, local)`.
    pub(super) fn set_config(&mut self, args: &'t [Node]) {
        let [name, value, ..] = args else { return self.unknown(Marks::NONE) };
        let local = match args.get(2).and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::AConst(constant)) => match &constant.val {
                Some(a_const::Val::Boolval(local)) => local.boolval,
                _ => false,
            },
            _ => false,
        };
        match constant(Some(name)) {
            Some(name) => {
                let text = constant(Some(value));
                if builtins::setting_class(name) == SettingClass::SearchPath {
                    let value = text
                        .and_then(|text| listed_names(text, Unquoted::Folded))
                        .map_or(SearchPathValue::Unknown, path);
                    self.gathered.effects.push(Effect::SearchPath { value, local });
                    self.gathered.effects.push(Effect::Setting { name: Name::canonical("search_path"), local });
                } else {
                    self.setting(name, text.map(|text| vec![text.to_owned()]), local, false);
                }
            }
            None => {
                self.add(Action::Configure, Object::Setting(Part::Unknown), Mark::Dynamic);
                self.gathered.effects.push(Effect::SearchPath { value: SearchPathValue::Unknown, local });
                self.gathered.effects.push(Effect::Role);
            }
        }
    }

    pub(super) fn transaction(&mut self, statement: &'t TransactionStmt) {
        let savepoint = || Name::canonical(statement.savepoint_name.as_str());
        let chain = statement.chain;
        let (effect, writes) = match statement.kind() {
            TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart => (Effect::Begin, false),
            TransactionStmtKind::TransStmtCommit => (Effect::Commit { chain }, true),
            TransactionStmtKind::TransStmtRollback => (Effect::Rollback { chain }, false),
            TransactionStmtKind::TransStmtSavepoint => (Effect::Savepoint(savepoint()), false),
            TransactionStmtKind::TransStmtRelease => (Effect::Release(savepoint()), false),
            TransactionStmtKind::TransStmtRollbackTo => (Effect::RollbackTo(savepoint()), false),
            // What is prepared keeps its locks behind the session, and any session of the login may end it.
            TransactionStmtKind::TransStmtPrepare
            | TransactionStmtKind::TransStmtCommitPrepared
            | TransactionStmtKind::TransStmtRollbackPrepared => {
                self.add(Action::Lock, Object::Database(Part::Unknown), Mark::Locks);
                (Effect::TwoPhase, true)
            }
            TransactionStmtKind::Undefined => return self.unknown(Marks::NONE),
        };
        self.gathered.effects.push(effect);
        self.isolation(&statement.options, true);
        self.gathered.writes |= writes;
    }

    pub(super) fn discard(&mut self, statement: &protobuf::DiscardStmt) {
        match statement.target() {
            DiscardMode::DiscardAll => self.gathered.effects.push(Effect::DiscardAll),
            DiscardMode::DiscardTemp => self.gathered.effects.push(Effect::DropsTemporary(None)),
            DiscardMode::DiscardPlans | DiscardMode::DiscardSequences => {}
            DiscardMode::Undefined => self.unknown(Marks::NONE),
        }
    }

    pub(super) fn prepare(&mut self, statement: &'t protobuf::PrepareStmt) {
        let name = Name::canonical(statement.name.as_str());
        match self.text.get(self.span.clone()).and_then(inner_text) {
            Some(inner) => self.gathered.effects.push(Effect::Prepare { name, text: inner.into() }),
            None => self.unknown(Mark::Dynamic),
        }
        for node in &statement.argtypes {
            self.walk_node(Some(node));
        }
        self.query_node(statement.query.as_deref());
    }

    /// SET in the head of a function: for its runs, not for this session.
    pub(super) fn set_for_function(&mut self, node: Option<&'t Node>) {
        let effects = self.gathered.effects.len();
        self.walk_node(node);
        self.gathered.effects.truncate(effects);
    }

    pub(super) fn execute(&mut self, statement: &'t protobuf::ExecuteStmt) {
        self.gathered.executes.push(Name::canonical(statement.name.as_str()));
        self.walk_all(&statement.params);
    }

    pub(super) fn deallocate(&mut self, statement: &protobuf::DeallocateStmt) {
        let name = (!statement.isall).then(|| Name::canonical(statement.name.as_str()));
        self.gathered.effects.push(Effect::Deallocate(name));
    }

    pub(super) fn declare_cursor(&mut self, statement: &'t protobuf::DeclareCursorStmt) {
        /// `CURSOR_OPT_HOLD`.
        const HOLD: i32 = 0x0020;
        self.gathered.effects.push(Effect::DeclareCursor {
            name: Name::canonical(statement.portalname.as_str()),
            hold: statement.options & HOLD != 0,
        });
        self.query_node(statement.query.as_deref());
    }

    pub(super) fn close_cursor(&mut self, statement: &protobuf::ClosePortalStmt) {
        let name = statement.portalname.as_str();
        let name = (!name.is_empty()).then(|| Name::canonical(name));
        self.gathered.effects.push(Effect::CloseCursor(name));
    }

    pub(super) fn fetch(&mut self, statement: &protobuf::FetchStmt) {
        self.gathered.fetches.push(Name::canonical(statement.portalname.as_str()));
    }

    /// LISTEN and NOTIFY.
    pub(super) fn channel(&mut self, action: Action, name: &str) {
        self.add(action, Object::Channel(Part::known(name)), Marks::NONE);
    }

    /// EXPLAIN in every spelling: what it explains.
    pub(super) fn explain(&mut self, statement: &'t protobuf::ExplainStmt) {
        self.walk_all(&statement.options);
        match super::expression::inner(statement.query.as_deref()) {
            Some(node) => self.statement(node),
            None => self.unknown(Marks::NONE),
        }
        // An explained DECLARE declares nothing; whatever functions change is changed, if it is executed.
        self.gathered.effects.retain(|effect| !matches!(effect, Effect::DeclareCursor { .. } | Effect::Prepare { .. }));
    }

    pub(super) fn call_procedure(&mut self, statement: &'t protobuf::CallStmt) {
        match &statement.funccall {
            Some(call) => {
                let parts = names::strings(&call.funcname).unwrap_or_default();
                let (schema, name) = match parts.as_slice() {
                    [.., schema, name] => (Some(*schema), *name),
                    [name] => (None, *name),
                    [] => return self.unknown(Marks::NONE),
                };
                let mut callee = self.standing.function(schema, name);
                if callee.user.is_empty() {
                    callee.user.push(portcullis_model::QualifiedName::new(names::CATALOGUE, name));
                }
                self.callee(&callee, name, Marks::NONE);
                self.walk_all(&call.args);
            }
            None => self.unknown(Marks::NONE),
        }
    }
}

/// The statement inside PREPARE: what stands behind its AS.
fn inner_text(text: &str) -> Option<&str> {
    let tokens = pg_query::scan(text).ok()?.tokens;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.token() {
            Token::Ascii40 => depth += 1,
            Token::Ascii41 => depth = depth.saturating_sub(1),
            Token::As if depth == 0 && at > 1 => {
                return text.get(usize::try_from(token.end).ok()?..).map(str::trim);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_inside_prepare_is_whole() {
        assert_eq!(inner_text("PREPARE p AS SELECT 1 AS x"), Some("SELECT 1 AS x"));
        assert_eq!(inner_text("prepare \"as\"(int, numeric(3,1)) as delete from t"), Some("delete from t"));
        assert_eq!(inner_text("PREPARE p /* AS */ AS VALUES (1)"), Some("VALUES (1)"));
    }

    #[test]
    fn a_path_with_a_name_that_the_server_shortens_is_not_guessed_at() {
        assert!(matches!(path(vec!["a".repeat(63)]), SearchPathValue::List(_)));
        assert!(matches!(path(vec!["a".to_owned(), "b".repeat(64)]), SearchPathValue::Unknown));
    }
}
