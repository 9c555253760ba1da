//! Private keys in armour: PEM, OpenSSH, PGP, and the four-dash form of RFC 4716.
//!
//! Promises: a block begins with the marker that says PRIVATE KEY and ends only with one that says it too; a block whose
//! end does not come goes on for ever. Does not promise keys whose armour was taken off.
//!
//! Held by: `fixtures/masking/detectors.tsv` and the tests of streams.

use super::bytes::{at, before, part, run, run_back};
use memchr::memmem;
use std::ops::Range;

/// The longest marker, its dashes included.
pub(super) const MARKER: usize = 64;

/// The longest label: `BEGIN ` stands before it.
const LABEL: usize = 40;

/// The shortest text with a marker in it.
pub(super) const SHORTEST: usize = b"----BEGIN PRIVATE KEY----".len();

/// Looks for the word of a marker that opens; made once, for making it costs more than looking through a short text.
pub(super) fn finder() -> memmem::Finder<'static> {
    memmem::Finder::new(b"BEGIN ")
}

/// The first marker that opens a private key.
pub(super) fn opening(finder: &memmem::Finder<'_>, text: &[u8]) -> Option<Range<usize>> {
    if text.len() < SHORTEST {
        return None;
    }
    finder.find_iter(text).find_map(|word| marker(text, word, word + 6).map(|end| dashes(text, word)..end))
}

/// Where the first marker that closes one ends. Its dashes must have come to an end, or there be five of them.
pub(super) fn closing(text: &[u8]) -> Option<usize> {
    memmem::find_iter(text, b"END ").find_map(|word| {
        let end = marker(text, word, word + 4)?;
        match (at(text, end), end == text.len()) {
            (b'-', _) => Some(end + 1),
            (_, true) => None,
            (_, false) => Some(end),
        }
    })
}

/// Where the dashes before a marker's word begin, at most five.
fn dashes(text: &[u8], word: usize) -> usize {
    let word = word - usize::from(before(text, word, 1) == b' ');
    run_back(text, word, 5, |byte| byte == b'-')
}

/// Where the fourth dash after the label ends, where this is a marker of a private key.
fn marker(text: &[u8], word: usize, label: usize) -> Option<usize> {
    let spaced = usize::from(before(text, word, 1) == b' ');
    if part(text, word.checked_sub(4 + spaced)?, word - spaced) != b"----" {
        return None;
    }
    let window = part(text, 0, label + LABEL);
    let end = run(window, label, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    let name = part(text, label, end).trim_ascii_end();
    let private = name.ends_with(b"PRIVATE KEY") || name.ends_with(b"PRIVATE KEY BLOCK");
    (private && part(text, end, end + 4) == b"----").then_some(end + 4)
}
