//! One judged command while it runs: a Query, or a portal from its Bind to its end.
//!
//! Promises: a run is settled exactly once, with what the server said last, after everything of its answer was recorded;
//! what is dropped unsettled with its session is recorded as interrupted by its permit.
//! Does not promise when it ends: `core/backend.rs` says so.
//! Held by: `core/tests/outcomes.rs`.

use crate::answer::{Known, Shape};
use crate::classify::Read;
use crate::core::Steps;
use crate::core::limited::Limited;
use crate::frame;
use crate::mask::BadRow;
use bytes::Bytes;
use portcullis_gate::{Answer, Permit, Session};
use portcullis_model::{Command, Denial, Digest, Outcome};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run's number in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunId(pub(crate) u64);

/// A judged command while it runs.
pub(crate) struct Run {
    /// The right to go on; none once it was settled.
    pub(crate) permit: Option<Permit>,
    /// What it is, for running it once more after it was settled.
    pub(crate) command: Command,
    pub(crate) read: Arc<Read>,
    pub(crate) answer: Answer,
    /// The columns of its rows.
    pub(crate) shape: Shape,
    /// Statements that completed.
    pub(crate) statements: usize,
    /// What the server said of the newest of them.
    pub(crate) tag: Option<Box<str>>,
    /// The error it ended in: SQLSTATE and message.
    pub(crate) failed: Option<(Box<str>, Box<str>)>,
    /// Why its COPY data was refused.
    pub(crate) refused: Option<Denial>,
    /// Over the COPY data that was sent.
    pub(crate) data: Option<Sha256>,
    /// Whether it was executed, not only bound.
    pub(crate) executed: bool,
    /// Whether an Execute of it was answered: what it runs by name is fixed since then.
    pub(crate) ran: bool,
    /// The slot of its newest Execute.
    pub(crate) executing: Option<u64>,
    /// Set while it is not known whether it wrote more rows than it may.
    pub(crate) limited: Option<Limited>,
    /// Whether it ends with its one Execute: a cursor that SQL declared.
    pub(crate) passing: bool,
}

impl Run {
    pub(crate) fn new(session: &Session, permit: Permit, read: Arc<Read>, shape: Shape) -> Self {
        let mut answer = session.answer(Some(&permit));
        let limited = Limited::of(&permit, &mut answer);
        Self {
            answer,
            command: permit.command().clone(),
            limited,
            permit: Some(permit),
            read,
            shape,
            statements: 0,
            tag: None,
            failed: None,
            refused: None,
            data: None,
            executed: false,
            ran: false,
            executing: None,
            passing: false,
        }
    }

    /// Whether the columns of its rows must be known before it is executed: something may have to be masked, and nobody
    /// described the portal since it was bound.
    pub(crate) fn asks_columns(&self) -> bool {
        self.answer.plans() && !self.shape.is_described()
    }

    /// A RowDescription of a portal's rows came. The rows of what is run by name are made when it is first executed, and its
    /// name may mean something else since then: a later description is not of these rows.
    pub(crate) fn described(&mut self, columns: Arc<[Known]>) {
        if !(self.read.by_name && self.ran) {
            self.shape.described(columns);
        }
    }

    /// Rows on their way to the client.
    pub(crate) fn rows(&mut self, rows: &frame::Run) -> Result<Bytes, BadRow> {
        let rewritten = self.read.is_rewritten(self.statements);
        self.shape.rows(&mut self.answer, self.statements, rewritten, rows)
    }

    /// Whether a row must be whole before it can leave; `first` is how its frame begins.
    pub(crate) fn masks(&mut self, first: &[u8]) -> Result<bool, BadRow> {
        let rewritten = self.read.is_rewritten(self.statements);
        self.shape.masks(&mut self.answer, self.statements, rewritten, first)
    }

    /// A piece of a row that is masked: the whole row, with the last of them.
    pub(crate) fn piece(&mut self, piece: &frame::Chunk) -> Result<Option<Bytes>, BadRow> {
        self.shape.piece(&mut self.answer, &piece.bytes, piece.first)
    }

    /// A part of its answer leaves: at once, or once its rows were counted.
    pub(crate) fn release(&mut self, part: Bytes, steps: &mut Steps) {
        let bytes = part.len();
        let part = self.answer.release(part);
        match &mut self.limited {
            Some(limited) => limited.keep(part, bytes),
            None => steps.down.push(part),
        }
    }

    /// The same run once more, under a new permission.
    pub(crate) fn again(&mut self, session: &Session, permit: Permit) {
        self.command = permit.command().clone();
        self.answer = session.answer(Some(&permit));
        self.limited = Limited::of(&permit, &mut self.answer);
        self.permit = Some(permit);
        self.shape.forget_plan();
        (self.statements, self.tag, self.failed, self.refused, self.data) = (0, None, None, None, None);
    }

    /// How it ended, from what the server said.
    fn outcome(&self) -> Outcome {
        if let Some((code, message)) = &self.failed {
            return Outcome::Failed { status: (&**code).into(), message: Some((&**message).into()) };
        }
        let status = match &self.tag {
            Some(tag) => (&**tag).into(),
            None if self.executed => "PORTAL SUSPENDED".into(),
            None => "BIND".into(),
        };
        Outcome::Completed { status, rows: self.answer.rows(), bytes: self.answer.bytes() }
    }
}

/// The runs of a session.
#[derive(Default)]
pub(crate) struct Runs {
    runs: BTreeMap<RunId, Run>,
    next: u64,
}

impl Runs {
    pub(crate) fn add(&mut self, run: Run) -> RunId {
        let id = RunId(self.next);
        self.next += 1;
        self.runs.insert(id, run);
        id
    }

    pub(crate) fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&id)
    }

    /// Records how the run ended, if that was not done yet. It stays, so that its portal can be run again.
    pub(crate) fn settle(&mut self, session: &Session, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id) {
            let outcome = run.outcome();
            finish(session, run, outcome);
        }
    }

    /// Records that it is undone, having written so many rows.
    pub(crate) fn undo(&mut self, session: &Session, id: RunId, rows: Option<u64>) {
        if let Some(run) = self.runs.get_mut(&id) {
            finish(session, run, Outcome::Refused { undone: rows });
        }
    }

    /// Records how the run ended and forgets it.
    pub(crate) fn end(&mut self, session: &Session, id: RunId) {
        self.settle(session, id);
        self.runs.remove(&id);
    }

    /// An Execute of it ended: a run of one Execute ends with it.
    pub(crate) fn pass(&mut self, session: &Session, id: RunId) {
        if self.runs.get(&id).is_some_and(|run| run.passing) {
            self.end(session, id);
        }
    }

    /// The server discarded an Execute of it; its portal may live on.
    pub(crate) fn skipped(&mut self, session: &Session, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id) {
            finish(session, run, Outcome::Skipped);
        }
    }

    /// The server discarded it unread.
    pub(crate) fn skip(&mut self, session: &Session, id: RunId) {
        if let Some(mut run) = self.runs.remove(&id) {
            finish(session, &mut run, Outcome::Skipped);
        }
    }
}

fn finish(session: &Session, run: &mut Run, outcome: Outcome) {
    let Some(permit) = run.permit.take() else { return };
    run.answer.finish();
    let data = run.data.take().map(|hash| Digest::from_bytes(hash.finalize().into()));
    session.settle(permit, outcome, data);
}
