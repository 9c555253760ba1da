//! Builtins that take the names of variables: `declare`, `read`, `mapfile`, `printf -v`, `test -v`.
//!
//! bash evaluates a name with a subscript, substitutions and all, wherever it takes one. Promises: what these assign is
//! never taken for known unless it is; a name that is not known makes every variable unknown.
//! Held by: `fixtures/shell/dynamic.tsv`.

use crate::expand::{Field, Sure};
use crate::param::{is_name, name_of};
use crate::state::{State, Value};
use crate::variables::{assignment, is_pager};
use crate::walk::Walker;

impl Walker<'_> {
    pub(super) fn declare(&mut self, builtin: &str, arguments: &[Field], state: &mut State) {
        let mut exported = builtin == "export";
        let (mut integer, mut array) = (false, false);
        let mut strange = builtin == "readonly";
        let local = builtin == "local" || (matches!(builtin, "declare" | "typeset") && !self.calling.is_empty());
        for field in arguments {
            if let Some(options) = field.text.strip_prefix(['-', '+']) {
                exported |= options.contains('x');
                integer |= options.contains('i');
                array |= options.contains(['a', 'A']);
                strange |= builtin != "export" && options.contains(['r', 'i', 'l', 'u', 'c']);
                if options.contains('n') && builtin != "export" {
                    state.forget();
                    if arguments.iter().any(|field| field.text.contains('[')) {
                        // A name for an array's elements, or for what a subscript evaluates.
                        self.dynamic_code();
                    }
                }
                if field.sure != Sure::Literal {
                    self.dynamic_code();
                    state.forget();
                }
                continue;
            }
            let (name, rest) = name_of(&field.text);
            if !is_name(name) {
                self.dynamic_code();
                state.forget();
                continue;
            }
            if local {
                self.locals.push(name.to_owned());
            }
            // Outside a function `local` does nothing.
            let nothing = builtin == "local" && self.calling.is_empty();
            if let Some(cut) = assignment(&field.text) {
                if let Some(subscript) = cut.subscript {
                    self.arithmetic(subscript, state);
                }
                if cut.value.starts_with('(') && (array || self.may_be_array(name, state)) {
                    // An array in quotes is read once more, substitutions and all.
                    self.dynamic_code();
                    state.forget();
                }
                let value = match field.sure {
                    Sure::Literal if cut.subscript.is_none() && !cut.append => Value::Known(cut.value.into()),
                    Sure::Literal | Sure::Among | Sure::Starts | Sure::Splits => Value::Unknown,
                };
                if integer {
                    self.evaluated_text(&crate::variables::field_of(&value), state);
                }
                if exported {
                    self.exported(name, Some(&value), state);
                }
                let value = if nothing { Value::Unknown } else { value };
                let lasting = !strange || builtin == "readonly";
                let value = match value {
                    Value::Known(_) | Value::Integer if integer => Value::Integer,
                    _ if integer || !lasting => Value::Unknown,
                    value => value,
                };
                self.assigned(name, value, state);
            } else if !rest.is_empty() || field.sure != Sure::Literal {
                self.evaluated_name(field, state);
            } else if exported && builtin == "export" {
                // With `-n` it is taken out of the environment, whatever it holds.
                let value = state.variables.get(name).filter(|_| !is_pager(name)).cloned();
                self.exported(name, value.as_ref(), state);
            } else if builtin != "export" && builtin != "readonly" {
                let number = self.numbers.contains(name);
                self.assigned(name, if number { Value::Integer } else { Value::Unknown }, state);
                // Without a value it may be empty.
                state.set(name, Value::Unknown);
            }
            if integer {
                self.numbers.insert(name.to_owned());
            }
            // A local variable is no number, although the shell's own of that name is.
            if strange || (local && self.numbers.contains(name)) {
                self.strange.insert(name.to_owned());
            }
            if exported {
                self.leave(name, true);
            }
        }
    }

    /// Whether a variable could be an array by now. One that is not set here is none, except in a session.
    fn may_be_array(&self, name: &str, state: &State) -> bool {
        match state.variables.get(name) {
            Some(Value::Unknown) => true,
            Some(Value::Known(_) | Value::Integer) => state.references,
            None => state.references || self.scope.session,
        }
    }

    /// An argument that the shell evaluates as arithmetic.
    pub(crate) fn evaluated_text(&mut self, field: &Field, state: &mut State) {
        match field.known().map(str::to_owned) {
            Some(text) => self.arithmetic(&text, state),
            None => self.dynamic_code(),
        }
    }

    pub(super) fn read_names(&mut self, arguments: &[Field], state: &mut State) {
        let mut names = 0;
        let mut skip = false;
        for field in arguments {
            if std::mem::take(&mut skip) {
                self.one_word(Some(field), state);
                continue;
            }
            match field.text.strip_prefix('-') {
                Some(options) if field.sure == Sure::Literal => {
                    let end = options.find(['a', 'd', 'i', 'n', 'N', 'p', 't', 'u']).unwrap_or(options.len());
                    let (flags, valued) = options.split_at_checked(end).unwrap_or((options, ""));
                    if options != "-" && flags.contains(|c: char| !matches!(c, 'r' | 's')) {
                        // The line editor of a terminal (`-e`, `-E`) runs what is typed there; others are not known.
                        self.dynamic_code();
                    }
                    match valued.strip_prefix('a') {
                        Some("") => {}
                        Some(name) => {
                            names += 1;
                            self.evaluated_name(&Field::literal(name), state);
                        }
                        None => skip = valued.len() == 1,
                    }
                }
                _ => {
                    names += 1;
                    self.evaluated_name(field, state);
                }
            }
        }
        if names == 0 {
            self.assigned("REPLY", Value::Unknown, state);
        }
    }

    /// An option's argument: where it may be several words, the others are names.
    fn one_word(&mut self, field: Option<&Field>, state: &mut State) {
        if field.is_some_and(|field| field.sure == Sure::Splits) {
            self.dynamic_code();
            state.forget();
        }
    }

    pub(super) fn read_lines(&mut self, arguments: &[Field], state: &mut State) {
        let mut rest = arguments.iter();
        let mut named = false;
        while let Some(field) = rest.next() {
            match field.known() {
                Some("-C") => match rest.next().and_then(Field::known).map(str::to_owned) {
                    Some(text) => self.nested(&text, state),
                    None => self.dynamic_code(),
                },
                Some(text) if text.starts_with("-C") => self.nested(text.get(2..).unwrap_or_default(), state),
                // Behind other letters.
                Some(text) if text.starts_with('-') && text.contains('C') => self.dynamic_code(),
                Some("-d" | "-n" | "-O" | "-s" | "-u" | "-c") => self.one_word(rest.next(), state),
                Some(text) if text.starts_with('-') => {}
                _ => {
                    named = true;
                    self.evaluated_name(field, state);
                }
            }
        }
        if !named {
            state.set("MAPFILE", Value::Unknown);
        }
    }

    pub(super) fn print(&mut self, arguments: &[Field], state: &mut State) {
        let mut rest = arguments;
        while let Some((first, after)) = rest.split_first() {
            match first.known() {
                Some("-v") => {
                    let name = after.first().cloned().unwrap_or_else(Field::unknown);
                    self.evaluated_name(&name, state);
                    rest = after.get(1..).unwrap_or_default();
                }
                Some("--") => {
                    rest = after;
                    break;
                }
                Some(text) if text.starts_with("-v") => {
                    let name = Field::literal(text.get(2..).unwrap_or_default());
                    self.evaluated_name(&name, state);
                    rest = after;
                }
                Some(_) => break,
                None => {
                    // What is not known could be `-v`, or `-vNAME`: then what follows is a name, or there is a format.
                    if first.may_be_option() {
                        if first.sure == Sure::Splits || !after.is_empty() {
                            self.dynamic_code();
                        }
                        state.forget();
                    }
                    break;
                }
            }
        }
        let Some((format, named)) = rest.split_first() else { return };
        if format.sure == Sure::Among {
            // Which of them is the format is not known, nor which name another variable.
            state.doubt();
        }
        let counting = format.known().map(counts);
        if counting == Some(false) {
            return;
        }
        // `%n` puts how much was printed into the variable that an argument names.
        for field in named {
            match field.named().filter(|name| is_name(name)) {
                Some(name) if counting == Some(true) => self.assigned(name, Value::Unknown, state),
                Some(name) => state.set(name, Value::Unknown),
                None if field.named().is_some() => {}
                None => state.doubt(),
            }
        }
    }

    /// `wait -p NAME`.
    pub(super) fn waits(&mut self, arguments: &[Field], state: &mut State) {
        let mut rest = arguments;
        while let Some((field, after)) = rest.split_first() {
            rest = after;
            match field.known().and_then(|text| text.strip_prefix('-')).map(|options| options.split_once('p')) {
                Some(Some((_, ""))) => {
                    let name = after.first().cloned().unwrap_or_else(Field::unknown);
                    self.evaluated_name(&name, state);
                    rest = after.get(1..).unwrap_or_default();
                }
                Some(Some((_, name))) => self.evaluated_name(&Field::literal(name), state),
                Some(None) => {}
                None if field.sure != Sure::Literal && field.may_be_option() => {
                    // It could be `-p` in front of a name.
                    if let Some(name) = after.first().filter(|name| name.text.contains('[')) {
                        self.evaluated_subscript(name, state);
                    }
                    state.doubt();
                }
                None => {}
            }
        }
    }

    /// `getopts OPTIONS NAME`.
    pub(super) fn reads_options(&mut self, arguments: &[Field], state: &mut State) {
        let behind = usize::from(arguments.first().and_then(Field::known) == Some("--"));
        self.one_word(arguments.get(behind), state);
        if let Some(name) = arguments.get(behind + 1) {
            self.evaluated_name(name, state);
        }
        state.set("OPTARG", Value::Unknown);
        state.set("OPTIND", if self.is_strange("OPTIND") { Value::Unknown } else { Value::Integer });
    }

    /// `test`: two of its operators evaluate a name, subscript and all.
    pub(crate) fn test_arguments(&mut self, arguments: &[Field], state: &mut State) {
        let mut rest = arguments;
        while let Some((field, after)) = rest.split_first() {
            rest = after;
            if field.sure == Sure::Splits {
                // An operator may be among the words, and its name.
                self.dynamic_code();
                continue;
            }
            let names = field.known().map_or_else(|| field.may_be_option(), |text| matches!(text, "-v" | "-R"));
            if let Some(name) = after.first().filter(|_| names) {
                self.evaluated_subscript(name, state);
            }
        }
    }

    pub(super) fn evaluated_subscript(&mut self, field: &Field, state: &mut State) {
        match field.known() {
            Some(text) => {
                let (_, rest) = name_of(text);
                if let Some(inside) = rest.strip_prefix('[') {
                    self.arithmetic(inside.trim_end_matches(']'), state);
                }
            }
            None => self.dynamic_code(),
        }
    }
}

/// Whether a format of `printf` has a `%n`.
fn counts(format: &str) -> bool {
    let mut rest = format;
    while let Some((_, behind)) = rest.split_once('%') {
        let plain = behind.trim_start_matches(|c: char| c.is_ascii_digit() || "-+ #.*'hjlLqtzZI".contains(c));
        if plain.starts_with('n') {
            return true;
        }
        // `%%` is a percent sign.
        rest = plain.strip_prefix('%').unwrap_or(plain);
    }
    false
}
