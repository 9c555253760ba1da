//! Roles that take more than one operation to say: archives of `tar`, mounts, repositories; names that are listed; and
//! those that take a look at the text: names for `tar`, paths of git, programs of `jq`, columns of `ps`.
//!
//! Promises: a name that is not wholly known is an operation on an unknown file; a program of `jq` that is not known at
//! its start may name files. Does not promise to read `jq` any further. Held by: `fixtures/shell/programs.tsv`.

use super::Applied;
use crate::expand::{Field, Sure};
use crate::facts::{Effect, Role};
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Mark, Marks};

/// What a program of `jq` starts with that reads files, and what it cannot be told from.
const IMPORTS: [&str; 4] = ["import", "include", "module", "#"];

/// `tar` undoes escapes in the names of its operands: `\144` is a letter.
pub(super) fn unquoted(placed: Vec<(Role, Field)>) -> Vec<(Role, Field)> {
    let plain = |field: Field| if field.text.contains('\\') { Field::unknown() } else { field };
    placed.into_iter().map(|(role, field)| (role, plain(field))).collect()
}

/// Whether a program of `jq` may read modules or data beside its input. Only what stands first can.
pub(super) fn may_import(field: &Field) -> bool {
    let start = field.text.trim_start();
    let unsure = field.sure != Sure::Literal && IMPORTS.iter().any(|word| word.starts_with(start));
    field.sure == Sure::Splits
        || unsure
        || IMPORTS.iter().any(|word| start.starts_with(word))
        || field.text.contains("modulemeta")
}

/// What of a process `ps -o` shows that is not its environment, nor of its command more than `ps -f` shows.
const COLUMNS: [&str; 58] = [
    "%cpu", "%mem", "args", "bsdstart", "bsdtime", "cls", "cmd", "comm", "command", "cputime", "egid", "egroup",
    "etime", "etimes", "euid", "euser", "f", "gid", "group", "lstart", "lwp", "maj_flt", "min_flt", "ni", "nice",
    "nlwp", "pcpu", "pgid", "pgrp", "pid", "pmem", "ppid", "pri", "psr", "rgid", "rgroup", "rss", "rssize", "ruid",
    "ruser", "s", "sid", "sess", "size", "start", "stat", "state", "stime", "sz", "time", "tname", "tt", "tty", "uid",
    "user", "vsize", "vsz", "wchan",
];

/// Whether a list of columns for `ps` names plain ones only. A width is none of the name, nor an empty heading; where a
/// heading goes on to the end of the list, what it seems to name is a plain column too.
pub(super) fn is_plain_format(list: &str) -> bool {
    list.split(',').all(|column| {
        let column = column.strip_suffix('=').unwrap_or(column);
        let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let name = column.split_once(':').filter(|&(_, width)| number(width)).map_or(column, |(name, _)| name);
        COLUMNS.contains(&name)
    })
}

impl Walker<'_> {
    /// Reading the names in a directory. Where links are followed, or an option is not known, it may be more than names.
    pub(super) fn names_in(&mut self, field: &Field, marks: Marks, applied: &Applied<'_>, state: &State) {
        let call = &applied.call;
        self.listing = !(call.has(Effect::Follows) || call.troubled || call.doubtful);
        let tree = if marks.contains(Mark::Recursive) { Marks::from(Mark::Recursive) } else { Marks::NONE };
        self.file(Action::Read, field, tree, state);
        self.listing = false;
    }

    /// `tar -f`: written or read, by what the other options ask for.
    pub(super) fn archive(&mut self, field: &Field, applied: &Applied<'_>, state: &State) {
        if field.known() == Some("-") {
            return;
        }
        if field.text.contains(':') || field.sure != Sure::Literal {
            // `host:file` is reached by a remote shell.
            self.unread();
        }
        if applied.call.modes.iter().any(|mode| mode == "write") {
            self.file(Action::Insert, field, Marks::NONE, state);
            self.file(Action::Update, field, Marks::NONE, state);
        } else {
            self.file(Action::Read, field, Marks::NONE, state);
        }
    }

    /// A path of `git grep`: git matches patterns itself, in the directories below as well, and behind a colon stands more.
    pub(super) fn pathspec(&mut self, field: &Field, state: &State) {
        let at = match field.named() {
            // What is left out is left out of the directory.
            Some(text) if [":!", ":^", ":(exclude)"].iter().any(|sign| text.starts_with(sign)) => Field::literal("."),
            Some(text) if text.starts_with(':') => Field::unknown(),
            Some(text) => match text.split_once(['*', '?', '[', '\\']) {
                Some((start, _)) => match start.rsplit_once('/') {
                    Some(("", _)) => Field::literal("/"),
                    Some((place, _)) => Field::literal(place),
                    None => Field::literal("."),
                },
                None => field.clone(),
            },
            None => field.clone(),
        };
        self.file(Action::Read, &at, Marks::from(Mark::Recursive), state);
    }

    pub(super) fn volume(&mut self, field: &Field, state: &State) {
        let source = field.text.split_once(':').map_or(field.text.as_str(), |(source, _)| source);
        let source = source
            .strip_prefix("type=bind,source=")
            .or_else(|| source.strip_prefix("type=bind,src="))
            .unwrap_or(source);
        let known = field.sure == Sure::Literal;
        if !known || source.contains('=') {
            self.unread();
        } else if source.starts_with(['/', '.', '~', crate::caps::HOME]) {
            let mounted = Field::literal(source);
            self.file(Action::Read, &mounted, Marks::from(Mark::Recursive), state);
            self.file(Action::Update, &mounted, Marks::from(Mark::Recursive), state);
        }
    }

    /// A repository as git's far end opens it: this name or, without the ending, the one with it; `~` is the home even in
    /// quotes. What writes to one runs its hooks, and its stream says what it writes.
    pub(super) fn repository(&mut self, field: &Field, updates: bool, state: &State) {
        let named = field.known().map(|text| text.trim_end_matches('/')).filter(|text| !text.is_empty());
        let Some(text) = named else {
            self.in_repository(field, updates, state);
            return;
        };
        let at = match text.strip_prefix('~') {
            None => text.to_owned(),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", crate::caps::HOME),
            Some(_) => {
                // The home of another login.
                self.in_repository(&Field::unknown(), updates, state);
                return;
            }
        };
        self.in_repository(&Field::literal(at.as_str()), updates, state);
        if !at.ends_with(".git") {
            self.in_repository(&Field::literal(format!("{at}.git")), updates, state);
        }
    }

    fn in_repository(&mut self, at: &Field, updates: bool, state: &State) {
        if !updates {
            self.file(Action::Read, at, Marks::NONE, state);
            return;
        }
        let whole = Marks::from(Mark::Recursive).with(Mark::Unbounded);
        self.file(Action::Update, at, whole, state);
        for hooks in ["hooks", ".git/hooks"] {
            let hooks = Field { text: format!("{}/{hooks}", at.text), sure: at.sure };
            self.file(Action::Execute, &hooks, Marks::NONE, state);
        }
    }
}
