//! Loading and deciding under arbitrary bundles.
//!
//! Promises: [`fuzz_set`] fails where a problem points outside its file, where loading the same text twice gives two
//! sets or a set weakens itself, where an explanation decides otherwise than the set, where nothing at all is allowed,
//! and where a bundle makes a set that also holds a refusal of everything allow something. Does not promise that rules
//! match what their author meant.
//! Held by: `set/tests.rs`, and the fuzz target `policy_set`.

use crate::{Case, PolicySet, SourceFile};
use jiff::Timestamp;
use portcullis_model::{
    Action, Columns, Connection, CredentialKind, Mark, Name, Object, Operation, Principal, Protocol, QualifiedName,
    RelationKind, SessionKind, Verdict,
};

/// A bundle that refuses everything, for everybody.
const NOTHING: &str = "bundle: zz-nothing\nrules:\n  - { id: all, deny: { actions: ['*'], objects: ['*'] } }\n";

/// Loads arbitrary bytes as one bundle, or as two where a zero byte divides them, and decides a few cases.
pub fn fuzz_set(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let files: Vec<_> = text.split('\0').take(2).map(|text| SourceFile::new("x.yaml", text)).collect();
    let loaded = match PolicySet::load(&files) {
        Ok(loaded) => loaded,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let shown: String = problems.iter().map(ToString::to_string).collect();
            let steers = shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
            assert!(!steers, "a problem steers the terminal");
            for at in problems.iter().filter_map(|problem| problem.location.as_ref()) {
                let lines = files.iter().map(|file| file.text.split('\n').count()).max().unwrap_or(0);
                assert!((1..=lines + 1).contains(&at.line) && at.column > 0, "a problem outside its file");
            }
            return;
        }
    };
    let set = loaded.set;
    let again = PolicySet::load(&files).map(|again| again.set);
    assert!(again.as_ref().is_ok_and(|again| again.digest() == set.digest()), "loaded again it is another set");
    assert!(set.weakens(&set).is_empty(), "a set weakens itself");
    let refused = [files, vec![SourceFile::new("nothing.yaml", NOTHING)]].concat();
    let refused = PolicySet::load(&refused).ok().map(|refused| refused.set);
    for operations in cases() {
        decides(&set, refused.as_ref(), &operations);
    }
}

fn decides(set: &PolicySet, refused: Option<&PolicySet>, operations: &[Operation]) {
    let (principal, connection) = (principal(), connection());
    let case = Case {
        principal: &principal,
        connection: &connection,
        operations,
        home: None,
        fields: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let decision = set.decide(&case);
    assert_eq!(set.explain(&case).decision, decision, "an explanation decides otherwise");
    let allowed = |verdict: &Verdict| !matches!(verdict, Verdict::Deny(_));
    assert!(!operations.is_empty() || !allowed(&decision.verdict), "nothing at all was allowed");
    let needs_rule = operations.iter().any(|operation| operation.action != Action::Session);
    if let Some(refused) = refused.filter(|_| needs_rule) {
        assert!(!allowed(&refused.decide(&case).verdict), "a refusal of everything was outvoted");
    }
}

fn cases() -> Vec<Vec<Operation>> {
    let table = |schema: &str, name: &str| Object::relation(QualifiedName::new(schema, name), RelationKind::Table);
    let named = |names: &[&str]| Columns::Named(names.iter().map(|name| Name::canonical(*name)).collect());
    vec![
        Vec::new(),
        vec![Operation::unknown()],
        vec![Operation::session()],
        vec![Operation::new(Action::Connect, Object::Session(SessionKind::Sql))],
        vec![Operation::new(Action::Read, table("public", "payments")).naming(named(&["id", "card_number"]))],
        vec![
            Operation::new(Action::Read, table("?", "payments")),
            Operation::new(Action::Delete, table("public", "orders")).marked(Mark::Unbounded),
        ],
        vec![Operation::new(Action::Drop, table("public", "orders"))],
    ]
}

fn principal() -> Principal {
    Principal {
        issuer: "test".into(),
        subject: "agent-7".into(),
        user: "agent-7".into(),
        groups: ["agents".into()].into(),
        claims: [("team".into(), ["payments".into()].into())].into(),
        credential: CredentialKind::Oidc,
    }
}

fn connection() -> Connection {
    Connection {
        name: Name::canonical("shop"),
        protocol: Protocol::Postgres,
        address: "127.0.0.1:5432".into(),
        database: Some(Name::canonical("shop")),
        login: "app".into(),
    }
}
