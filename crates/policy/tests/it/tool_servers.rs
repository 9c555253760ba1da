//! What rules can say of the resources and prompts of tool servers, as `fixtures/http/mcp.tsv` has them read.

use super::{load, root};
use portcullis_model::{Action, Connection, CredentialKind, Effect, Name, Object, Operation, Principal, Protocol};
use portcullis_policy::{Case, PolicySet, SourceFile};
use std::collections::BTreeSet;

fn bundle(rules: &str) -> PolicySet {
    let text = format!("bundle: b\napplies_to: {{ connections: [tools] }}\nrules:\n{rules}");
    load(&[SourceFile::new("b.yaml", text)])
}

fn effect(set: &PolicySet, method: &str, path: &str) -> Effect {
    let (method, path) = (Name::canonical(method), Name::canonical(path));
    let principal = Principal {
        issuer: "test".into(),
        subject: "agent-7".into(),
        user: "agent-7".into(),
        groups: [].into(),
        claims: [].into(),
        credential: CredentialKind::Oidc,
    };
    let connection = Connection {
        name: Name::canonical("tools"),
        protocol: Protocol::Http,
        address: "127.0.0.1:80".into(),
        database: None,
        login: "".into(),
    };
    let operations = [Operation::new(Action::Read, Object::Endpoint { method, path })];
    let at = jiff::Timestamp::UNIX_EPOCH;
    let case =
        Case { principal: &principal, connection: &connection, operations: &operations, home: None, fields: None, at };
    set.decide(&case).verdict.effect()
}

/// The methods and paths that requests of the table are read as.
fn endpoints() -> BTreeSet<(String, String)> {
    let table = std::fs::read_to_string(root().join("fixtures/http/mcp.tsv")).expect("the table");
    let verdicts = table.lines().filter_map(|line| line.split('\t').next()).flat_map(|verdict| verdict.split("; "));
    let endpoint = |text: &str| text.strip_prefix("read endpoint ")?.split_once(' ').map(|(m, p)| (m.into(), p.into()));
    verdicts.filter_map(endpoint).collect()
}

#[test]
fn a_rule_can_name_every_resource_and_prompt_and_names_no_other() {
    let endpoints = endpoints();
    assert!(endpoints.len() > 15, "{endpoints:?}");
    for (method, path) in &endpoints {
        let set = bundle(&format!(
            "  - {{ id: one, allow: {{ actions: [read], objects: ['endpoint {method} {path}'] }} }}\n"
        ));
        for (other, at) in &endpoints {
            let expected = if (other, at) == (method, path) { Effect::Allow } else { Effect::Deny };
            assert_eq!(effect(&set, other, at), expected, "{method} {path}: {other} {at}");
        }
    }
}

#[test]
fn a_pattern_walks_the_segments_of_an_address() {
    let set = bundle(concat!(
        "  - { id: files, allow: { actions: [read], objects: [endpoint READ /resources/file/-/srv/**] } }\n",
        "  - { id: pages, allow: { actions: [read], objects: [endpoint READ /resources/https/*.example/**] } }\n",
        "  - { id: keys, deny: { objects: [endpoint * /resources/**/private/**] } }\n",
        "  - { id: reviews, allow: { actions: [read], objects: [endpoint GET /prompts/code%20review] } }\n",
    ));
    for (method, path, expected) in [
        ("READ", "/resources/file/-/srv/a/b.txt", Effect::Allow),
        ("READ", "/resources/file/-/srv/private/b.txt", Effect::Deny),
        ("READ", "/resources/file/-/etc/passwd", Effect::Deny),
        ("SUBSCRIBE", "/resources/file/-/srv/a", Effect::Deny),
        ("READ", "/resources/https/docs.example/x", Effect::Allow),
        ("READ", "/resources/https/docs.example.evil/x", Effect::Deny),
        ("GET", "/prompts/code%20review", Effect::Allow),
    ] {
        assert_eq!(effect(&set, method, path), expected, "{method} {path}");
    }
}
