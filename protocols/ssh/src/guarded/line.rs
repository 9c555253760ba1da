//! The line being edited: its characters, the cursor, and what was cut out last.
//!
//! Promises: the cursor lies on or behind a character; a line that would grow beyond [`LINE_BYTES`] is remembered as too
//! long until it is cleared, so that half of what was typed never counts as the line. Does not look at what the
//! characters are: control characters are kept out by `keys.rs`.
//! Held by: `fixtures/guarded/keys.tsv` and the tests of `editor.rs`.

/// Bytes of one line.
pub(super) const LINE_BYTES: usize = 8 << 10;

/// Which way a cut goes: cuts in a row are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Left,
    Right,
}

/// The line.
#[derive(Default)]
pub(super) struct Line {
    chars: Vec<char>,
    cursor: usize,
    bytes: usize,
    too_long: bool,
    cut: Vec<char>,
    last_cut: bool,
}

impl Line {
    pub(super) fn chars(&self) -> &[char] {
        &self.chars
    }

    pub(super) const fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) const fn is_too_long(&self) -> bool {
        self.too_long
    }

    pub(super) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// The line is this, with the cursor behind it.
    pub(super) fn set(&mut self, text: &str) {
        self.chars.clear();
        self.cursor = 0;
        self.bytes = 0;
        self.too_long = false;
        text.chars().for_each(|c| self.insert(c));
    }

    pub(super) fn insert(&mut self, c: char) {
        if self.too_long || self.bytes + c.len_utf8() > LINE_BYTES {
            self.too_long = true;
            return;
        }
        self.bytes += c.len_utf8();
        self.chars.insert(self.cursor, c);
        self.cursor += 1;
    }

    pub(super) fn go(&mut self, to: usize) {
        self.cursor = to.min(self.chars.len());
    }

    /// Removes what lies between the cursor and there.
    fn remove(&mut self, to: usize) -> Vec<char> {
        let to = to.min(self.chars.len());
        let (start, end) = (to.min(self.cursor), to.max(self.cursor));
        let removed: Vec<char> = self.chars.drain(start..end).collect();
        self.bytes -= removed.iter().map(|c| c.len_utf8()).sum::<usize>();
        self.cursor = start;
        removed
    }

    pub(super) fn delete(&mut self, to: usize) {
        self.remove(to);
    }

    /// Cuts what lies between the cursor and there; `more` where the key before this cut, too.
    pub(super) fn cut(&mut self, to: usize, more: bool) {
        let way = if to < self.cursor { Cut::Left } else { Cut::Right };
        let removed = self.remove(to);
        match way {
            _ if !more => self.cut = removed,
            Cut::Left => {
                self.cut.splice(0..0, removed);
            }
            Cut::Right => self.cut.extend(removed),
        }
        // What was cut in pieces from lines that were put back could be longer than a line.
        self.cut.truncate(LINE_BYTES);
        self.last_cut = true;
    }

    /// Whether the key before this cut.
    pub(super) fn take_last_cut(&mut self) -> bool {
        std::mem::take(&mut self.last_cut)
    }

    pub(super) fn yank(&mut self) {
        let cut = std::mem::take(&mut self.cut);
        cut.iter().for_each(|c| self.insert(*c));
        self.cut = cut;
    }

    /// Changes the places of the characters around the cursor, or of the last two.
    pub(super) fn transpose(&mut self) {
        if self.cursor == self.chars.len() {
            self.cursor = self.cursor.saturating_sub(1);
        }
        if self.cursor > 0 && self.cursor < self.chars.len() {
            self.chars.swap(self.cursor - 1, self.cursor);
            self.cursor += 1;
        }
    }

    /// Where the word before the cursor starts.
    pub(super) fn word_left(&self, is_word: fn(char) -> bool) -> usize {
        let before = self.chars.get(..self.cursor).unwrap_or_default();
        let gap = before.iter().rev().take_while(|c| !is_word(**c)).count();
        let word = before.iter().rev().skip(gap).take_while(|c| is_word(**c)).count();
        self.cursor - gap - word
    }

    /// Where the word behind the cursor ends.
    pub(super) fn word_right(&self) -> usize {
        let behind = self.chars.get(self.cursor..).unwrap_or_default();
        let gap = behind.iter().take_while(|c| !is_letter(**c)).count();
        let word = behind.iter().skip(gap).take_while(|c| is_letter(**c)).count();
        self.cursor + gap + word
    }
}

/// What Alt-B and its like take for a word.
pub(super) fn is_letter(c: char) -> bool {
    c.is_alphanumeric()
}

/// What Ctrl-W takes for a word.
pub(super) const fn is_not_blank(c: char) -> bool {
    c != ' '
}
