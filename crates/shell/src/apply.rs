//! A row applied to a call: operations from roles.
//!
//! Every role has an arm. Promises: an option that the row does not have, an operand too many, or a subcommand without a
//! row is `unknown` beside whatever else the call does; an argument that could be an option makes the execution
//! `dynamic`; code that is not known stays so. Held by: `fixtures/shell/{programs,git,database}.tsv`.

mod builds;
mod naming;
mod packed;
mod particular;

use crate::args::{self, Call};
use crate::expand::{Field, Sure};
use crate::facts::{self, Behaviour, Effect, Role, Row, Slot, Spec, Style};
use crate::interpret::child;
use crate::reach;
use crate::script;
use crate::state::{State, Value};
use crate::walk::{Input, Walker};
use portcullis_model::{Action, Mark, Marks, Object, Operation, Part};
use std::sync::Arc;

/// Words of a subcommand's name, at most.
const SUBCOMMAND_WORDS: usize = 3;

/// What may stand behind the name of a copy that a program keeps: with anything else it could be any file's name.
const SUFFIXES: [&str; 7] = ["~", ".bak", ".backup", ".old", ".orig", ".save", ".tmp"];

/// A call being applied.
pub(crate) struct Applied<'a> {
    pub(crate) name: &'a str,
    pub(crate) call: Call,
    /// Marks of operations on files.
    pub(crate) marks: Marks,
    /// What is read or moved: the names that land in a destination.
    pub(crate) sources: Vec<Field>,
    pub(crate) port: Option<String>,
    argv: Vec<Field>,
    line: Vec<Field>,
}

/// Whether an argument of this role is a file that is read as it is.
const fn is_reading(role: Role) -> bool {
    matches!(
        role,
        Role::Read
            | Role::ReadTree
            | Role::Page
            | Role::Packed
            | Role::CompressRead
            | Role::Compress
            | Role::CompressKeep
    )
}

/// Whether a program reads its standard input as data: it was given no file, or that by one of its names.
fn reads_input(name: &str, call: &Call, slots: &[Slot], placed: &[(Role, Field)]) -> bool {
    let is_input = |field: &Field| {
        field.known().is_some_and(|text| text == "-" || text.starts_with("/dev/") || text.starts_with("/proc/"))
    };
    // What stands behind the operands is what their row says for none.
    let (given, defaults) = placed.split_at(call.operands.len().min(placed.len()));
    let named = |(role, field): &(Role, Field)| is_reading(*role) && !is_input(field);
    let tree = defaults.iter().any(|(role, _)| *role == Role::ReadTree);
    let may = slots.iter().any(|slot| matches!(slot, Slot::One(role) | Slot::Many(role) if is_reading(*role)));
    let by_name = |(role, field): &(Role, Field)| (is_reading(*role) || *role == Role::Archive) && is_input(field);
    call.values.iter().chain(placed).any(by_name)
        || name == "tr"
        || (may && !given.iter().any(named) && (!tree || name == "rg"))
}

impl Walker<'_> {
    /// Applies a row.
    pub(crate) fn apply(&mut self, name: &str, row: &Row, arguments: &[Field], state: &mut State) {
        if matches!(name, "make" | "gmake") && (self.strayed || is_at_code(state)) {
            // What `PWD` and `OLDPWD` hold, it expands.
            self.dynamic_code();
        }
        match row.behaviour {
            Some(Behaviour::Inert) => {
                self.execute(name, None, row.spec.marks);
                return;
            }
            Some(Behaviour::Test) => {
                self.execute(name, None, Marks::NONE);
                self.test_arguments(arguments, state);
                return;
            }
            Some(Behaviour::Shell) => return self.shell(name, row, arguments, state),
            Some(Behaviour::Find) => return self.find(name, arguments, state),
            Some(Behaviour::Xargs) => return self.xargs(name, row, arguments, state),
            Some(Behaviour::Parallel) => return self.parallel(name, row, arguments, state),
            Some(Behaviour::Dd) => {
                if !arguments.iter().any(|argument| argument.text.starts_with("if=")) {
                    self.reads_line();
                }
                return self.pairs(name, arguments, state);
            }
            Some(Behaviour::Env) => return self.env(name, row, arguments, state),
            Some(Behaviour::Git | Behaviour::Opaque | Behaviour::Upper) | None => {}
        }
        let first = arguments.split_first().and_then(|(first, rest)| Some((first.known()?, rest)));
        if let Some((spec, rest)) = first.and_then(|(first, rest)| Some((row.by_first_option(first)?, rest))) {
            let spec = row.inherited(spec);
            let call = args::parse(rest, &spec, row.style, false);
            self.perform(name, None, row, &spec, call, state);
            return;
        }
        let nested = row.words > 0 || row.subcommands.keys().any(|name| !name.starts_with('-'));
        let call = args::parse(arguments, &row.spec, row.style, nested);
        if nested {
            self.subcommand(name, row, call, state);
        } else {
            self.perform(name, None, row, &row.spec, call, state);
        }
    }

    fn subcommand(&mut self, name: &str, row: &Row, call: Call, state: &mut State) {
        let words: Vec<&str> = call.operands.iter().map_while(Field::known).take(SUBCOMMAND_WORDS).collect();
        let found = (1..=words.len()).rev().find_map(|many| {
            let key = words.get(..many)?.join(" ");
            // One that says of its words alone that they are milder than the program is about no others.
            let whole = |spec: &&Spec| !spec.instead || !spec.operands.is_empty() || many == call.operands.len();
            row.subcommands.get(&key).filter(whole).map(|spec| (many, key, spec))
        });
        if let Some((many, key, spec)) = found {
            let longer = |name: &String| name.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with(' '));
            let among = call.operands.get(many).is_some_and(|field| field.sure == Sure::Among);
            if among && row.subcommands.keys().any(longer) {
                // One of the names may be the rest of another subcommand's.
                self.unread();
            }
            let rest = call.operands.get(many..).unwrap_or_default().to_vec();
            let all = if row.behaviour == Some(Behaviour::Git) { spec.clone() } else { row.inherited(spec) };
            let mut inner = args::parse(&rest, &all, row.style, spec.stop);
            inner.marks = inner.marks.union(call.marks);
            inner.troubled |= call.troubled;
            inner.doubtful |= call.doubtful;
            inner.effects.extend(call.effects);
            inner.values.splice(0..0, call.values);
            self.perform(name, Some(&key), row, &all, inner, state);
            return;
        }
        if call.operands.is_empty() {
            let call = Call { operands: Vec::new(), ..call };
            self.perform(name, None, row, &row.spec, call, state);
            return;
        }
        let known: Vec<&str> =
            words.iter().copied().take(row.words.max(1)).take_while(|word| !word.starts_with('-')).collect();
        let mut shown = known.join(" ");
        if row.behaviour == Some(Behaviour::Upper) {
            shown = shown.to_uppercase();
        }
        let mut marks = row.spec.marks.union(call.marks);
        if call.doubtful || known.is_empty() || words.len() < row.words.min(call.operands.len()) {
            marks = marks.with(Mark::Dynamic);
        }
        self.execute(name, (!shown.is_empty()).then_some(shown.as_str()), marks);
        let rest = call.operands.len() > known.len();
        let plain = known.last().is_some_and(|word| facts::listed(&row.plain, word));
        if row.words == 0 || call.troubled || (rest && !plain) {
            self.unread();
        }
        if plain && !row.plain.iter().any(|word| word == "*") {
            for field in call.operands.iter().skip(known.len()) {
                self.cloud_word(field, state);
            }
        }
        let values = Call { values: call.values, ..Call::default() };
        self.roles(name, row, &row.spec, values, Vec::new(), state);
    }

    fn perform(&mut self, name: &str, sub: Option<&str>, row: &Row, spec: &Spec, mut call: Call, state: &mut State) {
        builds::behind_dashes(spec, &mut call);
        let mut modes = call.modes.iter().filter(|mode| spec.modes.contains_key(*mode));
        let mode = modes.next();
        // Which of two modes wins is each program's own matter.
        let clash = modes.any(|other| Some(other) != mode);
        let mut slots: Vec<Slot> = mode.and_then(|mode| spec.modes.get(mode)).unwrap_or(&spec.operands).clone();
        if call.has(Effect::NoDefaults) {
            slots.retain(|slot| !matches!(slot, Slot::Always(..)));
        }
        if call.has(Effect::Alone) {
            slots.retain(|slot| !matches!(slot, Slot::Default(..)));
        }
        let into = call.has(Effect::NoInto);
        let (placed, excess) = args::place(&call.operands, &slots, call.has(Effect::Operand), into);
        let understood = !(call.troubled || clash || excess || may_shift(&call, &slots));
        let inherited = if spec.instead && understood && !call.doubtful { Marks::NONE } else { row.spec.marks };
        let mut marks = inherited.union(spec.marks).union(call.marks);
        if sub.is_none() {
            marks = marks.iter().filter(|mark| !matches!(mark, Mark::Recursive | Mark::Forced)).collect();
        }
        if call.doubtful {
            marks = marks.with(Mark::Dynamic);
        }
        self.execute(name, sub, marks);
        if !understood {
            self.unread();
        }
        let reach = Arc::new(reach::of(&call, &placed, state));
        let outer = std::mem::replace(&mut self.reach, reach);
        self.input_as_code(name, spec, &call, &placed, state);
        if reads_input(name, &call, &slots, &placed) {
            self.reads_line();
        }
        self.roles(name, row, spec, call, placed, state);
        self.reach = outer;
    }

    /// Standard input, where the program takes it for code and nothing else gives any.
    fn input_as_code(&mut self, name: &str, spec: &Spec, call: &Call, placed: &[(Role, Field)], state: &State) {
        let Some(role) = spec.stdin else { return };
        let code = call.values.iter().chain(placed).any(|(role, _)| is_code(*role));
        if (code || call.has(Effect::Alone)) && !call.has(Effect::Stdin) {
            return;
        }
        match self.input.clone() {
            Input::Null => {}
            Input::Literal(text) => match role {
                Role::Postgres | Role::MySql | Role::Sqlite => self.sql(name, role, &text, true, state),
                _ => self.foreign_code(name),
            },
            Input::File(field) => self.file(Action::Execute, &field, Marks::NONE, state),
            Input::Channel => {
                self.stdin_as_code = true;
                self.foreign_code(name);
            }
            Input::Unknown | Input::Script => self.foreign_code(name),
        }
    }

    fn roles(&mut self, name: &str, row: &Row, spec: &Spec, call: Call, placed: Vec<(Role, Field)>, state: &mut State) {
        let marks = call
            .marks
            .union(spec.marks)
            .iter()
            .filter(|mark| matches!(mark, Mark::Recursive | Mark::Forced | Mark::Irreversible | Mark::Unbounded))
            .collect();
        let mut own = state.clone();
        let placed = if row.style == Style::Tar { particular::unquoted(placed) } else { placed };
        let values = call.values.clone();
        let port = values
            .iter()
            .chain(&placed)
            .find(|(role, _)| *role == Role::Port)
            .and_then(|(_, field)| field.known().map(str::to_owned));
        let is_source = |role: &Role| matches!(role, Role::Read | Role::ReadTree | Role::Move | Role::RemoteRead);
        let sources = placed.iter().filter(|(role, _)| is_source(role)).map(|(_, field)| field.clone()).collect();
        let privileged =
            spec.marks.contains(Mark::Privileged) || (!spec.instead && row.spec.marks.contains(Mark::Privileged));
        let mut applied = Applied { name, call, marks, sources, port, argv: Vec::new(), line: Vec::new() };
        self.privileged += usize::from(privileged);
        // Where it goes first, in whatever order its options stand.
        let (places, values): (Vec<_>, Vec<_>) = values.into_iter().partition(|(role, _)| *role == Role::Directory);
        let values = script::one_script(values);
        let mut either = state.clone();
        for (role, field) in &places {
            self.role(*role, field, true, &mut applied, &mut own);
            either.directories.join(&own.directories);
        }
        for (role, field) in &values {
            // The archive itself is opened where the program was started.
            let here = if *role == Role::Archive { &mut state.clone() } else { &mut own };
            self.role(*role, field, true, &mut applied, here);
        }
        let operands = applied.call.operands.len();
        if row.style != Style::Tar || places.is_empty() {
            // Only `tar` finds its operands where the `-C` in front of each leads, or where it was started.
            either = own.clone();
        }
        for (at, (role, field)) in placed.iter().enumerate() {
            let here = if at < operands { &mut either } else { &mut own };
            self.role(*role, field, false, &mut applied, here);
        }
        self.foreign += usize::from(row.foreign);
        let argv = std::mem::take(&mut applied.argv);
        if !argv.is_empty() {
            self.depth += 1;
            self.dispatch(&argv, false, &mut own);
            self.depth -= 1;
        }
        let line = std::mem::take(&mut applied.line);
        if !line.is_empty() {
            self.joined_line(&line, row.foreign, &own);
        }
        self.foreign -= usize::from(row.foreign);
        self.privileged -= usize::from(privileged);
    }

    /// Words that a program joins with blanks and gives to a shell; on another host to that of a login, which is bash.
    fn joined_line(&mut self, words: &[Field], login: bool, state: &State) {
        let known: Option<Vec<&str>> = words.iter().map(Field::known).collect();
        match known {
            Some(words) if login => self.nested(&words.join(" "), &child(state)),
            Some(words) => self.other_shell(&words.join(" "), state),
            None => self.dynamic_code(),
        }
    }

    fn role(&mut self, role: Role, field: &Field, option: bool, applied: &mut Applied<'_>, state: &mut State) {
        let marks = applied.marks;
        match role {
            Role::Text | Role::Port => {}
            // What is put behind a name that was judged makes another: of these none is read by anything.
            Role::Backup if field.known().is_some_and(|suffix| SUFFIXES.contains(&suffix)) => {}
            Role::Read | Role::ReadTree => {
                let marks = if role == Role::ReadTree { marks.with(Mark::Recursive) } else { marks };
                if field.known() != Some("-") || option {
                    self.file(Action::Read, field, only(marks, Mark::Recursive), state);
                }
                if applied.call.has(Effect::InPlace) {
                    self.file(Action::Update, field, Marks::NONE, state);
                }
                if applied.call.has(Effect::Removes) {
                    self.file(Action::Delete, field, marks, state);
                }
            }
            Role::List | Role::ListTree => {
                let marks = if role == Role::ListTree { marks.with(Mark::Recursive) } else { marks };
                self.names_in(field, marks, applied, state);
            }
            Role::Write | Role::WriteTree => {
                if field.known() != Some("-") {
                    let marks = if role == Role::WriteTree {
                        marks.with(Mark::Recursive)
                    } else {
                        only(marks, Mark::Irreversible)
                    };
                    self.file(Action::Insert, field, marks, state);
                    self.file(Action::Update, field, marks, state);
                    if applied.call.has(Effect::Deletes) {
                        self.file(Action::Delete, field, marks.with(Mark::Recursive), state);
                    }
                }
            }
            Role::Update => self.file(Action::Update, field, marks, state),
            Role::UpdateTree => self.file(Action::Update, field, marks.with(Mark::Recursive), state),
            Role::Insert => self.file(Action::Insert, field, Marks::NONE, state),
            Role::Delete | Role::Move => self.file(Action::Delete, field, marks, state),
            Role::DeleteTree => self.file(Action::Delete, field, marks.with(Mark::Recursive), state),
            Role::Into => {
                let exact = applied.call.has(Effect::Exact);
                self.into(field, &applied.sources, false, exact, only(marks, Mark::Recursive), state);
            }
            Role::IntoDirectory => self.into(field, &applied.sources, true, false, only(marks, Mark::Recursive), state),
            Role::Directory => match field.known() {
                Some(text) => {
                    let next = state.directories.step(text);
                    state.settle(next);
                }
                None => state.settle(crate::state::Directories::any()),
            },
            Role::Execute => self.executes(applied.name, field, state),
            Role::Shell if option => self.joined_line(std::slice::from_ref(field), false, state),
            Role::Shell => applied.line.push(field.clone()),
            Role::Argv => applied.argv.push(field.clone()),
            Role::Code | Role::MaybeShell => self.foreign_code(applied.name),
            Role::User => {
                let part = field.known().map_or(Part::Unknown, Part::known);
                self.emit(Operation::new(Action::Become, Object::Role(part)).marked(Mark::Privileged));
            }
            Role::Setting | Role::Pairs => {
                let name = field.text.split(['=', ':']).next().unwrap_or_default();
                let part = if name.is_empty() { Part::Unknown } else { Part::known(name) };
                self.emit(Operation::new(Action::Configure, Object::Setting(part)));
            }
            Role::Secret => self.secrets.extend(field.known().map(str::to_owned)),
            Role::Credentials => {
                let secret = field.known().and_then(|text| text.split_once(':')).map(|(_, secret)| secret.to_owned());
                self.secrets.extend(secret);
            }
            Role::Postgres | Role::MySql | Role::Sqlite => match field.known().map(str::to_owned) {
                Some(text) => self.sql(applied.name, role, &text, false, state),
                None => self.foreign_code(applied.name),
            },
            Role::PostgresFile if field.known() == Some("-") => {
                let input = self.input.clone();
                self.sql_input(applied.name, &input, state);
            }
            Role::PostgresFile => self.file(Action::Execute, field, Marks::NONE, state),
            Role::Compress
            | Role::CompressKeep
            | Role::CompressRead
            | Role::Expand
            | Role::ExpandKeep
            | Role::Packed
            | Role::ZipRead
            | Role::ZipWrite => self.packed_role(role, field, applied, state),
            Role::Archive => self.archive(field, applied, state),
            Role::Checkpoint => match field.known().map(|text| text.split_once('=').unwrap_or((text, ""))) {
                Some(("exec", line)) => {
                    let line = line.to_owned();
                    self.other_shell(&line, state);
                }
                Some(_) => {}
                None => self.dynamic_code(),
            },
            Role::Awk | Role::Sed => self.script(role, field, applied.name, state),
            Role::Output => match field.known().and_then(|text| text.trim_start().strip_prefix('|')).map(str::to_owned)
            {
                Some(line) => self.other_shell(&line, state),
                None => self.role(Role::Write, field, option, applied, state),
            },
            // What stands in the place of the number is for whoever wrote the URL to say, a path too.
            Role::CurlOutput if naming::is_numbered(field) => {
                self.role(Role::Write, &Field::unknown(), option, applied, state);
            }
            Role::CurlOutput => self.role(Role::Write, field, option, applied, state),
            Role::MakeTarget
            | Role::Makefile
            | Role::GoPackage
            | Role::GoSource
            | Role::GoFile
            | Role::GoTree
            | Role::MavenGoal
            | Role::JavaProperty
            | Role::GradleProperty
            | Role::Harness
            | Role::Lint
            | Role::Formatted
            | Role::Script => self.build_role(role, field, applied.name, state),
            Role::Data
            | Role::UrlEncoded
            | Role::Form
            | Role::Cookie
            | Role::WriteOut
            | Role::CurlUpload
            | Role::KubeOutput
            | Role::ParamFile => self.naming_role(role, field, state),
            Role::Repository => self.repository(field, false, state),
            Role::RepositoryUpdate => self.repository(field, true, state),
            Role::Volume => self.volume(field, state),
            Role::Pathspec => self.pathspec(field, state),
            // What the operands behind it mean is known only from the directory itself.
            Role::Here if field.known() == Some(".") => {}
            Role::PsFormat if field.known().is_some_and(particular::is_plain_format) => {}
            Role::Backup | Role::Here | Role::Unknown | Role::ShellOption | Role::PsFormat => self.unread(),
            Role::Jq if particular::may_import(field) => self.foreign_code(applied.name),
            Role::Jq => {}
            // A page with a slash in its name is a file.
            Role::Page if field.known().is_some_and(|page| !page.contains('/')) => {}
            Role::Page => self.file(Action::Read, field, Marks::NONE, state),
            Role::Host
            | Role::Url
            | Role::RemoteRead
            | Role::RemoteInto
            | Role::GitConfig
            | Role::GitRemote
            | Role::Refspec
            | Role::SshOption
            | Role::Conninfo
            | Role::Header => {
                self.remote_role(role, field, applied, state);
            }
        }
    }

    /// A file that a program runs.
    fn executes(&mut self, name: &str, field: &Field, state: &State) {
        match field.known() {
            Some("-" | "/dev/stdin") => {
                let input = self.input.clone();
                match input {
                    Input::Null => {}
                    Input::File(field) => self.file(Action::Execute, &field, Marks::NONE, state),
                    Input::Channel => {
                        self.stdin_as_code = true;
                        self.foreign_code(name);
                    }
                    Input::Literal(_) | Input::Unknown | Input::Script => self.foreign_code(name),
                }
            }
            Some(text) if crate::caps::is_pipe(text) => self.foreign_code(name),
            _ => self.file(Action::Execute, field, Marks::NONE, state),
        }
    }
}

/// Whether the names of the directory and of the one before it hold a dollar sign.
fn is_at_code(state: &State) -> bool {
    let code = |text: &str| text.contains('$');
    let held = matches!(state.get("OLDPWD"), Value::Known(text) if code(&text));
    held || state.directories.known.iter().chain(&state.previous.known).any(|place| code(place))
}

/// Roles that give a program its code, so that it does not read standard input for it.
const fn is_code(role: Role) -> bool {
    matches!(
        role,
        Role::Code
            | Role::Shell
            | Role::Execute
            | Role::Postgres
            | Role::MySql
            | Role::Sqlite
            | Role::PostgresFile
            | Role::MaybeShell
    )
}

/// Whether what stands behind `--` may be several operands or none, so that those behind it are others than they seem.
fn may_shift(call: &Call, slots: &[Slot]) -> bool {
    let single = slots.iter().take_while(|slot| matches!(slot, Slot::One(_))).count();
    let single = single.saturating_sub(usize::from(call.has(Effect::Operand)));
    call.ended
        && !call.doubtful
        && slots.iter().any(|slot| matches!(slot, Slot::Many(_)))
        && call.operands.iter().take(single).any(|field| field.sure == Sure::Splits)
}

fn only(marks: Marks, mark: Mark) -> Marks {
    if marks.contains(mark) { Marks::from(mark) } else { Marks::NONE }
}
