//! From a request that was answered with a socket to the socket.
//!
//! Promises: the client is told of its socket once the backend has agreed to one and the record has the command, and not
//! before; a client that is gone by then leaves its command interrupted. Held by: `tests/it/websocket.rs` of the binary.

use super::body::Unread;
use super::front::{Told, whole};
use super::socket::{Opened, Socket};
use crate::upstream::{Once, Slot, Switched};
use crate::websocket::{Key, switching};
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portcullis_gate::Downstream;
use std::future::poll_fn;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What becomes a socket on the client's side.
pub(super) struct Switching {
    pub(super) answer: oneshot::Sender<Told>,
    pub(super) upgrade: OnUpgrade,
    pub(super) body: Unread,
    pub(super) key: Key,
    /// Told before the client is: its connection then belongs to the socket.
    pub(super) switched: CancellationToken,
    pub(super) gone: CancellationToken,
}

impl Switching {
    /// Tells the client, and runs the socket to its end.
    pub(super) async fn run(self, opened: Opened, backend: Switched) {
        let told = whole((switching(&self.key, backend.protocol), Bytes::new()));
        let mut down = Downstream::new(Slot::new(self.answer), &opened.session);
        down.push(opened.session.say(Once((told, self.body))));
        self.switched.cancel();
        match self.gone.run_until_cancelled(poll_fn(|cx| down.poll_send(cx))).await {
            Some(Ok(())) => {}
            // The record has failed, or there is nobody to tell.
            Some(Err(_)) | None => return,
        }
        // It comes with the client's connection, or never where that has ended.
        if let Ok(io) = self.upgrade.await {
            Socket::new(opened, Box::new(TokioIo::new(io)), backend.io).run().await;
        }
    }
}
