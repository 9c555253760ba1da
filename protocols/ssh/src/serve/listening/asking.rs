//! What is asked of both sides for a listener: the gate, the target, the client.
//!
//! Promises: each is asked within a time of its own; what was asked for and not had is settled; what a client does not
//! take in time is refused to the target, and its channel is handed back to be closed where the client takes it later.
//! Does not promise anything to the target that it is not told: a listener that it makes too late is one that nobody
//! granted.
//! Held by: `tests/it/ssh_forwards.rs` of the binary.

use crate::classify;
use crate::frame::ToTarget;
use crate::listener::{Granted, Place};
use crate::login::arrivals::{Addresses, Arrival};
use crate::login::target::{Connecting, PATIENCE};
use crate::own::Passage;
use crate::reply;
use crate::serve::front::Listened;
use crate::upstream::carry_out;
use portcullis_gate::{Cleared, Permit, Ruling, Session, Settled, Waited};
use portcullis_model::Outcome;
use russh::{ChannelOpenFailure, ChannelWriteHalf, server};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What came of what was asked for a listener.
pub(super) enum Worked {
    /// The target has it, at this port; or why not.
    Bound { key: u64, bound: Result<(Granted, u32), String>, done: oneshot::Sender<Listened> },
    /// It is given up, and the target said so or not.
    Released { key: u64, done: Option<(oneshot::Sender<bool>, bool)> },
}

/// What came to a listener and is on its way to the client.
pub(super) struct Carried {
    pub(super) arrival: Arrival,
    pub(super) cleared: Cleared<ToTarget>,
    pub(super) granted: Arc<Granted>,
    pub(super) connecting: Connecting,
    pub(super) handle: server::Handle,
}

/// What the client said to it.
pub(super) struct Offered {
    /// Its channel; `None` where it does not want it.
    pub(super) taken: Option<ChannelWriteHalf<server::Msg>>,
    /// `None` where the target was told no already.
    pub(super) carried: Option<Carried>,
}

/// Asks the gate, and then the target.
pub(super) async fn bind(
    session: Arc<Session>,
    connecting: Connecting,
    place: Place,
    key: u64,
    done: oneshot::Sender<Listened>,
) -> Worked {
    let bound = match may(&session, &place).await {
        Ok((cleared, permit)) => {
            let listened = carry_out(&session, cleared, move |frame| Box::pin(listen(connecting, frame))).await;
            match listened.unwrap_or(Err("the record cannot be written")) {
                Ok(port) => Ok((Granted::new(permit), port)),
                Err(why) => {
                    let outcome = Outcome::Failed { status: "no listener".into(), message: Some(why.into()) };
                    session.settle(permit, outcome, None);
                    Err(reply::failed(why))
                }
            }
        }
        Err(told) => Err(told),
    };
    Worked::Bound { key, bound, done }
}

async fn may(session: &Session, place: &Place) -> Result<(Cleared<ToTarget>, Permit), String> {
    let frame = ToTarget::Listen { address: place.sent().to_owned(), port: place.port().into() };
    match session.ask(session.seal(frame, classify::listener(place))) {
        Ruling::Forward(cleared, permit) => Ok((cleared, permit)),
        Ruling::Refuse(denial) => Err(reply::refused(&denial)),
        Ruling::Hold(hold) => match hold.settle_within(Some(Duration::ZERO)).await {
            Waited::Settled(Settled::Forward(cleared, permit)) => Ok((cleared, permit)),
            Waited::Settled(Settled::Refuse(denial)) => Err(reply::refused(&denial)),
            Waited::Left(left) => Err(reply::left(left.approval)),
        },
    }
}

/// Has the target listen there, and says at which port it does.
async fn listen(connecting: Connecting, frame: ToTarget) -> Result<u32, &'static str> {
    let failed = "the machine behind the gateway does not listen there";
    let ToTarget::Listen { address, port } = frame else { return Err(failed) };
    let target = connecting.await.map_err(|error| error.told())?;
    let late = "the machine behind the gateway took too long to listen";
    let listened = tokio::time::timeout(PATIENCE, target.listen(&address, port)).await.map_err(|_| late)?;
    // A port of its choice is one (RFC 4254 §7.1).
    listened.ok().filter(|port| (1..=u16::MAX.into()).contains(port)).ok_or(failed)
}

/// Has the target give a listener up.
pub(super) async fn release(
    session: Arc<Session>,
    connecting: Connecting,
    place: Place,
    port: u32,
    key: u64,
    done: Option<oneshot::Sender<bool>>,
) -> Worked {
    let cleared = session.pass(Passage::Unlisten { address: place.sent().to_owned(), port });
    let released = carry_out(&session, cleared, move |frame| Box::pin(unlisten(connecting, frame))).await;
    Worked::Released { key, done: done.map(|done| (done, released.unwrap_or(false))) }
}

async fn unlisten(connecting: Connecting, frame: ToTarget) -> bool {
    let ToTarget::Unlisten { address, port } = frame else { return false };
    let Ok(target) = connecting.await else { return false };
    matches!(tokio::time::timeout(PATIENCE, target.unlisten(&address, port)).await, Ok(Ok(())))
}

/// Offers the client what came to its listener at this address.
pub(super) async fn offer(address: String, carried: Carried) -> Offered {
    let Addresses { port, originator, originator_port, .. } = &carried.arrival.addresses;
    let (port, originator, originator_port) = (*port, originator.clone(), *originator_port);
    let handle = carried.handle.clone();
    let taking = handle.channel_open_forwarded_tcpip(address, port, originator, originator_port);
    tokio::pin!(taking);
    match tokio::time::timeout(PATIENCE, &mut taking).await {
        // The half that reads is dropped at once: the callbacks have what comes, and the library would wait for it.
        Ok(Ok(channel)) => Offered { taken: Some(channel.split().1), carried: Some(carried) },
        Ok(Err(_)) => {
            carried.arrival.reply.reject(ChannelOpenFailure::ConnectFailed).await;
            Offered { taken: None, carried: None }
        }
        Err(_) => {
            carried.arrival.reply.reject(ChannelOpenFailure::ConnectFailed).await;
            Offered { taken: taking.await.ok().map(|channel| channel.split().1), carried: None }
        }
    }
}
