//! What a request touches once the target has said what its names mean: the command to judge and the frame to send.
//!
//! Promises: the frame names what was judged (canonical paths; of a link that is not followed, its canonical directory and
//! its own name), so a name that came to mean something else between the two is not used; what lies in a tree that moves
//! is judged with it, and a tree that was not listed whole is judged as anything; a path into a process's view of the tree
//! (`/proc/self/cwd`, `/dev/fd`) is judged as anything, since it is another name of something not told. An approval is
//! bound to what the names were resolved to.
//! Does not promise that the target was asked rightly: [`Resolved`] only refuses what no canonical path can be.
//! Held by: the tests below and `fixtures/sftp/requests.tsv`.

use crate::sftp::wanted::{Also, Base, Frame, LONGEST_NAME, Touch, Wanted, text};
use bytes::Bytes;
use portcullis_model::{Action, Command, Digest, Fault, Mark, Object, Operation, Part, Source, Text};

/// What stands at a resolved path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory {
        /// Every name below it, relative to it, links not followed; asked for only where a touch carries a tree. `None`
        /// where they were not listed to their end.
        below: Option<Vec<String>>,
    },
    /// A file, a link that is not followed, or anything else.
    Other,
}

/// What a name means on the target now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    path: String,
    found: Found,
}

/// Why a name could not be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// It leads to a name that is not UTF-8 or holds control characters.
    NotText,
    /// It leads nowhere: a step up from what is not there, a loop of links.
    Nowhere,
    /// The target could not be asked.
    Unasked,
}

/// A request ready to be judged.
#[derive(Clone, Debug)]
#[must_use = "it is sealed and asked"]
pub(crate) struct Judged {
    /// What is sent if it may pass. Empty where nothing goes to the target yet.
    pub(crate) frame: Bytes,
    /// What is judged.
    pub(crate) command: Command,
    /// What it opens or writes, to be given back with the permit.
    pub(crate) place: Place,
}

/// A thing that a handle or a header stands for, as it was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) path: Option<String>,
    pub(super) part: Part,
}

impl Place {
    /// What no name stands for.
    pub(super) const fn nowhere() -> Self {
        Self { path: None, part: Part::Unknown }
    }

    /// As it is shown in the record.
    pub(super) fn shown(&self) -> &str {
        self.part.as_str().or(self.path.as_deref()).unwrap_or("?")
    }
}

impl Resolved {
    /// This canonical absolute path, and what stands there.
    ///
    /// # Errors
    /// [`Unresolved`]: no canonical path looks like this.
    pub(crate) fn new(path: impl Into<String>, found: Found) -> Result<Self, Unresolved> {
        let path = path.into();
        let Some(rest) = path.strip_prefix('/') else { return Err(Unresolved::Nowhere) };
        let steps = rest.split('/').any(|part| matches!(part, "" | "." | ".."));
        if (steps && !rest.is_empty()) || path.len() > LONGEST_NAME {
            return Err(Unresolved::Nowhere);
        }
        if text(path.as_bytes()).is_err() {
            return Err(Unresolved::NotText);
        }
        Ok(Self { path, found })
    }

    /// The path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl Wanted {
    /// With what its names mean: the frame and the command. `home` is the login's home, which rules call `~`.
    pub(crate) fn judged(self, resolved: &[Resolved], home: Option<&str>) -> Judged {
        if self.fault.is_some() {
            return self.refused(None);
        }
        if resolved.len() != self.touches.len() {
            return self.unresolved(Unresolved::Unasked);
        }
        let places: Vec<Place> = resolved.iter().map(|resolved| place(&resolved.path, home)).collect();
        let mut operations = self.fixed.clone();
        for (touch, (resolved_to, place)) in self.touches.iter().zip(resolved.iter().zip(&places)) {
            operations.extend(operations_of(touch, resolved_to, place, resolved, home));
        }
        if operations.is_empty() {
            operations.push(Operation::session());
        }
        // What a link says stands in the detail as it was said.
        let named = self.touches.iter().zip(&places).filter(|(touch, _)| touch.base == Base::Home);
        let mut shown: Vec<&str> = named.map(|(_, place)| place.shown()).collect();
        if !self.detail.is_empty() {
            shown.push(&self.detail);
        }
        let text = line(self.verb, &self.named, &shown.join(" "));
        let frame = match self.frame {
            Frame::Request { id, request } => {
                request.placed(resolved.iter().map(|one| Bytes::copy_from_slice(one.path.as_bytes()))).encode(id)
            }
            Frame::Bytes(bytes) => bytes,
        };
        let mut command = Command::new(Source::File, Text::plain(text), operations, Digest::of(&frame));
        command.context = context(resolved);
        let place = places.into_iter().next().unwrap_or(Place::nowhere());
        Judged { frame, command, place }
    }

    /// Where the target could not say what its names mean. It is refused; the gate records it.
    pub(crate) fn unresolved(self, why: Unresolved) -> Judged {
        let fault = match why {
            Unresolved::NotText => Fault::Ambiguous {
                message: "it leads to a name that is not plain text, which no rule can be compared with".into(),
            },
            Unresolved::Nowhere => Fault::Missing { message: "no such file or directory".into(), position: None },
            Unresolved::Unasked => {
                Fault::Ambiguous { message: "the target could not be asked what the name leads to; try again".into() }
            }
        };
        self.refused(Some(fault))
    }

    fn refused(self, fault: Option<Fault>) -> Judged {
        let fault = self.fault.or(fault).unwrap_or(Fault::Ambiguous { message: "not read".into() });
        let names: Vec<&str> = self.touches.iter().map(|touch| touch.name.as_str()).collect();
        let text = line(self.verb, &self.named, &names.join(" "));
        let digest = match &self.frame {
            Frame::Request { id, request } => Digest::of(&request.encode(*id)),
            Frame::Bytes(bytes) => Digest::of(bytes),
        };
        let command = Command::faulty(Source::File, Text::plain(text), fault, digest);
        Judged { frame: Bytes::new(), command, place: Place::nowhere() }
    }
}

fn line(verb: &str, named: &str, shown: &str) -> String {
    [verb, named, shown].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// An approval counts only for what the names meant when it was asked for.
fn context(resolved: &[Resolved]) -> Option<Digest> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for one in resolved {
        let found: &[u8] = match &one.found {
            Found::Nothing => b"\0nothing\0",
            Found::Directory { .. } => b"\0directory\0",
            Found::Other => b"\0other\0",
        };
        parts.extend([one.path.as_bytes(), found]);
    }
    (!parts.is_empty()).then(|| Digest::of_parts(&parts))
}

fn operations_of(
    touch: &Touch,
    resolved: &Resolved,
    place: &Place,
    all: &[Resolved],
    home: Option<&str>,
) -> Vec<Operation> {
    let there = resolved.found != Found::Nothing;
    let mut actions = touch.actions.clone();
    match touch.also {
        Also::UpdateIfThere if there && !actions.contains(&Action::Update) => actions.push(Action::Update),
        Also::UnlessFile if resolved.found != Found::Other => actions.clear(),
        Also::Nothing | Also::UpdateIfThere | Also::UnlessFile => {}
    }
    let carried = touch.carries.and_then(|carried| all.get(carried)).map(|carried| &carried.found);
    let mut parts = vec![place.part.clone()];
    let mut marks = None;
    if let Some(Found::Directory { below }) = carried {
        marks = Some(Mark::Recursive);
        match below {
            Some(below) => {
                parts.extend(below.iter().map(|name| self::place(&format!("{}/{name}", resolved.path), home).part));
            }
            None => parts.push(Part::Unknown),
        }
    }
    let operation = |part: &Part, action: Action| {
        let operation = Operation::new(action, Object::File(part.clone()));
        match marks {
            Some(mark) => operation.marked(mark),
            None => operation,
        }
    };
    parts.iter().flat_map(|part| actions.iter().map(|action| operation(part, *action))).collect()
}

/// A canonical path as rules write it.
fn place(path: &str, home: Option<&str>) -> Place {
    let part = if is_view(path) { Part::Unknown } else { Part::known(beside_home(path, home)) };
    Place { path: Some(path.to_owned()), part }
}

fn beside_home(path: &str, home: Option<&str>) -> String {
    match home.filter(|home| home.len() > 1).and_then(|home| path.strip_prefix(home)) {
        Some("") => "~".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("~{rest}"),
        Some(_) | None => path.to_owned(),
    }
}

/// What stands below a process in `/proc` or in `/dev/fd` is another name of something that the path does not tell, and
/// another thing for the process that resolved it than for the one that opens it.
fn is_view(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("proc"), Some(process)) => {
            matches!(process, "self" | "thread-self") || process.bytes().all(|byte| byte.is_ascii_digit())
        }
        (Some("dev"), Some("fd" | "stdin" | "stdout" | "stderr")) => true,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_paths_are_resolved() {
        for path in ["", "x", "~/x", "/x/", "/x//y", "/x/./y", "/x/../y", "//"] {
            assert_eq!(Resolved::new(path, Found::Other), Err(Unresolved::Nowhere), "{path}");
        }
        assert_eq!(Resolved::new("/a\nb", Found::Other), Err(Unresolved::NotText));
        for path in ["/", "/x", "/x/..y", "/x/y z"] {
            assert!(Resolved::new(path, Found::Other).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_path_is_written_as_rules_write_it_and_views_are_anything() {
        let part = |path| place(path, Some("/home/a")).part;
        assert_eq!(part("/home/a"), Part::known("~"));
        assert_eq!(part("/home/a/x"), Part::known("~/x"));
        assert_eq!(part("/home/ab/x"), Part::known("/home/ab/x"));
        for view in ["/proc/self/environ", "/proc/41/fd/3", "/proc/7/cwd/etc", "/dev/fd/3", "/dev/stdin"] {
            assert_eq!(part(view), Part::Unknown, "{view}");
        }
        assert_eq!(part("/proc/meminfo"), Part::known("/proc/meminfo"));
    }
}
