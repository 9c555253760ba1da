//! The way back: what a backend answers, counted, recorded and released.
//!
//! Promises: a frame reaches a client only as [`Released`], made here or by [`Session::say`](crate::Session::say); it
//! carries the place in the record that must be durable before it leaves, that of the newest command it answers; what
//! is recorded of a result is bounded, and the part that was cut off is marked `truncated`.
//! Does not promise masking: no policy that masks can be loaded yet, and one that tries is refused whole at load.
//! Held by: `tests/it/answer.rs`.
//!
//! A release cannot be forged:
//! ```compile_fail,E0451
//! let released = portcullis_gate::Released { frame: b"secret", wait_for: 0 };
//! ```
//! ```
//! fn pass<O: portcullis_gate::Outlet>(down: &mut portcullis_gate::Downstream<O>, r: portcullis_gate::Released<O::Frame>) {
//!     down.push(r);
//! }
//! ```

use crate::session::Inner;
use portcullis_model::{EventBody, RecordedColumn};
use std::sync::Arc;

/// Bytes of result rows gathered before they go to the record as one event.
const RESULT_BATCH: usize = 32 * 1024;

/// A frame that may go to the client, once the record up to `wait_for` is durable.
#[must_use = "a released frame is pushed downstream"]
pub struct Released<F> {
    pub(crate) frame: F,
    pub(crate) wait_for: u64,
}

/// Whether the record of an answer is whole.
enum Cut {
    Whole,
    /// Cut off, and the record does not say so yet.
    Unsaid,
    Said,
}

/// The answer to one command (or to none: what a backend says unasked), on its way to the client.
pub struct Answer {
    session: Arc<Inner>,
    command: Option<u64>,
    wait_for: u64,
    columns: Vec<RecordedColumn>,
    rows: Vec<Vec<Option<Arc<str>>>>,
    gathered: usize,
    budget: usize,
    cut: Cut,
    count: u64,
    bytes: u64,
}

impl Answer {
    pub(crate) fn new(session: Arc<Inner>, command: Option<u64>, wait_for: u64) -> Self {
        let budget = session.result_budget();
        Self {
            session,
            command,
            wait_for,
            columns: Vec::new(),
            rows: Vec::new(),
            gathered: 0,
            budget,
            cut: Cut::Whole,
            count: 0,
            bytes: 0,
        }
    }

    /// Begins a result of these columns.
    pub fn columns(&mut self, columns: Vec<RecordedColumn>) {
        self.flush();
        if self.budget > 0 {
            self.columns = columns;
        }
    }

    /// Whether [`Answer::row`] still records; when it does not, rows need only be counted.
    #[must_use]
    pub const fn records_rows(&self) -> bool {
        self.budget > 0 && matches!(self.cut, Cut::Whole)
    }

    /// Records one row of values in text form.
    pub fn row(&mut self, cells: Vec<Option<Arc<str>>>) {
        self.count += 1;
        if !self.records_rows() {
            return;
        }
        let size: usize = cells.iter().map(|cell| cell.as_ref().map_or(4, |text| text.len() + 3)).sum();
        if size > self.budget {
            self.cut();
            return;
        }
        self.budget -= size;
        self.gathered += size;
        self.rows.push(cells);
        if self.gathered >= RESULT_BATCH {
            self.flush();
        }
    }

    /// Counts rows that are not recorded.
    pub fn count_rows(&mut self, rows: u64) {
        self.count += rows;
        if rows > 0 && self.session.result_budget() > 0 {
            self.cut();
        }
    }

    /// Records output that is not rows: a notice, an error, copied data.
    pub fn output(&mut self, stream: &'static str, text: &str) {
        let mut end = text.len().min(self.budget);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if end < text.len() {
            self.cut();
        }
        self.budget -= end;
        if let Some(kept) = text.get(..end).filter(|kept| !kept.is_empty()) {
            self.session.record([EventBody::Output {
                command: self.command,
                stream: stream.into(),
                text: kept.into(),
            }]);
        }
    }

    /// Rows counted so far.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.count
    }

    /// Bytes released so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Releases a frame, or a whole run of frames, to the client.
    pub fn release<F: crate::Weight>(&mut self, frame: F) -> Released<F> {
        self.bytes += frame.weight() as u64;
        Released { frame, wait_for: self.wait_for }
    }

    fn cut(&mut self) {
        if matches!(self.cut, Cut::Whole) {
            self.cut = Cut::Unsaid;
        }
    }

    /// Puts what has gathered into the record.
    pub fn flush(&mut self) {
        let Some(command) = self.command else { return };
        let cut_now = matches!(self.cut, Cut::Unsaid);
        if self.rows.is_empty() && self.columns.is_empty() && !cut_now {
            return;
        }
        if cut_now {
            self.cut = Cut::Said;
        }
        let event = EventBody::Result {
            command,
            columns: std::mem::take(&mut self.columns),
            rows: std::mem::take(&mut self.rows),
            truncated: cut_now,
        };
        self.gathered = 0;
        self.session.record([event]);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.flush();
    }
}
