//! Where what a target says on a channel comes from, as messages of the channel.
//!
//! Promises: one order and one end, whichever it is.
//! Held by: `tests/it/ssh_flow.rs` and `ssh_forwards.rs` of the binary.

use crate::frame::{FromClient, FromTarget};
use crate::inbox::Taken;
use crate::login::arrivals::Sent;
use russh::{ChannelMsg, ChannelReadHalf};
use std::future::Future as _;
use std::task::{Context, Poll};

/// Where what a target says on a channel is taken.
pub(super) enum Source {
    /// From the library: the channel has a connection of its own.
    Channel(ChannelReadHalf),
    /// From an inbox, where it shares one.
    Inbox(Sent),
}

impl Source {
    /// The next; `None` for one that says nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<FromTarget>> {
        match self {
            Self::Channel(half) => std::pin::pin!(half.wait()).poll(cx).map(from_target),
            Self::Inbox(sent) => sent.inbox.poll_take(cx).map(carried),
        }
    }
}

/// What came on a channel of a listener as a message of the target.
fn carried(taken: Taken) -> Option<FromTarget> {
    match taken {
        Taken::Message(FromClient::Data(data)) => Some(FromTarget::Data(data)),
        Taken::Message(FromClient::Eof) => Some(FromTarget::Eof),
        Taken::Message(FromClient::Close) | Taken::Closed | Taken::Overflowed => Some(FromTarget::Close),
        // None of these is put there.
        Taken::Message(
            FromClient::Pty(_)
            | FromClient::Locale(_)
            | FromClient::Variable(_)
            | FromClient::Exec(_)
            | FromClient::Shell
            | FromClient::Subsystem(_)
            | FromClient::Extended
            | FromClient::Resize(_)
            | FromClient::Signal(_),
        ) => None,
    }
}

/// A message of the library as a message of the target; `None` for one that says nothing to a session channel.
fn from_target(message: Option<ChannelMsg>) -> Option<FromTarget> {
    match message {
        None | Some(ChannelMsg::Close | ChannelMsg::OpenFailure(_)) => Some(FromTarget::Close),
        Some(ChannelMsg::Success) => Some(FromTarget::Success),
        Some(ChannelMsg::Failure) => Some(FromTarget::Failure),
        Some(ChannelMsg::Data { data }) => Some(FromTarget::Data(data)),
        Some(ChannelMsg::ExtendedData { data, ext }) => Some(FromTarget::Extended(ext, data)),
        Some(ChannelMsg::ExitStatus { exit_status }) => Some(FromTarget::ExitStatus(exit_status)),
        Some(ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, .. }) => {
            Some(FromTarget::ExitSignal { signal: signal_name, core_dumped, message: error_message })
        }
        Some(ChannelMsg::Eof) => Some(FromTarget::Eof),
        // The library's own enum is open; these are what it has of windows, flow control and a client's requests.
        Some(_) => None,
    }
}
