//! What a client keeps between commands: `$XDG_STATE_HOME/portcullis` (DESIGN 6).
//!
//! Promises: a token is in a file of mode 0600 in a directory of mode 0700, written whole or not at all, and is shown only to
//! the gateway that accepted it.
//! Held by: the tests below.

use crate::error::Failure;
use secrecy::{ExposeSecret as _, SecretString};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The directory, made where it is missing.
pub(crate) fn directory() -> Result<PathBuf, Failure> {
    let Some(directory) = named() else {
        return Err(Failure::Usage(
            "set XDG_STATE_HOME or HOME: tokens and the gateway's authority are kept there".to_owned(),
        ));
    };
    made(&directory)?;
    Ok(directory)
}

/// One that was there before may be open to others.
fn made(directory: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?)
}

fn named() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("portcullis"))
}

/// The client's own token: from the environment, or as `portcullis login` kept it for this gateway.
pub(crate) fn token(gateway: Option<&str>) -> Option<SecretString> {
    if let Ok(token) = std::env::var("PORTCULLIS_TOKEN") {
        return Some(token.into());
    }
    let text = fs::read_to_string(named()?.join(file_for(gateway?))).ok()?;
    Some(text.trim().into())
}

/// Keeps a token for the commands that follow and name the same gateway.
pub(crate) fn keep_token(gateway: &str, token: &SecretString) -> Result<PathBuf, Failure> {
    keep(&directory()?, gateway, token)
}

/// `token-HOST:PORT`, with everything else than letters, digits and `.:-` in hexadecimal.
fn file_for(gateway: &str) -> String {
    let mut name = "token-".to_owned();
    for byte in gateway.to_ascii_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b':' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    name
}

fn keep(directory: &Path, gateway: &str, token: &SecretString) -> Result<PathBuf, Failure> {
    let file = directory.join(file_for(gateway));
    write_private(&file, token)?;
    Ok(file)
}

/// Writes a secret to a file of mode 0600, whole or not at all, in the place of what was there.
pub(crate) fn write_private(file: &Path, secret: &SecretString) -> Result<(), Failure> {
    let refused = |error: std::io::Error| Failure::refused(&file.display().to_string(), error);
    let Some(name) = file.file_name() else {
        return Err(Failure::Usage(format!("{} is not the name of a file", file.display())));
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let beside = file.with_file_name(format!(".{}.{}.{since}.new", name.display(), std::process::id()));
    // New, or nothing: whoever may write to the directory cannot have it written to a file of theirs.
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(refused)?;
    let written = new.write_all(secret.expose_secret().as_bytes()).and_then(|()| new.sync_all());
    let done = written.and_then(|()| fs::rename(&beside, file));
    if done.is_err() {
        let _left = fs::remove_file(&beside);
    }
    done.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_token_is_its_owners_alone_and_replaces_the_earlier() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("portcullis");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        made(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for text in ["first-and-longer", "second"] {
            let file = keep(&directory, "gw:6444", &text.into()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_secrets_file_replaces_what_was_there_whatever_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (place.path().join("token"), place.path().join("elsewhere"));
        fs::write(&elsewhere, "kept").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        write_private(&file, &"secret".into()).unwrap();
        assert_eq!(
            (fs::read_to_string(&file).unwrap(), fs::read_to_string(&elsewhere).unwrap()),
            ("secret".into(), "kept".into())
        );
        assert_eq!(fs::symlink_metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for bad in [place.path().join("no/such"), place.path().join("..")] {
            assert!(write_private(&bad, &"secret".into()).is_err(), "{}", bad.display());
        }
        assert!(write_private(place.path(), &"secret".into()).is_err());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn each_gateway_has_a_file_of_its_own() {
        assert_eq!(file_for("GW.example:6444"), "token-gw.example:6444");
        assert_eq!(file_for("[::1]:6444"), "token-%5b::1%5d:6444");
        assert_eq!(file_for("../x"), "token-..%2fx");
    }
}
