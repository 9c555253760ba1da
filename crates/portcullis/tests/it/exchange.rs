//! A program's client secret for a token of its own, end to end: what the token opens, and what may go wrong.
//!
//! Promises: the token that `portcullis token exchange` prints is psql's password, curl's bearer and ssh's password; what
//! a provider or the gateway refuses is said with what to do, on standard error alone; the secret is in no output, no log and
//! no record.

use crate::approvals::{World, told};
use crate::ssh::{know, ran};
use crate::surroundings::{BINARY, eventually, libpq_client, server};
use portcullis_testkit::gateway::Settings;
use portcullis_testkit::http::{Answers, Asked, Service, answer};
use portcullis_testkit::idp::Settings as People;
use portcullis_testkit::ssh::Sshd;
use portcullis_testkit::{or_skip, shop};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "s3cret-of-agent-7-4e1f";

const PROGRAMS: &str = r#"
bundle: programs
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: echo
    allow: { actions: [execute], objects: ["program echo"] }
  - id: reads
    allow: { actions: [read], objects: ["endpoint * /**"] }
"#;

/// A provider at which `agent-7` has a secret that is not its name.
fn people() -> People {
    let mut people = People::for_tests();
    people.clients.retain(|client| client.secret.is_none());
    let agent = People::for_tests().clients.into_iter().find(|client| client.id == "agent-7");
    people
        .clients
        .extend(agent.map(|agent| portcullis_testkit::idp::Client { secret: Some(SECRET.to_owned()), ..agent }));
    people
}

fn world(people: People) -> World {
    let upstream = "{ protocol: http, upstream: \"http://127.0.0.1:1\", api: rest }";
    World::with(people, Settings::new(BINARY).connection("crm", upstream), "")
}

/// `portcullis token exchange` with this on its standard input, not started.
fn exchange(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_remove("PORTCULLIS_TOKEN")
        .env_remove("PORTCULLIS_GATEWAY")
        .env_remove("PORTCULLIS_ISSUER")
        .current_dir(world.gateway.directory());
    command.args(["token", "exchange", "--client-id", "agent-7"]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same for the world's provider, with the gateway asked.
fn at_gateway(world: &World, words: &[&str]) -> Command {
    at_issuer(world, world.provider.issuer(), words)
}

fn at_issuer(world: &World, issuer: &str, words: &[&str]) -> Command {
    let mut command = exchange(world, words);
    command.args(["--issuer", issuer]);
    command.args(["--gateway", &world.gateway.address("console").unwrap(), "--ca"]).arg(world.gateway.ca_file());
    command
}

fn given(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // One that wants nothing of it may be gone already.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The bare token.
fn token(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    assert!(!told(output).contains(SECRET));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim().to_owned()
}

/// Who the bearer is, if anybody.
fn whoami(world: &World, token: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["whoami", "--gateway", &world.gateway.address("console").unwrap(), "--ca"]);
    command.arg(world.gateway.ca_file()).env("PORTCULLIS_TOKEN", token).output().unwrap()
}

fn ssh(world: &World, token: &str, directory: &Path) -> crate::ssh::Ran {
    let (askpass, known) = (directory.join("askpass"), directory.join("known_hosts"));
    fs::write(&askpass, "#!/bin/sh\nprintf '%s\\n' \"$GIVEN\"\n").unwrap();
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
    know(&world.gateway, &known);
    let address = world.gateway.address("ssh").unwrap();
    let mut command = Command::new("ssh");
    command.args(["-F", "/dev/null", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]);
    command.args(["-o", "PreferredAuthentications=password", "-o", "GlobalKnownHostsFile=/dev/null", "-o"]);
    command.arg(format!("UserKnownHostsFile={}", known.display()));
    command.args(["-p", address.rsplit_once(':').unwrap().1, "build-box@127.0.0.1", "echo in"]);
    command.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":9").env("GIVEN", token);
    ran(&mut command, b"")
}

#[test]
fn a_programs_secret_becomes_a_token_for_psql_curl_and_ssh() {
    let Some(server) = server() else { return };
    let database = server.create_database("exchange", shop::SQL).unwrap();
    let service = Service::start(Arc::new(|_: &Asked| answer("200 OK", "application/json", b"{\"ok\":1}"))).unwrap();
    let crm = format!("{{ protocol: http, upstream: \"http://{}\", api: rest }}", service.address());
    let settings = Settings::new(BINARY).postgres("shop", server, &database).connection("crm", &crm);
    let sshd = or_skip(Sshd::shared());
    let settings = match sshd {
        Some(sshd) => settings.ssh("build-box", sshd),
        None => settings,
    };
    let world = World::with(people(), settings.policy("programs", PROGRAMS), "");
    let output = given(at_gateway(&world, &[]), &format!("{SECRET}\n"));
    let found = token(&output);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("the token of agent-7 lives for ") && words.contains(", until 20"), "{words}");

    let mut psql = libpq_client("psql", &world.gateway.dsn("shop", "agent-7", &found).unwrap()).unwrap();
    let asked = psql.args(["-X", "-At", "-c", "SELECT count(*) > 0 FROM products"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "t\n", "{}", told(&asked));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "30", "-H", &format!("authorization: Bearer {found}"), "--cacert"]);
    curl.arg(world.gateway.ca_file()).arg(format!("https://{}/crm/orders", world.gateway.address("http").unwrap()));
    let asked = curl.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "{\"ok\":1}");
    if sshd.is_some() {
        let directory = tempfile::tempdir().unwrap();
        let ran = ssh(&world, &found, directory.path());
        assert_eq!((ran.text(), ran.code), ("in\n", Some(0)), "{ran:?}");
    }
    let (log, record) = (world.gateway.log_text(), world.recorded());
    assert!(record.contains("agent-7"), "{record}");
    for (place, text) in [("log", &log), ("record", &record)] {
        assert!(!text.contains(SECRET) && !text.contains(&found), "the {place} has it");
    }
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_secret_comes_from_where_it_was_said_and_the_token_goes_there() {
    let mut people = people();
    people.secrets_by = vec!["client_secret_post".to_owned()];
    let (world, place) = (world(people), tempfile::tempdir().unwrap());
    let (secret, out) = (place.path().join("secret"), place.path().join("token"));
    fs::write(&secret, format!("{SECRET}\r\n")).unwrap();
    // A provider that takes a secret in the body only; the gateway is not asked.
    let (file, issuer) = (secret.to_str().unwrap(), world.provider.issuer());
    let output = given(exchange(&world, &["--issuer", issuer, "--secret-file", file]), "");
    assert!(whoami(&world, &token(&output)).status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("lives for 10"), "{}", told(&output));
    // From a variable to a file, whatever was there before.
    fs::write(&out, "old").unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = at_gateway(&world, &["--secret-env", "AGENT_SECRET", "--output", out.to_str().unwrap()]);
    command.env("AGENT_SECRET", SECRET);
    let output = given(command, "not this");
    assert!(output.status.success() && output.stdout.is_empty(), "{}", told(&output));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(whoami(&world, &fs::read_to_string(&out).unwrap()).status.success());
    // Not as an argument, where every process could read it.
    for words in [&["--secret", SECRET][..], &["--client-secret", SECRET], &["--secret-file", "a", "--secret-env", "B"]]
    {
        let output = given(at_gateway(&world, words), "");
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{words:?}");
    }
    for (words, expected) in [
        (&["--secret-env", SECRET][..], "takes a name, not a secret"),
        (&["--secret-file", "no-such-file"], "no-such-file"),
        (&[], "is empty"),
    ] {
        let output = given(at_gateway(&world, words), "");
        assert!(!output.status.success() && output.stdout.is_empty(), "{words:?}");
        let words = told(&output);
        assert!(words.contains(expected) && !words.contains(SECRET), "{words}");
    }
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do_and_gives_no_token() {
    let refused = |people: People, input: &str, words: &[&str], expected: &str| {
        let world = world(people);
        let output = given(at_gateway(&world, words), input);
        let said = told(&output);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{said}");
        assert!(said.contains(expected) && !said.contains(input), "{expected}: {said}");
        world.gateway.stop(&["credential", "token", "login"]).unwrap();
    };
    refused(people(), "wrong-secret-77", &[], "look whether --client-id");
    refused(People { for_programs: false, ..people() }, SECRET, &[], "allow the client credentials grant");
    refused(
        People { secrets_by: vec!["private_key_jwt".to_owned()], ..people() },
        SECRET,
        &[],
        "takes no client secrets",
    );
    refused(People { audience: "another".to_owned(), ..people() }, SECRET, &[], "audience must be `portcullis`");
    // Nobody's provider.
    let world = world(people());
    for issuer in ["https://idp.example", "not a url"] {
        let said = told(&given(at_issuer(&world, issuer, &[]), SECRET));
        assert!(said.contains("the gateway's providers are") && !said.contains(SECRET), "{said}");
    }
    world.provider.go_away(true);
    let said = told(&given(at_gateway(&world, &[]), SECRET));
    assert!(said.contains("the identity provider") && !said.contains(SECRET), "{said}");
    world.gateway.stop(&["provider", "keys", "OpenID", "issuer"]).unwrap();
}

#[test]
fn a_token_that_ran_out_opens_nothing() {
    let world = world(People { lifetime: Duration::from_secs(2), ..people() });
    let found = token(&given(exchange(&world, &["--issuer", world.provider.issuer()]), SECRET));
    eventually("the end of the token", || !whoami(&world, &found).status.success());
    assert!(!told(&whoami(&world, &found)).contains("agents"));
    world.gateway.stop(&["credential", "token", "login"]).unwrap();
}

/// Whoever answers where a gateway should be names a provider of their own.
#[test]
fn a_gateway_does_not_say_who_is_shown_the_secret() {
    let world = world(people());
    let mut command = exchange(&world, &["--gateway", &world.gateway.address("console").unwrap(), "--ca"]);
    let output = given(
        {
            command.arg(world.gateway.ca_file());
            command
        },
        SECRET,
    );
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{}", told(&output));
    assert!(told(&output).contains("--issuer"), "{}", told(&output));
    // The variable names it as well.
    let mut command = exchange(&world, &[]);
    command.env("PORTCULLIS_ISSUER", world.provider.issuer());
    token(&given(command, SECRET));
    world.gateway.stop(&[]).unwrap();
}

/// A provider that repeats whatever it was shown, and how.
#[test]
fn what_a_provider_says_back_of_the_secret_is_not_shown() {
    const ODD: &str = "s3cret of/agent+7=\u{e9}";
    const IN_FORM: &str = "s3cret+of%2Fagent%2B7%3D%C3%A9";
    for way in ["client_secret_basic", "client_secret_post"] {
        let answers: Answers = Arc::new(move |asked: &Asked| {
            let at = format!("http://{}", asked.header("host").unwrap_or_default());
            let document = serde_json::json!({
                "issuer": at, "authorization_endpoint": format!("{at}/a"), "token_endpoint": format!("{at}/t"),
                "jwks_uri": format!("{at}/keys"), "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": [way], "keys": [],
            });
            if !asked.line.starts_with("POST") {
                return answer("200 OK", "application/json", document.to_string().as_bytes());
            }
            let shown = format!(
                "{} {} {ODD}",
                asked.header("authorization").unwrap_or_default(),
                String::from_utf8_lossy(&asked.body)
            );
            let said = serde_json::json!({ "error": "invalid_client", "error_description": shown });
            answer("400 Bad Request", "application/json", said.to_string().as_bytes())
        });
        let service = Service::start(answers).unwrap();
        let issuer = format!("http://{}", service.address());
        let mut command = Command::new(BINARY);
        command.env_remove("PORTCULLIS_GATEWAY").args([
            "token",
            "exchange",
            "--client-id",
            "agent-7",
            "--issuer",
            &issuer,
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = given(command, ODD);
        let said = told(&output);
        // base64 of `agent-7:` and the secret, as it stands in the form.
        let header = "YWdlbnQtNzpzM2NyZXQrb2YlMkZhZ2VudCUyQjclM0QlQzMlQTk";
        assert!(!output.status.success() && said.contains("look whether --client-id"), "{said}");
        assert!(said.matches("(the secret)").count() == 2, "{way}: {said}");
        for form in [ODD, IN_FORM, header] {
            assert!(!said.contains(form), "{way}: {said}");
        }
    }
}
