//! `fixtures/sftp/requests.tsv`: what each request is, and which names are sent. The target is the model of `tree.rs`.

use crate::sftp::frame::Framer;
use crate::sftp::packet::{FromClient, Request};
use crate::sftp::read;
use crate::sftp::tests::tree::{HOME, Tree};
use crate::sftp::wire::Attributes;
use bytes::Bytes;
use std::fmt::Write as _;

const TABLE: &str = include_str!("../../../../../fixtures/sftp/requests.tsv");

#[test]
fn every_line_of_the_table() {
    let mut wrong = String::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let (said, means) = (columns.next().unwrap(), columns.next().expect(line));
        let sends = columns.next().unwrap_or("");
        let found = read_line(said);
        if found != (means.to_owned(), sends.to_owned()) {
            writeln!(wrong, "{said}\n  expected {means} | {sends}\n  found    {} | {}", found.0, found.1).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn read_line(said: &str) -> (String, String) {
    let request = request(said);
    let wanted = read::read(1, &request).unwrap_or_else(|| panic!("{said}: names handles"));
    let judged = match Tree::sandbox().all(wanted.touches()) {
        Ok(resolved) => wanted.judged(&resolved, Some(HOME)),
        Err(why) => wanted.unresolved(why),
    };
    if let Some(fault) = &judged.command.fault {
        assert!(judged.frame.is_empty(), "{said}: what is refused has no frame");
        return (format!("refused: {}", fault.message()), String::new());
    }
    let operations: Vec<String> = judged.command.operations().iter().map(ToString::to_string).collect();
    let mut framer = Framer::default();
    framer.push(&judged.frame);
    let Ok(FromClient::Request { id: 1, request }) = FromClient::decode(&framer.next().unwrap().unwrap()) else {
        panic!("{said}: another packet");
    };
    let names: Vec<_> = request.names().into_iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
    (operations.join(" ; "), names.join(" "))
}

/// `VERB NAME…`; `%HH` is a byte, so `%20` a blank.
fn request(said: &str) -> Request {
    let mut words = said.split(' ');
    let verb = words.next().unwrap();
    let mut name = || bytes(words.next().unwrap_or(""));
    let attributes = Attributes::default;
    match verb {
        "open" => {
            let flags = flags(&name());
            Request::Open { path: name(), flags, attributes: attributes() }
        }
        "stat" => Request::Stat { path: name() },
        "lstat" => Request::Lstat { path: name() },
        "setstat" => Request::SetStat { path: name(), attributes: Attributes { size: Some(0), ..attributes() } },
        "lsetstat" => Request::LSetStat { path: name(), attributes: attributes() },
        "vendor" => {
            let extended = Some(vec![(Bytes::from_static(b"acl"), Bytes::new())]);
            Request::SetStat { path: name(), attributes: Attributes { extended, ..attributes() } }
        }
        "opendir" => Request::OpenDir { path: name() },
        "remove" => Request::Remove { path: name() },
        "mkdir" => Request::MkDir { path: name(), attributes: attributes() },
        "rmdir" => Request::RmDir { path: name() },
        "realpath" => Request::RealPath { path: name() },
        "expand-path" => Request::ExpandPath { path: name() },
        "statvfs" => Request::StatVfs { path: name() },
        "readlink" => Request::ReadLink { path: name() },
        "home-directory" => Request::HomeDirectory { user: name() },
        "limits" => Request::Limits,
        "ids" => Request::NamesOfIds { users: name(), groups: Bytes::new() },
        "rename" => Request::Rename { old: name(), new: name() },
        "posix-rename" => Request::PosixRename { old: name(), new: name() },
        "hardlink" => Request::HardLink { old: name(), new: name() },
        "symlink" => Request::Symlink { target: name(), link: name() },
        "extended" => Request::Unsupported { extension: name() },
        other => panic!("{other}"),
    }
}

fn flags(letters: &Bytes) -> u32 {
    letters.iter().fold(0, |flags, letter| {
        flags
            | match letter {
                b'r' => 1,
                b'w' => 2,
                b'a' => 4,
                b'c' => 8,
                b't' => 0x10,
                b'x' => 0x20,
                b'?' => 0x40,
                b'0' => 0,
                other => panic!("{other}"),
            }
    })
}

fn bytes(word: &str) -> Bytes {
    let mut out = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    out.into()
}
