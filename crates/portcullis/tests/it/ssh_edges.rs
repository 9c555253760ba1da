//! The edges of the protocol that need no library: who proves nothing, who says nothing, and what OpenSSH itself can ask
//! for out of the ordinary. What needs a client that breaks the order of things is in `tests/drivers/paramiko_checks.py`
//! and `asyncssh_checks.py`.

use crate::ssh::{Host, ran};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

fn connected(host: &Host) -> TcpStream {
    let socket = TcpStream::connect(host.gateway.address("ssh").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// What the gateway says up to the end. Closed or reset: either is an end, and silence is none.
fn said_to_its_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let read = socket.read_to_end(&mut said).map_err(|error| error.kind());
    assert!(!matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "it is still open: {said:?}");
    said
}

#[test]
fn whoever_proves_nothing_in_time_is_gone() {
    let Some(host) = Host::with(crate::ssh_clients::POLICY, "limits: { handshake: 6s }") else { return };
    // One says nothing, one greets and no more: both are closed by the gateway.
    for greeting in ["", "SSH-2.0-nobody\r\n"] {
        let mut socket = connected(&host);
        socket.write_all(greeting.as_bytes()).unwrap();
        let said = said_to_its_end(&mut socket);
        assert!(said.is_empty() || said.starts_with(b"SSH-2.0-Portcullis\r\n"), "{said:?}");
    }
    assert_eq!(host.exec("echo in").text(), "in\n");
}

#[test]
fn what_is_not_ssh_is_closed() {
    let Some(host) = Host::new() else { return };
    for noise in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"SSH-1.5-old\r\n",
        &[0xff; 100_000],
        b"SSH-2.0-x\r\n\xff\xff\xff\xff",
    ] {
        let mut socket = connected(&host);
        // It may be closed before all of it was taken.
        let _sent = socket.write_all(noise);
        let _shut = socket.shutdown(std::net::Shutdown::Write);
        said_to_its_end(&mut socket);
    }
    assert_eq!(host.exec("echo in").text(), "in\n");
}

#[test]
fn a_wrong_key_and_no_proof_at_all_are_refused() {
    let Some(host) = Host::new() else { return };
    let other = host.directory().join("other");
    portcullis_testkit::ssh::keygen(&other).unwrap();
    for (from, to) in [
        ("IdentityFile=", format!("IdentityFile={}", other.display())),
        ("BatchMode", "PreferredAuthentications=none".to_owned()),
    ] {
        let options =
            host.options().into_iter().map(|option| if option.starts_with(from) { to.clone() } else { option });
        let told = ran(Command::new("ssh").args(options).args(["127.0.0.1", "echo in"]), b"");
        assert_eq!((told.text(), told.code), ("", Some(255)), "{told:?}");
        assert!(told.err.contains("Permission denied"), "{told:?}");
    }
}

#[test]
fn a_long_command_line_passes_whole() {
    let Some(host) = Host::new() else { return };
    let word = "x".repeat(100_000);
    let told = host.exec(&format!("echo {word}"));
    assert_eq!((told.out.len(), told.code), (word.len() + 1, Some(0)), "{}", told.err);
}

#[test]
fn a_command_on_a_terminal_has_no_pager_that_takes_commands() {
    let Some(host) = Host::with(crate::ssh_clients::POLICY, "") else { return };
    if !host.has_terminals() {
        return;
    }
    let told = host.ssh(&["-tt", "127.0.0.1", "printenv GIT_PAGER PAGER LESSSECURE; exit 3"], b"");
    let words: Vec<&str> = told.text().split_whitespace().collect();
    assert_eq!((words, told.code), (vec!["cat", "cat", "1"], Some(3)), "{told:?}");
    let told = host.ssh(&["-T", "127.0.0.1", "printenv LESSSECURE"], b"");
    assert_eq!((told.text(), told.code), ("", Some(1)), "{told:?}");
    // What is sent in front of it is no part of what was typed and judged.
    let record = host.recorded("printenv GIT_PAGER PAGER LESSSECURE; exit 3");
    assert!(!record.contains("SYSTEMD_PAGER"), "{record}");
}

#[test]
fn an_odd_but_legal_client_is_served() {
    let Some(host) = Host::new() else { return };
    for options in [
        &["-o", "RekeyLimit=100K"][..],
        &["-o", "Compression=yes"],
        &["-o", "Ciphers=aes256-ctr", "-o", "MACs=hmac-sha2-256-etm@openssh.com"],
        &["-o", "Ciphers=chacha20-poly1305@openssh.com", "-o", "KexAlgorithms=curve25519-sha256"],
        &["-o", "ServerAliveInterval=1"],
    ] {
        let arguments: Vec<&str> = options.iter().copied().chain(["127.0.0.1", "cat"]).collect();
        let sent = vec![b'r'; 3 << 20];
        let told = host.ssh(&arguments, &sent);
        assert!(told.code == Some(0) && told.out == sent, "{options:?}: {:?} {}", told.code, told.err);
    }
}
