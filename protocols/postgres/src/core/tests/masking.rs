//! Masks in the core: what an attacker tries with the protocol, and what servers may do that are not as expected.

mod copying;
mod limits;
mod naming;
mod rows;
mod speed;
mod words;

use super::rig::{House, Rig, detecting, masked, says};
use super::server::{self, CANARY, PEOPLE};
use bytes::BytesMut;

/// What a server says.
mod answers {
    use super::{BytesMut, server};

    pub(super) fn one(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        server::frame(&mut out, tag, body);
        out.to_vec()
    }

    pub(super) fn columns(columns: &[(&str, u32, i16, u32)]) -> Vec<u8> {
        let mut out = BytesMut::new();
        server::described(&mut out, columns);
        out.to_vec()
    }

    pub(super) fn row(cells: &[&str]) -> Vec<u8> {
        let mut out = BytesMut::new();
        server::row(&mut out, cells);
        out.to_vec()
    }

    pub(super) fn complete(tag: &str) -> Vec<u8> {
        one(b'C', format!("{tag}\0").as_bytes())
    }

    pub(super) fn error(severity: &str, code: &str, message: &str) -> Vec<u8> {
        one(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{message}\0D{message}\0\0").as_bytes())
    }

    pub(super) fn notice(message: &str) -> Vec<u8> {
        one(b'N', format!("SNOTICE\0VNOTICE\0C00000\0M{message}\0\0").as_bytes())
    }

    pub(super) fn ready(status: u8) -> Vec<u8> {
        one(b'Z', &[status])
    }
}

/// The columns of `SELECT ssn, name FROM people`.
const BOTH: [(&str, u32, i16, u32); 2] = [("ssn", PEOPLE, 2, 25), ("name", PEOPLE, 3, 25)];

/// A rig where the column is masked and the test is the server.
async fn rig() -> Rig {
    of(masked().await).await
}

async fn of(house: House) -> Rig {
    let mut rig = Rig::by_hand(&house, &["agents"]).await;
    rig.house = Some(house);
    rig
}

/// The kinds of the frames that were sent to the server since the last time.
fn sent(rig: &mut Rig) -> String {
    tags(&std::mem::take(&mut rig.sent))
}

/// What the client was told; nothing of what is masked may be in it.
fn told(rig: &mut Rig) -> Vec<u8> {
    let told = rig.told();
    assert!(!holds(&told, CANARY), "it leaks: {}", String::from_utf8_lossy(&told));
    told
}

/// The tags of what the client was told; nothing of what is masked may be in it.
fn outline(rig: &mut Rig) -> String {
    tags(&told(rig))
}

fn tags(bytes: &[u8]) -> String {
    let (mut tags, mut rest) = (String::new(), bytes);
    while rest.len() >= 5 {
        tags.push(char::from(rest[0]));
        rest = &rest[u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize + 1..];
    }
    tags
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
