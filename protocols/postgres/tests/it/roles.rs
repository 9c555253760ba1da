//! Roles for single sessions, on real servers of every version that is here.

use portcullis_net::{ClientTls, DialOptions};
use portcullis_postgres::login::backend::Target;
use portcullis_postgres::{NewRole, drop_roles, extend_roles, find_roles, make_role};
use portcullis_testkit::Postgres;
use portcullis_testkit::postgres::{Installation, Options};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

/// What a shop with one role for its application has, and a login that may make roles.
const LOGINS: &str = r#"
CREATE ROLE "the app" NOLOGIN; CREATE ROLE "admin" LOGIN CREATEROLE PASSWORD 'admin-password';
GRANT "the app" TO "admin" WITH ADMIN OPTION;
ALTER ROLE "the app" SET search_path = "$user", 'own space', public;
ALTER ROLE "the app" SET statement_timeout = '61s';
ALTER ROLE "the app" SET client_encoding = 'LATIN1';
"#;

const SCHEMA: &str = r#"
CREATE SCHEMA "own space" AUTHORIZATION "the app";
CREATE TABLE "own space".orders AS SELECT 7 AS id; ALTER TABLE "own space".orders OWNER TO "the app";
GRANT ALL ON SCHEMA public TO "the app";
"#;

fn target(server: &Postgres, database: &str, user: &str, password: &str) -> Target {
    Target {
        address: server.address().parse().unwrap(),
        tls: ClientTls::disabled(),
        server_name: None,
        username: user.into(),
        password: Some(password.into()),
        database: database.to_owned(),
        dial: DialOptions::default(),
        timeout: Duration::from_secs(20),
    }
}

struct Place<'s> {
    server: &'s Postgres,
    database: String,
    admin: Target,
}

/// A client, and what drives its connection: it ends with this value.
struct LoggedIn {
    client: Client,
    _driven: JoinSet<()>,
}

impl std::ops::Deref for LoggedIn {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Place<'_> {
    async fn make(&self, name: &str, acts_as: &str) -> portcullis_postgres::Result<()> {
        let valid = Duration::from_secs(3600);
        make_role(&self.admin, &NewRole { name, acts_as, password: &"the password".into(), valid }).await
    }

    async fn drop(&self, names: &[&str]) -> Vec<String> {
        drop_roles(std::slice::from_ref(&self.admin), names, "the app").await.unwrap()
    }

    async fn log_in(&self, database: &str, name: &str) -> LoggedIn {
        self.log_in_with(database, name, "the password").await
    }

    async fn log_in_with(&self, database: &str, name: &str, password: &str) -> LoggedIn {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.server.port()).dbname(database).user(name).password(password);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let mut driven = JoinSet::new();
        driven.spawn(async move { drop(connection.await) });
        LoggedIn { client, _driven: driven }
    }

    fn tell(&self, sql: &str) -> String {
        self.server.run_sql(&self.database, sql).unwrap().trim().to_owned()
    }

    /// Until the server has noticed that nobody is there.
    fn left_alone(&self, name: &str) {
        self.none_of(&format!("usename = '{name}'"));
    }

    /// Until no backend of the server is such.
    fn none_of(&self, such: &str) {
        let running = format!("SELECT count(*) FROM pg_stat_activity WHERE {such}");
        let patience = std::time::Instant::now();
        while self.tell(&running) != "0" {
            assert!(patience.elapsed() < Duration::from_secs(20), "still there: {such}");
        }
    }
}

async fn one(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.unwrap();
    let row = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.and_then(|row| row.get(0)).unwrap_or_default().to_owned()
}

async fn refused(client: &Client, sql: &str) -> bool {
    client.simple_query(sql).await.is_err()
}

async fn holds(server: &Postgres) {
    server.run_sql("postgres", LOGINS).unwrap();
    let database = server.create_database("roles", SCHEMA).unwrap();
    let set = format!("ALTER ROLE \"the app\" IN DATABASE \"{database}\" SET work_mem = '5MB'");
    server.run_sql("postgres", &set).unwrap();
    let admin = target(server, &database, "admin", "admin-password");
    let place = Place { server, database, admin };
    it_is_the_role_that_it_acts_as(&place).await;
    its_settings_are_those_of_the_role(&place).await;
    what_it_owns_is_given_away(&place).await;
    a_lock_is_not_waited_for(&place).await;
    a_database_that_cannot_be_entered_keeps_no_other(&place).await;
    what_cannot_be_made_is_not_there(&place).await;
}

async fn it_is_the_role_that_it_acts_as(place: &Place<'_>) {
    place.make("s_1", "the app").await.unwrap();
    let row = place.tell(
        "SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, \
         rolvaliduntil BETWEEN now() + '59 minutes' AND now() + '1 hour', rolpassword LIKE 'SCRAM-SHA-256$4096:%' \
         FROM pg_authid WHERE rolname = 's_1'",
    );
    assert_eq!(row, "f|t|f|f|t|f|f|12|t|t");
    let client = place.log_in(&place.database, "s_1").await;
    let who = "SELECT session_user || '|' || current_user";
    assert_eq!(one(&client, who).await, "s_1|the app");
    assert_eq!(one(&client, "SHOW search_path").await, r#""$user", "own space", public"#);
    assert_eq!(one(&client, "SHOW statement_timeout").await, "61s");
    assert_eq!(one(&client, "SHOW work_mem").await, "5MB");
    assert_eq!(one(&client, "SELECT id FROM orders").await, "7");
    // However it is reset, it may do what the role may that it acts as, and no more.
    for (reset, expected) in [
        ("RESET ROLE", "s_1|the app"),
        ("SET ROLE NONE", "s_1|s_1"),
        ("RESET ALL", "s_1|s_1"),
        ("DISCARD ALL", "s_1|the app"),
        ("SET ROLE NONE", "s_1|s_1"),
        ("SET SESSION AUTHORIZATION DEFAULT", "s_1|the app"),
        ("SET SESSION AUTHORIZATION s_1", "s_1|s_1"),
        ("RESET ROLE", "s_1|the app"),
    ] {
        client.simple_query(reset).await.unwrap();
        assert_eq!(one(&client, who).await, expected, "{reset}");
        assert_eq!(one(&client, "SELECT id FROM \"own space\".orders").await, "7");
        for more in [
            "SET ROLE admin",
            "SET SESSION AUTHORIZATION admin",
            "CREATE ROLE x",
            "CREATE DATABASE x",
            "GRANT \"the app\" TO admin",
            "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
            "ALTER ROLE s_1 VALID UNTIL 'infinity'",
            "ALTER ROLE s_1 CREATEROLE",
            "ALTER ROLE s_1 CONNECTION LIMIT -1",
            "COPY (SELECT 1) TO '/tmp/x'",
        ] {
            assert!(refused(&client, more).await, "{reset}: {more}");
        }
    }
    // While it is there it is not dropped, and nobody comes after it.
    assert_eq!(place.drop(&["s_1", "never_there"]).await, ["s_1"]);
    assert_eq!(place.tell("SELECT rolcanlogin FROM pg_roles WHERE rolname = 's_1'"), "f");
    assert_eq!(one(&client, who).await, "s_1|the app");
    drop(client);
    place.left_alone("s_1");
    assert!(place.drop(&["s_1"]).await.is_empty());
    assert!(place.drop(&["s_1"]).await.is_empty(), "one that is gone is no trouble");
    assert_eq!(place.tell("SELECT count(*) FROM pg_roles WHERE rolname = 's_1'"), "0");
}

async fn its_settings_are_those_of_the_role(place: &Place<'_>) {
    let other =
        place.server.create_database("roles_settings", "CREATE TEXT SEARCH CONFIGURATION public.mine (COPY = simple)");
    let other = other.unwrap();
    // What means something there only, and what a login may not set for itself any more or may not use.
    for set in [
        "default_text_search_config = 'public.mine'",
        "temp_tablespaces = 'Never There', ''",
        "local_preload_libraries = 'Never There', 'nor this'",
        "search_path = 'a, \"b', C",
        "DateStyle = 'German, YMD'",
        "statement_timeout = 1",
        "role = 'never there'",
    ] {
        place.server.run_sql(&other, &format!("ALTER ROLE \"the app\" IN DATABASE \"{other}\" SET {set}")).unwrap();
    }
    place.make("s_1", "the app").await.unwrap();
    let settings = |role: &str| {
        let all = "SELECT string_agg(coalesce(d.datname, '') || ' ' || s, E'\n' ORDER BY d.datname, s) \
             FROM pg_db_role_setting c LEFT JOIN pg_database d ON d.oid = c.setdatabase, unnest(setconfig) s \
             WHERE s !~ '^client_encoding|^role=the app$'";
        place.tell(&format!("{all} AND setrole = '\"{role}\"'::regrole"))
    };
    assert_eq!(settings("s_1"), settings("the app"));
    assert_eq!(settings("s_1").lines().count(), 3 + 7, "{}", settings("s_1"));
    assert!(place.drop(&["s_1"]).await.is_empty());
    place.server.run_sql(&other, &format!("ALTER ROLE \"the app\" IN DATABASE \"{other}\" RESET ALL")).unwrap();
}

async fn what_it_owns_is_given_away(place: &Place<'_>) {
    let other = place.server.create_database("roles_other", SCHEMA.split_once(';').unwrap().0).unwrap();
    place.server.run_sql(&other, "GRANT ALL ON SCHEMA public TO \"the app\"").unwrap();
    place.make("s_2", "the app").await.unwrap();
    place.make("s_20", "the app").await.unwrap();
    for database in [&place.database, &other] {
        let client = place.log_in(database, "s_2").await;
        let made = "CREATE TABLE public.made (id int); SET ROLE NONE; CREATE TABLE public.own (id int); \
             CREATE TEMPORARY TABLE passing (id int); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; \
             SET ROLE \"the app\"; GRANT SELECT ON public.made TO s_2";
        client.simple_query(made).await.unwrap();
    }
    place.left_alone("s_2");
    assert_eq!(find_roles(&place.admin, "s_2").await.unwrap(), ["s_2", "s_20"]);
    assert_eq!(find_roles(&place.admin, "S_").await.unwrap(), [""; 0]);
    // What it owns elsewhere keeps it there, and that keeps no other.
    assert_eq!(place.drop(&["s_2", "s_20"]).await, ["s_2"]);
    let targets = [place.admin.clone(), target(place.server, &other, "admin", "admin-password")];
    assert!(drop_roles(&targets, &["s_2"], "the app").await.unwrap().is_empty());
    for database in [&place.database, &other] {
        let owners = "SELECT string_agg(tablename || ' of ' || tableowner, ', ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'";
        let owners = place.server.run_sql(database, owners).unwrap();
        assert_eq!(owners.trim(), "made of the app, own of the app");
    }
    // What was lent to give it away went with it.
    let lent =
        "SELECT count(*) FROM pg_auth_members WHERE member = 'admin'::regrole AND roleid <> '\"the app\"'::regrole";
    assert_eq!(place.tell(lent), "0");
}

async fn a_lock_is_not_waited_for(place: &Place<'_>) {
    for name in ["s_4", "s_5", "s_6"] {
        place.make(name, "the app").await.unwrap();
    }
    let client = place.log_in(&place.database, "s_4").await;
    client.simple_query("SET ROLE NONE; CREATE TABLE public.locked (id int)").await.unwrap();
    client.simple_query("GRANT ALL ON public.locked TO \"the app\"").await.unwrap();
    drop(client);
    place.left_alone("s_4");
    let holds = place.log_in(&place.database, "s_6").await;
    holds.simple_query("BEGIN; SELECT count(*) FROM public.locked").await.unwrap();
    // Nobody waits there for long whose answer nobody reads any more.
    let targets = [place.admin.clone()];
    let given_up = tokio::time::timeout(Duration::from_secs(1), drop_roles(&targets, &["s_4"], "the app")).await;
    assert!(given_up.is_err(), "{given_up:?}");
    place.left_alone("admin");
    // It keeps no other, and lets nobody in.
    assert_eq!(place.drop(&["s_4", "s_5"]).await, ["s_4"]);
    place.left_alone("admin");
    let can = "SELECT string_agg(rolname || rolcanlogin, ',' ORDER BY 1) FROM pg_roles WHERE rolname ~ '^s_[45]'";
    assert_eq!(place.tell(can), "s_4false");
    holds.simple_query("COMMIT").await.unwrap();
    assert!(place.drop(&["s_4"]).await.is_empty());

    // From version 16 on a membership is given to one role at a time.
    let grants = place.log_in_with(&place.database, "admin", "admin-password").await;
    grants.simple_query("BEGIN; GRANT \"the app\" TO s_6").await.unwrap();
    let made = place.make("s_7", "the app").await;
    if let Err(error) = &made {
        assert!(error.to_string().contains("lock timeout"), "{error}");
    }
    place.none_of("usename = 'admin' AND state <> 'idle in transaction'");
    grants.simple_query("ROLLBACK").await.unwrap();
    drop((grants, holds));
    place.left_alone("s_6");
    let there = place.tell("SELECT count(*) FROM pg_roles WHERE rolname = 's_7'");
    assert_eq!(there, if made.is_ok() { "1" } else { "0" });
    assert!(place.drop(&["s_6", "s_7"]).await.is_empty());
}

async fn a_database_that_cannot_be_entered_keeps_no_other(place: &Place<'_>) {
    let schema = "GRANT ALL ON SCHEMA public TO \"the app\"";
    let closed = place.server.create_database("roles_closed", schema).unwrap();
    let admin = |database: &str| target(place.server, database, "admin", "admin-password");
    let targets = [place.admin.clone(), admin("never there"), admin(&closed)];
    for name in ["s_4", "s_5", "s_6"] {
        place.make(name, "the app").await.unwrap();
    }
    for (database, name) in [(&place.database, "s_4"), (&closed, "s_5")] {
        let client = place.log_in(database, name).await;
        client.simple_query("SET ROLE NONE; CREATE TABLE public.closed (id int)").await.unwrap();
        drop(client);
        place.left_alone(name);
    }
    place.server.run_sql("postgres", &format!("REVOKE CONNECT ON DATABASE \"{closed}\" FROM PUBLIC")).unwrap();
    // What owns nothing there is dropped all the same, and so is what comes behind.
    assert_eq!(drop_roles(&targets, &["s_5", "s_4", "s_6"], "the app").await.unwrap(), ["s_5"]);
    assert_eq!(place.tell("SELECT rolname || rolcanlogin FROM pg_roles WHERE rolname ~ '^s_[456]'"), "s_5false");
    place.server.run_sql("postgres", &format!("GRANT CONNECT ON DATABASE \"{closed}\" TO PUBLIC")).unwrap();
    assert!(drop_roles(&targets, &["s_5"], "the app").await.unwrap().is_empty());
    place.tell("DROP TABLE public.closed");
}

async fn what_cannot_be_made_is_not_there(place: &Place<'_>) {
    for acts_as in ["nobody", "postgres"] {
        let refused = place.make("s_3", acts_as).await.unwrap_err().to_string();
        assert!(refused.contains("does not exist or is a superuser"), "{refused}");
    }
    // What the login may not set is not left out.
    place.tell("ALTER ROLE \"the app\" SET log_statement = 'all'");
    let refused = place.make("s_3", "the app").await.unwrap_err().to_string();
    assert!(refused.contains("log_statement"), "{refused}");
    place.tell("ALTER ROLE \"the app\" RESET log_statement");
    assert_eq!(place.tell("SELECT count(*) FROM pg_roles WHERE rolname LIKE 's\\_%'"), "0");
    place.make("s_3", "the app").await.unwrap();
    let until =
        "SELECT rolvaliduntil BETWEEN now() + '2 hours' AND now() + '3 hours' FROM pg_roles WHERE rolname = 's_3'";
    assert_eq!(place.tell(until), "f");
    // One that is no more keeps no other.
    let extended = extend_roles(&place.admin, &["gone", "s_3"], Duration::from_secs(3 * 3600)).await;
    assert!(extended.unwrap().is_empty());
    assert_eq!(place.tell(until), "t");
    assert_eq!(
        extend_roles(&place.admin, &["the app", "postgres"], Duration::from_secs(60)).await.unwrap(),
        ["postgres"]
    );
    place.tell("ALTER ROLE \"the app\" VALID UNTIL 'infinity'");
    assert!(place.drop(&["s_3"]).await.is_empty());
    let stranger = target(place.server, &place.database, "admin", "wrong");
    assert!(find_roles(&stranger, "s_").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_a_session_acts_as_another_and_goes_with_what_it_owned() {
    for version in 14..=18 {
        match Installation::of_version(version) {
            Ok(installation) => {
                eprintln!("version {version}");
                holds(&Options::new(installation).start().unwrap()).await;
            }
            Err(absent) => eprintln!("skipped: {absent}"),
        }
    }
}
