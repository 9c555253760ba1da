//! What a client's connection says about listeners at the target (`ssh -R`): that it wants one or gives one up, and
//! that it takes what came to one.
//!
//! Promises: a listener is answered with what the target said, within [`ANSWER`]; one that cannot be asked for is
//! recorded and refused; a channel that the client takes has an inbox before the first of its data comes.
//! Does not promise that nothing waits meanwhile: the library has no other answer than what its callback returns, and
//! while that waits it reads and writes nothing of this client's connection. Others do not notice.
//! Held by: `tests/it/ssh_forwards.rs` of the binary.

use super::{Confirmed, Event, Front, ListenAsked, Requests, UnlistenAsked};
use crate::classify;
use crate::error::{Error, Result};
use crate::inbox::Inbox;
use crate::listener::Place;
use crate::reply::{self, Ends};
use russh::{ChannelId, server};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the callbacks wait for an answer. What comes later is given up again.
const ANSWER: Duration = Duration::from_secs(10);

impl Front {
    /// Channels that the client opened.
    pub(super) fn own_channels(&self) -> usize {
        self.channels.values().filter(|asked| !asked.offered).count()
    }

    pub(super) async fn listen(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut server::Session,
    ) -> Result<bool> {
        let permitted = self.entered.as_ref().is_some_and(|entered| entered.session.extensions().port_forwarding);
        if !permitted {
            self.asks(classify::unsupported("a port that the certificate does not permit", ""));
            return Ok(false);
        }
        let Some(place) = Place::new(address, *port) else {
            self.asks(classify::unsupported(&format!("a listener on {address:?} port {port}"), ""));
            return Ok(false);
        };
        let (done, answer) = oneshot::channel();
        let asked = Box::new(ListenAsked { place, handle: session.handle(), done });
        if self.tells.events.try_send(Event::Listen(asked)).is_err() {
            return Ok(false);
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(Ok(bound))) => {
                *port = bound;
                Ok(true)
            }
            Ok(Ok(Err(why))) => {
                // A reply to such a request has no words; clients show these where they are asked to say more.
                let words = reply::lines(why.trim_end(), Ends::Plain);
                session.debug(true, &String::from_utf8_lossy(&words), "").map_err(Error::Client)?;
                Ok(false)
            }
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    pub(super) async fn unlisten(&mut self, address: &str, port: u32) -> bool {
        let (done, answer) = oneshot::channel();
        let asked = UnlistenAsked { address: address.to_owned(), port, done };
        self.entered.is_some()
            && self.tells.events.try_send(Event::Unlisten(asked)).is_ok()
            && matches!(tokio::time::timeout(ANSWER, answer).await, Ok(Ok(true)))
    }

    /// The client says that it has taken a channel.
    pub(super) fn confirmed(&mut self, id: ChannelId, session: &mut server::Session) -> Result<()> {
        // One of its own, or one that it took before.
        if self.channels.contains_key(&id) {
            return Ok(());
        }
        let inbox = Inbox::to_the_end();
        let confirmed = Confirmed { id, inbox: inbox.clone() };
        if self.tells.confirmed.try_send(confirmed).is_err() {
            return session.close(id).map_err(Error::Client);
        }
        self.channels.insert(id, Requests::offered(inbox));
        Ok(())
    }
}
