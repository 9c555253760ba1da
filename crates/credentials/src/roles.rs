//! A PostgreSQL role for each session, made by the gateway itself.
//!
//! Promises: a role is told to its keeper before it is made, so that nothing that was made is unknown; its password is 32
//! random bytes that live in one lease only, and the server is given no more than what SCRAM keeps of them; making one
//! takes ten seconds at most, at most [`AT_ONCE`] are made at the same time for a connection, and none waits for another
//! connection's; what the server says is in the error, for the log, and the client is told none of it.
//!
//! Does not promise what a role may do: that is SQL, which is beside PostgreSQL's protocol (`roles.rs` there). Knows no
//! sockets: the binary gives it a [`RoleServer`]. Held by: `tests/roles.rs` of this crate, and end to end by
//! `tests/it/session_roles.rs` of `portcullis`.

mod keeper;

pub use keeper::RoleKeeper;

use crate::kept::{Kept, Told};
use crate::source::{Places, SecretSource};
use crate::{CredentialError, Method, Source};
use portcullis_model::Name;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use zeroize::Zeroizing;

/// How long one errand may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Roles that are made for the sessions of one connection at the same time.
const AT_ONCE: usize = 8;

/// Messages to the keeper that wait at most, and sessions that have room to tell their end: as many as a gateway has
/// cancel keys for, and as many again. None of it is there before it is needed.
const TOLD: usize = 200_000;

/// How roles are made for the sessions of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRole {
    /// The login that makes them: one with CREATEROLE.
    pub by: Arc<str>,
    /// Its password.
    pub password: SecretSource,
    /// How long a role lets anybody log in from when it was made or extended last.
    pub valid: Duration,
    /// What the names of this gateway's roles of this connection begin with, and of nobody else's.
    pub prefix: Arc<str>,
}

/// Who runs an errand, and where.
#[derive(Debug)]
pub struct Admin {
    /// The connection whose server it is.
    pub connection: Name,
    /// The login.
    pub username: Arc<str>,
    /// Its password.
    pub password: SecretString,
}

/// A role that is to be.
#[derive(Debug)]
pub struct NewRole {
    /// Its name.
    pub name: Arc<str>,
    /// The role that it acts as.
    pub acts_as: Arc<str>,
    /// Its password. The server is to be given a verifier.
    pub password: SecretString,
    /// How long it lets anybody log in.
    pub valid: Duration,
}

/// What is to be done on a server.
#[derive(Debug)]
pub enum Errand {
    /// Making a role. Gives nothing.
    Make(NewRole),
    /// Extending these by so much from now. Gives those that are there and were not.
    Extend {
        /// Which.
        names: Vec<Arc<str>>,
        /// For how long.
        valid: Duration,
    },
    /// Dropping these; what they own goes to the role that they act as. Gives those that are still there.
    Drop {
        /// Which.
        names: Vec<Arc<str>>,
        /// Who is given what they own.
        acts_as: Arc<str>,
    },
    /// Looking for roles whose names begin so. Gives them.
    Find {
        /// How they begin.
        prefix: Arc<str>,
    },
}

/// An errand failed: why, in the words of whoever ran it, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RoleFault(pub String);

/// What [`RoleServer::run`] gives.
pub type Ran<'a> = Pin<Box<dyn Future<Output = Result<Vec<Arc<str>>, RoleFault>> + Send + 'a>>;

/// Runs errands for this crate, which opens no connections.
pub trait RoleServer: Send + Sync + 'static {
    /// One errand, over a connection of its own.
    fn run(&self, admin: Admin, errand: Errand) -> Ran<'_>;
}

/// What makes roles. Share it.
pub struct Roles {
    wards: BTreeMap<Name, Ward>,
    server: Arc<dyn RoleServer>,
    places: Places,
    tell: mpsc::Sender<Told>,
}

/// A connection whose sessions have roles.
#[derive(Debug)]
struct Ward {
    acts_as: Arc<str>,
    how: SessionRole,
    /// Its own: a server that hangs keeps nobody from the others.
    turns: Semaphore,
}

/// A role that was made.
pub(crate) struct Made {
    pub(crate) name: Arc<str>,
    pub(crate) password: SecretString,
    pub(crate) kept: Kept,
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roles").field("wards", &self.wards).finish_non_exhaustive()
    }
}

impl Roles {
    /// What makes the roles of these sources, and what keeps them; `None` where none asks for any.
    pub(crate) fn of(
        sources: &BTreeMap<Name, Source>,
        places: Places,
        server: Arc<dyn RoleServer>,
    ) -> Option<(Arc<Self>, RoleKeeper)> {
        let ward = |(connection, source): (&Name, &Source)| match &source.method {
            Method::SessionRole(how) => {
                let (acts_as, turns) = (Arc::clone(&source.username), Semaphore::new(AT_ONCE));
                Some((connection.clone(), Ward { acts_as, how: how.clone(), turns }))
            }
            Method::None
            | Method::Password(_)
            | Method::Issued(_)
            | Method::PrivateKey(_)
            | Method::Certificate
            | Method::Headers(_) => None,
        };
        let wards: BTreeMap<Name, Ward> = sources.iter().filter_map(ward).collect();
        if wards.is_empty() {
            return None;
        }
        let (tell, told) = mpsc::channel(TOLD);
        let roles = Arc::new(Self { wards, server, places, tell });
        Some((Arc::clone(&roles), RoleKeeper::new(roles, told)))
    }

    /// A role for one session on this connection.
    pub(crate) async fn make(&self, connection: &Name) -> Result<Made, CredentialError> {
        let no_role = |why| CredentialError::NoRole { connection: connection.clone(), why };
        let ward = self.wards.get(connection).ok_or_else(|| CredentialError::UnknownConnection(connection.clone()))?;
        let name: Arc<str> = format!("{}{}", ward.how.prefix, &*random::<12>()).into();
        let password = SecretString::from(&**random::<32>());
        // Before it is made: whatever happens from here on, it is dropped.
        let kept = Kept::of_gateway(Arc::clone(&name), connection.as_str().into(), ward.how.valid, &self.tell)
            .ok_or_else(|| no_role(RoleFault("too many roles wait to be kept".to_owned())))?;
        let role = NewRole {
            name: Arc::clone(&name),
            acts_as: Arc::clone(&ward.acts_as),
            password: password.clone(),
            valid: ward.how.valid,
        };
        let made = async {
            let _turn = ward.turns.acquire().await.map_err(|error| RoleFault(error.to_string()))?;
            self.run(connection, Errand::Make(role)).await
        };
        bounded(made).await.map_err(no_role)?;
        Ok(Made { name, password, kept })
    }

    /// Drops at once what no keeper keeps.
    pub(crate) async fn drop_now(&self, connection: &Name, name: &Arc<str>) -> Result<(), CredentialError> {
        let no_role = |why| CredentialError::NoRole { connection: connection.clone(), why };
        let ward = self.wards.get(connection).ok_or_else(|| CredentialError::UnknownConnection(connection.clone()))?;
        let errand = || Errand::Drop { names: vec![Arc::clone(name)], acts_as: Arc::clone(&ward.acts_as) };
        let dropped = async {
            // A server notices a little later that whoever logged in has gone.
            while !self.run(connection, errand()).await?.is_empty() {
                tokio::time::sleep(keeper::FIRST_PAUSE).await;
            }
            Ok(())
        };
        bounded(dropped).await.map_err(no_role)
    }

    async fn run(&self, connection: &Name, errand: Errand) -> Result<Vec<Arc<str>>, RoleFault> {
        let ward = self.wards.get(connection).ok_or_else(|| RoleFault("there is no such connection".to_owned()))?;
        let password = ward.how.password.read(&self.places).await.map_err(|error| RoleFault(error.to_string()))?;
        let admin = Admin { connection: connection.clone(), username: Arc::clone(&ward.how.by), password };
        self.server.run(admin, errand).await
    }
}

async fn bounded<T>(ran: impl Future<Output = Result<T, RoleFault>>) -> Result<T, RoleFault> {
    let late = || RoleFault(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, ran).await.unwrap_or_else(|_| Err(late()))
}

/// So many random bytes in hexadecimal, wiped.
fn random<const BYTES: usize>() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    rand::fill(&mut *bytes);
    // All of the room at once, so that no half of it is left behind where a growing text was.
    let mut text = Zeroizing::new(String::with_capacity(2 * BYTES));
    for byte in bytes.iter() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
