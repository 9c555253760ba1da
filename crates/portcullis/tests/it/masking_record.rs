//! The record of masked sessions: nothing protected is in it, whoever asked and however; it tells what was masked, by
//! which rule and how often, and still verifies.

use crate::masking_secrets::Vault;
use crate::surroundings::libpq_client;
use portcullis_testkit::process::run_with_input;
use portcullis_testkit::wire::frontend::{bind, describe, execute, parse, query, sync};
use serde_json::Value;

/// What a protected value of this column is.
fn value(vault: &Vault, column: &str) -> String {
    vault.ask_server(&format!("SELECT {column} FROM people WHERE id = 3"))
}

/// Statements that hold protected values themselves, or ask for them in every way.
fn script(vault: &Vault) -> String {
    let [ssn, tax, email, balance, born] =
        ["ssn", "tax", "email", "balance", "born"].map(|column| value(vault, column));
    format!(
        "SELECT * FROM people ORDER BY id;\nSELECT id FROM people WHERE tax = '{tax}';\nSELECT id FROM people WHERE ssn = '{ssn}';\n\
         SELECT id FROM people WHERE '{ssn}' = ssn AND balance > {balance};\nSELECT id FROM people WHERE email IN ('x', '{email}') OR born = '{born}'::date;\n\
         UPDATE people SET ssn = '{ssn}', tax = '{tax}' WHERE id = 3 RETURNING ssn;\n\
         INSERT INTO people (id, name, city, score, ssn, balance) VALUES (3, 'x', 'y', 1, '{ssn}', {balance});\n\
         SELECT name, CASE WHEN ssn = '{ssn}' THEN 1 END FROM people;\nSELECT ssn::integer FROM people WHERE id = 3;\nSELECT shout(3);\n\
         BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM people; FETCH ALL FROM c; COMMIT;\n\
         PREPARE p (text) AS SELECT name FROM people WHERE tax = $1; EXECUTE p ('{tax}');\n\
         COPY people TO STDOUT;\nCOPY (SELECT upper(ssn), photo FROM people) TO STDOUT (FORMAT csv);\n\
         COPY people (id, name, city, score, ssn) FROM STDIN;\n77\tx\ty\t1\t{ssn}\n\\.\nDELETE FROM people WHERE id = 77;\n\
         SELECT whisper(3), (SELECT reason FROM visits LIMIT 1);\nEXPLAIN SELECT * FROM people WHERE tax = '{tax}';\n"
    )
}

async fn by_bind(vault: &Vault, group: &str) {
    let mut client = vault.login(group).await;
    let (tax, ssn) = (value(vault, "tax"), value(vault, "ssn"));
    for (sql, parameters) in [
        ("SELECT id FROM people WHERE tax = $1", vec![Some(tax.as_str())]),
        ("SELECT id FROM people WHERE ssn = $1", vec![Some(ssn.as_str())]),
        ("UPDATE people SET ssn = $1 WHERE id = 3 RETURNING ssn", vec![Some(ssn.as_str())]),
        ("SELECT ssn, upper(ssn) FROM people WHERE id = $1", vec![Some("3")]),
    ] {
        let frames = [parse("", sql), bind("", "", &parameters), describe(b'P', ""), execute("", 0), sync()].concat();
        client.send(&frames).await.unwrap();
        client.read_until_ready().await.unwrap();
    }
    client.send(&query("SELECT 1")).await.unwrap();
    client.read_until_ready().await.unwrap();
}

fn sessions(vault: &Vault) -> Vec<Value> {
    let text = vault.gateway.command(&["sessions", "list", "--json"]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_holds_nothing_protected() {
    let Some(vault) = Vault::open(true) else { return };
    let script = script(&vault);
    for group in ["agents", "officers"] {
        let mut psql = libpq_client("psql", &vault.dsn(group)).unwrap();
        run_with_input(psql.args(["-X", "-f", "-"]), script.as_bytes()).unwrap();
        by_bind(&vault, group).await;
    }
    let export = vault.gateway.command(&["sessions", "export"]).unwrap();
    vault.assert_clean("sessions export", &export);
    let mut shown = String::new();
    for session in sessions(&vault) {
        let id = session["id"].as_str().or(session["session"].as_str()).unwrap().to_owned();
        for arguments in [
            &["sessions", "show", &id][..],
            &["sessions", "show", &id, "--json"],
            &["sessions", "replay", &id, "--speed", "1000"],
        ] {
            let told = vault.gateway.command(arguments).unwrap();
            vault.assert_clean(&arguments.join(" "), &told);
            shown.push_str(&told);
        }
    }
    for expected in [
        "masked: ",
        "numbers",
        "ssn (8 by secrets/numbers: provenance)",
        "email (8 by secrets/addresses: provenance)",
        "[protected text ",
        "[protected ",
    ] {
        assert!(shown.contains(expected), "{expected:?} in\n{shown}");
    }
    // What is not protected is there as it was.
    assert!(shown.contains("Person 3") && shown.contains("SELECT shout(3)"), "{shown}");
    vault.gateway.command(&["sessions", "verify"]).unwrap();
    let log = vault.gateway.log_text();
    vault.assert_clean("the log", &log);
    vault.close(&[]);
}
