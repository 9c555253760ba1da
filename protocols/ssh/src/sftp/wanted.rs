//! What a request would touch, before the target was asked what the names mean.
//!
//! A [`Wanted`] leaves the core with its [`Touch`]es; the caller resolves each on the target and turns the whole into a
//! frame and a command (`judged.rs`). Promises: a touch says whose directory its name is seen from and whether a link at
//! its end is followed, as the target will do it: `.`, `..` or a slash at the end make the target follow it, so here too.
//! Does not promise that the names exist.
//! Held by: `fixtures/sftp/requests.tsv` and `scp/tests.rs`.

use crate::sftp::packet::Request;
use bytes::Bytes;
use portcullis_model::{Action, Fault, Operation};

/// The longest name: Linux's `PATH_MAX`.
pub(crate) const LONGEST_NAME: usize = 4096;

/// Where a name that does not begin at the root is seen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The directory in which the target's file server starts: the login's home.
    Home,
    /// The directory that holds what this earlier touch names, once that is resolved: what a link says is read there.
    Beside(usize),
}

/// What depends on what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Also {
    /// Nothing.
    Nothing,
    /// It is an update too if something is there.
    UpdateIfThere,
    /// It needs no rule unless a file (or anything else that is no directory) is there.
    UnlessFile,
}

/// One name that a request uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    /// As the client named it.
    pub(crate) name: String,
    /// What it is seen from.
    pub(crate) base: Base,
    /// Whether a link at its end is followed. Links before its end always are.
    pub(crate) follow: bool,
    /// What is done to what it names.
    pub(crate) actions: Vec<Action>,
    /// What is done besides.
    pub(crate) also: Also,
    /// The touch whose whole tree is meant: what lies below it goes with it.
    pub(crate) carries: Option<usize>,
}

impl Touch {
    pub(crate) fn new(name: String, follow: bool, actions: &[Action]) -> Self {
        let follow = follow || is_directory_by_name(&name);
        Self { name, base: Base::Home, follow, actions: actions.to_vec(), also: Also::Nothing, carries: None }
    }

    pub(crate) fn also(mut self, also: Also) -> Self {
        self.also = also;
        self
    }

    pub(crate) fn seen_from(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    pub(crate) fn carrying(mut self, touch: usize) -> Self {
        self.carries = Some(touch);
        self
    }
}

/// The system follows a link whose name ends so.
fn is_directory_by_name(name: &str) -> bool {
    matches!(name.rsplit('/').next(), Some("" | "." | ".."))
}

/// What is sent once it was judged.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// This request, its names replaced by what they were resolved to.
    Request {
        /// Its number.
        id: u32,
        /// The request.
        request: Request,
    },
    /// These bytes.
    Bytes(Bytes),
}

/// A request that must be judged.
#[derive(Clone, Debug)]
#[must_use = "it is judged, or the request is never answered"]
pub(crate) struct Wanted {
    pub(super) verb: &'static str,
    pub(super) touches: Vec<Touch>,
    /// What is known without asking the target: things named by a handle.
    pub(super) fixed: Vec<Operation>,
    /// What the record shows behind the verb where nothing is resolved.
    pub(super) named: String,
    /// What the record shows behind the names.
    pub(super) detail: String,
    pub(super) fault: Option<Fault>,
    pub(super) frame: Frame,
    pub(super) changes_names: bool,
}

impl Wanted {
    /// The names to resolve, in order. None: nothing needs to be asked of the target.
    pub(crate) fn touches(&self) -> &[Touch] {
        &self.touches
    }

    /// Whether it can make a name mean something else: what is resolved while such a request is under way, on this
    /// channel or on another, may be wrong when it is used.
    pub(crate) const fn changes_names(&self) -> bool {
        self.changes_names
    }

    fn new(verb: &'static str, frame: Frame) -> Self {
        Self {
            verb,
            touches: Vec::new(),
            fixed: Vec::new(),
            named: String::new(),
            detail: String::new(),
            fault: None,
            frame,
            changes_names: false,
        }
    }

    pub(super) fn request(verb: &'static str, id: u32, request: Request) -> Self {
        Self::new(verb, Frame::Request { id, request })
    }

    /// Something that is refused whatever the rules say; the gate records it.
    pub(crate) fn faulty(verb: &'static str, named: impl Into<String>, fault: Fault) -> Self {
        Self { named: named.into(), fault: Some(fault), ..Self::new(verb, Frame::Bytes(Bytes::new())) }
    }

    /// Bytes of another protocol that touch this.
    pub(crate) fn bytes(verb: &'static str, bytes: Bytes, touch: Touch) -> Self {
        Self { touches: vec![touch], ..Self::new(verb, Frame::Bytes(bytes)) }
    }

    pub(super) fn touching(mut self, touches: Vec<Touch>) -> Self {
        self.touches = touches;
        self
    }

    pub(super) fn doing(mut self, fixed: Vec<Operation>) -> Self {
        self.fixed = fixed;
        self
    }

    pub(super) fn named(mut self, named: impl Into<String>) -> Self {
        self.named = named.into();
        self
    }

    pub(super) fn detailed(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(super) const fn changing_names(mut self) -> Self {
        self.changes_names = true;
        self
    }
}

/// A name as text.
///
/// # Errors
/// Rules are about text, and a record is read by people: bytes that are no UTF-8 and control characters are refused.
pub(crate) fn text(name: &[u8]) -> Result<String, Fault> {
    if name.len() > LONGEST_NAME {
        return Err(Fault::TooLarge {
            message: format!("a name of {} bytes; the most is {LONGEST_NAME}", name.len()).into(),
        });
    }
    let Ok(text) = std::str::from_utf8(name) else {
        let message = "a name that is not UTF-8 cannot be compared with rules; rename the file on the target first";
        return Err(Fault::Ambiguous { message: message.into() });
    };
    if text.chars().any(char::is_control) {
        let message =
            "a name with a control character in it can be read in two ways; rename the file on the target first";
        return Err(Fault::Ambiguous { message: message.into() });
    }
    Ok(text.to_owned())
}
