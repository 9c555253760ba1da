//! What completed: its effects on names and scope, its outcome, and the server's readiness for more.
//!
//! Held by: `core/tests/outcomes.rs`, and `tests/it/scope.rs` against a real server.

use super::backend::{Breach, Front};
use super::copy::CopyIn;
use super::run::RunId;
use super::{Core, Portal, Steps};
use crate::classify::{Code, Opened, Read};
use crate::frame::Frame;
use crate::message::TransactionStatus;
use portcullis_model::Lineage;
use portcullis_sql::Effect;
use std::sync::Arc;

impl Core {
    /// A statement of the run completed: what it changes about later text is so from now on.
    pub(super) fn completed(&mut self, id: RunId, tag: &str) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let read = Arc::clone(&run.read);
        let statement = run.statements;
        run.statements += 1;
        run.ran = true;
        run.tag = Some(tag.into());
        let operations = run.command.shared_operations();
        let effects = read.effects_of(statement);
        let cursor = read.cursors.get(statement).cloned().flatten();
        let opened = Opened {
            operations,
            lineage: cursor.unwrap_or_else(|| Arc::new(Lineage::untold())),
            catalogue: Arc::clone(&read.catalogue),
            rewritten: false,
        };
        self.transaction.completed(effects);
        self.scope.completed(effects, &(self.snapshot)());
        if read.code > Code::Read {
            self.scope.ran_code(read.code == Code::Dynamic);
        }
        for effect in effects {
            self.names_change(effect, &opened, &read);
        }
        self.confirm_executed(&read);
        if self.copy == CopyIn::Active(id) || self.copy == CopyIn::Refused {
            self.copy = CopyIn::None;
        }
    }

    /// What a statement does to the names of prepared statements and cursors.
    fn names_change(&mut self, effect: &Effect, opened: &Opened, read: &Read) {
        let gone = match effect {
            Effect::Prepare { name, text } => {
                let prepared = self.made_by_sql(name, text, &read.executed);
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
                let cursor = Portal::Cursor { opened: opened.clone(), hold: *hold };
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

    pub(super) fn executes_no_more(&mut self, id: RunId, frame: Frame, steps: &mut Steps) {
        self.release(Some(id), frame, steps);
        self.queue.pop();
        self.runs.settle(&self.session, id);
        self.runs.pass(&self.session, id);
    }

    /// A Query ended the unnamed statement and portal.
    fn unnamed_ended(&mut self, slot: u64) {
        self.statements.confirm("", slot);
        let gone = self.portals.confirm("", slot);
        self.portal_gone(gone);
    }

    pub(super) fn is_ready(
        &mut self,
        status: TransactionStatus,
        frame: Frame,
        steps: &mut Steps,
    ) -> Result<(), Breach> {
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
            | Front::AskColumns(_)
            | Front::Execute(_)
            | Front::CloseStatement
            | Front::ClosePortal
            | Front::Around
            | Front::Refused { .. } => return Err(Breach("it is ready before it answered")),
        }
        self.transaction.ready(status);
        self.words_ready(status);
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
}
