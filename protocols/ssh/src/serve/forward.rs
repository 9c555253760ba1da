//! A channel to another host (`direct-tcpip`: `ssh -L`, `-D`, `-W`), where a rule grants `connect host H:P`.
//!
//! Promises: the target is asked to connect only once the gate has cleared it, and the client's channel is confirmed only
//! once the target has connected; then the two are relayed as a program's input and output are, counted and with the
//! digest of what was sent.
//! Does not promise to read what passes: whoever may connect may say anything there.
//! Held by: `tests/it/ssh.rs` of the binary.

use super::Ssh;
use super::channel::Line;
use super::front::{Entered, ForwardAsked};
use crate::classify;
use crate::frame::ToTarget;
use crate::login::target::Connecting;
use crate::upstream::{Dialled, Dialler};
use crate::wire::Brake;
use portcullis_gate::{Cleared, Permit, Ruling, Session, Settled, Upstream};
use portcullis_model::Outcome;
use russh::ChannelOpenFailure;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Takes it to its end.
pub(super) async fn run(ssh: Arc<Ssh>, entered: Entered, connecting: Connecting, asked: ForwardAsked, brake: Brake) {
    let ForwardAsked { opened, reply, host, port } = asked;
    let session = Arc::clone(&entered.session);
    let command = classify::forward(&host, port);
    let Some((cleared, permit)) = may(&session, ToTarget::Connect { host, port }, command).await else {
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        return;
    };
    match dial(&session, connecting.clone(), cleared).await {
        Ok(channel) => {
            let line = Line::new(&ssh, &entered, connecting, opened, brake).connected(permit, channel);
            reply.accept().await;
            line.run().await;
        }
        Err(why) => {
            let outcome = Outcome::Failed { status: "unreachable".into(), message: Some(why.into()) };
            session.settle(permit, outcome, None);
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
    }
}

async fn may(
    session: &Session,
    frame: ToTarget,
    command: portcullis_model::Command,
) -> Option<(Cleared<ToTarget>, Permit)> {
    match session.ask(session.seal(frame, command)) {
        Ruling::Forward(cleared, permit) => Some((cleared, permit)),
        Ruling::Refuse(_) => None,
        Ruling::Hold(hold) => match hold.settle().await {
            Settled::Forward(cleared, permit) => Some((cleared, permit)),
            Settled::Refuse(_) => None,
        },
    }
}

async fn dial(session: &Session, connecting: Connecting, cleared: Cleared<ToTarget>) -> Dialled {
    let (slot, opened) = oneshot::channel();
    let mut up = Upstream::new(Dialler::new(connecting, slot), session);
    up.push(cleared);
    let sent = poll_fn(|cx| up.poll_send(cx)).await;
    sent.map_err(|_| "the record cannot be written")?;
    opened.await.unwrap_or(Err("the machine behind the gateway could not connect"))
}
