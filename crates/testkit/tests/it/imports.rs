//! The direction of imports (DESIGN 2), over `cargo metadata`: normal dependencies only, since dev-dependencies may add
//! `testkit`. And what may be linked at all: licences, sources, and the one provider of cryptography.
//! A new crate fails here until it has a row.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "portcullis-";

/// Crate (without its prefix) and which of ours it may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("net", &["model"]),
    ("config", &["model"]),
    ("policy", &["model"]),
    ("masking", &["model"]),
    ("sql", &["model"]),
    ("shell", &["model", "sql"]),
    ("audit", &["model", "store"]),
    ("approvals", &["model", "store"]),
    ("identity", &["model", "store"]),
    ("credentials", &["model", "store"]),
    ("gate", &["model", "store", "policy", "masking", "audit", "approvals", "identity", "credentials"]),
    ("postgres", &["model", "gate", "net", "sql"]),
    ("ssh", &["model", "gate", "net", "shell"]),
    ("http", &["model", "gate", "net", "shell", "sql"]),
    ("console", &["model", "net", "gate", "store", "policy", "audit", "approvals", "identity"]),
    ("store-rocksdb", &["model", "store"]),
    ("store-postgres", &["model", "store"]),
    ("testkit", &[]),
];

/// The binary, which imports all of ours and alone imports these.
const BINARY: &str = "portcullis";
const ONLY_BY_THE_BINARY: &[&str] = &["config", "store-rocksdb", "store-postgres"];

/// Packages from outside, and which of ours alone may name them.
const NAMED_ONLY_BY: &[(&str, &[&str])] =
    &[("rocksdb", &["store-rocksdb"]), ("pg_query", &["sql"]), ("sqlparser", &["sql"]), ("testkit", &[BINARY])];

/// Packages that nobody may pull in: a second provider of cryptography, or a C one.
const BANNED: &[&str] = &["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

/// Licences that may be linked. An expression with OR needs one of these, with AND all.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PostgreSQL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(["--offline".to_owned()]).exec().unwrap()
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn normal(package: &Package) -> BTreeSet<String> {
    let wanted = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    wanted.map(|dependency| dependency.name.clone()).collect()
}

/// Our packages by short name, with the names of what they depend on, build dependencies included.
fn ours(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata.workspace_packages().into_iter().map(|p| (short(&p.name).to_owned(), normal(p))).collect()
}

#[test]
fn every_crate_imports_only_downwards() {
    let metadata = metadata();
    let ours = ours(&metadata);
    let rows: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in &ours {
        // A library from outside may have the short name of one of ours (`http`).
        let imported: BTreeSet<&str> =
            dependencies.iter().filter_map(|dependency| dependency.strip_prefix(PREFIX)).collect();
        if name == BINARY {
            continue;
        }
        let Some(allowed) = rows.get(name.as_str()) else {
            wrong.push(format!("{name} has no row in ALLOWED: decide what it may import"));
            continue;
        };
        wrong.extend(imported.iter().filter(|i| !allowed.contains(*i)).map(|i| format!("{name} imports {i}")));
        wrong.extend(imported.iter().filter(|i| ONLY_BY_THE_BINARY.contains(*i)).map(|i| format!("{name} names {i}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_binary_imports_every_crate_that_exists() {
    let ours = ours(&metadata());
    let binary = &ours[BINARY];
    let unused: Vec<_> =
        ours.keys().filter(|name| *name != BINARY && !binary.contains(&format!("{PREFIX}{name}"))).collect();
    // What only others use is still linked; what nobody uses is dead.
    let dead: Vec<_> =
        unused.iter().filter(|name| !ours.values().any(|d| d.contains(&format!("{PREFIX}{name}")))).collect();
    assert!(dead.is_empty(), "no crate imports {dead:?}");
}

#[test]
fn some_packages_have_one_door() {
    let ours = ours(&metadata());
    let mut wrong = Vec::new();
    for (package, doors) in NAMED_ONLY_BY {
        let users = ours.iter().filter(|(_, d)| d.contains(*package) || d.contains(&format!("{PREFIX}{package}")));
        wrong.extend(users.filter(|(n, _)| !doors.contains(&n.as_str())).map(|(n, _)| format!("{n} names {package}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn versions_stand_only_in_the_workspace() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let text = std::fs::read_to_string(&package.manifest_path).unwrap();
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            } else if section.contains("dependencies") && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!("{}: {line}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn licences_and_sources_are_allowed() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        if metadata.workspace_members.contains(&package.id) {
            continue;
        }
        let source = package.source.as_ref().map_or("", |source| source.repr.as_str());
        if !source.starts_with("registry+") {
            wrong.push(format!("{} {} comes from `{source}`, not from a registry", package.name, package.version));
        }
        let licence = package.license.as_deref().unwrap_or("");
        if !allowed(licence) {
            wrong.push(format!("{} {} is under `{licence}`", package.name, package.version));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn allowed(licence: &str) -> bool {
    let Ok(expression) = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX) else { return false };
    expression.evaluate(|wanted| wanted.license.id().is_some_and(|id| LICENCES.contains(&id.name)))
}

#[test]
fn alternatives_need_one_allowed_licence() {
    for (licence, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-3.0-only OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0-only", false),
        ("MIT AND OpenSSL", false),
        ("", false),
    ] {
        assert_eq!(allowed(licence), expected, "{licence}");
    }
}

#[test]
fn nothing_brings_a_second_cryptography() {
    let metadata = metadata();
    let resolved = metadata.resolve.as_ref().unwrap();
    let linked: BTreeSet<_> = resolved.nodes.iter().map(|node| node.id.clone()).collect();
    let found = metadata.packages.iter().filter(|p| linked.contains(&p.id) && BANNED.contains(&p.name.as_str()));
    let found: Vec<_> = found.map(|p| format!("{} {}", p.name, p.version)).collect();
    assert!(found.is_empty(), "{found:?}");
}
