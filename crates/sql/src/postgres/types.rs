//! The object ids of the built-in types that users define casts to. Names as the grammar writes them.
//!
//! Promises nothing about types that are not listed: a cast to one of them that a user defined is found only where the
//! type is the user's own. Source: `pg_type` of PostgreSQL 14 to 18 (these ids are fixed). Held by `tests`.

use portcullis_model::catalogue::Oid;

const TYPES: [(&str, Oid); 31] = [
    ("bool", 16),
    ("bytea", 17),
    ("name", 19),
    ("int8", 20),
    ("int2", 21),
    ("int4", 23),
    ("text", 25),
    ("oid", 26),
    ("json", 114),
    ("xml", 142),
    ("point", 600),
    ("float4", 700),
    ("float8", 701),
    ("money", 790),
    ("macaddr", 829),
    ("inet", 869),
    ("cidr", 650),
    ("bpchar", 1042),
    ("varchar", 1043),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("interval", 1186),
    ("timetz", 1266),
    ("bit", 1560),
    ("varbit", 1562),
    ("numeric", 1700),
    ("regclass", 2205),
    ("uuid", 2950),
    ("jsonb", 3802),
];

/// The object id of a built-in type.
pub(super) fn oid(name: &str) -> Option<Oid> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid)
}

/// Whether it is the object id of a built-in type that is no array.
pub(super) fn is_scalar(oid: Oid) -> bool {
    TYPES.iter().any(|(_, known)| *known == oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_type_is_built_in() {
        for (name, _) in TYPES {
            assert!(crate::builtins::is_builtin_type(name), "{name}");
        }
        assert_eq!(oid("int4"), Some(23));
        assert_eq!(oid("citext"), None);
    }
}
