//! The first things anybody does.

use crate::world::World;
use std::process::Command;

fn psql(world: &World, arguments: &[&str]) -> (String, String) {
    let port = world.address.rsplit(':').next().unwrap();
    let done = Command::new("psql")
        .args(["-X", "-A", "-t", "-h", "127.0.0.1", "-p", port, "-U", "agent-7", "-d", "shop"])
        .args(arguments)
        .env("PGPASSWORD", &world.token)
        .output()
        .unwrap();
    (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_reads_rows_is_refused_and_goes_on_in_the_same_session() {
    let world = World::new().await;
    let (out, err) = psql(
        &world,
        &[
            "-c",
            "SELECT name FROM items WHERE id = 3",
            "-c",
            "DROP TABLE items",
            "-c",
            "DELETE FROM items",
            "-c",
            "SELECT count(*) FROM items",
        ],
    );
    assert_eq!(out, "item 3\n100\n", "{err}");
    assert!(err.contains("refused by policy: rule test/no-destruction denies drop table public.items"), "{err}");
    assert!(err.contains("HINT:  Nothing is dropped here."), "{err}");
    assert!(err.contains("rule test/no-unbounded"), "{err}");
    assert!(!world.recorder.ledger().contains("DROP TABLE"), "no byte of a refused command is written upstream");
}
