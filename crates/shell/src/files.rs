//! Operations on files and hosts, as canonical names.
//!
//! Promises: where the directory is one of several, each possible file is named; where it is not known, the file is `?`
//! and the operation `dynamic`; devices that hold nothing (`/dev/null`, the standard streams) are no files.
//! Held by: `fixtures/shell/programs.tsv`.

use crate::caps::{PIPE, is_pipe};
use crate::expand::{Field, Sure};
use crate::path;
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Mark, Marks, Object, Operation, Part};

/// Devices that hold nothing and change nothing.
const DEVICES: [&str; 11] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/tty",
    "/dev/fd/1",
    "/dev/fd/2",
];

impl Walker<'_> {
    /// `action` on the file that an argument names.
    pub(crate) fn file(&mut self, action: Action, field: &Field, marks: Marks, state: &State) {
        let Some(text) = field.named() else {
            self.emit(Operation::new(action, Object::File(Part::Unknown)).marked(marks.with(Mark::Dynamic)));
            return;
        };
        if is_pipe(text) || DEVICES.contains(&text) || text.is_empty() {
            return;
        }
        self.climb(text, state);
        for name in self.paths(text, state) {
            let mut marks = marks;
            match &name {
                Some(path) if path::is_root(path) && marks.contains(Mark::Recursive) => {
                    if matches!(action, Action::Delete | Action::Update | Action::Insert) {
                        marks = marks.with(Mark::Unbounded);
                    }
                }
                Some(_) => {}
                None => marks = marks.with(Mark::Dynamic),
            }
            let part = name.map_or(Part::Unknown, Part::known);
            self.emit(Operation::new(action, Object::File(part)).marked(marks));
        }
    }

    /// Remembers a path that steps up, as it is written: only the target knows where that leads through a link.
    fn climb(&mut self, text: &str, state: &State) {
        if self.foreign > 0 || text.contains(PIPE) || !text.split('/').any(|part| part == "..") {
            return;
        }
        let written =
            |path: String| path::beside_home(path.replace(crate::caps::HOME, "~"), self.scope.home.as_deref());
        let all: Vec<String> = if path::is_rooted(text) {
            vec![written(text.to_owned())]
        } else {
            state.directories.known.iter().map(|place| written(format!("{place}/{text}"))).collect()
        };
        for path in all {
            if !self.climbs.contains(&path) {
                self.climbs.push(path);
            }
        }
    }

    /// The canonical paths that a text may name; `None` among them for any other.
    pub(crate) fn paths(&self, text: &str, state: &State) -> Vec<Option<String>> {
        let home = self.scope.home.as_deref();
        let written = |path: String| path::beside_home(path, home);
        if path::is_rooted(text) {
            return vec![path::resolve(None, text).map(written)];
        }
        let absolute = |place: &str| match (place.strip_prefix('~'), home) {
            (Some(rest), Some(home)) => format!("{home}{rest}"),
            _ => place.to_owned(),
        };
        let mut out: Vec<Option<String>> = state
            .directories
            .known
            .iter()
            .map(|place| path::resolve(Some(&absolute(place)), text).map(written))
            .collect();
        if state.directories.unknown {
            out.push(None);
        }
        out
    }

    /// `into`: what lands at or in `target` when these are copied there.
    pub(crate) fn into(
        &mut self,
        target: &Field,
        sources: &[Field],
        directory: bool,
        exact: bool,
        marks: Marks,
        state: &State,
    ) {
        let put = |walker: &mut Self, field: &Field| {
            walker.file(Action::Insert, field, marks, state);
            walker.file(Action::Update, field, marks, state);
        };
        let Some(text) = target.known() else {
            put(self, target);
            return;
        };
        // Where the directory is one of several, what a pattern met in one of them may be a single name.
        let places = state.directories.known.len() + usize::from(state.directories.unknown);
        let several = sources.len() > 1 && (places < 2 || sources.iter().any(|source| source.sure != Sure::Among));
        let inside = directory || text.ends_with('/') || matches!(path::base(text), "." | "..") || several;
        if !inside || sources.is_empty() {
            put(self, target);
        }
        if exact {
            return;
        }
        for source in sources {
            let name = source.named().map(path::base);
            match name {
                // What a tree's `.` holds lands in the directory itself.
                Some("." | "..") | Some("") => put(self, target),
                // Its name is a number.
                Some(name) if is_pipe(name) => put(self, target),
                Some(name) => put(self, &Field::literal(format!("{}/{name}", text.trim_end_matches('/')))),
                None => put(self, &Field { text: format!("{text}/"), sure: Sure::Starts }),
            }
        }
    }

    /// `connect host H:P`.
    pub(crate) fn host(&mut self, host: Option<&str>, port: Option<&str>) {
        let part = match host {
            Some(host) if !host.is_empty() => {
                Part::known(format!("{}:{}", host.to_ascii_lowercase(), port.unwrap_or("?")))
            }
            _ => Part::Unknown,
        };
        let mut operation = Operation::new(Action::Connect, Object::Host(part.clone())).marked(Mark::Network);
        if part == Part::Unknown {
            operation = operation.marked(Mark::Dynamic);
        }
        self.emit(operation);
    }
}
