//! What people allow for some minutes: a grant, and what it covers. No I/O and no clock.
//!
//! Promises: a grant covers an operation only if its own list has the same action on the same object, in the same place
//! where it goes elsewhere, with every mark and every column that the operation has; what could not be read, an object
//! that is not wholly known, and one that its name does not tell from others no grant covers, whatever its list says. It
//! counts for one rule under exactly the terms that its voters saw, for one principal on one connection, database and
//! login, and not at or after `until`.
//! Does not promise that its people still stand: whoever uses it asks `identity`.
//! Held by: the tests below, and `grants/tests.rs`.

use crate::vote::same_person;
use jiff::Timestamp;
use portcullis_model::{
    Action, ApprovalId, Columns, Connection, GrantId, HoldTerms, ItemKind, Name, Object, Operation, Principal,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Somebody that a grant stands on: who has it, or who gave it. Without groups and claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Who.
    pub principal: Principal,
    /// When what they proved themselves with was issued, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// Who made the token that they used, and who made theirs: it falls with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makers: Vec<Principal>,
}

impl Party {
    /// This principal, without groups and claims.
    #[must_use]
    pub fn of(principal: &Principal, issued: Option<Timestamp>) -> Self {
        Self { principal: plain(principal), issued, makers: Vec::new() }
    }

    /// The same, by a token that these made.
    #[must_use]
    pub fn made_by(self, makers: &[Principal]) -> Self {
        Self { makers: makers.iter().map(plain).collect(), ..self }
    }
}

/// Who it is, without groups and claims.
fn plain(principal: &Principal) -> Principal {
    let Principal { issuer, subject, user, credential, .. } = principal.clone();
    Principal { issuer, subject, user, groups: [].into(), claims: [].into(), credential }
}

/// What the people who approved a request want to allow beside it, for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The request.
    pub approval: ApprovalId,
    /// The rule, and what it asked for.
    pub terms: HoldTerms,
    /// Those whose yes counts for it.
    pub voters: Vec<Party>,
    /// Until then.
    pub until: Timestamp,
}

/// These operations, for this principal, there, until then: one rule does not hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// The request that it was given with.
    pub approval: ApprovalId,
    /// The rule, and what it asked for when the grant was given.
    pub terms: HoldTerms,
    /// Who has it.
    pub holder: Party,
    /// Where.
    pub connection: Name,
    /// In which database, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Name>,
    /// As which login.
    pub login: Arc<str>,
    /// What.
    pub operations: Vec<Operation>,
    /// Who gave it.
    pub voters: Vec<Party>,
    /// Since when.
    pub given: Timestamp,
    /// It ends then.
    pub until: Timestamp,
}

impl Grant {
    /// Whether it is this principal's, on this connection, database and login.
    #[must_use]
    pub fn is_for(&self, principal: &Principal, connection: &Connection) -> bool {
        let holder = &self.holder.principal;
        holder.issuer == principal.issuer
            && holder.subject == principal.subject
            && holder.user == principal.user
            && self.connection == connection.name
            && self.database == connection.database
            && self.login == connection.login
    }

    /// Whether any of these people gave it: it is not theirs to use, as their vote on a request of their own would not count.
    #[must_use]
    pub fn is_given_by(&self, people: &[Principal]) -> bool {
        let voters = || self.voters.iter().map(|voter| &voter.principal);
        people.iter().any(|person| voters().any(|voter| same_person(voter, person)))
    }

    /// Whether this operation is among what is granted.
    #[must_use]
    pub fn covers(&self, asked: &Operation) -> bool {
        can_be_granted(asked) && self.operations.iter().any(|granted| is_within(asked, granted))
    }
}

/// Whether a grant can be of this at all: what could be anything, or another object of the same name, is asked about each
/// time.
#[must_use]
pub fn can_be_granted(operation: &Operation) -> bool {
    operation.action != Action::Unknown
        && operation.columns != Columns::Unknown
        && operation.object.is_known()
        && match &operation.object {
            Object::Item { kind, .. } => is_named_alone(*kind),
            Object::Relation { .. }
            | Object::Function(_)
            | Object::Schema(_)
            | Object::Role(_)
            | Object::Setting(_)
            | Object::Database(_)
            | Object::Channel(_)
            | Object::Program { .. }
            | Object::File(_)
            | Object::Host(_)
            | Object::Listener(_)
            | Object::Endpoint { .. }
            | Object::Model(_)
            | Object::Tool(_)
            | Object::Subsystem(_)
            | Object::Session(_) => true,
            Object::Unknown => false,
        }
}

/// Whether there is one of a name at most. Others are told apart by what their name does not hold: the relation that they
/// hang on, what they take and come to, what they are a part of; and the number of a large object is given out again.
const fn is_named_alone(kind: ItemKind) -> bool {
    match kind {
        ItemKind::AccessMethod
        | ItemKind::Collation
        | ItemKind::Conversion
        | ItemKind::Domain
        | ItemKind::EventTrigger
        | ItemKind::Extension
        | ItemKind::ForeignDataWrapper
        | ItemKind::Index
        | ItemKind::Language
        | ItemKind::Publication
        | ItemKind::Sequence
        | ItemKind::Server
        | ItemKind::Statistics
        | ItemKind::Subscription
        | ItemKind::Tablespace
        | ItemKind::Type => true,
        ItemKind::Aggregate
        | ItemKind::Cast
        | ItemKind::Constraint
        | ItemKind::LargeObject
        | ItemKind::Operator
        | ItemKind::OperatorClass
        | ItemKind::OperatorFamily
        | ItemKind::Policy
        | ItemKind::Rule
        | ItemKind::TextSearch
        | ItemKind::Transform
        | ItemKind::Trigger
        | ItemKind::UserMapping => false,
    }
}

fn is_within(asked: &Operation, granted: &Operation) -> bool {
    asked.action == granted.action
        && asked.object == granted.object
        && asked.reaches == granted.reaches
        && granted.marks.is_superset(asked.marks)
        && match (&asked.columns, &granted.columns) {
            (Columns::None, Columns::None) => true,
            (Columns::Named(asked), Columns::Named(granted)) => asked.iter().all(|name| granted.contains(name)),
            (Columns::None | Columns::Named(_) | Columns::Unknown, _) => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{grant, principal};
    use portcullis_model::{CredentialKind, Mark, Part, QualifiedName, Reach, RelationKind, TokenId};

    fn table(schema: &str, name: &str) -> Object {
        Object::relation(QualifiedName::new(schema, name), RelationKind::Table)
    }

    fn naming(names: &[&str]) -> Columns {
        Columns::Named(names.iter().map(|name| Name::canonical(*name)).collect())
    }

    #[test]
    fn only_what_is_granted_is_covered() {
        let update = Operation::new(Action::Update, table("public", "t")).naming(naming(&["a", "b"]));
        let marked = Operation::new(Action::Delete, table("public", "t")).marked(Mark::Irreversible);
        let there = Arc::new(Reach { host: Some("db".into()), database: None });
        let remote = Operation::new(Action::Read, table("public", "u")).reaching(Arc::clone(&there));
        let granted = grant(&[update.clone(), marked.clone(), remote.clone()]);
        let delete = Operation::new(Action::Delete, table("public", "t"));
        let one_column = Operation { columns: naming(&["b"]), ..update.clone() };
        for (covered, operation) in [
            (true, update.clone()),
            (true, one_column),
            (true, marked.clone()),
            (true, delete.clone()),
            (true, remote.clone()),
            (false, Operation { columns: naming(&["b", "c"]), ..update.clone() }),
            (false, Operation { columns: Columns::None, ..update.clone() }),
            (false, Operation { columns: Columns::Unknown, ..update.clone() }),
            (false, update.clone().marked(Mark::ExposesProtected)),
            (false, marked.clone().marked(Mark::Unbounded)),
            (false, Operation { action: Action::Insert, ..update.clone() }),
            (false, Operation { object: table("hr", "t"), ..delete.clone() }),
            (false, Operation { object: table("public", "t2"), ..delete.clone() }),
            (
                false,
                Operation {
                    object: Object::relation(QualifiedName::new("public", "t"), RelationKind::View),
                    ..delete.clone()
                },
            ),
            (false, delete.clone().reaching(Arc::clone(&there))),
            (false, Operation { reaches: None, ..remote.clone() }),
            (false, Operation::unknown()),
        ] {
            assert_eq!(granted.covers(&operation), covered, "{operation}");
        }
    }

    /// Whatever a list says: what could be anything is no reason to let anything pass.
    #[test]
    fn what_is_not_known_is_never_granted() {
        let unresolved = QualifiedName::unresolved("t");
        for operation in [
            Operation::unknown(),
            Operation::new(Action::Unknown, table("public", "t")),
            Operation::new(Action::Delete, Object::Unknown),
            Operation::new(Action::Delete, Object::relation(unresolved.clone(), RelationKind::Table)),
            Operation::new(Action::Delete, Object::relation(QualifiedName::anything_in("public"), RelationKind::Table)),
            Operation::new(Action::Execute, Object::Function(unresolved)),
            Operation::new(Action::Execute, Object::Program { name: Part::Unknown, subcommand: None }),
            Operation::new(Action::Delete, Object::File(Part::Unknown)),
            Operation::new(Action::Connect, Object::Host(Part::Unknown)),
            Operation::new(
                Action::Drop,
                Object::Item { kind: ItemKind::Index, name: QualifiedName::anything_in("public") },
            ),
            Operation::new(
                Action::Drop,
                Object::Item { kind: ItemKind::Statistics, name: QualifiedName::unresolved("s") },
            ),
            Operation::new(Action::Update, table("public", "t")).naming(Columns::Unknown),
        ] {
            assert!(!grant(std::slice::from_ref(&operation)).covers(&operation), "{operation}");
        }
    }

    /// `DROP POLICY tenant ON scratch` is no other's `DROP POLICY tenant ON customers`.
    #[test]
    fn what_its_name_alone_does_not_tell_from_others_is_never_granted() {
        let alone: Vec<&str> = ItemKind::ALL.iter().filter(|kind| is_granted(**kind)).map(|kind| kind.noun()).collect();
        let expected = "access method, collation, conversion, domain, event trigger, extension, foreign data wrapper, \
                        index, language, publication, sequence, server, statistics, subscription, tablespace, type";
        assert_eq!(alone.join(", "), expected);
    }

    fn is_granted(kind: ItemKind) -> bool {
        let schema = if kind.is_in_schema() { Part::known("public") } else { Part::Unknown };
        let name = QualifiedName { schema, name: Part::known("x") };
        let drop = Operation::new(Action::Drop, Object::Item { kind, name });
        grant(std::slice::from_ref(&drop)).covers(&drop)
    }

    #[test]
    fn a_grant_is_one_principals_in_one_place() {
        let grant = grant(&[]);
        let asked = principal("agent-7", CredentialKind::Token(TokenId::new()));
        let here = Connection {
            name: Name::canonical("shop"),
            protocol: portcullis_model::Protocol::Postgres,
            address: "127.0.0.1:5432".into(),
            database: Some(Name::canonical("shop")),
            login: "app".into(),
        };
        assert!(grant.is_for(&asked, &here), "another token of the same user");
        for other in [
            Principal { issuer: "https://other".into(), ..asked.clone() },
            Principal { subject: "agent-8".into(), ..asked.clone() },
            Principal { user: "agent-8".into(), ..asked.clone() },
            Principal { user: "Agent-7".into(), ..asked.clone() },
        ] {
            assert!(!grant.is_for(&other, &here), "{other:?}");
        }
        for elsewhere in [
            Connection { name: Name::canonical("staging"), ..here.clone() },
            Connection { database: Some(Name::canonical("other")), ..here.clone() },
            Connection { database: None, ..here.clone() },
            Connection { login: "owner".into(), ..here.clone() },
        ] {
            assert!(!grant.is_for(&asked, &elsewhere), "{elsewhere:?}");
        }
    }

    #[test]
    fn whoever_gave_it_is_told_under_any_name() {
        let grant = grant(&[]);
        let dana = principal("dana", CredentialKind::Oidc);
        let renamed = Principal { user: "dana-2".into(), ..dana.clone() };
        let elsewhere = Principal { issuer: "https://other".into(), subject: "7".into(), user: "DANA".into(), ..dana };
        let agent = principal("agent-7", CredentialKind::Token(TokenId::new()));
        assert!(grant.is_given_by(&[agent.clone(), renamed]) && grant.is_given_by(&[elsewhere]));
        assert!(!grant.is_given_by(&[agent, principal("erin", CredentialKind::Oidc)]) && !grant.is_given_by(&[]));
    }

    /// What was kept before makers were has none.
    #[test]
    fn a_party_is_kept_with_its_makers_and_without_what_does_not_tell_who_it_is() {
        let maker = Principal { groups: ["dba".into()].into(), ..principal("bob", CredentialKind::Oidc) };
        let party = Party::of(&principal("agent-7", CredentialKind::Oidc), None);
        let made = party.clone().made_by(std::slice::from_ref(&maker));
        assert_eq!(made.makers, [principal("bob", CredentialKind::Oidc)]);
        for one in [party, made] {
            let kept = serde_json::to_string(&one).unwrap();
            assert_eq!(
                (serde_json::from_str::<Party>(&kept).unwrap(), kept.contains("makers")),
                (one.clone(), !one.makers.is_empty())
            );
        }
    }
}
