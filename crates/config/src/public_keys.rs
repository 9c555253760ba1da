//! Public SSH keys, written out or in files of their own.
//!
//! Promises: a key is one that the gateway accepts (Ed25519 or ECDSA, in a security key or not; RSA and DSA never), given
//! once among those it stands with; a private key that was pasted or named by mistake is refused and not shown; a file is
//! read whole or not at all, and a problem in it names its line. Where nothing outside the text may be looked at, a file
//! gives no keys. Held by: the golden files, and the tests below.

use crate::document::Value;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes of one key at most; a larger one is not of an accepted kind.
const LONGEST_KEY: usize = 4 * 1024;

/// Bytes of a file of keys at most.
const LARGEST_FILE: u64 = 256 * 1024;

/// Why a text is not a key that is accepted, and what to write instead.
type Wrong = (&'static str, &'static str);

/// Keys that must differ from each other, each with where it was given first.
#[derive(Default)]
pub(crate) struct Distinct(HashMap<KeyData, Arc<str>>);

impl Distinct {
    /// The key that is written out here; `None` with a problem.
    pub(crate) fn written(&mut self, value: &Value<'_>) -> Option<PublicKey> {
        let text = value.text()?;
        match read(text) {
            Ok(key) => self.take(value, key, None),
            Err((why, help)) => {
                value.problem_with(why, help);
                None
            }
        }
    }

    /// The keys that are written out here, one or a list of them; `None` with a problem.
    pub(crate) fn written_all(&mut self, value: &Value<'_>) -> Option<Vec<PublicKey>> {
        if value.is_scalar() {
            return self.written(value).map(|key| vec![key]);
        }
        let items = value.list()?;
        if items.is_empty() {
            value.problem("there is no key in here");
            return None;
        }
        let keys: Vec<_> = items.iter().map(|item| self.written(item)).collect();
        keys.into_iter().collect()
    }

    /// The keys of the file that is named here, one a line; `None` with a problem.
    pub(crate) fn in_file(&mut self, value: &Value<'_>) -> Option<Vec<PublicKey>> {
        let file = value.file()?;
        if !value.document().on_disk() {
            return Some(Vec::new());
        }
        let shown = file.display();
        let text = match text_of(&file) {
            Ok(text) => text,
            Err(why) => {
                value.problem(format!("cannot read {shown}: {why}"));
                return None;
            }
        };
        let mut keys = Some(Vec::new());
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let key = match read(line) {
                Ok(key) => self.take(value, key, Some(&format!("line {number} of {shown}"))),
                Err((why, help)) => {
                    value.problem_with(format!("line {number} of {shown}: {why}"), help);
                    // What follows a slip like a private key's first line is not worth a problem each.
                    return None;
                }
            };
            keys = keys.zip(key).map(|(mut keys, key)| {
                keys.push(key);
                keys
            });
        }
        if keys.as_ref().is_some_and(Vec::is_empty) {
            value.problem(format!("there is no key in {shown}"));
            return None;
        }
        keys
    }

    /// `line` says which of a file, where it stands in one.
    fn take(&mut self, value: &Value<'_>, key: PublicKey, line: Option<&str>) -> Option<PublicKey> {
        if let Some(first) = self.0.get(key.key_data()) {
            let place = line.map_or_else(String::new, |line| format!("{line}: "));
            value.problem_with(format!("{place}this key is given already at {first}"), "give each key once");
            return None;
        }
        let here = line.map_or_else(|| value.path().into(), |line| format!("{}, {line}", value.path()).into());
        self.0.insert(key.key_data().clone(), here);
        Some(key)
    }
}

/// One line as OpenSSH writes it: kind, key, comment.
fn read(text: &str) -> Result<PublicKey, Wrong> {
    const LINE: &str = "write a line of a `.pub` file, as in `ssh-ed25519 AAAA…`";
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err(("this is a private key, which belongs nowhere near here", "give the line of its `.pub` file"));
    }
    let words: Vec<&str> = text.split_whitespace().take(16).collect();
    let kind_at = words.iter().position(|word| is_kind(word));
    match kind_at {
        None => return Err(("this is not a public SSH key", LINE)),
        Some(0) => {}
        Some(_) => {
            return Err((
                "something stands before the key: a host's name, or options",
                "leave it out: begin with `ssh-ed25519` or `ecdsa-sha2-…`",
            ));
        }
    }
    if words.first().is_some_and(|kind| kind.contains("-cert-v01@")) {
        return Err(("this is a certificate, not a key", LINE));
    }
    if words.first().is_some_and(|kind| matches!(*kind, "ssh-rsa" | "ssh-dss")) {
        return Err(("RSA and DSA keys are not accepted", "make another: `ssh-keygen -t ed25519`"));
    }
    if text.len() > LONGEST_KEY {
        return Err(("this is too long for a public SSH key", LINE));
    }
    let key = PublicKey::from_openssh(text).map_err(|_| ("this public SSH key is damaged", LINE))?;
    match key.key_data() {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => Ok(key),
        _ => Err(("keys of this kind are not accepted", "make another: `ssh-keygen -t ed25519`")),
    }
}

/// Whether a word says what kind of key follows.
fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|kind| word.starts_with(kind))
}

fn text_of(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| error.to_string())?;
    opened.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST_FILE {
        return Err("it is larger than 256 KiB".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFRYKDWOTDO6+axKENoSO2OMv9IGPNC7VVdwIxfmDpk4";

    #[test]
    fn a_line_of_a_pub_file_is_read_and_what_else_is_pasted_is_named() {
        assert!(read(KEY).is_ok());
        assert!(read(&format!("  {KEY} me@laptop with words\n")).is_ok());
        let cases = [
            ("", "not a public SSH key"),
            ("hello", "not a public SSH key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
            ("ssh-rsa AAAA", "RSA"),
            ("ssh-dss AAAA", "RSA and DSA"),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificate"),
            ("ssh-ed25519 AAAA", "damaged"),
            ("ssh-other AAAA", "damaged"),
        ];
        for (text, expected) in cases {
            let (why, _) = read(text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
        for before in ["10.0.0.5", "[10.0.0.5]:2222", "from=\"10.0.0.0/8\"", "@cert-authority *"] {
            assert!(read(&format!("{before} {KEY}")).unwrap_err().0.contains("before the key"), "{before}");
        }
        assert!(read(&format!("{KEY} {}", "x".repeat(LONGEST_KEY))).is_err());
    }
}
