//! A shop, a gateway in front of it, and the two people of these tests: `agent` (careful writes) and `owner` (everything).

use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::postgres::Postgres;
use portcullis_testkit::process::run;
use portcullis_testkit::{Recorder, TestkitError, or_skip, shop};
use std::path::PathBuf;
use std::process::Command;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// What agents may: the shape of the shipped bundles, in one file that these tests own.
pub(crate) const AGENTS: &str = r#"
bundle: agents
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: read-public
    allow: { actions: [read], objects: ["table public.*"] }
  - id: write-public
    allow: { actions: [write], objects: ["table public.*"] }
  - id: channels
    allow: { actions: [read, call], objects: ["channel *"] }
  - id: totals
    allow: { actions: [execute], objects: ["function public.order_total"] }
  - id: no-unbounded-writes
    deny: { actions: [update, delete], marks: [unbounded] }
    message: Add a WHERE clause that names the rows.
  - id: no-destruction
    deny: { actions: [drop, truncate], objects: ["*"] }
    message: Agents may not destroy tables. Ask the owner.
"#;

/// What owners may: everything, as pg_dump and pgbench need.
pub(crate) const OWNERS: &str = r#"
bundle: owners
applies_to: { connections: ["*"], principals: { groups: [owners] } }
rules:
  - id: everything
    allow: { actions: [any, unknown], objects: ["*"], marks: [dynamic, privileged, irreversible] }
"#;

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Agent,
    Owner,
}

impl Who {
    pub(crate) const fn user(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Owner => "owner",
        }
    }

    const fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["agents"],
            Self::Owner => &["owners"],
        }
    }
}

/// How the gateway of a test is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    /// Listeners without TLS, for clients that have none.
    pub(crate) plaintext: bool,
    /// A recorder between the gateway and the server.
    pub(crate) recorder: bool,
    /// The recorder writes at most this many bytes at a time; 0 is no limit.
    pub(crate) torn: usize,
    /// Further lines of the configuration.
    pub(crate) extra: &'static str,
}

/// A database with the shop, and a gateway in front of it unless the tests run directly.
pub(crate) struct Shop {
    pub(crate) server: &'static Postgres,
    pub(crate) database: String,
    recorder: Option<Recorder>,
    gateway: Option<Gateway>,
}

pub(crate) fn direct() -> bool {
    std::env::var_os("PORTCULLIS_DIRECT").is_some()
}

/// The server all tests share, or why there is none.
pub(crate) fn server() -> Option<&'static Postgres> {
    or_skip(Postgres::shared())
}

impl Shop {
    /// Opens one for a test, or says why the test is skipped.
    pub(crate) fn open(wants: Wants) -> Option<Self> {
        let server = server()?;
        let database = server.create_database("shop", shop::SQL).unwrap();
        let recorder = wants.recorder.then(|| {
            let piece = if wants.torn == 0 { usize::MAX } else { wants.torn };
            Recorder::torn(&server.address(), piece).unwrap()
        });
        let mut shop = Self { server, database, recorder, gateway: None };
        if !direct() {
            shop.gateway = Some(shop.settings(wants).start().unwrap());
        }
        Some(shop)
    }

    /// Like [`Shop::open`], for tests that make no sense without a gateway.
    pub(crate) fn guarded(wants: Wants) -> Option<Self> {
        if direct() {
            println!("skipped: there is no gateway");
            return None;
        }
        Self::open(wants)
    }

    fn settings(&self, wants: Wants) -> Settings {
        let settings = Settings::new(BINARY).policy("agents", AGENTS).policy("owners", OWNERS).extra(wants.extra);
        let settings = match &self.recorder {
            Some(recorder) => settings.postgres_at("shop", &recorder.address(), self.server, &self.database),
            None => settings.postgres("shop", self.server, &self.database),
        };
        if wants.plaintext { settings.plaintext() } else { settings }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("a guarded shop")
    }

    pub(crate) fn gateway_mut(&mut self) -> &mut Gateway {
        self.gateway.as_mut().expect("a guarded shop")
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        self.recorder.as_ref().expect("a recorder was wanted")
    }

    pub(crate) fn token(&self, who: Who) -> String {
        self.gateway().token(who.user(), who.groups()).unwrap()
    }

    /// A libpq string for this person with a new token, or the server's own when running directly.
    pub(crate) fn dsn(&self, who: Who) -> String {
        match &self.gateway {
            Some(gateway) => gateway.dsn("shop", who.user(), &self.token(who)).unwrap(),
            None => self.server.dsn(&self.database),
        }
    }

    /// What the server itself says, as its superuser.
    pub(crate) fn ask_server(&self, sql: &str) -> String {
        self.server.run_sql(&self.database, sql).unwrap().trim_end().to_owned()
    }

    /// Stops the gateway and looks for surprises in its log.
    pub(crate) fn close(self, listed: &[&str]) {
        if let Some(gateway) = self.gateway {
            gateway.stop(listed).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// The value of a part of a libpq string.
pub(crate) fn part<'a>(dsn: &'a str, name: &str) -> &'a str {
    dsn.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// A libpq client program whose environment connects it, so that no password stands in its arguments.
pub(crate) fn libpq_client(program: &str, dsn: &str) -> Result<Command, TestkitError> {
    let installation = portcullis_testkit::postgres::Installation::system()?;
    let mut command = Command::new(installation.client(program)?);
    for (variable, name) in [
        ("PGHOST", "host"),
        ("PGPORT", "port"),
        ("PGUSER", "user"),
        ("PGPASSWORD", "password"),
        ("PGDATABASE", "dbname"),
        ("PGSSLMODE", "sslmode"),
        ("PGSSLROOTCERT", "sslrootcert"),
    ] {
        match part(dsn, name) {
            "" => command.env_remove(variable),
            value => command.env(variable, value),
        };
    }
    command.env("PGTZ", "UTC").env("PSQL_HISTORY", "/dev/null").env("LC_ALL", "C").env("PGCONNECT_TIMEOUT", "20");
    Ok(command)
}

/// Where `scripts/test` put the drivers.
pub(crate) fn fetched(what: &str) -> Option<PathBuf> {
    let Some(home) = std::env::var_os("PORTCULLIS_DRIVERS") else {
        println!("skipped: PORTCULLIS_DRIVERS is not set (scripts/test fetches the drivers and sets it)");
        return None;
    };
    let path = PathBuf::from(home).join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} was not fetched", path.display());
    None
}

/// Runs a program to its end; its output, or a panic with what it said.
pub(crate) fn succeed(command: &mut Command) -> String {
    run(command).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until `done`, or panics after half a minute: for effects that another process brings about.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    found(|| done().then_some(())).unwrap_or_else(|| panic!("{what}: not within 30 s"));
}

/// What is looked for, if it comes within half a minute.
pub(crate) fn found<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match look() {
            None if std::time::Instant::now() < deadline => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            looked => return looked,
        }
    }
}

/// How many generated cases a seeded suite runs: `PORTCULLIS_CASES`, else this.
pub(crate) fn cases(default: usize) -> usize {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
