//! The record as an auditor meets it: what was typed is there with its decision, replays, exports, verifies offline, and
//! an altered byte is found; after a crash at any moment it still verifies and lacks nothing that was answered.

use crate::surroundings::{BINARY, Shop, Wants, Who, cases, libpq_client};
use portcullis_testkit::wire::{RawClient, frontend};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn psql(shop: &Shop, who: Who, script: &str) {
    let mut command = libpq_client("psql", &shop.dsn(who)).unwrap();
    portcullis_testkit::process::run_with_input(command.args(["-X", "-f", "-"]), script.as_bytes()).unwrap();
}

fn listed(shop: &Shop) -> Vec<Value> {
    let text = shop.gateway().command(&["sessions", "list", "--json"]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn session_id(entry: &Value) -> String {
    let id = ["id", "session"].iter().find_map(|field| entry[*field].as_str());
    id.unwrap_or_else(|| panic!("no id in {entry}")).to_owned()
}

fn offline_verify(export: &Path, key: &Path) -> Output {
    Command::new(BINARY).args(["sessions", "verify"]).arg(export).arg("--key").arg(key).output().unwrap()
}

#[test]
fn a_session_is_listed_shown_replayed_and_verified() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    psql(&shop, Who::Agent, "SELECT name FROM products WHERE id = 3;\nDROP TABLE orders;\nSELECT 1/0;\n");
    let sessions = listed(&shop);
    let entry = sessions.iter().find(|entry| entry.to_string().contains("agent")).expect("the session is listed");
    let id = session_id(entry);
    let shown = shop.gateway().command(&["sessions", "show", &id]).unwrap();
    for expected in
        ["SELECT name FROM products", "Notebook no. 3", "DROP TABLE orders", "no-destruction", "SELECT 1/0", "22012"]
    {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    let replayed = shop.gateway().command(&["sessions", "replay", &id, "--speed", "1000"]).unwrap();
    assert!(replayed.contains("SELECT name FROM products") && replayed.contains("Notebook no. 3"), "{replayed}");
    let second = shop.gateway().command(&["sessions", "replay", &id, "--command", "2", "--idle-limit", "1"]).unwrap();
    assert!(second.contains("DROP TABLE orders") && !second.contains("Notebook no. 3"), "{second}");
    assert!(shop.gateway().command(&["sessions", "replay", &id, "--command", "99"]).is_err());
    let cast = shop.gateway().command(&["sessions", "export", &id, "--format", "asciicast"]).unwrap();
    let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["version"], 2);
    assert!(lines.iter().any(|line| line[1] == "m" && line[2].as_str().unwrap().starts_with("command 2: deny DROP")));
    assert!(
        cast.contains("Notebook no. 3")
            && shop.gateway().command(&["sessions", "export", "--format", "asciicast"]).is_err()
    );
    shop.gateway().command(&["sessions", "verify"]).unwrap();
    shop.close(&[]);
}

#[test]
fn an_export_verifies_offline_and_tampering_is_found() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    psql(
        &shop,
        Who::Agent,
        "SELECT name FROM products WHERE id = 3;\nSELECT sku FROM products WHERE id = 4;\nDROP TABLE orders;\n",
    );
    let id = session_id(listed(&shop).last().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let export = directory.path().join("session.export");
    shop.gateway().command(&["sessions", "export", &id, "-o", export.to_str().unwrap()]).unwrap();
    let key = directory.path().join("audit.pub");
    std::fs::copy(shop.gateway().directory().join("data/audit.pub"), &key).unwrap();
    shop.close(&[]);

    let honest = offline_verify(&export, &key);
    assert!(honest.status.success(), "{}", String::from_utf8_lossy(&honest.stderr));
    let bytes = std::fs::read(&export).unwrap();
    type Edit = (&'static str, fn(&str) -> String);
    let edits: [Edit; 3] = [
        ("an edit", |text| text.replacen("Notebook no. 3", "Notebook no. 4", 1)),
        ("a removed event", |text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.remove(lines.iter().position(|line| line.contains("DROP TABLE")).unwrap());
            lines.join("\n") + "\n"
        }),
        ("a changed decision", |text| text.replacen("\"deny\"", "\"allow\"", 1)),
    ];
    let text = String::from_utf8(bytes).unwrap();
    for (what, edit) in edits {
        let altered = edit(&text);
        assert_ne!(altered, text, "{what} changed nothing");
        let forged = directory.path().join("forged.export");
        std::fs::write(&forged, altered).unwrap();
        assert_eq!(offline_verify(&forged, &key).status.code(), Some(1), "{what} was not found");
    }
}

#[test]
fn the_record_is_read_from_a_stopped_gateway() {
    let Some(mut shop) = Shop::guarded(Wants::default()) else { return };
    psql(&shop, Who::Agent, "SELECT 42 AS before_the_stop;\n");
    shop.gateway_mut().kill().unwrap();
    let sessions = listed(&shop);
    let id = session_id(sessions.last().unwrap());
    let shown = shop.gateway().command(&["sessions", "show", &id]).unwrap();
    assert!(shown.contains("before_the_stop"), "{shown}");
    shop.gateway().command(&["sessions", "verify"]).unwrap();
}

/// Kills the gateway with -9 while clients work; every answered read and every write that reached the server is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_nothing_that_was_answered() {
    let Some(mut shop) = Shop::guarded(Wants { plaintext: true, ..Wants::default() }) else { return };
    for round in 0..cases(3).clamp(1, 50) {
        let token = shop.token(Who::Agent);
        let address = shop.gateway().address("postgres").unwrap();
        let mut clients = tokio::task::JoinSet::new();
        for worker in 0..4 {
            let (address, token) = (address.clone(), token.clone());
            clients.spawn(async move {
                let mut answered = Vec::new();
                // The kill may come before this one is in.
                let Ok(mut client) = RawClient::login(&address, "agent", "shop", &token).await else { return answered };
                for number in 0.. {
                    let mark = format!("crash_{round}_{worker}_{number}_end");
                    let sql = if number % 2 == 0 {
                        format!("SELECT '{mark}'")
                    } else {
                        format!("INSERT INTO order_log (order_id, event) VALUES (1, '{mark}')")
                    };
                    if client.send(&frontend::query(&sql)).await.is_err() || client.read_until_ready().await.is_err() {
                        break;
                    }
                    answered.push(mark);
                }
                answered
            });
        }
        let busy = tokio::task::spawn_blocking(move || {
            crate::surroundings::eventually("work is under way", || {
                shop.ask_server(&format!("SELECT count(*) FROM order_log WHERE event LIKE 'crash\\_{round}\\_%'"))
                    .parse::<u32>()
                    .unwrap()
                    > 40
            });
            shop.gateway_mut().kill().unwrap();
            shop
        });
        shop = busy.await.unwrap();
        let mut wanted: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
        let written = shop.ask_server(&format!("SELECT event FROM order_log WHERE event LIKE 'crash\\_{round}\\_%'"));
        wanted.extend(written.lines().map(ToOwned::to_owned));
        shop.gateway_mut().restart().unwrap();
        let record = shop.gateway().command(&["sessions", "export"]).unwrap();
        let missing: Vec<_> = wanted.iter().filter(|mark| !record.contains(mark.as_str())).collect();
        assert!(
            missing.is_empty(),
            "round {round}: {} of {} are not recorded: {missing:?}",
            missing.len(),
            wanted.len()
        );
        assert!(record.contains("interrupted"), "open sessions were not closed");
        shop.gateway().command(&["sessions", "verify"]).unwrap();
    }
    shop.close(&["interrupted", "not closed", "recover"]);
}
