//! What names mean in this session now: the search path, the session's own temporary relations, the current user.
//!
//! A statement's effects change what is believed at its CommandComplete; whatever could have been changed or taken back
//! otherwise (a rollback, DISCARD, code that is not known) makes the tracker stale, and the server is asked
//! ([`ASK_SCOPE`](crate::own::ASK_SCOPE)) at the next quiet point before anything more is judged. Until then a belief
//! that may be wrong is [`SearchPath::Unknown`], so that names resolve to `?`.
//!
//! Promises: never believes a path or a set of temporary relations that a known statement may have changed; asks only
//! where asking changes nothing for the client: outside a transaction, or in one that has run a query already.
//! Does not promise to see what a function does to the search path inside a transaction that it runs in, beyond marking
//! names that the catalogue does not have as uncertain.
//! Held by: the tests below, and `tests/it/scope.rs` against a real server.

use crate::classify::Under;
use crate::message::TransactionStatus;
use portcullis_model::{Catalogue, Digest, Name};
use portcullis_sql::{Effect, Scope, SearchPath, SearchPathValue};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is believed about names, and what must be asked.
pub(crate) struct Tracker {
    path: SearchPath,
    user: Option<Name>,
    temporary: Arc<BTreeSet<Name>>,
    uncertain: bool,
    /// The server must be asked.
    stale: bool,
    /// Schemas that the server has named in a path: the session may use them.
    listed: BTreeSet<Name>,
    /// The session changed its role, so that this is not known of any.
    roles: bool,
    /// Schemas or the path itself may have been changed by other means than a setting since the server named it.
    altered: bool,
    /// Until it was, no path that a statement sets is believed.
    doubted: bool,
    /// Path, temporary relations or role were changed in the open transaction.
    touched: bool,
    /// The open transaction changed the catalogue.
    redefined: bool,
    /// The open transaction has run a query, so one more changes nothing.
    queried: bool,
    /// A statement of the open transaction failed.
    failed: bool,
    revision: u64,
    /// The digest of all this, and of which revision.
    context: Option<(u64, Digest)>,
}

impl Tracker {
    /// Knows nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            path: SearchPath::Unknown,
            user: None,
            temporary: Arc::new(BTreeSet::new()),
            uncertain: false,
            stale: true,
            listed: BTreeSet::new(),
            roles: false,
            altered: false,
            doubted: false,
            touched: false,
            redefined: false,
            queried: false,
            failed: false,
            revision: 0,
            context: None,
        }
    }

    /// Changes with every change of belief: what was read under another revision is read again.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// The path of this moment, and whether it is known to be the server's: a schema that the session may not use is left
    /// out there, so one that the server has not named yet is only believed.
    pub(crate) fn under(&self) -> Under {
        match &self.path {
            SearchPath::Known(path) if !self.altered => {
                let named = |schema: &Name| !self.roles && self.listed.contains(schema);
                let told = !self.stale || path.iter().all(named);
                if told { Under::Told(Arc::clone(path)) } else { Under::Believed(Arc::clone(path)) }
            }
            SearchPath::Known(_) | SearchPath::Unknown => Under::Unknown,
        }
    }

    /// The scope to read a text in.
    pub(crate) fn scope(&self, catalogue: Arc<Catalogue>) -> Scope {
        Scope {
            catalogue,
            search_path: self.path.clone(),
            temporary: Arc::clone(&self.temporary),
            uncertain: self.uncertain,
            user: self.user.clone(),
            assume: None,
        }
    }

    /// Whether the server must be asked, and may be in this transaction status.
    pub(crate) const fn asks(&self, status: TransactionStatus) -> bool {
        match status {
            TransactionStatus::Idle => self.stale,
            TransactionStatus::Open => self.stale && self.queried,
            TransactionStatus::Failed => false,
        }
    }

    /// A statement completed.
    pub(crate) fn completed(&mut self, effects: &[Effect], catalogue: &Arc<Catalogue>) {
        for effect in effects {
            self.apply(effect, catalogue);
        }
    }

    fn apply(&mut self, effect: &Effect, catalogue: &Arc<Catalogue>) {
        match effect {
            Effect::SearchPath { value, local: _ } => {
                self.path = match value {
                    SearchPathValue::List(names) if !self.doubted => {
                        self.scope(Arc::clone(catalogue)).effective_path(names)
                    }
                    SearchPathValue::List(_) | SearchPathValue::Default | SearchPathValue::Unknown => {
                        SearchPath::Unknown
                    }
                };
                // A path that is told later does not say what was hidden before: the server does.
                self.doubted |= *value == SearchPathValue::Unknown;
                self.touch();
            }
            Effect::CreatesTemporary(names) => {
                Arc::make_mut(&mut self.temporary).extend(names.iter().cloned());
                self.queried = true;
                self.touch();
            }
            Effect::DropsTemporary(names) => {
                let temporary = Arc::make_mut(&mut self.temporary);
                match names {
                    Some(names) => temporary.retain(|name| !names.contains(name)),
                    None => temporary.clear(),
                }
                self.queried = true;
                self.touch();
            }
            Effect::ChangesCatalogue => {
                self.redefined = true;
                self.uncertain = true;
                self.queried = true;
                self.altered = true;
                self.listed.clear();
                // It may have dropped or renamed a temporary relation, which then hides nothing any more.
                if !self.temporary.is_empty() {
                    self.doubt();
                }
                self.revision += 1;
            }
            Effect::Role => {
                self.roles = true;
                self.doubt();
            }
            Effect::DiscardAll | Effect::ResetAll => self.doubt(),
            // What an end or a rollback takes back depends on what it was.
            Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_) | Effect::TwoPhase => {
                if self.touched {
                    self.doubt();
                }
                if self.redefined {
                    self.altered = true;
                    self.revision += 1;
                }
            }
            Effect::Begin
            | Effect::Savepoint(_)
            | Effect::Release(_)
            | Effect::Prepare { .. }
            | Effect::Deallocate(_)
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor(_)
            | Effect::Setting { .. } => {}
        }
    }

    /// A statement failed.
    pub(crate) const fn failed(&mut self) {
        self.failed = true;
    }

    /// Whether what is believed about names may change without a further statement: the open transaction changed it and
    /// its end may take that back, or the server is still to be asked.
    pub(crate) const fn is_unsettled(&self) -> bool {
        self.touched || self.stale
    }

    /// Over everything that changes what a text means, for approvals.
    pub(crate) fn context(&mut self) -> Digest {
        if let Some((revision, digest)) = self.context
            && revision == self.revision
        {
            return digest;
        }
        let mut text = match &self.path {
            SearchPath::Known(names) => names.iter().map(|name| format!("{name}\0")).collect::<String>(),
            SearchPath::Unknown => "?".to_owned(),
        };
        text.push('\n');
        text.push_str(self.user.as_ref().map_or("", Name::as_str));
        text.extend(self.temporary.iter().map(|name| format!("\0{name}")));
        let digest = Digest::of(text.as_bytes());
        self.context = Some((self.revision, digest));
        digest
    }

    /// Code ran whose text is not known: a user's function, or with `dynamic` code written by the caller itself.
    pub(crate) fn ran_code(&mut self, dynamic: bool) {
        self.queried = true;
        self.uncertain = true;
        self.altered = true;
        if dynamic {
            self.listed.clear();
            // It may have run DDL as well.
            self.redefined = true;
            self.doubt();
        } else {
            self.touch();
        }
    }

    fn touch(&mut self) {
        self.touched = true;
        self.stale = true;
        self.revision += 1;
    }

    fn doubt(&mut self) {
        self.path = SearchPath::Unknown;
        self.touch();
    }

    /// The server is ready for more. True when the catalogue must be loaded anew before anything more is judged.
    pub(crate) fn ready(&mut self, status: TransactionStatus) -> bool {
        if status != TransactionStatus::Idle {
            return false;
        }
        if self.touched {
            // What was changed is taken back if the transaction failed, at its end too.
            if self.failed { self.doubt() } else { self.touch() }
        }
        if self.uncertain {
            self.revision += 1;
        }
        (self.uncertain, self.touched, self.queried, self.failed) = (false, false, false, false);
        // A schema that was made or renamed may be on the path now.
        self.stale |= self.redefined;
        std::mem::take(&mut self.redefined)
    }

    /// The server was asked and said this: the four columns of [`ASK_SCOPE`](crate::own::ASK_SCOPE).
    pub(crate) fn answered(&mut self, row: Option<Answered>) {
        (self.stale, self.doubted, self.altered) = (false, false, false);
        self.revision += 1;
        match row {
            Some(row) => {
                // A function may have changed the role.
                self.roles |= self.user.as_ref().is_some_and(|user| *user != row.user);
                self.listed.extend(row.path.iter().flatten().cloned());
                self.path = row.path.map_or(SearchPath::Unknown, |path| SearchPath::Known(path.into()));
                self.user = Some(row.user);
                self.temporary = Arc::new(row.temporary);
            }
            None => self.path = SearchPath::Unknown,
        }
    }
}

/// What the server says names mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// None where it cannot be expressed.
    path: Option<Vec<Name>>,
    user: Name,
    temporary: BTreeSet<Name>,
}

impl Answered {
    /// From the texts of the four columns; none if they are not what was asked for.
    pub(crate) fn parse(columns: &[Option<&str>]) -> Option<Self> {
        let [Some(path), Some(user), Some(temporary), Some(more)] = columns else { return None };
        let names = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
        let path: Vec<Name> = names(path)?.into_iter().map(Name::canonical).collect();
        let more =
            serde_json::from_str::<bool>(more).ok()? || path.iter().any(|name| name.as_str().starts_with("pg_temp"));
        Some(Self {
            path: (!more).then_some(path),
            user: Name::canonical(serde_json::from_str::<String>(user).ok()?),
            temporary: names(temporary)?.into_iter().map(Name::canonical).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Tracker {
        let mut tracker = Tracker::new();
        assert!(tracker.asks(TransactionStatus::Idle));
        tracker.answered(Answered::parse(&[Some("[\"public\"]"), Some("\"app\""), Some("[]"), Some("false")]));
        tracker
    }

    fn path(tracker: &Tracker) -> String {
        match tracker.scope(Arc::new(Catalogue::unknown())).search_path {
            SearchPath::Known(names) => names.iter().map(Name::as_str).collect::<Vec<_>>().join(","),
            SearchPath::Unknown => "?".to_owned(),
        }
    }

    fn set(names: &[&str], local: bool) -> Effect {
        let names = names.iter().map(|name| Name::canonical(*name)).collect();
        Effect::SearchPath { value: SearchPathValue::List(names), local }
    }

    #[test]
    fn pg_p40_a_search_path_is_believed_at_once_and_asked_for_when_quiet() {
        let mut tracker = told();
        assert_eq!(path(&tracker), "public");
        assert!(!tracker.asks(TransactionStatus::Idle));
        let catalogue = Arc::new(Catalogue::unknown());
        let before = tracker.revision();
        tracker.completed(&[set(&["evil", "$user", "public"], false)], &catalogue);
        assert_eq!(path(&tracker), "evil,app,public");
        assert_ne!(tracker.revision(), before);
        assert!(tracker.asks(TransactionStatus::Idle));
    }

    #[test]
    fn pg_p55_what_a_rollback_takes_back_is_not_believed() {
        let catalogue = Arc::new(Catalogue::unknown());
        let mut tracker = told();
        tracker.completed(&[Effect::Begin], &catalogue);
        tracker.completed(&[set(&["evil"], true)], &catalogue);
        assert_eq!(path(&tracker), "evil");
        // In a transaction without a query the server is not asked: it would be one.
        assert!(!tracker.asks(TransactionStatus::Open));
        tracker.completed(&[Effect::RollbackTo(Name::canonical("s"))], &catalogue);
        assert_eq!(path(&tracker), "?");
        tracker.completed(&[Effect::Rollback { chain: false }], &catalogue);
        assert_eq!(path(&tracker), "?");
        assert!(!tracker.ready(TransactionStatus::Idle));
        assert!(tracker.asks(TransactionStatus::Idle));
    }

    #[test]
    fn pg_p57_temporary_relations_that_ddl_may_have_dropped_make_every_name_uncertain() {
        let catalogue = Arc::new(Catalogue::unknown());
        let mut tracker = told();
        tracker.completed(&[Effect::CreatesTemporary(vec![Name::canonical("customers")])], &catalogue);
        assert!(tracker.scope(Arc::clone(&catalogue)).temporary.contains(&Name::canonical("customers")));
        assert!(tracker.asks(TransactionStatus::Open), "a query ran, so one more changes nothing");
        tracker.completed(&[Effect::ChangesCatalogue], &catalogue);
        assert_eq!(path(&tracker), "?");
        assert!(tracker.scope(catalogue).uncertain);
        assert!(tracker.ready(TransactionStatus::Idle), "DDL means another catalogue");
        assert!(!tracker.ready(TransactionStatus::Idle));
    }

    #[test]
    fn pg_p57_a_path_that_names_what_is_temporary_is_not_believed() {
        for names in [&["public", "pg_temp"][..], &["pg_temp", "public"], &["pg_temp_3", "public"]] {
            let mut tracker = told();
            tracker.completed(&[set(names, false)], &Arc::new(Catalogue::unknown()));
            assert_eq!(path(&tracker), "?");
            tracker.answered(Answered::parse(&[
                Some("[\"public\"]"),
                Some("\"app\""),
                Some("[\"customers\"]"),
                Some("true"),
            ]));
            assert_eq!(path(&tracker), "?");
        }
    }

    #[test]
    fn pg_p57_a_path_behind_one_that_was_not_told_is_not_believed_before_the_server_says_it() {
        let catalogue = Arc::new(Catalogue::unknown());
        let mut tracker = told();
        let hidden = Effect::SearchPath { value: SearchPathValue::Unknown, local: false };
        tracker.completed(&[hidden, set(&["public"], false)], &catalogue);
        assert_eq!(path(&tracker), "?");
        tracker.answered(Answered::parse(&[Some("[\"public\"]"), Some("\"app\""), Some("[]"), Some("false")]));
        tracker.completed(&[set(&["hr"], false)], &catalogue);
        assert_eq!(path(&tracker), "hr");
        // As the server names it where the path does.
        let named = [Some("[\"public\",\"pg_temp_3\"]"), Some("\"app\""), Some("[]"), Some("false")];
        tracker.answered(Answered::parse(&named));
        assert_eq!(path(&tracker), "?");
    }

    #[test]
    fn a_path_is_the_servers_own_where_the_server_has_named_all_of_it() {
        let catalogue = Arc::new(Catalogue::unknown());
        let mut tracker = told();
        assert!(matches!(tracker.under(), Under::Told(path) if path.len() == 1));
        // It may not be allowed to use `hr`, and the server then leaves it out.
        tracker.completed(&[set(&["hr", "public"], true)], &catalogue);
        assert!(matches!(tracker.under(), Under::Believed(path) if path.len() == 2));
        tracker.answered(Answered::parse(&[Some("[\"hr\"]"), Some("\"app\""), Some("[]"), Some("false")]));
        tracker.completed(&[set(&["public", "hr"], true)], &catalogue);
        assert!(matches!(tracker.under(), Under::Told(path) if path.len() == 2));
        tracker.completed(&[Effect::CreatesTemporary(vec![Name::canonical("customers")])], &catalogue);
        assert!(matches!(tracker.under(), Under::Told(_)), "the path is the same");
        let mut other = told();
        other.ran_code(false);
        assert_eq!(other.under(), Under::Unknown);
        tracker.completed(&[Effect::ChangesCatalogue, set(&["hr"], true)], &catalogue);
        assert_eq!(tracker.under(), Under::Unknown, "it may have dropped the schema");
        let mut role = told();
        role.completed(&[Effect::Role, set(&["public"], false)], &catalogue);
        assert!(matches!(role.under(), Under::Believed(_)));
    }

    #[test]
    fn behind_ddl_the_server_is_asked_for_its_path() {
        let mut tracker = told();
        tracker.completed(&[Effect::ChangesCatalogue], &Arc::new(Catalogue::unknown()));
        assert!(tracker.ready(TransactionStatus::Idle));
        assert!(tracker.asks(TransactionStatus::Idle));
        assert_eq!(tracker.under(), Under::Unknown);
        tracker.answered(Answered::parse(&[Some("[\"public\"]"), Some("\"app\""), Some("[]"), Some("false")]));
        assert!(matches!(tracker.under(), Under::Told(_)));
    }

    #[test]
    fn an_answer_that_is_none_leaves_the_path_unknown() {
        let mut tracker = Tracker::new();
        tracker.answered(Answered::parse(&[Some("[1]"), Some("\"a\""), Some("[]"), Some("false")]));
        assert_eq!(path(&tracker), "?");
        assert!(!tracker.asks(TransactionStatus::Idle), "it is not asked for ever");
    }
}
