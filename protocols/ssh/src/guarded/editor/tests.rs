//! Tables of keys, and a model of a terminal that knows only what the editor may send.

use super::*;
use proptest::prelude::*;

fn table(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../../fixtures/guarded/{name}.tsv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).filter(|line| !line.is_empty());
    rows.map(|row| row.split('\t').map(str::to_owned).collect()).collect()
}

/// `^X` control, `\e` escape, `\xNN` a byte, `\\` a backslash.
fn keys(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'^' => out.push(rest.next().unwrap() & 0x1f),
            b'\\' => match rest.next().unwrap() {
                b'e' => out.push(0x1b),
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                other => out.push(other),
            },
            byte => out.push(byte),
        }
    }
    out
}

/// A terminal; fails on anything that it does not know.
struct Model {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    height: usize,
    dumb: bool,
}

/// Stands behind a wide character.
const SHADOW: char = '\0';

impl Model {
    fn new(columns: usize, height: usize, dumb: bool) -> Self {
        Self { columns, rows: vec![vec![' '; columns]], row: 0, column: 0, height, dumb }
    }

    fn top(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }

    fn print(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => {
                    self.row += 1;
                    if self.row == self.rows.len() {
                        self.rows.push(vec![' '; self.columns]);
                    }
                }
                '\x07' => {}
                '\x08' if self.dumb => self.column = self.column.saturating_sub(1),
                '\x1b' if !self.dumb => self.sequence(&mut chars),
                c => self.put(c),
            }
        }
    }

    fn put(&mut self, c: char) {
        assert!(super::super::shown::is_plain(c), "{c:?} is printed");
        let mut cells = Vec::new();
        super::super::shown::show(c, &mut cells);
        let width = cells[0].1;
        if self.dumb && self.column + width > self.columns {
            self.print(b"\r\n");
        }
        assert!(self.column + width <= self.columns, "the terminal is left to wrap");
        self.rows[self.row][self.column] = c;
        if width == 2 {
            self.rows[self.row][self.column + 1] = SHADOW;
        }
        self.column += width;
    }

    fn sequence(&mut self, chars: &mut std::str::Chars<'_>) {
        assert_eq!(chars.next(), Some('['));
        let mut number = String::new();
        let last = loop {
            match chars.next().unwrap() {
                c if c.is_ascii_digit() || c == '?' => number.push(c),
                c => break c,
            }
        };
        let count: usize = number.parse().unwrap_or(1);
        match (last, number.as_str()) {
            ('A', _) => self.row = self.row.saturating_sub(count).max(self.top()),
            ('C', _) => self.column = (self.column + count).min(self.columns - 1),
            ('H', "") => (self.row, self.column) = (self.top(), 0),
            ('J', "") => {
                self.rows.truncate(self.row + 1);
                self.rows[self.row][self.column..].fill(' ');
            }
            ('h' | 'l', "?2004") => {}
            (last, number) => panic!("CSI {number} {last}"),
        }
    }

    /// Rows, with the cursor as `_`.
    fn shown(&self) -> Vec<String> {
        let row = |(index, row): (usize, &Vec<char>)| {
            let mut text = String::new();
            let mut end = 0;
            for (column, c) in row.iter().enumerate() {
                if (index, column) == (self.row, self.column) {
                    text.push('_');
                    end = text.len();
                }
                if *c != SHADOW {
                    text.push(*c);
                }
                if *c != ' ' {
                    end = text.len();
                }
            }
            if (index, self.columns) == (self.row, self.column) {
                text.push('_');
                end = text.len();
            }
            text.truncate(end);
            text
        };
        self.rows.iter().enumerate().skip(self.top()).map(row).collect()
    }
}

struct Typed {
    said: Vec<String>,
    model: Model,
    editor: Editor,
}

impl Typed {
    fn new(columns: u32, rows: u32, term: &str) -> Self {
        let editor = Editor::new(term, Size { columns, rows, width: 0, height: 0 });
        let model = Model::new(columns as usize, rows as usize, term == "dumb");
        let mut typed = Self { said: Vec::new(), model, editor };
        let events = typed.editor.prompt("$ ");
        typed.take(events);
        typed
    }

    fn feed(&mut self, bytes: &[u8]) {
        let events = self.editor.feed(bytes);
        self.take(events);
    }

    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Show(bytes) => {
                    self.model.print(&bytes);
                    continue;
                }
                Event::Line(line) => self.said.push(format!("{line:?}")),
                Event::Interrupt => self.said.push("interrupt".to_owned()),
                Event::EndOfInput => self.said.push("end".to_owned()),
                Event::TooLong | Event::Unreadable => self.said.push("gone".to_owned()),
                Event::Complete(word) => {
                    let command = if word.command { ",command" } else { "" };
                    self.said.push(format!("complete({},{}{command})", word.directory, word.prefix));
                    let names = ["docs", "done", "x y", "bad\u{202e}name", "q"];
                    let candidate = |name: &&str| Candidate { name: (*name).to_owned(), is_directory: *name == "docs" };
                    let events = self.editor.complete(&word, names.iter().map(candidate).collect());
                    self.take(events);
                    continue;
                }
            }
            let events = self.editor.prompt("$ ");
            self.take(events);
        }
    }
}

#[test]
fn keys_make_lines() {
    for row in table("keys") {
        for term in ["xterm", "vt100", "dumb"] {
            for step in [1, 3, 1000] {
                let mut typed = Typed::new(40, 5, term);
                keys(&row[0]).chunks(step).for_each(|part| typed.feed(part));
                assert_eq!(typed.said.join(" "), row[1], "{} {term} {step}", row[0]);
            }
        }
    }
}

#[test]
fn a_terminal_shows_the_line() {
    for row in table("screens") {
        for step in [1, 2, 1000] {
            let mut typed = Typed::new(row[0].parse().unwrap(), row[1].parse().unwrap(), "xterm");
            keys(&row[2]).chunks(step).for_each(|part| typed.feed(part));
            assert_eq!(typed.model.shown().join("|"), row[3], "{} {step}", row[2]);
        }
    }
}

#[test]
fn a_long_line_is_gone_and_never_cut() {
    for end in ["\r", "\x1b[A\r"] {
        let mut typed = Typed::new(80, 24, "xterm");
        typed.feed(&vec![b'a'; LINE_BYTES]);
        typed.feed(b"\r");
        assert_eq!(typed.said[0].len(), LINE_BYTES + 2);
        typed.feed(&vec![b'a'; LINE_BYTES + 1]);
        typed.feed(end.as_bytes());
        assert_ne!(typed.said.last().map(String::as_str), Some("\"\""));
        assert!(end != "\r" || typed.said[1] == "gone");
    }
    // What came while nothing was read is whole or gone.
    let mut editor = Editor::new("xterm", Size::default());
    assert!(editor.feed(&vec![b'a'; AHEAD + 1]).is_empty());
    assert!(editor.prompt("$ ").last() == Some(&Event::TooLong));
    assert!(!editor.is_reading());
    assert!(editor.feed(b"x\x03y").last() == Some(&Event::Interrupt));
}

fn directory(name: &str) -> Vec<Candidate> {
    vec![Candidate { name: name.to_owned(), is_directory: true }]
}

/// An editor that was typed into, and the word that it waits for.
fn completing(typed: &[u8]) -> (Editor, Word) {
    let mut editor = Editor::new("xterm", Size { columns: 40, rows: 5, width: 0, height: 0 });
    editor.prompt("$ ");
    let word = sought(editor.feed(typed));
    (editor, word)
}

fn sought(events: Vec<Event>) -> Word {
    let word = events.into_iter().find_map(|event| if let Event::Complete(word) = event { Some(word) } else { None });
    word.expect("a word to complete")
}

#[test]
fn enter_before_the_names_ends_the_line_that_they_complete() {
    let (mut editor, word) = completing(b"cat d\t");
    assert!(editor.feed(b"\rls\r").is_empty());
    assert!(editor.complete(&word, directory("docs")).last() == Some(&Event::Line("cat docs/".to_owned())));
    // It is decided, and runs: the same names again are nobody's.
    assert!(editor.complete(&word, directory("docs")).is_empty());
    assert!(editor.prompt("$ ").last() == Some(&Event::Line("ls".to_owned())));
}

#[test]
fn names_that_come_after_an_interrupt_change_no_line() {
    for typed in ["rm d\t", "cat d\t"] {
        let (mut editor, given_up) = completing(b"cat d\t");
        assert!(editor.feed(b"\x03").last() == Some(&Event::Interrupt));
        assert!(editor.complete(&given_up, directory("docs")).is_empty());
        editor.prompt("$ ");
        assert!(editor.complete(&given_up, directory("docs")).is_empty());
        // Another word is asked for meanwhile, or the same one again.
        let word = sought(editor.feed(typed.as_bytes()));
        assert!(editor.complete(&given_up, directory("docs")).is_empty());
        assert!(editor.waits_for(&word) && !editor.waits_for(&given_up));
        editor.complete(&word, directory("data"));
        let line = typed.replace("d\t", "data/");
        assert!(editor.feed(b"\r").last() == Some(&Event::Line(line)));
    }
}

#[test]
fn what_is_typed_behind_a_word_is_whole_or_gone() {
    let (mut editor, word) = completing(b"cat d\t");
    assert!(editor.feed(&vec![b'a'; AHEAD + 1]).is_empty());
    assert!(editor.feed(b"; the end of a line\r").is_empty());
    assert!(editor.complete(&word, directory("docs")).last() == Some(&Event::TooLong));
    editor.prompt("$ ");
    assert!(editor.feed(b"ls\r").last() == Some(&Event::Line("ls".to_owned())));
}

#[test]
fn a_resize_draws_the_line_again() {
    let mut typed = Typed::new(20, 4, "xterm");
    typed.feed(b"abcdefghijkl");
    typed.model.columns = 10;
    typed.model.rows.iter_mut().for_each(|row| row.truncate(10));
    typed.model.column = 4;
    let events = typed.editor.resize(Size { columns: 10, rows: 4, width: 0, height: 0 });
    typed.take(events);
    assert_eq!(typed.model.shown().join("|"), "$ abcdefgh|ijkl_");
}

proptest! {
    /// Whatever was typed, the last rows are the prompt and the line, and the cursor stands where the editor has it.
    #[test]
    fn what_is_shown_is_the_line(pieces in prop::collection::vec(prop::sample::select(vec![
        "a", "bc ", "世", "é", "\u{200b}", "\x01", "\x05", "\x02", "\x06", "\x0b", "\x15", "\x17", "\x19", "\x14", "\x7f", "\x04x",
        "\x1b[A", "\x1b[B", "\x1b[3~", "\x12", "\r", "long enough to wrap ", "\x1bb", "\x1bd", "\x0c", "\t", "\x03",
    ]), 0..40)) {
        let mut typed = Typed::new(12, 60, "xterm");
        for piece in pieces {
            typed.feed(piece.as_bytes());
            let mut expected = Model::new(12, 60, false);
            let mut text = String::new();
            let mut screen = Screen::new(12, 60, false);
            let searching = typed.editor.search.as_ref().map(Search::prompt);
            let prompt = searching.as_deref().unwrap_or("$ ");
            screen.draw(prompt, typed.editor.line.chars(), typed.editor.line.cursor(), &mut text);
            expected.print(text.as_bytes());
            let expected = expected.shown();
            let shown = typed.model.shown();
            let from = shown.len() - expected.len().min(shown.len());
            prop_assert_eq!(&shown[from..], expected.as_slice());
        }
    }
}
