//! What is open: the target's handles, each with the permit that its opening got.
//!
//! Promises: a handle means what was judged when it was opened, until the client closes it; from then on it means nothing,
//! although answers to what was asked before may still come. The target may give the same name to the next one.
//! Does not promise a bound: `core.rs` opens no more than its limit.
//! Held by: `sftp/tests/core.rs` (use after close, the same handle again, a handle given twice).

use crate::sftp::content::Transferred;
use crate::sftp::judged::Place;
use bytes::Bytes;
use std::collections::HashMap;

/// The longest handle (draft 02, section 6.2).
pub(super) const LONGEST_HANDLE: usize = 256;

/// How something is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// A directory, to be listed.
    pub(super) directory: bool,
    /// It may be read.
    pub(super) reads: bool,
    /// It may be written to.
    pub(super) writes: bool,
    /// Its opening was judged as an update of what was there.
    pub(super) updates: bool,
    /// What is written goes to its end, wherever the client says.
    pub(super) appends: bool,
}

/// Something open.
#[derive(Debug)]
pub(super) struct Open<P> {
    /// The permit of its opening.
    pub(super) permit: P,
    /// What it is.
    pub(super) place: Place,
    /// How.
    pub(super) manner: Manner,
    /// What passed.
    pub(super) transferred: Transferred,
}

/// One opening. Other than a handle, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot(u64);

/// Everything open on a channel.
#[derive(Debug)]
pub(super) struct Handles<P> {
    named: HashMap<Bytes, Slot>,
    open: HashMap<Slot, Open<P>>,
    next: u64,
}

impl<P> Handles<P> {
    pub(super) fn new() -> Self {
        Self { named: HashMap::new(), open: HashMap::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// What a handle that is not closed means.
    pub(super) fn named(&self, handle: &Bytes) -> Option<(Slot, &Open<P>)> {
        let slot = *self.named.get(handle)?;
        self.open.get(&slot).map(|open| (slot, open))
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Open<P>> {
        self.open.get(&slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Open<P>> {
        self.open.get_mut(&slot)
    }

    /// Whether the target may give this handle now.
    pub(super) fn is_free(&self, handle: &Bytes) -> bool {
        !self.named.contains_key(handle)
    }

    pub(super) fn insert(&mut self, handle: &Bytes, open: Open<P>) -> Slot {
        let slot = Slot(self.next);
        self.next += 1;
        // Copied: the packet that it came in may be long.
        self.named.insert(Bytes::copy_from_slice(handle), slot);
        self.open.insert(slot, open);
        slot
    }

    /// The client closes it: the handle means nothing any more.
    pub(super) fn close(&mut self, handle: &Bytes) -> Option<Slot> {
        self.named.remove(handle)
    }

    /// The target has closed it.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Open<P>> {
        self.open.remove(&slot)
    }

    /// Everything that is still open, and nothing is any more.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Open<P>> + '_ {
        self.named.clear();
        self.open.drain().map(|(_, open)| open)
    }
}
