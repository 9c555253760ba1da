//! Content codings (RFC 9110 §8.4.1, RFC 7932, RFC 8878), decoded as they come.
//!
//! Promises: one layer at most; what is decoded never passes [`Caps`], whatever was sent; how the encoded bytes were cut
//! changes nothing of what comes out; an end that is missing, bytes behind the end and a wrong check sum are errors, so a
//! text that is whole here was whole there. `deflate` is read in both of the forms that servers send (zlib, as the RFC
//! says, and bare).
//! Does not promise to read more than one member or frame: two readers may differ on what follows the first.
//! Held by: the tests below.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};
use std::fmt;
use std::io::Write as _;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// Bytes decoded at a time.
const PIECE: usize = 16 * 1024;
/// The window of zstd that HTTP allows, as a power of two (RFC 9659 §3).
const ZSTD_WINDOW: u32 = 23;
/// What may be decoded beyond the ratio: small texts that repeat themselves are no bombs.
const GRACE: u64 = 64 * 1024;
/// How many bytes one encoded byte of a request may stand for.
const REQUEST_RATIO: u64 = 20;

/// A coding, other than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Why something cannot be decoded, in words the client may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("its content coding is not one that the gateway reads")]
    Unknown,
    #[error("it has more than one content coding")]
    Layered,
    #[error("it is not what its content coding says")]
    Malformed,
    #[error("it ends before its content coding does")]
    Truncated,
    #[error("bytes follow the end of its content coding")]
    Trailing,
    #[error("it grows beyond its limit when it is decoded")]
    TooLarge,
}

impl Coding {
    /// What `Content-Encoding` says; `None` where nothing is encoded.
    ///
    /// # Errors
    /// [`Undecodable::Unknown`], [`Undecodable::Layered`].
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Undecodable> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() || value.as_bytes().contains(&b',') {
            return Err(Undecodable::Layered);
        }
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "br" => Ok(Some(Self::Brotli)),
            "zstd" => Ok(Some(Self::Zstd)),
            _ => Err(Undecodable::Unknown),
        }
    }
}

/// How much may come out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Bytes in all.
    pub(crate) decoded: u64,
    /// Bytes for each encoded one, where there are many.
    pub(crate) ratio: u64,
}

/// Decodes one text.
pub(crate) struct Decoder {
    inner: Inner,
    caps: Caps,
    taken: u64,
    given: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed(Undecodable),
}

enum Inner {
    Identity,
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    /// Which of the two forms is not known yet: the first byte is here, if it has come.
    Deflate(Option<u8>),
    Inflate(Box<Decompress>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(DCtx<'static>),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("taken", &self.taken).field("given", &self.given).finish_non_exhaustive()
    }
}

/// What one step of a decoder did.
struct Step {
    taken: usize,
    given: usize,
    ended: bool,
}

impl Decoder {
    /// Of a text with this coding.
    pub(crate) fn new(coding: Option<Coding>, caps: Caps) -> Self {
        let mut state = State::Running;
        let inner = match coding {
            None => Inner::Identity,
            Some(Coding::Gzip) => Inner::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            Some(Coding::Deflate) => Inner::Deflate(None),
            Some(Coding::Brotli) => {
                let alloc = StandardAlloc::default;
                Inner::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            Some(Coding::Zstd) => {
                let made = DCtx::try_create().and_then(|mut made| {
                    made.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).is_ok().then_some(made)
                });
                made.map_or_else(
                    || {
                        state = State::Failed(Undecodable::Unknown);
                        Inner::Identity
                    },
                    Inner::Zstd,
                )
            }
        };
        Self { inner, caps, taken: 0, given: 0, state }
    }

    /// Decodes the next bytes, behind what is in `out` already.
    ///
    /// # Errors
    /// [`Undecodable`], and again for whatever is fed after it.
    pub(crate) fn feed(&mut self, mut data: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
        while self.step(&mut data, out, usize::MAX)? {}
        Ok(())
    }

    /// Decodes some of the next bytes, which it takes out of `data`: about `most` of what comes out, and half a megabyte
    /// beyond it at the most. Whether there is more: with `data` as it is left then, before anything else is fed.
    ///
    /// # Errors
    /// [`Undecodable`], and again for whatever is fed after it.
    pub(crate) fn feed_some(&mut self, data: &mut Bytes, out: &mut Vec<u8>, most: usize) -> Result<bool, Undecodable> {
        let mut left = data.as_ref();
        let more = self.step(&mut left, out, most);
        let left = left.len();
        data.advance(data.len() - left);
        more
    }

    fn step(&mut self, data: &mut &[u8], out: &mut Vec<u8>, most: usize) -> Result<bool, Undecodable> {
        let fed = self.run(data, out, most);
        if let Err(why) = fed {
            self.state = State::Failed(why);
        }
        fed
    }

    /// The encoded bytes are over.
    ///
    /// # Errors
    /// [`Undecodable::Truncated`], or what failed before.
    pub(crate) fn end(&mut self) -> Result<(), Undecodable> {
        let whole = match (self.state, &mut self.inner) {
            (State::Failed(why), _) => Err(why),
            (State::Running, Inner::Identity) | (State::Done, _) => Ok(()),
            (State::Running, Inner::Gzip(_)) if self.taken == 0 => Err(Undecodable::Truncated),
            // It counts and sums up what it gave.
            (State::Running, Inner::Gzip(decoder)) => match decoder.try_finish() {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Undecodable::Truncated),
                Err(_) => Err(Undecodable::Malformed),
            },
            (State::Running, _) => Err(Undecodable::Truncated),
        };
        self.state = whole.map_or_else(State::Failed, |()| State::Done);
        whole
    }

    /// Whether it stopped for what came out, and not for want of more.
    fn run(&mut self, data: &mut &[u8], out: &mut Vec<u8>, most: usize) -> Result<bool, Undecodable> {
        if let State::Failed(why) = self.state {
            return Err(why);
        }
        self.choose_deflate(data, out)?;
        let (mut piece, before) = ([0; PIECE], out.len());
        loop {
            if self.state == State::Done {
                return if data.is_empty() { Ok(false) } else { Err(Undecodable::Trailing) };
            }
            if let Inner::Gzip(decoder) = &mut self.inner {
                // What it gives is taken out of it below, so that a limit is seen between two pieces.
                let part = data.get(..data.len().min(512)).unwrap_or_default();
                let taken = gzip(decoder, part)?;
                *data = data.get(taken..).unwrap_or_default();
                self.taken += taken as u64;
                let given = std::mem::take(decoder.get_mut());
                self.give(&given, out)?;
                if data.is_empty() {
                    return Ok(false);
                }
                if out.len() - before >= most {
                    return Ok(true);
                }
                continue;
            }
            let step = self.inner.step(data, &mut piece)?;
            *data = data.get(step.taken..).unwrap_or_default();
            self.taken += step.taken as u64;
            self.give(piece.get(..step.given).unwrap_or_default(), out)?;
            if step.ended {
                self.state = State::Done;
            } else if step.taken == 0 && step.given == 0 {
                // It wants more, or is stuck in the middle of what it was given.
                return if data.is_empty() { Ok(false) } else { Err(Undecodable::Malformed) };
            }
            if out.len() - before >= most {
                return Ok(true);
            }
        }
    }

    /// The first two bytes say which form it is: those of zlib (RFC 1950 §2.2) no bare stream begins with, for its
    /// padding would not be zero.
    fn choose_deflate(&mut self, data: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
        while let Inner::Deflate(first) = self.inner {
            let Some((&byte, rest)) = data.split_first() else { return Ok(()) };
            let Some(first) = first else {
                self.inner = Inner::Deflate(Some(byte));
                *data = rest;
                continue;
            };
            let zlib = first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, byte]).is_multiple_of(31);
            self.inner = Inner::Inflate(Box::new(Decompress::new(zlib)));
            // One byte decodes to nothing, or to a whole empty text.
            let mut first: &[u8] = &[first];
            self.run(&mut first, out, usize::MAX)?;
        }
        Ok(())
    }

    fn give(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
        self.given += piece.len() as u64;
        let by_ratio = self.taken.saturating_mul(self.caps.ratio).saturating_add(GRACE);
        let encoded = !matches!(self.inner, Inner::Identity);
        if self.given > self.caps.decoded || (encoded && self.given > by_ratio) {
            return Err(Undecodable::TooLarge);
        }
        out.extend_from_slice(piece);
        Ok(())
    }
}

/// What a gzip decoder takes of these bytes.
fn gzip(decoder: &mut flate2::write::GzDecoder<Vec<u8>>, data: &[u8]) -> Result<usize, Undecodable> {
    if data.is_empty() {
        return Ok(0);
    }
    match decoder.write(data) {
        // Its trailer is behind it: nothing more is part of it.
        Ok(0) => Err(Undecodable::Trailing),
        Ok(taken) => {
            // What it decoded leaves its own buffer.
            decoder.flush().map_err(|_| Undecodable::Malformed)?;
            Ok(taken)
        }
        Err(_) => Err(Undecodable::Malformed),
    }
}

impl Inner {
    /// The next piece; ended where the coding says so.
    fn step(&mut self, data: &[u8], piece: &mut [u8; PIECE]) -> Result<Step, Undecodable> {
        match self {
            Self::Identity => {
                let taken = data.len().min(PIECE);
                if let (Some(to), Some(from)) = (piece.get_mut(..taken), data.get(..taken)) {
                    to.copy_from_slice(from);
                }
                Ok(Step { taken, given: taken, ended: false })
            }
            // Both are met before.
            Self::Gzip(_) | Self::Deflate(_) => Ok(Step { taken: 0, given: 0, ended: false }),
            Self::Inflate(inflate) => {
                let before = (inflate.total_in(), inflate.total_out());
                let status =
                    inflate.decompress(data, piece, FlushDecompress::None).map_err(|_| Undecodable::Malformed)?;
                let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
                Ok(Step {
                    taken: count(inflate.total_in(), before.0),
                    given: count(inflate.total_out(), before.1),
                    ended: status == Status::StreamEnd,
                })
            }
            Self::Brotli(state) => brotli(state, data, piece),
            Self::Zstd(decoder) => {
                let (mut from, mut to) = (InBuffer::around(data), OutBuffer::around(piece.as_mut_slice()));
                let left = decoder.decompress_stream(&mut to, &mut from).map_err(|_| Undecodable::Malformed)?;
                let (taken, given) = (from.pos(), to.pos());
                // Nothing taken and nothing left is the rest before the first byte.
                Ok(Step { taken, given, ended: left == 0 && taken + given > 0 })
            }
        }
    }
}

fn brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    data: &[u8],
    piece: &mut [u8; PIECE],
) -> Result<Step, Undecodable> {
    let (mut left, mut taken, mut room, mut given, mut all) = (data.len(), 0, PIECE, 0, 0);
    let result = BrotliDecompressStream(&mut left, &mut taken, data, &mut room, &mut given, piece, &mut all, state);
    match result {
        BrotliResult::ResultSuccess => Ok(Step { taken, given, ended: true }),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(Step { taken, given, ended: false }),
        BrotliResult::ResultFailure => Err(Undecodable::Malformed),
    }
}

/// The body of a request, decoded: `gzip` or nothing, and never much more than was sent.
///
/// # Errors
/// [`Undecodable`].
pub(crate) fn request(coding: Option<Coding>, body: Bytes, most: u64) -> Result<Bytes, Undecodable> {
    match coding {
        None => return if body.len() as u64 > most { Err(Undecodable::TooLarge) } else { Ok(body) },
        Some(Coding::Gzip) => {}
        Some(Coding::Deflate | Coding::Brotli | Coding::Zstd) => return Err(Undecodable::Unknown),
    }
    // The ratio is over the whole: it is all here.
    let ratio = (body.len() as u64).saturating_mul(REQUEST_RATIO);
    let mut decoder = Decoder::new(coding, Caps { decoded: most.min(ratio), ratio: u64::MAX });
    let mut out = Vec::new();
    decoder.feed(&body, &mut out)?;
    decoder.end()?;
    Ok(out.into())
}

/// Feeds bytes to every coding, whole and in pieces: they must agree.
#[doc(hidden)]
pub fn fuzz_coding(data: &[u8]) {
    let caps = Caps { decoded: 1 << 20, ratio: u64::MAX };
    let Some((&cut, data)) = data.split_first() else { return };
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        let decode = |cut: usize| {
            let (mut decoder, mut out) = (Decoder::new(Some(coding), caps), Vec::new());
            let fed = data.chunks(cut.max(1)).try_for_each(|piece| decoder.feed(piece, &mut out));
            fed.and_then(|()| decoder.end()).map(|()| out).ok()
        };
        assert_eq!(decode(data.len()), decode(usize::from(cut)), "{coding:?}");
    }
}

#[cfg(test)]
mod tests;
