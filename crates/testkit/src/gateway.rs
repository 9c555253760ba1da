//! The gateway's own binary, started with a generated configuration.
//!
//! Promises: random ports, its own directory, tokens made by the binary's own command line, and an end with the process
//! that started it. [`Gateway::stop`] fails on every WARN or ERROR line in its log that the test did not list: a
//! surprise in the log is a failing test. The secrets it was given stay out of its argument list (environment only).
//! Does not promise a policy: the caller writes one, since that is what is under test.
//! Held by: the end-to-end tests of `crates/portcullis`.

use crate::error::TestkitError;
use crate::postgres::{Postgres, SUPERUSER};
use crate::process::{Launch, ReadyOn, Supervised, run};
use crate::ssh::Sshd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// The user of PostgreSQL clients that prove themselves by the token alone.
const TOKEN_VARIABLE: &str = "PORTCULLIS_TEST_BACKEND_PASSWORD";

/// What a gateway is to be configured with.
#[derive(Clone, Debug)]
pub struct Settings {
    binary: PathBuf,
    connections: Vec<String>,
    policies: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    plaintext: bool,
    extra: String,
    log_filter: String,
}

impl Settings {
    /// A gateway from this binary, with TLS, without connections or policies.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            connections: Vec::new(),
            policies: Vec::new(),
            environment: Vec::new(),
            plaintext: false,
            extra: String::new(),
            log_filter: "info".to_owned(),
        }
    }

    /// A connection to a database of this server as its superuser, over TLS where the server has it.
    #[must_use]
    pub fn postgres(self, name: &str, server: &Postgres, database: &str) -> Self {
        self.postgres_with(name, server, database, "")
    }

    /// The same with further keys as YAML flow, each behind a comma.
    #[must_use]
    pub fn postgres_with(self, name: &str, server: &Postgres, database: &str, more: &str) -> Self {
        let tls = server.ca_file().map_or_else(
            || "tls: disable".to_owned(),
            |ca| format!("tls: verify-full, tls_ca: {}", quoted(&ca.display().to_string())),
        );
        let yaml = format!(
            "{{ protocol: postgres, address: \"{}\", database: {}, username: {SUPERUSER}, password: {{ env: {TOKEN_VARIABLE} }}, {tls}{more} }}",
            server.address(),
            quoted(database),
        );
        self.environment(TOKEN_VARIABLE, server.password()).connection(name, &yaml)
    }

    /// A connection to a database of this server by way of another address (a recorder's), without TLS.
    #[must_use]
    pub fn postgres_at(self, name: &str, address: &str, server: &Postgres, database: &str) -> Self {
        let yaml = format!(
            "{{ protocol: postgres, address: \"{address}\", database: {}, username: {SUPERUSER}, password: {{ env: {TOKEN_VARIABLE} }}, tls: disable }}",
            quoted(database),
        );
        self.environment(TOKEN_VARIABLE, server.password()).connection(name, &yaml)
    }

    /// A connection to this SSH server.
    #[must_use]
    pub fn ssh(self, name: &str, server: &Sshd) -> Self {
        self.connection(name, &server.connection())
    }

    /// A connection as YAML flow.
    #[must_use]
    pub fn connection(mut self, name: &str, yaml: &str) -> Self {
        self.connections.push(format!("  {}: {yaml}\n", quoted(name)));
        self
    }

    /// A policy bundle as a file of this name.
    #[must_use]
    pub fn policy(mut self, name: &str, yaml: &str) -> Self {
        self.policies.push((name.to_owned(), yaml.to_owned()));
        self
    }

    /// A variable of the gateway's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listeners without TLS, for raw clients on loopback.
    #[must_use]
    pub const fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Further top-level lines of the configuration (`audit:`, `limits:` …).
    #[must_use]
    pub fn extra(mut self, yaml: &str) -> Self {
        self.extra.push_str(yaml);
        self.extra.push('\n');
        self
    }

    /// The filter of its log, in `RUST_LOG`'s form; `info` unless given.
    #[must_use]
    pub fn log_filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// Starts it in a new directory, which is removed afterwards.
    ///
    /// # Errors
    /// [`TestkitError`], with the end of its log if it does not become ready.
    pub fn start(self) -> Result<Gateway, TestkitError> {
        let directory =
            tempfile::Builder::new().prefix("pc-gw-").tempdir().map_err(TestkitError::io("make a directory"))?.keep();
        let policies = directory.join("policies");
        std::fs::create_dir(&policies).map_err(TestkitError::io("make a directory"))?;
        for (name, text) in &self.policies {
            std::fs::write(policies.join(format!("{name}.yaml")), text).map_err(TestkitError::io("write a policy"))?;
        }
        std::fs::write(directory.join("portcullis.yaml"), self.yaml())
            .map_err(TestkitError::io("write the configuration"))?;
        let process = self.launch(&directory)?;
        Ok(Gateway { settings: self, directory, process: Some(process) })
    }

    fn yaml(&self) -> String {
        let tls = if self.plaintext { "tls: off\n" } else { "" };
        let connections = self.connections.concat();
        let ssh = if connections.contains("protocol: ssh") { "ssh: \"127.0.0.1:0\", " } else { "" };
        let http = if connections.contains("protocol: http") { "http: \"127.0.0.1:0\", " } else { "" };
        format!(
            "data_dir: ./data\nlisten: {{ postgres: \"127.0.0.1:0\", {ssh}{http}console: \"127.0.0.1:0\" }}\n{tls}connections:\n{connections}policies: [policies/*.yaml]\n{}",
            self.extra
        )
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(directory).env("PORTCULLIS_LOG", &self.log_filter).env("RUST_LOG", &self.log_filter);
        command.env("NO_COLOR", "1").env("XDG_STATE_HOME", directory.join("state"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn launch(&self, directory: &Path) -> Result<Supervised, TestkitError> {
        let mut command = self.command(directory);
        command.args(["serve", "--config"]).arg(directory.join("portcullis.yaml"));
        Supervised::start(Launch {
            command,
            name: "portcullis",
            directory,
            garbage: Some(directory),
            stop_signal: "TERM",
            ready_on: ReadyOn::Stdout,
            ready: "ready",
            patience: Duration::from_secs(60),
        })
    }
}

/// A running gateway.
pub struct Gateway {
    settings: Settings,
    directory: PathBuf,
    process: Option<Supervised>,
}

impl Gateway {
    fn process(&self) -> Result<&Supervised, TestkitError> {
        self.process.as_ref().ok_or_else(|| TestkitError::Absent("a running gateway".to_owned()))
    }

    /// Its directory: the configuration, `policies/` and `data/`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The CA that clients verify the gateway with.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("data/ca.pem")
    }

    /// `HOST:PORT` of a listener (`postgres`, `console`), from the ready line.
    ///
    /// # Errors
    /// [`TestkitError::Protocol`] if the line does not name it.
    pub fn address(&self, listener: &str) -> Result<String, TestkitError> {
        let line = self.process()?.ready_line();
        let mut words =
            line.split(|c: char| c.is_whitespace() || "={}\",;".contains(c)).filter(|word| !word.is_empty());
        let found = words.find(|word| word.trim_end_matches(':') == listener).and_then(|_| words.next());
        found.map(ToOwned::to_owned).ok_or_else(|| TestkitError::Protocol(format!("no {listener} in `{line}`")))
    }

    /// Runs the binary with these arguments and `--config`, in the gateway's environment.
    ///
    /// # Errors
    /// [`TestkitError::Failed`] unless it exits with 0.
    pub fn command(&self, arguments: &[&str]) -> Result<String, TestkitError> {
        run(&mut self.command_line(arguments))
    }

    /// The same as a command that was not started, for tests that expect another exit status.
    #[must_use]
    pub fn command_line(&self, arguments: &[&str]) -> Command {
        let mut command = self.settings.command(&self.directory);
        command.args(arguments).arg("--config").arg(self.directory.join("portcullis.yaml"));
        command
    }

    /// A new token for a user.
    ///
    /// # Errors
    /// As [`Gateway::command`].
    pub fn token(&self, user: &str, groups: &[&str]) -> Result<String, TestkitError> {
        let mut arguments = vec!["token", "create", "--user", user];
        groups.iter().for_each(|group| arguments.extend(["--group", group]));
        Ok(self.command(&arguments)?.trim().to_owned())
    }

    /// A libpq connection string for a client with a token, verifying the gateway unless it listens in plaintext.
    ///
    /// # Errors
    /// As [`Gateway::address`].
    pub fn dsn(&self, connection: &str, user: &str, token: &str) -> Result<String, TestkitError> {
        let address = self.address("postgres")?;
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, "5432"));
        let tls = if self.settings.plaintext {
            "sslmode=disable".to_owned()
        } else {
            format!("sslmode=verify-full sslrootcert={}", self.ca_file().display())
        };
        Ok(format!("host={host} port={port} user={user} password={token} dbname={connection} {tls}"))
    }

    /// What it logged so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.directory.join("portcullis.log")).unwrap_or_default()
    }

    /// Replaces a policy file; the gateway notices by itself or by `policy reload`.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn write_policy(&self, name: &str, yaml: &str) -> Result<(), TestkitError> {
        let directory = self.directory.join("policies");
        let file = tempfile::NamedTempFile::new_in(&self.directory).map_err(TestkitError::io("write a policy"))?;
        std::fs::write(file.path(), yaml).map_err(TestkitError::io("write a policy"))?;
        let kept = file.persist(directory.join(format!("{name}.yaml")));
        kept.map(drop).map_err(|error| TestkitError::Io { what: "write a policy".to_owned(), source: error.error })
    }

    /// The running program, for signals and its process id.
    ///
    /// # Errors
    /// [`TestkitError::Absent`] between [`Gateway::kill`] and [`Gateway::restart`].
    pub fn program(&self) -> Result<&Supervised, TestkitError> {
        self.process()
    }

    /// Kills it with -9, as a crash would; its directory stays, see [`Gateway::restart`].
    ///
    /// # Errors
    /// [`TestkitError`] if it is gone already.
    pub fn kill(&mut self) -> Result<(), TestkitError> {
        let mut process = self.process.take().ok_or_else(|| TestkitError::Absent("a running gateway".to_owned()))?;
        process.signal("KILL")?;
        process.wait(Duration::from_secs(10))?;
        process.keep_files();
        Ok(())
    }

    /// Starts it again over the same directory.
    ///
    /// # Errors
    /// As [`Settings::start`].
    pub fn restart(&mut self) -> Result<(), TestkitError> {
        self.process = Some(self.settings.launch(&self.directory)?);
        Ok(())
    }

    /// Asks it to stop, waits for it, and looks through its log: every line at WARN or ERROR must contain one of `listed`.
    ///
    /// # Errors
    /// [`TestkitError::NotReady`] if it does not stop within 30 s, [`TestkitError::UnlistedLogLines`].
    pub fn stop(mut self, listed: &[&str]) -> Result<ExitStatus, TestkitError> {
        let mut process = self.process.take().ok_or_else(|| TestkitError::Absent("a running gateway".to_owned()))?;
        process.signal("TERM")?;
        let status = process.wait(Duration::from_secs(30))?;
        let lines = unlisted(&process.log_text(), listed);
        if lines.is_empty() {
            return Ok(status);
        }
        Err(TestkitError::UnlistedLogLines { log: process.log_path().to_owned(), lines })
    }
}

/// The lines of a log at WARN or ERROR that contain none of `listed`.
#[must_use]
pub fn unlisted(log: &str, listed: &[&str]) -> Vec<String> {
    let serious = |line: &&str| {
        let head: Vec<&str> = line.split_whitespace().take(2).collect();
        head.contains(&"WARN")
            || head.contains(&"ERROR")
            || line.contains("\"level\":\"WARN\"")
            || line.contains("\"level\":\"ERROR\"")
    };
    let surprising = |line: &&str| !listed.iter().any(|known| line.contains(known));
    log.lines().filter(serious).filter(surprising).map(ToOwned::to_owned).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::unlisted;

    #[test]
    fn finds_surprises_in_both_log_forms() {
        let log = "2026-01-05T10:00:00Z  INFO portcullis: ready\n2026-01-05T10:00:01Z  WARN net: slow\n{\"level\":\"ERROR\",\"m\":\"x\"}\nINFO said WARN later on";
        assert_eq!(unlisted(log, &[]).len(), 2);
        assert_eq!(unlisted(log, &["net: slow"]), ["{\"level\":\"ERROR\",\"m\":\"x\"}"]);
    }
}
