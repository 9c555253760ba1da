//! Parameter expansion with an operator, and arithmetic.
//!
//! What is exactly known is computed (defaults, literal prefixes and suffixes, literal replacement, substrings, case);
//! everything else is unknown. Promises: substitutions inside operators, subscripts and arithmetic are walked; a value
//! that bash would evaluate once more as arithmetic, and that is not a number, is code that is not known; what could be
//! cut, quoted or split in more ways than one is no known text.
//! Held by: `fixtures/shell/dynamic.tsv`.

use crate::caps::{HOME, PIPE};
use crate::expand::{Field, Sure, Text};
use crate::pieces::{self, Piece, holds_many};
use crate::state::{State, Value, is_integer};
use crate::walk::Walker;

/// Operators behind a name, longest first.
const OPERATORS: [&str; 21] = [
    ":-", ":=", ":+", ":?", "##", "%%", "//", "/#", "/%", "^^", ",,", "-", "=", "+", "?", "#", "%", "/", "^", ",", "@",
];

/// Operators whose argument is a pattern: a word of its own with its own quotes, even inside double quotes.
const PATTERNS: [&str; 12] = ["##", "%%", "//", "/#", "/%", "^^", ",,", "#", "%", "/", "^", ","];

/// Letters behind `@`.
const TRANSFORMS: [&str; 10] = ["U", "u", "L", "Q", "E", "P", "A", "K", "a", "k"];

/// Variables of the shell's own that hold numbers.
const NUMERIC: [&str; 19] = [
    "BASHPID",
    "BASH_ARGC",
    "BASH_LINENO",
    "BASH_SUBSHELL",
    "BASH_VERSINFO",
    "EPOCHSECONDS",
    "EUID",
    "GROUPS",
    "HISTCMD",
    "HISTSIZE",
    "LINENO",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHLVL",
    "SRANDOM",
    "UID",
];

/// Variables that hold variables that hold …: no deeper than this.
const DEPTH: usize = 4;

impl Walker<'_> {
    /// `${body}`.
    pub(crate) fn parameter(&mut self, body: &str, quoted: bool, state: &mut State) -> Text {
        if !is_name(body) {
            self.may_drop(state);
        }
        // A length is of one name and at most one subscript; before anything else `#` is a parameter as any other.
        if let Some((of, rest)) = body.strip_prefix('#').map(name_of)
            && !of.is_empty()
            && (rest.is_empty() || (rest.starts_with('[') && self.subscript(rest, state).is_empty()))
        {
            return Text::Integer;
        }
        if let Some(name) = body.strip_prefix('!') {
            return self.indirect(name, state);
        }
        let (name, rest) = name_of(body);
        if name.is_empty() {
            self.unread();
            return Text::Unknown;
        }
        let after = self.subscript(rest, state);
        let element = after.len() != rest.len();
        let value = if element { Text::Unknown } else { self.named(name, state) };
        if after.is_empty() {
            return value;
        }
        let Some((operator, argument)) =
            OPERATORS.iter().find_map(|operator| after.strip_prefix(operator).map(|rest| (*operator, rest)))
        else {
            return match after.strip_prefix(':') {
                Some(offsets) => self.substring(value, offsets, state),
                None => {
                    self.unread();
                    Text::Unknown
                }
            };
        };
        self.operate(name, value, operator, argument, quoted, state)
    }

    fn operate(&mut self, name: &str, value: Text, operator: &str, raw: &str, quoted: bool, state: &mut State) -> Text {
        if operator == "@" {
            // A prompt is expanded once more, substitutions and all.
            if raw == "P" {
                self.dynamic_code();
            }
            if !TRANSFORMS.contains(&raw) {
                self.unread();
                self.expand_inside(raw, state);
            }
            return Text::Unknown;
        }
        let pattern = PATTERNS.contains(&operator);
        let unset = is_unset(name, state);
        let mut without = state.clone();
        let argument = if quoted && !pattern { self.expand_text(raw, state) } else { self.expand_inside(raw, state) };
        without.join(state);
        *state = without;
        let known = argument
            .known()
            .filter(|text| pattern || (is_plain(raw, text, quoted) && !holds_many(raw)))
            .map(str::to_owned);
        let text = match (&value, known) {
            (Text::Known(text), Some(argument)) => compute(text, operator, &argument, raw, unset),
            (Text::Integer, _) if matches!(operator, ":-" | "-" | ":=" | "=" | ":?" | "?") => Text::Integer,
            (Text::Known(text), None)
                if !text.is_empty() && matches!(operator, ":-" | "-" | ":=" | "=" | ":?" | "?") =>
            {
                value.clone()
            }
            (Text::Known(_) | Text::Integer | Text::Unknown | Text::Words(_), _) => Text::Unknown,
        };
        if matches!(operator, ":=" | "=") && is_name(name) {
            let value = match &text {
                Text::Known(text) => Value::Known(text.as_str().into()),
                Text::Integer => Value::Integer,
                Text::Unknown | Text::Words(_) => Value::Unknown,
            };
            self.assigned(name, value, state);
        }
        text
    }

    fn substring(&mut self, value: Text, offsets: &str, state: &mut State) -> Text {
        self.arithmetic(&offsets.replace(':', ","), state);
        // A number that starts with a zero is octal; what is not ASCII is counted as the locale has it.
        let number =
            |part: &str| part.strip_prefix('0').is_none_or(str::is_empty).then(|| part.parse::<usize>().ok()).flatten();
        let mut parts = offsets.split(':').map(|part| number(part.trim()).ok_or(()));
        let value = match value {
            Text::Known(text) if !text.is_ascii() => Text::Unknown,
            value => value,
        };
        match (value, parts.next(), parts.next(), parts.next()) {
            (Text::Known(text), Some(Ok(skip)), None, _) => Text::Known(text.chars().skip(skip).collect()),
            (Text::Known(text), Some(Ok(skip)), Some(Ok(take)), None) => {
                Text::Known(text.chars().skip(skip).take(take).collect())
            }
            _ => Text::Unknown,
        }
    }

    /// `${!name}`: the name is itself expanded, subscript and all.
    fn indirect(&mut self, body: &str, state: &mut State) -> Text {
        let (name, rest) = name_of(body);
        if matches!(rest, "*" | "@" | "[@]" | "[*]") {
            return Text::Unknown;
        }
        match self.named(name, state) {
            Text::Known(target) if is_name(&target) && rest.is_empty() => self.named(&target, state),
            Text::Known(_) | Text::Integer | Text::Unknown | Text::Words(_) => {
                self.dynamic_code();
                if let Some(pieces) = pieces::pieces(rest) {
                    self.run_pieces(pieces, state);
                } else {
                    self.unread();
                }
                Text::Unknown
            }
        }
    }

    /// Walks `[…]` in front of `rest` and gives what follows it.
    fn subscript<'b>(&mut self, rest: &'b str, state: &mut State) -> &'b str {
        let Some(inside) = rest.strip_prefix('[') else { return rest };
        let mut depth = 1_usize;
        for (at, c) in inside.char_indices() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let index = inside.get(..at).unwrap_or_default();
                if !matches!(index, "@" | "*") {
                    self.arithmetic(index, state);
                }
                return inside.get(at + 1..).unwrap_or_default();
            }
        }
        self.unread();
        ""
    }

    /// Evaluates an arithmetic text: its substitutions run, and so does code in the variables that it names.
    pub(crate) fn arithmetic(&mut self, raw: &str, state: &mut State) {
        self.arithmetic_within(raw, state, 0);
    }

    fn arithmetic_within(&mut self, raw: &str, state: &mut State, depth: usize) {
        if depth > DEPTH {
            self.dynamic_code();
            return;
        }
        let Some(pieces) = pieces::unquoted_text(raw) else {
            self.unread();
            return;
        };
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Bare(c) => text.push(c),
                Piece::Quoted(part) => text.push_str(&part),
                Piece::Expand { .. } => match self.joined_piece(piece, state) {
                    Field { text: part, sure: Sure::Literal } => text.push_str(&part),
                    Field { text: part, sure: Sure::Starts } if part == INTEGER => text.push('0'),
                    Field { .. } => {
                        self.dynamic_code();
                        text.push('0');
                    }
                },
            }
        }
        if text.contains(['$', '`']) {
            // A value that holds a substitution: bash runs it in a subscript.
            self.dynamic_code();
        }
        let assigns = text.contains("++") || text.contains("--") || assigns(&text);
        for name in identifiers(&text) {
            match state.get(name) {
                Value::Integer => {}
                Value::Known(value) if is_integer(&value) || value.is_empty() => {}
                Value::Known(value) => self.arithmetic_within(&value, state, depth + 1),
                Value::Unknown => {
                    let set = state.variables.contains_key(name) || state.references;
                    if set || holds_text(name) || (is_environment(name) && may_hold_code(state)) {
                        self.dynamic_code();
                    }
                }
            }
            if assigns && is_target(&text, name) {
                self.counted(name, &text, state);
            }
        }
    }

    /// An expression assigns a variable, or may: an error or a condition before that leaves what it held, or nothing.
    fn counted(&mut self, name: &str, text: &str, state: &mut State) {
        let before = state.variables.get(name).cloned();
        self.assigned(name, Value::Integer, state);
        let sure = text.split(',').all(is_count);
        match before {
            Some(Value::Integer) => {}
            Some(Value::Known(value)) if is_integer(&value) => {}
            None | Some(Value::Unknown) if sure => {}
            None => {
                state.variables.remove(name);
            }
            Some(Value::Known(_) | Value::Unknown) => state.set(name, Value::Unknown),
        }
    }

    fn joined_piece(&mut self, piece: Piece, state: &mut State) -> Field {
        let Piece::Expand { what, .. } = piece else { return Field::unknown() };
        match self.evaluate(&what, true, state) {
            Text::Known(text) => Field::literal(text),
            Text::Words(words) => Field::literal(words.join(" ")),
            Text::Integer => Field { text: INTEGER.to_owned(), sure: Sure::Starts },
            Text::Unknown => Field::unknown(),
        }
    }
}

/// A variable that the shell fills with what the text says: the last argument, what matched, the command itself.
fn holds_text(name: &str) -> bool {
    let filled = name.starts_with("BASH") || name.starts_with("COMP_") || name.starts_with("READLINE_");
    (filled && !NUMERIC.contains(&name)) || matches!(name, "_" | "DIRSTACK" | "FUNCNAME" | "OLDPWD" | "PWD")
}

/// A variable that the environment may hold with a word for its value, which arithmetic takes for a variable's name.
fn is_environment(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && !NUMERIC.contains(&name)
}

/// Whether arithmetic that comes to a variable of the text by a name that it finds could run something.
fn may_hold_code(state: &State) -> bool {
    state.variables.values().any(|value| match value {
        Value::Known(text) => text.contains('[') || identifiers(text).into_iter().any(holds_text),
        Value::Integer => false,
        Value::Unknown => true,
    })
}

/// Stands in a field for some whole number.
const INTEGER: &str = "\u{e002}";

/// A positional parameter that is known not to be there.
fn is_unset(name: &str, state: &State) -> bool {
    let at = name.parse::<usize>().ok().filter(|at| *at > 0);
    at.zip(state.positional.as_ref()).is_some_and(|(at, words)| at > words.len())
}

/// Whether the argument of a default is this text. Inside double quotes bash drops quotes that stand within the braces;
/// outside it keeps what they hold from being split and globbed, and makes a word of nothing, which the text alone does
/// not show.
fn is_plain(raw: &str, text: &str, quoted: bool) -> bool {
    if quoted {
        return !raw.contains(['"', '\\']);
    }
    let quotes = raw.contains(['"', '\'', '\\']);
    let special = text.is_empty() || text.contains([' ', '\t', '\n', '*', '?', '[', '\\']);
    !(raw.contains(":~") || (quotes && special))
}

fn compute(text: &str, operator: &str, argument: &str, raw: &str, unset: bool) -> Text {
    let special = ['*', '?', '[', '(', '\\', '~', HOME, PIPE];
    let cuts = !text.contains([HOME, PIPE]);
    let plain = cuts && !raw.contains(special) && !argument.contains(special);
    let known = |text: &str| Text::Known(text.to_owned());
    match operator {
        "-" | "=" if unset => known(argument),
        "+" if unset => known(""),
        ":-" | ":=" => known(if text.is_empty() { argument } else { text }),
        ":?" | "?" | "-" | "=" => known(text),
        ":+" => known(if text.is_empty() { "" } else { argument }),
        "+" => known(argument),
        "#" | "##" if plain => known(text.strip_prefix(argument).unwrap_or(text)),
        "%" | "%%" if plain => known(text.strip_suffix(argument).unwrap_or(text)),
        // bash tells the pattern from its replacement before it expands either.
        "/" | "//" if plain && !argument.contains(['&', '"', '\'']) && !raw.contains(['"', '\'', '$', '`']) => {
            let (from, to) = argument.split_once('/').unwrap_or((argument, ""));
            if from.is_empty() {
                known(text)
            } else if operator == "/" {
                known(&text.replacen(from, to, 1))
            } else {
                known(&text.replace(from, to))
            }
        }
        "^^" if argument.is_empty() && text.is_ascii() => known(&text.to_ascii_uppercase()),
        ",," if argument.is_empty() && text.is_ascii() => known(&text.to_ascii_lowercase()),
        _ => Text::Unknown,
    }
}

/// The name that a text starts with, and the rest.
pub(crate) fn name_of(text: &str) -> (&str, &str) {
    let first = text.chars().next();
    let end = match first {
        Some(c) if c.is_ascii_alphabetic() || c == '_' => {
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
        }
        Some(c) if c.is_ascii_digit() => text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()),
        Some(c) if "@*#?-$!".contains(c) => c.len_utf8(),
        Some(_) | None => 0,
    };
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Whether a text is a variable's name.
pub(crate) fn is_name(text: &str) -> bool {
    let (name, rest) = name_of(text);
    rest.is_empty() && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Whether an expression assigns: an `=` that is no comparison.
fn assigns(text: &str) -> bool {
    let mut last = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let shift =
            matches!(last, '<' | '>') && text.contains(['<', '>']) && (text.contains("<<=") || text.contains(">>="));
        if c == '=' {
            if chars.peek() == Some(&'=') {
                chars.next();
            } else if !matches!(last, '!' | '<' | '>') || shift {
                return true;
            }
        }
        last = c;
    }
    false
}

/// Whether an expression could assign a name.
fn is_target(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, rest) = text.split_at_checked(at).unwrap_or_default();
        let after = rest.get(name.len()..).unwrap_or_default();
        if before.ends_with(word) || after.starts_with(word) {
            return false;
        }
        let (before, after) = (before.trim_end(), after.trim_start());
        let equals = after.trim_start_matches(['+', '-', '*', '/', '%', '&', '^', '|', '<', '>']);
        ["++", "--"].iter().any(|step| before.ends_with(step) || after.starts_with(step))
            || after.starts_with('[')
            || (equals.starts_with('=') && !equals.starts_with("=="))
    })
}

/// Whether a part of an expression leaves a number behind whatever was there: `i = 0`, `i++`, `--i`, `i += 2`.
fn is_count(part: &str) -> bool {
    let part = part.trim();
    for step in ["++", "--"] {
        if let Some(name) = part.strip_prefix(step).or_else(|| part.strip_suffix(step)) {
            return is_name(name.trim());
        }
    }
    let Some((name, value)) = part.split_once('=') else { return false };
    let (name, value) = (name.strip_suffix(['+', '-', '*']).unwrap_or(name).trim(), value.trim());
    is_name(name) && is_integer(value) && (value == "0" || !value.starts_with(['0', '-']))
}

/// The names in an arithmetic text.
fn identifiers(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        .collect()
}
