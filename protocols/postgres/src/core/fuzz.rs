//! The core between two peers that an input plays: a client that says anything, a server that answers in earnest, out of
//! turn or with anything.
//!
//! Promises: [`fuzz_core`] fails where what is sent to either side is not whole frames of known kinds, and where a text
//! reaches the server that cannot be read, or that drops, which the policy of whoever calls must refuse. Does not
//! promise that the server's answers make sense: that they do not is the point.
//! Held by: `core/tests/splitting.rs`, which brings a session of its own gate, and the fuzz target `postgres_core`.

mod peers;

use super::{Core, Snapshot, Steps};
use crate::classify::Reader;
use crate::frame::{FrameBuf, FrameLimits, Next, Phase};
use bytes::Bytes;
use peers::{CLIENT, SERVER, Server, one};
use portcullis_gate::{Downstream, Outlet, Session, Upstream};
use portcullis_model::Action;
use portcullis_sql::{Cache, Dialect, Limits, Scope, read};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Plays an input: each step is a byte that says who speaks and how, then its bytes. The session must be of a gate that
/// refuses every `drop`, with a record that is batched.
pub fn fuzz_core(session: Session, data: &[u8]) {
    let mut play = Play::new(session);
    let mut rest = data;
    while let Some((&how, after)) = rest.split_first() {
        let (argument, after) = after.split_first().map_or((0, after), |(byte, after)| (*byte, after));
        let says = after.get(..usize::from(argument).min(after.len())).unwrap_or_default();
        let behind = after.get(says.len()..).unwrap_or_default();
        rest = match how % 9 {
            0 => {
                play.client(says);
                behind
            }
            1 => {
                play.server(says);
                behind
            }
            2 => {
                play.client(&one(|out| crate::message::write::query(out, &String::from_utf8_lossy(says))));
                behind
            }
            3 => {
                play.client(&one(|out| crate::message::write::parse(out, "", &String::from_utf8_lossy(says), &[])));
                behind
            }
            4 | 5 => {
                play.client(&CLIENT.get(usize::from(argument) % CLIENT.len()).map_or_else(Vec::new, |says| says()));
                after
            }
            6 => {
                let answers = play.peer.answer(argument);
                play.server(&answers);
                after
            }
            7 => {
                play.settle_all(argument);
                after
            }
            _ => {
                play.server(&SERVER.get(usize::from(argument) % SERVER.len()).map_or_else(Vec::new, |says| says()));
                after
            }
        };
    }
}

/// Where frames go, to be looked at.
#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<Bytes>>>);

impl Sink {
    fn take(&self) -> Vec<Bytes> {
        self.0.take()
    }
}

impl Outlet for Sink {
    type Frame = Bytes;

    fn stage(&mut self, frame: Bytes) {
        self.0.borrow_mut().push(frame);
    }

    fn staged(&self) -> usize {
        0
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Play {
    core: Core,
    steps: Steps,
    ended: bool,
    from_client: FrameBuf,
    from_server: FrameBuf,
    up: Upstream<Sink>,
    down: Downstream<Sink>,
    to_server: Sink,
    to_client: Sink,
    /// Told to the client and not yet a whole frame: long rows leave in pieces.
    told: Vec<u8>,
    peer: Server,
}

impl Play {
    fn new(session: Session) -> Self {
        let session = Arc::new(session);
        let (to_server, to_client) = (Sink::default(), Sink::default());
        let (up, down) = (Upstream::new(to_server.clone(), &session), Downstream::new(to_client.clone(), &session));
        let reader = Reader { cache: Arc::new(Cache::new(1 << 16)), limits: Limits::default() };
        let catalogue = portcullis_sql::fuzz_scope().catalogue;
        let snapshot: Snapshot = Arc::new(move || Arc::clone(&catalogue));
        let limits = FrameLimits { statement: 4096, bind: 4096, row: 4096 };
        let mut play = Self {
            core: Core::new(session, reader, snapshot, 1, Some(7)),
            steps: Steps::default(),
            ended: false,
            from_client: FrameBuf::new(limits),
            from_server: FrameBuf::new(limits),
            up,
            down,
            to_server,
            to_client,
            told: Vec::new(),
            peer: Server::default(),
        };
        play.core.start(&mut play.steps);
        play.apply();
        play
    }

    fn client(&mut self, bytes: &[u8]) {
        self.from_client.push(bytes);
        self.take_client();
    }

    fn take_client(&mut self) {
        while !self.ended && self.core.wants_client() {
            match self.from_client.next(self.core.phase(), b"") {
                Next::Frame(frame) => self.core.on_client(frame, &mut self.steps),
                Next::Oversize { tag, length, limit } => self.core.on_oversize(tag, length, limit, &mut self.steps),
                Next::Bad(error) => self.core.malformed(&error.to_string(), &mut self.steps),
                Next::NeedMore | Next::Chunk(_) => break,
            }
            self.apply();
        }
    }

    fn server(&mut self, bytes: &[u8]) {
        self.from_server.push(bytes);
        while !self.ended {
            if let Some(rows) = self.from_server.run(b'D', 1 << 12) {
                self.core.on_rows(rows, &mut self.steps);
            } else {
                match self.from_server.next(Phase::ServerReady, b"dD") {
                    Next::Frame(frame) => self.core.on_backend(frame, &mut self.steps),
                    Next::Chunk(chunk) => self.core.on_backend_chunk(chunk, &mut self.steps),
                    Next::Bad(_) | Next::Oversize { .. } => self.core.breach("no message", &mut self.steps),
                    Next::NeedMore => break,
                }
            }
            self.apply();
        }
        self.take_client();
    }

    /// The server answers everything that it was sent, in earnest.
    fn settle_all(&mut self, how: u8) {
        // Answers can make the gateway send more, but never for ever.
        for _ in 0..256 {
            let answers = self.peer.answer(how);
            if self.ended || (answers.is_empty() && self.peer.is_idle()) {
                break;
            }
            self.server(&answers);
        }
    }

    fn apply(&mut self) {
        // Nobody votes here: what asks for people is withdrawn at once.
        self.steps.hold = None;
        if std::mem::take(&mut self.steps.refresh) {
            self.core.on_refreshed(&mut self.steps);
        }
        if self.core.is_holding() {
            self.steps.hold = None;
            self.core.on_withdrawn(&mut self.steps);
        }
        self.steps.up.drain(..).for_each(|cleared| self.up.push(cleared));
        self.steps.down.drain(..).for_each(|released| self.down.push(released));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(self.up.poll_send(&mut cx), Poll::Ready(Ok(()))), "a batched record makes nothing wait");
        assert!(matches!(self.down.poll_send(&mut cx), Poll::Ready(Ok(()))), "a batched record makes nothing wait");
        self.ended |= self.steps.end.take().is_some();
        for bytes in self.to_server.take() {
            let mut bytes: &[u8] = &bytes;
            while let Some((tag, body)) = frame(&mut bytes) {
                sent(tag, body);
                self.peer.take(tag, body);
            }
            assert!(bytes.is_empty(), "half a frame was sent to the server");
        }
        for bytes in self.to_client.take() {
            self.told.extend_from_slice(&bytes);
        }
        let mut bytes: &[u8] = &self.told;
        while let Some((tag, _)) = frame(&mut bytes) {
            assert!(b"123ACDEGHIKNSTZcdnst".contains(&tag), "a message of type {tag} was told to the client");
        }
        self.told = bytes.to_vec();
    }
}

/// The next whole frame.
fn frame<'b>(bytes: &mut &'b [u8]) -> Option<(u8, &'b [u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    assert!(length >= 4, "a length of {length} was sent");
    let body = rest.get(4..length)?;
    *bytes = rest.get(length..)?;
    Some((*tag, body))
}

/// What may reach a server: a text that was read and that drops nothing, or the gateway's own.
fn sent(tag: u8, body: &[u8]) {
    assert!(b"BCDEHPQSXcdf".contains(&tag), "a message of type {tag} was sent to the server");
    let text = match tag {
        b'Q' => body.split(|byte| *byte == 0).next(),
        b'P' => body.split(|byte| *byte == 0).nth(1),
        _ => None,
    };
    let Some(text) = text else { return };
    if text.starts_with(b"/*gw") && text.ends_with(b"*/!") {
        return;
    }
    let text = std::str::from_utf8(text);
    assert!(text.is_ok(), "a text that is not UTF-8 was sent");
    let reading = read(text.unwrap_or_default(), Dialect::Postgres, &Scope::unknown(), &Limits::default());
    assert_eq!(reading.fault, None, "a text that cannot be read was sent");
    let drops = reading.operations().iter().any(|operation| operation.action == Action::Drop);
    assert!(!drops, "a text that drops was sent");
}
