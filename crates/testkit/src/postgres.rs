//! Real PostgreSQL servers for tests and for the demo.
//!
//! Promises: a server is started on a random loopback port and on a Unix socket, with SCRAM passwords and (unless turned
//! off) TLS under a CA made for it; as `postgres` or `nobody` when we are root, since the server refuses root; it ends
//! with the process that started it, however that ends ([`crate::process`]). [`Postgres::shared`] is started once per
//! test binary; tests keep apart by [`Postgres::create_database`].
//! Which versions: the system's, and those under `PORTCULLIS_PG_BINARIES` (`DIR/MAJOR/bin`, fetched by `scripts/test`).
//! What the machine lacks is [`TestkitError::Absent`] with what would help, so a test can say why it skips.
//! Does not promise durability: fsync is off.
//! Held by: `tests/it/postgres.rs`.

mod installation;

pub use installation::Installation;

use crate::account::Account;
use crate::certificates::{TestCa, write_private};
use crate::error::TestkitError;
use crate::listening::free_port;
use crate::process::{Launch, ReadyOn, Supervised, run, run_with_input};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The superuser of every server started here.
pub const SUPERUSER: &str = "postgres";

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    installation: Installation,
    tls: bool,
    settings: Vec<(String, String)>,
    access: Vec<String>,
}

impl Options {
    /// SCRAM and TLS on, two-phase commit and logical decoding possible, no fsync.
    #[must_use]
    pub fn new(installation: Installation) -> Self {
        Self { installation, tls: true, settings: Vec::new(), access: Vec::new() }
    }

    /// No TLS: clients that ask for it are told no.
    #[must_use]
    pub const fn without_tls(mut self) -> Self {
        self.tls = false;
        self
    }

    /// A line of `postgresql.conf`; later ones win.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of `pg_hba.conf` before our own.
    #[must_use]
    pub fn access(mut self, line: &str) -> Self {
        self.access.push(line.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`TestkitError`]; a port that was taken meanwhile is tried again with another.
    pub fn start(&self) -> Result<Postgres, TestkitError> {
        let mut last = None;
        for _attempt in 0..5 {
            match Postgres::start(self) {
                Err(TestkitError::Failed { program, status, output }) if output.contains("Address already in use") => {
                    last = Some(TestkitError::Failed { program, status, output });
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| TestkitError::Absent("a free port".to_owned())))
    }
}

/// A running server.
pub struct Postgres {
    directory: PathBuf,
    installation: Installation,
    port: u16,
    password: String,
    tls: bool,
    process: Supervised,
    databases: AtomicU32,
}

impl Postgres {
    /// The server that all tests of this binary share: the system's version, with TLS.
    ///
    /// # Errors
    /// The first start's error, each time.
    pub fn shared() -> Result<&'static Self, &'static TestkitError> {
        static SHARED: OnceLock<Result<Postgres, TestkitError>> = OnceLock::new();
        SHARED.get_or_init(|| Options::new(Installation::system()?).start()).as_ref()
    }

    fn start(options: &Options) -> Result<Self, TestkitError> {
        let account = Account::for_servers()?;
        options.installation.check_readable_by(&account)?;
        let directory = account.make_directory("pc-pg-")?;
        let password = crate::random_hex()?;
        write_private(&directory.join("password"), &password)?;
        account.give(&directory.join("password"))?;
        let data = directory.join("data");
        let mut initdb = account.command(&options.installation.program("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]);
        initdb.arg("--locale=C").arg(format!("--pwfile={}", directory.join("password").display()));
        run(initdb.current_dir(&directory))?;
        let port = free_port()?;
        configure(options, &account, &directory, port)?;
        let mut server = account.command(&options.installation.program("postgres"));
        server.arg("-D").arg(&data).current_dir(&directory);
        let process = Supervised::start(Launch {
            command: server,
            name: "postgres",
            directory: &directory,
            garbage: Some(&directory),
            stop_signal: "QUIT",
            ready_on: ReadyOn::Stderr,
            ready: "database system is ready to accept connections",
            patience: Duration::from_secs(60),
        })?;
        let (installation, tls) = (options.installation.clone(), options.tls);
        Ok(Self { directory, installation, port, password, tls, process, databases: AtomicU32::new(0) })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port, on loopback and in the socket's name.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    #[must_use]
    pub fn socket_directory(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// The superuser's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The major version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.installation.version()
    }

    /// The CA that signed the server's certificate (`localhost`, `127.0.0.1`), if it has one.
    #[must_use]
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.tls.then(|| self.directory.join("ca.pem"))
    }

    /// What the server logged.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.process.log_text()
    }

    /// The running program, for signals.
    #[must_use]
    pub const fn process(&self) -> &Supervised {
        &self.process
    }

    /// A libpq connection string as the superuser, over TLS with verification where the server has TLS.
    #[must_use]
    pub fn dsn(&self, database: &str) -> String {
        let tls = self.ca_file().map_or_else(
            || "sslmode=disable".to_owned(),
            |ca| format!("sslmode=verify-full sslrootcert={}", ca.display()),
        );
        format!("host=127.0.0.1 port={} user={SUPERUSER} password={} dbname={database} {tls}", self.port, self.password)
    }

    /// Runs SQL as the superuser through psql, stops at the first error, and returns unaligned rows without headers.
    ///
    /// # Errors
    /// [`TestkitError::Failed`] with psql's message; [`TestkitError::Absent`] without psql.
    pub fn run_sql(&self, database: &str, sql: &str) -> Result<String, TestkitError> {
        let mut psql = Command::new(self.installation.client("psql")?);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        psql.env("PGHOST", self.socket_directory()).env("PGPORT", self.port.to_string());
        psql.env("PGUSER", SUPERUSER).env("PGDATABASE", database).env("PGPASSWORD", &self.password);
        psql.env("PGOPTIONS", "-c client_min_messages=warning");
        run_with_input(&mut psql, sql.as_bytes())
    }

    /// Makes a database of its own for a test and runs `sql` in it; its name starts with `prefix`.
    ///
    /// # Errors
    /// As [`Postgres::run_sql`].
    pub fn create_database(&self, prefix: &str, sql: &str) -> Result<String, TestkitError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}_{number}");
        self.run_sql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))?;
        self.run_sql(&name, sql)?;
        Ok(name)
    }
}

fn configure(options: &Options, account: &Account, directory: &Path, port: u16) -> Result<(), TestkitError> {
    let data = directory.join("data");
    let socket = directory.join("socket");
    std::fs::create_dir(&socket).map_err(TestkitError::io("make the socket directory"))?;
    account.give(&socket)?;
    let mut settings: Vec<(String, String)> = [
        ("listen_addresses", "127.0.0.1"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "200"),
        ("max_prepared_transactions", "10"),
        ("wal_level", "logical"),
        ("shared_buffers", "64MB"),
        ("lc_messages", "C"),
        ("password_encryption", "scram-sha-256"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    settings.push(("port".to_owned(), port.to_string()));
    settings.push(("unix_socket_directories".to_owned(), socket.display().to_string()));
    if options.tls {
        let ca = TestCa::new("Portcullis test servers")?;
        let leaf = ca.server(&["localhost", "127.0.0.1"])?;
        std::fs::write(directory.join("ca.pem"), ca.pem()).map_err(TestkitError::io("write ca.pem"))?;
        for (name, text) in [("server.pem", &leaf.certificate), ("server.key", &leaf.key)] {
            write_private(&data.join(name), text)?;
            account.give(&data.join(name))?;
        }
        settings.push(("ssl".to_owned(), "on".to_owned()));
        settings.push(("ssl_cert_file".to_owned(), "server.pem".to_owned()));
        settings.push(("ssl_key_file".to_owned(), "server.key".to_owned()));
    }
    settings.extend(options.settings.iter().cloned());
    let text: String =
        settings.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect();
    append(&data.join("postgresql.conf"), &text)?;
    let mut access = options.access.clone();
    for line in ["local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256"] {
        access.push(line.to_owned());
    }
    access.push("local replication all scram-sha-256".to_owned());
    access.push("host replication all 127.0.0.1/32 scram-sha-256".to_owned());
    std::fs::write(data.join("pg_hba.conf"), access.join("\n") + "\n").map_err(TestkitError::io("write pg_hba.conf"))
}

fn append(path: &Path, text: &str) -> Result<(), TestkitError> {
    use std::io::Write;
    std::fs::OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(TestkitError::io(format!("write {}", path.display())))
}
