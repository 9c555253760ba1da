//! What a line makes before it uses it.
//!
//! The target is asked before anything of a line runs: what the line itself makes, moves or removes was not so then.
//! Promises: the answer for a pattern is not used where a command before the one that uses it can change what the
//! pattern meets ([`Order::stale`]); a line that makes, moves or copies a link, or a tree with one in it, and elsewhere
//! uses a name that leads through it, is found ([`Order::leads_elsewhere`]). What runs before what is told by reading the
//! line's beginnings, where it is commands in a row; in any other line all of it may run before all of it.
//! Does not promise anything of what programs make without saying so, or of what other processes do.
//! Held by: `made/tests.rs`, and `tests/it/ssh_made.rs` of the binary.

use crate::files::{Files, Last, Looked, above, is_within};
use portcullis_model::{Action, Mark, Object, Operation, Part};
use portcullis_shell::{Completeness, Glob, Limits, Reading, Scope, Simple, completeness, read};
use std::ops::Range;

/// Longer lines are not cut.
const LONGEST: usize = 2048;
/// Nor are those with more places to cut at.
const CUTS: usize = 48;
/// Changes of one line that the target is asked about; more are changes to any file.
const CHANGES: usize = 256;
/// What a pattern is tried with besides what it meets: two names, so that one that meets nothing has more of them.
const OTHERS: [&str; 2] = ["portcullis-one", "portcullis-two"];
/// Programs that run what their arguments say, and nothing before it.
const WRAPPERS: [&str; 9] = ["command", "env", "ionice", "nice", "nohup", "setsid", "stdbuf", "sudo", "timeout"];

/// A line, cut into what runs one behind the other.
pub(super) struct Order<'a> {
    text: &'a str,
    limits: &'a Limits,
    parts: Vec<Range<usize>>,
    /// Whether it was cut: otherwise it is one part, whose commands may run in any order.
    cut: bool,
}

/// A change to the target's files.
struct Change<'o> {
    operation: &'o Operation,
    /// What it is done to, without links on the way there; `None` for any file.
    paths: Option<Vec<String>>,
}

impl<'a> Order<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits) -> Self {
        let cut = parts(text, limits);
        let whole = || std::iter::once(0..text.len()).collect();
        Self { text, limits, cut: cut.is_some(), parts: cut.unwrap_or_else(whole) }
    }

    /// The patterns whose answers may not hold any more when they are used.
    pub(super) async fn stale(
        &self,
        reading: &Reading,
        scope: &Scope,
        asked: &[(Glob, Vec<Looked>)],
        files: &mut Files,
    ) -> Vec<Glob> {
        let mut stale = Vec::new();
        if asked.is_empty() || !reading.operations.iter().any(is_change) {
            return stale;
        }
        let changes = changes(&reading.operations, files).await;
        for (glob, looked) in asked {
            let mut met: Vec<&Operation> = Vec::new();
            for change in &changes {
                if change.meets(looked, files).await {
                    met.push(change.operation);
                }
            }
            if !met.is_empty() && self.uses_behind(glob, &met, reading, scope) {
                stale.push(glob.clone());
            }
        }
        stale
    }

    /// Whether the line uses a pattern behind one of these changes.
    fn uses_behind(&self, glob: &Glob, met: &[&Operation], whole: &Reading, scope: &Scope) -> bool {
        let mut varied = scope.clone();
        varied.expansions.entry(glob.clone()).or_default().extend(OTHERS.map(str::to_owned));
        let (mut before, mut seen, mut seen_varied) = (Vec::new(), 0, 0);
        for part in &self.parts {
            let text = self.text.get(..part.end).unwrap_or_default();
            let (now, other) = (read(text, scope, self.limits), read(text, &varied, self.limits));
            if now.fault.is_some() || other.fault.is_some() {
                return true;
            }
            let (mine, theirs) = (behind(&now, seen), behind(&other, seen_varied));
            let own = self.text.get(part.clone()).unwrap_or_default();
            // More names are more arguments, or more rounds of a loop.
            let uses = mine != theirs || redirects_to_pattern(own);
            let first = is_single(own, mine) || (self.cut && loops_over(own, mine, theirs));
            let changes = if first { &before } else { &now.operations };
            let counts =
                |done: &Operation| met.contains(&done) || (is_change(done) && !whole.operations.contains(done));
            if uses && changes.iter().any(counts) {
                return true;
            }
            (seen, seen_varied) = (now.commands.len(), other.commands.len());
            before = now.operations;
        }
        false
    }

    /// Whether the line gives a link another name, or makes one, and what else it does goes through that name.
    pub(super) async fn leads_elsewhere(&self, whole: &Reading, scope: &Scope, files: &mut Files) -> bool {
        if whole.commands.len() < 2 {
            return false;
        }
        let (mut before, mut seen) = (Vec::new(), 0);
        for (nth, part) in self.parts.iter().enumerate() {
            let now = read(self.text.get(..part.end).unwrap_or_default(), scope, self.limits);
            if now.fault.is_some() {
                return true;
            }
            let mine = behind(&now, seen);
            let own = self.text.get(part.clone()).unwrap_or_default();
            let single = is_single(own, mine);
            let last = nth + 1 == self.parts.len();
            if !(last && single) {
                let renamed = renamed(&now, &before, mine, own, files).await;
                if !renamed.is_empty() {
                    let others = if single { self.without(part, scope) } else { whole.clone() };
                    if others.fault.is_some() || renamed.are_used(&others, files).await {
                        return true;
                    }
                }
            }
            seen = now.commands.len();
            before = now.operations;
        }
        false
    }

    /// The line as it would be read without one of its parts.
    fn without(&self, part: &Range<usize>, scope: &Scope) -> Reading {
        let before = self.text.get(..part.start).unwrap_or_default();
        let after = self.text.get(part.end..).unwrap_or_default();
        read(&format!("{before} : {after}"), scope, self.limits)
    }
}

impl Change<'_> {
    /// Whether it can change what was found.
    async fn meets(&self, looked: &[Looked], files: &mut Files) -> bool {
        let Some(paths) = &self.paths else { return true };
        let tree = self.operation.marks.contains(Mark::Recursive);
        for looked in looked {
            let Some(place) = files.resolve(looked.directory(), Last::Followed).await else { return true };
            if paths.iter().any(|path| looked.changes(&place, self.operation.action, tree, path)) {
                return true;
            }
        }
        false
    }
}

/// Names that mean something else once a part of the line has run.
#[derive(Default)]
struct Renamed {
    /// These may be links, or have links in them.
    made: Vec<String>,
    /// These were links, or had some in them.
    gone: Vec<String>,
}

impl Renamed {
    const fn is_empty(&self) -> bool {
        self.made.is_empty() && self.gone.is_empty()
    }

    /// Whether what is read here goes through one of the names.
    async fn are_used(&self, reading: &Reading, files: &mut Files) -> bool {
        for operation in &reading.operations {
            let tree = operation.marks.contains(Mark::Recursive);
            if let Some(path) = path(operation)
                && self.is_used(path, tree, files).await
            {
                return true;
            }
        }
        for climb in &reading.climbs {
            if self.is_used(climb, false, files).await {
                return true;
            }
        }
        false
    }

    async fn is_used(&self, path: &str, tree: bool, files: &mut Files) -> bool {
        let steps: Vec<&str> = above(path.trim_end_matches('/')).filter(|step| !step.is_empty()).collect();
        for (nth, step) in steps.into_iter().enumerate() {
            let Some(itself) = files.resolve(step, Last::Itself).await else { return true };
            // The name alone is judged as what it is called, too.
            if self.made.contains(&itself) || (nth > 0 && self.gone.contains(&itself)) {
                return true;
            }
        }
        let Some(followed) = files.resolve(path, Last::Followed).await else { return true };
        self.made.iter().any(|made| is_within(&followed, made) || (tree && is_within(made, &followed)))
    }
}

/// What a part of the line, which ends the reading, gives another name; `before` it, all this was done.
async fn renamed(now: &Reading, before: &[Operation], mine: &[Simple], own: &str, files: &mut Files) -> Renamed {
    let runs = |names: &[&str]| {
        mine.iter().any(|command| command.program.as_deref().is_some_and(|program| names.contains(&program)))
    };
    let removes = |command: &Simple| matches!(command.program.as_deref(), Some("rm" | "rmdir" | "unlink"));
    let only_removes = mine.iter().all(removes);
    // Without options `cp` follows the links that it is given.
    let copies = runs(&["cp"]) && may_have_options(own);
    let of = |action: Action| now.operations.iter().filter(move |operation| operation.action == action);
    let mut found = Renamed::default();
    // `cp -s` and `cp -l` are said to change what they read.
    let links = copies && of(Action::Read).any(|read| of(Action::Update).any(|update| update.object == read.object));
    let mut carries = links || runs(&["ln", "link"]);
    let moves = runs(&["mv"]) || of(Action::Delete).any(|operation| !before.contains(operation));
    let sources = of(Action::Delete).filter(|_| moves).chain(of(Action::Read).filter(|_| copies));
    let sources: Vec<&Operation> = sources.collect();
    // What is only made, by `mkdir`, is no link and has none in it.
    let put = of(Action::Insert).filter(|insert| of(Action::Update).any(|update| update.object == insert.object));
    let put: Vec<&str> = put.filter_map(path).collect();
    for operation in sources {
        if let Some(path) = path(operation)
            && files.carries_links(path).await
        {
            carries |= !only_removes;
            if operation.action == Action::Delete {
                found.gone.extend(files.resolve(path, Last::Itself).await);
            }
        }
    }
    if carries {
        for path in put {
            found.made.extend(files.resolve(path, Last::Itself).await);
        }
    }
    found
}

/// The changes among these, with where they are.
async fn changes<'o>(operations: &'o [Operation], files: &mut Files) -> Vec<Change<'o>> {
    let mut out = Vec::new();
    for operation in operations {
        if !is_change(operation) {
            continue;
        }
        let paths = match path(operation) {
            Some(path) if out.len() < CHANGES => {
                let itself = files.resolve(path, Last::Itself).await;
                let followed = files.resolve(path, Last::Followed).await;
                itself.zip(followed).map(|(itself, followed)| vec![itself, followed])
            }
            Some(_) | None => None,
        };
        out.push(Change { operation, paths });
    }
    out
}

/// Whether an operation changes what the target's files are called.
pub(super) fn is_change(operation: &Operation) -> bool {
    let file = match &operation.object {
        Object::File(Part::Known(path)) => !super::is_stream(path.as_str()),
        Object::File(Part::Unknown) => true,
        _ => false,
    };
    file && matches!(operation.action, Action::Insert | Action::Update | Action::Delete)
}

/// The file that an operation names, where it is known.
fn path(operation: &Operation) -> Option<&str> {
    if let Object::File(Part::Known(path)) = &operation.object
        && !super::is_stream(path.as_str())
    {
        return Some(path.as_str());
    }
    None
}

fn behind(reading: &Reading, seen: usize) -> &[Simple] {
    reading.commands.get(seen..).unwrap_or_default()
}

/// Where the commands of a line are that run one behind the other; `None` where they may not.
fn parts(text: &str, limits: &Limits) -> Option<Vec<Range<usize>>> {
    if text.len() > LONGEST {
        return None;
    }
    // What runs beside the rest, and what is written here and runs there.
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let beside = has_background(text)
        || ["<(", ">(", "()"].iter().any(|sign| squeezed.contains(*sign))
        || words(text).any(|word| matches!(word, "alias" | "coproc" | "function" | "trap"));
    if beside {
        return None;
    }
    let mut parts = Vec::new();
    let (mut start, mut tried) = (0, 0);
    for (at, c) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        let length = match c {
            ';' | '\n' => 1,
            '&' | '|' if rest.starts_with("&&") || rest.starts_with("||") => 2,
            _ => continue,
        };
        let before = text.get(..at).unwrap_or_default();
        if at < start || before.trim().is_empty() {
            continue;
        }
        tried += 1;
        if tried > CUTS {
            return None;
        }
        if completeness(before, limits) == Completeness::Complete {
            parts.push(start..at);
            start = at + length;
        }
    }
    parts.push(start..text.len());
    Some(parts)
}

/// Whether something runs beside the rest: an ampersand that is no part of another operator.
fn has_background(text: &str) -> bool {
    let operators = ["&&", ">&", "<&", "&>"];
    operators.iter().fold(text.to_owned(), |text, operator| text.replace(*operator, " ")).contains('&')
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Whether a part is one program and nothing else, whose words are all expanded before anything of it happens.
fn is_single(own: &str, mine: &[Simple]) -> bool {
    let wraps = |command: &Simple| command.program.as_deref().is_some_and(|program| WRAPPERS.contains(&program));
    let wrapped = mine.split_last().is_none_or(|(_, before)| before.iter().all(wraps));
    let own = own.trim().replace("\\\n", " ");
    wrapped && !own.contains([';', '|', '(', '`', '\n']) && !has_background(&own)
}

/// Whether a part is `for … in …; do …; done` and uses the pattern in front of `do` alone.
fn loops_over(own: &str, mine: &[Simple], theirs: &[Simple]) -> bool {
    let own = own.trim();
    let mut cuts = own.match_indices("do").filter_map(|(at, _)| own.split_at_checked(at));
    let begins = |(head, _): &(&str, &str)| head.trim_end_matches([' ', '\t']).ends_with([';', '\n']);
    let Some((head, body)) = cuts.find(begins) else { return false };
    // A redirection of all of it would come first.
    own.starts_with("for ")
        && own.ends_with("done")
        && words(own).filter(|word| matches!(*word, "do" | "while" | "until" | "select")).count() == 1
        && !head.contains(['(', '`'])
        && !redirects_to_pattern(body)
        && mine.iter().all(|command| command.depth == 0)
        && theirs.len() > mine.len()
        && theirs.starts_with(mine)
}

/// Whether a redirection may be to what a pattern meets.
fn redirects_to_pattern(own: &str) -> bool {
    let behind = own.find(['<', '>']).and_then(|at| own.get(at..));
    behind.is_some_and(|behind| behind.contains(['*', '?', '[', '$', '`']))
}

/// Whether a word may start with a dash.
fn may_have_options(own: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/');
    let starts = |(before, c): (char, char)| c == '-' && !within(before);
    own.contains(['$', '`', '*', '?', '[', '{']) || std::iter::once(' ').chain(own.chars()).zip(own.chars()).any(starts)
}

#[cfg(test)]
mod tests;
