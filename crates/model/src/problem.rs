//! A problem in a file that a person wrote, told as a compiler would tell it.

use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// A place in a file; line and column count from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file as it was named.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Whether a problem refuses the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// It loads, but probably does not do what was meant.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it refuses the file.
    pub severity: Severity,
    /// Where; `None` where it is about the whole.
    pub location: Option<Location>,
    /// The key path, as in `rules[2].allow.actions`.
    pub path: Arc<str>,
    /// What is wrong.
    pub message: Arc<str>,
    /// The offending line of the file, without its line end.
    pub excerpt: Option<Arc<str>>,
    /// What to write instead.
    pub suggestion: Option<Arc<str>>,
}

impl Problem {
    /// An error at a path; location, excerpt and suggestion are added by whoever knows them.
    #[must_use]
    pub fn error(path: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Self {
        Self {
            severity: Severity::Error,
            location: None,
            path: path.into(),
            message: message.into(),
            excerpt: None,
            suggestion: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(path: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// The same at this place of this text; the excerpt is cut from it.
    #[must_use]
    pub fn at(mut self, file: &str, text: &str, line: usize, column: usize) -> Self {
        self.excerpt = line.checked_sub(1).and_then(|nth| text.lines().nth(nth)).map(Into::into);
        self.location = Some(Location { file: file.into(), line, column });
        self
    }

    /// The same with a suggestion.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<Arc<str>>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// A text with its control characters escaped, so that what a file holds cannot steer the terminal that shows a problem
/// with it, nor look like a line of ours.
struct Plainly<'a>(&'a str);

impl fmt::Display for Plainly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steers = |c: char| c.is_control() && c != '\t';
        let mut rest = self.0;
        while let Some((before, c)) =
            rest.find(steers).and_then(|at| Some((rest.get(..at)?, rest.get(at..)?.chars().next()?)))
        {
            write!(f, "{before}{}", c.escape_default())?;
            rest = rest.get(before.len() + c.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{word}: {}", Plainly(&self.message))?;
        if !self.path.is_empty() {
            write!(f, " (at {})", Plainly(&self.path))?;
        }
        if let Some(Location { file, line, column }) = &self.location {
            write!(f, "\n  --> {}:{line}:{column}", Plainly(file))?;
            if let Some(excerpt) = &self.excerpt {
                let number = line.to_string();
                let gutter = " ".repeat(number.len());
                let caret = " ".repeat(column.saturating_sub(1));
                write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {caret}^", Plainly(excerpt))?;
            }
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  = help: {}", Plainly(suggestion))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_like_a_compiler() {
        let text = "bundle: x\nrules:\n  - alow: {}\n";
        let problem =
            Problem::error("rules[0]", "unknown key `alow`").at("p.yaml", text, 3, 5).suggest("did you mean `allow`?");
        let expected = "error: unknown key `alow` (at rules[0])\n  --> p.yaml:3:5\n  |\n3 |   - alow: {}\n  |     ^\n  = help: did you mean `allow`?";
        assert_eq!(problem.to_string(), expected);
    }

    #[test]
    fn nothing_in_a_problem_steers_a_terminal() {
        let text = "a\u{1b}[2Jb\tc\u{9b}";
        let problem = Problem::error(text, text).at(text, text, 1, 1).suggest("x\ny");
        let shown = problem.to_string();
        assert!(!shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{shown:?}");
        assert!(
            shown.contains(r"a\u{1b}[2Jb") && shown.contains(r"c\u{9b}") && shown.ends_with(r"help: x\ny"),
            "{shown}"
        );
    }
}
