//! The key that signs checkpoints (Ed25519, RFC 8032), in the file formats of C2SP signed notes.
//!
//! The secret file holds one line `PRIVATE+KEY+NAME+ID+BASE64`, mode 0600, in the data directory; beside it the same name with `.pub`
//! holds the verifier key `NAME+ID+BASE64`, which is what `sessions verify --key` takes and any signed-note tool reads. The name
//! is the log's origin and contains the log id, which is made from the public key.
//! Promises: the secret is never printed, is wiped when dropped, and a file that others may read is refused.

use crate::chain::LogId;
use crate::error::AuditError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use portcullis_model::Digest;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use zeroize::Zeroizing;

/// The signature type byte of Ed25519 in signed notes.
const ED25519: u8 = 1;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";
/// A key file is one short line.
const GREATEST_FILE: u64 = 1024;

/// The secret key of a log.
#[derive(Clone)]
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: VerifyingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public.to_string()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key in this file, or a fresh one put there (0600, with the public key beside it: `audit.key` has `audit.pub`).
    ///
    /// # Errors
    /// The file cannot be read or written, holds no key, or may be read by others.
    pub fn load_or_create(path: &Path) -> Result<Self, AuditError> {
        match Self::load(path) {
            Err(AuditError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// The key in this file.
    ///
    /// # Errors
    /// As [`SigningKey::load_or_create`], and that there is none.
    pub fn load(path: &Path) -> Result<Self, AuditError> {
        let bad = |why| AuditError::Key { path: path.display().to_string(), why };
        let failed = |source| AuditError::File { what: format!("reading the key {}", path.display()), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(bad("may be read by others; make it mode 0600"));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(GREATEST_FILE).read_to_string(&mut text).map_err(failed)?;
        let key = Self::parse(text.trim_end()).ok_or_else(|| bad("does not hold a key"))?;
        // Written again where it is missing: whoever verifies needs it, and it can always be made from the secret.
        let public = public_path(path);
        if !public.exists() {
            let failed = |source| AuditError::File { what: format!("writing {}", public.display()), source };
            std::fs::write(&public, format!("{}\n", key.public)).map_err(failed)?;
        }
        Ok(key)
    }

    /// Written to a name of its own and linked into place, so that a crash leaves no half of a key and of two that
    /// start at once one key wins for both.
    fn create(path: &Path) -> Result<(), AuditError> {
        let failed = |source| AuditError::File { what: format!("writing the key {}", path.display()), source };
        let key = Self::from_seed(&Zeroizing::new(rand::random()));
        let fresh = path.with_extension(format!("new-{}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(key.secret_text().as_bytes())?;
            file.sync_all()?;
            match std::fs::hard_link(&fresh, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        })();
        let removed = std::fs::remove_file(&fresh);
        written.and(removed).map_err(failed)
    }

    /// The key with this seed; for tests and for keys kept elsewhere.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifyingKey::new(secret.verifying_key());
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The log that this key signs.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.public.log
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.secret.sign(text).to_bytes()
    }

    fn secret_text(&self) -> Zeroizing<String> {
        let mut data = Zeroizing::new(vec![ED25519]);
        data.extend_from_slice(self.secret.as_bytes());
        let encoded = Zeroizing::new(STANDARD.encode(&*data));
        let VerifyingKey { name, id, .. } = &self.public;
        Zeroizing::new(format!("{SECRET_PREFIX}{name}+{}+{}\n", hex::encode(id), &*encoded))
    }

    fn parse(text: &str) -> Option<Self> {
        let (head, data) = text.strip_prefix(SECRET_PREFIX)?.rsplit_once_after_id()?;
        let data = Zeroizing::new(STANDARD.decode(data).ok()?);
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(data.strip_prefix(&[ED25519])?.try_into().ok()?);
        let key = Self::from_seed(&seed);
        let VerifyingKey { name, id, .. } = &key.public;
        (head == format!("{name}+{}", hex::encode(id))).then_some(key)
    }
}

/// Where the public key of a secret in `path` is.
fn public_path(path: &Path) -> PathBuf {
    path.with_extension("pub")
}

/// Base64 may hold `+`, so a key splits behind its second `+`.
trait SplitKey {
    fn rsplit_once_after_id(&self) -> Option<(&str, &str)>;
}

impl SplitKey for str {
    fn rsplit_once_after_id(&self) -> Option<(&str, &str)> {
        let name = self.find('+')?;
        let id = self.get(name + 1..)?.find('+')?;
        self.split_at_checked(name + 1 + id).and_then(|(head, data)| Some((head, data.strip_prefix('+')?)))
    }
}

/// The public key of a log: all that a verifier needs besides the record. Prints and parses as a signed-note verifier key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    key: ed25519_dalek::VerifyingKey,
    name: String,
    id: [u8; 4],
    log: LogId,
}

impl VerifyingKey {
    fn new(key: ed25519_dalek::VerifyingKey) -> Self {
        let log = LogId::of(key.as_bytes());
        let name = format!("portcullis/{log}");
        let hash = Digest::of_parts(&[name.as_bytes(), b"\n", &[ED25519], key.as_bytes()]);
        let mut id = [0; 4];
        for (byte, from) in id.iter_mut().zip(hash.as_bytes()) {
            *byte = *from;
        }
        Self { key, name, id, log }
    }

    /// The log that it verifies.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// The origin line of its checkpoints, and its name in signatures.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.name
    }

    /// The four bytes that go before a signature.
    pub(crate) const fn id(&self) -> &[u8; 4] {
        &self.id
    }

    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(text, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(data))
    }
}

/// The text is not a verifier key of a Portcullis log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier key of a log (NAME+ID+BASE64, as in the .pub file beside the signing key)")]
pub struct NotAKey;

impl FromStr for VerifyingKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (head, data) = text.rsplit_once_after_id().ok_or(NotAKey)?;
        let data = STANDARD.decode(data).map_err(|_| NotAKey)?;
        let public: &[u8; 32] =
            data.strip_prefix(&[ED25519]).and_then(|public| public.try_into().ok()).ok_or(NotAKey)?;
        let key = Self::new(ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| NotAKey)?);
        // The name and id are made from the key, so a name that says otherwise is somebody's mistake or trick.
        if head == format!("{}+{}", key.name, hex::encode(key.id)) { Ok(key) } else { Err(NotAKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        let made = SigningKey::load_or_create(&path).unwrap();
        let kept = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(made.public(), kept.public());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let public = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap();
        assert_eq!(public.parse::<VerifyingKey>().as_ref(), Ok(made.public()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        SigningKey::load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::load_or_create(&path), Err(AuditError::Key { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for cut in [0, 1, text.len() / 2, text.len() - 3] {
            std::fs::write(&path, &text[..cut]).unwrap();
            assert!(matches!(SigningKey::load_or_create(&path), Err(AuditError::Key { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn the_secret_is_never_printed() {
        let key = SigningKey::from_seed(&[0x5a; 32]);
        let shown = format!("{key:?} {key:#?}");
        let secret = key.secret_text();
        let data = secret.trim_end().rsplit('+').next().unwrap();
        assert!(!shown.contains(data) && !shown.contains("5a5a") && !shown.contains("90, 90"));
    }

    #[test]
    fn a_verifier_key_reads_back_and_a_changed_one_does_not() {
        // Seeds enough that the base64 of some hold a `+`.
        for seed in 0..40 {
            let public = SigningKey::from_seed(&[seed; 32]).public().clone();
            assert_eq!(public.to_string().parse(), Ok(public.clone()));
            let renamed = public.to_string().replacen("portcullis/", "someone/", 1);
            assert_eq!(renamed.parse::<VerifyingKey>(), Err(NotAKey));
        }
        for text in ["", "+", "++", "a+b", "a+b+c", "a+b+AQ=="] {
            assert_eq!(text.parse::<VerifyingKey>(), Err(NotAKey));
        }
    }
}
