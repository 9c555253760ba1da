//! Where the vault's key comes from: a file, a passphrase, or a command that asks a key service for it.
//!
//! Promises: what a source gives is wiped when it was used, is in no error, and is refused where it is too short to keep
//! anything; a key file is made with 32 random bytes and mode 0600 where there is none, never overwritten, and refused
//! where others may read it; a command runs without a shell, is given nothing on its standard input, may say so many bytes
//! in so much time, and is killed when it does not end.
//!
//! Does not promise that a passphrase is good, nor to end what a command started and left behind.
//! Held by: the tests of `vault` beside.

use super::{private_file, unusable};
use crate::CredentialError;
use crate::source::PlainSource;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

/// Bytes of a key at most.
const LARGEST: u64 = 4096;

/// Bytes of a key at least: 128 bits where they are random.
const LEAST: usize = 16;

/// Bytes of a passphrase at least.
const LEAST_PASSPHRASE: usize = 12;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In this file, which is made where it is absent.
    File(PathBuf),
    /// A passphrase.
    Passphrase(PlainSource),
    /// What this program prints: its path or name, and its arguments.
    Command(Arc<[Arc<str>]>),
}

impl KeySource {
    /// The file that holds it.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Passphrase(source) => source.file(),
            Self::Command(_) => None,
        }
    }

    /// What the key is derived from.
    pub(super) async fn read(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let (mut bytes, least) = match self {
            Self::File(file) => (key_file(file)?, LEAST),
            Self::Passphrase(source) => (source.bytes().await?, LEAST_PASSPHRASE),
            Self::Command(words) => (said_by(words, PATIENCE).await?, LEAST),
        };
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        match bytes.len() {
            length if length < least => Err(unusable(self.place(), "is too short to be a key")),
            length if length as u64 > LARGEST => Err(unusable(self.place(), "is larger than 4 KiB")),
            _ => Ok(bytes),
        }
    }

    /// Makes the key file where it is to be one and is absent.
    pub(super) fn make_if_absent(&self) -> Result<(), CredentialError> {
        let Self::File(file) = self else { return Ok(()) };
        let made = || {
            if let Some(dir) = super::directory(file) {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            let mut key = Zeroizing::new([0_u8; 32]);
            rand::fill(&mut *key);
            let mut text = Zeroizing::new(String::with_capacity(65));
            for byte in key.iter() {
                for digit in [byte >> 4, byte & 15] {
                    text.extend(char::from_digit(u32::from(digit), 16));
                }
            }
            text.push('\n');
            made.write_all(text.as_bytes())?;
            made.sync_all()?;
            super::directory(file).map_or(Ok(()), |dir| fs::File::open(dir).and_then(|dir| dir.sync_all()))
        };
        match made() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(|error| CredentialError::Unreadable {
                file: file.display().to_string(),
                why: error.to_string(),
            }),
        }
    }

    /// How errors name it. Of a command only the program: its arguments are somebody's own.
    fn place(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Passphrase(source) => source.place(),
            Self::Command(words) => command_place(words),
        }
    }
}

fn command_place(words: &[Arc<str>]) -> String {
    format!("the output of `{}`", words.first().map_or("", |word| word))
}

fn key_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    private_file(file, LARGEST)?.ok_or_else(|| CredentialError::Unreadable {
        file: file.display().to_string(),
        why: "there is no such key file".to_owned(),
    })
}

/// What a command prints, if it ends well and in time.
async fn said_by(words: &[Arc<str>], patience: Duration) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let failed = |why| unusable(command_place(words), why);
    let (program, arguments) = words.split_first().ok_or_else(|| failed("is nothing: there is no command"))?;
    let mut command = Command::new(&**program);
    command.args(arguments.iter().map(|word| &**word));
    // What it says on standard error might hold the key, and would be in the log.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|_| failed("is not to be had: it cannot be started"))?;
    let output = child.stdout.take().ok_or_else(|| failed("cannot be read"))?;
    let room = usize::try_from(LARGEST + 3).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let run = async {
        output.take(LARGEST + 3).read_to_end(&mut bytes).await?;
        child.wait().await
    };
    match tokio::time::timeout(patience, run).await {
        Ok(Ok(status)) if status.success() => Ok(bytes),
        Ok(Ok(_)) => Err(failed("is not used: it did not end well")),
        Ok(Err(_)) => Err(failed("cannot be read")),
        Err(_) => {
            // It may be gone by now; it is waited for either way.
            let _killed = child.kill().await;
            Err(failed("did not come in time"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 1000", pid.display());
        let words = ["sh", "-c", &script].map(Arc::from);
        let error = said_by(&words, Duration::from_millis(500)).await.unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
        // A machine too busy to start it within that time proves nothing more.
        if let Ok(pid) = fs::read_to_string(pid) {
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone and was waited for");
        }
    }
}
