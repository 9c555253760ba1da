//! The form of the vault's file: what stands in front, and the sealed box behind it.
//!
//! ```text
//! "portcullis vault 1\n"  salt (16)  id (16)  generation (8, big endian)  nonce (24)  box
//! ```
//! The box is XChaCha20-Poly1305 with everything before it as associated data. Its key is Argon2id (64 MiB, 3 passes, one
//! lane) of whatever the key source gives, so that a weak passphrase is slow to guess; the figures belong to the form and
//! are not read from the file, where they could be set to exhaust the reader. In the box: a count, then each name and value
//! behind its length, then zeros up to a whole kilobyte.
//!
//! Promises: only what was sealed whole under this key opens; every seal has a nonce of its own; what was opened is wiped.
//! Held by: the tests of `vault` beside.

use crate::CredentialError;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const MAGIC: &[u8; 19] = b"portcullis vault 1\n";
const SALT: usize = 16;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Of Argon2id: KiB of memory, passes, lanes.
const COST: (u32, u32, u32) = (64 * 1024, 3, 1);

/// What the length of the box is a multiple of, but for its tag.
const STEP: usize = 1024;

/// Bytes of a name at most.
pub(super) const LONGEST_NAME: usize = 128;

/// Bytes of a value at most, as of a secret anywhere.
const LONGEST: usize = 64 * 1024;

/// What stands in front of the box but for the nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    salt: [u8; SALT],
    id: [u8; 16],
    generation: u64,
    nonce: [u8; NONCE],
}

impl Header {
    /// Of a vault that is made now.
    pub(super) fn fresh() -> Self {
        Self { salt: random(), id: random(), generation: 1, nonce: random() }
    }

    /// Of what is written after this one; `None` where that can not be counted any more.
    pub(super) fn next(&self) -> Option<Self> {
        Some(Self { generation: self.generation.checked_add(1)?, nonce: random(), ..self.clone() })
    }

    /// Whether this one is as new as that one, and of the same vault.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.id == other.id && self.generation >= other.generation
    }

    pub(super) const fn salt(&self) -> [u8; SALT] {
        self.salt
    }

    /// The header, and the box behind it.
    pub(super) fn parse(bytes: &mut Vec<u8>) -> Option<(Self, Vec<u8>)> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let generation = u64::from_be_bytes(*generation);
        let header = Self { salt: *salt, id: *id, generation, nonce: *nonce };
        let at = bytes.len() - rest.len();
        Some((header, bytes.split_off(at)))
    }

    fn bytes(&self) -> Vec<u8> {
        [&MAGIC[..], &self.salt, &self.id, &self.generation.to_be_bytes(), &self.nonce].concat()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

/// The key of the files that have this salt.
pub(super) struct Key {
    key: Zeroizing<[u8; 32]>,
    salt: [u8; SALT],
}

impl Key {
    /// Takes a fifth of a second and 64 MiB. `None` where the library has no such figures.
    pub(super) fn derive(material: &[u8], salt: [u8; SALT]) -> Option<Self> {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, Some(32)).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(material, &salt, &mut *key).ok()?;
        Some(Self { key, salt })
    }

    pub(super) fn is_of(&self, header: &Header) -> bool {
        self.salt == header.salt
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

/// What is in a vault: values by their names.
pub(super) struct Secrets(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    pub(super) const fn empty() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_slice())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// These with this one.
    pub(super) fn with(&self, name: &str, value: &[u8]) -> Result<Self, CredentialError> {
        let wrong = match value {
            [] => Some("is empty"),
            long if long.len() > LONGEST => Some("is larger than 64 KiB"),
            value if value.contains(&0) => Some("holds a NUL byte"),
            value if std::str::from_utf8(value).is_err() => Some("is not UTF-8 text"),
            _ => None,
        };
        if let Some(why) = wrong {
            return Err(super::unusable("standard input".to_owned(), why));
        }
        let mut secrets = self.0.clone();
        secrets.insert(name.to_owned(), Zeroizing::new(value.to_vec()));
        Ok(Self(secrets))
    }

    /// These without this one.
    pub(super) fn without(&self, name: &str) -> Result<Self, CredentialError> {
        let mut secrets = self.0.clone();
        secrets.remove(name);
        Ok(Self(secrets))
    }

    /// The whole file.
    pub(super) fn seal(&self, header: &Header, key: &Key) -> Result<Vec<u8>, &'static str> {
        let length: usize = 4 + self.0.iter().map(|(name, value)| 8 + name.len() + value.len()).sum::<usize>();
        let padded = length.next_multiple_of(STEP);
        // All of the room at once, so that nothing is left behind where a growing buffer was.
        let mut text = Zeroizing::new(Vec::with_capacity(padded + TAG));
        text.extend(count(self.0.len())?);
        for (name, value) in &self.0 {
            for part in [name.as_bytes(), value] {
                text.extend(count(part.len())?);
                text.extend_from_slice(part);
            }
        }
        text.resize(padded, 0);
        let front = header.bytes();
        let sealed = key.cipher().encrypt_in_place(&XNonce::from(header.nonce), &front, &mut *text);
        sealed.map_err(|_| "cannot be sealed")?;
        Ok([front.as_slice(), &text].concat())
    }

    /// What was sealed with this header and key.
    pub(super) fn open(header: &Header, sealed: Vec<u8>, key: &Key) -> Result<Self, ()> {
        let mut text = Zeroizing::new(sealed);
        let opened = key.cipher().decrypt_in_place(&XNonce::from(header.nonce), &header.bytes(), &mut *text);
        opened.map_err(|_| ())?;
        read(&text).map(Self).ok_or(())
    }
}

fn count(length: usize) -> Result<[u8; 4], &'static str> {
    u32::try_from(length).map(u32::to_be_bytes).map_err(|_| "would be too large")
}

fn read(text: &[u8]) -> Option<BTreeMap<String, Zeroizing<Vec<u8>>>> {
    let (entries, mut rest) = text.split_first_chunk()?;
    let mut secrets = BTreeMap::new();
    for _ in 0..u32::from_be_bytes(*entries) {
        let name = part(&mut rest)?;
        let value = part(&mut rest)?;
        secrets.insert(std::str::from_utf8(name).ok()?.to_owned(), Zeroizing::new(value.to_vec()));
    }
    rest.iter().all(|byte| *byte == 0).then_some(secrets)
}

fn part<'t>(rest: &mut &'t [u8]) -> Option<&'t [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = behind;
    Some(part)
}
