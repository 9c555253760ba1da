//! A simple command: assignments, expansion, and who gets the arguments.
//!
//! The order is the shell's: alias, function, builtin, program. Promises: a program name that is not exactly known is
//! `execute program ?` with `dynamic`, and then nothing about the shell's state is known; a name with a slash outside the
//! system's program directories is that file, not the program of that name. Held by: `fixtures/shell/*.tsv`.

use crate::expand::{Field, Sure, braces};
use crate::loops::forget;
use crate::reading::Simple;
use crate::redirect::gives_input;
use crate::state::{State, Value};
use crate::variables::assignment;
use crate::walk::{Input, Walker};
use crate::{builtins, facts, path};
use portcullis_model::{Action, Mark, Marks, Name, Object, Operation, Part};
use rable::{Node, NodeKind};

/// Where programs of the system live; a name there is the program's name.
const PLACES: [&str; 8] = [
    "/bin/",
    "/sbin/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
    "/opt/homebrew/bin/",
    "/usr/games/",
];

/// Builtins whose arguments are assignments.
const DECLARATIONS: [&str; 5] = ["export", "declare", "typeset", "local", "readonly"];

/// Builtins behind which an assignment in front of them may last.
const SPECIAL: [&str; 10] = ["eval", ".", "source", "exec", "export", "readonly", "set", "shift", "trap", "unset"];

/// Those behind which it lasts in POSIX sh alone.
const POSIX_SPECIAL: [&str; 6] = [":", "break", "continue", "exit", "return", "times"];

/// Builtins of which bash alone assigns what their arguments say.
const BASH_DECLARATIONS: [&str; 2] = ["declare", "typeset"];

/// Builtins that read nothing of their standard input.
const UNREADING: [&str; 36] = [
    ":", "true", "false", "echo", "printf", "test", "[", "cd", "pushd", "popd", "dirs", "pwd", "export", "readonly",
    "declare", "typeset", "local", "unset", "set", "shopt", "shift", "return", "exit", "break", "continue", "trap",
    "umask", "alias", "unalias", "type", "hash", "wait", "jobs", "kill", "times", "ulimit",
];

/// Variables that builtins assign without being told to.
const UNNAMED: [&str; 5] = ["COPROC", "MAPFILE", "OPTARG", "OPTIND", "REPLY"];

impl Walker<'_> {
    /// Walks a simple command.
    pub(crate) fn simple(&mut self, assignments: &[Node], words: &[Node], redirects: &[Node], state: &mut State) {
        self.alias(words, state);
        let fields = self.arguments(words, state);
        let originals = state.variables.clone();
        let values = self.assignments(assignments, state);
        if fields.is_empty() {
            for (name, value) in values {
                self.assigned(&name, value, state);
            }
            // Redirections without a command happen in a subshell; what they open is opened.
            self.redirected(redirects, state, |_, _| {});
            return;
        }
        let mut before = Vec::new();
        let hidden = |name: &str| state.functions.contains_key(name) || state.aliases.contains_key(name);
        // How `read` cuts its line: it ends with that command, and no program sees it.
        let cuts = fields.first().and_then(Field::known) == Some("read") && !hidden("read");
        for (name, value) in values {
            if !(cuts && name == "IFS") {
                self.exported(&name, Some(&value), state);
            }
            let value = if self.is_strange(&name) { Value::Unknown } else { value };
            state.set(&name, value);
            before.push((originals.get(name.as_str()).cloned(), name));
        }
        let program = fields.first().and_then(Field::known).map(str::to_owned);
        let called = program.as_deref().is_some_and(|program| state.functions.contains_key(program));
        let outer = self.input.clone();
        let given = gives_input(redirects);
        self.redirects(redirects, state);
        // `exec <f`, `command exec <f`: as far as it ran, and the file could be opened.
        let lasting = program.as_deref().is_some_and(|name| matches!(name, "exec" | "command" | "builtin"))
            && !redirects.is_empty()
            && fields.iter().any(|field| field.known().is_none_or(|text| text == "exec"));
        // A builtin or a function does not run either where a redirection fails.
        let skipped = (!redirects.is_empty()).then(|| state.clone());
        self.dispatch(&fields, true, state);
        if let Some(skipped) = skipped {
            state.or_failed(&skipped);
        }
        if lasting {
            if self.input != outer {
                if outer == Input::Script {
                    // The shell goes on with what stands there.
                    self.dynamic_code();
                }
                self.input = Input::Unknown;
            }
        } else {
            let reads = program.as_deref().is_none_or(|name| !UNREADING.contains(&name));
            let read = !given && (reads || self.input != outer);
            self.input = if read { outer.less() } else { outer };
        }
        let lasts = called
            || program
                .as_deref()
                .is_none_or(|name| SPECIAL.contains(&name) || (self.posix && POSIX_SPECIAL.contains(&name)));
        let builtin = program.as_deref().is_some_and(builtins::is_builtin);
        for (value, name) in before {
            match value {
                _ if lasts || (builtin && may_assign(&fields, &name)) => state.set(&name, Value::Unknown),
                Some(value) => state.set(&name, value),
                None => {
                    state.variables.remove(name.as_str());
                }
            }
        }
    }

    fn assignments(&mut self, nodes: &[Node], state: &mut State) -> Vec<(String, Value)> {
        let mut out = Vec::new();
        for node in nodes {
            let NodeKind::Word { value, .. } = &node.kind else {
                self.unread();
                continue;
            };
            match assignment(value) {
                Some(cut) => {
                    if self.posix && (cut.subscript.is_some() || cut.append || cut.value.starts_with('(')) {
                        // No assignment there, but a command of that name.
                        self.dynamic_code();
                    }
                    let value = self.assignment_value(&cut, state);
                    let strange = self.is_strange(cut.name);
                    // A later assignment of the same command sees the earlier ones.
                    state.set(cut.name, if strange { Value::Unknown } else { value.clone() });
                    // What a number was given is evaluated by now, and is one.
                    let kept = !strange || self.numbers.contains(cut.name);
                    out.push((cut.name.to_owned(), if kept { value } else { Value::Unknown }));
                }
                None => {
                    self.unread();
                    state.forget();
                }
            }
        }
        out
    }

    fn arguments(&mut self, words: &[Node], state: &mut State) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for word in words {
            let NodeKind::Word { value, .. } = &word.kind else {
                self.unread();
                continue;
            };
            let declares = fields.first().and_then(Field::known).is_some_and(|name| DECLARATIONS.contains(&name));
            match assignment(value).filter(|_| declares) {
                Some(cut) => {
                    let got = if self.expands_braces(cut.value) {
                        // Here bash expands them, and assigns one after the other.
                        self.expand_one(cut.value, state);
                        Value::Unknown
                    } else {
                        self.assignment_value(&cut, state)
                    };
                    if self.posix && may_split(cut.value, &got) {
                        state.forget();
                    }
                    let start = value.strip_suffix(cut.value).unwrap_or(value);
                    let known = matches!(got, Value::Known(_)) && cut.subscript.is_none() && !cut.append;
                    let text = if let Value::Known(text) = &got { format!("{start}{text}") } else { start.to_owned() };
                    fields.push(Field { text, sure: if known { Sure::Literal } else { Sure::Starts } });
                }
                None => fields.extend(self.expand(value, state)),
            }
        }
        fields
    }

    /// Whether a value behind `export` and the like is several words.
    fn expands_braces(&mut self, raw: &str) -> bool {
        let Some(pieces) = crate::pieces::pieces(raw).filter(|_| !raw.starts_with('(')) else { return false };
        match braces::words(pieces.clone()) {
            Ok(words) => words != [pieces],
            Err(refused) => {
                self.refuse_braces(refused);
                true
            }
        }
    }

    /// A command's first word may be an alias: it is that too, since whether aliases are on is not known.
    fn alias(&mut self, words: &[Node], state: &mut State) {
        let Some(Node { kind: NodeKind::Word { value, .. }, .. }) = words.first() else { return };
        let Some(text) = state.aliases.get(value.as_str()).cloned() else { return };
        let Some(text) = text else {
            self.dynamic_code();
            return;
        };
        let mut line = text.to_string();
        for word in words.iter().skip(1) {
            if let NodeKind::Word { value, .. } = &word.kind {
                line.push(' ');
                line.push_str(value);
            }
        }
        let mut own = state.clone();
        own.aliases.remove(value.as_str());
        self.read_text(&line, &mut own);
        own.aliases.clone_from(&state.aliases);
        state.join(&own);
    }

    /// Gives arguments to whatever their first names.
    pub(crate) fn dispatch(&mut self, fields: &[Field], shell: bool, state: &mut State) {
        let Some((first, arguments)) = fields.split_first() else { return };
        if !self.step() {
            return;
        }
        let Some(name) = first.known().map(str::to_owned) else {
            self.note(None, arguments.len());
            self.dynamic_code();
            if shell {
                forget(state);
            }
            return;
        };
        self.note(Some(&name), arguments.len());
        if shell {
            if let Some(function) = state.functions.get(name.as_str()).cloned() {
                let before = state.clone();
                for body in &function.bodies {
                    let mut own = before.clone();
                    self.body(&name, body, Some(arguments), &mut own);
                    own.join(&before);
                    state.join(&own);
                }
                if !function.maybe_absent {
                    return;
                }
            }
            if builtins::is_builtin(&name) {
                self.execute(&name, None, Marks::NONE);
                if matches!(name.as_str(), "read" | "mapfile" | "readarray") {
                    self.reads_line();
                }
                if self.posix && BASH_DECLARATIONS.contains(&name.as_str()) {
                    self.dynamic_code();
                }
                self.builtin(&name, arguments, state);
                return;
            }
        }
        self.program(&name, arguments, state);
    }

    fn note(&mut self, program: Option<&str>, arguments: usize) {
        self.commands.push(Simple { program: program.map(str::to_owned), depth: self.depth, arguments });
    }

    /// `execute program NAME`.
    pub(crate) fn execute(&mut self, name: &str, subcommand: Option<&str>, marks: Marks) {
        let object = Object::Program { name: Part::known(name), subcommand: subcommand.map(Name::canonical) };
        self.emit(Operation::new(Action::Execute, object).marked(marks));
    }

    /// A program outside the shell.
    pub(crate) fn program(&mut self, name: &str, arguments: &[Field], state: &mut State) {
        let place = PLACES.iter().find_map(|place| name.strip_prefix(place)).filter(|rest| !rest.contains('/'));
        let short = place.unwrap_or(name);
        if short.is_empty() {
            self.unread();
            return;
        }
        if short.contains('/') {
            self.execute_file(name, state);
            return;
        }
        match facts::row(short).or_else(|| facts::row(unversioned(short))) {
            Some(row) => self.apply(short, row, arguments, state),
            None => {
                self.execute(short, None, Marks::NONE);
                self.unread();
            }
        }
    }

    /// A program named by its path: that file runs, whatever its name says.
    fn execute_file(&mut self, name: &str, state: &State) {
        for found in self.paths(name, state) {
            let (part, marks) = match found {
                Some(path) => (Part::known(path), Marks::NONE),
                None => (Part::Unknown, Marks::from(Mark::Dynamic)),
            };
            let program = Object::Program { name: part.clone(), subcommand: None };
            self.emit(Operation::new(Action::Execute, program).marked(marks));
            self.emit(Operation::new(Action::Execute, Object::File(part)).marked(marks));
        }
    }

    /// What a command writes to its output, where that is plain.
    pub(crate) fn output_of(&self, node: &Node, state: &State) -> Option<String> {
        let NodeKind::Command { assignments, words, redirects } = &node.kind else { return None };
        if !assignments.is_empty() || !redirects.is_empty() {
            return None;
        }
        let mut texts = words.iter().map(|word| match &word.kind {
            NodeKind::Word { value, .. } => plain(value),
            _ => None,
        });
        let name = texts.next()??;
        if state.functions.contains_key(name.as_str()) || state.aliases.contains_key(name.as_str()) {
            return None;
        }
        let texts: Vec<String> = texts.collect::<Option<_>>()?;
        match name.as_str() {
            "echo"
                if !texts.first().is_some_and(|text| text.starts_with('-'))
                    && !texts.iter().any(|text| text.contains('\\')) =>
            {
                Some(format!("{}\n", texts.join(" ")))
            }
            "printf" => match texts.as_slice() {
                // Which escapes there are is each shell's own matter.
                [one] if self.posix && one.replace("\\n", "").contains('\\') => None,
                [one] if !one.contains('%') && !one.starts_with('-') => crate::pieces::decode_escapes(one, false),
                [format, one] if matches!(format.as_str(), "%s" | "%s\\n") => {
                    Some(format!("{one}{}", if format.len() > 2 { "\n" } else { "" }))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether a builtin's arguments name a variable, or may: then it is the shell's own that was assigned, and not the one
/// in front of the command.
fn may_assign(fields: &[Field], name: &str) -> bool {
    let named = |field: &Field| field.sure != Sure::Literal || field.text.contains(name);
    UNNAMED.contains(&name) || fields.iter().skip(1).any(named)
}

/// Whether some shells split a value behind `export`, and take what follows for further assignments.
fn may_split(raw: &str, value: &Value) -> bool {
    let whole = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).is_some_and(|raw| !raw.contains('"'));
    let one = match value {
        Value::Known(text) => !text.contains([' ', '\t', '\n']),
        Value::Integer => true,
        Value::Unknown => false,
    };
    !whole && !one && raw.contains(['$', '`'])
}

/// The text of a word without any expansion.
fn plain(raw: &str) -> Option<String> {
    use crate::pieces::Piece;
    let mut out = String::new();
    for piece in crate::pieces::pieces(raw)? {
        match piece {
            Piece::Bare('*' | '?' | '[' | '{' | '~' | '(') => return None,
            Piece::Bare(c) => out.push(c),
            Piece::Quoted(text) => out.push_str(&text),
            Piece::Expand { .. } => return None,
        }
    }
    Some(out)
}

/// `python3.11` without its version, `gcc-12` likewise.
fn unversioned(name: &str) -> &str {
    let short = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let short = short.strip_suffix('-').filter(|_| short.len() < name.len()).unwrap_or(short);
    if path::base(short).is_empty() { name } else { short }
}
