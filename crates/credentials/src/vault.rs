//! The local vault: secrets by name in one encrypted file of the gateway's own.
//!
//! Promises: the file is one sealed box, so that no value can be moved to another name, taken out or cut off without the
//! whole being refused; it is replaced at once or not at all, is 0600, and is written by one process at a time; a running
//! gateway reads it anew for every lease, and refuses one that is older than it has seen or is another vault; a key that
//! opened it is derived once and wiped with the process's last holder; one that did not is asked for anew.
//!
//! Does not promise to notice that an older file was put back while no gateway ran, nor to keep names and values from who
//! has both the file and the key: whoever is the gateway is such a one. The length of all values together shows, to within
//! a kilobyte.
//! Held by: the tests below, `tests/vault.rs` beside this crate's other tests, and end to end by `tests/it/vault.rs` of
//! `portcullis`.

mod key;
mod sealed;

pub use key::{KeySource, Printed, Programs};

use crate::CredentialError;
use arc_swap::ArcSwapOption;
use sealed::{Header, Key, LONGEST_NAME, Secrets};
use secrecy::SecretString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Bytes of the file at most.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The vault that a gateway reads, and the command line writes. Share it: it remembers the key and what it has seen.
pub struct Vault {
    file: PathBuf,
    source: KeySource,
    /// The key that opened or made a file last, and which file.
    derived: ArcSwapOption<Key>,
    /// One derivation at a time: each takes 64 MiB.
    turn: Semaphore,
    /// The newest file that was opened.
    newest: ArcSwapOption<Header>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.file.display())
    }
}

impl Vault {
    /// The vault in this file, under the key from there. Neither is looked at yet.
    #[must_use]
    pub fn new(file: PathBuf, source: KeySource) -> Self {
        let (derived, newest) = (ArcSwapOption::empty(), ArcSwapOption::empty());
        Self { file, source, derived, turn: Semaphore::new(1), newest }
    }

    /// Where it is.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The file that its key is in, or comes from.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.source.file()
    }

    /// This secret, as it is in the file now.
    ///
    /// # Errors
    /// [`CredentialError`] where the file, the key or the name is not there, or the file is not to be trusted.
    pub async fn read(&self, name: &str) -> Result<SecretString, CredentialError> {
        let secrets = self.open().await?;
        let place = || format!("{name} of the vault {}", self.file.display());
        let Some(value) = secrets.get(name) else { return Err(CredentialError::NotInVault(name.into())) };
        let text = std::str::from_utf8(value).map_err(|_| unusable(place(), "is not UTF-8 text"))?;
        Ok(SecretString::from(text))
    }

    /// The names in it, sorted; none where there is no file yet.
    ///
    /// # Errors
    /// As [`Vault::read`].
    pub async fn names(&self) -> Result<Vec<String>, CredentialError> {
        match fs::exists(&self.file) {
            Ok(false) => Ok(Vec::new()),
            Ok(true) | Err(_) => Ok(self.open().await?.names().map(str::to_owned).collect()),
        }
    }

    /// Puts a secret in, in the place of one of that name. Makes the file, and a key file, where there is none.
    ///
    /// # Errors
    /// [`CredentialError`]; then nothing has changed.
    pub async fn set(&self, name: &str, value: &[u8]) -> Result<(), CredentialError> {
        if !is_name(name) {
            return Err(unusable("this call".to_owned(), "has a name that no configuration could mention"));
        }
        self.change(|secrets| secrets.with(name, value)).await
    }

    /// Takes a secret out.
    ///
    /// # Errors
    /// [`CredentialError::NotInVault`] where it is not in there; then nothing has changed.
    pub async fn remove(&self, name: &str) -> Result<(), CredentialError> {
        if !fs::exists(&self.file).map_err(|error| self.unreadable(&error))? {
            return Err(CredentialError::NotInVault(name.into()));
        }
        self.change(|secrets| {
            secrets.get(name).ok_or_else(|| CredentialError::NotInVault(name.into()))?;
            secrets.without(name)
        })
        .await
    }

    async fn change(
        &self,
        change: impl FnOnce(&Secrets) -> Result<Secrets, CredentialError>,
    ) -> Result<(), CredentialError> {
        let _alone = self.alone()?;
        let (header, secrets) = if fs::exists(&self.file).map_err(|error| self.unreadable(&error))? {
            let secrets = self.open().await?;
            let newest = self.newest.load_full();
            let newest = newest.ok_or_else(|| self.damaged("cannot be followed"))?;
            (newest.next().ok_or_else(|| self.damaged("has been written too often"))?, secrets)
        } else {
            self.source.make_if_absent()?;
            (Header::fresh(), Secrets::empty())
        };
        let changed = change(&secrets)?;
        self.with_key(&header, |key| {
            let sealed = changed.seal(&header, key).map_err(|why| self.damaged(why))?;
            if sealed.len() as u64 > LARGEST {
                return Err(self.damaged("would be larger than 4 MiB"));
            }
            replace(&self.file, &sealed).map_err(|error| self.unreadable(&error))
        })
        .await
    }

    /// Everything in the file as it is now.
    async fn open(&self) -> Result<Secrets, CredentialError> {
        let opened = self.opened().await?;
        self.newest_of(opened).await
    }

    /// The file as it is now, and what is in it, whatever was opened before.
    async fn opened(&self) -> Result<(Header, Secrets), CredentialError> {
        let mut bytes = self.bytes().await?;
        let (header, body) = Header::parse(&mut bytes).ok_or_else(|| self.damaged("is not a vault"))?;
        let why = "does not open: this is not its key, or the file was altered";
        let open = |key: &Key| Secrets::open(&header, body, key).map_err(|()| self.damaged(why));
        let secrets = self.with_key(&header, open).await?;
        Ok((header, secrets))
    }

    /// This, unless the file is older than one that was opened before.
    async fn newest_of(&self, (header, secrets): (Header, Secrets)) -> Result<Secrets, CredentialError> {
        if self.follows(header) {
            return Ok(secrets);
        }
        // While this one was read, somebody else may have read what was written then.
        let (header, secrets) = self.opened().await?;
        if self.follows(header) {
            return Ok(secrets);
        }
        Err(self.damaged("is older than it was, or another; if that is meant, restart the gateway"))
    }

    /// Remembers a file that was opened, unless it is older than one that was opened before: then `false`.
    fn follows(&self, header: Header) -> bool {
        let header = Arc::new(header);
        let newest = self.newest.rcu(|newest| match newest {
            Some(newest) if !header.follows(newest) => Some(Arc::clone(newest)),
            Some(_) | None => Some(Arc::clone(&header)),
        });
        newest.is_none_or(|newest| header.follows(&newest))
    }

    async fn bytes(&self) -> Result<Vec<u8>, CredentialError> {
        let metadata = tokio::fs::metadata(&self.file).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => self.damaged("is not there; `portcullis secrets set` makes it"),
            _ => self.unreadable(&error),
        })?;
        if !metadata.is_file() {
            return Err(self.damaged("is not a plain file"));
        }
        let file = tokio::fs::File::open(&self.file).await.map_err(|error| self.unreadable(&error))?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).await.map_err(|error| self.unreadable(&error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(self.damaged("is larger than 4 MiB"));
        }
        Ok(bytes)
    }

    /// Does this with the key of a file with this header. Only a key with which that went well is kept: another may be
    /// put right while the gateway runs.
    async fn with_key<T>(
        &self,
        header: &Header,
        done: impl FnOnce(&Key) -> Result<T, CredentialError>,
    ) -> Result<T, CredentialError> {
        let known = || self.derived.load_full().filter(|key| key.is_of(header));
        if let Some(key) = known() {
            return done(&key);
        }
        let _turn = self.turn.acquire().await.map_err(|_| self.damaged("is closed"))?;
        if let Some(key) = known() {
            return done(&key);
        }
        let material = self.source.read().await?;
        let salt = header.salt();
        let derived = tokio::task::spawn_blocking(move || Key::derive(&material, salt)).await;
        let key = derived.ok().flatten().ok_or_else(|| self.damaged("has a key that cannot be derived"))?;
        let done = done(&key)?;
        self.derived.store(Some(Arc::new(key)));
        Ok(done)
    }

    /// Keeps other writers out until it is dropped.
    fn alone(&self) -> Result<fs::File, CredentialError> {
        let lock = || {
            if let Some(dir) = directory(&self.file) {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            let beside = self.file.with_extension("lock");
            let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside)?;
            lock.lock()?;
            Ok(lock)
        };
        lock().map_err(|error: std::io::Error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &std::io::Error) -> CredentialError {
        CredentialError::Unreadable { file: self.file.display().to_string(), why: error.to_string() }
    }

    fn damaged(&self, why: &'static str) -> CredentialError {
        CredentialError::Vault { file: self.file.display().to_string(), why }
    }
}

/// Whether a secret of the local vault may have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(plain)
}

fn unusable(place: String, why: &'static str) -> CredentialError {
    CredentialError::Unusable { place, why }
}

fn directory(file: &Path) -> Option<&Path> {
    file.parent().filter(|dir| !dir.as_os_str().is_empty())
}

/// Writes beside the file, then puts that in its place: it is the old one or the new one, after a crash too.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut suffix = [0; 8];
    rand::fill(&mut suffix);
    let beside = file.with_extension(format!("{:016x}.new", u64::from_be_bytes(suffix)));
    let written = || {
        let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        made.write_all(bytes)?;
        made.sync_all()?;
        fs::rename(&beside, file)
    };
    written().inspect_err(|_| {
        // What is left of it holds nothing that can be read without the key.
        let _gone = fs::remove_file(&beside);
    })?;
    directory(file).map_or(Ok(()), |dir| fs::File::open(dir).and_then(|dir| dir.sync_all()))
}

/// What is in a small file that only its owner may use; `None` where there is none.
fn private_file(file: &Path, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, CredentialError> {
    let place = || file.display().to_string();
    let unreadable = |error: std::io::Error| CredentialError::Unreadable { file: place(), why: error.to_string() };
    // Asked before it is opened: opening a pipe that nobody writes to would not return.
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !metadata.is_file() {
        return Err(unusable(place(), "is not in a plain file"));
    }
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(unusable(place(), "may be used by others; make its mode 0600"));
    }
    let room = usize::try_from(most + 1).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let mut rest = std::io::Read::take(fs::File::open(file).map_err(unreadable)?, most + 1);
    std::io::Read::read_to_end(&mut rest, &mut bytes).map_err(unreadable)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[tokio::test]
    async fn what_was_written_while_a_file_was_read_is_no_older_vault() {
        let dir = tempfile::tempdir().unwrap();
        let vault = || Vault::new(dir.path().join("secrets.vault"), KeySource::File(dir.path().join("vault.key")));
        let (writer, reader) = (vault(), vault());
        writer.set("shop", b"first").await.unwrap();
        let slow = reader.opened().await.unwrap();
        writer.set("shop", b"second").await.unwrap();
        assert_eq!(reader.read("shop").await.unwrap().expose_secret(), "second");
        let secrets = reader.newest_of(slow).await.unwrap();
        assert_eq!(secrets.get("shop"), Some(&b"second"[..]));
    }
}
