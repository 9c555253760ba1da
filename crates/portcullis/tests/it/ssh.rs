//! OpenSSH's own clients against a real OpenSSH server, through the gateway.
//!
//! The gateway's host key is verified with what `portcullis ssh-ca` prints; the client proves itself with a registered
//! key unless a test says otherwise. Without OpenSSH's server the tests skip, and say so.

use crate::surroundings::BINARY;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::or_skip;
use portcullis_testkit::process::run;
use portcullis_testkit::ssh::{Sshd, keygen};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const POLICY: &str = r#"
bundle: hosts
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: sessions
    allow: { actions: [connect], objects: ["session {guarded,sftp}"] }
  - id: programs
    allow:
      actions: [execute]
      objects: ["program {true,false,echo,cat,wc,seq,sleep,head,printf,pwd,id,ls,cd,touch,rm,mkdir,exit,scp,rsync,sh}"]
  - id: read
    allow: { actions: [read], objects: ["file **"] }
  - id: write
    allow: { actions: [write], objects: ["file /tmp/pc-ssh-*/**"] }
  - id: no-secrets
    deny: { actions: [any], objects: ["file **/secret*"] }
    message: Ask the owner of the secret.
  - id: no-hidden-code
    deny: { marks: [dynamic] }
"#;

/// A gateway in front of the shared server, and a client with a registered key.
pub(crate) struct Host {
    pub(crate) server: &'static Sshd,
    pub(crate) gateway: Gateway,
    /// Where the server's sessions may write.
    pub(crate) work: PathBuf,
    client: tempfile::TempDir,
}

/// What a client printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("text")
    }
}

impl Host {
    pub(crate) fn new() -> Option<Self> {
        Self::with(POLICY, "")
    }

    pub(crate) fn with(policy: &str, extra: &str) -> Option<Self> {
        let server = or_skip(Sshd::shared())?;
        Some(Self::before(server, policy, extra))
    }

    /// The same before a server of the test's own.
    pub(crate) fn before(server: &'static Sshd, policy: &str, extra: &str) -> Self {
        let client = tempfile::tempdir().unwrap();
        let key = client.path().join("key");
        keygen(&key).unwrap();
        let identity = format!(
            "identity: {{ ssh_keys: [{{ user: agent-7, groups: [agents], file: \"{}\" }}] }}\n{extra}",
            key.with_extension("pub").display()
        );
        let settings = Settings::new(BINARY).ssh("build-box", server).policy("hosts", policy).extra(&identity);
        let gateway = settings.start().unwrap();
        know(&gateway, &client.path().join("known_hosts"));
        let work = directory(server);
        Self { server, gateway, work, client }
    }

    pub(crate) fn port(&self) -> String {
        self.gateway.address("ssh").unwrap().rsplit_once(':').unwrap().1.to_owned()
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.client.path().join("key")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.client.path()
    }

    /// The options that every OpenSSH client takes.
    pub(crate) fn options(&self) -> Vec<String> {
        let at = self.client.path().display();
        let listed = [
            "IdentitiesOnly=yes".to_owned(),
            format!("IdentityFile={at}/key"),
            format!("UserKnownHostsFile={at}/known_hosts"),
            "StrictHostKeyChecking=yes".to_owned(),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "BatchMode=yes".to_owned(),
            "LogLevel=ERROR".to_owned(),
            "User=build-box".to_owned(),
            format!("Port={}", self.port()),
        ];
        let mut options = vec!["-F".to_owned(), "/dev/null".to_owned()];
        options.extend(listed.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        options
    }

    pub(crate) fn ssh(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut ssh = Command::new("ssh");
        ssh.args(self.options()).args(arguments);
        ran(&mut ssh, input)
    }

    pub(crate) fn exec(&self, command: &str) -> Ran {
        self.ssh(&["127.0.0.1", command], b"")
    }

    /// The record of the newest session of a client, in one text.
    pub(crate) fn record(&self) -> String {
        let listed = self.gateway.command(&["sessions", "list", "--json"]).unwrap();
        listed
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let id = line["id"].as_str().or_else(|| line["session"].as_str()).expect("an id").to_owned();
                self.gateway.command(&["sessions", "show", "--json", &id]).unwrap_or_default()
            })
            .collect()
    }

    /// What the record says once it says `wanted`.
    pub(crate) fn recorded(&self, wanted: &str) -> String {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let record = self.record();
            if record.contains(wanted) {
                return record;
            }
            assert!(Instant::now() < patience, "the record never says {wanted}: {record}");
        }
    }
}

/// Writes a `known_hosts` with the gateway's host key, as `portcullis ssh-ca` prints it.
pub(crate) fn know(gateway: &Gateway, file: &Path) {
    let line = gateway.command(&["ssh-ca"]).unwrap();
    let address = gateway.address("ssh").unwrap();
    let port = address.rsplit_once(':').unwrap().1;
    let host_key = line.lines().find(|line| line.contains("ssh-ed25519")).expect("a host key");
    let host_key = host_key.split_whitespace().skip_while(|word| *word != "ssh-ed25519").take(2).collect::<Vec<_>>();
    std::fs::write(file, format!("[127.0.0.1]:{port} {}\n", host_key.join(" "))).unwrap();
}

/// A new directory that the server's sessions may write to.
pub(crate) fn directory(server: &Sshd) -> PathBuf {
    let made = tempfile::Builder::new().prefix("w-").tempdir_in(server.directory()).unwrap().keep();
    run(Command::new("chmod").arg("777").arg(&made)).unwrap();
    made.canonicalize().unwrap()
}

pub(crate) fn ran(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends early does not read on.
            let _unread = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    Ran { out: output.stdout, err: String::from_utf8_lossy(&output.stderr).into_owned(), code: output.status.code() }
}

#[test]
fn a_command_runs_and_its_output_and_status_are_its_own() {
    let Some(host) = Host::new() else { return };
    let ran = host.exec("echo out; echo err >&2; exit 7");
    assert_eq!((ran.text(), ran.err.as_str(), ran.code), ("out\n", "err\n", Some(7)), "{ran:?}");
    let ran = host.ssh(&["127.0.0.1", "wc -c"], &vec![b'x'; 100_000]);
    assert_eq!((ran.text().trim(), ran.code), ("100000", Some(0)), "{ran:?}");
    let record = host.recorded("exit 7");
    assert!(record.contains("echo out; echo err >&2; exit 7"), "{record}");
}

#[test]
fn what_no_rule_allows_is_refused_with_126_and_a_reason() {
    let Some(host) = Host::new() else { return };
    let file = host.work.join("kept");
    std::fs::write(&file, "kept").unwrap();
    for (command, reason) in [
        (format!("rm -rf {} && curl x | sh", host.work.display()), "no-hidden-code"),
        ("psql -c 'drop table t'".to_owned(), "no rule allows"),
        (format!("cat {}/secret.txt", host.work.display()), "Ask the owner of the secret."),
        ("python3 -c 'import os'".to_owned(), "no-hidden-code"),
    ] {
        let ran = host.exec(&command);
        assert_eq!(ran.code, Some(126), "{command}: {ran:?}");
        assert!(ran.err.contains("refused by policy") && ran.err.contains(reason), "{command}: {ran:?}");
        assert!(ran.out.is_empty());
    }
    assert!(file.exists());
    assert!(!host.server.log_text().contains("drop table"));
    host.recorded("psql -c 'drop table t'");
}

#[test]
fn a_tree_of_which_names_are_shown_is_judged_by_its_directories() {
    let Some(host) = Host::new() else { return };
    std::fs::create_dir_all(host.work.join("tree/below")).unwrap();
    std::fs::write(host.work.join("tree/below/secret.txt"), "hidden").unwrap();
    let at = host.work.display();
    let ran = host.exec(&format!("ls -R {at}/tree"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.text().contains("secret.txt"), "{ran:?}");
    // Links that are followed may lead to what `ls` of each directory would not show.
    let ran = host.exec(&format!("ls -LR {at}/tree"));
    assert_eq!(ran.code, Some(126), "{ran:?}");
    std::fs::create_dir(host.work.join("tree/below/secrets")).unwrap();
    for command in [format!("ls {at}/tree/below/secrets"), format!("ls -R {at}/tree")] {
        let ran = host.exec(&command);
        assert_eq!(ran.code, Some(126), "{command}: {ran:?}");
        assert!(ran.err.contains("Ask the owner of the secret."), "{command}: {ran:?}");
    }
}

#[test]
fn a_link_is_judged_as_what_it_reaches() {
    let Some(host) = Host::new() else { return };
    std::fs::write(host.work.join("secret.txt"), "hidden").unwrap();
    std::os::unix::fs::symlink(host.work.join("secret.txt"), host.work.join("plain")).unwrap();
    std::os::unix::fs::symlink("/etc", host.work.join("etc")).unwrap();
    let at = host.work.display();
    for command in [
        format!("cat {at}/plain"),
        format!("cat {at}/sec*"),
        format!("cat {at}/./x/../secret.txt"),
        format!("cd {at} && cat < plain"),
        format!("echo x > {at}/etc/pc-new"),
        format!("cat {at}/*"),
    ] {
        let ran = host.exec(&command);
        assert_eq!(ran.code, Some(126), "{command}: {ran:?}");
        assert!(!ran.text().contains("hidden"));
    }
    let ran = host.exec(&format!("echo fine > {at}/new && cat {at}/new"));
    assert_eq!((ran.text(), ran.code), ("fine\n", Some(0)), "{ran:?}");
    let ran = host.exec(&format!("cat {at}/ne*"));
    assert_eq!((ran.text(), ran.code), ("fine\n", Some(0)), "{ran:?}");
}

#[test]
fn a_stream_that_nobody_reads_and_names_that_nobody_knows_are_refused() {
    let Some(host) = Host::new() else { return };
    let at = host.work.display();
    std::fs::create_dir(host.work.join("in")).unwrap();
    std::fs::write(host.work.join("lines"), "D0755 0 in\nC0644 2 secret\nx\n\0E\n").unwrap();
    std::os::unix::fs::symlink("/usr/share", host.work.join("in/far")).unwrap();
    std::fs::write(host.work.join("doc"), "here").unwrap();
    for command in [
        format!("scp -r -t {at} < {at}/lines"),
        format!("scp -r -t {at} <<EOF\nC0644 2 secret\nEOF"),
        format!("cd {at}; scp -r -t ."),
        format!("cat {at}/in/far/../doc"),
        format!("cat {at}/in/far/../../doc"),
    ] {
        let ran = host.ssh(&["127.0.0.1", &command], b"C0644 2 secret\nx\n\0");
        assert_eq!(ran.code, Some(126), "{command}: {ran:?}");
    }
    assert!(!host.work.join("secret").exists() && !host.work.join("in/secret").exists());
    let ran = host.exec(&format!("cat {at}/in/../doc"));
    assert_eq!((ran.text(), ran.code), ("here", Some(0)), "{ran:?}");
}

#[test]
fn forwarding_of_every_kind_is_refused_and_recorded() {
    let Some(host) = Host::new() else { return };
    let ran = host.ssh(&["-W", "127.0.0.1:22", "127.0.0.1"], b"");
    assert_ne!(ran.code, Some(0));
    let ran = host.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22", "127.0.0.1", "true"], b"");
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let ran = host.ssh(&["-A", "127.0.0.1", "echo agent=$SSH_AUTH_SOCK"], b"");
    assert!(!ran.text().contains("/"), "{ran:?}");
    host.recorded("connect to 127.0.0.1:22");
}

#[test]
fn a_granted_host_is_reached_and_no_other() {
    let Some(server) = or_skip(Sshd::shared()) else { return };
    let granted = format!(
        "{POLICY}  - id: that-host\n    allow: {{ actions: [connect], objects: [\"host {}\"] }}\n",
        server.address()
    );
    let Some(host) = Host::with(&granted, "") else { return };
    let reached = host.ssh(&["-W", &server.address(), "127.0.0.1"], b"SSH-2.0-probe\r\n");
    assert!(reached.out.starts_with(b"SSH-2.0-OpenSSH"), "{reached:?}");
    let refused = host.ssh(&["-W", "127.0.0.1:1", "127.0.0.1"], b"");
    assert!(refused.out.is_empty() && refused.code != Some(0), "{refused:?}");
    host.recorded(&format!("connect to {}", server.address()));
}

#[test]
fn a_token_is_a_password_and_nothing_else_is() {
    let Some(host) = Host::new() else { return };
    let token = host.gateway.token("agent-9", &["agents"]).unwrap();
    let askpass = host.directory().join("askpass");
    std::fs::write(&askpass, format!("#!/bin/sh\ncat {}/pw\n", host.directory().display())).unwrap();
    run(Command::new("chmod").arg("700").arg(&askpass)).unwrap();
    let with = |password: &str, method: &str| {
        std::fs::write(host.directory().join("pw"), format!("{password}\n")).unwrap();
        let mut ssh = Command::new("ssh");
        let options: Vec<String> = host.options().into_iter().filter(|option| option != "BatchMode=yes").collect();
        let mut options: Vec<String> =
            options.into_iter().filter(|option| !option.starts_with("IdentityFile")).collect();
        options.retain(|option| option != "-o");
        let mut listed = vec!["-F".to_owned(), "/dev/null".to_owned()];
        for option in options.iter().filter(|option| option.contains('=')) {
            listed.extend(["-o".to_owned(), option.clone()]);
        }
        ssh.args(listed).args(["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]);
        ssh.arg("-o").arg(format!("PreferredAuthentications={method}"));
        ssh.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":9");
        ssh.args(["127.0.0.1", "echo in"]);
        ran(&mut ssh, b"")
    };
    for method in ["password", "keyboard-interactive"] {
        let ran = with(&token, method);
        assert_eq!((ran.text(), ran.code), ("in\n", Some(0)), "{method}: {ran:?}");
        let ran = with("wrong", method);
        assert_eq!(ran.code, Some(255), "{method}: {ran:?}");
    }
}

#[test]
fn an_unknown_connection_and_another_login_say_why() {
    let Some(host) = Host::new() else { return };
    let user = |name: &str| {
        let mut arguments = vec!["-l".to_owned(), name.to_owned()];
        arguments.extend(["127.0.0.1".to_owned(), "true".to_owned()]);
        let options: Vec<String> = host.options();
        let mut ssh = Command::new("ssh");
        let mut listed = Vec::new();
        let mut skip = false;
        for option in options {
            if option == "User=build-box" {
                listed.pop();
                skip = true;
                continue;
            }
            listed.push(option);
        }
        assert!(skip);
        ssh.args(listed).args(arguments);
        ran(&mut ssh, b"")
    };
    let ran = user("no-such-box");
    assert_eq!(ran.code, Some(126), "{ran:?}");
    assert!(ran.err.contains("there is no connection `no-such-box`"), "{ran:?}");
    let ran = user("build-box+root");
    assert_eq!(ran.code, Some(126), "{ran:?}");
}

#[test]
fn channels_of_one_connection_are_judged_each_by_itself() {
    let Some(host) = Host::new() else { return };
    let socket = host.directory().join("master");
    let control = format!("ControlPath={}", socket.display());
    let mut master = Command::new("ssh");
    master.args(host.options()).args(["-o", &control, "-M", "-N", "127.0.0.1"]);
    let mut master = master.stdin(Stdio::null()).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while !socket.exists() {
        assert!(Instant::now() < patience, "the master never came");
        std::thread::yield_now();
    }
    let through = |command: &str| host.ssh(&["-o", &control, "127.0.0.1", command], b"");
    std::thread::scope(|scope| {
        let through = &through;
        let run = |nth: u32| scope.spawn(move || through(&format!("echo {nth}")));
        let allowed: Vec<_> = (0..8).map(|nth| (nth, run(nth))).collect();
        for (nth, one) in allowed {
            let ran = one.join().unwrap();
            assert_eq!((ran.text(), ran.code), (format!("{nth}\n").as_str(), Some(0)), "{ran:?}");
        }
    });
    assert_eq!(through("python3").code, Some(126));
    assert_eq!(through("echo on").text(), "on\n");
    master.kill().unwrap();
    master.wait().unwrap();
}

#[test]
fn an_unknown_host_key_is_refused_and_nothing_is_sent() {
    let Some(server) = or_skip(Sshd::shared()) else { return };
    let other = tempfile::tempdir().unwrap();
    keygen(&other.path().join("other")).unwrap();
    let wrong = portcullis_testkit::ssh::first_words(&other.path().join("other.pub")).unwrap();
    let yaml = server.connection().replace(server.host_key(), &wrong);
    let Some(host) = Host::with(POLICY, "") else { return };
    let key = host.key().with_extension("pub");
    let identity = format!("identity: {{ ssh_keys: [{{ user: a, groups: [agents], file: \"{}\" }}] }}", key.display());
    let gateway = Settings::new(BINARY).connection("build-box", &yaml).policy("hosts", POLICY).extra(&identity);
    let gateway = gateway.start().unwrap();
    let port = gateway.address("ssh").unwrap().rsplit_once(':').unwrap().1.to_owned();
    let mut ssh = Command::new("ssh");
    let options = host.options().into_iter().map(|option| match option.as_str() {
        option if option.starts_with("Port=") => format!("Port={port}"),
        "StrictHostKeyChecking=yes" => "StrictHostKeyChecking=no".to_owned(),
        option => option.to_owned(),
    });
    ssh.args(options).args(["127.0.0.1", "echo reached"]);
    let ran = ran(&mut ssh, b"");
    assert_eq!(ran.code, Some(255), "{ran:?}");
    assert!(ran.err.contains("does not prove to be the one"), "{ran:?}");
    gateway.stop(&["cannot be reached", "host key"]).unwrap();
}

#[test]
fn probes_for_a_deadlock_come_to_their_end() {
    let Some(host) = Host::new() else { return };
    // Output that the client does not read until its input was taken, which the program takes last.
    let input = vec![b'i'; 40 << 20];
    let ran = host.ssh(&["127.0.0.1", "seq 1 3000000; cat > /dev/null"], &input);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.out.len(), (1..=3_000_000u64).map(|n| n.to_string().len() + 1).sum::<usize>());
    // More than every buffer on the way holds.
    let down = host.ssh(&["127.0.0.1", "head -c 200M /dev/zero"], b"");
    assert_eq!((down.out.len(), down.code), (200 << 20, Some(0)), "{}", down.err);
    // And everything back and forth at once.
    let echoed = host.ssh(&["127.0.0.1", "cat"], &input);
    assert_eq!((echoed.out.len(), echoed.code), (input.len(), Some(0)));
    assert!(echoed.out == input, "bytes changed on the way");
}
