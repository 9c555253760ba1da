//! Where an escape of a terminal ends: controls, CSI sequences, strings (OSC, DCS, SOS, PM, APC), in their forms of 7 bits
//! and as controls of Unicode.
//!
//! Promises: one byte at a time, no more held than the caller allows; a line end is never part of an escape, so that what
//! is opened and not closed hides nothing behind it. Does not judge what an escape does: the replay of a record does.
//! Held by: the tests of `terminal.rs`.

const ESCAPE: u8 = 0x1B;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1A;
const BELL: u8 = 0x07;

/// The first byte of the controls of Unicode beyond ASCII, and of other characters.
pub(super) const LEAD: u8 = 0xC2;

/// An escape that has begun.
#[derive(Debug, Default)]
pub(super) struct Escape {
    held: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind ESC.
    Opened,
    /// Behind ESC and a byte that says how to read the last.
    Charset,
    /// Behind the first byte of what may be a control.
    Lead,
    Csi,
    /// In a CSI sequence, behind its parameters.
    CsiTail,
    String,
    /// In a string, behind an ESC that may close it.
    StringEscape,
}

/// What a byte makes of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes on.
    Goes,
    /// It ends with this byte.
    Ends,
    /// It ended before this byte.
    EndsBefore,
    /// It is no escape, and this byte is none of it.
    IsNone,
}

/// Whether a byte outside of escapes is taken out.
pub(super) const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0B..=0x1F | 0x7F)
}

/// How many of the first bytes are text, and not even the first of a control.
pub(super) fn plain(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| is_control(*byte) || *byte == LEAD).unwrap_or(bytes.len())
}

impl Escape {
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Text
    }

    /// What is held; it is forgotten.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.state = State::Text;
        std::mem::take(&mut self.held)
    }

    /// Takes the next byte, unless it is none of this escape.
    pub(super) fn next(&mut self, byte: u8, longest: usize) -> Next {
        let (next, state) = match self.state {
            State::Text => opened(byte),
            State::Opened => behind_escape(byte),
            State::Charset => match byte {
                // No digits but the two that programs use: another may be the first of a value.
                b'0' | b'8' | b'<' | b'>' | b'@' | b'A'..=b'Z' => (Next::Ends, State::Text),
                _ => (Next::IsNone, State::Text),
            },
            State::Lead => match byte {
                0x9B => (Next::Goes, State::Csi),
                0x90 | 0x98 | 0x9D..=0x9F => (Next::Goes, State::String),
                0x80..=0x9F => (Next::Ends, State::Text),
                _ => (Next::IsNone, State::Text),
            },
            State::Csi | State::CsiTail => sequence(byte, self.state),
            State::String => match byte {
                BELL | CANCEL | SUBSTITUTE => (Next::Ends, State::Text),
                0x9C if self.held.last() == Some(&LEAD) => (Next::Ends, State::Text),
                ESCAPE => (Next::Goes, State::StringEscape),
                b'\n' => (Next::IsNone, State::Text),
                _ => (Next::Goes, State::String),
            },
            State::StringEscape if byte == b'\\' => (Next::Ends, State::Text),
            State::StringEscape => return self.reopened(byte),
        };
        if next == Next::Goes && self.held.len() >= longest {
            return Next::IsNone;
        }
        if matches!(next, Next::Goes | Next::Ends) {
            self.held.push(byte);
            self.state = state;
        }
        next
    }

    /// A string was closed by an escape that is not its end: the next begins here. What is held stays one with it, for
    /// both are taken out alike.
    fn reopened(&mut self, byte: u8) -> Next {
        self.state = State::Opened;
        self.next(byte, usize::MAX)
    }
}

const fn opened(byte: u8) -> (Next, State) {
    match byte {
        ESCAPE => (Next::Goes, State::Opened),
        LEAD => (Next::Goes, State::Lead),
        _ => (Next::Ends, State::Text),
    }
}

const fn behind_escape(byte: u8) -> (Next, State) {
    match byte {
        b'[' => (Next::Goes, State::Csi),
        b']' | b'P' | b'X' | b'^' | b'_' => (Next::Goes, State::String),
        b' ' | b'#' | b'%' | b'(' | b')' | b'*' | b'+' | b'-' | b'.' | b'/' => (Next::Goes, State::Charset),
        // Those that do something; what stands behind an ESC that does nothing may be the value itself.
        b'7' | b'8' | b'=' | b'>' | b'c' | b'D' | b'E' | b'F' | b'H' | b'M' | b'N' | b'O' | b'Z' | b'l' | b'm'
        | b'n' | b'o' | b'|' | b'}' | b'~' | b'\\' => (Next::Ends, State::Text),
        CANCEL | SUBSTITUTE => (Next::Ends, State::Text),
        ESCAPE => (Next::EndsBefore, State::Text),
        _ => (Next::IsNone, State::Text),
    }
}

/// Within a CSI sequence. Terminals act on controls within one and go on with it.
const fn sequence(byte: u8, state: State) -> (Next, State) {
    match byte {
        b'0'..=b'?' if matches!(state, State::Csi) => (Next::Goes, State::Csi),
        b' '..=b'/' => (Next::Goes, State::CsiTail),
        b'@'..=b'~' => (Next::Ends, State::Text),
        CANCEL | SUBSTITUTE => (Next::Ends, State::Text),
        ESCAPE => (Next::EndsBefore, State::Text),
        b'\n' => (Next::IsNone, State::Text),
        0..=0x1F | 0x7F => (Next::Goes, state),
        _ => (Next::IsNone, State::Text),
    }
}
