//! Recorded text of a terminal, made safe for the terminal of whoever plays it.
//!
//! What a target wrote may be meant for the auditor: an escape can set the title and read it back as typed text, fill the
//! clipboard, ask the terminal questions whose answers are typed, resize or flood it. So only what draws passes: text,
//! SGR, cursor movement, erasing, inserting and deleting, scroll regions, the alternate screen, line-drawing characters.
//! Everything else is dropped: OSC, DCS, APC, PM and SOS strings, reports, window operations, mouse, paste and key modes,
//! controls of C1, and characters that turn the direction of text. What passes is written anew from what was read of it.
//!
//! Promises: what comes out does not depend on how the text was cut and is a fixed point of the filter; a string that does
//! not end hides no more than the rest of its line; nothing of it makes the terminal answer. Does not promise that a
//! screen shows everything that a program reading the bytes got: a string's inside, or what is drawn over. The events
//! themselves do (`sessions show`). Held by: the tests beside this file and the fuzz target `audit_screen`.

/// The longest run of parameters of a sequence that is kept.
const PARAMETERS: usize = 64;

/// The longest number in them; a repetition's may have two digits less.
const DIGITS: usize = 5;

/// Modes of private use that draw: origin, wrapping, cursor shown, the three alternate screens, the saved cursor.
const MODES: [&str; 7] = ["6", "7", "25", "47", "1047", "1048", "1049"];

/// Puts a terminal right whatever was drawn: colours, character sets, wrapping, no insertion, the cursor shown.
const RIGHT: &str = "\u{1b}[0m\u{1b}(B\u{1b})B\u{f}\u{1b}[4l\u{1b}[?7h\u{1b}[?25h";

/// A stream of recorded text on its way to a screen.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    state: State,
    parameters: String,
    /// Something of the screen as a whole was changed that takes moving the cursor to put right.
    framed: bool,
    alternate: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// Behind the bracket that says which character set is chosen.
    Charset(char),
    /// The next character is dropped.
    Dropped,
    Sequence,
    /// In a string that is dropped.
    String,
    /// In one, behind an escape.
    StringEscape,
}

impl Screen {
    /// Takes the next piece; appends what of it may be shown.
    pub fn push(&mut self, piece: &str, out: &mut String) {
        for c in piece.chars() {
            self.take(c, out);
        }
    }

    /// What puts the terminal right when nothing more is played.
    #[must_use]
    pub fn reset(&self) -> String {
        let frame = if self.framed { "\u{1b}7\u{1b}[r\u{1b}[?6l\u{1b}8" } else { "" };
        let main = if self.alternate { "\u{1b}[?1049l" } else { "" };
        format!("{frame}{main}{RIGHT}")
    }

    fn take(&mut self, c: char, out: &mut String) {
        match self.state {
            State::Text => self.text(c, out),
            State::Escape => self.escape(c, out),
            State::Charset(which) => {
                self.state = State::Text;
                match c {
                    '0' | 'A' | 'B' => out.extend(['\u{1b}', which, c]),
                    ' '..='~' => {}
                    _ => self.text(c, out),
                }
            }
            State::Dropped => {
                self.state = State::Text;
                if !matches!(c, ' '..='~') {
                    self.text(c, out);
                }
            }
            State::Sequence => self.sequence(c, out),
            State::String => match c {
                '\u{1b}' => self.state = State::StringEscape,
                '\u{7}' | '\u{18}' | '\u{1a}' | '\u{9c}' => self.state = State::Text,
                '\n' => self.text(c, out),
                _ => {}
            },
            State::StringEscape => {
                self.state = State::Text;
                if c != '\\' {
                    self.escape(c, out);
                }
            }
        }
    }

    fn text(&mut self, c: char, out: &mut String) {
        self.state = State::Text;
        match c {
            '\u{1b}' => self.state = State::Escape,
            '\u{8}' | '\t' | '\n' | '\r' | '\u{e}' | '\u{f}' => out.push(c),
            '\u{b}' | '\u{c}' => out.push('\n'),
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }

    fn escape(&mut self, c: char, out: &mut String) {
        self.state = State::Text;
        match c {
            '[' => {
                self.parameters.clear();
                self.state = State::Sequence;
            }
            ']' | 'P' | 'X' | '^' | '_' => self.state = State::String,
            '(' | ')' => self.state = State::Charset(c),
            ' '..='/' => self.state = State::Dropped,
            // The cursor kept and put back, one line down, down to the beginning, up.
            '7' | '8' | 'D' | 'E' | 'M' => out.extend(['\u{1b}', c]),
            // A reset would also throw away what the auditor could scroll back to.
            'c' => out.push_str("\u{1b}[0m\u{1b}(B\u{1b}[2J\u{1b}[H"),
            '0'..='~' => {}
            _ => self.text(c, out),
        }
    }

    fn sequence(&mut self, c: char, out: &mut String) {
        match c {
            ' '..='?' => {
                // One more than is kept, so that it is known to be too long.
                if self.parameters.len() <= PARAMETERS {
                    self.parameters.push(c);
                }
            }
            '@'..='~' => {
                self.state = State::Text;
                let parameters = std::mem::take(&mut self.parameters);
                if let Some(kept) = self.kept(&parameters, c) {
                    out.push_str("\u{1b}[");
                    out.push_str(&kept);
                    out.push(c);
                }
                self.parameters = parameters;
            }
            '\u{18}' | '\u{1a}' => self.state = State::Text,
            '\0'..='\u{1a}' | '\u{1c}'..='\u{1f}' | '\u{7f}' if c != '\n' => {}
            _ => self.text(c, out),
        }
    }

    /// The parameters of a sequence that may pass, as they are written.
    fn kept(&mut self, parameters: &str, last: char) -> Option<String> {
        if parameters.len() > PARAMETERS {
            return None;
        }
        if let Some(modes) = parameters.strip_prefix('?') {
            return self.modes(modes, last);
        }
        let digits = if last == 'b' { DIGITS - 2 } else { DIGITS };
        let number = |text: &str| text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_digit());
        let passes = match last {
            'm' => parameters.split([';', ':']).all(number),
            'A'..='I' | 'L' | 'M' | 'P' | 'S' | 'T' | 'X' | 'Z' | '@' | '`' | 'a' | 'b' | 'd' | 'e' => {
                number(parameters)
            }
            'f' | 'r' => parameters.split(';').all(number) && parameters.matches(';').count() <= 1,
            'J' | 'K' => matches!(parameters, "" | "0" | "1" | "2"),
            's' | 'u' => parameters.is_empty(),
            'h' | 'l' => parameters == "4",
            _ => false,
        };
        let placed = last == 'H' && parameters.split(';').all(number) && parameters.matches(';').count() <= 1;
        self.framed |= passes && last == 'r';
        (passes || placed).then(|| parameters.to_owned())
    }

    /// Of modes that are set or reset, those that draw.
    fn modes(&mut self, modes: &str, last: char) -> Option<String> {
        if !matches!(last, 'h' | 'l') {
            return None;
        }
        let kept: Vec<&str> = modes.split(';').filter(|mode| MODES.contains(mode)).collect();
        self.framed |= kept.contains(&"6");
        if kept.iter().any(|mode| matches!(*mode, "47" | "1047" | "1049")) {
            self.alternate = last == 'h';
        }
        (!kept.is_empty()).then(|| format!("?{}", kept.join(";")))
    }
}

/// Fuzzing entry: any bytes, the first of which say how to cut the rest; must not panic, must come out alike however it is
/// cut, must be a fixed point, and nothing may come out that is not on the list, as read by another reader.
pub fn fuzz_screen(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_first().map_or((1, bytes), |(cut, rest)| (usize::from(*cut) + 1, rest));
    let text = String::from_utf8_lossy(bytes);
    let shown = |text: &str, cut: usize| {
        let (mut screen, mut out) = (Screen::default(), String::new());
        let characters: Vec<char> = text.chars().collect();
        for piece in characters.chunks(cut) {
            screen.push(&piece.iter().collect::<String>(), &mut out);
        }
        out
    };
    let out = shown(&text, usize::MAX);
    assert_eq!(out, shown(&text, cut), "cut every {cut} characters it comes out otherwise");
    assert_eq!(out, shown(&out, usize::MAX), "what was let pass is not let pass again");
    for (at, c) in out.char_indices() {
        assert!(!c.is_control() || "\u{8}\t\n\r\u{e}\u{f}\u{1b}".contains(c), "a control came out: {c:?}");
        if c == '\u{1b}' {
            assert!(draws(out.get(at + 1..).unwrap_or_default()), "an escape came out: {:?}", out.get(at..at + 12));
        }
    }
}

/// Whether what stands behind an escape is the rest of a sequence that only draws.
fn draws(rest: &str) -> bool {
    let Some(sequence) = rest.strip_prefix('[') else {
        let simple = rest.starts_with(['7', '8', 'D', 'E', 'M']);
        return simple || ["(0", "(A", "(B", ")0", ")A", ")B"].iter().any(|charset| rest.starts_with(charset));
    };
    let Some(end) = sequence.find(|c: char| !matches!(c, '0'..='9' | ';' | ':')) else { return false };
    let (parameters, last) = sequence.split_at(end);
    match last.chars().next() {
        Some('?') => {
            let modes = last.get(1..).unwrap_or_default();
            let end = modes.find(['h', 'l']).unwrap_or(0);
            let modes = modes.get(..end).unwrap_or_default();
            !modes.is_empty() && modes.split(';').all(|mode| MODES.contains(&mode))
        }
        Some('h' | 'l') => parameters == "4",
        Some('J') => parameters != "3",
        Some(c) => "mABCDEFGHIfd`aeZKXP@LMSTbrsu".contains(c),
        None => false,
    }
}

#[cfg(test)]
mod tests;
