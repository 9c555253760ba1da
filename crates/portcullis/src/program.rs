//! Programs that the gateway runs beside itself: a notifier's command, and the one that gives the vault's key.
//!
//! Promises: no shell, nothing of the gateway's environment but what is named, and nothing of standard error, which might
//! hold a secret; a program is the leader of a process group, and all of that is killed when [`Program`] is dropped: when
//! it ended as when it took too long. What it is given and may say, and for how long, is up to whoever starts it.
//!
//! Does not promise to end what made a process group of its own (`setsid`).
//! Held by: the tests of `notify/send.rs` and `assemble/key_command.rs`.

use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::{Child, Command};

/// One that runs.
pub(crate) struct Program {
    // First, so that the group is killed before its leader is: the number is nobody else's then.
    _group: Group,
    pub(crate) child: Child,
}

impl Program {
    /// Starts the first of these words with the others.
    pub(crate) fn start(
        words: &[Arc<str>],
        environment: impl IntoIterator<Item = (&'static str, OsString)>,
        (stdin, stdout): (Stdio, Stdio),
    ) -> Result<Self, Error> {
        let (program, rest) = words.split_first().ok_or(ErrorKind::NotFound)?;
        let mut command = Command::new(&**program);
        command.args(rest.iter().map(|word| &**word));
        // What the gateway has in its environment may be secrets.
        command.env_clear().envs(environment).process_group(0);
        let child = command.stdin(stdin).stdout(stdout).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        Ok(Self { _group: Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed()))), child })
    }
}

/// What a program started, killed when nobody waits for it any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nothing is left of most.
            let _none = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Whether a process that wrote its number to this file is dead: waits for that.
#[cfg(test)]
pub(crate) async fn ends(file: &std::path::Path) {
    let begun = std::time::Instant::now();
    let child = std::fs::read_to_string(file).unwrap();
    let status = std::path::Path::new("/proc").join(child.trim()).join("stat");
    // A killed process may be there until somebody takes note of it.
    while std::fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "the child lives");
        tokio::task::yield_now().await;
    }
}
