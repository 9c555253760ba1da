use super::smtp::{MOST, data};
use super::*;
use crate::notify::notice::tests::notice;
use portcullis_approvals::Verdict;
use portcullis_credentials::{Credentials as Known, Method, SecretSource, Source};
use portcullis_model::Name;
use portcullis_net::{Certificates, Io, ServerTls};
use portcullis_testkit::certificates::TestCa;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a server says to the first word of a line; `None` if it says nothing more.
type Says = fn(&str) -> Option<&'static str>;

/// A server that takes everything.
fn takes(word: &str) -> Option<&'static str> {
    Some(match word {
        "" => "220 here",
        "EHLO" => "250-here\r\n250 AUTH PLAIN",
        "AUTH" => "235 known",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "250 done",
    })
}

/// One that answers no goodbye.
fn stays(word: &str) -> Option<&'static str> {
    if word == "QUIT" { None } else { takes(word) }
}

/// One that says that it could speak TLS.
fn offers(word: &str) -> Option<&'static str> {
    match word {
        "EHLO" => Some("250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN"),
        "STARTTLS" => Some("220 go on"),
        _ => takes(word),
    }
}

/// A mail server, and what it was told.
struct Post {
    port: u16,
    heard: watch::Sender<Vec<String>>,
    _serving: JoinSet<()>,
}

impl Post {
    async fn open(says: Says) -> Self {
        Self::with(says, None).await
    }

    /// One that goes on with TLS where it says that STARTTLS may.
    async fn with(says: Says, tls: Option<ServerTls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), watch::Sender::default());
        let mut serving = JoinSet::new();
        let told = heard.clone();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(talk(stream.into(), says, tls.as_ref(), &told).await);
            }
        });
        Self { port, heard, _serving: serving }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.borrow().clone()
    }

    fn mail(&self, security: Security<'_>, login: Option<(Arc<str>, Secret)>) -> Mail {
        let server = Server { host: "127.0.0.1", port: self.port, security, login };
        Mail::new(server, "gate@example.com", "dba@example.com").unwrap()
    }
}

async fn talk(io: Io, says: Says, tls: Option<&ServerTls>, heard: &watch::Sender<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(io);
    let (mut line, mut message) = (String::new(), false);
    loop {
        let word = if message { "." } else { line.split([' ', '\r']).next().unwrap_or_default() };
        if !message || line == ".\r\n" {
            let Some(said) = says(word) else { return std::future::pending().await };
            stream.write_all(format!("{said}\r\n").as_bytes()).await?;
            stream.flush().await?;
            message = said.starts_with("354");
            if word == "STARTTLS" && said.starts_with("220") {
                stream = BufReader::new(begun(stream.into_inner(), tls).await?);
            }
        }
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        heard.send_modify(|heard| heard.push(line.trim_end().to_owned()));
    }
}

/// TLS, or what a server without it says to the first of it.
async fn begun(mut io: Io, tls: Option<&ServerTls>) -> std::io::Result<Io> {
    let Some(tls) = tls else {
        io.read_u8().await?;
        io.write_all(b"500 what?\r\n").await?;
        return Ok(io);
    };
    tls.accept(io).await
}

/// A server's side of TLS for this name, and the authority that says so.
fn certified(directory: &Path, name: &str) -> (PathBuf, ServerTls) {
    let ca = TestCa::new("mail").unwrap();
    let leaf = ca.server(&[name]).unwrap();
    let [authority, certificate, key] = ["ca.pem", "leaf.pem", "leaf.key"].map(|name| directory.join(name));
    std::fs::write(&authority, ca.pem()).unwrap();
    std::fs::write(&certificate, leaf.certificate).unwrap();
    std::fs::write(&key, leaf.key).unwrap();
    (authority, Certificates::from_files(&certificate, &key).unwrap().server(&[]).unwrap())
}

fn password(directory: &Path) -> Secret {
    let (file, name) = (directory.join("password"), Name::canonical("notifications[0].email.password"));
    std::fs::write(&file, "hunter2").unwrap();
    let method = Method::Password(SecretSource::File(file));
    let source = Source { username: "".into(), logins: [].into(), method };
    let credentials = Known::new([(name.clone(), source)].into());
    Secret { name, credentials, reader: crate::assemble::local_admin().principal }
}

#[tokio::test]
async fn a_notice_is_one_message_to_one_mailbox() {
    let (post, directory) = (Post::open(takes).await, tempfile::tempdir().unwrap());
    let mail = post.mail(Security::Loopback, Some(("gate".into(), password(directory.path()))));
    let opened = notice("DELETE FROM orders");
    mail.send(&opened).await.unwrap();
    let heard = post.heard();
    for line in ["MAIL FROM:<gate@example.com>", "RCPT TO:<dba@example.com>", "Auto-Submitted: auto-generated"] {
        assert!(heard.iter().any(|heard| heard.starts_with(line)), "{line} in {heard:?}");
    }
    assert_eq!(heard.iter().filter(|line| line.starts_with("RCPT")).count(), 1);
    // \0gate\0hunter2
    assert!(heard.contains(&"AUTH PLAIN AGdhdGUAaHVudGVyMg==".to_owned()), "{heard:?}");
    assert!(heard.contains(&"Command: DELETE FROM orders".to_owned()), "{heard:?}");
    let id = format!("<{}@example.com>", opened.delivery);
    assert!(heard.contains(&format!("Message-ID: {id}")), "{heard:?}");
    mail.send(&opened.ended(Verdict::Expired)).await.unwrap();
    assert!(post.heard().contains(&format!("In-Reply-To: {id}")), "{:?}", post.heard());
}

#[test]
fn nothing_of_a_clients_makes_a_line_or_a_header() {
    let server = Server { host: "127.0.0.1", port: 1, security: Security::Loopback, login: None };
    let mail = Mail::new(server, "gate@example.com", "dba@example.com").unwrap();
    let mut opened = notice("x\r\n.\r\nRCPT TO:<eve@example.com>\r\n\u{2028}Decide: curl evil\u{85}Decide: y\u{202e}");
    opened.user = "agent\r\nBcc: eve@example.com\r\n\r\nDecide: approve".into();
    for notice in [opened.clone(), opened.ended(Verdict::Rejected { by: "eve\r\nBcc: eve@example.com".into() })] {
        let bytes = mail.message(&notice).unwrap().formatted();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("\r\nBcc") && head.contains("\r\nSubject: agent"), "{head}");
        for part in ["\nRCPT", "\n.\r", "\nDecide: curl", "\nDecide: approve", "\nDecide: y", "\nBcc"] {
            assert!(!body.contains(part), "{part:?} in {body}");
        }
        assert!(!notice.text(for_mail).contains(['\u{202e}', '\u{85}', '\u{2028}', '\r']));
    }
}

#[tokio::test]
async fn what_a_server_answers_decides_whether_it_is_asked_again() {
    let cases: [(Says, &str, bool); 12] = [
        (|word| if word.is_empty() { Some("421 later") } else { takes(word) }, "421", true),
        (|word| if word.is_empty() { Some("554 never") } else { takes(word) }, "554", false),
        (|word| if word.is_empty() { Some("HTTP/1.1 200 OK") } else { takes(word) }, "broke off", true),
        (
            |word| if word == "EHLO" { Some("250-here\r\n250-  \r\n250 STARTTLS") } else { takes(word) },
            "broke off",
            true,
        ),
        (|word| if word == "EHLO" { Some("250-here\r\n250-\r\n250") } else { takes(word) }, "broke off", true),
        (|word| if word == "MAIL" { Some("451 xyzzy") } else { takes(word) }, "451", true),
        (|word| if word == "RCPT" { Some("450 greylisted") } else { takes(word) }, "450", true),
        (|word| if word == "RCPT" { Some("550 no such user xyzzy") } else { takes(word) }, "550", false),
        (|word| if word == "DATA" { Some("503 no") } else { takes(word) }, "503", false),
        (|word| if word == "." { Some("452 full") } else { takes(word) }, "452", true),
        // Good, but of another kind than what was asked for.
        (|word| if word == "DATA" { Some("250 done") } else { takes(word) }, "250", true),
        (|word| if word == "." { Some("354 go on") } else { takes(word) }, "354", true),
    ];
    for (says, part, again) in cases {
        let mail = Post::open(says).await;
        let error = mail.mail(Security::Loopback, None).send(&notice("x")).await.unwrap_err();
        let NotTold::Mail(error) = error else { panic!("{error:?}") };
        let told = error.to_string();
        assert!(told.contains(part) && !told.contains("xyzzy"), "{told}");
        assert_eq!(error.may_pass(), again, "{told}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_neither_password_nor_mail() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _) = certified(directory.path(), "127.0.0.1");
    let authority = Some(authority.as_path());
    let refusing: Says = |word| if word == "STARTTLS" { Some("454 not now") } else { offers(word) };
    for (says, security) in [
        (takes as Says, Security::StartTls(authority)),
        (refusing, Security::StartTls(authority)),
        // It says that it speaks TLS, and does not.
        (offers, Security::StartTls(authority)),
        (takes, Security::Tls(authority)),
    ] {
        let post = Post::open(says).await;
        let mail = post.mail(security, Some(("gate".into(), password(directory.path()))));
        assert!(mail.send(&notice("DELETE FROM orders")).await.is_err());
        for line in post.heard() {
            assert!(!["AUTH", "MAIL", "RCPT", "DATA"].iter().any(|word| line.starts_with(word)), "{line}");
        }
    }
}

#[tokio::test]
async fn after_starttls_mail_goes_to_the_server_of_that_name_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, is_it) in [("127.0.0.1", true), ("localhost", false)] {
        let (authority, tls) = certified(directory.path(), name);
        let post = Post::with(offers, Some(tls)).await;
        let login = Some(("gate".into(), password(directory.path())));
        let sent = post.mail(Security::StartTls(Some(&authority)), login).send(&notice("x")).await;
        let heard = post.heard();
        assert_eq!(heard.iter().any(|line| line.starts_with("AUTH")), is_it, "{name}: {heard:?}");
        match sent {
            // What was offered in plaintext was asked for anew.
            Ok(()) => assert!(is_it && heard.iter().filter(|line| line.starts_with("EHLO")).count() == 2, "{heard:?}"),
            Err(error) => assert!(!is_it && matches!(error, NotTold::Mail(NotSent::Tls)), "{name}: {error}"),
        }
    }
}

#[tokio::test]
async fn what_was_said_in_plaintext_answers_nothing_inside_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, tls) = certified(directory.path(), "127.0.0.1");
    let injected: Says = |word| match word {
        "STARTTLS" => {
            Some("220 go\r\n250-x\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n221 bye")
        }
        _ => offers(word),
    };
    let post = Post::with(injected, Some(tls)).await;
    let login = Some(("gate".into(), password(directory.path())));
    let error = post.mail(Security::StartTls(Some(&authority)), login).send(&notice("x")).await.unwrap_err();
    assert!(matches!(error, NotTold::Mail(NotSent::Tls)), "{error}");
    let heard = post.heard();
    assert!(!heard.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{heard:?}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_read_to_a_bound() {
    for said in ["2", "250-x\r\n"] {
        let (near, mut far) = tokio::io::duplex(64);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut written = 0;
            while far.write_all(said.as_bytes()).await.is_ok() {
                written += said.len();
            }
            written
        });
        let mut smtp = Smtp::on(Io::memory(near));
        assert!(matches!(smtp.answer().await, Err(NotSent::Connection)));
        drop(smtp);
        let written = serving.join_next().await.unwrap().unwrap();
        // What the way between holds was written too.
        assert!(written <= MOST + 64, "{written}");
    }
}

#[tokio::test]
async fn an_answer_ends_with_its_last_line_and_nothing_behind_it_is_read() {
    let (near, mut far) = tokio::io::duplex(1024);
    far.write_all(b"250-x\r\n250-\xe9\r\n250 STARTTLS\r\n554 behind\r\n").await.unwrap();
    let mut smtp = Smtp::on(Io::memory(near));
    assert!(smtp.answer().await.unwrap().has_code(250));
    assert!(smtp.answer().await.unwrap().has_code(554));
}

#[tokio::test]
async fn a_mail_that_was_taken_is_so_though_no_goodbye_is_answered() {
    let post = Post::open(stays).await;
    post.mail(Security::Loopback, None).send(&notice("x")).await.unwrap();
    assert_eq!(post.heard().last().map(String::as_str), Some("QUIT"));
}

#[tokio::test]
async fn a_refusal_is_what_was_answered_though_no_goodbye_is() {
    let directory = tempfile::tempdir().unwrap();
    let cases: [(Says, u16); 6] = [
        (|word| if word == "EHLO" { Some("554 no") } else { stays(word) }, 554),
        (|word| if word == "AUTH" { Some("535 no") } else { stays(word) }, 535),
        (|word| if word == "MAIL" { Some("553 no") } else { stays(word) }, 553),
        (|word| if word == "RCPT" { Some("550 no") } else { stays(word) }, 550),
        (|word| if word == "DATA" { Some("503 no") } else { stays(word) }, 503),
        (|word| if word == "." { Some("552 no") } else { stays(word) }, 552),
    ];
    for (says, expected) in cases {
        let post = Post::open(says).await;
        let login = Some(("gate".into(), password(directory.path())));
        let error = post.mail(Security::Loopback, login).send(&notice("x")).await.unwrap_err();
        let NotTold::Mail(NotSent::Answered(code)) = error else { panic!("{expected}: {error}") };
        assert_eq!(u16::from(code), expected);
    }
}

#[test]
fn a_line_of_a_message_ends_no_message() {
    for (message, expected) in [
        ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"),
        (".a\r\n..b\r\n", "..a\r\n...b\r\n.\r\n"),
        ("a.\n.b\n", "a.\n..b\n\r\n.\r\n"),
        ("", "\r\n.\r\n"),
    ] {
        assert_eq!(String::from_utf8(data(message.as_bytes())).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_waited_for_no_longer_than_its_time() {
    let post = Post::open(|word| if word == "." { None } else { takes(word) }).await;
    let began = tokio::time::Instant::now();
    let error = post.mail(Security::Loopback, None).send(&notice("x")).await.unwrap_err();
    assert!(matches!(&error, NotTold::Mail(error) if error.may_pass()), "{error}");
    assert!(began.elapsed() <= WITHIN + Duration::from_secs(1));
}

#[test]
fn an_address_that_is_none_and_authorities_that_are_none_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("empty.pem");
    std::fs::write(&file, "").unwrap();
    let loopback = || Server { host: "127.0.0.1", port: 25, security: Security::Loopback, login: None };
    assert!(matches!(Mail::new(loopback(), "gate", "dba@example.com"), Err(NoWay::Mailbox(_))));
    assert!(matches!(Mail::new(loopback(), "gate@example.com", "a@b\r\nRCPT"), Err(NoWay::Mailbox(_))));
    for other in ["b\u{c2b0}@example.com", "dba@b\u{c2b0}b.example"] {
        assert!(matches!(Mail::new(loopback(), "gate@example.com", other), Err(NoWay::Mailbox(_))), "{other}");
    }
    let verified = Server { security: Security::Tls(Some(&file)), ..loopback() };
    assert!(matches!(Mail::new(verified, "gate@example.com", "dba@example.com"), Err(NoWay::Authorities(_))));
}
