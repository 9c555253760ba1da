//! Tokens proven by SASL, end to end: SCRAM with every client there is, OAUTHBEARER with libpq 18.
//!
//! Promises: each client logs in and does all that it does by password; a token is proven by its own user only, while it
//! lives, and to this gateway only; what is refused says why as it does for a password.

use crate::approvals::World;
use crate::drivers::{go, java, node, python};
use crate::surroundings::{AGENTS, BINARY, OWNERS, Shop, Wants, Who, libpq_client, part, server, succeed};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::shop;
use std::process::Command;

const OPTION: &str = "-c portcullis.auth=scram";

/// psql with these variables; what it printed, and what it complained about.
fn psql(dsn: &str, variables: &[(&str, &str)], sql: &str) -> (String, String) {
    let mut command = libpq_client("psql", dsn).unwrap();
    let output = command.envs(variables.iter().copied()).args(["-X", "-At", "-c", sql]).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const BOUND: &[(&str, &str)] = &[("PGOPTIONS", OPTION), ("PGCHANNELBINDING", "require")];

#[test]
fn psql_proves_its_token_bound_to_the_gateways_certificate() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let dsn = shop.dsn(Who::Agent);
    assert_eq!(psql(&dsn, BOUND, "SELECT 7").0, "7\n");
    for binding in ["prefer", "disable"] {
        let variables = [("PGOPTIONS", OPTION), ("PGCHANNELBINDING", binding)];
        assert_eq!(psql(&dsn, &variables, "SELECT 7").0, "7\n", "{binding}");
    }
    // The setting is the gateway's and no server's; others beside it are the server's.
    let both = [("PGOPTIONS", "-c portcullis.auth=scram -c statement_timeout=77s")];
    assert_eq!(psql(&dsn, &both, "SHOW statement_timeout").0, "77s\n");
    // A password is not what was required.
    let unbound = [("PGCHANNELBINDING", "require")];
    assert!(psql(&dsn, &unbound, "SELECT 7").1.contains("channel binding"), "{:?}", psql(&dsn, &unbound, "SELECT 7"));
    let wrong = [("PGOPTIONS", "-c portcullis.auth=gss")];
    let (_, refused) = psql(&dsn, &wrong, "SELECT 7");
    assert!(refused.contains("portcullis.auth=scram"), "{refused}");
    // What happens to commands is the same.
    let (_, refused) = psql(&dsn, BOUND, "DROP TABLE orders");
    assert!(refused.contains("Agents may not destroy tables"), "{refused}");
    shop.close(&[]);
}

#[test]
fn a_token_is_proven_by_its_own_user_while_it_lives() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let good = shop.token(Who::Agent);
    let second = shop.token(Who::Agent);
    let made = gateway.command(&["token", "create", "--user", "agent", "--group", "agents", "--json"]).unwrap();
    let made: serde_json::Value = serde_json::from_str(made.lines().next().unwrap()).unwrap();
    let (id, revoked) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let log_in = |user: &str, token: &str| psql(&gateway.dsn("shop", user, token).unwrap(), BOUND, "SELECT 7");
    for token in [good.as_str(), &second, revoked] {
        assert_eq!(log_in("agent", token).0, "7\n");
    }
    gateway.command(&["token", "revoke", id]).unwrap();
    let told = |(said, complained): (String, String)| {
        assert_eq!(said, "");
        complained.split_once("FATAL:").unwrap_or_else(|| panic!("{complained}")).1.trim().to_owned()
    };
    let altered = good.replace(&good[40..44], "AAAA");
    let answers = [revoked, &altered, "nonsense"].map(|token| told(log_in("agent", token)));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(answers[0].contains("password authentication failed for user \"agent\""), "{answers:?}");
    for user in ["owner", "nobody"] {
        assert!(told(log_in(user, &good)).contains("password authentication failed"), "{user}");
    }
    let any = told(log_in("token", &good));
    assert!(any.contains("SCRAM needs the token's own user") && any.contains("HINT"), "{any}");
    assert_eq!(log_in("agent", &good).0, "7\n");
    let log = gateway.log_text();
    assert!([good.as_str(), revoked].iter().all(|token| !log.contains(*token)), "a token is in the log");
    shop.close(&["auth", "login", "token"]);
}

#[test]
fn guesses_are_counted_as_those_of_a_password_are() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let dsn = |token: &str| gateway.dsn("shop", "agent", token).unwrap();
    let good = shop.token(Who::Agent);
    let guess = || assert!(psql(&dsn("nonsense"), BOUND, "SELECT 7").1.contains("password authentication failed"));
    (0..10).for_each(|_| guess());
    // A guess is forgotten every six seconds: whoever was slow guesses again.
    let refused = (0..30).find_map(|_| {
        let (said, complained) = psql(&dsn(&good), BOUND, "SELECT 7");
        if said.is_empty() {
            return Some(complained);
        }
        guess();
        None
    });
    let complained = refused.expect("guesses are counted");
    assert!(complained.contains("authentication failed"), "too many attempts: {complained}");
    shop.close(&["auth", "login", "token"]);
}

/// A gateway whose connection asks everybody for SCRAM.
fn asking() -> Option<Gateway> {
    let server = server()?;
    let database = server.create_database("scram", shop::SQL).unwrap();
    let settings = Settings::new(BINARY).policy("agents", AGENTS).policy("owners", OWNERS);
    let settings = settings.postgres_with("shop", server, &database, ", client_auth: scram");
    Some(settings.start().unwrap())
}

/// Runs a driver's checks as the agent through such a gateway.
fn checks(mut command: Command) {
    let Some(gateway) = asking() else { return };
    let token = gateway.token("agent", &["agents"]).unwrap();
    command.env("PORTCULLIS_TEST_DSN", gateway.dsn("shop", "agent", &token).unwrap());
    command.env("PORTCULLIS_TEST_GATEWAY", "1");
    let said = succeed(&mut command);
    assert!(said.trim_end().ends_with("checks passed"), "{said}");
    gateway.stop(&[]).unwrap();
}

#[test]
fn psycopg() {
    let Some(mut command) = python("psycopg_checks.py") else { return };
    // Nothing less will do for it.
    command.env("PGREQUIREAUTH", "scram-sha-256").env("PGCHANNELBINDING", "require");
    checks(command);
}

#[test]
fn asyncpg() {
    let Some(command) = python("asyncpg_checks.py") else { return };
    checks(command);
}

#[test]
fn node_postgres() {
    let Some(command) = node("checks.js") else { return };
    checks(command);
}

#[test]
fn pgx() {
    let Some(command) = go() else { return };
    checks(command);
}

#[test]
fn jdbc() {
    let Some(command) = java("Checks.java") else { return };
    checks(command);
}

#[test]
fn a_connections_default_gives_way_to_what_the_client_wants() {
    let Some(gateway) = asking() else { return };
    let token = gateway.token("agent", &["agents"]).unwrap();
    let dsn = gateway.dsn("shop", "agent", &token).unwrap();
    assert_eq!(psql(&dsn, &[("PGCHANNELBINDING", "require")], "SELECT 7").0, "7\n");
    assert_eq!(psql(&dsn, &[("PGOPTIONS", "-c portcullis.auth=password")], "SELECT 7").0, "7\n");
    let any = gateway.dsn("shop", "token", &token).unwrap();
    assert!(psql(&any, &[], "SELECT 7").1.contains("SCRAM needs the token's own user"));
    assert_eq!(psql(&any, &[("PGOPTIONS", "-c portcullis.auth=password")], "SELECT 7").0, "7\n");
    let oauth = psql(&dsn, &[("PGOPTIONS", "-c portcullis.auth=oauth")], "SELECT 7").1;
    assert!(oauth.contains("names no identity provider"), "{oauth}");
    gateway.stop(&["auth", "login", "token"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_in_plaintext_on_loopback() {
    let Some(shop) = Shop::guarded(Wants { plaintext: true, ..Wants::default() }) else { return };
    let dsn = shop.dsn(Who::Agent);
    let connect = async |password: &str| {
        let mut config = tokio_postgres::Config::new();
        config.host(part(&dsn, "host")).port(part(&dsn, "port").parse().unwrap()).user("agent").dbname("shop");
        config.password(password).options(OPTION);
        config.connect(tokio_postgres::NoTls).await
    };
    let (client, connection) = connect(part(&dsn, "password")).await.unwrap();
    tokio::task::spawn(connection);
    assert_eq!(client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
    let refused = connect("nonsense").await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    shop.close(&["auth", "login", "token"]);
}

#[test]
fn connect_prints_and_sets_what_scram_needs() {
    let Some(shop) = Shop::guarded(Wants::default()) else { return };
    let gateway = shop.gateway();
    let connect = |words: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["connect", "--gateway", &gateway.address("console").unwrap(), "--ca"]).arg(gateway.ca_file());
        command.env("PORTCULLIS_TOKEN", shop.token(Who::Agent)).env("XDG_STATE_HOME", gateway.directory());
        command.env_remove("PGPASSWORD").args(words);
        command
    };
    let printed = succeed(&mut connect(&["--auth", "scram", "shop"]));
    assert!(printed.contains("options='-c portcullis.auth=scram' channel_binding=require"), "{printed}");
    let answer = succeed(&mut connect(&["--auth", "scram", "shop", "--", "psql", "-X", "-Atc", "SELECT 7"]));
    assert_eq!(answer, "7\n");
    // The local administrator's connection has no user of its own.
    let refused = gateway.command(&["connect", "--auth", "scram", "shop"]).unwrap_err().to_string();
    assert!(refused.contains("SCRAM needs the token's own user"), "{refused}");
    shop.close(&[]);
}

#[test]
fn libpq_18_gets_in_with_a_providers_token() {
    let Some(server) = server() else { return };
    let Some(mut command) = python("oauth_checks.py") else { return };
    let database = server.create_database("oauth", shop::SQL).unwrap();
    let settings = Settings::new(BINARY).postgres("shop", server, &database);
    let world = World::open(settings.postgres_with("with-oauth", server, &database, ", client_auth: oauth"), "");
    let dsn = world.gateway.dsn("shop", "dana", "").unwrap().replace("password= ", "");
    command.env("PORTCULLIS_TEST_DSN", dsn);
    // The provider of these tests has no TLS.
    command.env("PORTCULLIS_TEST_ISSUER", world.provider.issuer()).env("PGOAUTHDEBUG", "UNSAFE");
    command.env("PORTCULLIS_TEST_TOKEN", world.dana());
    let said = succeed(&mut command);
    assert!(said.contains("5 checks passed"), "{said}");
    assert!(!world.gateway.log_text().contains(&world.dana()[..60]));
    world.gateway.stop(&["auth", "login", "token"]).unwrap();
}
