//! The command that gives the local vault's key.
//!
//! Promises: it runs as [`Program`] has it, with the gateway's `PATH` and `HOME`, where tools of key services look for
//! themselves and their settings, and no other variable; nothing is on its standard input; what it says is bounded and
//! wiped; it has ten seconds, and what it started goes with it.
//! Held by: the tests below, and `tests/it/vault.rs`.

use crate::program::Program;
use portcullis_credentials::{Printed, Programs};
use secrecy::zeroize::Zeroizing;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs it.
#[derive(Debug)]
pub(super) struct KeyCommand;

impl Programs for KeyCommand {
    fn output<'a>(&'a self, words: &'a [Arc<str>], most: usize) -> Printed<'a> {
        Box::pin(said_by(words, most, PATIENCE))
    }
}

/// What a command prints, if it ends well and in time.
async fn said_by(words: &[Arc<str>], most: usize, patience: Duration) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let environment = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let program = Program::start(words, environment, (Stdio::null(), Stdio::piped()));
    let mut program = program.map_err(|_| "is not to be had: it cannot be started")?;
    let output = program.child.stdout.take().ok_or("cannot be read")?;
    // All of the room at once, so that nothing is left behind where a growing buffer was.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let run = async {
        output.take(most as u64).read_to_end(&mut bytes).await?;
        program.child.wait().await
    };
    match tokio::time::timeout(patience, run).await {
        Ok(Ok(status)) if status.success() => Ok(bytes),
        Ok(Ok(_)) => Err("is not used: it did not end well"),
        Ok(Err(_)) => Err("cannot be read"),
        Err(_) => Err("did not come in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::ends;
    use std::fs;

    async fn said(words: &[&str], patience: Duration) -> Result<String, &'static str> {
        let words: Vec<Arc<str>> = words.iter().map(|word| Arc::from(*word)).collect();
        let said = said_by(&words, 4096, patience).await;
        said.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_command_has_none_of_the_gateways_environment_but_path_and_home() {
        // Every test process has more.
        assert!(std::env::vars_os().count() > 2);
        let told = said(&["env"], PATIENCE).await.unwrap();
        let mut names: Vec<_> = told.lines().map(|line| line.split_once('=').unwrap().0).collect();
        names.sort_unstable();
        let own = ["HOME", "PATH"].into_iter().filter(|name| std::env::var_os(name).is_some());
        assert_eq!(names, own.collect::<Vec<_>>());
        assert!(told.contains(&format!("PATH={}\n", std::env::var("PATH").unwrap())), "{told}");
        // What a tool needs besides is said in its words.
        let told = said(&["env", "AWS_PROFILE=x", "sh", "-c", "echo $AWS_PROFILE"], PATIENCE).await;
        assert_eq!(told.as_deref(), Ok("x\n"));
    }

    #[tokio::test]
    async fn what_it_started_dies_with_it_when_it_ended_and_when_it_took_too_long() {
        let dir = tempfile::tempdir().unwrap();
        for (end, patience, expected) in
            [("echo key", PATIENCE, Ok("key\n")), ("wait", Duration::from_secs(2), Err("did not come in time"))]
        {
            let file = dir.path().join("pid");
            let script = format!("sleep 600 >/dev/null & echo $! > {0}.new; mv {0}.new {0}; {end}", file.display());
            let told = said(&["sh", "-c", &script], patience).await;
            assert_eq!(told.as_deref().map_err(|why| *why), expected);
            ends(&file).await;
            fs::remove_file(&file).unwrap();
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_says_too_much_or_nothing_says_why() {
        for (words, expected) in [
            (&["sh", "-c", "echo hunter2; exit 3"][..], Err("is not used: it did not end well")),
            // Never ends by itself; it ends with its pipe.
            (&["sh", "-c", "exec yes hunter2"], Err("is not used: it did not end well")),
            (&["sh", "-c", "cat"], Ok("")),
            (&["sh", "-c", "echo hunter2 >&2"], Ok("")),
            (&["/no/such/program", "hunter2"], Err("is not to be had: it cannot be started")),
            (&[], Err("is not to be had: it cannot be started")),
        ] {
            assert_eq!(said(words, PATIENCE).await.as_deref().map_err(|why| *why), expected, "{words:?}");
        }
        assert_eq!(said(&["sh", "-c", "head -c 4096 /dev/zero"], PATIENCE).await.unwrap().len(), 4096);
    }
}
