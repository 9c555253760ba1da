//! A program in one member of an object and its words in another, as `spawn(command, args)` takes them.
//!
//! Promises: what stands beside a program under a name for arguments is read with it: as its words, and as the line that a
//! shell would be given where that would run or touch more (an operator by itself or before a program that is known, a
//! further path inside a word, a pattern of absolute paths). Arguments in one text are a line. Of an object of arguments
//! nobody says how its tool makes words of it: its values are read as words, and more may happen than is known. Which lists
//! count nobody says where there are several: each is read, and all together. A program that is a line of its own is read
//! without them, too, since a tool may leave out what it does not know. A list of words alone is a command line under the
//! name `argv`, and under a name for arguments where it looks like one. What a configuration says of a field stands before
//! all of this. Does not promise to see a program under another name than those below, nor an option inside a word
//! (`["a --force"]`) that a shell would cut off. A secret that stands in either hides both from the record.
//! Held by: `fixtures/http/tools.tsv`, and `tests.rs` for the record.

use super::facts::Role;
use super::search::{self, Named};
use super::walk::Walk;
use crate::json::{self, Node, Value};
use portcullis_model::Mark;

/// Programs and lists of one object that are read together; of more nobody could say which belong together.
const MOST: usize = 4;

/// Names for what is run, without what stands between their words.
const PROGRAMS: [&str; 13] = [
    "bin",
    "binary",
    "binarypath",
    "exe",
    "exec",
    "executable",
    "executablename",
    "executablepath",
    "interpreter",
    "prog",
    "program",
    "programname",
    "programpath",
];
/// Names that say so only beside arguments.
const FILES: [&str; 3] = ["file", "filename", "filepath"];
/// Names for arguments; longer names may end in them.
const ARGUMENTS: [&str; 9] = [
    "arglist",
    "args",
    "argsarray",
    "argslist",
    "argumentlist",
    "arguments",
    "argumentsarray",
    "argumentslist",
    "argv",
];
/// Names that lists of arguments have beside a command.
const OPTIONS: [&str; 6] = ["flags", "options", "opts", "parameters", "params", "switches"];
/// Names of options for how a command is run: where, how long, and what is kept of what it says. An object of these alone
/// has no words for the program.
const SETTINGS: [&str; 37] = [
    "background",
    "captureoutput",
    "cols",
    "columns",
    "cwd",
    "description",
    "detached",
    "encoding",
    "env",
    "environment",
    "explanation",
    "killsignal",
    "maxbuffer",
    "maxoutputlength",
    "maxoutputtokens",
    "pty",
    "reason",
    "retries",
    "rows",
    "runinbackground",
    "shell",
    "signal",
    "silent",
    "stdio",
    "stream",
    "stripfinalnewline",
    "timeout",
    "timeoutms",
    "timeoutsec",
    "timeoutseconds",
    "tty",
    "wait",
    "windowshide",
    "workdir",
    "workingdir",
    "workingdirectory",
    "yieldtimems",
];

/// What is run, as far as it is told.
struct Program<'n> {
    node: &'n Node,
    line: String,
    /// Its name says so, and not only what stands beside it.
    sure: bool,
    /// One word and no more: alone it is nothing that its words do not make clearer.
    bare: bool,
    /// A shell, in a field of that name.
    host: bool,
}

/// What stands beside it.
struct List<'n> {
    node: &'n Node,
    words: Vec<&'n str>,
    /// Its name says that they are arguments.
    sure: bool,
    /// One text.
    line: bool,
    /// Something in it is no word.
    partly: bool,
    /// An object: which words its values are for the program nobody says.
    object: bool,
}

impl Walk {
    /// Reads what of these members belongs together. Gives the places of those that need no reading by themselves.
    pub(super) fn spawned(&mut self, members: &[(String, Node)], role: impl Fn(&str) -> Option<Role>) -> Vec<usize> {
        let lists = members.iter().filter(|(field, _)| role(field).is_none());
        let lists: Vec<List<'_>> = lists.filter_map(|(field, node)| list(field, node)).collect();
        if lists.is_empty() {
            return Vec::new();
        }
        let programs = members.iter().filter_map(|(field, node)| match role(field) {
            None => program(field, node, &lists),
            Some(Role::Shell) => described(node),
            Some(_) => None,
        });
        let mut programs: Vec<Program<'_>> = programs.collect();
        // The shell that runs a command is not the command.
        if programs.iter().any(|program| !program.host) {
            programs.retain(|program| !program.host);
        }
        if programs.len() > MOST || (!programs.is_empty() && lists.len() > MOST) {
            self.marks = self.marks.with(Mark::Dynamic);
        }
        if programs.is_empty() {
            lists.iter().filter(|list| list.sure && !list.line && !list.object).for_each(|list| self.words_alone(list));
            return Vec::new();
        }
        let mut read = Vec::new();
        for program in programs.iter().take(MOST) {
            if self.with_lists(program, lists.get(..MOST).unwrap_or(&lists)) && program.bare {
                read.push(program.node.span.start);
            }
        }
        read
    }

    /// A program with each of its lists, and with all. Whether there were words.
    fn with_lists(&mut self, program: &Program<'_>, lists: &[List<'_>]) -> bool {
        let mut beside = false;
        let mut secret = false;
        let of_it: Vec<&List<'_>> = lists.iter().filter(|list| program.sure || list.sure).collect();
        for list in &of_it {
            if list.partly {
                self.marks = self.marks.with(Mark::Dynamic);
            }
            beside |= list.sure && !list.object && !list.words.is_empty();
            secret |= self.with_words(&program.line, &list.words, list.line);
        }
        if of_it.len() > 1 {
            let all: Vec<&str> = of_it.iter().flat_map(|list| list.words.iter().copied()).collect();
            secret |= self.with_words(&program.line, &all, of_it.iter().any(|list| list.line));
        }
        if secret {
            self.conceal(program.node);
            of_it.iter().for_each(|list| self.conceal(list.node));
        }
        beside
    }

    /// A program and its words. Whether there is a secret in them.
    fn with_words(&mut self, program: &str, words: &[&str], line: bool) -> bool {
        let mut secret = false;
        if !line {
            let quoted = words.iter().map(|word| quote(word));
            let text = std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ");
            secret |= self.line_unshown(&text);
        }
        if line || search::shows_more(words) {
            let text = std::iter::once(program).chain(words.iter().copied()).collect::<Vec<_>>().join(" ");
            secret |= self.line_unshown(&text);
        }
        secret
    }

    /// A list of words without a program beside it.
    fn words_alone(&mut self, list: &List<'_>) {
        // What begins with an option is the rest of a command that stands elsewhere.
        let Some(first) = list.words.first().filter(|first| !first.starts_with('-')) else { return };
        if search::looks_like_shell(&list.words.join(" ")) {
            let (program, words) = (quote(first), list.words.get(1..).unwrap_or_default());
            if self.with_words(&program, words, false) {
                self.conceal(list.node);
            }
        }
    }

    /// A list whose name says that it is a whole command line.
    pub(super) fn argv(&mut self, node: &Node) {
        let words: Vec<&str> = node.elements().iter().filter_map(word).collect();
        if words.len() < node.elements().len() {
            self.marks = self.marks.with(Mark::Dynamic);
        }
        // Beside a program it may be the rest of it.
        if let Some((first, rest)) = words.split_first().filter(|(first, _)| !first.starts_with('-'))
            && self.with_words(&quote(first), rest, false)
        {
            self.conceal(node);
        }
        self.search(node);
    }
}

/// What is run, where this member says it. A file is that only beside what its name says are arguments.
fn program<'n>(field: &str, node: &'n Node, lists: &[List<'_>]) -> Option<Program<'n>> {
    let name = joined(field);
    if is_of(&ARGUMENTS, &name) {
        return None;
    }
    let command = search::named(field) == Named::Shell;
    let sure = command || PROGRAMS.contains(&name.as_str());
    let file = FILES.contains(&name.as_str()) && lists.iter().any(|list| list.sure && !list.line && !list.object);
    if !sure && !file {
        return None;
    }
    let line = match &node.value {
        Value::String(text) if text.trim().is_empty() => return None,
        Value::String(text) => text.clone(),
        Value::Array(parts) if command && !parts.is_empty() => {
            let words: Option<Vec<String>> = parts.iter().map(|part| word(part).map(quote)).collect();
            words?.join(" ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let bare = node.text().is_some_and(|text| !text.contains(|c: char| c.is_whitespace() || ";&|<>`$(){}".contains(c)));
    let host = matches!(name.as_str(), "shell" | "shellpath") && is_shell(&line);
    Some(Program { node, line, sure, bare, host })
}

/// A command line that a row or a configuration calls one: it is read by itself as well.
fn described(node: &Node) -> Option<Program<'_>> {
    let line = node.text().filter(|text| !text.trim().is_empty())?.to_owned();
    Some(Program { node, line, sure: true, bare: false, host: false })
}

/// The words of a member whose name is one for them.
fn list<'n>(field: &str, node: &'n Node) -> Option<List<'n>> {
    let name = joined(field);
    let sure = is_of(&ARGUMENTS, &name) || matches!(name.as_str(), "arg" | "argument");
    match &node.value {
        Value::String(text) if sure && !text.trim().is_empty() => {
            // One that is JSON is a list or an object to some.
            let partly = text.trim_start().starts_with(['{', '[']) && json::read(text.as_bytes()).is_ok();
            Some(List { node, words: vec![text.as_str()], sure, line: true, partly, object: false })
        }
        Value::Number(_) if sure => {
            let words = word(node).into_iter().collect();
            Some(List { node, words, sure, line: false, partly: false, object: false })
        }
        Value::Array(parts) if sure || OPTIONS.contains(&name.as_str()) => {
            let words: Vec<&str> = parts.iter().filter_map(word).collect();
            let partly = parts.iter().any(|part| word(part).is_none() && part.value != Value::Null);
            // Settings in a list are no options of a program.
            (sure || !partly).then_some(List { node, words, sure, line: false, partly, object: false })
        }
        Value::Object(members) if sure || (OPTIONS.contains(&name.as_str()) && has_options(members)) => {
            let mut words = Vec::new();
            values(node, &mut words);
            (!members.is_empty()).then_some(List { node, words, sure, line: false, partly: true, object: true })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether an object of options has others than those of how a command is run.
fn has_options(members: &[(String, Node)]) -> bool {
    members.iter().any(|(name, node)| node.value != Value::Null && !SETTINGS.contains(&joined(name).as_str()))
}

/// The texts and numbers in a value, in their order. What is true or false is a word by its name, if at all.
fn values<'n>(node: &'n Node, words: &mut Vec<&'n str>) {
    match &node.value {
        Value::String(_) | Value::Number(_) => words.extend(word(node)),
        Value::Array(elements) => elements.iter().for_each(|element| values(element, words)),
        Value::Object(members) => members.iter().for_each(|(_, member)| values(member, words)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// An element as whoever makes a text of it does.
pub(super) fn word(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) => Some(text),
        Value::Number(digits) => Some(digits),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A name in small letters, without what stands between its words.
pub(super) fn joined(field: &str) -> String {
    field.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn is_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.ends_with(known))
}

fn is_shell(line: &str) -> bool {
    let name = line.rsplit('/').next().unwrap_or(line);
    matches!(name, "bash" | "sh" | "zsh" | "dash" | "ksh" | "fish" | "cmd" | "cmd.exe" | "pwsh" | "powershell")
}

pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
