//! The request of an exchange, on its way to the backend.
//!
//! Promises: what is asked about is what the API's reader made of the request, and what is sent is that; tools that a model
//! may not be offered are left out before it is asked, each judged by itself; a request whose masks have changed since it
//! was masked is not sent; budgets are asked once it is allowed, and nothing is sent before they have given.
//! Held by: `core/tests.rs`.

use super::{Core, Phase, Prepared, Proposal, Reserve, Steps, Waiting};
use crate::answer::Sent;
use crate::api::{Api, Asked, Read, anthropic, mcp, openai, rest};
use crate::classify;
use crate::frame::{Method, Request};
use crate::{reply, tools};
use portcullis_gate::{Cleared, Hold, LeftOpen, Permit, Reservation, Ruling, Settled, Waited};
use portcullis_model::{Command, DecisionId, Denial, Digest, Fault, Object, Outcome, Reason};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Tools of one request that are judged each by itself where they are refused together.
const OFFERED: usize = 256;

impl Core {
    /// A request, whole, and how long its client stays while people decide, where it says so.
    pub(crate) fn on_request(&mut self, request: Request, patience: Option<Duration>, steps: &mut Steps) {
        let whole = matches!(self.target.api, Api::Anthropic | Api::OpenAi).then(|| request.clone());
        let mut sent = Sent::new(&self.session);
        let mut read = self.read(request, &mut sent);
        if let Read::Asked(asked) = &mut read
            && let Some(offers) = asked.offers.take()
            && let Err(denial) = self.offers(&offers)
        {
            let Some(fewer) = whole.and_then(|whole| self.without_refused(&whole, &offers)) else {
                return self.refuse(&denial, None, steps);
            };
            sent = Sent::new(&self.session);
            read = self.read(fewer, &mut sent);
            // What is left was let through tool by tool; policy may have changed since.
            if let Read::Asked(asked) = &mut read
                && let Some(offers) = asked.offers.take()
                && let Err(denial) = self.offers(&offers)
            {
                return self.refuse(&denial, None, steps);
            }
        }
        match read {
            Read::Own(head, body) => self.say(head, body, steps),
            Read::Asked(asked) => self.ask(*asked, patience, sent, steps),
        }
    }

    fn read(&self, request: Request, sent: &mut Sent) -> Read {
        match self.target.api {
            Api::Rest => rest::read(request, &self.target.opaque, sent),
            Api::Anthropic => anthropic::read(request, &self.target.tools, sent),
            Api::OpenAi => openai::read(request, &self.target.tools, sent),
            Api::Mcp => mcp::read(request, &self.context()),
        }
    }

    /// Whether these tools may be offered to a model.
    fn offers(&self, offers: &Command) -> Result<(), Denial> {
        match self.session.ask(self.session.seal(Proposal, offers.clone())) {
            Ruling::Refuse(denial) => Err(denial),
            Ruling::Forward(..) | Ruling::Hold(_) => Ok(()),
        }
    }

    /// The request without those of its tools that are refused, each judged by itself.
    fn without_refused(&self, request: &Request, offers: &Command) -> Option<Request> {
        let names = offers.operations().iter().filter_map(|operation| match &operation.object {
            Object::Tool(name) => name.as_str(),
            _ => None,
        });
        let is_refused =
            |name: &&str| tools::offers(std::iter::once(*name)).is_none_or(|offer| self.offers(&offer).is_err());
        let refused: BTreeSet<String> = names.take(OFFERED).filter(is_refused).map(ToOwned::to_owned).collect();
        match self.target.api {
            Api::Anthropic => anthropic::without(request, &refused),
            Api::OpenAi => openai::without(request, &refused),
            Api::Rest | Api::Mcp => None,
        }
    }

    fn ask(&mut self, asked: Asked, patience: Option<Duration>, sent: Sent, steps: &mut Steps) {
        let Asked { offers: _, mut command, request, tokens, reader } = asked;
        let mcp = self.target.api == Api::Mcp;
        let prepared = Prepared {
            reader,
            outgoing: matches!(self.target.api, Api::Anthropic | Api::OpenAi).then_some(sent.outgoing),
            head_only: request.method == Method::Head,
            request: mcp.then(|| request.clone()),
            same: request.untraced().unwrap_or(command.digest),
            tokens,
            reservation: None,
        };
        if sent.withheld {
            let message = "a mask of what is sent cannot be carried out".into();
            command = classify::faulty(&request, Fault::Unsupported { message });
        }
        command.reason = self.reason.clone();
        match self.session.ask(self.session.seal(request, command)) {
            Ruling::Forward(cleared, permit) => self.forward(cleared, permit, prepared, steps),
            Ruling::Refuse(denial) => self.refuse(&denial, prepared.request.as_ref(), steps),
            Ruling::Hold(hold) => self.hold(hold, patience, prepared, steps),
        }
    }

    fn hold(&mut self, hold: Hold<Request>, patience: Option<Duration>, prepared: Prepared, steps: &mut Steps) {
        let approval = hold.waits_for();
        let (same, patience) = match &prepared.request {
            // Each message has a number of its own, also one that says the same again.
            Some(request) => (mcp::same(request), Some(patience.unwrap_or(mcp::PATIENCE).min(mcp::PATIENCE))),
            None => (Some(prepared.same), patience),
        };
        let hold = match same {
            Some(same) => hold.same_by(same),
            None => hold,
        };
        steps.hold = Some(Waiting::Request(Box::new(hold), patience));
        self.phase = Phase::Held(prepared, approval);
    }

    fn forward(&mut self, cleared: Cleared<Request>, permit: Permit, prepared: Prepared, steps: &mut Steps) {
        // What was sealed was masked before it was judged: under other masks it may not leave.
        if prepared.outgoing.as_ref().is_some_and(|outgoing| !outgoing.is_of(&permit)) {
            let decision = Some(DecisionId { session: self.session.id(), number: permit.number() });
            self.session.settle(permit, Outcome::REFUSED, None);
            let denial = Denial { decision, reason: Reason::MasksChanged, message: None };
            self.refuse(&denial, prepared.request.as_ref(), steps);
            return;
        }
        steps.reserve = Some(Reserve { permit, tokens: prepared.tokens });
        self.phase = Phase::Reserving(cleared, prepared);
    }

    /// The budgets have given what was asked of them, or not.
    pub(crate) fn on_reserved(&mut self, permit: Permit, reserved: Result<Reservation, Denial>, steps: &mut Steps) {
        let Phase::Reserving(cleared, mut prepared) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        match reserved {
            Ok(reservation) => {
                prepared.reservation = Some(reservation);
                steps.up = Some(cleared);
                self.phase = Phase::Sent(permit, prepared);
            }
            Err(denial) => {
                self.session.settle(permit, Outcome::REFUSED, None);
                self.refuse(&denial, prepared.request.as_ref(), steps);
            }
        }
    }

    /// People have decided about the request, or its client does not stay for it.
    pub(crate) fn on_request_settled(&mut self, settled: Waited<Request>, steps: &mut Steps) {
        let Phase::Held(prepared, _) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        match settled {
            Waited::Settled(Settled::Forward(cleared, permit)) => self.forward(cleared, permit, prepared, steps),
            Waited::Settled(Settled::Refuse(denial)) => self.refuse(&denial, prepared.request.as_ref(), steps),
            Waited::Left(left) => self.left(&left, prepared.request.as_ref(), steps),
        }
    }

    /// Tells a client that its request waits without it.
    fn left(&mut self, left: &LeftOpen, request: Option<&Request>, steps: &mut Steps) {
        let (head, body) = match request {
            Some(request) => mcp::left(request, left),
            None => reply::left(self.target.api, left),
        };
        self.say(head, body, steps);
    }

    /// Whose sessions of tool servers these are.
    fn context(&self) -> mcp::Context {
        let (principal, connection) = (self.session.principal(), self.session.connection());
        let parts = [
            principal.issuer.as_bytes(),
            b"\0",
            principal.subject.as_bytes(),
            b"\0",
            connection.name.as_str().as_bytes(),
        ];
        mcp::Context {
            tools: Arc::clone(&self.target.tools),
            opaque: Arc::clone(&self.target.opaque),
            seal: Arc::clone(&self.target.seal),
            holder: Digest::of_parts(&parts),
        }
    }
}
