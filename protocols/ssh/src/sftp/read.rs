//! Requests that name things, to what they touch.
//!
//! | request | what it is |
//! |---|---|
//! | OPEN | `read` if it may be read; `insert` if it may be created; `update` if it may change what is there |
//! | SETSTAT, lsetstat | `update` |
//! | REMOVE, RMDIR | `delete`; MKDIR `insert` |
//! | RENAME, posix-rename | `delete` of the old name, `insert` of the new, `update` where that is there; whole trees |
//! | SYMLINK, hardlink | `insert` of the new name, `read` and `update` of what it is another name for |
//! | OPENDIR, READLINK | `read` |
//! | STAT, LSTAT | `read` of a file; `session` of a directory, or where nothing is |
//! | REALPATH, expand-path, home-directory, users-groups-by-id, statvfs, limits | `session` |
//!
//! Why STAT is not always `session`: size and times of a file that may not be read are nobody's business. Why it is for
//! directories: every client asks whether a name is one before it puts or gets anything, also above the tree that it may
//! use. Names alone (REALPATH) are what each client asks first; they tell where links lead, never what a file holds.
//! Promises: exactly the table; what version 3 does not define is refused. Held by: `fixtures/sftp/requests.tsv`.

use crate::sftp::packet::{Request, flag};
use crate::sftp::wanted::{Also, Base, Touch, Wanted, text};
use crate::sftp::wire::Attributes;
use bytes::Bytes;
use portcullis_model::{Action, Fault};

/// What a request that names things would touch; `None` for one that names nothing but handles.
pub(super) fn read(id: u32, request: &Request) -> Option<Wanted> {
    let verb = verb(request);
    let names = || request.names().into_iter().map(shown);
    match wanted(verb, id, request) {
        Ok(wanted) => wanted,
        Err(fault) => Some(Wanted::faulty(verb, names().collect::<Vec<_>>().join(" "), fault)),
    }
}

fn wanted(verb: &'static str, id: u32, request: &Request) -> Result<Option<Wanted>, Fault> {
    let new = || Wanted::request(verb, id, request.clone());
    let one = |path: &Bytes, follow, actions: &[Action]| {
        Ok::<_, Fault>(new().touching(vec![Touch::new(given(path)?, follow, actions)]))
    };
    let described = |path: &Bytes, follow| {
        let touch = Touch::new(given(path)?, follow, &[Action::Read]).also(Also::UnlessFile);
        Ok::<_, Fault>(new().touching(vec![touch]))
    };
    Ok(Some(match request {
        Request::Open { path, flags, attributes } => {
            plain(attributes)?;
            one(path, flags & EXCLUSIVE != EXCLUSIVE, &opened(*flags)?)?
        }
        Request::SetStat { path, attributes } => one(path, true, &[Action::Update])?.detailed(set(attributes)?),
        Request::LSetStat { path, attributes } => one(path, false, &[Action::Update])?.detailed(set(attributes)?),
        Request::Lstat { path } => described(path, false)?,
        Request::Stat { path } => described(path, true)?,
        Request::OpenDir { path } => one(path, true, &[Action::Read])?,
        Request::ReadLink { path } => one(path, false, &[Action::Read])?,
        Request::Remove { path } | Request::RmDir { path } => one(path, false, &[Action::Delete])?.changing_names(),
        Request::MkDir { path, attributes } => {
            plain(attributes)?;
            one(path, false, &[Action::Insert])?.changing_names()
        }
        Request::Rename { old, new: to } => moved(new(), old, to, &[Action::Insert])?,
        Request::PosixRename { old, new: to } => moved(new(), old, to, &[Action::Insert, Action::Update])?,
        Request::Symlink { target, link } => linked(new(), target, link)?,
        Request::HardLink { old, new: to } => {
            let old = Touch::new(given(old)?, true, &[Action::Read, Action::Update]);
            new().touching(vec![old, Touch::new(given(to)?, false, &[Action::Insert])]).changing_names()
        }
        Request::RealPath { path } | Request::ExpandPath { path } | Request::StatVfs { path } => {
            new().named(text(path)?)
        }
        Request::HomeDirectory { user } => new().named(text(user)?),
        Request::NamesOfIds { users, groups } => {
            if users.len() % 4 != 0 || groups.len() % 4 != 0 {
                return Err(Fault::Syntax { message: "a list of numbers that ends inside one".into(), position: None });
            }
            new().named(format!("{} users, {} groups", users.len() / 4, groups.len() / 4))
        }
        Request::Limits => new(),
        Request::Unsupported { extension } => {
            let message = format!("the extension {} is not offered", shown(extension));
            return Err(Fault::Unsupported { message: message.into() });
        }
        Request::Close { .. }
        | Request::Read { .. }
        | Request::Write { .. }
        | Request::Fstat { .. }
        | Request::FSetStat { .. }
        | Request::ReadDir { .. }
        | Request::FStatVfs { .. }
        | Request::Fsync { .. }
        | Request::CopyData { .. } => return Ok(None),
    }))
}

const EXCLUSIVE: u32 = flag::CREATE | flag::EXCLUSIVE;

/// What opening a file with these flags would do to it. Without `WRITE` a server opens for reading, also where `READ`
/// is not said; `TRUNCATE` changes the file all the same.
pub(super) fn opened(flags: u32) -> Result<Vec<Action>, Fault> {
    if flags & !flag::ALL != 0 {
        let message = format!("the open flags {flags:#x}, which version 3 does not have");
        return Err(Fault::Unsupported { message: message.into() });
    }
    let mut actions = Vec::new();
    if flags & flag::READ != 0 || flags & flag::WRITE == 0 {
        actions.push(Action::Read);
    }
    if flags & flag::CREATE != 0 {
        actions.push(Action::Insert);
    }
    if flags & EXCLUSIVE != EXCLUSIVE && flags & (flag::WRITE | flag::APPEND | flag::TRUNCATE) != 0 {
        actions.push(Action::Update);
    }
    Ok(actions)
}

fn moved(wanted: Wanted, old: &Bytes, new: &Bytes, arrival: &[Action]) -> Result<Wanted, Fault> {
    let old = Touch::new(given(old)?, false, &[Action::Delete]).carrying(0);
    let new = Touch::new(given(new)?, false, arrival).also(Also::UpdateIfThere).carrying(0);
    Ok(wanted.touching(vec![old, new]).changing_names())
}

/// A link is another name for what it says, so whoever makes one must be allowed to do with that what a name gives.
fn linked(wanted: Wanted, target: &Bytes, link: &Bytes) -> Result<Wanted, Fault> {
    let says = given(target)?;
    let link = Touch::new(given(link)?, false, &[Action::Insert]);
    let detail = format!("-> {says}");
    let target = Touch::new(says, true, &[Action::Read, Action::Update]).seen_from(Base::Beside(0));
    Ok(wanted.touching(vec![link, target]).detailed(detail).changing_names())
}

/// A name that must be there.
fn given(name: &Bytes) -> Result<String, Fault> {
    if name.is_empty() {
        return Err(Fault::Missing { message: "no such file: the name is empty".into(), position: None });
    }
    text(name)
}

/// Attributes of vendors do what nobody here knows.
pub(super) fn plain(attributes: &Attributes) -> Result<(), Fault> {
    match &attributes.extended {
        Some(pairs) if !pairs.is_empty() => {
            Err(Fault::Unsupported { message: "attributes of a vendor's own are not passed on".into() })
        }
        Some(_) | None => Ok(()),
    }
}

/// The attributes that are set, for the record.
pub(super) fn set(attributes: &Attributes) -> Result<String, Fault> {
    plain(attributes)?;
    let size = attributes.size.map(|size| format!("size={size}"));
    let mode = attributes.permissions.map(|mode| format!("mode={:o}", mode & 0o7777));
    let owner = attributes.owner.map(|(user, group)| format!("owner={user}:{group}"));
    let times = attributes.times.map(|(read, written)| format!("times={read},{written}"));
    Ok([size, mode, owner, times].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn shown(name: &Bytes) -> String {
    String::from_utf8_lossy(name).chars().take(120).collect::<String>().escape_debug().to_string()
}

/// The word of the record.
pub(super) const fn verb(request: &Request) -> &'static str {
    match request {
        Request::Open { flags, .. } if *flags & flag::WRITE == 0 => "sftp get",
        Request::Open { flags, .. } if *flags & flag::READ == 0 => "sftp put",
        Request::Open { .. } => "sftp edit",
        Request::Close { .. } => "sftp close",
        Request::Read { .. } => "sftp read",
        Request::Write { .. } => "sftp write",
        Request::Lstat { .. } => "sftp lstat",
        Request::Fstat { .. } => "sftp fstat",
        Request::SetStat { .. } => "sftp setstat",
        Request::FSetStat { .. } => "sftp fsetstat",
        Request::OpenDir { .. } => "sftp ls",
        Request::ReadDir { .. } => "sftp readdir",
        Request::Remove { .. } => "sftp rm",
        Request::MkDir { .. } => "sftp mkdir",
        Request::RmDir { .. } => "sftp rmdir",
        Request::RealPath { .. } => "sftp realpath",
        Request::Stat { .. } => "sftp stat",
        Request::Rename { .. } => "sftp rename",
        Request::ReadLink { .. } => "sftp readlink",
        Request::Symlink { .. } => "sftp symlink",
        Request::PosixRename { .. } => "sftp posix-rename",
        Request::StatVfs { .. } => "sftp statvfs",
        Request::FStatVfs { .. } => "sftp fstatvfs",
        Request::HardLink { .. } => "sftp hardlink",
        Request::Fsync { .. } => "sftp fsync",
        Request::LSetStat { .. } => "sftp lsetstat",
        Request::Limits => "sftp limits",
        Request::ExpandPath { .. } => "sftp expand-path",
        Request::CopyData { .. } => "sftp copy-data",
        Request::HomeDirectory { .. } => "sftp home-directory",
        Request::NamesOfIds { .. } => "sftp users-groups-by-id",
        Request::Unsupported { .. } => "sftp extended",
    }
}

impl Request {
    /// The names in it, in the order of their touches.
    pub(super) fn names(&self) -> Vec<&Bytes> {
        match self {
            Self::Open { path, .. }
            | Self::Lstat { path }
            | Self::SetStat { path, .. }
            | Self::OpenDir { path }
            | Self::Remove { path }
            | Self::MkDir { path, .. }
            | Self::RmDir { path }
            | Self::RealPath { path }
            | Self::Stat { path }
            | Self::ReadLink { path }
            | Self::StatVfs { path }
            | Self::LSetStat { path, .. }
            | Self::ExpandPath { path } => vec![path],
            Self::Rename { old, new } | Self::PosixRename { old, new } | Self::HardLink { old, new } => vec![old, new],
            Self::Symlink { target, link } => vec![link, target],
            Self::HomeDirectory { user } => vec![user],
            Self::Unsupported { .. }
            | Self::Close { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Fstat { .. }
            | Self::FSetStat { .. }
            | Self::ReadDir { .. }
            | Self::FStatVfs { .. }
            | Self::Fsync { .. }
            | Self::Limits
            | Self::CopyData { .. }
            | Self::NamesOfIds { .. } => Vec::new(),
        }
    }

    /// The same with these names, in the order of its touches. What a link says stays: it is content, and is read anew
    /// wherever the link is used.
    pub(super) fn placed(mut self, mut at: impl Iterator<Item = Bytes>) -> Self {
        match &mut self {
            Self::Open { path, .. }
            | Self::Lstat { path }
            | Self::SetStat { path, .. }
            | Self::OpenDir { path }
            | Self::Remove { path }
            | Self::MkDir { path, .. }
            | Self::RmDir { path }
            | Self::Stat { path }
            | Self::ReadLink { path }
            | Self::LSetStat { path, .. }
            | Self::Symlink { link: path, .. } => {
                if let Some(name) = at.next() {
                    *path = name;
                }
            }
            Self::Rename { old, new } | Self::PosixRename { old, new } | Self::HardLink { old, new } => {
                if let (Some(from), Some(to)) = (at.next(), at.next()) {
                    (*old, *new) = (from, to);
                }
            }
            Self::Close { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Fstat { .. }
            | Self::FSetStat { .. }
            | Self::ReadDir { .. }
            | Self::RealPath { .. }
            | Self::StatVfs { .. }
            | Self::FStatVfs { .. }
            | Self::Fsync { .. }
            | Self::Limits
            | Self::ExpandPath { .. }
            | Self::CopyData { .. }
            | Self::HomeDirectory { .. }
            | Self::NamesOfIds { .. }
            | Self::Unsupported { .. } => {}
        }
        self
    }
}
