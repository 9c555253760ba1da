//! A request from its body to what becomes of it: refused, answered, or made a socket.
//!
//! Promises: a body is collected before anything is asked, and a request whose client is gone by then was never asked; one
//! whose head or body cannot be read is in the record, as its caller's, before that caller is told; a socket is asked for
//! only where the API of the connection has such a thing.
//! Held by: `tests/it/http*.rs` and `tests/it/websocket.rs` of the binary.

use super::body::{Unread, collect};
use super::exchange::Exchange;
use super::front::{Asks, Responder, closing, whole};
use super::held::Share;
use super::socket::Opened;
use super::switching::Switching;
use crate::api::Api;
use crate::classify;
use crate::head::{self, Refusal};
use crate::reply;
use crate::upstream::{Once, Slot, Way};
use http::StatusCode;
use portcullis_gate::{Downstream, Session};
use portcullis_model::Command;
use portcullis_net::Drain;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NO_SOCKETS: &str =
    "WebSockets pass on connections of `api: rest` only: what others say inside of them is not read";

/// What is sent for a request that cannot be read.
struct Nothing;

/// What an exchange is run with.
pub(super) struct Asking {
    pub(super) session: Arc<Session>,
    pub(super) way: Arc<Way>,
    /// Bytes of its body.
    pub(super) most: usize,
    /// What its body holds of what its principal may.
    pub(super) share: Share,
    /// For each pause within its body.
    pub(super) patience: Duration,
    /// What a socket that it becomes is ended by, and who is told that its connection is the socket's.
    pub(super) idle: Duration,
    pub(super) drain: Drain,
    pub(super) switched: CancellationToken,
}

impl Asking {
    /// From the body to the end of the answer. What its client leaves before it is whole was never asked.
    pub(super) async fn run(mut self, asks: Asks, mut body: Unread, responder: Responder) {
        let gone = responder.gone.clone();
        let received = match asks {
            Asks::This(received) if received.contradicted => {
                let refusal = head::contradicted();
                let command = classify::faulty(&received.request, refusal.fault());
                return self.refuse(command, refusal, body, responder).await;
            }
            Asks::This(received) => received,
            Asks::Unread(command, refusal) => return self.refuse(*command, refusal, body, responder).await,
        };
        if received.upgrade.is_some() && self.way.target.api != Api::Rest {
            let refusal = Refusal { status: StatusCode::NOT_IMPLEMENTED, why: NO_SOCKETS };
            let command = classify::faulty(&received.request, refusal.fault());
            return self.refuse(command, refusal, body, responder).await;
        }
        let (mut request, stays) = (received.request, received.stays);
        let collected = collect(&mut body.body, received.coding, self.most, &mut self.share, self.patience);
        match gone.run_until_cancelled(collected).await {
            None => return,
            Some(Ok(body)) => request.body = body,
            Some(Err(refusal)) => {
                let command = classify::faulty(&request, refusal.fault());
                return self.refuse(command, refusal, body, responder).await;
            }
        }
        if gone.run_until_cancelled(self.session.room()).await.is_none() || gone.is_cancelled() {
            return;
        }
        let Self { session, way, most, share, idle, drain, switched, patience: _ } = self;
        let Responder { answer, stream, upgrade, .. } = responder;
        let opens = received.upgrade.map(|key| (key, answer, request.clone()));
        let opaque = way.target.opaque.covers_any_bytes();
        let plain = way.target.api == Api::Rest;
        // A token of its own: an answer that is dropped unbegun says so there, and behind a socket none begins.
        let mut exchange = Exchange::new(Arc::clone(&session), way, share, stream, &gone.child_token());
        if plain {
            exchange.reached_at(received.mount);
        }
        exchange.ask(request, stays, received.reason);
        if let (Some((permit, backend)), Some((key, answer, request))) = (exchange.run().await, opens) {
            let opened = Opened { session, request, permit, opaque, most, idle, drain };
            Switching { answer, upgrade, body, key, switched, gone }.run(opened, backend).await;
        }
    }

    /// Answers a request that cannot be judged, once the record has it.
    pub(super) async fn refuse(self, command: Command, refusal: Refusal, body: Unread, responder: Responder) {
        if responder.gone.run_until_cancelled(self.session.room()).await.is_none() {
            return;
        }
        // What cannot be read is refused by every policy, and there is nothing that could be sent.
        drop(self.session.ask(self.session.seal(Nothing, command)));
        let told = whole(reply::malformed(Some(self.way.target.api), refusal.status, refusal.why));
        let mut down = Downstream::new(Slot::new(responder.answer), &self.session);
        down.push(self.session.say(Once((closing(told), body))));
        // Where the record has failed, or the client is gone, nobody is told anything.
        poll_fn(|cx| down.poll_send(cx)).await.ok();
    }
}
