//! COPY to the client where something of it is masked.

use super::answers::{columns, complete, error, one, ready, row};
use super::{BOTH, CANARY, Rig, holds, masked, outline, rig, says, sent, told};

fn begins(binary: bool, width: u16) -> Vec<u8> {
    let mut body = vec![u8::from(binary)];
    body.extend_from_slice(&width.to_be_bytes());
    (0..width).for_each(|_| body.extend_from_slice(&u16::from(binary).to_be_bytes()));
    one(b'H', &body)
}

fn data(bytes: &[u8]) -> Vec<u8> {
    one(b'd', bytes)
}

#[tokio::test]
async fn pg_p44_a_copy_among_other_statements_is_masked_wherever_its_data_is_cut() {
    let house = masked().await;
    let text = "SELECT ssn, name FROM people; COPY people TO STDOUT WITH (HEADER, FORMAT csv); SELECT name FROM items";
    let rows = [format!("id,ssn,name\n1,{CANARY},\"a\nl\"\n"), format!("2,{CANARY},bo\n")];
    let answer = |pieces: &[&[u8]]| {
        let copied: Vec<u8> = pieces.iter().flat_map(|piece| data(piece)).collect();
        let before = [columns(&BOTH), row(&[CANARY, "al"]), complete("SELECT 1"), begins(false, 3)].concat();
        let behind =
            [one(b'c', b""), complete("COPY 2"), columns(&[("name", 20_000, 2, 25)]), row(&["clear"])].concat();
        [before, copied, behind, complete("SELECT 1"), ready(b'I')].concat()
    };
    let all = rows.concat();
    for cut in 0..all.len() {
        let mut rig = Rig::by_hand(&house, &["agents"]).await;
        rig.client(&says::query(text));
        let (first, second) = all.as_bytes().split_at(cut);
        rig.backend(&answer(&[first, second]));
        let client = told(&mut rig);
        let copied: Vec<u8> = bodies(&client, b'd');
        assert_eq!(String::from_utf8_lossy(&copied), all.replace(CANARY, "[redacted]"), "cut at {cut}");
        assert!(holds(&client, "clear") && rig.end.is_none());
    }
}

fn bodies(bytes: &[u8], tag: u8) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        if rest[0] == tag {
            out.extend_from_slice(&rest[5..=length]);
        }
        rest = &rest[length + 1..];
    }
    out
}

#[tokio::test]
async fn pg_p44_a_long_row_of_a_copy_is_masked_wherever_its_message_is_cut() {
    let house = masked().await;
    let text = format!("1\t{CANARY}\t{}\n", "x".repeat(70_000));
    let answer = [begins(false, 3), data(text.as_bytes()), one(b'c', b""), complete("COPY 1"), ready(b'I')].concat();
    let mut whole = Rig::by_hand(&house, &["agents"]).await;
    whole.client(&says::query("COPY people TO STDOUT"));
    whole.backend(&answer);
    let whole = told(&mut whole);
    assert!(holds(&whole, "1\t[redacted]\tx"));
    for cut in (0..60).chain([70_020, answer.len() - 30]) {
        let mut rig = Rig::by_hand(&house, &["agents"]).await;
        rig.client(&says::query("COPY people TO STDOUT"));
        rig.backend(&answer[..cut]);
        rig.backend(&answer[cut..]);
        assert_eq!(bodies(&told(&mut rig), b'd'), bodies(&whole, b'd'), "cut at {cut}");
    }
}

#[tokio::test]
async fn pg_p44_a_binary_copy_by_the_extended_protocol_is_masked() {
    let mut rig = rig().await;
    rig.client(&[says::run("COPY people (ssn, name) TO STDOUT (FORMAT binary)"), says::sync()].concat());
    assert_eq!(sent(&mut rig), "PBDES");
    let mut rows = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    rows.extend_from_slice(b"\0\x02\0\0\0\x0b");
    rows.extend_from_slice(CANARY.as_bytes());
    rows.extend_from_slice(b"\0\0\0\x02al\xff\xff");
    let (first, second) = rows.split_at(30);
    rig.backend(&[one(b'1', b""), one(b'2', b""), one(b'n', b""), begins(true, 2), data(first), data(second)].concat());
    rig.backend(&[one(b'c', b""), complete("COPY 1"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "12HddcCZ");
}

#[tokio::test]
async fn pg_p44_a_copy_that_cannot_be_read_is_refused_before_it_is_sent_and_the_session_lives() {
    let house = masked().await;
    for options in ["(ENCODING 'LATIN1')", "(FORMAT csv, FORMAT text)", "(FORMAT csv, DELIMITER ',', NULL ',')"] {
        let mut rig = Rig::by_hand(&house, &["agents"]).await;
        let copy = format!("COPY people TO STDOUT {options}");
        rig.client(&says::query(&copy));
        assert!(!holds(&rig.sent, "COPY"), "{options}");
        rig.backend(&[error("ERROR", "42601", "stand-in"), ready(b'I')].concat());
        let client = told(&mut rig);
        assert!(holds(&client, "C0A000") && holds(&client, "may have to be masked"), "{options}");
        // The same by Bind; Parse alone gives nothing away.
        rig.sent.clear();
        rig.client(&[says::run(&copy), says::sync()].concat());
        let bound = tags_behind_parse(&mut rig);
        rig.backend(&[one(b'1', b""), error("ERROR", "26000", "stand-in"), ready(b'I')].concat());
        assert_eq!((outline(&mut rig).as_str(), bound.as_str()), ("1EZ", "BES"), "{options}");
        assert!(rig.end.is_none());
        let id = rig.id;
        drop(rig);
        let (record, answers) = (house.told(id).await, house.answers(id).await);
        assert!(record.contains(&"1 refused".to_owned()), "{record:?}");
        assert!(answers.iter().any(|one| one.starts_with("refusal: ")), "{answers:?}");
    }
    // Where nothing is masked, the same options pass.
    let mut rig = Rig::by_hand(&house, &["agents"]).await;
    rig.client(&says::query("COPY items TO STDOUT (ENCODING 'LATIN1')"));
    assert_eq!(sent(&mut rig), "Q");
}

fn tags_behind_parse(rig: &mut Rig) -> String {
    let tags = sent(rig);
    tags.trim_start_matches('P').to_owned()
}

#[tokio::test]
async fn pg_p44_a_copy_prepared_by_the_protocol_and_run_by_sql_is_masked() {
    let mut rig = rig().await;
    rig.client(&[says::parse("s", "COPY people TO STDOUT"), says::sync()].concat());
    rig.backend(&[one(b'1', b""), ready(b'I')].concat());
    rig.client(&says::query("EXECUTE s"));
    let line = format!("1\t{CANARY}\tal\n");
    rig.backend(&[begins(false, 3), data(line.as_bytes()), one(b'c', b""), complete("COPY 1"), ready(b'I')].concat());
    let client = told(&mut rig);
    assert!(holds(&client, "1\t[redacted]\tal\n"));
    rig.client(&[says::parse("t", "COPY people TO STDOUT (ENCODING 'LATIN1')"), says::sync()].concat());
    rig.backend(&[one(b'1', b""), ready(b'I')].concat());
    rig.client(&says::query("EXECUTE t"));
    assert!(!holds(&rig.sent, "EXECUTE t"));
}

#[tokio::test]
async fn a_copy_that_is_not_as_announced_ends_the_session_and_nothing_follows_the_last_word() {
    let house = masked().await;
    for (binary, width, line) in [
        (true, 3, "1\t123-45-6789\tal\n"),
        (false, 2, "1\t123-45-6789\tal\n"),
        (false, 3, "1\t123-45-6789\n"),
        (false, 3, "1\t123-45-6789\tal"),
    ] {
        let mut rig = Rig::by_hand(&house, &["agents"]).await;
        rig.client(&says::query("COPY people TO STDOUT"));
        rig.backend(&[begins(binary, width), data(line.as_bytes()), one(b'c', b""), complete("COPY 1")].concat());
        let told = outline(&mut rig);
        assert!(told.ends_with('E') && rig.end.is_some(), "{told}");
    }
}
