//! What servers send: checked against what is owed, then released, swapped or swallowed.
//!
//! The table of `expect.rs` is this file's matches. Whatever else a server sends is a breach and ends the session; a
//! setting that decides how text is read and that changes in a session ends it as well, since what was judged may then
//! not be what runs.
//! Held by: `core/tests/*`, which play servers that keep the table and servers that do not.

use super::copy::CopyIn;
use super::run::RunId;
use super::{Core, Prepared, State, Steps};
use crate::answer::{known, said};
use crate::expect::Work;
use crate::frame::{Chunk, Frame, Run as Rows};
use crate::message::{DataRow, ServerMessage};
use crate::scope::Answered;
use bytes::{Buf, BytesMut};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Settings that keep the value they had at login.
const PINNED: [(&str, &[u8]); 2] = [("client_encoding", b"UTF8"), ("standard_conforming_strings", b"on")];

/// The longest row in pieces that is still put together for the record, in bytes.
const LONGEST_RECORDED: usize = 1 << 20;

/// The server sent what it does not owe.
pub(super) struct Breach(pub(super) &'static str);

/// What the server answers now.
#[derive(Clone, Copy)]
pub(super) enum Front {
    Nothing,
    Query(RunId),
    Parse,
    Bind(RunId),
    DescribeStatement,
    DescribePortal(Option<RunId>),
    Execute(RunId),
    CloseStatement,
    ClosePortal,
    Sync,
    AskScope,
    Refused { then_ready: bool, told: bool },
}

impl Core {
    /// A frame of the server.
    pub(crate) fn on_backend(&mut self, frame: Frame, steps: &mut Steps) {
        if matches!(self.state, State::Ended) {
            return;
        }
        let held = frame.clone();
        let done = match ServerMessage::decode(held.tag(), held.body()) {
            Ok(message) => self.answered(&message, frame, steps),
            Err(_) => Err(Breach("a message that cannot be read")),
        };
        if let Err(Breach(what)) = done {
            return self.breach(what, steps);
        }
        self.proceed(steps);
    }

    /// The server broke the protocol.
    pub(crate) fn breach(&mut self, what: &'static str, steps: &mut Steps) {
        tracing::error!(session = %self.session.id(), what, "the backend broke the protocol");
        self.end(
            "08P01",
            "the database behind the gateway broke the protocol",
            "the backend broke the protocol",
            steps,
        );
    }

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
            | Front::CloseStatement
            | Front::ClosePortal
            | Front::Sync
            | Front::Refused { .. } => return self.breach("rows that nothing asked for", steps),
        };
        let Some(run) = self.runs.get_mut(id) else { return self.breach("rows of what has ended", steps) };
        let mut left = rows.bytes.clone();
        let mut unread = rows.frames;
        while unread > 0 && run.answer.records_rows() {
            let Some(body) = next_body(&mut left) else { break };
            run.shape.record(&mut run.answer, &body);
            unread -= 1;
        }
        run.answer.count_rows(unread as u64);
        steps.down.push(run.answer.release(rows.bytes));
    }

    /// A piece of a long row, or of long COPY data.
    pub(crate) fn on_backend_chunk(&mut self, chunk: Chunk, steps: &mut Steps) {
        let (Front::Query(id) | Front::Execute(id)) = self.front() else {
            return self.breach("data that nothing asked for", steps);
        };
        let Some(run) = self.runs.get_mut(id) else { return self.breach("data of what has ended", steps) };
        if chunk.tag == b'D' {
            if chunk.first {
                self.row = run.answer.records_rows().then(BytesMut::new);
            }
            if let Some(row) = &mut self.row {
                row.extend_from_slice(chunk.body());
            }
            if self.row.as_ref().is_some_and(|row| row.len() > LONGEST_RECORDED) {
                self.row = None;
            }
            if chunk.last {
                match self.row.take() {
                    Some(row) => run.shape.record(&mut run.answer, &row),
                    None => run.answer.count_rows(1),
                }
            }
        } else if run.answer.records_rows() {
            run.answer.output("copy", &String::from_utf8_lossy(chunk.body()));
        }
        steps.down.push(run.answer.release(chunk.bytes));
    }

    pub(super) fn front(&self) -> Front {
        match self.queue.front().map(|slot| &slot.work) {
            None => Front::Nothing,
            Some(Work::Query(run)) => Front::Query(*run),
            Some(Work::Parse { .. }) => Front::Parse,
            Some(Work::Bind { run, .. }) => Front::Bind(*run),
            Some(Work::DescribeStatement(_)) => Front::DescribeStatement,
            Some(Work::DescribePortal(run)) => Front::DescribePortal(*run),
            Some(Work::Execute { run }) => Front::Execute(*run),
            Some(Work::CloseStatement(_)) => Front::CloseStatement,
            Some(Work::ClosePortal(_)) => Front::ClosePortal,
            Some(Work::Sync) => Front::Sync,
            Some(Work::AskScope) => Front::AskScope,
            Some(Work::Refused(refused)) => Front::Refused { then_ready: refused.then_ready, told: refused.told },
        }
    }

    fn answered(&mut self, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) -> Result<(), Breach> {
        match (self.front(), message) {
            (_, ServerMessage::Notice(_) | ServerMessage::Notification { .. }) => {
                self.release_said(message, frame, steps);
            }
            (_, ServerMessage::ParameterStatus { name, value }) => {
                if PINNED.iter().any(|(pinned, kept)| pinned == name && kept != value) {
                    return Err(Breach("a setting that decides how text is read was changed"));
                }
                self.release(self.front_run(), frame, steps);
            }
            (front, ServerMessage::Error(fields)) => self.failed(front, fields, message, frame, steps)?,
            (_, ServerMessage::ReadyForQuery(status)) => self.is_ready(*status, frame, steps)?,
            // Nothing of the gateway's own question reaches the client.
            (Front::AskScope, ServerMessage::DataRow(_)) => {
                self.scope_told(&Rows { bytes: frame.into_bytes(), frames: 1 })
            }
            (
                Front::AskScope,
                ServerMessage::ParseComplete
                | ServerMessage::BindComplete
                | ServerMessage::CommandComplete(_)
                | ServerMessage::CloseComplete,
            ) => {}
            (Front::Query(_) | Front::Execute(_), ServerMessage::DataRow(_)) => {
                self.on_rows(Rows { bytes: frame.into_bytes(), frames: 1 }, steps);
            }
            (Front::Query(id) | Front::Execute(id), ServerMessage::CopyData(data)) => {
                if let Some(run) = self.runs.get_mut(id)
                    && run.answer.records_rows()
                {
                    run.answer.output("copy", &String::from_utf8_lossy(data));
                }
                self.release(Some(id), frame, steps);
            }
            (Front::Query(id) | Front::Execute(id), ServerMessage::CopyOut { .. } | ServerMessage::CopyDone) => {
                self.release(Some(id), frame, steps);
            }
            (Front::Query(id) | Front::Execute(id), ServerMessage::CopyIn { .. }) => {
                let run = self.runs.get_mut(id).filter(|run| run.read.copies_in);
                let run = run.ok_or(Breach("it reads COPY data that no statement asked for"))?;
                run.data = Some(Sha256::new());
                self.copy = CopyIn::Active(id);
                self.release(Some(id), frame, steps);
            }
            (Front::Query(id), ServerMessage::RowDescription(columns)) => {
                if let Some(run) = self.runs.get_mut(id) {
                    run.shape.described(known(columns));
                }
                self.release(Some(id), frame, steps);
            }
            (Front::Query(id), ServerMessage::EmptyQuery) => self.release(Some(id), frame, steps),
            (Front::Query(id), ServerMessage::CommandComplete(tag)) => {
                self.completed(id, tag);
                self.release(Some(id), frame, steps);
            }
            (Front::Execute(id), ServerMessage::CommandComplete(tag)) => {
                self.completed(id, tag);
                self.executes_no_more(id, frame, steps);
            }
            (Front::Execute(id), ServerMessage::EmptyQuery) => {
                self.completed(id, "");
                self.executes_no_more(id, frame, steps);
            }
            (Front::Execute(id), ServerMessage::PortalSuspended) => {
                self.release(Some(id), frame, steps);
                self.queue.pop();
                self.runs.pass(&self.session, id);
            }
            (front, other) => return self.described(front, other, frame, steps),
        }
        Ok(())
    }

    /// Answers to the frames around an Execute.
    fn described(
        &mut self,
        front: Front,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) -> Result<(), Breach> {
        match (front, message) {
            (Front::Parse, ServerMessage::ParseComplete) => {
                if let Some(slot) = self.queue.pop()
                    && let Work::Parse { name, permit } = slot.work
                {
                    self.statements.confirm(&name, slot.number);
                    steps.down.push(self.session.answer(Some(&permit)).release(frame.into_bytes()));
                    // Preparing has no outcome of its own.
                    drop(permit);
                }
            }
            (Front::Bind(id), ServerMessage::BindComplete) => {
                self.release(Some(id), frame, steps);
                if let Some(slot) = self.queue.pop()
                    && let Work::Bind { portal, .. } = slot.work
                {
                    let gone = self.portals.confirm(&portal, slot.number);
                    self.portal_gone(gone);
                }
            }
            (Front::DescribeStatement, ServerMessage::ParameterDescription(types)) => {
                self.amend(|prepared| prepared.types = types.as_slice().into());
                self.release(None, frame, steps);
            }
            (Front::DescribeStatement, ServerMessage::RowDescription(columns)) => {
                let columns = known(columns);
                self.amend(|prepared| prepared.columns = Some(Arc::clone(&columns)));
                self.release(None, frame, steps);
                self.queue.pop();
            }
            (Front::DescribePortal(id), ServerMessage::RowDescription(columns)) => {
                if let Some(run) = id.and_then(|id| self.runs.get_mut(id)) {
                    run.shape.described(known(columns));
                }
                self.release(id, frame, steps);
                self.queue.pop();
            }
            (Front::DescribeStatement | Front::DescribePortal(_), ServerMessage::NoData) => {
                self.release(None, frame, steps);
                self.queue.pop();
            }
            (Front::CloseStatement | Front::ClosePortal, ServerMessage::CloseComplete) => {
                self.release(None, frame, steps);
                self.closed();
            }
            (Front::Nothing, _) => return Err(Breach("an answer that nothing asked for")),
            (
                Front::Query(_)
                | Front::Parse
                | Front::Bind(_)
                | Front::DescribeStatement
                | Front::DescribePortal(_)
                | Front::Execute(_)
                | Front::CloseStatement
                | Front::ClosePortal
                | Front::Sync
                | Front::AskScope
                | Front::Refused { .. },
                _,
            ) => return Err(Breach("an answer that is not to what was asked")),
        }
        Ok(())
    }

    /// Changes what is known of the statement that is described now.
    fn amend(&mut self, mut change: impl FnMut(&mut Prepared)) {
        if let Some(Work::DescribeStatement(name)) = self.queue.front().map(|slot| &slot.work) {
            self.statements.amend(name, |prepared| change(Arc::make_mut(prepared)));
        }
    }

    fn closed(&mut self) {
        let Some(slot) = self.queue.pop() else { return };
        if let Work::CloseStatement(name) = &slot.work {
            self.statements.confirm(name, slot.number);
        }
        if let Work::ClosePortal(name) = &slot.work {
            let gone = self.portals.confirm(name, slot.number);
            self.portal_gone(gone);
        }
    }

    fn scope_told(&mut self, rows: &Rows) {
        let mut left = rows.bytes.clone();
        let Some(body) = next_body(&mut left) else { return };
        let Ok(row) = DataRow::read(&body) else { return };
        let cells: Vec<Option<&str>> =
            row.cells().map(|cell| cell.ok().flatten().and_then(|text| std::str::from_utf8(text).ok())).collect();
        self.told = Answered::parse(&cells);
    }

    pub(super) fn release(&mut self, run: Option<RunId>, frame: Frame, steps: &mut Steps) {
        let answer = match run.and_then(|id| self.runs.get_mut(id)) {
            Some(run) => &mut run.answer,
            None => &mut self.unasked,
        };
        steps.down.push(answer.release(frame.into_bytes()));
    }

    /// Releases what says something in words, and records it.
    pub(super) fn release_said(&mut self, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) {
        let run = self.front_run();
        let answer = match run.and_then(|id| self.runs.get_mut(id)) {
            Some(run) => &mut run.answer,
            None => &mut self.unasked,
        };
        if let Some((stream, text)) = said(message) {
            answer.output(stream, &text);
        }
        steps.down.push(answer.release(frame.into_bytes()));
    }
}

/// The body of the next frame.
fn next_body(frames: &mut bytes::Bytes) -> Option<bytes::Bytes> {
    let length = usize::try_from(i32::from_be_bytes(*frames.get(1..5)?.first_chunk::<4>()?)).ok()?;
    if frames.len() < length + 1 || length < 4 {
        return None;
    }
    let mut frame = frames.split_to(length + 1);
    frame.advance(5);
    Some(frame)
}
