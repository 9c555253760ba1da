//! What a client and a target of a guarded session may send.
//!
//! Promises: [`fuzz_guarded`] fails where a line holds a control character or is too long, where splitting a client's
//! bytes changes its lines or what the terminal shows of the last of them, and where the filter of trailers loses, adds or
//! reorders a byte of output that holds none. It must not panic.
//! Held by: the test below, and the fuzz target `ssh_guarded`.

use super::editor::{Editor, Event};
use super::line::LINE_BYTES;
use super::plain::Plain;
use super::trailer::TrailerFilter;
use crate::frame::Size;

/// Types arbitrary bytes, in pieces that the first byte chooses, and lets a target print them.
pub fn fuzz_guarded(data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else { return };
    let step = usize::from(how & 0x1f) + 1;
    let term = if how & 0x80 == 0 { "xterm" } else { "dumb" };
    let lines = typed(bytes, usize::MAX, term);
    assert!(lines == typed(bytes, step, term), "a line depends on how bytes are split");
    assert!(scripted(bytes, usize::MAX) == scripted(bytes, step), "a script's line depends on how bytes are split");
    filtered(bytes, step);
}

/// What was typed, but for what is shown.
fn typed(bytes: &[u8], step: usize, term: &str) -> Vec<Event> {
    let mut editor = Editor::new(term, Size { columns: 20, rows: 3, width: 0, height: 0 });
    let mut said = Vec::new();
    let mut events = editor.prompt("$ ");
    for part in bytes.chunks(step.min(bytes.len().max(1))) {
        answer(&mut editor, &mut events, &mut said);
        events = editor.feed(part);
    }
    answer(&mut editor, &mut events, &mut said);
    said
}

fn answer(editor: &mut Editor, events: &mut Vec<Event>, said: &mut Vec<Event>) {
    while let Some(last) = events.pop() {
        match &last {
            Event::Show(shown) => {
                let safe = |byte: &u8| !matches!(byte, 0..=6 | 9 | 11 | 12 | 14..=26 | 28..=31 | 127);
                assert!(shown.iter().all(safe) && std::str::from_utf8(shown).is_ok(), "a terminal is sent {shown:?}");
                continue;
            }
            Event::Line(line) => {
                assert!(line.len() <= LINE_BYTES && !line.contains(char::is_control), "a line is {line:?}");
            }
            Event::TooLong | Event::Unreadable | Event::Interrupt | Event::EndOfInput | Event::Complete(_) => {}
        }
        *events = match &last {
            Event::Complete(word) => editor.complete(word, Vec::new()),
            Event::Show(_)
            | Event::Line(_)
            | Event::TooLong
            | Event::Unreadable
            | Event::Interrupt
            | Event::EndOfInput => editor.prompt("$ "),
        };
        said.push(last);
    }
}

fn scripted(bytes: &[u8], step: usize) -> Vec<Event> {
    let mut plain = Plain::default();
    let mut said = plain.next();
    let mut parts = bytes.chunks(step.min(bytes.len().max(1)));
    loop {
        while !plain.is_reading() {
            if said.last() == Some(&Event::EndOfInput) {
                return said;
            }
            said.extend(plain.next());
        }
        match parts.next() {
            Some(part) => said.extend(plain.feed(part)),
            None => said.extend(plain.end()),
        }
    }
}

fn filtered(bytes: &[u8], step: usize) {
    const NONCE: &str = "n";
    let mut filter = TrailerFilter::new(NONCE);
    let mut out = Vec::new();
    for part in bytes.chunks(step) {
        out.extend_from_slice(&filter.feed(part));
    }
    let (rest, after, _) = filter.finish();
    out.extend_from_slice(&rest);
    let mut again = TrailerFilter::new(NONCE);
    let mut whole = again.feed(bytes).to_vec();
    let (rest, after_whole, _) = again.finish();
    whole.extend_from_slice(&rest);
    assert!(out == whole && after == after_whole, "what is told depends on how bytes are split");
    assert!(after.is_some() || out == bytes, "output without a trailer is passed as it is");
    assert!(out.len() <= bytes.len(), "output is not made");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that mean something, so that random ones do.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            3 => any::<u8>().prop_map(|byte| vec![byte]),
            3 => "[a-c é世\u{200b}]{1,6}".prop_map(String::into_bytes),
            4 => (0u8..32).prop_map(|byte| vec![byte]),
            3 => prop::sample::select(vec![
                "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[3~", "\x1b[200~", "\x1b[201~", "\x1bb", "\x1bd", "\r\n",
                "\x1b]7337;n e 0 /a /", "\x1b]7337;n x 3 / / x:1=$'a\\nb'\x07", "\x07", "\x1b]7337;",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_however_split(how in any::<u8>(), pieces in prop::collection::vec(piece(), 0..60)) {
            let mut data = vec![how];
            pieces.iter().for_each(|piece| data.extend_from_slice(piece));
            fuzz_guarded(&data);
        }
    }
}
