//! tokio-postgres and sqlx, in process. Neither is built with TLS here, so the gateway listens in plaintext on loopback.

use crate::surroundings::{Shop, Wants, Who, part};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, Executor as _, Row as _};
use std::pin::pin;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const PLAINTEXT: Wants = Wants { plaintext: true, recorder: false, torn: 0, extra: "" };

async fn connect(dsn: &str) -> Client {
    let dsn = dsn.split(" sslmode").next().unwrap();
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await.unwrap();
    tokio::task::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_speaks_every_way() {
    let Some(shop) = Shop::open(PLAINTEXT) else { return };
    let mut client = connect(&shop.dsn(Who::Agent)).await;
    let row = client
        .query_one("SELECT name, stock, sku = ANY($2) FROM products WHERE id = $1", &[&3_i32, &vec!["SKU-003"]])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1), row.get::<_, bool>(2)), ("Notebook no. 3", 30, true));

    let typed = client.prepare_typed("SELECT id FROM orders WHERE id <= $1 ORDER BY id", &[Type::INT4]).await.unwrap();
    let (a, b, c) =
        tokio::join!(client.query(&typed, &[&3_i32]), client.query(&typed, &[&5_i32]), client.query(&typed, &[&7_i32]));
    assert_eq!([a, b, c].map(|rows| rows.unwrap().len()), [3, 5, 7]);

    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(&typed, &[&100_i32]).await.unwrap();
    let pages = [
        transaction.query_portal(&portal, 40).await,
        transaction.query_portal(&portal, 40).await,
        transaction.query_portal(&portal, 40).await,
    ];
    assert_eq!(pages.map(|rows| rows.unwrap().len()), [40, 40, 20]);
    transaction
        .execute("INSERT INTO order_log (order_id, event) VALUES ($1, $2)", &[&1_i32, &"rolled back"])
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(shop.ask_server("SELECT count(*) FROM order_log WHERE event = 'rolled back'"), "0");

    let messages = client.simple_query("SELECT 1; SELECT 2").await.unwrap();
    assert_eq!(messages.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count(), 2);

    copies(&client).await;
    assert_eq!(client.query("SELECT 1/$1::int", &[&0_i32]).await.unwrap_err().code().unwrap().code(), "22012");
    assert_eq!(client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
    shop.close(&[]);
}

async fn copies(client: &Client) {
    use futures_util::{SinkExt as _, TryStreamExt as _};
    let out = client.copy_out("COPY (SELECT id FROM products ORDER BY id LIMIT 3) TO STDOUT").await.unwrap();
    let chunks: Vec<_> = pin!(out).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(chunks.concat(), b"1\n2\n3\n");
    let sink = client.copy_in::<_, &[u8]>("COPY order_log (order_id, event) FROM STDIN").await.unwrap();
    let mut sink = pin!(sink);
    for _ in 0..50 {
        sink.send(b"1\tcopied\n").await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 50);
    assert_eq!(client.execute("DELETE FROM order_log WHERE event = $1", &[&"copied"]).await.unwrap(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_survives_refusals_and_cancels() {
    let Some(shop) = Shop::guarded(PLAINTEXT) else { return };
    let client = connect(&shop.dsn(Who::Agent)).await;
    for sql in ["DROP TABLE orders", "DELETE FROM orders", "SELECT * FROM hr.employees"] {
        let error = client.query(sql, &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "42501", "{sql}");
        assert!(error.detail().is_some() && error.message().len() > 5, "{error:?}");
    }
    let cancel = client.cancel_token();
    let long = client.query("SELECT count(*) AS cancelled_soon FROM generate_series(1, 10000000000)", &[]);
    // The text shows as active while it is prepared too, and a cancel then cancels nothing: it is sent until one does.
    let again = async {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%cancelled_soon%' AND pid <> pg_backend_pid()";
        loop {
            if shop.ask_server(running) != "0" {
                cancel.cancel_query(NoTls).await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::select! {
        ended = long => ended,
        () = again => unreachable!(),
    };
    assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
    assert_eq!(client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
    shop.close(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlx_runs_transactions_and_refusals() {
    let Some(shop) = Shop::open(PLAINTEXT) else { return };
    let dsn = shop.dsn(Who::Agent);
    let options = PgConnectOptions::new_without_pgpass()
        .host(part(&dsn, "host"))
        .port(part(&dsn, "port").parse().unwrap())
        .username(part(&dsn, "user"))
        .password(part(&dsn, "password"))
        .database(part(&dsn, "dbname"))
        .ssl_mode(PgSslMode::Disable);
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let row = sqlx::query("SELECT name, stock FROM products WHERE id = $1")
        .bind(3_i32)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!((row.get::<String, _>(0), row.get::<i32, _>(1)), ("Notebook no. 3".to_owned(), 30));
    let rows = sqlx::query("SELECT id FROM orders").fetch_all(&mut connection).await.unwrap();
    assert_eq!(rows.len(), 120);

    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO order_log (order_id, event) VALUES ($1, 'sqlx')")
        .bind(1_i32)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let mut nested = transaction.begin().await.unwrap();
    assert!(nested.execute("SELECT 1/0").await.is_err());
    nested.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(shop.ask_server("SELECT count(*) FROM order_log WHERE event = 'sqlx'"), "1");

    if !crate::surroundings::direct() {
        let refused = connection.execute("DROP TABLE orders").await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501");
        let mut transaction = connection.begin().await.unwrap();
        assert!(sqlx::query("DELETE FROM orders").execute(&mut *transaction).await.is_err());
        transaction.rollback().await.unwrap();
        assert_eq!(sqlx::query("SELECT 1").fetch_all(&mut connection).await.unwrap().len(), 1);
    }
    connection.close().await.unwrap();
    shop.close(&[]);
}
