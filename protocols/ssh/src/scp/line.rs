//! Control lines and answers.
//!
//! Promises: a line is read only when it is whole and only in the one form that is written (four octal digits, one blank,
//! decimal digits, one blank, a name), since ends read looser forms in their own ways; a line longer than OpenSSH's buffer,
//! which would cut it in two, is a fault. Does not promise that a name may be used: [`name`] says that.
//! Held by: the tests below.

use crate::sftp::text;
use bytes::{Bytes, BytesMut};
use portcullis_model::Fault;

/// OpenSSH's buffer holds this much of a line, its end included.
const LONGEST_LINE: usize = 2047;
/// The most of a message in an answer.
const LONGEST_ANSWER: usize = 8192;

/// A control line of who has files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `C`: a file of this size.
    File { size: u64, name: Bytes },
    /// `D`: what follows lies in this directory.
    Directory { name: Bytes },
    /// `E`: back to the directory above.
    End,
    /// `T`: times of what comes next.
    Times,
    /// Something failed over there; it goes on.
    Warning,
    /// Something failed over there, and that is the end.
    Fatal,
}

/// What who takes files answers, and what who has them says behind a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Good,
    Warning,
    Fatal,
}

/// Takes a whole line from the front. What is returned is the line with its end.
pub(super) fn take_line(from: &mut BytesMut) -> Result<Option<(Line, Bytes)>, &'static str> {
    let within = from.get(..from.len().min(LONGEST_LINE)).unwrap_or_default();
    let Some(end) = end_of_line(within) else {
        return if from.len() >= LONGEST_LINE { Err("a control line that is too long") } else { Ok(None) };
    };
    let bytes = from.split_to(end + 1).freeze();
    let line = read(&bytes.slice(..end)).ok_or("a control line that cannot be read")?;
    Ok(Some((line, bytes)))
}

fn end_of_line(within: &[u8]) -> Option<usize> {
    within.iter().position(|byte| *byte == b'\n')
}

fn read(line: &Bytes) -> Option<Line> {
    let (kind, rest) = line.split_first()?;
    match kind {
        b'C' => announced(line, rest).map(|(size, name)| Line::File { size, name }),
        b'D' => announced(line, rest).map(|(_, name)| Line::Directory { name }),
        b'E' => rest.is_empty().then_some(Line::End),
        b'T' => times(rest).then_some(Line::Times),
        1 => Some(Line::Warning),
        2 => Some(Line::Fatal),
        _ => None,
    }
}

fn announced(line: &Bytes, rest: &[u8]) -> Option<(u64, Bytes)> {
    let (mode, rest) = rest.split_at_checked(4)?;
    let rest = rest.strip_prefix(b" ")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let (size, name) = rest.split_at_checked(end)?;
    let octal = mode.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    // Files of the systems that speak this are not longer.
    let size = decimal(size).filter(|size| i64::try_from(*size).is_ok())?;
    octal.then(|| (size, line.slice_ref(name.get(1..).unwrap_or_default())))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `SECONDS MICROSECONDS SECONDS MICROSECONDS`.
fn times(rest: &[u8]) -> bool {
    let fields: Vec<_> = rest.split(|byte| *byte == b' ').map(decimal).collect();
    matches!(fields.as_slice(), [Some(_), Some(a), Some(_), Some(b)] if *a < 1_000_000 && *b < 1_000_000)
}

/// Takes an answer from the front: a zero byte, or 1 or 2 and a message.
pub(super) fn take_answer(from: &mut BytesMut) -> Result<Option<(Answer, Bytes)>, &'static str> {
    let answer = match from.first() {
        None => return Ok(None),
        Some(0) => return Ok(Some((Answer::Good, from.split_to(1).freeze()))),
        Some(1) => Answer::Warning,
        Some(2) => Answer::Fatal,
        Some(_) => return Err("an answer that is none"),
    };
    match end_of_line(from) {
        Some(end) if end <= LONGEST_ANSWER => Ok(Some((answer, from.split_to(end + 1).freeze()))),
        None if from.len() <= LONGEST_ANSWER => Ok(None),
        Some(_) | None => Err("an answer that is too long"),
    }
}

/// A name that was announced, as text.
///
/// # Errors
/// It names another place than the directory it is announced for, or no rule can be compared with it.
pub(super) fn name(announced: &Bytes) -> Result<String, Fault> {
    let name = text(announced)?;
    if matches!(name.as_str(), "" | "." | "..") || name.contains('/') {
        let message = "a file is announced by its own name, not by a path";
        return Err(Fault::Ambiguous { message: message.into() });
    }
    Ok(name)
}

/// The words of a message, for the record.
pub(super) fn message(bytes: &Bytes) -> String {
    let words = bytes.get(1..).unwrap_or_default();
    String::from_utf8_lossy(words).chars().filter(|c| !c.is_control()).take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Result<Option<Line>, &'static str> {
        let mut buffer = BytesMut::from(text);
        take_line(&mut buffer).map(|taken| taken.map(|(line, _)| line))
    }

    #[test]
    fn lines_have_one_form() {
        let file = |size, name| Ok(Some(Line::File { size, name: Bytes::from_static(name) }));
        assert_eq!(line(b"C0644 5 a b\n"), file(5, b"a b"));
        assert_eq!(line(b"C0644 5 ../x\n"), file(5, b"../x"), "what the name may be is another question");
        assert_eq!(line(b"D0755 0 d\n"), Ok(Some(Line::Directory { name: Bytes::from_static(b"d") })));
        assert_eq!(line(b"E\n"), Ok(Some(Line::End)));
        assert_eq!(line(b"T1 0 2 999999\n"), Ok(Some(Line::Times)));
        assert_eq!(line(b"\x01scp: no\n"), Ok(Some(Line::Warning)));
        assert_eq!(line(b"C0644 5 a"), Ok(None), "not whole");
        for odd in [
            b"C644 5 a\n".as_slice(),
            b"C0849 5 a\n",
            b"C0644  5 a\n",
            b"C0644 +5 a\n",
            b"C0644 5\n",
            b"C0644 9223372036854775808 a\n",
            b"C0644\t5 a\n",
            b"E \n",
            b"T1 0 2 1000000\n",
            b"T1 0 2 0 \n",
            b"X\n",
            b"\n",
        ] {
            assert!(line(odd).is_err(), "{}", odd.escape_ascii());
        }
        assert!(line(&[b'C'; 2047]).is_err(), "longer than OpenSSH reads at once");
    }

    #[test]
    fn names_stay_in_their_directory() {
        for odd in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a\x1b[2J"] {
            assert!(name(&Bytes::copy_from_slice(odd.as_bytes())).is_err(), "{odd:?}");
        }
        assert_eq!(name(&Bytes::from_static(b"..a b")).as_deref(), Ok("..a b"));
        assert!(name(&Bytes::from_static(b"caf\xe9.txt")).is_err());
    }
}
