//! Frames (RFC 6455 §5), read in one way only and written in one.
//!
//! Promises: no reserved bit, no reserved opcode; lengths in their shortest form; a control frame is whole and has 125 bytes
//! at most; what a client sends is masked and what a backend sends is not. A length is believed only as far as there is room
//! for it, and nothing is set aside for bytes that have not come. How the bytes were cut changes nothing.
//! Does not promise anything of the order of frames: `message.rs` does. Held by: the tests below, and `fuzz/websocket.rs`.

use super::close::Code;
use bytes::{Buf as _, BufMut as _, BytesMut};

/// Bytes before the payload at most.
pub(crate) const LARGEST_HEAD: usize = 14;
/// Bytes of a control frame's payload.
const CONTROL: u64 = 125;

/// Whose frames are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It masks what it sends.
    Client,
    /// It does not.
    Backend,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    const fn of(opcode: u8) -> Option<Self> {
        Some(match opcode {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn opcode(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    const fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// A peer's bytes can be read no further, and what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) code: Code,
    pub(crate) why: &'static str,
}

impl Broken {
    pub(super) const fn protocol(why: &'static str) -> Self {
        Self { code: Code::PROTOCOL, why }
    }
}

/// A frame, whole and unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Nothing of its message follows.
    pub(super) last: bool,
    pub(super) kind: Kind,
    pub(super) payload: BytesMut,
}

/// What stands before a payload.
struct Head {
    last: bool,
    kind: Kind,
    size: usize,
    length: u64,
    mask: Option<[u8; 4]>,
}

/// The frames of one side.
#[derive(Debug)]
pub(super) struct Frames {
    from: Peer,
    held: BytesMut,
}

impl Frames {
    pub(super) fn of(from: Peer) -> Self {
        Self { from, held: BytesMut::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Throws away what came and is not read.
    pub(super) fn clear(&mut self) {
        self.held = BytesMut::new();
    }

    /// Bytes that came and are not read.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether what is to be read next belongs to a message.
    pub(super) fn is_before_data(&self) -> bool {
        self.held.first().and_then(|first| Kind::of(first & 0x0f)).is_some_and(|kind| !kind.is_control())
    }

    /// The next frame, where it is whole. `room` is how many bytes of data it may hold.
    ///
    /// # Errors
    /// [`Broken`]: nothing behind it can be read.
    pub(super) fn next(&mut self, room: usize) -> Result<Option<Frame>, Broken> {
        let Some(Head { last, kind, size, length, mask }) = head(&self.held, self.from)? else { return Ok(None) };
        let too_large = Broken { code: Code::TOO_LARGE, why: "a message is larger than its limit" };
        let length = usize::try_from(length).map_err(|_| too_large)?;
        if !kind.is_control() && length > room {
            return Err(too_large);
        }
        if self.held.len() - size < length {
            return Ok(None);
        }
        self.held.advance(size);
        let mut payload = self.held.split_to(length);
        if let Some(mask) = mask {
            apply(mask, &mut payload);
        }
        Ok(Some(Frame { last, kind, payload }))
    }
}

/// Reads what stands before a payload; `None` where more of it is to come.
fn head(bytes: &[u8], from: Peer) -> Result<Option<Head>, Broken> {
    let [first, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Broken::protocol("a frame with a reserved bit: no extension was agreed on"));
    }
    let kind = Kind::of(first & 0x0f).ok_or(Broken::protocol("a frame of a reserved kind"))?;
    let last = first & 0x80 != 0;
    if kind.is_control() && !last {
        return Err(Broken::protocol("a control frame in pieces"));
    }
    let [second, rest @ ..] = rest else { return Ok(None) };
    let masked = second & 0x80 != 0;
    match (from, masked) {
        (Peer::Client, true) | (Peer::Backend, false) => {}
        (Peer::Client, false) => return Err(Broken::protocol("a frame of a client that is not masked")),
        (Peer::Backend, true) => return Err(Broken::protocol("a frame of a server that is masked")),
    }
    let Some((length, rest)) = length(second & 0x7f, rest)? else { return Ok(None) };
    if kind.is_control() && length > CONTROL {
        return Err(Broken::protocol("a control frame of more than 125 bytes"));
    }
    let (mask, rest) = match (masked, rest.split_first_chunk::<4>()) {
        (false, _) => (None, rest),
        (true, Some((mask, rest))) => (Some(*mask), rest),
        (true, None) => return Ok(None),
    };
    Ok(Some(Head { last, kind, size: bytes.len() - rest.len(), length, mask }))
}

/// The length that a frame says, and what stands behind it.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Broken> {
    let not_shortest = Broken::protocol("a length that is not in its shortest form");
    match short {
        127 => {
            let Some((long, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let long = u64::from_be_bytes(*long);
            if long > i64::MAX.unsigned_abs() {
                return Err(Broken::protocol("a length with its highest bit set"));
            }
            if long <= u64::from(u16::MAX) { Err(not_shortest) } else { Ok(Some((long, rest))) }
        }
        126 => {
            let Some((long, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            let long = u64::from(u16::from_be_bytes(*long));
            if long <= CONTROL { Err(not_shortest) } else { Ok(Some((long, rest))) }
        }
        short => Ok(Some((u64::from(short), rest))),
    }
}

/// Masks, or takes a mask off: it is the same.
fn apply(mask: [u8; 4], payload: &mut [u8]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Writes a frame that is a whole message or control frame.
pub(crate) fn write(kind: Kind, payload: &[u8], mask: Option<[u8; 4]>, out: &mut BytesMut) {
    out.reserve(LARGEST_HEAD + payload.len());
    out.put_u8(0x80 | kind.opcode());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => out.put_u8(masked | short),
        (_, Ok(length)) => {
            out.put_u8(masked | 126);
            out.put_u16(length);
        }
        (_, Err(_)) => {
            out.put_u8(masked | 127);
            out.put_u64(payload.len() as u64);
        }
    }
    if let Some(mask) = mask {
        out.put_slice(&mask);
    }
    let begun = out.len();
    out.put_slice(payload);
    if let (Some(mask), Some(payload)) = (mask, out.get_mut(begun..)) {
        apply(mask, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn read(from: Peer, bytes: &[u8], room: usize) -> Result<Vec<Frame>, Broken> {
        let mut frames = Frames::of(from);
        frames.feed(bytes);
        let mut read = Vec::new();
        while let Some(frame) = frames.next(room)? {
            read.push(frame);
        }
        Ok(read)
    }

    /// RFC 6455 §5.7.
    #[test]
    fn the_examples_of_the_standard_are_read_and_written() {
        let hello = |from, bytes: &[u8]| {
            let frames = read(from, bytes, 1 << 20).unwrap();
            assert_eq!(frames.len(), 1);
            let frame = &frames[0];
            assert!(frame.last && frame.payload == "Hello", "{frame:?}");
            frame.kind
        };
        let (unmasked, masked) =
            (b"\x81\x05Hello", [&[0x81, 0x85][..], &MASK, &[0x7f, 0x9f, 0x4d, 0x51, 0x58]].concat());
        assert_eq!(hello(Peer::Backend, unmasked), Kind::Text);
        assert_eq!(hello(Peer::Client, &masked), Kind::Text);
        assert_eq!(hello(Peer::Backend, b"\x89\x05Hello"), Kind::Ping);
        for (mask, written) in [(None, &unmasked[..]), (Some(MASK), &masked[..])] {
            let mut out = BytesMut::new();
            write(Kind::Text, b"Hello", mask, &mut out);
            assert_eq!(out, written);
        }
        let pieces = read(Peer::Backend, b"\x01\x03Hel\x80\x02lo", 99).unwrap();
        assert_eq!(
            pieces.iter().map(|frame| (frame.last, frame.kind)).collect::<Vec<_>>(),
            [(false, Kind::Text), (true, Kind::Continuation)]
        );
    }

    #[test]
    fn every_length_is_written_in_its_shortest_form_and_read_again_however_it_was_cut() {
        for length in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
            let payload: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            for (peer, mask) in [(Peer::Client, Some(MASK)), (Peer::Backend, None)] {
                let mut out = BytesMut::new();
                write(Kind::Binary, &payload, mask, &mut out);
                let head = out.len() - payload.len();
                assert!(head <= LARGEST_HEAD);
                for cut in (0..head + 3).chain([out.len() - 1]).filter(|cut| *cut < out.len()) {
                    let mut frames = Frames::of(peer);
                    frames.feed(&out[..cut]);
                    assert_eq!(frames.next(payload.len()), Ok(None), "{cut} of {length}");
                    frames.feed(&out[cut..]);
                    let frame = frames.next(payload.len()).unwrap().unwrap();
                    assert!(frame.last && frame.kind == Kind::Binary && frame.payload == payload);
                    assert_eq!(frames.held(), 0);
                }
            }
        }
    }

    #[test]
    fn every_first_byte_is_one_that_the_standard_gives_or_an_error() {
        for first in 0..=u8::MAX {
            let read = read(Peer::Backend, &[first, 0], 9);
            let reserved = first & 0x70 != 0 || !matches!(first & 0x0f, 0 | 1 | 2 | 8 | 9 | 10);
            let cut_control = first & 0x88 == 0x08;
            assert_eq!(read.is_err(), reserved || cut_control, "{first:#x}");
            if let Err(broken) = read {
                assert_eq!(broken.code, Code::PROTOCOL);
            }
        }
    }

    #[test]
    fn whoever_masks_the_wrong_way_is_not_read() {
        assert!(read(Peer::Client, b"\x81\x05Hello", 9).is_err());
        assert!(read(Peer::Backend, &[0x81, 0x80, 0, 0, 0, 0], 9).is_err());
        assert_eq!(read(Peer::Client, &[0x81, 0x80, 0, 0, 0, 0], 9).unwrap().len(), 1);
    }

    #[test]
    fn a_length_that_lies_is_refused_before_its_bytes_come() {
        for (bytes, code) in [
            // Not the shortest form.
            (&[0x82, 126, 0, 125][..], Code::PROTOCOL),
            (&[0x82, 126, 0, 0], Code::PROTOCOL),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Code::PROTOCOL),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1], Code::PROTOCOL),
            // Its highest bit.
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0], Code::PROTOCOL),
            // More than there is room for.
            (&[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Code::TOO_LARGE),
            (&[0x82, 126, 0x03, 0xe9], Code::TOO_LARGE),
            // A control frame is short.
            (&[0x89, 126, 0, 126], Code::PROTOCOL),
            (&[0x88, 127, 0, 0, 0, 0, 0, 1, 0, 0], Code::PROTOCOL),
        ] {
            assert_eq!(read(Peer::Backend, bytes, 1000).map_err(|broken| broken.code), Err(code), "{bytes:?}");
        }
        assert_eq!(read(Peer::Backend, &[0x82, 126, 0x03, 0xe8], 1000).unwrap(), []);
        // There is always room for a control frame.
        assert_eq!(read(Peer::Backend, b"\x89\x02hi", 0).unwrap().len(), 1);
    }

    #[test]
    fn what_comes_next_is_known_by_its_first_byte() {
        let mut frames = Frames::of(Peer::Backend);
        assert!(!frames.is_before_data());
        frames.feed(b"\x89\x00\x81\x00");
        assert!(!frames.is_before_data());
        assert!(frames.next(9).unwrap().is_some() && frames.is_before_data());
    }
}
