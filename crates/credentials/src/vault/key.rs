//! Where the vault's key comes from: a file, a passphrase, or a command that asks a key service for it.
//!
//! Promises: what a source gives is wiped when it was used, is in no error, and is refused where it is too short to keep
//! anything; a key file is made with 32 random bytes and mode 0600 where there is none, never overwritten, and refused
//! where others may read it; of a command no more is asked for than a key may be long.
//!
//! Does not promise that a passphrase is good. Runs no programs: the binary gives it [`Programs`], and ends what a command
//! started. Held by: `tests/vault.rs` of this crate.

use super::{private_file, unusable};
use crate::CredentialError;
use crate::source::PlainSource;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a key at most.
const LARGEST: u64 = 4096;

/// Bytes of a key at least: 128 bits where they are random.
const LEAST: usize = 16;

/// Bytes of a passphrase at least.
const LEAST_PASSPHRASE: usize = 12;

/// What [`Programs::output`] gives: what was printed, or why that is no key, in words that hold nothing of it.
pub type Printed<'a> = Pin<Box<dyn Future<Output = Result<Zeroizing<Vec<u8>>, &'static str>> + Send + 'a>>;

/// Runs key commands for this crate. It must take no shell, pass on nothing of the gateway's environment that could be a
/// secret, give nothing on standard input, bound the time, and end what the program started with the program.
pub trait Programs: fmt::Debug + Send + Sync + 'static {
    /// What this program prints, given its path or name and its arguments, where it ends well: at most so many bytes.
    fn output<'a>(&'a self, words: &'a [Arc<str>], most: usize) -> Printed<'a>;
}

/// Where the key is.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In this file, which is made where it is absent.
    File(PathBuf),
    /// A passphrase.
    Passphrase(PlainSource),
    /// What this program prints: its path or name, and its arguments; and what runs it.
    Command(Arc<[Arc<str>]>, Arc<dyn Programs>),
}

impl KeySource {
    /// The file that holds it.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Passphrase(source) => source.file(),
            Self::Command(..) => None,
        }
    }

    /// What the key is derived from.
    pub(super) async fn read(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let (mut bytes, least) = match self {
            Self::File(file) => (key_file(file)?, LEAST),
            Self::Passphrase(source) => (source.bytes().await?, LEAST_PASSPHRASE),
            Self::Command(words, programs) => {
                // Room for a line end, and for one byte that shows that it is too long.
                let most = usize::try_from(LARGEST + 3).unwrap_or(usize::MAX);
                let said = programs.output(words, most).await.map_err(|why| unusable(self.place(), why))?;
                (said, LEAST)
            }
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
            Self::Command(words, _) => format!("the output of `{}`", words.first().map_or("", |word| word)),
        }
    }
}

fn key_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    private_file(file, LARGEST)?.ok_or_else(|| CredentialError::Unreadable {
        file: file.display().to_string(),
        why: "there is no such key file".to_owned(),
    })
}
