//! A channel to another host (`direct-tcpip`: `ssh -L`, `-D`, `-W`), where a rule grants `connect host H:P`.
//!
//! Promises: the target is asked to connect only once the gate has cleared it, and the client's channel is confirmed
//! only once the target has connected; then the two are relayed as a program's input and output are, counted and with
//! the digest of what was sent; what a client sent before it closed a channel on which no more was to come arrives.
//! Does not promise to read what passes: whoever may connect may say anything there.
//! Held by: `tests/it/ssh.rs` of the binary.

use super::Ssh;
use super::channel::Line;
use super::front::{Entered, ForwardAsked};
use crate::classify;
use crate::frame::ToTarget;
use crate::listener::Under;
use crate::login::target::{Connecting, PATIENCE};
use crate::upstream::carry_out;
use crate::wire::Brake;
use portcullis_gate::{Cleared, Permit, Ruling, Session, Settled};
use portcullis_model::Outcome;
use russh::{ChannelOpenFailure, client};
use std::sync::Arc;

/// A channel to another host, if the target opened it.
type Dialled = Result<russh::Channel<client::Msg>, &'static str>;

/// Takes it to its end.
pub(super) async fn run(ssh: Arc<Ssh>, entered: Entered, connecting: Connecting, asked: ForwardAsked, brake: Brake) {
    let ForwardAsked { opened, reply, host, port } = asked;
    let session = Arc::clone(&entered.session);
    let command = classify::forward(&host, port);
    let Some((cleared, permit)) = may(&session, ToTarget::Connect { host, port }, command).await else {
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        return;
    };
    let to = connecting.clone();
    let dialled = carry_out(&session, cleared, move |frame| Box::pin(dial(to, frame))).await;
    match dialled.unwrap_or(Err("the record cannot be written")) {
        Ok(channel) => {
            let line = Line::new(&ssh, &entered, connecting, opened, brake).connected(Under::Own(permit), channel);
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

/// Has the target connect there.
async fn dial(connecting: Connecting, frame: ToTarget) -> Dialled {
    let failed = "the machine behind the gateway could not connect";
    let ToTarget::Connect { host, port } = frame else { return Err(failed) };
    let target = connecting.await.map_err(|error| error.told())?;
    let late = "the machine behind the gateway took too long to connect";
    let opened = tokio::time::timeout(PATIENCE, target.direct(&host, port)).await.map_err(|_| late)?;
    opened.map_err(|_| failed)
}
