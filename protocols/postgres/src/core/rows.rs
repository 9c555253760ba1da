//! Rows on their way to the client: whole ones by the run, long ones in pieces.
//!
//! Promises: a row that may have to be masked leaves whole or not at all; what becomes of its columns is decided once as
//! many bytes of it came as say how many there are, so where it was cut changes nothing; nothing of the gateway's own gets
//! between two pieces; rows that cannot be masked end the session, and which these are does not depend on a value that is
//! hidden. Does not promise what becomes of a column: `answer.rs` does.
//! Held by: `core/tests/masking.rs`, `core/tests/holding.rs`, and `tests/it/masking.rs` against a real server.

use super::backend::Front;
use super::run::RunId;
use super::{Core, State, Steps};
use crate::answer::LONGEST_RECORDED;
use crate::frame::{Chunk, Run as Rows};
use crate::mask;
use bytes::BytesMut;

/// A long row that comes in pieces.
#[derive(Default)]
pub(super) enum LongRow {
    /// Its pieces leave as they come.
    #[default]
    Passing,
    /// So little of it came that it does not say yet how many values it has.
    Begun(BytesMut),
    /// The same as [`LongRow::Passing`], and it may still be recorded.
    Recorded(BytesMut),
    /// It must be whole before it leaves, and what is kept of it until then is with its run.
    Masked,
}

impl Core {
    /// Several rows that came one after the other.
    pub(crate) fn on_rows(&mut self, rows: Rows, steps: &mut Steps) {
        let id = match self.front() {
            Front::Query(id) | Front::Execute(id) => id,
            Front::AskScope => return self.scope_told(&rows),
            Front::Nothing
            | Front::Parse
            | Front::Bind(_)
            | Front::DescribeStatement
            | Front::DescribePortal(_)
            | Front::AskColumns(_)
            | Front::CloseStatement
            | Front::ClosePortal
            | Front::Sync
            | Front::Around
            | Front::Refused { .. } => return self.breach("rows that nothing asked for", steps),
        };
        let Some(run) = self.runs.get_mut(id) else { return self.breach("rows of what has ended", steps) };
        match run.rows(&rows) {
            Ok(bytes) => run.release(bytes, steps),
            Err(_) => self.unmaskable(steps),
        }
    }

    /// What must be masked cannot be: nothing more of it leaves.
    pub(super) fn unmaskable(&mut self, steps: &mut Steps) {
        tracing::error!(session = %self.session.id(), "an answer could not be masked");
        self.end("58000", "the answer could not be masked by the gateway", "an answer could not be masked", steps);
    }

    /// A piece of a long row, or of long COPY data.
    pub(crate) fn on_backend_chunk(&mut self, chunk: Chunk, steps: &mut Steps) {
        let (Front::Query(id) | Front::Execute(id)) = self.front() else {
            return self.breach("data that nothing asked for", steps);
        };
        if chunk.tag == b'D' {
            self.row_chunk(id, chunk, steps)
        } else {
            let (masked, last) = (self.masks_copy(), chunk.last);
            self.copy_out(id, chunk.body(), &chunk.bytes, steps);
            // What is masked leaves in messages of its own.
            self.within = !masked && !last;
        }
        if !self.within
            && !matches!(self.state, State::Ended)
            && let Some(notice) = self.later.take()
        {
            steps.down.push(self.session.say(notice));
        }
    }

    /// A piece of a long row. What is masked leaves with the last of them; what is recorded is put together.
    fn row_chunk(&mut self, id: RunId, chunk: Chunk, steps: &mut Steps) {
        let Some(chunk) = self.begun(chunk) else { return };
        let Some(run) = self.runs.get_mut(id) else { return self.breach("data of what has ended", steps) };
        if chunk.first {
            let Ok(masks) = run.masks(&chunk.bytes) else { return self.unmaskable(steps) };
            self.row = match (masks, run.answer.records_rows()) {
                (true, _) => LongRow::Masked,
                (false, true) => LongRow::Recorded(BytesMut::new()),
                (false, false) => LongRow::Passing,
            };
        }
        match &mut self.row {
            LongRow::Masked => {
                match run.piece(&chunk) {
                    Ok(Some(row)) => run.release(row, steps),
                    Ok(None) => {}
                    Err(_) => self.unmaskable(steps),
                }
                return;
            }
            LongRow::Recorded(row) => {
                row.extend_from_slice(&chunk.bytes);
                if row.len() > LONGEST_RECORDED {
                    self.row = LongRow::Passing;
                }
            }
            LongRow::Begun(_) | LongRow::Passing => {}
        }
        if chunk.last {
            match std::mem::take(&mut self.row) {
                LongRow::Recorded(row) => {
                    // What it gives back is what has left already.
                    let rows = Rows { bytes: row.freeze(), frames: 1 };
                    let _left = run.rows(&rows);
                }
                LongRow::Begun(_) | LongRow::Masked | LongRow::Passing => run.answer.count_rows(1),
            }
        }
        self.within = !chunk.last;
        run.release(chunk.bytes, steps);
    }

    /// The piece, with what came of the row before if that was too little; `None` while it still is.
    fn begun(&mut self, mut chunk: Chunk) -> Option<Chunk> {
        if chunk.first {
            self.row = LongRow::Passing;
        }
        if let LongRow::Begun(begun) = &mut self.row {
            begun.extend_from_slice(&chunk.bytes);
            (chunk.bytes, chunk.first) = (std::mem::take(begun).freeze(), true);
        }
        if chunk.first && !chunk.last && chunk.bytes.len() < mask::ROW_HEADER {
            self.row = LongRow::Begun(BytesMut::from(&*chunk.bytes));
            return None;
        }
        Some(chunk)
    }
}
