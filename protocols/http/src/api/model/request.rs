//! A request to a model, as it is sent.
//!
//! Promises: a body is masked first and read once more where that changed it, and all that is judged comes from what was
//! read last, which is what is sent. It has listed members only: of others those that say nothing are taken out, and
//! any else is a fault. Of the client's headers those that are listed and that no mask finds anything in go on.
//! Held by: the tests of each API.

use super::members::unlisted;
use super::{Answering, Dialect, List, Spared, Wanted};
use crate::api::{Asked, Read, Words};
use crate::classify;
use crate::frame::{Head, Request};
use crate::json::{self, Edits, Node, Value};
use crate::tools::{self, ToolTable};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_model::{Command, Fault, Operation};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tools that one request may offer, and what else it may do.
pub(in crate::api) const MOST: usize = 1_024;

pub(in crate::api) fn ambiguous(message: impl Into<Arc<str>>) -> Fault {
    Fault::Ambiguous { message: message.into() }
}

pub(in crate::api) fn unsupported(message: impl Into<Arc<str>>) -> Fault {
    Fault::Unsupported { message: message.into() }
}

fn too_large(message: String) -> Fault {
    Fault::TooLarge { message: message.into() }
}

/// Leaves only the headers that a provider needs: others say who the client is, or choose an account.
pub(in crate::api) fn keep_headers(request: &mut Request, listed: &List, words: &mut dyn Words) {
    let mut passes = |name: &HeaderName, value: &HeaderValue| {
        listed.has(name.as_str()) && value.to_str().is_ok_and(|value| words.whole(value).is_none())
    };
    let others: Vec<HeaderName> =
        request.headers.iter().filter(|(name, value)| !passes(name, value)).map(|(name, _)| name.clone()).collect();
    for name in others {
        request.headers.remove(name);
    }
}

/// Whether the path is the list of models or one of them.
pub(in crate::api) fn is_listing(path: &str) -> bool {
    path.strip_prefix("/v1/models").is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('/').is_some_and(|id| !id.is_empty() && !id.contains('/'))
    })
}

/// A body as the client sent it.
pub(in crate::api) struct Received<'r> {
    text: &'r str,
    pub(in crate::api) node: Node,
}

/// A body as it is sent.
pub(in crate::api) struct Body {
    /// Where it is not the one that was received.
    changed: Option<String>,
    size: usize,
    pub(in crate::api) node: Node,
}

impl<'r> Received<'r> {
    /// One object, where the headers say that it is JSON in UTF-8.
    pub(in crate::api) fn read(request: &'r Request) -> Result<Self, Fault> {
        let kind = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let mut parts = kind.split(';').map(str::trim);
        let json = parts.next() == Some("application/json");
        if !json || !parts.all(|part| matches!(part, "" | "charset=utf-8" | "charset=\"utf-8\"")) {
            return Err(ambiguous("the body is not said to be application/json in UTF-8"));
        }
        let text = std::str::from_utf8(&request.body).map_err(|_| ambiguous("the body is not UTF-8"))?;
        let node = json::read(text.as_bytes()).map_err(|error| ambiguous(error.to_string()))?;
        if !matches!(node.value, Value::Object(_)) {
            return Err(ambiguous("the body is no JSON object"));
        }
        Ok(Self { text, node })
    }

    /// With these edits and what the masks find replaced, of no other members than these. Those of `left_out`, written
    /// as `NAME=VALUE`, are taken out.
    pub(in crate::api) fn sent(
        self,
        known: &List,
        left_out: &List,
        spared: &Spared,
        mut edits: Edits,
        words: &mut dyn Words,
    ) -> Result<Body, Fault> {
        let Self { text, mut node } = self;
        take_out(&mut node, text, known, left_out, &mut edits)?;
        let not_maskable = || unsupported("the request cannot be masked");
        if words.binds() {
            spared.mask_body(&node, text, words, &mut edits).map_err(|_| not_maskable())?;
        }
        if edits.is_empty() {
            return Ok(Body { changed: None, size: text.len(), node });
        }
        let text = edits.apply(text).ok_or_else(not_maskable)?;
        let node = json::read(text.as_bytes()).map_err(|_| not_maskable())?;
        Ok(Body { size: text.len(), changed: Some(text), node })
    }
}

/// Takes out the members that are not known and say nothing, or nothing that the provider is to hear.
fn take_out(node: &mut Node, text: &str, known: &List, left_out: &List, edits: &mut Edits) -> Result<(), Fault> {
    let open = node.span.start + 1;
    let Value::Object(members) = &mut node.value else { return Ok(()) };
    // Where the member before ends, and whether none before stays.
    let (mut end, mut first) = (open, true);
    for (name, member) in members.iter() {
        let stays = known.has(name);
        if !stays && !says_nothing(name, member, text, left_out) {
            return Err(unlisted(format_args!("the request"), name));
        }
        match (stays, first) {
            // With the comma before it.
            (false, false) => edits.replace(end..member.span.end, ""),
            // What stood before goes with the comma behind it.
            (true, true) if end > open => {
                let comma = text.get(end..).and_then(|rest| rest.find(','));
                let comma = comma.ok_or_else(|| ambiguous("the members of the body cannot be told apart"))?;
                edits.replace(open..end + comma + 1, "");
            }
            (false, true) | (true, _) => {}
        }
        first &= !stays;
        end = member.span.end;
    }
    if first && end > open {
        edits.replace(open..end, "");
    }
    members.retain(|(name, _)| known.has(name));
    Ok(())
}

/// Whether a request says as much without this member.
fn says_nothing(name: &str, member: &Node, text: &str, left_out: &List) -> bool {
    let written = text.get(member.span.clone()).unwrap_or_default();
    member.value == Value::Null || left_out.has(&format!("{name}={written}"))
}

impl Body {
    /// What its text is reckoned as, in tokens: of prose about so many. What it counts as the answer says.
    pub(in crate::api) const fn tokens(&self) -> u64 {
        self.size as u64 / 4
    }

    /// A member that is true or false, and false where it is absent.
    pub(in crate::api) fn is_true(&self, name: &str) -> Result<bool, Fault> {
        match self.node.get(name).map(|node| &node.value) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(_) => Err(ambiguous(format!("{name} is neither true nor false"))),
        }
    }

    /// A member that is a whole number.
    pub(in crate::api) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        match self.node.get(name) {
            None => Ok(None),
            Some(node) if node.value == Value::Null => Ok(None),
            Some(node) => node.number().map(Some).ok_or_else(|| ambiguous(format!("{name} is no whole number"))),
        }
    }

    /// A member that is a list.
    pub(in crate::api) fn list(&self, name: &str) -> Result<&[Node], Fault> {
        match self.node.get(name).map(|node| &node.value) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(ambiguous(format!("{name} is no list"))),
        }
    }
}

/// Whether a request with this format asks for another than text.
pub(in crate::api) fn is_formatted(format: Option<&Node>) -> bool {
    format.and_then(|format| format.get("type")).and_then(Node::text).is_some_and(|kind| kind != "text")
}

/// Who runs a tool that a request names.
pub(in crate::api) enum Runs<'n> {
    Client(&'n str),
    Provider(&'n str),
}

/// The tools that the client would run are offers; those that the provider runs are operations of the request.
pub(in crate::api) fn tools<'n>(
    list: &'n [Node],
    runs: impl Fn(&'n Node) -> Result<Runs<'n>, Fault>,
    operations: &mut Operations,
) -> Result<Option<Command>, Fault> {
    if list.len() > MOST {
        return Err(too_large(format!("the request offers more than {MOST} tools")));
    }
    let mut offered = Vec::new();
    for tool in list {
        let runs = runs(tool)?;
        let (Runs::Client(name) | Runs::Provider(name)) = runs;
        if !tools::is_name(name) {
            return Err(ambiguous("a tool has no usable name"));
        }
        match runs {
            Runs::Client(name) => offered.push(name),
            Runs::Provider(name) => operations.add(tools::offered(name)),
        }
    }
    Ok(tools::offers(offered.into_iter()))
}

/// What a request does, each thing once and in its order.
#[derive(Debug, Default)]
pub(in crate::api) struct Operations {
    list: Vec<Operation>,
    /// The same, to be found in: a body has more things in it than may be looked through for each.
    seen: BTreeSet<Operation>,
}

impl Operations {
    /// One more thing.
    pub(in crate::api) fn add(&mut self, operation: Operation) {
        if self.list.len() <= MOST && self.seen.insert(operation.clone()) {
            self.list.push(operation);
        }
    }

    /// Not more than a rule could be asked about.
    pub(in crate::api) fn bounded(self) -> Result<Vec<Operation>, Fault> {
        if self.list.len() > MOST {
            return Err(too_large(format!("the request does more than {MOST} things")));
        }
        Ok(self.list)
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut all = Self::default();
        operations.into_iter().for_each(|operation| all.add(operation));
        all
    }
}

/// What a request to a model comes to.
pub(in crate::api) struct Message {
    pub(in crate::api) operations: Vec<Operation>,
    pub(in crate::api) offers: Option<Command>,
    pub(in crate::api) tokens: u64,
    /// What is sent.
    pub(in crate::api) body: Body,
    /// How its answer is read.
    pub(in crate::api) answer: Answer,
}

/// How an answer is read.
pub(in crate::api) enum Answer {
    Plain,
    /// A document that says what it used.
    Counted,
    Message(Wanted),
    Stream(Wanted),
}

/// What a request is.
pub(in crate::api) enum Understood {
    /// The gateway answers.
    Own,
    /// Models are listed.
    Listing,
    Message(Box<Message>),
}

/// The request as the command that it is, with who reads its answer; `events` reads a stream, told what the client asked for
/// of it.
pub(in crate::api) fn asked<D: Dialect>(
    mut request: Request,
    understood: Result<Understood, Fault>,
    tools: &Arc<ToolTable>,
    events: impl FnOnce(Wanted) -> D::Events,
) -> Read {
    let (command, offers, tokens, reader) = match understood {
        Ok(Understood::Own) => {
            return Read::Own(Head { status: StatusCode::OK, headers: HeaderMap::new() }, Bytes::new());
        }
        Ok(Understood::Listing) => {
            let operations = vec![classify::endpoint(&request.method, &request.path)];
            let command = classify::request(&request, operations, None);
            (command, None, 0, Answering::<D>::plain())
        }
        Ok(Understood::Message(message)) => {
            if let Some(changed) = message.body.changed {
                request.body = Bytes::from(changed);
            }
            let reader = match message.answer {
                Answer::Plain => Answering::plain(),
                Answer::Counted => Answering::counted(),
                Answer::Message(wanted) => Answering::message(Arc::clone(tools), wanted),
                Answer::Stream(wanted) => Answering::stream(events(wanted)),
            };
            let command = classify::request(&request, message.operations, Some(&message.body.node));
            (command, message.offers, message.tokens, reader)
        }
        Err(fault) => (classify::faulty(&request, fault), None, 0, Answering::plain()),
    };
    Read::Asked(Box::new(Asked { offers, command, request, tokens, reader: Box::new(reader) }))
}
