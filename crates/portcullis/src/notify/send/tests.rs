use super::*;
use crate::notify::notice::tests::notice;
use portcullis_credentials::{Method, SecretSource, Source};
use portcullis_testkit::http::{Act, Answers, Asked, Service, answer};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// The vector is `openssl`'s: `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret`.
#[test]
fn a_signature_is_over_the_time_and_the_document() {
    let secret = SecretString::from("secret".to_owned());
    let signed = signature(&secret, 1_700_000_000, b"{}").unwrap();
    assert_eq!(signed, "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
    assert_ne!(signed, signature(&secret, 1_700_000_001, b"{}").unwrap());
    assert_ne!(signed, signature(&SecretString::from("other".to_owned()), 1_700_000_000, b"{}").unwrap());
}

#[tokio::test]
async fn a_command_gets_the_document_and_none_of_the_gateways_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("told");
    let script = format!("cat > {0}; env >> {0}", file.display());
    run(&["sh", "-c", &script].map(Arc::from), b"{\"a\":1}", COMMAND).await.unwrap();
    let told = fs::read_to_string(&file).unwrap();
    assert!(told.starts_with("{\"a\":1}") && !told.contains("CARGO"), "{told}");
    // No shell reads the words, and nobody has to read the document.
    let words = ["test", "$HOME;x", "=", "$HOME;x"].map(Arc::from);
    run(&words, &[b'x'; 1 << 20], COMMAND).await.unwrap();
    assert!(matches!(run(&["false".into()], b"", COMMAND).await, Err(NotTold::Ended(_))));
    assert!(matches!(run(&["/no/such/program".into()], b"", COMMAND).await, Err(NotTold::Command(_))));
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let words = ["sh", "-c", &script].map(Arc::from);
    let begun = Instant::now();
    let told = run(&words, b"", Duration::from_secs(2)).await;
    assert!(matches!(told, Err(NotTold::Late)) && begun.elapsed() < Duration::from_secs(60), "{told:?}");
    crate::program::ends(&file).await;
}

fn service(answers: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Service {
    let answers: Answers = Arc::new(answers);
    Service::start(answers).unwrap()
}

fn webhook(directory: &Path, url: String) -> Notifier {
    let (file, name) = (directory.join("secret"), Name::canonical("notifications[0].secret"));
    fs::write(&file, "hook-secret").unwrap();
    let method = Method::Password(SecretSource::File(file));
    let source = Source { username: "".into(), logins: [].into(), method };
    let credentials = Credentials::new([(name.clone(), source)].into());
    let secret = Secret { name, credentials, reader: crate::assemble::local_admin().principal };
    let way = Way::Webhook(url.into(), Fetch::new(None).unwrap(), secret);
    Notifier { way, name: "hook".into(), connections: [].into(), rules: [].into() }
}

#[tokio::test]
async fn a_refusal_or_a_redirect_is_not_tried_again_and_leads_nowhere() {
    let elsewhere = service(|_| answer("200 OK", "text/plain", b""));
    let to = elsewhere.address();
    let hook = service(move |asked| {
        if asked.target() == "/refused" {
            return answer("403 Forbidden", "text/plain", b"");
        }
        vec![Act::Write(format!("HTTP/1.1 307 x\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n").into())]
    });
    let directory = tempfile::tempdir().unwrap();
    for path in ["refused", "moved"] {
        let notifier = webhook(directory.path(), format!("http://{}/{path}", hook.address()));
        let told = notifier.tell(&notice("x"), &mut false).await;
        assert!(matches!(told, Err(NotTold::Status(_))), "{told:?}");
    }
    assert_eq!(hook.ledger().connections().len(), 2);
    assert!(elsewhere.ledger().connections().is_empty());
}

#[tokio::test]
async fn nothing_that_is_told_of_a_failure_shows_a_url() {
    let directory = tempfile::tempdir().unwrap();
    for url in ["http://hooks.example.com/hunter2", "http://127.0.0.1:1/hunter2", "hunter2"] {
        let error = webhook(directory.path(), url.to_owned()).once(&notice("x")).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_notifier_is_told_of_its_connections_and_rules() {
    let directory = tempfile::tempdir().unwrap();
    for (connections, rules, expected) in [
        (&[][..], &[][..], true),
        (&["shop"], &[], true),
        (&["crm"], &[], false),
        (&[], &["held/other", "held/ask"], true),
        (&[], &["held/other"], false),
        (&["shop"], &["held/other"], false),
    ] {
        let mut notifier = webhook(directory.path(), "x".to_owned());
        notifier.connections = connections.iter().map(|name: &&str| Name::canonical(*name)).collect();
        notifier.rules = rules.iter().map(|rule: &&str| Arc::from(*rule)).collect();
        assert_eq!(notifier.is_for(&notice("x")), expected, "{connections:?} {rules:?}");
    }
}
