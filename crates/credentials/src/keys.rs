//! Private SSH keys: those that backends are logged in to with, and the gateway's own (its host key, its authority).
//!
//! Promises: a [`PrivateKey`] is wiped when the last holder drops it and has no printed form but its fingerprint; only
//! Ed25519 and ECDSA keys that need no passphrase are taken, and what is wrong with another is said without quoting it;
//! a key of the gateway's own is made with mode 0600 and never half written or overwritten, even by two processes at
//! once, and one that others may read is refused.
//!
//! Does not promise that a target accepts the key, nor to read keys of hardware tokens: they sign by themselves.
//! Held by: `tests/keys.rs` beside this file.

use crate::CredentialError;
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey};
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a key file at most; an Ed25519 key has 400.
const LARGEST: u64 = 16 * 1024;

/// A private SSH key. Cheap to clone; every clone is the same key.
#[derive(Clone)]
pub struct PrivateKey(Arc<ssh_key::PrivateKey>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.fingerprint())
    }
}

impl PrivateKey {
    /// A fresh Ed25519 key.
    ///
    /// # Errors
    /// [`CredentialError::Unusable`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CredentialError> {
        let made = ssh_key::PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
        let made = made.map_err(|_| unusable("the system", "cannot be made: there are no random bytes"))?;
        Ok(Self(Arc::new(made)))
    }

    /// The gateway's own key in this file, made on first use with its directory. `comment` is what its public line
    /// ends with. Blocks: call it at start.
    ///
    /// # Errors
    /// [`CredentialError`] when it cannot be made or read, is no key, or may be read by others.
    pub fn load_or_create(file: &Path, comment: &str) -> Result<Self, CredentialError> {
        if let Some(key) = Self::load(file)? {
            return Ok(key);
        }
        create(file, comment)?;
        // Read back: another process may have won, and then its key is the one.
        Self::load(file)?.ok_or_else(|| unusable(&file.display().to_string(), "vanished"))
    }

    /// The gateway's own key in this file; `None` where there is no such file. Blocks.
    ///
    /// # Errors
    /// As [`PrivateKey::load_or_create`].
    pub fn load(file: &Path) -> Result<Option<Self>, CredentialError> {
        let place = file.display().to_string();
        let unreadable =
            |error: std::io::Error| CredentialError::Unreadable { file: place.clone(), why: error.to_string() };
        let opened = match fs::File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let metadata = opened.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unusable(&place, "is not in a plain file"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(unusable(&place, "may be used by others; make its mode 0600"));
        }
        // All of the room at once, so that no half of the key is left behind where a growing buffer was.
        let room = usize::try_from(LARGEST + 1).unwrap_or(usize::MAX);
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        opened.take(LARGEST + 1).read_to_end(&mut text).map_err(unreadable)?;
        Self::parse(&text).map(Some).map_err(|why| unusable(&place, why))
    }

    /// Reads a key as OpenSSH writes it. What is wrong with it is said without quoting it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if text.len() as u64 > LARGEST {
            return Err("is larger than 16 KiB");
        }
        let key = ssh_key::PrivateKey::from_openssh(text).map_err(|_| not_openssh(text))?;
        match key.key_data() {
            KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) => Ok(Self(Arc::new(key))),
            KeypairData::Encrypted(_) => {
                Err("is protected by a passphrase, which nobody could type here; take it off with `ssh-keygen -p`")
            }
            KeypairData::Rsa(_) => {
                Err("is an RSA key; only Ed25519 and ECDSA keys are used: `ssh-keygen -t ed25519` makes one")
            }
            KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => {
                Err("belongs to a hardware token, which the gateway has no way to ask")
            }
            // The library may learn more; those are not known to be good.
            _ => Err("is of a kind that is not used; `ssh-keygen -t ed25519` makes one that is"),
        }
    }

    /// Reads the key that a secret holds.
    pub(crate) fn of_secret(secret: &SecretString) -> Result<Self, &'static str> {
        // Line ends at the end were taken off with the secret; OpenSSH writes one.
        let text = Zeroizing::new([secret.expose_secret(), "\n"].concat());
        Self::parse(text.as_bytes())
    }

    /// The key itself, for whoever signs with it.
    #[must_use]
    pub const fn key(&self) -> &Arc<ssh_key::PrivateKey> {
        &self.0
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.0.public_key()
    }

    /// How logs name it: `SHA256:…` of its public half.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.public().fingerprint(HashAlg::Sha256).to_string()
    }
}

fn unusable(place: &str, why: &'static str) -> CredentialError {
    CredentialError::Unusable { place: place.to_owned(), why }
}

/// Why a text is not a key as OpenSSH writes it, as far as its first line tells.
fn not_openssh(text: &[u8]) -> &'static str {
    let begins = |with: &str| text.trim_ascii_start().starts_with(with.as_bytes());
    if begins("-----BEGIN OPENSSH") {
        return "is a damaged OpenSSH key, or one of a kind that is not used";
    }
    if begins("-----BEGIN") || begins("PuTTY") {
        return "is not in OpenSSH's own format; `ssh-keygen -p -f FILE` writes it so";
    }
    "is not a private SSH key"
}

/// Writes a fresh key beside its place, then links it there unless one is there already.
fn create(file: &Path, comment: &str) -> Result<(), CredentialError> {
    let mut made = ssh_key::PrivateKey::clone(PrivateKey::generate()?.key());
    made.set_comment(comment);
    let text = made.to_openssh(LineEnding::LF).map_err(|_| unusable("memory", "cannot be written out"))?;
    put(file, text.as_bytes())
        .map_err(|error| CredentialError::Unreadable { file: file.display().to_string(), why: error.to_string() })
}

fn put(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(dir) = dir {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut suffix = [0; 8];
    rand::fill(&mut suffix);
    let beside = file.with_extension(format!("{:016x}.new", u64::from_be_bytes(suffix)));
    let written = write(&beside, text);
    let linked = written.and_then(|()| match fs::hard_link(&beside, file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&beside);
    // The name must outlive a crash too: clients remember the host key, and targets the authority.
    let kept = dir.map_or(Ok(()), |dir| fs::File::open(dir).and_then(|dir| dir.sync_all()));
    linked.and(removed).and(kept)
}

fn write(beside: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    made.write_all(text)?;
    made.sync_all()
}
