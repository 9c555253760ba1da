//! What a statement's outcome depends on besides its text and names: how the session reads values, and which state of the
//! data its transaction sees. A preview is asked in another session, and only where that has the same.
//!
//! Promises: the settings that the server reports are those it reported last, and unsettled while a command that may have
//! changed them is not answered; a session that chose another setting by which values are read or compared, or the
//! isolation of its transactions, is known to have.
//! Does not promise to see what a function chooses inside, beyond what the server reports.
//! Held by: `core/tests/previews.rs`, and with real servers `tests/it/previews.rs`.

use super::Core;
use super::words::Slots;
use crate::classify::Read;
use crate::expect::Expectations;
use crate::startup::Setting;
use portcullis_model::{Action, Object, Part};
use portcullis_sql::{Effect, builtins};
use std::collections::BTreeMap;

/// Settings that say how values are read and that a server reports.
const REPORTED: [&str; 3] = ["DateStyle", "IntervalStyle", "TimeZone"];

/// Settings of the same kind that it does not, and that a startup message may choose.
const UNREPORTED: [&str; 2] = ["bytea_output", "extra_float_digits"];

/// The longest value of one that is believed, in bytes.
const LONGEST: usize = 256;

/// The kind of transaction whose every statement sees what was committed before it.
const NEWEST: [&str; 2] = ["read committed", "read uncommitted"];

/// What is known of it.
#[derive(Default)]
pub(super) struct Surroundings {
    /// How values are read.
    settings: BTreeMap<&'static str, String>,
    /// The session chose other settings by which values are read or compared.
    chose: bool,
    /// It chose the isolation of its transactions.
    isolates: bool,
    /// Commands after which the server may report other settings.
    choosing: Slots,
    /// Commands that chose the isolation of this transaction.
    isolating: Slots,
    /// Commands that ran since the server was ready.
    ran: Slots,
    /// Of these the ones that may have changed a setting, by code that they call: all but BEGIN.
    acted: Slots,
}

impl Surroundings {
    /// A command was sent in this slot.
    pub(super) fn sent(&mut self, read: &Read, slot: u64, queue: &Expectations) {
        self.ran.push(slot, queue);
        let begins = |effects: &[Effect]| matches!(effects, [Effect::Begin]);
        if read.effects.is_empty() || !read.effects.iter().all(|effects| begins(effects)) {
            self.acted.push(slot, queue);
        }
        for effect in read.effects.iter().flatten() {
            match effect {
                Effect::Setting { name, .. } => self.chosen(name.as_str(), slot, queue),
                Effect::DiscardAll | Effect::ResetAll => self.choosing.push(slot, queue),
                Effect::Begin
                | Effect::Commit { .. }
                | Effect::Rollback { .. }
                | Effect::Savepoint(_)
                | Effect::RollbackTo(_)
                | Effect::Release(_)
                | Effect::TwoPhase
                | Effect::Prepare { .. }
                | Effect::Deallocate(_)
                | Effect::DeclareCursor { .. }
                | Effect::CloseCursor(_)
                | Effect::SearchPath { .. }
                | Effect::CreatesTemporary(_)
                | Effect::DropsTemporary(_)
                | Effect::ChangesCatalogue
                | Effect::Role => {}
            }
        }
        let untold = |operation: &portcullis_model::Operation| {
            operation.action == Action::Configure && operation.object == Object::Setting(Part::Unknown)
        };
        if read.operations.iter().any(untold) {
            (self.chose, self.isolates) = (true, true);
        }
        if read.operations.iter().any(|operation| operation.action == Action::Execute) {
            self.choosing.push(slot, queue);
        }
    }

    fn chosen(&mut self, name: &str, slot: u64, queue: &Expectations) {
        if REPORTED.iter().any(|reported| reported.eq_ignore_ascii_case(name)) {
            self.choosing.push(slot, queue);
        } else if name.eq_ignore_ascii_case("transaction_isolation") {
            self.isolating.push(slot, queue);
        } else if name.eq_ignore_ascii_case("default_transaction_isolation") {
            self.isolates = true;
        } else if !builtins::keeps_values(name) {
            self.chose = true;
        }
    }

    /// The server is ready for more, with no transaction open where `idle`.
    pub(super) fn ready(&mut self, idle: bool, queue: &Expectations) {
        self.choosing.ready(queue);
        self.ran.ready(queue);
        self.acted.ready(queue);
        if idle {
            self.isolating.ready(queue);
        }
    }

    /// The server reports a setting.
    pub(super) fn reported(&mut self, name: &str, value: &[u8]) {
        let Some(name) = REPORTED.into_iter().find(|reported| reported.eq_ignore_ascii_case(name)) else { return };
        match std::str::from_utf8(value) {
            Ok(value) if value.len() <= LONGEST => {
                self.settings.insert(name, value.to_owned());
            }
            Ok(_) | Err(_) => self.chose = true,
        }
    }

    /// What a session chose when it logged in.
    fn began(&mut self, name: &'static str, value: &str) {
        if REPORTED.contains(&name) || UNREPORTED.contains(&name) {
            self.settings.insert(name, value.to_owned());
        }
        self.isolates |= name == "default_transaction_isolation" && !is_newest(value);
    }

    /// How values are read, for another session to read them so; nothing where that cannot be said.
    pub(super) fn settings(&self) -> Result<Vec<Setting>, &'static str> {
        if self.chose || !self.choosing.is_empty() {
            return Err("its session has chosen how values are read");
        }
        Ok(self.settings.iter().map(|(name, value)| (*name, value.clone())).collect())
    }

    /// Whether something of the same transaction may have run before what is sent next.
    pub(super) fn is_under_way(&self) -> bool {
        !self.ran.is_empty()
    }

    /// Whether something ran that may have changed a setting, and the server, which says so before it is ready, has not
    /// been since.
    pub(super) fn is_unsaid(&self) -> bool {
        !self.acted.is_empty()
    }

    /// Whether the session chose an isolation that may show its transaction an older state.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolates || !self.isolating.is_empty()
    }
}

/// Whether a transaction of this isolation sees what was committed before each statement.
fn is_newest(isolation: &str) -> bool {
    NEWEST.iter().any(|newest| newest.eq_ignore_ascii_case(isolation.trim()))
}

impl Core {
    /// What the client chose at startup, and what the server said of its settings at login. One that does not say in which
    /// encoding it keeps its text is not taken to keep it in UTF8.
    pub(crate) fn begins_with(&mut self, chosen: &[Setting], reported: &BTreeMap<String, String>) {
        for (name, value) in chosen {
            self.surroundings.began(name, value);
        }
        self.foreign_names = reported.get("server_encoding").is_none_or(|encoding| encoding != "UTF8");
        for (name, value) in reported {
            self.surroundings.reported(name, value.as_bytes());
        }
    }
}
