//! Looking at bytes by position, where beyond either end of a text stands nothing (0).
//!
//! Held by: the tests of what uses it.

/// The byte at a position.
pub(super) fn at(text: &[u8], position: usize) -> u8 {
    text.get(position).copied().unwrap_or(0)
}

/// The byte `back` before a position.
pub(super) fn before(text: &[u8], position: usize, back: usize) -> u8 {
    position.checked_sub(back).map_or(0, |position| at(text, position))
}

/// These bytes, where they are there.
pub(super) fn part(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..end.min(text.len())).unwrap_or_default()
}

/// Where a run of bytes of this kind that begins at `start` ends.
pub(super) fn run(text: &[u8], start: usize, of: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !of(*byte)).unwrap_or(rest.len())
}

/// Where a run of bytes of this kind that ends before `end` begins, looking back `most` bytes.
pub(super) fn run_back(text: &[u8], end: usize, most: usize, of: impl Fn(u8) -> bool) -> usize {
    let from = end.saturating_sub(most);
    let before = text.get(from..end).unwrap_or_default();
    from + before.iter().rposition(|byte| !of(*byte)).map_or(0, |position| position + 1)
}

/// Whether a word may begin here: no letter or digit stands before, unless it belongs to an escape (`\n`).
pub(super) fn opens(text: &[u8], position: usize) -> bool {
    let previous = before(text, position, 1);
    !previous.is_ascii_alphanumeric() || (matches!(previous, b'n' | b'r' | b't') && before(text, position, 2) == b'\\')
}

/// Whether a word may end here.
pub(super) fn closes(text: &[u8], position: usize) -> bool {
    !at(text, position).is_ascii_alphanumeric()
}
