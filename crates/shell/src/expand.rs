//! From a raw word to its fields: what a program is given as arguments, as far as the text tells.
//!
//! The order is bash's: braces, tilde, parameters and substitutions, splitting, globs. Every substitution met is walked,
//! so what it runs is read whatever becomes of its output. Promises: a field is [`Sure::Literal`] only if it is exactly
//! that, once, in that place; what a pattern met among others is [`Sure::Among`], in no order; everything else keeps
//! the literal text that it surely starts with, and says whether it could be several words or none. Of substitutions
//! only those that print a number or a date are taken for one word, and that only beside something else: alone they
//! may be none.
//! Held by: `fixtures/shell/{quoting,dynamic}.tsv`, `tests/it/{agreement,scopes}.rs`.

pub(crate) mod braces;

use crate::caps::{HOME, PIPE};
use crate::pieces::{self, Expansion, Piece};
use crate::state::{State, Value};
use crate::walk::Walker;
use crate::{Glob, path};
use portcullis_model::Fault;

/// What no word holds unquoted.
const OPERATORS: &[char] = &[' ', '\t', '\n', ';', '&', '|', '<', '>'];

/// What no operand in `[[ ]]` holds unquoted, wherever it stands.
const TERM_OPERATORS: &[char] = &['\n', ';', '&', '<', '>'];

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The text, or what it surely starts with.
    pub(crate) text: String,
    /// How much of it is known.
    pub(crate) sure: Sure,
}

/// How much is known of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sure {
    /// It is exactly the text.
    Literal,
    /// It is exactly one of several names that a pattern met; which of them stands where, the target's locale says.
    Among,
    /// It is one field that starts with the text.
    Starts,
    /// It is any number of fields, none included, of which the first starts with the text.
    Splits,
}

impl Field {
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self { text: text.into(), sure: Sure::Literal }
    }

    pub(crate) const fn unknown() -> Self {
        Self { text: String::new(), sure: Sure::Starts }
    }

    /// The text, where it is exactly that.
    pub(crate) fn known(&self) -> Option<&str> {
        (self.sure == Sure::Literal).then_some(self.text.as_str())
    }

    /// The text, where it is exactly that, here or in the place of another: for what is done to each of them alike.
    pub(crate) fn named(&self) -> Option<&str> {
        matches!(self.sure, Sure::Literal | Sure::Among).then_some(self.text.as_str())
    }

    /// Whether a program could take it for an option.
    pub(crate) fn may_be_option(&self) -> bool {
        match self.sure {
            Sure::Literal | Sure::Among => self.text.len() > 1 && self.text.starts_with('-'),
            Sure::Starts => self.text.is_empty() || self.text.starts_with('-'),
            Sure::Splits => true,
        }
    }
}

/// What an expansion gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Exactly this.
    Known(String),
    /// A whole number.
    Integer,
    /// Anything.
    Unknown,
    /// These words, as `"$@"` gives them.
    Words(Vec<String>),
}

/// A field being put together.
#[derive(Default)]
struct Building {
    text: String,
    /// The text as a pattern, quoted characters behind a backslash.
    pattern: String,
    /// Where the pattern's first special character stands in `text`.
    special: Option<usize>,
    present: bool,
    open: bool,
    splits: bool,
    rest: Rest,
}

/// What is left of a word where its substitutions print nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Rest {
    /// Not said: there is none in it that prints one word.
    #[default]
    Unsaid,
    /// No word.
    Nothing,
    /// A word, if an empty one.
    Word,
}

impl Building {
    fn bare(&mut self, c: char) {
        self.present = true;
        self.rest = Rest::Word;
        if self.open {
            // A pattern of which a part is not known may meet any number of names.
            self.splits |= matches!(c, '*' | '?' | '[');
            return;
        }
        if matches!(c, '*' | '?' | '[') && self.special.is_none() {
            self.special = Some(self.text.len());
        }
        self.text.push(c);
        self.pattern.push(c);
    }

    fn quoted(&mut self, text: &str) {
        self.present = true;
        self.rest = Rest::Word;
        if self.open {
            return;
        }
        self.text.push_str(text);
        for c in text.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '!' | '-') {
                self.pattern.push('\\');
            }
            self.pattern.push(c);
        }
    }

    const fn unknown(&mut self, splits: bool) {
        self.present = true;
        self.open = true;
        self.splits |= splits;
    }

    /// What nothing splits, and what may be missing.
    const fn number(&mut self) {
        self.unknown(false);
        if matches!(self.rest, Rest::Unsaid) {
            self.rest = Rest::Nothing;
        }
    }

    fn is_glob(&self) -> bool {
        self.special.is_some_and(|at| {
            self.text.get(at..).is_some_and(|rest| !rest.starts_with('[') || rest.contains([']', '*', '?']))
        })
    }
}

impl Walker<'_> {
    /// The fields of a word in the place of an argument.
    pub(crate) fn expand(&mut self, raw: &str, state: &mut State) -> Vec<Field> {
        let Some(pieces) = self.cut(raw) else {
            self.unread();
            return vec![Field { text: String::new(), sure: Sure::Splits }];
        };
        self.no_operators(&pieces, OPERATORS);
        let written = pieces.clone();
        let words = match braces::words(pieces) {
            Ok(words) => words,
            Err(refused) => {
                self.refuse_braces(refused);
                return vec![Field { text: String::new(), sure: Sure::Splits }];
            }
        };
        // What braces made is no assignment, whatever it looks like; and POSIX sh has none.
        let braced = words != [written.as_slice()];
        if braced && self.posix {
            self.dynamic_code();
        }
        let value = if braced { None } else { value_at(&written) };
        words.into_iter().flat_map(|word| self.fields(word, value, state)).collect()
    }

    /// Braces that are not expanded here.
    pub(crate) fn refuse_braces(&mut self, refused: braces::Refused) {
        match refused {
            braces::Refused::Many => self.too_large("a word's braces expand to too many words"),
            braces::Refused::Special => self.refuse(Fault::Ambiguous {
                message: "braces make special characters or count with very large numbers: write the words out".into(),
            }),
        }
    }

    /// The one text of a word where words are neither split nor globbed: assignments, here-strings, `case`.
    pub(crate) fn expand_one(&mut self, raw: &str, state: &mut State) -> Field {
        match self.cut(raw) {
            Some(pieces) => {
                self.no_operators(&pieces, OPERATORS);
                self.joined(pieces, true, state)
            }
            None => {
                self.unread();
                Field::unknown()
            }
        }
    }

    /// The same for an operand in `[[ ]]`. Groups of a pattern may hold blanks, and a regular expression alternatives.
    pub(crate) fn expand_term(&mut self, raw: &str, regular: bool, state: &mut State) -> Field {
        match self.cut(raw) {
            Some(pieces) => {
                self.no_operators(&pieces, TERM_OPERATORS);
                if !is_one_term(&pieces, regular) {
                    self.swallowed();
                }
                self.joined(pieces, true, state)
            }
            None => {
                self.unread();
                Field::unknown()
            }
        }
    }

    /// A word inside `${…}`, which ends at the brace: blanks and operators in it are text, and a tilde stands only at its
    /// start.
    pub(crate) fn expand_inside(&mut self, raw: &str, state: &mut State) -> Field {
        match self.cut(raw) {
            Some(pieces) => self.joined(pieces, false, state),
            None => {
                self.unread();
                Field::unknown()
            }
        }
    }

    /// The parser takes `name[` in some places for a subscript where bash does not, and swallows what follows up to `]`,
    /// commands too. Such a word holds unquoted blanks or operators, which no word of bash does.
    pub(crate) fn no_operators(&mut self, pieces: &[Piece], operators: &[char]) {
        if pieces.iter().any(|piece| matches!(piece, Piece::Bare(c) if operators.contains(c))) {
            self.swallowed();
        }
    }

    fn swallowed(&mut self) {
        self.refuse(Fault::Ambiguous {
            message: "a word holds blanks or operators that are not quoted: quote the bracket in front of them".into(),
        });
    }

    /// The text of a here-document that is expanded.
    pub(crate) fn expand_text(&mut self, raw: &str, state: &mut State) -> Field {
        match pieces::unquoted_text(raw) {
            Some(pieces) => self.joined(pieces, false, state),
            None => {
                self.unread();
                Field::unknown()
            }
        }
    }

    fn joined(&mut self, pieces: Vec<Piece>, assignment: bool, state: &mut State) -> Field {
        let mut out = Field::literal("");
        for piece in self.tilde(pieces, state, assignment) {
            let text = match piece {
                Piece::Bare(c) => Text::Known(c.to_string()),
                Piece::Quoted(text) => Text::Known(text),
                Piece::Expand { what, quoted } => self.evaluate(&what, quoted, state),
            };
            match text {
                // What joins them is what IFS holds.
                Text::Words(words) if words.len() > 1 && !state.splits_as_usual() => out.sure = Sure::Starts,
                Text::Known(text) if out.sure == Sure::Literal => out.text.push_str(&text),
                Text::Words(words) if out.sure == Sure::Literal => out.text.push_str(&words.join(" ")),
                Text::Known(_) | Text::Words(_) => {}
                Text::Integer | Text::Unknown => out.sure = Sure::Starts,
            }
        }
        out
    }

    /// The fields of a word without braces, in which the value of something like an assignment starts at `value`.
    fn fields(&mut self, pieces: Vec<Piece>, value: Option<usize>, state: &mut State) -> Vec<Field> {
        let mut out = Vec::new();
        let mut word = Building::default();
        if is_no_word(&pieces, state) {
            return out;
        }
        // Beside a `$` that expands nothing bash 5.2 does not split what other expansions give; others do.
        let splits = state.splits_as_usual() && !pieces.contains(&Piece::Bare('$'));
        for piece in self.tildes(pieces, value, state) {
            match piece {
                Piece::Bare('(' | ')') => word.unknown(true),
                Piece::Bare(c) => word.bare(c),
                Piece::Quoted(text) => word.quoted(&text),
                Piece::Expand { what, quoted } => match self.evaluate(&what, quoted, state) {
                    Text::Known(text) if quoted => word.quoted(&text),
                    // What stands in for a path stays whole, unless what is beside it is split or globbed.
                    Text::Known(text) if text.contains([HOME, PIPE]) => {
                        if text.contains([' ', '\t', '\n', '*', '?', '[', '\\']) {
                            word.unknown(true);
                        } else {
                            word.quoted(&text);
                        }
                    }
                    Text::Known(text) if splits => {
                        self.split(&text, &mut word, &mut out, state);
                    }
                    Text::Unknown if !quoted && splits && self.prints_number(&what, state) => word.number(),
                    Text::Known(_) | Text::Unknown => word.unknown(!quoted || what.is_many()),
                    // Before anything ran behind the line `$!` is empty.
                    Text::Integer => word.unknown(!quoted && matches!(&what, Expansion::Name(name) if name == "!")),
                    // `"$*"` is one word, joined by what IFS holds.
                    Text::Words(words) if quoted && !what.is_many() => {
                        if words.len() > 1 && !state.splits_as_usual() {
                            word.unknown(false);
                        } else {
                            word.quoted(&words.join(" "));
                        }
                    }
                    // Beside nothing but what may be empty it may be no word.
                    Text::Words(words) if quoted && words.is_empty() && word.text.is_empty() => word.unknown(true),
                    Text::Words(words) => {
                        let many = words.len();
                        for (at, text) in words.into_iter().enumerate() {
                            if quoted {
                                word.quoted(&text);
                            } else if splits {
                                self.split(&text, &mut word, &mut out, state);
                            } else {
                                word.unknown(true);
                            }
                            if at + 1 < many {
                                self.close(std::mem::take(&mut word), &mut out, state);
                            }
                        }
                    }
                },
            }
        }
        self.close(word, &mut out, state);
        out
    }

    fn split(&mut self, text: &str, word: &mut Building, out: &mut Vec<Field>, state: &State) {
        for c in text.chars() {
            if matches!(c, ' ' | '\t' | '\n') {
                self.close(std::mem::take(word), out, state);
            } else {
                word.bare(c);
                // A backslash in a value is literal, but escapes in a pattern.
                if c == '\\' {
                    word.unknown(true);
                }
            }
        }
    }

    fn close(&mut self, word: Building, out: &mut Vec<Field>, state: &State) {
        if !word.present {
            return;
        }
        if word.open {
            let text = word.special.and_then(|at| word.text.get(..at)).unwrap_or(&word.text).to_owned();
            let splits = word.splits || word.special.is_some() || word.rest == Rest::Nothing;
            out.push(Field { text, sure: if splits { Sure::Splits } else { Sure::Starts } });
        } else if word.is_glob() {
            self.glob(&word, out, state);
        } else {
            out.push(Field::literal(word.text));
        }
    }

    /// A pattern for the target to expand: its results, where they are there; a question otherwise. In which order they
    /// come depends on the locale, and which of them come on the directory.
    fn glob(&mut self, word: &Building, out: &mut Vec<Field>, state: &State) {
        let places: Vec<Option<String>> = if word.text.contains(PIPE) {
            // No name that the target could be asked for.
            Vec::new()
        } else if path::is_rooted(&word.text) {
            vec![None]
        } else {
            state.directories.known.iter().map(|place| Some(place.to_string())).collect()
        };
        let mut found: Vec<Field> = Vec::new();
        // Not every shell reads `[^a]` alike.
        let odd =
            self.odd_globs || state.variables.contains_key("GLOBIGNORE") || (self.posix && word.pattern.contains('['));
        let mut all = !odd && !places.is_empty() && (path::is_rooted(&word.text) || !state.directories.unknown);
        for directory in places {
            let glob = Glob { directory, pattern: word.pattern.replace(HOME, "~") };
            match self.scope.expansions.get(&glob) {
                Some(names) if names.is_empty() => found.push(Field::literal(word.text.clone())),
                Some(names) => found.extend(names.iter().map(Field::literal)),
                None => {
                    all = false;
                    self.ask(glob);
                }
            }
        }
        if all {
            if found.len() > 1 {
                found.iter_mut().for_each(|field| field.sure = Sure::Among);
            }
            out.extend(found);
        } else {
            let text = word.special.and_then(|at| word.text.get(..at)).unwrap_or_default().to_owned();
            out.push(Field { text, sure: Sure::Splits });
        }
    }

    /// What an expansion gives; what it runs is walked.
    pub(crate) fn evaluate(&mut self, what: &Expansion, quoted: bool, state: &mut State) -> Text {
        match what {
            Expansion::Name(name) => self.named(name, state),
            Expansion::Braced(body) => self.parameter(body, quoted, state),
            Expansion::Command(text) => {
                self.nested(text, state);
                Text::Unknown
            }
            Expansion::Process(text) => {
                self.nested(text, state);
                Text::Known(PIPE.to_string())
            }
            Expansion::Arithmetic(text) => {
                self.may_drop(state);
                self.arithmetic(text, state);
                Text::Integer
            }
        }
    }

    /// Whether a substitution prints digits with dashes between them at most: nothing that splits, globs or starts
    /// an option. Where its program is not there it prints nothing. `wc -l` is none: BSD's puts blanks in front.
    fn prints_number(&self, what: &Expansion, state: &State) -> bool {
        let Expansion::Command(text) = what else { return false };
        let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let plain = match words.as_slice() {
            ["nproc"] | ["nproc", "--all"] | ["id", "-u" | "-g"] | ["getconf", "_NPROCESSORS_ONLN"] => true,
            ["date", format] | ["date", "-u", format] => is_numeric_format(format),
            _ => false,
        };
        let own = |name: &&str| self.is_own(name, state);
        plain && words.first().is_some_and(own) && self.is_own("command_not_found_handle", state)
    }

    /// `$name`.
    pub(crate) fn named(&mut self, name: &str, state: &State) -> Text {
        match name {
            "@" | "*" => state
                .positional
                .as_ref()
                .map_or(Text::Unknown, |words| Text::Words(words.iter().map(ToString::to_string).collect())),
            "#" | "?" | "$" | "!" | "UID" | "EUID" | "PPID" => Text::Integer,
            // Once unset these are variables as any other.
            "RANDOM" | "SECONDS" | "LINENO" | "BASHPID" if !state.references && !state.variables.contains_key(name) => {
                Text::Integer
            }
            "-" | "_" | "0" => Text::Unknown,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let at = digits.parse::<usize>().unwrap_or(usize::MAX).saturating_sub(1);
                state.positional.as_ref().map_or(Text::Unknown, |words| {
                    Text::Known(words.get(at).map(ToString::to_string).unwrap_or_default())
                })
            }
            "PWD" if !state.variables.contains_key("PWD") => {
                state.directories.single().map_or(Text::Unknown, |path| Text::Known(from_home(path)))
            }
            "OLDPWD" if !state.variables.contains_key("OLDPWD") => {
                state.previous.single().map_or(Text::Unknown, |path| Text::Known(from_home(path)))
            }
            "HOME" if !state.variables.contains_key("HOME") => Text::Known(self.home()),
            "IFS" if state.splits_as_usual() => Text::Known(" \t\n".to_owned()),
            _ => match state.get(name) {
                Value::Known(text) => Text::Known(text.to_string()),
                Value::Integer => Text::Integer,
                Value::Unknown => Text::Unknown,
            },
        }
    }

    fn home(&self) -> String {
        self.scope.home.clone().unwrap_or_else(|| HOME.to_string())
    }

    /// The tildes of an argument: at its start, or where it looks like an assignment as in one.
    fn tildes(&mut self, mut pieces: Vec<Piece>, value: Option<usize>, state: &State) -> Vec<Piece> {
        let Some(at) = value.filter(|at| *at <= pieces.len()) else {
            return self.tilde(pieces, state, false);
        };
        let value = pieces.split_off(at);
        let expanded = self.tilde(value.clone(), state, true);
        if self.posix && expanded != value {
            // POSIX sh leaves them as they are.
            self.dynamic_code();
        }
        pieces.extend(expanded);
        pieces
    }

    /// Expands a tilde at the start of a word; in an assignment also behind each `:`.
    fn tilde(&mut self, pieces: Vec<Piece>, state: &State, assignment: bool) -> Vec<Piece> {
        let mut out = Vec::with_capacity(pieces.len());
        let mut start = true;
        let mut pieces = pieces.into_iter().peekable();
        while let Some(piece) = pieces.next() {
            if piece == Piece::Bare('~') && start {
                let mut name = String::new();
                while let Some(Piece::Bare(c)) =
                    pieces.next_if(|piece| matches!(piece, Piece::Bare(c) if *c != '/' && !(assignment && *c == ':')))
                {
                    name.push(c);
                }
                let whole = matches!(pieces.peek(), None | Some(Piece::Bare(_)));
                out.push(if whole { self.tilde_of(&name, state) } else { Piece::Quoted(format!("~{name}")) });
                start = false;
                continue;
            }
            start = assignment && piece == Piece::Bare(':');
            out.push(piece);
        }
        out
    }

    fn tilde_of(&mut self, name: &str, state: &State) -> Piece {
        let text = match name {
            "" => self.named("HOME", state),
            "+" | "-" if self.posix => Text::Unknown,
            "+" => self.named("PWD", state),
            "-" => self.named("OLDPWD", state),
            user if self.scope.user.as_deref() == Some(user) => Text::Known(self.home()),
            _ => Text::Unknown,
        };
        match text {
            Text::Known(text) => Piece::Quoted(text),
            // Another user's home: in no way to be told from here.
            Text::Integer | Text::Unknown | Text::Words(_) => {
                Piece::Expand { what: Expansion::Name("-".to_owned()), quoted: true }
            }
        }
    }
}

/// Whether a format of `date` gives digits, dashes and underscores, and digits first.
fn is_numeric_format(raw: &str) -> bool {
    let within = |quote: char| raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote));
    let Some(format) = within('"').or_else(|| within('\'')).unwrap_or(raw).strip_prefix('+') else { return false };
    let mut chars = format.chars();
    let known = |c: Option<char>| c.is_some_and(|c| "FHMSYdjms".contains(c));
    if chars.next() != Some('%') || !known(chars.next()) {
        return false;
    }
    while let Some(c) = chars.next() {
        match c {
            '-' | '_' => {}
            '%' if known(chars.next()) => {}
            _ => return false,
        }
    }
    true
}

/// `"$@"` and nothing beside it, without arguments: no word at all.
fn is_no_word(pieces: &[Piece], state: &State) -> bool {
    let [Piece::Quoted(text), Piece::Expand { what, quoted: true }] = pieces else { return false };
    let all = matches!(what, Expansion::Name(name) | Expansion::Braced(name) if name == "@");
    all && text.is_empty() && state.positional.as_ref().is_some_and(Vec::is_empty)
}

/// Whether an operand in `[[ ]]` is one to bash: blanks stand in brackets only, and those open a group of a pattern.
fn is_one_term(pieces: &[Piece], regular: bool) -> bool {
    let (mut depth, mut before) = (0_usize, None);
    for piece in pieces {
        let Piece::Bare(c) = piece else {
            before = None;
            continue;
        };
        match c {
            '(' if regular || depth > 0 || matches!(before, Some('?' | '*' | '+' | '@' | '!')) => depth += 1,
            '(' => return false,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            ' ' | '\t' if depth == 0 => return false,
            '|' if depth == 0 && !regular => return false,
            _ => {}
        }
        before = Some(*c);
    }
    depth == 0
}

/// Where the value starts in a word that looks like an assignment: `name=`, `name+=`, `name[…]=`.
fn value_at(pieces: &[Piece]) -> Option<usize> {
    let bare = |at: usize| match pieces.get(at) {
        Some(Piece::Bare(c)) => Some(*c),
        Some(Piece::Quoted(_) | Piece::Expand { .. }) | None => None,
    };
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if bare(0).is_none_or(|c| !name(c) || c.is_ascii_digit()) {
        return None;
    }
    let mut at = 1;
    while bare(at).is_some_and(name) {
        at += 1;
    }
    let ends = |at: usize| bare(at) == Some('=') || (bare(at) == Some('+') && bare(at + 1) == Some('='));
    let subscripted =
        bare(at) == Some('[') && (at..pieces.len()).any(|close| bare(close) == Some(']') && ends(close + 1));
    if !subscripted && !ends(at) {
        return None;
    }
    // bash looks behind the first `=`, also one in a subscript.
    pieces.iter().position(|piece| *piece == Piece::Bare('=')).map(|at| at + 1)
}

/// A canonical path as text in a word.
pub(crate) fn from_home(path: &str) -> String {
    path.strip_prefix('~').map_or_else(|| path.to_owned(), |rest| format!("{HOME}{rest}"))
}
