//! The rows of `data/programs.yaml`: what programs do with their options and operands.
//!
//! A row is data, and the walk only follows it. The notation is described at the top of that file; here it is turned into
//! types once per process. Promises: a row that does not parse is a failing test, and at run time a program without a row,
//! so unknown; every role and effect has a name here and a case where it is applied (`apply.rs`).
//! Held by: the tests below, which read the whole tables, and `fixtures/shell/programs.tsv`.

use portcullis_model::{Mark, Marks};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../data/programs.yaml");
const VARIABLES: &str = include_str!("../data/variables.yaml");

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($variant),+ }

        impl $name {
            fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// What an argument is to its program.
    Role {
        Text = "text", Read = "read", ReadTree = "read-tree", Write = "write", WriteTree = "write-tree", Update = "update",
        UpdateTree = "update-tree", Insert = "insert", Delete = "delete", DeleteTree = "delete-tree", Move = "move", Into = "into", IntoDirectory = "into-directory",
        Directory = "cd", Execute = "exec", Shell = "sh", Argv = "argv", Code = "code", Host = "host", Url = "url",
        User = "user", Setting = "setting", Secret = "secret", Credentials = "credentials", Postgres = "sql-postgres", MySql = "sql-mysql",
        Sqlite = "sql-sqlite", PostgresFile = "file-postgres", RemoteRead = "remote-read", RemoteInto = "remote-into", Archive = "archive",
        GitConfig = "git-config", GitRemote = "git-remote", Refspec = "refspec", Pairs = "pairs",
        MakeTarget = "make-target", SshOption = "ssh-option", Conninfo = "conninfo", Awk = "awk", Sed = "sed", Unknown = "unknown",
        Header = "header", Volume = "volume", MaybeShell = "maybe-sh", Port = "port", Output = "output",
        Repository = "repository", RepositoryUpdate = "repository-update", Here = "here", Checkpoint = "checkpoint", Compress = "compress", CompressKeep = "compress-keep",
        CompressRead = "compress-read", Expand = "expand", ExpandKeep = "expand-keep", Packed = "packed",
        ZipRead = "read-zip", ZipWrite = "write-zip", Pathspec = "pathspec",
        Backup = "backup", Jq = "jq", Page = "page", ShellOption = "shell-option",
        List = "list", ListTree = "list-tree", PsFormat = "ps-format",
        Makefile = "makefile", GoPackage = "go-package", GoSource = "go-source", GoFile = "go-file", GoTree = "go-tree",
        MavenGoal = "mvn-goal", JavaProperty = "java-property", GradleProperty = "gradle-property",
        Harness = "harness", Lint = "lint", Formatted = "formatted", Script = "script",
        Data = "data", UrlEncoded = "url-encoded", Form = "form", Cookie = "cookie", WriteOut = "write-out",
        CurlUpload = "curl-upload", CurlOutput = "curl-output", KubeOutput = "kube-output", ParamFile = "param-file",
    }
}

words! {
    /// What an option does besides its marks.
    Effect {
        Operand = "operand", Alone = "alone", InPlace = "in-place", Removes = "removes", NoDefaults = "no-defaults",
        Directory = "directory", Exact = "exact", Stdin = "stdin", Listing = "listing", NoInto = "no-into", End = "end",
        Deletes = "deletes", Unit = "unit", Follows = "follows", Named = "named", Expands = "expands",
    }
}

words! {
    /// How a program reads its arguments.
    Style {
        Gnu = "gnu", Stop = "stop", Single = "single", Tar = "tar", Apart = "apart", Letter = "letter", Bsd = "bsd",
        None = "none",
    }
}

words! {
    /// A program that is more than its row.
    Behaviour {
        Shell = "shell", Find = "find", Xargs = "xargs", Parallel = "parallel", Dd = "dd", Env = "env", Test = "test",
        Inert = "inert", Git = "git", Opaque = "opaque", Upper = "upper",
    }
}

/// One option.
#[derive(Clone, Debug)]
pub(crate) struct OptionFact {
    pub(crate) names: Vec<String>,
    pub(crate) argument: Argument,
    pub(crate) marks: Marks,
    pub(crate) effects: Vec<Effect>,
    pub(crate) mode: Option<String>,
}

/// Whether an option takes an argument, and what that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    None,
    Required(Role),
    /// Only glued to the option.
    Optional(Role),
}

/// A place among the operands.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// One operand.
    One(Role),
    /// Any number.
    Many(Role),
    /// Always, this text.
    Always(Role, String),
    /// This text, where no operand has the role.
    Default(Role, String),
}

/// Options and operands of a program or a subcommand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) options: Vec<OptionFact>,
    pub(crate) operands: Vec<Slot>,
    pub(crate) modes: BTreeMap<String, Vec<Slot>>,
    pub(crate) marks: Marks,
    /// Its marks stand in the place of the program's, where every word of the call is understood.
    pub(crate) instead: bool,
    /// What standard input is read as, where no operand or option gives the code.
    pub(crate) stdin: Option<Role>,
    /// Options end at the first operand.
    pub(crate) stop: bool,
    /// Shared by programs or subcommands whose options differ: an abbreviation may mean another option of one of them.
    pub(crate) whole: bool,
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) style: Style,
    pub(crate) behaviour: Option<Behaviour>,
    pub(crate) spec: Spec,
    pub(crate) subcommands: BTreeMap<String, Spec>,
    /// Words of a subcommand that has no row of its own are taken for its name, this many.
    pub(crate) words: usize,
    /// Of those, the ones whose other arguments are harmless.
    pub(crate) plain: Vec<String>,
    /// What it runs, runs elsewhere: another host, root or file system.
    pub(crate) foreign: bool,
    #[cfg_attr(not(test), expect(dead_code, reason = "for people, and the ledger test"))]
    pub(crate) source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    programs: String,
    source: String,
    style: Option<String>,
    behaviour: Option<String>,
    options: Option<String>,
    operands: Option<String>,
    modes: Option<BTreeMap<String, String>>,
    marks: Option<String>,
    stdin: Option<String>,
    words: Option<u8>,
    plain: Option<String>,
    foreign: Option<bool>,
    same: Option<bool>,
    subcommands: Option<BTreeMap<String, RawSub>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSub {
    options: Option<String>,
    operands: Option<String>,
    modes: Option<BTreeMap<String, String>>,
    marks: Option<String>,
    instead: Option<String>,
    stdin: Option<String>,
    stop: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRows {
    rows: Vec<RawRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariables {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    source: String,
    harmless: String,
    dangerous: String,
}

impl Row {
    /// The row for calls whose first argument is this option.
    pub(crate) fn by_first_option(&self, first: &str) -> Option<&Spec> {
        self.subcommands.get(first).filter(|_| first.starts_with('-'))
    }

    /// A subcommand's row with the program's own options where it has none of that name.
    pub(crate) fn inherited(&self, spec: &Spec) -> Spec {
        let mut all = spec.clone();
        for option in &self.spec.options {
            let taken = |name: &String| all.options.iter().any(|own| own.names.contains(name));
            if !option.names.iter().any(taken) {
                all.options.push(option.clone());
            }
        }
        all
    }
}

/// Every program's row, by name.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    static ROWS: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| load().unwrap_or_default());
    ROWS.get(name)
}

/// Whether setting this variable changes nothing but presentation.
pub(crate) fn is_harmless_variable(name: &str) -> bool {
    VARIABLE_FACTS.as_ref().is_some_and(|facts| listed(&facts.0, name))
}

/// Whether setting this variable, though its name is in small letters, changes what programs do.
pub(crate) fn is_dangerous_variable(name: &str) -> bool {
    VARIABLE_FACTS.as_ref().is_none_or(|facts| listed(&facts.1, name))
}

static VARIABLE_FACTS: LazyLock<Option<(Vec<String>, Vec<String>)>> = LazyLock::new(|| {
    let raw: RawVariables = marked_yaml::from_yaml(0, VARIABLES).ok()?;
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    Some((list(&raw.harmless), list(&raw.dangerous)))
});

pub(crate) fn listed(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry.strip_suffix('*').map_or(entry == name, |prefix| name.starts_with(prefix)))
}

/// Reads the rows.
///
/// # Errors
/// What is wrong with which row.
pub(crate) fn load() -> Result<BTreeMap<String, Row>, String> {
    let raw: RawRows = marked_yaml::from_yaml(0, SOURCE).map_err(|error| error.to_string())?;
    let mut rows = BTreeMap::new();
    for raw in raw.rows {
        let names = raw.programs.clone();
        let row = raw.finished().map_err(|error| format!("{names}: {error}"))?;
        for name in names.split_whitespace() {
            if rows.insert(name.to_owned(), row.clone()).is_some() {
                return Err(format!("{name} has two rows"));
            }
        }
    }
    Ok(rows)
}

fn word<T>(text: Option<&str>, of: fn(&str) -> Option<T>, what: &str) -> Result<Option<T>, String> {
    text.map(|text| of(text).ok_or_else(|| format!("no {what} `{text}`"))).transpose()
}

impl RawRow {
    fn finished(self) -> Result<Row, String> {
        let sub = RawSub {
            options: self.options,
            operands: self.operands,
            modes: self.modes,
            marks: self.marks,
            instead: None,
            stdin: self.stdin,
            stop: None,
        };
        let mut subcommands = BTreeMap::new();
        for (names, raw) in self.subcommands.unwrap_or_default() {
            let mut spec = raw.finished().map_err(|error| format!("{names}: {error}"))?;
            spec.whole = names.contains(',');
            for name in names.split(',').map(str::trim) {
                if subcommands.insert(name.to_owned(), spec.clone()).is_some() {
                    return Err(format!("{name} stands twice"));
                }
            }
        }
        let mut spec = sub.finished()?;
        spec.whole = self.programs.split_whitespace().nth(1).is_some() && !self.same.unwrap_or(false);
        Ok(Row {
            style: word(self.style.as_deref(), Style::of, "style")?.unwrap_or(Style::Gnu),
            behaviour: word(self.behaviour.as_deref(), Behaviour::of, "behaviour")?,
            spec,
            subcommands,
            words: self.words.unwrap_or(0).into(),
            plain: self.plain.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            foreign: self.foreign.unwrap_or(false),
            source: self.source,
        })
    }
}

impl RawSub {
    fn finished(self) -> Result<Spec, String> {
        let mut modes = BTreeMap::new();
        for (name, text) in self.modes.unwrap_or_default() {
            modes.insert(name, slots(&text)?);
        }
        Ok(Spec {
            options: options(self.options.as_deref().unwrap_or_default())?,
            operands: slots(self.operands.as_deref().unwrap_or_default())?,
            modes,
            marks: marks(self.instead.as_deref().or(self.marks.as_deref()).unwrap_or_default())?,
            instead: self.instead.is_some(),
            stdin: word(self.stdin.as_deref(), Role::of, "role")?,
            stop: self.stop.unwrap_or(false),
            whole: false,
        })
    }
}

fn mark(word: &str) -> Option<Mark> {
    Mark::ALL.iter().copied().find(|mark| mark.word() == word)
}

fn marks(text: &str) -> Result<Marks, String> {
    text.split_whitespace().map(|word| mark(word).ok_or_else(|| format!("no mark `{word}`"))).collect()
}

fn role(word: &str) -> Result<Role, String> {
    Role::of(word).ok_or_else(|| format!("no role `{word}`"))
}

fn slots(text: &str) -> Result<Vec<Slot>, String> {
    text.split_whitespace()
        .map(|slot| {
            if let Some((name, text)) = slot.split_once("?=") {
                return Ok(Slot::Default(role(name)?, text.to_owned()));
            }
            if let Some((name, text)) = slot.split_once('=') {
                return Ok(Slot::Always(role(name)?, text.to_owned()));
            }
            slot.strip_suffix('*').map_or_else(|| role(slot).map(Slot::One), |name| role(name).map(Slot::Many))
        })
        .collect()
}

/// `-r,--recursive:recursive`, `-o,--output=write`, `--color?text`, `-x:mode-x,network`.
fn options(text: &str) -> Result<Vec<OptionFact>, String> {
    text.split_whitespace().map(option).collect()
}

fn option(spec: &str) -> Result<OptionFact, String> {
    let (head, effects) = spec.split_once(':').unwrap_or((spec, ""));
    let (names, argument) = if let Some((names, name)) = head.split_once('=') {
        (names, Argument::Required(role(name)?))
    } else if let Some((names, name)) = head.split_once('?') {
        (names, Argument::Optional(role(name)?))
    } else {
        (head, Argument::None)
    };
    let mut fact = OptionFact {
        names: names.split(',').map(str::to_owned).collect(),
        argument,
        marks: Marks::NONE,
        effects: Vec::new(),
        mode: None,
    };
    for name in effects.split(',').filter(|name| !name.is_empty()) {
        if let Some(mode) = name.strip_prefix("mode-") {
            fact.mode = Some(mode.to_owned());
        } else if let Some(mark) = mark(name) {
            fact.marks = fact.marks.with(mark);
        } else {
            fact.effects.push(Effect::of(name).ok_or_else(|| format!("no effect `{name}` in `{spec}`"))?);
        }
    }
    if fact.names.iter().any(|name| !name.starts_with(['-', '+', '@'])) {
        return Err(format!("`{spec}` is no option"));
    }
    Ok(fact)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger: every row parses, none stands twice, each says where its facts come from.
    #[test]
    fn every_row_parses_and_has_a_source() {
        let rows = load().unwrap_or_else(|error| panic!("{error}"));
        assert!(rows.len() >= 150, "{} programs", rows.len());
        for (name, row) in &rows {
            assert!(row.source.len() > 3, "{name} has no source");
            let mut names: Vec<&String> = row.spec.options.iter().flat_map(|option| &option.names).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{name} has an option twice");
            for (sub, spec) in &row.subcommands {
                let mut names: Vec<&String> = spec.options.iter().flat_map(|option| &option.names).collect();
                let all = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), all, "{name} {sub} has an option twice");
            }
        }
        let variables: RawVariables = marked_yaml::from_yaml(0, VARIABLES).unwrap_or_else(|error| panic!("{error}"));
        assert!(!variables.source.is_empty());
        assert!(VARIABLE_FACTS.is_some());
    }
}
