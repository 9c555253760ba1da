//! Who gets in: tokens by the command line, the same answer to every wrong one, and no way around the connection's name.

use crate::surroundings::{Shop, Wants, Who, libpq_client};
use portcullis_testkit::gateway::Gateway;
use std::process::Command;

fn psql(dsn: &str, sql: &str) -> (String, String) {
    let output = libpq_client("psql", dsn).unwrap().args(["-X", "-A", "-t", "-c", sql]).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn dsn(gateway: &Gateway, connection: &str, user: &str, token: &str) -> String {
    gateway.dsn(connection, user, token).unwrap()
}

/// The error without what names the attempt.
fn refusal(dsn: &str) -> String {
    let (stdout, stderr) = psql(dsn, "SELECT 1");
    assert_eq!(stdout, "");
    let text = stderr.split_once("FATAL:").unwrap_or_else(|| panic!("{stderr}")).1;
    text.trim().to_owned()
}

#[test]
fn a_token_is_a_password_for_its_user_only() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let token = shop.token(Who::Agent);
    for user in ["agent", "token"] {
        assert_eq!(psql(&dsn(gateway, "shop", user, &token), "SELECT 1").0, "1\n", "{user}");
    }
    let other = refusal(&dsn(gateway, "shop", "owner", &token));
    assert!(!other.contains(&token), "{other}");
    shop.close(&["auth", "login", "token"]);
}

#[test]
fn every_wrong_token_gets_the_same_answer() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let good = shop.token(Who::Agent);
    let created = gateway.command(&["token", "create", "--user", "agent", "--group", "agents", "--json"]).unwrap();
    let listed = gateway.command(&["token", "list", "--json"]).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(!listed.contains(&good), "a token is listed");
    let id = json_text(&created, "id");
    let revoked = json_text(&created, "token");
    assert_eq!(psql(&dsn(gateway, "shop", "agent", &revoked), "SELECT 1").0, "1\n");
    gateway.command(&["token", "revoke", &id]).unwrap();

    let mut altered = good.clone().into_bytes();
    let middle = altered.len() / 2;
    altered[middle] = if altered[middle] == b'a' { b'b' } else { b'a' };
    let altered = String::from_utf8(altered).unwrap();
    let answers: Vec<String> = [revoked.as_str(), &altered, "nonsense", "x"]
        .iter()
        .map(|token| refusal(&dsn(gateway, "shop", "agent", token)))
        .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(psql(&dsn(gateway, "shop", "agent", &good), "SELECT 1").0, "1\n");
    let log = gateway.log_text();
    for secret in [&good, &revoked, &altered] {
        assert!(!log.contains(secret.as_str()), "a token is in the log");
    }
    shop.close(&["auth", "login", "token"]);
}

/// The text of a field in one line of JSON whose values need no unescaping.
fn json_text(json: &str, field: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {json}")).to_owned()
}

#[test]
fn revoking_a_token_ends_what_it_can_do() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let created = gateway.command(&["token", "create", "--user", "agent", "--group", "agents", "--json"]).unwrap();
    let (id, token) = (json_text(&created, "id"), json_text(&created, "token"));
    let dsn = dsn(gateway, "shop", "agent", &token);
    let mut client = libpq_client("psql", &dsn).unwrap();
    let revoke = gateway.command_line(&["token", "revoke", &id]);
    let script = format!("SELECT 'before';\n\\! {} >/dev/null\nSELECT 'after';\n", shell_words(&revoke));
    let output =
        portcullis_testkit::process::run_with_input(client.args(["-X", "-A", "-t", "-f", "-"]), script.as_bytes());
    let said = match output {
        Ok(said) => said,
        Err(error) => error.to_string(),
    };
    assert!(said.contains("before") && !said.contains("after\n"), "{said}");
    shop.close(&["token", "auth", "revoked"]);
}

/// A command as a line for the shell; its arguments hold no quotes.
fn shell_words(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn an_unknown_connection_is_refused_with_a_hint() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let token = shop.token(Who::Agent);
    for name in ["nowhere", "shop/postgres", "../shop", "postgres"] {
        let answer = refusal(&dsn(gateway, name, "agent", &token));
        assert!(!answer.contains("127.0.0.1:"), "{answer}");
    }
    assert!(refusal(&dsn(gateway, "nowhere", "agent", &token)).contains("HINT"), "no hint");
    shop.close(&["auth", "login", "connection"]);
}

#[test]
fn a_user_without_rules_gets_nothing() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let token = shop.gateway().token("stranger", &["nobody"]).unwrap();
    let (stdout, stderr) = psql(&dsn(shop.gateway(), "shop", "stranger", &token), "SELECT * FROM orders");
    assert_eq!(stdout, "", "{stderr}");
    assert!(!stderr.is_empty());
    shop.close(&["auth", "login"]);
}

#[test]
fn no_secret_is_seen_anywhere() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let token = shop.token(Who::Agent);
    let dsn = dsn(gateway, "shop", "agent", &token);
    assert_eq!(psql(&dsn, "SELECT 1").0, "1\n");
    psql(&dsn, "ALTER ROLE agent PASSWORD 'hunter2-in-a-statement'");
    let backend = shop.server.password();
    let pid = gateway.program().unwrap().pid().unwrap();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    let shown = gateway.command(&["sessions", "export"]).unwrap();
    let log = gateway.log_text();
    assert!(arguments.contains("serve") && shown.contains("SELECT 1"), "{arguments} {shown}");
    for (place, text) in [("arguments", &arguments), ("log", &log), ("record", &shown)] {
        for (secret, name) in [
            (token.as_str(), "token"),
            (backend, "backend password"),
            ("hunter2-in-a-statement", "statement's password"),
        ] {
            assert!(!text.contains(secret), "the {name} is in the {place}");
        }
    }
    shop.close(&["auth"]);
}
