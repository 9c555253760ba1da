//! A role for each session that the gateway makes itself, end to end.
//!
//! Promises: each session logs in as a role of its own, acts as the role of the connection, may do what that may and no
//! more, is named in the record, and is gone soon after its session, what it made staying with the connection's role; one
//! that a crash left is dropped by the next start of the same gateway and by no other; where none can be made the client
//! reads the gateway's own words; a table that somebody locks keeps one role and no other; masks, names and cancel
//! requests are what they are without.

use crate::surroundings::{AGENTS, BINARY, OWNERS, direct, eventually, libpq_client, server};
use crate::vault::{assert_nowhere, psql, said};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::postgres::Postgres;
use portcullis_testkit::shop;
use portcullis_testkit::wire::RawClient;
use std::process::{Command, Stdio};

const MASKS: &str = r#"
bundle: masks
applies_to: { connections: ["*"] }
mask:
  - { id: addresses, columns: [public.customers.email], with: redact }
"#;

/// A database with a role for its application, and a login that makes roles for it.
struct World {
    server: &'static Postgres,
    database: String,
    app: String,
    maker: String,
    password: String,
}

impl World {
    fn open() -> Option<Self> {
        let server = server().filter(|_| !direct())?;
        let database = server.create_database("session_roles", shop::SQL).unwrap();
        let (app, maker) = (format!("{database}_app"), format!("{database}_maker"));
        let password = portcullis_testkit::random_hex().unwrap();
        let world = Self { server, database, app, maker, password };
        world.tell(&format!(
            "CREATE ROLE {app} NOLOGIN; CREATE ROLE {maker} LOGIN CREATEROLE PASSWORD '{password}';\
             GRANT {app} TO {maker} WITH ADMIN OPTION; GRANT ALL ON ALL TABLES IN SCHEMA public TO {app};\
             GRANT ALL ON SCHEMA public TO {app}",
            app = world.app,
            maker = world.maker,
            password = world.password
        ));
        Some(world)
    }

    fn tell(&self, sql: &str) -> String {
        self.server.run_sql(&self.database, sql).unwrap().trim().to_owned()
    }

    fn gateway(&self) -> Gateway {
        let tls = self
            .server
            .ca_file()
            .map_or_else(|| "tls: disable".to_owned(), |ca| format!("tls: verify-full, tls_ca: \"{}\"", ca.display()));
        let connection = format!(
            "{{ protocol: postgres, address: \"{}\", database: {}, username: {}, session_role: {{ by: {}, \
             password: {{ env: MAKER_PASSWORD }} }}, {tls} }}",
            self.server.address(),
            self.database,
            self.app,
            self.maker
        );
        let settings = Settings::new(BINARY).connection("shop", &connection).plaintext();
        let settings = settings.policy("owners", OWNERS).policy("agents", AGENTS).policy("masks", MASKS);
        settings.environment("MAKER_PASSWORD", &self.password).start().unwrap()
    }

    /// The roles of sessions that are there now.
    fn roles(&self) -> Vec<String> {
        let made = format!(
            "SELECT m.member::regrole FROM pg_auth_members m WHERE m.roleid = '{}'::regrole AND m.member <> '{}'::regrole",
            self.app, self.maker
        );
        self.tell(&made).lines().map(str::to_owned).collect()
    }

    fn clean(&self) {
        self.tell(&format!("DROP OWNED BY {}; DROP ROLE {}", self.maker, self.maker));
        self.tell(&format!("DROP OWNED BY {}; DROP ROLE {}", self.app, self.app));
    }
}

fn ask(gateway: &Gateway, sql: &str) -> String {
    let output = psql(gateway, sql);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn open(gateway: &Gateway, user: &str, group: &str) -> RawClient {
    let token = gateway.token(user, &[group]).unwrap();
    RawClient::login(&gateway.address("postgres").unwrap(), user, "shop", &token).await.unwrap()
}

async fn shown(client: &mut RawClient, sql: &str) -> String {
    format!("{:?}", client.query(sql).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_has_a_role_of_its_own_which_goes_with_it() {
    let Some(world) = World::open() else { return };
    let gateway = world.gateway();
    let (mut one, other) = (open(&gateway, "owner", "owners").await, open(&gateway, "owner", "owners").await);
    let roles = world.roles();
    assert_eq!(roles.len(), 2, "one each: {roles:?}");
    assert!(roles.iter().all(|role| role.starts_with("portcullis_s_")), "{roles:?}");
    let who = shown(&mut one, "SELECT session_user || '|' || current_user AS who").await;
    let mine = roles.iter().find(|role| who.contains(&format!("{role}|{}", world.app))).expect("one of them").clone();
    let made = format!(
        "SELECT rolvaliduntil BETWEEN now() + '50 minutes' AND now() + '1 hour' FROM pg_roles WHERE rolname = '{mine}'"
    );
    assert_eq!(world.tell(&made), "t");

    // What it makes belongs to the role that it acts as, whoever it says it is meanwhile.
    for sql in ["CREATE TABLE made (id int)", "SET ROLE NONE", "CREATE TABLE own (id int)"] {
        shown(&mut one, sql).await;
    }
    assert_eq!(world.tell("SELECT tableowner FROM pg_tables WHERE tablename = 'own'"), mine);
    for more in ["CREATE ROLE more", "ALTER ROLE CURRENT_USER CREATEROLE", "COPY (SELECT 1) TO '/tmp/more'"] {
        let answer = shown(&mut one, more).await;
        assert!(answer.contains("permission denied") || answer.contains("must be"), "{more}: {answer}");
    }
    drop(one);
    eventually("dropped with its session", || world.roles().len() == 1);
    let owners = "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE tablename IN ('made', 'own')";
    assert_eq!(world.tell(owners), world.app);
    drop(other);
    eventually("and the other", || world.roles().is_empty());

    // The server's own log knows a session by this name.
    let listed = gateway.command(&["sessions", "list", "--json"]).unwrap();
    let exported = gateway.command(&["sessions", "export"]).unwrap();
    assert!(exported.contains("session.login") && exported.contains(&mine), "{listed}");
    assert!(!exported.contains("SCRAM-SHA-256") && !gateway.log_text().contains("SCRAM-SHA-256"));

    // One that a client holds when the gateway stops.
    let held = open(&gateway, "owner", "owners").await;
    assert_eq!(world.roles().len(), 1);
    assert!(said(&gateway.command_line(&["check"]).output().unwrap()).contains("0 errors"));
    assert_eq!(world.roles().len(), 1, "what a check makes it drops");
    gateway.stop(&[]).unwrap();
    assert_eq!(world.roles(), [""; 0]);
    drop(held);
    world.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_dropped_by_the_next_start_and_by_no_other_gateway() {
    let Some(world) = World::open() else { return };
    let (mut first, mut second) = (world.gateway(), world.gateway());
    let lost = open(&first, "owner", "owners").await;
    let left = world.roles();
    assert_eq!(left.len(), 1);
    let kept = open(&second, "owner", "owners").await;
    first.kill().unwrap();
    second.kill().unwrap();
    second.restart().unwrap();
    eventually("its own", || world.roles().len() == 1);
    assert_eq!(world.roles(), left, "and not the other's");
    // It can make new ones beside it.
    assert!(ask(&second, "SELECT session_user").starts_with("portcullis_s_"));
    eventually("nothing more", || world.roles() == left);
    first.restart().unwrap();
    eventually("when it is back", || world.roles().is_empty());
    drop((lost, kept));
    first.stop(&[]).unwrap();
    second.stop(&[]).unwrap();
    world.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_whose_table_is_locked_keeps_no_other_and_is_dropped_later() {
    let Some(world) = World::open() else { return };
    let gateway = world.gateway();
    let (mut owns, mut locks) = (open(&gateway, "owner", "owners").await, open(&gateway, "owner", "owners").await);
    let grant = format!("GRANT ALL ON locked TO {}", world.app);
    for sql in ["SET ROLE NONE", "CREATE TABLE locked (id int)", &grant] {
        shown(&mut owns, sql).await;
    }
    let owner = world.tell("SELECT tableowner FROM pg_tables WHERE tablename = 'locked'");
    for sql in ["BEGIN", "SELECT count(*) FROM locked"] {
        shown(&mut locks, sql).await;
    }
    drop(owns);
    eventually("tried", || gateway.log_text().contains("owns cannot be given away"));
    // Those that come and go meanwhile.
    for _ in 0..3 {
        assert!(ask(&gateway, "SELECT session_user").starts_with("portcullis_s_"));
    }
    eventually("only it and who keeps it", || world.roles().len() == 2);
    assert_eq!(world.tell(&format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{owner}'")), "f");
    let waiting =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND query ~ 'REASSIGN'", world.maker);
    assert!(["0", "1"].contains(&&*world.tell(&waiting)), "one try after the other");
    shown(&mut locks, "COMMIT").await;
    drop(locks);
    eventually("dropped when it can be", || world.roles().is_empty());
    assert_eq!(world.tell("SELECT tableowner FROM pg_tables WHERE tablename = 'locked'"), world.app);
    gateway.stop(&["the role of a session"]).unwrap();
    world.clean();
}

#[test]
fn where_no_role_can_be_made_nobody_gets_in_and_nothing_is_told() {
    let Some(world) = World::open() else { return };
    let gateway = world.gateway();
    let refused = |why: &str| {
        let output = psql(&gateway, "SELECT 1");
        let shown = said(&output);
        assert!(!output.status.success() && shown.contains("no credential for the database behind it"), "{shown}");
        for internal in [&*world.maker, &*world.app, "portcullis_s_", "permission", "superuser"] {
            assert!(!shown.contains(internal), "{internal}: {shown}");
        }
        assert!(gateway.log_text().contains(why), "{why}: {}", gateway.log_text());
        let check = said(&gateway.command_line(&["check"]).output().unwrap());
        assert!(check.contains("connections.shop.session_role") && check.contains(why), "{check}");
    };
    world.tell(&format!("ALTER ROLE {} NOCREATEROLE", world.maker));
    refused("permission denied");
    world.tell(&format!("ALTER ROLE {} CREATEROLE", world.maker));
    world.tell(&format!("ALTER ROLE {} SUPERUSER", world.app));
    refused("does not exist or is a superuser");
    world.tell(&format!("ALTER ROLE {} NOSUPERUSER", world.app));
    world.tell(&format!("ALTER ROLE {} PASSWORD 'another-password'", world.maker));
    refused("the backend refused the login");
    world.tell(&format!("ALTER ROLE {} PASSWORD '{}'", world.maker, world.password));
    assert!(ask(&gateway, "SELECT session_user").starts_with("portcullis_s_"));
    eventually("nothing is left", || world.roles().is_empty());
    let secret = world.password.as_str();
    // Its environment is where the test gives it.
    assert!(!gateway.log_text().contains(secret));
    gateway.stop(&["no credential for the backend", "roles of sessions", "roles that were left"]).unwrap();
    world.clean();
}

#[test]
fn masks_names_and_cancel_requests_work_under_it() {
    let Some(world) = World::open() else { return };
    // The path begins with the current user's own schema, which is that of the role that the session acts as.
    world.tell(&format!(
        "CREATE SCHEMA {app} AUTHORIZATION {app}; CREATE TABLE {app}.orders (id int); ALTER TABLE {app}.orders OWNER TO {app}",
        app = world.app
    ));
    let gateway = world.gateway();
    let email = ask(&gateway, "SELECT email FROM customers WHERE id = 1");
    assert!(!email.contains('@'), "{email}");
    assert_eq!(ask(&gateway, "SELECT count(*) FROM orders"), "0");
    let token = gateway.token("agent", &["agents"]).unwrap();
    let agent = |sql: &str| {
        let mut command = libpq_client("psql", &gateway.dsn("shop", "agent", &token).unwrap()).unwrap();
        said(&command.args(["-X", "-At", "-c", sql]).output().unwrap())
    };
    let denied = agent("SELECT count(*) FROM orders");
    assert!(denied.contains("ERROR") && denied.contains(&format!("{}.orders", world.app)), "{denied}");
    assert!(!agent("SELECT count(*) FROM public.orders").contains("ERROR"));

    let owner = gateway.token("owner", &["owners"]).unwrap();
    let mut command = libpq_client("psql", &gateway.dsn("shop", "owner", &owner).unwrap()).unwrap();
    let marker = "SELECT count(*) AS to_be_cancelled_by_role FROM generate_series(1, 10000000000)";
    command.args(["-X", "-c", marker]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%to_be_cancelled_by_role%' \
         AND pid <> pg_backend_pid()";
    eventually("it runs", || world.tell(running) == "1");
    let pid = child.id().to_string();
    // One that comes before it runs cancels nothing.
    eventually("its end", || {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        Command::new("sh").args(["-c", "kill -s INT \"$1\"", "sh", &pid]).status().unwrap();
        false
    });
    let output = child.wait_with_output().unwrap();
    assert!(said(&output).contains("canceling statement due to user request"), "{}", said(&output));
    eventually("nothing is left", || world.roles().is_empty());
    let verifiers = world.tell(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", world.maker));
    assert_nowhere(&gateway, &[&verifiers]);
    gateway.stop(&[]).unwrap();
    world.clean();
}
