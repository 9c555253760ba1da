//! The session's core: frames in, what to send out. No socket, no clock; its only partner is the gate's session.
//!
//! A client's frame is decoded, judged where it is a command, and sent, replaced by a stand-in or kept back; a server's
//! frame is checked against what is owed ([`Expectations`]), and released, swapped or swallowed. Promises:
//! - Every kind of frame is matched by name; what the place does not allow ends the session.
//! - A refused frame is replaced by one that the server itself rejects ([`Own`]), and the server's error is swapped for
//!   the refusal: order, skipping to Sync and transaction status stay the server's. No byte of a refused frame is sent.
//! - What changes the meaning of later text is a barrier: the next command is judged after its reply was read. A portal
//!   whose names the server looks up when it runs means then what was judged when it was bound, or is refused; so does a
//!   prepared statement that the server may still have analysed as something else.
//! - Where the bytes were split changes neither what is sent nor what is decided.
//!
//! Does not promise to know what functions do inside. Held by: `core/tests/*` without a server, `tests/it` with one.

mod analysed;
mod backend;
mod client;
mod completion;
mod copy;
mod copy_out;
mod failure;
mod fuzz;
pub(crate) mod limited;
pub(crate) mod names;
mod preview;
mod rows;
mod ruling;
pub(crate) mod run;
mod surroundings;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
mod words;

pub use fuzz::fuzz_core;

use crate::answer::Known;
use crate::classify::{Analysed, Lookup, Made, Opened, Read, Reader, Under, WaitFor};
use crate::expect::{Expectations, Slot};
use crate::frame::{Frame, Phase};
use crate::message::TransactionStatus;
use crate::own::{Nowhere, Own};
use crate::preview::Foretold;
use crate::reply;
use crate::scope::{Answered, Tracker};
use bytes::Bytes;
use copy::CopyIn;
use copy_out::CopyingOut;
use names::{Found, Held, Names, Total};
use portcullis_gate::{Answer, Cleared, Hold, Released, Session};
use portcullis_model::{ApprovalId, Catalogue, Lineage, Operation};
use rows::LongRow;
use ruling::Asked;
use run::{RunId, Runs};
use std::sync::Arc;
use surroundings::Surroundings;
use transaction::Transaction;
use words::{Slots, Touched};

/// What to do behind a frame, in this order within each list.
#[derive(Default)]
pub(crate) struct Steps {
    /// To the server.
    pub(crate) up: Vec<Cleared<Bytes>>,
    /// To the client.
    pub(crate) down: Vec<Released<Bytes>>,
    /// To be settled; [`Core::on_settled`] takes the result.
    pub(crate) hold: Option<Hold<Bytes>>,
    /// What people are told about what is held, where it writes rows; made before they are asked.
    pub(crate) preview: Option<Foretold>,
    /// The hold is not wanted any more: drop it.
    pub(crate) unhold: bool,
    /// Load the catalogue anew; [`Core::on_refreshed`] says it is there.
    pub(crate) refresh: bool,
    /// Send what is to be sent and end the session, for this reason.
    pub(crate) end: Option<&'static str>,
}

/// The newest snapshot of the database's catalogue.
pub(crate) type Snapshot = Arc<dyn Fn() -> Arc<Catalogue> + Send + Sync>;

/// A prepared statement.
#[derive(Clone)]
pub(crate) struct Prepared {
    text: Arc<str>,
    /// Parameter types, as declared or as the server told.
    types: Arc<[u32]>,
    /// Its columns, once they were described.
    columns: Option<Arc<[Known]>>,
    /// The ordinal of the command that prepared it.
    number: Option<u64>,
    /// What it was read as, and under which scope and catalogue.
    read: Option<(u64, u64, Arc<Read>)>,
    /// What its text named whenever the server may have analysed it.
    analysed: Arc<Analysed>,
    /// The scope and catalogue under which that was kept last.
    kept: Option<(u64, u64)>,
    /// Its part of what the session may hold.
    #[expect(dead_code, reason = "it counts until it is dropped")]
    held: Arc<Held>,
}

/// A portal.
#[derive(Clone)]
pub(crate) enum Portal {
    /// Made by Bind.
    Bound(RunId),
    /// Made by DECLARE.
    Cursor {
        /// What its query does, and what its rows are.
        opened: Opened,
        /// WITH HOLD: it outlives the transaction.
        hold: bool,
    },
}

/// What the next frame of the client waits for.
enum State {
    Ready,
    /// The answer to this slot.
    Waiting {
        slot: u64,
        frame: Frame,
    },
    /// Another catalogue.
    Refreshing(Frame),
    /// People.
    Holding {
        asked: Box<Asked>,
        number: u64,
        approval: ApprovalId,
    },
    Ended,
}

/// A frame that the server did not do.
struct Discarded {
    slot: Slot,
    /// It is the one that failed; what came behind it was skipped.
    failed: bool,
}

/// Why a session ends whose client took its leave.
pub(crate) const TERMINATED: &str = "terminated";

/// Discarded frames of one stretch beyond which the oldest are settled before their Sync comes.
const MANY_DISCARDED: usize = 4096;

/// Why a text is refused that names something beyond ASCII in such a database.
const FOREIGN_NAMES: &str = "this database is not in UTF8: names beyond ASCII, and DO blocks with such text or escapes, \
                             cannot be told for certain";

/// The core of one session.
pub(crate) struct Core {
    session: Arc<Session>,
    reader: Reader,
    snapshot: Snapshot,
    scope: Tracker,
    queue: Expectations,
    statements: Names<Arc<Prepared>>,
    portals: Names<Portal>,
    runs: Runs,
    state: State,
    transaction: Transaction,
    /// Syncs sent: frames between two of them stand and fall together.
    stretch: u64,
    /// The server discards what it reads until the next Sync.
    skipping: bool,
    /// What it discards, until that Sync is sent: frames of the same stretch are judged as if it were answered, so that
    /// it does not matter when the error comes.
    discarded: Vec<Discarded>,
    /// Nothing was sent since the server was ready for more.
    at_boundary: bool,
    /// The client's newest command that changes what later text means.
    barrier: Option<u64>,
    /// The newest frame that may start COPY data from the client, or whose rows are counted before it is answered: nothing
    /// more of the client is taken until it is.
    alone: Option<u64>,
    copy: CopyIn,
    /// Texts of prepared statements.
    held: Total,
    nowhere: Nowhere,
    /// What the server says that answers no command.
    unasked: Answer,
    /// The answer to the gateway's own question, while it comes.
    told: Option<Answered>,
    /// A new catalogue was asked for.
    reloading: bool,
    /// The frame in hand was already read against a new catalogue.
    refreshed: bool,
    /// A long row that comes in pieces and may still be recorded.
    row: LongRow,
    /// A message to the client has begun and not ended: nothing else may stand in it.
    within: bool,
    /// What is said to the client behind it.
    later: Option<Bytes>,
    /// COPY data to the client that may have to be masked.
    copying_out: Option<CopyingOut>,
    /// The server's process, which its own notifications come from.
    own_pid: Option<i32>,
    /// What protected values may still be in what the server says.
    touched: Touched,
    /// What was sent since the transaction began that may have changed what only this session sees.
    wrote: Slots,
    /// How values are read, and which state of the data is seen.
    surroundings: Surroundings,
    /// The database keeps its text in another encoding than UTF8: it cuts, folds and compares names beyond ASCII in its
    /// own way.
    foreign_names: bool,
}

impl Core {
    /// The core of a session whose backend has just said that it is ready.
    pub(crate) fn new(
        session: Arc<Session>,
        reader: Reader,
        snapshot: Snapshot,
        random: u64,
        own_pid: Option<i32>,
    ) -> Self {
        Self {
            unasked: session.answer(None),
            session,
            reader,
            snapshot,
            scope: Tracker::new(),
            queue: Expectations::default(),
            statements: Names::default(),
            portals: Names::default(),
            runs: Runs::default(),
            state: State::Ready,
            transaction: Transaction::none(),
            stretch: 0,
            skipping: false,
            discarded: Vec::new(),
            at_boundary: true,
            barrier: None,
            alone: None,
            copy: CopyIn::None,
            held: Total::default(),
            nowhere: Nowhere::new(random),
            told: None,
            reloading: false,
            refreshed: false,
            row: LongRow::default(),
            within: false,
            later: None,
            copying_out: None,
            own_pid,
            touched: Touched::default(),
            wrote: Slots::default(),
            surroundings: Surroundings::default(),
            foreign_names: false,
        }
    }

    /// Which frames of the client may come next.
    pub(crate) const fn phase(&self) -> Phase {
        if self.copy.is_active() { Phase::ClientCopyIn } else { Phase::ClientReady }
    }

    /// Asks the server what names mean before the client's first command.
    pub(crate) fn start(&mut self, steps: &mut Steps) {
        if self.scope.asks(self.transaction.status()) {
            self.ask_scope(steps);
        }
    }

    /// Whether the next frame of the client is wanted now.
    pub(crate) fn wants_client(&self) -> bool {
        matches!(self.state, State::Ready) && !self.queue.is_full()
    }

    /// Whether a command is under way at the server, so that a cancel means something there.
    pub(crate) fn is_running(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether a command waits for people.
    pub(crate) const fn is_holding(&self) -> bool {
        matches!(self.state, State::Holding { .. })
    }

    /// Whether nothing is under way and no transaction is open: a good moment to end.
    pub(crate) fn is_quiet(&self) -> bool {
        let open = self.transaction.status() != TransactionStatus::Idle;
        // What was sent since the server was ready stands only behind the next Sync.
        self.at_boundary && !open && matches!(self.state, State::Ready)
    }

    /// The catalogue was loaded anew, or could not be: what waited is judged.
    pub(crate) fn on_refreshed(&mut self, steps: &mut Steps) {
        self.reloading = false;
        if let State::Refreshing(frame) = std::mem::replace(&mut self.state, State::Ready) {
            self.refreshed = true;
            self.on_client(frame, steps);
            self.refreshed = false;
        }
        self.proceed(steps);
    }

    /// The client is gone: what waits for people is withdrawn.
    pub(crate) fn on_client_gone(&mut self, steps: &mut Steps) {
        if self.is_holding() {
            self.state = State::Ready;
            steps.unhold = true;
        }
    }

    /// Tells the client of something that answers no command.
    fn notify(&mut self, notice: Bytes, steps: &mut Steps) {
        if self.within {
            // The first says the most.
            self.later.get_or_insert(notice);
        } else {
            steps.down.push(self.session.say(notice));
        }
    }

    /// Ends the session with a fatal error; without a word where the client would take it for the rest of a row.
    pub(crate) fn end(&mut self, code: &'static str, message: &str, reason: &'static str, steps: &mut Steps) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.state = State::Ended;
        steps.unhold = true;
        if !self.within {
            steps.down.push(self.session.say(reply::fatal(code, message)));
        }
        steps.up.push(self.session.own(Own::Terminate));
        steps.end = Some(reason);
    }

    /// Takes up what waited, if what it waited for has come.
    fn proceed(&mut self, steps: &mut Steps) {
        while let State::Waiting { slot, .. } = &self.state {
            let copying = self.alone == Some(*slot) && self.copy.is_active();
            if !copying && !self.queue.is_answered(*slot) {
                return;
            }
            let waited = *slot;
            match std::mem::replace(&mut self.state, State::Ready) {
                State::Waiting { frame, .. } => self.on_client(frame, steps),
                other => self.state = other,
            }
            if matches!(&self.state, State::Waiting { slot, .. } if *slot == waited) {
                // What it waited for has come, so waiting for it again would be for ever.
                return self.malformed("a message that cannot come here", steps);
            }
        }
    }

    /// Keeps the frame until the slot is answered, and makes the server answer.
    fn wait(&mut self, slot: u64, frame: Frame, steps: &mut Steps) {
        if !self.queue.ends_in_ready() {
            steps.up.push(self.session.own(Own::Flush));
        }
        self.state = State::Waiting { slot, frame };
    }

    /// Keeps the frame until another catalogue is there.
    fn await_catalogue(&mut self, frame: Frame, steps: &mut Steps) {
        self.reloading = true;
        steps.refresh = true;
        self.state = State::Refreshing(frame);
    }

    /// What a text would do that the server is still to cut into tokens. Behind what may have changed how it does that it
    /// says so before it is ready, and not before.
    fn read_new(&self, text: &Arc<str>) -> Result<Read, WaitFor> {
        self.read_as(text, self.surroundings.is_unsaid())
    }

    /// What a text would do that the server has, read in the scope of this moment.
    fn read(&self, text: &Arc<str>) -> Result<Read, WaitFor> {
        self.read_as(text, false)
    }

    fn read_as(&self, text: &Arc<str>, is_unsaid: bool) -> Result<Read, WaitFor> {
        let scope = self.scope.scope((self.snapshot)());
        let names = InForce { core: self };
        let mut read = self.reader.read(text, &scope, &names, is_unsaid)?;
        if self.foreign_names && !(portcullis_sql::has_plain_names(text) && read.has_plain_path()) {
            read.refuse(FOREIGN_NAMES.to_owned());
        }
        Ok(read)
    }

    fn front_run(&self) -> Option<RunId> {
        use crate::expect::Work;
        match &self.queue.front()?.work {
            Work::Query(run) | Work::Execute { run } | Work::Bind { run, .. } => Some(*run),
            Work::Around(around) => Some(around.run),
            Work::Parse { .. }
            | Work::DescribeStatement { .. }
            | Work::DescribePortal(_)
            | Work::CloseStatement(_)
            | Work::ClosePortal(_)
            | Work::Sync
            | Work::AskScope
            | Work::AskColumns { .. }
            | Work::Refused(_) => None,
        }
    }

    fn ask_scope(&mut self, steps: &mut Steps) -> u64 {
        steps.up.push(self.session.own(Own::AskScope(self.nowhere.clone())));
        self.at_boundary = false;
        self.stretch += 1;
        self.queue.push(crate::expect::Work::AskScope)
    }

    /// A portal is gone: its run ends.
    fn portal_gone(&mut self, portal: Option<Portal>) {
        if let Some(Portal::Bound(run)) = portal {
            self.runs.end(&self.session, run);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.settle_discarded();
    }
}

/// Names of this session, as a reading needs them.
struct InForce<'a> {
    core: &'a Core,
}

impl Lookup for InForce<'_> {
    fn prepared(&self, name: &str) -> Found<Made> {
        match self.core.statements.find(name, self.core.stretch) {
            Found::Here(prepared) => {
                let (text, analysed) = (Arc::clone(&prepared.text), Arc::clone(&prepared.analysed));
                Found::Here(Made { text, analysed })
            }
            Found::Absent => Found::Absent,
            Found::Wait(slot) => Found::Wait(slot),
        }
    }

    fn under(&self) -> Under {
        self.core.scope.under()
    }

    fn cursor(&self, name: &str) -> Found<Opened> {
        if let Some(slot) = self.core.may_end_portal(name) {
            return Found::Wait(slot);
        }
        match self.core.portals.find(name, self.core.stretch) {
            Found::Here(Portal::Cursor { opened, .. }) => Found::Here(opened),
            Found::Here(Portal::Bound(run)) => match self.core.runs.get(run) {
                // What it runs by name, or names, may be something else by then.
                Some(run) if run.read.by_name || run.read.late => Found::Here(Opened {
                    operations: Arc::new([Operation::unknown()]),
                    lineage: Arc::new(Lineage::untold()),
                    catalogue: Arc::clone(&run.read.catalogue),
                    rewritten: true,
                }),
                Some(run) => Found::Here(Opened {
                    rewritten: run.read.is_rewritten(0),
                    operations: run.command.shared_operations(),
                    lineage: run.read.lineages.first().map_or_else(|| Arc::new(Lineage::untold()), Arc::clone),
                    catalogue: Arc::clone(&run.read.catalogue),
                }),
                None => Found::Absent,
            },
            Found::Absent => Found::Absent,
            Found::Wait(slot) => Found::Wait(slot),
        }
    }
}
