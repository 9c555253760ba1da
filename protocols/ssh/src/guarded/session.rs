//! What one command of a guarded session leaves to the next: the directory, variables, the status. Nothing else.
//!
//! The gateway holds these and tells the target all of them with every line, so a line runs in exactly the state that it was
//! judged in. After a line they are taken from its trailer, with bounds: only variables that the judged text may
//! set; one that programs or the shell look at (`PATH`, `LD_PRELOAD`, any in capitals that is not known to be harmless)
//! only with the value that the reader knows; exported only where the text says so. A trailer that a program forged thus
//! chooses nothing but where the next line starts and what the line's own small variables hold, and both are read.
//! Promises: the scope of a line and its exec text come from the same values. Functions, aliases, options, traps, umask,
//! the directory stack and background jobs of a terminal end with their line; so does what an array held. A line with
//! `exec` leaves nothing. Nothing of it is in a `Debug`: variables hold secrets.
//! Held by: `guarded/session/tests.rs`, which run bash and sh.

use super::script::{Script, VALUE};
use super::shown;
use super::trailer::{After, Ended, Told};
use crate::pagers::PAGERS;
use portcullis_shell::{Completeness, Left, Limits, Reading, Scope, completeness};
use std::collections::BTreeMap;

/// Variables that one line can leave.
const LEFT: usize = 32;

/// Variables of a session.
const VARIABLES: usize = 128;

/// Their values, quoted.
const VALUES: usize = 48 << 10;

/// Bytes of a directory's path.
const PATH: usize = 4 << 10;

/// Names that bash fills or does not let be set.
const OWN: [&str; 20] = [
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "LINENO",
    "OLDPWD",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SRANDOM",
    "UID",
];

/// Builtins that change what does not outlive a line.
const SHORT_LIVED: [&str; 12] =
    ["alias", "bind", "dirs", "enable", "hash", "popd", "pushd", "set", "shopt", "trap", "ulimit", "umask"];

/// What a trailer is known by; new for every line, and not to be guessed.
pub(crate) struct Nonce(String);

impl Nonce {
    pub(crate) fn new(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a line's channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// `exit-status`.
    Status(u32),
    /// `exit-signal`, with its name.
    Signal(String),
    /// Neither: the connection was lost, or the channel closed.
    Lost,
}

/// Why a line cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unframed {
    #[error("the command is not complete")]
    Incomplete,
    #[error("the command and the variables of the session are longer than a target takes")]
    TooLong,
}

/// What became of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The line said `exit`, and its shell left.
    pub(crate) ended: bool,
    /// What the user should know; one line each.
    pub(crate) notices: Vec<String>,
}

#[derive(Clone)]
struct Variable {
    value: String,
    exported: bool,
}

/// The session.
pub(crate) struct Session {
    user: String,
    connection: String,
    home: String,
    directory: String,
    previous: Option<String>,
    variables: BTreeMap<String, Variable>,
    status: u8,
}

impl Session {
    /// A session that starts in `home`, which is the home of the target login as `pwd -P` shows it.
    pub(crate) fn new(user: &str, connection: &str, home: &str) -> Self {
        Self {
            user: user.to_owned(),
            connection: connection.to_owned(),
            home: home.to_owned(),
            directory: home.to_owned(),
            previous: None,
            variables: BTreeMap::new(),
            status: 0,
        }
    }

    /// A variable that the client may set, and asked for; it is exported.
    pub(crate) fn given(&mut self, name: &str, value: &str) {
        if is_kept(name) && value.len() <= VALUE && !value.contains('\0') {
            self.put(name, value, true);
        }
    }

    pub(crate) const fn status(&self) -> u8 {
        self.status
    }

    pub(crate) const fn set_status(&mut self, status: u8) {
        self.status = status;
    }

    /// Absolute, without links, and the one that the next line runs in.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// `user@connection:~/directory$ `.
    pub(crate) fn prompt(&self) -> String {
        let place = match self.directory.strip_prefix(self.home.as_str()) {
            Some("") => "~".to_owned(),
            Some(rest) if rest.starts_with('/') && self.home != "/" => format!("~{rest}"),
            Some(_) | None => self.directory.clone(),
        };
        shown::shown(&format!("{}@{}:{place}$ ", self.user, self.connection))
    }

    /// What names mean in the next line.
    pub(crate) fn scope(&self) -> Scope {
        let mut scope = Scope::at_home(&self.user, &self.home);
        scope.directory = Some(self.directory.clone());
        scope.session = true;
        scope.variables = self.told().into_iter().map(|(name, value, _)| (name.to_owned(), value.to_owned())).collect();
        if let Some(previous) = &self.previous {
            scope.variables.insert("OLDPWD".to_owned(), previous.clone());
        }
        scope
    }

    /// The variables that the next line has.
    fn told(&self) -> Vec<(&str, &str, bool)> {
        let pagers = PAGERS.iter().filter(|(name, _)| !self.variables.contains_key(*name));
        let own = self.variables.iter().map(|(name, held)| (name.as_str(), held.value.as_str(), held.exported));
        pagers.map(|(name, value)| (*name, *value, true)).chain(own).collect()
    }

    /// The exec text that runs a line, as read in [`Session::scope`].
    pub(crate) fn frame(&self, line: &str, reading: &Reading, nonce: &Nonce) -> Result<Vec<u8>, Unframed> {
        // Bash takes an open here-document and a last backslash as they come, and reads on.
        if completeness(line, &Limits::default()) != Completeness::Complete {
            return Err(Unframed::Incomplete);
        }
        let names = reading.leaves.iter().take(LEFT).map(|left| left.name.as_str());
        let asked: Vec<_> = names.filter(|name| is_kept(name)).collect();
        Script {
            line,
            directory: &self.directory,
            previous: self.previous.as_deref(),
            home: &self.home,
            status: self.status,
            variables: &self.told(),
            // `exec` may point the output elsewhere, where a trailer would be written.
            asked: (!says(reading, &["exec"])).then_some(&asked),
            nonce: nonce.as_str(),
        }
        .text()
        .ok_or(Unframed::TooLong)
    }

    /// The line was not run.
    pub(crate) const fn refused(&mut self) {
        self.status = 126;
    }

    /// The line has ended.
    pub(crate) fn settle(&mut self, reading: &Reading, after: Option<After>, exit: &Exit) -> Settled {
        let early = after.as_ref().is_some_and(|after| after.ended == Ended::Early);
        self.status = match exit {
            Exit::Status(status) => u8::try_from(*status).unwrap_or(u8::MAX),
            Exit::Signal(name) => 128 + number(name),
            Exit::Lost => after.as_ref().map_or(u8::MAX, |after| after.status),
        };
        let mut notices = Vec::new();
        if let Some(after) = after {
            if after.ended == Ended::NoDirectory && *exit == Exit::Status(1) {
                self.go_home(&mut notices);
            } else {
                self.apply(reading, after, &mut notices);
            }
        }
        notices.extend(short_lived(reading));
        let ended = early && matches!(exit, Exit::Status(_)) && says(reading, &["exit", "logout"]);
        Settled { ended, notices }
    }

    fn go_home(&mut self, notices: &mut Vec<String>) {
        let next = if self.directory == self.home { "/" } else { self.home.as_str() }.to_owned();
        let gone = std::mem::replace(&mut self.directory, next);
        self.previous = None;
        self.status = 1;
        notices.push(format!(
            "{} is not there any more, or is now a link: nothing was run, and the directory is {}",
            shown::shown(&gone),
            shown::shown(&self.directory)
        ));
    }

    fn apply(&mut self, reading: &Reading, after: After, notices: &mut Vec<String>) {
        match after.directory.filter(|path| is_canonical(path)) {
            Some(directory) => self.directory = directory,
            None => notices.push("the directory is one that cannot be kept: it is the one before".to_owned()),
        }
        let mut told: BTreeMap<String, Told> = after.variables.into_iter().collect();
        self.previous = after.previous.filter(|path| is_canonical(path));
        let mut lost = Vec::new();
        for (index, left) in reading.leaves.iter().enumerate() {
            let value = told.remove(&left.name).unwrap_or(Told::Unset);
            if !is_kept(&left.name) || index >= LEFT {
                lost.push(left.name.as_str());
            } else if !self.leave(left, value) {
                self.variables.remove(&left.name);
                lost.push(left.name.as_str());
            }
        }
        if !lost.is_empty() {
            notices.push(format!(
                "not kept for the next line: {} (an array, too long, bash's own, or not known before it ran)",
                lost.join(", ")
            ));
        }
    }

    /// Whether what the line left in a variable could be kept.
    fn leave(&mut self, left: &Left, told: Told) -> bool {
        let value = match told {
            Told::Unset => {
                self.variables.remove(&left.name);
                return true;
            }
            Told::Other => return false,
            Told::Value(value) => value,
        };
        // What changes how programs run is believed of the judged text alone.
        if left.configures && left.value.as_ref() != Some(&value) || value.len() > VALUE {
            return false;
        }
        let before = self.told().into_iter().any(|(name, _, exported)| name == left.name && exported);
        let exported = left.exported || before;
        self.put(&left.name, &value, exported)
    }

    fn put(&mut self, name: &str, value: &str, exported: bool) -> bool {
        let quoted = |value: &str| value.len() + 3 * value.matches('\'').count() + 3;
        let others = self.variables.iter().filter(|(other, _)| other.as_str() != name);
        let (count, bytes) = others.fold((0, 0), |(count, bytes), (_, held)| (count + 1, bytes + quoted(&held.value)));
        if count >= VARIABLES || bytes + quoted(value) > VALUES {
            return false;
        }
        self.variables.insert(name.to_owned(), Variable { value: value.to_owned(), exported });
        true
    }
}

/// What the text changed that ends with it.
fn short_lived(reading: &Reading) -> Option<String> {
    let mut said: Vec<&str> = reading
        .commands
        .iter()
        .filter(|command| command.depth == 0)
        .filter_map(|command| command.program.as_deref())
        .filter(|program| SHORT_LIVED.contains(program))
        .collect();
    said.dedup();
    (!said.is_empty()).then(|| format!("what {} changed held for this line only", said.join(", ")))
}

/// Whether a command of the text has one of these names.
fn says(reading: &Reading, names: &[&str]) -> bool {
    reading.commands.iter().any(|command| command.program.as_deref().is_some_and(|program| names.contains(&program)))
}

/// Whether a variable of this name is carried from line to line.
fn is_kept(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name != "_"
        && !name.starts_with("BASH")
        && !name.starts_with("COMP_")
        && !OWN.contains(&name)
}

/// Whether a path is as `pwd -P` gives one.
fn is_canonical(path: &str) -> bool {
    path.len() <= PATH
        && !path.contains('\0')
        && (path == "/"
            || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | ".."))))
}

/// The number of a signal of RFC 4254 §6.10, as Linux counts them.
fn number(signal: &str) -> u8 {
    match signal {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
