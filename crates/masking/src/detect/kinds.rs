//! A first look at which bytes occur in a text: it spares a text the scanners that cannot find anything in it.
//!
//! Promises: a scanner finds nothing in a text that is shorter than its rule says or that lacks one of its kinds of
//! bytes, so leaving it out changes no answer. The kinds of a whole text serve for any part of it.
//!
//! Held by: `what_the_first_look_leaves_out_is_not_there` in `tests.rs`.

use super::block::SHORTEST;
use super::{Looks, Rule};

pub(super) const DIGIT: u8 = 1;
pub(super) const SIGN: u8 = 2;
pub(super) const PLUS: u8 = 4;
pub(super) const COLON: u8 = 8;
pub(super) const DOT: u8 = 16;
pub(super) const UNDERLINE: u8 = 32;
pub(super) const LETTER: u8 = 64;
/// What a string of JSON cannot hold as it is: quotes, backslashes and controls. No rule asks for it.
pub(crate) const STOP: u8 = 128;

/// The kind of each byte.
pub(crate) static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte: u8 = 0;
    let mut rest: &mut [u8] = &mut kinds;
    while let Some((kind, more)) = rest.split_first_mut() {
        *kind = match byte {
            b'0'..=b'9' => DIGIT,
            b'@' => SIGN,
            b'+' => PLUS,
            b':' => COLON,
            b'.' => DOT,
            b'_' => UNDERLINE,
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            0..0x20 | b'"' | b'\\' => STOP,
            _ => 0,
        };
        byte = byte.wrapping_add(1);
        rest = more;
    }
    kinds
};

/// Texts longer than this are not looked over first.
const SHORT: usize = 256;

/// The kinds of bytes in a text, or all of them where it is long.
pub(super) fn kinds(text: &[u8]) -> u8 {
    if text.len() > SHORT { u8::MAX } else { kinds_of(text) }
}

/// The kinds of bytes in a text.
pub(crate) fn kinds_of(text: &[u8]) -> u8 {
    text.iter().fold(0, |all, byte| all | kind_of(*byte))
}

/// The kind of a byte.
pub(crate) fn kind_of(byte: u8) -> u8 {
    KINDS.get(usize::from(byte)).copied().unwrap_or(u8::MAX)
}

/// For each set of kinds, the least length of a text of these in which any of some rules may find something.
pub(super) struct Shortest([usize; 128]);

impl Shortest {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut all = [usize::MAX; 128];
        for (set, shortest) in (0_u8..).zip(&mut all) {
            let least = rules.iter().filter_map(|rule| match rule.looks {
                Looks::Scan { kinds, length, .. } => (set & kinds == kinds).then_some(length),
                Looks::Block => (set & LETTER != 0).then_some(SHORTEST),
                Looks::Pattern(_) => Some(0),
            });
            *shortest = least.min().unwrap_or(usize::MAX);
        }
        Self(all)
    }

    /// The least length of a text of these kinds in which something may be found.
    pub(super) fn of(&self, kinds: u8) -> usize {
        self.0.get(usize::from(kinds & !STOP)).copied().unwrap_or(0)
    }
}
