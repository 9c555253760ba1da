//! The patterns of policy files, and what they match.
//!
//! Promises: a pattern that matches no file is a problem, so a misspelt directory never means "no rules"; what cannot be
//! looked at is a problem too; the directory of the configuration is taken literally whatever characters it has.
//! Held by: the tests in `tests.rs`.

use crate::document::Value;
use portcullis_model::Problem;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One entry of `policies`.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyGlob {
    /// As written.
    pub pattern: Arc<str>,
    /// With the configuration's directory before it, escaped.
    resolved: String,
    /// The problem to report should it match nothing: it knows its place in the file.
    empty: Problem,
}

/// Reads `policies`.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<PolicyGlob>> {
    let items = value.list()?;
    if items.is_empty() {
        value.problem_with("no policy: nothing would be allowed", "write [policies/*.yaml]");
        return None;
    }
    // Every item is read before any is missed, so that all problems are told.
    let globs: Vec<_> = items.iter().map(one).collect();
    globs.into_iter().collect()
}

fn one(item: &Value<'_>) -> Option<PolicyGlob> {
    let text = item.text()?;
    let base = item.document().base();
    let resolved = resolve(base, text);
    if let Err(error) = glob::Pattern::new(&resolved) {
        item.problem(format!("`{text}` is not a pattern of files: {}", error.msg));
        return None;
    }
    let empty = item
        .located(Problem::error(item.path(), format!("`{text}` matches no file")))
        .suggest(format!("it is looked for from {}", shown(base)));
    Some(PolicyGlob { pattern: text.into(), resolved, empty })
}

fn resolve(base: &Path, pattern: &str) -> String {
    if pattern.starts_with('/') || base.as_os_str().is_empty() {
        return pattern.to_owned();
    }
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    format!("{}/{pattern}", glob::Pattern::escape(&base.to_string_lossy()))
}

fn shown(base: &Path) -> String {
    if base.as_os_str().is_empty() { "the working directory".to_owned() } else { base.display().to_string() }
}

/// The files that the patterns match, sorted, each once.
pub(crate) fn files(globs: &[PolicyGlob]) -> Result<Vec<PathBuf>, Vec<Problem>> {
    let mut files = BTreeSet::new();
    let mut problems = Vec::new();
    for one in globs {
        let before = problems.len();
        let mut matched = false;
        match glob::glob(&one.resolved) {
            Err(error) => problems.push(one.failed(error.msg)),
            Ok(paths) => {
                for path in paths {
                    match path {
                        Ok(path) if path.is_dir() => {}
                        Ok(path) => {
                            matched = true;
                            files.insert(path);
                        }
                        Err(error) => problems.push(one.failed(&error.to_string())),
                    }
                }
            }
        }
        if !matched && problems.len() == before {
            problems.push(one.empty.clone());
        }
    }
    if problems.is_empty() { Ok(files.into_iter().collect()) } else { Err(problems) }
}

impl PolicyGlob {
    fn failed(&self, why: &str) -> Problem {
        Problem { message: format!("`{}` cannot be followed: {why}", self.pattern).into(), ..self.empty.clone() }
    }
}
