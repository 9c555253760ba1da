//! Runs a command beside a throwaway PostgreSQL server and ends the server with it. Scripts use it:
//!
//! `throwaway [--version MAJOR] [--without-tls] [--setting NAME=VALUE]… [--access LINE]… -- COMMAND [ARGUMENT]…`
//!
//! The command finds the server through libpq's own variables (PGHOST, PGPORT, PGUSER, PGPASSWORD), the socket's
//! directory in `PORTCULLIS_PG_SOCKET`, and the CA's file in `PORTCULLIS_PG_CA` where the server has TLS.

use portcullis_testkit::TestkitError;
use portcullis_testkit::postgres::{Installation, Options, SUPERUSER};
use std::io::Write;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "throwaway: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, TestkitError> {
    let missing = |what: &str| TestkitError::Absent(format!("an argument: {what}"));
    let (mut installation, mut tls) = (None, true);
    let (mut settings, mut access) = (Vec::new(), Vec::new());
    loop {
        match arguments.next().as_deref() {
            Some("--") => break,
            Some("--version") => {
                let major = arguments.next().and_then(|text| text.parse().ok());
                installation = Some(Installation::of_version(major.ok_or_else(|| missing("MAJOR"))?)?);
            }
            Some("--without-tls") => tls = false,
            Some("--setting") => settings.push(arguments.next().ok_or_else(|| missing("NAME=VALUE"))?),
            Some("--access") => access.push(arguments.next().ok_or_else(|| missing("LINE"))?),
            Some(other) => return Err(TestkitError::Absent(format!("an option `{other}`"))),
            None => return Err(missing("-- COMMAND")),
        }
    }
    let mut options = Options::new(installation.map_or_else(Installation::system, Ok)?);
    if !tls {
        options = options.without_tls();
    }
    for setting in &settings {
        let (name, value) = setting.split_once('=').ok_or_else(|| missing("NAME=VALUE"))?;
        options = options.setting(name, value);
    }
    for line in &access {
        options = options.access(line);
    }
    let server = options.start()?;
    let mut command = Command::new(arguments.next().ok_or_else(|| missing("-- COMMAND"))?);
    command.args(arguments).env("PGHOST", "127.0.0.1").env("PGPORT", server.port().to_string());
    command.env("PGUSER", SUPERUSER).env("PGPASSWORD", server.password()).env("PGDATABASE", "postgres");
    command.env("PORTCULLIS_PG_SOCKET", server.socket_directory());
    if let Some(ca) = server.ca_file() {
        command.env("PORTCULLIS_PG_CA", ca);
    }
    let status = command.status().map_err(|source| TestkitError::Io { what: "run the command".to_owned(), source })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
