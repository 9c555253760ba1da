//! What comes to the listeners of a target: channels that it opens by itself, and what is sent on them.
//!
//! These channels share one connection to the target, so here is what keeps one that is not read from stalling the
//! others: what comes is put into an inbox for each, as what clients send is, and the connection is slowed below the
//! library.
//!
//! Promises: nothing waits; at most [`QUEUE`] that nobody has looked at yet, and what is not taken is refused; what
//! came before an end arrives before it; where the connection ends, each channel does.
//! Does not promise that what comes was granted: `serve/listening.rs` says that.
//! Held by: `tests/it/ssh_forwards.rs` of the binary.

use crate::frame::FromClient;
use crate::inbox::Inbox;
use crate::wire::Brake;
use russh::client::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelId, ChannelWriteHalf};
use std::collections::HashMap;
use tokio::sync::mpsc;

/// Arrivals that wait to be looked at.
const QUEUE: usize = 64;
/// Bytes of an address that a target says something came to or from.
const ADDRESS: usize = 256;

/// Something that came to a listener (RFC 4254 §7.2). Dropping it refuses it.
pub(crate) struct Arrival {
    pub(crate) half: ChannelWriteHalf<Msg>,
    pub(crate) reply: ChannelOpenHandle,
    pub(crate) sent: Sent,
    pub(crate) addresses: Addresses,
}

/// What is sent on its channel.
pub(crate) struct Sent {
    pub(crate) inbox: Inbox,
    /// Of the connection.
    pub(crate) brake: Brake,
}

/// Between whom.
pub(crate) struct Addresses {
    /// To which listener, as the target says.
    pub(crate) address: String,
    pub(crate) port: u32,
    /// From where.
    pub(crate) originator: String,
    pub(crate) originator_port: u32,
}

/// Where the callbacks of a target's connection put what comes.
pub(crate) struct Arrivals {
    sender: mpsc::Sender<Arrival>,
    brake: Brake,
    inboxes: HashMap<ChannelId, Inbox>,
}

impl Arrivals {
    /// And where it is taken; that ends with the connection.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Arrival>) {
        let (sender, arrivals) = mpsc::channel(QUEUE);
        (Self { sender, brake: Brake::default(), inboxes: HashMap::new() }, arrivals)
    }

    pub(crate) fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// The target opened a channel. Without room it is dropped, which refuses it.
    pub(crate) fn opened(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, addresses: Addresses) {
        if addresses.address.len().max(addresses.originator.len()) > ADDRESS {
            return;
        }
        // Those that were refused, or have ended, are nobody's any more.
        self.inboxes.retain(|_, inbox| inbox.is_shared());
        let inbox = Inbox::in_order();
        let id = channel.id();
        let sent = Sent { inbox: inbox.clone(), brake: self.brake.clone() };
        // The half that reads is dropped: the library would wait for whoever has it.
        let arrival = Arrival { half: channel.split().1, reply, sent, addresses };
        if self.sender.try_send(arrival).is_ok() {
            self.inboxes.insert(id, inbox);
        }
    }

    pub(crate) fn data(&self, channel: ChannelId, data: &[u8]) {
        if let Some(inbox) = self.inboxes.get(&channel) {
            inbox.push_data(data);
            self.update_brake();
        }
    }

    /// Its end of input.
    pub(crate) fn ended(&self, channel: ChannelId) {
        if let Some(inbox) = self.inboxes.get(&channel) {
            inbox.push(FromClient::Eof);
        }
    }

    pub(crate) fn closed(&mut self, channel: ChannelId) {
        if let Some(inbox) = self.inboxes.remove(&channel) {
            inbox.push(FromClient::Close);
            self.update_brake();
        }
    }

    /// Whether so much of this channel waits that its window is to be small.
    pub(crate) fn is_behind(&self, channel: ChannelId) -> bool {
        self.inboxes.get(&channel).is_some_and(Inbox::is_spooling)
    }

    pub(crate) fn update_brake(&self) {
        self.brake.set(self.inboxes.values().filter(|inbox| inbox.is_shared()).filter_map(Inbox::behind).max());
    }
}

impl Drop for Arrivals {
    /// The connection has ended.
    fn drop(&mut self) {
        for inbox in self.inboxes.values() {
            inbox.push(FromClient::Close);
        }
    }
}
