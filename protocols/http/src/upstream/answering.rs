//! The answer on its way to hyper: a head, then pieces through a channel of a few.
//!
//! Promises: the head comes first and once; data waits until hyper has taken what is before it; a body that was not
//! ended is an error to hyper, which then cuts the connection or resets the stream, but not before what was given of it
//! is written, or [`PARTING`] has passed; what was given to hyper keeps nothing else of the body in memory; a client that
//! goes away before the end is told to the exchange.
//! Held by: the tests of `upstream.rs`.

use crate::frame::{Head, ToClient};
use bytes::Bytes;
use http::{Response, header};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use portcullis_gate::{Outlet, Weight};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard, PollSender};

/// Pieces on their way: enough that hyper and the exchange work side by side.
const PIECES: usize = 4;
/// Bytes of one piece, so that a large text is not all of it on its way at once.
const PIECE: usize = 64 * 1024;
/// How long an answer that breaks off waits for a client to take what came before.
pub(super) const PARTING: Duration = Duration::from_secs(5);

/// The body of an answer: the gateway's own words, or what an exchange gives.
pub(crate) type ClientAnswer = Either<Full<Bytes>, Streamed>;

enum Piece {
    Data(Bytes),
    End,
}

/// Where an exchange's answer leaves.
pub(crate) struct ClientBody {
    head: Option<oneshot::Sender<Response<Streamed>>>,
    body: Option<PollSender<Piece>>,
    /// Goes to hyper with the head.
    receiver: Option<(mpsc::Receiver<Piece>, DropGuard)>,
    staged: VecDeque<ToClient>,
    weight: usize,
}

impl ClientBody {
    /// With the slot that takes the head, and what is told when hyper drops the body before its end.
    pub(crate) fn new(head: oneshot::Sender<Response<Streamed>>, gone: &CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES);
        Self {
            head: Some(head),
            body: Some(PollSender::new(sender)),
            receiver: Some((receiver, gone.clone().drop_guard())),
            staged: VecDeque::new(),
            weight: 0,
        }
    }

    fn begin(&mut self, head: Head) -> io::Result<()> {
        let (Some(slot), Some((receiver, guard))) = (self.head.take(), self.receiver.take()) else {
            return Err(io::Error::other("a second head"));
        };
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let mut response = Response::new(Streamed::new(receiver, guard, length));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        slot.send(response).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Ready once hyper has room for a piece; an error where it takes no more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        body.poll_reserve(cx).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        let body = self.body.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        body.send_item(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Puts back what hyper has no room for.
    fn unstage(&mut self, frame: ToClient) {
        self.weight += frame.weight();
        self.staged.push_front(frame);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(next) = self.staged.pop_front() else { return Poll::Ready(Ok(false)) };
        self.weight -= next.weight();
        match next {
            ToClient::Head(head) => self.begin(head)?,
            ToClient::Data(mut data) => {
                match self.poll_room(cx) {
                    Poll::Ready(room) => room?,
                    Poll::Pending => {
                        self.unstage(ToClient::Data(data));
                        return Poll::Pending;
                    }
                }
                let piece = if data.len() > PIECE {
                    // Copies: as a part of a large body each would keep all of it for as long as it waits to be written.
                    let piece = Bytes::copy_from_slice(&data.split_to(PIECE));
                    let rest = if data.len() > PIECE { data } else { Bytes::copy_from_slice(&data) };
                    self.unstage(ToClient::Data(rest));
                    piece
                } else {
                    data
                };
                if !piece.is_empty() {
                    self.send(Piece::Data(piece))?;
                }
            }
            ToClient::End => {
                match self.poll_room(cx) {
                    Poll::Ready(Ok(())) => self.send(Piece::End).unwrap_or_default(),
                    // It had all of what was announced and does not wait for more.
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => {
                        self.unstage(ToClient::End);
                        return Poll::Pending;
                    }
                }
                self.body = None;
            }
            ToClient::Abort => {
                self.body = None;
                self.head = None;
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl Outlet for ClientBody {
    type Frame = ToClient;

    fn stage(&mut self, frame: ToClient) {
        self.weight += frame.weight();
        self.staged.push_back(frame);
    }

    fn staged(&self) -> usize {
        self.weight
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while ready!(self.poll_next(cx))? {}
        Poll::Ready(Ok(()))
    }
}

/// An answer in one piece.
pub(crate) struct Once<T>(pub(crate) T);

impl<T> Weight for Once<T> {
    fn weight(&self) -> usize {
        64
    }
}

/// Where such an answer leaves.
pub(crate) struct Slot<T> {
    slot: Option<oneshot::Sender<T>>,
    staged: Option<T>,
}

impl<T> Slot<T> {
    pub(crate) const fn new(slot: oneshot::Sender<T>) -> Self {
        Self { slot: Some(slot), staged: None }
    }
}

impl<T> Outlet for Slot<T> {
    type Frame = Once<T>;

    fn stage(&mut self, frame: Once<T>) {
        self.staged = Some(frame.0);
    }

    fn staged(&self) -> usize {
        usize::from(self.staged.is_some())
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (self.staged.take(), self.slot.take()) {
            (Some(said), Some(slot)) => Poll::Ready(slot.send(said).map_err(|_| io::ErrorKind::BrokenPipe.into())),
            (None, slot) => {
                self.slot = slot;
                Poll::Ready(Ok(()))
            }
            (Some(_), None) => Poll::Ready(Err(io::Error::other("a second answer"))),
        }
    }
}

/// The body was not ended: the connection is not to look as if it was.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokeOff;

/// A piece in hyper's hands, which drops it once it is written.
struct Given {
    data: Bytes,
    _unwritten: Arc<oneshot::Sender<Infallible>>,
}

impl AsRef<[u8]> for Given {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// An exchange's answer, as hyper reads it.
pub(crate) struct Streamed {
    receiver: mpsc::Receiver<Piece>,
    guard: Option<DropGuard>,
    /// Bytes that were announced and are still to come.
    left: Option<u64>,
    /// Every piece that hyper has not written holds one, too.
    unwritten: Option<Arc<oneshot::Sender<Infallible>>>,
    /// Closed when the last of those is gone.
    written: oneshot::Receiver<Infallible>,
    parting: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Streamed {
    fn new(receiver: mpsc::Receiver<Piece>, guard: DropGuard, length: Option<u64>) -> Self {
        let (unwritten, written) = oneshot::channel();
        let (guard, unwritten) = (Some(guard), Some(Arc::new(unwritten)));
        Self { receiver, guard, left: length, unwritten, written, parting: None, ended: false }
    }

    /// Pending for as long as an error would take back what was said before, which may say why: at one hyper drops what
    /// it has not written, and over HTTP/2 another task writes it.
    fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unwritten.take().is_some() {
            self.parting = Some(Box::pin(sleep(PARTING)));
            // Over HTTP/1.1 it copies small pieces, and writes those where it has to wait.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match (Pin::new(&mut self.written).poll(cx), &mut self.parting) {
            (Poll::Pending, Some(parting)) => parting.as_mut().poll(cx),
            (Poll::Pending, None) | (Poll::Ready(_), _) => Poll::Ready(()),
        }
    }

    fn give(&self, data: Bytes) -> Bytes {
        match &self.unwritten {
            Some(unwritten) => Bytes::from_owner(Given { data, _unwritten: Arc::clone(unwritten) }),
            None => data,
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.receiver.poll_recv(cx)) {
            Some(Piece::Data(data)) => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(self.give(data)))))
            }
            Some(Piece::End) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => {
                ready!(self.poll_parted(cx));
                self.ended = true;
                Poll::Ready(Some(Err(BrokeOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // One that was read to its end, or to its announced length, was not left.
        if (self.ended || self.left == Some(0))
            && let Some(guard) = self.guard.take()
        {
            guard.disarm();
        }
    }
}
