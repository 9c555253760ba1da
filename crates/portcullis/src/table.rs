//! Listings for people: columns as wide as their widest cell, cut at a sensible width.

use std::fmt::Write as _;

/// A cell past this many characters is cut.
const WIDEST: usize = 60;

/// Lays rows out under headings, two blanks between columns, control characters shown as escapes so that what is
/// recorded cannot move the reader's cursor.
pub(crate) fn render(headings: &[&str], rows: &[Vec<String>]) -> String {
    let shown: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| cut(cell)).collect()).collect();
    let width = |at: usize| {
        let heading = headings.get(at).map_or(0, |heading| heading.chars().count());
        shown.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).fold(heading, usize::max)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut out = String::new();
    let heading: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in std::iter::once(&heading).chain(&shown) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A result as psql would draw it.
pub(crate) fn result(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let widest = rows.iter().map(Vec::len).max().unwrap_or(0).max(columns.len());
    let names: Vec<String> =
        (0..widest).map(|at| columns.get(at).cloned().unwrap_or_else(|| format!("column {}", at + 1))).collect();
    let headings: Vec<&str> = names.iter().map(String::as_str).collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.clone().unwrap_or_else(|| "NULL".to_owned())).collect())
        .collect();
    render(&headings, &cells)
}

/// One line, without control characters, at most [`WIDEST`] characters.
fn cut(text: &str) -> String {
    let mut shown = printable(text);
    if let Some((at, _)) = shown.char_indices().nth(WIDEST) {
        shown.truncate(at);
        shown.push('…');
    }
    shown
}

/// The text with every control character as its escape.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
            if c.is_control() { Box::new(c.escape_default()) } else { Box::new(std::iter::once(c)) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_shown() {
        let rows = vec![vec!["a\x1b[2J".to_owned(), "x".to_owned()], vec!["b".to_owned(), "yy".to_owned()]];
        let text = render(&["one", "two"], &rows);
        assert_eq!(text, "one         two\na\\u{1b}[2J  x\nb           yy\n");
    }

    #[test]
    fn a_result_without_column_names_numbers_them() {
        let text = result(&[], &[vec![Some("1".into()), None]]);
        assert_eq!(text, "column 1  column 2\n1         NULL\n");
    }
}
