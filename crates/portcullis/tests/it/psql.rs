//! psql, the client everybody has: what it prints through the gateway is what it prints directly, byte for byte, and what
//! it is refused it survives.

use crate::surroundings::{Shop, Wants, Who, eventually, libpq_client};
use portcullis_testkit::process::run_with_input;
use portcullis_testkit::{Postgres, shop};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a script in psql and returns what it printed, errors in their place.
fn psql(dsn: &str, script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("sh");
    let psql = libpq_client("psql", dsn).unwrap();
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(psql.get_program()).args(["-X", "-f", "-"]).args(arguments);
    command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run_with_input(&mut command, script.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// Without what differs between two databases of one server: their names, sizes, and times of day.
fn comparable(output: &str, database: &str) -> String {
    let line = |line: &str| {
        let line = line.replace(database, "DATABASE");
        match line.split_once(" (every ") {
            Some((_time_of_day, every)) => format!("(every {every}"),
            None => line,
        }
    };
    // The decision's id is ours to add to the server's own errors.
    let lines = output.lines().filter(|line| !line.starts_with("DETAIL:  Decision "));
    lines.map(line).collect::<Vec<_>>().join("\n")
}

/// Runs a script through the gateway and directly, each over a fresh shop, and compares.
fn same_as_direct(who: Who, script: &str) {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let other = shop.server.create_database("direct", shop::SQL).unwrap();
    let through = comparable(&psql(&shop.dsn(who), script, &[]), &shop.database);
    let direct = comparable(&psql(&shop.server.dsn(&other), script, &[]), &other);
    assert_eq!(through, direct, "through the gateway, then directly");
    assert!(!direct.is_empty());
    shop.close(&[]);
}

#[test]
fn describes_as_directly() {
    same_as_direct(
        Who::Agent,
        "\\d\n\\d orders\n\\d+ orders\n\\d order_totals\n\\d+ order_totals\n\\d shipments\n\\d+ shipments_2025\n\\d sales_by_city\n\\d hr.*\n\\d nowhere\n\
         \\dt\n\\dt *.orders\n\\dv\n\\dm\n\\di\n\\ds\n\\dn\n\\dn+\n\\df\n\\df+ order_total\n\\df purge_*\n\\sf order_total\n\\sv order_totals\n\
         \\dp orders\n\\dT\n\\dx\n\\dy\n\\dd\n\\do =\n\\dC bool*\n\\dA\n\\dew\n\\dP\n\\dL\n\\dc utf8*\n\\dF\n\\ddp\n\\dRp\n",
    );
}

#[test]
fn lists_relations_with_sizes_functions_databases_and_roles() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let output =
        psql(&shop.dsn(Who::Agent), "\\dt+\n\\df\n\\l\n\\l+\n\\du\n\\du+\n\\dg\n\\db+\n", &["-v", "ON_ERROR_STOP=1"]);
    for expected in ["order_items", "purge_cancelled", shop.database.as_str(), "template1", "postgres", "pg_default"] {
        assert!(output.contains(expected), "{expected} in\n{output}");
    }
    assert!(!output.contains("ERROR"), "{output}");
    shop.close(&[]);
}

#[test]
fn queries_as_directly() {
    same_as_direct(
        Who::Agent,
        "SELECT id, name, city FROM customers ORDER BY id LIMIT 3;\n\
         SELECT id, total, created FROM (SELECT order_id AS id, total, NULL::timestamptz AS created FROM order_totals) AS t ORDER BY 1 LIMIT 2 \\gdesc\n\
         SELECT price AS wanted FROM products WHERE id = 3 \\gset\n\\echo :wanted\n\
         SELECT format('SELECT %s AS n', n) FROM generate_series(1, 3) AS n \\gexec\n\
         SELECT city, status, count(*) FROM customers JOIN orders ON customer_id = customers.id GROUP BY 1, 2 ORDER BY 1, 2 \\crosstabview\n\
         \\x\nSELECT * FROM products WHERE id = 1;\n\\x\n\
         SELECT 1/0;\nSELEC 1;\nSELECT * FROM nowhere;\n\
         SELECT 1 \\; SELECT 2 \\; SELECT 3;\n\
         \\set AUTOCOMMIT off\nUPDATE products SET stock = 0 WHERE id = 1;\nROLLBACK;\n\\set AUTOCOMMIT on\n\
         \\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT 1;\nCOMMIT;\n\
         \\set FETCH_COUNT 7\nSELECT id FROM orders ORDER BY id LIMIT 30;\n\\unset FETCH_COUNT\n\
         BEGIN; DECLARE c CURSOR FOR SELECT id FROM products ORDER BY id; FETCH 3 FROM c; MOVE 2 FROM c; FETCH 1 FROM c; CLOSE c; COMMIT;\n\
         PREPARE one (int) AS SELECT name FROM products WHERE id = $1; EXECUTE one (4); DEALLOCATE one;\n\
         EXPLAIN (COSTS off) SELECT * FROM orders WHERE id = 7;\n\
         SHOW server_encoding;\nSET TimeZone = 'Asia/Tokyo';\nSHOW TimeZone;\nRESET TimeZone;\n\
         SELECT order_total(5);\nSELECT * FROM customers WHERE name = 'O''Brien' OR name = U&'\\0441';\n",
    );
}

#[test]
fn copies_in_and_out() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("products.csv");
    let mut file = std::fs::File::create(&data).unwrap();
    for number in 0..2000 {
        writeln!(file, "COPIED-{number},copied,1.50").unwrap();
    }
    let data = data.display();
    same_as_direct(
        Who::Agent,
        &format!(
            "\\copy (SELECT id, sku FROM products ORDER BY id LIMIT 3) TO STDOUT WITH CSV HEADER\n\
             \\copy products (sku, name, price) FROM '{data}' CSV\n\
             SELECT count(*), sum(price) FROM products WHERE name = 'copied';\n\
             \\copy products (sku, name, price) FROM '{data}' CSV\n\
             COPY order_log (order_id, event) FROM STDIN;\n1\tone\n2\ttwo\n\\.\n\
             SELECT event FROM order_log WHERE event IN ('one', 'two') ORDER BY 1;\n\
             COPY order_log (order_id, event) FROM STDIN;\nnot a number\tx\n\\.\n\
             SELECT 'still here';\n\
             COPY products TO STDOUT \\g /dev/null\n"
        ),
    );
}

#[test]
fn watches_until_an_error_ends_it() {
    // Stock of product 1 is 10: the third round divides by zero, which ends \watch.
    same_as_direct(
        Who::Agent,
        "WITH bump AS (UPDATE products SET stock = stock + 1 WHERE id = 1 RETURNING stock) SELECT 12 / (13 - stock) AS left FROM bump \\watch 0.05\n\
         SELECT stock FROM products WHERE id = 1;\n",
    );
}

#[test]
fn runs_command_line_statements_as_one_transaction() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let mut command = libpq_client("psql", &shop.dsn(Who::Agent)).unwrap();
    command.args([
        "-X",
        "-A",
        "-t",
        "-1",
        "-c",
        "SELECT 1",
        "-c",
        "INSERT INTO order_log (order_id, event) VALUES (9, 'one')",
        "-c",
        "SELECT 2",
    ]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\nINSERT 0 1\n2\n");
    assert_eq!(shop.ask_server("SELECT count(*) FROM order_log WHERE event = 'one'"), "1");
    shop.close(&[]);
}

#[test]
fn refusals_name_the_rule_and_leave_the_session_usable() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let script = "\\set VERBOSITY verbose\nDROP TABLE orders;\nDELETE FROM orders;\nTRUNCATE orders;\nSELECT name FROM hr.employees;\n\
        \\set VERBOSITY default\nBEGIN;\nINSERT INTO order_log (order_id, event) VALUES (1, 'half');\nDROP TABLE orders;\nSELECT 1;\nCOMMIT;\n\
        SELECT 'usable', count(*) FROM orders;\nSELECT count(*) AS kept FROM order_log WHERE event = 'half';\n\
        \\copy hr.employees FROM '/dev/null'\nSELECT 'after copy';\nSELECT 1 \\; DROP TABLE orders \\; SELECT 2;\nSELECT 'end';\n";
    let output = psql(&shop.dsn(Who::Agent), script, &["-A", "-t"]);
    assert_eq!(output.matches("ERROR:  42501").count(), 4, "{output}");
    for expected in [
        "no-destruction",
        "no-unbounded-writes",
        "Agents may not destroy tables. Ask the owner.",
        "Add a WHERE clause that names the rows.",
        "current transaction is aborted",
        "ROLLBACK",
        "usable|120",
        "\n0\n",
        "after copy",
        "\nend\n",
    ] {
        assert!(output.contains(expected), "{expected:?} in\n{output}");
    }
    assert_eq!(shop.ask_server("SELECT count(*) FROM orders"), "120");
    shop.close(&[]);
}

#[test]
fn control_c_cancels_the_statement_on_the_server() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let marker = "SELECT count(*) AS to_be_cancelled FROM generate_series(1, 10000000000)";
    let mut command = libpq_client("psql", &shop.dsn(Who::Agent)).unwrap();
    let mut child = command
        .args(["-X", "-c", marker])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = '{}' AND query LIKE '%to_be_cancelled%' AND pid <> pg_backend_pid()",
        shop.database
    );
    eventually("the statement runs", || shop.ask_server(&running) != "0" || child.try_wait().unwrap().is_some());
    let interrupt =
        Command::new("sh").args(["-c", "kill -s INT \"$1\"", "sh", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
    eventually("the server stops", || shop.ask_server(&running) == "0");
    shop.close(&[]);
}

#[test]
fn every_server_version_works() {
    let Some(_) = crate::surroundings::server() else { return };
    for installation in portcullis_testkit::postgres::Installation::all() {
        let server = portcullis_testkit::postgres::Options::new(installation).start().unwrap();
        one_version(&server);
    }
}

fn one_version(server: &Postgres) {
    let database = server.create_database("shop", shop::SQL).unwrap();
    let script = "\\d orders\n\\dt\n\\df\nSELECT count(*) FROM orders;\nCOPY (SELECT 1) TO STDOUT;\nSELECT $1::int + 1 \\bind 41 \\g\n\\r\nDROP TABLE orders;\nSELECT 'usable';\n";
    // \bind came with psql 16; an older one says so, the same either way.
    if crate::surroundings::direct() {
        let output = psql(&server.dsn(&database), &script.replace("DROP TABLE orders;\n", ""), &["-A", "-t"]);
        assert!(output.contains("usable"), "PostgreSQL {}:\n{output}", server.version());
        return;
    }
    let settings = portcullis_testkit::gateway::Settings::new(crate::surroundings::BINARY);
    let gateway =
        settings.policy("agents", crate::surroundings::AGENTS).postgres("shop", server, &database).start().unwrap();
    let token = gateway.token("agent", &["agents"]).unwrap();
    let output = psql(&gateway.dsn("shop", "agent", &token).unwrap(), script, &["-A", "-t"]);
    for expected in ["customer_id|integer", "\n120\n", "Agents may not destroy tables", "\nusable\n"] {
        assert!(output.contains(expected), "{expected:?} with PostgreSQL {}:\n{output}", server.version());
    }
    gateway.stop(&[]).unwrap_or_else(|error| panic!("PostgreSQL {}: {error}", server.version()));
}
