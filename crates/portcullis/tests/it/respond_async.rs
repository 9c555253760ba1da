//! HTTP clients that do not stay while people decide.
//!
//! Promises: such a request is told its approval's id at once and passes once, sent again by the same token after the
//! approval; another body, another token and a second time ask anew; the wish itself goes no further.

use crate::approvals::{World, said};
use crate::surroundings::BINARY;
use portcullis_testkit::gateway::Settings;
use portcullis_testkit::http::{Service, answer};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::Arc;

#[test]
fn a_client_that_does_not_stay_sends_the_same_again_after_the_approval() {
    let service = Service::start(Arc::new(|_| answer("200 OK", "application/json", b"{}"))).unwrap();
    let upstream = format!("{{ protocol: http, upstream: \"http://{}\", api: rest }}", service.address());
    let world = World::open(Settings::new(BINARY).connection("crm", &upstream), "");
    let token = world.agent();
    let post = |token: &str, prefer: &str, amount: u32| {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--max-time",
            "60",
            "--write-out",
            "\n%{http_code} %header{x-should-retry}",
            "--cacert",
        ]);
        command.arg(world.gateway.ca_file()).args(["-H", &format!("Authorization: Bearer {token}")]);
        command.args([
            "-H",
            prefer,
            "-H",
            "content-type: application/json",
            "-d",
            &format!("{{\"amount\": {amount}}}"),
        ]);
        command.arg(format!("https://{}/crm/refunds", world.gateway.address("http").unwrap()));
        said(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let written = || String::from_utf8_lossy(&service.ledger().connections().concat()).into_owned();
    let refunds = || written().matches("POST /refunds").count();
    let waits = |token: &str, amount: u32| {
        let words = post(token, "prefer: respond-async, return=minimal", amount);
        let (body, status) = words.rsplit_once('\n').unwrap();
        assert_eq!(status, "409 false", "{words}");
        serde_json::from_str::<Value>(body).unwrap()["approval"].as_str().unwrap().to_owned()
    };
    let id = waits(&token, 5);
    assert_eq!((waits(&token, 5), world.waiting(), refunds()), (id.clone(), id.clone(), 0));
    world.decide("approve", &id, &world.dana());
    assert_ne!(waits(&token, 6), id, "another body is another request");
    assert_ne!(waits(&world.agent(), 5), id, "another token is another proof");
    assert_eq!(refunds(), 0);
    // Also where it would stay now; that wish goes no further, and the other preference does.
    let words = post(&token, "prefer: return=minimal", 5);
    assert!(words.contains("\n200"), "{words}");
    assert!(refunds() == 1 && written().contains("return=minimal") && !written().contains("respond-async"));
    let second = waits(&token, 5);
    assert_ne!(second, id, "it is used");
    world.decide("reject", &second, &world.dana());
    assert!(post(&token, "prefer: respond-async, return=minimal", 5).contains("\n403"));
    assert_eq!(refunds(), 1);
    world.gateway.stop(&[]).unwrap();
}
