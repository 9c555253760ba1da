//! Programs that run the rest of their arguments, where that takes more than a row: `env`, `xargs`, `parallel`, `dd`.
//!
//! Promises: arguments that come from standard input are not known unless the input is; what `{}` is replaced by is then
//! not known either. Held by: `fixtures/shell/wrappers.tsv`.

use crate::args;
use crate::expand::{Field, Sure};
use crate::facts::{Role, Row};
use crate::param::is_name;
use crate::state::{State, Value};
use crate::walk::{Input, Walker};
use portcullis_model::{Action, Mark, Marks};

/// Inputs of `parallel` that are tried one by one.
const INPUTS: usize = 16;

impl Walker<'_> {
    pub(crate) fn env(&mut self, name: &str, row: &Row, arguments: &[Field], state: &mut State) {
        let call = args::parse(arguments, &row.spec, row.style, true);
        self.execute(name, None, if call.doubtful { Mark::Dynamic.into() } else { Marks::NONE });
        if call.troubled {
            self.unread();
        }
        let mut own = state.clone();
        let mut argv: Vec<Field> = Vec::new();
        for (role, field) in &call.values {
            match (role, field.known()) {
                // The last counts alone, from where `env` was started.
                (Role::Directory, Some(text)) => own.settle(state.directories.step(text)),
                (Role::Directory, None) => own.settle(crate::state::Directories::any()),
                (Role::Shell, Some(text)) if !text.contains(['\'', '"', '\\', '$', '#']) => {
                    argv.extend(text.split_whitespace().map(Field::literal));
                }
                (Role::Shell, _) => {
                    self.dynamic_code();
                    return;
                }
                _ => {}
            }
        }
        argv.extend(call.operands);
        let mut rest = argv.as_slice();
        while let Some((first, after)) = rest.split_first() {
            let Some((variable, value)) = first.text.split_once('=').filter(|_| first.sure != Sure::Splits) else {
                break;
            };
            let value = if first.sure == Sure::Literal { Value::Known(value.into()) } else { Value::Unknown };
            if !is_name(variable) {
                self.unread();
            }
            self.exported(variable, Some(&value), &own);
            own.set(variable, Value::Unknown);
            rest = after;
        }
        if !rest.is_empty() {
            self.depth += 1;
            self.dispatch(rest, false, &mut own);
            self.depth -= 1;
        }
    }

    pub(crate) fn xargs(&mut self, name: &str, row: &Row, arguments: &[Field], state: &mut State) {
        let call = args::parse(arguments, &row.spec, row.style, true);
        self.execute(name, None, if call.doubtful { Mark::Dynamic.into() } else { Marks::NONE });
        if call.troubled {
            self.unread();
        }
        let mut replaced = None;
        let mut input = self.input.clone();
        for (role, field) in &call.values {
            match role {
                Role::Read => {
                    self.file(Action::Read, field, Marks::NONE, state);
                    input = Input::Unknown;
                }
                Role::Setting => replaced = field.known().map(str::to_owned).or_else(|| Some(String::new())),
                _ => {}
            }
        }
        let mut argv = call.operands;
        if argv.is_empty() {
            return;
        }
        let known = match &input {
            Input::Literal(text) if !text.contains(['\'', '"', '\\', '\0']) => {
                Some(text.split_whitespace().map(Field::literal).collect::<Vec<_>>())
            }
            Input::Null => Some(Vec::new()),
            Input::Literal(_) | Input::Channel | Input::File(_) | Input::Script | Input::Unknown => None,
        };
        match replaced {
            Some(mark) => {
                for field in &mut argv {
                    if mark.is_empty() || field.text.contains(&mark) {
                        let start = field.text.split(mark.as_str()).next().unwrap_or_default().to_owned();
                        *field = Field { text: start, sure: Sure::Starts };
                    }
                }
            }
            None => match known {
                Some(fields) => argv.extend(fields),
                None => argv.push(Field { text: String::new(), sure: Sure::Splits }),
            },
        }
        let outer = std::mem::replace(&mut self.input, Input::Unknown);
        self.depth += 1;
        self.dispatch(&argv, false, &mut state.clone());
        self.depth -= 1;
        self.input = outer;
    }

    pub(crate) fn parallel(&mut self, name: &str, row: &Row, arguments: &[Field], state: &mut State) {
        let end = arguments
            .iter()
            .position(|field| matches!(field.known(), Some(":::" | "::::" | ":::+" | "::::+")))
            .unwrap_or(arguments.len());
        let (head, tail) = arguments.split_at_checked(end).unwrap_or((arguments, &[]));
        let call = args::parse(head, &row.spec, row.style, true);
        self.execute(name, None, if call.doubtful { call.marks.with(Mark::Dynamic) } else { call.marks });
        if call.troubled {
            self.unread();
        }
        let inputs: Vec<&str> = tail.iter().skip(1).filter_map(Field::named).collect();
        let plain = tail.first().is_some_and(|field| field.known() == Some(":::"))
            && inputs.len() + 1 == tail.len()
            && inputs.len() <= INPUTS
            && !inputs.iter().any(|text| text.starts_with(":::"));
        let template: Option<Vec<&str>> = call.operands.iter().map(Field::known).collect();
        match template {
            Some(template) if plain => {
                for input in inputs {
                    // An input is quoted for the shell unless it is the whole command.
                    let quoted = format!("'{}'", input.replace('\'', "'\\''"));
                    let line = template.join(" ");
                    let line = if template.is_empty() {
                        input.to_owned()
                    } else if line.contains('{') {
                        self.dynamic_code();
                        line.replace("{}", &quoted)
                    } else {
                        format!("{line} {quoted}")
                    };
                    self.other_shell(&line, state);
                }
            }
            Some(template) if !template.is_empty() => {
                self.other_shell(&format!("{} \"$0\"", template.join(" ")), state);
                self.dynamic_code();
            }
            Some(_) | None => self.dynamic_code(),
        }
    }

    /// `dd if=… of=…`.
    pub(crate) fn pairs(&mut self, name: &str, arguments: &[Field], state: &State) {
        let doubtful = arguments.iter().any(|field| match field.sure {
            Sure::Literal | Sure::Among => false,
            Sure::Starts => !field.text.contains('='),
            Sure::Splits => true,
        });
        self.execute(name, None, if doubtful { Mark::Dynamic.into() } else { Marks::NONE });
        for field in arguments {
            let (key, value) = field.text.split_once('=').unwrap_or((field.text.as_str(), ""));
            let value = Field { text: value.to_owned(), sure: field.sure };
            match key {
                "if" => self.file(Action::Read, &value, Marks::NONE, state),
                "of" => {
                    let device = value.text.starts_with("/dev/");
                    let marks = if device { Marks::from(Mark::Irreversible) } else { Marks::NONE };
                    self.file(Action::Insert, &value, marks, state);
                    self.file(Action::Update, &value, marks, state);
                }
                "bs" | "cbs" | "conv" | "count" | "ibs" | "iflag" | "obs" | "oflag" | "seek" | "skip" | "status"
                | "iseek" | "oseek" => {}
                _ => self.unread(),
            }
        }
    }
}
