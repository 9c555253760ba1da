//! What reading a command line gives, and what names mean while it is read.
//!
//! Promises: `operations` is never empty, and a faulty text has `unknown` alone; `secrets` are byte ranges of the text on
//! character borders; plain data throughout. A [`Scope`] that knows less makes a reading say `?` or `dynamic`, never a
//! guess. Does not promise that a glob was expanded: [`Reading::globs`] names those that were not.
//! Held by: `tests/it/properties.rs`, `tests/it/scopes.rs`.

use portcullis_model::{Command, Digest, Fault, Operation, Source, Text};
use std::collections::BTreeMap;
use std::ops::Range;

/// How much text a reader accepts. What is beyond a limit is a fault, before anything was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of one text. 8 KiB.
    pub command_bytes: usize,
    /// Bytes of a text without any substitution or `${`, and with few operators. 128 KiB.
    pub plain_bytes: usize,
    /// Operators and newlines of such a text. 256.
    pub operators: usize,
    /// Substitutions of one text. 20.
    pub substitutions: usize,
    /// Open brackets at once, and compound commands. 64.
    pub nesting: usize,
    /// Texts inside texts (`sh -c "sh -c …"`). 12.
    pub texts: usize,
    /// Commands walked, each as often as it is met. 4,000.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_bytes: 8 << 10,
            plain_bytes: 128 << 10,
            operators: 256,
            substitutions: 20,
            nesting: 64,
            texts: 12,
            steps: 4_000,
        }
    }
}

/// What names mean at the moment a text is read.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The current directory, absolute or `~…`; `None` where it is not known.
    pub directory: Option<String>,
    /// The target login's home; `None` leaves `~` as it is.
    pub home: Option<String>,
    /// The target login.
    pub user: Option<String>,
    /// Variables whose values are known: what the client set for the session.
    pub variables: BTreeMap<String, String>,
    /// The text is a line of a session that goes on. Whoever runs it carries over the directory and the variables of
    /// [`Reading::leaves`], and says them in the next line's scope; nothing else of a shell outlives a line. A function
    /// is then read where it is defined, too.
    pub session: bool,
    /// What the target expanded globs to; an empty list for one that matches nothing.
    pub expansions: BTreeMap<Glob, Vec<String>>,
    /// For SQL inside arguments.
    pub sql: portcullis_sql::Scope,
}

impl Scope {
    /// Knows nothing.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            directory: None,
            home: None,
            user: None,
            variables: BTreeMap::new(),
            session: false,
            expansions: BTreeMap::new(),
            sql: portcullis_sql::Scope::unknown(),
        }
    }

    /// A login whose command starts in its home, as SSH does it.
    #[must_use]
    pub fn at_home(user: &str, home: &str) -> Self {
        Self {
            directory: Some(home.to_owned()),
            home: Some(home.to_owned()),
            user: Some(user.to_owned()),
            ..Self::unknown()
        }
    }
}

/// A pattern for the target to expand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    /// Where; `None` for a pattern that is absolute or starts with `~`.
    pub directory: Option<String>,
    /// The shell's pattern, literal characters behind a backslash where they would be special.
    pub pattern: String,
}

/// One command of the text, for people. Arguments are left out: they may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simple {
    /// Its program; `None` where it is not known.
    pub program: Option<String>,
    /// How many texts and wrappers it stands in.
    pub depth: usize,
    /// How many arguments it has, as far as is known.
    pub arguments: usize,
}

/// A command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it would do; never empty.
    pub operations: Vec<Operation>,
    /// Set where the text must not be forwarded whatever a rule says.
    pub fault: Option<Fault>,
    /// Byte ranges of the text that hold a secret.
    pub secrets: Vec<Range<usize>>,
    /// Patterns that the target has to expand before the text can be judged closely.
    pub globs: Vec<Glob>,
    /// Paths with a step up in them, absolute or below `~` but not normalised. The operations name them as their letters
    /// say; where a part before the step is a link, the target goes elsewhere, so these are to be resolved there.
    pub climbs: Vec<String>,
    /// Directories, as the operations name them, of whose trees the names alone are read, as `ls -R` does it: nothing
    /// below is opened but directories, and no link is followed.
    pub listed: Vec<String>,
    /// A program of it takes code from the channel's standard input.
    pub reads_stdin_as_code: bool,
    /// The commands in it, in the order they were met.
    pub commands: Vec<Simple>,
    /// The variables that the text may set or unset in its own shell, by name; more may be listed than it does.
    pub leaves: Vec<Left>,
}

/// A variable that a text may leave behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// What it holds behind the text, where that is one value on every path.
    pub value: Option<String>,
    /// The text exports it.
    pub exported: bool,
    /// Programs or the shell look at it: setting it is an operation of its own.
    pub configures: bool,
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, value, exported, configures } = self;
        f.debug_struct("Left")
            .field("name", name)
            .field("known", &value.is_some())
            .field("exported", exported)
            .field("configures", configures)
            .finish()
    }
}

impl Reading {
    /// A text that must not be forwarded.
    #[must_use]
    pub fn faulty(fault: Fault) -> Self {
        Self {
            operations: vec![Operation::unknown()],
            fault: Some(fault),
            secrets: Vec::new(),
            globs: Vec::new(),
            climbs: Vec::new(),
            listed: Vec::new(),
            reads_stdin_as_code: false,
            commands: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// The command that the gate is asked about.
    #[must_use]
    pub fn command(&self, text: &str, digest: Digest) -> Command {
        let recorded = Text::redacted(text, &self.secrets);
        match &self.fault {
            Some(fault) => Command::faulty(Source::Shell, recorded, fault.clone(), digest),
            None => Command::new(Source::Shell, recorded, self.operations.clone(), digest).writing(true),
        }
    }
}
