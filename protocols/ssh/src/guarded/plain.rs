//! Lines of a client without a terminal (`ssh host < script`): no prompt, no echo, no editing.
//!
//! It stops at each line like the editor, and what follows waits for the next [`Plain::next`]. Promises: CR, LF and CRLF end a
//! line once; what is left at the end of input is a line; a line that is too long or not UTF-8 is said to be so and
//! dropped whole. Control characters are left where they are: the reader refuses a text that holds any but a tab.
//! Does not promise that a program in the script can read the rest of it: the gateway has read that.
//! Held by: the tests below and `fuzz_guarded`.

use super::editor::Event;
use super::line::LINE_BYTES;
use std::collections::VecDeque;

/// Bytes kept that were not asked for yet; a client that sends more is too fast for its own commands.
const AHEAD: usize = 4 << 20;

/// The lines.
#[derive(Default)]
pub(crate) struct Plain {
    ahead: VecDeque<u8>,
    line: Vec<u8>,
    too_long: bool,
    returned: bool,
    reading: bool,
    ended: bool,
    lost: bool,
}

impl Plain {
    /// Reads the next line.
    pub(crate) fn next(&mut self) -> Vec<Event> {
        self.reading = true;
        self.go_on()
    }

    /// Takes bytes of the client.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        if self.lost {
            return Vec::new();
        }
        self.ahead.extend(bytes);
        let events = self.go_on();
        if self.ahead.len() > AHEAD {
            // Nothing of it may run in part.
            self.ahead.clear();
            self.lost = true;
        }
        events
    }

    /// The client says nothing more.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        self.ended = true;
        self.go_on()
    }

    pub(crate) const fn is_reading(&self) -> bool {
        self.reading
    }

    fn go_on(&mut self) -> Vec<Event> {
        if !self.reading {
            return Vec::new();
        }
        while let Some(byte) = self.ahead.pop_front() {
            let returned = std::mem::take(&mut self.returned);
            match byte {
                b'\n' if returned => {}
                b'\r' | b'\n' => {
                    self.returned = byte == b'\r';
                    return self.stop();
                }
                byte if self.line.len() < LINE_BYTES => self.line.push(byte),
                _ => self.too_long = true,
            }
        }
        if self.lost || (self.ended && self.line.is_empty()) {
            self.reading = false;
            let lost = self.lost.then_some(Event::TooLong);
            self.ended = true;
            self.lost = false;
            return vec![lost.unwrap_or(Event::EndOfInput)];
        }
        if self.ended { self.stop() } else { Vec::new() }
    }

    fn stop(&mut self) -> Vec<Event> {
        self.reading = false;
        let line = String::from_utf8(std::mem::take(&mut self.line));
        vec![match (std::mem::take(&mut self.too_long), line) {
            (true, _) => Event::TooLong,
            (false, Ok(line)) => Event::Line(line),
            (false, Err(_)) => Event::Unreadable,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], step: usize) -> Vec<String> {
        let mut plain = Plain::default();
        let mut events = plain.next();
        for part in bytes.chunks(step) {
            events.extend(plain.feed(part));
        }
        events.extend(plain.end());
        loop {
            if events.last().is_some_and(|event| *event == Event::EndOfInput) {
                break;
            }
            events.extend(plain.next());
        }
        events
            .into_iter()
            .filter_map(|event| match event {
                Event::Line(line) => Some(line),
                Event::TooLong => Some("too long".to_owned()),
                Event::Unreadable => Some("unreadable".to_owned()),
                Event::EndOfInput => None,
                Event::Show(_) | Event::Interrupt | Event::Complete(_) => panic!("not of a script"),
            })
            .collect()
    }

    #[test]
    fn a_script_is_its_lines() {
        let long = [vec![b'a'; LINE_BYTES + 1], b"\nb".to_vec()].concat();
        for step in [1, 2, 3, 100, 100_000] {
            assert_eq!(lines(b"ls\r\n\n\rpwd\n\techo x", step), ["ls", "", "", "pwd", "\techo x"]);
            assert_eq!(lines(b"a\xff\nb\x03\n", step), ["unreadable", "b\u{3}"]);
            assert_eq!(lines(&long, step), ["too long", "b"]);
            assert!(lines(b"", step).is_empty());
        }
    }

    #[test]
    fn what_is_sent_too_fast_ends_the_input() {
        let mut plain = Plain::default();
        assert!(plain.feed(&vec![b'a'; AHEAD + 1]).is_empty());
        assert!(plain.next() == [Event::TooLong]);
        assert!(plain.next() == [Event::EndOfInput]);
    }
}
