//! The JSON schema of the configuration, for editors.
//!
//! Promises: it accepts every file of `fixtures/config/good` and the example in `docs/operations.md`, refuses the bad files
//! whose problem is a key or a kind, and names exactly the keys that the readers know. Does not promise to refuse all that
//! [`parse`](crate::parse) refuses: a schema cannot see files, other keys' values or ranges of time.
//! Held by: the tests below, with a validator for just the words that the schema uses.

/// JSON Schema, draft 2020-12.
pub const JSON_SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{fixtures, read};
    use marked_yaml::Node;
    use serde_json::{Map, Value, json};
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn schema() -> Value {
        serde_json::from_str(JSON_SCHEMA).unwrap()
    }

    fn to_json(node: &Node) -> Value {
        match node {
            Node::Scalar(scalar) if scalar.may_coerce() => {
                let word = || scalar.as_bool().map_or_else(|| json!(scalar.as_str()), |word| json!(word));
                scalar.parse::<u64>().map_or_else(|_| word(), |number| json!(number))
            }
            Node::Scalar(scalar) => json!(scalar.as_str()),
            Node::Sequence(items) => items.iter().map(to_json).collect(),
            Node::Mapping(map) => Value::Object(map.iter().map(|(k, v)| (k.as_str().to_owned(), to_json(v))).collect()),
        }
    }

    fn document(text: &str) -> Option<Value> {
        let options = marked_yaml::LoaderOptions::default().prevent_coercion(true);
        marked_yaml::parse_yaml_with_options(0, text, options).ok().map(|node| to_json(&node))
    }

    /// What a value has against it; every word of the schema is either checked or known to be left out.
    fn against(value: &Value, rule: &Value) -> Vec<String> {
        let mut found = Vec::new();
        for (word, rule_value) in rule.as_object().unwrap() {
            match word.as_str() {
                "$ref" => {
                    let name = rule_value.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    found.extend(against(value, &schema()["$defs"][name]));
                }
                "type" if kind(value) != rule_value => found.push(format!("{value} is no {rule_value}")),
                "enum" if !rule_value.as_array().unwrap().contains(value) => {
                    found.push(format!("{value} is not known"))
                }
                "anyOf" if rule_value.as_array().unwrap().iter().all(|one| !against(value, one).is_empty()) => {
                    found.push(format!("{value} is none of these"));
                }
                "required" => {
                    let missing =
                        rule_value.as_array().unwrap().iter().filter(|key| value.get(key.as_str().unwrap()).is_none());
                    found.extend(missing.map(|key| format!("{key} is missing")));
                }
                "properties" => {
                    for (key, inner) in value.as_object().into_iter().flatten() {
                        match rule_value.get(key) {
                            Some(rule) => found.extend(against(inner, rule)),
                            None => found.push(format!("unknown {key}")),
                        }
                    }
                }
                "additionalProperties" if rule_value.is_object() => {
                    found.extend(
                        value.as_object().into_iter().flatten().flat_map(|(_, inner)| against(inner, rule_value)),
                    );
                }
                "items" => {
                    found.extend(value.as_array().into_iter().flatten().flat_map(|item| against(item, rule_value)))
                }
                "maxItems" if value.as_array().map(Vec::len) > rule_value.as_u64().map(|most| most as usize) => {
                    found.push("too many".to_owned());
                }
                "minItems" if value.as_array().is_some_and(Vec::is_empty) => found.push("empty".to_owned()),
                "minProperties" if value.as_object().is_some_and(Map::is_empty) => found.push("empty".to_owned()),
                "minLength" if value == "" => found.push("empty".to_owned()),
                "type"
                | "enum"
                | "anyOf"
                | "additionalProperties"
                | "minItems"
                | "maxItems"
                | "minProperties"
                | "minLength" => {}
                "$schema" | "$defs" | "title" | "description" | "default" | "pattern" | "propertyNames"
                | "maxLength" | "minimum" | "maximum" | "uniqueItems" => {}
                other => panic!("the schema says `{other}`, which is not checked here"),
            }
        }
        found
    }

    fn kind(value: &Value) -> &'static str {
        match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
        }
    }

    #[test]
    fn good_files_and_the_documented_example_are_accepted() {
        for file in fixtures("good") {
            let found = against(&document(&fs::read_to_string(&file).unwrap()).unwrap(), &schema());
            assert!(found.is_empty(), "{}: {found:?}", file.display());
        }
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        let guide = fs::read_to_string(guide).unwrap();
        let example = guide.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        crate::parse(example, Path::new("docs/operations.md")).unwrap();
        let found = against(&document(example).unwrap(), &schema());
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn wrong_keys_and_kinds_are_refused() {
        let refused = [
            "unknown-keys",
            "missing-keys",
            "wrong-kinds",
            "listen-nobody",
            "literal-secret",
            "literal-secret-as-a-list",
            "literal-secret-behind-a-slip",
            "secret-of-another-kind",
            "secret-empty",
            "no-connections",
            "no-policies",
            "tls-half",
            "tls-word",
            "backend-tls-word",
            "not-yet",
            "audit",
            "connection-incomplete",
            "ssh-connections",
            "ssh-identity",
            "http-connections",
            "vault-keys",
            "vault-keys-1",
            "vault-server-2",
            "vault-server-4",
            "vault-server-6",
            "notifications",
            "session-roles",
        ];
        for name in refused {
            let file = fixtures("bad").into_iter().find(|file| file.file_stem().unwrap() == name).unwrap();
            let value = document(&fs::read_to_string(&file).unwrap()).unwrap();
            assert!(!against(&value, &schema()).is_empty(), "{name}");
        }
    }

    /// The keys that a reader names when it meets one that it does not know, without those of later versions.
    fn known(text: &str, later: &[&str]) -> BTreeSet<String> {
        let problems = crate::parse(text, Path::new("x.yaml")).unwrap_err();
        let unknown = problems.iter().find(|problem| problem.message.contains("unknown key `zzzzzzzz`")).unwrap();
        let list = unknown.suggestion.as_ref().unwrap().strip_prefix("the keys here are ").unwrap().to_owned();
        list.split(", ").filter(|key| !later.contains(key)).map(str::to_owned).collect()
    }

    #[test]
    fn the_schema_names_exactly_the_keys_that_are_read() {
        let cases = [
            ("zzzzzzzz: 1\n", "", &[][..]),
            ("listen: { zzzzzzzz: 1 }\n", "/properties/listen", &[][..]),
            ("tls: { zzzzzzzz: 1 }\n", "/properties/tls/anyOf/1", &[][..]),
            ("identity: { zzzzzzzz: 1 }\n", "/properties/identity", &["saml"][..]),
            ("identity: { oidc: [{ zzzzzzzz: 1 }] }\n", "/properties/identity/properties/oidc/items", &[][..]),
            ("identity: { roles: { zzzzzzzz: 1 } }\n", "/properties/identity/properties/roles", &[][..]),
            (
                "connections: { a: { protocol: postgres, zzzzzzzz: 1 } }\n",
                "/properties/connections/additionalProperties/anyOf/0",
                &[][..],
            ),
            (
                "connections: { a: { protocol: postgres, session_role: { zzzzzzzz: 1 } } }\n",
                "/properties/connections/additionalProperties/anyOf/0/properties/session_role",
                &[][..],
            ),
            (
                "connections: { a: { protocol: ssh, zzzzzzzz: 1 } }\n",
                "/properties/connections/additionalProperties/anyOf/1",
                &[][..],
            ),
            (
                "connections: { a: { protocol: http, zzzzzzzz: 1 } }\n",
                "/properties/connections/additionalProperties/anyOf/2",
                &[][..],
            ),
            ("identity: { ssh_keys: [{ zzzzzzzz: 1 }] }\n", "/properties/identity/properties/ssh_keys/items", &[][..]),
            (
                "identity: { ssh_users: [{ zzzzzzzz: 1 }] }\n",
                "/properties/identity/properties/ssh_users/items",
                &[][..],
            ),
            ("vault: { zzzzzzzz: 1 }\n", "/properties/vault", &[][..]),
            ("vault: { server: { zzzzzzzz: 1 } }\n", "/properties/vault/properties/server", &[][..]),
            (
                "vault: { server: { app_role: { zzzzzzzz: 1 } } }\n",
                "/properties/vault/properties/server/properties/app_role",
                &[][..],
            ),
            ("vault: { local: { zzzzzzzz: 1 } }\n", "/properties/vault/properties/local", &[][..]),
            ("notifications: [{ zzzzzzzz: 1 }]\n", "/properties/notifications/items", &[][..]),
            (
                "notifications: [{ email: { zzzzzzzz: 1 } }]\n",
                "/properties/notifications/items/properties/email",
                &[][..],
            ),
            ("audit: { zzzzzzzz: 1 }\n", "/properties/audit", &[][..]),
            ("limits: { zzzzzzzz: 1 }\n", "/properties/limits", &[][..]),
        ];
        for (text, place, later) in cases {
            let schema = schema();
            let properties = schema.pointer(&format!("{place}/properties")).unwrap().as_object().unwrap();
            let named: BTreeSet<_> = properties.keys().cloned().collect();
            assert_eq!(known(text, later), named, "{place}");
        }
    }

    #[test]
    fn the_defaults_it_tells_are_those_that_apply() {
        let minimal = fixtures("good").into_iter().find(|file| file.ends_with("minimal.yaml")).unwrap();
        let without = read(&minimal).unwrap().config;
        let mut text = fs::read_to_string(&minimal).unwrap();
        let schema = schema();
        for section in ["audit", "limits"] {
            let properties = schema.pointer(&format!("/properties/{section}/properties")).unwrap().as_object().unwrap();
            text.push_str(&format!("{section}:\n"));
            for (key, rule) in properties {
                let default = rule["default"].to_string();
                text.push_str(&format!("  {key}: {}\n", default.trim_matches('"')));
            }
        }
        let with = crate::parse(&text, Path::new("/etc/portcullis/minimal.yaml")).unwrap().config;
        assert_eq!((with.audit, with.limits), (without.audit, without.limits));
    }
}
