//! Redacts a stream: what comes out does not depend on how it was cut into pieces.
//!
//! What was read is held back until a place where no hit of a built-in detector can lie across: after most punctuation,
//! after a space unless groups of a number may go on behind it, after a line. What stands before such a place is then
//! looked through like any text. With patterns of users, lines are looked through one by one, so a pattern that spans
//! lines finds nothing in a stream.
//!
//! Promises: at most [`HOLD_BACK`] bytes are held; a hit of up to a quarter of that is found wherever the stream was cut;
//! a longer token is replaced from where it begins; after the marker that opens a private key nothing comes out until
//! the one that closes it. Does not promise anything across a [`Redactor::flush`].
//!
//! Held by: `stream/tests.rs`, property tests over every cut among them.

use super::bytes::{at, before, part, run_back};
use super::joints::Joints;
use super::output::Output;
use super::{Detectors, Hits, block};
use crate::key::Key;
use crate::transform::constant;
use memchr::{memchr, memrchr};
use portcullis_model::Transform;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The most bytes that a stream holds back.
pub const HOLD_BACK: usize = 16 * 1024;

/// How long a hit is sure to be found where the stream gives no place to cut.
const OVERLAP: usize = HOLD_BACK / 4;

impl Detectors {
    /// Begins a stream.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> Redactor {
        Redactor {
            detectors: Arc::clone(self),
            held: Vec::new(),
            looked: 0,
            state: State::Text,
            joints: Joints::default(),
            hits: vec![0; self.rules.len()],
        }
    }
}

/// A stream that is being redacted.
pub struct Redactor {
    detectors: Arc<Detectors>,
    /// In text: what has not come out yet. In a private key: the last bytes, for its end.
    held: Vec<u8>,
    /// Up to here no place to cut was found.
    looked: usize,
    state: State,
    /// Where something was taken out of what is held.
    joints: Joints,
    hits: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// Inside a private key.
    Block,
    /// Inside a token longer than what is held.
    Token,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("state", &self.state).field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Takes the next piece; appends what may come out.
    pub fn push(&mut self, chunk: &[u8], key: &Key, out: &mut Vec<u8>) {
        self.take(chunk, key, out);
    }

    pub(super) fn take(&mut self, chunk: &[u8], key: &Key, out: &mut impl Output) {
        if self.detectors.is_empty() {
            out.copy(chunk);
            return;
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let taken = match self.state {
                State::Text => self.text(rest, key, out),
                State::Block => {
                    let taken = self.block(rest);
                    out.replace(taken, b"");
                    taken
                }
                State::Token => {
                    let taken = self.token(rest);
                    out.replace(taken, b"");
                    taken
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Lets out what is held as if the stream ended here, without ending it: for a terminal that has gone quiet. A hit
    /// across this place is not found; a private key or an overlong token stays hidden.
    pub fn flush(&mut self, key: &Key, out: &mut Vec<u8>) {
        self.let_all_out(key, out);
    }

    pub(super) fn let_all_out(&mut self, key: &Key, out: &mut impl Output) {
        if self.state == State::Text {
            let held = self.held.len();
            self.let_out(held, key, out);
        }
    }

    /// Ends the stream.
    pub fn finish(mut self, key: &Key, out: &mut Vec<u8>) {
        self.flush(key, out);
    }

    /// Whether anything is held back.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether a flush would let anything out.
    pub(super) fn holds_text(&self) -> bool {
        self.state == State::Text && self.is_holding()
    }

    /// Counts a hit that was found beside the stream.
    pub(super) fn count(&mut self, rule: usize) {
        self.hits.iter_mut().skip(rule).take(1).for_each(|count| *count += 1);
    }

    /// How many hits each rule has had so far.
    #[must_use]
    pub fn hits(&self) -> &[u64] {
        &self.hits
    }

    /// Something was taken out here; a backspace, where it was one.
    pub(super) fn joint(&mut self, backspace: bool) {
        if self.state == State::Text && !self.held.is_empty() {
            self.joints.add(self.held.len(), backspace);
        }
    }

    /// Text; gives how much of `chunk` was taken.
    fn text(&mut self, chunk: &[u8], key: &Key, out: &mut impl Output) -> usize {
        let piece = part(chunk, 0, HOLD_BACK.saturating_sub(self.held.len()).max(1));
        self.held.extend_from_slice(piece);
        if let Some(finder) = &self.detectors.blocks {
            let from = self.looked.saturating_sub(block::MARKER);
            if let Some(begin) = block::opening(finder, part(&self.held, from, self.held.len())) {
                // The marker was not whole before, so what follows it is of this piece.
                let after = self.held.len() - (from + begin.end);
                self.open_block(from + begin.start..from + begin.end, key, out);
                return piece.len().saturating_sub(after);
            }
        }
        if self.detectors.patterns {
            self.let_lines_out(self.held.len(), key, out);
        } else if let Some(cut) = last_cut(&self.held, self.looked) {
            self.let_out(cut, key, out);
        }
        if self.held.len() >= HOLD_BACK {
            self.force(key, out);
        }
        self.looked = self.held.len();
        piece.len()
    }

    /// Looks through the first bytes held and lets them out.
    fn let_out(&mut self, count: usize, key: &Key, out: &mut impl Output) {
        let mut found = self.look(count, false);
        self.write(&mut found, count, key, out);
    }

    /// What is found in the first bytes held.
    fn look(&self, count: usize, open: bool) -> Hits {
        let text = part(&self.held, 0, count);
        let mut found = Hits::new();
        self.detectors.scan(text, 0, open, &mut found);
        self.joints.look(&self.detectors, text, open, &mut found);
        found
    }

    /// Writes the first bytes held with these hits replaced, and forgets them.
    fn write(&mut self, found: &mut Hits, count: usize, key: &Key, out: &mut impl Output) {
        found.sort_by_key(|hit| hit.span.start);
        let Self { detectors, held, hits, .. } = self;
        let mut tell = |rule: usize| hits.iter_mut().skip(rule).take(1).for_each(|count| *count += 1);
        detectors.rewrite(part(held, 0, count), found, key, &mut tell, out);
        held.drain(..count.min(held.len()));
        self.joints.forget(count);
        self.looked = 0;
    }

    /// Lets out every whole line of the first bytes held, one by one; gives how many bytes those were.
    fn let_lines_out(&mut self, within: usize, key: &Key, out: &mut impl Output) -> usize {
        let mut gone = 0;
        while let Some(end) = memchr(b'\n', part(&self.held, 0, within - gone)) {
            self.let_out(end + 1, key, out);
            gone += end + 1;
        }
        gone
    }

    /// A private key begins with this marker.
    fn open_block(&mut self, marker: Range<usize>, key: &Key, out: &mut impl Output) {
        let gone = if self.detectors.patterns { self.let_lines_out(marker.start, key, out) } else { 0 };
        self.let_out(marker.start - gone, key, out);
        let rules: Vec<_> = self.detectors.block_rules().collect();
        self.replace(&rules, marker.len(), out);
        self.held.clear();
        self.joints.clear();
        self.state = State::Block;
    }

    /// Puts a constant for something that nothing may be shown of, and counts it.
    fn replace(&mut self, rules: &[usize], covered: usize, out: &mut impl Output) {
        let transforms = rules.iter().filter_map(|rule| self.detectors.rules.get(*rule)).map(|rule| &rule.transform);
        let strictest = transforms.reduce(|one, other| one.stricter(other)).unwrap_or(&Transform::Redact);
        out.replace(covered, constant(strictest).as_bytes());
        for (rule, count) in self.hits.iter_mut().enumerate() {
            *count += rules.iter().filter(|hit| **hit == rule).count() as u64;
        }
    }

    /// Inside a private key: only its end matters.
    fn block(&mut self, chunk: &[u8]) -> usize {
        let piece = part(chunk, 0, HOLD_BACK);
        self.held.extend_from_slice(piece);
        if let Some(end) = block::closing(&self.held) {
            let after = self.held.len() - end;
            self.held.clear();
            self.looked = 0;
            self.state = State::Text;
            return piece.len().saturating_sub(after);
        }
        let keep = self.held.len().saturating_sub(block::MARKER + 1);
        self.held.drain(..keep);
        piece.len()
    }

    /// Inside an overlong token: nothing comes out to its end.
    fn token(&mut self, chunk: &[u8]) -> usize {
        let patterns = self.detectors.patterns;
        // What was held may have ended within a character: the rest of that is not text of its own.
        let goes_on =
            |byte: u8| byte.is_ascii_alphanumeric() || b"+/_=.-".contains(&byte) || (0x80..0xC0).contains(&byte);
        let ends = |byte: &u8| if patterns { *byte == b'\n' } else { !goes_on(*byte) };
        let Some(end) = chunk.iter().position(ends) else { return chunk.len() };
        self.state = State::Text;
        end
    }

    /// So much is held, and no place to cut: lets out what no hit reaches across.
    fn force(&mut self, key: &Key, out: &mut impl Output) {
        let length = self.held.len();
        let mut found = self.look(length, true);
        let mut cut = run_back(&self.held, HOLD_BACK - OVERLAP, OVERLAP, |byte| byte.is_ascii_alphanumeric());
        if cut <= HOLD_BACK - 2 * OVERLAP {
            cut = HOLD_BACK - OVERLAP;
        }
        while (0x80..0xC0).contains(&at(&self.held, cut)) && cut > 0 {
            cut -= 1;
        }
        let across = |cut: usize| found.iter().filter(move |hit| hit.span.start < cut && cut < hit.span.end);
        while let Some(start) = across(cut).map(|hit| hit.span.start).min() {
            cut = start;
        }
        if cut == 0 {
            // Something begins here that reaches beyond the cut: let out all that hangs together with it.
            while let Some(end) = across(cut.max(1)).map(|hit| hit.span.end).max() {
                cut = end;
            }
        }
        if cut >= length {
            let rules: Vec<_> = found.iter().map(|hit| hit.rule).collect();
            self.replace(&rules, length, out);
            self.held.clear();
            self.joints.clear();
            self.state = State::Token;
            return;
        }
        found.retain(|hit| hit.span.end <= cut);
        self.write(&mut found, cut, key, out);
    }
}

/// The last place after `looked` where no hit of a built-in detector can lie across.
fn last_cut(text: &[u8], looked: usize) -> Option<usize> {
    (looked + 1..=text.len()).rev().find(|place| may_cut(text, *place))
}

/// How far back a number in groups, or what announces a key, may have begun.
const GROUPS: usize = 64;
const ANNOUNCED: usize = 128;

/// Whether no hit can lie across this place. It depends only on what stands before it, and on that no further back than
/// the last such place: so a stream is cut alike however it comes.
fn may_cut(text: &[u8], place: usize) -> bool {
    let back = |count: usize| before(text, place, count);
    match back(1) {
        b'\n' => true,
        b' ' if is_announced(text, place) || (back(2) == b'-' && back(3) == b'-') => false,
        b' ' => match back(2) {
            b'0'..=b'9' | b'A'..=b'Z' | b')' => !(2..GROUPS)
                .map(|count| (back(count), back(count - 1)))
                .take_while(|pair| in_groups(pair.0) && *pair != (b' ', b' '))
                .any(|pair| pair.0.is_ascii_digit()),
            _ => true,
        },
        0..0x20 | 0x7F | b'"' | b',' | b';' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'|' | b'`' => {
            !is_announced(text, place)
        }
        b'&' | b'?' | b'!' | b'#' | b'$' | b'*' | b'^' | b'~' => !is_announced(text, place),
        0x80..0xC0 => is_after_wide(text, place) && !is_announced(text, place),
        _ => false,
    }
}

/// Whether a whole character of three or four bytes ends here: no address or token has one.
fn is_after_wide(text: &[u8], place: usize) -> bool {
    let continues = |count: usize| (0x80..0xC0).contains(&before(text, place, count));
    let lead = |count: usize| before(text, place, count);
    continues(1) && continues(2) && ((0xE0..0xF0).contains(&lead(3)) || (continues(3) && lead(4) >= 0xF0))
}

/// What cards, account and phone numbers in groups are made of.
fn in_groups(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_uppercase() || matches!(byte, b' ' | b'(' | b')' | b'.' | b'+' | b'-')
}

/// Whether this line lately said something that a key may follow: a secret by name, or the marker of a block.
fn is_announced(text: &[u8], place: usize) -> bool {
    let window = part(text, place.saturating_sub(ANNOUNCED), place);
    let line = memrchr(b'\n', window).map_or(window, |end| part(window, end + 1, window.len()));
    line.windows(6).any(|word| word == b"BEGIN " || word.eq_ignore_ascii_case(b"secret"))
}

#[cfg(test)]
mod tests;
