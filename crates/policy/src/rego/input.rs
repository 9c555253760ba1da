//! The input document of a delegated rule: the case.
//!
//! Promises: the document that `docs/policy-guide.md` describes and `fixtures/rego/*/input.json` show, the same for the same
//! case, byte for byte. What is not known is `null`. The text of a command is not in it.
//! Held by: `rego/tests.rs`.

use crate::facts::{self, View};
use portcullis_model::{Mark, Marks, Name, Operation};
use serde_json::{Value, json};

/// The input for this case.
pub(super) fn of(view: &View<'_>) -> regorus::Value {
    document(view).into()
}

pub(super) fn document(view: &View<'_>) -> Value {
    let (who, connection) = (view.principal, view.connection);
    json!({
        "principal": {
            "user": &*who.user,
            "issuer": &*who.issuer,
            "subject": &*who.subject,
            "groups": who.groups.iter().map(|group| &**group).collect::<Vec<_>>(),
            "claims": who.claims.iter().map(|(claim, values)| {
                (claim.to_string(), json!(values.iter().map(|value| &**value).collect::<Vec<_>>()))
            }).collect::<serde_json::Map<_, _>>(),
        },
        "connection": {
            "name": connection.name.as_str(),
            "protocol": connection.protocol.word(),
            "database": connection.database.as_ref().map(Name::as_str),
            "login": &*connection.login,
        },
        "command": { "marks": marks(view.marks()) },
        "operations": view.whole.iter().map(operation).collect::<Vec<_>>(),
        "now": view.at.to_string(),
    })
}

fn operation(one: &Operation) -> Value {
    json!({
        "action": one.action.word(),
        "object": facts::object(&one.object),
        "kind": one.object.noun(),
        "marks": marks(one.marks),
        "columns": facts::columns(one).map(|names| names.iter().map(Name::as_str).collect::<Vec<_>>()),
    })
}

fn marks(marks: Marks) -> Vec<&'static str> {
    marks.iter().map(Mark::word).collect()
}
