//! Streams over SSH: nothing is lost, nobody waits for somebody else, and an end on one side is an end on the other.
//!
//! The deadlock probes are in `ssh.rs`. Here a client stops reading, is killed, is ended by an administrator or by a
//! drain, and a target goes away; programs of the target are recognised by an argument that no other test uses.

use crate::ssh::{Host, Ran, ran};
use crate::ssh_talk::{Talk, children, processes, runs, signal, unique, until};
use portcullis_testkit::or_skip;
use portcullis_testkit::process::run;
use portcullis_testkit::ssh::Sshd;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

const MIB: usize = 1 << 20;

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at / 65_537) % 251).unwrap_or_default()).collect()
}

#[test]
fn sixty_four_mebibytes_each_way_while_the_reader_stops_now_and_then() {
    let Some(host) = Host::new() else { return };
    let sent = pattern(64 * MIB);
    let mut child = piped(&mut host.client(&["127.0.0.1", "cat"]));
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let got = std::thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || input.write_all(sent).unwrap());
        let (mut got, mut piece, mut stops) = (Vec::with_capacity(sent.len()), vec![0; 64 * 1024], 0);
        loop {
            let read = output.read(&mut piece).unwrap();
            if read == 0 {
                return got;
            }
            got.extend_from_slice(&piece[..read]);
            if got.len() / (16 * MIB) > stops {
                stops += 1;
                // Until everything on the way is full; what is tested is that it goes on afterwards.
                std::thread::sleep(std::time::Duration::from_millis(700));
            }
        }
    });
    assert!(child.wait().unwrap().success());
    assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
}

/// One of many mebibytes, each unlike the one before it.
fn mebibyte(nth: usize) -> Vec<u8> {
    let mut bytes = pattern(MIB);
    bytes[..8].copy_from_slice(&nth.to_be_bytes());
    bytes.rotate_left(nth * 7919 % MIB);
    bytes
}

#[test]
#[ignore = "two gibibytes through the gateway take minutes: `just soak` plays it"]
fn a_gibibyte_each_way_is_the_same_byte_for_byte() {
    const COUNT: usize = 1024;
    let Some(host) = Host::new() else { return };
    let mut child = piped(&mut host.client(&["127.0.0.1", "cat"]));
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || (0..COUNT).for_each(|nth| input.write_all(&mebibyte(nth)).unwrap()));
        let mut got = vec![0; MIB];
        for nth in 0..COUNT {
            output.read_exact(&mut got).unwrap();
            assert!(got == mebibyte(nth), "mebibyte {nth} is another");
        }
        assert_eq!(output.read(&mut got).unwrap(), 0, "nothing behind it");
    });
    assert!(child.wait().unwrap().success());
}

#[test]
fn many_connections_at_once_mix_nothing_up() {
    let Some(host) = Host::new() else { return };
    std::thread::scope(|scope| {
        let host = &host;
        let run = |nth: usize| {
            scope.spawn(move || {
                let sent = vec![b'a' + u8::try_from(nth).unwrap(); 2 * MIB];
                let ran = host.ssh(&["127.0.0.1", "cat"], &sent);
                assert!(ran.code == Some(0) && ran.out == sent, "{nth}: {:?} {}", ran.code, ran.err);
            })
        };
        let running: Vec<_> = (0..12).map(run).collect();
        running.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn a_channel_that_is_not_read_stops_no_other_of_its_connection() {
    let Some(host) = Host::new() else { return };
    let socket = host.directory().join("master");
    let control = format!("ControlPath={}", socket.display());
    let mut master = host.client(&["-o", &control, "-M", "-N", "127.0.0.1"]).stdin(Stdio::null()).spawn().unwrap();
    until("the master's socket", || socket.exists());
    // With a shared connection the second `ssh` hands its own output to the master: a full pipe that nobody reads.
    let last = 3_000_000_u64;
    let mut unread = piped(&mut host.client(&["-o", &control, "127.0.0.1", &format!("seq 1 {last}")]));
    let mut output = unread.stdout.take().unwrap();
    let mut first = [0; 2];
    output.read_exact(&mut first).unwrap();
    for nth in 0..5 {
        let ran = host.ssh(&["-o", &control, "127.0.0.1", &format!("echo {nth}")], b"");
        assert_eq!((ran.text(), ran.code), (format!("{nth}\n").as_str(), Some(0)), "{ran:?}");
        let echoed = host.ssh(&["-o", &control, "127.0.0.1", "cat"], &vec![b'x'; 3 * MIB]);
        assert_eq!((echoed.out.len(), echoed.code), (3 * MIB, Some(0)), "{}", echoed.err);
    }
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    let expected: usize = (1..=last).map(|number| number.to_string().len() + 1).sum();
    assert_eq!(rest.len() + first.len(), expected);
    assert!(unread.wait().unwrap().success());
    master.kill().unwrap();
    master.wait().unwrap();
}

#[test]
fn a_client_that_is_stopped_and_goes_on_misses_nothing() {
    let Some(host) = Host::new() else { return };
    let last = 4_000_000_u64;
    let mut child = piped(&mut host.client(&["127.0.0.1", &format!("seq 1 {last}")]));
    let mut output = child.stdout.take().unwrap();
    let mut first = [0; 2];
    output.read_exact(&mut first).unwrap();
    signal("STOP", child.id());
    // Others are served meanwhile.
    for nth in 0..3 {
        let ran = host.exec(&format!("echo {nth}"));
        assert_eq!((ran.text(), ran.code), (format!("{nth}\n").as_str(), Some(0)), "{ran:?}");
    }
    signal("CONT", child.id());
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    let expected: usize = (1..=last).map(|number| number.to_string().len() + 1).sum();
    assert_eq!(rest.len() + first.len(), expected);
    assert!(child.wait().unwrap().success());
}

/// A program that runs on the target by way of the gateway until somebody ends it.
fn sleeper(host: &Host) -> (Child, String) {
    let line = format!("sleep {}", unique());
    let child = piped(&mut host.client(&["127.0.0.1", &line]));
    until("the program runs", || runs(&line));
    (child, line)
}

fn told(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran { out: output.stdout, err: String::from_utf8_lossy(&output.stderr).into_owned(), code: output.status.code() }
}

#[test]
fn a_killed_client_takes_its_program_with_it() {
    let Some(host) = Host::new() else { return };
    // Without a terminal a server of OpenSSH leaves a program alone that neither reads nor writes; one that writes ends.
    let counting = format!("seq {} 99999999999", unique());
    let mut child = piped(&mut host.client(&["127.0.0.1", &counting]));
    until("the program runs", || runs(&counting));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the program is gone", || !runs(&counting));
    host.recorded("interrupted");
    // One that does neither has to have a terminal to be ended with its session.
    if host.has_terminals() {
        let line = format!("sleep {}", unique());
        let mut child = piped(&mut host.client(&["-tt", "127.0.0.1", &line]));
        until("the program runs", || runs(&line));
        child.kill().unwrap();
        child.wait().unwrap();
        until("the program is gone", || !runs(&line));
    }
}

#[test]
fn a_client_killed_while_it_does_not_read_takes_its_program_with_it() {
    let Some(host) = Host::new() else { return };
    let counting = format!("seq {} 99999999999", unique());
    let mut child = piped(&mut host.client(&["127.0.0.1", &counting]));
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 2]).unwrap();
    signal("STOP", child.id());
    let ran = host.exec("echo meanwhile");
    assert_eq!(ran.text(), "meanwhile\n", "{ran:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the program is gone", || !runs(&counting));
}

#[test]
fn an_administrator_ends_a_session_at_once() {
    let Some(host) = Host::new() else { return };
    let counting = format!("seq {} 99999999999", unique());
    let mut child = piped(&mut host.client(&["127.0.0.1", &counting]));
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 2]).unwrap();
    // It does not read: its window is closed when the end comes.
    let live = host.admin("GET", "/live");
    let id = host.newest();
    assert!(live.contains(&id), "{live}");
    let answer = host.admin("DELETE", &format!("/live/{id}"));
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    until("the program is gone", || !runs(&counting));
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    drop(output);
    assert_eq!(told(child).code, Some(255));
    let record = host.recorded("killed");
    assert!(record.contains("interrupted"), "{record}");
    let answer = host.admin("DELETE", &format!("/live/{id}"));
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
fn a_drain_lets_what_runs_end_and_takes_nothing_new() {
    let Some(host) = Host::new() else { return };
    let mut talk = Talk::start(&mut host.client(&["127.0.0.1", "echo began; head -1; echo ended; exit 5"]));
    talk.expect("began\n");
    let gateway = host.gateway.program().unwrap().pid().unwrap();
    host.gateway.program().unwrap().signal("TERM").unwrap();
    until("nobody new is let in", || std::net::TcpStream::connect(host.gateway.address("ssh").unwrap()).is_err());
    talk.send("the last line\n");
    let (shown, code) = talk.ended();
    assert!(shown.contains("the last line\nended\n"), "{shown:?}");
    assert_eq!(code, Some(5), "{shown:?}");
    until("the gateway has ended", || !processes().iter().any(|(pid, words)| *pid == gateway && !words.is_empty()));
}

/// A server of this test's own, which it may kill.
fn mortal() -> Option<&'static Sshd> {
    // It ends with this process.
    Some(Box::leak(Box::new(or_skip(Sshd::start(&[]))?)))
}

/// Everything that a process started, it last.
fn family(root: u32) -> Vec<u32> {
    let mut found: Vec<u32> = children(root).into_iter().flat_map(family).collect();
    found.push(root);
    found
}

#[test]
fn a_target_that_goes_away_is_255_and_a_reason() {
    let Some(server) = mortal() else { return };
    let host = Host::before(server, crate::ssh_clients::POLICY, "");
    let (child, line) = sleeper(&host);
    let serving = children(server.process().pid().unwrap());
    assert!(!serving.is_empty());
    for pid in serving.into_iter().flat_map(family) {
        if processes().iter().any(|(running, words)| *running == pid && words.starts_with("sshd")) {
            // One ends with the other.
            let _gone = run(Command::new("kill").args(["-s", "KILL", &pid.to_string()]));
        }
    }
    let told = told(child);
    assert_eq!(told.code, Some(255), "{told:?}");
    assert!(told.err.contains("portcullis: "), "it says nothing: {told:?}");
    let ended = processes().into_iter().find(|(_, words)| *words == line);
    if let Some((pid, _)) = ended {
        signal("KILL", pid);
    }
    let ran = host.exec("echo back");
    assert_eq!((ran.text(), ran.code), ("back\n", Some(0)), "{ran:?}");
}

#[test]
fn a_target_that_is_not_there_is_255_and_a_reason() {
    let Some(server) = mortal() else { return };
    let host = Host::before(server, crate::ssh_clients::POLICY, "");
    server.process().signal("KILL").unwrap();
    until("nobody listens", || std::net::TcpStream::connect(server.address()).is_err());
    let told = host.exec("echo in");
    assert_eq!((told.text(), told.code), ("", Some(255)), "{told:?}");
    assert!(told.err.contains("portcullis: "), "{told:?}");
    let told = ran(Command::new("sftp").args(host.options()).args(["-b", "-", "127.0.0.1"]), b"ls\n");
    assert_ne!(told.code, Some(0), "{told:?}");
    assert!(told.err.contains("portcullis: "), "{told:?}");
}
