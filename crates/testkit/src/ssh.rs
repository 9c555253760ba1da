//! A real OpenSSH server for tests and for the demo.
//!
//! Promises: it listens on a random loopback port as the account of [`crate::account`], so that whoever logs in has that
//! account's rights and no more; host key, login key and configuration are made for it, nothing of the machine's own SSH
//! configuration is read or changed; it ends with the process that started it. [`Sshd::directory`] belongs to the account
//! and is where tests put files. Without OpenSSH's server it is [`TestkitError::Absent`].
//! Does not promise a home of its own: sessions start in the account's home, which tests leave alone.
//! Held by: `tests/it/ssh.rs` of the binary, which runs its clients against it.

use crate::account::Account;
use crate::error::TestkitError;
use crate::listening::free_port;
use crate::process::{Launch, ReadyOn, Supervised, run};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Where distributions put the server and its file transfer program.
const SERVERS: &[&str] = &["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/// A running server.
pub struct Sshd {
    account: Account,
    directory: PathBuf,
    port: u16,
    user: String,
    host_key: String,
    process: Supervised,
}

impl Sshd {
    /// The server that all tests of this binary share.
    ///
    /// # Errors
    /// The first start's error, each time.
    pub fn shared() -> Result<&'static Self, &'static TestkitError> {
        static SHARED: OnceLock<Result<Sshd, TestkitError>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[])).as_ref()
    }

    /// Starts one, with these further lines of `sshd_config`.
    ///
    /// # Errors
    /// [`TestkitError`]; [`TestkitError::Absent`] where the machine has no OpenSSH server.
    pub fn start(settings: &[&str]) -> Result<Self, TestkitError> {
        let program = SERVERS.iter().map(Path::new).find(|path| path.exists());
        let program = program.ok_or_else(|| TestkitError::Absent("sshd (package openssh-server)".to_owned()))?;
        let account = Account::for_servers()?;
        let directory = account.make_directory("pc-ssh-")?;
        for name in ["host_key", "client_key"] {
            keygen(&directory.join(name))?;
        }
        let user = account.name()?;
        let port = free_port()?;
        let configuration = configuration(&directory, port, settings);
        let files = [("sshd_config", configuration.as_str())];
        for (name, text) in files {
            std::fs::write(directory.join(name), text).map_err(TestkitError::io("write sshd_config"))?;
        }
        for name in ["host_key", "client_key.pub", "sshd_config"] {
            account.give(&directory.join(name))?;
        }
        let mut server = account.command(program);
        server.arg("-D").arg("-e").arg("-f").arg(directory.join("sshd_config")).current_dir(&directory);
        let process = Supervised::start(Launch {
            command: server,
            name: "sshd",
            directory: &directory,
            garbage: Some(&directory),
            stop_signal: "TERM",
            ready_on: ReadyOn::Stderr,
            ready: "Server listening on",
            patience: Duration::from_secs(30),
        })?;
        let host_key = first_words(&directory.join("host_key.pub"))?;
        Ok(Self { account, directory, port, user, host_key, process })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Who logs in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The private key that it lets in, for the gateway's configuration and for direct clients.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.directory.join("client_key")
    }

    /// Its host key, as it stands in `known_hosts`: type and key.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// A directory that its sessions may write to; removed with the server.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs lines of sh in [`Self::directory`] as the account, not over SSH: to lay out what its sessions find there.
    ///
    /// # Errors
    /// [`TestkitError`], with what the lines printed.
    pub fn run(&self, lines: &str) -> Result<String, TestkitError> {
        run(self.account.command(Path::new("/bin/sh")).args(["-ec", lines]).current_dir(&self.directory))
    }

    /// Whether its sessions can have a terminal. A server that is not root cannot hand one to its account where `/dev/pts`
    /// is mounted without a group for terminals, as in some containers; it then drops the session.
    ///
    /// # Errors
    /// [`TestkitError::Io`] without a client.
    pub fn gives_terminals(&self) -> Result<bool, TestkitError> {
        let known = self.directory.join("known_hosts");
        std::fs::write(&known, format!("[127.0.0.1]:{} {}\n", self.port, self.host_key))
            .map_err(TestkitError::io("write known_hosts"))?;
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-tt", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known.display())).arg("-i").arg(self.client_key());
        ssh.arg("-p").arg(self.port.to_string()).arg(format!("{}@127.0.0.1", self.user)).arg("true");
        match run(&mut ssh) {
            Ok(_) => Ok(true),
            Err(TestkitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The connection to it, as YAML flow.
    #[must_use]
    pub fn connection(&self) -> String {
        format!(
            "{{ protocol: ssh, address: \"{}\", username: \"{}\", private_key: {{ file: \"{}\" }}, host_key: \"{}\" }}",
            self.address(),
            self.user,
            self.client_key().display(),
            self.host_key,
        )
    }

    /// What it logged.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.process.log_text()
    }

    /// The running program, for signals.
    #[must_use]
    pub const fn process(&self) -> &Supervised {
        &self.process
    }
}

/// Makes an Ed25519 key pair at `path` and `path.pub`.
///
/// # Errors
/// [`TestkitError`] without `ssh-keygen`.
pub fn keygen(path: &Path) -> Result<(), TestkitError> {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "portcullis-test", "-f"]).arg(path))?;
    Ok(())
}

/// Type and key of a public key file.
///
/// # Errors
/// [`TestkitError::Io`].
pub fn first_words(path: &Path) -> Result<String, TestkitError> {
    let text = std::fs::read_to_string(path).map_err(TestkitError::io("read a public key"))?;
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

fn configuration(directory: &Path, port: u16, settings: &[&str]) -> String {
    let at = directory.display();
    let mut text = String::new();
    // What a test says first wins, as sshd reads it.
    for line in settings {
        let _written = writeln!(text, "{line}");
    }
    let _written = write!(
        text,
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/client_key.pub\n\
         PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PrintMotd no\nPrintLastLog no\nAcceptEnv *\nMaxStartups 200\nMaxSessions 100\nSubsystem sftp internal-sftp\n\
         LogLevel INFO\n"
    );
    text
}

/// A file that only its owner may read, as `ssh` wants its keys.
///
/// # Errors
/// [`TestkitError::Io`].
pub fn make_private(path: &Path) -> Result<(), TestkitError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(TestkitError::io("make a file private"))
}
