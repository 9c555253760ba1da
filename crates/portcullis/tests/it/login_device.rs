//! Logins with a code over SSH, end to end: OpenSSH's client without a key, the testkit's provider, a real target.
//!
//! Promises: whoever logs in at the provider is in, as that person, until the login ends; who says no, comes late, comes with
//! a token for somebody else or with nothing is not, and the record says why; a provider that is away, one connection's
//! patience and many at once keep nobody else out; an address begins only so many; nothing of it is there where the
//! configuration does not say so.

use crate::approvals::{World, told};
use crate::login::post;
use crate::ssh::know;
use crate::surroundings::{BINARY, eventually, fetched};
use portcullis_testkit::gateway::Settings;
use portcullis_testkit::idp::{Account, Settings as People};
use portcullis_testkit::or_skip;
use portcullis_testkit::process::run;
use portcullis_testkit::ssh::Sshd;
use russh::client::{self, KeyboardInteractiveAuthResponse};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;

const PROGRAMS: &str = r#"
bundle: programs
applies_to: { connections: ["*"], principals: { groups: [dba, agents] } }
rules:
  - id: some
    allow: { actions: [execute], objects: ["program {echo,sleep}"] }
"#;

const ON: &str = ", ssh_login: true";

/// A gateway before a target, and a person's machine without a key.
struct Desk {
    world: World,
    home: tempfile::TempDir,
}

impl Desk {
    fn open() -> Option<Self> {
        Self::with(ON, People::for_tests(), "")
    }

    /// With these further keys of the provider, people, and lines of the configuration.
    fn with(provider: &str, people: People, extra: &str) -> Option<Self> {
        let server = or_skip(Sshd::shared())?;
        let settings = Settings::new(BINARY).ssh("build-box", server).policy("programs", PROGRAMS);
        let world = World::trusting(provider, people, settings, extra);
        let home = tempfile::tempdir().unwrap();
        know(&world.gateway, &home.path().join("known_hosts"));
        let desk = Self { world, home };
        // What is typed, and what it was asked with.
        let askpass = format!("#!/bin/sh\necho \"$1\" >> {0}/asked\ncat {0}/typed\n", desk.home.path().display());
        fs::write(desk.askpass(), askpass).unwrap();
        run(Command::new("chmod").arg("700").arg(desk.askpass())).unwrap();
        desk.types("nothing");
        Some(desk)
    }

    fn askpass(&self) -> PathBuf {
        self.home.path().join("askpass")
    }

    fn types(&self, text: &str) {
        fs::write(self.home.path().join("typed"), format!("{text}\n")).unwrap();
    }

    /// What somebody was asked to type.
    fn asked(&self) -> String {
        fs::read_to_string(self.home.path().join("asked")).unwrap_or_default()
    }

    fn address(&self) -> String {
        self.world.gateway.address("ssh").unwrap()
    }

    /// `ssh` with these methods, in their order.
    fn ssh(&self, methods: &str, command: &str) -> Ssh {
        self.prompted("1", methods, command)
    }

    /// The same, with so many attempts of each method.
    fn prompted(&self, attempts: &str, methods: &str, command: &str) -> Ssh {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", self.home.path().join("known_hosts").display()));
        ssh.args(["-o", &format!("NumberOfPasswordPrompts={attempts}")]);
        ssh.args(["-o", &format!("PreferredAuthentications={methods}")]);
        ssh.args(["-p", self.address().rsplit_once(':').unwrap().1, "build-box@127.0.0.1", command]);
        ssh.env("SSH_ASKPASS", self.askpass()).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":9");
        ssh.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ssh.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
        Ssh { child, out: BufReader::new(out), err }
    }

    fn waits(&self) -> Ssh {
        self.ssh("keyboard-interactive", "echo in")
    }

    /// Waits until the record says this of a refused login.
    fn refused(&self, why: &str) {
        eventually(why, || self.world.recorded().contains(why));
    }

    /// Who opened sessions, as the record has it.
    fn people(&self) -> Vec<Value> {
        let events = self.world.recorded();
        let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let principals = events.filter_map(|event| find(&event, "principal").cloned());
        principals.filter(|principal| principal["credential"] != Value::Null).collect()
    }

    fn close(self, listed: &[&str]) {
        self.world.gateway.stop(listed).unwrap();
    }
}

/// The first member of this name, however deep.
fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => {
            let own = members.get(name).filter(|member| member.is_object());
            own.or_else(|| members.values().find_map(|member| find(member, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

/// A client at work.
struct Ssh {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Ssh {
    /// The text that it shows, to its last line.
    fn told(&mut self) -> String {
        let mut text = String::new();
        while !text.contains("as you.") {
            let read = self.err.read_line(&mut text).unwrap();
            assert!(read > 0, "ssh ended: {text}");
        }
        text.replace('\r', "")
    }

    /// Where to go, and the code.
    fn place(&mut self) -> (String, String) {
        let text = self.told();
        let line = text.lines().find_map(|line| line.strip_prefix("Open ")).unwrap();
        let (url, code) = line.split_once(" and enter ").unwrap();
        (url.to_owned(), code.to_owned())
    }

    /// Its person answers at the provider.
    fn logs_in(&mut self, user: &str, answer: &str) {
        let (url, code) = self.place();
        let form = [("user_code", code.as_str()), ("user", user), ("password", user), ("answer", answer)];
        assert_eq!(post(&url, &form).0, "200");
    }

    /// What it printed on both since, and its status.
    fn ends(mut self) -> (String, String, Option<i32>) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        (out, err, self.child.wait().unwrap().code())
    }

    /// It ends like any client that was refused.
    fn refused(self) {
        let (out, err, code) = self.ends();
        assert_eq!((out.as_str(), code), ("", Some(255)), "{err}");
        assert!(err.contains("Permission denied (publickey,keyboard-interactive,password)"), "{err}");
        assert!(!err.contains("device login") && !err.contains("OIDC"), "{err}");
    }
}

#[test]
fn whoever_logs_in_elsewhere_is_in_as_that_person_and_for_as_long() {
    let Some(desk) = Desk::open() else { return };
    let mut ssh = desk.ssh("keyboard-interactive", "echo in; sleep 100");
    let text = ssh.told();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let issuer = desk.world.provider.issuer().to_owned();
    let code = lines[1].strip_prefix(&format!("Open {issuer}/device and enter ")).unwrap();
    assert!(
        lines[0].starts_with(&format!("Portcullis at {} asks for a login, for `build-box` from 127.", desk.address()))
    );
    assert_eq!(lines[2], format!("or open {issuer}/device?user_code={code}"));
    assert!(lines[3].contains("only if you started this connection yourself"), "{text}");
    let form = [("user_code", code), ("user", "dana"), ("password", "dana")];
    assert_eq!(post(&format!("{issuer}/device"), &form).0, "200");
    let mut line = String::new();
    ssh.out.read_line(&mut line).unwrap();
    assert_eq!(line, "in\n");
    assert_eq!(desk.asked(), "", "nothing was to be typed");
    eventually("the session in the record", || desk.people().iter().any(|person| person["user"] == "dana"));
    let dana = desk.people().into_iter().find(|person| person["user"] == "dana").unwrap();
    assert_eq!((dana["issuer"].as_str(), dana["subject"].as_str()), (Some(issuer.as_str()), Some("dana")));
    assert_eq!((&dana["groups"][0], dana["credential"].to_string().contains("oidc")), (&"dba".into(), true), "{dana}");
    // It ends with what it stands on.
    desk.world.gateway.command(&["token", "revoke-logins", "--issuer", &issuer, "--subject", "dana"]).unwrap();
    eventually("the end of the session", || ssh.child.try_wait().unwrap().is_some());
    assert!(!desk.world.recorded().contains("identity.refused"));
    desk.close(&[]);
}

#[test]
fn a_session_ends_with_the_login_that_opened_it() {
    let people = People { lifetime: std::time::Duration::from_secs(20), ..People::for_tests() };
    let Some(desk) = Desk::with(ON, people, "") else { return };
    let mut ssh = desk.ssh("keyboard-interactive", "echo in; sleep 100");
    ssh.logs_in("dana", "yes");
    let mut line = String::new();
    ssh.out.read_line(&mut line).unwrap();
    assert_eq!(line, "in\n");
    eventually("the end of the session", || ssh.child.try_wait().unwrap().is_some());
    desk.close(&[]);
}

#[test]
fn whoever_says_no_or_comes_too_late_is_refused_like_anybody() {
    let Some(desk) = Desk::open() else { return };
    let mut ssh = desk.waits();
    ssh.logs_in("dana", "no");
    ssh.refused();
    desk.refused("device login: denied at the identity provider");
    desk.close(&[]);
    let people = People { device_lifetime: std::time::Duration::from_secs(2), ..People::for_tests() };
    let Some(desk) = Desk::with(ON, people, "") else { return };
    let mut ssh = desk.waits();
    ssh.place();
    ssh.refused();
    desk.refused("device login: nobody logged in in time");
    desk.close(&[]);
}

#[test]
fn two_at_once_are_each_their_own_person() {
    let Some(desk) = Desk::open() else { return };
    let (mut one, mut other) = (desk.waits(), desk.waits());
    other.logs_in("alice", "yes");
    one.logs_in("dana", "yes");
    for ssh in [one, other] {
        let (out, err, code) = ssh.ends();
        assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
    }
    let people = desk.people();
    for (user, group) in [("dana", "dba"), ("alice", "agents")] {
        let found = people.iter().find(|person| person["user"] == user);
        assert_eq!(found.map(|person| &person["groups"][0]), Some(&group.into()), "{people:?}");
    }
    desk.close(&[]);
}

#[test]
fn a_person_in_no_group_is_in_and_may_nothing() {
    let mut people = People::for_tests();
    people.accounts.push(Account { user: "gus".to_owned(), password: "gus".to_owned(), groups: Vec::new() });
    let Some(desk) = Desk::with(ON, people, "") else { return };
    let mut ssh = desk.waits();
    ssh.logs_in("gus", "yes");
    let (out, err, code) = ssh.ends();
    assert_eq!((out.as_str(), code), ("", Some(126)), "{err}");
    assert!(err.contains("portcullis: "), "{err}");
    desk.close(&[]);
}

#[test]
fn a_token_that_is_for_somebody_else_opens_nothing() {
    let people = People { id_tokens_for: Some("another".to_owned()), ..People::for_tests() };
    let Some(desk) = Desk::with(ON, people, "") else { return };
    let mut ssh = desk.waits();
    ssh.logs_in("dana", "yes");
    ssh.refused();
    desk.refused("OIDC token for another audience");
    desk.close(&["credential"]);
}

#[test]
fn a_provider_that_is_away_costs_one_method_only() {
    let Some(desk) = Desk::open() else { return };
    desk.types(&desk.world.gateway.token("agent-7", &["agents"]).unwrap());
    desk.world.provider.go_away(true);
    let (out, err, code) = desk.ssh("keyboard-interactive,password", "echo in").ends();
    assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
    assert!(desk.asked().contains("password"), "{}", desk.asked());
    desk.refused("device login: the identity provider cannot be asked");
    // One that goes away while somebody waits ends the wait.
    desk.world.provider.go_away(false);
    let mut ssh = desk.waits();
    ssh.place();
    desk.world.provider.go_away(true);
    ssh.refused();
    desk.close(&["no login can be begun", "a login that was begun cannot be finished", "keys", "provider"]);
}

#[test]
fn a_client_that_is_gone_gives_its_place_back_and_meanwhile_others_log_in_with_a_token() {
    // Of three places before login two may wait.
    let Some(desk) = Desk::with(ON, People::for_tests(), "limits: { unauthenticated_per_address: 3 }") else { return };
    let (mut one, mut other) = (desk.waits(), desk.waits());
    one.place();
    other.place();
    desk.types(&desk.world.gateway.token("agent-7", &["agents"]).unwrap());
    let (out, err, code) = desk.ssh("keyboard-interactive,password", "echo in").ends();
    assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
    assert!(!err.contains("Open "), "{err}");
    desk.refused("device login: too many wait already");
    assert_eq!(desk.world.provider.devices(), 2);
    one.child.kill().unwrap();
    one.child.wait().unwrap();
    desk.refused("device login: the client went, or did not answer");
    let mut next = desk.waits();
    next.logs_in("dana", "yes");
    assert_eq!(next.ends().0, "in\n");
    other.child.kill().unwrap();
    other.child.wait().unwrap();
    let gone = || desk.world.recorded().matches("device login: the client went").count();
    eventually("the second end in the record", || gone() == 2);
    desk.close(&[]);
}

#[test]
fn only_who_waits_for_a_person_has_longer_than_a_login() {
    // The provider asks for less haste, so that the login takes longer than a login may.
    let people = People { slow_down: true, ..People::for_tests() };
    let Some(desk) = Desk::with(ON, people, "limits: { handshake: 6s }") else { return };
    let mut ssh = desk.waits();
    let (url, code) = ssh.place();
    let mut silent = TcpStream::connect(desk.address()).unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    assert!(said.starts_with(b"SSH-2.0-Portcullis"));
    assert_eq!(post(&url, &[("user_code", &code), ("user", "dana"), ("password", "dana")]).0, "200");
    let (out, err, code) = ssh.ends();
    assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
    desk.close(&[]);
}

struct Any;

impl client::Handler for Any {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &russh::keys::PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[tokio::test]
async fn a_client_that_answers_nothing_is_cut_and_one_that_answers_more_is_not_heard() {
    let Some(desk) = Desk::with(ON, People::for_tests(), "limits: { handshake: 6s }") else { return };
    #[expect(clippy::async_yields_async, reason = "a handle of the library's is kept, and can be awaited besides")]
    let begin = async || {
        let config = Arc::new(client::Config::default());
        let mut client = client::connect(config, desk.address(), Any).await.unwrap();
        let begun = client.authenticate_keyboard_interactive_start("build-box", None::<String>).await.unwrap();
        let KeyboardInteractiveAuthResponse::InfoRequest { instructions, prompts, .. } = begun else {
            panic!("{begun:?}")
        };
        assert!(instructions.contains("Open http") && prompts.is_empty(), "{instructions}");
        client
    };
    let mut silent = begin().await;
    desk.refused("device login: the client went, or did not answer");
    assert!(silent.authenticate_keyboard_interactive_respond(Vec::new()).await.is_err());
    let token = desk.world.gateway.token("agent-7", &["agents"]).unwrap();
    let mut chatty = begin().await;
    for _ in 0..2 {
        let answers = vec![token.clone(), "yes".to_owned()];
        let told = chatty.authenticate_keyboard_interactive_respond(answers).await.unwrap();
        let KeyboardInteractiveAuthResponse::InfoRequest { instructions, prompts, .. } = told else {
            panic!("{told:?}")
        };
        assert!(instructions.is_empty() && prompts.is_empty());
    }
    assert_eq!(desk.world.provider.devices(), 2);
    drop(chatty);
    desk.close(&[]);
}

#[test]
fn a_connection_has_one_and_asks_for_a_token_then() {
    let Some(desk) = Desk::open() else { return };
    desk.types(&desk.world.gateway.token("agent-7", &["agents"]).unwrap());
    let mut ssh = desk.prompted("2", "keyboard-interactive", "echo in");
    ssh.logs_in("dana", "no");
    let (out, err, code) = ssh.ends();
    assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
    assert!(desk.asked().contains("Portcullis token: "), "{}", desk.asked());
    assert_eq!(desk.world.provider.devices(), 1);
    desk.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_begins_too_many_logins_has_the_provider_asked_for_no_more() {
    let Some(desk) = Desk::open() else { return };
    let (mut tries, mut begun) = (0, 0);
    let refused = loop {
        tries += 1;
        assert!(tries <= 200, "each of {begun} logins was begun");
        let mut client = client::connect(Arc::new(client::Config::default()), desk.address(), Any).await.unwrap();
        match client.authenticate_keyboard_interactive_start("build-box", None::<String>).await.unwrap() {
            KeyboardInteractiveAuthResponse::InfoRequest { instructions, .. } => {
                assert!(instructions.contains("Open http"), "{instructions}");
                begun += 1;
            }
            refused => break refused,
        }
        // It leaves without an answer, and its place is free again before the next one comes.
        drop(client);
        let gone = || desk.world.recorded().matches("device login: the client went").count();
        eventually("its end in the record", || gone() == begun);
    };
    assert!(matches!(refused, KeyboardInteractiveAuthResponse::Failure { .. }), "{refused:?}");
    desk.refused("too many logins begun at the identity provider");
    // A place comes back every three seconds, so that slow ones begin some more.
    assert!(begun >= 20, "{begun}");
    assert_eq!(desk.world.provider.devices(), begun);
    desk.close(&[]);
}

/// A Python library at work on a login of this desk, not started.
fn library(desk: &Desk, name: &str) -> Option<Command> {
    let mut command = Command::new(fetched("python/bin/python")?);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/ssh_device_login.py"));
    command.args([name, desk.address().rsplit_once(':').unwrap().1]).arg(desk.home.path().join("known_hosts"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

#[test]
fn libraries_show_the_text_and_answer_what_asks_nothing() {
    let Some(desk) = Desk::open() else { return };
    for name in ["paramiko", "asyncssh"] {
        let Some(mut command) = library(&desk, name) else { return };
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("as you.") && out.read_line(&mut text).unwrap() > 0 {}
        let place = text.lines().find_map(|line| line.strip_prefix("Open ")?.split_once(" and enter "));
        let Some((url, code)) = place else { panic!("{name}: {text}{}", told(&child.wait_with_output().unwrap())) };
        assert_eq!(post(url, &[("user_code", code), ("user", "dana"), ("password", "dana")]).0, "200");
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.trim_start(), "in\n", "{name}: {}", told(&child.wait_with_output().unwrap()));
    }
    desk.close(&[]);
}

#[test]
fn whoever_shows_a_token_instead_is_in_with_that_and_the_provider_is_waited_for_no_more() {
    let Some(desk) = Desk::open() else { return };
    desk.types(&desk.world.gateway.token("agent-7", &["agents"]).unwrap());
    let Some(mut command) = library(&desk, "asyncssh") else { return };
    let output = command.arg(desk.home.path().join("typed")).output().unwrap();
    assert!(output.stdout.ends_with(b"in\n"), "{}", told(&output));
    desk.refused("device login: the client tried something else");
    assert!(desk.people().iter().any(|person| person["user"] == "agent-7"));
    desk.close(&[]);
}

#[test]
fn a_gateway_that_stops_waits_for_nobodys_login() {
    let Some(desk) = Desk::open() else { return };
    let mut ssh = desk.waits();
    ssh.place();
    desk.world.gateway.stop(&[]).unwrap();
    let (out, err, code) = ssh.ends();
    assert_eq!((out.as_str(), code), ("", Some(255)), "{err}");
    assert!(!err.contains("Permission denied"), "it was not refused, but cut: {err}");
}

#[test]
fn nobody_is_sent_to_a_provider_where_the_configuration_does_not_say_so() {
    for off in ["", ", ssh_login: false"] {
        let Some(desk) = Desk::with(off, People::for_tests(), "") else { return };
        desk.types(&desk.world.gateway.token("agent-7", &["agents"]).unwrap());
        let (out, err, code) = desk.waits().ends();
        assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
        assert!(desk.asked().contains("Portcullis token: ") && !err.contains("Open "), "{err}");
        assert_eq!(desk.world.provider.devices(), 0);
        desk.close(&[]);
    }
}
