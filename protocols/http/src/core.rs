//! One request and its answer, sans-I/O: what a client and a backend say, and what becomes of it.
//!
//! ```text
//! Fresh --ask--> Sent --head--> Answering --end--> Over
//!   |  \--hold--> Held --/          |  \--hold--> Answering, while people decide about what the answer proposes
//!   \--refuse--> Over               \--unfit, broken--> Over
//! ```
//! Promises: nothing reaches the backend but as the gate cleared it; nothing of an answer reaches the client but as its
//! reader gave it and the gate released it; the head of an answer waits for its first byte, so that an answer that cannot
//! be passed on is an error of its own status, or the last event of a stream that began while people decided; one that
//! breaks off later never looks whole; however an exchange ends, its commands are settled.
//! Does not promise to read any API: `api/` does. `core/request.rs` is the way to the backend, `core/relay.rs` the way back.
//! Held by: `core/tests.rs`, and `tests/it/http*.rs` of the binary.

mod relay;
mod request;

use crate::api::{Api, Ended, Reader, mcp, rest};
use crate::error::Error;
use crate::frame::{Head, Request, ToClient};
use crate::reply;
use crate::tools::ToolTable;
use bytes::Bytes;
use http::StatusCode;
use portcullis_gate::{Cleared, Hold, Outgoing, Permit, Released, Reservation, Session, Settled, Weight};
use portcullis_model::{ApprovalId, Denial, Digest, Outcome};
use relay::Relay;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a connection's requests are read by.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) api: Api,
    pub(crate) tools: Arc<ToolTable>,
    pub(crate) opaque: Arc<rest::Opaque>,
    /// Seals the session ids of tool servers.
    pub(crate) seal: Arc<mcp::Seal>,
}

/// What an answer proposes to its client: nothing that would be sent, only its command is judged.
pub(crate) struct Proposal;

impl Weight for Proposal {
    fn weight(&self) -> usize {
        0
    }
}

/// What is to be done, in this order.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) up: Option<Cleared<Request>>,
    pub(crate) down: Vec<Released<ToClient>>,
    pub(crate) hold: Option<Waiting>,
    /// Take this from the budgets and say so with [`Core::on_reserved`].
    pub(crate) reserve: Option<Reserve>,
    /// Give back to the budgets what was not used of it.
    pub(crate) used: Option<(Reservation, u64)>,
    /// Nothing more comes of this exchange.
    pub(crate) end: bool,
}

/// What waits for people.
pub(crate) enum Waiting {
    /// And for how long its client stays.
    Request(Box<Hold<Request>>, Option<Duration>),
    Proposal(Hold<Proposal>),
}

/// What a request may use at most.
pub(crate) struct Reserve {
    pub(crate) permit: Permit,
    pub(crate) tokens: u64,
}

enum Phase {
    Fresh,
    /// And which request people decide about.
    Held(Prepared, watch::Receiver<ApprovalId>),
    /// Allowed, and not taken from its budgets yet.
    Reserving(Cleared<Request>, Prepared),
    /// Sent, and not answered.
    Sent(Permit, Prepared),
    Answering(Box<Relay>),
    Over,
}

/// What a request leaves for its answer.
struct Prepared {
    reader: Box<dyn Reader>,
    /// What was masked in it; none where nothing leaves to somebody outside.
    outgoing: Option<Outgoing>,
    /// It asks for a head only (RFC 9110 §9.3.2).
    head_only: bool,
    /// The request itself, where a refusal answers something in it.
    request: Option<Request>,
    /// What it is found by when it is sent again, where that is over all of it.
    same: Digest,
    /// The tokens that it may use.
    tokens: u64,
    /// What was taken for it.
    reservation: Option<Reservation>,
}

/// One exchange.
pub(crate) struct Core {
    session: Arc<Session>,
    target: Arc<Target>,
    phase: Phase,
    /// A stream has begun while people decide: what ends it is an event.
    begun: bool,
    /// Why the request is sent, and so what its answer proposes.
    reason: Option<Arc<str>>,
}

impl Core {
    pub(crate) const fn new(session: Arc<Session>, target: Arc<Target>) -> Self {
        Self { session, target, phase: Phase::Fresh, begun: false, reason: None }
    }

    /// Whether the backend's head or data can be taken.
    pub(crate) fn wants_backend(&self) -> bool {
        match &self.phase {
            Phase::Sent(..) => true,
            Phase::Answering(relay) => relay.wants_data(),
            Phase::Fresh | Phase::Held(..) | Phase::Reserving(..) | Phase::Over => false,
        }
    }

    /// Why the request that comes is sent, where its client says so.
    pub(crate) fn because(&mut self, reason: Option<Arc<str>>) {
        self.reason = reason;
    }

    /// People have decided about what the answer proposes.
    pub(crate) fn on_proposal_settled(&mut self, settled: Settled<Proposal>, steps: &mut Steps) {
        if let Phase::Answering(relay) = &mut self.phase {
            relay.on_settled(settled, steps);
        }
        self.look(steps);
    }

    /// The head of the backend's answer.
    pub(crate) fn on_head(&mut self, head: Head, steps: &mut Steps) {
        let Phase::Sent(permit, prepared) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let mut relay = Relay::new(&self.session, self.target.api, permit, prepared, self.begun);
        relay.on_head(head, steps);
        self.phase = Phase::Answering(Box::new(relay));
        self.look(steps);
    }

    /// The backend has opened the socket that was asked for: what is judged of it from now on belongs to this command.
    pub(crate) fn on_switched(&mut self) -> Option<Permit> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Sent(permit, _) => Some(permit),
            Phase::Fresh | Phase::Held(..) | Phase::Reserving(..) | Phase::Answering(_) | Phase::Over => None,
        }
    }

    /// Bytes of its body, as they came. What they decode to is taken in steps: [`Core::is_behind`].
    pub(crate) fn on_data(&mut self, data: Bytes, steps: &mut Steps) {
        if let Phase::Answering(relay) = &mut self.phase {
            relay.on_data(data, steps);
        }
        self.look(steps);
    }

    /// Whether bytes that came are not read to their end yet: [`Core::on_more`] before anything else of the backend's.
    pub(crate) fn is_behind(&self) -> bool {
        matches!(&self.phase, Phase::Answering(relay) if relay.is_behind())
    }

    /// Bytes of the answer that are kept until it is whole.
    pub(crate) fn gathered(&self) -> usize {
        match &self.phase {
            Phase::Answering(relay) => relay.gathered(),
            Phase::Fresh | Phase::Held(..) | Phase::Reserving(..) | Phase::Sent(..) | Phase::Over => 0,
        }
    }

    /// They are too many, with what else its principal holds.
    pub(crate) fn on_too_much(&mut self, steps: &mut Steps) {
        if let Phase::Answering(relay) = &mut self.phase {
            relay.on_too_much(steps);
        }
        self.look(steps);
    }

    /// There is room for more of what came.
    pub(crate) fn on_more(&mut self, steps: &mut Steps) {
        if let Phase::Answering(relay) = &mut self.phase {
            relay.on_more(steps);
        }
        self.look(steps);
    }

    /// The backend's answer is whole.
    pub(crate) fn on_end(&mut self, steps: &mut Steps) {
        if let Phase::Answering(relay) = &mut self.phase {
            relay.on_end(Ended::Whole, steps);
        }
        self.look(steps);
    }

    /// The backend could not be reached, broke off, or took too long.
    pub(crate) fn on_broken(&mut self, error: &Error, steps: &mut Steps) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Answering(mut relay) => {
                relay.on_end(Ended::Broken, steps);
                self.phase = Phase::Answering(relay);
                self.look(steps);
            }
            Phase::Sent(permit, prepared) => {
                let message = Some(error.told().into());
                self.session.settle(permit, Outcome::Failed { status: error.status().as_str().into(), message }, None);
                // What was sent may run, whoever stopped waiting for it.
                steps.used = prepared.reservation.filter(|_| never_sent(error)).map(|reservation| (reservation, 0));
                let (api, request) = (self.target.api, prepared.request.as_ref());
                let (head, body) = failed(api, request, error.status(), error.told(), error.may_pass());
                self.say(head, body, steps);
            }
            Phase::Fresh | Phase::Held(..) | Phase::Reserving(..) | Phase::Over => steps.end = true,
        }
    }

    /// [`KEEP_ALIVE`](crate::api::KEEP_ALIVE) has passed while a hold waits: what keeps the client waiting. The stream of a
    /// request that waits begins here and not before: who decides at once is answered with a status of its own.
    pub(crate) fn on_waited(&mut self, steps: &mut Steps) {
        match &mut self.phase {
            Phase::Answering(relay) => relay.on_waited(steps),
            Phase::Held(prepared, approval) => {
                let Some(comment) = prepared.reader.keep_alive(*approval.borrow()) else { return };
                if !std::mem::replace(&mut self.begun, true) {
                    steps.down.push(self.session.say(ToClient::Head(reply::stream())));
                }
                steps.down.push(self.session.say(ToClient::Data(comment)));
            }
            Phase::Fresh | Phase::Reserving(..) | Phase::Sent(..) | Phase::Over => {}
        }
    }

    /// The client went away: what runs is recorded as interrupted, with what was read of its answer, what waits as withdrawn.
    /// What it took from budgets stays taken where its answer has not said what it used: the model goes on, and nobody
    /// learns for how long.
    pub(crate) fn on_gone(&mut self, steps: &mut Steps) {
        if let Phase::Answering(relay) = std::mem::replace(&mut self.phase, Phase::Over) {
            steps.used = relay.on_gone();
        }
        steps.end = true;
    }

    fn refuse(&mut self, denial: &Denial, request: Option<&Request>, steps: &mut Steps) {
        let (head, body) = match request {
            Some(request) => mcp::refused(request, denial),
            None => reply::refused(self.target.api, denial),
        };
        self.say(head, body, steps);
    }

    /// Answers in the gateway's own words.
    fn say(&mut self, head: Head, body: Bytes, steps: &mut Steps) {
        if self.begun {
            steps.down.push(self.session.say(ToClient::Data(reply::event(self.target.api, &body))));
        } else {
            steps.down.push(self.session.say(ToClient::Head(head)));
            if !body.is_empty() {
                steps.down.push(self.session.say(ToClient::Data(body)));
            }
        }
        steps.down.push(self.session.say(ToClient::End));
        steps.end = true;
        self.phase = Phase::Over;
    }

    /// Whether the answer is over.
    fn look(&mut self, steps: &mut Steps) {
        if let Phase::Answering(relay) = &self.phase
            && relay.is_over()
        {
            self.phase = Phase::Over;
            steps.end = true;
        }
    }
}

/// Whether the error is one that comes before anything is sent.
const fn never_sent(error: &Error) -> bool {
    match error {
        Error::Net(_) | Error::Credential(_) | Error::Unsendable(_) => true,
        Error::Backend(_) | Error::Redirects(_) | Error::Timeout { .. } | Error::RecordUnavailable => false,
    }
}

/// An error that is nobody's refusal, in the words of the API, and whether the same request may pass later.
fn failed(api: Api, request: Option<&Request>, status: StatusCode, why: &str, passing: bool) -> (Head, Bytes) {
    match request {
        Some(request) => mcp::failed(request, status, why),
        None => reply::failed(api, status, why, passing),
    }
}

#[cfg(test)]
pub(crate) mod tests;
