//! Much data, slow peers, long pipelines: nothing stalls, and everything arrives.

use crate::speak::{ask, exchange, rows, tags};
use crate::world::World;
use portcullis_testkit::wire::frontend;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_arrives_whole_also_at_a_client_that_reads_late() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&frontend::query("SELECT n, repeat('x', 200) FROM generate_series(1, 200000) n")).await.unwrap();
    // Nothing is read until the server had time to fill every buffer on the way.
    let other = &mut world.client().await;
    assert_eq!(ask(other, "SELECT 1").await, Ok(vec!["1".to_owned()]));
    let drained = client.drain_until_ready().await.unwrap();
    assert_eq!(drained.rows, 200_000);
    assert_eq!(ask(&mut client, "SELECT 2").await, Ok(vec!["2".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p70_large_parameters_and_large_results_do_not_wait_for_each_other() {
    let world = World::new().await;
    let mut client = world.client().await;
    let long = "y".repeat(400_000);
    let mut frames = vec![frontend::parse("echo", "SELECT $1::text, $2::text")];
    for _ in 0..20 {
        frames.push(frontend::bind("", "echo", &[Some(&long), Some(&long)]));
        frames.push(frontend::execute("", 0));
    }
    frames.push(frontend::sync());
    let got = exchange(&mut client, &frames, 1).await;
    let got = rows(&got);
    assert_eq!(got.len(), 20);
    assert!(got.iter().all(|row| row.len() == 800_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_longer_than_any_queue_is_answered_to_its_end() {
    let world = World::new().await;
    let mut client = world.client().await;
    let mut frames = vec![frontend::parse("s", "SELECT $1::int")];
    for number in 0..5_000 {
        frames.push(frontend::bind("", "s", &[Some(&number.to_string())]));
        frames.push(frontend::execute("", 0));
    }
    frames.push(frontend::sync());
    let got = rows(&exchange(&mut client, &frames, 1).await);
    assert_eq!(got.len(), 5_000);
    assert_eq!(got[4_999], "4999");
    let queries: Vec<_> = (0..500).map(|number| frontend::query(&format!("SELECT {number}"))).collect();
    let got = exchange(&mut client, &queries, 500).await;
    assert_eq!(rows(&got).len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p31_a_flush_brings_what_is_pending_and_waiting_for_it_is_not_needed() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames =
        [frontend::parse("s", "SELECT id FROM items WHERE id = 1"), frontend::describe(b'S', "s"), frontend::flush()];
    client.send(&frames.concat()).await.unwrap();
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(client.read().await.unwrap());
    }
    assert_eq!(tags(&got), "1tT");
    let got =
        exchange(&mut client, &[frontend::bind("", "s", &[]), frontend::execute("", 0), frontend::sync()], 1).await;
    assert_eq!(tags(&got), "2DCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p20_a_text_that_could_be_cut_otherwise_waits_for_what_runs() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::parse("", "SELECT id FROM items WHERE id = 1"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::parse("", "SELECT E'a\\\\b', 'é'"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    let got = exchange(&mut client, &frames, 1).await;
    assert_eq!(rows(&got), ["1", "a\\b|é"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_longer_than_is_read_is_refused_and_the_session_lives_on() {
    let world = World::new().await;
    let mut client = world.client().await;
    let long = format!("SELECT '{}'", "z".repeat(2 << 20));
    assert_eq!(ask(&mut client, &long).await, Err("54000".to_owned()));
    assert_eq!(ask(&mut client, "SELECT 1").await, Ok(vec!["1".to_owned()]));
    let frames = [frontend::parse("", &long), frontend::bind("", "", &[]), frontend::sync()];
    let got = exchange(&mut client, &frames, 1).await;
    assert_eq!(tags(&got), "EZ");
}
