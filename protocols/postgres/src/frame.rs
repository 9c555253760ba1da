//! Bytes to frames, for both directions: the one place that trusts a length, and only after checking it.
//!
//! A frame is a tag, a length that counts itself, and a body (PostgreSQL protocol, "Message Formats"). [`FrameBuf`]
//! takes bytes as they arrive and gives frames out as ranges of what arrived, without copying. Promises:
//! - A tag that its [`Phase`] does not know, a length below 4 and a length above the tag's limit end the session; what
//!   follows is never looked at, so no frame can hide in another one.
//! - Memory grows with the bytes that arrived, never with a length that was declared. A frame of a kind the caller calls
//!   streamable and longer than [`STREAM_ABOVE`] comes out in [`Chunk`]s, so it is never whole in memory; a statement above its
//!   limit is dropped as it arrives and comes out as [`Next::Oversize`], in its place in the order.
//! - Where the bytes were split on their way changes nothing, except where chunks end.
//! - An empty buffer holds no memory, so an idle session costs none here.
//!
//! Does not promise: anything about bodies (`message.rs` does). A [`Frame`] shares the memory it arrived in with its
//! neighbours: whoever keeps one for long copies what it keeps.
//! Held by: `frame/tests.rs` and [`fuzz_frame`].

use bytes::{Buf, Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

mod phase;
#[cfg(test)]
mod tests;

pub use phase::Phase;

/// Bytes in front of a body: the tag and the length.
pub const HEADER: usize = 5;
/// Streamable frames longer than this come in chunks.
pub const STREAM_ABOVE: usize = 64 * 1024;
/// The longest frame the protocol has (PostgreSQL's `PQ_LARGE_MESSAGE_LIMIT`).
pub const LONGEST: usize = 0x3fff_ffff;
/// What one read takes in while a buffer is empty, before it takes memory of its own.
const SMALL_READ: usize = 4 * 1024;
/// What one read takes in at most.
const LARGE_READ: usize = 64 * 1024;

/// Limits on whole frames, in bytes of body and length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Query and Parse: the longest statement that is read. A longer one is refused, the session lives on.
    pub statement: usize,
    /// Bind: statement name and all parameters. A longer one is refused, the session lives on.
    pub bind: usize,
    /// A row or a piece of COPY data where it must be whole in memory, and a server's other long messages.
    pub row: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { statement: 1024 * 1024, bind: 16 * 1024 * 1024, row: 16 * 1024 * 1024 }
    }
}

/// One whole frame, exactly as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
}

impl Frame {
    /// A frame the gateway wrote itself: `bytes` must be exactly one.
    ///
    /// # Errors
    /// [`FrameError::Length`] when the length field does not say what is there.
    pub fn whole(bytes: Bytes) -> Result<Self, FrameError> {
        match header(&bytes) {
            Some((_, length))
                if usize::try_from(length).is_ok_and(|length| length >= 4 && length + 1 == bytes.len()) =>
            {
                Ok(Self { bytes })
            }
            Some((tag, length)) => Err(FrameError::Length { tag, length }),
            None => Err(FrameError::Length { tag: 0, length: 0 }),
        }
    }

    /// The kind of message.
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// The message without tag and length.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// The whole frame, tag and length included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole frame, tag and length included.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// A piece of a frame that is too long to hold. The pieces of one frame, joined, are the frame as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The kind of message.
    pub tag: u8,
    /// The piece. The first one begins with tag and length.
    pub bytes: Bytes,
    /// Whether the frame begins here.
    pub first: bool,
    /// Whether the frame ends here.
    pub last: bool,
}

impl Chunk {
    /// The piece without tag and length.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let skip = if self.first { HEADER } else { 0 };
        self.bytes.get(skip..).unwrap_or_default()
    }
}

/// Several whole frames of one kind, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The frames.
    pub bytes: Bytes,
    /// How many they are, at least one.
    pub frames: usize,
}

/// What the buffer holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// The stream broke the protocol. Nothing more comes out.
    Bad(FrameError),
    /// A piece of a streamable frame. Its other pieces come before anything else.
    Chunk(Chunk),
    /// A whole frame.
    Frame(Frame),
    /// Nothing whole; read more.
    NeedMore,
    /// A statement or Bind above its limit arrived and was dropped.
    Oversize {
        /// The kind of message.
        tag: u8,
        /// Its length field.
        length: usize,
        /// The limit it broke.
        limit: usize,
    },
}

/// How a stream broke the protocol. All of them end the session with 08P01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length cannot be that of a frame.
    #[error("invalid message length {length} for message type {}", printable(*tag))]
    Length {
        /// The kind of message.
        tag: u8,
        /// The length field.
        length: i32,
    },
    /// The kind of message is unknown or out of place.
    #[error("invalid frontend or backend message type {} here", printable(*tag))]
    Tag {
        /// The kind of message.
        tag: u8,
    },
    /// The message is longer than its kind may be.
    #[error("message type {} of {length} bytes is longer than {limit}", printable(*tag))]
    TooLong {
        /// The kind of message.
        tag: u8,
        /// Its length field.
        length: usize,
        /// The limit it broke.
        limit: usize,
    },
}

fn printable(tag: u8) -> String {
    if tag.is_ascii_graphic() { format!("'{}'", char::from(tag)) } else { format!("0x{tag:02x}") }
}

/// What is under way in the stream.
#[derive(Clone, Copy, Debug)]
enum State {
    Between,
    /// Pieces of this frame are being given out.
    Streaming {
        tag: u8,
        left: usize,
    },
    /// This frame is being dropped.
    Dropping {
        tag: u8,
        left: usize,
        length: usize,
        limit: usize,
    },
    Broken(FrameError),
}

/// The bytes of one direction that are not yet frames.
#[derive(Debug)]
pub struct FrameBuf {
    buffer: BytesMut,
    limits: FrameLimits,
    state: State,
    read: usize,
}

impl FrameBuf {
    /// An empty buffer. It takes no memory until bytes arrive.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self { buffer: BytesMut::new(), limits, state: State::Between, read: SMALL_READ }
    }

    /// Bytes that arrived and were not given out.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the stream may end here without having been cut off.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty() && matches!(self.state, State::Between)
    }

    /// Appends bytes that were read elsewhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or why there is none. `streamable` lists the kinds that may come in chunks; it matters only
    /// where a frame begins.
    pub fn next(&mut self, phase: Phase, streamable: &[u8]) -> Next {
        match self.state {
            State::Broken(error) => Next::Bad(error),
            State::Streaming { tag, left } => self.chunk(tag, left, false),
            State::Dropping { tag, left, length, limit } => self.drop_rest(tag, left, length, limit),
            State::Between => self.begin(phase, streamable),
        }
    }

    fn begin(&mut self, phase: Phase, streamable: &[u8]) -> Next {
        // The tag alone decides whether there is anything to wait for.
        let Some(&tag) = self.buffer.first() else {
            self.rest();
            return Next::NeedMore;
        };
        let Some(longest) = phase.longest(tag, &self.limits) else {
            return self.broken(FrameError::Tag { tag });
        };
        let Some((_, declared)) = header(&self.buffer) else { return Next::NeedMore };
        let length = match usize::try_from(declared) {
            Ok(length) if length >= 4 => length,
            Ok(_) | Err(_) => return self.broken(FrameError::Length { tag, length: declared }),
        };
        if length > LONGEST {
            return self.broken(FrameError::TooLong { tag, length, limit: LONGEST });
        }
        if length > STREAM_ABOVE && streamable.contains(&tag) {
            return self.chunk(tag, length + 1, true);
        }
        if length > longest {
            if phase.may_be_dropped(tag) {
                return self.drop_rest(tag, length + 1, length, longest);
            }
            return self.broken(FrameError::TooLong { tag, length, limit: longest });
        }
        if self.buffer.len() <= length {
            return Next::NeedMore;
        }
        Next::Frame(Frame { bytes: self.buffer.split_to(length + 1).freeze() })
    }

    fn chunk(&mut self, tag: u8, left: usize, first: bool) -> Next {
        let taken = left.min(self.buffer.len());
        if taken == 0 {
            self.rest();
            return Next::NeedMore;
        }
        let left = left - taken;
        self.state = if left == 0 { State::Between } else { State::Streaming { tag, left } };
        Next::Chunk(Chunk { tag, bytes: self.buffer.split_to(taken).freeze(), first, last: left == 0 })
    }

    fn drop_rest(&mut self, tag: u8, left: usize, length: usize, limit: usize) -> Next {
        let dropped = left.min(self.buffer.len());
        self.buffer.advance(dropped);
        let left = left - dropped;
        if left == 0 {
            self.state = State::Between;
            return Next::Oversize { tag, length, limit };
        }
        self.state = State::Dropping { tag, left, length, limit };
        self.rest();
        Next::NeedMore
    }

    fn broken(&mut self, error: FrameError) -> Next {
        self.state = State::Broken(error);
        self.buffer = BytesMut::new();
        Next::Bad(error)
    }

    /// Takes the whole frames of kind `tag` that stand at the front, up to about `most` bytes, in one piece. For rows
    /// that need no reading: one range instead of thousands of frames. None if no such frame is whole.
    pub fn run(&mut self, tag: u8, most: usize) -> Option<Run> {
        if !matches!(self.state, State::Between) {
            return None;
        }
        let (mut end, mut frames) = (0, 0);
        while let Some((next, length)) = self.buffer.get(end..).and_then(header) {
            let Some(length) = usize::try_from(length).ok().filter(|length| *length >= 4) else { break };
            let after = end + length + 1;
            if next != tag || length > self.limits.row || after > self.buffer.len() || (frames > 0 && after > most) {
                break;
            }
            end = after;
            frames += 1;
        }
        (frames > 0).then(|| Run { bytes: self.buffer.split_to(end).freeze(), frames })
    }

    /// Gives memory back that an empty buffer does not need.
    fn rest(&mut self) {
        if self.buffer.is_empty() && self.read <= SMALL_READ {
            self.buffer = BytesMut::new();
        }
    }

    /// Gives memory back and reads in small portions again. For when the session went quiet, such as at ReadyForQuery.
    pub fn idle(&mut self) {
        self.read = SMALL_READ;
        self.rest();
    }

    /// Reads once. Resolves to the number of bytes read; 0 is the end of the stream.
    ///
    /// # Errors
    /// What the stream said.
    pub fn poll_fill<R>(&mut self, cx: &mut Context<'_>, mut stream: Pin<&mut R>) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + ?Sized,
    {
        let taken = if self.buffer.capacity() == 0 {
            // Memory is taken only once there is something to put into it.
            let mut portion = [0; SMALL_READ];
            let mut portion = ReadBuf::new(&mut portion);
            ready!(stream.as_mut().poll_read(cx, &mut portion))?;
            self.buffer.extend_from_slice(portion.filled());
            portion.filled().len()
        } else {
            self.buffer.reserve(self.read);
            ready!(std::pin::pin!(stream.read_buf(&mut self.buffer)).poll(cx))?
        };
        if taken >= self.read {
            self.read = (self.read * 2).min(LARGE_READ);
        }
        Poll::Ready(Ok(taken))
    }

    /// [`FrameBuf::poll_fill`] for a caller that has nothing else to do. Cancel safe.
    ///
    /// # Errors
    /// What the stream said.
    pub async fn fill<R: AsyncRead + Unpin + ?Sized>(&mut self, stream: &mut R) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx, Pin::new(&mut *stream))).await
    }
}

fn header(bytes: &[u8]) -> Option<(u8, i32)> {
    let (tag, rest) = bytes.split_first()?;
    Some((*tag, i32::from_be_bytes(*rest.first_chunk::<4>()?)))
}

/// Feeds arbitrary bytes through every phase, whole and split, and checks that both readings agree and that what comes
/// out is what went in. Panics if they do not; for the fuzzer and the property tests.
pub fn fuzz_frame(data: &[u8]) {
    let limits = FrameLimits { statement: 64, bind: 128, row: 256 };
    let Some((&seed, data)) = data.split_first() else { return };
    for phase in Phase::ALL {
        let at_once = drain(limits, phase, std::iter::once(data));
        let step = usize::from(seed % 61) + 1;
        let in_steps = drain(limits, phase, data.chunks(step));
        assert_eq!(at_once, in_steps, "a split changed what was read in {phase:?}");
        let mut at = 0;
        for next in &at_once {
            match next {
                Next::Frame(frame) => {
                    assert_eq!(data.get(at..at + frame.bytes.len()), Some(frame.bytes.as_ref()), "not what arrived");
                    at += frame.bytes.len();
                }
                Next::Oversize { length, .. } => at += length + 1,
                Next::Bad(_) | Next::Chunk(_) | Next::NeedMore => {}
            }
        }
        assert!(at <= data.len(), "more came out than went in");
    }
}

/// What came out of a stream, with the pieces of streamed frames joined.
fn drain<'a>(limits: FrameLimits, phase: Phase, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Next> {
    let mut buffer = FrameBuf::new(limits);
    let (mut out, mut open) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.push(piece);
        loop {
            match buffer.next(phase, b"dD") {
                Next::NeedMore => break,
                Next::Chunk(chunk) => {
                    open.extend_from_slice(&chunk.bytes);
                    if chunk.last {
                        out.extend(Frame::whole(std::mem::take(&mut open).into()).map(Next::Frame));
                    }
                }
                bad @ Next::Bad(_) => {
                    if out.last() != Some(&bad) {
                        out.push(bad);
                    }
                    break;
                }
                other @ (Next::Frame(_) | Next::Oversize { .. }) => out.push(other),
            }
        }
    }
    out
}
