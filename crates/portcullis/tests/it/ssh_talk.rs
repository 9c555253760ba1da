//! What the SSH tests share beside [`Host`]: a conversation with a program that is read while it runs, a real terminal for
//! it, the target asked directly, and the machine's processes.
//!
//! Promises: whoever waits here waits for a text, a process or an end, and fails loudly after a minute; nothing sleeps
//! for a fixed time where something can be seen.

use crate::ssh::{Host, Ran, ran};
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is typed to and read.
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    pieces: Receiver<Vec<u8>>,
    shown: String,
    /// Up to where a test has read.
    read: usize,
}

fn follow(mut output: impl Read + Send + 'static, sender: std::sync::mpsc::Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
}

impl Talk {
    /// Starts it; both its outputs are read as one.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, pieces) = channel();
        follow(child.stdout.take().unwrap(), sender.clone());
        follow(child.stderr.take().unwrap(), sender);
        let input = child.stdin.take();
        Self { child, input, pieces, shown: String::new(), read: 0 }
    }

    pub(crate) fn send(&mut self, text: &str) {
        let input = self.input.as_mut().expect("an open input");
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Types a line and waits for what it must bring.
    pub(crate) fn line(&mut self, line: &str, wanted: &str) -> String {
        self.send(&format!("{line}\r"));
        self.expect(wanted)
    }

    /// The same, and waits for the prompt behind it: what is typed before is the program's.
    pub(crate) fn command(&mut self, line: &str, wanted: &str) {
        self.line(line, wanted);
        self.expect("$ ");
    }

    /// Waits until this was shown; what was shown up to it since the last time.
    pub(crate) fn expect(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown[self.read..].find(wanted) {
                let from = self.read;
                self.read = from + at + wanted.len();
                return self.shown[from..self.read].to_owned();
            }
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.shown.push_str(&String::from_utf8_lossy(&piece)),
                Err(RecvTimeoutError::Timeout) => panic!("{wanted:?} is not shown: {:?}", self.shown),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {wanted:?}: {:?}", self.shown),
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end without ending its input; everything that it showed, and its status.
    pub(crate) fn ended(mut self) -> (String, Option<i32>) {
        let input = self.input.take();
        loop {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown.push_str(&String::from_utf8_lossy(&piece)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    // Something that it started may still have its output.
                    let over = self.child.try_wait().unwrap().is_some();
                    assert!(over, "it does not end: {:?}", self.shown);
                    break;
                }
            }
        }
        let status = self.child.wait().unwrap();
        drop(input);
        (std::mem::take(&mut self.shown), status.code())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // One that has ended is no failure here.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Host {
    /// `ssh` with these arguments, not started.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(self.options()).args(arguments);
        ssh
    }

    /// `ssh` on a real terminal of 30 rows and 100 columns, where the machine can make one.
    pub(crate) fn terminal(&self, arguments: &[&str]) -> Option<Talk> {
        if portcullis_testkit::process::run(Command::new("script").arg("--version")).is_err() {
            println!("skipped: no script (package bsdutils or util-linux), which makes terminals");
            return None;
        }
        if !self.has_terminals() {
            return None;
        }
        let quoted = |word: String| format!("'{}'", word.replace('\'', r"'\''"));
        let words: Vec<String> =
            self.options().into_iter().chain(arguments.iter().map(|word| (*word).to_owned())).map(quoted).collect();
        let line = format!("stty rows 30 cols 100; exec ssh {}", words.join(" "));
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
        Some(Talk::start(&mut script))
    }

    /// Whether the server can give its sessions a terminal; else says why a test is skipped.
    pub(crate) fn has_terminals(&self) -> bool {
        let has = self.direct(&["-tt"], "true").code == Some(0);
        if !has {
            println!(
                "skipped: a server that is not root gets no terminal here (devpts is mounted without gid=5,mode=620)"
            );
        }
        has
    }

    /// Runs a command on the target without the gateway, as what the gateway logs in as.
    pub(crate) fn direct(&self, options: &[&str], command: &str) -> Ran {
        let mut ssh = Command::new("ssh");
        let key = self.directory().join("direct_key");
        std::fs::write(&key, std::fs::read(self.server.client_key()).unwrap()).unwrap();
        portcullis_testkit::ssh::make_private(&key).unwrap();
        ssh.args(["-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-i"]);
        ssh.arg(key).arg("-p").arg(self.server.port().to_string()).args(options);
        ssh.arg(format!("{}@127.0.0.1", self.server.user())).arg(command);
        ran(&mut ssh, b"")
    }

    /// What the gateway's own API answers over its admin socket.
    pub(crate) fn admin(&self, method: &str, path: &str) -> String {
        let mut socket = UnixStream::connect(self.gateway.directory().join("data/admin.sock")).unwrap();
        let request = format!("{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The id of the newest session.
    pub(crate) fn newest(&self) -> String {
        let listed = self.gateway.command(&["sessions", "list", "--json"]).unwrap();
        let last: serde_json::Value = serde_json::from_str(listed.lines().last().expect("a session")).unwrap();
        last["id"].as_str().or_else(|| last["session"].as_str()).expect("an id").to_owned()
    }
}

/// Waits until this holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Process ids and command lines of this machine, words joined by spaces.
pub(crate) fn processes() -> Vec<(u32, String)> {
    let listed = std::fs::read_dir("/proc").unwrap().flatten();
    listed
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()))
        })
        .collect()
}

/// Whether a program runs with exactly this command line.
pub(crate) fn runs(line: &str) -> bool {
    processes().iter().any(|(_, running)| running == line)
}

/// A number that no other test's program has as its argument.
pub(crate) fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    100_000_000 + u64::from(std::process::id()) * 1000 + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(name: &str, pid: u32) {
    let line = ["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()].map(str::to_owned);
    portcullis_testkit::process::run(Command::new("sh").args(line)).unwrap();
}

/// The process of this name among a process and what it started.
pub(crate) fn child_named(root: u32, name: &str) -> u32 {
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let called = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if called.trim_end() == name {
            return pid;
        }
        open.extend(children(pid));
    }
    panic!("no {name} below process {root}");
}

/// What a process started and still has.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    processes().into_iter().map(|(pid, _)| pid).filter(|pid| parent(*pid) == Some(of)).collect()
}
