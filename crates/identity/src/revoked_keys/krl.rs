//! Key revocation lists of OpenSSH (`ssh-keygen -k`): bytes in, a list out. The format is in `PROTOCOL.krl` of OpenSSH.
//!
//! Promises: every length is looked at before it is followed, no number is counted out, and a file is read whole or not
//! at all. A section, a part of one or a critical extension that is not known here refuses the file, since it may revoke
//! something; what the format calls ignored (flags, reserved fields, extensions that are not critical) is. What OpenSSH
//! refuses to read is refused here, but for bitmaps of more than 2048 bytes, which `ssh-keygen` writes and cannot read, and
//! for authorities that look like a key and are none (of an unknown kind, or a point that is on no curve): nobody has them.
//!
//! Does not promise to verify a list: whoever may write the file says what is revoked. Signatures in it, which OpenSSH's
//! description says are refused since 9.4, are.
//! Held by: `tests/krl.rs`, which compares with `ssh-keygen -Q`, and [`fuzz_krl`](crate::fuzz_krl).

use super::list::{Building, Certificates, Malformed, Room};
use super::shown::Marks;
use ssh_key::PublicKey;

/// What a file begins with that is a KRL.
pub(super) const MAGIC: &[u8] = b"SSHKRL\n\0";

const FORMAT: u32 = 1;

/// What the head of a KRL says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Goes up with every change, if whoever makes them sees to it.
    pub(super) version: u64,
    /// Seconds since 1970.
    pub(super) generated: u64,
    /// Bytes, as they are there.
    pub(super) comment: Box<[u8]>,
}

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Ends)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    fn string(&mut self) -> Result<&'b [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed::Ends)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Ends)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A string that is text for C: a NUL is its end, and only there.
    fn text(&mut self) -> Result<&'b [u8], Malformed> {
        let text = self.string()?;
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        if text.contains(&0) { Err(Malformed::Text) } else { Ok(text) }
    }

    fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::Behind) }
    }
}

/// Reads a KRL, which begins with [`MAGIC`], into `list`.
pub(super) fn read(bytes: &[u8], list: &mut Building) -> Result<Head, Malformed> {
    let mut reader = Reader(bytes.strip_prefix(MAGIC).ok_or(Malformed::Ends)?);
    let format = reader.u32()?;
    if format != FORMAT {
        return Err(Malformed::Format(format));
    }
    let (version, generated) = (reader.u64()?, reader.u64()?);
    let _flags = reader.u64()?;
    let _reserved = reader.string()?;
    let comment = reader.text()?.into();
    while !reader.is_empty() {
        section(&mut reader, list)?;
    }
    Ok(Head { version, generated, comment })
}

fn section(reader: &mut Reader<'_>, list: &mut Building) -> Result<(), Malformed> {
    let (kind, body) = (reader.byte()?, Reader(reader.string()?));
    match kind {
        1 => certificates(body, list),
        2 => each(body, |key| list.put_key(key)),
        3 => each(body, |hash| list.put_sha1(hash.try_into().map_err(|_| Malformed::Hash)?)),
        4 => Err(Malformed::Signed),
        5 => each(body, |hash| list.put_sha256(hash.try_into().map_err(|_| Malformed::Hash)?)),
        255 => extension(body),
        0 | 6..=254 => Err(Malformed::Section(kind)),
    }
}

/// Strings to the end.
fn each(mut body: Reader<'_>, mut put: impl FnMut(&[u8]) -> Result<(), Malformed>) -> Result<(), Malformed> {
    while !body.is_empty() {
        put(body.string()?)?;
    }
    Ok(())
}

fn certificates(mut body: Reader<'_>, list: &mut Building) -> Result<(), Malformed> {
    let authority = body.string()?;
    let _reserved = body.string()?;
    let authority = match authority {
        [] => None,
        key => {
            let key = PublicKey::from_bytes(key).map_err(|_| Malformed::Authority)?;
            Some(Marks::of(key.key_data()).ok_or(Malformed::Authority)?.sha256)
        }
    };
    let (certificates, room) = list.of(authority)?;
    while !body.is_empty() {
        part(&mut body, certificates, room)?;
    }
    Ok(())
}

fn part(body: &mut Reader<'_>, certificates: &mut Certificates, room: &mut Room) -> Result<(), Malformed> {
    let (kind, mut part) = (body.byte()?, Reader(body.string()?));
    match kind {
        0x20 => {
            while !part.is_empty() {
                let serial = part.u64()?;
                certificates.put_range(serial, serial)?;
            }
        }
        0x21 => certificates.put_range(part.u64()?, part.u64()?)?,
        0x22 => {
            let (offset, number) = (part.u64()?, part.string()?);
            // Of a number that may be negative, which these are not.
            if number.first().is_some_and(|first| first & 0x80 != 0) {
                return Err(Malformed::Serial);
            }
            certificates.put_bitmap(offset, number)?;
        }
        0x23 => {
            while !part.is_empty() {
                certificates.put_id(part.text()?, room)?;
            }
        }
        0x39 => return extension(part),
        0..=0x1f | 0x24..=0x38 | 0x3a..=255 => return Err(Malformed::Part(kind)),
    }
    part.finish()
}

/// None is known here, as none is to OpenSSH.
fn extension(mut body: Reader<'_>) -> Result<(), Malformed> {
    let (_name, critical, _contents) = (body.text()?, body.byte()?, body.string()?);
    body.finish()?;
    if critical == 0 { Ok(()) } else { Err(Malformed::Extension) }
}
