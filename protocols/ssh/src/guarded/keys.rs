//! Bytes from a terminal to keys, a byte at a time.
//!
//! Promises: bytes may be split anywhere; a sequence that is not known is swallowed whole and leaves no character behind; no
//! sequence grows without end, and none swallows a return, a line feed or an interrupt, so a line cannot disappear in one.
//! CR, LF and CRLF are one return each. A character is never a control character: C0 are keys or nothing, DEL is
//! backspace, C1 and bytes that are not UTF-8 are dropped. What is pasted comes as the same keys.
//! Does not promise to tell Escape from the start of a sequence: there is no clock.
//! Held by: the tests below, `fixtures/guarded/keys.tsv` and `fuzz_guarded`.

/// What a user pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    /// Ctrl-D: the end of input on an empty line, else [`Key::Delete`].
    EndOrDelete,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    WordLeft,
    WordRight,
    KillLeft,
    KillRight,
    /// Ctrl-W: back to a blank.
    KillBlankLeft,
    KillWordLeft,
    KillWordRight,
    Yank,
    Transpose,
    Clear,
    Search,
    Cancel,
    Interrupt,
    PasteStart,
    PasteEnd,
    /// A sequence or control character without a meaning here.
    Nothing,
}

/// Bytes of a sequence that are looked at; a longer one is not known.
const PARAMETERS: usize = 16;

/// A string (`ESC ]` and the like) is swallowed for no more than this.
const STRING: usize = 256;

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// The first bytes of a character.
    Character([u8; 4], usize),
    Escape,
    /// `ESC (` and the like: one more.
    Intermediate,
    Csi(Vec<u8>),
    /// `ESC [ [` and one more: a function key of the Linux console.
    Console,
    Ss3,
    /// `ESC ]`, `ESC P` and the like; how many bytes, and whether the last was `ESC`.
    Text(usize, bool),
}

/// The decoder.
#[derive(Debug, Default)]
pub(super) struct Keys {
    state: State,
    /// The last byte was a CR: an LF belongs to it.
    returned: bool,
}

impl Keys {
    /// The key that this byte ends, if it ends one.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Key> {
        let returned = std::mem::take(&mut self.returned);
        if byte == b'\n' && returned {
            return None;
        }
        self.returned = byte == b'\r';
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Character(bytes, have) => self.character(bytes, have, byte),
            State::Escape => self.escape(byte),
            State::Csi(parameters) => self.csi(parameters, byte),
            State::Intermediate | State::Console | State::Ss3 if byte < b' ' => self.ground(byte),
            State::Intermediate if matches!(byte, b' '..=b'/') => {
                self.state = State::Intermediate;
                None
            }
            State::Intermediate | State::Console => Some(Key::Nothing),
            State::Ss3 => Some(motion(byte, false)),
            State::Text(length, escaped) => self.text(length, escaped, byte),
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x1b => {
                self.state = State::Escape;
                None
            }
            b' '..=b'~' => Some(Key::Char(char::from(byte))),
            0xc2..=0xf4 => {
                self.state = State::Character([byte, 0, 0, 0], 1);
                None
            }
            // A byte that starts no character.
            0x80..=0xc1 | 0xf5..=0xff => Some(Key::Nothing),
            0x00..=0x1a | 0x1c..=0x1f | 0x7f => Some(control(byte)),
        }
    }

    fn character(&mut self, mut bytes: [u8; 4], have: usize, byte: u8) -> Option<Key> {
        if !matches!(byte, 0x80..=0xbf) {
            // Cut short: what there was is dropped.
            return self.ground(byte);
        }
        if let Some(slot) = bytes.get_mut(have) {
            *slot = byte;
        }
        match std::str::from_utf8(bytes.get(..=have).unwrap_or_default()) {
            Ok(text) => {
                let c = text.chars().next().filter(|c| !c.is_control());
                Some(c.map_or(Key::Nothing, Key::Char))
            }
            Err(error) if error.error_len().is_none() => {
                self.state = State::Character(bytes, have + 1);
                None
            }
            Err(_) => Some(Key::Nothing),
        }
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Csi(Vec::new()),
            b'O' => self.state = State::Ss3,
            b']' | b'P' | b'X' | b'^' | b'_' => self.state = State::Text(0, false),
            b' '..=b'/' => self.state = State::Intermediate,
            0x1b => self.state = State::Escape,
            b'b' | b'B' => return Some(Key::WordLeft),
            b'f' | b'F' => return Some(Key::WordRight),
            b'd' | b'D' => return Some(Key::KillWordRight),
            0x7f | 0x08 => return Some(Key::KillWordLeft),
            b'0'..=b'~' => return Some(Key::Nothing),
            0x00..=0x07 | 0x09..=0x1a | 0x1c..=0x1f | 0x80..=0xff => return self.ground(byte),
        }
        None
    }

    fn csi(&mut self, mut parameters: Vec<u8>, byte: u8) -> Option<Key> {
        match byte {
            b'[' if parameters.is_empty() => self.state = State::Console,
            b' '..=b'?' => {
                // One byte more than are looked at says that it is too long.
                if parameters.len() <= PARAMETERS {
                    parameters.push(byte);
                }
                self.state = State::Csi(parameters);
            }
            b'@'..=b'~' => return Some(sequence(&parameters, byte)),
            0x00..=0x1f | 0x7f..=0xff => return self.ground(byte),
        }
        None
    }

    fn text(&mut self, length: usize, escaped: bool, byte: u8) -> Option<Key> {
        match byte {
            0x07 => Some(Key::Nothing),
            b'\\' if escaped => Some(Key::Nothing),
            0x1b => {
                self.state = State::Text(length + 1, true);
                None
            }
            0x00..=0x06 | 0x08..=0x1a | 0x1c..=0x1f => self.ground(byte),
            b' '..=0xff if escaped => self.escape(byte),
            b' '..=0xff if length >= STRING => Some(Key::Nothing),
            b' '..=0xff => {
                self.state = State::Text(length + 1, false);
                None
            }
        }
    }
}

const fn control(byte: u8) -> Key {
    match byte {
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOrDelete,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x07 => Key::Cancel,
        0x08 | 0x7f => Key::Backspace,
        0x09 => Key::Tab,
        0x0a | 0x0d => Key::Enter,
        0x0b => Key::KillRight,
        0x0c => Key::Clear,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x12 => Key::Search,
        0x14 => Key::Transpose,
        0x15 => Key::KillLeft,
        0x17 => Key::KillBlankLeft,
        0x19 => Key::Yank,
        // Quoting a key (Ctrl-V) is not offered: it would put control characters into a line.
        _ => Key::Nothing,
    }
}

fn sequence(parameters: &[u8], last: u8) -> Key {
    match (parameters, last) {
        (b"200", b'~') => Key::PasteStart,
        (b"201", b'~') => Key::PasteEnd,
        (b"1" | b"7", b'~') => Key::Home,
        (b"4" | b"8", b'~') => Key::End,
        (b"3", b'~') => Key::Delete,
        (b"" | b"1", last) => motion(last, false),
        (b"1;3" | b"1;5", last) => motion(last, true),
        (_, _) => Key::Nothing,
    }
}

const fn motion(last: u8, by_word: bool) -> Key {
    match (last, by_word) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', false) => Key::Right,
        (b'C', true) => Key::WordRight,
        (b'D', false) => Key::Left,
        (b'D', true) => Key::WordLeft,
        (b'H', _) => Key::Home,
        (b'F', _) => Key::End,
        (_, _) => Key::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.feed(*byte)).filter(|key| *key != Key::Nothing).collect()
    }

    #[test]
    fn what_is_not_known_is_swallowed_whole() {
        for bytes in [
            b"\x1b[99;99~".as_slice(),
            b"\x1b[?1;2c",
            b"\x1b[>0;276;0c",
            b"\x1b[111111111111111111111111111111111111111111~",
            b"\x1b[[A",
            b"\x1bOP",
            b"\x1b]11;rgb:0000/0000/0000\x07",
            b"\x1b]0;ls\x1b\\",
            b"\x1bP1$r0m\x1b\\",
            b"\x1bq",
            b"\x1b(B",
            b"\x16",
            b"\x0f",
            b"\0",
            b"\x80\x9b\xff",
            b"\xc2\x9b",
            b"\xed\xa0\x80",
        ] {
            assert_eq!(keys(&[bytes, b"x"].concat()), [Key::Char('x')], "{bytes:?}");
        }
    }

    #[test]
    fn nothing_swallows_a_return_or_an_interrupt() {
        for start in
            [b"\x1b".as_slice(), b"\x1b(", b"\x1b[", b"\x1b[1;", b"\x1b[[", b"\x1bO", b"\x1b]", b"\x1bP", b"\xe4\xb8"]
        {
            assert_eq!(keys(&[start, b"\r"].concat()), [Key::Enter], "{start:?}");
            assert_eq!(keys(&[start, b"\n"].concat()), [Key::Enter], "{start:?}");
            assert_eq!(keys(&[start, b"\x03"].concat()), [Key::Interrupt], "{start:?}");
        }
    }

    #[test]
    fn a_line_ends_once() {
        assert_eq!(keys(b"\r\n\n\r\r\n"), [Key::Enter; 4]);
        assert_eq!(keys("é世".as_bytes()), [Key::Char('é'), Key::Char('世')]);
    }
}
