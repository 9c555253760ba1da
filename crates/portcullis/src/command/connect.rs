//! `portcullis connect`: a client with the environment a connection needs, or the string for it.
//!
//! Promises: every string verifies the gateway (`sslmode=verify-full` with its authority) unless its listener is
//! plaintext on loopback; the token goes to the child by its environment, never by its arguments, where a process list
//! would show it. Held by: `tests/it`.

pub(crate) mod auth;

use crate::args::ConnectArgs;
use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use crate::state;
use hyper::Method;
use portcullis_model::Protocol;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

pub(crate) async fn run(args: ConnectArgs) -> Result<ExitCode, Failure> {
    let client = Client::open(&args.gateway).await?;
    if matches!(client, Client::Offline(_)) {
        return Err(Failure::Unreachable("no gateway runs with this configuration".to_owned()));
    }
    let name = args.connection.split(['/', '+']).next().unwrap_or_default();
    let connections: Vec<Value> = client.json(Method::GET, "/api/v1/connections", None).await?;
    let Some(connection) = connections.iter().find(|connection| text(connection, "name") == name) else {
        return Err(Failure::Refused(format!(
            "the gateway has no connection `{name}`; `portcullis connections` lists them"
        )));
    };
    if args.auth.is_some() && text(connection, "protocol") != Protocol::Postgres.word() {
        return Err(Failure::Usage("--auth is for PostgreSQL connections".to_owned()));
    }
    if text(connection, "protocol") == Protocol::Ssh.word() {
        return ssh(connection, &args);
    }
    if text(connection, "protocol") == Protocol::Http.word() {
        return http(&client, connection, &args).await;
    }
    let token = state::token(args.gateway.gateway.as_deref());
    let who: Option<Value> = if token.is_some() && matches!(client, Client::Tls { .. }) {
        Some(client.json(Method::GET, "/api/v1/whoami", None).await?)
    } else {
        None
    };
    // Any token may be presented under this name.
    let user = who.as_ref().map_or("token", |who| text(who, "user"));
    let tls = connection.get("tls").and_then(Value::as_bool).unwrap_or(true);
    let mut settings = vec![
        ("host", "PGHOST", text(connection, "host").to_owned()),
        ("port", "PGPORT", connection.get("port").and_then(Value::as_u64).unwrap_or(0).to_string()),
        ("dbname", "PGDATABASE", args.connection.clone()),
        ("user", "PGUSER", user.to_owned()),
    ];
    if let Some(auth) = args.auth {
        let issuer = who.as_ref().map(|who| text(who, "issuer"));
        settings.extend(auth::settings(auth, &client, issuer, tls).await?);
    }
    if tls {
        settings.push(("sslmode", "PGSSLMODE", "verify-full".to_owned()));
        if let Some(file) = authority(&client).await? {
            settings.push(("sslrootcert", "PGSSLROOTCERT", file.display().to_string()));
        }
    }
    let Some((program, arguments)) = args.client.split_first() else {
        let words: Vec<String> = settings.iter().map(|(key, _, value)| format!("{key}={}", quoted(value))).collect();
        println!("{}", words.join(" "));
        return Ok(ExitCode::SUCCESS);
    };
    if args.auth == Some(auth::Way::OAuth) {
        return Err(Failure::Usage(
            "libpq takes the provider of a token from the connection string only: leave the client out, and give it the \
             string"
                .to_owned(),
        ));
    }
    let mut child = Command::new(program);
    for (_, variable, value) in &settings {
        // The user's own options stay.
        match std::env::var(variable) {
            Ok(own) if *variable == "PGOPTIONS" => child.env(variable, format!("{own} {value}")),
            Ok(_) | Err(_) => child.env(variable, value),
        };
    }
    child.args(arguments);
    if let Some(token) = token {
        child.env("PGPASSWORD", token.expose_secret());
    }
    run_child(child, program)
}

/// Runs a client to its end, and ends as it did.
fn run_child(mut child: Command, program: &str) -> Result<ExitCode, Failure> {
    let status = child.status().map_err(|error| Failure::refused(&format!("`{program}` did not start"), error))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Clients of HTTP take a base URL; those of models have variables for it and for the token.
async fn http(client: &Client, connection: &Value, args: &ConnectArgs) -> Result<ExitCode, Failure> {
    let port = connection.get("port").and_then(Value::as_u64);
    let Some(port) = port else { return Err(Failure::Refused("the gateway has no listener for HTTP".to_owned())) };
    let tls = connection.get("tls").and_then(Value::as_bool).unwrap_or(true);
    let url = base_url(&args.connection, text(connection, "host"), port, tls);
    let Some((program, arguments)) = args.client.split_first() else {
        println!("{url}");
        return Ok(ExitCode::SUCCESS);
    };
    let mut child = Command::new(program);
    child.args(arguments).env("PORTCULLIS_URL", &url).env("ANTHROPIC_BASE_URL", &url);
    child.env("OPENAI_BASE_URL", format!("{url}/v1"));
    if tls && let Some(file) = authority(client).await? {
        for variable in ["CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
            child.env(variable, &file);
        }
    }
    if let Some(token) = state::token(args.gateway.gateway.as_deref()) {
        let token = token.expose_secret();
        // A key of the user's own beside it would be a second credential.
        child.env_remove("ANTHROPIC_API_KEY").env("ANTHROPIC_AUTH_TOKEN", token).env("OPENAI_API_KEY", token);
        child.env("PORTCULLIS_TOKEN", token);
    }
    run_child(child, program)
}

/// Where a connection's service begins.
fn base_url(connection: &str, host: &str, port: u64, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}:{port}/{connection}")
}

/// SSH clients have no environment to be given: the line is printed for them.
fn ssh(connection: &Value, args: &ConnectArgs) -> Result<ExitCode, Failure> {
    let port = connection.get("port").and_then(Value::as_u64);
    let Some(port) = port else { return Err(Failure::Refused("the gateway has no listener for SSH".to_owned())) };
    let line = ssh_line(&args.connection, text(connection, "host"), port);
    if !args.client.is_empty() {
        return Err(Failure::Usage(format!("an SSH client needs nothing of this command: {line}")));
    }
    println!("{line}");
    Ok(ExitCode::SUCCESS)
}

/// The user name is the connection; who calls, the client's key says.
pub(crate) fn ssh_line(connection: &str, host: &str, port: u64) -> String {
    format!("ssh -p {port} {connection}@{host}")
}

/// A file with the gateway's authority, where it has one of its own.
async fn authority(client: &Client) -> Result<Option<PathBuf>, Failure> {
    let bytes = match client.ask(Method::GET, "/api/v1/ca", None).await {
        Ok(answer) => answer.bytes().await?,
        // Its certificate comes from elsewhere; the system's roots know it.
        Err(Failure::Refused(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let file = state::directory()?.join("gateway-ca.pem");
    fs::write(&file, &bytes)?;
    Ok(Some(file))
}

/// A value as libpq reads it in a connection string.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && value.chars().all(|c| !c.is_whitespace() && c != '\'' && c != '\\');
    if plain { value.to_owned() } else { format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")) }
}

#[cfg(test)]
mod tests {
    use super::{base_url, quoted, ssh_line};

    #[test]
    fn the_user_of_an_ssh_client_is_the_connection() {
        assert_eq!(ssh_line("build-box", "::1", 6422), "ssh -p 6422 build-box@::1");
    }

    #[test]
    fn the_first_segment_of_a_url_is_the_connection() {
        assert_eq!(base_url("crm", "127.0.0.1", 6480, true), "https://127.0.0.1:6480/crm");
        assert_eq!(base_url("crm", "::1", 6480, false), "http://[::1]:6480/crm");
    }

    #[test]
    fn values_are_quoted_as_libpq_reads_them() {
        assert_eq!(quoted("shop/other"), "shop/other");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it\\'s'");
        assert_eq!(quoted(""), "''");
    }
}
