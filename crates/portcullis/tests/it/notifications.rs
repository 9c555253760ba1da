//! Who is told that something waits: real listeners beside a gateway.
//!
//! Promises: a webhook, Slack's webhook, mailboxes and a command are told of a request's opening and its end, once each,
//! whatever restarts between; mail goes over TLS that was verified by authority and name, and one mailbox that is none keeps it from no other; what is told is signed where it can be and holds nothing that is not shown to those who decide; a
//! notifier that is down or hangs holds up nobody, and says so once; one that fails twice is told at the third try; `check` says
//! which has no secret.

use crate::approvals::{Shop, said};
use crate::surroundings::{BINARY, eventually, fetched};
use portcullis_testkit::certificates::TestCa;
use portcullis_testkit::http::{Act, Answers, Asked, Service, answer};
use portcullis_testkit::process::{Launch, ReadyOn, Supervised};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn listener(answers: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Service {
    let answers: Answers = Arc::new(answers);
    Service::start(answers).unwrap()
}

fn well() -> Vec<Act> {
    answer("200 OK", "text/plain", b"ok")
}

fn written(service: &Service) -> String {
    String::from_utf8_lossy(&service.ledger().connections().concat()).into_owned()
}

/// Head and body of each request.
fn requests(service: &Service) -> Vec<(String, Value)> {
    let connections = service.ledger().connections();
    let whole = connections.iter().filter_map(|bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.to_owned(), serde_json::from_str(body).ok()?))
    });
    whole.collect()
}

/// What `openssl` says that the signature of this must be.
fn signature(secret: &str, signed: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", secret]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().unwrap();
    child.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().rsplit(' ').next().unwrap().to_owned()
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).unwrap().1
}

fn webhook(service: &str, secret: &Path) -> String {
    format!("  - {{ webhook: \"http://{service}/hook\", secret: {{ file: \"{}\" }} }}\n", secret.display())
}

const DELETE: &str = "DELETE FROM order_items WHERE order_id = 1";

#[test]
fn people_are_told_what_waits_and_what_became_of_it() {
    let (hook, slack) = (listener(|_| well()), listener(|_| well()));
    let kept = tempfile::tempdir().unwrap();
    let [secret, url, told, other] = ["secret", "url", "told", "other"].map(|name| kept.path().join(name));
    fs::write(&secret, "hook-secret").unwrap();
    fs::write(&url, format!("http://{}/services/T0/B0/xyzzy\n", slack.address())).unwrap();
    let lines = format!(
        "notifications:\n{}  - slack: {{ file: \"{}\" }}\n  - command: [sh, -c, \"cat >> {}\"]\n    connections: [shop]\n  \
         - command: [sh, -c, \"cat >> {}\"]\n    rules: [held/other]\n{}",
        webhook(&hook.address(), &secret),
        url.display(),
        told.display(),
        other.display(),
        webhook("127.0.0.1:1", &secret),
    );
    let Some(shop) = Shop::open_with(&lines) else { return };
    let delete = format!("{DELETE} /* <!channel> @here\nand a line */");
    let client = shop.psql_with(&[&delete], &shop.world.agent(), "-c portcullis.reason=<!here>");
    let id = shop.world.waiting();
    eventually("the request is told of", || !requests(&hook).is_empty());
    shop.world.decide("reject", &id, &shop.world.dana());
    assert!(said(client).contains("was refused"));
    eventually("the webhook", || requests(&hook).len() == 2);
    for ((head, body), (kind, state)) in requests(&hook).iter().zip([("opened", "open"), ("ended", "rejected")]) {
        assert_eq!((&body["type"], &body["state"]), (&format!("approval.{kind}").into(), &state.into()));
        assert_eq!(body["command"], delete);
        assert_eq!((&body["user"], &body["connection"]), (&"agent-7".into(), &"shop".into()));
        assert_eq!((&body["rules"][0], &body["approvers"]["groups"][0]), (&"held/ask".into(), &"dba".into()));
        assert_eq!(
            (&body["reason"], &body["show"]),
            (&"<!here>".into(), &format!("portcullis approvals show {id}").into())
        );
        assert_eq!(header(head, "portcullis-delivery"), format!("{id}-{kind}"));
        assert_eq!(body["delivery"], format!("{id}-{kind}"));
        let signed = header(head, "portcullis-signature");
        let (at, _) = signed.strip_prefix("t=").unwrap().split_once(',').unwrap();
        let bytes =
            hook.ledger().connections().into_iter().find(|bytes| String::from_utf8_lossy(bytes).contains(signed));
        let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let expected = signature("hook-secret", &format!("{at}.{}", text.split_once("\r\n\r\n").unwrap().1));
        assert_eq!(signed, format!("t={at},v1={expected}"));
    }
    eventually("Slack", || requests(&slack).len() == 2);
    for (_, body) in requests(&slack) {
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt;") && !text.contains(['<', '>']) && !text.contains("@here"), "{text}");
        assert!(text.contains("agent-7") && text.contains(&id) && !text.contains("\nand a line"), "{text}");
    }
    let read = || fs::read_to_string(&told).unwrap_or_default();
    eventually("the command", || read().contains("\"rejected\""));
    assert_eq!(read().matches("\"delivery\"").count(), 2);
    assert!(!other.exists());
    eventually("what is down is said", || shop.world.gateway.log_text().contains("notifications[4] (webhook)"));
    let log = shop.world.gateway.log_text();
    assert!(!log.contains("hook-secret") && !log.contains("xyzzy"), "{log}");
    assert_eq!(log.matches("notifications do not arrive").count(), 1, "{log}");
    shop.world.gateway.stop(&["notifications do not arrive", "before every notice was delivered"]).unwrap();
}

#[test]
fn one_that_fails_twice_is_told_and_one_that_hangs_holds_up_nobody() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let failing = listener(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => answer("500 Internal Server Error", "text/plain", b""),
        _ => well(),
    });
    let hanging = listener(|_| vec![Act::Wait]);
    let kept = tempfile::tempdir().unwrap();
    let secret = kept.path().join("secret");
    fs::write(&secret, "hook-secret").unwrap();
    let lines = format!(
        "notifications:\n{}{}  - command: [sleep, \"600\"]\n",
        webhook(&failing.address(), &secret),
        webhook(&hanging.address(), &secret)
    );
    let Some(shop) = Shop::open_with(&lines) else { return };
    let client = shop.psql_with(&[DELETE], &shop.world.agent(), "");
    let id = shop.world.waiting();
    eventually("the hanging one is met", || written(&hanging).contains("approval.opened"));
    shop.world.decide("approve", &id, &shop.world.dana());
    assert!(said(client).contains("DELETE "));
    eventually("three tries and the end", || requests(&failing).len() == 4);
    let deliveries: Vec<_> =
        requests(&failing).iter().map(|(_, body)| body["delivery"].as_str().unwrap().to_owned()).collect();
    let opened = format!("{id}-opened");
    assert_eq!(deliveries, [&*opened, &opened, &opened, &format!("{id}-ended")]);
    assert_eq!(requests(&failing)[3].1["state"], "approved");
    assert_eq!(requests(&failing)[3].1["by"][0], "dana");
    eventually("it arrives again", || shop.world.gateway.log_text().contains("notifications arrive again"));
    shop.world.gateway.stop(&["notifications do not arrive", "before every notice was delivered"]).unwrap();
}

/// Mail servers on three ports: TLS at once as 127.0.0.1 alone, STARTTLS as localhost alone, and STARTTLS as 127.0.0.1. An
/// authority of this directory signed for both names; a line for each message is in `mail` there.
fn mail_servers(directory: &Path) -> Option<(Supervised, [String; 3])> {
    let mut command = Command::new(fetched("python/bin/python")?);
    let ca = TestCa::new("mail").unwrap();
    let other = TestCa::new("other").unwrap();
    for (name, text) in [("ca.pem", ca.pem()), ("other.pem", other.pem())] {
        fs::write(directory.join(name), text).unwrap();
    }
    for (file, name) in [("address", "127.0.0.1"), ("name", "localhost")] {
        let leaf = ca.server(&[name]).unwrap();
        fs::write(directory.join(file).with_extension("pem"), leaf.certificate).unwrap();
        fs::write(directory.join(file).with_extension("key"), leaf.key).unwrap();
    }
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers/mail_server.py"));
    command.args(["address", "name", "mail"]).current_dir(directory);
    let launch = Launch {
        command,
        name: "mail",
        directory,
        garbage: None,
        stop_signal: "TERM",
        ready_on: ReadyOn::Stdout,
        ready: "ports ",
        patience: Duration::from_secs(60),
    };
    let server = Supervised::start(launch).unwrap();
    let mut ports = server.ready_line().split_ascii_whitespace().skip(1).map(str::to_owned);
    let ports = [(); 3].map(|()| ports.next().unwrap());
    Some((server, ports))
}

#[test]
fn mail_reaches_each_mailbox_and_goes_over_verified_tls_only() {
    let kept = tempfile::tempdir().unwrap();
    let at = |name: &str| kept.path().join(name).display().to_string();
    let Some((_servers, [over_tls, starttls, unnamed])) = mail_servers(kept.path()) else { return };
    fs::write(at("password"), "mail-hunter2").unwrap();
    let login = format!("from: gate@example.com, username: gate, password: {{ file: \"{}\" }}", at("password"));
    let lines = format!(
        "notifications:\n  - email: {{ server: \"smtps://127.0.0.1:{over_tls}\", to: [dba@example.com, gone@example.com], \
         {login} }}\n    tls_ca: \"{0}\"\n  - email: {{ server: \"smtp://localhost:{starttls}\", to: [oncall@example.com], \
         {login} }}\n    tls_ca: \"{0}\"\n  - email: {{ server: \"smtps://127.0.0.1:{over_tls}\", to: \
         [elsewhere@example.com], {login} }}\n    tls_ca: \"{1}\"\n  - email: {{ server: \"smtps://localhost:{over_tls}\", \
         to: [named@example.com], {login} }}\n    tls_ca: \"{0}\"\n  - email: {{ server: \"smtp://localhost:{unnamed}\", \
         to: [unnamed@example.com], {login} }}\n    tls_ca: \"{0}\"\n",
        at("ca.pem"),
        at("other.pem"),
    );
    let Some(shop) = Shop::open_with(&lines) else { return };
    let client = shop.psql_with(&[DELETE], &shop.world.agent(), "-c portcullis.reason=tidying");
    let id = shop.world.waiting();
    let mail = || -> Vec<Value> {
        let text = fs::read_to_string(at("mail")).unwrap_or_default();
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    };
    eventually("the request is told of", || mail().len() == 2);
    shop.world.decide("approve", &id, &shop.world.dana());
    assert!(said(client).contains("DELETE "));
    eventually("its end", || mail().len() == 4);
    for (mailbox, port) in [("dba@example.com", &over_tls), ("oncall@example.com", &starttls)] {
        let told: Vec<Value> = mail().into_iter().filter(|mail| mail["to"] == serde_json::json!([mailbox])).collect();
        let [opened, ended] = &told[..] else { panic!("{told:?}") };
        let [opening, ending] = [opened, ended].map(|mail| mail["text"].as_str().unwrap().replace("\r\n", "\n"));
        for part in [
            "Subject: agent-7 waits for approval on shop\n",
            "From: gate@example.com\n",
            "held by held/ask",
            "Reason: tidying\n",
            &format!("Decide: portcullis approvals show {id}\n"),
            &format!("Command: {DELETE}"),
            &format!("Message-ID: <{id}-opened@example.com>\n"),
        ] {
            assert!(opening.contains(part), "{part} in {opening}");
        }
        for part in ["Subject: agent-7 on shop: approved\n", "by dana", &format!("<{id}-opened@example.com>\n")] {
            assert!(ending.contains(part), "{part} in {ending}");
        }
        assert_eq!((opened["from"].as_str(), opened["port"].to_string()), (Some("gate@example.com"), port.clone()));
    }
    let log = || shop.world.gateway.log_text();
    let says = |who: &str, why: &str| log().lines().any(|line| line.contains(who) && line.contains(why));
    eventually("who is none", || says("notifications[0] (mail to gone@example.com)", "550"));
    // By another authority, or for another name.
    for (nth, mailbox) in [(2, "elsewhere"), (3, "named"), (4, "unnamed")] {
        let who = format!("notifications[{nth}] (mail to {mailbox}@example.com)");
        eventually("who it is not", || says(&who, "not who it should be"));
    }
    assert_eq!(mail().len(), 4);
    assert!(!log().contains("mail-hunter2"), "{}", log());
    shop.world.gateway.stop(&["notifications do not arrive", "before every notice was delivered"]).unwrap();
}

#[test]
fn what_a_killed_gateway_left_is_told_once_by_the_next() {
    let hook = listener(|_| well());
    let kept = tempfile::tempdir().unwrap();
    let secret = kept.path().join("secret");
    fs::write(&secret, "hook-secret").unwrap();
    let Some(mut shop) = Shop::open_with(&format!("notifications:\n{}", webhook(&hook.address(), &secret))) else {
        return;
    };
    let told = || -> Vec<String> {
        requests(&hook)
            .iter()
            .map(|(_, body)| format!("{} {}", body["approval"], body["state"]).replace('"', ""))
            .collect()
    };
    let client = shop.psql_with(&[DELETE], &shop.world.agent(), "");
    let id = shop.world.waiting();
    eventually("the opening", || told() == [format!("{id} open")]);
    shop.world.gateway.kill().unwrap();
    shop.world.gateway.restart().unwrap();
    drop(said(client));
    let killed = [format!("{id} open"), format!("{id} withdrawn")];
    eventually("the end", || told() == killed);
    // What was told to have ended is not told again by the next.
    let client = shop.psql_with(&[DELETE], &shop.world.agent(), "");
    let second = shop.world.waiting();
    eventually("the second opening", || told().len() == 3);
    let mut client = client;
    client.kill().unwrap();
    drop(said(client));
    eventually("the second end", || told().len() == 4);
    shop.world.gateway.kill().unwrap();
    shop.world.gateway.restart().unwrap();
    shop.world.gateway.stop(&[]).unwrap();
    let all = [&killed[0], &killed[1], &format!("{second} open"), &format!("{second} withdrawn")];
    assert_eq!(told(), all.map(String::clone));
}

#[test]
fn check_says_which_notifier_has_no_secret() {
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("portcullis.yaml");
    let text = "listen: { postgres: 127.0.0.1:0 }\nconnections:\n  shop: { protocol: postgres, address: 127.0.0.1, database: shop, \
                username: app, tls: disable }\npolicies: [p.yaml]\nnotifications:\n  - command: [page]\n  - { webhook: \
                \"https://hooks.example.com/x\", secret: { env: NOTIFIES_NOBODY } }\n  - slack: { env: NOTIFIES_SLACK }\n";
    fs::write(&file, text).unwrap();
    let policy = "bundle: b\nrules:\n  - id: r\n    deny: { actions: [drop] }\n";
    fs::write(kept.path().join("p.yaml"), policy).unwrap();
    let output =
        Command::new(BINARY).args(["check", "--config"]).arg(&file).env("NOTIFIES_SLACK", "x").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let expected = "error: environment variable NOTIFIES_NOBODY is not set (at notifications[1].secret)";
    assert!(told.contains(expected) && !told.contains("notifications[2]") && told.contains(": 1 errors"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}
