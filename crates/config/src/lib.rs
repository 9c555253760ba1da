//! The configuration file (DESIGN 4): text to [`Config`], or every problem in it at once.
//!
//! Promises: nothing is guessed and nothing falls back: an unknown key, a value of the wrong kind, a range that is left or
//! a secret written into the file refuses it, with file, line, column, the offending line and what to write instead. All
//! problems of a file that is YAML at all are told together. No text of a secret is in a [`Config`] (references only), nor
//! in any problem: lines that may hold one are cut before they are shown. What a later version will read and this one does
//! not (SAML) is refused as "not yet", not ignored. Relative paths are relative to the file.
//!
//! Does not promise: that a backend answers, that a certificate is good or that a policy loads; `portcullis check` builds
//! everything for that. Held by: `tests.rs`, which reads every file of `fixtures/config/` and compares the problems with
//! those written beside it, and the tests of each module.

mod connections;
mod document;
mod email;
mod fuzz;
mod http;
mod notifications;
mod oidc;
mod policies;
mod public_keys;
mod read;
mod redact;
mod schema;
mod sections;
mod settings;
mod ssh;
mod values;
mod vault;

#[cfg(test)]
mod tests;

pub use email::{Email, MailSecurity};
pub use fuzz::fuzz_document;
pub use notifications::{Notifier, NotifierWay};
pub use policies::PolicyGlob;
pub use schema::JSON_SCHEMA;
pub use settings::{
    Address, Api, Audit, BackendTls, ClientAuth, Config, Connection, Durability, Header, Http, Limits, Listen,
    MediaRange, OidcIssuer, Password, PlainSource, Postgres, Results, Roles, SecretSource, SessionRole, Ssh,
    SshIdentity, SshLogin, SshUserKey, Store, Tls, ToolField, Upstream,
};
pub use values::parse_duration;
pub use vault::{VaultKey, VaultLogin, VaultServer, Vaults};

use portcullis_model::{Problem, Severity};
use std::path::Path;

/// Bytes of a configuration file at most.
const LARGEST: u64 = 1024 * 1024;

/// A configuration, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What probably is not meant so.
    pub warnings: Vec<Problem>,
}

/// Reads the file and the public keys that it names, and checks that the other files and the variables are there.
///
/// # Errors
/// Every problem, in the order of the file.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let cannot = |why: String| vec![Problem::error("", format!("cannot read {}: {why}", path.display()))];
    // Absolute, so that what is read from it later does not depend on the working directory then.
    let file = std::path::absolute(path).map_err(|error| cannot(error.to_string()))?;
    let metadata = std::fs::metadata(&file).map_err(|error| cannot(error.to_string()))?;
    if !metadata.is_file() {
        return Err(cannot("it is not a plain file".to_owned()));
    }
    if metadata.len() > LARGEST {
        return Err(cannot("it is larger than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| cannot(error.to_string()))?;
    finish(read::config(&text, path, &file, true))
}

/// Reads this text as the configuration file at `path`, which need not exist; nothing outside the text is looked at.
///
/// # Errors
/// Every problem, in the order of the text.
pub fn parse(text: &str, path: &Path) -> Result<Loaded, Vec<Problem>> {
    finish(read::config(text, path, path, false))
}

fn finish((config, mut problems): (Option<Config>, Vec<Problem>)) -> Result<Loaded, Vec<Problem>> {
    problems.sort_by(|one, other| one.location.cmp(&other.location));
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    match config {
        Some(config) if !refused => Ok(Loaded { config, warnings: problems }),
        Some(_) => Err(problems),
        None if refused => Err(problems),
        // No value without a problem that says why: a reader that forgot to say so must not start a gateway.
        None => Err(vec![Problem::error("", "the configuration could not be read")]),
    }
}
