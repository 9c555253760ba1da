//! Logins at an identity provider, end to end: with a code, with a browser, and what a provider's token opens.
//!
//! Promises: `portcullis login` keeps a token that the gateway accepts and that can vote, and prints none; a provider's
//! token is psql's password; a session ends with its token, or goes on with a new one; a revocation ends an open session, of
//! the person's own token and of one that the person made.

use crate::approvals::{World, told};
use crate::surroundings::{BINARY, eventually, libpq_client, server};
use portcullis_testkit::gateway::Settings;
use portcullis_testkit::shop;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

fn world() -> World {
    let upstream = "{ protocol: http, upstream: \"http://127.0.0.1:1\", api: rest }";
    World::open(Settings::new(BINARY).connection("crm", upstream), "")
}

/// `portcullis login` with this home for what it keeps.
fn login(world: &World, home: &Path, words: &[&str]) -> Child {
    let mut command = client(world, home);
    command.arg("login").args(words).args(["--gateway", &world.gateway.address("console").unwrap()]);
    command.arg("--ca").arg(world.gateway.ca_file());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn client(world: &World, home: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.env_remove("PORTCULLIS_TOKEN").env("XDG_STATE_HOME", home).current_dir(world.gateway.directory());
    command
}

/// The first line that it prints.
pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

/// What a browser does with a form: the status, and where it is sent.
pub(crate) fn post(url: &str, form: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"]);
    for (name, value) in form {
        command.args(["--data-urlencode", &format!("{name}={value}")]);
    }
    let output = command.arg(url).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, to) = text.split_once(' ').unwrap();
    (status.to_owned(), to.to_owned())
}

/// `name=value` of a query, decoded.
fn pair(text: &str) -> (String, String) {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            match (first, hex) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    rest = &after[2..];
                }
                (b'+', _) => {
                    bytes.push(b' ');
                    rest = after;
                }
                _ => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let (name, value) = text.split_once('=').unwrap();
    (decode(name), decode(value))
}

/// Who the kept token is.
fn whoami(world: &World, home: &Path) -> String {
    let mut command = client(world, home);
    command.args(["whoami", "--gateway", &world.gateway.address("console").unwrap(), "--ca"]);
    told(&command.arg(world.gateway.ca_file()).output().unwrap())
}

#[test]
fn a_code_typed_elsewhere_logs_in_and_the_login_can_vote() {
    let (world, home) = (world(), tempfile::tempdir().unwrap());
    let mut child = login(&world, home.path(), &[]);
    let line = first_line(&mut child);
    let (url, code) = line.trim().strip_prefix("Open ").unwrap().split_once(" and enter ").unwrap();
    assert_eq!(post(url, &[("user_code", code), ("user", "dana"), ("password", "wrong")]).0, "401");
    assert_eq!(post(url, &[("user_code", code), ("user", "dana"), ("password", "dana")]).0, "200");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && told(&output).contains("logged in as dana until"), "{}", told(&output));
    let file = home.path().join(format!("portcullis/token-{}", world.gateway.address("console").unwrap()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).unwrap();
    assert!(!told(&output).contains(token.trim()) && !world.gateway.log_text().contains(token.trim()));
    let who = whoami(&world, home.path());
    assert!(who.contains("dana") && who.contains("approver"), "{who}");
    // A vote on nothing is refused for that only: the login itself may vote.
    let nothing = world.approvals(&["approve", "00000000-0000-7000-8000-000000000000"], token.trim());
    assert!(told(&nothing).contains("there is no request"), "{}", told(&nothing));
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_browser_comes_back_with_a_code_and_its_state() {
    let (world, home) = (world(), tempfile::tempdir().unwrap());
    let mut child = login(&world, home.path(), &["--browser"]);
    let line = first_line(&mut child);
    let url = line.trim().strip_prefix("Open ").unwrap();
    // The page carries on what the browser was sent with.
    let (page, along) = url.split_once('?').unwrap();
    let along: Vec<(String, String)> = along.split('&').map(pair).collect();
    let mut form: Vec<(&str, &str)> = along.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form.extend([("user", "dana"), ("password", "dana")]);
    let (status, back) = post(page, &form);
    assert!(status.starts_with('3') && back.starts_with("http://127.0.0.1:"), "{status} {back}");
    // Somebody else's visit is not the answer, and one who says nothing keeps nobody out.
    let (origin, _) = back.split_once("/?").unwrap();
    let silent = TcpStream::connect(origin.strip_prefix("http://").unwrap()).unwrap();
    assert_eq!(post(&format!("{origin}/?code=x&state=y"), &[]).0, "404");
    assert_eq!(post(&back, &[]).0, "200");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    drop(silent);
    assert!(whoami(&world, home.path()).contains("dana"));
    world.gateway.stop(&[]).unwrap();
}

/// A `psql` at work: what it is told, and what it says.
struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    fn open(world: &World, token: &str) -> Self {
        let mut command = libpq_client("psql", &world.gateway.dsn("shop", "token", token).unwrap()).unwrap();
        command.args(["-X", "-At"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut psql = Self { child, input, output };
        assert_eq!(psql.says("SELECT count(*) FROM products WHERE id = 1;"), "1");
        psql
    }

    /// The answer's first line.
    fn says(&mut self, text: &str) -> String {
        writeln!(self.input, "{text}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Waits for its session to be ended, and returns why.
    fn ends(mut self) -> String {
        eventually("the end of the session", || {
            let _ended = writeln!(self.input, "SELECT 1;").and_then(|()| self.input.flush());
            self.child.try_wait().unwrap().is_some()
        });
        drop(self.input);
        told(&self.child.wait_with_output().unwrap())
    }
}

#[test]
fn a_session_ends_with_its_token_unless_a_new_one_is_presented() {
    let Some(server) = server() else { return };
    let database = server.create_database("renewed", shop::SQL).unwrap();
    let world = World::open(Settings::new(BINARY).postgres("shop", server, &database), "");
    let open = |user| Psql::open(&world, &world.login_for(user, "dba", 5, 25));
    let (erin, fay) = (open("erin"), open("fay"));
    // The last, so that it is renewed well before its end.
    let mut dana = open("dana");
    let first_over = std::time::Instant::now() + std::time::Duration::from_secs(25);
    let renew = |token: &str| {
        let mut command = Command::new(BINARY);
        command.args(["sessions", "renew", "--gateway", &world.gateway.address("console").unwrap(), "--ca"]);
        told(&command.arg(world.gateway.ca_file()).env("PORTCULLIS_TOKEN", token).output().unwrap())
    };
    let words = renew(&world.login("dana", "dba", 5));
    assert!(words.starts_with("1 open sessions go on until "), "{words}");
    // Whoever is in other groups by now keeps nothing, and a token of the gateway is no login.
    let words = renew(&world.login("fay", "audit", 5));
    assert!(words.starts_with("0 open sessions"), "{words}");
    let words = renew(&world.agent());
    assert!(words.contains("only a token of an identity provider renews"), "{words}");
    for over in [erin, fay] {
        let words = over.ends();
        assert!(words.contains("FATAL"), "{words}");
    }
    eventually("the end of dana's first token", || std::time::Instant::now() > first_over);
    assert_eq!(dana.says("SELECT count(*) FROM products WHERE id = 2;"), "1");
    let issuer = world.provider.issuer();
    world.gateway.command(&["token", "revoke-logins", "--issuer", issuer, "--subject", "dana"]).unwrap();
    let words = dana.ends();
    assert!(words.contains("FATAL"), "{words}");
    let renewed = world.recorded().lines().filter(|line| line.contains("sessions-renewed")).count();
    assert_eq!(renewed, 2);
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_providers_token_is_psqls_password_until_it_is_revoked() {
    let Some(server) = server() else { return };
    let database = server.create_database("login", shop::SQL).unwrap();
    let world = World::open(Settings::new(BINARY).postgres("shop", server, &database), "");
    let own = world.login("dana", "dba", 5);
    // One that somebody made for an agent, which outlives their login.
    let mut made = Command::new(BINARY);
    made.args(["token", "create", "--user", "agent-7", "--group", "agents", "--ttl", "8h"]);
    made.args(["--gateway", &world.gateway.address("console").unwrap(), "--ca"]).arg(world.gateway.ca_file());
    let made = made.env("PORTCULLIS_TOKEN", world.login("pat", "platform", 5)).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let made = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    for (subject, token) in [("dana", &own), ("pat", &made)] {
        let session = Psql::open(&world, token);
        let issuer = world.provider.issuer();
        let revoked = world.gateway.command(&["token", "revoke-logins", "--issuer", issuer, "--subject", subject]);
        assert!(revoked.unwrap().contains("revoked"));
        // The session ends by itself, and none begins with the same token.
        let words = session.ends();
        assert!(words.contains("FATAL"), "{words}");
        let mut again = libpq_client("psql", &world.gateway.dsn("shop", "token", token).unwrap()).unwrap();
        let words = told(&again.args(["-X", "-c", "SELECT 1"]).output().unwrap());
        assert!(words.contains("authentication failed") || words.contains("FATAL"), "{words}");
    }
    world.gateway.stop(&[]).unwrap();
}
