//! The target's side of the core: what its answers mean.
//!
//! Promises: an answer belongs to a request that was sent and waits for one, and is of a kind that fits it; a handle is bound
//! to the permit of what opened it; the target's greeting and limits are replaced by ours. Anything else is the target's
//! fault and ends the stream, since a client could be told by it what nobody judged.
//! Held by: `sftp/tests/core.rs`.

use crate::sftp::answer::{Answer, FromTarget, limits, version};
use crate::sftp::content::Transferred;
use crate::sftp::core::{Awaited, HANDLES, Names, Phase, Sftp, VERSION};
use crate::sftp::fault::{StreamFault, StreamSide};
use crate::sftp::frame::Packet;
use crate::sftp::handles::{LONGEST_HANDLE, Manner, Open, Slot};
use crate::sftp::judged::Place;
use crate::sftp::steps::{Back, Ended, How, Of};
use crate::sftp::uses::Expect;
use crate::sftp::wire::Malformed;
use bytes::Bytes;

/// What an answer is of.
enum Whose<P> {
    Nobody,
    Open(Slot),
    Ended(Ended<P>),
}

impl<P> Sftp<P> {
    /// What the target's next packet is for the client.
    pub(crate) fn next_target(&mut self) -> Back<'_, P> {
        if let Some(fault) = &self.ended {
            return Back::End(fault.clone());
        }
        let target = |why: Malformed| StreamFault::malformed(StreamSide::Target, why);
        let packet = match self.target.next().map_err(target) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Back::Wait,
            Err(fault) => return Back::End(self.end(fault)),
        };
        match FromTarget::decode(&packet).map_err(target).and_then(|said| self.take(&packet, said)) {
            Ok((Whose::Nobody, bytes)) => Back::Reply { of: Of::Nobody, bytes },
            Ok((Whose::Ended(ended), bytes)) => Back::Reply { of: Of::Ended(ended), bytes },
            Ok((Whose::Open(slot), bytes)) => {
                let of = self.handles.get(slot).map_or(Of::Nobody, |open| Of::Running(&open.permit));
                Back::Reply { of, bytes }
            }
            Err(fault) => Back::End(self.end(fault)),
        }
    }

    fn take(&mut self, packet: &Packet, said: FromTarget) -> Result<(Whose<P>, Bytes), StreamFault> {
        let (id, answer) = match (self.phase, said) {
            (Phase::Greeted, FromTarget::Version { version: VERSION, extensions }) => {
                self.phase = Phase::Running;
                self.offered = extensions;
                return Ok((Whose::Nobody, version(extensions)));
            }
            (Phase::Greeted, FromTarget::Version { version, .. }) => {
                return Err(StreamFault::target(format!("it speaks version {version}, not {VERSION}")));
            }
            (Phase::Silent | Phase::Running, FromTarget::Version { .. }) => {
                return Err(StreamFault::target("a greeting that nobody waits for"));
            }
            (Phase::Silent | Phase::Greeted, FromTarget::Answer { .. }) => {
                return Err(StreamFault::target("an answer before its greeting"));
            }
            (Phase::Running, FromTarget::Answer { id, answer }) => (id, answer),
        };
        self.answered(id, packet, &answer)
    }

    fn answered(&mut self, id: u32, packet: &Packet, answer: &Answer) -> Result<(Whose<P>, Bytes), StreamFault> {
        let Some(awaited) = self.awaited.remove(&id) else {
            return Err(StreamFault::target(format!("an answer to request {id}, which was not sent")));
        };
        match awaited {
            Awaited::Own { permit, expect, opens, names } => {
                expect.fits(answer)?;
                match names {
                    Names::None => {}
                    Names::Uses => self.using_names = self.using_names.saturating_sub(1),
                    Names::Changes => self.changing_names = self.changing_names.saturating_sub(1),
                }
                self.opening = self.opening.saturating_sub(usize::from(opens.is_some()));
                let bytes = match (expect, answer) {
                    (Expect::Limits, Answer::Extended(said)) => lowered(id, said)?,
                    (_, _) => packet.bytes().clone(),
                };
                self.own_answer(answer, bytes, permit, opens)
            }
            Awaited::Used { slot, expect, reads } => {
                expect.fits(answer)?;
                self.count(slot, answer, reads)?;
                Ok((Whose::Open(slot), packet.bytes().clone()))
            }
            Awaited::Closes { slot } => {
                Expect::Status.fits(answer)?;
                let ended = self.handles.take(slot).map(|open| Ended {
                    permit: open.permit,
                    how: How::of(answer),
                    transferred: Some(Box::new(open.transferred)),
                });
                Ok((ended.map_or(Whose::Nobody, Whose::Ended), packet.bytes().clone()))
            }
        }
    }

    /// Content that was read.
    fn count(&mut self, slot: Slot, answer: &Answer, reads: Option<(u64, u32)>) -> Result<(), StreamFault> {
        let (Answer::Data(data), Some((at, asked))) = (answer, reads) else { return Ok(()) };
        if data.len() as u64 > u64::from(asked) {
            return Err(StreamFault::target(format!("{} bytes where {asked} were asked for", data.len())));
        }
        if let Some(open) = self.handles.get_mut(slot) {
            open.transferred.read.take(Some(at), data);
        }
        Ok(())
    }

    fn own_answer(
        &mut self,
        answer: &Answer,
        bytes: Bytes,
        permit: P,
        opens: Option<(Place, Manner)>,
    ) -> Result<(Whose<P>, Bytes), StreamFault> {
        if let (Answer::Handle(handle), Some((place, manner))) = (answer, opens) {
            if handle.is_empty() || handle.len() > LONGEST_HANDLE || !self.handles.is_free(handle) {
                return Err(StreamFault::target("a handle that is too long or already open"));
            }
            let open = Open { permit, place, manner, transferred: Transferred::default() };
            return Ok((Whose::Open(self.handles.insert(handle, open)), bytes));
        }
        Ok((Whose::Ended(Ended { permit, how: How::of(answer), transferred: None }), bytes))
    }
}

fn lowered(id: u32, said: &Bytes) -> Result<Bytes, StreamFault> {
    limits(id, said, HANDLES as u64).ok_or_else(|| StreamFault::target("limits that are not four numbers"))
}
