use super::*;
use crate::notify::notice::tests::notice;
use crate::notify::send::NotTold;
use portcullis_approvals::Verdict;
use portcullis_credentials::{Credentials as Known, Method, SecretSource, Source};
use portcullis_model::Name;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
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

/// One that says that it could speak TLS.
fn offers(word: &str) -> Option<&'static str> {
    if word == "EHLO" { Some("250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN") } else { takes(word) }
}

/// A mail server, and what it was told.
struct Post {
    port: u16,
    heard: watch::Sender<Vec<String>>,
    _serving: JoinSet<()>,
}

impl Post {
    async fn open(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), watch::Sender::default());
        let mut serving = JoinSet::new();
        let told = heard.clone();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(talk(stream, says, &told).await);
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

async fn talk(stream: TcpStream, says: Says, heard: &watch::Sender<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut message) = (String::new(), false);
    loop {
        let word = if message { "." } else { line.split([' ', '\r']).next().unwrap_or_default() };
        if !message || line == ".\r\n" {
            let Some(said) = says(word) else { return std::future::pending().await };
            stream.write_all(format!("{said}\r\n").as_bytes()).await?;
            message = said.starts_with("354");
        }
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        heard.send_modify(|heard| heard.push(line.trim_end().to_owned()));
    }
}

fn password(directory: &std::path::Path) -> Secret {
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
    let cases: [(Says, &str, bool); 8] = [
        (|word| if word.is_empty() { Some("421 later") } else { takes(word) }, "421", true),
        (|word| if word.is_empty() { Some("554 never") } else { takes(word) }, "554", false),
        (|word| if word.is_empty() { Some("HTTP/1.1 200 OK") } else { takes(word) }, "broke off", true),
        (|word| if word == "MAIL" { Some("451 xyzzy") } else { takes(word) }, "451", true),
        (|word| if word == "RCPT" { Some("450 greylisted") } else { takes(word) }, "450", true),
        (|word| if word == "RCPT" { Some("550 no such user xyzzy") } else { takes(word) }, "550", false),
        (|word| if word == "DATA" { Some("503 no") } else { takes(word) }, "503", false),
        (|word| if word == "." { Some("452 full") } else { takes(word) }, "452", true),
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
    let refusing: Says = |word| if word == "STARTTLS" { Some("454 not now") } else { offers(word) };
    let pretending: Says = |word| if word == "STARTTLS" { Some("220 go on") } else { offers(word) };
    for (says, security) in [
        (takes as Says, Security::StartTls(None)),
        (refusing, Security::StartTls(None)),
        (pretending, Security::StartTls(None)),
        (takes, Security::Tls(None)),
    ] {
        let post = Post::open(says).await;
        let mail = post.mail(security, Some(("gate".into(), password(directory.path()))));
        assert!(mail.send(&notice("DELETE FROM orders")).await.is_err());
        for line in post.heard() {
            assert!(!["AUTH", "MAIL", "RCPT", "DATA"].iter().any(|word| line.starts_with(word)), "{line}");
        }
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
    let verified = Server { security: Security::Tls(Some(&file)), ..loopback() };
    assert!(matches!(Mail::new(verified, "gate@example.com", "dba@example.com"), Err(NoWay::Authorities(_))));
}
