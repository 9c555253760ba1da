//! COPY both ways against a real server.

use crate::speak::{codes, exchange, rows, statuses, tags};
use crate::world::World;
use portcullis_model::{EventBody, Outcome};
use portcullis_testkit::wire::{frontend, outline};

#[tokio::test(flavor = "multi_thread")]
async fn pg_p44_rows_copied_out_are_judged_as_a_bulk_read_and_recorded() {
    let world = World::new().await;
    let mut client = world.client().await;
    let got = exchange(&mut client, &[frontend::query("COPY (SELECT id FROM items WHERE id < 3) TO STDOUT")], 1).await;
    assert_eq!(tags(&got), "HddcCZ", "{}", outline(&got));
    let frames = [
        frontend::query("COPY secrets TO STDOUT"),
        frontend::query("COPY (DELETE FROM items RETURNING id) TO STDOUT"),
        frontend::query("COPY items TO PROGRAM 'cat'"),
        frontend::query("COPY items TO '/tmp/x'"),
        frontend::query("SELECT 1"),
    ];
    let got = exchange(&mut client, &frames, 5).await;
    assert_eq!(codes(&got), ["42501"; 4], "{}", outline(&got));
    assert_eq!(rows(&got), ["1"]);
    drop(client);
    let events = world.events().await;
    let copied: String = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Output { stream, text, .. } if &**stream == "copy" => Some(text.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(copied, "1\n2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p60_rows_copied_in_arrive_whole_and_their_digest_is_recorded() {
    let world = World::new().await;
    let mut client = world.client().await;
    let frames = [
        frontend::query("COPY items FROM STDIN"),
        frontend::copy_data(b"500\tnew\t1.0\n"),
        frontend::copy_data(b"501\tnewer\t"),
        frontend::copy_data(b"2.0\n"),
        frontend::copy_done(),
        frontend::query("COPY evil.items FROM STDIN"),
        frontend::query("SELECT count(*) FROM items"),
    ];
    let got = exchange(&mut client, &frames, 3).await;
    assert_eq!(tags(&got), "GCZEZTDCZ", "{}", outline(&got));
    assert_eq!(rows(&got), ["102"]);
    drop(client);
    let events = world.events().await;
    assert!(events.iter().any(|event| matches!(
        &event.body,
        EventBody::CommandSettled { outcome: Outcome::Completed { status, .. }, data: Some(_), .. } if &**status == "COPY 2"
    )));
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p30_drivers_that_sync_before_their_data_get_one_ready() {
    let world = World::new().await;
    let mut client = world.client().await;
    let start = [
        frontend::parse("", "COPY items FROM STDIN"),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    client.send(&start.concat()).await.unwrap();
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(client.read().await.unwrap());
    }
    assert_eq!(tags(&got), "12G");
    let rest =
        [frontend::copy_data(b"600\tx\t1\n"), frontend::copy_done(), frontend::sync(), frontend::query("SELECT 1")];
    let got = exchange(&mut client, &rest, 2).await;
    assert_eq!(tags(&got), "CZTDCZ");
    // Bad data: the error is the server's, what is left of the data is dropped, the session goes on.
    let frames = [
        frontend::query("COPY items FROM STDIN"),
        frontend::copy_data(b"not a number\tx\t1\n"),
        frontend::copy_done(),
        frontend::query("SELECT 2"),
    ];
    let got = exchange(&mut client, &frames, 2).await;
    assert_eq!((codes(&got), statuses(&got)), (vec!["22P02".to_owned()], "II".to_owned()), "{}", outline(&got));
    let frames = [frontend::query("COPY items FROM STDIN"), frontend::copy_fail("no"), frontend::query("SELECT 3")];
    let got = exchange(&mut client, &frames, 2).await;
    assert_eq!(codes(&got), ["57014"]);
}
