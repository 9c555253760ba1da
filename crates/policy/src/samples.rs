//! Principals, connections and operations that tests of several modules use.

use crate::{Case, PolicySet, SourceFile};
use jiff::Timestamp;
use portcullis_model::{
    Action, Columns, Connection, CredentialKind, Decision, Name, Object, Operation, Principal, Protocol, QualifiedName,
    Reason, RelationKind, Verdict,
};

pub(crate) fn agent() -> Principal {
    Principal {
        issuer: "test".into(),
        subject: "agent-7".into(),
        user: "agent-7".into(),
        groups: ["agents".into()].into(),
        claims: [("team".into(), ["payments".into()].into())].into(),
        credential: CredentialKind::Oidc,
    }
}

pub(crate) fn shop() -> Connection {
    Connection {
        name: Name::canonical("shop"),
        protocol: Protocol::Postgres,
        address: "127.0.0.1:5432".into(),
        database: Some(Name::canonical("shop")),
        login: "app".into(),
    }
}

pub(crate) fn table(schema: &str, name: &str) -> Object {
    Object::relation(QualifiedName::new(schema, name), RelationKind::Table)
}

pub(crate) fn on(action: Action, schema: &str, name: &str) -> Operation {
    Operation::new(action, table(schema, name))
}

pub(crate) fn columns(names: &[&str]) -> Columns {
    Columns::Named(names.iter().map(|name| Name::canonical(*name)).collect())
}

pub(crate) fn load(bundles: &[&str]) -> PolicySet {
    let files: Vec<_> =
        bundles.iter().enumerate().map(|(nth, text)| SourceFile::new(format!("{nth}.yaml"), *text)).collect();
    match PolicySet::load(&files) {
        Ok(loaded) => loaded.set,
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", problems.join("\n"))
        }
    }
}

pub(crate) fn decide(set: &PolicySet, operations: &[Operation]) -> Decision {
    set.decide(&Case {
        principal: &agent(),
        connection: &shop(),
        operations,
        home: None,
        fields: None,
        at: Timestamp::UNIX_EPOCH,
    })
}

/// `allow`, `deny RULE`, `hold RULE RULE`, or `deny` with what no rule allows.
pub(crate) fn say(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Deny(Reason::Rule { rule, .. }) => format!("deny {}", rule.rule),
        Verdict::Deny(Reason::NoRule { operation }) => format!("deny: {operation}"),
        Verdict::Deny(Reason::PolicyError { rule }) => format!("error {}", rule.rule),
        Verdict::Deny(reason) => format!("deny: {reason}"),
        Verdict::Hold(terms) => {
            terms.iter().fold("hold".to_owned(), |text, terms| format!("{text} {}", terms.rule.rule))
        }
    }
}

/// A bundle `b` about everything with these rules, each written in one line.
pub(crate) fn bundle(rules: &[&str]) -> String {
    let head = if rules.is_empty() { "bundle: b\n" } else { "bundle: b\nrules:\n" };
    rules.iter().fold(head.to_owned(), |text, rule| format!("{text}  - {{ {rule} }}\n"))
}
