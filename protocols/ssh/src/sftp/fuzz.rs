//! Both sides of a channel, said by strangers.
//!
//! Promises: [`fuzz_sftp`] fails where something leaves for the target that is not one whole packet, or was neither granted
//! nor belongs to a granted opening; where more is under way than allowed; and where the same bytes, split elsewhere, come
//! to something else. Nothing may panic. Held by: the tests below, and whatever fuzzer calls it.

use crate::sftp::core::{HANDLES, OUTSTANDING};
use crate::sftp::frame::{Framer, LONGEST};
use crate::sftp::packet::{FromClient, kind};
use crate::sftp::{Action, Back, Found, Of, Resolved, Sftp};
use bytes::Bytes;
use portcullis_model::{Denial, Reason};

/// Plays arbitrary bytes: the first says how they are split and what is granted, each run behind it which side says it.
pub fn fuzz_sftp(data: &[u8]) {
    let Some((&seed, data)) = data.split_first() else { return };
    let at_once = Play::new(seed).run(data, usize::MAX);
    let split = Play::new(seed).run(data, usize::from(seed % 13) + 1);
    assert_eq!(at_once, split, "a split changed what passes");
}

struct Play {
    sftp: Sftp<u64>,
    seed: u64,
    asked: u64,
    out: Vec<Bytes>,
    back: Vec<Bytes>,
}

impl Play {
    fn new(seed: u8) -> Self {
        Self { sftp: Sftp::new(), seed: u64::from(seed), asked: 0, out: Vec::new(), back: Vec::new() }
    }

    /// Runs of up to 64 bytes, each behind a byte that says its side and length. A run is said whole before anything is
    /// done, in pieces of this length.
    fn run(mut self, mut data: &[u8], piece: usize) -> (Vec<Bytes>, Vec<Bytes>) {
        while let Some((&head, rest)) = data.split_first() {
            let (run, rest) = rest.split_at(rest.len().min(usize::from(head & 0x3f) + 1));
            for part in run.chunks(piece) {
                if head & 0x80 == 0 {
                    self.sftp.push_client(part)
                } else {
                    self.sftp.push_target(part)
                }
                self.pump(head & 0x80 == 0);
            }
            data = rest;
        }
        let left = self.sftp.finish().len();
        assert!(left <= OUTSTANDING + HANDLES, "more is under way than may be");
        (self.out, self.back)
    }

    /// What one side said is dealt with before the other says more, so that splits cannot reorder the two.
    fn pump(&mut self, client: bool) {
        if client {
            while self.forth() {}
        }
        while self.back() {}
        while self.forth() {}
    }

    fn forth(&mut self) -> bool {
        match self.sftp.next_client() {
            Action::Wait | Action::End(_) => return false,
            Action::Pass(frame) => {
                assert!(matches!(frame.get(4), Some(&(kind::INIT | kind::CLOSE))), "passed unasked");
                self.out.push(frame);
            }
            Action::Follow { permit, frame } => {
                assert!(*permit < self.asked, "a permit that nobody gave");
                self.sftp.sent();
                self.out.push(frame);
            }
            Action::Ask(wanted) => {
                self.asked += 1;
                let resolve = |_| Resolved::new("/x/y", Found::Other).ok();
                let resolved: Vec<Resolved> = wanted.touches().iter().filter_map(resolve).collect();
                let judged = wanted.judged(&resolved, None);
                if judged.command.fault.is_some() || (self.asked ^ self.seed).is_multiple_of(3) {
                    let denial = Denial { decision: None, reason: Reason::Withdrawn, message: None };
                    let told = self.sftp.refused(&denial);
                    self.back.push(told);
                } else {
                    self.sftp.granted(self.asked - 1, judged.place);
                    self.out.push(judged.frame);
                }
            }
        }
        if let Some(sent) = self.out.last() {
            let mut framer = Framer::default();
            framer.push(sent);
            let one = framer.next().ok().flatten();
            let read = one.and_then(|packet| FromClient::decode(&packet).ok());
            assert!(read.is_some() && framer.buffered() == 0 && sent.len() <= LONGEST + 8192, "not one packet");
        }
        true
    }

    fn back(&mut self) -> bool {
        match self.sftp.next_target() {
            Back::Wait | Back::End(_) => false,
            Back::Reply { of, bytes } => {
                match of {
                    Of::Nobody => {}
                    Of::Running(permit) => assert!(*permit < self.asked, "of what was not asked"),
                    Of::Ended(ended) => assert!(ended.permit < self.asked, "of what was not asked"),
                }
                self.back.push(bytes);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::answer::status_of;
    use crate::sftp::tests::{every_request, world::greeting};
    use proptest::prelude::*;

    fn said(client: bool, bytes: &[u8]) -> Vec<u8> {
        let head = |run: &[u8]| u8::try_from(run.len() - 1).unwrap() | if client { 0 } else { 0x80 };
        bytes.chunks(64).flat_map(|run| [&[head(run)], run].concat()).collect()
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_sftp(&data);
        }

        #[test]
        fn any_order_of_requests_and_answers(
            seed in any::<u8>(),
            steps in prop::collection::vec((0..40_usize, any::<bool>(), 0..4_u32, any::<u8>()), 0..60),
        ) {
            let requests = every_request();
            let mut data = vec![seed];
            data.extend(said(true, b"\0\0\0\x05\x01\0\0\0\x03"));
            data.extend(said(false, &greeting()));
            for (which, client, id, noise) in steps {
                let mut packet = match requests.get(which) {
                    Some(request) if client => request.encode(id).to_vec(),
                    _ if which % 2 == 0 => status_of(id, u32::from(noise % 4), "x").to_vec(),
                    _ => crate::sftp::wire::Writer::new(102).u32(id).string(b"\0\0\0\x01").finish().to_vec(),
                };
                if noise > 250 && let Some(byte) = packet.get_mut(which) {
                    *byte = noise;
                }
                data.extend(said(client && which < requests.len(), &packet));
            }
            fuzz_sftp(&data);
        }
    }
}
