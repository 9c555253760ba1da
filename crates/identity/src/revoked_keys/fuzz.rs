//! Lists of revoked keys under arbitrary bytes.
//!
//! Promises: [`fuzz_krl`] fails where a list takes more places than its bytes are worth, where a key that stands behind
//! what was read is not revoked, or where what stood before it is read otherwise because of it. Does not promise that a
//! list means what OpenSSH says it does: `tests/krl.rs` asks `ssh-keygen` that.
//! Held by: the tests in `tests/krl.rs`, and the fuzz target `identity_krl`.

use super::krl::MAGIC;
use super::list::{By, List};
use super::shown::SshProof;
use ssh_key::PublicKey;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBF2fdpgSh/pv2oCKr3ALq1NbVVNiGBnxs7eXYzKM1KG";

fn string(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body].concat()
}

fn section(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], string(body)].concat()
}

/// A list of these sections, of format 1 and with nothing else in its head.
fn krl(sections: &[u8]) -> Vec<u8> {
    [MAGIC, &1_u32.to_be_bytes(), &[0; 32], sections].concat()
}

/// Reads arbitrary bytes as a file, as the sections of a KRL, and as what one says of certificates.
#[doc(hidden)]
pub fn fuzz_krl(bytes: &[u8]) {
    let Ok(key) = PublicKey::from_openssh(KEY) else { return };
    let (Ok(sent), Some(shown)) = (key.to_bytes(), SshProof::of_key(key.key_data())) else { return };
    let listed = section(2, &string(&sent));
    let certificates = krl(&section(1, &[&[0; 8][..], bytes].concat()));
    for file in [bytes, &krl(bytes), &certificates] {
        let behind = if file.starts_with(MAGIC) { listed.clone() } else { format!("\n{KEY}").into_bytes() };
        let more = List::read(&[file, &behind].concat());
        let Ok((list, _)) = List::read(file) else { continue };
        assert!(list.kept() <= file.len(), "{} entries of {} bytes", list.kept(), file.len());
        let more = more.map(|(more, _)| more).unwrap_or_default();
        assert_eq!(more.revokes(&shown), Some(By::Key), "a key behind a list that was read is not revoked");
        assert!(list == more || list.kept() + 1 == more.kept(), "what stood before it is another");
    }
}
