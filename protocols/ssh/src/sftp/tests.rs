//! The tests of the stream as a whole, and what they share.

mod core;
mod corpus;
mod driving;
mod requests;
pub(crate) mod tree;
pub(crate) mod world;

use crate::sftp::packet::Request;
use crate::sftp::wire::Attributes;
use bytes::Bytes;

/// One of each request.
pub(crate) fn every_request() -> Vec<Request> {
    let name = || Bytes::from_static(b"a/b");
    let (path, old, new, handle) = (name(), name(), Bytes::from_static(b"c"), Bytes::from_static(b"\0\0\0\x01"));
    let attributes = Attributes {
        size: Some(5),
        owner: Some((1, 2)),
        permissions: Some(0o644),
        times: Some((3, 4)),
        extended: Some(vec![(name(), Bytes::new())]),
    };
    vec![
        Request::Open { path: name(), flags: 0x1a, attributes: attributes.clone() },
        Request::Close { handle: handle.clone() },
        Request::Read { handle: handle.clone(), offset: 1 << 40, length: 32768 },
        Request::Write { handle: handle.clone(), offset: 7, data: Bytes::from_static(b"data") },
        Request::Lstat { path: name() },
        Request::Fstat { handle: handle.clone() },
        Request::SetStat { path: name(), attributes: attributes.clone() },
        Request::FSetStat { handle: handle.clone(), attributes: attributes.clone() },
        Request::OpenDir { path: name() },
        Request::ReadDir { handle: handle.clone() },
        Request::Remove { path: name() },
        Request::MkDir { path: name(), attributes: Attributes::default() },
        Request::RmDir { path: name() },
        Request::RealPath { path: name() },
        Request::Stat { path: name() },
        Request::Rename { old: old.clone(), new: new.clone() },
        Request::ReadLink { path: name() },
        Request::Symlink { target: old.clone(), link: new.clone() },
        Request::PosixRename { old: old.clone(), new: new.clone() },
        Request::StatVfs { path: name() },
        Request::FStatVfs { handle: handle.clone() },
        Request::HardLink { old, new },
        Request::Fsync { handle: handle.clone() },
        Request::LSetStat { path: name(), attributes },
        Request::Limits,
        Request::ExpandPath { path },
        Request::CopyData { from: handle.clone(), at: 1, length: 2, to: handle, to_at: 3 },
        Request::HomeDirectory { user: name() },
        Request::NamesOfIds { users: Bytes::from_static(b"\0\0\0\x01"), groups: Bytes::new() },
    ]
}
