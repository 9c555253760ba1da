//! How a command fails, and with which exit code (DESIGN 6).

use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// The gateway or a file said no.
    #[error("{0}")]
    Refused(String),
    /// The words of the command do not fit together.
    #[error("{0}")]
    Usage(String),
    /// No gateway answers.
    #[error("the gateway cannot be reached: {0}")]
    Unreachable(String),
    /// Whoever reads the output has enough of it.
    #[error("the output is not read to its end")]
    EnoughRead,
}

impl Failure {
    /// The exit code that DESIGN 6 gives it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Unreachable(_) => ExitCode::from(3),
            Self::EnoughRead => ExitCode::SUCCESS,
        }
    }

    /// What could not be written for whoever reads the output: `| head` closes its pipe, and that is no failure.
    pub(crate) fn of_output(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::EnoughRead } else { error.into() }
    }

    /// A refusal with this cause.
    pub(crate) fn refused(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Refused(format!("{what}: {why}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::refused("the answer could not be read", error)
    }
}

/// Prints problems as a compiler would, and says how many refuse the file.
pub(crate) fn print_problems(problems: &[portcullis_model::Problem]) -> usize {
    for problem in problems {
        eprintln!("{problem}\n");
    }
    problems.iter().filter(|problem| problem.severity == portcullis_model::Severity::Error).count()
}
