//! One whole upload and download, driven as a channel drives it; and the same stream split everywhere.

use crate::sftp::packet::{Request, kind};
use crate::sftp::tests::world::{World, greeting, open, rules};
use crate::sftp::wire::{Attributes, Writer};
use bytes::Bytes;
use portcullis_model::{Digest, Outcome};

fn handle() -> Bytes {
    Bytes::from_static(b"\0\0\0\0")
}

/// What OpenSSH's client does for `put l.txt sandbox/work/up.txt`, with the numbers that it uses.
fn put() -> Vec<Bytes> {
    let path = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let set = Attributes { permissions: Some(0o644), ..Attributes::default() };
    vec![
        Request::Limits.encode(1),
        Request::RealPath { path: path(".") }.encode(2),
        Request::Stat { path: path("/home/x/sandbox/work/up.txt") }.encode(3),
        Request::Open { path: path("/home/x/sandbox/work/up.txt"), flags: 0x1a, attributes: set.clone() }.encode(4),
        Request::Write { handle: handle(), offset: 0, data: path("one ") }.encode(5),
        Request::Write { handle: handle(), offset: 4, data: path("two") }.encode(6),
        Request::FSetStat { handle: handle(), attributes: set }.encode(7),
        Request::Close { handle: handle() }.encode(8),
    ]
}

#[test]
fn an_upload_of_openssh_passes_and_is_recorded_with_what_was_sent() {
    let mut world = World::greeted(rules);
    let packets = put();
    for packet in &packets[..4] {
        world.client(packet);
    }
    let limits = Writer::new(kind::EXTENDED_REPLY).u32(1).u64(262_144).u64(261_120).u64(261_120).u64(1019).finish();
    world.target(&limits);
    let none = Attributes::default();
    let name = Writer::new(kind::NAME).u32(2).u32(1).string(b"/home/x").string(b"/home/x").attributes(&none).finish();
    world.target(&name);
    world.status(3, 2);
    world.handle(4, &handle());
    for packet in &packets[4..] {
        world.client(packet);
    }
    assert_eq!(world.to_target, packets, "all of it, unchanged: the client named canonical paths");
    for id in 5..=8 {
        world.status(id, 0);
    }
    let texts: Vec<_> = world.decided.iter().map(|(text, _)| text.as_str()).collect();
    let up = "~/sandbox/work/up.txt";
    assert_eq!(texts, ["sftp limits", "sftp realpath .", &format!("sftp stat {up}"), &format!("sftp put {up}")]);
    let (permit, outcome, digest) = world.settled.pop().unwrap();
    assert_eq!(outcome, Outcome::Completed { status: "SSH_FX_OK".into(), rows: 0, bytes: 7 });
    assert_eq!((permit, digest), (3, Some(Digest::of(b"one two"))));
    let failed =
        |message: &str| Outcome::Failed { status: "SSH_FX_NO_SUCH_FILE".into(), message: Some(message.into()) };
    assert_eq!(world.settled[2], (2, failed("said the target"), None));
    assert!(world.sftp.finish().is_empty(), "nothing is left");
}

#[test]
fn where_the_stream_is_split_changes_nothing() {
    let whole: Vec<u8> = [
        Bytes::from_static(b"\0\0\0\x05\x01\0\0\0\x03"),
        Request::RealPath { path: Bytes::new() }.encode(1),
        open(".ssh/id", 1).encode(2),
        open("sandbox/work/a.txt", 1).encode(3),
    ]
    .concat();
    let play = |pieces: &[&[u8]]| {
        let mut world = World::new(rules);
        for piece in pieces {
            world.client(piece);
        }
        world.target(&greeting());
        (world.to_target, world.decided)
    };
    let at_once = play(&[&whole]);
    assert_eq!(at_once.1.iter().map(|(_, passed)| *passed).collect::<Vec<_>>(), [true, false, true]);
    for at in 1..whole.len() {
        assert_eq!(play(&[&whole[..at], &whole[at..]]), at_once, "split at {at}");
    }
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(play(&bytes), at_once);
}
