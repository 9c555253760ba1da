//! The shell's own commands.
//!
//! Each has an arm: what changes the shell's state changes it here, what runs code (`eval`, `trap`, `mapfile -C`,
//! `complete -C`) has that code read. Promises: a builtin of the list that has no effect here has none in a shell; one
//! that hands its arguments on (`command`, `builtin`, `exec`) is read through. Held by: `fixtures/shell/wrappers.tsv`.

mod names;

use crate::expand::{Field, Sure};
use crate::loops::forget;
use crate::state::{Directories, State, Value};
use crate::walk::Walker;
use portcullis_model::{Action, Object, Operation, Part};
use std::rc::Rc;

const BUILTINS: [&str; 59] = [
    ".",
    ":",
    "[",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "cd",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "declare",
    "dirs",
    "disown",
    "echo",
    "enable",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
];

/// Options of `set -o` that change nothing about how a line is read.
const SET_OPTIONS: [&str; 7] = ["errexit", "errtrace", "functrace", "nounset", "pipefail", "verbose", "xtrace"];

const MORE: [&str; 2] = ["unset", "wait"];

pub(crate) fn is_builtin(name: &str) -> bool {
    BUILTINS.contains(&name) || MORE.contains(&name)
}

impl Walker<'_> {
    /// Runs a builtin.
    pub(crate) fn builtin(&mut self, name: &str, arguments: &[Field], state: &mut State) {
        match name {
            "cd" => self.change_directory(arguments, state),
            "pushd" => self.push_directory(arguments, state),
            "popd" => self.enter(Directories::any(), state),
            "eval" => self.evaluate_words(arguments, state),
            "." | "source" => self.source(arguments, state),
            "exec" => self.handed_on(arguments, false, state),
            "command" | "builtin" => self.handed_on(arguments, true, state),
            "set" => self.set(arguments, state),
            "shift" => shift(arguments, state),
            "export" | "declare" | "typeset" | "local" | "readonly" => self.declare(name, arguments, state),
            "unset" => arguments.iter().filter(|field| !field.text.starts_with('-')).for_each(|field| {
                self.unset(field, state);
                if let Some(name) = field.known()
                    && let Some(function) = state.functions.get_mut(name)
                {
                    function.maybe_absent = true;
                }
            }),
            "read" => self.read_names(arguments, state),
            "mapfile" | "readarray" => self.read_lines(arguments, state),
            "printf" => self.print(arguments, state),
            "let" => arguments.iter().for_each(|field| self.evaluated_text(field, state)),
            "test" | "[" => self.test_arguments(arguments, state),
            "trap" => self.trap(arguments, state),
            "alias" => self.define_alias(arguments, state),
            "unalias" => {}
            "complete" | "compgen" => self.completes(arguments, state),
            "bind" => self.binds(arguments),
            "enable" | "hash" | "history" | "fc" => self.rebinds(name, arguments, state),
            "shopt" => self.options(arguments),
            "wait" => self.waits(arguments, state),
            "getopts" => self.reads_options(arguments, state),
            "break" | "continue" | "return" => self.escapes(state),
            _ => {}
        }
    }

    fn configure(&mut self, what: &str) {
        self.emit(Operation::new(Action::Configure, Object::Setting(Part::known(what))));
    }

    fn change_directory(&mut self, arguments: &[Field], state: &mut State) {
        let target =
            arguments.iter().find(|field| !matches!(field.known(), Some("-L" | "-P" | "-e" | "-@" | "--" | "-n")));
        let here = state.directories.clone();
        // Where a link leads, and from there what stands above it, is the target's to say.
        let physical = arguments.iter().any(|field| field.known() == Some("-P"));
        let searched = state.variables.contains_key("CDPATH") || state.references;
        let next = match target.map(|field| (field.known(), field)) {
            None => match self.named("HOME", state) {
                crate::expand::Text::Known(home) => here.step(&home),
                _ => Directories::any(),
            },
            Some(_) if physical => Directories::any(),
            Some((Some("-"), _)) => match state.variables.get("OLDPWD") {
                None => state.previous.clone(),
                Some(Value::Known(path)) => here.step(path),
                Some(Value::Integer | Value::Unknown) => Directories::any(),
            },
            Some((Some(text), _)) if text.starts_with('+') || text.starts_with('-') => Directories::any(),
            Some((Some(text), _)) if searched && !text.starts_with(['/', '.', crate::caps::HOME]) => Directories::any(),
            Some((Some(""), _)) => here.clone(),
            Some((Some(text), _)) if crate::caps::is_pipe(text) => here.clone(),
            Some((Some(text), _)) => here.step(text),
            Some((None, _)) => Directories::any(),
        };
        self.enter(next, state);
    }

    /// `pushd DIRECTORY`. Without one it swaps the two on top, and with an option it may stay.
    fn push_directory(&mut self, arguments: &[Field], state: &mut State) {
        match arguments {
            [only] if only.known().is_some_and(|text| !text.starts_with(['-', '+'])) => {
                self.change_directory(arguments, state);
            }
            _ => self.enter(Directories::any(), state),
        }
    }

    /// The shell goes to `next`, unless that fails.
    fn enter(&mut self, next: Directories, state: &mut State) {
        let here = state.directories.clone();
        let absolute = |walker: &Self, place: &Rc<str>| -> Rc<str> {
            match (place.strip_prefix('~'), &walker.scope.home) {
                (Some(rest), Some(home)) => format!("{home}{rest}").into(),
                _ => Rc::clone(place),
            }
        };
        state.directories = Directories {
            known: next.known.iter().map(|place| absolute(self, place)).collect(),
            unknown: next.unknown,
        };
        let code = |place: &Rc<str>| place.contains('$');
        if here.known.iter().chain(&state.directories.known).any(code) {
            // `PWD` and `OLDPWD` are in the environment of what runs, and `make` expands what they hold.
            self.configure("PWD");
        }
        self.strayed |= next.unknown;
        state.previous = here;
        if state.variables.remove("OLDPWD").is_some() {
            // Where that fails it holds what it was given.
            state.previous_failed = Directories::any();
        }
        state.variables.remove("PWD");
    }

    fn evaluate_words(&mut self, arguments: &[Field], state: &mut State) {
        let arguments = match arguments.split_first() {
            Some((first, rest)) if first.known() == Some("--") => rest,
            _ => arguments,
        };
        let known: Option<Vec<&str>> = arguments.iter().map(Field::known).collect();
        match known {
            Some(words) => self.read_text(&words.join(" "), state),
            None => {
                self.dynamic_code();
                forget(state);
            }
        }
    }

    fn source(&mut self, arguments: &[Field], state: &mut State) {
        let arguments = match arguments.split_first() {
            Some((first, rest)) if first.known() == Some("--") => rest,
            _ => arguments,
        };
        let Some(file) = arguments.first() else { return };
        if arguments.len() > 1 && file.text == "-p" {
            // From 5.3 on: where to look for it.
            self.dynamic_code();
        } else {
            self.run_file(file, state);
        }
        forget(state);
    }

    /// `command`, `builtin`, and `exec`, which runs no builtin: the rest is a command.
    fn handed_on(&mut self, arguments: &[Field], shell: bool, state: &mut State) {
        let mut rest = arguments;
        while let Some((first, after)) = rest.split_first() {
            match first.known() {
                Some("--") => {
                    rest = after;
                    break;
                }
                Some("-v" | "-V") if shell => return,
                // `exec -a NAME`, also behind other letters.
                Some(text) if !shell && text.starts_with('-') && text.find('a') == Some(text.len() - 1) => {
                    if after.first().is_some_and(|name| name.sure == Sure::Splits) {
                        self.dynamic_code();
                    }
                    rest = after.get(1..).unwrap_or_default();
                }
                Some(text) if text.len() > 1 && text.starts_with('-') => rest = after,
                _ => break,
            }
        }
        if shell {
            // Functions and aliases are passed over.
            let functions = std::mem::take(&mut state.functions);
            self.dispatch(rest, true, state);
            for (name, function) in functions {
                state.functions.entry(name).or_insert(function);
            }
        } else {
            self.dispatch(rest, false, state);
        }
    }

    fn set(&mut self, arguments: &[Field], state: &mut State) {
        let mut rest = arguments;
        while let Some((first, after)) = rest.split_first() {
            match first.known() {
                Some("--" | "-") => {
                    state.positional = after.iter().map(|field| field.known().map(Rc::from)).collect();
                    return;
                }
                Some(text) if text.len() > 1 && text.starts_with(['-', '+']) => {
                    let named = text.ends_with('o').then(|| after.first().and_then(Field::known)).flatten();
                    let usual = text.starts_with('-') || text.bytes().all(|b| b"+euxo".contains(&b));
                    let plain = text.bytes().skip(1).all(|b| b"euxvhmETbo".contains(&b));
                    let kept = named.is_none_or(|name| SET_OPTIONS.contains(&name));
                    // Globs, braces, assignments behind the command, variables that programs see (`-a`): what is read
                    // here may mean something else.
                    if !usual || !plain || !kept {
                        self.configure("set");
                        self.unread();
                    }
                    rest = if text.ends_with('o') { after.get(1..).unwrap_or_default() } else { after };
                }
                _ => {
                    if first.known().is_none() && first.may_be_option() {
                        // Options that are not known.
                        self.configure("set");
                        self.unread();
                    }
                    state.positional = rest.iter().map(|field| field.known().map(Rc::from)).collect();
                    return;
                }
            }
        }
    }

    fn trap(&mut self, arguments: &[Field], state: &State) {
        let arguments = match arguments.split_first() {
            Some((first, rest)) if first.known() == Some("--") => rest,
            _ => arguments,
        };
        match arguments.first().map(Field::known) {
            None | Some(Some("-" | "-l" | "-p" | "")) => {}
            Some(Some(text)) => {
                self.configure("trap");
                let mut later = state.clone();
                forget(&mut later);
                // Where the shell will be when it fires is not known; where it is now is one possibility.
                self.nested(text, state);
                self.nested(text, &later);
            }
            Some(None) => self.dynamic_code(),
        }
    }

    fn define_alias(&mut self, arguments: &[Field], state: &mut State) {
        for field in arguments {
            let Some((name, text)) = field.text.split_once('=') else {
                if field.sure != Sure::Literal {
                    self.dynamic_code();
                    forget(state);
                }
                continue;
            };
            self.configure(&format!("alias {name}"));
            let known = field.known().map(|_| Rc::<str>::from(text));
            match &known {
                Some(text) => self.nested(text, state),
                None => self.dynamic_code(),
            }
            state.aliases.insert(name.into(), known);
        }
    }

    fn completes(&mut self, arguments: &[Field], state: &mut State) {
        let mut rest = arguments.iter();
        while let Some(field) = rest.next() {
            match field.known() {
                Some("-C" | "-F") => match rest.next().and_then(Field::known).map(str::to_owned) {
                    Some(text) => self.nested(&text, state),
                    None => self.dynamic_code(),
                },
                // A variable that takes what would be printed, from 5.3 on.
                Some(text) if text.starts_with("-V") => {
                    let glued = text.get(2..).filter(|name| !name.is_empty()).map(Field::literal);
                    let name = glued.or_else(|| rest.next().cloned()).unwrap_or_else(Field::unknown);
                    self.evaluated_name(&name, state);
                }
                // A word list is expanded, substitutions and all.
                Some("-W") => match rest.next().and_then(Field::known) {
                    Some(text) if !text.contains(['$', '`']) => {}
                    _ => self.dynamic_code(),
                },
                // Glued to the letter, or behind others.
                Some(text) if text.starts_with('-') && text.contains(['C', 'F', 'V', 'W']) => self.dynamic_code(),
                Some(_) => {}
                None => self.dynamic_code(),
            }
        }
    }

    fn binds(&mut self, arguments: &[Field]) {
        if arguments.iter().any(|field| !matches!(field.known(), Some("-l" | "-p" | "-P" | "-v" | "-V" | "-s" | "-S")))
        {
            self.configure("bind");
            self.dynamic_code();
        }
    }

    /// Builtins that make a name mean another program, or run earlier lines again.
    fn rebinds(&mut self, name: &str, arguments: &[Field], state: &mut State) {
        let reads = matches!(name, "history" | "fc" | "hash")
            && arguments.iter().all(|field| matches!(field.known(), Some("-l" | "-r" | "-d" | "-n")));
        if reads && (name != "fc" || arguments.iter().any(|field| field.known() == Some("-l"))) {
            return;
        }
        self.configure(name);
        self.dynamic_code();
        forget(state);
    }

    fn options(&mut self, arguments: &[Field]) {
        let harmless = [
            "-s",
            "-u",
            "-q",
            "-p",
            "-o",
            "nullglob",
            "globstar",
            "extglob",
            "dotglob",
            "failglob",
            "nocaseglob",
            "expand_aliases",
            "lastpipe",
            "inherit_errexit",
            "pipefail",
            "huponexit",
        ];
        if arguments.iter().any(|field| field.known().is_none_or(|text| !harmless.contains(&text))) {
            self.configure("shopt");
        }
        // With another meaning of globs, what the target expanded is not what the shell will.
        self.odd_globs |= arguments.iter().any(|field| field.known().is_none_or(|text| text.contains("glob")));
    }
}

fn shift(arguments: &[Field], state: &mut State) {
    let by = match arguments.first().map(Field::known) {
        None => Some(1),
        Some(text) => text.and_then(|text| text.parse::<usize>().ok()),
    };
    state.positional = match (state.positional.take(), by) {
        (Some(words), Some(by)) if by <= words.len() => Some(words.into_iter().skip(by).collect()),
        (Some(words), Some(_)) => Some(words),
        (_, _) => None,
    };
}
