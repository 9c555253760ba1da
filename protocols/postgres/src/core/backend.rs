//! What servers send: checked against what is owed, then released, swapped or swallowed.
//!
//! The table of `expect.rs` is this file's matches. Whatever else a server sends is a breach and ends the session; a
//! setting that decides how text is read and that changes in a session ends it as well, since what was judged may then
//! not be what runs.
//! Held by: `core/tests/*`, which play servers that keep the table and servers that do not.

use super::copy::CopyIn;
use super::run::RunId;
use super::{Core, Prepared, State, Steps};
use crate::answer::{Shape, known, next_body};
use crate::expect::Work;
use crate::frame::{Frame, Run as Rows};
use crate::message::{DataRow, ServerMessage};
use crate::scope::Answered;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Settings that keep the value they had at login.
const PINNED: [(&str, &[u8]); 2] = [("client_encoding", b"UTF8"), ("standard_conforming_strings", b"on")];

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
    AskColumns(RunId),
    Execute(RunId),
    CloseStatement,
    ClosePortal,
    Sync,
    AskScope,
    Around,
    Refused { then_ready: bool, told: bool },
}

impl Core {
    /// A frame of the server.
    pub(crate) fn on_backend(&mut self, frame: Frame, steps: &mut Steps) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.take_backend(frame, steps);
        self.proceed(steps);
    }

    /// The same without what waited for it.
    pub(super) fn take_backend(&mut self, frame: Frame, steps: &mut Steps) {
        if matches!(self.state, State::Ended) {
            return;
        }
        let held = frame.clone();
        let done = match ServerMessage::decode(held.tag(), held.body()) {
            Ok(message) => self.answered(&message, frame, steps),
            Err(_) => Err(Breach("a message that cannot be read")),
        };
        if let Err(Breach(what)) = done {
            self.breach(what, steps);
        }
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

    pub(super) fn front(&self) -> Front {
        match self.queue.front().map(|slot| &slot.work) {
            None => Front::Nothing,
            Some(Work::Query(run)) => Front::Query(*run),
            Some(Work::Parse { .. }) => Front::Parse,
            Some(Work::Bind { run, .. }) => Front::Bind(*run),
            Some(Work::DescribeStatement { .. }) => Front::DescribeStatement,
            Some(Work::DescribePortal(run)) => Front::DescribePortal(*run),
            Some(Work::AskColumns { run }) => Front::AskColumns(*run),
            Some(Work::Execute { run }) => Front::Execute(*run),
            Some(Work::CloseStatement(_)) => Front::CloseStatement,
            Some(Work::ClosePortal(_)) => Front::ClosePortal,
            Some(Work::Sync) => Front::Sync,
            Some(Work::AskScope) => Front::AskScope,
            Some(Work::Around(around)) => Self::runs_around(around).map_or(Front::Around, Front::Query),
            Some(Work::Refused(refused)) => Front::Refused { then_ready: refused.then_ready, told: refused.told },
        }
    }

    fn answered(&mut self, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) -> Result<(), Breach> {
        let Some(frame) = self.count(self.front(), message, frame, steps) else { return Ok(()) };
        match (self.front(), message) {
            (_, ServerMessage::Notice(_) | ServerMessage::Notification { .. }) => {
                self.release_said(message, frame, steps);
            }
            (_, ServerMessage::ParameterStatus { name, value }) => {
                if PINNED.iter().any(|(pinned, kept)| pinned == name && kept != value) {
                    return Err(Breach("a setting that decides how text is read was changed"));
                }
                self.surroundings.reported(name, value);
                self.release_setting(name, value, frame, steps);
            }
            // Nothing of the gateway's own Describe reaches the client.
            (Front::AskColumns(id), ServerMessage::RowDescription(columns)) => {
                if let Some(run) = self.runs.get_mut(id) {
                    run.described(known(columns));
                }
                self.queue.pop();
            }
            (Front::AskColumns(_), ServerMessage::NoData) => {
                self.queue.pop();
            }
            (Front::Around, other) if !matches!(other, ServerMessage::Error(_)) => {
                return self.around(message, frame, steps);
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
                self.copy_out(id, data, frame.bytes(), steps);
            }
            (Front::Query(id) | Front::Execute(id), ServerMessage::CopyOut { binary, columns }) => {
                self.copy_out_begins(id, *binary, columns.len(), steps)?;
                self.release_unless_ended(id, frame, steps);
            }
            (Front::Query(id) | Front::Execute(id), ServerMessage::CopyDone) => {
                self.copy_out_ends(id, steps)?;
                self.release_unless_ended(id, frame, steps);
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
                    run.release(frame.into_bytes(), steps);
                }
            }
            (Front::Query(id), ServerMessage::EmptyQuery) => self.release(Some(id), frame, steps),
            (Front::Query(id), ServerMessage::CommandComplete(tag)) => {
                self.completed(id, tag);
                if let Some(run) = self.runs.get_mut(id) {
                    // What comes next is of another statement.
                    run.shape = Shape::default();
                }
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
                if let Some(run) = self.runs.get_mut(id) {
                    run.ran = true;
                }
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
                    && let Work::Bind { portal, statement, run: _ } = slot.work
                {
                    if let Some(statement) = statement {
                        self.confirm_use(&statement);
                    }
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
                    run.described(known(columns));
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
                | Front::AskColumns(_)
                | Front::Execute(_)
                | Front::CloseStatement
                | Front::ClosePortal
                | Front::Sync
                | Front::AskScope
                | Front::Around
                | Front::Refused { .. },
                _,
            ) => return Err(Breach("an answer that is not to what was asked")),
        }
        Ok(())
    }

    /// Changes what is known of the statement that is described now.
    fn amend(&mut self, mut change: impl FnMut(&mut Prepared)) {
        if let Some(Work::DescribeStatement { name, text: Some(text) }) = self.queue.front().map(|slot| &slot.work) {
            self.statements.amend(name, |prepared| {
                // The name may mean another statement by now.
                if Arc::ptr_eq(&prepared.text, text) {
                    change(Arc::make_mut(prepared));
                }
            });
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

    pub(super) fn scope_told(&mut self, rows: &Rows) {
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

    fn release_unless_ended(&mut self, id: RunId, frame: Frame, steps: &mut Steps) {
        if !matches!(self.state, State::Ended) {
            self.release(Some(id), frame, steps);
        }
    }
}
