//! A channel with a client, a gate that knows a few rules, and a target, to play against.

use crate::sftp::packet::{Request, kind};
use crate::sftp::tests::tree::{HOME, Tree};
use crate::sftp::wire::Writer;
use crate::sftp::{Action, Back, Of, Sftp, StreamFault};
use bytes::Bytes;
use portcullis_model::{Action as Deed, Command, Denial, Object, Operation, Outcome, Reason};

/// What was decided, in order: the text, and whether it passed.
pub(crate) type Decided = Vec<(String, bool)>;

pub(crate) struct World {
    pub(crate) sftp: Sftp<usize>,
    pub(crate) tree: Tree,
    pub(crate) allow: fn(&Operation) -> bool,
    /// While a person is asked, nothing goes on.
    pub(crate) holding: bool,
    pub(crate) decided: Decided,
    pub(crate) commands: Vec<Command>,
    /// Whole packets, as the target gets them.
    pub(crate) to_target: Vec<Bytes>,
    pub(crate) to_client: Vec<Bytes>,
    pub(crate) settled: Vec<(usize, Outcome, Option<portcullis_model::Digest>)>,
    pub(crate) fault: Option<StreamFault>,
}

impl World {
    pub(crate) fn new(allow: fn(&Operation) -> bool) -> Self {
        Self {
            sftp: Sftp::new(),
            tree: Tree::sandbox(),
            allow,
            holding: false,
            decided: Vec::new(),
            commands: Vec::new(),
            to_target: Vec::new(),
            to_client: Vec::new(),
            settled: Vec::new(),
            fault: None,
        }
    }

    /// One that has been greeted, with every extension on offer.
    pub(crate) fn greeted(allow: fn(&Operation) -> bool) -> Self {
        let mut world = Self::new(allow);
        world.client(b"\0\0\0\x05\x01\0\0\0\x03");
        world.target(&greeting());
        world.to_target.clear();
        world.to_client.clear();
        world
    }

    pub(crate) fn client(&mut self, bytes: &[u8]) {
        self.sftp.push_client(bytes);
        self.pump();
    }

    pub(crate) fn ask(&mut self, id: u32, request: &Request) {
        self.client(&request.encode(id));
    }

    pub(crate) fn target(&mut self, bytes: &[u8]) {
        self.sftp.push_target(bytes);
        self.pump();
    }

    /// The target says how a request ended.
    pub(crate) fn status(&mut self, id: u32, code: u32) {
        self.target(&crate::sftp::answer::status_of(id, code, "said the target"));
    }

    pub(crate) fn handle(&mut self, id: u32, handle: &[u8]) {
        self.target(&Writer::new(kind::HANDLE).u32(id).string(handle).finish());
    }

    pub(crate) fn pump(&mut self) {
        while self.take_from_client() || self.take_from_target() {}
    }

    fn take_from_client(&mut self) -> bool {
        if self.holding {
            return false;
        }
        match self.sftp.next_client() {
            Action::Wait => return false,
            Action::Pass(frame) => self.to_target.push(frame),
            Action::Follow { frame, .. } => {
                self.to_target.push(frame);
                self.sftp.sent();
            }
            Action::Ask(wanted) => {
                let judged = match self.tree.all(wanted.touches()) {
                    Ok(resolved) => wanted.judged(&resolved, Some(HOME)),
                    Err(why) => wanted.unresolved(why),
                };
                let denial = self.judge(&judged.command);
                self.decided.push((judged.command.text.as_str().to_owned(), denial.is_none()));
                self.commands.push(judged.command);
                match denial {
                    None => {
                        self.to_target.push(judged.frame);
                        self.sftp.granted(self.commands.len() - 1, judged.place);
                    }
                    Some(denial) => self.to_client.push(self.sftp.refused(&denial)),
                }
            }
            Action::End(fault) => {
                let first = self.fault.is_none();
                self.fault = Some(fault);
                return first;
            }
        }
        true
    }

    fn judge(&self, command: &Command) -> Option<Denial> {
        let denied = |reason| Some(Denial { decision: None, reason, message: None });
        if let Some(fault) = &command.fault {
            return denied(Reason::Unreadable(fault.clone()));
        }
        let ruled = command.operations().iter().find(|one| one.action != Deed::Session && !(self.allow)(one));
        ruled.and_then(|one| denied(Reason::NoRule { operation: one.to_string().into() }))
    }

    fn take_from_target(&mut self) -> bool {
        match self.sftp.next_target() {
            Back::Wait => return false,
            Back::Reply { of, bytes } => {
                if let Of::Ended(ended) = of {
                    let outcome = ended.outcome();
                    let digest = ended.transferred.as_ref().and_then(|passed| passed.digest());
                    self.settled.push((ended.permit, outcome, digest));
                }
                self.to_client.push(bytes);
            }
            Back::End(fault) => {
                let first = self.fault.is_none();
                self.fault = Some(fault);
                return first;
            }
        }
        true
    }

    /// Status codes that the client was told, by number.
    pub(crate) fn told(&self) -> Vec<(u32, u32)> {
        let number = |bytes: &Bytes, at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let status = self.to_client.iter().filter(|bytes| bytes[4] == kind::STATUS);
        status.map(|bytes| (number(bytes, 5), number(bytes, 9))).collect()
    }
}

pub(crate) fn greeting() -> Bytes {
    let start = Writer::new(kind::VERSION).u32(3);
    let all = crate::sftp::extension::Extension::ALL;
    all.into_iter().fold(start, |out, one| out.string(one.name().as_bytes()).string(one.version().as_bytes())).finish()
}

/// The rules of the corpus.
pub(crate) fn rules(operation: &Operation) -> bool {
    let Object::File(part) = &operation.object else { return false };
    let Some(path) = part.as_str() else { return false };
    let below = |tree: &str| path == tree || path.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/'));
    let secret = below("~/.ssh") || below("~/.aws") || path == "~/.pgpass" || path.ends_with("/.env");
    let writable = below("~/sandbox/work") || below("~/sandbox/out");
    let built = below("~/sandbox/work/proj") || below("~/sandbox/work/crate") || below("~/sandbox/work/repo");
    match operation.action {
        Deed::Read => !secret,
        Deed::Insert | Deed::Update | Deed::Delete => writable && !built && !secret,
        _ => false,
    }
}

pub(crate) fn anything(_: &Operation) -> bool {
    true
}

/// What the client says when it opens a file.
pub(crate) fn open(path: &str, flags: u32) -> Request {
    let path = Bytes::copy_from_slice(path.as_bytes());
    Request::Open { path, flags, attributes: crate::sftp::wire::Attributes::default() }
}
