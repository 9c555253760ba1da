//! The writing halves of a channel, as the gate's writers take them.
//!
//! Promises: messages leave whole and in order; data leaves only into the peer's window, so nothing piles up in the
//! library and one channel that is not read stalls none but itself; a batch is one future, not one for each message.
//! Does not promise to notice that the channel is gone while it waits for a window: the channel's task reads the other
//! half too, and drops this one.
//! What stands on no channel (another one, a listener) leaves by [`carry_out`].
//! Only [`Upstream`](portcullis_gate::Upstream) and [`Downstream`](portcullis_gate::Downstream) call these.
//! Held by: `tests/it/ssh_flow.rs` of the binary.

use crate::frame::{ToClient, ToTarget};
use futures_util::future::BoxFuture;
use portcullis_gate::{Cleared, Outlet, Session, Upstream, Weight as _};
use russh::{ChannelWriteHalf, client, server};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

type Sending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The writing half of a target's channel.
pub(crate) struct TargetChannel {
    half: Arc<ChannelWriteHalf<client::Msg>>,
    batch: Batch<ToTarget>,
}

/// The writing half of a client's channel.
pub(crate) struct ClientChannel {
    half: Arc<ChannelWriteHalf<server::Msg>>,
    handle: server::Handle,
    batch: Batch<ToClient>,
}

struct Batch<F> {
    frames: Vec<F>,
    staged: usize,
    sending: Option<Sending>,
}

impl<F> Batch<F> {
    const fn new() -> Self {
        Self { frames: Vec::new(), staged: 0, sending: None }
    }

    fn stage(&mut self, frame: F, weight: usize) {
        self.staged += weight;
        self.frames.push(frame);
    }

    /// Sends what is staged by the future that `send` makes of it.
    fn poll(&mut self, cx: &mut Context<'_>, send: impl Fn(Vec<F>) -> Sending) -> Poll<io::Result<()>> {
        loop {
            if let Some(sending) = &mut self.sending {
                let sent = ready!(sending.as_mut().poll(cx));
                self.sending = None;
                sent?;
            }
            if self.frames.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.staged = 0;
            self.sending = Some(send(std::mem::take(&mut self.frames)));
        }
    }

    /// Staged, or on its way and not yet taken.
    fn staged(&self) -> usize {
        self.staged + usize::from(self.sending.is_some())
    }
}

impl TargetChannel {
    pub(crate) fn new(half: ChannelWriteHalf<client::Msg>) -> Self {
        Self { half: Arc::new(half), batch: Batch::new() }
    }
}

impl ClientChannel {
    pub(crate) fn new(half: ChannelWriteHalf<server::Msg>, handle: server::Handle) -> Self {
        Self { half: Arc::new(half), handle, batch: Batch::new() }
    }
}

impl Outlet for TargetChannel {
    type Frame = ToTarget;

    fn stage(&mut self, frame: ToTarget) {
        let weight = frame.weight();
        self.batch.stage(frame, weight);
    }

    fn staged(&self) -> usize {
        self.batch.staged()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let half = &self.half;
        self.batch.poll(cx, |frames| {
            let half = Arc::clone(half);
            Box::pin(async move {
                for frame in frames {
                    send_to_target(&half, frame).await.map_err(gone)?;
                }
                Ok(())
            })
        })
    }
}

impl Outlet for ClientChannel {
    type Frame = ToClient;

    fn stage(&mut self, frame: ToClient) {
        let weight = frame.weight();
        self.batch.stage(frame, weight);
    }

    fn staged(&self) -> usize {
        self.batch.staged()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (half, handle) = (&self.half, &self.handle);
        self.batch.poll(cx, |frames| {
            let (half, handle) = (Arc::clone(half), handle.clone());
            Box::pin(async move {
                for frame in frames {
                    send_to_client(&half, &handle, frame).await?;
                }
                Ok(())
            })
        })
    }
}

type Act<T> = Box<dyn FnOnce(ToTarget) -> BoxFuture<'static, T> + Send>;

/// One thing that goes to a target and stands on no channel: it is done once, and what came of it is given back.
struct Deed<T> {
    act: Option<Act<T>>,
    acting: Option<BoxFuture<'static, T>>,
    done: Option<oneshot::Sender<T>>,
}

impl<T> Outlet for Deed<T> {
    type Frame = ToTarget;

    fn stage(&mut self, frame: ToTarget) {
        self.acting = self.act.take().map(|act| act(frame));
    }

    fn staged(&self) -> usize {
        usize::from(self.acting.is_some())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(acting) = &mut self.acting {
            let did = ready!(acting.as_mut().poll(cx));
            self.acting = None;
            if let Some(done) = self.done.take() {
                // Where nobody waits for it any more it is dropped: a channel closes by that.
                done.send(did).ok();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Does what was cleared, once its record is kept; `None` where that cannot be.
pub(crate) async fn carry_out<T: Send + 'static>(
    session: &Session,
    cleared: Cleared<ToTarget>,
    act: impl FnOnce(ToTarget) -> BoxFuture<'static, T> + Send + 'static,
) -> Option<T> {
    let (slot, done) = oneshot::channel();
    let deed = Deed { act: Some(Box::new(act)), acting: None, done: Some(slot) };
    let mut up = Upstream::new(deed, session);
    up.push(cleared);
    poll_fn(|cx| up.poll_send(cx)).await.ok()?;
    done.await.ok()
}

fn gone<E>(_: E) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Replies are always asked for: the library does not say whether the client wanted one, and drops those that it did
/// not want.
async fn send_to_target(half: &ChannelWriteHalf<client::Msg>, frame: ToTarget) -> Result<(), russh::Error> {
    match frame {
        ToTarget::Pty(terminal) => {
            let size = terminal.size;
            let (term, modes) = (&terminal.term, &terminal.modes);
            half.request_pty(true, term, size.columns, size.rows, size.width, size.height, modes).await
        }
        // No reply: a target that does not take the variable goes on without it, as it does for any client.
        ToTarget::Env { name, value } => half.set_env(false, name, value).await,
        ToTarget::Exec(command) => half.exec(true, command).await,
        ToTarget::Shell => half.request_shell(true).await,
        ToTarget::Subsystem(name) => half.request_subsystem(true, name).await,
        ToTarget::Data(data) => half.data_bytes(data).await,
        ToTarget::Eof => half.eof().await,
        ToTarget::Resize(size) => half.window_change(size.columns, size.rows, size.width, size.height).await,
        ToTarget::Signal(signal) => half.signal(signal).await,
        ToTarget::Close => half.close().await,
        // These are no channel's messages, and never stand on one.
        ToTarget::Connect { .. } | ToTarget::Listen { .. } | ToTarget::Unlisten { .. } | ToTarget::Accept => {
            Err(russh::Error::Inconsistent)
        }
    }
}

async fn send_to_client(
    half: &ChannelWriteHalf<server::Msg>,
    handle: &server::Handle,
    frame: ToClient,
) -> io::Result<()> {
    let id = half.id();
    match frame {
        ToClient::Data(data) => half.data_bytes(data).await.map_err(gone),
        ToClient::Extended(kind, data) => half.extended_data_bytes(kind, data).await.map_err(gone),
        ToClient::ExitStatus(status) => half.exit_status(status).await.map_err(gone),
        ToClient::ExitSignal { signal, core_dumped, message } => {
            handle.exit_signal_request(id, signal, core_dumped, message, String::new()).await.map_err(gone)
        }
        ToClient::Eof => half.eof().await.map_err(gone),
        ToClient::Close => half.close().await.map_err(gone),
    }
}
