//! Keys, and what the authority signs, as OpenSSH's own tools see them.

use super::*;
use ssh_key::certificate::CertType;
use ssh_key::{HashAlg, LineEnding};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A key as `ssh-keygen` makes it; `None`, with the reason told, where there is no `ssh-keygen`.
fn keygen(dir: &Path, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    let file = dir.join(name);
    let made = Command::new("ssh-keygen").args(["-q", "-C", "made", "-f"]).arg(&file).args(arguments).output();
    match made {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(file)
        }
        Err(error) => {
            eprintln!("skipped: ssh-keygen does not run here ({error})");
            None
        }
    }
}

async fn leased(file: &Path) -> Result<Lease, CredentialError> {
    lease(&with(Method::PrivateKey(SecretSource::File(file.to_owned())))).await
}

#[tokio::test]
async fn a_key_made_by_ssh_keygen_is_leased_and_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa"] {
        let Some(file) = keygen(dir.path(), kind, &["-t", kind, "-N", ""]) else { return };
        let held = leased(&file).await.unwrap();
        let Secret::PrivateKey(key) = &held.secret else { panic!("no key: {held:?}") };
        let public = fs::read_to_string(file.with_extension("pub")).unwrap();
        assert_eq!(key.public().to_openssh().unwrap(), public.trim_end());
        let text = fs::read_to_string(&file).unwrap();
        let shown = format!("{held:?} {key:?}");
        assert!(shown.contains(&key.fingerprint()));
        assert!(text.lines().all(|line| !shown.contains(line)), "{shown}");
        // A rotated key is used from the next lease.
        fs::remove_file(&file).unwrap();
        keygen(dir.path(), kind, &["-t", "ed25519", "-N", ""]).unwrap();
        let Secret::PrivateKey(next) = leased(&file).await.unwrap().secret else { panic!("no key") };
        assert_ne!(next.fingerprint(), key.fingerprint());
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str], &str); 3] = [
        ("locked", &["-t", "ed25519", "-N", "hunter2"], "passphrase"),
        ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""], "RSA"),
        ("pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""], "OpenSSH's own format"),
    ];
    for (name, arguments, expected) in cases {
        let Some(file) = keygen(dir.path(), name, arguments) else { return };
        let error = leased(&file).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let credentials = with(Method::PrivateKey(SecretSource::File(file.clone())));
        assert_eq!(credentials.problems().await, [(Name::canonical("shop"), error)]);
        assert!(credentials.warnings().is_empty());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(credentials.warnings().len(), 1);
    }
    let (_dir, file) = file(b"hunter2 is no key");
    let error = leased(&file).await.unwrap_err();
    assert!(error.to_string().contains("is not a private SSH key"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn a_key_of_the_gateways_own_is_made_once_and_read_back_by_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ssh/host_ed25519");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let make = || PrivateKey::load_or_create(&file, "gateway").unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| key.public() == keys[0].public()));
    assert_eq!(keys[0].public().comment().as_str_lossy(), "gateway");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_key_of_the_gateways_own_that_others_can_read_or_that_is_none_is_refused_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca_ed25519");
    PrivateKey::load_or_create(&file, "x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(PrivateKey::load_or_create(&file, "x").unwrap_err().to_string().contains("0600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let whole = fs::read(&file).unwrap();
    for length in [0, 1, whole.len() / 2] {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(PrivateKey::load_or_create(&file, "x").is_err());
        assert_eq!(fs::read(&file).unwrap(), &whole[..length]);
    }
    assert!(PrivateKey::load(&dir.path().join("none")).unwrap().is_none());
    assert!(PrivateKey::load(dir.path()).is_err());
}

fn authority(dir: &Path) -> CertificateAuthority {
    CertificateAuthority::load_or_create(&dir.join("ca_ed25519")).unwrap()
}

#[tokio::test]
async fn a_certificate_is_fresh_short_and_names_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let unsigned = lease(&with(Method::Certificate)).await.unwrap_err();
    assert!(matches!(unsigned, CredentialError::NotSigned(_)));
    let credentials = with(Method::Certificate).with_authority(authority.clone());
    let mut seen = Vec::new();
    for login in [None, Some("root")] {
        let caller = Principal { user: "agent-7\nroot".into(), ..principal() };
        let held = credentials.lease(&Name::canonical("shop"), login, &caller).await.unwrap();
        let Secret::Certificate { key, certificate } = held.secret else { panic!("no certificate") };
        let now = u64::try_from(Timestamp::now().as_second()).unwrap();
        certificate.validate_at(now, [&authority.public().fingerprint(HashAlg::Sha256)]).unwrap();
        assert_eq!(certificate.public_key(), key.public().key_data());
        assert_eq!(certificate.valid_principals(), [login.unwrap_or("app")]);
        assert_eq!(certificate.cert_type(), CertType::User);
        assert_eq!(certificate.key_id(), "portcullis for agent-7?root (local)");
        let (after, before) = (certificate.valid_after(), certificate.valid_before());
        assert!(after <= now - 58 && before <= now + 5 * 60 && before > now + 4 * 60, "{after} {now} {before}");
        assert!(certificate.critical_options().is_empty());
        assert_eq!(certificate.extensions().keys().collect::<Vec<_>>(), ["permit-pty"]);
        seen.push((key.fingerprint(), certificate.serial()));
    }
    assert_ne!(seen[0].0, seen[1].0);
    assert_ne!(seen[0].1, seen[1].1);
}

#[test]
fn what_is_signed_is_read_by_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let key = PrivateKey::generate().unwrap();
    let (hour, now) = (Duration::from_secs(3600), Timestamp::now());
    let host = authority.sign_host(key.public(), "build.internal", hour, now).unwrap();
    let user = authority.sign_user(key.public(), "deploy", hour, now).unwrap();
    for (certificate, words) in [(host, ["host certificate", "build.internal"]), (user, ["user certificate", "deploy"])]
    {
        let file = dir.path().join("signed-cert.pub");
        fs::write(&file, certificate.to_openssh().unwrap()).unwrap();
        let Ok(shown) = Command::new("ssh-keygen").arg("-L").arg("-f").arg(&file).output() else {
            eprintln!("skipped: ssh-keygen does not run here");
            return;
        };
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
        assert!(shown.contains(&authority.fingerprint()), "{shown}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let key = PrivateKey::generate().unwrap();
    let (hour, now) = (Duration::from_secs(3600), Timestamp::now());
    for name in ["", "a b", "a,b", "a\nb"] {
        assert!(authority.sign_user(key.public(), name, hour, now).is_err(), "{name:?}");
    }
    assert!(authority.sign_user(key.public(), "a", Duration::ZERO, now).is_err());
    assert!(authority.sign_user(key.public(), "a", Duration::MAX, now).is_err());
    assert!(authority.sign_user(authority.public(), "a", hour, now).is_err());
    let signed = authority.sign_user(key.public(), "a", hour, now).unwrap();
    let again = ssh_key::PublicKey::from_openssh(&signed.to_openssh().unwrap());
    assert!(again.is_err() || authority.sign_user(&again.unwrap(), "a", hour, now).is_err());
}

#[test]
fn a_password_only_backend_does_not_take_a_key() {
    let key = PrivateKey::generate().unwrap();
    let text = key.key().to_openssh(LineEnding::LF).unwrap();
    assert_eq!(PrivateKey::parse(text.as_bytes()).unwrap().fingerprint(), key.fingerprint());
    let lease = |secret| Lease { username: "app".into(), secret, kept: None };
    assert!(lease(Secret::PrivateKey(key)).into_password().is_err());
    assert!(lease(Secret::None).into_password().unwrap().is_none());
    assert!(lease(Secret::Password("x".into())).into_password().unwrap().is_some());
}
