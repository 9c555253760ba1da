//! The order of things: greetings, numbers, handles, and who waits for whom.

use crate::sftp::core::{HANDLES, OUTSTANDING};
use crate::sftp::fault::StreamSide;
use crate::sftp::packet::{Request, kind};
use crate::sftp::tests::world::{World, anything, greeting, open, rules};
use crate::sftp::wire::{Attributes, Writer};
use bytes::Bytes;
use portcullis_model::{Digest, Operation, Outcome};

const INIT: &[u8] = b"\0\0\0\x05\x01\0\0\0\x03";

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn fault(world: &World) -> (StreamSide, &str) {
    let fault = world.fault.as_ref().expect("the stream ended");
    (fault.side, &fault.what)
}

fn ended_by(side: StreamSide, what: &str, play: impl FnOnce(&mut World)) {
    let mut world = World::greeted(anything);
    play(&mut world);
    assert_eq!(fault(&world), (side, what));
    let sent = world.to_target.len();
    world.ask(99, &Request::Limits);
    assert_eq!(world.to_target.len(), sent, "nothing passes after it");
}

#[test]
fn the_greeting_is_ours_and_nothing_is_sent_before_the_targets() {
    let mut world = World::new(anything);
    // A newer client, with an extension, and a request at once behind it.
    let init = Writer::new(kind::INIT).u32(6).string(b"x").string(b"y").finish();
    world.client(&init);
    world.ask(1, &Request::Remove { path: bytes("a") });
    assert_eq!(world.to_target, [INIT], "ours, without what it named");
    world.target(&greeting());
    assert_eq!(world.to_client, [greeting()]);
    assert_eq!(world.decided, [("sftp rm ~/a".to_owned(), true)]);
}

#[test]
fn greetings_come_once_and_first() {
    let mut world = World::new(anything);
    world.ask(1, &Request::Limits);
    assert_eq!(fault(&world), (StreamSide::Client, "a request before the greeting"));
    ended_by(StreamSide::Client, "a second greeting", |world| world.client(INIT));
    ended_by(StreamSide::Target, "a greeting that nobody waits for", |world| world.target(&greeting()));
    let mut world = World::new(anything);
    world.client(b"\0\0\0\x05\x01\0\0\0\x02");
    assert_eq!(fault(&world), (StreamSide::Client, "version 2; version 3 is spoken here"));
    let mut world = World::new(anything);
    world.client(INIT);
    world.target(b"\0\0\0\x05\x02\0\0\0\x06");
    assert_eq!(fault(&world), (StreamSide::Target, "it speaks version 6, not 3"));
}

#[test]
fn numbers_in_use_are_not_used_again_and_answers_were_asked_for() {
    ended_by(StreamSide::Client, "request number 1 is used twice at once", |world| {
        world.ask(1, &Request::Limits);
        world.ask(1, &Request::Limits);
    });
    ended_by(StreamSide::Target, "an answer to request 7, which was not sent", |world| world.status(7, 0));
    ended_by(StreamSide::Target, "an answer that does not fit its request", |world| {
        world.ask(1, &Request::Remove { path: bytes("a") });
        world.handle(1, b"h");
    });
    ended_by(StreamSide::Target, "an answer that does not fit its request", |world| {
        world.ask(1, &open("a", 1));
        world.status(1, 0);
    });
    let mut world = World::greeted(anything);
    world.ask(1, &Request::Limits);
    world.status(1, 4);
    world.ask(1, &Request::Limits);
    assert_eq!((world.to_target.len(), &world.fault), (2, &None), "an answered number is free");
}

#[test]
fn lying_lengths_and_unknown_kinds() {
    ended_by(StreamSide::Client, "a packet of 4 bytes; the least is 5 and the most 262144", |world| {
        world.client(b"\0\0\0\x04\x0d\0\0\0");
    });
    ended_by(StreamSide::Client, "a packet ends inside one of its fields", |world| {
        world.client(b"\0\0\0\x0a\x0d\0\0\0\x01\0\0\0\x09a");
    });
    ended_by(StreamSide::Client, "1 bytes follow the last field of a packet", |world| {
        world.client(b"\0\0\0\x0b\x0d\0\0\0\x01\0\0\0\x01ab");
    });
    let mut world = World::greeted(anything);
    world.client(b"\0\0\0\x09\x16\0\0\0\x05\0\0\0\0");
    assert_eq!((world.told(), world.to_target.len()), (vec![(5, 8)], 0), "OP_UNSUPPORTED, and nothing was sent");
    assert_eq!(world.decided, [("sftp packet of kind 22".to_owned(), false)]);
}

#[test]
fn extensions_are_used_only_where_they_were_offered() {
    let mut world = World::new(anything);
    world.client(INIT);
    world.target(&Writer::new(kind::VERSION).u32(3).string(b"fsync@openssh.com").string(b"1").finish());
    world.to_target.clear();
    world.ask(1, &Request::PosixRename { old: bytes("a"), new: bytes("b") });
    world.ask(2, &Request::Unsupported { extension: bytes("check-file") });
    assert_eq!((world.told(), world.to_target.len()), (vec![(1, 8), (2, 8)], 0));
}

#[test]
fn a_handle_is_used_as_it_was_opened_and_not_after_its_end() {
    let mut world = World::greeted(rules);
    let handle = || bytes("0000");
    let (read, data) = (Request::Read { handle: handle(), offset: 0, length: 4 }, bytes("data"));
    let write = Request::Write { handle: handle(), offset: 0, data };
    world.ask(1, &read);
    world.ask(2, &open("sandbox/work/a.txt", 1));
    world.ask(3, &read);
    assert_eq!((world.told(), world.to_target.len()), (vec![(1, 2), (3, 2)], 1), "not before the target opened it");
    world.handle(2, b"0000");
    for (id, request) in [(4, &read), (5, &write), (6, &Request::ReadDir { handle: handle() })] {
        world.ask(id, request);
    }
    assert_eq!((world.told().split_off(2), world.to_target.len()), (vec![(5, 2), (6, 2)], 2), "only the read");
    world.ask(7, &Request::Close { handle: handle() });
    world.ask(8, &Request::Fstat { handle: handle() });
    world.ask(9, &Request::Close { handle: handle() });
    assert_eq!((world.told().split_off(4), world.to_target.len()), (vec![(8, 2), (9, 2)], 3));
    assert_eq!(world.fault, None);
}

#[test]
fn the_same_handle_again_means_what_was_opened_last() {
    let mut world = World::greeted(rules);
    let close = Request::Close { handle: bytes("0000") };
    world.ask(1, &open("sandbox/out/new", 0x1a));
    world.handle(1, b"0000");
    world.ask(2, &Request::Write { handle: bytes("0000"), offset: 0, data: bytes("one") });
    world.ask(3, &close);
    world.ask(4, &open("sandbox/work/a.txt", 1));
    // The target may answer in another order.
    world.handle(4, b"0000");
    world.status(2, 0);
    world.status(3, 0);
    let written = Outcome::Completed { status: "SSH_FX_OK".into(), rows: 0, bytes: 3 };
    assert_eq!(world.settled.remove(0), (0, written, Some(Digest::of(b"one"))));
    world.ask(5, &Request::Write { handle: bytes("0000"), offset: 0, data: bytes("two") });
    assert_eq!(world.told().last(), Some(&(5, 2)), "it is open for reading now");
    world.ask(6, &Request::Read { handle: bytes("0000"), offset: 0, length: 9 });
    world.target(&Writer::new(kind::DATA).u32(6).string(b"content").finish());
    world.ask(7, &close);
    world.status(7, 0);
    let read = Outcome::Completed { status: "SSH_FX_OK".into(), rows: 0, bytes: 7 };
    let opening = world.decided.iter().position(|(text, _)| text == "sftp get ~/sandbox/work/a.txt").unwrap();
    assert_eq!(world.settled, [(opening, read, Some(Digest::of(b"content")))]);
    ended_by(StreamSide::Target, "a handle that is too long or already open", |world| {
        world.ask(1, &open("a", 1));
        world.ask(2, &open("b", 1));
        world.handle(1, b"h");
        world.handle(2, b"h");
    });
    ended_by(StreamSide::Target, "7 bytes where 4 were asked for", |world| {
        world.ask(1, &open("a", 1));
        world.handle(1, b"h");
        world.ask(2, &Request::Read { handle: bytes("h"), offset: 0, length: 4 });
        world.target(&Writer::new(kind::DATA).u32(2).string(b"content").finish());
    });
}

#[test]
fn attributes_through_a_handle_are_an_update_unless_its_opening_was_one() {
    let mut world = World::greeted(rules);
    let set = |id, size| (id, Request::FSetStat { handle: bytes("h"), attributes: attributes(size) });
    world.ask(1, &open("sandbox/victim/config.yml", 1));
    world.handle(1, b"h");
    let (id, request) = set(2, Some(0));
    world.ask(id, &request);
    assert_eq!(world.decided[1], ("sftp fsetstat ~/sandbox/victim/config.yml size=0".to_owned(), false));
    assert_eq!((world.told(), world.to_target.len()), (vec![(2, 3)], 1));
    let mut world = World::greeted(rules);
    world.ask(1, &open("sandbox/out/new", 0x1a));
    world.handle(1, b"h");
    let (id, request) = set(2, None);
    world.ask(id, &request);
    assert_eq!((world.decided.len(), world.to_target.len()), (1, 2), "it follows");
}

fn attributes(size: Option<u64>) -> Attributes {
    Attributes { size, permissions: size.is_none().then_some(0o777), ..Attributes::default() }
}

#[test]
fn a_copy_is_a_read_of_the_one_and_an_update_of_the_other() {
    let mut world = World::greeted(anything);
    world.ask(1, &open("sandbox/work/a.txt", 1));
    world.handle(1, b"r");
    world.ask(2, &open("sandbox/out/b", 0x1a));
    world.handle(2, b"w");
    let copy =
        |from: &str, to: &str| Request::CopyData { from: bytes(from), at: 0, length: 0, to: bytes(to), to_at: 0 };
    world.ask(3, &copy("r", "w"));
    let operations: Vec<String> = world.commands[2].operations().iter().map(Operation::to_string).collect();
    assert_eq!(operations, ["read file ~/sandbox/work/a.txt", "update file ~/sandbox/out/b"]);
    for (id, from, to) in [(4, "w", "r"), (5, "r", "r"), (6, "r", "none")] {
        world.ask(id, &copy(from, to));
    }
    assert_eq!((world.told(), world.to_target.len()), (vec![(4, 2), (5, 2), (6, 2)], 3));
}

#[test]
fn no_name_is_resolved_while_one_may_change() {
    let mut world = World::greeted(anything);
    world.ask(1, &Request::Rename { old: bytes("sandbox/work/shortcut"), new: bytes("sandbox/work/d") });
    world.ask(2, &open("sandbox/work/d/config.yml", 0x1a));
    world.ask(3, &Request::Limits);
    assert_eq!((world.decided.len(), world.to_target.len()), (1, 1), "all wait behind it, in order");
    let link = world.tree.0.remove("/home/x/sandbox/work/shortcut").unwrap();
    world.tree.put("sandbox/work/d", link);
    world.status(1, 0);
    assert_eq!(world.decided[1].0, "sftp put ~/sandbox/victim/config.yml", "judged as what it means now");
    // And what changes names waits for what uses them.
    let mut world = World::greeted(anything);
    world.ask(1, &open("sandbox/work/a.txt", 1));
    world.ask(2, &Request::Remove { path: bytes("sandbox/work/a.txt") });
    assert_eq!(world.decided.len(), 1);
    world.status(1, 2);
    assert_eq!(world.decided.len(), 2);
}

#[test]
fn a_held_request_is_overtaken_by_nothing() {
    let mut world = World::greeted(anything);
    world.ask(1, &open("a", 1));
    world.handle(1, b"h");
    world.holding = true;
    world.ask(2, &Request::FSetStat { handle: bytes("h"), attributes: attributes(Some(0)) });
    world.ask(3, &Request::Close { handle: bytes("h") });
    world.pump();
    assert_eq!(world.to_target.len(), 1);
    world.holding = false;
    world.pump();
    assert_eq!(world.to_target[1][4], kind::FSETSTAT);
    assert_eq!(world.to_target[2][4], kind::CLOSE);
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut world = World::greeted(anything);
    for id in 0..OUTSTANDING as u32 + 9 {
        world.ask(id, &Request::Limits);
    }
    assert_eq!(world.to_target.len(), OUTSTANDING);
    world.status(0, 4);
    assert_eq!(world.to_target.len(), OUTSTANDING + 1);
    let mut world = World::greeted(anything);
    for id in 0..HANDLES as u32 {
        world.ask(id, &open("a", 1));
        world.handle(id, &id.to_be_bytes());
    }
    world.ask(5000, &open("a", 1));
    assert_eq!((world.told(), world.to_target.len()), (vec![(5000, 4)], HANDLES));
    assert_eq!(world.sftp.finish().len(), HANDLES, "each is settled when the channel ends");
}

#[test]
fn limits_told_are_never_above_ours() {
    let mut world = World::greeted(anything);
    world.ask(1, &Request::Limits);
    let said = Writer::new(kind::EXTENDED_REPLY).u32(1).u64(1 << 20).u64(1 << 20).u64(1 << 20).u64(0).finish();
    world.target(&said);
    let told = Writer::new(kind::EXTENDED_REPLY).u32(1).u64(262_144).u64(261_120).u64(261_120).u64(1024).finish();
    assert_eq!(world.to_client, [told]);
}

#[test]
fn a_name_too_long_is_refused_and_not_recorded_whole() {
    let mut world = World::greeted(anything);
    world.ask(1, &open(&"x".repeat(200_000), 1));
    world.ask(2, &Request::Unsupported { extension: bytes(&"y".repeat(200_000)) });
    assert_eq!((world.told(), world.to_target.len(), &world.fault), (vec![(1, 4), (2, 8)], 0, &None));
    assert!(world.decided.iter().all(|(text, passed)| text.len() < 200 && !passed));
    assert!(world.to_client.iter().all(|told| told.len() < 2000));
}
