//! The sections that are not about backends: `listen`, `tls`, `identity`, `audit`, `limits`, `store`.
//!
//! Promises: each gives its defaults where it is absent, and `None` only with a problem. Held by: the golden files.

use crate::document::{Section, Value};
use crate::settings::{Audit, Durability, Limits, Listen, OidcIssuer, Results, Roles, SshIdentity, Store, Tls};
use crate::{oidc, ssh};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn store(value: Option<Value<'_>>) -> Option<Store> {
    let Some(value) = value else { return Some(Store::RocksDb) };
    let text = value.text()?;
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        // The text may hold a password, so it is told at the key.
        value.problem_at_key("a PostgreSQL store is not available yet in this version", "write `rocksdb`");
        return None;
    }
    value.choice(&[("rocksdb", Store::RocksDb)])
}

pub(crate) fn listen(section: Option<Section<'_>>) -> Option<Listen> {
    let mut section = section?;
    let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
    let mut address = |section: &mut Section<'_>, key| {
        let value = section.take(key)?;
        let address = value.socket_address()?;
        match seen.iter().find(|(_, other)| *other == address && address.port() != 0) {
            Some((other, _)) => value.problem(format!("`{other}` listens on {address} already")),
            None => seen.push((key, address)),
        }
        Some(address)
    };
    let listen = Listen {
        postgres: address(&mut section, "postgres"),
        ssh: address(&mut section, "ssh"),
        http: address(&mut section, "http"),
        console: address(&mut section, "console"),
    };
    let serves = section.entries().any(|(key, _)| matches!(key, "postgres" | "ssh" | "http"));
    if !serves {
        let help = "add `postgres: 127.0.0.1:6442`, `ssh: 127.0.0.1:6422` or `http: 127.0.0.1:6480`";
        section.value().problem_with("no listener: nobody could connect", help);
    }
    section.finish();
    Some(listen)
}

pub(crate) fn tls(value: Option<Value<'_>>, listen: Option<&Listen>) -> Option<Tls> {
    let Some(value) = value else { return Some(Tls::SelfMade) };
    if value.is_scalar() {
        if value.text()? != "off" {
            value.problem_with(
                "this is not a TLS setting",
                "write `{ certificate: gw.pem, key: gw.key }`, or leave `tls` out",
            );
            return None;
        }
        let open: Vec<_> = listen?.over_tls().filter(|(_, at)| !at.ip().to_canonical().is_loopback()).collect();
        for (key, address) in &open {
            value.problem_with(
                format!("`off` is for loopback only, and `listen.{key}` is {address}"),
                "leave `tls` out: the gateway makes its own certificate",
            );
        }
        return open.is_empty().then_some(Tls::Off);
    }
    let mut section = value.section()?;
    let certificate = section.require("certificate", "gw.pem").and_then(|value| value.file());
    let key = section.require("key", "gw.key").and_then(|value| value.file());
    section.finish();
    Some(Tls::Files { certificate: certificate?, key: key? })
}

/// `identity`: who is accepted, and who may administrate.
#[derive(Default)]
pub(crate) struct Identity {
    pub(crate) roles: Roles,
    pub(crate) oidc: Vec<OidcIssuer>,
    pub(crate) ssh: SshIdentity,
}

pub(crate) fn identity(value: Option<Value<'_>>) -> Option<Identity> {
    let Some(value) = value else { return Some(Identity::default()) };
    let mut section = value.section()?;
    let oidc = section.take("oidc").map_or_else(|| Some(Vec::new()), |value| oidc::issuers(&value));
    let listed = section.take("roles");
    if let Some(value) = section.take("saml") {
        value.problem_with(
            "SAML is not read here: it comes through an OpenID Connect bridge",
            "name the bridge under `oidc`; docs/operations.md shows one",
        );
    }
    let ssh = ssh::identity(&mut section);
    section.finish();
    let roles = listed.map_or_else(|| Some(Roles::default()), |value| roles(&value));
    Some(Identity { roles: roles?, oidc: oidc?, ssh: ssh? })
}

fn roles(value: &Value<'_>) -> Option<Roles> {
    let mut section = value.section()?;
    let mut groups = |key| section.take(key).map_or_else(|| Some([].into()), |value| value.names());
    let (admin, auditor, approver) = (groups("admin"), groups("auditor"), groups("approver"));
    section.finish();
    Some(Roles { admin: admin?, auditor: auditor?, approver: approver? })
}

pub(crate) fn audit(value: Option<Value<'_>>) -> Option<Audit> {
    let defaults = Audit::default();
    let Some(value) = value else { return Some(defaults) };
    let mut section = value.section()?;
    let results = [("full", Results::Full), ("sample", Results::Sample), ("none", Results::None)];
    let durability = [("strict", Durability::Strict), ("batched", Durability::Batched)];
    let results = section.take("results").map_or(Some(defaults.results), |value| value.choice(&results));
    let max = section.take("max_result_bytes").map_or(Some(defaults.max_result_bytes), |value| value.size(0..=1 << 30));
    let retention =
        section.take("retention").map_or(Some(defaults.retention), |value| value.duration(DAY..=36_500 * DAY));
    let durability = section.take("durability").map_or(Some(defaults.durability), |value| value.choice(&durability));
    section.finish();
    Some(Audit { results: results?, max_result_bytes: max?, retention: retention?, durability: durability? })
}

pub(crate) fn limits(value: Option<Value<'_>>) -> Option<Limits> {
    let defaults = Limits::default();
    let Some(value) = value else { return Some(defaults) };
    let mut section = value.section()?;
    let second = Duration::from_secs(1);
    let mut duration =
        |key, default, most| section.take(key).map_or(Some(default), |value| value.duration(second..=most));
    let approval_wait = duration("approval_wait", defaults.approval_wait, DAY);
    let idle = duration("idle", defaults.idle, 30 * DAY);
    let handshake = duration("handshake", defaults.handshake, Duration::from_secs(5 * 60));
    let mut count = |key, default, most| section.take(key).map_or(Some(default), |value| value.count(1..=most));
    let sessions = count("sessions", defaults.sessions, 100_000);
    // Whoever has many leaves a quarter of the places to others.
    let most = sessions.unwrap_or(defaults.sessions);
    let of_principal = count("sessions_per_principal", most - most / 4, 100_000);
    let unauthenticated = count("unauthenticated_per_address", defaults.unauthenticated_per_address, 10_000);
    let statement = section.take("statement").map_or(Some(defaults.statement), |value| value.size(1 << 10..=64 << 20));
    section.finish();
    Some(Limits {
        statement: statement?,
        approval_wait: approval_wait?,
        idle: idle?,
        handshake: handshake?,
        sessions: sessions?,
        sessions_per_principal: of_principal?,
        unauthenticated_per_address: unauthenticated?,
    })
}

impl Value<'_> {
    /// A path; what is there is not looked at.
    pub(crate) fn path_in(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() || text.contains('\0') {
            self.problem("this is not a path");
            return None;
        }
        Some(self.document().resolve(text))
    }

    /// A file; where the disk is looked at, one that is there.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let path = self.path_in()?;
        if self.document().on_disk() && !path.is_file() {
            self.problem(format!("there is no file {}", path.display()));
            return None;
        }
        Some(path)
    }
}
