//! Where a stream's text goes: copied, or covered by something else.
//!
//! Every byte that a [`Redactor`](super::Redactor) takes comes out as one of the two, in order, exactly once; so whoever
//! took something out of the text before can put it back at its place. Held by: the tests of `terminal.rs`.

pub(super) trait Output {
    /// These bytes pass.
    fn copy(&mut self, text: &[u8]);
    /// So many bytes are covered by these.
    fn replace(&mut self, covered: usize, with: &[u8]);
}

impl Output for Vec<u8> {
    fn copy(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }

    fn replace(&mut self, _covered: usize, with: &[u8]) {
        self.extend_from_slice(with);
    }
}
