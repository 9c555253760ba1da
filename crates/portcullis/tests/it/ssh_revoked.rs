//! Revoked SSH keys and certificates, end to end: `ssh-keygen` writes the list, `ssh` comes with what is on it.
//!
//! Promises: what is put into a list while the gateway runs opens nothing from then on, and ends what it opened; a file that
//! is none refuses every key until it is one again, and tokens work meanwhile; a gateway does not start with it, and says
//! which file and why.

use crate::login::first_line;
use crate::ssh::ran;
use crate::ssh_refusals::Door;
use crate::surroundings::eventually;
use std::fs;
use std::process::{Child, Command, Stdio};

/// A session by certificate that lasts until it is ended.
fn live(door: &Door) -> Child {
    let mut ssh = door.with_key("echo begun; sleep 100");
    let mut child = ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(first_line(&mut child), "begun\n");
    child
}

fn ends(mut session: Child) {
    eventually("the end of the session", || session.try_wait().unwrap().is_some());
    assert!(!session.wait().unwrap().success());
}

/// Writes the list in its place, as `ssh-keygen` does it.
fn revoke(door: &Door, more: &[&str], spec: &str) {
    fs::write(door.file("spec"), spec).unwrap();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-k", "-f"]).arg(door.file("revoked")).arg("-s").arg(door.file("authority.pub"));
    let output = keygen.args(more).arg(door.file("spec")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn refused(door: &Door, why: &str) {
    let before = door.refusals().len();
    let ran = ran(&mut door.with_key("echo in"), b"");
    assert_eq!((ran.text(), ran.code), ("", Some(255)), "{ran:?}");
    assert!(ran.err.contains("Permission denied") && !ran.err.contains("revoked"), "{ran:?}");
    // With the key alone, which ssh tries as well, before the certificate or behind it, it is nobody.
    let mut told = door.refusals().split_off(before);
    told.sort_by_key(|told| told != why);
    assert_eq!(told, [why, "unknown SSH key"]);
}

#[test]
fn what_ssh_keygen_puts_into_a_list_is_revoked_while_the_gateway_runs() {
    let Some(door) = Door::open() else { return };
    door.sign("authority", &["-n", "alice", "-z", "5"]);
    let session = live(&door);
    revoke(&door, &[], "serial: 5-7\n");
    ends(session);
    refused(&door, "SSH certificate revoked");
    door.sign("authority", &["-n", "alice", "-z", "8"]);
    let session = live(&door);
    // More of it, by the key id that every certificate here has.
    revoke(&door, &["-u"], "id: a-login\n");
    ends(session);
    refused(&door, "SSH certificate revoked");
    // The list is for people, too: a line for a key is all that is in it.
    fs::copy(door.file("key.pub"), door.file("revoked")).unwrap();
    let comes_to = |why: &str| {
        eventually(why, || {
            let _refused = ran(&mut door.with_key("echo in"), b"");
            door.refusals().iter().any(|refusal| refusal == why)
        });
    };
    comes_to("SSH key revoked");
    fs::copy(door.file("authority.pub"), door.file("revoked")).unwrap();
    comes_to("SSH certificate of a revoked authority");
    fs::write(door.file("revoked"), "").unwrap();
    eventually("nothing in the list", || ran(&mut door.with_key("echo in"), b"").text() == "in\n");
    door.gateway.stop(&["credential", "ertificate"]).unwrap();
}

#[test]
fn a_list_that_cannot_be_read_refuses_every_key_and_no_token() {
    let Some(mut door) = Door::open() else { return };
    let token = door.gateway.token("bob", &["dba"]).unwrap();
    door.sign("authority", &["-n", "alice"]);
    let session = live(&door);
    fs::write(door.file("revoked"), "hello\n").unwrap();
    ends(session);
    refused(&door, "SSH key while a list of revoked ones cannot be read");
    let ran_with_token = door.typed("password", token.as_bytes());
    assert_eq!((ran_with_token.text(), ran_with_token.code), ("in\n", Some(0)), "{ran_with_token:?}");
    let told = "line 1 is not a public SSH key";
    assert_eq!(door.gateway.log_text().matches(told).count(), 1, "{}", door.gateway.log_text());
    let check = door.gateway.command_line(&["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    let file = door.file("revoked");
    assert!(!check.status.success() && said.contains(told) && said.contains(file.to_str().unwrap()), "{said}");
    fs::write(&file, "").unwrap();
    eventually("a list that is one", || ran(&mut door.with_key("echo in"), b"").text() == "in\n");
    // It does not begin with one that is none.
    fs::write(&file, "SSHKRL\n\0").unwrap();
    door.gateway.kill().unwrap();
    let mut serve = door.gateway.command_line(&["serve"]);
    let mut serve = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the end of serve", || serve.try_wait().unwrap().is_some());
    let output = serve.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!output.status.success() && said.contains("the KRL is cut short"), "{said}");
    assert!(said.contains(file.to_str().unwrap()) && said.contains("identity.ssh_revoked_keys"), "{said}");
}
