//! PostgreSQL's own tools beside psql, as the owner of the data uses them: pg_dump, pg_restore, pgbench.

use crate::surroundings::{Shop, Wants, Who, libpq_client, succeed};

/// A dump without the lines that differ between two runs: versions' comments and the random key of `\restrict`.
fn stable(dump: &str) -> String {
    dump.lines()
        .filter(|line| !line.starts_with("--") && !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn pg_dump_gives_the_same_dump() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let dsn = shop.dsn(Who::Owner);
    for arguments in [&["--no-owner"][..], &["--schema-only"], &["--data-only", "--inserts", "--table=public.order*"]] {
        let through = stable(&succeed(libpq_client("pg_dump", &dsn).unwrap().args(arguments)));
        let direct =
            stable(&succeed(libpq_client("pg_dump", &shop.server.dsn(&shop.database)).unwrap().args(arguments)));
        assert!(through.contains("order_items") && through == direct, "{arguments:?}: {through}");
    }
    shop.close(&[]);
}

#[test]
fn a_parallel_dump_is_restored() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let dump = directory.path().join("dump");
    succeed(libpq_client("pg_dump", &shop.dsn(Who::Owner)).unwrap().args(["-Fd", "-j", "2", "-f"]).arg(&dump));
    let target = shop.server.create_database("restored", "").unwrap();
    let restore = &mut libpq_client("pg_restore", &shop.server.dsn(&target)).unwrap();
    succeed(restore.args(["--exit-on-error", "-d", &target]).arg(&dump));
    assert_eq!(shop.server.run_sql(&target, "SELECT count(*) FROM orders").unwrap(), "120\n");
    shop.close(&[]);
}

#[test]
fn pgbench_in_every_mode() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let dsn = shop.dsn(Who::Owner);
    succeed(libpq_client("pgbench", &dsn).unwrap().args(["-i", "-s", "1", "-q"]));
    for mode in ["simple", "extended", "prepared"] {
        for script in ["select-only", "tpcb-like", "simple-update"] {
            let arguments = ["-n", "-M", mode, "-b", script, "-c", "4", "-j", "2", "-t", "25"];
            let said = succeed(libpq_client("pgbench", &dsn).unwrap().args(arguments));
            assert!(said.contains("number of transactions actually processed: 100/100"), "{mode} {script}: {said}");
            assert!(said.contains("number of failed transactions: 0"), "{mode} {script}: {said}");
        }
    }
    assert_eq!(shop.ask_server("SELECT count(*) FROM pgbench_history"), "600");
    shop.close(&[]);
}

#[test]
fn pgbench_pipelines_and_reconnects() {
    let Some(shop) = Shop::open(Wants::default()) else { return };
    let dsn = shop.dsn(Who::Agent);
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("pipeline.sql");
    std::fs::write(&script, "\\startpipeline\nSELECT count(*) FROM orders;\nINSERT INTO order_log (order_id, event) VALUES (1, 'pipeline');\nSELECT 1;\n\\endpipeline\n").unwrap();
    for (mode, reconnect) in [("extended", false), ("prepared", false), ("extended", true)] {
        let mut pgbench = libpq_client("pgbench", &dsn).unwrap();
        pgbench.args(["-n", "-M", mode, "-c", "2", "-t", "10", "-f"]).arg(&script);
        if reconnect {
            pgbench.arg("-C");
        }
        let said = succeed(&mut pgbench);
        assert!(said.contains("number of transactions actually processed: 20/20"), "{said}");
    }
    assert_eq!(shop.ask_server("SELECT count(*) FROM order_log WHERE event = 'pipeline'"), "60");
    shop.close(&[]);
}
