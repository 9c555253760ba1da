//! The key that signs tokens and hashes what is kept of them.
//!
//! Promises: a key file is made with mode 0600 and never half written or overwritten, even by two processes at once; one
//! that others may read is refused. The key is wiped from memory when dropped and has no `Debug` form.
//! Held by: the tests below.

use crate::error::IdentityError;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

const LENGTH: usize = 32;

/// 256 random bits.
#[derive(Clone)]
pub struct TokenKey(Zeroizing<[u8; LENGTH]>);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// A fresh key.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        rand::fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key kept in this file, made on first use. Blocks: call it at start.
    ///
    /// # Errors
    /// [`IdentityError::Key`] when the file cannot be made or read, is not a key, or may be read by others.
    pub fn load_or_create(file: &Path) -> Result<Self, IdentityError> {
        let wrong = |why: String| IdentityError::Key { file: file.display().to_string(), why };
        match Self::load(file) {
            Ok(key) => return Ok(key),
            Err(LoadError::Missing) => {}
            Err(LoadError::Bad(why)) => return Err(wrong(why)),
        }
        Self::create(file).map_err(|error| wrong(error.to_string()))?;
        // Read back: another process may have won, and then its key is the one.
        match Self::load(file) {
            Ok(key) => Ok(key),
            Err(LoadError::Missing) => Err(wrong("it vanished".to_owned())),
            Err(LoadError::Bad(why)) => Err(wrong(why)),
        }
    }

    fn load(file: &Path) -> Result<Self, LoadError> {
        let mut opened = match fs::File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(LoadError::Missing),
            Err(error) => return Err(LoadError::Bad(error.to_string())),
        };
        let metadata = opened.metadata().map_err(|error| LoadError::Bad(error.to_string()))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(LoadError::Bad("others may read or write it; make its mode 0600".to_owned()));
        }
        if metadata.len() != LENGTH as u64 {
            return Err(LoadError::Bad(format!("a key is {LENGTH} bytes")));
        }
        let mut bytes = Zeroizing::new([0; LENGTH]);
        opened.read_exact(bytes.as_mut_slice()).map_err(|error| LoadError::Bad(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// Writes a fresh key beside its place, then links it there unless one is there already.
    fn create(file: &Path) -> std::io::Result<()> {
        let mut suffix = [0; 8];
        rand::fill(&mut suffix);
        let beside = file.with_extension(format!("{:016x}.new", u64::from_be_bytes(suffix)));
        let written = Self::write(&beside);
        let linked = written.and_then(|()| match fs::hard_link(&beside, file) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        let removed = fs::remove_file(&beside);
        // The name must outlive a crash too: tokens signed with a key that is gone are worth nothing.
        let kept = match file.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => fs::File::open(dir).and_then(|dir| dir.sync_all()),
            Some(_) | None => Ok(()),
        };
        linked.and(removed).and(kept)
    }

    fn write(beside: &Path) -> std::io::Result<()> {
        let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        made.write_all(Self::generate().0.as_slice())?;
        made.sync_all()
    }

    /// A key for another purpose, made from this one: as secret as it is, and telling nothing about it.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.mac(b"portcullis derived key v1", &[purpose.as_bytes()]))
    }

    /// HMAC-SHA-256 over a domain and parts. Each part must be of fixed length within its domain.
    pub(crate) fn mac(&self, domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        // The key has the block's length or less by type, so this cannot fail; a failure would give a MAC under the
        // empty key, which matches nothing stored.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
        mac.update(domain);
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

enum LoadError {
    Missing,
    Bad(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_read_back_by_everyone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| TokenKey::load_or_create(&file).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.0 == keys[0].0));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(!format!("{:?}", keys[0]).contains(&format!("{:?}", keys[0].0[0])) || keys[0].0[0] < 10);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open.key");
        TokenKey::load_or_create(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(TokenKey::load_or_create(&open).unwrap_err().to_string().contains("0600"));
        let short = dir.path().join("short.key");
        fs::write(&short, b"short").unwrap();
        fs::set_permissions(&short, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(TokenKey::load_or_create(&short).unwrap_err().to_string().contains("32 bytes"));
        assert_eq!(fs::read(&short).unwrap(), b"short", "what is there is not overwritten");
        assert!(TokenKey::load_or_create(&dir.path().join("no/such/token.key")).is_err());
    }
}
