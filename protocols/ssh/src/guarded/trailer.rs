//! What a line's shell says behind the line, taken out of its output.
//!
//! A trailer is the mark with this line's nonce, how the line ended, its status, the directory and the variables asked
//! for, and the end; all but the mark and the end is printable, so a terminal's output modes leave it as it is.
//! Promises: any bytes, split anywhere, come out as they went in but for whole trailers with the right nonce; what is held
//! back is bounded and comes out in the end. What is told is believed of nothing but the next line's start: `session.rs`.
//! Does not promise that a program of the line did not write it: it can find the nonce out.
//! Held by: the tests below and `fuzz_guarded`.

use super::quote::unquote;
use super::script::{END, MARK};
use bytes::Bytes;

/// Bytes of a trailer; what is longer is output.
const LONGEST: usize = 512 << 10;

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It came to its end.
    AtEnd,
    /// The shell left before that: `exit`, or an error that ends a shell.
    Early,
    /// It did not start: the directory is not there.
    NoDirectory,
}

/// What a line's shell said of itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) ended: Ended,
    pub(crate) status: u8,
    /// `None` where it is not text.
    pub(crate) directory: Option<String>,
    /// What `cd -` leads to; empty where it leads nowhere.
    pub(crate) previous: Option<String>,
    pub(crate) variables: Vec<(String, Told)>,
}

/// What it said of a variable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Unset,
    Value(String),
    /// An array, or no text.
    Other,
}

/// Looks for trailers in a line's output.
pub(crate) struct TrailerFilter {
    mark: Vec<u8>,
    held: Vec<u8>,
    /// How much of what is held was looked through for the end.
    looked: usize,
    after: Option<After>,
    last: Option<u8>,
}

impl TrailerFilter {
    pub(crate) fn new(nonce: &str) -> Self {
        let mark = [MARK.as_bytes(), nonce.as_bytes(), b" "].concat();
        Self { mark, held: Vec::new(), looked: 0, after: None, last: None }
    }

    /// Output of the target to output for the client.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len());
        if self.held.is_empty() {
            let plain = bytes.iter().position(|byte| *byte == 0x1b).unwrap_or(bytes.len());
            let (plain, rest) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
            out.extend_from_slice(plain);
            self.held.extend_from_slice(rest);
        } else {
            self.held.extend_from_slice(bytes);
        }
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some(after) = self.step(rest, &mut out) {
            rest = after;
        }
        self.held = rest.to_vec();
        if let Some(last) = out.last() {
            self.last = Some(*last);
        }
        Bytes::from(out)
    }

    /// Passes what can be told of `held`, which starts anywhere; what is left, or `None` where more has to come.
    fn step<'a>(&mut self, held: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
        let start = held.iter().position(|byte| *byte == 0x1b);
        match start {
            None if held.is_empty() => return None,
            None => {
                out.extend_from_slice(held);
                return Some(&[]);
            }
            Some(0) => {}
            Some(start) => {
                let (plain, rest) = held.split_at_checked(start)?;
                out.extend_from_slice(plain);
                return Some(rest);
            }
        }
        if let Some(body) = held.strip_prefix(self.mark.as_slice()) {
            let end = body.iter().skip(self.looked).position(|byte| *byte < b' ' || *byte == 0x7f);
            let Some(end) = end.map(|end| end + self.looked) else {
                if body.len() <= LONGEST {
                    self.looked = body.len();
                    return None;
                }
                return self.pass_one(held, out);
            };
            let (said, rest) = body.split_at_checked(end)?;
            if let Some((&END, rest)) = rest.split_first()
                && let Some(after) = parse(said)
            {
                self.after = Some(after);
                self.looked = 0;
                return Some(rest);
            }
        } else if self.mark.starts_with(held) {
            return None;
        }
        self.pass_one(held, out)
    }

    fn pass_one<'a>(&mut self, held: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
        self.looked = 0;
        let (first, rest) = held.split_first()?;
        out.push(*first);
        Some(rest)
    }

    /// What was held back and turned out to be output; the last trailer; whether the output ended inside a row.
    pub(crate) fn finish(mut self) -> (Bytes, Option<After>, bool) {
        let last = self.held.last().copied().or(self.last);
        let inside = last.is_some_and(|byte| byte != b'\n');
        (Bytes::from(std::mem::take(&mut self.held)), self.after, inside)
    }
}

fn parse(said: &[u8]) -> Option<After> {
    let (ended, rest) = unquote(said)?;
    let ended = match ended.as_slice() {
        b"e" => Ended::AtEnd,
        b"x" => Ended::Early,
        b"g" => Ended::NoDirectory,
        _ => return None,
    };
    let (status, rest) = unquote(rest.strip_prefix(b" ")?)?;
    let status = std::str::from_utf8(&status).ok().filter(|text| !text.starts_with('+'))?.parse().ok()?;
    let (directory, rest) = unquote(rest.strip_prefix(b" ")?)?;
    let (previous, mut rest) = unquote(rest.strip_prefix(b" ")?)?;
    let mut variables = Vec::new();
    while let Some(variable) = rest.strip_prefix(b" ") {
        let (name, told, after) = variable_of(variable)?;
        variables.push((name, told));
        rest = after;
    }
    if !rest.is_empty() {
        return None;
    }
    let text = |bytes| String::from_utf8(bytes).ok();
    Some(After { ended, status, directory: text(directory), previous: text(previous), variables })
}

/// `NAME:COUNT=VALUE`, or `NAME:COUNT''` where it is not set.
fn variable_of(text: &[u8]) -> Option<(String, Told, &[u8])> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (name, rest) = text.split_at_checked(colon)?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    let rest = rest.strip_prefix(b":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (count, rest) = rest.split_at_checked(digits)?;
    let Some(value) = rest.strip_prefix(b"=") else {
        let (value, rest) = unquote(rest)?;
        let told = if count == b"0" { Told::Unset } else { Told::Other };
        return value.is_empty().then_some((name, told, rest));
    };
    let (value, rest) = unquote(value)?;
    let told = match String::from_utf8(value) {
        Ok(value) if count == b"1" && !value.contains('\0') => Told::Value(value),
        Ok(_) | Err(_) => Told::Other,
    };
    Some((name, told, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "00112233445566778899aabbccddeeff";

    fn filtered(bytes: &[u8], step: usize) -> (Vec<u8>, Option<After>, bool) {
        let mut filter = TrailerFilter::new(NONCE);
        let mut out = Vec::new();
        for part in bytes.chunks(step) {
            out.extend_from_slice(&filter.feed(part));
        }
        let (rest, after, inside) = filter.finish();
        out.extend_from_slice(&rest);
        (out, after, inside)
    }

    fn mark(nonce: &str, rest: &str) -> String {
        format!("\x1b]7337;{nonce}{rest}")
    }

    #[test]
    fn a_trailer_is_taken_out_wherever_it_stands() {
        let text = format!("out\n{}late", mark(NONCE, " e 3 /a\\ b / x:1=$'1\\n2' y:0'' z:2=1\x07"));
        for step in 1..text.len() {
            let (out, after, inside) = filtered(text.as_bytes(), step);
            let after = after.unwrap();
            assert_eq!(out, b"out\nlate");
            assert!(inside);
            assert_eq!((after.ended, after.status, after.directory.as_deref()), (Ended::AtEnd, 3, Some("/a b")));
            let names: Vec<_> = after.variables.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["x", "y", "z"]);
            let told: Vec<_> = after.variables.into_iter().map(|(_, told)| told).collect();
            assert!(told == [Told::Value("1\n2".to_owned()), Told::Unset, Told::Other]);
        }
    }

    #[test]
    fn what_only_resembles_one_is_output() {
        let other = "ffeeddccbbaa99887766554433221100";
        for text in [
            mark(other, " e 0 / /\x07"),
            mark(NONCE, " e 0 / /\n\x07"),
            mark(NONCE, " e 0 /"),
            mark(NONCE, " q 0 / /\x07"),
            mark(NONCE, " e 256 / /\x07"),
            mark(NONCE, " e 0 / / x\x07"),
            mark(NONCE, " e 0 / / x:1='\x07"),
            mark(NONCE, "e 0 / /\x07"),
            mark(NONCE, "\x07"),
            mark(&NONCE[..31], ""),
            "\x1b\x1b]\x1b]73\x1b]7337;\x1b[31mred\x1b[0m".to_owned(),
        ] {
            for step in [1, 2, 7, 1000] {
                let (out, after, _) = filtered(text.as_bytes(), step);
                assert!(after.is_none(), "{text:?}");
                assert_eq!(out, text.as_bytes());
            }
        }
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut filter = TrailerFilter::new(NONCE);
        assert!(filter.feed(mark(NONCE, " e 0 /").as_bytes()).is_empty());
        let mut passed = 0;
        for _ in 0..1000 {
            passed += filter.feed(&[b'a'; 1024]).len();
        }
        assert!(passed > 400_000 && filter.held.len() <= LONGEST + 64, "{passed}");
    }
}
