//! `portcullis demo`: a gateway in front of a real PostgreSQL with a small shop and a real OpenSSH server with a few files,
//! three identities, and lines to paste.
//!
//! Promises: everything in it is the product itself, reached as a user would reach it: the real `psql` and `ssh`, this
//! binary's own commands, shipped policy bundles. Nothing outlives the command. `--script` checks every step's output and exits
//! non-zero if one is not as it says. Does not promise to be a production set-up: the sample server has no durability.
//! Held by: itself, in `scripts/test`.

mod host;
mod script;

use crate::args::DemoArgs;
use crate::assemble;
use crate::error::Failure;
use crate::serve::{self, Running};
use host::Host;
use portcullis_testkit::postgres::Options;
use portcullis_testkit::{Postgres, postgres::Installation, shop};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The shipped bundles that the demo uses, and one of its own.
const POLICIES: [(&str, &str); 3] = [
    ("agents-careful-writes.yaml", include_str!("../../../../policies/agents-careful-writes.yaml")),
    ("dba.yaml", include_str!("../../../../policies/dba.yaml")),
    ("shop-masks.yaml", include_str!("demo/shop-masks.yaml")),
];

/// The identities: user, group, what they are for.
const IDENTITIES: [(&str, &str, &str); 3] = [
    ("agent-7", "agents", "an agent: reads, and writes rows it names"),
    ("dba-1", "dba", "a DBA: may change the schema"),
    ("auditor-1", "audit", "an auditor: reads the record, not the database"),
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
    _server: Postgres,
    _place: Place,
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    serve::logging();
    println!("Starting PostgreSQL with a small shop, a machine behind SSH, and a gateway in front of both …");
    let demo = start(args).await?;
    let outcome = if args.script { script::play(&demo).await } else { demo.show_and_wait().await };
    let stopped = demo.running.stop().await;
    outcome.and(stopped)
}

async fn start(args: &DemoArgs) -> Result<Demo, Failure> {
    let place = place(args.dir.as_deref())?;
    let server = blocking("the sample server", server).await?;
    let host = blocking("the sample machine", host::start).await?;
    let local = |port| SocketAddr::from(([127, 0, 0, 1], if args.script { 0 } else { port }));
    let postgres = args.postgres.unwrap_or_else(|| local(6442));
    let ssh = host.is_ok().then(|| args.ssh.unwrap_or_else(|| local(6422)));
    let config = write_files(&place.path, &server, postgres, host.as_ref().ok().zip(ssh))?;
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
    Ok(Demo { running, config, authority, tokens, host, _server: server, _place: place })
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::refused(what, error))?
}

fn place(dir: Option<&Path>) -> Result<Place, Failure> {
    if let Some(dir) = dir {
        fs::create_dir_all(dir)?;
        return Ok(Place { path: std::path::absolute(dir)?, temporary: false });
    }
    let path = std::env::temp_dir().join(format!("portcullis-demo-{}", std::process::id()));
    fs::create_dir(&path)?;
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

/// The configuration, as a user would write it, with the shipped bundles beside it.
fn write_files(
    place: &Path,
    server: &Postgres,
    postgres: SocketAddr,
    host: Option<(&Host, SocketAddr)>,
) -> Result<PathBuf, Failure> {
    let policies = place.join("policies");
    fs::create_dir_all(&policies)?;
    for (name, text) in POLICIES {
        fs::write(policies.join(name), text)?;
    }
    let secret = place.join("shop.password");
    fs::write(&secret, server.password())?;
    restrict(&secret)?;
    // A copy: the sample server's own directory goes with it, and the record is read after that too.
    let tls = match server.ca_file() {
        Some(ca) => {
            fs::copy(ca, place.join("shop-ca.pem"))?;
            "tls: verify-full, tls_ca: shop-ca.pem"
        }
        None => "tls: disable",
    };
    let (mut listen, mut keys, mut machine) = (format!("postgres: \"{postgres}\""), String::new(), String::new());
    if let Some((host, ssh)) = host {
        let (connection, key) = host.write_files(place)?;
        listen = format!("{listen}, ssh: \"{ssh}\"");
        keys = format!("  ssh_keys: [{key}]\n");
        machine = format!("  {connection}\n");
    }
    let text = format!(
        "# The demo's gateway: a listener for each protocol, a connection for each system, the shipped bundles.\n\
         data_dir: ./data\n\
         listen: {{ {listen}, console: \"127.0.0.1:0\" }}\n\
         identity:\n  roles: {{ admin: [dba], auditor: [audit] }}\n{keys}\
         connections:\n  \
           # The password and the key stay here; clients never see them.\n  \
           shop: {{ protocol: postgres, address: \"{}\", database: shop, username: {LOGIN}, password: {{ file: shop.password }}, {tls} }}\n\
         {machine}\
         policies: [policies/*.yaml]\n",
        server.address(),
    );
    let config = place.join("portcullis.yaml");
    fs::write(&config, text)?;
    Ok(config)
}

fn restrict(file: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o600))?)
}

/// This binary, as a user would call it.
fn portcullis(config: &Path, words: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).arg("--config").arg(config);
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
            self.authority.display()
        ))
    }

    async fn show_and_wait(&self) -> Result<(), Failure> {
        println!("\nReady. Paste a line:\n");
        for ((user, _, what), token) in IDENTITIES.iter().zip(&self.tokens).take(2) {
            println!("  # {what}\n  PGPASSWORD={token} psql \"{}\"\n", self.dsn(user)?);
        }
        println!("Then try, as the agent:\n");
        println!("  SELECT id, name, city, email, phone FROM customers LIMIT 3;");
        println!("  DROP TABLE orders;");
        println!("  SELECT id FROM customers WHERE ssn LIKE '9%';");
        println!("  DELETE FROM orders;");
        println!("  UPDATE orders SET status = 'paid' WHERE id = 1;\n");
        self.show_host();
        let exe = std::env::current_exe()?;
        let (exe, config) = (exe.display(), self.config.display());
        println!("And, as the auditor:\n");
        println!("  {exe} sessions list --config {config}");
        println!("  {exe} sessions show SESSION --config {config}");
        println!("  {exe} sessions verify --config {config}\n");
        println!("The policy is in {}. Ctrl-C ends the demo.", self.config.with_file_name("policies").display());
        std::io::stdout().flush()?;
        tokio::signal::ctrl_c().await?;
        println!();
        Ok(())
    }

    /// The lines for the machine behind SSH.
    fn show_host(&self) {
        let (host, address) = match (&self.host, self.running.ssh) {
            (Ok(host), Some(address)) => (host, address),
            (Err(why), _) => return println!("No machine behind SSH: {why}.\n"),
            (Ok(_), None) => return,
        };
        let place = self.config.parent().unwrap_or(Path::new("."));
        let at = place.display();
        println!(
            "The same agent on a machine, with a key; known_hosts has the gateway's own, so nothing is trusted unseen:\n"
        );
        println!("  # a shell of the gateway's own, in which each line is judged");
        let plain = if host.terminals { "" } else { "-T " };
        if !host.terminals {
            println!(
                "  # -T: terminals of this machine cannot be given to the server's account, so there is no prompt"
            );
        }
        println!(
            "  ssh {plain}-i {at}/agent-7.key -o IdentitiesOnly=yes -o UserKnownHostsFile={at}/known_hosts -p {} build-box@{}\n",
            address.port(),
            address.ip()
        );
        let config = format!("-F {at}/ssh_config");
        let notes = host.at("work/notes.txt");
        println!("  # the same with less to type: {at}/ssh_config says all of it");
        println!("  ssh {config} build-box 'grep -n rm {notes}'");
        println!("  ssh {config} build-box 'rm -rf {}'", host.at("work"));
        println!("  ssh {config} build-box 'cat {}'", host.at("work/settings.txt"));
        println!("  scp {config} build-box:{notes} .");
        println!("  sftp {config} build-box:{}\n", host.at("work"));
    }
}
