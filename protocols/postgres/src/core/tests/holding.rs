//! Commands that wait for people.

use super::rig::{Rig, says};
use std::task::{Context, Poll, Waker};

#[tokio::test]
async fn pg_p62_a_held_command_is_told_at_once_and_nothing_behind_it_is_judged() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::query("TRUNCATE items"), says::query("SELECT id FROM items")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "N");
    assert!(rig.core.is_holding() && rig.hold.is_some());
    let sent = String::from_utf8_lossy(&rig.sent).into_owned();
    assert!(!sent.contains("TRUNCATE") && !sent.contains("items"), "{sent}");
    rig.withdraw();
    rig.quiet();
    assert_eq!(rig.outline(), "E57014 ZI T D C ZI");
    assert!(rig.hold.is_none());
}

#[tokio::test]
async fn pg_p62_inside_a_transaction_a_hold_is_refused_at_once() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::query("BEGIN"), says::query("TRUNCATE items"), says::query("ROLLBACK")].concat());
    rig.quiet();
    assert_eq!(rig.outline(), "C ZT E42501 ZE C ZI");
    assert!(rig.hold.is_none());
}

#[tokio::test]
async fn a_parse_that_would_be_held_is_prepared_and_its_bind_held() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("TRUNCATE items"), says::sync()].concat());
    rig.quiet();
    // The notice comes at once, the answers to what came before it while it waits.
    assert_eq!(rig.outline(), "N 1");
    let hold = rig.hold.as_mut().expect("it waits");
    assert!(matches!(hold.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    rig.withdraw();
    rig.quiet();
    assert_eq!(rig.outline(), "E57014 ZI");
}

#[tokio::test]
async fn a_failure_before_a_held_command_takes_it_with_it() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.client(&[says::run("SELECT 1/0"), says::run("TRUNCATE items"), says::sync()].concat());
    rig.quiet();
    let told = rig.outline();
    assert!(told.ends_with("E22012 ZI"), "{told}");
    assert!(!rig.core.is_holding() && rig.hold.is_none());
}
