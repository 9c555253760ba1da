//! Which operating-system account a server runs as: ours, unless we are root, which PostgreSQL refuses and an SSH server
//! would give to whoever logs in; then `postgres` where that account exists, else `nobody`. Files made for the server are given to it.
//!
//! Does not promise isolation: this is about what the server accepts, not about confining it.
//! Held by: every test that starts a server, as root (containers) and as a user.

use crate::error::TestkitError;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An account to run as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Name, user id and group id; `None` is our own.
    other: Option<(String, u32, u32)>,
}

impl Account {
    /// The account that servers run as.
    pub(crate) fn for_servers() -> Result<Self, TestkitError> {
        let us = std::fs::metadata("/proc/self").map_err(TestkitError::io("look up our own user"))?.uid();
        if us != 0 {
            return Ok(Self { other: None });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(TestkitError::io("read /etc/passwd"))?;
        for wanted in ["postgres", "nobody"] {
            for line in passwd.lines() {
                let mut fields = line.split(':');
                let (name, _password) = (fields.next(), fields.next());
                let ids = fields.next().zip(fields.next()).and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
                if let (true, Some((user, group))) = (name == Some(wanted), ids) {
                    return Ok(Self { other: Some((wanted.to_owned(), user, group)) });
                }
            }
        }
        Err(TestkitError::Absent("an account other than root to run a server as".to_owned()))
    }

    /// A command that runs as this account.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some((name, _, group)) = &self.other else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={name}")).arg(format!("--regid={group}")).arg("--init-groups").arg(program);
        command.env("HOME", "/").env_remove("XDG_RUNTIME_DIR");
        command
    }

    /// Its name.
    pub(crate) fn name(&self) -> Result<String, TestkitError> {
        if let Some((name, ..)) = &self.other {
            return Ok(name.clone());
        }
        Ok(crate::process::run(Command::new("id").arg("-un"))?.trim().to_owned())
    }

    /// Whether the account can run this program.
    pub(crate) fn can_run(&self, program: &Path) -> bool {
        crate::process::run(self.command(program).arg("--version").current_dir("/")).is_ok()
    }

    /// Gives a file or directory to the account.
    pub(crate) fn give(&self, path: &Path) -> Result<(), TestkitError> {
        match &self.other {
            None => Ok(()),
            Some((_, user, group)) => std::os::unix::fs::chown(path, Some(*user), Some(*group))
                .map_err(TestkitError::io(format!("give {} to the server's account", path.display()))),
        }
    }

    /// A new directory under the system's temporary directory that belongs to the account. Others may pass through it
    /// to the socket, not list it. The name stays short: a Unix socket's path has at most 107 bytes.
    pub(crate) fn make_directory(&self, prefix: &str) -> Result<PathBuf, TestkitError> {
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(std::fs::Permissions::from_mode(0o711))
            .tempdir()
            .map_err(TestkitError::io("make a directory"))?
            .keep();
        self.give(&directory)?;
        Ok(directory)
    }
}
