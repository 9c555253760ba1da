//! A socket between a client and a backend, sans-I/O: what each says, and what becomes of it.
//!
//! ```text
//! Open --message of the client--> asked: cleared --> Reserving --counted, forwarded--> Open
//!   |                                  \--hold--> Held --settled--/
//!   \--refused, a close, an end, idle, a drain--> Closing
//! ```
//! Promises: a message of the client is a command of its own, counted by budgets like a request, and reaches the backend
//! only as the gate cleared it; while masks name fields it renames no protected one (`rest/renaming.rs`); a message
//! of the backend reaches the client only whole, masked and as the gate released it, and not where policy, masks or the
//! identity have moved on since; while people decide about a message nothing behind it is read but control frames, of
//! which those before the next message are answered; one refusal closes the socket, and says which rule made it; however a
//! socket ends, its command and those of its messages are settled.
//! Does not promise to find a value that is cut over two messages. Held by: `core/tests.rs`, `tests/it/websocket.rs` of
//! the binary.

use super::close::{Close, Code, REASON};
use super::frame::{Broken, Peer};
use super::message::{Heard, Messages};
use super::own::{Own, ToPeer};
use crate::answer::Output;
use crate::api::{Words as _, rest};
use crate::classify;
use crate::frame::Request;
use bytes::Bytes;
use portcullis_gate::{Cleared, Hold, Permit, Released, Reservation, Ruling, Session, Settled};
use portcullis_model::{Command, Denial, Fault, Outcome, Source, Text};
use std::sync::Arc;

/// Bytes of a message of the backend: what is longer is kept nowhere whole.
const LARGEST: usize = 4 << 20;
const NOT_MASKABLE: &str =
    "bytes that are no text cannot be masked; the connection can name application/octet-stream under `opaque`";

const NOT_PASSING: &str =
    "messages of bytes that are no text do not pass; the connection can name application/octet-stream under `opaque`";

/// What is to be done, in this order.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) up: Vec<Cleared<ToPeer>>,
    pub(crate) down: Vec<Released<ToPeer>>,
    pub(crate) hold: Option<Hold<ToPeer>>,
    /// Take a message from the budgets and say so with [`Core::on_reserved`].
    pub(crate) reserve: Option<Permit>,
    /// What waits for people, or for budgets, is waited for no more.
    pub(crate) withdraw: bool,
}

enum Phase {
    Open(Permit),
    /// People decide about a message of so many bytes.
    Held(Permit, u64),
    /// A message of so many bytes is allowed, and not taken from its budgets yet.
    Reserving(Permit, Cleared<ToPeer>, u64),
    /// Both sides were told that it is over.
    Closing,
}

/// One side.
struct Side {
    messages: Messages,
    /// What it pinged with last, not answered yet. Those before are answered with it (RFC 6455 §5.5.3).
    ping: Option<Bytes>,
    /// It said that it is over, or it is gone.
    ended: bool,
}

impl Side {
    fn of(peer: Peer, most: usize) -> Self {
        Self { messages: Messages::of(peer, most), ping: None, ended: false }
    }
}

/// How a socket ends.
enum End {
    /// As somebody wished.
    Orderly(Option<Code>),
    Failed(Code, Arc<str>),
    /// Its client vanished.
    Left,
}

/// One socket.
pub(crate) struct Core {
    session: Arc<Session>,
    /// What opened it.
    request: Request,
    /// Bytes that are no text may pass unread.
    opaque: bool,
    output: Output,
    phase: Phase,
    client: Side,
    backend: Side,
    /// Messages of the client that were cleared, until they are written.
    forwarded: Vec<(Permit, u64)>,
    /// Bytes of messages that the client got.
    bytes: u64,
    /// Messages of both sides.
    messages: u64,
}

impl Core {
    /// `most` is how many bytes a message of the client may have.
    pub(crate) fn new(session: Arc<Session>, request: Request, opaque: bool, permit: Permit, most: usize) -> Self {
        Self {
            output: Output::new(&session, &permit, None),
            session,
            request,
            opaque,
            phase: Phase::Open(permit),
            client: Side::of(Peer::Client, most),
            backend: Side::of(Peer::Backend, LARGEST),
            forwarded: Vec::new(),
            bytes: 0,
            messages: 0,
        }
    }

    /// Bytes that the client sent.
    pub(crate) fn feed_client(&mut self, bytes: &[u8]) {
        self.client.messages.feed(bytes);
    }

    /// Bytes that the backend sent.
    pub(crate) fn feed_backend(&mut self, bytes: &[u8]) {
        self.backend.messages.feed(bytes);
    }

    /// Bytes of the client that came and may not be read yet.
    pub(crate) fn held_of_client(&self) -> usize {
        self.client.messages.held()
    }

    /// Messages of the client that were cleared and are not written.
    pub(crate) const fn forwarded(&self) -> usize {
        self.forwarded.len()
    }

    /// How many messages there were.
    pub(crate) const fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }

    /// Whether both sides know that it is over.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_closing() && self.client.ended && self.backend.ended
    }

    /// Takes what the client said next; false where nothing is whole, or may be read.
    pub(crate) fn on_client(&mut self, steps: &mut Steps) -> bool {
        let held = matches!(self.phase, Phase::Held(..) | Phase::Reserving(..));
        match self.client.messages.next(held) {
            Ok(None) => return false,
            Ok(Some(Heard::Close(code))) => {
                self.client.ended = true;
                self.close(Close::bare(code), Close::bare(code), End::Orderly(code), steps);
            }
            Ok(Some(_)) if self.is_closing() => {}
            Ok(Some(Heard::Text(text))) => self.ask(ToPeer::Text(text.into()), steps),
            Ok(Some(Heard::Binary(bytes))) => self.ask(ToPeer::Binary(bytes), steps),
            Ok(Some(Heard::Ping(bytes))) => self.client.ping = Some(bytes),
            Ok(Some(Heard::Pong)) => {}
            Err(Broken { code, why }) => {
                let (client, backend) = (Close::because(code, why), Close::bare(Some(Code::GOING_AWAY)));
                self.close(client, backend, End::Failed(code, why.into()), steps);
            }
        }
        true
    }

    /// Takes what the backend said next; false where nothing is whole.
    pub(crate) fn on_backend(&mut self, steps: &mut Steps) -> bool {
        match self.backend.messages.next(false) {
            Ok(None) => return false,
            Ok(Some(Heard::Close(code))) => {
                self.backend.ended = true;
                self.close(Close::bare(code), Close::bare(code), End::Orderly(code), steps);
            }
            Ok(Some(_)) if self.is_closing() => {}
            Ok(Some(Heard::Text(text))) => self.pass(ToPeer::Text(text.into()), steps),
            Ok(Some(Heard::Binary(bytes))) => self.pass(ToPeer::Binary(bytes), steps),
            Ok(Some(Heard::Ping(bytes))) => self.backend.ping = Some(bytes),
            Ok(Some(Heard::Pong)) => {}
            Err(Broken { code, why }) => {
                let told = Close::because(Code::FAILED, "the service behind the gateway sent what cannot be read");
                self.close(told, Close::because(code, why), End::Failed(code, why.into()), steps);
            }
        }
        true
    }

    /// Asks about a message of the client.
    fn ask(&mut self, said: ToPeer, steps: &mut Steps) {
        self.messages += 1;
        let Phase::Open(permit) = &self.phase else { return };
        let (mut command, mut code) = (classify::message(&self.request, &said), Code::POLICY);
        if matches!(said, ToPeer::Binary(_)) && !self.opaque {
            command = unread(&self.request, command, Fault::Unsupported { message: NOT_PASSING.into() });
            code = Code::UNSUPPORTED;
        }
        if let ToPeer::Text(text) = &said
            && let Some(fault) = rest::unfit_to_say(std::str::from_utf8(text).unwrap_or_default(), &self.output)
        {
            command = unread(&self.request, command, fault);
        }
        command.reason = permit.command().reason.clone();
        let bytes = said.len() as u64;
        match self.session.ask(self.session.seal(said, command)) {
            Ruling::Forward(cleared, permit) => self.reserve(cleared, permit, bytes, steps),
            Ruling::Refuse(denial) => self.refuse(code, &denial, steps),
            Ruling::Hold(hold) => {
                if let Phase::Open(permit) = std::mem::replace(&mut self.phase, Phase::Closing) {
                    self.phase = Phase::Held(permit, bytes);
                    steps.hold = Some(hold);
                }
            }
        }
    }

    /// What is allowed is counted before it is sent.
    fn reserve(&mut self, cleared: Cleared<ToPeer>, permit: Permit, bytes: u64, steps: &mut Steps) {
        match std::mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Open(opened) => {
                self.phase = Phase::Reserving(opened, cleared, bytes);
                steps.reserve = Some(permit);
            }
            // There is one at a time.
            phase @ (Phase::Held(..) | Phase::Reserving(..) | Phase::Closing) => self.phase = phase,
        }
    }

    /// The budgets have given what was asked of them, or not.
    pub(crate) fn on_reserved(&mut self, permit: Permit, reserved: Result<Reservation, Denial>, steps: &mut Steps) {
        match std::mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Reserving(opened, cleared, bytes) => {
                self.phase = Phase::Open(opened);
                match reserved {
                    // It is counted as it stands: a message has no tokens that could be given back.
                    Ok(_counted) => {
                        self.forwarded.push((permit, bytes));
                        steps.up.push(cleared);
                    }
                    Err(denial) => {
                        self.session.settle(permit, Outcome::REFUSED, None);
                        self.refuse(Code::POLICY, &denial, steps);
                    }
                }
            }
            phase @ (Phase::Open(_) | Phase::Held(..) | Phase::Closing) => self.phase = phase,
        }
    }

    /// People have decided about a message.
    pub(crate) fn on_settled(&mut self, settled: Settled<ToPeer>, steps: &mut Steps) {
        let Phase::Held(permit, bytes) = std::mem::replace(&mut self.phase, Phase::Closing) else { return };
        self.phase = Phase::Open(permit);
        match settled {
            Settled::Forward(cleared, permit) => self.reserve(cleared, permit, bytes, steps),
            Settled::Refuse(denial) => self.refuse(Code::POLICY, &denial, steps),
        }
    }

    /// All that was forwarded is written.
    pub(crate) fn on_sent(&mut self) {
        for (permit, bytes) in self.forwarded.drain(..) {
            self.session.settle(permit, Outcome::Completed { status: "sent".into(), rows: 0, bytes }, None);
        }
    }

    /// Lets a message of the backend go to the client.
    fn pass(&mut self, said: ToPeer, steps: &mut Steps) {
        self.messages += 1;
        let (Phase::Open(permit) | Phase::Held(permit, _) | Phase::Reserving(permit, ..)) = &self.phase else { return };
        if let Err(stale) = self.session.follow(permit, ()) {
            self.refuse(Code::POLICY, &stale.denial, steps);
            return;
        }
        let shown = match said {
            ToPeer::Text(text) => {
                let text = std::str::from_utf8(&text).unwrap_or_default();
                rest::message(text, &mut self.output)
                    .map(|masked| {
                        ToPeer::Text(masked.map_or_else(|| Bytes::copy_from_slice(text.as_bytes()), Bytes::from))
                    })
                    .map_err(|why| why.0)
            }
            ToPeer::Binary(bytes) if self.opaque || !self.output.binds() => Ok(ToPeer::Binary(bytes)),
            ToPeer::Binary(_) | ToPeer::Pong(_) | ToPeer::Close(_) | ToPeer::End => Err(NOT_MASKABLE),
        };
        match shown {
            Ok(shown) if !self.output.is_withheld() => {
                self.bytes += shown.len() as u64;
                steps.down.push(self.output.release(shown));
            }
            Ok(_) => self.unfit("a mask of the message cannot be carried out", steps),
            Err(why) => self.unfit(why, steps),
        }
    }

    /// A message of the backend cannot be passed on: none does any more.
    fn unfit(&mut self, why: &'static str, steps: &mut Steps) {
        let (client, backend) = (Close::because(Code::FAILED, why), Close::bare(Some(Code::POLICY)));
        self.close(client, backend, End::Failed(Code::FAILED, why.into()), steps);
    }

    fn refuse(&mut self, code: Code, denial: &Denial, steps: &mut Steps) {
        let (client, backend) = (Close::because(code, &reason(denial)), Close::bare(Some(Code::GOING_AWAY)));
        self.close(client, backend, End::Failed(code, "a message was refused".into()), steps);
    }

    /// Answers the newest ping of a side that has room.
    pub(crate) fn pong(&mut self, client_has_room: bool, backend_has_room: bool, steps: &mut Steps) {
        if self.is_closing() {
            return;
        }
        if let Some(bytes) = self.client.ping.take_if(|_| client_has_room) {
            steps.down.push(self.session.say(ToPeer::Pong(bytes)));
        }
        if let Some(bytes) = self.backend.ping.take_if(|_| backend_has_room) {
            steps.up.push(self.session.own(Own::Pong(bytes)));
        }
    }

    /// Nothing more comes from the client, or can be sent to it.
    pub(crate) fn on_client_gone(&mut self, steps: &mut Steps) {
        self.client.ended = true;
        let going = Close::bare(Some(Code::GOING_AWAY));
        self.close(going.clone(), going, End::Left, steps);
    }

    /// The same of the backend.
    pub(crate) fn on_backend_gone(&mut self, steps: &mut Steps) {
        self.backend.ended = true;
        let why = "the service behind the gateway broke off";
        let (client, backend) = (Close::because(Code::FAILED, why), Close::bare(Some(Code::GOING_AWAY)));
        self.close(client, backend, End::Failed(Code::FAILED, why.into()), steps);
    }

    /// Nobody said anything for too long.
    pub(crate) fn on_idle(&mut self, steps: &mut Steps) {
        self.go_away("idle", steps);
    }

    /// The gateway stops.
    pub(crate) fn on_drain(&mut self, steps: &mut Steps) {
        self.go_away("the gateway stops; connect again", steps);
    }

    /// The client says too much behind a message that waits.
    pub(crate) fn on_flood(&mut self, steps: &mut Steps) {
        let why = "too much is said behind a message that people decide about";
        let (client, backend) = (Close::because(Code::TOO_LARGE, why), Close::bare(Some(Code::GOING_AWAY)));
        self.close(client, backend, End::Failed(Code::TOO_LARGE, why.into()), steps);
    }

    fn go_away(&mut self, why: &str, steps: &mut Steps) {
        let close = Close::because(Code::GOING_AWAY, why);
        self.close(close.clone(), close, End::Orderly(Some(Code::GOING_AWAY)), steps);
    }

    /// Both streams end.
    pub(crate) fn end(&self, steps: &mut Steps) {
        steps.down.push(self.session.say(ToPeer::End));
        steps.up.push(self.session.own(Own::End));
    }

    /// Tells both sides, once.
    fn close(&mut self, to_client: Close, to_backend: Close, end: End, steps: &mut Steps) {
        let permit = match std::mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Open(permit) | Phase::Held(permit, _) | Phase::Reserving(permit, ..) => permit,
            Phase::Closing => return,
        };
        steps.hold = None;
        steps.reserve = None;
        steps.withdraw = true;
        self.output.finish();
        let bytes = self.bytes;
        match end {
            End::Orderly(code) => {
                // None was given: what the standard calls that (RFC 6455 §7.1.5).
                let status = code.map_or_else(|| "1005".to_owned(), |code| code.to_string());
                self.session.settle(permit, Outcome::Completed { status: status.into(), rows: 0, bytes }, None);
            }
            End::Failed(code, why) => {
                let outcome = Outcome::Failed { status: code.to_string().into(), message: Some(why) };
                self.session.settle(permit, outcome, None);
            }
            // Dropped unsettled, it is recorded as interrupted.
            End::Left => drop(permit),
        }
        steps.down.push(self.session.say(ToPeer::Close(to_client)));
        steps.up.push(self.session.own(Own::Close(to_backend)));
    }
}

/// A message that may not pass, as a command that cannot be read.
fn unread(request: &Request, message: Command, fault: Fault) -> Command {
    let parameters = message.parameters;
    let command = Command::faulty(Source::Request, Text::plain(request.line()), fault, message.digest);
    command.with_parameters(parameters)
}

/// A refusal in the words that a close frame has room for: the rule, and the decision whole.
fn reason(denial: &Denial) -> String {
    let decided = denial.decision.as_ref().map(|decision| format!(" (decision {decision})")).unwrap_or_default();
    let why = denial.rule().map_or_else(|| denial.reason.to_string(), |rule| format!("refused by {rule}"));
    let room = REASON.saturating_sub(decided.len());
    format!("{}{decided}", why.get(..why.floor_char_boundary(room)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
