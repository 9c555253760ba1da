//! What servers send: checked against what is owed, then released, swapped or swallowed.
//!
//! The table of `expect.rs` is this file's matches. Whatever else a server sends is a breach and ends the session; a
//! setting that decides how text is read and that changes in a session ends it as well, since what was judged may then
//! not be what runs.
//! Held by: `core/tests/*`, which play servers that keep the table and servers that do not.

use super::copy::CopyIn;
use super::run::RunId;
use super::{Core, Discarded, Portal, Prepared, State, Steps};
use crate::answer::{known, said};
use crate::expect::Work;
use crate::frame::{Chunk, Frame, Run as Rows};
use crate::message::{DataRow, Fields, ServerMessage, TransactionStatus};
use crate::reply;
use crate::scope::Answered;
use bytes::{Buf, BytesMut};
use portcullis_sql::Effect;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Settings that keep the value they had at login.
const PINNED: [(&str, &[u8]); 2] = [("client_encoding", b"UTF8"), ("standard_conforming_strings", b"on")];

/// The longest row in pieces that is still put together for the record, in bytes.
const LONGEST_RECORDED: usize = 1 << 20;

/// The server sent what it does not owe.
struct Breach(&'static str);

/// What the server answers now.
#[derive(Clone, Copy)]
enum Front {
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

    fn front(&self) -> Front {
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
        match slot.work {
            Work::CloseStatement(name) => {
                self.statements.confirm(&name, slot.number);
            }
            Work::ClosePortal(name) => {
                let gone = self.portals.confirm(&name, slot.number);
                self.portal_gone(gone);
            }
            _ => {}
        }
    }

    /// A statement of the run completed: what it changes about later text is so from now on.
    fn completed(&mut self, id: RunId, tag: &str) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let read = Arc::clone(&run.read);
        let statement = run.statements;
        run.statements += 1;
        run.tag = Some(tag.into());
        let operations = run.command.shared_operations();
        let effects = read.effects_of(statement);
        self.scope.completed(effects, &(self.snapshot)());
        if read.code > crate::classify::Code::Read {
            self.scope.ran_code(read.code == crate::classify::Code::Dynamic);
        }
        for effect in effects {
            self.names_change(effect, &operations);
        }
        if self.copy == CopyIn::Active(id) || self.copy == CopyIn::Refused {
            self.copy = CopyIn::None;
        }
    }

    /// What a statement does to the names of prepared statements and cursors.
    fn names_change(&mut self, effect: &Effect, operations: &Arc<[portcullis_model::Operation]>) {
        let gone = match effect {
            Effect::Prepare { name, text } => {
                let prepared = Prepared {
                    text: Arc::clone(text),
                    types: Arc::new([]),
                    columns: None,
                    number: None,
                    read: None,
                    held: self.held.take(text.len()),
                };
                self.statements.set(name.as_str(), Some(Arc::new(prepared)));
                return;
            }
            Effect::Deallocate(Some(name)) => {
                self.statements.set(name.as_str(), None);
                return;
            }
            Effect::Deallocate(None) => {
                self.statements.retain(|_| false);
                return;
            }
            Effect::DeclareCursor { name, hold } => {
                let cursor = Portal::Cursor { operations: Arc::clone(operations), hold: *hold };
                self.portals.set(name.as_str(), Some(cursor)).into_iter().collect()
            }
            Effect::CloseCursor(Some(name)) => self.portals.set(name.as_str(), None).into_iter().collect(),
            Effect::CloseCursor(None) => self.portals.retain(|_| false),
            Effect::DiscardAll => {
                self.statements.retain(|_| false);
                self.portals.retain(|_| false)
            }
            Effect::Begin
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::Savepoint(_)
            | Effect::RollbackTo(_)
            | Effect::Release(_)
            | Effect::TwoPhase
            | Effect::SearchPath { .. }
            | Effect::CreatesTemporary(_)
            | Effect::DropsTemporary(_)
            | Effect::ChangesCatalogue
            | Effect::ResetAll
            | Effect::Role
            | Effect::Setting { .. } => return,
        };
        for portal in gone {
            self.portal_gone(Some(portal));
        }
    }

    fn executes_no_more(&mut self, id: RunId, frame: Frame, steps: &mut Steps) {
        self.release(Some(id), frame, steps);
        self.queue.pop();
        self.runs.settle(&self.session, id);
        self.runs.pass(&self.session, id);
    }

    fn failed(
        &mut self,
        front: Front,
        fields: &Fields<'_>,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) -> Result<(), Breach> {
        if fields.is_fatal() {
            self.release_said(message, frame, steps);
            self.state = State::Ended;
            steps.unhold = true;
            steps.end = Some("the backend ended the session");
            return Ok(());
        }
        self.scope.failed();
        match front {
            Front::Query(id) | Front::Execute(id) | Front::Bind(id) => {
                self.run_failed(id, fields, message, frame, steps);
                if !matches!(front, Front::Query(_)) {
                    self.skip(steps);
                }
            }
            Front::Parse | Front::DescribeStatement | Front::DescribePortal(_) => {
                self.release_said(message, frame, steps);
                self.skip(steps);
            }
            Front::CloseStatement | Front::ClosePortal => {
                self.release_said(message, frame, steps);
                self.skip(steps);
            }
            Front::Nothing | Front::Sync => self.release_said(message, frame, steps),
            Front::AskScope => {}
            Front::Refused { told: true, .. } => return Err(Breach("two errors for one message")),
            Front::Refused { then_ready, told: false } => {
                self.tell_refusal(fields, frame, steps);
                if !then_ready {
                    self.skip(steps);
                }
            }
        }
        Ok(())
    }

    /// The server rejected the stand-in: the client is told why.
    fn tell_refusal(&mut self, fields: &Fields<'_>, frame: Frame, steps: &mut Steps) {
        if let Some(slot) = self.queue.front_mut()
            && let Work::Refused(refused) = &mut slot.work
        {
            refused.told = true;
            // Any other error is the server's own matter (it shuts down, it was cancelled), and the client hears it.
            if matches!(fields.get(b'C'), Some(b"42601" | b"26000" | b"34000" | b"25P02")) {
                steps.down.push(self.session.say(reply::refused(&refused.denial, refused.sqlstate)));
            } else {
                steps.down.push(self.unasked.release(frame.into_bytes()));
            }
        }
    }

    fn run_failed(
        &mut self,
        id: RunId,
        fields: &Fields<'_>,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) {
        if self.copy.is_active() || self.copy == CopyIn::Refused {
            self.copy = CopyIn::None;
        }
        let Some(run) = self.runs.get_mut(id) else { return self.release_said(message, frame, steps) };
        if let Some((stream, text)) = said(message) {
            run.answer.output(stream, &text);
        }
        run.failed = Some((fields.text(b'C').into(), fields.text(b'M').into()));
        match run.refused.take() {
            Some(denial) => steps.down.push(self.session.say(reply::refused(&denial, None))),
            None => steps.down.push(run.answer.release(frame.into_bytes())),
        }
    }

    /// An extended frame failed: the server discards what was sent up to the next Sync.
    fn skip(&mut self, steps: &mut Steps) {
        let Some(slot) = self.queue.pop() else { return };
        self.discarded.push(Discarded { slot, failed: true });
        let (discarded, found) = self.queue.skip_to_sync();
        self.discarded.extend(discarded.into_iter().map(|slot| Discarded { slot, failed: false }));
        self.skipping = !found;
        if found {
            // The stretch is over.
            self.settle_discarded();
        } else if self.is_holding() {
            // The server would discard what is held.
            self.state = State::Ready;
            steps.unhold = true;
        }
    }

    /// Settles what the server did not do, and takes its names back.
    pub(super) fn settle_discarded(&mut self) {
        for Discarded { slot, failed } in std::mem::take(&mut self.discarded) {
            match slot.work {
                Work::Query(run) => {
                    self.runs.skip(&self.session, run);
                    self.unnamed_live(slot.number);
                }
                Work::Refused(refused) if refused.then_ready => self.unnamed_live(slot.number),
                Work::Refused(refused) if refused.forgets_unnamed && failed => {
                    self.statements.confirm("", slot.number);
                }
                Work::Refused(refused) if refused.forgets_unnamed => {
                    self.statements.reject("", slot.number, false);
                }
                Work::Parse { name, .. } => {
                    // A failed Parse of the unnamed statement has removed the one before it.
                    let forget = failed && name.is_empty();
                    self.statements.reject(&name, slot.number, forget);
                }
                Work::Bind { portal, run } => {
                    let forget = failed && portal.is_empty();
                    let gone = self.portals.reject(&portal, slot.number, forget);
                    if failed {
                        self.runs.end(&self.session, run)
                    } else {
                        self.runs.skip(&self.session, run)
                    }
                    gone.into_iter().for_each(|portal| self.portal_gone(portal));
                }
                Work::Execute { run } => {
                    if failed {
                        self.runs.settle(&self.session, run)
                    } else {
                        self.runs.skipped(&self.session, run)
                    }
                    self.runs.pass(&self.session, run);
                }
                Work::CloseStatement(name) => {
                    self.statements.reject(&name, slot.number, false);
                }
                Work::ClosePortal(name) => {
                    self.portals.reject(&name, slot.number, false);
                }
                Work::DescribeStatement(_)
                | Work::DescribePortal(_)
                | Work::Sync
                | Work::AskScope
                | Work::Refused(_) => {}
            }
        }
    }

    /// A Query ended the unnamed statement and portal.
    fn unnamed_ended(&mut self, slot: u64) {
        self.statements.confirm("", slot);
        let gone = self.portals.confirm("", slot);
        self.portal_gone(gone);
    }

    /// A Query was discarded, so it ended nothing.
    fn unnamed_live(&mut self, slot: u64) {
        self.statements.reject("", slot, false);
        self.portals.reject("", slot, false);
    }

    fn is_ready(&mut self, status: TransactionStatus, frame: Frame, steps: &mut Steps) -> Result<(), Breach> {
        match self.front() {
            Front::Query(id) => {
                let slot = self.queue.pop();
                self.release(Some(id), frame, steps);
                self.runs.end(&self.session, id);
                self.unnamed_ended(slot.map_or(0, |slot| slot.number));
            }
            Front::Refused { then_ready: true, told: true } => {
                let slot = self.queue.pop();
                self.release(None, frame, steps);
                self.unnamed_ended(slot.map_or(0, |slot| slot.number));
            }
            Front::Sync => {
                self.queue.pop();
                self.release(None, frame, steps);
            }
            Front::AskScope => {
                self.queue.pop();
                let told = self.told.take();
                self.scope.answered(told);
            }
            Front::Nothing
            | Front::Parse
            | Front::Bind(_)
            | Front::DescribeStatement
            | Front::DescribePortal(_)
            | Front::Execute(_)
            | Front::CloseStatement
            | Front::ClosePortal
            | Front::Refused { .. } => return Err(Breach("it is ready before it answered")),
        }
        self.status = status;
        self.copy = CopyIn::None;
        self.at_boundary = self.queue.is_empty();
        if self.scope.ready(status) {
            self.reloading = true;
            steps.refresh = true;
        }
        if status == TransactionStatus::Idle {
            for portal in self.portals.retain(|portal| matches!(portal, Portal::Cursor { hold: true, .. })) {
                self.portal_gone(Some(portal));
            }
        }
        Ok(())
    }

    fn scope_told(&mut self, rows: &Rows) {
        let mut left = rows.bytes.clone();
        let Some(body) = next_body(&mut left) else { return };
        let Ok(row) = DataRow::read(&body) else { return };
        let cells: Vec<Option<&str>> =
            row.cells().map(|cell| cell.ok().flatten().and_then(|text| std::str::from_utf8(text).ok())).collect();
        self.told = Answered::parse(&cells);
    }

    fn release(&mut self, run: Option<RunId>, frame: Frame, steps: &mut Steps) {
        let answer = match run.and_then(|id| self.runs.get_mut(id)) {
            Some(run) => &mut run.answer,
            None => &mut self.unasked,
        };
        steps.down.push(answer.release(frame.into_bytes()));
    }

    /// Releases what says something in words, and records it.
    fn release_said(&mut self, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) {
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
