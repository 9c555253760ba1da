//! What a client keeps between commands: `$XDG_STATE_HOME/portcullis` (DESIGN 6).
//!
//! Promises: a token is in a file of mode 0600 in a directory of mode 0700, written whole or not at all.
//! Held by: the tests below.

use crate::error::Failure;
use secrecy::{ExposeSecret as _, SecretString};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The directory, made where it is missing.
pub(crate) fn directory() -> Result<PathBuf, Failure> {
    let Some(directory) = named() else {
        return Err(Failure::Usage(
            "set XDG_STATE_HOME or HOME: tokens and the gateway's authority are kept there".to_owned(),
        ));
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    Ok(directory)
}

fn named() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("portcullis"))
}

/// The client's own token: from the environment, or as `portcullis login` kept it.
pub(crate) fn token() -> Option<SecretString> {
    if let Ok(token) = std::env::var("PORTCULLIS_TOKEN") {
        return Some(token.into());
    }
    let text = fs::read_to_string(named()?.join("token")).ok()?;
    Some(text.trim().into())
}

/// Keeps a token for the commands that follow.
pub(crate) fn keep_token(token: &SecretString) -> Result<PathBuf, Failure> {
    keep(&directory()?, token)
}

fn keep(directory: &Path, token: &SecretString) -> Result<PathBuf, Failure> {
    let (file, made) = (directory.join("token"), directory.join(format!("token.{}", std::process::id())));
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
    new.write_all(token.expose_secret().as_bytes())?;
    new.sync_all()?;
    fs::rename(&made, &file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_kept_token_is_its_owners_alone_and_replaces_the_earlier() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["first-and-longer", "second"] {
            let file = keep(directory.path(), &text.into()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
