//! What can go wrong while a test's surroundings are put up. Every message says what was tried, so that a failing test
//! names the missing program or shows the end of the server's log rather than a bare exit status.

use std::path::PathBuf;

/// Why a server, gateway or certificate could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// A program that the machine does not have. The text is a reason to skip, with what would help.
    #[error("absent: {0}")]
    Absent(String),
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A key could not be made, or does not sign.
    #[error("key: {0}")]
    Key(String),
    /// A program ran and failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// Which.
        program: String,
        /// Its exit status, or the signal that ended it.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A gateway wrote warnings or errors that the test did not list.
    #[error("unlisted lines in the gateway's log {log}:\n{}", lines.join("\n"))]
    UnlistedLogLines {
        /// Which log.
        log: PathBuf,
        /// The lines.
        lines: Vec<String>,
    },
    /// A server did not become ready in time.
    #[error("{program} was not ready within {seconds} s; its log ends with:\n{output}")]
    NotReady {
        /// Which.
        program: String,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        output: String,
    },
    /// A peer spoke in a way that the test's own side cannot read.
    #[error("protocol: {0}")]
    Protocol(String),
}

impl TestkitError {
    /// An I/O failure, with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether this is a reason to skip a test, since the machine lacks a program, and not a failure.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Absent(_))
    }
}
