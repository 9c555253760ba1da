//! `find`: its starting points, and the actions among its tests.
//!
//! Promises: whatever `-exec`, `-ok` and their kin run is read with every starting point in the place of `{}`, marked
//! recursive; a word that is no test, action or operator of the list makes the call `unknown`. A call that only shows names
//! says so of its trees (`Reading::listed`). Which files the tests let through is not known.
//! Held by: `fixtures/shell/find.tsv`, `tests/it/scopes.rs`.

use crate::expand::{Field, Sure, from_home};
use crate::state::{Directories, State};
use crate::walk::Walker;
use portcullis_model::{Action, Mark, Marks};

/// Tests and options without an argument.
const PLAIN: [&str; 37] = [
    "-a",
    "-and",
    "-daystart",
    "-depth",
    "-d",
    "-empty",
    "-executable",
    "-false",
    "-follow",
    "-ignore_readdir_race",
    "-ls",
    "-mount",
    "-nogroup",
    "-noignore_readdir_race",
    "-noleaf",
    "-not",
    "-nouser",
    "-nowarn",
    "-o",
    "-or",
    "-print",
    "-print0",
    "-prune",
    "-quit",
    "-readable",
    "-true",
    "-warn",
    "-writable",
    "-xdev",
    "(",
    ")",
    "!",
    ",",
    "-H",
    "-L",
    "-P",
    "-X",
];

/// Tests with one argument.
const VALUED: [&str; 44] = [
    "-amin",
    "-anewer",
    "-atime",
    "-cmin",
    "-cnewer",
    "-context",
    "-ctime",
    "-fstype",
    "-gid",
    "-group",
    "-ilname",
    "-iname",
    "-inum",
    "-ipath",
    "-iregex",
    "-iwholename",
    "-links",
    "-lname",
    "-maxdepth",
    "-mindepth",
    "-mmin",
    "-mtime",
    "-name",
    "-newer",
    "-path",
    "-perm",
    "-printf",
    "-regex",
    "-regextype",
    "-samefile",
    "-size",
    "-type",
    "-uid",
    "-used",
    "-user",
    "-wholename",
    "-xtype",
    "-D",
    "-neweraa",
    "-newermt",
    "-newerct",
    "-newerat",
    "-newermm",
    "-newercc",
];

impl Walker<'_> {
    /// Applies `find`.
    pub(crate) fn find(&mut self, name: &str, arguments: &[Field], state: &mut State) {
        let starts = |field: &Field| {
            field
                .named()
                .is_some_and(|text| (text.len() > 1 && text.starts_with('-')) || matches!(text, "(" | ")" | "!" | ","))
        };
        let mut rest = arguments;
        while let Some((first, after)) = rest.split_first() {
            match first.known() {
                Some("-H" | "-L" | "-P") => rest = after,
                Some("-D") => rest = after.get(1..).unwrap_or_default(),
                Some(text) if text.starts_with("-O") => rest = after,
                _ => break,
            }
        }
        let split = rest.iter().position(starts).unwrap_or(rest.len());
        let (roots, expression) = rest.split_at_checked(split).unwrap_or((rest, &[]));
        let mut roots = roots.to_vec();
        // An unquoted value may be several words, and an action among them.
        let doubtful = arguments.iter().any(|field| field.sure == Sure::Splits)
            || roots.iter().any(|field| field.sure != Sure::Literal && field.may_be_option())
            // Those that a pattern met behind it would be starting points in another order.
            || arguments.iter().any(|field| field.sure == Sure::Among && starts(field));
        self.execute(name, None, if doubtful { Mark::Dynamic.into() } else { Marks::NONE });
        let from_file = expression.iter().position(|field| field.known() == Some("-files0-from"));
        if from_file.is_some() {
            roots.push(Field::unknown());
        }
        if roots.is_empty() {
            roots.push(Field::literal("."));
        }
        let tree = Marks::from(Mark::Recursive);
        self.listing = only_lists(arguments);
        for root in &roots {
            self.file(Action::Read, root, tree, state);
        }
        self.listing = false;
        self.actions(expression, &roots, state);
    }

    fn actions(&mut self, expression: &[Field], roots: &[Field], state: &mut State) {
        let tree = Marks::from(Mark::Recursive);
        let mut rest = expression;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            let Some(word) = first.known() else {
                self.foreign_code("find");
                continue;
            };
            match word {
                "-delete" => roots.iter().for_each(|root| self.file(Action::Delete, root, tree, state)),
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    let (command, after) = rest.split_at_checked(command_end(rest, word)).unwrap_or((rest, &[]));
                    if command.iter().any(may_end) {
                        self.foreign_code("find");
                    }
                    self.on_found(command, roots, word.ends_with("dir"), state);
                    rest = after.get(1..).unwrap_or_default();
                }
                "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                    if let Some(file) = rest.first() {
                        self.file(Action::Insert, file, Marks::NONE, state);
                        self.file(Action::Update, file, Marks::NONE, state);
                    }
                    rest = rest.get(if word == "-fprintf" { 2 } else { 1 }..).unwrap_or_default();
                }
                "-files0-from" => {
                    if let Some(file) = rest.first() {
                        self.file(Action::Read, file, Marks::NONE, state);
                    }
                    rest = rest.get(1..).unwrap_or_default();
                }
                word if PLAIN.contains(&word) => {}
                word if VALUED.contains(&word) => rest = rest.get(1..).unwrap_or_default(),
                _ => self.unread(),
            }
        }
    }

    /// A starting point as a path that does not depend on the directory; not known where there are several.
    fn rooted(&self, root: &Field, state: &State) -> Field {
        match root.named().map(|text| self.paths(text, state)).as_deref() {
            Some([Some(path)]) => Field::literal(from_home(path)),
            _ => Field::unknown(),
        }
    }

    fn on_found(&mut self, command: &[Field], roots: &[Field], elsewhere: bool, state: &mut State) {
        let named = command.iter().any(|field| field.text.contains("{}"));
        for root in roots {
            let root = if elsewhere { self.rooted(root, state) } else { root.clone() };
            let argv: Vec<Field> = command
                .iter()
                .map(|field| match (field.text.as_str(), field.sure, root.named()) {
                    ("{}", Sure::Literal, Some(root)) => Field::literal(root),
                    ("{}", ..) => Field { text: String::new(), sure: Sure::Starts },
                    (text, sure, _) if text.contains("{}") => {
                        // Inside code: what is found becomes part of it.
                        let start = text.split("{}").next().unwrap_or_default().to_owned();
                        Field { text: start, sure: if sure == Sure::Splits { sure } else { Sure::Starts } }
                    }
                    _ => field.clone(),
                })
                .collect();
            let mut own = state.clone();
            if elsewhere {
                // Each runs in the directory that holds what was found, be it the parent of a starting point.
                own.settle(Directories::any());
            }
            self.found_recursive = named || elsewhere;
            self.depth += 1;
            self.dispatch(&argv, false, &mut own);
            self.depth -= 1;
            self.found_recursive = false;
        }
    }
}

/// Whether names are shown, and what `ls -l` says of them, and that is all: nothing is run, written, removed or taken from
/// a file, and no link is followed.
fn only_lists(arguments: &[Field]) -> bool {
    let more = ["-exec", "-ok", "-delete", "-fprint", "-fls", "-files0-from", "-follow", "-H", "-L"];
    arguments.iter().all(|field| field.named().is_some_and(|word| !more.iter().any(|start| word.starts_with(start))))
}

/// Where the command of an action ends: at `;`, or for those that gather at a `+` right behind `{}`.
fn command_end(words: &[Field], action: &str) -> usize {
    let gathers = !action.starts_with("-ok");
    let mut braces = false;
    words
        .iter()
        .position(|field| {
            let plus = gathers && std::mem::replace(&mut braces, field.known() == Some("{}"));
            field.known() == Some(";") || (plus && field.known() == Some("+"))
        })
        .unwrap_or(words.len())
}

/// Whether a word that is not known could be what ends a command.
fn may_end(field: &Field) -> bool {
    field.sure != Sure::Literal && matches!(field.text.as_str(), "" | ";" | "+")
}
