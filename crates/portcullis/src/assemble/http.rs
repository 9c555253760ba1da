//! What HTTP needs of the configuration: where its services are, what they are shown, and how its listener serves.
//!
//! Promises: a header that holds a secret is a credential and never part of a destination; a service without TLS is one
//! that the configuration allowed so. What cannot be built is said with the connection it came from.
//! Held by: `tests/it/http.rs`.

use crate::assemble::address;
use crate::assemble::credentials::secret_source;
use crate::error::Failure;
use hyper::header::{HeaderName, HeaderValue};
use portcullis_config as config;
use portcullis_config::Config;
use portcullis_credentials::{HeaderSource, Method, Source};
use portcullis_gate::Gate;
use portcullis_http::{Api, Destination, Http, Opaque, Seal, Settings, ToolField, ToolTable};
use portcullis_identity::TokenKey;
use portcullis_model::{Connection, Name, Protocol};
use portcullis_net::{ClientTls, Roots, ServerTls, VerifyMode};
use secrecy::SecretBox;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Bytes of a request of a model's API: the largest that Anthropic takes.
const MODEL_BODY: usize = 32 << 20;
/// A request's body may have so many times the bytes of a statement: 8 MiB where nothing else is said.
const STATEMENTS: u64 = 8;

/// A service as rules, records and the gate see it.
pub(crate) fn connection(name: &Name, service: &config::Http) -> Connection {
    Connection {
        name: name.clone(),
        protocol: Protocol::Http,
        address: service.upstream.address.to_string().into(),
        database: None,
        login: "".into(),
    }
}

/// What the gateway shows a service.
pub(crate) fn source(service: &config::Http) -> Source {
    let header = |(name, header): (&Arc<str>, &config::Header)| {
        let (before, source) = match header {
            config::Header::Secret(source) => ("", source),
            config::Header::Bearer(source) => ("Bearer ", source),
            config::Header::Plain(_) => return None,
        };
        Some(HeaderSource { name: Arc::clone(name), before, source: secret_source(source) })
    };
    let headers: Vec<HeaderSource> = service.headers.iter().filter_map(header).collect();
    let method = if headers.is_empty() { Method::None } else { Method::Headers(headers) };
    Source { username: "".into(), logins: [].into(), method }
}

/// What seals the session ids of tool servers: of the gateway's own key, so that it is the same after a restart.
pub(crate) fn seal(key: &TokenKey) -> Result<Arc<Seal>, Failure> {
    let secret = SecretBox::new(Box::new(*key.derive("mcp sessions")));
    let seal = Seal::new(&secret).ok_or_else(|| Failure::refused("token.key", "no key can be made of it"))?;
    Ok(Arc::new(seal))
}

fn services(config: &Config) -> impl Iterator<Item = (&Name, &config::Http)> {
    config.connections.iter().filter_map(|(name, connection)| match connection {
        config::Connection::Http(service) => Some((name, service)),
        config::Connection::Postgres(_) | config::Connection::Ssh(_) => None,
    })
}

/// What services cannot be reached with, before anybody asks.
pub(crate) fn problems(config: &Config) -> impl Iterator<Item = Failure> {
    services(config).filter_map(|(name, service)| reach(name, service).err())
}

fn refused(name: &Name, key: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::refused(&format!("connections.{name}.{key}"), why)
}

/// How a service proves itself, and what it is always told.
fn reach(name: &Name, service: &config::Http) -> Result<(ClientTls, Vec<(HeaderName, HeaderValue)>), Failure> {
    let roots = service.tls_ca.as_ref().map_or(Roots::Native, |file| Roots::File(file.clone()));
    let tls = if service.upstream.tls {
        let made = ClientTls::new(VerifyMode::VerifyFull, &roots, &[b"h2", b"http/1.1"]);
        made.map_err(|error| refused(name, "tls_ca", &error))?
    } else {
        ClientTls::disabled()
    };
    let mut headers = Vec::new();
    for (header, value) in &service.headers {
        if let config::Header::Plain(value) = value {
            let parsed = header.parse().ok().zip(value.parse().ok());
            headers.push(parsed.ok_or_else(|| refused(name, "headers", &format!("`{header}` is no header")))?);
        }
    }
    Ok((tls, headers))
}

fn destination(name: &Name, service: &config::Http, seal: &Arc<Seal>) -> Result<Destination, Failure> {
    let (tls, headers) = reach(name, service)?;
    let tool = |(tool, fields): (&Arc<str>, &BTreeMap<Arc<str>, config::ToolField>)| {
        let fields = fields.iter().map(|(field, holds)| (field.to_string(), tool_field(*holds)));
        (tool.to_string(), fields.collect())
    };
    let opaque: Vec<String> = service.opaque.iter().map(media_range).collect();
    Ok(Destination {
        address: address(&service.upstream.address),
        tls,
        authority: authority(&service.upstream),
        prefix: service.upstream.prefix.to_string(),
        api: match service.api {
            config::Api::Rest => Api::Rest,
            config::Api::Anthropic => Api::Anthropic,
            config::Api::OpenAi => Api::OpenAi,
            config::Api::Mcp => Api::Mcp,
        },
        headers,
        opaque: Arc::new(Opaque::new(opaque.iter().map(String::as_str))),
        tools: Arc::new(ToolTable::new(service.tools.iter().map(tool).collect())),
        seal: Arc::clone(seal),
        hosts: service.hosts.iter().map(ToString::to_string).collect(),
        timeout: service.timeout,
    })
}

const fn tool_field(holds: config::ToolField) -> ToolField {
    match holds {
        config::ToolField::Sql => ToolField::Sql,
        config::ToolField::Shell => ToolField::Shell,
        config::ToolField::None => ToolField::None,
    }
}

fn media_range(range: &config::MediaRange) -> String {
    format!("{}/{}", range.kind, range.subtype.as_deref().unwrap_or("*"))
}

/// The host as its service knows it: without the port that its scheme has anyway.
fn authority(upstream: &config::Upstream) -> String {
    let whole = upstream.address.to_string();
    let own = if upstream.tls { ":443" } else { ":80" };
    whole.strip_suffix(own).map_or(whole.clone(), ToOwned::to_owned)
}

/// How HTTP is served.
pub(crate) fn serve(config: &Config, gate: Gate, seal: &Arc<Seal>, tls: Option<ServerTls>) -> Result<Http, Failure> {
    let listed = services(config).map(|(name, service)| Ok((name.clone(), destination(name, service, seal)?)));
    let destinations: HashMap<Name, Destination> = listed.collect::<Result<_, Failure>>()?;
    let body = config.limits.statement.saturating_mul(STATEMENTS);
    let settings = Settings {
        tls,
        handshake: config.limits.handshake,
        idle: config.limits.idle,
        body: usize::try_from(body).unwrap_or(usize::MAX),
        model_body: MODEL_BODY,
    };
    Http::new(settings, gate, destinations).map_err(|error| Failure::refused("connections", error))
}
