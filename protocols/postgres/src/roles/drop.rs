//! Dropping the roles of sessions that are over.
//!
//! Promises: a role is dropped only when nothing runs under it, and what it owns in the named databases goes to the role
//! that it acted as; one that stays lets nobody in any more, unless somebody holds a lock on the role itself. One that
//! cannot be dropped, or not yet, keeps none of the others: those that own nothing come first, a lock is not waited for longer than a moment, a database that cannot be
//! entered is left out, and what there was no time for comes before what was tried in vain.
//!
//! Does not promise to drop what owns something that it cannot give away. Held by: `tests/it/roles.rs`.

use super::ask::{Asking, Told};
use super::{ENOUGH, identifier, literal};
use crate::error::{Error, Result, Side};
use crate::login::backend::Target;
use tokio::time::{Instant, timeout_at};

/// Drops these, after what they own in the databases of these targets was given to another. Gives those that are still
/// there: something runs under them, or they cannot be dropped, which the log says.
///
/// # Errors
/// The backend's side of [`Error`] where it cannot be asked at all.
pub async fn drop_roles(targets: &[Target], names: &[&str], acts_as: &str) -> Result<Vec<String>> {
    let Some(main) = targets.first() else { return Ok(Vec::new()) };
    let late = Instant::now() + ENOUGH;
    let asking = Asking::open(main).await?;
    let mut dropping = Dropping { asking, targets, acts_as, late, untried: Vec::new(), left: Vec::new() };
    let dropped = dropping.each(names).await;
    let Dropping { asking, mut untried, left, .. } = dropping;
    asking.close().await;
    dropped?;
    untried.extend(left);
    Ok(untried)
}

struct Dropping<'a> {
    /// Where roles are dropped; its errors end all.
    asking: Asking,
    targets: &'a [Target],
    acts_as: &'a str,
    late: Instant,
    untried: Vec<String>,
    left: Vec<String>,
}

impl Dropping<'_> {
    async fn each(&mut self, names: &[&str]) -> Result<()> {
        let mut owners = Vec::new();
        for (name, busy) in self.still_there(names).await? {
            if self.is_late() {
                self.untried.push(name);
                continue;
            }
            let told = if busy { None } else { Some(self.drop(&name).await?) };
            match told {
                Some(Told::Done | Told::Gone) => continue,
                Some(Told::Owns) => owners.push(name.clone()),
                Some(told @ Told::Refused(_)) => {
                    told.is_left(&name, "dropped");
                    self.left.push(name.clone());
                }
                None => self.left.push(name.clone()),
            }
            // What runs under it ends by itself; nobody comes after it.
            let shut = format!("ALTER ROLE {} NOLOGIN", identifier(&name));
            self.asking.tell(&shut).await?.is_left(&name, "closed to logins");
        }
        for name in owners {
            if self.is_late() {
                self.untried.push(name);
                continue;
            }
            give_away(self.targets, &name, self.acts_as, self.late).await;
            if self.drop(&name).await?.is_left(&name, "dropped") {
                self.left.push(name);
            }
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.late
    }

    /// Which of these there are, and whether something runs under them.
    async fn still_there(&mut self, names: &[&str]) -> Result<Vec<(String, bool)>> {
        let listed: Vec<String> = names.iter().map(|name| literal(name)).collect();
        let text = format!(
            "SELECT r.rolname, EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) \
             FROM pg_catalog.pg_roles r WHERE r.rolname IN ({}) \
             ORDER BY pg_catalog.array_position(ARRAY[{0}]::pg_catalog.name[], r.rolname)",
            listed.join(", ")
        );
        let [rows] = self.asking.ask(&text).await?;
        let there = rows.into_iter().filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(name), Some(busy)]) => names.contains(&name.as_str()).then_some((name, busy != "f")),
            _ => None,
        });
        Ok(there.collect())
    }

    async fn drop(&mut self, name: &str) -> Result<Told> {
        self.asking.tell(&format!("DROP ROLE {}", identifier(name))).await
    }
}

/// Gives away what is its in each database that can be entered, as long as there is time.
async fn give_away(targets: &[Target], name: &str, acts_as: &str, late: Instant) {
    // Whoever gives away what is a role's must have its rights: the login lends them to itself until the role is gone.
    let (role, acts_as) = (identifier(name), identifier(acts_as));
    let give = format!("GRANT {role} TO CURRENT_USER;REASSIGN OWNED BY {role} TO {acts_as};DROP OWNED BY {role}");
    for target in targets {
        let given = async {
            let mut there = Asking::open(target).await?;
            let given = there.ask(&give).await;
            there.close().await;
            given
        };
        let too_late = |_| Error::Timeout { side: Side::Backend, doing: "giving away what a role owns" };
        let given = timeout_at(late, given).await.map_err(too_late).flatten();
        if let Err(error) = given.map(|[]| ()) {
            let database = &target.database;
            tracing::warn!(role = %name, %database, %error, "what the role of a session owns cannot be given away");
        }
    }
}
