//! Both ends of a copy, said by strangers.
//!
//! Promises: [`fuzz_scp`] fails where a line that announces a file or directory passes without having been granted, where
//! more content passes than was announced, and where the same bytes, split elsewhere, come to something else. Nothing may
//! panic. Held by: the tests below, and whatever fuzzer calls it.

use crate::scp::{Scp, ScpAction, Side};
use crate::sftp::{Found, Resolved};
use portcullis_model::{Denial, Outcome, Reason};

/// Plays arbitrary bytes: the first says which end the target is and what is granted, each run behind it who says it.
pub fn fuzz_scp(data: &[u8]) {
    let Some((&seed, data)) = data.split_first() else { return };
    let at_once = Play::new(seed).run(data, usize::MAX);
    let split = Play::new(seed).run(data, usize::from(seed % 13) + 1);
    assert_eq!(at_once, split, "a split changed what passes");
}

struct Play {
    scp: Scp<u64>,
    seed: u64,
    asked: u64,
    granted: u64,
    said: u64,
    to_target: Vec<u8>,
    to_client: Vec<u8>,
}

impl Play {
    fn new(seed: u8) -> Self {
        let side = if seed & 1 == 0 {
            Side::Sink { path: "x".to_owned(), directory: seed & 2 == 0, recursive: seed & 4 == 0 }
        } else {
            Side::Source { paths: vec!["a".to_owned(), "b/a".to_owned(), "b/".to_owned()] }
        };
        Self {
            scp: Scp::new(side),
            seed: u64::from(seed >> 3),
            asked: 0,
            granted: 0,
            said: 0,
            to_target: Vec::new(),
            to_client: Vec::new(),
        }
    }

    fn run(mut self, mut data: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>) {
        while let Some((&head, rest)) = data.split_first() {
            let (run, rest) = rest.split_at(rest.len().min(usize::from(head & 0x3f) + 1));
            for part in run.chunks(piece) {
                self.said += part.len() as u64;
                if head & 0x80 == 0 {
                    self.scp.push_client(part)
                } else {
                    self.scp.push_target(part)
                }
                while self.step() {}
            }
            data = rest;
        }
        (self.to_target, self.to_client)
    }

    fn step(&mut self) -> bool {
        match self.scp.next() {
            ScpAction::Wait | ScpAction::End(_) => return false,
            ScpAction::ToTarget { permit, bytes } => {
                assert!(permit.is_none_or(|permit| *permit < self.asked), "of what was not asked");
                self.to_target.extend_from_slice(&bytes);
            }
            ScpAction::ToClient { permit, bytes } => {
                assert!(permit.is_none_or(|permit| *permit < self.asked), "of what was not asked");
                self.to_client.extend_from_slice(&bytes);
            }
            ScpAction::Settle(settled) => {
                assert!(self.granted > 0, "settled and never granted");
                self.granted -= 1;
                if let Outcome::Completed { bytes, .. } = settled.outcome {
                    assert!(bytes <= self.said, "more passed than was said");
                }
            }
            ScpAction::Ask(wanted) => {
                self.asked += 1;
                let resolve = |_| Resolved::new("/x/y", Found::Other).ok();
                let resolved: Vec<Resolved> = wanted.touches().iter().filter_map(resolve).collect();
                let judged = wanted.judged(&resolved, None);
                if judged.command.fault.is_some() || (self.asked ^ self.seed).is_multiple_of(3) {
                    let denial = Denial { decision: None, reason: Reason::Withdrawn, message: None };
                    let told = self.scp.refused(&denial);
                    self.to_client.extend_from_slice(&told.to_client);
                    self.to_target.extend_from_slice(&told.to_target.unwrap_or_default());
                } else {
                    self.granted += 1;
                    self.to_target.extend_from_slice(&judged.frame);
                    self.scp.granted(self.asked - 1);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAID: [&[u8]; 10] = [
        b"\0",
        b"\0",
        b"\x01no\n",
        b"\x02no\n",
        b"C0644 3 a\n",
        b"C0644 0 ..\n",
        b"D0755 0 b\n",
        b"E\n",
        b"T1 0 1 0\n",
        b"one\0",
    ];

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_scp(&data);
        }

        #[test]
        fn any_order_of_lines(seed in any::<u8>(), steps in prop::collection::vec((0..10_usize, any::<bool>()), 0..60)) {
            let mut data = vec![seed];
            for (which, client) in steps {
                let bytes = SAID[which];
                data.push(u8::try_from(bytes.len() - 1).unwrap() | if client { 0 } else { 0x80 });
                data.extend_from_slice(bytes);
            }
            fuzz_scp(&data);
        }
    }
}
