//! Servers of every version to be had start, take SCRAM over TLS, and keep what a test asks of them.

use portcullis_testkit::postgres::{Installation, Options};
use portcullis_testkit::{Postgres, or_skip, shop};

fn shared() -> Option<&'static Postgres> {
    or_skip(Postgres::shared())
}

#[test]
fn shop_is_what_it_says() {
    let Some(server) = shared() else { return };
    let database = server.create_database("shop", shop::SQL).unwrap();
    let counts =
        "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM products), (SELECT count(*) FROM orders)";
    let expected = format!("{}|{}|{}\n", shop::CUSTOMERS, shop::PRODUCTS, shop::ORDERS);
    assert_eq!(server.run_sql(&database, counts).unwrap(), expected);
    let payments = server.run_sql(&database, "SELECT count(*) > 20, min(amount) > 0 FROM payments").unwrap();
    assert_eq!(payments, "t|t\n");
}

#[test]
fn speaks_tls_and_scram() {
    let Some(server) = shared() else { return };
    let psql = Installation::system().unwrap().client("psql").unwrap();
    let how = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let mut client = std::process::Command::new(&psql);
    let said = client.args(["-X", "-A", "-t", "-c", how, &server.dsn("postgres")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "t\n", "{}", String::from_utf8_lossy(&said.stderr));
    let wrong = server.dsn("postgres").replace(server.password(), "wrong");
    let refused = std::process::Command::new(&psql).args(["-X", "-c", how, &wrong]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("password authentication failed"));
}

#[test]
fn an_error_stops_the_script() {
    let Some(server) = shared() else { return };
    let error = server.run_sql("postgres", "SELECT 1/0; SELECT 'after'").unwrap_err().to_string();
    assert!(error.contains("division by zero") && !error.contains("after"), "{error}");
}

#[test]
fn every_version_starts() {
    let all = Installation::all();
    if all.is_empty() {
        println!("skipped: no PostgreSQL");
        return;
    }
    println!("versions: {:?}", all.iter().map(Installation::version).collect::<Vec<_>>());
    for installation in all {
        let server = Options::new(installation).setting("work_mem", "5MB").start().unwrap();
        let version = server.run_sql("postgres", "SHOW server_version_num").unwrap();
        assert_eq!(version.trim().parse::<u32>().unwrap() / 10_000, server.version());
        assert_eq!(server.run_sql("postgres", "SHOW work_mem").unwrap(), "5MB\n");
    }
}

#[test]
fn settings_and_access_reach_the_server() {
    let Ok(installation) = Installation::system() else { return };
    let server = Options::new(installation).without_tls().access("local all nobody_may reject").start().unwrap();
    assert_eq!(server.run_sql("postgres", "SHOW ssl").unwrap(), "off\n");
    assert!(
        server.run_sql("postgres", "SELECT user_name FROM pg_hba_file_rules LIMIT 1").unwrap().contains("nobody_may")
    );
    assert!(server.ca_file().is_none());
}
