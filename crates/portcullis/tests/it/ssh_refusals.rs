//! What the record says of those whom the SSH listener lets in as nobody.
//!
//! Promises: a token and a certificate that the gateway refuses are each one event with its own reason, and the client is
//! told none of it; of what the library refuses before the gateway hears of it (a certificate that is not in force), and of
//! keys that are only asked about, there is none.

use crate::ssh::{Ran, know, ran};
use crate::surroundings::BINARY;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::or_skip;
use portcullis_testkit::ssh::{Sshd, keygen};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

const POLICY: &str = r#"
bundle: hosts
applies_to: { connections: ["*"], principals: { groups: [dba] } }
rules:
  - id: echo
    allow: { actions: [execute], objects: ["program {echo,sleep}"] }
"#;

/// A gateway that trusts one authority, which is the test's, and knows nobody's key. The file `revoked` lists what is
/// revoked: nothing.
pub(crate) struct Door {
    pub(crate) gateway: Gateway,
    home: tempfile::TempDir,
}

impl Door {
    pub(crate) fn open() -> Option<Self> {
        let server = or_skip(Sshd::shared())?;
        let home = tempfile::tempdir().unwrap();
        for name in ["authority", "stranger", "key"] {
            keygen(&home.path().join(name)).unwrap();
        }
        fs::write(home.path().join("revoked"), "# nothing yet\n").unwrap();
        let identity = format!(
            "identity: {{ ssh_certificate_authorities: [\"{}\"], ssh_users: [{{ user: alice, groups: [dba] }}], \
             ssh_revoked_keys: [\"{}\"] }}",
            home.path().join("authority.pub").display(),
            home.path().join("revoked").display()
        );
        let settings = Settings::new(BINARY).ssh("build-box", server).policy("hosts", POLICY).extra(&identity);
        let gateway = settings.start().unwrap();
        know(&gateway, &home.path().join("known_hosts"));
        Some(Self { gateway, home })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn ssh(&self, options: &[&str], command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", self.file("known_hosts").display())).env_remove("SSH_AUTH_SOCK");
        ssh.args(["-o", "NumberOfPasswordPrompts=1"]).args(options).env("SSH_ASKPASS_REQUIRE", "force");
        let address = self.gateway.address("ssh").unwrap();
        ssh.args(["-p", address.rsplit_once(':').unwrap().1, "build-box@127.0.0.1", command]);
        ssh
    }

    /// Signs a certificate over the key so, in the place of the one before.
    pub(crate) fn sign(&self, by: &str, how: &[&str]) {
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-I", "a-login", "-s"]).arg(self.file(by)).args(how).arg(self.file("key.pub"));
        assert!(sign.output().unwrap().status.success(), "{how:?}");
    }

    /// With the key and its certificate.
    pub(crate) fn with_key(&self, command: &str) -> Command {
        let identity = format!("IdentityFile={}", self.file("key").display());
        let options =
            ["-o", "BatchMode=yes", "-o", "PreferredAuthentications=publickey", "-o", "IdentitiesOnly=yes", "-o"];
        self.ssh(&[&options[..], &[&identity]].concat(), command)
    }

    /// With the key and a certificate over it that this authority signs so.
    fn certified(&self, by: &str, how: &[&str]) -> Ran {
        self.sign(by, how);
        ran(&mut self.with_key("echo in"), b"")
    }

    /// With these bytes where a token is asked for.
    pub(crate) fn typed(&self, method: &str, bytes: &[u8]) -> Ran {
        let askpass = self.file("askpass");
        fs::write(self.file("typed"), [bytes, b"\n"].concat()).unwrap();
        fs::write(&askpass, format!("#!/bin/sh\ncat {}\n", self.file("typed").display())).unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
        let method = format!("PreferredAuthentications={method}");
        let mut ssh = self.ssh(&["-o", "PubkeyAuthentication=no", "-o", &method], "echo in");
        ran(ssh.env("SSH_ASKPASS", &askpass).env("DISPLAY", ":9"), b"")
    }

    /// Why anybody was refused so far.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let text = self.gateway.command(&["sessions", "export"]).unwrap().replace("\\\"", "\"");
        let events = text.split(r#""type":"identity.refused","why":""#).skip(1);
        events.map(|event| event.split('"').next().unwrap().to_owned()).collect()
    }
}

#[test]
fn what_is_refused_is_recorded_once_with_its_reason_and_the_client_is_told_none() {
    let Some(door) = Door::open() else { return };
    let ran = door.certified("authority", &["-n", "alice", "-V", "+1h"]);
    assert_eq!((ran.text(), ran.code), ("in\n", Some(0)), "{ran:?}");
    // With the key alone, which ssh tries as well, before the certificate or behind it, it is nobody.
    let nobody = "unknown SSH key";
    let mut expected = door.refusals();
    assert!(expected.iter().all(|why| why == nobody) && expected.len() < 2, "{expected:?}");
    let mut refused = |ran: Ran, whys: &[&str]| {
        assert_eq!((ran.text(), ran.code), ("", Some(255)), "{whys:?}: {ran:?}");
        assert!(ran.err.contains("Permission denied"), "{ran:?}");
        assert!(whys.iter().all(|why| !ran.err.contains(why)), "{ran:?}");
        expected.extend(whys.iter().map(|why| (*why).to_owned()));
    };
    for (by, how, why) in [
        ("stranger", &["-n", "alice"][..], Some("SSH certificate of an unknown authority")),
        ("authority", &["-n", "alice,erin"], Some("SSH certificate without exactly one user")),
        (
            "authority",
            &["-n", "alice", "-O", "force-command=echo"],
            Some("SSH certificate with a forced command, which is not carried out here"),
        ),
        (
            "authority",
            &["-n", "alice", "-O", "source-address=198.51.100.1"],
            Some("SSH certificate used from an address it is not good for"),
        ),
        // Refused by the library.
        ("authority", &["-n", "alice", "-V", "-2h:-1h"], None),
    ] {
        refused(door.certified(by, how), &why.into_iter().chain([nobody]).collect::<Vec<_>>());
    }
    for (method, bytes) in
        [("password", &b"wrong"[..]), ("keyboard-interactive", b"wrong"), ("keyboard-interactive", b"pct_\xff\xfe")]
    {
        refused(door.typed(method, bytes), &["not a token of this gateway"]);
    }
    let mut told = door.refusals();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    door.gateway.stop(&["credential", "ertificate"]).unwrap();
}
