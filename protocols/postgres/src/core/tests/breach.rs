//! Servers that do not keep the rules: the session ends, and nothing they made up reaches the client as an answer.

use super::rig::{Rig, says};

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn pg_p61_what_nothing_asked_for_ends_the_session() {
    let house = super::gate().await;
    for (tag, body) in [
        (b'D', &b"\0\x01\0\0\0\x01x"[..]),
        (b'Z', b"I"),
        (b'C', b"SELECT 1\0"),
        (b'1', b""),
        (b'W', b"\0\0\0"),
        (b'R', b"\0\0\0\0"),
        (b'G', b"\0\0\0"),
        (b'H', b"\0\0\0"),
    ] {
        let mut rig = Rig::new(&house).await;
        rig.quiet();
        rig.told();
        rig.backend(&frame(tag, body));
        assert_eq!(rig.outline(), "E08P01", "{}", char::from(tag));
        assert!(rig.end.is_some());
    }
}

#[tokio::test]
async fn pg_p28_a_server_that_accepts_a_stand_in_is_not_believed() {
    let house = super::gate().await;
    for answer in [frame(b'1', b""), frame(b'C', b"DROP TABLE\0"), frame(b'D', b"\0\x01\0\0\0\x01x"), frame(b'Z', b"I")]
    {
        let mut rig = Rig::new(&house).await;
        rig.quiet();
        rig.told();
        rig.client(&says::query("DROP TABLE items"));
        rig.backend(&answer);
        assert_eq!(rig.outline(), "E08P01");
        assert!(rig.end.is_some());
    }
}

#[tokio::test]
async fn pg_p19_a_pinned_setting_that_changes_ends_the_session() {
    let house = super::gate().await;
    for (body, ends) in [
        (&b"standard_conforming_strings\0off\0"[..], true),
        (b"client_encoding\0SJIS\0", true),
        (b"client_encoding\0UTF8\0", false),
        (b"application_name\0x\0", false),
    ] {
        let mut rig = Rig::new(&house).await;
        rig.quiet();
        rig.told();
        rig.backend(&frame(b'S', body));
        assert_eq!(rig.end.is_some(), ends);
        assert_eq!(rig.outline(), if ends { "E08P01" } else { "S" });
    }
}

#[tokio::test]
async fn a_text_of_two_readings_waits_until_the_server_has_said_how_it_reads_strings() {
    let house = super::gate().await;
    let flush = frame(b'H', b"");
    let ran = |sql: &str| [says::parse("", sql), says::bind("", ""), says::execute("")].concat();
    let escapes = says::parse("e", "SELECT id FROM items WHERE name LIKE name ESCAPE '\\'");
    for (before, passes) in [
        (Vec::new(), true),
        ([ran("SELECT id FROM items"), says::sync()].concat(), true),
        (ran("BEGIN"), true),
        ([ran("SELECT id FROM items"), flush.clone()].concat(), false),
        (ran("SELECT id FROM items"), false),
        ([ran("BEGIN"), ran("SELECT id FROM items"), flush].concat(), false),
        ([ran("SELECT id FROM items"), says::sync(), ran("SELECT id FROM items")].concat(), false),
    ] {
        for waits in [true, false] {
            let mut rig = Rig::new(&house).await;
            rig.quiet();
            rig.told();
            rig.client(&before);
            if waits {
                rig.quiet();
            }
            rig.client(&[escapes.clone(), says::sync()].concat());
            rig.quiet();
            let outline = rig.outline();
            assert_eq!(!outline.contains('E'), passes, "{outline}");
            assert!(rig.end.is_none());
        }
    }
}

#[tokio::test]
async fn pg_p59_notices_and_notifications_pass_at_any_moment() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.quiet();
    rig.told();
    rig.backend(&frame(b'A', b"\0\0\0\x01ch\0payload\0"));
    rig.client(&says::query("SELECT id FROM items"));
    rig.backend(&frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"));
    rig.quiet();
    assert_eq!(rig.outline(), "A N T D C ZI");
}

#[tokio::test]
async fn pg_p61_a_fatal_error_is_passed_on_and_the_session_ends() {
    let house = super::gate().await;
    let mut rig = Rig::new(&house).await;
    rig.quiet();
    rig.told();
    rig.backend(&frame(b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutting down\0\0"));
    assert_eq!(rig.outline(), "E57P01");
    assert_eq!(rig.end, Some("the backend ended the session"));
}
