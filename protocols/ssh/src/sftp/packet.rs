//! What a client sends: every request of version 3 and OpenSSH's extensions, read strictly and written again.
//!
//! Promises: a request is read whole or not at all; writing what was read gives the same bytes (so a packet with one name
//! replaced is otherwise the client's); a kind that is not known keeps its number, so that it can be answered. The two
//! names of `SYMLINK` are in OpenSSH's order, which is not the draft's (its `PROTOCOL`, 4.1): what the link says, then
//! where it stands.
//! Does not promise that a name is text or may be used: `read.rs` decides that.
//! Held by: the tests below (every request cut short, lengthened and round) and `fixtures/sftp/requests.tsv`.

use crate::sftp::extension::Extension;
use crate::sftp::frame::Packet;
use crate::sftp::wire::{Attributes, Cursor, Malformed, Writer};
use bytes::Bytes;

/// One packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromClient {
    /// The greeting: the newest version that the client speaks.
    Init {
        /// That version.
        version: u32,
    },
    /// A request, answered under its number.
    Request {
        /// Its number.
        id: u32,
        /// What is asked.
        request: Request,
    },
    /// A kind that version 3 does not have.
    Unknown {
        /// Its number.
        id: u32,
        /// Its kind.
        kind: u8,
    },
}

/// What is asked. Names and handles are bytes, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Open { path: Bytes, flags: u32, attributes: Attributes },
    Close { handle: Bytes },
    Read { handle: Bytes, offset: u64, length: u32 },
    Write { handle: Bytes, offset: u64, data: Bytes },
    Lstat { path: Bytes },
    Fstat { handle: Bytes },
    SetStat { path: Bytes, attributes: Attributes },
    FSetStat { handle: Bytes, attributes: Attributes },
    OpenDir { path: Bytes },
    ReadDir { handle: Bytes },
    Remove { path: Bytes },
    MkDir { path: Bytes, attributes: Attributes },
    RmDir { path: Bytes },
    RealPath { path: Bytes },
    Stat { path: Bytes },
    Rename { old: Bytes, new: Bytes },
    ReadLink { path: Bytes },
    Symlink { target: Bytes, link: Bytes },
    PosixRename { old: Bytes, new: Bytes },
    StatVfs { path: Bytes },
    FStatVfs { handle: Bytes },
    HardLink { old: Bytes, new: Bytes },
    Fsync { handle: Bytes },
    LSetStat { path: Bytes, attributes: Attributes },
    Limits,
    ExpandPath { path: Bytes },
    CopyData { from: Bytes, at: u64, length: u64, to: Bytes, to_at: u64 },
    HomeDirectory { user: Bytes },
    NamesOfIds { users: Bytes, groups: Bytes },
    Unsupported { extension: Bytes },
}

/// Flags of `OPEN` (draft 02, section 6.3).
pub(crate) mod flag {
    pub(crate) const READ: u32 = 1;
    pub(crate) const WRITE: u32 = 2;
    pub(crate) const APPEND: u32 = 4;
    pub(crate) const CREATE: u32 = 8;
    pub(crate) const TRUNCATE: u32 = 0x10;
    pub(crate) const EXCLUSIVE: u32 = 0x20;
    pub(crate) const ALL: u32 = READ | WRITE | APPEND | CREATE | TRUNCATE | EXCLUSIVE;
}

pub(crate) mod kind {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const VERSION: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const WRITE: u8 = 6;
    pub(crate) const LSTAT: u8 = 7;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const SETSTAT: u8 = 9;
    pub(crate) const FSETSTAT: u8 = 10;
    pub(crate) const OPENDIR: u8 = 11;
    pub(crate) const READDIR: u8 = 12;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const MKDIR: u8 = 14;
    pub(crate) const RMDIR: u8 = 15;
    pub(crate) const REALPATH: u8 = 16;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const READLINK: u8 = 19;
    pub(crate) const SYMLINK: u8 = 20;
    pub(crate) const STATUS: u8 = 101;
    pub(crate) const HANDLE: u8 = 102;
    pub(crate) const DATA: u8 = 103;
    pub(crate) const NAME: u8 = 104;
    pub(crate) const ATTRS: u8 = 105;
    pub(crate) const EXTENDED: u8 = 200;
    pub(crate) const EXTENDED_REPLY: u8 = 201;
}

impl FromClient {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`Malformed`]: it is not what its kind says, or of a kind that only a server sends.
    pub(crate) fn decode(packet: &Packet) -> Result<Self, Malformed> {
        let mut body = packet.body();
        let number = body.u32()?;
        match packet.kind() {
            kind::INIT => {
                // Newer clients may name extensions here; none of them changes what version 3 means.
                while body.left() > 0 {
                    body.string()?;
                    body.string()?;
                }
                Ok(Self::Init { version: number })
            }
            kind @ (kind::VERSION
            | kind::STATUS
            | kind::HANDLE
            | kind::DATA
            | kind::NAME
            | kind::ATTRS
            | kind::EXTENDED_REPLY) => Err(Malformed::Kind(kind)),
            kind => match Request::decode(kind, &mut body)? {
                None => Ok(Self::Unknown { id: number, kind }),
                Some(request) => {
                    // Of an extension that is not known nobody knows where it ends.
                    if !matches!(request, Request::Unsupported { .. }) {
                        body.end()?;
                    }
                    Ok(Self::Request { id: number, request })
                }
            },
        }
    }
}

impl Request {
    fn decode(kind: u8, body: &mut Cursor) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            kind::OPEN => Self::Open { path: body.string()?, flags: body.u32()?, attributes: body.attributes()? },
            kind::CLOSE => Self::Close { handle: body.string()? },
            kind::READ => Self::Read { handle: body.string()?, offset: body.u64()?, length: body.u32()? },
            kind::WRITE => Self::Write { handle: body.string()?, offset: body.u64()?, data: body.string()? },
            kind::LSTAT => Self::Lstat { path: body.string()? },
            kind::FSTAT => Self::Fstat { handle: body.string()? },
            kind::SETSTAT => Self::SetStat { path: body.string()?, attributes: body.attributes()? },
            kind::FSETSTAT => Self::FSetStat { handle: body.string()?, attributes: body.attributes()? },
            kind::OPENDIR => Self::OpenDir { path: body.string()? },
            kind::READDIR => Self::ReadDir { handle: body.string()? },
            kind::REMOVE => Self::Remove { path: body.string()? },
            kind::MKDIR => Self::MkDir { path: body.string()?, attributes: body.attributes()? },
            kind::RMDIR => Self::RmDir { path: body.string()? },
            kind::REALPATH => Self::RealPath { path: body.string()? },
            kind::STAT => Self::Stat { path: body.string()? },
            kind::RENAME => Self::Rename { old: body.string()?, new: body.string()? },
            kind::READLINK => Self::ReadLink { path: body.string()? },
            kind::SYMLINK => Self::Symlink { target: body.string()?, link: body.string()? },
            kind::EXTENDED => Self::decode_extended(body)?,
            _ => return Ok(None),
        }))
    }

    fn decode_extended(body: &mut Cursor) -> Result<Self, Malformed> {
        let name = body.string()?;
        let Some(extension) = Extension::named(&name) else {
            return Ok(Self::Unsupported { extension: name });
        };
        Ok(match extension {
            Extension::PosixRename => Self::PosixRename { old: body.string()?, new: body.string()? },
            Extension::StatVfs => Self::StatVfs { path: body.string()? },
            Extension::FStatVfs => Self::FStatVfs { handle: body.string()? },
            Extension::HardLink => Self::HardLink { old: body.string()?, new: body.string()? },
            Extension::Fsync => Self::Fsync { handle: body.string()? },
            Extension::LSetStat => Self::LSetStat { path: body.string()?, attributes: body.attributes()? },
            Extension::Limits => Self::Limits,
            Extension::ExpandPath => Self::ExpandPath { path: body.string()? },
            Extension::CopyData => Self::CopyData {
                from: body.string()?,
                at: body.u64()?,
                length: body.u64()?,
                to: body.string()?,
                to_at: body.u64()?,
            },
            Extension::HomeDirectory => Self::HomeDirectory { user: body.string()? },
            Extension::NamesOfIds => Self::NamesOfIds { users: body.string()?, groups: body.string()? },
        })
    }

    /// The packet that asks this under this number.
    pub(crate) fn encode(&self, id: u32) -> Bytes {
        let plain = |kind| Writer::new(kind).u32(id);
        let extended = |extension: Extension| plain(kind::EXTENDED).string(extension.name().as_bytes());
        match self {
            Self::Open { path, flags, attributes } => plain(kind::OPEN).string(path).u32(*flags).attributes(attributes),
            Self::Close { handle } => plain(kind::CLOSE).string(handle),
            Self::Read { handle, offset, length } => plain(kind::READ).string(handle).u64(*offset).u32(*length),
            Self::Write { handle, offset, data } => plain(kind::WRITE).string(handle).u64(*offset).string(data),
            Self::Lstat { path } => plain(kind::LSTAT).string(path),
            Self::Fstat { handle } => plain(kind::FSTAT).string(handle),
            Self::SetStat { path, attributes } => plain(kind::SETSTAT).string(path).attributes(attributes),
            Self::FSetStat { handle, attributes } => plain(kind::FSETSTAT).string(handle).attributes(attributes),
            Self::OpenDir { path } => plain(kind::OPENDIR).string(path),
            Self::ReadDir { handle } => plain(kind::READDIR).string(handle),
            Self::Remove { path } => plain(kind::REMOVE).string(path),
            Self::MkDir { path, attributes } => plain(kind::MKDIR).string(path).attributes(attributes),
            Self::RmDir { path } => plain(kind::RMDIR).string(path),
            Self::RealPath { path } => plain(kind::REALPATH).string(path),
            Self::Stat { path } => plain(kind::STAT).string(path),
            Self::Rename { old, new } => plain(kind::RENAME).string(old).string(new),
            Self::ReadLink { path } => plain(kind::READLINK).string(path),
            Self::Symlink { target, link } => plain(kind::SYMLINK).string(target).string(link),
            Self::PosixRename { old, new } => extended(Extension::PosixRename).string(old).string(new),
            Self::StatVfs { path } => extended(Extension::StatVfs).string(path),
            Self::FStatVfs { handle } => extended(Extension::FStatVfs).string(handle),
            Self::HardLink { old, new } => extended(Extension::HardLink).string(old).string(new),
            Self::Fsync { handle } => extended(Extension::Fsync).string(handle),
            Self::LSetStat { path, attributes } => extended(Extension::LSetStat).string(path).attributes(attributes),
            Self::Limits => extended(Extension::Limits),
            Self::ExpandPath { path } => extended(Extension::ExpandPath).string(path),
            Self::CopyData { from, at, length, to, to_at } => {
                extended(Extension::CopyData).string(from).u64(*at).u64(*length).string(to).u64(*to_at)
            }
            Self::HomeDirectory { user } => extended(Extension::HomeDirectory).string(user),
            Self::NamesOfIds { users, groups } => extended(Extension::NamesOfIds).string(users).string(groups),
            Self::Unsupported { extension } => plain(kind::EXTENDED).string(extension),
        }
        .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::frame::Framer;
    use crate::sftp::tests::every_request;

    fn decode(bytes: &[u8]) -> Result<FromClient, Malformed> {
        let mut framer = Framer::default();
        framer.push(bytes);
        FromClient::decode(&framer.next()?.expect("one packet"))
    }

    #[test]
    fn every_request_reads_back_as_it_was_written() {
        for request in every_request() {
            let bytes = request.encode(7);
            assert_eq!(decode(&bytes), Ok(FromClient::Request { id: 7, request }));
        }
    }

    #[test]
    fn a_request_cut_short_or_followed_by_something_is_no_request() {
        for request in every_request() {
            let bytes = request.encode(7);
            for cut in 9..bytes.len() {
                let mut short = bytes[..cut].to_vec();
                short[..4].copy_from_slice(&u32::try_from(cut - 4).unwrap().to_be_bytes());
                assert!(decode(&short).is_err(), "{request:?} cut at {cut}");
            }
            let mut long = bytes.to_vec();
            long.push(0);
            long[..4].copy_from_slice(&u32::try_from(bytes.len() - 3).unwrap().to_be_bytes());
            assert_eq!(decode(&long), Err(Malformed::Trailing(1)), "{request:?}");
        }
    }

    #[test]
    fn what_only_a_server_sends_and_what_nobody_knows() {
        assert_eq!(decode(b"\0\0\0\x05\x65\0\0\0\x07"), Err(Malformed::Kind(101)));
        assert_eq!(decode(b"\0\0\0\x05\x15\0\0\0\x07"), Ok(FromClient::Unknown { id: 7, kind: 21 }));
        let odd = Request::Unsupported { extension: Bytes::from_static(b"check-file-name") };
        assert_eq!(decode(&odd.encode(7)), Ok(FromClient::Request { id: 7, request: odd }));
        assert_eq!(decode(b"\0\0\0\x0e\x09\0\0\0\x07\0\0\0\x01x\0\0\0\x10"), Err(Malformed::Attributes(0x10)));
        let many = b"\0\0\0\x12\x09\0\0\0\x07\0\0\0\x01x\x80\0\0\0\xff\xff\xff\xff";
        assert_eq!(decode(many), Err(Malformed::Count(u32::MAX)));
    }
}
