//! The record holds what was asked and what was answered.

use crate::speak::{ask, exchange};
use crate::world::World;
use bytes::{BufMut, BytesMut};
use portcullis_model::EventBody;
use portcullis_testkit::wire::{frame, frontend};
use std::fmt::Write as _;

/// Results in the record: for each, its columns and its rows.
fn results(events: &[portcullis_model::Event]) -> String {
    let mut out = String::new();
    for event in events {
        if let EventBody::Result { columns, rows, truncated, .. } = &event.body {
            let names: Vec<String> = columns.iter().map(|c| format!("{} {}", c.name, c.type_name)).collect();
            writeln!(out, "[{}]{}", names.join(", "), if *truncated { " cut" } else { "" }).unwrap();
            for row in rows {
                let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
                writeln!(out, "{}", cells.join(" | ")).unwrap();
            }
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_p68_parameters_and_rows_are_recorded_in_text_form() {
    let world = World::new().await;
    let mut client = world.client().await;
    ask(&mut client, "SELECT id, name, NULL AS nothing FROM items WHERE id = 2").await.unwrap();
    let mut parse = BytesMut::new();
    parse.put_slice(b"\0SELECT name FROM items WHERE id = $1 OR name = $2\0\0\x01");
    parse.put_u32(23);
    let mut bind = BytesMut::new();
    bind.put_slice(b"\0\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04");
    bind.put_u32(7);
    bind.put_slice(b"\0\0\0\x01x\0\0");
    let frames = [frame(b'P', &parse), frame(b'B', &bind), frontend::execute("", 0), frontend::sync()];
    exchange(&mut client, &frames, 1).await;
    drop(client);
    let events = world.events().await;
    assert_eq!(results(&events), "[id int4, name text, nothing text]\n2 | item 2 | NULL\n[ unknown]\nitem 7\n");
    let parameters = events.iter().find_map(|event| match &event.body {
        EventBody::CommandReceived { parameters, prepared_by, .. } if !parameters.is_empty() => {
            Some((parameters.clone(), *prepared_by))
        }
        _ => None,
    });
    let (parameters, prepared_by) = parameters.unwrap();
    let shown: Vec<_> =
        parameters.iter().map(|p| format!("{} {}", p.type_name, p.value.as_deref().unwrap_or("NULL"))).collect();
    assert_eq!(shown, ["int4 7", "unknown x"]);
    assert!(prepared_by.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_values_are_recorded_as_the_server_would_write_them() {
    let world = World::new().await;
    let mut client = world.client().await;
    let values = "true, 'a'::text, 9007199254740993::int8, (-5)::int2, 2147483647::int4, 1.5::float8, 0.25::float4, \
         12345.678900::numeric, (-0.0001)::numeric, date '2024-02-29', timestamp '1999-12-31 23:59:59.5', \
         timestamptz '2024-01-01 00:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '{\"a\": 1}'::jsonb, \
         '\\xdead'::bytea";
    let query = format!("SELECT {values}");
    ask(&mut client, "SET TimeZone = 'UTC'").await.unwrap();
    ask(&mut client, &query).await.unwrap();
    let mut bind = BytesMut::new();
    bind.put_slice(b"\0\0\0\0\0\0\0\x01\0\x01");
    let frames = [
        frontend::parse("", &query),
        frame(b'B', &bind),
        frontend::describe(b'P', ""),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    exchange(&mut client, &frames, 1).await;
    drop(client);
    let results = results(&world.events().await);
    let rows: Vec<&str> = results.lines().filter(|line| !line.starts_with('[')).collect();
    assert_eq!(rows.len(), 2, "{results}");
    assert_eq!(rows[0], rows[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_result_is_counted_whole_and_recorded_up_to_the_limit() {
    let world = World::new().await;
    let mut client = world.client().await;
    let rows = ask(&mut client, "SELECT repeat('x', 1000) FROM generate_series(1, 500)").await.unwrap();
    assert_eq!(rows.len(), 500);
    // One row longer than what is streamed, and one longer than what is recorded.
    assert_eq!(ask(&mut client, "SELECT repeat('y', 70000)").await.unwrap()[0].len(), 70_000);
    drop(client);
    let events = world.events().await;
    assert!(results(&events).contains("cut"));
    let counted = crate::world::outcomes(&events).into_iter().any(|(text, outcome)| {
        text.contains("generate_series") && matches!(outcome, portcullis_model::Outcome::Completed { rows: 500, .. })
    });
    assert!(counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_notices_are_recorded() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, "SELECT 'x'::int").await, Err("22P02".to_owned()));
    ask(&mut client, "CREATE TABLE IF NOT EXISTS items (id int)").await.unwrap();
    drop(client);
    let events = world.events().await;
    let said = |stream: &str, part: &str| {
        events.iter().any(|event| match &event.body {
            EventBody::Output { stream: found, text, .. } => &**found == stream && text.contains(part),
            _ => false,
        })
    };
    assert!(said("error", "22P02 invalid input syntax for type integer"));
    assert!(said("notice", "relation \"items\" already exists"));
}
