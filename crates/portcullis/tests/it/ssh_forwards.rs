//! Listeners at a target (`ssh -R`): real OpenSSH on both sides, and a target that turns on the gateway.
//!
//! A service of the test stands for what the client's user wants reached; whoever comes to the listener is a socket of
//! the test. Ports are those that the target or this machine chose.

use crate::approvals::World;
use crate::ssh::{Host, POLICY, Ran, ran};
use crate::ssh_talk::{Talk, until};
use crate::surroundings::BINARY;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::or_skip;
use portcullis_testkit::ssh::{Sshd, first_words, keygen};
use russh::keys::PublicKeyOrCertificate;
use russh::server::{self, Auth, VerifiedPublicKey};
use russh::{Channel, ChannelMsg, client};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const MIB: usize = 1 << 20;
/// What the service sends to who asks it for much.
const MUCH: usize = 16 * MIB;

/// The policy of these tests, with a rule that lets somebody connect to these objects.
fn granting(objects: &str) -> String {
    format!("{POLICY}  - id: that\n    allow: {{ actions: [connect], objects: [{objects}] }}\n")
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at / 65_537) % 251).unwrap_or_default()).collect()
}

/// A service that is told by the first byte what to do: `e` sends back what came once no more comes, `m` sends [`MUCH`]
/// whether anybody reads it or not, `t` takes what comes and says how much it was.
fn service() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            std::thread::spawn(move || {
                let mut first = [0];
                if socket.read_exact(&mut first).is_err() {
                    return;
                }
                let answer = match first[0] {
                    b'm' => pattern(MUCH),
                    b't' => {
                        // What comes is left to lie until somebody says so: nothing is read before.
                        until("somebody lets go", || LET_GO.load(std::sync::atomic::Ordering::SeqCst));
                        let mut taken = Vec::new();
                        socket.read_to_end(&mut taken).unwrap();
                        taken.len().to_string().into_bytes()
                    }
                    _ => {
                        let mut came = Vec::new();
                        socket.read_to_end(&mut came).unwrap();
                        came
                    }
                };
                // Whoever asked may be gone.
                let _sent = socket.write_all(&answer);
            });
        }
    });
    port
}

/// Lets the service read what it was sent under `t`.
static LET_GO: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn at(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// What the service sends back of this.
fn echoed(port: u16, sent: &[u8]) -> Vec<u8> {
    let mut socket = at(port).unwrap();
    std::thread::scope(|scope| {
        let mut writing = socket.try_clone().unwrap();
        scope.spawn(move || {
            writing.write_all(b"e").unwrap();
            writing.write_all(sent).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        socket.read_to_end(&mut back).unwrap();
        back
    })
}

/// A free port of this machine.
fn free() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// `ssh` with these arguments, which says what it does.
fn loud(host: &Host, level: &str, arguments: &[&str]) -> Command {
    let mut ssh = Command::new("ssh");
    let level = format!("LogLevel={level}");
    ssh.args(host.options().into_iter().map(|option| if option == "LogLevel=ERROR" { level.clone() } else { option }));
    ssh.args(["-o", "ExitOnForwardFailure=yes"]).args(arguments);
    ssh
}

/// An `ssh` that only listens at the target for this service, and the port there.
fn listening(host: &Host, service: u16) -> (Talk, u16) {
    let to = format!("0:127.0.0.1:{service}");
    let mut talk = Talk::start(&mut loud(host, "INFO", &["-N", "-R", &to, "127.0.0.1"]));
    talk.expect("Allocated port ");
    let said = talk.expect(" for remote forward");
    let port = said.split(' ').next().unwrap().parse().unwrap();
    (talk, port)
}

fn refused(host: &Host, listener: &str) -> Ran {
    let ran = ran(&mut loud(host, "DEBUG", &["-N", "-R", listener, "127.0.0.1"]), b"");
    assert_eq!(ran.code, Some(255), "{listener}: {ran:?}");
    assert!(ran.err.contains("remote port forwarding failed"), "{listener}: {ran:?}");
    ran
}

#[test]
fn without_a_rule_nothing_listens_and_the_record_has_it() {
    let Some(host) = Host::new() else { return };
    let port = free();
    let ran = refused(&host, &format!("{port}:127.0.0.1:1"));
    assert!(ran.err.contains("portcullis: refused by policy") && ran.err.contains("no rule allows"), "{ran:?}");
    assert!(at(port).is_err(), "nothing listens");
    host.recorded(&format!("listen on localhost:{port}"));
    // What no rule could allow: a socket's path, and an address that a resolver may read otherwise.
    refused(&host, "127.1:0:127.0.0.1:1");
    let at = host.work.join("socket");
    let ran = host.ssh(
        &["-o", "ExitOnForwardFailure=yes", "-N", "-R", &format!("{}:127.0.0.1:1", at.display()), "127.0.0.1"],
        b"",
    );
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(!at.exists());
}

#[test]
fn a_rule_for_hosts_or_for_another_listener_grants_none() {
    let port = free();
    let rules = format!("\"host **\", \"listener localhost:{port}\", \"listener 127.0.0.1:0\"");
    let Some(host) = Host::with(&granting(&rules), "") else { return };
    refused(&host, "0:127.0.0.1:1");
    refused(&host, "*:0:127.0.0.1:1");
    refused(&host, &format!("0.0.0.0:{port}:127.0.0.1:1"));
    assert!(at(port).is_err());
}

#[test]
fn a_granted_listener_reaches_the_clients_side_and_ends_with_it() {
    let Some(host) = Host::with(&granting("\"listener localhost:0\""), "") else { return };
    let (talk, port) = listening(&host, service());
    let sent = pattern(MIB);
    // Each waits for the end of what it is sent before it answers: half a connection is closed and the other lives.
    assert!(echoed(port, &sent) == sent, "bytes changed on the way");
    assert_eq!(echoed(port, b""), b"");
    let record = host.recorded(&format!("a connection to localhost:{port} from 127.0.0.1:"));
    assert!(
        record.contains("listen on localhost:0") && record.contains(&format!("listening on localhost:{port}")),
        "{record}"
    );
    drop(talk);
    until("nothing listens any more", || at(port).is_err());
    // Whoever looked whether it still listens may have been carried, too.
    let record = host.recorded("\"status\":\"the client left, ");
    assert!(record.contains(&format!("\"bytes\":{}", MIB + 2)), "{record}");
}

#[test]
fn one_that_is_not_read_stops_no_other() {
    let Some(host) = Host::with(&granting("\"listener localhost:0\""), "") else { return };
    let (_talk, port) = listening(&host, service());
    // One way: the service sends and who asked does not read. The other: who asks sends, and the service does not read.
    let mut unread = at(port).unwrap();
    unread.write_all(b"m").unwrap();
    let mut first = [0; 2];
    unread.read_exact(&mut first).unwrap();
    let flood = pattern(MUCH);
    let mut flooding = at(port).unwrap();
    let mut half = flooding.try_clone().unwrap();
    std::thread::scope(|scope| {
        let flood = &flood;
        scope.spawn(move || {
            half.write_all(b"t").unwrap();
            half.write_all(flood).unwrap();
            half.shutdown(Shutdown::Write).unwrap();
        });
        for nth in 0..3 {
            let sent = pattern(MIB / 4 + nth);
            assert!(echoed(port, &sent) == sent, "{nth}");
        }
        LET_GO.store(true, std::sync::atomic::Ordering::SeqCst);
        let mut told = String::new();
        flooding.read_to_string(&mut told).unwrap();
        assert_eq!(told, MUCH.to_string());
        let mut rest = first.to_vec();
        unread.read_to_end(&mut rest).unwrap();
        assert!(rest == pattern(MUCH), "{} of {MUCH}", rest.len());
    });
}

#[test]
fn a_shared_connection_asks_for_listeners_and_gives_them_up() {
    let port = free();
    let granted = granting(&format!("\"listener localhost:{{0,{port}}}\""));
    let Some(host) = Host::with(&granted, "") else { return };
    let socket = host.directory().join("master");
    let control = format!("ControlPath={}", socket.display());
    let mut master = host.client(&["-o", &control, "-M", "-N", "127.0.0.1"]).stdin(Stdio::null()).spawn().unwrap();
    until("the master's socket", || socket.exists());
    let service = service();
    let to = format!("{port}:127.0.0.1:{service}");
    let master_does = |what: &str, to: &str| host.ssh(&["-o", &control, "-O", what, "-R", to, "127.0.0.1"], b"");
    let asked = master_does("forward", &to);
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert_eq!(echoed(port, b"through the master"), b"through the master");
    let other = master_does("forward", &format!("0:127.0.0.1:{service}"));
    let second: u16 = other.text().trim().parse().unwrap_or_else(|_| panic!("{other:?}"));
    assert_eq!(echoed(second, b"x"), b"x");
    // Commands run beside them.
    assert_eq!(host.ssh(&["-o", &control, "127.0.0.1", "echo beside"], b"").text(), "beside\n");
    let given_up = master_does("cancel", &to);
    assert_eq!(given_up.code, Some(0), "{given_up:?}");
    until("it does not listen any more", || at(port).is_err());
    assert_eq!(echoed(second, b"y"), b"y");
    host.recorded("cancelled, 1 connections carried");
    // And again.
    assert_eq!(master_does("forward", &to).code, Some(0));
    assert_eq!(echoed(port, b"again"), b"again");
    master.kill().unwrap();
    master.wait().unwrap();
}

#[test]
fn a_killed_session_and_a_rule_that_is_gone_end_it() {
    let Some(host) = Host::with(&granting("\"listener localhost:0\""), "") else { return };
    let service = service();
    let (talk, port) = listening(&host, service);
    let mut carried = at(port).unwrap();
    carried.write_all(b"m").unwrap();
    carried.read_exact(&mut [0; 2]).unwrap();
    let answer = host.admin("DELETE", &format!("/live/{}", host.newest()));
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    until("nothing listens any more", || at(port).is_err());
    // What was on its way is cut off.
    let mut rest = Vec::new();
    let _end = carried.read_to_end(&mut rest);
    assert!(rest.len() < MUCH);
    assert_eq!(talk.ended().1, Some(255));
    host.recorded("interrupted");
    let (_talk, port) = listening(&host, service);
    assert_eq!(echoed(port, b"x"), b"x");
    host.gateway.write_policy("hosts", POLICY).unwrap();
    host.gateway.command(&["policy", "reload"]).unwrap();
    // Whoever comes next is turned away, and nobody after that finds it.
    let mut late = at(port).unwrap();
    let mut said = Vec::new();
    let _end =
        late.write_all(b"e").and_then(|()| late.shutdown(Shutdown::Write)).and_then(|()| late.read_to_end(&mut said));
    assert_eq!(said, b"");
    until("nothing listens any more", || at(port).is_err());
    host.recorded("not permitted any more, 1 connections carried");
}

#[test]
fn what_is_held_is_refused_and_had_when_it_is_asked_for_again_behind_a_yes() {
    let Some(server) = or_skip(Sshd::shared()) else { return };
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("key");
    keygen(&key).unwrap();
    let listed = format!(
        "  ssh_keys: [{{ user: agent-7, groups: [agents], file: \"{}\" }}]\n",
        key.with_extension("pub").display()
    );
    let world = World::open(Settings::new(BINARY).ssh("box", server), &listed);
    let held = format!(
        "{POLICY}  - id: ask\n    hold: {{ actions: [connect], objects: [\"listener localhost:*\"] }}\n    \
         approvers: {{ groups: [dba] }}\n"
    );
    world.gateway.write_policy("held", &held).unwrap();
    world.gateway.command(&["policy", "reload"]).unwrap();
    let port = world.gateway.address("ssh").unwrap().rsplit_once(':').unwrap().1.to_owned();
    let to = format!("0:127.0.0.1:{}", service());
    let asks = || {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-v", "-N", "-p", &port, "-R", &to, "-i"]).arg(&key);
        for option in
            ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
        {
            ssh.args(["-o", option]);
        }
        ssh.args(["-o", "ExitOnForwardFailure=yes", "box@127.0.0.1"]);
        ssh
    };
    let first = ran(&mut asks(), b"");
    assert!(first.code == Some(255) && first.err.contains("portcullis: it needs approval"), "{first:?}");
    let id = world.waiting();
    world.decide("approve", &id, &world.dana());
    let mut talk = Talk::start(&mut asks());
    talk.expect("Allocated port ");
    let port = talk.expect(" for remote forward").split(' ').next().unwrap().parse().unwrap();
    assert_eq!(echoed(port, b"x"), b"x");
    drop(talk);
    // One yes is one listener.
    assert_eq!(ran(&mut asks(), b"").code, Some(255));
}

/// A target that says yes to a listener, and then opens what nobody asked for.
struct Hostile {
    report: mpsc::Sender<Vec<(&'static str, bool)>>,
}

impl server::Handler for Hostile {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut server::Session,
    ) -> Result<bool, russh::Error> {
        if (address, *port) != ("localhost", 0) {
            return Ok(false);
        }
        *port = 4000;
        let (handle, report) = (session.handle(), self.report.clone());
        tokio::spawn(async move {
            let came = |address: &'static str, port| handle.channel_open_forwarded_tcpip(address, port, "10.0.0.1", 77);
            let long: &'static str = "localhost".repeat(1000).leak();
            let mut told = vec![
                ("another port", came("localhost", 4001).await.is_ok()),
                ("no port", came("localhost", 0).await.is_ok()),
                ("another address", came("127.0.0.1", 4000).await.is_ok()),
                ("every address", came("", 4000).await.is_ok()),
                ("a long address", came(long, 4000).await.is_ok()),
                ("a session", handle.channel_open_session().await.is_ok()),
                ("a way to a host", handle.channel_open_direct_tcpip("127.0.0.1", 22, "10.0.0.1", 77).await.is_ok()),
                ("a socket", handle.channel_open_direct_streamlocal("/run/x").await.is_ok()),
                ("a listening socket", handle.channel_open_forwarded_streamlocal("/run/x").await.is_ok()),
                ("a screen", handle.channel_open_x11("10.0.0.1", 77).await.is_ok()),
                ("an agent", handle.channel_open_agent().await.is_ok()),
            ];
            let granted = came("localhost", 4000).await;
            told.push(("what was granted", granted.is_ok()));
            if let Ok(channel) = granted {
                channel.data(&b"hello"[..]).await.unwrap();
                channel.eof().await.unwrap();
                channel.close().await.unwrap();
            }
            report.send(told).await.unwrap();
        });
        Ok(true)
    }
}

/// A client that takes whatever it is offered, and says what that was.
struct Taker {
    offered: mpsc::Sender<(String, Channel<client::Msg>)>,
}

impl client::Handler for Taker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<client::Msg>,
        address: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        self.offered.send((format!("{address}:{port} {originator}:{originator_port}"), channel)).await.unwrap();
        Ok(())
    }
}

/// A gateway before that target.
async fn before_hostile(keys: &Path, report: mpsc::Sender<Vec<(&'static str, bool)>>) -> Gateway {
    for name in ["host", "login"] {
        keygen(&keys.join(name)).unwrap();
    }
    let key = russh::keys::load_secret_key(keys.join("host"), None).unwrap();
    let config = Arc::new(server::Config { keys: vec![key], ..server::Config::default() });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let connection = format!(
        "{{ protocol: ssh, address: \"{}\", username: root, private_key: {{ file: \"{}\" }}, host_key: \"{}\" }}",
        listener.local_addr().unwrap(),
        keys.join("login").display(),
        first_words(&keys.join("host.pub")).unwrap(),
    );
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let running = server::run_stream(Arc::clone(&config), stream, Hostile { report: report.clone() }).await;
            tokio::spawn(async move { drop(running.unwrap().await) });
        }
    });
    let policy = granting("\"listener localhost:0\"");
    tokio::task::block_in_place(|| {
        Settings::new(BINARY).connection("box", &connection).policy("hosts", &policy).start().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_opens_nothing_but_what_came_to_a_granted_listener() {
    let keys = tempfile::tempdir().unwrap();
    let (report, mut reported) = mpsc::channel(1);
    let gateway = before_hostile(keys.path(), report).await;
    let token = tokio::task::block_in_place(|| gateway.token("agent-7", &["agents"]).unwrap());
    let (offered, mut offers) = mpsc::channel(16);
    let address = gateway.address("ssh").unwrap();
    let mut client = client::connect(Arc::default(), address, Taker { offered }).await.unwrap();
    assert!(client.authenticate_password("box", token).await.unwrap().success());
    let within = Duration::from_secs(60);
    let port = tokio::time::timeout(within, client.tcpip_forward("localhost", 0)).await.unwrap().unwrap();
    assert_eq!(port, 4000);
    let told = tokio::time::timeout(within, reported.recv()).await.unwrap().unwrap();
    for (what, taken) in told {
        assert_eq!(taken, what == "what was granted", "{what}");
    }
    let (which, mut channel) = tokio::time::timeout(within, offers.recv()).await.unwrap().unwrap();
    assert_eq!(which, "localhost:4000 10.0.0.1:77");
    let mut said = Vec::new();
    while let Some(message) = tokio::time::timeout(within, channel.wait()).await.unwrap() {
        match message {
            ChannelMsg::Data { data } => said.extend_from_slice(&data),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    assert_eq!(said, b"hello");
    assert!(offers.try_recv().is_err(), "the client is offered nothing else");
    tokio::task::block_in_place(|| gateway.stop(&[]).unwrap());
}
