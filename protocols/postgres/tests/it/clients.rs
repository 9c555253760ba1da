//! Real clients, as people use them.

use crate::world::World;
use std::process::{Command, Stdio};

fn psql(world: &World, script: &str) -> String {
    use std::io::Write;
    let port = world.address.rsplit(':').next().unwrap();
    let mut child = Command::new("psql")
        .args(["-X", "-A", "-t", "-h", "127.0.0.1", "-p", port, "-U", "agent-7", "-d", "shop", "-f", "-"])
        .env("PGPASSWORD", &world.token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p58_psql_describes_what_there_is() {
    let world = World::new().await;
    let told = psql(
        &world,
        "\\d\n\\d items\n\\dt+\n\\df\n\\l\n\\du\n\\dn\n\\d+ items\nSELECT id, price FROM items WHERE id = 1 \\gdesc\n\
         SELECT 1 AS one \\gset\n\\echo :one\n\\copy (SELECT id FROM items WHERE id = 7) TO STDOUT\n",
    );
    assert!(!told.contains("ERROR"), "{told}");
    assert!(
        told.contains("public|items|table") && told.contains("id|integer") && told.contains("numeric(10,2)"),
        "{told}"
    );
    assert!(told.contains("\n7\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_prepares_pipelines_copies_and_meets_a_refusal() {
    use futures_util::{SinkExt, StreamExt};
    let world = World::new().await;
    let port = world.address.rsplit(':').next().unwrap();
    let config = format!("host=127.0.0.1 port={port} user=agent-7 dbname=shop password={}", world.token);
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(connection);
    let statement = client.prepare("SELECT name FROM items WHERE id = $1").await.unwrap();
    let (one, two) = (1_i32, 2_i32);
    let (one, two): ([&(dyn tokio_postgres::types::ToSql + Sync); 1], [_; 1]) = ([&one], [&two as _]);
    let (first, second) = tokio::join!(client.query_one(&statement, &one), client.query_one(&statement, &two));
    assert_eq!(first.unwrap().get::<_, String>(0), "item 1");
    assert_eq!(second.unwrap().get::<_, String>(0), "item 2");
    let refused = client.execute("DELETE FROM items", &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");
    let sink = client.copy_in::<_, bytes::Bytes>("COPY items FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(bytes::Bytes::from_static(b"300\tcopied\t3.5\n")).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 1);
    let stream = client.copy_out("COPY (SELECT name FROM items WHERE id = 300) TO STDOUT").await.unwrap();
    let copied: Vec<_> = stream.collect().await;
    assert_eq!(copied.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat(), b"copied\n");
    let rows = client.simple_query("SELECT 1; SELECT 2").await.unwrap();
    assert!(rows.len() >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbench_runs_in_every_mode() {
    let world = World::new().await;
    let port = world.address.rsplit(':').next().unwrap().to_owned();
    world.sql(
        "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84)); \
         INSERT INTO pgbench_accounts SELECT n, 1, 0, '' FROM generate_series(1, 100000) n; \
         CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88)); \
         INSERT INTO pgbench_branches VALUES (1, 0, ''); \
         CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84)); \
         INSERT INTO pgbench_tellers SELECT n, 1, 0, '' FROM generate_series(1, 10) n; \
         CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
    );
    for mode in ["simple", "extended", "prepared"] {
        let done = Command::new("/usr/lib/postgresql/15/bin/pgbench")
            .args(["-n", "-h", "127.0.0.1", "-p", &port, "-U", "agent-7", "-M", mode, "-c", "2", "-t", "20", "shop"])
            .env("PGPASSWORD", &world.token)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{mode}: {said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(said.contains("number of transactions actually processed: 40/40"), "{said}");
    }
}
