//! Programs that run code: shells, whose code is read here, and databases, whose SQL `portcullis-sql` reads.
//!
//! Promises: a shell given text by `-c`, a here-document or a here-string is read as that text; one that reads a file
//! executes the file; one that reads what cannot be known is `dynamic`. A client command of a database program is never
//! taken for SQL. Held by: `fixtures/shell/{interpreters,database}.tsv`.

mod psql;

use crate::args;
use crate::expand::{Field, Sure};
use crate::facts::{Effect, Role, Row};
use crate::posix::{NAMED, has_odd_name, has_single_dash, is_posix};
use crate::state::{Directories, State, Value};
use crate::walk::{Input, Walker};
use portcullis_model::{Action, Mark, Marks};
use portcullis_sql::Dialect;
use std::rc::Rc;
use std::sync::Arc;

impl Walker<'_> {
    /// `sh`, `bash` and the like.
    pub(crate) fn shell(&mut self, name: &str, row: &Row, arguments: &[Field], state: &mut State) {
        let outer = std::mem::replace(&mut self.posix, is_posix(name, arguments));
        self.own_shell(name, row, arguments, state);
        self.posix = outer;
    }

    fn own_shell(&mut self, name: &str, row: &Row, arguments: &[Field], state: &mut State) {
        let call = args::parse(arguments, &row.spec, row.style, true);
        let marks = if call.doubtful { call.marks.with(Mark::Dynamic) } else { call.marks };
        self.execute(name, None, marks);
        if call.troubled {
            self.unread();
        }
        if has_single_dash(arguments) || has_odd_name(arguments) {
            // Read as letters here, of which one may be `c`.
            self.dynamic_code();
        }
        if call.has(Effect::Alone) {
            return;
        }
        for (role, field) in &call.values {
            if role == &Role::Execute {
                self.run_file(field, state);
            } else if role == &Role::ShellOption && field.known().is_none_or(|name| !NAMED.contains(&name)) {
                // Which words are assignments, or what is exported, may be others then.
                self.unread();
            }
        }
        let has = |mode: &str| call.modes.iter().any(|found| found == mode);
        let mut child = child(state);
        let words = |skip: usize| -> Option<Vec<Rc<str>>> {
            call.operands.iter().skip(skip).map(|field| field.known().map(Rc::from)).collect()
        };
        if call.operands.iter().any(|field| field.known().is_none()) && call.doubtful {
            self.dynamic_code();
        }
        match (has("command"), has("stdin"), call.operands.first()) {
            (true, _, Some(text)) => {
                child.positional = words(2);
                match text.known().map(str::to_owned) {
                    Some(text) => self.nested(&text, &child),
                    None => self.dynamic_code(),
                }
            }
            (true, _, None) => self.unread(),
            (false, false, Some(file)) => self.run_file(file, state),
            (false, _, _) => {
                child.positional = words(0);
                let input = self.input.clone();
                self.run_input(&input, &child);
            }
        }
    }

    /// SQL as an argument or as standard input.
    pub(crate) fn sql(&mut self, name: &str, role: Role, text: &str, input: bool, state: &State) {
        let dialect = match role {
            Role::MySql => Dialect::MySql,
            Role::Sqlite => Dialect::Sqlite,
            _ => Dialect::Postgres,
        };
        let trimmed = text.trim_start();
        let client = match dialect {
            Dialect::Postgres => {
                trimmed.starts_with('\\') || (input && (text.contains('\\') || psql::has_variable(text)))
            }
            Dialect::Sqlite => text.lines().any(|line| line.trim_start().starts_with('.')),
            _ => false,
        };
        if client {
            self.client_commands(name, text, dialect, state);
            return;
        }
        let reading = portcullis_sql::read(text, dialect, &self.scope.sql, &portcullis_sql::Limits::default());
        for range in &reading.secrets {
            self.secrets.extend(text.get(range.clone()).map(str::to_owned));
        }
        if reading.fault.is_some() {
            self.unread();
            return;
        }
        for operation in reading.operations() {
            if operation.action == Action::Session {
                continue;
            }
            // What is of another dialect is for a database that no connection here is to.
            let reaches = dialect == Dialect::Postgres;
            self.emit(if reaches { operation.reaching(Arc::clone(&self.reach)) } else { operation });
        }
    }

    /// Commands of the client program itself; those that run a program are read, the listing ones are harmless.
    fn client_commands(&mut self, name: &str, text: &str, dialect: Dialect, state: &State) {
        let line = text.trim();
        if !line.contains('\n')
            && psql::is_listing(line)
            && !line.contains(['|', '`', ':'])
            // Behind a second backslash stands another command, or what SQL is.
            && !line.get(1..).unwrap_or_default().contains('\\')
        {
            return;
        }
        self.foreign_code(name);
        let command = match dialect {
            Dialect::Postgres => line.strip_prefix("\\!"),
            _ => line.strip_prefix(".shell").or_else(|| line.strip_prefix(".system")),
        };
        if let Some(command) = command.filter(|_| !line.contains('\n')) {
            self.other_shell(command.trim(), state);
        }
    }

    /// `-f -`: standard input as a script of the database program.
    pub(crate) fn sql_input(&mut self, name: &str, input: &Input, state: &State) {
        match input {
            Input::Null => {}
            Input::Literal(text) => self.sql(name, Role::Postgres, &text.clone(), true, state),
            Input::File(field) => self.file(Action::Execute, field, Marks::NONE, state),
            Input::Channel => {
                self.stdin_as_code = true;
                self.foreign_code(name);
            }
            Input::Unknown | Input::Script => self.foreign_code(name),
        }
    }

    /// A file that a shell reads as code.
    pub(crate) fn run_file(&mut self, file: &Field, state: &State) {
        match file.known() {
            Some("/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0" | "-") => {
                let input = self.input.clone();
                self.run_input(&input, state);
            }
            Some(text) if crate::caps::is_pipe(text) => self.dynamic_code(),
            // The others are its arguments, whichever it is.
            None if file.sure == Sure::Among => self.dynamic_code(),
            _ => {
                let before = Marks::NONE;
                let mut own = state.clone();
                // `.` looks for a name without a slash in PATH first.
                if file.known().is_some_and(|text| !text.contains('/')) {
                    own.settle(own.directories.clone());
                }
                self.file(Action::Execute, file, before, &own);
            }
        }
    }

    /// Standard input that a shell reads as code.
    pub(crate) fn run_input(&mut self, input: &Input, state: &State) {
        match input {
            Input::Null => {}
            Input::Literal(text) => {
                // What it starts reads what is left of the same text.
                let outer = std::mem::replace(&mut self.input, Input::Script);
                self.nested(text, state);
                self.input = outer;
            }
            Input::File(field) => self.file(Action::Execute, field, Marks::NONE, state),
            Input::Channel => {
                self.stdin_as_code = true;
                self.dynamic_code();
            }
            Input::Unknown | Input::Script => self.dynamic_code(),
        }
    }

    /// One line is read of standard input, or more. What the shell takes for its next command is then not known where that
    /// is its own text.
    pub(crate) fn reads_line(&mut self) {
        if self.input == Input::Script {
            self.dynamic_code();
        }
        self.input = std::mem::replace(&mut self.input, Input::Unknown).less();
    }

    /// Code in a language that nobody here reads.
    pub(crate) fn foreign_code(&mut self, program: &str) {
        self.execute(program, None, Marks::from(Mark::Dynamic));
    }
}

/// What a shell that this one starts knows: the directory, and functions that may be exported; of variables only which
/// may be set.
pub(crate) fn child(state: &State) -> State {
    let mut child = state.clone();
    for value in child.variables.values_mut() {
        *value = Value::Unknown;
    }
    child.variables.remove("IFS");
    child.aliases.clear();
    for function in child.functions.values_mut() {
        function.maybe_absent = true;
    }
    child.previous = Directories::any();
    child.positional = Some(Vec::new());
    child
}
