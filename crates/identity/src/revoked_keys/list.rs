//! What one file revokes: a KRL, or public keys one a line as sshd's `RevokedKeys` reads them.
//!
//! Promises: whatever a file holds takes some multiple of its bytes in memory and no more than [`MOST`] entries besides
//! serial numbers; looking somebody up is a few searches by halves. Keys and the key ids of certificates are kept as
//! digests. A line that is no key refuses the file: it may be one that was to be revoked. A certificate in the place of a
//! key stands for its key, as it does to sshd; keys of kinds that the gateway accepts from nobody are read and mean nothing.
//! Does not promise that a file is whole: an empty one is a list of nothing, and so is one that was cut between two lines.
//! Held by: `tests/krl.rs`.

use super::krl::{self, Head};
use super::serials::Serials;
use super::shown::{Marks, SshProof};
use sha2::{Digest as _, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};
use std::collections::HashMap;

/// Keys, hashes, key ids and authorities that a file may list.
const MOST: usize = 1 << 20;

/// Why a file is no list of revoked keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("line {0} is not a public SSH key")]
    Line(usize),
    #[error("line {0} belongs to a private key, which belongs nowhere near here")]
    Private(usize),
    #[error("it lists more than {MOST} keys, hashes, key ids and authorities")]
    TooMany,
    #[error("the KRL is cut short")]
    Ends,
    #[error("the KRL has the format {0}, and only 1 is known")]
    Format(u32),
    #[error("the KRL has a section of the unknown kind {0}")]
    Section(u8),
    #[error("the KRL has something of the unknown kind {0} about certificates")]
    Part(u8),
    #[error("the KRL has an extension that is critical and not known here")]
    Extension,
    #[error("the KRL has a signature: sign the file beside it instead (`ssh-keygen -Y sign`)")]
    Signed,
    #[error("the KRL has more behind a value than belongs there")]
    Behind,
    #[error("the KRL has a text with a NUL in it")]
    Text,
    #[error("the KRL has a hash that is too short or too long")]
    Hash,
    #[error("the KRL has an authority that is not a public SSH key")]
    Authority,
    #[error("the KRL has serial numbers that are none")]
    Serial,
}

/// What a list revokes somebody by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Their key.
    Key,
    /// Their certificate's serial number or key id.
    Certificate,
    /// The key of their certificate's authority.
    Authority,
}

/// Digests, in order and each once after [`Self::settle`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sorted<const N: usize>(Vec<[u8; N]>);

impl<const N: usize> Default for Sorted<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<const N: usize> Sorted<N> {
    fn settle(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
    }

    fn contains(&self, one: &[u8; N]) -> bool {
        self.0.binary_search(one).is_ok()
    }
}

/// Which certificates of an authority are revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    serials: Serials,
    /// Digests of their key ids.
    ids: Sorted<32>,
}

impl Certificates {
    pub(super) fn put_range(&mut self, first: u64, last: u64) -> Result<(), Malformed> {
        self.serials.put_range(first, last).then_some(()).ok_or(Malformed::Serial)
    }

    pub(super) fn put_bitmap(&mut self, offset: u64, number: &[u8]) -> Result<(), Malformed> {
        self.serials.put_bitmap(offset, number).then_some(()).ok_or(Malformed::Serial)
    }

    pub(super) fn put_id(&mut self, id: &[u8], room: &mut Room) -> Result<(), Malformed> {
        room.take()?;
        self.ids.0.push(Sha256::digest(id).into());
        Ok(())
    }

    fn settle(&mut self) {
        self.serials.settle();
        self.ids.settle();
    }

    fn kept(&self) -> usize {
        self.serials.kept() + self.ids.0.len()
    }

    fn hold(&self, serial: u64, id: &[u8; 32]) -> bool {
        self.ids.contains(id) || self.serials.contain(serial)
    }
}

/// How many entries a list may yet take.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    fn take(&mut self) -> Result<(), Malformed> {
        self.0 = self.0.checked_sub(1).ok_or(Malformed::TooMany)?;
        Ok(())
    }
}

/// What a file revokes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    sha1: Sorted<20>,
    /// Also of the keys that are listed whole: to have the same digest is to be the same key.
    sha256: Sorted<32>,
    /// Of whatever authority.
    of_any: Certificates,
    /// By the SHA-256 of the authority's key.
    of: HashMap<[u8; 32], Certificates>,
}

/// A list that is being read.
#[derive(Debug)]
pub(super) struct Building {
    list: List,
    room: Room,
}

impl Building {
    /// A key as it is sent: SSH's own form.
    pub(super) fn put_key(&mut self, key: &[u8]) -> Result<(), Malformed> {
        self.put_sha256(Sha256::digest(key).into())
    }

    pub(super) fn put_sha1(&mut self, hash: [u8; 20]) -> Result<(), Malformed> {
        self.room.take()?;
        self.list.sha1.0.push(hash);
        Ok(())
    }

    pub(super) fn put_sha256(&mut self, hash: [u8; 32]) -> Result<(), Malformed> {
        self.room.take()?;
        self.list.sha256.0.push(hash);
        Ok(())
    }

    /// The certificates of this authority, by the SHA-256 of its key; of any without one.
    pub(super) fn of(&mut self, authority: Option<[u8; 32]>) -> Result<(&mut Certificates, &mut Room), Malformed> {
        let Some(authority) = authority else { return Ok((&mut self.list.of_any, &mut self.room)) };
        self.room.take()?;
        Ok((self.list.of.entry(authority).or_default(), &mut self.room))
    }
}

impl List {
    /// Reads a file, and what its head says where it is a KRL.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, Option<Head>), Malformed> {
        let mut building = Building { list: Self::default(), room: Room(MOST) };
        let head = if bytes.starts_with(krl::MAGIC) {
            Some(krl::read(bytes, &mut building)?)
        } else {
            lines(bytes, &mut building)?;
            None
        };
        let mut list = building.list;
        list.sha1.settle();
        list.sha256.settle();
        list.of_any.settle();
        list.of.values_mut().for_each(Certificates::settle);
        Ok((list, head))
    }

    /// By what this revokes whoever showed that, if it does; asked in the order in which sshd asks.
    pub(super) fn revokes(&self, shown: &SshProof) -> Option<By> {
        if self.hold(&shown.key) {
            return Some(By::Key);
        }
        let signed = shown.certificate.as_ref()?;
        let mut named = self.of.get(&signed.authority.sha256).into_iter().chain([&self.of_any]);
        if named.any(|certificates| certificates.hold(signed.serial, &signed.id)) {
            return Some(By::Certificate);
        }
        self.hold(&signed.authority).then_some(By::Authority)
    }

    /// How many entries it keeps.
    pub(super) fn kept(&self) -> usize {
        let of = self.of.values().chain([&self.of_any]);
        self.of.len() + self.sha1.0.len() + self.sha256.0.len() + of.map(Certificates::kept).sum::<usize>()
    }

    fn hold(&self, key: &Marks) -> bool {
        self.sha1.contains(&key.sha1) || self.sha256.contains(&key.sha256)
    }
}

/// Reads public keys, one a line.
fn lines(bytes: &[u8], list: &mut Building) -> Result<(), Malformed> {
    let numbered = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    for (line, number) in numbered.filter(|(line, _)| !line.is_empty() && !line.starts_with(b"#")) {
        if line.starts_with(b"-----BEGIN") {
            return Err(Malformed::Private(number));
        }
        let key = key_of(line).ok_or(Malformed::Line(number))?;
        list.put_sha256(Marks::of(&key).ok_or(Malformed::Line(number))?.sha256)?;
    }
    Ok(())
}

/// The key of a line; what stands behind it may be no text.
fn key_of(line: &[u8]) -> Option<KeyData> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (kind, key) = (words.next()?, words.next()?);
    let bare = [kind, b" ", key].concat();
    let bare = str::from_utf8(&bare).ok()?;
    if kind.ends_with(b"-cert-v01@openssh.com") {
        return Certificate::from_openssh(bare).ok().map(|certificate| certificate.public_key().clone());
    }
    PublicKey::from_openssh(bare).ok().map(|key| key.key_data().clone())
}
