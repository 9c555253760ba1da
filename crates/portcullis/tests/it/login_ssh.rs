//! `portcullis login --ssh`, end to end: OpenSSH's agent and client, the testkit's provider, a real target.
//!
//! Promises: after a login ssh needs no password and no file; the certificate is the person who logged in, is recorded with
//! its key, listed and revoked like a token, and ends a live session when it or the login is revoked; it lasts no longer than
//! the login; whoever asks with it does not approve; the agent uses it towards the gateway only. That it opens nothing after
//! its end, hold the tests of `identity`.

use crate::approvals::{World, told};
use crate::login::{client, first_line, post};
use crate::ssh::{Ran, know, ran};
use crate::surroundings::{BINARY, eventually};
use portcullis_testkit::gateway::Settings;
use portcullis_testkit::idp::Settings as People;
use portcullis_testkit::or_skip;
use portcullis_testkit::ssh::{Sshd, keygen};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const PROGRAMS: &str = r#"
bundle: programs
applies_to: { connections: ["*"], principals: { groups: [dba] } }
rules:
  - id: some
    allow: { actions: [execute], objects: ["program {echo,sleep}"] }
"#;

/// A gateway before a target, a person's machine with an agent on it.
struct Desk {
    world: World,
    server: &'static Sshd,
    home: tempfile::TempDir,
    _agent: Agent,
}

/// Ends with this value.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Desk {
    fn open(people: People) -> Option<Self> {
        let server = or_skip(Sshd::shared())?;
        let settings = Settings::new(BINARY).ssh("build-box", server).policy("programs", PROGRAMS);
        let (world, home) = (World::with(people, settings, ""), tempfile::tempdir().unwrap());
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(home.path().join("agent")).stdout(Stdio::null()).stderr(Stdio::null());
        let agent = Agent(agent.spawn().unwrap());
        eventually("an agent", || home.path().join("agent").exists());
        know(&world.gateway, &home.path().join("known_hosts"));
        Some(Self { world, server, home, _agent: agent })
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("agent")
    }

    /// `portcullis login --ssh` as dana, who types the code in a browser.
    fn login(&self, with: &[&str]) -> Output {
        let mut command = client(&self.world, self.home.path());
        command.args(["login", "--ssh", "--gateway", &self.world.gateway.address("console").unwrap(), "--ca"]);
        command.arg(self.world.gateway.ca_file()).args(with).env("SSH_AUTH_SOCK", self.socket());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let line = first_line(&mut child);
        let (url, code) = line.trim().strip_prefix("Open ").unwrap().split_once(" and enter ").unwrap();
        assert_eq!(post(url, &[("user_code", code), ("user", "dana"), ("password", "dana")]).0, "200");
        child.wait_with_output().unwrap()
    }

    fn ssh_command(&self, options: &[&str], command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", self.home.path().join("known_hosts").display()));
        ssh.args(["-o", "StrictHostKeyChecking=yes"]).args(options).env("SSH_AUTH_SOCK", self.socket());
        let address = self.world.gateway.address("ssh").unwrap();
        ssh.args(["-p", address.rsplit_once(':').unwrap().1, "build-box@127.0.0.1", command]);
        ssh
    }

    /// With what the agent holds, and nothing else.
    fn ssh(&self, options: &[&str], command: &str) -> Ran {
        ran(&mut self.ssh_command(&[&["-o", "IdentityFile=none"], options].concat(), command), b"")
    }

    fn agent_holds(&self) -> String {
        told(&Command::new("ssh-add").arg("-L").env("SSH_AUTH_SOCK", self.socket()).output().unwrap())
    }

    /// The one certificate that `token list` has in force.
    fn listed(&self) -> Value {
        let text = self.world.gateway.command(&["token", "list", "--json"]).unwrap();
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut certificates = all.filter(|one| one["ssh_key"].is_string() && one["revoked"].is_null());
        let found = certificates.next().unwrap();
        assert!(certificates.next().is_none(), "{text}");
        found
    }

    fn whoami(&self, bearer: &str) -> Value {
        let mut command = client(&self.world, self.home.path());
        command.args(["whoami", "--json", "--gateway", &self.world.gateway.address("console").unwrap(), "--ca"]);
        let output = command.arg(self.world.gateway.ca_file()).env("PORTCULLIS_TOKEN", bearer).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What the API says to this bearer about this key.
    fn certify(&self, bearer: &str, key: &Path) -> (String, Value) {
        let line = fs::read_to_string(key.with_extension("pub")).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "30", "-w", "\n%{http_code}", "-H", "content-type: application/json"]);
        curl.args(["-H", &format!("authorization: Bearer {bearer}"), "-d", &json!({ "public_key": line }).to_string()]);
        let address = self.world.gateway.address("console").unwrap();
        curl.arg("--cacert")
            .arg(self.world.gateway.ca_file())
            .arg(format!("https://{address}/api/v1/ssh-certificates"));
        let text = told(&curl.output().unwrap());
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn close(self) {
        self.world.gateway.stop(&["credential", "ended", "revoked", "identity", "login", "ertificate"]).unwrap();
    }
}

#[test]
fn after_a_login_ssh_needs_nothing_else_until_it_is_revoked() {
    let Some(desk) = Desk::open(People::for_tests()) else { return };
    assert_eq!(desk.ssh(&[], "echo in").code, Some(255), "nothing is there yet");
    let output = desk.login(&[]);
    let said = told(&output);
    let port = desk.world.gateway.address("ssh").unwrap().rsplit_once(':').unwrap().1.to_owned();
    for expected in ["an SSH certificate of dana", "host key is SHA256:", &format!("ssh -p {port} build-box@127.0.0.1")]
    {
        assert!(output.status.success() && said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("forward the agent to nobody"), "{said}");
    assert!(desk.agent_holds().starts_with("ssh-ed25519-cert-v01@openssh.com "));
    let ran = desk.ssh(&[], "echo in");
    assert_eq!((ran.text(), ran.code), ("in\n", Some(0)), "{ran:?}");
    // Nothing of it is on a disk: what is kept is the token.
    let kept: Vec<_> =
        fs::read_dir(desk.home.path().join("portcullis")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(!fs::read_to_string(&kept[0]).unwrap().contains("PRIVATE"));
    let (listed, record) = (desk.listed(), desk.world.recorded());
    let id = listed["id"].as_str().unwrap();
    assert_eq!((&listed["user"], &listed["created_by"]), (&"dana".into(), &"dana".into()));
    let key = listed["ssh_key"].as_str().unwrap();
    assert!(key.starts_with("SHA256:"), "{listed}");
    for expected in ["login-certified", id, &format!("\"key\":\"{key}\"")] {
        assert!(record.contains(expected), "{expected}: {record}");
    }
    // A session that lives while it is revoked ends, and none begins.
    let mut live = desk.ssh_command(&["-o", "IdentityFile=none"], "echo begun; sleep 100");
    let mut live = live.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(first_line(&mut live), "begun\n");
    desk.world.gateway.command(&["token", "revoke", id]).unwrap();
    eventually("the end of the session", || live.try_wait().unwrap().is_some());
    assert!(!live.wait().unwrap().success());
    assert_eq!(desk.ssh(&[], "echo in").code, Some(255));
    eventually("the refusal in the record", || desk.world.recorded().contains("SSH certificate of a login, revoked"));
    desk.close();
}

#[test]
fn a_certificate_goes_with_the_login_and_its_person_does_not_approve_what_it_asks() {
    let Some(desk) = Desk::open(People::for_tests()) else { return };
    assert!(desk.login(&[]).status.success());
    let mut held = desk.ssh_command(&["-o", "IdentityFile=none"], "touch /nowhere/at/all");
    let held = held.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = desk.world.waiting();
    let refused = desk.world.approvals(&["approve", &id], &desk.world.dana());
    assert!(!refused.status.success() && told(&refused).contains("whoever asked"), "{}", told(&refused));
    desk.world.decide("reject", &id, &desk.world.login("erin", "dba", 1));
    assert_eq!(held.wait_with_output().unwrap().status.code(), Some(126));
    let mut live = desk.ssh_command(&["-o", "IdentityFile=none"], "echo begun; sleep 100");
    let mut live = live.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(first_line(&mut live), "begun\n");
    let issuer = desk.world.provider.issuer();
    desk.world.gateway.command(&["token", "revoke-logins", "--issuer", issuer, "--subject", "dana"]).unwrap();
    eventually("the end of the session", || live.try_wait().unwrap().is_some());
    assert_eq!(desk.ssh(&[], "echo in").code, Some(255));
    desk.close();
}

#[test]
fn the_agent_shows_it_to_the_gateway_only() {
    let Some(desk) = Desk::open(People::for_tests()) else { return };
    assert!(desk.login(&[]).status.success());
    assert!(desk.ssh(&["-v"], "echo in").err.contains("dana by portcullis"));
    let known = desk.home.path().join("target");
    fs::write(&known, format!("[127.0.0.1]:{} {}\n", desk.server.port(), desk.server.host_key())).unwrap();
    let mut ssh = Command::new("ssh");
    ssh.args(["-v", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentityFile=none", "-o"]);
    ssh.arg(format!("UserKnownHostsFile={}", known.display())).env("SSH_AUTH_SOCK", desk.socket());
    ssh.args(["-p", &desk.server.port().to_string(), &format!("{}@127.0.0.1", desk.server.user()), "true"]);
    let ran = ran(&mut ssh, b"");
    assert!(ran.err.contains("Authentications that can continue"), "{}", ran.err);
    assert!(ran.code != Some(0) && !ran.err.contains("by portcullis"), "{}", ran.err);
    desk.close();
}

#[test]
fn a_key_of_ones_own_is_certified_for_ones_own_login_only_and_no_longer_than_it_lasts() {
    let Some(desk) = Desk::open(People::for_tests()) else { return };
    let key = desk.home.path().join("key");
    keygen(&key).unwrap();
    let login = desk.world.dana();
    let (status, made) = desk.certify(&login, &key);
    assert_eq!(status, "201", "{made}");
    fs::write(desk.home.path().join("key-cert.pub"), made["certificate"].as_str().unwrap()).unwrap();
    let file = format!("IdentityFile={}", key.display());
    let own = ["-o", &file, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"];
    assert_eq!(made["expires"], desk.whoami(&login)["expires"], "{made}");
    let ran_in = ran(&mut desk.ssh_command(&own, "echo in"), b"");
    assert_eq!((ran_in.text(), ran_in.code), ("in\n", Some(0)), "{ran_in:?}");
    // A gateway's token is no login, nobody is nobody, and the gateway's own key is nobody's.
    let token = desk.world.gateway.token("dana", &["dba"]).unwrap();
    let (status, said) = desk.certify(&token, &key);
    assert!(status == "400" && said["detail"].as_str().unwrap().contains("login --ssh"), "{status} {said}");
    assert_eq!(desk.certify("nonsense", &key).0, "401");
    let issuer = desk.world.provider.issuer();
    desk.world.gateway.command(&["token", "revoke-logins", "--issuer", issuer, "--subject", "dana"]).unwrap();
    assert_eq!(desk.certify(&login, &key).0, "401");
    let said = ran(&mut desk.ssh_command(&own, "echo in"), b"").err;
    assert!(said.contains("Permission denied"), "{said}");
    desk.close();
}

#[test]
fn without_an_agent_or_a_listener_nobody_logs_in_for_nothing() {
    let upstream = "{ protocol: http, upstream: \"http://127.0.0.1:1\", api: rest }";
    let world = World::open(Settings::new(BINARY).connection("crm", upstream), "");
    let home = tempfile::tempdir().unwrap();
    for socket in ["", "/nowhere/agent"] {
        let mut command = client(&world, home.path());
        command.args(["login", "--ssh", "--gateway", &world.gateway.address("console").unwrap(), "--ca"]);
        let output = command.arg(world.gateway.ca_file()).env("SSH_AUTH_SOCK", socket).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", told(&output));
        assert!(told(&output).contains("SSH agent"), "{}", told(&output));
    }
    assert!(!home.path().join("portcullis").exists());
    world.gateway.stop(&[]).unwrap();
}
