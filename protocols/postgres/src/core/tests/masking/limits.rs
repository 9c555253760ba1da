//! Masks over answers that are kept back until their rows were counted: what is hidden is not measured, and the record
//! holds what the client was given.

use super::answers::{columns, complete, error, ready, row};
use super::rows::{COMPUTED, head};
use super::{CANARY, House, Rig, holds, outline, says, sent, told};
use crate::core::tests::rig::limited_and_masked;

const DELETE: &str = "DELETE FROM people WHERE id < 9 RETURNING upper(ssn), name";

/// A session in which the Query was sent, inside a transaction of the gateway's own.
async fn begun(house: &House) -> Rig {
    let mut rig = Rig::by_hand(house, &["agents"]).await;
    rig.client(&says::query(DELETE));
    assert_eq!(sent(&mut rig), "Q");
    rig.backend(&[complete("BEGIN"), ready(b'T')].concat());
    assert_eq!((sent(&mut rig).as_str(), outline(&mut rig).as_str()), ("Q", ""));
    rig
}

#[tokio::test]
async fn how_long_a_hidden_value_is_decides_nothing_about_what_may_be_written() {
    let house = limited_and_masked().await;
    let null = |name: &[u8; 2]| [&head(2 + 4 + 4 + 2)[..], &[0xff; 4], &2_u32.to_be_bytes(), name].concat();
    let given = [columns(&COMPUTED), null(b"al"), null(b"bo"), complete("DELETE 2"), ready(b'I')].concat();
    for length in [1, 70_000, 2 << 20] {
        let mut rig = begun(&house).await;
        let hidden = "x".repeat(length);
        rig.backend(&[columns(&COMPUTED), row(&[&hidden, "al"]), row(&[CANARY, "bo"])].concat());
        rig.backend(&[complete("DELETE 2"), ready(b'T')].concat());
        assert_eq!((sent(&mut rig).as_str(), outline(&mut rig).as_str()), ("Q", ""), "{length}");
        rig.backend(&[complete("COMMIT"), ready(b'I')].concat());
        assert!(told(&mut rig) == given, "{length}");
        let id = rig.id;
        drop(rig);
        let answers = house.answers(id).await;
        assert!(answers.contains(&"NULL|al".to_owned()) && answers.contains(&"NULL|bo".to_owned()), "{answers:?}");
    }
}

#[tokio::test]
async fn what_is_shown_is_measured_as_it_would_leave() {
    let house = limited_and_masked().await;
    let mut rig = begun(&house).await;
    let shown = "y".repeat(1 << 20);
    rig.backend(&[columns(&COMPUTED), row(&["x", &shown]), complete("DELETE 1"), ready(b'T')].concat());
    rig.backend(&[complete("ROLLBACK"), ready(b'I')].concat());
    assert_eq!((sent(&mut rig).as_str(), outline(&mut rig).as_str()), ("Q", "EZ"));
}

#[tokio::test]
async fn what_the_client_was_not_given_is_not_in_the_record() {
    let house = limited_and_masked().await;
    let rows = [columns(&COMPUTED), row(&["x", "zq"]), row(&["x", "bo"])].concat();
    let three = [&rows[..], &row(&["x", "cy"]), &complete("DELETE 3"), &ready(b'T')].concat();
    let failed = [&rows[..], &error("ERROR", "22012", "division by zero"), &ready(b'T')].concat();
    let deferred = [&rows[..], &complete("DELETE 2"), &ready(b'T')].concat();
    let rolled = [complete("ROLLBACK"), ready(b'I')].concat();
    let violated = [error("ERROR", "23503", "a key is used"), ready(b'I')].concat();
    for (answer, end) in
        [(&three, Some(&rolled)), (&failed, Some(&rolled)), (&deferred, Some(&violated)), (&rows, None)]
    {
        let mut rig = begun(&house).await;
        rig.backend(answer);
        end.into_iter().for_each(|end| rig.backend(end));
        assert!(!holds(&rig.told(), "zq"));
        let id = rig.id;
        drop(rig);
        let answers = house.answers(id).await;
        assert!(answers.iter().all(|one| !one.contains("zq") && !one.contains("masked")), "{answers:?}");
    }
}
