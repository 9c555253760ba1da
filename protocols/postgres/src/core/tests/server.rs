//! A server that keeps the extended protocol's rules: skipping to Sync, transaction status, names, COPY. What it
//! answers is made up.

use super::ledger::{Ledger, is_control};
use crate::message::{TransactionStatus, write};
use bytes::{BufMut, BytesMut};
use std::collections::HashMap;

/// What is in `public.people.ssn`.
pub(super) const CANARY: &str = "123-45-6789";
/// The number of `public.people`.
pub(super) const PEOPLE: u32 = 20_002;

#[derive(Default)]
pub(super) struct Server {
    input: Vec<u8>,
    out: BytesMut,
    statements: HashMap<String, String>,
    portals: HashMap<String, String>,
    skipping: bool,
    /// COPY FROM STDIN under way; whether it began in a Query.
    copying: Option<bool>,
    /// Texts that ran.
    pub(super) ran: Vec<String>,
    pub(super) copied: Vec<u8>,
    /// Frames of COPY data that were read.
    lines: usize,
    /// What is cancelled when it is next run.
    pub(super) fails: Option<String>,
    /// Its transactions.
    pub(super) ledger: Ledger,
    /// The next COMMIT finds that a deferred constraint does not hold.
    pub(super) deferred: bool,
    /// It answers nothing: the test does.
    pub(super) silent: bool,
    /// The temporary relations of the session, as JSON; none where it is not said.
    pub(super) temporary: Option<&'static str>,
}

pub(super) fn frame(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.put_slice(body);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn strings(body: &[u8]) -> Vec<String> {
    body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

impl Server {
    /// Takes what the gateway wrote; returns what it answers at once.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.silent {
            return Vec::new();
        }
        self.input.extend_from_slice(bytes);
        while self.input.len() >= 5 {
            let length = u32::from_be_bytes(self.input[1..5].try_into().unwrap()) as usize;
            if self.input.len() < length + 1 {
                break;
            }
            let rest = self.input.split_off(length + 1);
            let whole = std::mem::replace(&mut self.input, rest);
            self.frame(whole[0], &whole[5..]);
        }
        self.out.split().to_vec()
    }

    fn frame(&mut self, tag: u8, body: &[u8]) {
        if let Some(simple) = self.copying {
            return self.copy(tag, body, simple);
        }
        if matches!(tag, b'd' | b'c' | b'f') {
            return;
        }
        if self.skipping && tag != b'S' {
            return;
        }
        match tag {
            b'Q' => self.query(&strings(body)[0]),
            b'P' => {
                let parts = strings(body);
                self.parse(&parts[0], &parts[1]);
            }
            b'B' => {
                let parts = strings(body);
                match self.statements.get(&parts[1]).cloned() {
                    Some(sql) => {
                        self.portals.insert(parts[0].clone(), sql);
                        frame(&mut self.out, b'2', b"");
                    }
                    None => self.error("26000"),
                }
            }
            b'D' => self.describe(body),
            b'E' => match self.portals.get(&strings(body)[0]).cloned() {
                Some(sql) => {
                    if self.execute(&sql, false) {
                        self.ledger.executed(&sql);
                    }
                }
                None => self.error("34000"),
            },
            b'C' => {
                let name = text(&body[1..body.len() - 1]);
                if body[0] == b'S' {
                    self.statements.remove(&name)
                } else {
                    self.portals.remove(&name)
                };
                frame(&mut self.out, b'3', b"");
            }
            b'S' => {
                self.skipping = false;
                self.ledger.synced();
                self.ready();
            }
            b'H' | b'X' => {}
            other => panic!("the gateway wrote a message of type {}", char::from(other)),
        }
    }

    fn parse(&mut self, name: &str, sql: &str) {
        if sql.ends_with('!') {
            if name.is_empty() {
                self.statements.remove("");
            }
            return self.error("42601");
        }
        if !name.is_empty() && self.statements.contains_key(name) {
            return self.error("42P05");
        }
        self.statements.insert(name.to_owned(), sql.to_owned());
        frame(&mut self.out, b'1', b"");
    }

    fn describe(&mut self, body: &[u8]) {
        let name = text(&body[1..body.len() - 1]);
        match self.portals.get(&name) {
            Some(sql) if body[0] == b'P' && sql.starts_with("SELECT") && sql.contains("people") => {
                describe_people(&mut self.out);
            }
            _ => frame(&mut self.out, b'n', b""),
        }
    }

    fn query(&mut self, sql: &str) {
        self.statements.remove("");
        self.portals.remove("");
        if sql.ends_with('!') {
            self.fail("42601");
            return self.ready();
        }
        if sql.trim().is_empty() {
            frame(&mut self.out, b'I', b"");
            return self.ready();
        }
        for statement in sql.split(';') {
            if !self.execute(statement.trim(), true) {
                break;
            }
        }
        if self.copying.is_none() {
            self.ready();
        }
    }

    /// Runs one statement; false when it failed or goes on.
    fn execute(&mut self, sql: &str, simple: bool) -> bool {
        let sql = sql.to_owned();
        if self.ledger.has_failed() && !sql.starts_with("ROLLBACK") && !sql.starts_with("COMMIT") {
            if simple {
                self.fail("25P02")
            } else {
                self.error("25P02")
            }
            return false;
        }
        self.ran.push(sql.clone());
        self.ledger.begins();
        let complete = |out: &mut BytesMut, tag: &str| frame(out, b'C', format!("{tag}\0").as_bytes());
        if sql.contains("1/0") {
            if simple {
                self.fail("22012")
            } else {
                self.error("22012")
            }
            return false;
        }
        if self.fails.take_if(|fails| *fails == sql).is_some() {
            if simple {
                self.fail("57014")
            } else {
                self.error("57014")
            }
            return false;
        }
        match sql.as_str() {
            "COMMIT" if std::mem::take(&mut self.deferred) => {
                self.fail("23503");
                self.ledger.commit_failed();
                return false;
            }
            write if write.contains("DELETE FROM items WHERE id < ") && !write.starts_with("PREPARE") => {
                return self.delete(&sql, simple);
            }
            "EXECUTE d" => {
                self.ledger.wrote(3);
                complete(&mut self.out, "DELETE 3");
            }
            control if is_control(control) => match self.ledger.control(control) {
                Ok(tag) => complete(&mut self.out, tag),
                Err(code) if simple => {
                    self.fail(code);
                    return false;
                }
                Err(code) => {
                    self.error(code);
                    return false;
                }
            },
            copy if copy.starts_with("COPY") && copy.contains("FROM STDIN") => {
                frame(&mut self.out, b'G', &[0, 0, 1, 0, 0]);
                self.copying = Some(simple);
                return false;
            }
            read if read.contains("current_schemas") => {
                let temporary = self.temporary.unwrap_or("[]");
                row(&mut self.out, &["[\"public\"]", "\"app\"", temporary, "false"]);
                complete(&mut self.out, "SELECT 1");
            }
            "COPY people TO STDOUT" => {
                frame(&mut self.out, b'H', &[0, 0, 3, 0, 0, 0, 0, 0, 0]);
                for name in ["bo".to_owned(), "al".repeat(40_000)] {
                    frame(&mut self.out, b'd', format!("1\t{CANARY}\t{name}\n").as_bytes());
                }
                frame(&mut self.out, b'c', b"");
                complete(&mut self.out, "COPY 2");
            }
            read if read.starts_with("SELECT") && read.contains("people") => {
                if simple {
                    describe_people(&mut self.out);
                }
                let long = "bo".repeat(40_000);
                for name in ["al", long.as_str(), "cy"] {
                    row(&mut self.out, &[CANARY, name]);
                }
                complete(&mut self.out, "SELECT 3");
            }
            read if read.starts_with("SELECT") => {
                if simple {
                    describe_one(&mut self.out);
                }
                row(&mut self.out, &["1"]);
                complete(&mut self.out, "SELECT 1");
            }
            _ => complete(&mut self.out, "INSERT 0 1"),
        }
        true
    }

    /// Deletes as many rows as the text says.
    fn delete(&mut self, sql: &str, simple: bool) -> bool {
        let rows = sql.split("id < ").nth(1).and_then(|rest| rest.chars().next()?.to_digit(10)).unwrap();
        let long = "long".repeat(200_000);
        if sql.contains("RETURNING") {
            if simple {
                describe_one(&mut self.out);
            }
            for _ in 0..rows {
                row(&mut self.out, &[if sql.contains("long") { &long } else { "1" }]);
                if sql.contains("parts") {
                    frame(&mut self.out, b's', b"");
                    return false;
                }
            }
        }
        self.ledger.wrote(rows);
        frame(&mut self.out, b'C', format!("DELETE {rows}\0").as_bytes());
        true
    }

    fn copy(&mut self, tag: u8, body: &[u8], simple: bool) {
        match tag {
            b'd' if body.starts_with(b"bad") => {
                self.copying = None;
                if simple {
                    self.fail("22P04");
                    self.ready();
                } else {
                    self.error("22P04");
                }
            }
            b'd' => {
                self.copied.extend_from_slice(body);
                self.lines += 1;
            }
            b'c' => {
                self.copying = None;
                // A COPY of the other tests is one row, however it was cut.
                let rows = std::mem::take(&mut self.lines).max(1);
                frame(&mut self.out, b'C', format!("COPY {rows}\0").as_bytes());
                if simple {
                    self.ready();
                }
            }
            b'f' => {
                self.copying = None;
                if simple {
                    self.fail("57014");
                    self.ready();
                } else {
                    self.error("57014");
                }
            }
            b'H' | b'S' | b'X' => {}
            other => panic!("{} while COPY data is read", char::from(other)),
        }
    }

    fn error(&mut self, code: &str) {
        self.fail(code);
        self.skipping = true;
    }

    fn fail(&mut self, code: &str) {
        let body = format!("SERROR\0VERROR\0C{code}\0Mfailed\0\0");
        frame(&mut self.out, b'E', body.as_bytes());
        self.ledger.failed();
    }

    fn ready(&mut self) {
        let status = self.ledger.ready();
        if status == TransactionStatus::Idle {
            self.portals.clear();
        }
        write::ready_for_query(&mut self.out, status);
    }
}

pub(super) fn row(out: &mut BytesMut, cells: &[&str]) {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(cells.len()).unwrap());
    for cell in cells {
        body.put_u32(u32::try_from(cell.len()).unwrap());
        body.put_slice(cell.as_bytes());
    }
    frame(out, b'D', &body);
}

fn describe_one(out: &mut BytesMut) {
    described(out, &[("n", 0, 0, 23)]);
}

fn describe_people(out: &mut BytesMut) {
    described(out, &[("ssn", PEOPLE, 2, 25), ("name", PEOPLE, 3, 25)]);
}

/// RowDescription of columns by name, relation, attribute and type.
pub(super) fn described(out: &mut BytesMut, columns: &[(&str, u32, i16, u32)]) {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(columns.len()).unwrap());
    for (name, relation, attribute, type_oid) in columns {
        body.put_slice(name.as_bytes());
        body.put_u8(0);
        body.put_u32(*relation);
        body.put_i16(*attribute);
        body.put_u32(*type_oid);
        body.put_i16(-1);
        body.put_i32(-1);
        body.put_i16(0);
    }
    frame(out, b'T', &body);
}
