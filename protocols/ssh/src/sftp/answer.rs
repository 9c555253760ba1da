//! What a target sends: its greeting and its answers, read as far as their meaning changes what is kept here.
//!
//! Promises: an answer is read whole (its names and attributes too), so that none can carry what the client would read
//! differently; the greeting is written anew with the extensions of `extension.rs` only; the limits that a target gives
//! are lowered to ours, so that an honest client never runs into them. The bytes of other answers are passed on as they
//! came: names in listings may be any bytes.
//! Does not promise that an answer fits its request: `core.rs` compares them.
//! Held by: the tests below.

use crate::sftp::extension::{Extension, Extensions};
use crate::sftp::frame::{LONGEST, Packet};
use crate::sftp::packet::kind;
use crate::sftp::wire::{Cursor, Malformed, Writer};
use bytes::Bytes;

/// One packet of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromTarget {
    /// Its greeting.
    Version {
        /// What it speaks.
        version: u32,
        /// What it can do that we read.
        extensions: Extensions,
    },
    /// An answer to the request of this number.
    Answer {
        /// That number.
        id: u32,
        /// What it says.
        answer: Answer,
    },
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// How it ended, and the target's words for it.
    Status {
        /// 0 for success, 1 for the end of a file.
        code: u32,
        /// Its words.
        message: Bytes,
    },
    /// Something was opened under this handle.
    Handle(Bytes),
    /// Content.
    Data(Bytes),
    /// Names, so many.
    Names(u32),
    /// Attributes.
    Attributes,
    /// The answer to an extended request, not read further.
    Extended(Bytes),
}

impl FromTarget {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`Malformed`]: it is not what its kind says, or of a kind that no server sends.
    pub(crate) fn decode(packet: &Packet) -> Result<Self, Malformed> {
        let mut body = packet.body();
        let number = body.u32()?;
        let answer = match packet.kind() {
            kind::VERSION => return Ok(Self::Version { version: number, extensions: extensions(&mut body)? }),
            kind::STATUS => status(&mut body)?,
            kind::HANDLE => Answer::Handle(body.string()?),
            kind::DATA => Answer::Data(body.string()?),
            kind::NAME => names(&mut body)?,
            kind::ATTRS => {
                body.attributes()?;
                Answer::Attributes
            }
            kind::EXTENDED_REPLY => Answer::Extended(packet.bytes().slice(9.min(packet.bytes().len())..)),
            other => return Err(Malformed::Kind(other)),
        };
        if !matches!(answer, Answer::Extended(_)) {
            body.end()?;
        }
        Ok(Self::Answer { id: number, answer })
    }
}

fn extensions(body: &mut Cursor) -> Result<Extensions, Malformed> {
    let mut known = Extensions::default();
    while body.left() > 0 {
        let (name, version) = (body.string()?, body.string()?);
        if let Some(extension) = Extension::named(&name).filter(|known| known.version().as_bytes() == version) {
            known = known.with(extension);
        }
    }
    Ok(known)
}

fn status(body: &mut Cursor) -> Result<Answer, Malformed> {
    let code = body.u32()?;
    // Servers of before the draft's second version leave out the words.
    let message = if body.left() == 0 { Bytes::new() } else { body.string()? };
    if body.left() > 0 {
        body.string()?;
    }
    Ok(Answer::Status { code, message })
}

fn names(body: &mut Cursor) -> Result<Answer, Malformed> {
    let count = body.u32()?;
    if usize::try_from(count).map_or(true, |count| count > body.left() / 12) {
        return Err(Malformed::Count(count));
    }
    for _ in 0..count {
        body.string()?;
        body.string()?;
        body.attributes()?;
    }
    Ok(Answer::Names(count))
}

/// The greeting as the client reads it.
pub(crate) fn version(extensions: Extensions) -> Bytes {
    let offered = Extension::ALL.into_iter().filter(|extension| extensions.contains(*extension));
    let start = Writer::new(kind::VERSION).u32(3);
    offered
        .fold(start, |out, extension| out.string(extension.name().as_bytes()).string(extension.version().as_bytes()))
        .finish()
}

/// An answer of ours: how a request ended.
pub(crate) fn status_of(id: u32, code: u32, words: &str) -> Bytes {
    Writer::new(kind::STATUS).u32(id).u32(code).string(words.as_bytes()).string(b"en").finish()
}

/// The target's limits, none above ours; 0 says that it has none. `None` where that is not what was said.
pub(crate) fn limits(id: u32, said: &Bytes, handles: u64) -> Option<Bytes> {
    let longest = LONGEST as u64;
    let mut said = Cursor::new(said.clone());
    let mut out = Writer::new(kind::EXTENDED_REPLY).u32(id);
    for ours in [longest, longest - 1024, longest - 1024, handles] {
        let theirs = said.u64().ok()?;
        out = out.u64(if theirs == 0 { ours } else { theirs.min(ours) });
    }
    said.end().ok()?;
    Some(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::frame::Framer;

    fn decode(bytes: &[u8]) -> Result<FromTarget, Malformed> {
        let mut framer = Framer::default();
        framer.push(bytes);
        FromTarget::decode(&framer.next()?.expect("one packet"))
    }

    #[test]
    fn a_greeting_keeps_only_what_is_read_in_the_version_that_is_read() {
        let said = Writer::new(kind::VERSION).u32(3);
        let said = [("posix-rename@openssh.com", "1"), ("statvfs@openssh.com", "9"), ("space-available", "1")]
            .into_iter()
            .fold(said, |out, (name, version)| out.string(name.as_bytes()).string(version.as_bytes()))
            .finish();
        let extensions = Extensions::default().with(Extension::PosixRename);
        assert_eq!(decode(&said), Ok(FromTarget::Version { version: 3, extensions }));
        let told = Writer::new(kind::VERSION).u32(3).string(b"posix-rename@openssh.com").string(b"1").finish();
        assert_eq!(version(extensions), told);
    }

    #[test]
    fn limits_are_never_above_ours_and_never_left_open() {
        let said = |numbers: [u64; 4]| {
            let out = numbers.into_iter().fold(Writer::new(0), Writer::u64).finish();
            out.slice(5..)
        };
        let told = limits(7, &said([1 << 30, 0, 32_768, 0]), 1024).expect("limits");
        let ours = Writer::new(kind::EXTENDED_REPLY).u32(7).u64(262_144).u64(261_120).u64(32_768).u64(1024);
        assert_eq!(told, ours.finish());
        assert_eq!(limits(7, &said([1; 4]).slice(..31), 1024), None);
    }

    #[test]
    fn answers_are_read_whole() {
        let status = Writer::new(kind::STATUS).u32(1).u32(2);
        let old = status.finish();
        assert!(matches!(decode(&old), Ok(FromTarget::Answer { answer: Answer::Status { code: 2, .. }, .. })));
        let status = status_of(1, 3, "no");
        let mut long = status.to_vec();
        long.push(0);
        long[3] += 1;
        assert_eq!(decode(&long), Err(Malformed::Trailing(1)));
        let names = Writer::new(kind::NAME).u32(1).u32(9).string(b"a").finish();
        assert_eq!(decode(&names), Err(Malformed::Count(9)));
        assert_eq!(decode(b"\0\0\0\x05\x03\0\0\0\x07"), Err(Malformed::Kind(3)));
    }
}
