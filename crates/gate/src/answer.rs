//! The way back: what a backend answers, counted, recorded and released.
//!
//! Promises: a frame reaches a client only as [`Released`], made here or by [`Session::say`](crate::Session::say); it
//! carries the place in the record that must be durable before it leaves, that of the newest command it answers (with
//! its approval, where people gave one); what
//! is recorded of a result is bounded, and the part that was cut off is marked `truncated`.
//! [`Answer::plan`] says what becomes of each column of a result; the protocol, which knows its own formats, replaces the
//! values with what the [`Mask`](crate::Mask) gives, and says how many it replaced, which goes into the record.
//! Rows are one shape of an answer; documents and what programs, terminals and models write are the others: `json.rs` and
//! `text.rs` have them.
//! Does not promise that a protocol follows the plan: its tests do.
//! Held by: `tests/it/answer.rs`, `tests/it/masking.rs`, `tests/it/text.rs`.
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

use crate::clearance::Permit;
use crate::json::Tally;
use crate::mask::{Mask, Plans, ResultColumn};
use crate::masking::{Masking, Touches};
use crate::session::Inner;
use crate::text::{Flow, Gathered};
use portcullis_model::{Command, EventBody, MaskedColumn, RecordedColumn};
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
pub(crate) enum Cut {
    Whole,
    /// Cut off, and the record does not say so yet.
    Unsaid,
    Said,
}

/// The answer to one command (or to none: what a backend says unasked), on its way to the client.
pub struct Answer {
    pub(crate) session: Arc<Inner>,
    pub(crate) number: Option<u64>,
    command: Option<Arc<Command>>,
    /// The masks of the command; what answers none is under those of the moment.
    masking: Option<Arc<Masking>>,
    touches: Option<Touches>,
    masked: Vec<MaskedColumn>,
    /// What was masked besides columns.
    pub(crate) tally: Tally,
    wait_for: u64,
    columns: Vec<RecordedColumn>,
    rows: Vec<Vec<Option<Arc<str>>>>,
    gathered: usize,
    pub(crate) budget: usize,
    pub(crate) cut: Cut,
    /// Whether its rows are kept from the record until it is known that the client is given them.
    withheld: bool,
    /// The streams of text that have begun.
    pub(crate) flows: Vec<Flow>,
    pub(crate) gathered_texts: Vec<Gathered>,
    /// Columns and rows of its terminal, where it has one.
    pub(crate) screen: Option<(u32, u32)>,
    count: u64,
    bytes: u64,
}

impl Answer {
    pub(crate) fn new(session: Arc<Inner>, permit: Option<&Permit>, wait_for: u64) -> Self {
        let budget = session.result_budget();
        Self {
            session,
            number: permit.map(|permit| permit.number),
            command: permit.map(|permit| Arc::clone(&permit.command)),
            touches: permit.map(|permit| permit.touches),
            masking: permit.map(|permit| Arc::clone(&permit.masking)),
            masked: Vec::new(),
            tally: Tally::default(),
            wait_for,
            columns: Vec::new(),
            rows: Vec::new(),
            gathered: 0,
            budget,
            cut: Cut::Whole,
            withheld: false,
            flows: Vec::new(),
            gathered_texts: Vec::new(),
            screen: None,
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

    /// What becomes of the columns of the result of this statement of the command, counted from 0.
    pub fn plan(&mut self, statement: usize, columns: &[ResultColumn<'_>]) -> Plans {
        self.tell_masked();
        self.masked.clear();
        if !self.plans() {
            return Plans::default();
        }
        let followed = self.command.as_ref().and_then(|command| command.followed.as_ref());
        let plans = self.masking().plan(followed, statement, columns);
        if let Some(plan) = &plans.client {
            let masked = |(column, mask): (&ResultColumn<'_>, &Option<Arc<Mask>>)| MaskedColumn {
                column: column.name.into(),
                rule: mask.as_ref().map_or_else(|| "".into(), |mask| Arc::clone(mask.by())),
                reason: mask.as_ref().map_or("", |mask| mask.reason()).into(),
                values: 0,
            };
            self.masked = columns.iter().zip(plan).map(masked).collect();
        }
        plans
    }

    /// How many values of each column of the newest plan were replaced for the client so far.
    pub fn masked(&mut self, values: &[u64]) {
        for (masked, values) in self.masked.iter_mut().zip(values) {
            masked.values = *values;
        }
    }

    /// Whether the client is bound by any mask.
    #[must_use]
    pub fn masks(&self) -> bool {
        !self.masking().client.is_empty()
    }

    /// Whether a plan may replace anything in this answer: if not, none need be asked for.
    #[must_use]
    pub fn plans(&self) -> bool {
        let (masking, touches) = (self.masking(), self.all_touches());
        !masking.is_empty() && (touches.client || touches.record || masking.looks_everywhere())
    }

    pub(crate) fn masking(&self) -> Arc<Masking> {
        self.masking.as_ref().map_or_else(|| self.session.masking_now(), Arc::clone)
    }

    /// What answers no command may be about anything.
    fn all_touches(&self) -> Touches {
        self.touches.unwrap_or_else(|| {
            let masking = self.masking();
            Touches { client: !masking.client.is_empty(), record: !masking.record.is_empty() }
        })
    }

    /// Whether words of the backend (errors, notices) may hold protected values, so that only its own constants pass.
    #[must_use]
    pub fn touches(&self) -> bool {
        self.all_touches().client
    }

    /// The same for what the record keeps of them, which nobody is exempt from.
    #[must_use]
    pub fn touches_record(&self) -> bool {
        self.all_touches().record
    }

    /// Whether words of the backend may hold protected values: by what the command touches, because other code `raised`
    /// them, or because they are about this relation (its schema and name).
    #[must_use]
    pub fn spoken(&self, raised: bool, relation: Option<(&str, &str)>) -> Touches {
        let (all, spoken) = (self.all_touches(), self.masking().speaks(raised, relation));
        Touches { client: all.client || spoken.client, record: all.record || spoken.record }
    }

    /// What looks for values in words that belong to no column, for the client.
    #[must_use]
    pub fn words(&self) -> Option<Arc<Mask>> {
        let masking = self.masking();
        masking.words()
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
        self.write_text();
        let redacted = self.masking().searched(text);
        let text = redacted.as_deref().unwrap_or(text);
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
                command: self.number,
                stream: stream.into(),
                text: kept.into(),
                truncated: false,
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

    /// What follows answers the session's newest command too (an answer can propose commands of its own): it leaves once
    /// all that the session has recorded is durable, the approval of that command with it.
    pub fn behind_newest(&mut self) {
        self.wait_for = self.wait_for.max(self.session.wait_to_release(self.session.stream.newest()));
    }

    pub(crate) fn cut(&mut self) {
        if matches!(self.cut, Cut::Whole) {
            self.cut = Cut::Unsaid;
        }
    }

    /// Puts the counts of masked values into the record.
    fn tell_masked(&mut self) {
        let mut columns: Vec<MaskedColumn> = self.masked.iter().filter(|column| column.values > 0).cloned().collect();
        columns.append(&mut self.tally.take());
        self.masked.iter_mut().for_each(|column| column.values = 0);
        if let Some(command) = self.number
            && !columns.is_empty()
        {
            self.session.record([EventBody::Masked { command, columns }]);
        }
    }

    /// The client is given the one result of this answer later, or never: until [`Answer::give`], what is gathered of its
    /// rows (no more than the record takes of any answer) stays out of the record, and an answer that ends before has none.
    pub const fn withhold(&mut self) {
        self.withheld = true;
    }

    /// The client is given what was withheld.
    pub const fn give(&mut self) {
        self.withheld = false;
    }

    /// What was withheld is given to nobody.
    fn take_back(&mut self) {
        self.rows.clear();
        self.columns.clear();
        self.masked.clear();
        (self.gathered, self.count, self.bytes, self.cut) = (0, 0, 0, Cut::Whole);
    }

    /// Puts what has gathered into the record.
    pub fn flush(&mut self) {
        let Some(command) = self.number.filter(|_| !self.withheld) else { return };
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

impl Answer {
    /// The answer is whole: what has gathered and how much was masked go into the record.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.withheld) {
            self.take_back();
        }
        self.end_texts();
        self.flush();
        self.tell_masked();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.finish();
    }
}
