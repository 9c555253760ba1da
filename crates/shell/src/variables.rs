//! Assignments, and which of them change what programs do.
//!
//! A shell variable in small letters is the text's own business; one that programs look at (`PATH`, `LD_PRELOAD`,
//! `GIT_SSH_COMMAND`, any in capitals that is not known to be harmless, and a harmless one whose value is more than
//! plain words) is `configure setting NAME`. Variables that the shell itself runs are read as code. Promises: an array,
//! a subscript or an appended value is never taken for known;
//! subscripts, also those inside an array's brackets, are evaluated as bash evaluates them.
//! Held by: `fixtures/shell/dynamic.tsv`.

use crate::expand::{Field, Sure, Text, braces};
use crate::facts;
use crate::param::{is_name, name_of};
use crate::pieces::{self, Expansion, Piece};
use crate::reading::Left;
use crate::state::{State, Value};
use crate::walk::Walker;
use portcullis_model::{Action, Object, Operation, Part};

/// Variables whose value is a command line that a program gives to a shell.
const COMMANDS: [&str; 15] = [
    "PAGER",
    "EDITOR",
    "VISUAL",
    "MANPAGER",
    "GIT_PAGER",
    "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "LESSOPEN",
    "LESSCLOSE",
    "BROWSER",
    "SUDO_EDITOR",
    "FCEDIT",
    "RSYNC_RSH",
];

/// Of these, the ones that say who shows what is long.
const PAGERS: [&str; 3] = ["GIT_PAGER", "MANPAGER", "PAGER"];

/// Variables that the shell itself fills, or may.
const SPECIAL: [&str; 17] = [
    "COLUMNS",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "LINENO",
    "LINES",
    "PIPESTATUS",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SRANDOM",
    "UID",
];

/// Variables that are whole numbers from the start: what they are given is evaluated.
pub(crate) const NUMBERS: [&str; 6] = ["EPOCHSECONDS", "HISTCMD", "OPTIND", "RANDOM", "SECONDS", "SRANDOM"];

/// Harmless variables that the shell alone looks at, or sets itself: what they hold matters where the text exports them.
const OWN: [&str; 15] = [
    "COLUMNS",
    "COMP_WORDBREAKS",
    "COPROC",
    "HISTCONTROL",
    "HISTFILESIZE",
    "HISTSIZE",
    "LINES",
    "MAPFILE",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "TIMEFORMAT",
];

/// Prompts: their values are expanded each time they are shown.
const PROMPTS: [&str; 5] = ["PS0", "PS1", "PS2", "PS3", "PS4"];

/// An assignment, cut.
pub(crate) struct Assignment<'a> {
    pub(crate) name: &'a str,
    pub(crate) subscript: Option<&'a str>,
    pub(crate) append: bool,
    pub(crate) value: &'a str,
}

/// Cuts `name=value`, `name[subscript]+=value`.
pub(crate) fn assignment(raw: &str) -> Option<Assignment<'_>> {
    let (name, mut rest) = name_of(raw);
    if !is_name(name) {
        return None;
    }
    let mut subscript = None;
    if let Some(inside) = rest.strip_prefix('[') {
        let end = inside.rfind("]=").or_else(|| inside.rfind("]+="))?;
        subscript = inside.get(..end);
        rest = inside.get(end + 1..)?;
    }
    let (append, value) = match rest.strip_prefix("+=") {
        Some(value) => (true, value),
        None => (false, rest.strip_prefix('=')?),
    };
    Some(Assignment { name, subscript, append, value })
}

impl Walker<'_> {
    /// What `raw` assigns, with its substitutions walked.
    pub(crate) fn assignment_value(&mut self, cut: &Assignment<'_>, state: &mut State) -> Value {
        if cut.subscript.is_some() {
            self.may_drop(state);
        }
        if let Some(subscript) = cut.subscript.filter(|subscript| subscript.contains([' ', '\t', '\n', ';', '|', '&']))
        {
            let pieces = pieces::pieces(subscript).unwrap_or_default();
            self.no_operators(&pieces, &[' ', '\t', '\n', ';', '|', '&']);
        }
        if let Some(subscript) = cut.subscript
            && !matches!(subscript, "@" | "*")
        {
            self.arithmetic(subscript, state);
        }
        if let Some(inside) = cut.value.strip_prefix('(') {
            self.may_drop(state);
            match pieces::pieces(inside.strip_suffix(')').unwrap_or(inside)) {
                Some(pieces) => {
                    // An operator in an array is an error after which bash goes on with the next line.
                    self.no_operators(&pieces, &[';', '|', '&', '<', '>', '(', ')']);
                    // Braces are expanded in it, too: what they make must hold no expansion that is not written.
                    let blank = |piece: &Piece| matches!(piece, Piece::Bare(' ' | '\t' | '\n'));
                    for word in pieces.split(blank) {
                        if let Err(refused) = braces::words(word.to_vec()) {
                            self.refuse_braces(refused);
                        }
                    }
                    self.run_pieces(pieces.clone(), state);
                    self.keys(&pieces, state);
                }
                None => self.unread(),
            }
            return Value::Unknown;
        }
        let field = self.expand_one(cut.value, state);
        if self.numbers.contains(cut.name) {
            match field.known() {
                Some(text) => self.arithmetic(text, state),
                None if is_arithmetic(cut.value) => {}
                None => self.dynamic_code(),
            }
            return if cut.subscript.is_some() { Value::Unknown } else { Value::Integer };
        }
        match (field.known(), cut.subscript.is_some() || cut.append) {
            (Some(text), false) => Value::Known(text.into()),
            (_, true) => Value::Unknown,
            (None, false) if is_arithmetic(cut.value) => Value::Integer,
            (None, false) => Value::Unknown,
        }
    }

    /// The subscripts in `([…]=… […]=…)`: arithmetic, once their quotes are gone, unless the array's keys are texts.
    fn keys(&mut self, pieces: &[Piece], state: &mut State) {
        let mut rest = pieces;
        let mut start = true;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            let opens = start && *first == Piece::Bare('[');
            start = matches!(first, Piece::Bare(' ' | '\t' | '\n'));
            if !opens {
                continue;
            }
            let Some(end) = closing(after) else {
                self.dynamic_code();
                state.forget();
                return;
            };
            let (inside, after) = after.split_at_checked(end).unwrap_or((after, &[]));
            let mut text = String::new();
            for piece in inside {
                text.push_str(&self.key_part(piece, state));
            }
            self.arithmetic(&text, state);
            rest = after;
        }
    }

    fn key_part(&mut self, piece: &Piece, state: &mut State) -> String {
        let Piece::Expand { what, quoted } = piece else {
            return match piece {
                Piece::Bare(c) => c.to_string(),
                Piece::Quoted(text) => text.clone(),
                Piece::Expand { .. } => String::new(),
            };
        };
        match self.evaluate(what, *quoted, state) {
            Text::Known(text) => text,
            Text::Words(words) => words.join(" "),
            Text::Integer => "0".to_owned(),
            Text::Unknown => {
                self.dynamic_code();
                "0".to_owned()
            }
        }
    }

    /// Walks what these pieces run.
    pub(crate) fn run_pieces(&mut self, pieces: Vec<Piece>, state: &mut State) {
        for piece in pieces {
            if let Piece::Expand { what, .. } = piece {
                self.evaluate(&what, true, state);
            }
        }
    }

    /// The shell's variable is this from now on.
    pub(crate) fn assigned(&mut self, name: &str, value: Value, state: &mut State) {
        if is_configuring(name) || (self.is_inherited(name) && !is_plain(name, Some(&value))) {
            self.configures(name, Some(&value), state);
        }
        if self.numbers.contains(name) {
            match &value {
                Value::Known(text) => self.arithmetic(text.as_ref(), state),
                Value::Integer => {}
                Value::Unknown => self.dynamic_code(),
            }
        }
        let value = if self.is_strange(name) {
            self.may_drop(state);
            // What the shell counts with is a number whatever it was given.
            let counts = NUMBERS.contains(&name) && !self.strange.contains(name);
            if counts { Value::Integer } else { Value::Unknown }
        } else {
            value
        };
        self.leave(name, false);
        state.set(name, value);
    }

    /// A variable of this name is left behind.
    pub(crate) fn leave(&mut self, name: &str, exported: bool) {
        *self.left.entry(name.to_owned()).or_default() |= exported;
    }

    /// What the text leaves behind, where this is the state that it ends in.
    pub(crate) fn leaves(&self, state: &State) -> Vec<Left> {
        let known = |name: &str| match state.get(name) {
            Value::Known(text) => Some(text.to_string()),
            Value::Integer | Value::Unknown => None,
        };
        self.left
            .iter()
            .map(|(name, exported)| Left {
                name: name.clone(),
                value: known(name),
                exported: *exported,
                configures: is_configuring(name)
                    || (*exported && !facts::is_harmless_variable(name))
                    || (self.is_inherited(name) && !is_plain(name, Some(&state.get(name)))),
            })
            .collect()
    }

    /// Whether what is assigned to a name need not be what it holds afterwards.
    pub(crate) fn is_strange(&self, name: &str) -> bool {
        self.strange.contains(name) || name.starts_with("BASH") || name.starts_with("COMP_") || SPECIAL.contains(&name)
    }

    /// The environment of what runs holds this.
    pub(crate) fn exported(&mut self, name: &str, value: Option<&Value>, state: &State) {
        let harmless = facts::is_harmless_variable(name) && is_plain(name, value);
        if !harmless && !is_no_pager(name, value) {
            self.configures(name, value, state);
        }
    }

    /// Whether what runs may see a harmless variable without a word of `export`: the environment may hold it already.
    fn is_inherited(&self, name: &str) -> bool {
        facts::is_harmless_variable(name) && (!OWN.contains(&name) || self.left.get(name) == Some(&true))
    }

    fn configures(&mut self, name: &str, value: Option<&Value>, state: &State) {
        self.emit(Operation::new(Action::Configure, Object::Setting(Part::known(name))));
        let Some(Value::Known(value)) = value else { return };
        match name {
            // The shell runs this itself.
            "PROMPT_COMMAND" if !value.is_empty() => self.nested(value, state),
            _ if COMMANDS.contains(&name) && !value.is_empty() => self.other_shell(value, state),
            _ => {}
        }
        if PROMPTS.contains(&name) && value.contains(['$', '`']) {
            self.dynamic_code();
        }
    }

    /// A variable without its value and its attributes.
    pub(crate) fn unset(&mut self, field: &Field, state: &mut State) {
        let harmless = |name: &&str| facts::is_harmless_variable(name) && !NUMBERS.contains(name);
        if let Some(name) = field.known().filter(harmless).map(str::to_owned) {
            // Presentation as it is without one.
            self.leave(&name, false);
            state.set(&name, Value::Unknown);
            return;
        }
        match field.known().filter(|name| NUMBERS.contains(name)).map(str::to_owned) {
            Some(name) => {
                // From now on a variable as any other: what it is given later need not be a number.
                self.assigned(&name, Value::Integer, state);
                state.set(&name, Value::Unknown);
                self.strange.insert(name);
            }
            None => self.evaluated_name(field, state),
        }
    }

    /// A name that is not known statically, or that bash evaluates as a subscript: `read`, `printf -v`, `test -v`.
    pub(crate) fn evaluated_name(&mut self, field: &Field, state: &mut State) {
        let Some(text) = field.known().map(str::to_owned) else {
            self.dynamic_code();
            state.forget();
            return;
        };
        let (name, rest) = name_of(&text);
        if let Some(inside) = rest.strip_prefix('[') {
            self.arithmetic(inside.strip_suffix(']').unwrap_or(inside), state);
        }
        if is_name(name) {
            self.assigned(name, Value::Unknown, state);
        }
    }
}

/// Where the bracket closes that stands in front of these pieces.
fn closing(pieces: &[Piece]) -> Option<usize> {
    let mut depth = 1_usize;
    pieces.iter().position(|piece| {
        match piece {
            Piece::Bare('[') => depth += 1,
            Piece::Bare(']') => depth -= 1,
            Piece::Bare(_) | Piece::Quoted(_) | Piece::Expand { .. } => {}
        }
        depth == 0
    })
}

fn is_configuring(name: &str) -> bool {
    let capitals = name.chars().any(|c| c.is_ascii_uppercase());
    (capitals && !facts::is_harmless_variable(name)) || facts::is_dangerous_variable(name)
}

/// Whether a variable names a pager. Those that the gateway sets keep pagers from taking commands.
pub(crate) fn is_pager(name: &str) -> bool {
    PAGERS.contains(&name)
}

/// Whether this is for no pager. An empty value is that for git; others take their own then.
fn is_no_pager(name: &str, value: Option<&Value>) -> bool {
    let Some(Value::Known(text)) = value else { return false };
    let text: &str = text;
    is_pager(name) && (text == "cat" || (name == "GIT_PAGER" && text.is_empty()))
}

/// Whether the value of a harmless variable is no code and names nothing: `make` expands what it holds, the locale says
/// which bytes are a character, `TZ` and `LANGUAGE` are looked up as paths, and by `NODE_ENV` projects choose files.
fn is_plain(name: &str, value: Option<&Value>) -> bool {
    let text = match value {
        None | Some(Value::Integer) => return true,
        Some(Value::Unknown) => return false,
        Some(Value::Known(text)) => text.as_ref(),
    };
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "./:_-@+,=% ".contains(c));
    let named = match name {
        "TZ" => !text.starts_with(['/', ':']) && !text.contains(".."),
        "TERM" | "LANGUAGE" => !text.contains('/'),
        "NODE_ENV" => matches!(text, "development" | "production" | "test"),
        "LANG" => is_charset_safe(text),
        _ => !name.starts_with("LC_") || is_charset_safe(text),
    };
    plain && named
}

/// Whether the characters of a locale are those that are read here: UTF-8, or bytes of which each is one. In others
/// (GBK, BIG5, SJIS) a backslash or a quote can be half of a character, and bash reads the line otherwise.
#[must_use]
pub fn is_charset_safe(locale: &str) -> bool {
    // Where the modifier is not known, the C library leaves it out.
    let name = locale.split('@').next().unwrap_or_default();
    if let Some((_, charset)) = name.split_once('.') {
        let charset = charset.to_ascii_lowercase();
        return matches!(charset.as_str(), "utf-8" | "utf8")
            || charset.starts_with("iso-8859-")
            || charset.starts_with("iso8859-");
    }
    let western = |(language, territory): (&str, &str)| {
        (2..=3).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_lowercase())
            && !matches!(language, "ja" | "ko" | "zh")
            && territory.len() == 2
            && territory.bytes().all(|b| b.is_ascii_uppercase())
    };
    matches!(name, "" | "C" | "POSIX") || name.split_once('_').is_some_and(western)
}

/// Whether a value is one expansion that gives a whole number, and nothing beside it.
fn is_arithmetic(raw: &str) -> bool {
    let mut pieces = pieces::pieces(raw).unwrap_or_default();
    pieces.retain(|piece| !matches!(piece, Piece::Quoted(text) if text.is_empty()));
    match pieces.as_slice() {
        [Piece::Expand { what: Expansion::Arithmetic(_), .. }] => true,
        [Piece::Expand { what: Expansion::Name(name), .. }] => matches!(name.as_str(), "#" | "?" | "$"),
        _ => false,
    }
}

/// A field that holds a value.
pub(crate) fn field_of(value: &Value) -> Field {
    match value {
        Value::Known(text) => Field::literal(text.to_string()),
        Value::Integer | Value::Unknown => Field { text: String::new(), sure: Sure::Starts },
    }
}
