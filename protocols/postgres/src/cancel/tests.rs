use super::*;
use futures_util::FutureExt;

fn here() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

async fn ask(keys: &LocalKeys, pid: i32, secret: &[u8]) -> Requested {
    keys.request(here(), CancelRequest { pid, secret: secret.to_vec() }).await
}

#[tokio::test]
async fn pg_p12_a_key_reaches_its_own_session_and_no_other() {
    let keys = LocalKeys::new(10);
    let mut one = keys.register(Version::V3_0).unwrap();
    let mut two = keys.register(Version::V3_2).unwrap();
    let ((one_pid, one_secret), (two_pid, two_secret)) = (one.key(), two.key());
    assert_eq!((one_secret.len(), two_secret.len()), (4, 32));
    assert!(one_pid > 0 && two_pid > 0 && one_pid != two_pid);
    let (one_secret, two_secret) = (one_secret.to_vec(), two_secret.to_vec());
    assert!(!format!("{one:?}").contains("secret"));

    for (pid, secret) in [
        (one_pid, two_secret.as_slice()),
        (two_pid, one_secret.as_slice()),
        (one_pid, &[0; 4]),
        (one_pid, &[]),
        (one_pid, &one_secret[..3]),
        (0, &one_secret),
        (one_pid ^ 1, &[0; 4]),
    ] {
        assert_eq!(ask(&keys, pid, secret).await, Requested::Unknown);
    }
    assert_eq!(one.requested().now_or_never(), None);
    assert_eq!(ask(&keys, one_pid, &one_secret).await, Requested::Delivered);
    one.requested().await;
    assert_eq!(two.requested().now_or_never(), None);
    assert_eq!(one.requested().now_or_never(), None);
}

#[tokio::test]
async fn a_session_that_does_not_exist_is_not_found_by_zeros() {
    let keys = LocalKeys::new(10);
    for length in [0, 4, 32, 256] {
        assert_eq!(ask(&keys, 7, &vec![0; length]).await, Requested::Unknown);
    }
}

#[tokio::test]
async fn requests_for_one_session_are_merged() {
    let keys = LocalKeys::new(10);
    let mut session = keys.register(Version::V3_2).unwrap();
    let (pid, secret) = (session.key().0, session.key().1.to_vec());
    for _ in 0..100 {
        assert_eq!(ask(&keys, pid, &secret).await, Requested::Delivered);
    }
    session.requested().await;
    assert_eq!(session.requested().now_or_never(), None);
}

#[tokio::test]
async fn keys_end_with_their_session_and_are_bounded() {
    let keys = LocalKeys::new(2);
    let one = keys.register(Version::V3_0).unwrap();
    let two = keys.register(Version::V3_0).unwrap();
    assert!(keys.register(Version::V3_0).is_none());
    let (pid, secret) = (one.key().0, one.key().1.to_vec());
    drop(one);
    assert_eq!(ask(&keys, pid, &secret).await, Requested::Unknown);
    assert!(keys.register(Version::V3_0).is_some());
    drop(keys);
    // A session may outlive the registry.
    drop(two);
}

#[tokio::test]
async fn an_address_that_guesses_is_not_listened_to_and_others_are() {
    let keys = LocalKeys::new(10);
    let session = keys.register(Version::V3_0).unwrap();
    let (pid, secret) = (session.key().0, session.key().1.to_vec());
    let mut last = Requested::Unknown;
    for guess in 0..1000_u32 {
        last = ask(&keys, pid ^ 1, &guess.to_be_bytes()).await;
        if last == Requested::Ignored {
            break;
        }
    }
    assert_eq!(last, Requested::Ignored);
    assert_eq!(ask(&keys, pid, &secret).await, Requested::Ignored, "the right key does not help then");
    let other = keys.request(IpAddr::from([192, 0, 2, 2]), CancelRequest { pid, secret }).await;
    assert_eq!(other, Requested::Delivered);
}
