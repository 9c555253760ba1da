//! The local vault: what opens, what does not, and what is never shown.

use super::*;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

const CANARY: &str = "hunter2-correct-horse";

fn vault(dir: &Path) -> Vault {
    Vault::new(dir.join("data/secrets.vault"), KeySource::File(dir.join("keys/vault.key")))
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

async fn text(vault: &Vault, name: &str) -> Result<String, CredentialError> {
    vault.read(name).await.map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn what_is_set_is_read_listed_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    assert_eq!(vault.names().await.unwrap(), Vec::<String>::new());
    assert!(text(&vault, "shop").await.unwrap_err().to_string().contains("is not there"));
    assert_eq!(vault.remove("shop").await, Err(CredentialError::NotInVault("shop".into())));
    vault.set("shop", CANARY.as_bytes()).await.unwrap();
    vault.set("crm.key", "ключ 🔑".as_bytes()).await.unwrap();
    assert_eq!(vault.names().await.unwrap(), ["crm.key", "shop"]);
    assert_eq!(text(&vault, "shop").await.unwrap(), CANARY);
    assert_eq!(text(&vault, "crm.key").await.unwrap(), "ключ 🔑");
    vault.set("shop", b"second").await.unwrap();
    assert_eq!(text(&vault, "shop").await.unwrap(), "second");
    vault.remove("shop").await.unwrap();
    assert_eq!(text(&vault, "shop").await, Err(CredentialError::NotInVault("shop".into())));
    assert_eq!(vault.names().await.unwrap(), ["crm.key"]);
    // Another process has only the files.
    assert_eq!(text(&super::vault::vault(dir.path()), "crm.key").await.unwrap(), "ключ 🔑");
    for file in ["data/secrets.vault", "keys/vault.key"] {
        assert_eq!(mode(&dir.path().join(file)), 0o600, "{file}");
    }
    let left: Vec<_> = fs::read_dir(dir.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the vault and its lock: {left:?}");
}

#[tokio::test]
async fn neither_names_nor_values_stand_in_the_file_or_in_anything_printed() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    vault.set("topaz-db", CANARY.as_bytes()).await.unwrap();
    let bytes = fs::read(vault.file()).unwrap();
    let shows = |what: &str| bytes.windows(what.len()).any(|window| window == what.as_bytes());
    assert!(!shows("topaz") && !shows("hunter2"));
    let key = fs::read_to_string(dir.path().join("keys/vault.key")).unwrap();
    let printed = format!("{vault:?} {:?}", text(&vault, "topaz").await.unwrap_err());
    assert!(!printed.contains("hunter2") && !printed.contains(key.trim()), "{printed}");
    // One value more or less long shows in steps only.
    let length = bytes.len();
    vault.set("topaz-db", b"x").await.unwrap();
    assert_eq!(fs::read(vault.file()).unwrap().len(), length);
}

#[tokio::test]
async fn a_file_that_was_altered_anywhere_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let writer = vault(dir.path());
    writer.set("shop", CANARY.as_bytes()).await.unwrap();
    let good = fs::read(writer.file()).unwrap();
    let reader = vault(dir.path());
    assert!(text(&reader, "shop").await.is_ok());
    // Every byte of the front but the salt, which asks for a key to be derived, and some of the box.
    let places = (0..19).chain(35..83).chain((83..good.len()).step_by(97)).chain([20, good.len() - 1]);
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(reader.file(), bad).unwrap();
        let error = text(&reader, "shop").await.unwrap_err().to_string();
        assert!(error.contains("not a vault") || error.contains("does not open"), "byte {at}: {error}");
    }
    let lengths = [0, 1, 19, 82, 83, 98, 99, good.len() - 1];
    for bad in lengths.map(|length| good[..length].to_vec()).into_iter().chain([[&good[..], b"x"].concat()]) {
        fs::write(reader.file(), bad).unwrap();
        assert!(text(&reader, "shop").await.is_err());
    }
    fs::write(reader.file(), good).unwrap();
    assert_eq!(text(&reader, "shop").await.unwrap(), CANARY);
}

#[tokio::test]
async fn an_older_file_put_back_is_refused_by_whoever_saw_the_newer() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, reader) = (vault(dir.path()), vault(dir.path()));
    writer.set("shop", b"first").await.unwrap();
    let old = fs::read(writer.file()).unwrap();
    assert_eq!(text(&reader, "shop").await.unwrap(), "first");
    writer.set("shop", b"second").await.unwrap();
    assert_eq!(text(&reader, "shop").await.unwrap(), "second");
    fs::write(reader.file(), &old).unwrap();
    for _ in 0..2 {
        assert!(text(&reader, "shop").await.unwrap_err().to_string().contains("older than it was"));
    }
    // A vault made anew under the same key is another one.
    fs::remove_file(reader.file()).unwrap();
    let other = vault(dir.path());
    for value in ["a", "b", "c"] {
        other.set("shop", value.as_bytes()).await.unwrap();
    }
    assert!(text(&reader, "shop").await.unwrap_err().to_string().contains("or another"));
    // Said plainly in the known limits: one that starts afterwards cannot tell.
    fs::write(reader.file(), &old).unwrap();
    assert_eq!(text(&vault(dir.path()), "shop").await.unwrap(), "first");
}

#[tokio::test]
async fn every_write_has_a_nonce_of_its_own_and_writers_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    vault(dir.path()).set("n-start", b"x").await.unwrap();
    let path = dir.path().to_owned();
    let writers = (0..4).map(|nth| {
        let path = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let vault = vault(&path);
            runtime.block_on(async {
                for round in 0..3 {
                    vault.set(&format!("n-{nth}-{round}"), b"x").await.unwrap();
                }
            });
        })
    });
    writers.collect::<Vec<_>>().into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(vault(dir.path()).names().await.unwrap().len(), 13, "no write was lost");
    let nonce = |vault: &Vault| fs::read(vault.file()).unwrap()[59..83].to_vec();
    let one = vault(dir.path());
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        one.set("same", b"same").await.unwrap();
        assert!(seen.insert(nonce(&one)), "a nonce came twice");
    }
}

#[tokio::test]
async fn what_cannot_be_a_secret_or_a_name_is_not_put_in() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    let long = vec![b'x'; 64 * 1024 + 1];
    for value in [&b""[..], b"hunter2\0", b"hunter2\xff", &long] {
        let shown = vault.set("shop", value).await.unwrap_err().to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for name in ["", "a/b", "a b", "a#b", "ä", "a\n", &"x".repeat(129)] {
        assert!(vault.set(name, b"x").await.is_err(), "{name:?}");
    }
    assert!(!vault.file().exists(), "nothing was written");
    vault.set(&"x".repeat(128), &long[1..]).await.unwrap();
}

#[tokio::test]
async fn the_wrong_key_opens_nothing_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    vault(dir.path()).set("shop", CANARY.as_bytes()).await.unwrap();
    let before = fs::read(dir.path().join("data/secrets.vault")).unwrap();
    let key = dir.path().join("other.key");
    fs::write(&key, "another key of sufficient length").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let other = Vault::new(dir.path().join("data/secrets.vault"), KeySource::File(key.clone()));
    assert!(text(&other, "shop").await.unwrap_err().to_string().contains("does not open"));
    assert!(other.set("shop", b"x").await.is_err() && other.remove("shop").await.is_err());
    assert_eq!(fs::read(other.file()).unwrap(), before);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let open = Vault::new(dir.path().join("data/secrets.vault"), KeySource::File(key));
    assert!(text(&open, "shop").await.unwrap_err().to_string().contains("0600"));
    // A key that is gone is not made again beside a vault that needs the old one.
    fs::remove_file(dir.path().join("keys/vault.key")).unwrap();
    assert!(vault(dir.path()).set("shop", b"x").await.unwrap_err().to_string().contains("no such key file"));
    assert!(!dir.path().join("keys/vault.key").exists());
}

#[tokio::test]
async fn a_key_that_was_wrong_is_taken_when_it_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passphrase");
    let vault = || Vault::new(dir.path().join("secrets.vault"), KeySource::Passphrase(PlainSource::File(file.clone())));
    let write = |passphrase| fs::write(&file, passphrase).unwrap();
    write("long enough, twice over");
    vault().set("shop", CANARY.as_bytes()).await.unwrap();
    let reader = vault();
    write("another that is long enough");
    for _ in 0..2 {
        assert!(text(&reader, "shop").await.unwrap_err().to_string().contains("does not open"));
    }
    write("long enough, twice over");
    assert_eq!(text(&reader, "shop").await.unwrap(), CANARY);
    // The key that opened it stays, whatever is in the file now.
    write("another that is long enough");
    assert_eq!(text(&reader, "shop").await.unwrap(), CANARY);
}

#[tokio::test]
async fn a_passphrase_is_a_key_and_a_short_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passphrase");
    let vault = |source| Vault::new(dir.path().join("secrets.vault"), KeySource::Passphrase(source));
    fs::write(&file, "too short\n").unwrap();
    let error = vault(PlainSource::File(file.clone())).set("shop", b"x").await.unwrap_err();
    assert!(error.to_string().contains("too short") && !error.to_string().contains("too short\n"), "{error}");
    fs::write(&file, "long enough, twice over\n").unwrap();
    vault(PlainSource::File(file.clone())).set("shop", CANARY.as_bytes()).await.unwrap();
    // Its line end is no part of it.
    fs::write(&file, "long enough, twice over").unwrap();
    assert_eq!(text(&vault(PlainSource::File(file)), "shop").await.unwrap(), CANARY);
    let missing = PlainSource::Env("PORTCULLIS_NO_SUCH_VARIABLE".into());
    assert!(matches!(vault(missing).read("shop").await.unwrap_err(), CredentialError::NotSet(_)));
    // A variable that every test process has.
    assert!(text(&vault(PlainSource::Env("PATH".into())), "shop").await.is_err());
}

/// A program that prints this, and counts how often it ran.
#[derive(Debug)]
struct Prints(Result<&'static [u8], &'static str>, AtomicU64);

impl Prints {
    fn new(printed: Result<&'static [u8], &'static str>) -> Arc<Self> {
        Arc::new(Self(printed, AtomicU64::new(0)))
    }
}

impl Programs for Prints {
    fn output<'a>(&'a self, words: &'a [Arc<str>], most: usize) -> Printed<'a> {
        assert_eq!(words, ["kms".into(), "hunter2".into()].as_slice());
        self.1.fetch_add(1, Ordering::SeqCst);
        let printed = self.0.map(|bytes| Zeroizing::new(bytes[..bytes.len().min(most)].to_vec()));
        Box::pin(async move { printed })
    }
}

fn command(program: &Arc<Prints>) -> KeySource {
    KeySource::Command(["kms", "hunter2"].map(Arc::from).into(), Arc::<Prints>::clone(program))
}

#[tokio::test]
async fn a_command_gives_the_key_and_is_asked_once() {
    let dir = tempfile::tempdir().unwrap();
    let vault = |program| Vault::new(dir.path().join("secrets.vault"), command(program));
    let program = Prints::new(Ok(b"0123456789abcdef0123456789abcdef\n"));
    vault(&program).set("shop", CANARY.as_bytes()).await.unwrap();
    let program = Prints::new(Ok(b"0123456789abcdef0123456789abcdef"));
    let reader = vault(&program);
    let (one, other) = tokio::join!(text(&reader, "shop"), text(&reader, "shop"));
    assert_eq!((one.unwrap(), other.unwrap()), (CANARY.to_owned(), CANARY.to_owned()));
    assert_eq!(program.1.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_command_that_fails_says_too_much_or_nothing_gives_no_key() {
    let dir = tempfile::tempdir().unwrap();
    for (printed, expected) in [
        (Err("is not used: it did not end well"), "the secret in the output of `kms` is not used: it did not end well"),
        (Ok(&b"hunter2\n"[..]), "too short"),
        (Ok(&[b'h'; 5000]), "larger than 4 KiB"),
        (Ok(b""), "too short"),
    ] {
        let vault = Vault::new(dir.path().join("secrets.vault"), command(&Prints::new(printed)));
        let error = vault.set("shop", b"x").await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{printed:?}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_lease_reads_the_vault_anew_and_a_missing_name_is_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let writer = vault(dir.path());
    writer.set("shop", b"first").await.unwrap();
    let without = reading(Some(SecretSource::Vault("shop".into())));
    assert_eq!(lease(&without).await.unwrap_err(), CredentialError::NotInVault("shop".into()));
    let with = without.with_vault(Arc::new(vault(dir.path())));
    let held = lease(&with).await.unwrap();
    writer.set("shop", b"second").await.unwrap();
    assert_eq!(secret(&lease(&with).await.unwrap()), Some("second"));
    assert_eq!(secret(&held), Some("first"), "a lease keeps what it was given");
    writer.remove("shop").await.unwrap();
    assert_eq!(with.problems().await, [(Name::canonical("shop"), CredentialError::NotInVault("shop".into()))]);
    assert!(!format!("{with:?} {held:?}").contains("first"));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(256))]

    #[test]
    fn no_bytes_are_a_vault_by_chance(front in proptest::bool::ANY, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let dir = tempfile::tempdir().unwrap();
        let one = Vault::new(dir.path().join("v"), command(&Prints::new(Err("cannot be started"))));
        let magic: &[u8] = if front { b"portcullis vault 1\n" } else { b"" };
        fs::write(one.file(), [magic, &bytes].concat()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        proptest::prop_assert!(runtime.block_on(one.read("x")).is_err());
    }
}
