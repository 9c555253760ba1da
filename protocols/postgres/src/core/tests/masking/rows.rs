//! Rows: who describes them, and what becomes of those that nobody does.

use super::answers::{columns, complete, error, one, ready, row};
use super::holds;
use super::{BOTH, CANARY, PEOPLE, Rig, masked, outline, rig, says, sent, told};

#[tokio::test]
async fn pg_p35_the_gateways_own_describe_is_asked_once_for_each_portal_and_never_answered_to_the_client() {
    let mut rig = rig().await;
    let both = "SELECT ssn, name FROM people";
    rig.client(&[says::parse("s", both), says::bind("p", "s"), says::execute_some("p", 1)].concat());
    rig.client(&says::describe("p"));
    assert_eq!(sent(&mut rig), "PBDED");
    rig.backend(&[one(b'1', b""), one(b'2', b""), columns(&BOTH), row(&[CANARY, "al"]), one(b's', b"")].concat());
    rig.backend(&columns(&BOTH));
    assert_eq!(outline(&mut rig), "12DsT");
    // It goes on, ends, and is run once more.
    rig.client(&says::execute_some("p", 1));
    assert_eq!(sent(&mut rig), "E");
    rig.backend(&[row(&[CANARY, "bo"]), complete("SELECT 2")].concat());
    let client = told(&mut rig);
    assert!(holds(&client, "[redacted]") && holds(&client, "bo"));
    rig.client(&[says::execute("p"), says::sync()].concat());
    assert_eq!(sent(&mut rig), "ES");
    rig.backend(&[row(&[CANARY, "cy"]), complete("SELECT 3"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "DCZ");
    assert!(rig.end.is_none());
}

#[tokio::test]
async fn pg_p35_a_statement_that_touches_nothing_masked_is_not_described() {
    let mut rig = rig().await;
    rig.client(&[says::run("SELECT name FROM items"), says::sync()].concat());
    assert_eq!(sent(&mut rig), "PBES");
}

#[tokio::test]
async fn pg_p35_two_portals_of_one_statement_and_the_name_parsed_again_between() {
    let mut rig = rig().await;
    let script = [
        says::parse("s", "SELECT ssn, name FROM people"),
        says::describe_statement("s"),
        says::bind("a", "s"),
        says::bind("b", "s"),
        says::execute("a"),
        says::close("s"),
        says::parse("s", "SELECT id FROM items"),
        says::bind("c", "s"),
        says::execute("b"),
        says::execute("c"),
        says::sync(),
    ];
    rig.client(&script.concat());
    assert_eq!(sent(&mut rig), "PDBBDECPBDEES");
    let types = one(b't', &[0, 0]);
    rig.backend(&[one(b'1', b""), types, columns(&BOTH), one(b'2', b""), one(b'2', b"")].concat());
    rig.backend(&[columns(&BOTH), row(&[CANARY, "al"]), complete("SELECT 1")].concat());
    rig.backend(&[one(b'3', b""), one(b'1', b""), one(b'2', b"")].concat());
    rig.backend(&[columns(&BOTH), row(&[CANARY, "bo"]), complete("SELECT 1")].concat());
    rig.backend(&[row(&["7"]), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "1tT22DC312DCDCZ");
}

#[tokio::test]
async fn pg_p35_a_portal_closed_and_bound_anew_is_that_of_its_newest_statement() {
    let mut rig = rig().await;
    rig.client(
        &[says::parse("a", "SELECT name FROM items"), says::parse("b", "SELECT ssn, name FROM people")].concat(),
    );
    rig.client(&[says::bind("p", "a"), says::describe("p"), says::close_portal("p"), says::bind("p", "b")].concat());
    rig.client(&[says::execute("p"), says::close_portal("p"), says::sync()].concat());
    assert_eq!(sent(&mut rig), "PPBDCBDECS");
    rig.backend(&[one(b'1', b""), one(b'1', b""), one(b'2', b""), columns(&[("name", 20_000, 2, 25)])].concat());
    rig.backend(&[one(b'3', b""), one(b'2', b""), columns(&BOTH), row(&[CANARY, "al"])].concat());
    rig.backend(&[complete("SELECT 1"), one(b'3', b""), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "112T32DC3Z");
}

#[tokio::test]
async fn pg_p35_a_portal_that_is_gone_at_the_server_fails_the_execute_and_the_order_stays_true() {
    let house = masked().await;
    let mut rig = Rig::by_hand(&house, &["agents"]).await;
    rig.client(
        &[says::run("SELECT ssn FROM people"), says::run("SELECT 1"), says::sync(), says::query("SELECT 2")].concat(),
    );
    rig.backend(&[one(b'1', b""), one(b'2', b""), error("ERROR", "34000", "portal \"\" does not exist")].concat());
    rig.backend(&[ready(b'I'), columns(&[("n", 0, 0, 23)]), row(&["2"]), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "12EZTDCZ");
    let id = rig.id;
    drop(rig);
    let record = house.told(id).await;
    assert!(record.contains(&"2 failed 34000".to_owned()), "{record:?}");
    assert!(record.contains(&"4 skipped".to_owned()), "{record:?}");
}

#[tokio::test]
async fn pg_p23_what_is_skipped_takes_the_gateways_own_describe_with_it() {
    let mut rig = rig().await;
    rig.client(&[says::run("SELECT 1/0"), says::run("SELECT ssn FROM people")].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), error("ERROR", "22012", "division by zero")].concat());
    // Behind the error as well.
    rig.client(&[says::execute(""), says::sync(), says::query("SELECT 2")].concat());
    rig.backend(&[ready(b'I'), columns(&[("n", 0, 0, 23)]), row(&["2"]), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "12EZTDCZ");
    assert!(rig.end.is_none());
}

#[tokio::test]
async fn rows_that_a_server_described_as_none_are_masked_whole() {
    let mut rig = rig().await;
    rig.client(&[says::run("SELECT name FROM people"), says::sync()].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), one(b'n', b""), row(&[CANARY]), complete("SELECT 1")].concat());
    rig.backend(&ready(b'I'));
    assert_eq!(outline(&mut rig), "12DCZ");
    // In a Query as well, also behind a statement whose columns were clear.
    rig.client(&says::query("SELECT name FROM people; SELECT name FROM people"));
    rig.backend(&[columns(&[("name", PEOPLE, 3, 25)]), row(&["al"]), complete("SELECT 1"), row(&[CANARY])].concat());
    let client = told(&mut rig);
    assert!(holds(&client, "al"));
}

#[tokio::test]
async fn a_description_of_another_width_or_a_second_one_never_shows_more() {
    let mut rig = rig().await;
    // As wide as nobody read: each column is judged by where it comes from, or not at all.
    rig.client(&says::query("SELECT name FROM people"));
    rig.backend(&[columns(&[("name", PEOPLE, 3, 25), ("x", 0, 0, 25)]), row(&["al", CANARY])].concat());
    rig.backend(&[columns(&[("later", PEOPLE, 9, 25)]), row(&[CANARY])].concat());
    rig.backend(&[columns(&[("other", 29_999, 1, 25)]), row(&[CANARY])].concat());
    rig.backend(&[columns(&[("row", PEOPLE, 0, 25)]), row(&[CANARY]), complete("SELECT 4"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "TDTDTDTDCZ");
    assert!(rig.end.is_none());
}

#[tokio::test]
async fn rows_of_another_width_than_was_described_end_the_session() {
    for (described, cells) in
        [(&BOTH[1..], &["al", CANARY][..]), (&BOTH[..], &[CANARY]), (&[], &[CANARY]), (&BOTH[1..], &[])]
    {
        let mut rig = rig().await;
        rig.client(&says::query("SELECT name FROM people"));
        let clear = vec!["al"; described.len()];
        rig.backend(&[columns(described), row(&clear)].concat());
        rig.told();
        rig.backend(&row(cells));
        assert_eq!((outline(&mut rig).as_str(), rig.end.is_some()), ("E", true), "{described:?}");
    }
    let mut rig = rig().await;
    rig.client(&says::query("SELECT name FROM people"));
    rig.backend(&[columns(&BOTH[1..]), one(b'D', b"")].concat());
    assert!(rig.end.is_some());
}

#[tokio::test]
async fn rows_that_a_rewrite_rule_makes_are_masked() {
    let mut rig = rig().await;
    rig.client(&says::query("INSERT INTO ruled VALUES (1)"));
    rig.backend(&[columns(&[("upper", 0, 0, 25)]), row(&[CANARY]), complete("INSERT 0 1"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "TDCZ");
    // In place of what RETURNING is about, too, whatever column the server says that it is.
    rig.client(&says::query("INSERT INTO ruled VALUES (1) RETURNING name"));
    rig.backend(&[columns(&[("name", 20_003, 2, 25)]), row(&[CANARY]), complete("INSERT 0 1"), ready(b'I')].concat());
    assert_eq!(outline(&mut rig), "TDCZ");
    rig.client(&[says::run("INSERT INTO ruled VALUES (1)"), says::sync()].concat());
    rig.backend(&[one(b'1', b""), one(b'2', b""), one(b'n', b""), row(&[CANARY]), complete("INSERT 0 1")].concat());
    rig.backend(&ready(b'I'));
    assert_eq!(outline(&mut rig), "12DCZ");
}

#[tokio::test]
async fn a_long_row_is_masked_wherever_it_is_cut_and_leaves_whole() {
    let long = "x".repeat(70_000);
    let answer =
        [columns(&BOTH), row(&["al", "al"]), row(&[CANARY, &long]), complete("SELECT 2"), ready(b'I')].concat();
    let begins = answer.len() - 70_000 - 60;
    let house = masked().await;
    let mut whole = Rig::by_hand(&house, &["agents"]).await;
    whole.client(&says::query("SELECT ssn, name FROM people"));
    whole.backend(&answer);
    let whole = told(&mut whole);
    for cut in (begins..begins + 90).chain([answer.len() - 20, answer.len() - 1]) {
        let mut rig = Rig::by_hand(&house, &["agents"]).await;
        rig.client(&says::query("SELECT ssn, name FROM people"));
        rig.backend(&answer[..cut]);
        let first = told(&mut rig);
        rig.backend(&answer[cut..]);
        assert_eq!([first, told(&mut rig)].concat(), whole, "cut at {cut}");
    }
    // Byte by byte, and the columns clear so that pieces pass.
    let mut rig = Rig::by_hand(&house, &["agents"]).await;
    rig.client(&says::query("SELECT name, id FROM people"));
    let clear = [columns(&[("name", PEOPLE, 3, 25), ("id", PEOPLE, 1, 23)]), row(&[&long, "1"])].concat();
    clear.iter().for_each(|byte| rig.backend(&[*byte]));
    assert_eq!(rig.told(), clear);
}

#[tokio::test]
async fn a_row_too_long_to_be_masked_ends_the_session_without_a_byte_of_it() {
    let mut rig = rig().await;
    rig.client(&says::query("SELECT ssn, name FROM people"));
    rig.backend(&columns(&BOTH));
    rig.told();
    let long = crate::mask::LONGEST_ROW + 100;
    rig.backend(&[&head(2 + 4 + 11 + 4 + long)[..], b"\0\0\0\x0b123-45-6789", &length(long)].concat());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..65 {
        rig.backend(&piece);
    }
    assert_eq!((outline(&mut rig).as_str(), rig.end.is_some()), ("E", true));
}

/// The beginning of a row of two values, with so many bytes behind its own length.
pub(super) fn head(bytes: usize) -> Vec<u8> {
    [&b"D"[..], &length(bytes + 4), b"\0\x02"].concat()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_be_bytes()
}

/// The columns of `SELECT upper(ssn), name FROM people`, of which the first is hidden.
pub(super) const COMPUTED: [(&str, u32, i16, u32); 2] = [("upper", 0, 0, 25), BOTH[1]];

#[tokio::test]
async fn a_hidden_value_of_whatever_length_is_null_and_the_row_comes() {
    let house = masked().await;
    let mut rig = Rig::by_hand(&house, &["agents"]).await;
    rig.client(&says::query("SELECT upper(ssn), name FROM people"));
    let long = crate::mask::LONGEST_ROW + (1 << 20);
    rig.backend(&[&columns(&COMPUTED)[..], &head(2 + 4 + long + 4 + 2), &length(long)].concat());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..65 {
        rig.backend(&piece);
    }
    rig.backend(b"\0\0\0\x02al");
    rig.backend(&[row(&["short", "bo"]), complete("SELECT 2"), ready(b'I')].concat());
    let client = told(&mut rig);
    let null = |name: &[u8; 2]| [&head(2 + 4 + 4 + 2)[..], &[0xff; 4], &length(2), name].concat();
    let expected = [columns(&COMPUTED), null(b"al"), null(b"bo"), complete("SELECT 2"), ready(b'I')].concat();
    assert!(client == expected && rig.end.is_none());
    let id = rig.id;
    drop(rig);
    let answers = house.answers(id).await;
    assert!(answers.contains(&"NULL|al".to_owned()) && answers.contains(&"NULL|bo".to_owned()), "{answers:?}");
}

#[tokio::test]
async fn a_long_row_with_a_hidden_value_is_the_same_wherever_it_is_cut() {
    let house = masked().await;
    let long = "x".repeat(70_000);
    let answer = [columns(&COMPUTED), row(&[&long, "al"]), row(&["bo", &long]), complete("SELECT 2")].concat();
    let ends = [40, 70_000, 70_060, 70_200, answer.len() - 30];
    let mut first: Option<(Vec<u8>, Vec<String>)> = None;
    for cut in ends.into_iter().flat_map(|end| end..end + 20) {
        let mut rig = Rig::by_hand(&house, &["agents"]).await;
        rig.client(&says::query("SELECT upper(ssn), name FROM people"));
        rig.backend(&answer[..cut]);
        rig.backend(&answer[cut..]);
        rig.backend(&ready(b'I'));
        let client = told(&mut rig);
        assert_eq!(client.len(), columns(&COMPUTED).len() + 2 * (7 + 8) + 70_002 + complete("SELECT 2").len() + 6);
        let id = rig.id;
        drop(rig);
        let came = (client, house.answers(id).await);
        assert!(*first.get_or_insert_with(|| came.clone()) == came, "cut at {cut}");
    }
}

#[tokio::test]
async fn the_record_holds_what_its_masks_leave_of_what_came_whoever_asked() {
    let house = masked().await;
    for (groups, sees) in [(&["agents"][..], false), (&["agents", "privacy"], true)] {
        let mut rig = Rig::by_hand(&house, groups).await;
        rig.client(&says::query("SELECT ssn, name, upper(ssn) FROM people"));
        let three = [BOTH[0], BOTH[1], ("upper", 0, 0, 25)];
        rig.backend(&[columns(&three), row(&[CANARY, "al", CANARY]), complete("SELECT 1"), ready(b'I')].concat());
        assert_eq!(holds(&rig.told(), CANARY), sees, "{groups:?}");
        let id = rig.id;
        drop(rig);
        let answers = house.answers(id).await;
        assert!(answers.contains(&"[redacted]|al|NULL".to_owned()), "{answers:?}");
        assert!(answers.iter().all(|one| !one.contains(CANARY)), "{answers:?}");
        let counted = answers.contains(&"masked ssn provenance 1".to_owned());
        assert_eq!(counted, !sees, "{answers:?}");
    }
}

#[tokio::test]
async fn the_statement_of_a_text_is_counted_right_over_all_that_completes() {
    let mut rig = rig().await;
    rig.client(&says::query(";;SET TimeZone = 'UTC';; SELECT upper(name) FROM items; SELECT upper(ssn) FROM people;"));
    rig.backend(&[complete("SET"), columns(&[("upper", 0, 0, 25)]), row(&["CLEAR"]), complete("SELECT 1")].concat());
    rig.backend(&[columns(&[("upper", 0, 0, 25)]), row(&[CANARY]), complete("SELECT 1"), ready(b'I')].concat());
    let client = told(&mut rig);
    assert!(holds(&client, "CLEAR"));
}
