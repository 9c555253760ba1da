//! `portcullis demo`: a gateway in front of a real PostgreSQL with a small shop, a real OpenSSH server with a few files, a REST
//! API and a scripted model; three identities, an identity provider with a person who approves, and lines to paste.
//!
//! Promises: everything in it is the product itself, reached as a user would reach it: the real `psql`, `ssh` and `curl`, this
//! binary's own commands, shipped policy bundles. Nothing outlives the command. `--script` checks every step's output and exits
//! non-zero if one is not as it says. Every secret is written to a file that was its owner's alone from the start, and the demo's
//! own directory is 0700. Does not promise to be a production set-up: the sample server has no durability.
//! Held by: itself, in `scripts/test`.

mod host;
mod people;
mod quote;
mod script;
mod services;
mod show;

use crate::args::DemoArgs;
use crate::assemble;
use crate::error::Failure;
use crate::serve::{self, Running};
use host::Host;
use people::People;
use portcullis_testkit::postgres::Options;
use portcullis_testkit::{Postgres, postgres::Installation, shop};
use services::Services;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The shipped bundles that the demo uses, and its own.
const POLICIES: [(&str, &str); 7] = [
    ("agents-careful-writes.yaml", include_str!("../../../../policies/agents-careful-writes.yaml")),
    ("agents-models.yaml", include_str!("../../../../policies/agents-models.yaml")),
    ("dba.yaml", include_str!("../../../../policies/dba.yaml")),
    ("shop-masks.yaml", include_str!("demo/shop-masks.yaml")),
    ("shop-approvals.yaml", include_str!("demo/shop-approvals.yaml")),
    ("shop-clerks.yaml", include_str!("demo/shop-clerks.yaml")),
    ("crm.yaml", include_str!("demo/crm.yaml")),
];

/// The identities: user, group, what they are for.
const IDENTITIES: [(&str, &str, &str); 4] = [
    ("agent-7", "agents", "an agent: reads, and writes rows it names"),
    ("dba-1", "dba", "a DBA: may change the schema"),
    ("auditor-1", "audit", "an auditor: reads the record, not the database"),
    ("clerk-1", "clerks", "a clerk: corrects orders, ten at a time"),
];

/// Where the demo keeps its files; removed at the end when it is a temporary one.
struct Place {
    path: PathBuf,
    temporary: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, "the demo's directory stays");
        }
    }
}

/// A running demo.
struct Demo {
    running: Running,
    config: PathBuf,
    authority: PathBuf,
    /// One each, in the order of [`IDENTITIES`].
    tokens: Vec<String>,
    /// The machine behind SSH, or why there is none.
    host: Result<Host, String>,
    /// The person who approves.
    people: People,
    services: Services,
    _server: Postgres,
    _place: Place,
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    serve::logging();
    println!(
        "Starting PostgreSQL with a small shop, a machine behind SSH, two HTTP services, and a gateway in front of them …"
    );
    let demo = start(args).await?;
    let outcome = if args.script { script::play(&demo).await } else { demo.show_and_wait().await };
    let stopped = demo.running.stop().await;
    outcome.and(stopped)
}

async fn start(args: &DemoArgs) -> Result<Demo, Failure> {
    let place = place(args.dir.as_deref())?;
    let server = blocking("the sample server", server).await?;
    let host = blocking("the sample machine", host::start).await?;
    let people = blocking("the identity provider", people::start).await?;
    let script = args.script;
    let services = blocking("the sample services", move || services::start(script)).await?;
    let local = |port| SocketAddr::from(([127, 0, 0, 1], if args.script { 0 } else { port }));
    let listen = Listen {
        postgres: args.postgres.unwrap_or_else(|| local(6442)),
        ssh: args.ssh.unwrap_or_else(|| local(6422)),
        http: args.http.unwrap_or_else(|| local(6480)),
        console: args.console.unwrap_or_else(|| local(6444)),
    };
    let sample = Sample { server: &server, host: host.as_ref().ok(), people: &people, services: &services };
    let config = write_files(&place.path, &listen, &sample)?;
    let running = serve::start(assemble::load(&config)?).await?;
    if let Some(address) = running.ssh {
        let config = config.clone();
        blocking("ssh-ca", move || host::write_client_files(&config, address)).await?;
    }
    let authority = place.path.join("data/ca.pem");
    let mut tokens = Vec::new();
    for (user, group, _) in IDENTITIES {
        tokens.push(token(&config, user, group).await?);
    }
    services::write_client_files(&config, &authority, tokens.first().map_or("", String::as_str))?;
    Ok(Demo { running, config, authority, tokens, host, people, services, _server: server, _place: place })
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::refused(what, error))?
}

fn place(dir: Option<&Path>) -> Result<Place, Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    if let Some(dir) = dir {
        builder.recursive(true).create(dir)?;
        return Ok(Place { path: std::path::absolute(dir)?, temporary: false });
    }
    let path = std::env::temp_dir().join(format!("portcullis-demo-{}", std::process::id()));
    builder.create(&path)?;
    Ok(Place { path, temporary: true })
}

/// The role that the gateway logs in as: it owns the shop, so that what stops an agent is the gateway.
const LOGIN: &str = "shop_app";

/// A real server with the shop in it. Blocks.
fn server() -> Result<Postgres, Failure> {
    let failed = |error| Failure::refused("the sample server", error);
    let server = Options::new(Installation::system().map_err(failed)?).start().map_err(failed)?;
    let make =
        format!("CREATE ROLE {LOGIN} LOGIN PASSWORD '{}'; CREATE DATABASE shop OWNER {LOGIN}", server.password());
    server.run_sql("postgres", &make).map_err(failed)?;
    server.run_sql("shop", &format!("SET ROLE {LOGIN};\n{}", shop::SQL)).map_err(failed)?;
    Ok(server)
}

/// Where the gateway listens.
struct Listen {
    postgres: SocketAddr,
    ssh: SocketAddr,
    http: SocketAddr,
    console: SocketAddr,
}

/// What it stands in front of, and who vouches for its people.
struct Sample<'a> {
    server: &'a Postgres,
    host: Option<&'a Host>,
    people: &'a People,
    services: &'a Services,
}

/// The configuration, as a user would write it, with the shipped bundles beside it.
fn write_files(place: &Path, listen: &Listen, sample: &Sample<'_>) -> Result<PathBuf, Failure> {
    let policies = place.join("policies");
    fs::create_dir_all(&policies)?;
    for (name, text) in POLICIES {
        fs::write(policies.join(name), text)?;
    }
    let mut connections = vec![shop_connection(place, sample.server)?];
    let mut identity = vec!["roles: { admin: [dba], auditor: [audit], approver: [dba] }".to_owned()];
    let Listen { postgres, ssh, http, console } = listen;
    let mut listeners = format!("postgres: \"{postgres}\", http: \"{http}\", console: \"{console}\"");
    if let Some(host) = sample.host {
        let (connection, key) = host.write_files(place)?;
        listeners = format!("{listeners}, ssh: \"{ssh}\"");
        identity.push(format!("ssh_keys: [{key}]"));
        connections.push(connection);
    }
    identity.push(sample.people.configured());
    connections.extend(sample.services.write_files(place)?);
    let text = format!(
        "# The demo's gateway: a listener for each protocol, a connection for each system, the shipped bundles.\n\
         data_dir: ./data\n\
         listen: {{ {listeners} }}\n\
         identity:\n  {}\n\
         connections:\n  \
           # The passwords and keys stay here; clients never see them.\n  \
           {}\n\
         policies: [policies/*.yaml]\n",
        identity.join("\n  "),
        connections.join("\n  "),
    );
    let config = place.join("portcullis.yaml");
    fs::write(&config, text)?;
    Ok(config)
}

/// The shop's line for the configuration, and the files that it names.
fn shop_connection(place: &Path, server: &Postgres) -> Result<String, Failure> {
    write_secret(&place.join("shop.password"), server.password())?;
    // A copy: the sample server's own directory goes with it, and the record is read after that too.
    let tls = match server.ca_file() {
        Some(ca) => {
            fs::copy(ca, place.join("shop-ca.pem"))?;
            "tls: verify-full, tls_ca: shop-ca.pem"
        }
        None => "tls: disable",
    };
    Ok(format!(
        "shop: {{ protocol: postgres, address: \"{}\", database: shop, username: {LOGIN}, password: {{ file: shop.password }}, {tls} }}",
        server.address(),
    ))
}

/// Writes what nobody else may read, to a new file that nobody else could read at any time.
fn write_secret(file: &Path, text: impl AsRef<[u8]>) -> Result<(), Failure> {
    // An earlier demo's, which may have been opened by somebody.
    match fs::remove_file(file) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    Ok(made.write_all(text.as_ref())?)
}

/// This binary, as a user would call it.
fn portcullis(config: &Path, words: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).arg("--config").arg(config);
    // Whoever runs the demo may have a gateway of their own.
    command.env_remove("PORTCULLIS_GATEWAY").env_remove("PORTCULLIS_CA");
    Ok(command)
}

async fn token(config: &Path, user: &str, group: &str) -> Result<String, Failure> {
    let mut command = portcullis(config, &["token", "create", "--user", user, "--group", group, "--ttl", "8h"])?;
    let output = blocking("token create", move || Ok(command.output()?)).await?;
    if !output.status.success() {
        return Err(Failure::refused("token create", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Demo {
    /// What a client of this user is started with; the token goes by the environment.
    fn dsn(&self, user: &str) -> Result<String, Failure> {
        let address = self.running.postgres.ok_or_else(|| Failure::Refused("no listener".to_owned()))?;
        Ok(format!(
            "host={} port={} dbname=shop user={user} sslmode=verify-full sslrootcert={}",
            address.ip(),
            address.port(),
            quote::for_libpq(&self.authority.display().to_string())
        ))
    }

    async fn show_and_wait(&self) -> Result<(), Failure> {
        self.show()?;
        std::io::stdout().flush()?;
        tokio::signal::ctrl_c().await?;
        println!();
        Ok(())
    }
}
