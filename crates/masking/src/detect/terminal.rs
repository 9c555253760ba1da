//! Redacts a stream with escapes of terminals in it: values are found although colours, cursor movements, window titles,
//! carriage returns or backspaces run through them.
//!
//! Escapes are taken out, what is left goes through a [`Redactor`], and each escape comes out again where it stood; one
//! that stood within a value comes out behind what replaces it. Text is looked through as it is joined, piece by piece
//! between escapes, and as backspaces leave it (`joints.rs`). The inside of a long escape is looked through as well, for
//! a client need not be a terminal. What only begins like an escape is text, all but its first byte.
//!
//! Promises: bytes that belong to no hit come out unchanged and in order, valid UTF-8 or not; what comes out does not
//! depend on how the stream was cut; at most [`HOLD_BACK`] bytes of text and as many of escapes are held, one escape of
//! at most [`LONGEST`] bytes more. Does not promise anything across a [`TerminalRedactor::flush`], nor to find a value whose
//! characters were not written in order, that breaks a line, or that more escapes run through than are held.
//!
//! Held by: `terminal/tests.rs`, property tests among them.

mod escape;

use super::Detectors;
use super::output::Output;
use super::stream::{HOLD_BACK, Redactor};
use crate::key::Key;
use escape::{Escape, Next};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// An escape longer than this is text.
const LONGEST: usize = 4096;

/// No value that any detector knows fits into an escape shorter than this.
const SHORT: usize = 8;

const BACKSPACE: u8 = 0x08;

/// A stream with escapes that is being redacted.
pub struct TerminalRedactor {
    detectors: Arc<Detectors>,
    redactor: Redactor,
    escape: Escape,
    woven: Woven,
    /// Bytes of text that went into the redactor.
    taken: u64,
}

/// The escapes that wait for the text before them.
#[derive(Default)]
struct Woven {
    waiting: VecDeque<(u64, Box<[u8]>)>,
    /// Bytes in `waiting`.
    bytes: usize,
    /// Bytes of text that the redactor has done with.
    done: u64,
}

/// Text as it comes out of the redactor, with the escapes put back.
struct Weave<'w> {
    woven: &'w mut Woven,
    out: &'w mut Vec<u8>,
}

impl Detectors {
    /// Begins a stream that may hold escapes of terminals.
    #[must_use]
    pub fn terminal(self: &Arc<Self>) -> TerminalRedactor {
        TerminalRedactor {
            detectors: Arc::clone(self),
            redactor: self.stream(),
            escape: Escape::default(),
            woven: Woven::default(),
            taken: 0,
        }
    }
}

impl fmt::Debug for TerminalRedactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalRedactor").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

impl TerminalRedactor {
    /// Takes the next piece; appends what may come out.
    pub fn push(&mut self, chunk: &[u8], key: &Key, out: &mut Vec<u8>) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let plain = if self.escape.is_open() { 0 } else { escape::plain(rest) };
            let (text, more) = rest.split_at(plain.min(rest.len()));
            self.text(text, key, out);
            rest = more;
            if let Some((byte, more)) = rest.split_first() {
                self.byte(*byte, key, out);
                rest = more;
            }
        }
    }

    /// Lets out what is held as if the stream ended here, without ending it: for a terminal that has gone quiet. A value
    /// across this place is not found; a private key or an overlong token stays hidden, and an escape that has begun
    /// waits for its end.
    pub fn flush(&mut self, key: &Key, out: &mut Vec<u8>) {
        self.redactor.let_all_out(key, &mut Weave { woven: &mut self.woven, out });
        self.woven.put_back(out);
    }

    /// Lets out all that is held: the stream ends here.
    pub fn finish(&mut self, key: &Key, out: &mut Vec<u8>) {
        self.not_an_escape(key, out);
        self.flush(key, out);
    }

    /// Whether a flush would let anything out.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.redactor.holds_text()
    }

    /// How many hits there were so far.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.redactor.hits().iter().sum()
    }

    fn text(&mut self, text: &[u8], key: &Key, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.taken += text.len() as u64;
        self.redactor.take(text, key, &mut Weave { woven: &mut self.woven, out });
        self.woven.put_back(out);
    }

    /// A byte that belongs to an escape, or may.
    fn byte(&mut self, byte: u8, key: &Key, out: &mut Vec<u8>) {
        match self.escape.next(byte, LONGEST) {
            Next::Goes => {}
            Next::Ends => {
                let whole = self.escape.take();
                self.aside(&whole, key, out);
            }
            Next::EndsBefore => {
                let whole = self.escape.take();
                self.aside(&whole, key, out);
                self.byte_of_text(byte, key, out);
            }
            Next::IsNone => {
                self.not_an_escape(key, out);
                self.byte_of_text(byte, key, out);
            }
        }
    }

    /// A byte behind the end of an escape: of text, or the first of the next.
    fn byte_of_text(&mut self, byte: u8, key: &Key, out: &mut Vec<u8>) {
        if escape::plain(&[byte]) == 1 {
            self.text(&[byte], key, out);
        } else if let Next::Ends = self.escape.next(byte, LONGEST) {
            let whole = self.escape.take();
            self.aside(&whole, key, out);
        }
    }

    /// What was held as an escape is none: only what introduced it is taken out.
    fn not_an_escape(&mut self, key: &Key, out: &mut Vec<u8>) {
        let held = self.escape.take();
        let Some((first, rest)) = held.split_first() else { return };
        if *first == escape::LEAD {
            // The first byte of a character that did not become a control.
            self.text(&held, key, out);
            return;
        }
        self.aside(&[*first], key, out);
        // There is no other introducer in it; single controls are taken out as ever.
        for run in rest.chunk_by(|left, right| escape::is_control(*left) == escape::is_control(*right)) {
            if run.first().is_some_and(|byte| escape::is_control(*byte)) {
                run.iter().for_each(|control| self.aside(&[*control], key, out));
            } else {
                self.text(run, key, out);
            }
        }
    }

    /// Takes an escape out, to come out again where it stands.
    fn aside(&mut self, escape: &[u8], key: &Key, out: &mut Vec<u8>) {
        let mut clean = Vec::new();
        let mut kept = escape;
        if escape.len() >= SHORT {
            let hits = self.detectors.hits(escape);
            if !hits.is_empty() {
                self.detectors.rewrite(escape, &hits, key, &mut |rule| self.redactor.count(rule), &mut clean);
                kept = &clean;
            }
        }
        self.redactor.joint(escape == [BACKSPACE]);
        if self.woven.done == self.taken {
            out.extend_from_slice(kept);
            return;
        }
        self.woven.bytes += kept.len();
        self.woven.waiting.push_back((self.taken, kept.into()));
        if self.woven.bytes > HOLD_BACK {
            self.flush(key, out);
        }
    }
}

impl Woven {
    /// Puts back what stands before the text that comes next.
    fn put_back(&mut self, out: &mut Vec<u8>) {
        while self.waiting.front().is_some_and(|(at, _)| *at <= self.done) {
            if let Some((_, escape)) = self.waiting.pop_front() {
                self.bytes -= escape.len();
                out.extend_from_slice(&escape);
            }
        }
    }
}

impl Output for Weave<'_> {
    fn copy(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            self.woven.put_back(self.out);
            let next = self.woven.waiting.front().map_or(u64::MAX, |(at, _)| at - self.woven.done);
            let (before, more) = rest.split_at(usize::try_from(next).unwrap_or(usize::MAX).min(rest.len()));
            self.out.extend_from_slice(before);
            self.woven.done += before.len() as u64;
            rest = more;
        }
    }

    fn replace(&mut self, covered: usize, with: &[u8]) {
        self.woven.put_back(self.out);
        self.out.extend_from_slice(with);
        self.woven.done += covered as u64;
    }
}

/// Fuzzing entry: any bytes, the first of which say how to cut the rest; must not panic, must come out alike however it is
/// cut, must pass unchanged where nothing is looked for, and a value written behind it must not come out.
pub fn fuzz_terminal(bytes: &[u8]) {
    use portcullis_model::{Detector, Transform};
    let key = Key::new([2; 32]);
    let (cut, bytes) = bytes.split_first().map_or((1, bytes), |(cut, rest)| (usize::from(*cut) + 1, rest));
    let played = |rules: &[(Detector, Transform)], bytes: &[u8], cut: usize| {
        let Ok(detectors) = Detectors::new(rules) else { return Vec::new() };
        let mut stream = Arc::new(detectors).terminal();
        let mut out = Vec::new();
        for piece in bytes.chunks(cut.max(1)) {
            stream.push(piece, &key, &mut out);
        }
        stream.finish(&key, &mut out);
        out
    };
    let every: Vec<_> = Detector::NAMED.iter().map(|(_, detector)| (detector.clone(), Transform::Redact)).collect();
    let value = b"4111111111111111";
    // A line of its own, whatever escape was open before.
    let text = [bytes, b"\n", value, b"\n"].concat();
    let whole = played(&every, &text, text.len());
    assert_eq!(whole, played(&every, &text, cut), "a stream cut every {cut} bytes comes out otherwise");
    let fresh = !bytes.windows(value.len()).any(|part| part == value);
    assert!(!fresh || !whole.windows(value.len()).any(|part| part == value), "the value came out");
    let never = [(Detector::Pattern("^never^".into()), Transform::Redact)];
    assert_eq!(played(&never, &text, cut), text, "what is not looked for changed");
}

#[cfg(test)]
mod tests;
