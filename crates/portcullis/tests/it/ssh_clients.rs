//! What people run over SSH: scp in both its protocols, sftp, rsync, git, ssh-copy-id, shared connections, variables, and
//! the two Python libraries, through the gateway against a real OpenSSH server.
//!
//! Files are compared byte by byte on the target's disk; a refusal must say why and leave nothing behind. Programs that
//! the machine lacks are skipped with a reason.

use crate::ssh::{Host, Ran, ran};
use crate::ssh_talk::until;
use crate::surroundings::{fetched, succeed};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const POLICY: &str = r#"
bundle: hosts
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: sessions
    allow: { actions: [connect], objects: ["session {guarded,sftp}"] }
  - id: programs
    allow:
      actions: [execute]
      objects: ["program {true,false,echo,cat,wc,seq,sleep,head,printf,printenv,pwd,cd,touch,rm,mkdir,exit,scp,tty}"]
  - id: copies
    allow: { actions: [execute], objects: ["program scp"], marks: [network] }
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

/// A program that speaks a protocol of its own: whoever writes such a rule trusts it with all that it does.
fn trusting(program: &str) -> String {
    let rule = format!(
        "  - id: trusted\n    allow: {{ actions: [execute, unknown, read, write], objects: [\"program {program}\", \"file **\", unknown], marks: [dynamic, irreversible] }}\n"
    );
    POLICY.split("  - id: programs").next().unwrap_or_default().to_owned() + &rule
}

/// Bytes that no compression or line ending explains.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// `program` of OpenSSH with the test's options and these arguments.
fn openssh(host: &Host, program: &str, arguments: &[&str]) -> Ran {
    ran(Command::new(program).args(host.options()).args(arguments), b"")
}

/// A tree of files at the client.
fn tree(host: &Host) -> PathBuf {
    let tree = host.directory().join("tree");
    std::fs::create_dir_all(tree.join("deep/er")).unwrap();
    for (name, length) in [("empty", 0), ("deep/line", 40), ("deep/er/large", 3_000_001), ("a name", 5)] {
        std::fs::write(tree.join(name), noise(length)).unwrap();
    }
    std::fs::set_permissions(tree.join("deep/line"), PermissionsExt::from_mode(0o751)).unwrap();
    run(Command::new("touch").args(["-d", "2001-02-03T04:05:06Z"]).arg(tree.join("deep/line")));
    tree
}

fn run(command: &mut Command) -> String {
    succeed(command)
}

/// The files below a directory, with what is in them.
fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn scp_copies_trees_both_ways_in_both_protocols() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let tree = tree(&host);
    for (mode, name) in [("-s", "new"), ("-O", "old")] {
        let up = format!("127.0.0.1:{}/{name}", host.work.display());
        let ran = openssh(&host, "scp", &[mode, "-r", "-p", tree.to_str().unwrap(), &up]);
        assert_eq!(ran.code, Some(0), "{mode} up: {ran:?}");
        let there = host.work.join(name);
        assert!(contents(&there) == contents(&tree), "{mode}: bytes changed on the way up");
        let copied = std::fs::metadata(there.join("deep/line")).unwrap();
        assert_eq!((copied.mode() & 0o777, copied.mtime()), (0o751, 981_173_106), "{mode}: -p is lost");
        let back = host.directory().join(name);
        let ran = openssh(&host, "scp", &[mode, "-r", "-p", &up, back.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{mode} down: {ran:?}");
        assert!(contents(&back) == contents(&tree), "{mode}: bytes changed on the way down");
        assert_eq!(std::fs::metadata(back.join("deep/line")).unwrap().mtime(), 981_173_106);
    }
    host.recorded("large");
}

#[test]
fn scp_of_secrets_and_links_to_them_is_refused_in_both_protocols() {
    let Some(host) = Host::with(POLICY, "") else { return };
    std::fs::write(host.work.join("secret.txt"), "hidden").unwrap();
    std::os::unix::fs::symlink(host.work.join("secret.txt"), host.work.join("plain")).unwrap();
    let mine = host.directory().join("mine");
    std::fs::write(&mine, "mine").unwrap();
    let at = |name: &str| format!("127.0.0.1:{}/{name}", host.work.display());
    for mode in ["-s", "-O"] {
        for name in ["secret.txt", "plain"] {
            let local = host.directory().join("got");
            let ran = openssh(&host, "scp", &[mode, &at(name), local.to_str().unwrap()]);
            assert_ne!(ran.code, Some(0), "{mode} {name}: {ran:?}");
            assert!(ran.err.contains("Ask the owner of the secret."), "{mode} {name}: {ran:?}");
            assert!(!std::fs::read_to_string(&local).unwrap_or_default().contains("hidden"), "{mode} {name}");
        }
        for name in ["secret.new", "plain"] {
            let ran = openssh(&host, "scp", &[mode, mine.to_str().unwrap(), &at(name)]);
            assert_ne!(ran.code, Some(0), "{mode} {name}: {ran:?}");
            assert!(ran.err.contains("Ask the owner of the secret."), "{mode} {name}: {ran:?}");
        }
        assert_eq!(std::fs::read_to_string(host.work.join("secret.txt")).unwrap(), "hidden");
        assert!(!host.work.join("secret.new").exists());
    }
}

#[test]
fn a_tree_with_a_secret_in_it_leaves_the_secret_behind() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let tree = host.directory().join("mixed");
    std::fs::create_dir(&tree).unwrap();
    for name in ["first", "secret.key", "third"] {
        std::fs::write(tree.join(name), name).unwrap();
    }
    for (mode, name) in [("-s", "new"), ("-O", "old")] {
        let up = format!("127.0.0.1:{}/{name}", host.work.display());
        let ran = openssh(&host, "scp", &[mode, "-r", tree.to_str().unwrap(), &up]);
        assert_ne!(ran.code, Some(0), "{mode}: {ran:?}");
        assert!(ran.err.contains("Ask the owner of the secret."), "{mode}: {ran:?}");
        assert!(!host.work.join(name).join("secret.key").exists(), "{mode}");
        assert_eq!(std::fs::read_to_string(host.work.join(name).join("first")).unwrap(), "first", "{mode}");
    }
}

#[test]
fn sftp_batches_do_what_they_may_and_are_told_what_not() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let large = noise(5_000_000);
    let (mine, back) = (host.directory().join("mine"), host.directory().join("back"));
    std::fs::write(&mine, &large).unwrap();
    std::fs::write(host.work.join("secret.txt"), "hidden").unwrap();
    let at = host.work.display();
    let batch = format!(
        "mkdir {at}/d\nput {mine} {at}/d/large\nget {at}/d/large {back}\nrename {at}/d/large {at}/d/other\n\
         ln -s {at}/secret.txt {at}/link\nchmod 640 {at}/d/other\nls -l {at}/d\n\
         -get {at}/secret.txt {back}.secret\n-get {at}/link {back}.link\n-rm {at}/secret.txt\n\
         -rename {at}/d/other {at}/secret.two\nput {mine} {at}/d/third\nrm {at}/d/third\n",
        mine = mine.display(),
        back = back.display(),
    );
    let mut sftp = Command::new("sftp");
    sftp.args(host.options()).args(["-b", "-", "127.0.0.1"]);
    let ran = ran(&mut sftp, batch.replace("ln -s", "-ln -s").as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(std::fs::read(&back).unwrap() == large, "bytes changed on the way");
    assert!(std::fs::read(host.work.join("d/other")).unwrap() == large);
    assert_eq!(std::fs::metadata(host.work.join("d/other")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_to_string(host.work.join("secret.txt")).unwrap(), "hidden");
    for name in ["back.secret", "back.link"] {
        let got = std::fs::read_to_string(host.directory().join(name)).unwrap_or_default();
        assert!(!got.contains("hidden"), "{name}");
    }
    assert!(!host.work.join("secret.two").exists() && !host.work.join("d/third").exists());
    assert!(ran.err.contains("Ask the owner of the secret."), "{ran:?}");
    host.recorded("secret.two");
}

/// `rsync` or `git` over the gateway: the client's `ssh` as one shell word.
fn remote_shell(host: &Host) -> String {
    format!("ssh {}", host.options().join(" "))
}

fn is_here(program: &str) -> bool {
    let here = portcullis_testkit::process::run(Command::new(program).arg("--version")).is_ok();
    if !here {
        println!("skipped: no {program} on this machine");
    }
    here
}

#[test]
fn rsync_copies_where_its_program_is_trusted_and_nowhere_else() {
    if !is_here("rsync") {
        return;
    }
    let Some(refusing) = Host::with(POLICY, "") else { return };
    let rsync = |host: &Host, arguments: &[&str]| {
        ran(Command::new("rsync").arg("-e").arg(remote_shell(host)).arg("-a").args(arguments), b"")
    };
    let sent = tree(&refusing);
    let ran = rsync(&refusing, &[sent.to_str().unwrap(), &format!("127.0.0.1:{}/", refusing.work.display())]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("refused by policy"), "{ran:?}");
    assert!(contents(&refusing.work).is_empty());
    let Some(host) = Host::with(&trusting("rsync"), "") else { return };
    let there = format!("127.0.0.1:{}/in/", host.work.display());
    let sent = format!("{}/", tree(&host).display());
    let ran = rsync(&host, &[&sent, &there]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(contents(&host.work.join("in")) == contents(Path::new(&sent)), "bytes changed on the way up");
    let back = host.directory().join("back");
    let ran = rsync(&host, &[&there, back.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(contents(&back) == contents(Path::new(&sent)), "bytes changed on the way down");
}

fn git(host: &Host, at: &Path, arguments: &[&str]) -> Ran {
    let mut git = Command::new("git");
    git.current_dir(at).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]);
    git.env("GIT_SSH_COMMAND", remote_shell(host)).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", host.directory());
    ran(git.args(arguments), b"")
}

#[test]
fn git_clones_and_pushes_where_its_programs_are_trusted() {
    if !is_here("git") {
        return;
    }
    let Some(refusing) = Host::with(POLICY, "") else { return };
    let Some(host) = Host::with(&trusting("{git-upload-pack,git-receive-pack}"), "") else { return };
    let there = host.work.join("repository.git");
    let made = host.direct(&[], &format!("git init -q --bare -b main {}", there.display()));
    assert_eq!(made.code, Some(0), "{made:?}");
    let url = format!("127.0.0.1:{}", there.display());
    let ran = git(&refusing, refusing.directory(), &["clone", "-q", &url, "clone"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("refused by policy"), "{ran:?}");
    let ran = git(&host, host.directory(), &["clone", "-q", &url, "first"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let first = host.directory().join("first");
    std::fs::write(first.join("large"), noise(2_000_000)).unwrap();
    for arguments in [&["add", "large"][..], &["commit", "-q", "-m", "one"], &["push", "-q", "origin", "HEAD:main"]] {
        let ran = git(&host, &first, arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    }
    let ran = git(&host, host.directory(), &["clone", "-q", "-b", "main", &url, "second"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let second = host.directory().join("second/large");
    assert!(std::fs::read(second).unwrap() == noise(2_000_000), "bytes changed on the way");
    host.recorded("git-receive-pack");
}

#[test]
fn ssh_copy_id_is_refused() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let key = host.key().with_extension("pub");
    std::fs::create_dir(host.directory().join(".ssh")).unwrap();
    let mut copy = Command::new("ssh-copy-id");
    copy.args(["-f", "-i"])
        .arg(key)
        .args(host.options().iter().filter(|option| *option != "-F" && *option != "/dev/null"));
    copy.args(["-F", "/dev/null", "127.0.0.1"]).env("HOME", host.directory());
    if !Path::new("/usr/bin/ssh-copy-id").exists() {
        println!("skipped: no ssh-copy-id on this machine");
        return;
    }
    let ran = ran(&mut copy, b"");
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("refused by policy"), "{ran:?}");
    host.recorded("authorized_keys");
}

#[test]
fn exec_with_a_terminal_has_one_and_without_has_none() {
    let Some(host) = Host::with(POLICY, "") else { return };
    if !host.has_terminals() {
        return;
    }
    let ran = host.ssh(&["-tt", "127.0.0.1", "tty; echo err >&2; exit 4"], b"");
    assert!(ran.text().starts_with("/dev/pts/") && ran.text().contains("err\r\n"), "{ran:?}");
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let ran = host.ssh(&["-T", "127.0.0.1", "tty"], b"");
    assert_eq!((ran.text(), ran.code), ("not a tty\n", Some(1)), "{ran:?}");
    // A refusal on a terminal ends its lines as terminals want them.
    let ran = host.ssh(&["-tt", "127.0.0.1", "python3"], b"");
    assert_eq!(ran.code, Some(126), "{ran:?}");
    assert!(ran.err.contains("refused by policy") && ran.err.contains("\r\n"), "{ran:?}");
    // Ctrl-C of the client's terminal reaches the program.
    let Some(mut talk) = host.terminal(&["-t", "127.0.0.1", "echo began; sleep 1000; echo after"]) else { return };
    talk.expect("began");
    talk.send("\x03");
    let (shown, code) = talk.ended();
    assert!(!shown.contains("after"), "{shown:?}");
    assert_ne!(code, Some(0), "{shown:?}");
}

#[test]
fn a_shared_connection_serves_ssh_scp_and_sftp() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let socket = host.directory().join("master");
    let control = format!("ControlPath={}", socket.display());
    let mut master = host.client(&["-o", &control, "-M", "-N", "127.0.0.1"]).stdin(Stdio::null()).spawn().unwrap();
    until("the master's socket", || socket.exists());
    let mine = host.directory().join("mine");
    std::fs::write(&mine, noise(1_000_000)).unwrap();
    let there = format!("127.0.0.1:{}/copied", host.work.display());
    for mode in ["-s", "-O"] {
        let ran = openssh(&host, "scp", &["-o", &control, mode, mine.to_str().unwrap(), &there]);
        assert_eq!(ran.code, Some(0), "{mode}: {ran:?}");
        assert!(std::fs::read(host.work.join("copied")).unwrap() == noise(1_000_000));
    }
    let ran = host.ssh(&["-o", &control, "127.0.0.1", "exit 9"], b"");
    assert_eq!(ran.code, Some(9), "{ran:?}");
    let ran = host.ssh(&["-o", &control, "-O", "exit", "127.0.0.1"], b"");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    master.wait().unwrap();
}

#[test]
fn locales_pass_and_other_variables_are_refused_and_recorded() {
    let Some(host) = Host::with(POLICY, "") else { return };
    let mut ssh =
        host.client(&["-o", "SendEnv=LANG LC_ALL LD_PRELOAD MY_OWN", "127.0.0.1", "printenv LANG LD_PRELOAD MY_OWN"]);
    ssh.env("LANG", "C.UTF-8").env("LC_ALL", "C").env("LD_PRELOAD", "").env("MY_OWN", "s3cret-value");
    let ran = ran(&mut ssh, b"");
    assert_eq!(ran.text(), "C.UTF-8\n", "{ran:?}");
    let record = host.recorded("environment: MY_OWN");
    assert!(record.contains("environment: LD_PRELOAD"), "{record}");
    assert!(!record.contains("s3cret-value"), "the record has a variable's value");
    let rule = "  - id: own\n    allow: { actions: [configure], objects: [\"setting MY_OWN\"] }\n";
    let Some(host) = Host::with(&format!("{POLICY}{rule}"), "") else { return };
    let mut ssh = host.client(&["-o", "SendEnv=MY_OWN", "127.0.0.1", "printenv MY_OWN"]);
    let ran = crate::ssh::ran(ssh.env("MY_OWN", "passed"), b"");
    assert_eq!((ran.text(), ran.code), ("passed\n", Some(0)), "{ran:?}");
}

/// One of the programs of checks in `tests/drivers`.
fn checks(program: &str, extra: &str) {
    let Some(python) = fetched("python/bin/python") else { return };
    let Some(host) = Host::with(POLICY, extra) else { return };
    std::fs::write(host.work.join("secret.txt"), "hidden").unwrap();
    let at = host.directory().display();
    let told = format!(
        "host=127.0.0.1 port={} user=build-box key={at}/key known_hosts={at}/known_hosts work={} token={}",
        host.port(),
        host.work.display(),
        host.gateway.token("agent-9", &["agents"]).unwrap(),
    );
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(program);
    let mut command = Command::new(python);
    command.arg(program).env("PORTCULLIS_TEST_DSN", told).env("PORTCULLIS_TEST_GATEWAY", "1");
    let said = succeed(command.env("PYTHONDONTWRITEBYTECODE", "1"));
    said.lines().filter(|line| line.starts_with("skipped")).for_each(|line| println!("{line}"));
    assert!(said.trim_end().ends_with("checks passed"), "{said}");
    assert_eq!(std::fs::read_to_string(host.work.join("secret.txt")).unwrap(), "hidden");
    host.gateway.stop(&["unknown channel request"]).unwrap();
}

#[test]
fn paramiko() {
    checks("paramiko_checks.py", "");
}

#[test]
fn asyncssh() {
    checks("asyncssh_checks.py", "");
}
