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

/// The frames that a client was told, without notices and errors, whose words differ from session to session.
fn answers(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    while let Some(head) = rest.first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (frame, behind) = rest.split_at(length + 1);
        frames.push(frame);
        rest = behind;
    }
    assert!(rest.is_empty(), "no frame at the end");
    frames.retain(|frame| !matches!(frame[0], b'N' | b'E'));
    frames
}

#[tokio::test]
async fn nothing_is_said_within_a_message_that_comes_in_pieces() {
    let house = super::gate().await;
    let held = [says::run("TRUNCATE items"), says::sync()].concat();
    for text in ["SELECT name FROM people", "COPY people TO STDOUT"] {
        let read = [says::run(text), b"H\0\0\0\x04".to_vec()].concat();
        let mut rig = Rig::new(&house).await;
        rig.client(&[read.clone(), held.clone()].concat());
        rig.quiet();
        rig.withdraw();
        rig.quiet();
        let whole = rig.told();
        assert!(whole.len() > 80_000);
        for cut in (0..whole.len()).step_by(1999) {
            // That it is held, and that it still is.
            for late in [true, false] {
                let mut rig = Rig::new(&house).await;
                rig.quiet();
                rig.client(&read);
                if late {
                    rig.deliver(cut);
                    rig.client(&held);
                } else {
                    rig.client(&held);
                    rig.deliver(cut);
                    rig.waited();
                }
                assert!(rig.core.is_holding());
                rig.quiet();
                rig.withdraw();
                rig.quiet();
                let told = rig.told();
                assert_eq!(answers(&told), answers(&whole), "{text}, {cut} bytes");
                let notices = super::rig::outline(&told).split(' ').filter(|tag| *tag == "N").count();
                assert_eq!(notices, if late { 1 } else { 2 });
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_ends_within_a_row_says_nothing_in_it() {
    let house = super::gate().await;
    for (cut, last) in [(60_000, false), (200, true)] {
        let mut rig = Rig::new(&house).await;
        rig.client(&says::query("SELECT name FROM people"));
        rig.deliver(cut);
        rig.deliver(if last { usize::MAX } else { 10_000 });
        rig.core.breach("a test", &mut rig.steps);
        rig.waited();
        let told = rig.told();
        assert_eq!(told.windows(5).any(|part| part == b"FATAL"), last, "{cut}");
    }
}
