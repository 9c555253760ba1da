//! What passes, as types: sealed, asked, ruled, cleared.
//!
//! A frame given to [`Session::seal`](crate::Session::seal) cannot be read out again; it comes out as [`Cleared`], whose
//! only reader is an [`Upstream`](crate::Upstream). None of these types is `Clone`, each is `#[must_use]`, and dropping
//! one means no.
//!
//! A clearance cannot be forged:
//! ```compile_fail,E0451
//! let cleared = portcullis_gate::Cleared { frame: b"DROP TABLE t", wait_for: 0 };
//! ```
//! nor read out (its twin below compiles, and only weighs it):
//! ```compile_fail,E0616
//! fn peek(cleared: portcullis_gate::Cleared<Vec<u8>>) -> Vec<u8> { cleared.frame }
//! ```
//! ```
//! fn weigh(cleared: &portcullis_gate::Cleared<bytes::Bytes>) -> usize { cleared.weight() }
//! ```
//! nor used twice:
//! ```compile_fail,E0382
//! fn twice<O: portcullis_gate::Outlet>(up: &mut portcullis_gate::Upstream<O>, c: portcullis_gate::Cleared<O::Frame>) {
//!     up.push(c);
//!     up.push(c);
//! }
//! ```
//! ```
//! fn once<O: portcullis_gate::Outlet>(up: &mut portcullis_gate::Upstream<O>, c: portcullis_gate::Cleared<O::Frame>) {
//!     up.push(c);
//! }
//! ```
//! nor cloned:
//! ```compile_fail,E0277
//! fn needs_clone<T: Clone>() {}
//! needs_clone::<portcullis_gate::Cleared<Vec<u8>>>();
//! ```
//! ```
//! fn needs_send<T: Send>() {}
//! needs_send::<portcullis_gate::Cleared<Vec<u8>>>();
//! ```
//! A sealed frame cannot be read out or sent before it was asked:
//! ```compile_fail,E0616
//! fn peek(pending: portcullis_gate::Pending<Vec<u8>>) -> Vec<u8> { pending.frame }
//! ```
//! ```compile_fail,E0308
//! fn skip<O: portcullis_gate::Outlet>(up: &mut portcullis_gate::Upstream<O>, p: portcullis_gate::Pending<O::Frame>) {
//!     up.push(p);
//! }
//! ```
//! and a ruling cannot be ignored:
//! ```compile_fail
//! #![deny(unused_must_use)]
//! fn ask(session: &portcullis_gate::Session, pending: portcullis_gate::Pending<Vec<u8>>) { session.ask(pending); }
//! ```
//! ```
//! #![deny(unused_must_use)]
//! fn ask(session: &portcullis_gate::Session, pending: portcullis_gate::Pending<Vec<u8>>) { let _ruling = session.ask(pending); }
//! ```

use crate::flow::Weight;
use crate::hold::Hold;
use crate::masking::{Masking, Touches};
use crate::session::Inner;
use portcullis_approvals::Grant;
use portcullis_model::{Command, Denial, HoldTerms, Outcome, RowLimit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Frames that carry neither command nor data: a closed enum of each protocol (Sync, Flush, window-change …).
pub trait Passage {
    /// What the protocol's outlet takes.
    type Frame;
    /// The frame.
    fn into_frame(self) -> Self::Frame;
}

/// Frames that the gateway itself writes: a closed enum of each protocol in its `own.rs`, built from constants and typed
/// values, never from a client's bytes.
pub trait Own {
    /// What the protocol's outlet takes.
    type Frame;
    /// The frame.
    fn into_frame(self) -> Self::Frame;
}

/// A frame sealed with the command read from it. Dropping it forwards nothing and records `abandoned`.
#[must_use = "a sealed frame is asked, or it is recorded as abandoned"]
pub struct Pending<F> {
    pub(crate) frame: Option<F>,
    pub(crate) command: Option<Arc<Command>>,
    pub(crate) number: u64,
    pub(crate) session: Arc<Inner>,
}

impl<F> Pending<F> {
    /// Takes the parts out, so that dropping the shell records nothing.
    pub(crate) fn open(mut self) -> Option<(F, Arc<Command>)> {
        self.frame.take().zip(self.command.take())
    }
}

impl<F> Drop for Pending<F> {
    fn drop(&mut self) {
        if let Some(command) = self.command.take() {
            self.session.record_unasked(self.number, &command, Outcome::Abandoned);
        }
    }
}

/// What becomes of a command.
#[must_use = "a ruling says whether the frame may pass"]
pub enum Ruling<F> {
    /// It may pass.
    Forward(Cleared<F>, Permit),
    /// It may not; the frame is gone.
    Refuse(Denial),
    /// It waits for people.
    Hold(Hold<F>),
}

/// A frame that may pass upstream, once the record up to `wait_for` is durable.
#[must_use = "a cleared frame is pushed upstream"]
pub struct Cleared<F> {
    pub(crate) frame: F,
    pub(crate) wait_for: u64,
}

impl<F: Weight> Cleared<F> {
    /// Its size in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.frame.weight()
    }
}

/// What a forwarded command leaves behind: the right to send what belongs to it, kept with its portal, channel or
/// request, and the duty to say how it ended ([`Session::settle`](crate::Session::settle)). Dropping it unsettled
/// records `interrupted`.
#[must_use = "a permit is kept while its command runs, and settled"]
pub struct Permit {
    pub(crate) session: Arc<Inner>,
    pub(crate) command: Arc<Command>,
    pub(crate) number: u64,
    /// The record's sequence number of the command.
    pub(crate) sequence: u64,
    /// The policy epoch it was last judged under.
    pub(crate) epoch: AtomicU64,
    pub(crate) settled: bool,
    /// The masks it was judged under.
    pub(crate) masking: Arc<Masking>,
    /// Whether its answer may hold protected values.
    pub(crate) touches: Touches,
    /// What rules asked for that it passed in spite of: people said yes to it, or it runs nothing.
    pub(crate) satisfied: Vec<HoldTerms>,
    /// The grants without which it would have been held.
    pub(crate) granted: Vec<Arc<Grant>>,
    /// How many rows it may write.
    pub(crate) limit: Option<RowLimit>,
}

impl Permit {
    /// The command's ordinal in its session.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The command.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    pub(crate) fn judged_under(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled && !self.command.prepares() {
            self.session.record_settled(self.number, Outcome::Interrupted, None);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Permit");
        shown.field("number", &self.number).field("judged_under", &self.judged_under()).finish_non_exhaustive()
    }
}

/// The running command may not go on: its identity was revoked, a grant that it ran under has ended, or policy moved on and
/// no longer allows it.
pub struct Stale<F> {
    /// What was to be sent.
    pub frame: F,
    /// Why not.
    pub denial: Denial,
}

/// How a hold ended.
#[must_use = "it says whether the frame may pass"]
pub enum Settled<F> {
    /// Approved, judged again, and it may pass.
    Forward(Cleared<F>, Permit),
    /// It may not.
    Refuse(Denial),
}
