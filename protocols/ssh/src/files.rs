//! What the target says about its own files: the gateway's own questions, over an SFTP channel of its own.
//!
//! Names in a command are not the files meant: `~`, `..`, links and patterns mean what the target says they mean. So it
//! is asked just before the decision. Promises: only questions are asked (REALPATH, LSTAT, STAT, READDIR), never about a
//! name that was not in a command that is being judged; every answer is bounded in number and time, and all trees of one
//! command in time; what cannot be answered is `None`, which the caller turns into an operation on an unknown file.
//! Does not promise that the answer still holds when the command runs: another process may put a link in the way
//! between the two (`docs/limits.md`).
//! Held by: the tests below, and `tests/it/ssh.rs` of the binary against a real server.

use crate::error::{Error, Result, Side};
use crate::login::target::Target;
use crate::sftp::{Base, Found, Resolved, Touch, Unresolved};
use portcullis_shell::Glob;
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

mod looked;
mod pattern;

pub(crate) use looked::{Looked, Met, above, is_within};

/// How long the target may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names that a pattern may meet, and entries that a tree may have.
const ENTRIES: usize = 2000;
/// Directories read for one of them.
const DIRECTORIES: usize = 400;
/// The same of a tree of which only the names are read: its files are counted and not judged, so they cost no record.
const LISTED_ENTRIES: usize = 20_000;
const LISTED_DIRECTORIES: usize = 2_000;
/// How long the target may take for all trees of one command.
const TREES: Duration = Duration::from_secs(30);
/// Steps from a name up to something that exists.
const STEPS: usize = 128;

/// A directory as rules call it, and what lies in it: names, and whether each is a directory.
pub(crate) type Names = (String, Vec<(String, bool)>);

/// A channel for questions about files. Dropping it ends it.
pub(crate) struct Files {
    sftp: RawSftpSession,
    home: String,
    canonical: HashMap<String, Option<String>>,
    /// Trees that are not read by then are too large.
    until: Instant,
}

/// Whether the last name of a path is followed where it is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// As reading and writing do.
    Followed,
    /// As removing and renaming do.
    Itself,
}

/// What of a tree is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    /// The directories, links to which are none.
    Directories,
}

impl Wanted {
    /// Entries and directories of a tree, at most.
    const fn most(self) -> (usize, usize) {
        match self {
            Self::Everything => (ENTRIES, DIRECTORIES),
            Self::Directories => (LISTED_ENTRIES, LISTED_DIRECTORIES),
        }
    }
}

/// A directory and everything in it.
pub(crate) enum Tree {
    /// Every path below that was asked for.
    Whole(Vec<String>),
    /// It is no directory, or not there.
    Nothing,
    /// It is too large, or cannot be read.
    Unknown,
}

impl Files {
    /// Opens a channel of the gateway's own.
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let late = Error::Timeout { side: Side::Backend, doing: "questions about files" };
        tokio::time::timeout(PATIENCE, Self::start(target)).await.unwrap_or(Err(late))
    }

    async fn start(target: &Target) -> Result<Self> {
        let channel = target.session().await?;
        channel.request_subsystem(true, "sftp").await.map_err(Error::Backend)?;
        let sftp = RawSftpSession::new(channel.into_stream());
        sftp.set_timeout(PATIENCE.as_secs());
        let unanswered = |_| Error::Backend(russh::Error::Inconsistent);
        sftp.init().await.map_err(unanswered)?;
        let home = named(sftp.realpath(".").await).ok_or(Error::Backend(russh::Error::Inconsistent))?;
        Ok(Self { sftp, home, canonical: HashMap::new(), until: Instant::now() + TREES })
    }

    /// The login's home: absolute, links followed.
    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// Forgets what was asked: names may mean something else now.
    pub(crate) fn forget(&mut self) {
        self.canonical.clear();
        self.until = Instant::now() + TREES;
    }

    /// Whether a directory stands there.
    pub(crate) async fn is_directory(&self, path: &str) -> bool {
        let Some(path) = self.absolute(path) else { return false };
        self.sftp.stat(path).await.is_ok_and(|found| found.attrs.is_dir())
    }

    /// The directory as the target would reach it, and what lies in it: names, and whether each is a directory.
    pub(crate) async fn names(&mut self, directory: &str) -> Option<Names> {
        self.forget();
        let path = self.resolve(directory, Last::Followed).await?;
        let entries = self.list(&path, ENTRIES).await??;
        let shown = self.spelled(&path);
        Some((shown, entries.into_iter().map(|entry| (entry.name, entry.directory)).collect()))
    }

    /// What a file transfer's names mean now, in their order.
    ///
    /// # Errors
    /// [`Unresolved`], for all of them where one cannot be told.
    pub(crate) async fn reach(&mut self, touches: &[Touch]) -> std::result::Result<Vec<Resolved>, Unresolved> {
        self.forget();
        let mut out: Vec<Resolved> = Vec::with_capacity(touches.len());
        for (nth, touch) in touches.iter().enumerate() {
            let base = match touch.base {
                Base::Home => self.home.clone(),
                Base::Beside(other) => {
                    let beside = out.get(other).ok_or(Unresolved::Unasked)?;
                    split(beside.path()).map_or("/", |(parent, _)| parent).to_owned()
                }
            };
            let name = if touch.name.starts_with('/') { touch.name.clone() } else { joined(&base, &touch.name) };
            let last = if touch.follow { Last::Followed } else { Last::Itself };
            let path = self.resolve(&name, last).await.ok_or(Unresolved::Nowhere)?;
            let found = self.found(&path, touch.carries == Some(nth)).await?;
            out.push(Resolved::new(path, found)?);
        }
        Ok(out)
    }

    async fn found(&self, path: &str, whole: bool) -> std::result::Result<Found, Unresolved> {
        let attrs = match self.sftp.lstat(path).await {
            Ok(answer) => answer.attrs,
            Err(SftpError::Status(status)) if status.status_code == StatusCode::NoSuchFile => {
                return Ok(Found::Nothing);
            }
            // It may not be looked at: whatever it is, it is there.
            Err(SftpError::Status(_)) => return Ok(Found::Other),
            Err(_) => return Err(Unresolved::Unasked),
        };
        if !attrs.is_dir() || attrs.is_symlink() {
            return Ok(Found::Other);
        }
        let below = if whole { self.below(path).await } else { None };
        Ok(Found::Directory { below })
    }

    /// The names below a directory, relative to it; `None` where they cannot be listed to their end.
    async fn below(&self, path: &str) -> Option<Vec<String>> {
        match self.tree(path).await {
            Tree::Whole(paths) => {
                let prefix = format!("{}/", path.trim_end_matches('/'));
                paths.iter().map(|found| found.strip_prefix(&prefix).map(ToOwned::to_owned)).collect()
            }
            Tree::Nothing => Some(Vec::new()),
            Tree::Unknown => None,
        }
    }

    /// The path as the target would reach it: absolute, links followed, the deepest part that exists resolved and the
    /// rest, which does not, as written. `None` where that cannot be told.
    pub(crate) async fn resolve(&mut self, path: &str, last: Last) -> Option<String> {
        let path = self.absolute(path)?;
        match (last, split(&path)) {
            // The system follows what is called `.` and `..`, whatever is done with it.
            (Last::Followed, _) | (_, None | Some((_, "." | ".."))) => self.canonical(&path).await,
            (Last::Itself, Some((parent, name))) => Some(joined(&self.canonical(parent).await?, name)),
        }
    }

    async fn canonical(&mut self, path: &str) -> Option<String> {
        if let Some(known) = self.canonical.get(path) {
            return known.clone();
        }
        let found = self.walk_up(path).await;
        self.canonical.insert(path.to_owned(), found.clone());
        found
    }

    async fn walk_up(&self, path: &str) -> Option<String> {
        let (mut at, mut rest): (&str, Vec<&str>) = (path, Vec::new());
        for _ in 0..STEPS {
            match self.sftp.realpath(at.to_owned()).await {
                Ok(answer) => {
                    let found = answer.files.into_iter().next().map(|file| file.filename)?;
                    return rest.iter().rev().try_fold(found, |found, name| step(&found, name));
                }
                Err(SftpError::Status(status)) if status.status_code == StatusCode::NoSuchFile => {
                    // A link whose directory is missing is there all the same, and leads on once that is made.
                    if self.sftp.lstat(at.trim_end_matches('/')).await.is_ok() {
                        return None;
                    }
                    let (parent, name) = split(at)?;
                    rest.push(name);
                    at = parent;
                }
                Err(_) => return None,
            }
        }
        None
    }

    /// What a shell's pattern meets, in no order that a shell need have; `None` where that is too much or cannot be told.
    pub(crate) async fn expand(&mut self, glob: &Glob) -> Option<Met> {
        let base = match &glob.directory {
            Some(directory) => Some(self.absolute(directory)?),
            None => None,
        };
        let from_home = glob.pattern.starts_with("~/");
        let shown = if from_home { glob.pattern.get(2..)? } else { &glob.pattern };
        let start = match &base {
            _ if from_home => self.home.clone(),
            Some(base) => base.clone(),
            None => "/".to_owned(),
        };
        let parts: Vec<&str> = shown.split('/').filter(|part| !part.is_empty()).collect();
        let mut found = vec![(start, String::new())];
        let mut looked = Vec::new();
        for part in parts {
            let mut next = Vec::new();
            for (directory, name) in found {
                if looked.len() >= DIRECTORIES {
                    return None;
                }
                let entries = self.met(&directory, part).await?;
                for entry in &entries {
                    next.push((joined(&directory, entry), joined_relative(&name, entry)));
                }
                looked.push(Looked::new(directory, part, entries));
                if next.len() > ENTRIES {
                    return None;
                }
            }
            found = next;
        }
        let prefix = match (&base, from_home) {
            (_, true) => format!("{}/", self.home),
            (Some(_), false) => String::new(),
            (None, false) => "/".to_owned(),
        };
        let mut names: Vec<String> = found.into_iter().map(|(_, name)| format!("{prefix}{name}")).collect();
        names.sort();
        Some(Met { names, looked })
    }

    /// The entries of a directory that one part of a pattern meets.
    async fn met(&self, directory: &str, part: &str) -> Option<Vec<String>> {
        if let Some(literal) = pattern::literal(part) {
            let there = self.sftp.lstat(joined(directory, &literal)).await;
            return match there {
                Ok(_) => Some(vec![literal]),
                Err(SftpError::Status(_)) => Some(Vec::new()),
                Err(_) => None,
            };
        }
        let matcher = pattern::Pattern::new(part)?;
        let Some(entries) = self.list(directory, ENTRIES).await? else { return Some(Vec::new()) };
        // Before 5.2 bash meets these two where a pattern starts with a period.
        let dots = [".", ".."].into_iter().map(str::to_owned);
        Some(dots.chain(entries.into_iter().map(|entry| entry.name)).filter(|name| matcher.meets(name)).collect())
    }

    /// What lies in a directory, if it is so much at most; `Some(None)` where it is none that can be read.
    async fn list(&self, directory: &str, most: usize) -> Option<Option<Vec<Entry>>> {
        let handle = match self.sftp.opendir(directory).await {
            Ok(handle) => handle.handle,
            Err(SftpError::Status(_)) => return Some(None),
            Err(_) => return None,
        };
        let mut entries = Vec::new();
        let whole = loop {
            match self.sftp.readdir(handle.as_str()).await {
                Ok(names) => entries.extend(names.files.into_iter().filter_map(|file| {
                    let directory = file.attrs.is_dir() && !file.attrs.is_symlink();
                    let own = file.filename != "." && file.filename != "..";
                    let (link, file_there) = (file.attrs.is_symlink(), file.attrs.is_regular());
                    own.then_some(Entry { name: file.filename, directory, link, file: file_there })
                })),
                Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => break true,
                Err(_) => break false,
            }
            if entries.len() > most {
                break false;
            }
        };
        // A handle that stays open ends with the channel.
        self.sftp.close(handle).await.ok();
        whole.then_some(Some(entries))
    }

    /// Everything below a directory, links not followed.
    pub(crate) async fn tree(&self, root: &str) -> Tree {
        self.walk_down(root, Wanted::Everything, &mut false).await
    }

    /// Every directory below a directory, links not followed. What is not known to be a file or a link is among them.
    pub(crate) async fn directories(&self, root: &str) -> Tree {
        self.walk_down(root, Wanted::Directories, &mut false).await
    }

    /// Whether a name is a link, or a directory in which one lies, or cannot be told to be neither.
    pub(crate) async fn carries_links(&mut self, path: &str) -> bool {
        let Some(path) = self.resolve(path, Last::Itself).await else { return true };
        let attrs = match self.sftp.lstat(path.as_str()).await {
            Ok(answer) => answer.attrs,
            Err(SftpError::Status(status)) => return status.status_code != StatusCode::NoSuchFile,
            Err(_) => return true,
        };
        if attrs.is_symlink() || !attrs.is_dir() {
            return attrs.is_symlink();
        }
        let mut links = false;
        let tree = self.walk_down(&path, Wanted::Everything, &mut links).await;
        links || matches!(tree, Tree::Unknown)
    }

    /// What is wanted of all that is below a directory; `links` becomes true where a link is met.
    async fn walk_down(&self, root: &str, wanted: Wanted, links: &mut bool) -> Tree {
        timeout_at(self.until, self.walk(root, wanted, links)).await.unwrap_or(Tree::Unknown)
    }

    async fn walk(&self, root: &str, wanted: Wanted, links: &mut bool) -> Tree {
        let (most, most_directories) = wanted.most();
        let mut found = Vec::new();
        let mut waiting = vec![root.to_owned()];
        let (mut directories, mut met) = (0, 0);
        while let Some(directory) = waiting.pop() {
            directories += 1;
            if directories > most_directories {
                return Tree::Unknown;
            }
            let entries = match self.list(&directory, most).await {
                Some(Some(entries)) => entries,
                Some(None) if directories == 1 => return Tree::Nothing,
                Some(None) | None => return Tree::Unknown,
            };
            met += entries.len();
            if met > most {
                return Tree::Unknown;
            }
            for entry in entries {
                *links |= entry.link;
                if wanted == Wanted::Directories && (entry.link || entry.file) {
                    continue;
                }
                let path = joined(&directory, &entry.name);
                if entry.directory {
                    waiting.push(path.clone());
                }
                found.push(path);
            }
        }
        Tree::Whole(found)
    }

    /// The path from the root; `None` for one that is relative to nothing known.
    fn absolute(&self, path: &str) -> Option<String> {
        match path.strip_prefix('~') {
            Some("") => Some(self.home.clone()),
            Some(rest) if rest.starts_with('/') => Some(format!("{}{rest}", self.home.trim_end_matches('/'))),
            Some(_) => None,
            None => path.starts_with('/').then(|| path.to_owned()),
        }
    }

    /// The path as operations spell it: from `~` where it lies below the home.
    pub(crate) fn spelled(&self, path: &str) -> String {
        match path.strip_prefix(self.home.trim_end_matches('/')) {
            Some("") => "~".to_owned(),
            Some(rest) if rest.starts_with('/') => format!("~{rest}"),
            Some(_) | None => path.to_owned(),
        }
    }
}

struct Entry {
    name: String,
    directory: bool,
    link: bool,
    /// It is a plain file.
    file: bool,
}

fn named(answer: std::result::Result<russh_sftp::protocol::Name, SftpError>) -> Option<String> {
    let name = answer.ok()?.files.into_iter().next()?.filename;
    name.starts_with('/').then_some(name)
}

/// Parent and last name; `None` for the root.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/')?;
    (!name.is_empty()).then_some((if parent.is_empty() { "/" } else { parent }, name))
}

fn joined(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

fn joined_relative(before: &str, name: &str) -> String {
    if before.is_empty() { name.to_owned() } else { format!("{before}/{name}") }
}

/// One step below what does not exist: a step up from there is nothing that a target could follow.
fn step(found: &str, name: &str) -> Option<String> {
    match name {
        "." => Some(found.to_owned()),
        ".." => None,
        name => Some(joined(found, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_and_join() {
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/"), None);
        assert_eq!(joined("/", "a"), "/a");
        assert_eq!(joined("/x/", "a"), "/x/a");
        assert_eq!(step("/a", ".."), None);
    }
}
