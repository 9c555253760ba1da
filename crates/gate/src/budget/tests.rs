//! One count, changed by many; windows.

use super::*;
use futures_util::future::join_all;
use portcullis_model::CredentialKind;
use portcullis_store::MemoryTable;

fn count(limit: u64) -> Count {
    Count { key: Bytes::from_static(b"k"), expires: Timestamp::MAX, limit, spent: Spent::Tokens }
}

async fn value(table: &MemoryTable) -> Option<u64> {
    let row = table.get(b"k").await.unwrap()?;
    Some(u64::from_be_bytes(row.value.as_ref().try_into().unwrap()))
}

#[tokio::test]
async fn a_limit_is_never_passed_and_what_is_given_back_can_be_taken_again() {
    let (table, count) = (MemoryTable::new(), count(10));
    assert_eq!(change(&table, &count, 0, 7, Some(10)).await, Ok(()));
    assert_eq!(change(&table, &count, 0, 4, Some(10)).await, Err(NotTaken::Over));
    assert_eq!(change(&table, &count, 7, 2, None).await, Ok(()));
    assert_eq!(value(&table).await, Some(2));
    assert_eq!(change(&table, &count, 0, 8, Some(10)).await, Ok(()));
    assert_eq!(change(&table, &count, 0, u64::MAX, Some(10)).await, Err(NotTaken::Over));
}

#[tokio::test]
async fn many_at_once_take_no_more_than_there_is() {
    let (table, count) = (MemoryTable::new(), count(5));
    let taken = join_all((0..12).map(|_| change(&table, &count, 0, 1, Some(5)))).await;
    let good = u64::try_from(taken.iter().filter(|one| one.is_ok()).count()).unwrap();
    assert_eq!(value(&table).await, Some(good));
    assert_eq!(good, 5);
}

#[tokio::test]
async fn a_count_that_is_none_is_not_counted_and_one_that_ran_out_takes_nothing_back() {
    let (table, count) = (MemoryTable::new(), count(5));
    assert_eq!(change(&table, &count, 5, 2, None).await, Ok(()));
    assert_eq!(value(&table).await, None);
    let damaged = table.put(count.key.clone(), Bytes::from_static(b"x"), Expect::Any, None).await.unwrap();
    assert!(matches!(damaged, Put::Done(_)));
    assert_eq!(change(&table, &count, 0, 1, Some(5)).await, Err(NotTaken::Uncounted));
}

#[test]
fn each_principal_budget_and_window_has_its_own_count() {
    let text = "bundle: b\nbudgets:\n  - { id: a, tokens_per_day: 5, requests_per_minute: 2 }\n  - { id: b, tokens_per_day: 5 }\n";
    let set = portcullis_policy::PolicySet::load(&[portcullis_policy::SourceFile::new("b.yaml", text)]).unwrap().set;
    let who = |subject: &str| Principal {
        issuer: "i".into(),
        subject: subject.into(),
        user: "u".into(),
        groups: [].into(),
        claims: [].into(),
        credential: CredentialKind::LocalAdmin,
    };
    let connection = portcullis_model::Connection {
        name: portcullis_model::Name::canonical("c"),
        protocol: portcullis_model::Protocol::Http,
        address: "".into(),
        database: None,
        login: "".into(),
    };
    let budgets = set.budgets(&who("a"), &connection, &[]);
    let keys = |subject: &str, second: i64| -> Vec<Bytes> {
        let now = Timestamp::from_second(second).unwrap();
        budgets.iter().flat_map(|budget| counts(budget, &who(subject), now)).map(|count| count.key).collect()
    };
    let (day, first) = (24 * 60 * 60, keys("a", 0));
    assert_eq!(first.len(), 3);
    assert_eq!(first, keys("a", 59));
    let minute = keys("a", 60);
    assert_eq!((&first[0], &first[2]), (&minute[0], &minute[2]), "the day goes on");
    assert_ne!(first[1], minute[1]);
    let all: std::collections::HashSet<Bytes> =
        [keys("a", 0), keys("b", 0), keys("a", day)].concat().into_iter().collect();
    assert_eq!(all.len(), 9);
}

#[tokio::test]
async fn a_count_that_stays_as_it_is_is_not_written() {
    let (table, count) = (MemoryTable::new(), count(10));
    assert_eq!(change(&table, &count, 0, 7, Some(10)).await, Ok(()));
    let version = async || table.get(b"k").await.unwrap().map(|row| row.version);
    let before = version().await;
    // A request that takes no tokens, and one that used what it took.
    assert_eq!(change(&table, &count, 0, 0, Some(10)).await, Ok(()));
    assert_eq!(change(&table, &count, 5, 5, None).await, Ok(()));
    assert_eq!((version().await, value(&table).await), (before, Some(7)));
    // What is used up already is used up for those who take nothing, too.
    assert_eq!(change(&table, &count, 0, 0, Some(6)).await, Err(NotTaken::Over));
}
