//! A program that was judged and runs on the target's channel, whatever speaks to it: nothing in between, a file transfer
//! that is read packet by packet, a copy that is read line by line.
//!
//! Promises: input is counted and its digest taken; the end of output is told behind the status, since a client that
//! reads it may close the channel at once, which the library answers by itself, and the status would be lost; what is
//! held back of the output leaves before the status.
//! Held by: `tests/it/ssh.rs` and `ssh_flow.rs` of the binary.

use super::Steps;
use super::copy::{Copy, CopySide};
use super::transfer::Transfer;
use crate::answer::Output;
use crate::frame::{FromTarget, Size, Terminal, ToClient, ToTarget};
use crate::listener::Under;
use crate::reply::STDERR;
use bytes::Bytes;
use portcullis_gate::Session;
use portcullis_model::{Denial, Digest, Outcome};
use sha2::{Digest as _, Sha256};

/// What speaks to the program.
pub(super) enum Kind {
    /// Its input and output are its own.
    Program,
    /// Another host; there is no program and no status.
    Forward,
    /// A file transfer subsystem.
    Files(Box<Transfer>),
    /// Old scp.
    Copy(Box<Copy>),
}

impl Kind {
    pub(super) fn files() -> Self {
        Self::Files(Box::default())
    }

    pub(super) fn copy(side: CopySide) -> Self {
        Self::Copy(Box::new(Copy::new(side)))
    }
}

/// A program that runs.
pub(super) struct Run {
    pub(super) under: Under,
    pub(super) output: Output,
    pub(super) kind: Kind,
    input: Sha256,
    sent: u64,
    /// Requests whose replies the target still owes, the program's own last.
    owed: usize,
    status: Option<Ending>,
    /// It has closed its output.
    ended: bool,
    /// It was told that no more input comes.
    told_end: bool,
}

enum Ending {
    Status(u32),
    Signal(String),
}

/// What a message of the target came to.
pub(super) enum Told {
    Goes,
    NotStarted,
    Closed,
}

impl Run {
    pub(super) fn new(session: &Session, under: Under, kind: Kind, terminal: Option<&Terminal>, owed: usize) -> Self {
        let output = Output::of(session, under.permit(), terminal);
        Self { under, output, kind, input: Sha256::new(), sent: 0, owed, status: None, ended: false, told_end: false }
    }

    /// Whether it takes more of the client.
    pub(super) fn wants_client(&self) -> bool {
        match &self.kind {
            Kind::Program | Kind::Forward => true,
            Kind::Files(transfer) => transfer.wants_client(),
            Kind::Copy(copy) => copy.wants_client(),
        }
    }

    /// Whether the end of the client's input is to be told now; true once.
    pub(super) fn takes_end(&mut self) -> bool {
        let drained = match &self.kind {
            Kind::Program | Kind::Forward => true,
            Kind::Files(transfer) => transfer.sftp.buffered() == 0,
            Kind::Copy(copy) => copy.scp.buffered() == 0,
        };
        let tell = drained && !self.told_end;
        self.told_end |= tell;
        tell
    }

    /// Input of the client.
    pub(super) fn on_input(&mut self, session: &Session, data: Bytes, steps: &mut Steps) -> Result<(), Denial> {
        match &mut self.kind {
            Kind::Program | Kind::Forward => {
                self.input.update(&data);
                self.sent += data.len() as u64;
                let followed = session.follow(self.under.permit(), ToTarget::Data(data));
                steps.up.push(followed.map_err(|stale| stale.denial)?);
            }
            Kind::Files(transfer) => transfer.sftp.push_client(&data),
            Kind::Copy(copy) => copy.scp.push_client(&data),
        }
        Ok(())
    }

    pub(super) fn on_target(&mut self, message: FromTarget, steps: &mut Steps) -> Told {
        match message {
            FromTarget::Success => self.owed = self.owed.saturating_sub(1),
            // A terminal that the target does not give; the program's own reply is still to come.
            FromTarget::Failure if self.owed > 1 => self.owed -= 1,
            FromTarget::Failure if self.owed == 1 => return Told::NotStarted,
            FromTarget::Failure => {}
            FromTarget::Data(data) => match &mut self.kind {
                Kind::Program | Kind::Forward => {
                    self.under.count(data.len());
                    steps.down.extend(self.output.data(data));
                }
                Kind::Files(transfer) => transfer.sftp.push_target(&data),
                Kind::Copy(copy) => copy.scp.push_target(&data),
            },
            FromTarget::Extended(kind, data) => steps.down.extend(self.output.extended(kind, data)),
            FromTarget::ExitStatus(status) => {
                self.status = Some(Ending::Status(status));
                steps.down.extend(self.output.end());
                steps.down.push(self.output.tell(ToClient::ExitStatus(status)));
            }
            FromTarget::ExitSignal { signal, core_dumped, message } => {
                self.status = Some(Ending::Signal(format!("{signal:?}")));
                steps.down.extend(self.output.end());
                steps.down.push(self.output.tell(ToClient::ExitSignal { signal, core_dumped, message }));
            }
            FromTarget::Eof if matches!(self.kind, Kind::Forward) => {
                steps.down.extend(self.output.end());
                steps.down.push(self.output.tell(ToClient::Eof));
            }
            FromTarget::Eof => self.ended = true,
            FromTarget::Close => return Told::Closed,
        }
        Told::Goes
    }

    pub(super) fn resized(&mut self, size: Size) {
        self.output.resized(size);
    }

    pub(super) fn output_waits(&self) -> bool {
        self.output.waits()
    }

    pub(super) fn on_quiet(&mut self, steps: &mut Steps) {
        steps.down.extend(self.output.pause());
    }

    /// Words of the gateway's own beside the program's output.
    pub(super) fn warn(session: &Session, text: &str, steps: &mut Steps) {
        let words = crate::reply::lines(text, crate::reply::Ends::Plain);
        steps.down.push(session.say(ToClient::Extended(STDERR, words)));
    }

    /// The target would not start it.
    pub(super) fn settle_not_started(self, session: &Session) {
        self.under.settle(session, Outcome::Failed { status: "refused".into(), message: None }, None);
    }

    /// The target closed the channel.
    pub(super) fn finish(mut self, session: &Session, steps: &mut Steps) {
        steps.down.extend(self.output.end());
        if self.status.is_none() && !matches!(self.kind, Kind::Files(_) | Kind::Forward) {
            Self::warn(session, "portcullis: the machine behind the gateway ended this without a status\n", steps);
        }
        if self.ended {
            steps.down.push(self.output.tell(ToClient::Eof));
        }
        let bytes = self.output.bytes();
        let outcome = match self.status {
            Some(Ending::Status(status)) => {
                Outcome::Completed { status: format!("exit {status}").into(), rows: 0, bytes }
            }
            Some(Ending::Signal(signal)) => {
                Outcome::Failed { status: format!("signal {signal}").into(), message: None }
            }
            None if matches!(self.kind, Kind::Forward) => {
                Outcome::Completed { status: "closed".into(), rows: 0, bytes }
            }
            None => Outcome::Failed { status: "no exit status".into(), message: None },
        };
        let data = (self.sent > 0).then(|| Digest::from_bytes(self.input.finalize().into()));
        match self.kind {
            Kind::Program | Kind::Forward | Kind::Copy(_) => {}
            Kind::Files(transfer) => transfer.finish(session),
        }
        drop(self.output);
        self.under.settle(session, outcome, data);
    }
}
