//! The prompt and the line as a terminal shows them, drawn from the line's characters.
//!
//! Rows are broken by the gateway, not by the terminal, so where the cursor is never depends on how a terminal wraps. A
//! line of more rows than the screen is shown in part while it is edited, and whole when it ends. A terminal that knows no
//! sequences (`dumb`) is sent the line again below where it was changed inside.
//! Promises: what is sent is printable text, CR, LF, BS (`dumb` only) and CSI A, C, J; what is shown is the line.
//! Does not promise that a terminal that was resized shows no remains of what it had broken differently.
//! Held by: `fixtures/guarded/screens.tsv` and the model of a terminal in the tests of `editor.rs`.

use super::shown;
use std::fmt::Write as _;

type Cell = (char, usize);

/// What the terminal shows.
pub(super) struct Screen {
    columns: usize,
    rows: usize,
    /// It knows no sequences.
    dumb: bool,
    cells: Vec<Cell>,
    /// The row of the cursor among those drawn.
    row: usize,
    /// The cursor is behind the last cell, in this column.
    end: Option<usize>,
}

/// Where each row starts, and where the cursor is.
struct Layout {
    starts: Vec<usize>,
    cursor: (usize, usize),
    last: usize,
}

impl Screen {
    pub(super) fn new(columns: u32, rows: u32, dumb: bool) -> Self {
        let mut screen = Self { columns: 0, rows: 0, dumb, cells: Vec::new(), row: 0, end: Some(0) };
        screen.resize(columns, rows);
        screen
    }

    pub(super) fn resize(&mut self, columns: u32, rows: u32) {
        let sane = |size: u32, usual: usize, least: usize| match usize::try_from(size) {
            Ok(0) | Err(_) => usual,
            Ok(size) => size.clamp(least, 4096),
        };
        self.columns = sane(columns, 80, 8);
        self.rows = sane(rows, 24, 2);
        // Only drawing all of it again is right now.
        self.end = None;
    }

    /// The cursor is at the start of an empty row, and nothing is drawn.
    pub(super) fn start(&mut self) {
        self.cells.clear();
        self.row = 0;
        self.end = Some(0);
    }

    /// Shows this.
    pub(super) fn draw(&mut self, prompt: &str, line: &[char], cursor: usize, out: &mut String) {
        let rows = self.rows;
        self.show(prompt, line, cursor, rows, out);
    }

    /// Shows all of it and goes to the next row.
    pub(super) fn finish(&mut self, prompt: &str, line: &[char], out: &mut String) {
        self.show(prompt, line, line.len(), usize::MAX, out);
        if self.end != Some(0) || self.cells.is_empty() {
            out.push_str("\r\n");
        }
        self.start();
    }

    /// Shows that the line is given up, all of it being drawn, and goes to the next row.
    pub(super) fn give_up(&mut self, out: &mut String) {
        if self.end.is_some_and(|column| column + 2 > self.columns) {
            out.push_str("\r\n");
        }
        out.push_str("^C\r\n");
        self.start();
    }

    fn show(&mut self, prompt: &str, line: &[char], cursor: usize, rows: usize, out: &mut String) {
        let mut cells = Vec::with_capacity(prompt.len() + line.len());
        prompt.chars().for_each(|c| shown::show(c, &mut cells));
        let mut at = cells.len();
        for (index, c) in line.iter().enumerate() {
            if index == cursor {
                at = cells.len();
            }
            shown::show(*c, &mut cells);
        }
        if cursor >= line.len() {
            at = cells.len();
        }
        if self.end.is_some() && at == self.cells.len() && cells == self.cells {
            return;
        }
        if self.dumb {
            self.plainly(cells, at, out);
        } else {
            self.fully(cells, at, rows, out);
        }
    }

    fn layout(&self, cells: &[Cell], at: usize) -> Layout {
        let mut layout = Layout { starts: vec![0], cursor: (0, 0), last: 0 };
        let mut column = 0;
        for (index, (_, width)) in cells.iter().enumerate() {
            if column + width > self.columns {
                layout.starts.push(index);
                column = 0;
            }
            if index == at {
                layout.cursor = (layout.starts.len() - 1, column);
            }
            column += width;
        }
        if column == self.columns {
            layout.starts.push(cells.len());
            column = 0;
        }
        if at >= cells.len() {
            layout.cursor = (layout.starts.len() - 1, column);
        }
        layout.last = column;
        layout
    }

    fn fully(&mut self, cells: Vec<Cell>, at: usize, rows: usize, out: &mut String) {
        let layout = self.layout(&cells, at);
        let all = layout.starts.len();
        let adds = self.end.is_some() && cells.starts_with(&self.cells) && at == cells.len() && all <= rows;
        if adds {
            let had = self.cells.len();
            // A wide character that did not fit into the row; a row that was full has been left before.
            if self.end != Some(0) && layout.starts.contains(&had) {
                out.push_str("\r\n");
            }
            print(&cells, had, &layout.starts, out);
            self.row = all - 1;
        } else {
            if self.row > 0 {
                let _ = write!(out, "\x1b[{}A", self.row);
            }
            out.push_str("\r\x1b[J");
            // Of a line of more rows than the screen has, those around the cursor.
            let first = layout.cursor.0.saturating_sub(rows - 1);
            let beyond = layout.starts.get(first.saturating_add(rows)).copied();
            let window = cells.get(..beyond.unwrap_or(cells.len())).unwrap_or_default();
            let starts = layout.starts.get(..first.saturating_add(rows)).unwrap_or(&layout.starts);
            print(window, layout.starts.get(first).copied().unwrap_or(0), starts, out);
            let last = if beyond.is_some() { first + rows - 1 } else { all - 1 };
            if last > layout.cursor.0 {
                let _ = write!(out, "\x1b[{}A", last - layout.cursor.0);
            }
            if at < cells.len() || beyond.is_some() {
                out.push('\r');
                if layout.cursor.1 > 0 {
                    let _ = write!(out, "\x1b[{}C", layout.cursor.1);
                }
            }
            self.row = layout.cursor.0 - first;
        }
        self.end = (at == cells.len() && all <= rows).then_some(layout.last);
        self.cells = cells;
    }

    fn plainly(&mut self, cells: Vec<Cell>, at: usize, out: &mut String) {
        let text = |cells: &[Cell]| cells.iter().map(|(c, _)| *c).collect::<String>();
        let width = |cells: &[Cell]| cells.iter().map(|(_, width)| *width).sum::<usize>();
        let whole = at == cells.len() && self.end.is_some();
        if let Some(more) = cells.strip_prefix(self.cells.as_slice()).filter(|_| whole) {
            out.push_str(&text(more));
        } else if let Some(less) = self.cells.strip_prefix(cells.as_slice()).filter(|_| whole) {
            out.push_str(&"\x08 \x08".repeat(width(less)));
        } else {
            out.push_str("\r\n");
            out.push_str(&text(&cells));
            out.push_str(&"\x08".repeat(width(cells.get(at..).unwrap_or_default())));
        }
        // Never 0: the end of a line is always followed by a new one.
        self.end = (at == cells.len()).then_some(1);
        self.cells = cells;
    }
}

/// Prints the cells from `from`, with a new row where one starts.
fn print(cells: &[Cell], from: usize, starts: &[usize], out: &mut String) {
    let mut starts = starts.iter().copied().skip_while(|start| *start <= from).peekable();
    for (index, (c, _)) in cells.iter().enumerate().skip(from) {
        if starts.next_if_eq(&index).is_some() {
            out.push_str("\r\n");
        }
        out.push(*c);
    }
    if starts.next_if_eq(&cells.len()).is_some() {
        out.push_str("\r\n");
    }
}
