//! Secrets and logins of a vault server, end to end.
//!
//! Promises: a secret changed on the server is what the next login uses; each session has a database login of its own, which
//! is renewed while the session lives and gone when it is; a server that is sealed is a refusal in the gateway's own
//! words; neither the gateway's token nor any password is in a log, an error, the record or a process list.

use crate::surroundings::{BINARY, OWNERS, direct, eventually, server};
use crate::vault::{assert_nowhere, connection, psql, said};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::postgres::Postgres;
use portcullis_testkit::shop;
use portcullis_testkit::vault::{Manage, VaultServer};
use portcullis_testkit::wire::{RawClient, outline};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes logins that may use this database's tables, as a role of the database engine would.
fn manage(server: &'static Postgres, database: &str) -> Manage {
    let database = database.to_owned();
    Arc::new(move |make, name, password| {
        let sql = if make {
            format!(
                "CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}' VALID UNTIL 'tomorrow';\
                 GRANT ALL ON ALL TABLES IN SCHEMA public TO \"{name}\""
            )
        } else {
            format!("DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\"")
        };
        server.run_sql(&database, &sql).map(drop)
    })
}

/// Secrets lie in files of this directory.
fn keep(dir: &Path, name: &str, value: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, value).unwrap();
    format!("{{ file: \"{}\" }}", path.display())
}

fn gateway(connection: &str, vault: &str) -> Gateway {
    Settings::new(BINARY)
        .connection("shop", connection)
        .policy("owners", OWNERS)
        .extra(&format!("vault: {{ server: {vault} }}"))
        .plaintext()
        .start()
        .unwrap()
}

fn ask(gateway: &Gateway, sql: &str) -> String {
    let output = psql(gateway, sql);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_secret_of_the_server_is_read_at_each_login_and_a_sealed_one_refuses() {
    let Some(server) = server().filter(|_| !direct()) else { return };
    let (dir, database) = (tempfile::tempdir().unwrap(), server.create_database("vault_kv", shop::SQL).unwrap());
    let name = format!("{database}_app");
    let (first, second) = ("canary-first-81aa", "canary-second-c3f0");
    server.run_sql(&database, &format!("CREATE ROLE {name} LOGIN PASSWORD '{first}'")).unwrap();
    let vault = VaultServer::start(3600, manage(server, &database)).unwrap();
    vault.put("secret/data/shop/db", &json!({ "password": first, "note": "x" }));
    let reference = "{ vault: { path: secret/data/shop/db, field: password } }";
    let token = keep(dir.path(), "token", &vault.token());
    let settings = format!("{{ address: \"http://{}\", token: {token} }}", vault.address());
    let gateway = gateway(&connection(server, &database, &name, reference), &settings);
    assert_eq!(ask(&gateway, "SELECT current_user"), name);
    assert!(said(&gateway.command_line(&["check"]).output().unwrap()).contains("0 errors"));

    server.run_sql(&database, &format!("ALTER ROLE {name} PASSWORD '{second}'")).unwrap();
    vault.put("secret/data/shop/db", &json!({ "password": second }));
    assert_eq!(ask(&gateway, "SELECT current_user"), name, "without a restart");

    vault.seal(true);
    let shown = said(&psql(&gateway, "SELECT 1"));
    assert!(shown.contains("no credential for the database behind it"), "{shown}");
    assert!(!shown.contains("sealed") && !shown.contains("secret/data"), "{shown}");
    assert!(gateway.log_text().contains("sealed or not ready (503)"));
    let check = said(&gateway.command_line(&["check"]).output().unwrap());
    assert!(check.contains("secret/data/shop/db on the vault server") && check.contains("503"), "{check}");
    vault.seal(false);
    vault.revoke_tokens();
    let token = vault_token_of(dir.path());
    assert!(!psql(&gateway, "SELECT 1").status.success(), "the token is somebody else's to renew");
    assert_nowhere(&gateway, &[first, second, &token]);
    gateway.stop(&["no credential for the backend"]).unwrap();
    server.run_sql(&database, &format!("DROP ROLE {name}")).unwrap();
}

fn vault_token_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("token")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_has_a_login_of_its_own_which_goes_with_it() {
    let Some(server) = server().filter(|_| !direct()) else { return };
    let (dir, database) = (tempfile::tempdir().unwrap(), server.create_database("vault_db", shop::SQL).unwrap());
    // Short, so that the test sees what is renewed, and what is not runs out.
    let lasts = Duration::from_secs(10);
    let vault = VaultServer::start(lasts.as_secs(), manage(server, &database)).unwrap();
    vault.set_token_lasts(lasts.as_secs());
    let (role, secret) = vault.app_role();
    let settings = format!(
        "{{ address: \"http://{}\", app_role: {{ role_id: {}, secret_id: {} }} }}",
        vault.address(),
        keep(dir.path(), "role", &role),
        keep(dir.path(), "secret", &secret)
    );
    let reference = "{ vault: { role: database/creds/shop } }";
    let mut gateway = gateway(&connection(server, &database, "shop-app", reference), &settings);
    let open = async |gateway: &Gateway| {
        let token = gateway.token("owner", &["owners"]).unwrap();
        RawClient::login(&gateway.address("postgres").unwrap(), "owner", "shop", &token).await.unwrap()
    };
    let begun = Instant::now();
    let (mut one, other) = (open(&gateway).await, open(&gateway).await);
    let who = format!("{:?}", one.query("SELECT current_user").await.unwrap());
    assert!(who.contains("v-approle-"), "{who}");
    assert_eq!(vault.logins_made().len(), 2, "one each");
    assert_eq!(vault.counts().1, 1, "one login at the vault for all");
    eventually("twice as long as it lasts", || begun.elapsed() > lasts * 2);
    assert_eq!(vault.logins_made().len(), 2, "renewed for as long as they are held");
    let roles = || server.run_sql(&database, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-approle-%'").unwrap();
    assert_eq!(roles().trim(), "2", "and they are there");
    assert_eq!(outline(&one.query("SELECT count(*) FROM customers").await.unwrap()), "T D C:SELECT 1 Z:I");
    eventually("each renewed twice, and the token", || vault.counts().0 >= 4 && vault.token_renewals() >= 1);
    assert_eq!(vault.counts().1, 1, "the token too is renewed, not made anew");

    drop(one);
    eventually("given back with its session", || vault.given_back() == 1);
    assert_eq!(vault.logins_made().len(), 1);
    eventually("the role is gone", || roles().trim() == "1");

    // A token that the server has revoked is made anew, once.
    vault.revoke_tokens();
    drop(open(&gateway).await);
    assert_eq!(vault.counts().1, 2);
    eventually("and what it made is given back", || vault.given_back() == 2);

    // A client that is killed, and a gateway that stops: nothing stays.
    drop(other);
    eventually("nothing is left", || vault.given_back() == 3);
    assert!(vault.logins_made().is_empty());
    let held = open(&gateway).await;
    assert_eq!(vault.logins_made().len(), 1);
    assert_nowhere(&gateway, &[&role, &secret]);

    // One that crashed gives nothing back: the vault ends it by itself.
    let left = vault.logins_made();
    gateway.kill().unwrap();
    gateway.restart().unwrap();
    drop(held);
    let last = open(&gateway).await;
    eventually("that of the crash has run out", || vault.logins_made().len() == 1);
    assert_ne!(vault.logins_made(), left, "and this one has not");
    gateway.stop(&["is not renewed"]).unwrap();
    drop(last);
    assert_eq!(vault.given_back(), 4, "all but that of the crash");
    assert!(vault.logins_made().is_empty());
    assert_eq!(roles().trim(), "0");
}
