//! Roles for single sessions, made and dropped with SQL over connections of the gateway's own.
//!
//! Promises: a role is made in one transaction or not at all; it inherits from the role that it acts as and from no other,
//! begins every session as that role, with its settings, and has no attribute of its own; the server is given a SCRAM
//! verifier, never the password; the time until which it lets in is the server's clock. What is asked of several roles is
//! asked of each by itself, and waits for nobody's lock for long. A name is quoted, whatever it holds, and nothing of a
//! client's is ever in these texts.
//!
//! Does not promise to give a role settings that the login may not set, nor one that acts as a superuser: that is refused.
//! Held by: `tests/it/roles.rs` against servers of versions 14 to 18.

mod ask;
mod drop;
mod settings;

pub use drop::drop_roles;

use crate::error::{Error, Result, Side};
use crate::login::backend::Target;
use crate::login::verifier;
use crate::preview;
use ask::{Asking, Row};
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::Instant;

/// Connections that a role may have at once: its session's, one that reads the catalogue, those of previews, and what a
/// server has not yet noticed to be gone of each.
const CONNECTIONS: usize = 4 + 2 * preview::AT_ONCE;

/// Of several roles none is begun with later than this.
const ENOUGH: Duration = Duration::from_secs(6);

/// Roles that are found at once.
const MOST_FOUND: u32 = 50_000;

/// A role that is to be.
#[derive(Debug)]
pub struct NewRole<'a> {
    /// Its name.
    pub name: &'a str,
    /// The role that it acts as.
    pub acts_as: &'a str,
    /// Its password.
    pub password: &'a SecretString,
    /// How long it lets anybody log in.
    pub valid: Duration,
}

/// Makes a role, as the login of this target.
///
/// # Errors
/// The backend's side of [`Error`]; nothing was made then, unless the connection broke behind the last word.
pub async fn make_role(target: &Target, role: &NewRole<'_>) -> Result<()> {
    let verifier = verifier(role.password).await?;
    let mut asking = Asking::open(target).await?;
    let made = async {
        let [model, settings] = asking.ask(&about(role)).await?;
        let until = model.first().and_then(until);
        let until = until.ok_or(protocol("the role that sessions are to act as does not exist or is a superuser"))?;
        let making = making(role, &verifier, &until, &settings);
        let [] = asking.ask(&making.ok_or(protocol("a setting of a role is not as it writes them"))?).await?;
        Ok(())
    };
    let made = made.await;
    asking.close().await;
    made
}

/// Lets in with these for so much longer from now. Gives those that are there and were not extended, for which the log has
/// the reason.
///
/// # Errors
/// The backend's side of [`Error`] where it cannot be asked at all.
pub async fn extend_roles(target: &Target, names: &[&str], valid: Duration) -> Result<Vec<String>> {
    let late = Instant::now() + ENOUGH;
    let mut asking = Asking::open(target).await?;
    let left = extend_each(&mut asking, names, valid, late).await;
    asking.close().await;
    left
}

async fn extend_each(asking: &mut Asking, names: &[&str], valid: Duration, late: Instant) -> Result<Vec<String>> {
    let [now] = asking.ask(&format!("SELECT {}", later(valid))).await?;
    let until = now.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default();
    let mut left = Vec::new();
    for name in names {
        if Instant::now() >= late {
            left.push((*name).to_owned());
            continue;
        }
        // By itself: one text would be one transaction, and one that is gone would keep all others as they are.
        let text = format!("ALTER ROLE {} VALID UNTIL {}", identifier(name), literal(&until));
        if asking.tell(&text).await?.is_left(name, "extended") {
            left.push((*name).to_owned());
        }
    }
    Ok(left)
}

/// The roles whose names begin so.
///
/// # Errors
/// The backend's side of [`Error`].
pub async fn find_roles(target: &Target, prefix: &str) -> Result<Vec<String>> {
    let mut asking = Asking::open(target).await?;
    let text = format!(
        "SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.starts_with(rolname::pg_catalog.text, {}) \
         ORDER BY 1 LIMIT {MOST_FOUND}",
        literal(prefix)
    );
    let found = asking.ask(&text).await;
    asking.close().await;
    let [found] = found?;
    Ok(found.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// A moment from now, in words that every server reads alike: the connection speaks ISO and UTC.
fn later(valid: Duration) -> String {
    format!("(pg_catalog.clock_timestamp() + '{} seconds'::pg_catalog.interval)::pg_catalog.text", valid.as_secs())
}

/// Asks whether the role to act as is a superuser and when it will be late, and for its settings.
fn about(role: &NewRole<'_>) -> String {
    let acts_as = literal(role.acts_as);
    format!(
        "SELECT rolsuper, {} FROM pg_catalog.pg_roles WHERE rolname = {acts_as};\
         SELECT d.datname, s.setting FROM pg_catalog.pg_db_role_setting c \
         JOIN pg_catalog.pg_roles r ON r.oid = c.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = c.setdatabase \
         CROSS JOIN LATERAL pg_catalog.unnest(c.setconfig) WITH ORDINALITY s(setting, place) \
         WHERE r.rolname = {acts_as} ORDER BY d.datname, s.place",
        later(role.valid)
    )
}

/// Until when; nothing for a superuser.
fn until(row: &Row) -> Option<String> {
    let [Some(superuser), Some(until)] = row.as_slice() else { return None };
    (superuser == "f").then(|| until.clone())
}

/// One text, and so one transaction; nothing where a setting cannot be read.
fn making(role: &NewRole<'_>, verifier: &str, until: &str, settings: &[Row]) -> Option<String> {
    let (name, acts_as) = (identifier(role.name), identifier(role.acts_as));
    let mut text = format!(
        "CREATE ROLE {name} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
         CONNECTION LIMIT {CONNECTIONS} PASSWORD {} VALID UNTIL {} IN ROLE {acts_as};\
         COMMENT ON ROLE {name} IS 'made by Portcullis for one session, and dropped after it';\
         ALTER ROLE {name} SET role = {};",
        literal(verifier),
        literal(until),
        literal(role.acts_as),
    );
    for row in settings {
        let [database, Some(setting)] = row.as_slice() else { continue };
        text.push_str(&settings::copied(&name, database.as_deref(), setting)?);
    }
    Some(text)
}

const fn protocol(reason: &'static str) -> Error {
    Error::Protocol { side: Side::Backend, reason }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As the server reads it with `standard_conforming_strings`, which the login makes sure of.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_within_their_quotes() {
        let password = SecretString::from("p");
        let (name, acts_as) = (r#"a"; DROP ROLE x; --"#, r"o'; \'; --");
        let role = NewRole { name, acts_as, password: &password, valid: Duration::from_secs(60) };
        assert!(about(&role).contains(r"rolname = 'o''; \''; --'"));
        let row = vec![Some("d\"b".to_owned()), Some(r"my.x=a'b\".to_owned())];
        let text = making(&role, "SCRAM", "2030-01-01 00:00:00+00", &[row]).unwrap();
        assert!(text.starts_with(r#"CREATE ROLE "a""; DROP ROLE x; --" LOGIN "#), "{text}");
        assert!(text.contains(r#"IN ROLE "o'; \'; --";"#), "{text}");
        assert!(
            text.ends_with(r#"ALTER ROLE "a""; DROP ROLE x; --" IN DATABASE "d""b" SET "my.x" = 'a''b\';"#),
            "{text}"
        );
    }

    #[test]
    fn a_superuser_is_nobody_to_act_as() {
        let row = |superuser: &str| vec![Some(superuser.to_owned()), Some("2030-01-01 00:00:00+00".to_owned())];
        assert_eq!(until(&row("f")).as_deref(), Some("2030-01-01 00:00:00+00"));
        assert_eq!(until(&row("t")), None);
        assert_eq!(until(&vec![None, None]), None);
    }
}
