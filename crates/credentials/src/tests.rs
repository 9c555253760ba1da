use super::*;

mod keys;
mod roles;
mod server;
mod vault;

use portcullis_model::CredentialKind;
use secrecy::ExposeSecret;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

fn principal() -> Principal {
    Principal {
        issuer: "local".into(),
        subject: "a".into(),
        user: "a".into(),
        groups: [].into(),
        claims: [].into(),
        credential: CredentialKind::LocalAdmin,
    }
}

fn with(method: Method) -> Credentials {
    let source = Source { username: "app".into(), logins: ["root".into()].into(), method };
    Credentials::new([(Name::canonical("shop"), source)].into())
}

fn reading(password: Option<SecretSource>) -> Credentials {
    with(password.map_or(Method::None, Method::Password))
}

async fn lease(credentials: &Credentials) -> Result<Lease, CredentialError> {
    credentials.lease(&Name::canonical("shop"), None, &principal()).await
}

fn secret(lease: &Lease) -> Option<&str> {
    match &lease.secret {
        Secret::Password(password) => Some(password.expose_secret()),
        Secret::None | Secret::PrivateKey(_) | Secret::Certificate { .. } | Secret::Headers(_) => None,
    }
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[tokio::test]
async fn a_rotated_secret_is_used_from_the_next_lease() {
    let (_dir, path) = file(b"first\r\n");
    let credentials = reading(Some(SecretSource::File(path.clone())));
    let held = lease(&credentials).await.unwrap();
    assert_eq!((held.username.as_ref(), secret(&held)), ("app", Some("first")));
    fs::write(&path, " second with spaces ").unwrap();
    assert_eq!(secret(&lease(&credentials).await.unwrap()), Some(" second with spaces "));
    assert_eq!(secret(&held), Some("first"), "a lease keeps what it was given");
}

#[tokio::test]
async fn a_variable_of_the_gateway_can_hold_it_and_a_missing_one_is_named() {
    // A variable that every test process has; tests must not change the environment of their process.
    let home = std::env::var("PATH").unwrap();
    let credentials = reading(Some(SecretSource::Env("PATH".into())));
    assert_eq!(secret(&lease(&credentials).await.unwrap()), Some(&*home));
    let missing = reading(Some(SecretSource::Env("PORTCULLIS_NO_SUCH_VARIABLE".into())));
    let error = lease(&missing).await.unwrap_err();
    assert_eq!(error, CredentialError::NotSet("PORTCULLIS_NO_SUCH_VARIABLE".into()));
    assert_eq!(missing.problems().await, [(Name::canonical("shop"), error)]);
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused_and_never_quoted() {
    let long = vec![b'x'; 64 * 1024 + 1];
    let cases: [(&[u8], &str); 5] =
        [(b"", "is empty"), (b"\n\n", "is empty"), (b"hunter2\0", "NUL"), (b"hunter2\xff", "UTF-8"), (&long, "64 KiB")];
    for (bytes, expected) in cases {
        let (_dir, path) = file(bytes);
        let error = lease(&reading(Some(SecretSource::File(path)))).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn only_a_plain_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), PathBuf::from("/dev/zero")] {
        let error = lease(&reading(Some(SecretSource::File(path)))).await.unwrap_err();
        assert!(error.to_string().contains("plain file"), "{error}");
    }
    let missing = lease(&reading(Some(SecretSource::File(dir.path().join("none"))))).await.unwrap_err();
    assert!(matches!(missing, CredentialError::Unreadable { .. }));
}

#[tokio::test]
async fn nothing_prints_the_secret() {
    let (_dir, path) = file(b"hunter2");
    let credentials = reading(Some(SecretSource::File(path)));
    let held = lease(&credentials).await.unwrap();
    assert!(!format!("{held:?} {credentials:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_connection_without_a_password_leases_none_and_an_unknown_one_nothing() {
    assert_eq!(secret(&lease(&reading(None)).await.unwrap()), None);
    let error = reading(None).lease(&Name::canonical("other"), None, &principal()).await.unwrap_err();
    assert_eq!(error, CredentialError::UnknownConnection(Name::canonical("other")));
}

#[test]
fn a_file_open_to_others_is_warned_about() {
    let (_dir, path) = file(b"x");
    let credentials = reading(Some(SecretSource::File(path.clone())));
    for (mode, expected) in [(0o600, None), (0o640, Some("its group")), (0o604, Some("everybody"))] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = credentials.warnings();
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{warnings:?}");
        assert!(warnings.iter().all(|(_, text)| text.contains(expected.unwrap_or_default())));
    }
}

#[test]
fn a_file_that_opens_a_vault_and_is_open_to_others_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, mode| {
        let path = dir.path().join(name);
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let warned = |key, login| {
        let exchange = server::Scripted::new(|_, _| None);
        let (server, _keeper) = Server::new(exchange, login, None);
        let vault = Arc::new(Vault::new(dir.path().join("secrets.vault"), key));
        let warnings = reading(None).with_vault(vault).with_server(server).warnings();
        let shown = |(name, text): (Name, String)| {
            let file = text.split(' ').next().and_then(|path| path.rsplit('/').next()).unwrap().to_owned();
            format!("{name} {file}")
        };
        warnings.into_iter().map(shown).collect::<Vec<_>>()
    };
    let plain = |name, mode| PlainSource::File(file(name, mode));
    let app_role = |role_id, secret_id| ServerLogin::AppRole { mount: "approle".into(), role_id, secret_id };
    assert_eq!(
        warned(KeySource::Passphrase(plain("pass", 0o640)), app_role(plain("role", 0o644), plain("secret", 0o604))),
        ["vault.local.key pass", "vault.server role", "vault.server secret"]
    );
    assert_eq!(
        warned(KeySource::File(file("key", 0o620)), ServerLogin::Token(plain("token", 0o640))),
        ["vault.local.key key", "vault.server token"]
    );
    assert!(
        warned(
            KeySource::Passphrase(plain("pass", 0o600)),
            app_role(plain("role", 0o600), PlainSource::Env("PATH".into()))
        )
        .is_empty()
    );
}

#[tokio::test]
async fn only_logins_that_the_connection_names_are_leased() {
    let credentials = reading(None);
    let ask = async |login| credentials.lease(&Name::canonical("shop"), login, &principal()).await;
    assert_eq!(&*ask(None).await.unwrap().username, "app");
    assert_eq!(&*ask(Some("app")).await.unwrap().username, "app");
    assert_eq!(&*ask(Some("root")).await.unwrap().username, "root");
    for login in ["admin", "", "Root", "root "] {
        assert!(!credentials.has_login(&Name::canonical("shop"), login));
        assert!(matches!(ask(Some(login)).await.unwrap_err(), CredentialError::NotALogin { .. }), "{login:?}");
    }
    assert!(!credentials.has_login(&Name::canonical("other"), "root"));
}

#[tokio::test]
async fn headers_are_leased_by_name_and_each_is_looked_at() {
    let (_dir, path) = file(b"hunter2\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let header = |name: &str, before, source| HeaderSource { name: name.into(), before, source };
    let file = header("authorization", "Bearer ", SecretSource::File(path));
    let good = with(Method::Headers(vec![file.clone(), header("x-org", "", SecretSource::Env("PATH".into()))]));
    let headers = lease(&good).await.unwrap().into_headers().unwrap();
    let shown: Vec<_> = headers.iter().map(|(name, value)| (&**name, value.expose_secret())).collect();
    assert_eq!(shown, [("authorization", "Bearer hunter2"), ("x-org", &*std::env::var("PATH").unwrap())]);
    assert!(!format!("{headers:?}").contains("hunter2"));
    assert_eq!(good.warnings().len(), 1);

    let missing = header("x-org", "", SecretSource::Env("PORTCULLIS_NO_SUCH_VARIABLE".into()));
    let bad = with(Method::Headers(vec![file, missing]));
    assert!(lease(&bad).await.is_err());
    assert_eq!(bad.problems().await.len(), 1);

    assert!(lease(&good).await.unwrap().into_password().is_err());
    assert!(lease(&reading(None)).await.unwrap().into_headers().unwrap().is_empty());
    assert!(lease(&reading(Some(SecretSource::Env("PATH".into())))).await.unwrap().into_headers().is_err());
}
