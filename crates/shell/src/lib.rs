//! A shell command line to operations.
//!
//! [`read`] turns a Bash or POSIX command line into a [`Reading`]: every program it would run, and what those programs
//! would do to files, tables, hosts and settings, read through wrappers (`sudo`, `sh -c`, `find -exec`, `ssh`), quoting,
//! expansions and redirections. What programs do is data (`data/programs.yaml`); SQL in arguments is read by
//! `portcullis-sql`.
//!
//! Promises: a reading has at least one operation; what is not known is `dynamic` or `unknown`, never left out; caps
//! before parsing, a bounded number of steps, and deep text never ends the process; a text that programs could split
//! differently is refused. Does not promise to follow links or to expand globs: the protocol asks the target
//! ([`Reading::globs`]) and reads again with the answers in the [`Scope`].
//! Held by: `fixtures/shell/*.tsv`, the ledger of programs, and the properties and the agreement with bash in `tests/it`.

mod apply;
mod args;
mod builtins;
mod caps;
mod command;
mod complete;
mod expand;
mod facts;
mod files;
mod find;
mod interpret;
mod loops;
mod param;
mod path;
mod pieces;
mod posix;
mod reach;
mod reading;
mod redirect;
mod remote;
mod script;
mod secrets;
mod state;
mod variables;
mod walk;
mod wrappers;

pub use complete::Completeness;
pub use reading::{Glob, Left, Limits, Reading, Scope, Simple};
pub use variables::is_charset_safe;

/// Reads a command line. Synchronous; takes a large stack for itself.
#[must_use]
pub fn read(text: &str, scope: &Scope, limits: &Limits) -> Reading {
    stacker::grow(STACK_BYTES, || walk::read(text, scope, limits))
}

/// Whether a text is whole, or more lines have to follow before it can be read. Takes a large stack for itself.
#[must_use]
pub fn completeness(text: &str, limits: &Limits) -> Completeness {
    stacker::grow(STACK_BYTES, || complete::completeness(text, limits))
}

/// Whether the name is that of a program whose arguments are known.
#[must_use]
pub fn knows(program: &str) -> bool {
    facts::row(program).is_some()
}

/// The stack that parsing and walking take: a tree is as deep as its text is nested.
const STACK_BYTES: usize = 32 << 20;

/// Fuzzing entry: any bytes, read in a scope that knows nothing; must neither panic nor give no operation.
pub fn fuzz_read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let reading = read(&text, &Scope::unknown(), &Limits::default());
    assert!(!reading.operations.is_empty(), "a reading without operation");
    assert!(
        reading.secrets.iter().all(|range| text.get(range.clone()).is_some()),
        "a secret that does not lie in the text"
    );
}
