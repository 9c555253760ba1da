//! Backend credentials from vaults, end to end.
//!
//! Promises: a value put in while psql is connected is what the next login uses, and the open session lives on; what is
//! missing or altered is a refusal in the gateway's own words; no secret is in a log, an error, the record or a process list.

use crate::surroundings::{BINARY, OWNERS, direct, eventually, libpq_client, server};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::postgres::Postgres;
use portcullis_testkit::shop;
use portcullis_testkit::wire::{RawClient, outline};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

const LOCAL: &str = "vault: { local: { key: { file: keys/vault.key } } }";

/// A connection to this database as this login, with a password from there.
pub(crate) fn connection(server: &Postgres, database: &str, login: &str, password: &str) -> String {
    let tls = server
        .ca_file()
        .map_or_else(|| "tls: disable".to_owned(), |ca| format!("tls: verify-full, tls_ca: \"{}\"", ca.display()));
    format!(
        "{{ protocol: postgres, address: \"{}\", database: {database}, username: {login}, password: {password}, {tls} }}",
        server.address()
    )
}

/// `portcullis secrets`, with this on its standard input.
fn secrets(gateway: &Gateway, words: &[&str], value: &str) -> Output {
    let mut command = gateway.command_line(&[&["secrets"], words].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].concat().escape_ascii().to_string()
}

/// One statement over a session of its own: its output, whether well or not.
pub(crate) fn psql(gateway: &Gateway, sql: &str) -> Output {
    let token = gateway.token("owner", &["owners"]).unwrap();
    let mut command = libpq_client("psql", &gateway.dsn("shop", "owner", &token).unwrap()).unwrap();
    command.args(["-X", "-At", "-c", sql]).output().unwrap()
}

/// Everything that a gateway wrote or would tell an auditor, and its process's arguments and environment.
pub(crate) fn assert_nowhere(gateway: &Gateway, secrets: &[&str]) {
    let mut places = vec![
        ("the log", gateway.log_text().into_bytes()),
        ("the record", gateway.command(&["sessions", "export"]).unwrap().into_bytes()),
    ];
    let process = gateway.program().unwrap().pid().unwrap();
    for what in ["cmdline", "environ"] {
        places.push((what, fs::read(format!("/proc/{process}/{what}")).unwrap()));
    }
    let mut waiting = vec![gateway.directory().join("data")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                // One that is gone by now was not kept.
                places.push(("a file of data_dir", fs::read(entry.path()).unwrap_or_default()));
            }
        }
    }
    for secret in secrets {
        for (what, bytes) in &places {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "`{secret}` is in {what}");
        }
    }
}

/// A login on the server with this password, for one database.
fn login(server: &Postgres, database: &str, name: &str, password: &str) {
    let sql =
        format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}");
    server.run_sql(database, &sql).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_put_in_is_used_from_the_next_login_and_the_open_session_lives_on() {
    let Some(server) = server().filter(|_| !direct()) else { return };
    let database = server.create_database("vault_local", shop::SQL).unwrap();
    let (name, first, second) = (format!("{database}_app"), "canary-first-4d1f", "canary-second-9b7e");
    login(server, &database, &name, first);
    let gateway = Settings::new(BINARY)
        .connection("shop", &connection(server, &database, &name, "{ vault: shop-db }"))
        .policy("owners", OWNERS)
        .extra(LOCAL)
        .plaintext()
        .start()
        .unwrap();

    // Nothing is in it yet: the gateway's own words, and no detail for the client.
    let refused = psql(&gateway, "SELECT 1");
    let shown = said(&refused);
    assert!(!refused.status.success() && shown.contains("no credential for the database behind it"), "{shown}");
    assert!(!shown.contains("shop-db") && !shown.contains("secrets.vault"), "{shown}");

    let set = secrets(&gateway, &["set", "shop-db"], &format!("{first}\n"));
    assert!(set.status.success() && set.stdout.is_empty() && set.stderr.is_empty(), "{}", said(&set));
    for file in ["data/secrets.vault", "keys/vault.key"] {
        let mode = fs::metadata(gateway.directory().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let ask = |sql: &str| {
        let output = psql(&gateway, sql);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(ask("SELECT current_user"), name);

    let token = gateway.token("owner", &["owners"]).unwrap();
    let mut open = RawClient::login(&gateway.address("postgres").unwrap(), "owner", "shop", &token).await.unwrap();
    server.run_sql(&database, &format!("ALTER ROLE {name} PASSWORD '{second}'")).unwrap();
    assert!(!psql(&gateway, "SELECT 1").status.success(), "the old one is none any more");
    assert!(secrets(&gateway, &["set", "shop-db"], second).status.success());
    assert_eq!(ask("SELECT current_user"), name, "without a restart");
    let rows = open.query("SELECT count(*) FROM customers").await.unwrap();
    assert_eq!(outline(&rows), "T D C:SELECT 1 Z:I", "the open session lives on");

    assert!(secrets(&gateway, &["remove", "shop-db"], "").status.success());
    assert!(!psql(&gateway, "SELECT 1").status.success());
    assert_nowhere(&gateway, &[first, second]);
    gateway.stop(&["no credential for the backend", "password authentication failed", "backend"]).unwrap();
    server.run_sql(&database, &format!("DROP OWNED BY {name}; DROP ROLE {name}")).unwrap();
}

#[test]
fn the_command_line_lists_names_and_never_shows_a_value() {
    let Some(server) = server().filter(|_| !direct()) else { return };
    let gateway = Settings::new(BINARY)
        .postgres("shop", server, "postgres")
        .policy("owners", OWNERS)
        .extra(LOCAL)
        .start()
        .unwrap();
    let list = |words: &[&str]| said(&secrets(&gateway, &[&["list"], words].concat(), ""));
    assert_eq!(list(&[]), "");
    for name in ["b-db", "a.key"] {
        assert!(secrets(&gateway, &["set", name], "canary-5a5a").status.success());
    }
    assert_eq!(list(&[]), "a.key\\nb-db\\n");
    assert_eq!(list(&["--json"]), "{\\\"name\\\":\\\"a.key\\\"}\\n{\\\"name\\\":\\\"b-db\\\"}\\n");
    let code = |words: &[&str], value: &str| secrets(&gateway, words, value).status.code();
    assert_eq!(code(&["remove", "none"], ""), Some(1));
    assert_eq!(code(&["set", "a/b"], "x"), Some(2));
    assert_eq!(code(&["set", "empty"], "\n"), Some(1));
    assert_eq!(code(&["set", "long"], &"x".repeat(64 * 1024 + 1)), Some(1));
    assert_eq!(code(&["set", "as-an-argument", "canary-5a5a"], ""), Some(2));
    assert_eq!(list(&[]), "a.key\\nb-db\\n");

    // Altered: what was in it is not to be had, and is not written over.
    let file = gateway.directory().join("data/secrets.vault");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let altered = secrets(&gateway, &["set", "c"], "x");
    assert!(altered.status.code() == Some(1) && said(&altered).contains("does not open"), "{}", said(&altered));
    assert_eq!(fs::read(&file).unwrap(), bytes);
    gateway.stop(&[]).unwrap();
}

#[test]
fn check_says_which_secret_is_not_in_the_vault() {
    let Some(server) = server().filter(|_| !direct()) else { return };
    let gateway = Settings::new(BINARY)
        .connection("shop", &connection(server, "postgres", "app", "{ vault: shop-db }"))
        .policy("owners", OWNERS)
        .extra(LOCAL)
        .start()
        .unwrap();
    let check = || said(&gateway.command_line(&["check"]).output().unwrap());
    assert!(check().contains("is not there; `portcullis secrets set` makes it"), "{}", check());
    assert!(secrets(&gateway, &["set", "other"], "x").status.success());
    let shown = check();
    assert!(
        shown.contains("the vault has no secret `shop-db`") && shown.contains("connections.shop.password"),
        "{shown}"
    );
    assert!(secrets(&gateway, &["set", "shop-db"], "x").status.success());
    assert!(check().contains("0 errors"), "{}", check());
    gateway.stop(&[]).unwrap();
}

#[test]
fn check_warns_of_files_that_open_a_vault_and_are_open_to_others() {
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("portcullis.yaml");
    let text = "listen: { postgres: 127.0.0.1:0 }\nconnections:\n  shop: { protocol: postgres, address: 127.0.0.1, database: shop, \
                username: app, tls: disable }\npolicies: [p.yaml]\nvault:\n  local: { key: { passphrase: { file: pass } } }\n  \
                server: { address: \"http://127.0.0.1:1\", token: { file: token } }\n";
    fs::write(&file, text).unwrap();
    fs::write(kept.path().join("p.yaml"), "bundle: b\nrules:\n  - id: r\n    deny: { actions: [drop] }\n").unwrap();
    let check = |mode| {
        for name in ["pass", "token"] {
            let path = kept.path().join(name);
            fs::write(&path, "canary-5a5a-long-enough").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        said(&Command::new(BINARY).args(["check", "--config"]).arg(&file).output().unwrap())
    };
    let told = check(0o640);
    for (name, path) in [("pass", "vault.local.key"), ("token", "vault.server")] {
        let place = kept.path().join(name);
        let expected =
            format!("warning: {} may be used by its group (mode 0640); make it 0600 (at {path})", place.display());
        assert!(told.contains(&expected), "{expected}: {told}");
    }
    let told = check(0o600);
    assert!(!told.contains("may be used") && told.contains("0 errors"), "{told}");
}

/// Whether the terminal that this `script` made shows nothing of what is typed.
fn is_silent(script: u32) -> bool {
    let children = std::fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap_or_default();
    let Some(child) = children.split_whitespace().next() else { return false };
    let Ok(terminal) = std::fs::read_link(format!("/proc/{child}/fd/0")) else { return false };
    let told = Command::new("stty").arg("-F").arg(terminal).arg("-a").output().unwrap();
    String::from_utf8_lossy(&told.stdout).split_whitespace().any(|word| word == "-echo")
}

#[test]
fn a_person_types_a_value_that_is_not_shown() {
    let Some(server) = server().filter(|_| !direct()) else { return };
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script` to make a terminal with");
        return;
    }
    let gateway = Settings::new(BINARY)
        .postgres("shop", server, "postgres")
        .policy("owners", OWNERS)
        .extra(LOCAL)
        .start()
        .unwrap();
    let config = gateway.directory().join("portcullis.yaml");
    let typed = |lines: &str| {
        let line = format!("exec {BINARY} secrets set typed --config {}", config.display());
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut shown = String::new();
        // Each line is typed when it is asked for: what is typed before is shown by the terminal, whoever reads it.
        for (line, asked) in lines.lines().zip(["(not shown): ", "Again: "]) {
            while !shown.contains(asked) {
                let mut byte = [0];
                if std::io::Read::read(&mut output, &mut byte).unwrap() == 0 {
                    break;
                }
                shown.push(char::from(byte[0]));
            }
            // The terminal throws away what was typed before it stopped to show it.
            eventually("the terminal shows nothing", || is_silent(child.id()));
            writeln!(input, "{line}").unwrap();
        }
        std::io::Read::read_to_string(&mut output, &mut shown).unwrap();
        (child.wait().unwrap().code(), shown)
    };
    let (code, shown) = typed("canary-77\ncanary-78\n");
    assert!(code == Some(1) && shown.contains("differ"), "{shown}");
    let (code, other) = typed("canary-77\ncanary-77\n");
    assert_eq!(code, Some(0), "{other}");
    assert!(!shown.contains("canary") && !other.contains("canary"), "{shown}{other}");
    assert_eq!(said(&secrets(&gateway, &["list"], "")), "typed\\n");
    gateway.stop(&[]).unwrap();
}
