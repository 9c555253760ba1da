//! What rows cost: `cargo test --profile house … -- --ignored --nocapture speed`.

use super::answers::{columns, row};
use super::{Rig, masked, says};
use std::time::Instant;

const ROWS: usize = 1_000_000;

/// Nanoseconds for each row of four texts, delivered in pieces as a socket would.
async fn cost(house: &super::super::rig::House, text: &str, protected: bool) -> f64 {
    let mut rig = Rig::by_hand(house, &["agents"]).await;
    rig.client(&says::query(text));
    let relation = if protected { super::PEOPLE } else { 20_000 };
    let second = if protected { 2 } else { 3 };
    let four = [("a", relation, 3, 25), ("b", relation, second, 25), ("c", relation, 3, 25), ("d", relation, 3, 25)];
    rig.backend(&columns(&four));
    let one = row(&["some text", "123-45-6789", "more of a text", "and the last"]);
    let many = one.repeat(1000);
    let started = Instant::now();
    for _ in 0..ROWS / 1000 {
        rig.backend(&many);
        rig.told();
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = started.elapsed().as_nanos() as f64 / ROWS as f64;
    assert!(rig.end.is_none());
    each
}

#[tokio::test]
#[ignore = "it measures"]
async fn speed_of_rows() {
    let (none, some) = (super::super::gate().await, masked().await);
    let clear = "SELECT name, name, name, name FROM items";
    println!("no masks: {:.1} ns a row", cost(&none, clear, false).await);
    println!("masks in force, statement clean: {:.1} ns a row", cost(&some, clear, false).await);
    let shown = "SELECT name, name, name, name FROM people";
    println!("statement touches, nothing of it masked: {:.1} ns a row", cost(&some, shown, false).await);
    let hidden = "SELECT name, ssn, name, name FROM people";
    println!("one text of four redacted: {:.1} ns a row", cost(&some, hidden, true).await);
}
