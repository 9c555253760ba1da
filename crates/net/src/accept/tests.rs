use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const LIMITS: Limits = Limits {
    max_connections: 4,
    max_unauthenticated: 3,
    max_unauthenticated_per_address: 2,
    max_waiting: 3,
    max_waiting_per_address: 2,
    keepalive: Duration::from_secs(60),
    user_timeout: Duration::from_secs(60),
    drain_deadline: Duration::from_secs(60),
};

/// A listener whose sessions hand themselves to the test and then last until the test lets them go.
struct Served {
    address: SocketAddr,
    sessions: mpsc::Receiver<Accepted>,
    drain: Drain,
    done: JoinHandle<Drained>,
}

#[expect(clippy::disallowed_methods, reason = "the test joins it")]
fn serve(limits: Limits) -> Served {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, sessions) = mpsc::channel(16);
    let drain = Drain::new();
    let done = tokio::spawn(serve_tcp(listener, limits, drain.clone(), move |accepted| {
        let sender = sender.clone();
        let drain = accepted.drain.clone();
        async move {
            sender.send(accepted).await.unwrap();
            drain.draining().await;
        }
    }));
    Served { address, sessions, drain, done }
}

/// Whether the far side closes without a byte.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn an_address_has_so_many_places_before_login() {
    let mut served = serve(LIMITS);
    let _one = TcpStream::connect(served.address).await.unwrap();
    let _two = TcpStream::connect(served.address).await.unwrap();
    let first = served.sessions.recv().await.unwrap();
    let second = served.sessions.recv().await.unwrap();
    let mut third = TcpStream::connect(served.address).await.unwrap();
    assert!(is_closed(&mut third).await, "no third place");

    // A login frees one, and so does the end of a session.
    first.unauthenticated.authenticated();
    let _three = TcpStream::connect(served.address).await.unwrap();
    let third = served.sessions.recv().await.unwrap();
    drop((second, third));
    let _four = TcpStream::connect(served.address).await.unwrap();
    let fourth = served.sessions.recv().await.unwrap();
    assert_eq!(fourth.peer.ip(), served.address.ip());

    // Four tasks run now, logged in or not.
    fourth.unauthenticated.authenticated();
    let mut fifth = TcpStream::connect(served.address).await.unwrap();
    assert!(is_closed(&mut fifth).await, "the listener is full");
}

#[tokio::test]
async fn a_drain_stops_accepting_and_waits_for_sessions() {
    let mut served = serve(LIMITS);
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let mut accepted = served.sessions.recv().await.unwrap();
    assert!(!accepted.drain.is_draining());
    served.drain.start();
    accepted.drain.draining().await;
    accepted.io.write_all(b"bye").await.unwrap();
    drop(accepted);
    assert_eq!(served.done.await.unwrap(), Drained { cut: 0 });
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "bye");
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn sessions_that_do_not_end_are_cut_at_the_deadline() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut started) = mpsc::channel(1);
    let drain = Drain::new();
    let limits = Limits { drain_deadline: Duration::ZERO, ..LIMITS };
    let served = serve_tcp(listener, limits, drain.clone(), move |accepted| {
        let sender = sender.clone();
        async move {
            let _held = accepted;
            sender.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let client = async {
        let mut client = TcpStream::connect(address).await.unwrap();
        started.recv().await.unwrap();
        drain.start();
        assert!(is_closed(&mut client).await);
    };
    let (drained, ()) = tokio::join!(served, client);
    assert_eq!(drained, Drained { cut: 1 });
}

#[tokio::test]
async fn sockets_are_tuned() {
    let mut served = serve(LIMITS);
    let client = TcpStream::connect(served.address).await.unwrap();
    tune(&client, &LIMITS).unwrap();
    assert!(client.nodelay().unwrap());
    let socket = SockRef::from(&client);
    assert!(socket.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(LIMITS.user_timeout));
    served.sessions.recv().await.unwrap();
}

#[test]
fn addresses_are_counted_by_owner() {
    let counted = |text: &str| counted_as(text.parse().unwrap());
    assert_eq!(counted("2001:db8:1:2:3:4:5:6"), counted("2001:db8:1:2::9"));
    assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
    assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
    assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
}

#[test]
fn the_table_of_addresses_is_swept() {
    let mut admission = Admission::new(Limits { max_unauthenticated: 3, ..LIMITS });
    for host in 0..10_000_u32 {
        assert!(admission.place(IpAddr::V4(host.into())).is_some());
    }
    assert!(admission.by_address.len() <= 18);
    let held: Vec<_> = (0..3_u32).filter_map(|host| admission.place(IpAddr::V4(host.into()))).collect();
    assert_eq!(held.len(), 3);
    assert!(admission.place(IpAddr::V4(99.into())).is_none(), "the total is bounded too");
}

#[test]
fn so_many_may_wait_for_their_person_of_one_address_and_of_all() {
    let mut admission = Admission::new(Limits { max_unauthenticated: 9, max_unauthenticated_per_address: 3, ..LIMITS });
    let mut come = |host: u8| admission.place(IpAddr::V4([192, 0, 2, host].into())).unwrap();
    let (one, two, three, other, last) = (come(1), come(1), come(1), come(2), come(3));
    let first = one.waits().take();
    let second = two.waits().take();
    assert!(first.is_some() && second.is_some());
    assert!(three.waits().take().is_none() && one.waits().take().is_none(), "a third place of one address");
    let third = other.waits().take();
    assert!(third.is_some());
    assert!(last.waits().take().is_none(), "a fourth place of all");
    // A refusal keeps no half of a place.
    drop(first);
    let again = last.waits().take();
    assert!(again.is_some() && three.waits().take().is_none());
    drop((second, third));
    assert!(three.waits().take().is_some());
}

#[test]
fn only_errors_of_the_process_pause_accepting() {
    let pause = |before, kind| backoff(before, &io::Error::from(kind));
    assert_eq!(pause(Duration::ZERO, io::ErrorKind::ConnectionAborted), Duration::ZERO);
    let mut before = Duration::ZERO;
    for _ in 0..20 {
        let next = pause(before, io::ErrorKind::Other);
        assert!(next >= before && next <= Duration::from_secs(1) && !next.is_zero());
        before = next;
    }
    assert_eq!(before, Duration::from_secs(1));
}
