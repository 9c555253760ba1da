//! Both logins against the real thing: the gateway's to real servers of every version that is there, and real clients'
//! to the gateway's own front.

use bytes::BytesMut;
use portcullis_gate::Proof;
use portcullis_net::{Address, Authority, ClientTls, DialOptions, Drain, Io, Limits, Roots, VerifyMode};
use portcullis_postgres::Error;
use portcullis_postgres::frame::{Frame, FrameBuf, FrameLimits, Next, Phase};
use portcullis_postgres::login::backend::{Backend, Target, connect};
use portcullis_postgres::login::client::{Login, Way, authenticate, welcome};
use portcullis_postgres::message::{ClientMessage, ServerMessage, write};
use portcullis_postgres::negotiate::{ALPN, Opened, Settings, open};
use portcullis_testkit::postgres::{Installation, Options, Postgres, SUPERUSER};
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

fn target(server: &Postgres, address: Address, tls: ClientTls) -> Target {
    Target {
        address,
        tls,
        server_name: None,
        username: SUPERUSER.into(),
        password: Some(server.password().into()),
        database: "postgres".into(),
        dial: DialOptions::default(),
        timeout: Duration::from_secs(30),
    }
}

fn verified(server: &Postgres) -> ClientTls {
    let roots = Roots::File(server.ca_file().expect("a server with TLS"));
    ClientTls::new(VerifyMode::VerifyFull, &roots, &[]).unwrap()
}

async fn next(io: &mut Io, buffer: &mut FrameBuf, phase: Phase) -> Frame {
    loop {
        match buffer.next(phase, b"") {
            Next::Frame(frame) => return frame,
            Next::NeedMore => assert!(buffer.fill(io).await.unwrap() > 0, "the connection closed"),
            other @ (Next::Bad(_) | Next::Chunk(_) | Next::Oversize { .. }) => panic!("{other:?}"),
        }
    }
}

/// Runs one query; the first cell of each row, and the SQLSTATE it failed with, if it did.
async fn query(backend: &mut Backend, sql: &str) -> (Vec<String>, Option<String>) {
    let mut out = BytesMut::new();
    write::query(&mut out, sql);
    backend.io.write_all(&out).await.unwrap();
    backend.io.flush().await.unwrap();
    let (mut cells, mut failed) = (Vec::new(), None);
    loop {
        let frame = next(&mut backend.io, &mut backend.buffer, Phase::ServerReady).await;
        let message = ServerMessage::decode(frame.tag(), frame.body()).expect("a server's message is read");
        if let ServerMessage::DataRow(row) = message {
            let first = row.cells().next().unwrap().unwrap().unwrap_or(b"NULL");
            cells.push(String::from_utf8(first.to_vec()).unwrap());
        } else if let ServerMessage::Error(fields) = message {
            failed = Some(fields.text(b'C').into_owned());
        } else if let ServerMessage::ReadyForQuery(_) = message {
            return (cells, failed);
        }
    }
}

#[tokio::test]
async fn servers_of_every_version_are_logged_in_to() {
    let all = Installation::all();
    assert!(!all.is_empty(), "no PostgreSQL server is installed");
    for installation in all {
        let server = Options::new(installation).start().unwrap();
        // A database that would change what text means, for every session that does not pin it.
        let poison = "ALTER DATABASE postgres SET standard_conforming_strings = off;
                      ALTER DATABASE postgres SET backslash_quote = on;
                      ALTER ROLE postgres SET client_encoding = 'SJIS';";
        server.run_sql("postgres", poison).unwrap();
        let target = target(&server, server.address().parse().unwrap(), verified(&server));
        let settings = [("application_name", "it".to_owned()), ("search_path", "pg_catalog, public".to_owned())];
        let mut backend = connect(&target, &settings, FrameLimits::default()).await.unwrap();
        assert!(backend.io.is_tls());
        let reported = |name: &str| backend.parameters.get(name).map(String::as_str);
        assert_eq!(reported("standard_conforming_strings"), Some("on"));
        assert_eq!(reported("client_encoding"), Some("UTF8"));
        assert!(reported("server_version").unwrap().starts_with(&server.version().to_string()));
        let spoken = if server.version() >= 18 { 2 } else { 0 };
        assert_eq!(backend.version.minor, spoken, "PostgreSQL {}", server.version());
        for (sql, expected) in [
            ("SHOW backslash_quote", "safe_encoding"),
            ("SHOW application_name", "it"),
            ("SHOW search_path", "pg_catalog, public"),
            ("SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "true"),
        ] {
            assert_eq!(query(&mut backend, sql).await, (vec![expected.to_owned()], None), "{sql}");
        }
        cancels(&mut backend).await;
    }
}

/// A statement in flight is cancelled over a connection like its own.
async fn cancels(backend: &mut Backend) {
    let cancel = backend.cancel.clone().unwrap();
    // Repeated, because a request that comes before the statement has begun is lost, as it is for every client.
    let repeat = async {
        loop {
            cancel.send().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (_, failed) = tokio::select! {
        done = query(backend, "SELECT pg_sleep(600)") => done,
        () = repeat => unreachable!(),
    };
    assert_eq!(failed.as_deref(), Some("57014"));
}

#[tokio::test]
async fn a_unix_socket_is_its_directory_or_itself() {
    let server = Postgres::shared().unwrap();
    let socket = server.socket_directory().join(format!(".s.PGSQL.{}", server.port()));
    let target = target(server, Address::Unix(socket), ClientTls::disabled());
    let mut backend = connect(&target, &[], FrameLimits::default()).await.unwrap();
    assert_eq!(query(&mut backend, "SELECT 'é'").await.0, ["é"]);
}

#[tokio::test]
async fn wrong_passwords_databases_and_names_are_told_apart() {
    let server = Postgres::shared().unwrap();
    let good = target(server, server.address().parse().unwrap(), verified(server));
    let refused = async |target: Target| match connect(&target, &[], FrameLimits::default()).await {
        Err(Error::BackendRefused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Target { password: Some("wrong".into()), ..good.clone() }).await, "28P01");
    assert_eq!(refused(Target { username: "nobody".into(), ..good.clone() }).await, "28P01");
    assert_eq!(refused(Target { database: "nowhere".into(), ..good.clone() }).await, "3D000");
    let nameless = Target { server_name: Some("db.example.com".into()), ..good };
    assert!(matches!(connect(&nameless, &[], FrameLimits::default()).await, Err(Error::Net(_))));
}

#[tokio::test]
async fn a_server_that_trusts_everybody_or_asks_in_the_clear_is_not_believed() {
    let installation = Installation::system().unwrap();
    for (method, database) in [("trust", "all"), ("password", "all")] {
        let line = format!("host {database} all 127.0.0.1/32 {method}");
        let server = Options::new(installation.clone()).without_tls().access(&line).start().unwrap();
        let address: Address = server.address().parse().unwrap();
        let target = target(&server, address, ClientTls::disabled());
        let refused = connect(&target, &[], FrameLimits::default()).await;
        assert!(matches!(refused, Err(Error::Authentication(_))), "{method}: {refused:?}");
        if method == "trust" {
            let without = Target { password: None, ..target.clone() };
            assert!(connect(&without, &[], FrameLimits::default()).await.is_ok());
        }
        // And it has no TLS, which is not done without.
        let tls = ClientTls::new(VerifyMode::Require, &Roots::Native, &[]).unwrap();
        let refused = connect(&Target { tls, ..target }, &[], FrameLimits::default()).await;
        assert!(matches!(refused, Err(Error::Protocol { .. })), "{refused:?}");
    }
}

/// Serves whoever logs in with `token` one empty answer for each query.
async fn front(io: Io, settings: Settings, loopback: bool) -> Option<()> {
    let Ok(Opened::Session(mut opening)) = open(io, loopback, &settings).await else { return None };
    let mut buffer = FrameBuf::new(FrameLimits::default());
    let verify = |proof: Proof| async move {
        matches!(proof, Proof::Token { token, .. } if token.expose_secret() == "token").then_some(())
    };
    let patience = Duration::from_secs(30);
    let login = Login { startup: &opening.startup, way: &Way::Password, loopback, timeout: patience };
    authenticate(&mut opening.io, &mut buffer, login, verify).await.ok()?;
    let parameters = [("server_version", "15.0"), ("client_encoding", "UTF8")];
    opening.io.write_all(&welcome(parameters, Some((7, &[1, 2, 3, 4])))).await.ok()?;
    opening.io.flush().await.ok()?;
    loop {
        let frame = next(&mut opening.io, &mut buffer, Phase::ClientReady).await;
        let ClientMessage::Query(_) = ClientMessage::decode(frame.tag(), frame.body()).unwrap() else {
            return Some(());
        };
        opening.io.write_all(b"C\0\0\0\x09DONE\0Z\0\0\0\x05I").await.ok()?;
        opening.io.flush().await.ok()?;
    }
}

#[tokio::test]
async fn psql_logs_in_with_a_token_and_verifies_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let made = Authority::new(dir.path(), &[], &[]).open().unwrap();
    let settings = Settings::new(Some(made.certificates.server(&[ALPN]).unwrap()));
    let listener = portcullis_net::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let drain = Drain::new();
    let served = portcullis_net::serve_tcp(listener, Limits::default(), drain.clone(), move |accepted| {
        let settings = settings.clone();
        async move {
            front(accepted.io, settings, false).await;
        }
    });
    let psql = Installation::system().unwrap().client("psql").unwrap();
    let run = async |sslmode: &str, password: &str, ca: &std::path::Path| {
        let done = tokio::process::Command::new(&psql)
            .args(["-X", "-c", "SELECT 1"])
            .arg(format!(
                "host=localhost port={port} user=agent-7 dbname=shop sslmode={sslmode} sslrootcert={}",
                ca.display()
            ))
            .env("PGPASSWORD", password)
            .output()
            .await
            .unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let clients = async {
        let (good, said) = run("verify-full", "token", &made.authority).await;
        assert!(good, "{said}");
        let (good, said) = run("verify-full", "wrong", &made.authority).await;
        assert!(!good && said.contains("password authentication failed for user \"agent-7\""), "{said}");
        let (good, said) = run("disable", "token", &made.authority).await;
        assert!(!good && said.contains("over TLS only") && said.contains("sslrootcert"), "{said}");
        let other = tempfile::tempdir().unwrap();
        let other = Authority::new(other.path(), &[], &[]).open().unwrap();
        let (good, said) = run("verify-full", "token", &other.authority).await;
        assert!(!good && said.contains("certificate verify failed"), "{said}");
        drain.start();
    };
    let (drained, ()) = tokio::join!(served, clients);
    assert_eq!(drained.cut, 0);
}
