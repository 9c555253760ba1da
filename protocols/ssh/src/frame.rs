//! What travels on one session channel (RFC 4254 §5 and §6), as plain values.
//!
//! The library frames, encrypts and counts windows; these are the messages that it delivers and takes. Promises: closed
//! enums, so that nothing a peer can say is left to a wildcard; a message that makes a target do something
//! ([`ToTarget`]) and one that a client reads ([`ToClient`]) are types of their own, since only the gate makes what
//! passes of either.
//! Does not promise that a message is legal where it comes: `core.rs` knows the state of its channel.

use crate::own::Locale;
use bytes::Bytes;
use portcullis_gate::{Cleared, Permit, Weight};
use russh::{Pty, Sig};
use std::fmt;

/// A pseudo-terminal, as asked for (RFC 4254 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// `TERM`.
    pub(crate) term: String,
    /// Its size.
    pub(crate) size: Size,
    /// Encoded modes (RFC 4254 §8).
    pub(crate) modes: Vec<(Pty, u32)>,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// In characters.
    pub(crate) columns: u32,
    /// In characters.
    pub(crate) rows: u32,
    /// In pixels; 0 where not known.
    pub(crate) width: u32,
    /// In pixels; 0 where not known.
    pub(crate) height: u32,
}

/// A variable of the environment that a rule allowed.
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// What goes to a target, until it has gone there.
    pub(crate) cleared: Option<(Cleared<ToTarget>, Permit)>,
}

impl fmt::Debug for Variable {
    /// The value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a client sends on a session channel, as far as its task hears of it: what was refused was answered where it came.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// `pty-req`.
    Pty(Terminal),
    /// `env`, of a variable that only presents.
    Locale(Locale),
    /// `env`, of another that a rule allowed.
    Variable(Box<Variable>),
    /// `exec`: the command's bytes.
    Exec(Bytes),
    /// `shell`.
    Shell,
    /// `subsystem`.
    Subsystem(String),
    /// Standard input.
    Data(Bytes),
    /// Extended data, which no client of a session sends.
    Extended,
    /// The end of standard input.
    Eof,
    /// `window-change`.
    Resize(Size),
    /// `signal`.
    Signal(Sig),
    /// The channel's end.
    Close,
}

/// What goes to the target on a channel.
#[derive(Clone, Debug)]
pub(crate) enum ToTarget {
    /// `direct-tcpip`: the channel itself, to another host (RFC 4254 §7.2).
    Connect { host: String, port: u32 },
    /// `tcpip-forward`: a listener at the target (RFC 4254 §7.1).
    Listen { address: String, port: u32 },
    /// `cancel-tcpip-forward`: its end.
    Unlisten { address: String, port: u32 },
    /// What came to a listener is taken.
    Accept,
    /// `pty-req`.
    Pty(Terminal),
    /// `env`.
    Env { name: String, value: String },
    /// `exec`.
    Exec(Bytes),
    /// `shell`.
    Shell,
    /// `subsystem`.
    Subsystem(String),
    /// Standard input.
    Data(Bytes),
    /// The end of standard input.
    Eof,
    /// `window-change`.
    Resize(Size),
    /// `signal`.
    Signal(Sig),
    /// The channel's end.
    Close,
}

/// What a target sends on a session channel.
#[derive(Clone, Debug)]
pub(crate) enum FromTarget {
    /// It did what was asked.
    Success,
    /// It did not.
    Failure,
    /// Standard output.
    Data(Bytes),
    /// Extended data of this type; 1 is standard error (RFC 4254 §5.2).
    Extended(u32, Bytes),
    /// `exit-status`.
    ExitStatus(u32),
    /// `exit-signal`.
    ExitSignal { signal: Sig, core_dumped: bool, message: String },
    /// The end of output.
    Eof,
    /// The channel's end; also when the connection is gone.
    Close,
}

/// What goes to the client on a session channel.
#[derive(Clone, Debug)]
pub(crate) enum ToClient {
    /// Standard output.
    Data(Bytes),
    /// Extended data of this type.
    Extended(u32, Bytes),
    /// `exit-status`.
    ExitStatus(u32),
    /// `exit-signal`.
    ExitSignal { signal: Sig, core_dumped: bool, message: String },
    /// The end of output.
    Eof,
    /// The channel's end.
    Close,
}

/// Bytes counted for a message without data.
const SMALL: usize = 32;

impl Weight for ToTarget {
    fn weight(&self) -> usize {
        match self {
            Self::Exec(bytes) | Self::Data(bytes) => SMALL + bytes.len(),
            Self::Connect { host, .. } => SMALL + host.len(),
            Self::Listen { address, .. } | Self::Unlisten { address, .. } => SMALL + address.len(),
            Self::Env { name, value } => SMALL + name.len() + value.len(),
            Self::Accept
            | Self::Pty(_)
            | Self::Shell
            | Self::Subsystem(_)
            | Self::Eof
            | Self::Resize(_)
            | Self::Signal(_)
            | Self::Close => SMALL,
        }
    }
}

impl Weight for ToClient {
    fn weight(&self) -> usize {
        match self {
            Self::Data(bytes) | Self::Extended(_, bytes) => SMALL + bytes.len(),
            Self::ExitSignal { message, .. } => SMALL + message.len(),
            Self::ExitStatus(_) | Self::Eof | Self::Close => SMALL,
        }
    }
}
