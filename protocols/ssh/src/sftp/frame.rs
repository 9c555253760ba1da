//! Bytes to packets, for both directions: the one place that trusts a length, and only after checking it.
//!
//! Promises: a length below 5 (a kind and a number, the least that version 3 has) or above [`LONGEST`] ends the stream, and
//! what follows is never looked at; memory grows with the bytes that arrived, never with a length that was declared;
//! where the bytes were split on their way changes nothing; a packet comes out as a range of what arrived.
//! Does not promise anything about bodies: `packet.rs` and `answer.rs` do.
//! Held by: the tests below and [`fuzz_sftp`](crate::fuzz_sftp).

use crate::sftp::wire::{Cursor, Malformed};
use bytes::{Bytes, BytesMut};

/// The longest packet, without its length field: OpenSSH's `SFTP_MAX_MSG_LENGTH`.
pub(crate) const LONGEST: usize = 256 * 1024;
/// The shortest: a kind and a number.
const SHORTEST: usize = 5;

/// One whole packet, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    bytes: Bytes,
}

impl Packet {
    /// Its kind.
    pub(crate) fn kind(&self) -> u8 {
        self.bytes.get(4).copied().unwrap_or_default()
    }

    /// What stands behind its kind.
    pub(crate) fn body(&self) -> Cursor {
        Cursor::new(self.bytes.slice(self.bytes.len().min(5)..))
    }

    /// All of it, its length included.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// The bytes of one direction that are not yet packets.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
    broken: Option<Malformed>,
}

impl Framer {
    /// Takes bytes in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Bytes that arrived and did not leave.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole packet, if it is there.
    ///
    /// # Errors
    /// [`Malformed::Length`], from then on always.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, Malformed> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let declared = u32::from_be_bytes(*length);
        let length = usize::try_from(declared).unwrap_or(usize::MAX);
        if !(SHORTEST..=LONGEST).contains(&length) {
            self.broken = Some(Malformed::Length(declared));
            self.buffer = BytesMut::new();
            return Err(Malformed::Length(declared));
        }
        if self.buffer.len() < length + 4 {
            return Ok(None);
        }
        let bytes = self.buffer.split_to(length + 4).freeze();
        if self.buffer.is_empty() {
            // An idle channel keeps no memory here.
            self.buffer = BytesMut::new();
        }
        Ok(Some(Packet { bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_end_the_stream_and_hide_nothing_behind_them() {
        for length in [0_u32, 1, 4, 262_145, u32::MAX] {
            let mut framer = Framer::default();
            framer.push(&length.to_be_bytes());
            framer.push(&[0, 0, 0, 5, 1, 0, 0, 0, 3]);
            assert_eq!(framer.next(), Err(Malformed::Length(length)));
            framer.push(&[0, 0, 0, 5, 1, 0, 0, 0, 3]);
            assert_eq!(framer.next(), Err(Malformed::Length(length)), "it stays broken");
            assert_eq!(framer.buffered(), 0, "and keeps no memory");
        }
    }

    #[test]
    fn a_packet_comes_out_however_it_was_split() {
        let bytes = [0, 0, 0, 5, 1, 0, 0, 0, 3, 0, 0, 0, 6, 9, 1, 2, 3, 4, 5];
        for at in 0..=bytes.len() {
            let mut framer = Framer::default();
            let mut out = Vec::new();
            for piece in [&bytes[..at], &bytes[at..]] {
                framer.push(piece);
                while let Some(packet) = framer.next().unwrap() {
                    out.push((packet.kind(), packet.bytes().len()));
                }
            }
            assert_eq!(out, [(1, 9), (9, 10)]);
        }
    }
}
