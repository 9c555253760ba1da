//! PostgreSQL's own tools in the hands of someone who is masked: psql in all its ways of asking, and pg_dump, whose output
//! is masked where it reads with COPY and refused as a whole where it cannot be.

use crate::masking_secrets::Vault;
use crate::surroundings::libpq_client;
use portcullis_testkit::process::run_with_input;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

/// Runs a script in psql and returns what it printed, errors in their place.
fn psql(dsn: &str, script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("sh");
    let psql = libpq_client("psql", dsn).unwrap();
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(psql.get_program()).args(["-X", "-f", "-"]).args(arguments);
    command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run_with_input(&mut command, script.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a script as one who is masked; what it printed holds nothing protected and these.
fn asks(script: &str, expected: &[&str]) {
    let Some(vault) = Vault::open(false) else { return };
    let said = psql(&vault.dsn("agents"), script, &["-A"]);
    vault.assert_clean(script, &said);
    for expected in expected {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
    vault.close(&[]);
}

#[test]
fn selects_and_describes() {
    asks(
        "SELECT * FROM people ORDER BY id;\n\\d people\n\\d+ contacts\nSELECT * FROM people \\gdesc\n\\x\nSELECT * FROM directory ORDER BY id LIMIT 1;\n\\x\n\
         SELECT ssn FROM people WHERE id = 1 \\gset\n\\echo it is :ssn\nSELECT count(*) FROM people;\n\
         TABLE roster;\nSELECT id, reason FROM visits ORDER BY id;\nSELECT badge FROM staff;\nSELECT spent(1);\n",
        &[
            "1|Person 1|Bergen|10|[redacted]|",
            "8|Person 8|",
            "ssn|text",
            "photo|bytea",
            "search|text",
            "View \"public.contacts\"",
            "it is [redacted]",
            "\"plan\": \"free\"",
            "\n8\n",
            "spent",
        ],
    );
}

#[test]
fn plans_errors_and_notices_tell_nothing() {
    asks(
        "EXPLAIN SELECT ssn FROM people WHERE id = 1;\nEXPLAIN (ANALYZE, VERBOSE, COSTS off) SELECT * FROM people;\n\
         EXPLAIN (COSTS off) SELECT * FROM orders WHERE id = 1;\n\
         SELECT ssn::integer FROM people WHERE id = 1;\nSELECT (array_agg(ssn))[1]::date FROM people;\nSELECT shout(1);\n\
         INSERT INTO people (id, name, city, score) VALUES (1, 'x', 'y', 1);\n\
         DO $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM people LIMIT 1); END $$;\n\
         DO $$ BEGIN RAISE EXCEPTION '%', (SELECT ssn FROM people LIMIT 1); END $$;\n\
         DO $$ DECLARE n integer; BEGIN n := (SELECT ssn FROM people LIMIT 1); END $$;\n\
         SELECT ssn, lower('WORD')::integer FROM people WHERE id = 1;\n\
         SELECT 1/0;\nSELEC 1;\nSELECT 'usable';\n",
        &[
            "Seq Scan on orders",
            "invalid text representation",
            "withheld",
            "division by zero",
            "syntax error",
            "\nusable\n",
        ],
    );
}

#[test]
fn cursors_prepared_statements_and_copies() {
    let Some(vault) = Vault::open(false) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("people.csv");
    let script = format!(
        "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id, ssn, born FROM people ORDER BY id;\nFETCH 2 FROM c;\nMOVE 1 IN c;\nFETCH ABSOLUTE 1 FROM c;\nCOMMIT;\n\
         \\set FETCH_COUNT 3\nSELECT id, email FROM people ORDER BY id;\n\\unset FETCH_COUNT\n\
         PREPARE one (int) AS SELECT ssn, name FROM people WHERE id = $1; EXECUTE one (4); EXPLAIN EXECUTE one (4); DEALLOCATE one;\n\
         \\copy people TO '{0}' CSV HEADER\n\\copy (SELECT id, ssn, photo, home FROM people) TO STDOUT\n\\copy people (id, tags, balance) TO STDOUT BINARY\n\
         \\copy (SELECT * FROM visits) TO PSTDOUT\nCOPY people TO STDOUT (FORMAT csv, FORCE_QUOTE *);\nSELECT 'usable';\n",
        file.display()
    );
    let said = psql(&vault.dsn("agents"), &script, &["-A"]);
    vault.assert_clean(&script, &said);
    let copied = std::fs::read_to_string(&file).unwrap();
    vault.assert_clean("the file that was copied to", &copied);
    // COPY of a table leaves out its children and its generated columns.
    assert_eq!(copied.lines().count(), 7, "{copied}");
    assert!(copied.contains("6,Person 6,Aarhus,60,[redacted]"), "{copied}");
    for expected in ["1|[redacted]|", "[redacted]|Person 4", "COPY 6", "\nusable\n"] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
    vault.close(&[]);
}

#[test]
fn a_refused_inference_leaves_the_transaction_as_the_server_has_it() {
    asks(
        "SELECT id FROM people WHERE ssn LIKE 'g%';\nSELECT 'alone';\n\
         BEGIN;\nINSERT INTO orders VALUES (900, 1, 'half', 1, now());\nSELECT id FROM people ORDER BY ssn;\nSELECT 'not this';\n\\echo status :SQLSTATE\nCOMMIT;\n\
         SELECT count(*) AS kept FROM orders WHERE id = 900;\n\
         BEGIN;\nSAVEPOINT s;\nSELECT count(*) FROM people GROUP BY ssn;\nROLLBACK TO s;\nINSERT INTO orders VALUES (901, 1, 'whole', 1, now());\nCOMMIT;\n\
         SELECT count(*) AS kept, 'whole' FROM orders WHERE id = 901;\n\
         CREATE TABLE mine AS SELECT ssn FROM people;\nINSERT INTO orders SELECT 902, 1, ssn, 1, now() FROM people;\nUPDATE orders SET item = (SELECT ssn FROM people LIMIT 1) WHERE id = 1;\n\
         SELECT name FROM people WHERE tax = 'nobody';\nSELECT set_config('app.x', ssn, false) FROM people;\nSELECT 'usable';\n",
        &[
            "numbers protects public.people.ssn",
            "alone",
            "status 25P02",
            "ROLLBACK",
            "kept\n0\n",
            "1|whole",
            "\nusable\n",
        ],
    );
}

#[test]
fn a_notification_from_elsewhere_comes_without_its_payload() {
    let Some(vault) = Vault::open(false) else { return };
    let mut command = libpq_client("psql", &vault.dsn("agents")).unwrap();
    let mut child = command
        .args(["-X", "-A", "-t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asks = child.stdin.take().unwrap();
    let mut tells = BufReader::new(child.stdout.take().unwrap());
    asks.write_all(b"LISTEN news;\nSELECT 'listening';\n").unwrap();
    let mut said = String::new();
    while !said.contains("listening") && tells.read_line(&mut said).unwrap() > 0 {}
    vault.ask_server("SELECT pg_notify('news', ssn) FROM people WHERE id = 1");
    // What is pending comes with the next answer.
    asks.write_all(b"SELECT 'heard';\n").unwrap();
    drop(asks);
    tells.read_to_string(&mut said).unwrap();
    said += &String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr);
    vault.assert_clean("the notification", &said);
    assert!(said.contains("notification \"news\"") && said.contains("heard"), "{said}");
    vault.close(&[]);
}

/// A dump by one who is masked: whether it succeeded, and what it wrote.
fn dump(vault: &Vault, arguments: &[&str]) -> (bool, String) {
    let output = libpq_client("pg_dump", &vault.dsn("agents")).unwrap().args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    vault.assert_clean(&format!("pg_dump {arguments:?}"), &said);
    (output.status.success(), said)
}

#[test]
fn pg_dump_is_masked_or_refused_as_a_whole() {
    let Some(vault) = Vault::open(false) else { return };
    for arguments in [
        &[][..],
        &["--data-only"],
        &["--data-only", "-t", "people"],
        &["--inserts"],
        &["--data-only", "--column-inserts", "-t", "visits"],
        &["--data-only", "-t", "orders"],
        &["--schema-only"],
        &["-Fc"],
    ] {
        let (whole, said) = dump(&vault, arguments);
        let error = said.lines().filter(|line| line.contains("error")).collect::<Vec<_>>().join("; ");
        println!("pg_dump {arguments:?}: {}", if whole { "whole, masked" } else { &error });
        if whole {
            assert!(
                arguments.contains(&"-Fc") || said.contains("PostgreSQL database dump complete"),
                "{arguments:?}:\n{said}"
            );
        } else {
            assert!(!said.contains("dump complete") && said.contains("pg_dump: error"), "{arguments:?}:\n{said}");
        }
    }
    vault.close(&[]);
}
