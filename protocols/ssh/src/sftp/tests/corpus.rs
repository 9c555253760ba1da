//! Each kind of attack on a file server, under the rules "read what is no secret, write in work and out only": what the
//! target gets of it.

use crate::sftp::packet::Request;
use crate::sftp::tests::tree::Node;
use crate::sftp::tests::world::{World, open, rules};
use crate::sftp::wire::Attributes;
use bytes::Bytes;

fn name(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Nothing of it reaches the target, and the session lives on.
fn refused(requests: &[Request]) {
    for request in requests {
        let mut world = World::greeted(rules);
        world.ask(1, request);
        assert!(world.to_target.is_empty(), "{request:?} passed");
        assert_eq!(world.told().len(), 1, "{request:?} was not answered");
        world.ask(2, &open("sandbox/work/a.txt", 1));
        assert_eq!(world.to_target.len(), 1, "after {request:?}");
    }
}

fn passes(requests: &[Request]) {
    for request in requests {
        let mut world = World::greeted(rules);
        world.ask(1, request);
        assert_eq!(world.to_target.len(), 1, "{request:?} was refused: {:?}", world.decided);
    }
}

#[test]
fn what_lies_outside_is_not_changed_however_it_is_named() {
    let (path, attributes) = (name, Attributes::default);
    let cut = || Attributes { size: Some(0), ..attributes() };
    refused(&[
        Request::Remove { path: path("sandbox/work/shortcut/config.yml") },
        Request::Remove { path: path("sandbox/victim/config.yml") },
        Request::RmDir { path: path("sandbox/work/docs/../../victim/data") },
        open("sandbox/work/shortcut/config.yml", 0x1a),
        open("sandbox/work/dangling", 0x1a),
        open("sandbox/victim/config.yml", 0x03),
        open("sandbox/victim/config.yml", 0x11),
        open("sandbox/victim/config.yml", 0x10),
        open("sandbox/victim/disk.img", 0x02),
        open(".bashrc", 0x0e),
        open(".ssh/authorized_keys2", 0x1a),
        open(".ssh/authorized_keys2", 0x29),
        open("sandbox/work/proj/GNUmakefile", 0x1a),
        open("sandbox/work/repo/.git/hooks/post-merge", 0x1a),
        Request::SetStat { path: path("sandbox/victim/db.sqlite"), attributes: cut() },
        Request::SetStat { path: path("sandbox/work/dangling"), attributes: cut() },
        Request::LSetStat { path: path("sandbox/victim/config.yml"), attributes: attributes() },
        Request::MkDir { path: path("sandbox/victim/n"), attributes: attributes() },
        Request::MkDir { path: path("sandbox/work/shortcut/n"), attributes: attributes() },
        Request::Rename { old: path("sandbox/victim/data"), new: path("sandbox/out/d") },
        Request::Rename { old: path("sandbox/work/a.txt"), new: path("sandbox/victim/config.yml") },
        Request::PosixRename { old: path("sandbox/work/a.txt"), new: path("sandbox/victim/config.yml") },
        Request::PosixRename { old: path("sandbox/work/a.txt"), new: path("sandbox/work/shortcut/config.yml") },
        Request::Rename { old: path("sandbox/work/app"), new: path("sandbox/work/b") },
        Request::Symlink { target: path("../victim"), link: path("sandbox/work/d") },
        Request::Symlink { target: path("/home/x/.pgpass"), link: path("sandbox/work/n") },
        Request::Symlink { target: path("a.txt"), link: path("sandbox/victim/n") },
        Request::Symlink { target: path("/proc/self/cwd"), link: path("sandbox/work/n") },
        Request::HardLink { old: path(".pgpass"), new: path("sandbox/work/n") },
        Request::HardLink { old: path("sandbox/work/shortcut/config.yml"), new: path("sandbox/work/n") },
    ]);
}

#[test]
fn secrets_are_not_read_however_they_are_named() {
    refused(&[
        open(".ssh/id", 0x01),
        open(".ssh/id", 0),
        open("sandbox/work/absolute", 0x01),
        open("sandbox/work/../../.aws/credentials", 0x01),
        open("/home/x/sandbox/work/app/.env", 0x01),
        open("/proc/self/environ", 0x01),
        Request::OpenDir { path: name(".aws") },
        Request::Stat { path: name("sandbox/work/absolute") },
    ]);
}

#[test]
fn what_the_rules_allow_passes() {
    let path = name;
    passes(&[
        Request::RealPath { path: path(".") },
        Request::Stat { path: path("sandbox") },
        Request::Stat { path: path("sandbox/work/none") },
        Request::OpenDir { path: path("sandbox/work") },
        open("sandbox/work/none", 0x01),
        open("sandbox/work/my file", 0x01),
        open("sandbox/work/up.txt", 0x1a),
        Request::SetStat { path: path("sandbox/work/a.txt"), attributes: Attributes::default() },
        Request::Symlink { target: path("a.txt"), link: path("sandbox/work/b.txt") },
        Request::Rename { old: path("sandbox/work/docs"), new: path("sandbox/out/docs") },
    ]);
}

#[test]
fn a_link_that_was_refused_leads_nowhere_and_one_that_appears_is_seen() {
    let mut world = World::greeted(rules);
    world.ask(1, &Request::Symlink { target: name("../victim"), link: name("sandbox/work/d") });
    world.ask(2, &open("sandbox/work/d/config.yml", 0x1a));
    assert_eq!(world.decided[1], ("sftp put ~/sandbox/work/d/config.yml".to_owned(), true), "no link is there");
    world.tree.put("sandbox/work/e", Node::Link("../victim".to_owned()));
    world.ask(3, &open("sandbox/work/e/config.yml", 0x1a));
    assert_eq!(world.decided[2], ("sftp put ~/sandbox/victim/config.yml".to_owned(), false));
}

#[test]
fn what_is_sent_names_what_was_judged() {
    let mut world = World::greeted(rules);
    world.ask(1, &open("sandbox/work/shortcut/../out/a.txt", 0x01));
    assert_eq!(world.to_target, [open("/home/x/sandbox/out/a.txt", 0x01).encode(1)]);
    assert_eq!(world.commands[0].digest, portcullis_model::Digest::of(&world.to_target[0]));
}
