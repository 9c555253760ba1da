//! The peers of a played session: what a client says by the book, and a server that answers what it was sent.
//!
//! Does not promise a server's behaviour beyond the order of answers and skipping to Sync; the input chooses what each
//! answer is. Held by: `core/tests/splitting.rs`.

use crate::message::{Target, TransactionStatus, write};
use bytes::{BufMut, BytesMut};
use std::collections::VecDeque;

/// Frames by the book; a table of these is what one byte of the input chooses from.
type Says = fn() -> Vec<u8>;

/// One frame, or a few, as this writes them.
pub(super) fn one(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

fn query(text: &str) -> Vec<u8> {
    one(|out| write::query(out, text))
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    one(|out| write::parse(out, name, text, &[]))
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    one(|out| write::bind(out, portal, statement, &[], false))
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(0).saturating_add(4);
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// What a client says.
pub(super) const CLIENT: &[Says] = &[
    || query("SELECT id FROM items"),
    || query("BEGIN"),
    || query("COMMIT"),
    || query("ROLLBACK"),
    || query("DROP TABLE items"),
    || query("TRUNCATE items"),
    || query("SELECT 1; DROP TABLE items"),
    || query("INSERT INTO items VALUES (1)"),
    || query("SET search_path = public"),
    || query("PREPARE q AS SELECT id FROM items"),
    || query("EXECUTE q"),
    || query("DEALLOCATE ALL"),
    || query("DECLARE c CURSOR FOR SELECT id FROM items"),
    || query("FETCH c"),
    || query("COPY items FROM STDIN"),
    || query("COPY items TO STDOUT"),
    || query("DISCARD ALL"),
    || query("SELEC"),
    || query(""),
    || parse("", "SELECT id FROM items"),
    || parse("a", "SELECT id FROM items WHERE id = $1"),
    || parse("a", "DROP TABLE items"),
    || parse("b", "INSERT INTO items VALUES ($1)"),
    || parse("", "BEGIN"),
    || parse("", "COPY items FROM STDIN"),
    || parse("t", "TRUNCATE items"),
    || bind("", ""),
    || bind("p", "a"),
    || bind("", "b"),
    || bind("p", "t"),
    || one(|out| write::execute(out, "", 0)),
    || one(|out| write::execute(out, "p", 5)),
    || one(|out| write::close(out, Target::Statement("a"))),
    || one(|out| write::close(out, Target::Portal("p"))),
    || one(|out| write::describe(out, Target::Statement("a"))),
    || one(|out| write::describe(out, Target::Portal(""))),
    || one(write::sync),
    || one(write::flush),
    || frame(b'd', b"1\ta\n"),
    || frame(b'c', b""),
    || frame(b'f', b"stop\0"),
    || frame(b'X', b""),
    || frame(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
];

/// What a server says.
pub(super) const SERVER: &[Says] = &[
    || ready(TransactionStatus::Idle),
    || ready(TransactionStatus::Open),
    || ready(TransactionStatus::Failed),
    || frame(b'1', b""),
    || frame(b'2', b""),
    || frame(b'3', b""),
    || frame(b'n', b""),
    || frame(b's', b""),
    || frame(b'I', b""),
    || frame(b'C', b"SELECT 1\0"),
    || frame(b'C', b"INSERT 0 1\0"),
    || frame(b'C', b"COPY 2\0"),
    || frame(b'C', b"ROLLBACK\0"),
    || frame(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0"),
    || frame(b'E', b"SFATAL\0VFATAL\0C57P01\0Mdown\0\0"),
    || frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mso\0\0"),
    || frame(b'S', b"client_encoding\0LATIN1\0"),
    || frame(b'S', b"standard_conforming_strings\0off\0"),
    || frame(b'S', b"TimeZone\0UTC\0"),
    || frame(b'A', &[0, 0, 0, 1, b'c', 0, b'p', 0]),
    || described(),
    || row(&[b"1"]),
    || frame(b't', &[0, 1, 0, 0, 0, 23]),
    || frame(b'G', &[0, 0, 1, 0, 0]),
    || frame(b'H', &[0, 0, 1, 0, 0]),
    || frame(b'd', b"1\ta\n"),
    || frame(b'c', b""),
];

fn ready(status: TransactionStatus) -> Vec<u8> {
    one(|out| write::ready_for_query(out, status))
}

/// One column of integers.
fn described() -> Vec<u8> {
    frame(b'T', &[&[0, 1, b'n', 0][..], &[0; 6], &[0, 0, 0, 23, 0, 4], &[255; 4], &[0, 0]].concat())
}

fn row(cells: &[&[u8]]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(cells.len()).unwrap_or(0));
    for cell in cells {
        body.put_u32(u32::try_from(cell.len()).unwrap_or(0));
        body.put_slice(cell);
    }
    frame(b'D', &body)
}

/// A server that was sent frames and owes answers.
#[derive(Default)]
pub(super) struct Server {
    owes: VecDeque<Owed>,
    skipping: bool,
}

/// A frame, as far as its answer depends on it.
struct Owed {
    tag: u8,
    /// It stands in for a refused one, or refers to what never exists.
    refused: bool,
    /// It asks what names mean.
    scope: bool,
}

impl Server {
    /// It is sent this.
    pub(super) fn take(&mut self, tag: u8, body: &[u8]) {
        let parts: Vec<_> = body.split(|byte| *byte == 0).collect();
        let own = parts.iter().any(|part| part.starts_with(b"gw$"));
        let scope = own && parts.iter().any(|part| part.starts_with(b"gw$") && part.ends_with(b"s"));
        let refused = body.starts_with(b"/*gw") || parts.iter().any(|part| part.ends_with(b"*/!")) || (own && !scope);
        self.owes.push_back(Owed { tag, refused, scope });
    }

    /// Whether it owes nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.owes.is_empty()
    }

    /// Answers the oldest frame, in this way.
    pub(super) fn answer(&mut self, how: u8) -> Vec<u8> {
        let Some(owed) = self.owes.pop_front() else { return Vec::new() };
        if self.skipping && owed.tag != b'S' {
            return Vec::new();
        }
        let status = [TransactionStatus::Idle, TransactionStatus::Open, TransactionStatus::Failed];
        let status = status.get(usize::from(how >> 4) % 3).copied().unwrap_or(TransactionStatus::Idle);
        match owed.tag {
            b'Q' => [self.ran(how, owed.refused), ready(status)].concat(),
            b'S' => {
                self.skipping = false;
                ready(status)
            }
            b'c' | b'f' => {
                let done = if owed.tag == b'c' { frame(b'C', b"COPY 1\0") } else { failed() };
                if how & 1 == 0 { [done, ready(status)].concat() } else { done }
            }
            b'H' | b'X' | b'd' => Vec::new(),
            _ if owed.refused || (how & 15 == 15 && !owed.scope) => {
                self.skipping = true;
                failed()
            }
            b'P' => frame(b'1', b""),
            b'B' => frame(b'2', b""),
            b'C' => frame(b'3', b""),
            b'D' if how & 1 == 0 => frame(b'n', b""),
            b'D' => [frame(b't', &[0, 1, 0, 0, 0, 23]), described()].concat(),
            b'E' if owed.scope => {
                [row(&[b"[\"public\"]", b"\"app\"", b"[]", b"false"]), frame(b'C', b"SELECT 1\0")].concat()
            }
            _ => self.ran(how, false),
        }
    }

    fn ran(&mut self, how: u8, refused: bool) -> Vec<u8> {
        if refused {
            return failed();
        }
        match how % 8 {
            0 | 1 => frame(b'C', b"INSERT 0 1\0"),
            2 => [described(), row(&[b"1"]), frame(b'C', b"SELECT 1\0")].concat(),
            3 => failed(),
            4 => frame(b'I', b""),
            5 => frame(b'G', &[0, 0, 1, 0, 0]),
            6 => [frame(b'H', &[0, 0, 1, 0, 0]), frame(b'd', b"1\n"), frame(b'c', b""), frame(b'C', b"COPY 1\0")]
                .concat(),
            _ => [row(&[b"1"]), frame(b's', b"")].concat(),
        }
    }
}

fn failed() -> Vec<u8> {
    frame(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0")
}
