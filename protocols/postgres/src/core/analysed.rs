//! Uses of prepared statements: how each is judged, and what is kept of it once it is sent.
//!
//! Promises: what the server may have analysed is kept when the frame that makes it do so is sent, be it Parse, Bind,
//! EXECUTE or Describe; what is refused is not, since the server never sees it. While scope and catalogue are the same,
//! a Bind is not read again.
//! Held by: `core/tests/analysed.rs`, and `tests/it/scope.rs` against a real server.

use super::{Core, Portal, Prepared};
use crate::classify::{Analysed, Executed, Meaning, Read, Under, WaitFor};
use crate::core::names::Found;
use crate::message::Target;
use portcullis_model::Name;
use std::sync::Arc;

/// Scope and catalogue of a moment.
type Moment = (u64, u64);

/// A use of a prepared statement, to be kept when it is sent.
pub(super) struct Used {
    pub(super) statement: Box<str>,
    text: Arc<str>,
    under: Under,
    meaning: Meaning,
    moment: Moment,
}

impl Core {
    pub(super) fn moment(&self) -> Moment {
        (self.scope.revision(), (self.snapshot)().epoch())
    }

    /// What the text of a reading of this moment names.
    pub(super) fn meaning(&self, read: &Read) -> Meaning {
        read.meaning(&self.scope.scope((self.snapshot)()))
    }

    /// What a prepared statement would do now, and the use of it where that is not kept yet. What it was read as holds
    /// while scope and catalogue are the same.
    pub(super) fn read_prepared(
        &mut self,
        name: &str,
        prepared: &Prepared,
    ) -> Result<(Arc<Read>, Option<Box<Used>>), WaitFor> {
        let moment = self.moment();
        if let Some((revision, epoch, read)) = &prepared.read
            && (*revision, *epoch) == moment
            && !read.by_name
            && !read.is_missing()
        {
            let used = (prepared.kept != Some(moment)).then(|| self.used(name, moment, read));
            return Ok((Arc::clone(read), used));
        }
        let mut read = self.read(&prepared.text)?;
        let used = self.used(name, moment, &read);
        read.judged(&prepared.analysed.judge(&used.meaning, &used.under));
        let read = Arc::new(read);
        let text = &prepared.text;
        self.statements.amend(name, |entry| {
            if Arc::ptr_eq(&entry.text, text) {
                Arc::make_mut(entry).read = Some((moment.0, moment.1, Arc::clone(&read)));
            }
        });
        Ok((read, Some(used)))
    }

    fn used(&self, name: &str, moment: Moment, read: &Read) -> Box<Used> {
        Box::new(Used {
            statement: name.into(),
            text: Arc::clone(&read.text),
            under: self.scope.under(),
            meaning: self.meaning(read),
            moment,
        })
    }

    /// The use is sent.
    pub(super) fn keep_use(&mut self, used: &Used) {
        self.statements.amend(&used.statement, |entry| {
            if Arc::ptr_eq(&entry.text, &used.text) {
                let entry = Arc::make_mut(entry);
                entry.kept = Some(used.moment);
                if !entry.analysed.has(&used.under, &used.meaning) {
                    Arc::make_mut(&mut entry.analysed).add(&used.under, &used.meaning);
                }
            }
        });
    }

    /// A text is sent that runs statements by name.
    pub(super) fn keep_executed(&mut self, read: &Read) {
        for used in &read.executed {
            self.statements.amend(used.name.as_str(), |entry| {
                if *entry.text == *used.text && !entry.analysed.has(&used.under, &used.meaning) {
                    Arc::make_mut(&mut Arc::make_mut(entry).analysed).add(&used.under, &used.meaning);
                }
            });
        }
    }

    /// The server bound a portal of this statement: it has analysed it under the path of this moment.
    pub(super) fn confirm_use(&mut self, statement: &str) {
        let under = self.scope.under();
        self.statements.amend(statement, |entry| confirm(entry, &under));
    }

    /// The server ran this text: if it is one EXECUTE, it has analysed what that runs.
    pub(super) fn confirm_executed(&mut self, read: &Read) {
        if read.is_execute() {
            for used in &read.executed {
                self.statements.amend(used.name.as_str(), |entry| {
                    if *entry.text == *used.text {
                        confirm(entry, &used.under);
                    }
                });
            }
        }
    }

    /// A statement that a Parse of this reading would make.
    pub(super) fn analysed(&self, read: &Read) -> Arc<Analysed> {
        let mut analysed = Analysed::default();
        analysed.add(&self.scope.under(), &self.meaning(read));
        Arc::new(analysed)
    }

    /// A statement that SQL made just now, in a text that runs these by name.
    pub(super) fn made_by_sql(&self, name: &Name, text: &Arc<str>, executed: &[Executed]) -> Prepared {
        let read = self.read(text).ok();
        let mut analysed = Analysed::default();
        match &read {
            Some(read) => analysed.add(&self.scope.under(), &self.meaning(read)),
            None => analysed.add(&Under::Unknown, &Meaning::unknown()),
        }
        // The same text may have run it behind this, in a scope that was not known yet.
        for used in executed.iter().filter(|used| used.name == *name && *used.text == **text) {
            analysed.add(&used.under, &used.meaning);
        }
        Prepared {
            text: Arc::clone(text),
            types: Arc::new([]),
            columns: None,
            number: None,
            // What the same text ran makes a later use more than what it reads as.
            read: None,
            analysed: Arc::new(analysed),
            kept: None,
            held: self.held.take(text.len()),
        }
    }

    /// A Describe is to be sent: the server analyses what it describes, and nothing refuses that. What this says must
    /// be waited for, or loaded, comes first.
    pub(super) fn keep_described(&mut self, target: Target<'_>) -> Result<(), Before> {
        match target {
            Target::Statement(name) => {
                let prepared = match self.statements.find(name, self.stretch) {
                    Found::Here(prepared) => prepared,
                    Found::Wait(slot) => return Err(Before::Answer(slot)),
                    Found::Absent => return Ok(()),
                };
                let (read, used) = self.read_prepared(name, &prepared)?;
                if read.is_missing() {
                    return if self.refreshed { Ok(()) } else { Err(Before::Catalogue) };
                }
                if let Some(used) = used {
                    self.keep_use(&used);
                }
                self.keep_executed(&read);
            }
            Target::Portal(name) => {
                let Found::Here(Portal::Bound(id)) = self.portals.find(name, self.stretch) else { return Ok(()) };
                let executes = self.runs.get(id).filter(|run| !run.read.executed.is_empty());
                if let Some(text) = executes.map(|run| Arc::clone(&run.read.text)) {
                    let read = self.read(&text)?;
                    self.keep_executed(&read);
                }
            }
        }
        Ok(())
    }
}

/// What must come before a Describe is sent.
pub(super) enum Before {
    /// The answer to this slot.
    Answer(u64),
    /// Another catalogue.
    Catalogue,
}

impl From<WaitFor> for Before {
    fn from(WaitFor(slot): WaitFor) -> Self {
        Self::Answer(slot)
    }
}

fn confirm(entry: &mut Arc<Prepared>, under: &Under) {
    if entry.analysed.is_spread() {
        Arc::make_mut(&mut Arc::make_mut(entry).analysed).confirm(under);
    }
}
