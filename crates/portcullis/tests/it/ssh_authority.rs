//! The gateway's own SSH keys by the command line: what it prints, what it signs, and that clients cannot use it.

use crate::surroundings::BINARY;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbyoCGMiKuYNwACV4WGlIWTtSwuTG83W7vjoVshODgS someone@somewhere";

const BUNDLE: &str = r#"
bundle: all
applies_to: { connections: [build-box], principals: { groups: [agents] } }
rules:
  - id: look
    allow: { actions: [execute], objects: ["program ls"] }
"#;

/// A configuration in a directory of its own.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(listen: &str, identity: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = "{ protocol: ssh, address: 127.0.0.1, username: deploy, certificate: own, host_key: ";
        let text = format!(
            "listen: {{ {listen} }}\nidentity: {{ {identity} }}\nconnections:\n  build-box: {connection}\"{KEY}\" }}\n\
             policies: [all.yaml]\n"
        );
        fs::write(dir.path().join("portcullis.yaml"), text).unwrap();
        fs::write(dir.path().join("all.yaml"), BUNDLE).unwrap();
        fs::write(dir.path().join("key.pub"), format!("{KEY}\n")).unwrap();
        Self { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        let config = self.file("portcullis.yaml");
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).arg(words[0]).arg("--config").arg(config).args(&words[1..]);
        command.output().unwrap()
    }

    fn ssh_ca(&self, words: &[&str]) -> String {
        let output = self.run(&[&["ssh-ca"], words].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the command says when it refuses.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?}");
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }

    fn authority(&self) -> String {
        let told = self.ssh_ca(&["--json"]);
        let objects: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [host, authority] = &objects[..] else { panic!("{told}") };
        assert_eq!((&host["kind"], &authority["kind"]), (&"host-key".into(), &"user-authority".into()));
        authority["trusted_user_ca_keys"].as_str().unwrap().to_owned()
    }
}

#[test]
fn the_keys_are_made_once_kept_private_and_only_their_public_lines_are_printed() {
    let place = Place::new("ssh: 127.0.0.1:6422", "");
    let first = place.ssh_ca(&[]);
    assert_eq!(first, place.ssh_ca(&[]));
    let lines: Vec<&str> = first.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 2, "{first}");
    assert!(lines[0].starts_with("[127.0.0.1]:6422 ssh-ed25519 AAAA"), "{first}");
    assert_eq!(lines[1], place.authority());
    assert!(place.ssh_ca(&["--host", "gw.example.com"]).contains("[gw.example.com]:6422 ssh-ed25519 "));
    for name in ["host_ed25519", "ca_ed25519"] {
        let file = place.file("data/ssh").join(name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let secret = fs::read_to_string(&file).unwrap();
        assert!(secret.lines().skip(1).all(|line| line.starts_with('-') || !first.contains(line)), "{name}");
    }
    // Who listens everywhere is called by a name that only they know.
    let everywhere = Place::new("ssh: 0.0.0.0:22", "");
    let told = everywhere.ssh_ca(&[]);
    assert!(told.contains("--host NAME") && told.lines().filter(|line| !line.starts_with('#')).count() == 1, "{told}");
    assert!(everywhere.ssh_ca(&["--host", "gw"]).contains("\ngw ssh-ed25519 "));
    assert!(everywhere.refused(&["ssh-ca", "--host", "*"]).contains("not the name of a host"));
}

/// What `ssh-keygen` reads in a certificate; `None`, with the reason told, where there is no `ssh-keygen`.
fn keygen(certificate: &Path) -> Option<String> {
    match Command::new("ssh-keygen").arg("-L").arg("-f").arg(certificate).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            println!("skipped: ssh-keygen does not run here ({error})");
            None
        }
    }
}

#[test]
fn what_is_signed_is_a_certificate_of_the_authority_for_one_name() {
    let place = Place::new("ssh: 127.0.0.1:6422", "");
    let host = place.ssh_ca(&["sign-host", "key.pub", "--name", "build.internal", "--days", "30"]);
    fs::write(place.file("host-cert.pub"), host).unwrap();
    let nothing = place.ssh_ca(&["sign-user", "key.pub", "--user", "deploy", "--output", "user-cert.pub"]);
    assert_eq!(nothing, "");
    let Some(host) = keygen(&place.file("host-cert.pub")) else { return };
    assert!(host.contains("host certificate") && host.contains("build.internal"), "{host}");
    let user = keygen(&place.file("user-cert.pub")).unwrap();
    assert!(user.contains("user certificate") && user.contains("deploy") && user.contains("permit-pty"), "{user}");
    assert!(!user.contains("forwarding"), "{user}");
    fs::write(place.file("ca.pub"), place.authority()).unwrap();
    let shown = Command::new("ssh-keygen").args(["-l", "-f"]).arg(place.file("ca.pub")).output().unwrap();
    let fingerprint = String::from_utf8(shown.stdout).unwrap();
    let fingerprint = fingerprint.split_whitespace().nth(1).unwrap();
    assert!(host.contains(fingerprint) && user.contains(fingerprint), "{fingerprint}");
}

#[test]
fn what_cannot_be_signed_is_said_and_a_private_key_is_not_shown() {
    let place = Place::new("ssh: 127.0.0.1:6422", "");
    place.ssh_ca(&[]);
    let private = place.file("data/ssh/host_ed25519");
    let told = place.refused(&["ssh-ca", "sign-user", private.to_str().unwrap(), "--user", "a"]);
    assert!(told.contains("private key"), "{told}");
    let secret = fs::read_to_string(&private).unwrap();
    assert!(secret.lines().all(|line| !told.contains(line)), "{told}");
    for words in [
        &["sign-user", "key.pub", "--user", "a b"][..],
        &["sign-user", "key.pub", "--user", "a", "--hours", "0"],
        &["sign-user", "none.pub", "--user", "a"],
        &["sign-user", "portcullis.yaml", "--user", "a"],
        &["sign-host", "key.pub"],
    ] {
        assert!(!place.refused(&[&["ssh-ca"], words].concat()).is_empty(), "{words:?}");
    }
}

#[test]
fn the_gateways_own_authority_is_never_one_of_clients() {
    let place = Place::new("postgres: 127.0.0.1:0", "ssh_certificate_authorities: [ca.pub]");
    fs::write(place.file("ca.pub"), KEY).unwrap();
    let good = place.run(&["check"]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    fs::write(place.file("ca.pub"), place.authority()).unwrap();
    let told = place.refused(&["check"]);
    assert!(told.contains("identity.ssh_certificate_authorities") && told.contains("never for clients"), "{told}");
    let told = place.refused(&["serve"]);
    assert!(told.contains("never for clients"), "{told}");
    // Nor is it anybody's own key.
    let text = fs::read_to_string(place.file("portcullis.yaml")).unwrap();
    let registered = format!("ssh_keys: [{{ user: agent-7, key: \"{}\" }}]", place.authority());
    let text = text.replace("ssh_certificate_authorities: [ca.pub]", &registered);
    fs::write(place.file("portcullis.yaml"), text).unwrap();
    assert!(place.refused(&["check"]).contains("never for clients"));
}
