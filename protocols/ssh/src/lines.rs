//! A command line, read as the target would run it.
//!
//! `crates/shell` says what a text would do; what the text alone does not say (where home is, what a pattern meets, what
//! a name really reaches, what lies in a tree) is asked of the target, and the text is read again with the answers.
//! Promises: each file of a reading is judged as what it reaches, and as what it is called where that is a link; a tree
//! is judged with everything in it, and one of which only names are read with every directory in it, as `ls` of each would
//! be; what cannot be told is an operation on an unknown file, which no bundle allows
//! unless it says so for every file. A text that names no file asks nothing of the target. What the text itself changes
//! before it uses it is not taken from an answer that was given before it runs (`made.rs`).
//! Does not promise that the target stays as it was between the answer and the command.
//! Held by: the tests below and `tests/it/ssh.rs` of the binary.

mod made;

use crate::core::CopySide;
use crate::files::{Files, Last, Looked, Tree};
use portcullis_model::{Action, Command, Digest, Mark, Object, Operation, Part};
use portcullis_shell::{Glob, Limits, Reading, Scope, read};
use std::sync::Arc;

/// How often a text is read again with more answers.
const ROUNDS: usize = 4;
/// Files of one command that the target is asked about.
const FILES: usize = 512;

/// Whether reading the text needs anything of the target.
pub(crate) fn asks(reading: &Reading) -> bool {
    let file = |operation: &Operation| matches!(operation.object, Object::File(Part::Known(_)));
    reading.fault.is_none() && (!reading.globs.is_empty() || reading.operations.iter().any(file))
}

/// What was read of the text in this scope, with what the target says; and what copy it starts, where it does nothing else.
/// It is read again only where the target says more than the scope did.
pub(crate) async fn resolve(
    text: &str,
    mut reading: Reading,
    mut scope: Scope,
    limits: &Limits,
    files: &mut Files,
) -> (Reading, Option<CopySide>) {
    files.forget();
    if scope.home.as_deref() != Some(files.home()) {
        scope.home = Some(files.home().to_owned());
        // Relative to the home that was asked for, where the session is nowhere else.
        if scope.directory.as_deref().is_none_or(|directory| directory == "~") {
            scope.directory.clone_from(&scope.home);
        }
        reading = read(text, &scope, limits);
    }
    let asked = expand(text, &mut reading, &mut scope, limits, files).await;
    let elsewhere = keep_what_holds(text, &mut reading, &mut scope, &asked, limits, files).await;
    let copy = copy(text, &reading, files).await;
    if reading.fault.is_none() {
        let alone = matches!(reading.commands.as_slice(), [only] if only.program.as_deref() == Some("cp"));
        let operations = std::mem::take(&mut reading.operations);
        let listed = std::mem::take(&mut reading.listed);
        let trees = copy.is_none();
        let mut reached = Reached { files, listed, trees, copies_tree: alone, asked: 0, out: Vec::new() };
        reached.all(operations).await;
        reading.operations = reached.out;
        if elsewhere || !climbs_as_written(&reading.climbs, files).await {
            reading.operations.push(Operation::unknown());
        }
    }
    (reading, copy)
}

/// Reads the text again with what its patterns meet; where that was looked for.
async fn expand(
    text: &str,
    reading: &mut Reading,
    scope: &mut Scope,
    limits: &Limits,
    files: &mut Files,
) -> Vec<(Glob, Vec<Looked>)> {
    let mut looked = Vec::new();
    for _ in 0..ROUNDS {
        let mut asked = false;
        for glob in &reading.globs {
            if scope.expansions.contains_key(glob) {
                continue;
            }
            if let Some(met) = files.expand(glob).await {
                scope.expansions.insert(glob.clone(), met.names);
                looked.push((glob.clone(), met.looked));
                asked = true;
            }
        }
        if !asked {
            break;
        }
        *reading = read(text, scope, limits);
    }
    looked
}

/// Reads the text without the answers that it may itself make wrong; whether its names may lead elsewhere then.
async fn keep_what_holds(
    text: &str,
    reading: &mut Reading,
    scope: &mut Scope,
    asked: &[(Glob, Vec<Looked>)],
    limits: &Limits,
    files: &mut Files,
) -> bool {
    if reading.fault.is_some() || !reading.operations.iter().any(made::is_change) {
        return false;
    }
    let order = made::Order::new(text, limits);
    let stale = order.stale(reading, scope, asked, files).await;
    if !stale.is_empty() {
        for glob in &stale {
            scope.expansions.remove(glob);
        }
        *reading = read(text, scope, limits);
    }
    order.leads_elsewhere(reading, scope, files).await
}

/// Whether each path with a step up in it leads where its letters say: past a link it leads elsewhere, and the operations
/// were named by the letters.
async fn climbs_as_written(climbs: &[String], files: &mut Files) -> bool {
    for path in climbs.iter().take(FILES) {
        let Some(written) = normal(path) else { return false };
        let (climbed, written) =
            (files.resolve(path, Last::Followed).await, files.resolve(&written, Last::Followed).await);
        if climbed.is_none() || climbed != written {
            return false;
        }
    }
    climbs.len() <= FILES
}

/// The path without its steps, by its letters alone.
fn normal(path: &str) -> Option<String> {
    let (root, rest) = match path.strip_prefix('~') {
        Some(rest) => ("~", rest),
        None => ("", path),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            // A step up from home leads to what letters do not say.
            ".." if parts.is_empty() && root == "~" => return None,
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("{root}/{}", parts.join("/")))
}

/// The copy that the text starts: what `scp -t` or `scp -f` says on its stream is read then, file by file. Only a text of
/// nothing but its words is one: a redirection, a here-document or a second command would give scp another stream than the
/// one that is read.
async fn copy(text: &str, reading: &Reading, files: &Files) -> Option<CopySide> {
    let [only] = reading.commands.as_slice() else { return None };
    let plain = !text.contains(['<', '>', '|', '&', ';', '(', ')', '$', '`', '\n', '#', '{', '}', '!', '=']);
    if !plain || only.program.as_deref() != Some("scp") || only.depth != 0 {
        return None;
    }
    let paths = |action: Action| {
        let of = move |operation: &&Operation| operation.action == action;
        reading.operations.iter().filter(of).filter_map(|operation| match &operation.object {
            Object::File(Part::Known(path)) => Some(path.as_str().to_owned()),
            _ => None,
        })
    };
    if let Some(path) = paths(Action::Insert).next() {
        let directory = files.is_directory(&path).await;
        return Some(CopySide::Sink { path, directory, recursive: true });
    }
    let paths: Vec<String> = paths(Action::Read).collect();
    (!paths.is_empty()).then_some(CopySide::Source { paths })
}

/// Whether scp stands in a text whose stream will not be read as a copy: then what it does is not known.
pub(crate) fn hides_copy(reading: &Reading, copy: Option<&CopySide>) -> bool {
    copy.is_none() && reading.commands.iter().any(|command| command.program.as_deref() == Some("scp"))
}

/// Where the target says nothing about its files, none of them is known.
pub(crate) fn forget(reading: &mut Reading) {
    for operation in &mut reading.operations {
        if let Object::File(Part::Known(path)) = &operation.object
            && !is_stream(path.as_str())
        {
            *operation = on(operation, None);
        }
    }
}

/// Operations on what their files really are.
struct Reached<'f> {
    files: &'f mut Files,
    /// Trees of which only the names are read.
    listed: Vec<String>,
    /// Whether what lies in a tree is judged with it; a copy's files are judged as they are announced.
    trees: bool,
    /// The text is one `cp` and nothing else, so that a tree that is written has the names of the tree that is read.
    copies_tree: bool,
    asked: usize,
    out: Vec<Operation>,
}

impl Reached<'_> {
    async fn all(&mut self, operations: Vec<Operation>) {
        let mut sources: Vec<Vec<String>> = Vec::new();
        let mut written: Vec<(Operation, String)> = Vec::new();
        for operation in operations {
            let path = match &operation.object {
                Object::File(Part::Known(path)) if !is_stream(path.as_str()) => path.as_str().to_owned(),
                _ => {
                    self.out.push(operation);
                    continue;
                }
            };
            let Some(followed) = self.one(&operation, &path).await else { continue };
            let tree = operation.marks.contains(Mark::Recursive);
            if tree && operation.marks.contains(Mark::Unbounded) {
                // All below a root is more than can be asked about: it may be any file at all.
                self.out.push(on(&operation, None));
                continue;
            }
            // A directory that is moved away takes with it what lies in it, whatever the command line says of trees.
            let moved = operation.action == Action::Delete;
            if !(tree || moved) || !self.trees {
                continue;
            }
            if let Some(names) = self.below(&operation, &path, &followed).await
                && operation.action == Action::Read
            {
                sources.push(names);
            }
            if matches!(operation.action, Action::Insert | Action::Update) {
                written.push((operation, followed));
            }
        }
        self.new_names(&sources, written);
        self.out.dedup();
    }

    /// The operation on what the path reaches, and on the link where it is one; what it reaches.
    async fn one(&mut self, operation: &Operation, path: &str) -> Option<String> {
        self.asked += 1;
        if self.asked > FILES {
            self.out.push(on(operation, None));
            return None;
        }
        let itself = self.files.resolve(path, Last::Itself).await;
        let followed = match operation.action {
            // Removing a name removes the link, unless the whole of what it leads to is meant.
            Action::Delete if !path.ends_with('/') => itself.clone(),
            _ => self.files.resolve(path, Last::Followed).await,
        };
        let (Some(itself), Some(followed)) = (itself, followed) else {
            self.out.push(on(operation, None));
            return None;
        };
        self.out.push(on(operation, Some(self.files.spelled(&followed))));
        if followed != itself {
            self.out.push(on(operation, Some(self.files.spelled(&itself))));
        }
        Some(followed)
    }

    /// The same operation on everything below a directory, or where only names are read on the directories below it; the
    /// names of what it is on, relative to it.
    async fn below(&mut self, operation: &Operation, path: &str, root: &str) -> Option<Vec<String>> {
        let lists = operation.action == Action::Read && self.listed.iter().any(|listed| listed == path);
        let tree = if lists { self.files.directories(root).await } else { self.files.tree(root).await };
        match tree {
            Tree::Whole(paths) => {
                self.out.extend(paths.iter().map(|path| on(operation, Some(self.files.spelled(path)))));
                let prefix = format!("{}/", root.trim_end_matches('/'));
                Some(paths.iter().filter_map(|path| path.strip_prefix(&prefix).map(ToOwned::to_owned)).collect())
            }
            Tree::Nothing => Some(Vec::new()),
            Tree::Unknown => {
                self.out.push(on(operation, None));
                None
            }
        }
    }

    /// What comes to lie in trees that are written: of a plain copy the names of what is copied, of anything else (an
    /// archive, a transfer) any name at all.
    fn new_names(&mut self, sources: &[Vec<String>], written: Vec<(Operation, String)>) {
        for (operation, root) in written {
            if !self.copies_tree {
                self.out.push(on(&operation, None));
                continue;
            }
            for name in sources.iter().flatten() {
                let path = format!("{}/{name}", root.trim_end_matches('/'));
                self.out.push(on(&operation, Some(self.files.spelled(&path))));
            }
        }
    }
}

fn on(operation: &Operation, path: Option<String>) -> Operation {
    let part = path.map_or(Part::Unknown, Part::known);
    Operation { object: Object::File(part), ..operation.clone() }
}

/// The streams of a program, which name no file of the target's: asked of it, they would be those of its file server.
fn is_stream(path: &str) -> bool {
    matches!(path, "/dev/null" | "/dev/zero" | "/dev/stdin" | "/dev/stdout" | "/dev/stderr" | "/dev/tty" | "/dev/full")
        || path.strip_prefix("/dev/fd/").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The command of a reading, bound to where and under whom it runs.
pub(crate) fn command(reading: &Reading, text: &str, sent: &[u8], home: Option<&str>, context: &[&str]) -> Command {
    let mut command = reading.command(text, Digest::of(sent));
    let parts: Vec<&[u8]> = context.iter().flat_map(|part| [part.as_bytes(), b"\0".as_slice()]).collect();
    command.context = Some(Digest::of_parts(&parts));
    command.home = home.map(Arc::from);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_that_names_files_asks_the_target() {
        for (text, expected) in [("true", false), ("uname -s", false), ("cat x", true), ("echo *", true), ("ls", true)]
        {
            let scope = Scope { directory: Some("~".to_owned()), ..Scope::unknown() };
            let reading = read(text, &scope, &Limits::default());
            assert_eq!(asks(&reading), expected, "{text}: {reading:?}");
        }
    }

    #[test]
    fn steps_are_taken_by_the_letters() {
        assert_eq!(normal("~/a/../b").as_deref(), Some("~/b"));
        assert_eq!(normal("/a/./b/../../c").as_deref(), Some("/c"));
        assert_eq!(normal("/../x").as_deref(), Some("/x"));
        assert_eq!(normal("~/../x"), None);
    }

    #[test]
    fn streams_are_no_files() {
        assert!(is_stream("/dev/null") && is_stream("/dev/fd/2"));
        assert!(!is_stream("/dev/sda") && !is_stream("/dev/fd/../sda") && !is_stream("/dev/tcp/x/1"));
    }
}
