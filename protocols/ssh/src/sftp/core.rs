//! One file transfer channel as a state machine: what a client's packets become, and what a target's answers mean.
//!
//! The caller drives it: bytes go in ([`Sftp::push_client`], [`Sftp::push_target`]); [`Sftp::next_client`] says what is to
//! be asked of the gate; [`Sftp::granted`], [`Sftp::sent`] or [`Sftp::refused`] say what became of it; and
//! [`Sftp::next_target`] gives what the client may be told. `sftp/tests/driving.rs` shows it whole. A permit is whatever
//! the caller keeps for a judged command: nothing here looks into it.
//!
//! Promises:
//! - Nothing comes out for the target but the greeting, a `CLOSE`, what was granted, and what belongs to a handle whose
//!   opening was granted for that use.
//! - One request at a time is judged, and those behind it wait: none overtakes another. While a request that can change
//!   what names mean is not answered, no name is resolved; before such a request is judged, all that used names is
//!   answered. So within the channel a name means the same when it is judged and when it is used.
//! - A number in use is not used again; an answer belongs to a request that was sent and is of a kind that fits it.
//! - At most [`OUTSTANDING`] requests and [`HANDLES`] handles; beyond it the caller is told to wait, or the open refused.
//!
//! Does not promise order between channels. Held by: `sftp/tests/{core,driving}.rs` and the fuzzer.

use crate::sftp::answer::status_of;
use crate::sftp::extension::Extensions;
use crate::sftp::fault::{StreamFault, StreamSide};
use crate::sftp::frame::Framer;
use crate::sftp::handles::{Handles, Manner, Slot};
use crate::sftp::judged::Place;
use crate::sftp::packet::{FromClient, Request, kind};
use crate::sftp::read;
use crate::sftp::refusal::{self, words};
use crate::sftp::steps::{Action, Ended, How};
use crate::sftp::uses::{Expect, Kind, Next, unknown, unless_offered};
use crate::sftp::wanted::Wanted;
use crate::sftp::wire::{Malformed, Writer};
use bytes::Bytes;
use portcullis_model::{Denial, Fault};
use std::collections::HashMap;

/// Requests sent and not answered.
pub(crate) const OUTSTANDING: usize = 1024;
/// Handles open, or asked for.
pub(crate) const HANDLES: usize = 1024;
/// The version that is spoken.
pub(super) const VERSION: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was said.
    Silent,
    /// The client greeted, the target did not answer.
    Greeted,
    Running,
}

/// What a sent request is to be answered with, and what it is of.
#[derive(Debug)]
pub(super) enum Awaited<P> {
    /// It has a permit of its own.
    Own { permit: P, expect: Expect, opens: Option<(Place, Manner)>, names: Names },
    /// It belongs to a handle. A read says how much it asked for, and from where.
    Used { slot: Slot, expect: Expect, reads: Option<(u64, u32)> },
    /// The end of a handle.
    Closes { slot: Slot },
}

/// What a request does with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    None,
    Uses,
    Changes,
}

impl Names {
    fn of(wanted: &Wanted) -> Self {
        match (wanted.changes_names(), wanted.touches().is_empty()) {
            (true, _) => Self::Changes,
            (false, false) => Self::Uses,
            (false, true) => Self::None,
        }
    }
}

/// What waits for a ruling.
#[derive(Debug)]
enum Pending {
    Asked { id: u32, expect: Expect, opens: Option<Manner>, names: Names },
    Followed { id: u32, slot: Slot, expect: Expect, reads: Option<(u64, u32)>, writes: Option<(u64, Bytes)> },
}

/// A request that was read.
#[derive(Debug)]
struct Head {
    id: u32,
    request: Request,
    next: Next,
    /// As it came. Reading is strict, so this is all that it says.
    bytes: Bytes,
}

/// What begins.
enum Step {
    Wait,
    Pass(Bytes),
    Ask(Box<Wanted>),
    Follow(Slot, Bytes),
}

/// One channel.
#[derive(Debug)]
pub(crate) struct Sftp<P> {
    client: Framer,
    pub(super) target: Framer,
    pub(super) phase: Phase,
    pub(super) offered: Extensions,
    /// The next request, read and not begun.
    head: Option<Head>,
    pending: Option<Pending>,
    pub(super) awaited: HashMap<u32, Awaited<P>>,
    pub(super) handles: Handles<P>,
    pub(super) opening: usize,
    pub(super) using_names: usize,
    pub(super) changing_names: usize,
    pub(super) ended: Option<StreamFault>,
}

impl<P> Sftp<P> {
    /// A channel on which nothing was said.
    pub(crate) fn new() -> Self {
        Self {
            client: Framer::default(),
            target: Framer::default(),
            phase: Phase::Silent,
            offered: Extensions::default(),
            head: None,
            pending: None,
            awaited: HashMap::new(),
            handles: Handles::new(),
            opening: 0,
            using_names: 0,
            changing_names: 0,
            ended: None,
        }
    }

    /// Bytes of the client. A caller that takes no more while [`Sftp::buffered`] is high bounds the memory.
    pub(crate) fn push_client(&mut self, bytes: &[u8]) {
        self.client.push(bytes);
    }

    /// Bytes of the target.
    pub(crate) fn push_target(&mut self, bytes: &[u8]) {
        self.target.push(bytes);
    }

    /// Bytes of the client that wait.
    pub(crate) fn buffered(&self) -> usize {
        self.client.buffered()
    }

    /// What the client's next packet becomes.
    pub(crate) fn next_client(&mut self) -> Action<'_, P> {
        if let Some(fault) = &self.ended {
            return Action::End(fault.clone());
        }
        if self.pending.is_some() {
            return Action::Wait;
        }
        match self.begin() {
            Ok(Step::Wait) => Action::Wait,
            Ok(Step::Pass(frame)) => Action::Pass(frame),
            Ok(Step::Ask(wanted)) => Action::Ask(wanted),
            Ok(Step::Follow(slot, frame)) => match self.handles.get(slot) {
                Some(open) => Action::Follow { permit: &open.permit, frame },
                None => Action::Wait,
            },
            Err(fault) => Action::End(self.end(fault)),
        }
    }

    pub(super) fn end(&mut self, fault: StreamFault) -> StreamFault {
        self.ended = Some(fault.clone());
        fault
    }

    fn begin(&mut self) -> Result<Step, StreamFault> {
        if self.head.is_none() {
            let client = |why: Malformed| StreamFault::malformed(StreamSide::Client, why);
            if self.phase == Phase::Greeted {
                return Ok(Step::Wait);
            }
            let Some(packet) = self.client.next().map_err(client)? else { return Ok(Step::Wait) };
            let (id, request) = match (self.phase, FromClient::decode(&packet).map_err(client)?) {
                (Phase::Silent, FromClient::Init { version }) => return self.greet(version),
                (Phase::Silent, FromClient::Request { .. } | FromClient::Unknown { .. }) => {
                    return Err(StreamFault::client("a request before the greeting"));
                }
                (Phase::Greeted | Phase::Running, FromClient::Init { .. }) => {
                    return Err(StreamFault::client("a second greeting"));
                }
                (Phase::Greeted | Phase::Running, FromClient::Request { id, request }) => (id, request),
                (Phase::Greeted | Phase::Running, FromClient::Unknown { id, kind }) => {
                    self.unused(id)?;
                    return Ok(self.ask(id, Expect::Status, None, unknown(kind)));
                }
            };
            self.unused(id)?;
            let next = self.next_of(id, &request);
            self.head = Some(Head { id, request, next, bytes: packet.bytes().clone() });
        }
        self.go_on()
    }

    fn unused(&self, id: u32) -> Result<(), StreamFault> {
        if self.awaited.contains_key(&id) {
            return Err(StreamFault::client(format!("request number {id} is used twice at once")));
        }
        Ok(())
    }

    fn greet(&mut self, version: u32) -> Result<Step, StreamFault> {
        if version < VERSION {
            return Err(StreamFault::client(format!("version {version}; version {VERSION} is spoken here")));
        }
        self.phase = Phase::Greeted;
        Ok(Step::Pass(Writer::new(kind::INIT).u32(VERSION).finish()))
    }

    /// Begins the request at the front, if it may.
    fn go_on(&mut self) -> Result<Step, StreamFault> {
        let waits = match &self.head {
            None => true,
            Some(head) => self.awaited.len() >= OUTSTANDING || !self.may_begin(&head.next),
        };
        let Some(head) = self.head.take_if(|_| !waits) else { return Ok(Step::Wait) };
        let Head { id, request, next, bytes } = head;
        let Kind { expect, manner, .. } = Kind::of(&request);
        Ok(match next {
            Next::Judge(wanted) => {
                if manner.is_some() && self.handles.len() + self.opening >= HANDLES {
                    let message = format!("{HANDLES} files are open on this channel; close one first");
                    let fault = Fault::TooLarge { message: message.into() };
                    return Ok(self.ask(id, expect, None, Wanted::faulty(read::verb(&request), "", fault)));
                }
                self.ask(id, expect, manner, *wanted)
            }
            Next::Follow { slot, reads, writes } => {
                self.pending = Some(Pending::Followed { id, slot, expect, reads, writes });
                Step::Follow(slot, bytes)
            }
            Next::Close(handle) => match self.handles.close(&handle) {
                Some(slot) => {
                    self.awaited.insert(id, Awaited::Closes { slot });
                    Step::Pass(bytes)
                }
                None => Step::Wait,
            },
        })
    }

    fn may_begin(&self, next: &Next) -> bool {
        match next {
            Next::Follow { .. } | Next::Close(_) => true,
            Next::Judge(wanted) => match Names::of(wanted) {
                Names::None => true,
                Names::Uses => self.changing_names == 0,
                Names::Changes => self.changing_names == 0 && self.using_names == 0,
            },
        }
    }

    fn ask(&mut self, id: u32, expect: Expect, opens: Option<Manner>, wanted: Wanted) -> Step {
        self.pending = Some(Pending::Asked { id, expect, opens, names: Names::of(&wanted) });
        Step::Ask(Box::new(wanted))
    }

    fn next_of(&self, id: u32, request: &Request) -> Next {
        match read::read(id, request) {
            Some(wanted) => Next::Judge(Box::new(unless_offered(wanted, request, self.offered))),
            None => Next::of_handle(id, request, &self.handles),
        }
    }

    /// What was asked may pass and was handed on.
    pub(crate) fn granted(&mut self, permit: P, place: Place) {
        match self.pending.take() {
            Some(Pending::Asked { id, expect, opens, names }) => {
                match names {
                    Names::None => {}
                    Names::Uses => self.using_names += 1,
                    Names::Changes => self.changing_names += 1,
                }
                self.opening += usize::from(opens.is_some());
                let opens = opens.map(|manner| (place, manner));
                self.awaited.insert(id, Awaited::Own { permit, expect, opens, names });
            }
            // Nothing was asked: the permit ends with this call, and the record says so.
            other @ (Some(Pending::Followed { .. }) | None) => self.pending = other,
        }
    }

    /// What follows a permit was handed on.
    pub(crate) fn sent(&mut self) {
        match self.pending.take() {
            Some(Pending::Followed { id, slot, expect, reads, writes }) => {
                if let (Some((at, data)), Some(open)) = (writes, self.handles.get_mut(slot)) {
                    open.transferred.written.take((!open.manner.appends).then_some(at), &data);
                }
                self.awaited.insert(id, Awaited::Used { slot, expect, reads });
            }
            other @ (Some(Pending::Asked { .. }) | None) => self.pending = other,
        }
    }

    /// What was asked, or followed, may not pass. What the client is told.
    #[must_use]
    pub(crate) fn refused(&mut self, denial: &Denial) -> Bytes {
        match self.pending.take() {
            Some(Pending::Asked { id, .. } | Pending::Followed { id, .. }) => {
                status_of(id, refusal::status(&denial.reason), &words(denial))
            }
            None => Bytes::new(),
        }
    }

    /// The channel is over: everything that was under way.
    pub(crate) fn finish(mut self) -> Vec<Ended<P>> {
        let own = self.awaited.drain().filter_map(|(_, awaited)| match awaited {
            Awaited::Own { permit, .. } => Some(Ended { permit, how: How::Cut, transferred: None }),
            Awaited::Used { .. } | Awaited::Closes { .. } => None,
        });
        let mut left: Vec<_> = own.collect();
        left.extend(self.handles.drain().map(|open| Ended {
            permit: open.permit,
            how: How::Cut,
            transferred: Some(Box::new(open.transferred)),
        }));
        left
    }
}
