//! What becomes of each request, by what is open: judged anew, following its handle's opening, or the end of a handle; and
//! what may answer it.
//!
//! Promises: a handle is used only as it was opened (nothing is written through one that was opened to read, so that no
//! server's leniency counts); attributes set through a handle are an `update` of its own unless its opening was one; a copy
//! between two handles is a `read` of the one and an `update` of the other; a handle that is not open is refused.
//! Does not promise that what a handle is of still has the name it was opened by.
//! Held by: `sftp/tests/core.rs`.

use crate::sftp::answer::Answer;
use crate::sftp::extension::{Extension, Extensions};
use crate::sftp::fault::StreamFault;
use crate::sftp::handles::{Handles, Manner, Open, Slot};
use crate::sftp::packet::{Request, flag};
use crate::sftp::read;
use crate::sftp::wanted::Wanted;
use crate::sftp::wire::Attributes;
use bytes::Bytes;
use portcullis_model::{Action, Fault, Object, Operation};

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Next {
    /// It is judged.
    Judge(Box<Wanted>),
    /// It follows the opening of a handle; with what it reads or writes.
    Follow { slot: Slot, reads: Option<(u64, u32)>, writes: Option<(u64, Bytes)> },
    /// It ends a handle.
    Close(Bytes),
}

impl Manner {
    const DIRECTORY: Self = Self { directory: true, reads: true, writes: false, updates: false, appends: false };

    /// A file opened with these flags.
    fn file(flags: u32) -> Self {
        Self {
            directory: false,
            reads: flags & flag::READ != 0 || flags & flag::WRITE == 0,
            writes: flags & flag::WRITE != 0,
            updates: read::opened(flags).is_ok_and(|actions| actions.contains(&Action::Update)),
            appends: flags & flag::APPEND != 0,
        }
    }

    const fn file_to_read(self) -> bool {
        !self.directory && self.reads
    }

    const fn file_to_write(self) -> bool {
        !self.directory && self.writes
    }
}

impl Next {
    /// What becomes of a request that names handles.
    pub(super) fn of_handle<P>(id: u32, request: &Request, handles: &Handles<P>) -> Self {
        let follow = |handle, fits: fn(Manner) -> bool, how| match open(handles, handle, fits, how) {
            Ok((slot, _)) => Self::following(slot),
            Err(fault) => refuse(request, fault),
        };
        match request {
            Request::Close { handle } => match open(handles, handle, |_| true, "opened") {
                Ok(_) => Self::Close(handle.clone()),
                Err(fault) => refuse(request, fault),
            },
            Request::Read { handle, offset, length } => {
                follow(handle, Manner::file_to_read, "a file opened to be read").reading(*offset, *length)
            }
            Request::Write { handle, offset, data } => {
                follow(handle, Manner::file_to_write, "a file opened to be written").writing(*offset, data)
            }
            Request::Fstat { handle } | Request::FStatVfs { handle } => follow(handle, |_| true, "opened"),
            Request::Fsync { handle } => follow(handle, |manner| !manner.directory, "a file"),
            Request::ReadDir { handle } => follow(handle, |manner| manner.directory, "a directory"),
            Request::FSetStat { handle, attributes } => attributes_of(id, request, handle, attributes, handles),
            Request::CopyData { from, to, .. } => copied(id, request, (from, to), handles),
            Request::Open { .. }
            | Request::Lstat { .. }
            | Request::SetStat { .. }
            | Request::OpenDir { .. }
            | Request::Remove { .. }
            | Request::MkDir { .. }
            | Request::RmDir { .. }
            | Request::RealPath { .. }
            | Request::Stat { .. }
            | Request::Rename { .. }
            | Request::ReadLink { .. }
            | Request::Symlink { .. }
            | Request::PosixRename { .. }
            | Request::StatVfs { .. }
            | Request::HardLink { .. }
            | Request::LSetStat { .. }
            | Request::Limits
            | Request::ExpandPath { .. }
            | Request::HomeDirectory { .. }
            | Request::NamesOfIds { .. }
            | Request::Unsupported { .. } => {
                refuse(request, Fault::Unsupported { message: "a request that names no handle".into() })
            }
        }
    }

    const fn following(slot: Slot) -> Self {
        Self::Follow { slot, reads: None, writes: None }
    }

    fn reading(self, at: u64, length: u32) -> Self {
        match self {
            Self::Follow { slot, writes, .. } => Self::Follow { slot, reads: Some((at, length)), writes },
            other @ (Self::Judge(_) | Self::Close(_)) => other,
        }
    }

    fn writing(self, at: u64, data: &Bytes) -> Self {
        match self {
            Self::Follow { slot, reads, .. } => Self::Follow { slot, reads, writes: Some((at, data.clone())) },
            other @ (Self::Judge(_) | Self::Close(_)) => other,
        }
    }
}

fn open<'a, P>(
    handles: &'a Handles<P>,
    handle: &Bytes,
    fits: fn(Manner) -> bool,
    how: &str,
) -> Result<(Slot, &'a Open<P>), Fault> {
    let found = handles.named(handle).filter(|(_, open)| fits(open.manner));
    found.ok_or_else(|| {
        let message = match handles.named(handle) {
            Some(_) => format!("the handle is not of {how}"),
            None => "the handle is not open".to_owned(),
        };
        Fault::Missing { message: message.into(), position: None }
    })
}

fn refuse(request: &Request, fault: Fault) -> Next {
    Next::Judge(Box::new(Wanted::faulty(read::verb(request), "", fault)))
}

fn attributes_of<P>(id: u32, request: &Request, handle: &Bytes, attributes: &Attributes, handles: &Handles<P>) -> Next {
    match (open(handles, handle, |_| true, "opened"), read::set(attributes)) {
        (Ok((slot, found)), Ok(_)) if found.manner.updates => Next::following(slot),
        (Ok((_, found)), Ok(set)) => {
            let update = Operation::new(Action::Update, Object::File(found.place.part.clone()));
            let wanted = Wanted::request(read::verb(request), id, request.clone());
            Next::Judge(Box::new(wanted.doing(vec![update]).named(format!("{} {set}", found.place.shown()))))
        }
        (Err(fault), _) | (_, Err(fault)) => refuse(request, fault),
    }
}

fn copied<P>(id: u32, request: &Request, (from, to): (&Bytes, &Bytes), handles: &Handles<P>) -> Next {
    let source = open(handles, from, Manner::file_to_read, "a file opened to be read");
    match (source, open(handles, to, Manner::file_to_write, "a file opened to be written")) {
        (Ok((_, from)), Ok((_, to))) => {
            let operation = |action, open: &Open<P>| Operation::new(action, Object::File(open.place.part.clone()));
            let wanted = Wanted::request(read::verb(request), id, request.clone());
            let wanted = wanted.doing(vec![operation(Action::Read, from), operation(Action::Update, to)]);
            Next::Judge(Box::new(wanted.named(format!("{} {}", from.place.shown(), to.place.shown()))))
        }
        (Err(fault), _) | (_, Err(fault)) => refuse(request, fault),
    }
}

/// A kind of packet that version 3 does not have.
pub(super) fn unknown(kind: u8) -> Wanted {
    let message = format!("version 3 has no request of kind {kind}");
    Wanted::faulty("sftp packet", format!("of kind {kind}"), Fault::Unsupported { message: message.into() })
}

/// An extension is used only where the target said that it has it, in the version that is read here.
pub(super) fn unless_offered(wanted: Wanted, request: &Request, offered: Extensions) -> Wanted {
    match Kind::of(request).extension {
        Some(extension) if !offered.contains(extension) => {
            let message = format!("the extension {} was not offered", extension.name());
            Wanted::faulty(read::verb(request), "", Fault::Unsupported { message: message.into() })
        }
        Some(_) | None => wanted,
    }
}

/// What each kind of request is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The extension that it belongs to.
    extension: Option<Extension>,
    /// How it opens something, where it does.
    pub(super) manner: Option<Manner>,
    /// What may answer it.
    pub(super) expect: Expect,
}

impl Kind {
    pub(super) fn of(request: &Request) -> Self {
        let own = |expect| Self { extension: None, manner: None, expect };
        let opening = |manner| Self { manner: Some(manner), ..own(Expect::Handle) };
        let of = |extension, expect| Self { extension: Some(extension), ..own(expect) };
        match request {
            Request::Open { flags, .. } => opening(Manner::file(*flags)),
            Request::OpenDir { .. } => opening(Manner::DIRECTORY),
            Request::Read { .. } => own(Expect::Data),
            Request::ReadDir { .. } | Request::RealPath { .. } | Request::ReadLink { .. } => own(Expect::Names),
            Request::Lstat { .. } | Request::Fstat { .. } | Request::Stat { .. } => own(Expect::Attributes),
            Request::Close { .. }
            | Request::Write { .. }
            | Request::SetStat { .. }
            | Request::FSetStat { .. }
            | Request::Remove { .. }
            | Request::MkDir { .. }
            | Request::RmDir { .. }
            | Request::Rename { .. }
            | Request::Symlink { .. }
            | Request::Unsupported { .. } => own(Expect::Status),
            Request::PosixRename { .. } => of(Extension::PosixRename, Expect::Status),
            Request::StatVfs { .. } => of(Extension::StatVfs, Expect::Extended),
            Request::FStatVfs { .. } => of(Extension::FStatVfs, Expect::Extended),
            Request::HardLink { .. } => of(Extension::HardLink, Expect::Status),
            Request::Fsync { .. } => of(Extension::Fsync, Expect::Status),
            Request::LSetStat { .. } => of(Extension::LSetStat, Expect::Status),
            Request::Limits => of(Extension::Limits, Expect::Limits),
            Request::ExpandPath { .. } => of(Extension::ExpandPath, Expect::Names),
            Request::CopyData { .. } => of(Extension::CopyData, Expect::Status),
            Request::HomeDirectory { .. } => of(Extension::HomeDirectory, Expect::Names),
            Request::NamesOfIds { .. } => of(Extension::NamesOfIds, Expect::Extended),
        }
    }
}

/// What may answer a request, besides a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Status,
    Handle,
    Data,
    Names,
    Attributes,
    Extended,
    Limits,
}

impl Expect {
    /// Whether this may be the answer. Where something else than a status is expected, success without it is none.
    pub(super) fn fits(self, answer: &Answer) -> Result<(), StreamFault> {
        let fits = match (self, answer) {
            (Self::Status, Answer::Status { .. })
            | (Self::Handle, Answer::Handle(_))
            | (Self::Data, Answer::Data(_))
            | (Self::Names, Answer::Names(_))
            | (Self::Attributes, Answer::Attributes)
            | (Self::Extended | Self::Limits, Answer::Extended(_)) => true,
            (_, Answer::Status { code, .. }) => *code != 0,
            (_, Answer::Handle(_) | Answer::Data(_) | Answer::Names(_) | Answer::Attributes | Answer::Extended(_)) => {
                false
            }
        };
        if fits { Ok(()) } else { Err(StreamFault::target("an answer that does not fit its request")) }
    }
}
