//! Where a secret is, and reading it.
//!
//! Promises: at most [`LARGEST`] bytes are read, from a plain file only (a pipe or device could stall a login or never
//! end); every buffer on the way is wiped. Held by: the crate's tests, and `tests/it/standing_secrets.rs` of the binary.

use crate::CredentialError;
use crate::keys::PrivateKey;
use crate::server::{Server, ServerFault};
use crate::vault::Vault;
use secrecy::SecretString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a secret at most.
const LARGEST: u64 = 64 * 1024;

/// Where a secret is that no vault keeps: what vaults themselves are opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainSource {
    /// In this environment variable of the gateway.
    Env(Arc<str>),
    /// In this file.
    File(PathBuf),
}

impl PlainSource {
    /// Its bytes now.
    pub(crate) async fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        match self {
            Self::Env(name) => from_environment(name),
            Self::File(path) => from_file(path).await,
        }
    }

    /// Reads it now.
    pub(crate) async fn read(&self) -> Result<SecretString, CredentialError> {
        secret(self.bytes().await?).map_err(|why| CredentialError::Unusable { place: self.place(), why })
    }

    /// The file that it is in.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// How errors name it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("environment variable {name}"),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In this environment variable of the gateway.
    Env(Arc<str>),
    /// In this file.
    File(PathBuf),
    /// In the local vault, under this name.
    Vault(Arc<str>),
    /// On the vault server, in this secret of a KV engine (version 2): this field.
    Server {
        /// As `MOUNT/data/PATH`.
        path: Arc<str>,
        /// Which of its fields.
        field: Arc<str>,
    },
}

/// Where secrets are looked for besides files and variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The local vault.
    pub(crate) vault: Option<Arc<Vault>>,
    /// The vault server.
    pub(crate) server: Option<Arc<Server>>,
}

impl Places {
    pub(crate) fn server(&self) -> Result<&Arc<Server>, CredentialError> {
        self.server.as_ref().ok_or(CredentialError::Server { path: "".into(), why: ServerFault::None })
    }
}

impl SecretSource {
    /// Reads it now.
    pub(crate) async fn read(&self, places: &Places) -> Result<SecretString, CredentialError> {
        let bytes = match self {
            Self::Env(name) => from_environment(name)?,
            Self::File(path) => from_file(path).await?,
            Self::Vault(name) => {
                let vault = places.vault.as_ref().ok_or_else(|| CredentialError::NotInVault(Arc::clone(name)))?;
                return vault.read(name).await;
            }
            Self::Server { path, field } => return places.server()?.read(path, field).await,
        };
        secret(bytes).map_err(|why| CredentialError::Unusable { place: self.place(), why })
    }

    /// Reads it now, as a private SSH key.
    pub(crate) async fn read_key(&self, places: &Places) -> Result<PrivateKey, CredentialError> {
        let secret = self.read(places).await?;
        PrivateKey::of_secret(&secret).map_err(|why| CredentialError::Unusable { place: self.place(), why })
    }

    /// The file that it is in.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) | Self::Vault(_) | Self::Server { .. } => None,
        }
    }

    /// How errors name it.
    fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("environment variable {name}"),
            Self::File(path) => path.display().to_string(),
            Self::Vault(name) => format!("`{name}` of the vault"),
            Self::Server { path, field } => format!("`{field}` of {path} on the vault server"),
        }
    }
}

fn from_environment(name: &Arc<str>) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::env::var_os(&**name).ok_or_else(|| CredentialError::NotSet(Arc::clone(name)))?;
    Ok(Zeroizing::new(value.into_vec()))
}

async fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let unreadable = |error: std::io::Error| CredentialError::Unreadable {
        file: path.display().to_string(),
        why: error.to_string(),
    };
    let unusable = |why| CredentialError::Unusable { place: path.display().to_string(), why };
    // Asked before it is opened: opening a pipe that nobody writes to would not return.
    if !tokio::fs::metadata(path).await.map_err(unreadable)?.is_file() {
        return Err(unusable("is not in a plain file"));
    }
    // Not by tokio's file, which reads into a buffer of its own and does not wipe it.
    let plain = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(plain)?;
        // All of the room at once, so that no half of the secret is left behind where a growing buffer was.
        let room = usize::try_from(LARGEST + 1).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let mut bytes = read.await.map_err(std::io::Error::other).flatten().map_err(unreadable)?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

pub(crate) fn secret(mut bytes: Zeroizing<Vec<u8>>) -> Result<SecretString, &'static str> {
    if bytes.is_empty() {
        return Err("is empty");
    }
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 64 KiB");
    }
    if bytes.contains(&0) {
        return Err("holds a NUL byte");
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8 text")?;
    // An exact copy, so that boxing it moves nothing and leaves nothing behind.
    let secret = SecretString::from(text);
    bytes.zeroize();
    Ok(secret)
}

/// What is wrong with who may read or write a file that holds a secret; `None` where nothing is, or where it cannot be
/// read at all, which the lease will say.
#[must_use]
pub fn file_warning(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let whom = match (mode & 0o007, mode & 0o070) {
        (0, 0) => return None,
        (0, _) => "its group",
        _ => "everybody",
    };
    Some(format!("{} may be used by {whom} (mode {:04o}); make it 0600", path.display(), mode & 0o7777))
}
