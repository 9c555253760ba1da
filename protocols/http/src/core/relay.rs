//! The answer of a backend on its way to the client.
//!
//! Promises: a head leaves with the first bytes that its reader gives, with their length where they are all there is; what an
//! answer proposes is asked about before anything behind it is read; what follows a proposal leaves once that is in the
//! record. What ends early is settled as failed and never looks whole to a client that was told of a length or of chunks;
//! what its client had of it is in the record once, also where it is dropped.
//! Of a plain API's answer that came and may not pass, its client learns the status and that the request was carried out.
//! Held by: `core/tests.rs`.

use crate::answer::Output;
use crate::api::{Api, Ended, Part, Reader, Unfit};
use crate::coding::{Caps, Coding, Decoder};
use crate::core::{Prepared, Proposal, Steps, Waiting, failed};
use crate::frame::{Head, Request, ToClient};
use crate::reply;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use portcullis_gate::{Permit, Reservation, Ruling, Session, Settled};
use portcullis_model::{ApprovalId, Command, Denial, Outcome, Reason, Tokens};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that are decoded before the client's side is asked for room again, or little more.
const STEP: usize = 64 * 1024;
/// Bytes of one decoded answer, and how many each encoded one may stand for.
const CAPS: Caps = Caps { decoded: 8 << 30, ratio: 1024 };

const CODING: Unfit = Unfit("the answer is not in the coding that it names, or too large in it");
const TOO_MUCH: Unfit = Unfit("your requests that run, and their answers, are too large together");

pub(super) struct Relay {
    session: Arc<Session>,
    api: Api,
    /// Taken when it is settled.
    permit: Option<Permit>,
    reader: Box<dyn Reader>,
    output: Output,
    head_only: bool,
    /// What an error answers, where it answers something in the request.
    request: Option<Request>,
    /// What was taken for it from budgets, and what it has used.
    reservation: Option<Reservation>,
    used: Option<Tokens>,
    decoder: Option<Decoder>,
    /// What came and is not decoded yet, or not to its end.
    behind: Option<Bytes>,
    /// The head, until it leaves.
    head: Option<Head>,
    status: StatusCode,
    /// What leaves with the head.
    gathered: Vec<Bytes>,
    /// The length that the backend announced, where the client gets these very bytes.
    announced: Option<HeaderValue>,
    bytes: u64,
    /// The head has left.
    begun: bool,
    /// It was a stream's, which began while people decided about the request: whatever comes is to be part of it.
    early: bool,
    /// People decide about what it proposed.
    waiting: Option<ApprovalId>,
    /// The backend broke off.
    cut: bool,
}

impl Relay {
    pub(super) fn new(session: &Arc<Session>, api: Api, permit: Permit, prepared: Prepared, early: bool) -> Self {
        let Prepared { reader, outgoing, head_only, request, reservation, .. } = prepared;
        let output = Output::new(session, &permit, outgoing);
        Self {
            session: Arc::clone(session),
            api,
            permit: Some(permit),
            reader,
            output,
            head_only,
            request,
            reservation,
            used: None,
            decoder: None,
            behind: None,
            head: None,
            status: StatusCode::OK,
            gathered: Vec::new(),
            announced: None,
            bytes: 0,
            begun: early,
            early,
            waiting: None,
            cut: false,
        }
    }

    pub(super) const fn wants_data(&self) -> bool {
        self.waiting.is_none() && self.permit.is_some()
    }

    pub(super) const fn is_over(&self) -> bool {
        self.permit.is_none()
    }

    pub(super) fn on_head(&mut self, mut head: Head, steps: &mut Steps) {
        self.status = head.status;
        let bodiless = self.head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::TRANSFER_ENCODING);
        let coding = Coding::of(&head.headers);
        head.headers.remove(header::CONTENT_ENCODING);
        let masks = crate::api::Words::binds(&self.output);
        if let Err(why) = self.reader.on_head(&mut head, &mut self.output) {
            self.broken(&why, steps);
            return;
        }
        if coding == Ok(None) && !masks && self.api == Api::Rest {
            self.announced = length;
        }
        let events = head
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        self.head = Some(head).filter(|_| !self.early);
        match coding {
            _ if bodiless => self.on_end(Ended::Whole, steps),
            Err(_) => self.broken(&Unfit("the answer is in a coding that the gateway does not read"), steps),
            Ok(coding) => {
                self.decoder = Some(Decoder::new(coding, CAPS));
                // A stream may be long without an event, and its client waits for the head.
                if events {
                    self.flush(steps);
                }
            }
        }
    }

    pub(super) const fn is_behind(&self) -> bool {
        self.behind.is_some() && self.wants_data()
    }

    pub(super) fn on_data(&mut self, data: Bytes, steps: &mut Steps) {
        self.behind = Some(data);
        self.on_more(steps);
    }

    /// Decodes and reads one step of what came.
    pub(super) fn on_more(&mut self, steps: &mut Steps) {
        let (Some(decoder), Some(mut data)) = (&mut self.decoder, self.behind.take()) else { return };
        let mut decoded = Vec::new();
        match decoder.feed_some(&mut data, &mut decoded, STEP) {
            Ok(more) => self.behind = more.then_some(data),
            Err(_) => {
                self.decoder = None;
                self.unfit(&CODING, steps);
                return;
            }
        }
        self.feed(&decoded, steps);
        if self.permit.is_some() && !self.gathered.is_empty() {
            self.flush(steps);
        }
    }

    pub(super) fn on_end(&mut self, ended: Ended, steps: &mut Steps) {
        self.behind = None;
        if let Some(mut decoder) = self.decoder.take()
            && decoder.end().is_err()
            && ended == Ended::Whole
        {
            self.unfit(&CODING, steps);
            return;
        }
        if self.permit.is_none() {
            return;
        }
        self.cut |= ended == Ended::Broken;
        let mut parts = Vec::new();
        self.reader.on_end(ended, &mut self.output, &mut parts);
        self.take(parts, steps);
    }

    /// Bytes that its reader keeps until the answer is whole.
    pub(super) fn gathered(&self) -> usize {
        self.reader.gathered()
    }

    pub(super) fn on_too_much(&mut self, steps: &mut Steps) {
        self.unfit(&TOO_MUCH, steps);
    }

    /// It came, and may not pass for this reason: its reader is told that nothing follows.
    fn unfit(&mut self, why: &Unfit, steps: &mut Steps) {
        self.behind = None;
        if self.permit.is_none() {
            return;
        }
        let mut parts = Vec::new();
        self.reader.on_end(Ended::Broken, &mut self.output, &mut parts);
        // Why it breaks off is known better here.
        parts.retain(|part| !matches!(part, Part::Broken(_)));
        self.take(parts, steps);
        if self.permit.is_some() {
            self.broken(why, steps);
        }
    }

    /// The client went away: nothing is released and nothing is proposed any more. Gives what was taken from budgets and
    /// what of it was used, where the answer has said that.
    pub(super) fn on_gone(mut self) -> Option<(Reservation, u64)> {
        self.break_off();
        // Dropped unsettled, it is recorded as interrupted.
        let permit = self.permit.take()?;
        let used = self.used?;
        self.session.used(&permit, used);
        self.reservation.take().map(|reservation| (reservation, used.total()))
    }

    /// Nothing follows, and nobody is there. Its reader is told, so that what it held back is in the record, and what the
    /// answer has said of its use.
    fn break_off(&mut self) {
        let withdrawn = Denial { decision: None, reason: Reason::Withdrawn, message: None };
        let (mut proposed, mut ended) = (self.waiting.is_some(), false);
        while proposed || !ended {
            let mut parts = Vec::new();
            if proposed {
                self.reader.on_verdict(Err(&withdrawn), &mut self.output, &mut parts);
            } else {
                ended = true;
                self.reader.on_end(Ended::Broken, &mut self.output, &mut parts);
            }
            proposed = false;
            for part in parts {
                match part {
                    Part::Propose(_) => proposed = true,
                    Part::Used(tokens) => self.used = Some(tokens),
                    // Its reader has said its last.
                    Part::End | Part::Broken(_) => ended = true,
                    Part::Data(_) => {}
                }
            }
        }
        self.output.finish();
    }

    pub(super) fn on_settled(&mut self, settled: Settled<Proposal>, steps: &mut Steps) {
        self.waiting = None;
        let verdict = match settled {
            Settled::Forward(_cleared, permit) => {
                self.proposed(permit);
                Ok(())
            }
            Settled::Refuse(denial) => Err(denial),
        };
        let mut parts = VecDeque::new();
        self.verdict(verdict.as_ref().err(), &mut parts);
        self.take(parts.into(), steps);
        if self.permit.is_some() && !self.gathered.is_empty() {
            self.flush(steps);
        }
    }

    pub(super) fn on_waited(&mut self, steps: &mut Steps) {
        if let Some(comment) = self.waiting.and_then(|approval| self.reader.keep_alive(approval)) {
            self.gathered.push(comment);
            self.flush(steps);
        }
    }

    fn feed(&mut self, data: &[u8], steps: &mut Steps) {
        let mut parts = Vec::new();
        self.reader.on_data(data, &mut self.output, &mut parts);
        self.take(parts, steps);
    }

    /// Does what the reader said. A verdict can bring more of it, so this is a loop: a list of tools is hundreds of
    /// verdicts long.
    fn take(&mut self, parts: Vec<Part>, steps: &mut Steps) {
        let mut parts = VecDeque::from(parts);
        while let Some(part) = parts.pop_front()
            && self.permit.is_some()
        {
            match part {
                Part::Data(data) => {
                    // An error comes as one document.
                    let in_stream = self.early && self.status != StatusCode::OK;
                    let data = if in_stream { reply::event(self.api, &data) } else { data };
                    self.bytes += data.len() as u64;
                    self.gathered.push(data);
                }
                Part::Propose(command) => {
                    if let Some(verdict) = self.propose(*command, steps) {
                        self.verdict(verdict.as_ref().err(), &mut parts);
                    }
                }
                Part::Used(tokens) => self.used = Some(tokens),
                Part::End => self.end(steps),
                Part::Broken(why) => self.broken(&why, steps),
            }
        }
    }

    /// What becomes of what the answer proposes; none yet, where people decide.
    fn propose(&mut self, mut command: Command, steps: &mut Steps) -> Option<Result<(), Denial>> {
        command.reason = self.permit.as_ref().and_then(|permit| permit.command().reason.clone());
        match self.session.ask(self.session.seal(Proposal, command)) {
            // Nothing is sent for it: the client runs it, or not.
            Ruling::Forward(_cleared, permit) => {
                self.proposed(permit);
                Some(Ok(()))
            }
            Ruling::Refuse(denial) => Some(Err(denial)),
            Ruling::Hold(hold) => {
                self.waiting = Some(hold.approval());
                steps.hold = Some(Waiting::Proposal(hold));
                self.on_waited(steps);
                None
            }
        }
    }

    fn proposed(&self, permit: Permit) {
        self.session.settle(permit, Outcome::Completed { status: "proposed".into(), rows: 0, bytes: 0 }, None);
    }

    fn verdict(&mut self, refused: Option<&Denial>, parts: &mut VecDeque<Part>) {
        self.output.behind_newest();
        let mut more = Vec::new();
        self.reader.on_verdict(refused.map_or(Ok(()), Err), &mut self.output, &mut more);
        parts.extend(more);
    }

    /// Lets the head go, where it has not, and what has gathered.
    fn flush(&mut self, steps: &mut Steps) {
        if let Some(mut head) = self.head.take() {
            if let Some(length) = self.announced.take() {
                head.headers.insert(header::CONTENT_LENGTH, length);
            }
            self.begun = true;
            steps.down.push(self.output.release(ToClient::Head(head)));
        }
        for data in self.gathered.drain(..).filter(|data| !data.is_empty()) {
            steps.down.push(self.output.release(ToClient::Data(data)));
        }
    }

    fn end(&mut self, steps: &mut Steps) {
        if self.output.is_withheld() {
            self.broken(&Unfit("a mask could not be carried out"), steps);
            return;
        }
        if let Some(head) = &mut self.head
            && !self.head_only
            && self.announced.is_none()
            && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        {
            let length: usize = self.gathered.iter().map(Bytes::len).sum();
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.flush(steps);
        steps.down.push(self.output.release(ToClient::End));
        self.output.finish();
        self.settle(Outcome::Completed { status: self.status.as_str().into(), rows: 0, bytes: self.bytes }, steps);
    }

    fn broken(&mut self, why: &Unfit, steps: &mut Steps) {
        let mut status = StatusCode::BAD_GATEWAY;
        if self.begun {
            // What its reader says last may tell the client why.
            if self.early && self.bytes == 0 {
                let (_, body) = failed(self.api, self.request.as_ref(), status, why.0, self.cut);
                self.gathered.push(reply::event(self.api, &body));
            }
            self.flush(steps);
            steps.down.push(self.output.release(ToClient::Abort));
        } else {
            self.gathered.clear();
            let (head, body) = if self.api == Api::Rest && !self.cut {
                let withheld = reply::withheld(self.status, why.0);
                status = withheld.0.status;
                withheld
            } else {
                // What came whole and may not pass comes like that again, and is paid for again.
                failed(self.api, self.request.as_ref(), status, why.0, self.cut)
            };
            steps.down.push(self.session.say(ToClient::Head(head)));
            if !self.head_only {
                steps.down.push(self.session.say(ToClient::Data(body)));
            }
            steps.down.push(self.session.say(ToClient::End));
        }
        self.output.finish();
        self.settle(Outcome::Failed { status: status.as_str().into(), message: Some(why.0.into()) }, steps);
    }

    fn settle(&mut self, outcome: Outcome, steps: &mut Steps) {
        if let Some(permit) = self.permit.take() {
            if let Some(used) = self.used {
                self.session.used(&permit, used);
            }
            // Of an answer that said nothing of it, nobody knows what it used: what was taken stays taken. An error of the
            // provider's uses nothing; one of whoever stands before it says nothing about that.
            let used = self.used.map(|used| used.total()).or_else(|| is_providers_error(self.status).then_some(0));
            steps.used = self.reservation.take().zip(used);
            self.session.settle(permit, outcome, None);
        }
    }
}

/// Its session was killed, or the gateway stops: what the client had of it by then is in the record all the same, and what it
/// has used. What was taken from budgets stays taken: nothing that could give it back runs any more.
impl Drop for Relay {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        self.break_off();
        if let (Some(permit), Some(used)) = (&self.permit, self.used) {
            self.session.used(permit, used);
        }
    }
}

/// Whether an answer of this status says that nothing was run.
fn is_providers_error(status: StatusCode) -> bool {
    (status.is_client_error() || status.is_server_error())
        && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
}
